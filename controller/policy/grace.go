package policy

import (
	"fmt"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// grace: the task had the time to start that its definition and its service
// give it. ECS leaves it alone for so long, and so does castoff.
func (q *question) grace() Finding {
	var given fleet.Grace
	if q.task != nil {
		given = q.Snapshot.Grace(q.task)
	}
	if !given.Known {
		return hold(NotStarted, time.Time{}, "the task, its service or its definition has not been read")
	}
	if q.task.Started.IsZero() {
		return hold(NotStarted, time.Time{}, "the task has not started")
	}
	grace, of := given.Checks(), "health check grace period"
	if given.Container > given.Service {
		of = "startPeriod of container " + given.Of
	}
	up := q.Now.Sub(q.task.Started)
	value := seconds("started", up, grace)
	said := fmt.Sprintf("the task started %s ago, %s %s", brief(up), of, brief(grace))
	end := q.task.Started.Add(grace)
	if q.Now.Before(end) {
		return hold(StartingUp, end, said, value)
	}
	return allow(said, value)
}

// fails reports that ECS calls a task UNHEALTHY that has had its time to start. One
// that is still booting is none of those that fail at once, nor a replacement that
// failed. How long it is given must be known for that.
func (v *Look) fails(t *fleet.Task) bool {
	return t.Failing() && !t.Booting(v.Snapshot.Grace(t).Checks(), t.Read.Earliest())
}
