package policy

import "github.com/castoff-ecs/castoff/controller/fleet"

// Use is how near a limit is, in numbers of tasks or targets.
type Use struct {
	Service fleet.ServiceID // zero: the fleet
	Name    string          // budget; floor, where Used is what stays healthy and must not go below Limit
	Used    int
	Limit   int
}

// Usage is how near the budgets and the floors are now, in the order of the
// services, the fleet's first. A floor is that of the service's group with the
// fewest healthy targets. A budget that makes no sense is 0, for it allows
// nothing; a floor that makes none is left out.
func Usage(in Input) []Use {
	if in.Snapshot == nil {
		return nil
	}
	v := look(in, nil)
	use := Use{Name: "budget", Used: len(v.gone[Detaching].tasks)}
	if _, bad := invalid(Budget, v.fleet, ""); !bad {
		use.Limit = in.Fleet.Budget.of(v.running)
	}
	all := []Use{use}
	for _, svc := range in.Snapshot.Services {
		s := v.service(svc.ID)
		use := Use{Service: svc.ID, Name: "budget", Used: v.gone[s.mode].services[svc.ID]}
		if _, bad := invalid(Budget, s.problems, ""); !bad {
			use.Limit = s.limits.Budget.Service.of(svc.Desired)
		}
		all = append(all, use)
		left, ok := v.least(s)
		if _, bad := invalid(Floor, s.problems, ""); ok && !bad {
			all = append(all, Use{Service: svc.ID, Name: "floor", Used: left, Limit: s.limits.Floor.of(svc.Desired)})
		}
	}
	return all
}

// least is the number of healthy targets in the service's group that has the
// fewest, of those in which it has any row; not ok without one.
func (v *view) least(s *serviceView) (n int, ok bool) {
	for _, lb := range s.svc.LoadBalancers {
		g := v.Snapshot.TargetGroup(lb.Group)
		if g == nil || g.Read.Never() {
			continue
		}
		q := &question{view: v, serviceView: s, group: g}
		own := q.tally(func(r *row) bool { return r.service == s.svc.ID })
		if own.all > 0 && (!ok || own.left < n) {
			n, ok = own.left, true
		}
	}
	return n, ok
}
