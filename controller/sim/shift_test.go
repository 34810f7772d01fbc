package sim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// pair is a service with a group and its alternate.
func pair() sim.ServiceSpec {
	spec := sim.ReferenceWorkload(clusterName, "greeter")
	spec.Groups[0].Alternate = true
	spec.BakeTime = 15 * time.Minute
	return spec
}

func (w *world) revision(arn string) ecstypes.ServiceRevision {
	w.t.Helper()
	out, err := w.ecs.DescribeServiceRevisions(w.t.Context(), &ecs.DescribeServiceRevisionsInput{ServiceRevisionArns: []string{arn}})
	w.must(err)
	if len(out.ServiceRevisions) != 1 {
		w.t.Fatalf("%s: %d revisions, failures %v", arn, len(out.ServiceRevisions), out.Failures)
	}
	return out.ServiceRevisions[0]
}

// The new revision's tasks come up in the other group, all of them; production
// traffic shifts; both revisions run for the bake time; the old one goes.
func TestBlueGreenShift(t *testing.T) {
	for _, tested := range []bool{false, true} {
		t.Run(fmt.Sprint(tested), func(t *testing.T) {
			inBubble(t, sim.Options{Seed: 3}, 0, func(t *testing.T, w *world) {
				spec := pair()
				spec.TestListener = tested
				blue := w.add(spec)[0]
				w.must(w.r.Deploy(greeter))
				s := w.service()
				if c := s.DeploymentConfiguration; c.Strategy != "BLUE_GREEN" || *c.BakeTimeInMinutes != 15 || len(s.CurrentServiceRevisions) != 2 {
					t.Errorf("%+v %+v", c, s.CurrentServiceRevisions)
				}
				advanced := s.LoadBalancers[0].AdvancedConfiguration
				if (advanced.TestListenerRule != nil) != tested {
					t.Errorf("test listener %v", advanced.TestListenerRule)
				}
				green := fleet.TargetGroupARN(*advanced.AlternateTargetGroupArn)
				for i, want := range []fleet.TargetGroupARN{green, blue.Targets[0].Group} {
					r := w.revision(*s.CurrentServiceRevisions[i].Arn)
					if got := r.ResolvedConfiguration.LoadBalancers[0]; *got.TargetGroupArn != string(want) || *got.ProductionListenerRule != *advanced.ProductionListenerRule {
						t.Errorf("revision %d: %v, want %s", i, got, want)
					}
				}
				var up, shifted, cleaned time.Time
				w.until(2*time.Hour, "completed", func() bool {
					healthy := func(g fleet.TargetGroupARN) (n int) {
						for _, row := range w.rows(g) {
							if row.TargetHealth.State == "healthy" {
								n++
							}
						}
						return n
					}
					production := w.r.ProductionGroups(greeter)
					if up.IsZero() && healthy(green) == 2 {
						up = time.Now()
					}
					if shifted.IsZero() && production[0] == green {
						shifted = time.Now()
					}
					if cleaned.IsZero() && healthy(blue.Targets[0].Group) < 2 {
						cleaned = time.Now()
					}
					if healthy(production[0]) < 2 {
						t.Fatalf("production group %s is not carried", production[0].Name())
					}
					return len(w.service().Deployments) == 1
				})
				wait := shifted.Sub(up).Round(30 * time.Second)
				if want := map[bool]time.Duration{true: 10 * time.Minute}[tested]; wait != want {
					t.Errorf("shifted %v after the green tasks were up, want %v", wait, want)
				}
				if both := cleaned.Sub(shifted).Round(time.Minute); both != 25*time.Minute {
					t.Errorf("both ran for %v after the shift, want 10 + 15 min", both)
				}
				if all := w.r.Truth(); len(all) != 0 {
					t.Errorf("nothing failed: %+v", all)
				}
			})
		})
	}
}

// Rolled back while it bakes: production traffic is with the old revision again
// at once, and only the new one's tasks go.
func TestBlueGreenRollBack(t *testing.T) {
	inBubble(t, sim.Options{Seed: 3}, 0, func(t *testing.T, w *world) {
		blue := w.add(pair())
		w.must(w.r.Deploy(greeter))
		old := w.r.ProductionGroups(greeter)
		w.until(time.Hour, "shifted", func() bool { return !slices.Equal(w.r.ProductionGroups(greeter), old) })
		w.must(w.r.RollBack(greeter))
		if !slices.Equal(w.r.ProductionGroups(greeter), old) {
			t.Error("traffic did not shift back")
		}
		w.until(20*time.Minute, "green gone", func() bool {
			d := w.service().Deployments
			return len(d) == 1 && *d[0].Id == blue[0].Deployment
		})
		for _, task := range blue {
			if got := w.task(task.ARN); *got.DesiredStatus != "RUNNING" {
				t.Errorf("%s: %s", task.ARN.ID(), *got.StoppedReason)
			}
		}
		w.must(w.r.Deploy(greeter))
		w.until(2*time.Hour, "the next deployment", func() bool {
			d := w.service().Deployments
			return len(d) == 1 && *d[0].Id != blue[0].Deployment
		})
	})
}

// A green revision that never gets healthy keeps its traffic away for ever; with
// the breaker its tasks go.
func TestBlueGreenBadRevision(t *testing.T) {
	inBubble(t, sim.Options{Seed: 3}, 0, func(t *testing.T, w *world) {
		spec := pair()
		spec.Breaker, spec.Rollback = sim.BreakerOn, true
		blue := w.add(spec)[0]
		w.must(w.r.DeployRevision(greeter, sim.Revision{Fate: sim.StartsHung}))
		w.until(time.Hour, "rolled back", func() bool {
			if w.r.ProductionGroups(greeter)[0] != blue.Targets[0].Group {
				t.Fatal("traffic went to a revision that never was healthy")
			}
			d := w.service().Deployments
			return len(d) == 1 && *d[0].Id == blue.Deployment
		})
	})
}

// A sick task of either revision is replaced in its own group during the shift.
func TestFailureDuringAShift(t *testing.T) {
	for side := range 2 {
		t.Run(fmt.Sprint(side), func(t *testing.T) {
			inBubble(t, sim.Options{Seed: 3}, 0, func(t *testing.T, w *world) {
				w.add(pair())
				w.must(w.r.Deploy(greeter))
				w.until(time.Hour, "four tasks", func() bool { _, serving := w.live(greeter); return serving == 4 })
				sick := w.r.Tasks(greeter)[2*side]
				w.must(w.r.Hang(sick.ARN))
				w.until(20*time.Minute, "replaced", func() bool { return !w.truth().ReplacementServing.IsZero() })
				for _, task := range w.r.Tasks(greeter) {
					if task.ARN == w.truth().Replacement && (task.Deployment != sick.Deployment || task.Targets[0].Group != sick.Targets[0].Group) {
						t.Errorf("replaced by a task of %s in %s", task.Deployment, task.Targets[0].Group.Name())
					}
				}
			})
		})
	}
}

// A third party's deployment, step by step.
func TestTaskSetsByHand(t *testing.T) {
	for _, controller := range []string{fleet.ControllerExternal, fleet.ControllerCodeDeploy} {
		t.Run(controller, func(t *testing.T) {
			inBubble(t, sim.Options{Seed: 1}, 0, func(t *testing.T, w *world) {
				spec := pair()
				spec.Controller, spec.Desired = controller, 3
				blue := w.add(spec)[0]
				green, err := w.r.CreateTaskSet(greeter, sim.TaskSetSpec{Percent: 50, Alternate: true})
				w.must(err)
				sets := func() map[string]ecstypes.TaskSet {
					out, err := w.ecs.DescribeTaskSets(t.Context(), &ecs.DescribeTaskSetsInput{Cluster: aws.String(clusterName), Service: aws.String("greeter")})
					w.must(err)
					byID := map[string]ecstypes.TaskSet{}
					for _, s := range out.TaskSets {
						byID[*s.Id] = s
					}
					return byID
				}
				got := sets()[green]
				if *got.Status != "ACTIVE" || got.StabilityStatus != "STABILIZING" || got.ComputedDesiredCount != 2 || got.Scale.Value != 50 ||
					*got.LoadBalancers[0].TargetGroupArn == string(blue.Targets[0].Group) {
					t.Errorf("created %+v", got)
				}
				w.until(20*time.Minute, "steady", func() bool { return sets()[green].StabilityStatus == "STEADY_STATE" })
				if got := sets()[green]; got.RunningCount != 2 || !got.StabilityStatusAt.After(*got.CreatedAt) {
					t.Errorf("steady %+v", got)
				}
				w.must(w.r.ScaleTaskSet(greeter, green, 100))
				w.must(w.r.SetPrimaryTaskSet(greeter, green))
				w.until(20*time.Minute, "three tasks", func() bool { return sets()[green].RunningCount == 3 })
				if s := sets(); *s[green].Status != "PRIMARY" || *s[blue.Deployment].Status != "ACTIVE" {
					t.Errorf("switched %+v", s)
				}
				if err := w.r.DeleteTaskSet(greeter, blue.Deployment, false); err == nil {
					t.Error("a set with tasks went without force")
				}
				w.must(w.r.DeleteTaskSet(greeter, blue.Deployment, true))
				if s := sets()[blue.Deployment]; *s.Status != "DRAINING" || s.ComputedDesiredCount != 0 {
					t.Errorf("deleted %+v", s)
				}
				w.until(10*time.Minute, "gone", func() bool { return len(sets()) == 1 })
				if got := w.task(blue.ARN); *got.LastStatus != "STOPPED" {
					t.Errorf("the set is gone, its task %s", *got.LastStatus)
				}
				for what, err := range map[string]error{
					"of the rolling kind": w.r.ScaleTaskSet(fleet.ServiceID{Cluster: clusterName, Name: "none"}, green, 1),
					"no set":              w.r.SetPrimaryTaskSet(greeter, blue.Deployment),
					"no percentage":       w.r.ScaleTaskSet(greeter, green, 101),
				} {
					if err == nil {
						t.Errorf("%s: accepted", what)
					}
				}
			})
		})
	}
}

// Deploy has CodeDeploy, or another third party, do all of that.
func TestTaskSetDeployment(t *testing.T) {
	for _, controller := range []string{fleet.ControllerExternal, fleet.ControllerCodeDeploy} {
		t.Run(controller, func(t *testing.T) {
			inBubble(t, sim.Options{Seed: 1}, 0, func(t *testing.T, w *world) {
				spec := pair()
				spec.Controller = controller
				blue := w.add(spec)[0]
				w.must(w.r.Deploy(greeter))
				if _, err := w.r.CreateTaskSet(greeter, sim.TaskSetSpec{}); err == nil {
					t.Error("a task set was made in the middle of a deployment")
				}
				w.until(2*time.Hour, "one task set", func() bool {
					s := w.service()
					return len(s.TaskSets) == 1 && *s.TaskSets[0].Id != blue.Deployment && *s.TaskSets[0].Status == "PRIMARY"
				})
				if _, serving := w.live(greeter); serving != 2 {
					t.Errorf("%d tasks", serving)
				}
			})
		})
	}
}
