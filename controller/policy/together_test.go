package policy

import (
	"testing"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// second gives every task of web another row in its group, in another zone, as on an
// instance that publishes a port for IPv4 and one for IPv6.
func (s *scene) second() {
	g := s.group("web")
	for _, t := range s.tasks {
		if t.Service != web {
			continue
		}
		key := t.Targets[0]
		key.Port++
		t.Targets = append(t.Targets, key)
		g.Targets = append(g.Targets, fleet.Target{Key: key, State: fleet.TargetHealthy, Zone: t.Zone})
	}
}

// The rows of a task in one group go together or not at all.
func TestRowsOfATaskGoTogether(t *testing.T) {
	other := func(s *scene) *fleet.Target {
		g := s.group("web")
		for i := range g.Targets {
			if g.Targets[i].Key == s.task("web", 0).Targets[1] {
				return &g.Targets[i]
			}
		}
		panic("no second row")
	}
	for _, c := range []struct {
		name   string
		change func(*scene)
		want   []Decision // of the first row and of the second
		guard  Guard      // of the first
		reason Reason
	}{
		{"both", func(*scene) {}, []Decision{Allow, Allow}, "", OK},
		{"the second is another's as well", func(s *scene) {
			s.task("web", 1).Targets = append(s.task("web", 1).Targets, s.task("web", 0).Targets[1])
		}, []Decision{Hold, Hold}, Identity, AddressShared},
		{"the second's zone is not known", func(s *scene) {
			s.group("web").Attributes.CrossZone = "false"
			s.task("web", 0).Zone, other(s).Zone = "", ""
		}, []Decision{Hold, Hold}, Zone, ZoneUnknown},
		{"the second drains already", func(s *scene) { other(s).State = fleet.TargetDraining }, []Decision{Allow, Refuse}, "", OK},
		{"the second is not there", func(s *scene) {
			g := s.group("web")
			g.Targets = append([]fleet.Target{}, g.Targets[:4]...)
		}, []Decision{Allow}, "", OK},
		// 4 tasks are desired, and the floor is 2 of them: with two out, not one more.
		{"the floor is of tasks", func(s *scene) {
			for i := 1; i < 3; i++ {
				unknown(s.task("web", i))
				s.task("web", i).Connectivity = fleet.Disconnected
			}
		}, []Decision{Hold, Hold}, Floor, BelowFloor},
		{"a task with one bad row does not count", func(s *scene) {
			g := s.group("web")
			g.Targets[5].State, g.Targets[6].State = fleet.TargetUnhealthy, fleet.TargetUnhealthy
		}, []Decision{Hold, Hold}, Floor, BelowFloor},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := calm()
			s.second()
			fail(s.task("web", 0))
			s.read()
			s.decide()
			s.read()
			c.change(s)
			var got []Verdict
			for _, v := range s.decide() {
				if v.Task == taskARN("web", 0) {
					got = append(got, v)
				}
			}
			if len(got) != len(c.want) {
				t.Fatalf("%d verdicts, want %d", len(got), len(c.want))
			}
			for i, v := range got {
				if v.Decision != c.want[i] {
					t.Errorf("row %d: %s %s: %s", i, v.Decision, v.Guard, v.Sentence)
				}
			}
			if got[0].Guard != c.guard || got[0].Reason != c.reason {
				t.Errorf("%s %s: %s", got[0].Guard, got[0].Reason, got[0].Sentence)
			}
		})
	}
}

// A task takes one place of the group's budget with all of its rows, and one token.
func TestRowsOfATaskAreOneOfTheBudget(t *testing.T) {
	s := calm()
	s.second()
	s.limits.Budget.Group = Allowance{Least: 1, Percent: 1, Most: 1}
	fail(s.task("web", 0))
	s.read()
	s.decide()
	s.read()
	for _, v := range s.decide() {
		f, _ := v.Finding(Budget)
		if v.Task != taskARN("web", 0) || v.Decision != Allow || f.Values[1].Got != 1 {
			t.Errorf("%s: %s %s: %s", v.Target.Address(), v.Decision, v.Guard, v.Sentence)
		}
	}
	if q := NewLook(s.input()).question(taskARN("web", 0), s.task("web", 0).Targets[0], nil); q.places() != 4 {
		t.Errorf("%d places in the group, want one a task", q.places())
	}
}
