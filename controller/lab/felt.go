//go:build linux

package lab

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// Felt is what a failure did to the clients, as they measured it. Seconds are since
// the onset.
type Felt struct {
	Habits []HabitFelt `json:"habits"`
	Flows  FlowsFelt   `json:"flows"`
	// After is how many calls were sent to the failing task after each milestone of
	// its retirement.
	After []After `json:"after"`
}

// HabitFelt is what clients of one habit felt from the onset on.
type HabitFelt struct {
	Habit   Habit   `json:"habit"`
	Calls   int     `json:"calls"`                // all that were made
	Failed  int     `json:"failed"`               // not answered within the clients' patience, or with an error
	ToSick  int     `json:"to_the_failing_task"`  // sent to it
	Seconds int     `json:"seconds_with_failure"` // in which a call failed
	Last    float64 `json:"last_failed_seconds"`  // when the last one that failed began; 0: none did
}

// After counts calls after a milestone.
type After struct {
	Milestone string `json:"milestone"`
	Calls     int    `json:"calls"`
}

// FlowsFelt is about connections to the failing task.
type FlowsFelt struct {
	New    int     `json:"new"`           // begun after the onset
	Last   float64 `json:"last_seconds"`  // when the last one began; 0: there was none
	Pinned int     `json:"pinned"`        // connections of kept channels and streams at the onset
	Left   int     `json:"left"`          // those of them that a client or the task ended before the task was told to stop
	Reset  int     `json:"reset"`         // those of them that the balancer ended
	Moved  int     `json:"moved"`         // those of the reset ones whose client was answered by another task next
	Freed  float64 `json:"freed_seconds"` // when the last of those ended; 0: none was, or some have not
}

// Feel tells what the failure of a task did.
func (l *Lab) Feel(truth sim.Truth) Felt {
	sick := l.Address(truth.Task)
	return Felt{
		Habits: feelCalls(l.Calls(), sick, truth.Onset),
		Flows:  feelFlows(l.Flows(), l.Calls(), sick, truth),
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
				f.Last = max(f.Last, since.Seconds())
				seconds[int64(since/time.Second)] = true
			}
		}
		f.Seconds = len(seconds)
		all = append(all, f)
	}
	return all
}

func feelFlows(flows []Flow, calls []Call, sick string, truth sim.Truth) FlowsFelt {
	var f FlowsFelt
	onset := truth.Onset
	open := false
	for _, w := range flows {
		switch {
		case w.Target != sick:
		case !w.Began.Before(onset):
			f.New++
			f.Last = max(f.Last, w.Began.Sub(onset).Seconds())
		case w.Ended.IsZero():
			f.Pinned++
			open = true
		case w.Ended.After(onset) && onset.Sub(w.Began) > 2*patience: // no short call's
			f.Pinned++
			f.Freed = max(f.Freed, w.Ended.Sub(onset).Seconds())
			switch {
			case w.Reset:
				f.Reset++
				if to := next(calls, w); to != sick && to != "" {
					f.Moved++
				}
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

// next is which task answered the client of a flow first after that had ended;
// empty: none did.
func next(calls []Call, w Flow) string {
	for _, c := range calls {
		if strings.HasPrefix(w.Client, c.Client+":") && c.Began.After(w.Ended) && c.Code == codes.OK {
			return c.Target
		}
	}
	return ""
}

// feelAfter counts from the truth's milestones, those that came.
func feelAfter(calls []Call, sick string, truth sim.Truth) []After {
	var after []After
	count := func(milestone string, at time.Time) {
		if at.IsZero() {
			return
		}
		a := After{Milestone: milestone}
		for _, c := range calls {
			if c.Target == sick && !c.Began.Before(at) {
				a.Calls++
			}
		}
		after = append(after, a)
	}
	count("onset", truth.Onset)
	count("unhealthy", truth.Unhealthy)
	count("replacement_serving", truth.ReplacementServing)
	for _, t := range truth.Targets { // there is one
		count("detach", t.Detach)
		count("detached", t.Detached)
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
