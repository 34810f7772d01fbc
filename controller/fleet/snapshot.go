package fleet

import (
	"cmp"
	"slices"
	"time"
)

// Read says when a part of the fleet was read. The value read was true at some
// instant between Earliest and Received; nothing says which. A zero Read means
// never.
type Read struct {
	Sent     time.Time // just before the request left
	Received time.Time // just after the reply was there
	// Behind is by how much the reply may be older than its request, at most: AWS
	// answers from copies that follow one another, and says of none how far.
	Behind time.Duration `json:",omitzero"`
}

// Never reports that the part was never read.
func (r Read) Never() bool { return r.Received.IsZero() }

// Earliest is the earliest instant that the reading may be of. What it shows was
// so then or later; and what came before this instant, it would show.
func (r Read) Earliest() time.Time { return r.Sent.Add(-r.Behind) }

// Oldest is how old what it shows may be, at most: with the reply's own age.
func (r Read) Oldest(now time.Time) time.Duration { return now.Sub(r.Earliest()) }

// Age is for how long nobody has asked: since just before the request left.
func (r Read) Age(now time.Time) time.Duration { return now.Sub(r.Sent) }

// Class says why something is a Gap.
type Class string

// The classes of failed reads. Each call's error is classified once, in awsapi.
const (
	Throttled Class = "throttled" // AWS refused for now: rate exceeded
	Denied    Class = "denied"    // credentials or policy do not allow it
	NotFound  Class = "not_found"
	Transient Class = "transient" // timeouts, 5xx, connection trouble: try again
	Invalid   Class = "invalid"   // the request or the reply makes no sense
	Paced     Class = "paced"     // not read yet: castoff's own rate budget has not come to it
)

// Classes lists every class, for whoever must know them all beforehand.
var Classes = []Class{Throttled, Denied, NotFound, Transient, Invalid, Paced}

// Snapshot is the fleet as one pass left it.
type Snapshot struct {
	// At is when the pass had read what it could: no Read in it is later.
	At           time.Time
	Clusters     []*Cluster     // sorted by ARN
	Services     []*Service     // sorted by ID
	Tasks        []*Task        // sorted by ARN; of services only
	TargetGroups []*TargetGroup // sorted by ARN; those that services name
	Definitions  map[TaskDefinitionARN]*TaskDefinition
	Gaps         []Gap // sorted by kind, then ref

	rows   map[TargetKey]row
	claims map[TargetKey]claim
}

// claim is who names an address.
type claim struct {
	owner *Task // nil: nobody
	by    int   // tasks that have not stopped
}

type row struct {
	group  *TargetGroup
	target *Target
}

// NewSnapshot sorts the parts and joins targets to the tasks that own them.
// The slices become the Snapshot's own.
func NewSnapshot(s Snapshot) *Snapshot {
	slices.SortFunc(s.Clusters, func(a, b *Cluster) int { return cmp.Compare(a.ARN, b.ARN) })
	slices.SortFunc(s.Services, func(a, b *Service) int { return a.ID.Compare(b.ID) })
	slices.SortFunc(s.Tasks, func(a, b *Task) int { return cmp.Compare(a.ARN, b.ARN) })
	slices.SortFunc(s.TargetGroups, func(a, b *TargetGroup) int { return cmp.Compare(a.ARN, b.ARN) })
	byRef := func(a, b Gap) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Ref, b.Ref)) }
	if !slices.IsSortedFunc(s.Gaps, byRef) {
		slices.SortStableFunc(s.Gaps, byRef)
	}
	rows := 0
	for _, g := range s.TargetGroups {
		rows += len(g.Targets)
	}
	s.rows = make(map[TargetKey]row, rows)
	for _, g := range s.TargetGroups {
		for i := range g.Targets {
			s.rows[g.Targets[i].Key] = row{group: g, target: &g.Targets[i]}
		}
	}
	s.claims = make(map[TargetKey]claim, rows)
	for _, t := range s.Tasks {
		for _, key := range t.Targets {
			c := s.claims[key]
			if !t.Gone() {
				c.by++
			}
			// A row that was read before this task was there was another's.
			r, ok := s.rows[key]
			if theirs := ok && t.Created.After(r.group.Read.Earliest()); !theirs && (c.owner == nil || ownsOver(t, c.owner)) {
				c.owner = t
			}
			s.claims[key] = c
		}
	}
	return &s
}

// ownsOver decides between two tasks that both name an address: it belongs to
// one that has not stopped, and of two such to the one created later, since an
// address is only given out again once its task is gone.
func ownsOver(t, was *Task) bool {
	if t.Gone() != was.Gone() {
		return was.Gone()
	}
	return t.Created.After(was.Created)
}

// Service finds a service; nil when the Snapshot has none of that name.
func (s *Snapshot) Service(id ServiceID) *Service {
	i, ok := slices.BinarySearchFunc(s.Services, id, func(svc *Service, id ServiceID) int { return svc.ID.Compare(id) })
	if !ok {
		return nil
	}
	return s.Services[i]
}

// Task finds a task; nil when it is not in the Snapshot. A task leaves the
// Snapshots only some time after it was read STOPPED, or after ECS has said MISSING
// often enough and no list has it any more: never because a read failed.
func (s *Snapshot) Task(arn TaskARN) *Task {
	i, ok := slices.BinarySearchFunc(s.Tasks, arn, func(t *Task, arn TaskARN) int { return cmp.Compare(t.ARN, arn) })
	if !ok {
		return nil
	}
	return s.Tasks[i]
}

// TargetGroup finds a target group; nil when the Snapshot does not know it.
func (s *Snapshot) TargetGroup(arn TargetGroupARN) *TargetGroup {
	i, ok := slices.BinarySearchFunc(s.TargetGroups, arn, func(g *TargetGroup, arn TargetGroupARN) int { return cmp.Compare(g.ARN, arn) })
	if !ok {
		return nil
	}
	return s.TargetGroups[i]
}

// Target finds a row; nil when its group had none when it was last read.
func (s *Snapshot) Target(key TargetKey) *Target { return s.rows[key].target }

// Owner is the task that a row belongs to now; nil when no known task claims
// its address.
func (s *Snapshot) Owner(key TargetKey) *Task { return s.claims[key].owner }

// Shared reports that several tasks that have not stopped claim an address.
func (s *Snapshot) Shared(key TargetKey) bool { return s.claims[key].by > 1 }

// Exposed calls yield for every target that still gets traffic although ECS
// calls its task UNHEALTHY, in the order of the tasks.
func (s *Snapshot) Exposed(yield func(*Task, *TargetGroup, *Target) bool) {
	for _, t := range s.Tasks {
		if !t.Failing() || t.Gone() {
			continue
		}
		for _, key := range t.Targets {
			r := s.rows[key]
			if r.target == nil || !r.target.Healthy() || s.claims[key].owner != t {
				continue
			}
			if !yield(t, r.group, r.target) {
				return
			}
		}
	}
}
