package scenario

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
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
	retired  time.Duration // from the hang to STOPPED
	reaction time.Duration // from the first reading that shows UNHEALTHY to the first call
	tries    int
}

// firstCall notes when castoff first called DeregisterTargets.
type firstCall struct {
	controller.Actor
	at *time.Time
}

func (f firstCall) Deregister(ctx context.Context, until time.Time, group fleet.TargetGroupARN, targets []fleet.TargetKey) error {
	if f.at.IsZero() {
		*f.at = time.Now()
	}
	return f.Actor.Deregister(ctx, until, group, targets)
}

// hangOnce hangs a task of the reference workload at an instant that follows
// from the seed, with castoff in a mode, and waits for the end of it.
func hangOnce(t *testing.T, seed uint64, mode policy.Mode) felt {
	t.Helper()
	var f felt
	synctest.Test(t, func(t *testing.T) {
		var called time.Time
		region := referenceRegion(t, seed, nil, 6) // two a zone: the last of a zone would stay
		d := start(t, region, set{mode: mode, actor: func(a controller.Actor) controller.Actor { return firstCall{a, &called} }})
		time.Sleep(2*time.Minute + time.Duration(seed*7919%30_000)*time.Millisecond)
		must(t, region.Hang(region.Tasks(reference)[int(seed%6)].ARN))
		for end := time.Now().Add(30 * time.Minute); len(d.View().Closed) == 0 && time.Now().Before(end); synctest.Wait() {
			time.Sleep(time.Minute)
		}
		tl, truth := onlyOne(t, d)
		for _, finding := range Judge(tl, truth) {
			if !finding.Holds() {
				t.Errorf("seed %d, %s: %s was at %s: %s", seed, mode, finding.Kind, finding.Truth, describe(tl))
			}
		}
		target := truth.Targets[0]
		f = felt{
			exposed: target.Exposed, flows: target.Flowing.Seconds() * flowsPerSecond,
			lastFlow: target.LastFlow.Sub(truth.Onset), retired: truth.Stopped.Sub(truth.Onset),
		}
		if mode == policy.Observing {
			if !called.IsZero() {
				t.Errorf("seed %d: called in observe mode: %s", seed, describe(tl))
			}
			return
		}
		if called.IsZero() {
			t.Fatalf("seed %d: castoff let it be: %s", seed, describe(tl))
		}
		unhealthy, _ := tl.Milestone(timeline.Unhealthy)
		f.reaction, f.tries = called.Sub(unhealthy.NotAfter), d.View().Detachments[0].Tries
	})
	return f
}

// The same hangs, ECS alone and with castoff: exposure is at least twenty times
// shorter at the median, and two polls at most for nineteen of twenty.
func TestDetachingShortensExposure(t *testing.T) {
	alone, with := make([]felt, *hangs), make([]felt, *hangs)
	t.Run("hangs", func(t *testing.T) {
		for seed := range *hangs {
			t.Run(fmt.Sprintf("seed=%d", seed+1), func(t *testing.T) {
				t.Parallel()
				alone[seed] = hangOnce(t, uint64(seed+1), policy.Observing)
				with[seed] = hangOnce(t, uint64(seed+1), policy.Detaching)
			})
		}
	})
	if t.Failed() {
		return
	}
	list := func(fs []felt, of func(felt) time.Duration) (ds []time.Duration) {
		for _, f := range fs {
			ds = append(ds, of(f))
		}
		return ds
	}
	for _, row := range []struct {
		name string
		of   func(felt) time.Duration
	}{
		{"exposure", func(f felt) time.Duration { return f.exposed }},
		{"hang to last new flow", func(f felt) time.Duration { return f.lastFlow }},
		{"hang to STOPPED", func(f felt) time.Duration { return f.retired }},
		{"flows at the dead app, as seconds", func(f felt) time.Duration { return time.Duration(f.flows * float64(time.Second)) }},
		{"first UNHEALTHY reading to call", func(f felt) time.Duration { return f.reaction }},
	} {
		a, w := list(alone, row.of), list(with, row.of)
		t.Logf("%-32s ECS alone p50 %-10s p95 %-10s  with castoff p50 %-10s p95 %-10s max %s", row.name,
			quantile(a, .5), quantile(a, .95), quantile(w, .5), quantile(w, .95), quantile(w, 1))
	}
	tries := map[int]int{}
	for _, f := range with {
		tries[f.tries]++
	}
	t.Logf("%d hangs, tries %v", *hangs, tries)
	a, w := list(alone, func(f felt) time.Duration { return f.exposed }), list(with, func(f felt) time.Duration { return f.exposed })
	if 20*quantile(w, .5) > quantile(a, .5) {
		t.Errorf("exposure is %s at the median, %s with ECS alone: not twenty times shorter", quantile(w, .5), quantile(a, .5))
	}
	if limit := 2 * config.Default().Polling.Interval; quantile(w, .95) > limit {
		t.Errorf("exposure is %s at p95, more than two polls, %s", quantile(w, .95), limit)
	}
}
