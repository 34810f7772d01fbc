package scenario

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
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

func TestHungTaskLeavesEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		region := referenceRegion(t, 1, nil, 4)
		d := start(t, region, set{mode: policy.Detaching, log: &log})
		time.Sleep(3 * time.Minute)
		sick := region.Tasks(reference)[0].ARN
		must(t, region.Hang(sick))
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		truth := region.Truth()[0]
		view := d.View()
		if len(view.Closed) != 1 {
			t.Fatalf("%d closed; open %v\n%s", len(view.Closed), view.Open, log.String())
		}
		tl := view.Closed[0]
		for _, f := range Judge(tl, truth) {
			if !f.Holds() {
				t.Errorf("%s was at %s: %s%s", f.Kind, f.Truth, describe(tl), narrate(truth))
			}
		}
		detach, _ := tl.Milestone(timeline.Detach)
		if detach.By != timeline.ByCastoff || truth.Targets[0].By != sim.ByAPI {
			t.Errorf("detached by %s: %s", detach.By, describe(tl))
		}
		if took := truth.Targets[0].Detach.Sub(truth.Unhealthy); took > 2*d.polling.Interval {
			t.Errorf("detached %s after UNHEALTHY", took)
		}
		t.Log(describe(tl), narrate(truth), log.String())
		if n := len(view.Detachments); n != 1 || view.Detachments[0].Open() || view.Detachments[0].Outcome != policy.Stopped {
			t.Errorf("detachments: %+v", view.Detachments)
		}
	})
}
