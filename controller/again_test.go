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
