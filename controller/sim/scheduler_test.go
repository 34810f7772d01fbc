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

// live counts the tasks that are wanted RUNNING.
func (w *world) live(id fleet.ServiceID) (live, serving int) {
	for _, t := range w.r.Tasks(id) {
		if t.Desired == fleet.Running {
			live++
		}
		if t.Serving {
			serving++
		}
	}
	return live, serving
}

func (w *world) calm(id fleet.ServiceID, desired int) func() bool {
	return func() bool {
		live, serving := w.live(id)
		return live == desired && serving == desired
	}
}

// Over many seeds the time from UNHEALTHY to the replacement's start is what
// was measured: 5.9 / 20.2 / 43.6 s.
func TestReactionIsAsMeasured(t *testing.T) {
	var took []time.Duration
	for seed := range uint64(300) {
		inBubble(t, sim.Options{Seed: seed}, 0, func(t *testing.T, w *world) {
			task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
			w.must(w.r.Hang(task.ARN))
			time.Sleep(2 * time.Minute)
			got := w.truth()
			took = append(took, got.ReplacementCreated.Sub(got.Unhealthy))
			if d := got.Unhealthy.Sub(got.Onset); d < 10*time.Second || d > 17*time.Second {
				t.Errorf("seed %d: detected after %v", seed, d)
			}
		})
	}
	slices.Sort(took)
	low, mid, high := took[0], took[len(took)/2], took[len(took)-1]
	if low < 5*time.Second || low > 9*time.Second || mid < 18*time.Second || mid > 23*time.Second || high < 36*time.Second || high > 45*time.Second {
		t.Errorf("unhealthy to replacement %v / %v / %v, measured 5.9 / 20.2 / 43.6 s", low, mid, high)
	}
}

// A failure's path through the lifecycle, by what caused it.
func TestLifecycles(t *testing.T) {
	type path []fleet.TaskStatus
	drained := path{fleet.Running, fleet.Deactivating, fleet.Stopping, fleet.Deprovisioning, fleet.Stopped}
	undrained := path{fleet.Running, fleet.Stopping, fleet.Deprovisioning, fleet.Stopped}
	for _, row := range []struct {
		name   string
		cause  func(*sim.Region, fleet.TaskARN) error
		params func(*sim.Params)
		groups int
		path   path
		code   string
		reason string
		exit   int
		lbSaw  bool
	}{
		{"hang", (*sim.Region).Hang, nil, 1, drained, "ServiceSchedulerInitiated", "Task failed container health checks", 137, false},
		{"crash behind nginx", (*sim.Region).Crash, nil, 1, drained, "ServiceSchedulerInitiated", "Task failed container health checks", 0, false},
		{"front dead", (*sim.Region).KillFront, nil, 1, drained, "ServiceSchedulerInitiated", "Task failed container health checks", 0, true},
		{"exit", (*sim.Region).Exit, nil, 1, undrained, "EssentialContainerExited", "Essential container in task exited", 0, false},
		{
			"exit that drains", (*sim.Region).Exit, func(p *sim.Params) { p.ExitDeactivates = true }, 1, drained,
			"EssentialContainerExited", "Essential container in task exited", 0, false,
		},
		{"hang without a balancer", (*sim.Region).Hang, nil, 0, undrained, "ServiceSchedulerInitiated", "Task failed container health checks", 137, false},
		{"stopped by a person", func(r *sim.Region, a fleet.TaskARN) error { return r.StopTask(a, "") }, nil, 1, drained, "UserInitiated", "Task stopped by user", 0, false},
		{"Spot", (*sim.Region).SpotInterrupt, nil, 1, drained, "SpotInterruption", "Your Spot Task was interrupted.", 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			params := sim.DefaultParams()
			if row.params != nil {
				row.params(&params)
			}
			inBubble(t, sim.Options{Seed: 7, Params: &params}, 0, func(t *testing.T, w *world) {
				spec := sim.ReferenceWorkload(clusterName, "greeter")
				spec.Groups = spec.Groups[:row.groups]
				task := w.add(spec)[0]
				w.must(row.cause(w.r, task.ARN))
				var got path
				var versions []int64
				w.until(20*time.Minute, "STOPPED", func() bool {
					now := w.task(task.ARN)
					if status := fleet.TaskStatus(*now.LastStatus); len(got) == 0 || got[len(got)-1] != status {
						got, versions = append(got, status), append(versions, now.Version)
					}
					return *now.LastStatus == "STOPPED"
				})
				for len(got) > 0 && got[0] == fleet.Running {
					got = got[1:] // whether a poll came before the end of RUNNING is no matter
				}
				if !slices.Equal(got, row.path[1:]) || !slices.IsSorted(versions) {
					t.Errorf("went %v (versions %v), want %v", got, versions, row.path)
				}
				end := w.task(task.ARN)
				if string(end.StopCode) != row.code || *end.StoppedReason != row.reason || int(*end.Containers[0].ExitCode) != row.exit {
					t.Errorf("stopped %s: %q, exit %d", end.StopCode, *end.StoppedReason, *end.Containers[0].ExitCode)
				}
				if end.StoppingAt.After(*end.ExecutionStoppedAt) || end.ExecutionStoppedAt.After(*end.StoppedAt) {
					t.Errorf("stamps %v %v %v", end.StoppingAt, end.ExecutionStoppedAt, end.StoppedAt)
				}
				w.until(20*time.Minute, "two healthy tasks again", w.calm(greeter, 2))
				for _, f := range w.r.Truth() {
					if row.groups > 0 && f.Targets[0].LBUnhealthy.IsZero() == row.lbSaw {
						t.Errorf("NLB unhealthy at %v", f.Targets[0].LBUnhealthy)
					}
					if f.Replacement == "" || f.ReplacementServing.IsZero() != (row.groups == 0) {
						t.Errorf("replacement %s serving %v", f.Replacement, f.ReplacementServing)
					}
				}
			})
		})
	}
}

// A Spot task is told to stop after two minutes, drained or not.
func TestSpotDoesNotWaitForTheDrain(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		from := time.Now()
		w.must(w.r.SpotInterrupt(task.ARN))
		time.Sleep(5 * time.Minute)
		if d := w.task(task.ARN).StoppingAt.Sub(from); d != 2*time.Minute {
			t.Errorf("SIGTERM after %v", d)
		}
	})
}

func TestElbFailureStopsTheTask(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Containers[0].Check = nil
		task := w.add(spec)[0]
		if got := w.task(task.ARN).HealthStatus; got != "UNKNOWN" {
			t.Errorf("a task without a check reads %s", got)
		}
		w.must(w.r.KillFront(task.ARN))
		w.until(20*time.Minute, "STOPPED", func() bool { return *w.task(task.ARN).LastStatus == "STOPPED" })
		want := "Task failed ELB health checks in (target-group " + string(task.Targets[0].Group) + ")"
		if got := *w.task(task.ARN).StoppedReason; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		got := w.truth()
		if !got.Unhealthy.IsZero() || got.Targets[0].LBUnhealthy.Sub(got.Onset) < 30*time.Second || got.Targets[0].LBUnhealthy.Sub(got.Onset) > 61*time.Second {
			t.Errorf("unhealthy %v, NLB after %v", got.Unhealthy, got.Targets[0].LBUnhealthy.Sub(got.Onset))
		}
	})
}

// An HTTP check sees the app through its front.
func TestHTTPCheckSeesAHungApp(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Groups[0].Check = fleet.TargetCheck{Protocol: "HTTP", Interval: 5 * time.Second, Timeout: 2 * time.Second, UnhealthyThreshold: 2}
		task := w.add(spec)[0]
		w.must(w.r.Hang(task.ARN))
		w.until(13*time.Second, "NLB unhealthy", func() bool { return w.row(task.Targets[0]).TargetHealth.State == "unhealthy" })
		if row := w.row(task.Targets[0]); row.TargetHealth.Reason != "Target.FailedHealthChecks" {
			t.Errorf("reason %s", row.TargetHealth.Reason)
		}
	})
}

// At 100 % the sick task goes first, and its replacement starts after that.
func TestStopFirst(t *testing.T) {
	for _, row := range []struct {
		name string
		spec func(*sim.ServiceSpec)
	}{
		{"maximumPercent 100", func(s *sim.ServiceSpec) { s.MaximumPercent, s.MinimumHealthyPercent = 100, 50 }},
		{"DAEMON", func(s *sim.ServiceSpec) {
			s.Scheduling, s.LaunchType, s.NetworkMode = fleet.Daemon, fleet.EC2, fleet.NetworkBridge
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, sim.Options{}, 3, func(t *testing.T, w *world) {
				spec := sim.ReferenceWorkload(clusterName, "greeter")
				row.spec(&spec)
				tasks := w.add(spec)
				if spec.Scheduling == fleet.Daemon && len(tasks) != 3 {
					t.Fatalf("%d daemon tasks on 3 instances", len(tasks))
				}
				w.must(w.r.Hang(tasks[0].ARN))
				w.until(30*time.Minute, "calm again", func() bool { return w.calm(greeter, len(tasks))() && !w.truth().Stopped.IsZero() })
				got := w.truth()
				if got.Deactivating.IsZero() || !got.Deactivating.Before(got.ReplacementCreated) {
					t.Errorf("DEACTIVATING at %v, replacement at %v", got.Deactivating, got.ReplacementCreated)
				}
			})
		})
	}
}

// Within the grace period ECS does nothing; the balancer does not know of it.
func TestGrace(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Settled, spec.Grace = false, 10*time.Minute
		w.must(w.r.AddService(spec))
		w.must(w.r.NextTasks(greeter, sim.StartsHung))
		time.Sleep(8 * time.Minute)
		if live, _ := w.live(greeter); live != 2 {
			t.Errorf("%d tasks in the grace period", live)
		}
		got := w.truth()
		if got.Unhealthy.IsZero() {
			t.Error("grace hid UNHEALTHY")
		}
		w.until(10*time.Minute, "calm", w.calm(greeter, 2))
		got = w.truth()
		if started := *w.task(got.Task).StartedAt; got.ReplacementCreated.Before(started.Add(10 * time.Minute)) {
			t.Errorf("replaced %v after the start", got.ReplacementCreated.Sub(started))
		}
	})
}

// A task that recovers before its replacement is healthy stays; one that
// recovers after is stopped all the same.
func TestRecovery(t *testing.T) {
	for _, row := range []struct {
		name    string
		until   func(sim.Truth) bool
		stopped bool
	}{
		{"before the replacement is healthy", func(f sim.Truth) bool { return !f.ReplacementRunning.IsZero() }, false},
		{"after", func(f sim.Truth) bool { return !f.ReplacementServing.IsZero() }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, sim.Options{Seed: 5}, 0, func(t *testing.T, w *world) {
				task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
				w.must(w.r.Hang(task.ARN))
				w.until(10*time.Minute, "the moment", func() bool { return row.until(w.truth()) })
				w.must(w.r.Recover(task.ARN))
				recovered := time.Now()
				time.Sleep(20 * time.Minute)
				got := w.truth()
				if !got.Answering.Equal(recovered) || got.Stopped.IsZero() == row.stopped {
					t.Errorf("answering %v, recovery %v, stopped %v", got.Answering, got.Recovery, got.Stopped)
				}
				if !w.calm(greeter, 2)() {
					t.Error("not two healthy tasks in the end")
				}
				if row.stopped {
					return
				}
				if d := got.Recovery.Sub(recovered); d <= 0 || d > 10*time.Second {
					t.Errorf("HEALTHY after %v", d)
				}
				if surplus := w.task(got.Replacement); !strings.HasPrefix(*surplus.StoppedReason, "Scaling activity initiated by (deployment ecs-svc/") {
					t.Errorf("the surplus was stopped: %s", *surplus.StoppedReason)
				}
			})
		})
	}
}

// Replacements that fail are replaced in turn, for the slot of the first.
func TestReplacementsFail(t *testing.T) {
	for _, fate := range []sim.Fate{sim.StartsHung, sim.NeverStarts, sim.Exits} {
		t.Run(fmt.Sprint(fate), func(t *testing.T) {
			inBubble(t, sim.Options{Seed: 2}, 0, func(t *testing.T, w *world) {
				task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
				w.must(w.r.NextTasks(greeter, fate, fate))
				w.must(w.r.Hang(task.ARN))
				w.until(40*time.Minute, "calm", func() bool { return w.calm(greeter, 2)() && w.r.Truth()[0].Stopped != time.Time{} })
				all := w.r.Truth()
				if len(all) != 3 {
					t.Fatalf("%d failures, want 3", len(all))
				}
				good := all[0].Replacement
				for _, f := range all[1:] {
					if f.Task == good || f.Replacement != "" {
						t.Errorf("%s (%s) replaced by %s", f.Task.ID(), f.Cause, f.Replacement.ID())
					}
				}
				if all[0].ReplacementServing.IsZero() {
					t.Error("the first failure has no serving replacement")
				}
				if fate == sim.NeverStarts && all[1].StopCode != "TaskFailedToStart" {
					t.Errorf("stop code %s", all[1].StopCode)
				}
			})
		})
	}
}

// Replacements are handed out to the oldest failure first.
func TestTwoFailuresAtOnce(t *testing.T) {
	inBubble(t, sim.Options{Seed: 4}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Desired = 4
		tasks := w.add(spec)
		w.must(w.r.Hang(tasks[1].ARN))
		time.Sleep(3 * time.Second)
		w.must(w.r.Hang(tasks[2].ARN))
		w.until(30*time.Minute, "calm", func() bool { return w.calm(greeter, 4)() && !w.r.Truth()[1].Stopped.IsZero() })
		all := w.r.Truth()
		slices.SortFunc(all, func(a, b sim.Truth) int { return a.Unhealthy.Compare(b.Unhealthy) })
		if all[0].Replacement == all[1].Replacement || all[0].ReplacementCreated.After(all[1].ReplacementCreated) {
			t.Errorf("replacements %v %v", all[0].Replacement, all[1].Replacement)
		}
	})
}

func TestScaleAndDeploy(t *testing.T) {
	inBubble(t, sim.Options{Seed: 6}, 0, func(t *testing.T, w *world) {
		old := w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		w.must(w.r.Scale(greeter, 4))
		w.until(10*time.Minute, "4 tasks", w.calm(greeter, 4))
		w.must(w.r.Scale(greeter, 1))
		w.until(20*time.Minute, "1 task", w.calm(greeter, 1))
		w.must(w.r.Deploy(greeter))
		w.until(20*time.Minute, "the new revision", func() bool {
			for _, task := range w.r.Tasks(greeter) {
				if task.Desired == fleet.Running && task.Deployment == old[0].Deployment {
					return false
				}
			}
			return w.calm(greeter, 1)()
		})
		if all := w.r.Truth(); len(all) != 0 {
			t.Errorf("nothing failed: %+v", all)
		}
	})
}

// A task that fails during a deployment is still taken down, and the rollout
// completes.
func TestFailureDuringDeployment(t *testing.T) {
	inBubble(t, sim.Options{Seed: 8}, 0, func(t *testing.T, w *world) {
		tasks := w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		w.must(w.r.Deploy(greeter))
		w.must(w.r.Hang(tasks[1].ARN))
		w.until(30*time.Minute, "calm", func() bool { return w.calm(greeter, 2)() && !w.truth().Stopped.IsZero() })
		if got := w.truth().StoppedReason; got != "Task failed container health checks" && !strings.HasPrefix(got, "Scaling activity") {
			t.Error(got)
		}
		// The slot that the rollout filled is not filled again at the next failure.
		for _, task := range w.r.Tasks(greeter) {
			if task.Serving {
				w.must(w.r.Hang(task.ARN))
				break
			}
		}
		time.Sleep(10 * time.Minute)
		if all := w.r.Truth(); len(all) != 2 || all[1].Replacement == "" {
			t.Errorf("the next failure: %+v", all)
		}
	})
}

// Of two sick tasks the one whose replacement is healthy goes first, however
// long the other has been sick.
func TestReplacedTaskIsStoppedFirst(t *testing.T) {
	params := sim.DefaultParams()
	params.React = sim.Range{}
	inBubble(t, sim.Options{Params: &params}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Desired = 4
		tasks := w.add(spec)
		w.must(w.r.NextTasks(greeter, sim.NeverStarts))
		w.must(w.r.Hang(tasks[0].ARN))
		time.Sleep(10 * time.Second)
		w.must(w.r.Hang(tasks[1].ARN))
		w.until(30*time.Minute, "calm", func() bool { return w.calm(greeter, 4)() && !w.r.Truth()[0].Stopped.IsZero() })
		all := w.r.Truth()
		if all[0].Task != tasks[0].ARN || all[1].Task != tasks[1].ARN || !all[1].Deactivating.Before(all[0].Deactivating) {
			t.Errorf("DEACTIVATING: the first failure %v, the second %v", all[0].Deactivating, all[1].Deactivating)
		}
	})
}

// Once ECS has made up its mind at 100 %, recovery does not change it.
func TestRecoveryAfterTheDecisionToStopFirst(t *testing.T) {
	params := sim.DefaultParams()
	params.React, params.StopDelay = sim.Range{}, sim.Exactly(time.Minute)
	inBubble(t, sim.Options{Params: &params}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.MaximumPercent = 100
		task := w.add(spec)[0]
		w.must(w.r.Hang(task.ARN))
		w.until(20*time.Second, "UNHEALTHY", func() bool { return !w.truth().Unhealthy.IsZero() })
		time.Sleep(11 * time.Second)
		w.must(w.r.Recover(task.ARN))
		time.Sleep(20 * time.Minute)
		got := w.truth()
		if got.Recovery.IsZero() || got.Stopped.IsZero() || got.Replacement == "" {
			t.Errorf("recovery %v, stopped %v, replacement %q", got.Recovery, got.Stopped, got.Replacement)
		}
	})
}

// Starts that fail are spaced out further and further.
func TestRestartThrottle(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Desired, spec.Settled = 1, false
		w.must(w.r.AddService(spec))
		w.must(w.r.NextTasks(greeter, slices.Repeat([]sim.Fate{sim.NeverStarts}, 6)...))
		w.until(time.Hour, "calm", w.calm(greeter, 1))
		tasks := w.r.Tasks(greeter)
		if gap := tasks[6].Created.Sub(tasks[5].Created); gap < 320*time.Second || gap > 400*time.Second {
			t.Errorf("the seventh start came %v after the sixth", gap)
		}
	})
}

// A failure that nobody saw is forgotten when the task fails for good.
func TestBlip(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		w.must(w.r.Hang(task.ARN))
		time.Sleep(time.Second)
		w.must(w.r.Recover(task.ARN))
		time.Sleep(time.Minute)
		second := time.Now()
		w.must(w.r.Crash(task.ARN))
		time.Sleep(20 * time.Second)
		if got := w.truth(); !got.Onset.Equal(second) || got.Cause != sim.Crash || got.Unhealthy.IsZero() || !got.Answering.IsZero() {
			t.Errorf("%+v", got)
		}
	})
}

// Unanswered deregistrations: ECS puts the target of a running task back.
func TestRegisteredAgain(t *testing.T) {
	for _, never := range []bool{false, true} {
		t.Run(fmt.Sprint(never), func(t *testing.T) {
			params := sim.DefaultParams()
			params.Reregister, params.NeverReregister = sim.Exactly(30*time.Second), never
			params.RegistrationLag = sim.Exactly(90 * time.Second)
			inBubble(t, sim.Options{Params: &params}, 0, func(t *testing.T, w *world) {
				key := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0].Targets[0]
				w.must(w.deregister(key))
				if row := w.row(key); row.TargetHealth.State != "draining" || row.TargetHealth.Reason != "Target.DeregistrationInProgress" {
					t.Errorf("%v", row.TargetHealth)
				}
				w.must(w.deregister(key)) // twice is as good as once
				time.Sleep(29 * time.Second)
				if state := w.row(key).TargetHealth.State; state != "draining" {
					t.Errorf("%s after 29 s", state)
				}
				time.Sleep(time.Second)
				want := "initial"
				if never {
					want = "draining"
				}
				if state := w.row(key).TargetHealth.State; string(state) != want {
					t.Errorf("%s after 30 s, want %s", state, want)
				}
				time.Sleep(89 * time.Second)
				if row := w.row(key); !never && row.TargetHealth.Reason != "Elb.RegistrationInProgress" {
					t.Errorf("89 s later %v", row.TargetHealth)
				}
				time.Sleep(time.Second)
				if row := w.row(key); !never && row.TargetHealth.Reason != "Elb.InitialHealthChecking" {
					t.Errorf("90 s later %v", row.TargetHealth)
				}
				time.Sleep(181 * time.Second)
				if row := w.row(key); never != (row == nil) || !never && row.TargetHealth.State != "healthy" {
					t.Errorf("in the end %v", row)
				}
			})
		})
	}
}

// The truth of a target that was put back is the second deregistration.
func TestTruthOfATargetRegisteredAgain(t *testing.T) {
	params := sim.DefaultParams()
	params.Reregister = sim.Exactly(5 * time.Second)
	inBubble(t, sim.Options{Params: &params}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.CrossZone = true // else it would be alone in its zone, which DNS stops giving
		task := w.add(spec)[0]
		w.must(w.r.Hang(task.ARN))
		w.must(w.deregister(task.Targets[0]))
		first := w.truth().Targets[0]
		if first.By != sim.ByAPI || first.LastFlow.Before(first.Detach.Add(100*time.Second)) {
			t.Errorf("deregistered %+v", first)
		}
		// It gets no flow while it is initial, nor from being deregistered then.
		time.Sleep(6 * time.Second)
		if target := w.truth().Targets[0]; target.Detach != first.Detach || target.LastFlow != first.LastFlow {
			t.Errorf("registered again %+v", target)
		}
		w.must(w.deregister(task.Targets[0]))
		if target := w.truth().Targets[0]; target.Detach != first.Detach || target.LastFlow != first.LastFlow {
			t.Errorf("deregistered while initial %+v", target)
		}
		w.until(5*time.Minute, "healthy", func() bool {
			row := w.row(task.Targets[0])
			return row != nil && row.TargetHealth.State == "healthy"
		})
		if target := w.truth().Targets[0]; !target.LastFlow.IsZero() || !target.Detach.IsZero() {
			t.Errorf("in service again %+v", target)
		}
		w.until(20*time.Minute, "STOPPED", func() bool { return !w.truth().Stopped.IsZero() })
		if target := w.truth().Targets[0]; target.By != sim.ByECS || target.Detached.Sub(target.Detach) != 300*time.Second {
			t.Errorf("in the end %+v", target)
		}
	})
}

func TestStoppedTasksAreForgotten(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		w.must(w.r.StopTask(task.ARN, "enough"))
		w.until(10*time.Minute, "STOPPED", func() bool { return *w.task(task.ARN).LastStatus == "STOPPED" })
		stopped := *w.task(task.ARN).StoppedAt
		time.Sleep(time.Until(stopped.Add(time.Hour)) - time.Millisecond)
		w.task(task.ARN)
		time.Sleep(time.Millisecond)
		if slices.ContainsFunc(w.r.Tasks(greeter), func(t sim.TaskInfo) bool { return t.ARN == task.ARN }) {
			t.Error("described after an hour")
		}
	})
}

// A disconnected agent's news comes when it is connected again.
func TestDisconnectedAgent(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		w.must(w.r.Disconnect(task.ARN))
		w.must(w.r.Hang(task.ARN))
		time.Sleep(time.Minute)
		if got := w.task(task.ARN); got.HealthStatus != "HEALTHY" || got.Connectivity != "DISCONNECTED" {
			t.Errorf("cut off: %s %s", got.HealthStatus, got.Connectivity)
		}
		w.must(w.r.Reconnect(task.ARN))
		time.Sleep(2 * time.Second)
		if got := w.task(task.ARN); got.HealthStatus != "UNHEALTHY" || got.Connectivity != "CONNECTED" {
			t.Errorf("connected: %s %s", got.HealthStatus, got.Connectivity)
		}
	})
}

// By default ListTasks hides what ECS wants stopped, from DEACTIVATING on.
func TestListTasksHidesTheLeaving(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		w.must(w.r.StopTask(task.ARN, ""))
		for status, want := range map[ecstypes.DesiredStatus]bool{"": false, "RUNNING": false, "STOPPED": true, "PENDING": false} {
			out, err := w.ecs.ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: aws.String(clusterName), ServiceName: aws.String("greeter"), DesiredStatus: status})
			w.must(err)
			if got := slices.Contains(out.TaskArns, string(task.ARN)); got != want {
				t.Errorf("desired status %q lists it: %v", status, got)
			}
		}
	})
}
