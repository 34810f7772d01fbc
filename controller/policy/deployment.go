package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// deployment: none is going on.
func (q *question) deployment() Finding {
	if q.svc == nil {
		return hold(RolloutUnknown, time.Time{}, "the service has not been read")
	}
	why, known := rollingOut(q.svc)
	if why == "" && q.svc.EarlySuccess {
		why, known = q.unfinished(), true
	}
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

// unfinished says what of a deployment goes on although ECS calls it COMPLETED: with
// early success criteria it does so once a share of the new tasks is healthy, scales
// the new revision to the whole afterwards, and may then take the old tasks down.
// Only tasks that run count: that one is pending is no sign, for ECS starts a
// replacement before it stops a sick task. It cannot be told from a task that was
// lost later, so that castoff holds then too, until the next one runs.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentEarlySuccessCriteria.html
func (q *question) unfinished() string {
	for _, d := range q.svc.Deployments {
		if d.Status == "PRIMARY" && d.Running < d.Desired {
			return fmt.Sprintf("deployment %s is complete early, and %d of its %s run so far", d.ID, d.Running, plural(d.Desired, "task"))
		}
	}
	for _, t := range q.Snapshot.Tasks {
		if t.Service == q.svc.ID && t.StartedBy != "" && !t.Leaving() && !t.Gone() &&
			!slices.ContainsFunc(q.svc.Deployments, func(d fleet.Deployment) bool { return d.ID == t.StartedBy && d.Status != "INACTIVE" }) {
			return fmt.Sprintf("the deployment is complete, and task %s of an earlier one, %s, still runs", t.ARN.ID(), t.StartedBy)
		}
	}
	return ""
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
