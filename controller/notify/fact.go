package notify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// fact is something that holds, and is told when it begins to.
type fact struct {
	event Event
	// mark tells it from everything else of its event, also from the same of
	// another day.
	mark         string
	service      fleet.ServiceID
	target       *Target
	since, until time.Time
	sentence     string
	decided      time.Time // of a detachment's
}

// gather are facts by what they are about, which is less than their marks: while
// one goes on, a mark that changes is no news.
type gather map[string]fact

func (g gather) add(f fact, about ...string) { g[where(f.event, about...)] = f }

func where(e Event, about ...string) string { return string(e) + "\x00" + marked(about...) }

// facts are what holds in a State that was looked through.
func (t *Teller) facts(s State) map[string]fact {
	g := gather{}
	look := s.looked
	t.seen = look.unknown(t.seen)
	look.exposures(g, t.rule.ExposedFor, t.seen)
	look.detachments(g, t.held)
	for _, l := range s.Guards.Latches {
		g.add(fact{
			event: Latched, service: l.Service, since: l.Since, until: l.Until, mark: marked(l.Service.String(), stamp(l.Since)),
			sentence: latchSentence(l),
		}, l.Service.String())
	}
	for i := range s.Pauses {
		p := &s.Pauses[i]
		if !p.Active(s.At) {
			continue
		}
		about := []string{string(p.Scope), p.Service.String(), string(p.From), p.Owner, p.Reason}
		g.add(fact{
			event: Paused, service: p.Service, until: p.Until, mark: marked(append(about, stamp(p.Until))...), sentence: pauseSentence(p),
		}, about...)
	}
	for _, h := range s.Halts {
		g.add(fact{event: Halted, since: s.At, mark: marked(h.Cause, stamp(s.At)), sentence: h.Detail}, h.Cause)
	}
	return g
}

// lookup is a State with what has to be found in it often.
type lookup struct {
	State
	open     map[fleet.TaskARN]*timeline.Timeline
	sick     map[fleet.TaskARN]time.Time
	verdicts map[place]*policy.Verdict
	exposed  []Exposure
}

type place struct {
	task   fleet.TaskARN
	target fleet.TargetKey
}

func (s State) look() *lookup {
	l := &lookup{
		State: s, open: byTask(s.Open), sick: failingSince(s.Open, s.Guards.Watches),
		verdicts: make(map[place]*policy.Verdict, len(s.Verdicts)),
		exposed:  Exposures(s.Snapshot, s.Open, s.Guards.Watches),
	}
	for i := range s.Verdicts {
		if v := &s.Verdicts[i]; v.Action == policy.Detach {
			l.verdicts[place{v.Task, v.Target}] = v
		}
	}
	return l
}

// target is what is known of a target, whatever is told of it.
func (l *lookup) target(task fleet.TaskARN, key fleet.TargetKey) Target {
	t := Target{Key: key, Task: task, Failing: l.sick[task], Verdict: l.verdict(task, key)}
	t.Mode = t.Verdict.Mode
	if tl := l.open[task]; tl != nil {
		t.Timeline = tl.ID
	}
	return t
}

// verdict copies what is told: a notification may wait for a while, and must not
// hold on to everything that was decided in its pass.
func (l *lookup) verdict(task fleet.TaskARN, key fleet.TargetKey) Verdict {
	v := l.verdicts[place{task, key}]
	if v == nil {
		return Verdict{}
	}
	return Verdict{Mode: v.Mode, Decision: v.Decision, Guard: v.Guard, Reason: v.Reason, Sentence: v.Sentence}
}

// exposures are the targets that have been exposed for longer than a limit. seen
// is when castoff first saw those of which nobody knows since when.
func (l *lookup) exposures(g gather, limit time.Duration, seen map[string]time.Time) {
	for _, e := range l.exposed {
		t := l.target(e.Task.ARN, e.Target.Key)
		t.Zone, t.Since = e.Target.Zone, e.Since
		mark, from := targetMark(&t), e.Since
		if from.IsZero() {
			from = seen[mark]
			t.Sentence = "castoff first saw it so at " + clock(from)
		}
		if t.For = l.At.Sub(from); t.For >= limit {
			g.add(fact{event: Exposed, service: e.Task.Service, target: &t, since: from, mark: marked(mark, stamp(from))}, mark)
		}
	}
}

// unknown is when castoff first saw each exposure of which nobody knows since
// when, those that it has seen before included.
func (l *lookup) unknown(before map[string]time.Time) map[string]time.Time {
	seen := make(map[string]time.Time)
	for _, e := range l.exposed {
		if e.Since.IsZero() {
			mark := targetMark(&Target{Task: e.Task.ARN, Key: e.Target.Key})
			if seen[mark] = before[mark]; seen[mark].IsZero() {
				seen[mark] = l.At
			}
		}
	}
	return seen
}

// detachments are what is told of the open ones.
func (l *lookup) detachments(g gather, held map[string]fact) {
	for i := range l.Detachments {
		d := &l.Detachments[i]
		if !d.Open() {
			continue
		}
		t := l.target(d.Task, d.Target)
		t.Zone, t.Mode = d.Zone, d.Mode
		mark := marked(targetMark(&t), stamp(d.Decided))
		add := func(e Event, since time.Time, mark, sentence string) {
			about := t
			about.Since, about.Sentence = since, sentence
			g.add(fact{event: e, service: d.Service, target: &about, since: since, mark: mark, decided: d.Decided}, targetMark(&t), stamp(d.Decided))
		}
		if d.Mode != policy.Detaching {
			add(WouldDetach, d.Decided, mark, "Nothing was done: the service's mode is observe.")
			continue
		}
		if !d.Called.IsZero() {
			add(Detached, d.Called, mark, calledSentence(d))
		}
		if limit := l.limits(d.Service).Contested.Tries; limit > 0 && d.Back != nil && d.Tries >= limit {
			add(Contested, d.Back.NotBefore, marked(mark, strconv.Itoa(d.Tries)), contestedSentence(d))
		}
		// Once told, it is the same denial until a call gets through, though castoff
		// asks again every few minutes.
		_, told := held[where(Denied, targetMark(&t), stamp(d.Decided))]
		if d.Rejected > 0 && (told || l.denied(d.Target.Group)) {
			add(Denied, d.RejectedAt, mark, deniedSentence(d))
		}
	}
}

func (l *lookup) limits(id fleet.ServiceID) policy.Limits {
	if l.Limits == nil {
		return policy.Limits{}
	}
	return l.Limits(id)
}

func (l *lookup) denied(group fleet.TargetGroupARN) bool {
	return slices.ContainsFunc(l.Denied, func(d policy.Denial) bool { return d.Group == group })
}

// unseen reports that nobody knows whether an exposure is over: the rows of its
// target group have not been read since castoff started. To take that for an end
// would be a false all-clear after a restart.
func (f fact) unseen(s State) bool {
	if f.event != Exposed {
		return false
	}
	if s.Snapshot == nil {
		return true
	}
	t, row := s.Snapshot.Task(f.target.Task), s.Snapshot.Target(f.target.Key)
	if t == nil || t.Gone() || !t.Failing() || row != nil {
		return false
	}
	if g := s.Snapshot.TargetGroup(f.target.Key.Group); g != nil {
		return g.Read.Never()
	}
	// The group is one of a service's, and that may be what was not read.
	return slices.ContainsFunc(s.Snapshot.Gaps, func(g fleet.Gap) bool {
		lists := g.Kind != fleet.GapTaskList && g.Kind != fleet.GapTasks
		return g.HidesGroup(f.target.Key.Group) || lists && g.MayHide("", f.service, f.target.Task)
	})
}

// over is the news that a fact no longer holds; not ok when that is none.
func (f fact) over(s State) (over fact, ok bool) {
	var d *policy.Detachment
	if f.event == Detached {
		if d = s.detachment(f); d == nil || d.Open() {
			return fact{}, false // its end went by, or its call is about to be made again
		}
		f.event = f.event.end(d.Outcome)
	} else {
		f.event = f.event.end("")
	}
	if f.event == "" {
		return fact{}, false
	}
	if f.target != nil {
		l, t := s.looked, *f.target
		t.Verdict = l.verdict(t.Task, t.Key)
		if t.For = s.At.Sub(f.since); d != nil {
			t.For = d.Ended.Sub(f.since)
			t.Sentence = endSentence(d)
		} else {
			t.Sentence = l.unexposedSentence(t.Task, t.Key)
		}
		t.For = max(0, t.For)
		f.target = &t
	}
	return f, true
}

// detachment is the one that a fact is about; nil when the State no longer has it.
func (s State) detachment(f fact) *policy.Detachment {
	i := slices.IndexFunc(s.Detachments, func(d policy.Detachment) bool {
		return d.Mode == policy.Detaching && d.Task == f.target.Task && d.Target == f.target.Key && d.Decided.Equal(f.decided)
	})
	if i < 0 {
		return nil
	}
	return &s.Detachments[i]
}

func targetMark(t *Target) string {
	return marked(string(t.Task), string(t.Key.Group), t.Key.Address())
}

func marked(parts ...string) string { return strings.Join(parts, "\x01") }

// stamp is an instant that reads the same after a restart.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprint(t.UnixNano())
}
