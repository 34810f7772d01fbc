package status

import (
	"time"

	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// flowSection is how the verdicts about a task changed.
type flowSection struct {
	Steps []flowRow
	// Since says that what was before castoff's start is not known; else empty.
	Since string
	Base  string // what Since of the steps counts from
}

// flowRow is a verdict that differs from the one before.
type flowRow struct {
	At      stamp
	Since   string
	Action  string // of a target that castoff took out: put back; else empty
	Line    verdictLine
	Guard   policy.Guard
	Changes []string // guards that say something else than before
	Rows    []findingRow
	Key     string // of this row, among those of the page
}

// newFlowSection is nil where there is nothing to tell.
func newFlowSection(v *View, t *timeline.Timeline, base string, zero, now time.Time) *flowSection {
	var its []*policy.Verdict
	steps := v.Flow[t.Task]
	for i := range steps {
		its = append(its, &steps[i])
	}
	its = record{verdicts: its}.during(t).verdicts
	if len(its) == 0 {
		return nil
	}
	s := &flowSection{Base: base}
	if t.Opened.Before(v.Started) {
		s.Since = stampOf(v.Started, now).Text
	}
	sections := newVerdictSections(its, now)
	if !several(its) {
		for i := range sections {
			sections[i].Line.Target = ""
		}
	}
	last := make(map[string]*policy.Verdict)
	for i, step := range its {
		key := string(step.Action) + step.Target.Address() + step.Target.Group.Name()
		row := flowRow{
			At: fineStampOf(step.At, now), Since: signed(step.At.Sub(zero)), Line: sections[i].Line, Guard: step.Guard,
			Changes: changes(last[key], step), Rows: sections[i].Rows, Key: key + step.At.Format(wireTime),
		}
		if step.Action == policy.Attach {
			row.Action = "put back"
		}
		last[key] = step
		s.Steps = append(s.Steps, row)
	}
	return s
}

// several reports that the verdicts are about more than one target.
func several(vs []*policy.Verdict) bool {
	for _, v := range vs {
		if v.Target != vs[0].Target {
			return true
		}
	}
	return false
}

// changes are the guards that say something else than in the step before: one
// that a step does not have allows.
func changes(was, is *policy.Verdict) []string {
	said := func(v *policy.Verdict, g policy.Guard) policy.Decision {
		if v == nil {
			return policy.Allow
		}
		if f, ok := v.Finding(g); ok {
			return f.Decision
		}
		return policy.Allow
	}
	guards := policy.Guards
	if is.Action == policy.Attach {
		guards = policy.AttachGuards
	}
	var all []string
	for _, g := range guards {
		if from, to := said(was, g), said(is, g); from != to {
			all = append(all, string(g)+": "+string(from)+" → "+string(to))
		}
	}
	return all
}
