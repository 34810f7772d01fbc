package scenario

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// TestSpeed says how many simulated seconds pass in a real one for the whole
// controller with the real SDK, while a task hangs every minute. A benchmark has
// no bubble, so this is a test; it judges nothing, for machines differ.
func TestSpeed(t *testing.T) {
	if !*speed {
		t.Skip("measures only; -speed runs it")
	}
	for _, size := range []struct {
		services, tasks int
		simulated       time.Duration
	}{{10, 10, 30 * time.Minute}, {1000, 2, 3 * time.Minute}} {
		t.Run(fmt.Sprintf("%dx%d", size.services, size.tasks), func(t *testing.T) {
			began := time.Now()
			synctest.Test(t, func(t *testing.T) {
				region := sim.New(sim.Options{Seed: 1, Throttle: true, Latency: 50 * time.Millisecond})
				must(t, region.AddCluster("prod", sim.ClusterOptions{}))
				for i := range size.services {
					spec := sim.ReferenceWorkload("prod", fmt.Sprintf("s%04d", i))
					spec.Desired = size.tasks
					must(t, region.AddService(spec))
				}
				start(t, region, set{})
				for minute := range int(size.simulated.Minutes()) {
					id := fleet.ServiceID{Cluster: "prod", Name: fmt.Sprintf("s%04d", minute%size.services)}
					_ = region.Hang(region.Tasks(id)[0].ARN) // it may have ended
					time.Sleep(time.Minute)
				}
			})
			took := time.Since(began)
			t.Logf("%s simulated in %s: %.0f simulated seconds a second", size.simulated, took.Round(time.Millisecond), size.simulated.Seconds()/took.Seconds())
		})
	}
}
