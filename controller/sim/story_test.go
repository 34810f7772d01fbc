package sim_test

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// The four steps of the project's reason to be: hang, UNHEALTHY, replacement
// and deregistration, stop; and in between NLB calls the target healthy.
func TestHungReferenceWorkload(t *testing.T) {
	inBubble(t, sim.Options{Seed: 1}, 0, func(t *testing.T, w *world) {
		tasks := w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		sick := tasks[0]
		if got := w.task(sick.ARN); got.HealthStatus != "HEALTHY" || *got.LastStatus != "RUNNING" {
			t.Fatalf("not settled: %s %s", got.HealthStatus, *got.LastStatus)
		}
		time.Sleep(90 * time.Second)
		onset := time.Now()
		w.must(w.r.Hang(sick.ARN))

		poll := func(what string, limit time.Duration, ok func() bool) { w.until(limit, what, ok) }
		poll("UNHEALTHY", 17*time.Second, func() bool { return w.task(sick.ARN).HealthStatus == "UNHEALTHY" })
		seen := time.Now()
		if state := w.row(sick.Targets[0]).TargetHealth.State; state != "healthy" {
			t.Errorf("NLB says %s while nginx accepts TCP", state)
		}
		poll("draining", 10*time.Minute, func() bool { return w.row(sick.Targets[0]).TargetHealth.State == "draining" })
		if got := w.task(sick.ARN); *got.LastStatus != "DEACTIVATING" || *got.DesiredStatus != "STOPPED" {
			t.Errorf("draining in %s", *got.LastStatus)
		}
		poll("row gone", 301*time.Second, func() bool { return w.row(sick.Targets[0]) == nil })
		poll("STOPPED", 2*time.Minute, func() bool { return *w.task(sick.ARN).LastStatus == "STOPPED" })

		got, task := w.truth(), w.task(sick.ARN)
		if !got.Onset.Equal(onset) || got.Cause != sim.Hang || got.Task != sick.ARN {
			t.Errorf("onset %v, want %v; %+v", got.Onset, onset, got)
		}
		if late := seen.Sub(got.Unhealthy); late < 0 || late > time.Second {
			t.Errorf("unhealthy at %v, seen at %v", got.Unhealthy, seen)
		}
		target := got.Targets[0]
		order := []time.Time{
			got.Onset, got.Unhealthy, got.ReplacementCreated, got.ReplacementRunning, got.ReplacementServing,
			target.Detach, target.Detached, got.Stopping, got.ExecutionStopped, got.Stopped,
		}
		for i := 1; i < len(order); i++ {
			if order[i].Before(order[i-1]) || order[i].IsZero() {
				t.Errorf("milestone %d at %v, the one before at %v", i, order[i], order[i-1])
			}
		}
		if d := target.Detached.Sub(target.Detach); d != 300*time.Second || target.By != sim.ByECS || !target.LBUnhealthy.IsZero() {
			t.Errorf("drained %v by %s, NLB unhealthy at %v", d, target.By, target.LBUnhealthy)
		}
		if d := got.ExecutionStopped.Sub(got.Stopping); d != 30*time.Second {
			t.Errorf("a hung app took %v of its 30 s stopTimeout", d)
		}
		if !task.StoppingAt.Equal(got.StoppingStamp) || !task.StoppedAt.Equal(got.Stopped) || !task.ExecutionStoppedAt.Equal(got.ExecutionStopped) {
			t.Errorf("stamps differ from the truth: %v %v", *task.StoppingAt, got)
		}
		if *task.StoppedReason != "Task failed container health checks" || *task.Containers[0].ExitCode != 137 {
			t.Errorf("stopped: %s, exit %d", *task.StoppedReason, *task.Containers[0].ExitCode)
		}
		if fleet.TaskARN(*w.task(got.Replacement).TaskArn) != got.Replacement || !w.task(got.Replacement).CreatedAt.Equal(got.ReplacementCreated) {
			t.Errorf("replacement %s", got.Replacement)
		}
	})
}
