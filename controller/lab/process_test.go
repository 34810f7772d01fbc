//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// TestMain lets the test binary be the lab's own processes.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != "lab-part" {
		os.Exit(m.Run())
	}
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := Part(ctx, os.Args[2:], os.Stdin, os.Stdout)
	release()
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

func newTestProcesses(t *testing.T) *processes {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ps, err := newProcesses([]string{self, "lab-part"})
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

// gone reports whether a process group has nobody left, but for those that nobody
// has waited for yet.
func gone(t *testing.T, group int) bool {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		after := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(after) > 2 && after[0] != "Z" && after[2] == strconv.Itoa(group) {
			return false
		}
	}
	return true
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(10 * time.Second); !so(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("not so after ten seconds: %s", what)
		}
	}
}

// stays watches a process group for a while in which it could have ended.
func stays(t *testing.T, group int) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for range 20 {
		<-ticker.C
		if gone(t, group) {
			t.Fatal("the container has ended with what it started")
		}
	}
}

// TestReaper: when the lab is gone its processes go too, stopped ones and those
// that they have started as well.
func TestReaper(t *testing.T) {
	t.Parallel()
	ps := newTestProcesses(t)
	// Not the kernel's doing: these are told to the reaper alone.
	var groups []int
	for range 3 {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", "sleep 60 & sleep 60")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Wait() })
		groups = append(groups, cmd.Process.Pid)
	}
	ended := groups[2]
	if _, err := ps.tell.WriteString("+" + strconv.Itoa(groups[0]) + "\n+" + strconv.Itoa(groups[1]) + "\n+" + strconv.Itoa(ended) + "\n-" + strconv.Itoa(ended) + "\n+1\n+0\nnonsense\n"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(-groups[1], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := ps.close(); err != nil {
		t.Fatal(err)
	}
	for _, group := range groups[:2] {
		eventually(t, "the group is gone", func() bool { return gone(t, group) })
	}
	if gone(t, ended) {
		t.Error("a group that has ended, whose number may be another's now, was killed")
	}
	_ = syscall.Kill(-ended, syscall.SIGKILL)
	if _, err := os.Stat(ps.dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// TestReaperFolder: nothing is left where the lab was gone before it heard of its
// folder, nor by a process that still makes files when it is killed.
func TestReaperFolder(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	nobody, gone, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = gone.Close() }()
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	reaper := exec.CommandContext(t.Context(), self, "lab-part", "reaper") // with nothing to be read
	reaper.ExtraFiles = []*os.File{gone}
	var failed *exec.ExitError
	if err := reaper.Run(); !errors.As(err, &failed) || !failed.Exited() {
		t.Errorf("nobody is told of the folder: %v", err)
	}
	dir := filepath.Join(tmp, "busy")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	begun, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := range 20_000 {
			_ = os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o600) // it fails once the folder is gone
			if i == 0 {
				close(begun)
			}
		}
	}()
	<-begun
	if err := remove(dir); err != nil {
		t.Error(err)
	}
	<-ended
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestInit: a container outlives what its first process has started, and ends when
// it is told to.
func TestInit(t *testing.T) {
	t.Parallel()
	ps := newTestProcesses(t)
	for _, command := range []string{"exit 3", "trap 'exit 0' TERM; while :; do sleep 0.01; done"} {
		cmd := ps.command("init", "sh", "-c", "echo begun; "+command)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		p, err := ps.start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != "begun" {
			t.Errorf("it says %q", lines.Text())
		}
		if command == "exit 3" {
			stays(t, p.group)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := p.wait(); err != nil || exitCode(cmd) != 0 {
			t.Errorf("%q: %v", command, err)
		}
		if !gone(t, p.group) {
			t.Errorf("%q: somebody is left", command)
		}
	}
	if err := ps.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ps.start(exec.CommandContext(t.Context(), "true")); err == nil {
		t.Error("a process was started when all was over")
	}
}

// TestProbe: the health check command as ECS runs it.
func TestProbe(t *testing.T) {
	t.Parallel()
	ps := newTestProcesses(t)
	defer func() {
		if err := ps.close(); err != nil {
			t.Error(err)
		}
	}()
	a := &agent{processes: ps, dir: ps.dir, tools: Tools{Probe: "/nowhere/grpc-health-probe"}, ctx: t.Context()}
	g := &group{Launch: sim.Launch{Task: "task", Address: "127.41.1.1"}}
	for _, test := range []struct {
		command []string
		code    int
		killed  bool
		said    string
	}{
		{[]string{"CMD-SHELL", "echo -addr=localhost:10080; exit 0"}, 0, false, "-addr=127.41.1.1:10080"},
		{[]string{"CMD", "/bin/sh", "-c", "echo $0 >&2; exit 3", "localhost"}, 3, false, "127.41.1.1"},
		{[]string{"CMD-SHELL", "echo begun; sleep 60 & sleep 60"}, 137, true, "begun"},
		{[]string{"CMD-SHELL", "no-such-program"}, 127, false, ""},
	} {
		timeout := 10 * time.Second
		if test.killed {
			timeout = 300 * time.Millisecond
		}
		got, err := a.probe(g, sim.Check{Task: fleet.TaskARN("task"), Command: test.command, Timeout: timeout})
		if err != nil || got.Code != test.code || got.TimedOut != test.killed || !strings.Contains(got.Said, test.said) {
			t.Errorf("%v: %+v, %v", test.command, got, err)
		}
		if test.killed && (got.Took < timeout || got.Took > timeout+5*time.Second) {
			t.Errorf("killed after %v, not %v", got.Took, timeout)
		}
	}
}
