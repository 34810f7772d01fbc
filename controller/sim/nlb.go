package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Reasons of a target's state.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
const (
	reasonRegistering    = "Elb.RegistrationInProgress"
	reasonInitialChecks  = "Elb.InitialHealthChecking"
	reasonFailedChecks   = "Target.FailedHealthChecks"
	reasonNotRegistered  = "Target.NotRegistered"
	reasonNotInUse       = "Target.NotInUse"
	reasonDeregistration = "Target.DeregistrationInProgress"
)

// balancer is a Network Load Balancer. It only attaches target groups: flows
// are not modelled one by one.
type balancer struct {
	arn     string
	name    string
	created time.Time
}

type targetGroup struct {
	region     *Region
	arn        fleet.TargetGroupARN
	name       string
	protocol   string
	port       int
	targetType string
	ipType     string
	check      fleet.TargetCheck
	delay      time.Duration // deregistration_delay.timeout_seconds
	attributes map[string]string
	tags       map[string]string
	balancer   *balancer // nil: not in use

	removed bool // the group has been deleted
	rows    map[fleet.TargetKey]*row
	order   []*row // as registered
}

// row is a registered target. What the balancer's check finds depends on whose
// address it is by then, not on the task that it was registered for.
type row struct {
	task   *task // registered for it; nil: for none that is known
	key    fleet.TargetKey
	zone   string
	state  fleet.TargetState
	reason string
	probe  *probe
	// sick is set while the balancer's checks fail, and stays when the target is
	// then deregistered.
	sick bool
}

// registration is a task's place in one group of its service.
type registration struct {
	task  *task
	group *targetGroup
	key   fleet.TargetKey
}

// serviceGroup is a group as the service's load balancer settings name it.
type serviceGroup struct {
	group     *targetGroup
	alternate *targetGroup // nil: none
	container string
	port      int
}

// addGroups makes the service's target groups and their load balancer.
func (r *Region) addGroups(s *service) error {
	var b *balancer
	for _, spec := range s.spec.Groups {
		if !spec.Unattached && b == nil {
			b = &balancer{name: s.spec.Name, created: r.now}
			b.arn = elbARN("loadbalancer/net/" + b.name + "/" + r.hex(16))
			r.balancers = append(r.balancers, b)
		}
		g := serviceGroup{container: spec.Container, port: spec.Port}
		var err error
		if g.group, err = r.addGroup(s, spec, spec.Name, b); err != nil {
			return err
		}
		if spec.Alternate {
			if g.alternate, err = r.addGroup(s, spec, spec.Name+"-alt", b); err != nil {
				return err
			}
		}
		s.groups = append(s.groups, g)
	}
	return nil
}

func (r *Region) addGroup(s *service, spec GroupSpec, name string, b *balancer) (*targetGroup, error) {
	if slices.ContainsFunc(r.groups, func(g *targetGroup) bool { return g.name == name }) {
		return nil, fmt.Errorf("target group %s: the name is taken", name)
	}
	g := &targetGroup{
		region: r, name: name, protocol: spec.Protocol, port: spec.Port, ipType: spec.IPAddressType,
		targetType: fleet.TargetTypeInstance, check: spec.Check, delay: spec.DeregistrationDelay, tags: spec.Tags,
		rows: map[fleet.TargetKey]*row{},
	}
	g.arn = fleet.TargetGroupARN(elbARN("targetgroup/" + name + "/" + r.hex(16)))
	if s.spec.NetworkMode == fleet.NetworkAWSVPC {
		g.targetType = fleet.TargetTypeIP
	}
	if !spec.Unattached {
		g.balancer = b
	}
	g.attributes = map[string]string{
		"deregistration_delay.timeout_seconds":                                           strconv.Itoa(int(g.delay / time.Second)),
		"deregistration_delay.connection_termination.enabled":                            "false",
		"target_health_state.unhealthy.connection_termination.enabled":                   "true",
		"target_health_state.unhealthy.draining_interval_seconds":                        "0",
		"target_group_health.dns_failover.minimum_healthy_targets.count":                 "1",
		"target_group_health.dns_failover.minimum_healthy_targets.percentage":            "off",
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count":      "1",
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
		"load_balancing.cross_zone.enabled":                                              "use_load_balancer_configuration",
		"preserve_client_ip.enabled":                                                     strconv.FormatBool(g.targetType == fleet.TargetTypeInstance),
		"proxy_protocol_v2.enabled":                                                      "false",
		"stickiness.enabled":                                                             "false",
		"stickiness.type":                                                                "source_ip",
	}
	maps.Copy(g.attributes, spec.Attributes)
	delay, err := strconv.Atoi(g.attributes["deregistration_delay.timeout_seconds"])
	if err != nil || delay < 0 || delay > 3600 {
		return nil, fmt.Errorf("target group %s: deregistration_delay.timeout_seconds must be 0..3600 (got %q)",
			name, g.attributes["deregistration_delay.timeout_seconds"])
	}
	g.delay = time.Duration(delay) * time.Second
	r.groups = append(r.groups, g)
	r.groupARNs[g.arn] = g
	return g, nil
}

func elbARN(resource string) string {
	return "arn:aws:elasticloadbalancing:" + RegionName + ":" + AccountID + ":" + resource
}

// occupant is the task that an address belongs to now.
func (r *Region) occupant(key fleet.TargetKey) *task {
	if h := r.hosts[key.ID]; h != nil {
		return h.ports[key.Port]
	}
	return r.addresses[key.ID]
}

// register adds a target. One that drains begins anew; one that is there
// already stays as it is.
func (g *targetGroup) register(key fleet.TargetKey, zone string, t *task) {
	r := g.region
	if g.removed {
		return
	}
	if old := g.rows[key]; old != nil {
		if !old.draining() {
			return
		}
		g.remove(old)
	}
	w := g.add(key, zone, t, fleet.TargetInitial, reasonRegistering)
	if g.balancer == nil {
		w.state, w.reason = fleet.TargetUnused, reasonNotInUse
		return
	}
	w.truthRegistered()
	w.probe = g.targetProbe(w)
	r.after(r.draw(r.params.RegistrationLag), func() {
		if w.probe.stopped {
			return
		}
		w.reason = reasonInitialChecks
		w.probe.start(r.now)
	})
}

// settle adds a target that has been healthy for a while.
func (g *targetGroup) settle(key fleet.TargetKey, zone string, t *task) {
	w := g.add(key, zone, t, fleet.TargetHealthy, "")
	if g.balancer == nil {
		w.state, w.reason = fleet.TargetUnused, reasonNotInUse
		return
	}
	w.probe = g.targetProbe(w)
	w.probe.settle(g.region.phase(g.check.Interval))
}

func (g *targetGroup) add(key fleet.TargetKey, zone string, t *task, state fleet.TargetState, reason string) *row {
	w := &row{task: t, key: key, zone: zone, state: state, reason: reason}
	g.rows[key] = w
	g.order = append(g.order, w)
	return w
}

func (w *row) draining() bool { return w.state == fleet.TargetDraining }

// deregister takes a target out: it drains for the whole deregistration delay,
// then its row vanishes. What is absent or draining already stays as it is.
func (g *targetGroup) deregister(key fleet.TargetKey, by Actor) {
	r, w := g.region, g.rows[key]
	if w == nil || w.draining() {
		return
	}
	if w.probe != nil {
		w.probe.stop()
	}
	w.truthDetach(by, r.now.Add(r.scale(r.draw(r.params.PropagationDeregister))))
	w.state, w.reason = fleet.TargetDraining, reasonDeregistration
	if w.task != nil {
		w.task.measure()
	}
	r.after(g.delay, func() {
		if g.rows[key] == w {
			g.remove(w)
			w.truthDetached()
			if w.task != nil {
				w.task.drained()
			}
		}
	})
	if t := w.task; t != nil && t.service != nil {
		if by != ByECS {
			t.service.reregister(t, g, key)
		}
		t.service.weigh(t)
	}
}

func (g *targetGroup) remove(w *row) {
	delete(g.rows, w.key)
	g.order = slices.DeleteFunc(g.order, func(o *row) bool { return o == w })
}

// claimant is the task whose registration a row is.
func (r *Region) claimant(key fleet.TargetKey) *task {
	t := r.occupant(key)
	if t == nil || !slices.ContainsFunc(t.targets, func(o *registration) bool { return o.key == key }) {
		return nil
	}
	return t
}

// targetProbe is the balancer's check of a target: a TCP check sees that the
// front accepts, an HTTP one sees through it to the app.
func (g *targetGroup) targetProbe(w *row) *probe {
	r := g.region
	healthy := g.check.HealthyThreshold
	p := &probe{
		region: r, interval: r.scale(g.check.Interval), timeout: r.scale(g.check.Timeout), took: r.scale(checkTook),
		passes: healthy, fails: g.check.UnhealthyThreshold,
	}
	if r.params.InitialPasses > 0 {
		p.passes = r.params.InitialPasses
	}
	p.try = func() (ok, answered bool) {
		t := r.occupant(w.key)
		switch {
		case t == nil:
			return false, r.hosts[w.key.ID] != nil // nobody has the address: no answer; nobody has the port: refused
		case !t.alive || !t.front:
			return false, true
		case !strings.HasPrefix(g.check.Protocol, "HTTP"):
			return true, true
		}
		return t.app == answering, t.app != hung
	}
	p.turns = func(v verdict) {
		p.passes = healthy
		g.turn(w, v)
	}
	return p
}

// turn follows a verdict of the balancer's checks.
func (g *targetGroup) turn(w *row, v verdict) {
	r := g.region
	w.sick = v == failing
	if v == passing {
		w.state, w.reason = fleet.TargetHealthy, ""
	} else {
		w.state, w.reason = fleet.TargetUnhealthy, reasonFailedChecks
		if interval := g.unhealthyDraining(); interval > 0 {
			w.state = fleet.TargetUnhealthyDraining
			r.after(interval, func() {
				if w.state == fleet.TargetUnhealthyDraining {
					w.state = fleet.TargetUnhealthy
				}
			})
		}
		w.truthUnhealthy(r.now.Add(r.scale(r.draw(r.params.PropagationUnhealthy))))
	}
	if t := w.task; t != nil {
		t.truthTargets()
		if t.service != nil {
			t.service.weigh(t)
		}
	}
}

// unhealthyDraining is how long an unhealthy target keeps its connections: only
// when the group says that they are not to be cut.
func (g *targetGroup) unhealthyDraining() time.Duration {
	if g.attributes["target_health_state.unhealthy.connection_termination.enabled"] != "false" {
		return 0
	}
	seconds, err := strconv.Atoi(g.attributes["target_health_state.unhealthy.draining_interval_seconds"])
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
