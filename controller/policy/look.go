package policy

import (
	"slices"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Look is an Input that was looked through once, for all that is asked about it. It is for
// one goroutine.
type Look struct {
	Input
	state  State // as it is afterwards
	pauses []Pause
	known  map[fleet.ServiceID]*serviceView
	groups map[fleet.TargetGroupARN][]row
	gone   map[Mode]*gone

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

// NewLook looks through an Input, and brings what is remembered up to date: what a look
// again shows counts like any other reading. A task that was read healthy in it has not
// failed so often in a row, though the pass after it reads it failing once more.
func NewLook(in Input) *Look {
	if in.Snapshot == nil {
		in.Snapshot = fleet.NewSnapshot(fleet.Snapshot{At: in.Now})
	}
	v := &Look{
		Input: in, state: in.State.clone(),
		pauses:  append(TagPauses(in.Snapshot), in.Pauses...),
		known:   make(map[fleet.ServiceID]*serviceView),
		groups:  make(map[fleet.TargetGroupARN][]row),
		failing: make(map[fleet.ServiceID]int),
		fleet:   in.Fleet.Validate(),
	}
	v.count()
	v.remember()
	v.takeOut()
	return v
}

// With is the look at the same Snapshot, by then with other detachments, calls and brakes.
// in.State is this look's, or came of it.
func (v *Look) With(in Input) *Look {
	next := *v
	next.Input, next.state = in, in.State
	next.Snapshot, next.state.Buckets = v.Snapshot, slices.Clone(in.State.Buckets)
	next.takeOut()
	return &next
}

// after is the Input with what the look made of it.
func (v *Look) after() Input {
	in := v.Input
	in.State = v.state
	return in
}

// State is what is remembered of it, to be kept.
func (v *Look) State() State { return v.state }

// count counts the tasks that run, and those that fail while ECS leaves them up.
func (v *Look) count() {
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

func (v *Look) service(id fleet.ServiceID) *serviceView {
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

// takeOut counts the open detachments.
func (v *Look) takeOut() {
	v.gone = make(map[Mode]*gone, len(Modes))
	for _, mode := range Modes {
		v.gone[mode] = &gone{
			targets: make(map[fleet.TargetKey]bool), places: make(map[place]bool), tasks: make(map[fleet.TaskARN]bool),
			services: make(map[fleet.ServiceID]int), groups: make(map[fleet.TargetGroupARN]int),
		}
	}
	for i := range v.Detachments {
		if d := &v.Detachments[i]; d.Out() {
			v.add(d.Target, d.Task, d.Service, d.Mode)
		}
	}
}

// add counts a target as out. What would have been done does not hold up what
// is done.
func (v *Look) add(key fleet.TargetKey, task fleet.TaskARN, service fleet.ServiceID, is Mode) {
	for _, mode := range Modes {
		if is != Detaching && mode == Detaching {
			continue
		}
		g := v.gone[mode]
		if at := (place{key.Group, task}); !g.places[at] && !g.targets[key] {
			g.places[at] = true
			g.groups[at.group]++
		}
		g.targets[key] = true
		if !g.tasks[task] {
			g.tasks[task] = true
			g.services[service]++
		}
	}
}
