package policy

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// allowed is a fleet in which one task hangs and an allow has been given.
func allowed(t *testing.T) (*scene, Verdict) {
	t.Helper()
	s := calm()
	fail(s.task("web", 0))
	s.read()
	s.decide()
	s.read()
	v := verdict(t, s.decide(), taskARN("web", 0))
	if !v.Acts() {
		t.Fatalf("%+v", v)
	}
	return s, v
}

func TestRecheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*scene)
		guard  Guard
		reason Reason
	}{
		{"as before", func(*scene) {}, "", OK},
		{"the task was not read again", func(s *scene) { s.task("web", 0).Read.Sent = s.now.Add(-time.Second - 1) }, Stale, NotReadAgain},
		{"the group was not read again", func(s *scene) { s.group("web").Read.Sent = s.now.Add(-time.Second - 1) }, Stale, NotReadAgain},
		{"the service was not read again", func(s *scene) { s.service("web").Read.Sent = s.now.Add(-time.Minute) }, Stale, NotReadAgain},
		{"the group's settings were not read again", func(s *scene) { s.group("web").Inventory.Sent = s.now.Add(-time.Minute) }, Stale, NotReadAgain},
		{"well again", func(s *scene) { heal(s.task("web", 0)) }, Trigger, NotUnhealthy},
		{"leaving", func(s *scene) { s.task("web", 0).LastStatus = fleet.Deactivating }, Identity, Leaving},
		{"started again", func(s *scene) { s.task("web", 0).Started = noon }, Identity, Restarted},
		{"gone", func(s *scene) { s.tasks = s.tasks[1:] }, Stale, Unseen},
		{"another's", func(s *scene) {
			r := s.start("api", 20)
			r.Targets, r.Created = s.task("web", 0).Targets, noon
		}, Identity, NotOwner},
		{"claimed by another", func(s *scene) {
			r := s.start("api", 20)
			r.Targets, r.Created = s.task("web", 0).Targets, noon.Add(-24*time.Hour)
			r.Read = s.task("web", 0).Read
		}, Identity, AddressShared},
		{"nobody's", func(s *scene) { s.task("web", 0).Targets = nil }, Identity, NotOwner},
		{"the balancer has seen it", func(s *scene) { s.row("web", 0).State = fleet.TargetUnhealthy }, NoGain, AlreadyUnhealthy},
		{"others fell", func(s *scene) {
			s.row("web", 1).State = fleet.TargetUnhealthy
			s.row("web", 2).State = fleet.TargetUnhealthy
		}, Floor, BelowFloor},
		{"another was not read again", func(s *scene) {
			s.limits.Floor.Percent = 75
			s.task("web", 1).Read.Sent = s.now.Add(-time.Second - Apart - 1) // the look began a second ago
		}, Floor, BelowFloor},
		{"another was read just before", func(s *scene) {
			s.limits.Floor.Percent = 75
			s.task("web", 1).Read.Sent = s.now.Add(-time.Second - Apart)
		}, "", OK},
		{"none of the others was read again", func(s *scene) {
			for i := 1; i < 4; i++ {
				s.task("web", i).Read.Sent = s.now.Add(-time.Second - Apart - 1)
			}
		}, Floor, LastHealthy},
		{"another was not read again, and is not needed", func(s *scene) { s.task("web", 1).Read.Sent = s.now.Add(-10 * time.Second) }, "", OK},
		{"another fails too", func(s *scene) { fail(s.task("web", 1)) }, Correlated, ManyTasks},
		{"paused", func(s *scene) { s.service("web").Tags = map[string]string{PauseTag: ""} }, Paused, PauseUnreadable},
		{"only observed now", func(s *scene) { s.service("web").Tags = map[string]string{ModeTag: "observe"} }, Rate, NotGranted},
		{"another's token was the last", func(s *scene) { s.state.take(Detaching, web, s.limits.Rate, s.now) }, Rate, ServiceRate},
		{"others went in the meantime", func(s *scene) { s.detachments = []Detachment{s.detachment("web", 1, Detaching)} }, Budget, ServiceBudget},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, v := allowed(t)
			s.tick = time.Second
			s.read()
			s.task("web", 0).Read.Sent, s.group("web").Read.Sent = v.At, v.At
			c.change(s)
			again := NewLook(s.input()).Recheck(v)
			if again.Guard != c.guard || again.Reason != c.reason {
				t.Errorf("%s %s: %s; want %s %s", again.Guard, again.Reason, again.Sentence, c.guard, c.reason)
			}
			if unread := strings.Contains(again.Sentence, "could not be read again"); unread != (strings.Contains(c.name, "not read again") || strings.HasPrefix(c.name, "none")) && again.Guard == Floor {
				t.Errorf("it says why: %t: %s", unread, again.Sentence)
			}
			if again.Target != v.Target || again.Task != v.Task || again.Service != v.Service {
				t.Errorf("it is about something else: %+v", again)
			}
		})
	}
}

func TestRecheckWithoutASnapshot(t *testing.T) {
	s, v := allowed(t)
	in := s.input()
	in.Snapshot = nil
	if again := NewLook(in).Recheck(v); again.Decision == Allow || again.Task != v.Task || !again.Started.Equal(v.Started) {
		t.Errorf("%+v", again)
	}
}

func TestDecideWithoutASnapshot(t *testing.T) {
	s, _ := allowed(t)
	in := s.input()
	in.Snapshot = nil
	verdicts, state := decide(in)
	if verdicts != nil || len(state.Watches) != len(s.state.Watches) || len(state.Watches) == 0 {
		t.Errorf("%+v %+v", verdicts, state)
	}
}

func TestDecideWithoutLimits(t *testing.T) {
	s, _ := allowed(t)
	s.read()
	in := s.input()
	in.Limits = nil
	verdicts, _ := decide(in)
	v := verdict(t, verdicts, taskARN("web", 0))
	if v.Decision == Allow || v.Reason != InvalidLimit || v.Mode != Observing {
		t.Errorf("%+v", v)
	}
}

func TestModeOf(t *testing.T) {
	for _, c := range []struct {
		mode Mode
		tags map[string]string
		want Mode
	}{
		{Detaching, nil, Detaching},
		{Observing, nil, Observing},
		{"", nil, Observing},
		{"remove", nil, Observing},
		{Observing, map[string]string{ModeTag: "detach"}, Detaching},
		{Detaching, map[string]string{ModeTag: "observe"}, Observing},
		{Detaching, map[string]string{ModeTag: "Detach"}, Observing},
		{Detaching, map[string]string{ModeTag: ""}, Observing},
	} {
		if got := ModeOf(&fleet.Service{Tags: c.tags}, Limits{Mode: c.mode}); got != c.want {
			t.Errorf("%q with tags %v: %s", c.mode, c.tags, got)
		}
	}
	if ModeOf(nil, Limits{Mode: Detaching}) != Observing {
		t.Error("a service that was not read is acted on")
	}
}

func TestObserveModeAllowsButDoesNotAct(t *testing.T) {
	s := calm()
	s.limits.Mode = Observing
	fail(s.task("web", 0))
	s.read()
	s.decide()
	s.read()
	v := verdict(t, s.decide(), taskARN("web", 0))
	if v.Decision != Allow || v.Mode != Observing || v.Acts() {
		t.Errorf("%+v", v)
	}
}

// The one that has failed for longest comes first; then by task and target.
func TestOrder(t *testing.T) {
	s := calm()
	fail(s.task("api", 3))
	s.read()
	s.decide()
	fail(s.task("api", 1))
	fail(s.task("web", 0))
	s.row("web", 2).State = fleet.TargetUnhealthy
	s.detachments = []Detachment{s.detachment("web", 2, Observing)} // it is watched, and was never read failing
	s.read()
	var got []string
	for _, v := range s.decide() {
		got = append(got, v.Task.ID())
	}
	if want := "api-0003 api-0001 web-0000 web-0002"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestOneAtATime(t *testing.T) {
	s := calm()
	fail(s.task("api", 1))
	fail(s.task("api", 2))
	fail(s.task("api", 3))
	s.limits.Rate.Burst = 3
	s.read()
	s.decide()
	s.read()
	var allowed, held int
	for _, v := range s.decide() {
		switch {
		case v.Decision == Allow:
			allowed++
		case v.Guard == Budget:
			held++
		}
	}
	if allowed != 2 || held != 1 { // 10 % of 20
		t.Errorf("%d allowed, %d held", allowed, held)
	}
}

func TestUnreadGroupHasAVerdict(t *testing.T) {
	s := calm()
	fail(s.task("web", 0))
	s.read()
	s.group("web").Read, s.group("web").Targets = fleet.Read{}, nil
	if v := verdict(t, s.decide(), taskARN("web", 0)); v.Guard != Stale {
		t.Errorf("%+v", v)
	}
	s.groups = nil
	if v := verdict(t, s.decide(), taskARN("web", 0)); v.Guard != Stale {
		t.Errorf("%+v", v)
	}
}

func TestStateSurvivesJSON(t *testing.T) {
	s, _ := allowed(t)
	fail(s.task("web", 1))
	s.read()
	s.decide()
	s.state.take(Detaching, web, s.limits.Rate, s.now)
	s.state.take(Observing, web, s.limits.Rate, s.now)
	for range 2 {
		text, err := json.Marshal(s.state)
		if err != nil {
			t.Fatal(err)
		}
		var back State
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, s.state) {
			t.Errorf("%+v\nis not %+v", back, s.state)
		}
		s.state = back
	}
	if len(s.state.Watches) != 2 || len(s.state.Latches) != 1 || len(s.state.Buckets) != 2 || len(s.state.Failures) != 2 {
		t.Errorf("%+v", s.state)
	}
}

func TestDecideLeavesItsInputAlone(t *testing.T) {
	s, _ := allowed(t)
	in := s.input()
	before, _ := json.Marshal(in.State)
	in.Now = in.Now.Add(time.Hour)
	fail(s.task("web", 1))
	s.read()
	decide(in)
	if after, _ := json.Marshal(in.State); string(after) != string(before) {
		t.Errorf("%s\nwas %s", after, before)
	}
}

func TestDefaultsAreValid(t *testing.T) {
	if ps := DefaultLimits().Validate(); len(ps) != 0 {
		t.Error(ps)
	}
	if ps := DefaultFleetLimits().Validate(); len(ps) != 0 {
		t.Error(ps)
	}
	if DefaultLimits().Mode != Observing {
		t.Error("castoff acts without being asked to")
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		path   string
		change func(*Limits)
	}{
		{"mode", func(l *Limits) { l.Mode = "" }},
		{"confirm.reads", func(l *Limits) { l.Confirm.Reads = 0 }},
		{"confirm.reads", func(l *Limits) { l.Confirm.Reads = most + 1 }},
		{"confirm.for", func(l *Limits) { l.Confirm.For = -1 }},
		{"confirm.for", func(l *Limits) { l.Confirm.For = longest + 1 }},
		{"floor.count", func(l *Limits) { l.Floor.Count = 0 }},
		{"floor.percent", func(l *Limits) { l.Floor.Percent = math.NaN() }},
		{"floor.percent", func(l *Limits) { l.Floor.Percent = -5 }},
		{"floor.percent", func(l *Limits) { l.Floor.Percent = 100.1 }},
		{"budget.service.least", func(l *Limits) { l.Budget.Service.Least = -1 }},
		{"budget.service.least", func(l *Limits) { l.Budget.Service.Least = 11 }},
		{"budget.service.percent", func(l *Limits) { l.Budget.Service.Percent = 0 }},
		{"budget.service.most", func(l *Limits) { l.Budget.Service.Most = 0 }},
		{"budget.group.percent", func(l *Limits) { l.Budget.Group.Percent = math.Inf(1) }},
		{"rate.per_minute", func(l *Limits) { l.Rate.PerMinute = 0.0001 }},
		{"rate.per_minute", func(l *Limits) { l.Rate.PerMinute = 10_001 }},
		{"rate.per_minute", func(l *Limits) { l.Rate.PerMinute = math.NaN() }},
		{"rate.burst", func(l *Limits) { l.Rate.Burst = 0 }},
		{"correlated.count", func(l *Limits) { l.Correlated.Count = 0 }},
		{"correlated.percent", func(l *Limits) { l.Correlated.Percent = 0 }},
		{"correlated.cooldown", func(l *Limits) { l.Correlated.Cooldown = time.Second - 1 }},
		{"startup", func(l *Limits) { l.Startup = 0 }},
		{"stale.tasks", func(l *Limits) { l.Stale.Tasks = 0 }},
		{"stale.targets", func(l *Limits) { l.Stale.Targets = -1 }},
		{"stale.inventory", func(l *Limits) { l.Stale.Inventory = 25 * time.Hour }},
		{"futile.replacements", func(l *Limits) { l.Futile.Replacements = 0 }},
		{"futile.window", func(l *Limits) { l.Futile.Window = 0 }},
		{"contested.tries", func(l *Limits) { l.Contested.Tries = 0 }},
		{"contested.tries", func(l *Limits) { l.Contested.Tries = 11 }},
		{"contested.spacing", func(l *Limits) { l.Contested.Spacing = 0 }},
		{"recovery.window", func(l *Limits) { l.Recovery.Window = 0 }},
		{"recovery.window", func(l *Limits) { l.Recovery.Window = l.Recovery.Max + 1 }},
		{"recovery.window", func(l *Limits) { l.Recovery.Window, l.Recovery.Max = 2*time.Second, time.Second }},
		{"budget.group.least", func(l *Limits) { l.Budget.Group.Least, l.Budget.Group.Most = 2, 1 }},
		{"recovery.growth", func(l *Limits) { l.Recovery.Growth = 0.99 }},
		{"recovery.max", func(l *Limits) { l.Recovery.Max = 0 }},
	} {
		l := DefaultLimits()
		c.change(&l)
		ps := l.Validate()
		if len(ps) != 1 || ps[0].Path != c.path || ps[0].Must == "" || ps[0].Got == "" {
			t.Errorf("%s: %v", c.path, ps)
		}
	}
	// Each has one guard that answers for it.
	for _, p := range append(Limits{}.Validate(), FleetLimits{}.Validate()...) {
		n := 0
		for i := range detaching {
			if f, bad := detaching[i].invalid([]Problem{p}, ""); bad && f.Decision == Refuse {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d guards answer for %s", n, p.Path)
		}
	}
	if n := len((Limits{}).Validate()); n < 20 {
		t.Errorf("a zero value has %d problems", n)
	}
}

// Whoever must know all answers beforehand has every one, once.
func TestReasons(t *testing.T) {
	all := AllReasons()
	for i, r := range all {
		if r == "" || slices.Contains(all[:i], r) {
			t.Errorf("%q is there twice", r)
		}
	}
	for _, c := range []struct {
		action   Action
		decision Decision
		has      Reason
		not      Reason
	}{
		{Detach, Allow, OK, InvalidLimit}, {Detach, Hold, LastInZone, AlreadyOut}, {Detach, Refuse, InvalidLimit, StillFailing},
		{Attach, Hold, StillFailing, LastInZone}, {Attach, Refuse, Restarted, NotGranted},
	} {
		has := Reasons(c.action, c.decision)
		if !slices.Contains(has, c.has) || slices.Contains(has, c.not) || !slices.Contains(all, c.has) {
			t.Errorf("%s, %s: %q", c.action, c.decision, has)
		}
	}
}

func TestValidateAtTheEdges(t *testing.T) {
	l, f := DefaultLimits(), DefaultFleetLimits()
	l.Confirm = ConfirmLimits{Reads: most, For: longest}
	l.Floor = FloorLimits{Count: 1, Percent: 100}
	l.Budget.Service = Allowance{Least: 3, Percent: 100, Most: 3}
	l.Rate = RateLimits{PerMinute: 1.0 / (24 * 60), Burst: 1}
	f.Rate.PerMinute = 10_000
	l.Correlated = CorrelatedLimits{Count: 1, Percent: 100, Cooldown: time.Second}
	l.Startup, l.Stale = time.Second, StaleLimits{time.Second, time.Second, longest}
	l.Futile = FutileLimits{Replacements: 1, Window: time.Second}
	l.Contested = ContestedLimits{Tries: 10, Spacing: longest}
	l.Recovery = RecoveryLimits{Window: time.Second, Growth: 1, Max: time.Second}
	if ps := append(l.Validate(), f.Validate()...); len(ps) != 0 {
		t.Error(ps)
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1400 * time.Millisecond: "1s", time.Second: "1s", -1400 * time.Millisecond: "-1s", 900 * time.Millisecond: "900ms", 90*time.Second + 1: "1m30s",
	} {
		if got := brief(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	l := DefaultLimits()
	l.Floor.Percent, l.Rate.PerMinute = 120, 20_000
	want := []string{"floor.percent: must be more than 0 and at most 100 (got 120)", "rate.per_minute: must be between 0.0006944444444444445 and 10000 (got 20000)"}
	for i, p := range l.Validate() {
		if p.String() != want[i] {
			t.Errorf("%s, want %s", p, want[i])
		}
	}
}

func TestFindingOfAGuardThatWasNotAsked(t *testing.T) {
	s, v := allowed(t)
	if f, ok := v.Finding(Recovery); ok || f.Guard != "" {
		t.Errorf("%+v of a verdict about %s", f, s.task("web", 0).ARN.ID())
	}
}
