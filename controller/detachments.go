package controller

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// keep remembers a detachment, and forgets it once it is closed and committed.
// One that ended in this pass and one that begins in it are two, though both are
// of the same target: the journal must hear of the end as well.
func (c *Controller) keep(d policy.Detachment) {
	a := &c.acting
	put := func(ds []policy.Detachment) []policy.Detachment {
		i := slices.IndexFunc(ds, func(o policy.Detachment) bool {
			return o.Compare(&d) == 0 && o.Started.Equal(d.Started) && o.Decided.Equal(d.Decided)
		})
		if i < 0 {
			return append(ds, d)
		}
		ds = slices.Clone(ds) // readers have the old one
		ds[i] = d
		return ds
	}
	a.shown = nil
	a.changed = put(a.changed)
	a.detachments = put(a.detachments)
	if !d.Open() {
		a.detachments = slices.DeleteFunc(slices.Clone(a.detachments), func(o policy.Detachment) bool { return !o.Open() })
		a.ended = append([]policy.Detachment{d}, a.ended[:min(len(a.ended), max(0, c.options.Keep.Count-1))]...)
		c.options.Metrics.Acting.Ended(d)
		c.logEnd(d)
	}
}

func (c *Controller) logEnd(d policy.Detachment) {
	attrs := []any{"cluster", d.Service.Cluster, "service", d.Service.Name, "task", d.Task.ID(), "target", d.Target.Address(), "mode", d.Mode, "outcome", d.Outcome}
	if saved, ok := d.Saved(); ok {
		attrs = append(attrs, slog.Group("saved", "shortest", saved.Shortest, "longest", saved.Longest))
	}
	level := slog.LevelInfo
	if d.Outcome == policy.Lost && d.Mode == policy.Detaching {
		level = slog.LevelWarn // its target may be out, and nobody here will put it back
	}
	c.log.Log(context.Background(), level, "detachment closed", attrs...)
}

// commit keeps what the pass has found.
func (c *Controller) commit(closed []*timeline.Timeline) {
	a := &c.acting
	c.tracked = c.tracker.State(c.takenOut()...)
	err := c.options.Journal.Commit(journal.Pass{Tracker: c.tracked, Guards: a.guards, Detachments: a.changed, Closed: closed})
	a.changed = nil // the journal has them in mind even when it fails
	if err != nil {
		c.journalFailed(err)
		return
	}
	if i := slices.IndexFunc(a.halts, func(h policy.Halt) bool { return h.Cause == haltJournal }); i >= 0 {
		a.halts = slices.Delete(slices.Clone(a.halts), i, i+1)
		c.log.Info("the journal can be written again: acting goes on")
	}
}

// takenOut are the tasks of which castoff has taken a target out. The next process must
// know from its first pass where they are. A task whose timeline is over may still wait
// for its way back, and its service may name another target group by now.
func (c *Controller) takenOut() (tasks []fleet.TaskARN) {
	for _, d := range c.acting.detachments {
		if d.Mode == policy.Detaching && d.Open() {
			tasks = append(tasks, d.Task)
		}
	}
	return tasks
}

// journalFailed stops all acting until the journal can be written.
func (c *Controller) journalFailed(err error) {
	c.halt(haltJournal, fmt.Sprintf("the journal cannot be written, so nothing may be detached: %v", err))
}

// halt stops all detaching, and says so once.
func (c *Controller) halt(cause, detail string) {
	if slices.ContainsFunc(c.acting.halts, func(h policy.Halt) bool { return h.Cause == cause }) {
		return
	}
	c.log.Error("acting stops; observing goes on", "cause", cause, "detail", detail)
	c.acting.halts = append(slices.Clone(c.acting.halts), policy.Halt{Cause: cause, Detail: detail})
}
