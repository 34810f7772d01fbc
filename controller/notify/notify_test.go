package notify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const group = fleet.TargetGroupARN("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/api-grpc/0123456789abcdef")

var api = fleet.ServiceID{Cluster: "prod", Name: "api"}

// sick is a failing task of a world with its target.
type sick struct {
	n        int
	service  fleet.ServiceID
	since    time.Time // UNHEALTHY
	good     time.Time // its row turned healthy for the last time; zero: before it failed
	state    fleet.TargetState
	well     bool
	detached *policy.Detachment
}

func (s *sick) key() fleet.TargetKey {
	return fleet.NewTargetKey(group, fmt.Sprintf("10.0.0.%d", s.n), 10080)
}
func (s *sick) task() fleet.TaskARN {
	return fleet.TaskARN(fmt.Sprintf("arn:aws:ecs:eu-central-1:123456789012:task/prod/%032x", s.n))
}

// state is what castoff knows of a world.
func state(at time.Time, sicks ...*sick) notify.State {
	s := notify.State{At: at, Limits: func(fleet.ServiceID) policy.Limits {
		limits := policy.DefaultLimits()
		limits.Contested.Tries = 2
		return limits
	}}
	g := &fleet.TargetGroup{ARN: group}
	snapshot := fleet.Snapshot{At: at, TargetGroups: []*fleet.TargetGroup{g}}
	for _, k := range sicks {
		health := fleet.Unhealthy
		if k.well {
			health = fleet.Healthy
		}
		snapshot.Tasks = append(snapshot.Tasks, &fleet.Task{ARN: k.task(), Service: k.service, LastStatus: fleet.Running, Health: health, Targets: []fleet.TargetKey{k.key()}})
		g.Targets = append(g.Targets, fleet.Target{Key: k.key(), State: k.state, Zone: "eu-central-1a"})
		tl := &timeline.Timeline{
			ID: timeline.ID(fmt.Sprintf("%x-1", k.n)), Task: k.task(), Service: k.service, Opened: k.since,
			Milestones: []timeline.Milestone{{Kind: timeline.Unhealthy, Bounds: timeline.Bounds{NotBefore: k.since.Add(-time.Second), NotAfter: k.since}}},
			Targets:    []timeline.Target{{Key: k.key(), Good: []timeline.Span{{}}}},
		}
		if !k.good.IsZero() {
			tl.Targets[0].Good = []timeline.Span{{To: timeline.At(k.since)}, {From: timeline.Bounds{NotBefore: k.good.Add(-time.Second), NotAfter: k.good}}}
		}
		s.Open = append(s.Open, tl)
		s.Verdicts = append(s.Verdicts, policy.Verdict{
			Action: policy.Detach, Target: k.key(), Task: k.task(), Service: k.service, Mode: policy.Detaching,
			Decision: policy.Hold, Guard: policy.Floor, Reason: policy.BelowFloor, Sentence: "1 of 3 tasks would stay healthy, floor 2 (50 %)",
		})
		if k.detached != nil {
			s.Detachments = append(s.Detachments, *k.detached)
		}
	}
	s.Snapshot = fleet.NewSnapshot(snapshot)
	return s
}

func detachment(k *sick, mode policy.Mode, decided time.Time) *policy.Detachment {
	return &policy.Detachment{Target: k.key(), Task: k.task(), Service: k.service, Zone: "eu-central-1a", Mode: mode, Decided: decided, Progress: policy.Out}
}

// all is a rule of a receiver that wants everything.
func all() notify.Rule { return notify.Rule{Events: notify.Events, ExposedFor: time.Minute} }

// told are the events of notifications with the number of their targets.
func told(ns []notify.Notification) string {
	var events []string
	for _, n := range ns {
		event := string(n.Event)
		if n.Count > 1 {
			event += fmt.Sprintf("(%d)", n.Count)
		}
		events = append(events, event)
	}
	return strings.Join(events, " ")
}

// A target's whole story, told step by step, each thing once.
func TestStory(t *testing.T) {
	k := &sick{n: 1, service: api, since: noon, state: fleet.TargetHealthy}
	d := detachment(k, policy.Detaching, noon.Add(70*time.Second))
	teller := notify.NewTeller(all(), notify.State{})
	for _, step := range []struct {
		at     time.Duration
		change func(*notify.State)
		want   string
		says   []string
	}{
		{at: 0},
		{at: 59 * time.Second},
		{at: time.Minute, want: "exposed", says: []string{
			"prod/api: the balancer sends traffic to a task that ECS calls UNHEALTHY, for 1 min 0 s now (eu-central-1)",
			"task 00000000000000000000000000000001, target 10.0.0.1:10080 in api-grpc, eu-central-1a",
			"UNHEALTHY since 2026-03-01 12:00:00Z", "castoff does not take it out: guard floor says hold: 1 of 3 tasks would stay healthy, floor 2 (50 %)",
			"\nhttps://castoff.example.com/timelines/1-1",
		}},
		{at: 62 * time.Second},
		{at: 70 * time.Second, change: func(*notify.State) { k.detached = d }}, // decided, and written down; no call yet
		{at: 72 * time.Second, change: func(*notify.State) { d.Called, d.Result, d.Tries = noon.Add(71*time.Second), policy.Accepted, 1 },
			want: "detached", says: []string{"castoff took a task that ECS calls UNHEALTHY out of the balancer", "taken out at 2026-03-01 12:01:11Z", "AWS accepted the call"}},
		{at: 74 * time.Second, change: func(*notify.State) { k.state = fleet.TargetDraining }, want: "unexposed",
			says: []string{"no longer sends traffic", "exposed since 2026-03-01 12:00:00Z, for 1 min 14 s", "the balancer now calls its target draining"}},
		{at: 2 * time.Minute, change: func(*notify.State) {
			d.Back = &policy.Bounds{NotBefore: noon.Add(115 * time.Second), NotAfter: noon.Add(2 * time.Minute)}
			k.state = fleet.TargetInitial
		}},
		{at: 122 * time.Second, change: func(*notify.State) { d.Called, d.Tries, d.Back = noon.Add(121*time.Second), 2, nil }}, // again is not news
		{at: 5 * time.Minute, change: func(*notify.State) {
			d.Back = &policy.Bounds{NotBefore: noon.Add(4 * time.Minute), NotAfter: noon.Add(5 * time.Minute)}
			k.state, k.good = fleet.TargetHealthy, noon.Add(5*time.Minute)
		}, want: "contested", says: []string{"castoff took it out 2 times and somebody, as ECS does, put it back each time"}},
		// Its exposure begins anew when it is back in service.
		{at: 5*time.Minute + 59*time.Second},
		{at: 6 * time.Minute, want: "exposed", says: []string{"exposed since 2026-03-01 12:05:00Z"}},
		{at: 9 * time.Minute, change: func(*notify.State) {
			k.well = true
			d.Progress, d.Outcome, d.Ended = policy.Closed, policy.Recovered, noon.Add(9*time.Minute)
		}, want: "unexposed attached", says: []string{"ECS no longer calls its task UNHEALTHY", "healthy and back in it", "somebody else registered the target again"}},
		{at: 10 * time.Minute},
	} {
		s := notify.State{}
		if step.change != nil {
			step.change(&s)
		}
		ns := teller.Next(state(noon.Add(step.at), k))
		if got := told(ns); got != step.want {
			t.Fatalf("at %s told %q, want %q", step.at, got, step.want)
		}
		text := ""
		for i := range ns {
			text += textOf(t, &ns[i])
		}
		for _, says := range step.says {
			if !strings.Contains(text, says) {
				t.Errorf("at %s: %s\ndoes not say %q", step.at, text, says)
			}
		}
	}
}

// What stops castoff is told when it begins and when it is over.
func TestBrakes(t *testing.T) {
	teller := notify.NewTeller(all(), notify.State{})
	pause := policy.Pause{Scope: policy.ScopeCluster, Service: fleet.ServiceID{Cluster: "prod"}, Until: noon.Add(time.Hour), Owner: "jane@example.com", Reason: "database upgrade", From: policy.FromTag}
	latch := policy.Latch{Service: api, Since: noon, Until: noon.Add(10 * time.Minute), Failing: 3, Of: 4}
	with := func(at time.Duration, change func(*notify.State)) notify.State {
		s := notify.State{At: noon.Add(at), Pauses: []policy.Pause{pause}}
		if change != nil {
			change(&s)
		}
		return s
	}
	for _, step := range []struct {
		s    notify.State
		want string
		says string
	}{
		{with(0, nil), "paused", "cluster prod: castoff is paused: it takes nothing out (eu-central-1)\nby jane@example.com: database upgrade; until 2026-03-01 13:00:00Z"},
		{with(time.Second, nil), "", ""},
		{with(2*time.Second, func(s *notify.State) { s.Pauses[0].Until = noon.Add(2 * time.Hour) }), "", ""}, // longer is the same pause
		{with(3*time.Second, func(s *notify.State) { s.Guards.Latches = []policy.Latch{latch} }), "latched", "3 of 4 tasks failed at once"},
		{with(5*time.Second, func(s *notify.State) {
			l := latch
			l.Until, l.Failing = noon.Add(20*time.Minute), 4
			s.Guards.Latches = []policy.Latch{l}
		}), "", ""},
		{with(7*time.Second, func(s *notify.State) { s.Halts = []policy.Halt{{Cause: "journal", Detail: "no space left"}} }), "unlatched halted", "no space left"},
		{with(9*time.Second, nil), "unhalted", "castoff acts again"},
		{with(3*time.Hour, nil), "unpaused", "a pause of castoff is over"},
	} {
		ns := teller.Next(step.s)
		if got := told(ns); got != step.want {
			t.Fatalf("at %s told %q, want %q", step.s.At, got, step.want)
		}
		text := ""
		for i := range ns {
			text += textOf(t, &ns[i])
		}
		if !strings.Contains(text, step.says) {
			t.Errorf("at %s: %s\ndoes not say %q", step.s.At, text, step.says)
		}
	}
}

// A denial is one for as long as AWS denies, though castoff asks again and again
// and forgets in between that it was denied.
func TestDenied(t *testing.T) {
	k := &sick{n: 1, service: api, since: noon, state: fleet.TargetHealthy}
	d := detachment(k, policy.Detaching, noon)
	d.Result, d.Rejected, d.RejectedAt = policy.Rejected, 1, noon
	k.detached = d
	teller := notify.NewTeller(notify.Rule{Events: []notify.Event{notify.Denied, notify.Detached}, ExposedFor: time.Hour}, notify.State{})
	next := func(at time.Duration, denied bool) string {
		s := state(noon.Add(at), k)
		if denied {
			s.Denied = []policy.Denial{{Group: group, Until: noon.Add(5 * time.Minute)}}
		}
		return told(teller.Next(s))
	}
	if got := next(0, false); got != "" {
		t.Errorf("a call that was refused for another reason: told %q", got)
	}
	if got := next(time.Second, true); got != "denied" {
		t.Errorf("told %q", got)
	}
	if got := next(5*time.Minute, false) + next(6*time.Minute, true); got != "" {
		t.Errorf("told again: %q", got)
	}
	d.Rejected, d.Called, d.Result, d.Tries = 0, noon.Add(7*time.Minute), policy.Accepted, 1
	if got := next(7*time.Minute, false); got != "detached" {
		t.Errorf("after the policy was mended told %q", got)
	}
}

// A task that was well in between is exposed since it failed again.
func TestExposedAgain(t *testing.T) {
	k := &sick{n: 1, service: api, since: noon, state: fleet.TargetHealthy}
	teller := notify.NewTeller(all(), notify.State{})
	again := noon.Add(10 * time.Minute)
	next := func(at time.Time) []notify.Notification {
		s := state(at, k)
		s.Guards.Watches = []policy.Watch{{Task: k.task(), Service: api, Sick: again}}
		return teller.Next(s)
	}
	if got := told(next(again.Add(59 * time.Second))); got != "" {
		t.Errorf("told %s too early", got)
	}
	ns := next(again.Add(time.Minute))
	if told(ns) != "exposed" || !ns[0].Targets[0].Failing.Equal(again) {
		t.Errorf("told %+v", ns)
	}
}

// An exposure of which nobody knows since when is told from when castoff first
// saw it, and says so; that is not forgotten by a restart's first reading.
func TestExposedSinceNobodyKnowsWhen(t *testing.T) {
	k := &sick{n: 1, service: api, since: noon, state: fleet.TargetHealthy}
	at := func(d time.Duration) notify.State {
		s := state(noon.Add(d), k)
		s.Open = nil
		return s
	}
	teller := notify.NewTeller(all(), at(0))
	if got := told(teller.Next(at(59 * time.Second))); got != "" {
		t.Errorf("told %s too early", got)
	}
	ns := teller.Next(at(time.Minute))
	if told(ns) != "exposed" {
		t.Fatalf("told %s", told(ns))
	}
	if target := ns[0].Targets[0]; !target.Since.IsZero() || target.For != time.Minute {
		t.Errorf("since %s, for %s", target.Since, target.For)
	}
	for _, says := range []string{"exposed, nobody knows since when", "castoff first saw it so at 2026-03-01 12:00:00Z"} {
		if text := textOf(t, &ns[0]); !strings.Contains(text, says) {
			t.Errorf("does not say %q:\n%s", says, text)
		}
	}
	if got := told(teller.Next(state(noon.Add(2*time.Minute), k))); got != "" { // now it is known
		t.Errorf("told %s again", got)
	}
	k.state = fleet.TargetDraining
	if ns = teller.Next(at(3 * time.Minute)); told(ns) != "unexposed" {
		t.Fatalf("told %s at its end", told(ns))
	}
}

// After a restart a target group that was not read yet is no all-clear.
func TestUnreadIsNotOver(t *testing.T) {
	k := &sick{n: 1, service: api, since: noon, state: fleet.TargetHealthy}
	unread := func(gaps ...fleet.Gap) notify.State {
		s := state(noon.Add(3*time.Minute), k)
		groups := []*fleet.TargetGroup{{ARN: group}}
		if len(gaps) > 0 {
			groups = nil // nor known
		}
		s.Snapshot = fleet.NewSnapshot(fleet.Snapshot{At: s.At, Tasks: s.Snapshot.Tasks, TargetGroups: groups, Gaps: gaps})
		return s
	}
	blind := state(noon.Add(3*time.Minute), k)
	blind.Snapshot = nil
	for name, s := range map[string]notify.State{
		"no rows": unread(), "no services": unread(fleet.Gap{Kind: fleet.GapServices, Class: fleet.Throttled}), "no pass": blind,
	} {
		teller := notify.NewTeller(all(), state(noon.Add(2*time.Minute), k))
		if got := told(teller.Next(s)); got != "" {
			t.Errorf("%s: told %s", name, got)
		}
		if got := told(teller.Next(state(noon.Add(4*time.Minute), k))); got != "" {
			t.Errorf("%s: told %s once it is read", name, got)
		}
		k.state = fleet.TargetDraining
		if got := told(teller.Next(state(noon.Add(5*time.Minute), k))); got != "unexposed" {
			t.Errorf("%s: told %q when it is over", name, got)
		}
		k.state = fleet.TargetHealthy
	}
}

// A target that is taken out again after its task was well has two stories.
func TestTakenOutAgain(t *testing.T) {
	k := &sick{n: 1, service: api, since: noon, state: fleet.TargetDraining}
	teller := notify.NewTeller(all(), notify.State{})
	first := *detachment(k, policy.Detaching, noon)
	first.Called, first.Tries = noon, 1
	next := func(at time.Duration, ds ...policy.Detachment) string {
		s := state(noon.Add(at), k)
		s.Detachments = ds
		return told(teller.Next(s))
	}
	if got := next(0, first); got != "detached" {
		t.Fatalf("told %s", got)
	}
	second := *detachment(k, policy.Detaching, noon.Add(time.Hour))
	second.Called, second.Tries = second.Decided, 1
	first.Progress, first.Outcome, first.Ended = policy.Closed, policy.Recovered, second.Decided
	if got := next(time.Hour, second, first); got != "detached attached" {
		t.Errorf("told %s", got)
	}
	first, other := second, first
	first.Progress, first.Outcome, first.Ended = policy.Closed, policy.Stopped, noon.Add(2*time.Hour)
	if got := next(2*time.Hour, other, first); got != "stopped" {
		t.Errorf("told %s", got)
	}
}

// SAFETY: what castoff would have done is never told as done.
func TestObservingIsNeverToldAsDetached(t *testing.T) {
	k := &sick{n: 1, service: api, since: noon, state: fleet.TargetHealthy}
	k.detached = detachment(k, policy.Observing, noon)
	k.detached.Result = policy.NotMade
	teller := notify.NewTeller(all(), notify.State{})
	ns := teller.Next(state(noon, k))
	if got := told(ns); got != "would_detach" {
		t.Fatalf("told %q", got)
	}
	if text := textOf(t, &ns[0]); !strings.Contains(text, "would have taken") || !strings.Contains(text, "has done nothing") {
		t.Errorf("says %s", text)
	}
	k.detached.Progress, k.detached.Outcome, k.detached.Ended = policy.Closed, policy.Stopped, noon.Add(time.Minute)
	if got := told(teller.Next(state(noon.Add(time.Minute), k))); got != "exposed" { // as long as the limit, by then
		t.Errorf("at its end told %q", got)
	}
	if slices.Contains(notify.DefaultEvents(), notify.WouldDetach) {
		t.Error("would_detach is told by default")
	}
}

func TestRules(t *testing.T) {
	other := fleet.ServiceID{Cluster: "prod", Name: "web"}
	a, b := &sick{n: 1, service: api, since: noon, state: fleet.TargetHealthy}, &sick{n: 2, service: other, since: noon, state: fleet.TargetHealthy}
	s := state(noon.Add(time.Minute), a, b)
	s.Pauses = []policy.Pause{{Scope: policy.ScopeAll}, {Scope: policy.ScopeCluster, Service: fleet.ServiceID{Cluster: "test"}}}
	for _, tt := range []struct {
		name string
		rule notify.Rule
		want string
	}{
		{"everything", all(), "exposed exposed paused paused"},
		{"one service, and what concerns all", notify.Rule{Events: notify.Events, ExposedFor: time.Minute, About: func(id fleet.ServiceID) bool { return id == api }}, "exposed paused"},
		{"one event", notify.Rule{Events: []notify.Event{notify.Exposed}, ExposedFor: time.Minute}, "exposed exposed"},
		{"a longer limit", notify.Rule{Events: notify.Events, ExposedFor: time.Minute + 1}, "paused paused"},
		{"nothing", notify.Rule{}, ""},
	} {
		if got := told(notify.NewTeller(tt.rule, notify.State{}).Next(s)); got != tt.want {
			t.Errorf("%s: told %q, want %q", tt.name, got, tt.want)
		}
	}
}

// What is of one event and one service is one message, whose id does not depend
// on the order.
func TestGroups(t *testing.T) {
	var sicks []*sick
	for i := range 30 {
		sicks = append(sicks, &sick{n: i + 1, service: api, since: noon, state: fleet.TargetHealthy})
	}
	first := notify.NewTeller(all(), notify.State{}).Next(state(noon.Add(time.Minute), sicks...))
	if got := told(first); got != "exposed(30)" {
		t.Fatalf("told %q", got)
	}
	if n := len(first[0].Targets); n != 20 || first[0].Count != 30 {
		t.Errorf("%d of %d targets are kept", n, first[0].Count)
	}
	slices.Reverse(sicks)
	again := notify.NewTeller(all(), notify.State{}).Next(state(noon.Add(time.Minute), sicks...))
	if first[0].ID != again[0].ID {
		t.Errorf("ids %s and %s", first[0].ID, again[0].ID)
	}
	text := textOf(t, &first[0])
	if !strings.Contains(text, "traffic to 30 targets that ECS calls UNHEALTHY") || strings.Count(text, "\ntask ") != 5 || !strings.Contains(text, "\nand 25 more\n") {
		t.Errorf("says %s", text)
	}
}

// world draws what happens to three targets.
func drawWorld(t *rapid.T, steps int) []notify.State {
	sicks := make([]*sick, 3)
	for i := range sicks {
		sicks[i] = &sick{n: i + 1, service: api, since: noon, state: fleet.TargetHealthy}
	}
	states := make([]notify.State, steps)
	for i := range states {
		at := noon.Add(time.Duration(i+1) * 20 * time.Second)
		for _, k := range sicks {
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0:
				k.state = fleet.TargetDraining
			case 1:
				if k.state != fleet.TargetHealthy {
					k.state, k.good = fleet.TargetHealthy, at
				}
			case 2:
				if k.detached == nil || !k.detached.Open() {
					k.detached = detachment(k, rapid.SampledFrom(policy.Modes).Draw(t, "mode"), at)
				}
			case 3:
				if d := k.detached; d != nil && d.Open() && d.Mode == policy.Detaching {
					call := *d
					call.Called, call.Result, call.Tries, call.Back = at, policy.Accepted, d.Tries+1, nil
					k.detached = &call
				}
			case 4:
				if d := k.detached; d != nil && d.Open() && !d.Called.IsZero() {
					back := *d
					back.Back = &policy.Bounds{NotBefore: d.Called, NotAfter: at}
					k.detached = &back
				}
			case 5:
				if d := k.detached; d != nil && d.Open() {
					end := *d
					end.Progress, end.Outcome, end.Ended = policy.Closed, rapid.SampledFrom(policy.Outcomes).Draw(t, "outcome"), at
					k.detached = &end
				}
			}
		}
		states[i] = state(at, sicks...)
		if rapid.IntRange(0, 3).Draw(t, "latch") == 0 {
			states[i].Guards.Latches = []policy.Latch{{Service: api, Since: at, Until: at.Add(time.Minute), Failing: 3, Of: 3}}
		} else if i > 0 && rapid.Bool().Draw(t, "still latched") {
			states[i].Guards.Latches = states[i-1].Guards.Latches
		}
	}
	return states
}

// ids are those of each target, and of what has none.
func ids(ns []notify.Notification) []string {
	var all []string
	for _, n := range ns {
		for _, t := range n.Targets {
			all = append(all, t.ID)
		}
		if len(n.Targets) == 0 {
			all = append(all, n.ID)
		}
	}
	return all
}

// SAFETY and LIVENESS: nothing is told twice, and a restart between any two
// passes, after which the journal has what was known, changes nothing of what is
// told.
func TestSafetyToldOnceWhateverRestarts(t *testing.T) {
	count := map[notify.Event]int{}
	rapid.Check(t, func(t *rapid.T) {
		states := drawWorld(t, 12)
		without, with := notify.NewTeller(all(), notify.State{}), notify.NewTeller(all(), notify.State{})
		told := map[string]bool{}
		for i, s := range states {
			ns := without.Next(s)
			for _, id := range ids(ns) {
				if told[id] {
					t.Fatalf("%s is told twice", id)
				}
				told[id] = true
			}
			for _, n := range ns {
				count[n.Event]++
			}
			if again := with.Next(s); !slices.Equal(ids(ns), ids(again)) {
				t.Fatalf("step %d: told %v, after a restart %v", i, ids(ns), ids(again))
			}
			if rapid.Bool().Draw(t, "restart") {
				past := s
				past.Verdicts = nil // which the journal has not
				with = notify.NewTeller(all(), past)
			}
		}
	})
	for _, e := range []notify.Event{
		notify.Exposed, notify.Unexposed, notify.Detached, notify.Stopped, notify.Attached, notify.Lost, notify.Contested,
		notify.WouldDetach, notify.Latched, notify.Unlatched,
	} {
		if count[e] == 0 {
			t.Errorf("%s was never told", e)
		}
	}
}

func TestEveryEventHasASample(t *testing.T) {
	seen := map[notify.Event]bool{}
	for _, n := range notify.Samples() {
		seen[n.Event] = true
	}
	for _, e := range append(slices.Clone(notify.Events), notify.Test) {
		if !seen[e] {
			t.Errorf("no sample of %s", e)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	var sicks []*sick
	for i := range 1000 {
		sicks = append(sicks, &sick{n: i + 1, service: api, since: noon, state: fleet.TargetHealthy})
	}
	s := state(noon.Add(time.Hour), sicks...)
	teller := notify.NewTeller(all(), s)
	for b.Loop() {
		if ns := teller.Next(s); len(ns) > 0 {
			b.Fatal("news")
		}
	}
}
