package status

import (
	"math"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// mode is a service's; one that is not known observes.
func (v *View) mode(id fleet.ServiceID) policy.Mode {
	if v.Modes[id] == policy.Detaching {
		return policy.Detaching
	}
	return policy.Observing
}

// pauses are those in force.
func (v *View) pauses(now time.Time) []policy.Pause {
	var active []policy.Pause
	for i := range v.Pauses {
		if v.Pauses[i].Active(now) {
			active = append(active, v.Pauses[i])
		}
	}
	return active
}

// record is what was decided and done about one task, whichever failure it was
// for.
type record struct {
	verdicts    []*policy.Verdict
	detachments []*policy.Detachment
}

// records are those of a View by task: one walk over it, however many timelines
// are shown.
func (v *View) records() map[fleet.TaskARN]record {
	all := make(map[fleet.TaskARN]record)
	for i := range v.Verdicts {
		r := all[v.Verdicts[i].Task]
		r.verdicts = append(r.verdicts, &v.Verdicts[i])
		all[v.Verdicts[i].Task] = r
	}
	for i := range v.Detachments {
		r := all[v.Detachments[i].Task]
		r.detachments = append(r.detachments, &v.Detachments[i])
		all[v.Detachments[i].Task] = r
	}
	return all
}

// during is the part of a task's record that belongs to a timeline: the task
// may have failed before, and castoff decided about it then too.
func (r record) during(t *timeline.Timeline) record {
	within := func(at time.Time) bool { return !at.Before(t.Opened) && (t.IsOpen() || !at.After(t.Closed)) }
	var its record
	for _, v := range r.verdicts {
		if within(v.At) {
			its.verdicts = append(its.verdicts, v)
		}
	}
	for _, d := range r.detachments {
		if within(d.Decided) {
			its.detachments = append(its.detachments, d)
		}
	}
	return its
}

// saved is the time saved for a task: of several targets that of the one for
// which it was least, for clients were sent to the dead app until the last was
// out. So where it is not known of one, it is of none.
func (r record) saved() (least policy.Saved, ok bool) {
	for _, d := range r.detachments {
		if d.Mode == policy.Detaching && d.Called.IsZero() {
			continue // no call took it out
		}
		s, known := d.Saved()
		if !known {
			return policy.Saved{}, false
		}
		if !ok {
			least, ok = s, true
			continue
		}
		least.Shortest, least.Longest = min(least.Shortest, s.Shortest), min(least.Longest, s.Longest)
	}
	return least, ok
}

// The wire types of what castoff decides and does; the rules of wire.go hold.

type wireVerdictPage struct {
	// At is when they were decided; null before the first pass, when the empty
	// list means nothing.
	At         *string       `json:"at"`
	Verdicts   []wireVerdict `json:"verdicts"`
	NextCursor *string       `json:"next_cursor"`
}

type wireVerdict struct {
	Action   policy.Action   `json:"action"`
	Cluster  string          `json:"cluster"`
	Service  string          `json:"service"`
	Task     fleet.TaskARN   `json:"task"`
	Target   wireTargetKey   `json:"target"`
	Zone     *string         `json:"zone"`
	Mode     policy.Mode     `json:"mode"`
	At       *string         `json:"at"`
	Decision policy.Decision `json:"decision"`
	Acts     bool            `json:"acts"`  // it allows, and is carried out
	Guard    *string         `json:"guard"` // the first that did not allow; null when all do
	Reason   policy.Reason   `json:"reason"`
	Sentence string          `json:"sentence"`
	Until    *string         `json:"until"`
	Guards   []wireFinding   `json:"guards"` // in the order in which they decide
}

type wireTargetKey struct {
	TargetGroup string               `json:"target_group"`
	ARN         fleet.TargetGroupARN `json:"target_group_arn"`
	ID          string               `json:"id"`
	Port        int                  `json:"port"`
}

type wireFinding struct {
	Guard    policy.Guard    `json:"guard"`
	Decision policy.Decision `json:"decision"`
	Reason   policy.Reason   `json:"reason"`
	Sentence string          `json:"sentence"`
	Until    *string         `json:"until"`
	Values   []wireValue     `json:"values"`
}

type wireValue struct {
	Name  string   `json:"name"`
	Got   *float64 `json:"got"`
	Limit *float64 `json:"limit"`
	Unit  *string  `json:"unit"` // null for a count
}

type wireDetachmentPage struct {
	Detachments []wireDetachment `json:"detachments"`
	NextCursor  *string          `json:"next_cursor"`
}

type wireDetachment struct {
	Cluster      string          `json:"cluster"`
	Service      string          `json:"service"`
	Task         fleet.TaskARN   `json:"task"`
	Target       wireTargetKey   `json:"target"`
	Zone         *string         `json:"zone"`
	Mode         policy.Mode     `json:"mode"`
	State        string          `json:"state"` // open or closed
	Progress     policy.Progress `json:"progress"`
	Outcome      *string         `json:"outcome"`
	Decided      *string         `json:"decided"`
	Called       *string         `json:"called"`
	Result       *string         `json:"result"`
	Tries        int             `json:"tries"`
	Back         *wireBounds     `json:"back"`
	BackBy       *string         `json:"back_by"`
	ECS          *wireBounds     `json:"ecs_began"` // ECS itself began to take the task down
	Attached     *string         `json:"attached"`
	AttachResult *string         `json:"attach_result"`
	Ended        *string         `json:"ended"`
	Ceased       *wireBounds     `json:"balancer_stopped"` // by itself, in observe mode
	Saved        *wireSaved      `json:"saved"`            // null while it is not known
	Unknown      *string         `json:"saved_unknown"`    // why it is not
}

type wireBounds struct {
	NotBefore *string `json:"not_before"`
	NotAfter  *string `json:"not_after"`
}

type wireSaved struct {
	Shortest float64 `json:"shortest_seconds"`
	Longest  float64 `json:"longest_seconds"`
	Error    float64 `json:"error_seconds"`
}

// wireActing is how free castoff is to act.
type wireActing struct {
	Services    map[policy.Mode]int     `json:"services"`    // by mode
	Verdicts    map[policy.Decision]int `json:"verdicts"`    // about detaching
	Detachments map[policy.Mode]int     `json:"detachments"` // open
	Pauses      []wirePause             `json:"pauses"`
	Halts       []wireHalt              `json:"halts"`
	Latches     []wireLatch             `json:"latches"`
}

type wirePause struct {
	Scope    policy.Scope `json:"scope"`
	Cluster  *string      `json:"cluster"`
	Service  *string      `json:"service"`
	Until    *string      `json:"until"` // null: for ever
	Owner    *string      `json:"owner"`
	Reason   *string      `json:"reason"`
	Reattach bool         `json:"reattach"`
	From     policy.From  `json:"from"`
	Problem  *string      `json:"problem"`
}

type wireHalt struct {
	Cause  string `json:"cause"`
	Detail string `json:"detail"`
}

type wireLatch struct {
	Guard   policy.Guard `json:"guard"`
	Cluster *string      `json:"cluster"` // null: the fleet
	Service *string      `json:"service"`
	Since   *string      `json:"since"`
	Until   *string      `json:"until"`
	Failing int          `json:"failing"`
	Of      int          `json:"of"`
}

func toWireVerdict(v *policy.Verdict) wireVerdict {
	w := wireVerdict{
		Action: v.Action, Cluster: v.Service.Cluster, Service: v.Service.Name, Task: v.Task,
		Target: toWireTargetKey(v.Target), Zone: optional(v.Zone), Mode: v.Mode, At: instant(v.At),
		Decision: v.Decision, Acts: v.Acts(), Guard: optional(v.Guard), Reason: v.Reason, Sentence: v.Sentence, Until: instantUp(v.Until),
		Guards: []wireFinding{},
	}
	for _, f := range v.Findings {
		wf := wireFinding{
			Guard: f.Guard, Decision: f.Decision, Reason: f.Reason, Sentence: f.Sentence, Until: instantUp(f.Until),
			Values: []wireValue{},
		}
		for _, value := range f.Values {
			wf.Values = append(wf.Values, wireValue{Name: value.Name, Got: number(value.Got), Limit: number(value.Limit), Unit: optional(value.Unit)})
		}
		w.Guards = append(w.Guards, wf)
	}
	return w
}

// number is null for what JSON has no number for.
func number(f float64) *float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	f = round(f)
	return &f
}

func toWireTargetKey(k fleet.TargetKey) wireTargetKey {
	return wireTargetKey{TargetGroup: k.Group.Name(), ARN: k.Group, ID: k.ID, Port: k.Port}
}

func toWireDetachment(d *policy.Detachment) wireDetachment {
	w := wireDetachment{
		Cluster: d.Service.Cluster, Service: d.Service.Name, Task: d.Task,
		Target: toWireTargetKey(d.Target), Zone: optional(d.Zone), Mode: d.Mode, State: "open",
		Progress: d.Progress, Outcome: optional(d.Outcome),
		Decided: instant(d.Decided), Called: instant(d.Called), Result: optional(d.Result), Tries: d.Tries,
		Back: policyBounds(d.Back), ECS: policyBounds(d.ECS), Ceased: policyBounds(d.Ceased), Unknown: optional(d.Unknown()),
		Attached: instant(d.Attached), AttachResult: optional(d.AttachResult), Ended: instant(d.Ended),
	}
	if !d.Open() {
		w.State = "closed"
	}
	if d.Back != nil {
		w.BackBy = optional(d.PutBackBy())
	}
	if s, ok := d.Saved(); ok {
		w.Saved = toWireSaved(s)
	}
	return w
}

func toWireDetachments(ds []*policy.Detachment) []wireDetachment {
	ws := make([]wireDetachment, len(ds))
	for i, d := range ds {
		ws[i] = toWireDetachment(d)
	}
	return ws
}

// toWireBounds is null for bounds of what has not happened.
func toWireBounds(b timeline.Bounds) *wireBounds {
	switch {
	case b.NotAfter.IsZero():
		return nil
	case b.Exact():
		return &wireBounds{NotBefore: instant(b.NotBefore), NotAfter: instant(b.NotAfter)}
	default:
		return &wireBounds{NotBefore: instant(b.NotBefore), NotAfter: instantUp(b.NotAfter)}
	}
}

func policyBounds(b *policy.Bounds) *wireBounds {
	if b == nil {
		return nil
	}
	return toWireBounds(timeline.Bounds{NotBefore: b.NotBefore, NotAfter: b.NotAfter})
}

func toWireSaved(s policy.Saved) *wireSaved {
	shortest, longest := secondsDown(s.Shortest), 0-secondsDown(-s.Longest) // no minus before a 0
	return &wireSaved{Shortest: shortest, Longest: longest, Error: round(longest - shortest)}
}

// secondsDown is rounded down to the millisecond, below 0 too.
func secondsDown(d time.Duration) float64 {
	cut := d.Truncate(time.Millisecond)
	if cut > d {
		cut -= time.Millisecond
	}
	return round(cut.Seconds())
}

func (v *View) acting(now time.Time) wireActing {
	w := wireActing{
		Services: zeros(policy.Modes), Verdicts: zeros(policy.Decisions), Detachments: zeros(policy.Modes),
		Pauses: []wirePause{}, Halts: []wireHalt{}, Latches: []wireLatch{},
	}
	if v.Snapshot != nil {
		for _, svc := range v.Snapshot.Services {
			w.Services[v.mode(svc.ID)]++
		}
	}
	for i := range v.Verdicts {
		if v.Verdicts[i].Action == policy.Detach {
			w.Verdicts[v.Verdicts[i].Decision]++
		}
	}
	for i := range v.Detachments {
		if v.Detachments[i].Open() {
			w.Detachments[v.Detachments[i].Mode]++
		}
	}
	for _, p := range v.pauses(now) {
		w.Pauses = append(w.Pauses, wirePause{
			Scope: p.Scope, Cluster: optional(p.Service.Cluster), Service: optional(p.Service.Name),
			Until: instant(p.Until), Owner: optional(p.Owner), Reason: optional(p.Reason), Reattach: !p.KeepOut,
			From: p.From, Problem: optional(p.Problem),
		})
	}
	for _, h := range v.Halts {
		w.Halts = append(w.Halts, wireHalt{Cause: h.Cause, Detail: h.Detail})
	}
	for _, l := range v.Latches {
		w.Latches = append(w.Latches, wireLatch{
			Guard: policy.Correlated, Cluster: optional(l.Service.Cluster), Service: optional(l.Service.Name),
			Since: instant(l.Since), Until: instant(l.Until), Failing: l.Failing, Of: l.Of,
		})
	}
	return w
}

func zeros[K comparable](keys []K) map[K]int {
	m := make(map[K]int, len(keys))
	for _, k := range keys {
		m[k] = 0
	}
	return m
}

// openDetachments are those that are not closed, in the order of the View.
func (v *View) openDetachments() []*policy.Detachment {
	var open []*policy.Detachment
	for i := range v.Detachments {
		if v.Detachments[i].Open() {
			open = append(open, &v.Detachments[i])
		}
	}
	return slices.Clip(open)
}
