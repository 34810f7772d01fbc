package awsapi_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

const crossZone = "load_balancing.cross_zone.enabled"

// Whether zones share is the balancer's to say, and is asked where a group leaves it
// to a balancer that may say either.
func TestBalancersAreAsked(t *testing.T) {
	for name, c := range map[string]struct {
		group sim.GroupSpec
		cross bool // at the balancer
		calls int
		kind  string
		says  string
	}{
		"an NLB that keeps zones apart":  {sim.GroupSpec{}, false, 2, "network", "false"},
		"an NLB that does not":           {sim.GroupSpec{}, true, 2, "network", "true"},
		"an ALB":                         {sim.GroupSpec{Balancer: sim.Application}, false, 0, "application", ""},
		"a group with a word of its own": {sim.GroupSpec{Attributes: map[string]string{crossZone: "true"}}, false, 0, "network", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := act(t, sim.ServiceSpec{Cluster: "c", Name: "web", Desired: 2, Settled: true, CrossZone: c.cross, Groups: []sim.GroupSpec{c.group}})
				calls := 0
				for range 20 {
					time.Sleep(time.Minute)
					s := a.o.Observe(t.Context(), nil)
					calls += a.n.taken()["DescribeLoadBalancerAttributes ok"]
					g := s.TargetGroup(a.target.Group)
					if len(g.Balancers) != 1 || g.Balancers[0].Kind != c.kind || g.Balancers[0].CrossZone != c.says || len(s.Gaps) != 0 {
						t.Fatalf("balancers %+v, gaps %v", g.Balancers, s.Gaps)
					}
				}
				if calls != c.calls { // at once, and each quarter of an hour
					t.Errorf("%d calls in twenty minutes, want %d", calls, c.calls)
				}
			})
		})
	}
}

// While a task fails, what guards rest on is no older than the inventory; and the
// second look reads it anew.
func TestSettingsAreFreshWhileATaskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := act(t, sim.ReferenceWorkload("c", "web"))
		lb := a.region.BalancerARN(a.target.Group)
		time.Sleep(5 * time.Minute)
		if err := a.region.Hang(a.task); err != nil {
			t.Fatal(err)
		}
		var s *fleet.Snapshot
		for range 15 {
			time.Sleep(2 * time.Second)
			s = a.o.Observe(t.Context(), nil)
		}
		g := s.TargetGroup(a.target.Group)
		for what, r := range map[string]fleet.Read{"attributes": g.Attributes.Read, "balancer": g.Balancers[0].Read, "inventory": g.Inventory} {
			if age := r.Age(s.At); age > 70*time.Second {
				t.Errorf("%s are %s old", what, age)
			}
		}
		set := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		set(a.region.SetBalancerAttributes(lb, map[string]string{crossZone: "true"}))
		set(a.region.SetGroupAttributes(a.target.Group, map[string]string{"target_group_health.dns_failover.minimum_healthy_targets.count": "5"}))
		set(a.region.Tag(fleet.ServiceID{Cluster: "c"}, "castoff:pause", "until=2026-11-23T18:00:00Z owner=j reason=r"))
		begun := time.Now()
		s = a.o.Refresh(t.Context(), []fleet.TaskARN{a.task}, []fleet.TargetGroupARN{a.target.Group})
		g = s.TargetGroup(a.target.Group)
		if g.Balancers[0].CrossZone != "true" || g.Attributes.Raw["target_group_health.dns_failover.minimum_healthy_targets.count"] != "5" || s.Clusters[0].Tags["castoff:pause"] == "" {
			t.Errorf("%+v, %+v, %v", g.Balancers, g.Attributes, s.Clusters[0].Tags)
		}
		for what, r := range map[string]fleet.Read{
			"attributes": g.Attributes.Read, "balancer": g.Balancers[0].Read, "inventory": g.Inventory, "cluster": s.Clusters[0].Read, "service": s.Services[0].Read,
		} {
			if r.Sent.Before(begun) {
				t.Errorf("%s were not read again", what)
			}
		}
		// What goes back waits for none of them.
		set(a.region.Recover(a.task))
		time.Sleep(30 * time.Second)
		s = a.o.Observe(t.Context(), nil)
		a.n.taken()
		time.Sleep(time.Second)
		a.o.Refresh(t.Context(), []fleet.TaskARN{a.task}, []fleet.TargetGroupARN{a.target.Group})
		if n := a.n.taken(); s.Task(a.task).Failing() || len(n) != 3 {
			t.Errorf("failing %v, calls %v", s.Task(a.task).Failing(), n)
		}
	})
}

// The right to ask the balancer is optional: without it there is no Gap, and nothing
// is asked in a hurry.
func TestBalancerMayNotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := sim.ReferenceWorkload("c", "web")
		r := region(t, sim.Options{Seed: 1}, "c", sim.ClusterOptions{}, spec)
		lift := r.Fault(sim.Fault{Operation: "DescribeLoadBalancerAttributes", Effect: sim.Deny})
		n := &counter{}
		o := newObserver(t, awsapi.Options{Config: config(r), Recorder: n})
		balancer := func() fleet.Balancer {
			t.Helper()
			s := o.Observe(t.Context(), nil)
			if len(s.Gaps) != 0 {
				t.Fatalf("gaps %v", s.Gaps)
			}
			return s.TargetGroups[0].Balancers[0]
		}
		balancer() // until the group's attributes are known, nobody need be asked
		for range 30 {
			time.Sleep(10 * time.Second)
			if b := balancer(); !b.Denied || b.CrossZone != "" {
				t.Fatalf("%+v", b)
			}
		}
		if calls := n.taken()["DescribeLoadBalancerAttributes denied"]; calls != 1 {
			t.Errorf("denied %d times in five minutes", calls)
		}
		lift()
		time.Sleep(time.Hour + 30*time.Minute)
		if b := balancer(); b.Denied || b.CrossZone != "false" {
			t.Errorf("after the right was given: %+v", b)
		}
		// Any other failure is a Gap, and what was read stays.
		r.Fault(sim.Fault{Operation: "DescribeLoadBalancerAttributes", Effect: sim.Unavailable})
		time.Sleep(20 * time.Minute)
		s := o.Observe(t.Context(), nil)
		if b := s.TargetGroups[0].Balancers[0]; len(s.Gaps) != 1 || s.Gaps[0].Kind != fleet.GapBalancer || b.CrossZone != "false" || b.Read.Age(s.At) < 15*time.Minute {
			t.Errorf("gaps %v, balancer %+v", s.Gaps, b)
		}
	})
}

// LIVENESS: a balancer's attributes that came garbled are asked for as often as an
// inventory, also while nothing fails.
func TestBalancerGarbledIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := region(t, sim.Options{Seed: 1}, "c", sim.ClusterOptions{}, sim.ReferenceWorkload("c", "web"))
		n := &counter{}
		o := newObserver(t, awsapi.Options{Config: config(r), Recorder: n})
		look := func(passes int) (s *fleet.Snapshot) {
			for range passes {
				time.Sleep(10 * time.Second)
				s = o.Observe(t.Context(), nil)
			}
			return s
		}
		look(30)
		r.Fault(sim.Fault{Operation: "DescribeLoadBalancerAttributes", Effect: sim.Garbage, Count: 2})
		if s := look(65); len(s.Gaps) == 0 {
			t.Fatal("it was not asked for")
		}
		if s := look(7); len(s.Gaps) != 0 {
			t.Errorf("gaps %v", s.Gaps)
		}
	})
}
