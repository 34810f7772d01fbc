package policy

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestContested(t *testing.T) {
	// tried took the target out so often, the last time so long ago.
	tried := func(n int, ago time.Duration) func(*scene) {
		return func(s *scene) {
			d := s.detachment("web", 0, Detaching)
			d.Tries, d.Called, d.Answered = n, s.now.Add(-ago), s.now.Add(-ago)
			s.detachments = []Detachment{d}
		}
	}
	testGuard(t, Contested, []guardCase{
		{"the first time", nil, Allow, OK, "nobody has put it back", 0},
		{"put back", tried(1, 30*time.Second), Allow, OK, "try 2 of 4", 0},
		{"put back at once", tried(1, 30*time.Second-1), Hold, Spaced, "somebody put it back after", 1},
		{"put back again", tried(2, 30*time.Second), Hold, Spaced, "", 30 * time.Second},
		{"put back again, later", tried(2, time.Minute), Allow, OK, "try 3 of 4", 0},
		{"put back for the fourth time", tried(4, time.Hour), Refuse, GaveUp, "castoff took it out 4 times and somebody put it back: left alone, limit 4", 0},
		{"taken out often, and not put back", func(s *scene) {
			tried(4, time.Hour)(s)
			s.row("web", 0).State = fleet.TargetDraining
		}, Allow, OK, "nobody has put it back since castoff took it out at 2026-11-23 11:00:04 UTC, try 4 of 4", 0},
		{"a reading that may be from before", func(s *scene) {
			tried(1, 5*time.Second)(s)
		}, Hold, Unanswered, "may be older than castoff's call", 15 * time.Second},
		{"no reading since", tried(1, 200*time.Millisecond), Hold, Unanswered, "has not been read since", 0},
		{"a reading from before a call that took long was over", func(s *scene) {
			tried(1, 50*time.Second)(s)
			s.detachments[0].Answered = s.now.Add(-5 * time.Second)
		}, Hold, Unanswered, "may be older than castoff's call", 15 * time.Second},
		{"no reading since a call that took long", func(s *scene) {
			tried(1, 50*time.Second)(s)
			s.detachments[0].Answered = s.now
		}, Hold, Unanswered, "has not been read since", 0},
		{"a call is under way", func(s *scene) {
			tried(1, time.Hour)(s)
			s.underWay = Calls{s.task("web", 0).Targets[0]: s.now.Add(-40 * time.Second)}
		}, Hold, Unanswered, "has not answered yet", 0},
		{"a call about another one is under way", func(s *scene) {
			tried(1, time.Hour)(s)
			s.underWay = Calls{s.task("web", 1).Targets[0]: s.now.Add(-40 * time.Second)}
		}, Allow, OK, "", 0},
		{"a call that was refused", func(s *scene) {
			d := s.detachment("web", 0, Detaching)
			d.Called, d.Result, d.Tries = time.Time{}, Rejected, 9
			s.detachments = []Detachment{d}
		}, Allow, OK, "", 0},
		{"refused just now", func(s *scene) {
			d := s.detachment("web", 0, Detaching)
			d.Called, d.Tries = time.Time{}, 0
			s.detachments = []Detachment{d.Call(s.now.Add(-2*time.Second), s.now.Add(-2*time.Second), Rejected).Call(s.now, s.now, Rejected)}
		}, Hold, Spaced, "refused the call 2 times in a row: again at", 4 * time.Second},
		{"refused a while ago", func(s *scene) {
			d := s.detachment("web", 0, Detaching)
			d.Called, d.Tries = time.Time{}, 0
			s.detachments = []Detachment{d.Call(s.now.Add(-2*time.Second), s.now.Add(-2*time.Second), Rejected)}
		}, Allow, OK, "nobody has put it back", 0},
		{"of a task that had the address before", func(s *scene) {
			tried(4, time.Hour)(s)
			s.detachments[0].Task = taskARN("web", 9)
		}, Allow, OK, "", 0},
		{"of the same task, started again", func(s *scene) {
			tried(4, time.Hour)(s)
			s.detachments[0].Started = noon
		}, Allow, OK, "", 0},
		{"over", func(s *scene) { tried(4, time.Hour)(s); s.detachments[0].Progress = Closed }, Allow, OK, "", 0},
		{"no limit", func(s *scene) { s.limits.Contested.Tries = 0 }, Refuse, InvalidLimit, "contested.tries", 0},
		{"too many tries", func(s *scene) { s.limits.Contested.Tries = 11 }, Refuse, InvalidLimit, "must be at most 10", 0},
		{"no recovery", func(s *scene) { s.limits.Recovery.Growth = 0.5 }, Refuse, InvalidLimit, "recovery.growth", 0},
	})
}
