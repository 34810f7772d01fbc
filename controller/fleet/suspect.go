package fleet

import "strings"

// Suspect is a container whose health check made ECS call its task UNHEALTHY, or
// may have.
type Suspect struct {
	Name string
	// Check is nil where it is not known: no task definition has the check of a
	// container that ECS added.
	Check *HealthCheck
	// Defined: the task definition has the container. Else ECS added it.
	Defined   bool
	Essential bool
	// Failing: ECS calls the container UNHEALTHY. Else it only may have, before.
	Failing bool
}

// Decides reports that ECS calls the container UNHEALTHY by a check of the task
// definition's own, on an essential container: the only failure that castoff acts on.
func (s Suspect) Decides() bool {
	return s.Failing && s.Defined && s.Essential && s.Check != nil
}

// Suspects are the containers that may have made ECS call the task UNHEALTHY, the
// likeliest first. ECS asks the essential ones alone, so these are:
//
//   - the essential containers that are UNHEALTHY, those of the definition first;
//   - where none is, as in a failure that is only known by the reason for the stop,
//     the essential containers that have a check;
//   - where there is none of these either, the others that are UNHEALTHY.
//
// There is none while the definition is not known.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
func (t *Task) Suspects(def *TaskDefinition) []Suspect {
	if def == nil {
		return nil
	}
	var failing, added, others, checked []Suspect
	for i := range t.Containers {
		s := t.Containers[i].suspect(def)
		switch {
		case !s.Failing:
		case !s.Essential:
			others = append(others, s)
		case s.Defined:
			failing = append(failing, s)
		default:
			added = append(added, s)
		}
	}
	if failing = append(failing, added...); len(failing) > 0 {
		return failing
	}
	for i := range def.Containers {
		if c := &def.Containers[i]; c.Essential && c.Check != nil {
			checked = append(checked, Suspect{Name: c.Name, Check: c.Check, Defined: true, Essential: true})
		}
	}
	if len(checked) > 0 {
		return checked
	}
	return others
}

// Exit codes of a container that a signal ended: SIGKILL and SIGTERM, which ECS sends
// to the rest of a task when one container has ended.
const killed, terminated = 137, 143

// Exited is the essential container that ended by itself and its task with it; empty
// where more than one may have been, or none is known. One that was killed without a
// reason may have been either: for its memory, or by ECS for taking its time.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
func (t *Task) Exited(def *TaskDefinition) string {
	if def == nil {
		return ""
	}
	name := ""
	for i := range t.Containers {
		c := &t.Containers[i]
		switch {
		case !c.suspect(def).Essential, c.ExitCode == nil, *c.ExitCode == terminated:
			continue
		case *c.ExitCode == killed && c.Reason == "", name != "":
			return ""
		}
		name = c.Name
	}
	return name
}

func (c *Container) suspect(def *TaskDefinition) Suspect {
	s := Suspect{Name: c.Name, Failing: c.Health == Unhealthy}
	if d := def.Container(c.Name); d != nil {
		s.Check, s.Defined, s.Essential = d.Check, true, d.Essential
		return s
	}
	s.Essential = !strings.HasPrefix(c.Name, guardDuty)
	return s
}

// Names of the containers that ECS adds to a task begin so. GuardDuty's agent is
// not essential; what else ECS adds, Service Connect's proxy before all, ends its
// task, and is taken to do so where nobody says.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect-concepts-deploy.html
// and https://docs.aws.amazon.com/guardduty/latest/ug/how-runtime-monitoring-works-ecs-fargate.html
const (
	serviceConnect = "ecs-service-connect-"
	guardDuty      = "aws-guardduty-agent-"
)

// Addition says in words what a container is that ECS added to a task.
func Addition(container string) string {
	switch {
	case strings.HasPrefix(container, serviceConnect):
		return "Service Connect's proxy"
	case strings.HasPrefix(container, guardDuty):
		return "GuardDuty's agent"
	default:
		return "a container that ECS added"
	}
}

// Checks tells whether the task has a health check that counts, and whether all of
// them pass. UNKNOWN is not passing, and with its agent cut off nobody knows. The
// task's own healthStatus does not tell: whether an essential container without a
// check makes it UNKNOWN is documented one way and reported the other
// (https://github.com/aws/amazon-ecs-agent/issues/4094).
func (t *Task) Checks(def *TaskDefinition) (checked, passed bool) {
	if def == nil {
		return t.Health != Unknown, t.Healthy()
	}
	passed = t.Connectivity != Disconnected
	for i := range t.Containers {
		c := &t.Containers[i]
		if s := c.suspect(def); s.Essential && s.Check != nil {
			checked = true
			passed = passed && c.Health == Healthy
		}
	}
	return checked, checked && passed
}
