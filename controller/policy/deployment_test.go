package policy

import (
	"testing"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestDeployment(t *testing.T) {
	set := func(controller string, ds ...fleet.Deployment) func(*scene) {
		return func(s *scene) { s.service("web").Controller, s.service("web").Deployments = controller, ds }
	}
	d := func(status, rollout string) fleet.Deployment {
		return fleet.Deployment{ID: "ecs-svc/" + status, Status: status, Rollout: rollout}
	}
	early := func(desired, running, pending int) func(*scene) {
		return func(s *scene) {
			now := d("PRIMARY", "COMPLETED")
			now.Desired, now.Running, now.Pending = desired, running, pending
			set(fleet.ControllerECS, now)(s)
			s.service("web").EarlySuccess = true
			for _, t := range s.tasks {
				t.StartedBy = now.ID
			}
		}
	}
	late := d("PRIMARY", "COMPLETED")
	late.Created = noon
	allowed := set(fleet.ControllerECS, d("PRIMARY", "IN_PROGRESS"))
	testGuard(t, Deployment, []guardCase{
		{"done", nil, Allow, OK, "no deployment", 0},
		{"going on", set(fleet.ControllerECS, d("PRIMARY", "IN_PROGRESS")), Hold, RollingOut, "ecs-svc/PRIMARY is IN_PROGRESS", 0},
		{"failed", set(fleet.ControllerECS, d("PRIMARY", "FAILED")), Hold, RollingOut, "FAILED", 0},
		{"says nothing", set("", d("PRIMARY", "")), Allow, OK, "", 0},
		{"says what nobody knows", set(fleet.ControllerECS, d("PRIMARY", "SLEEPING")), Hold, RolloutUnknown, "SLEEPING", 0},
		{"not primary", set(fleet.ControllerECS, d("ACTIVE", "COMPLETED")), Hold, RollingOut, "no primary", 0},
		{"two", set(fleet.ControllerECS, d("ACTIVE", "COMPLETED"), late), Hold, RollingOut, "2 deployments are there at once, the newest ecs-svc/PRIMARY", 0},
		{"one of them over", set(fleet.ControllerECS, d("PRIMARY", "COMPLETED"), d("INACTIVE", "")), Allow, OK, "", 0},
		{"none", set(fleet.ControllerECS), Hold, RolloutUnknown, "no deployment that is known", 0},
		{"one task set, which a hung task makes unstable", set(fleet.ControllerCodeDeploy, d("PRIMARY", "STABILIZING")), Allow, OK, "", 0},
		{"two task sets", set(fleet.ControllerExternal, d("PRIMARY", "STEADY_STATE"), d("DRAINING", "STEADY_STATE")), Hold, RollingOut, "", 0},
		{"a task set that leaves", set(fleet.ControllerExternal, d("DRAINING", "STEADY_STATE")), Hold, RollingOut, "no primary", 0},
		{"complete before the old ones are gone", func(s *scene) {
			s.service("web").EarlySuccess = true
			s.task("web", 3).StartedBy = "ecs-svc/0"
		}, Hold, RollingOut, "task web-0003 of an earlier one, ecs-svc/0, still runs", 0},
		{"complete, and the old ones leave", func(s *scene) {
			s.service("web").EarlySuccess = true
			s.task("web", 3).StartedBy, s.task("web", 3).DesiredStatus = "ecs-svc/0", fleet.Stopped
		}, Allow, OK, "", 0},
		{"complete early, and all are new", func(s *scene) { s.service("web").EarlySuccess = true }, Allow, OK, "", 0},
		{"complete early, and it still scales up", early(4, 2, 2), Hold, RollingOut, "ecs-svc/PRIMARY is complete early, and 2 of its 4 tasks run so far", 0},
		{"complete early, and a replacement is on its way", early(4, 4, 1), Allow, OK, "", 0},
		{"complete, and a task was lost", func(s *scene) {
			early(4, 3, 1)(s)
			s.service("web").EarlySuccess = false
		}, Allow, OK, "", 0},
		{"complete early, and paused", func(s *scene) {
			set(fleet.ControllerECS, d("PRIMARY", "PAUSED"))(s)
			s.service("web").EarlySuccess = true
		}, Hold, RolloutUnknown, "PAUSED", 0},
		{"no service", func(s *scene) { s.services = s.services[1:] }, Hold, RolloutUnknown, "", 0},
		{"going on, and allowed", func(s *scene) { allowed(s); s.limits.DuringDeployment = true }, Allow, OK, "during a deployment is allowed: deployment", 0},
	})
}
