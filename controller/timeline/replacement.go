package timeline

import (
	"cmp"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// servingTarget is a healthy row of a replacement.
type servingTarget struct {
	key   fleet.TargetKey
	since Bounds
}

// pair matches failures with the tasks that replace theirs; the package comment
// says how. Until a replacement serves, the match is made anew in every
// snapshot: a failure that was first, but read late, still gets the first task.
func (t *Tracker) pair(s *fleet.Snapshot) {
	var waiting []*failure
	for _, f := range t.failures {
		if !f.live() || f.muted || f.known(ReplacementServing) {
			continue
		}
		if r := s.Task(f.tl.Replacement); r != nil && t.openFailure(r.ARN) {
			f.tl.ReplacementsFailed++
			f.replaceBy("")
		}
		if _, ok := f.tl.Known(); ok {
			waiting = append(waiting, f)
		}
	}
	if len(waiting) == 0 {
		return
	}
	slices.SortStableFunc(waiting, func(a, b *failure) int {
		ka, _ := a.tl.Known()
		kb, _ := b.tl.Known()
		return cmp.Or(ka.NotAfter.Compare(kb.NotAfter), cmp.Compare(a.tl.Task, b.tl.Task))
	})
	free := t.candidates(s, waiting)
	for _, f := range waiting {
		in := placeOf(s, f.task)
		i := slices.IndexFunc(free[in], func(c *fleet.Task) bool { return t.mayReplace(c, f) })
		if i < 0 {
			f.replaceBy("")
			continue
		}
		c := free[in][i]
		free[in] = slices.Delete(free[in], i, i+1)
		f.replaceBy(c.ARN)
		f.followReplacement(t, s, c)
	}
}

// place is where one task can replace another: in a DAEMON service, which has one task
// an instance, only on the same one.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_services.html
type place struct {
	service   fleet.ServiceID
	startedBy string
	instance  fleet.ContainerInstanceARN
}

func placeOf(s *fleet.Snapshot, task *fleet.Task) place {
	in := place{service: task.Service, startedBy: task.StartedBy}
	if svc := s.Service(task.Service); svc != nil && svc.Scheduling == fleet.Daemon {
		in.instance = task.ContainerInstance
	}
	return in
}

// reaction is the longest that ECS was seen to take from UNHEALTHY to the start
// of a replacement: 5.9, 20.2 and 43.6 s as least, median and most (a user's
// measurements on Fargate, n = 7). What it had decided upon before a task was well
// may come so much later.
const reaction = 44 * time.Second

// mayReplace reports that a task of the failing one's place was started since its
// failure was known, and not so long after its stop that it must be for another.
func (t *Tracker) mayReplace(c *fleet.Task, f *failure) bool {
	if f.tl.Outcome == Superseded || c.Created.Before(t.replacedSince(f)) {
		return false
	}
	if well, ok := f.tl.Milestone(Recovery); ok && c.Created.After(well.NotAfter.Add(reaction)) {
		// Nobody replaces a task that is well: only its end has ECS start another.
		if end, ok := f.tl.Milestone(Stopping); !ok || c.Created.Before(end.NotBefore) {
			return false
		}
	}
	stopped, ok := f.tl.Milestone(Stopped)
	return !ok || !c.Created.After(stopped.NotAfter.Add(t.settings.RecoveryWindow))
}

// replacedSince is the earliest that a failure's replacement can have been
// created. When nobody watched as the task failed, the bounds of that go back to
// its own creation, and every younger task would do: so they are cut short.
func (t *Tracker) replacedSince(f *failure) time.Time {
	known, _ := f.tl.Known()
	if from := known.NotAfter.Add(-t.settings.SettleWindow); from.After(known.NotBefore) {
		return from
	}
	return known.NotBefore
}

// replaceBy takes another task, or none, for the replacement.
func (f *failure) replaceBy(arn fleet.TaskARN) {
	if f.tl.Replacement == arn {
		return
	}
	f.tl.Replacement = arn
	f.serving = nil
	f.drop(ReplacementCreated)
	f.drop(ReplacementRunning)
}

// candidates are the tasks that may replace one of the waiting failures', by
// their place, the one created first ahead.
func (t *Tracker) candidates(s *fleet.Snapshot, waiting []*failure) map[place][]*fleet.Task {
	services := make(map[fleet.ServiceID]bool, 1)
	since := t.replacedSince(waiting[0])
	for _, f := range waiting {
		services[f.tl.Service] = true
		if from := t.replacedSince(f); from.Before(since) {
			since = from
		}
	}
	free := make(map[place][]*fleet.Task)
	for _, task := range s.Tasks {
		// Nearly all tasks are older: that is the cheapest question, so it is first.
		if task.Created.Before(since) || task.Created.IsZero() || !services[task.Service] {
			continue
		}
		if !t.taken[task.ARN] && !task.Leaving() && !t.openFailure(task.ARN) && !wasMoved(s, task) {
			in := placeOf(s, task)
			free[in] = append(free[in], task)
		}
	}
	for _, tasks := range free {
		slices.SortStableFunc(tasks, func(a, b *fleet.Task) int { return a.Created.Compare(b.Created) })
	}
	return free
}

// wasMoved reports that ECS started the task to balance the service's zones: another one
// that is well makes room for it, and it replaces none that fails.
func wasMoved(s *fleet.Snapshot, task *fleet.Task) bool {
	svc := s.Service(task.Service)
	if svc == nil || len(svc.Moved) == 0 {
		return false
	}
	_, is := slices.BinarySearch(svc.Moved, task.ARN.ID())
	return is
}

func (t *Tracker) openFailure(arn fleet.TaskARN) bool {
	f := t.failure(arn)
	return f != nil && f.live() && !f.muted
}

// followReplacement takes in what the snapshot has on the replacement.
func (f *failure) followReplacement(t *Tracker, s *fleet.Snapshot, r *fleet.Task) {
	f.set(Milestone{Kind: ReplacementCreated, Bounds: At(r.Created), Source: AWS, By: ByECS, Evidence: "createdAt of " + r.ARN.ID()})
	if !r.Started.IsZero() {
		f.set(Milestone{Kind: ReplacementRunning, Bounds: At(r.Started), Source: AWS, By: ByECS, Evidence: "startedAt of " + r.ARN.ID()})
	}
	if f.followServing(t.prev, s, r); f.known(ReplacementServing) {
		t.taken[r.ARN] = true
	}
}

// owns reports that the row is the task's.
func owns(s *fleet.Snapshot, key fleet.TargetKey, task *fleet.Task) bool {
	owner := s.Owner(key)
	return owner != nil && owner.ARN == task.ARN
}

// born reports that the task has passed the checks that it has, if it has any. A
// balancer that only sees an open port calls a task healthy that was born dead.
func born(task *fleet.Task, def *fleet.TaskDefinition) bool {
	checked, passed := task.Checks(def)
	return passed || !checked
}

// followServing waits until every row of the replacement is healthy, at least as
// many as the failing task had, and the task has passed its own checks: only
// then is the place filled again, since the rows became healthy.
func (f *failure) followServing(prev, s *fleet.Snapshot, r *fleet.Task) {
	rows := 0
	var healthy []servingTarget
	for _, key := range r.Targets {
		if g := s.TargetGroup(key.Group); g == nil || g.Read.Never() {
			return // it may have a row there
		}
		row := s.Target(key)
		if row == nil || row.Unused() || !owns(s, key, r) {
			continue
		}
		rows++
		if !row.Healthy() {
			continue
		}
		if i := slices.IndexFunc(f.serving, func(t servingTarget) bool { return t.key == key }); i >= 0 {
			healthy = append(healthy, f.serving[i])
			continue
		}
		var before fleet.Read
		// A row that was healthy before this task was known as the replacement
		// became so at some time since the task was created.
		read := s.TargetGroup(key.Group).Read
		if g := prev.TargetGroup(key.Group); g != nil {
			if was := prev.Target(key); was == nil || !was.Healthy() || r.Created.After(g.Read.Earliest()) {
				before = g.Read
			} else {
				read = g.Read
			}
		}
		healthy = append(healthy, servingTarget{key: key, since: since(before, read, r.Created)})
	}
	f.serving = healthy
	if len(healthy) == 0 || len(healthy) < max(rows, len(f.targets)) || !born(r, s.Definitions[r.Definition]) {
		return
	}
	var last Bounds
	for _, h := range healthy {
		last = latest(last, h.since)
	}
	f.set(Milestone{Kind: ReplacementServing, Bounds: last, Source: Observed, By: ByELB, Evidence: "target state healthy, of " + r.ARN.ID()})
}
