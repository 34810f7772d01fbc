package policy

import (
	"testing"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestTrigger(t *testing.T) {
	with := func(change func(*fleet.Task)) func(*scene) { return func(s *scene) { change(s.task("web", 0)) } }
	testGuard(t, Trigger, []guardCase{
		{"container check", nil, Allow, OK, "container nginx has failed", 0},
		{"only the balancer's", func(s *scene) {
			heal(s.task("web", 0))
			s.row("web", 0).State = fleet.TargetUnhealthy
		}, Refuse, TargetCheckOnly, "ECS calls the task HEALTHY", 0},
		{"both", func(s *scene) { s.row("web", 0).State = fleet.TargetUnhealthy }, Allow, OK, "", 0},
		{"agent away", with(func(t *fleet.Task) { t.Connectivity = fleet.Disconnected }), Hold, Disconnected, "last word", 0},
		{"no definition", func(s *scene) { delete(s.definitions, definitionARN("web")) }, Hold, DefinitionUnknown, "web:1 has not been read", 0},
		{"a container that is not essential", with(func(t *fleet.Task) {
			t.Containers[0].Health, t.Containers[2].Health = fleet.Healthy, fleet.Unhealthy
		}), Refuse, NoFailedCheck, "fails alone, which is not essential", 0},
		{"a container without a check", with(func(t *fleet.Task) {
			t.Containers[0].Health, t.Containers[1].Health = fleet.Healthy, fleet.Unhealthy
		}), Refuse, NoFailedCheck, "for which the task definition has no health check", 0},
		{"a container that nobody defined", with(func(t *fleet.Task) { t.Containers[0].Name = "ngnix" }), Refuse, NoFailedCheck, "container ngnix fails, which is not in the task definition: a container that ECS added", 0},
		{"Service Connect's proxy", with(func(t *fleet.Task) {
			heal(t)
			t.Health = fleet.Unhealthy
			t.Containers = append(t.Containers, fleet.Container{Name: "ecs-service-connect-Ab12C", Health: fleet.Unhealthy})
		}), Refuse, NoFailedCheck, "container ecs-service-connect-Ab12C fails, which is not in the task definition: Service Connect's proxy", 0},
		{"GuardDuty's agent, which is not essential", with(func(t *fleet.Task) {
			heal(t)
			t.Health = fleet.Unhealthy
			t.Containers = append(t.Containers, fleet.Container{Name: "aws-guardduty-agent-x1", Health: fleet.Unhealthy})
		}), Refuse, NoFailedCheck, "container aws-guardduty-agent-x1 fails alone", 0},
		{"the proxy and a check of its own", with(func(t *fleet.Task) {
			t.Containers = append([]fleet.Container{{Name: "ecs-service-connect-Ab12C", Health: fleet.Unhealthy}}, t.Containers...)
		}), Allow, OK, "container nginx has failed", 0},
		{"unknown", with(func(t *fleet.Task) { t.Containers[0].Health = fleet.Unknown }), Refuse, NoFailedCheck, "none of its containers", 0},
		{"containers fail, the task does not", func(s *scene) {
			s.task("web", 0).Health = fleet.Unknown
			s.row("web", 0).State = fleet.TargetUnhealthyDraining
		}, Refuse, TargetCheckOnly, "UNKNOWN", 0},
	})
}

// Nothing fails: nothing is asked.
func TestHealthyTasksHaveNoVerdict(t *testing.T) {
	s := calm()
	s.task("web", 0).Health = fleet.Unknown
	s.task("web", 1).Health = "MAYBE"
	s.row("web", 2).State = fleet.TargetInitial
	s.read()
	if v := s.decide(); len(v) != 0 {
		t.Errorf("%+v", v)
	}
}
