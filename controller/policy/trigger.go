package policy

import (
	"fmt"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// trigger: an essential container's own health check has failed. A failure that
// only the balancer sees is not acted on: without its target in the group ECS
// may no longer see that failure and keep the task.
func (q *question) trigger() Finding {
	t := q.task
	switch {
	case t == nil:
		return refuse(NotUnhealthy, "the task is not there")
	case !t.Failing() && q.row != nil && q.row.Unhealthy():
		return refuse(TargetCheckOnly, fmt.Sprintf("only the balancer's check fails; ECS calls the task %s", t.Health))
	case !t.Failing():
		return refuse(NotUnhealthy, fmt.Sprintf("ECS calls the task %s", t.Health))
	case t.Connectivity == fleet.Disconnected:
		return hold(Disconnected, time.Time{}, "the task's agent is disconnected: UNHEALTHY is its last word")
	case q.def == nil:
		return hold(DefinitionUnknown, time.Time{}, fmt.Sprintf("task definition %s has not been read", t.Definition.FamilyRevision()))
	}
	c := failedCheck(t, q.def)
	if c == nil {
		return refuse(NoFailedCheck, "no essential container's own health check fails")
	}
	return allow(fmt.Sprintf("the health check of container %s has failed", c.Name))
}
