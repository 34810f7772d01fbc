package policy

import (
	"fmt"
	"time"
)

// zonal reports that each zone has only its own targets. use_load_balancer_
// configuration counts as that: it is a Network Load Balancer's default, and the
// balancer's own setting is not read.
func (q *question) zonal() bool { return q.group.Attributes.CrossZone != "true" }

// zone: where zones do not share, the target's own keeps its last healthy one
// and the group's own thresholds, which hold in each zone then.
func (q *question) zone() Finding {
	if q.group == nil || q.group.Read.Never() || !q.group.Attributes.Known {
		return hold(SettingsUnknown, time.Time{}, "the target group or its attributes have not been read")
	}
	if !q.zonal() {
		return allow("the group is balanced across zones")
	}
	zone := ""
	for _, r := range q.rows(q.group) {
		if r.key == q.key {
			zone = r.zone
		}
	}
	if zone == "" {
		return hold(ZoneUnknown, time.Time{}, "zones do not share targets, and which one the target is in is not known")
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
		return hold(LastInZone, time.Time{}, fmt.Sprintf("zones do not share targets, and no healthy one would stay in %s", zone), value)
	case n.left < need:
		return hold(ZoneThreshold, time.Time{}, fmt.Sprintf("%d of %s in %s would stay healthy, and the group's own target_group_health asks for %d",
			n.left, plural(n.all, "target"), zone, need), value)
	}
	return allow(fmt.Sprintf("%d of %s in %s would stay healthy", n.left, plural(n.all, "target"), zone), value)
}
