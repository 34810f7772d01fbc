package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

type timelinesCmd struct {
	Cluster string `help:"Only failures in this cluster." placeholder:"NAME"`
	Service string `help:"Only failures of services of this name." placeholder:"NAME"`
	Trigger string `help:"Only failures first shown by this: container_check, target_check or exit." placeholder:"TRIGGER" complete:"container_check,target_check,exit"`
	Outcome string `help:"Only failures that ended so: retired, recovered, superseded or lost." placeholder:"OUTCOME" complete:"retired,recovered,superseded,lost"`
	State   string `help:"Only open timelines, or only closed ones." placeholder:"STATE" complete:"open,closed"`
	Since   string `help:"Only timelines opened since then: a time such as 2026-03-01T12:00:00Z, or how long ago, such as 2h." placeholder:"TIME"`
	Until   string `help:"Only timelines opened before then, given like --since." placeholder:"TIME"`
	Limit   *int   `help:"At most so many, the newest (1 to 1000, default 100)." placeholder:"N"`
	Cursor  string `help:"Go on where an answer ended: the cursor that it names." placeholder:"CURSOR"`
	Watch   bool   `help:"Go on showing them, open ones drawn to scale, until Ctrl-C. Needs a terminal."`
	serverFlag
	JSON bool `name:"json" help:"Print the answer as JSON, as /api/v1/timelines gives it."`
}

func (c timelinesCmd) Help() string {
	return "Examples:\n\n" +
		"  castoff timelines --state open\n" +
		"  castoff timelines --cluster prod --since 24h --outcome retired\n" +
		"  castoff timelines --watch --service api\n\n" +
		"STATE is exposed (the balancer calls a target healthy although ECS calls its task UNHEALTHY), failing, settling (stopped or recovered, and watched until that is sure), or how it ended. Times are UTC; a duration has two bounds, and goes on where a + is behind it.\n\n" +
		"With --watch a bar is solid where the phase was surely on, light where the bounds leave it open, and ends in > while it goes on; beside it how long, and who ended it.\n\n" +
		serverHelp
}

// Run prints timelines once, or goes on showing them.
func (c timelinesCmd) Run(ctx context.Context, to streams) error {
	from, err := c.reader()
	if err != nil {
		return err
	}
	defer from.close()
	s := newScreen(to.out)
	switch {
	case !c.Watch:
		return c.print(ctx, from, s)
	case c.JSON:
		return usageError("--watch draws and --json does not: give one of them")
	case c.Cursor != "":
		return usageError("--watch shows the newest: it takes no --cursor")
	case !s.terminal:
		return usageError("--watch needs a terminal: without one, ask again with castoff timelines")
	}
	w := watch{cmd: c, from: from, to: s}
	return w.run(ctx)
}

// query is what the API is asked.
func (c timelinesCmd) query(now time.Time) (url.Values, error) {
	since, err := ago("--since", c.Since, now)
	if err != nil {
		return nil, err
	}
	until, err := ago("--until", c.Until, now)
	if err != nil {
		return nil, err
	}
	v := values("cluster", c.Cluster, "service", c.Service, "trigger", c.Trigger, "outcome", c.Outcome, "state", c.State,
		"since", since, "until", until, "cursor", c.Cursor)
	if c.Limit != nil {
		v.Set("limit", strconv.Itoa(*c.Limit))
	}
	return v, nil
}

// ago is an instant as the API takes it, of one or of how long ago that was.
func ago(flag, given string, now time.Time) (string, error) {
	if d, err := time.ParseDuration(given); err == nil {
		if d < 0 {
			return "", usageError(fmt.Sprintf("%s: how long ago must not be negative (got %s)", flag, given))
		}
		return now.Add(-d).UTC().Format(time.RFC3339Nano), nil
	}
	return given, nil // castoff says what is wrong with it
}

func (c timelinesCmd) print(ctx context.Context, from *reader, to screen) error {
	query, err := c.query(time.Now())
	if err != nil {
		return err
	}
	body, err := from.get(ctx, "/api/v1/timelines", query)
	if err != nil {
		return err
	}
	if c.JSON {
		return from.copyJSON(to.w, body)
	}
	var page timelinePage
	if err := from.decode(body, &page); err != nil {
		return err
	}
	sight, err := from.sight(ctx)
	if err != nil {
		return err
	}
	if err := page.print(to, sight.Now); err != nil {
		return err
	}
	return sight.print(to)
}

// timelinePage is as much of /api/v1/timelines as is printed.
type timelinePage struct {
	Timelines  []shownTimeline
	NextCursor line `json:"next_cursor"`
}

func (p *timelinePage) print(to screen, now time.Time) error {
	if len(p.Timelines) == 0 {
		_, err := fmt.Fprintln(to.w, "No such timeline.")
		return err
	}
	rows := [][]text{{{said: "OPENED"}, {said: "SERVICE"}, {said: "TASK"}, {said: "TRIGGER"}, {said: "STATE"}, {said: "EXPOSURE"}, {said: "DETACHED BY"}, {said: "RETIREMENT"}, {said: "SAVED"}}}
	for i := range p.Timelines {
		rows = append(rows, p.Timelines[i].row(now))
	}
	if err := to.printTable(rows, 5, 7, 8); err != nil {
		return err
	}
	if p.NextCursor != "" {
		_, err := fmt.Fprintf(to.w, "\nand older ones: --cursor %s\n", p.NextCursor)
		return err
	}
	return nil
}

// shownTimeline is as much of a timeline as is printed or drawn.
type shownTimeline struct {
	explainedTimeline
	Cluster, Service, Task line
	Milestones             []shownMilestone
	Targets                []shownTarget
	Saved                  *explainedSpan
	Detachments            []explainedDetachment
}

type shownMilestone struct {
	Kind, By line
	explainedBounds
}

type shownTarget struct {
	explainedTarget
	Milestones []shownMilestone
	Good       []shownGood
}

// shownGood is a time for which the balancer called a target healthy. A From
// that is nil is since before the failure, a To not over.
type shownGood struct{ From, To *explainedBounds }

func (t *shownTimeline) milestone(kind line) (shownMilestone, bool) {
	for _, m := range t.Milestones {
		if m.Kind == kind {
			return m, true
		}
	}
	return shownMilestone{}, false
}

func (t *shownTimeline) has(kind line) bool {
	_, ok := t.milestone(kind)
	return ok
}

// exposed reports that the balancer still calls a target of the task healthy.
func (t *shownTimeline) exposed() bool {
	if t.Closed != nil || !t.has("unhealthy") || t.settling() {
		return false
	}
	for _, target := range t.Targets {
		for _, g := range target.Good {
			if g.To == nil {
				return true
			}
		}
	}
	return false
}

// settling reports that the task has stopped or recovered.
func (t *shownTimeline) settling() bool { return t.has("stopped") || t.has("recovery") }

// state is one word for how it stands.
func (t *shownTimeline) state() text {
	switch {
	case t.Closed != nil:
		return text{said: string(t.Outcome)}
	case t.exposed():
		return text{"exposed", alarm}
	case t.settling():
		return text{said: "settling"}
	default:
		return text{"failing", strong}
	}
}

// phase is how long one took; ok is false while it has not ended.
func (t *shownTimeline) phase(name line) (explainedSpan, bool) {
	for _, p := range t.Phases {
		if p.Phase == name {
			return p.explainedSpan, true
		}
	}
	return explainedSpan{}, false
}

// since says how long ago a milestone was, within its bounds.
func (m shownMilestone) since(now time.Time, say func(explainedSpan) string) string {
	least := max(0, now.Sub(m.NotAfter).Seconds())
	if m.NotBefore.IsZero() {
		return "more than " + say(explainedSpan{least, least})
	}
	return say(explainedSpan{least, max(least, now.Sub(m.NotBefore).Seconds())})
}

func (t *shownTimeline) row(now time.Time) []text {
	state := t.state()
	exposure := text{said: "-"}
	if unhealthy, _ := t.milestone("unhealthy"); t.exposed() {
		exposure = text{unhealthy.since(now, explainedSpan.String) + " +", alarm}
	} else if p, ok := t.phase("exposure"); ok {
		exposure.said = p.String()
	}
	retirement, saved := "-", "-"
	if p, ok := t.phase("retirement"); ok {
		retirement = p.String()
	}
	if t.Saved != nil {
		saved = t.Saved.String()
	}
	by := "-"
	if m, ok := t.milestone("detach"); ok {
		by = string(m.By)
	} else if slices.ContainsFunc(t.Detachments, func(d explainedDetachment) bool { return d.Called != nil }) {
		by = "castoff" // and it was put back
	}
	return []text{
		{said: moment(t.Opened)}, {said: t.name()}, {said: t.task()}, {said: t.Trigger.spaced()},
		state, exposure, {said: by}, {said: retirement}, {said: saved},
	}
}

func (t *shownTimeline) name() string { return string(t.Cluster + "/" + t.Service) }

// task is as much of the task's id as castoff explain needs.
func (t *shownTimeline) task() string { return cut(string(lastPart(t.Task)), 8) }

// compact is a duration in few characters: 4.5s, 12s, 1m54s, 2h03m.
func compact(of float64) string {
	d := seconds(of).Round(time.Second)
	switch {
	case of < 9.95:
		return figure(max(of, 0)) + "s"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

// compact is both bounds, or one where they read the same.
func (s explainedSpan) compact() string {
	from, to := compact(s.Shortest), compact(s.Longest)
	if from == to {
		return from
	}
	return strings.Join([]string{from, to}, " to ")
}
