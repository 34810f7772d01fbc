package sim

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Runtime is what is inside the region's tasks, and on the wire to them, when
// that is real and not modelled: processes on addresses of their own, a balancer
// that real clients connect to. What AWS does by itself stays the region's: the
// scheduler, the agent's counting and its lag, the balancer's state machine and
// its lags, both APIs.
//
// Both are called with the region's lock held: they must return at once and not
// call the region. What they find they report later, from any goroutine. A
// region runs none of its own, so who gives it a Runtime also has to carry it
// forward in time, see [Region.NextEvent].
type Runtime struct {
	Agent Agent
	Nodes Nodes
	// Network is where tasks get their IPv4 addresses from: a /16.
	Network netip.Prefix
}

// Agent runs the containers of tasks.
type Agent interface {
	// Start starts a task's containers. When they run, [Region.Started] is to be
	// called, and [Region.Exited] for each when it has ended, whatever ended it.
	Start(Launch)
	// Stop sends every container of the task SIGTERM, and SIGKILL after its own
	// stopTimeout.
	Stop(fleet.TaskARN)
	// Check runs a container's health check command once.
	Check(Check)
}

// Nodes are the nodes of the load balancers.
type Nodes interface {
	// Check makes one health check of a target.
	Check(Check)
	// Cut resets every connection to a target.
	Cut(fleet.TargetKey)
}

// Launch is a task to be started.
type Launch struct {
	Task       fleet.TaskARN
	Service    fleet.ServiceID
	Address    string // IPv4
	Containers []ContainerSpec
}

// Check is one check to be made: of a container by its command, or of a target.
type Check struct {
	Task      fleet.TaskARN // of a container
	Container string
	Command   []string

	Target   fleet.TargetKey // of a target
	Protocol string
	Port     int // that is to be checked

	Due time.Time // when it was to begin: now, but for a late region
	// Timeout is how long it may take: a check that has found nothing by then has
	// failed.
	Timeout time.Duration
	// Report takes what it found, once. It waits for the region's lock.
	Report func(passed bool)
}

// takes says why a service's tasks cannot be real; nil: they can.
func (o *Runtime) takes(s ServiceSpec) error {
	switch {
	case s.LaunchType != fleet.Fargate:
		return fmt.Errorf("with a runtime every task has an address of its own: launch type %s is only modelled", s.LaunchType)
	case o.Agent == nil || o.Nodes == nil:
		return errors.New("a runtime needs both an agent and nodes")
	case !o.Network.Addr().Is4() || o.Network.Bits() != 16:
		return fmt.Errorf("a runtime's network must be an IPv4 /16 (got %s)", o.Network)
	}
	return nil
}

// launch has the agent start the task's containers.
func (t *task) launch() {
	t.launched = true
	l := Launch{Task: t.arn, Address: t.ipv4, Containers: t.def.containers}
	if t.service != nil {
		l.Service = fleet.ServiceID{Cluster: t.cluster.name, Name: t.service.spec.Name}
	}
	t.region.runtime.Agent.Start(l)
}

// Started reports that a task's containers run. Whether its app answers yet is
// another matter: [Region.Recover].
func (r *Region) Started(arn fleet.TaskARN) error {
	return r.onTask("report the start of", arn, func(t *task) error {
		if t.status == fleet.Activating && t.desired == fleet.Running {
			t.run(Answers)
		}
		return nil
	})
}

// Exited reports that a container has ended, with its exit code; 128 and the
// signal's number where one ended it. One that ends by itself and is essential
// takes the task with it.
func (r *Region) Exited(arn fleet.TaskARN, containerName string, code int) error {
	return r.onTask("report the end of a container of", arn, func(t *task) error {
		i := slices.IndexFunc(t.containers, func(c *container) bool { return c.spec.Name == containerName })
		if i < 0 {
			return fmt.Errorf("report the end of %s of %s: no such container", containerName, arn)
		}
		c := t.containers[i]
		if c.exit != nil {
			return nil
		}
		c.exit = &code
		t.touch()
		switch {
		case t.status == fleet.Stopping:
			t.reap()
		case t.status == fleet.Activating && t.desired == fleet.Running:
			t.stop(codeFailedToStart, "CannotStartContainerError: "+containerName)
		case !c.spec.NotEssential && t.alive && t.desired == fleet.Running:
			t.gaveUp(t.front && !slices.ContainsFunc(t.targets, func(o *registration) bool { return c.listens(o.key.Port) }))
		}
		return nil
	})
}

// reap goes on once the last container has ended.
func (t *task) reap() {
	if !slices.ContainsFunc(t.containers, func(c *container) bool { return c.exit == nil }) {
		t.ended(0)
	}
}

// Route is where one node of a load balancer sends the new flows to a target
// group.
type Route struct {
	Zone    string
	InDNS   bool // clients have the node's address
	Targets []fleet.TargetKey
}

// Routes tells where the nodes of a group's load balancer send its new flows
// now, zone by zone: what they have heard, not what the API says.
func (r *Region) Routes(group fleet.TargetGroupARN) []Route {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	g := r.groupARNs[group]
	if g == nil || g.balancer == nil {
		return nil
	}
	var routes []Route
	for i, zone := range g.balancer.zones {
		route := Route{Zone: zone, InDNS: g.balancer.clients[i]}
		p := g.reachOf(zone)
		for _, l := range g.ways {
			if g.takes(l, p, r.now) {
				route.Targets = append(route.Targets, l.key)
			}
		}
		routes = append(routes, route)
	}
	return routes
}
