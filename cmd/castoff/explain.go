package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

type explainCmd struct {
	Subject string `arg:"" name:"task|ip" help:"A task: its ARN, its id or how that begins. Or a target: its address or instance, with :port or without."`
	serverFlag
	JSON bool `name:"json" help:"Print the answer as JSON, as /api/v1/explain gives it."`
}

func (c explainCmd) Help() string {
	return "Examples:\n\n" +
		"  castoff explain 1f0c2a57\n" +
		"  castoff explain --server http://castoff.internal:9468 10.0.17.201:10080\n\n" +
		serverHelp
}

// Run prints why a target was, or was not, detached.
func (c explainCmd) Run(ctx context.Context, to streams) error {
	from, err := c.reader()
	if err != nil {
		return err
	}
	defer from.close()
	body, err := from.get(ctx, "/api/v1/explain", url.Values{"of": {c.Subject}})
	if err != nil {
		return err
	}
	if c.JSON {
		return from.copyJSON(to.out, body)
	}
	var answer explanation
	if err := from.decode(body, &answer); err != nil {
		return err
	}
	var text strings.Builder
	answer.write(&text)
	_, err = io.WriteString(to.out, text.String())
	return err
}

// line is text for a terminal, whatever it says: sentences quote what AWS says,
// and tags what people write.
type line string

func (l *line) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	*l = line(printable(text))
	return nil
}

// spaced is a code in words.
func (l line) spaced() string { return strings.ReplaceAll(string(l), "_", " ") }

// explanation is as much of /api/v1/explain as is printed.
type explanation struct {
	Of      line
	At      time.Time
	Tasks   []explainedTask
	Omitted int
	Unowned []explainedRow
	Gaps    int
	Acting  struct {
		Halts []struct{ Cause, Detail line }
	}
}

type explainedTask struct {
	Task, Cluster, Service, Mode line
	Now                          *struct {
		LastStatus    line `json:"last_status"`
		Health        line
		StoppedReason line    `json:"stopped_reason"`
		Age           float64 `json:"age_seconds"`
		Targets       []explainedRow
	}
	Verdicts    []explainedVerdict
	Detachments []explainedDetachment
	Timelines   []explainedTimeline
}

type explainedTarget struct {
	Group line `json:"target_group"`
	ID    line
	Port  int
}

type explainedRow struct {
	explainedTarget
	State          line
	Owned, Exposed bool
}

type explainedVerdict struct {
	Action, Mode, Decision, Guard, Reason, Sentence line
	Target                                          explainedTarget
	At                                              time.Time
	Until                                           *time.Time
	Guards                                          []struct{ Guard, Decision, Sentence line }
}

type explainedDetachment struct {
	Target                  explainedTarget
	Mode, State, Outcome    line
	Result                  line
	Decided                 time.Time
	Called, Attached, Ended *time.Time
	Tries                   int
	Back                    *explainedBounds
	BackBy                  line             `json:"back_by"`
	AttachResult            line             `json:"attach_result"`
	Ceased                  *explainedBounds `json:"balancer_stopped"`
	Saved                   *explainedSpan
	Unknown                 line `json:"saved_unknown"`
}

type explainedBounds struct {
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

type explainedSpan struct {
	Shortest float64 `json:"shortest_seconds"`
	Longest  float64 `json:"longest_seconds"`
}

type explainedTimeline struct {
	ID, State, Trigger, Outcome line
	Opened                      time.Time
	Closed                      *time.Time
	Phases                      []struct {
		Phase line
		explainedSpan
	}
}

func (e *explanation) write(w io.Writer) {
	for _, h := range e.Acting.Halts {
		fmt.Fprintf(w, "castoff has stopped acting (%s): %s\n\n", h.Cause, h.Detail)
	}
	for i := range e.Tasks {
		if i > 0 {
			fmt.Fprintln(w)
		}
		e.Tasks[i].write(w)
	}
	for _, row := range e.Unowned {
		fmt.Fprintf(w, "%s: %s; no task that castoff knows has this address\n", row.explainedTarget, row.State)
	}
	if e.Omitted > 0 {
		fmt.Fprintf(w, "\nand %d older tasks: ask for one by its id\n", e.Omitted)
	}
	if e.Gaps > 0 {
		fmt.Fprintf(w, "\ncastoff does not see everything: gaps, %d\n", e.Gaps)
	}
}

func (t *explainedTask) write(w io.Writer) {
	fmt.Fprintf(w, "task %s of %s/%s, mode %s\n", lastPart(t.Task), t.Cluster, t.Service, t.Mode)
	if t.Now == nil {
		fmt.Fprintln(w, "  gone: in no reading any more")
	} else {
		fmt.Fprintf(w, "  %s, %s, read %s s ago\n", t.Now.LastStatus, t.Now.Health, figure(t.Now.Age))
		if t.Now.StoppedReason != "" {
			fmt.Fprintf(w, "  stopped: %s\n", t.Now.StoppedReason)
		}
		for _, row := range t.Now.Targets {
			fmt.Fprintf(w, "  target %s: %s\n", row.explainedTarget, row.standing())
		}
	}
	for _, tl := range t.Timelines {
		fmt.Fprintf(w, "  %s\n", tl.words())
	}
	for i := range t.Verdicts {
		t.Verdicts[i].write(w)
	}
	if len(t.Verdicts) == 0 {
		fmt.Fprintf(w, "\n%s\n", t.nothing())
	}
	for i := range t.Detachments {
		t.Detachments[i].write(w)
	}
}

// nothing is why there is no verdict.
func (t *explainedTask) nothing() string {
	failing := len(t.Timelines) > 0 && t.Timelines[0].State == "open"
	switch {
	case failing && (t.Now == nil || len(t.Now.Targets) == 0):
		return "It fails, and has no target that could be taken out."
	case failing && t.Now.Health == "HEALTHY":
		return "ECS calls it healthy again, so nothing is to be taken out."
	case failing:
		return "It fails, and none of its targets is there to be taken out."
	case t.Now == nil:
		return "Nothing is to be decided about it any more."
	default:
		return "Nothing fails here, so nothing is to be decided."
	}
}

func (r explainedRow) standing() string {
	switch {
	case r.State == "":
		return "not listed in the group"
	case r.Exposed:
		return string(r.State) + ", exposed: the balancer sends it traffic"
	case !r.Owned:
		return string(r.State) + ", as another task's: the address has passed on"
	default:
		return string(r.State)
	}
}

func (t explainedTimeline) words() string {
	said := fmt.Sprintf("failing since %s (%s)", moment(t.Opened), t.Trigger.spaced())
	if t.Closed != nil {
		said = fmt.Sprintf("failed %s to %s (%s), %s", moment(t.Opened), moment(*t.Closed), t.Trigger.spaced(), t.Outcome)
	}
	for _, p := range t.Phases {
		if p.Phase == "exposure" {
			said += fmt.Sprintf(", exposed for %s", p.explainedSpan)
		}
	}
	return said
}

func (v *explainedVerdict) write(w io.Writer) {
	fmt.Fprintf(w, "\n%s %s\n  %s", v.Target, v.answer(), v.Sentence)
	if v.Until != nil {
		fmt.Fprintf(w, ", until %s", moment(*v.Until))
	}
	fmt.Fprintf(w, "\n  decided %s\n\n", moment(v.At))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "    guard\tsays\twhy")
	for _, g := range v.Guards {
		mark := " "
		if g.Guard == v.Guard {
			mark = ">"
		}
		fmt.Fprintf(table, "  %s %s\t%s\t%s\n", mark, g.Guard, g.Decision, g.Sentence)
	}
	_ = table.Flush() // into a strings.Builder
}

func (v *explainedVerdict) answer() string {
	held := fmt.Sprintf("(%s, guard %s, reason %s)", v.Decision, v.Guard, v.Reason)
	switch {
	case v.Action == "attach" && v.Decision == "allow":
		return "goes back"
	case v.Action == "attach":
		return "does not go back " + held
	case v.Decision == "allow" && v.Mode == "detach":
		return "is taken out"
	case v.Decision == "allow":
		return "would be taken out, but its service is only observed"
	default:
		return "is not taken out " + held
	}
}

func (d *explainedDetachment) write(w io.Writer) {
	does := "taken out"
	switch {
	case d.Mode != "detach":
		does = "would have been taken out"
	case d.Called == nil:
		does = "to be taken out"
	}
	fmt.Fprintf(w, "\n%s %s: decided %s\n", d.Target, does, moment(d.Decided))
	switch {
	case d.Called != nil:
		fmt.Fprintf(w, "  called %s, %s, tries %d\n", moment(*d.Called), d.Result.spaced(), d.Tries)
	case d.Mode == "detach":
		fmt.Fprintf(w, "  no call has taken it out%s\n", parenthesis(d.Result))
	}
	if d.Back != nil {
		fmt.Fprintf(w, "  put back by %s between %s and %s\n", d.BackBy, moment(d.Back.NotBefore), moment(d.Back.NotAfter))
	}
	if d.Attached != nil {
		fmt.Fprintf(w, "  told to go back %s, %s\n", moment(*d.Attached), d.AttachResult.spaced())
	}
	if d.Ended != nil {
		fmt.Fprintf(w, "  ended %s: %s\n", moment(*d.Ended), d.Outcome)
	}
	switch {
	case d.Saved != nil && d.Ceased != nil:
		fmt.Fprintf(w, "  saved %s: from then until the balancer stopped by itself\n", *d.Saved)
	case d.Saved != nil:
		fmt.Fprintf(w, "  saved %s: from then to ECS's own beginning\n", *d.Saved)
	case d.Unknown != "":
		fmt.Fprintf(w, "  saved %s\n", d.Unknown)
	}
}

func (t explainedTarget) String() string {
	if strings.Contains(string(t.ID), ":") && !strings.HasPrefix(string(t.ID), "arn:") {
		return fmt.Sprintf("[%s]:%d in %s", t.ID, t.Port, t.Group)
	}
	return fmt.Sprintf("%s:%d in %s", t.ID, t.Port, t.Group)
}

func (s explainedSpan) String() string {
	if s.Shortest == s.Longest {
		return figure(s.Shortest) + " s"
	}
	return figure(s.Shortest) + " to " + figure(s.Longest) + " s"
}

func figure(seconds float64) string { return strconv.FormatFloat(seconds, 'f', 1, 64) }

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func parenthesis(l line) string {
	if l == "" {
		return ""
	}
	return " (" + l.spaced() + ")"
}

func lastPart(arn line) line { return arn[strings.LastIndexByte(string(arn), '/')+1:] }
