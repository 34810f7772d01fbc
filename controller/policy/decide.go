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
	// Snapshot is the whole fleet, for [Look.Recheck] too: there, with the task, its
	// service and its group read again. Nil is a fleet of which nothing is known.
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

// Decide gives a verdict for every failing target, longest failing task first. What it
// allows it counts as out in what follows; its tokens are taken once it was looked at
// again and goes: see [Look.Recheck].
//
// A target is failing when ECS calls its task UNHEALTHY, or its balancer the
// target itself. One that was never registered in its group has no verdict.
func (v *Look) Decide() []Verdict {
	v = v.With(v.after()) // not the caller's: what may go has not gone
	var verdicts []Verdict
	for _, q := range v.questions() {
		verdict := q.ask()
		if verdict.Decision == Allow {
			q.pay()
			v.add(q.key, q.id, q.of, q.mode)
		}
		verdicts = append(verdicts, verdict)
	}
	return verdicts
}

// Recheck asks the guards about an allowed verdict again, on fresh values: the
// task, and to detach also its group, must have been read since, and the detachments be
// those with what was opened since. What is still allowed has taken its tokens: the State
// must be kept before it is carried out. It never allows what Decide did not.
func (v *Look) Recheck(was Verdict) Verdict {
	q := v.question(was.Task, was.Target, &was)
	if was.Action == Attach {
		q.detachment = find(v.Detachments, was.Target, was.Task, was.Started, Detaching)
		if q.detachment == nil {
			q.detachment = new(Detachment) // closed since: its identity is nobody's
		}
		return q.askAttach()
	}
	verdict := q.ask()
	if verdict.Decision == Allow {
		q.pay()
	}
	return verdict
}

// question is one target about which the guards are asked.
type question struct {
	*Look
	*serviceView
	again *Verdict // of a Recheck
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

func (v *Look) question(task fleet.TaskARN, key fleet.TargetKey, again *Verdict) *question {
	q := &question{Look: v, again: again, id: task, key: key, since: v.Now, task: v.Snapshot.Task(task), group: v.Snapshot.TargetGroup(key.Group), row: v.Snapshot.Target(key)}
	switch {
	case q.task != nil:
		q.of = q.task.Service
		q.def = v.Snapshot.Definitions[q.task.Definition]
	case again != nil:
		q.of = again.Service
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
func (v *Look) questions() []*question {
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
			qs = append(qs, v.question(t.ARN, key, nil))
		}
	}
	for _, g := range v.Snapshot.TargetGroups {
		for i := range g.Targets {
			if row := &g.Targets[i]; row.Unhealthy() {
				if t := v.Snapshot.Owner(row.Key); t != nil && !t.Failing() && !t.Gone() {
					qs = append(qs, v.question(t.ARN, row.Key, nil))
				}
			}
		}
	}
	slices.SortFunc(qs, func(a, b *question) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.id, b.id), a.key.Compare(b.key))
	})
	return qs
}

// ask asks every guard.
func (q *question) ask() Verdict {
	verdict := q.verdict(Detach)
	for i := range detaching {
		g := &detaching[i]
		f, bad := g.invalid(q.problems, "of "+q.of.String())
		if !bad {
			f, bad = g.invalid(q.Look.fleet, "of the fleet")
		}
		if !bad {
			f = g.ask(q)
		}
		if g.together && f.Decision == Allow {
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
		if other := q.Look.question(q.id, key, q.again); other.noGain().Decision == Allow {
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
