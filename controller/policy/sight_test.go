package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// What the group's own check may see castoff cannot claim to have saved.
func TestMaySee(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*scene)
		want   bool
	}{
		{"TCP, and another container has the port", nil, false},
		{"TCP, on the port itself", func(s *scene) { s.group("web").Check.Port = "10080" }, false},
		{"TCP, and the one that fails has the port", func(s *scene) { s.service("web").LoadBalancers[0].Container = "nginx" }, true},
		{"TCP, on another port", func(s *scene) { s.group("web").Check.Port = "9000" }, true},
		{"HTTP", func(s *scene) { s.group("web").Check.Protocol = "HTTP" }, true},
		{"HTTPS", func(s *scene) { s.group("web").Check.Protocol = "HTTPS" }, true},
		{"nobody knows what", func(s *scene) { s.group("web").Check.Protocol = "" }, true},
		{"nobody knows the service", func(s *scene) { s.services = s.services[1:] }, true},
		{"nobody knows whose port", func(s *scene) { s.service("web").LoadBalancers = nil }, true},
		{"two containers in the group", func(s *scene) {
			svc := s.service("web")
			svc.LoadBalancers = append(svc.LoadBalancers, fleet.LoadBalancer{Group: groupARN("web"), Container: "nginx"})
		}, true},
		{"another group's port", func(s *scene) {
			svc := s.service("web")
			svc.LoadBalancers = append(svc.LoadBalancers, fleet.LoadBalancer{Group: groupARN("api"), Container: "nginx"})
		}, false},
	} {
		s := calm()
		s.group("web").Check = fleet.TargetCheck{Protocol: "TCP", Port: "traffic-port"}
		s.service("web").LoadBalancers[0].Container = "app"
		if c.change != nil {
			c.change(s)
		}
		fail(s.task("web", 0))
		s.read()
		v := verdict(t, s.decide(), taskARN("web", 0))
		if d := v.Detachment(prod, nil); v.MaySee != c.want || d.MaySee != c.want {
			t.Errorf("%s: %v, %v", c.name, v.MaySee, d.MaySee)
		}
	}
}

// In observe mode the balancer may stop by itself before ECS begins.
func TestBalancerStopsFirst(t *testing.T) {
	for _, c := range []struct {
		name  string
		state fleet.TargetState // at 20 s
		again fleet.TargetState // at 40 s
		want  Saved
	}{
		{"it does not", fleet.TargetHealthy, fleet.TargetHealthy, Saved{59800 * time.Millisecond, 79900 * time.Millisecond}},
		{"it does", fleet.TargetUnhealthy, fleet.TargetUnhealthy, Saved{19800 * time.Millisecond, 39900 * time.Millisecond}},
		{"somebody took it out", fleet.TargetDraining, "", Saved{19800 * time.Millisecond, 39900 * time.Millisecond}},
		{"not for good", fleet.TargetUnhealthy, fleet.TargetHealthy, Saved{59800 * time.Millisecond, 79900 * time.Millisecond}},
		{"nobody tells", fleet.TargetUnknown, fleet.TargetUnknown, Saved{59800 * time.Millisecond, 79900 * time.Millisecond}},
	} {
		s := calm()
		fail(s.task("web", 0))
		d := s.detachment("web", 0, Observing)
		d.Decided = noon
		s.detachments = []Detachment{d}
		s.tick = 20 * time.Second
		for _, state := range []fleet.TargetState{fleet.TargetHealthy, c.state, c.again} {
			if g := s.group("web"); state == "" {
				g.Targets = g.Targets[1:]
			} else {
				s.row("web", 0).State = state
			}
			s.read()
			s.follow()
		}
		s.task("web", 0).LastStatus = fleet.Deactivating
		s.read()
		got := s.follow()
		ceased := got.Ceased
		for range 2 { // what the balancer does once ECS has begun says nothing
			if g := s.group("web"); len(g.Targets) == 4 {
				s.row("web", 0).State = fleet.TargetDraining
			}
			s.read()
			got = s.follow()
		}
		if got.Ceased != ceased {
			t.Errorf("%s: it ceased at %v, and then at %v", c.name, ceased, got.Ceased)
		}
		if saved, ok := got.Saved(); !ok || saved != c.want {
			t.Errorf("%s: %+v %v, want %+v; %+v", c.name, saved, got.Unknown(), c.want, got.Ceased)
		}
	}
}

func TestSavedIsNotKnown(t *testing.T) {
	ecs := &Bounds{noon.Add(40 * time.Second), noon.Add(50 * time.Second)}
	whole := func() Detachment {
		return Detachment{Mode: Detaching, Decided: noon, Called: noon, ECS: ecs, Progress: Closed}
	}
	for _, c := range []struct {
		change func(*Detachment)
		want   string
	}{
		{func(*Detachment) {}, ""},
		{func(d *Detachment) { d.MaySee = true }, "own check may have found"},
		{func(d *Detachment) { d.MaySee, d.Passed = true, true }, ""},
		{func(d *Detachment) { d.Mode, d.MaySee = Observing, true }, ""},
		{func(d *Detachment) { d.Person = true }, "a person stopped the task"},
		{func(d *Detachment) { d.Mode, d.Person = Observing, true }, "a person stopped the task"},
		{func(d *Detachment) {
			d.Mode, d.Person, d.Ceased = Observing, true, &Bounds{noon, noon.Add(time.Second)}
		}, ""},
		{func(d *Detachment) { d.ECS, d.Progress = nil, Out }, "has not begun"},
		{func(d *Detachment) { d.ECS = nil }, "never began"},
		{func(d *Detachment) { d.Called = time.Time{} }, "no call"},
		{func(d *Detachment) { d.Rewound = true }, "clock"},
	} {
		d := whole()
		c.change(&d)
		_, ok := d.Saved()
		if why := d.Unknown(); ok != (c.want == "") || !strings.Contains(why, c.want) || ok != (why == "") {
			t.Errorf("%v, %q, want %q", ok, why, c.want)
		}
	}
}

// Why the task stopped tells what may be claimed.
func TestFollowStop(t *testing.T) {
	for _, c := range []struct {
		code, reason string
		person, sees bool
	}{
		{"ServiceSchedulerInitiated", "Task failed container health checks", false, false},
		{"UserInitiated", "drill", true, false},
		{"", "Task stopped by user", true, false},
		{"EssentialContainerExited", "", false, true},
		{"", "Essential container in task exited", false, true},
	} {
		s := calm()
		d := s.detachment("web", 0, Detaching)
		d.Passed = true
		s.detachments = []Detachment{d}
		is := s.task("web", 0)
		is.LastStatus, is.StopCode, is.StoppedReason = fleet.Deactivating, c.code, c.reason
		s.read()
		if d := s.follow(); d.Person != c.person || d.MaySee != c.sees || d.Passed == c.sees {
			t.Errorf("%+v: %+v", c, d)
		}
	}
}

// A target that was put back and passed its checks while its task failed shows that
// they do not see the failure.
func TestCheckThatWasPassed(t *testing.T) {
	s := calm()
	fail(s.task("web", 0))
	s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
	s.tick = 10 * time.Second
	for _, c := range []struct {
		state fleet.TargetState
		want  bool
	}{{fleet.TargetDraining, false}, {fleet.TargetInitial, false}, {fleet.TargetHealthy, true}, {fleet.TargetDraining, true}} {
		s.row("web", 0).State = c.state
		s.read()
		if d := s.follow(); d.Passed != c.want || !d.MaySee {
			t.Errorf("%s: %+v", c.state, d)
		}
	}
}

func TestPutBackBy(t *testing.T) {
	at := func(sec int) time.Time { return noon.Add(time.Duration(sec) * time.Second) }
	for _, c := range []struct {
		told   time.Time
		result Result
		want   string
	}{
		{time.Time{}, "", "somebody"},
		{at(5), Accepted, "castoff"},
		{at(10), Accepted, "castoff"},
		{at(15), NotAnswered, "castoff"},
		{at(25), Accepted, "somebody"},
		{at(5), Rejected, "somebody"},
	} {
		d := Detachment{Back: &Bounds{at(10), at(20)}, Attached: c.told, AttachResult: c.result}
		if got := d.PutBackBy(); got != c.want {
			t.Errorf("%v %s: %s, want %s", c.told, c.result, got, c.want)
		}
	}
}
