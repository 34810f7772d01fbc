package controller

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// Actor changes which targets a balancer has. Its calls run beside the Observer's and
// beside each other, but never two at a time about the same target.
type Actor interface {
	// Deregister takes targets out of one group; Register puts them back, in the
	// zone that they had. No request leaves after until. The error is a
	// *fleet.CallError, which says whether the call may have taken effect all the
	// same; of class Paced, when none has left.
	Deregister(ctx context.Context, until time.Time, group fleet.TargetGroupARN, targets []fleet.TargetKey) error
	Register(ctx context.Context, until time.Time, group fleet.TargetGroupARN, targets []fleet.Target) error
}

// quick is for how long a pass waits for its own calls, all of them together. Nearly
// all are over by then, and the pass tells what came of them. One that takes longer goes
// on beside the passes: a balancer that dawdles must not blind castoff to the fleet.
const quick = 250 * time.Millisecond

// write is one call that changes a target group, decided and not made yet. It is a
// value: what is to be done, and until when it may be.
type write struct {
	action policy.Action
	group  fleet.TargetGroupARN
	until  time.Time // no request leaves later
	// detachments are those of the targets, as they are before the call.
	detachments []policy.Detachment
	sent        time.Time // zero before it has begun
}

// name is how the log calls it.
func (w write) name() string {
	if w.action == policy.Attach {
		return "register"
	}
	return "deregister"
}

// call makes it.
func (w write) call(ctx context.Context, by Actor) error {
	if w.action == policy.Attach {
		targets := make([]fleet.Target, len(w.detachments))
		for i, d := range w.detachments {
			targets[i] = fleet.Target{Key: d.Target, Zone: d.Zone}
		}
		return by.Register(ctx, w.until, w.group, targets)
	}
	keys := make([]fleet.TargetKey, len(w.detachments))
	for i, d := range w.detachments {
		keys[i] = d.Target
	}
	return by.Deregister(ctx, w.until, w.group, keys)
}

// answer is what came of a write.
type answer struct {
	write
	over     time.Time
	err      error
	panicked string
}

// errCut is the error of a call whose goroutine ended in it.
var errCut = errors.New("the call was cut off")

// result is what is known of it for certain.
func (o *answer) result() policy.Result {
	var call *fleet.CallError
	switch {
	case o.err == nil:
		return policy.Accepted
	case !errors.As(o.err, &call) || call.MayHaveHappened:
		return policy.NotAnswered
	case call.Class == fleet.Paced:
		return policy.NotMade // nobody refused anything, and a later pass decides anew
	default:
		return policy.Rejected
	}
}

// writes are the calls under way. All but over and wake is the passes' alone.
type writes struct {
	patience time.Duration // what is left of quick in this pass
	underWay policy.Calls
	// driven: somebody else drives the time, and calls are over before they are left;
	// else two runs of the same readings would not be the same.
	driven  bool
	ctx     context.Context // of all calls
	end     context.CancelFunc
	running sync.WaitGroup

	mu   sync.Mutex
	over []answer
	wake chan struct{} // something is over
}

func newWrites(driven bool) *writes {
	w := &writes{underWay: policy.Calls{}, driven: driven, wake: make(chan struct{}, 1)}
	w.ctx, w.end = context.WithCancel(context.Background())
	return w
}

// begin has a call made. What is to be taken out is written to the journal first, as a
// call of which nobody knows what came of it, and without that there is no call: whoever
// goes on from there counts it, and may be counting one that was not made. What goes
// back is not: the journal has the detachment, and a target that is registered twice is
// registered. A journal that cannot be written must not keep a healthy task out.
func (c *Controller) begin(ctx context.Context, w write) {
	if len(w.detachments) == 0 {
		return
	}
	w.sent = c.now().Round(0)
	if w.action == policy.Detach {
		calling := make([]policy.Detachment, len(w.detachments))
		for i, d := range w.detachments {
			calling[i] = d.Calling(w.sent)
		}
		if err := c.options.Journal.Record(c.acting.guards, calling...); err != nil {
			c.journalFailed(err)
			return
		}
		for _, d := range calling {
			c.keep(d)
		}
	}
	for _, d := range w.detachments {
		c.writes.underWay[d.Target] = w.sent
	}
	c.writes.running.Add(1)
	if c.writes.driven {
		c.make(ctx, w)
		c.settle()
		return
	}
	go func() {
		limited, cancel := context.WithTimeout(c.writes.ctx, fleet.CallLasts)
		defer cancel()
		c.make(limited, w)
	}()
	c.await(ctx, w)
}

// make makes a call and hands over what came of it, whatever happens in it.
func (c *Controller) make(ctx context.Context, w write) {
	defer c.writes.running.Done()
	o := answer{write: w, err: errCut}
	defer func() {
		if p := recover(); p != nil {
			o.panicked = fmt.Sprint(p)
			c.log.Error("a call panicked", "panic", o.panicked, "stack", string(debug.Stack()))
		}
		o.over = c.now().Round(0)
		c.writes.mu.Lock()
		defer c.writes.mu.Unlock()
		c.writes.over = append(c.writes.over, o)
		select {
		case c.writes.wake <- struct{}{}:
		default:
		}
	}()
	o.err = w.call(ctx, c.options.Actor)
}

// await waits for a call, for as long as a pass may still wait.
func (c *Controller) await(ctx context.Context, w write) {
	began := c.now()
	timer := time.NewTimer(c.writes.patience)
	defer timer.Stop()
	for c.writes.patience > 0 && c.writes.underWay[w.detachments[0].Target].Equal(w.sent) {
		select {
		case <-c.writes.wake:
			c.settle()
		case <-timer.C:
			c.writes.patience = 0
		case <-ctx.Done():
			return
		}
	}
	c.writes.patience -= c.now().Sub(began)
}

// settle notes the outcomes that have come, and reports whether any have.
func (c *Controller) settle() bool {
	c.writes.mu.Lock()
	over := c.writes.over
	c.writes.over = nil
	select {
	case <-c.writes.wake: // it was for these
	default:
	}
	c.writes.mu.Unlock()
	for _, o := range over {
		c.note(o)
	}
	return len(over) > 0
}

// note notes what came of a call.
func (c *Controller) note(o answer) {
	result := o.result()
	addresses := make([]string, len(o.detachments))
	for i, d := range o.detachments {
		addresses[i] = d.Target.Address()
		delete(c.writes.underWay, d.Target)
		if o.action == policy.Attach {
			c.noteAttach(d, o.sent, result)
		} else {
			c.noteDetach(d, o, result)
		}
	}
	if o.panicked != "" {
		c.halt(haltPanic, "a call panicked: "+o.panicked+"; observing goes on, acting only after a restart")
	}
	attrs := []any{"call", o.name(), "target_group", o.group.Name(), "targets", addresses, "result", result}
	var call *fleet.CallError
	switch {
	case result == policy.NotMade:
		c.log.Warn("no call was made", "call", o.name(), "target_group", o.group.Name(), "error", o.err)
	case o.err == nil:
		c.log.Info("targets changed", attrs...)
	default:
		c.log.Warn("targets not changed", append(attrs, "error", o.err)...)
	}
	if errors.As(o.err, &call) && call.Class == fleet.Denied {
		c.acting.denied = append(c.acting.denied, policy.Denial{Group: o.group, Until: c.now().Round(0).Add(deniedFor)})
	}
}

func (c *Controller) noteDetach(d policy.Detachment, o answer, result policy.Result) {
	called := timeline.Bounds{NotBefore: o.sent}
	switch result {
	case policy.NotMade:
		c.keep(d.Unmade())
		c.tracker.NotCalled(d.Task, d.Target, o.sent)
		return
	case policy.Rejected:
		c.tracker.NotCalled(d.Task, d.Target, o.sent)
	case policy.Accepted:
		called.NotAfter = o.over
		fallthrough
	default:
		c.tracker.Called(d.Task, d.Target, called)
	}
	d = d.Call(o.sent, o.over, result)
	c.keep(d)
	c.options.Metrics.Acting.Called(d, result)
}

func (c *Controller) noteAttach(d policy.Detachment, sent time.Time, result policy.Result) {
	if result == policy.NotMade {
		return
	}
	d = d.Attach(sent, result)
	c.keep(d)
	c.options.Metrics.Acting.Attached(d, result)
}

// tellCalls tells the tracker of the calls under way that take targets out: a row that
// leaves meanwhile leaves by them.
func (c *Controller) tellCalls() {
	for _, d := range c.acting.detachments {
		if sent, ok := c.writes.underWay[d.Target]; ok && d.Called.Equal(sent) {
			c.tracker.Calling(d.Task, d.Target, sent)
		}
	}
}
