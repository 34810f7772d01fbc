package policy

import (
	"testing"
	"time"

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
	lb := func(bs ...fleet.Balancer) func(*scene) {
		return func(s *scene) {
			for i := range bs {
				bs[i].Read = fleet.Read{Sent: s.now, Received: s.now}
			}
			alone("use_load_balancer_configuration")(s)
			s.group("web").Balancers = bs
		}
	}
	alb := fleet.Balancer{Kind: fleet.ApplicationBalancer}
	nlb := func(cross string) fleet.Balancer {
		return fleet.Balancer{Kind: fleet.NetworkBalancer, CrossZone: cross}
	}
	old := func(age time.Duration) func(*scene) {
		return func(s *scene) {
			lb(nlb("true"))(s)
			s.group("web").Balancers[0].Read.Sent = s.now.Add(-age)
		}
	}
	const threshold = "target_group_health.dns_failover.minimum_healthy_targets."
	testGuard(t, Zone, []guardCase{
		{"balanced", alone("true"), Allow, OK, "balanced across zones", 0},
		{"last of its zone", alone("false"), Hold, LastInZone, "no healthy one would stay in eu-central-1a", 0},
		{"as the balancer says", alone("use_load_balancer_configuration"), Hold, LastInZone, "", 0},
		{"as nobody says", alone(""), Hold, LastInZone, "whether zones share targets is not known, and no healthy one", 0},
		{"as a word that nobody knows says", alone("sometimes"), Hold, LastInZone, "is not known", 0},
		{"as an ALB has it", lb(alb), Allow, OK, "balanced across zones", 0},
		{"off behind an ALB", func(s *scene) { lb(alb)(s); s.group("web").Attributes.CrossZone = "false" }, Hold, LastInZone, "zones do not share", 0},
		{"on at the NLB", lb(nlb("true")), Allow, OK, "balanced across zones", 0},
		{"off at the NLB", lb(nlb("false")), Hold, LastInZone, "zones do not share targets, and no", 0},
		{"not read of the NLB", lb(nlb("")), Hold, LastInZone, "is not known", 0},
		{"denied of the NLB", lb(fleet.Balancer{Kind: fleet.NetworkBalancer, Denied: true}), Hold, LastInZone, "castoff needs elasticloadbalancing:DescribeLoadBalancerAttributes", 0},
		{"on at the gateway", lb(fleet.Balancer{Kind: fleet.GatewayBalancer, CrossZone: "true"}), Allow, OK, "", 0},
		{"of a kind that nobody knows", lb(fleet.Balancer{}), Hold, LastInZone, "is not known", 0},
		{"on at both", lb(nlb("true"), alb), Allow, OK, "", 0},
		{"on at one of two", lb(nlb("true"), nlb("false")), Hold, LastInZone, "is not known", 0},
		{"read of one of two", lb(nlb(""), nlb("true")), Hold, LastInZone, "is not known", 0},
		{"read of the NLB just lately enough", old(5 * time.Minute), Allow, OK, "", 0},
		{"read of the NLB too long ago", old(5*time.Minute + 1), Hold, LastInZone, "is not known", 0},
		{"read of the NLB in the future", old(-time.Second), Hold, LastInZone, "is not known", 0},
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

// What the balancer said before the decision is no word on the call.
func TestZoneLooksAgainAtTheBalancer(t *testing.T) {
	for name, c := range map[string]struct {
		again string
		want  Reason
	}{"on": {"true", OK}, "turned off since": {"false", LastInZone}, "not read again": {"", LastInZone}} {
		s := calm()
		s.group("web").Attributes.CrossZone = "use_load_balancer_configuration"
		s.group("web").Balancers = []fleet.Balancer{{Kind: fleet.NetworkBalancer, CrossZone: "true"}}
		s.row("web", 2).State = fleet.TargetUnhealthy
		fail(s.task("web", 0))
		s.read()
		s.decide()
		s.read()
		was := verdict(t, s.decide(), taskARN("web", 0))
		before := s.group("web").Balancers[0]
		s.read()
		if c.again == "" {
			s.group("web").Balancers[0] = before
		} else {
			s.group("web").Balancers[0].CrossZone = c.again
		}
		again := NewLook(s.input()).Recheck(was)
		if f, _ := again.Finding(Zone); was.Decision != Allow || f.Reason != c.want {
			t.Errorf("%s: %s, then %+v, want %s", name, was.Decision, f, c.want)
		}
	}
}
