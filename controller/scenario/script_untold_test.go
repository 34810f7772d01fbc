package scenario

import (
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// How long a failure must have shown, with nothing in the way of castoff's seeing it,
// before castoff owes a timeline of it. A pass that waits for a reply in vain takes
// 15 s.
const (
	toldRead = 20 * time.Second // by a reading of its own
	// Tasks of which it knows are read every 5 s, 8 s in some worlds.
	toldSick = 30 * time.Second
	// Rows are read every 30 s where nothing else fails.
	toldRow = 75 * time.Second
	// Of a task that came and went unseen tells the list of those wanted STOPPED alone,
	// which is read every minute.
	toldEnd = 150 * time.Second
)

// sight is a failure that everybody can see: since when, and until when; the latter is
// the present for one that lasts.
type sight struct{ from, to time.Time }

// sights are those of the last minute, by task.
type sights map[fleet.TaskARN]sight

func (s sights) see(arn fleet.TaskARN, now time.Time) {
	v, ok := s[arn]
	if !ok || now.Sub(v.to) > time.Second {
		v.from = now
	}
	v.to = now
	s[arn] = v
}

// look takes in what fails in the region now: of the tasks past their grace those that
// ECS calls UNHEALTHY and does not take down, and those with a row that the balancer
// calls so.
func (b *bench) look() {
	o := b.oracle
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if o.life.faults > 0 || now.Before(o.life.calm) {
		b.uncalm = now
	}
	for id, tasks := range o.tasks {
		for i := range tasks {
			t := &tasks[i]
			if !isUp(t) {
				continue
			}
			if t.Health == fleet.Unhealthy && now.After(t.Started.Add(graceOf(o.specs[id]))) {
				b.sick.see(t.ARN, now)
			}
			if now.After(t.Started.Add(o.specs[id].Grace)) && slices.ContainsFunc(t.Targets, func(key fleet.TargetKey) bool {
				row := rowOf(o.rows[key.Group], key)
				return row != nil && row.State == fleet.TargetUnhealthy && row.For == t.ARN
			}) {
				b.unserving.see(t.ARN, now)
			}
		}
	}
	for _, of := range []sights{b.sick, b.unserving} {
		for arn, v := range of {
			if now.Sub(v.to) > time.Minute {
				delete(of, arn)
			}
		}
	}
}

// weighUntold: what castoff has read, and what it must have, is told of. Faults, ends,
// panics and broken disks excuse only what they hide.
func (s *script) weighUntold(name string, d *scripted) {
	l, b, now := d.judged.life, s.judge, time.Now()
	l.mu.Lock()
	dead, panicked := l.dead, l.panicked
	l.mu.Unlock()
	is := b.told[name]
	if dead || is == nil || is.life != l {
		return
	}
	view := d.View()
	for arn, v := range b.sick {
		lasts, closed := v.to.Equal(now), view.Closed
		if lasts {
			closed = nil
		}
		if tells(view.Open, closed, arn, v.from) || !panicked.IsZero() && !lasts { // the pass that read it may have panicked
			continue
		}
		if at := l.of.tap.readSick(arn, later(v.from, l.began)); !at.IsZero() && now.Sub(at) > toldRead {
			s.accuse(ruleUntold, "task %s was read UNHEALTHY at %s", arn.ID(), since(s.began, at))
		}
		known, ok := is.tasks[arn]
		if from := later(later(v.from, known), panicked); lasts && ok && now.Sub(from) > toldSick && !l.of.tap.failed(ofTask(arn), now.Add(-toldSick)) {
			s.accuse(ruleUntold, "task %s is UNHEALTHY since %s, and known since %s", arn.ID(), since(s.began, v.from), since(s.began, known))
		}
	}
	for arn, v := range b.unserving {
		known, ok := is.tasks[arn]
		if from := later(later(later(v.from, known), b.uncalm), panicked); v.to.Equal(now) && ok && now.Sub(from) > toldRow && !tells(view.Open, nil, arn, v.from) {
			s.accuse(ruleUntold, "a target of task %s is unhealthy since %s, and the task known since %s", arn.ID(), since(s.began, v.from), since(s.began, known))
		}
	}
}

// weighEnds: a task that ECS stopped for a failure, in castoff's life, is told of: ECS
// describes it for an hour.
func (s *script) weighEnds(d *scripted) {
	l, view, now := d.judged.life, d.View(), time.Now()
	for _, truth := range s.region.Truth() {
		if truth.Stopped.IsZero() || !failed(truth) || truth.Stopped.Before(l.began.Add(settling)) ||
			now.Sub(truth.Stopped) < toldEnd || now.Sub(truth.Stopped) > 50*time.Minute {
			continue
		}
		tap, from, lists := l.of.tap, now.Add(-toldEnd), ofLists(truth.Service.Cluster, "ListTasks")
		if tells(view.Open, view.Closed, truth.Task, truth.Stopped) || tap.failed(ofTask(truth.Task), from) ||
			tap.failed(lists, from) || tap.failed(ofLists(truth.Service.String(), "ListTasks"), from) {
			continue
		}
		if r := tap.by(now).last(lists); (r == nil || r.received.Before(l.began)) && s.judge.uncalm.After(from) {
			continue // it may not know that the cluster is there
		}
		s.accuse(ruleUntold, "stopped at %s, %s, %q: %s", since(s.began, truth.Stopped), truth.StopCode, truth.StoppedReason, narrate(truth))
	}
}

// failed reports that ECS gives a failure as the reason of a stop.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-errors.html
func failed(t sim.Truth) bool {
	return strings.HasPrefix(t.StoppedReason, "Task failed") || strings.HasPrefix(t.StoppedReason, "Essential container") ||
		t.StopCode == "EssentialContainerExited" || t.StopCode == "TaskFailedToStart"
}

// tells reports that a timeline tells of what happened to a task at an instant, or since.
func tells(open, closed []*timeline.Timeline, arn fleet.TaskARN, at time.Time) bool {
	return slices.ContainsFunc(open, func(tl *timeline.Timeline) bool { return tl.Task == arn }) ||
		slices.ContainsFunc(closed, func(tl *timeline.Timeline) bool { return tl.Task == arn && !tl.Closed.Before(at) })
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// readSick is the first reading since then that shows a running task UNHEALTHY.
func (p *tap) readSick(arn fleet.TaskARN, from time.Time) (at time.Time) {
	p.since(ofTask(arn), from, func(r *reading) bool {
		if r.ok && r.task.Health == fleet.Unhealthy && r.task.up() {
			at = r.received
		}
		return true
	})
	return at
}

// failed reports that a reading since then told nothing.
func (p *tap) failed(subject string, from time.Time) (failed bool) {
	p.since(subject, from, func(r *reading) bool {
		failed = !r.ok
		return r.ok
	})
	return failed
}

// since shows the readings of a subject since then, the latest first, while more says
// so.
func (p *tap) since(subject string, from time.Time, more func(*reading) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range slices.Backward(p.reads[subject]) {
		if r.received.Before(from) || !more(r.decoded()) {
			return
		}
	}
}
