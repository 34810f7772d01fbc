package timeline

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestPairing(t *testing.T) {
	tests := []struct {
		name  string
		build func(*world) map[string]string // failing task → replacement
	}{
		{"several at once, each one task", func(w *world) map[string]string {
			for i, id := range []string{"a", "b", "c"} {
				l := hung(id)
				l.unhealthy = sec(603 + 10*float64(i))
				w.add(l)
				w.add(fresh(id+"2", 633+float64(i)))
			}
			return map[string]string{"a": "a2", "b": "b2", "c": "c2"}
		}},
		{"a deployment at the same time", func(w *world) map[string]string {
			w.add(hung("a"))
			roll := fresh("new", 610)
			roll.startedBy = "ecs-svc/2"
			w.add(roll)
			w.add(fresh("a2", 623))
			return map[string]string{"a": "a2"}
		}},
		{"zones are balanced at the same time", func(w *world) map[string]string {
			w.add(hung("a"))
			moved := fresh("moved", 610)
			w.add(moved)
			w.add(fresh("a2", 623))
			w.service.Moved = []string{moved.arn().ID()}
			return map[string]string{"a": "a2"}
		}},
		{"only a deployment", func(w *world) map[string]string {
			w.add(hung("a"))
			roll := fresh("new", 610)
			roll.startedBy = "ecs-svc/2"
			w.add(roll)
			return map[string]string{"a": ""}
		}},
		{"the replacement fails too", func(w *world) map[string]string {
			w.add(hung("a"))
			bad := fresh("a2", 623)
			bad.serving, bad.onset, bad.unhealthy = time.Time{}, sec(638), sec(660)
			bad.deactivating, bad.draining, bad.gone, bad.stopping, bad.stopped = sec(670), sec(670), sec(675), sec(675), sec(680)
			bad.reason = "Task failed container health checks"
			w.add(bad)
			w.add(fresh("a3", 690))
			return map[string]string{"a": "a3", "a2": ""}
		}},
		{"nobody's, and another's much later", func(w *world) map[string]string {
			w.add(hung("a"))
			l := hung("b")
			l.unhealthy, l.onset = sec(1300), sec(1290)
			l.deactivating, l.draining, l.gone, l.stopping, l.stopped = sec(1380), sec(1381), sec(1420), sec(1421), sec(1430)
			w.add(l)
			w.add(fresh("b2", 1325))
			return map[string]string{"a": "", "b": "b2"}
		}},
		{"stop first", func(w *world) map[string]string {
			l := hung("a")
			l.deactivating, l.draining, l.gone, l.stopping, l.stopped = sec(610), sec(610), sec(640), sec(640), sec(660)
			w.add(l)
			w.add(fresh("a2", 670))
			return map[string]string{"a": "a2"}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(1)
			want := tt.build(w)
			closed := (&camera{w: w}).film(NewTracker(DefaultSettings()), sec(500), sec(2400), poll)
			for _, tl := range closed {
				id, ok := want[tl.Task.ID()]
				got := ""
				if tl.Replacement != "" {
					got = tl.Replacement.ID()
				}
				if !ok || got != id {
					t.Errorf("replaced by %q, want %q: %s", got, id, describe(tl))
				}
				delete(want, tl.Task.ID())
			}
			if len(want) > 0 {
				t.Errorf("no timelines of %v", want)
			}
		})
	}
}

// A DAEMON service has one task an instance: who came to a failing one's replaces it,
// whatever failed first.
func TestDaemonsArePairedByInstance(t *testing.T) {
	w := newWorld(1)
	w.service.Scheduling = fleet.Daemon
	on := map[string]fleet.ContainerInstanceARN{"a": "i-1", "b": "i-2", "c": "i-2", "d": "i-1", "e": "i-3"}
	w.said = func(l *life, _ time.Time, task *fleet.Task) { task.ContainerInstance = on[l.id] }
	w.add(hung("a"))
	b := w.add(hung("b"))
	b.unhealthy = b.unhealthy.Add(5 * time.Second)
	w.add(fresh("e", 622)) // an instance joined
	w.add(fresh("c", 623))
	w.add(fresh("d", 640))
	closed := (&camera{w: w}).film(NewTracker(DefaultSettings()), sec(500), sec(1800), poll)
	if len(closed) != 2 {
		t.Fatalf("%d timelines", len(closed))
	}
	for _, tl := range closed {
		if want := map[string]string{"a": "d", "b": "c"}[tl.Task.ID()]; tl.Replacement.ID() != want {
			t.Errorf("%s, want %s", describe(tl), want)
		}
	}
}

// One that fails while it boots has not failed yet; one that goes on failing has.
func TestReplacementBoots(t *testing.T) {
	for _, c := range []struct {
		recovered float64
		failed    int
	}{{660, 0}, {0, 1}} {
		w := newWorld(1)
		w.service.Grace = 100 * time.Second
		w.add(hung("a"))
		r := w.add(fresh("b", 623))
		r.unhealthy = sec(650)
		if c.recovered > 0 {
			r.recovered = sec(c.recovered)
		}
		tracker := NewTracker(DefaultSettings())
		(&camera{w: w}).film(tracker, sec(500), sec(800), poll)
		tl := tracker.failure("arn:aws:ecs:eu-central-1:123456789012:task/prod/a").tl
		if tl.ReplacementsFailed != c.failed || (tl.Replacement == "") != (c.failed > 0) {
			t.Errorf("%d failed, want %d: %s", tl.ReplacementsFailed, c.failed, describe(tl))
		}
	}
}

// What ECS had decided upon before a task was well may come 44 s later, and no more.
func TestReplacementOfATaskThatRecovered(t *testing.T) {
	tracker := NewTracker(DefaultSettings())
	f := &failure{tl: &Timeline{Milestones: []Milestone{
		{Kind: Unhealthy, Bounds: Bounds{NotBefore: sec(600), NotAfter: sec(605)}},
		{Kind: Recovery, Bounds: Bounds{NotBefore: sec(610), NotAfter: sec(615)}},
	}}}
	for created, want := range map[float64]bool{606: true, 615 + 44: true, 615 + 44.001: false} {
		if got := tracker.mayReplace(&fleet.Task{Created: sec(created)}, f); got != want {
			t.Errorf("created at %v: %t", created, got)
		}
	}
}
