package sim

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// targetProbe is the balancer's check of a target. A TCP check sees that what
// listens on the port accepts, an HTTP one whether it answers well.
func (g *targetGroup) targetProbe(w *row) *probe {
	r := g.region
	healthy := g.check.HealthyThreshold
	p := &probe{
		region: r, interval: r.scale(g.check.Interval), timeout: r.scale(g.check.Timeout), took: r.scale(checkTook),
		passes: healthy, fails: g.check.UnhealthyThreshold,
	}
	initial := r.params.InitialPasses
	if g.kind == Application {
		initial = r.params.InitialPassesALB
	}
	if initial > 0 {
		p.passes = initial
	}
	p.try = func() finding { return g.find(w.key) }
	if r.runtime != nil {
		p.ask = func(due time.Time, report func(bool)) {
			r.runtime.Nodes.Check(Check{Target: w.key, Protocol: g.check.Protocol, Port: g.checkPort(w.key), Due: due, Timeout: p.timeout, Report: report})
		}
	}
	p.turns = func(v verdict, f finding) {
		p.passes = healthy
		g.turn(w, v, f)
	}
	return p
}

// checkPort is the port of a target that is checked.
func (g *targetGroup) checkPort(key fleet.TargetKey) int {
	if port, err := strconv.Atoi(g.check.Port); err == nil {
		return port
	}
	return key.Port
}

// find makes one check of a target.
func (g *targetGroup) find(key fleet.TargetKey) finding {
	r := g.region
	http := strings.HasPrefix(g.check.Protocol, "HTTP")
	if b := r.balancerOf(key); b != nil {
		return finding{ok: !http || b.answers(), why: reasonCode} // a 503 when not
	}
	// The check goes to the task that has the address now, whose it was before
	// does not matter.
	other := 0
	if port := g.checkPort(key); port != key.Port {
		other = port
		key.Port = port
	}
	t := r.occupant(key)
	switch {
	case t == nil && r.hosts[key.ID] == nil:
		return finding{silent: true} // nobody has the address
	case t == nil || !t.alive:
		return finding{why: reasonFailedChecks} // nobody has the port: refused
	}
	listens := t.front
	if other != 0 && !t.isFront(g, other) {
		switch {
		case !t.listens(other):
			return finding{why: reasonFailedChecks}
		case t.app == refusing:
			return finding{why: reasonFailedChecks} // the app's own port, and it is not up
		}
		listens = true
	}
	switch {
	case !listens:
		return finding{why: reasonFailedChecks}
	case !http || g.shallow && other == 0:
		return finding{ok: true}
	}
	return finding{ok: t.app == answering, silent: t.app == hung, delay: t.delay, why: reasonCode}
}

// isFront reports whether a port, other than the one that the task has in the
// group, leads to its front all the same: to the same container.
func (t *task) isFront(g *targetGroup, port int) bool {
	if t.service == nil {
		return true
	}
	for _, sg := range t.service.groups {
		if sg.group == g || sg.alternate == g {
			i := slices.IndexFunc(t.containers, func(c *container) bool { return c.spec.Name == sg.container })
			return i >= 0 && t.containers[i].listens(port)
		}
	}
	return false
}

// listens reports whether any container of the task has the port.
func (t *task) listens(port int) bool {
	return slices.ContainsFunc(t.containers, func(c *container) bool { return c.listens(port) })
}

// listens is about a port as the network has it: of the host where the container
// has no address of its own.
func (c *container) listens(port int) bool {
	if c.ports == nil {
		return slices.Contains(c.spec.Ports, port)
	}
	for inside, host := range c.ports {
		if host == port || c.six[inside] == port {
			return true
		}
	}
	return false
}

// applicationReason is what an Application Load Balancer says of a failed check.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html#target-health-reason-codes
func (f finding) applicationReason(g *targetGroup) (reason, description string) {
	switch {
	case f.silent:
		return reasonTimeout, ""
	case f.why != reasonCode:
		return reasonFailedChecks, ""
	case g.version == "GRPC":
		return reasonCode, "Health checks failed with these codes: [14]"
	}
	return reasonCode, "Health checks failed with these codes: [502]"
}

// poke has the checks of targets at these addresses, and the ways to them, look
// at once whether anything has changed.
func (g *targetGroup) poke(ids []string) {
	for _, l := range g.ways {
		l.changed = l.changed || slices.Contains(ids, l.key.ID)
	}
	for _, w := range g.order {
		if w.probe != nil && slices.Contains(ids, w.key.ID) {
			w.probe.poke()
		}
	}
}
