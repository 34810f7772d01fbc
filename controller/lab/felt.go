//go:build linux

package lab

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// Felt is what a failure did to the clients, as they measured it. Durations are
// since the onset.
type Felt struct {
	Habits []HabitFelt
	Flows  FlowsFelt
	// After is how many calls were sent to the failing task after each milestone of
	// its retirement.
	After []After
}

// HabitFelt is what clients of one habit felt from the onset on.
type HabitFelt struct {
	Habit   Habit
	Calls   int           // all that were made
	Failed  int           // not answered within the clients' patience, or with an error
	ToSick  int           // sent to the failing task
	Seconds int           // in which a call failed
	Last    time.Duration // when the last one that failed began; 0: none did
}

// After counts calls after a milestone.
type After struct {
	Milestone string
	Calls     int
}

// FlowsFelt is about connections to the failing task.
type FlowsFelt struct {
	New    int           // begun after the onset
	Last   time.Duration // when the last one began; 0: there was none
	Pinned int           // connections of kept channels and streams at the onset
	Left   int           // those of them that a client or the task ended before the task was told to stop
	Reset  int           // those of them that the balancer ended
	Freed  time.Duration // when the last of those ended; 0: none was, or some have not
}

// Feel tells what the failure of a task did.
func (l *Lab) Feel(truth sim.Truth) Felt {
	sick := l.Address(truth.Task)
	return Felt{
		Habits: feelCalls(l.Calls(), sick, truth.Onset),
		Flows:  feelFlows(l.Flows(), sick, truth),
		After:  feelAfter(l.Calls(), sick, truth),
	}
}

func feelCalls(calls []Call, sick string, onset time.Time) []HabitFelt {
	var all []HabitFelt
	for _, habit := range Habits {
		f := HabitFelt{Habit: habit}
		seconds := map[int64]bool{}
		for _, c := range calls {
			if c.Habit != habit || c.Began.Before(onset) {
				continue
			}
			f.Calls++
			if c.Target == sick {
				f.ToSick++
			}
			if c.Code != codes.OK {
				since := c.Began.Sub(onset)
				f.Failed++
				f.Last = max(f.Last, since)
				seconds[int64(since/time.Second)] = true
			}
		}
		f.Seconds = len(seconds)
		all = append(all, f)
	}
	return all
}

func feelFlows(flows []Flow, sick string, truth sim.Truth) FlowsFelt {
	var f FlowsFelt
	onset := truth.Onset
	open := false
	for _, w := range flows {
		switch {
		case w.Target != sick:
		case !w.Began.Before(onset):
			f.New++
			f.Last = max(f.Last, w.Began.Sub(onset))
		case w.Ended.IsZero():
			f.Pinned++
			open = true
		case w.Ended.After(onset) && onset.Sub(w.Began) > 2*patience: // no short call's
			f.Pinned++
			f.Freed = max(f.Freed, w.Ended.Sub(onset))
			switch {
			case w.Reset:
				f.Reset++
			case w.Ended.Before(truth.Stopping):
				f.Left++
			}
		}
	}
	if open {
		f.Freed = 0
	}
	return f
}

// feelAfter counts from the truth's milestones, those that came.
func feelAfter(calls []Call, sick string, truth sim.Truth) []After {
	milestones := []struct {
		name string
		at   time.Time
	}{
		{"onset", truth.Onset}, {"unhealthy", truth.Unhealthy}, {"replacement_serving", truth.ReplacementServing},
	}
	for _, t := range truth.Targets {
		milestones = append(milestones, struct {
			name string
			at   time.Time
		}{"detach", t.Detach}, struct {
			name string
			at   time.Time
		}{"detached", t.Detached})
	}
	var after []After
	for _, m := range milestones {
		if m.at.IsZero() {
			continue
		}
		n := 0
		for _, c := range calls {
			if c.Target == sick && !c.Began.Before(m.at) {
				n++
			}
		}
		after = append(after, After{m.name, n})
	}
	return after
}

// Victim is the task that is to fail: the first one, unless no stream is pinned
// to it.
func (l *Lab) Victim() fleet.TaskARN {
	pinned := map[string]int{}
	for _, w := range l.Flows() {
		if w.Ended.IsZero() {
			pinned[w.Target]++
		}
	}
	tasks := l.Region.Tasks(Service)
	i := slices.IndexFunc(tasks, func(t sim.TaskInfo) bool { return pinned[l.Address(t.ARN)] > 0 })
	return tasks[max(i, 0)].ARN
}
