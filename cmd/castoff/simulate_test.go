package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/scenario"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// simulated is what a simulation may have come to.
func simulated() simulation {
	spread := func(p50, p95, most float64) scenario.Spread { return scenario.Spread{P50: p50, P95: p95, Max: most} }
	confirm := scenario.Held{Guard: policy.Confirm, Reason: policy.Unconfirmed, Runs: 100, Seconds: spread(1.7, 1.9, 1.95), Sentence: "1 reading in a row of it failing, 2 needed"}
	zone := scenario.Held{Guard: policy.Zone, Reason: policy.LastInZone, Runs: 12, Never: 3, Seconds: spread(203.8, 300, 363.6), Sentence: "no healthy one would stay in eu-central-1c"}
	return simulation{
		Service: "prod/api", Failure: scenario.Hang, Failing: 1, Of: 6,
		Result: scenario.Result{
			Runs: 100, Seed: 7, Helps: true,
			Ways: []scenario.Outcome{
				{Way: scenario.ECSAlone, Exposure: spread(232.205, 376.5, 391.9), LastFlow: spread(388.8, 596.9, 664.6), Flows: spread(3596, 5362, 6646), LeastHealthy: 5, LeastServing: 6, Guards: []scenario.Held{}},
				{Way: scenario.Observing, Exposure: spread(232.205, 376.5, 391.9), LastFlow: spread(388.8, 596.9, 664.6), Flows: spread(3596, 5362, 6646), Acted: 97, Called: spread(3.7, 6.6, 6.7), LeastHealthy: 5, LeastServing: 6, Guards: []scenario.Held{confirm}},
				{Way: scenario.Detaching, Exposure: spread(4.3, 7, 47.4), LastFlow: spread(145.5, 303.1, 428.7), Flows: spread(1455, 2925, 3523), Acted: 97, Called: spread(4.1, 7, 7.2), Calls: 4, LeastHealthy: 5, LeastServing: 5, Guards: []scenario.Held{zone, confirm}},
			},
			Sentences: []scenario.Sentence{
				{Code: "helps", Text: "Detaching helps in 97 of 100 failures: at the median exposure is 4.3 s instead of 232.2 s (÷ 54.0), and the last new flow reaches a dead app after 145.5 s instead of 388.8 s (÷ 2.7)."},
				{Code: "guard_never_let_go", Text: "It does not help in 3 of 100 failures.\x1b[2J"},
			},
		},
	}
}

func TestSimulationIsShown(t *testing.T) {
	s := simulated()
	var b bytes.Buffer
	if err := s.write(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "simulate.txt", b.String())
	for line := range strings.Lines(b.String()) {
		if n := len([]rune(line)); n > 101 {
			t.Errorf("%d wide: %q", n, line)
		}
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "simulate.json", string(text)+"\n")

	// Streams have a line where there are any; a failure of many tasks is said.
	s.Ways[2].Streams.Max, s.Failing = 120, 2
	b.Reset()
	if err := s.write(&b); err != nil || !strings.Contains(b.String(), "\nstream-seconds to dead apps ") || !strings.Contains(b.String(), "each of 2 tasks at once of 6") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// TestSimulate runs it all, without a network: the same seed, the same bytes.
func TestSimulate(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked AWS: %s", r.URL) }))
	defer server.Close()
	env := awsEnv(t, server.URL)
	first := castoff(t, env, "simulate", "--runs", "3", "--seed", "5", "--json")
	if again := castoff(t, env, "simulate", "--runs", "3", "--seed", "5", "--json"); first.code != exitOK || first != again {
		t.Fatalf("%+v\n%+v", first, again)
	}
	var got simulation
	if err := json.Unmarshal([]byte(first.out), &got); err != nil {
		t.Fatal(err)
	}
	if !got.Helps || got.Runs != 3 || got.Seed != 5 || len(got.Ways) != 3 || got.Ways[2].Acted != 3 || got.Service != "simulated/service" {
		t.Errorf("%+v", got)
	}
	watched := castoff(t, env, "simulate", "--runs", "2", "--mode", "observe", "--desired", "1")
	text := strings.Join(strings.Fields(watched.out), " ")
	if watched.code != exitOK || strings.Contains(text, "observe detach") ||
		!strings.Contains(text, "Detaching would not help in 2 of 2 failures") || !strings.Contains(text, "guard floor (last_healthy)") {
		t.Errorf("%+v", watched)
	}
}

// TestSimulateTakesItsOwnLimits: castoff's configuration decides, not its defaults.
func TestSimulateTakesItsOwnLimits(t *testing.T) {
	limits := write(t, "castoff.yaml", "limits: {floor: {count: 6}}\n")
	if got := castoff(t, cleanEnv(t), "simulate", "--runs", "2", "--config", limits); got.code != exitOK || !strings.Contains(strings.Join(strings.Fields(got.out), " "), "guard floor (below_floor)") {
		t.Errorf("%+v", got)
	}
}

// TestSimulateShowIsAFile: what is shown can be given, and means the same.
func TestSimulateShowIsAFile(t *testing.T) {
	env := cleanEnv(t)
	shown := castoff(t, env, "simulate", "--show", "--desired", "9", "--failing", "2", "--failure", "crash", "--zones", "2", "--cross-zone",
		"--target-check", "HTTP", "--deregistration-delay", "45s", "--flows", "12.5", "--streams", "30")
	golden(t, "simulate_settings.yaml", shown.out)
	again := castoff(t, env, "simulate", "--show", "--file", write(t, "service.yaml", shown.out))
	if shown.code != exitOK || again != shown {
		t.Errorf("%+v\n%+v", shown, again)
	}
}

func TestSimulateMistakes(t *testing.T) {
	three := write(t, "three.yaml", "failing: 3\n")
	bad := write(t, "bad.yaml", "desired: 0\nzone: 2\ncontainer_check: {interval: 1s, retries: many}\ntarget_groups:\n- check: {protocol: UDP}\n- deregistration_delay: 2h\nfailing: 3\n")
	for _, row := range []struct {
		args []string
		code int
		said string
	}{
		{[]string{"--runs", "0"}, exitUsage, "--runs must be between 1 and 10000 (got 0)"},
		{[]string{"--region", "eu-central-1"}, exitUsage, "--region is of --like"},
		{[]string{"--like", "api"}, exitUsage, "--like must be CLUSTER/SERVICE"},
		{[]string{"--like", "a/b/c"}, exitUsage, "--like must be CLUSTER/SERVICE"},
		{[]string{"--failing", "7"}, exitUsage, "--failing: must be between 1 and desired, 6 (got 7)"},
		{[]string{"--zones", "4"}, exitUsage, "--zones: must be between 1 and 3 (got 4)"},
		{[]string{"--failure", "boredom"}, exitUsage, `--failure: must be one of hang, crash, refuse, exit (got "boredom")`},
		{[]string{"--target-check", "UDP"}, exitUsage, `--target-check: must be one of TCP, HTTP, HTTPS (got "UDP")`},
		{[]string{"--deregistration-delay", "90m"}, exitUsage, "--deregistration-delay: must be whole seconds, from 0s to 3600s (got 1h30m0s)"},
		{[]string{"--mode", "both"}, exitUsage, "--mode must be one of"},
		{[]string{"--file", three, "--desired", "2"}, exitConfig, "castoff: " + three + ": failing: must be between 1 and desired, 2 (got 3)\n"},
		{[]string{"--file", three, "--desired", "2", "--zones", "4"}, exitUsage, "castoff: --zones: must be between 1 and 3 (got 4)\n"},
		{[]string{"--file", filepath.Join(t.TempDir(), "none")}, exitConfig, "cannot read the service's settings: "},
		{[]string{"--config", bad}, exitConfig, "desired: is no setting"},
		{[]string{"--file", bad}, exitConfig, bad + ":1: desired: must be between 1 and 200 (got 0)\n"},
		{[]string{"--file", bad}, exitConfig, bad + ":2: zone: is no setting; did you mean zones?\n"},
		{[]string{"--file", bad}, exitConfig, bad + ":3: container_check.interval: must be whole seconds, from 5s to 300s (got 1s)\n"},
		{[]string{"--file", bad}, exitConfig, bad + ":3: container_check.retries: must be a whole number (got \"many\")\n"},
		{[]string{"--file", bad}, exitConfig, bad + ":5: target_groups[0].check.protocol: must be one of TCP, HTTP, HTTPS (got \"UDP\")\n"},
		{[]string{"--file", bad}, exitConfig, bad + ":6: target_groups[1].deregistration_delay: must be whole seconds, from 0s to 3600s (got 2h0m0s)\n"},
		{[]string{"--file", bad}, exitConfig, bad + ":7: failing: must be between 1 and desired, 0 (got 3)\n"},
	} {
		if got := castoff(t, cleanEnv(t), append([]string{"simulate"}, row.args...)...); got.code != row.code || !strings.Contains(got.err, row.said) || got.out != "" {
			t.Errorf("%v: %+v", row.args, got)
		}
	}
}

// TestSimulateLike reads what is there, by reads alone.
func TestSimulateLike(t *testing.T) {
	r := sim.New(sim.Options{Seed: 1})
	spec := sim.ReferenceWorkload("prod", "api")
	spec.Desired, spec.MinimumHealthyPercent, spec.MaximumPercent, spec.Grace = 5, 50, 150, 40*time.Second
	spec.Subnets = []string{"eu-central-1a", "eu-central-1b"}
	spec.Containers[0].Check.Interval, spec.Containers[0].StopTimeout = 15*time.Second, 20*time.Second
	spec.Groups[0].DeregistrationDelay = 75 * time.Second
	spec.Groups[0].Check = fleet.TargetCheck{Protocol: "HTTP", Interval: 10 * time.Second, HealthyThreshold: 3, UnhealthyThreshold: 4}
	spec.Groups[0].Attributes = map[string]string{
		"load_balancing.cross_zone.enabled":                                         "true",
		"deregistration_delay.connection_termination.enabled":                       "true",
		"target_group_health.dns_failover.minimum_healthy_targets.count":            "2",
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "3",
	}
	idle := sim.ServiceSpec{Cluster: "prod", Name: "idle", Desired: -1}
	worker := sim.ServiceSpec{Cluster: "prod", Name: "worker", Settled: true}
	unusual := sim.ServiceSpec{Cluster: "prod", Name: "unusual", Settled: true, Groups: []sim.GroupSpec{
		{DeregistrationDelay: 60 * time.Second, Check: fleet.TargetCheck{HealthyThreshold: 11}},
	}}
	for _, err := range []error{r.AddCluster("prod", sim.ClusterOptions{}), r.AddService(spec), r.AddService(unusual), r.AddService(idle), r.AddService(worker)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	asked := &operations{next: r}
	server := httptest.NewServer(asked)
	defer server.Close()
	got := castoff(t, awsEnv(t, server.URL), "simulate", "--like", "prod/api", "--show")
	golden(t, "simulate_like.yaml", got.out)
	if got.code != exitOK || !strings.Contains(got.err, "its HTTP check is taken to ask the app") {
		t.Errorf("%+v", got)
	}
	for _, operation := range asked.list() {
		if !regexp.MustCompile(`^(Describe|List)[A-Z]`).MatchString(operation) {
			t.Errorf("not a read: %s", operation)
		}
	}
	if run := castoff(t, awsEnv(t, server.URL), "simulate", "--like", "prod/api", "--runs", "1", "--failing", "2"); run.code != exitOK || !strings.HasPrefix(run.out, "prod/api: each of 2 tasks at once of 5 ") {
		t.Errorf("%+v", run)
	}
	for like, said := range map[string]string{
		"prod/none":   "no ECS service prod/none",
		"none/api":    "no ECS cluster none",
		"prod/idle":   "service prod/idle wants no tasks",
		"prod/worker": "service prod/worker has no target group",
	} {
		if got := castoff(t, awsEnv(t, server.URL), "simulate", "--like", like, "--show"); got.code != exitAWS || !strings.Contains(got.err, said) {
			t.Errorf("%s: %+v", like, got)
		}
	}
	// No flag is to blame for what AWS said.
	got = castoff(t, awsEnv(t, server.URL), "simulate", "--like", "prod/unusual", "--show", "--zones", "3")
	if want := "castoff: prod/unusual: target_groups[0].check.healthy_threshold: must be between 2 and 10 (got 11)\n"; got.code != exitConfig || !strings.HasSuffix(got.err, want) {
		t.Errorf("%+v, want %q", got, want)
	}
	r.Fault(sim.Fault{Operation: "DescribeTargetGroupAttributes", Effect: sim.Deny})
	if got := castoff(t, awsEnv(t, server.URL), "simulate", "--like", "prod/api", "--show"); got.code != exitAWS || !strings.Contains(got.err, "attributes of target group api-10080: ") {
		t.Errorf("denied: %+v", got)
	}
}

// operations notes what AWS is asked.
type operations struct {
	next http.Handler
	mu   sync.Mutex
	all  []string
}

func (o *operations) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, ok := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if !ok {
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body) // a request that is cut off names nothing
		_, rest, _ := strings.Cut(body.String(), "Action=")
		operation, _, _ = strings.Cut(rest, "&")
		r.Body = http.NoBody
		r = r.Clone(r.Context())
		r.Body = readCloser{&body}
	}
	o.mu.Lock()
	o.all = append(o.all, operation)
	o.mu.Unlock()
	o.next.ServeHTTP(w, r)
}

func (o *operations) list() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.all)
}

type readCloser struct{ *bytes.Buffer }

func (readCloser) Close() error { return nil }

// TestReadmeUnknowns: README has what simulations draw, as they draw it.
func TestReadmeUnknowns(t *testing.T) {
	text := readme(t)
	for _, u := range scenario.Unknowns() {
		if row := "\n| " + u.What + " | " + u.Range + " | " + u.Sure + " |"; !strings.Contains(text, row) {
			t.Errorf("README.md lacks%s", row)
		}
	}
}

// TestSettingsReachTheRegion: what AWS's defaults could hide is passed on as it is.
func TestSettingsReachTheRegion(t *testing.T) {
	p := defaultParameters()
	p.MinimumHealthyPercent, p.ContainerCheck.Enabled, p.Clients.Streams = 0, false, 10
	deep, shallow := defaultGroup(), defaultGroup()
	shallow.Check.SeesApp, shallow.DeregistrationDelay, shallow.DNSFailover.Percentage, shallow.ConnectionTermination = false, 0, 30, true
	deep.Balancer = sim.Application
	p.TargetGroups = []targetGroup{deep, shallow}
	s := p.spec(simulatedService)
	a, b := s.Groups[0], s.Groups[1]
	if s.MinimumHealthyPercent != -1 || s.Containers[0].Check != nil || len(s.Subnets) != 3 {
		t.Errorf("%+v", s)
	}
	if a.ShallowCheck || !b.ShallowCheck || a.DeregistrationDelay != 300*time.Second || b.DeregistrationDelay != -1 || a.Name == b.Name {
		t.Errorf("%+v\n%+v", a, b)
	}
	if a.Traffic.Rate != 30 || b.Traffic.Streams != 5 {
		t.Errorf("%+v\n%+v", a.Traffic, b.Traffic)
	}
	const termination, percentage = "deregistration_delay.connection_termination.enabled", "target_group_health.dns_failover.minimum_healthy_targets.percentage"
	if _, set := a.Attributes[termination]; set || b.Attributes[termination] != "true" || a.Attributes[percentage] != "off" || b.Attributes[percentage] != "30" {
		t.Errorf("%v\n%v", a.Attributes, b.Attributes)
	}
	if p.LaunchType = fleet.EC2; p.spec(simulatedService).Subnets != nil {
		t.Error("tasks on EC2 have subnets of their own")
	}
}
