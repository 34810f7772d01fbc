package status

import (
	"slices"
	"strconv"
	"time"

	"github.com/castoff-ecs/castoff/controller/timeline"
)

// waterfall is a timeline drawn to scale: a lane for each thing that took time,
// and a tick every so often. What is known only between two bounds has soft
// edges.
type waterfall struct {
	Title string
	Ticks []tick
	Lanes []lane
}

// tick is an instant on the axis, counted from the base.
type tick struct {
	X, Label string
	Anchor   string // of the label: start, middle or end
}

// lane is one line of a waterfall. Its Title says in words what it draws.
type lane struct {
	Name, Title string
	Length, By  string
	Bars        []bar
	Point       bool // it draws a milestone, not a time
}

// bar is a part of a lane. X and Width are per cent of the lane.
type bar struct {
	X, Width string
	Class    string // the kind of time, and soft or mark if it is that
}

// scale puts instants on an axis of 0 to 100.
type scale struct{ from, to time.Time }

func (s scale) at(t time.Time) float64 {
	whole := s.to.Sub(s.from)
	if whole <= 0 {
		return 0
	}
	return min(100, max(0, 100*float64(t.Sub(s.from))/float64(whole)))
}

func percent(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) + "%" }

// least is the least width of a bar that can be seen, in per cent.
const least = 0.4

// bar draws from one instant to another; nothing that has no length, but what
// has one can be seen.
func (s scale) bar(from, to time.Time, class string) []bar {
	if !from.Before(to) {
		return nil
	}
	x := s.at(from)
	width := max(least, s.at(to)-x)
	return []bar{{X: percent(min(x, 100-width)), Width: percent(width), Class: class}}
}

// span draws a time between bounds: solid where it surely was, soft where it may
// have been. A zero end is not over yet.
func (s scale) span(from, to timeline.Bounds, now time.Time, class string) []bar {
	if to.NotAfter.IsZero() {
		to = timeline.At(now)
	}
	begin := from.NotBefore
	if from.Open() {
		begin = from.NotAfter
	}
	sure := from.NotAfter
	if sure.After(to.NotBefore) { // the bounds overlap: it may not have been at all
		return s.bar(begin, to.NotAfter, class+" soft")
	}
	return slices.Concat(s.bar(begin, sure, class+" soft"), s.bar(sure, to.NotBefore, class), s.bar(to.NotBefore, to.NotAfter, class+" soft"))
}

// stretch is a time that a waterfall draws.
type stretch struct {
	name, class string
	from, to    timeline.Bounds // a zero to is not over yet
	by          timeline.Actor  // who ended it; empty when nobody has
}

// length is how long it took, or takes already.
func (s stretch) length(now time.Time) string {
	if s.to.NotAfter.IsZero() {
		return wholeAgo(middle(s.from), now) + " so far"
	}
	if s.from.Open() {
		return "at least " + span(max(0, s.to.NotBefore.Sub(s.from.NotAfter)))
	}
	return length(timeline.Phase{
		Shortest: max(0, s.to.NotBefore.Sub(s.from.NotAfter)), Longest: max(0, s.to.NotAfter.Sub(s.from.NotBefore)),
	})
}

// stretches are where a failure's time went, in the order in which they begin.
func stretches(t *timeline.Timeline) []stretch {
	var all []stretch
	known, haveKnown := t.Known()
	if onset, ok := t.Milestone(timeline.Onset); ok && haveKnown && t.Trigger != timeline.Exit {
		all = append(all, stretch{name: "undetected", class: "undetected", from: onset.Bounds, to: known.Bounds, by: known.By})
	}
	all = append(all, exposures(t)...)
	add := func(name, class string, from timeline.Kind, to timeline.Kind) {
		begin, ok := t.Milestone(from)
		if from == "" {
			begin, ok = known, haveKnown
		}
		end, ended := t.Milestone(to)
		if !ok || !ended && !t.IsOpen() {
			return
		}
		all = append(all, stretch{name: name, class: class, from: begin.Bounds, to: end.Bounds, by: end.By})
	}
	if _, ok := t.Milestone(timeline.ReplacementCreated); ok || t.IsOpen() && stillFails(t) {
		add("no replacement yet", "wait", "", timeline.ReplacementCreated)
	}
	add("replacement starts", "replacement", timeline.ReplacementCreated, timeline.ReplacementRunning)
	add("replacement registers", "replacement", timeline.ReplacementRunning, timeline.ReplacementServing)
	add("drain", "drain", timeline.Detach, timeline.Detached)
	add("containers stop", "stop", timeline.Stopping, timeline.Stopped)
	return all
}

// exposures are the times for which the balancer called a target good although
// ECS knew better: none where that is not known.
func exposures(t *timeline.Timeline) []stretch {
	unhealthy, ok := t.Milestone(timeline.Unhealthy)
	if !ok || t.Unread || t.Gateway {
		return nil
	}
	var end timeline.Bounds
	var ender timeline.Actor
	for _, k := range []timeline.Kind{timeline.Recovery, timeline.Stopped} {
		if m, ok := t.Milestone(k); ok && (end.NotAfter.IsZero() || m.NotAfter.Before(end.NotAfter)) {
			end, ender = m.Bounds, m.By
		}
	}
	var all []stretch
	for i := range t.Targets {
		target := &t.Targets[i]
		for _, good := range target.Good {
			from, to, by := unhealthy.Bounds, good.To, timeline.Actor("")
			if good.From.NotAfter.After(from.NotAfter) {
				from = good.From
			}
			for _, m := range target.Milestones {
				if m.NotAfter.Equal(to.NotAfter) {
					by = m.By
				}
			}
			if to.NotAfter.IsZero() || !end.NotAfter.IsZero() && end.NotAfter.Before(to.NotAfter) {
				to, by = end, ender
			}
			if !to.NotAfter.IsZero() && !to.NotAfter.After(from.NotBefore) || to.NotAfter.IsZero() && !t.IsOpen() {
				continue
			}
			name := "exposed"
			if len(t.Targets) > 1 {
				name += ", " + target.Key.Address()
			}
			all = append(all, stretch{name: name, class: "exposure", from: from, to: to, by: by})
		}
	}
	return all
}

// extent is from the first to the last that is known of a timeline; one that is
// open goes on until now.
func extent(t *timeline.Timeline, now time.Time) scale {
	s := scale{from: t.Opened, to: t.Opened}
	for _, m := range t.Milestones {
		begin := m.NotBefore
		if m.Open() {
			begin = m.NotAfter
		}
		if begin.Before(s.from) {
			s.from = begin
		}
		if m.NotAfter.After(s.to) {
			s.to = m.NotAfter
		}
	}
	if t.IsOpen() && now.After(s.to) {
		s.to = now
	}
	return s
}

// newWaterfall draws a timeline; with its milestones too, if it is to be in full.
func newWaterfall(t *timeline.Timeline, full bool, now time.Time) *waterfall {
	s := extent(t, now)
	base, zero := baseOf(t)
	w := &waterfall{Title: "Time since " + spaced(string(base)), Ticks: s.ticks(zero)}
	for _, st := range stretches(t) {
		l := lane{
			Name: st.name, Length: st.length(now), By: by(st.by),
			Bars: s.span(st.from, st.to, now, st.class),
		}
		l.Title = l.Name + ": " + l.Length
		if l.By != "" {
			l.Title += ", ended by " + l.By
		}
		w.Lanes = append(w.Lanes, l)
	}
	if !full {
		return w
	}
	for _, m := range t.Milestones {
		at := middle(m.Bounds)
		l := lane{Point: true, Name: spaced(string(m.Kind)), Length: signed(at.Sub(zero)) + ", " + plusMinus(m.Bounds), By: by(m.By)}
		l.Title = milestoneWords(m.Kind) + ", at " + l.Length + ", " + string(m.Source)
		begin := m.NotBefore
		if m.Open() {
			begin = s.from
		}
		l.Bars = append(s.bar(begin, m.NotAfter, "point soft"), bar{X: percent(min(s.at(at), 100-least)), Width: percent(least), Class: "point mark"})
		w.Lanes = append(w.Lanes, l)
	}
	return w
}

// by names an actor for people.
func by(a timeline.Actor) string {
	switch a {
	case timeline.ByApp:
		return "the app"
	case timeline.ByECS:
		return "ECS"
	case timeline.ByELB:
		return "the balancer"
	case timeline.ByCastoff:
		return "castoff"
	case timeline.ByOther:
		return "somebody else"
	default:
		return string(a)
	}
}

// steps are the distances of ticks that people can count with.
var steps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

// ticks are at most five, so that they fit on a phone, at round distances from
// zero.
func (s scale) ticks(zero time.Time) []tick {
	whole := s.to.Sub(s.from)
	step := steps[len(steps)-1]
	for _, candidate := range steps {
		if whole/candidate <= 4 {
			step = candidate
			break
		}
	}
	if whole <= 0 || whole/step > 8 {
		return nil
	}
	var ts []tick
	for at := zero.Add(s.from.Sub(zero).Truncate(step)); !at.After(s.to); at = at.Add(step) {
		if at.Before(s.from) {
			continue
		}
		t := tick{X: percent(s.at(at)), Label: roundSpan(at.Sub(zero)), Anchor: "middle"}
		switch x := s.at(at); {
		case x < 5:
			t.Anchor = "start"
		case x > 93:
			t.Anchor = "end"
		}
		ts = append(ts, t)
	}
	return ts
}

// roundSpan is a multiple of a step, without what is 0 of it.
func roundSpan(d time.Duration) string {
	switch {
	case d < 0:
		return "−" + roundSpan(-d)
	case d >= time.Hour && d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	case d >= time.Minute && d%time.Minute == 0:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	default:
		return span(d)
	}
}

// strip is a timeline as one small bar, beside others of the same scale.
type strip struct {
	Bars []bar
	Over bool // it is longer than the scale
	// Title says it in words.
	Title string
}

func newStrip(t *timeline.Timeline, whole time.Duration, now time.Time) strip {
	s := extent(t, now)
	st := strip{Over: s.to.Sub(s.from) > whole, Title: "took " + span(s.to.Sub(s.from))}
	s.to = s.from.Add(whole)
	for _, part := range stretches(t) {
		switch part.class {
		case "undetected", "exposure", "drain", "stop":
			st.Bars = append(st.Bars, s.span(part.from, part.to, now, part.class)...)
			st.Title += "; " + part.name + " " + part.length(now)
		}
	}
	return st
}

// wholeOf is the scale of some timelines together: that of the longest, unless
// it is so much longer than the others that these could not be seen.
func wholeOf(ts []*timeline.Timeline, now time.Time) time.Duration {
	if len(ts) == 0 {
		return 0
	}
	lengths := make([]time.Duration, len(ts))
	for i, t := range ts {
		s := extent(t, now)
		lengths[i] = s.to.Sub(s.from)
	}
	slices.Sort(lengths)
	return max(time.Second, min(lengths[len(lengths)-1], 2*lengths[len(lengths)/2]))
}
