package policy

import (
	"fmt"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// deployment: none is going on.
func (q *question) deployment() Finding {
	if q.svc == nil {
		return hold(RolloutUnknown, time.Time{}, "the service has not been read")
	}
	why, known := rollingOut(q.svc)
	switch {
	case why == "":
		return allow("no deployment is going on")
	case q.limits.DuringDeployment:
		return allow("acting during a deployment is allowed: " + why)
	case !known:
		return hold(RolloutUnknown, time.Time{}, why)
	}
	return hold(RollingOut, time.Time{}, why)
}

// rollingOut says what deployment is not done; empty when none is. Several that
// still count are one going on, whatever each says of itself. What a task set
// says of its stability is not asked: one hung task makes it unstable.
func rollingOut(svc *fleet.Service) (why string, known bool) {
	var live []fleet.Deployment
	for _, d := range svc.Deployments {
		if d.Status != "INACTIVE" {
			live = append(live, d)
		}
	}
	if len(live) == 0 {
		return "the service has no deployment that is known", false
	}
	if len(live) > 1 {
		return fmt.Sprintf("%s are there at once, the newest %s", plural(len(live), "deployment"), newest(live).ID), true
	}
	if d := live[0]; svc.Controller == fleet.ControllerECS || svc.Controller == "" {
		switch d.Rollout {
		case "COMPLETED", "": // not every service has a rollout state
		case "IN_PROGRESS", "FAILED":
			return fmt.Sprintf("deployment %s is %s", d.ID, d.Rollout), true
		default:
			return fmt.Sprintf("deployment %s is in the unknown state %s", d.ID, d.Rollout), false
		}
	}
	if live[0].Status != "PRIMARY" {
		return fmt.Sprintf("deployment %s is %s, and there is no primary one", live[0].ID, live[0].Status), true
	}
	return "", true
}

func newest(ds []fleet.Deployment) fleet.Deployment {
	last := ds[0]
	for _, d := range ds {
		if d.Created.After(last.Created) {
			last = d
		}
	}
	return last
}
