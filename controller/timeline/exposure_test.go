package timeline

import (
	"testing"
	"time"
)

func TestExposureSum(t *testing.T) {
	w := newWorld(1)
	w.add(hung("a"))
	w.add(fresh("b", 623))
	tracker := NewTracker(DefaultSettings())
	c := &camera{w: w}
	var sum time.Duration
	for now := sec(500); now.Before(sec(1200)); now = now.Add(poll) {
		for _, e := range tracker.Track(c.shoot(now)).Exposure {
			if e.Service != w.service.ID || e.Group != w.groups[0].ARN {
				t.Errorf("exposure of %v in %s", e.Service, e.Group)
			}
			sum += e.Duration
		}
	}
	// UNHEALTHY at 603, draining at 681; seen at 605 and 680.
	if sum != 75*time.Second {
		t.Errorf("exposed for %s, want 75s", sum)
	}
}

// What could not be read is not counted, nor what was before a restart.
func TestExposureIsMeasured(t *testing.T) {
	w := newWorld(1)
	w.add(hung("a"))
	w.add(fresh("b", 623))
	c := &camera{w: w}
	tracker := NewTracker(DefaultSettings())
	var sum time.Duration
	track := func(from, to float64) {
		for now := sec(from); now.Before(sec(to)); now = now.Add(poll) {
			for _, e := range tracker.Track(c.shoot(now)).Exposure {
				sum += e.Duration
			}
		}
	}
	track(500, 620)
	c.skip = func(string) bool { return true }
	track(620, 4000)
	if sum != 10*time.Second {
		t.Errorf("exposed for %s by readings of 605 to 615", sum)
	}
	c.skip = nil
	sum = 0
	var err error
	if tracker, err = c.restart(tracker, sec(4000)); err != nil {
		t.Fatal(err)
	}
	if track(4000, 4010); sum != 0 {
		t.Errorf("%s counted from before a restart", sum)
	}
}
