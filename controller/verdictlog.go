package controller

import (
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

type saidKey struct {
	action policy.Action
	target fleet.TargetKey
	task   fleet.TaskARN
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
