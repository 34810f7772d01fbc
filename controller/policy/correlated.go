package policy

import (
	"fmt"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// correlated: not too many fail at once, nor did lately.
func (q *question) correlated() Finding {
	if l := q.state.latch(fleet.ServiceID{}); l != nil {
		c := q.Look.Fleet.Correlated
		return hold(ManyServices, l.Until, fmt.Sprintf("%s of %d have failing tasks, limit %d and %s: suspect a check or something that all depend on; shut until %s",
			plural(l.Failing, "service"), l.Of, c.Count, percent(c.Percent), clock(l.Until)), count("failing_services", l.Failing, c.Count))
	}
	c := q.limits.Correlated
	if l := q.state.latch(q.of); l != nil {
		return hold(ManyTasks, l.Until, fmt.Sprintf("%s of %d failed at once, limit %d and %s: suspect the check or what they depend on; shut until %s",
			plural(l.Failing, "task"), l.Of, c.Count, percent(c.Percent), clock(l.Until)), count("failing_tasks", l.Failing, c.Count))
	}
	n := q.failing[q.of]
	return allow(fmt.Sprintf("failing at once: %s of the service, limit %d and %s", plural(n, "task"), c.Count, percent(c.Percent)), count("failing_tasks", n, c.Count))
}
