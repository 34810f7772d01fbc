package sim

import "time"

// verdict is what a health check concludes.
type verdict int

const (
	undecided verdict = iota
	passing
	failing
)

// probe is one health check: an agent's on a container, or the balancer's on a
// target. While everything passes it costs nothing: no event is scheduled, and
// the instant of the next check is reckoned from an earlier one only when the
// app's state changes.
type probe struct {
	region   *Region
	interval time.Duration // all durations are the model's
	timeout  time.Duration // what a check takes that gets no answer
	took     time.Duration // what any other check takes
	fromEnd  bool          // the interval runs from the end of a check, not its start
	passes   int           // consecutive ones that make it passing
	fails    int           // consecutive ones that make it failing
	// leniency is until when failures do not count, unless a check has passed
	// before: a container's startPeriod.
	leniency time.Time

	try func() finding // what a check begun now finds
	// ask has the runtime make the check that is due instead, and tell; nil: there is
	// none.
	ask   func(due time.Time, report func(passed bool))
	turns func(verdict, finding)

	state   verdict
	passed  int
	failed  int
	ever    bool      // a check has passed
	next    time.Time // start of the next check, or while idle of any one
	idle    bool
	lasts   time.Duration // while idle: what each check takes
	stopped bool
}

// finding is what one check finds.
type finding struct {
	ok     bool
	silent bool          // no answer comes
	delay  time.Duration // the answer comes so much later than at once; the model's
	why    string        // an Application Load Balancer's reason, when it failed
}

// look is what a check begun now finds, and how long it takes to.
func (p *probe) look() (f finding, took time.Duration) {
	f = p.try()
	if f.silent || f.delay > 0 && p.took+f.delay >= p.timeout {
		return finding{silent: true, why: reasonTimeout}, p.timeout
	}
	return f, p.took + f.delay
}

// start begins checking at an instant.
func (p *probe) start(first time.Time) {
	p.next = first
	p.region.at(first, p.check)
}

// settle begins as if checks had long been passing; one of them starts, or
// started, at an instant.
func (p *probe) settle(phase time.Time) {
	p.state, p.ever, p.idle, p.next, p.lasts = passing, true, true, phase, p.took
	if p.ask != nil {
		p.idle = false
		p.region.at(phase, p.check)
	}
}

// poke tells the probe that what it checks has changed.
func (p *probe) poke() {
	if !p.idle || p.stopped {
		return
	}
	p.idle = false
	period := max(p.interval, p.lasts)
	if p.fromEnd {
		period = p.interval + p.lasts
	}
	if late := p.region.now.Sub(p.next); late > 0 {
		p.next = p.region.now.Add((period - late%period) % period)
	}
	p.region.at(p.next, p.check)
}

// stop ends checking for good.
func (p *probe) stop() { p.stopped = true }

// check begins a check. What it finds is settled by the state of the app at its
// start: a request that a hung app has taken stays unanswered.
func (p *probe) check() {
	if p.stopped {
		return
	}
	started := p.region.now
	if p.ask != nil {
		p.ask(started, func(passed bool) {
			_ = p.region.change(func() error {
				p.finish(finding{ok: passed}, started)
				return nil
			})
		})
		return
	}
	found, took := p.look()
	p.region.at(started.Add(took), func() { p.finish(found, started) })
}

func (p *probe) finish(found finding, started time.Time) {
	if p.stopped {
		return
	}
	now := p.region.now
	if p.fromEnd {
		p.next = now.Add(p.interval)
	} else if p.next = started.Add(p.interval); p.next.Before(now) {
		p.next = now
	}
	if found.ok {
		p.ever = true
		p.passed, p.failed = p.passed+1, 0
	} else if p.ever || now.After(p.leniency) {
		p.passed, p.failed = 0, p.failed+1
	}
	switch {
	case p.state != passing && p.passed >= p.passes:
		p.turn(passing, found)
	case p.state != failing && p.failed >= p.fails:
		p.turn(failing, found)
	}
	if p.stopped {
		return
	}
	if p.ask == nil {
		if now, took := p.look(); now.ok && found.ok && p.state == passing {
			p.idle, p.lasts = true, took
			return
		}
	}
	p.region.at(p.next, p.check)
}

func (p *probe) turn(v verdict, f finding) {
	p.state = v
	p.turns(v, f)
}
