package scenario

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// staged is a small world for one thing to happen in: a service of six in front of
// two groups, and an ECS that takes its time.
type staged struct {
	t      *testing.T
	region *sim.Region
	oracle *oracle
	*castoff
	rules rules
}

var front = fleet.ServiceID{Cluster: "prod", Name: "front"}

func stage(t *testing.T) *staged {
	t.Helper()
	return stageAt(t, 50*time.Millisecond)
}

// stageAt is one whose calls take a while.
func stageAt(t *testing.T, latency time.Duration) *staged {
	t.Helper()
	params := sim.DefaultParams()
	params.React = sim.Exactly(20 * time.Minute) // ECS does nothing meanwhile
	params.NeverReregister = true
	s := &staged{t: t, region: sim.New(sim.Options{Seed: 1, Params: &params, Latency: latency})}
	spec, in := inFront(6)
	must(t, s.region.AddCluster("prod", sim.ClusterOptions{}), s.region.AddService(spec))
	s.rules, s.oracle = in, newOracle(s.region, []sim.ServiceSpec{spec})
	s.castoff = newCastoff(t, "a", s.oracle)
	return s
}

// wait lets time pass, second by second, and starts again what has ended.
func (s *staged) wait(d time.Duration) (restarts int) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(time.Second)
		select {
		case <-s.ended:
			s.again(s.rules, 20*time.Second)
			restarts++
		default:
		}
		s.oracle.sample(s.life)
	}
	synctest.Wait()
	return restarts
}

// over ends castoff and fails the test for each violation.
func (s *staged) over() {
	s.t.Helper()
	s.stop()
	for _, v := range s.oracle.verdict() {
		s.t.Error(v)
	}
}

// inFront is a service with two target groups of which castoff may take out
// what it likes.
func inFront(desired int) (sim.ServiceSpec, rules) {
	check := &fleet.HealthCheck{Command: []string{"CMD", "/check"}, Interval: 5 * time.Second, Timeout: 2 * time.Second, Retries: 2}
	group := func(name string) sim.GroupSpec {
		return sim.GroupSpec{Name: name, Attributes: map[string]string{"load_balancing.cross_zone.enabled": "true"}}
	}
	spec := sim.ServiceSpec{
		Cluster: "prod", Name: "front", Desired: desired, Settled: true, Groups: []sim.GroupSpec{group("inner"), group("outer")},
		Containers: []sim.ContainerSpec{{Name: "app", Ports: []int{8080}, Check: check}},
	}
	limits := policy.DefaultLimits()
	limits.Mode = policy.Detaching
	return spec, rules{limits: func(fleet.ServiceID) policy.Limits { return limits }, fleet: policy.DefaultFleetLimits()}
}

// A machine that stands still at any step of acting, as one does that is moved,
// wakes up in another world. What it was about to do, it must not do: neither
// take out the target of a task that has recovered meanwhile, nor the last one
// that serves because all others have failed.
func TestSafetyMachineStoodStill(t *testing.T) {
	for _, at := range steps {
		for _, others := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/all others fail=%t", at, others), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := stage(t)
					woke := false
					s.freeze(at, frost{12 * time.Second, func() {
						woke = true
						for i, task := range s.region.Tasks(front) {
							if i == 0 && !others {
								must(t, s.region.Recover(task.ARN))
							} else if i > 0 && others {
								must(t, s.region.Hang(task.ARN))
							}
						}
					}})
					s.start(s.rules)
					s.wait(2 * time.Minute)
					sick := s.region.Tasks(front)[0].ARN
					must(t, s.region.Hang(sick))
					s.wait(time.Minute)
					_ = s.region.Recover(sick) // and then it goes back
					s.wait(4 * time.Minute)
					if !woke {
						t.Fatal("never came to it")
					}
					s.over()
				})
			})
		}
	}
}

// A call that takes longer than a pass waits goes on beside the next one, and the call
// for the second group begins as that pass does. Each has had its own look again.
func TestSafetyCallsBesideThePasses(t *testing.T) {
	for _, latency := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
		t.Run(latency.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := stageAt(t, latency)
				s.start(s.rules)
				s.wait(2 * time.Minute)
				must(t, s.region.Hang(s.region.Tasks(front)[0].ARN))
				if s.wait(2 * time.Minute); s.oracle.effects != 2 {
					t.Errorf("%d targets taken out, want 2", s.oracle.effects)
				}
				s.over()
			})
		})
	}
}

// Killed or stopped at any step of acting: what is out is known afterwards, is
// paid for, and goes back once its task is well.
func TestSafetyEndedAtEachStep(t *testing.T) {
	for _, at := range steps {
		for _, kill := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/kill=%t", at, kill), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := stage(t)
					s.arm(at, kill)
					s.start(s.rules)
					s.wait(2 * time.Minute)
					sick := s.region.Tasks(front)[0]
					must(t, s.region.Hang(sick.ARN))
					restarts := s.wait(3 * time.Minute)
					must(t, s.region.Recover(sick.ARN))
					restarts += s.wait(6 * time.Minute)
					if restarts != 1 || s.oracle.effects != 2 || s.oracle.backs != 2 {
						t.Errorf("%d restarts, %d targets taken out, %d put back", restarts, s.oracle.effects, s.oracle.backs)
					}
					for _, key := range sick.Targets {
						if row := rowOf(s.region.Rows(key.Group), key); row == nil || row.State == fleet.TargetDraining {
							t.Errorf("%s in %s: %+v", key.Address(), key.Group.Name(), row)
						}
					}
					for _, d := range s.life.daemon.View().Detachments {
						if d.Open() {
							t.Errorf("still open: %+v", d)
						}
					}
					s.over()
				})
			})
		}
	}
}

// A pause lets what is out go back, for a brake must not strand a healthy task,
// unless it says reattach=no: then it goes back once the pause is over.
func TestSafetyPauseAndTheWayBack(t *testing.T) {
	for _, keepOut := range []bool{false, true} {
		t.Run(fmt.Sprintf("reattach=no:%t", keepOut), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := stage(t)
				s.start(s.rules)
				s.wait(2 * time.Minute)
				sick := s.region.Tasks(front)[0].ARN
				must(t, s.region.Hang(sick))
				s.wait(time.Minute)
				value := "until=" + time.Now().Add(5*time.Minute).UTC().Format(time.RFC3339) + " owner=jane reason=upgrade"
				if keepOut {
					value += " reattach=no"
				}
				must(t, s.oracle.tag(front, "castoff:pause", value), s.region.Recover(sick))
				for _, at := range []struct {
					after time.Duration
					back  int
				}{{4 * time.Minute, map[bool]int{true: 0, false: 2}[keepOut]}, {3 * time.Minute, 2}} {
					if s.wait(at.after); s.oracle.effects != 2 || s.oracle.backs != at.back {
						t.Errorf("at %s %d targets taken out, %d put back, want 2 and %d", time.Now().Format("15:04:05"), s.oracle.effects, s.oracle.backs, at.back)
					}
				}
				s.over()
			})
		})
	}
}
