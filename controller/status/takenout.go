package status

import (
	"fmt"
	"net/url"
	"time"

	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// outRow is an open detachment.
type outRow struct {
	Link    string // to the task's timeline; empty without one
	Service string
	Task    string
	Target  string
	Group   string
	Since   stamp
	For     clock
	Doing   string
	Next    []verdictLine // what keeps it out
	Would   bool          // in observe mode: it is not out
}

func newOutRow(d *policy.Detachment, r record, tl *timeline.Timeline, now time.Time) outRow {
	row := outRow{
		Service: d.Service.String(), Task: d.Task.ID(), Target: d.Target.Address(), Group: d.Target.Group.Name(),
		Since: stampOf(d.Decided, now), For: clockOf(d.Decided, now), Doing: standing(d, now), Would: d.Mode != policy.Detaching,
	}
	if tl != nil {
		row.Link = timelineLink(tl)
	}
	for _, v := range verdictsFor(r.verdicts, policy.Attach) {
		if v.Target == d.Target {
			row.Next = append(row.Next, newVerdictLines([]*policy.Verdict{v}, now)...)
		}
	}
	return row
}

func timelineLink(t *timeline.Timeline) string { return "/timelines/" + url.PathEscape(string(t.ID)) }

// standing is where a detachment stands, in words.
func standing(d *policy.Detachment, now time.Time) string {
	switch {
	case !d.Open():
		return "ended: " + endWords(d.Outcome)
	case d.Mode != policy.Detaching:
		return "would be out"
	case d.Progress == policy.Attaching:
		return "told to go back " + wholeAgo(d.Attached, now) + " ago"
	case d.Called.IsZero() && d.Result == policy.Rejected:
		return "not out: AWS rejected the call"
	case d.Called.IsZero():
		return "not called yet"
	case d.Back != nil:
		return "put back by " + d.PutBackBy() + ", after " + count(d.Tries, "try", "tries")
	case d.Result == policy.NotAnswered:
		return "called, and AWS has not answered"
	case d.ECS != nil:
		return "out; ECS takes the task down"
	default:
		return "out"
	}
}

func endWords(o policy.Outcome) string {
	switch o {
	case policy.Stopped:
		return "the task has stopped"
	case policy.Recovered:
		return "the task is healthy and its target back"
	case policy.Lost:
		return "castoff no longer sees its cluster"
	default:
		return string(o)
	}
}

// savedWords is a saved time by its middle and its error.
func savedWords(s policy.Saved) string {
	width := s.Longest - s.Shortest
	said := span(s.Shortest + width/2)
	if width > 0 {
		said += " ± " + span(width/2)
	}
	return said
}

// detachmentSection is a detachment in full.
type detachmentSection struct {
	Address, Group string
	Would          bool
	Facts          []fact
}

func newDetachmentSections(ds []*policy.Detachment, now time.Time) []detachmentSection {
	sections := make([]detachmentSection, len(ds))
	for i, d := range ds {
		sections[i] = detachmentSection{
			Address: d.Target.Address(), Group: d.Target.Group.Name(), Would: d.Mode != policy.Detaching,
			Facts: detachmentFacts(d, now),
		}
	}
	return sections
}

func detachmentFacts(d *policy.Detachment, now time.Time) []fact {
	all := []fact{{"Standing", standing(d, now)}, {"Decided", at(d.Decided, now)}}
	if !d.Called.IsZero() {
		called := at(d.Called, now) + ", " + spaced(string(d.Result))
		if d.Tries > 1 {
			called += fmt.Sprintf(", try %d", d.Tries)
		}
		all = append(all, fact{"Called", called})
	}
	if d.Back != nil {
		all = append(all, fact{"Put back by " + d.PutBackBy(), boundsWords(d.Back, now)})
	}
	if d.ECS != nil {
		all = append(all, fact{"ECS began by itself", boundsWords(d.ECS, now)})
	}
	if d.Ceased != nil {
		all = append(all, fact{"The balancer stopped by itself", boundsWords(d.Ceased, now)})
	}
	saved := d.Unknown()
	if s, ok := d.Saved(); ok {
		saved = savedWords(s)
		if s.Longest < 0 {
			saved += ": ECS was first"
		}
	}
	all = append(all, fact{"Saved", saved})
	if !d.Attached.IsZero() {
		all = append(all, fact{"Told to go back", at(d.Attached, now) + ", " + spaced(string(d.AttachResult))})
	}
	if !d.Ended.IsZero() {
		all = append(all, fact{"Ended", at(d.Ended, now)})
	}
	return all
}

func at(t, now time.Time) string { return fineStampOf(t, now).Text + " UTC" }

func boundsWords(b *policy.Bounds, now time.Time) string {
	bounds := timeline.Bounds{NotBefore: b.NotBefore, NotAfter: b.NotAfter}
	return at(middle(bounds), now) + ", " + plusMinus(bounds)
}
