package policy

import (
	"math"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Mode is what castoff does about the targets of a service.
type Mode string

// The modes. Whatever is not Detaching only observes.
const (
	Observing Mode = "observe" // decide, and publish what would have been done
	Detaching Mode = "detach"  // do it
)

// Modes lists every mode.
var Modes = []Mode{Observing, Detaching}

// Limits are all settings of one service. The zero value allows nothing.
type Limits struct {
	Mode Mode // default observe: acting is asked for by name

	Confirm    ConfirmLimits
	Floor      FloorLimits
	Budget     BudgetLimits
	Rate       RateLimits // default 1 a minute, one at a time: see RateLimits
	Correlated CorrelatedLimits
	// Startup is how long castoff watches after its own start before it acts, so
	// that a restart cannot act on half a picture. Default 60s: more than one
	// round of every read at the default intervals.
	Startup time.Duration
	Stale   StaleLimits
	// DuringDeployment allows acting while a deployment rolls out. Default
	// false: counts then mean less, failing tasks may just be the new revision,
	// and ECS is moving targets itself.
	DuringDeployment bool
	Futile           FutileLimits
	Contested        ContestedLimits
	Recovery         RecoveryLimits
}

// ConfirmLimits say how often and for how long a task must be read failing.
type ConfirmLimits struct {
	// Reads in a row that must show it. Default 2: ECS has already seen the
	// check fail `retries` times, so this only guards against a stale copy of a
	// reply; at the hot interval it costs 2s.
	Reads int
	// For is how long after the first of them. Default 0: no longer than the
	// reads take.
	For time.Duration
}

// FloorLimits say how many healthy targets a service keeps in each of its
// groups. The stricter wins, and the last healthy target of a group, and its
// own target_group_health thresholds, are kept whatever this says.
type FloorLimits struct {
	Count   int     // default 1
	Percent float64 // of the service's desired count, rounded up; default 50: what is left can carry a service sized with common headroom for a while
}

// BudgetLimits say how many may be out by castoff's hand at a time.
type BudgetLimits struct {
	Service Allowance // tasks of one service, per cent of its desired count; default at least 1, 10 %, at most 10
	Group   Allowance // targets of one group, per cent of its rows; default at least 1, 10 %, at most 10
}

// Allowance is a number that grows with what it is taken from: Percent of it,
// rounded down, but never more than Most, and never less than Least. Least is
// there because 10 % of a service of four is nobody, and a limit that never lets
// go is a switch.
type Allowance struct {
	Least   int
	Percent float64
	Most    int
}

// of is the allowance from a total.
func (a Allowance) of(total int) int {
	return min(max(a.Least, int(math.Floor(a.Percent*float64(max(total, 0))/100))), a.Most)
}

// RateLimits is a token bucket of tasks. Default for a service: 1 a minute,
// burst 1, so that a person who watches can stop the second; for the fleet: 10 a
// minute, burst 5.
type RateLimits struct {
	PerMinute float64
	Burst     int
}

// every is the time that one token takes to come back.
func (r RateLimits) every() time.Duration { return time.Duration(float64(time.Minute) / r.PerMinute) }

// CorrelatedLimits say when too many fail at once: at least Count of them, and
// at least Percent. One failing task correlates with nothing, and in a large
// fleet some always fail, so both must be met. Then the health check or something
// that all depend on is the suspect, taking targets out spreads the damage, and
// no more is done until it has been over for the Cooldown.
type CorrelatedLimits struct {
	Count    int           // default 2 tasks of a service; for the fleet 3 services
	Percent  float64       // default 50 of the service's tasks; for the fleet 10 of the services
	Cooldown time.Duration // default 10m
}

// StaleLimits say how old evidence may be.
type StaleLimits struct {
	Tasks     time.Duration // default 15s: three intervals
	Targets   time.Duration // default 15s: a failing service's groups are read every hot interval
	Inventory time.Duration // services and target groups' settings; default 5m: five intervals
}

// FutileLimits say when detaching no longer helps because what comes after is
// no better.
type FutileLimits struct {
	Replacements int           // that failed, of one service and deployment; default 3
	Window       time.Duration // within; default 30m
}

// ContestedLimits say how often a target that somebody puts back, as ECS is known
// to, is taken out again, and how far apart: the spacing doubles each time.
type ContestedLimits struct {
	Tries   int           // in all; default 4
	Spacing time.Duration // default 30s
}

// RecoveryLimits say for how long a task must be healthy before its target goes
// back: Window, times Growth for each time that it was healthy and failed again,
// up to Max.
type RecoveryLimits struct {
	Window time.Duration // default 1m
	Growth float64       // default 2
	Max    time.Duration // default 30m
}

// window is how long a task that flapped so often must be healthy.
func (r RecoveryLimits) window(flaps int) time.Duration {
	w := float64(r.Window) * math.Pow(r.Growth, float64(flaps))
	if !(w < float64(r.Max)) {
		return r.Max
	}
	return time.Duration(w)
}

// FleetLimits are the settings that are about all services together. The zero
// value allows nothing.
type FleetLimits struct {
	Budget     Allowance // tasks, per cent of all running ones; default at least 5, 5 %, at most 50
	Rate       RateLimits
	Correlated CorrelatedLimits
}

// DefaultLimits are those that an on-call engineer would choose blind: the
// reasoning is with each. They only observe.
func DefaultLimits() Limits {
	return Limits{
		Mode:    Observing,
		Confirm: ConfirmLimits{Reads: 2},
		Floor:   FloorLimits{Count: 1, Percent: 50},
		Budget: BudgetLimits{
			Service: Allowance{Least: 1, Percent: 10, Most: 10},
			Group:   Allowance{Least: 1, Percent: 10, Most: 10},
		},
		Rate:       RateLimits{PerMinute: 1, Burst: 1},
		Correlated: CorrelatedLimits{Count: 2, Percent: 50, Cooldown: 10 * time.Minute},
		Startup:    time.Minute,
		Stale:      StaleLimits{Tasks: 15 * time.Second, Targets: 15 * time.Second, Inventory: 5 * time.Minute},
		Futile:     FutileLimits{Replacements: 3, Window: 30 * time.Minute},
		Contested:  ContestedLimits{Tries: 4, Spacing: 30 * time.Second},
		Recovery:   RecoveryLimits{Window: time.Minute, Growth: 2, Max: 30 * time.Minute},
	}
}

// DefaultFleetLimits are those for all services together.
func DefaultFleetLimits() FleetLimits {
	return FleetLimits{
		Budget:     Allowance{Least: 5, Percent: 5, Most: 50},
		Rate:       RateLimits{PerMinute: 10, Burst: 5},
		Correlated: CorrelatedLimits{Count: 3, Percent: 10, Cooldown: 10 * time.Minute},
	}
}

// ModeTag is the tag of an ECS service that gives its mode over the
// configuration's.
const ModeTag = "castoff:mode"

// ModeOf is the mode of a service with these limits: its tag's, else the
// limits'. A tag or a setting that is neither mode observes, and so does a
// service that was not read, or whose tags were not.
func ModeOf(svc *fleet.Service, l Limits) Mode {
	mode := l.Mode
	if svc == nil || svc.TagsUnknown {
		return Observing
	}
	if tag, ok := svc.Tags[ModeTag]; ok {
		mode = Mode(tag)
	}
	if mode == Detaching {
		return Detaching
	}
	return Observing
}
