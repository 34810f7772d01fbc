package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// attachSpacing is how long castoff waits for a target that it told to go back
// to be seen there, before it says so again. Replies lag behind changes.
const attachSpacing = 30 * time.Second

// Reattach gives a verdict for every target that castoff took out, is out, and
// whose task no longer fails, in the order of the targets. Only doubt about who
// owns the address and a pause that says reattach=no stop one whose task has been
// healthy for its recovery window: a brake must never strand a healthy task. It
// changes nothing that is remembered, and what castoff did not detach it never
// attaches.
func (v *Look) Reattach() []Verdict {
	var qs []*question
	for i := range v.Detachments {
		d := &v.Detachments[i]
		t := v.Snapshot.Task(d.Task)
		if !d.Open() || d.Mode != Detaching || t == nil || t.Gone() || t.Failing() || v.registered(d) {
			continue
		}
		q := v.question(d.Task, d.Target, nil)
		q.detachment = d
		qs = append(qs, q)
	}
	slices.SortFunc(qs, func(a, b *question) int { return a.detachment.Compare(b.detachment) })
	var verdicts []Verdict
	for _, q := range qs {
		verdicts = append(verdicts, q.askAttach())
	}
	return verdicts
}

// registered reports that a detachment's target is in its group, as its own
// task's, by a reading that is certainly of after castoff's calls.
func (v *Look) registered(d *Detachment) bool {
	row, g := v.Snapshot.Target(d.Target), v.Snapshot.TargetGroup(d.Target.Group)
	if row == nil || row.Unused() || row.Draining() || g == nil {
		return false
	}
	owner := v.Snapshot.Owner(d.Target)
	return owner != nil && owner.ARN == d.Task && g.Read.Earliest().After(d.settled()) && g.Read.Earliest().After(d.Attached)
}

// askAttach asks the guards of Attach.
func (q *question) askAttach() Verdict {
	verdict := q.verdict(Attach)
	verdict.Mode, verdict.Zone = Detaching, q.detachment.Zone
	for i := range attaching {
		g := &attaching[i]
		f := g.ask(q)
		f.Guard = g.name
		verdict.Findings = append(verdict.Findings, f)
	}
	verdict.settle(fmt.Sprintf("task %s is healthy again: %s goes back into %s", q.id.ID(), q.key.Address(), q.key.Group.Name()))
	return verdict
}

// well reports for how long the readings show a task healthy, and how often it
// flapped.
func (v *Look) well(task fleet.TaskARN) (long time.Duration, flaps int, ok bool) {
	w := v.state.watch(task)
	if w == nil {
		return 0, 0, false
	}
	if w.Well.IsZero() {
		return 0, w.Flaps, false
	}
	return w.Read.Sub(w.Well), w.Flaps, true
}

// recovered: the task has been read healthy for its whole recovery window, and
// was not told to go back just now, nor refused.
func (q *question) recovered() Finding {
	long, flaps, ok := q.well(q.id)
	window := q.recovery(q.of).window(flaps)
	value := seconds("healthy", long, window)
	if !ok {
		return hold(StillFailing, time.Time{}, "the task is not healthy", value)
	}
	said := fmt.Sprintf("healthy for %s of %s, after %s", brief(max(0, long)), brief(window), plural(flaps, "flap"))
	if long < window && !q.Parting {
		return hold(Recovering, q.Now.Add(window-long), said, value)
	}
	if d := q.detachment; d.Progress == Attaching && d.AttachResult != Rejected && !d.Attached.After(q.Now) && q.Now.Before(d.Attached.Add(attachSpacing)) {
		return hold(Unanswered, d.Attached.Add(attachSpacing), "it was told to go back at "+clock(d.Attached)+" and has not been seen there yet", value)
	}
	if f, ok := q.underWay(); ok {
		return f
	}
	if next := q.detachment.retry(q.Now); q.Now.Before(next) {
		return hold(Spaced, next, q.detachment.refused(next), value)
	}
	return allow(said, value)
}

// mayAttach is identity, with fresh evidence of the task: one that runs has its
// address to itself.
func (q *question) mayAttach() Finding {
	f := q.identity()
	if f.Decision != Allow {
		return f
	}
	limit := q.limits.Stale.Tasks
	if slices.ContainsFunc(q.problems, func(p Problem) bool { return strings.HasPrefix(p.Path, "stale.") }) {
		limit = DefaultLimits().Stale.Tasks
	}
	age := q.task.Read.Oldest(q.Now)
	value := seconds("task_age", age, limit)
	switch {
	case !q.task.Started.Equal(q.detachment.Started):
		return refuse(Restarted, fmt.Sprintf("the task started at %s, and the one that was taken out at %s", clock(q.task.Started), clock(q.detachment.Started)))
	case q.task.Read.Age(q.Now) < 0:
		return hold(ClockBack, time.Time{}, fmt.Sprintf("the task was read %s in the future: the clock was set back", brief(-q.task.Read.Age(q.Now))), value)
	case age > limit:
		return hold(Old, time.Time{}, fmt.Sprintf("the task was read %s ago%s, limit %s: who owns the address is not sure", brief(q.task.Read.Age(q.Now)), behind(q.task.Read), brief(limit)), value)
	case q.again != nil && q.task.Read.Sent.Before(q.again.At):
		return hold(NotReadAgain, time.Time{}, "the task has not been read again since the decision", value)
	}
	f.Values = append(f.Values, value)
	return f
}

// keptOut: no pause says reattach=no.
func (q *question) keptOut() Finding {
	keep := slices.DeleteFunc(slices.Clone(q.pauses), func(p Pause) bool { return !p.KeepOut })
	if p := pausing(keep, q.of, q.Now); p != nil {
		f := p.finding()
		f.Sentence += ", with reattach=no"
		return f
	}
	return allow("no pause says reattach=no")
}
