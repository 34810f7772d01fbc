package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// TaskInfo is a task as the region knows it.
type TaskInfo struct {
	ARN        fleet.TaskARN
	Number     int // among its service's, since that began
	Status     fleet.TaskStatus
	Desired    fleet.TaskStatus
	Health     fleet.HealthStatus
	Created    time.Time
	Started    time.Time // zero: not yet
	Zone       string
	Service    fleet.ServiceID // zero: of none
	Deployment string
	Targets    []fleet.TargetKey // its rows, where it has any
	Answering  bool
	Connected  bool // its agent reaches ECS
	Serving    bool // healthy as the scheduler sees it
}

// Tasks lists a service's tasks in the order of their creation, those included
// that have stopped and can still be described.
func (r *Region) Tasks(id fleet.ServiceID) []TaskInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	c := r.clusterNames[id.Cluster]
	if c == nil {
		return nil
	}
	var infos []TaskInfo
	for _, t := range c.tasks {
		if t.service == nil || t.service.spec.Name != id.Name {
			continue
		}
		infos = append(infos, t.info())
	}
	return infos
}

func (t *task) info() TaskInfo {
	info := TaskInfo{
		ARN: t.arn, Number: t.number, Status: t.status, Desired: t.desired, Health: t.health, Created: t.created, Started: t.started, Zone: t.zone,
		Answering: t.alive && t.front && t.app == answering, Connected: !t.cut,
	}
	if t.service != nil {
		info.Service = fleet.ServiceID{Cluster: t.cluster.name, Name: t.service.spec.Name}
		info.Deployment = t.deployment.id
		info.Serving = t.desired == fleet.Running && t.service.healthy(t)
	}
	for _, target := range t.targets {
		info.Targets = append(info.Targets, target.key)
	}
	return info
}

// Exit ends the last essential container of the task by itself.
func (r *Region) Exit(arn fleet.TaskARN) error {
	return r.onRunning("exit", arn, func(t *task) { t.exit() })
}

// Disconnect cuts a task's agent off from ECS, which goes on giving the last
// health that it heard.
func (r *Region) Disconnect(arn fleet.TaskARN) error {
	return r.onRunning("disconnect", arn, func(t *task) {
		t.cut = true
		t.touch()
	})
}

// Reconnect ends what Disconnect began: the agent reports what it has found.
func (r *Region) Reconnect(arn fleet.TaskARN) error {
	return r.onRunning("reconnect", arn, func(t *task) {
		t.cut, t.connected = false, r.now
		t.touch()
		for _, c := range t.containers {
			t.report(c)
		}
	})
}

// StopTask stops a task as a person would; an empty reason gives AWS's own.
func (r *Region) StopTask(arn fleet.TaskARN, reason string) error {
	return r.onTask("stop", arn, func(t *task) error {
		t.stop(codeUser, userReason(reason))
		return nil
	})
}

func userReason(reason string) string {
	if reason == "" {
		return "Task stopped by user"
	}
	return reason
}

// SpotInterrupt takes a Fargate Spot task's capacity away.
func (r *Region) SpotInterrupt(arn fleet.TaskARN) error {
	return r.onTask("interrupt", arn, func(t *task) error {
		t.stop(codeSpot, "Your Spot Task was interrupted.")
		return nil
	})
}

// Scale sets a service's desired count. A DAEMON service has none to be set.
func (r *Region) Scale(id fleet.ServiceID, desired int) error {
	return r.onService("scale", id, func(s *service) error {
		if err := s.scale(desired); err != nil {
			return fmt.Errorf("scale %s: %w", id, err)
		}
		return nil
	})
}

func (s *service) scale(desired int) error {
	switch {
	case s.spec.Scheduling == fleet.Daemon:
		return errors.New("a DAEMON service has a task on each container instance")
	case desired < 0:
		return fmt.Errorf("desired count %d is negative", desired)
	}
	s.desired = desired
	s.touch()
	s.attend()
	return nil
}

// NextTasks says how the next tasks that the service starts will turn out, one
// fate each; the ones after those answer.
func (r *Region) NextTasks(id fleet.ServiceID, fates ...Fate) error {
	return r.onService("set the fate of the next tasks of", id, func(s *service) error {
		s.fates = append(s.fates, fates...)
		return nil
	})
}

func (r *Region) onService(what string, id fleet.ServiceID, do func(*service) error) error {
	return r.change(func() error {
		c := r.clusterNames[id.Cluster]
		if c == nil || c.serviceNames[id.Name] == nil || c.serviceNames[id.Name].deleted {
			return fmt.Errorf("%s %s: no such service", what, id)
		}
		s := c.serviceNames[id.Name]
		s.touch()
		return do(s)
	})
}

func (r *Region) onTask(what string, arn fleet.TaskARN, do func(*task) error) error {
	return r.change(func() error {
		for _, c := range r.clusters {
			if t := c.taskIDs[arn.ID()]; t != nil && t.arn == arn {
				return do(t)
			}
		}
		return fmt.Errorf("%s %s: no such task", what, arn)
	})
}

func (r *Region) onRunning(what string, arn fleet.TaskARN, do func(*task)) error {
	return r.onTask(what, arn, func(t *task) error {
		if !t.alive {
			return fmt.Errorf("%s %s: its containers do not run", what, arn)
		}
		do(t)
		return nil
	})
}
