package timeline

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

const poll = 5 * time.Second

func TestFourSteps(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.replacement = w.add(fresh("b", 623))
	tl := only(t, (&camera{w: w}).film(NewTracker(DefaultSettings()), sec(500), sec(1200), poll))
	want := map[Kind][2]float64{
		// the check: 2 × (5 + 3) + 3 before, and 20 s of reporting lag; 5 after
		Onset:              {600 - 19 - 20, 600},
		Unhealthy:          {600, 605},
		ReplacementCreated: {623, 623},
		ReplacementRunning: {638, 638},
		ReplacementServing: {680, 685},
		Detach:             {680, 685},
		Detached:           {975, 980},
		Stopping:           {983, 983},
		Stopped:            {1015, 1015},
	}
	for k, b := range want {
		m := bounds(t, tl, k)
		if !m.NotBefore.Equal(sec(b[0])) || !m.NotAfter.Equal(sec(b[1])) {
			t.Errorf("%s is %s … %s, want %s … %s", k, m.NotBefore, m.NotAfter, sec(b[0]), sec(b[1]))
		}
	}
	if len(tl.Milestones) != len(want) || tl.Trigger != ContainerCheck || tl.Outcome != Retired || tl.Replacement != "arn:aws:ecs:eu-central-1:123456789012:task/prod/b" {
		t.Error(describe(tl))
	}
	if tl.Container != "nginx" || tl.Check == nil || tl.Check.Retries != 2 {
		t.Errorf("decided by %s %v", tl.Container, tl.Check)
	}
	phases := map[PhaseName][2]float64{
		Detection: {0, 44}, Reaction: {75, 85}, Drain: {290, 300}, Exposure: {75, 85}, Replacement: {75, 85}, Retirement: {410, 415},
	}
	for _, p := range tl.Phases() {
		want := phases[p.Name]
		if p.Shortest.Seconds() != want[0] || p.Longest.Seconds() != want[1] {
			t.Errorf("%s took %s to %s, want %v", p.Name, p.Shortest, p.Longest, want)
		}
		delete(phases, p.Name)
	}
	if len(phases) > 0 {
		t.Errorf("no phase %v", phases)
	}
}

// The stamp's meaning is open: whichever it is, stopping must hold the truth.
func TestStoppingStamp(t *testing.T) {
	for _, onDeactivating := range []bool{false, true} {
		w := newWorld(1)
		w.stampOnDeactivating = onDeactivating
		l := w.add(hung("a"))
		w.add(fresh("b", 623))
		tl := only(t, (&camera{w: w}).film(NewTracker(DefaultSettings()), sec(500), sec(1200), poll))
		if m := bounds(t, tl, Stopping); !m.Contains(l.stopping) || m.Exact() == onDeactivating {
			t.Errorf("stamped on DEACTIVATING %v: %s", onDeactivating, describe(tl))
		}
		if m := bounds(t, tl, Detach); !m.Contains(l.draining) {
			t.Errorf("stamped on DEACTIVATING %v: %s", onDeactivating, describe(tl))
		}
	}
}

func TestOutcomes(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*life)
		outcome Outcome
		trigger Trigger
	}{
		{"failed check", func(*life) {}, Retired, ContainerCheck},
		{"ELB check", func(l *life) {
			l.unhealthy, l.lbUnhealthy = time.Time{}, sec(604)
			l.reason = "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web-0/0123456789abcdef)"
		}, Retired, TargetCheck},
		{"exit", func(l *life) {
			l.unhealthy, l.deactivating = time.Time{}, time.Time{}
			l.stopping, l.stopped, l.draining, l.gone = sec(601), sec(603), sec(602), sec(902)
			l.onset, l.stopCode, l.reason = sec(600), "EssentialContainerExited", "Essential container in task exited"
		}, Retired, Exit},
		{"sick, then exit", func(l *life) { l.stopCode, l.reason = "EssentialContainerExited", "Essential container in task exited" }, Retired, ContainerCheck},
		{"deployment", func(l *life) { l.reason = "Scaling activity initiated by (deployment ecs-svc/2)" }, Superseded, ContainerCheck},
		{"person", func(l *life) { l.stopCode, l.reason = "UserInitiated", "Task stopped by user" }, Superseded, ContainerCheck},
		{"host", func(l *life) { l.reason = "Host EC2 (instance i-0123456789abcdef0) terminated." }, Superseded, ContainerCheck},
		{"no reason", func(l *life) { l.stopCode, l.reason = "", "" }, Superseded, ContainerCheck},
		{"well again", func(l *life) {
			*l = *settled("a")
			l.onset, l.unhealthy, l.recovered = sec(590), sec(603), sec(640)
		}, Recovered, ContainerCheck},
		{"target well again", func(l *life) {
			*l = *settled("a")
			l.onset, l.lbUnhealthy, l.lbRecovered = sec(590), sec(603), sec(640)
		}, Recovered, TargetCheck},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			tt.change(l)
			w.add(fresh("b", 623))
			tl := only(t, (&camera{w: w}).film(NewTracker(DefaultSettings()), sec(500), sec(1700), poll))
			if tl.Outcome != tt.outcome || tl.Trigger != tt.trigger {
				t.Errorf("%s, %s; want %s, %s\n%s", tl.Outcome, tl.Trigger, tt.outcome, tt.trigger, describe(tl))
			}
		})
	}
}

// Tasks leave for many reasons that are no failure.
func TestNoTimeline(t *testing.T) {
	tests := []struct {
		name   string
		change func(*world, *life)
	}{
		{"scale-in", func(_ *world, l *life) {
			l.unhealthy, l.reason = time.Time{}, "Scaling activity initiated by (deployment ecs-svc/1)"
		}},
		{"spot", func(_ *world, l *life) {
			l.unhealthy, l.stopCode, l.reason = time.Time{}, "SpotInterruption", "Your Spot Task was interrupted."
		}},
		{"check fails on the way out", func(_ *world, l *life) {
			l.unhealthy, l.reason = sec(984), "Scaling activity initiated by (deployment ecs-svc/1)"
		}},
		{"target check fails on the way out", func(_ *world, l *life) {
			l.unhealthy, l.reason = time.Time{}, "Scaling activity initiated by (deployment ecs-svc/1)"
			l.lbUnhealthy, l.draining, l.gone = sec(981), time.Time{}, time.Time{}
		}},
		{"booting target in its grace period", func(w *world, l *life) {
			w.service.Grace = 120 * time.Second
			*l = life{id: "a", created: sec(550), started: sec(570), registered: sec(570), lbUnhealthy: sec(590), lbRecovered: sec(660), serving: sec(570)}
		}},
		{"booting container in its grace period", func(w *world, l *life) {
			w.service.Grace = 120 * time.Second
			*l = life{id: "a", created: sec(550), started: sec(570), registered: sec(570), unhealthy: sec(590), recovered: sec(660), serving: sec(570)}
		}},
		{"booting container in its start period", func(w *world, l *life) {
			check := *w.def.Containers[0].Check
			check.StartPeriod = 120 * time.Second
			w.def.Containers[0].Check = &check
			*l = life{id: "a", created: sec(550), started: sec(570), registered: sec(570), unhealthy: sec(590), recovered: sec(660), serving: sec(570)}
		}},
		{"scaled in while it boots", func(w *world, l *life) {
			w.service.Grace = 120 * time.Second
			*l = life{id: "a", created: sec(550), started: sec(570), registered: sec(570), unhealthy: sec(590), stopping: sec(620), stopped: sec(640), reason: "Scaling activity initiated by (deployment ecs-svc/1)"}
		}},
		{"unhealthy for ever unknown", func(_ *world, l *life) { *l = life{id: "a", created: sec(0)} }},
		{"stopped before castoff came", func(_ *world, l *life) {
			l.unhealthy, l.deactivating, l.draining, l.gone, l.stopping, l.stopped = sec(300), sec(310), sec(310), sec(320), sec(320), sec(340)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			tt.change(w, l)
			tracker := NewTracker(DefaultSettings())
			for _, tl := range append((&camera{w: w}).film(tracker, sec(500), sec(1700), poll), tracker.Open()...) {
				t.Error(describe(tl))
			}
		})
	}
}

// What a booting task failed by is known with the bounds that it had then.
func TestGraceEndsUnhealthy(t *testing.T) {
	for _, c := range []struct {
		kind      Kind
		change    func(*world, *life)
		stillMute bool // at 629, and not at 631
	}{
		{LBUnhealthy, func(_ *world, l *life) { l.lbUnhealthy = sec(598) }, true},
		{Unhealthy, func(_ *world, l *life) { l.unhealthy = sec(598) }, true},
		{Unhealthy, func(_ *world, l *life) { l.lbUnhealthy, l.unhealthy = sec(590), sec(598) }, true},
		{LBUnhealthy, func(w *world, l *life) { // a start period says nothing of the balancer's check
			check := *w.def.Containers[0].Check
			check.StartPeriod = time.Hour
			w.def.Containers[0].Check = &check
			l.lbUnhealthy = sec(598)
		}, true},
		{Unhealthy, func(_ *world, l *life) { // ECS did not wait
			l.unhealthy, l.stopping, l.stopped, l.reason = sec(598), sec(610), sec(620), "Task failed container health checks"
		}, false},
	} {
		w := newWorld(1)
		w.service.Grace = 60 * time.Second
		l := w.add(&life{id: "a", created: sec(550), started: sec(570), registered: sec(570), onset: sec(570)})
		c.change(w, l)
		tracker := NewTracker(DefaultSettings())
		cam := &camera{w: w}
		cam.film(tracker, sec(500), sec(605), poll)
		if open := tracker.Open(); len(open) != 0 {
			t.Fatalf("open within the grace period: %s", describe(open[0]))
		}
		cam.film(tracker, sec(606), sec(629), poll)
		if open := tracker.Open(); (len(open) == 0) != c.stillMute {
			t.Fatalf("%d are open within the grace period", len(open))
		}
		cam.film(tracker, sec(630), sec(640), poll)
		open := only(t, tracker.Open())
		at := l.unhealthy
		if c.kind == LBUnhealthy {
			at = l.lbUnhealthy
		}
		if m := bounds(t, open, c.kind); !m.Contains(at) || m.Width() > 2*poll {
			t.Error("the end of the grace period moved the milestone:", describe(open))
		}
	}
}

func TestFlapping(t *testing.T) {
	w := newWorld(1)
	l := settled("a")
	l.onset, l.unhealthy, l.recovered = sec(590), sec(603), sec(640)
	w.add(l)
	tracker := NewTracker(DefaultSettings())
	c := &camera{w: w}
	c.film(tracker, sec(500), sec(700), poll)
	l.unhealthy, l.recovered = sec(703), sec(760)
	closed := c.film(tracker, sec(705), sec(935), poll)
	if len(closed) != 0 {
		t.Fatal("closed before the recovery window was over:", describe(closed[0]))
	}
	tl := only(t, c.film(tracker, sec(940), sec(1000), poll))
	if m := bounds(t, tl, Unhealthy); !m.Contains(sec(603)) {
		t.Error("unhealthy is the first time:", describe(tl))
	}
	if m := bounds(t, tl, Recovery); !m.Contains(sec(760)) || tl.Flaps != 1 || tl.Outcome != Recovered {
		t.Error("recovery is the last time:", describe(tl))
	}
}

// A failure that fell between two reads, and of which only the stop tells.
func TestSeenOnlyInRetrospect(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	w.add(fresh("b", 623))
	tracker := NewTracker(DefaultSettings())
	c := &camera{w: w, skip: func(string) bool { return false }}
	closed := c.film(tracker, sec(500), sec(600), poll)
	closed = append(closed, c.film(tracker, sec(1020), sec(1100), poll)...)
	tl := only(t, closed)
	for k, at := range w.truth(l) {
		if m, ok := tl.Milestone(k); ok && !m.Contains(at) {
			t.Errorf("%s was at %s: %s", k, at, describe(tl))
		}
	}
	if m := bounds(t, tl, Unhealthy); m.NotAfter.After(l.stopping) || tl.Outcome != Retired {
		t.Error(describe(tl))
	}
}

// castoff starts in the middle of an incident.
func TestFirstSight(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	w.add(settled("old")) // no replacement, although younger tasks than "a" would do
	w.tasks[1].created = sec(5)
	l.replacement = w.add(fresh("b", 623))
	for _, start := range []time.Time{sec(610), sec(650), sec(700), sec(990)} {
		tl := only(t, (&camera{w: w}).film(NewTracker(DefaultSettings()), start, sec(1400), poll))
		if m := bounds(t, tl, Unhealthy); !m.NotBefore.Equal(l.created) || !m.Contains(l.unhealthy) {
			t.Errorf("start at %s: %s", start, describe(tl))
		}
		for k, at := range w.truth(l) {
			if m, ok := tl.Milestone(k); ok && !m.Contains(at) {
				t.Errorf("start at %s: %s was at %s: %s", start, k, at, describe(tl))
			}
		}
	}
}

func TestLost(t *testing.T) {
	w := newWorld(1)
	l := hung("a")
	l.deactivating, l.draining, l.gone, l.stopping, l.stopped = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	w.add(l)

	t.Run("vanished", func(t *testing.T) {
		tracker := NewTracker(DefaultSettings())
		c := &camera{w: w}
		c.film(tracker, sec(500), sec(700), poll)
		c.hide = func(*life) bool { return true }
		if tl := only(t, c.film(tracker, sec(705), sec(720), poll)); tl.Outcome != Lost {
			t.Error(describe(tl))
		}
	})
	t.Run("unreadable for an hour", func(t *testing.T) {
		tracker := NewTracker(DefaultSettings())
		c := &camera{w: w}
		c.film(tracker, sec(500), sec(700), poll)
		c.skip = func(ref string) bool { return ref == "a" }
		if early := c.film(tracker, sec(705), sec(700+3595), poll); len(early) > 0 {
			t.Fatal(describe(early[0]))
		}
		if tl := only(t, c.film(tracker, sec(700+3600), sec(700+3610), poll)); tl.Outcome != Lost {
			t.Error(describe(tl))
		}
		// Readable again, and still sick: a new timeline that does not claim to know since when.
		c.skip = nil
		c.film(tracker, sec(4400), sec(4410), poll)
		tl := only(t, tracker.Open())
		contains(t, tl, Unhealthy, l.unhealthy)
	})
}

// An outage of AWS makes bounds wider, not wrong, and ends nothing.
func TestOutage(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.replacement = w.add(fresh("b", 623))
	outage := false
	c := &camera{w: w, skip: func(string) bool { return outage }}
	tracker := NewTracker(DefaultSettings())
	closed := c.film(tracker, sec(500), sec(600), poll)
	outage = true
	closed = append(closed, c.film(tracker, sec(605), sec(700), poll)...)
	outage = false
	closed = append(closed, c.film(tracker, sec(705), sec(1200), poll)...)
	tl := only(t, closed)
	for k, at := range w.truth(l) {
		if m, ok := tl.Milestone(k); ok && !m.Contains(at) {
			t.Errorf("%s was at %s: %s", k, at, describe(tl))
		}
	}
	if m := bounds(t, tl, Unhealthy); m.Width() < 100*time.Second {
		t.Error("bounds narrower than the outage:", describe(tl))
	}
}

func TestGroupNeverReadable(t *testing.T) {
	w := newWorld(2)
	l := w.add(hung("a"))
	l.replacement = w.add(fresh("b", 623))
	c := &camera{w: w, skip: func(ref string) bool { return ref == "web-0" || ref == "web-1" }}
	tl := only(t, c.film(NewTracker(DefaultSettings()), sec(500), sec(1700), poll))
	if m := bounds(t, tl, Detach); !m.Contains(l.draining) || m.By != ByECS {
		t.Error(describe(tl))
	}
	contains(t, tl, Detached, l.gone)
	absent(t, tl, ReplacementServing, LBUnhealthy)

	// One readable group says nothing of the other, in which it takes a minute more.
	l.skew = time.Minute
	l.stopping, l.stopped = sec(1043), sec(1075)
	c = &camera{w: w, skip: func(ref string) bool { return ref == "web-1" }}
	tl = only(t, c.film(NewTracker(DefaultSettings()), sec(500), sec(1800), poll))
	if m := bounds(t, tl, Detach); !m.Contains(l.in(1, l.draining)) || len(tl.Targets) != 1 || !tl.Unread {
		t.Error(describe(tl))
	}
	contains(t, tl, Detached, l.in(1, l.gone))
	absent(t, tl, ReplacementServing)
	for _, p := range tl.Phases() {
		if p.Name == Exposure {
			t.Error("exposure in a group that nobody could read:", describe(tl))
		}
	}
}

// A timeline that is lost is lost once, however long its group goes on saying
// unhealthy.
func TestLostOnce(t *testing.T) {
	w := newWorld(1)
	l := settled("a")
	l.lbUnhealthy = sec(603)
	w.add(l)
	c := &camera{w: w}
	tracker := NewTracker(DefaultSettings())
	closed := c.film(tracker, sec(500), sec(700), poll)
	c.skip = func(ref string) bool { return ref == "a" }
	closed = append(closed, c.film(tracker, sec(705), sec(700+2*3600), 30*time.Second)...)
	only(t, tracker.Open()) // the balancer still says so
	c.skip = func(string) bool { return true }
	closed = append(closed, c.film(tracker, sec(8000), sec(8000+2*3600), 30*time.Second)...)
	c.skip = func(ref string) bool { return ref == "a" }
	closed = append(closed, c.film(tracker, sec(16000), sec(16000+3600), 30*time.Second)...)
	if tl := only(t, closed); tl.Outcome != Lost || len(c.opened) != 1 {
		t.Errorf("opened %d times: %s", len(c.opened), describe(tl))
	}
}

// A stale row opens nothing after the task has recovered.
func TestStaleRowOpensNothing(t *testing.T) {
	w := newWorld(1)
	l := settled("a")
	l.onset, l.unhealthy, l.lbUnhealthy, l.recovered, l.lbRecovered = sec(590), sec(603), sec(606), sec(640), sec(641)
	w.add(l)
	c := &camera{w: w}
	tracker := NewTracker(DefaultSettings())
	closed := c.film(tracker, sec(500), sec(620), poll)
	c.skip = func(ref string) bool { return ref == "web-0" }
	closed = append(closed, c.film(tracker, sec(625), sec(3000), poll)...)
	if tl := only(t, closed); tl.Outcome != Recovered || len(tracker.Open()) != 0 {
		t.Error(describe(tl), tracker.Open())
	}
}

// What no longer shows whether the task is sick does not stay open, and hot, for
// ever.
func TestEvidenceEnds(t *testing.T) {
	tests := []struct {
		name   string
		change func(*camera, *life)
	}{
		{"the group cannot be read any more", func(c *camera, l *life) { c.skip = func(ref string) bool { return ref == "web-0" } }},
		{"somebody took the row out", func(c *camera, l *life) { l.draining, l.gone = sec(705), sec(1005) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(1)
			l := settled("a")
			l.lbUnhealthy = sec(603)
			w.add(l)
			c := &camera{w: w}
			tracker := NewTracker(DefaultSettings())
			c.film(tracker, sec(500), sec(700), poll)
			tt.change(c, l)
			if tl := only(t, c.film(tracker, sec(710), sec(9000), 30*time.Second)); tl.Outcome != Lost {
				t.Error(describe(tl))
			}
		})
	}
}

// ECS stops a task for a failure that it has recovered from.
func TestStoppedAfterRecovery(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.recovered, l.deactivating, l.draining = sec(620), sec(850), sec(850)
	w.add(fresh("b", 623))
	closed := (&camera{w: w}).film(NewTracker(DefaultSettings()), sec(500), sec(1300), poll)
	if len(closed) != 2 || closed[0].Outcome != Recovered || closed[1].Outcome != Retired || closed[0].Replacement != closed[1].Replacement {
		t.Fatal(closed)
	}
	if m := bounds(t, closed[1], Unhealthy); !m.Contains(l.unhealthy) || m.Source != Estimated {
		t.Error(describe(closed[1]))
	}
}

// The reason for a stop may come later than the stop.
func TestReasonComesLate(t *testing.T) {
	for _, exit := range []bool{false, true} {
		w := newWorld(1)
		l := w.add(hung("a"))
		l.unhealthy = time.Time{}
		reason, code := l.reason, l.stopCode
		if exit {
			l.onset, l.deactivating, l.stopping, reason, code = sec(601), time.Time{}, sec(602), "Essential container in task exited", "EssentialContainerExited"
		}
		l.reason, l.stopCode = "", ""
		w.add(fresh("b", 623))
		c := &camera{w: w}
		tracker := NewTracker(DefaultSettings())
		closed := c.film(tracker, sec(500), sec(900), poll)
		l.reason, l.stopCode = reason, code
		tl := only(t, append(closed, c.film(tracker, sec(905), sec(1700), poll)...))
		at, k := sec(603), Unhealthy
		if exit {
			at, k = l.onset, Onset
		}
		if m := bounds(t, tl, k); !m.Contains(at) {
			t.Errorf("exit %v: %s", exit, describe(tl))
		}
	}
}

// A row read before a task was created is not the task's, whoever has the address.
func TestRowOlderThanTheTask(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.deactivating, l.draining, l.gone, l.stopping, l.stopped = sec(605), sec(605), sec(608), sec(608), sec(612)
	r := w.add(fresh("b", 640))
	r.addr, r.serving = l.addr, sec(900)
	blind := false
	c := &camera{w: w, skip: func(ref string) bool { return blind && ref == "web-0" }}
	tracker := NewTracker(DefaultSettings())
	closed := c.film(tracker, sec(500), sec(600), poll)
	blind = true // the last that was read is the row of "a", healthy
	closed = append(closed, c.film(tracker, sec(605), sec(700), poll)...)
	blind = false
	tl := only(t, append(closed, c.film(tracker, sec(705), sec(1300), poll)...))
	contains(t, tl, ReplacementServing, r.serving)
}

func TestNoBalancer(t *testing.T) {
	w := newWorld(0)
	w.add(hung("a"))
	w.add(fresh("b", 623))
	tl := only(t, (&camera{w: w}).film(NewTracker(DefaultSettings()), sec(500), sec(1200), poll))
	absent(t, tl, Detach, Detached, ReplacementServing, LBUnhealthy)
	bounds(t, tl, ReplacementRunning)
	if tl.Outcome != Retired {
		t.Error(describe(tl))
	}
}

// One that never ran had no row, though what had its address before still drains.
func TestFailsWhileStarting(t *testing.T) {
	for name, reused := range map[string]bool{"address of its own": false, "another's": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			w.add(settled("ok"))
			l := w.add(&life{id: "a", created: sec(600), stopping: sec(612), stopped: sec(615), onset: sec(611), stopCode: "TaskFailedToStart", reason: "CannotPullContainerError: pull image manifest has been retried 5 time(s)"})
			w.add(fresh("b", 640))
			if reused {
				before := w.add(settled("before"))
				before.addr, before.draining, before.stopping, before.stopped, before.gone = l.addr, sec(560), sec(560), sec(590), sec(700)
				before.stopCode = "ServiceSchedulerInitiated"
			}
			tl := only(t, (&camera{w: w}).film(NewTracker(DefaultSettings()), sec(500), sec(1400), poll))
			if m := bounds(t, tl, Onset); tl.Trigger != Exit || tl.Outcome != Retired || !m.Contains(sec(611)) ||
				m.By != ByECS || m.Evidence != "the task did not start: no container was started" {
				t.Error(describe(tl))
			}
			absent(t, tl, Detach, Detached, LBUnhealthy)
		})
	}
}

// A clock set back between two reads gives bounds in the right order.
func TestClockStep(t *testing.T) {
	w := newWorld(1)
	w.add(hung("a"))
	step := time.Duration(0)
	c := &camera{w: w, within: func() (time.Duration, time.Duration) { return step, -step }}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(500), sec(600), poll)
	step = 30 * time.Second // from here on the clock is 30 s behind
	c.film(tracker, sec(605), sec(640), poll)
	for _, m := range only(t, tracker.Open()).Milestones {
		if m.NotAfter.Before(m.NotBefore) {
			t.Errorf("%s: not before %s, not after %s", m.Kind, m.NotBefore, m.NotAfter)
		}
		// 603 by the clock as it was, 573 as it is from now on.
		if m.Kind == Unhealthy && !m.Contains(sec(573)) {
			t.Errorf("%s: not before %s, not after %s", m.Kind, m.NotBefore, m.NotAfter)
		}
	}
}

func TestHot(t *testing.T) {
	w := newWorld(1)
	w.add(hung("a"))
	w.add(fresh("b", 623))
	tracker := NewTracker(DefaultSettings())
	c := &camera{w: w}
	c.film(tracker, sec(500), sec(600), poll)
	if hot := tracker.Hot(); len(hot) != 0 {
		t.Error("hot before anything fails:", hot)
	}
	c.film(tracker, sec(605), sec(800), poll)
	if hot := tracker.Hot(); !slices.Equal(hot, []fleet.ServiceID{{Cluster: "prod", Name: "web"}}) {
		t.Error("hot while a timeline is open:", hot)
	}
	c.film(tracker, sec(805), sec(1200), poll)
	if hot := tracker.Hot(); len(hot) != 0 {
		t.Error("hot after it is closed:", hot)
	}
}

// What Track handed out is the caller's: later snapshots do not change it.
func TestCopies(t *testing.T) {
	w := newWorld(1)
	w.add(hung("a"))
	tracker := NewTracker(DefaultSettings())
	c := &camera{w: w}
	c.film(tracker, sec(500), sec(605), poll)
	open := only(t, tracker.Open())
	if len(open.Targets) == 0 || len(open.Targets[0].Good) == 0 || len(open.Milestones) == 0 {
		t.Fatalf("it has nothing that could be shared: %+v", open)
	}
	before, err := json.Marshal(open)
	if err != nil {
		t.Fatal(err)
	}
	c.film(tracker, sec(610), sec(1000), poll)
	if after, _ := json.Marshal(open); string(after) != string(before) {
		t.Errorf("changed from %s to %s", before, after)
	}
	// And what a reader changes is its own.
	again := only(t, tracker.Open())
	clear(again.Milestones)
	clear(again.Targets[0].Milestones)
	clear(again.Targets[0].Good)
	if is := only(t, tracker.Open()); len(is.Milestones) == 0 || is.Milestones[0].Kind == "" || is.Targets[0].Good[0] == (Span{}) || is.Targets[0].Milestones[0].Kind == "" {
		t.Errorf("a reader changed it: %+v", is)
	}
}

// A task that has stopped and is replaced has nothing to wait for but its row: until that
// has been read once more, ECS may have put it back and taken it out.
func TestTimelineWaitsForItsRows(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.draining, l.gone = sec(640), sec(660) // by somebody's hand
	l.deactivating, l.stopping, l.stopped = sec(700), sec(705), sec(720)
	w.add(fresh("b", 623))
	unread := false
	c := &camera{w: w, skip: func(ref string) bool { return unread && ref == w.groups[0].Name }}
	tracker := NewTracker(DefaultSettings())
	closed := c.film(tracker, sec(500), sec(690), poll)
	unread = true
	if closed = append(closed, c.film(tracker, sec(695), sec(840), poll)...); len(closed) != 0 {
		t.Errorf("closed unread: %s", describe(closed[0]))
	}
	unread = false
	if tl := only(t, c.film(tracker, sec(845), sec(850), poll)); !tl.Closed.Equal(sec(845)) {
		t.Errorf("closed at %s", tl.Closed)
	}
}
