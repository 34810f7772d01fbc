package awsapi

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// twoServices has a service on instances, s0000, and one with addresses of its own.
func twoServices() *fake {
	f := newFake(1, 2, 2)
	for _, t := range f.clusters[0].tasks {
		if t.service == "s0000" {
			t.ip, t.extra = "", map[string]any{
				"containerInstanceArn": ecsARN("container-instance/c00/" + t.id),
				"containers": []any{map[string]any{"name": "nginx", "networkBindings": []any{
					map[string]any{"containerPort": 10080, "hostPort": 32768, "protocol": "tcp"},
				}}},
			}
		}
	}
	f.groups[0].kind = "instance"
	return f
}

// hiddenFrom says which tasks of which services a Snapshot's gaps hide something of.
func hiddenFrom(s *fleet.Snapshot) (services []string) {
	for _, t := range s.Tasks {
		for i := range s.Gaps {
			if s.Gaps[i].HidesTask(t) && !slices.Contains(services, t.Service.Name) {
				services = append(services, t.Service.Name)
			}
		}
	}
	return services
}

// An instance that cannot be read hides the services that have a task on it, as long
// as it has not stopped.
func TestLostInstanceHidesItsTasksOnly(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(*fake)
		want []string
		gaps int
	}{
		{"its service", func(*fake) {}, []string{"s0000"}, 1},
		{"of stopped tasks", func(f *fake) {
			for _, task := range f.clusters[0].tasks[:2] {
				task.status, task.desired, task.version = "STOPPED", "STOPPED", 9
			}
		}, nil, 0},
		{"of tasks without load balancers", func(f *fake) { f.clusters[0].services[0].groups = nil }, nil, 0},
		{"of a task with an address of its own", func(f *fake) {
			f.groups[0].kind = "ip"
			for i, task := range f.clusters[0].tasks[:2] {
				task.ip = []string{"10.0.9.1", "10.0.9.2"}[i]
			}
		}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := twoServices()
				c.with(f)
				f.fault = func(call fakeCall) *fakeReply {
					if call.op == "DescribeContainerInstances" {
						return &fakeReply{status: 200, body: `{"containerInstances":[],"failures":[]}`}
					}
					return nil
				}
				o := observer(t, Options{Config: f.config(), Budgets: unlimited})
				pass(t, o, 0)
				s := pass(t, o, 5*time.Second)
				if got := hiddenFrom(s); !slices.Equal(got, c.want) || len(s.Gaps) != c.gaps {
					t.Errorf("hidden: %v, want %v; gaps %v", got, c.want, gapsOf(s))
				}
			})
		})
	}
}

// A call for tasks that fails says nothing against the cluster's other services.
func TestUnreadTasksHideTheirServiceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twoServices()
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		pass(t, o, 0)
		f.clusters[0].tasks[3].garble = func(out map[string]any) { delete(out, "lastStatus") }
		s := pass(t, o, 5*time.Second)
		if got := hiddenFrom(s); !slices.Equal(got, []string{"s0001"}) {
			t.Errorf("hidden: %v; gaps %v", got, gapsOf(s))
		}
		f.clusters[0].tasks[3].garble = nil
		if s := pass(t, o, 5*time.Second); len(s.Gaps) != 0 {
			t.Errorf("gaps %v", gapsOf(s))
		}
	})
}

// A task that was never read may be of any service, and is not known to be absent.
func TestTaskNeverReadMayBeOfAnyService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twoServices()
		f.clusters[0].tasks[3].garble = func(out map[string]any) { delete(out, "lastStatus") }
		s := pass(t, observer(t, Options{Config: f.config(), Budgets: unlimited}), 0)
		if got := hiddenFrom(s); !slices.Equal(got, []string{"s0000", "s0001"}) {
			t.Errorf("hidden: %v; gaps %v", got, gapsOf(s))
		}
	})
}

// The list of groups that fails hides those that no list had yet.
func TestFailingListHidesGroupsThatItNeverHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 2, 1)
		first, second := f.groups[0], f.groups[1]
		f.clusters[0].services[1].groups = nil
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		pass(t, o, 0)
		f.clusters[0].services[1].groups = []string{second.name}
		f.failing(fleet.Throttled, "DescribeTargetGroups")
		s := pass(t, o, 2*time.Minute)
		hides := func(g *fakeGroup) bool {
			return slices.ContainsFunc(s.Gaps, func(gap fleet.Gap) bool {
				return gap.Kind == fleet.GapTargetGroups && gap.HidesGroup(fleet.TargetGroupARN(groupARN(g.name)))
			})
		}
		if hides(first) || !hides(second) {
			t.Errorf("hides the first %t, the second %t; gaps %v", hides(first), hides(second), gapsOf(s))
		}
	})
}

// A definition that only a stopped task has is no gap.
func TestDefinitionOfAStoppedTaskIsNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 2)
		old := map[string]any{"taskDefinitionArn": ecsARN("task-definition/deleted:1")}
		f.clusters[0].tasks[1].extra = old
		f.fault = func(call fakeCall) *fakeReply {
			if call.op == "DescribeTaskDefinition" && lastSegment(call.refs[0]) == "deleted:1" {
				return ecsError("ClientException")
			}
			return nil
		}
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		if s := pass(t, o, 0); len(s.Gaps) != 1 {
			t.Errorf("while it runs: gaps %v", gapsOf(s))
		}
		f.clusters[0].tasks[1].status, f.clusters[0].tasks[1].desired, f.clusters[0].tasks[1].version = "STOPPED", "STOPPED", 9
		if s := pass(t, o, 5*time.Second); len(s.Gaps) != 0 || len(s.Tasks) != 2 {
			t.Errorf("%d tasks, gaps %v", len(s.Tasks), gapsOf(s))
		}
	})
}
