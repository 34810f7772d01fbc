package policy

import (
	"fmt"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestFutile(t *testing.T) {
	// replaced has n replacements fail, each created when the one before was
	// seen failing, a minute apart, the last just now.
	replaced := func(n int, change func(i int, t *fleet.Task)) func(*scene) {
		return func(s *scene) {
			s.tick = time.Minute
			for i := range n {
				r := s.start("web", 10+i)
				r.Created = s.now
				if change != nil {
					change(i, r)
				}
				fail(r)
				s.read()
				s.decide()
				r.LastStatus = fleet.Deactivating
			}
		}
	}
	one := func(change func(*fleet.Task)) func(*scene) {
		return replaced(3, func(i int, t *fleet.Task) {
			if i == 1 {
				change(t)
			}
		})
	}
	stopped := func(code, reason string) func(*scene) {
		return func(s *scene) {
			for i := range 3 {
				r := s.start("web", 10+i)
				r.Created, r.LastStatus, r.StopCode, r.StoppedReason = s.now, fleet.Stopped, code, reason
			}
			s.read()
		}
	}
	testGuard(t, Futile, []guardCase{
		{"no replacement", nil, Allow, OK, "0 replacements failed within 30m0s, limit 3", 0},
		{"two", replaced(2, nil), Allow, OK, "2 replacements", 0},
		{"three", replaced(3, nil), Hold, ReplacementsFail, "3 replacements failed", 28*time.Minute - 200*time.Millisecond},
		{"of another deployment", one(func(t *fleet.Task) { t.StartedBy = "ecs-svc/2" }), Allow, OK, "2 replacements", 0},
		{"of another service", one(func(t *fleet.Task) { t.Service.Name = "api" }), Allow, OK, "2 replacements", 0},
		{"created before anything failed", one(func(t *fleet.Task) { t.Created = noon }), Allow, OK, "2 replacements", 0},
		{"long ago", func(s *scene) {
			replaced(3, nil)(s)
			s.tick = 28*time.Minute - 200*time.Millisecond
			s.read()
		}, Hold, ReplacementsFail, "", 0},
		{"longer ago", func(s *scene) {
			replaced(3, nil)(s)
			s.tick = 28*time.Minute - 200*time.Millisecond + 1
			s.read()
		}, Allow, OK, "", 0},
		{"killed for their checks", stopped("", "Task failed ELB health checks in (target-group x)"), Hold, ReplacementsFail, "", 30*time.Minute - 200*time.Millisecond},
		{"exited, by its reason", stopped("", "Essential container in task exited"), Hold, ReplacementsFail, "", 30*time.Minute - 200*time.Millisecond},
		{"exited", stopped("EssentialContainerExited", ""), Hold, ReplacementsFail, "", 30*time.Minute - 200*time.Millisecond},
		{"never started", stopped("TaskFailedToStart", ""), Hold, ReplacementsFail, "", 30*time.Minute - 200*time.Millisecond},
		{"never started, by the reason alone", func(s *scene) {
			for i := range 3 {
				r := s.start("web", 10+i)
				r.Created, r.Started, r.LastStatus, r.StoppedReason = s.now, time.Time{}, fleet.Stopped, "CannotPullContainerError: not found"
			}
			s.read()
		}, Hold, ReplacementsFail, "", 30*time.Minute - 200*time.Millisecond},
		{"one boots", func(s *scene) {
			s.tick = time.Minute
			for i := range 3 {
				r := s.start("web", 10+i)
				if r.Created, r.Started = s.now, s.now.Add(-time.Hour); i == 1 {
					r.Started = s.now.Add(s.tick)
				}
				fail(r)
				s.read()
				s.decide()
				heal(r)
			}
		}, Allow, OK, "2 replacements", 0},
		{"scaled in", stopped("ServiceSchedulerInitiated", "Scaling activity initiated by (deployment ecs-svc/1)"), Allow, OK, "", 0},
		{"more may", func(s *scene) { s.limits.Futile.Replacements = 4; replaced(3, nil)(s) }, Allow, OK, "", 0},
		{"no limit", func(s *scene) { s.limits.Futile.Window = 0 }, Refuse, InvalidLimit, "futile.window", 0},
	})
}

func TestFailuresAreForgotten(t *testing.T) {
	s := calm()
	for i := range 3 {
		fail(s.task("web", i))
	}
	s.read()
	s.decide()
	if len(s.state.Failures) != 3 {
		t.Fatal(fmt.Sprint(s.state.Failures))
	}
	for i := range 3 {
		heal(s.task("web", i))
	}
	s.tick = 30 * time.Minute
	s.read()
	if s.decide(); len(s.state.Failures) != 0 {
		t.Error(s.state.Failures)
	}
	// One seen in the future was seen before the clock was set back: as good as now.
	fail(s.task("web", 0))
	s.read()
	s.decide()
	heal(s.task("web", 0))
	s.now = s.now.Add(-time.Hour)
	if s.decide(); len(s.state.Failures) != 1 || !s.state.Failures[0].Seen.Equal(s.now) {
		t.Error(s.state.Failures)
	}
	s.now = s.now.Add(30*time.Minute + 1)
	if s.decide(); len(s.state.Failures) != 0 {
		t.Error(s.state.Failures)
	}
}
