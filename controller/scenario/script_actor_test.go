package scenario

import (
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// deregistered is a target as a DeregisterTargets named it; by is nil when it was not a
// castoff's.
type deregistered struct {
	key fleet.TargetKey
	at  time.Time
	by  *life
}

func (o *oracle) noteDeregistered(w sim.Write, by *life) {
	for _, key := range w.Keys {
		o.deregistered = append(o.deregistered, deregistered{key, w.At, by})
	}
}

// takenOut finds the target that was the last of a task's to be taken out, when a
// milestone says, and when that was. What was taken out, put back and taken out again
// before anybody could look was taken out the first time, and so it may be with what
// was never in service between the two: when that was before the onset, which of them
// counts is a matter of words.
func takenOut(t sim.Truth, m timeline.Milestone) (last deregistered, ok bool) {
	for i, tt := range t.Targets {
		for _, at := range outs(tt, t.Onset) {
			if m.Contains(at) && !slices.ContainsFunc(slices.Delete(slices.Clone(t.Targets), i, i+1), func(other sim.TargetTruth) bool {
				return !slices.ContainsFunc(outs(other, t.Onset), func(x time.Time) bool { return !x.After(at) })
			}) {
				return deregistered{key: tt.Key, at: at}, true
			}
		}
	}
	return last, false
}

// rightBefore reports that a milestone puts a target down to ECS, which was about to
// take it out, and so no sooner than its task was up: somebody else had done it, unseen,
// just before, or at any time where castoff could not read the group and says so.
func (c *castoff) rightBefore(m timeline.Milestone, t sim.Truth) bool {
	var last sim.TargetTruth
	for _, tt := range t.Targets {
		if m.Kind == timeline.Detached && !(tt.Detached.Before(m.NotBefore) && !tt.Detached.IsZero()) {
			return false
		}
		if tt.Detach.After(last.Detach) {
			last = tt
		}
	}
	began := t.Deactivating
	if began.IsZero() {
		began = t.Stopping // without a row it is STOPPING at once
	}
	if m.By != timeline.ByECS || began.IsZero() || !m.Contains(began) || last.By == sim.ByECS || !last.Detach.Before(m.NotBefore) {
		return false
	}
	if strings.HasSuffix(m.Evidence, "could not be read") {
		return c.tap.unwatched(t)
	}
	out := deregistered{key: last.Key, at: last.Detach}
	return began.Sub(out.at) <= 2*slack && !c.tap.upAfter(t.Task, out, began)
}

// outs are the instants that may pass for the one at which a target was taken out.
func outs(t sim.TargetTruth, onset time.Time) (all []time.Time) {
	if !t.Detach.IsZero() {
		all = append(all, t.Detach)
	}
	if !t.Earlier.IsZero() && (t.Earlier.Before(onset) || blink(t)) {
		all = append(all, t.Earlier)
	}
	return all
}

// blink reports that the target was in service for so short a time before it was
// taken out again that nobody who looks every few seconds can have seen it.
func blink(t sim.TargetTruth) bool {
	return !t.Back.IsZero() && !t.Detach.IsZero() && t.Detach.Sub(t.Back) < 10*time.Second
}

// weighActor: who took a task's target out is who a timeline says, as far as anybody
// can tell. What castoff says itself that it cannot know is not held against it, if
// that is so.
func (s *script) weighActor(c *castoff, tl *timeline.Timeline, truths []sim.Truth) {
	m, known := tl.Milestone(timeline.Detach)
	if !known || tl.Outcome == timeline.Recovered ||
		// Of a row that castoff read as out before it knew of a failure it keeps no earlier reading.
		strings.HasSuffix(m.Evidence, "by whom, is unseen") && (tl.Opened.Sub(m.NotAfter) > time.Second || !slices.ContainsFunc(truths, c.sawServing)) {
		return
	}
	unheard := strings.Contains(m.Evidence, "its task was not read for a while") || strings.Contains(m.Evidence, "its task has not been read since")
	if m.By == timeline.ByECS && strings.Contains(m.Evidence, "its row was not read for a while") && !slices.ContainsFunc(truths, func(t sim.Truth) bool { return c.tap.readOut(t, m) }) {
		return
	}
	if m.By == timeline.ByECS && unheard && !slices.ContainsFunc(truths, func(t sim.Truth) bool { return c.tap.readSoon(t, m) }) {
		return
	}
	again := strings.Contains(m.Evidence, "taken out again unseen")
	unread := strings.Contains(m.Evidence, "could not be read")
	if !slices.ContainsFunc(truths, func(t sim.Truth) bool {
		out, ok := takenOut(t, m)
		return ok && s.judge.oracle.mayBeBy(c, m, out, t) || c.rightBefore(m, t) ||
			(again || unread) && s.judge.oracle.onceBy(c, m, t) ||
			unread && m.By == timeline.ByECS && c.tap.unwatched(t) // castoff's own guess
	}) {
		var all strings.Builder
		for _, t := range truths {
			all.WriteString(narrate(t))
			for _, tt := range t.Targets {
				all.WriteString("  " + tt.Key.Address() + " taken out by " + string(tt.By) + " at " + tt.Detach.Format("15:04:05.000") + "\n")
			}
		}
		s.accuse(ruleActor, "%s did not take it out: %s%s", m.By, describe(tl), all.String())
	}
}

// onceBy reports that a target of the task was put back and taken out again, and that
// an actor did the one or the other.
func (o *oracle) onceBy(c *castoff, m timeline.Milestone, t sim.Truth) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(t.Targets, func(tt sim.TargetTruth) bool {
		switch {
		case tt.Earlier.IsZero():
			return false
		case m.By == timeline.ByECS:
			return tt.By == sim.ByECS
		default:
			return slices.ContainsFunc(o.deregistered, func(d deregistered) bool {
				mine := d.by != nil && d.by.of == c
				return d.key == tt.Key && !d.at.Before(tt.Earlier) && !d.at.After(m.NotAfter) && mine == (m.By == timeline.ByCastoff)
			})
		}
	})
}

// sawServing reports that castoff, since it was last started and has read the task, has
// read a target of it in service before that was taken out.
func (c *castoff) sawServing(t sim.Truth) (saw bool) {
	if c.life == nil {
		return false
	}
	var heard time.Time
	c.tap.since(ofTask(t.Task), c.life.began, func(r *reading) bool {
		if r.ok {
			heard = r.received // the first of them, at last
		}
		return true
	})
	for _, tt := range t.Targets {
		c.tap.since(ofRows(tt.Key.Group), heard, func(r *reading) bool {
			saw = saw || !heard.IsZero() && r.ok && !r.sent.Before(heard) && r.received.Before(tt.Detach) && r.rows[tt.Key] == fleet.TargetHealthy
			return !saw
		})
	}
	return saw
}

// unwatched reports that a group in which the task had a target was not read between
// the time that it was taken out and the task's end, or never what kind of group it is.
func (p *tap) unwatched(t sim.Truth) bool {
	none := func(subject string, from time.Time) bool {
		read := false
		p.since(subject, from, func(r *reading) bool {
			read = read || r.ok && !r.sent.Before(from) && (t.Stopped.IsZero() || r.sent.Before(t.Stopped))
			return true
		})
		return !read
	}
	return none(allGroups, time.Time{}) || slices.ContainsFunc(t.Targets, func(tt sim.TargetTruth) bool {
		return !tt.Detach.IsZero() && none(ofRows(tt.Key.Group), tt.Detach.Add(settling))
	})
}

// mayBeBy reports that an actor took a target out, or that the castoff that says so
// cannot know better: somebody took it out between its last look and its call, or just
// before ECS stopped the task, or as unseen as that; or it was its own call, and ECS was
// about to do it as well.
func (o *oracle) mayBeBy(c *castoff, m timeline.Milestone, out deregistered, t sim.Truth) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	called, mine, unkept, others := false, false, false, false
	for _, d := range o.deregistered {
		if d.key != out.key {
			continue
		}
		switch {
		case d.by != nil && d.by.of == c:
			if d.at.Equal(out.at) {
				mine = true
				unkept = d.by.lost(d.at)
			}
			called = called || !d.at.Before(out.at) && d.at.Sub(out.at) <= slack
		default:
			others = others || d.at.Equal(out.at)
		}
	}
	switch m.By {
	case timeline.ByCastoff:
		return called
	case timeline.ByOther:
		return others || mine && c.forgets
	case timeline.ByECS:
		began := t.Deactivating
		if began.IsZero() {
			began = t.Stopping // without a row it is STOPPING at once
		}
		soon := !began.IsZero() && (began.Sub(out.at) <= 2*slack || !began.After(m.NotAfter) && (c.forgets || !c.tap.upAfter(t.Task, out, began)))
		unknown := strings.Contains(m.Evidence, "or by castoff, which called at about that time") && !began.IsZero() && !began.After(m.NotAfter)
		return !mine && !others || mine && (unkept || unknown || c.forgets) || others && soon
	default:
		return false
	}
}

// upAfter reports that castoff saw a target out of service, and then its task not yet
// being taken down: it was not ECS.
func (p *tap) upAfter(arn fleet.TaskARN, out deregistered, began time.Time) bool {
	seen := p.sawOut(out)
	up := false
	p.since(ofTask(arn), seen, func(r *reading) bool {
		up = up || r.ok && r.task.up() && !r.sent.Before(seen) && !r.received.After(began)
		return true
	})
	return up && !seen.IsZero()
}

// readSoon reports that castoff read a task within a pass or two of seeing its target
// taken out, or up after that: then it can tell who did it.
func (p *tap) readSoon(t sim.Truth, m timeline.Milestone) (soon bool) {
	out, ok := takenOut(t, m)
	seen := p.sawOut(out)
	p.since(ofTask(t.Task), seen, func(r *reading) bool {
		soon = soon || r.ok && !r.sent.Before(seen) && (r.received.Sub(seen) < 10*time.Second || r.task.up())
		return true
	})
	return soon && ok && !seen.IsZero()
}

// readOut reports that castoff read a target as out well before its task began to leave.
func (p *tap) readOut(t sim.Truth, m timeline.Milestone) bool {
	out, ok := takenOut(t, m)
	seen, began := p.sawOut(out), t.Deactivating
	if began.IsZero() {
		began = t.Stopping
	}
	return ok && !seen.IsZero() && began.Sub(seen) > slack
}

// sawOut is when castoff first read that a target was out of service; zero: never.
func (p *tap) sawOut(out deregistered) (seen time.Time) {
	p.since(ofRows(out.key.Group), out.at, func(r *reading) bool {
		if state, there := r.rows[out.key]; r.ok && !r.sent.Before(out.at) && (!there || state == fleet.TargetDraining) {
			seen = r.received // the first of them, at last
		}
		return true
	})
	return seen
}

// lost reports that a life was over before it can have kept what came of a call.
func (l *life) lost(at time.Time) bool { return !l.over.IsZero() && l.over.Sub(at) < settling }
