package sim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// ServiceSpec describes a service, its tasks and their target groups. Only
// Cluster and Name are needed; what is left out gets AWS's default.
type ServiceSpec struct {
	Cluster string
	Name    string
	Desired int // default 2, negative for 0; a DAEMON service has one a container instance

	LaunchType  string // fleet.Fargate (default) or fleet.EC2
	NetworkMode string // fleet.NetworkAWSVPC (default), NetworkBridge or NetworkHost; the last two only on EC2
	IPv6        bool   // awsvpc: tasks have an IPv6 address beside the IPv4 one; bridge: host ports for IPv6 of their own
	Scheduling  string // fleet.Replica (default) or fleet.Daemon
	Controller  string // fleet.ControllerECS (default), ControllerCodeDeploy or ControllerExternal

	MinimumHealthyPercent int // default 100, for DAEMON 0; negative for 0
	MaximumPercent        int // default 200, for DAEMON 100
	Grace                 time.Duration

	// Strategy of deployments with ControllerECS: Rolling (default), or BlueGreen,
	// the default when a group has an Alternate. With Rolling and an Alternate each
	// deployment's tasks go into the other group, one by one.
	Strategy string
	// BakeTime is how long both revisions of a blue/green deployment run after
	// production traffic has shifted, in whole minutes.
	BakeTime time.Duration
	// TestListener has a blue/green deployment shift a test listener first.
	TestListener bool
	// Breaker is the deployment circuit breaker; Rollback has it go back to the
	// last deployment that was completed.
	Breaker  Breaker
	Rollback bool
	// Rebalance is availability zone rebalancing. AWS turns it on for new services
	// that can have it; here it is off unless asked for.
	Rebalance bool
	// Gateway has a gateway of ECS's send traffic to its tasks too. The region has no
	// more of that than the route in its list.
	Gateway bool

	Containers []ContainerSpec // default: one essential container "app" without a check
	Groups     []GroupSpec
	Zones      []string // of its load balancers; default: all three. Targets elsewhere stay unused
	Subnets    []string // zones of its tasks on Fargate; default: all three
	CrossZone  bool     // its Network Load Balancer sends across zones, where a group does not say otherwise

	// Capacity is how many new flows a second a task bears: above it, its app
	// hangs. 0: any number.
	Capacity float64
	// DependsOn are names of what its tasks cannot answer without; see [Outage].
	DependsOn []string

	Tags map[string]string

	// Settled has the service begin calm: its tasks RUNNING for a while, HEALTHY
	// where they have a check, and their targets healthy.
	Settled bool
}

// Breaker is a setting of the deployment circuit breaker.
type Breaker int

// The settings of the circuit breaker.
const (
	BreakerOff         Breaker = iota
	BreakerOn                  // a healthy task ends the count of failed ones: AWS's default
	BreakerNeverResets         // resetOnHealthyTask is false
)

// ContainerSpec is one container of the task definition.
type ContainerSpec struct {
	Name         string
	NotEssential bool
	Ports        []int              // container ports
	Check        *fleet.HealthCheck // zero fields get ECS's defaults
	StopTimeout  time.Duration      // 0: not set, so 30 s
}

// GroupSpec is a target group that the service's tasks are registered in.
type GroupSpec struct {
	Name      string // default SERVICE-PORT
	Container string // default: the first container that has a port
	Port      int    // container port; default: that container's first
	Balancer  string // Network (default) or Application
	Protocol  string // default TCP, with an Application Load Balancer HTTP
	// ProtocolVersion is HTTP1 (default), HTTP2 or GRPC, with an Application Load
	// Balancer.
	ProtocolVersion string
	// IPAddressType is ipv4 (default) or ipv6. The target type follows from the
	// service's network mode.
	IPAddressType string
	// Check may be on any other port than the traffic's, by its number: on the
	// app's own, an HTTP check need not go through the front, and a TCP check sees
	// whether the app is up, though not that it hangs. Zero fields get ELBv2's
	// defaults.
	Check fleet.TargetCheck
	// ShallowCheck has the front alone answer an HTTP check on the traffic port, as
	// it does a path that it does not pass on.
	ShallowCheck bool
	// DeregistrationDelay is deregistration_delay.timeout_seconds: default 300 s,
	// negative for 0.
	DeregistrationDelay time.Duration
	// Attributes override or add to the group's attributes by their AWS names.
	Attributes map[string]string
	Tags       map[string]string
	// Alternate makes it a blue/green pair: a second group, named NAME-alt, that
	// every other deployment uses. See [ServiceSpec.Strategy].
	Alternate bool
	// Unattached leaves the group without a load balancer: its targets stay
	// unused.
	Unattached bool
	// Traffic is what clients send to it from the beginning; not to an alternate.
	Traffic Traffic
}

// ReferenceWorkload is the service that castoff was made for: a plaintext gRPC
// app on 8080 behind nginx on 10080, whose only health check is ECS's, while
// the NLB checks that nginx accepts TCP.
func ReferenceWorkload(clusterName, name string) ServiceSpec {
	return ServiceSpec{
		Cluster: clusterName,
		Name:    name,
		Containers: []ContainerSpec{
			{
				Name:  "nginx",
				Ports: []int{10080},
				Check: &fleet.HealthCheck{
					Command:     []string{"CMD-SHELL", "grpc-health-probe -addr=localhost:10080 -rpc-timeout 2s"},
					Interval:    5 * time.Second,
					Retries:     2,
					StartPeriod: 10 * time.Second,
					Timeout:     3 * time.Second,
				},
			},
			{Name: "app", Ports: []int{8080}},
		},
		Groups:  []GroupSpec{{Container: "nginx", Port: 10080, Protocol: "TCP"}},
		Settled: true,
	}
}

// withDefaults fills the spec in and finds its mistakes, all of them.
func (s ServiceSpec) withDefaults() (ServiceSpec, error) {
	s.LaunchType = cmp.Or(s.LaunchType, fleet.Fargate)
	s.NetworkMode = cmp.Or(s.NetworkMode, fleet.NetworkAWSVPC)
	s.Scheduling = cmp.Or(s.Scheduling, fleet.Replica)
	s.Controller = cmp.Or(s.Controller, fleet.ControllerECS)
	s.Desired = max(0, cmp.Or(s.Desired, 2))
	if s.Scheduling == fleet.Daemon {
		s.MaximumPercent = cmp.Or(s.MaximumPercent, 100)
	} else {
		s.MaximumPercent = cmp.Or(s.MaximumPercent, 200)
		s.MinimumHealthyPercent = max(0, cmp.Or(s.MinimumHealthyPercent, 100))
	}
	if len(s.Containers) == 0 {
		s.Containers = []ContainerSpec{{Name: "app", Ports: []int{8080}}}
	}
	s.Containers = slices.Clone(s.Containers)
	for i := range s.Containers {
		if c := s.Containers[i].Check; c != nil {
			s.Containers[i].Check = checkDefaults(*c)
		}
	}
	s.Groups = slices.Clone(s.Groups)
	if s.Strategy == "" {
		s.Strategy = Rolling
		if slices.ContainsFunc(s.Groups, func(g GroupSpec) bool { return g.Alternate }) {
			s.Strategy = BlueGreen
		}
	}
	var errs []error
	for i := range s.Groups {
		errs = append(errs, s.groupDefaults(&s.Groups[i]))
	}
	awsvpc := s.NetworkMode == fleet.NetworkAWSVPC
	if s.Cluster == "" || s.Name == "" {
		errs = append(errs, errors.New("cluster and name are needed"))
	}
	if s.LaunchType == fleet.Fargate && !awsvpc {
		errs = append(errs, fmt.Errorf("network mode %s is not for Fargate", s.NetworkMode))
	}
	if s.Scheduling == fleet.Daemon && s.LaunchType == fleet.Fargate {
		errs = append(errs, errors.New("DAEMON is not for Fargate"))
	}
	if s.Strategy != Rolling && s.Strategy != BlueGreen {
		errs = append(errs, fmt.Errorf("deployment strategy %s is not modelled", s.Strategy))
	}
	if s.Scheduling == fleet.Daemon && (s.Strategy != Rolling || s.Rebalance || s.Controller != fleet.ControllerECS) {
		errs = append(errs, errors.New("a DAEMON service only rolls, and has no zones to rebalance"))
	}
	if s.Breaker != BreakerOff && s.Controller != fleet.ControllerECS {
		errs = append(errs, fmt.Errorf("deployment controller %s has no circuit breaker", s.Controller))
	}
	if len(s.Subnets) > 0 && s.LaunchType != fleet.Fargate {
		errs = append(errs, errors.New("tasks on EC2 are in the zones of the container instances"))
	}
	for _, zone := range s.Subnets {
		if !slices.Contains(zones[:], zone) {
			errs = append(errs, fmt.Errorf("there is no zone %s", zone))
		}
	}
	if s.IPv6 && s.NetworkMode == fleet.NetworkHost {
		errs = append(errs, errors.New("IPv6 needs network mode awsvpc or bridge"))
	}
	return s, errors.Join(errs...)
}

// subnets are the zones of the service's subnets.
func (s *ServiceSpec) subnets() []string {
	if len(s.Subnets) > 0 {
		return s.Subnets
	}
	return zones[:]
}

func (s ServiceSpec) groupDefaults(g *GroupSpec) error {
	for _, c := range s.Containers {
		if g.Container == "" && len(c.Ports) > 0 || g.Container == c.Name {
			g.Container = c.Name
			if g.Port == 0 && len(c.Ports) > 0 {
				g.Port = c.Ports[0]
			}
			break
		}
	}
	g.defaults(s.Name)
	if err := g.validate(); err != nil {
		return err
	}
	if !slices.ContainsFunc(s.Containers, func(c ContainerSpec) bool {
		return c.Name == g.Container && slices.Contains(c.Ports, g.Port)
	}) {
		return fmt.Errorf("target group %s: no container %q has port %d", g.Name, g.Container, g.Port)
	}
	if g.IPAddressType == "ipv6" && !s.IPv6 {
		return fmt.Errorf("target group %s: ipv6, but the tasks have no IPv6 address", g.Name)
	}
	return nil
}

// checkDefaults fills in what ECS does.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
func checkDefaults(c fleet.HealthCheck) *fleet.HealthCheck {
	if len(c.Command) == 0 {
		c.Command = []string{"CMD-SHELL", "true"}
	}
	c.Interval = cmp.Or(c.Interval, 30*time.Second)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.Retries = cmp.Or(c.Retries, 3)
	return &c
}
