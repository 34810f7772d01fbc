package status

import (
	"net/url"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// timelinePage is one timeline in words ready to be shown.
type timelinePage struct {
	Head  head
	Title string
	JSON  string // its address in the API
	Text  string // and as text
	Link  string // of the page itself, as long as the timeline is kept
	Task  string
	State *banner
	// Waterfall has every milestone; nil while there is none.
	Waterfall *waterfall
	Kin       []kin
	Table     milestoneTable
	Phases    []phaseRow
	Targets   []targetTable
	Facts     []fact
	// Flow is how the verdicts changed; nil while there is none.
	Flow *flowSection
	// Verdicts are the last ones; Detachments what castoff did, or would have.
	Verdicts    []verdictSection
	Detachments []detachmentSection
}

type milestoneRow struct {
	Kind   timeline.Kind
	Words  string
	At     stamp
	Since  string // the base milestone, with a sign
	Bounds string
	Range  string // both bounds in full
	// Between is both bounds in short; empty where they are one.
	Between string
	Source  timeline.Source
	By      timeline.Actor
	// Evidence is one line on what the bounds rest on.
	Evidence string
}

type phaseRow struct {
	Name              timeline.PhaseName
	Words             string
	Length            string
	Shortest, Longest string
}

// milestoneTable is milestones with what their times are counted from.
type milestoneTable struct {
	Base string
	Rows []milestoneRow
}

type targetTable struct {
	Group, Address string
	Table          milestoneTable
}

type fact struct {
	Name, Value string
}

func newTimelinePage(t *timeline.Timeline, v *View, now time.Time) *timelinePage {
	p := &timelinePage{
		Head: newHead(v, t.Service.String(), "/timelines", now), Task: t.Task.ID(),
		Title: t.Service.String(), JSON: "/api/v1/timelines/" + url.PathEscape(string(t.ID)), Text: timelineLink(t) + "/text", Link: timelineLink(t),
		Kin:   v.kinOf(t),
		Facts: facts(t, now),
	}
	p.Head.Live = t.IsOpen()
	if len(t.Milestones) > 0 {
		p.Waterfall = newWaterfall(t, true, now)
	}
	its := v.records()[t.Task].during(t)
	p.State = timelineBanner(t, v, its, now)
	p.Verdicts, p.Detachments = newVerdictSections(its.verdicts, now), newDetachmentSections(its.detachments, now)
	base, zero := baseOf(t)
	p.Flow = newFlowSection(v, t, string(base), zero, now)
	p.Table = milestoneTable{string(base), milestoneRows(t.Milestones, zero, now)}
	for _, ph := range t.Phases() {
		p.Phases = append(p.Phases, phaseRow{
			Name: ph.Name, Words: phaseWords(ph.Name), Length: length(ph),
			Shortest: span(ph.Shortest), Longest: span(ph.Longest),
		})
	}
	for _, target := range t.Targets {
		p.Targets = append(p.Targets, targetTable{
			Group: target.Key.Group.Name(), Address: target.Key.Address(),
			Table: milestoneTable{string(base), milestoneRows(target.Milestones, zero, now)},
		})
	}
	return p
}

// kin is another timeline that belongs to this one.
type kin struct{ Words, Task, Link string }

// kinOf are the timelines of the task's replacement, of the task that it
// replaced, and of its own other failures.
func (v *View) kinOf(t *timeline.Timeline) []kin {
	var all []kin
	for _, list := range [][]*timeline.Timeline{v.Open, v.Closed} {
		for _, o := range list {
			var words string
			switch {
			case o.ID == t.ID:
				continue
			case t.Replacement != "" && o.Task == t.Replacement:
				words = "its replacement failed too"
			case o.Replacement != "" && o.Replacement == t.Task:
				words = "this task replaced"
			case o.Task == t.Task:
				words = "the same task failed at another time"
			default:
				continue
			}
			if len(all) == kinRows {
				return all
			}
			all = append(all, kin{Words: words, Task: o.Task.ID(), Link: timelineLink(o)})
		}
	}
	return all
}

// kinRows bounds the links: a task may flap for days.
const kinRows = 20

// baseOf is what times are counted from: onset where it is bounded, else when
// the failure was known.
func baseOf(t *timeline.Timeline) (timeline.Kind, time.Time) {
	if m, ok := t.Milestone(timeline.Onset); ok && !m.Open() {
		return timeline.Onset, middle(m.Bounds)
	}
	if m, ok := t.Known(); ok {
		return m.Kind, middle(m.Bounds)
	}
	return "opened", t.Opened
}

// timelineBanner is how one failure stands, or ended.
func timelineBanner(t *timeline.Timeline, v *View, its record, now time.Time) *banner {
	if !t.IsOpen() {
		return closedBanner(t, its)
	}
	h := headlines{View: v, records: map[fleet.TaskARN]record{t.Task: its}, now: now}
	tasks := []fleet.TaskARN{t.Task}
	b := &banner{Level: "failing", Word: "Failing", For: clockOf(knownAt(t), now), Head: "the balancer does not call its target healthy."}
	detach, deregistered := t.Milestone(timeline.Detach)
	exposures := slices.DeleteFunc(notify.Exposures(v.Snapshot, []*timeline.Timeline{t}, v.Watches), func(e notify.Exposure) bool { return e.Task.ARN != t.Task })
	switch {
	case len(exposures) > 0:
		b.Level, b.Word, b.For = "exposed", "Exposed", clock{}
		b.Head = "clients are sent to it: ECS calls the task UNHEALTHY, and the balancer still calls its target healthy."
	case !stillFails(t):
		return &banner{
			Level: "calm", Word: "Over", Head: "the task has stopped or recovered, and is watched until that is sure.",
			Rest: []string{"The failure was known " + wholeAgo(knownAt(t), now) + " ago."},
		}
	case deregistered:
		b.Head = flowsMayGoOn(detach, now) + "."
	}
	if len(exposures) > 0 {
		b.since(exposures, now)
	} else {
		b.answer("Since", stampOf(knownAt(t), now).Text+" UTC")
	}
	b.answer("Done", h.done(tasks, []*timeline.Timeline{t}))
	b.answer("Why no more", h.why(tasks))
	return b
}

// closedBanner is how a failure ended, what it cost and what castoff saved.
func closedBanner(t *timeline.Timeline, its record) *banner {
	b := &banner{Level: "calm", Word: "Closed", Head: outcomeWords(t.Outcome)}
	if p, ok := phase(t, timeline.Exposure); ok {
		b.answer("Exposed", "for "+length(p))
	}
	s, ok := its.saved()
	if !ok {
		return b
	}
	came, when, by := "came", "before", "ECS began"
	if its.detachments[0].Ceased != nil {
		by = "the balancer stopped"
	}
	if its.detachments[0].Mode != policy.Detaching {
		came = "would have come"
	}
	if s.Longest < 0 {
		s, when = policy.Saved{Shortest: -s.Longest, Longest: -s.Shortest}, "after"
	}
	b.answer("Saved", "castoff's call "+came+" "+savedWords(s)+" "+when+" "+by+" by itself")
	return b
}

func outcomeWords(o timeline.Outcome) string {
	switch o {
	case timeline.Retired:
		return "retired, stopped for this failure."
	case timeline.Recovered:
		return "recovered, healthy again."
	case timeline.Superseded:
		return "superseded, stopped for another reason."
	case timeline.Lost:
		return "lost, the evidence ran out."
	default:
		return string(o) + "."
	}
}

func milestoneRows(ms []timeline.Milestone, zero, now time.Time) []milestoneRow {
	rows := make([]milestoneRow, len(ms))
	for i, m := range ms {
		at := middle(m.Bounds)
		rows[i] = milestoneRow{
			Kind: m.Kind, Words: milestoneWords(m.Kind), At: fineStampOf(at, now),
			Since: signed(at.Sub(zero)), Bounds: plusMinus(m.Bounds),
			Range:  stampOf(m.NotBefore, now).ISO + " to " + stampOf(m.NotAfter, now).ISO,
			Source: m.Source, By: m.By, Evidence: m.Evidence,
		}
		switch {
		case m.Open():
			rows[i].Range = "not after " + stampOf(m.NotAfter, now).ISO
		case !m.Exact():
			rows[i].Between = fineStampOf(m.NotBefore, now).Text + " to " + fineStampOf(m.NotAfter, now).Text
		}
	}
	return rows
}

func signed(d time.Duration) string {
	if d < 0 {
		return span(d)
	}
	return "+" + span(d)
}

func facts(t *timeline.Timeline, now time.Time) []fact {
	all := []fact{
		{"Task", string(t.Task)},
		{"Service", t.Service.String()},
		{"Task definition", t.Definition.FamilyRevision()},
		{"Started by", t.StartedBy},
		{"Zone", t.Zone},
		{"Shown by", triggerWords(t.Trigger)},
		{"Check that decided", checkWords(t.Container, t.Check)},
		{"Replacement", string(t.Replacement)},
		{"Replacements failed", some(t.ReplacementsFailed)},
		{"Flaps", some(t.Flaps)},
		{"Gateway", map[bool]string{true: "one of ECS's sends traffic to the task too; castoff does not see that, so exposure is not known"}[t.Gateway]},
		{"Stop code", t.StopCode},
		{"AWS's stopped reason", t.StoppedReason},
		{"Opened", stampOf(t.Opened, now).Text + " UTC"},
		{"Timeline", string(t.ID)},
	}
	if !t.IsOpen() {
		all = append(all, fact{"Closed", stampOf(t.Closed, now).Text + " UTC"})
	}
	known := all[:0]
	for _, f := range all {
		if f.Value != "" {
			known = append(known, f)
		}
	}
	return known
}

// some is empty for 0, which is no fact worth a line.
func some(n int) string {
	if n == 0 {
		return ""
	}
	return count(n, "time", "times")
}
