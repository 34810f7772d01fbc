package scenario

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A journal that cannot be written: acting stops, and says so in the log and as
// a metric; observing goes on. Once it can be written again, what still hangs is
// taken out. Package journal has a disk that is full and one that is read-only;
// here its file is gone for a while, which it answers in the same way.
func TestSafetyDiskCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stage(t)
		s.start(s.rules)
		s.wait(2 * time.Minute)
		s.breakDisk()
		must(t, s.region.Hang(s.region.Tasks(front)[0].ARN))
		s.wait(2 * time.Minute)
		view := s.life.daemon.View()
		if len(view.Open) != 1 || len(view.Verdicts) != 2 || time.Since(view.Pass.At) > 10*time.Second {
			t.Errorf("observing stopped: %d timelines, %d verdicts, pass at %s", len(view.Open), len(view.Verdicts), view.Pass.At)
		}
		if said := s.log.about("acting stops", 9); strings.Count(said, "\n") != 1 || !strings.Contains(said, "level=ERROR") || !strings.Contains(said, "cause=journal") {
			t.Errorf("the log said %q", said)
		}
		if n := halted(t, s.life.daemon); n != 1 {
			t.Errorf("castoff_acting_halted is %v", n)
		}
		if s.oracle.effects != 0 {
			t.Error("it acted")
		}
		s.mend()
		s.wait(time.Minute)
		if s.oracle.effects == 0 || s.log.about("acting goes on", 1) == "" || halted(t, s.life.daemon) != 0 {
			t.Errorf("%d taken out after; the log said %s", s.oracle.effects, s.log.about("acting", 9))
		}
		s.over()
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
