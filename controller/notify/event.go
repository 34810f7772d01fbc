package notify

import (
	"slices"

	"github.com/castoff-ecs/castoff/controller/policy"
)

// Event is what a notification is about.
type Event string

// The events.
const (
	// Exposed: ECS has called a task UNHEALTHY for longer than the receiver's
	// limit while its balancer called the target healthy.
	Exposed   Event = "exposed"
	Unexposed Event = "unexposed" // that is over

	Detached  Event = "detached"  // castoff took a target out: once for all its tries
	Stopped   Event = "stopped"   // its task has stopped
	Attached  Event = "attached"  // its task is healthy and the target back
	Lost      Event = "lost"      // castoff no longer sees it: nobody here will put it back
	Contested Event = "contested" // somebody kept putting it back, and castoff left it alone
	Denied    Event = "denied"    // AWS does not let castoff take it out, or put it back

	Latched   Event = "latched" // too many failed at once: a guard keeps all acting shut
	Unlatched Event = "unlatched"
	Paused    Event = "paused" // by a person
	Unpaused  Event = "unpaused"
	Halted    Event = "halted" // a fault of castoff's own stops all detaching
	Unhalted  Event = "unhalted"

	// WouldDetach: in mode observe, castoff would have taken a target out. Nothing
	// was done, so it is no Detached.
	WouldDetach Event = "would_detach"

	// Test is sent when somebody asks for it. No receiver can leave it out.
	Test Event = "test"
)

// Events lists those that a receiver may choose from.
var Events = []Event{
	Exposed, Unexposed, Detached, Stopped, Attached, Lost, Contested, Denied,
	Latched, Unlatched, Paused, Unpaused, Halted, Unhalted, WouldDetach,
}

// DefaultEvents are those that a receiver gets that does not choose: all that
// happen, and not what only would have.
func DefaultEvents() []Event {
	return slices.DeleteFunc(slices.Clone(Events), func(e Event) bool { return e == WouldDetach })
}

// end is the event that tells that a fact told as e is over; empty when nobody
// is to be told so. How a detachment ended says outcome.
func (e Event) end(outcome policy.Outcome) Event {
	switch e {
	case Exposed:
		return Unexposed
	case Latched:
		return Unlatched
	case Paused:
		return Unpaused
	case Halted:
		return Unhalted
	case Detached:
		switch outcome {
		case policy.Stopped:
			return Stopped
		case policy.Recovered:
			return Attached
		case policy.Lost:
			return Lost
		}
	}
	return ""
}
