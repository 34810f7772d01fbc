package timeline

import (
	"cmp"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Exposed is a share of the time for which a group treated a task as good
// although ECS called it UNHEALTHY.
type Exposed struct {
	Service  fleet.ServiceID
	Group    fleet.TargetGroupARN
	Duration time.Duration
}

// exposure is a target that was exposed in the last snapshot.
type exposure struct {
	key     fleet.TargetKey
	service fleet.ServiceID
	upTo    time.Time // when the older of the two readings that show it was received
}

// expose sums up the exposure since the last snapshot: the time between readings
// that both showed it, and no other. What lies before the first of them and after
// the last is left out, and so is a time in which nothing could be read and after
// which it is over. It cannot wait for the timeline, whose bounds are better,
// because an alert on the sum must fire while the exposure lasts.
func (t *Tracker) expose(s *fleet.Snapshot) []Exposed {
	var now []exposure
	s.Exposed(func(task *fleet.Task, g *fleet.TargetGroup, target *fleet.Target) bool {
		upTo := task.Read.Received
		if g.Read.Received.Before(upTo) {
			upTo = g.Read.Received
		}
		now = append(now, exposure{key: target.Key, service: task.Service, upTo: upTo})
		return true
	})
	slices.SortFunc(now, func(a, b exposure) int { return a.key.Compare(b.key) })
	sums := make(map[Exposed]time.Duration)
	for _, e := range now {
		i, ok := slices.BinarySearchFunc(t.exposed, e.key, func(was exposure, key fleet.TargetKey) int { return was.key.Compare(key) })
		if ok && e.upTo.After(t.exposed[i].upTo) {
			sums[Exposed{Service: e.service, Group: e.key.Group}] += e.upTo.Sub(t.exposed[i].upTo)
		}
	}
	t.exposed = now
	var all []Exposed
	for e, d := range sums {
		e.Duration = d
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Exposed) int {
		return cmp.Or(a.Service.Compare(b.Service), cmp.Compare(a.Group, b.Group))
	})
	return all
}
