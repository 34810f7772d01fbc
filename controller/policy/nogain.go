package policy

import (
	"fmt"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// noGain: the balancer still sends the target new flows. Once it calls the
// target unhealthy it stops sooner by itself than after a deregistration. What
// somebody puts back is taken out before it gets any: afterwards they would go on
// for as long as the news takes, two minutes and more.
func (q *question) noGain() Finding {
	switch row := q.row; {
	case q.group == nil || q.group.Read.Never():
		return hold(NotServing, time.Time{}, "the target group has not been read")
	case row == nil, row.Reason == notRegistered:
		return refuse(AlreadyGone, "the target is not in the group")
	case row.Unused():
		return refuse(NotServing, "the target is there, unused"+because(row)+": it gets no new flows")
	case row.Draining():
		return refuse(AlreadyDraining, "the target is draining already")
	case row.Unhealthy():
		return refuse(AlreadyUnhealthy, fmt.Sprintf("the balancer itself calls the target %s%s", row.State, because(row)))
	case row.Shifted():
		return hold(ZonalShift, time.Time{}, fmt.Sprintf("the target gets no new flows: %s", row.Override))
	case row.State == fleet.TargetInitial && q.detachment != nil && q.mode == Detaching && q.detachment.Back != nil:
		return allow("the target was put back and gets new flows once its checks pass")
	case row.State != fleet.TargetHealthy:
		return hold(NotServing, time.Time{}, fmt.Sprintf("the target is %s%s: it gets no new flows", row.State, because(row)))
	case q.detachment != nil && q.mode != Detaching:
		return refuse(AlreadyOut, "it would have been taken out at "+clock(q.detachment.Decided))
	}
	return allow("the balancer calls the target healthy and sends it new flows")
}

// notRegistered is what ELBv2 says of a target that is not there, asked by its name.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
const notRegistered = "Target.NotRegistered"

// because is the balancer's own reason for a target's state, where it says more than
// the state.
func because(row *fleet.Target) string {
	switch row.Reason {
	case "", "Elb.RegistrationInProgress", "Elb.InitialHealthChecking", "Target.FailedHealthChecks":
		return ""
	}
	return ", " + row.Reason
}
