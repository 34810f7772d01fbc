package awsapi

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// pass sleeps and observes.
func pass(t *testing.T, o *Observer, after time.Duration) *fleet.Snapshot {
	t.Helper()
	time.Sleep(after)
	return o.Observe(t.Context(), nil)
}

func TestOlderVersionIsNoEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		o := observer(t, Options{Config: f.config()})
		task := f.clusters[0].tasks[0]
		arn := f.clusters[0].taskARN(task.id)
		task.version, task.health = 5, "UNHEALTHY"
		a := pass(t, o, 0).Task(arn)
		task.version, task.health = 4, "HEALTHY"
		b := pass(t, o, 5*time.Second).Task(arn)
		if a != b {
			t.Errorf("an older version was taken: %s read at %s", b.Health, b.Read.Received)
		}
		// Health changes without a version of its own.
		task.version = 5
		c := pass(t, o, 5*time.Second).Task(arn)
		if c.Health != fleet.Healthy || c.Read == b.Read {
			t.Errorf("an equal version was not taken: %s", c.Health)
		}
	})
}

// LIVENESS: a version that nothing has any more, for longer than any copy of AWS's is
// stale, was never one. It would else be the last that is known of the task.
func TestOlderVersionThatLasts(t *testing.T) {
	for _, in := range []struct {
		name  string
		every time.Duration
		newer int // the reading in which the newer version is there once more
		want  int // readings until the older one is taken
	}{
		{"often", 10 * time.Second, 0, 6},
		{"seldom", 40 * time.Second, 0, 3},
		{"not in a row", 40 * time.Second, 2, 5},
	} {
		t.Run(in.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 1)
				o := observer(t, Options{Config: f.config(), Budgets: unlimited})
				task := f.clusters[0].tasks[0]
				arn := f.clusters[0].taskARN(task.id)
				task.version, task.health = 10, "UNHEALTHY"
				was := pass(t, o, 0).Task(arn)
				for n := 1; ; n++ {
					task.version, task.health = 5, "HEALTHY"
					if n == in.newer {
						task.version, task.health = 10, "UNHEALTHY"
					}
					is := pass(t, o, in.every).Task(arn)
					if taken := is.Version == 5 && is.Health == fleet.Healthy && is.Read.Received.After(was.Read.Received); taken || n > 10 {
						if n != in.want || !taken {
							t.Errorf("after %d readings: %+v", n, is)
						}
						break
					}
				}
			})
		})
	}
}

func TestMissingOnceIsNotGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 2)
		c := f.clusters[0]
		o := observer(t, Options{Config: f.config()})
		arn := c.taskARN(c.tasks[0].id)
		a := pass(t, o, 0).Task(arn)
		all := c.tasks
		c.tasks = all[1:]
		b := pass(t, o, 5*time.Second)
		if got := b.Task(arn); got == nil || got.Missing != 1 || got.Read != a.Read {
			t.Fatalf("after one MISSING: %+v", got)
		}
		if len(b.Gaps) != 0 {
			t.Errorf("MISSING is an answer, no gap: %v", gapsOf(b))
		}
		c.tasks = all
		if got := pass(t, o, 5*time.Second).Task(arn); got.Missing != 0 || got.Read == a.Read {
			t.Fatalf("after it came back: %+v", got)
		}
		c.tasks = all[1:]
		begun := time.Now()
		for n := 1; ; n++ {
			s := pass(t, o, 5*time.Second)
			if s.Task(arn) == nil {
				if since := time.Since(begun) - 5*time.Second; n < 3 || since < 15*time.Second {
					t.Errorf("dropped after %d answers in %s", n, since)
				}
				break
			}
			if n > 10 {
				t.Fatal("never dropped")
			}
		}
		c.tasks = all
		if s := pass(t, o, 20*time.Second); s.Task(arn) == nil {
			t.Error("it is listed and described again, and does not come back")
		}
	})
}

// A task that a list has and of which DescribeTasks has never said anything but MISSING
// is not known to be gone: nobody may take it for stopped.
func TestMissingFromTheFirstIsAGapWhileListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		o := observer(t, Options{Config: f.config()})
		task := f.clusters[0].tasks[0]
		task.hidden = true
		pass(t, o, 0)
		for range 60 {
			pass(t, o, 5*time.Second)
		}
		s := pass(t, o, 5*time.Second)
		g, ok := gapOf(s, fleet.GapTasks)
		if !ok || len(s.Tasks) != 0 || !g.MayHide(fleet.ClusterARN(f.clusters[0].arn()), fleet.ServiceID{Cluster: "c00", Name: "s0000"}, f.clusters[0].taskARN(task.id)) {
			t.Fatalf("after five minutes: %d tasks, gaps %+v", len(s.Tasks), s.Gaps)
		}
		f.clusters[0].tasks = nil
		for range 60 {
			pass(t, o, 5*time.Second)
		}
		if g, ok := gapOf(pass(t, o, 5*time.Second), fleet.GapTasks); ok {
			t.Errorf("no list has it any more: %+v", g)
		}
	})
}

// DescribeTasks says MISSING of a task that one of the lists goes on having, or that
// nobody could list whole since: it stays, for hours, and is there when it is read
// again.
func TestMissingAndListedIsNotGone(t *testing.T) {
	deny := func(desired string) func(*fake, *fakeTask) {
		return func(f *fake, _ *fakeTask) {
			f.fault = func(c fakeCall) *fakeReply {
				if c.op == "ListTasks" && c.desired == desired {
					return ecsError("AccessDeniedException")
				}
				return nil
			}
			f.clusters[0].tasks = nil
		}
	}
	hide := func(desired string) func(*fake, *fakeTask) {
		return func(_ *fake, task *fakeTask) { task.desired, task.hidden = desired, true }
	}
	for name, c := range map[string]struct {
		begin func(*fake, *fakeTask)
		gone  bool
	}{
		"listed as RUNNING":           {hide("RUNNING"), false},
		"listed as STOPPED":           {hide("STOPPED"), false},
		"RUNNING ones are not listed": {deny("RUNNING"), false},
		"STOPPED ones are not listed": {deny("STOPPED"), false},
		"in neither list":             {func(f *fake, _ *fakeTask) { f.clusters[0].tasks = nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 1)
				o := observer(t, Options{Config: f.config()})
				task, all := f.clusters[0].tasks[0], f.clusters[0].tasks
				arn := pass(t, o, 0).Tasks[0].ARN
				c.begin(f, task)
				for range 12 * 60 {
					if pass(t, o, 5*time.Second).Task(arn) == nil {
						break
					}
				}
				s := pass(t, o, 5*time.Second)
				if got := s.Task(arn); (got == nil) != c.gone || got != nil && got.Missing == 0 {
					t.Fatalf("after an hour: %+v", got)
				}
				f.fault, f.clusters[0].tasks, task.desired, task.hidden = nil, all, "RUNNING", false
				if got := pass(t, o, time.Minute).Task(arn); got == nil || got.Missing != 0 {
					t.Errorf("read again: %+v", got)
				}
			})
		})
	}
}

// A long list of which the page that has the task was read before ECS missed it, and
// the last one after, says nothing yet.
func TestListBegunBeforeTheTaskWasMissedSaysNothing(t *testing.T) {
	begun := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		missed, listed time.Duration // before the list began
		service        string
		want           bool
	}{
		"begun since":              {time.Second, time.Minute, "", true},
		"missed later":             {-time.Second, time.Minute, "", false},
		"it had it":                {time.Minute, -time.Second, "", false},
		"of its service":           {time.Second, time.Minute, "web", true},
		"of another service":       {time.Second, time.Minute, "api", false},
		"missed as the list began": {0, time.Minute, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			missed := &task{service: fleet.ServiceID{Cluster: "prod", Name: "web"}, missing: 1, missingSince: begun.Add(-c.missed), listed: begun.Add(-c.listed)}
			for _, stopped := range []bool{false, true} {
				l := &taskList{cluster: &cluster{tasks: []*task{missed}}, service: c.service, stopped: stopped, chain: &chain{pages: []clock{{tried: begun}}}}
				l.noteUnlisted()
				if got := map[bool]bool{false: missed.unlisted.running, true: missed.unlisted.stopped}[stopped]; got != c.want {
					t.Errorf("stopped %t: %t", stopped, got)
				}
			}
		})
	}
}

// However far apart the answers are, it takes three.
func TestMissingTwiceIsNotGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		o := observer(t, Options{Config: f.config()})
		arn := pass(t, o, 0).Tasks[0].ARN
		f.clusters[0].tasks = nil
		for n := 1; n < 3; n++ {
			if got := pass(t, o, time.Minute).Task(arn); got == nil || got.Missing != n {
				t.Fatalf("after %d answers: %+v", n, got)
			}
		}
		if pass(t, o, time.Minute).Task(arn) != nil {
			t.Error("still there after three")
		}
	})
}

// A task on its way out is no longer in the default list: it is described to
// the end, and stays in the Snapshot long enough to be noticed.
func TestStoppingTaskIsReadToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		c := f.clusters[0]
		o := observer(t, Options{Config: f.config()})
		arn := c.taskARN(c.tasks[0].id)
		targets := pass(t, o, 0).Task(arn).Targets
		for i, status := range []string{"DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"} {
			c.tasks[0].status, c.tasks[0].desired, c.tasks[0].version = status, "STOPPED", 10+i
			if status == "STOPPED" {
				c.tasks[0].ip = "" // the interface is gone
				c.tasks[0].extra = map[string]any{"attachments": []any{map[string]any{"status": "DELETED", "details": []any{
					map[string]any{"name": "privateIPv4Address"}, map[string]any{"name": "privateIPv4Address", "value": ""},
				}}}}
			}
			got := pass(t, o, 5*time.Second).Task(arn)
			if got == nil || string(got.LastStatus) != status {
				t.Fatalf("%s was not seen: %+v", status, got)
			}
			if !slices.Equal(got.Targets, targets) {
				t.Errorf("%s: targets %v, had %v", status, got.Targets, targets)
			}
		}
		stopped := time.Now()
		f.taken()
		for pass(t, o, 5*time.Second).Task(arn) != nil {
			if time.Since(stopped) > 5*time.Minute {
				t.Fatal("it never leaves")
			}
		}
		if stayed := time.Since(stopped); stayed < time.Minute || stayed > 70*time.Second {
			t.Errorf("it stayed for %s", stayed)
		}
		for range 20 { // still listed for an hour
			if pass(t, o, 15*time.Second).Task(arn) != nil {
				t.Fatal("it came back")
			}
		}
		if n := tally(f.taken())["DescribeTasks"]; n != 0 {
			t.Errorf("a STOPPED task was described %d times", n)
		}
		c.tasks = nil
		for range 4 {
			pass(t, o, time.Minute)
		}
		if n := len(o.clusters[c.arn()].closed); n != 0 {
			t.Errorf("%d tasks are remembered that no list has", n)
		}
	})
}

// At least three more passes, however far apart they are.
func TestStoppedTaskStaysForPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		o := observer(t, Options{Config: f.config()})
		arn := f.clusters[0].taskARN(f.clusters[0].tasks[0].id)
		pass(t, o, 0)
		f.clusters[0].tasks[0].status, f.clusters[0].tasks[0].desired = "STOPPED", "STOPPED"
		seen := 0
		for pass(t, o, 10*time.Minute).Task(arn) != nil {
			seen++
		}
		if seen != 1+stoppedStaysPasses {
			t.Errorf("seen %d times", seen)
		}
	})
}

func TestTaskThatCameAndWentBetweenReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		c := f.clusters[0]
		stoppedAt := func(ago time.Duration) map[string]any {
			return map[string]any{"stoppedAt": epoch(time.Now().Add(-ago)), "stoppedReason": "Essential container in task exited"}
		}
		c.tasks = append(c.tasks, &fakeTask{id: "history", service: "s0000", status: "STOPPED", desired: "STOPPED", extra: stoppedAt(time.Minute)})
		c.tasks = append(c.tasks, &fakeTask{id: "leaving", service: "s0000", status: "DEACTIVATING", desired: "STOPPED"})
		o := observer(t, Options{Config: f.config()})
		s := pass(t, o, 0)
		if s.Task(c.taskARN("history")) != nil {
			t.Error("what ended before castoff began is in the Snapshot")
		}
		if s.Task(c.taskARN("leaving")) == nil {
			t.Error("a task in DEACTIVATING at the start was missed")
		}
		time.Sleep(12 * time.Second)
		c.tasks = append(c.tasks, &fakeTask{id: "flash", service: "s0000", status: "STOPPED", desired: "STOPPED", extra: stoppedAt(5 * time.Second)})
		if got := pass(t, o, 48*time.Second).Task(c.taskARN("flash")); got == nil || got.StoppedReason == "" || got.StoppedAt.IsZero() {
			t.Errorf("a task that lived between two reads: %+v", got)
		}
	})
}

// Tasks of no service are looked at once.
func TestStandaloneTasksAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 0, 0)
		c := f.clusters[0]
		for i := range 250 {
			c.tasks = append(c.tasks, &fakeTask{id: fmt.Sprintf("batch%d", i), status: "RUNNING", desired: "RUNNING"})
		}
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		if s := pass(t, o, 0); len(s.Tasks) != 0 || len(s.Gaps) != 0 {
			t.Errorf("%d tasks, gaps %v", len(s.Tasks), gapsOf(s))
		}
		f.taken()
		for range 24 {
			pass(t, o, 5*time.Second)
		}
		if n := tally(f.taken())["DescribeTasks"]; n != 0 {
			t.Errorf("described %d times again", n)
		}
	})
}

func TestVanishedCluster(t *testing.T) {
	for _, configured := range []bool{false, true} {
		t.Run(fmt.Sprintf("configured=%v", configured), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(2, 1, 2)
				opts := Options{Config: f.config(), Budgets: unlimited}
				if configured {
					opts.Clusters = []string{"c00", f.clusters[1].arn(), "c01"} // twice the same
				}
				o := observer(t, opts)
				a := pass(t, o, 0)
				if len(a.Clusters) != 2 || len(a.Gaps) != 0 {
					t.Fatalf("%d clusters, gaps %v", len(a.Clusters), gapsOf(a))
				}
				f.clusters[1].gone = true
				b := pass(t, o, 65*time.Second)
				if len(b.Tasks) != 4 || len(b.Services) != 2 || !slices.Contains(gapsOf(b), "cluster not_found c01") {
					t.Errorf("after one answer: %d tasks, %d services, gaps %v", len(b.Tasks), len(b.Services), gapsOf(b))
				}
				if a.Tasks[3] != b.Tasks[3] && a.Tasks[3].Read != b.Tasks[3].Read {
					t.Error("its tasks are as if they had been read")
				}
				if a.Tasks[0].Read == b.Tasks[0].Read {
					t.Error("the other cluster's tasks were not read")
				}
				pass(t, o, 65*time.Second)
				c := pass(t, o, 65*time.Second)
				if len(c.Tasks) != 2 || len(c.Services) != 1 || len(c.Clusters) != 1 {
					t.Errorf("after three: %d tasks, %d services, %d clusters", len(c.Tasks), len(c.Services), len(c.Clusters))
				}
				var want []string
				if configured {
					want = []string{"cluster not_found c01"}
				}
				if !slices.Equal(gapsOf(c), want) {
					t.Errorf("gaps %v, want %v", gapsOf(c), want)
				}
				f.clusters[1].gone = false
				pass(t, o, 65*time.Second)
				if d := pass(t, o, 65*time.Second); len(d.Tasks) != 4 || len(d.Gaps) != 0 {
					t.Errorf("after it came back: %d tasks, gaps %v", len(d.Tasks), gapsOf(d))
				}
			})
		})
	}
}

func TestDeletedService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 2, 1)
		c := f.clusters[0]
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		pass(t, o, 0)
		gone := c.services[1]
		c.services = c.services[:1]
		b := pass(t, o, time.Minute)
		if len(b.Services) != 2 || !slices.Equal(gapsOf(b), []string{"service not_found s0001"}) {
			t.Errorf("after one answer: %d services, gaps %v", len(b.Services), gapsOf(b))
		}
		pass(t, o, time.Minute)
		d := pass(t, o, time.Minute)
		if len(d.Services) != 1 || len(d.Gaps) != 0 || len(d.TargetGroups) != 2 { // its task is still in its group
			t.Errorf("after three: %d services, %d groups, gaps %v", len(d.Services), len(d.TargetGroups), gapsOf(d))
		}
		if len(d.Tasks) != 2 || len(d.Tasks[1].Targets) != 1 {
			t.Errorf("its tasks went with it")
		}
		c.services = append(c.services, gone)
		if e := pass(t, o, time.Minute); len(e.Services) != 2 || len(e.Gaps) != 0 {
			t.Errorf("after it came back: gaps %v", gapsOf(e))
		}
	})
}

// DescribeServices goes on answering for a deleted service, INACTIVE.
func TestInactiveService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 2, 1)
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		pass(t, o, 0)
		f.clusters[0].services[1].status = "INACTIVE"
		if s := pass(t, o, time.Minute); len(s.Services) != 2 || s.Services[1].Status != "INACTIVE" || len(s.Gaps) != 0 {
			t.Errorf("after one answer: %d services, gaps %v", len(s.Services), gapsOf(s))
		}
		f.fault = func(c fakeCall) *fakeReply { // and is in no list
			if c.op == "ListServices" {
				return &fakeReply{status: 200, body: `{"serviceArns":[]}`}
			}
			return nil
		}
		pass(t, o, time.Minute)
		if s := pass(t, o, time.Minute); len(s.Services) != 1 || len(s.Gaps) != 0 {
			t.Errorf("after three: %d services, gaps %v", len(s.Services), gapsOf(s))
		}
	})
}

// A cluster that was deleted before castoff began, and is listed for a while.
func TestInactiveClusterNobodyAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(2, 1, 1)
		f.fault = func(c fakeCall) *fakeReply {
			if c.op == "DescribeClusters" {
				return &fakeReply{status: 200, body: `{"clusters":[{"clusterArn":"` + f.clusters[0].arn() + `","clusterName":"c00","status":"ACTIVE"},` +
					`{"clusterArn":"` + f.clusters[1].arn() + `","clusterName":"c01","status":"INACTIVE"}]}`}
			}
			if c.cluster == "c01" {
				return ecsError("ClusterNotFoundException")
			}
			return nil
		}
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		for range 3 {
			if s := pass(t, o, time.Minute); len(s.Clusters) != 1 || len(s.Gaps) != 0 {
				t.Errorf("%d clusters, gaps %v", len(s.Clusters), gapsOf(s))
			}
		}
		if len(o.clusters) != 2 {
			t.Errorf("it is listed, and forgotten: %d clusters", len(o.clusters))
		}
		f.clusters[1].gone = true
		for range 3 {
			pass(t, o, time.Minute)
		}
		if len(o.clusters) != 1 {
			t.Errorf("no list has it, and it is remembered: %d clusters", len(o.clusters))
		}
	})
}

func TestTargetGroupThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 3, 1)
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		f.groups[1].absent = true
		pass(t, o, 0)
		for range 6 {
			pass(t, o, 20*time.Second)
		}
		s := pass(t, o, 20*time.Second)
		want := map[fleet.GapKind]fleet.Class{
			fleet.GapTargetGroup: fleet.NotFound, fleet.GapTargetHealth: fleet.NotFound,
			fleet.GapAttributes: fleet.NotFound, fleet.GapTags: fleet.NotFound,
		}
		got := make(map[fleet.GapKind]fleet.Class)
		for _, g := range s.Gaps {
			got[g.Kind] = g.Class
			if g.Ref != groupARN("c00-s0001") {
				t.Errorf("gap %+v", g)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("gaps %v", got)
		}
		for _, g := range s.TargetGroups {
			if g.Tags == nil || len(g.Targets) != 1 {
				t.Errorf("%s suffers from it", g.Name)
			}
		}
	})
}

func TestLongListsArePaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 450, 1) // 5 pages of services and tasks, 2 of target groups
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		s := pass(t, o, 0)
		if len(s.Services) != 450 || len(s.Tasks) != 450 || len(s.TargetGroups) != 450 || len(s.Gaps) != 0 {
			t.Errorf("%d services, %d tasks, %d groups, %d gaps", len(s.Services), len(s.Tasks), len(s.TargetGroups), len(s.Gaps))
		}
		n := tally(f.taken())
		if n["ListServices"] != 5 || n["ListTasks"] != 6 || n["DescribeTargetGroups"] != 2 || n["DescribeServices"] != 45 || n["DescribeTags"] != 23 {
			t.Errorf("calls %v", n)
		}
		// With few pages to walk, the cluster's own list finds the replacements
		// of many hot services.
		var hot []fleet.ServiceID
		for _, sv := range s.Services[:50] {
			hot = append(hot, sv.ID)
		}
		time.Sleep(2 * time.Second)
		o.Observe(t.Context(), hot)
		if n := tally(f.taken())["ListTasks"]; n != 5 {
			t.Errorf("%d ListTasks for 50 hot services", n)
		}
	})
}
