package timeline

import (
	"slices"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// A restart loses no timeline, and widens bounds by no more than it took.
func TestRestart(t *testing.T) {
	tests := []struct {
		name       string
		stop, back float64
	}{
		{"before it fails", 550, 580},
		{"while it fails unseen", 600, 630},
		{"between UNHEALTHY and detach", 640, 670},
		{"while it is detached", 670, 700},
		{"in the drain", 700, 900},
		{"while it is stopped", 975, 1030},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			l.replacement = w.add(fresh("b", 623))
			w.add(settled("c"))
			c := &camera{w: w}
			tracker := NewTracker(DefaultSettings())
			closed := c.film(tracker, sec(500), sec(tt.stop), poll)
			open := tracker.Open()
			tracker, err := c.restart(tracker, sec(tt.back))
			if err != nil {
				t.Fatal(err)
			}
			closed = append(closed, c.film(tracker, sec(tt.back), sec(1700), poll)...)
			tl := only(t, closed)
			if len(open) > 0 && open[0].ID != tl.ID {
				t.Errorf("%s became %s", open[0].ID, tl.ID)
			}
			if len(c.opened) != 1 {
				t.Errorf("opened %d times", len(c.opened))
			}
			gap := time.Duration((tt.back - tt.stop) * float64(time.Second))
			for k, at := range w.truth(l) {
				if at.IsZero() {
					continue
				}
				m := bounds(t, tl, k)
				if !m.Contains(at) {
					t.Errorf("%s was at %s: %s", k, at, describe(tl))
				}
				if m.Source == Observed && m.Width() > gap+poll {
					t.Errorf("%s is %s wide after %s away: %s", k, m.Width(), gap, describe(tl))
				}
			}
		})
	}
}

// The state is a copy: what the tracker does next does not change it.
func TestStateIsACopy(t *testing.T) {
	w := newWorld(1)
	w.add(hung("a"))
	c := &camera{w: w}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(640), poll)
	state := tracker.State()
	before := describe(state.Failures[0].Timeline)
	c.film(tracker, sec(645), sec(1000), poll)
	if after := describe(state.Failures[0].Timeline); after != before {
		t.Errorf("changed from %s to %s", before, after)
	}
}

// Where one could not be read of those that may fail, none is known to be calm. What
// tells of no task and of no row does not matter.
func TestCalmOfWhatIsRead(t *testing.T) {
	harmless := []fleet.GapKind{fleet.GapTaskDefinition, fleet.GapContainerInstances, fleet.GapAttributes, fleet.GapTags}
	for _, kind := range fleet.GapKinds {
		w := newWorld(1)
		w.add(settled("a"))
		c := &camera{w: w}
		tracker := NewTracker(DefaultSettings())
		c.film(tracker, sec(500), sec(510), poll)
		s := *c.shoot(sec(515))
		s.Gaps = []fleet.Gap{{Kind: kind}}
		tracker.Track(fleet.NewSnapshot(s))
		if calm, want := tracker.State().Calm, slices.Contains(harmless, kind); !calm.Tasks.IsZero() != want || !calm.Groups.IsZero() != want {
			t.Errorf("with %s unread, calm is known as of %v and %v, want %v", kind, calm.Tasks, calm.Groups, want)
		}
	}
}

// What a version that did not keep which rows were surely the task's own has written
// is all its own.
func TestStateOfBeforeRowsHadOwners(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.lbUnhealthy = sec(620)
	c := &camera{w: w}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(640), poll)
	state := tracker.State()
	if state.Failures[0].Targets[0].Own == nil {
		t.Fatal("not kept")
	}
	state.Failures[0].Targets[0].Own = nil
	tl := only(t, c.film(Restore(tracker.settings, state), sec(1100), sec(2500), poll))
	contains(t, tl, LBUnhealthy, l.lbUnhealthy)
}
