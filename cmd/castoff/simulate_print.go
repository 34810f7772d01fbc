package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/castoff-ecs/castoff/controller/scenario"
)

// simulation is what castoff simulate says.
type simulation struct {
	Service string           `json:"service"`
	Failure scenario.Failure `json:"failure"`
	Failing int              `json:"failing"`
	Of      int              `json:"of"` // tasks
	// Notes are what of the service --like took for something else.
	Notes []string `json:"notes,omitempty"`
	scenario.Result
}

// wayNames are the ways for people.
var wayNames = map[scenario.Way]string{scenario.ECSAlone: "ECS alone", scenario.Observing: "observe", scenario.Detaching: "detach"}

// what happens to the tasks.
var failureNames = map[scenario.Failure]string{
	scenario.Hang: "stops answering and goes on accepting connections", scenario.Crash: "dies behind a front that goes on accepting connections",
	scenario.Refuse: "refuses connections", scenario.Exit: "exits",
}

// textWidth is that of sentences.
const textWidth = 100

func (s simulation) write(w io.Writer) error {
	many := "1 task"
	if s.Failing > 1 {
		many = fmt.Sprintf("each of %d tasks at once", s.Failing)
	}
	fmt.Fprintf(w, "%s\n\n", wrap(fmt.Sprintf("%s: %s of %d %s, in %d worlds (seeds %d to %d).",
		printable(s.Service), many, s.Of, failureNames[s.Failure], s.Runs, s.Seed, s.Seed+uint64(s.Runs)-1)))
	rows := s.rows()
	wide := widths(rows)
	fmt.Fprintf(w, "%-*s", wide[0], "")
	for i, o := range s.Ways {
		fmt.Fprintf(w, "  %s", banner(wayNames[o.Way], wide[1+3*i:4+3*i]))
	}
	fmt.Fprintln(w)
	if err := table(w, rows); err != nil {
		return err
	}
	if rows := s.guards(); len(rows) > 1 {
		fmt.Fprint(w, "\nWhat held castoff up while there was something to take out:\n\n")
		if err := table(w, rows); err != nil {
			return err
		}
	}
	for _, sentence := range s.Sentences {
		fmt.Fprintf(w, "\n%s\n", wrap(printable(sentence.Text)))
	}
	_, err := fmt.Fprintf(w, "\n%s\n", wrap("The worlds differ in what AWS does not publish; README.md has the ranges and where they come from."))
	return err
}

// rows are the one table, three columns for each way.
func (s simulation) rows() [][]string {
	head := []string{""}
	for range s.Ways {
		head = append(head, "  p50", "  p95", "  max") // no column is narrower than its way's name needs
	}
	rows := [][]string{head}
	streams := false
	for _, o := range s.Ways {
		streams = streams || o.Streams.Max > 0
	}
	for _, r := range []struct {
		name string
		of   func(scenario.Outcome) scenario.Spread
		form string
		skip bool
	}{
		{"exposure, s", func(o scenario.Outcome) scenario.Spread { return o.Exposure }, "%.1f", false},
		{"failure to the last new flow, s", func(o scenario.Outcome) scenario.Spread { return o.LastFlow }, "%.1f", false},
		{"new flows to dead apps", func(o scenario.Outcome) scenario.Spread { return o.Flows }, "%.0f", false},
		{"stream-seconds to dead apps", func(o scenario.Outcome) scenario.Spread { return o.Streams }, "%.0f", !streams},
		{"UNHEALTHY to castoff's call, s", func(o scenario.Outcome) scenario.Spread { return o.Called }, "%.1f", false},
	} {
		if r.skip {
			continue
		}
		row := []string{r.name}
		for _, o := range s.Ways {
			if x := r.of(o); o.Acted == 0 && strings.HasPrefix(r.name, "UNHEALTHY") {
				row = append(row, "-", "-", "-")
			} else {
				row = append(row, fmt.Sprintf(r.form, x.P50), fmt.Sprintf(r.form, x.P95), fmt.Sprintf(r.form, x.Max))
			}
		}
		rows = append(rows, row)
	}
	for _, r := range []struct {
		name string
		of   func(scenario.Outcome) string
	}{
		{fmt.Sprintf("castoff called, of %d worlds", s.Runs), func(o scenario.Outcome) string {
			if o.Way == scenario.ECSAlone {
				return "-"
			}
			return fmt.Sprint(o.Acted)
		}},
		{"least healthy targets ever left", func(o scenario.Outcome) string { return fmt.Sprint(o.LeastHealthy) }},
	} {
		row := []string{r.name}
		for _, o := range s.Ways {
			row = append(row, "", "", r.of(o))
		}
		rows = append(rows, row)
	}
	return rows
}

// guards are those that held in the weightiest way.
func (s simulation) guards() [][]string {
	rows := [][]string{{"guard", "reason", "worlds", "never let go", "held p50, s", "max"}}
	last := s.Ways[len(s.Ways)-1]
	for _, h := range last.Guards {
		rows = append(rows, []string{string(h.Guard), string(h.Reason), fmt.Sprintf("%d of %d", h.Runs, s.Runs), fmt.Sprint(h.Never),
			fmt.Sprintf("%.1f", h.Seconds.P50), fmt.Sprintf("%.1f", h.Seconds.Max)})
	}
	return rows
}

// wrap breaks a text into lines at its spaces.
func wrap(text string) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > textWidth:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return strings.Join(append(lines, line), "\n")
}
