package sim

import (
	"fmt"
	"slices"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// TaskSetSpec describes a task set of a CODE_DEPLOY or EXTERNAL service.
type TaskSetSpec struct {
	Revision
	// Percent of the service's desired count that the set runs, rounded up: 0–100.
	Percent float64
	// Alternate has its tasks registered in the alternate groups, where the
	// service has any.
	Alternate bool
}

// CreateTaskSet adds a task set to a CODE_DEPLOY or EXTERNAL service and returns
// its id. The service's first one is the primary.
func (r *Region) CreateTaskSet(id fleet.ServiceID, spec TaskSetSpec) (string, error) {
	var made string
	err := r.onTaskSets("create a task set of", id, func(s *service) error {
		if !percentage(spec.Percent) {
			return fmt.Errorf("create a task set of %s: %v is no percentage", id, spec.Percent)
		}
		if err := s.revise(spec.Revision); err != nil {
			return fmt.Errorf("create a task set of %s: %w", id, err)
		}
		d := s.deploy(r.register(s.spec.Name, s.spec, spec.Fate))
		d.percent, d.alternate = spec.Percent, spec.Alternate
		made = d.id
		return nil
	})
	return made, err
}

func percentage(p float64) bool { return p >= 0 && p <= 100 }

// ScaleTaskSet changes how many percent of the desired count a task set runs.
func (r *Region) ScaleTaskSet(id fleet.ServiceID, set string, percent float64) error {
	return r.onTaskSet("scale", id, set, func(s *service, d *deployment) error {
		if !percentage(percent) {
			return fmt.Errorf("scale task set %s of %s: %v is no percentage", set, id, percent)
		}
		d.percent, d.updated = percent, s.region.now
		return nil
	})
}

// SetPrimaryTaskSet gives a task set the production traffic.
func (r *Region) SetPrimaryTaskSet(id fleet.ServiceID, set string) error {
	return r.onTaskSet("make primary", id, set, func(s *service, d *deployment) error {
		s.primary, d.updated = d, s.region.now
		return nil
	})
}

// DeleteTaskSet stops a task set's tasks; it is DRAINING until the last of them
// has STOPPED. One that has tasks, or the primary one, goes only by force.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteTaskSet.html
func (r *Region) DeleteTaskSet(id fleet.ServiceID, set string, force bool) error {
	return r.onTaskSet("delete", id, set, func(s *service, d *deployment) error {
		if !force && (d.percent > 0 || d == s.primary) {
			return fmt.Errorf("delete task set %s of %s: it is the primary one, or not scaled down to zero", set, id)
		}
		if d == s.primary {
			s.lead(nil)
		}
		d.updated = s.region.now
		s.retire(d)
		return nil
	})
}

// onTaskSets carries out a change of the task sets that no deployment begun by
// [Region.Deploy] is changing as well.
func (r *Region) onTaskSets(what string, id fleet.ServiceID, do func(*service) error) error {
	return r.onService(what, id, func(s *service) error {
		switch {
		case s.spec.Controller == fleet.ControllerECS:
			return fmt.Errorf("%s %s: its deployment controller is ECS", what, id)
		case s.shift != nil:
			return fmt.Errorf("%s %s: a deployment is in progress", what, id)
		}
		if err := do(s); err != nil {
			return err
		}
		s.attend()
		return nil
	})
}

func (r *Region) onTaskSet(what string, id fleet.ServiceID, set string, do func(*service, *deployment) error) error {
	return r.onTaskSets(what+" task set of", id, func(s *service) error {
		i := slices.IndexFunc(s.deployments, func(d *deployment) bool { return d.id == set && !d.leaving })
		if i < 0 {
			return fmt.Errorf("%s task set %s of %s: there is none", what, set, id)
		}
		return do(s, s.deployments[i])
	})
}
