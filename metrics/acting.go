package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// notMade is the result of a call that only would have been made: the service
// is observed.
const notMade = "not_made"

// Acting are the metrics of decisions and of what came of them.
//
// Its counters begin at 0 for a service that may be acted on and for one that
// was decided about; those of all others would be many series that stay 0.
type Acting struct {
	verdicts  *prometheus.CounterVec
	detach    *prometheus.CounterVec
	attach    *prometheus.CounterVec
	contested *prometheus.CounterVec
	saved     *prometheus.CounterVec
	lost      *prometheus.CounterVec
	errors    *prometheus.CounterVec

	mu   sync.Mutex
	last map[decided]answer
	seen map[serviceLabels]time.Time // services that have series, by when they were last in a Snapshot
}

// decided is what a verdict is about: with the task's start, a task restarted
// in place is another one.
type decided struct {
	target  fleet.TargetKey
	task    fleet.TaskARN
	started int64 // UnixNano
}

// answer is as much of a verdict as is counted.
type answer struct {
	decision policy.Decision
	reason   policy.Reason
	gaveUp   bool
}

func newActing(f promauto.Factory) *Acting {
	return &Acting{
		verdicts: verdictsTotal.counter(f), detach: detachCalls.counter(f), attach: reattachCalls.counter(f),
		contested: contestedTotal.counter(f),
		saved:     savedSeconds.counter(f), lost: lostSeconds.counter(f), errors: savedError.counter(f),
		seen: make(map[serviceLabels]time.Time),
	}
}

// Verdicts counts what is new in a pass's verdicts: a decision that stands for
// a hundred passes is one decision. All of them are given, so that one that is
// missing counts anew when it is back. Those about attaching do not count.
func (a *Acting) Verdicts(vs []policy.Verdict) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := make(map[decided]answer, len(vs))
	for i := range vs {
		v := &vs[i]
		if v.Action != policy.Detach {
			continue
		}
		key := decided{v.Target, v.Task, v.Started.UnixNano()}
		contested, _ := v.Finding(policy.Contested)
		is := answer{v.Decision, v.Reason, contested.Reason == policy.GaveUp}
		was, known := a.last[key]
		now[key] = is
		svc := a.service(v.Service)
		if !known || is.decision != was.decision || is.reason != was.reason {
			a.verdicts.WithLabelValues(svc.cluster, svc.service, label(string(is.decision)), label(string(is.reason))).Inc()
		}
		if is.gaveUp && !was.gaveUp {
			a.contested.WithLabelValues(svc.cluster, svc.service).Inc()
		}
	}
	a.last = now
}

// Called counts a call to take a target out. In observe mode it is one that
// would have been made, and the result is ignored.
func (a *Acting) Called(d policy.Detachment, r policy.Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	svc, result := a.service(d.Service), string(r)
	if d.Mode != policy.Detaching {
		result = notMade
	}
	a.detach.WithLabelValues(svc.cluster, svc.service, mode(d.Mode), label(result)).Inc()
}

// Attached counts a call to put a target back.
func (a *Acting) Attached(d policy.Detachment, r policy.Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	svc := a.service(d.Service)
	a.attach.WithLabelValues(svc.cluster, svc.service, label(string(r))).Inc()
}

// Ended counts the time that a detachment saved, when that is known. It is
// called once for each, when it is closed.
func (a *Acting) Ended(d policy.Detachment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	svc := a.service(d.Service)
	s, ok := d.Saved()
	if !ok {
		return
	}
	labels := []string{svc.cluster, svc.service, mode(d.Mode)}
	a.saved.WithLabelValues(labels...).Add(seconds(s.Shortest))
	a.lost.WithLabelValues(labels...).Add(seconds(-s.Shortest))
	a.errors.WithLabelValues(labels...).Add(seconds(s.Longest - s.Shortest))
}

// follow begins the series of services that may be acted on, and ends those of
// services that have long been gone from the Snapshots.
func (a *Acting) follow(s *fleet.Snapshot, modes map[fleet.ServiceID]policy.Mode) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, svc := range s.Services {
		labels := labelsOf(svc.ID)
		if _, ok := a.seen[labels]; ok || modes[svc.ID] == policy.Detaching {
			a.service(svc.ID)
			a.seen[labels] = s.At
		}
	}
	for svc, last := range a.seen {
		if last.IsZero() { // never in a Snapshot so far
			a.seen[svc] = s.At
		} else if s.At.Sub(last) > keep {
			gone := prometheus.Labels{"cluster": svc.cluster, "service": svc.service}
			for _, vec := range []*prometheus.CounterVec{a.verdicts, a.detach, a.attach, a.contested, a.saved, a.lost, a.errors} {
				vec.DeletePartialMatch(gone)
			}
			delete(a.seen, svc)
		}
	}
}

// service notes that there is something to count of a service, and begins its
// series at 0.
func (a *Acting) service(id fleet.ServiceID) serviceLabels {
	svc := labelsOf(id)
	if _, ok := a.seen[svc]; ok {
		return svc
	}
	a.seen[svc] = time.Time{}
	for decision, reasons := range answers {
		for _, r := range reasons {
			a.verdicts.WithLabelValues(svc.cluster, svc.service, string(decision), string(r))
		}
	}
	for _, r := range policy.Results {
		a.detach.WithLabelValues(svc.cluster, svc.service, string(policy.Detaching), string(r))
		a.attach.WithLabelValues(svc.cluster, svc.service, string(r))
	}
	a.detach.WithLabelValues(svc.cluster, svc.service, string(policy.Observing), notMade)
	a.contested.WithLabelValues(svc.cluster, svc.service)
	for _, m := range policy.Modes {
		for _, vec := range []*prometheus.CounterVec{a.saved, a.lost, a.errors} {
			vec.WithLabelValues(svc.cluster, svc.service, string(m))
		}
	}
	return svc
}

// mode is one of the two that there are.
func mode(m policy.Mode) string {
	if m == policy.Detaching {
		return string(m)
	}
	return string(policy.Observing)
}

// answers are the verdicts that there can be about detaching: series that begin
// at 0. One that is missing here begins at 1, and its first increase is lost.
var answers = map[policy.Decision][]policy.Reason{
	policy.Allow: {policy.OK},
	policy.Refuse: {
		policy.InvalidLimit, policy.PausedNow, policy.PauseUnreadable, policy.Halted,
		policy.NotRunning, policy.Leaving, policy.Restarted, policy.NotOwner, policy.ServerID,
		policy.NotUnhealthy, policy.TargetCheckOnly, policy.NoFailedCheck,
		policy.AlreadyUnhealthy, policy.AlreadyDraining, policy.AlreadyGone, policy.AlreadyOut,
		policy.NotGranted, policy.GaveUp,
	},
	policy.Hold: {
		policy.PausedNow, policy.Denied,
		policy.Gap, policy.Old, policy.Unseen, policy.ClockBack, policy.NotReadAgain, policy.StartupWindow,
		policy.AddressShared, policy.NotRunning, policy.Missing, policy.Disconnected, policy.DefinitionUnknown,
		policy.StartingUp, policy.NotStarted, policy.Unconfirmed, policy.NotServing, policy.ZonalShift,
		policy.RollingOut, policy.RolloutUnknown,
		policy.BelowFloor, policy.LastHealthy, policy.GroupThreshold, policy.SettingsUnknown,
		policy.LastInZone, policy.ZoneThreshold, policy.ZoneUnknown, policy.ManyTasks, policy.ManyServices,
		policy.ServiceBudget, policy.GroupBudget, policy.FleetBudget, policy.ServiceRate, policy.FleetRate,
		policy.ReplacementsFail, policy.Spaced, policy.Unanswered,
	},
}
