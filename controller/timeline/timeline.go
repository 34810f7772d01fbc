package timeline

import (
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// ID names a timeline for good: the task's id and the instant at which castoff
// first saw it fail, so that the same snapshots give the same ID.
type ID string

const idTime = "20060102T150405Z"

func newID(task fleet.TaskARN, opened time.Time) ID {
	return ID(task.ID() + "-" + opened.UTC().Format(idTime))
}

// WellFormed reports that there may be a timeline of this ID, now or once: that it
// has the form of one, as 1f0c2a57b1c24d6f8e1f6b7a9d3c5e01-20260301T120000Z has.
func (id ID) WellFormed() bool {
	i := strings.LastIndexByte(string(id), '-')
	if i <= 0 {
		return false
	}
	if _, err := time.Parse(idTime, string(id[i+1:])); err != nil {
		return false
	}
	return !strings.ContainsFunc(string(id[:i]), func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-'
	})
}

// Trigger is what first showed that the task fails.
type Trigger string

// The triggers.
const (
	// ContainerCheck: ECS called the task UNHEALTHY.
	ContainerCheck Trigger = "container_check"
	// TargetCheck: the balancer called the task's target unhealthy while the
	// container check did not fail.
	TargetCheck Trigger = "target_check"
	// Exit: an essential container ended by itself, or never started.
	Exit Trigger = "exit"
)

// Triggers lists every trigger.
var Triggers = []Trigger{ContainerCheck, TargetCheck, Exit}

// Outcome is how a timeline ended; empty while it has not.
type Outcome string

// The outcomes.
const (
	Retired    Outcome = "retired"    // stopped for this failure
	Recovered  Outcome = "recovered"  // healthy again for the whole recovery window
	Superseded Outcome = "superseded" // stopped for another reason: deployment, scale-in, a person
	Lost       Outcome = "lost"       // the evidence ran out
)

// Outcomes lists every outcome.
var Outcomes = []Outcome{Retired, Recovered, Superseded, Lost}

// Kind names a milestone.
type Kind string

// The milestones, in the order in which they are shown. Not every failure
// passes all of them, nor in this order.
const (
	Onset              Kind = "onset"               // the app stopped answering
	Unhealthy          Kind = "unhealthy"           // ECS says UNHEALTHY
	LBUnhealthy        Kind = "lb_unhealthy"        // the balancer says unhealthy, of the first of the task's targets seen so
	Recovery           Kind = "recovery"            // healthy again, for good as far as is known
	ReplacementCreated Kind = "replacement_created" // the replacement's createdAt
	ReplacementRunning Kind = "replacement_running" // the replacement's startedAt
	ReplacementServing Kind = "replacement_serving" // every target of the replacement is healthy, and its own checks pass
	Detach             Kind = "detach"              // deregistration has begun, of the last of the task's targets; one that is put back undoes it once it is healthy
	Detached           Kind = "detached"            // the last of the task's rows is gone or unused
	Stopping           Kind = "stopping"            // the containers are told to stop
	Stopped            Kind = "stopped"             // stoppedAt
)

// Kinds lists every milestone in the order in which they are shown.
var Kinds = []Kind{
	Onset, Unhealthy, LBUnhealthy, Recovery,
	ReplacementCreated, ReplacementRunning, ReplacementServing,
	Detach, Detached, Stopping, Stopped,
}

// Source says where a milestone's bounds come from.
type Source string

// The sources.
const (
	AWS       Source = "aws"       // a timestamp of AWS's: the bounds are equal, to the millisecond
	Observed  Source = "observed"  // between two reads
	Estimated Source = "estimated" // reasoned from settings: a health check's interval, timeout and retries
)

// Actor is who made a milestone happen.
type Actor string

// The actors.
const (
	ByApp     Actor = "app"
	ByECS     Actor = "ecs"
	ByELB     Actor = "elb"
	ByCastoff Actor = "castoff"
	ByOther   Actor = "other" // somebody else who may write: a person, another tool
)

// Bounds hold an instant: it was not before the one and not after the other. A
// zero NotBefore is no bound at all.
type Bounds struct {
	NotBefore time.Time
	NotAfter  time.Time
}

// At are the bounds of an instant that is known exactly.
func At(t time.Time) Bounds { return Bounds{NotBefore: t, NotAfter: t} }

// Exact reports that the bounds are equal.
func (b Bounds) Exact() bool { return b.NotBefore.Equal(b.NotAfter) }

// Open reports that nothing bounds the instant from below.
func (b Bounds) Open() bool { return b.NotBefore.IsZero() }

// Width is the error of the instant; negative when the bounds are Open.
func (b Bounds) Width() time.Duration {
	if b.Open() {
		return -1
	}
	return b.NotAfter.Sub(b.NotBefore)
}

// Contains reports whether t is within the bounds, both included.
func (b Bounds) Contains(t time.Time) bool {
	return !t.Before(b.NotBefore) && !t.After(b.NotAfter)
}

// Milestone is an instant in a task's failure, with bounds, because most of
// them are only seen between two reads.
type Milestone struct {
	Kind Kind
	Bounds
	Source Source
	By     Actor
	// Evidence is one line on what the bounds rest on, for people.
	Evidence string
}

// Target is what became of one row of the failing task. Milestones of the
// timeline are about all of them; this is each by itself.
type Target struct {
	Key        fleet.TargetKey
	Milestones []Milestone // LBUnhealthy, Detach, Detached: those that are known
	// Good are the times for which the balancer called the row healthy, in order.
	// There is more than one when somebody took it out and ECS put it back: then
	// Detach is the last time.
	Good []Span
}

// Span is a time with bounds at both ends. A zero From is since before the
// timeline was opened, a zero To not over yet.
type Span struct{ From, To Bounds }

// Timeline is the record of one failing task.
type Timeline struct {
	ID         ID
	Task       fleet.TaskARN
	Service    fleet.ServiceID
	Definition fleet.TaskDefinitionARN
	StartedBy  string
	Zone       string
	Trigger    Trigger
	Outcome    Outcome // empty while the task still fails
	// Opened is the snapshot that first showed the failure, Closed the one
	// after which nothing more was to come; zero while the timeline is open.
	Opened time.Time
	Closed time.Time

	Milestones []Milestone // those that are known, in the order of Kinds
	Targets    []Target    // sorted by key; none in a service without a balancer
	// Unread: a target group in which the task may have a row could not be read,
	// so what is said of its targets is not all, and exposure is not known.
	Unread bool
	// Gateway: a gateway of ECS's sends traffic to the task too, of which castoff sees
	// nothing, so that exposure is not known.
	Gateway bool `json:",omitempty"`

	// Replacement is the task that took this one's place. See the package
	// comment for how they are paired.
	Replacement fleet.TaskARN
	// ReplacementsFailed counts the replacements that failed before they served.
	ReplacementsFailed int
	// Flaps counts how often the task was healthy for a while and failed again.
	Flaps int

	// Container and Check are the container whose health check decided and that
	// check; Check is nil when the trigger was another.
	Container string
	Check     *fleet.HealthCheck

	StopCode      string // AWS's own, when the task has them
	StoppedReason string
}

// Milestone finds a milestone; ok is false while it is not known.
func (t *Timeline) Milestone(k Kind) (m Milestone, ok bool) {
	return find(t.Milestones, k)
}

// IsOpen reports that more is to come.
func (t *Timeline) IsOpen() bool { return t.Closed.IsZero() }

// Known is when the failure was first known to anyone in AWS: the milestone
// that most phases start from. It is the first of Unhealthy and LBUnhealthy, and
// for a container that ended by itself, Onset. Its bounds are those of the first
// of the two, whichever that was.
func (t *Timeline) Known() (m Milestone, ok bool) {
	m, ok = t.Milestone(Unhealthy)
	lb, lbok := t.Milestone(LBUnhealthy)
	switch {
	case ok && lbok:
		first := earlier(m.Bounds, lb.Bounds)
		if lb.NotAfter.Before(m.NotAfter) {
			m = lb
		}
		m.Bounds = first
		return m, true
	case lbok:
		return lb, true
	case !ok && t.Trigger == Exit:
		return t.Milestone(Onset)
	default:
		return m, ok
	}
}

// Clone copies the timeline so that neither copy's changes show in the other.
func (t *Timeline) Clone() *Timeline {
	c := *t
	c.Milestones = slices.Clone(t.Milestones)
	c.Targets = slices.Clone(t.Targets)
	for i := range c.Targets {
		c.Targets[i].Milestones, c.Targets[i].Good = slices.Clone(c.Targets[i].Milestones), slices.Clone(c.Targets[i].Good)
	}
	return &c
}

func find(ms []Milestone, k Kind) (Milestone, bool) {
	for _, m := range ms {
		if m.Kind == k {
			return m, true
		}
	}
	return Milestone{}, false
}

// set puts m in its place in the order of Kinds, over an earlier one of its
// kind.
func set(ms []Milestone, m Milestone) []Milestone {
	i, ok := slices.BinarySearchFunc(ms, m.Kind, func(e Milestone, k Kind) int {
		return slices.Index(Kinds, e.Kind) - slices.Index(Kinds, k)
	})
	if ok {
		ms[i] = m
		return ms
	}
	return slices.Insert(ms, i, m)
}

// drop takes a milestone out again.
func drop(ms []Milestone, k Kind) []Milestone {
	return slices.DeleteFunc(ms, func(m Milestone) bool { return m.Kind == k })
}
