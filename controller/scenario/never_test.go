package scenario

import (
	"flag"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	hostiles  = flag.Int("never", 8, "how many hostile worlds TestSafetyNever runs")
	onlyTheme = flag.String("theme", "", "how they all trouble castoff most, such as panic or disk; default at random")
)

// SAFETY and LIVENESS: the list of what must never happen, held over hostile
// worlds.
func TestSafetyNever(t *testing.T) {
	var mu sync.Mutex
	effects, backs, kept := 0, 0, 0
	t.Run("worlds", func(t *testing.T) {
		for i := range *hostiles {
			seed := *firstSeed + uint64(i)
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newHostile(t, seed, 1)
					w.run(20 * time.Minute)
					w.report()
					mu.Lock()
					defer mu.Unlock()
					effects, backs, kept = effects+w.oracle.effects, backs+w.oracle.backs, kept+w.oracle.life.kept
				})
			})
		}
	})
	t.Logf("%d targets taken out, %d put back, %d owed and done", effects, backs, kept)
	if !t.Failed() && *hostiles >= 8 && (effects < 2**hostiles || backs == 0 || kept == 0) {
		t.Error("too hostile to show anything")
	}
}

// report fails the test for each violation.
func (w *hostile) report() {
	w.t.Helper()
	for _, v := range w.oracle.verdict() {
		w.t.Errorf("seed %d: %s", w.seed, v)
	}
	if testing.Verbose() && w.t.Failed() {
		for _, c := range w.castoffs {
			w.t.Logf("%s said:\n%s", c.name, c.log.about("", 60))
		}
	}
}
