package awsapi

import (
	"slices"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// hides is what a Gap hides, where that is less than all that its ref names; nil:
// it is all of it. A call for a hundred tasks that fails says nothing against the
// others of their cluster.
func (o *Observer) hides(key gapKey) *fleet.Scope {
	var is func(*task) bool
	switch key.kind {
	case fleet.GapTargetGroups:
		return o.unlisted()
	case fleet.GapServiceRevision:
		for _, s := range o.services {
			if s.ref() == key.ref && s.value != nil {
				return o.astray(s)
			}
		}
		return nil
	case fleet.GapTasks:
		is = func(t *task) bool { return !t.unread.IsZero() || t.never() }
	case fleet.GapContainerInstances:
		is = o.lacksInstance
	default:
		return nil // a service's own, a definition, a group: the ref names it
	}
	for _, c := range o.clusters {
		if string(c.arn) == key.ref {
			return c.hidden(is)
		}
	}
	return nil
}

// needed are the definitions of deployments, and of tasks that have not stopped.
func (o *Observer) needed() map[fleet.TaskDefinitionARN]bool {
	needed := make(map[fleet.TaskDefinitionARN]bool, len(o.definitions))
	for _, s := range o.services {
		if s.value == nil {
			continue
		}
		for _, d := range s.value.Deployments {
			needed[d.Definition] = true
		}
	}
	for _, c := range o.clusters {
		for _, t := range c.tasks {
			if t.value != nil && !t.final() {
				needed[t.value.Definition] = true
			}
		}
	}
	return needed
}

// unlisted are the groups that no list has had yet. Of the others the settings are
// known, and how old they are.
func (o *Observer) unlisted() *fleet.Scope {
	s := new(fleet.Scope)
	for _, g := range sorted(o.groups) {
		if g.facts == nil {
			s.Groups = append(s.Groups, g.arn)
		}
	}
	return s
}

// hidden are the services of those tasks of a cluster of which something is still to
// be learned, and the tasks that have not been read: these may be of any service.
func (c *cluster) hidden(is func(*task) bool) *fleet.Scope {
	s := new(fleet.Scope)
	seen := make(map[fleet.ServiceID]bool)
	for _, t := range c.tasks {
		if t.final() || !is(t) {
			continue
		}
		if t.value == nil {
			if t.service.Name == "" {
				return nil
			}
			s.Tasks = append(s.Tasks, t.arn)
		}
		if !seen[t.service] {
			seen[t.service] = true
			s.Services = append(s.Services, t.service)
		}
	}
	slices.SortFunc(s.Services, fleet.ServiceID.Compare)
	return s
}

// lacksInstance reports that where a task's targets are depends on a container
// instance that has not been read. A task with an address of its own needs none, nor
// does one without load balancers.
func (o *Observer) lacksInstance(t *task) bool {
	if t.value == nil || t.addr.ipv4 != "" || t.addr.ipv6 != "" {
		return false
	}
	if s := o.services[t.service]; s != nil && s.value != nil && len(s.value.LoadBalancers) == 0 {
		return false
	}
	i := o.instances[t.value.ContainerInstance]
	return i != nil && !i.read
}
