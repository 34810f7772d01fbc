package status

import (
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// failure is one task that fails now.
type failure struct {
	arn      fleet.TaskARN
	service  fleet.ServiceID
	timeline *timeline.Timeline // nil: none is open yet
	task     *fleet.Task        // nil: in no reading any more
	exposed  bool
}

// failing are the tasks that ECS calls UNHEALTHY, and those with an open timeline
// that have neither stopped nor recovered, as far as is known.
func (v *View) failing() []*failure {
	found := make(map[fleet.TaskARN]*failure)
	var all []*failure
	add := func(arn fleet.TaskARN, id fleet.ServiceID) {
		if found[arn] == nil {
			found[arn] = &failure{arn: arn, service: id}
			all = append(all, found[arn])
		}
	}
	timelines := make(map[fleet.TaskARN]*timeline.Timeline, len(v.Open))
	for _, t := range v.Open {
		timelines[t.Task] = t
		if stillFails(t) {
			add(t.Task, t.Service)
		}
	}
	if v.Snapshot != nil {
		for _, t := range v.Snapshot.Tasks {
			if t.Failing() && !t.Gone() {
				add(t.ARN, t.Service)
			}
		}
		for _, arn := range exposedTasks(v.Snapshot) {
			if f := found[arn]; f != nil {
				f.exposed = true
			}
		}
	}
	for _, f := range all {
		f.timeline = timelines[f.arn]
		if v.Snapshot != nil {
			f.task = v.Snapshot.Task(f.arn)
		}
	}
	return all
}

// failurePosition is newest first; what has no timeline yet comes last, and
// moves when it gets one.
func failurePosition(f *failure) position {
	p := position{at: time.Unix(0, 0), id: string(f.arn)}
	if f.timeline != nil {
		p.at = f.timeline.Opened
	}
	return p
}

var taskFilters = []string{"cluster", "service", "task", "exposed", "limit", "cursor"}

func apiTasks(v *View, r request) (any, error) {
	cluster, service := r.values["cluster"], r.values["service"]
	task, err := parseTask(r.values["task"])
	if err != nil {
		return nil, err
	}
	exposed, err := oneOf("exposed", r.values["exposed"], []string{"true", "false"})
	if err != nil {
		return nil, err
	}
	p, err := parsePaging(r.values)
	if err != nil {
		return nil, err
	}
	if err := v.known(cluster, service); err != nil {
		return nil, err
	}
	var selected []*failure
	for _, f := range v.failing() {
		if selects(cluster, f.service.Cluster) && selects(service, f.service.Name) && selectsTask(task, f.arn) &&
			(exposed == "" || f.exposed == (exposed == "true")) {
			selected = append(selected, f)
		}
	}
	selected, next := pageOf(selected, p, failurePosition)
	answer := wireFailurePage{Tasks: make([]wireFailure, len(selected)), NextCursor: optional(next)}
	if v.Snapshot != nil {
		answer.At = instant(v.Snapshot.At)
	}
	records := v.records()
	for i, f := range selected {
		answer.Tasks[i] = v.toWireFailure(f, records[f.arn].verdicts, r.now)
	}
	return answer, nil
}

// The rules of wire.go hold.

type wireFailurePage struct {
	// At is the instant of the Snapshot; null before the first pass, when the
	// empty list means nothing.
	At         *string       `json:"at"`
	Tasks      []wireFailure `json:"tasks"`
	NextCursor *string       `json:"next_cursor"`
}

type wireFailure struct {
	Task     fleet.TaskARN      `json:"task"`
	Cluster  string             `json:"cluster"`
	Service  string             `json:"service"`
	Mode     policy.Mode        `json:"mode"`
	Timeline *string            `json:"timeline"` // id; null while there is none
	Trigger  *string            `json:"trigger"`
	Since    *wireBounds        `json:"failing_since"` // when the failure was known
	Exposed  bool               `json:"exposed"`
	Now      *wireTask          `json:"now"`      // null: it is in no reading any more
	Verdicts []wireVerdictEvent `json:"verdicts"` // the last ones, a target each
}

func (v *View) toWireFailure(f *failure, verdicts []*policy.Verdict, now time.Time) wireFailure {
	w := wireFailure{
		Task: f.arn, Cluster: f.service.Cluster, Service: f.service.Name, Mode: v.mode(f.service),
		Exposed: f.exposed, Now: v.toWireTask(f.task, now), Verdicts: make([]wireVerdictEvent, len(verdicts)),
	}
	if t := f.timeline; t != nil {
		w.Timeline, w.Trigger = optional(t.ID), optional(t.Trigger)
		if m, ok := t.Known(); ok {
			w.Since = toWireBounds(m.Bounds)
		}
	}
	for i, verdict := range verdicts {
		w.Verdicts[i] = toWireVerdictEvent(verdict)
	}
	return w
}
