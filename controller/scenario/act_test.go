package scenario

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

var reference = fleet.ServiceID{Cluster: "prod", Name: "reference"}

// referenceRegion is a region of the reference workload alone, with n tasks.
func referenceRegion(t *testing.T, seed uint64, params *sim.Params, n int) *sim.Region {
	t.Helper()
	region := sim.New(sim.Options{Seed: seed, Params: params, Throttle: true, Latency: 50 * time.Millisecond})
	spec := sim.ReferenceWorkload(reference.Cluster, reference.Name)
	spec.Desired = n
	must(t, region.AddCluster(reference.Cluster, sim.ClusterOptions{}), region.AddService(spec))
	return region
}

// What the demo shows: a hung task leaves its balancer within two polls of the
// news, and again each time that ECS puts it back, and goes its usual way after.
func TestHungTaskLeavesEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		region := referenceRegion(t, 1, nil, 4)
		d := start(t, region, set{mode: policy.Detaching})
		time.Sleep(3 * time.Minute)
		must(t, region.Hang(region.Tasks(reference)[0].ARN))
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		tl, truth := onlyOne(t, d)
		judgeOne(t, tl, truth)
		if detach, _ := tl.Milestone(timeline.Detach); detach.By != timeline.ByCastoff || truth.Targets[0].By != sim.ByAPI {
			t.Errorf("detached by %s: %s", detach.By, describe(tl))
		}
		ds := d.View().Detachments
		if len(ds) != 1 || ds[0].Open() || ds[0].Outcome != policy.Stopped || ds[0].Tries < 2 {
			t.Fatalf("detachments: %+v", ds)
		}
		if took := ds[0].Decided.Sub(truth.Unhealthy); took < 0 || took > 2*d.polling.Interval {
			t.Errorf("decided %s after UNHEALTHY", took)
		}
		if exposed := truth.Targets[0].Exposed; exposed > 4*d.polling.HotInterval+d.polling.Interval {
			t.Errorf("exposed for %s", exposed)
		}
		if saved, ok := ds[0].Saved(); ok { // nginx fails, and the balancer's check is of nginx
			t.Errorf("saved %+v, which nobody knows", saved)
		}
	})
}

// In observe mode the same is decided, and nothing is done.
func TestObservingDecidesAndDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		region := referenceRegion(t, 1, nil, 4)
		d := start(t, region, set{mode: policy.Observing})
		time.Sleep(3 * time.Minute)
		must(t, region.Hang(region.Tasks(reference)[0].ARN))
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		tl, truth := onlyOne(t, d)
		judgeOne(t, tl, truth)
		if truth.Targets[0].By != sim.ByECS {
			t.Errorf("detached by %s", truth.Targets[0].By)
		}
		ds := d.View().Detachments
		if len(ds) != 1 || ds[0].Mode != policy.Observing || !ds[0].Called.IsZero() {
			t.Fatalf("detachments: %+v", ds)
		}
		// What would have been saved is the time from the decision to ECS's own.
		saved, ok := ds[0].Saved()
		took := truth.Deactivating.Sub(ds[0].Decided)
		if !ok || took < saved.Shortest || took > saved.Longest {
			t.Errorf("would have saved %+v, in truth %s", saved, took)
		}
	})
}

// A task that is well again goes back.
func TestRecoveredTaskGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		params := sim.DefaultParams()
		params.NeverReregister = true
		params.React = sim.Exactly(20 * time.Minute) // ECS does nothing meanwhile
		region := referenceRegion(t, 1, &params, 4)
		d := start(t, region, set{mode: policy.Detaching})
		time.Sleep(3 * time.Minute)
		sick := region.Tasks(reference)[0]
		must(t, region.Hang(sick.ARN))
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := d.View().Snapshot; s.Target(sick.Targets[0]).Healthy() {
			t.Fatal("not detached")
		}
		must(t, region.Recover(sick.ARN))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		view := d.View()
		if row := view.Snapshot.Target(sick.Targets[0]); row == nil || !row.Healthy() {
			t.Errorf("not back: %+v", row)
		}
		if ds := view.Detachments; len(ds) != 1 || ds[0].Outcome != policy.Recovered {
			t.Errorf("detachments: %+v", ds)
		}
	})
}

// All fail at once: then the check, or what all depend on, is the suspect, and
// nothing is taken out.
func TestAllFailAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		region := referenceRegion(t, 1, nil, 4)
		d := start(t, region, set{mode: policy.Detaching})
		time.Sleep(3 * time.Minute)
		for _, task := range region.Tasks(reference) {
			must(t, region.Hang(task.ARN))
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for _, truth := range region.Truth() {
			if truth.Targets[0].By == sim.ByAPI {
				t.Errorf("castoff took out %s", truth.Targets[0].Key.Address())
			}
		}
		if v := d.View().Verdicts; len(v) != 4 || v[0].Decision == policy.Allow {
			t.Errorf("verdicts: %+v", v)
		}
	})
}

// A restart in the middle forgets no detachment and makes no second timeline.
func TestRestartWhileDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		params := sim.DefaultParams()
		params.NeverReregister = true
		region := referenceRegion(t, 1, &params, 4)
		kept := journal.Memory(journal.Options{Keep: journal.Keep{Count: 100, Age: time.Hour}})
		d := start(t, region, set{mode: policy.Detaching, journal: kept})
		time.Sleep(3 * time.Minute)
		must(t, region.Hang(region.Tasks(reference)[0].ARN))
		time.Sleep(40 * time.Second)
		synctest.Wait()
		past, err := kept.Load()
		must(t, err, d.Stop(t.Context()))
		if len(past.Detachments) != 1 || len(past.Tracker.Failures) != 1 {
			t.Fatalf("kept %d detachments, %d timelines", len(past.Detachments), len(past.Tracker.Failures))
		}
		time.Sleep(30 * time.Second)
		d = start(t, region, set{mode: policy.Detaching, past: past})
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		tl, truth := onlyOne(t, d)
		judgeOne(t, tl, truth)
		if tl.ID != past.Tracker.Failures[0].Timeline.ID {
			t.Errorf("%s became %s", past.Tracker.Failures[0].Timeline.ID, tl.ID)
		}
		if ds := d.View().Detachments; len(ds) != 1 || ds[0].Outcome != policy.Stopped || ds[0].Tries != 1 {
			t.Errorf("detachments: %+v", ds)
		}
	})
}

// onlyOne is the only closed timeline and the truth about it.
func onlyOne(t *testing.T, d *daemon) (*timeline.Timeline, sim.Truth) {
	t.Helper()
	view, truths := d.View(), d.region.Truth()
	if len(view.Closed) != 1 || len(view.Open) != 0 || len(truths) != 1 {
		t.Fatalf("%d closed, %d open, %d in truth", len(view.Closed), len(view.Open), len(truths))
	}
	return view.Closed[0], truths[0]
}

func judgeOne(t *testing.T, tl *timeline.Timeline, truth sim.Truth) {
	t.Helper()
	for _, f := range Judge(tl, truth) {
		if !f.Holds() || f.Missed() {
			t.Errorf("%s was at %s: %s%s", f.Kind, f.Truth, describe(tl), narrate(truth))
		}
	}
}
