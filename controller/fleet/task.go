package fleet

import (
	"strings"
	"time"
)

// TaskStatus is a task's lastStatus or desiredStatus. The set is open.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
type TaskStatus string

// The task lifecycle, in order.
const (
	Provisioning   TaskStatus = "PROVISIONING"
	Pending        TaskStatus = "PENDING"
	Activating     TaskStatus = "ACTIVATING"
	Running        TaskStatus = "RUNNING"
	Deactivating   TaskStatus = "DEACTIVATING"
	Stopping       TaskStatus = "STOPPING"
	Deprovisioning TaskStatus = "DEPROVISIONING"
	Stopped        TaskStatus = "STOPPED"
	Deleted        TaskStatus = "DELETED"
)

// rank orders the lifecycle; an unknown status has rank 0 and so has neither
// started nor begun to stop.
func (s TaskStatus) rank() int {
	switch s {
	case Provisioning:
		return 1
	case Pending:
		return 2
	case Activating:
		return 3
	case Running:
		return 4
	case Deactivating:
		return 5
	case Stopping:
		return 6
	case Deprovisioning:
		return 7
	case Stopped:
		return 8
	case Deleted:
		return 9
	default:
		return 0
	}
}

// AtLeast reports whether s is other or a later step of the lifecycle. An
// unknown status is at no step.
func (s TaskStatus) AtLeast(other TaskStatus) bool {
	return s.rank() != 0 && s.rank() >= other.rank()
}

// HealthStatus is what ECS says of a task's or a container's health. It comes
// from container health checks alone; a task without one is UNKNOWN for ever,
// so UNKNOWN never means failing.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
type HealthStatus string

// The values that ECS documents. Any other counts as unknown.
const (
	Healthy   HealthStatus = "HEALTHY"
	Unhealthy HealthStatus = "UNHEALTHY"
	Unknown   HealthStatus = "UNKNOWN"
)

// Connectivity values of a task.
const (
	Connected    = "CONNECTED"
	Disconnected = "DISCONNECTED"
)

// Launch types of a task. The set is open.
const (
	EC2     = "EC2"
	Fargate = "FARGATE"
)

// Task is one task of a service as DescribeTasks last said.
type Task struct {
	ARN               TaskARN
	Cluster           ClusterARN
	Service           ServiceID
	Definition        TaskDefinitionARN
	StartedBy         string // id of the deployment (ecs-svc/…) or task set that started it
	LaunchType        string
	Zone              string
	ContainerInstance ContainerInstanceARN // empty on Fargate

	// Version grows with every change that ECS emits an event for. Health does
	// not emit one, so equal versions may differ in health.
	Version       int64
	LastStatus    TaskStatus
	DesiredStatus TaskStatus
	Health        HealthStatus
	Connectivity  string

	// AWS's own instants, zero where AWS gave none. There is none for health.
	Created          time.Time
	ConnectedAt      time.Time // connectivityAt: when it last became CONNECTED
	PullStarted      time.Time
	PullStopped      time.Time
	Started          time.Time
	StoppingAt       time.Time
	ExecutionStopped time.Time
	StoppedAt        time.Time

	StopCode      string
	StoppedReason string

	Containers []Container

	// Targets are the rows that the service's load balancers should have for
	// this task, sorted: in a blue/green service those of both groups. Whether
	// a row is there, and whose it is now, only the Snapshot knows.
	Targets []TargetKey

	// Missing counts the consecutive reads since Read in which ECS answered
	// MISSING for this task. One is no proof: reads after writes lag.
	Missing int

	Read Read
}

// Container is one container of a task.
type Container struct {
	Name     string
	Health   HealthStatus
	ExitCode *int // nil while it runs, or when ECS does not tell
	Reason   string
}

// Healthy reports that ECS says so. Unknown is not healthy, and the health of
// a task whose agent is disconnected is only its last word.
func (t *Task) Healthy() bool {
	return t.Health == Healthy && t.Connectivity != Disconnected
}

// Failing reports that ECS calls the task UNHEALTHY. Unknown is not failing.
func (t *Task) Failing() bool { return t.Health == Unhealthy }

// Leaving reports that ECS has begun to take the task down: it is in
// DEACTIVATING or later, or wanted STOPPED.
func (t *Task) Leaving() bool {
	return t.LastStatus.AtLeast(Deactivating) || t.DesiredStatus == Stopped
}

// Gone reports that nothing of the task runs any more.
func (t *Task) Gone() bool { return t.LastStatus.AtLeast(Stopped) }

// failedToStart is both a stopCode and what a stoppedReason may begin with.
const failedToStart = "TaskFailedToStart"

// NeverStarted reports that the task ended because it could not be started: by the stop
// code, or by one of AWS's names for what went wrong, such as CannotPullContainerError
// or ResourceInitializationError. Which code goes with these is not known.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
func (t *Task) NeverStarted() bool {
	if !t.Started.IsZero() || !t.Leaving() {
		return false
	}
	name, _, _ := strings.Cut(t.StoppedReason, ":")
	return t.StopCode == failedToStart || name == failedToStart ||
		strings.HasSuffix(name, "Error") && !strings.Contains(name, " ")
}
