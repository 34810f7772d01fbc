package controller

import (
	"context"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/metrics"
)

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
	shown       []policy.Detachment // see all; nil when one of them has changed since
	denied      []policy.Denial
	halts       []policy.Halt
	verdicts    []policy.Verdict
	said        map[saidKey]policy.Verdict // what the log last said of each target
	parting     bool                       // castoff is about to end, and forgets what is out
	look        *policy.Look               // at the fleet as it was last read; nil before the first
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
func (c *Controller) input() policy.Input {
	return policy.Input{
		Now: c.now().Round(0), State: c.acting.guards, Detachments: c.acting.detachments,
		Limits: c.options.Policy.Limits, Fleet: c.options.Policy.Fleet, Pauses: c.pauses(),
		Began: c.acting.began, Halts: c.acting.halts, Denied: c.acting.denied,
		UnderWay: c.writes.underWay, Parting: c.acting.parting,
	}
}

// see looks through the fleet, and keeps what is to be remembered of it.
func (c *Controller) see(s *fleet.Snapshot) {
	in := c.input()
	in.Snapshot = s
	c.acting.look = policy.NewLook(in)
	c.acting.guards = c.acting.look.State()
}

// look is the fleet as it was last seen, with all that was done since.
func (c *Controller) look() *policy.Look { return c.acting.look.With(c.input()) }

// act decides about every failing target and has carried out what is allowed.
func (c *Controller) act(ctx context.Context, s *fleet.Snapshot) {
	a := &c.acting
	if now := c.now().Round(0); a.began.After(now) {
		a.began = now // the clock was set back: the window begins anew, and does not last until the clock is there again
	}
	a.denied = slices.DeleteFunc(a.denied, func(d policy.Denial) bool { return !c.now().Before(d.Until) })
	c.see(s)
	for _, d := range a.look.Follow() {
		c.keep(d)
	}
	c.writes.patience = quick
	verdicts := c.look().Decide()
	c.carryOut(ctx, verdicts)
	if c.options.Actor != nil {
		back := c.look().Reattach()
		c.carryOut(ctx, back)
		verdicts = append(verdicts, back...)
	}
	c.leave()
	a.verdicts = verdicts
	c.options.Metrics.Acting.Verdicts(verdicts)
	c.sayVerdicts()
}

// carried reports that something follows from a verdict: a call, or in mode observe
// the note that there would be one.
func (c *Controller) carried(v policy.Verdict) bool {
	return v.Decision == policy.Allow && (v.Mode != policy.Detaching || c.options.Actor != nil)
}

// carryOut looks again at what is allowed, group by group, decides again on that, and
// begins the calls that are still allowed. The verdicts become what the second look
// said. What castoff would do in mode observe has the same look, or it would be more
// than what it does.
func (c *Controller) carryOut(ctx context.Context, verdicts []policy.Verdict) {
	for _, group := range groupsOf(verdicts, c.carried) {
		if ctx.Err() != nil {
			break // the next pass decides anew
		}
		of := func(v policy.Verdict) bool { return c.carried(v) && v.Target.Group == group }
		tasks := tasksOf(verdicts, of)
		w := write{action: verdicts[slices.IndexFunc(verdicts, of)].Action, group: group}
		var others []fleet.TaskARN
		if w.action == policy.Detach {
			others = outdated(c.acting.look.Snapshot, group, c.now())
		}
		s := c.options.Observer.Refresh(ctx, slices.Concat(tasks, others), []fleet.TargetGroupARN{group})
		c.see(s)
		w.until = heldUntil(s, group, tasks)
		for i, was := range verdicts {
			if !of(was) {
				continue
			}
			look := c.look()
			verdicts[i] = look.Recheck(was)
			c.acting.guards = look.State()
			if v := verdicts[i]; c.carried(v) {
				w.detachments = append(w.detachments, c.open(s, v)...)
			}
		}
		c.begin(ctx, w)
	}
	for i := range verdicts {
		if v := &verdicts[i]; v.Acts() && c.options.Actor == nil {
			v.Mode = policy.Observing // say so instead of an allow that nothing follows
		}
	}
}

// open is the detachment that an allowed verdict is about, kept so that the next look
// counts it; none where nothing is to be called.
func (c *Controller) open(s *fleet.Snapshot, v policy.Verdict) []policy.Detachment {
	d := v.Detachment(cluster(s, v.Task), c.acting.detachments)
	if v.Action == policy.Detach {
		c.keep(d)
	}
	if !v.Acts() {
		c.options.Metrics.Acting.Called(d, d.Result)
		return nil
	}
	return []policy.Detachment{d}
}

// heldUntil is when a look at tasks and a group may be acted upon no longer: AWS may take
// its time to answer, but what was answered must not lie about.
func heldUntil(s *fleet.Snapshot, group fleet.TargetGroupARN, tasks []fleet.TaskARN) time.Time {
	g := s.TargetGroup(group)
	if g == nil {
		return time.Time{}
	}
	last := g.Read.Received
	for _, arn := range tasks {
		if t := s.Task(arn); t != nil && t.Read.Received.After(last) {
			last = t.Read.Received
		}
	}
	return last.Add(holds)
}

// well reports that a task may be one that serves.
func well(t *fleet.Task) bool {
	return t.LastStatus == fleet.Running && !t.Leaving() && !t.Failing() && t.Missing == 0
}

// outdated are the tasks of a group's targets that must be read again, for the guards to
// count them among those that would be left. One that was not well is none of these,
// whatever has become of it.
func outdated(s *fleet.Snapshot, group fleet.TargetGroupARN, at time.Time) []fleet.TaskARN {
	g := s.TargetGroup(group)
	if g == nil {
		return nil
	}
	var tasks []fleet.TaskARN
	for i := range g.Targets {
		if t := s.Owner(g.Targets[i].Key); t != nil && well(t) && t.Read.Age(at) > policy.Apart {
			tasks = append(tasks, t.ARN)
		}
	}
	return tasks
}

// showActing puts into a view what is decided, done and in the way.
func (c *Controller) showActing(v *status.View) {
	a := &c.acting
	v.Verdicts = a.verdicts
	v.Flow = c.flow.note(a.verdicts)
	v.Detachments = a.all()
	v.Pauses = slices.Concat(policy.TagPauses(v.Snapshot), c.pauses())
	v.Halts, v.Latches, v.Watches = a.halts, a.guards.Latches, a.guards.Watches
	v.Usage, v.Began = c.look().Usage(), a.began
	v.Modes = make(map[fleet.ServiceID]policy.Mode, len(v.Snapshot.Services))
	for _, svc := range v.Snapshot.Services {
		v.Modes[svc.ID] = policy.ModeOf(svc, c.options.Policy.Limits(svc.ID))
	}
}

// all are the detachments that are open, then those that ended: a slice that is never
// changed, and that is the same while none of them has.
func (a *acting) all() []policy.Detachment {
	if a.shown == nil {
		a.shown = slices.Concat(a.detachments, a.ended)
	}
	return a.shown
}

// posture is the same for the metrics.
func (c *Controller) posture(v *status.View) metrics.Posture {
	return metrics.Posture{
		Modes: v.Modes, Usage: v.Usage, Detachments: c.acting.detachments,
		Latches: v.Latches, Pauses: v.Pauses, Halts: v.Halts,
	}
}

// groupsOf are the target groups of the verdicts that are to be carried out, in
// their order.
func groupsOf(verdicts []policy.Verdict, carried func(policy.Verdict) bool) []fleet.TargetGroupARN {
	var groups []fleet.TargetGroupARN
	for _, v := range verdicts {
		if carried(v) && !slices.Contains(groups, v.Target.Group) {
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
