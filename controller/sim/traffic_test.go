package sim_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

func (w *world) flows(group fleet.TargetGroupARN) sim.GroupFlows {
	w.t.Helper()
	f, err := w.r.Flows(group)
	w.must(err)
	sent, streams := f.Nowhere+f.Gone, f.Waiting
	for _, t := range f.Targets {
		sent += t.Flows
		streams += t.Streams
	}
	if math.Abs(sent-f.Opened) > 1e-6 {
		w.t.Errorf("%v flows opened, %v arrived somewhere", f.Opened, sent)
	}
	if math.Abs(streams-math.Round(streams)) > 1e-6 {
		w.t.Errorf("%v clients with streams", streams)
	}
	return f
}

// shares are those of the targets in the order of their tasks.
func (w *world) shares(tasks []sim.TaskInfo) []float64 {
	w.t.Helper()
	shares := make([]float64, len(tasks))
	for _, f := range w.flows(tasks[0].Targets[0].Group).Targets {
		if i := slices.IndexFunc(tasks, func(t sim.TaskInfo) bool { return t.Targets[0] == f.Key }); i >= 0 {
			shares[i] = math.Round(f.Share*1000) / 1000
		}
	}
	return shares
}

func (w *world) wantShares(when string, tasks []sim.TaskInfo, want ...float64) {
	w.t.Helper()
	if got := w.shares(tasks); !slices.Equal(got, want) {
		w.t.Errorf("%s: shares %v, want %v", when, got, want)
	}
}

// steady are Params of which no news travels by chance.
func steady() *sim.Params {
	p := sim.DefaultParams()
	p.PropagationDeregister, p.PropagationUnhealthy = sim.Exactly(120*time.Second), sim.Exactly(35*time.Second)
	p.NeverReregister = true
	p.React = sim.Exactly(time.Hour) // ECS keeps out of it
	return &p
}

// visible is the reference workload with a balancer that sees a hang at once.
func visible(desired int, crossZone bool) sim.ServiceSpec {
	spec := sim.ReferenceWorkload(clusterName, "greeter")
	spec.Containers[0].Check = nil
	spec.Desired, spec.CrossZone = desired, crossZone
	spec.Groups[0].Protocol, spec.Groups[0].Check = "", fast("HTTP", "")
	spec.Groups[0].Traffic = sim.Traffic{Rate: 10}
	return spec
}

// New flows reach a hung task until the nodes have heard, and the truth counts
// them.
func TestFlowsUntilTheNodesHaveHeard(t *testing.T) {
	for _, row := range []struct {
		name   string
		leaves func(w *world, task sim.TaskInfo)
		lasts  time.Duration // from the news
	}{
		{"deregistered", func(w *world, task sim.TaskInfo) { w.must(w.deregister(task.Targets[0])) }, 120 * time.Second},
		{"unhealthy", func(w *world, task sim.TaskInfo) {
			w.until(13*time.Second, "unhealthy", func() bool { return !w.truth().Targets[0].LBUnhealthy.IsZero() })
		}, 35 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, sim.Options{Params: steady()}, 0, func(t *testing.T, w *world) {
				tasks := w.add(visible(4, true))
				time.Sleep(100 * time.Second)
				if f := w.flows(tasks[0].Targets[0].Group); math.Abs(f.Opened-1000) > 1e-6 || f.Unanswered != 0 {
					t.Errorf("calm: %+v", f)
				}
				w.must(w.r.Hang(tasks[0].ARN))
				row.leaves(w, tasks[0])
				news := w.truth().Targets[0].LBUnhealthy
				if row.name == "deregistered" {
					news = w.truth().Targets[0].Detach
				}
				if got := w.truth().Targets[0].LastFlow; !got.Equal(news.Add(row.lasts)) {
					t.Errorf("the last flow is to come at %v, want %v", got, news.Add(row.lasts))
				}
				time.Sleep(time.Until(news.Add(row.lasts)) - time.Millisecond)
				w.wantShares("before", tasks, .25, .25, .25, .25)
				time.Sleep(time.Millisecond)
				w.wantShares("after", tasks, 0, .333, .333, .333)
				time.Sleep(10 * time.Minute)
				truth := w.truth()
				lasted := news.Add(row.lasts).Sub(truth.Onset)
				got := truth.Targets[0]
				if !got.LastFlow.Equal(truth.Onset.Add(lasted)) || got.Flowing != lasted || math.Abs(got.Flows-lasted.Seconds()*2.5) > 1e-6 {
					t.Errorf("flows for %v, want %v; %v flows; last at %v", got.Flowing, lasted, got.Flows, got.LastFlow)
				}
				if f := w.flows(tasks[0].Targets[0].Group); math.Abs(f.Unanswered-got.Flows) > 1e-6 || f.Nowhere != 0 {
					t.Errorf("all in all %+v", f)
				}
			})
		})
	}
}

// An Application Load Balancer sends across zones, and its news travels faster.
func TestFlowsThroughAnALB(t *testing.T) {
	params := steady()
	params.PropagationDeregisterALB, params.PropagationUnhealthyALB = sim.Exactly(17*time.Second), sim.Exactly(3*time.Second)
	params.RegistrationLagALB = sim.Exactly(9 * time.Second)
	inBubble(t, sim.Options{Params: params}, 0, func(t *testing.T, w *world) {
		spec := visible(4, false)
		spec.Groups[0].Balancer = sim.Application
		tasks := w.add(spec)
		w.wantShares("calm", tasks, .25, .25, .25, .25)
		w.must(w.deregister(tasks[0].Targets[0]))
		w.must(w.r.Hang(tasks[1].ARN))
		time.Sleep(16 * time.Second)
		w.wantShares("one is unhealthy", tasks, .333, 0, .333, .333)
		time.Sleep(time.Second)
		w.wantShares("one is deregistered", tasks, 0, 0, .5, .5)
		w.must(w.register(tasks[0].Targets[0]))
		time.Sleep(8 * time.Second)
		if row := w.row(tasks[0].Targets[0]); row.TargetHealth.Reason != "Elb.RegistrationInProgress" {
			t.Errorf("after 8 s %v", row.TargetHealth)
		}
		time.Sleep(2 * time.Second)
		w.wantShares("it is back", tasks, .333, 0, .333, .333)
	})
	inBubble(t, sim.Options{Params: params}, 0, func(t *testing.T, w *world) {
		spec := visible(4, false)
		spec.Groups[0].Balancer, spec.Groups[0].Attributes = sim.Application, map[string]string{"load_balancing.cross_zone.enabled": "false"}
		w.wantShares("within the zones", w.add(spec), .167, .333, .333, .167)
	})
}

// An app that answers late has answered, to clients who wait.
func TestPatience(t *testing.T) {
	for patience, want := range map[time.Duration]float64{0: 0, 3 * time.Second: 0, time.Second: 300} {
		inBubble(t, sim.Options{Params: steady()}, 0, func(t *testing.T, w *world) {
			spec := visible(2, true)
			spec.Groups[0].Check, spec.Groups[0].Traffic.Patience = fast("TCP", ""), patience
			task := w.add(spec)[0]
			w.must(w.r.SlowDown(task.ARN, 2*time.Second))
			time.Sleep(time.Minute)
			got := w.truth().Targets[0]
			if math.Abs(got.Flows-want) > 1e-6 || (got.Flowing > 0) != (want > 0) {
				t.Errorf("patience %v: %v flows for %v, want %v", patience, got.Flows, got.Flowing, want)
			}
		})
	}
}

// In fail-open, a sick target gets flows until the nodes have heard that it is
// deregistered.
func TestDeregisteredInFailOpen(t *testing.T) {
	inBubble(t, sim.Options{Params: steady()}, 0, func(t *testing.T, w *world) {
		tasks := w.add(visible(2, true))
		end := w.r.Outage(sim.Outage{Service: greeter})
		time.Sleep(time.Minute)
		w.must(w.deregister(tasks[0].Targets[0]))
		due := w.r.Truth()[0].Targets[0].Detach.Add(120 * time.Second)
		if got := w.r.Truth()[0].Targets[0].LastFlow; !got.Equal(due) {
			t.Errorf("the last flow is to come at %v, want %v", got, due)
		}
		time.Sleep(119 * time.Second)
		w.wantShares("before", tasks, .5, .5)
		time.Sleep(time.Second)
		w.wantShares("after", tasks, 0, 1)
		end()
	})
}

// Each row brings some of three tasks, one a zone, to fail, and says where flows
// go once everybody has heard.
func TestFailOpen(t *testing.T) {
	third := .333
	dns := func(n string) map[string]string {
		return map[string]string{"target_group_health.dns_failover.minimum_healthy_targets.count": n}
	}
	routing := func(kind, n string) map[string]string {
		return map[string]string{"target_group_health.unhealthy_state_routing.minimum_healthy_targets." + kind: n}
	}
	both := func(a, b map[string]string) map[string]string { maps.Copy(a, b); return a }
	for _, row := range []struct {
		name       string
		crossZone  bool
		attributes map[string]string
		sick       int
		atOnce     []float64 // when the nodes have heard, but not the clients
		then       []float64
		failOpen   bool
		zones      int
	}{
		{"cross-zone, one", true, nil, 1, []float64{0, .5, .5}, []float64{0, .5, .5}, false, 3},
		{"cross-zone, two", true, nil, 2, []float64{0, 0, 1}, []float64{0, 0, 1}, false, 3},
		{"cross-zone, all", true, nil, 3, []float64{third, third, third}, []float64{third, third, third}, true, 3},
		{"zonal, one", false, nil, 1, []float64{third, third, third}, []float64{0, .5, .5}, true, 2},
		{"zonal, all", false, nil, 3, []float64{third, third, third}, []float64{third, third, third}, true, 3},
		{"the group's attribute wins", false, map[string]string{"load_balancing.cross_zone.enabled": "true"}, 1, []float64{0, .5, .5}, []float64{0, .5, .5}, false, 3},
		{"routing below a count", true, both(dns("2"), routing("count", "2")), 2, []float64{third, third, third}, []float64{third, third, third}, true, 3},
		{"routing at the count", true, both(dns("2"), routing("count", "2")), 1, []float64{0, .5, .5}, []float64{0, .5, .5}, false, 3},
		{"routing below a percentage", true, routing("percentage", "67"), 1, []float64{third, third, third}, []float64{third, third, third}, true, 3},
		{"routing at two thirds", true, routing("percentage", "66"), 1, []float64{0, .5, .5}, []float64{0, .5, .5}, false, 3},
		{"DNS off", false, dns("off"), 1, []float64{third, third, third}, []float64{third, third, third}, true, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, sim.Options{Params: steady()}, 0, func(t *testing.T, w *world) {
				spec := visible(3, row.crossZone)
				spec.Groups[0].Attributes = row.attributes
				tasks := w.add(spec)
				w.wantShares("calm", tasks, third, third, third)
				for _, task := range tasks[:row.sick] {
					w.must(w.r.Hang(task.ARN))
				}
				time.Sleep(12*time.Second + 35*time.Second)
				w.wantShares("the nodes know", tasks, row.atOnce...)
				time.Sleep(time.Minute)
				w.wantShares("everybody knows", tasks, row.then...)
				if f := w.flows(tasks[0].Targets[0].Group); f.FailOpen != row.failOpen || len(f.Zones) != row.zones {
					t.Errorf("fail-open %v, zones %v", f.FailOpen, f.Zones)
				}
				for _, task := range tasks[:row.sick] {
					w.must(w.r.Recover(task.ARN))
				}
				time.Sleep(3 * time.Minute)
				w.wantShares("recovered", tasks, third, third, third)
			})
		})
	}
}

// Percentages are of what is registered; whether what drains counts is open.
func TestDrainingMayCountAsRegistered(t *testing.T) {
	for _, counts := range []bool{false, true} {
		params := steady()
		params.DrainingCounts = counts
		inBubble(t, sim.Options{Params: params}, 0, func(t *testing.T, w *world) {
			spec := visible(4, true)
			spec.Groups[0].Attributes = map[string]string{"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "60"}
			tasks := w.add(spec)
			w.must(w.deregister(tasks[0].Targets[0]))
			w.must(w.r.Hang(tasks[1].ARN))
			time.Sleep(130 * time.Second)
			if f := w.flows(tasks[0].Targets[0].Group); f.FailOpen != counts { // 2 of 3, or of 4
				t.Errorf("draining counts: %v; fail-open: %v", counts, f.FailOpen)
			}
		})
	}
}

// An empty group has nowhere to send to, and takes a new target at once, initial
// as it is.
func TestEmptyGroup(t *testing.T) {
	inBubble(t, sim.Options{Params: steady()}, 0, func(t *testing.T, w *world) {
		tasks := w.add(visible(1, true))
		w.must(w.deregister(tasks[0].Targets[0]))
		time.Sleep(10 * time.Minute)
		before := w.flows(tasks[0].Targets[0].Group)
		if len(before.Targets) != 0 || math.Abs(before.Nowhere-10*480) > 1e-6 || before.Unanswered != before.Nowhere {
			t.Errorf("%+v", before)
		}
		w.must(w.register(tasks[0].Targets[0]))
		if state := w.row(tasks[0].Targets[0]).TargetHealth.State; state != "initial" {
			t.Errorf("%s", state)
		}
		w.wantShares("initial", tasks, 1)
	})
}

// Long-lived connections stay where they are, whatever the API says, until
// something cuts them.
func TestStreams(t *testing.T) {
	attribute := func(name, value string) map[string]string { return map[string]string{name: value} }
	const onDeregistration, onUnhealthy = "deregistration_delay.connection_termination.enabled", "target_health_state.unhealthy.connection_termination.enabled"
	for _, row := range []struct {
		name       string
		attributes map[string]string
		balancer   string
		harm       func(w *world, task sim.TaskInfo)
		after      time.Duration
		before     float64 // streams of the first of four tasks, a second earlier
		then       float64
	}{
		{"calm", nil, "", func(*world, sim.TaskInfo) {}, time.Hour, 100, 100},
		{"a hang", nil, "", func(w *world, task sim.TaskInfo) { w.must(w.r.Hang(task.ARN)) }, 10 * time.Second, 100, 100},
		{"unhealthy resets", nil, "", func(w *world, task sim.TaskInfo) { w.sicken(task) }, 35 * time.Second, 100, 0},
		{"unhealthy, without", attribute(onUnhealthy, "false"), "", func(w *world, task sim.TaskInfo) { w.sicken(task) }, time.Hour, 100, 100},
		{"deregistered", nil, "", func(w *world, task sim.TaskInfo) { w.must(w.deregister(task.Targets[0])) }, time.Hour, 100, 100},
		{"deregistered, with termination", attribute(onDeregistration, "true"), "", func(w *world, task sim.TaskInfo) {
			w.must(w.deregister(task.Targets[0]))
		}, 300 * time.Second, 100, 0},
		{"deregistered from an ALB", nil, sim.Application, func(w *world, task sim.TaskInfo) {
			w.must(w.deregister(task.Targets[0]))
		}, 300 * time.Second, 100, 0},
		{"the front dies", nil, "", func(w *world, task sim.TaskInfo) { time.Sleep(time.Second); w.must(w.r.KillFront(task.ARN)) }, 0, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, sim.Options{Params: steady()}, 0, func(t *testing.T, w *world) {
				spec := visible(4, true)
				spec.Groups[0].Balancer, spec.Groups[0].Attributes = row.balancer, row.attributes
				spec.Groups[0].Traffic = sim.Traffic{Streams: 400}
				tasks := w.add(spec)
				streams := func() float64 {
					for _, f := range w.flows(tasks[0].Targets[0].Group).Targets {
						if f.Key == tasks[0].Targets[0] {
							return math.Round(f.Streams)
						}
					}
					return 0
				}
				row.harm(w, tasks[0])
				if row.after > 0 {
					time.Sleep(row.after - time.Second)
					if got := streams(); got != row.before {
						t.Errorf("%v streams before, want %v", got, row.before)
					}
					time.Sleep(time.Second)
				}
				if got := streams(); got != row.then {
					t.Errorf("%v streams, want %v", got, row.then)
				}
				if all := w.r.Truth(); len(all) == 1 && math.Round(all[0].Targets[0].Streams) != row.then {
					t.Errorf("the truth has %v", all[0].Targets[0].Streams)
				}
			})
		})
	}
}

// sicken hangs a task and waits until its balancer knows.
func (w *world) sicken(task sim.TaskInfo) {
	w.must(w.r.Hang(task.ARN))
	for w.row(task.Targets[0]).TargetHealth.State == "healthy" {
		time.Sleep(100 * time.Millisecond)
	}
}

// No RST while the group fails open: the streams stay with their sick targets.
func TestNoResetsInFailOpen(t *testing.T) {
	inBubble(t, sim.Options{Params: steady()}, 0, func(t *testing.T, w *world) {
		spec := visible(1, true)
		spec.Groups[0].Traffic = sim.Traffic{Streams: 10}
		tasks := w.add(spec)
		end := w.r.Outage(sim.Outage{Service: greeter})
		time.Sleep(5 * time.Minute)
		f := w.flows(tasks[0].Targets[0].Group)
		if !f.FailOpen || f.Targets[0].Streams != 10 {
			t.Errorf("%+v", f)
		}
		end()
	})
}

// Clients that keep a stream for five minutes on average have left a
// deregistered target, e-fold by e-fold.
func TestStreamsAreRenewed(t *testing.T) {
	inBubble(t, sim.Options{Params: steady()}, 0, func(t *testing.T, w *world) {
		spec := visible(2, true)
		spec.Groups[0].Traffic = sim.Traffic{Streams: 1000, StreamLife: 5 * time.Minute}
		tasks := w.add(spec)
		w.must(w.deregister(tasks[0].Targets[0]))
		time.Sleep(120*time.Second + 10*time.Minute)
		f := w.flows(tasks[0].Targets[0].Group)
		if want := 500 * math.Exp(-2); math.Abs(f.Targets[0].Streams-want) > .5 {
			t.Errorf("%v streams, want %v", f.Targets[0].Streams, want)
		}
		w.must(w.r.SetTraffic(tasks[0].Targets[0].Group, sim.Traffic{Streams: 100, StreamLife: 5 * time.Minute}))
		if f := w.flows(tasks[0].Targets[0].Group); math.Abs(f.Targets[0].Streams+f.Targets[1].Streams-100) > 1e-6 {
			t.Errorf("%+v", f)
		}
	})
}

// A zonal shift keeps new flows out of a zone; without cross-zone load balancing
// only DNS does.
func TestZonalShift(t *testing.T) {
	for _, crossZone := range []bool{true, false} {
		inBubble(t, sim.Options{Params: steady()}, 0, func(t *testing.T, w *world) {
			spec := visible(3, crossZone)
			spec.Groups[0].Traffic.Streams = 300
			tasks := w.add(spec)
			zone := tasks[0].Zone
			w.must(w.r.ZonalShift(greeter, zone))
			override := w.row(tasks[0].Targets[0]).AdministrativeOverride
			health := w.row(tasks[0].Targets[0]).TargetHealth
			if want := map[bool]string{true: "zonal_shift_active", false: "zonal_shift_delegated_to_dns"}[crossZone]; string(override.State) != want || health.State != "healthy" {
				t.Errorf("cross-zone %v: %s, %s", crossZone, override.State, health.State)
			}
			if other := w.row(tasks[1].Targets[0]).AdministrativeOverride; other.State != "no_override" {
				t.Errorf("the next zone: %s", other.State)
			}
			if crossZone {
				w.wantShares("at once", tasks, 0, .5, .5)
			} else {
				w.wantShares("at once", tasks, .333, .333, .333)
			}
			time.Sleep(time.Minute)
			w.wantShares("a minute later", tasks, 0, .5, .5)
			if f := w.flows(tasks[0].Targets[0].Group); f.Targets[0].Streams < 99 {
				t.Errorf("it cut streams: %v left", f.Targets[0].Streams)
			}
			if crossZone { // what is shifted away is not there to be sent to when the rest fails
				w.must(w.r.Hang(tasks[1].ARN))
				w.must(w.r.Hang(tasks[2].ARN))
				time.Sleep(time.Minute)
				w.wantShares("the rest fails", tasks, 0, .5, .5)
				w.must(w.r.Recover(tasks[1].ARN))
				w.must(w.r.Recover(tasks[2].ARN))
				time.Sleep(time.Minute)
			}
			w.must(w.r.ZonalShift(greeter, ""))
			time.Sleep(time.Minute)
			w.wantShares("undone", tasks, .333, .333, .333)
			if err := w.r.ZonalShift(greeter, "mars"); err == nil {
				t.Error("a zone of nobody's")
			}
		})
	}
}

// Traffic follows the production listener to the other revision; streams stay
// until they end.
func TestTrafficOfBlueGreen(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := visible(2, true)
		spec.Groups[0].Alternate = true
		spec.Groups[0].Traffic.Streams = 20
		blue := w.add(spec)[0].Targets[0].Group
		w.must(w.r.Deploy(greeter))
		w.until(20*time.Minute, "shifted", func() bool { return w.r.ProductionGroups(greeter)[0] != blue })
		green := w.r.ProductionGroups(greeter)[0]
		at := w.flows(blue)
		time.Sleep(10 * time.Second)
		if old, fresh := w.flows(blue), w.flows(green); old.Opened != at.Opened || fresh.Opened < 100 || fresh.Unanswered != 0 {
			t.Errorf("blue %v then %v, green %v", at.Opened, old.Opened, fresh.Opened)
		}
		w.until(20*time.Minute, "blue is gone", func() bool { return len(w.rows(blue)) == 0 })
		time.Sleep(time.Minute)
		streams := 0.0
		for _, target := range w.flows(green).Targets {
			streams += target.Streams
		}
		if math.Abs(streams-20) > 1e-6 {
			t.Errorf("%v streams to green", streams)
		}
	})
}

// A deleted group gets nothing more.
func TestTrafficOfADeletedGroup(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		task := w.add(visible(2, true))[0]
		w.must(w.r.Hang(task.ARN))
		time.Sleep(5 * time.Second)
		w.must(w.r.RemoveGroup(task.Targets[0].Group))
		at := w.truth().Targets[0]
		if !at.LastFlow.Equal(w.truth().Onset.Add(5*time.Second)) || math.Abs(at.Flows-25) > 1e-6 {
			t.Errorf("%+v", at)
		}
		if _, err := w.r.Flows(task.Targets[0].Group); err == nil {
			t.Error("flows of no group")
		}
	})
}

// An address means another task: flows that still go there are the new one's.
func TestFlowsToAnAddressOfAnother(t *testing.T) {
	params := steady()
	params.ReuseAddresses = time.Second
	params.PropagationDeregister = sim.Exactly(10 * time.Minute)
	inBubble(t, sim.Options{Params: params}, 0, func(t *testing.T, w *world) {
		spec := visible(2, true)
		spec.Groups[0].DeregistrationDelay = -1
		task := w.add(spec)[0]
		w.must(w.r.StopTask(task.ARN, ""))
		time.Sleep(time.Minute)
		other := visible(1, true)
		other.Name, other.Groups[0].Name = "other", "other"
		got := w.add(other)[0]
		if got.Targets[0].ID != task.Targets[0].ID {
			t.Fatalf("address %s, not %s", got.Targets[0].ID, task.Targets[0].ID)
		}
		f := w.flows(task.Targets[0].Group)
		i := slices.IndexFunc(f.Targets, func(t sim.TargetFlows) bool { return t.Key == task.Targets[0] })
		if i < 0 || f.Targets[i].Task != got.ARN || f.Targets[i].Share == 0 {
			t.Errorf("%+v", f.Targets)
		}
	})
}

// SAFETY: whatever happens, no flow and no client is lost or counted twice, the
// shares make a whole, and a failing task's flows are among its target's.
func TestSafetyFlowsAreConserved(t *testing.T) {
	for seed := range uint64(60) {
		inBubble(t, sim.Options{Seed: seed}, 0, func(t *testing.T, w *world) {
			rng := rand.New(rand.NewPCG(seed, 1))
			spec := visible(1+rng.IntN(5), rng.IntN(2) == 0)
			spec.Groups[0].DeregistrationDelay = time.Duration(rng.IntN(120)-1) * time.Second
			spec.Groups[0].Alternate = rng.IntN(3) == 0
			spec.Groups[0].Traffic = sim.Traffic{Rate: 20, Streams: 60, StreamLife: time.Duration(rng.IntN(3)) * 4 * time.Minute}
			if rng.IntN(2) == 0 {
				spec.Groups[0].Balancer = sim.Application
			}
			if rng.IntN(3) == 0 {
				spec.Capacity = 8
			}
			w.add(spec)
			start := time.Now()
			groups := map[fleet.TargetGroupARN]bool{}
			for range 80 {
				tasks := slices.DeleteFunc(w.r.Tasks(greeter), func(t sim.TaskInfo) bool { return t.Status != fleet.Running })
				if len(tasks) > 0 {
					w.harm(rng, tasks[rng.IntN(len(tasks))])
				}
				time.Sleep(time.Duration(rng.IntN(60_000)) * time.Millisecond)
				for _, task := range w.r.Tasks(greeter) {
					groups[task.Targets[0].Group] = true
				}
				w.checkFlows(seed, groups, 20*time.Since(start).Seconds(), 60)
			}
		})
	}
}

func (w *world) harm(rng *rand.Rand, task sim.TaskInfo) {
	switch rng.IntN(10) {
	case 0:
		w.must(w.r.Hang(task.ARN))
	case 1:
		w.must(w.r.KillFront(task.ARN))
	case 2:
		w.must(w.r.SlowDown(task.ARN, time.Duration(rng.IntN(4))*time.Second))
	case 3:
		w.must(w.r.Flap(task.ARN, 20*time.Second, 10*time.Second))
	case 4:
		w.must(w.r.Exit(task.ARN))
	case 5:
		w.must(w.deregister(task.Targets[0]))
	case 6:
		w.must(w.r.ZonalShift(greeter, []string{"", task.Zone}[rng.IntN(2)]))
	case 7:
		w.must(w.r.Deploy(greeter))
	case 8:
		w.must(w.r.Scale(greeter, rng.IntN(5)))
	default:
		w.must(w.r.Recover(task.ARN))
	}
}

func (w *world) checkFlows(seed uint64, groups map[fleet.TargetGroupARN]bool, opened, clients float64) {
	w.t.Helper()
	var gotOpened, gotClients, unanswered, felt float64
	for group := range groups {
		f, err := w.r.Flows(group)
		w.must(err)
		sent, share := f.Nowhere+f.Gone, 0.0
		for _, target := range f.Targets {
			sent += target.Flows
			share += target.Share
			gotClients += target.Streams
			if target.Streams < 0 || target.Unanswered > target.Flows+1e-6 {
				w.t.Fatalf("seed %d: %+v", seed, target)
			}
		}
		gotClients += f.Waiting
		gotOpened += f.Opened
		unanswered += f.Unanswered
		if math.Abs(sent-f.Opened) > 1e-6 || share > 1+1e-9 {
			w.t.Fatalf("seed %d: %v flows opened, %v sent; shares make %v", seed, f.Opened, sent, share)
		}
	}
	if math.Abs(gotOpened-opened) > 1 || math.Abs(gotClients-clients) > 1e-6 {
		w.t.Fatalf("seed %d: %v flows of %v, %v clients of %v", seed, gotOpened, opened, gotClients, clients)
	}
	for _, f := range w.r.Truth() {
		for _, target := range f.Targets {
			felt += target.Flows
			if target.Flows > 0 && target.Flowing == 0 || target.Flows < 0 {
				w.t.Fatalf("seed %d: %+v", seed, target)
			}
		}
	}
	if felt > unanswered+1e-6 {
		w.t.Fatalf("seed %d: failing tasks got %v flows, %v were not answered", seed, felt, unanswered)
	}
}

// A region that runs faster gets its flows faster too.
func TestTrafficAtSpeed(t *testing.T) {
	inBubble(t, sim.Options{Speed: 10}, 0, func(t *testing.T, w *world) {
		task := w.add(visible(2, true))[0]
		time.Sleep(6 * time.Second)
		if f := w.flows(task.Targets[0].Group); math.Abs(f.Opened-600) > 1e-6 {
			t.Errorf("%v flows in a minute at 10 a second", f.Opened)
		}
	})
}

// Exactly at a percentage is enough.
func TestThresholdIsMetByItself(t *testing.T) {
	inBubble(t, sim.Options{Params: steady()}, 0, func(t *testing.T, w *world) {
		spec := visible(4, true)
		spec.Groups[0].Attributes = map[string]string{"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "75"}
		tasks := w.add(spec)
		w.must(w.r.Hang(tasks[0].ARN))
		time.Sleep(time.Minute)
		w.wantShares("three of four", tasks, 0, .333, .333, .333)
	})
}
