package sim

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// SAFETY: what old replies are made of keeps up with the world. Were a change
// left out, replies would show what was before it for ever.
func TestSafetyPastKeepsUp(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				params := DefaultParams()
				params.ReplyAge = Range{Max: time.Minute}
				r := New(Options{Seed: seed, Params: &params})
				must := func(errs ...error) {
					for _, err := range errs {
						if err != nil {
							t.Fatal(err)
						}
					}
				}
				must(r.AddCluster("prod", ClusterOptions{Instances: 3}))
				ids := pastWorld(must, r)
				rng := rand.New(rand.NewPCG(seed, 5))
				for range 300 {
					pastDeed(rng, r, ids[rng.IntN(len(ids))])
					time.Sleep(time.Duration(rng.IntN(10_000)) * time.Millisecond)
					r.mu.Lock()
					r.advance()
					checkPast(t, r)
					r.mu.Unlock()
				}
			})
		})
	}
}

func pastWorld(must func(...error), r *Region) (ids []fleet.ServiceID) {
	for i, change := range []func(*ServiceSpec){
		func(s *ServiceSpec) { s.Breaker, s.Rollback = BreakerOn, true },
		func(s *ServiceSpec) { s.Groups[0].Alternate = true },
		func(s *ServiceSpec) { s.Controller = fleet.ControllerExternal },
		func(s *ServiceSpec) {
			s.LaunchType, s.NetworkMode, s.Scheduling = fleet.EC2, fleet.NetworkBridge, fleet.Daemon
		},
		func(s *ServiceSpec) {
			s.Groups[0].Attributes = map[string]string{
				"target_health_state.unhealthy.connection_termination.enabled": "false",
				"target_health_state.unhealthy.draining_interval_seconds":      "20",
			}
			s.Settled = false
		},
	} {
		spec := ReferenceWorkload("prod", fmt.Sprint("s", i))
		spec.Groups[0].DeregistrationDelay = 30 * time.Second
		spec.Groups[0].Check = fleet.TargetCheck{Interval: 10 * time.Second, HealthyThreshold: 2}
		change(&spec)
		must(r.AddService(spec))
		ids = append(ids, fleet.ServiceID{Cluster: "prod", Name: spec.Name})
	}
	return ids
}

// pastDeed does one thing at random; what cannot be done is left.
func pastDeed(rng *rand.Rand, r *Region, id fleet.ServiceID) {
	tasks := r.Tasks(id)
	if len(tasks) == 0 {
		return
	}
	task := tasks[rng.IntN(len(tasks))]
	deeds := []func() error{
		func() error { return r.Hang(task.ARN) },
		func() error { return r.KillFront(task.ARN) },
		func() error { return r.KillFront(task.ARN) },
		func() error { return r.Recover(task.ARN) },
		func() error { return r.Exit(task.ARN) },
		func() error { return r.Disconnect(task.ARN) },
		func() error { return r.Reconnect(task.ARN) },
		func() error { return r.StopTask(task.ARN, "") },
		func() error { return r.SpotInterrupt(task.ARN) },
		func() error { return r.DeployRevision(id, Revision{Fate: Fate(rng.IntN(4))}) },
		func() error { return r.RollBack(id) },
		func() error { return r.Scale(id, rng.IntN(5)) },
		func() error { return r.Tag(id, "castoff:mode", fmt.Sprint(rng.IntN(3))) },
		func() error { _, err := r.CreateTaskSet(id, TaskSetSpec{Percent: 30}); return err },
		func() error { return r.ScaleTaskSet(id, task.Deployment, 70) },
		func() error { return r.SetPrimaryTaskSet(id, task.Deployment) },
		func() error { return r.ZonalShift(id, []string{"", task.Zone}[rng.IntN(2)]) },
		func() error {
			return r.Say(task.Targets[0], []fleet.TargetState{"", "puzzled"}[rng.IntN(2)], "Target.Puzzled")
		},
		func() error { _, err := r.AddInstances("prod", 1); return err },
	}
	_ = deeds[rng.IntN(len(deeds))]()
}

func checkPast(t *testing.T, r *Region) {
	t.Helper()
	for _, c := range r.clusters {
		for _, task := range c.tasks {
			if got, _ := task.past.asOf(r.now); !reflect.DeepEqual(got, task.json()) {
				t.Fatalf("task at %v:\n%+v\nremembered as\n%+v", r.now, task.json(), got)
			}
		}
		for _, s := range c.services {
			if got, _ := s.past.asOf(r.now); !reflect.DeepEqual(got, s.json()) {
				t.Fatalf("service at %v:\n%+v\nremembered as\n%+v", r.now, s.json(), got)
			}
		}
	}
	for _, g := range r.groups {
		if got, _ := g.past.asOf(r.now); len(got)+len(g.order) > 0 && !reflect.DeepEqual(got, g.render()) {
			t.Fatalf("group %s at %v:\n%+v\nremembered as\n%+v", g.name, r.now, g.render(), got)
		}
	}
}
