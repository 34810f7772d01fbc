package controller

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// Before a target goes, the tasks that would be left are read again too, where nobody has
// looked at them lately. To put one back needs none of them.
func TestThoseThatAreLeftAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ages := func(s *fleet.Snapshot) {
			s.Tasks[1].Read.Sent = s.At.Add(-policy.Apart)
			s.Tasks[2].Read.Sent = s.At.Add(-policy.Apart - 1)
			s.Tasks[3].Read.Sent = s.At.Add(-policy.Apart - time.Second)
		}
		w := &world{glanced: ages}
		c := looking(t, policy.Detaching, hand{}, w, nil)
		time.Sleep(70 * time.Second)
		w.set(func(s *fleet.Snapshot) { without(s); healed(s) })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		stop(t, c)
		if len(w.looks) < 2 {
			t.Fatalf("looks at %v", w.looks)
		}
		if want := []fleet.TaskARN{shopTask(0), shopTask(2), shopTask(3)}; !slices.Equal(w.looks[0], want) {
			t.Errorf("to take it out: %v, want %v", w.looks[0], want)
		}
		if want := []fleet.TaskARN{shopTask(0)}; !slices.Equal(w.looks[1], want) {
			t.Errorf("to put it back: %v, want %v", w.looks[1], want)
		}
	})
}

// dated is an Actor that notes until when its calls may leave.
type dated struct {
	hand
	until *time.Time
}

func (d dated) Deregister(_ context.Context, until time.Time, _ fleet.TargetGroupARN, _ []fleet.TargetKey) error {
	*d.until = until
	return nil
}

// leisurely is a world whose second look takes half a second.
type leisurely struct {
	*world
	task, group time.Duration // when which part of it is read
}

func (l leisurely) Refresh(ctx context.Context, tasks []fleet.TaskARN, groups []fleet.TargetGroupARN) *fleet.Snapshot {
	s := l.world.Refresh(ctx, tasks, groups)
	s.Tasks[0].Read.Received, s.TargetGroups[0].Read.Received = s.At.Add(l.task), s.At.Add(l.group)
	time.Sleep(500 * time.Millisecond)
	return s
}

// A call rests on a second look, and may leave for as long as the latest part of that
// holds.
func TestCallMayLeaveForAsLongAsItsReasonHolds(t *testing.T) {
	for name, look := range map[string]leisurely{
		"the task is read last":  {&world{}, 400 * time.Millisecond, 200 * time.Millisecond},
		"the group is read last": {&world{}, 200 * time.Millisecond, 400 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var until time.Time
				c, pass, _ := driven(t, look.world, hand{}, func(o *Options) { o.Observer, o.Actor = look, dated{until: &until} })
				defer stop(t, c)
				for began := time.Now(); until.IsZero() && time.Since(began) < 5*time.Minute; {
					pass(1)
				}
				ds := c.View().Detachments
				if len(ds) != 1 || !until.Equal(ds[0].Called.Add(holds-100*time.Millisecond)) {
					t.Errorf("until %s: %+v", until, ds)
				}
			})
		})
	}
}

// What is over is not kept: a denial after its time, and what the journal has taken.
func TestWhatIsOverIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c, pass, _ := driven(t, &world{}, hand{deregister: func(context.Context) error {
			if calls++; calls == 1 {
				return &fleet.CallError{Class: fleet.Denied, Err: errors.New("no")}
			}
			return nil
		}}, nil)
		defer stop(t, c)
		for range 600 {
			pass(1)
			if len(c.acting.changed) != 0 || (len(c.acting.denied) == 1) != (calls == 1) {
				t.Fatalf("after %d calls: to be kept %+v, denied %+v", calls, c.acting.changed, c.acting.denied)
			}
		}
		if calls < 2 {
			t.Error("it is never asked for again")
		}
	})
}
