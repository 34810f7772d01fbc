package scenario

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
)

var hostileRuns = flag.String("hostile", "", "the runs of TestSafetyHostileReplies: all, or those whose name matches; default a sample")

// sampled is how many of the hostile runs the checks have, and mostMemory what the
// process that makes all of them may take, in kB.
const (
	sampled    = 60
	mostMemory = 256 << 10
	heapMost   = 192 << 20 // Go's GOMEMLIMIT: three quarters of that
)

// moments are when a lie begins.
var moments = []string{"start", "middle", "out"}

// SAFETY and LIVENESS: an AWS that lies about one thing, in every reply that has it,
// from the start, while all is well, or while a target is out. Whatever it says,
// castoff goes on, makes no call that the truth does not justify, forgets no target
// that it took out, and once the lie is over puts it back.
func TestSafetyHostileReplies(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(heapMost)) // as the templates have it
	lies := everyLie(t)
	type run struct {
		lie    lie
		moment string
	}
	var runs []run
	for _, l := range lies {
		for _, m := range moments {
			runs = append(runs, run{l, m})
		}
	}
	total := len(runs)
	switch *hostileRuns {
	case "":
		var some []run
		for i := range sampled { // of each part of the list, another one each
			some = append(some, runs[(i*total/sampled+i)%total])
		}
		runs = some
	case "all":
	default:
		match := regexp.MustCompile(*hostileRuns)
		runs = slices.DeleteFunc(runs, func(r run) bool { return !match.MatchString(r.lie.String() + " at " + r.moment) })
	}
	told, effects := 0, 0
	for _, r := range runs {
		t.Run(fmt.Sprintf("%s at %s", r.lie, r.moment), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newLyingWorld(t)
				w.run(r.lie, r.moment)
				w.judge(r.lie)
				told, effects = told+min(w.castoff.lies.told, 1), effects+w.oracle.effects
			})
		})
	}
	t.Logf("%d of %d runs, %d with a lie told, %d targets taken out, most memory %d MB", len(runs), total, told, effects, peak(t)>>10)
	if total < 621 || len(runs) >= sampled && (told < len(runs)*2/3 || effects < len(runs)/2) {
		t.Error("too honest to show anything")
	}
	if *hostileRuns == "all" && peak(t) > mostMemory {
		t.Errorf("took %d MB", peak(t)>>10)
	}
}

// peak is the most memory that the process ever had, in kB.
func peak(t *testing.T) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc here")
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	n, _ := strconv.Atoi(strings.Fields(after)[0])
	return n
}

// everyLie is all that can be told of what a castoff reads.
func everyLie(t *testing.T) (lies []lie) {
	synctest.Test(t, func(t *testing.T) {
		w := newLyingWorld(t)
		w.castoff.lies.heard = map[string][]byte{}
		w.castoff.start(w.rules)
		time.Sleep(2 * time.Minute)
		for _, operation := range w.operations() {
			lies = append(lies, liesOf(operation, w.castoff.lies.heard[operation])...)
		}
	})
	return lies
}

// brakes are what keeps castoff from taking a failing task of a service out.
var brakes = map[string]func(*sim.ServiceSpec){
	"observed": func(s *sim.ServiceSpec) { s.Tags["castoff:mode"] = "observe" },
	"paused": func(s *sim.ServiceSpec) {
		s.Tags["castoff:pause"] = "until=" + time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339) + " owner=jane reason=upgrade"
	},
	"floor": func(*sim.ServiceSpec) {}, // its limits want more tasks than would be left
	"zone":  func(s *sim.ServiceSpec) { s.Groups[0].Attributes["load_balancing.cross_zone.enabled"] = "false" },
	"threshold": func(s *sim.ServiceSpec) {
		s.Groups[0].Attributes["target_group_health.dns_failover.minimum_healthy_targets.count"] = "3"
	},
	"grace": func(s *sim.ServiceSpec) { s.Grace = 4 * time.Hour },
}

// belief is a lie that castoff may believe, and what may then be taken out.
type belief struct {
	lie    *regexp.Regexp
	brakes []string
}

// beliefs are the lies that are told so well that nobody can know: a reply that AWS
// gives of another fleet. Those that are marked as open castoff could know.
var beliefs = []belief{
	// A service may have other tags, or none.
	{regexp.MustCompile(`^DescribeServices services/\[\]/tags/\[\](/value)? `), []string{"observed", "paused"}},
	{regexp.MustCompile(`^DescribeServices services/\[\]/tags/\[\]/key (doubled|huge)`), []string{"observed", "paused"}},
}

// believed are the brakes that a lie may lift.
func believed(l lie) (brakes []string) {
	for _, b := range beliefs {
		if b.lie.MatchString(l.String()) {
			brakes = append(brakes, b.brakes...)
		}
	}
	return brakes
}

// lyingWorld is a small fleet of all that castoff reads, in which one task fails.
type lyingWorld struct {
	t       *testing.T
	region  *sim.Region
	oracle  *oracle
	castoff *castoff
	rules   rules
	sick    fleet.ServiceID
	braked  []fleet.ServiceID // of these nothing may be taken out, though a task of each fails
}

func newLyingWorld(t *testing.T) *lyingWorld {
	params := sim.DefaultParams()
	params.NeverReregister, params.React = true, sim.Exactly(time.Hour) // castoff alone acts
	region := sim.New(sim.Options{Seed: 1, Params: &params})
	must(t, region.AddCluster("prod", sim.ClusterOptions{Instances: 2, Tags: map[string]string{"team": "web"}}))
	check := &fleet.HealthCheck{Command: []string{"CMD", "/check"}, Interval: 5 * time.Second, Timeout: 2 * time.Second, Retries: 2}
	app := []sim.ContainerSpec{{Name: "app", Ports: []int{8080}, Check: check}}
	cross := map[string]string{"load_balancing.cross_zone.enabled": "true"}
	api := sim.ReferenceWorkload("prod", "api")
	api.Desired, api.Tags = 4, map[string]string{"castoff:mode": "detach"}
	api.Groups[0].Name, api.Groups[0].Attributes, api.Groups[0].Tags = "api", cross, map[string]string{"castoff:managed": "true"}
	specs := []sim.ServiceSpec{
		api,
		{Cluster: "prod", Name: "edge", Desired: 2, Settled: true, LaunchType: fleet.EC2, NetworkMode: fleet.NetworkBridge, Containers: app,
			Groups: []sim.GroupSpec{{Name: "edge", Attributes: cross}}},
	}
	// Of these something in the replies says that nothing may be taken out, and nothing else does.
	for name, brake := range brakes {
		s := sim.ServiceSpec{Cluster: "prod", Name: name, Desired: 3, Settled: true, Containers: app, Tags: map[string]string{"team": "web"},
			Groups: []sim.GroupSpec{{Name: name, Attributes: maps.Clone(cross), Tags: map[string]string{"castoff:managed": "true"}}}}
		brake(&s)
		specs = append(specs, s)
	}
	slices.SortFunc(specs, func(a, b sim.ServiceSpec) int { return cmp.Compare(a.Name, b.Name) })
	for _, s := range specs {
		must(t, region.AddService(s))
	}
	w := &lyingWorld{t: t, region: region, oracle: newOracle(region, specs), sick: fleet.ServiceID{Cluster: "prod", Name: "api"}}
	for name := range brakes {
		w.braked = append(w.braked, fleet.ServiceID{Cluster: "prod", Name: name})
	}
	limits := policy.DefaultLimits()
	limits.Mode, limits.Startup = policy.Detaching, 15*time.Second
	w.rules = rules{limits: func(id fleet.ServiceID) policy.Limits {
		l := limits
		if id.Name == "edge" {
			l.Mode = policy.Observing
		}
		if id.Name == "floor" {
			l.Floor.Percent = 90
		}
		return l
	}, fleet: policy.DefaultFleetLimits()}
	w.rules.fleet.Correlated = policy.CorrelatedLimits{Count: 100, Percent: 100, Cooldown: time.Minute}
	w.castoff = newCastoff(t, "a", w.oracle)
	w.castoff.lies = &liar{next: w.castoff.tap}
	return w
}

// operations are those that castoff has made, in order.
func (w *lyingWorld) operations() []string {
	var all []string
	for operation := range w.castoff.lies.heard {
		all = append(all, operation)
	}
	slices.Sort(all)
	return all
}

// until waits for something, and no longer than that.
func (w *lyingWorld) until(most time.Duration, is func() bool) bool {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(time.Second) {
		w.oracle.look()
		if synctest.Wait(); is() {
			return true
		}
	}
	return is()
}

func (w *lyingWorld) out() bool {
	w.oracle.mu.Lock()
	defer w.oracle.mu.Unlock()
	return len(w.oracle.out) > 0
}

// run tells one lie for two minutes, while a task fails and gets well again.
func (w *lyingWorld) run(l lie, moment string) {
	c := w.castoff
	if moment == "start" {
		c.lies.set(&l)
	}
	c.start(w.rules)
	time.Sleep(time.Minute)
	if moment == "middle" {
		c.lies.set(&l)
	}
	time.Sleep(10 * time.Second)
	task := w.region.Tasks(w.sick)[0].ARN
	must(w.t, w.region.Hang(task))
	for _, id := range w.braked {
		must(w.t, w.region.Hang(w.region.Tasks(id)[0].ARN))
	}
	// Where the lie stands in the way the target may stay in until it is over.
	time.Sleep(50 * time.Second)
	if w.oracle.look(); moment == "out" {
		if !w.out() {
			w.t.Error("castoff does not act while all is well")
		}
		c.lies.set(&l)
		time.Sleep(time.Minute)
		must(w.t, w.region.Recover(task)) // it may be put back meanwhile
		time.Sleep(time.Minute)
		c.lies.set(nil)
	} else {
		c.lies.set(nil)
		if !w.until(3*time.Minute, w.out) {
			w.t.Error("castoff does not act once the lie is over")
		}
		must(w.t, w.region.Recover(task))
	}
	w.until(20*time.Minute, func() bool { return !w.out() && !c.anyOut() && len(c.life.daemon.View().Snapshot.Gaps) == 0 })
}

// judge holds the run to what must hold whatever AWS says.
func (w *lyingWorld) judge(l lie) {
	c := w.castoff
	may := believed(l)
	v := c.life.daemon.View()
	for _, h := range v.Halts {
		w.t.Errorf("castoff stopped acting: %s: %s", h.Cause, h.Detail)
	}
	for _, d := range v.Detachments {
		if d.Mode == policy.Detaching && d.Service != w.sick {
			if slices.Contains(may, d.Service.Name) {
				continue
			}
			w.t.Errorf("%s of %s was taken out, which its brake forbids", d.Target.Address(), d.Service)
			continue
		}
		if d.Mode == policy.Detaching && (d.Open() || d.Outcome != policy.Recovered) {
			w.t.Errorf("the detachment of %s: open %v, %q, and its task is well", d.Target.Address(), d.Open(), d.Outcome)
		}
	}
	for _, task := range w.region.Tasks(w.sick) {
		for _, key := range task.Targets {
			if row := rowOf(w.region.Rows(key.Group), key); row == nil || row.State == fleet.TargetDraining {
				w.t.Errorf("%s of %s, which is %s, is left out", key.Address(), task.ARN.ID(), task.Health)
			}
		}
	}
	if len(v.Snapshot.Gaps) > 0 {
		w.t.Errorf("still unseen: %+v", v.Snapshot.Gaps)
	}
	for _, found := range w.oracle.verdict() {
		if !slices.ContainsFunc(may, func(brake string) bool { return strings.Contains(found.text, " of prod/"+brake+" by ") }) {
			w.t.Error(found)
		}
	}
	if w.t.Failed() && testing.Verbose() {
		w.t.Log(c.log.about("", 40))
	}
}
