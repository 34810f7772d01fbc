//go:build linux

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// processes starts processes that do not outlive the lab.
type processes struct {
	part   []string // how this program runs a part of the lab
	reaper *exec.Cmd
	tell   *os.File // to the reaper
	dir    string   // the lab's own

	starts chan start
	ended  chan struct{} // nothing is started any more

	mu   sync.Mutex
	live map[int]*process // by process group
}

// start is a command to be started, and where to say how that went.
type start struct {
	cmd  *exec.Cmd
	done chan error
}

// process leads a process group of its own.
type process struct {
	of    *processes
	cmd   *exec.Cmd
	group int
	gone  chan struct{} // closed when it has ended
}

// newProcesses starts the reaper, which also makes the lab's folder and removes it
// in the end.
func newProcesses(part []string) (*processes, error) {
	ps := &processes{part: part, starts: make(chan start), ended: make(chan struct{}), live: map[int]*process{}}
	in, out, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the lab's reaper: %w", err)
	}
	defer func() { _ = in.Close() }() // the reaper has its own
	ps.tell = out
	ps.reaper = ps.command("reaper")
	ps.reaper.Stdin = in
	told, tells, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the lab's reaper: %w", err), out.Close())
	}
	defer func() { _ = told.Close() }()
	// Not its standard output: a write to that would end it where the lab is gone already.
	ps.reaper.ExtraFiles = []*os.File{tells}
	// Not killed with the lab: it has work to do then. A group of its own, so that
	// Ctrl-C in a terminal does not reach it.
	ps.reaper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := ps.reaper.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the lab's reaper: %w", err), out.Close(), tells.Close())
	}
	_ = tells.Close() // the reaper has its own
	go ps.startAll()
	if ps.dir, err = bufio.NewReader(told).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("the lab's reaper has no folder: %w", err), ps.close())
	}
	ps.dir = strings.TrimSuffix(ps.dir, "\n")
	return ps, nil
}

// command runs a part of the lab, see [Part].
func (ps *processes) command(args ...string) *exec.Cmd {
	all := append(append([]string{}, ps.part...), args...)
	return exec.CommandContext(context.Background(), all[0], all[1:]...) // ends by its group, not by a context
}

// startAll starts what is asked for on one thread: the kernel takes the end of
// the thread that started a process for the end of its parent.
func (ps *processes) startAll() {
	runtime.LockOSThread()
	for {
		select {
		case s := <-ps.starts:
			s.done <- s.cmd.Start()
		case <-ps.ended:
			return
		}
	}
}

// start starts a command in a process group of its own.
func (ps *processes) start(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	s := start{cmd, make(chan error, 1)}
	select {
	case ps.starts <- s:
	case <-ps.ended:
		return nil, errors.New("the lab is over")
	}
	if err := <-s.done; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p := &process{of: ps, cmd: cmd, group: cmd.Process.Pid, gone: make(chan struct{})}
	ps.mu.Lock()
	ps.live[p.group] = p
	_, err := fmt.Fprintf(ps.tell, "+%d\n", p.group)
	ps.mu.Unlock()
	if err != nil {
		p.kill()
		return nil, errors.Join(fmt.Errorf("the lab's reaper is gone: %w", err), p.wait())
	}
	return p, nil
}

// wait waits for the end of the process, and takes what is left of its group
// with it. To be called once.
func (p *process) wait() error {
	err := p.cmd.Wait()
	p.kill()
	p.of.mu.Lock()
	delete(p.of.live, p.group)
	_, _ = fmt.Fprintf(p.of.tell, "-%d\n", p.group) // no reaper, nothing to be told
	p.of.mu.Unlock()
	close(p.gone)
	return err
}

// signal sends a signal to every process of the group.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.group, s) } // it may have ended

func (p *process) kill() { p.signal(syscall.SIGKILL) }

// exitCode is a process's as Docker gives it: 128 and the signal's number for one
// that a signal ended.
func exitCode(cmd *exec.Cmd) int {
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

func (ps *processes) count() int {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return len(ps.live)
}

// close kills every process that is left and waits until all are gone.
func (ps *processes) close() error {
	close(ps.ended)
	ps.mu.Lock()
	var left []*process
	for _, p := range ps.live {
		left = append(left, p)
	}
	ps.mu.Unlock()
	for _, p := range left {
		p.kill()
	}
	for _, p := range left {
		<-p.gone
	}
	return errors.Join(ps.tell.Close(), ps.reaper.Wait())
}

// reap makes a folder, says where, and keeps a list of process groups, told as
// +GROUP when one begins and -GROUP when it has ended, until there is nothing more
// to be read: then whoever wrote is gone, and the folder and they go too. The folder
// is made here since a lab that made it could be killed before it had a reaper.
func reap(from io.Reader, to io.Writer) error {
	dir, err := os.MkdirTemp("", "castoff-lab-")
	if err != nil {
		return fmt.Errorf("make the lab's folder: %w", err)
	}
	// nginx's workers are another user's where it is started as root.
	err = os.Chmod(dir, 0o755) //nolint:gosec // nothing in it is secret
	if err == nil {
		_, err = fmt.Fprintln(to, dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make the lab's folder: %w", err), os.RemoveAll(dir))
	}
	groups := map[int]bool{}
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		switch group, err := strconv.Atoi(lines.Text()); {
		case err != nil:
		case group > 1: // 1 would be everybody's
			groups[group] = true
		default:
			delete(groups, -group)
		}
	}
	for group := range groups {
		_ = syscall.Kill(-group, syscall.SIGKILL) // it may have ended
	}
	return errors.Join(lines.Err(), remove(dir))
}

// remove removes a folder in which processes that are being killed may make files
// until they are gone.
func remove(dir string) error {
	const pause, patience = 10 * time.Millisecond, 10 * time.Second
	for waited := time.Duration(0); ; waited += pause {
		if err := os.RemoveAll(dir); !errors.Is(err, syscall.ENOTEMPTY) || waited >= patience {
			return err
		}
		<-time.After(pause)
	}
}
