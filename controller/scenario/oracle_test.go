package scenario

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// slack is what may change between castoff's last look and its call taking
// effect: nobody can know of it.
const slack = 2 * time.Second

// oracle holds every write, and the whole run, to the list of what must never
// happen. It knows the region's truth, what was told on the wire, and the
// configuration in force, and shares no code with castoff: it counts everything
// anew, slowly. What it finds is kept; see verdict.
//
// Where truth and castoff differ, castoff is right only if its own last reading
// said so and is no older than slack.
type oracle struct {
	region *sim.Region
	specs  map[fleet.ServiceID]sim.ServiceSpec
	groups map[string]sim.GroupSpec // by name

	mu       sync.Mutex
	castoffs []*castoff
	under    []*announced // calls under way
	tasks    map[fleet.ServiceID][]sim.TaskInfo
	rows     map[fleet.TargetGroupARN][]sim.RowInfo
	out      map[fleet.TargetKey]gone // taken out by castoff and not seen back, of tasks that have not stopped
	taken    map[taking]*takings
	writes   []written
	// deregistered is what each DeregisterTargets named, in order.
	deregistered []deregistered
	tags         map[tag]tagged
	skewed       bool // the region's clock is another
	found        []violation
	life         liveness
	effects      int // targets that castoff took out
	backs        int // that it put back
}

// rule names one line of the list.
type rule string

// The rules.
const (
	ruleHealthy    rule = "healthy"    // a healthy task's target was deregistered
	ruleIdentity   rule = "identity"   // a target that the named task does not own
	ruleLast       rule = "last"       // the last healthy target of a group
	ruleZone       rule = "zone"       // the last one of a zone
	ruleFloor      rule = "floor"      // below a floor
	ruleThreshold  rule = "threshold"  // below a target_group_health threshold
	ruleEvidence   rule = "evidence"   // on what was stale, partial or unknown
	ruleLook       rule = "look"       // without looking again
	ruleConfirm    rule = "confirm"    // before it was confirmed
	ruleGrace      rule = "grace"      // in the task's grace period
	ruleMode       rule = "mode"       // in observe mode
	rulePaused     rule = "paused"     // while paused
	ruleStartup    rule = "startup"    // in the startup window
	rulePanic      rule = "panic"      // after a panic
	ruleDisk       rule = "disk"       // while the journal cannot be written
	ruleDeployment rule = "deployment" // while one rolls out
	ruleCorrelated rule = "correlated" // while too many fail at once
	ruleBudget     rule = "budget"     // more than are allowed out
	ruleRate       rule = "rate"       // more than are allowed in a time
	ruleContested  rule = "contested"  // too often, or too soon again
	ruleJournal    rule = "journal"    // a call that the journal does not know
	ruleForeign    rule = "foreign"    // what castoff did not take out was registered, or nobody had announced the call
	ruleKeptOut    rule = "kept_out"   // put back against a pause that says reattach=no
	ruleLeftOut    rule = "left_out"   // left out after the task recovered
	ruleLeftIn     rule = "left_in"    // a hung task was not detached, and could have been
	ruleUnclosed   rule = "unclosed"   // a detachment without an end

	// Of observing, held where a script is judged.
	ruleBounds   rule = "bounds"    // a milestone that does not hold the truth, or of what never happened
	ruleActor    rule = "actor"     // it was somebody else who took a target out
	ruleUntold   rule = "untold"    // a failure without a timeline
	ruleOpenEnds rule = "open_ends" // a timeline without an end
	ruleMetrics  rule = "metrics"   // metrics and pages do not say the same
	ruleLost     rule = "lost"      // a timeline is there no more
	ruleTwice    rule = "twice"     // a failure's end is told of twice
	ruleGap      rule = "gap"       // what could not be read was taken for gone
)

type violation struct {
	rule rule
	at   time.Time
	text string
}

func (v violation) String() string {
	return fmt.Sprintf("%s at %s: %s", v.rule, v.at.Format("15:04:05.000"), v.text)
}

// announced is a call that an Actor was asked to make.
type announced struct {
	life      *life
	seen      seen // what castoff went by
	halted    bool // when it began; what comes later a call under way does not know
	broken    bool // likewise, the disk
	operation string
	keys      []fleet.TargetKey
	open      []policy.Detachment                   // by the journal
	known     map[fleet.TargetKey]policy.Detachment // those of them that it is about
	done      map[fleet.TargetKey]bool              // a first attempt took it out, whose reply was lost
}

// taking is a task's target that castoff took out; takings how often and when.
type taking struct {
	task fleet.TaskARN
	key  fleet.TargetKey
}

type takings struct {
	times  map[stint][]time.Time
	called map[stint]bool // with effect or without: another castoff may have been first
	maybe  bool           // a call may have, or has
}

// gone is a target that a castoff took out.
type gone struct {
	task fleet.TaskARN
	by   *castoff
}

// stint is one detachment of a castoff's: a task that was back and failed again
// has another.
type stint struct {
	by      *castoff
	decided time.Time
}

// written is a target that was taken out, as the rates count it.
type written struct {
	decided time.Time
	by      *castoff
	service fleet.ServiceID
	task    fleet.TaskARN
	key     fleet.TargetKey
	paid    bool                // what was written before has taken the task's token
	open    []policy.Detachment // by the journal, when its call was announced
}

type tag struct {
	id  fleet.ServiceID
	key string
}

// tagged is a tag's value, empty when it was taken away, and the one before it.
type tagged struct {
	value, was string
	since      time.Time
}

func newOracle(region *sim.Region, specs []sim.ServiceSpec) *oracle {
	o := &oracle{
		region: region, specs: map[fleet.ServiceID]sim.ServiceSpec{}, groups: map[string]sim.GroupSpec{},
		out: map[fleet.TargetKey]gone{}, taken: map[taking]*takings{}, tags: map[tag]tagged{},
		life: newLiveness(),
	}
	for _, s := range specs {
		o.know(s)
	}
	o.look()
	region.Witness(o.wrote)
	return o
}

// know takes in a service as it was made, or scaled.
func (o *oracle) know(s sim.ServiceSpec) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.specs[fleet.ServiceID{Cluster: s.Cluster, Name: s.Name}] = s
	for _, g := range s.Groups {
		o.groups[g.Name] = g
	}
}

func (o *oracle) join(c *castoff) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.castoffs = append(o.castoffs, c)
}

// tag sets a tag of a service in the region and notes from when on it counts.
func (o *oracle) tag(id fleet.ServiceID, key, value string) error {
	o.mu.Lock()
	was := o.tags[tag{id, key}].value
	delete(o.tags, tag{id, key})
	o.mu.Unlock()
	err := o.region.Tag(id, key, value)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tags[tag{id, key}] = tagged{value, was, time.Now()}
	return err
}

// skew sets the region's clock ahead of castoff's, or behind, from now on.
func (o *oracle) skew(by time.Duration, castoffs []*castoff) {
	o.mu.Lock()
	o.skewed = true
	o.mu.Unlock()
	for _, c := range castoffs {
		c.tap.mu.Lock()
		c.tap.skews = append(c.tap.skews, skew{time.Now(), by})
		c.tap.mu.Unlock()
	}
}

func (o *oracle) violate(r rule, format string, args ...any) {
	o.found = append(o.found, violation{rule: r, at: time.Now(), text: fmt.Sprintf(format, args...)})
}

// look takes in the region as it is.
func (o *oracle) look() {
	tasks := map[fleet.ServiceID][]sim.TaskInfo{}
	rows := map[fleet.TargetGroupARN][]sim.RowInfo{}
	for id := range o.specs {
		tasks[id] = o.region.Tasks(id)
		for _, t := range tasks[id] {
			for _, key := range t.Targets {
				if _, known := rows[key.Group]; !known {
					rows[key.Group] = o.region.Rows(key.Group)
				}
			}
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tasks, o.rows = tasks, rows
	for key, g := range o.out {
		t := o.task(g.task)
		row := rowOf(rows[key.Group], key)
		if t == nil || t.Status == fleet.Stopped || row != nil && row.State != fleet.TargetDraining {
			delete(o.out, key)
		}
	}
}

func (o *oracle) task(arn fleet.TaskARN) *sim.TaskInfo {
	for _, ts := range o.tasks {
		for i := range ts {
			if ts[i].ARN == arn {
				return &ts[i]
			}
		}
	}
	return nil
}

func rowOf(rows []sim.RowInfo, key fleet.TargetKey) *sim.RowInfo {
	i := slices.IndexFunc(rows, func(r sim.RowInfo) bool { return r.Key == key })
	if i < 0 {
		return nil
	}
	return &rows[i]
}

// about takes in a call that is about to be made; what it returns is called
// when it is over.
func (o *oracle) about(l *life, operation string, group fleet.TargetGroupARN, keys []fleet.TargetKey) (over func()) {
	o.look()
	a := &announced{life: l, seen: l.of.tap.by(time.Now()), halted: l.halted(), broken: !l.of.diskBroken().IsZero(), operation: operation, keys: keys, known: map[fleet.TargetKey]policy.Detachment{}, done: map[fleet.TargetKey]bool{}}
	var err error
	a.open, err = l.open()
	l.mu.Lock()
	decided, looked, groups := l.decided, maps.Clone(l.looked), maps.Clone(l.groups)
	l.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, key := range keys {
		i := slices.IndexFunc(a.open, func(d policy.Detachment) bool { return d.Target == key })
		if i < 0 {
			o.violate(ruleJournal, "%s of %s, and the journal has no detachment of it (%v)", operation, key.Address(), err)
			continue
		}
		d := a.open[i]
		a.known[key] = d
		if looked[d.Task].Before(decided) || groups[group].Before(decided) {
			o.violate(ruleLook, "%s of %s for task %s, and not both were read since it was decided", operation, key.Address(), d.Task.ID())
		}
		if operation == "DeregisterTargets" {
			o.takings(taking{d.Task, key}).maybe = true
		}
	}
	o.under = append(o.under, a)
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.under = slices.DeleteFunc(o.under, func(other *announced) bool { return other == a })
	}
}

func (o *oracle) takings(k taking) *takings {
	ts := o.taken[k]
	if ts == nil {
		ts = &takings{times: map[stint][]time.Time{}, called: map[stint]bool{}}
		o.taken[k] = ts
	}
	return ts
}

// wrote judges a write that is being carried out.
func (o *oracle) wrote(w sim.Write) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.under, func(a *announced) bool {
		return a.life.of.name == w.UserAgent && a.operation == w.Operation && len(w.Keys) <= len(a.keys) &&
			!slices.ContainsFunc(w.Keys, func(k fleet.TargetKey) bool { return !slices.Contains(a.keys, k) })
	})
	mine := slices.ContainsFunc(o.castoffs, func(c *castoff) bool { return c.name == w.UserAgent })
	if w.Operation == "DeregisterTargets" {
		var by *life
		if i >= 0 {
			by = o.under[i].life
		}
		o.noteDeregistered(w, by)
	}
	if !mine {
		return
	}
	if i < 0 {
		o.violate(ruleForeign, "%s of %v, which nobody announced", w.Operation, w.Keys)
		return
	}
	a := o.under[i]
	var rows []*sim.RowInfo // that it takes out
	for _, key := range w.Keys {
		row := w.Row(key)
		switch {
		case w.Operation == "RegisterTargets" && (row == nil || row.State == fleet.TargetDraining):
			o.judgeBack(a, w, key)
		case w.Operation == "DeregisterTargets" && row != nil && row.State != fleet.TargetDraining:
			rows = append(rows, row)
		}
	}
	for _, row := range rows {
		o.judgeOut(a, w, row, rows)
		d, known := a.known[row.Key]
		if known {
			o.effects++
			o.out[row.Key] = gone{d.Task, a.life.of}
			ts := o.takings(taking{d.Task, row.Key})
			of := stint{a.life.of, d.Decided}
			if !a.done[row.Key] {
				ts.times[of] = append(ts.times[of], w.At)
			}
			a.done[row.Key] = true
			o.life.took(taking{d.Task, row.Key})
		}
	}
	if w.Operation == "DeregisterTargets" {
		for key, d := range a.known {
			o.takings(taking{d.Task, key}).called[stint{a.life.of, d.Decided}] = true
		}
	}
}

// verdict is what was found, by rule, in order.
func (o *oracle) verdict() []violation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.SortedStableFunc(slices.Values(o.found), func(a, b violation) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.rule, b.rule)) })
}
