package policy

import (
	"testing"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestNoGain(t *testing.T) {
	state := func(to fleet.TargetState) func(*scene) { return func(s *scene) { s.row("web", 0).State = to } }
	because := func(to fleet.TargetState, reason string) func(*scene) {
		return func(s *scene) { s.row("web", 0).State, s.row("web", 0).Reason = to, reason }
	}
	would := func(mode Mode) func(*scene) {
		return func(s *scene) {
			s.limits.Mode = mode
			s.detachments = []Detachment{s.detachment("web", 0, Observing)}
		}
	}
	back := func(s *scene) {
		d := s.detachment("web", 0, Detaching)
		d.Back = &Bounds{NotBefore: noon, NotAfter: noon}
		s.detachments = []Detachment{d}
	}
	testGuard(t, NoGain, []guardCase{
		{"healthy", nil, Allow, OK, "sends it new flows", 0},
		{"unhealthy", state(fleet.TargetUnhealthy), Refuse, AlreadyUnhealthy, "calls the target unhealthy", 0},
		{"unhealthy.draining", state(fleet.TargetUnhealthyDraining), Refuse, AlreadyUnhealthy, "", 0},
		{"draining", state(fleet.TargetDraining), Refuse, AlreadyDraining, "", 0},
		{"unused", state(fleet.TargetUnused), Refuse, NotServing, "there, unused: it gets no new flows", 0},
		{"unused, for no listener uses its group", because(fleet.TargetUnused, "Target.NotInUse"), Refuse, NotServing, "there, unused, Target.NotInUse: it gets", 0},
		{"unused, for its address cannot be used", because(fleet.TargetUnused, "Target.IpUnusable"), Refuse, NotServing, "Target.IpUnusable", 0},
		{"not registered", because(fleet.TargetUnused, "Target.NotRegistered"), Refuse, AlreadyGone, "not in the group", 0},
		{"unavailable, by a fault of the balancer's", because(fleet.TargetUnavailable, "Elb.InternalError"), Hold, NotServing, "unavailable, Elb.InternalError: it gets", 0},
		{"unhealthy, with its reason", because(fleet.TargetUnhealthy, "Target.ResponseCodeMismatch"), Refuse, AlreadyUnhealthy, "unhealthy, Target.ResponseCodeMismatch", 0},
		{"initial, with its reason", because(fleet.TargetInitial, "Elb.InitialHealthChecking"), Hold, NotServing, "is initial: it gets", 0},
		{"initial", state(fleet.TargetInitial), Hold, NotServing, "the target is initial", 0},
		{"put back", func(s *scene) { back(s); s.row("web", 0).State = fleet.TargetInitial }, Allow, OK, "was put back", 0},
		{"put back, but not since castoff took it out", func(s *scene) {
			back(s)
			s.detachments[0].Back, s.row("web", 0).State = nil, fleet.TargetInitial
		}, Hold, NotServing, "", 0},
		{"put back, in observe mode", func(s *scene) {
			back(s)
			s.limits.Mode, s.detachments[0].Mode, s.row("web", 0).State = Observing, Observing, fleet.TargetInitial
		}, Hold, NotServing, "", 0},
		{"put back, and shifted away", func(s *scene) {
			back(s)
			s.row("web", 0).State, s.row("web", 0).Override = fleet.TargetInitial, "zonal_shift_active"
		}, Hold, ZonalShift, "", 0},
		{"unavailable", state(fleet.TargetUnavailable), Hold, NotServing, "", 0},
		{"a state that nobody knows", state("floating"), Hold, NotServing, "floating", 0},
		{"zonal shift", func(s *scene) { s.row("web", 0).Override = "zonal_shift_active" }, Hold, ZonalShift, "zonal_shift_active", 0},
		{"no override", func(s *scene) { s.row("web", 0).Override = fleet.NoOverride }, Allow, OK, "", 0},
		{"group not read", func(s *scene) { s.group("web").Read = fleet.Read{} }, Hold, NotServing, "", 0},
		{"would be out", would(Observing), Refuse, AlreadyOut, "would have been taken out at", 0},
		{"would have been out", would(Detaching), Allow, OK, "", 0},
	})
}

func TestTargetThatHasGone(t *testing.T) {
	s := calm()
	fail(s.task("web", 0))
	s.group("web").Targets = s.group("web").Targets[1:]
	s.read()
	if v := s.decide(); len(v) != 0 {
		t.Errorf("it never was in the group: %+v", v)
	}
	s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
	if v := verdict(t, s.decide(), taskARN("web", 0)); reason(v, NoGain) != AlreadyGone {
		t.Errorf("castoff took it out: %+v", v)
	}
	for name, change := range map[string]func(*Detachment){
		"it is back":           func(d *Detachment) { d.Progress = Closed },
		"another target":       func(d *Detachment) { d.Target.Port++ },
		"another task":         func(d *Detachment) { d.Task = taskARN("web", 1) },
		"the task before this": func(d *Detachment) { d.Started = noon },
	} {
		s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
		change(&s.detachments[0])
		if v := s.decide(); len(v) != 0 {
			t.Errorf("%s: %+v", name, v)
		}
	}
	s.task("web", 0).LastStatus = fleet.Stopped
	if v := s.decide(); len(v) != 0 {
		t.Errorf("the task has stopped: %+v", v)
	}
}

// reason is what a guard said.
func reason(v Verdict, g Guard) Reason {
	f, _ := v.Finding(g)
	return f.Reason
}

// detachment is one of a task, decided and called at noon.
func (s *scene) detachment(service string, i int, mode Mode) Detachment {
	t := s.task(service, i)
	d := Detachment{Target: t.Targets[0], Task: t.ARN, Started: t.Started, Service: t.Service, Cluster: prod, Mode: mode,
		Decided: noon, Up: noon, Seen: noon, Progress: Out}
	if mode == Detaching {
		d = d.Call(noon, noon, Accepted)
	}
	return d
}
