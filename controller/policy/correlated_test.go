package policy

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestCorrelated(t *testing.T) {
	failing := func(n int) func(*scene) {
		return func(s *scene) {
			for i := range n {
				fail(s.task("web", i))
			}
		}
	}
	testGuard(t, Correlated, []guardCase{
		{"one of four", nil, Allow, OK, "failing at once: 1 task of the service, limit 2 and 50 %", 0},
		{"two of four", failing(2), Hold, ManyTasks, "2 tasks of 4 failed at once, limit 2 and 50 %", 10 * time.Minute},
		{"two of five", func(s *scene) { s.start("web", 4); s.service("web").Desired = 5; failing(2)(s) }, Allow, OK, "", 0},
		{"two of five, and none are wanted", func(s *scene) { s.start("web", 4); s.service("web").Desired = 0; failing(2)(s) }, Allow, OK, "", 0},
		{"replacements do not dilute", func(s *scene) { s.start("web", 4); s.start("web", 5); failing(2)(s) }, Hold, ManyTasks, "of 4", 10 * time.Minute},
		{"nor do those that are wanted", func(s *scene) { s.service("web").Desired = 40; failing(2)(s) }, Hold, ManyTasks, "of 4", 10 * time.Minute},
		{"the other one leaves", func(s *scene) { failing(2)(s); s.task("web", 1).DesiredStatus = fleet.Stopped }, Allow, OK, "", 0},
		{"the other one starts", func(s *scene) { failing(2)(s); s.task("web", 1).LastStatus = fleet.Activating }, Allow, OK, "", 0},
		{"the other one boots", func(s *scene) { failing(2)(s); s.task("web", 1).Started = s.now.Add(-20 * time.Second) }, Allow, OK, "failing at once: 1 task", 0},
		{"the other one had its time to boot", func(s *scene) { failing(2)(s); s.task("web", 1).Started = s.now.Add(-31 * time.Second) }, Hold, ManyTasks, "", 10 * time.Minute},
		{"alone", func(s *scene) { s.tasks = append(s.tasks[:1], s.tasks[4:]...); s.service("web").Desired = 1 }, Allow, OK, "", 0},
		{"alone, and that is too many", func(s *scene) { s.limits.Correlated.Count = 1; s.limits.Correlated.Percent = 25 }, Hold, ManyTasks, "", 10 * time.Minute},
		{"alone, and that is not too many", func(s *scene) { s.limits.Correlated.Count = 1; s.limits.Correlated.Percent = 25.1 }, Allow, OK, "", 0},
		{"elsewhere", func(s *scene) {
			for i := range 15 {
				fail(s.task("api", i))
			}
		}, Allow, OK, "", 0},
		{"in many services", func(s *scene) {
			s.add("one", 10)
			fail(s.task("api", 0))
			fail(s.task("one", 0))
			s.read()
		}, Hold, ManyServices, "3 services of 3 have failing tasks, limit 3 and 10 %", 10 * time.Minute},
		{"in many of very many services", func(s *scene) {
			for i := range 40 {
				s.add(string(rune('A'+i)), 1)
			}
			fail(s.task("api", 0))
			fail(s.task("A", 0))
			s.read()
		}, Allow, OK, "", 0},
		{"it was over", func(s *scene) {
			failing(2)(s)
			s.decide()
			heal(s.task("web", 1))
			s.read()
		}, Hold, ManyTasks, "", 10*time.Minute - 2*time.Second},
		{"it has been over for long", func(s *scene) {
			failing(2)(s)
			s.decide()
			heal(s.task("web", 1))
			s.tick = 10 * time.Minute
			s.read()
		}, Allow, OK, "", 0},
		{"the clock was set back", func(s *scene) {
			failing(2)(s)
			s.decide()
			heal(s.task("web", 1))
			s.now = s.now.Add(-24 * time.Hour)
		}, Hold, ManyTasks, "", 10 * time.Minute},
		{"no limit", func(s *scene) { s.limits.Correlated.Cooldown = 0 }, Refuse, InvalidLimit, "limit of prod/web makes no sense", 0},
		{"no limit of the fleet", func(s *scene) { s.fleet.Correlated.Count = 0 }, Refuse, InvalidLimit, "limit of the fleet makes no sense", 0},
	})
}

func TestLatchKeepsItsBeginning(t *testing.T) {
	s := calm()
	fail(s.task("web", 0))
	fail(s.task("web", 1))
	s.read()
	s.decide()
	began := s.now
	s.read()
	s.decide()
	l := s.state.latch(web)
	if l == nil || !l.Since.Equal(began) || !l.Until.Equal(s.now.Add(10*time.Minute)) || l.Failing != 2 || l.Of != 4 {
		t.Errorf("%+v", l)
	}
}
