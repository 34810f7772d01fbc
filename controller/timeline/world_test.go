package timeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// world is the slow, obvious oracle: every task is a list of instants, and what
// AWS would say at any instant follows from them. It knows nothing of reads.
type world struct {
	service *fleet.Service
	def     *fleet.TaskDefinition
	groups  []*fleet.TargetGroup
	tasks   []*life
	// stampOnDeactivating is where ECS stamps stoppingAt, which nobody knows.
	stampOnDeactivating bool
	// said changes what ECS says of a task; nil: nothing.
	said func(l *life, now time.Time, t *fleet.Task)
}

// life is the truth about one task; a zero instant never comes.
type life struct {
	id                       string
	startedBy                string
	addr                     string
	created, started         time.Time
	activating               time.Time
	onset                    time.Time
	unhealthy, recovered     time.Time
	cutOff, back             time.Time // of its agent, from ECS
	registered, serving      time.Time
	lbUnhealthy, lbRecovered time.Time
	deactivating             time.Time
	draining, gone           time.Time // of its row
	stopping, stopped        time.Time
	ended                    time.Time // executionStoppedAt
	stopCode, reason         string
	// skew is how much later the balancer's part happens in each further group.
	skew        time.Duration
	absent      []int // groups in which it has no row
	replacement *life // the truth about who took its place
}

var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func sec(s float64) time.Time { return epoch.Add(time.Duration(s * float64(time.Second))) }

// came reports that an instant has come by now.
func came(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func newWorld(groups int) *world {
	w := &world{
		service: &fleet.Service{
			ID: fleet.ServiceID{Cluster: "prod", Name: "web"}, Cluster: "arn:aws:ecs:eu-central-1:123456789012:cluster/prod",
			Status: "ACTIVE", Desired: 2, Scheduling: fleet.Replica, Controller: fleet.ControllerECS,
		},
		def: &fleet.TaskDefinition{ARN: "arn:aws:ecs:eu-central-1:123456789012:task-definition/web:1", Containers: []fleet.ContainerDefinition{
			{Name: "nginx", Essential: true, Check: &fleet.HealthCheck{Interval: 5 * time.Second, Timeout: 3 * time.Second, Retries: 2, StartPeriod: 10 * time.Second}},
			{Name: "app", Essential: true},
		}},
	}
	for i := range groups {
		arn := fleet.TargetGroupARN(fmt.Sprintf("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web-%d/0123456789abcdef", i))
		w.groups = append(w.groups, &fleet.TargetGroup{ARN: arn, Name: arn.Name(), Protocol: "TCP", TargetType: fleet.TargetTypeIP,
			Check: fleet.TargetCheck{Protocol: "TCP", Interval: 10 * time.Second, Timeout: 5 * time.Second, UnhealthyThreshold: 2, HealthyThreshold: 3}})
		w.service.LoadBalancers = append(w.service.LoadBalancers, fleet.LoadBalancer{Group: arn, Container: "nginx", Port: 10080})
	}
	return w
}

func (w *world) add(l *life) *life {
	if l.startedBy == "" {
		l.startedBy = "ecs-svc/1"
	}
	if l.addr == "" {
		l.addr = fmt.Sprintf("10.0.0.%d", len(w.tasks)+10)
	}
	w.tasks = append(w.tasks, l)
	return l
}

func (l *life) arn() fleet.TaskARN {
	return fleet.TaskARN("arn:aws:ecs:eu-central-1:123456789012:task/prod/" + l.id)
}

// task is what DescribeTasks says at the instant now; nil before it is created.
func (w *world) task(l *life, now time.Time, read fleet.Read) *fleet.Task {
	if !came(l.created, now) {
		return nil
	}
	t := &fleet.Task{
		ARN: l.arn(), Cluster: w.service.Cluster, Service: w.service.ID, Definition: w.def.ARN, StartedBy: l.startedBy,
		LaunchType: fleet.Fargate, Zone: "eu-central-1a", Created: l.created, Read: read,
		LastStatus: fleet.Pending, DesiredStatus: fleet.Running, Health: fleet.Unknown, Connectivity: fleet.Connected,
		ConnectedAt: l.created,
	}
	if came(l.back, now) {
		t.ConnectedAt = l.back
	}
	for _, g := range w.groups {
		t.Targets = append(t.Targets, fleet.NewTargetKey(g.ARN, l.addr, 10080))
	}
	if came(l.activating, now) {
		t.LastStatus = fleet.Activating
	}
	if came(l.started, now) {
		t.LastStatus, t.Started, t.Health = fleet.Running, l.started, fleet.Healthy
	}
	if came(l.unhealthy, now) && !came(l.recovered, now) {
		t.Health = fleet.Unhealthy
	}
	if came(l.cutOff, now) && !came(l.back, now) {
		t.Connectivity = fleet.Disconnected
	}
	if came(l.deactivating, now) {
		t.LastStatus, t.DesiredStatus, t.StopCode, t.StoppedReason = fleet.Deactivating, fleet.Stopped, l.stopCode, l.reason
		if w.stampOnDeactivating {
			t.StoppingAt = l.deactivating
		}
	}
	if came(l.stopping, now) {
		t.LastStatus, t.DesiredStatus, t.StopCode, t.StoppedReason = fleet.Stopping, fleet.Stopped, l.stopCode, l.reason
		if t.StoppingAt.IsZero() {
			t.StoppingAt = l.stopping
		}
	}
	if came(l.ended, now) {
		t.ExecutionStopped = l.ended.Truncate(time.Second) // as ECS often does
	}
	if came(l.stopped, now) {
		t.LastStatus, t.StoppedAt = fleet.Stopped, l.stopped
	}
	t.Containers = []fleet.Container{{Name: "nginx", Health: t.Health}, {Name: "app", Health: fleet.Unknown}}
	if w.said != nil {
		w.said(l, now, t)
	}
	return t
}

// in is an instant of the balancer's as it is in the world's i-th group.
func (l *life) in(i int, at time.Time) time.Time {
	if at.IsZero() {
		return at
	}
	return at.Add(time.Duration(i) * l.skew)
}

// group is what DescribeTargetHealth says of the i-th group at the instant.
func (w *world) group(i int, at time.Time, read fleet.Read) *fleet.TargetGroup {
	g := w.groups[i]
	is := *g
	is.Read = read
	is.Targets = nil
	for _, l := range w.tasks {
		now := at.Add(-time.Duration(i) * l.skew)
		if !came(l.registered, now) || came(l.gone, now) || slices.Contains(l.absent, i) {
			continue
		}
		row := fleet.Target{Key: fleet.NewTargetKey(g.ARN, l.addr, 10080), State: fleet.TargetInitial}
		if came(l.serving, now) {
			row.State = fleet.TargetHealthy
		}
		if came(l.lbUnhealthy, now) && !came(l.lbRecovered, now) {
			row.State = fleet.TargetUnhealthy
		}
		if came(l.draining, now) {
			row.State = fleet.TargetDraining
		}
		is.Targets = append(is.Targets, row)
	}
	return &is
}

// camera takes snapshots of a world, each part at its own instant.
type camera struct {
	w    *world
	last *fleet.Snapshot
	// within is how long before and after the instant of a read its request was
	// sent and its reply received; nil: at that instant.
	within func() (time.Duration, time.Duration)
	// behind is how old replies may be, age how old the next one is, about each thing by
	// itself; nil: none is. A task's versions tell which of two readings is the older.
	behind time.Duration
	age    func() time.Duration
	told   map[string]time.Time // of which instant the last reading of a task was
	// skip says that a part is not read this time.
	skip func(ref string) bool
	gaps []fleet.Gap // that each snapshot has
	// nameless is a group of which nobody can tell by what address it names a task.
	nameless fleet.TargetGroupARN
	// hide says that a task is out of sight for good.
	hide func(*life) bool
	// began is when castoff was last restarted: it never hears of a task that it
	// did not know and that had stopped before.
	began time.Time
	// defined is when the task definition was first read.
	defined time.Time
	// opened are the timelines that opened so far.
	opened []*Timeline
}

func (c *camera) read(now time.Time) fleet.Read {
	if c.within == nil {
		return fleet.Read{Sent: now, Received: now, Behind: c.behind}
	}
	before, after := c.within()
	sent := now.Add(-before)
	if c.last != nil && !sent.After(c.last.At) { // passes do not overlap
		sent = c.last.At.Add(time.Microsecond)
	}
	return fleet.Read{Sent: sent, Received: now.Add(after), Behind: c.behind}
}

// of is the instant that the reply to a request of now tells of.
func (c *camera) of(now time.Time) time.Time {
	if c.age == nil {
		return now
	}
	return now.Add(-c.age())
}

// version is the same of a task: no older than the last one, whose version would
// be greater.
func (c *camera) version(id string, now time.Time) time.Time {
	at := c.of(now)
	if c.told == nil {
		c.told = map[string]time.Time{}
	}
	if at.After(c.told[id]) {
		c.told[id] = at
	}
	return c.told[id]
}

func (c *camera) shoot(now time.Time) *fleet.Snapshot {
	s := fleet.Snapshot{
		At: now, Gaps: slices.Clone(c.gaps), Services: []*fleet.Service{c.w.service},
		Definitions: map[fleet.TaskDefinitionARN]*fleet.TaskDefinition{c.w.def.ARN: c.w.def},
	}
	if now.Before(c.defined) {
		clear(s.Definitions)
	}
	note := func(r fleet.Read) {
		if r.Received.After(s.At) {
			s.At = r.Received
		}
	}
	for _, l := range c.w.tasks {
		if c.hide != nil && c.hide(l) {
			continue
		}
		var was *fleet.Task
		if c.last != nil {
			was = c.last.Task(l.arn())
		}
		if gone := was != nil && was.Gone(); gone || c.skip != nil && c.skip(l.id) {
			if !gone {
				s.Gaps = append(s.Gaps, fleet.Gap{Kind: fleet.GapTasks, Ref: string(c.w.service.Cluster), Class: fleet.Transient})
			}
			if was != nil {
				s.Tasks = append(s.Tasks, was)
			}
			continue
		}
		if t := c.w.task(l, c.version(l.id, now), c.read(now)); t != nil && (was != nil || !t.Gone() || !t.StoppedAt.Before(c.began)) {
			t.Targets = slices.DeleteFunc(t.Targets, func(k fleet.TargetKey) bool { return k.Group == c.nameless })
			s.Tasks = append(s.Tasks, t)
			note(t.Read)
		}
	}
	for i, g := range c.w.groups {
		if c.skip != nil && c.skip(g.Name) {
			s.Gaps = append(s.Gaps, fleet.Gap{Kind: fleet.GapTargetHealth, Ref: string(g.ARN), Class: fleet.Transient})
			if c.last != nil && c.last.TargetGroup(g.ARN) != nil {
				g = c.last.TargetGroup(g.ARN)
			}
			s.TargetGroups = append(s.TargetGroups, g) // as it was, or known and never read
			continue
		}
		is := c.w.group(i, c.of(now), c.read(now))
		s.TargetGroups = append(s.TargetGroups, is)
		note(is.Read)
	}
	c.last = fleet.NewSnapshot(s)
	return c.last
}

// restart is what is left after castoff has been away until now: the state, as
// written and read back, and the tasks in it.
func (c *camera) restart(t *Tracker, now time.Time) (*Tracker, error) {
	text, err := json.Marshal(t.State())
	if err != nil {
		return nil, err
	}
	var s State
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	c.began, c.told = now, nil
	c.last = fleet.NewSnapshot(fleet.Snapshot{At: s.At, Tasks: slices.Clone(s.Tasks)})
	return Restore(t.settings, s), nil
}

// film tracks a world from one instant to another, every so often or as soon as
// the last pass is over, and returns the timelines that closed.
func (c *camera) film(t *Tracker, from, to time.Time, every time.Duration) (closed []*Timeline) {
	for now := from; !now.After(to); {
		s := c.shoot(now)
		if now = now.Add(every); !now.After(s.At) {
			now = s.At.Add(time.Millisecond)
		}
		changes := t.Track(s)
		closed = append(closed, changes.Closed...)
		c.opened = append(c.opened, changes.Opened...)
	}
	return closed
}

// settled is a task that has long served when a test begins.
func settled(id string) *life {
	return &life{id: id, created: sec(0), started: sec(20), registered: sec(20), serving: sec(100)}
}

// hung is a settled task that hangs at 600 s and is retired the usual way.
func hung(id string) *life {
	l := settled(id)
	l.onset, l.unhealthy = sec(590), sec(603)
	l.deactivating, l.draining = sec(680), sec(681)
	l.gone, l.stopping, l.stopped = sec(980), sec(983), sec(1015)
	l.stopCode, l.reason = "ServiceSchedulerInitiated", "Task failed container health checks"
	return l
}

// fresh is a task created at one instant, serving 60 s later.
func fresh(id string, at float64) *life {
	return &life{id: id, created: sec(at), started: sec(at + 15), registered: sec(at + 15), serving: sec(at + 60)}
}

func only(t *testing.T, closed []*Timeline) *Timeline {
	t.Helper()
	if len(closed) != 1 {
		for _, tl := range closed {
			t.Log(describe(tl))
		}
		t.Fatalf("%d timelines closed, want 1", len(closed))
	}
	return closed[0]
}

func bounds(t *testing.T, tl *Timeline, k Kind) Milestone {
	t.Helper()
	m, ok := tl.Milestone(k)
	if !ok {
		t.Fatalf("no %s in %s", k, describe(tl))
	}
	if parts := strings.Split(m.Evidence, "; "); len(slices.Compact(slices.Sorted(slices.Values(parts)))) < len(parts) {
		t.Errorf("says it twice: %s", m.Evidence)
	}
	return m
}

func contains(t *testing.T, tl *Timeline, k Kind, at time.Time) {
	t.Helper()
	if m := bounds(t, tl, k); !m.Contains(at) {
		t.Errorf("%s was at %s: %s", k, at, describe(tl))
	}
}

func absent(t *testing.T, tl *Timeline, kinds ...Kind) {
	t.Helper()
	for _, k := range kinds {
		if _, ok := tl.Milestone(k); ok {
			t.Errorf("%s in %s", k, describe(tl))
		}
	}
}

// blind has no task be read, as after a restart while DescribeTasks fails, or all again.
func (c *camera) blind(yes bool) {
	c.hide, c.gaps = nil, nil
	if yes {
		c.hide = func(*life) bool { return true }
		c.gaps = []fleet.Gap{{Kind: fleet.GapTasks, Ref: string(c.w.service.Cluster), Class: fleet.Transient}}
	}
}
