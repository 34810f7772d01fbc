package timeline

import (
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// State is what a tracker must remember to go on where another one ended: after
// a restart the bounds are as much wider as castoff was away, and true. It is
// plain data that JSON keeps whole.
type State struct {
	Began    time.Time
	At       time.Time // of the last snapshot
	Failures []FailureState
	Taken    []fleet.TaskARN // replacements for good, sorted
	// Recovered are the failures of tasks in sight that have recovered.
	Recovered map[fleet.TaskARN]Survived
	// Dark are the tasks in sight whose agent is cut off, or has just come back; nil
	// where that was not kept yet.
	Dark map[fleet.TaskARN]Darkness
	// Tasks and Groups are the last readings of the failing tasks' services, of
	// tasks on their way out, or out of a group, and of those that State was told to keep.
	Tasks  []*fleet.Task
	Groups []*fleet.TargetGroup
	Calm   Calm
	// Parted are the rows that have left their groups, of tasks in sight that do not
	// fail, sorted by task.
	Parted []Parting `json:",omitempty"`
}

// Survived is what is remembered of a failure that a task has recovered from.
type Survived struct {
	Since       time.Time // the earliest that it can have been known
	Replacement fleet.TaskARN
}

// Calm is what is known of tasks that did not fail, without a word on each: one
// that was there was read then, and was not failing.
type Calm struct {
	// Tasks and Groups are the earliest instants of the last readings; zero when
	// there were none.
	Tasks  time.Time
	Groups time.Time
	// Newest is when the newest known task of each service was created, sorted by
	// service. AWS lists a service's tasks whole, so every task created no later
	// was known.
	Newest []Newest
}

// Newest is when a service's newest known task was created.
type Newest struct {
	Service fleet.ServiceID
	Created time.Time
}

// FailureState is a failure in the making; see failure.
type FailureState struct {
	Timeline               *Timeline
	Muted, Announced       bool
	WasKnown, WasHealthy   bool
	Task                   *fleet.Task
	Sick                   fleet.Read
	Evidence               time.Time
	Deactivating, Stopping Bounds
	Targets                []TargetState
	Serving                []ServingState
}

// TargetState is what the balancer last said of a failing task's row.
type TargetState struct {
	Target
	State fleet.TargetState
	Read  fleet.Read
	Sick  bool
	Again bool
	Call  Bounds
	Own   *fleet.Read // nil where that was not kept yet
	Seen  time.Time   `json:",omitzero"`
}

// ServingState is a healthy row of a replacement.
type ServingState struct {
	Key   fleet.TargetKey
	Since Bounds
}

// State is what Track left to remember. It shares nothing with the tracker. Of the tasks
// to keep it has the last reading too, whatever became of their timelines.
func (t *Tracker) State(keep ...fleet.TaskARN) State {
	s := State{Began: t.began, At: t.prev.At, Calm: t.calmNow(), Parted: t.partings()}
	for arn := range t.taken {
		s.Taken = append(s.Taken, arn)
	}
	slices.Sort(s.Taken)
	s.Recovered, s.Dark = maps.Clone(t.recovered), maps.Clone(t.dark)
	groups := map[fleet.TargetGroupARN]bool{}
	for _, f := range t.failures {
		s.Failures = append(s.Failures, f.state())
	}
	hot := t.Hot()
	for _, task := range t.prev.Tasks {
		_, ok := slices.BinarySearchFunc(hot, task.Service, fleet.ServiceID.Compare)
		leaving := task.Leaving() && !task.Gone() // what it leaves for is told later
		if !ok && !leaving && !t.draining(task) && t.failure(task.ARN) == nil && !slices.Contains(keep, task.ARN) {
			continue
		}
		s.Tasks = append(s.Tasks, task)
		for _, key := range task.Targets {
			groups[key.Group] = true
		}
	}
	for _, g := range t.prev.TargetGroups {
		if groups[g.ARN] {
			s.Groups = append(s.Groups, g)
		}
	}
	return s
}

// draining reports that somebody has taken out a target of a task's: what is calm
// does not say so.
func (t *Tracker) draining(task *fleet.Task) bool {
	return slices.ContainsFunc(task.Targets, func(key fleet.TargetKey) bool {
		row := t.prev.Target(key)
		return row != nil && row.Draining() && t.prev.Owner(key) == task
	})
}

// calmNow sums up what is known of the tasks that do not fail. Where some tasks
// could not be read, or may fail, that is nothing: it is not known which.
func (t *Tracker) calmNow() Calm {
	for _, g := range t.prev.Gaps {
		switch g.Kind {
		case fleet.GapTasks, fleet.GapTaskList, fleet.GapClusters, fleet.GapCluster, fleet.GapServices, fleet.GapService,
			fleet.GapTargetHealth, fleet.GapTargetGroups, fleet.GapTargetGroup:
			return t.calm
		}
	}
	if len(t.withheld) > 0 {
		return t.calm
	}
	var c Calm
	newest := map[fleet.ServiceID]time.Time{}
	for _, task := range t.prev.Tasks {
		if task.Gone() {
			continue
		}
		if c.Tasks.IsZero() || task.Read.Earliest().Before(c.Tasks) {
			c.Tasks = task.Read.Earliest()
		}
		if task.Created.After(newest[task.Service]) {
			newest[task.Service] = task.Created
		}
	}
	for _, g := range t.prev.TargetGroups {
		if g.Read.Never() {
			return t.calm
		}
		if c.Groups.IsZero() || g.Read.Earliest().Before(c.Groups) {
			c.Groups = g.Read.Earliest()
		}
	}
	for id, created := range newest {
		c.Newest = append(c.Newest, Newest{Service: id, Created: created})
	}
	slices.SortFunc(c.Newest, func(a, b Newest) int { return a.Service.Compare(b.Service) })
	return c
}

// knew reports that the task was known, and not failing, when c was summed up.
func (c Calm) knew(task *fleet.Task) bool {
	i, ok := slices.BinarySearchFunc(c.Newest, task.Service, func(n Newest, id fleet.ServiceID) int { return n.Service.Compare(id) })
	return ok && !task.Created.IsZero() && !task.Created.After(c.Newest[i].Created)
}

// group is the read of its groups that found all to be well with a task.
func (c Calm) group(task *fleet.Task) fleet.Read {
	if !c.knew(task) || c.Groups.IsZero() {
		return fleet.Read{}
	}
	return fleet.Read{Sent: c.Groups, Received: c.Groups}
}

// Restore makes a tracker that goes on from a State.
func Restore(settings Settings, s State) *Tracker {
	t := NewTracker(settings)
	t.began, t.calm, t.undarkened = s.Began, s.Calm, s.Dark == nil
	t.prev = fleet.NewSnapshot(fleet.Snapshot{At: s.At, Tasks: slices.Clone(s.Tasks), TargetGroups: slices.Clone(s.Groups)})
	for _, arn := range s.Taken {
		t.taken[arn] = true
	}
	maps.Copy(t.recovered, s.Recovered)
	maps.Copy(t.dark, s.Dark)
	for _, p := range s.Parted {
		t.parted[callOf{p.Task, p.Key}] = p
		t.restored[p.Task] = true
	}
	for _, fs := range s.Failures {
		f := fs.failure()
		if is := t.prev.Task(f.tl.Task); is != nil {
			f.task = is // the same value, so that it is not taken for a new reading
		}
		t.add(f)
		t.restored[f.tl.Task] = true
	}
	for _, arns := range []iter.Seq[fleet.TaskARN]{maps.Keys(t.taken), maps.Keys(t.recovered), maps.Keys(t.dark)} {
		for arn := range arns {
			t.restored[arn] = true
		}
	}
	return t
}

func (f *failure) state() FailureState {
	s := FailureState{
		Timeline: f.tl.Clone(), Muted: f.muted, Announced: f.announced, WasKnown: f.wasKnown, WasHealthy: f.wasHealthy,
		Task: f.task, Sick: f.sick, Evidence: f.evidence, Deactivating: f.deactivating, Stopping: f.stopping,
	}
	for _, ft := range f.targets {
		ft.Milestones, ft.Good = slices.Clone(ft.Milestones), slices.Clone(ft.Good)
		call := ft.call.Bounds
		if ft.call.pending { // what comes of it whoever made it knows, and tells again
			call = ft.call.before
		}
		s.Targets = append(s.Targets, TargetState{Target: ft.Target, State: ft.state, Read: ft.read, Sick: ft.sick, Again: ft.again, Call: call, Own: &ft.own, Seen: ft.seen})
	}
	for _, st := range f.serving {
		s.Serving = append(s.Serving, ServingState{Key: st.key, Since: st.since})
	}
	return s
}

func (s FailureState) failure() *failure {
	f := &failure{
		tl: s.Timeline.Clone(), muted: s.Muted, announced: s.Announced, wasKnown: s.WasKnown, wasHealthy: s.WasHealthy,
		task: s.Task, sick: s.Sick, evidence: s.Evidence, deactivating: s.Deactivating, stopping: s.Stopping,
	}
	for _, ts := range s.Targets {
		ts.Milestones, ts.Good = slices.Clone(ts.Milestones), slices.Clone(ts.Good)
		own := ts.Read
		if ts.Own != nil {
			own = *ts.Own
		}
		f.targets = append(f.targets, failingTarget{Target: ts.Target, state: ts.State, read: ts.Read, sick: ts.Sick, again: ts.Again, call: ownCall{Bounds: ts.Call}, own: own, seen: ts.Seen})
	}
	for _, st := range s.Serving {
		f.serving = append(f.serving, servingTarget{key: st.Key, since: st.Since})
	}
	return f
}
