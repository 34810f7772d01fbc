package scenario

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

var (
	worlds     = flag.Int("worlds", 7, "how many random worlds TestSafetyTruthWithinBounds runs")
	showMissed = flag.Bool("missed", false, "show what castoff did not see")
	firstSeed  = flag.Uint64("seed", 1, "seed of the first of them")
)

// Rounds of failures in a world: one failure in each service a round.
const rounds = 4

// services are one of each shape that castoff knows.
func services() []sim.ServiceSpec {
	check := func() *fleet.HealthCheck {
		return &fleet.HealthCheck{Command: []string{"CMD", "/check"}, Interval: 10 * time.Second, Timeout: 5 * time.Second, Retries: 3}
	}
	app := func() []sim.ContainerSpec {
		return []sim.ContainerSpec{{Name: "app", Ports: []int{8080}, Check: check()}}
	}
	short := 60 * time.Second
	group := func(name string) sim.GroupSpec {
		return sim.GroupSpec{Name: name, DeregistrationDelay: short, Check: fleet.TargetCheck{Interval: 10 * time.Second, HealthyThreshold: 3}}
	}
	reference := sim.ReferenceWorkload("prod", "reference")
	reference.Desired = 3
	reference.Groups[0].DeregistrationDelay = short
	v6 := group("v6")
	v6.IPAddressType = "ipv6"
	pair := group("pair")
	pair.Alternate = true
	return []sim.ServiceSpec{
		reference,
		{Cluster: "prod", Name: "two-groups", Desired: 3, Containers: app(), Groups: []sim.GroupSpec{group("inner"), group("outer")}, Settled: true},
		{Cluster: "prod", Name: "no-balancer", Desired: 3, Containers: app(), Settled: true},
		{Cluster: "prod", Name: "no-check", Desired: 3, Containers: []sim.ContainerSpec{{Name: "app", Ports: []int{8080}}}, Groups: []sim.GroupSpec{group("no-check")}, Settled: true},
		{Cluster: "prod", Name: "stop-first", Desired: 3, MinimumHealthyPercent: 50, MaximumPercent: 100, Containers: app(), Groups: []sim.GroupSpec{group("stop-first")}, Settled: true},
		{Cluster: "edge", Name: "ipv6", Desired: 3, IPv6: true, Containers: app(), Groups: []sim.GroupSpec{v6}, Settled: true},
		{Cluster: "edge", Name: "bridge", Desired: 3, LaunchType: fleet.EC2, NetworkMode: fleet.NetworkBridge, Containers: app(), Groups: []sim.GroupSpec{group("bridge")}, Settled: true},
		{Cluster: "edge", Name: "blue-green", Desired: 3, Containers: app(), Groups: []sim.GroupSpec{pair}, Settled: true},
		{Cluster: "edge", Name: "external", Desired: 3, Controller: fleet.ControllerExternal, Containers: app(), Groups: []sim.GroupSpec{group("external")}, Settled: true},
	}
}

// randomParams draws every lag that nobody has published from a range around
// what is believed.
func randomParams(rng *rand.Rand) sim.Params {
	p := sim.DefaultParams()
	p.HealthReportFargate = sim.Range{Max: time.Duration(rng.Int64N(int64(10 * time.Second)))}
	p.UncheckedUnknown = rng.IntN(2) == 0
	p.StampOnDeactivating = rng.IntN(2) == 0
	p.ExitDeactivates = rng.IntN(2) == 0
	p.FullDrainWait = rng.IntN(2) == 0
	p.HostBindings = rng.IntN(2) == 0
	p.DeregisterDelay = sim.Range{Max: time.Duration(rng.Int64N(int64(10 * time.Second)))}
	p.ReplyAge = sim.Range{Max: time.Duration(rng.Int64N(int64(config.Default().Polling.ReplyAge)))}
	p.RegistrationLag = sim.Range{Min: 5 * time.Second, Max: time.Duration(10+rng.IntN(120)) * time.Second}
	return p
}

// world runs one region with castoff in it for a while, failing tasks at random.
func world(t *testing.T, seed uint64, d **daemon) {
	rng := rand.New(rand.NewPCG(seed, 7))
	params := randomParams(rng)
	region := sim.New(sim.Options{Seed: seed, Params: &params, Throttle: true, Latency: time.Duration(rng.IntN(300)) * time.Millisecond})
	must(t, region.AddCluster("prod", sim.ClusterOptions{}), region.AddCluster("edge", sim.ClusterOptions{Instances: 4}))
	specs := services()
	for _, s := range specs {
		must(t, region.AddService(s))
	}
	if rng.IntN(3) == 0 { // one group is nobody's to read
		region.Fault(sim.Fault{Operation: "DescribeTargetHealth", Resource: "/inner/", Effect: sim.Deny})
	}
	kept := journal.Memory(journal.Options{Keep: journal.Keep{Count: 1000, Age: 24 * time.Hour}})
	*d = start(t, region, set{journal: kept})
	time.Sleep(2 * time.Minute)
	for round := range rounds {
		if round == rounds/2 { // castoff is restarted
			past, err := kept.Load()
			must(t, err, (*d).Stop(t.Context()))
			time.Sleep(time.Duration(rng.IntN(90)) * time.Second)
			kept = journal.Memory(journal.Options{Keep: journal.Keep{Count: 1000, Age: 24 * time.Hour}})
			*d = start(t, region, set{journal: kept, past: past})
		}
		order := rng.Perm(len(specs))
		for _, i := range order {
			time.Sleep(time.Duration(rng.IntN(40_000)) * time.Millisecond)
			fail(t, rng, region, fleet.ServiceID{Cluster: specs[i].Cluster, Name: specs[i].Name})
			if rng.IntN(8) == 0 {
				trouble(rng, region)
			}
		}
		time.Sleep(15 * time.Minute)
	}
	time.Sleep(20 * time.Minute)
	synctest.Wait()
}

// fail makes one task of a service fail, in one of the ways that tasks do.
func fail(t *testing.T, rng *rand.Rand, region *sim.Region, id fleet.ServiceID) {
	var up []fleet.TaskARN
	for _, task := range region.Tasks(id) {
		if task.Serving && task.Answering {
			up = append(up, task.ARN)
		}
	}
	if len(up) == 0 {
		return
	}
	arn := up[rng.IntN(len(up))]
	switch rng.IntN(10) {
	case 0, 1, 2, 3:
		must(t, region.Hang(arn))
	case 4:
		must(t, region.Crash(arn))
	case 5, 6:
		must(t, region.KillFront(arn))
	case 7:
		must(t, region.Exit(arn))
	case 8:
		must(t, region.Hang(arn))
		again := time.Duration(30+rng.IntN(60)) * time.Second
		time.AfterFunc(again, func() { _ = region.Recover(arn) }) // it may be gone by then
	case 9:
		must(t, region.NextTasks(id, sim.StartsHung), region.Hang(arn))
	}
}

// trouble has AWS answer badly for a while, mostly a short one.
func trouble(rng *rand.Rand, region *sim.Region) {
	effects := []sim.Effect{sim.Throttle, sim.ServerError, sim.LoseRequest, sim.LoseReply, sim.Truncate, sim.Garbage, sim.Deny}
	operations := []string{"", "DescribeTasks", "DescribeTargetHealth", "ListTasks", "DescribeServices"}
	lift := region.Fault(sim.Fault{Operation: operations[rng.IntN(len(operations))], Effect: effects[rng.IntN(len(effects))]})
	d := time.Duration(5+rng.IntN(60)) * time.Second
	if rng.IntN(6) == 0 {
		d *= 10
	}
	time.AfterFunc(d, lift)
}

// tally counts what the worlds showed.
type tally struct {
	timelines, milestones int
	missed                map[timeline.Kind]int
	widths                map[timeline.Kind][]time.Duration
	outcomes              map[timeline.Outcome]int
}

// SAFETY: in random worlds with failures of every kind, in services of every
// shape, with AWS failing now and then, a group that nobody may read and a
// restart, the truth is within the bounds of every milestone of every timeline,
// and half of the bounds of each kind of milestone are no wider than one polling
// interval and the age of a reply.
func TestSafetyTruthWithinBounds(t *testing.T) {
	sum := tally{missed: map[timeline.Kind]int{}, widths: map[timeline.Kind][]time.Duration{}, outcomes: map[timeline.Outcome]int{}}
	var interval, calm time.Duration
	for i := range *worlds {
		seed := *firstSeed + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var d *daemon
				world(t, seed, &d)
				interval, calm = d.polling.Interval, d.polling.CalmInterval
				sum.judge(t, d)
			})
		})
	}
	var all []time.Duration
	for _, k := range timeline.Kinds {
		all = append(all, sum.widths[k]...)
		median := quantile(sum.widths[k], .5)
		t.Logf("%-20s n=%-4d width: median %-8s p95 %-8s  not seen %d", k, len(sum.widths[k]), median, quantile(sum.widths[k], .95), sum.missed[k])
		limit := interval + config.Default().Polling.ReplyAge
		switch k {
		case timeline.Onset:
			continue // an estimate: as wide as the check's interval, timeouts and reporting lag
		case timeline.LBUnhealthy:
			limit += calm // where nothing else fails, the balancer's verdict is read at the calm interval
		}
		if median > limit {
			t.Errorf("half of the bounds of %s are wider than %s", k, limit)
		}
	}
	if want := 29 * *worlds; sum.timelines < want {
		t.Errorf("%d timelines in %d worlds, want %d at least", sum.timelines, *worlds, want)
	}
	missed := 0
	for _, n := range sum.missed {
		missed += n
	}
	if 10*missed > sum.milestones {
		t.Errorf("%d milestones not seen beside %d seen", missed, sum.milestones)
	}
	t.Logf("%d timelines %v, %d milestones, median width %s, p95 %s",
		sum.timelines, sum.outcomes, sum.milestones, quantile(all, .5), quantile(all, .95))
	if m := quantile(all, .5); m > interval {
		t.Errorf("half of all bounds are wider than %s, the polling interval is %s", m, interval)
	}
}

// judge compares every timeline of a daemon with the truth.
func (sum *tally) judge(t *testing.T, d *daemon) {
	truths := map[fleet.TaskARN][]sim.Truth{}
	for _, truth := range d.region.Truth() {
		truths[truth.Task] = append(truths[truth.Task], truth)
	}
	view := d.View()
	for _, tl := range view.Open {
		t.Errorf("LIVENESS: still open long after the end: %s", describe(tl))
	}
	told := map[fleet.TaskARN]int{}
	for _, tl := range slices.Backward(view.Closed) {
		n := told[tl.Task]
		told[tl.Task]++
		if n >= len(truths[tl.Task]) {
			t.Errorf("a timeline of something that never happened: %s", describe(tl))
			continue
		}
		sum.timelines++
		sum.outcomes[tl.Outcome]++
		for _, f := range Judge(tl, truths[tl.Task][n]) {
			if !f.Holds() {
				t.Errorf("%s was at %s: %s\n%s", f.Kind, f.Truth.Format("15:04:05.000"), describe(tl), narrate(truths[tl.Task][n]))
			}
			if f.Missed() {
				sum.missed[f.Kind]++
				if testing.Verbose() && *showMissed {
					t.Logf("missed %s: %s\n%s", f.Kind, describe(tl), narrate(truths[tl.Task][n]))
				}
			}
			if f.Known {
				sum.milestones++
				sum.widths[f.Kind] = append(sum.widths[f.Kind], f.Milestone.Width())
			}
		}
	}
	for arn, ts := range truths {
		for _, truth := range ts {
			seen := !truth.Unhealthy.IsZero() || !first(truth.Targets, func(t sim.TargetTruth) time.Time { return t.LBUnhealthy }).IsZero() || truth.Cause == sim.Exit
			if !truth.Recovery.IsZero() && truth.Recovery.Sub(truth.Unhealthy) < config.Default().Polling.Interval+config.Default().Polling.ReplyAge {
				continue // it may have come and gone between two readings
			}
			if seen && told[arn] == 0 {
				t.Errorf("no timeline: %s", narrate(truth))
			}
		}
	}
}

func quantile(ds []time.Duration, q float64) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(ds))
	return sorted[int(q*float64(len(sorted)-1))].Round(time.Millisecond)
}

func describe(tl *timeline.Timeline) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s (%s, %q, flaps %d, replacement %s, %q)\n", tl.Task.ID(), tl.Service, tl.Trigger, tl.Outcome, tl.Flaps, tl.Replacement.ID(), tl.StoppedReason)
	for _, m := range tl.Milestones {
		fmt.Fprintf(&b, "  %-20s %s … %s  %s by %s: %s\n", m.Kind, m.NotBefore.Format("15:04:05.000"), m.NotAfter.Format("15:04:05.000"), m.Source, m.By, m.Evidence)
	}
	return b.String()
}

func narrate(truth sim.Truth) string {
	var b strings.Builder
	fmt.Fprintf(&b, "truth: %s of %s, %s, replaced by %s\n", truth.Task.ID(), truth.Service, truth.Cause, truth.Replacement.ID())
	for _, k := range timeline.Kinds {
		if at := When(truth, k); !at.IsZero() {
			fmt.Fprintf(&b, "  %-20s %s\n", k, at.Format("15:04:05.000"))
		}
	}
	return b.String()
}
