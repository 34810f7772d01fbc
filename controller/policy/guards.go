package policy

import (
	"slices"
	"strings"
)

// Guard names a guard.
type Guard string

// The guards.
const (
	Paused     Guard = "paused"     // nobody stopped acting: a person, a fault of castoff's own, AWS
	Stale      Guard = "stale"      // the evidence is whole and fresh
	Startup    Guard = "startup"    // castoff has watched for long enough since it started
	Identity   Guard = "identity"   // the task owns the address, and runs
	Trigger    Guard = "trigger"    // a container's health check found the task failing
	Grace      Guard = "grace"      // the task had its time to start
	Confirm    Guard = "confirm"    // seen failing often and long enough
	NoGain     Guard = "no_gain"    // the balancer still sends it new flows
	Deployment Guard = "deployment" // none is going on
	Floor      Guard = "floor"      // enough healthy targets stay
	Zone       Guard = "zone"       // and in the zone, where zones do not share
	Correlated Guard = "correlated" // not too many fail at once
	Budget     Guard = "budget"     // not too many are out
	Rate       Guard = "rate"       // not too many in a short time
	Futile     Guard = "futile"     // replacements do better
	Contested  Guard = "contested"  // nobody keeps putting it back
	Recovery   Guard = "recovery"   // for Attach alone: healthy for long enough
)

// guard is a guard with all that goes with it. A new one is a line in a table here, its
// name and its function: metrics, the API and the pages take what they need of it.
type guard struct {
	name Guard
	ask  func(*question) Finding
	// limits are the settings that it answers for, by their first word. Every one has a
	// guard, so that none can be invalid and act.
	limits string
	// holds and refuses are its reasons, beside OK and InvalidLimit.
	holds, refuses []Reason
	// together: all of a task's rows in the group must pass it, since they go together.
	together bool
}

// detaching are the guards of Detach, in the order in which they decide.
var detaching = []guard{
	{name: Paused, ask: (*question).paused, limits: "mode",
		holds: []Reason{PausedNow, Denied}, refuses: []Reason{PausedNow, PauseUnreadable, Halted}},
	{name: Stale, ask: (*question).stale, limits: "stale",
		holds: []Reason{Gap, Old, Unseen, ClockBack, NotReadAgain}},
	{name: Startup, ask: (*question).startup, limits: "startup",
		holds: []Reason{StartupWindow}},
	{name: Identity, ask: (*question).identity, together: true,
		holds: []Reason{NotRunning, Missing, AddressShared}, refuses: []Reason{NotRunning, Leaving, Restarted, NotOwner, ServerID}},
	{name: Trigger, ask: (*question).trigger,
		holds: []Reason{Disconnected, DefinitionUnknown}, refuses: []Reason{NotUnhealthy, TargetCheckOnly, NoFailedCheck}},
	{name: Grace, ask: (*question).grace,
		holds: []Reason{StartingUp, NotStarted}},
	{name: Confirm, ask: (*question).confirm, limits: "confirm",
		holds: []Reason{Unconfirmed}},
	{name: NoGain, ask: (*question).noGain,
		holds: []Reason{NotServing, ZonalShift}, refuses: []Reason{AlreadyUnhealthy, AlreadyDraining, AlreadyGone, AlreadyOut, NotServing}},
	{name: Deployment, ask: (*question).deployment,
		holds: []Reason{RollingOut, RolloutUnknown}},
	{name: Floor, ask: (*question).floor, limits: "floor",
		holds: []Reason{BelowFloor, LastHealthy, GroupThreshold, SettingsUnknown}},
	{name: Zone, ask: (*question).zone, together: true,
		holds: []Reason{LastInZone, ZoneThreshold, ZoneUnknown, SettingsUnknown}},
	{name: Correlated, ask: (*question).correlated, limits: "correlated",
		holds: []Reason{ManyTasks, ManyServices}},
	{name: Budget, ask: (*question).budget, limits: "budget",
		holds: []Reason{ServiceBudget, GroupBudget, FleetBudget}},
	{name: Rate, ask: (*question).rate, limits: "rate",
		holds: []Reason{ServiceRate, FleetRate}, refuses: []Reason{NotGranted}},
	{name: Futile, ask: (*question).futile, limits: "futile",
		holds: []Reason{ReplacementsFail}},
	{name: Contested, ask: (*question).contested, limits: "contested recovery", together: true,
		holds: []Reason{Spaced, Unanswered}, refuses: []Reason{GaveUp}},
}

// attaching are those of Attach.
var attaching = []guard{
	{name: Recovery, ask: (*question).recovered,
		holds: []Reason{StillFailing, Recovering, Unanswered, Spaced}},
	{name: Identity, ask: (*question).mayAttach,
		holds: []Reason{NotRunning, Missing, AddressShared, ClockBack, Old, NotReadAgain}, refuses: []Reason{NotRunning, Leaving, Restarted, NotOwner, ServerID}},
	{name: Paused, ask: (*question).keptOut,
		holds: []Reason{PausedNow}, refuses: []Reason{PausedNow, PauseUnreadable}},
}

// Guards lists the guards of Detach in the order in which they decide.
var Guards = names(detaching)

// AttachGuards lists those of Attach.
var AttachGuards = names(attaching)

func names(guards []guard) (all []Guard) {
	for _, g := range guards {
		all = append(all, g.name)
	}
	return all
}

// reasons are those that a guard has for a decision.
func (g *guard) reasons(d Decision) []Reason {
	switch d {
	case Hold:
		return g.holds
	case Refuse:
		return append([]Reason{InvalidLimit}, g.refuses...)
	default:
		return []Reason{OK}
	}
}

// Reasons are those that a verdict about an action can have with a decision, each once.
func Reasons(a Action, d Decision) (all []Reason) {
	guards := detaching
	if a == Attach {
		guards = attaching
	}
	for i := range guards {
		for _, r := range guards[i].reasons(d) {
			if !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
	}
	return all
}

// AllReasons lists every reason once, for whoever must know them all beforehand.
func AllReasons() []Reason {
	all := []Reason{OK, InvalidLimit}
	for _, g := range slices.Concat(detaching, attaching) {
		for _, r := range slices.Concat(g.holds, g.refuses) {
			if !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
	}
	return all
}

// invalid is a guard's answer when a limit of its own makes no sense.
func (g *guard) invalid(found []Problem, where string) (Finding, bool) {
	for _, p := range found {
		if top, _, _ := strings.Cut(p.Path, "."); slices.Contains(strings.Fields(g.limits), top) {
			return refuse(InvalidLimit, "a limit "+where+" makes no sense and allows nothing: "+p.String()), true
		}
	}
	return Finding{}, false
}

// sound reports that no limit of a guard of Detach makes no sense.
func sound(name Guard, found []Problem) bool {
	_, bad := detaching[slices.Index(Guards, name)].invalid(found, "")
	return !bad
}
