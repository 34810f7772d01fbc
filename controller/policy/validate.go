package policy

import (
	"fmt"
	"strconv"
	"time"
)

// Problem is one limit that makes no sense. Until it does, the guard that needs
// it allows nothing.
type Problem struct {
	Path string // below the limits, such as floor.percent
	Must string // what the rule asks, in words
	Got  string
}

// String is "floor.percent: must be more than 0 and at most 100 (got 120)".
func (p Problem) String() string { return p.Path + ": " + p.Must + " (got " + p.Got + ")" }

// Bounds of all limits: beyond them a value is a slip, and arithmetic could
// overflow.
const (
	longest = 24 * time.Hour
	most    = 100_000
)

type problems []Problem

func (ps *problems) number(path string, v, least int) {
	if v < least || v > most {
		*ps = append(*ps, Problem{path, fmt.Sprintf("must be between %d and %d", least, most), strconv.Itoa(v)})
	}
}

// ratio is a number that is more than 0; NaN is not.
func (ps *problems) ratio(path string, v, least, limit float64) {
	if !(v > 0 && v >= least && v <= limit) {
		must := fmt.Sprintf("must be between %v and %v", least, limit)
		if least == 0 {
			must = fmt.Sprintf("must be more than 0 and at most %v", limit)
		}
		*ps = append(*ps, Problem{path, must, strconv.FormatFloat(v, 'g', -1, 64)})
	}
}

func (ps *problems) duration(path string, v, least time.Duration) {
	if v < least || v > longest {
		*ps = append(*ps, Problem{path, fmt.Sprintf("must be between %v and %v", least, longest), v.String()})
	}
}

func (ps *problems) allowance(path string, a Allowance) {
	ps.number(path+".least", a.Least, 0)
	ps.ratio(path+".percent", a.Percent, 0, 100)
	ps.number(path+".most", a.Most, 1)
	if a.Most >= 1 && a.Least > a.Most {
		*ps = append(*ps, Problem{path + ".least", fmt.Sprintf("must be at most %s.most (%d)", path, a.Most), strconv.Itoa(a.Least)})
	}
}

func (ps *problems) rate(r RateLimits) {
	// Slower than one a day is a pause.
	ps.ratio("rate.per_minute", r.PerMinute, 1.0/(24*60), 10_000)
	ps.number("rate.burst", r.Burst, 1)
}

func (ps *problems) correlated(c CorrelatedLimits) {
	ps.number("correlated.count", c.Count, 1)
	ps.ratio("correlated.percent", c.Percent, 0, 100)
	ps.duration("correlated.cooldown", c.Cooldown, time.Second)
}

// Validate finds every limit that makes no sense, in the order of the fields.
func (l Limits) Validate() []Problem {
	var ps problems
	if l.Mode != Observing && l.Mode != Detaching {
		ps = append(ps, Problem{"mode", "must be observe or detach", strconv.Quote(string(l.Mode))})
	}
	ps.number("confirm.reads", l.Confirm.Reads, 1)
	ps.duration("confirm.for", l.Confirm.For, 0)
	ps.number("floor.count", l.Floor.Count, 1)
	ps.ratio("floor.percent", l.Floor.Percent, 0, 100)
	ps.allowance("budget.service", l.Budget.Service)
	ps.allowance("budget.group", l.Budget.Group)
	ps.rate(l.Rate)
	ps.correlated(l.Correlated)
	ps.duration("startup", l.Startup, time.Second)
	ps.duration("stale.tasks", l.Stale.Tasks, time.Second)
	ps.duration("stale.targets", l.Stale.Targets, time.Second)
	ps.duration("stale.inventory", l.Stale.Inventory, time.Second)
	ps.number("futile.replacements", l.Futile.Replacements, 1)
	ps.duration("futile.window", l.Futile.Window, time.Second)
	if ps.number("contested.tries", l.Contested.Tries, 1); l.Contested.Tries > 10 {
		ps = append(ps, Problem{"contested.tries", "must be at most 10: the spacing doubles each time", strconv.Itoa(l.Contested.Tries)})
	}
	ps.duration("contested.spacing", l.Contested.Spacing, time.Second)
	ps.duration("recovery.window", l.Recovery.Window, time.Second)
	ps.ratio("recovery.growth", l.Recovery.Growth, 1, 100)
	ps.duration("recovery.max", l.Recovery.Max, time.Second)
	if l.Recovery.Max >= time.Second && l.Recovery.Window > l.Recovery.Max {
		ps = append(ps, Problem{"recovery.window", fmt.Sprintf("must be at most recovery.max (%v)", l.Recovery.Max), l.Recovery.Window.String()})
	}
	return ps
}

// Validate finds every limit that makes no sense, in the order of the fields.
func (l FleetLimits) Validate() []Problem {
	var ps problems
	ps.allowance("budget", l.Budget)
	ps.rate(l.Rate)
	ps.correlated(l.Correlated)
	return ps
}
