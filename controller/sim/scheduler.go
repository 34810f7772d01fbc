package sim

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// service is one ECS service and its scheduler.
type service struct {
	region  *Region
	cluster *cluster
	arn     fleet.ServiceARN
	spec    ServiceSpec
	given   ServiceSpec // the same before defaults
	desired int
	created time.Time
	seq     int // place in the order of creation, within the cluster
	groups  []serviceGroup

	deployments []*deployment // the newest first; a rolled back one has given its place back
	primary     *deployment   // has the production traffic; nil: no task set has yet
	shift       *shift        // of production traffic, while there is one
	moving      *task         // started in an emptier zone, to take the place of one in the fullest
	lopsided    bool          // its events say that its zones are being evened out
	deleted     bool          // DRAINING or INACTIVE, or gone
	forgetting  bool
	past        past[serviceJSON]
	numbered    int             // tasks that it has had
	events      []*serviceEvent // the newest last
	told        int             // events that there were
	calm        bool            // it was steady at its last tick
	live        []*task         // those that are wanted RUNNING, in the order of creation
	openings    []*opening      // in the order of their failures
	fates       []Fate          // of the next tasks to be started

	phase        time.Time // one of the scheduler's ticks
	ticking      bool
	failedStarts int
	startAfter   time.Time // the restart throttle
}

// scheduling is what the scheduler keeps for a task.
type scheduling struct {
	sick      bool
	mindAt    time.Time // when the scheduler begins to act on the sickness
	reason    string    // of the stop, while sick
	committed bool      // will be stopped, whatever happens
	served    bool      // it has been healthy
	opening   *opening  // left by this task
	fills     *opening  // that this task was started for
	told      bool      // its service's events have its sickness
	surplus   bool      // it makes way for one in an emptier zone
}

// opening is a slot whose task is failing or has ended. One task at a time is
// started to fill it, until one has been healthy.
type opening struct {
	of    *task
	since time.Time // order in which replacements are handed out
	ready time.Time
	by    *task // nil: none yet, or it died before it was healthy
	// barren is the deployment of the last one that did; nil: none has.
	barren *deployment
}

// groupsOf are the groups that tasks of a deployment go into.
func (s *service) groupsOf(d *deployment) []serviceGroup {
	groups := slices.Clone(d.groups)
	for i, g := range groups {
		if d.alternate && g.alternate != nil {
			groups[i].group, groups[i].alternate = g.alternate, g.group
		}
	}
	return groups
}

// pool is a part of the service that is kept at its number by itself: all of it
// where deployments roll, else one revision or task set.
type pool struct {
	only    *deployment // nil: the whole service
	desired int
	ceiling int // no more tasks than this are wanted at a time
}

// pools are those of the service, the oldest revision's first.
func (s *service) pools() []pool {
	if s.rolls() {
		return []pool{s.poolOf(nil)}
	}
	pools := make([]pool, 0, len(s.deployments))
	for _, d := range slices.Backward(s.deployments) {
		pools = append(pools, s.poolOf(d))
	}
	return pools
}

// poolOf is the one that tasks of a deployment belong to.
func (s *service) poolOf(d *deployment) pool {
	p := pool{desired: s.desired}
	if !s.rolls() {
		p.only, p.desired = d, d.desired(s)
	}
	p.ceiling = p.desired * s.spec.MaximumPercent / 100
	return p
}

// members are the live tasks of a pool.
func (s *service) members(p pool) []*task {
	if p.only == nil {
		return s.live
	}
	var members []*task
	for _, t := range s.live {
		if t.deployment == p.only {
			members = append(members, t)
		}
	}
	return members
}

// attend has the scheduler look at the service at its next tick. A service
// where all is well is not looked at: nothing would come of it.
func (s *service) attend() {
	if s.ticking {
		return
	}
	s.ticking = true
	s.region.at(s.region.nextOf(s.phase, s.region.params.Tick), func() {
		s.ticking = false
		s.tick()
	})
}

// weigh takes in a change of a task's health or of its targets.
func (s *service) weigh(t *task) {
	r := s.region
	if t.desired == fleet.Stopped {
		return
	}
	if !t.served && s.healthy(t) {
		t.served = true
		t.deployment.prove(s)
		if o := t.fills; o != nil && o.by == t {
			s.close(o)
		}
		s.commit(s.poolOf(t.deployment))
		s.attend()
	}
	reason := s.sickness(t)
	switch {
	case reason != "" && !t.sick:
		t.sick, t.reason = true, reason
		t.mindAt = r.now.Add(r.scale(r.draw(r.params.React)))
		s.open(t, t.mindAt)
		s.attend()
	case reason == "" && t.sick && !t.committed:
		t.sick, t.told = false, false
		s.recovered(t)
		s.attend()
	}
}

const sickTargets = "Task failed ELB health checks in "

// sickness is why the scheduler holds a task to be failing; empty when it does
// not.
func (s *service) sickness(t *task) string {
	if t.status != fleet.Running || !s.region.since(t.started, s.spec.Grace) {
		return ""
	}
	if t.health == fleet.Unhealthy {
		return "Task failed container health checks"
	}
	for _, target := range t.targets {
		if w := target.group.rows[target.key]; w != nil && w.sick && (!w.draining() || !s.region.params.DetachCures) {
			return sickTargets + "(target-group " + string(target.group.arn) + ")"
		}
	}
	return ""
}

// healthy is what the scheduler waits for in a new task.
func (s *service) healthy(t *task) bool {
	if t.status != fleet.Running {
		return false
	}
	checked := len(t.targets) > 0
	for _, c := range t.containers {
		if c.spec.Check != nil && !c.spec.NotEssential {
			checked = true
			if c.reported != fleet.Healthy {
				return false
			}
		}
	}
	if !checked {
		return s.region.since(t.started, s.region.params.SteadyWithoutChecks)
	}
	for _, target := range t.targets {
		w := target.group.rows[target.key]
		if w == nil || w.state != fleet.TargetHealthy && target.group.balancer != nil {
			return false
		}
	}
	return true
}

// open makes the task's slot one to be filled. A replacement that never was
// healthy leaves the slot that it was to fill, not another one.
func (s *service) open(t *task, ready time.Time) {
	o := t.opening
	switch {
	case o != nil:
	case t.fills != nil && !t.served:
		o = t.fills
		o.by, o.barren = nil, t.deployment
		o.of.truthReplacement(nil)
	default:
		o = &opening{of: t, since: s.region.now}
		i, _ := slices.BinarySearchFunc(s.openings, o, func(a, b *opening) int {
			return cmp.Or(a.since.Compare(b.since), -1)
		})
		s.openings = slices.Insert(s.openings, i, o)
	}
	o.ready = ready
	t.opening = o
}

// recovered takes back the opening that the task had left. When it was itself to
// fill a slot, and no other has been started for it since, it does so again.
func (s *service) recovered(t *task) {
	o := t.opening
	t.opening = nil
	switch {
	case o == nil:
	case o.of == t:
		s.close(o)
	case o.by == nil:
		o.by, o.barren = t, nil
		o.of.truthReplacement(t)
	}
}

// close ends a slot's wait.
func (s *service) close(o *opening) {
	s.openings = slices.DeleteFunc(s.openings, func(other *opening) bool { return other == o })
}

// left takes in that ECS wants a task stopped.
func (s *service) left(t *task) {
	r := s.region
	s.live = slices.DeleteFunc(s.live, func(o *task) bool { return o == t })
	s.countFailure(t)
	if t.stopCode == codeFailedToStart {
		backoff := r.params.RestartBackoff
		wait := time.Duration(float64(backoff.Min) * math.Pow(2, float64(min(s.failedStarts, 30))))
		s.failedStarts++
		if s.failedStarts == 2 {
			s.tell(eventNeverStarts)
		}
		s.startAfter = r.now.Add(r.scale(min(wait, backoff.Max)))
	}
	switch {
	case t.stopCode == codeScheduler && !t.sick:
		// Surplus or an older revision: nothing takes its place.
		if o := t.fills; o != nil && o.by == t {
			o.by = nil
		}
	case t.opening == nil:
		s.open(t, r.now.Add(r.scale(r.draw(r.params.ReactEnded))))
	}
	s.attend()
}

// commit decides which sick tasks can be stopped: no more than leave the
// desired number healthy, those whose replacement is healthy first. It is done
// the moment a replacement is healthy, so that a task which recovers later is
// stopped all the same.
func (s *service) commit(p pool) {
	r := s.region
	var minded []*task
	serving := 0
	for _, t := range s.members(p) {
		switch {
		case t.committed:
		case s.minded(t):
			minded = append(minded, t)
			s.tellSick(t)
		case s.healthy(t):
			serving++
		}
	}
	slices.SortStableFunc(minded, func(a, b *task) int {
		return cmp.Or(-cmpBool(replaced(a), replaced(b)), a.mindAt.Compare(b.mindAt))
	})
	for _, t := range minded[:max(0, min(len(minded), serving+len(minded)-p.desired))] {
		t.committed = true
		tick := r.nextOf(s.phase, r.params.Tick)
		r.at(tick.Add(r.scale(r.draw(r.params.StopDelay))), func() { t.stop(codeScheduler, t.reason) })
	}
}

func (s *service) minded(t *task) bool { return t.sick && !s.region.now.Before(t.mindAt) }

// replaced reports that the task's replacement has been healthy.
func replaced(t *task) bool { return t.opening != nil && t.opening.by != nil && t.opening.by.served }

func cmpBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
