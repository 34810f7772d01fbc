package sim_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/castoff-ecs/castoff/controller/sim"
)

// A deleted service is DRAINING while its tasks drain, INACTIVE for an hour, and
// then MISSING; its name is free again as soon as it is INACTIVE.
func TestDeletedService(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		w.must(w.r.DeleteService(greeter))
		if s := w.service(); *s.Status != "DRAINING" || s.DesiredCount != 0 || len(s.Deployments) != 1 {
			t.Errorf("%+v", s)
		}
		listed, err := w.ecs.ListServices(t.Context(), &ecs.ListServicesInput{Cluster: aws.String(clusterName)})
		w.must(err)
		if len(listed.ServiceArns) != 0 {
			t.Errorf("listed: %v", listed.ServiceArns)
		}
		for what, err := range map[string]error{
			"twice":  w.r.DeleteService(greeter),
			"deploy": w.r.Deploy(greeter),
			"again":  w.r.AddService(sim.ReferenceWorkload(clusterName, "greeter")),
		} {
			if err == nil {
				t.Errorf("%s: accepted while it drains", what)
			}
		}
		w.until(301*time.Second, "INACTIVE", func() bool { return *w.service().Status == "INACTIVE" })
		if got := w.task(task.ARN); *got.LastStatus != "STOPPING" && *got.LastStatus != "DEPROVISIONING" {
			t.Errorf("INACTIVE, its task %s", *got.LastStatus)
		}
		inactive := time.Now()
		w.until(61*time.Minute, "MISSING", func() bool {
			out, err := w.ecs.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Cluster: aws.String(clusterName), Services: []string{"greeter"}})
			w.must(err)
			return len(out.Failures) == 1 && *out.Failures[0].Reason == "MISSING"
		})
		if d := time.Since(inactive); d < 59*time.Minute {
			t.Errorf("forgotten after %v", d)
		}
	})
}

func TestDeletedServiceIsMadeAgain(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		old := w.add(spec)
		w.must(w.r.DeleteService(greeter))
		w.until(301*time.Second, "INACTIVE", func() bool { return *w.service().Status == "INACTIVE" })
		w.must(w.r.RemoveGroup(old[0].Targets[0].Group))
		w.must(w.r.AddService(spec))
		time.Sleep(2 * time.Hour) // the first one is forgotten meanwhile
		if s := w.service(); *s.Status != "ACTIVE" || s.RunningCount != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// Without its target group a service's tasks go on, but no deployment ends.
func TestRemovedGroup(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		tasks := w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		group := tasks[0].Targets[0].Group
		w.must(w.r.StopTask(tasks[0].ARN, ""))
		time.Sleep(time.Minute)
		if status := *w.task(tasks[0].ARN).LastStatus; status != "DEACTIVATING" {
			t.Fatal(status)
		}
		w.must(w.r.RemoveGroup(group))
		if status := *w.task(tasks[0].ARN).LastStatus; status != "STOPPING" {
			t.Errorf("nothing left to drain, and the task is %s", status)
		}
		if err := w.r.RemoveGroup(group); err == nil {
			t.Error("removed twice")
		}
		w.must(w.r.Deploy(greeter))
		time.Sleep(2 * time.Hour)
		if d := w.service().Deployments; len(d) != 2 || d[0].RolloutState != "IN_PROGRESS" {
			t.Errorf("%+v", d)
		}
		if got := w.task(tasks[1].ARN); *got.LastStatus != "RUNNING" {
			t.Errorf("the other task is %s", *got.LastStatus)
		}
		if live := slices.DeleteFunc(w.r.Tasks(greeter), func(t sim.TaskInfo) bool { return !t.Serving }); len(live) != 0 {
			t.Errorf("serving without a target: %+v", live)
		}
	})
}
