package awsapi

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// What was lost once is read again in the next pass, ahead of all that waits for the
// budget; what is lost again waits as the others do.
func TestLostReadIsReadAgainAheadOfTheQueue(t *testing.T) {
	for _, lost := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(1, 40, 1) // a group each, of which five a second of 30 are read
			o := observer(t, Options{Config: f.config(), CalmInterval: 10 * time.Second, Budgets: Budgets{BalancerRead: 1}})
			passes(t, o, 60)
			group, left := groupARN("c00-s0007"), lost
			var tried []time.Time
			f.fault = func(c fakeCall) *fakeReply {
				if c.op != "DescribeTargetHealth" || c.refs[0] != group {
					return nil
				}
				tried = append(tried, time.Now())
				if left--; left >= 0 {
					return &fakeReply{status: 503, body: "busy"}
				}
				return nil
			}
			passes(t, o, 60)
			if len(tried) < lost+2 {
				t.Fatalf("tried %d times", len(tried))
			}
			first, second := tried[1].Sub(tried[0]), tried[2].Sub(tried[1])
			if first > 6*time.Second || lost == 2 && second < 15*time.Second {
				t.Errorf("%d lost: tried again after %s, and after %s", lost, first, second)
			}
		})
	}
}

// A task that DescribeTasks leaves out, with no failure that says why, is unread; and
// once no list has it either it is given up, as one that reads MISSING.
func TestTaskLeftOutIsGivenUp(t *testing.T) {
	for _, listed := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(1, 1, 3)
			c := f.clusters[0]
			o := observer(t, Options{Config: f.config(), Budgets: unlimited})
			pass(t, o, 0)
			arn := string(c.taskARN(c.tasks[1].id))
			var leaveOut func(call fakeCall) *fakeReply
			leaveOut = func(call fakeCall) *fakeReply {
				if call.op != "DescribeTasks" || !slices.Contains(call.refs, arn) {
					return nil
				}
				others := slices.DeleteFunc(slices.Clone(call.refs), func(ref string) bool { return ref == arn })
				f.fault = nil
				defer func() { f.fault = leaveOut }()
				return f.ecs(call.op, []byte(`{"cluster":"c00","tasks":["`+strings.Join(others, `","`)+`"]}`))
			}
			f.fault = leaveOut
			s := passes(t, o, 2)
			if g, ok := gapOf(s, fleet.GapTasks); !ok || g.Class != fleet.Invalid || !strings.Contains(g.Detail, "left out of the reply") {
				t.Errorf("gap %+v", g)
			}
			if !listed {
				c.tasks = slices.Delete(slices.Clone(c.tasks), 1, 2)
			}
			s = passes(t, o, 40)
			_, open := gapOf(s, fleet.GapTasks)
			if known := s.Task(fleet.TaskARN(arn)) != nil; known != listed || open != listed || len(s.Tasks) < 2 {
				t.Errorf("listed %v: known %v, gaps %v", listed, known, s.Gaps)
			}
		})
	}
}

// A reply that has no list of tasks leaves nobody out.
func TestReplyWithoutTasksIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 2)
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		pass(t, o, 0)
		f.fault = func(c fakeCall) *fakeReply {
			switch c.op {
			case "DescribeTasks":
				return &fakeReply{status: 200, body: `{"failures":[]}`}
			case "ListTasks":
				return &fakeReply{status: 200, body: `{"taskArns":[]}`}
			}
			return nil
		}
		s := passes(t, o, 40)
		if g, ok := gapOf(s, fleet.GapTasks); !ok || len(s.Tasks) != 2 || s.Tasks[0].Missing > 0 || time.Since(g.Since) < 3*time.Minute {
			t.Errorf("%d tasks, gap %+v", len(s.Tasks), g)
		}
	})
}
