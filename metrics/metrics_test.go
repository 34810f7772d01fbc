package metrics_test

import (
	"flag"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
	"github.com/castoff-ecs/castoff/metrics"
)

var update = flag.Bool("update", false, "rewrite the golden files and the README's metrics table")

var build = metrics.Options{Version: "0.1.0", Revision: "0123abc", GoVersion: "go1.26"}

func group(name string) fleet.TargetGroupARN {
	return fleet.TargetGroupARN("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/" + name + "/0123456789abcdef")
}

// region is a Snapshot of the given numbers of services and tasks each; every
// tenth task is unhealthy and exposed.
func region(at time.Time, services, tasks int) *fleet.Snapshot {
	read := fleet.Read{Sent: at.Add(-time.Second), Received: at}
	s := fleet.Snapshot{At: at}
	for i := range services {
		id := fleet.ServiceID{Cluster: "production", Name: fmt.Sprintf("service-%04d", i)}
		arn := group(fmt.Sprintf("service-%04d", i))
		s.Services = append(s.Services, &fleet.Service{ID: id, LoadBalancers: []fleet.LoadBalancer{{Group: arn, Port: 10080}}})
		g := &fleet.TargetGroup{ARN: arn, Read: read}
		for j := range tasks {
			key := fleet.NewTargetKey(arn, fmt.Sprintf("10.0.%d.%d", i%250, j), 10080)
			task := &fleet.Task{
				ARN:     fleet.TaskARN(fmt.Sprintf("arn:aws:ecs:eu-central-1:123456789012:task/production/%04d%028d", i, j)),
				Service: id, LastStatus: fleet.Running, Health: fleet.Healthy, Targets: []fleet.TargetKey{key}, Read: read,
			}
			if j%10 == 9 {
				task.Health = fleet.Unhealthy
			}
			s.Tasks = append(s.Tasks, task)
			g.Targets = append(g.Targets, fleet.Target{Key: key, State: fleet.TargetHealthy})
		}
		s.TargetGroups = append(s.TargetGroups, g)
	}
	return fleet.NewSnapshot(s)
}

// failure is a closed timeline: known 12 to 17 s after its onset, detached
// after another minute, stopped exactly two minutes after that.
func failure(service fleet.ServiceID, onset time.Time) *timeline.Timeline {
	between := func(k timeline.Kind, from, to time.Duration) timeline.Milestone {
		return timeline.Milestone{Kind: k, Bounds: timeline.Bounds{NotBefore: onset.Add(from), NotAfter: onset.Add(to)}}
	}
	detach := between(timeline.Detach, 72*time.Second, 77*time.Second)
	return &timeline.Timeline{
		Service: service, Trigger: timeline.ContainerCheck, Outcome: timeline.Retired,
		Opened: onset.Add(17 * time.Second), Closed: onset.Add(200 * time.Second),
		Milestones: []timeline.Milestone{
			between(timeline.Onset, 0, 5*time.Second),
			between(timeline.Unhealthy, 12*time.Second, 17*time.Second),
			detach,
			{Kind: timeline.Stopped, Bounds: timeline.At(onset.Add(197 * time.Second))},
		},
		Targets: []timeline.Target{{Milestones: []timeline.Milestone{detach}, Good: []timeline.Span{{To: detach.Bounds}}}},
	}
}

func scrape(t testing.TB, reg *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("scrape: %d\n%s", w.Code, w.Body)
	}
	return w.Body.String()
}

// lived is what a daemon shows after a pass with a bit of everything.
func lived(now time.Time) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	s := region(now.Add(-2*time.Second), 1, 10)
	api := s.Services[0].ID
	s.Gaps = []fleet.Gap{{Kind: fleet.GapTargetHealth, Ref: "a", Class: fleet.Denied}, {Kind: fleet.GapTargetHealth, Ref: "b", Class: fleet.Denied}}
	m.Publish(region(now.Add(-2*time.Minute), 1, 10), nil, posture(api, now))
	m.Publish(s, []*timeline.Timeline{{Service: api}}, posture(api, now))
	m.Recording(true)
	m.Passes.Done(metrics.PassOK, 130*time.Millisecond, now.Add(-2*time.Second))
	m.Passes.Done(metrics.PassPartial, 200*time.Millisecond, now.Add(-time.Second/2))
	m.AWS.Request("ecs", "DescribeTasks", "ecs_cluster_resource_read", "ok", 42*time.Millisecond)
	m.AWS.Request("ecs", "DescribeTasks", "ecs_cluster_resource_read", "throttled", 7*time.Millisecond)
	m.AWS.Budget("elbv2_describe", 2.5)
	m.AWS.PacingWait("elbv2_describe", 1500*time.Millisecond)
	m.Timelines.Closed(failure(api, now.Add(-time.Hour)))
	m.Timelines.Exposed(api, group("service-0000"), 61500*time.Millisecond)
	m.Acting.Verdicts([]policy.Verdict{verdict(api, 9, policy.Hold, policy.Unconfirmed)})
	m.Acting.Verdicts([]policy.Verdict{verdict(api, 9, policy.Allow, policy.OK)})
	d := detachment(api, 9, now.Add(-time.Minute))
	m.Acting.Called(d, policy.Accepted)
	m.Acting.Attached(d, policy.Rejected)
	m.Acting.Ended(ended(d, 40*time.Second, 42*time.Second))
	m.Notifications.Receiver("sre", []notify.Event{notify.Exposed, notify.Detached})
	m.Notifications.Notified("sre", notify.Exposed, notify.Sent)
	m.Notifications.Notified("sre", notify.Exposed, notify.Dropped)
	m.Notifications.Queued("sre", 3)
	return reg
}

// posture has one target of the service out, its floor reached, and a pause,
// a latch and a halt of each kind.
func posture(svc fleet.ServiceID, now time.Time) metrics.Posture {
	closed := detachment(svc, 8, now)
	closed.Progress = policy.Closed
	return metrics.Posture{
		Modes: map[fleet.ServiceID]policy.Mode{svc: policy.Detaching},
		Usage: []policy.Use{
			{Name: "budget", Used: 1, Limit: 5},
			{Service: svc, Name: "budget", Used: 1, Limit: 1},
			{Service: svc, Name: "floor", Used: 5, Limit: 5},
			{Service: svc, Name: "rate", Used: 1, Limit: 2}, // for the page
		},
		Detachments: []policy.Detachment{detachment(svc, 9, now), closed},
		Latches:     []policy.Latch{{Service: svc}},
		Pauses: []policy.Pause{
			{Scope: policy.ScopeCluster, Service: fleet.ServiceID{Cluster: svc.Cluster}},
			{Scope: policy.ScopeService, Service: svc, Until: now.Add(time.Nanosecond)},
			{Scope: policy.ScopeService, Service: svc, Until: now}, // has ended
		},
		Halts: []policy.Halt{{Cause: "journal"}},
	}
}

func target(svc fleet.ServiceID, n int) (fleet.TargetKey, fleet.TaskARN) {
	return fleet.NewTargetKey(group(svc.Name), fmt.Sprintf("10.0.0.%d", n), 10080),
		fleet.TaskARN(fmt.Sprintf("arn:aws:ecs:eu-central-1:123456789012:task/%s/%032d", svc.Cluster, n))
}

func verdict(svc fleet.ServiceID, n int, d policy.Decision, r policy.Reason) policy.Verdict {
	key, task := target(svc, n)
	return policy.Verdict{Action: policy.Detach, Target: key, Task: task, Service: svc, Mode: policy.Detaching, Decision: d, Reason: r}
}

func detachment(svc fleet.ServiceID, n int, called time.Time) policy.Detachment {
	key, task := target(svc, n)
	return policy.Detachment{
		Target: key, Task: task, Service: svc, Mode: policy.Detaching, Decided: called, Called: called,
		Result: policy.Accepted, Tries: 1, Progress: policy.Out,
	}
}

// ended is a detachment after which ECS began by itself between the two.
func ended(d policy.Detachment, from, to time.Duration) policy.Detachment {
	d.ECS = &policy.Bounds{NotBefore: d.Decided.Add(from), NotAfter: d.Decided.Add(to)}
	d.Progress, d.Outcome = policy.Closed, policy.Stopped
	return d
}

func TestExposition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		golden(t, "testdata/exposition.txt", scrape(t, lived(time.Now())))
	})
}

func TestExpositionBeforeTheFirstPass(t *testing.T) {
	reg := prometheus.NewRegistry()
	metrics.New(reg, build)
	golden(t, "testdata/exposition_start.txt", scrape(t, reg))
}

func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(lived(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestCatalogueIsWhatIsExposed(t *testing.T) {
	want := make(map[string]metrics.Metric)
	for _, m := range metrics.Catalogue() {
		if _, twice := want[m.Name]; twice {
			t.Errorf("%s is in the catalogue twice", m.Name)
		}
		want[m.Name] = m
	}
	families, err := lived(time.Now()).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		m, ok := want[f.GetName()]
		if !ok {
			t.Errorf("%s is not in the catalogue", f.GetName())
			continue
		}
		delete(want, m.Name)
		if got := metrics.Type(strings.ToLower(f.GetType().String())); got != m.Type {
			t.Errorf("%s is a %s, the catalogue says %s", m.Name, got, m.Type)
		}
		labels := slices.Sorted(slices.Values(m.Labels))
		for _, series := range f.GetMetric() {
			var got []string
			for _, l := range series.GetLabel() {
				got = append(got, l.GetName())
			}
			if !slices.Equal(got, labels) {
				t.Errorf("%s has labels %v, the catalogue says %v", m.Name, got, labels)
			}
			if m.Type == metrics.Histogram && series.GetHistogram().Schema == nil {
				t.Errorf("%s has no native buckets", m.Name)
			}
		}
	}
	for name := range want {
		t.Errorf("%s is in the catalogue and not exposed", name)
	}
}

func TestReadmeTable(t *testing.T) {
	const path = "../README.md"
	between := regexp.MustCompile(`(?s)(<!-- metrics:begin -->\n)(.*)(<!-- metrics:end -->)`)
	readme, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := between.FindSubmatchIndex(readme)
	if m == nil {
		t.Fatal("README.md has no lines <!-- metrics:begin --> and <!-- metrics:end -->")
	}
	want := metrics.Table()
	if string(readme[m[4]:m[5]]) == want {
		return
	}
	if !*update {
		t.Fatal("README.md's metrics table is not the catalogue: go test ./metrics -run Readme -update")
	}
	readme = slices.Concat(readme[:m[4]], []byte(want), readme[m[5]:])
	if err := os.WriteFile(path, readme, 0o644); err != nil {
		t.Fatal(err)
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update rewrites it)\n%s", path, firstDifference(string(want), got))
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, w[i], g[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// What people are shown of the calls to AWS is what /metrics says.
func TestCallsAreToldBack(t *testing.T) {
	m := metrics.New(prometheus.NewRegistry(), metrics.Options{})
	m.AWS.Request("ecs", "DescribeTasks", "ecs_cluster_resource_read", "ok", time.Second)
	m.AWS.Request("ecs", "DescribeTasks", "ecs_cluster_resource_read", "ok", time.Second)
	m.AWS.Request("ecs", "DescribeTasks", "ecs_cluster_resource_read", "throttled", time.Second)
	m.AWS.Request("elbv2", "DescribeTags", "elbv2_describe", "denied", time.Second)
	m.AWS.Request("ecs", "DescribeServices", "ecs_service_read", "ok", time.Second)
	m.AWS.Budget("elbv2_describe", 2.5)
	m.AWS.Budget("ecs_service_read", math.Inf(1))
	m.AWS.PacingWait("elbv2_describe", 1500*time.Millisecond)
	calls := m.AWS.Calls()
	var names []string
	for _, c := range calls {
		names = append(names, c.Service+" "+c.Operation+" "+c.Bucket)
	}
	if want := []string{"ecs DescribeServices ecs_service_read", "ecs DescribeTasks ecs_cluster_resource_read", "elbv2 DescribeTags elbv2_describe"}; !slices.Equal(names, want) {
		t.Fatalf("%q, want %q", names, want)
	}
	if r := calls[1].Results; r["ok"] != 2 || r["throttled"] != 1 || r["denied"] != 0 {
		t.Errorf("DescribeTasks: %v", r)
	}
	if w := m.AWS.Waits(); w["elbv2_describe"] != 1500*time.Millisecond || len(w) != 2 {
		t.Errorf("waits: %v", w)
	}
	if b := m.AWS.Budgets(); b["elbv2_describe"] != 2.5 || !math.IsInf(b["ecs_service_read"], 1) || len(b) != 2 {
		t.Errorf("budgets: %v", b)
	}
}

// What the bounds do not tell is no number to count with.
func TestPhasesThatAreNotMeasured(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	tl := failure(fleet.ServiceID{Cluster: "prod", Name: "api"}, time.Unix(1_000_000, 0))
	stopped := &tl.Milestones[len(tl.Milestones)-1]
	stopped.NotAfter = stopped.NotAfter.Add(200_000 * time.Second)
	m.Timelines.Closed(tl)
	body := scrape(t, reg)
	for line, want := range map[string]bool{
		`castoff_phase_seconds_count{cluster="prod",phase="reaction",service="api"} 1`: true,
		`castoff_phase_error_seconds_count{phase="reaction"} 1`:                        true,
		`castoff_phase_seconds_count{cluster="prod",phase="retirement",service="api"}`: false,
		`castoff_phase_error_seconds_count{phase="retirement"} 1`:                      false,
	} {
		if strings.Contains(body, line) != want {
			t.Errorf("%s: is there %t, want %t", line, !want, want)
		}
	}
}
