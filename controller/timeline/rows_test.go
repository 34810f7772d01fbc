package timeline

import (
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// What castoff takes out and ECS puts back is exposed for as long as the
// balancer calls it healthy, and no longer.
func TestExposureOfATargetPutBack(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.draining, l.gone = sec(611), time.Time{}
	w.add(fresh("b", 623))
	tracker := NewTracker(DefaultSettings())
	c := &camera{w: w}
	c.film(tracker, sec(500), sec(640), poll)
	l.draining, l.registered, l.serving = time.Time{}, sec(642), sec(651) // put back: initial, then healthy
	c.film(tracker, sec(645), sec(660), poll)
	l.draining, l.gone = sec(681), sec(980)
	tl := only(t, c.film(tracker, sec(665), sec(1200), poll))
	for _, p := range tl.Phases() {
		// From 603 to 611 and from 651 to 681, each end within one poll.
		if p.Name == Exposure && (p.Shortest > 38*time.Second || p.Longest < 38*time.Second || p.Error() > 4*poll) {
			t.Errorf("exposed for %s to %s, was 38s: %s", p.Shortest, p.Longest, describe(tl))
		}
	}
	if n := len(tl.Targets[0].Good); n != 2 {
		t.Errorf("good %d times", n)
	}
}

// The balancer may have called a target unhealthy just before it was taken out, and
// nobody read it so until it was put back.
func TestUnhealthyJustBeforeItWasTakenOut(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	first := sec(610.5)
	tracker, c := NewTracker(DefaultSettings()), &camera{w: w}
	c.film(tracker, sec(500), sec(610), poll)
	l.draining, l.gone = sec(611), time.Time{}
	tracker.Called(l.arn(), fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080), Bounds{NotBefore: sec(611).Add(-time.Millisecond), NotAfter: sec(611)})
	c.film(tracker, sec(615), sec(630), poll)
	l.draining, l.registered, l.serving, l.lbUnhealthy = time.Time{}, sec(632), time.Time{}, sec(640)
	c.film(tracker, sec(635), sec(670), poll)
	contains(t, only(t, tracker.Open()), LBUnhealthy, first)
}

// A target that is put back is out of service until its checks pass: what took
// it out was the first call, even where nobody saw it drain.
func TestDetachOfATargetPutBack(t *testing.T) {
	for name, seen := range map[string]bool{"seen draining": true, "put back at once": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			l.draining, l.gone = sec(611), time.Time{}
			w.add(fresh("b", 623))
			tracker := NewTracker(DefaultSettings())
			c := &camera{w: w}
			c.film(tracker, sec(500), sec(610), poll)
			call := Bounds{NotBefore: sec(611).Add(-time.Millisecond), NotAfter: sec(611)}
			tracker.Called(l.arn(), fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080), call)
			again := sec(612)
			if seen {
				again = sec(632)
				c.film(tracker, sec(615), sec(630), poll)
			}
			l.draining, l.registered, l.serving = time.Time{}, again, time.Time{} // initial
			c.film(tracker, again.Add(3*time.Second), sec(650), poll)
			l.draining = sec(655)
			tracker.Called(l.arn(), fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080), Bounds{NotBefore: sec(655).Add(-time.Millisecond), NotAfter: sec(655)})
			l.gone = sec(980)
			tl := only(t, c.film(tracker, sec(660), sec(1200), poll))
			if m := bounds(t, tl, Detach); m.By != ByCastoff || m.Bounds != call {
				t.Error(describe(tl))
			}
			contains(t, tl, Detached, l.gone)
		})
	}
}

// A row that was in no one's sight for longer than two checks take may have been
// in service meanwhile: then the call was not the last to take it out.
func TestDetachOutOfSight(t *testing.T) {
	for gap, narrow := range map[time.Duration]bool{20 * time.Second: true, 22 * time.Second: false} {
		w := newWorld(1)
		l := w.add(hung("a"))
		l.draining, l.gone = sec(611), sec(911)
		w.add(fresh("b", 623))
		tracker := NewTracker(DefaultSettings())
		c := &camera{w: w}
		c.film(tracker, sec(500), sec(610), poll)
		call := Bounds{NotBefore: sec(611).Add(-time.Millisecond), NotAfter: sec(611)}
		tracker.Called(l.arn(), fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080), call)
		tl := only(t, c.film(tracker, sec(610).Add(gap), sec(1200), poll))
		want := call
		if !narrow {
			want.NotAfter = sec(610).Add(gap)
		}
		if m := bounds(t, tl, Detach); m.By != ByCastoff || m.Bounds != want {
			t.Errorf("unseen for %s, want %v: %s", gap, want, describe(tl))
		}
	}
}

// A row that has gone may come back, and go again, in what is more than a glance away.
func TestGoneWithinAGlance(t *testing.T) {
	for every, wider := range map[time.Duration]bool{glance: false, glance + time.Millisecond: true} {
		w := newWorld(1)
		l := w.add(hung("a"))
		l.draining, l.gone = sec(606), sec(606)
		tracker := NewTracker(DefaultSettings())
		c := &camera{w: w}
		c.film(tracker, sec(500), sec(605), poll)
		c.film(tracker, sec(610), sec(645), every)
		if m := bounds(t, only(t, tracker.Open()), Detached); m.NotAfter.After(sec(610)) != wider {
			t.Errorf("read every %s: %s", every, describe(only(t, tracker.Open())))
		}
	}
}

// What was put back is taken out again by ECS: before its checks pass, after them
// while nobody looks, or when it passed them on its task's way out.
func TestPutBackAndTakenOutByECS(t *testing.T) {
	for name, of := range map[string]struct {
		away       [2]time.Time // when nobody looked
		registered time.Time
		serving    time.Time
		deact, out time.Time
		detach     time.Time // when it was last taken out of service
	}{
		"unseen, before its checks pass":  {away: [2]time.Time{sec(700), sec(790)}, registered: sec(702), deact: sec(780), out: sec(780), detach: sec(611)},
		"unseen, after its checks passed": {away: [2]time.Time{sec(740), sec(790)}, registered: sec(702), serving: sec(745), deact: sec(780), out: sec(781), detach: sec(781)},
		"on its task's way out":           {registered: sec(702), serving: sec(770), deact: sec(765), out: sec(781), detach: sec(781)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			w.groups[0].Check.Interval, w.groups[0].Check.HealthyThreshold = 30*time.Second, 5
			l := w.add(hung("a"))
			l.deactivating, l.stopping, l.stopped = of.deact, sec(815), sec(830)
			l.draining, l.gone = sec(611), sec(621)
			tracker := NewTracker(DefaultSettings())
			c := &camera{w: w}
			c.film(tracker, sec(500), sec(610), poll)
			key := fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080)
			tracker.Called(l.arn(), key, Bounds{NotBefore: sec(611).Add(-time.Millisecond), NotAfter: sec(611)})
			c.film(tracker, sec(615), sec(695), poll)
			l.registered, l.serving, l.draining, l.gone = of.registered, of.serving, of.out, of.out.Add(30*time.Second)
			if of.serving.IsZero() {
				l.gone = of.out
			}
			from := of.registered
			if !of.away[0].IsZero() {
				c.film(tracker, from, of.away[0].Add(-time.Second), poll)
				from = of.away[1]
			}
			tl := only(t, c.film(tracker, from, sec(2500), poll))
			contains(t, tl, Detach, of.detach)
			contains(t, tl, Detached, l.gone)
		})
	}
}

// The check sees what ended the task when that has just ended.
func TestUnhealthyAsItEnds(t *testing.T) {
	w := newWorld(1)
	l := w.add(settled("a"))
	l.lbUnhealthy, l.stopping, l.stopped, l.ended = sec(682), sec(683), sec(684), sec(681)
	l.draining, l.gone = sec(690), sec(700)
	l.stopCode, l.reason = "EssentialContainerExited", "Essential container in task exited"
	w.add(fresh("b", 690))
	tl := only(t, (&camera{w: w}).film(NewTracker(DefaultSettings()), sec(500), sec(1200), poll))
	contains(t, tl, LBUnhealthy, l.lbUnhealthy)
}

// That a check failed is known by the reason of the stop, though no row was read so.
func TestUnhealthyUnseen(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.unhealthy, l.lbUnhealthy = time.Time{}, sec(660)
	l.reason = "Task failed ELB health checks in (target-group web-0)"
	w.add(fresh("b", 690))
	tracker := NewTracker(DefaultSettings())
	c := &camera{w: w}
	c.film(tracker, sec(500), sec(655), poll)
	tl := only(t, c.film(tracker, sec(685), sec(1200), poll))
	contains(t, tl, LBUnhealthy, l.lbUnhealthy)
	if m := bounds(t, tl, LBUnhealthy); m.Source != Estimated {
		t.Error(describe(tl))
	}
}

// A task that is over at once, with its host, waits for no row: of a group that
// cannot be read nobody knows when that one went. One that ECS stops does wait.
func TestHostLost(t *testing.T) {
	for name, lost := range map[string]bool{"host lost": true, "stopped by ECS": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			if lost {
				l.deactivating, l.draining, l.stopping, l.stopped, l.gone = sec(700), sec(700), sec(700), sec(700), sec(1000)
				l.reason = "Host EC2 (instance i-0123456789abcdef0) terminated."
			}
			tracker := NewTracker(DefaultSettings())
			c := &camera{w: w}
			c.film(tracker, sec(500), sec(650), poll)
			c.skip = func(ref string) bool { return ref == w.groups[0].Name }
			tl := only(t, c.film(tracker, sec(655), sec(4000), poll))
			if lost {
				absent(t, tl, Detach, Detached)
			} else {
				contains(t, tl, Detached, l.gone)
			}
		})
	}
}

// A Spot task is stopped two minutes after its notice: its row may drain for longer.
func TestSpotDoesNotWait(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.deactivating, l.draining, l.stopping, l.stopped, l.gone = sec(700), sec(700), sec(820), sec(850), sec(1000)
	l.stopCode, l.reason = "SpotInterruption", "Your Spot Task was interrupted."
	tracker := NewTracker(DefaultSettings())
	c := &camera{w: w}
	c.film(tracker, sec(500), sec(690), poll)
	c.skip = func(ref string) bool { return ref == w.groups[0].Name }
	tl := only(t, c.film(tracker, sec(695), sec(4000), poll))
	contains(t, tl, Detach, l.draining)
	absent(t, tl, Detached)
}

// A task that castoff hears of only when it has stopped and its row has gone: no
// one saw when that was, and less so where the address was another's by then.
func TestGoneBeforeItIsHeardOf(t *testing.T) {
	for name, reused := range map[string]bool{"its own row": false, "the next one's row": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			l.stopping, l.stopped, l.gone = sec(683), sec(684), sec(800)
			l.stopCode, l.reason = "EssentialContainerExited", "Essential container in task exited"
			if reused {
				w.add(fresh("b", 820)).addr = l.addr
			}
			c := &camera{w: w, hide: func(*life) bool { return true }}
			tracker := NewTracker(DefaultSettings())
			c.film(tracker, sec(500), sec(900), poll)
			c.hide = nil
			tl := only(t, c.film(tracker, sec(905), sec(2500), poll))
			contains(t, tl, Detach, l.draining)
			contains(t, tl, Detached, l.gone)
		})
	}
}

// The second group's check fails just after its row was read well, and is not read
// again until it passes: the task was not well when the first one was read so.
func TestRecoveryWithAGroupUnread(t *testing.T) {
	w := newWorld(2)
	l := w.add(settled("a"))
	l.onset, l.lbUnhealthy, l.lbRecovered, l.skew = sec(595), sec(600), sec(604), 6*time.Second
	before := time.Second
	c := &camera{w: w, within: func() (time.Duration, time.Duration) { // each read is sent after the last
		before -= time.Millisecond
		return before, 0
	}}
	c.skip = func(ref string) bool {
		return ref == w.groups[1].Name && c.last != nil && c.last.At.Equal(sec(600))
	}
	tl := only(t, c.film(NewTracker(DefaultSettings()), sec(595), sec(900), 5*time.Second))
	contains(t, tl, Recovery, l.in(1, l.lbRecovered))
}

// A row that drains does not say that the task is well again, least of all when
// nobody can read the task.
func TestNoRecoveryInADrain(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.recovered, l.lbUnhealthy = sec(640), sec(660)
	l.deactivating, l.draining, l.gone, l.stopping, l.stopped = sec(701), sec(701), sec(1001), sec(1001), sec(1030)
	c := &camera{w: w}
	c.skip = func(ref string) bool {
		return ref == "a" && c.last != nil && c.last.At.After(sec(650)) && c.last.At.Before(sec(750))
	}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(740), poll)
	absent(t, only(t, tracker.Open()), Recovery)
}

// A call of before a restart is of the failure that opens after it, and of no later one.
func TestCallIsOfOneFailure(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	tracker := NewTracker(DefaultSettings())
	tracker.Called(l.arn(), fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080), Bounds{NotBefore: sec(680)})
	(&camera{w: w}).film(tracker, sec(500), sec(690), poll)
	only(t, tracker.Open())
	if len(tracker.calls) > 0 {
		t.Errorf("kept for the next one: %v", tracker.calls)
	}
}

// A call about a task that nobody has heard of for an hour is forgotten.
func TestCallAboutATaskThatIsGone(t *testing.T) {
	w := newWorld(1)
	w.add(hung("a"))
	tracker := NewTracker(DefaultSettings())
	tracker.Called("another", fleet.NewTargetKey(w.groups[0].ARN, "10.9.9.9", 10080), Bounds{NotBefore: sec(480)})
	for at := sec(490); at.Before(sec(490).Add(time.Hour + time.Minute)); at = at.Add(time.Minute) {
		tracker.Track(fleet.NewSnapshot(fleet.Snapshot{At: at}))
		if long := at.Sub(sec(480)); (len(tracker.calls) == 0) != (long > time.Hour) {
			t.Fatalf("after %s: %v", long, tracker.calls)
		}
	}
}

// What was put back before the task fails is not of that failure.
func TestCallOfWhatWasPutBack(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	tracker := NewTracker(DefaultSettings())
	tracker.Called(l.arn(), fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080), Bounds{NotBefore: sec(480), NotAfter: sec(482)})
	(&camera{w: w}).film(tracker, sec(470), sec(502), poll)
	if len(tracker.calls) != 1 {
		t.Error("let go by a reading that may be from before the call")
	}
	(&camera{w: w}).film(tracker, sec(503), sec(503), poll)
	if len(tracker.calls) > 0 {
		t.Errorf("kept for a later failure: %v", tracker.calls)
	}
	tracker.Called(l.arn(), row(w, l), Bounds{NotBefore: sec(500)}) // nobody answered
	(&camera{w: w}).film(tracker, sec(505), sec(580), poll)
	if len(tracker.calls) != 1 {
		t.Error("let go by a reading from while the call may have gone on")
	}
	(&camera{w: w}).film(tracker, sec(585), sec(590), poll)
	if len(tracker.calls) > 0 {
		t.Errorf("kept for a later failure: %v", tracker.calls)
	}
}

// Of a second group nothing was ever read, not even by what address it names the
// task: that the first one's row has gone does not say that the task has left.
func TestNamelessInAGroup(t *testing.T) {
	w := newWorld(2)
	l := w.add(hung("a"))
	l.skew = 40 * time.Second
	l.stopping, l.stopped = l.stopping.Add(l.skew), l.stopped.Add(l.skew)
	c := &camera{w: w, skip: func(ref string) bool { return ref == w.groups[1].Name }}
	c.nameless = w.groups[1].ARN
	tl := only(t, c.film(NewTracker(DefaultSettings()), sec(500), sec(2500), poll))
	if !tl.Unread {
		t.Error("the group does not count as unread")
	}
	contains(t, tl, Detach, l.in(1, l.draining))
	contains(t, tl, Detached, l.in(1, l.gone))
}

// A row that is gone has not gone before it was taken out.
func TestDetachedNoSoonerThanDetach(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.draining, l.gone = sec(611), sec(613)
	w.add(fresh("b", 623))
	tracker := NewTracker(DefaultSettings())
	c := &camera{w: w}
	c.film(tracker, sec(500), sec(610), poll)
	tracker.Called(l.arn(), fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080), Bounds{NotBefore: sec(611).Add(-time.Millisecond), NotAfter: sec(611)})
	tl := only(t, c.film(tracker, sec(615), sec(1200), poll))
	want := Bounds{NotBefore: sec(611).Add(-time.Millisecond), NotAfter: sec(615)}
	if m := bounds(t, tl, Detached); m.Bounds != want {
		t.Errorf("want %v: %s", want, describe(tl))
	}
}

// A row that drained when the group was last read, long before the failure came to
// light, may have been put back and taken out again: when, and who did that, is unseen.
func TestDetachLongBeforeTheFailure(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.draining, l.gone = sec(500), sec(520)
	w.add(fresh("b", 690))
	c := &camera{w: w}
	c.skip = func(ref string) bool {
		from := map[string]time.Time{"a": sec(590), "web-0": sec(505)}[ref]
		return !from.IsZero() && c.last != nil && c.last.At.After(from) && c.last.At.Before(sec(1100))
	}
	tl := only(t, c.film(NewTracker(DefaultSettings()), sec(400), sec(1500), poll))
	for _, at := range []time.Time{l.gone, l.stopping} {
		contains(t, tl, Detach, at)
		contains(t, tl, Detached, at)
	}
	if m := bounds(t, tl, Detach); m.By != ByECS || !strings.Contains(m.Evidence, maybeAgain) {
		t.Error(describe(tl))
	}
}

// Of a row that is registered again when castoff first looks, its own call of before
// a restart is what took it out; without one nothing did.
func TestRegisteredAgainBeforeTheFirstLook(t *testing.T) {
	for name, called := range map[string]bool{"called": true, "not called": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			l.registered, l.serving = sec(690), time.Time{}
			l.deactivating, l.draining = sec(780), sec(781)
			w.add(fresh("b", 790))
			tracker := NewTracker(DefaultSettings())
			if called {
				tracker.Called(l.arn(), fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080), Bounds{NotBefore: sec(680)})
			}
			c := &camera{w: w}
			c.film(tracker, sec(700), sec(740), poll)
			tl := only(t, tracker.Open())
			if !called {
				absent(t, tl, Detach)
				return
			}
			if m := bounds(t, tl, Detach); m.By != ByCastoff || m.Bounds != (Bounds{NotBefore: sec(680), NotAfter: sec(700)}) {
				t.Error(describe(tl))
			}
		})
	}
}
