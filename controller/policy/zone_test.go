package policy

import (
	"testing"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// The sick target is in zone a with web-0002; the other two are in zone b.
func TestZone(t *testing.T) {
	alone := func(cross string) func(*scene) {
		return func(s *scene) {
			s.group("web").Attributes.CrossZone = cross
			s.row("web", 2).State = fleet.TargetUnhealthy
		}
	}
	off := func(change func(*scene)) func(*scene) {
		return func(s *scene) {
			s.group("web").Attributes.CrossZone = "false"
			change(s)
		}
	}
	const threshold = "target_group_health.dns_failover.minimum_healthy_targets."
	testGuard(t, Zone, []guardCase{
		{"balanced", alone("true"), Allow, OK, "balanced across zones", 0},
		{"last of its zone", alone("false"), Hold, LastInZone, "no healthy one would stay in eu-central-1a", 0},
		{"as the balancer says", alone("use_load_balancer_configuration"), Hold, LastInZone, "", 0},
		{"as nobody says", alone(""), Hold, LastInZone, "", 0},
		{"not the last", off(func(*scene) {}), Allow, OK, "1 of 2 targets in eu-central-1a would stay healthy", 0},
		{"the other was taken out", off(func(s *scene) { s.detachments = []Detachment{s.detachment("web", 2, Detaching)} }), Hold, LastInZone, "", 0},
		{"the zone's own count", off(func(s *scene) { s.group("web").Attributes.Raw[threshold+"count"] = "2" }), Hold, ZoneThreshold, "1 of 2 targets in eu-central-1a would stay healthy, and the group's own target_group_health asks for 2", 0},
		{"the zone's own percentage", off(func(s *scene) { s.group("web").Attributes.Raw[threshold+"percentage"] = "50" }), Allow, OK, "", 0},
		{"the zone's own percentage too high", off(func(s *scene) { s.group("web").Attributes.Raw[threshold+"percentage"] = "51" }), Hold, ZoneThreshold, "", 0},
		{"settings that make no sense", off(func(s *scene) { s.group("web").Attributes.Raw[threshold+"count"] = "x" }), Hold, SettingsUnknown, "", 0},
		{"AWS leaves the zone out", off(func(s *scene) { s.row("web", 0).Zone, s.row("web", 2).Zone = "", "" }), Allow, OK, "in eu-central-1a", 0},
		{"nobody knows the zone", off(func(s *scene) { s.row("web", 0).Zone, s.task("web", 0).Zone = "", "" }), Hold, ZoneUnknown, "is not known", 0},
		{"every zone", off(func(s *scene) { s.row("web", 0).Zone = "all" }), Hold, ZoneUnknown, "", 0},
		{"nobody knows the other's zone", off(func(s *scene) { s.row("web", 2).Zone = "all" }), Hold, LastInZone, "", 0},
		{"attributes not read", func(s *scene) { s.group("web").Attributes.Known = false }, Hold, SettingsUnknown, "", 0},
		{"group not read", func(s *scene) { s.group("web").Read = fleet.Read{} }, Hold, SettingsUnknown, "", 0},
	})
}
