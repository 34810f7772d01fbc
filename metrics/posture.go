package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// Posture is how free castoff is to act after a pass: what it has taken out,
// what holds it up, and how near its limits are. It is not to be changed once
// it is published.
type Posture struct {
	// Modes are those of the services in the Snapshot, by [policy.ModeOf].
	Modes map[fleet.ServiceID]policy.Mode
	// Usage is [policy.Usage].
	Usage []policy.Use
	// Detachments are those that are open; closed ones are ignored.
	Detachments []policy.Detachment
	Latches     []policy.Latch
	// Pauses are the configuration's and those of tags, those that have ended
	// included: which are active is asked at scrape time.
	Pauses []policy.Pause
	Halts  []policy.Halt
}

// haltCauses are the causes that castoff has, so that their series are there
// while all is well.
var haltCauses = []string{"panic", "journal"}

// postureDescs are the gauges of a Posture.
type postureDescs struct {
	detachments, oldest, latched, paused, halted, limit, used *prometheus.Desc
}

func newPostureDescs() postureDescs {
	return postureDescs{
		detachments: detachmentsOpen.desc(), oldest: oldestDetachment.desc(), latched: guardLatched.desc(), paused: pausedNow.desc(),
		halted: actingHalted.desc(), limit: limitGauge.desc(), used: limitUsed.desc(),
	}
}

func (d postureDescs) all() []*prometheus.Desc {
	return []*prometheus.Desc{d.detachments, d.oldest, d.latched, d.paused, d.halted, d.limit, d.used}
}

// emit shows a Posture for the given services. What is about the whole fleet
// has an empty cluster and service.
func (d postureDescs) emit(ch chan<- prometheus.Metric, p *Posture, services []fleet.Tally, now time.Time) {
	detachments, oldest, latched, limit, used := sums{}, sums{}, sums{}, sums{}, sums{}
	guard := string(policy.Correlated) // the one guard that latches
	latched.add(0, guard)
	for i := range services {
		svc := labelsOf(services[i].Service.ID)
		latched.add(0, guard, svc.cluster, svc.service)
		for _, m := range policy.Modes {
			detachments.add(0, svc.cluster, svc.service, string(m))
		}
		if p.Modes[services[i].Service.ID] == policy.Detaching {
			oldest.most(0, svc.cluster, svc.service)
		}
	}
	for i := range p.Detachments {
		if dt := &p.Detachments[i]; dt.Out() {
			svc := labelsOf(dt.Service)
			detachments.add(1, svc.cluster, svc.service, mode(dt.Mode))
			if dt.Mode == policy.Detaching {
				oldest.most(int(seconds(now.Sub(dt.Decided))), svc.cluster, svc.service)
			}
		}
	}
	for _, l := range p.Latches {
		svc := labelsOf(l.Service)
		latched.set(1, guard, svc.cluster, svc.service)
	}
	for _, u := range p.Usage {
		if u.Name != string(policy.Budget) && u.Name != string(policy.Floor) {
			continue // the page has them; nobody is woken by them
		}
		svc := labelsOf(u.Service)
		limit.add(u.Limit, svc.cluster, svc.service, label(u.Name))
		used.add(u.Used, svc.cluster, svc.service, label(u.Name))
	}
	detachments.emit(ch, d.detachments, len(detachmentsOpen.Labels))
	oldest.emit(ch, d.oldest, len(oldestDetachment.Labels))
	latched.emit(ch, d.latched, len(guardLatched.Labels))
	limit.emit(ch, d.limit, len(limitGauge.Labels))
	used.emit(ch, d.used, len(limitUsed.Labels))
	pausedScopes(p.Pauses, now).emit(ch, d.paused, len(pausedNow.Labels))
	halts(p.Halts).emit(ch, d.halted, len(actingHalted.Labels))
}

func pausedScopes(ps []policy.Pause, now time.Time) sums {
	paused := sums{}
	for _, scope := range policy.Scopes {
		paused.add(0, string(scope))
	}
	for i := range ps {
		p := &ps[i]
		if !p.Active(now) {
			continue
		}
		switch p.Scope {
		case policy.ScopeCluster, policy.ScopeService:
			paused.add(1, string(p.Scope))
		default: // as Covers has it, a scope that nobody knows is about everything
			paused.add(1, string(policy.ScopeAll))
		}
	}
	return paused
}

func halts(hs []policy.Halt) sums {
	halted := sums{}
	for _, cause := range haltCauses {
		halted.add(0, cause)
	}
	for _, h := range hs {
		halted.set(1, label(h.Cause))
	}
	return halted
}
