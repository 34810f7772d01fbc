package sim

import (
	"slices"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// tick is one look of the scheduler at a service.
func (s *service) tick() {
	if s.deleted {
		return
	}
	s.touch()
	if s.spec.Rollback && len(s.deployments) > 0 && s.deployments[0].rollout == rolloutFailed {
		s.rollBack()
	}
	for _, p := range s.pools() {
		s.commit(p)
		s.makeRoom(p)
		switch {
		case p.only != nil:
			if p.only.rollout != rolloutFailed {
				s.fill(p, p.only, p.desired-len(s.good(p.only)))
			}
			s.trim(p)
		case s.deployments[0].rollout == rolloutFailed:
			s.holdOn(p)
		case s.rolling():
			s.roll(p)
		default:
			p.desired += s.rebalance(p)
			s.fill(p, s.deployments[0], p.desired-len(s.good(nil)))
			s.trim(p)
		}
	}
	s.moveTraffic()
	was := s.calm
	s.calm = s.steady()
	switch {
	case !s.calm:
		s.attend()
	case !was:
		s.tell(eventSteady)
	}
}

// rolling reports that one revision is to take another's place, task by task.
func (s *service) rolling() bool { return s.rolls() && len(s.deployments) > 1 }

// good are the live tasks that the scheduler has nothing against: of one
// deployment, or of all.
func (s *service) good(d *deployment) []*task {
	var good []*task
	for _, t := range s.live {
		if !t.committed && !s.minded(t) && (d == nil || t.deployment == d) {
			good = append(good, t)
		}
	}
	return good
}

func (s *service) serving(tasks []*task) []*task {
	var serving []*task
	for _, t := range tasks {
		if s.healthy(t) {
			serving = append(serving, t)
		}
	}
	return serving
}

// makeRoom stops one sick task at random when maximumPercent leaves no room to
// start its replacement first. It is the whole of stop-first at 100 %, and what
// ends a stand-off of a sick task and its sick replacement.
func (s *service) makeRoom(p pool) {
	members := s.members(p)
	if len(members) < p.ceiling || p.desired <= len(s.good(p.only)) {
		return
	}
	var sick []*task
	for _, t := range members {
		if t.committed {
			return
		}
		if s.minded(t) {
			sick = append(sick, t)
		}
	}
	if len(sick) == 0 {
		return
	}
	r := s.region
	t := sick[r.rng.IntN(len(sick))]
	t.committed = true
	r.after(r.draw(r.params.StopDelay), func() { t.stop(codeScheduler, t.reason) })
}

// fill starts up to n tasks of a deployment: for openings that the scheduler has
// come to, the oldest first, and for what else is missing.
func (s *service) fill(p pool, d *deployment, n int) {
	r := s.region
	var ready []*opening
	waiting := 0
	for _, o := range s.openings {
		switch {
		case o.by != nil || p.only != nil && o.of.deployment != p.only:
		case o.ready.After(r.now):
			if o.of.desired == fleet.Stopped || s.minded(o.of) {
				waiting++ // missed already, not minded yet
			}
		default:
			ready = append(ready, o)
		}
	}
	n = min(n-waiting, p.ceiling-len(s.members(p)))
	if r.now.Before(s.startAfter) {
		return
	}
	for range n {
		t := s.start(d, "")
		if t == nil {
			return
		}
		if len(ready) > 0 {
			o := ready[0]
			ready = ready[1:]
			o.by, t.fills = t, o
			o.of.truthReplacement(t)
		}
	}
}

// start begins a task, in a given zone to even the zones out, or in any; nil when there
// is no room.
func (s *service) start(d *deployment, zone string) *task {
	t := s.region.newTask(s.cluster, s, d, d.def, zone)
	if t == nil {
		s.repeat(eventNoRoom)
		return nil
	}
	if zone != "" {
		s.tell(inZone(eventMovedTo, zone), t)
	} else {
		s.tell(eventStarted, t)
	}
	fate := d.def.fate
	if len(s.fates) > 0 {
		fate, s.fates = s.fates[0], s.fates[1:]
	}
	t.provision(fate)
	return t
}

// trim stops what is more than desired: tasks that have yet to become healthy
// first, then any. A task that has just recovered is not picked.
func (s *service) trim(p pool) {
	good := s.good(p.only)
	extra := len(good) - p.desired
	if extra <= 0 {
		return
	}
	d := s.deployments[0]
	var starting, serving []*task
	for _, t := range good {
		if s.healthy(t) {
			serving = append(serving, t)
		} else {
			starting = append(starting, t)
		}
	}
	if len(serving) < p.desired {
		return
	}
	for ; len(starting) > 0; extra-- {
		last := len(starting) - 1
		s.scaleIn(starting[last], d)
		starting = starting[:last]
	}
	calm := slices.DeleteFunc(slices.Clone(serving), func(t *task) bool { return t.failure != nil })
	if len(calm) >= extra {
		serving = calm
	}
	for ; extra > 0; extra-- {
		i := s.region.rng.IntN(len(serving))
		s.scaleIn(serving[i], d)
		serving = slices.Delete(serving, i, i+1)
	}
}

func (s *service) scaleIn(t *task, d *deployment) {
	t.stop(codeScheduler, "Scaling activity initiated by (deployment "+d.id+")")
}

// roll is a step of a rolling deployment: sick tasks of the old revision are
// replaced by the same revision while it still has to carry the service, new
// tasks start as far as maximumPercent lets them, old ones stop as far as
// minimumHealthyPercent does.
func (s *service) roll(p pool) {
	primary := s.deployments[0]
	fresh := s.good(primary)
	all := s.good(nil)
	carried := len(all) - len(fresh) + len(s.serving(fresh))
	for _, d := range s.deployments[1:] {
		lost := 0
		for _, o := range s.openings {
			if o.by == nil && o.of.deployment == d && o.of.served && o.barren != d && !o.ready.After(s.region.now) {
				lost++ // one that never was healthy is not worth another of its kind
			}
		}
		if d.rollout != rolloutFailed && !s.region.params.ReplaceWithNewest {
			s.fill(p, d, min(lost, s.desired-carried))
		}
	}
	s.fill(p, primary, s.desired-len(fresh))

	floor := (s.desired*s.spec.MinimumHealthyPercent + 99) / 100
	spare := len(s.serving(s.good(nil))) - floor
	carries := len(s.serving(s.good(primary))) >= s.desired
	for _, t := range s.good(nil) {
		switch {
		case t.deployment == primary:
		case s.healthy(t) && spare > 0:
			spare--
			s.scaleIn(t, primary)
		case !s.healthy(t) && carries:
			s.scaleIn(t, primary)
		}
	}
	s.dropOld()
	if carries && !slices.ContainsFunc(s.live, func(t *task) bool { return t.deployment != primary }) {
		s.complete(primary)
	}
}

// steady reports that there is nothing to come back for at the next tick.
func (s *service) steady() bool {
	for _, t := range s.live {
		if t.sick || t.committed || !s.healthy(t) {
			return false
		}
	}
	if s.shift != nil || s.moving != nil {
		return false
	}
	for _, p := range s.pools() {
		if len(s.members(p)) != p.desired || p.only != nil && p.only.leaving {
			return false
		}
	}
	if s.rolls() && s.deployments[0].rollout != rolloutFailed {
		if s.rolling() {
			return false
		}
		s.complete(s.deployments[0])
	}
	s.openings = nil
	return !s.uneven()
}

// reregister has ECS put back the target of a running task that somebody else
// took out.
func (s *service) reregister(t *task, g *targetGroup, key fleet.TargetKey) {
	r := s.region
	wait := r.draw(r.params.Reregister)
	if r.params.NeverReregister {
		return
	}
	r.after(wait, func() {
		if w := g.rows[key]; t.status == fleet.Running && t.desired == fleet.Running && (w == nil || w.draining()) {
			g.register(key, t.zone, t)
		}
	})
}
