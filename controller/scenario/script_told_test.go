package scenario

import (
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// settled is how long after it began, or after a task did, castoff must know of
// every task that runs, where nothing is in the way.
const settled = 2 * time.Minute

// told is what a castoff has told of so far.
type told struct {
	life      *life
	timelines map[timeline.ID]bool
	tasks     map[fleet.TaskARN]time.Time // since when it knows of them, in this life
}

// weighTold: no timeline is lost or there twice, and what was not read is not
// taken for gone.
func (s *script) weighTold(name string, d *scripted) {
	view := d.View()
	if view.Snapshot == nil {
		return
	}
	was := s.judge.told[name]
	is := &told{life: d.judged.life, timelines: map[timeline.ID]bool{}, tasks: map[fleet.TaskARN]time.Time{}}
	s.judge.told[name] = is
	if was == nil || was.life != is.life {
		if was != nil && !d.judged.forgets {
			is.timelines = was.timelines // by its journal
		}
		was = is
	}
	ends := map[fleet.TaskARN]*timeline.Timeline{}
	now := map[timeline.ID]bool{}
	for _, tl := range slices.Concat(view.Open, view.Closed) {
		if now[tl.ID] {
			s.accuse(ruleTwice, "two timelines are %s", tl.ID)
		}
		now[tl.ID] = true
		if tl.Outcome == timeline.Recovered || tl.Outcome == timeline.Lost {
			continue // it may fail again
		}
		if other := ends[tl.Task]; other != nil {
			s.accuse(ruleTwice, "one end is told of twice: %s%s", describe(other), describe(tl))
		}
		ends[tl.Task] = tl
	}
	for id := range was.timelines {
		if !now[id] {
			s.accuse(ruleLost, "%s is neither open nor closed", id)
		}
	}
	is.timelines = now
	s.weighTasks(was, is, view.Snapshot)
}

// weighTasks: a task that runs is in every snapshot after the first that had it;
// and one that has run for long is, unless there is a gap.
func (s *script) weighTasks(was, is *told, snapshot *fleet.Snapshot) {
	o := s.judge.oracle
	o.mu.Lock()
	running := map[fleet.TaskARN]sim.TaskInfo{}
	for _, ts := range o.tasks {
		for i := range ts {
			if isUp(&ts[i]) {
				running[ts[i].ARN] = ts[i]
			}
		}
	}
	o.mu.Unlock()
	for arn, t := range running {
		switch {
		case snapshot.Task(arn) != nil:
			if is.tasks[arn] = was.tasks[arn]; is.tasks[arn].IsZero() {
				is.tasks[arn] = snapshot.At
			}
		case !was.tasks[arn].IsZero():
			s.accuse(ruleGap, "task %s of %s runs, and is in the snapshot of %s no more; gaps %+v", arn.ID(), t.Service, since(s.began, snapshot.At), snapshot.Gaps)
		case len(snapshot.Gaps) == 0 && snapshot.At.Sub(t.Started) > settled && snapshot.At.Sub(is.life.began) > settled:
			s.accuse(ruleGap, "task %s of %s runs since %s, and the snapshot of %s has neither it nor a gap", arn.ID(), t.Service, since(s.began, t.Started), since(s.began, snapshot.At))
		}
	}
}

// lasting are the milestones that nothing undoes: they are true as soon as they
// are told of.
var lasting = []timeline.Kind{timeline.Onset, timeline.Unhealthy, timeline.LBUnhealthy, timeline.Stopping, timeline.Stopped}

// weighOpen: what an open timeline says already is true, and its phases are
// durations with an error.
func (s *script) weighOpen(c *castoff, tl *timeline.Timeline, truths []sim.Truth) {
	s.weighMilestones(c, tl, lasting, truths)
	for _, p := range tl.Phases() {
		if p.Shortest < 0 || p.Longest < p.Shortest {
			s.accuse(ruleBounds, "%s took %s to %s in %s", p.Name, p.Shortest, p.Longest, describe(tl))
		}
	}
}
