package timeline

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Settings are the windows of the tracker.
type Settings struct {
	// RecoveryWindow is how long a task must be well again to have recovered.
	// ECS may still stop it: it does not call off a replacement once that is
	// healthy, minutes after the task turned UNHEALTHY.
	RecoveryWindow time.Duration
	// SettleWindow is how long after the task's stop the timeline waits for the
	// replacement to serve and for the rows to leave their groups.
	SettleWindow time.Duration
	// LostAfter is how long a timeline goes on without any new reading of its
	// task. ECS keeps describing a stopped task for an hour at least.
	LostAfter time.Duration
	// ReportLag is the longest that a health change is taken to need from the
	// container or the balancer to the API. It widens the estimate of the onset. The
	// EC2 agent reports every 20 s (amazon-ecs-agent,
	// DefaultContainerMetricsPublishInterval); Fargate's lag is not published.
	ReportLag time.Duration
	// CallLag is for how long after castoff's own call a reading may not show it yet,
	// beside the age of the reply: a call that is not answered is made again, and may
	// have been carried out by any of its attempts.
	CallLag time.Duration
	// ExitLag is the same for the end of a container, which the agent reports at
	// once; how long that takes is not published.
	ExitLag time.Duration
}

// DefaultSettings are the settings for real time.
func DefaultSettings() Settings {
	return Settings{
		RecoveryWindow: 3 * time.Minute,
		SettleWindow:   10 * time.Minute,
		LostAfter:      time.Hour,
		ReportLag:      20 * time.Second,
		CallLag:        20 * time.Second,
		ExitLag:        5 * time.Second,
	}
}

// Changes are what one snapshot changed. The timelines in it are copies.
type Changes struct {
	Opened   []*Timeline
	Closed   []*Timeline
	Exposure []Exposed
}

// Tracker follows failing tasks from snapshot to snapshot. It is not safe for
// concurrent use.
type Tracker struct {
	settings Settings
	began    time.Time // of the first snapshot: what ended before is not ours
	prev     *fleet.Snapshot
	failures []*failure             // sorted by task; finished ones stay while their task is in sight
	taken    map[fleet.TaskARN]bool // tasks that replace another for good, while in sight
	restored map[fleet.TaskARN]bool // of those that something is kept of, what has not been in sight since
	// recovered are the failures of tasks that are in sight and have recovered:
	// ECS may still stop them for that.
	recovered map[fleet.TaskARN]Survived
	dark      map[fleet.TaskARN]Darkness // of tasks in sight whose agent is cut off, or has just come back
	exposed   []exposure                 // sorted by key
	calm      Calm                       // before the restart; zero without one
	// calls are castoff's own about rows of which nothing is kept yet: their failure is
	// not known, or its group has not been read.
	calls map[callOf]ownCall
	// withheld are rows that are unhealthy, and may be another task's: since which
	// reading. A restart forgets them, and knows less precisely then.
	withheld map[fleet.TargetKey]fleet.Read
	parted   map[callOf]Parting // rows that have left, of tasks in sight that do not fail
	// undarkened: what is known from before the restart does not say whose agent was
	// cut off then.
	undarkened bool
}

// callOf is what a call was about.
type callOf struct {
	task fleet.TaskARN
	key  fleet.TargetKey
}

// forgotten is after how long a call about a task that is in sight no more is forgotten:
// one that comes back after a restart does so within minutes.
const forgotten = time.Hour

// ownCall is castoff's latest DeregisterTargets about a row; see Tracker.Called.
type ownCall struct {
	Bounds
	// pending: it is under way; before is the one before it, which counts again where
	// it changes nothing.
	pending bool
	before  Bounds
}

// settled is by when it had taken effect, if ever it did, but for what readings lag
// behind. Of one that is under way, or that nobody answered, that is as late as a call
// may last.
func (b Bounds) settled() time.Time {
	if b.NotAfter.IsZero() {
		return b.NotBefore.Add(fleet.CallLasts)
	}
	return b.NotAfter
}

// NewTracker makes a tracker that has seen nothing yet.
func NewTracker(s Settings) *Tracker {
	return &Tracker{settings: s, prev: fleet.NewSnapshot(fleet.Snapshot{}), taken: make(map[fleet.TaskARN]bool), restored: make(map[fleet.TaskARN]bool), recovered: make(map[fleet.TaskARN]Survived), dark: make(map[fleet.TaskARN]Darkness), calls: make(map[callOf]ownCall), withheld: make(map[fleet.TargetKey]fleet.Read), parted: make(map[callOf]Parting)}
}

// Track takes the next snapshot into account. Snapshots come in the order in
// which they were taken.
func (t *Tracker) Track(s *fleet.Snapshot) Changes {
	if t.began.IsZero() {
		t.began = s.At
	}
	t.openFromTasks(s)
	t.openFromTargets(s)
	for _, f := range t.failures {
		if f.live() {
			f.update(t, s)
		}
	}
	t.pair(s)
	var changes Changes
	for _, f := range t.failures {
		f.conclude(t, s, &changes)
	}
	t.watchRows(s)
	t.forget(s)
	changes.Exposure = t.expose(s)
	t.prev = s
	return changes
}

// Calling tells of a DeregisterTargets call of castoff's own that is under way. Called
// or NotCalled tell what came of it.
func (t *Tracker) Calling(task fleet.TaskARN, key fleet.TargetKey, sent time.Time) {
	t.hear(task, key, func(c *ownCall, outBy time.Time) {
		if !c.NotBefore.Equal(sent) && !sent.After(outBy) {
			*c = ownCall{Bounds: Bounds{NotBefore: sent}, pending: true, before: c.Bounds}
		}
	})
}

// NotCalled takes back what Calling has told: the call changed nothing.
func (t *Tracker) NotCalled(task fleet.TaskARN, key fleet.TargetKey, sent time.Time) {
	t.hear(task, key, func(c *ownCall, _ time.Time) {
		if c.pending && c.NotBefore.Equal(sent) {
			*c = ownCall{Bounds: c.before}
		}
	})
}

// Called tells of a DeregisterTargets call of castoff's own that took effect, or
// may have: not before it was sent and, where it was answered, not after the
// reply was there. An unanswered call has no NotAfter, and one that is told of again
// after a restart changes nothing. Where the failure was not written down any more, or
// its row has not been read, it is for when that is.
func (t *Tracker) Called(task fleet.TaskARN, key fleet.TargetKey, call Bounds) {
	t.hear(task, key, func(c *ownCall, outBy time.Time) {
		if told := call.NotBefore.Equal(c.NotBefore); told && c.pending || !told && !call.NotBefore.After(outBy) {
			*c = ownCall{Bounds: call}
		}
	})
}

// hear has what is known of castoff's call about a row changed. outBy is by when the row
// had been taken out: what was sent later only keeps it out.
func (t *Tracker) hear(task fleet.TaskARN, key fleet.TargetKey, change func(c *ownCall, outBy time.Time)) {
	if ft := t.target(task, key); ft != nil {
		outBy := never
		if m, out := find(ft.Milestones, Detach); out {
			outBy = m.NotAfter
		}
		change(&ft.call, outBy)
		return
	}
	about := callOf{task, key}
	c := t.calls[about]
	if change(&c, never); c.NotBefore.IsZero() {
		delete(t.calls, about)
		return
	}
	t.calls[about] = c
}

// never is later than any instant.
var never = time.Unix(1<<40, 0)

// target is what is kept of a failing task's row; nil when nothing is.
func (t *Tracker) target(task fleet.TaskARN, key fleet.TargetKey) *failingTarget {
	f := t.failure(task)
	if f == nil {
		return nil
	}
	i := slices.IndexFunc(f.targets, func(ft failingTarget) bool { return ft.Key == key })
	if i < 0 {
		return nil
	}
	return &f.targets[i]
}

// Open are copies of the timelines that are not closed, sorted by task.
func (t *Tracker) Open() []*Timeline {
	var open []*Timeline
	for _, f := range t.failures {
		if f.live() && !f.muted {
			open = append(open, f.tl.Clone())
		}
	}
	return open
}

// Hot are the services whose tasks and targets are to be read at the hot
// interval, sorted: those in which something fails or a timeline is open.
func (t *Tracker) Hot() []fleet.ServiceID {
	var hot []fleet.ServiceID
	for _, f := range t.failures {
		if f.live() {
			hot = append(hot, f.tl.Service)
		}
	}
	slices.SortFunc(hot, fleet.ServiceID.Compare)
	return slices.Compact(hot)
}

// openFromTasks looks at every task that was read again since the last
// snapshot. Both lists are sorted, so that one walk finds each task's earlier
// reading without a map of everything.
func (t *Tracker) openFromTasks(s *fleet.Snapshot) {
	before := t.prev.Tasks
	for _, is := range s.Tasks {
		for len(before) > 0 && before[0].ARN < is.ARN {
			before = before[1:]
		}
		var was *fleet.Task
		if len(before) > 0 && before[0].ARN == is.ARN {
			was = before[0]
		}
		if was == is {
			continue
		}
		t.watchAgent(s, was, is)
		if !is.Failing() && !is.Leaving() {
			continue
		}
		if f := t.failure(is.ARN); f != nil {
			continue
		}
		if f := t.failing(s, was, is); f != nil {
			t.add(f)
		}
	}
}

// openFromTargets looks at every unhealthy row of a group that was read again. A
// row that was not says nothing new. A task that has not been read for long may be
// gone, and one that has not been read since the row was in service may have left it to
// another.
func (t *Tracker) openFromTargets(s *fleet.Snapshot) {
	for _, g := range s.TargetGroups {
		was := t.prev.TargetGroup(g.ARN)
		if was != nil && was.Read == g.Read {
			continue
		}
		for i := range g.Targets {
			if !g.Targets[i].Unhealthy() {
				continue
			}
			task := s.Owner(g.Targets[i].Key)
			if task == nil || task.Leaving() || t.failure(task.ARN) != nil || task.Read.Age(s.At) > t.settings.LostAfter {
				continue
			}
			if task.LastStatus == fleet.Provisioning || task.LastStatus == fleet.Pending ||
				task.Started.IsZero() && mayBeInherited(t.prev, task, g.Targets[i].Key) {
				continue // the row is whose address that was
			}
			if was != nil && task.Read.Sent.Before(was.Read.Sent) && task.Read.Age(g.Read.Sent) > glance {
				if before := t.prev.Target(g.Targets[i].Key); before == nil || !before.Unhealthy() {
					t.withheld[g.Targets[i].Key] = was.Read
				}
				continue
			}
			f := newFailure(s, task, TargetCheck)
			f.muted = booting(s, task, true)
			t.add(f)
		}
	}
}

func (t *Tracker) find(arn fleet.TaskARN) (int, bool) {
	return slices.BinarySearchFunc(t.failures, arn, func(f *failure, arn fleet.TaskARN) int { return cmp.Compare(f.tl.Task, arn) })
}

func (t *Tracker) failure(arn fleet.TaskARN) *failure {
	if i, ok := t.find(arn); ok {
		return t.failures[i]
	}
	return nil
}

func (t *Tracker) add(f *failure) {
	i, _ := t.find(f.tl.Task)
	t.failures = slices.Insert(t.failures, i, f)
}

// forget drops what needs no memory: at once where the task may yet fail again,
// or where nobody heard of it. A stopped task's is kept for as long as the task is
// in sight, since it looks like a failing one, and a lost one's until the task is
// read again.
func (t *Tracker) forget(s *fleet.Snapshot) {
	maps.DeleteFunc(t.withheld, func(k fleet.TargetKey, _ fleet.Read) bool {
		row := s.Target(k)
		return row == nil || !row.Unhealthy()
	})
	maps.DeleteFunc(t.restored, func(arn fleet.TaskARN, _ bool) bool { return s.Task(arn) != nil || !hidden(s, arn) })
	t.failures = slices.DeleteFunc(t.failures, func(f *failure) bool {
		is := s.Task(f.tl.Task)
		switch {
		case f.live():
			return false
		case f.muted || t.over(s, f.tl.Task):
			return true
		case f.tl.Outcome == Lost:
			return is != nil && is.Read != f.task.Read
		default:
			return !f.task.Gone()
		}
	})
	maps.DeleteFunc(t.recovered, func(arn fleet.TaskARN, _ Survived) bool { return t.over(s, arn) })
	maps.DeleteFunc(t.dark, func(arn fleet.TaskARN, _ Darkness) bool { return t.over(s, arn) })
	maps.DeleteFunc(t.taken, func(arn fleet.TaskARN, _ bool) bool { return t.over(s, arn) })
	maps.DeleteFunc(t.calls, func(about callOf, call ownCall) bool {
		row, g := s.Target(about.key), s.TargetGroup(about.key.Group)
		back := row != nil && row.Healthy() && g.Read.Earliest().After(call.settled().Add(t.settings.CallLag)) // by somebody
		return back || t.over(s, about.task) && s.At.Sub(call.NotBefore) > forgotten
	})
}

// over reports that a task is in sight no more. One that was kept over a restart is
// not in sight before it has been read.
func (t *Tracker) over(s *fleet.Snapshot, arn fleet.TaskARN) bool {
	return s.Task(arn) == nil && !t.restored[arn]
}

// hidden reports that a task which the snapshot has not may be there all the same: what
// would tell could not be read.
func hidden(s *fleet.Snapshot, arn fleet.TaskARN) bool {
	return slices.ContainsFunc(s.Gaps, func(g fleet.Gap) bool {
		return g.Kind != fleet.GapServices && g.Kind != fleet.GapService && g.MayHide("", fleet.ServiceID{Cluster: arn.Cluster()}, arn)
	})
}
