package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/scenario"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// parameters are the service that is simulated, and what befalls it: the
// defaults, then what --like found, then --file, then flags.
type parameters struct {
	Desired               int            `yaml:"desired"`
	MinimumHealthyPercent int            `yaml:"minimum_healthy_percent"`
	MaximumPercent        int            `yaml:"maximum_percent"`
	Grace                 time.Duration  `yaml:"grace"` // healthCheckGracePeriodSeconds
	LaunchType            string         `yaml:"launch_type"`
	Zones                 int            `yaml:"zones"` // of its tasks and its load balancers
	StopTimeout           time.Duration  `yaml:"stop_timeout"`
	ContainerCheck        containerCheck `yaml:"container_check"`
	TargetGroups          []targetGroup  `yaml:"target_groups"`

	Failure scenario.Failure `yaml:"failure"`
	Failing int              `yaml:"failing"` // tasks, at once
	Clients clients          `yaml:"clients"`
}

// containerCheck is the health check of the container that the targets are of.
type containerCheck struct {
	Enabled     bool          `yaml:"enabled"`
	Interval    time.Duration `yaml:"interval"`
	Timeout     time.Duration `yaml:"timeout"`
	Retries     int           `yaml:"retries"`
	StartPeriod time.Duration `yaml:"start_period"`
}

type targetGroup struct {
	Balancer            string        `yaml:"balancer"` // network or application
	Check               targetCheck   `yaml:"check"`
	DeregistrationDelay time.Duration `yaml:"deregistration_delay"`
	CrossZone           bool          `yaml:"cross_zone"`
	// ConnectionTermination ends connections with the deregistration delay, the
	// other once the balancer finds the target unhealthy.
	ConnectionTermination          bool      `yaml:"connection_termination"`
	UnhealthyConnectionTermination bool      `yaml:"unhealthy_connection_termination"`
	DNSFailover                    threshold `yaml:"dns_failover"`
	UnhealthyRouting               threshold `yaml:"unhealthy_routing"`
}

// threshold is one of target_group_health.
type threshold struct {
	Count      int `yaml:"count"`
	Percentage int `yaml:"percentage"` // 0: off
}

type targetCheck struct {
	Protocol string `yaml:"protocol"`
	// SeesApp: an HTTP check's path is answered by the app, not by what stands
	// before it. A TCP check never sees the app.
	SeesApp            bool          `yaml:"sees_app"`
	Interval           time.Duration `yaml:"interval"`
	Timeout            time.Duration `yaml:"timeout"`
	HealthyThreshold   int           `yaml:"healthy_threshold"`
	UnhealthyThreshold int           `yaml:"unhealthy_threshold"`
}

type clients struct {
	FlowsPerSecond float64       `yaml:"flows_per_second"` // new ones, to all targets together
	Streams        int           `yaml:"streams"`          // long-lived connections
	StreamLife     time.Duration `yaml:"stream_life"`      // 0: for ever
}

// defaultGroup is a new target group of a Network Load Balancer.
func defaultGroup() targetGroup {
	return targetGroup{
		Balancer:            sim.Network,
		Check:               targetCheck{Protocol: "TCP", SeesApp: true, Interval: 30 * time.Second, Timeout: 10 * time.Second, HealthyThreshold: 5, UnhealthyThreshold: 2},
		DeregistrationDelay: 300 * time.Second, UnhealthyConnectionTermination: true,
		DNSFailover: threshold{Count: 1}, UnhealthyRouting: threshold{Count: 1},
	}
}

// defaultParameters are the service that castoff was made for.
func defaultParameters() parameters {
	return parameters{
		Desired: 6, MinimumHealthyPercent: 100, MaximumPercent: 200, LaunchType: fleet.Fargate, Zones: 3, StopTimeout: 30 * time.Second,
		ContainerCheck: containerCheck{Enabled: true, Interval: 5 * time.Second, Timeout: 3 * time.Second, Retries: 2, StartPeriod: 10 * time.Second},
		TargetGroups:   []targetGroup{defaultGroup()},
		Failure:        scenario.Hang, Failing: 1, Clients: clients{FlowsPerSecond: 60},
	}
}

// read puts a file over the parameters.
func (p *parameters) read(name string, data []byte) error {
	return config.Strict(name, data, p, []any{defaultGroup()}, p.check)
}

// most tasks that are simulated: more take long and show nothing else.
const most = 200

// check holds the parameters to AWS's own ranges.
//
// Sources: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
// and https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html
func (p *parameters) check(blame func(path, must, got string)) {
	number := func(path string, v, least, most int) {
		if v < least || v > most {
			blame(path, fmt.Sprintf("must be between %d and %d", least, most), strconv.Itoa(v))
		}
	}
	duration := func(path string, v, least, most time.Duration) {
		if v < least || v > most || v%time.Second != 0 {
			blame(path, fmt.Sprintf("must be whole seconds, from %.0fs to %.0fs", least.Seconds(), most.Seconds()), v.String())
		}
	}
	choice := func(path, v string, of ...string) {
		if !slices.Contains(of, v) {
			blame(path, "must be one of "+strings.Join(of, ", "), strconv.Quote(v))
		}
	}
	const s = time.Second
	number("desired", p.Desired, 1, most)
	number("minimum_healthy_percent", p.MinimumHealthyPercent, 0, 200)
	number("maximum_percent", p.MaximumPercent, 100, 1000)
	duration("grace", p.Grace, 0, 24*time.Hour)
	choice("launch_type", p.LaunchType, fleet.Fargate, fleet.EC2)
	number("zones", p.Zones, 1, len(simZones))
	if p.LaunchType == fleet.EC2 && p.Zones != len(simZones) {
		blame("zones", fmt.Sprintf("must be %d with launch type EC2: that is where the simulated container instances are", len(simZones)), strconv.Itoa(p.Zones))
	}
	duration("stop_timeout", p.StopTimeout, 2*s, 300*s)
	duration("container_check.interval", p.ContainerCheck.Interval, 5*s, 300*s)
	duration("container_check.timeout", p.ContainerCheck.Timeout, 2*s, 60*s)
	number("container_check.retries", p.ContainerCheck.Retries, 1, 10)
	duration("container_check.start_period", p.ContainerCheck.StartPeriod, 0, 300*s)
	if n := len(p.TargetGroups); n < 1 || n > 5 {
		blame("target_groups", "must be one to five", strconv.Itoa(n))
	}
	for i, g := range p.TargetGroups {
		at := fmt.Sprintf("target_groups[%d].", i)
		protocols := []string{"TCP", "HTTP", "HTTPS"}
		if g.Balancer == sim.Application {
			protocols = protocols[1:]
		}
		choice(at+"balancer", g.Balancer, sim.Network, sim.Application)
		choice(at+"check.protocol", g.Check.Protocol, protocols...)
		duration(at+"check.interval", g.Check.Interval, 5*s, 300*s)
		duration(at+"check.timeout", g.Check.Timeout, 2*s, 120*s)
		number(at+"check.healthy_threshold", g.Check.HealthyThreshold, 2, 10)
		number(at+"check.unhealthy_threshold", g.Check.UnhealthyThreshold, 2, 10)
		duration(at+"deregistration_delay", g.DeregistrationDelay, 0, 3600*s)
		number(at+"dns_failover.count", g.DNSFailover.Count, 1, 1000)
		number(at+"dns_failover.percentage", g.DNSFailover.Percentage, 0, 100)
		number(at+"unhealthy_routing.count", g.UnhealthyRouting.Count, 1, 1000)
		number(at+"unhealthy_routing.percentage", g.UnhealthyRouting.Percentage, 0, 100)
	}
	var failures []string
	for _, f := range scenario.Failures {
		failures = append(failures, string(f))
	}
	choice("failure", string(p.Failure), failures...)
	if p.Failing < 1 || p.Failing > p.Desired {
		blame("failing", "must be between 1 and desired, "+strconv.Itoa(p.Desired), strconv.Itoa(p.Failing))
	}
	if f := p.Clients.FlowsPerSecond; !(f >= 0 && f <= 1e6) {
		blame("clients.flows_per_second", "must be between 0 and 1000000", strconv.FormatFloat(f, 'g', -1, 64))
	}
	number("clients.streams", p.Clients.Streams, 0, 1_000_000)
	duration("clients.stream_life", p.Clients.StreamLife, 0, 24*time.Hour)
}

// The zones of the simulated region.
var simZones = [...]string{sim.RegionName + "a", sim.RegionName + "b", sim.RegionName + "c"}

// The simulated task: a front that is what the targets and the container check
// are of, and the app behind it.
const (
	frontPort = 10080
	appPort   = 8080
)

// spec is the service as the simulated region takes it.
func (p *parameters) spec(id fleet.ServiceID) sim.ServiceSpec {
	front := sim.ContainerSpec{Name: "front", Ports: []int{frontPort}, StopTimeout: p.StopTimeout}
	if c := p.ContainerCheck; c.Enabled {
		front.Check = &fleet.HealthCheck{
			Command: []string{"CMD", "/check"}, Interval: c.Interval, Timeout: c.Timeout, Retries: c.Retries, StartPeriod: c.StartPeriod,
		}
	}
	// To the simulated region 0 means AWS's default, so that none has to be said.
	orNone := func(n int) int {
		if n == 0 {
			return -1
		}
		return n
	}
	s := sim.ServiceSpec{
		Cluster: id.Cluster, Name: id.Name, Desired: p.Desired, LaunchType: p.LaunchType, Grace: p.Grace, Settled: true,
		MinimumHealthyPercent: orNone(p.MinimumHealthyPercent), MaximumPercent: p.MaximumPercent, Zones: simZones[:p.Zones],
		Containers: []sim.ContainerSpec{front, {Name: "app", Ports: []int{appPort}, StopTimeout: p.StopTimeout}},
	}
	if p.LaunchType == fleet.Fargate {
		s.Subnets = simZones[:p.Zones]
	}
	for i, g := range p.TargetGroups {
		s.Groups = append(s.Groups, g.spec(fmt.Sprintf("%.20s-%d", id.Name, i+1), p.Clients, len(p.TargetGroups)))
	}
	return s
}

func (g *targetGroup) spec(name string, c clients, groups int) sim.GroupSpec {
	delay := g.DeregistrationDelay
	if delay == 0 {
		delay = -1
	}
	percentage := func(n int) string {
		if n == 0 {
			return "off"
		}
		return strconv.Itoa(n)
	}
	spec := sim.GroupSpec{
		Name: name, Container: "front", Port: frontPort, Balancer: g.Balancer, ShallowCheck: !g.Check.SeesApp, DeregistrationDelay: delay,
		Check: fleet.TargetCheck{
			Protocol: g.Check.Protocol, Interval: g.Check.Interval, Timeout: g.Check.Timeout,
			HealthyThreshold: g.Check.HealthyThreshold, UnhealthyThreshold: g.Check.UnhealthyThreshold,
		},
		Attributes: map[string]string{
			"load_balancing.cross_zone.enabled":                                              strconv.FormatBool(g.CrossZone),
			"target_group_health.dns_failover.minimum_healthy_targets.count":                 strconv.Itoa(g.DNSFailover.Count),
			"target_group_health.dns_failover.minimum_healthy_targets.percentage":            percentage(g.DNSFailover.Percentage),
			"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count":      strconv.Itoa(g.UnhealthyRouting.Count),
			"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": percentage(g.UnhealthyRouting.Percentage),
		},
		// Clients spread over the groups alike.
		Traffic: sim.Traffic{Rate: c.FlowsPerSecond / float64(groups), Streams: c.Streams / groups, StreamLife: c.StreamLife},
	}
	if g.Balancer == sim.Network {
		spec.Attributes["deregistration_delay.connection_termination.enabled"] = strconv.FormatBool(g.ConnectionTermination)
		spec.Attributes["target_health_state.unhealthy.connection_termination.enabled"] = strconv.FormatBool(g.UnhealthyConnectionTermination)
	}
	return spec
}
