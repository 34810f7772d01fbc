package awsapi

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// callsOf are the calls as text, sorted: they are made at the same time.
func callsOf(calls []fakeCall) []string {
	var out []string
	for _, c := range calls {
		refs := make([]string, len(c.refs))
		for i, r := range c.refs {
			if refs[i] = lastSegment(r); c.op == "DescribeTargetHealth" {
				refs[i] = fleet.TargetGroupARN(r).Name()
			}
		}
		slices.Sort(refs)
		out = append(out, fmt.Sprint(c.op, " ", c.cluster, refs))
	}
	slices.Sort(out)
	return out
}

// One call for the tasks of a cluster, one for their services, one a group; and
// everything else stays as it was.
func TestRefreshReadsWhatIsAskedForAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(2, 3, 2)
		o := observer(t, Options{Config: f.config()})
		before := pass(t, o, 0)
		f.taken()
		time.Sleep(time.Second) // nothing is due
		one, two, other := f.clusters[0].taskARN(f.clusters[0].tasks[0].id), f.clusters[0].taskARN(f.clusters[0].tasks[3].id), f.clusters[1].taskARN(f.clusters[1].tasks[5].id)
		groups := []fleet.TargetGroupARN{fleet.TargetGroupARN(groupARN("c01-s0002")), web(), web()}
		after := o.Refresh(t.Context(), []fleet.TaskARN{two, other, one, one}, groups)
		id := func(a fleet.TaskARN) string { return a.ID() }
		want := []string{
			fmt.Sprintf("DescribeServices c00[%s %s]", "s0000", "s0001"), "DescribeServices c01[s0002]",
			"DescribeTargetHealth [c00-s0000]", "DescribeTargetHealth [c01-s0002]",
			fmt.Sprintf("DescribeTasks c00[%s %s]", id(one), id(two)), fmt.Sprintf("DescribeTasks c01[%s]", id(other)),
		}
		if got := callsOf(f.taken()); !slices.Equal(got, want) {
			t.Errorf("calls %q, want %q", got, want)
		}
		if len(after.Gaps) != 0 || len(after.Tasks) != len(before.Tasks) || len(after.TargetGroups) != 6 || len(after.Services) != 6 {
			t.Errorf("gaps %v, %d tasks", after.Gaps, len(after.Tasks))
		}
		fresh := fleet.Read{Sent: after.At, Received: after.At}
		for i, task := range after.Tasks {
			if asked := slices.Contains([]fleet.TaskARN{one, two, other}, task.ARN); asked != (task.Read == fresh) || asked == (task == before.Tasks[i]) {
				t.Errorf("task %s: asked for %v, read %v", task.ARN.ID(), asked, task.Read)
			}
		}
		for _, s := range after.Services {
			if asked := slices.Contains([]string{"c00/s0000", "c00/s0001", "c01/s0002"}, s.ID.String()); asked != (s.Read == fresh) {
				t.Errorf("service %s: asked for %v, read %v", s.ID, asked, s.Read)
			}
		}
		for _, g := range after.TargetGroups {
			if asked := slices.Contains(groups, g.ARN); asked != (g.Read == fresh) {
				t.Errorf("group %s: asked for %v, read %v", g.Name, asked, g.Read)
			}
		}
		// What was read is not due again at once.
		f.taken()
		if pass(t, o, time.Second); len(f.taken()) != 0 {
			t.Error("the next pass reads it again")
		}
		time.Sleep(28 * time.Second)
		o.Refresh(t.Context(), nil, []fleet.TargetGroupARN{web()})
		f.taken()
		pass(t, o, time.Second)
		if got := callsOf(f.taken()); slices.Contains(got, "DescribeTargetHealth [c00-s0000]") || !slices.Contains(got, "DescribeTargetHealth [c00-s0001]") {
			t.Errorf("calls %q", got)
		}
	})
}

func TestRefreshInBatches(t *testing.T) {
	f := newFake(1, 25, 10)
	o := observer(t, Options{Config: f.config(), Budgets: unlimited})
	var tasks []fleet.TaskARN
	for _, task := range o.Observe(t.Context(), nil).Tasks {
		tasks = append(tasks, task.ARN)
	}
	f.taken()
	o.Refresh(t.Context(), tasks, nil)
	n := tally(f.taken())
	if n["DescribeTasks"] != 3 || n["DescribeServices"] != 3 || len(n) != 2 {
		t.Errorf("calls %v", n)
	}
}

// A task that changed hands since the decision shows it.
func TestRefreshSeesWhatHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 2)
		o := observer(t, Options{Config: f.config()})
		pass(t, o, 0)
		c := f.clusters[0]
		arn := c.taskARN(c.tasks[0].id)
		c.tasks[0].health, c.tasks[0].version = "UNHEALTHY", 7
		c.services[0].extra = map[string]any{"desiredCount": 5, "tags": []any{map[string]any{"key": "castoff:pause", "value": "owner=ann"}}}
		f.groups[0].targets[0].state = "draining"
		time.Sleep(time.Second)
		s := o.Refresh(t.Context(), []fleet.TaskARN{arn}, []fleet.TargetGroupARN{web()})
		task := s.Task(arn)
		if !task.Failing() || !s.Target(task.Targets[0]).Draining() || s.Services[0].Desired != 5 || s.Services[0].Tags["castoff:pause"] == "" {
			t.Errorf("task %+v", task)
		}
		// An older version is no evidence, and no fresh one.
		c.tasks[0].health, c.tasks[0].version = "HEALTHY", 6
		time.Sleep(time.Second)
		if again := o.Refresh(t.Context(), []fleet.TaskARN{arn}, nil).Task(arn); again != task {
			t.Errorf("an older version was taken: %+v", again)
		}
		// One that ECS does not find any more says so.
		c.tasks = c.tasks[1:]
		if gone := o.Refresh(t.Context(), []fleet.TaskARN{arn}, nil).Task(arn); gone == nil || gone.Missing != 1 || gone.Read != task.Read {
			t.Errorf("MISSING: %+v", gone)
		}
	})
}

// What nobody knows is a Gap of that one Snapshot.
func TestRefreshOfTheUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		o := observer(t, Options{Config: f.config()})
		ask := func() *fleet.Snapshot {
			return o.Refresh(t.Context(), []fleet.TaskARN{f.clusters[0].taskARN("nobody")}, []fleet.TargetGroupARN{fleet.TargetGroupARN(groupARN("nobodys"))})
		}
		if s := ask(); len(s.Tasks) != 0 || len(f.taken()) != 0 || len(s.Gaps) < 2 {
			t.Errorf("before the first pass: gaps %v", gapsOf(s))
		}
		pass(t, o, 0)
		f.taken()
		if s := ask(); len(f.taken()) != 0 || !slices.Equal(gapsOf(s), []string{"target_health not_found 0123456789abcdef", "tasks not_found nobody"}) {
			t.Errorf("gaps %v", gapsOf(s))
		}
		if s := pass(t, o, time.Second); len(s.Gaps) != 0 {
			t.Errorf("afterwards: gaps %v", gapsOf(s))
		}
	})
}

// A STOPPED task says nothing new.
func TestRefreshLeavesStoppedTasksAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		o := observer(t, Options{Config: f.config()})
		arn := pass(t, o, 0).Tasks[0].ARN
		f.clusters[0].tasks[0].status, f.clusters[0].tasks[0].desired = "STOPPED", "STOPPED"
		pass(t, o, 5*time.Second)
		f.taken()
		s := o.Refresh(t.Context(), []fleet.TaskARN{arn}, nil)
		if got := callsOf(f.taken()); !slices.Equal(got, []string{"DescribeServices c00[s0000]"}) || !s.Task(arn).Gone() {
			t.Errorf("calls %v", got)
		}
	})
}

func TestRefreshThatFails(t *testing.T) {
	for _, c := range []struct {
		op, gap string
		reply   *fakeReply
	}{
		{"DescribeTasks", "tasks throttled c00", ecsError("ThrottlingException")},
		{"DescribeTasks", "tasks denied c00", ecsError("AccessDeniedException")},
		{"DescribeServices", "service transient s0000", &fakeReply{status: 500, body: "{}"}},
		{"DescribeTargetHealth", "target_health throttled 0123456789abcdef", elbError(400, "Throttling")},
		{"DescribeTargetHealth", "target_health invalid 0123456789abcdef", &fakeReply{status: 200, body: "<html/>"}},
	} {
		t.Run(c.gap, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 1)
				o := observer(t, Options{Config: f.config()})
				before := pass(t, o, 0)
				task := before.Tasks[0]
				f.fault = func(call fakeCall) *fakeReply {
					if call.op == c.op {
						return c.reply
					}
					return nil
				}
				time.Sleep(time.Second)
				s := o.Refresh(t.Context(), []fleet.TaskARN{task.ARN}, []fleet.TargetGroupARN{web()})
				want := map[string]bool{"DescribeTasks": true, "DescribeServices": true, "DescribeTargetHealth": true}
				want[c.op] = false
				got := map[string]bool{
					"DescribeTasks":        s.Tasks[0].Read.Sent.Equal(s.At),
					"DescribeServices":     s.Services[0].Read.Sent.Equal(s.At),
					"DescribeTargetHealth": s.TargetGroups[0].Read.Sent.Equal(s.At),
				}
				if len(got) != len(want) || fmt.Sprint(got) != fmt.Sprint(want) || !slices.Equal(gapsOf(s), []string{c.gap}) {
					t.Errorf("fresh: %v; gaps %v", got, gapsOf(s))
				}
				f.fault = nil
				if s := o.Refresh(t.Context(), []fleet.TaskARN{task.ARN}, []fleet.TargetGroupARN{web()}); len(s.Gaps) != 0 {
					t.Errorf("afterwards: gaps %v", gapsOf(s))
				}
			})
		})
	}
}

// Refresh waits for tokens where Observe would not, and only as long as it may.
func TestRefreshWaitsForTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, rec := newFake(1, 1, 1), newRecorder()
		o := observer(t, Options{Config: f.config(), Recorder: rec})
		task := pass(t, o, 0).Tasks[0].ARN
		drain := func() {
			for _, b := range o.buckets {
				for b.take() {
				}
			}
		}
		drain()
		f.taken()
		begun := time.Now()
		s := o.Refresh(t.Context(), []fleet.TaskARN{task}, []fleet.TargetGroupARN{web()})
		// One token of each: after 0.2 s, 0.2 s and 0.4 s.
		if took := time.Since(begun); took != 400*time.Millisecond || len(s.Gaps) != 0 || len(f.taken()) != 3 {
			t.Errorf("took %s, gaps %v", took, gapsOf(s))
		}
		if s.TargetGroups[0].Read.Sent.Sub(begun) != 400*time.Millisecond || s.Tasks[0].Read.Sent.Sub(begun) != 200*time.Millisecond {
			t.Errorf("rows read %v, task %v", s.TargetGroups[0].Read, s.Tasks[0].Read)
		}
		if rec.waits[BalancerReadBucket] != 400*time.Millisecond || rec.waits[ServiceReadBucket] != 200*time.Millisecond {
			t.Errorf("waits %v", rec.waits)
		}
		time.Sleep(time.Millisecond)
		drain()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begun = time.Now()
		s = o.Refresh(ctx, []fleet.TaskARN{task}, []fleet.TargetGroupARN{web()})
		if took := time.Since(begun); took > 300*time.Millisecond || !slices.Equal(gapsOf(s), []string{"target_health paced 0123456789abcdef"}) {
			t.Errorf("took %s, gaps %v", took, gapsOf(s))
		}
		if calls := callsOf(f.taken()); len(calls) != 2 {
			t.Errorf("calls %v", calls)
		}
		if s.Tasks[0].Read.Sent.Before(begun) || !s.TargetGroups[0].Read.Sent.Before(begun) {
			t.Errorf("rows read %v, task %v", s.TargetGroups[0].Read, s.Tasks[0].Read)
		}
		// It is made up for soon.
		if s := pass(t, o, 5*time.Second); len(s.Gaps) != 0 || s.TargetGroups[0].Read.Age(s.At) != 0 {
			t.Errorf("afterwards: gaps %v", gapsOf(s))
		}
		cancel()
		f.taken()
		if s := o.Refresh(ctx, []fleet.TaskARN{task}, []fleet.TargetGroupARN{web()}); len(s.Gaps) != 3 || len(f.taken()) != 0 {
			t.Errorf("without any time: gaps %v", gapsOf(s))
		}
	})
}

// One call that hangs leaves time to use what the others have said.
func TestRefreshDoesNotHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		cfg := f.config()
		o := observer(t, Options{Config: cfg})
		task := pass(t, o, 0).Tasks[0].ARN
		cfg.HTTPClient = hanging{f, "c00"}
		o.ecs = observer(t, Options{Config: cfg}).ecs
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		begun := time.Now()
		s := o.Refresh(ctx, []fleet.TaskARN{task}, []fleet.TargetGroupARN{web()})
		if took := time.Since(begun); took != 2*time.Second || !slices.Equal(gapsOf(s), []string{"tasks transient c00"}) {
			t.Errorf("took %s, gaps %v", took, gapsOf(s))
		}
		if s.TargetGroups[0].Read.Sent != begun.Round(0).UTC() {
			t.Errorf("rows read %v", s.TargetGroups[0].Read)
		}
	})
}

// A blue/green group that a service has just been given is named by its tasks at
// once, and is a Gap until it is read.
func TestRefreshOfAServiceWithANewGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 2, 1)
		o := observer(t, Options{Config: f.config()})
		s := pass(t, o, 0)
		c := f.clusters[0]
		c.services[0].groups = append(c.services[0].groups, "new")
		f.groups = append(f.groups, &fakeGroup{name: "new", kind: "ip", targets: []fakeTarget{{"10.0.0.1", 10080, "healthy"}}})
		s = o.Refresh(t.Context(), []fleet.TaskARN{s.Tasks[0].ARN}, nil)
		if len(s.Tasks[0].Targets) != 2 || !slices.Contains(gapsOf(s), "target_health paced 0123456789abcdef") {
			t.Errorf("targets %v, gaps %v", s.Tasks[0].Targets, gapsOf(s))
		}
	})
}
