package policy

import (
	"fmt"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// used is how many are out by castoff's hand, the target itself included.
type used struct {
	service, group, fleet int
}

// used counts tasks once, however many targets of theirs are out, of the group too.
func (q *question) used() used {
	out := q.gone[q.mode]
	n := used{service: out.services[q.of], group: out.groups[q.key.Group], fleet: len(out.tasks)}
	if !out.places[place{q.key.Group, q.id}] && !out.targets[q.key] {
		n.group++
	}
	if !out.tasks[q.id] {
		n.service++
		n.fleet++
	}
	return n
}

// budget: not more are out at a time than the service, the group and the fleet
// allow.
func (q *question) budget() Finding {
	if q.svc == nil || q.group == nil || q.group.Read.Never() {
		return hold(ServiceBudget, time.Time{}, "the service or its target group has not been read, and what it may is a part of that")
	}
	n := q.used()
	parts := []struct {
		reason Reason
		name   string
		what   string
		used   int
		allow  Allowance
		of     int
	}{
		{ServiceBudget, "service_out", "task of " + q.svc.ID.String(), n.service, q.limits.Budget.Service, q.svc.Desired},
		{GroupBudget, "group_out", "target of " + q.group.ARN.Name(), n.group, q.limits.Budget.Group, q.places()},
		{FleetBudget, "fleet_out", "task of the fleet", n.fleet, q.Look.Fleet.Budget, q.running},
	}
	var values []Value
	var over Finding
	for _, p := range parts {
		may := p.allow.of(p.of)
		values = append(values, count(p.name, p.used, may))
		if p.used > may && over.Reason == "" {
			over = hold(p.reason, time.Time{}, fmt.Sprintf("this would be the %s %s out at a time, limit %d (at least %d, %s of %d, at most %d)",
				ordinal(p.used), p.what, may, p.allow.Least, percent(p.allow.Percent), max(0, p.of), p.allow.Most))
		}
	}
	if over.Reason != "" {
		over.Values = values
		return over
	}
	return allow(fmt.Sprintf("with this, %d of %d allowed are out of the service, %.0f of %.0f of the group, %.0f of %.0f of the fleet",
		n.service, int(values[0].Limit), values[1].Got, values[1].Limit, values[2].Got, values[2].Limit), values...)
}

// places counts the group's rows, those of one task once.
func (q *question) places() int {
	n, seen := 0, map[fleet.TaskARN]bool{}
	for _, r := range q.rows(q.group) {
		if r.task == "" || !seen[r.task] {
			n++
		}
		seen[r.task] = true
	}
	return n
}

// ordinal is 1st, 2nd, 3rd, 11th.
func ordinal(n int) string {
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprintf("%d%s", n, suffix)
}
