package controller

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/status"
)

var flowBegan = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// decided is a verdict about a task's only target, so many seconds on: every
// guard allows but those given.
func decided(task string, second int, not ...policy.Finding) policy.Verdict {
	v := policy.Verdict{
		Action: policy.Detach, Task: fleet.TaskARN("arn:aws:ecs:eu-central-1:123456789012:task/prod/" + task),
		Target: fleet.NewTargetKey("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/api/1", "10.0.0.1", 80),
		At:     flowBegan.Add(time.Duration(second) * time.Second), Decision: policy.Allow, Reason: policy.OK,
	}
	for _, g := range policy.Guards {
		f := policy.Finding{Guard: g, Decision: policy.Allow, Reason: policy.OK, Sentence: fmt.Sprint("fine at ", second)}
		if i := slices.IndexFunc(not, func(n policy.Finding) bool { return n.Guard == g }); i >= 0 {
			f = not[i]
		}
		v.Findings = append(v.Findings, f)
		if f.Decision != policy.Allow && v.Decision == policy.Allow {
			v.Decision, v.Guard, v.Reason, v.Sentence = f.Decision, f.Guard, f.Reason, f.Sentence
		}
	}
	return v
}

func heldBy(g policy.Guard, r policy.Reason) policy.Finding {
	return policy.Finding{Guard: g, Decision: policy.Hold, Reason: r, Sentence: "not now"}
}

// Only what is another verdict is a step, and a step has the guards that make it
// another.
func TestFlowHasWhatChanged(t *testing.T) {
	var f flow
	confirm, floor := heldBy(policy.Confirm, policy.Unconfirmed), heldBy(policy.Floor, policy.BelowFloor)
	first := f.note([]policy.Verdict{decided("a", 0, confirm, floor)})
	f.note([]policy.Verdict{decided("a", 2, confirm, floor)}) // no news
	f.note([]policy.Verdict{decided("a", 4, floor)})
	f.note([]policy.Verdict{decided("a", 6, floor), decided("b", 6)})
	now := f.note([]policy.Verdict{decided("a", 8)})
	var got []string
	for _, v := range now[decided("a", 0).Task] {
		said := fmt.Sprint(v.At.Sub(flowBegan), " ", v.Decision, " ", v.Guard)
		if len(v.Findings) == len(policy.Guards) {
			said += ", all guards"
		} else {
			for _, f := range v.Findings {
				said += fmt.Sprint(", ", f.Guard, " ", f.Decision)
			}
		}
		got = append(got, said)
	}
	want := []string{
		"0s hold confirm, confirm hold, floor hold",
		"4s hold floor, confirm allow, floor hold",
		"8s allow , all guards",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	if len(first) != 1 || len(first[decided("a", 0).Task]) != 1 {
		t.Error("what a reader has was changed")
	}
	if n := len(now[decided("b", 0).Task]); n != 1 {
		t.Errorf("task b has %d steps", n)
	}
}

// Whatever happens, the flow is bounded, and of a long one both ends are kept.
func TestSafetyFlowIsBounded(t *testing.T) {
	var f flow
	confirm, floor := heldBy(policy.Confirm, policy.Unconfirmed), heldBy(policy.Floor, policy.BelowFloor)
	for i := range 500 {
		f.note([]policy.Verdict{decided("flapping", i, []policy.Finding{confirm, floor}[i%2])})
	}
	steps := f.steps[decided("flapping", 0).Task]
	if len(steps) != flowSteps || steps[0].At != flowBegan || steps[flowFirst-1].At != flowBegan.Add((flowFirst-1)*time.Second) || steps[flowSteps-1].At != flowBegan.Add(499*time.Second) {
		t.Errorf("%d steps, from %v to %v", len(steps), steps[0].At, steps[len(steps)-1].At)
	}
	var many []policy.Verdict
	for i := range flowTasks - 1 {
		many = append(many, decided(fmt.Sprint(i), 600, floor))
	}
	f.note(many)
	f.note(append(many, decided("last", 601, floor))) // the flapping one, which nothing is decided about any more, goes
	if _, kept := f.steps[decided("flapping", 0).Task]; kept || len(f.steps) != flowTasks {
		t.Errorf("%d tasks, the one that is over among them: %v", len(f.steps), kept)
	}
	f.note(append(many, decided("last", 602, floor), decided("one too many", 602, floor)))
	if _, kept := f.steps[decided("one too many", 0).Task]; kept || len(f.steps) != flowTasks {
		t.Errorf("%d tasks, the one that came last among them: %v", len(f.steps), kept)
	}
}

// Whoever looks at a pass sees how its verdicts came about and what AWS was asked.
func TestPassesShowFlowAndCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := actor(policy.Observing, hand{})
		asked := 0
		o.Calls = func() status.Calls {
			asked++
			return status.Calls{At: time.Now(), Budgets: []status.Budget{{Bucket: "b", Requests: asked}}}
		}
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer stop(t, c)
		for range 100 { // the startup window, and then what would be done
			time.Sleep(2 * time.Second)
			c.Step(t.Context())
		}
		v := c.View()
		var said []policy.Decision
		for _, step := range v.Flow[shopTask(0)] {
			said = append(said, step.Decision)
		}
		if len(said) < 2 || said[0] != policy.Hold || !slices.Contains(said, policy.Allow) {
			t.Errorf("the flow of the task that hangs is %q", said)
		}
		if now, then := v.Calls, v.CallsBefore; now.Budgets[0].Requests != 100 || then.Budgets[0].Requests != 100-passesShown+1 {
			t.Errorf("calls %+v, and before %+v", now, then)
		}
	})
}
