package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/scenario"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// TestDemo runs it all: region, wire, daemon, judgement.
func TestDemo(t *testing.T) {
	t.Parallel()
	var out, progress bytes.Buffer
	if code := run(t.Context(), []string{"demo", "--speed", "60", "--json"}, streams{out: &out, err: &progress}); code != exitOK {
		t.Fatalf("exit code %d:\n%s%s", code, progress.String(), out.String())
	}
	var got report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if !got.Holds || got.Speed != 60 || got.Seed != 1 || got.Service != "demo/grpc" ||
		got.Trigger != timeline.ContainerCheck || got.Outcome != timeline.Retired || got.Replacement == "" {
		t.Errorf("report %s", out.String())
	}
	var kinds []string
	for _, m := range got.Milestones {
		kinds = append(kinds, string(m.Milestone))
		if m.Truth == nil || m.NotBefore == nil || m.NotAfter == nil || *m.Truth < *m.NotBefore || *m.Truth > *m.NotAfter || !m.Holds {
			t.Errorf("milestone %+v", m)
		}
	}
	if want := "onset unhealthy replacement_created replacement_running replacement_serving detach detached stopping stopped"; strings.Join(kinds, " ") != want {
		t.Errorf("milestones %s", kinds)
	}
	if len(got.Phases) != len(timeline.PhaseNames) {
		t.Errorf("phases %+v", got.Phases)
	}
	for _, line := range words {
		if said := strings.Contains(progress.String(), line); said != (line != words[timeline.LBUnhealthy] && line != words[timeline.Recovery]) {
			t.Errorf("%q: said is %t", line, said)
		}
	}
}

// hungUp ends the context as soon as something is written.
type hungUp struct {
	bytes.Buffer
	cancel context.CancelFunc
}

func (w *hungUp) Write(p []byte) (int, error) {
	w.cancel()
	return w.Buffer.Write(p)
}

func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	out := &hungUp{cancel: cancel}
	var errs bytes.Buffer
	if code := run(ctx, []string{"demo", "--stay"}, streams{out: out, err: &errs}); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if errs.String() != "castoff: interrupted before the timeline was complete\n" {
		t.Errorf("said %q", errs.String())
	}
}

// t0 is when the app hangs in story.
var t0 = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return t0.Add(time.Duration(seconds * float64(time.Second))) }

// story is a failure that was timed at twice the speed of the clock.
func story() (*timeline.Timeline, sim.Truth) {
	const task = "arn:aws:ecs:eu-central-1:123456789012:task/demo/00000000000000000000000000000001"
	const other = "arn:aws:ecs:eu-central-1:123456789012:task/demo/00000000000000000000000000000002"
	key := fleet.NewTargetKey("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/grpc/1", "10.0.0.1", 10080)
	seen := func(k timeline.Kind, from, to float64, by timeline.Actor) timeline.Milestone {
		return timeline.Milestone{Kind: k, Bounds: timeline.Bounds{NotBefore: at(from), NotAfter: at(to)}, Source: timeline.Observed, By: by}
	}
	exact := func(k timeline.Kind, when float64) timeline.Milestone {
		return timeline.Milestone{Kind: k, Bounds: timeline.At(at(when)), Source: timeline.AWS, By: timeline.ByECS}
	}
	detach, detached := seen(timeline.Detach, 126, 127, timeline.ByECS), seen(timeline.Detached, 276, 277.0004, timeline.ByELB)
	tl := &timeline.Timeline{
		ID: "1", Task: task, Service: fleet.ServiceID{Cluster: "demo", Name: "grpc"}, Trigger: timeline.ContainerCheck, Outcome: timeline.Retired,
		Replacement: other, Opened: at(9), Closed: at(301),
		Milestones: []timeline.Milestone{
			{Kind: timeline.Onset, Bounds: timeline.Bounds{NotBefore: at(-12.5), NotAfter: at(6.5)}, Source: timeline.Estimated, By: timeline.ByApp},
			seen(timeline.Unhealthy, 7, 9, timeline.ByECS),
			exact(timeline.ReplacementCreated, 14.5), exact(timeline.ReplacementRunning, 25.25),
			seen(timeline.ReplacementServing, 118, 119, timeline.ByELB),
			detach, detached,
			exact(timeline.Stopping, 276.4), exact(timeline.Stopped, 300),
		},
		Targets: []timeline.Target{{
			Key: key, Milestones: []timeline.Milestone{detach, detached},
			Good: []timeline.Span{{From: timeline.At(at(-60)), To: detach.Bounds}},
		}},
	}
	truth := sim.Truth{
		Task: task, Onset: t0, Unhealthy: at(7.7), Stopping: at(276.4), Stopped: at(300),
		ReplacementCreated: at(14.5), ReplacementRunning: at(25.25), ReplacementServing: at(118.5),
		Targets: []sim.TargetTruth{{Key: key, Detach: at(126.4), Detached: at(276.4)}},
	}
	return tl, truth
}

var storyDemo = demoCmd{Speed: 2, Seed: 7}

func storySince(when time.Time) time.Duration { return storyDemo.lengthen(when.Sub(t0)) }

func TestReport(t *testing.T) {
	tl, truth := story()
	for _, c := range []struct {
		file  string
		json  bool
		spoil func()
		holds bool
	}{
		{file: "report.txt", holds: true},
		{file: "report.json", json: true, holds: true},
		{file: "report_wrong.txt", spoil: func() {
			truth.Targets[0].Detach = at(130)      // outside the bounds
			truth.Targets[0].LBUnhealthy = at(200) // castoff is blind to it
			truth.Stopping = time.Time{}           // castoff makes it up
		}},
	} {
		if c.spoil != nil {
			c.spoil()
		}
		r := newReport(storyDemo, tl, scenario.Judge(tl, truth), storySince)
		var b bytes.Buffer
		if err := r.print(&b, c.json); err != nil {
			t.Fatal(err)
		}
		if r.Holds != c.holds {
			t.Errorf("%s: holds is %t", c.file, r.Holds)
		}
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if strings.TrimRight(line, " \t") != line || !c.json && len(line) > 80 {
				t.Errorf("%s: ends in blanks or is longer than 80: %q", c.file, line)
			}
		}
		golden(t, c.file, b.String())
	}
}

// TestProgress: each milestone is told once, in the order of time within a look.
func TestProgress(t *testing.T) {
	tl, _ := story()
	all := tl.Milestones
	var b bytes.Buffer
	p := newProgress(streams{out: &b}, storyDemo)
	p.begin("127.0.0.1:9468")
	p.hung(tl.Task)
	for _, n := range []int{2, 2, 5, len(all)} {
		tl.Milestones = all[:n]
		p.show(tl, storySince)
		p.tick(storySince(at(1)))
	}
	p.clear()
	golden(t, "progress.txt", b.String())
	for line := range strings.Lines(b.String()) {
		if len(line) > 81 {
			t.Errorf("longer than 80: %q", line)
		}
	}
}

func TestProgressOnATerminal(t *testing.T) {
	var b bytes.Buffer
	p := &progress{w: &b, live: true, shown: map[timeline.Kind]bool{}}
	p.tick(59960 * time.Millisecond)
	p.line(61*time.Second, "next")
	p.clear()
	if want := "\r+01:00.0  …\r\x1b[K+01:01.0  next\n\r\x1b[K"; b.String() != want {
		t.Errorf("wrote %q", b.String())
	}
}
