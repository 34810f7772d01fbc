package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// service describes the one service, its tags left out.
func (w *world) service() ecstypes.Service {
	w.t.Helper()
	out, err := w.ecs.DescribeServices(w.t.Context(), &ecs.DescribeServicesInput{Cluster: aws.String(clusterName), Services: []string{"greeter"}})
	w.must(err)
	if len(out.Services) != 1 {
		w.t.Fatalf("%d services, failures %v", len(out.Services), out.Failures)
	}
	return out.Services[0]
}

// A rolling deployment never has more tasks than maximumPercent, nor fewer
// healthy ones than minimumHealthyPercent, and ends with the new revision alone.
func TestSafetyRollingKeepsItsPercentages(t *testing.T) {
	for _, row := range []struct{ desired, low, high int }{
		{4, 100, 200}, {4, 50, 100}, {4, 50, 150}, {5, 75, 125}, {1, 100, 200}, {1, -1, 100}, {3, 100, 150},
	} {
		t.Run(fmt.Sprint(row), func(t *testing.T) {
			inBubble(t, sim.Options{Seed: 3}, 0, func(t *testing.T, w *world) {
				spec := sim.ReferenceWorkload(clusterName, "greeter")
				spec.Desired, spec.MinimumHealthyPercent, spec.MaximumPercent = row.desired, row.low, row.high
				old := w.add(spec)
				w.must(w.r.Deploy(greeter))
				before := w.service()
				if d := before.Deployments; len(d) != 2 || *d[0].Status != "PRIMARY" || d[0].RolloutState != "IN_PROGRESS" ||
					*d[1].Status != "ACTIVE" || *d[1].Id != old[0].Deployment || *d[0].TaskDefinition == *d[1].TaskDefinition {
					t.Errorf("deployments %+v", d)
				}
				high, low := row.desired*row.high/100, (row.desired*max(0, row.low)+99)/100
				w.until(3*time.Hour, "completed", func() bool {
					live, serving := w.live(greeter)
					if live > high || serving < low {
						t.Fatalf("%d tasks, %d serving; at most %d, at least %d", live, serving, high, low)
					}
					s := w.service()
					return len(s.Deployments) == 1 && s.Deployments[0].RolloutState == "COMPLETED" && int(s.RunningCount) == row.desired
				})
				for _, task := range w.r.Tasks(greeter) {
					if task.Desired == fleet.Running && task.Deployment != *before.Deployments[0].Id {
						t.Errorf("%s is of the old revision", task.ARN.ID())
					}
				}
			})
		})
	}
}

// A bad revision, in each way that one can be bad: the breaker ends it after so
// many tasks, and goes back to the revision before, or stays where it is.
func TestCircuitBreaker(t *testing.T) {
	for _, fate := range []sim.Fate{sim.StartsHung, sim.NeverStarts, sim.Exits} {
		for _, rollback := range []bool{true, false} {
			t.Run(fmt.Sprint(fate, rollback), func(t *testing.T) {
				inBubble(t, sim.Options{Seed: 5}, 0, func(t *testing.T, w *world) {
					spec := sim.ReferenceWorkload(clusterName, "greeter")
					spec.Breaker, spec.Rollback = sim.BreakerOn, rollback
					good := w.add(spec)[0].Deployment
					w.must(w.r.DeployRevision(greeter, sim.Revision{Fate: fate}))
					bad := *w.service().Deployments[0].Id
					if c := w.service().DeploymentConfiguration; !c.DeploymentCircuitBreaker.Enable || c.DeploymentCircuitBreaker.Rollback != rollback || c.Strategy != "ROLLING" {
						t.Errorf("configuration %+v", c)
					}
					started := func() int {
						return len(slices.DeleteFunc(w.r.Tasks(greeter), func(t sim.TaskInfo) bool { return t.Deployment != bad }))
					}
					w.until(3*time.Hour, "the deployment failed", func() bool {
						s := w.service()
						i := slices.IndexFunc(s.Deployments, func(d ecstypes.Deployment) bool { return *d.Id == bad })
						if i < 0 {
							return true // rolled back, and gone
						}
						if d := s.Deployments[i]; d.RolloutState != "FAILED" && d.FailedTasks >= 3 {
							t.Fatalf("%d failed tasks and still %s", d.FailedTasks, d.RolloutState)
						}
						return s.Deployments[i].RolloutState == "FAILED"
					})
					n := started()
					if n < 3 || n > 5 {
						t.Errorf("%d tasks of the bad revision, the threshold is 3", n)
					}
					w.until(time.Hour, "calm", w.calm(greeter, 2))
					time.Sleep(time.Hour)
					s := w.service()
					if rollback {
						if d := s.Deployments; len(d) != 1 || *d[0].Id != good || d[0].RolloutState != "COMPLETED" {
							t.Errorf("rolled back to %+v", d)
						}
					} else if d := s.Deployments; len(d) != 2 || *d[0].Id != bad || d[0].RolloutState != "FAILED" || d[0].RunningCount != 0 || d[1].RunningCount != 2 {
						t.Errorf("left as %+v", d)
					}
					if later := started(); later > n {
						t.Errorf("%d more tasks of the bad revision after the breaker", later-n)
					}
				})
			})
		}
	}
}

// Without a breaker a bad revision is tried for ever, and the old one carries on.
func TestBadRevisionWithoutBreaker(t *testing.T) {
	inBubble(t, sim.Options{Seed: 5}, 0, func(t *testing.T, w *world) {
		w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		w.must(w.r.DeployRevision(greeter, sim.Revision{Fate: sim.StartsHung}))
		for range 180 {
			time.Sleep(time.Minute)
			if _, serving := w.live(greeter); serving < 2 {
				t.Fatalf("%d serving", serving)
			}
		}
		s := w.service()
		if d := s.Deployments[0]; d.RolloutState != "IN_PROGRESS" || d.FailedTasks < 10 {
			t.Errorf("%s with %d failed tasks after three hours", d.RolloutState, d.FailedTasks)
		}
		w.must(w.r.Deploy(greeter))
		w.until(time.Hour, "the good revision after the bad one", func() bool { return len(w.service().Deployments) == 1 })
	})
}

// A healthy task ends the count of failed ones, unless the service says not.
func TestBreakerAfterAHealthyTask(t *testing.T) {
	for setting, want := range map[sim.Breaker]bool{sim.BreakerOn: false, sim.BreakerNeverResets: true} {
		t.Run(fmt.Sprint(setting), func(t *testing.T) {
			params := sim.DefaultParams()
			params.RegistrationLag = sim.Range{}
			inBubble(t, sim.Options{Seed: 2, Params: &params}, 0, func(t *testing.T, w *world) {
				spec := sim.ReferenceWorkload(clusterName, "greeter")
				spec.Breaker = setting
				spec.Groups[0].Check = fleet.TargetCheck{Interval: 5 * time.Second, HealthyThreshold: 2}
				w.add(spec)
				w.must(w.r.NextTasks(greeter, sim.Answers))
				w.must(w.r.DeployRevision(greeter, sim.Revision{Fate: sim.NeverStarts}))
				time.Sleep(3 * time.Hour)
				if got := w.service().Deployments[0]; (got.RolloutState == "FAILED") != want || want != (got.FailedTasks > 0) {
					t.Errorf("%s after %d failed tasks", got.RolloutState, got.FailedTasks)
				}
			})
		})
	}
}

// A task of the old revision that fails while the new one cannot carry the
// service is replaced by the same revision; before 2025-11 it was not.
func TestOldRevisionIsReplacedByItself(t *testing.T) {
	for _, newest := range []bool{false, true} {
		t.Run(fmt.Sprint(newest), func(t *testing.T) {
			params := sim.DefaultParams()
			params.ReplaceWithNewest = newest
			inBubble(t, sim.Options{Seed: 4, Params: &params}, 0, func(t *testing.T, w *world) {
				spec := sim.ReferenceWorkload(clusterName, "greeter")
				spec.MaximumPercent = 300
				old := w.add(spec)
				w.must(w.r.DeployRevision(greeter, sim.Revision{Fate: sim.StartsHung}))
				time.Sleep(time.Minute)
				w.must(w.r.Exit(old[0].ARN))
				time.Sleep(10 * time.Minute)
				same := 0
				for _, task := range w.r.Tasks(greeter)[2:] {
					if task.Deployment == old[0].Deployment {
						same++
					}
				}
				if (same == 0) != newest {
					t.Errorf("%d more tasks of the old revision", same)
				}
			})
		})
	}
}

// An old revision whose tasks are not healthy any more does not keep a slot from the
// new one: a replacement of the same revision that never was healthy has no other.
func TestOldRevisionThatFailsMakesRoom(t *testing.T) {
	for seed := range uint64(10) {
		inBubble(t, sim.Options{Seed: seed}, 0, func(t *testing.T, w *world) {
			spec := sim.ReferenceWorkload(clusterName, "greeter")
			spec.Desired, spec.MinimumHealthyPercent, spec.MaximumPercent = 4, 50, 100
			w.add(spec)
			one := func() bool { _, serving := w.live(greeter); return serving == 4 && len(w.service().Deployments) == 1 }
			w.must(w.r.NextTasks(greeter, sim.Answers, sim.Answers, sim.Answers, sim.Answers))
			w.must(w.r.DeployRevision(greeter, sim.Revision{Fate: sim.StartsHung}))
			w.until(time.Hour, "the revision is out", one)
			w.must(w.r.Deploy(greeter))
			for _, task := range w.r.Tasks(greeter)[4:] {
				w.must(w.r.Hang(task.ARN))
			}
			w.until(2*time.Hour, "the next one is out", one)
		})
	}
}

// A new task definition has its own containers; one that the service's target
// groups do not fit is refused.
func TestRevisionWithOtherContainers(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		w.add(spec)
		if err := w.r.DeployRevision(greeter, sim.Revision{Containers: []sim.ContainerSpec{{Name: "other"}}}); err == nil {
			t.Error("the target group's container is gone, and nobody minds")
		}
		spec.Containers[1].StopTimeout = 90 * time.Second
		w.must(w.r.DeployRevision(greeter, sim.Revision{Containers: spec.Containers}))
		d, err := w.ecs.DescribeTaskDefinition(t.Context(), &ecs.DescribeTaskDefinitionInput{TaskDefinition: w.service().TaskDefinition})
		w.must(err)
		if got := d.TaskDefinition.ContainerDefinitions[1].StopTimeout; got == nil || *got != 90 {
			t.Errorf("stopTimeout %v", got)
		}
	})
}

// A new revision ends the restart throttle.
func TestDeployEndsTheRestartThrottle(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Desired, spec.Settled = 1, false
		w.must(w.r.AddService(spec))
		w.must(w.r.NextTasks(greeter, slices.Repeat([]sim.Fate{sim.NeverStarts}, 7)...))
		w.until(time.Hour, "7 starts", func() bool { return len(w.r.Tasks(greeter)) == 7 })
		time.Sleep(time.Minute)
		w.must(w.r.Deploy(greeter))
		time.Sleep(11 * time.Second)
		if n := len(w.r.Tasks(greeter)); n < 8 {
			t.Errorf("%d tasks started", n)
		}
	})
}

func TestRollBackByHand(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		old := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		if err := w.r.RollBack(greeter); err == nil {
			t.Error("nothing to roll back, and nobody minds")
		}
		w.must(w.r.Deploy(greeter))
		time.Sleep(2 * time.Minute)
		w.must(w.r.RollBack(greeter))
		d := w.service().Deployments
		if *d[0].Id != old.Deployment || d[0].RolloutState != "IN_PROGRESS" || d[1].RolloutState != "FAILED" || !strings.Contains(*d[0].RolloutStateReason, "rolling back to deploymentId "+old.Deployment) {
			t.Errorf("%+v", d)
		}
		w.until(time.Hour, "back", func() bool { return len(w.service().Deployments) == 1 && w.calm(greeter, 2)() })
		for _, task := range w.r.Tasks(greeter) {
			if task.Desired == fleet.Running && task.Deployment != old.Deployment {
				t.Errorf("%s is of the new revision", task.ARN.ID())
			}
		}
	})
}

// To zero and back. Nothing fails by it.
func TestScaleToZero(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		w.must(w.r.Scale(greeter, 0))
		w.until(10*time.Minute, "no task", func() bool { live, _ := w.live(greeter); return live == 0 })
		time.Sleep(time.Hour)
		if s := w.service(); *s.Status != "ACTIVE" || s.DesiredCount != 0 || s.RunningCount != 0 || len(s.Deployments) != 1 {
			t.Errorf("%+v", s)
		}
		w.must(w.r.Scale(greeter, 3))
		w.until(20*time.Minute, "three tasks", w.calm(greeter, 3))
		if all := w.r.Truth(); len(all) != 0 {
			t.Errorf("nothing failed: %+v", all)
		}
	})
}
