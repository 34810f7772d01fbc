package scenario

import (
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

var twos = flag.Int("two", 3, "how many worlds TestSafetyTwoCastoffs runs")

// SAFETY: two castoffs at once by mistake, each with a journal of its own, in
// hostile worlds: the list holds for each of them, and for both together all of it
// but budgets and rates, of which each has its own.
//
// What protects this without a lock:
//
//   - Each looks at the task and the rows again just before its call, so what the
//     other has taken out is draining by then and counts as neither healthy nor
//     worth a call.
//   - Floors, zones and thresholds count targets that serve. What both take out
//     in the same instant are targets of tasks that ECS calls UNHEALTHY, which
//     were never counted: so even then no floor is crossed.
//   - To take out what is out already does nothing.
//   - Neither puts back what its own journal does not have.
//
// What it does not protect: neither sees what the other spends. With n castoffs
// up to n times the budget may be out and n times the rate be taken out, and what
// ECS puts back is contested n times as often. One journal directory lets only one
// in: its lock is what a second one by mistake runs into.
func TestSafetyTwoCastoffs(t *testing.T) {
	t.Run("worlds", func(t *testing.T) {
		for i := range *twos {
			seed := *firstSeed + uint64(i)
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newHostile(t, seed, 2)
					w.run(10 * time.Minute)
					w.report()
				})
			})
		}
	})
}
