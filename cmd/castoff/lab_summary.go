//go:build linux && !nolab

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/castoff-ecs/castoff/controller/lab"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// labMeasure is something that is measured on each side of each run.
type labMeasure struct {
	name string
	form string
	of   func(labSide) (float64, bool)
}

// labMeasures are the rows of the summary.
func labMeasures() []labMeasure {
	between := func(from, to timeline.Kind) func(labSide) (float64, bool) {
		return func(s labSide) (float64, bool) {
			x, _ := s.Castoff.milestone(from)
			y, _ := s.Castoff.milestone(to)
			if x.Truth == nil || y.Truth == nil {
				return 0, false
			}
			return *y.Truth - *x.Truth, true
		}
	}
	all := []labMeasure{
		{"onset → UNHEALTHY", "%.1f s", between(timeline.Onset, timeline.Unhealthy)},
		{"UNHEALTHY → detach", "%.1f s", between(timeline.Unhealthy, timeline.Detach)},
		{"detach → last new flow", "%.1f s", func(s labSide) (float64, bool) {
			m, _ := s.Castoff.milestone(timeline.Detach)
			if m.Truth == nil {
				return 0, false
			}
			return s.Felt.Flows.Last - *m.Truth, true
		}},
		{"onset → last new flow", "%.1f s", func(s labSide) (float64, bool) { return s.Felt.Flows.Last, true }},
		{"onset → stopped", "%.1f s", between(timeline.Onset, timeline.Stopped)},
		{"failed calls, of all kinds", "%.0f", func(s labSide) (float64, bool) {
			n := 0
			for _, h := range s.Felt.Habits {
				n += h.Failed
			}
			return float64(n), true
		}},
	}
	for _, habit := range lab.Habits {
		of := func(get func(lab.HabitFelt) int) func(labSide) (float64, bool) {
			return func(s labSide) (float64, bool) {
				i := slices.IndexFunc(s.Felt.Habits, func(h lab.HabitFelt) bool { return h.Habit == habit })
				if i < 0 {
					return 0, false // of a run before there were such clients
				}
				return float64(get(s.Felt.Habits[i])), true
			}
		}
		all = append(all,
			labMeasure{"failed: " + string(habit), "%.0f", of(func(h lab.HabitFelt) int { return h.Failed })},
			labMeasure{"  seconds with one", "%.0f s", of(func(h lab.HabitFelt) int { return h.Seconds })})
	}
	return all
}

// readLabResults takes what runs have printed with --json.
func readLabResults(files []string) (all []labResult, err error) {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var results []labResult
		if err := json.Unmarshal(text, &results); err != nil {
			return nil, fmt.Errorf("%s is not what castoff lab --json prints: %w", file, err)
		}
		for _, r := range results {
			if len(r.Sides) != 2 || r.Speed != results[0].Speed || len(all) > 0 && r.Speed != all[0].Speed {
				return nil, fmt.Errorf("%s: each run needs two sides, and all the same speed", file)
			}
		}
		all = append(all, results...)
	}
	return all, nil
}

// writeLabSummary shows medians and ranges of several runs of each scenario, and
// how many times smaller they are where castoff acts.
func writeLabSummary(w io.Writer, results []labResult) error {
	held, milestones := 0, 0
	for _, scenario := range lab.Scenarios {
		var runs []labResult
		for _, r := range results {
			if r.Scenario == scenario {
				runs = append(runs, r)
			}
		}
		if len(runs) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s, %d runs, AWS's lags %g times shorter: median (least–most)\n\n", scenario, len(runs), runs[0].Speed)
		rows := [][]string{{"", "castoff watches", "castoff acts", "median of ratios"}}
		for _, m := range labMeasures() {
			if row := m.row(runs); row[1] != "-" || row[2] != "-" {
				rows = append(rows, row)
			}
		}
		if err := table(w, rows); err != nil {
			return err
		}
		for _, r := range runs {
			for _, s := range r.Sides {
				h, all := s.held()
				held, milestones = held+h, milestones+all
			}
		}
		writeProbes(w, runs)
	}
	_, err := fmt.Fprintf(w, "\nMilestones whose bounds hold the truth: %d of %d.\n", held, milestones)
	return err
}

func (m labMeasure) row(runs []labResult) []string {
	var sides [2][]float64
	var ratios []float64
	for _, r := range runs {
		x, okX := m.of(r.Sides[0])
		y, okY := m.of(r.Sides[1])
		if okX {
			sides[0] = append(sides[0], x)
		}
		if okY {
			sides[1] = append(sides[1], y)
		}
		if okX && okY && x > 0 && y > 0 {
			ratios = append(ratios, x/y)
		}
	}
	row := []string{m.name, m.spread(sides[0]), m.spread(sides[1]), ""}
	if len(ratios) == len(runs) {
		row[3] = fmt.Sprintf("÷ %.2f", median(ratios))
	}
	return row
}

func (m labMeasure) spread(values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	return fmt.Sprintf(m.form+" ("+m.form+"–"+m.form+")", median(values), slices.Min(values), slices.Max(values))
}

func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// writeProbes tells how the probe found the failure.
func writeProbes(w io.Writer, runs []labResult) {
	took := map[int][]float64{}
	for _, r := range runs {
		for _, s := range r.Sides {
			for _, p := range s.failing() {
				took[p.Code] = append(took[p.Code], p.Took)
			}
		}
	}
	for code := range 256 {
		if t := took[code]; len(t) > 0 {
			fmt.Fprintf(w, "grpc-health-probe ended with %d %d times, in %.2f s (%.2f–%.2f)\n", code, len(t), median(t), slices.Min(t), slices.Max(t))
		}
	}
}
