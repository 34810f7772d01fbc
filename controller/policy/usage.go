package policy

import (
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Use is how near a limit is, in numbers.
type Use struct {
	Service fleet.ServiceID // zero: the fleet
	// Name is the guard's: budget, of tasks that are out; floor, where Used is what
	// stays healthy and must not go below Limit; rate, of tasks that may go at once;
	// futile, of replacements that failed; contested, of tries.
	Name  string
	Used  int
	Limit int
}

// Usage is how near the limits are now that count something over a service, in
// the order of the services, the fleet's first. A floor is that of the service's
// group with the fewest healthy targets; of futile it is the deployment, and of
// contested the target, that is nearest. A budget that makes no sense is 0, for
// it allows nothing; any other limit that makes none is left out.
func (v *Look) Usage() []Use {
	use := Use{Name: "budget", Used: len(v.gone[Detaching].tasks)}
	if sound(Budget, v.fleet) {
		use.Limit = v.Fleet.Budget.of(v.running)
	}
	all := []Use{use}
	if sound(Rate, v.fleet) {
		all = append(all, Use{Name: string(Rate), Used: v.state.taken(Detaching, fleet.ServiceID{}, v.Fleet.Rate, v.Now), Limit: v.Fleet.Rate.Burst})
	}
	tries := make(map[fleet.ServiceID]int)
	for i := range v.Detachments {
		if d := &v.Detachments[i]; d.Open() && d.Mode == Detaching {
			tries[d.Service] = max(tries[d.Service], d.Tries)
		}
	}
	for _, svc := range v.Snapshot.Services {
		s := v.service(svc.ID)
		use := Use{Service: svc.ID, Name: "budget", Used: v.gone[s.mode].services[svc.ID]}
		if sound(Budget, s.problems) {
			use.Limit = s.limits.Budget.Service.of(svc.Desired)
		}
		all = append(all, use)
		left, ok := v.least(s)
		if ok && sound(Floor, s.problems) {
			all = append(all, Use{Service: svc.ID, Name: "floor", Used: left, Limit: s.limits.Floor.of(svc.Desired)})
		}
		for _, use := range []Use{
			{svc.ID, string(Rate), v.state.taken(s.mode, svc.ID, s.limits.Rate, v.Now), s.limits.Rate.Burst},
			{svc.ID, string(Futile), v.state.futileMost(svc.ID, s.limits.Futile, v.Now), s.limits.Futile.Replacements},
			{svc.ID, string(Contested), tries[svc.ID], s.limits.Contested.Tries},
		} {
			if sound(Guard(use.Name), s.problems) {
				all = append(all, use)
			}
		}
	}
	return all
}

// futileMost is how many replacements failed of the deployment with the most.
func (s *State) futileMost(id fleet.ServiceID, l FutileLimits, now time.Time) (most int) {
	failures := s.failures(id)
	done := map[string]bool{} // a service in a crash loop has thousands of failures, of a deployment or two
	for i := range failures {
		if by := failures[i].StartedBy; !done[by] {
			done[by] = true
			n, _ := futile(failures, by, l.Window, now)
			most = max(most, n)
		}
	}
	return most
}

// least is the number of healthy targets in the service's group that has the
// fewest, of those in which it has any row; not ok without one.
func (v *Look) least(s *serviceView) (n int, ok bool) {
	for _, lb := range s.svc.LoadBalancers {
		g := v.Snapshot.TargetGroup(lb.Group)
		if g == nil || g.Read.Never() {
			continue
		}
		q := &question{Look: v, serviceView: s, group: g}
		own := q.tasks()
		if own.all > 0 && (!ok || own.left < n) {
			n, ok = own.left, true
		}
	}
	return n, ok
}
