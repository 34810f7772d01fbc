package policy

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestGrace(t *testing.T) {
	started := func(ago time.Duration) func(*scene) {
		return func(s *scene) { s.task("web", 0).Started = s.now.Add(-ago) }
	}
	check := func(s *scene, i int, start time.Duration) {
		d := *s.definitions[definitionARN("web")]
		d.Containers = append([]fleet.ContainerDefinition(nil), d.Containers...)
		d.Containers[i].Check = &fleet.HealthCheck{StartPeriod: start}
		s.definitions[d.ARN] = &d
	}
	testGuard(t, Grace, []guardCase{
		{"an hour ago", nil, Allow, OK, "the task started 1h0m4s ago, health check grace period 30s", 0},
		{"just over", started(30 * time.Second), Allow, OK, "", 0},
		{"not quite", started(30*time.Second - 1), Hold, StartingUp, "", 1},
		{"the start period is longer", func(s *scene) { check(s, 0, time.Minute); started(45 * time.Second)(s) }, Hold, StartingUp, "startPeriod of container nginx 1m0s", 15 * time.Second},
		{"the start period is as long", func(s *scene) { check(s, 0, 30*time.Second) }, Allow, OK, "health check grace period 30s", 0},
		{"of one that is not essential", func(s *scene) { check(s, 2, time.Minute); started(45 * time.Second)(s) }, Allow, OK, "", 0},
		{"not started", func(s *scene) { s.task("web", 0).Started = time.Time{} }, Hold, NotStarted, "has not started", 0},
		{"no definition", func(s *scene) { delete(s.definitions, definitionARN("web")) }, Hold, NotStarted, "", 0},
		{"no service", func(s *scene) { s.services = s.services[1:] }, Hold, NotStarted, "", 0},
	})
}
