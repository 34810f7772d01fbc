package timeline

import (
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// failingTarget is what the balancer said of one of the task's rows.
type failingTarget struct {
	Target
	state fleet.TargetState // empty when there is no row
	read  fleet.Read
	seen  time.Time // when the latest reading of the address was received, which read need not be
	sick  bool      // was unhealthy
	// again: it was, or may have been, put back and taken out once more, unseen.
	// Which time was the last and who did it nobody can tell.
	again bool
	call  ownCall
	// own is the latest read at which the row was surely the task's own. While
	// nobody can read the task it may end, and its address be given to another.
	own fleet.Read
}

// readTargets takes in the rows of every group that was read again, and of
// those in which the task was not looked for before.
func (f *failure) readTargets(t *Tracker, s *fleet.Snapshot) {
	f.blind = f.nameless(s)
	for _, key := range f.task.Targets {
		g := s.TargetGroup(key.Group)
		if g == nil || g.Read.Never() {
			f.blind = true
			continue
		}
		i, seen := slices.BinarySearchFunc(f.targets, key, func(t failingTarget, k fleet.TargetKey) int { return t.Key.Compare(k) })
		switch {
		case !seen && g.Read.Earliest().Before(f.task.Created): // whose row that was the task cannot tell
			f.blind = true
			continue
		case !seen:
			if ft, row, has := f.meet(t, s, key); has {
				late := ft.late(row, g.Read, t.settings.CallLag)
				if !late && !ft.older(row, g.Read) {
					f.follow(&ft, row, g)
				} else if late && len(ft.Good) == 0 { // it was in service: until when is yet to be seen
					ft.Good = []Span{{}}
				}
				f.targets = slices.Insert(f.targets, i, ft)
			}
		case f.targets[i].read != g.Read:
			ft := &f.targets[i]
			if row, sure := f.row(s, key, ft); sure && !ft.late(row, g.Read, t.settings.CallLag) {
				f.follow(ft, row, g)
			}
		}
	}
}

// meet is the first look for the task in a group, and reports whether it has a row
// there, or had one. What is known of that is of before this look.
func (f *failure) meet(t *Tracker, s *fleet.Snapshot, key fleet.TargetKey) (ft failingTarget, row *fleet.Target, has bool) {
	g, was := s.TargetGroup(key.Group), t.prev.TargetGroup(key.Group)
	var sure bool
	row, sure = f.row(s, key, nil)
	about := callOf{f.tl.Task, key}
	parted, left := t.parted[about]
	left = left && parted.of(f.task)
	comesAfterItsEnd := f.task.Gone() && was != nil && f.task.Read.Sent.Before(was.Read.Sent)
	if !sure || comesAfterItsEnd || row == nil && !left && !f.hadRow(t.prev, s, key) {
		return ft, nil, false
	}
	ft = failingTarget{Target: Target{Key: key}, call: t.calls[about]}
	delete(t.calls, about) // of no later failure of the task
	if left {
		delete(t.parted, about)
		ft.recall(parted, f.task)
	}
	switch before := t.prev.Task(f.tl.Task); {
	case left:
	case was == nil || was.Read.Never():
		ft.read = t.calm.group(f.task)
		ft.own = ft.read
	case was.Read.Earliest().Before(f.task.Created), mayBeInherited(t.prev, f.task, key): // since when it is the task's nobody knows
	case was != g:
		if before != nil && before.Read.Age(was.Read.Sent) <= glance {
			ft.own = was.Read
		}
		if first, sure := f.row(t.prev, key, nil); sure {
			if first == nil && row == nil && f.task.Started.Before(was.Read.Earliest()) {
				ft.state = fleet.TargetDraining // it had left by then
			}
			ft.read = t.withheld[key]
			ft.take(first, was, f.task)
		}
	}
	if row == nil && ft.state == "" {
		ft.state = fleet.TargetDraining // unseen, it has left
	}
	return ft, row, true
}

// follow takes in a new reading of the task's own row; nil: it has none any more.
func (f *failure) follow(ft *failingTarget, row *fleet.Target, g *fleet.TargetGroup) {
	if f.upSince(ft.read.Earliest()) {
		f.unwatched(ft, row, g)
	}
	own := f.task.Read.Age(g.Read.Sent) <= glance
	if f.task.Gone() {
		// No more than it was, and not when nobody looked for a while.
		own = ft.own == ft.read && g.Read.Sent.Sub(ft.read.Received) <= glance
		ft.disown(f.task.Created)
	}
	if own {
		ft.own = g.Read
	}
	ft.seen = g.Read.Received
	ft.take(row, g, f.task)
}

// late reports that a reading which has the row healthy may be from before castoff's
// call took effect. What somebody puts back is initial first.
func (ft *failingTarget) late(row *fleet.Target, read fleet.Read, lag time.Duration) bool {
	if ft.call.NotBefore.IsZero() || row == nil || !row.Healthy() || ft.state == fleet.TargetInitial {
		return false
	}
	called := ft.call.NotBefore
	if ft.call.NotAfter.After(called) {
		called = ft.call.NotAfter
	}
	return read.Sent.After(ft.call.NotBefore) && !read.Earliest().After(called.Add(lag))
}

// older reports that a reading has the row at an earlier step of its life than the one
// before, as it has after somebody put it back, and need not be of a later time: then it
// tells nothing. One that is asked for later will.
func (ft *failingTarget) older(row *fleet.Target, read fleet.Read) bool {
	_, gone := find(ft.Milestones, Detached)
	was := stepOf(ft.state)
	if ft.state == "" && !gone {
		was = 0 // not registered yet
	}
	is := stepOf("")
	if row != nil {
		is = stepOf(row.State)
	}
	return is < was && !(read.Earliest().After(ft.read.Received) && read.Earliest().After(ft.seen))
}

// stepOf is how far the row of a target has come, from its registration to its end.
func stepOf(s fleet.TargetState) int {
	switch s {
	case fleet.TargetInitial:
		return 1
	case fleet.TargetDraining:
		return 3
	case "":
		return 4
	default:
		return 2
	}
}

// take compares a row's new reading with the one before.
func (ft *failingTarget) take(row *fleet.Target, g *fleet.TargetGroup, task *fleet.Task) {
	read := g.Read
	changed := since(ft.read, read, task.Created)
	ft.read = read
	observe := func(k Kind, evidence string) {
		if _, ok := find(ft.Milestones, k); !ok {
			ft.Milestones = set(ft.Milestones, Milestone{Kind: k, Bounds: changed, Source: Observed, By: ByELB, Evidence: evidence})
		}
	}
	if _, gone := find(ft.Milestones, Detached); gone {
		if row != nil && row.Draining() {
			ft.putBackUnseen(changed)
		} else if task.Leaving() {
			return // whatever has the address now, it is not this task
		}
	}
	reincarnated := row != nil && ft.state == fleet.TargetDraining && !row.Draining() && task.Leaving()
	if out := row == nil || row.Draining() || reincarnated; out && ft.again && stepOf(ft.state) == 2 {
		ft.widen(Detach, changed.NotAfter) // it was there once more, and may have been in service until now
	}
	ft.turn(row != nil && row.Healthy() && !reincarnated, changed)
	switch {
	case row == nil && ft.state == "":
		return // not registered yet
	case row == nil || reincarnated:
		left := gone(g, ft.Key)
		observe(Detach, left)
		observe(Detached, left)
		ft.state = ""
		return
	case row.Draining():
		observe(Detach, "target state draining")
	default:
		// Registered again, it is out of service until its checks pass: only then did
		// what took it out not last.
		again := ft.state != fleet.TargetInitial
		if ft.state == "" { // first seen: only a call of castoff's own can have taken it out
			again = !ft.call.NotBefore.IsZero() && read.Earliest().After(ft.call.NotBefore)
		}
		if row.State == fleet.TargetInitial && again {
			observe(Detach, "target state initial: registered again")
		}
		if !task.Leaving() || ft.state == fleet.TargetInitial { // put back before it was told to leave
			ft.Milestones = drop(ft.Milestones, Detached)
			if row.State == fleet.TargetHealthy {
				ft.again, ft.Milestones = false, drop(ft.Milestones, Detach)
			}
		}
		if row.Unhealthy() && (ft.own == read || !task.Gone()) { // it may be the next task's
			ft.sick = true
			if len(ft.Good) > 0 && ft.Good[0].To.NotBefore.Before(changed.NotBefore) && !ft.Good[0].To.NotAfter.IsZero() {
				changed.NotBefore = ft.Good[0].To.NotBefore // it may have been so for a moment before it was taken out
			}
			observe(LBUnhealthy, "target state "+string(row.State))
		}
	}
	ft.state = row.State
}

// gone says in what way a group has no row of a task's own.
func gone(g *fleet.TargetGroup, key fleet.TargetKey) string {
	for i := range g.Targets {
		if t := &g.Targets[i]; t.Key == key && t.Unused() && t.Reason != "" {
			return "the row is unused, " + t.Reason
		}
	}
	return "the row is gone"
}

// upSince reports that the task may have been up at some time after an instant.
func (f *failure) upSince(at time.Time) bool {
	left, stopped := f.deactivating.NotAfter, f.task.StoppedAt
	return (left.IsZero() || at.Before(left)) && (stopped.IsZero() || at.Before(stopped))
}

// inService is how soon a target that is registered can be healthy. Nothing less
// than two checks five seconds apart can be set.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html
func inService(g *fleet.TargetGroup) time.Duration {
	if g == nil {
		return 5 * time.Second
	}
	return time.Duration(max(2, g.Check.HealthyThreshold)-1) * max(5*time.Second, g.Check.Interval)
}

// glance is how long a row may be unwatched before anything is made of it: a pass
// or two.
const glance = 10 * time.Second

// unwatched is for a row that nobody has looked at for so long that ECS, which
// does that while the task is up, may have put it back, and it was in service and
// taken out again. One that was back already may pass its checks at any moment, and
// one that goes before they pass has gone at once: for these a glance is enough.
func (f *failure) unwatched(ft *failingTarget, row *fleet.Target, g *fleet.TargetGroup) {
	gap := g.Read.Received.Sub(ft.read.Earliest())
	out := row == nil || row.Draining()
	upTo := func(k Kind) time.Time {
		if end := f.wayEnds(k); row == nil && !end.IsZero() && end.Before(g.Read.Received) {
			return end
		}
		return g.Read.Received
	}
	if gap > inService(g) || gap > glance && out && ft.state == fleet.TargetInitial {
		ft.again = ft.widen(Detach, upTo(Detach)) || ft.again
	}
	if gap > glance {
		ft.widen(Detached, upTo(Detached))
	}
}

// maybeAgain is what a milestone's evidence says where that may be so.
const maybeAgain = "; it may have been put back and taken out again unseen"

// widen has a milestone be as late as that.
func (ft *failingTarget) widen(k Kind, upTo time.Time) bool {
	m, ok := find(ft.Milestones, k)
	if !ok {
		return false
	}
	m.Evidence = attributions.Replace(m.Evidence) + maybeAgain // of the last time nobody said anything yet
	m.NotAfter = upTo
	ft.Milestones = set(ft.Milestones, m)
	return true
}

// putBackUnseen takes a row that was gone, and drains now, for what it is.
func (ft *failingTarget) putBackUnseen(changed Bounds) {
	ft.again = true
	ft.Milestones = drop(ft.Milestones, Detached)
	if m, ok := find(ft.Milestones, Detach); ok {
		m.NotAfter = changed.NotAfter
		m.Evidence = attributions.Replace(m.Evidence) + ", and put back and taken out again unseen"
		ft.Milestones = set(ft.Milestones, m)
	}
}

// turn notes the begin or the end of a time for which the row is good.
func (ft *failingTarget) turn(good bool, changed Bounds) {
	n := len(ft.Good)
	was := n > 0 && ft.Good[n-1].To.NotAfter.IsZero()
	switch {
	case good && n == 0 && ft.state == "": // since when, nobody saw
		ft.Good = append(ft.Good, Span{})
	case good && !was:
		ft.Good = append(ft.Good, Span{From: changed})
	case !good && was:
		ft.Good[n-1].To = changed
	}
}

// summarise derives the timeline's own milestones from those of its rows.
func (f *failure) summarise(t *Tracker, s *fleet.Snapshot) {
	f.tl.Targets = f.tl.Targets[:0]
	var lb Bounds
	out, gone := way{unread: f.blind}, way{unread: f.blind}
	for i := range f.targets {
		ft := &f.targets[i]
		if m, ok := find(ft.Milestones, LBUnhealthy); ok {
			lb = earlier(lb, m.Bounds)
		}
		if m, ok := find(ft.Milestones, Detach); ok {
			switch who := f.attribute(m, ft.call.Bounds, ft.call.pending, t.settings.CallLag, inService(s.TargetGroup(ft.Key.Group))); {
			case !ft.again:
				m = who
			case m.By == ByELB: // as it was first seen
				m.By = who.By // of the last time the likeliest
			}
			ft.Milestones = set(ft.Milestones, m)
			if d, ok := find(ft.Milestones, Detached); ok { // no sooner
				d.Bounds = within(d.Bounds, Bounds{NotBefore: m.NotBefore})
				ft.Milestones = set(ft.Milestones, d)
			}
			if n := len(ft.Good); n > 0 && !ft.Good[n-1].To.NotAfter.IsZero() {
				// No later; the balancer may have called it unhealthy unseen, just before.
				ft.Good[n-1].To = within(ft.Good[n-1].To, Bounds{NotAfter: m.NotAfter})
			}
		}
		unread := t.unread(ft, s)
		out.add(ft, Detach, unread)
		gone.add(ft, Detached, unread)
		f.tl.Targets = append(f.tl.Targets, ft.Target)
	}
	switch m, _ := f.tl.Milestone(LBUnhealthy); {
	case !lb.NotAfter.IsZero():
		f.set(Milestone{Kind: LBUnhealthy, Bounds: lb, Source: Observed, By: ByELB, Evidence: "target state unhealthy"})
	case m.Source == Observed: // it was the next task's
		f.drop(LBUnhealthy)
		if f.byTarget() {
			f.drop(Onset)
		}
	}
	f.tl.Unread = out.unread
	if svc := s.Service(f.tl.Service); svc != nil && svc.Gateway == fleet.GatewayConnected {
		f.tl.Gateway = true
	}
	f.summariseWay(Detach, out)
	f.summariseWay(Detached, gone)
}

// unread reports that what is known of a row may long be over.
func (t *Tracker) unread(ft *failingTarget, s *fleet.Snapshot) bool {
	g := s.TargetGroup(ft.Key.Group)
	return g == nil || g.Read.Never() || t.blindTo(ft, s.At)
}

// way is how far the rows have come on their way out.
type way struct {
	there   []Milestone // of those that are there
	missing bool        // one is not
	unread  bool        // one cannot be read
	// since is the latest since when one that cannot be read may have got there,
	// and who was seen to do it; zero: none was ever read.
	since time.Time
	by    Actor
}

func (w *way) add(ft *failingTarget, k Kind, unread bool) {
	m, ok := find(ft.Milestones, k)
	switch {
	case unread:
		w.unread = true
		if !ok { // any time since it was read
			m.NotBefore, m.By = ft.read.Earliest(), ByECS
		}
		if m.NotBefore.After(w.since) { // it may have been put back meanwhile, and taken out again
			w.since, w.by = m.NotBefore, m.By
		}
	case ok:
		w.there = append(w.there, m)
	default:
		w.missing = true
	}
}

// wayEnds is by when ECS has got each row of the task there, seen or not: it
// deregisters them in DEACTIVATING, and goes on to STOPPING when they are gone. A
// task that ended by itself, or with its host, does not wait. Zero: nobody knows.
func (f *failure) wayEnds(k Kind) time.Time {
	interrupted := k == Detached && f.task.StopCode == "SpotInterruption" // ECS has two minutes, however long the drain
	if trigger, _ := cause(f.task); trigger == Exit || abrupt(f.task) || interrupted {
		return time.Time{}
	}
	return f.stopping.NotAfter
}

// summariseWay says when the last of the rows got there, once all have. Of rows
// that cannot be read only ECS's own order is known.
func (f *failure) summariseWay(k Kind, w way) {
	all := w.there
	if w.unread {
		if w.missing || f.wayEnds(k).IsZero() {
			f.drop(k)
			return
		}
		m := Milestone{Kind: k, Source: Observed, By: ByECS, Bounds: ordered(f.deactivating.NotBefore, f.stopping.NotAfter),
			Evidence: "between lastStatus DEACTIVATING and STOPPING; a target group could not be read"}
		if !w.since.IsZero() {
			m.Bounds, m.By = ordered(w.since, f.stopping.NotAfter), w.by
			m.Evidence = "before lastStatus STOPPING; a target group could not be read any more"
		}
		all = append(all, m)
	}
	if w.missing || len(all) == 0 {
		f.drop(k)
		return
	}
	last := all[0]
	for _, m := range all[1:] {
		from := last.NotBefore
		if m.NotAfter.After(last.NotAfter) {
			last = m
		}
		for _, at := range []time.Time{from, m.NotBefore} {
			if at.After(last.NotBefore) {
				last.NotBefore = at
			}
		}
	}
	f.set(last)
}

// abrupt reports that a task was over at once, as when its host is lost: no step of
// its way out took any time.
func abrupt(t *fleet.Task) bool {
	return t.Gone() && !t.StoppedAt.IsZero() && !t.StoppedAt.After(t.StoppingAt)
}

// within are the bounds of an instant of which two are known; where they do not
// meet, which only a clock that was set can do, the first.
func within(a, b Bounds) Bounds {
	c := a
	if b.NotBefore.After(c.NotBefore) {
		c.NotBefore = b.NotBefore
	}
	if !b.NotAfter.IsZero() && b.NotAfter.Before(c.NotAfter) {
		c.NotAfter = b.NotAfter
	}
	if c.NotAfter.Before(c.NotBefore) {
		return a
	}
	return c
}

// blindTo reports that the row's group has not been readable for so long that
// what it last said must not hold up the rest.
func (t *Tracker) blindTo(ft *failingTarget, now time.Time) bool {
	return ft.read.Age(now) > t.settings.RecoveryWindow
}
