package sim

import (
	"fmt"
	"slices"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Statuses of a service.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteService.html
const (
	serviceActive   = "ACTIVE"
	serviceDraining = "DRAINING"
	serviceInactive = "INACTIVE"
)

// DeleteService deletes a service as ECS does when it is told to by force. Its
// tasks are stopped. Until all of them are STOPPING it is DRAINING, then
// INACTIVE; ListServices leaves it out at once, DescribeServices gives it until
// [Params.KeepInactive] has passed, or until a service of that name is made
// again. Its target groups stay.
func (r *Region) DeleteService(id fleet.ServiceID) error {
	return r.onService("delete", id, func(s *service) error {
		if s.deleted {
			return fmt.Errorf("delete %s: it is being deleted", id)
		}
		s.deleted, s.desired, s.shift, s.moving = true, 0, nil, nil
		s.unlist()
		for _, t := range slices.Clone(s.live) {
			s.scaleIn(t, t.deployment)
		}
		s.inactive()
		return nil
	})
}

// RemoveService makes a service vanish at once; its tasks are stopped.
func (r *Region) RemoveService(id fleet.ServiceID) error {
	return r.onService("remove", id, func(s *service) error {
		s.deleted, s.desired, s.shift, s.moving = true, 0, nil, nil
		for _, t := range slices.Clone(s.live) {
			s.scaleIn(t, t.deployment)
		}
		s.unlist()
		s.forget()
		return nil
	})
}

func (s *service) unlist() {
	s.cluster.services = slices.DeleteFunc(s.cluster.services, func(o *service) bool { return o == s })
}

func (s *service) forget() {
	if s.cluster.serviceNames[s.spec.Name] == s {
		delete(s.cluster.serviceNames, s.spec.Name)
	}
}

// status is what DescribeServices says of the service's life.
func (s *service) status() string {
	if !s.deleted {
		return serviceActive
	}
	for _, t := range s.cluster.tasks {
		if t.service != s {
			continue
		}
		switch t.status {
		case fleet.Stopping, fleet.Deprovisioning, fleet.Stopped:
		default:
			return serviceDraining
		}
	}
	return serviceInactive
}

// inactive sees to it that a deleted service is forgotten some time after its
// last task began to stop.
func (s *service) inactive() {
	if s.deleted && !s.forgetting && s.status() == serviceInactive {
		s.forgetting = true
		s.region.after(s.region.params.KeepInactive, s.forget)
	}
}

// RemoveGroup deletes a target group, whoever still uses it, as a person could
// who took it off its listeners first. Its rows vanish. Tasks that should be
// registered in it never get healthy, so a deployment does not end (user:
// containers-roadmap#1884).
func (r *Region) RemoveGroup(arn fleet.TargetGroupARN) error {
	return r.change(func() error {
		g := r.groupARNs[arn]
		if g == nil {
			return fmt.Errorf("remove target group %s: there is none", arn)
		}
		g.removed = true
		delete(r.groupARNs, arn)
		r.groups = slices.DeleteFunc(r.groups, func(o *targetGroup) bool { return o == g })
		rows := slices.Clone(g.order)
		for _, w := range rows {
			if w.probe != nil {
				w.probe.stop()
			}
			g.remove(w)
		}
		g.detach()
		for _, w := range rows {
			if t := w.task; t != nil {
				if t.status == fleet.Deactivating {
					t.drainEnd = r.now
				}
				t.drained()
				if t.service != nil {
					t.service.weigh(t)
				}
			}
		}
		return nil
	})
}
