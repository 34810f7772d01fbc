package sim_test

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// fast is a check of a balancer's that sees within seconds what it can see.
func fast(protocol, port string) fleet.TargetCheck {
	return fleet.TargetCheck{
		Protocol: protocol, Port: port, Interval: 5 * time.Second, Timeout: 2 * time.Second, HealthyThreshold: 2, UnhealthyThreshold: 2,
	}
}

// What a balancer's check finds depends on what it asks, and where.
func TestWhatChecksSee(t *testing.T) {
	harms := []struct {
		name string
		do   func(w *world, task fleet.TaskARN) error
	}{
		{"hung", func(w *world, task fleet.TaskARN) error { return w.r.Hang(task) }},
		{"crashed", func(w *world, task fleet.TaskARN) error { return w.r.Crash(task) }},
		{"front dead", func(w *world, task fleet.TaskARN) error { return w.r.KillFront(task) }},
		{"slow", func(w *world, task fleet.TaskARN) error { return w.r.SlowDown(task, 3*time.Second) }},
		{"a little slow", func(w *world, task fleet.TaskARN) error { return w.r.SlowDown(task, time.Second) }},
	}
	for _, row := range []struct {
		name, balancer, protocol, port string
		shallow                        bool
		sees                           []string // the reason for each harm; empty: it sees nothing
	}{
		{"TCP", sim.Network, "TCP", "", false, []string{"", "", "Target.FailedHealthChecks", "", ""}},
		{"HTTP", sim.Network, "HTTP", "", false, []string{
			"Target.FailedHealthChecks", "Target.FailedHealthChecks", "Target.FailedHealthChecks", "Target.FailedHealthChecks", "",
		}},
		{"HTTP that the front answers", sim.Network, "HTTP", "", true, []string{"", "", "Target.FailedHealthChecks", "", ""}},
		{"TCP on the app's port", sim.Network, "TCP", "8080", false, []string{"", "Target.FailedHealthChecks", "", "", ""}},
		{"HTTPS on the app's port", sim.Network, "HTTPS", "8080", false, []string{
			"Target.FailedHealthChecks", "Target.FailedHealthChecks", "", "Target.FailedHealthChecks", "",
		}},
		{"HTTP on the front's other port", sim.Network, "HTTP", "9090", true, []string{
			"Target.FailedHealthChecks", "Target.FailedHealthChecks", "Target.FailedHealthChecks", "Target.FailedHealthChecks", "",
		}},
		{"an ALB", sim.Application, "HTTP", "", false, []string{
			"Target.Timeout", "Target.ResponseCodeMismatch", "Target.FailedHealthChecks", "Target.Timeout", "",
		}},
	} {
		for i, harm := range harms {
			t.Run(row.name+"/"+harm.name, func(t *testing.T) {
				inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
					spec := sim.ReferenceWorkload(clusterName, "greeter")
					spec.Containers[0].Ports = []int{10080, 9090}
					spec.Containers[0].Check = nil
					spec.Groups[0] = sim.GroupSpec{Balancer: row.balancer, Check: fast(row.protocol, row.port), ShallowCheck: row.shallow}
					task := w.add(spec)[0]
					w.must(harm.do(w, task.ARN))
					time.Sleep(13 * time.Second)
					health := w.row(task.Targets[0]).TargetHealth
					if state := string(health.State); string(health.Reason) != row.sees[i] || (state == "unhealthy") != (row.sees[i] != "") {
						t.Errorf("%s, %q; want %q", state, health.Reason, row.sees[i])
					}
					w.must(w.r.Recover(task.ARN))
					time.Sleep(13 * time.Second)
					if state := w.row(task.Targets[0]).TargetHealth.State; state != "healthy" {
						t.Errorf("recovered: %s", state)
					}
				})
			})
		}
	}
}

// A check on a port that nobody has never passes.
func TestCheckOfNoPort(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Groups[0].Check, spec.Settled = fast("TCP", "81"), false
		w.must(w.r.AddService(spec))
		time.Sleep(4 * time.Minute)
		key := w.r.Tasks(greeter)[0].Targets[0]
		if row := w.row(key); row.TargetHealth.State != "unhealthy" || *row.HealthCheckPort != "81" {
			t.Errorf("%s on port %s", row.TargetHealth.State, *row.HealthCheckPort)
		}
	})
}

// A container's check gives up on a slow app as on a hung one.
func TestSlowAppFailsItsContainersCheck(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		w.must(w.r.SlowDown(task.ARN, 2*time.Second)) // its timeout is 3 s
		time.Sleep(time.Minute)
		if got := w.task(task.ARN).HealthStatus; got != "HEALTHY" {
			t.Errorf("%s with answers in time", got)
		}
		w.must(w.r.SlowDown(task.ARN, 3*time.Second))
		w.until(22*time.Second, "UNHEALTHY", func() bool { return w.task(task.ARN).HealthStatus == "UNHEALTHY" })
		if got := w.truth(); got.Cause != sim.Slowed {
			t.Errorf("cause %s", got.Cause)
		}
		w.must(w.r.SlowDown(task.ARN, 0))
		time.Sleep(10 * time.Second)
		if got := w.truth(); w.task(task.ARN).HealthStatus != "HEALTHY" || got.Answering.IsZero() || got.Recovery.Before(got.Answering) {
			t.Errorf("recovered: %+v", got)
		}
	})
}

func TestFlapping(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		w.must(w.r.Flap(task.ARN, 20*time.Second, 10*time.Second))
		var seen []string
		for range 4 * 60 {
			time.Sleep(time.Second)
			if health := string(w.task(task.ARN).HealthStatus); len(seen) == 0 || seen[len(seen)-1] != health {
				seen = append(seen, health)
			}
			if w.r.Tasks(greeter)[0].Status != fleet.Running {
				break
			}
		}
		if len(seen) < 3 || seen[0] != "HEALTHY" || seen[1] != "UNHEALTHY" || seen[2] != "HEALTHY" {
			t.Errorf("it read %v", seen)
		}
	})
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		w.must(w.r.Flap(task.ARN, 20*time.Second, 10*time.Second))
		time.Sleep(5 * time.Second)
		w.must(w.r.Recover(task.ARN))
		for range 60 {
			time.Sleep(time.Second)
			if !w.r.Tasks(greeter)[0].Answering {
				t.Fatal("it flaps on, recovered as it is")
			}
		}
		if err := w.r.Flap(task.ARN, 0, time.Second); err == nil {
			t.Error("flaps without being down")
		}
	})
}

func TestOutages(t *testing.T) {
	for _, row := range []struct {
		name   string
		outage sim.Outage
		hits   map[string]int // services' tasks that do not answer
		cause  sim.Cause
	}{
		{"everything", sim.Outage{}, map[string]int{"greeter": 3, "other": 3}, sim.Hang},
		{"everything, crashed", sim.Outage{Crash: true}, map[string]int{"greeter": 3, "other": 3}, sim.Crash},
		{"a zone", sim.Outage{Zone: sim.RegionName + "b"}, map[string]int{"greeter": 1, "other": 1}, sim.ZoneDown},
		{"a service in a zone", sim.Outage{Service: greeter, Zone: sim.RegionName + "b"}, map[string]int{"greeter": 1}, sim.ZoneDown},
		{"a dependency", sim.Outage{Dependency: "db"}, map[string]int{"other": 3}, sim.DependencyDown},
		{"a dependency of nobody's", sim.Outage{Dependency: "queue"}, nil, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
				for _, name := range []string{"greeter", "other"} {
					spec := sim.ReferenceWorkload(clusterName, name)
					spec.Desired = 3
					if name == "other" {
						spec.DependsOn = []string{"cache", "db"}
					}
					w.add(spec)
				}
				down := func(name string) (n int) {
					for _, task := range w.r.Tasks(fleet.ServiceID{Cluster: clusterName, Name: name}) {
						if task.Status == fleet.Running && !task.Answering {
							n++
						}
					}
					return n
				}
				end := w.r.Outage(row.outage)
				for _, name := range []string{"greeter", "other"} {
					if got := down(name); got != row.hits[name] {
						t.Errorf("%d tasks of %s do not answer, want %d", got, name, row.hits[name])
					}
				}
				for _, f := range w.r.Truth() {
					if f.Cause != row.cause {
						t.Errorf("cause %s, want %s", f.Cause, row.cause)
					}
				}
				// Nothing helps as long as it lasts: neither a restart of the app nor
				// another task.
				for _, f := range w.r.Truth() {
					w.must(w.r.Recover(f.Task))
				}
				for name, n := range row.hits {
					if got := down(name); got != n {
						t.Errorf("after Recover %d tasks of %s do not answer, want %d", got, name, n)
					}
				}
				time.Sleep(10 * time.Second)
				end()
				end() // twice is as good as once
				if a, b := down("greeter"), down("other"); a+b != 0 {
					t.Errorf("after its end %d and %d tasks do not answer", a, b)
				}
			})
		})
	}
}

// A task that is started in an outage is hit as well.
func TestOutageHitsNewTasks(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		w.r.Outage(sim.Outage{Service: greeter})
		w.must(w.r.Scale(greeter, 3))
		w.until(2*time.Minute, "three tasks run", func() bool {
			tasks := w.r.Tasks(greeter)
			return len(tasks) == 3 && tasks[2].Status == fleet.Running
		})
		time.Sleep(10 * time.Second)
		if w.r.Tasks(greeter)[2].Answering {
			t.Error("the new one answers")
		}
	})
}

// Too many flows for too few tasks: when one leaves, the others follow.
func TestOverload(t *testing.T) {
	inBubble(t, sim.Options{Params: steady()}, 0, func(t *testing.T, w *world) {
		spec := visible(3, true)
		spec.Capacity, spec.Groups[0].Traffic = 40, sim.Traffic{Rate: 100}
		tasks := w.add(spec)
		answering := func() (n int) {
			for _, task := range w.r.Tasks(greeter)[:3] {
				if task.Answering {
					n++
				}
			}
			return n
		}
		time.Sleep(10 * time.Minute)
		if n := answering(); n != 3 {
			t.Fatalf("%d of 3 answer at 33 flows a second each", n)
		}
		w.must(w.deregister(tasks[0].Targets[0]))
		w.until(3*time.Minute, "50 flows a second are too many", func() bool { return answering() == 1 })
		if all := w.r.Truth(); len(all) != 2 || all[0].Cause != sim.Overload {
			t.Errorf("%+v", all)
		}
		w.must(w.r.SetTraffic(tasks[0].Targets[0].Group, sim.Traffic{Rate: 70}))
		w.until(3*time.Minute, "fewer come", func() bool { return answering() == 3 })
	})
}
