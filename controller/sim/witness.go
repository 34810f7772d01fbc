package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Write is a RegisterTargets or DeregisterTargets that was carried out, by
// whichever caller of the API; what ECS does by itself is none.
type Write struct {
	Operation string
	UserAgent string // the caller's, as CloudTrail has it
	At        time.Time
	Group     fleet.TargetGroupARN
	Keys      []fleet.TargetKey // as the request meant them
	Before    []RowInfo         // the group's rows just before, in the order of their registration
	// Attributes are the group's then, and CrossZone whether its zones share, whoever
	// says so.
	Attributes map[string]string
	CrossZone  bool
}

// Row finds a row as it was before the write; nil: there was none.
func (w *Write) Row(key fleet.TargetKey) *RowInfo {
	i := slices.IndexFunc(w.Before, func(r RowInfo) bool { return r.Key == key })
	if i < 0 {
		return nil
	}
	return &w.Before[i]
}

// RowInfo is a row of a target group as the region knows it.
type RowInfo struct {
	Key   fleet.TargetKey
	Zone  string
	State fleet.TargetState
	// For is the task that it was registered for; empty: none that is known.
	For fleet.TaskARN
	// Owner is the task that the address belongs to now; nil: nobody.
	Owner *TaskInfo
}

// Witness has see told of every write, one after the other, in the order in
// which they are carried out. It is called with the region's lock held and must
// not call the region. There is one witness at most; nil sends it away.
func (r *Region) Witness(see func(Write)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.witness = see
}

// Rows lists a target group's rows in the order of their registration.
func (r *Region) Rows(group fleet.TargetGroupARN) []RowInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	g := r.groupARNs[group]
	if g == nil {
		return nil
	}
	return g.told()
}

// tell shows the witness a write that is about to be carried out.
func (r *Region) tell(operation string, g *targetGroup, asked []wanted) {
	if r.witness == nil {
		return
	}
	w := Write{Operation: operation, UserAgent: r.userAgent, At: r.now, Group: g.arn, Before: g.told(), Attributes: maps.Clone(g.attributes), CrossZone: g.crossZone()}
	for _, a := range asked {
		w.Keys = append(w.Keys, g.keyOf(a))
	}
	r.witness(w)
}

func (g *targetGroup) told() []RowInfo {
	var infos []RowInfo
	for _, w := range g.order {
		info := RowInfo{Key: w.key, Zone: w.zone, State: w.state}
		if w.task != nil {
			info.For = w.task.arn
		}
		if t := g.region.occupant(w.key); t != nil {
			owner := t.info()
			info.Owner = &owner
		}
		infos = append(infos, info)
	}
	return infos
}
