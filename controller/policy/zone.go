package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// sharing says whether the zones of a target group share its targets.
type sharing int

const (
	sharingUnknown sharing = iota // both must then be well: each zone by itself, and the group
	shared
	separate
)

// sharing is what the group's attribute says or, where it leaves that to the load
// balancer, the balancer's: an Application Load Balancer always shares, a Network Load
// Balancer as its own attribute says. One that was read too long ago says nothing.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroupAttribute.html
func (q *question) sharing() sharing {
	switch q.group.Attributes.CrossZone {
	case "true":
		return shared
	case "false":
		return separate
	case "use_load_balancer_configuration":
	default:
		return sharingUnknown
	}
	all := sharingUnknown
	for i, b := range q.group.Balancers {
		one := sharingUnknown
		switch age := q.Now.Sub(b.Read.Earliest()); {
		case b.Kind == fleet.ApplicationBalancer:
			one = shared
		case b.Read.Never() || b.Read.Received.After(q.Now) || age < 0 || age > q.limits.Stale.Inventory || q.again != nil && b.Read.Sent.Before(q.again.At):
		case b.CrossZone == "true":
			one = shared
		case b.CrossZone == "false":
			one = separate
		}
		if i > 0 && one != all {
			return sharingUnknown
		}
		all = one
	}
	return all
}

// zone: where zones do not share, or nobody knows, the target's own keeps its last
// healthy one and the group's own thresholds, which hold in each zone then.
func (q *question) zone() Finding {
	if q.group == nil || q.group.Read.Never() || !q.group.Attributes.Known {
		return hold(SettingsUnknown, time.Time{}, "the target group or its attributes have not been read")
	}
	why := "zones do not share targets"
	switch q.sharing() {
	case shared:
		return allow("the group is balanced across zones")
	case sharingUnknown:
		why = "whether zones share targets is not known" + q.deniedBalancer()
	case separate:
	}
	zone := ""
	for _, r := range q.rows(q.group) {
		if r.key == q.key {
			zone = r.zone
		}
	}
	if zone == "" {
		return hold(ZoneUnknown, time.Time{}, why+", and which one the target is in is not known")
	}
	n := q.tally(func(r *row) bool { return r.zone == zone })
	t, err := thresholds(q.group)
	if err != nil {
		return hold(SettingsUnknown, time.Time{}, err.Error())
	}
	need := t.of(n.all)
	value := count("zone_healthy_left", n.left, need)
	switch {
	case n.left < 1:
		return hold(LastInZone, time.Time{}, fmt.Sprintf("%s, and no healthy one would stay in %s%s", why, zone, n.unread()), value)
	case n.left < need:
		return hold(ZoneThreshold, time.Time{}, fmt.Sprintf("%d of %s in %s would stay healthy, and the group's own target_group_health asks for %d%s",
			n.left, plural(n.all, "target"), zone, need, n.unread()), value)
	}
	return allow(fmt.Sprintf("%d of %s in %s would stay healthy", n.left, plural(n.all, "target"), zone), value)
}

// deniedBalancer says what to do where castoff may not read the balancer's attribute.
func (q *question) deniedBalancer() string {
	if slices.ContainsFunc(q.group.Balancers, func(b fleet.Balancer) bool { return b.Denied }) {
		return " (castoff needs elasticloadbalancing:DescribeLoadBalancerAttributes)"
	}
	return ""
}
