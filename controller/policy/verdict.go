package policy

import (
	"strconv"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Action is what a verdict is about.
type Action string

// The actions.
const (
	Detach Action = "detach" // take the target out of its group
	Attach Action = "attach" // put back what castoff took out
)

// Decision is a guard's answer. Whatever is not Allow does not act.
type Decision string

// The decisions.
const (
	Allow  Decision = "allow"
	Hold   Decision = "hold"   // not now: it passes by itself, at Until if that is known
	Refuse Decision = "refuse" // not like this: something has to change first
)

// Decisions lists every decision.
var Decisions = []Decision{Allow, Hold, Refuse}

// Reason is a stable code for a guard's answer, fit for a metric label.
type Reason string

// The reasons. Each belongs to one guard, but for OK and InvalidLimit.
const (
	OK           Reason = "ok"
	InvalidLimit Reason = "invalid_limit" // the guard's own setting is missing or makes no sense

	PausedNow       Reason = "paused"
	PauseUnreadable Reason = "pause_unreadable" // a castoff:pause tag that cannot be read holds until it can
	Halted          Reason = "halted"           // a fault of castoff's own
	Denied          Reason = "denied"           // AWS does not allow the call

	Gap          Reason = "gap"            // part of what the decision rests on could not be read
	Old          Reason = "old"            // it was read too long ago
	Unseen       Reason = "unseen"         // it was never read
	ClockBack    Reason = "clock_back"     // it was read in the future: the clock was set back
	NotReadAgain Reason = "not_read_again" // Recheck was asked about the values that Decide had

	StartupWindow Reason = "startup_window"

	NotOwner      Reason = "not_owner"
	AddressShared Reason = "address_shared" // two tasks that have not stopped claim it
	NotRunning    Reason = "not_running"
	Leaving       Reason = "leaving" // ECS takes the task down by itself
	Missing       Reason = "missing" // ECS says MISSING
	Restarted     Reason = "restarted"
	ServerID      Reason = "server_id" // a QUIC target, which could not be put back

	NotUnhealthy      Reason = "not_unhealthy"
	TargetCheckOnly   Reason = "target_check_only" // only the balancer finds it failing
	Disconnected      Reason = "disconnected"      // the health is the agent's last word
	DefinitionUnknown Reason = "definition_unknown"
	NoFailedCheck     Reason = "no_failed_check" // no essential container's own check fails

	StartingUp Reason = "starting_up"
	NotStarted Reason = "not_started"

	Unconfirmed Reason = "unconfirmed"

	AlreadyUnhealthy Reason = "already_unhealthy"
	AlreadyDraining  Reason = "already_draining"
	AlreadyGone      Reason = "already_gone"
	AlreadyOut       Reason = "already_out" // in observe mode: it would have been taken out before
	NotServing       Reason = "not_serving" // initial, or in a state that gets no new flows
	ZonalShift       Reason = "zonal_shift" // AWS sends it nothing for now
	RollingOut       Reason = "rolling_out" // a deployment or a task set is not done
	RolloutUnknown   Reason = "rollout_unknown"
	BelowFloor       Reason = "below_floor"
	LastHealthy      Reason = "last_healthy"
	GroupThreshold   Reason = "group_threshold"
	SettingsUnknown  Reason = "settings_unknown" // the group's attributes were not read, or not understood
	LastInZone       Reason = "last_in_zone"
	ZoneThreshold    Reason = "zone_threshold"
	ZoneUnknown      Reason = "zone_unknown"
	ManyTasks        Reason = "many_tasks"
	ManyServices     Reason = "many_services"
	ServiceBudget    Reason = "service_budget"
	GroupBudget      Reason = "group_budget"
	FleetBudget      Reason = "fleet_budget"
	ServiceRate      Reason = "service_rate"
	FleetRate        Reason = "fleet_rate"
	NotGranted       Reason = "not_granted" // Recheck of what Decide did not allow
	ReplacementsFail Reason = "replacements_fail"
	GaveUp           Reason = "gave_up"    // put back too often: left alone
	Spaced           Reason = "spaced"     // put back, or refused by AWS: not again so soon
	Unanswered       Reason = "unanswered" // no reading since castoff's own call

	StillFailing Reason = "still_failing"
	Recovering   Reason = "recovering"
)

// Value is one number that a finding rests on, with the limit that it was held
// against.
type Value struct {
	Name  string // such as healthy_left
	Got   float64
	Limit float64
	Unit  string // seconds; empty for a count
}

// Finding is what one guard says.
type Finding struct {
	Guard    Guard
	Decision Decision
	Reason   Reason
	// Sentence is for people, with its numbers.
	Sentence string
	// Until is when a Hold will have passed; zero when nobody knows.
	Until  time.Time
	Values []Value
}

// Verdict is what is decided about one target, and why.
type Verdict struct {
	Action  Action
	Target  fleet.TargetKey
	Task    fleet.TaskARN
	Service fleet.ServiceID
	Started time.Time // the task's startedAt: with the ARN, its identity
	Zone    string    // the row's own, needed to register it again; may be empty
	// Mode says whether an Allow is carried out or only recorded.
	Mode Mode
	// At is when it was decided, Read the earliest instant of the reading of the task
	// that it rests on.
	At, Read time.Time
	// MaySee: the group's own check may see the failure.
	MaySee bool

	// What the first guard that did not allow said; of an Allow, that all did.
	Decision Decision
	Guard    Guard // empty when all allow
	Reason   Reason
	Sentence string
	Until    time.Time

	Findings []Finding // one a guard, in order
}

// Acts reports that the verdict is to be carried out: it allows, and the
// service's mode is not to observe only.
func (v *Verdict) Acts() bool { return v.Decision == Allow && v.Mode == Detaching }

// Finding finds what a guard said; ok is false when it was not asked.
func (v *Verdict) Finding(g Guard) (f Finding, ok bool) {
	for _, f := range v.Findings {
		if f.Guard == g {
			return f, true
		}
	}
	return Finding{}, false
}

// settle makes the first finding that does not allow the verdict's own.
func (v *Verdict) settle(allowed string) {
	v.Decision, v.Guard, v.Reason, v.Sentence, v.Until = Allow, "", OK, allowed, time.Time{}
	for _, f := range v.Findings {
		if f.Decision != Allow {
			v.Decision, v.Guard, v.Reason, v.Sentence, v.Until = f.Decision, f.Guard, f.Reason, f.Sentence, f.Until
			return
		}
	}
}

func allow(sentence string, values ...Value) Finding {
	return Finding{Decision: Allow, Reason: OK, Sentence: sentence, Values: values}
}

func hold(r Reason, until time.Time, sentence string, values ...Value) Finding {
	return Finding{Decision: Hold, Reason: r, Sentence: sentence, Until: until, Values: values}
}

func refuse(r Reason, sentence string, values ...Value) Finding {
	return Finding{Decision: Refuse, Reason: r, Sentence: sentence, Values: values}
}

func count(name string, got int, limit int) Value {
	return Value{Name: name, Got: float64(got), Limit: float64(limit)}
}

func seconds(name string, got, limit time.Duration) Value {
	return Value{Name: name, Got: got.Seconds(), Limit: limit.Seconds(), Unit: "seconds"}
}

// percent writes a percentage as people do: 12.5 %, 50 %.
func percent(p float64) string { return strconv.FormatFloat(p, 'f', -1, 64) + " %" }

// brief writes a duration to the second, or exactly when it is shorter.
func brief(d time.Duration) string {
	if d >= time.Second || d <= -time.Second {
		d = d.Round(time.Second)
	}
	return d.String()
}

// clock writes an instant for people.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// plural is "1 task", "2 tasks".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
