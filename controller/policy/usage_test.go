package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// standing are the budgets and floors, which say how it stands and not what was
// done.
func standing(all []Use) []Use {
	return slices.DeleteFunc(all, func(u Use) bool { return u.Name != "budget" && u.Name != "floor" })
}

// What was done counts against the limits of how often, until it is long enough
// ago; a limit that makes no sense is left out.
func TestUsageOfWhatWasDone(t *testing.T) {
	done := func(s *scene) string {
		var said []string
		for _, u := range NewLook(s.input()).Usage() {
			if u.Name != "budget" && u.Name != "floor" && u.Service.Name != "api" {
				said = append(said, fmt.Sprintf("%s%s %d/%d", u.Service.Name, u.Name, u.Used, u.Limit))
			}
		}
		return strings.Join(said, " ")
	}
	s := calm()
	s.read()
	s.limits.Rate, s.fleet.Rate = RateLimits{PerMinute: 2, Burst: 3}, RateLimits{PerMinute: 6, Burst: 4}
	s.limits.Futile, s.limits.Contested.Tries = FutileLimits{Replacements: 2, Window: 10 * time.Minute}, 3
	s.limits.Mode = Detaching
	if got, want := done(s), "rate 0/4 webrate 0/3 webfutile 0/2 webcontested 0/3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for range 2 {
		s.state.take(Detaching, web, s.limits.Rate, s.now)
		s.state.take(Detaching, fleet.ServiceID{}, s.fleet.Rate, s.now)
	}
	s.state.take(Observing, web, s.limits.Rate, s.now)
	failed := func(n int, by string, created, seen time.Duration) Failure {
		return Failure{Service: web, Task: fleet.TaskARN(fmt.Sprintf("task-%d", n)), StartedBy: by, Created: s.now.Add(-created), Seen: s.now.Add(-seen)}
	}
	s.state.Failures = []Failure{
		failed(1, "a", time.Hour, 9*time.Minute), failed(2, "b", time.Hour, 8*time.Minute),
		failed(3, "b", 7*time.Minute, 6*time.Minute), failed(4, "b", 5*time.Minute, 4*time.Minute),
	}
	d, old, would := s.detachment("web", 0, Detaching), s.detachment("web", 1, Detaching), s.detachment("web", 2, Observing)
	d.Tries, would.Tries = 2, 9
	old.Tries, old.Progress, old.Ended = 8, Closed, s.now
	s.detachments = []Detachment{d, old, would}
	if got, want := done(s), "rate 2/4 webrate 2/3 webfutile 2/2 webcontested 2/3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	s.now = s.now.Add(31 * time.Second) // a token of the service has come back, all of the fleet's
	if got, want := done(s), "rate 0/4 webrate 1/3 webfutile 2/2 webcontested 2/3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	s.now = s.now.Add(5 * time.Minute)
	if got, want := done(s), "rate 0/4 webrate 0/3 webfutile 0/2 webcontested 2/3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	s.limits.Rate.PerMinute, s.limits.Futile.Replacements, s.limits.Contested.Tries, s.fleet = 0, 0, 0, FleetLimits{}
	if got := done(s); got != "" {
		t.Errorf("%s", got)
	}
}

func TestUsage(t *testing.T) {
	s := calm()
	s.read()
	s.limits.Floor.Percent = 75
	s.row("web", 3).State = fleet.TargetInitial
	s.detachments = []Detachment{s.detachment("web", 0, Detaching), s.detachment("api", 0, Observing)}
	api := fleet.ServiceID{Cluster: "prod", Name: "api"}
	want := []Use{
		{fleet.ServiceID{}, "budget", 1, 5},
		{api, "budget", 0, 2}, {api, "floor", 20, 15},
		{web, "budget", 1, 1}, {web, "floor", 2, 3},
	}
	if got := standing(NewLook(s.input()).Usage()); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	s.limits.Floor.Percent, s.limits.Budget.Service.Percent, s.fleet = 0, -1, FleetLimits{}
	s.group("web").Read = fleet.Read{}
	s.group("api").Targets = nil
	want = []Use{{Name: "budget", Used: 1}, {api, "budget", 0, 0}, {web, "budget", 1, 0}}
	if got := standing(NewLook(s.input()).Usage()); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	s.limits = DefaultLimits()
	s.fleet.Budget = Allowance{Least: 5, Percent: -1, Most: 5}
	for range 2 { // read never, and not there
		want = []Use{{Name: "budget", Used: 1}, {api, "budget", 1, 2}, {web, "budget", 1, 1}}
		if got := standing(NewLook(s.input()).Usage()); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
		s.groups = nil
	}
}

// The floor is that of the group that is nearest to it; one that the service is
// not in has none.
func TestUsageOfSeveralGroups(t *testing.T) {
	for _, names := range [][]string{{"web", "one", "none"}, {"none", "one", "web"}} {
		s := calm()
		for _, name := range []string{"one", "none"} {
			s.groups = append(s.groups, &fleet.TargetGroup{ARN: groupARN(name)})
		}
		for i := range 3 {
			key := fleet.NewTargetKey(groupARN("one"), s.task("web", i).Targets[0].ID, 10081)
			s.task("web", i).Targets = append(s.task("web", i).Targets, key)
			s.group("one").Targets = append(s.group("one").Targets, fleet.Target{Key: key, State: fleet.TargetHealthy})
		}
		s.service("web").LoadBalancers = nil
		for _, name := range names {
			s.service("web").LoadBalancers = append(s.service("web").LoadBalancers, fleet.LoadBalancer{Group: groupARN(name)})
		}
		s.read()
		uses := standing(NewLook(s.input()).Usage())
		if got := uses[len(uses)-1]; got != (Use{web, "floor", 3, 2}) {
			t.Errorf("%v: %+v", names, got)
		}
	}
}
