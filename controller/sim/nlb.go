package sim

import (
	"slices"
	"strconv"
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
	reasonCheckDisabled  = "Target.HealthCheckDisabled"
	reasonIPUnusable     = "Target.IpUnusable"
	reasonInvalidState   = "Target.InvalidState"
	reasonInternal       = "Elb.InternalError"
	// An Application Load Balancer says more than that checks failed.
	reasonTimeout = "Target.Timeout"
	reasonCode    = "Target.ResponseCodeMismatch"
)

type targetGroup struct {
	region     *Region
	arn        fleet.TargetGroupARN
	name       string
	kind       string // of balancer: Network or Application
	protocol   string
	version    string // of HTTP; empty with a network one
	port       int
	targetType string
	ipType     string
	check      fleet.TargetCheck
	shallow    bool          // the path of an HTTP check is answered by the front alone
	delay      time.Duration // deregistration_delay.timeout_seconds
	attributes map[string]string
	tags       map[string]string
	balancer   *balancer // nil: not in use

	removed bool // the group has been deleted
	rows    map[fleet.TargetKey]*row
	order   []*row // as registered
	past    past[[]rowXML]

	// The way of new flows, see routing.go.
	lanes     map[fleet.TargetKey]*lane
	ways      []*lane // the same, in the order of registration
	reaches   []reach
	rerouting bool // it will be, this instant

	// What comes that way, see traffic.go.
	traffic Traffic
	settled time.Time    // flows are counted up to then
	nowhere float64      // share of new flows that reach a node without a target
	waiting float64      // clients without a stream
	onward  *targetGroup // where they connect, when traffic has moved on; nil: here
	flows   GroupFlows   // its sums
}

// row is a registered target. What the balancer's check finds depends on whose
// address it is by then, not on the task that it was registered for.
type row struct {
	task   *task // registered for it; nil: for none that is known
	key    fleet.TargetKey
	zone   string
	state  fleet.TargetState
	reason string
	why    string // the description, when it is not the reason's usual one
	probe  *probe
	said   *saying // what the API says instead; nil: the truth
	// sick is set while the balancer's checks fail, and stays when the target is
	// then deregistered.
	sick bool
}

// registration is a task's place in one group of its service.
type registration struct {
	task  *task
	group *targetGroup
	key   fleet.TargetKey
	// left is when its row began to leave, and by whom; zero while it serves, and
	// before it ever did.
	left time.Time
	by   Actor
	gone time.Time // when that row was there no more; zero while it is
}

// serviceGroup is a group as the service's load balancer settings name it.
type serviceGroup struct {
	group     *targetGroup
	alternate *targetGroup // nil: none
	container string
	port      int
	listener  string // ARN of the one that leads to it; empty: none does
	test      string // of the one for tests of a blue/green pair; empty: none
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
// already stays as it is, whoever has its address now.
func (g *targetGroup) register(key fleet.TargetKey, zone string, t *task) {
	r := g.region
	if g.removed {
		return
	}
	if old := g.rows[key]; old != nil {
		if !old.draining() {
			if t != nil && old.task != t { // somebody put it back on its last task's way out
				old.inherit(t)
			}
			return
		}
		if old.task != t { // another one has the address now
			old.truthDetached()
		}
		g.drop(old) // its connections go on
	}
	w := g.add(key, zone, t, fleet.TargetInitial, reasonRegistering)
	if !g.inUse(w) {
		return
	}
	defer g.reroute()
	w.truthRegistered()
	if t != nil && t.status == fleet.Deactivating && !t.drainEnd.IsZero() {
		t.then(r.params.DeregisterDelay, t.deregister) // it would wait for ever
	}
	w.probe = g.targetProbe(w)
	r.after(r.draw(g.registrationLag()), func() {
		if w.probe.stopped {
			return
		}
		w.reason = reasonInitialChecks
		g.touch()
		w.probe.start(r.now)
	})
}

// settle adds a target that has been healthy for a while. New flows have yet to
// be routed to it.
func (g *targetGroup) settle(key fleet.TargetKey, zone string, t *task) {
	w := g.add(key, zone, t, fleet.TargetHealthy, "")
	if !g.inUse(w) {
		return
	}
	w.probe = g.targetProbe(w)
	w.probe.settle(g.region.phase(g.check.Interval))
}

// inUse reports that a balancer sends flows to the target, when it can; else its
// row says why not.
func (g *targetGroup) inUse(w *row) bool {
	switch {
	case g.balancer == nil || !g.balancer.enabled(w.zone):
		w.state, w.reason = fleet.TargetUnused, reasonNotInUse
	case g.targetType == targetTypeLambda:
		w.state, w.reason = fleet.TargetUnavailable, reasonCheckDisabled
	default:
		g.lane(w)
		return true
	}
	return false
}

func (g *targetGroup) add(key fleet.TargetKey, zone string, t *task, state fleet.TargetState, reason string) *row {
	w := &row{task: t, key: key, zone: zone, state: state, reason: reason}
	g.rows[key] = w
	g.order = append(g.order, w)
	g.touch()
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
	w.truthDetach(by)
	if l, lag := g.lanes[key], r.scale(r.draw(g.deregisterLag())); l != nil {
		l.leaves(lag)
	}
	w.state, w.reason, w.why = fleet.TargetDraining, reasonDeregistration, ""
	g.touch()
	if w.task != nil {
		w.task.measure()
	}
	r.after(g.delay, func() {
		if g.rows[key] == w {
			g.remove(w)
			g.reroute()
			w.truthDetached()
			if w.task != nil {
				w.task.drained()
			}
		}
	})
	g.reroute()
	if t := w.task; t != nil && t.service != nil {
		if by != ByECS {
			t.service.reregister(t, g, key)
		}
		t.service.weigh(t)
	}
}

// remove takes a row away at the end of its draining. The nodes may not have
// heard of it yet; connections last, unless they are to be cut now.
func (g *targetGroup) remove(w *row) {
	g.drop(w)
	if l := g.lanes[w.key]; l != nil && g.terminatesDeregistered() {
		l.reset()
	}
}

// drop takes a row away and leaves what is connected alone.
func (g *targetGroup) drop(w *row) {
	delete(g.rows, w.key)
	g.order = slices.DeleteFunc(g.order, func(o *row) bool { return o == w })
	g.touch()
	if l := g.lanes[w.key]; l != nil {
		l.row = nil
	}
}

// claimant is the task whose registration a row is.
func (r *Region) claimant(key fleet.TargetKey) *task {
	t := r.occupant(key)
	if t == nil || !slices.ContainsFunc(t.targets, func(o *registration) bool { return o.key == key }) {
		return nil
	}
	return t
}

// turn follows a verdict of the balancer's checks.
func (g *targetGroup) turn(w *row, v verdict, f finding) {
	r := g.region
	w.sick = v == failing
	g.touch()
	if v == passing {
		w.state, w.reason, w.why = fleet.TargetHealthy, "", ""
		w.truthServing()
		g.lanes[w.key].goodUntil = time.Time{}
	} else {
		g.lanes[w.key].unwell(r.scale(r.draw(g.unhealthyLag())))
		w.state, w.reason, w.why = fleet.TargetUnhealthy, reasonFailedChecks, ""
		if g.kind == Application {
			w.reason, w.why = f.applicationReason(g)
		}
		if interval := g.unhealthyDraining(); interval > 0 {
			w.state = fleet.TargetUnhealthyDraining
			r.after(interval, func() {
				if w.state == fleet.TargetUnhealthyDraining {
					w.state = fleet.TargetUnhealthy
					g.touch()
				}
			})
		}
		w.truthUnhealthy()
	}
	g.reroute()
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
	if g.terminatesUnhealthy() {
		return 0
	}
	seconds, err := strconv.Atoi(g.attributes["target_health_state.unhealthy.draining_interval_seconds"])
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

func (g *targetGroup) terminatesUnhealthy() bool {
	return g.kind == Network && g.attributes["target_health_state.unhealthy.connection_termination.enabled"] != "false"
}

func (g *targetGroup) terminatesDeregistered() bool {
	return g.kind == Application || g.attributes["deregistration_delay.connection_termination.enabled"] == "true"
}

func (g *targetGroup) registrationLag() Range {
	if g.kind == Application {
		return g.region.params.RegistrationLagALB
	}
	return g.region.params.RegistrationLag
}

func (g *targetGroup) deregisterLag() Range {
	if g.kind == Application {
		return g.region.params.PropagationDeregisterALB
	}
	return g.region.params.PropagationDeregister
}

func (g *targetGroup) unhealthyLag() Range {
	if g.kind == Application {
		return g.region.params.PropagationUnhealthyALB
	}
	return g.region.params.PropagationUnhealthy
}
