package policy

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// A hung task in a fleet that is calm otherwise, with room for it, is allowed
// to go in the end, whatever happened before.
func TestLivenessAHungTaskGoes(t *testing.T) {
	worlds(t, "300")
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(0, 5).Draw(t, "passes before") {
			w.happen()
			w.decide()
		}
		w.calmDown()
		l := DefaultLimits()
		l.Mode = Modes[rapid.IntRange(0, 1).Draw(t, "mode")]
		l.Confirm.Reads = rapid.IntRange(1, 5).Draw(t, "reads")
		l.Confirm.For = time.Duration(rapid.IntRange(0, 60).Draw(t, "for")) * time.Second
		w.limits, w.scene.fleet = l, DefaultFleetLimits()
		w.add("calm", rapid.IntRange(4, 12).Draw(t, "tasks"))
		w.group("calm").Attributes.CrossZone = rapid.SampledFrom([]string{"true", "false"}).Draw(t, "cross-zone")
		fail(w.task("calm", 0))
		w.tick = 5 * time.Second
		for range 30 * 60 / 5 {
			w.read()
			for _, v := range w.decide() {
				if v.Task == taskARN("calm", 0) && v.Decision == Allow {
					w.tick = time.Second
					w.read()
					if again := NewLook(w.input()).Recheck(v); again.Decision != Allow {
						t.Fatalf("allowed, and not when it was asked again: %+v", again)
					}
					return
				}
			}
		}
		t.Fatalf("it hangs for half an hour: %+v", w.decide())
	})
}

// calmDown mends everything.
func (w *world) calmDown() {
	w.gaps, w.pauses, w.halts, w.denied = nil, nil, nil, nil
	for _, svc := range w.scene.services {
		svc.Tags, svc.Deployments[0].Rollout = nil, "COMPLETED"
	}
	for _, t := range w.scene.tasks {
		heal(t)
		t.Definition = definitionARN(t.Service.Name) // without a check nobody would hear that it is well
		t.Missing, t.Connectivity = 0, fleet.Connected
	}
	for _, g := range w.scene.groups {
		g.Attributes.Known = true
	}
}

// Every detachment ends, with its target back if its task is well.
func TestLivenessEveryDetachmentEnds(t *testing.T) {
	worlds(t, "300")
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(1, 8).Draw(t, "passes before") {
			w.happen()
			w.detachments = NewLook(w.input()).Follow()
			for _, v := range w.decide() {
				if v.Decision == Allow || v.Mode == Detaching && w.chance(30, "anyway") {
					w.carryOut(v)
				}
			}
		}
		left := w.detachments
		w.calmDown()
		for i, task := range w.scene.tasks { // each runs, or has stopped and given its address away
			reused := slices.ContainsFunc(w.scene.tasks[i+1:], func(o *fleet.Task) bool { return o.Targets[0] == task.Targets[0] })
			if task.LastStatus != fleet.Running || task.DesiredStatus != fleet.Running || reused {
				task.LastStatus = fleet.Stopped
			}
		}
		if w.chance(50, "paused") {
			w.pauses = []Pause{{Scope: ScopeAll, Owner: "j", Reason: "r"}}
		}
		w.tick = 5 * time.Second
		for range 45 * 60 / 5 {
			w.read()
			w.detachments = NewLook(w.input()).Follow()
			_, w.state = decide(w.input())
			for _, v := range listed(NewLook(w.input()).Reattach()) {
				w.putBack(v)
			}
			if len(w.detachments) == 0 {
				break
			}
		}
		if len(w.detachments) > 0 {
			t.Fatalf("open for ever: %+v", w.detachments)
		}
		for _, d := range left {
			task, row := w.snapshotTask(d.Task), w.rowOf(d.Target)
			if task.LastStatus == fleet.Running && d.Tries > 0 && (row.Draining() || row.Unused()) && w.input().Snapshot.Owner(d.Target).ARN == task.ARN {
				t.Fatalf("%s is well, and out", task.ARN.ID())
			}
		}
	})
}

func (w *world) snapshotTask(arn fleet.TaskARN) *fleet.Task { return w.input().Snapshot.Task(arn) }

// putBack carries an allow of Attach out, and holds it to the rules.
func (w *world) putBack(v Verdict) {
	if v.Decision != Allow {
		return
	}
	mine := false
	for i := range w.detachments {
		d := &w.detachments[i]
		if d.Open() && d.Mode == Detaching && d.Target == v.Target && d.Task == v.Task {
			*d, mine = d.Attach(w.now, Accepted), true
		}
	}
	task := w.snapshotTask(v.Task)
	if !mine || task == nil || task.LastStatus != fleet.Running || task.Health != fleet.Healthy || w.input().Snapshot.Owner(v.Target) != nil && w.input().Snapshot.Owner(v.Target).ARN != v.Task {
		w.t.Fatalf("put back what is not castoff's to put back: %+v", v)
	}
	if row := w.rowOf(v.Target); row != nil {
		row.State = fleet.TargetInitial
	}
}
