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
	if by, ok := failedCheck(t, q.def); ok {
		return allow(fmt.Sprintf("the health check of container %s has failed", by.Name))
	}
	return refuse(NoFailedCheck, otherwise(t, q.def))
}

// otherwise says why ECS may call a task UNHEALTHY where no check that castoff acts on
// has failed.
func otherwise(t *fleet.Task, def *fleet.TaskDefinition) string {
	if suspects := t.Suspects(def); len(suspects) > 0 && suspects[0].Failing {
		switch s := suspects[0]; {
		case !s.Defined:
			return fmt.Sprintf("container %s fails, which is not in the task definition: %s", s.Name, fleet.Addition(s.Name))
		case s.Essential:
			return fmt.Sprintf("container %s fails, for which the task definition has no health check", s.Name)
		}
	}
	for i := range t.Containers {
		if c := &t.Containers[i]; c.Health == fleet.Unhealthy {
			return fmt.Sprintf("container %s fails alone, which is not essential", c.Name)
		}
	}
	return "ECS calls the task UNHEALTHY, and none of its containers"
}
