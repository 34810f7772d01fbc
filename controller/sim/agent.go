package sim

import (
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// checkTook is what a check takes that is answered.
const checkTook = 20 * time.Millisecond

// containerProbe is the agent's check of a container. Whichever container it
// belongs to, its command goes through the task's front to its app.
func (t *task) containerProbe(c *container) *probe {
	r, check := t.region, c.spec.Check
	p := &probe{
		region: r, interval: r.scale(check.Interval), timeout: r.scale(check.Timeout), took: r.scale(checkTook),
		fromEnd: true, passes: 1, fails: check.Retries, leniency: t.started.Add(r.scale(check.StartPeriod)),
		try: func() finding {
			return finding{ok: t.front && t.app == answering, silent: t.front && t.app == hung, delay: t.delay}
		},
		turns: func(v verdict, _ finding) {
			c.health = fleet.Unhealthy
			if v == passing {
				c.health = fleet.Healthy
			}
			t.report(c)
		},
	}
	if r.runtime != nil {
		p.ask = func(due time.Time, report func(bool)) {
			r.runtime.Agent.Check(Check{Task: t.arn, Container: c.spec.Name, Command: check.Command, Due: due, Timeout: p.timeout, Report: report})
		}
	}
	return p
}

// report has the agent tell ECS of a container's health, when it comes to it:
// what it tells is the health of that moment.
func (t *task) report(c *container) {
	r := t.region
	at := r.now.Add(r.scale(r.draw(r.params.HealthReportFargate)))
	if t.instance != nil {
		at = r.nextOf(t.instance.phase, r.params.HealthReportEC2)
	}
	r.at(at, func() {
		if !t.alive || t.cut || c.reported == c.health {
			return
		}
		c.reported = c.health
		t.touch()
		was := t.health
		t.health = t.judge()
		if was != t.health {
			t.truthHealth()
			if t.service != nil {
				t.service.weigh(t)
			}
		}
	})
}

// judge is the task's health by ECS's rule over its essential containers.
func (t *task) judge() fleet.HealthStatus {
	checked, unknown := false, false
	for _, c := range t.containers {
		switch {
		case c.spec.NotEssential:
		case c.probe == nil && c.spec.Check == nil:
			unknown = unknown || t.region.params.UncheckedUnknown
		case c.reported == fleet.Unhealthy:
			return fleet.Unhealthy
		default:
			checked = true
			unknown = unknown || c.reported == fleet.Unknown
		}
	}
	if !checked || unknown {
		return fleet.Unknown
	}
	return fleet.Healthy
}
