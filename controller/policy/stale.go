package policy

import (
	"fmt"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// stale: everything that the decision rests on is there, and fresh; between the
// decision and the call all of it is read again. A definition never changes.
func (q *question) stale() Finding {
	if f, ok := q.gap(); ok {
		return f
	}
	if q.task == nil || q.svc == nil || q.group == nil || q.def == nil {
		return hold(Unseen, time.Time{}, "the task, its service, definition or target group has not been read")
	}
	inventory := q.limits.Stale.Inventory
	parts := []struct {
		what, name string
		read       fleet.Read
		limit      time.Duration
	}{
		{"the task", "task_age", q.task.Read, q.limits.Stale.Tasks},
		{"target group " + q.group.ARN.Name(), "targets_age", q.group.Read, q.limits.Stale.Targets},
		{"service " + q.svc.ID.String(), "service_age", q.svc.Read, inventory},
		{"cluster " + q.svc.ID.Cluster, "cluster_age", q.cluster(), inventory},
		{"the settings of target group " + q.group.ARN.Name(), "settings_age", q.group.Inventory, inventory},
		{"the attributes of target group " + q.group.ARN.Name(), "attributes_age", q.group.Attributes.Read, inventory},
	}
	var values []Value
	for _, p := range parts {
		if p.read.Never() {
			return hold(Unseen, time.Time{}, p.what+" has not been read", values...)
		}
		age := p.read.Oldest(q.Now)
		values = append(values, seconds(p.name, age, p.limit))
		switch {
		case p.read.Received.After(q.Now):
			return hold(ClockBack, time.Time{}, fmt.Sprintf("%s was read %s in the future: the clock was set back", p.what, brief(-p.read.Age(q.Now))), values...)
		case age > p.limit:
			return hold(Old, time.Time{}, fmt.Sprintf("%s was read %s ago%s, limit %s", p.what, brief(p.read.Age(q.Now)), behind(p.read), brief(p.limit)), values...)
		case q.again != nil && p.read.Sent.Before(q.again.At):
			return hold(NotReadAgain, time.Time{}, p.what+" has not been read again since the decision", values...)
		}
	}
	return allow(fmt.Sprintf("all of it was read, the task %s ago and its target group %s ago",
		brief(q.task.Read.Age(q.Now)), brief(q.group.Read.Age(q.Now))), values...)
}

// behind says how much older than its request a reply may be; nothing where it is not.
func behind(r fleet.Read) string {
	if r.Behind == 0 {
		return ""
	}
	return ", by a reply that may be " + brief(r.Behind) + " older"
}

// cluster is when the task's was read, whose tags may pause it.
func (q *question) cluster() fleet.Read {
	for _, c := range q.Snapshot.Clusters {
		if c.ARN == q.task.Cluster {
			return c.Read
		}
	}
	return fleet.Read{}
}

// gap finds something that could not be read and that the decision rests on.
func (q *question) gap() (Finding, bool) {
	for i := range q.Snapshot.Gaps {
		if g := &q.Snapshot.Gaps[i]; q.touches(g) {
			return hold(Gap, time.Time{}, fmt.Sprintf("%s %s cannot be read (%s): %s", g.Kind, g.Ref, g.Class, g.Detail)), true
		}
	}
	return Finding{}, false
}

// touches reports that a gap hides what the decision rests on. Of a task that is not
// there nobody knows what it is hidden by.
func (q *question) touches(g *fleet.Gap) bool {
	t := q.task
	if t == nil {
		t = &fleet.Task{ARN: q.id, Service: q.of}
	}
	return g.HidesGroup(q.key.Group) || g.HidesTask(t) || g.HidesTags(t)
}
