package timeline

import (
	"slices"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
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

// What a gateway sends nobody sees: the exposure of a service that has one is not known,
// nor is that it is over, also when it has it no more.
func TestExposureBehindAGateway(t *testing.T) {
	for _, c := range []struct {
		gateway fleet.Gateway
		until   float64
		known   bool
	}{
		{"", 1200, true},
		{fleet.GatewayNone, 1200, true},
		{fleet.GatewayDenied, 1200, true},
		{fleet.GatewayConnected, 1200, false},
		{fleet.GatewayConnected, 640, false},
	} {
		w := newWorld(1)
		w.add(hung("a"))
		w.add(fresh("b", 623))
		tracker, cam := NewTracker(DefaultSettings()), &camera{w: w}
		w.service.Gateway = c.gateway
		closed := cam.film(tracker, sec(500), sec(c.until), poll)
		w.service.Gateway = fleet.GatewayNone
		tl := only(t, append(closed, cam.film(tracker, sec(c.until), sec(1400), poll)...))
		known := slices.ContainsFunc(tl.Phases(), func(p Phase) bool { return p.Name == Exposure })
		if known != c.known || tl.Gateway == c.known {
			t.Errorf("gateway %q until %g: %v, phases %v", c.gateway, c.until, tl.Gateway, tl.Phases())
		}
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
