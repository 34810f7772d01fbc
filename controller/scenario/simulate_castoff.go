package scenario

import (
	"context"
	"errors"
	"time"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
)

// keepAll keeps every timeline and detachment of a world.
var keepAll = config.Keep{Count: 1000, Age: 24 * time.Hour}

// Observe is the region's own word, which takes as long as castoff's calls do:
// what it tells is of the middle of that.
func (w *simulated) Observe(context.Context, []fleet.ServiceID) *fleet.Snapshot {
	return w.read()
}

// Refresh is the same: all of it is read again.
func (w *simulated) Refresh(context.Context, []fleet.TaskARN, []fleet.TargetGroupARN) *fleet.Snapshot {
	return w.read()
}

func (w *simulated) read() *fleet.Snapshot {
	read := fleet.Read{Sent: w.now, Received: w.now.Add(w.latency), Behind: w.Polling.ReplyAge}
	w.pass(w.now.Add(w.latency / 2).Truncate(time.Millisecond))
	s := w.region.Snapshot(read)
	w.pass(read.Received)
	return s
}

// Deregister carries out DeregisterTargets in the region.
func (w *simulated) Deregister(_ context.Context, until time.Time, group fleet.TargetGroupARN, targets []fleet.TargetKey) error {
	if w.now.After(until) {
		return tooLate
	}
	w.pass(w.now.Add(w.latency / 2).Truncate(time.Millisecond))
	err := w.region.Deregister(group, targets)
	if !w.onset.IsZero() && err == nil {
		w.called()
	}
	w.look()
	w.pass(w.now.Add(w.latency / 2).Truncate(time.Millisecond))
	return inWords(err)
}

// Register carries out RegisterTargets.
func (w *simulated) Register(_ context.Context, until time.Time, group fleet.TargetGroupARN, targets []fleet.Target) error {
	if w.now.After(until) {
		return tooLate
	}
	w.pass(w.now.Add(w.latency))
	return inWords(w.region.Register(group, targets))
}

// tooLate is what a call that may not leave any more comes to.
var tooLate = &fleet.CallError{Class: fleet.Paced, Err: errors.New("what the call rests on is too old")}

func inWords(err error) error {
	if err == nil {
		return nil
	}
	return &fleet.CallError{Class: fleet.Invalid, Err: err}
}

// called notes a call that took targets out.
func (w *simulated) called() {
	w.sequel.calls++
	if w.sequel.acted {
		return
	}
	for _, t := range w.truths() {
		if !t.Unhealthy.IsZero() {
			w.sequel.acted, w.sequel.called = true, w.now.Sub(t.Unhealthy)
			return
		}
	}
}
