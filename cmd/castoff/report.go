package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/scenario"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// progress tells what castoff learns while it learns it.
type progress struct {
	w     io.Writer
	live  bool // a running clock can be shown
	demo  demoCmd
	shown map[timeline.Kind]bool
}

// newProgress writes beside the tables, or, when those are JSON, beside it.
func newProgress(to streams, c demoCmd) *progress {
	w := to.out
	if c.JSON {
		w = to.err
	}
	return &progress{w: w, live: isTerminal(w), demo: c, shown: map[timeline.Kind]bool{}}
}

func (p *progress) begin(address string) {
	fmt.Fprintf(p.w, `A simulated AWS region at %g times the speed of the clock (seed %d).
Cluster %s has three services. One is a gRPC app behind nginx behind an NLB:
the NLB's TCP check sees only that nginx accepts, ECS's container check sees
the app. castoff reads all that over loopback in AWS's own protocols, every 5 s,
and every 2 s while something fails (the region's seconds). After 20 calm ones
an app hangs.
Watch it at http://%s/

`, p.demo.Speed, p.demo.Seed, demoCluster, address)
}

func (p *progress) hung(task fleet.TaskARN) {
	p.line(0, fmt.Sprintf("the app of task %.8s hangs; nginx goes on accepting", task.ID()))
}

// words say each milestone in a sentence.
var words = map[timeline.Kind]string{
	timeline.Unhealthy:          "ECS calls the task UNHEALTHY; the NLB calls its target healthy",
	timeline.LBUnhealthy:        "the NLB calls the target unhealthy",
	timeline.Recovery:           "the task is healthy again",
	timeline.ReplacementCreated: "ECS has created a replacement",
	timeline.ReplacementRunning: "the replacement runs",
	timeline.ReplacementServing: "the replacement's target is healthy",
	timeline.Detach:             "ECS deregisters the sick target: draining",
	timeline.Detached:           "the sick target is gone from its group",
	timeline.Stopping:           "ECS stops the task's containers",
	timeline.Stopped:            "the task is STOPPED",
}

// show writes a line for each milestone that castoff has learned of, the
// earliest first of those that it learned of together.
func (p *progress) show(tl *timeline.Timeline, since func(time.Time) time.Duration) {
	var news []timeline.Milestone
	for _, m := range tl.Milestones {
		if words[m.Kind] != "" && !p.shown[m.Kind] {
			p.shown[m.Kind] = true
			news = append(news, m)
		}
	}
	slices.SortStableFunc(news, func(a, b timeline.Milestone) int { return a.NotAfter.Compare(b.NotAfter) })
	for _, m := range news {
		p.line(since(m.NotAfter), words[m.Kind])
	}
}

func (p *progress) line(at time.Duration, text string) {
	p.clear()
	fmt.Fprintf(p.w, "%s  %s\n", clock(at), text)
}

// tick shows that time goes by, where the line can be written over.
func (p *progress) tick(at time.Duration) {
	if p.live {
		fmt.Fprintf(p.w, "\r%s  …", clock(at))
	}
}

func (p *progress) clear() {
	if p.live {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// isTerminal reports that w is a screen that can be written over.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// clock is minutes and seconds since the hang.
func clock(d time.Duration) string {
	d = d.Round(100 * time.Millisecond) // first, or 59.96 s would read 60.0
	return fmt.Sprintf("+%02d:%04.1f", int(d.Minutes()), (d % time.Minute).Seconds())
}

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
	Holds       bool              `json:"holds"`
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

func newReport(c demoCmd, tl *timeline.Timeline, findings []scenario.Finding, since func(time.Time) time.Duration) report {
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
	truth := map[timeline.Kind]time.Time{}
	for _, f := range findings {
		truth[f.Kind] = f.Truth
		holds := f.Holds() && !f.Missed()
		r.Holds = r.Holds && holds
		r.Milestones = append(r.Milestones, reportMilestone{
			Milestone: f.Kind, Truth: seconds(f.Truth), NotBefore: seconds(f.Milestone.NotBefore), NotAfter: seconds(f.Milestone.NotAfter),
			Source: f.Milestone.Source, By: f.Milestone.By, Holds: holds,
		})
	}
	for _, p := range tl.Phases() {
		row := reportPhase{Phase: p.Name, Shortest: millis(c.lengthen(p.Shortest)), Longest: millis(c.lengthen(p.Longest))}
		if from, to := truth[demoPhases[p.Name][0]], truth[demoPhases[p.Name][1]]; !from.IsZero() && !to.IsZero() {
			took := to.Sub(from)
			s := millis(c.lengthen(took))
			row.Truth, row.Holds = &s, took >= p.Shortest && took <= p.Longest
		}
		r.Holds = r.Holds && row.Holds
		r.Phases = append(r.Phases, row)
	}
	return r
}

// demoPhases are the ends of each phase in the demo's story, in which a
// container check finds the hang and the NLB never does.
var demoPhases = map[timeline.PhaseName][2]timeline.Kind{
	timeline.Detection:   {timeline.Onset, timeline.Unhealthy},
	timeline.Reaction:    {timeline.Unhealthy, timeline.Detach},
	timeline.Drain:       {timeline.Detach, timeline.Detached},
	timeline.Exposure:    {timeline.Unhealthy, timeline.Detach},
	timeline.Replacement: {timeline.Unhealthy, timeline.ReplacementServing},
	timeline.Retirement:  {timeline.Unhealthy, timeline.Stopped},
}

func (r report) print(w io.Writer, asJSON bool) error {
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
	var widths []int
	for _, row := range rows {
		widths = append(widths, make([]int, max(0, len(row)-len(widths)))...)
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			if i == 0 {
				fmt.Fprintf(&b, "%-*s", widths[i], cell)
			} else {
				fmt.Fprintf(&b, "  %*s", widths[i], cell)
			}
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
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
