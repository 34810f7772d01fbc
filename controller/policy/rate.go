package policy

import (
	"fmt"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// paid reports that the target costs no token: it is taken out again, which
// [ContestedLimits] space, or another one of the same task has taken it. If tries
// cost tokens, one target that ECS keeps putting back would keep all others in; and
// a task that is out of one of its groups gains little while it is in the other.
func (q *question) paid() bool { return q.detachment != nil || q.gone[q.mode].tasks[q.id] }

// pay takes the tokens of a target that goes. They are taken when it was looked at again
// and goes, or one reading that fails would keep every other task of the service in for
// as long as the next token takes.
func (q *question) pay() {
	if !q.paid() {
		q.state.take(q.mode, q.of, q.limits.Rate, plain(q.Now))
		q.state.take(q.mode, fleet.ServiceID{}, q.Look.Fleet.Rate, plain(q.Now))
	}
}

// rate: not too many in a short time.
func (q *question) rate() Finding {
	if q.again != nil && (q.again.Decision != Allow || q.again.Mode != q.mode) {
		return refuse(NotGranted, "it was not allowed when it was decided")
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
		{FleetRate, "the fleet", fleet.ServiceID{}, q.Look.Fleet.Rate},
	}
	for _, p := range parts {
		if next := q.state.next(q.mode, p.id, p.limit, plain(q.Now)); next.After(q.Now) {
			return hold(p.reason, next, fmt.Sprintf("%s may lose %v tasks a minute, %d at once: the next at %s",
				p.what, p.limit.PerMinute, p.limit.Burst, clock(next)))
		}
	}
	return allow(fmt.Sprintf("within %v a minute of the service and %v of the fleet", q.limits.Rate.PerMinute, q.Look.Fleet.Rate.PerMinute))
}
