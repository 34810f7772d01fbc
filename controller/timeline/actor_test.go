package timeline

import (
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Somebody else takes the target out, and ECS registers it again.
func TestDetachedByOther(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	w.add(fresh("b", 623))
	deactivating := l.deactivating
	l.deactivating, l.draining, l.gone = time.Time{}, sec(620), time.Time{}
	tracker := NewTracker(DefaultSettings())
	c := &camera{w: w}
	c.film(tracker, sec(500), sec(640), poll)
	tl := only(t, tracker.Open())
	if m := bounds(t, tl, Detach); m.By != ByOther || !m.Contains(sec(620)) {
		t.Error(describe(tl))
	}
	l.draining = time.Time{} // registered again
	c.film(tracker, sec(645), sec(660), poll)
	absent(t, only(t, tracker.Open()), Detach)
	l.deactivating, l.draining, l.gone = deactivating, sec(681), sec(980)
	tl = only(t, c.film(tracker, sec(665), sec(1200), poll))
	if m := bounds(t, tl, Detach); m.By != ByECS || !m.Contains(l.draining) {
		t.Error(describe(tl))
	}
}

// castoff's own call bounds the detachment better than any read.
func TestDetachedByCastoff(t *testing.T) {
	call := Bounds{NotBefore: sec(606), NotAfter: sec(606.2)}
	tests := []struct {
		name   string
		call   Bounds
		change func(*life)
		by     Actor
		within Bounds
		killed bool // before the tracker heard of it
	}{
		{"answered", call, func(*life) {}, ByCastoff, call, false},
		{"unanswered", Bounds{NotBefore: call.NotBefore}, func(*life) {}, ByCastoff, Bounds{NotBefore: sec(606), NotAfter: sec(610)}, false},
		{"killed before its outcome was kept", call, func(*life) {}, ByCastoff, Bounds{NotBefore: sec(606), NotAfter: sec(610)}, true},
		{"without effect", call, func(l *life) { l.draining, l.gone = sec(681), sec(980) }, ByECS, Bounds{NotBefore: sec(680), NotAfter: sec(685)}, false},
		{"killed before it had any", call, func(l *life) { l.draining, l.gone = sec(681), sec(980) }, ByECS, Bounds{NotBefore: sec(680), NotAfter: sec(685)}, true},
		{"after ECS's own", call, func(l *life) { l.deactivating, l.draining = sec(604), sec(604) }, ByECS, Bounds{NotBefore: sec(600), NotAfter: sec(605)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			l.draining, l.gone = sec(606.1), sec(906)
			tt.change(l)
			w.add(fresh("b", 623))
			tracker := NewTracker(DefaultSettings())
			c := &camera{w: w}
			c.film(tracker, sec(500), sec(605), poll)
			key := fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080)
			if !tt.killed {
				tracker.Called(l.arn(), key, tt.call)
			}
			tracker, err := c.restart(tracker, sec(608))
			if err != nil {
				t.Fatal(err)
			}
			tracker.Called(l.arn(), key, Bounds{NotBefore: tt.call.NotBefore}) // what the detachment says
			tl := only(t, c.film(tracker, sec(610), sec(1200), poll))
			if m := bounds(t, tl, Detach); m.By != tt.by || m.Bounds != tt.within {
				t.Errorf("want by %s within %v: %s", tt.by, tt.within, describe(tl))
			}
		})
	}
}

// A call that takes long is castoff's while it is under way, without a bound of its
// own; its outcome then bounds the detachment, or takes all of it back, and a call from
// before it counts again.
func TestDetachedWhileACallIsUnderWay(t *testing.T) {
	earlier, sent := Bounds{NotBefore: sec(606), NotAfter: sec(606.2)}, sec(607)
	read := Bounds{NotBefore: sec(605), NotAfter: sec(610)}
	tests := []struct {
		name    string
		earlier Bounds
		outcome func(tracker *Tracker, task fleet.TaskARN, key fleet.TargetKey)
		by      Actor
		within  Bounds
	}{
		{"accepted", Bounds{}, func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey) {
			tr.Called(task, key, Bounds{NotBefore: sent, NotAfter: sec(609)})
		}, ByCastoff, Bounds{NotBefore: sent, NotAfter: sec(609)}},
		{"not answered", Bounds{}, func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey) {
			tr.Called(task, key, Bounds{NotBefore: sent})
		}, ByCastoff, Bounds{NotBefore: sent, NotAfter: sec(610)}},
		{"rejected", Bounds{}, func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey) { tr.NotCalled(task, key, sent) }, ByOther, read},
		{"rejected, after one that was not", earlier, func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey) { tr.NotCalled(task, key, sent) }, ByCastoff, earlier},
		{"another one rejected", Bounds{}, func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey) { tr.NotCalled(task, key, sec(600)) }, ByCastoff, read},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			l.draining, l.gone = sec(607.5), sec(907)
			w.add(fresh("b", 623))
			tracker := NewTracker(DefaultSettings())
			c := &camera{w: w}
			c.film(tracker, sec(500), sec(605), poll)
			key := fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080)
			if !tt.earlier.NotBefore.IsZero() {
				tracker.Called(l.arn(), key, tt.earlier)
			}
			tracker.Calling(l.arn(), key, sent)
			c.film(tracker, sec(610), sec(625), poll)
			if m := bounds(t, only(t, tracker.Open()), Detach); m.By != ByCastoff || m.Bounds != read {
				t.Errorf("under way: want by castoff within %v: %s", read, describe(only(t, tracker.Open())))
			}
			tracker.Calling(l.arn(), key, sent) // again: it is under way still
			tt.outcome(tracker, l.arn(), key)
			c.film(tracker, sec(630), sec(640), poll)
			tl := only(t, tracker.Open())
			if m := bounds(t, tl, Detach); m.By != tt.by || m.Bounds != tt.within {
				t.Errorf("want by %s within %v: %s", tt.by, tt.within, describe(tl))
			}
		})
	}
}

// What is told of a call before its failure is known is taken back as well.
func TestCallIsTakenBackBeforeItsFailureIsKnown(t *testing.T) {
	tracker := NewTracker(DefaultSettings())
	key := fleet.NewTargetKey("group", "10.0.0.1", 80)
	tracker.Calling("task", key, sec(1))
	if len(tracker.calls) != 1 {
		t.Fatal("it was not told")
	}
	if tracker.NotCalled("task", key, sec(2)); len(tracker.calls) != 1 {
		t.Error("another call was taken back")
	}
	if tracker.NotCalled("task", key, sec(1)); len(tracker.calls) != 0 {
		t.Error("it was not taken back")
	}
}

// A call about a row of which nothing is known yet, because its task does not fail yet or
// its group has not been read, counts like any other, and so does its outcome.
func TestCallAboutARowThatIsNotKnownYet(t *testing.T) {
	sent, answered := sec(606), Bounds{NotBefore: sec(606), NotAfter: sec(607)}
	earlier := Bounds{NotBefore: sec(604), NotAfter: sec(605.5)}
	for what, skip := range map[string]func(now time.Time) func(string) bool{
		"its failure": func(now time.Time) func(string) bool {
			return func(ref string) bool { return ref == "a" && now.Before(sec(610)) }
		},
		"its group": func(now time.Time) func(string) bool {
			return func(ref string) bool { return ref == "web-0" && now.Before(sec(610)) }
		},
	} {
		for name, tt := range map[string]struct {
			during, after func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey)
			by            Actor
			within        Bounds
		}{
			"accepted": {nil, func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey) { tr.Called(task, key, answered) }, ByCastoff, answered},
			"accepted at once": {func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey) { tr.Called(task, key, answered) },
				func(*Tracker, fleet.TaskARN, fleet.TargetKey) {}, ByCastoff, answered},
			"rejected": {nil, func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey) { tr.NotCalled(task, key, sent) }, ByOther, Bounds{}},
			"rejected, after one that was not": {func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey) { tr.Called(task, key, earlier) },
				func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey) { tr.NotCalled(task, key, sent) }, ByCastoff, earlier},
		} {
			t.Run(what+", "+name, func(t *testing.T) {
				w := newWorld(1)
				l := w.add(hung("a"))
				l.draining, l.gone = sec(606.5), sec(907)
				if tt.within == earlier {
					l.draining = sec(605.2)
				}
				w.add(fresh("b", 623))
				tracker := NewTracker(DefaultSettings())
				c := &camera{w: w}
				key := row(w, l)
				for at := 595.0; at < 645; at += 5 {
					switch at {
					case 610:
						if tt.during != nil {
							tt.during(tracker, l.arn(), key)
						}
						tracker.Calling(l.arn(), key, sent)
					case 620:
						tt.after(tracker, l.arn(), key)
					}
					c.skip = skip(sec(at))
					c.film(tracker, sec(at), sec(at), poll)
				}
				m := bounds(t, only(t, tracker.Open()), Detach)
				if m.By != tt.by || tt.by == ByCastoff && within(tt.within, m.Bounds) != m.Bounds || !m.Contains(l.draining) || len(tracker.calls) > 0 {
					t.Errorf("want by %s within %v: %+v, in mind %v", tt.by, tt.within, m, tracker.calls)
				}
			})
		}
	}
}

// A call that nobody answered may take effect for as long as a call may last.
func TestUnansweredCallTakesEffectLate(t *testing.T) {
	for name, tt := range map[string]struct {
		out float64
		by  Actor
	}{
		"in time":  {606 + 60, ByCastoff},
		"too late": {606 + 60 + 20 + 6, ByOther}, // the lag, and a poll
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			l.deactivating, l.draining, l.gone = sec(720), sec(tt.out), sec(1100)
			l.stopping, l.stopped = sec(1101), sec(1130)
			w.add(fresh("b", 623))
			tracker := NewTracker(DefaultSettings())
			c := &camera{w: w}
			c.film(tracker, sec(500), sec(605), poll)
			tracker, err := c.restart(tracker, sec(608))
			if err != nil {
				t.Fatal(err)
			}
			tracker.Called(l.arn(), row(w, l), Bounds{NotBefore: sec(606)})
			c.film(tracker, sec(610), sec(710), poll)
			if m := bounds(t, only(t, tracker.Open()), Detach); m.By != tt.by || !m.Contains(l.draining) {
				t.Errorf("want by %s: %+v", tt.by, m)
			}
		})
	}
}

// A tracker that goes on from a State in the middle of a call hears of the call again,
// and of what came of it, from whoever made it: also where the row is out by then.
func TestRestoredWhileACallIsUnderWay(t *testing.T) {
	earlier, sent := Bounds{NotBefore: sec(604), NotAfter: sec(605)}, sec(606)
	for name, tt := range map[string]struct {
		again  func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey)
		within Bounds
	}{
		"accepted": {func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey) {
			tr.Called(task, key, Bounds{sent, sec(607)})
		}, Bounds{sent, sec(607)}},
		"nobody knows": {func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey) {
			tr.Called(task, key, Bounds{NotBefore: sent})
		}, Bounds{sent, sec(610)}},
		"rejected, and not told": {func(*Tracker, fleet.TaskARN, fleet.TargetKey) {}, earlier},
		"under way, and then rejected": {func(tr *Tracker, task fleet.TaskARN, key fleet.TargetKey) {
			tr.Calling(task, key, sent)
			tr.NotCalled(task, key, sent)
		}, earlier},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			l.draining, l.gone = sec(606.5), sec(907)
			if tt.within == earlier {
				l.draining = sec(604.5)
			}
			w.add(fresh("b", 623))
			tracker := NewTracker(DefaultSettings())
			c := &camera{w: w}
			c.skip = func(ref string) bool {
				return ref == "web-0" && c.last != nil && c.last.At.After(sec(598)) && c.last.At.Before(sec(609))
			}
			c.film(tracker, sec(500), sec(605), poll)
			tracker.Called(l.arn(), row(w, l), earlier)
			tracker.Calling(l.arn(), row(w, l), sent)
			c.skip = nil
			c.film(tracker, sec(610), sec(610), poll)
			if m := bounds(t, only(t, tracker.Open()), Detach); m.By != ByCastoff || !m.NotAfter.Equal(sec(610)) {
				t.Errorf("under way: %+v", m)
			}
			tracker, err := c.restart(tracker, sec(612))
			if err != nil {
				t.Fatal(err)
			}
			tt.again(tracker, l.arn(), row(w, l))
			c.film(tracker, sec(615), sec(620), poll)
			if m := bounds(t, only(t, tracker.Open()), Detach); m.By != ByCastoff || m.Bounds != tt.within {
				t.Errorf("want within %v: %+v", tt.within, m)
			}
		})
	}
}

// Castoff is killed in its call, or nobody answers it, and ECS begins before the next
// look: whose it was nobody knows, and it may have been as early as the call.
func TestNoOutcomeAsECSBegins(t *testing.T) {
	for name, tt := range map[string]struct {
		call   float64
		killed bool
		looked bool // just after the call
		from   float64
		open   bool
	}{
		"killed":                        {606, true, false, 606, true},
		"not answered":                  {606, false, false, 606, true},
		"not answered, and looked at":   {606, false, true, 606, true},
		"not answered, just as it read": {605, false, false, 605, true},
		"not answered, slow to show":    {600, false, false, 605, true},
		"not answered, long before":     {520, false, false, 605, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			w.stampOnDeactivating = !tt.looked
			l := w.add(hung("a"))
			l.draining, l.deactivating, l.gone = sec(606.1), sec(609), sec(906)
			w.add(fresh("b", 623))
			tracker := NewTracker(DefaultSettings())
			c := &camera{w: w}
			c.film(tracker, sec(500), sec(605), poll)
			if tt.killed {
				var err error
				if tracker, err = c.restart(tracker, sec(608)); err != nil {
					t.Fatal(err)
				}
			}
			tracker.Called(l.arn(), fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080), Bounds{NotBefore: sec(tt.call)})
			want := Bounds{NotBefore: sec(tt.from), NotAfter: sec(610)}
			if tt.looked {
				c.film(tracker, sec(608), sec(608), poll)
				if m := bounds(t, only(t, tracker.Open()), Detach); m.By != ByCastoff || !strings.HasSuffix(m.Evidence, byCall) {
					t.Errorf("nobody else was there: %+v", m)
				}
				want.NotAfter = sec(608)
			}
			tl := only(t, c.film(tracker, sec(610), sec(1200), poll))
			if !tt.open {
				want.NotBefore = l.deactivating // by its own word
			}
			if m := bounds(t, tl, Detach); m.By != ByECS || m.Bounds != want || strings.Contains(m.Evidence, byCall) || strings.Count(m.Evidence, maybeOurs) != map[bool]int{true: 1}[tt.open] {
				t.Errorf("want %v, left open %v: %s", want, tt.open, describe(tl))
			}
		})
	}
}

// ECS begins just before castoff's call, and the row is read before the task: until that
// is read it may have been either, as early as ECS. So it is afterwards where ECS begins
// by its own word first and no reading lies between: it need not deregister at once.
func TestECSBeginsJustBeforeTheCall(t *testing.T) {
	for name, tt := range map[string]struct {
		call Bounds
		out  float64
	}{
		"not answered, ECS's own":     {Bounds{NotBefore: sec(606)}, 605.5},
		"not answered, and castoff's": {Bounds{NotBefore: sec(606)}, 606.1},
		"answered, and ECS's own":     {Bounds{NotBefore: sec(606), NotAfter: sec(606.2)}, 605.5},
		"answered, and castoff's":     {Bounds{NotBefore: sec(606), NotAfter: sec(606.2)}, 606.1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			w.stampOnDeactivating = true
			l := w.add(hung("a"))
			l.draining, l.deactivating, l.gone = sec(tt.out), sec(605.5), sec(906)
			w.add(fresh("b", 623))
			tracker := NewTracker(DefaultSettings())
			c := &camera{w: w}
			c.film(tracker, sec(500), sec(605), poll)
			tracker.Called(l.arn(), fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080), tt.call)
			c.skip = func(ref string) bool { return ref == l.id }
			c.film(tracker, sec(608), sec(608), poll)
			c.skip = nil
			tl := only(t, c.film(tracker, sec(610), sec(1200), poll))
			if m := bounds(t, tl, Detach); m.By != ByECS || !m.Contains(l.draining) || strings.Contains(m.Evidence, byCall) || !strings.HasSuffix(m.Evidence, maybeOurs) {
				t.Error(describe(tl))
			}
		})
	}
}

// castoff is killed in its call before the failure is kept: a row that reads healthy when it
// is back may be from before the call, and was in service until then.
func TestReadLateAfterARestart(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.draining, l.gone = sec(611.1), sec(906)
	w.add(fresh("b", 623))
	tracker := NewTracker(DefaultSettings())
	tracker.Called(l.arn(), fleet.NewTargetKey(w.groups[0].ARN, l.addr, 10080), Bounds{NotBefore: sec(606)}) // and took effect
	c := &camera{w: w}
	c.film(tracker, sec(610), sec(610), poll) // late
	tl := only(t, c.film(tracker, sec(615), sec(1200), poll))
	if m := bounds(t, tl, Detach); m.By != ByCastoff || !m.Contains(sec(606.1)) {
		t.Error(describe(tl))
	}
	if good := tl.Targets[0].Good; len(good) != 1 || !good[0].To.Contains(sec(606.1)) {
		t.Errorf("good: %+v", good)
	}
}

// A row that drains when castoff first looks, at a task that is up and a moment later
// is not: ECS may have begun in between, or somebody else long before.
func TestDetachBeforeTheFirstLook(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.draining, l.deactivating = sec(640), sec(702)
	w.add(fresh("b", 723))
	tl := only(t, (&camera{w: w}).film(NewTracker(DefaultSettings()), sec(700), sec(1200), poll))
	contains(t, tl, Detach, l.draining)
	if m := bounds(t, tl, Detach); m.By != ByECS || !strings.HasSuffix(m.Evidence, unseenWho) {
		t.Errorf("says that it is known: %s", describe(tl))
	}
}

// Who took a row out is told from what its task does next: where nobody can read that
// for a while, ECS has done it or somebody else.
func TestDetachWhileTheTaskIsUnread(t *testing.T) {
	for name, tt := range map[string]struct {
		out    float64 // ECS begins at 680 s
		unread [2]float64
		by     Actor
		open   bool
	}{
		"somebody, and soon read":  {640, [2]float64{632, 648}, ByOther, false},
		"somebody, and not read":   {640, [2]float64{632, 698}, ByECS, true},
		"somebody, and not since":  {638, [2]float64{637, 698}, ByECS, true},
		"ECS, and soon read":       {681, [2]float64{672, 689}, ByECS, false},
		"ECS, and not read":        {681, [2]float64{672, 708}, ByECS, true},
		"ECS, and read only after": {681, [2]float64{672, 1098}, ByECS, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			l.draining = sec(tt.out)
			w.add(fresh("b", 690))
			c := &camera{w: w}
			c.skip = func(ref string) bool {
				return ref == l.id && c.last != nil && !c.last.At.Before(sec(tt.unread[0])) && c.last.At.Before(sec(tt.unread[1]))
			}
			tracker := NewTracker(DefaultSettings())
			c.film(tracker, sec(500), sec(tt.out+4), poll)
			if m := bounds(t, only(t, tracker.Open()), Detach); !strings.HasSuffix(m.Evidence, unreadSince) {
				t.Errorf("its task has not been read since, and that is not said: %+v", m)
			}
			tl := only(t, c.film(tracker, sec(tt.out+9), sec(1400), poll))
			contains(t, tl, Detach, l.draining)
			if m := bounds(t, tl, Detach); m.By != tt.by || strings.Count(m.Evidence, unreadLong) != map[bool]int{true: 1}[tt.open] {
				t.Errorf("want by %s, left open %v: %s", tt.by, tt.open, describe(tl))
			}
		})
	}
}

// What was not known when a row was first seen out is not said for good where the group
// is not read for a while after.
func TestUnreadSinceIsNotForGood(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.draining = sec(640)
	w.add(fresh("b", 690))
	c := &camera{w: w}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(635), poll)
	c.skip = func(ref string) bool {
		return ref == l.id && c.last.At.Before(sec(715)) || ref == "web-0" && !c.last.At.Before(sec(640)) && c.last.At.Before(sec(700))
	}
	tl := only(t, c.film(tracker, sec(640), sec(1400), poll))
	if m := bounds(t, tl, Detach); strings.Contains(m.Evidence, unreadSince) || !strings.Contains(m.Evidence, maybeAgain) {
		t.Error(describe(tl))
	}
}

// A row that was not read for long when its task begins to leave may have been out for
// as long: ECS' order bounds it only where the row was looked at lately.
func TestDetachWhileTheRowIsUnread(t *testing.T) {
	for name, tt := range map[string]struct {
		out, unread float64 // ECS begins at 680 s
		open        bool
	}{
		"for a poll":         {681, 650, false},
		"for long":           {681, 605, true},
		"for long, and long": {612, 605, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			l.draining = sec(tt.out)
			w.add(fresh("b", 690))
			c := &camera{w: w}
			c.skip = func(ref string) bool {
				return ref == "web-0" && c.last != nil && c.last.At.After(sec(tt.unread)) && c.last.At.Before(sec(680))
			}
			tl := only(t, c.film(NewTracker(DefaultSettings()), sec(500), sec(1400), poll))
			contains(t, tl, Detach, l.draining)
			if m := bounds(t, tl, Detach); m.By != ByECS || strings.HasSuffix(m.Evidence, unreadRow) != tt.open {
				t.Errorf("want it left open %v: %s", tt.open, describe(tl))
			}
		})
	}
}
