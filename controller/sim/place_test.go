package sim_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// A DAEMON service has one task on each instance, however many there are.
func TestDaemonFollowsTheInstances(t *testing.T) {
	inBubble(t, sim.Options{Seed: 1}, 2, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Scheduling, spec.LaunchType, spec.NetworkMode = fleet.Daemon, fleet.EC2, fleet.NetworkBridge
		first := w.add(spec)
		ids, err := w.r.AddInstances(clusterName, 2)
		w.must(err)
		oneEach := func(n int) func() bool {
			return func() bool {
				hosts := map[string]bool{}
				for _, task := range w.r.Tasks(greeter) {
					if task.Serving {
						hosts[task.Targets[0].ID] = true
					}
				}
				return len(hosts) == n && w.calm(greeter, n)()
			}
		}
		w.until(20*time.Minute, "four hosts", oneEach(4))
		if w.service().DesiredCount != 4 || w.service().SchedulingStrategy != "DAEMON" {
			t.Errorf("%+v", w.service())
		}
		if err := w.r.Scale(greeter, 1); err == nil {
			t.Error("a DAEMON service was scaled")
		}
		w.must(w.r.Deploy(greeter))
		w.until(time.Hour, "the new revision on four hosts", func() bool { return oneEach(4)() && len(w.service().Deployments) == 1 })
		gone := first[0].Targets[0].ID
		w.must(w.r.LoseInstance(gone))
		w.until(20*time.Minute, "three hosts", oneEach(3))
		lost := w.truth()
		got := w.task(lost.Task)
		if *got.LastStatus != "STOPPED" || *got.StoppedReason != "Host EC2 (instance "+gone+") terminated." || lost.Cause != sim.HostLost {
			t.Errorf("%s: %s", *got.LastStatus, *got.StoppedReason)
		}
		if err := w.r.LoseInstance(gone); err == nil {
			t.Error("an instance was lost twice")
		}
		w.must(w.r.LoseInstance(ids[0]))
		w.until(20*time.Minute, "two hosts", oneEach(2))
	})
}

// A service's task that stops for good while its host goes is gone once.
func TestHostLostWhileStopping(t *testing.T) {
	inBubble(t, sim.Options{Seed: 1}, 2, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.LaunchType, spec.NetworkMode, spec.Groups = fleet.EC2, fleet.NetworkBridge, nil
		task := w.add(spec)[0]
		instance := *w.task(task.ARN).ContainerInstanceArn
		w.must(w.r.Hang(task.ARN))
		w.must(w.r.StopTask(task.ARN, ""))
		out, err := w.ecs.DescribeContainerInstances(t.Context(), &ecs.DescribeContainerInstancesInput{
			Cluster: aws.String(clusterName), ContainerInstances: []string{instance, "gone"},
		})
		w.must(err)
		if len(out.Failures) != 1 || len(out.ContainerInstances) != 1 {
			t.Fatalf("%+v", out)
		}
		time.Sleep(10 * time.Second)
		w.must(w.r.LoseInstance(*out.ContainerInstances[0].Ec2InstanceId))
		stopped := *w.task(task.ARN).StoppedAt
		time.Sleep(time.Minute)
		if got := w.task(task.ARN); !got.StoppedAt.Equal(stopped) || *got.StoppedReason != "Task stopped by user" {
			t.Errorf("stopped at %v, then %v: %s", stopped, *got.StoppedAt, *got.StoppedReason)
		}
		w.until(20*time.Minute, "two tasks on the other host", w.calm(greeter, 2))
	})
}

// In host mode a port can be had once on a host: a task more waits for room.
func TestNoRoomInHostMode(t *testing.T) {
	inBubble(t, sim.Options{Seed: 1}, 2, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.LaunchType, spec.NetworkMode, spec.Desired = fleet.EC2, fleet.NetworkHost, 2
		w.add(spec)
		w.must(w.r.Scale(greeter, 3))
		time.Sleep(10 * time.Minute)
		if live, _ := w.live(greeter); live != 2 {
			t.Errorf("%d tasks on two hosts", live)
		}
		_, err := w.r.AddInstances(clusterName, 1)
		w.must(err)
		w.until(20*time.Minute, "three tasks", w.calm(greeter, 3))
	})
}

// Zones that differ by two tasks or more are evened out, replacement first; off
// by default.
func TestZoneRebalancing(t *testing.T) {
	for _, on := range []bool{false, true} {
		t.Run(fmt.Sprint(on), func(t *testing.T) {
			inBubble(t, sim.Options{Seed: 1}, 0, func(t *testing.T, w *world) {
				spec := sim.ReferenceWorkload(clusterName, "greeter")
				spec.Desired, spec.Rebalance = 6, on
				w.add(spec)
				if got := string(w.service().AvailabilityZoneRebalancing); got != map[bool]string{true: "ENABLED", false: "DISABLED"}[on] {
					t.Errorf("setting %s", got)
				}
				spread := func() (low, high int) {
					load := map[string]int{"eu-central-1a": 0, "eu-central-1b": 0, "eu-central-1c": 0}
					for _, task := range w.r.Tasks(greeter) {
						if task.Serving {
							load[task.Zone]++
						}
					}
					low = 100
					for _, n := range load {
						low, high = min(low, n), max(high, n)
					}
					return low, high
				}
				// Every task of one zone goes; what comes instead falls anywhere.
				for _, task := range w.r.Tasks(greeter) {
					if task.Zone == "eu-central-1a" {
						w.must(w.r.StopTask(task.ARN, ""))
						_, err := w.r.RunTask(clusterName, "shift-the-zones")
						w.must(err)
					}
				}
				w.until(20*time.Minute, "calm", w.calm(greeter, 6))
				if low, high := spread(); high-low < 2 {
					t.Fatalf("this seed leaves the zones even: %d, %d", low, high)
				}
				for range 3600 {
					time.Sleep(time.Second)
					if _, serving := w.live(greeter); serving < 6 {
						t.Fatalf("%d serving while the zones are evened out", serving)
					}
				}
				var told []string
				moves, named := 0, regexp.MustCompile(`^\(service greeter\) has (started|stopped) 1 (running )?tasks in eu-central-1[abc] (to AZ Rebalance|due to AZ rebalancing): \(task ([0-9a-f]{32})\)\.$`)
				for _, e := range w.service().Events {
					switch m := aws.ToString(e.Message); {
					case named.MatchString(m):
						moves++
					case strings.Contains(m, "AZ "):
						told = append(told, m)
					}
				}
				if on && (moves < 2 || moves%2 != 0 || len(told) != 2 || !strings.HasPrefix(told[0], "(service greeter) is AZ balanced with 2 tasks in eu-central-1a, 2 tasks in eu-central-1b, and 2 tasks in eu-central-1c.") ||
					!strings.HasPrefix(told[1], "(service greeter) is not AZ balanced with ") || !strings.HasSuffix(told[1], ". AZ Rebalancing in progress.")) || !on && moves+len(told) > 0 {
					t.Errorf("its events have %d moves, and say %q", moves, told)
				}
				low, high := spread()
				if (high-low < 2) != on || !w.calm(greeter, 6)() {
					t.Errorf("the zones have %d to %d tasks", low, high)
				}
			})
		})
	}
}

// Addresses come back after the set time and not before; by default they do not.
func TestAddressesAreReused(t *testing.T) {
	for _, rest := range []time.Duration{0, time.Second, 10 * time.Minute} {
		t.Run(rest.String(), func(t *testing.T) {
			params := sim.DefaultParams()
			params.ReuseAddresses = rest
			inBubble(t, sim.Options{Seed: 1, Params: &params}, 0, func(t *testing.T, w *world) {
				spec := sim.ReferenceWorkload(clusterName, "greeter")
				spec.IPv6 = true
				spec.Groups = append(spec.Groups, sim.GroupSpec{Name: "six", IPAddressType: "ipv6", Container: "nginx", Port: 10080})
				first := w.add(spec)[0]
				w.must(w.r.Exit(first.ARN))
				w.until(time.Hour, "STOPPED", func() bool { return !w.truth().Stopped.IsZero() })
				freed := w.truth().Stopped
				for range 10 {
					w.must(w.r.Scale(greeter, 1))
					time.Sleep(3 * time.Minute)
					w.must(w.r.Scale(greeter, 2))
					time.Sleep(3 * time.Minute)
				}
				var again time.Time
				for _, task := range w.r.Tasks(greeter) {
					if task.ARN != first.ARN && task.Targets[0] == first.Targets[0] && again.IsZero() {
						if again = task.Created; task.Targets[1] != first.Targets[1] {
							t.Errorf("IPv4 %v came back, IPv6 %v did not", task.Targets[0], task.Targets[1])
						}
					}
				}
				if again.IsZero() != (rest == 0) || !again.IsZero() && again.Before(freed.Add(rest)) {
					t.Errorf("freed at %v, given out again at %v", freed, again)
				}
			})
		})
	}
}
