package journal

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	cluster = "arn:aws:ecs:eu-central-1:123456789012:cluster/prod"
	group   = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/grpc/0123456789abcdef"
)

func taskARN(n int) fleet.TaskARN {
	return fleet.TaskARN(fmt.Sprintf("arn:aws:ecs:eu-central-1:123456789012:task/prod/%032x", n))
}

// world makes up what castoff would see and do, the same for the same seed.
type world struct {
	r           *rand.Rand
	now         time.Time
	passes      time.Duration
	tasks       int // running ones
	failing     map[int]time.Time
	detachments map[int]policy.Detachment
}

func newWorld(seed uint64, tasks int) *world {
	return &world{
		r: rand.New(rand.NewPCG(seed, 1)), now: epoch, tasks: tasks,
		failing: map[int]time.Time{}, detachments: map[int]policy.Detachment{},
	}
}

func (w *world) read() fleet.Read {
	return fleet.Read{Sent: w.now.Add(-200 * time.Millisecond), Received: w.now.Add(-100 * time.Millisecond)}
}

func (w *world) service() fleet.ServiceID { return fleet.ServiceID{Cluster: "prod", Name: "grpc"} }

func (w *world) key(n int) fleet.TargetKey {
	return fleet.NewTargetKey(group, fmt.Sprintf("10.0.%d.%d", n/250%250, n%250), 10080)
}

func (w *world) task(n int) *fleet.Task {
	t := &fleet.Task{
		ARN: taskARN(n), Cluster: cluster, Service: w.service(), Definition: "arn:aws:ecs:eu-central-1:123456789012:task-definition/grpc:7",
		StartedBy: "ecs-svc/1234567890123456789", LaunchType: fleet.Fargate, Zone: "eu-central-1a", Version: 4,
		LastStatus: fleet.Running, DesiredStatus: fleet.Running, Health: fleet.Healthy, Connectivity: fleet.Connected,
		Created: epoch.Add(-time.Hour), Started: epoch.Add(-59 * time.Minute),
		Containers: []fleet.Container{{Name: "nginx", Health: fleet.Healthy}, {Name: "app", Health: fleet.Unknown}},
		Targets:    []fleet.TargetKey{w.key(n)}, Read: w.read(),
	}
	if _, sick := w.failing[n]; sick {
		t.Health, t.Containers[0].Health = fleet.Unhealthy, fleet.Unhealthy
	}
	return t
}

func (w *world) timeline(n int, since time.Time) *timeline.Timeline {
	return &timeline.Timeline{
		ID: timeline.ID(fmt.Sprintf("%032x-%d", n, since.Unix())), Task: taskARN(n), Service: w.service(),
		Definition: "arn:aws:ecs:eu-central-1:123456789012:task-definition/grpc:7", Trigger: timeline.ContainerCheck, Opened: since,
		Milestones: []timeline.Milestone{
			{Kind: timeline.Onset, Bounds: timeline.Bounds{NotBefore: since.Add(-40 * time.Second), NotAfter: since}, Source: timeline.Estimated, By: timeline.ByApp, Evidence: "2 × (5 s + 3 s)"},
			{Kind: timeline.Unhealthy, Bounds: timeline.Bounds{NotBefore: since.Add(-5 * time.Second), NotAfter: since}, Source: timeline.Observed, By: timeline.ByECS, Evidence: "UNHEALTHY, HEALTHY the read before"},
		},
		Targets:   []timeline.Target{{Key: w.key(n)}},
		Container: "nginx", Check: &fleet.HealthCheck{Command: []string{"CMD-SHELL", "grpc-health-probe -addr=localhost:10080"}, Interval: 5 * time.Second, Retries: 2},
	}
}

// state is what the tracker would have to remember now.
func (w *world) state() timeline.State {
	s := timeline.State{
		Began: epoch, At: w.now,
		Calm: timeline.Calm{Tasks: w.read().Sent, Groups: w.read().Sent, Newest: []timeline.Newest{{Service: w.service(), Created: epoch.Add(-time.Hour)}}},
	}
	if len(w.failing) == 0 {
		return s
	}
	g := &fleet.TargetGroup{ARN: group, Name: "grpc", Protocol: "TCP", Port: 10080, TargetType: fleet.TargetTypeIP, Read: w.read(), Inventory: fleet.Read{Sent: epoch, Received: epoch}}
	for n := range w.tasks {
		s.Tasks = append(s.Tasks, w.task(n))
		g.Targets = append(g.Targets, fleet.Target{Key: w.key(n), State: fleet.TargetHealthy, Zone: "eu-central-1a"})
	}
	s.Groups = []*fleet.TargetGroup{g}
	for _, n := range slices.Sorted(maps.Keys(w.failing)) {
		task := w.task(n)
		s.Failures = append(s.Failures, timeline.FailureState{
			Timeline: w.timeline(n, w.failing[n]), Announced: true, WasHealthy: true, Task: task, Sick: task.Read,
			Targets: []timeline.TargetState{{Target: timeline.Target{Key: w.key(n)}, State: fleet.TargetHealthy, Read: w.read()}},
		})
		s.Taken = append(s.Taken, taskARN(n+1))
	}
	return s
}

func (w *world) guards() policy.State {
	var s policy.State
	for _, n := range slices.Sorted(maps.Keys(w.failing)) {
		s.Watches = append(s.Watches, policy.Watch{Task: taskARN(n), Service: w.service(), Read: w.read().Sent, Sick: w.failing[n], Reads: int(w.now.Sub(w.failing[n]) / time.Second)})
	}
	return s
}

// pass is the next pass: tasks fail and stop, and detachments follow them.
func (w *world) pass(every time.Duration) Pass {
	w.passes++ // no two at the same instant, even when the clock is set back
	w.now = w.now.Add(every).Truncate(time.Second).Add(w.passes)
	var p Pass
	for _, n := range slices.Sorted(maps.Keys(w.failing)) {
		if w.r.IntN(4) > 0 {
			continue
		}
		tl := w.timeline(n, w.failing[n])
		tl.Outcome, tl.Closed = timeline.Retired, w.now
		p.Closed = append(p.Closed, tl)
		delete(w.failing, n)
		if d, ok := w.detachments[n]; ok {
			d.Progress, d.Outcome, d.Ended = policy.Closed, policy.Stopped, w.now
			p.Detachments = append(p.Detachments, d)
			delete(w.detachments, n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(w.detachments)) {
		d := w.detachments[n]
		d.Seen = w.now
		w.detachments[n] = d
		p.Detachments = append(p.Detachments, d)
	}
	if len(w.failing) == 0 || w.r.IntN(3) == 0 {
		w.failing[w.r.IntN(w.tasks)] = w.now
	}
	p.Tracker, p.Guards = w.state(), w.guards()
	return p
}

// detach takes out the target of a failing task, or of none.
func (w *world) detach() (policy.State, []policy.Detachment) {
	for _, n := range slices.Sorted(maps.Keys(w.failing)) {
		if _, out := w.detachments[n]; out {
			continue
		}
		d := policy.Detachment{
			Target: w.key(n), Task: taskARN(n), Started: epoch, Service: w.service(), Cluster: cluster, Zone: "eu-central-1a",
			Mode: policy.Detaching, Decided: w.now, Up: w.now, Seen: w.now, Progress: policy.Out,
		}
		w.detachments[n] = d
		state := w.guards()
		state.Buckets = []policy.Bucket{{Mode: policy.Detaching, Service: w.service(), Full: w.now.Add(time.Minute)}}
		return state, []policy.Detachment{d}
	}
	return w.guards(), nil
}

// model is the slow and obvious journal: what Load should answer.
type model struct {
	keep     Keep
	contents Contents
}

func newModel(keep Keep) *model { return &model{keep: keep, contents: Contents{Fresh: true}} }

func (m *model) commit(p Pass) {
	c := &m.contents
	c.Fresh, c.Tracker, c.Guards = false, p.Tracker, p.Guards
	m.note(p.Detachments)
	c.Closed = append(c.Closed, p.Closed...)
	slices.SortStableFunc(c.Closed, func(a, b *timeline.Timeline) int {
		return cmp.Or(b.Closed.Compare(a.Closed), cmp.Compare(b.ID, a.ID))
	})
	limit := p.Tracker.At.Add(-m.keep.Age)
	c.Closed = slices.DeleteFunc(c.Closed, func(t *timeline.Timeline) bool { return t.Closed.Before(limit) })
	c.Closed = c.Closed[:min(len(c.Closed), m.keep.Count)]
	slices.SortStableFunc(c.Ended, func(a, b policy.Detachment) int { return cmp.Compare(endedKey(&b), endedKey(&a)) })
	c.Ended = slices.DeleteFunc(c.Ended, func(d policy.Detachment) bool { return d.Ended.Before(limit) })
	c.Ended = c.Ended[:min(len(c.Ended), m.keep.Count)]
}

func (m *model) record(s policy.State, ds []policy.Detachment) {
	m.contents.Guards = s
	m.note(ds)
}

func (m *model) note(ds []policy.Detachment) {
	c := &m.contents
	for _, d := range ds {
		c.Detachments = slices.DeleteFunc(c.Detachments, func(e policy.Detachment) bool { return identity(&e) == identity(&d) })
		if d.Open() {
			c.Detachments = append(c.Detachments, d)
		} else {
			c.Ended = append(c.Ended, d)
		}
	}
	slices.SortFunc(c.Detachments, func(a, b policy.Detachment) int { return strings.Compare(identity(&a), identity(&b)) })
}

// text is contents to compare: all of them, but who wrote them. Which lists are
// nil does not matter.
func text(t testing.TB, c Contents) string {
	t.Helper()
	c.Version = ""
	c.Aside = nil
	data, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(data), ": []", ": null")
}

func (m *model) text(t testing.TB) string { return text(t, m.contents) }

func loaded(t testing.TB, j *Journal) string {
	t.Helper()
	c, err := j.Load()
	if err != nil {
		t.Fatal(err)
	}
	return text(t, c)
}

// difference is where two texts begin to differ.
func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d: got %s, want %s", i, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var wide = Options{Version: "1.0.0", Keep: Keep{Count: 1000, Age: 1000 * time.Hour}}
