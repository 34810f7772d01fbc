package policy

import (
	"slices"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestBudget(t *testing.T) {
	out := func(service string, n int, mode Mode) func(*scene) {
		return func(s *scene) {
			for i := range n {
				s.detachments = append(s.detachments, s.detachment(service, i+1, mode))
			}
		}
	}
	both := func(changes ...func(*scene)) func(*scene) {
		return func(s *scene) {
			for _, c := range changes {
				c(s)
			}
		}
	}
	limits := func(service, group int) func(*scene) {
		return func(s *scene) {
			s.limits.Budget.Service = Allowance{Percent: 100, Most: service}
			s.limits.Budget.Group = Allowance{Percent: 100, Most: group}
		}
	}
	rejected := func(s *scene) {
		d := &s.detachments[0]
		d.Called, d.Tries, d.Result = time.Time{}, 0, Rejected
	}
	second := func(s *scene) { // the task's target in another group
		key := fleet.NewTargetKey(groupARN("api"), "10.0.0.1", 10080)
		s.task("web", 0).Targets = append(s.task("web", 0).Targets, key)
		s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
		s.detachments[0].Target = key
	}
	testGuard(t, Budget, []guardCase{
		{"the first", nil, Allow, OK, "1 of 1 allowed are out of the service, 1 of 1 of the group, 1 of 5 of the fleet", 0},
		{"the second", out("web", 1, Detaching), Hold, ServiceBudget, "the 2nd task of prod/web out at a time, limit 1 (at least 1, 10 % of 4, at most 10)", 0},
		{"the second, and two may", both(limits(2, 2), out("web", 1, Detaching)), Allow, OK, "2 of 2", 0},
		{"the third, and two may", both(limits(2, 3), out("web", 2, Detaching)), Hold, ServiceBudget, "3rd task", 0},
		{"the second of the group", both(limits(2, 1), out("web", 1, Detaching)), Hold, GroupBudget, "2nd target of web", 0},
		{"the sixth of the fleet", out("api", 5, Detaching), Hold, FleetBudget, "6th task of the fleet out at a time, limit 5 (at least 5, 5 % of 24", 0},
		{"the fifth of the fleet", out("api", 4, Detaching), Allow, OK, "", 0},
		{"percent of the fleet", both(out("api", 5, Detaching), func(s *scene) { s.fleet.Budget = Allowance{Percent: 25, Most: 50} }), Allow, OK, "6 of 6 of the fleet", 0},
		{"percent of the fleet, rounded down", both(out("api", 5, Detaching), func(s *scene) { s.fleet.Budget = Allowance{Percent: 24.9, Most: 50} }), Hold, FleetBudget, "limit 5", 0},
		{"what would be out", out("web", 3, Observing), Allow, OK, "", 0},
		{"what would be out, in observe mode", both(out("web", 1, Observing), func(s *scene) { s.limits.Mode = Observing }), Hold, ServiceBudget, "", 0},
		{"what is out, in observe mode", both(out("web", 1, Detaching), func(s *scene) { s.limits.Mode = Observing }), Hold, ServiceBudget, "", 0},
		{"what was out", both(out("web", 1, Detaching), func(s *scene) { s.detachments[0].Progress = Closed }), Allow, OK, "", 0},
		{"what AWS did not let go", both(out("web", 1, Detaching), rejected), Allow, OK, "1 of 1 allowed are out of the service, 1 of 1 of the group, 1 of 5", 0},
		{"what AWS did not let go, and is asked for again", both(out("web", 1, Detaching), rejected, func(s *scene) { s.detachments[0].Result = "" }), Hold, ServiceBudget, "", 0},
		{"what is out, and AWS did not let go again", both(out("web", 1, Detaching), rejected, func(s *scene) { s.detachments[0].Called = s.now }), Hold, ServiceBudget, "", 0},
		{"its own task's other target", second, Allow, OK, "1 of 1 allowed are out of the service", 0},
		{"itself", func(s *scene) { s.detachments = []Detachment{s.detachment("web", 0, Detaching)} }, Allow, OK, "", 0},
		{"out, and would be out", both(out("web", 1, Detaching), out("web", 1, Observing), limits(2, 2), func(s *scene) { s.limits.Mode = Observing }), Allow, OK, "2 of 2 allowed are out of the service, 2 of 2 of the group, 2 of 5", 0},
		{"nobody may", func(s *scene) { s.limits.Budget.Service.Least = 0 }, Hold, ServiceBudget, "limit 0", 0},
		{"no service", func(s *scene) { s.services = s.services[1:] }, Hold, ServiceBudget, "", 0},
		{"no group", func(s *scene) { s.group("web").Read = fleet.Read{} }, Hold, ServiceBudget, "", 0},
		{"no limit", func(s *scene) { s.limits.Budget.Group.Most = 0 }, Refuse, InvalidLimit, "budget.group.most", 0},
		{"no limit of the fleet", func(s *scene) { s.fleet.Budget.Percent = 0 }, Refuse, InvalidLimit, "of the fleet", 0},
	})
}

// The record has the numbers of all three, whichever is over.
func TestBudgetValues(t *testing.T) {
	s := calm()
	fail(s.task("web", 0))
	s.read()
	for _, out := range [][]Detachment{nil, {s.detachment("web", 1, Detaching)}} {
		s.detachments = out
		v := verdict(t, s.decide(), taskARN("web", 0))
		f, _ := v.Finding(Budget)
		n := len(out) + 1
		if want := []Value{count("service_out", n, 1), count("group_out", n, 1), count("fleet_out", n, 5)}; !slices.Equal(f.Values, want) {
			t.Errorf("%+v, want %+v", f.Values, want)
		}
	}
}

// What was allowed and not carried out counts for nothing afterwards.
func TestWhatDidNotGoDoesNotCount(t *testing.T) {
	s := calm()
	fail(s.task("web", 0))
	fail(s.task("api", 0))
	s.limits.Budget.Service = Allowance{Least: 1, Percent: 1, Most: 1}
	s.read()
	s.decide()
	for range 3 {
		s.read()
		if vs := s.decide(); len(vs) != 2 || vs[0].Decision != Allow || vs[1].Decision != Allow {
			t.Fatalf("%+v", vs)
		}
	}
	heal(s.task("web", 0))
	fail(s.task("web", 1))
	s.read()
	s.decide()
	s.read()
	if v := verdict(t, s.decide(), taskARN("web", 1)); v.Decision != Allow {
		t.Errorf("%+v", v)
	}
}

func TestAllowance(t *testing.T) {
	for _, c := range []struct {
		a        Allowance
		of, want int
	}{
		{Allowance{Least: 1, Percent: 10, Most: 10}, 0, 1},
		{Allowance{Least: 1, Percent: 10, Most: 10}, -7, 1},
		{Allowance{Least: 1, Percent: 10, Most: 10}, 19, 1},
		{Allowance{Least: 1, Percent: 10, Most: 10}, 20, 2},
		{Allowance{Least: 1, Percent: 10, Most: 10}, 5000, 10},
		{Allowance{Percent: 10, Most: 10}, 9, 0},
		{Allowance{}, 100, 0},
	} {
		if got := c.a.of(c.of); got != c.want {
			t.Errorf("%+v of %d is %d, want %d", c.a, c.of, got, c.want)
		}
	}
}

func TestOrdinal(t *testing.T) {
	for n, want := range map[int]string{1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 111: "111th", 100: "100th"} {
		if got := ordinal(n); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
