package awsapi

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// before runs an observer for one pass and returns what it knew: the process
// that was there before.
func before(t *testing.T, f *fake) []*fleet.Task {
	t.Helper()
	s := observer(t, Options{Config: f.config(), Budgets: unlimited}).Observe(t.Context(), nil)
	f.taken()
	return s.Tasks
}

// Nothing can be read at first; then tasks can, but no list, no service, no
// group; then everything.
func TestRememberedTasksOutlastFailingPasses(t *testing.T) {
	for _, clusters := range [][]string{nil, {"c00", "c01"}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(2, 2, 2)
			was := before(t, f)
			f.fault = func(fakeCall) *fakeReply { return &fakeReply{err: syscall.ECONNREFUSED} }
			o := observer(t, Options{Config: f.config(), Clusters: clusters, Budgets: unlimited})
			backwards := slices.Clone(was)
			slices.Reverse(backwards)
			o.Remember(backwards)
			for _, c := range o.clusters {
				if !slices.IsSortedFunc(c.tasks, func(a, b *task) int { return strings.Compare(string(a.arn), string(b.arn)) }) {
					t.Error("tasks out of order")
				}
			}
			for range 5 {
				s := pass(t, o, 5*time.Second)
				if !slices.Equal(s.Tasks, was) { // as they were read then
					t.Fatalf("%d tasks, was %d", len(s.Tasks), len(was))
				}
			}
			f.fault = func(c fakeCall) *fakeReply {
				if c.op != "DescribeTasks" {
					return &fakeReply{err: syscall.ECONNREFUSED}
				}
				return nil
			}
			f.clusters[0].tasks[1].health = "UNHEALTHY"
			s := pass(t, o, 5*time.Second)
			for i, task := range s.Tasks {
				if task.Read.Age(s.At) != 0 || !slices.Equal(task.Targets, was[i].Targets) {
					t.Errorf("%s is read %v, with targets %v", task.ARN.ID(), task.Read, task.Targets)
				}
			}
			if !s.Tasks[1].Failing() {
				t.Error("what is new is not seen")
			}
			f.fault = nil
			for range 15 {
				s = pass(t, o, 5*time.Second)
			}
			if len(s.Gaps) != 0 || len(s.Tasks) != 8 || len(s.Clusters) != 2 {
				t.Errorf("in the end: %d tasks, gaps %v", len(s.Tasks), gapsOf(s))
			}
			for i, task := range s.Tasks {
				if !slices.Equal(task.Targets, was[i].Targets) || s.Owner(task.Targets[0]) != task {
					t.Errorf("%s has targets %v", task.ARN.ID(), task.Targets)
				}
			}
		})
	}
}

// A task that stopped while castoff was away is no history: somebody waits for
// its end.
func TestRememberedTaskThatHasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 2)
		was := before(t, f)
		c := f.clusters[0]
		time.Sleep(20 * time.Minute)
		stopped := time.Now().Add(-10 * time.Minute).UTC().Truncate(time.Millisecond)
		for _, task := range c.tasks {
			task.status, task.desired, task.ip, task.version = "STOPPED", "STOPPED", "", 20
			task.extra = map[string]any{"stoppedAt": float64(stopped.UnixMilli()) / 1000, "stoppedReason": "Task failed container health checks"}
		}
		o := observer(t, Options{Config: f.config()})
		o.Remember(was[:1])
		s := pass(t, o, 0)
		task := s.Task(was[0].ARN)
		if task == nil || !task.Gone() || !task.StoppedAt.Equal(stopped) || task.StoppedReason == "" {
			t.Fatalf("it is %+v", task)
		}
		// Its interface is gone, and with it what would tell its address.
		if !slices.Equal(task.Targets, was[0].Targets) {
			t.Errorf("targets %v, were %v", task.Targets, was[0].Targets)
		}
		if s.Task(was[1].ARN) != nil {
			t.Error("history that nobody asked for is in the Snapshot")
		}
		n := 0
		for pass(t, o, 5*time.Second).Task(was[0].ARN) != nil {
			if n++; n > 30 {
				t.Fatal("it never leaves")
			}
		}
		if n < stoppedStaysPasses {
			t.Errorf("it left after %d passes", n)
		}
	})
}

// One that was STOPPED already is shown for a while, and not asked for.
func TestRememberedTaskThatHadStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		gone := *before(t, f)[0]
		gone.LastStatus, gone.DesiredStatus = fleet.Stopped, fleet.Stopped
		f.clusters[0].tasks = nil
		o := observer(t, Options{Config: f.config()})
		o.Remember([]*fleet.Task{&gone})
		n := 0
		for ; pass(t, o, 5*time.Second).Task(gone.ARN) != nil; n++ {
			if n > 30 {
				t.Fatal("it never leaves")
			}
		}
		if calls := tally(f.taken())["DescribeTasks"]; n < stoppedStaysPasses || calls != 0 {
			t.Errorf("it left after %d passes and %d calls", n, calls)
		}
	})
}

// Until its group is known to be of IPv6, a task's IPv4 address is no target.
func TestRememberedTargetWithTwoAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		f.groups[0].ipv6 = true
		f.clusters[0].tasks[0].extra = map[string]any{"attachments": []any{map[string]any{"details": []any{
			map[string]any{"name": "privateIPv4Address", "value": "10.0.0.1"}, map[string]any{"name": "privateIPv6Address", "value": "2001:db8::1"},
		}}}}
		was := before(t, f)
		if want := fleet.NewTargetKey(web(), "2001:db8::1", 10080); !slices.Equal(was[0].Targets, []fleet.TargetKey{want}) {
			t.Fatalf("targets %v", was[0].Targets)
		}
		f.fault = func(c fakeCall) *fakeReply {
			if c.op == "DescribeTargetGroups" {
				return elbError(400, "Throttling")
			}
			return nil
		}
		o := observer(t, Options{Config: f.config()})
		o.Remember(was)
		for range 3 {
			if s := pass(t, o, 5*time.Second); !slices.Equal(s.Tasks[0].Targets, was[0].Targets) || s.Tasks[0].Read == was[0].Read {
				t.Errorf("targets %v", s.Tasks[0].Targets)
			}
		}
	})
}

// An hour later ECS no longer knows of it: that takes as many answers as ever.
func TestRememberedTaskThatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		was := before(t, f)
		f.clusters[0].tasks = nil
		o := observer(t, Options{Config: f.config()})
		o.Remember(was)
		for n := 1; ; n++ {
			task := pass(t, o, 5*time.Second).Task(was[0].ARN)
			if task == nil {
				if n < 4 {
					t.Errorf("gone after %d answers", n)
				}
				break
			}
			if task.Missing != n || task.Read != was[0].Read || n > 10 {
				t.Fatalf("after %d answers: missing %d, read %v", n, task.Missing, task.Read)
			}
		}
	})
}

// A failing task is hot from the first pass on, and an older version of it is
// still no evidence.
func TestRememberedTaskIsEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		task := f.clusters[0].tasks[0]
		task.health, task.version = "UNHEALTHY", 9
		was := before(t, f)
		task.health, task.version = "HEALTHY", 8
		o := observer(t, Options{Config: f.config()})
		o.Remember(was)
		o.Remember(was) // twice is once
		pass(t, o, 0)
		f.taken()
		if s := pass(t, o, 2*time.Second); len(s.Tasks) != 1 || s.Tasks[0].Version != 9 || !s.Tasks[0].Failing() {
			t.Errorf("tasks %+v", s.Tasks)
		}
		if n := tally(f.taken()); n["DescribeTasks"] != 1 || n["DescribeTargetHealth"] != 1 {
			t.Errorf("calls %v", n)
		}
		// Before the first pass a decision can already be looked at again.
		o = observer(t, Options{Config: f.config()})
		o.Remember(was)
		task.version = 10
		if s := o.Refresh(t.Context(), []fleet.TaskARN{was[0].ARN}, nil); len(s.Tasks) != 1 || s.Tasks[0].Version != 10 || !s.Tasks[0].Healthy() {
			t.Errorf("tasks %+v", s.Tasks)
		}
	})
}

// The memory of another region or account, or of a cluster that is no longer
// watched, does no harm.
func TestRememberedTasksFromElsewhere(t *testing.T) {
	elsewhere := func(arn fleet.ClusterARN) []*fleet.Task {
		return []*fleet.Task{{
			ARN: fleet.TaskARN(string(arn)[:len(arn)-len("cluster/c00")] + "task/c00/0123"), Cluster: arn,
			Service: fleet.ServiceID{Cluster: "c00", Name: "s0000"}, LastStatus: fleet.Running, Health: fleet.Unhealthy, DesiredStatus: fleet.Running,
		}}
	}
	for _, c := range []struct {
		name     string
		clusters []string
		tasks    []*fleet.Task
		kept     bool
	}{
		{"another region", nil, elsewhere("arn:aws:ecs:eu-west-1:123456789012:cluster/c00"), false},
		{"another account, configured by name", []string{"c00"}, elsewhere("arn:aws:ecs:eu-central-1:210987654321:cluster/c00"), true},
		{"not watched", []string{"c01"}, elsewhere(fleet.ClusterARN(ecsARN("cluster/c00"))), false},
		{"no ARN", nil, elsewhere("cluster/c00"), false},
		{"nothing", nil, []*fleet.Task{nil, {}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(2, 1, 1)
				o := observer(t, Options{Config: f.config(), Clusters: c.clusters, Budgets: unlimited})
				o.Remember(c.tasks)
				if kept := len(o.clusters) > 0; kept != c.kept {
					t.Errorf("kept %v", kept)
				}
				s := pass(t, o, 0)
				want := 2
				if c.clusters != nil {
					want = 1
				}
				if len(s.Gaps) != 0 || len(s.Tasks) != want || len(s.Clusters) != want {
					t.Errorf("%d tasks, %d clusters, gaps %v", len(s.Tasks), len(s.Clusters), gapsOf(s))
				}
			})
		})
	}
}

// What is not taken on is not paused either.
func TestWatchAnswersWhatItTookOn(t *testing.T) {
	there, configured := fleet.ClusterARN(ecsARN("cluster/c01")), fleet.ClusterARN(ecsARN("cluster/c00"))
	o := observer(t, Options{Config: newFake(2, 1, 1).config(), Clusters: []string{"c00"}})
	got := o.Watch(there, "arn:aws:ecs:eu-west-1:123456789012:cluster/c01", configured, there)
	if !slices.Equal(got, []fleet.ClusterARN{there}) || len(o.clusters) != 1 {
		t.Errorf("took on %v, and watches %d", got, len(o.clusters))
	}
	o.Leave(there)
	o.Leave(there)
	if got := o.Watch(there); len(got) != 1 {
		t.Error("it cannot be watched again")
	}
}

// A cluster watched besides the configured ones from which AWS keeps castoff is left
// after an hour, with what is remembered of it. As long as its tasks can be read, or
// AWS may only have a bad time, it is not; and a configured one never is.
func TestLockedOut(t *testing.T) {
	all := []string{"DescribeClusters", "ListServices", "ListTasks", "DescribeTasks"}
	for _, c := range []struct {
		name   string
		class  fleet.Class
		ops    []string
		forget bool // the tasks
		leaves bool
	}{
		{"all denied", fleet.Denied, all, false, true},
		{"the cluster denied", fleet.Denied, all[:1], false, true},
		{"tasks denied", fleet.Denied, all[3:], false, true},
		{"lists denied", fleet.Denied, all[1:3], false, false},
		{"lists denied, and no task known", fleet.Denied, all[1:3], true, true},
		{"all throttled", fleet.Throttled, all, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(2, 1, 1)
				was := before(t, f)
				if c.forget {
					was = was[:1]
				}
				f.failing(c.class, c.ops...)
				o := observer(t, Options{Config: f.config(), Clusters: []string{"c00"}, Budgets: unlimited})
				o.Watch(fleet.ClusterARN(ecsARN("cluster/c01")))
				o.Remember(was)
				since := time.Now()
				about := func(s *fleet.Snapshot, cluster string) bool {
					return slices.ContainsFunc(s.Gaps, func(g fleet.Gap) bool { return strings.Contains(g.Ref, cluster) }) ||
						slices.ContainsFunc(s.Tasks, func(t *fleet.Task) bool { return t.Cluster.Name() == cluster })
				}
				var s *fleet.Snapshot
				for time.Since(since) < lockedOut-time.Minute {
					if s = pass(t, o, 20*time.Second); !about(s, "c01") {
						t.Fatalf("left after %v", time.Since(since))
					}
				}
				for time.Since(since) < lockedOut+time.Minute {
					s = pass(t, o, 20*time.Second)
				}
				if about(s, "c01") == c.leaves || !about(s, "c00") {
					t.Errorf("gaps %v, %d tasks", gapsOf(s), len(s.Tasks))
				}
				for id, service := range o.services {
					if c.leaves && service.cluster.id != "c00" {
						t.Errorf("%s is kept", id)
					}
				}
			})
		})
	}
}

// A cluster of which nothing but memory is known is not given up at one answer.
func TestRememberedClusterThatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(2, 1, 1)
		was := before(t, f)
		f.clusters[1].gone = true
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		o.Remember(was)
		for n := range confirmations {
			s := pass(t, o, time.Minute)
			if there := s.Task(was[1].ARN) != nil; there != (n < confirmations-1) {
				t.Errorf("after %d answers: %v", n+1, there)
			}
			if missing := slices.Contains(gapsOf(s), "cluster not_found c01"); missing != (n < confirmations-1) {
				t.Errorf("after %d answers: gaps %v", n+1, gapsOf(s))
			}
		}
	})
}

// On EC2 a target is a port of an instance: nothing is worked out until all of
// that is known again.
func TestRememberedTargetsOnInstances(t *testing.T) {
	for _, mode := range []string{fleet.NetworkBridge, fleet.NetworkHost} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 1)
				f.networkMode = mode
				f.groups[0].kind = fleet.TargetTypeInstance
				task := f.clusters[0].tasks[0]
				task.ip = ""
				task.extra = map[string]any{"containerInstanceArn": ecsARN("container-instance/c00/abc")}
				if mode == fleet.NetworkBridge {
					task.extra["containers"] = []any{map[string]any{"name": "nginx", "networkBindings": []any{
						map[string]any{"containerPort": 10080, "hostPort": 32768, "protocol": "tcp"},
					}}}
				}
				was := before(t, f)
				if len(was[0].Targets) != 1 {
					t.Fatalf("targets %v", was[0].Targets)
				}
				var o *Observer
				for _, down := range []string{"DescribeTargetGroups", "DescribeContainerInstances", "DescribeTaskDefinition", "DescribeServices", "none"} {
					o = observer(t, Options{Config: f.config(), Budgets: unlimited})
					o.Remember(was)
					f.fault = func(c fakeCall) *fakeReply {
						if c.op == down {
							return &fakeReply{err: syscall.ECONNREFUSED}
						}
						return nil
					}
					if s := pass(t, o, time.Minute); !slices.Equal(s.Tasks[0].Targets, was[0].Targets) {
						t.Errorf("without %s: %v, was %v", down, s.Tasks[0].Targets, was[0].Targets)
					}
				}
				if o.clusters[f.clusters[0].arn()].tasks[0].remembered {
					t.Error("it is still only remembered")
				}
				// From here on it is a task like any other: its deployment keeps its groups.
				f.clusters[0].services[0].groups = nil
				if s := pass(t, o, time.Minute); !slices.Equal(s.Tasks[0].Targets, was[0].Targets) {
					t.Errorf("targets %v, and its service has no groups any more", s.Tasks[0].Targets)
				}
			})
		})
	}
}

// Of a task whose target another process took out nothing but its name is left: no list
// has it, and it is a Gap until ECS has said what has become of it.
func TestAwaitedTask(t *testing.T) {
	service := fleet.ServiceID{Cluster: "c00", Name: "s0000"}
	for name, c := range map[string]struct {
		becomes func(*fakeTask)
		unread  bool // for a while, whatever the lists say
		read    fleet.TaskStatus
	}{
		"runs":               {func(*fakeTask) {}, false, fleet.Running},
		"had stopped before": {func(task *fakeTask) { task.status, task.desired = "STOPPED", "STOPPED" }, false, fleet.Stopped},
		"is MISSING":         {func(task *fakeTask) { task.hidden = true }, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 2)
				of, task := f.clusters[0], f.clusters[0].tasks[0]
				arn := of.taskARN(task.id)
				task.extra = map[string]any{"stoppedAt": float64(time.Now().Add(-time.Minute).Unix())}
				c.becomes(task)
				f.fault = func(call fakeCall) *fakeReply {
					if call.op == "ListTasks" { // that lags behind
						return &fakeReply{status: 200, body: `{"taskArns":[]}`}
					}
					return nil
				}
				o := observer(t, Options{Config: f.config()})
				cluster := fleet.ClusterARN(of.arn())
				o.Await(cluster, service, arn)
				s := pass(t, o, 0)
				if is := s.Task(arn); c.read != "" && (is == nil || is.LastStatus != c.read) {
					t.Fatalf("it is %+v, gaps %v", is, gapsOf(s))
				}
				for began := time.Now(); c.unread && time.Since(began) < missingStaysSeconds*time.Second; s = pass(t, o, time.Second) {
					if g, ok := gapOf(s, fleet.GapTasks); !ok || !g.MayHide(cluster, service, arn) {
						t.Fatalf("after %s: gaps %+v", time.Since(began), s.Gaps)
					}
				}
				for range 60 {
					s = pass(t, o, 5*time.Second)
				}
				if g, ok := gapOf(s, fleet.GapTasks); ok {
					t.Errorf("in the end: %+v", g)
				}
				if there := s.Task(arn) != nil; there != (c.read == fleet.Running) {
					t.Errorf("in the end it is there: %v", there)
				}
			})
		})
	}
}
