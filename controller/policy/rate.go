package policy

import (
	"fmt"
	"slices"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// paid reports that the target costs no token: it is taken out again, which
// [ContestedLimits] space, or another one of the same task has taken it. If tries
// cost tokens, one target that ECS keeps putting back would keep all others in; and
// a task that is out of one of its groups gains little while it is in the other.
func (q *question) paid() bool {
	if q.mode == Detaching && (q.detachment != nil || q.gone[Detaching].tasks[q.id]) {
		return true
	}
	return slices.ContainsFunc(q.state.Grants, func(g Grant) bool { return g.Task == q.id && g.Mode == q.mode })
}

// rate: not too many in a short time. Of a Recheck the token was taken when it
// was decided.
func (q *question) rate() Finding {
	if q.again != nil {
		granted := slices.ContainsFunc(q.state.Grants, func(g Grant) bool {
			return g.Target == q.key && g.Task == q.id && g.Mode == q.mode
		})
		if !granted {
			return refuse(NotGranted, "it was not allowed when it was decided")
		}
		return allow("its token was taken when it was decided")
	}
	if q.paid() {
		return allow("its task has its token")
	}
	parts := []struct {
		reason Reason
		what   string
		id     fleet.ServiceID
		limit  RateLimits
	}{
		{ServiceRate, q.of.String(), q.of, q.limits.Rate},
		{FleetRate, "the fleet", fleet.ServiceID{}, q.view.Input.Fleet.Rate},
	}
	for _, p := range parts {
		if next := q.state.next(q.mode, p.id, p.limit, plain(q.Now)); next.After(q.Now) {
			return hold(p.reason, next, fmt.Sprintf("%s may lose %v tasks a minute, %d at once: the next at %s",
				p.what, p.limit.PerMinute, p.limit.Burst, clock(next)))
		}
	}
	return allow(fmt.Sprintf("within %v a minute of the service and %v of the fleet", q.limits.Rate.PerMinute, q.view.Input.Fleet.Rate.PerMinute))
}
