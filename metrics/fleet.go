package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// fleetCollector makes the fleet's gauges at scrape time. Before the first pass
// there are none: a zero would be a lie.
type fleetCollector struct {
	published atomic.Pointer[published]

	age, gaps, tasks, targets, exposed, open *prometheus.Desc
	posture                                  postureDescs
}

// published is what the last pass left; immutable. Tasks are counted once a
// pass, so that the cost of a scrape does not grow with them.
type published struct {
	oldest  time.Time // zero when there is no evidence about any task
	gaps    sums
	fleet   []fleet.Tally
	open    []*timeline.Timeline
	posture Posture
}

func publish(s *fleet.Snapshot, open []*timeline.Timeline, p Posture) *published {
	oldest, _ := s.Oldest()
	return &published{oldest: oldest, gaps: gapCounts(s), fleet: s.Tally(), open: open, posture: p}
}

func newFleetCollector() *fleetCollector {
	return &fleetCollector{
		age: snapshotAge.desc(), gaps: snapshotGaps.desc(), tasks: tasks.desc(), targets: targets.desc(),
		exposed: exposedTargets.desc(), open: timelinesOpen.desc(),
		posture: newPostureDescs(),
	}
}

func (c *fleetCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range append(c.posture.all(), c.age, c.gaps, c.tasks, c.targets, c.exposed, c.open) {
		ch <- d
	}
}

func (c *fleetCollector) Collect(ch chan<- prometheus.Metric) {
	p := c.published.Load()
	if p == nil {
		return
	}
	if !p.oldest.IsZero() {
		ch <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, seconds(time.Since(p.oldest)))
	}
	p.gaps.emit(ch, c.gaps, len(snapshotGaps.Labels))

	byHealth, byState, exposed, open := sums{}, sums{}, sums{}, sums{}
	for _, t := range p.fleet {
		svc := labelsOf(t.Service.ID)
		open.add(0, svc.cluster, svc.service)
		if t.Seen {
			byHealth.add(t.Healthy, svc.cluster, svc.service, "healthy")
			byHealth.add(t.Unhealthy, svc.cluster, svc.service, "unhealthy")
			byHealth.add(t.Unknown, svc.cluster, svc.service, "unknown")
		}
		for _, g := range t.Groups {
			if g.Read.Never() {
				continue
			}
			group := label(g.Group.Name())
			for state, n := range g.States {
				byState.add(n, svc.cluster, svc.service, group, string(state))
			}
			if t.Seen {
				exposed.add(g.Exposed, svc.cluster, svc.service, group)
			}
		}
	}
	for _, t := range p.open {
		svc := labelsOf(t.Service)
		open.add(1, svc.cluster, svc.service)
	}
	byHealth.emit(ch, c.tasks, len(tasks.Labels))
	byState.emit(ch, c.targets, len(targets.Labels))
	exposed.emit(ch, c.exposed, len(exposedTargets.Labels))
	open.emit(ch, c.open, len(timelinesOpen.Labels))
	c.posture.emit(ch, &p.posture, p.fleet, time.Now())
}

func gapCounts(s *fleet.Snapshot) sums {
	gaps := sums{}
	for _, kind := range fleet.GapKinds {
		for _, class := range fleet.Classes {
			gaps.add(0, string(kind), string(class))
		}
	}
	for _, g := range s.Gaps {
		gaps.add(1, string(g.Kind), string(g.Class))
	}
	return gaps
}

// sums are a gauge's values by label values. Adding up, rather than emitting
// each as it comes, keeps one scrape from ever holding a series twice, which
// would fail the scrape: names may become equal when they are made safe.
type sums map[[4]string]int

func (s sums) add(n int, labels ...string) {
	var key [4]string
	copy(key[:], labels)
	s[key] += n
}

// set is for what is or is not, and does not add up.
func (s sums) set(n int, labels ...string) {
	var key [4]string
	copy(key[:], labels)
	s[key] = n
}

// most keeps the largest.
func (s sums) most(n int, labels ...string) {
	var key [4]string
	copy(key[:], labels)
	s[key] = max(n, s[key])
}

func (s sums) emit(ch chan<- prometheus.Metric, d *prometheus.Desc, labels int) {
	for key, n := range s {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), key[:labels]...)
	}
}
