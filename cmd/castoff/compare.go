package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/castoff-ecs/castoff/controller/timeline"
)

// comparison is the same hang twice: retired by ECS alone, and with castoff
// taking its target out.
type comparison struct {
	Alone report `json:"ecs_alone"`
	With  report `json:"with_castoff"`
}

// verdict is the error of a demo in which castoff was wrong, or of no use.
func (c comparison) verdict() error {
	if err := errors.Join(c.Alone.verdict(), c.With.verdict()); err != nil {
		return errors.New("castoff was wrong or blind: see the lines that say NO")
	}
	if c.With.Tries == 0 || c.With.Felt.Exposure >= c.Alone.Felt.Exposure {
		return errors.New("castoff did not take the sick target out before ECS did")
	}
	return nil
}

func (c comparison) write(w io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(c)
	}
	fmt.Fprintf(w, "\n%s, task %s, found by %s\n", c.With.Service, c.With.Task, c.With.Trigger)
	fmt.Fprint(w, "Seconds of the region's time since the app hung, truth and castoff's bounds:\n\n")
	rows := [][]string{
		{"milestone", "truth", "earliest", "latest", "by", "truth", "earliest", "latest", "by", "holds"},
	}
	for _, k := range timeline.Kinds {
		a, inAlone := c.Alone.milestone(k)
		b, inWith := c.With.milestone(k)
		if !inAlone && !inWith {
			continue
		}
		rows = append(rows, []string{
			string(k), number(a.Truth), number(a.NotBefore), number(a.NotAfter), dash(string(a.By)),
			number(b.Truth), number(b.NotBefore), number(b.NotAfter), dash(string(b.By)),
			yes((a.Holds || !inAlone) && (b.Holds || !inWith)),
		})
	}
	rows = append(rows, nil, []string{"phase", "truth", "at least", "at most", "", "truth", "at least", "at most", "", "holds"})
	for _, name := range timeline.PhaseNames {
		a, inAlone := c.Alone.phase(name)
		b, inWith := c.With.phase(name)
		if !inAlone && !inWith {
			continue
		}
		row := []string{string(name)}
		for _, p := range []reportPhase{a, b} {
			if p.Phase == "" {
				row = append(row, "-", "-", "-", "")
				continue
			}
			row = append(row, number(p.Truth), number(&p.Shortest), number(&p.Longest), "")
		}
		rows = append(rows, append(row, yes((a.Holds || !inAlone) && (b.Holds || !inWith))))
	}
	wide := widths(rows)
	fmt.Fprintf(w, "%-*s  %s  %s\n", wide[0], "", banner("ECS alone", wide[1:5]), banner("with castoff", wide[5:9]))
	if err := table(w, rows); err != nil {
		return err
	}
	return c.writeFelt(w)
}

// writeFelt tells what the clients felt.
func (c comparison) writeFelt(w io.Writer) error {
	a, b := c.Alone.Felt, c.With.Felt
	fmt.Fprint(w, "\nWhat the clients felt, in truth:\n\n")
	rows := [][]string{{"", "ECS alone", "with castoff", ""}}
	for _, r := range []struct {
		name string
		a, b float64
		form string
	}{
		{"exposure: UNHEALTHY, and healthy to the NLB", a.Exposure, b.Exposure, "%.1f s"},
		{"hang to the last new flow", a.LastFlow, b.LastFlow, "%.1f s"},
		{"hang to STOPPED", a.Stopped, b.Stopped, "%.1f s"},
		{fmt.Sprintf("new flows to the dead app, of %d a second", demoFlows), a.Flows, b.Flows, "%.0f"},
	} {
		rows = append(rows, []string{r.name, fmt.Sprintf(r.form, r.a), fmt.Sprintf(r.form, r.b), times(r.a, r.b)})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	if n := c.With.Tries; n > 0 {
		fmt.Fprint(w, "\ncastoff took the target out")
		if s := c.With.Saved; s != nil {
			fmt.Fprintf(w, ", %.0f to %.0f s before ECS itself began", s.Shortest, s.Longest)
		}
		if n > 1 {
			fmt.Fprintf(w, ",\nin %d calls, because ECS puts a running task's target back", n)
		}
		fmt.Fprintln(w, ".")
	}
	if c.Alone.Holds && c.With.Holds {
		fmt.Fprintln(w, "Every bound holds the truth.")
	}
	return nil
}

func (r report) milestone(k timeline.Kind) (reportMilestone, bool) {
	for _, m := range r.Milestones {
		if m.Milestone == k {
			return m, true
		}
	}
	return reportMilestone{}, false
}

func (r report) phase(name timeline.PhaseName) (reportPhase, bool) {
	for _, p := range r.Phases {
		if p.Phase == name {
			return p, true
		}
	}
	return reportPhase{}, false
}

// banner is a heading over columns of these widths.
func banner(name string, columns []int) string {
	width := 2*len(columns) - 2
	for _, n := range columns {
		width += n
	}
	left := (width - len(name) - 2) / 2
	return strings.Repeat("-", left) + " " + name + " " + strings.Repeat("-", width-left-len(name)-2)
}

// times is how many times smaller b is than a.
func times(a, b float64) string {
	if b <= 0 || a < 1.05*b {
		return ""
	}
	return fmt.Sprintf("÷ %.1f", a/b)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
