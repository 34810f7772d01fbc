package timeline

import (
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
}

// expose sums up the exposure since the last snapshot. A target exposed in both
// was so all the time; one exposed in only one of them for about half of it. It
// cannot wait for the timeline, whose bounds are better, because an alert on
// the sum must fire while the exposure lasts.
func (t *Tracker) expose(s *fleet.Snapshot) []Exposed {
	var now []exposure
	s.Exposed(func(task *fleet.Task, _ *fleet.TargetGroup, target *fleet.Target) bool {
		now = append(now, exposure{key: target.Key, service: task.Service})
		return true
	})
	slices.SortFunc(now, func(a, b exposure) int { return a.key.Compare(b.key) })
	before := t.exposed
	t.exposed = now
	if t.prev.At.IsZero() {
		return nil
	}
	half := max(0, s.At.Sub(t.prev.At)) / 2
	var sums []Exposed
	for _, list := range [][]exposure{before, now} {
		for _, e := range list {
			i := slices.IndexFunc(sums, func(sum Exposed) bool { return sum.Service == e.service && sum.Group == e.key.Group })
			if i < 0 {
				i = len(sums)
				sums = append(sums, Exposed{Service: e.service, Group: e.key.Group})
			}
			sums[i].Duration += half
		}
	}
	return sums
}
