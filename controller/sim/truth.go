package sim

import (
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Cause is what made a task fail.
type Cause string

// The causes.
const (
	Hang         Cause = "hang"          // the app takes requests and stays silent; its front still accepts TCP
	Crash        Cause = "crash"         // the app is dead behind a front that still accepts TCP
	FrontDead    Cause = "front_dead"    // the front is dead: connections are refused
	Exit         Cause = "exit"          // an essential container ended by itself
	NeverStarted Cause = "never_started" // TaskFailedToStart
	Slow         Cause = "slow"          // not up before its checks ran out of patience

	Slowed         Cause = "slowed"     // the app answers, but late
	Flapping       Cause = "flapping"   // the app hangs and answers by turns
	Overload       Cause = "overload"   // more new flows reach the app than it can bear
	ZoneDown       Cause = "zone"       // an [Outage] of its zone
	DependencyDown Cause = "dependency" // an [Outage] of what its service depends on
)

// Actor is who deregistered a target.
type Actor string

// The actors.
const (
	ByECS Actor = "ecs"
	ByAPI Actor = "api" // a caller of DeregisterTargets
)

// Truth is what really happened to a failing task, to the millisecond. A zero
// time means that it did not happen, or has not yet.
type Truth struct {
	Task    fleet.TaskARN
	Service fleet.ServiceID // zero for a standalone task
	Cause   Cause

	Onset     time.Time // the app stopped answering, or failed to start
	Exited    time.Time // an essential container ended by itself, maybe some time after the onset
	Unhealthy time.Time // DescribeTasks began to say UNHEALTHY
	Answering time.Time // the app answers again
	Again     time.Time // it stopped again, before anybody had seen that it had, or that it answered
	Recovery  time.Time // AWS says so: its essential containers' checks pass or, where only the balancer saw it, its targets

	Targets []TargetTruth // one a target group, in the service's order

	Deactivating     time.Time // lastStatus DEACTIVATING, which may be before the onset
	Stopping         time.Time // lastStatus STOPPING: SIGTERM
	StoppingStamp    time.Time // stoppingAt
	ExecutionStopped time.Time // executionStoppedAt
	Stopped          time.Time // stoppedAt
	StopCode         string
	StoppedReason    string

	// Replacement is the task started for this one's slot. When it dies before it
	// is healthy, the next one started for the slot takes its place here.
	Replacement        fleet.TaskARN
	ReplacementCreated time.Time
	ReplacementRunning time.Time
	ReplacementServing time.Time // all its targets healthy; zero in a service without any
}

// TargetTruth is what happened to one of the task's targets. Put back, and
// healthy again, a target has not been detached.
type TargetTruth struct {
	Key         fleet.TargetKey
	LBUnhealthy time.Time // the balancer first said unhealthy
	Detach      time.Time // deregistration began, which may be before the onset
	By          Actor     // who began it
	// Earlier is the Detach before that one, and Back when the target was in service
	// again between them, if it was. Whether one before the onset counts for this
	// failure is a matter of words.
	Earlier  time.Time
	Back     time.Time
	Detached time.Time // its row was gone
	// LastFlow is when the last new flow reached it, or will: propagation over, or
	// the task ended. Zero while it is in service, and if none ever did.
	LastFlow time.Time
	// Exposed is for how long the balancer called it healthy while ECS called the
	// task UNHEALTHY; Flowing for how long, since the onset, new flows could reach
	// it and were not answered. Both on the region's clock, all times added up.
	Exposed time.Duration
	Flowing time.Duration
	// Flows is how many new flows that was, Streams how many long-lived ones are
	// pinned to the task now. Both need [Traffic].
	Flows   float64
	Streams float64
}

// failure is a Truth being written.
type failure struct {
	Truth
	task    *task
	by      *task
	exposed []meter // by target
	flowing []meter
	reached []bool // new flows reach it
}

// meter adds up the times for which something is so.
type meter struct {
	since time.Time // zero while it is not
	sum   time.Duration
}

func (m *meter) set(so bool, at time.Time) {
	if !m.since.IsZero() {
		m.sum += at.Sub(m.since)
		m.since = time.Time{}
	}
	if so {
		m.since = at
	}
}

// measure brings the meters up to now: to be called whenever a row, the way of
// flows to it, the task's health or the task itself has changed.
func (f *failure) measure() {
	now := f.task.region.now
	for i, target := range f.task.targets {
		w, l := target.group.rows[target.key], target.group.lanes[target.key]
		good := f.task.alive && w != nil && w.task == f.task && w.state == fleet.TargetHealthy
		f.exposed[i].set(good && f.task.health == fleet.Unhealthy, now)
		reached := l != nil && l.share > 0 && l.to == f.task && f.task.alive
		f.flowing[i].set(reached && !l.answered, now)
		switch {
		case reached:
			f.Targets[i].LastFlow = l.ends()
		case f.reached[i]:
			f.Targets[i].LastFlow = now
		}
		f.reached[i] = reached
	}
}

// Truth tells of every task that has failed, in the order of the onsets. A task
// that recovered and fails again is told of again.
func (r *Region) Truth() []Truth {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	all := make([]Truth, 0, len(r.truths))
	for _, f := range r.truths {
		all = append(all, f.told())
	}
	slices.SortStableFunc(all, func(a, b Truth) int { return a.Onset.Compare(b.Onset) })
	return all
}

func (f *failure) told() Truth {
	t := f.Truth
	t.StoppingStamp, t.ExecutionStopped, t.Stopped = f.task.stoppingAt, f.task.executionStopped, f.task.stopped
	t.StopCode, t.StoppedReason = f.task.stopCode, f.task.stoppedReason
	f.measure()
	for i, target := range f.task.targets {
		target.group.settleFlows()
		told := &f.Targets[i]
		told.Exposed, told.Flowing, told.Streams = f.exposed[i].sum, f.flowing[i].sum, 0
		if l := target.group.lanes[target.key]; l != nil && l.to == f.task {
			told.Streams = l.streams
		}
	}
	t.Targets = slices.Clone(f.Targets)
	if by := f.by; by != nil {
		t.Replacement, t.ReplacementCreated, t.ReplacementRunning, t.ReplacementServing = by.arn, by.created, by.started, by.servingAt
	}
	return t
}

// fail opens a record for the task, unless it is failing already.
func (t *task) fail(c Cause) *failure {
	r := t.region
	if f := t.failure; f != nil && f.Recovery.IsZero() {
		if !f.Answering.IsZero() && f.Unhealthy.IsZero() && !f.balancerSaw() && !t.suspected() {
			// Nobody saw the last time, nor will: no check has failed since the last that passed.
			f.Cause, f.Onset, f.Answering = c, r.now, time.Time{}
		} else if !f.Answering.IsZero() && f.Unhealthy.IsZero() && !f.balancerSaw() {
			f.Again = r.now
		}
		return f
	}
	n := len(t.targets)
	f := &failure{task: t, exposed: make([]meter, n), flowing: make([]meter, n), reached: make([]bool, n)}
	f.Task, f.Cause, f.Onset, f.Deactivating = t.arn, c, r.now, t.deactivated
	if t.service != nil {
		f.Service = fleet.ServiceID{Cluster: t.cluster.name, Name: t.service.spec.Name}
	}
	for _, target := range t.targets {
		f.Targets = append(f.Targets, TargetTruth{Key: target.key, Detach: target.left, Detached: target.gone, By: target.by})
	}
	t.failure = f
	f.measure()
	r.truths = append(r.truths, f)
	return f
}

// suspected reports that a container's checks have begun to fail: what they will
// tell of began when they did, whether or not the app answered between two of them.
func (t *task) suspected() bool {
	return slices.ContainsFunc(t.containers, func(c *container) bool { return c.probe != nil && c.probe.failed > 0 })
}

func (f *failure) balancerSaw() bool {
	return slices.ContainsFunc(f.Targets, func(t TargetTruth) bool { return !t.LBUnhealthy.IsZero() })
}

// seen is the record of a task that AWS has found failing; it may be AWS that
// notices first, when a task is slow to start.
func (t *task) seen() *failure {
	if t.failure == nil || !t.failure.Recovery.IsZero() {
		f := t.fail(Slow)
		if t.app != answering {
			f.Onset = t.started
		}
	}
	return t.failure
}

func (t *task) truthHealth() {
	now := t.region.now
	defer t.measure()
	switch {
	case t.health == fleet.Unhealthy:
		if f := t.seen(); f.Unhealthy.IsZero() {
			f.Unhealthy = now
		}
	case t.passes() && t.failure != nil && !t.failure.Unhealthy.IsZero() && t.failure.Recovery.IsZero():
		t.failure.Recovery = now
	}
}

func (t *task) measure() {
	if t.failure != nil {
		t.failure.measure()
	}
}

// passes reports that every check of the task's essential containers passes, as
// far as ECS knows: the task may read UNKNOWN all the same, for the sake of one
// without a check.
func (t *task) passes() bool {
	for _, c := range t.containers {
		if c.spec.Check != nil && !c.spec.NotEssential && c.reported != fleet.Healthy {
			return false
		}
	}
	return true
}

// truthTargets notes when all the task's targets are healthy.
func (t *task) truthTargets() {
	t.measure()
	for _, target := range t.targets {
		if w := target.group.rows[target.key]; w == nil || w.state != fleet.TargetHealthy {
			return
		}
	}
	if t.servingAt.IsZero() {
		t.servingAt = t.region.now
	}
	if f := t.failure; f != nil && f.Unhealthy.IsZero() && f.Recovery.IsZero() && f.balancerSaw() {
		f.Recovery = t.region.now
	}
}

// target finds the record of a row in that of the task that it was registered
// for; nil when that task is not failing.
func (w *row) target() (*failure, int) {
	if w.task == nil || w.task.failure == nil {
		return nil, 0
	}
	f := w.task.failure
	return f, slices.IndexFunc(f.Targets, func(t TargetTruth) bool { return t.Key == w.key })
}

// failing finds the record of whom a way leads to; nil when nobody failing.
func (l *lane) failing() (*failure, int) {
	if l.to == nil || l.to.failure == nil || l.index < 0 {
		return nil, 0
	}
	return l.to.failure, l.index
}

func (w *row) truthUnhealthy() {
	if w.task == nil {
		return
	}
	w.task.seen()
	if f, i := w.target(); f.Targets[i].LBUnhealthy.IsZero() {
		f.Targets[i].LBUnhealthy = w.task.region.now
	}
}

// inherit has the row be another task's, which has its address now. A target that is
// unhealthy fails from then on, as far as anybody can tell, until its checks pass.
func (w *row) inherit(t *task) {
	w.task = t
	if w.sick {
		if f := t.seen(); f.Onset.IsZero() {
			f.Onset = t.region.now
		}
		w.truthUnhealthy()
	}
	t.truthTargets()
}

// registration is the place that the row is of; nil when of none.
func (w *row) registration() *registration {
	if w.task == nil {
		return nil
	}
	i := slices.IndexFunc(w.task.targets, func(g *registration) bool { return g.key == w.key })
	if i < 0 {
		return nil
	}
	return w.task.targets[i]
}

func (w *row) truthDetach(by Actor) {
	if g := w.registration(); g != nil && g.left.IsZero() {
		g.left, g.by = w.task.region.now, by
	}
	f, i := w.target()
	if f == nil {
		return
	}
	if t := &f.Targets[i]; t.Detach.Before(f.Onset) { // or there was none
		if !t.Detach.IsZero() {
			t.Earlier, t.Back = t.Detach, time.Time{}
		}
		t.Detach, t.By = w.task.region.now, by
	}
}

func (w *row) truthDetached() {
	if g := w.registration(); g != nil {
		g.gone = w.task.region.now
	}
	if f, i := w.target(); f != nil {
		f.Targets[i].Detached = w.task.region.now
	}
}

// over reports that the row is of no use to its task any more: what is registered when
// it is STOPPING already is not put back.
func (w *row) over() bool { return w.task != nil && w.task.status.AtLeast(fleet.Stopping) }

func (w *row) truthRegistered() {
	if w.over() {
		return
	}
	if g := w.registration(); g != nil {
		g.gone = time.Time{}
	}
	if f, i := w.target(); f != nil {
		f.Targets[i].Detached = time.Time{}
	}
}

// truthServing: a target that was put back is in service again.
func (w *row) truthServing() {
	if w.over() {
		return
	}
	if g := w.registration(); g != nil {
		g.left, g.by = time.Time{}, ""
	}
	if f, i := w.target(); f != nil {
		t := &f.Targets[i]
		if !t.Detach.IsZero() {
			t.Earlier, t.Back = t.Detach, w.task.region.now
		}
		t.Detach, t.By = time.Time{}, ""
	}
}

// truthStatus notes the instants of a failing task's end that AWS does not stamp.
func (t *task) truthStatus() {
	t.measure()
	if t.status == fleet.Deactivating {
		t.deactivated = t.region.now
	}
	if t.failure == nil {
		return
	}
	switch t.status {
	case fleet.Deactivating:
		t.failure.Deactivating = t.region.now
	case fleet.Stopping, fleet.Deprovisioning, fleet.Stopped:
		if f := t.failure; f.Stopping.IsZero() && f.Cause != NeverStarted { // one that loses its host skips STOPPING
			f.Stopping = t.region.now
		}
	}
}

// truthReplacement notes which task was started in this one's place.
func (t *task) truthReplacement(by *task) {
	if t.failure != nil {
		t.failure.by = by
	}
}
