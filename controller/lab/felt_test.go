//go:build linux

package lab

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/castoff-ecs/castoff/controller/sim"
)

const sick, well = "127.41.1.1", "127.41.1.2"

// TestFeel counts what the clients felt of one failure.
func TestFeel(t *testing.T) {
	t.Parallel()
	onset := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return onset.Add(time.Duration(s * float64(time.Second))) }
	truth := sim.Truth{Onset: onset, Unhealthy: at(10), Stopping: at(40), Targets: []sim.TargetTruth{{Detach: at(12)}}}
	calls := []Call{
		{Short, sick, at(-1), 0, codes.OK},
		{Short, sick, at(-0.5), time.Second, codes.DeadlineExceeded}, // began before
		{Short, well, at(1), 0, codes.OK},
		{Short, sick, at(1.1), time.Second, codes.DeadlineExceeded},
		{Short, sick, at(1.9), time.Second, codes.DeadlineExceeded},
		{Short, "", at(11), 0, codes.Unavailable},
		{Stream, sick, at(13), time.Second, codes.DeadlineExceeded},
	}
	habits := feelCalls(calls, sick, onset)
	if got, want := habits[0], (HabitFelt{Habit: Short, Calls: 4, Failed: 3, ToSick: 2, Seconds: 2, Last: 11}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := habits[3], (HabitFelt{Habit: Stream, Calls: 1, Failed: 1, ToSick: 1, Seconds: 1, Last: 13}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	want := map[string]int{"onset": 3, "unhealthy": 1, "detach": 1}
	for _, a := range feelAfter(calls, sick, truth) {
		if a.Calls != want[a.Milestone] {
			t.Errorf("after %s %d, want %d", a.Milestone, a.Calls, want[a.Milestone])
		}
		delete(want, a.Milestone)
	}
	if len(want) > 0 {
		t.Errorf("nothing of %v", want)
	}

	flows := []Flow{
		{Target: well, Began: at(-60)},
		{Target: sick, Began: at(-1), Ended: at(-0.5)},
		{Target: sick, Began: at(-0.2), Ended: at(0.8)}, // a call's
		{Target: sick, Began: at(-60), Ended: at(5)},
		{Target: sick, Began: at(-60), Ended: at(30), Reset: true},
		{Target: sick, Began: at(-60), Ended: at(41)},
		{Target: sick, Began: at(3), Ended: at(4)},
		{Target: sick, Began: at(14)},
	}
	if got, want := feelFlows(flows, sick, truth), (FlowsFelt{New: 2, Last: 14, Pinned: 3, Left: 1, Reset: 1, Freed: 41}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	flows = append(flows, Flow{Target: sick, Began: at(-30)})
	if got := feelFlows(flows, sick, truth); got.Pinned != 4 || got.Freed != 0 {
		t.Errorf("one goes on, and %+v", got)
	}
}
