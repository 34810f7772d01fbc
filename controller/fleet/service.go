package fleet

import (
	"slices"
	"time"
)

// Cluster is an ECS cluster.
type Cluster struct {
	ARN    ClusterARN
	Name   string
	Status string // ACTIVE, INACTIVE, …
	Tags   map[string]string
	Read   Read
}

// Scheduling strategies of a service.
const (
	Replica = "REPLICA"
	Daemon  = "DAEMON"
)

// Deployment controllers of a service. With CODE_DEPLOY and EXTERNAL the load
// balancers belong to task sets, not to the service.
const (
	ControllerECS        = "ECS"
	ControllerCodeDeploy = "CODE_DEPLOY"
	ControllerExternal   = "EXTERNAL"
)

// Service is an ECS service of any deployment controller.
type Service struct {
	ID         ServiceID
	ARN        ServiceARN
	Cluster    ClusterARN
	Status     string // ACTIVE, DRAINING or INACTIVE
	Scheduling string
	Controller string

	Desired int
	Running int
	Pending int

	MinimumHealthyPercent int
	MaximumPercent        int
	// EarlySuccess is earlySuccessCriteria: a deployment may be COMPLETED while tasks of
	// the one before still run.
	EarlySuccess bool
	Breaker      CircuitBreaker
	Gateway      Gateway
	// Moved are the ids of tasks that ECS started to balance the service's zones,
	// sorted, as far as its last hundred events tell.
	Moved []string
	// Grace is healthCheckGracePeriodSeconds: for so long after a task starts
	// ECS ignores its failing checks. The balancer does not.
	Grace time.Duration

	Deployments   []Deployment
	LoadBalancers []LoadBalancer // sorted; task sets', alternate and former groups included
	Tags          map[string]string
	// TagsUnknown: no reply has had the tags yet, so that what they say of castoff's
	// mode is not known.
	TagsUnknown bool
	Read        Read
}

// Balanced reports that the service's new tasks are registered in a target group.
func (s *Service) Balanced() bool {
	return slices.ContainsFunc(s.LoadBalancers, func(lb LoadBalancer) bool { return !lb.Former })
}

// Active reports that the service still wants its tasks.
func (s *Service) Active() bool { return s.Status == "ACTIVE" && s.Desired > 0 }

// Deployment is a rolling deployment or, for CODE_DEPLOY and EXTERNAL, a task
// set. Its ID is what the tasks it started carry in startedBy.
type Deployment struct {
	ID         string
	Status     string // PRIMARY, ACTIVE, INACTIVE, DRAINING
	Rollout    string // IN_PROGRESS, COMPLETED, FAILED; a task set's stabilityStatus
	Definition TaskDefinitionARN
	Desired    int
	Pending    int
	Running    int
	Failed     int
	Created    time.Time
	Updated    time.Time
}

// Gateway says whether a gateway of ECS's sends traffic to a service's tasks, beside
// its load balancers. It does so from an Application Load Balancer that ECS keeps for
// many services: castoff reads none of that, so that exposure there is not known.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/gateway-connect-service.html
type Gateway string

// Without a value it is not known yet.
const (
	GatewayDenied    Gateway = "denied" // castoff may not ask
	GatewayNone      Gateway = "none"
	GatewayConnected Gateway = "connected"
)

// Types of a circuit breaker's threshold.
const (
	ThresholdCount            = "COUNT"
	ThresholdBoundedPercent   = "BOUNDED_PERCENT"
	ThresholdUnboundedPercent = "UNBOUNDED_PERCENT"
)

// CircuitBreaker says when ECS gives up a deployment whose tasks fail. The zero value
// is one that is off.
type CircuitBreaker struct {
	Enabled  bool
	Rollback bool // to the last deployment that was completed
	// Resets: a task that becomes healthy ends the count of failed ones.
	Resets bool
	Type   string // of the threshold
	Value  int
}

// Threshold is how many failed tasks end a deployment of a service that wants some
// number of tasks; 0 where that is not known. ECS's guide rounds a part of a task up
// for BOUNDED_PERCENT, and is taken to do the same without bounds.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ThresholdConfiguration.html
// (ThresholdType: 3 to 200), and
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
func (b CircuitBreaker) Threshold(desired int) int {
	share := (desired*b.Value + 99) / 100
	switch b.Type {
	case ThresholdCount:
		return b.Value
	case ThresholdBoundedPercent:
		return min(max(share, 3), 200)
	case ThresholdUnboundedPercent:
		return share
	}
	return 0
}

// LoadBalancer is one target group that a service's tasks are registered in.
// Blue/green services have two entries for it, one Alternate: only looking the
// task up in both tells which one is live.
type LoadBalancer struct {
	Group     TargetGroupARN
	Container string
	Port      int // container port
	Alternate bool
	// Former: only tasks of earlier deployments are in the group; the service names
	// it no more. The entry goes with the last of them.
	Former bool
}

// Network modes of a task definition. With awsvpc a task has an address of its
// own; otherwise its targets are its instance's.
const (
	NetworkAWSVPC = "awsvpc"
	NetworkBridge = "bridge"
	NetworkHost   = "host"
)

// TaskDefinition is one immutable revision.
type TaskDefinition struct {
	ARN         TaskDefinitionARN
	NetworkMode string
	Containers  []ContainerDefinition
}

// Container finds a container by name; nil when there is none.
func (d *TaskDefinition) Container(name string) *ContainerDefinition {
	for i := range d.Containers {
		if d.Containers[i].Name == name {
			return &d.Containers[i]
		}
	}
	return nil
}

// ContainerDefinition is one container of a revision.
type ContainerDefinition struct {
	Name        string
	Essential   bool
	Check       *HealthCheck // nil: none in the task definition; an image's own does not count
	StopTimeout time.Duration
}

// HealthCheck is a container health check with ECS's defaults filled in.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
type HealthCheck struct {
	Command     []string
	Interval    time.Duration
	Timeout     time.Duration
	Retries     int
	StartPeriod time.Duration
}
