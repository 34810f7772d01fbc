//go:build linux && !nolab

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/lab"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

var labs = flag.Bool("lab", false, "run the lab: needs nginx, and grpc-health-probe in .cache/probe or PATH")

// labProgram is castoff, with marks on all its processes that can be looked for: a
// variable in their environment, and for nginx, which writes over that, where it
// writes its log.
type labProgram struct {
	path string
	mark string
	dir  string
}

// labMark is a variable in the environment of whatever a test's castoff starts.
const labMark = "CASTOFF_LAB_TEST="

func newLabProgram(t *testing.T) labProgram {
	t.Helper()
	if !*labs {
		t.Skip("not asked for: -lab")
	}
	p := labProgram{filepath.Join(t.TempDir(), "castoff"), fmt.Sprintf("%s%d-%s", labMark, os.Getpid(), t.Name()), t.TempDir()}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return p
}

func (p labProgram) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.path, append([]string{"lab"}, args...)...)
	cmd.Dir = "../.." // of .cache/probe
	cmd.Env = append(os.Environ(), p.mark, "TMPDIR="+p.dir)
	return cmd
}

// left are the command lines of processes that the program has left.
func (p labProgram) left(t *testing.T) (left []string) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range processes {
		environment, _ := os.ReadFile(filepath.Join(process, "environ")) // it may be gone
		output, _ := os.Readlink(filepath.Join(process, "fd", "1"))
		if strings.Contains(string(environment)+"\x00", p.mark+"\x00") || strings.HasPrefix(output, p.dir+"/") {
			line, _ := os.ReadFile(filepath.Join(process, "cmdline"))
			left = append(left, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return left
}

// run runs one failure.
func (p labProgram) run(t *testing.T, args ...string) labResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var out, progress bytes.Buffer
	cmd := p.command(ctx, append(args, "--json", "--speed", "20")...)
	cmd.Stdout, cmd.Stderr = &out, &progress
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, progress.String(), out.String())
	}
	var results []labResult
	if err := json.Unmarshal(out.Bytes(), &results); err != nil || len(results) != 1 || len(results[0].Sides) != 2 {
		t.Fatalf("%v\n%s", err, out.String())
	}
	var shown bytes.Buffer
	if err := results[0].write(&shown); err != nil {
		t.Fatal(err)
	}
	t.Log(shown.String())
	return results[0]
}

// truly is when a milestone really came, and whether it did.
func (s labSide) truly(k timeline.Kind) (float64, bool) {
	m, _ := s.Castoff.milestone(k)
	if m.Truth == nil {
		return 0, false
	}
	return *m.Truth, true
}

// short is what the clients felt who open a connection for each call.
func (s labSide) short() lab.HabitFelt {
	return s.Felt.Habits[0]
}

// detected says in which way the probe has not turned the task UNHEALTHY within
// retries × (interval + timeout), as the agent promises. A busy machine begins a
// check later than it was due, ends it later than its timeout and hears of it
// later than it ended: each of these was measured, and is allowed for.
func (s labSide) detected(speed float64) error {
	const clocks = 0.05 // they are rounded
	check := sim.ReferenceWorkload("lab", "grpc").Containers[0].Check
	interval, timeout := check.Interval.Seconds(), check.Timeout.Seconds()
	lag := sim.DefaultParams().HealthReportFargate.Max.Seconds() / speed
	unhealthy, saw := s.truly(timeline.Unhealthy)
	if !saw {
		return errors.New("it never was UNHEALTHY")
	}
	failed, told, late := 0, 0.0, 0.0
	for _, p := range s.Probes {
		if p.Due > unhealthy {
			break
		}
		if p.Due > told+interval+clocks && p.Due > 0 {
			return fmt.Errorf("a check was due at %.2f s, and should have been %.0f s after the one before, at %.2f s", p.Due, interval, told)
		}
		if p.Took > timeout+clocks && !p.TimedOut {
			return fmt.Errorf("a check went on for %.2f s", p.Took)
		}
		if p.Code == 0 { // it began before the onset
			late = max(p.Told, 0)
		} else {
			failed++
			late += p.Began - p.Due + max(p.Took-timeout, 0) + p.Told - p.Began - p.Took
		}
		told = max(p.Told, 0)
	}
	if failed != check.Retries {
		return fmt.Errorf("%d checks had failed when it was UNHEALTHY after %.2f s, want %d", failed, unhealthy, check.Retries)
	}
	if most := float64(check.Retries)*(interval+timeout) + lag + late + clocks; unhealthy > most {
		return fmt.Errorf("UNHEALTHY after %.2f s, want %.2f s at most (the machine was %.2f s late)", unhealthy, most, late)
	}
	return nil
}

// TestLabDetected: whatever a busy machine does is borne, and what an agent does
// wrong is not.
func TestLabDetected(t *testing.T) {
	t.Parallel()
	at := func(unhealthy float64, probes ...labProbe) labSide {
		return labSide{Castoff: report{Milestones: []reportMilestone{{Milestone: timeline.Unhealthy, Truth: &unhealthy}}}, Probes: probes}
	}
	failed := func(due, late, took, heard float64) labProbe {
		return labProbe{Due: due, Began: due + late, Took: took, Told: due + late + took + heard, Code: 3, TimedOut: took > 3}
	}
	well := labProbe{Due: -0.1, Began: -0.1, Took: 0.2, Told: 0.1}
	for _, row := range []struct {
		what string
		side labSide
		want string
	}{
		{"as it should be", at(9.03, failed(0, 0, 2, 0), failed(7, 0, 2, 0), failed(14, 0, 2, 0)), ""},
		{"the worst there is", at(16.15, well, failed(5.1, 0, 3, 0), failed(13.1, 0, 3, 0)), ""},
		{"a busy machine", at(25.5, failed(5, 2, 3.5, 1), failed(16.5, 1, 4, 3.9)), ""},
		{"a retry too many", at(14, failed(1, 0, 0.01, 0), failed(6.01, 0, 0.01, 0), failed(11.02, 0, 0.01, 0)), "3 checks had failed"},
		{"a retry too few", at(3.5, failed(1, 0, 2, 0)), "1 checks had failed"},
		{"an interval too long", at(11.2, failed(1, 0, 2, 0), failed(9, 0, 2, 0)), "a check was due at 9.00 s"},
		{"the first one too late", at(16.2, failed(7, 0, 2, 0), failed(14, 0, 2, 0)), "a check was due at 7.00 s"},
		{"no timeout", at(17.2, failed(1, 0, 2, 0), labProbe{Due: 8, Began: 8, Took: 9, Told: 17, Code: 3}), "went on for 9.00 s"},
		{"told too late", at(19, failed(1, 0, 2, 0), failed(8, 0, 2, 0)), "UNHEALTHY after 19.00 s"},
	} {
		if err := row.side.detected(20); (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.what, err, row.want)
		}
	}
	if err := (labSide{}).detected(20); err == nil {
		t.Error("it never was UNHEALTHY, and that is well")
	}
}

// checkLab is what holds for every failure that the container check finds.
func checkLab(t *testing.T, r labResult, exitCode int) {
	t.Helper()
	for i, s := range r.Sides {
		if s.Mode != policy.Modes[i] || !s.Castoff.Holds || s.Castoff.Trigger != timeline.ContainerCheck || s.Castoff.Outcome != timeline.Retired {
			t.Errorf("%s: %+v", s.Mode, s.Castoff)
		}
		if err := s.detected(r.Speed); err != nil {
			t.Errorf("%s: %v", s.Mode, err)
		}
		failing := s.failing()
		killed := 0
		for _, p := range failing {
			switch {
			case p.TimedOut: // the machine was too busy
				killed++
			case p.Code != exitCode:
				t.Errorf("%s: probe %+v, want exit code %d", s.Mode, p, exitCode)
			}
		}
		if killed == len(failing) {
			t.Errorf("%s: every probe was killed: %+v", s.Mode, failing)
		}
		if s.short().Habit != lab.Short || s.short().Failed == 0 || s.Felt.Flows.Pinned == 0 {
			t.Errorf("%s: nobody felt it: %+v", s.Mode, s.Felt)
		}
	}
	watches, acts := r.Sides[0], r.Sides[1]
	if by, _ := watches.Castoff.milestone(timeline.Detach); by.By != timeline.ByECS {
		t.Errorf("castoff only watches, and the target was taken out by %s", by.By)
	}
	if by, _ := acts.Castoff.milestone(timeline.Detach); by.By != timeline.ByCastoff {
		t.Errorf("castoff acts, and the target was taken out by %s", by.By)
	}
	x, _ := watches.truly(timeline.Detach)
	if y, _ := acts.truly(timeline.Detach); y >= x {
		t.Errorf("taken out after %.1f s, by ECS alone after %.1f s", y, x)
	}
}

// checkHelps: who opens a connection for each call feels less of it.
func checkHelps(t *testing.T, r labResult) {
	t.Helper()
	watches, acts := r.Sides[0], r.Sides[1]
	if x, y := watches.short(), acts.short(); y.Failed >= x.Failed || y.Seconds >= x.Seconds {
		t.Errorf("calls on new connections: failed %d in %d s, while castoff only watches %d in %d s", y.Failed, y.Seconds, x.Failed, x.Seconds)
	}
	if x, y := watches.Felt.Flows, acts.Felt.Flows; y.Last >= x.Last || y.New >= x.New {
		t.Errorf("new connections to the failing task: %d until %.1f s, while castoff only watches %d until %.1f s", y.New, y.Last, x.New, x.Last)
	}
	for _, s := range r.Sides {
		if _, saw := s.truly(timeline.LBUnhealthy); saw {
			t.Errorf("%s: the TCP check saw the app fail", s.Mode)
		}
	}
}

// checkPinned: kept connections stay until the task ends, or until the balancer
// ends them with the deregistration delay; then their clients are answered by
// others.
func checkPinned(t *testing.T, r labResult, terminated bool) {
	t.Helper()
	for _, s := range r.Sides {
		f := s.Felt.Flows
		stopping, _ := s.truly(timeline.Stopping)
		switch {
		case terminated && (f.Reset != f.Pinned-f.Left || f.Reset == 0 || f.Moved != f.Reset):
			t.Errorf("%s: kept connections %+v; the task was told to stop after %.1f s", s.Mode, f, stopping)
		case !terminated && (f.Reset != 0 || f.Left == f.Pinned): // what is left has ended later than that
			t.Errorf("%s: kept connections %+v; the task was told to stop after %.1f s", s.Mode, f, stopping)
		}
	}
}

// TestLab is the original system for real, and what castoff is for.
func TestLab(t *testing.T) {
	program := newLabProgram(t)
	t.Run("failures", func(t *testing.T) {
		t.Run("hang", func(t *testing.T) {
			t.Parallel()
			r := program.run(t, "--scenario", "hang")
			checkLab(t, r, 3) // no answer within -rpc-timeout
			checkHelps(t, r)
			checkPinned(t, r, false)
			for _, s := range r.Sides {
				for _, p := range s.failing() {
					if p.Took < 1.9 {
						t.Errorf("%s: the probe gave up after %.2f s, want 2", s.Mode, p.Took)
					}
				}
			}
		})
		t.Run("hang, connections terminated", func(t *testing.T) {
			t.Parallel()
			r := program.run(t, "--scenario", "hang", "--terminate")
			checkLab(t, r, 3)
			checkHelps(t, r)
			checkPinned(t, r, true)
		})
		t.Run("crash", func(t *testing.T) {
			t.Parallel()
			r := program.run(t, "--scenario", "crash")
			checkLab(t, r, 3) // nginx says that there is nobody
			checkHelps(t, r)
		})
		t.Run("nginx-dead", func(t *testing.T) {
			t.Parallel()
			r := program.run(t, "--scenario", "nginx-dead")
			checkLab(t, r, 2) // no connection
			if _, saw := r.Sides[0].truly(timeline.LBUnhealthy); !saw {
				t.Error("the TCP check did not see that nginx is dead")
			}
		})
	})
	if left := program.left(t); len(left) > 0 {
		t.Errorf("left running:\n%s", strings.Join(left, "\n"))
	}
}

// TestLabLeavesNothing: whatever ends the lab, and whenever.
func TestLabLeavesNothing(t *testing.T) {
	program := newLabProgram(t)
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := program.command(ctx)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// From the first processes on to when all run. Without nginx's workers there are
		// 21: a container's root may not see whose they are.
		program.until(t, "it has not begun", func() bool { return len(program.left(t)) > min(2+3*i/2, 20) })
		signal := syscall.SIGKILL
		if i%4 == 3 {
			signal = syscall.SIGINT
		}
		if err := syscall.Kill(-cmd.Process.Pid, signal); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		cancel()
		program.until(t, "processes are left", func() bool { return len(program.left(t)) == 0 })
		program.until(t, "files are left", func() bool { return empty(t, program.dir) })
	}
}

// until waits for something within half a minute, which a busy machine may need.
func (p labProgram) until(t *testing.T, otherwise string, so func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(30 * time.Second); !so(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("%s:\n%s", otherwise, strings.Join(p.left(t), "\n"))
		}
	}
}

func empty(t *testing.T, dir string) bool {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(string, fs.DirEntry, error) error {
		files++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files == 1
}

func TestLabRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--speed", "0.5"}, {"--speed", "NaN"}, {"--tasks", "1"}, {"--rate", "101"}, {"--kept", "51"}, {"--runs", "0"},
		{"--scenario", "flood"}, {"--stay", "--runs", "2"}, {"--stay", "--scenario", "hang,crash"}, {"--target-check", "udp"}, {"--read", "results.json", "--stay"}, {"--read", "results.json", "--json"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), append([]string{"lab"}, args...), streams{out: &out, err: &out}); code != exitUsage {
			t.Errorf("%v: exit code %d: %s", args, code, out.String())
		}
	}
}

func TestLabSummary(t *testing.T) {
	t.Parallel()
	var results []labResult
	for i := range 5 {
		r := labResult{Scenario: lab.Hang, Speed: 10}
		for side, factor := range []float64{2, 1} {
			at := func(k timeline.Kind, s float64) reportMilestone {
				return reportMilestone{Milestone: k, Truth: &s, Holds: i+side > 0}
			}
			s := labSide{Castoff: report{Milestones: []reportMilestone{
				at(timeline.Onset, 0), at(timeline.Unhealthy, 10), at(timeline.Detach, 10+factor*float64(5+i)),
			}}, Probes: []labProbe{{Began: 1, Took: 2, Code: 3}, {Began: 11, Took: 2, Code: 3}}}
			s.Felt.Flows.Last = float64(20 + i)
			for _, h := range lab.Habits {
				s.Felt.Habits = append(s.Felt.Habits, lab.HabitFelt{Habit: h, Failed: int(factor) * (i + 1)})
			}
			r.Sides = append(r.Sides, s)
		}
		results = append(results, r)
	}
	// One file of two runs, one of three: what --read takes.
	var files []string
	for i, some := range [][]labResult{results[:2], results[2:]} {
		var text bytes.Buffer
		if err := (labCmd{JSON: true}).write(&text, some); err != nil {
			t.Fatal(err)
		}
		files = append(files, filepath.Join(t.TempDir(), strconv.Itoa(i)))
		if err := os.WriteFile(files[i], text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if code := run(t.Context(), []string{"lab", "--read", strings.Join(files, ",")}, streams{out: &b, err: &b}); code != exitFailed {
		t.Errorf("exit code %d; what does not hold is not told", code)
	}
	squeezed := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		"UNHEALTHY → detach 14.0 s (10.0 s–18.0 s) 7.0 s (5.0 s–9.0 s) ÷ 2.00",
		"failed calls, of all kinds " + strconv.Itoa(8*6) + " (16–80) 24 (8–40) ÷ 2.00",
		"grpc-health-probe ended with 3 10 times, in 2.00 s (2.00–2.00)",
		"Milestones whose bounds hold the truth: 27 of 30.",
	} {
		if !strings.Contains(squeezed, want) {
			t.Errorf("not said: %s\n%s", want, b.String())
		}
	}
}
