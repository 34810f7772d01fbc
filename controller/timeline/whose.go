package timeline

import (
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// row is the task's own row in a group, as a reading has it, and nil when it has none
// there. Not sure: the row may be another's, and the reading tells nothing of the
// task's. What may look like the task's own is
//
//   - the row of another task that was given the address, which has it once it is
//     registered, in ACTIVATING: a row that drains is this task's for as long as the
//     other one has not come so far, by a reading since the row was last known;
//   - the row of the last task that had the address, where this one has not run yet;
//   - the row of the next one, while nobody can read that the task has ended: one
//     that comes then, or comes back.
//
// known is what is known of the row from before, nil when it is looked for the first
// time.
func (f *failure) row(s *fleet.Snapshot, key fleet.TargetKey, known *failingTarget) (row *fleet.Target, sure bool) {
	row = s.Target(key)
	if row == nil || row.Unused() {
		return nil, true
	}
	var last fleet.Read // of the row
	if known != nil {
		if last = known.read; known.older(row, s.TargetGroup(key.Group).Read) {
			return nil, false
		}
	}
	unread := f.task.Read.Age(s.TargetGroup(key.Group).Read.Sent) > glance
	owner := s.Owner(key)
	switch another := owner != nil && owner.ARN != f.tl.Task; {
	case another && !row.Draining():
		return nil, true
	case another && (owner.LastStatus != fleet.Provisioning && owner.LastStatus != fleet.Pending || owner.Read.Sent.Before(last.Sent)):
		return nil, false
	case !another && row.Draining() && last.Never() && f.task.Started.IsZero():
		return nil, false
	case known == nil:
		return row, !unread || !f.tl.Opened.Before(s.At)
	case known.returned(row) && (unread || f.task.Read.Sent.Before(last.Sent)):
		return nil, f.task.Gone() // then it is the next one's
	}
	return row, true
}

// returned reports that the row, which had gone or was on its way out, is there again.
func (ft *failingTarget) returned(row *fleet.Target) bool {
	return ft.state == "" || ft.state == fleet.TargetDraining && !row.Draining()
}

// mayBeInherited reports that an unhealthy row need not have been of the task that has
// its address now: that one was not running yet when the row was read. What is
// registered already stays as it is.
func mayBeInherited(s *fleet.Snapshot, task *fleet.Task, key fleet.TargetKey) bool {
	row, g := s.Target(key), s.TargetGroup(key.Group)
	return row != nil && row.Unhealthy() && (task.Started.IsZero() || g.Read.Earliest().Before(task.Started))
}

// hadRow tells a row that has gone from one that never was: a task without a row
// may not have been registered yet, or in another of its groups. Of a task that
// castoff first met on its way out nobody knows; that it had its rows is far
// more likely.
func (f *failure) hadRow(prev, s *fleet.Snapshot, key fleet.TargetKey) bool {
	was := prev.TargetGroup(key.Group)
	switch {
	case f.task.Started.IsZero(): // it never ran
		return false
	case !f.task.Leaving() || was == s.TargetGroup(key.Group):
		return false
	case was == nil || was.Read.Never():
		return !f.wasKnown && !f.deactivating.NotBefore.After(f.task.Created)
	default:
		before, opens := prev.Task(f.tl.Task), f.tl.Opened.Equal(s.At)
		if before == nil { // first sight, unless it is kept from before a restart
			return opens
		}
		row, _ := f.row(prev, key, nil)
		return row != nil && (opens || before.Read.Age(was.Read.Sent) <= glance) // else it may be the next one's
	}
}

// disown is for a task that has ended: what was read of its row while nobody could
// tell that may be of the next task's. What is true of its own came about between
// the last read at which the row surely was that, and then. The state stays: it is of
// the address, and what is read next is compared with it.
func (ft *failingTarget) disown(created time.Time) {
	if ft.own == ft.read {
		return
	}
	ft.read = ft.own
	from := ft.own.Earliest()
	if from.Before(created) {
		from = created
	}
	back := func(b *Bounds) {
		if b.NotBefore.After(from) {
			b.NotBefore = from
		}
	}
	for i := range ft.Good {
		back(&ft.Good[i].From)
		back(&ft.Good[i].To)
	}
	if m, ok := find(ft.Milestones, LBUnhealthy); ok && !m.NotBefore.Before(from) {
		ft.Milestones, ft.sick = drop(ft.Milestones, LBUnhealthy), false
	}
	for i := range ft.Milestones {
		back(&ft.Milestones[i].Bounds)
	}
}

// nameless reports that the task may have a row in a group of which nothing was ever
// read, not even by what address it would name the task.
func (f *failure) nameless(s *fleet.Snapshot) bool {
	svc := s.Service(f.tl.Service)
	return svc != nil && slices.ContainsFunc(svc.LoadBalancers, func(lb fleet.LoadBalancer) bool {
		g := s.TargetGroup(lb.Group)
		return (g == nil || g.Read.Never()) && !slices.ContainsFunc(f.task.Targets, func(k fleet.TargetKey) bool { return k.Group == lb.Group })
	})
}
