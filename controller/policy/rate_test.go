package policy

import (
	"slices"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestRate(t *testing.T) {
	// taken takes n tokens now.
	taken := func(mode Mode, id fleet.ServiceID, n int) func(*scene) {
		return func(s *scene) {
			l := s.limits.Rate
			if id == (fleet.ServiceID{}) {
				l = s.fleet.Rate
			}
			for range n {
				s.state.take(mode, id, l, s.now)
			}
		}
	}
	later := func(d time.Duration, change func(*scene)) func(*scene) {
		return func(s *scene) {
			change(s)
			s.tick = d
			s.read()
		}
	}
	due := func(change func(*Detachment)) func(*scene) {
		return func(s *scene) {
			taken(Detaching, web, 1)(s)
			d := s.detachment("web", 0, Detaching)
			change(&d)
			s.detachments = []Detachment{d}
		}
	}
	testGuard(t, Rate, []guardCase{
		{"the first", nil, Allow, OK, "within 1 a minute of the service and 10 of the fleet", 0},
		{"the second", taken(Detaching, web, 1), Hold, ServiceRate, "prod/web may lose 1 tasks a minute, 1 at once: the next at 2026-11-23 12:01:04 UTC", time.Minute},
		{"the second, after a while", later(59*time.Second, taken(Detaching, web, 1)), Hold, ServiceRate, "", time.Second},
		{"the second, in time", later(time.Minute, taken(Detaching, web, 1)), Allow, OK, "", 0},
		{"the second of a burst", func(s *scene) { s.limits.Rate.Burst = 2; taken(Detaching, web, 1)(s) }, Allow, OK, "", 0},
		{"the third of a burst", func(s *scene) { s.limits.Rate.Burst = 2; taken(Detaching, web, 2)(s) }, Hold, ServiceRate, "", time.Minute},
		{"another service's", taken(Detaching, fleet.ServiceID{Cluster: "prod", Name: "api"}, 1), Allow, OK, "", 0},
		{"the fleet's fifth", taken(Detaching, fleet.ServiceID{}, 4), Allow, OK, "", 0},
		{"the fleet's sixth", taken(Detaching, fleet.ServiceID{}, 5), Hold, FleetRate, "the fleet may", 6 * time.Second},
		{"what would be", taken(Observing, web, 1), Allow, OK, "", 0},
		{"what would be, in observe mode", func(s *scene) { s.limits.Mode = Observing; taken(Observing, web, 1)(s) }, Hold, ServiceRate, "", time.Minute},
		{"what is, in observe mode", func(s *scene) { s.limits.Mode = Observing; taken(Detaching, web, 1)(s) }, Allow, OK, "", 0},
		{"the clock was set back", func(s *scene) { taken(Detaching, web, 1)(s); s.now = s.now.Add(-24 * time.Hour) }, Hold, ServiceRate, "", time.Minute},
		{"a call that was refused", due(func(d *Detachment) {
			*d = (Detachment{Mode: Detaching, Target: d.Target, Task: d.Task, Started: d.Started, Progress: Out}).Call(noon, noon, Rejected)
		}), Allow, OK, "has its token", 0},
		{"a call that was not made", due(func(d *Detachment) { d.Called = time.Time{} }), Allow, OK, "has its token", 0},
		{"a call that was made, and undone", due(func(*Detachment) {}), Allow, OK, "has its token", 0},
		{"the task's target in another group is out", due(func(d *Detachment) { d.Target.Group += "-other" }), Allow, OK, "has its token", 0},
		{"it is out no more", due(func(d *Detachment) { d.Target.Group += "-other"; d.Progress = Closed }), Hold, ServiceRate, "", time.Minute},
		{"the same of another task", due(func(d *Detachment) { d.Task = taskARN("web", 1) }), Hold, ServiceRate, "", time.Minute},
		{"what would have been", due(func(d *Detachment) { d.Mode = Observing }), Hold, ServiceRate, "", time.Minute},
		{"no limit", func(s *scene) { s.limits.Rate.PerMinute = 0 }, Refuse, InvalidLimit, "rate.per_minute", 0},
		{"no burst of the fleet", func(s *scene) { s.fleet.Rate.Burst = 0 }, Refuse, InvalidLimit, "of the fleet", 0},
	})
}

// What a task costs it costs once, however many targets it has.
func TestTargetsOfOneTaskLeaveTogether(t *testing.T) {
	s := calm()
	task := s.task("web", 0)
	key := fleet.NewTargetKey(groupARN("api"), "10.0.0.1", 10081)
	task.Targets = append(task.Targets, key)
	g := s.group("api")
	g.Targets = append(g.Targets, fleet.Target{Key: key, State: fleet.TargetHealthy})
	for i := 1; i < 4; i++ {
		k := fleet.NewTargetKey(groupARN("api"), task.Targets[0].ID[:7]+string(rune('1'+i)), 10081)
		s.task("web", i).Targets = append(s.task("web", i).Targets, k)
		g.Targets = append(g.Targets, fleet.Target{Key: k, State: fleet.TargetHealthy})
	}
	fail(task)
	s.limits.Rate.Burst = 3
	s.read()
	s.decide()
	s.read()
	verdicts := s.decide()
	if len(verdicts) != 2 || !verdicts[0].Acts() || !verdicts[1].Acts() {
		t.Fatalf("%+v", verdicts)
	}
	if len(s.state.Buckets) != 0 {
		t.Fatalf("tokens were taken before anything was looked at again: %+v", s.state.Buckets)
	}
	s.read()
	for i, n := range []int{0, 1} { // whichever goes first pays, and the other goes with it
		for _, v := range []Verdict{verdicts[i], verdicts[1-i]}[n:] {
			look := NewLook(s.input())
			if again := look.Recheck(v); !again.Acts() {
				t.Fatalf("%+v", again)
			}
			s.state = look.State()
			d := v.Detachment(prod, s.detachments)
			s.detachments = append(s.detachments, d)
		}
		if got, want := s.state.full(Detaching, web, s.limits.Rate, s.now), s.now.Add(time.Minute); !got.Equal(want) {
			t.Errorf("full at %v, want %v: one token was taken", got, want)
		}
		if got, want := s.state.full(Detaching, fleet.ServiceID{}, s.fleet.Rate, s.now), s.now.Add(6*time.Second); !got.Equal(want) {
			t.Errorf("the fleet's is full at %v, want %v", got, want)
		}
		s.state.Buckets, s.detachments = nil, nil
	}
}

// What a second look does not allow has cost nothing, nor what castoff takes out again.
func TestOnlyWhatGoesPays(t *testing.T) {
	s, v := allowed(t)
	look := NewLook(s.input()) // nothing was read again
	if again := look.Recheck(v); again.Decision == Allow || len(look.State().Buckets) != 0 {
		t.Errorf("%s %s, %+v", again.Decision, again.Reason, look.State().Buckets)
	}
	s.limits.Rate = RateLimits{PerMinute: 1, Burst: 1}
	s.state.take(Detaching, web, s.limits.Rate, s.now)
	s.detachments = []Detachment{s.detachment("web", 0, Detaching).Call(noon.Add(-time.Hour), noon.Add(-time.Hour), Accepted)}
	s.read()
	look = NewLook(s.input())
	if again := look.Recheck(v); !again.Acts() || !slices.Equal(look.State().Buckets, s.state.Buckets) {
		t.Errorf("%s %s: %+v, was %+v", again.Decision, again.Sentence, look.State().Buckets, s.state.Buckets)
	}
}

func TestBucket(t *testing.T) {
	var s State
	r := RateLimits{PerMinute: 6, Burst: 2}
	at := noon.Add
	for _, c := range []struct {
		take            bool
		now, next, full time.Duration
	}{
		{false, 0, -10 * time.Second, 0},
		{true, 0, 0, 10 * time.Second},
		{true, 0, 10 * time.Second, 20 * time.Second},
		{false, 15 * time.Second, 10 * time.Second, 20 * time.Second},
		{true, 15 * time.Second, 20 * time.Second, 30 * time.Second},
		{false, time.Hour, time.Hour - 10*time.Second, time.Hour},
		{true, time.Hour, time.Hour, time.Hour + 10*time.Second},
		{false, 0, 10 * time.Second, 20 * time.Second}, // set back: empty at most
	} {
		if c.take {
			s.take(Detaching, web, r, at(c.now))
		}
		if next, full := s.next(Detaching, web, r, at(c.now)), s.full(Detaching, web, r, at(c.now)); !next.Equal(at(c.next)) || !full.Equal(at(c.full)) {
			t.Errorf("%+v: next %v, full %v", c, next.Sub(noon), full.Sub(noon))
		}
	}
	if len(s.Buckets) != 1 {
		t.Errorf("%+v", s.Buckets)
	}
}
