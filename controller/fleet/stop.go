package fleet

import "strings"

// StopCause is why ECS took a task down, as far as its words tell.
type StopCause string

// The causes. By the prefix of stoppedReason one stop is told from another: which stopCode
// goes with which reason is not known.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
const (
	CauseOther          StopCause = ""                // no failure of the task's own, or none that is known
	CauseContainerCheck StopCause = "container_check" // a container's health check
	CauseTargetCheck    StopCause = "target_check"    // a balancer's
	CauseFailed         StopCause = "failed"          // something else of its own
	CauseExit           StopCause = "exit"            // an essential container ended
	CauseNeverStarted   StopCause = "never_started"
	CausePerson         StopCause = "person" // somebody stopped it
)

// StopCause tells why the task is being taken down, or was. Where code and reason say
// different things, the reason counts.
func (t *Task) StopCause() StopCause {
	switch {
	case strings.HasPrefix(t.StoppedReason, "Task failed container health checks"):
		return CauseContainerCheck
	case strings.HasPrefix(t.StoppedReason, "Task failed ELB health checks"):
		return CauseTargetCheck
	case t.MayHaveExited():
		return CauseExit
	case t.StopCode == failedToStart, t.NeverStarted():
		return CauseNeverStarted
	case strings.HasPrefix(t.StoppedReason, "Task failed "):
		return CauseFailed
	case t.MayBePersons():
		return CausePerson
	default:
		return CauseOther
	}
}

// MayHaveExited reports that code or reason say that an essential container ended.
func (t *Task) MayHaveExited() bool {
	return t.StopCode == "EssentialContainerExited" || strings.HasPrefix(t.StoppedReason, "Essential container in task exited")
}

// MayBePersons reports that code or reason say that somebody stopped the task.
func (t *Task) MayBePersons() bool {
	return t.StopCode == "UserInitiated" || strings.HasPrefix(t.StoppedReason, "Task stopped by user")
}
