package scenario

import (
	"time"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// Hurry divides castoff's durations by speed, for a region whose own are, or for a record
// of one. Those that have no setting are in what it answers.
func Hurry(cfg *config.Config, speed float64) timeline.Settings {
	settings, limits := controller.TrackerSettings(cfg.Timelines), &cfg.Limits
	for _, d := range []*time.Duration{
		&cfg.Polling.Interval, &cfg.Polling.HotInterval, &cfg.Polling.CalmInterval,
		&cfg.Polling.DiscoveryInterval, &cfg.Polling.InventoryInterval, &cfg.Polling.ReplyAge,
		&settings.RecoveryWindow, &settings.SettleWindow, &settings.LostAfter, &settings.ReportLag, &settings.CallLag, &settings.ExitLag,
	} {
		*d = Shorten(*d, speed)
	}
	for _, d := range []*time.Duration{
		&limits.Startup, &limits.Stale.Tasks, &limits.Stale.Targets, &limits.Stale.Inventory, &limits.Correlated.Cooldown,
		&limits.Futile.Window, &limits.Contested.Spacing, &limits.Recovery.Window, &limits.Recovery.Max, &cfg.Fleet.Correlated.Cooldown,
	} {
		*d = max(Shorten(*d, speed), time.Second) // no limit may be less
	}
	limits.Rate.PerMinute *= speed
	cfg.Fleet.Rate.PerMinute *= speed
	return settings
}

// Shorten turns AWS's durations into those of a region that is so much faster.
func Shorten(d time.Duration, speed float64) time.Duration {
	return time.Duration(float64(d) / speed)
}
