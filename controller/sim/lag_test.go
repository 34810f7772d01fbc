package sim_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// A reply may be so old and no older, two readings need not come in order, and
// version tells: what an old reply says was true at some instant within the age.
func TestSafetyOldRepliesWereTrueOnce(t *testing.T) {
	params := sim.DefaultParams()
	params.ReplyAge = sim.Range{Max: 20 * time.Second}
	inBubble(t, sim.Options{Seed: 1, Params: &params}, 0, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		if got := w.task(task.ARN); got.HealthStatus != "HEALTHY" {
			t.Errorf("a settled task reads %s", got.HealthStatus)
		}
		w.must(w.r.Hang(task.ARN))
		type seen struct {
			at     time.Time
			status fleet.TaskStatus
		}
		var truth []seen
		back, late := 0, 0
		var last int64
		for range 700 {
			for _, info := range w.r.Tasks(greeter) {
				if info.ARN == task.ARN {
					truth = append(truth, seen{at: time.Now(), status: info.Status})
				}
			}
			got := w.task(task.ARN)
			if got.Version < last {
				back++
			}
			last = got.Version
			ok := slices.ContainsFunc(truth, func(s seen) bool {
				return string(s.status) == *got.LastStatus && time.Since(s.at) <= 21*time.Second
			})
			if !ok {
				t.Fatalf("%s at %v was not so in the last 20 s", *got.LastStatus, time.Now())
			}
			if string(truth[len(truth)-1].status) != *got.LastStatus {
				late++
			}
			time.Sleep(time.Second)
		}
		if back == 0 || late == 0 {
			t.Errorf("%d readings went back, %d were late", back, late)
		}
	})
}

// What is younger than the reply is not there yet: a list may have a task that
// DescribeTasks calls MISSING, and the other way round.
func TestListAndDescribeDisagree(t *testing.T) {
	for _, old := range []string{"ListTasks", "DescribeTasks"} {
		t.Run(old, func(t *testing.T) {
			params := sim.DefaultParams()
			params.ReplyAges = map[string]sim.Range{old: sim.Exactly(10 * time.Second)}
			inBubble(t, sim.Options{Params: &params}, 0, func(t *testing.T, w *world) {
				time.Sleep(time.Minute)
				arn, err := w.r.RunTask(clusterName, "migrate")
				w.must(err)
				look := func() (listed, described bool) {
					list, err := w.ecs.ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: aws.String(clusterName)})
					w.must(err)
					out, err := w.ecs.DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Cluster: aws.String(clusterName), Tasks: []string{string(arn)}})
					w.must(err)
					if len(out.Tasks)+len(out.Failures) != 1 || len(out.Failures) == 1 && *out.Failures[0].Reason != "MISSING" {
						t.Fatalf("%+v", out)
					}
					return len(list.TaskArns) == 1, len(out.Tasks) == 1
				}
				time.Sleep(9 * time.Second)
				if listed, described := look(); listed != (old != "ListTasks") || described != (old != "DescribeTasks") {
					t.Errorf("after 9 s listed %v, described %v", listed, described)
				}
				time.Sleep(time.Second)
				if listed, described := look(); !listed || !described {
					t.Errorf("after 10 s listed %v, described %v", listed, described)
				}
				w.must(w.r.StopTask(arn, ""))
				if listed, _ := look(); listed != (old == "ListTasks") {
					t.Errorf("stopped: listed %v", listed)
				}
			})
		})
	}
}

func TestOldServiceReplies(t *testing.T) {
	params := sim.DefaultParams()
	params.ReplyAge = sim.Exactly(10 * time.Second)
	inBubble(t, sim.Options{Params: &params}, 0, func(t *testing.T, w *world) {
		w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		before := w.service()
		w.must(w.r.Scale(greeter, 5))
		w.must(w.r.Deploy(greeter))
		w.must(w.r.Tag(greeter, "castoff:mode", "observe"))
		if s := w.service(); s.DesiredCount != 2 || len(s.Deployments) != 1 {
			t.Errorf("at once %d, %+v", s.DesiredCount, s.Deployments)
		}
		other := sim.ServiceSpec{Cluster: clusterName, Name: "other"}
		w.must(w.r.AddService(other))
		listed := func() int {
			out, err := w.ecs.ListServices(t.Context(), &ecs.ListServicesInput{Cluster: aws.String(clusterName)})
			w.must(err)
			return len(out.ServiceArns)
		}
		if n := listed(); n != 1 {
			t.Errorf("%d services listed at once", n)
		}
		time.Sleep(10 * time.Second)
		if s := w.service(); s.DesiredCount != 5 || len(s.Deployments) != 2 || *s.TaskDefinition == *before.TaskDefinition || listed() != 2 {
			t.Errorf("10 s later %d, %+v", s.DesiredCount, s.Deployments)
		}
	})
}

// Who reads, and how often, does not change the world.
func TestReadingDoesNotChangeTheWorld(t *testing.T) {
	run := func(reads int) (truth []sim.Truth) {
		params := sim.DefaultParams()
		params.ReplyAge = sim.Range{Max: 5 * time.Second}
		inBubble(t, sim.Options{Seed: 1, Params: &params}, 0, func(t *testing.T, w *world) {
			task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
			w.must(w.r.Hang(task.ARN))
			for range 1200 {
				for range reads {
					w.service()
				}
				time.Sleep(time.Second)
			}
			truth = w.r.Truth()
		})
		return truth
	}
	if none, many := run(0), run(3); len(none) != 1 || len(many) != 1 || none[0].Stopped.IsZero() || !none[0].Stopped.Equal(many[0].Stopped) {
		t.Errorf("unread %+v, read %+v", none, many)
	}
}

// A target may read healthy for a while after its deregistration.
func TestOldTargetReplies(t *testing.T) {
	params := sim.DefaultParams()
	params.ReplyAges = map[string]sim.Range{"DescribeTargetHealth": sim.Exactly(10 * time.Second)}
	inBubble(t, sim.Options{Params: &params}, 0, func(t *testing.T, w *world) {
		key := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0].Targets[0]
		time.Sleep(time.Minute)
		w.must(w.deregister(key))
		for _, wait := range []time.Duration{0, 9 * time.Second} {
			time.Sleep(wait)
			if state := w.row(key).TargetHealth.State; state != "healthy" {
				t.Errorf("%s after %v", state, wait)
			}
		}
		time.Sleep(time.Second)
		if state := w.row(key).TargetHealth.State; state != "draining" {
			t.Errorf("%s after 10 s", state)
		}
		out, err := w.elb.DescribeTargetHealth(t.Context(), &elb.DescribeTargetHealthInput{
			TargetGroupArn: aws.String(string(key.Group)), Targets: []elbtypes.TargetDescription{{Id: &key.ID, Port: aws.Int32(int32(key.Port))}},
		})
		w.must(err)
		if state := out.TargetHealthDescriptions[0].TargetHealth.State; state != "draining" {
			t.Errorf("by name %s", state)
		}
	})
}
