package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
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
	fmt.Fprintf(p.w, `castoff demo: a simulated AWS region, %g times faster than the clock (seed %d).
Three services in cluster %s. One is the reference workload: a gRPC app behind nginx behind an NLB
whose TCP check sees only that nginx accepts; the container health check sees the app.
castoff reads it over loopback in AWS's own protocols, every 5 s, and every 2 s while something fails
(the region's seconds), and shows what it sees at http://%s/

`, p.demo.Speed, p.demo.Seed, demoCluster, address)
}

func (p *progress) hung(task fleet.TaskARN) {
	p.line(0, "the app of task "+task.ID()+" hangs; nginx goes on accepting connections")
}

// words say each milestone in a sentence.
var words = map[timeline.Kind]string{
	timeline.Unhealthy:          "ECS calls the task UNHEALTHY; the NLB still calls its target healthy",
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

// show writes a line for each milestone that castoff has learned of.
func (p *progress) show(tl *timeline.Timeline, since func(time.Time) time.Duration) {
	for _, m := range tl.Milestones {
		if text := words[m.Kind]; text != "" && !p.shown[m.Kind] {
			p.shown[m.Kind] = true
			p.line(since(m.NotAfter), text)
		}
	}
}

func (p *progress) line(at time.Duration, text string) {
	p.clear()
	fmt.Fprintf(p.w, "%s  %s\n", clock(at), text)
}

func (p *progress) tick(at time.Duration) {
	if p.live {
		fmt.Fprintf(p.w, "\r%s  …", clock(at))
	}
}

func (p *progress) end() { p.clear() }

func (p *progress) clear() {
	if p.live {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// clock is minutes and seconds since the hang.
func clock(d time.Duration) string {
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
		s := since(t).Seconds()
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
		row := reportPhase{Phase: p.Name, Shortest: c.lengthen(p.Shortest).Seconds(), Longest: c.lengthen(p.Longest).Seconds()}
		if from, to := truth[demoPhases[p.Name][0]], truth[demoPhases[p.Name][1]]; !from.IsZero() && !to.IsZero() {
			took := to.Sub(from)
			s := c.lengthen(took).Seconds()
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
	fmt.Fprintf(w, "\nTask %s of %s: found by %s, %s, replaced by %s.\n", r.Task, r.Service, r.Trigger, r.Outcome, r.Replacement)
	fmt.Fprint(w, "Seconds of the region's time since the app hung.\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "milestone\ttruth\tnot before\tnot after\terror\tsource\tby\tholds\t")
	for _, m := range r.Milestones {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", m.Milestone, number(m.Truth), number(m.NotBefore), number(m.NotAfter),
			width(m.NotBefore, m.NotAfter), m.Source, m.By, yes(m.Holds))
	}
	fmt.Fprintln(t, "\t\t\t\t\t\t\t\t")
	fmt.Fprintln(t, "phase\ttruth\tat least\tat most\terror\t\t\tholds\t")
	for _, p := range r.Phases {
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%.1f\t%.1f\t\t\t%s\t\n", p.Phase, number(p.Truth), p.Shortest, p.Longest, p.Longest-p.Shortest, yes(p.Holds))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range r.Phases {
		if p.Phase == timeline.Exposure {
			fmt.Fprintf(w, "\nFor %.0f to %.0f s the NLB called a target healthy whose task ECS knew to be dead.\n", p.Shortest, p.Longest)
		}
	}
	if r.Holds {
		fmt.Fprintln(w, "Every bound holds the truth.")
	}
	return nil
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
