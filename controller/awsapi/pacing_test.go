package awsapi

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// allowed are the default budgets: a quarter of the published rates, and bursts
// of a pass's worth but no more than half of the published ones.
var allowed = map[string]struct{ rate, burst float64 }{
	ClusterReadBucket:         {20 / 4, 50 / 2},
	ClusterResourceReadBucket: {20 / 4, 5 * 5 * 1.2},
	ServiceReadBucket:         {20 / 4, 5 * 5 * 1.2},
	TaskDefinitionReadBucket:  {20 / 4, 50 / 2},
	BalancerReadBucket:        {10 / 4.0, 2.5 * 5 * 1.2},
	RegistrationBucket:        {1, 5 * 1.2},
}

// overdrawn is the slow and obvious check of a token bucket: no stretch of time
// between two calls has more calls than the burst and the rate allow.
func overdrawn(calls []fakeCall, burst, perSecond float64) error {
	for i := range calls {
		for j := i; j < len(calls); j++ {
			n := float64(j - i + 1)
			allowed := burst + perSecond*calls[j].at.Sub(calls[i].at).Seconds()
			if n > allowed+1e-6 {
				return fmt.Errorf("%v calls within %s, allowed %.2f", n, calls[j].at.Sub(calls[i].at), allowed)
			}
		}
	}
	return nil
}

// SAFETY: whatever the fleet, however often passes come, and whatever fails,
// retries included, no bucket gives more than its budget.
func TestBudgetIsNeverExceeded(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		clusters, services, tasks := rapid.IntRange(1, 4).Draw(r, "clusters"), rapid.IntRange(1, 30).Draw(r, "services"), rapid.IntRange(0, 20).Draw(r, "tasks")
		attempts := rapid.IntRange(1, 4).Draw(r, "attempts")
		failing := rapid.SampledFrom([]int{0, 0, 3, 10}).Draw(r, "one call in so many fails")
		every := rapid.SampledFrom([]time.Duration{100 * time.Millisecond, 2 * time.Second, 5 * time.Second}).Draw(r, "pass every")
		passes := rapid.IntRange(2, 12).Draw(r, "passes")
		acts := rapid.SampledFrom([]int{0, 0, 1, 5}).Draw(r, "decisions a pass")
		var failed error // a bubble has goroutines of its own, which must not end the check
		synctest.Test(t, func(t *testing.T) {
			f := newFake(clusters, services, tasks)
			n := 0
			f.fault = func(c fakeCall) *fakeReply {
				if n++; failing == 0 || n%failing != 0 {
					return nil
				}
				if bucketOf[c.op] == BalancerReadBucket || bucketOf[c.op] == RegistrationBucket {
					return elbError(400, "Throttling")
				}
				return ecsError("ThrottlingException")
			}
			o := observer(t, Options{Config: f.retrying(attempts)})
			var hot []fleet.ServiceID
			for range passes {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				s := o.Observe(ctx, hot)
				for range acts {
					if len(s.Tasks) == 0 || ctx.Err() != nil {
						break
					}
					s = o.Refresh(ctx, []fleet.TaskARN{s.Tasks[0].ARN}, []fleet.TargetGroupARN{web()})
					_ = o.Deregister(ctx, web(), []fleet.TargetKey{webTarget(0)})
					_ = o.Register(ctx, web(), []Registration{{Key: webTarget(0)}})
				}
				cancel()
				if len(s.Services) > 0 {
					hot = []fleet.ServiceID{s.Services[0].ID}
				}
				time.Sleep(every)
			}
			byBucket := make(map[string][]fakeCall)
			for _, c := range f.taken() {
				byBucket[bucketOf[c.op]] = append(byBucket[bucketOf[c.op]], c)
			}
			for name, calls := range byBucket {
				if err := overdrawn(calls, allowed[name].burst, allowed[name].rate); err != nil {
					failed = fmt.Errorf("%s: %w", name, err)
				}
			}
		})
		if failed != nil {
			r.Fatal(failed)
		}
	})
}

// LIVENESS: with less budget than the clocks ask for, everything is still read,
// again and again, and nothing waits much longer than the rest.
func TestEverythingIsReadInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(2, 100, 10) // 2,000 tasks, 200 groups
		rec := newRecorder()
		o := observer(t, Options{Config: f.config(), Recorder: rec})
		begun := time.Now()
		first := o.Observe(t.Context(), nil)
		for _, g := range first.Gaps {
			if g.Class != fleet.Paced {
				t.Errorf("gap %v", g)
			}
		}
		if len(first.Gaps) == 0 || time.Since(begun) != 0 {
			t.Error("the first pass waited for the budget")
		}
		var s *fleet.Snapshot
		for range 400 / 2 { // 400 s
			time.Sleep(2 * time.Second)
			s = o.Observe(t.Context(), nil)
		}
		if len(s.Gaps) != 0 || len(s.Tasks) != 2000 || len(s.TargetGroups) != 200 {
			t.Fatalf("after 400 s: %d tasks, %d groups, %d gaps", len(s.Tasks), len(s.TargetGroups), len(s.Gaps))
		}
		// 20 DescribeTasks each 5 s and 20 ListTasks each 15 s are 5.3 a second
		// where 5 are allowed.
		var tasks, groups time.Duration
		for _, task := range s.Tasks {
			tasks = max(tasks, task.Read.Age(time.Now()))
		}
		for _, g := range s.TargetGroups {
			groups = max(groups, g.Read.Age(time.Now()))
		}
		if tasks > 15*time.Second {
			t.Errorf("oldest task %s", tasks)
		}
		// 200 groups each 30 s are 6.7 a second where 2.5 are allowed.
		if groups > 150*time.Second || groups < 60*time.Second {
			t.Errorf("oldest group %s", groups)
		}
		if rec.waits[BalancerReadBucket] == 0 || rec.waits[ClusterResourceReadBucket] == 0 {
			t.Errorf("waits %v", rec.waits)
		}
		// A new task is found and read although everything is late.
		c := f.clusters[1]
		c.tasks = append(c.tasks, &fakeTask{id: "new", service: "s0000", ip: "10.9.9.9", health: "HEALTHY", status: "RUNNING", desired: "RUNNING"})
		for s.Task(c.taskARN("new")) == nil {
			if time.Sleep(2 * time.Second); time.Since(s.At) > time.Minute {
				t.Fatal("a new task was not found within a minute")
			}
			at := s.At
			s = o.Observe(t.Context(), nil)
			s.At = at
		}
	})
}

// Hot reads come first and soon, but never take everything.
func TestHotReadsLeaveSomeToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 100, 2)
		o := observer(t, Options{Config: f.config()})
		var hot []fleet.ServiceID
		for i := range 20 { // 20 groups each 2 s: four times the budget
			hot = append(hot, fleet.ServiceID{Cluster: "c00", Name: fmt.Sprintf("s%04d", i)})
		}
		for range 60 { // the first readings of all, undisturbed
			o.Observe(t.Context(), nil)
			time.Sleep(2 * time.Second)
		}
		f.taken()
		begun := time.Now()
		reads := map[bool]int{}
		for range 150 {
			o.Observe(t.Context(), hot)
			time.Sleep(2 * time.Second)
		}
		var seen []string
		for _, c := range f.taken() {
			if c.op == "DescribeTargetHealth" {
				isHot := slices.ContainsFunc(hot, func(id fleet.ServiceID) bool { return groupARN("c00-"+id.Name) == c.refs[0] })
				reads[isHot]++
				if !slices.Contains(seen, c.refs[0]) {
					seen = append(seen, c.refs[0])
				}
			}
		}
		total := 2.5 * time.Since(begun).Seconds()
		if share := float64(reads[true]) / total; share < 0.65 || share > 0.8 {
			t.Errorf("hot reads had %.2f of the budget: %v of %.0f", share, reads, total)
		}
		if len(seen) != 100 {
			t.Errorf("%d of 100 groups were read", len(seen))
		}
	})
}

// A cluster with many tasks does not keep a small one from its turn.
func TestClustersShareFairly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 200, 20) // 4,000 tasks: 40 calls each 5 s
		small := newFake(2, 1, 3).clusters[1]
		f.clusters = append(f.clusters, small)
		f.groups = append(f.groups, &fakeGroup{name: "c01-s0000", kind: "ip"})
		o := observer(t, Options{Config: f.config()})
		var s *fleet.Snapshot
		for range 60 {
			s = o.Observe(t.Context(), nil)
			time.Sleep(2 * time.Second)
		}
		oldest := make(map[fleet.ClusterARN]time.Duration)
		for _, task := range s.Tasks {
			oldest[task.Cluster] = max(oldest[task.Cluster], task.Read.Age(s.At))
		}
		big, little := oldest[fleet.ClusterARN(f.clusters[0].arn())], oldest[fleet.ClusterARN(small.arn())]
		if little > big || big > 30*time.Second {
			t.Errorf("oldest task of the big cluster %s, of the small one %s", big, little)
		}
	})
}

func TestSecondScalesBudgetsAndSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		o := observer(t, Options{Config: f.config(), Second: 100 * time.Millisecond})
		s := o.Observe(t.Context(), nil)
		if got := s.Services[0].Grace; got != 6*time.Second {
			t.Errorf("grace %s", got)
		}
		if got := s.TargetGroups[0].Attributes.DeregistrationDelay; got != 12*time.Second {
			t.Errorf("deregistration delay %s", got)
		}
		if got := o.buckets[ClusterResourceReadBucket].limiter.Limit(); got != 50 {
			t.Errorf("%v calls a second", got)
		}
	})
}

// LIVENESS: ten thousand tasks in one cluster are all found and read, although
// one walk through their list and one reading of each are 200 calls.
func TestLargeClusterIsFoundSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 20, 500)
		o := observer(t, Options{Config: f.config()})
		begun := time.Now()
		for {
			s := o.Observe(t.Context(), nil)
			if len(s.Tasks) == 10_000 && len(s.Gaps) == 0 {
				break
			}
			if time.Since(begun) > 2*time.Minute {
				t.Fatalf("after %s: %d tasks, gaps %v", time.Since(begun), len(s.Tasks), gapsOf(s))
			}
			time.Sleep(5 * time.Second)
		}
		t.Logf("after %s", time.Since(begun))
		var oldest time.Duration
		for range 24 {
			s := pass(t, o, 5*time.Second)
			for _, task := range s.Tasks {
				oldest = max(oldest, task.Read.Age(s.At))
			}
		}
		// 20 DescribeTasks and 6.7 ListTasks a second are wanted, 5 are allowed.
		if oldest > 40*time.Second {
			t.Errorf("oldest task %s", oldest)
		}
	})
}

// A hot group's attributes say how its targets will leave: they do not wait for
// those of the other groups.
func TestAttributesOfHotGroupsComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 200, 1)
		o := observer(t, Options{Config: f.config()})
		o.Observe(t.Context(), nil)
		hot := fleet.ServiceID{Cluster: "c00", Name: "s0199"}
		for range 4 {
			time.Sleep(2 * time.Second)
			o.Observe(t.Context(), []fleet.ServiceID{hot})
		}
		s := o.Observe(t.Context(), []fleet.ServiceID{hot})
		if g := s.TargetGroup(fleet.TargetGroupARN(groupARN("c00-s0199"))); g == nil || g.Read.Never() || !g.Attributes.Known {
			t.Errorf("after 8 s: %+v", g)
		}
	})
}

// What is said of the budgets is what the limiters give, in seconds of the clock.
func TestBudgetsAreTold(t *testing.T) {
	r := newRecorder()
	observer(t, Options{
		Config: newFake(1, 1, 1).config(), Second: time.Second / 10, Recorder: r,
		Budgets: Budgets{ServiceRead: math.Inf(1), BalancerRead: 0.5},
	})
	want := map[string]float64{
		ClusterReadBucket: 50, ClusterResourceReadBucket: 50, ServiceReadBucket: math.Inf(1), TaskDefinitionReadBucket: 50, BalancerReadBucket: 5, RegistrationBucket: 10,
	}
	if !maps.Equal(r.budgets, want) {
		t.Errorf("%v, want %v", r.budgets, want)
	}
}
