package status

import (
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// verdictLine is a verdict in a cell of a table.
type verdictLine struct {
	Word     string // detach, would detach, put back, hold, refuse
	Decision policy.Decision
	Sentence string
	Until    string
	// Target is empty where the task has only one.
	Target string
}

func newVerdictLines(vs []*policy.Verdict, now time.Time) []verdictLine {
	lines := make([]verdictLine, len(vs))
	for i, v := range vs {
		lines[i] = verdictLine{
			Word: verdictWord(v), Decision: v.Decision, Sentence: v.Sentence, Until: untilWords(v.Until, now),
		}
		if len(vs) > 1 {
			lines[i].Target = v.Target.Address() + " in " + v.Target.Group.Name()
		}
	}
	return lines
}

// verdictWord says of an allow what comes of it.
func verdictWord(v *policy.Verdict) string {
	switch {
	case v.Decision != policy.Allow:
		return string(v.Decision)
	case v.Action == policy.Attach:
		return "put back"
	case v.Acts():
		return "detach"
	default:
		return "would detach"
	}
}

// untilWords is empty when nobody knows until when.
func untilWords(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stampOf(t, now).Text
}

// verdictsFor are those about one action.
func verdictsFor(vs []*policy.Verdict, a policy.Action) []*policy.Verdict {
	var its []*policy.Verdict
	for _, v := range vs {
		if v.Action == a {
			its = append(its, v)
		}
	}
	return its
}

// verdictSection is a verdict in full, guard by guard.
type verdictSection struct {
	Address, Group string
	Line           verdictLine
	Guard          policy.Guard // that decided; empty when all allow
	Mode           policy.Mode
	At             stamp
	Rows           []findingRow
}

type findingRow struct {
	Guard    policy.Guard
	Decision policy.Decision
	Reason   policy.Reason
	Sentence string
	Until    string
	Values   []string
	Decides  bool
}

func newVerdictSections(vs []*policy.Verdict, now time.Time) []verdictSection {
	lines := newVerdictLines(vs, now)
	sections := make([]verdictSection, len(vs))
	for i, v := range vs {
		s := verdictSection{
			Address: v.Target.Address(), Group: v.Target.Group.Name(),
			Line: lines[i], Guard: v.Guard, Mode: v.Mode, At: stampOf(v.At, now),
		}
		for _, f := range v.Findings {
			row := findingRow{
				Guard: f.Guard, Decision: f.Decision, Reason: f.Reason, Sentence: f.Sentence,
				Until: untilWords(f.Until, now), Decides: f.Guard == v.Guard,
			}
			for _, value := range f.Values {
				row.Values = append(row.Values, valueWords(value))
			}
			s.Rows = append(s.Rows, row)
		}
		sections[i] = s
	}
	return sections
}

// valueWords is "healthy left 2, limit 3".
func valueWords(v policy.Value) string {
	return strings.ReplaceAll(v.Name, "_", " ") + " " + quantity(v.Got, v.Unit) + ", limit " + quantity(v.Limit, v.Unit)
}

func quantity(n float64, unit string) string {
	if unit == "seconds" {
		return strconv.FormatFloat(round(n), 'f', -1, 64) + " s"
	}
	said := strconv.FormatFloat(round(n), 'f', -1, 64)
	if unit != "" {
		said += " " + unit
	}
	return said
}

// undocumented are failing targets that no open timeline is about: castoff has
// decided about them all the same, and that must be seen.
func (v *View) undocumented() map[fleet.TaskARN][]*policy.Verdict {
	documented := make(map[fleet.TaskARN]bool, len(v.Open))
	for _, t := range v.Open {
		documented[t.Task] = true
	}
	rest := make(map[fleet.TaskARN][]*policy.Verdict)
	for i := range v.Verdicts {
		if verdict := &v.Verdicts[i]; verdict.Action == policy.Detach && !documented[verdict.Task] {
			rest[verdict.Task] = append(rest[verdict.Task], verdict)
		}
	}
	return rest
}
