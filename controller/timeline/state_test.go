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
	harmless := []fleet.GapKind{fleet.GapTaskDefinition, fleet.GapContainerInstances, fleet.GapServiceRevision, fleet.GapGateways, fleet.GapAttributes, fleet.GapBalancer, fleet.GapTags}
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

// A restart in whose life no task could be read tells of no failure again, and takes no
// other task for the replacement.
func TestRestartWhileNothingIsRead(t *testing.T) {
	w := newWorld(1)
	w.add(hung("a"))
	w.add(fresh("b", 623))
	flaps := w.add(settled("c"))
	flaps.onset, flaps.unhealthy, flaps.recovered = sec(590), sec(603), sec(640)
	c := &camera{w: w}
	tracker := NewTracker(DefaultSettings())
	if closed := c.film(tracker, sec(500), sec(1100), poll); len(closed) != 2 {
		t.Fatalf("%d timelines closed", len(closed))
	}
	tracker, err := c.restart(tracker, sec(1105))
	if err != nil {
		t.Fatal(err)
	}
	c.blind(true)
	c.film(tracker, sec(1105), sec(1130), poll)
	if s := tracker.State(); len(s.Taken) != 1 || len(s.Recovered) != 1 {
		t.Errorf("%d replacements are taken, %d tasks have recovered", len(s.Taken), len(s.Recovered))
	}
	c.blind(false)
	c.began = time.Time{} // ECS lists what has stopped for a while
	c.film(tracker, sec(1135), sec(1150), poll)
	if len(c.opened) != 2 {
		t.Errorf("told %d times of two failures", len(c.opened))
	}
}

// What is out of sight is forgotten, whatever cannot be read elsewhere.
func TestForgetsWhatIsGone(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	w.add(fresh("b", 623))
	flaps := w.add(settled("c"))
	flaps.onset, flaps.unhealthy, flaps.recovered = sec(590), sec(603), sec(640)
	off := w.add(settled("d"))
	off.cutOff = sec(520)
	c := &camera{w: w, gaps: []fleet.Gap{{Kind: fleet.GapTasks, Ref: "arn:aws:ecs:eu-central-1:123456789012:cluster/other"}}}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(1100), poll)
	if s := tracker.State(); len(s.Taken) == 0 || len(s.Recovered) == 0 || len(s.Dark) == 0 || len(s.Failures) == 0 {
		t.Fatalf("of %s: %+v", l.id, s)
	}
	c.hide = func(*life) bool { return true }
	c.film(tracker, sec(1105), sec(2500), poll)
	if s := tracker.State(); len(s.Taken)+len(s.Recovered)+len(s.Dark)+len(s.Failures) > 0 {
		t.Errorf("%d taken, %d recovered, %d dark, %d failures", len(s.Taken), len(s.Recovered), len(s.Dark), len(s.Failures))
	}
}

// A cluster whose tasks cannot all be read, for ever, has nothing kept of those that
// were in sight and are no more, also where that was after a restart.
func TestForgetsInALastingGap(t *testing.T) {
	w := newWorld(1)
	w.add(hung("a"))
	w.add(fresh("b", 623))
	c := &camera{w: w}
	c.blind(true)
	c.hide = nil
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(1100), poll)
	tracker, err := c.restart(tracker, sec(1105))
	if err != nil {
		t.Fatal(err)
	}
	c.began = time.Time{} // ECS lists what has stopped for a while
	c.film(tracker, sec(1105), sec(1130), poll)
	c.blind(true)
	c.film(tracker, sec(1135), sec(2500), poll)
	if s := tracker.State(); len(s.Taken)+len(s.Failures) > 0 {
		t.Errorf("%d taken, %d failures", len(s.Taken), len(s.Failures))
	}
}

// What is out of sight when all can be read after a restart is forgotten as well.
func TestForgetsWhatWentInARestart(t *testing.T) {
	w := newWorld(1)
	w.add(hung("a"))
	w.add(fresh("b", 623))
	c := &camera{w: w}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(1100), poll)
	tracker, err := c.restart(tracker, sec(1105))
	if err != nil {
		t.Fatal(err)
	}
	c.hide = func(*life) bool { return true }
	c.film(tracker, sec(1105), sec(2500), poll)
	if s := tracker.State(); len(s.Taken)+len(s.Failures) > 0 {
		t.Errorf("%d taken, %d failures", len(s.Taken), len(s.Failures))
	}
}
