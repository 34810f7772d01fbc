package policy

import (
	"testing"
	"time"
)

func TestStartup(t *testing.T) {
	began := func(ago time.Duration) func(*scene) { return func(s *scene) { s.began = s.now.Add(-ago) } }
	testGuard(t, Startup, []guardCase{
		{"long ago", nil, Allow, OK, "watched for 1h", 0},
		{"just over", began(time.Minute), Allow, OK, "watched for 1m0s, window 1m0s", 0},
		{"not quite", began(time.Minute - 1), Hold, StartupWindow, "watches for 1m0s before it acts", 1},
		{"now", began(0), Hold, StartupWindow, "", time.Minute},
		{"in the future", began(-time.Hour), Hold, StartupWindow, "", time.Hour + time.Minute},
		{"unknown", func(s *scene) { s.began = time.Time{} }, Hold, StartupWindow, "not known", 0},
		{"no limit", func(s *scene) { s.limits.Startup = 0 }, Refuse, InvalidLimit, "startup", 0},
	})
}
