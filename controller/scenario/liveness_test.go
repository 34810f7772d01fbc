package scenario

import (
	"math"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// settling is how long after a disturbance castoff owes nothing: it has to read
// everything again.
const settling = 30 * time.Second

// owes is how much longer than its settings say castoff may take for what it owes:
// some passes, and the time between two calls about the same target.
const owes = 45 * time.Second

// liveness is what castoff owes, second by second.
type liveness struct {
	calm    time.Time // from when on nothing stands in the way
	faults  int       // that are set
	well    map[fleet.TaskARN]time.Time
	flaps   map[fleet.TaskARN]int
	was     map[fleet.TaskARN]fleet.HealthStatus
	failed  map[fleet.ServiceID]map[fleet.TaskARN]time.Time // when a task was last failing
	over    map[fleet.ServiceID]time.Time                   // since when too many fail; the zero id for the fleet
	latched map[fleet.ServiceID]time.Time                   // when castoff last cannot but have seen it
	grazed  map[fleet.ServiceID]time.Time                   // when it last may have
	desired map[fleet.ServiceID]wanted                      // how many tasks each wants, or wanted a moment ago
	due     map[taking]time.Time                            // since when a target should be taken out
	held    map[taking]time.Time                            // until when a pause kept a target out
	said    map[taking]bool
	kept    int // obligations that were met
}

// wanted is a number of tasks, and when it was last wanted.
type wanted struct {
	n  int
	at time.Time
}

func newLiveness() liveness {
	return liveness{
		well: map[fleet.TaskARN]time.Time{}, flaps: map[fleet.TaskARN]int{}, was: map[fleet.TaskARN]fleet.HealthStatus{},
		failed: map[fleet.ServiceID]map[fleet.TaskARN]time.Time{}, over: map[fleet.ServiceID]time.Time{},
		latched: map[fleet.ServiceID]time.Time{}, grazed: map[fleet.ServiceID]time.Time{}, desired: map[fleet.ServiceID]wanted{},
		due: map[taking]time.Time{}, said: map[taking]bool{}, held: map[taking]time.Time{},
	}
}

// disturbed has castoff owe nothing for a while.
func (o *oracle) disturbed(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if until := time.Now().Add(d); until.After(o.life.calm) {
		o.life.calm = until
	}
}

// fault sets a fault in the region until it is lifted.
func (o *oracle) fault(f sim.Fault) (lift func()) {
	o.mu.Lock()
	o.life.faults++
	o.mu.Unlock()
	undo := o.region.Fault(f)
	return func() {
		undo()
		o.disturbed(settling)
		if f.Effect == sim.Deny {
			o.disturbed(5*time.Minute + settling) // castoff leaves alone what it may not change
		}
		o.mu.Lock()
		o.life.faults--
		o.mu.Unlock()
	}
}

// forgotten is for a castoff that starts with what its disk had before that broke:
// nobody can remember what could not be written.
func (o *oracle) forgotten() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.life.latched)
}

// took notes that a target was taken out.
func (v *liveness) took(k taking) {
	if _, owed := v.due[k]; owed {
		v.kept++
	}
}

// sample looks at the region, to be called every second while one castoff runs
// or none; l is nil when none does.
func (o *oracle) sample(l *life) {
	o.look()
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	v := &o.life
	for id, tasks := range o.tasks {
		if v.failed[id] == nil {
			v.failed[id] = map[fleet.TaskARN]time.Time{}
		}
		for _, t := range tasks {
			was := v.was[t.ARN]
			v.was[t.ARN] = t.Health
			if t.Health == fleet.Unhealthy {
				v.failed[id][t.ARN] = now
				if was == fleet.Healthy {
					v.flaps[t.ARN]++
				}
			} else if t.Desired == fleet.Stopped {
				if _, known := v.failed[id][t.ARN]; !known {
					v.failed[id][t.ARN] = now // it may have ended for a failure of its own
				}
			}
			if t.Health != fleet.Healthy || !t.Connected || t.Status != fleet.Running || t.Desired != fleet.Running {
				delete(v.well, t.ARN)
			} else if v.well[t.ARN].IsZero() {
				v.well[t.ARN] = now
			}
		}
	}
	if l == nil {
		v.over = map[fleet.ServiceID]time.Time{}
		v.due = map[taking]time.Time{}
		return
	}
	o.weigh(l, now)
	o.owed(l, now)
}

func isUp(t *sim.TaskInfo) bool { return t.Status == fleet.Running && t.Desired == fleet.Running }

// weigh notes where too many fail at once.
func (o *oracle) weigh(l *life, now time.Time) {
	v := &o.life
	note := func(id fleet.ServiceID, c policy.CorrelatedLimits, failing, of, atMost int) {
		over := func(of int) bool { return failing >= c.Count && float64(failing)*100 >= c.Percent*float64(of) }
		if over(of) {
			v.grazed[id] = now
		}
		if !over(atMost) {
			delete(v.over, id)
			return
		}
		if v.over[id].IsZero() || v.faults > 0 || now.Before(v.calm) {
			v.over[id] = now
		}
		if now.Sub(v.over[id]) > 4*l.daemon.polling.Interval {
			v.latched[id] = now.Add(-l.daemon.polling.Interval) // when it last read it, at the earliest
		}
	}
	services := 0
	for id, tasks := range o.tasks {
		failing, up := 0, 0
		for i := range tasks {
			if isUp(&tasks[i]) {
				// In the time that it is given to start it does not count.
				if up++; tasks[i].Health == fleet.Unhealthy && now.After(tasks[i].Started.Add(graceOf(o.specs[id]))) {
					failing++
				}
			}
		}
		if failing > 0 {
			services++
		}
		n := o.specs[id].Desired
		note(id, l.rules.limits(id).Correlated, failing, min(up, n), min(up, v.desiredLately(id, n, now)))
	}
	note(fleet.ServiceID{}, l.rules.fleet.Correlated, services, len(o.tasks), len(o.tasks))
}

// desiredLately is the most tasks that a service has wanted since castoff last read
// that for certain, which it does every minute.
func (v *liveness) desiredLately(id fleet.ServiceID, n int, now time.Time) int {
	d := v.desired[id]
	switch {
	case n > d.n || now.Sub(d.at) > 2*time.Minute:
		d = wanted{n: n, at: now}
	case n == d.n:
		d.at = now
	}
	v.desired[id] = d
	return d.n
}

// owed holds castoff to what it owes now.
func (o *oracle) owed(l *life, now time.Time) {
	v := &o.life
	l.mu.Lock()
	panicked := !l.panicked.IsZero() || l.dead
	l.mu.Unlock()
	calm := v.faults == 0 && now.After(v.calm)
	for key, g := range o.out {
		arn := g.task
		k, t := taking{arn, key}, o.task(arn)
		if !calm || g.by.life == nil || t == nil || v.well[arn].IsZero() || v.said[k] {
			continue
		}
		if o.pausedBy(l, t.Service, now, true) != "" {
			v.held[k] = now
			continue
		}
		from := v.well[arn]
		for _, later := range []time.Time{v.calm, v.held[k]} {
			if later.After(from) {
				from = later
			}
		}
		r := l.rules.limits(t.Service).Recovery
		window := min(float64(r.Max), float64(r.Window)*math.Pow(r.Growth, float64(v.flaps[arn])))
		if long := now.Sub(from); !panicked && long > time.Duration(window)+owes {
			v.said[k] = true
			o.violate(ruleLeftOut, "%s of task %s, healthy for %s, window %s", key.Address(), arn.ID(), long, time.Duration(window))
		}
	}
	for id, tasks := range o.tasks {
		for i := range tasks {
			t := &tasks[i]
			for _, key := range t.Targets {
				k := taking{t.ARN, key}
				if !calm || panicked || !l.of.diskBroken().IsZero() || !o.mustGo(l, id, t, key, now) {
					delete(v.due, k)
					continue
				}
				if v.due[k].IsZero() {
					v.due[k] = now
				}
				limits := l.rules.limits(id)
				may := limits.Confirm.For + refill(limits.Rate) + refill(l.rules.fleet.Rate) + owes
				if long := now.Sub(v.due[k]); long > may && !v.said[k] {
					v.said[k] = true
					o.violate(ruleLeftIn, "%s of hung task %s of %s, for %s, nothing in the way", key.Address(), t.ARN.ID(), id, long)
				}
			}
		}
	}
}

// refill is how long a bucket takes to be full again.
func refill(r policy.RateLimits) time.Duration {
	return time.Duration(float64(r.Burst) * float64(time.Minute) / r.PerMinute)
}

// mustGo reports that a target should be taken out: its task hangs, and so
// plainly nothing speaks against it that no guard can. Where it is near, it says
// no.
func (o *oracle) mustGo(l *life, id fleet.ServiceID, t *sim.TaskInfo, key fleet.TargetKey, now time.Time) bool {
	v, limits, spec := &o.life, l.rules.limits(id), o.specs[id]
	rows := o.rows[key.Group]
	row := rowOf(rows, key)
	if t.Health != fleet.Unhealthy || !isUp(t) || !t.Connected || row == nil || row.State != fleet.TargetHealthy ||
		row.Owner == nil || row.Owner.ARN != t.ARN || o.taken[taking{t.ARN, key}] != nil || o.skewed {
		return false
	}
	if tagged := o.tags[tag{id, "castoff:mode"}].value; limits.Mode != policy.Detaching || tagged != "" && tagged != string(policy.Detaching) {
		return false
	}
	if o.tags[tag{id, "castoff:pause"}].value != "" || o.pausedBy(l, id, now, false) != "" {
		return false
	}
	if now.Before(l.began.Add(limits.Startup)) || now.Before(t.Started.Add(spec.Grace+time.Minute)) {
		return false
	}
	for of, cooldown := range map[fleet.ServiceID]time.Duration{id: limits.Correlated.Cooldown, {}: l.rules.fleet.Correlated.Cooldown} {
		if at, ok := v.grazed[of]; ok && now.Before(at.Add(cooldown+settling)) {
			return false
		}
	}
	recent := 0
	for _, at := range v.failed[id] {
		if now.Sub(at) < limits.Futile.Window+settling {
			recent++
		}
	}
	if recent > limits.Futile.Replacements { // the first is no replacement
		return false
	}
	service := l.of.tap.by(now).knows(ofService(id))
	if service == nil || service.service.rolling() {
		return false
	}
	return o.enoughLeft(l, id, key, rows, max(spec.Desired, service.service.Desired)) && o.budgetLeft(l, id, t.ARN, key)
}

// enoughLeft reports that with one to spare all would still hold.
func (o *oracle) enoughLeft(l *life, id fleet.ServiceID, key fleet.TargetKey, rows []sim.RowInfo, desired int) bool {
	own, zone, all := 0, 0, 0
	mine := rowOf(rows, key)
	for i := range rows {
		r := &rows[i]
		if _, out := o.out[r.Key]; out || r.Key == key || r.State != fleet.TargetHealthy || r.Owner == nil ||
			!isUp(r.Owner) || !r.Owner.Connected || r.Owner.Health == fleet.Unhealthy {
			continue
		}
		all++
		if r.Owner.Service == id {
			own++
		}
		if r.Zone == mine.Zone {
			zone++
		}
	}
	floor := l.rules.limits(id).Floor
	if own < floor.Count || own < 1 || float64(own)*100 < floor.Percent*float64(desired) {
		return false
	}
	// Where the group has no word of its own castoff may not know whether zones share.
	attributes := o.groups[strings.TrimSuffix(key.Group.Name(), "-alt")].Attributes
	h := thresholds(attributes, attributes["load_balancing.cross_zone.enabled"] == "true")
	if all < h.of(len(rows)) {
		return false
	}
	if h.crossZone {
		return true
	}
	inZone := 0
	for i := range rows {
		if rows[i].Zone == mine.Zone {
			inZone++
		}
	}
	return zone >= 1 && zone >= h.of(inZone)
}

// budgetLeft reports that one more may be out, by castoff's own account: what it
// keeps open counts, wherever the target is.
func (o *oracle) budgetLeft(l *life, id fleet.ServiceID, arn fleet.TaskARN, key fleet.TargetKey) bool {
	service, everywhere, group := map[fleet.TaskARN]bool{arn: true}, map[fleet.TaskARN]bool{arn: true}, 1
	for _, d := range l.daemon.View().Detachments {
		if !d.Open() || d.Mode != policy.Detaching {
			continue
		}
		everywhere[d.Task] = true
		if d.Service == id {
			service[d.Task] = true
		}
		if d.Target.Group == key.Group {
			group++
		}
	}
	b := l.rules.limits(id).Budget
	return len(service) <= most(b.Service, o.specs[id].Desired) && group <= most(b.Group, len(o.rows[key.Group])) &&
		len(everywhere) <= l.rules.fleet.Budget.Least
}
