package timeline

import (
	"encoding/json"
	"testing"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// What an agent saw while it was cut off from ECS, ECS hears when it is back: the
// app may have hung at any time since it was last heard of.
func TestAgentCutOff(t *testing.T) {
	for _, c := range []struct {
		name               string
		cutOff, back       float64
		from, restart      float64
		earliest           float64 // onset
		unhealthyNotBefore float64
		defined            float64 // when the task definition was first read
	}{
		// the last reading before it, less the check, 2 × (5 + 3) + 3, and 20 s of reporting lag
		{"seen from the start", 512, 601, 450, 0, 510 - 19 - 20, 600, 0},
		{"already when castoff began", 480, 601, 500, 0, 0, 600, 0}, // since the task was created
		{"castoff was restarted meanwhile", 512, 601, 450, 540, 510 - 19 - 20, 600, 0},
		{"back for longer than any report takes", 512, 560, 450, 0, 600 - 19 - 20, 600, 0},
		{"back for not quite as long", 512, 585, 450, 0, 510 - 19 - 20, 600, 0},
		{"between two readings", 596, 599, 450, 0, 595 - 19 - 20, 600, 0},
		{"another time", 580, 590, 450, 0, 575 - 19 - 20, 600, 0},
		{"its definition is read when all has been told", 512, 601, 450, 0, 510 - 19 - 20, 600, 640},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(1)
			l := w.add(hung("a"))
			l.cutOff, l.back = sec(c.cutOff), sec(c.back)
			l.replacement = w.add(fresh("b", 623))
			tracker, camera, from := NewTracker(DefaultSettings()), &camera{w: w, defined: sec(c.defined)}, sec(c.from)
			if c.restart > 0 {
				camera.film(tracker, from, sec(c.restart), poll)
				from = sec(c.restart).Add(poll)
				var err error
				if tracker, err = camera.restart(tracker, from); err != nil {
					t.Fatal(err)
				}
			}
			tl := only(t, camera.film(tracker, from, sec(1200), poll))
			if m := bounds(t, tl, Onset); !m.NotBefore.Equal(sec(c.earliest)) || !m.NotAfter.Equal(sec(600)) {
				t.Errorf("onset %s … %s, want %s … %s", m.NotBefore, m.NotAfter, sec(c.earliest), sec(600))
			}
			if m := bounds(t, tl, Unhealthy); !m.NotBefore.Equal(sec(c.unhealthyNotBefore)) {
				t.Errorf("unhealthy from %s", m.NotBefore)
			}
			if n := len(tracker.State().Dark); n != 0 {
				t.Errorf("%d tasks are still taken for cut off", n)
			}
		})
	}
}

// What an earlier castoff kept that did not note whose agent was cut off says nothing
// of one that is: the app may have hung before that was kept.
func TestAgentCutOffBeforeThatWasKept(t *testing.T) {
	for _, kept := range []bool{true, false} {
		w := newWorld(1)
		l := w.add(hung("a"))
		l.cutOff, l.back = sec(512), sec(601)
		w.add(fresh("b", 623))
		tracker, camera := NewTracker(DefaultSettings()), &camera{w: w}
		camera.film(tracker, sec(450), sec(540), poll)
		state, earliest := tracker.State(), sec(510-19-20)
		if !kept {
			state.Dark, earliest = nil, sec(0)
		}
		text, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		state = State{}
		if err := json.Unmarshal(text, &state); err != nil {
			t.Fatal(err)
		}
		tl := only(t, camera.film(Restore(DefaultSettings(), state), sec(545), sec(1200), poll))
		if m := bounds(t, tl, Onset); !m.NotBefore.Equal(earliest) {
			t.Errorf("kept %t: onset from %s, want %s", kept, m.NotBefore, earliest)
		}
	}
}

// Whether an agent was back only after castoff had read its task for the last time is
// told by two clocks.
func TestAgentBackByAnotherClock(t *testing.T) {
	tracker := NewTracker(DefaultSettings())
	tracker.calm = Calm{Tasks: sec(540), Newest: []Newest{{Created: sec(0)}}}
	for back, want := range map[float64]bool{541: true, 539: true, 481: true, 479: false} {
		if got := tracker.wasAway(nil, &fleet.Task{Created: sec(-1), ConnectedAt: sec(back)}); got != want {
			t.Errorf("back at %v of AWS's clock, castoff read at 540: away %t", back, got)
		}
	}
	if tracker.wasAway(nil, &fleet.Task{Created: sec(545), ConnectedAt: sec(560)}) {
		t.Error("a task of which castoff knew nothing was away")
	}
}

// An agent that connects for the first time has not been away.
func TestFirstConnectionIsNoReturn(t *testing.T) {
	if NewTracker(DefaultSettings()).wasAway(&fleet.Task{Created: sec(0)}, &fleet.Task{Created: sec(0), ConnectedAt: sec(20)}) {
		t.Error("it was away")
	}
}

// A restart in whose life no task could be read forgets no agent that is cut off.
func TestAgentCutOffWhileNothingIsRead(t *testing.T) {
	w := newWorld(1)
	l := w.add(hung("a"))
	l.cutOff, l.back = sec(512), sec(601)
	w.add(fresh("b", 623))
	c := &camera{w: w}
	tracker := NewTracker(DefaultSettings())
	c.film(tracker, sec(450), sec(540), poll)
	tracker, err := c.restart(tracker, sec(545))
	if err != nil {
		t.Fatal(err)
	}
	c.blind(true)
	c.film(tracker, sec(545), sec(570), poll)
	if tracker, err = c.restart(tracker, sec(575)); err != nil {
		t.Fatal(err)
	}
	c.blind(false)
	tl := only(t, c.film(tracker, sec(575), sec(1200), poll))
	contains(t, tl, Onset, l.onset)
	if m := bounds(t, tl, Onset); !m.NotBefore.Equal(sec(510 - 19 - 20)) {
		t.Errorf("from %s", m.NotBefore)
	}
}
