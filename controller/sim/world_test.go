package sim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

func TestBridgeTasksShareInstances(t *testing.T) {
	for _, mode := range []string{fleet.NetworkBridge, fleet.NetworkHost} {
		t.Run(mode, func(t *testing.T) {
			inBubble(t, sim.Options{Seed: 9}, 2, func(t *testing.T, w *world) {
				spec := sim.ReferenceWorkload(clusterName, "greeter")
				spec.LaunchType, spec.NetworkMode = fleet.EC2, mode
				if spec.Desired = 2; mode == fleet.NetworkBridge {
					spec.Desired = 4
				}
				tasks := w.add(spec)
				rows := w.rows(tasks[0].Targets[0].Group)
				keys := map[string]bool{}
				for _, row := range rows {
					keys[fmt.Sprint(*row.Target.Id, *row.Target.Port)] = true
				}
				if len(rows) != spec.Desired || len(keys) != spec.Desired {
					t.Errorf("%d rows, %d different, want %d", len(rows), len(keys), spec.Desired)
				}
				got := w.task(tasks[0].ARN)
				out, err := w.ecs.DescribeContainerInstances(t.Context(), &ecs.DescribeContainerInstancesInput{
					Cluster: aws.String(clusterName), ContainerInstances: []string{*got.ContainerInstanceArn},
				})
				w.must(err)
				if id := *out.ContainerInstances[0].Ec2InstanceId; id != tasks[0].Targets[0].ID {
					t.Errorf("instance %s, target %v", id, tasks[0].Targets[0])
				}
				bindings := got.Containers[0].NetworkBindings
				if mode == fleet.NetworkHost {
					if len(bindings) != 0 || tasks[0].Targets[0].Port != 10080 {
						t.Errorf("host mode: %v %v", bindings, tasks[0].Targets)
					}
				} else if int(*bindings[0].HostPort) != tasks[0].Targets[0].Port || *bindings[0].ContainerPort != 10080 {
					t.Errorf("bindings %v, target %v", bindings, tasks[0].Targets)
				}
				if mode == fleet.NetworkHost {
					return
				}
				// Both tasks of an instance report on its agent's ticker.
				i := slices.IndexFunc(tasks[1:], func(o sim.TaskInfo) bool { return o.Targets[0].ID == tasks[0].Targets[0].ID })
				w.must(w.r.Hang(tasks[0].ARN))
				time.Sleep(31 * time.Second)
				w.must(w.r.Crash(tasks[1+i].ARN))
				time.Sleep(40 * time.Second)
				all := w.r.Truth()
				if d := all[1].Unhealthy.Sub(all[0].Unhealthy); all[0].Unhealthy.IsZero() || d <= 0 || d%(20*time.Second) != 0 {
					t.Errorf("the agent reported at %v and %v", all[0].Unhealthy, all[1].Unhealthy)
				}
			})
		})
	}
}

func TestIPv6(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.IPv6, spec.Groups[0].IPAddressType = true, "ipv6"
		task := w.add(spec)[0]
		address := *w.task(task.ARN).Containers[0].NetworkInterfaces[0].Ipv6Address
		if row := w.row(task.Targets[0]); *row.Target.Id != netip.MustParseAddr(address).String() {
			t.Errorf("target %s, task %s", *row.Target.Id, address)
		}
	})
}

// Blue/green: each deployment goes into the other group, and the settings name
// both always the same way round.
func TestBlueGreen(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Groups[0].Alternate = true
		blue := w.add(spec)[0].Targets[0].Group
		w.must(w.r.Deploy(greeter))
		w.until(20*time.Minute, "shifted", func() bool { return len(w.rows(blue)) == 0 })
		out, err := w.ecs.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Cluster: aws.String(clusterName), Services: []string{"greeter"}})
		w.must(err)
		lb := out.Services[0].LoadBalancers[0]
		green := fleet.TargetGroupARN(*lb.AdvancedConfiguration.AlternateTargetGroupArn)
		if *lb.TargetGroupArn != string(blue) || len(w.rows(green)) != 2 {
			t.Errorf("settings %v, %d rows in %s", *lb.TargetGroupArn, len(w.rows(green)), green)
		}
	})
}

func TestTaskSets(t *testing.T) {
	for _, controller := range []string{fleet.ControllerCodeDeploy, fleet.ControllerExternal} {
		t.Run(controller, func(t *testing.T) {
			inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
				spec := sim.ReferenceWorkload(clusterName, "greeter")
				spec.Controller = controller
				task := w.add(spec)[0]
				out, err := w.ecs.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Cluster: aws.String(clusterName), Services: []string{"greeter"}})
				w.must(err)
				s := out.Services[0]
				if len(s.LoadBalancers) != 0 || len(s.Deployments) != 0 || len(s.TaskSets) != 1 ||
					*s.TaskSets[0].LoadBalancers[0].TargetGroupArn != string(task.Targets[0].Group) || *s.TaskSets[0].Id != task.Deployment {
					t.Errorf("service %+v", s)
				}
				sets, err := w.ecs.DescribeTaskSets(t.Context(), &ecs.DescribeTaskSetsInput{
					Cluster: aws.String(clusterName), Service: aws.String("greeter"), TaskSets: []string{*s.TaskSets[0].TaskSetArn, "gone"},
				})
				w.must(err)
				if len(sets.TaskSets) != 1 || len(sets.Failures) != 1 {
					t.Errorf("task sets %+v", sets)
				}
			})
		})
	}
}

func TestStandaloneTask(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		arn, err := w.r.RunTask(clusterName, "migrate")
		w.must(err)
		time.Sleep(time.Minute)
		if got := w.task(arn); *got.Group != "family:migrate" || *got.LastStatus != "RUNNING" || got.StartedBy != nil {
			t.Errorf("%+v", got)
		}
	})
}

func TestVanishedClusterAndService(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		w.must(w.r.RemoveService(greeter))
		out, err := w.ecs.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Cluster: aws.String(clusterName), Services: []string{"greeter"}})
		w.must(err)
		if len(out.Failures) != 1 || *w.task(task.ARN).DesiredStatus != "STOPPED" {
			t.Errorf("%+v", out)
		}
		w.must(w.r.RemoveCluster(clusterName))
		if _, err := w.ecs.ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: aws.String(clusterName)}); code(err) != "ClusterNotFoundException" {
			t.Error(err)
		}
	})
}

func TestMistakesAreToldAtOnce(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		w.add(sim.ReferenceWorkload(clusterName, "greeter"))
		for name, err := range map[string]error{
			"cluster twice":         w.r.AddCluster(clusterName, sim.ClusterOptions{}),
			"service twice":         w.r.AddService(sim.ReferenceWorkload(clusterName, "greeter")),
			"no cluster":            w.r.AddService(sim.ReferenceWorkload("none", "greeter")),
			"EC2 without instances": w.r.AddService(sim.ServiceSpec{Cluster: clusterName, Name: "x", LaunchType: fleet.EC2}),
			"Fargate in bridge":     w.r.AddService(sim.ServiceSpec{Cluster: clusterName, Name: "x", NetworkMode: fleet.NetworkBridge}),
			"no such port":          w.r.AddService(sim.ServiceSpec{Cluster: clusterName, Name: "x", Groups: []sim.GroupSpec{{Container: "app", Port: 1}}}),
			"ipv6 without address":  w.r.AddService(sim.ServiceSpec{Cluster: clusterName, Name: "x", Groups: []sim.GroupSpec{{IPAddressType: "ipv6"}}}),
			"no such task":          w.r.Hang("arn:none"),
			"no such service":       w.r.Scale(fleet.ServiceID{Cluster: clusterName, Name: "none"}, 1),
			"negative":              w.r.Scale(greeter, -1),
			"group twice":           w.r.AddService(sim.ServiceSpec{Cluster: clusterName, Name: "x", Groups: []sim.GroupSpec{{}, {}}}),
		} {
			if err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	})
}

// transcript is what a client sees of an eventful hour, and the truth of it.
func transcript(t *testing.T, seed uint64) []byte {
	var b bytes.Buffer
	inBubble(t, sim.Options{Seed: seed}, 2, func(t *testing.T, w *world) {
		ref := sim.ReferenceWorkload(clusterName, "greeter")
		ref.Desired = 4
		w.add(ref)
		bridge := sim.ReferenceWorkload(clusterName, "bridged")
		bridge.LaunchType, bridge.NetworkMode = fleet.EC2, fleet.NetworkBridge
		bridged := w.add(bridge)
		enc := json.NewEncoder(&b)
		for minute := range 60 {
			tasks := w.r.Tasks(greeter)
			switch minute {
			case 1:
				w.must(w.r.Hang(tasks[0].ARN))
				w.must(w.r.Crash(tasks[1].ARN))
			case 2:
				w.must(w.r.NextTasks(greeter, sim.StartsHung, sim.NeverStarts))
				w.must(w.r.KillFront(bridged[0].ARN))
			case 10:
				w.must(w.r.Deploy(greeter))
			case 30:
				w.must(w.r.Scale(greeter, 2))
			case 40:
				w.must(w.deregister(bridged[1].Targets[0]))
			}
			out, err := w.ecs.ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: aws.String(clusterName)})
			w.must(err)
			for _, arn := range out.TaskArns {
				w.must(enc.Encode(w.task(fleet.TaskARN(arn))))
			}
			for _, task := range bridged {
				w.must(enc.Encode(w.rows(task.Targets[0].Group)))
			}
			time.Sleep(time.Minute)
		}
		w.must(enc.Encode(w.r.Truth()))
	})
	return b.Bytes()
}

func TestSameSeedSameWorld(t *testing.T) {
	one, two, other := transcript(t, 42), transcript(t, 42), transcript(t, 43)
	if !bytes.Equal(one, two) {
		t.Error("the same seed gave two worlds")
	}
	if bytes.Equal(one, other) {
		t.Error("two seeds gave one world")
	}
}

// Over a real connection, faster than the clock: every duration shrinks, the
// published numbers do not.
func TestOverLoopbackAtSpeed(t *testing.T) {
	const speed = 600
	r := sim.New(sim.Options{Seed: 1, Speed: speed})
	server := httptest.NewServer(r)
	defer server.Close()
	cfg := config(server.Client(), server.URL)
	w := &world{t: t, r: r, ecs: ecs.NewFromConfig(cfg), elb: elb.NewFromConfig(cfg)}
	w.must(r.AddCluster(clusterName, sim.ClusterOptions{}))
	task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
	before := time.Now().Round(0)
	w.must(r.Hang(task.ARN))
	after := time.Now().Round(0)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for tick := time.NewTicker(time.Millisecond); *w.task(task.ARN).LastStatus != "STOPPED"; <-tick.C {
		w.must(ctx.Err())
	}
	got := w.truth()
	if got.Onset.Before(before) || got.Onset.After(after) {
		t.Errorf("onset %v, not in %v … %v", got.Onset, before, after)
	}
	drained := got.Targets[0].Detached.Sub(got.Targets[0].Detach)
	if drained != 500*time.Millisecond {
		t.Errorf("300 s drained in %v", drained)
	}
	if took := got.Stopped.Sub(got.Onset); took < 500*time.Millisecond || took > 20*time.Minute/speed {
		t.Errorf("retired in %v", took)
	}
	if got.Onset.Nanosecond()%int(time.Millisecond) != 0 || !got.Stopped.Equal(*w.task(task.ARN).StoppedAt) {
		t.Errorf("%v is not a whole millisecond", got.Onset)
	}
}

// With latency a change made by a request happens while the client waits.
func TestLatency(t *testing.T) {
	inBubble(t, sim.Options{Latency: 100 * time.Millisecond}, 0, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		w.must(w.r.Hang(task.ARN))
		sent := time.Now()
		w.must(w.deregister(task.Targets[0]))
		if took, at := time.Since(sent), w.truth().Targets[0].Detach.Sub(sent); took != 100*time.Millisecond || at != 50*time.Millisecond {
			t.Errorf("took %v, applied after %v", took, at)
		}
	})
}

// LIVENESS: whatever fails, in the end the service has its tasks again, all of
// them healthy. SAFETY: never more than maximumPercent are wanted, and no task
// is the replacement of two.
func TestServicesComeBack(t *testing.T) {
	for seed := range uint64(60) {
		inBubble(t, sim.Options{Seed: seed}, 0, func(t *testing.T, w *world) {
			spec := sim.ReferenceWorkload(clusterName, "greeter")
			spec.Desired = 1 + int(seed%4)
			spec.MaximumPercent = []int{100, 150, 200}[seed%3]
			spec.MinimumHealthyPercent = []int{100, 50}[seed%2]
			w.add(spec)
			harms := []func(fleet.TaskARN) error{w.r.Hang, w.r.Crash, w.r.KillFront, w.r.Exit, w.r.Recover, w.r.SpotInterrupt}
			w.must(w.r.NextTasks(greeter, sim.Fate(seed%4), sim.Answers, sim.Fate(seed/4%4)))
			for i := range 12 {
				tasks := slices.DeleteFunc(w.r.Tasks(greeter), func(t sim.TaskInfo) bool { return t.Status != fleet.Running })
				if len(tasks) > 0 {
					pick := tasks[(int(seed)+i)%len(tasks)]
					w.must(harms[(int(seed)*7+i*5)%len(harms)](pick.ARN))
				}
				if i == 6 && seed%5 == 0 {
					w.must(w.r.Deploy(greeter))
				}
				for range 40 {
					time.Sleep(time.Second)
					if live, _ := w.live(greeter); live > max(spec.Desired, spec.Desired*spec.MaximumPercent/100) {
						t.Fatalf("seed %d: %d tasks of %d", seed, live, spec.Desired)
					}
				}
			}
			for _, task := range w.r.Tasks(greeter) {
				if task.Status == fleet.Running && task.Desired == fleet.Running {
					w.must(w.r.Recover(task.ARN))
				}
			}
			w.until(2*time.Hour, fmt.Sprintf("seed %d: calm", seed), w.calm(greeter, spec.Desired))
			w.checkTruth(seed)
		})
	}
}

// checkTruth holds what can be said of every record.
func (w *world) checkTruth(seed uint64) {
	w.t.Helper()
	seen := map[fleet.TaskARN]fleet.TaskARN{}
	for _, f := range w.r.Truth() {
		after := func(what string, a, b time.Time) {
			if !a.IsZero() && !b.IsZero() && b.Before(a) {
				w.t.Errorf("seed %d: %s %s: %s: %v before %v", seed, f.Task.ID(), f.Cause, what, b, a)
			}
		}
		after("unhealthy", f.Onset, f.Unhealthy)
		after("stopping", f.Deactivating, f.Stopping)
		after("stamp", f.StoppingStamp, f.ExecutionStopped)
		after("stopped", f.ExecutionStopped, f.Stopped)
		after("replacement", f.ReplacementCreated, f.ReplacementRunning)
		after("serving", f.ReplacementRunning, f.ReplacementServing)
		for _, t := range f.Targets {
			after("detached", t.Detach, t.Detached)
		}
		if by, twice := seen[f.Replacement]; twice && f.Replacement != "" && by != f.Task {
			w.t.Errorf("seed %d: %s replaced both %s and %s", seed, f.Replacement.ID(), by.ID(), f.Task.ID())
		}
		seen[f.Replacement] = f.Task
	}
}

// An essential container without a check makes the task UNKNOWN by the
// documented rule; its checked ones still say when it fails and recovers.
func TestUncheckedContainerByTheDocumentedRule(t *testing.T) {
	params := sim.DefaultParams()
	params.UncheckedUnknown = true
	inBubble(t, sim.Options{Params: &params}, 0, func(t *testing.T, w *world) {
		task := w.add(sim.ReferenceWorkload(clusterName, "greeter"))[0]
		reads := func(want string) {
			t.Helper()
			if got := w.task(task.ARN).HealthStatus; string(got) != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		reads("UNKNOWN")
		w.must(w.r.Hang(task.ARN))
		time.Sleep(20 * time.Second)
		reads("UNHEALTHY")
		w.must(w.r.Recover(task.ARN))
		time.Sleep(15 * time.Second)
		reads("UNKNOWN")
		if w.truth().Recovery.IsZero() {
			t.Error("no recovery")
		}
	})
}

// An empty list is a list: leaving it out would say that nothing was read.
func TestEmptyListsAreThere(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		ctx, cluster := t.Context(), aws.String(clusterName)
		services, err := w.ecs.ListServices(ctx, &ecs.ListServicesInput{Cluster: cluster})
		w.must(err)
		tasks, err := w.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: cluster})
		w.must(err)
		w.must(w.r.RemoveCluster(clusterName))
		clusters, err := w.ecs.ListClusters(ctx, &ecs.ListClustersInput{})
		w.must(err)
		if services.ServiceArns == nil || tasks.TaskArns == nil || clusters.ClusterArns == nil {
			t.Errorf("services %v, tasks %v, clusters %v", services.ServiceArns, tasks.TaskArns, clusters.ClusterArns)
		}
	})
}
