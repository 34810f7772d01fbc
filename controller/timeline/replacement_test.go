package timeline

import (
	"testing"
	"time"
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
