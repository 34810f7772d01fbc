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
	recording = Metric{
		"castoff_recording", Gauge, nil,
		"1 while AWS's answers are recorded, 0 once that has stopped because they could not be written; absent when nobody asked for it.",
	}

	snapshotAge = Metric{
		"castoff_snapshot_age_seconds", Gauge, nil,
		"How old the oldest evidence about any task that has not stopped is. About one interval when all is well; grows while even one task cannot be read. Absent until the first pass has ended, and while castoff is blind: it knows no task and could not look for any.",
	}
	snapshotGaps = Metric{
		"castoff_snapshot_gaps", Gauge, []string{"kind", "class"},
		"Things that castoff cannot see now, by what they are and why (class paced: its own rate budget has not come to them).",
	}

	awsRequests = Metric{
		"castoff_aws_requests_total", Counter, []string{"service", "operation", "bucket", "result"},
		"Requests sent to AWS, retries included, by AWS's token bucket and by result: ok, throttled, denied, not_found, transient, invalid.",
	}
	awsRequestDuration = Metric{
		"castoff_aws_request_duration_seconds", Histogram, []string{"service", "operation"},
		"How long requests to AWS took, each retry by itself.",
	}
	awsBudget = Metric{
		"castoff_aws_budget_calls_per_second", Gauge, []string{"bucket"},
		"Calls a second that castoff allows itself from each of AWS's token buckets, for longer than a burst: what the requests of all the bucket's operations are held against. +Inf: no limit.",
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
		"Targets exposed now: ECS calls the task UNHEALTHY and the balancer still calls the target healthy.",
	}
	exposureSeconds = Metric{
		"castoff_exposure_seconds_total", Counter, []string{"cluster", "service", "target_group"},
		"Target-seconds of exposure, between readings that both showed it: the integral of castoff_exposed_targets less up to an interval at each end, and less what could not be read and was over after.",
	}

	timelinesOpen = Metric{
		"castoff_timelines_open", Gauge, []string{"cluster", "service"},
		"Timelines not yet closed: of tasks that fail, and of tasks that stopped or recovered and are watched until that is sure.",
	}
	timelinesTotal = Metric{
		"castoff_timelines_total", Counter, []string{"cluster", "service", "trigger", "outcome"},
		"Timelines closed, by what first showed the failure (container_check, target_check, exit) and how it ended (retired, recovered, superseded, lost).",
	}
	phaseSeconds = Metric{
		"castoff_phase_seconds", Histogram, []string{"cluster", "service", "phase"},
		"How long the phases of closed timelines took: detection, reaction, drain, exposure, replacement, retirement. The value is the longest that the bounds allow; castoff_phase_error_seconds says by how much it may be too long. A phase known no better than to a minute, nor to as much as it took at least, is left out.",
	}
	phaseError = Metric{
		"castoff_phase_error_seconds", Histogram, []string{"phase"},
		"The error of the phases of closed timelines: the longest less the shortest that the bounds allow. These hold for replies of AWS up to polling.reply_age older than their requests and for reports of health up to timelines.report_lag late.",
	}

	verdictsTotal = Metric{
		"castoff_verdicts_total", Counter, []string{"cluster", "service", "verdict", "reason"},
		"Verdicts about taking failing targets out: allow, hold or refuse, with the reason of the first guard that did not allow. Counted for each target when first given and when it changes, not once a pass; in observe mode too.",
	}
	detachmentsOpen = Metric{
		"castoff_detachments_open", Gauge, []string{"cluster", "service", "mode"},
		"Targets that castoff has taken out and that are not yet back or gone with their task; mode observe: would have taken out.",
	}
	oldestDetachment = Metric{
		"castoff_oldest_detachment_age_seconds", Gauge, []string{"cluster", "service"},
		"How long ago castoff decided to take out the target that has been out for longest; 0 when none is out. Of services in mode detach.",
	}
	detachCalls = Metric{
		"castoff_detach_calls_total", Counter, []string{"cluster", "service", "mode", "result"},
		"Targets that castoff called to be deregistered, by result: accepted, rejected, not_answered (it may have happened); mode observe: not_made.",
	}
	reattachCalls = Metric{
		"castoff_reattach_calls_total", Counter, []string{"cluster", "service", "result"},
		"Targets that castoff called to be registered again because their task is healthy, by result.",
	}
	contestedTotal = Metric{
		"castoff_contested_total", Counter, []string{"cluster", "service"},
		"Failing targets that castoff left alone because somebody, as ECS does, put them back too often.",
	}
	savedSeconds = Metric{
		"castoff_saved_seconds_total", Counter, []string{"cluster", "service", "mode"},
		"Time between castoff's call and the moment AWS stopped by itself, that is ECS began or the balancer called the target unhealthy, of detachments that ended and in which castoff came first; mode observe: from the moment castoff would have called. Left out where it is not known: a person stopped the task, or, in mode detach, the group's own check may have found the failure. The shortest that the bounds allow. The net is this less castoff_lost_seconds_total.",
	}
	lostSeconds = Metric{
		"castoff_lost_seconds_total", Counter, []string{"cluster", "service", "mode"},
		"The same of detachments in which castoff came, or may have come, later than that: the most that the bounds allow.",
	}
	savedError = Metric{
		"castoff_saved_error_seconds_total", Counter, []string{"cluster", "service", "mode"},
		"The error of both: the net saved time is at least castoff_saved_seconds_total less castoff_lost_seconds_total, and at most this much more.",
	}
	limitGauge = Metric{
		"castoff_limit", Gauge, []string{"cluster", "service", "name"},
		"Limits in numbers: name budget, the tasks that may be out at a time (of the fleet: without cluster and service); name floor, the healthy targets that must stay in the service's group that has the fewest. 0: it makes no sense, or allows nothing.",
	}
	limitUsed = Metric{
		"castoff_limit_used", Gauge, []string{"cluster", "service", "name"},
		"What is held against castoff_limit: name budget, tasks that are out; name floor, healthy targets.",
	}
	guardLatched = Metric{
		"castoff_guard_latched", Gauge, []string{"guard", "cluster", "service"},
		"1 while a guard keeps all acting on the service shut, after too many failed at once and until the cooldown is over (of the fleet: without cluster and service).",
	}
	pausedNow = Metric{
		"castoff_paused", Gauge, []string{"scope"},
		"Pauses in force, by what they stop: all, cluster, service.",
	}
	actingHalted = Metric{
		"castoff_acting_halted", Gauge, []string{"cause"},
		"1 while castoff does not act because of a fault of its own: panic (until it is restarted), journal (cannot be written). It goes on observing.",
	}

	notificationsTotal = Metric{
		"castoff_notifications_total", Counter, []string{"receiver", "event", "result"},
		"Notifications by the receiver's name and what they are about: sent, failed (refused, or not taken within 15 minutes), dropped (100 were waiting already, or castoff stopped). Absent without receivers.",
	}
	notificationsQueued = Metric{
		"castoff_notifications_queued", Gauge, []string{"receiver"},
		"Notifications that wait for the receiver, the one that is being sent included.",
	}
	notificationsSkipped = Metric{
		"castoff_notifications_skipped_passes_total", Counter, nil,
		"Passes that were left out because telling people was too far behind: what began and was over in them is told to nobody. Absent without receivers.",
	}
)

// Catalogue lists every metric that castoff has, in the order in which people
// want to read them.
func Catalogue() []Metric {
	return []Metric{
		exposedTargets, exposureSeconds,
		timelinesOpen, timelinesTotal, phaseSeconds, phaseError,
		verdictsTotal, detachmentsOpen, oldestDetachment, detachCalls, reattachCalls, contestedTotal,
		savedSeconds, lostSeconds, savedError,
		limitGauge, limitUsed, guardLatched, pausedNow, actingHalted,
		notificationsTotal, notificationsQueued, notificationsSkipped,
		tasks, targets,
		snapshotAge, snapshotGaps,
		passesTotal, passDuration, lastPass, recording,
		awsRequests, awsRequestDuration, awsBudget, awsPacingWait,
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
