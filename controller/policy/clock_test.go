package policy

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// setBack is a fleet with a target out by castoff's hand, whose clock was set
// back by a day since.
func setBack() *scene {
	s := calm()
	fail(s.task("web", 0))
	s.row("web", 0).State = fleet.TargetDraining
	s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
	s.tick = 5 * time.Second
	s.read()
	s.decide()
	s.now, s.began = s.now.Add(-24*time.Hour), s.began.Add(-48*time.Hour)
	for _, t := range s.tasks {
		t.Created, t.Started = t.Created.Add(-48*time.Hour), t.Started.Add(-48*time.Hour)
	}
	s.detachments[0].Started = s.task("web", 0).Started
	return s
}

// A task that is well goes back once, and is done, though its detachment is
// from a day that has not come.
func TestClockSetBackWhileItIsOut(t *testing.T) {
	s := setBack()
	heal(s.task("web", 0))
	calls := 0
	for range 5 * 60 / 5 {
		s.read()
		if s.follow(); s.detachments[0].Outcome == Recovered {
			break
		}
		s.decide()
		for _, v := range NewLook(s.input()).Reattach() {
			if v.Decision == Allow {
				calls++
				s.detachments[0] = s.detachments[0].Attach(s.now, Accepted)
				s.row("web", 0).State = fleet.TargetInitial
			}
		}
	}
	if d := s.detachments[0]; d.Outcome != Recovered || calls != 1 {
		t.Errorf("%d calls, %+v", calls, d)
	}
}

// One that somebody puts back is taken out again, and no time is won by that.
func TestClockSetBackAndPutBack(t *testing.T) {
	s := setBack()
	s.row("web", 0).State = fleet.TargetHealthy
	for range 2 * 60 / 5 {
		s.read()
		d := s.follow()
		for _, b := range []*Bounds{d.Back, d.Serving} {
			if b != nil && (b.NotBefore.After(s.now) || b.NotAfter.After(s.now)) {
				t.Fatalf("back in the future: %+v", b)
			}
		}
		if v := verdict(t, s.decide(), taskARN("web", 0)); v.Decision == Allow {
			d = v.Detachment(prod, s.detachments).Call(s.now, s.now, Accepted)
			if d.Banked.Shortest < 0 || d.Banked.Longest > lag+5*time.Second || d.Tries != 2 {
				t.Errorf("%+v", d)
			}
			return
		}
	}
	t.Errorf("left alone: %+v", verdict(t, s.decide(), taskARN("web", 0)).Sentence)
}

// Where it was seen back before the clock was set back, that was no later than
// now.
func TestClockSetBackAfterItWasBack(t *testing.T) {
	s := setBack()
	d := &s.detachments[0]
	d.Called = s.now.Add(-time.Minute)
	d.Back = ordered(s.now.Add(-30*time.Second), s.now.Add(time.Hour))
	d.Serving = ordered(s.now.Add(time.Minute), s.now.Add(time.Hour))
	s.row("web", 0).State = fleet.TargetHealthy
	kept := *d.Back
	was := d.Back
	s.read()
	if got := s.follow(); !got.Back.NotBefore.Equal(kept.NotBefore) || !got.Back.NotAfter.Equal(s.now) {
		t.Errorf("%+v", got.Back)
	}
	if got := s.detachments[0].Serving; !got.NotBefore.Equal(s.now) || !got.NotAfter.Equal(s.now) {
		t.Errorf("serving %+v", got)
	}
	if *was != kept {
		t.Error("changed under whoever has it")
	}
}

// Once the clock was set back since anything of it was noted, how long a target was
// out can no longer be told, and never again.
func TestClockSetBackTakesTheSavedTimeAway(t *testing.T) {
	for _, c := range []struct {
		name  string
		ahead func(d *Detachment, later time.Time)
		want  bool
	}{
		{"nothing ahead", func(*Detachment, time.Time) {}, false},
		{"the decision", func(d *Detachment, later time.Time) { d.Decided = later }, true},
		{"the call", func(d *Detachment, later time.Time) { d.Called = later }, true},
		{"the way back", func(d *Detachment, later time.Time) { d.Attached = later }, true},
		{"it was before", func(d *Detachment, _ time.Time) { d.Rewound = true }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := calm()
			s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
			c.ahead(&s.detachments[0], s.now.Add(time.Hour))
			s.read()
			for range 2 {
				if d := s.follow(); d.Rewound != c.want {
					t.Fatalf("rewound %t, want %t", d.Rewound, c.want)
				}
			}
		})
	}
}
