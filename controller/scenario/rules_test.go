package scenario

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// judgeBack: castoff had taken it out, of this task, which is not failing.
func (o *oracle) judgeBack(a *announced, w sim.Write, key fleet.TargetKey) {
	o.backs++
	d := a.known[key]
	if ts := o.taken[taking{d.Task, key}]; ts == nil || !ts.maybe {
		o.violate(ruleForeign, "%s was registered for task %s, and castoff had not taken it out", key.Address(), d.Task.ID())
	}
	for _, ts := range o.tasks {
		for _, t := range ts {
			if t.ARN != d.Task && t.Status != fleet.Stopped && slices.Contains(t.Targets, key) {
				o.violate(ruleIdentity, "%s was registered for task %s, and is task %s's", key.Address(), d.Task.ID(), t.ARN.ID())
			}
		}
	}
	if by := o.pausedBy(a.life, d.Service, w.At, true); by != "" {
		o.violate(ruleKeptOut, "%s was registered, and %s", key.Address(), by)
	}
	r := a.seen.last(ofTask(d.Task))
	if r == nil || !r.ok || r.task.Health == fleet.Unhealthy || w.At.Sub(r.received) > slack {
		o.violate(ruleEvidence, "%s was registered for task %s, last read %+v", key.Address(), d.Task.ID(), r)
	}
}

// judgeOut holds one target that is being taken out to every rule.
func (o *oracle) judgeOut(a *announced, w sim.Write, row *sim.RowInfo, rows []*sim.RowInfo) {
	l, at := a.life, w.At
	d, known := a.known[row.Key]
	if !known {
		return // said already
	}
	limits := l.rules.limits(d.Service)
	what := fmt.Sprintf("%s taken out for task %s of %s by %s", row.Key.Address(), d.Task.ID(), d.Service, l.of.name)
	bad := func(r rule, format string, args ...any) {
		o.violate(r, "%s: "+format, append([]any{what}, args...)...)
	}
	if row.Owner == nil || row.Owner.ARN != d.Task {
		bad(ruleIdentity, "the address is %s's", ownerOf(row))
	} else if row.Owner.Health != fleet.Unhealthy && !a.couldThink(d.Task, at, slack, (*taskReading).sick) {
		bad(ruleHealthy, "ECS calls the task %s", row.Owner.Health)
	}
	o.judgeEvidence(bad, a, d, row, at)
	o.judgeBrakes(bad, a, d, at)
	o.judgeLeft(bad, a, d, w, row, rows)
	o.judgeBudget(bad, a, d, w, row, rows)
	o.judgeRate(bad, a, d, at)
	if a.done[row.Key] {
		return // the SDK tries again after a lost reply, and ECS had put it back by then
	}
	o.judgeAgain(bad, limits.Contested, o.takings(taking{d.Task, row.Key}).times[stint{l.of, d.Decided}], at)
}

func ownerOf(row *sim.RowInfo) string {
	if row.Owner == nil {
		return "nobody"
	}
	return "task " + row.Owner.ARN.ID()
}

// couldThink reports that a reading of a task, no older than that, says so.
func (a *announced) couldThink(arn fleet.TaskARN, at time.Time, age time.Duration, says func(*taskReading) bool) bool {
	r := a.seen.last(ofTask(arn))
	return r != nil && r.ok && at.Sub(r.received) <= age && says(r.task)
}

type complain func(r rule, format string, args ...any)

// judgeEvidence: the latest word on everything that counts is there, says so, and
// is fresh where it must be.
func (o *oracle) judgeEvidence(bad complain, a *announced, d policy.Detachment, row *sim.RowInfo, at time.Time) {
	seen, limits, group := a.seen, a.life.rules.limits(d.Service), row.Key.Group
	for _, subject := range []string{ofTask(d.Task), ofRows(group), ofService(d.Service), ofGroup(group), ofAttributes(group)} {
		if r := seen.last(subject); r == nil || !r.ok {
			bad(ruleEvidence, "the %s could not be read: %+v", subject, r)
			return
		}
	}
	every, own := ofLists(d.Service.Cluster, "ListTasks"), ofLists(d.Service.String(), "ListTasks")
	for _, subject := range []string{every, own, ofLists(d.Service.Cluster, "ListServices")} {
		r := seen.last(subject)
		if subject == own && r != nil && seen.last(every) != nil && r.sent.Before(seen.last(every).sent) {
			continue // a service has a list of its own while it is hot: the cluster's is newer
		}
		if r != nil && !r.ok {
			bad(ruleEvidence, "the %s could not be read at %s", subject, r.sent.Format("15:04:05.000"))
		}
	}
	task, rows, service := seen.last(ofTask(d.Task)), seen.last(ofRows(group)), seen.last(ofService(d.Service))
	if !task.task.up() {
		bad(ruleIdentity, "ECS takes the task down: %+v", *task.task)
	}
	if !task.task.sick() || at.Sub(task.received) > slack {
		bad(ruleEvidence, "read %+v, %s ago", *task.task, at.Sub(task.received))
	}
	again := o.takings(taking{d.Task, row.Key}).called[stint{a.life.of, d.Decided}] // before it gets flows
	if state := rows.rows[row.Key]; state != fleet.TargetHealthy && !(again && state == fleet.TargetInitial) || at.Sub(rows.received) > slack {
		bad(ruleEvidence, "the row was read %q, %s ago", state, at.Sub(rows.received))
	}
	if service.service.rolling() && !limits.DuringDeployment {
		bad(ruleDeployment, "%+v", service.service.Deployments)
	}
	// The look again is one reading more than what confirms it.
	if n, since := seen.sick(d.Task); n < limits.Confirm.Reads+1 || at.Sub(since) < limits.Confirm.For {
		bad(ruleConfirm, "read failing %d times since %s, limit %+v", n, since.Format("15:04:05.000"), limits.Confirm)
	}
	if o.skewed || row.Owner == nil {
		return
	}
	grace := graceOf(o.specs[d.Service])
	if at.Before(row.Owner.Started.Add(grace)) {
		bad(ruleGrace, "it started at %s, grace %s", row.Owner.Started.Format("15:04:05.000"), grace)
	}
}

// graceOf is for how long ECS minds no check of a service's new tasks' containers.
func graceOf(spec sim.ServiceSpec) time.Duration {
	grace := spec.Grace
	for _, c := range spec.Containers {
		if c.Check != nil {
			grace = max(grace, c.Check.StartPeriod)
		}
	}
	return grace
}

// judgeBrakes: nobody and nothing had told castoff not to act.
func (o *oracle) judgeBrakes(bad complain, a *announced, d policy.Detachment, at time.Time) {
	l := a.life
	limits := l.rules.limits(d.Service)
	t := o.tags[tag{d.Service, "castoff:mode"}]
	mode := policy.Mode(cmp.Or(t.value, string(limits.Mode)))
	was := policy.Mode(cmp.Or(t.was, string(limits.Mode)))
	if mode != policy.Detaching && (was != policy.Detaching || at.Sub(t.since) > slack) {
		bad(ruleMode, "the mode is %q", mode)
	}
	if by := o.pausedBy(l, d.Service, at, false); by != "" {
		bad(rulePaused, "%s", by)
	}
	if at.Before(l.began.Add(limits.Startup)) {
		bad(ruleStartup, "castoff began at %s, window %s", l.began.Format("15:04:05.000"), limits.Startup)
	}
	if a.halted {
		bad(rulePanic, "a pass has panicked")
	}
	if a.broken {
		bad(ruleDisk, "the journal cannot be written")
	}
	for id, at2 := range o.life.latched {
		if id != d.Service && id != (fleet.ServiceID{}) {
			continue
		}
		cooldown := limits.Correlated.Cooldown
		if id == (fleet.ServiceID{}) {
			cooldown = l.rules.fleet.Correlated.Cooldown
		}
		if at.Before(at2.Add(cooldown - slack)) {
			bad(ruleCorrelated, "too many of %q failed at %s, cooldown %s", id, at2.Format("15:04:05.000"), cooldown)
		}
	}
}

// pausedBy says what pauses a service; empty: nothing does.
func (o *oracle) pausedBy(l *life, id fleet.ServiceID, at time.Time, keepOut bool) string {
	for _, p := range l.rules.pauses {
		over := p.Scope == policy.ScopeAll || p.Scope == policy.ScopeCluster && p.Service.Cluster == id.Cluster || p.Service == id
		if over && (p.Until.IsZero() || at.Before(p.Until)) && (p.KeepOut || !keepOut) {
			return fmt.Sprintf("the configuration pauses it until %s", p.Until.Format("15:04:05"))
		}
	}
	for _, of := range []fleet.ServiceID{id, {Cluster: id.Cluster}} {
		t := o.tags[tag{of, "castoff:pause"}]
		since := slack
		if of.Name == "" {
			since = 2 * time.Minute // a cluster is not read again before a call
		}
		if t.value == "" || at.Sub(t.since) <= since || keepOut && !strings.Contains(t.value, "reattach=no") {
			continue
		}
		until := ""
		for field := range strings.FieldsSeq(t.value) {
			if u, ok := strings.CutPrefix(field, "until="); ok {
				until = u
			}
		}
		if end, err := time.Parse(time.RFC3339, until); err != nil || at.Before(end) {
			return fmt.Sprintf("the tag %q pauses it since %s", t.value, t.since.Format("15:04:05"))
		}
	}
	return ""
}

// good reports that a row serves: by the truth or, as far as it has changed
// since, by castoff's own last readings. Tasks that are not acted upon may have
// been read a slack before the look again.
func (o *oracle) good(a *announced, r *sim.RowInfo, at time.Time) bool {
	if r.Owner == nil {
		return false
	}
	if _, out := o.out[r.Key]; out {
		return false
	}
	works := o.works(r.Owner.Service)
	if r.State == fleet.TargetHealthy && r.Owner.Status == fleet.Running && r.Owner.Desired == fleet.Running &&
		works(r.Owner.Health) && r.Owner.Connected {
		return true
	}
	rows := a.seen.last(ofRows(r.Key.Group))
	return rows != nil && rows.ok && at.Sub(rows.received) <= slack && rows.rows[r.Key] == fleet.TargetHealthy &&
		a.couldThink(r.Owner.ARN, at, 2*slack, func(t *taskReading) bool {
			return t.up() && works(t.Health) && t.Connectivity != fleet.Disconnected
		})
}

// works says which health of a service's tasks vouches for them: UNKNOWN, where there
// is nothing that ECS could check, or a container without a check hides what it found.
func (o *oracle) works(id fleet.ServiceID) func(fleet.HealthStatus) bool {
	checked, hidden := false, o.region.Params().UncheckedUnknown
	for _, c := range o.specs[id].Containers {
		checked = checked || !c.NotEssential && c.Check != nil
	}
	return func(h fleet.HealthStatus) bool {
		return h == fleet.Healthy || h == fleet.Unknown && (!checked || hidden)
	}
}

// judgeLeft counts what is left once all of the call is done.
func (o *oracle) judgeLeft(bad complain, a *announced, d policy.Detachment, w sim.Write, row *sim.RowInfo, rows []*sim.RowInfo) {
	var own, all, zone, registered, zoneRegistered int
	for i := range w.Before {
		r := &w.Before[i]
		if slices.ContainsFunc(rows, func(o *sim.RowInfo) bool { return o.Key == r.Key }) {
			continue
		}
		if r.State != fleet.TargetDraining {
			registered++
			if r.Zone == row.Zone {
				zoneRegistered++
			}
		}
		if !o.good(a, r, w.At) {
			continue
		}
		all++
		if r.Owner.Service == d.Service {
			own++
		}
		if r.Zone == row.Zone {
			zone++
		}
	}
	floor := a.life.rules.limits(d.Service).Floor
	if desired := o.desired(a, d.Service, lesser); own < floor.Count || float64(own)*100 < floor.Percent*float64(desired) {
		bad(ruleFloor, "%d healthy targets left, floor %+v of %d", own, floor, desired)
	}
	if all < 1 {
		bad(ruleLast, "no healthy target left in the group")
	}
	h := thresholds(w.Attributes, w.CrossZone)
	left := all
	if !h.crossZone {
		if left, registered = zone, zoneRegistered; zone < 1 {
			bad(ruleZone, "no healthy target left in %s", row.Zone)
		}
	}
	if need := h.of(registered); left < need {
		bad(ruleThreshold, "%d of %d targets left healthy, target_group_health asks for %d", left, registered, need)
	}
}

// groupHealth is a group's own target_group_health, the stricter of its two.
type groupHealth struct {
	crossZone  bool
	count      int
	percentage int
}

// of is how many of so many registered targets must be healthy.
func (h groupHealth) of(registered int) int { return max(h.count, (h.percentage*registered+99)/100) }

func thresholds(attributes map[string]string, crossZone bool) groupHealth {
	h := groupHealth{crossZone: crossZone, count: 1}
	for _, name := range []string{"dns_failover", "unhealthy_state_routing"} {
		name = "target_group_health." + name + ".minimum_healthy_targets."
		if n, err := strconv.Atoi(attributes[name+"count"]); err == nil {
			h.count = max(h.count, n)
		}
		if n, err := strconv.Atoi(attributes[name+"percentage"]); err == nil {
			h.percentage = max(h.percentage, n)
		}
	}
	return h
}

// desired is a service's desired count as the truth has it and as castoff last
// read it, the one of the two that pick picks.
func (o *oracle) desired(a *announced, id fleet.ServiceID, pick func(a, b int) int) int {
	n := o.specs[id].Desired
	if r := a.seen.knows(ofService(id)); r != nil {
		return pick(n, r.service.Desired)
	}
	return n
}

func lesser(a, b int) int  { return min(a, b) }
func greater(a, b int) int { return max(a, b) }

// most is what an allowance gives of a total.
func most(a policy.Allowance, total int) int {
	n := int(math.Floor(a.Percent * float64(total) / 100))
	return min(max(n, a.Least), a.Most)
}

// judgeBudget counts what a castoff has out, of tasks that have not stopped.
func (o *oracle) judgeBudget(bad complain, a *announced, d policy.Detachment, w sim.Write, row *sim.RowInfo, rows []*sim.RowInfo) {
	out := map[fleet.TargetKey]fleet.TaskARN{row.Key: d.Task}
	for key, g := range o.out {
		if g.by == a.life.of {
			out[key] = g.task
		}
	}
	for _, r := range rows {
		if r.Owner != nil {
			out[r.Key] = r.Owner.ARN
		}
	}
	service, everywhere, group := map[fleet.TaskARN]bool{}, map[fleet.TaskARN]bool{}, 0
	for key, arn := range out {
		everywhere[arn] = true
		if t := o.task(arn); t != nil && t.Service == d.Service {
			service[arn] = true
		}
		if key.Group == row.Key.Group {
			group++
		}
	}
	running := 0
	for _, ts := range o.tasks {
		for _, t := range ts {
			if t.Status == fleet.Running && t.Desired == fleet.Running {
				running++
			}
		}
	}
	budget, inGroup := a.life.rules.limits(d.Service).Budget, len(w.Before)
	if r := a.seen.knows(ofRows(row.Key.Group)); r != nil {
		inGroup = max(inGroup, len(r.rows))
	}
	if may := most(budget.Service, o.desired(a, d.Service, greater)); len(service) > may {
		bad(ruleBudget, "%d tasks of the service are out, allowed %d", len(service), may)
	}
	if may := most(budget.Group, inGroup); group > may {
		bad(ruleBudget, "%d targets of the group are out, allowed %d of %d", group, may, inGroup)
	}
	if may := most(a.life.rules.fleet.Budget, running+1); len(everywhere) > may {
		bad(ruleBudget, "%d tasks are out, allowed %d of %d", len(everywhere), may, running)
	}
}

// judgeRate: in no time were there more than the burst and what came back in it.
// A task costs a token once, when it is decided about: how often it is taken out
// again is for judgeAgain. That holds for as long as a target of it that was taken out
// is not settled: one that was back and failed again costs another. A call may come
// long after, when castoff died between the two.
func (o *oracle) judgeRate(bad complain, a *announced, d policy.Detachment, at time.Time) {
	l := a.life
	among := func(open []policy.Detachment, task fleet.TaskARN, key fleet.TargetKey, decided time.Time) bool {
		return slices.ContainsFunc(open, func(d policy.Detachment) bool {
			return d.Task == task && d.Target == key && d.Decided.Equal(decided)
		})
	}
	// Whichever of two calls about a task AWS carries out first: one whose first attempt
	// fails is overtaken by the next.
	paid := slices.ContainsFunc(o.writes, func(w written) bool {
		return w.by == l.of && w.task == d.Task && (among(a.open, w.task, w.key, w.decided) || among(w.open, d.Task, d.Target, d.Decided))
	})
	o.writes = append(o.writes, written{d.Decided, l.of, d.Service, d.Task, d.Target, paid, a.open})
	if paid {
		return
	}
	slices.SortStableFunc(o.writes, func(a, b written) int { return a.decided.Compare(b.decided) })
	for _, r := range []struct {
		what  string
		limit policy.RateLimits
		about func(written) bool
	}{
		{"service", l.rules.limits(d.Service).Rate, func(w written) bool { return w.service == d.Service }},
		{"fleet", l.rules.fleet.Rate, func(written) bool { return true }},
	} {
		n := 0
		for _, w := range slices.Backward(o.writes) {
			if w.by != l.of || w.paid || !r.about(w) {
				continue
			}
			n++
			window := at.Sub(w.decided) + slack
			if may := float64(r.limit.Burst) + r.limit.PerMinute*window.Minutes(); float64(n) > may {
				bad(ruleRate, "%d of the %s within %s, allowed %+v", n, r.what, window, r.limit)
				break
			}
		}
	}
}

// judgeAgain: what was put back is taken out again only so often, ever later.
func (o *oracle) judgeAgain(bad complain, c policy.ContestedLimits, before []time.Time, at time.Time) {
	if n := len(before); n >= c.Tries {
		bad(ruleContested, "the time before was number %d, limit %d", n, c.Tries)
	} else if n > 0 && at.Sub(before[n-1]) < c.Spacing<<(n-1)-slack {
		bad(ruleContested, "%s after time %d, spacing %s", at.Sub(before[n-1]), n, c.Spacing)
	}
}
