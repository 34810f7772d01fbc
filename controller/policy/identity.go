package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// identity: the task runs and is the one that the target's address belongs to.
// Addresses are reused. A QUIC target is known by a server ID as well, without
// which nobody can put it back.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetDescription.html
func (q *question) identity() Finding {
	address := q.key.Address()
	switch t := q.task; {
	case t == nil:
		return refuse(NotRunning, "the task is not there")
	case t.Missing > 0:
		return hold(Missing, time.Time{}, fmt.Sprintf("ECS has answered MISSING for the task %s in a row", times(t.Missing)))
	case t.Leaving():
		return refuse(Leaving, fmt.Sprintf("ECS itself takes the task down (%s, desired %s)", t.LastStatus, t.DesiredStatus))
	case t.LastStatus != fleet.Running:
		return hold(NotRunning, time.Time{}, fmt.Sprintf("the task is %s", t.LastStatus))
	case q.again != nil && !t.Started.Equal(q.again.Started):
		return refuse(Restarted, fmt.Sprintf("the task started at %s, and it was decided about one that started at %s", clock(t.Started), clock(q.again.Started)))
	case q.Snapshot.Owner(q.key) != t:
		return refuse(NotOwner, "no longer this task's: "+address+" belongs to "+q.owner())
	case q.Snapshot.Shared(q.key):
		return hold(AddressShared, time.Time{}, "two tasks that have not stopped claim "+address)
	case q.group != nil && strings.HasSuffix(q.group.Protocol, "QUIC"):
		return refuse(ServerID, "castoff could not put it back: a target of a "+q.group.Protocol+" group is registered with a server ID")
	}
	if q.task.Started.IsZero() {
		return hold(NotRunning, time.Time{}, "ECS calls task "+q.id.ID()+" RUNNING and does not say since when")
	}
	return allow(fmt.Sprintf("%s belongs to task %s, which runs since %s", address, q.id.ID(), clock(q.task.Started)))
}

func (q *question) owner() string {
	if t := q.Snapshot.Owner(q.key); t != nil {
		return "task " + t.ARN.ID()
	}
	return "no task that is known"
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return plural(n, "time")
}
