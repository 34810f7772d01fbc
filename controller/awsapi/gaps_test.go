package awsapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// refuse answers an operation with a failure of a class.
func refuse(op string, class fleet.Class) *fakeReply {
	if class == fleet.Transient {
		return &fakeReply{err: syscall.ECONNRESET}
	}
	if class == fleet.Invalid {
		return &fakeReply{status: 200, body: "<html>"}
	}
	code := map[fleet.Class]string{fleet.Throttled: "Throttling", fleet.Denied: "AccessDenied"}[class]
	if bucketOf[op] == BalancerReadBucket {
		return elbError(400, code)
	}
	return ecsError(code + "Exception")
}

// failing has some operations fail.
func (f *fake) failing(class fleet.Class, ops ...string) {
	f.fault = func(c fakeCall) *fakeReply {
		if slices.Contains(ops, c.op) {
			return refuse(c.op, class)
		}
		return nil
	}
}

// onInstances puts every task on a container instance of its own.
func (f *fake) onInstances() {
	f.networkMode = fleet.NetworkBridge
	for _, c := range f.clusters {
		for _, t := range c.tasks {
			t.ip, t.extra = "", map[string]any{"containerInstanceArn": ecsARN("container-instance/" + c.name + "/" + t.id)}
		}
	}
}

// A failure to read what has gone since is over.
func TestGapsEndWithWhatTheyAreAbout(t *testing.T) {
	for _, c := range []struct {
		name     string
		clusters []string
		fails    string
		deleted  func(*fake)
	}{
		{"the instance of a task that stopped", nil, "DescribeContainerInstances", func(f *fake) { f.clusters[0].tasks = nil }},
		{"the groups of services that have none", nil, "DescribeTargetGroups", func(f *fake) { f.clusters[0].services[0].groups = nil }},
		{"a cluster configured twice", []string{"c00", ecsARN("cluster/c00")}, "DescribeClusters", func(*fake) {}},
		{"a service", nil, "DescribeServices", func(f *fake) { f.clusters[0].services, f.clusters[0].tasks = nil, nil }},
		{"a cluster", nil, "ListTasks", func(f *fake) { f.clusters[0].gone = true }},
		{"a definition", nil, "DescribeTaskDefinition", func(f *fake) { f.clusters[0].services, f.clusters[0].tasks = nil, nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 1)
				f.onInstances()
				f.failing(fleet.Transient, c.fails)
				o := observer(t, Options{Config: f.config(), Clusters: c.clusters, Budgets: unlimited})
				if s := pass(t, o, 0); len(s.Gaps) == 0 {
					t.Fatal("no gap")
				}
				c.deleted(f)
				if c.name != "a cluster configured twice" && c.name != "a service" { // nothing more is asked
					for range 6 {
						pass(t, o, time.Minute)
					}
				}
				f.fault = nil
				for range 4 {
					pass(t, o, time.Minute)
				}
				if s := pass(t, o, 0); len(s.Gaps) != 0 {
					t.Errorf("gaps %v", gapsOf(s))
				}
			})
		})
	}
}

// LIVENESS: once everything can be read again, no Gap is left after three
// inventories, whatever failed before and whatever was deleted meanwhile. What
// was refused for good is asked for less often, and may take so much longer.
func TestNoGapOutlivesItsCause(t *testing.T) {
	t.Parallel()
	operations := slices.Sorted(maps.Keys(bucketOf))
	operations = slices.DeleteFunc(operations, func(op string) bool { return bucketOf[op] == RegistrationBucket })
	rapid.Check(t, func(r *rapid.T) {
		configured := rapid.Bool().Draw(r, "configured")
		class := rapid.SampledFrom([]fleet.Class{fleet.Transient, fleet.Throttled, fleet.Denied, fleet.Invalid}).Draw(r, "class")
		onInstances := rapid.Bool().Draw(r, "on instances")
		type step struct {
			ops    []string
			delete string
			hot    bool
			after  time.Duration
		}
		steps := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) step {
			return step{
				ops:    rapid.SliceOfNDistinct(rapid.SampledFrom(operations), 0, 3, rapid.ID).Draw(r, "failing"),
				delete: rapid.SampledFrom([]string{"", "", "task", "stop", "service", "groups", "cluster"}).Draw(r, "delete"),
				hot:    rapid.Bool().Draw(r, "hot"),
				after:  rapid.SampledFrom([]time.Duration{2 * time.Second, 5 * time.Second, 20 * time.Second, time.Minute}).Draw(r, "after"),
			}
		}), 1, 10).Draw(r, "steps")
		var failed error
		synctest.Test(t, func(t *testing.T) {
			f := newFake(2, 2, 2)
			if onInstances {
				f.onInstances()
			}
			o := Options{Config: f.config(), Budgets: unlimited}
			if configured {
				o.Clusters = []string{"c00", "c01", f.clusters[1].arn()}
			}
			obs := observer(t, o)
			var hot []fleet.ServiceID
			for _, st := range steps {
				f.failing(class, st.ops...)
				f.remove(st.delete)
				hot = nil
				if st.hot {
					hot = []fleet.ServiceID{{Cluster: "c01", Name: "s0001"}}
				}
				obs.Observe(t.Context(), hot)
				time.Sleep(st.after)
			}
			f.fault = nil
			inventories := 3
			if !passing(class) {
				inventories += aloneFactor
			}
			var s *fleet.Snapshot
			for range inventories*6 + 1 {
				s = obs.Observe(t.Context(), hot)
				time.Sleep(10 * time.Second)
			}
			gaps := slices.DeleteFunc(gapsOf(s), func(g string) bool {
				return configured && f.clusters[1].gone && strings.HasPrefix(g, "cluster not_found")
			})
			if len(gaps) != 0 {
				failed = fmt.Errorf("gaps %v", gaps)
			}
		})
		if failed != nil {
			r.Fatal(failed)
		}
	})
}

// remove deletes something from the second cluster.
func (f *fake) remove(what string) {
	c := f.clusters[1]
	switch {
	case what == "task" && len(c.tasks) > 0:
		c.tasks = c.tasks[1:]
	case what == "stop" && len(c.tasks) > 0:
		c.tasks[0].status, c.tasks[0].desired = "STOPPED", "STOPPED"
	case what == "service" && len(c.services) > 0:
		gone := c.services[len(c.services)-1].name
		c.services = c.services[:len(c.services)-1]
		c.tasks = slices.DeleteFunc(c.tasks, func(t *fakeTask) bool { return t.service == gone })
	case what == "groups" && len(c.services) > 0:
		c.services[0].groups = nil
	case what == "cluster":
		c.gone = true
	}
}
