package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// keep is how long the series of a service outlive its last Snapshot: long
// enough for every scraper to have seen the last increase, and for a service
// that is made anew to go on counting.
const keep = time.Hour

// Timelines are the metrics of failures: of what is closed, and of exposure
// while it lasts.
type Timelines struct {
	total    *prometheus.CounterVec
	phases   *prometheus.HistogramVec
	errors   *prometheus.HistogramVec
	exposure *prometheus.CounterVec

	mu   sync.Mutex
	now  time.Time // of the last Snapshot or closed timeline
	seen map[serviceLabels]*presence
}

type serviceLabels struct{ cluster, service string }

func labelsOf(id fleet.ServiceID) serviceLabels {
	return serviceLabels{cluster: label(id.Cluster), service: label(id.Name)}
}

// presence is when a service and its target groups were last in a Snapshot.
type presence struct {
	last   time.Time
	groups map[string]time.Time
}

func newTimelines(f promauto.Factory) *Timelines {
	t := &Timelines{
		total: timelinesTotal.counter(f),
		phases: phaseSeconds.histogram(f, []float64{
			1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 1800, 3600,
		}),
		errors:   phaseError.histogram(f, []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}),
		exposure: exposureSeconds.counter(f),
		seen:     make(map[serviceLabels]*presence),
	}
	for _, phase := range timeline.PhaseNames {
		t.errors.WithLabelValues(string(phase))
	}
	return t
}

// Closed counts a timeline that has just closed, and those of its phases that are
// measured.
func (t *Timelines) Closed(tl *timeline.Timeline) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tl.Closed.After(t.now) {
		t.now = tl.Closed // closed before the pass's Snapshot was published
	}
	svc := labelsOf(tl.Service)
	t.service(svc)
	t.total.WithLabelValues(svc.cluster, svc.service, string(tl.Trigger), string(tl.Outcome)).Inc()
	for _, p := range tl.Phases() {
		if !p.Measured() {
			continue
		}
		t.phases.WithLabelValues(svc.cluster, svc.service, string(p.Name)).Observe(seconds(p.Longest))
		t.errors.WithLabelValues(string(p.Name)).Observe(seconds(p.Error()))
	}
}

// Exposed adds to the exposure of one target group of a service: d is summed
// over the targets exposed, so two of them for a second are two seconds.
func (t *Timelines) Exposed(service fleet.ServiceID, group fleet.TargetGroupARN, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	svc, name := labelsOf(service), label(group.Name())
	t.group(svc, t.service(svc), name)
	t.exposure.WithLabelValues(svc.cluster, svc.service, name).Add(seconds(d))
}

// follow begins the series of what is new in a Snapshot and ends those of what
// has long been gone from it. The Snapshot's own time decides. Phases begin with a
// service's first open timeline: from 1 there is no increase, so that of a service
// that seldom fails none would ever be seen, and of every service they would be a
// hundred series that stay 0.
func (t *Timelines) follow(s *fleet.Snapshot, open []*timeline.Timeline) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = s.At
	for _, svc := range s.Services {
		labels := labelsOf(svc.ID)
		p := t.service(labels)
		for _, lb := range svc.LoadBalancers {
			t.group(labels, p, label(lb.Group.Name()))
		}
	}
	for _, tl := range open {
		svc := labelsOf(tl.Service)
		t.service(svc)
		for _, phase := range timeline.PhaseNames {
			t.phases.WithLabelValues(svc.cluster, svc.service, string(phase))
		}
	}
	for svc, p := range t.seen {
		for group, last := range p.groups {
			if t.now.Sub(last) > keep {
				t.exposure.DeleteLabelValues(svc.cluster, svc.service, group)
				delete(p.groups, group)
			}
		}
		if t.now.Sub(p.last) > keep {
			gone := prometheus.Labels{"cluster": svc.cluster, "service": svc.service}
			t.total.DeletePartialMatch(gone)
			t.phases.DeletePartialMatch(gone)
			t.exposure.DeletePartialMatch(gone)
			delete(t.seen, svc)
		}
	}
}

// service notes that a service is there, with counters from 0.
func (t *Timelines) service(svc serviceLabels) *presence {
	p := t.seen[svc]
	if p == nil {
		p = &presence{groups: make(map[string]time.Time)}
		t.seen[svc] = p
		for _, trigger := range timeline.Triggers {
			for _, outcome := range timeline.Outcomes {
				t.total.WithLabelValues(svc.cluster, svc.service, string(trigger), string(outcome))
			}
		}
	}
	p.last = t.now
	return p
}

// group notes that a target group of a service is there, with a counter from 0.
func (t *Timelines) group(svc serviceLabels, p *presence, name string) {
	if _, ok := p.groups[name]; !ok {
		t.exposure.WithLabelValues(svc.cluster, svc.service, name)
	}
	p.groups[name] = t.now
}
