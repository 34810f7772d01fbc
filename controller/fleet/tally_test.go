package fleet_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(ago time.Duration) fleet.Read {
	return fleet.Read{Sent: noon.Add(-ago), Received: noon.Add(-ago + 50*time.Millisecond)}
}

const (
	shared = fleet.TargetGroupARN("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/shared/1")
	unread = fleet.TargetGroupARN("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/unread/2")
)

func TestTally(t *testing.T) {
	key := func(last int) fleet.TargetKey {
		return fleet.NewTargetKey(shared, fmt.Sprintf("192.0.2.%d", last), 10080)
	}
	api, web := fleet.ServiceID{Cluster: "prod", Name: "api"}, fleet.ServiceID{Cluster: "prod", Name: "web"}
	s := fleet.NewSnapshot(fleet.Snapshot{
		At: noon,
		Services: []*fleet.Service{
			{ID: api, LoadBalancers: []fleet.LoadBalancer{{Group: shared, Port: 1}, {Group: shared, Port: 2}}},
			{ID: web, LoadBalancers: []fleet.LoadBalancer{{Group: shared}, {Group: unread}}},
		},
		Tasks: []*fleet.Task{
			{ARN: "t1", Service: api, LastStatus: fleet.Running, Health: fleet.Healthy, Targets: []fleet.TargetKey{key(1)}, Read: at(2 * time.Second)},
			{ARN: "t2", Service: web, LastStatus: fleet.Running, Health: fleet.Unhealthy, Targets: []fleet.TargetKey{key(2)}, Read: at(7 * time.Second)},
			{ARN: "t3", Service: web, LastStatus: fleet.Running, Health: fleet.Healthy, Connectivity: fleet.Disconnected, Read: at(3 * time.Second)},
			{ARN: "t4", Service: web, LastStatus: fleet.Stopped, Health: fleet.Unhealthy, Read: at(time.Hour)},
		},
		TargetGroups: []*fleet.TargetGroup{
			{ARN: shared, Read: at(20 * time.Second), Targets: []fleet.Target{
				{Key: key(1), State: fleet.TargetHealthy},
				{Key: key(2), State: fleet.TargetHealthy},
				{Key: key(3), State: fleet.TargetDraining}, // nobody's
				{Key: key(4), State: "meditating"},         // nobody's, and new to us
			}},
			{ARN: unread},
		},
	})
	got := s.Tally()
	states := func(set map[fleet.TargetState]int) map[fleet.TargetState]int {
		all := map[fleet.TargetState]int{fleet.TargetOther: 0}
		for _, state := range fleet.TargetStates {
			all[state] = 0
		}
		for state, n := range set {
			all[state] = n
		}
		return all
	}
	want := []fleet.Tally{
		{Service: s.Services[0], Seen: true, Healthy: 1, Read: at(2 * time.Second), Groups: []fleet.GroupTally{
			{Group: shared, Read: at(20 * time.Second), States: states(map[fleet.TargetState]int{"healthy": 1, "draining": 1, "other": 1})},
		}},
		{Service: s.Services[1], Seen: true, Unhealthy: 1, Unknown: 1, Read: at(7 * time.Second), Groups: []fleet.GroupTally{
			{Group: shared, Read: at(20 * time.Second), Exposed: 1, States: states(map[fleet.TargetState]int{"healthy": 1})},
			{Group: unread, States: states(nil)},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if n := got[1].Exposed(); n != 1 {
		t.Errorf("exposed = %d, want 1", n)
	}
}

func TestTallySeen(t *testing.T) {
	id := fleet.ServiceID{Cluster: "prod", Name: "api"}
	cluster := fleet.ClusterARN("arn:aws:ecs:eu-central-1:123456789012:cluster/prod")
	for _, tt := range []struct {
		name  string
		gap   fleet.Gap
		tasks int
		want  bool
	}{
		{"an empty service", fleet.Gap{Kind: fleet.GapTags, Ref: string(cluster)}, 0, true},
		{"another cluster's list failed", fleet.Gap{Kind: fleet.GapTaskList, Ref: "other"}, 0, true},
		{"its cluster's list failed", fleet.Gap{Kind: fleet.GapTaskList, Ref: string(cluster)}, 0, false},
		{"its own list failed", fleet.Gap{Kind: fleet.GapTaskList, Ref: "prod/api"}, 0, false},
		{"its cluster's tasks failed", fleet.Gap{Kind: fleet.GapTasks, Ref: "prod"}, 0, false},
		{"its list failed, tasks are known", fleet.Gap{Kind: fleet.GapTaskList, Ref: string(cluster)}, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := fleet.Snapshot{Services: []*fleet.Service{{ID: id, Cluster: cluster}}, Gaps: []fleet.Gap{tt.gap}}
			for range tt.tasks {
				s.Tasks = append(s.Tasks, &fleet.Task{Service: id})
			}
			if got := fleet.NewSnapshot(s).Tally()[0].Seen; got != tt.want {
				t.Errorf("seen = %v, want %v", got, tt.want)
			}
		})
	}
}

// SAFETY: no task and no row is counted twice or dropped while its service or
// its group is known.
func TestTallyCountsEverythingOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		groups := []fleet.TargetGroupARN{shared, unread}
		var s fleet.Snapshot
		for i := range rapid.IntRange(1, 4).Draw(t, "services") {
			svc := &fleet.Service{ID: fleet.ServiceID{Cluster: "c", Name: fmt.Sprint(i)}}
			for _, g := range groups {
				if i == 0 || rapid.Bool().Draw(t, "names") {
					svc.LoadBalancers = append(svc.LoadBalancers, fleet.LoadBalancer{Group: g})
				}
			}
			s.Services = append(s.Services, svc)
		}
		alive := 0
		for i := range rapid.IntRange(0, 12).Draw(t, "tasks") {
			task := &fleet.Task{
				ARN:        fleet.TaskARN(fmt.Sprint(i)),
				Service:    s.Services[rapid.IntRange(0, len(s.Services)-1).Draw(t, "service")].ID,
				LastStatus: rapid.SampledFrom([]fleet.TaskStatus{fleet.Running, fleet.Stopped, "ODD"}).Draw(t, "status"),
				Health:     rapid.SampledFrom([]fleet.HealthStatus{fleet.Healthy, fleet.Unhealthy, fleet.Unknown, ""}).Draw(t, "health"),
				Targets:    []fleet.TargetKey{{Group: groups[i%2], ID: fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "address"))}},
			}
			if !task.Gone() {
				alive++
			}
			s.Tasks = append(s.Tasks, task)
		}
		rows := 0
		for _, arn := range groups {
			g := &fleet.TargetGroup{ARN: arn}
			for i := range rapid.IntRange(0, 6).Draw(t, "rows") {
				state := rapid.SampledFrom(append(fleet.TargetStates, "odd")).Draw(t, "state")
				g.Targets = append(g.Targets, fleet.Target{Key: fleet.TargetKey{Group: arn, ID: fmt.Sprint(i)}, State: state})
				rows++
			}
			s.TargetGroups = append(s.TargetGroups, g)
		}
		snap := fleet.NewSnapshot(s)
		gotTasks, gotRows, gotExposed, exposed := 0, 0, 0, 0
		for _, tally := range snap.Tally() {
			gotTasks += tally.Healthy + tally.Unhealthy + tally.Unknown
			gotExposed += tally.Exposed()
			for _, g := range tally.Groups {
				for _, n := range g.States {
					gotRows += n
				}
			}
		}
		snap.Exposed(func(*fleet.Task, *fleet.TargetGroup, *fleet.Target) bool {
			exposed++
			return true
		})
		if gotTasks != alive || gotRows != rows || gotExposed != exposed {
			t.Fatalf("tasks %d of %d, rows %d of %d, exposed %d of %d", gotTasks, alive, gotRows, rows, gotExposed, exposed)
		}
	})
}

func TestSnapshotOldest(t *testing.T) {
	running := func(ago time.Duration) *fleet.Task { return &fleet.Task{LastStatus: fleet.Running, Read: at(ago)} }
	stopped := &fleet.Task{LastStatus: fleet.Stopped, Read: at(time.Hour)}
	const none = -1
	for _, tt := range []struct {
		name  string
		tasks []*fleet.Task
		gap   fleet.GapKind
		want  time.Duration
	}{
		{"nothing there: its own age", nil, "", 10 * time.Second},
		{"the oldest task", []*fleet.Task{running(12 * time.Second), running(40 * time.Second)}, "", 40 * time.Second},
		{"a stopped task is not read again", []*fleet.Task{stopped}, "", 10 * time.Second},
		{"blind: no clusters", nil, fleet.GapClusters, none},
		{"blind: a cluster", nil, fleet.GapCluster, none},
		{"blind: no services", nil, fleet.GapServices, none},
		{"blind: a service", nil, fleet.GapService, none},
		{"blind: no list of tasks", []*fleet.Task{stopped}, fleet.GapTaskList, none},
		{"blind: no tasks", nil, fleet.GapTasks, none},
		{"nothing there, and a gap that hides no task", nil, fleet.GapTargetHealth, 10 * time.Second},
		{"a task, and a gap", []*fleet.Task{running(40 * time.Second)}, fleet.GapTaskList, 40 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := fleet.Snapshot{At: noon.Add(-10 * time.Second), Tasks: tt.tasks}
			if tt.gap != "" {
				s.Gaps = []fleet.Gap{{Kind: tt.gap, Ref: "prod", Class: fleet.Transient}}
			}
			oldest, ok := fleet.NewSnapshot(s).Oldest()
			if got := noon.Sub(oldest); ok != (tt.want != none) || ok && got != tt.want {
				t.Errorf("oldest is %v old (%t), want %v", got, ok, tt.want)
			}
		})
	}
}
