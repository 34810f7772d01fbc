//go:build linux && !nolab

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/castoff-ecs/castoff/controller/lab"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// labResult is one failure, of a task that castoff only watches and of one whose
// target it takes out.
type labResult struct {
	Scenario lab.Scenario `json:"scenario"`
	Seed     uint64       `json:"seed"`
	Speed    float64      `json:"speed"` // by which AWS's lags were shortened; seconds are the clock's
	Sides    []labSide    `json:"sides"`
}

// labSide is what came of one of them.
type labSide struct {
	Mode    policy.Mode `json:"mode"`
	Castoff report      `json:"castoff"`
	Felt    lab.Felt    `json:"felt"`
	Probes  []labProbe  `json:"probes"` // whose results came after the onset
}

// onlySaid leaves out what castoff says nothing about: a timeline that ends with
// the task's recovery need not tell of a replacement that was started meanwhile.
func (r *report) onlySaid() {
	r.Milestones = slices.DeleteFunc(r.Milestones, func(m reportMilestone) bool { return m.NotBefore == nil })
	r.Holds = !slices.ContainsFunc(r.Milestones, func(m reportMilestone) bool { return !m.Holds }) &&
		!slices.ContainsFunc(r.Phases, func(p reportPhase) bool { return !p.Holds })
}

// labProbe is one run of grpc-health-probe. Seconds are since the onset.
type labProbe struct {
	Due      float64 `json:"due_seconds"` // when it was to begin
	Began    float64 `json:"began_seconds"`
	Took     float64 `json:"took_seconds"`
	Told     float64 `json:"told_seconds"` // when its result had been taken
	Code     int     `json:"exit_code"`
	TimedOut bool    `json:"timed_out"` // killed after the check's timeout
	Said     string  `json:"said"`
}

// labVerdict is the error of results in which castoff was wrong.
func labVerdict(results []labResult) error {
	for _, r := range results {
		for _, s := range r.Sides {
			if !s.Castoff.Holds {
				return errors.New("castoff was wrong or blind: see what does not hold")
			}
		}
	}
	return nil
}

// held counts milestones whose bounds hold the truth.
func (s labSide) held() (held, all int) {
	for _, m := range s.Castoff.Milestones {
		all++
		if m.Holds {
			held++
		}
	}
	return held, all
}

func (c labCmd) write(w io.Writer, results []labResult) error {
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(results)
	}
	if len(results) == 0 {
		return nil
	}
	if c.Runs > 1 {
		return writeLabSummary(w, results)
	}
	for _, r := range results {
		if err := r.write(w); err != nil {
			return err
		}
	}
	return nil
}

// The reference timeline's steps.
var labSteps = []struct {
	name string
	kind timeline.Kind
}{
	{"1 the app stops answering", timeline.Onset},
	{"2 its task is UNHEALTHY", timeline.Unhealthy},
	{"  its target is unhealthy", timeline.LBUnhealthy},
	{"3 a replacement is created", timeline.ReplacementCreated},
	{"  the replacement serves", timeline.ReplacementServing},
	{"  the target is deregistered", timeline.Detach},
	{"  the target is gone", timeline.Detached},
	{"  the task answers again", timeline.Recovery},
	{"4 the task is told to stop", timeline.Stopping},
	{"  the task has stopped", timeline.Stopped},
}

// write shows both sides beside each other.
func (r labResult) write(w io.Writer) error {
	a, b := r.Sides[0], r.Sides[1]
	fmt.Fprintf(w, "\n%s: task %s, found by %s, %s\nSeconds of the clock since it began, truth and castoff's bounds:\n\n", r.Scenario, b.Castoff.Task, b.Castoff.Trigger, b.Castoff.Outcome)
	if r.Scenario == lab.Flapping {
		fmt.Fprint(w, "It hangs three times. This is from the hang on that ECS found first: one of ten seconds may pass between two checks.\n\n")
	}
	rows := [][]string{{"step", "truth", "earliest", "latest", "by", "truth", "earliest", "latest", "by", "holds"}}
	for _, step := range labSteps {
		x, inX := a.Castoff.milestone(step.kind)
		y, inY := b.Castoff.milestone(step.kind)
		if !inX && !inY {
			continue
		}
		rows = append(rows, []string{
			step.name, number(x.Truth), number(x.NotBefore), number(x.NotAfter), dash(string(x.By)),
			number(y.Truth), number(y.NotBefore), number(y.NotAfter), dash(string(y.By)),
			yes((x.Holds || !inX) && (y.Holds || !inY)),
		})
	}
	wide := widths(rows)
	fmt.Fprintf(w, "%-*s  %s  %s\n", wide[0], "", banner("castoff watches", wide[1:5]), banner("castoff acts", wide[5:9]))
	if err := table(w, rows); err != nil {
		return err
	}
	fmt.Fprint(w, "\nWhat the clients felt, as they measured it:\n\n")
	return table(w, slices.Concat([][]string{{"", "castoff watches", "castoff acts"}}, feltRows(a.Felt, b.Felt), probeRows(a, b)))
}

// habitWords say what clients of a habit do.
var habitWords = map[lab.Habit]string{
	lab.Short:           "calls on new connections",
	lab.Channel:         "calls on kept connections",
	lab.ChannelAlive:    "  with keepalive",
	lab.ChannelRetries:  "  with retries",
	lab.ChannelTuned:    "  with both",
	lab.Stream:          "messages on long streams",
	lab.StreamTuned:     "  with keepalive",
	lab.StreamImpatient: "  given up after 3 silent seconds",
}

func feltRows(a, b lab.Felt) [][]string {
	rows := [][]string{{"failed, and seconds with a failure"}}
	for i, x := range a.Habits {
		y := b.Habits[i]
		cell := func(h lab.HabitFelt) string { return fmt.Sprintf("%d of %d, %d s", h.Failed, h.Calls, h.Seconds) }
		rows = append(rows, []string{"  " + habitWords[x.Habit], cell(x), cell(y)})
	}
	rows = append(rows, []string{"calls and messages sent to the failing task"})
	for _, milestone := range labAfter {
		rows = append(rows, []string{"  after " + milestone, after(a, milestone), after(b, milestone)})
	}
	return append(rows,
		[]string{"new connections to it", fmt.Sprint(a.Flows.New), fmt.Sprint(b.Flows.New)},
		[]string{"  the last one", orNone(a.Flows.Last), orNone(b.Flows.Last)},
		[]string{"kept connections to it at the onset", fmt.Sprint(a.Flows.Pinned), fmt.Sprint(b.Flows.Pinned)},
		[]string{"  given up by clients, or ended with the failure", fmt.Sprint(a.Flows.Left), fmt.Sprint(b.Flows.Left)},
		[]string{"  reset by the balancer", fmt.Sprint(a.Flows.Reset), fmt.Sprint(b.Flows.Reset)},
		[]string{"    and then answered by another task", fmt.Sprint(a.Flows.Moved), fmt.Sprint(b.Flows.Moved)},
		[]string{"  the last one ended", orNone(a.Flows.Freed), orNone(b.Flows.Freed)},
	)
}

// labAfter are the milestones from which calls to the failing task are counted.
var labAfter = []string{"onset", "unhealthy", "detach", "replacement_serving", "detached"}

func after(f lab.Felt, milestone string) string {
	for _, a := range f.After {
		if a.Milestone == milestone {
			return fmt.Sprint(a.Calls)
		}
	}
	return "-"
}

// probeRows say how the probe ended until the task was UNHEALTHY.
func probeRows(a, b labSide) [][]string {
	cell := func(s labSide) string {
		var runs []string
		for _, p := range s.failing() {
			runs = append(runs, fmt.Sprintf("%d in %.2f s", p.Code, p.Took))
		}
		return strings.Join(runs, ", ")
	}
	held := func(s labSide) string {
		n, all := s.held()
		return fmt.Sprintf("%d of %d", n, all)
	}
	return [][]string{{"grpc-health-probe's exit codes", cell(a), cell(b)}, {"milestones whose bounds hold the truth", held(a), held(b)}}
}

// failing are the probes that failed until the task was UNHEALTHY.
func (s labSide) failing() (failing []labProbe) {
	m, _ := s.Castoff.milestone(timeline.Unhealthy)
	for _, p := range s.Probes {
		if p.Code != 0 && m.Truth != nil && p.Began+p.Took <= *m.Truth {
			failing = append(failing, p)
		}
	}
	return failing
}

func orNone(s float64) string {
	if s == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f s", s)
}
