package fleet

import (
	"slices"
	"time"
)

// TargetStates lists the states that ELBv2 documents, for whoever must know
// them all beforehand.
var TargetStates = []TargetState{
	TargetInitial, TargetHealthy, TargetUnhealthy, TargetUnhealthyDraining,
	TargetUnused, TargetDraining, TargetUnavailable,
}

// TargetOther is what a [Tally] counts states under that ELBv2 does not
// document; AWS never says it.
const TargetOther TargetState = "other"

// Tally is one service of a Snapshot in numbers, so that whoever shows numbers
// shows the same ones.
type Tally struct {
	Service *Service
	// Seen is false when none of the service's tasks is known because they
	// could not be read: then all numbers of tasks are 0 and say nothing.
	Seen bool
	// Healthy, Unhealthy and Unknown count the tasks that have not stopped, by
	// [Task.Healthy] and [Task.Failing].
	Healthy, Unhealthy, Unknown int
	// Read is the oldest reading of these tasks; zero when there are none.
	Read   Read
	Groups []GroupTally // in the order of the service's load balancers
}

// GroupTally is one target group of a service in numbers.
type GroupTally struct {
	Group TargetGroupARN
	// Read is when the rows were read; zero when never, and then the numbers
	// say nothing.
	Read Read
	// States counts the rows by state: every documented one and TargetOther.
	// A row counts for the service of the task that owns it; one that no known
	// task owns for the first service that names the group.
	States map[TargetState]int
	// Exposed counts the rows of [Snapshot.Exposed].
	Exposed int
}

// Exposed is the sum over the groups.
func (t *Tally) Exposed() int {
	n := 0
	for i := range t.Groups {
		n += t.Groups[i].Exposed
	}
	return n
}

// group finds the numbers of a group; nil when the service does not name it.
func (t *Tally) group(arn TargetGroupARN) *GroupTally {
	for i := range t.Groups {
		if t.Groups[i].Group == arn {
			return &t.Groups[i]
		}
	}
	return nil
}

// Tally counts every service, in the order of Services.
func (s *Snapshot) Tally() []Tally {
	tallies := make([]Tally, len(s.Services))
	byService := make(map[ServiceID]*Tally, len(s.Services))
	first := make(map[TargetGroupARN]*Tally, len(s.TargetGroups)) // who names the group first
	for i, svc := range s.Services {
		t := &tallies[i]
		t.Service, t.Groups = svc, s.groupTallies(svc)
		byService[svc.ID] = t
		for _, g := range t.Groups {
			if first[g.Group] == nil {
				first[g.Group] = t
			}
		}
	}
	s.tallyTasks(tallies, byService)
	for _, g := range s.TargetGroups {
		for i := range g.Targets {
			owner := s.claims[g.Targets[i].Key].owner
			if gt := countsFor(owner, g.ARN, byService, first); gt != nil {
				gt.States[documented(g.Targets[i].State)]++
			}
		}
	}
	s.Exposed(func(task *Task, g *TargetGroup, _ *Target) bool {
		if gt := countsFor(task, g.ARN, byService, first); gt != nil {
			gt.Exposed++
		}
		return true
	})
	return tallies
}

func (s *Snapshot) groupTallies(svc *Service) []GroupTally {
	groups := make([]GroupTally, 0, len(svc.LoadBalancers))
	for _, lb := range svc.LoadBalancers {
		if slices.ContainsFunc(groups, func(g GroupTally) bool { return g.Group == lb.Group }) {
			continue // two containers or ports in one group
		}
		gt := GroupTally{Group: lb.Group, States: make(map[TargetState]int, len(TargetStates)+1)}
		for _, state := range TargetStates {
			gt.States[state] = 0
		}
		gt.States[TargetOther] = 0
		if g := s.TargetGroup(lb.Group); g != nil {
			gt.Read = g.Read
		}
		groups = append(groups, gt)
	}
	return groups
}

func (s *Snapshot) tallyTasks(tallies []Tally, byService map[ServiceID]*Tally) {
	for _, task := range s.Tasks {
		t := byService[task.Service]
		if t == nil {
			continue
		}
		t.Seen = true
		if task.Gone() {
			continue
		}
		switch {
		case task.Failing():
			t.Unhealthy++
		case task.Healthy():
			t.Healthy++
		default:
			t.Unknown++
		}
		if t.Read.Never() || task.Read.Sent.Before(t.Read.Sent) {
			t.Read = task.Read
		}
	}
	for i := range tallies {
		t := &tallies[i]
		t.Seen = t.Seen || !s.mayHideTasks(t.Service)
	}
}

// mayHideTasks reports that a service, of which no task is known, may have some.
func (s *Snapshot) mayHideTasks(svc *Service) bool {
	return slices.ContainsFunc(s.Gaps, func(g Gap) bool {
		return g.Kind != GapClusters && g.Kind != GapServices && g.Kind != GapService && g.MayHide(svc.Cluster, svc.ID, "")
	})
}

// countsFor says where a row of a group counts; nil when no service names the
// group.
func countsFor(owner *Task, group TargetGroupARN, byService map[ServiceID]*Tally, first map[TargetGroupARN]*Tally) *GroupTally {
	if owner != nil {
		if t := byService[owner.Service]; t != nil {
			if gt := t.group(group); gt != nil {
				return gt
			}
		}
	}
	if t := first[group]; t != nil {
		return t.group(group)
	}
	return nil
}

func documented(state TargetState) TargetState {
	if slices.Contains(TargetStates, state) {
		return state
	}
	return TargetOther
}

// Oldest is when the oldest evidence about a task that has not stopped was
// asked for, and never later than the Snapshot itself. Tasks are read every
// pass, so it falls behind as soon as even one of them cannot be read. Target
// groups have clocks of their own and are left out. It is false when no such
// task is known and something that tasks are found by could not be read: there
// is no evidence then, not fresh evidence of nothing.
func (s *Snapshot) Oldest() (at time.Time, ok bool) {
	oldest, known := s.At, false
	for _, t := range s.Tasks {
		if t.Gone() {
			continue
		}
		known = true
		if t.Read.Sent.Before(oldest) {
			oldest = t.Read.Sent
		}
	}
	if !known && slices.ContainsFunc(s.Gaps, func(g Gap) bool { return g.finds() }) {
		return time.Time{}, false
	}
	return oldest, true
}
