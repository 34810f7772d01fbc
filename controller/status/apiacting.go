package status

import (
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// verdictQuery selects verdicts. Zero values select everything.
type verdictQuery struct {
	cluster, service, task string
	action                 policy.Action
	decision               policy.Decision
	reason                 policy.Reason
	paging
}

var verdictFilters = []string{"cluster", "service", "task", "action", "decision", "reason", "limit", "cursor"}

func parseVerdictQuery(values map[string]string) (q verdictQuery, err error) {
	q = verdictQuery{cluster: values["cluster"], service: values["service"]}
	if q.task, err = parseTask(values["task"]); err != nil {
		return verdictQuery{}, err
	}
	if q.action, err = oneOf("action", values["action"], []policy.Action{policy.Detach, policy.Attach}); err != nil {
		return verdictQuery{}, err
	}
	if q.decision, err = oneOf("decision", values["decision"], policy.Decisions); err != nil {
		return verdictQuery{}, err
	}
	if q.reason, err = oneOf("reason", values["reason"], policy.AllReasons()); err != nil {
		return verdictQuery{}, err
	}
	q.paging, err = parsePaging(values)
	return q, err
}

func (q *verdictQuery) matches(v *policy.Verdict) bool {
	return selects(q.cluster, v.Service.Cluster) && selects(q.service, v.Service.Name) && selectsTask(q.task, v.Task) &&
		selects(q.action, v.Action) && selects(q.decision, v.Decision) && selects(q.reason, v.Reason)
}

// selects reports that a filter is not given or is met.
func selects[T ~string](filter, value T) bool { return filter == "" || filter == value }

// selectsTask takes a task's ARN or its id.
func selectsTask(filter string, task fleet.TaskARN) bool {
	return filter == "" || filter == string(task) || filter == task.ID()
}

// verdictPosition is by what the verdict is about, so that it stays the same
// when the next pass gives another one.
func verdictPosition(v *policy.Verdict) position {
	return position{at: time.Unix(0, 0), id: placeOf(v.Service, v.Task, v.Target, string(v.Action))}
}

// detachmentPosition is newest first.
func detachmentPosition(d *policy.Detachment) position {
	return position{at: d.Decided, id: placeOf(d.Service, d.Task, d.Target, string(d.Mode))}
}

func placeOf(id fleet.ServiceID, task fleet.TaskARN, key fleet.TargetKey, rest string) string {
	return strings.Join([]string{id.Cluster, id.Name, string(task), string(key.Group), key.ID, strconv.Itoa(key.Port), rest}, "\x00")
}

func apiVerdicts(v *View, r request) (any, error) {
	q, err := parseVerdictQuery(r.values)
	if err != nil {
		return nil, err
	}
	if err := v.known(q.cluster, q.service); err != nil {
		return nil, err
	}
	var selected []*policy.Verdict
	for i := range v.Verdicts {
		if q.matches(&v.Verdicts[i]) {
			selected = append(selected, &v.Verdicts[i])
		}
	}
	selected, next := pageOf(selected, q.paging, verdictPosition)
	answer := wireVerdictPage{Verdicts: make([]wireVerdict, len(selected)), NextCursor: optional(next)}
	if v.Snapshot != nil {
		answer.At = instant(v.Snapshot.At)
	}
	for i, verdict := range selected {
		answer.Verdicts[i] = toWireVerdict(verdict)
	}
	return answer, nil
}

// detachmentQuery selects detachments. Zero values select everything.
type detachmentQuery struct {
	cluster, service, task string
	mode                   policy.Mode
	state                  string // open or closed
	outcome                policy.Outcome
	since, until           time.Time
	paging
}

var detachmentFilters = []string{"cluster", "service", "task", "mode", "state", "outcome", "since", "until", "limit", "cursor"}

func parseDetachmentQuery(values map[string]string) (q detachmentQuery, err error) {
	q = detachmentQuery{cluster: values["cluster"], service: values["service"]}
	if q.task, err = parseTask(values["task"]); err != nil {
		return detachmentQuery{}, err
	}
	if q.mode, err = oneOf("mode", values["mode"], policy.Modes); err != nil {
		return detachmentQuery{}, err
	}
	if q.state, err = oneOf("state", values["state"], []string{"open", "closed"}); err != nil {
		return detachmentQuery{}, err
	}
	if q.outcome, err = oneOf("outcome", values["outcome"], policy.Outcomes); err != nil {
		return detachmentQuery{}, err
	}
	if q.since, q.until, err = parseTimes(values); err != nil {
		return detachmentQuery{}, err
	}
	q.paging, err = parsePaging(values)
	return q, err
}

// matches: since and until are about when it was decided; since is included,
// until is not.
func (q *detachmentQuery) matches(d *policy.Detachment) bool {
	return selects(q.cluster, d.Service.Cluster) && selects(q.service, d.Service.Name) && selectsTask(q.task, d.Task) &&
		selects(q.mode, d.Mode) && selects(q.outcome, d.Outcome) &&
		(q.state == "" || d.Open() == (q.state == "open")) &&
		!d.Decided.Before(q.since) && (q.until.IsZero() || d.Decided.Before(q.until))
}

func apiDetachments(v *View, r request) (any, error) {
	q, err := parseDetachmentQuery(r.values)
	if err != nil {
		return nil, err
	}
	if err := v.known(q.cluster, q.service); err != nil {
		return nil, err
	}
	var selected []*policy.Detachment
	for i := range v.Detachments {
		if q.matches(&v.Detachments[i]) {
			selected = append(selected, &v.Detachments[i])
		}
	}
	selected, next := pageOf(selected, q.paging, detachmentPosition)
	return wireDetachmentPage{Detachments: toWireDetachments(selected), NextCursor: optional(next)}, nil
}
