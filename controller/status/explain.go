package status

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// explained bounds how many tasks one answer has: an address may have had many.
const explained = 20

// subject is what somebody asks about.
type subject struct {
	task   fleet.TaskARN // a whole ARN
	prefix string        // a task's id, or how it begins
	target string        // a target's id: an address, an instance
	port   int           // of the target; 0: any
}

// parseSubject reads a task's ARN, its id or how that begins; or an address or
// an instance's id, with a port or without.
func parseSubject(s string) (subject, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return subject{}, fmt.Errorf("of: say which task (ARN, id or how its id begins) or target (address or instance, with or without :port)")
	}
	if strings.HasPrefix(s, "arn:") {
		if parts := strings.SplitN(s, ":", 6); len(parts) < 6 || parts[2] != "ecs" || !strings.HasPrefix(parts[5], "task/") || parts[5] == "task/" {
			return subject{}, fmt.Errorf("of: %q is the ARN of no task: arn:aws:ecs:REGION:ACCOUNT:task/…", clip(s))
		}
		return subject{task: fleet.TaskARN(s)}, nil
	}
	if addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return subject{target: addr.Unmap().String()}, nil
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return subject{target: ap.Addr().Unmap().String(), port: int(ap.Port())}, nil
	}
	if strings.HasPrefix(s, "i-") {
		id, port, hasPort := strings.Cut(s, ":")
		if !named(id) {
			return subject{}, fmt.Errorf("of: %q is no instance's id", clip(id))
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if hasPort && err != nil {
			return subject{}, fmt.Errorf("of: %q is not a port", clip(port))
		}
		return subject{target: id, port: int(n)}, nil
	}
	if !named(s) {
		return subject{}, fmt.Errorf("of: %q is no task (ARN, id or how its id begins) and no target (address or instance, with or without :port)", clip(s))
	}
	return subject{prefix: s}, nil
}

// named reports that an id has nothing in it that AWS's ids have not.
func named(id string) bool {
	return !strings.ContainsFunc(id, func(r rune) bool {
		return r != '-' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	})
}

func (s subject) isTask(arn fleet.TaskARN) bool {
	return s.task != "" && arn == s.task || s.prefix != "" && strings.HasPrefix(arn.ID(), s.prefix)
}

func (s subject) isTarget(k fleet.TargetKey) bool {
	return s.target != "" && k.ID == s.target && (s.port == 0 || k.Port == s.port)
}

func (s subject) isAnyTarget(keys []fleet.TargetKey) bool {
	return slices.ContainsFunc(keys, s.isTarget)
}

// told is all that a View knows of one task.
type told struct {
	arn       fleet.TaskARN
	service   fleet.ServiceID
	task      *fleet.Task // nil: not in the Snapshot
	record    record
	timelines []*timeline.Timeline
	newest    time.Time // when it last had anything to do with the subject
}

// tell finds all that there is about a subject: tasks that still run first,
// then the latest.
func (v *View) tell(s subject) []*told {
	found := make(map[fleet.TaskARN]*told)
	note := func(arn fleet.TaskARN, id fleet.ServiceID, at time.Time) {
		t := found[arn]
		if t == nil {
			t = &told{arn: arn, service: id}
			found[arn] = t
		}
		if at.After(t.newest) {
			t.newest = at
		}
	}
	if v.Snapshot != nil {
		for _, t := range v.Snapshot.Tasks {
			if s.isTask(t.ARN) || s.isAnyTarget(t.Targets) {
				note(t.ARN, t.Service, t.Created)
			}
		}
	}
	for i := range v.Verdicts {
		if d := &v.Verdicts[i]; s.isTask(d.Task) || s.isTarget(d.Target) {
			note(d.Task, d.Service, d.At)
		}
	}
	for i := range v.Detachments {
		if d := &v.Detachments[i]; s.isTask(d.Task) || s.isTarget(d.Target) {
			note(d.Task, d.Service, d.Decided)
		}
	}
	timelines := slices.Concat(v.Open, v.Closed)
	for _, t := range timelines {
		if s.isTask(t.Task) || slices.ContainsFunc(t.Targets, func(target timeline.Target) bool { return s.isTarget(target.Key) }) {
			note(t.Task, t.Service, t.Opened)
		}
	}
	records := v.records()
	all := make([]*told, 0, len(found))
	for _, t := range found {
		t.record = records[t.arn]
		if v.Snapshot != nil {
			t.task = v.Snapshot.Task(t.arn)
		}
		all = append(all, t)
	}
	for _, tl := range timelines {
		if t := found[tl.Task]; t != nil {
			t.timelines = append(t.timelines, tl)
		}
	}
	slices.SortFunc(all, func(a, b *told) int {
		return cmp.Or(a.rank()-b.rank(), b.newest.Compare(a.newest), cmp.Compare(a.arn, b.arn))
	})
	return all
}

func (t *told) rank() int {
	switch {
	case t.task != nil && !t.task.Gone():
		return 0
	case t.task != nil:
		return 1
	default:
		return 2
	}
}

func apiExplain(v *View, r request) (any, error) {
	now := r.now
	of, err := parseSubject(r.values["of"])
	if err != nil {
		return nil, err
	}
	if v.Snapshot == nil {
		return nil, &problem{noPassYet, "castoff has just started: no pass has ended yet, so nothing is known"}
	}
	all := v.tell(of)
	if of.prefix != "" && len(all) > 1 {
		if i := slices.IndexFunc(all, func(t *told) bool { return t.arn.ID() == of.prefix }); i >= 0 {
			all = all[i : i+1]
		} else {
			return nil, &problem{ambiguous, severalTasks(of.prefix, all)}
		}
	}
	answer := wireExplanation{
		Of: r.values["of"], At: instant(v.Snapshot.At), Age: ageOf(v.Snapshot, now),
		Tasks: []wireTold{}, Unowned: v.unowned(of), Acting: v.acting(now), Gaps: len(v.gaps()),
	}
	if len(all) == 0 && len(answer.Unowned) == 0 {
		return nil, &problem{notFound, v.unknown(r.values["of"], now)}
	}
	answer.Omitted = max(0, len(all)-explained)
	for _, t := range all[:min(len(all), explained)] {
		answer.Tasks = append(answer.Tasks, v.toWireTold(t, now))
	}
	return answer, nil
}

func severalTasks(prefix string, all []*told) string {
	const most = 10
	var ids []string
	for _, t := range all[:min(len(all), most)] {
		ids = append(ids, clip(t.arn.ID())+" of "+clip(t.service.String()))
	}
	if len(all) > most {
		ids = append(ids, fmt.Sprintf("and %d more", len(all)-most))
	}
	return fmt.Sprintf("%s have an id that begins with %q: %s", count(len(all), "task", "tasks"), clip(prefix), strings.Join(ids, ", "))
}

// unknown says how much castoff knows that the subject is not in.
func (v *View) unknown(of string, now time.Time) string {
	tasks := 0
	for _, t := range v.Snapshot.Tasks {
		if !t.Gone() {
			tasks++
		}
	}
	read := ""
	if oldest, ok := v.Snapshot.Oldest(); ok {
		read = ", every one read within the last " + wholeAgo(oldest, now)
	}
	said := fmt.Sprintf("nothing is known of %q: castoff watches %s of %s%s, and has %s",
		clip(of), count(tasks, "task", "tasks"), count(len(v.Snapshot.Services), "service", "services"),
		read, count(len(v.Open)+len(v.Closed), "timeline", "timelines"))
	if n := len(v.gaps()); n > 0 {
		said += "; " + count(n, "thing", "things") + " could not be read, and it may be among them"
	}
	return said
}

// unowned are rows of the subject's address that no known task claims.
func (v *View) unowned(s subject) []wireRow {
	rows := []wireRow{}
	for _, g := range v.Snapshot.TargetGroups {
		for i := range g.Targets {
			if key := g.Targets[i].Key; s.isTarget(key) && v.Snapshot.Owner(key) == nil {
				rows = append(rows, v.toWireRow(key, nil))
			}
		}
	}
	return rows
}

type wireExplanation struct {
	Of      string     `json:"of"`
	At      *string    `json:"at"`          // of the Snapshot
	Age     *float64   `json:"age_seconds"` // of the oldest evidence about a task; null when there is none
	Tasks   []wireTold `json:"tasks"`       // those that run first, then the latest
	Omitted int        `json:"omitted"`     // tasks that there is no room for
	Unowned []wireRow  `json:"unowned"`     // targets that no known task has
	Acting  wireActing `json:"acting"`
	Gaps    int        `json:"gaps"`
}

type wireTold struct {
	Task        fleet.TaskARN    `json:"task"`
	Cluster     string           `json:"cluster"`
	Service     string           `json:"service"`
	Mode        string           `json:"mode"`
	Now         *wireTask        `json:"now"` // null: it is in no reading any more
	Verdicts    []wireVerdict    `json:"verdicts"`
	Detachments []wireDetachment `json:"detachments"`
	Timelines   []wireTimeline   `json:"timelines"` // newest first
}

type wireTask struct {
	LastStatus    fleet.TaskStatus   `json:"last_status"`
	DesiredStatus fleet.TaskStatus   `json:"desired_status"`
	Health        fleet.HealthStatus `json:"health"`
	Connectivity  *string            `json:"connectivity"`
	Started       *string            `json:"started"`
	Zone          *string            `json:"zone"`
	StoppedReason *string            `json:"stopped_reason"`
	Age           *float64           `json:"age_seconds"`
	Targets       []wireRow          `json:"targets"`
}

// wireRow is a target as its group lists it.
type wireRow struct {
	wireTargetKey
	State   *fleet.TargetState `json:"state"` // null: not listed, or the group was never read
	Reason  *string            `json:"reason"`
	Zone    *string            `json:"zone"`
	Owned   bool               `json:"owned"`   // by this task: an address may have passed to another
	Exposed bool               `json:"exposed"` // the balancer sends it traffic although ECS calls the task UNHEALTHY
}

func (v *View) toWireTold(t *told, now time.Time) wireTold {
	w := wireTold{
		Task: t.arn, Cluster: t.service.Cluster, Service: t.service.Name, Mode: string(v.mode(t.service)),
		Verdicts: []wireVerdict{}, Detachments: toWireDetachments(t.record.detachments), Timelines: []wireTimeline{},
	}
	for _, verdict := range t.record.verdicts {
		w.Verdicts = append(w.Verdicts, toWireVerdict(verdict))
	}
	slices.SortFunc(t.timelines, func(a, b *timeline.Timeline) int { return positionOf(a).compare(positionOf(b)) })
	for _, tl := range t.timelines {
		w.Timelines = append(w.Timelines, toWireTimeline(tl, t.record))
	}
	w.Now = v.toWireTask(t.task, now)
	return w
}

// toWireTask is null for a task that is in no reading.
func (v *View) toWireTask(task *fleet.Task, now time.Time) *wireTask {
	if task == nil {
		return nil
	}
	w := &wireTask{
		LastStatus: task.LastStatus, DesiredStatus: task.DesiredStatus, Health: task.Health,
		Connectivity: optional(task.Connectivity), Started: instant(task.Started), Zone: optional(task.Zone),
		StoppedReason: optional(task.StoppedReason), Age: age(task.Read, now), Targets: []wireRow{},
	}
	for _, key := range task.Targets {
		w.Targets = append(w.Targets, v.toWireRow(key, task))
	}
	return w
}

func (v *View) toWireRow(key fleet.TargetKey, task *fleet.Task) wireRow {
	w := wireRow{wireTargetKey: toWireTargetKey(key)}
	row := v.Snapshot.Target(key)
	if row == nil {
		return w
	}
	state := row.State
	w.State, w.Reason, w.Zone = &state, optional(row.Reason), optional(row.Zone)
	w.Owned = task != nil && v.Snapshot.Owner(key) == task
	w.Exposed = w.Owned && task.Failing() && !task.Gone() && row.Healthy()
	return w
}
