package status

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// How many rows of each kind the page shows; the other pages and the API have all.
const (
	openRows      = 200
	waterfallRows = 20
	closedRows    = 5
	gapRows       = 50
	outRows       = 200
	brakeRows     = 50
)

// homePage is what castoff sees now, in words ready to be shown.
type homePage struct {
	Head    head
	Started stamp
	Banner  *banner
	// Pass and Data are one line each: the last pass, and how old what is
	// shown is. Data is empty before the first pass.
	Pass, Data string

	Open   []openRow
	Out    []outRow
	Brakes []brakeRow
	Closed []closedRow
	// Waterfalls are of the first of the open timelines, those exposed first.
	Waterfalls  []titledWaterfall
	Gaps        []gapRow
	OpenCount   int
	OutCount    int
	BrakeCount  int
	ClosedCount int
	GapCount    int
}

// More is how many open timelines are not shown, and so on.
func (p *homePage) MoreOpen() int   { return p.OpenCount - len(p.Open) }
func (p *homePage) MoreOut() int    { return p.OutCount - len(p.Out) }
func (p *homePage) MoreBrakes() int { return p.BrakeCount - len(p.Brakes) }
func (p *homePage) MoreClosed() int { return p.ClosedCount - len(p.Closed) }
func (p *homePage) MoreGaps() int   { return p.GapCount - len(p.Gaps) }

type timelineRow struct {
	Link    string // empty: there is no timeline
	Task    string
	Service string
	Trigger string
	Since   stamp
}

type openRow struct {
	timelineRow
	For     clock
	Exposed string // yes, or since when it no longer is
	Hot     bool   // exposed now
	Last    string // the last milestone and its age
	// Verdicts say why its targets were, or were not, taken out.
	Verdicts []verdictLine
}

type closedRow struct {
	timelineRow
	Outcome                                timeline.Outcome
	Detection, Exposure, Retirement, Saved string
}

type gapRow struct {
	Kind   fleet.GapKind
	Ref    string
	Class  fleet.Class
	Detail string
	For    clock
}

// titledWaterfall is a waterfall among others.
type titledWaterfall struct {
	timelineRow
	Waterfall *waterfall
}

func newHomePage(v *View, now time.Time) *homePage {
	p := &homePage{
		Head:    newHead(v, "castoff", "/", now),
		Started: stampOf(v.Started, now),
		Banner:  newBanner(v, now), Pass: passWords(v.Pass, now),
		ClosedCount: len(v.Closed), GapCount: len(v.gaps()),
	}
	exposed := make(map[fleet.TaskARN]bool)
	if s := v.Snapshot; s != nil {
		if oldest, ok := s.Oldest(); ok {
			p.Data = fmt.Sprintf("Every task was read within the last %s.", wholeAgo(oldest, now))
		}
		for _, task := range exposedTasks(s) {
			exposed[task] = true
		}
	}
	records := v.records()
	p.addFailing(v, records, exposed, now)
	p.addOut(v, records, now)
	brakes := newBrakeRows(v, now)
	p.Brakes, p.BrakeCount = brakes[:min(len(brakes), brakeRows)], len(brakes)
	for _, t := range v.Closed[:min(len(v.Closed), closedRows)] {
		p.Closed = append(p.Closed, newClosedRow(t, records[t.Task], now))
	}
	gaps := v.gaps()
	for _, g := range gaps[:min(len(gaps), gapRows)] {
		p.Gaps = append(p.Gaps, newGapRow(&g, now))
	}
	return p
}

func newGapRow(g *fleet.Gap, now time.Time) gapRow {
	return gapRow{Kind: g.Kind, Ref: g.Ref, Class: g.Class, Detail: g.Detail, For: clockOf(g.Since, now)}
}

// before puts what is so before what is not.
func before(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// addFailing adds the open timelines, those exposed first and then the newest, and then the failing tasks
// that have none.
func (p *homePage) addFailing(v *View, records map[fleet.TaskARN]record, exposed map[fleet.TaskARN]bool, now time.Time) {
	open := slices.Clone(v.Open)
	slices.SortFunc(open, func(a, b *timeline.Timeline) int {
		return cmp.Or(before(exposed[a.Task], exposed[b.Task]), positionOf(a).compare(positionOf(b)))
	})
	rest := v.undocumented()
	p.OpenCount = len(open) + len(rest)
	for _, t := range open[:min(len(open), openRows)] {
		row := newOpenRow(t, exposed[t.Task], now)
		row.Verdicts = newVerdictLines(verdictsFor(records[t.Task].verdicts, policy.Detach), now)
		p.Open = append(p.Open, row)
		if len(p.Waterfalls) < waterfallRows {
			p.Waterfalls = append(p.Waterfalls, titledWaterfall{timelineRow: row.timelineRow, Waterfall: newWaterfall(t, false, now)})
		}
	}
	tasks := slices.Sorted(maps.Keys(rest))
	for _, task := range tasks[:min(len(tasks), openRows-len(p.Open))] {
		row := openRow{
			timelineRow: timelineRow{Task: task.ID(), Service: rest[task][0].Service.String(), Trigger: "–", Since: stamp{Text: "–"}},
			For:         clock{Text: "–"}, Exposed: "no", Hot: exposed[task], Last: "no timeline", Verdicts: newVerdictLines(rest[task], now),
		}
		if row.Hot {
			row.Exposed = "yes"
		}
		p.Open = append(p.Open, row)
	}
}

// addOut adds the open detachments.
func (p *homePage) addOut(v *View, records map[fleet.TaskARN]record, now time.Time) {
	open := v.openDetachments()
	p.OutCount = len(open)
	if len(open) == 0 {
		return
	}
	latest := make(map[fleet.TaskARN]*timeline.Timeline)
	for _, list := range [][]*timeline.Timeline{v.Closed, v.Open} { // an open one is the later
		for _, t := range list {
			if was := latest[t.Task]; was == nil || t.Opened.After(was.Opened) {
				latest[t.Task] = t
			}
		}
	}
	for _, d := range open[:min(len(open), outRows)] {
		p.Out = append(p.Out, newOutRow(d, records[d.Task], latest[d.Task], now))
	}
}

func passWords(p Pass, now time.Time) string {
	if p.At.IsZero() {
		return "No pass has ended yet."
	}
	return fmt.Sprintf("Pass %d ended %s ago, took %s: %s.", p.Number, wholeAgo(p.At, now), span(p.Duration), p.Result)
}

func newTimelineRow(t *timeline.Timeline, now time.Time) timelineRow {
	return timelineRow{
		Link: timelineLink(t), Task: t.Task.ID(), Service: t.Service.String(),
		Trigger: triggerWords(t.Trigger), Since: stampOf(knownAt(t), now),
	}
}

// knownAt is when the failure was known, as near as one instant can say.
func knownAt(t *timeline.Timeline) time.Time {
	if m, ok := t.Known(); ok {
		return middle(m.Bounds)
	}
	return t.Opened
}

func newOpenRow(t *timeline.Timeline, exposed bool, now time.Time) openRow {
	row := openRow{timelineRow: newTimelineRow(t, now), For: clockOf(knownAt(t), now), Exposed: "no", Hot: exposed}
	if exposed {
		row.Exposed = "yes"
	} else if p, ok := phase(t, timeline.Exposure); ok {
		row.Exposed = "no, was for " + length(p)
	}
	var last timeline.Milestone
	for _, m := range t.Milestones {
		if m.NotAfter.After(last.NotAfter) {
			last = m
		}
	}
	if last.Kind != "" {
		row.Last = fmt.Sprintf("%s, %s ago", spaced(string(last.Kind)), wholeAgo(middle(last.Bounds), now))
	}
	return row
}

func newClosedRow(t *timeline.Timeline, r record, now time.Time) closedRow {
	row := closedRow{timelineRow: newTimelineRow(t, now), Outcome: t.Outcome, Saved: "–"}
	its := r.during(t)
	if s, ok := its.saved(); ok {
		row.Saved = savedWords(s)
		if its.detachments[0].Mode != policy.Detaching {
			row.Saved = "would be " + row.Saved
		}
	}
	for _, part := range []struct {
		name timeline.PhaseName
		to   *string
	}{
		{timeline.Detection, &row.Detection}, {timeline.Exposure, &row.Exposure}, {timeline.Retirement, &row.Retirement},
	} {
		*part.to = "–"
		if p, ok := phase(t, part.name); ok {
			*part.to = length(p)
		}
	}
	return row
}

func phase(t *timeline.Timeline, name timeline.PhaseName) (timeline.Phase, bool) {
	for _, p := range t.Phases() {
		if p.Name == name {
			return p, true
		}
	}
	return timeline.Phase{}, false
}
