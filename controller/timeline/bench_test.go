package timeline

import (
	"fmt"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// busy is a fleet of n tasks in services of 20 behind one group each, of which
// one task in a thousand fails; every part of it is read again in every shot.
type busy struct {
	services []*fleet.Service
	defs     map[fleet.TaskDefinitionARN]*fleet.TaskDefinition
	tasks    []*fleet.Task
	groups   []*fleet.TargetGroup
}

func newBusy(n int) *busy {
	w := newWorld(1)
	b := &busy{defs: map[fleet.TaskDefinitionARN]*fleet.TaskDefinition{w.def.ARN: w.def}}
	for i := range n {
		if i%20 == 0 {
			svc := *w.service
			svc.ID.Name = fmt.Sprintf("service-%05d", i/20)
			g := *w.groups[0]
			g.ARN = fleet.TargetGroupARN(fmt.Sprintf("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/%s/0123456789abcdef", svc.ID.Name))
			svc.LoadBalancers = []fleet.LoadBalancer{{Group: g.ARN, Container: "nginx", Port: 10080}}
			b.services, b.groups = append(b.services, &svc), append(b.groups, &g)
		}
		g := b.groups[len(b.groups)-1]
		addr := fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
		t := w.task(&life{id: fmt.Sprintf("%032x", i), addr: addr, startedBy: "ecs-svc/1", created: sec(0), started: sec(20)}, sec(100), fleet.Read{})
		t.Service = b.services[len(b.services)-1].ID
		t.Targets = []fleet.TargetKey{fleet.NewTargetKey(g.ARN, addr, 10080)}
		g.Targets = append(g.Targets, fleet.Target{Key: t.Targets[0], State: fleet.TargetHealthy})
		if i%1000 == 500 {
			t.Health = fleet.Unhealthy
		}
		b.tasks = append(b.tasks, t)
	}
	return b
}

func (b *busy) shoot(now time.Time) *fleet.Snapshot {
	s := fleet.Snapshot{At: now, Services: b.services, Definitions: b.defs}
	read := fleet.Read{Sent: now, Received: now}
	for _, t := range b.tasks {
		is := *t
		is.Read = read
		s.Tasks = append(s.Tasks, &is)
	}
	for _, g := range b.groups {
		is := *g
		is.Read = read
		s.TargetGroups = append(s.TargetGroups, &is)
	}
	return fleet.NewSnapshot(s)
}

// BenchmarkTrack is the pure part of a pass alone: every task and every target
// group has been read again, and some tasks fail. Watch ns/task and allocs/task:
// they must not grow with the fleet.
func BenchmarkTrack(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("tasks=%d", n), func(b *testing.B) {
			world := newBusy(n)
			shots := make([]*fleet.Snapshot, 4)
			for i := range shots {
				shots[i] = world.shoot(sec(1000 + float64(i)*5))
			}
			tracker := NewTracker(DefaultSettings())
			tracker.Track(shots[0])
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				tracker.Track(shots[(i+1)%len(shots)])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/task")
		})
	}
}
