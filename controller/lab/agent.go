//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // of nginx's configuration
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// The containers of a task.
const (
	front = "nginx"
	back  = "app"
)

// nginxConf is the reference workload's own; a test holds the two alike.
//
//go:embed nginx.conf
var nginxConf string

// agent runs the containers of tasks as processes.
type agent struct {
	processes *processes
	region    *sim.Region
	dir       string
	tools     Tools
	ctx       context.Context //nolint:containedctx // of what it does by itself
	busy      sync.WaitGroup  // on something

	forgets *atomic.Bool // see [Lab.Forget]

	mu     sync.Mutex
	over   bool // nothing is begun any more
	tasks  map[fleet.TaskARN]*group
	probes []Probe
	wrong  []error // what went wrong with nobody to tell
}

// group is the processes of one task.
type group struct {
	sim.Launch
	dir      string
	launched chan struct{} // closed when its containers run, or cannot be started
	front    *process
	back     *process
	commands io.Writer       // to the app
	replies  *bufio.Scanner  // from it
	answers  chan struct{}   // closed when it answers for the first time
	wanted   context.Context //nolint:containedctx // until it is told to stop
	unwant   context.CancelFunc
}

// Probe is one run of a task's health check command.
type Probe struct {
	Task     fleet.TaskARN
	Due      time.Time // when it was to begin
	Began    time.Time
	Took     time.Duration
	Told     time.Time // what it found had been taken by then
	Code     int       // its exit code
	TimedOut bool      // it was killed after the check's timeout
	Said     string
}

// Start starts the processes of a task.
func (a *agent) Start(l sim.Launch) {
	g := a.enter(l)
	a.do(func() error { return a.bringUp(g) })
}

// enter knows of a task from now on.
func (a *agent) enter(l sim.Launch) *group {
	g := &group{Launch: l, dir: filepath.Join(a.dir, l.Address), launched: make(chan struct{}), answers: make(chan struct{})}
	g.wanted, g.unwant = context.WithCancel(a.ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tasks[l.Task] = g
	return g
}

// bringUp starts a task and waits until it answers, unless it is told to stop
// before.
func (a *agent) bringUp(g *group) error {
	failed, err := a.launch(g)
	close(g.launched)
	if err != nil {
		return errors.Join(err, a.region.Exited(g.Task, failed, 1))
	}
	if err := a.region.Started(g.Task); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(g.wanted, 30*time.Second)
	defer cancel()
	if err = firstAnswer(ctx, net.JoinHostPort(g.Address, strconv.Itoa(frontPort))); err == nil {
		close(g.answers)
		err = a.region.Recover(g.Task)
	}
	if err != nil && g.wanted.Err() == nil {
		return fmt.Errorf("task %s does not come up: %w", g.Address, err)
	}
	return nil
}

// do does something that takes time.
func (a *agent) do(what func() error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return
	}
	a.busy.Go(func() {
		if err := what(); err != nil {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.wrong = append(a.wrong, err)
		}
	})
}

// close begins nothing any more, and waits for what was begun once its processes
// have been ended.
func (a *agent) close() error {
	a.mu.Lock()
	a.over = true
	a.mu.Unlock()
	err := a.processes.close()
	a.busy.Wait()
	return err
}

// launch starts the containers, or says which one cannot be started.
func (a *agent) launch(g *group) (failed string, err error) {
	if err := os.MkdirAll(g.dir, 0o755); err != nil {
		return front, err
	}
	app := a.processes.command("app", g.Address)
	in, err := app.StdinPipe()
	if err != nil {
		return back, err
	}
	out, err := app.StdoutPipe()
	if err != nil {
		return back, err
	}
	g.commands, g.replies = in, bufio.NewScanner(out)
	var said bytes.Buffer
	app.Stderr = &said
	if g.back, err = a.contain(g, back, app); err != nil {
		return back, err
	}
	if !g.replies.Scan() || g.replies.Text() != "ok" {
		return back, fmt.Errorf("the app of %s does not start: %s%s", g.Address, g.replies.Text(), said.String())
	}
	conf := filepath.Join(g.dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(configure(nginxConf, g.Address, g.dir)), 0o644); err != nil {
		return front, err
	}
	log, err := os.Create(filepath.Join(g.dir, "nginx.log"))
	if err != nil {
		return front, err
	}
	defer func() { _ = log.Close() }() // the process has its own
	nginx := a.processes.command("init", a.tools.Nginx, "-e", "stderr", "-p", g.dir, "-c", conf, "-g", "daemon off;")
	nginx.Stdout, nginx.Stderr = log, log
	if g.front, err = a.contain(g, front, nginx); err != nil {
		return front, err
	}
	return "", nil
}

// contain starts a container, whose end the region is told.
func (a *agent) contain(g *group, name string, cmd *exec.Cmd) (*process, error) {
	p, err := a.processes.start(cmd)
	if err != nil {
		return nil, err
	}
	// Even if all is over since: whoever closes waits for every process that has been
	// started.
	a.busy.Go(func() {
		_ = p.wait() // its exit code says it
		if err := a.region.Exited(g.Task, name, exitCode(cmd)); err != nil {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.wrong = append(a.wrong, err)
		}
	})
	return p, nil
}

// configure moves nginx's configuration to a task's address and folder: its tasks
// share one network and one file system. A line for each call is written as well,
// but not kept: a lab may go on for days.
//
// auto would be a worker for every processor of the machine, in each task: two
// labs of three tasks on 64 processors would have 384. A task of the reference
// workload has a quarter of one.
func configure(conf, address, dir string) string {
	return strings.NewReplacer(
		"worker_processes auto", "worker_processes 2",
		"access_log /dev/stdout", "access_log /dev/null",
		"listen 10080", "listen "+address+":10080",
		"server 127.0.0.1:8080", "server "+address+":8080",
		"/tmp/", dir+"/",
	).Replace(conf)
}

// Stop sends each container's first process SIGTERM, once there is one, and kills
// the container after its stopTimeout.
func (a *agent) Stop(arn fleet.TaskARN) {
	g := a.task(arn)
	if g == nil {
		return
	}
	g.unwant()
	for _, spec := range g.Containers {
		a.do(func() error {
			<-g.launched
			p := g.front
			if spec.Name == back {
				p = g.back
			}
			if p == nil {
				return nil // it could not be started
			}
			_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
			timeout := time.NewTimer(spec.StopTimeout)
			defer timeout.Stop()
			select {
			case <-p.gone:
			case <-timeout.C:
				p.kill()
			}
			return nil
		})
	}
}

func (a *agent) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.probes = nil
}

func (a *agent) task(arn fleet.TaskARN) *group {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tasks[arn]
}

// well reports that a task has answered, and has passed its last check.
func (a *agent) well(arn fleet.TaskARN) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.tasks[arn]
	if g == nil || !g.up() {
		return false
	}
	for _, probe := range slices.Backward(a.probes) {
		if probe.Task == arn {
			return probe.Code == 0
		}
	}
	return false
}

// Check runs a container's health check command. One that comes before the
// container runs is of a task that the region begins with, as if it had been well
// for a while; it passes, so that checks keep the pace that the seed gives them.
func (a *agent) Check(c sim.Check) {
	a.do(func() error {
		g := a.task(c.Task)
		select {
		case <-g.launched:
		default:
			c.Report(true)
			return nil
		}
		probe, err := a.probe(g, c)
		c.Report(err == nil && probe.Code == 0)
		if err != nil {
			return err
		}
		probe.Told = time.Now()
		a.mu.Lock()
		defer a.mu.Unlock()
		if !a.forgets.Load() {
			a.probes = append(a.probes, probe)
		}
		return nil
	})
}

func (a *agent) probe(g *group, c sim.Check) (Probe, error) {
	command := append([]string{}, c.Command[1:]...)
	for i := range command {
		command[i] = strings.ReplaceAll(command[i], "localhost", g.Address)
	}
	if c.Command[0] == "CMD-SHELL" {
		command = append([]string{"/bin/sh", "-c"}, command...)
	}
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...) // ends by its group, not by a context
	cmd.Env = append(cmd.Environ(), "PATH="+filepath.Dir(a.tools.Probe)+":/usr/bin:/bin")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	probe := Probe{Task: c.Task, Due: c.Due, Began: time.Now()}
	p, err := a.processes.start(cmd)
	if err != nil {
		return probe, err
	}
	timeout := time.AfterFunc(c.Timeout, p.kill)
	_ = p.wait() // its exit code says it
	probe.TimedOut = !timeout.Stop()
	probe.Took, probe.Code, probe.Said = time.Since(probe.Began), exitCode(cmd), strings.TrimSpace(said.String())
	return probe, nil
}

// up reports that the task has answered.
func (g *group) up() bool {
	select {
	case <-g.answers:
		return true
	default:
		return false
	}
}

// order has the app of a task obey a command.
func (g *group) order(command string) error {
	if _, err := fmt.Fprintln(g.commands, command); err != nil {
		return fmt.Errorf("tell the app of %s to %s: %w", g.Address, command, err)
	}
	if !g.replies.Scan() || g.replies.Text() != "ok" {
		return fmt.Errorf("tell the app of %s to %s: it says %q", g.Address, command, g.replies.Text())
	}
	return nil
}

// killFront ends nginx, master and workers, and not its container.
func (g *group) killFront() error {
	text, err := os.ReadFile(filepath.Join(g.dir, "nginx.pid"))
	if err != nil {
		return fmt.Errorf("kill nginx of %s: %w", g.Address, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("kill nginx of %s: its process id is %q", g.Address, text)
	}
	// SIGTERM is its fast shutdown: every connection ends at once. A master that is
	// killed leaves its workers behind, which go on.
	return syscall.Kill(pid, syscall.SIGTERM)
}
