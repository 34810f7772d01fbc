package status

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// callsSection is what castoff asks of AWS, on its own page.
type callsSection struct {
	Over       string // the time that Now is about
	Budgets    []budgetRow
	Operations []operationRow
	Errors     string // since the start, by class
}

type budgetRow struct {
	Bucket    string
	Now       string // calls a second of late
	PerSecond string
	Used      string // per cent
	Bars      []bar
	Requests  int
	Waited    string
}

type operationRow struct {
	Service, Name, Bucket string
	Requests              int
	Errors                string // by class
}

// newCallsSection is nil while nothing is known.
func newCallsSection(v *View) *callsSection {
	if v.Calls.At.IsZero() {
		return nil
	}
	over := v.Calls.At.Sub(v.CallsBefore.At)
	s := &callsSection{Over: span(max(0, over).Round(time.Second))}
	before := make(map[string]int)
	for _, b := range v.CallsBefore.Budgets {
		before[b.Bucket] = b.Requests
	}
	for _, b := range v.Calls.Budgets {
		row := budgetRow{
			Bucket: b.Bucket, Now: "–", PerSecond: perSecond(b.PerSecond), Used: "–", Requests: b.Requests, Waited: span(b.Waited),
		}
		if over > 0 {
			rate := float64(b.Requests-before[b.Bucket]) / over.Seconds()
			row.Now = perSecond(rate)
			if b.PerSecond > 0 {
				used := 100 * rate / b.PerSecond
				row.Used = fmt.Sprintf("%.0f %%", used)
				class := "pass"
				if used > 100 { // AWS's own bucket lets a burst through
					class = "partial"
				}
				if used > 0 {
					row.Bars = []bar{{X: "0%", Width: percent(max(least, min(100, used))), Class: class}}
				}
			}
		}
		s.Budgets = append(s.Budgets, row)
	}
	all := make(map[string]int)
	for _, o := range v.Calls.Operations {
		row := operationRow{Service: o.Service, Name: o.Name, Bucket: o.Bucket, Errors: classWords(o.Results)}
		for result, n := range o.Results {
			row.Requests += n
			all[result] += n
		}
		s.Operations = append(s.Operations, row)
	}
	s.Errors = classWords(all)
	return s
}

// perSecond is to two figures where they say anything.
func perSecond(rate float64) string { return strconv.FormatFloat(round(rate), 'f', -1, 64) }

// classWords is "3 throttled, 1 transient".
func classWords(results map[string]int) string {
	var words []string
	for _, class := range fleet.Classes {
		if n := results[string(class)]; n > 0 {
			words = append(words, strconv.Itoa(n)+" "+spaced(string(class)))
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
