package awsapi

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// servicePrefix starts the group of a task that belongs to a service.
const servicePrefix = "service:"

// convertTask makes a reading of a task. What is equal to the last reading is
// not kept twice: tens of thousands of tasks are read every few seconds, and
// little of them changes.
func convertTask(c *cluster, t *task, in *types.Task, read fleet.Read) reading {
	name, inService := strings.CutPrefix(value(in.Group), servicePrefix)
	if t.value == nil && value(in.Group) != "" && !inService {
		return reading{other: true}
	}
	if fails := cmp.Or(incomplete(t.value, in, name, read), strangeTask(in, name)); fails != "" {
		return reading{fails: fails}
	}
	was := t.value
	if was == nil {
		was = &fleet.Task{Service: fleet.ServiceID{Cluster: c.arn.Name()}}
	}
	odd := false
	at := func(in *time.Time) time.Time {
		out := instant(in, read.Received)
		odd = odd || in != nil && out.IsZero()
		return out
	}
	v := &fleet.Task{
		ARN:               t.arn,
		Cluster:           c.arn,
		Service:           fleet.ServiceID{Cluster: was.Service.Cluster, Name: same(was.Service.Name, name)},
		Definition:        same(was.Definition, fleet.TaskDefinitionARN(value(in.TaskDefinitionArn))),
		StartedBy:         same(was.StartedBy, value(in.StartedBy)),
		LaunchType:        same(was.LaunchType, string(in.LaunchType)),
		Zone:              same(was.Zone, value(in.AvailabilityZone)),
		ContainerInstance: same(was.ContainerInstance, fleet.ContainerInstanceARN(value(in.ContainerInstanceArn))),

		Version:       in.Version,
		LastStatus:    same(was.LastStatus, fleet.TaskStatus(value(in.LastStatus))),
		DesiredStatus: same(was.DesiredStatus, fleet.TaskStatus(value(in.DesiredStatus))),
		Health:        same(was.Health, cmp.Or(fleet.HealthStatus(in.HealthStatus), fleet.Unknown)),
		Connectivity:  same(was.Connectivity, string(in.Connectivity)),

		Created:          at(in.CreatedAt),
		ConnectedAt:      at(in.ConnectivityAt),
		PullStarted:      at(in.PullStartedAt),
		PullStopped:      at(in.PullStoppedAt),
		Started:          at(in.StartedAt),
		StoppingAt:       at(in.StoppingAt),
		ExecutionStopped: at(in.ExecutionStoppedAt),
		StoppedAt:        at(in.StoppedAt),

		StopCode:      same(was.StopCode, string(in.StopCode)),
		StoppedReason: same(was.StoppedReason, cut(value(in.StoppedReason))),
		Containers:    convertContainers(was.Containers, in.Containers),
		Targets:       was.Targets, // until retarget has seen to them
		Read:          read,
	}
	return reading{value: v, addr: t.addr.with(in), odd: odd}
}

// incomplete says what is wrong with a reading that lacks what every task has,
// or what the task was read with before; empty when nothing is. The task's
// service and createdAt are its own for good, once it is PENDING.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
func incomplete(was *fleet.Task, in *types.Task, service string, read fleet.Read) string {
	switch {
	case service == "":
		return "the reply has no service for it"
	case value(in.LastStatus) == "":
		return "the reply has no lastStatus"
	case value(in.DesiredStatus) == "": // it would not seem to be leaving
		return "the reply has no desiredStatus"
	case was == nil:
		return ""
	case service != was.Service.Name:
		return "the reply has another service"
	case in.Version == 0 && was.Version > 0:
		return "the reply has no version"
	case len(in.Containers) == 0 && len(was.Containers) > 0:
		return "the reply has no containers"
	case in.Connectivity == "" && was.Connectivity != "": // it would not seem to be cut off
		return "the reply has no connectivity"
	case was.Created.IsZero():
		return ""
	}
	switch created := instant(in.CreatedAt, read.Received); {
	case created.IsZero():
		return "the reply has no createdAt"
	// Less than a second is how exactly somebody remembered it.
	case was.LastStatus.AtLeast(fleet.Pending) && created.Sub(was.Created).Abs() >= time.Second:
		return "the reply has another createdAt"
	}
	return ""
}

// same returns the copy that is in memory already, if it is equal, and else one
// of its own: the strings of the SDK share blocks of memory within a reply.
func same[S ~string](was, is S) S {
	if was == is {
		return was
	}
	return S(strings.Clone(string(is)))
}

func convertContainers(was []fleet.Container, in []types.Container) []fleet.Container {
	equal := len(was) == len(in)
	for i := 0; equal && i < len(in); i++ {
		w, c := &was[i], &in[i]
		equal = w.Name == value(c.Name) && w.Health == containerHealth(c) && w.Reason == cut(value(c.Reason)) &&
			(w.ExitCode == nil) == (c.ExitCode == nil) && (w.ExitCode == nil || *w.ExitCode == int(*c.ExitCode))
	}
	if equal {
		return was
	}
	out := make([]fleet.Container, len(in))
	for i := range in {
		c := &in[i]
		out[i] = fleet.Container{Name: value(c.Name), Health: containerHealth(c), Reason: cut(value(c.Reason))}
		if c.ExitCode != nil {
			code := int(*c.ExitCode)
			out[i].ExitCode = &code
		}
	}
	return out
}

func containerHealth(in *types.Container) fleet.HealthStatus {
	return cmp.Or(fleet.HealthStatus(in.HealthStatus), fleet.Unknown)
}

// share replaces the strings that a new task has in common with others by one
// copy of each.
func (o *Observer) share(v *fleet.Task) {
	v.Service.Name = o.shared(v.Service.Name)
	v.Definition = fleet.TaskDefinitionARN(o.shared(string(v.Definition)))
	v.StartedBy = o.shared(v.StartedBy)
	v.LaunchType = o.shared(v.LaunchType)
	v.Zone = o.shared(v.Zone)
	v.ContainerInstance = fleet.ContainerInstanceARN(o.shared(string(v.ContainerInstance)))
	v.LastStatus = fleet.TaskStatus(o.shared(string(v.LastStatus)))
	v.DesiredStatus = fleet.TaskStatus(o.shared(string(v.DesiredStatus)))
	v.Health = fleet.HealthStatus(o.shared(string(v.Health)))
	v.Connectivity = o.shared(v.Connectivity)
	for i := range v.Containers {
		v.Containers[i].Name = o.shared(v.Containers[i].Name)
		v.Containers[i].Health = fleet.HealthStatus(o.shared(string(v.Containers[i].Health)))
	}
}

// addresses are where a task's containers can be reached. They are learned
// while the task runs and kept to its end: the interface goes first.
type addresses struct {
	ipv4     string // of the task's own interface; empty without awsvpc
	ipv6     string
	bindings []binding // on its instance, with bridge and host
}

// binding is a container port published on a port of the instance.
type binding struct {
	container string
	port      int
	host      int
	udp       bool
}

func (a *addresses) equal(b *addresses) bool {
	return a.ipv4 == b.ipv4 && a.ipv6 == b.ipv6 && slices.Equal(a.bindings, b.bindings)
}

// with adds what a reading tells.
func (a addresses) with(in *types.Task) addresses {
	for i := range in.Attachments {
		for j := range in.Attachments[i].Details {
			d := &in.Attachments[i].Details[j]
			switch value(d.Name) {
			case "privateIPv4Address":
				a.ipv4 = same(a.ipv4, cmp.Or(value(d.Value), a.ipv4))
			case "privateIPv6Address", "ipv6Address":
				a.ipv6 = same(a.ipv6, cmp.Or(value(d.Value), a.ipv6))
			}
		}
	}
	published := 0
	for i := range in.Containers {
		c := &in.Containers[i]
		published += len(c.NetworkBindings)
		for j := range c.NetworkInterfaces {
			a.ipv4 = same(a.ipv4, cmp.Or(value(c.NetworkInterfaces[j].PrivateIpv4Address), a.ipv4))
			a.ipv6 = same(a.ipv6, cmp.Or(value(c.NetworkInterfaces[j].Ipv6Address), a.ipv6))
		}
	}
	if published == 0 {
		return a
	}
	bindings := make([]binding, 0, published)
	for i := range in.Containers {
		c := &in.Containers[i]
		for j := range c.NetworkBindings {
			b := &c.NetworkBindings[j]
			if value(b.ContainerPort) > 0 && value(b.HostPort) > 0 {
				bindings = append(bindings, binding{
					container: value(c.Name), port: int(*b.ContainerPort), host: int(*b.HostPort),
					udp: b.Protocol == types.TransportProtocolUdp,
				})
			}
		}
	}
	if !slices.Equal(a.bindings, bindings) && len(bindings) > 0 {
		a.bindings = bindings
	}
	return a
}

// targets are the rows that the load balancers of a task's deployment should have
// for it, as far as is known.
func (o *Observer) targets(t *task) []fleet.TargetKey {
	s := o.services[t.service]
	if s == nil || s.value == nil {
		return t.value.Targets // of a service that is gone: what it had
	}
	lbs, known := s.loadBalancers(t.value.StartedBy)
	if t.remembered = t.remembered && !(known && o.located(t, lbs)); t.remembered && known {
		return t.value.Targets
	}
	var keys []fleet.TargetKey
	if !known { // what was known when it ran, and what its address shows
		keys = append(slices.Clone(t.value.Targets), o.found(t, s)...)
	}
	for _, lb := range lbs {
		var facts fleet.TargetGroup
		g := o.groups[lb.Group]
		if g != nil && g.facts != nil {
			facts = *g.facts
		} else if g != nil {
			facts.IPAddressType = g.family
		}
		id, ports := o.address(t, lb, &facts)
		for _, port := range ports {
			if id != "" && port > 0 {
				keys = append(keys, fleet.NewTargetKey(lb.Group, id, port))
			}
		}
	}
	slices.SortFunc(keys, fleet.TargetKey.Compare)
	return slices.Compact(keys)
}

// address is how a target group of these facts, which are empty while they are
// not known, names a task: by one id, and each port of it that leads to the
// container's. An instance may publish that on several, as on one for IPv4 and one for
// IPv6. One with an address of each kind has no name until it is known which: under
// the wrong one its row would seem to be gone.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-load-balancing.html
func (o *Observer) address(t *task, lb fleet.LoadBalancer, g *fleet.TargetGroup) (id string, ports []int) {
	byIP := g.TargetType == fleet.TargetTypeIP
	if g.TargetType == "" {
		byIP = t.addr.ipv4 != "" || t.addr.ipv6 != ""
	}
	if byIP {
		switch {
		case g.IPAddressType == "ipv6":
			return t.addr.ipv6, []int{lb.Port}
		case g.IPAddressType == "" && t.addr.ipv6 != "":
			if t.addr.ipv4 != "" {
				return "", nil
			}
			return t.addr.ipv6, []int{lb.Port}
		}
		return t.addr.ipv4, []int{lb.Port}
	}
	instance := o.instances[t.value.ContainerInstance]
	if instance == nil || instance.ec2 == "" {
		return "", nil
	}
	if ports = t.addr.published(lb, g.Protocol); len(ports) > 0 {
		return instance.ec2, ports
	}
	if d := o.definitions[t.value.Definition]; d != nil && d.value != nil && d.value.NetworkMode == fleet.NetworkHost {
		return instance.ec2, []int{lb.Port} // ECS need not list what is the same port
	}
	return "", nil
}

// published are the instance's ports that lead to a container's: those of the group's
// protocol, or of any where it has none of that.
func (a *addresses) published(lb fleet.LoadBalancer, protocol string) (ports []int) {
	for _, exact := range []bool{true, false} {
		for _, b := range a.bindings {
			is := b.udp == (protocol == "UDP" || protocol == "QUIC") || strings.HasPrefix(protocol, "TCP_")
			if b.port == lb.Port && (lb.Container == "" || b.container == lb.Container) && (is || !exact) {
				ports = append(ports, b.host)
			}
		}
		if len(ports) > 0 {
			break
		}
	}
	return ports
}
