package scenario

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/config"
)

// All that castoff does in a region that is faster than the clock is as much faster, but
// for limits that may be no less than a second.
func TestHurry(t *testing.T) {
	const speed = 30
	was, is := config.Default(), config.Default()
	settings := Hurry(&is, speed)
	for name, pair := range map[string][2]time.Duration{
		"interval":        {was.Polling.Interval, is.Polling.Interval},
		"inventory":       {was.Polling.InventoryInterval, is.Polling.InventoryInterval},
		"reply age":       {was.Polling.ReplyAge, is.Polling.ReplyAge},
		"startup":         {was.Limits.Startup, is.Limits.Startup},
		"settle window":   {was.Timelines.SettleWindow, settings.SettleWindow},
		"lag of an exit":  {controller.TrackerSettings(was.Timelines).ExitLag, settings.ExitLag},
		"fleet's latches": {was.Fleet.Correlated.Cooldown, is.Fleet.Correlated.Cooldown},
	} {
		if pair[1] != pair[0]/speed {
			t.Errorf("%s: %s of %s", name, pair[1], pair[0])
		}
	}
	if is.Limits.Stale.Tasks != time.Second {
		t.Errorf("a limit is %s", is.Limits.Stale.Tasks)
	}
	if is.Limits.Rate.PerMinute != speed*was.Limits.Rate.PerMinute || is.Fleet.Rate.PerMinute != speed*was.Fleet.Rate.PerMinute {
		t.Errorf("rates %v and %v", is.Limits.Rate, is.Fleet.Rate)
	}
	if same := config.Default(); Hurry(&same, 1) != controller.TrackerSettings(was.Timelines) || same.Polling != was.Polling || same.Limits != was.Limits {
		t.Errorf("at the clock's own speed: %+v", same)
	}
}
