package timeline

import (
	"cmp"
	"maps"
	"slices"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Parting is how a row of a task that does not fail left its group, or began to: when
// the task fails later, the last two snapshots say nothing of that any more.
type Parting struct {
	Task fleet.TaskARN
	Key  fleet.TargetKey
	// Seen are the readings that tell: the last one that had the row in service, or on
	// its way there, and of each state since, the first and the last.
	Seen []Sighting
}

// Sighting is a reading of a row.
type Sighting struct {
	Row  *fleet.Target `json:",omitempty"` // nil: there was none
	Read fleet.Read
}

func (a Sighting) sameState(b Sighting) bool {
	if a.Row == nil || b.Row == nil {
		return a.Row == b.Row
	}
	return a.Row.State == b.Row.State
}

// watchRows takes note of the rows that have left since the last snapshot, or begun
// to.
func (t *Tracker) watchRows(s *fleet.Snapshot) {
	for about, p := range t.parted {
		t.parted[about] = p.follow(s)
	}
	maps.DeleteFunc(t.parted, func(about callOf, p Parting) bool { return t.over(s, about.task) || len(p.Seen) == 0 })
	for _, was := range t.prev.TargetGroups {
		g := s.TargetGroup(was.ARN)
		if g == nil || g.Read == was.Read || was.Read.Never() {
			continue
		}
		for i := range was.Targets {
			row := &was.Targets[i]
			var is *fleet.Target
			if i < len(g.Targets) && g.Targets[i].Key == row.Key { // as nearly always
				is = &g.Targets[i]
			} else {
				is = s.Target(row.Key)
			}
			if !registered(row) || registered(is) {
				continue
			}
			if task := t.prev.Owner(row.Key); task != nil && t.failure(task.ARN) == nil {
				t.parted[callOf{task.ARN, row.Key}] = Parting{task.ARN, row.Key, []Sighting{{row, was.Read}, {is, g.Read}}}
			}
		}
	}
}

// registered reports a row that is in its group for good.
func registered(row *fleet.Target) bool {
	return row != nil && !row.Draining() && !row.Unused()
}

// follow takes in a new reading of the row's group. A row that is back ends it.
func (p Parting) follow(s *fleet.Snapshot) Parting {
	g, n := s.TargetGroup(p.Key.Group), len(p.Seen)
	if g == nil || g.Read == p.Seen[n-1].Read {
		return p
	}
	is := Sighting{s.Target(p.Key), g.Read}
	if registered(is.Row) {
		if owner := s.Owner(p.Key); owner == nil || owner.ARN == p.Task {
			return Parting{}
		}
		is.Row = nil // it is the next one's
	}
	if is.sameState(p.Seen[n-1]) && is.sameState(p.Seen[n-2]) {
		n--
	}
	p.Seen = append(p.Seen[:n:n], is)
	return p
}

// of reports that the row was the task's, which may have ended while nobody could read
// that, and its address gone to the next one.
func (p Parting) of(task *fleet.Task) bool {
	return !task.Gone() || !task.StoppedAt.IsZero() && !task.StoppedAt.Before(p.Seen[0].Read.Received)
}

// recall has what is known of a row begin with the last reading that had it in service.
func (ft *failingTarget) recall(p Parting, task *fleet.Task) {
	ft.own = p.Seen[0].Read
	for _, seen := range p.Seen {
		g, row := &fleet.TargetGroup{Read: seen.Read}, seen.Row
		if row != nil {
			g.Targets = []fleet.Target{*row}
			if row.Unused() {
				row = nil
			}
		}
		ft.take(row, g, task)
	}
}

// partings are what is known of rows that have left, in a fixed order.
func (t *Tracker) partings() []Parting {
	return slices.SortedFunc(maps.Values(t.parted), func(a, b Parting) int {
		return cmp.Or(cmp.Compare(a.Task, b.Task), a.Key.Compare(b.Key))
	})
}
