package policy

import (
	"fmt"
	"time"
)

// grace: the task had the time to start that its definition and its service
// give it. ECS leaves it alone for so long, and so does castoff.
func (q *question) grace() Finding {
	if q.task == nil || q.svc == nil || q.def == nil {
		return hold(NotStarted, time.Time{}, "the task, its service or its definition has not been read")
	}
	if q.task.Started.IsZero() {
		return hold(NotStarted, time.Time{}, "the task has not started")
	}
	grace, of := q.svc.Grace, "health check grace period"
	for i := range q.def.Containers {
		c := &q.def.Containers[i]
		if c.Essential && c.Check != nil && c.Check.StartPeriod > grace {
			grace, of = c.Check.StartPeriod, "startPeriod of container "+c.Name
		}
	}
	end := q.task.Started.Add(grace)
	up := q.Now.Sub(q.task.Started)
	value := seconds("started", up, grace)
	if q.Now.Before(end) {
		return hold(StartingUp, end, fmt.Sprintf("the task started %s ago, %s %s", brief(up), of, brief(grace)), value)
	}
	return allow(fmt.Sprintf("the task started %s ago, %s %s", brief(up), of, brief(grace)), value)
}
