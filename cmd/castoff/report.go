package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/scenario"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// report is what castoff said beside the truth. Seconds are the region's, from
// the true onset.
type report struct {
	Speed       float64           `json:"speed"`
	Seed        uint64            `json:"seed"`
	Task        string            `json:"task"`
	Service     string            `json:"service"`
	Trigger     timeline.Trigger  `json:"trigger"`
	Outcome     timeline.Outcome  `json:"outcome"`
	Replacement string            `json:"replacement"`
	Milestones  []reportMilestone `json:"milestones"`
	Phases      []reportPhase     `json:"phases"`
	// Felt is what the hang cost, in truth.
	Felt felt `json:"felt"`
	// Tries is how many calls of castoff's took the target out.
	Tries int `json:"tries"`
	// Saved is what castoff says that it saved, or would have; null when nothing, or when
	// nobody knows.
	Saved *reportSaved `json:"saved"`
	Holds bool         `json:"holds"`
}

type felt struct {
	Exposure float64 `json:"exposure_seconds"` // ECS knew, and the NLB called the target healthy
	LastFlow float64 `json:"last_new_flow_seconds"`
	Stopped  float64 `json:"stopped_seconds"`
	Flows    float64 `json:"flows_to_the_dead_app"`
}

type reportSaved struct {
	Shortest float64 `json:"shortest_seconds"`
	Longest  float64 `json:"longest_seconds"`
}

type reportMilestone struct {
	Milestone timeline.Kind   `json:"milestone"`
	Truth     *float64        `json:"truth_seconds"` // null: never happened
	NotBefore *float64        `json:"not_before_seconds"`
	NotAfter  *float64        `json:"not_after_seconds"`
	Source    timeline.Source `json:"source,omitempty"`
	By        timeline.Actor  `json:"by,omitempty"`
	Holds     bool            `json:"holds"`
}

type reportPhase struct {
	Phase    timeline.PhaseName `json:"phase"`
	Truth    *float64           `json:"truth_seconds"`
	Shortest float64            `json:"shortest_seconds"`
	Longest  float64            `json:"longest_seconds"`
	Holds    bool               `json:"holds"`
}

// newReport holds a timeline to the truth. The detachment may be nil.
func newReport(c demoCmd, tl *timeline.Timeline, truth sim.Truth, d *policy.Detachment, since func(time.Time) time.Duration) report {
	r := report{
		Speed: c.Speed, Seed: c.Seed, Task: tl.Task.ID(), Service: tl.Service.String(), Trigger: tl.Trigger,
		Outcome: tl.Outcome, Replacement: tl.Replacement.ID(), Holds: true,
	}
	seconds := func(t time.Time) *float64 {
		if t.IsZero() {
			return nil
		}
		s := millis(since(t))
		return &s
	}
	for _, f := range scenario.Judge(tl, truth) {
		holds := f.Holds() && !f.Missed()
		r.Holds = r.Holds && holds
		r.Milestones = append(r.Milestones, reportMilestone{
			Milestone: f.Kind, Truth: seconds(f.Truth), NotBefore: seconds(f.Milestone.NotBefore), NotAfter: seconds(f.Milestone.NotAfter),
			Source: f.Milestone.Source, By: f.Milestone.By, Holds: holds,
		})
	}
	for _, p := range tl.Phases() {
		row := reportPhase{Phase: p.Name, Shortest: millis(c.lengthen(p.Shortest)), Longest: millis(c.lengthen(p.Longest))}
		if took, ok := phaseTruth(p.Name, truth); ok {
			s := millis(c.lengthen(took))
			row.Truth, row.Holds = &s, took >= p.Shortest && took <= p.Longest
		}
		r.Holds = r.Holds && row.Holds
		r.Phases = append(r.Phases, row)
	}
	for _, target := range truth.Targets {
		r.Felt.Exposure += millis(c.lengthen(target.Exposed))
		r.Felt.Flows += math.Round(target.Flows)
		r.Felt.LastFlow = max(r.Felt.LastFlow, millis(since(target.LastFlow)))
	}
	r.Felt.Stopped = millis(since(truth.Stopped))
	if d != nil {
		r.Tries = d.Tries
		if s, ok := d.Saved(); ok {
			r.Saved = &reportSaved{Shortest: millis(c.lengthen(s.Shortest)), Longest: millis(c.lengthen(s.Longest))}
		}
	}
	return r
}

// verdict is the error of a run in which castoff was wrong.
func (r report) verdict() error {
	if !r.Holds {
		return errors.New("castoff was wrong or blind: see the lines that say NO")
	}
	return nil
}

// phaseTruth is how long a phase really took in the demo's story, in which a
// container check finds the hang and the NLB never does; ok is false when it has
// no end.
func phaseTruth(name timeline.PhaseName, truth sim.Truth) (took time.Duration, ok bool) {
	if name == timeline.Exposure {
		for _, t := range truth.Targets {
			took += t.Exposed // there is one
		}
		return took, true
	}
	ends := map[timeline.PhaseName][2]timeline.Kind{
		timeline.Detection:   {timeline.Onset, timeline.Unhealthy},
		timeline.Reaction:    {timeline.Unhealthy, timeline.Detach},
		timeline.Drain:       {timeline.Detach, timeline.Detached},
		timeline.Replacement: {timeline.Unhealthy, timeline.ReplacementServing},
		timeline.Retirement:  {timeline.Unhealthy, timeline.Stopped},
	}[name]
	from, to := scenario.When(truth, ends[0]), scenario.When(truth, ends[1])
	return to.Sub(from), !from.IsZero() && !to.IsZero()
}

func (r report) write(w io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	fmt.Fprintf(w, "\n%s, task %s\nfound by %s, %s, replaced by %s\n", r.Service, r.Task, r.Trigger, r.Outcome, r.Replacement)
	fmt.Fprint(w, "Seconds of the region's time since the app hung:\n\n")
	rows := [][]string{{"milestone", "truth", "earliest", "latest", "error", "source", "by", "holds"}}
	for _, m := range r.Milestones {
		rows = append(rows, []string{
			string(m.Milestone), number(m.Truth), number(m.NotBefore), number(m.NotAfter),
			width(m.NotBefore, m.NotAfter), string(m.Source), string(m.By), yes(m.Holds),
		})
	}
	rows = append(rows, nil, []string{"phase", "truth", "at least", "at most", "error", "", "", "holds"})
	for _, p := range r.Phases {
		rows = append(rows, []string{
			string(p.Phase), number(p.Truth), number(&p.Shortest), number(&p.Longest), width(&p.Shortest, &p.Longest), "", "", yes(p.Holds),
		})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	for _, p := range r.Phases {
		if p.Phase == timeline.Exposure {
			fmt.Fprintf(w, "\nFor %.0f to %.0f s the NLB went on calling a target healthy after ECS had called\nits task UNHEALTHY.\n", p.Shortest, p.Longest)
		}
	}
	if r.Holds {
		fmt.Fprintln(w, "Every bound holds the truth.")
	}
	return nil
}

// millis are seconds as far as AWS's own timestamps go.
func millis(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)) / float64(time.Second)
}

// table writes rows in columns, the first one flush left and the others flush
// right.
func table(w io.Writer, rows [][]string) error {
	wide := widths(rows)
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i == 0 {
				fmt.Fprintf(&line, "%-*s", wide[i], cell)
			} else {
				fmt.Fprintf(&line, "  %*s", wide[i], cell)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// widths are those of the widest cells of each column.
func widths(rows [][]string) (wide []int) {
	for _, row := range rows {
		wide = append(wide, make([]int, max(0, len(row)-len(wide)))...)
		for i, cell := range row {
			wide[i] = max(wide[i], utf8.RuneCountInString(cell))
		}
	}
	return wide
}

func number(s *float64) string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", *s)
}

func width(from, to *float64) string {
	if from == nil || to == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", *to-*from)
}

func yes(holds bool) string {
	if holds {
		return "yes"
	}
	return "NO"
}
