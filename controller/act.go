package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/controller/timeline"
	"github.com/castoff-ecs/castoff/metrics"
)

// Actor changes which targets a balancer has. Its calls are made one after the
// other, and never while Observe runs.
type Actor interface {
	// Refresh reads again, now, the tasks with their services and the rows of the
	// target groups, and answers the whole fleet with that in it.
	Refresh(ctx context.Context, tasks []fleet.TaskARN, groups []fleet.TargetGroupARN) *fleet.Snapshot
	// Deregister takes targets out of one group; Register puts them back, in the
	// zone that they had. No request leaves after until. The error is a
	// *fleet.CallError, which says whether the call may have taken effect all the
	// same; of class Paced, when none has left.
	Deregister(ctx context.Context, until time.Time, group fleet.TargetGroupARN, targets []fleet.TargetKey) error
	Register(ctx context.Context, until time.Time, group fleet.TargetGroupARN, targets []fleet.Target) error
}

// Policy is what an operator allows.
type Policy struct {
	Limits func(fleet.ServiceID) policy.Limits
	Fleet  policy.FleetLimits
	Pauses []policy.Pause
	// Base are the limits of a service that no rule names, to be shown.
	Base policy.Limits
	// Rule names what in the configuration gave a service its limits, to be
	// shown; nil when nobody knows.
	Rule func(fleet.ServiceID) string
}

// acting is what is remembered from pass to pass for deciding and acting.
type acting struct {
	began       time.Time
	guards      policy.State
	detachments []policy.Detachment // open
	changed     []policy.Detachment // since the last commit to the journal
	ended       []policy.Detachment // newest first, as many as timelines are kept
	denied      []policy.Denial
	halts       []policy.Halt
	verdicts    []policy.Verdict
	said        map[saidKey]policy.Verdict // what the log last said of each target
}

type saidKey struct {
	action policy.Action
	target fleet.TargetKey
	task   fleet.TaskARN
}

// deniedFor is how long a target group that AWS does not let castoff change is
// left alone before another try: a policy that is mended should show soon, and
// nobody wants a denial every pass.
const deniedFor = 5 * time.Minute

// holds is how long what was looked at again may be acted upon. A request that
// could not leave by then, because AWS throttled the one before or the machine
// stood still, does not leave: a later pass looks anew. How old the reading itself
// may be is the guard stale's to say, where AWS is slow to answer.
const holds = 2 * time.Second

// The causes of halts. A panic halts until the next start, the journal until it
// can be written again.
const (
	haltPanic   = "panic"
	haltJournal = "journal"
)

// input is what policy decides on.
func (c *Controller) input(s *fleet.Snapshot) policy.Input {
	return policy.Input{
		Now: c.now().Round(0), Snapshot: s, State: c.acting.guards, Detachments: c.acting.detachments,
		Limits: c.options.Policy.Limits, Fleet: c.options.Policy.Fleet, Pauses: c.pauses(),
		Began: c.acting.began, Halts: c.acting.halts, Denied: c.acting.denied,
	}
}

// act decides about every failing target and carries out what is allowed.
func (c *Controller) act(ctx context.Context, s *fleet.Snapshot) {
	a := &c.acting
	if now := c.now().Round(0); a.began.After(now) {
		a.began = now // the clock was set back: the window begins anew, and does not last until the clock is there again
	}
	a.denied = slices.DeleteFunc(a.denied, func(d policy.Denial) bool { return !c.now().Before(d.Until) })
	for _, d := range policy.Follow(c.input(s)) {
		c.keep(d)
	}
	verdicts, guards := policy.Decide(c.input(s))
	a.guards = guards
	for i, v := range verdicts {
		if v.Decision == policy.Allow && v.Mode != policy.Detaching {
			d := v.Detachment(cluster(s, v.Task), a.detachments) // what would have been done
			c.keep(d)
			c.options.Metrics.Acting.Called(d, d.Result)
		}
		if v.Acts() && c.options.Actor == nil {
			// Nothing to act with: say so instead of an allow that nothing follows.
			verdicts[i].Mode = policy.Observing
		}
	}
	if c.options.Actor != nil {
		verdicts = c.detach(ctx, s, verdicts)
		verdicts = append(verdicts, c.attach(ctx, s)...)
	}
	c.leave()
	a.verdicts = verdicts
	c.options.Metrics.Acting.Verdicts(verdicts)
	c.sayVerdicts()
}

// detach carries out the verdicts that allow it, group by group, and answers
// the verdicts with what the second look said in place of the first.
func (c *Controller) detach(ctx context.Context, s *fleet.Snapshot, verdicts []policy.Verdict) []policy.Verdict {
	decided := slices.Clone(verdicts)
	for _, group := range groupsOf(verdicts) {
		if ctx.Err() != nil {
			break // the next pass decides anew
		}
		of := func(v policy.Verdict) bool { return v.Acts() && v.Target.Group == group }
		s = c.options.Actor.Refresh(ctx, append(tasksOf(verdicts, of), outdated(s, group, c.now())...), []fleet.TargetGroupARN{group})
		began, until := seen(s, group, tasksOf(verdicts, of))
		if others := outdated(s, group, began); len(others) > 0 {
			c.log.Warn("no call was made", "call", "deregister", "target_group", group.Name(),
				"error", fmt.Sprintf("%d other tasks were read too long before the targets", len(others)))
			continue
		}
		var granted []policy.Detachment
		for i, was := range verdicts {
			if !of(was) {
				continue
			}
			verdicts[i] = policy.Recheck(c.input(s), was)
			if v := verdicts[i]; v.Acts() {
				d := v.Detachment(cluster(s, v.Task), c.acting.detachments)
				c.keep(d) // so that the next look counts it
				granted = append(granted, d)
			}
		}
		c.takeOut(ctx, until, group, granted)
	}
	c.giveBack(s, decided)
	return verdicts
}

// giveBack gives back what was taken for decisions that no detachment came of.
func (c *Controller) giveBack(s *fleet.Snapshot, decided []policy.Verdict) {
	for _, v := range decided {
		if v.Acts() && !slices.ContainsFunc(c.acting.detachments, func(d policy.Detachment) bool {
			return d.Target == v.Target && d.Task == v.Task && d.Started.Equal(v.Started) && d.Mode == v.Mode
		}) {
			c.acting.guards = policy.GiveBack(c.input(s), v)
		}
	}
}

// seen is when a look at tasks and a group began, and until when it may be acted
// upon: AWS may take its time to answer, but what was answered must not lie about.
func seen(s *fleet.Snapshot, group fleet.TargetGroupARN, tasks []fleet.TaskARN) (began, until time.Time) {
	g := s.TargetGroup(group)
	if g == nil {
		return time.Time{}, time.Time{}
	}
	began, until = g.Read.Sent, g.Read.Received
	for _, arn := range tasks {
		if t := s.Task(arn); t != nil {
			began = slices.MinFunc([]time.Time{began, t.Read.Sent}, time.Time.Compare)
			until = slices.MaxFunc([]time.Time{until, t.Read.Received}, time.Time.Compare)
		}
	}
	return began, until.Add(holds)
}

// outdated are the tasks of a group's targets that were read too long before an
// instant to say how many targets would be left. In a pass that takes long, or in
// which the machine stands still, all of them may have failed since.
func outdated(s *fleet.Snapshot, group fleet.TargetGroupARN, at time.Time) []fleet.TaskARN {
	g := s.TargetGroup(group)
	if g == nil {
		return nil
	}
	var tasks []fleet.TaskARN
	for i := range g.Targets {
		if t := s.Owner(g.Targets[i].Key); t != nil && t.Read.Age(at) > holds {
			tasks = append(tasks, t.ARN)
		}
	}
	return tasks
}

// takeOut writes the call down and makes it. What is written is that nobody knows
// what came of it: whoever goes on from there counts it, and may be counting one
// that was not made.
func (c *Controller) takeOut(ctx context.Context, until time.Time, group fleet.TargetGroupARN, ds []policy.Detachment) {
	sent := c.now().Round(0)
	keys := make([]fleet.TargetKey, len(ds))
	intended := make([]policy.Detachment, len(ds))
	for i, d := range ds {
		keys[i], intended[i] = d.Target, d.Call(sent, policy.NotAnswered)
	}
	if len(ds) == 0 || !c.intend(intended) {
		return
	}
	err := c.options.Actor.Deregister(ctx, until, group, keys)
	if c.tooLate(group, "deregister", err) {
		for _, d := range ds {
			c.keep(d.Unmade())
		}
		return
	}
	result := resultOf(err)
	call := timeline.Bounds{NotBefore: sent}
	if result == policy.Accepted {
		call.NotAfter = c.now().Round(0)
	}
	for _, d := range ds {
		d = d.Call(sent, result)
		c.keep(d)
		if result != policy.Rejected {
			c.tracker.Called(d.Task, d.Target, call)
		}
		c.options.Metrics.Acting.Called(d, result)
	}
	c.answered(group, "deregister", keys, result, err)
}

// attach puts back what may go back, on fresh readings.
func (c *Controller) attach(ctx context.Context, s *fleet.Snapshot) []policy.Verdict {
	verdicts := policy.Reattach(c.input(s))
	for _, group := range groupsOf(verdicts) {
		if ctx.Err() != nil {
			break
		}
		of := func(v policy.Verdict) bool { return v.Acts() && v.Target.Group == group }
		fresh := c.options.Actor.Refresh(ctx, tasksOf(verdicts, of), []fleet.TargetGroupARN{group})
		_, until := seen(fresh, group, tasksOf(verdicts, of))
		var ds []policy.Detachment
		for i, was := range verdicts {
			if !of(was) {
				continue
			}
			verdicts[i] = policy.Recheck(c.input(fresh), was)
			if v := verdicts[i]; v.Acts() {
				ds = append(ds, v.Detachment(cluster(fresh, v.Task), c.acting.detachments))
			}
		}
		c.putBack(ctx, until, group, ds)
	}
	return verdicts
}

// putBack makes the call. It is not written down first: the journal has the
// detachment, and a target that is registered twice is registered. A journal that
// cannot be written must not keep a healthy task out.
func (c *Controller) putBack(ctx context.Context, until time.Time, group fleet.TargetGroupARN, ds []policy.Detachment) {
	if len(ds) == 0 {
		return
	}
	var keys []fleet.TargetKey
	var targets []fleet.Target
	for _, d := range ds {
		keys = append(keys, d.Target)
		targets = append(targets, fleet.Target{Key: d.Target, Zone: d.Zone})
	}
	sent := c.now().Round(0)
	err := c.options.Actor.Register(ctx, until, group, targets)
	if c.tooLate(group, "register", err) {
		return
	}
	result := resultOf(err)
	for _, d := range ds {
		d = d.Attach(sent, result)
		c.keep(d)
		c.options.Metrics.Acting.Attached(d, result)
	}
	c.answered(group, "register", keys, result, err)
}

// tooLate reports that no request has left: nobody refused anything, and a later
// pass decides anew.
func (c *Controller) tooLate(group fleet.TargetGroupARN, what string, err error) bool {
	var call *fleet.CallError
	if !errors.As(err, &call) || call.Class != fleet.Paced || call.MayHaveHappened {
		return false
	}
	c.log.Warn("no call was made", "call", what, "target_group", group.Name(), "error", err)
	return true
}

// intend writes detachments to the journal before the call that they tell of.
// Without that there is no call.
func (c *Controller) intend(ds []policy.Detachment) bool {
	if err := c.options.Journal.Record(c.acting.guards, ds...); err != nil {
		c.journalFailed(err)
		return false
	}
	return true
}

// answered logs a call and remembers a denial.
func (c *Controller) answered(group fleet.TargetGroupARN, what string, keys []fleet.TargetKey, result policy.Result, err error) {
	addresses := make([]string, len(keys))
	for i, k := range keys {
		addresses[i] = k.Address()
	}
	attrs := []any{"call", what, "target_group", group.Name(), "targets", addresses, "result", result}
	if err == nil {
		c.log.Info("targets changed", attrs...)
		return
	}
	c.log.Warn("targets not changed", append(attrs, "error", err)...)
	var call *fleet.CallError
	if errors.As(err, &call) && call.Class == fleet.Denied {
		c.acting.denied = append(c.acting.denied, policy.Denial{Group: group, Until: c.now().Round(0).Add(deniedFor)})
	}
}

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

// showActing puts into a view what is decided, done and in the way.
func (c *Controller) showActing(v *status.View) {
	a := &c.acting
	v.Verdicts = a.verdicts
	v.Flow = c.flow.note(a.verdicts)
	v.Detachments = slices.Concat(a.detachments, a.ended)
	v.Pauses = slices.Concat(policy.TagPauses(v.Snapshot), c.pauses())
	v.Halts, v.Latches, v.Watches = a.halts, a.guards.Latches, a.guards.Watches
	v.Usage, v.Began = policy.Usage(c.input(v.Snapshot)), a.began
	v.Modes = make(map[fleet.ServiceID]policy.Mode, len(v.Snapshot.Services))
	for _, svc := range v.Snapshot.Services {
		v.Modes[svc.ID] = policy.ModeOf(svc, c.options.Policy.Limits(svc.ID))
	}
}

// posture is the same for the metrics.
func (c *Controller) posture(v *status.View) metrics.Posture {
	return metrics.Posture{
		Modes: v.Modes, Usage: v.Usage, Detachments: c.acting.detachments,
		Latches: v.Latches, Pauses: v.Pauses, Halts: v.Halts,
	}
}

// commit keeps what the pass has found.
func (c *Controller) commit(closed []*timeline.Timeline) {
	a := &c.acting
	c.tracked = c.tracker.State()
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

// manyAlike is how many verdicts of one service, with one reason, are logged one
// by one: when a thousand tasks fail at once nobody reads a thousand lines.
const manyAlike = 10

// sayVerdicts logs each verdict that is another than the last time.
func (c *Controller) sayVerdicts() {
	said := make(map[saidKey]policy.Verdict, len(c.acting.verdicts))
	var news []policy.Verdict
	for _, v := range c.acting.verdicts {
		key := saidKey{action: v.Action, target: v.Target, task: v.Task}
		was, ok := c.acting.said[key]
		said[key] = v
		if ok && was.Decision == v.Decision && was.Reason == v.Reason && was.Guard == v.Guard {
			continue
		}
		news = append(news, v)
	}
	c.acting.said = said
	type likeness struct {
		service  fleet.ServiceID
		action   policy.Action
		decision policy.Decision
		reason   policy.Reason
	}
	alike := map[likeness]int{}
	of := func(v policy.Verdict) likeness { return likeness{v.Service, v.Action, v.Decision, v.Reason} }
	for _, v := range news {
		alike[of(v)]++
	}
	for _, v := range news {
		attrs := []any{"action", v.Action, "decision", v.Decision, "mode", v.Mode, "guard", v.Guard, "reason", v.Reason, "sentence", v.Sentence,
			"cluster", v.Service.Cluster, "service", v.Service.Name, "task", v.Task.ID(), "target", v.Target.Address()}
		switch n := alike[of(v)]; {
		case n > manyAlike:
			c.log.Info("decided", append(attrs, "alike", n-1)...) // for one of them
			alike[of(v)] = 0
		case n > 0:
			c.log.Info("decided", attrs...)
		}
	}
}

func resultOf(err error) policy.Result {
	var call *fleet.CallError
	switch {
	case err == nil:
		return policy.Accepted
	case errors.As(err, &call) && !call.MayHaveHappened:
		return policy.Rejected
	default:
		return policy.NotAnswered
	}
}

// groupsOf are the target groups of the verdicts that are to be carried out, in
// their order.
func groupsOf(verdicts []policy.Verdict) []fleet.TargetGroupARN {
	var groups []fleet.TargetGroupARN
	for _, v := range verdicts {
		if v.Acts() && !slices.Contains(groups, v.Target.Group) {
			groups = append(groups, v.Target.Group)
		}
	}
	return groups
}

func tasksOf(verdicts []policy.Verdict, of func(policy.Verdict) bool) []fleet.TaskARN {
	var tasks []fleet.TaskARN
	for _, v := range verdicts {
		if of(v) && !slices.Contains(tasks, v.Task) {
			tasks = append(tasks, v.Task)
		}
	}
	return tasks
}

func cluster(s *fleet.Snapshot, task fleet.TaskARN) fleet.ClusterARN {
	if t := s.Task(task); t != nil {
		return t.Cluster
	}
	return ""
}
