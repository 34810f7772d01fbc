package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Progress is where a detachment stands.
type Progress string

// The steps. All but Closed count as out.
const (
	Out       Progress = "out"       // taken out, or about to be
	Attaching Progress = "attaching" // told to go back, not seen back yet
	Closed    Progress = "closed"
)

// Outcome is how a detachment ended; empty while it has not.
type Outcome string

// The outcomes.
const (
	Stopped   Outcome = "stopped"   // the task has stopped
	Recovered Outcome = "recovered" // the task is healthy and its target back, whoever registered it
	Lost      Outcome = "lost"      // castoff no longer sees the task's cluster
)

// Outcomes lists every outcome.
var Outcomes = []Outcome{Stopped, Recovered, Lost}

// Result is what became of a call.
type Result string

// The results.
const (
	Accepted    Result = "accepted"
	Rejected    Result = "rejected"     // nothing happened: denied, throttled, refused
	NotAnswered Result = "not_answered" // it may have happened
	NotMade     Result = "not_made"     // no request has left
)

// Results lists every result of a call that was made.
var Results = []Result{Accepted, Rejected, NotAnswered}

// Bounds hold an instant: it was not before the one and not after the other. A
// zero NotAfter stands for an instant that has not come.
type Bounds struct {
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

// Detachment is a target that castoff took out, or in observe mode would have.
// It is written before the call and kept until the task has stopped or is back.
// It is plain data for JSON.
type Detachment struct {
	Target  fleet.TargetKey  `json:"target"`
	Task    fleet.TaskARN    `json:"task"`
	Started time.Time        `json:"started"` // the task's startedAt
	Service fleet.ServiceID  `json:"service"`
	Cluster fleet.ClusterARN `json:"cluster"`
	Zone    string           `json:"zone,omitempty"` // the row's, to register it again with; may be empty
	Mode    Mode             `json:"mode"`

	Decided time.Time `json:"decided"`
	// Called is when the last call that took it out, or may have, was sent; zero
	// before the first, and in observe mode.
	Called time.Time `json:"called,omitzero"`
	// Answered is when that call was over, whatever came of it: until then it may have
	// taken effect at any time. Zero while it is under way, and where castoff was ended
	// meanwhile.
	Answered time.Time `json:"answered,omitzero"`
	Result   Result    `json:"result,omitempty"` // of that call, or of those before the first
	// Tries counts the calls that took the target out, or may have.
	Tries int `json:"tries,omitempty"`
	// Rejected counts the calls in a row that certainly changed nothing, the last
	// of them sent at RejectedAt; see retry.
	Rejected   int       `json:"rejected,omitempty"`
	RejectedAt time.Time `json:"rejected_at,omitzero"`
	// Back is when the target was seen in the group again after Called.
	Back *Bounds `json:"back,omitempty"`
	// Away is the latest reading that did not have it in the group, by its earliest
	// instant.
	Away time.Time `json:"away,omitzero"`
	// Serving is when it was seen in service again after Called: until then a
	// target that was put back gets no new flows. While the reading may be from before
	// the call took effect it has no NotAfter.
	Serving *Bounds `json:"serving,omitempty"`
	// Idle is the latest reading that did not have it in service, by its earliest
	// instant.
	Idle time.Time `json:"idle,omitzero"`
	// Banked is the time saved before the last call, when there was one before it.
	Banked Saved `json:"banked,omitzero"`

	// MaySee: the group's own check may see the failure, so that the balancer might have
	// stopped by itself. Passed: it was seen to pass while the task failed.
	MaySee bool `json:"may_see,omitempty"`
	Passed bool `json:"passed,omitempty"`
	// Ceased is, in observe mode, when the balancer stopped sending the target new flows
	// without castoff, and Fine the latest reading in which it still did, by when it was
	// sent.
	Ceased *Bounds   `json:"ceased,omitempty"`
	Fine   time.Time `json:"fine,omitzero"`
	// Person: somebody stopped the task, not ECS.
	Person bool `json:"person,omitempty"`

	// Up is the latest reading that showed the task not being taken down, by its
	// earliest instant.
	Up time.Time `json:"up,omitzero"`
	// ECS is when ECS itself began to take the task down.
	ECS *Bounds `json:"ecs,omitempty"`

	// Attached is when the last call to put it back was sent.
	Attached     time.Time `json:"attached,omitzero"`
	AttachResult Result    `json:"attach_result,omitempty"`

	// Rewound: the clock was set back since some of this was noted.
	Rewound bool `json:"rewound,omitempty"`

	Seen     time.Time `json:"seen"` // when the task was last in a snapshot
	Progress Progress  `json:"progress"`
	Outcome  Outcome   `json:"outcome,omitempty"`
	Ended    time.Time `json:"ended,omitzero"`
}

// Saved is how long a target was out thanks to castoff before AWS had stopped sending it
// new flows by itself, within bounds: before ECS began to take its task down, or the
// balancer called it unhealthy. Castoff being later counts as negative.
type Saved struct {
	Shortest time.Duration `json:"shortest"`
	Longest  time.Duration `json:"longest"`
}

// Open reports that the target counts as out.
func (d *Detachment) Open() bool { return d.Progress != Closed }

// Compare orders by target, then task, then mode.
func (d *Detachment) Compare(other *Detachment) int {
	return cmp.Or(d.Target.Compare(other.Target), cmp.Compare(d.Task, other.Task), cmp.Compare(d.Mode, other.Mode))
}

// of reports that the detachment is of this task, and not of one that had the
// address before.
func (d *Detachment) of(task fleet.TaskARN, started time.Time) bool {
	return d.Task == task && d.Started.Equal(started)
}

// settled is the instant after which readings show what came of the last call. Of one
// that castoff was ended in nobody knows when it was over.
func (d *Detachment) settled() time.Time {
	switch {
	case d.Called.IsZero():
		return time.Time{}
	case d.Answered.IsZero():
		return d.Called.Add(fleet.CallLasts)
	case d.Answered.After(d.Called):
		return d.Answered
	}
	return d.Called
}

// due reports that a call was granted and has certainly not happened: it may be
// made, or made again, at no further cost.
func (d *Detachment) due() bool { return d.Mode == Detaching && d.Called.IsZero() }

// Out reports that the target counts as out for the budgets. One that AWS did not
// let go, or was not asked to, is not: groups that castoff may not change must not
// use up what others may lose. It is asked for again when it may go.
func (d *Detachment) Out() bool { return d.Open() && !(d.due() && d.Result != "") }

// Detachment is the record to write before an allowed verdict is carried out:
// the open one of the same target and task, if there is one among them, else a
// new one. That earlier calls were rejected says nothing of the next.
func (v *Verdict) Detachment(cluster fleet.ClusterARN, among []Detachment) Detachment {
	if d := find(among, v.Target, v.Task, v.Started, v.Mode); d != nil {
		again := *d
		if v.Action == Detach && again.due() {
			again.Result = ""
		}
		return again
	}
	return Detachment{
		Target: v.Target, Task: v.Task, Started: v.Started, Service: v.Service, Cluster: cluster, Zone: v.Zone,
		Mode: v.Mode, Decided: plain(v.At), Up: v.Read, Seen: plain(v.At), Progress: Out, MaySee: v.MaySee,
	}
}

// Calling notes a call to take the target out that is about to be sent: until its
// outcome is known nobody can say that it has not happened.
func (d Detachment) Calling(sent time.Time) Detachment {
	return d.Call(sent, time.Time{}, NotAnswered)
}

// Call notes a call to take the target out, from when it was sent to when it was
// over, and its result.
func (d Detachment) Call(sent, over time.Time, r Result) Detachment {
	sent = plain(sent)
	if !over.IsZero() {
		over = plain(over)
	}
	d.note(sent, r)
	if r == Rejected {
		if d.Called.IsZero() {
			d.Result = r
		}
		return d
	}
	if s := d.Serving; s != nil && s.NotAfter.IsZero() {
		d.Banked = d.until(Bounds{s.NotBefore, sent})
	} else if s != nil {
		d.Banked = d.until(*s)
	} else if !d.Called.IsZero() {
		d.Banked = d.until(Bounds{sent, sent})
	}
	d.Back, d.Serving = nil, nil
	d.Called, d.Answered, d.Result, d.Progress = sent, over, r, Out
	d.Attached, d.AttachResult = time.Time{}, ""
	d.Tries++
	return d
}

// Unmade notes that the call which was written down was not made.
func (d Detachment) Unmade() Detachment {
	if d.due() {
		d.Result = NotMade
	}
	return d
}

// Attach notes a call to put the target back that was sent at an instant and
// its result.
func (d Detachment) Attach(sent time.Time, r Result) Detachment {
	d.note(sent, r)
	d.Attached, d.AttachResult = plain(sent), r
	if r != Rejected {
		d.Progress = Attaching
	}
	return d
}

// note counts calls that changed nothing.
func (d *Detachment) note(sent time.Time, r Result) {
	if r != Rejected {
		d.Rejected, d.RejectedAt = 0, time.Time{}
		return
	}
	d.Rejected++
	d.RejectedAt = plain(sent)
}

// retry is when a call may be made again after some that changed nothing: what
// AWS denies or throttles is not asked every pass, and what was a short fault is
// soon. Zero: at once. A clock that was set back since must not stretch it.
func (d *Detachment) retry(now time.Time) time.Time {
	if d.Rejected == 0 || d.RejectedAt.After(now) {
		return time.Time{}
	}
	return d.RejectedAt.Add(min(retryFirst<<min(d.Rejected-1, 10), retryMost))
}

// refused is the sentence about it.
func (d *Detachment) refused(next time.Time) string {
	return fmt.Sprintf("AWS refused the call %s in a row: again at %s", times(d.Rejected), clock(next))
}

// The time between calls that change nothing: it doubles from the first to the
// most.
const (
	retryFirst = 2 * time.Second
	retryMost  = time.Minute
)

// from is the instant from which time is saved; zero when nothing was done.
func (d *Detachment) from() time.Time {
	if d.Mode != Detaching {
		return d.Decided
	}
	return d.Called
}

// until is what was saved up to an instant.
func (d *Detachment) until(end Bounds) Saved {
	from := d.from()
	return Saved{
		Shortest: d.Banked.Shortest + end.NotBefore.Sub(from),
		Longest:  d.Banked.Longest + end.NotAfter.Sub(from),
	}
}

// Saved is the time saved. It is known once AWS has begun by itself: ECS to take the
// task down or, in observe mode, the balancer to call the target unhealthy. While the
// target was in service again, none was saved. See Unknown for when it is not known.
func (d *Detachment) Saved() (s Saved, ok bool) {
	end, why := d.ends()
	if why != "" {
		return Saved{}, false
	}
	if d.Serving != nil && !d.Serving.NotAfter.IsZero() && d.Serving.NotAfter.Before(end.NotBefore) {
		return d.until(*d.Serving), true
	}
	if d.Serving != nil && d.Serving.NotBefore.Before(end.NotBefore) {
		return d.until(Bounds{NotBefore: d.Serving.NotBefore, NotAfter: end.NotAfter}), true
	}
	return d.until(end), true
}

// Unknown says why the time saved is not known; empty when it is.
func (d *Detachment) Unknown() string {
	_, why := d.ends()
	return why
}

// ends is when AWS began by itself, or why nobody knows.
func (d *Detachment) ends() (end Bounds, why string) {
	switch {
	case d.from().IsZero():
		return end, "nothing: no call has taken it out"
	case d.Rewound:
		return end, "not known: the clock was set back"
	case d.ECS == nil && d.Open():
		return end, "not known: ECS has not begun by itself"
	case d.ECS == nil:
		return end, "not known: ECS never began by itself"
	case d.Ceased != nil && d.Ceased.NotAfter.Before(d.ECS.NotBefore):
		return *d.Ceased, ""
	case d.Person:
		return end, "not known: a person stopped the task, not ECS"
	case d.Mode == Detaching && d.MaySee && !d.Passed:
		return end, "not known: the target group's own check may have found the failure too"
	}
	end = *d.ECS
	if d.Ceased != nil && d.Ceased.NotBefore.Before(end.NotBefore) {
		end.NotBefore = d.Ceased.NotBefore
	}
	if d.Ceased != nil && d.Ceased.NotAfter.Before(end.NotAfter) {
		end.NotAfter = d.Ceased.NotAfter
	}
	return end, ""
}

// PutBackBy is who put a target back that castoff took out: castoff itself, where it was
// not seen back before castoff told it to go, or somebody else.
func (d *Detachment) PutBackBy() string {
	told := !d.Attached.IsZero() && d.AttachResult != Rejected
	if told && (d.Back.NotAfter.IsZero() || !d.Back.NotAfter.Before(d.Attached)) {
		return "castoff"
	}
	return "somebody"
}

// find is the open detachment of a target, its task and a mode; nil when there
// is none.
func find(ds []Detachment, key fleet.TargetKey, task fleet.TaskARN, started time.Time, mode Mode) *Detachment {
	i := slices.IndexFunc(ds, func(d Detachment) bool {
		return d.Open() && d.Target == key && d.of(task, started) && d.Mode == mode
	})
	if i < 0 {
		return nil
	}
	return &ds[i]
}

// plain is an instant that survives JSON: in UTC, without a monotonic reading.
func plain(t time.Time) time.Time { return t.Round(0).UTC() }
