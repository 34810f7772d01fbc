package status

import (
	"math"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// The wire types are the API: snake_case names, RFC 3339 UTC instants with
// milliseconds, durations in seconds. What is not known is null, and no member
// is ever left out.

type wireError struct {
	Error wireProblem `json:"error"`
}

type wireProblem struct {
	Code    problemCode `json:"code"`
	Message string      `json:"message"`
}

type wirePage struct {
	Timelines  []wireTimeline `json:"timelines"`
	NextCursor *string        `json:"next_cursor"`
}

type wireTimeline struct {
	ID                 timeline.ID      `json:"id"`
	State              string           `json:"state"` // open or closed
	Cluster            string           `json:"cluster"`
	Service            string           `json:"service"`
	Task               fleet.TaskARN    `json:"task"`
	TaskDefinition     *string          `json:"task_definition"`
	StartedBy          *string          `json:"started_by"`
	Zone               *string          `json:"zone"`
	Trigger            timeline.Trigger `json:"trigger"`
	Outcome            *string          `json:"outcome"`
	Opened             *string          `json:"opened"`
	Closed             *string          `json:"closed"`
	Milestones         []wireMilestone  `json:"milestones"`
	Phases             []wirePhase      `json:"phases"`
	Targets            []wireTarget     `json:"targets"`
	Gateway            bool             `json:"gateway"`
	Replacement        *string          `json:"replacement"`
	ReplacementsFailed int              `json:"replacements_failed"`
	Flaps              int              `json:"flaps"`
	Container          *string          `json:"container"`
	Check              *wireCheck       `json:"check"`
	StopCode           *string          `json:"stop_code"`
	StoppedReason      *string          `json:"stopped_reason"`
	Detachments        []wireDetachment `json:"detachments"`
	// Saved is the least of the detachments' saved times, for traffic went on
	// until the last target was out; null while it is not known.
	Saved *wireSaved `json:"saved"`
}

type wireMilestone struct {
	Kind      timeline.Kind   `json:"kind"`
	NotBefore *string         `json:"not_before"`
	NotAfter  *string         `json:"not_after"`
	Source    timeline.Source `json:"source"`
	By        timeline.Actor  `json:"by"`
	Evidence  string          `json:"evidence"`
}

type wirePhase struct {
	Phase    timeline.PhaseName `json:"phase"`
	Shortest float64            `json:"shortest_seconds"`
	Longest  float64            `json:"longest_seconds"`
	Error    float64            `json:"error_seconds"`
}

type wireTarget struct {
	wireTargetKey
	Milestones []wireMilestone `json:"milestones"`
	Good       []wireSpan      `json:"good"` // when the balancer called it healthy
}

type wireSpan struct {
	From *wireBounds `json:"from"` // null: since before the timeline was opened
	To   *wireBounds `json:"to"`   // null: it still does
}

type wireCheck struct {
	Command     []string `json:"command"`
	Interval    float64  `json:"interval_seconds"`
	Timeout     float64  `json:"timeout_seconds"`
	Retries     int      `json:"retries"`
	StartPeriod float64  `json:"start_period_seconds"`
}

type wireServicePage struct {
	// At is the instant of the Snapshot; null before the first pass, when the
	// empty list means nothing.
	At         *string       `json:"at"`
	Services   []wireService `json:"services"`
	NextCursor *string       `json:"next_cursor"`
}

type wireService struct {
	Cluster       string       `json:"cluster"`
	Service       string       `json:"service"`
	Mode          policy.Mode  `json:"mode"`
	Status        string       `json:"status"`
	Scheduling    string       `json:"scheduling"`
	Controller    string       `json:"controller"`
	Desired       int          `json:"desired"`
	Running       int          `json:"running"`
	Pending       int          `json:"pending"`
	Gateway       *bool        `json:"gateway"`         // null: not known
	Breaker       *wireBreaker `json:"circuit_breaker"` // null: off
	Tasks         *wireTasks   `json:"tasks"`           // null while they could never be read
	TargetGroups  []wireGroup  `json:"target_groups"`
	TimelinesOpen int          `json:"timelines_open"`
	TimelinesKept int          `json:"timelines_closed"`
	ModeFrom      *string      `json:"mode_from"`   // null: not known
	LimitsFrom    *string      `json:"limits_from"` // a rule of the configuration, or default; null: not known
	Usage         []wireUse    `json:"usage"`
}

// wireBreaker is when ECS gives a deployment up.
type wireBreaker struct {
	FailedTasks *int `json:"failed_tasks"` // null: not known
	Resets      bool `json:"reset_on_healthy_task"`
	Rollback    bool `json:"rollback"`
}

// wireUse is how near a limit is.
type wireUse struct {
	Name  string `json:"name"` // see policy.Use
	Used  int    `json:"used"`
	Limit int    `json:"limit"`
}

type wireTasks struct {
	Healthy   int      `json:"healthy"`
	Unhealthy int      `json:"unhealthy"`
	Unknown   int      `json:"unknown"`
	Age       *float64 `json:"age_seconds"` // of the oldest reading; null when there are no tasks
}

type wireGroup struct {
	TargetGroup string                    `json:"target_group"`
	ARN         fleet.TargetGroupARN      `json:"target_group_arn"`
	Targets     map[fleet.TargetState]int `json:"targets"` // null while the group could never be read
	Exposed     int                       `json:"exposed"`
	Age         *float64                  `json:"age_seconds"`
}

type wireStatus struct {
	Version        string        `json:"version"`
	Started        *string       `json:"started"`
	Now            *string       `json:"now"`
	Ready          bool          `json:"ready"`
	NotReadyReason *string       `json:"not_ready_reason"`
	LastFull       *string       `json:"last_full_pass"`
	ReadyWithin    float64       `json:"ready_within_seconds"`
	Pass           *wirePass     `json:"pass"`
	Snapshot       *wireSnapshot `json:"snapshot"`
	TimelinesOpen  int           `json:"timelines_open"`
	TimelinesKept  int           `json:"timelines_closed"`
	Usage          []wireUse     `json:"usage"` // of the fleet's limits
	Acting         wireActing    `json:"acting"`
	Gaps           []wireGap     `json:"gaps"`
	// Notifications is how it stands with each receiver.
	Notifications []wireReceiver `json:"notifications"`
}

// wireReceiver counts since castoff started.
type wireReceiver struct {
	Name        string      `json:"name"`
	Kind        notify.Kind `json:"kind"` // webhook or slack
	Queued      int         `json:"queued"`
	Sent        int         `json:"sent"`
	Failed      int         `json:"failed"`
	Dropped     int         `json:"dropped"`
	LastSuccess *string     `json:"last_success"`
	LastFailure *string     `json:"last_failure"`
	LastError   *string     `json:"last_error"`
}

func toWireReceivers(all []notify.Standing) []wireReceiver {
	ws := make([]wireReceiver, len(all))
	for i, r := range all {
		ws[i] = wireReceiver{
			Name: r.Name, Kind: r.Kind, Queued: r.Queued, Sent: r.Sent, Failed: r.Failed, Dropped: r.Dropped,
			LastSuccess: instant(r.LastSuccess), LastFailure: instant(r.LastFailure), LastError: optional(r.LastError),
		}
	}
	return ws
}

type wirePass struct {
	Number   int     `json:"number"`
	At       *string `json:"at"`
	Duration float64 `json:"duration_seconds"`
	Result   string  `json:"result"`
}

type wireSnapshot struct {
	At           *string  `json:"at"`
	Age          *float64 `json:"age_seconds"` // of the oldest evidence about a task; null when there is none
	Clusters     int      `json:"clusters"`
	Services     int      `json:"services"`
	Tasks        int      `json:"tasks"`
	TargetGroups int      `json:"target_groups"`
	Exposed      int      `json:"exposed_targets"`
}

type wireGap struct {
	Kind   fleet.GapKind `json:"kind"`
	Ref    string        `json:"ref"`
	Class  fleet.Class   `json:"class"`
	Detail string        `json:"detail"`
	Since  *string       `json:"since"`
}

// toWireTimeline takes the record of the timeline's task.
func toWireTimeline(t *timeline.Timeline, r record) wireTimeline {
	r = r.during(t)
	w := wireTimeline{
		ID: t.ID, State: "open",
		Cluster: t.Service.Cluster, Service: t.Service.Name, Task: t.Task,
		TaskDefinition: optional(t.Definition), StartedBy: optional(t.StartedBy), Zone: optional(t.Zone),
		Trigger: t.Trigger, Outcome: optional(t.Outcome),
		Opened: instant(t.Opened), Closed: instant(t.Closed),
		Milestones:  toWireMilestones(t.Milestones),
		Phases:      []wirePhase{},
		Targets:     []wireTarget{},
		Gateway:     t.Gateway,
		Replacement: optional(t.Replacement), ReplacementsFailed: t.ReplacementsFailed, Flaps: t.Flaps,
		Container: optional(t.Container),
		StopCode:  optional(t.StopCode), StoppedReason: optional(t.StoppedReason),
		Detachments: toWireDetachments(r.detachments),
	}
	if s, ok := r.saved(); ok {
		w.Saved = toWireSaved(s)
	}
	if !t.IsOpen() {
		w.State = "closed"
	}
	for _, p := range t.Phases() {
		shortest, longest := seconds(p.Shortest), secondsUp(p.Longest)
		w.Phases = append(w.Phases, wirePhase{
			Phase: p.Name, Shortest: shortest, Longest: longest, Error: round(longest - shortest),
		})
	}
	for _, target := range t.Targets {
		wt := wireTarget{wireTargetKey: toWireTargetKey(target.Key), Milestones: toWireMilestones(target.Milestones), Good: []wireSpan{}}
		for _, s := range target.Good {
			wt.Good = append(wt.Good, wireSpan{From: toWireBounds(s.From), To: toWireBounds(s.To)})
		}
		w.Targets = append(w.Targets, wt)
	}
	if c := t.Check; c != nil {
		w.Check = &wireCheck{
			Command: append([]string{}, c.Command...), Interval: seconds(c.Interval), Timeout: seconds(c.Timeout),
			Retries: c.Retries, StartPeriod: seconds(c.StartPeriod),
		}
	}
	return w
}

func toWireMilestones(ms []timeline.Milestone) []wireMilestone {
	ws := make([]wireMilestone, len(ms))
	for i, m := range ms {
		ws[i] = wireMilestone{
			Kind: m.Kind, NotBefore: instant(m.NotBefore), NotAfter: instantUp(m.NotAfter),
			Source: m.Source, By: m.By, Evidence: m.Evidence,
		}
		if m.Exact() {
			ws[i].NotAfter = ws[i].NotBefore
		}
	}
	return ws
}

// served is what a View knows of its services, beside the Snapshot.
type served struct {
	open, closed map[fleet.ServiceID]int
	usage        map[fleet.ServiceID][]wireUse
}

func toWireUse(u policy.Use) wireUse { return wireUse{Name: u.Name, Used: u.Used, Limit: u.Limit} }

func (v *View) served() served {
	all := served{v.openByService(), make(map[fleet.ServiceID]int), make(map[fleet.ServiceID][]wireUse)}
	for _, t := range v.Closed {
		all.closed[t.Service]++
	}
	for _, u := range v.Usage {
		all.usage[u.Service] = append(all.usage[u.Service], toWireUse(u))
	}
	return all
}

func (v *View) toWireService(t fleet.Tally, all served, now time.Time) wireService {
	svc := t.Service
	w := wireService{
		Cluster: svc.ID.Cluster, Service: svc.ID.Name, Mode: v.mode(svc.ID), Status: svc.Status,
		Scheduling: svc.Scheduling, Controller: svc.Controller,
		Desired: svc.Desired, Running: svc.Running, Pending: svc.Pending,
		TargetGroups: []wireGroup{}, TimelinesOpen: all.open[svc.ID], TimelinesKept: all.closed[svc.ID],
		Usage: append([]wireUse{}, all.usage[svc.ID]...),
	}
	if g := svc.Gateway; g == fleet.GatewayConnected || g == fleet.GatewayNone {
		connected := g == fleet.GatewayConnected
		w.Gateway = &connected
	}
	if b := svc.Breaker; b.Enabled {
		w.Breaker = &wireBreaker{Resets: b.Resets, Rollback: b.Rollback}
		if n := b.Threshold(svc.Desired); n > 0 {
			w.Breaker.FailedTasks = &n
		}
	}
	mode, limits := v.origins(svc)
	w.ModeFrom, w.LimitsFrom = optional(mode), optional(limits)
	if t.Seen {
		w.Tasks = &wireTasks{Healthy: t.Healthy, Unhealthy: t.Unhealthy, Unknown: t.Unknown, Age: age(t.Read, now)}
	}
	for _, g := range t.Groups {
		wg := wireGroup{TargetGroup: g.Group.Name(), ARN: g.Group, Exposed: g.Exposed, Age: age(g.Read, now)}
		if !g.Read.Never() {
			wg.Targets = g.States
		}
		w.TargetGroups = append(w.TargetGroups, wg)
	}
	return w
}

// optional is null for what is empty because it is not known.
func optional[S ~string](s S) *string {
	if s == "" {
		return nil
	}
	v := string(s)
	return &v
}

const wireTime = "2006-01-02T15:04:05.000Z"

// instant is cut to the millisecond, as fits a lower bound; null when zero.
func instant(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(wireTime)
	return &s
}

// instantUp is rounded up to the millisecond, so that an upper bound stays one.
func instantUp(t time.Time) *string {
	if cut := t.Truncate(time.Millisecond); cut.Before(t) {
		t = cut.Add(time.Millisecond)
	}
	return instant(t)
}

// seconds is cut to the millisecond.
func seconds(d time.Duration) float64 { return round(d.Truncate(time.Millisecond).Seconds()) }

// secondsUp is rounded up to the millisecond, so that an upper bound stays one.
func secondsUp(d time.Duration) float64 {
	return seconds(d + time.Millisecond - time.Nanosecond)
}

func round(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }

// age is null for what was never read.
func age(r fleet.Read, now time.Time) *float64 {
	if r.Never() {
		return nil
	}
	s := max(0, seconds(r.Age(now)))
	return &s
}

// ageOf is how old the oldest evidence about a task is; nil when there is none.
func ageOf(s *fleet.Snapshot, now time.Time) *float64 {
	oldest, ok := s.Oldest()
	if !ok {
		return nil
	}
	age := max(0, seconds(now.Sub(oldest)))
	return &age
}
