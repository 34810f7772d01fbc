package scenario

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// A journal that cannot be written: acting stops, and says so in the log and as
// a metric; observing goes on. Once it can be written again, what still hangs is
// taken out. Package journal has a disk that is full and one that is read-only;
// here its file is gone for a while, which it answers in the same way.
func TestSafetyDiskCannotBeWritten(t *testing.T) {
	id := fleet.ServiceID{Cluster: "prod", Name: "front"}
	synctest.Test(t, func(t *testing.T) {
		params := sim.DefaultParams()
		params.React = sim.Exactly(20 * time.Minute) // ECS does nothing meanwhile
		region := sim.New(sim.Options{Seed: 1, Params: &params, Latency: 50 * time.Millisecond})
		spec, in := inFront(6)
		must(t, region.AddCluster("prod", sim.ClusterOptions{}), region.AddService(spec))
		o := newOracle(region, []sim.ServiceSpec{spec})
		c := newCastoff(t, "a", o)
		wait := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); {
				time.Sleep(time.Second)
				o.sample(c.life)
			}
			synctest.Wait()
		}
		c.start(in)
		wait(2 * time.Minute)
		c.breakDisk()
		must(t, region.Hang(region.Tasks(id)[0].ARN))
		wait(2 * time.Minute)
		view := c.life.daemon.View()
		if len(view.Open) != 1 || len(view.Verdicts) != 2 || time.Since(view.Pass.At) > 10*time.Second {
			t.Errorf("observing stopped: %d timelines, %d verdicts, pass at %s", len(view.Open), len(view.Verdicts), view.Pass.At)
		}
		if said := c.log.about("acting stops", 9); strings.Count(said, "\n") != 1 || !strings.Contains(said, "level=ERROR") || !strings.Contains(said, "cause=journal") {
			t.Errorf("the log said %q", said)
		}
		if n := halted(t, c.life.daemon); n != 1 {
			t.Errorf("castoff_acting_halted is %v", n)
		}
		if o.effects != 0 {
			t.Error("it acted")
		}
		c.mend()
		wait(time.Minute)
		if o.effects == 0 || c.log.about("acting goes on", 1) == "" || halted(t, c.life.daemon) != 0 {
			t.Errorf("%d taken out after; the log said %s", o.effects, c.log.about("acting", 9))
		}
		c.stop()
		for _, v := range o.verdict() {
			t.Error(v)
		}
	})
}

// halted is the sum of castoff_acting_halted.
func halted(t *testing.T, d *daemon) (n float64) {
	t.Helper()
	families, err := d.registry.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == "castoff_acting_halted" {
			for _, m := range f.GetMetric() {
				n += m.GetGauge().GetValue()
			}
		}
	}
	return n
}
