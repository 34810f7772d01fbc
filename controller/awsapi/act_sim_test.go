package awsapi_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// acted is a region of one service that has been observed once.
type acted struct {
	region *sim.Region
	o      *awsapi.Observer
	n      *counter
	target fleet.TargetKey
	task   fleet.TaskARN
}

func act(t *testing.T, spec sim.ServiceSpec) *acted {
	t.Helper()
	spec.Name, spec.Settled = "web", true
	p := sim.DefaultParams()
	p.NeverReregister = true
	a := &acted{n: new(counter)}
	a.region = region(t, sim.Options{Seed: 1, Params: &p}, "c", sim.ClusterOptions{Instances: 3}, spec)
	a.o = newObserver(t, awsapi.Options{Config: config(a.region), Recorder: a.n})
	s := a.o.Observe(t.Context(), nil)
	if len(s.Gaps) != 0 || len(s.Tasks) == 0 {
		t.Fatalf("%d tasks, gaps %v", len(s.Tasks), s.Gaps)
	}
	targets := s.Tasks[0].Targets
	a.task, a.target = s.Tasks[0].ARN, targets[len(targets)-1]
	a.n.taken()
	return a
}

// row is what the region says of the target, in the next pass.
func (a *acted) row(t *testing.T) *fleet.Target {
	t.Helper()
	time.Sleep(time.Second)
	s := a.o.Observe(t.Context(), nil)
	return s.Target(a.target)
}

func (a *acted) state(t *testing.T) fleet.TargetState {
	t.Helper()
	if row := a.row(t); row != nil {
		return row.State
	}
	return "gone"
}

func (a *acted) deregister(ctx context.Context) error {
	return a.o.Deregister(ctx, a.target.Group, []fleet.TargetKey{a.target})
}

func (a *acted) register(ctx context.Context) error {
	return a.o.Register(ctx, a.target.Group, []awsapi.Registration{{Key: a.target}})
}

// Out and in again, whatever a target is; and the pass after it shows it.
func TestTargetsGoAndComeBack(t *testing.T) {
	for name, spec := range map[string]sim.ServiceSpec{
		"reference workload": sim.ReferenceWorkload("c", "web"),
		"IPv6":               {IPv6: true, Groups: []sim.GroupSpec{{Name: "six", IPAddressType: "ipv6"}}},
		"bridge":             {LaunchType: fleet.EC2, NetworkMode: fleet.NetworkBridge, Desired: 6, Groups: []sim.GroupSpec{{}}},
		"host":               {LaunchType: fleet.EC2, NetworkMode: fleet.NetworkHost, Groups: []sim.GroupSpec{{}}},
		"another port": {
			Containers: []sim.ContainerSpec{{Name: "app", Ports: []int{8080, 9090}}}, Groups: []sim.GroupSpec{{Name: "a", Port: 8080}, {Name: "b", Port: 9090}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := act(t, spec)
				begun := time.Now()
				if err := a.deregister(t.Context()); err != nil {
					t.Fatal(err)
				}
				if state := a.state(t); state != fleet.TargetDraining || time.Since(begun) > 1100*time.Millisecond {
					t.Errorf("deregistered, it is %s after %s", state, time.Since(begun))
				}
				if err := a.register(t.Context()); err != nil {
					t.Fatal(err)
				}
				if state := a.state(t); state != fleet.TargetInitial {
					t.Errorf("registered, it is %s", state)
				}
				time.Sleep(10 * time.Minute)
				s := a.o.Observe(t.Context(), nil)
				if row := s.Target(a.target); row == nil || !row.Healthy() || s.Owner(a.target).ARN != a.task {
					t.Errorf("in the end: %+v", row)
				}
				if len(s.Gaps) != 0 {
					t.Errorf("gaps %v", s.Gaps)
				}
			})
		})
	}
}

// AWS does nothing about a target on another port, and says that all is well: so
// it must be seen in the rows.
func TestWrongPortLeavesTheTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := act(t, sim.ReferenceWorkload("c", "web"))
		wrong := fleet.NewTargetKey(a.target.Group, a.target.ID, a.target.Port+1)
		if err := a.o.Deregister(t.Context(), wrong.Group, []fleet.TargetKey{wrong}); err != nil {
			t.Error(err)
		}
		if state := a.state(t); state != fleet.TargetHealthy {
			t.Errorf("it is %s", state)
		}
	})
}

// SAFETY: whatever goes wrong with a write, the error's class says what, and
// Applied never denies what has happened.
func TestFaultsOfTheRegionOnWrites(t *testing.T) {
	for effect, want := range map[sim.Effect]struct {
		class    fleet.Class
		maybe    bool
		attempts int
	}{
		sim.Deny:        {fleet.Denied, false, 1},
		sim.Throttle:    {fleet.Throttled, false, 3},
		sim.NotFound:    {fleet.NotFound, false, 1},
		sim.ServerError: {fleet.Transient, true, 3},
		sim.Unavailable: {fleet.Transient, true, 3},
		sim.LoseRequest: {fleet.Transient, true, 3},
		sim.LoseReply:   {fleet.Transient, true, 3},
		sim.Stall:       {fleet.Transient, true, 1},
		sim.Garbage:     {fleet.Invalid, true, 1},
		sim.Truncate:    {fleet.Invalid, true, 1},
	} {
		for _, op := range []string{"DeregisterTargets", "RegisterTargets"} {
			t.Run(string(effect)+" "+op, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a := act(t, sim.ReferenceWorkload("c", "web"))
					do, done := a.deregister, fleet.TargetDraining
					if op == "RegisterTargets" {
						if err := a.deregister(t.Context()); err != nil {
							t.Fatal(err)
						}
						do, done = a.register, fleet.TargetInitial
					}
					before := a.state(t)
					a.n.taken()
					lift := a.region.Fault(sim.Fault{Operation: op, Effect: effect})
					ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
					defer cancel()
					begun := time.Now()
					err := do(ctx)
					if awsapi.Classify(err) != want.class || awsapi.Applied(err) != want.maybe {
						t.Errorf("class %q, applied %v: %v", awsapi.Classify(err), awsapi.Applied(err), err)
					}
					if n := a.n.taken()[op+" "+string(want.class)]; n != want.attempts {
						t.Errorf("%d attempts", n)
					}
					if took := time.Since(begun); (effect == sim.Stall) != (took == 4*time.Second) || took > 4*time.Second {
						t.Errorf("took %s", took)
					}
					after := a.state(t)
					if after != before && !awsapi.Applied(err) {
						t.Errorf("it was %s and is %s: %v", before, after, err)
					}
					if lost := effect == sim.LoseReply || effect == sim.Garbage || effect == sim.Truncate; lost != (after == done) {
						t.Errorf("it was %s and is %s", before, after)
					}
					lift() // and once more is once
					if err := do(t.Context()); err != nil {
						t.Error(err)
					}
					if state := a.state(t); state != done {
						t.Errorf("in the end it is %s", state)
					}
				})
			})
		}
	}
}

// A reply that is lost once is no failure: the SDK asks again.
func TestLostReplyIsMadeGoodByTheRetry(t *testing.T) {
	for _, effect := range []sim.Effect{sim.LoseReply, sim.LoseRequest, sim.ServerError, sim.Throttle} {
		t.Run(string(effect), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := act(t, sim.ReferenceWorkload("c", "web"))
				a.region.Fault(sim.Fault{Operation: "DeregisterTargets", Effect: effect, Count: 1})
				if err := a.deregister(t.Context()); err != nil {
					t.Error(err)
				}
				if state := a.state(t); state != fleet.TargetDraining {
					t.Errorf("it is %s", state)
				}
			})
		})
	}
}

// Under AWS's own limits: castoff's budget keeps clear of them, and Refresh
// comes through.
func TestRefreshUnderThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := act(t, sim.ReferenceWorkload("c", "web"))
		if err := a.region.Hang(a.task); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		// AWS throttles, for the first two attempts of each call.
		for _, op := range []string{"DescribeTasks", "DescribeServices", "DescribeTargetHealth"} {
			a.region.Fault(sim.Fault{Operation: op, Effect: sim.Throttle, Count: 2})
		}
		begun := time.Now()
		s := a.o.Refresh(t.Context(), []fleet.TaskARN{a.task}, []fleet.TargetGroupARN{a.target.Group})
		if len(s.Gaps) != 0 || !s.Task(a.task).Failing() || time.Since(begun) != 400*time.Millisecond {
			t.Errorf("after %s: gaps %v", time.Since(begun), s.Gaps)
		}
		if reads := []fleet.Read{s.Task(a.task).Read, s.TargetGroup(a.target.Group).Read, s.Services[0].Read}; reads[0].Sent.Before(begun) || reads[1].Sent.Before(begun) || reads[2].Sent.Before(begun) {
			t.Errorf("read %v", reads)
		}
		// It does not end: the context does.
		lift := a.region.Fault(sim.Fault{Effect: sim.Throttle})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begun = time.Now()
		s = a.o.Refresh(ctx, []fleet.TaskARN{a.task}, []fleet.TargetGroupARN{a.target.Group})
		if took := time.Since(begun); took > 300*time.Millisecond || len(s.Gaps) != 7 {
			t.Errorf("after %s: gaps %v", took, s.Gaps)
		}
		for _, g := range s.Gaps {
			if g.Class != fleet.Throttled && g.Class != fleet.Transient {
				t.Errorf("gap %v", g)
			}
		}
		lift()
		if s := a.o.Refresh(t.Context(), []fleet.TaskARN{a.task}, []fleet.TargetGroupARN{a.target.Group}); len(s.Gaps) != 0 {
			t.Errorf("afterwards: gaps %v", s.Gaps)
		}
	})
}

// A restart between a detachment and the end of its task, which comes while
// castoff is away.
func TestRestartForgetsNoTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := act(t, sim.ReferenceWorkload("c", "web"))
		if err := a.region.Hang(a.task); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		was := a.o.Observe(t.Context(), nil).Task(a.task)
		if err := a.deregister(t.Context()); err != nil || !was.Failing() {
			t.Fatal(was.Health, err)
		}
		time.Sleep(25 * time.Minute)
		truth := a.region.Truth()[0]
		if truth.Stopped.IsZero() || truth.Targets[0].By != sim.ByAPI {
			t.Fatalf("truth %+v", truth)
		}
		next := newObserver(t, awsapi.Options{Config: config(a.region)})
		next.Remember([]*fleet.Task{was})
		// At first nothing but the tasks that are asked for by ARN can be read.
		var lifts []func()
		for _, op := range []string{"ListTasks", "ListServices", "ListClusters", "DescribeTargetGroups"} {
			lifts = append(lifts, a.region.Fault(sim.Fault{Operation: op, Effect: sim.Unavailable}))
		}
		task := next.Observe(t.Context(), nil).Task(a.task)
		if task == nil || !task.Gone() || !task.StoppedAt.Equal(truth.Stopped) || !strings.HasPrefix(task.StoppedReason, "Task failed container health checks") {
			t.Fatalf("it is %+v", task)
		}
		if len(task.Targets) != 1 || task.Targets[0] != a.target {
			t.Errorf("targets %v", task.Targets)
		}
		for _, lift := range lifts {
			lift()
		}
		time.Sleep(5 * time.Second)
		s := next.Observe(t.Context(), nil)
		if task := s.Task(a.task); task == nil || len(task.Targets) != 1 || len(s.Tasks) != 3 {
			t.Errorf("%d tasks, it is %+v", len(s.Tasks), task)
		}
	})
}
