package sim_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

var (
	seeds     = flag.Int("seeds", 6, "how many worlds TestSafetySameSeedSameBytes runs, twice each")
	firstSeed = flag.Uint64("seed", 1, "seed of the first of them")
)

// busy is a random world in which everything happens, and the trace of it: every
// byte of every reply.
type busy struct {
	t     *testing.T
	r     *sim.Region
	rng   *rand.Rand
	specs []sim.ServiceSpec
	trace bytes.Buffer
	asked int
}

// TestSafetySameSeedSameBytes runs random worlds twice and compares all that a
// client saw. A thousand of them: go test -run SameBytes -seeds 1000.
func TestSafetySameSeedSameBytes(t *testing.T) {
	var replies, size int
	for seed := *firstSeed; seed < *firstSeed+uint64(*seeds); seed++ {
		one, two := busyWorld(t, seed), busyWorld(t, seed)
		a, b := one.trace.Bytes(), two.trace.Bytes()
		if !bytes.Equal(a, b) {
			i := 0
			for i < min(len(a), len(b)) && a[i] == b[i] {
				i++
			}
			cut := func(b []byte) []byte { return b[max(0, i-200):min(len(b), i+200)] }
			t.Fatalf("-seed %d: the two runs differ from byte %d on:\n%s\n\n%s", seed, i, cut(a), cut(b))
		}
		replies, size = replies+one.asked, size+len(a)
	}
	t.Logf("seeds %d to %d twice: %d replies, %d MB each time", *firstSeed, *firstSeed+uint64(*seeds)-1, replies, size>>20)
}

func busyWorld(t *testing.T, seed uint64) *busy {
	t.Helper()
	b := &busy{rng: rand.New(rand.NewPCG(seed, 1))}
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		params := b.params()
		b.r = sim.New(sim.Options{Seed: seed, Params: &params, Throttle: true})
		b.must(b.r.AddCluster("prod", sim.ClusterOptions{}), b.r.AddCluster("edge", sim.ClusterOptions{Instances: 4}))
		for _, spec := range busySpecs() {
			b.specs = append(b.specs, spec)
			b.must(b.r.AddService(spec))
		}
		for end := time.Now().Add(25 * time.Minute); time.Now().Before(end); {
			if b.rng.IntN(3) > 0 {
				b.happen()
			}
			b.look()
			time.Sleep(time.Duration(1+b.rng.IntN(60_000)) * time.Millisecond)
		}
		fmt.Fprintf(&b.trace, "%+v\n%v\n", b.r.Truth(), b.r.Injected())
	})
	return b
}

func (b *busy) must(errs ...error) {
	b.t.Helper()
	for _, err := range errs {
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *busy) params() sim.Params {
	p := sim.DefaultParams()
	coin := func() bool { return b.rng.IntN(2) == 0 }
	p.UncheckedUnknown, p.FullDrainWait, p.StampOnDeactivating, p.ExitDeactivates = coin(), coin(), coin(), coin()
	p.DetachCures, p.HostBindings, p.ReplaceWithNewest = coin(), coin(), coin()
	p.TrafficShift = time.Duration(b.rng.IntN(120)) * time.Second
	p.RegistrationLag = sim.Range{Max: time.Duration(b.rng.IntN(90)) * time.Second}
	if coin() {
		p.ReplyAge = sim.Range{Max: time.Duration(b.rng.IntN(20)) * time.Second}
		p.ReplyAges = map[string]sim.Range{"ListTasks": {Max: 30 * time.Second}}
	}
	if coin() {
		p.ReuseAddresses = time.Duration(1+b.rng.IntN(60)) * time.Second
	}
	return p
}

// busySpecs are services of every kind.
func busySpecs() []sim.ServiceSpec {
	of := func(cluster, name string, change func(*sim.ServiceSpec)) sim.ServiceSpec {
		spec := sim.ReferenceWorkload(cluster, name)
		spec.Groups[0].DeregistrationDelay = 30 * time.Second
		spec.Groups[0].Check = fleet.TargetCheck{Interval: 10 * time.Second, HealthyThreshold: 2}
		change(&spec)
		return spec
	}
	ec2 := func(s *sim.ServiceSpec) { s.LaunchType, s.NetworkMode = fleet.EC2, fleet.NetworkBridge }
	return []sim.ServiceSpec{
		of("prod", "rolling", func(s *sim.ServiceSpec) {
			s.Desired, s.Breaker, s.Rollback, s.Rebalance = 5, sim.BreakerOn, true, true
		}),
		of("prod", "stop-first", func(s *sim.ServiceSpec) { s.MaximumPercent, s.MinimumHealthyPercent = 100, 50 }),
		of("prod", "blue-green", func(s *sim.ServiceSpec) { s.Groups[0].Alternate, s.BakeTime = true, time.Minute }),
		of("prod", "unsettled", func(s *sim.ServiceSpec) { s.Settled, s.Groups = false, nil }),
		of("edge", "code-deploy", func(s *sim.ServiceSpec) { s.Controller, s.Groups[0].Alternate = fleet.ControllerCodeDeploy, true }),
		of("edge", "external", func(s *sim.ServiceSpec) { s.Controller = fleet.ControllerExternal }),
		of("edge", "bridge", func(s *sim.ServiceSpec) { ec2(s); s.Desired = 6 }),
		of("edge", "daemon", func(s *sim.ServiceSpec) { ec2(s); s.Scheduling = fleet.Daemon }),
	}
}

// happen does one of everything that can be done to a region. What cannot be
// done at the moment is refused, and the refusal is part of the trace.
func (b *busy) happen() {
	spec := b.specs[b.rng.IntN(len(b.specs))]
	id := fleet.ServiceID{Cluster: spec.Cluster, Name: spec.Name}
	tasks := b.r.Tasks(id)
	var arn fleet.TaskARN
	var key fleet.TargetKey
	if len(tasks) > 0 {
		task := tasks[b.rng.IntN(len(tasks))]
		arn = task.ARN
		if len(task.Targets) > 0 {
			key = task.Targets[0]
		}
	}
	effects := []sim.Effect{sim.Deny, sim.Throttle, sim.ServerError, sim.LoseRequest, sim.LoseReply, sim.Truncate, sim.Garbage, sim.Delay, sim.DelayReply}
	deeds := []func() error{
		func() error { return b.r.Hang(arn) },
		func() error { return b.r.Crash(arn) },
		func() error { return b.r.KillFront(arn) },
		func() error { return b.r.Exit(arn) },
		func() error { return b.r.Recover(arn) },
		func() error { return b.r.Recover(arn) },
		func() error { return b.r.SpotInterrupt(arn) },
		func() error { return b.r.StopTask(arn, "") },
		func() error { return b.r.Disconnect(arn) },
		func() error { return b.r.Reconnect(arn) },
		func() error { return b.r.Deploy(id) },
		func() error { return b.r.DeployRevision(id, sim.Revision{Fate: sim.Fate(b.rng.IntN(4))}) },
		func() error { return b.r.RollBack(id) },
		func() error { return b.r.NextTasks(id, sim.Fate(b.rng.IntN(4))) },
		func() error { return b.r.Scale(id, b.rng.IntN(8)) },
		func() error { _, err := b.r.CreateTaskSet(id, sim.TaskSetSpec{Percent: 50}); return err },
		func() error { return b.r.DeleteTaskSet(id, tasks[0].Deployment, true) },
		func() error { return b.r.SetPrimaryTaskSet(id, tasks[0].Deployment) },
		func() error { _, err := b.r.AddInstances("edge", 1); return err },
		func() error { return b.r.LoseInstance(key.ID) },
		func() error { return b.r.DeleteService(id) },
		func() error { spec.Groups = nil; return b.r.AddService(spec) },
		func() error { _, err := b.r.RunTask(id.Cluster, "job"); return err },
		func() error {
			b.r.Fault(sim.Fault{
				Effect: effects[b.rng.IntN(len(effects))], Chance: 0.5, For: time.Minute, Delay: sim.Range{Max: 2 * time.Second},
			})
			return nil
		},
		func() error {
			b.ask("DeregisterTargets", "", url.Values{
				"TargetGroupArn": {string(key.Group)}, "Targets.member.1.Id": {key.ID}, "Targets.member.1.Port": {fmt.Sprint(key.Port)},
			})
			return nil
		},
	}
	i := b.rng.IntN(len(deeds))
	if i >= 16 && i <= 17 && len(tasks) == 0 || spec.Name == "rolling" && i == 20 {
		return
	}
	fmt.Fprintf(&b.trace, "deed %d of %s: %v\n", i, id, deeds[i]())
}

// look asks for all that there is, as a watcher would.
func (b *busy) look() {
	b.ask("ListClusters", `{}`, nil)
	b.ask("DescribeClusters", `{"clusters":["prod","edge"],"include":["TAGS"]}`, nil)
	for _, cluster := range []string{"prod", "edge"} {
		b.ask("ListServices", `{"cluster":"`+cluster+`","maxResults":100}`, nil)
		b.ask("ListTasks", `{"cluster":"`+cluster+`","desiredStatus":"STOPPED"}`, nil)
		b.ask("ListTasks", `{"cluster":"`+cluster+`"}`, nil)
		b.ask("ListContainerInstances", `{"cluster":"`+cluster+`"}`, nil)
		var names, arns []string
		for _, spec := range b.specs {
			if spec.Cluster != cluster {
				continue
			}
			names = append(names, spec.Name)
			for _, task := range b.r.Tasks(fleet.ServiceID{Cluster: cluster, Name: spec.Name}) {
				arns = append(arns, string(task.ARN))
			}
		}
		b.ask("DescribeServices", `{"cluster":"`+cluster+`","services":["`+strings.Join(names, `","`)+`"]}`, nil)
		for part := range slices.Chunk(arns, 100) {
			b.ask("DescribeTasks", `{"cluster":"`+cluster+`","tasks":["`+strings.Join(part, `","`)+`"]}`, nil)
		}
	}
	b.ask("DescribeTaskSets", `{"cluster":"edge","service":"code-deploy"}`, nil)
	b.ask("DescribeTaskDefinition", `{"taskDefinition":"rolling"}`, nil)
	for _, spec := range b.specs {
		for _, group := range b.r.ProductionGroups(fleet.ServiceID{Cluster: spec.Cluster, Name: spec.Name}) {
			b.ask("DescribeTargetHealth", "", url.Values{"TargetGroupArn": {string(group)}})
		}
	}
}

func (b *busy) ask(operation, body string, form url.Values) {
	if form != nil {
		form.Set("Action", operation)
		form.Set("Version", "2015-12-01")
		body = form.Encode()
	}
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://sim.invalid/", strings.NewReader(body))
	b.must(err)
	if form == nil {
		req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+operation)
	}
	b.asked++
	rep, err := sim.Doer{Region: b.r}.Do(req)
	if err != nil {
		fmt.Fprintf(&b.trace, "%s: %v\n", operation, err)
		return
	}
	got, err := io.ReadAll(rep.Body)
	b.must(err)
	fmt.Fprintf(&b.trace, "%s %v: %d %v %s\n", time.Now().Format("15:04:05.000000"), operation, rep.StatusCode, rep.Header, got)
}
