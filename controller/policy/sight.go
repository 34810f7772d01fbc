package policy

import (
	"slices"
	"strconv"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// maySee reports that the group's own check may see the failure. One by HTTP always
// may. One by TCP sees a port that is not served any more: that of the container whose
// check fails, or one of which nobody tells whose it is.
func (q *question) maySee() bool {
	if q.task == nil || q.svc == nil || q.group == nil || q.group.Check.Protocol != "TCP" {
		return true
	}
	by, ok := failedCheck(q.task, q.def)
	port := q.group.Check.Port
	if !ok || port != "" && port != "traffic-port" && port != strconv.Itoa(q.key.Port) {
		return true
	}
	serve := slices.DeleteFunc(slices.Clone(q.svc.LoadBalancers), func(lb fleet.LoadBalancer) bool { return lb.Group != q.key.Group })
	return len(serve) == 0 || slices.ContainsFunc(serve, func(lb fleet.LoadBalancer) bool { return lb.Container == by.Name })
}

// followStop takes in what ECS gives as the reason for the stop.
func (d *Detachment) followStop(t *fleet.Task) {
	d.Person = t.MayBePersons()
	if t.MayHaveExited() {
		d.MaySee, d.Passed = true, false // its port was closed then
	}
}

// followSight notes whether the balancer stops by itself, and whether its check may.
func (v *Look) followSight(d *Detachment, t *fleet.Task) {
	g, row := v.Snapshot.TargetGroup(d.Target.Group), v.Snapshot.Target(d.Target)
	if d.ECS != nil || g == nil || row != nil && row.State == fleet.TargetUnknown {
		return
	}
	if d.Mode != Detaching {
		if g.Read.Sent.After(d.Decided) && (row == nil || v.Snapshot.Owner(d.Target) == t) {
			since(row == nil || !row.Healthy(), true, &d.Ceased, &d.Fine, d.Decided.Add(-g.Read.Behind), g.Read)
		}
		return
	}
	if !t.Failing() {
		return
	}
	d.MaySee = d.MaySee || v.question(d.Task, d.Target, nil).maySee()
	// Registered anew, a target is healthy once the check has passed.
	if row != nil && row.Healthy() && v.registered(d) && !d.Called.IsZero() && d.Idle.After(d.Called) {
		d.Passed = true
	}
}
