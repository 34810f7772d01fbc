package notify

import (
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// Exposure is a target that gets traffic although ECS calls its task UNHEALTHY.
type Exposure struct {
	Task   *fleet.Task
	Target *fleet.Target
	// Since is the first reading that showed it, so that what has passed since is
	// what is known to have passed; zero: nobody knows, as of a task that failed
	// before castoff had ever seen it well.
	Since time.Time
}

// Exposures are the targets that are exposed now, in the order of the tasks. It
// is what people are told and what the page says, so that the two agree.
func Exposures(s *fleet.Snapshot, open []*timeline.Timeline, watches []policy.Watch) []Exposure {
	if s == nil {
		return nil
	}
	var all []Exposure
	s.Exposed(func(task *fleet.Task, _ *fleet.TargetGroup, row *fleet.Target) bool {
		all = append(all, Exposure{Task: task, Target: row})
		return true
	})
	if len(all) == 0 {
		return nil
	}
	timelines, failing := byTask(open), failingSince(open, watches)
	for i := range all {
		e := &all[i]
		e.Since = failing[e.Task.ARN]
		if tl := timelines[e.Task.ARN]; tl != nil && !e.Since.IsZero() {
			e.Since = later(e.Since, goodSince(tl, e.Target.Key))
		}
	}
	return all
}

func byTask(open []*timeline.Timeline) map[fleet.TaskARN]*timeline.Timeline {
	of := make(map[fleet.TaskARN]*timeline.Timeline, len(open))
	for _, tl := range open {
		of[tl.Task] = tl
	}
	return of
}

// failingSince is when each task was first read UNHEALTHY.
func failingSince(open []*timeline.Timeline, watches []policy.Watch) map[fleet.TaskARN]time.Time {
	since := make(map[fleet.TaskARN]time.Time, len(open))
	for _, tl := range open {
		if m, ok := tl.Milestone(timeline.Unhealthy); ok {
			since[tl.Task] = m.NotAfter
		}
	}
	// A task that was well in between is failing since it failed again, which the
	// timeline does not say.
	for _, w := range watches {
		if !w.Sick.IsZero() {
			since[w.Task] = w.Sick
		}
	}
	return since
}

// goodSince is when a row was read healthy for the last time that it became so;
// zero when it was before the timeline began.
func goodSince(tl *timeline.Timeline, key fleet.TargetKey) time.Time {
	for i := range tl.Targets {
		if good := tl.Targets[i].Good; tl.Targets[i].Key == key && len(good) > 0 {
			return good[len(good)-1].From.NotAfter
		}
	}
	return time.Time{}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
