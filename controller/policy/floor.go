package policy

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// row is one target of a group as the floor sees it.
type row struct {
	key     fleet.TargetKey
	zone    string // empty: not known
	service fleet.ServiceID
	task    fleet.TaskARN // empty: nobody's
	// good: the balancer calls it healthy, and it is the target of a running
	// task that was read lately and that ECS calls HEALTHY, or cannot judge.
	good bool
	read fleet.Read // of the task
}

// Apart is how long before a look again began a task may have been read to count in it
// as one that serves. In a pass that takes long, or in which the machine stands still,
// all may have failed since.
const Apart = 2 * time.Second

// old reports that a row would be good, had its task been read with the others in the
// look again.
func (q *question) old(r *row) bool {
	if q.again == nil || !r.good {
		return false
	}
	began := q.group.Read.Sent
	if q.task != nil && q.task.Read.Sent.Before(began) {
		began = q.task.Read.Sent
	}
	return r.read.Age(began) > Apart
}

// rows are those of a group.
func (v *Look) rows(g *fleet.TargetGroup) []row {
	rows, known := v.groups[g.ARN]
	if known {
		return rows
	}
	rows = make([]row, 0, len(g.Targets))
	for i := range g.Targets {
		t := &g.Targets[i]
		r := row{key: t.Key, zone: t.Zone}
		if owner := v.Snapshot.Owner(t.Key); owner != nil {
			r.service, r.task = owner.Service, owner.ARN
			if r.zone == "" {
				r.zone = owner.Zone // AWS need not fill it in for instances
			}
			r.good, r.read = t.Healthy() && v.serves(owner), owner.Read
		}
		if r.zone == "all" { // outside of the group's zones: serves each a little
			r.zone = ""
		}
		rows = append(rows, r)
	}
	v.groups[g.ARN] = rows
	return rows
}

// serves reports that a task is up by all that is known of it now.
func (v *Look) serves(t *fleet.Task) bool {
	return t.LastStatus == fleet.Running && !t.Leaving() && t.Missing == 0 &&
		t.Connectivity != fleet.Disconnected && t.Read.Age(v.Now) >= 0 && t.Read.Oldest(v.Now) <= v.service(t.Service).limits.Stale.Tasks &&
		vouched(t, v.Snapshot.Definitions[t.Definition])
}

// vouched reports that somebody says that a task works. One that has a check and
// has not passed it is not counted on: it may be starting, and the balancer's check
// sees less. Where ECS has nothing to check the balancer's word is all there is.
func vouched(t *fleet.Task, def *fleet.TaskDefinition) bool {
	switch {
	case t.Failing():
		return false
	case t.Health == fleet.Healthy:
		return true
	case def == nil:
		return false // nobody knows whether it has a check
	case !slices.ContainsFunc(def.Containers, func(c fleet.ContainerDefinition) bool { return c.Essential && c.Check != nil }):
		return true
	}
	return passing(t, def)
}

// tally is what of some rows would be left without the target, everything that
// is out, and everything that is not good.
type tally struct {
	all  int
	left int
	old  int // not counted as left, since their tasks were not read again
}

// unread says so, to go after what would stay healthy.
func (n tally) unread() string {
	if n.old == 0 {
		return ""
	}
	return fmt.Sprintf(", not counting %d whose tasks could not be read again", n.old)
}

// tally counts the rows that a filter takes. None of the task's own is good: it fails.
func (q *question) tally(filter func(*row) bool) tally {
	var n tally
	rows := q.rows(q.group)
	for i := range rows {
		if r := &rows[i]; filter(r) {
			n.all++
			if q.stays(r) {
				n.left++
			}
			if q.old(r) {
				n.old++
			}
		}
	}
	return n
}

// stays reports that a row is good and not among those that go or are out.
func (q *question) stays(r *row) bool {
	return r.good && !q.old(r) && r.key != q.key && !q.gone[q.mode].targets[r.key]
}

// tasks counts the service's tasks that have rows in the group: what is desired are
// tasks. One with several stays if all of them do.
func (q *question) tasks() tally {
	stays := map[fleet.TaskARN]bool{}
	rows := q.rows(q.group)
	for i := range rows {
		if r := &rows[i]; r.service == q.svc.ID {
			was, seen := stays[r.task]
			stays[r.task] = (was || !seen) && q.stays(r)
		}
	}
	n := tally{all: len(stays)}
	for _, is := range stays {
		if is {
			n.left++
		}
	}
	return n
}

// floor: enough healthy targets of the service stay in the group, the group
// keeps its last one, and its own thresholds hold.
func (q *question) floor() Finding {
	if q.task == nil || q.svc == nil || q.group == nil || q.group.Read.Never() {
		return hold(SettingsUnknown, time.Time{}, "the task, its service or its target group has not been read")
	}
	own := q.tasks()
	group := q.tally(func(*row) bool { return true })
	least := q.limits.Floor.of(q.svc.Desired)
	value := count("healthy_left", own.left, least)
	said := fmt.Sprintf("%d of %s would stay healthy, floor %d (at least %d, and %s of %d desired)%s",
		own.left, plural(own.all, "task"), least, q.limits.Floor.Count, percent(q.limits.Floor.Percent), max(0, q.svc.Desired), group.unread())
	if group.left < 1 {
		return hold(LastHealthy, time.Time{}, "no healthy target would stay in the group"+group.unread(), value)
	}
	if own.left < least {
		return hold(BelowFloor, time.Time{}, said, value)
	}
	t, err := thresholds(q.group)
	if err != nil {
		return hold(SettingsUnknown, time.Time{}, err.Error(), value)
	}
	if need := t.of(group.all); q.sharing() != separate && group.left < need {
		return hold(GroupThreshold, time.Time{}, fmt.Sprintf("%d of %s in the group would stay healthy, and its own target_group_health asks for %d%s",
			group.left, plural(group.all, "target"), need, group.unread()), value, count("group_healthy_left", group.left, need))
	}
	return allow(said, value)
}

// of is the floor of a desired count.
func (f FloorLimits) of(desired int) int { return max(f.Count, 1, ceil(f.Percent, desired)) }

// ceil is a percentage of a total, rounded up.
func ceil(percent float64, total int) int {
	return int(math.Ceil(percent * float64(max(total, 0)) / 100))
}

// groupHealth is the stricter of a group's own thresholds, below which the
// balancer takes it out of DNS or sends flows to targets that are not healthy.
type groupHealth struct {
	count   int
	percent float64
}

// of is how many healthy targets it asks for. The percentages are of registered
// targets; whether one that drains still counts is not known, so that every row
// there is counts, which asks for more.
func (h groupHealth) of(rows int) int { return max(h.count, ceil(h.percent, rows)) }

// thresholds reads a group's own.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-target-groups.html#target-group-health
func thresholds(g *fleet.TargetGroup) (groupHealth, error) {
	h := groupHealth{count: 1}
	if !g.Attributes.Known {
		return h, fmt.Errorf("the attributes of target group %s have not been read", g.ARN.Name())
	}
	for _, what := range []string{"dns_failover", "unhealthy_state_routing"} {
		for _, unit := range []string{"count", "percentage"} {
			name := "target_group_health." + what + ".minimum_healthy_targets." + unit
			text := g.Attributes.Raw[name]
			if text == "" || text == "off" { // AWS's defaults are 1 and off
				continue
			}
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || unit == "percentage" && n > 100 {
				return h, fmt.Errorf("the attribute %s of target group %s makes no sense: %q", name, g.ARN.Name(), text)
			}
			if unit == "count" {
				h.count = max(h.count, n)
			} else {
				h.percent = max(h.percent, float64(n))
			}
		}
	}
	return h, nil
}
