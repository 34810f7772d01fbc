package main

import (
	"strings"
	"time"
)

// What a waterfall's lines are made of: a name, a bar, what there is to say.
const (
	nameWide  = 12 // "replacement "
	saidWide  = 27 // " 59m59s to 59m59s by castoff"
	leastWide = 10 // of a bar, on whatever terminal
)

// bar is a phase to be drawn. It was not on before from.NotBefore, surely on from
// from.NotAfter to to.NotBefore, and over at to.NotAfter.
type bar struct {
	name     line
	from, to explainedBounds
	running  bool // to is now
	by       line // who ended it; empty where that is not known
	span     string
}

// sure reports that the phase was on for a part of [from, to], whatever the
// instants within the bounds; maybe, that it can have been.
func (b *bar) sure(from, to time.Time) bool {
	return !b.from.NotAfter.After(b.to.NotBefore) && !from.After(b.to.NotBefore) && !to.Before(b.from.NotAfter)
}

func (b *bar) maybe(from, to time.Time) bool {
	return !from.After(b.to.NotAfter) && !to.Before(b.from.NotBefore)
}

// scale maps instants to columns.
type scale struct {
	from, to time.Time
	columns  int
}

// cell is the time that a column stands for.
func (s scale) cell(i int) (from, to time.Time) {
	at := func(i int) time.Time {
		return s.from.Add(time.Duration(float64(s.to.Sub(s.from)) * (float64(i) / float64(s.columns))))
	}
	return at(i), at(i + 1).Add(-1)
}

// draw is the bar with its edges: solid where the phase was surely on.
func (s scale) draw(b bar, blocks bool) string {
	solid, soft := "=", "-"
	if blocks {
		solid, soft = "█", "░"
	}
	var drawn strings.Builder
	last := -1
	cells := make([]string, s.columns)
	for i := range cells {
		cells[i] = " "
		from, to := s.cell(i)
		switch {
		case b.sure(from, to):
			cells[i], last = solid, i
		case b.maybe(from, to):
			cells[i], last = soft, i
		}
	}
	if b.running && last >= 0 {
		cells[last] = ">"
	}
	for _, c := range cells {
		drawn.WriteString(c)
	}
	return drawn.String()
}

// bars are the phases of a timeline that have begun, in the order of the table in
// the README, as of now.
func (t *shownTimeline) bars(now time.Time) []bar {
	var bars []bar
	known, ok := t.known()
	if onset, has := t.milestone("onset"); has && ok && onset.Kind != known.Kind {
		bars = append(bars, t.bar("detection", onset, known, true, now))
	}
	if !ok {
		return bars
	}
	for _, p := range []struct{ name, end line }{{"reaction", "detach"}, {"exposure", ""}, {"drain", "detached"}, {"replacement", "replacement_serving"}, {"retirement", "stopped"}} {
		from := known
		switch p.name {
		case "exposure":
			bars = append(bars, t.exposure(now)...)
			continue
		case "drain":
			if from, ok = t.milestone("detach"); !ok {
				continue
			}
		}
		end, ended := t.milestone(p.end)
		if !ended && (t.Closed != nil || t.settling()) {
			continue // it will not come
		}
		bars = append(bars, t.bar(p.name, from, end, ended, now))
	}
	return bars
}

func (t *shownTimeline) bar(name line, from, end shownMilestone, ended bool, now time.Time) bar {
	b := bar{name: name, from: from.explainedBounds, to: end.explainedBounds, by: end.By}
	if !ended {
		b.to, b.running = explainedBounds{NotBefore: now, NotAfter: now}, true
		b.span = from.since(now, explainedSpan.compact)
	} else if took, ok := t.phase(name); ok {
		b.span = took.compact()
	}
	return b
}

// known is when the failure was first known to anyone in AWS.
func (t *shownTimeline) known() (shownMilestone, bool) {
	m, ok := t.milestone("unhealthy")
	if lb, has := t.milestone("lb_unhealthy"); has && (!ok || lb.NotAfter.Before(m.NotAfter)) {
		return lb, true
	}
	if !ok && t.Trigger == "exit" {
		return t.milestone("onset")
	}
	return m, ok
}

// exposure is from UNHEALTHY to when the balancer called the last of the targets
// healthy for the last time. There is none without a target, nor where a target
// was never called healthy after.
func (t *shownTimeline) exposure(now time.Time) []bar {
	unhealthy, ok := t.milestone("unhealthy")
	took, ended := t.phase("exposure")
	switch {
	case !ok:
		return nil
	case t.exposed():
		return []bar{t.bar("exposure", unhealthy, shownMilestone{}, false, now)}
	case !ended:
		return nil
	}
	b := bar{name: "exposure", from: unhealthy.explainedBounds, span: took.compact()}
	// What the API says of its length is what counts: it knows of targets that
	// were put back. So its end is drawn there.
	b.to = explainedBounds{NotBefore: unhealthy.NotBefore.Add(seconds(took.Longest)), NotAfter: unhealthy.NotAfter.Add(seconds(took.Longest))}
	for _, m := range t.ends() {
		b.to, b.by = m.explainedBounds, m.By
	}
	return []bar{b}
}

// ends is the milestone that ended the exposure, when it is plain which one: the
// one whose bounds, with those of UNHEALTHY, give the length that the API says.
func (t *shownTimeline) ends() []shownMilestone {
	unhealthy, _ := t.milestone("unhealthy")
	took, _ := t.phase("exposure")
	for _, kind := range []line{"detach", "lb_unhealthy", "recovery", "stopped"} {
		m, ok := t.milestone(kind)
		longest := m.NotAfter.Sub(unhealthy.NotBefore).Seconds()
		if ok && longest-took.Longest < 0.01 && took.Longest-longest < 0.01 {
			return []shownMilestone{m}
		}
	}
	return nil
}

// seconds are those of the API, as far as a clock goes.
func seconds(s float64) time.Duration {
	return time.Duration(min(max(s, 0), 1e9) * float64(time.Second))
}

// scale is the time that a timeline spans, for bars of so many columns.
func (t *shownTimeline) scale(now time.Time, columns int) scale {
	s := scale{from: t.Opened, to: t.Opened, columns: columns}
	if t.Closed == nil {
		s.to = now
	}
	for _, m := range t.Milestones {
		for _, at := range []time.Time{m.NotBefore, m.NotAfter} {
			if !at.IsZero() && at.Before(s.from) {
				s.from = at
			}
			if at.After(s.to) {
				s.to = at
			}
		}
	}
	if s.to.Sub(s.from) < time.Second {
		s.to = s.from.Add(time.Second)
	}
	return s
}

// waterfall is a timeline drawn on so many columns: what it is about, when the
// drawing begins and ends, and a bar for each phase.
func (t *shownTimeline) waterfall(now time.Time, columns int, blocks bool) [][]text {
	state := t.state()
	if state.as == alarm {
		unhealthy, _ := t.milestone("unhealthy")
		state.said = "EXPOSED for " + unhealthy.since(now, explainedSpan.compact)
	}
	about := []text{{t.name(), strong}, {said: "  "}, state, {said: "  task " + t.task() + "  " + t.Trigger.spaced()}}
	if t.Saved != nil {
		about = append(about, text{"  saved " + t.Saved.String(), good})
	}
	s := t.scale(now, max(leastWide, columns-2-nameWide-saidWide))
	from, to := s.from.UTC().Format("15:04:05Z"), s.to.UTC().Format("15:04:05Z")
	lines := [][]text{about, {{strings.Repeat(" ", 2+nameWide) + pad(from, s.columns-len(to)) + to, faint}}}
	for _, b := range t.bars(now) {
		as := plain
		if b.name == "exposure" {
			as = alarm
		}
		said := " " + b.span
		switch {
		case b.running:
			said += " +"
		case b.by != "":
			said += " by " + string(b.by)
		}
		lines = append(lines, []text{{said: "  " + pad(string(b.name), nameWide)}, {s.draw(b, blocks), as}, {said: said}})
	}
	return lines
}

// brief is a timeline in one line.
func (t *shownTimeline) brief(now time.Time) []text {
	state := t.state()
	said := []text{{said: "  " + pad(t.Opened.UTC().Format("15:04:05Z"), 11)}, state, {said: "  " + t.name() + " " + t.task()}}
	if unhealthy, _ := t.milestone("unhealthy"); t.exposed() {
		said = append(said, text{said: ", exposed " + unhealthy.since(now, explainedSpan.compact) + " +"})
	} else if p, ok := t.phase("exposure"); ok {
		said = append(said, text{said: ", exposed " + p.compact()})
	}
	if m, ok := t.milestone("detach"); ok {
		said = append(said, text{said: ", detached by " + string(m.By)})
	}
	return said
}
