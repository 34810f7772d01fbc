package controller

import (
	"slices"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// Everything that outlives a restart is here.

// remind tells who asks AWS what an earlier castoff knew: the tasks that it watched, so
// that one that has gone meanwhile is told from one that never was, and the clusters in
// which something is out though the configuration does not name them any more.
func remind(cfg config.Config, observer *awsapi.Observer, o *Options) {
	o.LeftBehind, o.Leave = observer.Watch(cfg.LeftBehind(o.Past.Detachments)...), observer.Leave
	for _, cluster := range o.LeftBehind {
		o.Logger.Warn("castoff took targets out in a cluster that the configuration does not name any more: it is watched, and nothing more is taken out there, until they are back",
			"cluster", cluster.Name())
	}
	observer.Remember(o.Past.Tracker.Tasks)
	for _, d := range o.Past.Detachments {
		observer.Await(d.Cluster, d.Service, d.Task)
	}
}

// resume goes on from what an earlier castoff has left.
func (c *Controller) resume(past journal.Contents) {
	c.acting = acting{guards: past.Guards, detachments: past.Detachments, ended: past.Ended}
	c.tracked = past.Tracker
	c.restore()
	if c.options.Notifier != nil {
		c.options.Notifier.Remember(told(past, c.options.Policy.Limits))
	}
}

// restore has the tracker go on from what it was after the last pass that ended well:
// after a restart, and after a pass that broke off half way through a snapshot.
func (c *Controller) restore() {
	c.tracker = timeline.Restore(c.options.Tracker, c.tracked)
	c.recall()
	c.tellCalls()
}

// recall tells the tracker of calls that it may not have heard of: a castoff that is
// killed between a call and the end of the pass has only written down that it would
// make it, and a pass that broke off may have heard what came of one. Else what castoff
// took out would be said to be somebody else's doing.
func (c *Controller) recall() {
	for _, d := range c.acting.detachments {
		if _, underWay := c.writes.underWay[d.Target]; underWay || d.Called.IsZero() || !d.Open() || d.Back != nil || !d.Attached.IsZero() {
			continue
		}
		call := timeline.Bounds{NotBefore: d.Called}
		if d.Result == policy.Accepted {
			call.NotAfter = d.Answered
		}
		c.tracker.Called(d.Task, d.Target, call)
	}
}

// told is what an earlier castoff has told of: what its journal has. Pauses and
// halts are not in it, and denials only as calls that were refused.
func told(past journal.Contents, limits func(fleet.ServiceID) policy.Limits) notify.State {
	if past.Fresh {
		return notify.State{}
	}
	s := notify.State{
		At: past.Tracker.At, Detachments: past.Detachments, Guards: past.Guards, Limits: limits,
		Snapshot: fleet.NewSnapshot(fleet.Snapshot{
			At: past.Tracker.At, Tasks: slices.Clone(past.Tracker.Tasks), TargetGroups: slices.Clone(past.Tracker.Groups),
		}),
	}
	for _, f := range past.Tracker.Failures {
		if f.Timeline.IsOpen() && !f.Muted {
			s.Open = append(s.Open, f.Timeline)
		}
	}
	for i := range past.Detachments {
		if d := &past.Detachments[i]; d.Rejected > 0 {
			s.Denied = append(s.Denied, policy.Denial{Group: d.Target.Group})
		}
	}
	return s
}
