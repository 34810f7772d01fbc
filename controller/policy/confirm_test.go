package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestConfirm(t *testing.T) {
	testGuard(t, Confirm, []guardCase{
		{"two readings", nil, Allow, OK, "= 2 readings in a row of it failing, 2 needed", 0},
		{"three are wanted", func(s *scene) { s.limits.Confirm.Reads = 3 }, Hold, Unconfirmed, "2 readings in a row of it failing, 3 needed", 0},
		{"for longer", func(s *scene) { s.limits.Confirm.For = 10 * time.Second }, Hold, Unconfirmed, "for 2s, 10s needed", 7900 * time.Millisecond},
		{"for just as long", func(s *scene) { s.limits.Confirm.For = 2100 * time.Millisecond }, Allow, OK, "", 0},
		{"for not quite as long", func(s *scene) { s.limits.Confirm.For = 2100*time.Millisecond + 1 }, Hold, Unconfirmed, "", 1},
		{"the same reading twice", func(s *scene) { s.task("web", 0).Read.Sent = s.now.Add(-2200 * time.Millisecond) }, Hold, Unconfirmed, "1 reading in a row of it failing, 2 needed", 0},
		{"well in between", func(s *scene) {
			heal(s.task("web", 0))
			s.decide()
			fail(s.task("web", 0))
			s.read()
		}, Hold, Unconfirmed, "1 reading in a row of it failing, 2 needed", 0},
		{"unknown in between", func(s *scene) {
			s.task("web", 0).Health = fleet.Unknown
			s.decide()
			fail(s.task("web", 0))
			s.read()
		}, Hold, Unconfirmed, "1 reading in a row of it failing, 2 needed", 0},
		{"away in between", func(s *scene) {
			s.task("web", 0).Connectivity = fleet.Disconnected
			s.decide()
			s.task("web", 0).Connectivity = fleet.Connected
			s.read()
		}, Allow, OK, "2 readings", 0},
		{"nobody looked for longer than a reading counts", func(s *scene) {
			s.now = s.now.Add(s.limits.Stale.Tasks - 2*s.tick + 1)
			s.read()
		}, Hold, Unconfirmed, "1 reading in a row of it failing, 2 needed", 0},
		{"nobody looked for as long as a reading counts", func(s *scene) {
			s.now = s.now.Add(s.limits.Stale.Tasks - 2*s.tick)
			s.read()
		}, Allow, OK, "2 readings in a row", 0},
		{"away", func(s *scene) { s.task("web", 0).Connectivity = fleet.Disconnected }, Hold, Unconfirmed, "1 reading", 0},
		{"only the balancer's", func(s *scene) {
			heal(s.task("web", 0))
			s.row("web", 0).State = fleet.TargetUnhealthy
		}, Hold, Unconfirmed, "no reading", 0},
		{"well in between, by a clock set back a little", func(s *scene) {
			heal(s.task("web", 0))
			s.task("web", 0).Read.Sent = s.now.Add(-2300 * time.Millisecond)
			s.decide()
			fail(s.task("web", 0))
			s.read()
		}, Hold, Unconfirmed, "1 reading in a row of it failing, 2 needed", 0},
		{"the clock set back", func(s *scene) {
			s.now = s.now.Add(-time.Hour)
			s.read()
		}, Hold, Unconfirmed, "1 reading in a row of it failing, 2 needed", 0},
		{"no limit", func(s *scene) { s.limits.Confirm.Reads = 0 }, Refuse, InvalidLimit, "confirm.reads: must be between 1 and", 0},
	})
}

// What the look again shows counts, though no pass decides on it.
func TestALookAgainCountsAsReading(t *testing.T) {
	for health, want := range map[fleet.HealthStatus]string{
		fleet.Healthy: "1 reading in a row", fleet.Unhealthy: "4 readings in a row",
	} {
		s := calm()
		task := s.task("web", 0)
		fail(task)
		s.read()
		s.decide()
		s.read()
		s.decide()
		if s.read(); health == fleet.Healthy {
			heal(task)
		}
		s.state = NewLook(s.input()).State()
		if NewLook(s.input()).State().Watches[0] != s.state.Watches[0] {
			t.Error("the same reading was counted twice")
		}
		fail(task)
		s.read()
		v := verdict(t, s.decide(), task.ARN)
		if f, _ := v.Finding(Confirm); !strings.HasPrefix(f.Sentence, want) {
			t.Errorf("read %s in the look again: %s, want %s", health, f.Sentence, want)
		}
	}
}

func TestFlaps(t *testing.T) {
	s := calm()
	task := s.task("web", 0)
	step := func(change func(*fleet.Task)) {
		change(task)
		s.read()
		s.decide()
	}
	away := func(t *fleet.Task) { t.Connectivity = fleet.Disconnected }
	for _, c := range []struct {
		change func(*fleet.Task)
		flaps  int
		well   bool
	}{{fail, 0, false}, {heal, 0, true}, {fail, 1, false}, {fail, 1, false}, {heal, 1, true}, {away, 1, false},
		{func(t *fleet.Task) { t.Connectivity = fleet.Connected }, 1, true}, {fail, 2, false}} {
		step(c.change)
		w := s.state.watch(task.ARN)
		if w == nil || w.Flaps != c.flaps || w.Well.IsZero() == c.well {
			t.Fatalf("%+v, want %+v", w, c)
		}
	}
	// Well for longer than any recovery takes: all is forgiven.
	heal(task)
	s.read()
	s.decide()
	s.tick = s.limits.Recovery.Max - 100*time.Millisecond
	s.read()
	if s.decide(); s.state.watch(task.ARN) == nil {
		t.Error("forgiven too early")
	}
	s.tick = 1
	s.read()
	if s.decide(); s.state.watch(task.ARN) != nil {
		t.Error("never forgiven")
	}
}

// After a restart it takes a while to find every task again.
func TestAbsentTasksAreRemembered(t *testing.T) {
	for _, there := range [][]int{nil, {1}, {5}} { // none, one after both, and one before
		s := calm()
		fail(s.task("web", 0))
		fail(s.task("api", 19))
		s.read()
		s.decide()
		tasks := s.tasks
		s.tasks = nil
		for _, i := range there {
			s.tasks = append(s.tasks, tasks[i])
		}
		s.tick = forget - 201*time.Millisecond
		s.read()
		if s.decide(); len(s.state.Watches) != 2 {
			t.Errorf("%v: %+v", there, s.state.Watches)
		}
		s.tick = time.Millisecond
		s.read()
		if s.decide(); len(s.state.Watches) != 0 {
			t.Errorf("%v: %+v", there, s.state.Watches)
		}
	}
}

// One that is absent does not hide the next.
func TestAbsentTaskBesideAnother(t *testing.T) {
	s := calm()
	fail(s.task("web", 0))
	fail(s.task("api", 19))
	s.read()
	s.decide()
	s.tasks = s.tasks[:23]
	s.read()
	s.decide()
	if w := s.state.watch(taskARN("web", 0)); len(s.state.Watches) != 2 || w.Reads != 2 {
		t.Errorf("%+v", s.state.Watches)
	}
}
