package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// forget is for how long what is known of a task is kept after its last
// reading, when it is not in the snapshot: after a restart it takes a while to
// find every task again.
const forget = time.Hour

// remember brings the state up to date with the snapshot.
func (v *Look) remember() {
	v.watch()
	v.note()
	v.latch()
	now := plain(v.Now)
	v.state.Buckets = slices.DeleteFunc(v.state.Buckets, func(b Bucket) bool { return !b.Full.After(now) })
}

// failedCheck is the container that castoff acts on: the likeliest to have made ECS
// call the task UNHEALTHY, where its check is one of the definition's.
//
// The task's healthStatus alone would not tell it: it also reads UNHEALTHY for
// reasons that no check of the definition stands for.
func failedCheck(t *fleet.Task, def *fleet.TaskDefinition) (by fleet.Suspect, ok bool) {
	if !t.Failing() {
		return by, false
	}
	suspects := t.Suspects(def)
	i := slices.IndexFunc(suspects, fleet.Suspect.Decides)
	if i < 0 {
		return by, false
	}
	return suspects[i], true
}

// passing reports that the task is healthy by every check that counts. That the agent
// is there to tell is for the caller to see.
func passing(t *fleet.Task, def *fleet.TaskDefinition) bool {
	if t.Failing() || t.LastStatus != fleet.Running {
		return false
	}
	_, passed := t.Checks(def)
	return passed
}

// watch counts readings.
func (v *Look) watch() {
	detached := make(map[fleet.TaskARN]bool, len(v.Detachments))
	for i := range v.Detachments {
		if v.Detachments[i].Open() {
			detached[v.Detachments[i].Task] = true
		}
	}
	was := v.state.Watches
	var watches []Watch
	for _, t := range v.Snapshot.Tasks {
		for len(was) > 0 && was[0].Task < t.ARN {
			if v.Now.Sub(was[0].Read) < forget {
				watches = append(watches, was[0])
			}
			was = was[1:]
		}
		w, known := Watch{Task: t.ARN, Service: t.Service}, false
		if len(was) > 0 && was[0].Task == t.ARN {
			w, known, was = was[0], true, was[1:]
		}
		if t.Gone() || !known && !t.Failing() && !detached[t.ARN] {
			continue
		}
		w.read(t, v.Snapshot.Definitions[t.Definition], v.Now, v.service(t.Service).limits.Stale.Tasks)
		if !v.done(&w, detached[t.ARN]) {
			watches = append(watches, w)
		}
	}
	for _, w := range was {
		if v.Now.Sub(w.Read) < forget {
			watches = append(watches, w)
		}
	}
	v.state.Watches = watches
}

// done reports that a watch has nothing more to say: a task that has been well
// for longer than any recovery takes has its flaps forgiven.
func (v *Look) done(w *Watch, detached bool) bool {
	if detached || w.Reads > 0 {
		return false
	}
	if w.Well.IsZero() {
		return w.Flaps == 0
	}
	return v.Now.Sub(w.Well) > v.recovery(w.Service).Max
}

// recovery are the limits of a service's recovery. Those that make no sense
// must not keep a healthy task out.
func (v *Look) recovery(id fleet.ServiceID) RecoveryLimits {
	s := v.service(id)
	for _, p := range s.problems {
		if strings.HasPrefix(p.Path, "recovery.") {
			return DefaultLimits().Recovery
		}
	}
	return s.limits.Recovery
}

// read takes in a reading, if it is a new one: it is of another instant, or says another
// thing, as a look again may in the very instant of the reading before it. Readings that
// are further apart than one may be old are not in a row: nobody knows what was between.
func (w *Watch) read(t *fleet.Task, def *fleet.TaskDefinition, now time.Time, apart time.Duration) {
	if w.Read.After(now) { // the clock was set back: begin again
		*w = Watch{Task: w.Task, Service: w.Service, Flaps: w.Flaps}
	}
	_, failed := failedCheck(t, def)
	if t.Read.Earliest().Equal(w.Read) && failed == (w.Reads > 0) { // not later: a step back of the clock makes no reading an old one
		return
	}
	if failed && w.Reads > 0 && t.Read.Earliest().Sub(w.Read) > apart {
		w.Reads = 0
	}
	w.Read = t.Read.Earliest()
	at := plain(t.Read.Received)
	if t.Connectivity == fleet.Disconnected {
		w.Well = time.Time{} // no evidence of health, and none of its end
		return
	}
	if passing(t, def) {
		w.Sick, w.Reads = time.Time{}, 0
		if w.Well.IsZero() {
			w.Well = at
		}
		return
	}
	if !failed {
		w.Sick, w.Reads, w.Well = time.Time{}, 0, time.Time{}
		return
	}
	if !w.Well.IsZero() {
		w.Well = time.Time{}
		w.Flaps++
	}
	if w.Reads++; w.Reads == 1 {
		w.Sick = at
	}
}

// note keeps the tasks that failed.
func (v *Look) note() {
	now := plain(v.Now)
	still := make(map[fleet.TaskARN]bool)
	known := v.state.Failures
	for _, t := range v.Snapshot.Tasks {
		if !v.fails(t) && !t.Leaving() || !hasFailed(t, v.Snapshot.Definitions[t.Definition]) {
			continue
		}
		still[t.ARN] = true
		f := Failure{Service: t.Service, Task: t.ARN, StartedBy: t.StartedBy, Created: plain(t.Created), Seen: plain(t.Read.Sent)}
		if _, again := slices.BinarySearchFunc(known, f, Failure.compare); !again {
			v.state.Failures = append(v.state.Failures, f)
		}
	}
	slices.SortFunc(v.state.Failures, Failure.compare)
	for i := range v.state.Failures { // a clock that was set back mends nothing
		if f := &v.state.Failures[i]; f.Seen.After(now) {
			f.Seen = now
		}
	}
	v.state.Failures = slices.DeleteFunc(v.state.Failures, func(f Failure) bool {
		return !still[f.Task] && now.Sub(f.Seen) > v.service(f.Service).limits.Futile.Window
	})
}

// hasFailed reports that a task fails, or ended for a failure of its own.
func hasFailed(t *fleet.Task, def *fleet.TaskDefinition) bool {
	if !t.Leaving() {
		_, failed := failedCheck(t, def)
		return failed
	}
	cause := t.StopCause()
	return cause != fleet.CauseOther && cause != fleet.CausePerson
}

// latch shuts where too many fail at once, and opens again once that has been
// over for the cooldown.
func (v *Look) latch() {
	now := plain(v.Now)
	v.state.Latches = slices.DeleteFunc(v.state.Latches, func(l Latch) bool { return !now.Before(l.Until) })
	for i := range v.state.Latches { // a clock that was set back
		l := &v.state.Latches[i]
		if latest := now.Add(v.correlation(l.Service).Cooldown); l.Until.After(latest) {
			l.Until = latest
		}
	}
	for id, n := range v.failing {
		s := v.service(id)
		of := s.up
		if s.svc != nil && s.svc.Desired > 0 {
			of = min(of, s.svc.Desired)
		}
		v.shut(id, s.limits.Correlated, n, of)
	}
	v.shut(fleet.ServiceID{}, v.Input.Fleet.Correlated, len(v.failing), len(v.Snapshot.Services))
}

// correlation are the limits of a service, or with the zero id the fleet's.
func (v *Look) correlation(id fleet.ServiceID) CorrelatedLimits {
	if id == (fleet.ServiceID{}) {
		return v.Input.Fleet.Correlated
	}
	return v.service(id).limits.Correlated
}

func (v *Look) shut(id fleet.ServiceID, c CorrelatedLimits, failing, of int) {
	if failing < c.Count || float64(failing)*100 < c.Percent*float64(of) {
		return
	}
	now := plain(v.Now)
	l := Latch{Service: id, Since: now, Until: now.Add(c.Cooldown), Failing: failing, Of: of}
	i, shut := slices.BinarySearchFunc(v.state.Latches, l, func(a, b Latch) int { return a.Service.Compare(b.Service) })
	if shut {
		l.Since = v.state.Latches[i].Since
		v.state.Latches[i] = l
		return
	}
	v.state.Latches = slices.Insert(v.state.Latches, i, l)
}
