package awsapi_test

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// counter counts the attempts of calls.
type counter struct {
	mu       sync.Mutex
	requests map[string]int // operation and result
}

func (c *counter) Request(_, operation, _, result string, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests == nil {
		c.requests = make(map[string]int)
	}
	c.requests[operation+" "+result]++
}

func (c *counter) Budget(string, float64)           {}
func (c *counter) PacingWait(string, time.Duration) {}

func (c *counter) taken() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.requests
	c.requests = nil
	return r
}

// config reaches the region through the unmodified SDK.
func config(r *sim.Region) aws.Config {
	return aws.Config{
		Region:       "eu-central-1",
		Credentials:  credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
		HTTPClient:   sim.Doer{Region: r},
		BaseEndpoint: aws.String("https://aws.invalid"),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 200 * time.Millisecond, nil })
			})
		},
	}
}

func region(t *testing.T, o sim.Options, cluster string, c sim.ClusterOptions, specs ...sim.ServiceSpec) *sim.Region {
	t.Helper()
	r := sim.New(o)
	if err := r.AddCluster(cluster, c); err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		s.Cluster = cluster
		if err := r.AddService(s); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func newObserver(t *testing.T, o awsapi.Options) *awsapi.Observer {
	t.Helper()
	obs, err := awsapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return obs
}

// Whatever the shape of a service, its tasks' targets are the rows that the
// region registered for them.
func TestTargetsAreTheRegionsOwn(t *testing.T) {
	settled := func(s sim.ServiceSpec) sim.ServiceSpec {
		s.Settled = true
		s.Name = "web"
		return s
	}
	one := []sim.GroupSpec{{}}
	for _, c := range []struct {
		name string
		spec sim.ServiceSpec
	}{
		{"reference workload", sim.ReferenceWorkload("c", "web")},
		{"IPv6", settled(sim.ServiceSpec{IPv6: true, Groups: []sim.GroupSpec{{Name: "four"}, {Name: "six", IPAddressType: "ipv6"}}})},
		{"bridge", settled(sim.ServiceSpec{LaunchType: fleet.EC2, NetworkMode: fleet.NetworkBridge, Desired: 6, Groups: one})},
		{"host", settled(sim.ServiceSpec{LaunchType: fleet.EC2, NetworkMode: fleet.NetworkHost, Groups: one})},
		{"daemon", settled(sim.ServiceSpec{LaunchType: fleet.EC2, NetworkMode: fleet.NetworkBridge, Scheduling: fleet.Daemon, Groups: one})},
		{"CODE_DEPLOY", settled(sim.ServiceSpec{Controller: fleet.ControllerCodeDeploy, Groups: one})},
		{"EXTERNAL", settled(sim.ServiceSpec{Controller: fleet.ControllerExternal, Groups: one})},
		{"no load balancer", settled(sim.ServiceSpec{})},
		{"several groups", settled(sim.ServiceSpec{
			Containers: []sim.ContainerSpec{{Name: "app", Ports: []int{8080, 9090}}},
			Groups:     []sim.GroupSpec{{Port: 8080}, {Port: 9090}, {Name: "again", Port: 8080}},
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := region(t, sim.Options{Seed: 1}, "c", sim.ClusterOptions{Instances: 3}, c.spec)
				o := newObserver(t, awsapi.Options{Config: config(r)})
				if err := o.Preflight(t.Context()); err != nil {
					t.Fatal(err)
				}
				s := o.Observe(t.Context(), nil)
				if len(s.Gaps) != 0 {
					t.Errorf("gaps %v", s.Gaps)
				}
				infos := r.Tasks(fleet.ServiceID{Cluster: "c", Name: "web"})
				if len(infos) == 0 || len(infos) != len(s.Tasks) {
					t.Fatalf("%d tasks, the region has %d", len(s.Tasks), len(infos))
				}
				for _, info := range infos {
					task := s.Task(info.ARN)
					want := slices.SortedFunc(slices.Values(info.Targets), fleet.TargetKey.Compare)
					if !slices.Equal(task.Targets, want) {
						t.Errorf("targets %v, the region has %v", task.Targets, want)
					}
					for _, key := range task.Targets {
						if row := s.Target(key); row == nil || !row.Healthy() || s.Owner(key) != task {
							t.Errorf("row %v of %s: %v", key, task.ARN.ID(), row)
						}
					}
				}
			})
		})
	}
}

// A blue/green service's tasks are looked for in both groups, wherever they are.
func TestAlternateGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := sim.ServiceSpec{Name: "web", Settled: true, Groups: []sim.GroupSpec{{Name: "blue", Alternate: true}}}
		r := region(t, sim.Options{Seed: 1}, "c", sim.ClusterOptions{}, spec)
		id := fleet.ServiceID{Cluster: "c", Name: "web"}
		o := newObserver(t, awsapi.Options{Config: config(r)})
		o.Observe(t.Context(), nil)
		if err := r.Deploy(id); err != nil {
			t.Fatal(err)
		}
		groups := make(map[string]bool)
		for range 200 {
			time.Sleep(5 * time.Second)
			s := o.Observe(t.Context(), nil)
			for _, task := range s.Tasks {
				for _, key := range task.Targets {
					if row := s.Target(key); row != nil && row.Healthy() && s.Owner(key) == task {
						groups[key.Group.Name()] = true
					}
				}
			}
		}
		if len(groups) != 2 {
			t.Errorf("tasks were healthy in %v", slices.Sorted(maps.Keys(groups)))
		}
	})
}

// Every reading says by how much its reply may be older than its request.
func TestReadingsSayHowOldRepliesMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := region(t, sim.Options{Seed: 1}, "c", sim.ClusterOptions{}, sim.ServiceSpec{Name: "web", Settled: true, Groups: []sim.GroupSpec{{Name: "web"}}})
		const age = 3 * time.Second
		s := newObserver(t, awsapi.Options{Config: config(r), ReplyAge: age}).Observe(t.Context(), nil)
		if len(s.Tasks) == 0 || len(s.TargetGroups) == 0 || len(s.Services) == 0 {
			t.Fatalf("%d tasks, %d groups, %d services", len(s.Tasks), len(s.TargetGroups), len(s.Services))
		}
		for what, read := range map[string]fleet.Read{
			"task": s.Tasks[0].Read, "group": s.TargetGroups[0].Read, "service": s.Services[0].Read, "cluster": s.Clusters[0].Read,
		} {
			if !read.Earliest().Equal(read.Sent.Add(-age)) {
				t.Errorf("the %s was read at %+v, and is not of before %s", what, read, read.Earliest())
			}
		}
	})
}

// The four steps of a hung task: each status is seen, at the hot interval, and
// every Read holds an instant at which the region said so.
func TestHungTaskIsSeenToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := region(t, sim.Options{Seed: 7, Latency: 40 * time.Millisecond}, "c", sim.ClusterOptions{}, sim.ReferenceWorkload("c", "web"))
		id := fleet.ServiceID{Cluster: "c", Name: "web"}
		o := newObserver(t, awsapi.Options{Config: config(r)})
		o.Observe(t.Context(), nil)
		sick := r.Tasks(id)[0].ARN
		if err := r.Hang(sick); err != nil {
			t.Fatal(err)
		}
		statuses := make(map[fleet.TaskStatus]bool)
		states := make(map[fleet.TargetState]bool)
		var unhealthy, draining fleet.Read
		var calm *fleet.Task // the last reading before UNHEALTHY
		var hot []fleet.ServiceID
		for begun := time.Now(); time.Since(begun) < 15*time.Minute; {
			s := o.Observe(t.Context(), hot)
			task := s.Task(sick)
			if task == nil {
				break
			}
			statuses[task.LastStatus] = true
			if task.Failing() && unhealthy.Never() {
				unhealthy, hot = task.Read, []fleet.ServiceID{id}
			}
			if !task.Failing() && unhealthy.Never() {
				calm = task
			}
			if row := s.Target(task.Targets[0]); row != nil {
				states[row.State] = true
				if row.Draining() && draining.Never() {
					draining = s.TargetGroup(row.Key.Group).Read
				}
			}
			if len(hot) == 0 {
				time.Sleep(5 * time.Second)
			} else {
				time.Sleep(2 * time.Second)
			}
		}
		for _, status := range []fleet.TaskStatus{fleet.Running, fleet.Deactivating, fleet.Stopping, fleet.Deprovisioning, fleet.Stopped} {
			if !statuses[status] {
				t.Errorf("%s was never seen", status)
			}
		}
		if !states[fleet.TargetHealthy] || !states[fleet.TargetDraining] || states[fleet.TargetUnhealthy] {
			t.Errorf("states seen: %v", slices.Sorted(maps.Keys(states)))
		}
		truth := r.Truth()[0]
		if truth.Unhealthy.Before(calm.Read.Sent) || truth.Unhealthy.After(unhealthy.Received) {
			t.Errorf("UNHEALTHY at %s, read between %s and %s", truth.Unhealthy, calm.Read.Sent, unhealthy.Received)
		}
		if at := truth.Targets[0].Detach; at.After(draining.Received) || draining.Sent.Sub(at) > 2100*time.Millisecond {
			t.Errorf("detach at %s, read from %s to %s", at, draining.Sent, draining.Received)
		}
	})
}

// Nothing is lost while AWS throttles everyone: the published limits, and more
// tasks and groups than they allow to be read at the default clocks.
func TestPublishedLimitsAreNeverHit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var specs []sim.ServiceSpec
		for i := range 60 {
			s := sim.ReferenceWorkload("c", "web-"+strings.Repeat("x", i%3)+string(rune('a'+i/26))+string(rune('a'+i%26)))
			s.Desired = 10
			specs = append(specs, s)
		}
		r := region(t, sim.Options{Seed: 3, Throttle: true}, "c", sim.ClusterOptions{}, specs...)
		n := new(counter)
		o := newObserver(t, awsapi.Options{Config: config(r), Recorder: n})
		var s *fleet.Snapshot
		for range 90 {
			s = o.Observe(t.Context(), nil)
			time.Sleep(2 * time.Second)
		}
		if len(s.Gaps) != 0 || len(s.Tasks) != 600 || len(s.TargetGroups) != 60 {
			t.Errorf("%d tasks, %d groups, gaps %v", len(s.Tasks), len(s.TargetGroups), s.Gaps)
		}
		for what, times := range n.taken() {
			if !strings.HasSuffix(what, " ok") {
				t.Errorf("%s: %d times", what, times)
			}
		}
	})
}

// Each of the region's faults is one class, and leaves when it does.
func TestFaultsOfTheRegion(t *testing.T) {
	for effect, want := range map[sim.Effect]fleet.Class{
		sim.Deny: fleet.Denied, sim.Throttle: fleet.Throttled, sim.ServerError: fleet.Transient, sim.Unavailable: fleet.Transient,
		sim.LoseReply: fleet.Transient, sim.LoseRequest: fleet.Transient, sim.Garbage: fleet.Invalid, sim.Truncate: fleet.Invalid, sim.NotFound: fleet.NotFound,
	} {
		for _, op := range []string{"DescribeTargetHealth", "DescribeTasks"} {
			t.Run(string(effect)+" "+op, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := region(t, sim.Options{Seed: 1}, "c", sim.ClusterOptions{}, sim.ReferenceWorkload("c", "web"), sim.ReferenceWorkload("c", "api"))
					o := newObserver(t, awsapi.Options{Config: config(r), CalmInterval: 5 * time.Second})
					a := o.Observe(t.Context(), nil)
					fault := sim.Fault{Operation: op, Effect: effect}
					if op == "DescribeTargetHealth" {
						fault.Resource = "targetgroup/api"
					}
					lift := r.Fault(fault)
					time.Sleep(5 * time.Second)
					b := o.Observe(t.Context(), nil)
					if len(b.Gaps) != 1 || b.Gaps[0].Class != want {
						t.Errorf("gaps %v, want one of class %s", b.Gaps, want)
					}
					if len(b.Tasks) != len(a.Tasks) || len(b.TargetGroups[0].Targets) != 2 || len(b.TargetGroups[1].Targets) != 2 {
						t.Errorf("something was lost: %d tasks, groups %v", len(b.Tasks), b.TargetGroups)
					}
					lift()
					for range 2 {
						time.Sleep(5 * time.Second)
						b = o.Observe(t.Context(), nil)
					}
					if len(b.Gaps) != 0 {
						t.Errorf("gaps stay: %v", b.Gaps)
					}
				})
			})
		}
	}
}

// ECS says in the service's events which tasks it started to balance zones, and nowhere
// else.
func TestMovedTasksAreTheRegionsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := sim.ReferenceWorkload("prod", "web")
		spec.Settled, spec.Desired, spec.Rebalance = true, 6, true
		r := region(t, sim.Options{Seed: 1}, "prod", sim.ClusterOptions{}, spec)
		id := fleet.ServiceID{Cluster: "prod", Name: "web"}
		known := map[string]bool{}
		for _, task := range r.Tasks(id) {
			known[task.ARN.ID()] = true
			if task.Zone == "eu-central-1a" {
				if err := r.StopTask(task.ARN, ""); err != nil {
					t.Fatal(err)
				}
				if _, err := r.RunTask("prod", "shift-the-zones"); err != nil { // what comes instead falls anywhere
					t.Fatal(err)
				}
			}
		}
		o := newObserver(t, awsapi.Options{Config: config(r)})
		o.Observe(t.Context(), nil)
		time.Sleep(time.Hour)
		moved := o.Observe(t.Context(), nil).Service(id).Moved
		if len(moved) == 0 {
			t.Error("none was moved")
		}
		for _, task := range r.Tasks(id) {
			if slices.Contains(moved, task.ARN.ID()) && (known[task.ARN.ID()] || task.Zone != "eu-central-1a") {
				t.Errorf("%s in %s was not started to balance zones", task.ARN.ID(), task.Zone)
			}
		}
	})
}
