package controller

import (
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/notify"
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
