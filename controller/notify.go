package controller

import (
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/status"
)

// tell hands over what the pass changed, for people to be told. What it hands
// over is read while the next pass goes on.
func (c *Controller) tell(v *status.View, now time.Time) {
	if c.options.Notifier == nil {
		return
	}
	skipped := c.options.Notifier.Tell(notify.State{
		At: now.Round(0), Snapshot: v.Snapshot, Open: v.Open, Verdicts: v.Verdicts, Detachments: v.Detachments,
		Guards: c.acting.guards, Pauses: v.Pauses, Halts: v.Halts, Denied: slices.Clone(c.acting.denied), Limits: c.options.Policy.Limits,
	})
	c.options.Metrics.Notifications.Skipped(skipped)
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
