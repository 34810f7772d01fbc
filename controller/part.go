package controller

import (
	"context"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// farewell is how long castoff takes, once its last pass is over, to see its calls
// through and, where it keeps no state, to put back what may go back. The server and
// the journal want some of the time that stopping may take as well.
const farewell = 5 * time.Second

// part ends acting after the last pass. What came of the calls under way is kept; of
// those that take too long the journal says that nobody knows, as it has since before
// they were made. A fault in one step keeps no other from being taken.
func (c *Controller) part(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	var back []policy.Verdict
	forgets := c.options.Forgets && c.options.Actor != nil
	step := func(what string, take func()) {
		defer c.survive(what)
		take()
	}
	if forgets {
		step("putting targets back", func() { back = c.putBackAll(ctx) })
	}
	if err := waitFor(ctx, &c.writes.running); err != nil {
		c.writes.end()
		cut, done := context.WithTimeout(context.Background(), quick)
		defer done()
		if waitFor(cut, &c.writes.running) != nil {
			c.log.Warn("calls are under way that do not end: what comes of them nobody will know", "targets", len(c.writes.underWay))
		}
	}
	step("keeping what came of the last calls", func() {
		if c.settle() {
			c.commit(nil)
		}
	})
	if forgets {
		step("naming what stays out", func() { c.sayLeftOut(back) })
	}
}

// putBackAll puts back, before castoff ends and forgets what it took out, what is
// healthy by a fresh look, without waiting for the recovery window: a target that is
// left out now stays out, however well its task gets. It answers what was decided.
func (c *Controller) putBackAll(ctx context.Context) []policy.Verdict {
	var tasks []fleet.TaskARN
	var groups []fleet.TargetGroupARN
	for _, d := range c.acting.detachments {
		if d.Mode == policy.Detaching && d.Out() {
			tasks, groups = append(tasks, d.Task), append(groups, d.Target.Group)
		}
	}
	if len(tasks) == 0 {
		return nil
	}
	c.acting.parting, c.writes.patience = true, 0 // all calls at once
	s := c.options.Observer.Refresh(ctx, tasks, groups)
	c.see(s)
	for _, d := range c.acting.look.Follow() { // what has ended meanwhile, or is back
		c.keep(d)
	}
	back := c.look().Reattach()
	c.carryOut(ctx, back)
	return back
}

// sayLeftOut says what stays out, and why: nobody will know of it.
func (c *Controller) sayLeftOut(back []policy.Verdict) {
	for _, d := range c.acting.detachments {
		if d.Mode != policy.Detaching || !d.Out() || d.Progress == policy.Attaching {
			continue
		}
		why := "its task is failing, or could not be read"
		if i := slices.IndexFunc(back, func(v policy.Verdict) bool { return v.Target == d.Target && v.Task == d.Task }); i >= 0 {
			why = back[i].Sentence
		}
		c.log.Warn("a target stays out, and castoff keeps no state: register it by hand if its task recovers",
			"cluster", d.Service.Cluster, "service", d.Service.Name, "task", d.Task.ID(), "target_group", d.Target.Group.Name(), "target", d.Target.Address(), "reason", why)
	}
}
