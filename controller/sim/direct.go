package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Snapshot is the whole region as its APIs would tell of it now, in the fleet's
// words and without the wire: for who runs thousands of worlds and has no second
// for each. All of it was read as read says. Replies that are late or lacking
// are the wire's, so [Params.ReplyAge], faults and limits do not show here.
func (r *Region) Snapshot(read fleet.Read) *fleet.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	s := fleet.Snapshot{At: read.Received, Definitions: make(map[fleet.TaskDefinitionARN]*fleet.TaskDefinition, len(r.definitions))}
	for _, d := range r.definitions {
		s.Definitions[d.arn()] = d.word()
	}
	named := map[*targetGroup]bool{}
	for _, c := range r.clusters {
		s.Clusters = append(s.Clusters, &fleet.Cluster{ARN: c.arn, Name: c.name, Status: "ACTIVE", Tags: maps.Clone(c.tags), Read: read})
		for _, sv := range c.services {
			s.Services = append(s.Services, sv.word(read))
			for _, g := range sv.groups {
				named[g.group], named[g.alternate] = true, true
			}
		}
		for _, t := range c.tasks {
			if t.service != nil {
				s.Tasks = append(s.Tasks, t.word(read))
			}
		}
	}
	for _, g := range r.groups {
		if named[g] {
			s.TargetGroups = append(s.TargetGroups, g.word(read))
		}
	}
	return fleet.NewSnapshot(s)
}

// Deregister is DeregisterTargets without the wire. The error is what AWS would
// answer; then nothing was done.
func (r *Region) Deregister(group fleet.TargetGroupARN, keys []fleet.TargetKey) error {
	asked := make([]wanted, len(keys))
	for i, k := range keys {
		asked[i] = wanted{id: k.ID, port: k.Port}
	}
	return r.changeGroup(deregisterTargets, group, asked)
}

// Register is RegisterTargets without the wire, each target in its zone.
func (r *Region) Register(group fleet.TargetGroupARN, targets []fleet.Target) error {
	asked := make([]wanted, len(targets))
	for i, t := range targets {
		asked[i] = wanted{id: t.Key.ID, port: t.Key.Port, zone: t.Zone}
	}
	return r.changeGroup(registerTargets, group, asked)
}

func (r *Region) changeGroup(operation string, group fleet.TargetGroupARN, asked []wanted) error {
	return r.change(func() error {
		g := r.groupARNs[group]
		if g == nil {
			return fmt.Errorf("%s in %s: no such target group", operation, group)
		}
		if err := g.changeTargets(operation, asked); err != nil {
			return fmt.Errorf("%s in %s: %w", operation, g.name, err)
		}
		return nil
	})
}

func (s *service) word(read fleet.Read) *fleet.Service {
	v := &fleet.Service{
		ID: fleet.ServiceID{Cluster: s.cluster.name, Name: s.spec.Name}, ARN: s.arn, Cluster: s.cluster.arn,
		Status: s.status(), Scheduling: s.spec.Scheduling, Controller: s.spec.Controller, Desired: s.desired,
		MinimumHealthyPercent: s.spec.MinimumHealthyPercent, MaximumPercent: s.spec.MaximumPercent,
		Gateway: fleet.GatewayNone, Tags: maps.Clone(s.spec.Tags), Read: read,
	}
	if len(s.groups) > 0 {
		v.Grace = s.spec.Grace
	}
	v.Running, v.Pending = count(s.live, func(*task) bool { return true })
	for i, d := range s.deployments {
		w := fleet.Deployment{ID: d.id, Definition: d.def.arn(), Created: d.created, Updated: d.updated}
		w.Running, w.Pending = count(s.live, func(t *task) bool { return t.deployment == d })
		groups := s.groupsOf(d)
		if s.spec.Controller == fleet.ControllerECS {
			groups = d.groups
			w.Status, w.Rollout, w.Desired, w.Failed = "ACTIVE", d.rollout, s.poolOf(d).desired, d.failed
			if i == 0 {
				w.Status = "PRIMARY"
			}
		} else {
			w.Status, w.Rollout, w.Desired = s.taskSetStatus(d), "STEADY_STATE", d.desired(s)
			if !d.stable {
				w.Rollout = "STABILIZING"
			}
		}
		v.Deployments = append(v.Deployments, w)
		for _, g := range groups {
			lb := fleet.LoadBalancer{Group: g.group.arn, Container: g.container, Port: g.port}
			lb.Former = s.spec.Controller == fleet.ControllerECS && !slices.ContainsFunc(s.groups, func(o serviceGroup) bool { return o.group == g.group })
			if lb.Former && w.Running == 0 && w.Pending == 0 {
				continue // nobody is there
			}
			v.LoadBalancers = append(v.LoadBalancers, lb)
			if g.alternate != nil && s.spec.Controller == fleet.ControllerECS {
				lb.Group, lb.Alternate = g.alternate.arn, true
				v.LoadBalancers = append(v.LoadBalancers, lb)
			}
		}
	}
	slices.SortFunc(v.LoadBalancers, func(a, b fleet.LoadBalancer) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Container, b.Container), cmp.Compare(a.Port, b.Port))
	})
	v.LoadBalancers = slices.Compact(v.LoadBalancers)
	return v
}

func (t *task) word(read fleet.Read) *fleet.Task {
	v := &fleet.Task{
		ARN: t.arn, Cluster: t.cluster.arn, Service: fleet.ServiceID{Cluster: t.cluster.name, Name: t.service.spec.Name},
		Definition: t.def.arn(), StartedBy: t.deployment.id, LaunchType: t.def.launchType, Zone: t.zone,
		Version: t.version, LastStatus: t.status, DesiredStatus: t.desired, Health: t.health,
		Created: t.created, ConnectedAt: t.connected, PullStarted: t.pullStarted, PullStopped: t.pullStopped, Started: t.started,
		StoppingAt: t.stoppingAt, ExecutionStopped: t.executionStopped, StoppedAt: t.stopped,
		StopCode: t.stopCode, StoppedReason: t.stoppedReason, Read: read,
	}
	if !t.connected.IsZero() {
		v.Connectivity = fleet.Connected
		if t.cut {
			v.Connectivity = fleet.Disconnected
		}
	}
	if t.instance != nil {
		v.ContainerInstance = t.instance.arn
	}
	for _, c := range t.containers {
		v.Containers = append(v.Containers, fleet.Container{Name: c.spec.Name, Health: c.reported, ExitCode: c.exit})
	}
	if !t.placed() {
		return v
	}
	for _, g := range t.service.groupsOf(t.deployment) {
		v.Targets = append(v.Targets, t.targetKeys(g)...)
		if g.alternate != nil && t.service.spec.Controller == fleet.ControllerECS {
			g.group = g.alternate
			v.Targets = append(v.Targets, t.targetKeys(g)...)
		}
	}
	slices.SortFunc(v.Targets, fleet.TargetKey.Compare)
	return v
}

// placed reports that the APIs tell where the task can be reached.
func (t *task) placed() bool {
	switch t.def.network {
	case fleet.NetworkAWSVPC:
		return t.status != fleet.Provisioning
	case fleet.NetworkHost:
		return true // the same port, whether or not it is said
	default:
		return !t.started.IsZero()
	}
}

func (d *definition) word() *fleet.TaskDefinition {
	v := &fleet.TaskDefinition{ARN: d.arn(), NetworkMode: d.network}
	for _, spec := range d.containers {
		c := fleet.ContainerDefinition{Name: spec.Name, Essential: !spec.NotEssential, StopTimeout: cmp.Or(spec.StopTimeout, defaultStopTimeout)}
		if spec.Check != nil {
			check := *spec.Check
			c.Check = &check
		}
		v.Containers = append(v.Containers, c)
	}
	return v
}

func (g *targetGroup) word(read fleet.Read) *fleet.TargetGroup {
	v := &fleet.TargetGroup{
		ARN: g.arn, Name: g.name, Protocol: g.protocol, Port: g.port, TargetType: g.targetType, IPAddressType: g.ipType,
		Check: g.check, Tags: maps.Clone(g.tags), Read: read, Inventory: read,
		Attributes: fleet.TargetGroupAttributes{
			Known: true, DeregistrationDelay: g.delay,
			ConnectionTermination:          g.attributes["deregistration_delay.connection_termination.enabled"] == "true",
			UnhealthyConnectionTermination: g.attributes["target_health_state.unhealthy.connection_termination.enabled"] != "false",
			CrossZone:                      cmp.Or(g.attributes["load_balancing.cross_zone.enabled"], "use_load_balancer_configuration"),
			Raw:                            maps.Clone(g.attributes),
			Read:                           read,
		},
	}
	if g.balancer != nil {
		v.LoadBalancers = []string{g.balancer.arn}
		v.Balancers = []fleet.Balancer{{
			ARN: g.balancer.arn, Kind: g.balancer.kind, CrossZone: g.balancer.attributes[crossZoneAttribute], Read: read,
		}}
	}
	for _, w := range g.order {
		row := fleet.Target{Key: w.key, State: w.state, Reason: w.reason, Zone: w.zone}
		if w.said != nil {
			row.State, row.Reason = w.said.state, w.said.reason
		}
		row.Override, _, _ = g.override(w.zone)
		v.Targets = append(v.Targets, row)
	}
	slices.SortFunc(v.Targets, func(a, b fleet.Target) int { return a.Key.Compare(b.Key) })
	return v
}
