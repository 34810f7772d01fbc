package scenario

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// inFront is a service with two target groups of which castoff may take out
// what it likes.
func inFront(desired int) (sim.ServiceSpec, rules) {
	check := &fleet.HealthCheck{Command: []string{"CMD", "/check"}, Interval: 5 * time.Second, Timeout: 2 * time.Second, Retries: 2}
	group := func(name string) sim.GroupSpec {
		return sim.GroupSpec{Name: name, Attributes: map[string]string{"load_balancing.cross_zone.enabled": "true"}}
	}
	spec := sim.ServiceSpec{
		Cluster: "prod", Name: "front", Desired: desired, Settled: true, Groups: []sim.GroupSpec{group("inner"), group("outer")},
		Containers: []sim.ContainerSpec{{Name: "app", Ports: []int{8080}, Check: check}},
	}
	limits := policy.DefaultLimits()
	limits.Mode = policy.Detaching
	return spec, rules{limits: func(fleet.ServiceID) policy.Limits { return limits }, fleet: policy.DefaultFleetLimits()}
}

// A machine that stands still at any step of acting, as one does that is moved,
// wakes up in another world. What it was about to do, it must not do: neither
// take out the target of a task that has recovered meanwhile, nor the last one
// that serves because all others have failed.
func TestSafetyMachineStoodStill(t *testing.T) {
	id := fleet.ServiceID{Cluster: "prod", Name: "front"}
	for _, at := range steps {
		for _, others := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/all others fail=%t", at, others), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					params := sim.DefaultParams()
					params.React = sim.Exactly(20 * time.Minute) // ECS does nothing meanwhile
					params.NeverReregister = true
					region := sim.New(sim.Options{Seed: 1, Params: &params, Latency: 50 * time.Millisecond})
					spec, in := inFront(6)
					must(t, region.AddCluster("prod", sim.ClusterOptions{}), region.AddService(spec))
					o := newOracle(region, []sim.ServiceSpec{spec})
					c := newCastoff(t, "a", o)
					woke := false
					c.freeze(at, frost{12 * time.Second, func() {
						woke = true
						for i, task := range region.Tasks(id) {
							if i == 0 && !others {
								must(t, region.Recover(task.ARN))
							} else if i > 0 && others {
								must(t, region.Hang(task.ARN))
							}
						}
					}})
					c.start(in)
					time.Sleep(2 * time.Minute)
					sick := region.Tasks(id)[0].ARN
					must(t, region.Hang(sick))
					time.Sleep(time.Minute)
					_ = region.Recover(sick) // and then it goes back
					for range 300 {
						time.Sleep(time.Second)
						o.sample(c.life)
					}
					synctest.Wait()
					c.stop()
					if !woke {
						t.Fatal("never came to it")
					}
					for _, v := range o.verdict() {
						t.Error(v)
					}
				})
			})
		}
	}
}
