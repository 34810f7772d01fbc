package controller

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/controller/timeline"
	"github.com/castoff-ecs/castoff/metrics"
)

// passesShown is how many of the last passes are told of.
const passesShown = 60

// loop passes until ctx is done. Passes never overlap: one that takes longer
// than the interval delays the next.
func (c *Controller) loop(ctx context.Context) {
	for ctx.Err() == nil {
		timer := time.NewTimer(time.Until(c.Step(ctx)))
		select {
		case <-ctx.Done():
		case <-c.writes.wake: // a pass of its own tells what came of a slow call
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Step makes one pass and answers when the next is due. Start has it made again
// and again, by the clock. Who drives the time instead, with Options.Now, calls
// Step and does not call Start: then nothing here runs by itself, and the same
// readings at the same instants give the same decisions.
func (c *Controller) Step(ctx context.Context) (next time.Time) {
	began := c.now()
	if c.acting.began.IsZero() {
		c.acting.began = began.Round(0)
	}
	c.pass(ctx)
	// A machine wakes late now and then: that puts off no pass but the one. One that took
	// long is no reason to hurry after it.
	from, interval := began, c.interval()
	if late := began.Sub(c.due); late > 0 && late < interval/4 {
		from = c.due
	}
	next = from.Add(interval)
	if c.due = next; c.now().After(next) {
		c.due = time.Time{}
	}
	return next
}

// interval is the time from the start of one pass to that of the next. It is
// cut short by up to a tenth at random, so that daemons started together do not
// stay in step, and never lengthened, so that the interval is a promise.
func (c *Controller) interval() time.Duration {
	d := c.options.Polling.Interval
	if len(c.tracker.Hot()) > 0 {
		d = min(d, c.options.Polling.HotInterval)
	}
	return d - time.Duration(c.jitter.Int64N(int64(d)/10+1))
}

// pass is one turn: observe, track, decide, act, record. Whatever happens in it, the daemon
// goes on.
func (c *Controller) pass(ctx context.Context) {
	began := c.now()
	result := metrics.PassPanic
	cut := false
	next := *c.view.Load()
	defer func() {
		if cut {
			return
		}
		if p := recover(); p != nil {
			c.log.Error("pass panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			c.restore()
			c.halt(haltPanic, "a pass panicked: "+fmt.Sprint(p)+"; observing goes on, acting only after a restart")
			// A fault that comes back in every pass would otherwise never be shown.
			next.Halts, next.Latches = c.acting.halts, c.acting.guards.Latches
			next.Detachments = c.acting.all()
			c.options.Metrics.PublishPosture(c.posture(&next))
		}
		now := c.now()
		next.Pass = status.Pass{Number: next.Pass.Number + 1, At: now, Duration: now.Sub(began), Result: string(result)}
		next.Passes = append([]status.Pass{next.Pass}, next.Passes[:min(len(next.Passes), passesShown-1)]...)
		c.options.Metrics.Passes.Done(result, now.Sub(began), now)
		c.count(&next)
		c.tell(&next, now)
		next.Receivers = c.options.Notifier.Standing()
		c.view.Store(&next)
		c.publish(&next, now)
	}()

	limited, cancel := context.WithTimeout(ctx, c.options.Polling.Deadline)
	defer cancel()
	snapshot := c.options.Observer.Observe(limited, c.tracker.Hot())
	if ctx.Err() != nil {
		cut = true // by Stop: what could not be read is our doing, not AWS's
		return
	}
	c.settle()
	c.tellCalls()
	changes := c.tracker.Track(snapshot)
	c.act(limited, snapshot)
	c.commit(changes.Closed)
	c.record(changes)

	next.Snapshot = snapshot
	next.Open = c.tracker.Open()
	next.Closed = c.history.add(changes.Closed, snapshot.At)
	c.showActing(&next)
	c.options.Metrics.Publish(snapshot, next.Open, c.posture(&next))
	c.gaps.report(snapshot.Gaps)
	c.rights.report(snapshot, next.Modes)
	result = outcome(snapshot, began)
	if at := full(snapshot); at.After(next.LastFull) {
		next.LastFull = at
	}
	c.log.Debug("pass done", "result", result, "duration", c.now().Sub(began), "tasks", len(snapshot.Tasks), "gaps", len(snapshot.Gaps), "open", len(next.Open))
}

// count puts the calls to AWS into a view, and those of before.
func (c *Controller) count(v *status.View) {
	if c.options.Calls == nil {
		return
	}
	c.calls = append([]status.Calls{c.options.Calls()}, c.calls[:min(len(c.calls), passesShown-1)]...)
	v.Calls, v.CallsBefore = c.calls[0], c.calls[len(c.calls)-1]
}

// publish tells those who listen what the pass changed. They are not worth a
// daemon that ends.
func (c *Controller) publish(v *status.View, now time.Time) {
	if c.server == nil {
		return // nobody can
	}
	defer c.survive("publishing events")
	c.events.Publish(v, now)
}

// survive is deferred by what must not take the rest with it when it panics.
func (c *Controller) survive(what string) {
	if p := recover(); p != nil {
		c.log.Error("castoff goes on after a panic", "in", what, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

// record tells metrics and log what changed.
func (c *Controller) record(changes timeline.Changes) {
	m := c.options.Metrics.Timelines
	for _, e := range changes.Exposure {
		m.Exposed(e.Service, e.Group, e.Duration)
	}
	for _, tl := range changes.Opened {
		attrs := describe(tl)
		if known, ok := tl.Known(); ok {
			attrs = append(attrs, slog.Time("known_not_before", known.NotBefore), slog.Time("known_not_after", known.NotAfter))
		}
		c.log.LogAttrs(context.Background(), slog.LevelInfo, "timeline opened", attrs...)
	}
	for _, tl := range changes.Closed {
		m.Closed(tl)
		attrs := append(describe(tl), slog.String("outcome", string(tl.Outcome)))
		for _, p := range tl.Phases() {
			attrs = append(attrs, slog.Group(string(p.Name), "shortest", p.Shortest, "longest", p.Longest))
		}
		if tl.Replacement != "" {
			attrs = append(attrs, slog.String("replacement", tl.Replacement.ID()))
		}
		c.log.LogAttrs(context.Background(), slog.LevelInfo, "timeline closed", attrs...)
	}
}

func describe(tl *timeline.Timeline) []slog.Attr {
	return []slog.Attr{
		slog.String("timeline", string(tl.ID)), slog.String("cluster", tl.Service.Cluster), slog.String("service", tl.Service.Name),
		slog.String("task", tl.Task.ID()), slog.String("trigger", string(tl.Trigger)),
	}
}

// outcome is how a pass that began at began ended.
func outcome(s *fleet.Snapshot, began time.Time) metrics.PassResult {
	switch {
	case len(s.Gaps) == 0:
		return metrics.PassOK
	case fresh(s, began):
		return metrics.PassPartial
	default:
		return metrics.PassFailed
	}
}

// fresh reports that anything at all was read since began.
func fresh(s *fleet.Snapshot, began time.Time) bool {
	read := func(r fleet.Read) bool { return !r.Received.Before(began.Round(0)) }
	return slices.ContainsFunc(s.Tasks, func(t *fleet.Task) bool { return read(t.Read) }) ||
		slices.ContainsFunc(s.TargetGroups, func(g *fleet.TargetGroup) bool { return read(g.Read) || read(g.Inventory) }) ||
		slices.ContainsFunc(s.Services, func(svc *fleet.Service) bool { return read(svc.Read) }) ||
		slices.ContainsFunc(s.Clusters, func(cl *fleet.Cluster) bool { return read(cl.Read) })
}

// full is until when castoff saw all that it is allowed to see: a read that failed
// leaves what was read before, which is good for as long as it is not too old. Zero
// says that something was never read. A part that is denied or not there is a matter
// of configuration, shown as a gap but no reason to call castoff not ready, as long
// as it is not blind to every cluster; nor are settings and tags that its budget has
// not come to yet.
func full(s *fleet.Snapshot) (until time.Time) {
	until = s.At
	blind := make(map[string]bool)
	for _, g := range s.Gaps {
		if g.Kind == fleet.GapServiceRevision || g.Kind == fleet.GapGateways {
			continue // castoff can do without, as far as it can
		}
		switch g.Class {
		case fleet.Denied, fleet.NotFound:
			switch g.Kind {
			case fleet.GapClusters, fleet.GapTargetGroups:
				return time.Time{}
			case fleet.GapCluster, fleet.GapServices, fleet.GapTaskList, fleet.GapTasks:
				blind[g.Ref] = true
			}
		case fleet.Paced:
			if g.Kind != fleet.GapAttributes && g.Kind != fleet.GapBalancer && g.Kind != fleet.GapTags {
				return time.Time{}
			}
		default:
			if g.Never {
				return time.Time{}
			}
			until = slices.MinFunc([]time.Time{until, g.Since}, time.Time.Compare)
		}
	}
	if len(s.Clusters) == 0 && len(blind) == 0 || slices.ContainsFunc(s.Clusters, func(cl *fleet.Cluster) bool {
		return !blind[string(cl.ARN)] && !blind[cl.Name]
	}) {
		return until
	}
	return time.Time{}
}
