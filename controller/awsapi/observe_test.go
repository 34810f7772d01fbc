package awsapi

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func gapsOf(s *fleet.Snapshot) []string {
	var out []string
	for _, g := range s.Gaps {
		out = append(out, string(g.Kind)+" "+string(g.Class)+" "+lastSegment(g.Ref))
	}
	return out
}

func TestFirstPassReadsTheWholeFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(2, 3, 2)
		s := observer(t, Options{Config: f.config(), Budgets: unlimited}).Observe(t.Context(), nil)
		if len(s.Gaps) != 0 {
			t.Errorf("gaps: %v", s.Gaps)
		}
		if len(s.Clusters) != 2 || len(s.Services) != 6 || len(s.Tasks) != 12 || len(s.TargetGroups) != 6 || len(s.Definitions) != 3 {
			t.Fatalf("clusters %d, services %d, tasks %d, groups %d, definitions %d",
				len(s.Clusters), len(s.Services), len(s.Tasks), len(s.TargetGroups), len(s.Definitions))
		}
		task := s.Task(f.clusters[1].taskARN(f.clusters[1].tasks[0].id))
		if len(task.Targets) != 1 || !s.Target(task.Targets[0]).Healthy() || s.Owner(task.Targets[0]) != task {
			t.Errorf("targets of %s: %v", task.ARN, task.Targets)
		}
		if want := (fleet.Read{Sent: time.Now().UTC().Round(0), Received: time.Now().UTC().Round(0)}); task.Read != want {
			t.Errorf("read %v, want %v", task.Read, want)
		}
		sv := s.Services[0]
		if sv.Grace != time.Minute || sv.MaximumPercent != 200 || sv.Controller != fleet.ControllerECS || len(sv.Deployments) != 1 {
			t.Errorf("service %+v", sv)
		}
		check := s.Definitions[sv.Deployments[0].Definition].Container("nginx").Check
		if check.Interval != 30*time.Second || check.Timeout != 5*time.Second || check.Retries != 3 || check.StartPeriod != 0 {
			t.Errorf("check %+v", check)
		}
		g := s.TargetGroups[0]
		if !g.Attributes.Known || g.Attributes.DeregistrationDelay != 2*time.Minute || !g.Attributes.UnhealthyConnectionTermination {
			t.Errorf("attributes %+v", g.Attributes)
		}
		if g.Tags["castoff:managed"] != "yes" || s.Clusters[0].Tags["team"] != "edge" {
			t.Errorf("tags %v, %v", g.Tags, s.Clusters[0].Tags)
		}
		if g.Check.Interval != 10*time.Second || g.TargetType != fleet.TargetTypeIP {
			t.Errorf("group %+v", g)
		}
	})
}

// What a circuit breaker's settings leave out is ECS's default.
func TestCircuitBreaker(t *testing.T) {
	const bounded = fleet.ThresholdBoundedPercent
	for _, c := range []struct {
		in   map[string]any
		want fleet.CircuitBreaker
	}{
		{nil, fleet.CircuitBreaker{}},
		{map[string]any{"enable": false, "rollback": true}, fleet.CircuitBreaker{}},
		{map[string]any{"enable": true, "rollback": true}, fleet.CircuitBreaker{Enabled: true, Rollback: true, Resets: true, Type: bounded, Value: 50}},
		{map[string]any{
			"enable": true, "rollback": false, "resetOnHealthyTask": false,
			"thresholdConfiguration": map[string]any{"type": "COUNT", "value": 7},
		}, fleet.CircuitBreaker{Enabled: true, Type: fleet.ThresholdCount, Value: 7}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(1, 1, 1)
			f.clusters[0].services[0].extra = map[string]any{"deploymentConfiguration": map[string]any{"deploymentCircuitBreaker": c.in}}
			if got := pass(t, observer(t, Options{Config: f.config(), Budgets: unlimited}), 0).Services[0].Breaker; got != c.want {
				t.Errorf("%v: %+v, want %+v", c.in, got, c.want)
			}
		})
	}
}

// Tasks that ECS starts to balance zones are in its events, and nowhere else.
func TestMovedTasks(t *testing.T) {
	const a, b, c = "cfcd208495d565ef66e7dff9f98764da", "c4ca4238a0b923820dcc509a6f75849b", "eccbc87e4b5ce2fe28308fd9f2a7baf3"
	for setting, want := range map[string][]string{"ENABLED": {b, a}, "DISABLED": nil} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(1, 1, 1)
			var events []any
			for _, m := range []string{
				"(service s0000) has started 2 tasks in eu-central-1a to AZ Rebalance: (task " + a + ") (task " + b + ").",
				"(service s0000) has started 2 tasks in eu-central-1a to AZ Rebalance: " + a + ".",
				"(service s0000) has stopped 1 running tasks in eu-central-1b to AZ Rebalance: (task " + c + ").",
				"(service s0000) has started 1 tasks: (task " + c + ").",
			} {
				events = append(events, map[string]any{"id": "e", "message": m})
			}
			whole := ecsService()
			whole["availabilityZoneRebalancing"], whole["events"] = setting, events
			f.clusters[0].services[0].extra = whole
			s := pass(t, observer(t, Options{Config: f.config(), Budgets: unlimited}), 0)
			if len(s.Services) != 1 {
				t.Fatalf("gaps %v", s.Gaps)
			}
			if got := s.Services[0].Moved; !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", setting, got, want)
			}
		})
	}
}

// The floor: one DescribeTasks for each hundred tasks of a cluster, a list of
// the same length each discovery, a DescribeTargetHealth for each due group.
func TestCallsOfEachPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(2, 10, 25) // 250 tasks a cluster
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		o.Observe(t.Context(), nil)
		first := tally(f.taken())
		want := map[string]int{
			"ListClusters": 1, "DescribeClusters": 1, "ListServices": 2, "DescribeServices": 2, "ListGatewayRoutes": 1, "DescribeTargetGroups": 1,
			"DescribeTags": 1, "DescribeTargetGroupAttributes": 20, "DescribeTaskDefinition": 10,
			"ListTasks": 2*3 + 2, "DescribeTasks": 2 * 3, "DescribeTargetHealth": 20,
		}
		if !maps.Equal(first, want) {
			t.Errorf("first pass: %v, want %v", first, want)
		}
		for at := 5; at <= 120; at += 5 {
			time.Sleep(5 * time.Second)
			o.Observe(t.Context(), nil)
			want := map[string]int{"DescribeTasks": 6}
			if at%15 == 0 {
				want["ListTasks"] = 6
			}
			if at%30 == 0 {
				want["DescribeTargetHealth"] = 20
			}
			if at%60 == 0 {
				maps.Copy(want, map[string]int{
					"ListClusters": 1, "DescribeClusters": 1, "ListServices": 2, "DescribeServices": 2, "ListGatewayRoutes": 1,
					"DescribeTargetGroups": 1, "DescribeTags": 1, "ListTasks": 6 + 2,
				})
			}
			if got := tally(f.taken()); !maps.Equal(got, want) {
				t.Errorf("after %d s: %v, want %v", at, got, want)
			}
		}
	})
}

func TestHotServiceIsReadAtTheHotInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 10, 25)
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		o.Observe(t.Context(), nil)
		sick := f.clusters[0].tasks[140]
		sick.health = "UNHEALTHY"
		time.Sleep(5 * time.Second)
		f.taken()
		o.Observe(t.Context(), nil)
		// The pass that shows it also reads the group, after the task.
		calls := f.taken()
		last := calls[len(calls)-1]
		if last.op != "DescribeTargetHealth" || last.refs[0] != groupARN("c00-s0005") || tally(calls)["DescribeTargetHealth"] != 1 {
			t.Errorf("calls %v", tally(calls))
		}
		for range 2 {
			time.Sleep(2 * time.Second)
			s := o.Observe(t.Context(), nil)
			got := tally(f.taken())
			if got["DescribeTargetHealth"] != 1 || got["DescribeTasks"] < 1 || got["ListTasks"] != 1 {
				t.Errorf("hot pass: %v", got)
			}
			task := s.Task(f.clusters[0].taskARN(sick.id))
			if age := task.Read.Age(time.Now()); age != 0 {
				t.Errorf("hot task is %s old", age)
			}
		}
	})
}

// Hot tasks alone do not fill a call: those that are due next come along.
func TestBatchesAreFilledUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 10, 25)
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		o.Observe(t.Context(), nil)
		f.taken()
		time.Sleep(2 * time.Second)
		hot := fleet.ServiceID{Cluster: "c00", Name: "s0007"}
		s := o.Observe(t.Context(), []fleet.ServiceID{hot})
		for _, task := range s.Tasks {
			if task.Service == hot && !task.Read.Received.Equal(s.At) {
				t.Errorf("hot task %s was not read", task.ARN.ID())
			}
		}
		for _, c := range f.taken() {
			if c.op == "DescribeTasks" && len(c.refs) != 100 {
				t.Errorf("a call for %d tasks", len(c.refs))
			}
		}
	})
}

func TestUnreadPartsKeepTheirPointers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 2, 2)
		o := observer(t, Options{Config: f.config()})
		a := o.Observe(t.Context(), nil)
		time.Sleep(time.Second)
		b := o.Observe(t.Context(), nil)
		if !slices.Equal(a.Tasks, b.Tasks) || !slices.Equal(a.Services, b.Services) || !slices.Equal(a.TargetGroups, b.TargetGroups) {
			t.Error("what was not read again is a new value")
		}
		time.Sleep(5 * time.Second)
		c := o.Observe(t.Context(), nil)
		for i := range a.Tasks {
			if a.Tasks[i] == c.Tasks[i] {
				t.Error("what was read again is the old value")
			}
		}
		if !slices.Equal(a.TargetGroups, c.TargetGroups) {
			t.Error("calm groups were read again")
		}
	})
}

// A loop whose passes come a little early still reads everything in each.
func TestJitterPutsNothingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		o := observer(t, Options{Config: f.config()})
		for range 20 {
			s := pass(t, o, 4500*time.Millisecond)
			if age := s.Tasks[0].Read.Age(s.At); age != 0 {
				t.Fatalf("a task of %s was not read", age)
			}
		}
	})
}
