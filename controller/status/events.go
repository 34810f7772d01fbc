package status

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// eventsKept is how many events a reader may be behind. Most are some hundred
// bytes long.
const eventsKept = 2048

// Events are what changed from View to View, for those who listen at
// /api/v1/events. They are kept in one ring that readers copy from, so that a
// slow reader costs no memory and nothing waits for it: one that falls behind
// the ring is told so.
type Events struct {
	mu      sync.Mutex
	epoch   string   // names the process: numbers begin anew in each
	ring    [][]byte // the last ones, as they are sent, oldest first
	last    int      // number of the newest
	more    chan struct{}
	closed  bool
	most    int // streams that may be open at a time
	streams int

	seen     map[timeline.ID]string // open timelines as they were told last
	verdicts map[place]string
	outs     map[outPlace]string // open detachments
	ended    outPlace            // the newest closed one of the last View
	newest   *timeline.Timeline  // closed, of the last View
	current  []byte              // the last pass event's data
}

// place is what a verdict or a detachment is about.
type place struct {
	task   fleet.TaskARN
	target fleet.TargetKey
	rest   string
}

// outPlace is one detachment: a target may be taken out more than once.
type outPlace struct {
	place
	decided int64
}

type event struct {
	kind string
	data []byte
}

// NewEvents makes the events of a process that started at an instant. At most so many
// streams may be open at a time: each keeps a connection.
func NewEvents(started time.Time, streams int) *Events {
	return &Events{
		most: streams, epoch: strconv.FormatInt(started.UnixMilli(), 36), more: make(chan struct{}),
		seen: map[timeline.ID]string{}, verdicts: map[place]string{}, outs: map[outPlace]string{},
	}
}

// Publish tells what changed since the View that was published before. It is
// called by one goroutine, after each pass, and waits for no reader.
func (e *Events) Publish(v *View, now time.Time) {
	events := e.compare(v, now)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	for _, ev := range events {
		e.last++
		// JSON has no line breaks of its own.
		e.ring = append(e.ring, fmt.Appendf(nil, "event: %s\nid: %s-%d\ndata: %s\n\n", ev.kind, e.epoch, e.last, ev.data))
	}
	if over := len(e.ring) - eventsKept; over > 0 {
		e.ring = slices.Clone(e.ring[over:]) // so that the others can go
	}
	e.current = events[len(events)-1].data
	close(e.more)
	e.more = make(chan struct{})
}

// Close ends every stream: a server that shuts down waits for them.
func (e *Events) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.closed = true
		close(e.more)
	}
}

// compare makes the events, that of the pass the last: who waits for a pass has
// then heard all that it changed.
func (e *Events) compare(v *View, now time.Time) []event {
	events := e.timelines(v)
	verdicts := make(map[place]string, len(v.Verdicts))
	for i := range v.Verdicts {
		d := &v.Verdicts[i]
		at := place{d.Task, d.Target, string(d.Action)}
		verdicts[at] = string(d.Decision) + string(d.Guard) + string(d.Reason) + string(d.Mode)
		if e.verdicts[at] != verdicts[at] {
			events = append(events, newEvent("verdict", toWireVerdictEvent(d)))
		}
	}
	e.verdicts = verdicts
	events = append(events, e.detachments(v)...)
	ready, _ := v.ready(now)
	pass := wirePassEvent{
		Number: v.Pass.Number, At: instant(v.Pass.At), Duration: seconds(v.Pass.Duration), Result: v.Pass.Result,
		Ready: ready, TimelinesOpen: len(v.Open), Gaps: len(v.gaps()), Level: newBanner(v, now).Level,
	}
	if v.Snapshot != nil {
		pass.Exposed = len(exposedTasks(v.Snapshot))
	}
	return append(events, newEvent("pass", pass))
}

// detachments are the events of those that began, moved on or ended.
func (e *Events) detachments(v *View) []event {
	var events []event
	outs := make(map[outPlace]string)
	var ended outPlace
	for i := range v.Detachments {
		d := &v.Detachments[i]
		at := outPlace{place{d.Task, d.Target, string(d.Mode)}, d.Decided.UnixNano()}
		if !d.Open() {
			if ended == (outPlace{}) {
				ended = at
			}
			// The newest come first, and there may be thousands that are no news.
			if at == e.ended || e.current == nil {
				break
			}
			events = append(events, newEvent("detachment", toWireDetachment(d)))
			continue
		}
		outs[at] = fmt.Sprint(d.Progress, d.Result, d.Tries, d.Back != nil, d.ECS != nil)
		if e.outs[at] != outs[at] {
			events = append(events, newEvent("detachment", toWireDetachment(d)))
		}
	}
	e.outs, e.ended = outs, ended
	return events
}

// timelines are the events of timelines that opened, changed or closed.
func (e *Events) timelines(v *View) []event {
	var events []event
	tell := func(t *timeline.Timeline, change string) {
		w := wireTimelineEvent{
			Change: change, ID: t.ID, Cluster: t.Service.Cluster, Service: t.Service.Name, Task: t.Task,
			Trigger: t.Trigger, Outcome: optional(t.Outcome), Milestones: toWireMilestones(t.Milestones),
		}
		events = append(events, newEvent("timeline", w))
	}
	seen := make(map[timeline.ID]string, len(v.Open))
	for _, t := range v.Open {
		seen[t.ID] = mark(t)
		switch was, known := e.seen[t.ID]; {
		case !known:
			tell(t, "opened")
		case was != seen[t.ID]:
			tell(t, "changed")
		}
	}
	e.seen = seen
	if e.current != nil { // those of before this process are no news
		fresh := v.Closed
		if i := slices.Index(v.Closed, e.newest); i >= 0 && e.newest != nil {
			fresh = v.Closed[:i]
		}
		for _, t := range slices.Backward(fresh) {
			tell(t, "closed")
		}
	}
	e.newest = nil
	if len(v.Closed) > 0 {
		e.newest = v.Closed[0]
	}
	return events
}

// mark is another one when there is something to tell of a timeline.
func mark(t *timeline.Timeline) string {
	var b strings.Builder
	for _, m := range t.Milestones {
		fmt.Fprintf(&b, "%s %d %d ", m.Kind, m.NotBefore.UnixNano(), m.NotAfter.UnixNano())
	}
	fmt.Fprint(&b, t.Replacement, t.ReplacementsFailed, t.Flaps, t.Outcome)
	return b.String()
}

func newEvent(kind string, data any) event {
	return event{kind: kind, data: bytes.TrimSuffix(encode(data), []byte("\n"))}
}

// The wire types of events; the rules of wire.go hold.

type wirePassEvent struct {
	Number        int     `json:"number"`
	At            *string `json:"at"`
	Duration      float64 `json:"duration_seconds"`
	Result        string  `json:"result"`
	Ready         bool    `json:"ready"`
	Exposed       int     `json:"exposed_targets"`
	TimelinesOpen int     `json:"timelines_open"`
	Gaps          int     `json:"gaps"`
	Level         string  `json:"level"` // of the banner of the page
}

type wireTimelineEvent struct {
	Change     string           `json:"change"` // opened, changed or closed
	ID         timeline.ID      `json:"id"`
	Cluster    string           `json:"cluster"`
	Service    string           `json:"service"`
	Task       fleet.TaskARN    `json:"task"`
	Trigger    timeline.Trigger `json:"trigger"`
	Outcome    *string          `json:"outcome"`
	Milestones []wireMilestone  `json:"milestones"`
}

// wireVerdictEvent is a verdict without its guards.
type wireVerdictEvent struct {
	Action   policy.Action   `json:"action"`
	Cluster  string          `json:"cluster"`
	Service  string          `json:"service"`
	Task     fleet.TaskARN   `json:"task"`
	Target   wireTargetKey   `json:"target"`
	Mode     policy.Mode     `json:"mode"`
	Decision policy.Decision `json:"decision"`
	Acts     bool            `json:"acts"`
	Guard    *string         `json:"guard"`
	Reason   policy.Reason   `json:"reason"`
	Sentence string          `json:"sentence"`
}

func toWireVerdictEvent(v *policy.Verdict) wireVerdictEvent {
	return wireVerdictEvent{
		Action: v.Action, Cluster: v.Service.Cluster, Service: v.Service.Name, Task: v.Task, Target: toWireTargetKey(v.Target),
		Mode: v.Mode, Decision: v.Decision, Acts: v.Acts(), Guard: optional(v.Guard), Reason: v.Reason, Sentence: v.Sentence,
	}
}
