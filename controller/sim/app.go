package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// appState is what a task's app does with a request.
type appState int

const (
	refusing  appState = iota // answers at once that it cannot: not up yet, or crashed
	answering                 //
	hung                      // takes the request and stays silent
)

// mind is what a task's app behind its front does, and why.
type mind struct {
	app   appState // what comes of all the rest
	front bool     // its port accepts connections
	alive bool     // its containers run

	own        appState      // what it would do were it not for others
	delay      time.Duration // of its answers; the model's
	overloaded bool          // more new flows reach it than it can bear
	booting    bool          // it has yet to come up
	sound      bool          // it was well when this was last considered
	fits       int           // raised when somebody decides anew what the app does: a flapping one stops to flap
}

// ailment is what keeps the app from answering although nothing was done to it;
// empty when nothing does.
func (t *task) ailment() (Cause, appState) {
	if t.overloaded {
		return Overload, hung
	}
	for _, o := range t.region.outages {
		if o.hits(t) {
			return o.named(), o.state()
		}
	}
	return "", answering
}

// well reports that whoever asks gets an answer at once.
func (t *task) well() bool { return t.alive && t.front && t.app == answering && t.delay == 0 }

// answer has the app and its front answer, for the first time or again; it does
// not help against what ails others too.
func (t *task) answer() {
	t.delay = 0
	t.turnApp(answering, true)
	if f := t.failure; f != nil && f.Recovery.IsZero() && t.well() {
		f.Answering = t.region.now
	}
}

// turnApp changes what the task's app and its front do, and has every check
// look from there.
func (t *task) turnApp(own appState, front bool) {
	t.own, t.front, t.booting = own, front, false
	t.reconsider()
}

// reconsider works out what the app does now. To be called whenever anything
// that it follows from has changed.
func (t *task) reconsider() {
	was := t.sound
	t.app = t.own
	if t.own == answering && t.alive {
		cause, state := t.ailment()
		if t.app = state; cause != "" {
			t.fail(cause)
		}
	}
	t.sound = t.well()
	if f := t.failure; f != nil && !was && t.sound && f.Recovery.IsZero() {
		f.Answering = t.region.now
	}
	for _, c := range t.containers {
		if c.probe != nil {
			c.probe.poke()
		}
	}
	for _, g := range t.region.waysTo(t) {
		g.poke(t.addresses())
		g.reroute()
	}
}

// Hang has the task's app take requests and answer none. Its front goes on
// accepting connections, so a TCP check sees nothing.
func (r *Region) Hang(arn fleet.TaskARN) error {
	return r.onApp("hang", arn, func(t *task) {
		t.fail(Hang)
		t.turnApp(hung, t.front)
	})
}

// Crash has the task's app refuse every request at once. Its front goes on
// accepting connections.
func (r *Region) Crash(arn fleet.TaskARN) error {
	return r.onApp("crash", arn, func(t *task) {
		t.fail(Crash)
		t.turnApp(refusing, t.front)
	})
}

// KillFront has the task refuse connections, although its app is well.
func (r *Region) KillFront(arn fleet.TaskARN) error {
	return r.onApp("kill front of", arn, func(t *task) {
		t.fail(FrontDead)
		t.turnApp(t.own, false)
	})
}

// SlowDown has the task's app answer so much later than at once: a check whose
// timeout is shorter fails. 0 has it answer at once again.
func (r *Region) SlowDown(arn fleet.TaskARN, by time.Duration) error {
	return r.onApp("slow down", arn, func(t *task) {
		if by > 0 {
			t.fail(Slowed)
		}
		t.delay = r.scale(by)
		t.reconsider()
	})
}

// Flap has the task's app hang for a while, answer for a while, and so on, until
// something else is done to it.
func (r *Region) Flap(arn fleet.TaskARN, down, up time.Duration) error {
	if down <= 0 || up <= 0 {
		return fmt.Errorf("flap %s: down %v and up %v must be longer than 0", arn, down, up)
	}
	return r.onApp("flap", arn, func(t *task) { t.flap(t.fits, down, up) })
}

func (t *task) flap(fit int, down, up time.Duration) {
	if !t.alive || t.fits != fit {
		return
	}
	t.fail(Flapping)
	t.turnApp(hung, t.front)
	t.region.after(down, func() {
		if !t.alive || t.fits != fit {
			return
		}
		t.answer()
		t.region.after(up, func() { t.flap(fit, down, up) })
	})
}

// Recover has the task's app and front answer again, unless an [Outage] or too
// much load keeps them from it.
func (r *Region) Recover(arn fleet.TaskARN) error {
	return r.onApp("recover", arn, func(t *task) { t.answer() })
}

func (r *Region) onApp(what string, arn fleet.TaskARN, do func(*task)) error {
	return r.onRunning(what, arn, func(t *task) {
		t.fits++
		do(t)
	})
}

// Outage is a failure that many tasks have in common, also those that are
// started while it lasts. Empty fields match everything.
type Outage struct {
	Service    fleet.ServiceID // only tasks of this one
	Zone       string          // only tasks in it
	Dependency string          // only tasks of services that depend on it, by [ServiceSpec.DependsOn]
	Crash      bool            // they refuse every request; else they hang
}

// Outage begins one and returns what ends it.
func (r *Region) Outage(o Outage) (end func()) {
	set := &o
	r.outage(func() { r.outages = append(r.outages, set) })
	return func() {
		r.outage(func() { r.outages = slices.DeleteFunc(r.outages, func(x *Outage) bool { return x == set }) })
	}
}

// outage changes the set of outages and what follows from it.
func (r *Region) outage(do func()) {
	_ = r.change(func() error {
		do()
		for _, c := range r.clusters {
			for _, t := range c.tasks {
				if t.alive {
					t.reconsider()
				}
			}
		}
		return nil
	})
}

func (o *Outage) hits(t *task) bool {
	if o.Zone != "" && t.zone != o.Zone {
		return false
	}
	if o.Service == (fleet.ServiceID{}) && o.Dependency == "" {
		return true
	}
	s := t.service
	return s != nil && (o.Service == (fleet.ServiceID{}) || o.Service == fleet.ServiceID{Cluster: t.cluster.name, Name: s.spec.Name}) &&
		(o.Dependency == "" || slices.Contains(s.spec.DependsOn, o.Dependency))
}

func (o *Outage) state() appState {
	if o.Crash {
		return refusing
	}
	return hung
}

func (o *Outage) named() Cause {
	switch {
	case o.Dependency != "":
		return DependencyDown
	case o.Zone != "":
		return ZoneDown
	case o.Crash:
		return Crash
	}
	return Hang
}
