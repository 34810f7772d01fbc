package scenario

import (
	"flag"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

var hangs = flag.Int("hangs", 6, "how many seeded hangs TestDetachingShortensExposure compares")

// flowsPerSecond is how many new flows a healthy target gets in the comparison:
// any number gives the same ratio.
const flowsPerSecond = 10

// felt is what one hang cost.
type felt struct {
	exposed  time.Duration // ECS knew, and the balancer called the target healthy
	lastFlow time.Duration // from the hang to the last new flow at the dead app
	flows    float64
	reaction time.Duration // from the first reading that shows UNHEALTHY to the call
}

// hangOnce hangs a task of the reference workload at an instant that follows
// from the seed, with castoff in a mode, and waits for the end of it.
func hangOnce(t *testing.T, seed uint64, mode policy.Mode) felt {
	t.Helper()
	var f felt
	synctest.Test(t, func(t *testing.T) {
		region := referenceRegion(t, seed, nil, 6) // two a zone: the last of a zone would stay
		d := start(t, region, set{mode: mode})
		time.Sleep(2*time.Minute + time.Duration(seed*7919%30_000)*time.Millisecond)
		must(t, region.Hang(region.Tasks(reference)[int(seed%6)].ARN))
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		tl, truth := onlyOne(t, d)
		for _, finding := range Judge(tl, truth) {
			if !finding.Holds() {
				t.Errorf("seed %d, %s: %s was at %s: %s", seed, mode, finding.Kind, finding.Truth, describe(tl))
			}
		}
		target := truth.Targets[0]
		f = felt{exposed: target.Exposed, flows: target.Flowing.Seconds() * flowsPerSecond, lastFlow: target.LastFlow.Sub(truth.Onset)}
		if mode == policy.Detaching {
			if target.By != sim.ByAPI && target.Exposed > time.Minute {
				t.Errorf("seed %d: castoff let it be: %s", seed, describe(tl))
			}
			unhealthy, _ := tl.Milestone(timeline.Unhealthy)
			if ds := d.View().Detachments; len(ds) == 1 {
				f.reaction = ds[0].Decided.Sub(unhealthy.NotAfter)
			}
		}
	})
	return f
}

// The same hangs, ECS alone and with castoff: exposure is at least twenty times
// shorter at the median.
func TestDetachingShortensExposure(t *testing.T) {
	var alone, with []felt
	for i := range *hangs {
		alone = append(alone, hangOnce(t, uint64(i+1), policy.Observing))
		with = append(with, hangOnce(t, uint64(i+1), policy.Detaching))
	}
	report := func(name string, of func(felt) time.Duration) (a, b time.Duration) {
		list := func(fs []felt) (ds []time.Duration) {
			for _, f := range fs {
				ds = append(ds, of(f))
			}
			return ds
		}
		t.Logf("%-32s ECS alone p50 %-9s p95 %-9s  with castoff p50 %-9s p95 %s", name,
			quantile(list(alone), .5), quantile(list(alone), .95), quantile(list(with), .5), quantile(list(with), .95))
		return quantile(list(alone), .5), quantile(list(with), .5)
	}
	a, b := report("exposure", func(f felt) time.Duration { return f.exposed })
	if 20*b > a {
		t.Errorf("exposure is %s at the median, %s with ECS alone: not twenty times shorter", b, a)
	}
	report("hang to last new flow", func(f felt) time.Duration { return f.lastFlow })
	report("first UNHEALTHY reading to call", func(f felt) time.Duration { return f.reaction })
	flows := func(fs []felt) []float64 {
		var ns []float64
		for _, f := range fs {
			ns = append(ns, f.flows)
		}
		slices.Sort(ns)
		return ns
	}
	fa, fb := flows(alone), flows(with)
	t.Logf("%-32s ECS alone p50 %.0f, with castoff p50 %.0f (%d hangs)", "flows sent to the dead app", fa[len(fa)/2], fb[len(fb)/2], *hangs)
}
