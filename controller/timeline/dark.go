package timeline

import (
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Darkness is a time in which the agent of a task was, or may have been, cut off from ECS: the task's
// health stayed what it last was, and what happened meanwhile came to ECS when the
// agent was back. Only castoff knows when that began: ECS has a timestamp for the
// return alone (connectivityAt).
type Darkness struct {
	// Since is the earliest instant of the last reading before it; zero when there was none.
	Since time.Time
	// Well: that reading showed every check passing.
	Well bool
	// Until is when the first reading after it was received; zero while it lasts.
	Until time.Time `json:",omitzero"`
}

// skew is how far castoff's clock and AWS's are taken to be apart at most where the
// one is compared with the other. AWS takes no request that is five minutes off; a
// machine that keeps its time is well within one.
const skew = time.Minute

// watchAgent takes note of a new reading of a task whose agent is cut off, or has
// just come back. One that is seen for the first time may have.
func (t *Tracker) watchAgent(s *fleet.Snapshot, was, is *fleet.Task) {
	d, dark := t.dark[is.ARN]
	switch {
	case is.Connectivity == fleet.Disconnected:
		if !dark {
			d = t.lastHeard(s, was, is)
		}
		d.Until = time.Time{}
		t.dark[is.ARN] = d
	case t.wasAway(was, is):
		if !dark {
			d = t.lastHeard(s, was, is)
		}
		d.Until = is.Read.Received
		t.dark[is.ARN] = d
	case !dark && was == nil && !t.calm.knew(is):
		t.dark[is.ARN] = Darkness{Until: backBy(is)}
	case !dark:
	case d.Until.IsZero():
		d.Until = is.Read.Received
		t.dark[is.ARN] = d
	case t.awaitsOnset(is.ARN): // and will be reasoned from what was known then
	case was != nil && !was.Read.Earliest().Before(d.Until.Add(max(t.settings.ReportLag, t.settings.ExitLag))):
		delete(t.dark, is.ARN) // all that there was to tell has been told
	}
}

// backBy is by when the agent of a task that is seen for the first time, and is
// connected, was surely back, if it was away: AWS has a timestamp for that.
func backBy(is *fleet.Task) time.Time {
	if back := is.ConnectedAt.Add(skew); !is.ConnectedAt.IsZero() && back.Before(is.Read.Received) {
		return back
	}
	return is.Read.Received
}

// lastHeard is the beginning of a time in which a task's agent was cut off: after the
// reading before it, unless that was kept by a castoff that did not note whose agent
// was cut off already.
func (t *Tracker) lastHeard(s *fleet.Snapshot, was, is *fleet.Task) (d Darkness) {
	if was == nil && t.undarkened {
		return d
	}
	d.Since = t.before(was, is).Earliest()
	if was != nil {
		_, d.Well = was.Checks(s.Definitions[was.Definition])
	}
	return d
}

// awaitsOnset reports that the task is failing and that it is not known yet since
// when: its definition may have to be read first.
func (t *Tracker) awaitsOnset(task fleet.TaskARN) bool {
	f := t.failure(task)
	return f != nil && f.live() && !f.known(Onset)
}

// wasAway reports that the agent of a task was cut off and came back between two
// readings, neither of which shows it.
func (t *Tracker) wasAway(was, is *fleet.Task) bool {
	switch {
	case is.ConnectedAt.IsZero():
		return false
	case was != nil:
		return !was.ConnectedAt.IsZero() && !was.ConnectedAt.Equal(is.ConnectedAt)
	default:
		return t.calm.knew(is) && is.ConnectedAt.After(t.calm.Tasks.Add(-skew))
	}
}

// heard is the last reading that would have told of what happened to a task before
// it, when the one that may be as early as an instant did not: that one, unless the task's
// agent was cut off then, or had what takes up to lag to report. Zero: none.
func (t *Tracker) heard(task fleet.TaskARN, earliest time.Time, lag time.Duration) time.Time {
	d, dark := t.dark[task]
	if dark && d.Since.Before(earliest) && (d.Until.IsZero() || earliest.Before(d.Until.Add(lag))) {
		return d.Since
	}
	return earliest
}
