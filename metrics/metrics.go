// Package metrics has every Prometheus metric of castoff, in one catalogue
// ([Catalogue]).
//
// No label holds a task's id or an address: cardinality grows with services
// and target groups, not with tasks. The names, labels and types are an API
// that alerts and dashboards rest on.
package metrics

import (
	"cmp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	dto "github.com/prometheus/client_model/go"

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

	recording *prometheus.GaugeVec
	fleet     *fleetCollector
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

		recording: recording.gauge(f),
		fleet:     newFleetCollector(),
	}
	if reg != nil {
		reg.MustRegister(m.fleet)
	}
	return m
}

// Recording says whether AWS's answers are recorded.
func (m *Metrics) Recording(now bool) {
	v := 0.0
	if now {
		v = 1
	}
	m.recording.WithLabelValues().Set(v)
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

// PublishPosture makes the Posture alone visible to scrapes: that of a pass of which
// nothing else came.
func (m *Metrics) PublishPosture(p Posture) {
	var last published
	if was := m.fleet.published.Load(); was != nil {
		last = *was
	}
	last.posture = p
	m.fleet.published.Store(&last)
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
	budget   *prometheus.GaugeVec
	waits    *prometheus.CounterVec
}

func newAWS(f promauto.Factory) *AWS {
	a := &AWS{
		requests: awsRequests.counter(f),
		duration: awsRequestDuration.histogram(f, []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		budget:   awsBudget.gauge(f),
		waits:    awsPacingWait.counter(f),
	}
	// Rare, and an alert asks for the first that is denied.
	for _, operation := range []string{"DeregisterTargets", "RegisterTargets"} {
		a.begin("elbv2", operation, "elbv2_registration")
	}
	return a
}

// begin has an operation's counters begin at 0.
func (a *AWS) begin(service, operation, bucket string) {
	a.requests.WithLabelValues(service, operation, bucket, "ok")
	for _, class := range fleet.Classes {
		if class != fleet.Paced { // never sent
			a.requests.WithLabelValues(service, operation, bucket, string(class))
		}
	}
}

// Request counts one attempt at an operation, as the SDK names it, which takes
// from the bucket. The result is "ok" or a [fleet.Class].
func (a *AWS) Request(service, operation, bucket, result string, d time.Duration) {
	service, operation, bucket = label(service), label(operation), label(bucket)
	// An operation's first request brings all its results, so that its first
	// throttled one is an increase and not a new series.
	a.begin(service, operation, bucket)
	a.requests.WithLabelValues(service, operation, bucket, label(result)).Inc()
	a.duration.WithLabelValues(service, operation).Observe(seconds(d))
}

// Calls are the requests of one operation since the start.
type Calls struct {
	Service, Operation, Bucket string
	Results                    map[string]int // ok and each [fleet.Class]
}

// Calls are those of every operation that was ever called, by service and
// operation.
func (a *AWS) Calls() []Calls {
	type key struct{ service, operation, bucket string }
	of := make(map[key]map[string]int)
	for _, m := range collected(a.requests) {
		if m.GetCounter().GetValue() == 0 {
			continue // a series that is there beforehand, of a call that was not made
		}
		labels := labelValues(m)
		k := key{labels["service"], labels["operation"], labels["bucket"]}
		if of[k] == nil {
			of[k] = make(map[string]int)
		}
		of[k][labels["result"]] = int(m.GetCounter().GetValue())
	}
	calls := make([]Calls, 0, len(of))
	for k, results := range of {
		calls = append(calls, Calls{Service: k.service, Operation: k.operation, Bucket: k.bucket, Results: results})
	}
	slices.SortFunc(calls, func(a, b Calls) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Operation, b.Operation))
	})
	return calls
}

// Waits are how long reads have waited for each bucket since the start.
func (a *AWS) Waits() map[string]time.Duration {
	waits := make(map[string]time.Duration)
	for _, m := range collected(a.waits) {
		waits[labelValues(m)["bucket"]] = time.Duration(m.GetCounter().GetValue() * float64(time.Second))
	}
	return waits
}

// Budgets are the calls a second that each bucket may be asked for.
func (a *AWS) Budgets() map[string]float64 {
	budgets := make(map[string]float64)
	for _, m := range collected(a.budget) {
		budgets[labelValues(m)["bucket"]] = m.GetGauge().GetValue()
	}
	return budgets
}

// collected are what a vector has counted: the page shows what /metrics says.
func collected(vector prometheus.Collector) []*dto.Metric {
	// Collect may not return before all are taken.
	ch := make(chan prometheus.Metric)
	go func() {
		vector.Collect(ch)
		close(ch)
	}()
	var all []*dto.Metric
	for m := range ch {
		var out dto.Metric
		if err := m.Write(&out); err == nil { // what cannot be written is missing in /metrics too
			all = append(all, &out)
		}
	}
	return all
}

func labelValues(m *dto.Metric) map[string]string {
	labels := make(map[string]string, len(m.GetLabel()))
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	return labels
}

// Budget says how many calls a second the bucket may be asked for, and begins at 0
// what is counted of waiting for it.
func (a *AWS) Budget(bucket string, perSecond float64) {
	a.budget.WithLabelValues(label(bucket)).Set(perSecond)
	a.waits.WithLabelValues(label(bucket))
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
