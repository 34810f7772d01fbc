package timeline

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// The address goes to another task while the timeline is still open.
func TestAddressReuse(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.gone = sec(984)
	r := w.add(fresh("b", 985))
	r.addr = l.addr
	l.replacement = r
	c := &camera{w: w}
	tl := only(t, c.film(NewTracker(DefaultSettings()), sec(500), sec(1200), poll))
	contains(t, tl, Detached, l.gone)
	contains(t, tl, ReplacementServing, r.serving)
}

// The address goes to a task that castoff is not told of, and that leaves again:
// its row is not the first task's, in whatever group it is, and not even while
// nobody can read what became of that one.
func TestAddressReusedUnheardOf(t *testing.T) {
	for name, of := range map[string]struct {
		groups int
		out    []int // groups that the first task has no row in
		skip   func(ref string, at time.Time) bool
	}{
		"same group":  {groups: 1},
		"other group": {groups: 2, out: []int{1}},
		"other group, tasks unread until its row goes": {groups: 2, out: []int{1}, skip: func(ref string, at time.Time) bool {
			return ref == "a" && at.After(sec(660)) && at.Before(sec(1155))
		}},
		"other group, tasks unread": {groups: 2, out: []int{1}, skip: func(ref string, at time.Time) bool {
			return ref == "a" && at.After(sec(660)) && at.Before(sec(1300))
		}},
		"tasks unread": {groups: 1, skip: func(ref string, at time.Time) bool { return ref == "a" && at.After(sec(900)) && at.Before(sec(1300)) }},
		"its end unread": {groups: 1, skip: func(ref string, at time.Time) bool {
			return ref == "a" && at.After(sec(660)) && at.Before(sec(1300)) || ref == "web-0" && at.After(sec(670)) && at.Before(sec(1100))
		}},
		"its end unread, the next one's too": {groups: 1, skip: func(ref string, at time.Time) bool {
			return ref == "a" && at.After(sec(660)) && at.Before(sec(1140)) || ref == "web-0" && at.After(sec(670)) && at.Before(sec(1100))
		}},
		"nothing read at all": {groups: 1, skip: func(_ string, at time.Time) bool { return at.After(sec(660)) && at.Before(sec(1140)) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(of.groups)
			l := w.add(hung("a"))
			l.absent = of.out
			b := w.add(fresh("b", 1020))
			b.addr, b.draining, b.gone = l.addr, sec(1130), sec(1160)
			if len(of.out) > 0 {
				b.absent = []int{0}
			}
			c := &camera{w: w, hide: func(l *life) bool { return l == b }}
			c.skip = func(ref string) bool { return of.skip != nil && c.last != nil && of.skip(ref, c.last.At) }
			tl := only(t, c.film(NewTracker(DefaultSettings()), sec(500), sec(2500), poll))
			if n := of.groups - len(of.out); len(tl.Targets) != n {
				t.Errorf("%d targets, had %d: %s", len(tl.Targets), n, describe(tl))
			}
			contains(t, tl, Detach, l.draining)
			contains(t, tl, Detached, l.gone)
		})
	}
}

// The check of the task that has the address next fails, while nobody can read that the
// first one has ended, or after that: it is none of the first one's failure.
func TestNextOneUnhealthy(t *testing.T) {
	for name, at := range map[string]time.Time{"before its end is known": sec(1090), "after": sec(1320)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			b := w.add(fresh("b", 1020))
			b.addr, b.lbUnhealthy, b.draining, b.gone = l.addr, at, at.Add(40*time.Second), at.Add(70*time.Second)
			c := &camera{w: w, hide: func(l *life) bool { return l == b }}
			c.skip = func(ref string) bool {
				now := sec(0)
				if c.last != nil {
					now = c.last.At
				}
				return ref == "a" && now.After(sec(660)) && now.Before(sec(1300)) || ref == "web-0" && now.After(sec(670)) && now.Before(sec(1100))
			}
			tracker := NewTracker(DefaultSettings())
			if closed := c.film(tracker, sec(500), sec(1200), poll); len(closed) > 0 {
				t.Fatal(describe(closed[0]))
			}
			if tl := only(t, tracker.Open()); at.Before(sec(1200)) {
				bounds(t, tl, LBUnhealthy) // for as long as it may be its own
			}
			c.film(tracker, sec(1205), sec(1340), poll)
			absent(t, only(t, tracker.Open()), LBUnhealthy)
			tl := only(t, c.film(tracker, sec(1345), sec(2500), poll))
			absent(t, tl, LBUnhealthy)
			contains(t, tl, Detach, l.draining)
			contains(t, tl, Detached, l.gone)
		})
	}
}

// An unhealthy row is not the task's that has its address before that one is registered.
func TestUnhealthyRowOfALateOne(t *testing.T) {
	for name, unread := range map[string][2]time.Time{
		"read all the time":       {},
		"unread as it starts":     {sec(604), sec(625)},
		"unread since before it":  {sec(585), sec(625)},
		"unread until it has run": {sec(0), sec(625)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			b := w.add(fresh("b", 600))
			b.registered, b.lbUnhealthy, b.activating = sec(500), sec(583), sec(608) // whoever it was that had the address
			tracker := NewTracker(DefaultSettings())
			c := &camera{w: w}
			c.skip = func(ref string) bool {
				return ref == "web-0" && c.last != nil && c.last.At.After(unread[0]) && c.last.At.Before(unread[1])
			}
			c.film(tracker, sec(570), b.started.Add(-time.Second), poll)
			if open := tracker.Open(); len(open) > 0 {
				t.Error(describe(open[0]))
			}
			c.film(tracker, b.started, sec(640), poll)
			tl := only(t, tracker.Open())
			contains(t, tl, LBUnhealthy, b.started) // what it is registered with
			if m := bounds(t, tl, LBUnhealthy); m.NotBefore.Before(b.created) {
				t.Errorf("before it was created: %s", describe(tl))
			}
		})
	}
}

// The same while it starts: the row turned unhealthy before it was registered.
func TestUnhealthyRowOfOneThatStarts(t *testing.T) {
	w := newWorld(1)
	b := w.add(fresh("b", 600))
	b.registered, b.lbUnhealthy, b.activating = sec(500), sec(603), sec(608)
	tracker := NewTracker(DefaultSettings())
	(&camera{w: w}).film(tracker, sec(570), b.started.Add(-time.Second), poll)
	if open := tracker.Open(); len(open) > 0 {
		t.Error(describe(open[0]))
	}
}

// A timeline that the balancer's word opened, and that was of another task, says
// nothing of when this one failed: nobody knows that it did.
func TestOpenedByTheNextOne(t *testing.T) {
	w := newWorld(1)
	l := w.add(settled("a"))
	l.deactivating, l.draining, l.gone, l.stopping, l.stopped = sec(603), sec(603), sec(613), sec(614), sec(620)
	l.stopCode, l.reason = "ServiceSchedulerInitiated", "Scaling activity initiated by (deployment ecs-svc/1)"
	b := w.add(fresh("b", 620))
	b.addr, b.lbUnhealthy = l.addr, sec(690)
	c := &camera{w: w, hide: func(l *life) bool { return l == b }}
	c.skip = func(ref string) bool {
		return c.last != nil && c.last.At.After(sec(590)) && c.last.At.Before(map[string]time.Time{"a": sec(720), "web-0": sec(685)}[ref])
	}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(715), poll)
	bounds(t, only(t, tracker.Open()), LBUnhealthy)
	c.film(tracker, sec(720), sec(740), poll)
	absent(t, only(t, tracker.Open()), LBUnhealthy, Onset)
}

// While rows are read and the tasks are not, an unhealthy row may be the next task's:
// no timeline opens before its own task is read again.
func TestOpensOnlyByItsOwnRow(t *testing.T) {
	for name, ended := range map[string]bool{"the next one's": true, "its own": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(settled("a"))
			c := &camera{w: w}
			if ended {
				l.deactivating, l.draining, l.gone, l.stopping, l.stopped = sec(603), sec(603), sec(613), sec(614), sec(620)
				l.stopCode, l.reason = "ServiceSchedulerInitiated", "Scaling activity initiated by (deployment ecs-svc/1)"
				b := w.add(fresh("b", 620))
				b.addr, b.lbUnhealthy = l.addr, sec(690)
				c.hide = func(l *life) bool { return l == b }
			} else {
				l.lbUnhealthy = sec(690)
			}
			c.skip = func(ref string) bool {
				return ref == "a" && c.last != nil && c.last.At.After(sec(590)) && c.last.At.Before(sec(720))
			}
			tracker := NewTracker(DefaultSettings())
			c.film(tracker, sec(500), sec(715), poll)
			if open := tracker.Open(); len(open) > 0 {
				t.Error(describe(open[0]))
			}
			c.film(tracker, sec(720), sec(740), poll)
			if ended {
				if open := tracker.Open(); len(open) > 0 {
					t.Error(describe(open[0]))
				}
				return
			}
			want := Bounds{NotBefore: sec(685), NotAfter: sec(720)} // until the last look at which its task was unread
			if m := bounds(t, only(t, tracker.Open()), LBUnhealthy); m.Bounds != want {
				t.Errorf("want %v: %v", want, m.Bounds)
			}
			if l.lbRecovered = sec(742); len(tracker.withheld) != 1 {
				t.Error("nothing is remembered of an unhealthy row")
			}
			if c.film(tracker, sec(745), sec(745), poll); len(tracker.withheld) != 0 {
				t.Error("a row is remembered that is in service")
			}
		})
	}
}

// The next task has the address as soon as the first one has ended: its row says
// nothing of that one, whose group was read to the end.
func TestNextOneHasTheRow(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	b := w.add(fresh("b", 1000))
	b.addr, b.registered = l.addr, sec(1016)
	c := &camera{w: w, hide: func(l *life) bool { return l == b }}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(1500), poll)
	tl := only(t, tracker.Open())
	if m := bounds(t, tl, Detached); tl.Unread || m.Bounds != (Bounds{NotBefore: sec(975), NotAfter: sec(980)}) || m.By != ByELB {
		t.Error(describe(tl))
	}
}

// A row that comes back while its task is not read counts from when it was seen last,
// once the task is known to be up.
func TestBackWhileItsTaskIsUnread(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.deactivating, l.stopping, l.stopped = time.Time{}, time.Time{}, time.Time{}
	l.draining, l.gone = sec(611), sec(613)
	c := &camera{w: w}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(640), poll)
	l.draining, l.gone, l.registered, l.serving = time.Time{}, time.Time{}, sec(655), sec(665)
	c.skip = func(ref string) bool { return ref == l.id }
	c.film(tracker, sec(645), sec(700), poll)
	if tl := only(t, tracker.Open()); len(tl.Targets[0].Good) != 1 {
		t.Errorf("it is back, and may be another's: %s", describe(tl))
	}
	c.skip = nil
	c.film(tracker, sec(705), sec(710), poll)
	good := only(t, tracker.Open()).Targets[0].Good
	if n := len(good); n != 2 || !good[1].From.Contains(sec(665)) {
		t.Errorf("good: %+v", good)
	}
}

// The row of the next task comes within a pass or two in which the first one is not
// read: it is not that one's, which ended.
func TestNextOneAtOnce(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.draining, l.gone, l.deactivating, l.stopping, l.stopped = sec(646), sec(648), sec(646), sec(648), sec(649)
	b := w.add(fresh("b", 650))
	b.addr, b.registered = l.addr, sec(651)
	c := &camera{w: w, hide: func(l *life) bool { return l == b }}
	c.skip = func(ref string) bool {
		return ref == l.id && c.last != nil && !c.last.At.Before(sec(645)) && c.last.At.Before(sec(658))
	}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(655), poll)
	contains(t, only(t, tracker.Open()), Detached, l.gone)
	c.film(tracker, sec(660), sec(670), poll)
	contains(t, only(t, tracker.Open()), Detached, l.gone)
}

// A row that drains is the next task's once that one has come so far, and may be where
// it has been read less lately than the row.
func TestNextOneDrains(t *testing.T) {
	for name, unread := range map[string]bool{"read": false, "unread": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			l.draining, l.gone = sec(681), sec(687)
			b := w.add(fresh("b", 684))
			b.addr, b.draining = l.addr, sec(760)
			c := &camera{w: w}
			c.skip = func(ref string) bool { return unread && ref == b.id && c.last != nil && c.last.At.After(sec(688)) }
			tracker := NewTracker(DefaultSettings())
			c.film(tracker, sec(500), sec(780), poll)
			if m := bounds(t, only(t, tracker.Open()), Detached); m.Bounds != (Bounds{NotBefore: sec(685), NotAfter: sec(690)}) {
				t.Errorf("want it between 685 and 690 s: %v", m)
			}
		})
	}
}

// The first look at a group may come long after that at its tasks, where requests are
// few: what it shows is taken in all the same.
func TestOpensByTheFirstLookAtItsGroup(t *testing.T) {
	w := newWorld(1)
	l := w.add(settled("a"))
	l.lbUnhealthy = sec(590)
	c := &camera{w: w}
	tracker := NewTracker(DefaultSettings())
	c.skip = func(ref string) bool { return ref == "web-0" }
	c.film(tracker, sec(600), sec(600), poll)
	c.skip = func(ref string) bool { return ref == l.id }
	c.film(tracker, sec(612), sec(612), poll)
	contains(t, only(t, tracker.Open()), LBUnhealthy, l.lbUnhealthy)
}

// A restart that comes before it is known whose row is unhealthy does not take it for one
// that was in service.
func TestRestartWhileARowIsHeldBack(t *testing.T) {
	w := newWorld(1)
	l := w.add(settled("a"))
	l.lbUnhealthy = sec(692)
	c := &camera{w: w}
	c.skip = func(ref string) bool {
		return ref == l.id && c.last != nil && c.last.At.After(sec(670)) && c.last.At.Before(sec(715))
	}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(715), poll)
	tracker, err := c.restart(tracker, sec(718))
	if err != nil {
		t.Fatal(err)
	}
	c.film(tracker, sec(720), sec(730), poll)
	contains(t, only(t, tracker.Open()), LBUnhealthy, l.lbUnhealthy)
}

// Rows may be read more often than tasks: one whose task was read a moment ago is its own.
func TestOpensByARowReadMoreOften(t *testing.T) {
	w := newWorld(1)
	l := w.add(settled("a"))
	l.lbUnhealthy = sec(692)
	c := &camera{w: w}
	c.skip = func(ref string) bool { return ref == l.id && c.last != nil && !c.last.At.Before(sec(685)) }
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(695), poll)
	contains(t, only(t, tracker.Open()), LBUnhealthy, l.lbUnhealthy)
}

// The row of the next task with the address is in service, while nobody can read that
// the first one has ended: that one's was not put back, and what took it out was the last.
func TestNextOneInService(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.draining, l.gone = sec(611), sec(641)
	l.deactivating, l.stopping, l.stopped = time.Time{}, sec(681), sec(690)
	b := w.add(fresh("b", 700))
	b.addr = l.addr
	c := &camera{w: w, hide: func(l *life) bool { return l == b }}
	c.skip = func(ref string) bool {
		return c.last != nil && c.last.At.After(sec(620)) && c.last.At.Before(map[string]time.Time{"a": sec(900), "web-0": sec(790)}[ref])
	}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(610), poll)
	tracker.Called(l.arn(), fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080), Bounds{NotBefore: sec(611).Add(-time.Millisecond), NotAfter: sec(611)})
	tl := only(t, c.film(tracker, sec(615), sec(2500), poll))
	contains(t, tl, Detach, l.draining)
	contains(t, tl, Detached, l.gone)
	if m := bounds(t, tl, Detach); m.By != ByCastoff {
		t.Error(describe(tl))
	}
}

// The last that was read of the group is from before the task was created: who drained
// there was another.
func TestGroupReadBeforeItsCreation(t *testing.T) {
	w := newWorld(1)
	old := w.add(settled("old"))
	old.deactivating, old.draining, old.gone, old.stopping, old.stopped = sec(505), sec(505), sec(541), sec(541), sec(550)
	l := w.add(&life{id: "a", addr: old.addr, created: sec(560), started: sec(575), registered: sec(575), serving: sec(595)})
	l.onset, l.unhealthy = sec(610), sec(623)
	l.deactivating, l.draining, l.gone, l.stopping, l.stopped = sec(681), sec(681), sec(741), sec(741), sec(760)
	l.stopCode, l.reason = "ServiceSchedulerInitiated", "Task failed container health checks"
	c := &camera{w: w}
	c.skip = func(ref string) bool {
		return ref == "web-0" && c.last != nil && c.last.At.After(sec(520)) && c.last.At.Before(sec(690))
	}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(600), poll)
	c.hide = func(l *life) bool { return l == old } // ECS tells of it no more
	c.film(tracker, sec(605), sec(630), poll)
	absent(t, only(t, tracker.Open()), Detach)
	tl := only(t, c.film(tracker, sec(635), sec(2500), poll))
	contains(t, tl, Detach, l.draining)
	contains(t, tl, Detached, l.gone)
	if m := bounds(t, tl, Detach); m.By != ByECS || m.NotBefore.Before(l.created) {
		t.Error(describe(tl))
	}
}

// A task that failed in castoff's sight and has no row in one of its groups had none,
// also where that group, or the task, is first read long after a restart, when the task
// has gone.
func TestNoRowInAGroupAfterARestart(t *testing.T) {
	for _, unread := range []string{"groups", "tasks"} {
		t.Run(unread, func(t *testing.T) {
			w := newWorld(2)
			l := w.add(hung("a"))
			l.absent = []int{1}
			c := &camera{w: w, hide: func(*life) bool { return true }}
			tracker := NewTracker(DefaultSettings())
			c.film(tracker, sec(500), sec(610), poll)
			c.hide = nil // first seen when it fails
			c.film(tracker, sec(615), sec(660), poll)
			tracker, err := c.restart(tracker, sec(1030))
			if err != nil {
				t.Fatal(err)
			}
			if unread == "groups" {
				c.skip = func(ref string) bool { return ref == "web-0" || ref == "web-1" }
				c.film(tracker, sec(1030), sec(1050), poll)
				c.skip = nil
			} else { // in a life without one snapshot that has the task
				state := tracker.State()
				state.Tasks, c.last, c.began = nil, nil, time.Time{}
				tracker = Restore(tracker.settings, state)
			}
			c.film(tracker, sec(1055), sec(1070), poll)
			tl := only(t, tracker.Open())
			if n := len(tl.Targets); n != 1 {
				t.Errorf("%d targets: %s", n, describe(tl))
			}
			contains(t, tl, Detach, l.draining)
			contains(t, tl, Detached, l.gone)
		})
	}
}

// A target that was put back and has not passed its checks yet is no sign of another
// task: it drains with its own.
func TestPutBackAndNotServingAsItStops(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.deactivating, l.stopping, l.stopped = time.Time{}, sec(650), sec(661)
	l.draining, l.gone = sec(611), sec(621)
	c := &camera{w: w}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(625), poll)
	l.registered, l.serving, l.draining, l.gone = sec(628), time.Time{}, sec(681), sec(981)
	tl := only(t, c.film(tracker, sec(630), sec(2500), poll))
	contains(t, tl, Detached, l.gone)
}
