package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Input is everything that a decision follows from.
type Input struct {
	Now time.Time
	// Snapshot is the whole fleet, for [Recheck] too: there, with the task, its
	// service and its group read again. Nil decides nothing.
	Snapshot *fleet.Snapshot
	State    State
	// Detachments are those that are open, in any order; closed ones are ignored.
	Detachments []Detachment
	// Limits are those of a service; without it nothing is allowed.
	Limits func(fleet.ServiceID) Limits
	Fleet  FleetLimits
	// Pauses are the configuration's. Those of tags are read from the Snapshot.
	Pauses []Pause
	// Began is when this process started; zero allows nothing.
	Began  time.Time
	Halts  []Halt
	Denied []Denial
	// UnderWay are castoff's own calls that are not over yet. Their detachments are
	// among Detachments, and count as out.
	UnderWay Calls
	// Parting: castoff is about to end and will not know what it took out. What is
	// healthy goes back without waiting for its recovery window.
	Parting bool
}

// Halt is a fault of castoff's own that stops all detaching while it lasts: a
// pass has panicked, or the journal cannot be written.
type Halt struct {
	Cause string // a short code: panic, journal
	// Detail says in words what happened and what to do about it.
	Detail string
}

// Denial is a target group that AWS does not let castoff change.
type Denial struct {
	Group fleet.TargetGroupARN
	Until time.Time // when it is worth another try
}

// Decide gives a verdict for every failing target, longest failing task first,
// and the State after it: what it has allowed is counted there and must be kept
// before it is carried out.
//
// A target is failing when ECS calls its task UNHEALTHY, or its balancer the
// target itself. One that was never registered in its group has no verdict.
func Decide(in Input) ([]Verdict, State) {
	if in.Snapshot == nil {
		state := in.State.clone()
		state.Grants = nil
		return nil, state
	}
	v := look(in, nil)
	var verdicts []Verdict
	for _, q := range v.questions() {
		verdict := q.ask()
		if verdict.Decision == Allow {
			v.grant(q)
		}
		verdicts = append(verdicts, verdict)
	}
	return verdicts, v.state
}

// Remember gives the State after a look again. What that shows counts like any other
// reading: a task that was read healthy in it has not failed so often in a row, though
// the pass after it reads it failing once more.
func Remember(in Input) State {
	if in.Snapshot == nil {
		return in.State.clone()
	}
	return look(in, &Verdict{}).state
}

// Recheck asks the guards about an allowed verdict again, on fresh values: the
// task, and to detach also its group, must have been read since. in.State is the one that Decide
// returned, or Remember after it, in.Detachments with those that were opened since. It never
// allows what Decide did not.
func Recheck(in Input, was Verdict) Verdict {
	if in.Snapshot == nil {
		in.Snapshot = fleet.NewSnapshot(fleet.Snapshot{At: in.Now})
	}
	v := look(in, &was)
	q := v.question(was.Task, was.Target)
	v.claim([]*question{q})
	if was.Action == Attach {
		q.detachment = find(v.Detachments, was.Target, was.Task, was.Started, Detaching)
		if q.detachment == nil {
			q.detachment = new(Detachment) // closed since: its identity is nobody's
		}
		return q.askAttach()
	}
	return q.ask()
}

// view is an Input made ready for the guards.
type view struct {
	Input
	state  State    // as it will be afterwards
	again  *Verdict // of a Recheck
	pauses []Pause
	known  map[fleet.ServiceID]*serviceView
	groups map[fleet.TargetGroupARN][]row
	gone   map[Mode]*gone
	claims map[fleet.TargetKey]int // by tasks that have not stopped, of failing targets

	failing map[fleet.ServiceID]int // tasks, of services that have any
	running int                     // tasks of all services
	fleet   []Problem               // of the fleet's limits
}

// serviceView is a service and what it may.
type serviceView struct {
	svc      *fleet.Service // nil: not seen
	limits   Limits
	problems []Problem
	mode     Mode
	up       int // tasks that run and are not leaving
}

// look makes an Input ready, and brings what is remembered up to date.
func look(in Input, again *Verdict) *view {
	v := &view{
		Input: in, state: in.State.clone(), again: again,
		pauses:  append(TagPauses(in.Snapshot), in.Pauses...),
		known:   make(map[fleet.ServiceID]*serviceView),
		groups:  make(map[fleet.TargetGroupARN][]row),
		failing: make(map[fleet.ServiceID]int),
		fleet:   in.Fleet.Validate(),
	}
	if again == nil {
		v.state.Grants = nil
	}
	v.count()
	v.remember()
	v.takeOut()
	return v
}

// count counts the tasks that run, and those that fail while ECS leaves them up.
func (v *view) count() {
	for _, t := range v.Snapshot.Tasks {
		if t.LastStatus != fleet.Running || t.Leaving() {
			continue
		}
		v.running++
		if v.fails(t) {
			v.failing[t.Service]++
		}
	}
	if len(v.failing) == 0 {
		return
	}
	up := make(map[fleet.ServiceID]int, len(v.failing))
	for _, t := range v.Snapshot.Tasks {
		if v.failing[t.Service] > 0 && t.LastStatus == fleet.Running && !t.Leaving() {
			up[t.Service]++
		}
	}
	for id, n := range up {
		v.service(id).up = n
	}
}

func (v *view) service(id fleet.ServiceID) *serviceView {
	s := v.known[id]
	if s == nil {
		s = &serviceView{svc: v.Snapshot.Service(id)}
		if v.Limits != nil {
			s.limits = v.Limits(id)
		}
		s.problems, s.mode = s.limits.Validate(), ModeOf(s.svc, s.limits)
		v.known[id] = s
	}
	return s
}

// question is one target about which the guards are asked.
type question struct {
	*view
	*serviceView
	key   fleet.TargetKey
	id    fleet.TaskARN
	of    fleet.ServiceID
	task  *fleet.Task // nil: not in the snapshot
	group *fleet.TargetGroup
	row   *fleet.Target // nil: none
	def   *fleet.TaskDefinition
	since time.Time // the first of the latest readings that show it failing
	// detachment is the target's own, open and of the same mode; nil: none.
	detachment *Detachment
}

func (v *view) question(task fleet.TaskARN, key fleet.TargetKey) *question {
	q := &question{view: v, id: task, key: key, since: v.Now, task: v.Snapshot.Task(task), group: v.Snapshot.TargetGroup(key.Group), row: v.Snapshot.Target(key)}
	switch {
	case q.task != nil:
		q.of = q.task.Service
		q.def = v.Snapshot.Definitions[q.task.Definition]
	case v.again != nil:
		q.of = v.again.Service
	}
	q.serviceView = v.service(q.of)
	if w := v.state.watch(task); w != nil && w.Reads > 0 {
		q.since = w.Sick
	}
	if q.task != nil {
		q.detachment = find(v.Detachments, key, task, q.task.Started, q.mode)
	}
	return q
}

// questions are the failing targets, longest failing first.
func (v *view) questions() []*question {
	var qs []*question
	for _, t := range v.Snapshot.Tasks {
		if !t.Failing() || t.Gone() {
			continue
		}
		for _, key := range t.Targets {
			g := v.Snapshot.TargetGroup(key.Group)
			seen := g != nil && !g.Read.Never()
			if seen && v.Snapshot.Target(key) == nil && !slices.ContainsFunc(v.Detachments, func(d Detachment) bool {
				return d.Open() && d.Target == key && d.of(t.ARN, t.Started)
			}) {
				continue // of a service with several groups, one that it is not in
			}
			qs = append(qs, v.question(t.ARN, key))
		}
	}
	for _, g := range v.Snapshot.TargetGroups {
		for i := range g.Targets {
			if row := &g.Targets[i]; row.Unhealthy() {
				if t := v.Snapshot.Owner(row.Key); t != nil && !t.Failing() && !t.Gone() {
					qs = append(qs, v.question(t.ARN, row.Key))
				}
			}
		}
	}
	v.claim(qs)
	slices.SortFunc(qs, func(a, b *question) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.id, b.id), a.key.Compare(b.key))
	})
	return qs
}

// guards are asked in this order; the names are those of Guards.
var guards = []struct {
	name Guard
	ask  func(*question) Finding
}{
	{Paused, (*question).paused},
	{Stale, (*question).stale},
	{Startup, (*question).startup},
	{Identity, (*question).identity},
	{Trigger, (*question).trigger},
	{Grace, (*question).grace},
	{Confirm, (*question).confirm},
	{NoGain, (*question).noGain},
	{Deployment, (*question).deployment},
	{Floor, (*question).floor},
	{Zone, (*question).zone},
	{Correlated, (*question).correlated},
	{Budget, (*question).budget},
	{Rate, (*question).rate},
	{Futile, (*question).futile},
	{Contested, (*question).contested},
}

// ask asks every guard.
func (q *question) ask() Verdict {
	verdict := q.verdict(Detach)
	for _, g := range guards {
		f, bad := invalid(g.name, q.problems, "of "+q.of.String())
		if !bad {
			f, bad = invalid(g.name, q.view.fleet, "of the fleet")
		}
		if !bad {
			f = g.ask(q)
		}
		if together := g.name == Identity || g.name == Zone || g.name == Contested; together && f.Decision == Allow {
			for _, other := range q.others() {
				if said := g.ask(other); said.Decision != Allow && f.Decision == Allow {
					f = said
					f.Sentence = "of " + other.key.Address() + ", which goes with it: " + f.Sentence
				}
			}
		}
		f.Guard = g.name
		verdict.Findings = append(verdict.Findings, f)
	}
	verdict.settle(fmt.Sprintf("every guard allows taking %s of task %s out of %s", q.key.Address(), q.id.ID(), q.key.Group.Name()))
	return verdict
}

// others are the task's other targets in the group that get new flows too. A task may
// have several there, as on an instance that publishes a port for IPv4 and IPv6: they
// go together or not at all, or it would go on serving through the ones that stay.
func (q *question) others() (others []*question) {
	if q.task == nil {
		return nil
	}
	for _, key := range q.task.Targets {
		if key == q.key || key.Group != q.key.Group || q.Snapshot.Target(key) == nil {
			continue
		}
		if other := q.view.question(q.id, key); other.noGain().Decision == Allow {
			others = append(others, other)
		}
	}
	return others
}

// verdict is one that says nothing yet.
func (q *question) verdict(a Action) Verdict {
	verdict := Verdict{Action: a, Target: q.key, Task: q.id, Service: q.of, Mode: q.mode, At: plain(q.Now)}
	switch {
	case q.task != nil:
		verdict.Started, verdict.Read = q.task.Started, plain(q.task.Read.Earliest())
	case q.again != nil:
		verdict.Started = q.again.Started
	}
	if q.row != nil {
		verdict.Zone = q.row.Zone
	}
	verdict.MaySee = a == Detach && q.maySee()
	return verdict
}

// claim counts the tasks that have not stopped and name the targets.
func (v *view) claim(qs []*question) {
	v.claims = make(map[fleet.TargetKey]int, len(qs))
	for _, q := range qs {
		v.claims[q.key] = 0
		for _, other := range q.others() {
			v.claims[other.key] = 0
		}
	}
	for _, t := range v.Snapshot.Tasks {
		if t.Gone() {
			continue
		}
		for _, key := range t.Targets {
			if n, asked := v.claims[key]; asked {
				v.claims[key] = n + 1
			}
		}
	}
}

// grant counts an allowed target as out and takes its tokens.
func (v *view) grant(q *question) {
	g := Grant{Target: q.key, Task: q.id, Service: q.of, Mode: q.mode, Paid: !q.paid()}
	if g.Paid {
		v.state.take(q.mode, q.of, q.limits.Rate, plain(v.Now))
		v.state.take(q.mode, fleet.ServiceID{}, v.Input.Fleet.Rate, plain(v.Now))
	}
	at, _ := slices.BinarySearchFunc(v.state.Grants, g, func(a, b Grant) int {
		return cmp.Or(a.Target.Compare(b.Target), cmp.Compare(a.Task, b.Task))
	})
	v.state.Grants = slices.Insert(v.state.Grants, at, g)
	v.add(g)
}

// GiveBack is the State without what [Decide] has allowed by a verdict that came to
// nothing: the second look said no, or could not be had. Its tokens are there again,
// unless another target of the same task goes by them. Where tokens stayed taken, one
// reading that fails would keep every other task of the service in for as long as the
// next token takes.
func GiveBack(in Input, was Verdict) State {
	state := in.State.clone()
	granted := func(g Grant) bool { return g.Task == was.Task && g.Mode == was.Mode }
	i := slices.IndexFunc(state.Grants, func(g Grant) bool { return granted(g) && g.Target == was.Target })
	if i < 0 {
		return state
	}
	paid := state.Grants[i].Paid
	state.Grants = slices.Delete(state.Grants, i, i+1)
	if !paid || in.Limits == nil {
		return state
	}
	if other := slices.IndexFunc(state.Grants, granted); other >= 0 {
		state.Grants[other].Paid = true
		return state
	}
	state.give(was.Mode, was.Service, in.Limits(was.Service).Rate)
	state.give(was.Mode, fleet.ServiceID{}, in.Fleet.Rate)
	return state
}

// gone is what counts as out for a decision in one mode.
type gone struct {
	targets  map[fleet.TargetKey]bool
	places   map[place]bool
	tasks    map[fleet.TaskARN]bool
	services map[fleet.ServiceID]int      // tasks
	groups   map[fleet.TargetGroupARN]int // tasks
}

// place is a task in a group, with all of its rows there.
type place struct {
	group fleet.TargetGroupARN
	task  fleet.TaskARN
}

// takeOut counts the open detachments, and what was allowed a moment ago.
func (v *view) takeOut() {
	v.gone = make(map[Mode]*gone, len(Modes))
	for _, mode := range Modes {
		v.gone[mode] = &gone{
			targets: make(map[fleet.TargetKey]bool), places: make(map[place]bool), tasks: make(map[fleet.TaskARN]bool),
			services: make(map[fleet.ServiceID]int), groups: make(map[fleet.TargetGroupARN]int),
		}
	}
	for i := range v.Detachments {
		if d := &v.Detachments[i]; d.Out() {
			v.add(Grant{Target: d.Target, Task: d.Task, Service: d.Service, Mode: d.Mode})
		}
	}
	for _, g := range v.state.Grants {
		v.add(g)
	}
}

// add counts a target as out. What would have been done does not hold up what
// is done.
func (v *view) add(out Grant) {
	for _, mode := range Modes {
		if out.Mode != Detaching && mode == Detaching {
			continue
		}
		g := v.gone[mode]
		if at := (place{out.Target.Group, out.Task}); !g.places[at] && !g.targets[out.Target] {
			g.places[at] = true
			g.groups[at.group]++
		}
		g.targets[out.Target] = true
		if !g.tasks[out.Task] {
			g.tasks[out.Task] = true
			g.services[out.Service]++
		}
	}
}
