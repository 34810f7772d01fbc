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
// was decided about; those of all others would be many series that stay 0. From a
// series that is new Prometheus takes no increase, however much it begins with: so
// what there is to count of a service waits until its zeros have been there for
// [shown].
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
	seen map[serviceLabels]*counted // services that have series
}

// shown is how long a service's counters are 0 before any of them counts: longer
// than any usual scrape interval, which is a minute at most.
const shown = 90 * time.Second

// counted is a service that has series.
type counted struct {
	began   time.Time // of the Snapshot since which there are; zero: none so far
	last    time.Time // when it was last in a Snapshot; zero: never so far
	waiting map[prometheus.Counter]float64
	shown   bool
}

// add counts, now or when the series have been shown.
func (c *counted) add(counter prometheus.Counter, n float64) {
	if c.shown {
		counter.Add(n)
		return
	}
	if c.waiting == nil {
		c.waiting = make(map[prometheus.Counter]float64)
	}
	c.waiting[counter] += n
}

// pass says that a Snapshot of that instant is published.
func (c *counted) pass(at time.Time) {
	switch {
	case c.shown:
	case c.began.IsZero() || at.Before(c.began): // or a clock that was set back would have it wait for as long
		c.began = at
	case at.Sub(c.began) >= shown:
		c.shown = true
		for counter, n := range c.waiting {
			counter.Add(n)
		}
		c.waiting = nil
	}
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
		seen: make(map[serviceLabels]*counted),
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
		svc, counts := a.service(v.Service)
		if !known || is.decision != was.decision || is.reason != was.reason {
			counts.add(a.verdicts.WithLabelValues(svc.cluster, svc.service, label(string(is.decision)), label(string(is.reason))), 1)
		}
		if is.gaveUp && !was.gaveUp {
			counts.add(a.contested.WithLabelValues(svc.cluster, svc.service), 1)
		}
	}
	a.last = now
}

// Called counts a call to take a target out. In observe mode it is one that
// would have been made, and the result is ignored.
func (a *Acting) Called(d policy.Detachment, r policy.Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	svc, counts := a.service(d.Service)
	result := string(r)
	if d.Mode != policy.Detaching {
		result = notMade
	}
	counts.add(a.detach.WithLabelValues(svc.cluster, svc.service, mode(d.Mode), label(result)), 1)
}

// Attached counts a call to put a target back.
func (a *Acting) Attached(d policy.Detachment, r policy.Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	svc, counts := a.service(d.Service)
	counts.add(a.attach.WithLabelValues(svc.cluster, svc.service, label(string(r))), 1)
}

// Ended counts the time that a detachment saved, when that is known. It is
// called once for each, when it is closed.
func (a *Acting) Ended(d policy.Detachment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	svc, counts := a.service(d.Service)
	s, ok := d.Saved()
	if !ok {
		return
	}
	labels := []string{svc.cluster, svc.service, mode(d.Mode)}
	counts.add(a.saved.WithLabelValues(labels...), seconds(s.Shortest))
	counts.add(a.lost.WithLabelValues(labels...), seconds(-s.Shortest))
	counts.add(a.errors.WithLabelValues(labels...), seconds(s.Longest-s.Shortest))
}

// follow begins the series of services that may be acted on, and ends those of
// services that have long been gone from the Snapshots.
func (a *Acting) follow(s *fleet.Snapshot, modes map[fleet.ServiceID]policy.Mode) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, svc := range s.Services {
		labels := labelsOf(svc.ID)
		if _, ok := a.seen[labels]; ok || modes[svc.ID] == policy.Detaching {
			_, counts := a.service(svc.ID)
			counts.last = s.At
		}
	}
	for svc, counts := range a.seen {
		counts.pass(s.At)
		if counts.last.IsZero() {
			counts.last = s.At
		} else if s.At.Sub(counts.last) > keep {
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
func (a *Acting) service(id fleet.ServiceID) (serviceLabels, *counted) {
	svc := labelsOf(id)
	if c, ok := a.seen[svc]; ok {
		return svc, c
	}
	c := new(counted)
	a.seen[svc] = c
	for _, decision := range policy.Decisions { // one that does not begin at 0 begins at 1, and its first increase is lost
		for _, r := range policy.Reasons(policy.Detach, decision) {
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
	return svc, c
}

// mode is one of the two that there are.
func mode(m policy.Mode) string {
	if m == policy.Detaching {
		return string(m)
	}
	return string(policy.Observing)
}
