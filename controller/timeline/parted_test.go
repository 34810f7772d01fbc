package timeline

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// A row that left before its task was read failing left when it was seen to, however
// long the task had run, and whatever was read since, before a restart or after it.
func TestRowLeftBeforeTheFailure(t *testing.T) {
	for name, c := range map[string]struct {
		draining, gone float64
		restart        float64
	}{
		"just before":                      {draining: 598, gone: 700},
		"long before, and at once":         {draining: 540, gone: 540},
		"long before, and it still drains": {draining: 540, gone: 700},
		"long before, and it has gone":     {draining: 520, gone: 560},
		"before a restart":                 {draining: 540, gone: 700, restart: 580},
		"before a restart, and gone":       {draining: 520, gone: 560, restart: 580},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			w.add(settled("ok"))
			l.draining, l.gone = sec(c.draining), sec(c.gone)
			cam, tracker := &camera{w: w}, NewTracker(DefaultSettings())
			if c.restart > 0 {
				cam.film(tracker, sec(500), sec(c.restart), poll)
				var err error
				if tracker, err = cam.restart(tracker, sec(c.restart)); err != nil {
					t.Fatal(err)
				}
				cam.film(tracker, sec(c.restart+2), sec(800), poll)
			} else {
				cam.film(tracker, sec(500), sec(800), poll)
			}
			tl := only(t, tracker.Open())
			for k, at := range map[Kind]time.Time{Detach: l.draining, Detached: l.gone} {
				if m := bounds(t, tl, k); !m.Contains(at) || m.Width() > 3*poll {
					t.Errorf("%s is not about %s: %s", k, at, describe(tl))
				}
			}
			if m := bounds(t, tl, Detach); m.By != ByOther {
				t.Error("its task was up, and ECS did it:", describe(tl))
			}
		})
	}
}

// A row that leaves while nobody can read the task of its address may be the next
// one's: when the task's own left is not known then.
func TestNextOnesRowLeaves(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	b := w.add(fresh("b", 1020))
	b.addr, b.draining, b.gone = l.addr, sec(1130), sec(1160)
	c := &camera{w: w, hide: func(l *life) bool { return l == b }}
	c.skip = func(ref string) bool {
		return ref == "a" && c.last != nil && c.last.At.After(sec(590)) && c.last.At.Before(sec(1300))
	}
	absent(t, only(t, c.film(NewTracker(DefaultSettings()), sec(500), sec(2500), poll)), Detach, Detached)
}

// A group that nobody names any more says nothing of its rows.
func TestGroupThatIsNoLongerThere(t *testing.T) {
	w := newWorld(1)
	w.add(settled("a"))
	cam, tracker := &camera{w: w}, NewTracker(DefaultSettings())
	cam.film(tracker, sec(500), sec(505), poll)
	groups := w.groups
	w.groups = nil
	cam.film(tracker, sec(510), sec(515), poll)
	w.groups = groups
	cam.film(tracker, sec(520), sec(525), poll)
	if got := tracker.partings(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// What is back has not left; what went with its task is no longer kept.
func TestPartingsEnd(t *testing.T) {
	w := newWorld(1)
	back, gone := w.add(settled("a")), w.add(settled("b"))
	back.draining, back.gone = sec(520), sec(540)
	gone.draining, gone.gone, gone.stopping, gone.stopped = sec(520), sec(540), sec(550), sec(560)
	gone.stopCode = "ServiceSchedulerInitiated"
	cam, tracker := &camera{w: w}, NewTracker(DefaultSettings())
	cam.film(tracker, sec(500), sec(545), poll)
	if got := tracker.partings(); len(got) != 2 || len(got[0].Seen) > 5 || got[0].Task != back.arn() {
		t.Fatalf("%+v", got)
	}
	back.draining, back.gone = time.Time{}, time.Time{}
	cam.hide = func(l *life) bool { return l == gone }
	cam.film(tracker, sec(546), sec(600), poll)
	if got := tracker.State().Parted; len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// The next task's row is not this one's come back.
func TestPartingOfAnAddressReused(t *testing.T) {
	key := fleet.NewTargetKey("arn:g", "10.0.0.9", 80)
	row := func(state fleet.TargetState, at float64, owner fleet.TaskARN) *fleet.Snapshot {
		g := &fleet.TargetGroup{ARN: "arn:g", Read: fleet.Read{Sent: sec(at), Received: sec(at)}}
		if state != "" {
			g.Targets = []fleet.Target{{Key: key, State: state}}
		}
		return fleet.NewSnapshot(fleet.Snapshot{TargetGroups: []*fleet.TargetGroup{g},
			Tasks: []*fleet.Task{{ARN: owner, Targets: []fleet.TargetKey{key}}}})
	}
	p := Parting{Task: "a", Key: key, Seen: []Sighting{
		{&fleet.Target{Key: key, State: fleet.TargetHealthy}, fleet.Read{Received: sec(1)}},
		{&fleet.Target{Key: key, State: fleet.TargetDraining}, fleet.Read{Received: sec(2)}},
	}}
	for _, at := range []float64{3, 4, 5} {
		p = p.follow(row(fleet.TargetInitial, at, "b"))
	}
	if len(p.Seen) != 4 || p.Seen[3].Row != nil || !p.Seen[2].Read.Sent.Equal(sec(3)) || !p.Seen[3].Read.Sent.Equal(sec(5)) {
		t.Errorf("%+v", p.Seen)
	}
	if p := p.follow(row(fleet.TargetInitial, 6, "a")); len(p.Seen) != 0 {
		t.Errorf("it is back: %+v", p)
	}
}
