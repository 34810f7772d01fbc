package metrics

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Type is a metric's type as Prometheus names it.
type Type string

// The types in use.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Metric describes one metric of the catalogue.
type Metric struct {
	Name   string
	Type   Type
	Labels []string
	Help   string
}

// The catalogue. Help is what the exposition and the README say.
var (
	buildInfo = Metric{
		"castoff_build_info", Gauge, []string{"version", "revision", "goversion"},
		"Always 1; the labels say what is running.",
	}

	passesTotal = Metric{
		"castoff_passes_total", Counter, []string{"result"},
		"Passes by result: ok (everything due was read), partial (there are gaps), failed (nothing could be read), panic.",
	}
	passDuration = Metric{
		"castoff_pass_duration_seconds", Histogram, nil,
		"How long passes took, whatever their result.",
	}
	lastPass = Metric{
		"castoff_last_pass_timestamp_seconds", Gauge, nil,
		"Unix time at which the last pass ended, whatever its result; absent until the first has.",
	}

	snapshotAge = Metric{
		"castoff_snapshot_age_seconds", Gauge, nil,
		"How old the oldest evidence about any task that has not stopped is. About one interval when all is well; grows while even one task cannot be read. Absent until the first pass has ended.",
	}
	snapshotGaps = Metric{
		"castoff_snapshot_gaps", Gauge, []string{"kind", "class"},
		"Things that castoff cannot see now, by what they are and why (class paced: its own rate budget has not come to them).",
	}

	awsRequests = Metric{
		"castoff_aws_requests_total", Counter, []string{"service", "operation", "result"},
		"Requests sent to AWS, retries included, by result: ok, throttled, denied, not_found, transient, invalid.",
	}
	awsRequestDuration = Metric{
		"castoff_aws_request_duration_seconds", Histogram, []string{"service", "operation"},
		"How long requests to AWS took, each retry by itself.",
	}
	awsPacingWait = Metric{
		"castoff_aws_pacing_wait_seconds_total", Counter, []string{"bucket"},
		"How long due reads waited for castoff's own rate budget, by AWS's token bucket.",
	}

	tasks = Metric{
		"castoff_tasks", Gauge, []string{"cluster", "service", "health"},
		"Tasks that have not stopped, by health: healthy, unhealthy, unknown (no check, or the agent is disconnected). Absent while a service's tasks could never be read.",
	}
	targets = Metric{
		"castoff_targets", Gauge, []string{"cluster", "service", "target_group", "state"},
		"Targets by the balancer's state; other counts states that ELBv2 does not document. Absent while the group could never be read.",
	}
	exposedTargets = Metric{
		"castoff_exposed_targets", Gauge, []string{"cluster", "service", "target_group"},
		"Targets exposed now: ECS calls the task UNHEALTHY and the balancer still sends it traffic.",
	}
	exposureSeconds = Metric{
		"castoff_exposure_seconds_total", Counter, []string{"cluster", "service", "target_group"},
		"Target-seconds of exposure: the integral of castoff_exposed_targets.",
	}

	timelinesOpen = Metric{
		"castoff_timelines_open", Gauge, []string{"cluster", "service"},
		"Timelines of tasks that fail now.",
	}
	timelinesTotal = Metric{
		"castoff_timelines_total", Counter, []string{"cluster", "service", "trigger", "outcome"},
		"Timelines closed, by what first showed the failure (container_check, target_check, exit) and how it ended (retired, recovered, superseded, lost).",
	}
	phaseSeconds = Metric{
		"castoff_phase_seconds", Histogram, []string{"cluster", "service", "phase"},
		"How long the phases of closed timelines took: detection, reaction, drain, exposure, replacement, retirement. The value is the longest that the bounds allow; castoff_phase_error_seconds says by how much it may be too long.",
	}
	phaseError = Metric{
		"castoff_phase_error_seconds", Histogram, []string{"phase"},
		"The error of the phases of closed timelines: the longest less the shortest that the bounds allow.",
	}
)

// Catalogue lists every metric that castoff has, in the order in which people
// want to read them.
func Catalogue() []Metric {
	return []Metric{
		exposedTargets, exposureSeconds,
		timelinesOpen, timelinesTotal, phaseSeconds, phaseError,
		tasks, targets,
		snapshotAge, snapshotGaps,
		passesTotal, passDuration, lastPass,
		awsRequests, awsRequestDuration, awsPacingWait,
		buildInfo,
	}
}

// Table is the catalogue as a Markdown table.
func Table() string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | what it says |\n|---|---|---|---|\n")
	for _, m := range Catalogue() {
		labels := slices.Clone(m.Labels)
		for i, l := range labels {
			labels[i] = "`" + l + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(labels, ", "), m.Help)
	}
	return b.String()
}

func (m Metric) counter(f promauto.Factory) *prometheus.CounterVec {
	return f.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

// gauge is a vector even without labels: a plain gauge would read 0 before it
// is first set.
func (m Metric) gauge(f promauto.Factory) *prometheus.GaugeVec {
	return f.NewGaugeVec(prometheus.GaugeOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

// histogram has classic buckets and, for scrapers that ask for them, native
// ones, within 10 % and bounded in number.
func (m Metric) histogram(f promauto.Factory, buckets []float64) *prometheus.HistogramVec {
	return f.NewHistogramVec(prometheus.HistogramOpts{
		Name: m.Name, Help: m.Help,
		Buckets:                         buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, m.Labels)
}

func (m Metric) desc() *prometheus.Desc {
	return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
}
