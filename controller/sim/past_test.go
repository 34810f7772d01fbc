package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// SAFETY: what replies are made of, old ones and those of now, keeps up with the
// world. Were a change left out, replies would show what was before it for ever.
func TestSafetyPastKeepsUp(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				params := DefaultParams()
				if seed%2 == 0 { // else there is no past, only what is told until it changes
					params.ReplyAge = Range{Max: time.Minute}
				}
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
		func() error {
			if rng.IntN(5) > 0 {
				return nil // seldom: nothing more happens to a service that is gone
			}
			return r.DeleteService(id)
		},
		func() error { return r.LoseInstance(task.Targets[0].ID) },
		func() error { return r.Crash(task.ARN) },
		func() error { return r.DeleteTaskSet(id, task.Deployment, true) },
		func() error { return r.NextTasks(id, Fate(rng.IntN(4))) },
		func() error { return r.Register(task.Targets[0].Group, []fleet.Target{{Key: task.Targets[0]}}) },
		func() error { return r.Deregister(task.Targets[0].Group, task.Targets[:1]) },
	}
	_ = deeds[rng.IntN(len(deeds))]()
}

func checkPast(t *testing.T, r *Region) {
	t.Helper()
	for _, c := range r.clusters {
		for _, task := range c.tasks {
			checkShown(t, r, "task", task.shown(r.now), task.json(), ecsText)
		}
		for _, s := range c.services {
			checkShown(t, r, "service", s.shown(r.now), s.json(), ecsText)
		}
	}
	for _, g := range r.groups {
		checkShown(t, r, "group "+g.name, g.shown(r.now), g.render(), rowsText)
	}
}

// checkShown holds what replies say of an object, in value and in text, to what
// it looks like.
func checkShown[T any](t *testing.T, r *Region, what string, shown *state[T], is T, encode func(T) []byte) {
	t.Helper()
	if !reflect.DeepEqual(shown.value, is) || !bytes.Equal(shown.text(encode), encode(is)) {
		t.Fatalf("%s at %v:\n%+v\nremembered as\n%+v\n%s", what, r.now, is, shown.value, shown.text(encode))
	}
}
