package awsapi

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// SAFETY: a reading that is half filled is no reading. What was known stays,
// with its Read, and comes back with the next whole reply.
func TestHalfFilledReadingClosesNoTask(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"nothing but a version": func(task map[string]any) {
			maps.DeleteFunc(task, func(key string, _ any) bool { return key != "taskArn" && key != "version" })
		},
		"no group":          func(task map[string]any) { delete(task, "group") },
		"a group of none":   func(task map[string]any) { task["group"] = "family:batch" },
		"an empty service":  func(task map[string]any) { task["group"] = "service:" },
		"another service":   func(task map[string]any) { task["group"] = "service:s0001" },
		"no lastStatus":     func(task map[string]any) { delete(task, "lastStatus") },
		"no version":        func(task map[string]any) { delete(task, "version") },
		"no createdAt":      func(task map[string]any) { delete(task, "createdAt") },
		"another createdAt": func(task map[string]any) { task["createdAt"] = epoch(time.Now().Add(-time.Minute)) },
		"no containers":     func(task map[string]any) { delete(task, "containers") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 2, 1)
				o := observer(t, Options{Config: f.config(), Budgets: unlimited})
				arn := f.clusters[0].taskARN(f.clusters[0].tasks[0].id)
				a := pass(t, o, 0).Task(arn)
				f.clusters[0].tasks[0].garble = change
				for range 50 {
					s := pass(t, o, 5*time.Second)
					if got := s.Task(arn); got != a {
						t.Fatalf("was %+v, is %+v", a, got)
					}
					if !slices.Equal(gapsOf(s), []string{"tasks invalid c00"}) {
						t.Fatalf("gaps %v", gapsOf(s))
					}
				}
				f.clusters[0].tasks[0].garble = nil
				if s := pass(t, o, 5*time.Second); s.Task(arn) == nil || s.Task(arn) == a || len(s.Gaps) != 0 {
					t.Errorf("after a whole reply: %+v, gaps %v", s.Task(arn), gapsOf(s))
				}
			})
		})
	}
}

// A task of which the first reading is half filled is asked for again.
func TestHalfFilledFirstReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		f.clusters[0].tasks[0].garble = func(task map[string]any) { delete(task, "group") }
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		if s := pass(t, o, 0); len(s.Tasks) != 0 || !slices.Equal(gapsOf(s), []string{"tasks invalid c00"}) {
			t.Errorf("%d tasks, gaps %v", len(s.Tasks), gapsOf(s))
		}
		f.clusters[0].tasks[0].garble = nil
		if s := pass(t, o, 5*time.Second); len(s.Tasks) != 1 || len(s.Gaps) != 0 {
			t.Errorf("%d tasks, gaps %v", len(s.Tasks), gapsOf(s))
		}
	})
}

// createdAt is when a task became PENDING: before that it may move, and a
// remembered one may have been kept less exactly.
func TestCreatedAtSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		task := f.clusters[0].tasks[0]
		at := time.Now().Add(-time.Minute)
		created := func(d time.Duration) {
			task.extra = map[string]any{"createdAt": epoch(at.Add(d))}
		}
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		task.status = string(fleet.Provisioning)
		task.extra = map[string]any{"createdAt": nil}
		for i, step := range []func(){
			func() {}, func() { created(0) }, func() { created(20 * time.Second); task.status = "PENDING" }, func() { created(20300 * time.Millisecond) },
		} {
			step()
			if s := pass(t, o, 5*time.Second); len(s.Gaps) != 0 || len(s.Tasks) != 1 || !s.Tasks[0].Read.Received.Equal(s.At) {
				t.Errorf("step %d: gaps %v", i, gapsOf(s))
			}
		}
	})
}
