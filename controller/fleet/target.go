package fleet

import "time"

// TargetState is the state of a target as its balancer sees it. The set is
// open: AWS has added to it before.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
type TargetState string

// The states that ELBv2 documents.
const (
	TargetInitial           TargetState = "initial"
	TargetHealthy           TargetState = "healthy"
	TargetUnhealthy         TargetState = "unhealthy"
	TargetUnhealthyDraining TargetState = "unhealthy.draining"
	TargetUnused            TargetState = "unused"
	TargetDraining          TargetState = "draining"
	TargetUnavailable       TargetState = "unavailable"
)

// TargetUnknown is what castoff says of a target of which ELBv2 told no state;
// AWS never says it. It is none of the others: neither good nor bad nor gone.
const TargetUnknown TargetState = "unknown"

// NoOverride is the AdministrativeOverride state of a target that no zonal
// shift touches; an empty one means the same.
const NoOverride = "no_override"

// Target is one row of a target group.
type Target struct {
	Key    TargetKey
	State  TargetState
	Reason string // Target.FailedHealthChecks, Elb.RegistrationInProgress, …
	Zone   string // as AWS filled it in; no part of the key
	// Override is the AdministrativeOverride state. Under a zonal shift a
	// healthy target gets no new traffic.
	Override string
}

// Healthy reports that the balancer calls the target good and may send it new
// flows. An unknown state is not healthy.
func (t *Target) Healthy() bool { return t.State == TargetHealthy && !t.Shifted() }

// Shifted reports that an override, such as a zonal shift, keeps new flows from
// it whatever its state.
func (t *Target) Shifted() bool { return t.Override != "" && t.Override != NoOverride }

// Unhealthy reports that the balancer itself has found the target bad.
func (t *Target) Unhealthy() bool {
	return t.State == TargetUnhealthy || t.State == TargetUnhealthyDraining
}

// Draining reports that deregistration has begun.
func (t *Target) Draining() bool { return t.State == TargetDraining }

// Unused reports a row that is there in name only: not registered, or in a
// group or zone that no listener uses.
func (t *Target) Unused() bool { return t.State == TargetUnused }

// Target types of a group.
const (
	TargetTypeIP       = "ip"
	TargetTypeInstance = "instance"
	TargetTypeALB      = "alb"
)

// TargetGroup is a target group and its rows. Its inventory (Check,
// Attributes, …) and its rows are read at different times.
type TargetGroup struct {
	ARN           TargetGroupARN
	Name          string
	Protocol      string // TCP, TLS, UDP, TCP_UDP, HTTP, HTTPS, …
	Port          int
	TargetType    string
	IPAddressType string // ipv4 or ipv6
	LoadBalancers []string
	// Balancers are those of LoadBalancers, in their order, with what is known of them.
	Balancers  []Balancer
	Check      TargetCheck
	Attributes TargetGroupAttributes
	Tags       map[string]string

	Targets []Target // sorted by key
	// Read is when the rows were read; zero when they never were, and then
	// Targets says nothing.
	Read Read
	// Inventory is when the rest was read.
	Inventory Read
}

// Kinds of load balancer.
const (
	NetworkBalancer     = "network"
	ApplicationBalancer = "application"
	GatewayBalancer     = "gateway"
)

// Balancer is a load balancer that sends to a target group.
type Balancer struct {
	ARN  string
	Kind string // empty: not known
	// CrossZone is its attribute load_balancing.cross_zone.enabled, for groups that
	// leave the choice to it: true or false; empty until it was read.
	CrossZone string
	Read      Read
	// Denied reports that castoff may not read its attributes.
	Denied bool
}

// TargetCheck is how the balancer checks the group's targets.
type TargetCheck struct {
	Protocol           string
	Port               string // a number, or traffic-port
	Interval           time.Duration
	Timeout            time.Duration
	HealthyThreshold   int
	UnhealthyThreshold int
}

// TargetGroupAttributes holds the attributes that say how targets leave.
// Known is false until they have been read; then the rest says nothing.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroupAttribute.html
type TargetGroupAttributes struct {
	Known                          bool
	DeregistrationDelay            time.Duration
	ConnectionTermination          bool   // deregistration_delay.connection_termination.enabled
	UnhealthyConnectionTermination bool   // target_health_state.unhealthy.connection_termination.enabled
	CrossZone                      string // true, false or use_load_balancer_configuration
	Raw                            map[string]string
	Read                           Read
}
