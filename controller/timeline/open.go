package timeline

import (
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// booting reports that a task's failing check is not yet a failure to ECS, nor to us.
// Of a balancer's only the service's own grace period says so.
func booting(s *fleet.Snapshot, task *fleet.Task, balancer bool) bool {
	grace := s.Grace(task)
	if balancer {
		return task.Booting(grace.Service, s.At)
	}
	return task.Booting(grace.Checks(), task.Read.Earliest())
}

// cause tells which failure, if any, ECS names as the reason for a stop.
func cause(task *fleet.Task) (Trigger, bool) {
	switch task.StopCause() {
	case fleet.CauseContainerCheck:
		return ContainerCheck, true
	case fleet.CauseTargetCheck:
		return TargetCheck, true
	case fleet.CauseExit, fleet.CauseNeverStarted:
		return Exit, true
	default:
		return "", false
	}
}

// failing makes a failure of a task's new reading if it shows one.
func (t *Tracker) failing(s *fleet.Snapshot, was, is *fleet.Task) *failure {
	if !is.Leaving() { // it is Failing
		f := newFailure(s, is, ContainerCheck)
		f.muted = booting(s, is, false)
		return f
	}
	if was == nil && is.Gone() && is.StoppedAt.Before(t.began) {
		return nil // history from before castoff watched
	}
	trigger, ok := cause(is)
	if !ok {
		return nil
	}
	f := newFailure(s, is, trigger)
	if past, ok := t.recovered[is.ARN]; ok {
		delete(t.taken, past.Replacement) // it is this failure's, if that is the one
	}
	switch trigger {
	case ContainerCheck:
		f.set(Milestone{Kind: Unhealthy, Bounds: t.unseen(was, is), Source: Estimated, By: ByECS,
			Evidence: "not seen; ECS gave it as the reason for the stop"})
	case TargetCheck:
		f.set(Milestone{Kind: LBUnhealthy, Bounds: t.unseen(was, is), Source: Estimated, By: ByELB,
			Evidence: "not seen; ECS gave it as the reason for the stop"})
	}
	return f
}

// unseen estimates when a failure came that fell between two reads. ECS takes a
// while from a failure to a stop, so it may have come and gone before the earlier
// read; how long before is not known, and taken to be no longer than everything
// that follows a stop takes. Where castoff has seen the task fail and recover, it
// may have been that.
func (t *Tracker) unseen(was, is *fleet.Task) Bounds {
	from := is.Created
	if before := t.beforeFailure(was, is); !before.Never() {
		if seen := before.Earliest().Add(-t.settings.SettleWindow); seen.After(from) {
			from = seen
		}
	}
	if past, ok := t.recovered[is.ARN]; ok && past.Since.Before(from) {
		from = past.Since
	}
	to := is.Read.Received
	if !is.StoppingAt.IsZero() && is.StoppingAt.Before(to) {
		to = is.StoppingAt
	}
	return ordered(from, to)
}

func newFailure(s *fleet.Snapshot, task *fleet.Task, trigger Trigger) *failure {
	return &failure{tl: &Timeline{
		ID:         newID(task.ARN, s.At),
		Task:       task.ARN,
		Service:    task.Service,
		Definition: task.Definition,
		StartedBy:  task.StartedBy,
		Zone:       task.Zone,
		Trigger:    trigger,
		Opened:     s.At,
	}}
}

// beforeFailure is the same for a task that fails on its way out: a reading that
// showed it leaving already says nothing of when it failed.
func (t *Tracker) beforeFailure(was, is *fleet.Task) fleet.Read {
	if was != nil && was.Leaving() {
		return fleet.Read{}
	}
	return t.before(was, is)
}

// ordered makes bounds of two instants. They can only be in the wrong order when
// a clock was set back between two reads: then the earlier read bounds nothing.
func ordered(a, b time.Time) Bounds {
	if b.Before(a) {
		return Bounds{NotAfter: a}
	}
	return Bounds{NotBefore: a, NotAfter: b}
}

// before is the read before a task's new reading: after a restart, the one that
// found all to be well.
func (t *Tracker) before(was, is *fleet.Task) fleet.Read {
	switch {
	case was != nil:
		return was.Read
	case t.calm.knew(is):
		return fleet.Read{Sent: t.calm.Tasks, Received: t.calm.Tasks}
	default:
		return fleet.Read{}
	}
}

// since bounds a change that a new read shows and the one before did not. With
// no read before it, the task's creation is the only bound.
func since(was fleet.Read, is fleet.Read, created time.Time) Bounds {
	from := created
	if !was.Never() && was.Earliest().After(created) {
		from = was.Earliest()
	}
	b := ordered(from, is.Received)
	if b.Open() && created.Before(b.NotAfter) {
		b.NotBefore = created
	}
	return b
}
