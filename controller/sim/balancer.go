package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Kinds of load balancer, as DescribeLoadBalancers names them.
const (
	Network     = "network"
	Application = "application"
)

// balancer is a load balancer: a node in each of its zones, and a DNS name that
// gives clients the nodes' addresses.
type balancer struct {
	region     *Region
	arn        string
	name       string
	kind       string
	created    time.Time
	zones      []string          // enabled
	attributes map[string]string // as DescribeLoadBalancerAttributes gives them
	shifted    string            // zone that a zonal shift moved traffic out of; empty: none
	groups     []*targetGroup
	listeners  []*listener
	tags       map[string]string

	dns     []bool // by zone: its address is in what DNS answers
	clients []bool // the same as clients have it
}

func (r *Region) addBalancer(name, kind string, only []string, crossZone bool) *balancer {
	b := &balancer{region: r, name: name, kind: kind, created: r.now, zones: only, attributes: balancerAttributes(kind, crossZone)}
	if len(b.zones) == 0 {
		b.zones = zones[:]
	}
	short := "net"
	if kind == Application {
		short = "app"
	}
	b.arn = elbARN("loadbalancer/" + short + "/" + name + "/" + r.hex(16))
	b.dns, b.clients = make([]bool, len(b.zones)), make([]bool, len(b.zones))
	for i := range b.zones {
		b.dns[i], b.clients[i] = true, true
	}
	r.balancers = append(r.balancers, b)
	return b
}

func (b *balancer) enabled(zone string) bool {
	return zone == "" || zone == "all" || slices.Contains(b.zones, zone)
}

// resolve works out which zones' addresses DNS gives: those in which no group is
// below its threshold and which no zonal shift has taken out, or all when there
// is none such.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-target-groups.html#target-group-health
func (b *balancer) resolve() []bool {
	in := make([]bool, len(b.zones))
	for i, zone := range b.zones {
		in[i] = zone != b.shifted && !slices.ContainsFunc(b.groups, func(g *targetGroup) bool { return g.reachOf(zone).outOfDNS })
	}
	if slices.Contains(in, true) {
		return in
	}
	for i, zone := range b.zones {
		in[i] = zone != b.shifted || len(b.zones) == 1
	}
	return in
}

// follow takes a change of DNS to the clients, who keep what they were told for
// a while.
func (b *balancer) follow() {
	in := b.resolve()
	if slices.Equal(in, b.dns) {
		return
	}
	b.dns = in
	b.region.after(b.region.params.DNSLag, func() {
		b.clients = in
		for _, g := range b.groups {
			g.reroute()
		}
	})
}

// balancerOf is the load balancer that is a target itself; nil for any other
// target.
func (r *Region) balancerOf(key fleet.TargetKey) *balancer {
	if !strings.HasPrefix(key.ID, "arn:") {
		return nil
	}
	for _, b := range r.balancers {
		if b.arn == key.ID {
			return b
		}
	}
	return nil
}

// answers reports that a request to the balancer can get an answer.
func (b *balancer) answers() bool {
	return slices.ContainsFunc(b.groups, func(g *targetGroup) bool {
		return slices.ContainsFunc(g.ways, func(l *lane) bool { return l.share > 0 && l.answered })
	})
}

// ZonalShift moves the traffic of a service's load balancers out of a zone, or,
// with an empty one, back. Connections that exist are left alone.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/network/zonal-shift.html
func (r *Region) ZonalShift(id fleet.ServiceID, zone string) error {
	return r.onService("shift traffic of", id, func(s *service) error {
		var shifted []*balancer
		for _, g := range s.groups {
			if b := g.group.balancer; b != nil && !slices.Contains(shifted, b) {
				if zone != "" && !slices.Contains(b.zones, zone) {
					return fmt.Errorf("shift traffic of %s: its load balancer is not in %s", id, zone)
				}
				shifted = append(shifted, b)
			}
		}
		if len(shifted) == 0 {
			return fmt.Errorf("shift traffic of %s: %w", id, errors.New("it has no load balancer"))
		}
		for _, b := range shifted {
			b.shifted = zone
			for _, g := range b.groups {
				g.touch()
				g.reroute()
			}
		}
		return nil
	})
}

// override is the AdministrativeOverride of a target in a zone.
func (g *targetGroup) override(zone string) (state, reason, description string) {
	switch {
	case g.balancer == nil || g.balancer.shifted == "" || g.balancer.shifted != zone:
		return fleet.NoOverride, "AdministrativeOverride.NoOverride", "No override is currently active on target"
	case g.crossZone():
		return "zonal_shift_active", "AdministrativeOverride.ZonalShiftActive", "Zonal shift is active for the target"
	}
	return "zonal_shift_delegated_to_dns", "AdministrativeOverride.ZonalShiftDelegatedToDns", "Zonal shift is delegated to DNS for the target"
}

// crossZone reports whether each node sends to the targets of all zones.
func (g *targetGroup) crossZone() bool {
	switch g.attributes[crossZoneAttribute] {
	case "true":
		return true
	case "false":
		return false
	}
	return g.balancer != nil && g.balancer.attributes[crossZoneAttribute] == "true"
}
