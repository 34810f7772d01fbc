package policy

import (
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func TestFloor(t *testing.T) {
	const threshold = "target_group_health.dns_failover.minimum_healthy_targets."
	const routing = "target_group_health.unhealthy_state_routing.minimum_healthy_targets."
	own := func(key, value string) func(*scene) {
		return func(s *scene) { s.group("web").Attributes.Raw[key] = value }
	}
	desired := func(n int) func(*scene) { return func(s *scene) { s.service("web").Desired = n } }
	// not makes a target no longer count: three are left, and a floor of three
	// lets the sick one go only if all of them do.
	not := func(change func(s *scene, t *fleet.Task, row *fleet.Target)) func(*scene) {
		return func(s *scene) {
			s.limits.Floor.Percent = 75
			change(s, s.task("web", 1), s.row("web", 1))
		}
	}
	testGuard(t, Floor, []guardCase{
		{"three of four", nil, Allow, OK, "3 of 4 tasks would stay healthy, floor 2 (at least 1, and 50 % of 4 desired)", 0},
		{"just enough", func(s *scene) { s.limits.Floor.Percent = 75 }, Allow, OK, "floor 3", 0},
		{"rounded up", func(s *scene) { s.limits.Floor.Percent = 75.1 }, Hold, BelowFloor, "3 of 4 tasks would stay healthy, floor 4 (at least 1, and 75.1 % of 4 desired)", 0},
		{"by count", func(s *scene) { s.limits.Floor.Count = 4 }, Hold, BelowFloor, "floor 4 (at least 4", 0},
		{"by a count that suffices", func(s *scene) { s.limits.Floor.Count = 3 }, Allow, OK, "", 0},
		{"more are wanted", desired(7), Hold, BelowFloor, "floor 4", 0},
		{"as many are wanted as there can be", desired(6), Allow, OK, "floor 3", 0},
		{"none are wanted", desired(0), Allow, OK, "floor 1", 0},
		{"unknown target", not(func(_ *scene, _ *fleet.Task, row *fleet.Target) { row.State = "floating" }), Hold, BelowFloor, "2 of 4", 0},
		{"initial", not(func(_ *scene, _ *fleet.Task, row *fleet.Target) { row.State = fleet.TargetInitial }), Hold, BelowFloor, "", 0},
		{"shifted", not(func(_ *scene, _ *fleet.Task, row *fleet.Target) { row.Override = "zonal_shift_active" }), Hold, BelowFloor, "", 0},
		{"failing", not(func(_ *scene, t *fleet.Task, _ *fleet.Target) { fail(t) }), Hold, BelowFloor, "", 0},
		{"not yet checked", not(func(_ *scene, t *fleet.Task, _ *fleet.Target) { unknown(t) }), Hold, BelowFloor, "2 of 4", 0},
		{"in a state of which nobody has heard", not(func(_ *scene, t *fleet.Task, _ *fleet.Target) { t.Health, t.Containers[0].Health = "SO_SO", "SO_SO" }), Hold, BelowFloor, "", 0},
		{"UNKNOWN for a container without a check", not(func(_ *scene, t *fleet.Task, _ *fleet.Target) { t.Health = fleet.Unknown }), Allow, OK, "", 0},
		{"HEALTHY, whatever its containers say", not(func(_ *scene, t *fleet.Task, _ *fleet.Target) { t.Containers[0].Health = fleet.Unknown }), Allow, OK, "", 0},
		{"without a check", not(func(s *scene, t *fleet.Task, _ *fleet.Target) { unknown(t); s.unchecked(t) }), Allow, OK, "", 0},
		{"UNHEALTHY, without a check that is known", not(func(s *scene, t *fleet.Task, _ *fleet.Target) { fail(t); s.unchecked(t) }), Hold, BelowFloor, "", 0},
		{"of a definition that nobody has read", not(func(_ *scene, t *fleet.Task, _ *fleet.Target) { unknown(t); t.Definition = "other" }), Hold, BelowFloor, "", 0},
		{"leaving", not(func(_ *scene, t *fleet.Task, _ *fleet.Target) { t.DesiredStatus = fleet.Stopped }), Hold, BelowFloor, "", 0},
		{"not yet running", not(func(_ *scene, t *fleet.Task, _ *fleet.Target) { t.LastStatus = fleet.Activating }), Hold, BelowFloor, "", 0},
		{"missing", not(func(_ *scene, t *fleet.Task, _ *fleet.Target) { t.Missing = 1 }), Hold, BelowFloor, "", 0},
		{"away", not(func(_ *scene, t *fleet.Task, _ *fleet.Target) { t.Connectivity = fleet.Disconnected }), Hold, BelowFloor, "", 0},
		{"read too long ago", not(func(s *scene, t *fleet.Task, _ *fleet.Target) { t.Read.Sent = s.now.Add(-15*time.Second - 1) }), Hold, BelowFloor, "", 0},
		{"read lately, by a reply that may be older", not(func(s *scene, t *fleet.Task, _ *fleet.Target) {
			t.Read.Sent, t.Read.Behind = s.now.Add(-14*time.Second), 2*time.Second
		}), Hold, BelowFloor, "", 0},
		{"read just lately enough", not(func(s *scene, t *fleet.Task, _ *fleet.Target) { t.Read.Sent = s.now.Add(-15 * time.Second) }), Allow, OK, "", 0},
		{"read in the future", not(func(s *scene, t *fleet.Task, _ *fleet.Target) { t.Read.Sent = s.now.Add(time.Second) }), Hold, BelowFloor, "", 0},
		{"read just now", not(func(s *scene, t *fleet.Task, _ *fleet.Target) { t.Read.Sent = s.now }), Allow, OK, "", 0},
		{"nobody's", not(func(_ *scene, t *fleet.Task, _ *fleet.Target) { t.Targets = nil }), Hold, BelowFloor, "2 of 3", 0},
		{"another service's", not(func(_ *scene, t *fleet.Task, _ *fleet.Target) { t.Service.Name = "api" }), Hold, BelowFloor, "2 of 3", 0},
		{"detached", not(func(s *scene, _ *fleet.Task, _ *fleet.Target) {
			s.detachments = []Detachment{s.detachment("web", 1, Detaching)}
		}), Hold, BelowFloor, "", 0},
		{"detached once", not(func(s *scene, _ *fleet.Task, _ *fleet.Target) {
			s.detachments = []Detachment{s.detachment("web", 1, Detaching)}
			s.detachments[0].Progress = Closed
		}), Allow, OK, "", 0},
		{"would be detached", not(func(s *scene, _ *fleet.Task, _ *fleet.Target) {
			s.detachments = []Detachment{s.detachment("web", 1, Observing)}
		}), Allow, OK, "", 0},
		{"would be detached, in observe mode", not(func(s *scene, _ *fleet.Task, _ *fleet.Target) {
			s.limits.Mode = Observing
			s.detachments = []Detachment{s.detachment("web", 1, Observing)}
		}), Hold, BelowFloor, "", 0},
		{"itself detached before", func(s *scene) {
			s.limits.Floor.Percent = 75
			s.detachments = []Detachment{s.detachment("web", 0, Detaching)}
		}, Allow, OK, "", 0},

		{"the last", func(s *scene) {
			s.service("web").Desired = 1
			for i := 1; i < 4; i++ {
				s.row("web", i).State = fleet.TargetUnhealthy
			}
		}, Hold, LastHealthy, "no healthy target would stay", 0},
		{"the last of the service, not of the group", func(s *scene) {
			s.service("web").Desired = 1
			for i := 1; i < 4; i++ {
				s.task("web", i).Service.Name = "api"
			}
		}, Hold, BelowFloor, "0 of 1 task would", 0},
		{"one other", func(s *scene) {
			s.service("web").Desired = 1
			for i := 2; i < 4; i++ {
				s.row("web", i).State = fleet.TargetUnhealthy
			}
		}, Allow, OK, "1 of 4", 0},

		{"own count", own(threshold+"count", "3"), Allow, OK, "", 0},
		{"own count too high", own(threshold+"count", "4"), Hold, GroupThreshold, "3 of 4 targets in the group would stay healthy, and its own target_group_health asks for 4", 0},
		{"own routing count too high", own(routing+"count", "4"), Hold, GroupThreshold, "", 0},
		{"own percentage", own(threshold+"percentage", "75"), Allow, OK, "", 0},
		{"own percentage too high", own(threshold+"percentage", "76"), Hold, GroupThreshold, "", 0},
		{"own routing percentage too high", own(routing+"percentage", "76"), Hold, GroupThreshold, "", 0},
		{"the stricter of both", func(s *scene) {
			own(threshold+"percentage", "80")(s)
			own(routing+"percentage", "10")(s)
		}, Hold, GroupThreshold, "", 0},
		{"in each zone, not here", func(s *scene) {
			own(threshold+"count", "4")(s)
			s.group("web").Attributes.CrossZone = "false"
		}, Allow, OK, "", 0},
		{"in each zone or not, nobody knows", func(s *scene) {
			own(threshold+"count", "4")(s)
			s.group("web").Attributes.CrossZone = "use_load_balancer_configuration"
		}, Hold, GroupThreshold, "", 0},
		{"off", func(s *scene) { own(threshold+"count", "off")(s); own(threshold+"percentage", "off")(s) }, Allow, OK, "", 0},
		{"zero", own(threshold+"count", "0"), Allow, OK, "", 0},
		{"all of them", own(threshold+"percentage", "100"), Hold, GroupThreshold, "asks for 4", 0},
		{"no number", own(threshold+"count", "many"), Hold, SettingsUnknown, "makes no sense: \"many\"", 0},
		{"below zero", own(threshold+"count", "-1"), Hold, SettingsUnknown, "", 0},
		{"over 100", own(threshold+"percentage", "101"), Hold, SettingsUnknown, "", 0},
		{"attributes not read", func(s *scene) { s.group("web").Attributes = fleet.TargetGroupAttributes{} }, Hold, SettingsUnknown, "have not been read", 0},
		{"group not read", func(s *scene) { s.group("web").Read = fleet.Read{} }, Hold, SettingsUnknown, "", 0},
		{"service not read", func(s *scene) { s.services = s.services[1:] }, Hold, SettingsUnknown, "", 0},
		{"no limit", func(s *scene) { s.limits.Floor.Percent = 0 }, Refuse, InvalidLimit, "floor.percent: must be more than 0 and at most 100 (got 0)", 0},
	})
}
