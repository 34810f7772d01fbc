package policy

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// When a task that was detached counts as well.
func TestPassing(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*scene, *fleet.Task)
		want   bool
	}{
		{"all pass", nil, true},
		{"UNHEALTHY whatever its containers say", func(_ *scene, t *fleet.Task) { t.Health = fleet.Unhealthy }, false},
		{"UNKNOWN, for a container has no check", func(_ *scene, t *fleet.Task) { t.Health = fleet.Unknown }, true},
		{"not running", func(_ *scene, t *fleet.Task) { t.LastStatus = fleet.Activating }, false},
		{"agent away", func(_ *scene, t *fleet.Task) { t.Connectivity = fleet.Disconnected }, false},
		{"one does not pass", func(_ *scene, t *fleet.Task) { t.Containers[0].Health = fleet.Unknown }, false},
		{"one that is not essential fails", func(_ *scene, t *fleet.Task) { t.Containers[2].Health = fleet.Unhealthy }, true},
		{"one that nobody defined fails", func(_ *scene, t *fleet.Task) {
			t.Containers = append(t.Containers, fleet.Container{Name: "debug", Health: fleet.Unhealthy})
		}, true},
		{"no check that counts", func(_ *scene, t *fleet.Task) { t.Containers = t.Containers[1:] }, false},
		{"HEALTHY by a definition that was not read", func(s *scene, t *fleet.Task) {
			delete(s.definitions, t.Definition)
			t.Containers[0].Health = fleet.Unknown
		}, true},
		{"UNKNOWN by a definition that was not read", func(s *scene, t *fleet.Task) {
			delete(s.definitions, t.Definition)
			t.Health = fleet.Unknown
		}, false},
	} {
		s := calm()
		s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
		if c.change != nil {
			c.change(s, s.task("web", 0))
		}
		s.read()
		s.decide()
		w := s.state.watch(taskARN("web", 0))
		if w == nil || w.Well.IsZero() == c.want {
			t.Errorf("%s: %+v", c.name, w)
		}
	}
}

func TestOnlyWhatMattersIsRemembered(t *testing.T) {
	s := calm()
	s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
	s.detachments[0].Progress = Closed
	s.read()
	s.decide()
	s.state.take(Detaching, web, s.limits.Rate, s.now)
	if s.decide(); len(s.state.Buckets) != 1 || len(s.state.Watches) != 0 {
		t.Errorf("%+v", s.state)
	}
	s.tick = time.Minute
	s.read()
	if s.decide(); len(s.state.Buckets) != 0 {
		t.Errorf("a full bucket is remembered: %+v", s.state.Buckets)
	}
}

// One limit that makes no sense does not change another, and recovery limits
// that make none do not let a task back at once.
func TestRecoveryLimits(t *testing.T) {
	for _, c := range []struct {
		change func(*Limits)
		want   time.Duration
	}{
		{func(l *Limits) { l.Recovery.Window = 7 * time.Second }, 7 * time.Second},
		{func(l *Limits) { l.Recovery.Window, l.Floor.Count = 7*time.Second, 0 }, 7 * time.Second},
		{func(l *Limits) { l.Recovery.Window = 0 }, time.Minute},
		{func(l *Limits) { l.Recovery.Max = time.Second }, time.Minute},
		{func(l *Limits) { *l = Limits{} }, time.Minute},
	} {
		s := calm()
		c.change(&s.limits)
		if got := NewLook(s.input()).recovery(web).window(0); got != c.want {
			t.Errorf("%+v: %v, want %v", s.limits.Recovery, got, c.want)
		}
	}
}
