package sim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// targetTypeLambda is the one target type that castoff has no word for: nothing
// in ECS is registered in such a group.
const targetTypeLambda = "lambda"

// addGroups makes the service's target groups and its load balancers, one of
// each kind that they need.
func (r *Region) addGroups(s *service) error {
	balancers := map[string]*balancer{}
	for _, spec := range s.spec.Groups {
		if err := r.addServiceGroup(s, spec, balancers); err != nil {
			return err
		}
	}
	return nil
}

// addServiceGroup makes one of them.
func (r *Region) addServiceGroup(s *service, spec GroupSpec, balancers map[string]*balancer) error {
	targetType := fleet.TargetTypeInstance
	if s.spec.NetworkMode == fleet.NetworkAWSVPC {
		targetType = fleet.TargetTypeIP
	}
	b := balancers[spec.Balancer]
	if !spec.Unattached && b == nil {
		name := s.spec.Name
		if len(balancers) > 0 {
			name += "-" + spec.Balancer
		}
		b = r.addBalancer(name, spec.Balancer, s.spec.Zones, s.spec.CrossZone)
		balancers[spec.Balancer] = b
	}
	g := serviceGroup{container: spec.Container, port: spec.Port}
	var err error
	if g.group, err = r.addGroup(targetType, spec, spec.Name, b); err != nil {
		return err
	}
	if spec.Alternate {
		spare := spec
		spare.Traffic = Traffic{}
		if g.alternate, err = r.addGroup(targetType, spare, spec.Name+"-alt", b); err != nil {
			return err
		}
	}
	s.groups = append(s.groups, g)
	s.listenFor(len(s.groups) - 1)
	return nil
}

// regroup gives the service the groups of its spec: those that it has had, by their
// names, and new ones behind the same load balancers.
func (s *service) regroup() error {
	balancers := map[string]*balancer{}
	var had []serviceGroup
	for _, d := range s.deployments {
		had = append(had, d.groups...)
	}
	for _, g := range had {
		if b := g.group.balancer; b != nil {
			balancers[g.group.kind] = b
		}
	}
	was := s.groups
	s.groups = nil
	for _, spec := range s.spec.Groups {
		if i := slices.IndexFunc(had, func(g serviceGroup) bool { return g.group.name == spec.Name }); i >= 0 {
			g := had[i]
			g.container, g.port = spec.Container, spec.Port
			s.groups = append(s.groups, g)
			continue
		}
		if err := s.region.addServiceGroup(s, spec, balancers); err != nil {
			s.groups = was
			return err
		}
	}
	return nil
}

// settleFlows routes the first flows to a service that begins calm: what clients
// know of DNS is as old as the service.
func (s *service) settleFlows() {
	for range 2 { // what one group's targets say about a zone touches the others
		for _, g := range s.groups {
			b := g.group.balancer
			if b == nil {
				continue
			}
			for _, o := range b.groups {
				o.fillReaches()
			}
			b.dns = b.resolve()
			b.clients = b.dns
			for _, o := range b.groups {
				o.route()
			}
		}
	}
	for _, t := range s.live {
		if cause, _ := t.ailment(); cause != "" {
			t.reconsider()
		}
		for _, g := range s.region.waysTo(t) {
			if !slices.ContainsFunc(t.targets, func(o *registration) bool { return o.group == g }) {
				g.poke(t.addresses())
				g.route() // it has led to whoever had the address before
			}
		}
	}
}

// AddTargetGroup makes a target group that belongs to no service, of any target
// type: ip, instance, alb or lambda. Its load balancer, unless it is unattached,
// is of the group's name. The spec's Container and Alternate do not matter.
func (r *Region) AddTargetGroup(targetType string, spec GroupSpec) (fleet.TargetGroupARN, error) {
	spec.defaults("group")
	var arn fleet.TargetGroupARN
	err := r.change(func() error {
		if err := spec.validate(); err != nil {
			return err
		}
		switch targetType {
		case fleet.TargetTypeIP, fleet.TargetTypeInstance:
		case fleet.TargetTypeALB:
			if spec.Balancer != Network || spec.Protocol != "TCP" || spec.Check.Protocol == "TCP" {
				return fmt.Errorf("target group %s: an ALB is a target of TCP and a Network Load Balancer only, checked by HTTP or HTTPS", spec.Name)
			}
		case targetTypeLambda:
			if spec.Balancer != Application {
				return fmt.Errorf("target group %s: a function is a target of an Application Load Balancer only", spec.Name)
			}
		default:
			return fmt.Errorf("target group %s: no target type %q", spec.Name, targetType)
		}
		var b *balancer
		if !spec.Unattached {
			b = r.addBalancer(spec.Name, spec.Balancer, nil, false)
		}
		g, err := r.addGroup(targetType, spec, spec.Name, b)
		if err != nil {
			return err
		}
		if arn = g.arn; b != nil {
			b.listen(g, func() *targetGroup { return g })
		}
		return nil
	})
	return arn, err
}

// BalancerARN is the load balancer that a target group is attached to; empty:
// none. It is what a group of target type alb has for a target.
func (r *Region) BalancerARN(group fleet.TargetGroupARN) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.groupARNs[group]; g != nil && g.balancer != nil {
		return g.balancer.arn
	}
	return ""
}

func (r *Region) addGroup(targetType string, spec GroupSpec, name string, b *balancer) (*targetGroup, error) {
	if slices.ContainsFunc(r.groups, func(g *targetGroup) bool { return g.name == name }) {
		return nil, fmt.Errorf("target group %s: the name is taken", name)
	}
	g := &targetGroup{
		region: r, name: name, kind: spec.Balancer, protocol: spec.Protocol, port: spec.Port, ipType: spec.IPAddressType,
		targetType: targetType, check: spec.Check, shallow: spec.ShallowCheck, delay: spec.DeregistrationDelay, tags: spec.Tags,
		rows: map[fleet.TargetKey]*row{}, lanes: map[fleet.TargetKey]*lane{}, settled: r.now,
	}
	if g.kind == Application {
		g.version = cmp.Or(spec.ProtocolVersion, "HTTP1")
	}
	g.arn = fleet.TargetGroupARN(elbARN("targetgroup/" + name + "/" + r.hex(16)))
	g.attributes = g.standardAttributes()
	maps.Copy(g.attributes, spec.Attributes)
	if err := g.readAttributes(); err != nil {
		return nil, fmt.Errorf("target group %s: %w", name, err)
	}
	if !spec.Unattached {
		g.balancer = b
		b.groups = append(b.groups, g)
	}
	r.groups = append(r.groups, g)
	r.groupARNs[g.arn] = g
	g.send(spec.Traffic)
	return g, nil
}

// standardAttributes are those of a new group.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroupAttribute.html
func (g *targetGroup) standardAttributes() map[string]string {
	if g.targetType == targetTypeLambda {
		return map[string]string{"lambda.multi_value_headers.enabled": "false"}
	}
	all := map[string]string{
		"deregistration_delay.timeout_seconds":                                           strconv.Itoa(int(g.delay / time.Second)),
		"target_group_health.dns_failover.minimum_healthy_targets.count":                 "1",
		"target_group_health.dns_failover.minimum_healthy_targets.percentage":            "off",
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count":      "1",
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
		"load_balancing.cross_zone.enabled":                                              "use_load_balancer_configuration",
		"stickiness.enabled":                                                             "false",
	}
	if g.kind == Application {
		maps.Copy(all, map[string]string{
			"stickiness.type":                             "lb_cookie",
			"stickiness.lb_cookie.duration_seconds":       "86400",
			"stickiness.app_cookie.duration_seconds":      "86400",
			"stickiness.app_cookie.cookie_name":           "",
			"slow_start.duration_seconds":                 "0",
			"load_balancing.algorithm.type":               "round_robin",
			"load_balancing.algorithm.anomaly_mitigation": "off",
		})
		return all
	}
	maps.Copy(all, map[string]string{
		"deregistration_delay.connection_termination.enabled":          "false",
		"target_health_state.unhealthy.connection_termination.enabled": "true",
		"target_health_state.unhealthy.draining_interval_seconds":      "0",
		"preserve_client_ip.enabled":                                   strconv.FormatBool(g.targetType == fleet.TargetTypeInstance),
		"proxy_protocol_v2.enabled":                                    "false",
		"stickiness.type":                                              "source_ip",
	})
	return all
}

// readAttributes takes the group's settings from its attributes and holds them
// to their ranges.
func (g *targetGroup) readAttributes() error {
	var errs []error
	number := func(name string, low, high int, off bool) int {
		value, set := g.attributes[name]
		n, err := strconv.Atoi(value)
		if set && !(off && value == "off") && (err != nil || n < low || n > high) {
			errs = append(errs, fmt.Errorf("%s must be %d..%d (got %q)", name, low, high, value))
		}
		return n
	}
	g.delay = time.Duration(number("deregistration_delay.timeout_seconds", 0, 3600, false)) * time.Second
	number("target_health_state.unhealthy.draining_interval_seconds", 0, 360000, false)
	for _, action := range []string{"dns_failover", "unhealthy_state_routing"} {
		prefix := "target_group_health." + action + ".minimum_healthy_targets."
		number(prefix+"count", 1, 1000, action == "dns_failover")
		number(prefix+"percentage", 1, 100, true)
	}
	return errors.Join(errs...)
}

// defaults fills in what ELBv2 does.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html
func (g *GroupSpec) defaults(owner string) {
	g.Balancer = cmp.Or(g.Balancer, Network)
	g.Name = cmp.Or(g.Name, fmt.Sprintf("%s-%d", owner, g.Port))
	g.IPAddressType = cmp.Or(g.IPAddressType, "ipv4")
	standard, timeout := "TCP", 10*time.Second
	if g.Balancer == Application {
		standard, timeout = "HTTP", 5*time.Second
	}
	g.Protocol = cmp.Or(g.Protocol, standard)
	g.Check.Protocol = cmp.Or(g.Check.Protocol, standard)
	if g.Balancer == Network && g.Check.Protocol == "HTTP" {
		timeout = 6 * time.Second
	}
	g.Check.Port = cmp.Or(g.Check.Port, "traffic-port")
	g.Check.Interval = cmp.Or(g.Check.Interval, 30*time.Second)
	g.Check.Timeout = cmp.Or(g.Check.Timeout, timeout)
	g.Check.HealthyThreshold = cmp.Or(g.Check.HealthyThreshold, 5)
	g.Check.UnhealthyThreshold = cmp.Or(g.Check.UnhealthyThreshold, 2)
	g.DeregistrationDelay = max(0, cmp.Or(g.DeregistrationDelay, 300*time.Second))
}

// validate holds the spec to what ELBv2 takes.
func (g *GroupSpec) validate() error {
	var errs []error
	fail := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("target group %s: "+format, append([]any{g.Name}, args...)...))
	}
	protocols, checks := []string{"TCP", "TLS", "UDP", "TCP_UDP"}, []string{"TCP", "HTTP", "HTTPS"}
	if g.Balancer == Application {
		protocols, checks = []string{"HTTP", "HTTPS"}, []string{"HTTP", "HTTPS"}
	}
	if g.Balancer != Network && g.Balancer != Application {
		fail("no load balancer is of kind %q", g.Balancer)
	}
	if !slices.Contains(protocols, g.Protocol) {
		fail("protocol must be one of %s (got %s)", strings.Join(protocols, ", "), g.Protocol)
	}
	if !slices.Contains(checks, g.Check.Protocol) {
		fail("checks must be by %s (got %s)", strings.Join(checks, ", "), g.Check.Protocol)
	}
	if port, err := strconv.Atoi(g.Check.Port); g.Check.Port != "traffic-port" && (err != nil || port < 1 || port > 65535) {
		fail("the check's port must be traffic-port or 1..65535 (got %q)", g.Check.Port)
	}
	if g.Balancer == Network && g.ProtocolVersion != "" {
		fail("only a group of an Application Load Balancer has a protocol version")
	}
	if err := g.Traffic.validate(); err != nil {
		fail("%w", err)
	}
	return errors.Join(errs...)
}

// saying is what the API says of a target instead of the truth.
type saying struct {
	state  fleet.TargetState
	reason string
}

// Say has DescribeTargetHealth say of a target whatever state and reason is
// given, also ones that AWS has yet to invent; an empty state has it say the
// truth again. Nothing else follows from it: not where flows go, not what ECS
// does.
func (r *Region) Say(key fleet.TargetKey, state fleet.TargetState, reason string) error {
	return r.change(func() error {
		g := r.groupARNs[key.Group]
		if g == nil || g.rows[key] == nil {
			return fmt.Errorf("say %q of %v: no such target", state, key)
		}
		g.touch()
		g.rows[key].said = &saying{state, reason}
		if state == "" {
			g.rows[key].said = nil
		}
		return nil
	})
}
