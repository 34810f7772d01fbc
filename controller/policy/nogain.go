package policy

import (
	"fmt"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// noGain: the balancer still sends the target new flows. Once it calls the
// target unhealthy it stops sooner by itself than after a deregistration.
func (q *question) noGain() Finding {
	switch row := q.row; {
	case q.group == nil || q.group.Read.Never():
		return hold(NotServing, time.Time{}, "the target group has not been read")
	case row == nil || row.Unused():
		return refuse(AlreadyGone, "the target is not in the group")
	case row.Draining():
		return refuse(AlreadyDraining, "the target is draining already")
	case row.Unhealthy():
		return refuse(AlreadyUnhealthy, fmt.Sprintf("the balancer itself calls the target %s", row.State))
	case row.State != fleet.TargetHealthy:
		return hold(NotServing, time.Time{}, fmt.Sprintf("the target is %s: it gets no new flows", row.State))
	case !row.Healthy():
		return hold(ZonalShift, time.Time{}, fmt.Sprintf("the target gets no new flows: %s", row.Override))
	case q.detachment != nil && q.mode != Detaching:
		return refuse(AlreadyOut, "it would have been taken out at "+clock(q.detachment.Decided))
	}
	return allow("the balancer calls the target healthy and sends it new flows")
}
