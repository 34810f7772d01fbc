package sim

import (
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

const (
	defaultStopTimeout = 30 * time.Second
	killed             = 128 + 9 // exit code of a container that had to be killed
)

// stop begins to take the task down. What has targets is deregistered first and
// waits until they are gone.
func (t *task) stop(code, reason string) {
	if t.desired == fleet.Stopped {
		return
	}
	t.leave(code, reason)
	switch {
	case t.status == fleet.Provisioning || t.status == fleet.Pending:
		t.ended(0)
	case t.registered():
		t.deactivate()
	default:
		t.terminate()
	}
}

// exit ends an essential container by itself. Nothing is drained then: the app
// is gone already.
func (t *task) exit() {
	if !t.alive {
		return
	}
	t.touch()
	for i := len(t.containers) - 1; i >= 0; i-- {
		if c := t.containers[i]; !c.spec.NotEssential {
			code := 1
			c.exit = &code
			break
		}
	}
	t.gaveUp(t.front && len(t.containers) > 1)
}

// gaveUp is when an essential container has ended by itself.
func (t *task) gaveUp(front bool) {
	t.fail(Exit).Exited = t.region.now
	t.turnApp(refusing, front)
	t.region.after(t.region.draw(t.region.params.ExitReport), func() {
		if t.desired == fleet.Stopped {
			return
		}
		t.leave(codeExited, "Essential container in task exited")
		if t.region.params.ExitDeactivates && t.registered() {
			t.deactivate()
			return
		}
		t.deregister()
		t.terminate()
	})
}

// leave is the moment at which ECS wants the task stopped.
func (t *task) leave(code, reason string) {
	t.desired = fleet.Stopped
	t.stops++
	t.stopCode, t.stoppedReason = code, reason
	if t.service != nil {
		switch {
		case t.surplus:
			t.service.tell(inZone(eventMovedFrom, t.zone), t)
		case code == codeScheduler:
			t.service.tell(eventStopped, t)
		}
		t.service.left(t)
	}
}

// registered reports whether a balancer has, or will have, a row of the task.
func (t *task) registered() bool {
	return slices.ContainsFunc(t.targets, func(g *registration) bool { return g.group.rows[g.key] != nil })
}

func (t *task) deactivate() {
	r := t.region
	t.to(fleet.Deactivating)
	if r.params.StampOnDeactivating {
		t.stamp()
	}
	t.then(r.params.DeregisterDelay, func() {
		t.deregister()
		var full time.Duration
		for _, target := range t.targets {
			full = max(full, r.scale(target.group.delay))
		}
		t.drainEnd = r.now
		if r.params.FullDrainWait {
			t.drainEnd = r.now.Add(full)
		}
		stops := t.stops
		r.at(t.drainEnd, func() {
			if t.stops == stops {
				t.drained()
			}
		})
	})
	if t.stopCode == codeSpot {
		t.then(Exactly(r.params.SpotNotice), func() {
			if t.status == fleet.Deactivating {
				t.terminate()
			}
		})
	}
}

func (t *task) deregister() {
	drains := false
	for _, target := range t.targets {
		if w := target.group.rows[target.key]; w != nil && !w.draining() {
			t.service.tell(eventDeregistered + "(target-group " + string(target.group.arn) + ")")
			drains = true
		}
		target.group.deregister(target.key, ByECS)
	}
	if drains {
		t.service.tell(eventDraining)
	}
}

// drained goes on to STOPPING once the balancers have let go of the task.
func (t *task) drained() {
	if t.status == fleet.Deactivating && !t.drainEnd.IsZero() && !t.region.now.Before(t.drainEnd) && !t.registered() {
		t.terminate()
	}
}

// stamp sets stoppingAt, once.
func (t *task) stamp() {
	if t.stoppingAt.IsZero() {
		t.touch()
		t.stoppingAt = t.region.now
	}
}

// terminate sends SIGTERM. A hung app does not listen and is killed after its
// stopTimeout.
func (t *task) terminate() {
	r := t.region
	t.stops++
	t.to(fleet.Stopping)
	t.stamp()
	if t.launched {
		r.runtime.Agent.Stop(t.arn)
		t.reap()
		return
	}
	if !t.alive {
		t.ended(0)
		return
	}
	code, takes := 0, r.draw(r.params.GracefulStop)
	if t.app == hung {
		code, takes = killed, 0
		for _, c := range t.containers {
			timeout := c.spec.StopTimeout
			if timeout == 0 {
				timeout = defaultStopTimeout
			}
			takes = max(takes, timeout)
		}
	}
	stops := t.stops
	r.after(takes, func() {
		if t.stops == stops { // else its host is gone
			t.ended(code)
		}
	})
}

// ended is when no container runs any more.
func (t *task) ended(code int) {
	ran := !t.started.IsZero()
	t.alive = false
	t.touch()
	if ran {
		t.executionStopped = t.region.now
	}
	for _, c := range t.containers {
		if c.probe != nil {
			c.probe.stop()
		}
		if ran && c.exit == nil {
			c.exit = &code
		}
	}
	t.turnApp(refusing, false)
	if t.eni == "" {
		t.gone()
		return
	}
	t.to(fleet.Deprovisioning)
	t.region.after(t.region.draw(t.region.params.Deprovisioning), t.gone)
}

// gone is when the task has reached STOPPED.
func (t *task) gone() {
	r := t.region
	t.to(fleet.Stopped)
	t.stopped = r.now
	t.stamp()
	if t.deployment != nil {
		t.deployment.tasks--
		if t.deployment.leaving {
			t.service.attend()
		}
	}
	r.freeAddress(t)
	if t.instance != nil {
		for _, c := range t.containers {
			for _, host := range c.ports {
				delete(t.instance.ports, host)
			}
			for _, host := range c.six {
				delete(t.instance.ports, host)
			}
		}
	}
	r.after(r.params.KeepStopped, func() {
		delete(t.cluster.taskIDs, t.id)
		t.cluster.tasks = slices.DeleteFunc(t.cluster.tasks, func(o *task) bool { return o == t })
	})
}
