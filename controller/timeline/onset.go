package timeline

import (
	"fmt"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// A check that passes, one that is hung, or one that is refused at once: each
// takes between nothing and its timeout. Checks follow one another by an
// interval from the end of one to the start of the next. So if the last of
// `failures` consecutive failures ended at u, the first of them ended at the
// latest (failures − 1) × interval before u, and the last success began at the
// earliest failures × (interval + timeout) + timeout before u. The app stopped
// answering in between.
type checkRun struct {
	failures          int
	interval, timeout time.Duration
}

// onset reasons back from the instant at which a check's verdict could be read.
// The verdict took up to lag to get there.
func (c checkRun) onset(verdict Bounds, lag time.Duration) Bounds {
	n := time.Duration(max(1, c.failures))
	b := Bounds{NotAfter: verdict.NotAfter.Add(-(n - 1) * c.interval)}
	if !verdict.Open() {
		b.NotBefore = verdict.NotBefore.Add(-n*(c.interval+c.timeout) - c.timeout - lag)
	}
	return b
}

func (c checkRun) String() string {
	return fmt.Sprintf("%d × (%s + %s)", c.failures, c.interval.Round(time.Millisecond), c.timeout.Round(time.Millisecond))
}

// unpublished is what is taken for a check whose settings nobody tells: of a container
// that ECS added, or of one that fails without a check in its definition. ECS fills in
// the same where a definition leaves them out.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
var unpublished = fleet.HealthCheck{Interval: 30 * time.Second, Timeout: 5 * time.Second, Retries: 3}

// suspected is what is known of the run of checks by which a suspect failed, and how
// many of them failed at least.
func suspected(s fleet.Suspect) (run checkRun, least int, evidence string) {
	check, said := s.Check, ": "
	if check != nil {
		least = check.Retries
	} else {
		check = &unpublished
		said = ", which its task definition does not have: taken for no slower than "
		if !s.Defined {
			said = " (" + fleet.Addition(s.Name) + "), of which ECS tells no settings: taken for no slower than "
		}
	}
	run = checkRun{failures: check.Retries, interval: check.Interval, timeout: check.Timeout}
	return run, least, s.Name + "'s health check" + said + run.String()
}

// containerOnset estimates when the app stopped answering from the checks of the
// containers that may have made ECS call the task UNHEALTHY, and names the likeliest.
// With several, it cannot be told which was first: the bounds hold for each.
// wasHealthy says that the task had passed its checks before; a task that never did
// may have failed since it was created.
func containerOnset(task *fleet.Task, def *fleet.TaskDefinition, unhealthy Bounds, wasHealthy bool, lag time.Duration) (m Milestone, by fleet.Suspect, ok bool) {
	for _, s := range task.Suspects(def) {
		run, least, evidence := suspected(s)
		b := run.onset(unhealthy, lag)
		run.failures = least
		b.NotAfter = run.onset(unhealthy, lag).NotAfter
		if !ok {
			m = Milestone{Kind: Onset, Bounds: b, Source: Estimated, By: ByApp, Evidence: evidence}
			by, ok = s, true
			continue
		}
		if b.NotBefore.Before(m.NotBefore) {
			m.NotBefore = b.NotBefore
		}
		if b.NotAfter.After(m.NotAfter) {
			m.NotAfter = b.NotAfter
		}
		m.Evidence += ", or " + evidence
	}
	if ok {
		m.Bounds = afterCreation(m.Bounds, task, wasHealthy)
	}
	return m, by, ok
}

// targetOnset estimates when the app stopped answering from the group's check.
// NLB runs more checks than configured and notices some failures by itself, so
// the verdict may have come at once: there is no better upper bound than it.
func targetOnset(task *fleet.Task, g *fleet.TargetGroup, verdict Bounds, wasHealthy bool, lag time.Duration) Milestone {
	m := Milestone{Kind: Onset, Bounds: verdict, Source: Estimated, By: ByApp}
	if g != nil && g.Check.Interval > 0 {
		run := checkRun{failures: g.Check.UnhealthyThreshold, interval: g.Check.Interval, timeout: g.Check.Timeout}
		m.NotBefore = run.onset(verdict, lag).NotBefore
		m.Evidence = g.Name + "'s check: " + run.String()
	} else {
		m.NotBefore = time.Time{}
		m.Evidence = "the target group's check is not known"
	}
	m.Bounds = afterCreation(m.Bounds, task, wasHealthy)
	return m
}

// afterCreation is the lower bound that always holds: no task fails before it
// is created.
func afterCreation(b Bounds, task *fleet.Task, wasHealthy bool) Bounds {
	if task.Created.IsZero() || task.Created.After(b.NotAfter) {
		return b
	}
	if !wasHealthy || b.NotBefore.Before(task.Created) {
		b.NotBefore = task.Created
	}
	return b
}

// exitOnset bounds the end of an essential container: after the last read that
// showed the task up, less what the news may have needed, and before the first
// sign of its stop.
func exitOnset(before fleet.Read, is *fleet.Task, lag time.Duration) Milestone {
	before.Behind += lag
	b := since(before, is.Read, is.Created)
	for _, at := range []time.Time{upTo(is.ExecutionStopped), is.StoppingAt, is.StoppedAt} {
		if !at.IsZero() && at.Before(b.NotAfter) && !at.Before(b.NotBefore) {
			b.NotAfter = at
		}
	}
	m := Milestone{Kind: Onset, Bounds: b, Source: Observed, By: ByApp, Evidence: "an essential container ended by itself"}
	if is.NeverStarted() {
		m.By, m.Evidence = ByECS, notStarted(is)
	}
	return m
}

// notStarted says which containers of a task that did not come up were started.
func notStarted(task *fleet.Task) string {
	for i := range task.Containers {
		if task.Containers[i].ExitCode != nil {
			return "the task did not start: not all of its containers did"
		}
	}
	return "the task did not start: no container was started"
}

// upTo is the latest instant that an AWS timestamp may stand for:
// executionStoppedAt is often cut to whole seconds.
func upTo(t time.Time) time.Time {
	if !t.IsZero() && t.Nanosecond() == 0 {
		return t.Add(time.Second)
	}
	return t
}
