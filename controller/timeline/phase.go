package timeline

import "time"

// PhaseName names the time between two milestones.
type PhaseName string

// The phases. Known is the milestone of [Timeline.Known].
const (
	Detection   PhaseName = "detection"   // Onset to Known
	Reaction    PhaseName = "reaction"    // Known to Detach
	Drain       PhaseName = "drain"       // Detach to Detached
	Exposure    PhaseName = "exposure"    // Unhealthy to the first of Detach, LBUnhealthy, Recovery, Stopped, of the target that took longest
	Replacement PhaseName = "replacement" // Known to ReplacementServing
	Retirement  PhaseName = "retirement"  // Known to Stopped
)

// PhaseNames lists every phase.
var PhaseNames = []PhaseName{Detection, Reaction, Drain, Exposure, Replacement, Retirement}

// Phase is a duration known within bounds: it took at least Shortest and at
// most Longest.
type Phase struct {
	Name     PhaseName
	Shortest time.Duration
	Longest  time.Duration
}

// Error is the width of the bounds.
func (p Phase) Error() time.Duration { return p.Longest - p.Shortest }

// between is the phase from one instant to another. It is not known while the
// start has no lower bound, and never negative: two bounds that overlap say
// only that the order is not known.
func between(name PhaseName, from, to Bounds) (Phase, bool) {
	if from.Open() || to.NotAfter.IsZero() {
		return Phase{}, false
	}
	p := Phase{Name: name, Longest: max(0, to.NotAfter.Sub(from.NotBefore))}
	if !to.Open() {
		p.Shortest = max(0, to.NotBefore.Sub(from.NotAfter))
	}
	return p, true
}

// Phases are the phases whose both ends are known, in the order of PhaseNames.
func (t *Timeline) Phases() []Phase {
	var ps []Phase
	add := func(name PhaseName, from, to Milestone, ok bool) {
		if !ok {
			return
		}
		if p, ok := between(name, from.Bounds, to.Bounds); ok {
			ps = append(ps, p)
		}
	}
	known, haveKnown := t.Known()
	to := func(k Kind) (Milestone, bool) {
		m, ok := t.Milestone(k)
		return m, ok && haveKnown
	}
	if onset, ok := t.Milestone(Onset); ok && t.Trigger != Exit {
		add(Detection, onset, known, haveKnown)
	}
	detach, ok := to(Detach)
	add(Reaction, known, detach, ok)
	detached, ok := t.Milestone(Detached)
	_, began := t.Milestone(Detach)
	add(Drain, detach, detached, ok && began && haveKnown)
	if unhealthy, ok := t.Milestone(Unhealthy); ok {
		if end, ok := t.exposureEnd(); ok {
			add(Exposure, unhealthy, Milestone{Bounds: end}, true)
		}
	}
	serving, ok := to(ReplacementServing)
	add(Replacement, known, serving, ok)
	stopped, ok := to(Stopped)
	add(Retirement, known, stopped, ok)
	return ps
}

// exposureEnd is when the last of the task's targets stopped being treated as
// good; not known while one of them still is.
func (t *Timeline) exposureEnd() (end Bounds, ok bool) {
	for _, target := range t.Targets {
		var first Bounds
		for _, k := range []Kind{Detach, LBUnhealthy} {
			if m, ok := find(target.Milestones, k); ok {
				first = earlier(first, m.Bounds)
			}
		}
		for _, k := range []Kind{Recovery, Stopped} {
			if m, ok := t.Milestone(k); ok {
				first = earlier(first, m.Bounds)
			}
		}
		if first.NotAfter.IsZero() {
			return Bounds{}, false
		}
		if first.NotBefore.After(end.NotBefore) {
			end.NotBefore = first.NotBefore
		}
		if first.NotAfter.After(end.NotAfter) {
			end.NotAfter = first.NotAfter
		}
		ok = true
	}
	return end, ok
}

// earlier bounds the first of two instants; the zero Bounds stand for an
// instant that never came.
func earlier(a, b Bounds) Bounds {
	switch {
	case a.NotAfter.IsZero():
		return b
	case b.NotAfter.IsZero():
		return a
	}
	if b.NotBefore.Before(a.NotBefore) {
		a.NotBefore = b.NotBefore
	}
	if b.NotAfter.Before(a.NotAfter) {
		a.NotAfter = b.NotAfter
	}
	return a
}
