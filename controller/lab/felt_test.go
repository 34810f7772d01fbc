//go:build linux

package lab

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/castoff-ecs/castoff/controller/sim"
)

const (
	sick, well = "127.41.1.1", "127.41.1.2"
	one, other = "127.41.255.1", "127.41.255.11" // clients
)

// TestFeel counts what the clients felt of one failure.
func TestFeel(t *testing.T) {
	t.Parallel()
	onset := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return onset.Add(time.Duration(s * float64(time.Second))) }
	truth := sim.Truth{Onset: onset, Unhealthy: at(10), Stopping: at(40), Targets: []sim.TargetTruth{{Detach: at(12)}}}
	calls := []Call{
		{Short, one, sick, at(-1), 0, codes.OK},
		{Short, one, sick, at(-0.5), time.Second, codes.DeadlineExceeded}, // began before
		{Short, one, well, at(1), 0, codes.OK},
		{Short, one, sick, at(1.1), time.Second, codes.DeadlineExceeded},
		{Short, one, sick, at(1.9), time.Second, codes.DeadlineExceeded},
		{Short, one, "", at(11), 0, codes.Unavailable},
		{Stream, other, sick, at(13), time.Second, codes.DeadlineExceeded},
	}
	habits := feelCalls(calls, sick, onset)
	if got, want := habits[0], (HabitFelt{Habit: Short, Calls: 4, Failed: 3, ToSick: 2, Seconds: 2, Last: 11}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := habits[slices.Index(Habits, Stream)], (HabitFelt{Habit: Stream, Calls: 1, Failed: 1, ToSick: 1, Seconds: 1, Last: 13}); got != want {
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
		{Target: sick, Client: one + ":4", Began: at(-60), Ended: at(29), Reset: true},
		{Target: sick, Client: other + ":5", Began: at(-60), Ended: at(30), Reset: true},
		{Target: sick, Began: at(-60), Ended: at(41)},
		{Target: sick, Began: at(3), Ended: at(4)},
		{Target: sick, Began: at(14)},
	}
	calls = []Call{
		{Stream, one, well, at(28), 0, codes.OK},
		{Stream, one, sick, at(28.5), time.Second, codes.Unavailable},
		{Stream, one, sick, at(29.5), 0, codes.OK}, // sent back to it
		{Stream, one, well, at(31), 0, codes.OK},
		{Stream, other, "", at(30.1), 0, codes.Unavailable},
		{Stream, other, well, at(30.5), 0, codes.OK},
		{Stream, other, sick, at(31), 0, codes.OK},
	}
	if got, want := feelFlows(flows, calls, sick, truth), (FlowsFelt{New: 2, Last: 14, Pinned: 4, Left: 1, Reset: 2, Moved: 1, Freed: 41}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	flows = append(flows, Flow{Target: sick, Began: at(-30)})
	if got := feelFlows(flows, calls, sick, truth); got.Pinned != 5 || got.Freed != 0 {
		t.Errorf("one goes on, and %+v", got)
	}
}
