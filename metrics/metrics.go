// Package metrics has every Prometheus metric of castoff, in one catalogue
// ([Catalogue]).
//
// No label holds a task's id or an address: cardinality grows with services
// and target groups, not with tasks. The names, labels and types are an API
// that alerts and dashboards rest on.
package metrics

import (
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// Metrics are all of castoff's metrics. All methods are safe for concurrent
// use.
type Metrics struct {
	Passes    *Passes
	AWS       *AWS
	Timelines *Timelines
	Acting    *Acting
	// Notifications has no series while there are no receivers.
	Notifications *Notifications

	fleet *fleetCollector
}

// Options say what is running.
type Options struct {
	Version   string
	Revision  string // of the source
	GoVersion string // runtime.Version() when empty
}

// New registers the metrics. It panics when reg has any of them already. With a
// nil reg they are counted and nobody can read them.
func New(reg prometheus.Registerer, o Options) *Metrics {
	f := promauto.With(reg)
	if o.GoVersion == "" {
		o.GoVersion = runtime.Version()
	}
	buildInfo.gauge(f).WithLabelValues(label(o.Version), label(o.Revision), label(o.GoVersion)).Set(1)
	m := &Metrics{
		Passes:    newPasses(f),
		AWS:       newAWS(f),
		Timelines: newTimelines(f),
		Acting:    newActing(f),

		Notifications: newNotifications(f),

		fleet: newFleetCollector(),
	}
	if reg != nil {
		reg.MustRegister(m.fleet)
	}
	return m
}

// Publish makes a pass's Snapshot, the timelines open after it and the Posture
// what the gauges show from now on. Counters of services and target groups that
// are new in it begin at 0, and so do the phases of a service whose task fails,
// before there is one to count; those of services that have not been in a Snapshot
// for over an hour end.
func (m *Metrics) Publish(s *fleet.Snapshot, open []*timeline.Timeline, p Posture) {
	m.fleet.published.Store(publish(s, open, p))
	m.Timelines.follow(s, open)
	m.Acting.follow(s, p.Modes)
}

// PassResult is how a pass ended.
type PassResult string

// The results of passes.
const (
	PassOK      PassResult = "ok"      // everything that was due was read
	PassPartial PassResult = "partial" // there are gaps
	PassFailed  PassResult = "failed"  // nothing could be read
	PassPanic   PassResult = "panic"
)

// PassResults lists every result.
var PassResults = []PassResult{PassOK, PassPartial, PassFailed, PassPanic}

// Passes are the metrics of the loop.
type Passes struct {
	total    *prometheus.CounterVec
	duration prometheus.Observer
	last     *prometheus.GaugeVec
}

func newPasses(f promauto.Factory) *Passes {
	p := &Passes{
		total:    passesTotal.counter(f),
		duration: passDuration.histogram(f, []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}).WithLabelValues(),
		last:     lastPass.gauge(f),
	}
	for _, r := range PassResults {
		p.total.WithLabelValues(string(r))
	}
	return p
}

// Done counts a pass that took d and ended at the given instant.
func (p *Passes) Done(r PassResult, d time.Duration, at time.Time) {
	p.total.WithLabelValues(string(r)).Inc()
	p.duration.Observe(seconds(d))
	p.last.WithLabelValues().Set(float64(at.UnixMilli()) / 1000)
}

// AWS are the metrics of the calls to AWS.
type AWS struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	waits    *prometheus.CounterVec
}

func newAWS(f promauto.Factory) *AWS {
	a := &AWS{
		requests: awsRequests.counter(f),
		duration: awsRequestDuration.histogram(f, []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		waits:    awsPacingWait.counter(f),
	}
	// Rare, and an alert asks for the first that is denied.
	for _, operation := range []string{"DeregisterTargets", "RegisterTargets"} {
		a.begin("elbv2", operation)
	}
	return a
}

// begin has an operation's counters begin at 0.
func (a *AWS) begin(service, operation string) {
	a.requests.WithLabelValues(service, operation, "ok")
	for _, class := range fleet.Classes {
		if class != fleet.Paced { // never sent
			a.requests.WithLabelValues(service, operation, string(class))
		}
	}
}

// Request counts one attempt at an operation, as the SDK names it. The result
// is "ok" or a [fleet.Class].
func (a *AWS) Request(service, operation, result string, d time.Duration) {
	service, operation = label(service), label(operation)
	// An operation's first request brings all its results, so that its first
	// throttled one is an increase and not a new series.
	a.begin(service, operation)
	a.requests.WithLabelValues(service, operation, label(result)).Inc()
	a.duration.WithLabelValues(service, operation).Observe(seconds(d))
}

// PacingWait counts how long a read that was due waited for the rate budget of
// a bucket.
func (a *AWS) PacingWait(bucket string, d time.Duration) {
	a.waits.WithLabelValues(label(bucket)).Add(seconds(d))
}

// label makes a value that came from outside fit for a label: Prometheus
// refuses invalid UTF-8, and one refused series fails the whole scrape.
func label(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// seconds is never negative, as a duration may be after a step of the clock:
// counters refuse that, and a histogram's sum would run backwards.
func seconds(d time.Duration) float64 { return max(0, d.Seconds()) }
