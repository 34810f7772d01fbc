package awsapi

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func balancer(group string, port int) map[string]any {
	return map[string]any{"targetGroupArn": groupARN(group), "containerName": "nginx", "containerPort": port}
}

// swapped is a service in the middle of a change of its target group from old to new,
// as castoff finds it when it starts: task 0 is of deployment 1, task 1 of deployment 2.
func swapped() *fake {
	f := newFake(1, 1, 2)
	cl := f.clusters[0]
	f.groups = []*fakeGroup{
		{name: "old", kind: "ip", targets: []fakeTarget{{"10.0.0.1", 10080, "healthy"}}},
		{name: "new", kind: "ip", targets: []fakeTarget{{"10.0.0.2", 9000, "healthy"}}},
	}
	deployment := func(n int, status string) any {
		return map[string]any{
			"id": fmt.Sprintf("ecs-svc/%d", n), "status": status, "rolloutState": "IN_PROGRESS",
			"taskDefinition": ecsARN(fmt.Sprintf("task-definition/s0000:%d", n)),
		}
	}
	cl.services[0].extra = map[string]any{
		"loadBalancers": []any{balancer("new", 9000)}, "deployments": []any{deployment(2, "PRIMARY"), deployment(1, "ACTIVE")},
	}
	for i, task := range cl.tasks {
		task.extra = map[string]any{
			"startedBy": fmt.Sprintf("ecs-svc/%d", i+1), "taskDefinitionArn": ecsARN(fmt.Sprintf("task-definition/s0000:%d", i+1)),
		}
	}
	return f
}

func revisionARN(number string) string { return ecsARN("service-revision/c00/s0000/" + number) }

func revisionOf(n int) string { return ecsARN(fmt.Sprintf("task-definition/s0000:%d", n)) }

func addresses0(task *fleet.Task) (got []string) {
	for _, k := range task.Targets {
		got = append(got, k.Group.Name()+" "+k.Address())
	}
	return got
}

// What castoff has not seen it asks for, once.
func TestTargetsOfADeploymentFromBefore(t *testing.T) {
	old := []any{balancer("old", 10080)}
	current := func(f *fake, numbers ...string) {
		var list []any
		for _, n := range numbers {
			list = append(list, map[string]any{"arn": revisionARN(n), "runningTaskCount": 1})
		}
		f.clusters[0].services[0].extra["currentServiceRevisions"] = list
	}
	for _, c := range []struct {
		name  string
		setup func(*fake)
		want  []string
		gaps  []string
		hides bool // the task
		calls int  // in ten minutes; what has no answer is asked for again
	}{
		{"its revision has its number", func(f *fake) {
			f.revisions = map[string]fakeRevision{revisionARN("1"): {revisionOf(1), old}}
		}, []string{"old 10.0.0.1:10080"}, nil, false, 1},
		{"a revision of that number is another's", func(f *fake) {
			f.revisions = map[string]fakeRevision{revisionARN("1"): {revisionOf(7), []any{balancer("new", 10080)}}}
		}, nil, []string{"service_revision not_found s0000"}, true, 3},
		{"its revision has another number", func(f *fake) {
			f.revisions = map[string]fakeRevision{revisionARN("88"): {revisionOf(1), old}, revisionARN("99"): {revisionOf(2), []any{balancer("new", 9000)}}}
			current(f, "99", "88")
		}, []string{"old 10.0.0.1:10080"}, nil, false, 1},
		{"two of other numbers may be its", func(f *fake) {
			f.revisions = map[string]fakeRevision{revisionARN("88"): {revisionOf(1), old}, revisionARN("99"): {revisionOf(1), []any{balancer("new", 9000)}}}
			current(f, "99", "88")
		}, []string{"new 10.0.0.1:9000", "old 10.0.0.1:10080"}, nil, false, 1},
		{"a revision without the list", func(f *fake) {
			f.revisions = map[string]fakeRevision{revisionARN("1"): {revisionOf(1), nil}}
		}, nil, []string{"service_revision invalid s0000"}, true, 3},
		{"it was in none", func(f *fake) {
			f.revisions = map[string]fakeRevision{revisionARN("1"): {revisionOf(1), []any{}}}
		}, nil, nil, false, 1},
		{"denied", func(f *fake) { f.failing(fleet.Denied, "DescribeServiceRevisions") }, nil, []string{"service_revision denied s0000"}, true, 3},
		{"denied, and in a group that the service names", func(f *fake) {
			f.failing(fleet.Denied, "DescribeServiceRevisions")
			f.groups[1].targets = append(f.groups[1].targets, fakeTarget{"10.0.0.1", 8088, "healthy"})
		}, []string{"new 10.0.0.1:8088"}, []string{"service_revision denied s0000"}, false, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := swapped()
				c.setup(f)
				o := observer(t, Options{Config: f.config(), Budgets: unlimited})
				var s *fleet.Snapshot
				for range 121 {
					s = pass(t, o, 5*time.Second)
				}
				got := addresses0(s.Tasks[0])
				if c.gaps != nil { // and where a row would be if it is of the service's own settings
					got = slices.DeleteFunc(got, func(a string) bool { return a == "new 10.0.0.1:9000" })
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("targets %q, want %q", got, c.want)
				}
				if got := addresses0(s.Tasks[1]); !slices.Equal(got, []string{"new 10.0.0.2:9000"}) {
					t.Errorf("targets of the primary deployment's task %q", got)
				}
				if !slices.Equal(gapsOf(s), c.gaps) {
					t.Errorf("gaps %v, want %v", gapsOf(s), c.gaps)
				}
				for i, want := range []bool{c.hides, false} {
					if got := slices.ContainsFunc(s.Gaps, func(g fleet.Gap) bool { return g.HidesTask(s.Tasks[i]) }); got != want {
						t.Errorf("task %d hidden: %t, want %t", i, got, want)
					}
				}
				if n := tally(f.taken())["DescribeServiceRevisions"]; n != c.calls {
					t.Errorf("%d calls for revisions in ten minutes, want %d", n, c.calls)
				}
				f.clusters[0].tasks = f.clusters[0].tasks[1:]
				for range 5 {
					s = pass(t, o, time.Minute)
				}
				if len(s.Gaps) != 0 || len(s.Services[0].LoadBalancers) != 1 {
					t.Errorf("when its last task has gone: gaps %v, load balancers %v", gapsOf(s), s.Services[0].LoadBalancers)
				}
			})
		})
	}
}

// What another process knew of a task counts where nobody may ask for revisions: its
// group is watched, although its service names it no more.
func TestRememberedTargetsOfADeploymentFromBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := swapped()
		f.failing(fleet.Denied, "DescribeServiceRevisions")
		was := fleet.Task{
			ARN: f.clusters[0].taskARN(f.clusters[0].tasks[0].id), Cluster: fleet.ClusterARN(f.clusters[0].arn()),
			Service: fleet.ServiceID{Cluster: "c00", Name: "s0000"}, LastStatus: fleet.Running, StartedBy: "ecs-svc/1",
			Targets: []fleet.TargetKey{fleet.NewTargetKey(fleet.TargetGroupARN(groupARN("old")), "10.0.0.1", 10080)},
		}
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		o.Remember([]*fleet.Task{&was})
		for range 40 {
			s := pass(t, o, 5*time.Second)
			key := was.Targets[0]
			if s.Task(was.ARN) == nil || !slices.Contains(s.Task(was.ARN).Targets, key) || s.Owner(key) != s.Task(was.ARN) {
				t.Fatalf("targets %v", s.Task(was.ARN).Targets)
			}
			if s.Services[0].LoadBalancers[len(s.Services[0].LoadBalancers)-1].Group != key.Group {
				t.Fatalf("the service has %v", s.Services[0].LoadBalancers)
			}
			if s.Target(key) == nil {
				t.Fatal("its row is not read")
			}
			if slices.ContainsFunc(s.Gaps, func(g fleet.Gap) bool { return g.HidesTask(s.Task(was.ARN)) && g.Class != fleet.Paced }) {
				t.Fatalf("hidden by gaps %v", gapsOf(s))
			}
		}
	})
}

// A deployment that comes up between two descriptions of its service costs one more
// of these, and no gap.
func TestNewDeploymentIsReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := swapped()
		cl := f.clusters[0]
		later, extra := cl.tasks[1], cl.services[0].extra
		cl.tasks, cl.services[0].groups = cl.tasks[:1], []string{"old"}
		cl.services[0].extra = map[string]any{"deployments": extra["deployments"].([]any)[1:]}
		cl.services[0].extra["deployments"].([]any)[0].(map[string]any)["status"] = "PRIMARY"
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		pass(t, o, 0)
		pass(t, o, 5*time.Second)
		f.taken()
		cl.tasks, cl.services[0].extra = append(cl.tasks, later), extra
		extra["deployments"].([]any)[1].(map[string]any)["status"] = "ACTIVE"
		for at := 0; at < 40; at += 5 {
			if s := pass(t, o, 5*time.Second); len(s.Gaps) != 0 {
				t.Fatalf("gaps %v", gapsOf(s))
			} else if at > 20 && !slices.Equal(addresses0(s.Tasks[1]), []string{"new 10.0.0.2:9000"}) {
				t.Fatalf("targets %q", addresses0(s.Tasks[1]))
			}
		}
		if calls := tally(f.taken()); calls["DescribeServices"] != 1 || calls["DescribeServiceRevisions"] != 0 {
			t.Errorf("calls %v", calls)
		}
	})
}
