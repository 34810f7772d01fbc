package timeline

import (
	"cmp"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// failure is a timeline in the making, with what its next milestones are
// reasoned from.
type failure struct {
	tl *Timeline
	// muted: the task is still in its grace period. Nobody hears of it until that is
	// over.
	muted bool
	// announced: the timeline has been reported as opened.
	announced  bool
	task       *fleet.Task // last reading
	wasHealthy bool        // the reading before the failure was HEALTHY
	wasKnown   bool        // there was a reading before the failure
	sick       fleet.Read  // the latest reading that showed the failure; received when its pass was over
	evidence   time.Time   // of the latest reading that showed the task sick or well

	// When the task was seen to have reached these steps, if it was.
	deactivating Bounds
	stopping     Bounds

	targets []failingTarget // sorted by key
	// blind: a group that the task may have a row in was never read.
	blind   bool
	serving []servingTarget // rows of the replacement
}

// live reports that more may come.
func (f *failure) live() bool { return f.tl.Closed.IsZero() }

func (f *failure) set(m Milestone)   { f.tl.Milestones = set(f.tl.Milestones, m) }
func (f *failure) drop(k Kind)       { f.tl.Milestones = drop(f.tl.Milestones, k) }
func (f *failure) known(k Kind) bool { _, ok := f.tl.Milestone(k); return ok }

// update takes in what the snapshot has on the task and on its rows.
func (f *failure) update(t *Tracker, s *fleet.Snapshot) {
	was := t.prev.Task(f.tl.Task)
	is := s.Task(f.tl.Task)
	if is != nil && is != f.task {
		f.readTask(t, s, was, is)
		f.task = is
	}
	f.readTargets(t, s)
	f.summarise(t, s)
	f.estimateOnset(t, s)
	f.judge(t, s)
}

// readTask takes in a new reading of the task.
func (f *failure) readTask(t *Tracker, s *fleet.Snapshot, was, is *fleet.Task) {
	f.tl.StopCode, f.tl.StoppedReason = is.StopCode, is.StoppedReason
	changed := since(t.before(was, is), is.Read, is.Created)
	if f.task == nil {
		f.wasKnown = was != nil || t.calm.knew(is)
		if was != nil {
			_, f.wasHealthy = was.Checks(s.Definitions[f.tl.Definition])
			f.wasHealthy = f.wasHealthy || t.dark[is.ARN].Well
		}
	}
	if is.Failing() && !is.Leaving() && !f.known(Unhealthy) {
		if was != nil && was.Failing() { // nobody saw it turn
			changed = since(fleet.Read{}, was.Read, is.Created)
		}
		f.set(Milestone{Kind: Unhealthy, Bounds: changed, Source: Observed, By: ByECS, Evidence: "healthStatus UNHEALTHY in DescribeTasks"})
	}
	f.readStop(was, is, changed)
	if is.Gone() && !f.known(Stopped) {
		m := Milestone{Kind: Stopped, Bounds: changed, Source: Observed, By: ByECS, Evidence: "lastStatus STOPPED"}
		if !is.StoppedAt.IsZero() {
			m.Bounds, m.Source, m.Evidence = At(is.StoppedAt), AWS, "stoppedAt"
		}
		f.set(m)
	}
	if f.tl.Trigger == Exit && f.tl.Container == "" {
		f.tl.Container = is.Exited(s.Definitions[f.tl.Definition])
	}
	if f.tl.Trigger == Exit && !f.known(Onset) {
		before := t.beforeFailure(was, is)
		before = fleet.Read{Sent: t.heard(f.tl.Task, before.Earliest(), t.settings.ExitLag), Received: before.Received}
		f.set(exitOnset(before, is, t.settings.ExitLag))
	}
}

// readStop bounds the task's way out. Whether AWS stamps stoppingAt on
// DEACTIVATING or on STOPPING is not known, and both readings must come out
// right: a stamp seen while DEACTIVATING was made there; one that appears
// between a DEACTIVATING reading without it and a later step was made on
// STOPPING; otherwise it is only the earliest that either can have been.
func (f *failure) readStop(was, is *fleet.Task, changed Bounds) {
	stamp := is.StoppingAt
	reached := func(step fleet.TaskStatus) Bounds {
		if was != nil && was.LastStatus.AtLeast(step) { // before this timeline was opened
			return since(fleet.Read{}, was.Read, is.Created)
		}
		return changed
	}
	if is.LastStatus.AtLeast(fleet.Deactivating) && f.deactivating.NotAfter.IsZero() {
		f.deactivating = reached(fleet.Deactivating)
	}
	if is.LastStatus == fleet.Deactivating && !stamp.IsZero() {
		f.deactivating = At(stamp)
	}
	if !is.LastStatus.AtLeast(fleet.Stopping) || !f.stopping.NotAfter.IsZero() {
		return
	}
	f.stopping = reached(fleet.Stopping)
	m := Milestone{Kind: Stopping, Bounds: f.stopping, Source: Observed, By: ByECS, Evidence: "lastStatus " + string(is.LastStatus)}
	switch {
	case stamp.IsZero():
	case was != nil && was.LastStatus == fleet.Deactivating && was.StoppingAt.IsZero():
		m.Bounds, m.Source, m.Evidence = At(stamp), AWS, "stoppingAt"
	default:
		if stamp.After(m.NotBefore) && !stamp.After(m.NotAfter) {
			m.NotBefore = stamp
		}
		if stopped := upTo(is.ExecutionStopped); !stopped.IsZero() && stopped.Before(m.NotAfter) && !stopped.Before(m.NotBefore) {
			m.NotAfter = stopped
		}
		m.Evidence += ", stoppingAt"
	}
	f.set(m)
}

// estimateOnset reasons back from the milestone that made the failure known.
func (f *failure) estimateOnset(t *Tracker, s *fleet.Snapshot) {
	if f.known(Onset) {
		return
	}
	switch f.tl.Trigger {
	case ContainerCheck:
		unhealthy, ok := f.tl.Milestone(Unhealthy)
		if !ok {
			return
		}
		verdict := unhealthy.Bounds
		verdict.NotBefore = t.heard(f.tl.Task, verdict.NotBefore, t.settings.ReportLag)
		m, by, ok := containerOnset(f.task, s.Definitions[f.tl.Definition], verdict, f.wasHealthy, t.settings.ReportLag)
		if !ok {
			return
		}
		f.tl.Container, f.tl.Check = by.Name, by.Check
		f.set(m)
	case TargetCheck:
		lb, ok := f.tl.Milestone(LBUnhealthy)
		if !ok {
			return
		}
		var g *fleet.TargetGroup
		wasHealthy := false
		for _, key := range f.task.Targets {
			if row := s.Target(key); row != nil && row.Unhealthy() {
				g = s.TargetGroup(key.Group)
				before := t.prev.Target(key)
				wasHealthy = before != nil && before.Healthy()
				break
			}
		}
		f.set(targetOnset(f.task, g, lb.Bounds, wasHealthy, t.settings.ReportLag))
	}
}

// judge decides whether the task is sick or well by the latest reading of each
// thing that can tell, and bounds its recovery: after the last reading that
// showed one of them sick, and before all of them had been read well.
func (f *failure) judge(t *Tracker, s *fleet.Snapshot) {
	if f.task.Leaving() {
		return
	}
	sick, served := f.task.Failing(), false
	unsure := !f.byTarget() && !f.task.Read.Earliest().After(f.sick.Received)
	sickAt, wellAt := fleet.Read{}, f.task.Read
	if sick {
		sickAt = f.task.Read
	}
	if f.byTarget() {
		wellAt = fleet.Read{}
	}
	for i := range f.targets {
		ft := &f.targets[i]
		if t.blindTo(ft, s.At) {
			continue
		}
		switch ft.state {
		case fleet.TargetUnhealthy, fleet.TargetUnhealthyDraining:
			sick = true
			sickAt = later(sickAt, ft.read)
		case fleet.TargetHealthy:
			served = true
		}
		if ft.sick || f.byTarget() {
			wellAt = later(wellAt, ft.read)
			// Well in the pass that read another one sick is not yet well after it.
			unsure = unsure || !ft.read.Earliest().After(f.sick.Received)
		}
	}
	if sick {
		if f.known(Recovery) {
			f.drop(Recovery)
			f.tl.Flaps++
		}
		if sickAt.Sent.After(f.sick.Sent) {
			f.sick = fleet.Read{Sent: sickAt.Sent, Received: s.At, Behind: sickAt.Behind}
		}
		f.evidence = f.sick.Sent
		return
	}
	_, well := f.task.Checks(s.Definitions[f.tl.Definition])
	if f.byTarget() {
		well = served
	}
	if !well {
		return
	}
	f.evidence = wellAt.Sent
	if unsure || f.known(Recovery) {
		return
	}
	f.set(Milestone{Kind: Recovery, Bounds: since(f.sick, wellAt, f.task.Created), Source: Observed, By: ByApp,
		Evidence: "no check fails any more"})
}

// byTarget reports that only the balancer has complained: then it is the
// balancer who says when the task is well, for a task without a check of its own
// is never HEALTHY.
func (f *failure) byTarget() bool { return f.tl.Trigger == TargetCheck && !f.known(Unhealthy) }

func later(a, b fleet.Read) fleet.Read {
	if b.Sent.After(a.Sent) {
		return b
	}
	return a
}

// conclude gives the timeline its outcome when it has one, closes it when no
// more is to come, and reports what became public in this snapshot.
func (f *failure) conclude(t *Tracker, s *fleet.Snapshot, changes *Changes) {
	if !f.live() {
		return
	}
	if f.muted {
		if f.unmute(s); f.muted {
			return
		}
	}
	if !f.announced {
		f.announced = true
		f.tl.Opened = s.At
		changes.Opened = append(changes.Opened, f.tl.Clone())
	}
	if f.tl.Outcome == "" {
		f.tl.Outcome = f.outcome(t, s)
	}
	switch f.tl.Outcome {
	case "":
		return
	case Retired, Superseded:
		if !f.settled(t, s) {
			return
		}
	}
	f.tl.Closed = s.At
	if f.tl.Replacement != "" {
		t.taken[f.tl.Replacement] = true
	}
	if known, ok := f.tl.Known(); ok && f.tl.Outcome == Recovered {
		t.recovered[f.tl.Task] = Survived{Since: known.NotBefore, Replacement: f.tl.Replacement}
	}
	changes.Closed = append(changes.Closed, f.tl.Clone())
}

// unmute makes a failing boot a failure once its grace is over or ECS has
// stopped it for that, and lets go of one that passed.
func (f *failure) unmute(s *fleet.Snapshot) {
	_, failed := cause(f.task)
	switch {
	case f.task.Leaving() && failed:
		f.muted = false
	case s.Task(f.tl.Task) == nil || f.task.Leaving() || f.known(Recovery):
		f.tl.Closed = s.At
	case !booting(s, f.task, f.known(LBUnhealthy)):
		f.muted = false
	}
}

func (f *failure) outcome(t *Tracker, s *fleet.Snapshot) Outcome {
	if stopped := f.known(Stopped); stopped {
		if _, ok := cause(f.task); ok {
			return Retired
		}
		return Superseded
	}
	if s.Task(f.tl.Task) == nil || f.lost(s.At.Add(-t.settings.LostAfter)) {
		return Lost
	}
	if m, ok := f.tl.Milestone(Recovery); ok && !f.task.Leaving() && f.wellUntil(t, s.At).Sub(m.NotAfter) >= t.settings.RecoveryWindow {
		return Recovered
	}
	return ""
}

// lost reports that nothing since then has shown whether the task is sick, well
// or on its way out.
func (f *failure) lost(since time.Time) bool {
	if f.task.Leaving() || f.evidence.IsZero() {
		return f.task.Read.Sent.Before(since)
	}
	return f.evidence.Before(since)
}

// wellUntil is the latest instant for which there is evidence of health. The
// clock going on is none.
func (f *failure) wellUntil(t *Tracker, now time.Time) time.Time {
	until := f.task.Read.Earliest()
	if f.byTarget() {
		for i := range f.targets {
			if !t.blindTo(&f.targets[i], now) && f.targets[i].read.Earliest().Before(until) {
				until = f.targets[i].read.Earliest()
			}
		}
	}
	return until
}

// settled reports that a stopped task's timeline has nothing left to wait for.
func (f *failure) settled(t *Tracker, s *fleet.Snapshot) bool {
	stopped, _ := f.tl.Milestone(Stopped)
	if s.At.Sub(stopped.NotAfter) >= t.settings.SettleWindow {
		return true
	}
	if len(f.targets) > 0 && !f.known(Detached) {
		return false
	}
	left := cmp.Or(f.deactivating, stopped.Bounds).NotAfter
	for i := range f.targets {
		if f.targets[i].read.Earliest().Before(left) {
			return false // ECS may have put it back since
		}
	}
	svc := s.Service(f.tl.Service)
	if f.tl.Outcome != Retired || svc == nil || !svc.Active() {
		return true // nobody means to replace it
	}
	if svc.Balanced() {
		return f.known(ReplacementServing)
	}
	return f.known(ReplacementRunning)
}
