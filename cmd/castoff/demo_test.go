package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// TestDemo runs it all: regions, wire, daemons, judgement.
func TestDemo(t *testing.T) {
	t.Parallel()
	var out, progress bytes.Buffer
	dir := t.TempDir()
	if code := run(t.Context(), []string{"demo", "--speed", "30", "--json", "--record", dir}, streams{out: &out, err: &progress}); code != exitOK {
		t.Fatalf("exit code %d:\n%s%s", code, progress.String(), out.String())
	}
	var got comparison
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]report{"ECS alone": got.Alone, "with castoff": got.With} {
		checkReport(t, name, r, 30)
	}
	a, w := got.Alone.Felt, got.With.Felt
	if 10*w.Exposure > a.Exposure || w.LastFlow >= a.LastFlow || w.Flows >= a.Flows || w.Flows <= 0 {
		t.Errorf("felt %+v alone, %+v with castoff", a, w)
	}
	// The TCP check of nginx's port may see that nginx fails: what castoff saved it does not know.
	if got.With.Saved != nil || got.With.Tries < 2 {
		t.Errorf("saved %+v, tries %d", got.With.Saved, got.With.Tries)
	}
	if s := got.Alone.Saved; s == nil || s.Shortest < 60 || s.Longest < s.Shortest || got.Alone.Tries != 0 {
		t.Errorf("castoff only watches, and saved %+v", s)
	}
	checkPlayed(t, filepath.Join(dir, "observe"), got.Alone)
	checkPlayed(t, filepath.Join(dir, "detach"), got.With)
	for _, line := range []string{"with castoff  castoff deregisters the sick target", "ECS alone     ECS deregisters", "with castoff  ECS has registered the target again", "deregisters it again"} {
		if !strings.Contains(progress.String(), line) {
			t.Errorf("not said: %q", line)
		}
	}
}

// TestDemoObserving: castoff alone with ECS, nothing written.
func TestDemoObserving(t *testing.T) {
	t.Parallel()
	var out, progress bytes.Buffer
	if code := run(t.Context(), []string{"demo", "--mode", "observe", "--speed", "60", "--json"}, streams{out: &out, err: &progress}); code != exitOK {
		t.Fatalf("exit code %d:\n%s%s", code, progress.String(), out.String())
	}
	var got report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	checkReport(t, "alone", got, 60)
	for kind, line := range words {
		line = strings.ReplaceAll(line, "%s", "ECS")
		if said := strings.Contains(progress.String(), line); said != (kind != timeline.LBUnhealthy && kind != timeline.Recovery) {
			t.Errorf("%q: said is %t", line, said)
		}
	}
}

// checkReport checks that castoff saw all of a hang, and rightly.
func checkReport(t *testing.T, name string, got report, speed float64) {
	t.Helper()
	if !got.Holds || got.Speed != speed || got.Seed != 1 || got.Service != "demo/grpc" ||
		got.Trigger != timeline.ContainerCheck || got.Outcome != timeline.Retired || got.Replacement == "" {
		t.Errorf("%s: %+v", name, got)
	}
	var kinds []string
	for _, m := range got.Milestones {
		kinds = append(kinds, string(m.Milestone))
		if m.Truth == nil || m.NotBefore == nil || m.NotAfter == nil || *m.Truth < *m.NotBefore || *m.Truth > *m.NotAfter || !m.Holds {
			t.Errorf("%s: milestone %+v", name, m)
		}
	}
	if want := "onset unhealthy replacement_created replacement_running replacement_serving detach detached stopping stopped"; strings.Join(kinds, " ") != want {
		t.Errorf("%s: milestones %s", name, kinds)
	}
	if len(got.Phases) != len(timeline.PhaseNames) {
		t.Errorf("%s: phases %+v", name, got.Phases)
	}
}

// checkPlayed plays the record of a demo: it is of the same failure. That castoff says the
// same of it to the millisecond is held where no machine is in the way, in scenario.
func checkPlayed(t *testing.T, dir string, was report) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"replay", "--json", dir}, streams{out: &out, err: &errs}); code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	var said struct {
		Timelines []struct {
			Task    string
			Trigger timeline.Trigger
		}
		Gaps   []any
		Missed int
		Speed  float64
	}
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		t.Fatal(err)
	}
	if len(said.Timelines) != 1 || !strings.HasSuffix(said.Timelines[0].Task, was.Task) || said.Timelines[0].Trigger != was.Trigger ||
		len(said.Gaps) != 0 || said.Missed != 0 || said.Speed != was.Speed {
		t.Errorf("played: %s", out.String())
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
		Targets: []sim.TargetTruth{{
			Key: key, Detach: at(126.4), Detached: at(276.4), LastFlow: at(186.4),
			Exposed: 118700 * time.Millisecond, Flows: 3728.4,
		}},
	}
	return tl, truth
}

// shortStory is the same failure when castoff takes the target out.
func shortStory() (*timeline.Timeline, sim.Truth, *policy.Detachment) {
	tl, truth := story()
	detach := timeline.Milestone{Kind: timeline.Detach, Bounds: timeline.Bounds{NotBefore: at(10), NotAfter: at(10.1)}, Source: timeline.Observed, By: timeline.ByCastoff}
	detached := timeline.Milestone{Kind: timeline.Detached, Bounds: timeline.Bounds{NotBefore: at(159), NotAfter: at(161)}, Source: timeline.Observed, By: timeline.ByELB}
	for i, m := range tl.Milestones {
		switch m.Kind {
		case timeline.Detach:
			tl.Milestones[i] = detach
		case timeline.Detached:
			tl.Milestones[i] = detached
		}
	}
	tl.Targets[0].Milestones, tl.Targets[0].Good[0].To = []timeline.Milestone{detach, detached}, detach.Bounds
	target := &truth.Targets[0]
	target.By, target.Detach, target.Detached, target.LastFlow = sim.ByAPI, at(10.05), at(160.05), at(70.05)
	target.Exposed, target.Flows = 2350*time.Millisecond, 1400.6
	return tl, truth, &policy.Detachment{
		Mode: policy.Detaching, Called: at(10), Tries: 1, ECS: &policy.Bounds{NotBefore: at(126), NotAfter: at(128.5)},
	}
}

var storyDemo = demoCmd{Mode: policy.Observing, Speed: 2, Seed: 7}

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
		r := newReport(storyDemo, tl, truth, nil, storySince)
		var b bytes.Buffer
		if err := r.write(&b, c.json); err != nil {
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

func TestComparison(t *testing.T) {
	tl, truth := story()
	alone := newReport(storyDemo, tl, truth, &policy.Detachment{Mode: policy.Observing, Decided: at(9), ECS: &policy.Bounds{NotBefore: at(126), NotAfter: at(127)}}, storySince)
	tl, truth, d := shortStory()
	both := comparison{Alone: alone, With: newReport(storyDemo, tl, truth, d, storySince)}
	for file, asJSON := range map[string]bool{"comparison.txt": false, "comparison.json": true} {
		var b bytes.Buffer
		if err := errors.Join(both.write(&b, asJSON), both.verdict()); err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if strings.TrimRight(line, " \t") != line || !asJSON && len(line) > 100 {
				t.Errorf("%s: ends in blanks or is longer than 100: %q", file, line)
			}
		}
		golden(t, file, b.String())
	}
	for name, spoil := range map[string]func(*comparison){
		"wrong about ECS alone": func(c *comparison) { c.Alone.Holds = false },
		"wrong":                 func(c *comparison) { c.With.Holds = false },
		"nothing done":          func(c *comparison) { c.With.Tries = 0 },
		"of no use":             func(c *comparison) { c.With.Felt = c.Alone.Felt },
	} {
		if c := both; true {
			if spoil(&c); c.verdict() == nil {
				t.Errorf("%s: no error", name)
			}
		}
	}
}

// TestProgress: each milestone is told once, in the order of time within a look.
func TestProgress(t *testing.T) {
	tl, _ := story()
	all := tl.Milestones
	var b bytes.Buffer
	shared := newProgress(streams{out: &b}, storyDemo)
	shared.begin(nil)
	p := shared.of(&demoRun{mode: policy.Observing})
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

// TestProgressOfATarget that is put back, and taken out again.
func TestProgressOfATarget(t *testing.T) {
	tl, _, d := shortStory()
	var b bytes.Buffer
	c := storyDemo
	c.Mode = policy.Detaching
	p := newProgress(streams{out: &b}, c).of(&demoRun{mode: policy.Detaching})
	p.show(tl, storySince)
	b.Reset()
	p.again(nil, storySince)
	p.again(d, storySince)
	d.Back = &policy.Bounds{NotBefore: at(20), NotAfter: at(21)}
	p.again(d, storySince)
	p.again(d, storySince)
	d.Back, d.Called, d.Tries = nil, at(30), 2
	p.again(d, storySince)
	d.Called, d.Tries = at(60), 3 // put back and taken out between two looks
	p.again(d, storySince)
	for i, m := range tl.Milestones {
		if m.Kind == timeline.Detach {
			tl.Milestones[i].By, tl.Milestones[i].Bounds = timeline.ByECS, timeline.At(at(70))
		}
	}
	p.show(tl, storySince)
	golden(t, "progress_again.txt", b.String())
}

func TestProgressOnATerminal(t *testing.T) {
	var b bytes.Buffer
	p := teller{progress: &progress{w: &b, live: true}}
	p.tick(59960 * time.Millisecond)
	p.say(61*time.Second, "next")
	p.clear()
	if want := "\r+01:00.0  …\r\x1b[K+01:01.0  next\n\r\x1b[K"; b.String() != want {
		t.Errorf("wrote %q", b.String())
	}
}
