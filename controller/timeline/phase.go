package timeline

import "time"

// PhaseName names the time between two milestones.
type PhaseName string

// The phases. Known is the milestone of [Timeline.Known].
const (
	Detection   PhaseName = "detection"   // Onset to Known
	Reaction    PhaseName = "reaction"    // Known to Detach
	Drain       PhaseName = "drain"       // Detach to Detached
	Exposure    PhaseName = "exposure"    // from Unhealthy to Recovery or Stopped, as long as the balancer called the target healthy; of the target for which that was longest
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

// Measured reports that the bounds tell how long the phase took: to a minute, or to as
// much as it took at least. Wider ones are true, but no number to count with: what castoff
// did not see may have taken as long as the task ran.
func (p Phase) Measured() bool { return p.Error() <= max(time.Minute, p.Shortest) }

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
	if p, ok := t.exposure(); ok {
		ps = append(ps, p)
	}
	serving, ok := to(ReplacementServing)
	add(Replacement, known, serving, ok)
	stopped, ok := to(Stopped)
	add(Retirement, known, stopped, ok)
	return ps
}

// exposure is not known while one of the targets still is exposed.
func (t *Timeline) exposure() (Phase, bool) {
	unhealthy, ok := t.Milestone(Unhealthy)
	if !ok || unhealthy.Open() || len(t.Targets) == 0 || t.Unread || t.Gateway {
		return Phase{}, false
	}
	var end Bounds
	for _, k := range []Kind{Recovery, Stopped} {
		if m, ok := t.Milestone(k); ok {
			end = earlier(end, m.Bounds)
		}
	}
	longest := Phase{Name: Exposure}
	for _, target := range t.Targets {
		sum := Phase{Name: Exposure}
		for _, good := range target.Good {
			to := earlier(good.To, end)
			if to.NotAfter.IsZero() {
				return Phase{}, false
			}
			p, _ := between(Exposure, latest(unhealthy.Bounds, good.From), to)
			sum.Shortest += p.Shortest
			sum.Longest += p.Longest
		}
		if sum.Longest > longest.Longest {
			longest = sum
		}
	}
	return longest, true
}

// latest bounds the last of two instants.
func latest(a, b Bounds) Bounds {
	if b.NotBefore.After(a.NotBefore) {
		a.NotBefore = b.NotBefore
	}
	if b.NotAfter.After(a.NotAfter) {
		a.NotAfter = b.NotAfter
	}
	return a
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
