package awsapi

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// stop fills the cluster's list of what stopped in the last hour.
func (c *fakeCluster) stop(n int, service string) {
	for i := range n {
		c.tasks = append(c.tasks, &fakeTask{
			id: fmt.Sprintf("stopped-%s-%05d", service, i), service: service, status: "STOPPED", desired: "STOPPED", version: 9,
			extra: map[string]any{"stoppedAt": epoch(c.born.Add(time.Minute))},
		})
	}
}

// Whatever has stopped in the last hour, the sentinel and the lists that find
// new tasks keep their pace, and looking through the rest costs little.
func TestStoppedTasksCostLittle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ stopped, atMost int }{{0, 5}, {1000, 50}, {5000, 65}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(1, 10, 20) // 200 tasks
			f.clusters[0].stop(c.stopped, "s0000")
			o := observer(t, Options{Config: f.config()})
			for range 30 { // the first readings of all
				pass(t, o, 5*time.Second)
			}
			f.taken()
			var oldest time.Duration
			for range 60 { // 5 minutes
				s := pass(t, o, 5*time.Second)
				for _, task := range s.Tasks {
					oldest = max(oldest, task.Read.Age(s.At))
				}
			}
			n := map[string]int{}
			for _, call := range f.taken() {
				n[call.op+call.desired]++
			}
			t.Logf("%d stopped: %v, oldest task %s", c.stopped, n, oldest)
			if n["ListTasksSTOPPED"] > c.atMost {
				t.Errorf("%d stopped: %d calls for them in 5 minutes", c.stopped, n["ListTasksSTOPPED"])
			}
			if n["ListTasksRUNNING"] < 40 || oldest > 0 {
				t.Errorf("%d stopped: %d calls for new tasks, oldest task %s", c.stopped, n["ListTasksRUNNING"], oldest)
			}
		})
	}
}

// A task that left has its service asked for others that came and went with
// it, soon, and once.
func TestLossAsksForWhatElseStopped(t *testing.T) {
	for name, lose := range map[string]func(c *fakeCluster){
		"a task stops": func(c *fakeCluster) {
			c.tasks[0].status, c.tasks[0].desired, c.tasks[0].version = "STOPPED", "STOPPED", 9
		},
		"a task leaves": func(c *fakeCluster) {
			c.tasks[0].status, c.tasks[0].desired, c.tasks[0].version = "DEACTIVATING", "STOPPED", 9
		},
		"a task is missing": func(c *fakeCluster) { c.tasks = c.tasks[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 3, 2)
				c := f.clusters[0]
				o := observer(t, Options{Config: f.config(), InventoryInterval: time.Hour})
				for range 4 {
					pass(t, o, 5*time.Second)
				}
				lose(c)
				c.tasks = append(c.tasks, &fakeTask{
					id: "flash", service: "s0000", status: "STOPPED", desired: "STOPPED", version: 9,
					extra: map[string]any{"stoppedAt": epoch(time.Now()), "stoppedReason": "Essential container in task exited"},
				})
				f.taken()
				begun := time.Now()
				for pass(t, o, 5*time.Second).Task(c.taskARN("flash")) == nil {
					if time.Since(begun) > 20*time.Second {
						t.Fatal("it was not found")
					}
				}
				for range 60 {
					pass(t, o, 5*time.Second)
				}
				asked := 0
				for _, call := range f.taken() {
					if call.op == "ListTasks" && call.desired == "STOPPED" {
						asked++
						if call.service != "s0000" {
							t.Errorf("asked for %q", call.service)
						}
					}
				}
				if asked < 1 || asked > 2 { // the one that was found has stopped as well
					t.Errorf("asked %d times", asked)
				}
				if n := len(o.clusters[c.arn()].losses); n != 0 {
					t.Errorf("%d services are still asked for", n)
				}
			})
		})
	}
}

// What a service's own numbers say is found at the next inventory's pace.
func TestCountersShowALoss(t *testing.T) {
	for name, extra := range map[string]map[string]any{
		"fewer are running": {"runningCount": 1},
		"one failed": {"deployments": []any{map[string]any{
			"id": "ecs-svc/s0000", "status": "PRIMARY", "failedTasks": 1, "taskDefinition": ecsARN("task-definition/s0000:1"),
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 3, 2)
				o := observer(t, Options{Config: f.config(), Budgets: unlimited})
				pass(t, o, 0)
				f.clusters[0].services[0].extra = extra
				f.taken()
				for range 13 {
					pass(t, o, 5*time.Second)
				}
				calls := f.taken()
				if !slices.ContainsFunc(calls, func(c fakeCall) bool { return c.desired == "STOPPED" && c.service == "s0000" }) {
					t.Errorf("its STOPPED list was not asked for: %v", tally(calls))
				}
			})
		})
	}
}

// Many services that lose tasks at a time have the cluster's list walked
// instead of one each, and a long list of one of them is walked less often.
func TestManyLosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 50, 4)
		c := f.clusters[0]
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		for range 12 {
			pass(t, o, 5*time.Second)
		}
		f.taken()
		begun := time.Now()
		for i := range 24 { // a roll-out: each service loses a task each half minute
			for j, task := range c.tasks[:200] {
				if j%4 == i/6 {
					task.status, task.desired, task.version = "DEACTIVATING", "STOPPED", 9
				}
			}
			pass(t, o, 5*time.Second)
		}
		asked := 0
		for _, call := range f.taken() {
			if call.desired == "STOPPED" {
				asked++
			}
		}
		if most := int(time.Since(begun)/(15*time.Second)) * 3; asked < 4 || asked > most {
			t.Errorf("%d calls for what stopped, want 4 to %d", asked, most)
		}
		for range 12 {
			pass(t, o, 5*time.Second)
		}
		if n := len(o.clusters[c.arn()].losses); n != 0 {
			t.Errorf("%d services are still asked for", n)
		}
	})
}

// A service that is deleted with its tasks leaves no Gap: the cluster's list has
// what stopped.
func TestLossOfADeletedService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 2, 1)
		c := f.clusters[0]
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		pass(t, o, 0)
		f.fault = func(call fakeCall) *fakeReply {
			if call.op == "ListTasks" && call.service == "s0000" {
				return ecsError("ServiceNotFoundException")
			}
			return nil
		}
		c.tasks[0].status, c.tasks[0].desired, c.tasks[0].version = "STOPPED", "STOPPED", 9
		for range 6 {
			if s := pass(t, o, 5*time.Second); len(s.Gaps) != 0 {
				t.Errorf("gaps %v", gapsOf(s))
			}
		}
	})
}

// Where the budget is short, what has stopped comes last, but comes.
func TestStoppedListsGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 5, 100) // 5 DescribeTasks a second are due, and one is allowed
		f.clusters[0].stop(1000, "s0000")
		o := observer(t, Options{Config: f.config(), Interval: time.Second, HotInterval: time.Second, Budgets: Budgets{ClusterResourceRead: 1}, InventoryInterval: 10 * time.Second})
		for range 150 {
			pass(t, o, time.Second)
		}
		f.taken()
		for range 300 {
			pass(t, o, time.Second)
		}
		n := make(map[string]int)
		for _, c := range f.taken() {
			n[c.op+c.desired]++
		}
		if n["ListTasksSTOPPED"] == 0 || n["ListTasksSTOPPED"] > n["DescribeTasks"]/12 {
			t.Errorf("calls %v", n)
		}
	})
}

// What the region keeps of stopped tasks for an hour is looked through well
// within it, however long the list.
func TestStoppedListIsWalkedWithinTheHour(t *testing.T) {
	o := observer(t, Options{Config: newFake(1, 1, 1).config()})
	for _, pages := range []int{1, 50, 10_000} {
		l := &taskList{stopped: true, chain: &chain{pages: make([]clock, pages)}, every: o.opts.InventoryInterval}
		if got := o.listInterval(l); got < o.opts.InventoryInterval || got > 15*time.Minute {
			t.Errorf("%d pages: every %s", pages, got)
		}
	}
}
