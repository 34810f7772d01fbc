package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
	"github.com/castoff-ecs/castoff/metrics"
)

// has reports whether the exposition has a line that begins so.
func has(t testing.TB, reg *prometheus.Registry, series string) bool {
	t.Helper()
	return strings.Contains(scrape(t, reg), "\n"+series)
}

func TestGaugesOfWhatWasNeverReadAreAbsent(t *testing.T) {
	now := time.Now()
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	s := region(now, 1, 0)
	s.Services[0].Cluster = "prod-arn"
	m.Publish(s, nil, metrics.Posture{})
	for _, series := range []string{
		`castoff_tasks{cluster="production",health="unhealthy",service="service-0000"} 0`,
		`castoff_targets{cluster="production",service="service-0000",state="other",target_group="service-0000"} 0`,
		`castoff_exposed_targets{cluster="production",service="service-0000",target_group="service-0000"} 0`,
		`castoff_timelines_open{cluster="production",service="service-0000"} 0`,
	} {
		if !has(t, reg, series) {
			t.Errorf("an empty service lacks %s", series)
		}
	}
	s = region(now, 1, 0)
	s.Services[0].Cluster = "prod-arn"
	s.Gaps = []fleet.Gap{{Kind: fleet.GapTaskList, Ref: "prod-arn", Class: fleet.Paced}}
	m.Publish(s, nil, metrics.Posture{})
	if has(t, reg, "castoff_tasks{") || has(t, reg, "castoff_exposed_targets{") {
		t.Error("tasks that were never listed are shown as none")
	}
	s = region(now, 1, 0)
	s.TargetGroups[0].Read = fleet.Read{}
	m.Publish(s, nil, metrics.Posture{})
	if has(t, reg, "castoff_targets{") || has(t, reg, "castoff_exposed_targets{") {
		t.Error("targets that were never read are shown as none")
	}
}

// The phases of a service begin at 0 with its first failure, while it is open:
// from 1 Prometheus sees no increase, and of a service that never fails they would
// be a hundred series for nothing.
func TestPhasesBeginWhenATimelineOpens(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	m.Publish(region(time.Now(), 2, 1), nil, metrics.Posture{})
	if has(t, reg, "castoff_phase_seconds") {
		t.Error("phases of services in which nothing fails")
	}
	m.Publish(region(time.Now(), 2, 1), []*timeline.Timeline{{Service: fleet.ServiceID{Cluster: "production", Name: "service-0001"}}}, metrics.Posture{})
	for _, phase := range timeline.PhaseNames {
		if series := `castoff_phase_seconds_count{cluster="production",phase="` + string(phase) + `",service="service-0001"} 0`; !has(t, reg, series) {
			t.Errorf("no %s", series)
		}
	}
	if has(t, reg, `castoff_phase_seconds_count{cluster="production",phase="exposure",service="service-0000"}`) {
		t.Error("phases of the service in which nothing fails")
	}
}

func TestSeriesEndAnHourAfterTheirService(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	m.Publish(region(now, 2, 1), nil, metrics.Posture{})
	gone := fleet.ServiceID{Cluster: "production", Name: "service-0001"}
	m.Timelines.Closed(failure(gone, now.Add(-time.Minute*4)))
	m.Timelines.Exposed(gone, group("service-0001"), time.Second)
	families := []string{
		`castoff_timelines_total{cluster="production",outcome="lost",service="service-0001",trigger="exit"} 0`,
		`castoff_timelines_total{cluster="production",outcome="retired",service="service-0001",trigger="container_check"} 1`,
		`castoff_exposure_seconds_total{cluster="production",service="service-0001",target_group="service-0001"} 1`,
		`castoff_phase_seconds_count{cluster="production",phase="exposure",service="service-0001"} 1`,
	}
	m.Publish(region(now.Add(time.Hour), 1, 1), nil, metrics.Posture{})
	for _, series := range families {
		if !has(t, reg, series) {
			t.Errorf("after an hour %s is gone", series)
		}
	}
	m.Publish(region(now.Add(time.Hour+time.Second), 1, 1), nil, metrics.Posture{})
	for _, series := range families {
		if has(t, reg, series) {
			t.Errorf("after more than an hour %s is still there", series)
		}
	}
	if !has(t, reg, `castoff_exposure_seconds_total{cluster="production",service="service-0000",target_group="service-0000"} 0`) {
		t.Error("the service that stayed lost its series")
	}
	m.Publish(region(now.Add(2*time.Hour), 2, 1), nil, metrics.Posture{})
	if !has(t, reg, strings.Replace(families[1], "} 1", "} 0", 1)) {
		t.Error("a service that came back does not begin at 0")
	}
}

func TestGroupThatItsServiceLeftEnds(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	m.Publish(region(now, 1, 1), nil, metrics.Posture{})
	s := region(now.Add(61*time.Minute), 1, 1)
	s.Services[0].LoadBalancers[0].Group = group("other")
	m.Publish(s, nil, metrics.Posture{})
	if has(t, reg, `castoff_exposure_seconds_total{cluster="production",service="service-0000",target_group="service-0000"}`) {
		t.Error("the group that was left is still there")
	}
	if !has(t, reg, `castoff_exposure_seconds_total{cluster="production",service="service-0000",target_group="other"} 0`) {
		t.Error("the new group is not there")
	}
}

func TestTimelineOfAVanishedServiceIsCounted(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	m.Timelines.Closed(failure(fleet.ServiceID{Cluster: "production", Name: "old"}, now.Add(-200*time.Second)))
	m.Publish(region(now, 1, 1), nil, metrics.Posture{})
	if !has(t, reg, `castoff_timelines_total{cluster="production",outcome="retired",service="old",trigger="container_check"} 1`) {
		t.Error("its last timeline is lost")
	}
}

func TestClockStepsBackDoNoHarm(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	m.Passes.Done(metrics.PassOK, -time.Second, time.Now())
	m.AWS.Request("ecs", "ListTasks", "ecs_cluster_resource_read", "ok", -time.Second)
	m.AWS.PacingWait("ecs_cluster", -time.Second)
	m.Timelines.Exposed(fleet.ServiceID{}, group("x"), -time.Second)
	m.Publish(region(time.Now().Add(time.Hour), 1, 1), nil, metrics.Posture{})
	if !has(t, reg, "castoff_snapshot_age_seconds 0") {
		t.Error("an age below 0")
	}
}

// SAFETY: castoff that has found nothing because it cannot look has no age to
// show; a fresh one would silence every alert on it.
func TestSafetyBlindHasNoAge(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	blind := fleet.NewSnapshot(fleet.Snapshot{At: time.Now(), Gaps: []fleet.Gap{{Kind: fleet.GapClusters, Class: fleet.Transient}}})
	m.Publish(blind, nil, metrics.Posture{})
	if has(t, reg, "castoff_snapshot_age_seconds ") {
		t.Error("fresh, and blind")
	}
	m.Publish(fleet.NewSnapshot(fleet.Snapshot{At: time.Now().Add(time.Hour)}), nil, metrics.Posture{})
	if !has(t, reg, "castoff_snapshot_age_seconds 0") {
		t.Error("nothing there is known, and has no age")
	}
}

// SAFETY: whatever AWS says, a scrape succeeds, and no series is there twice.
func TestScrapeNeverFails(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"", "a", "a\xff", "a\xfe", "a\uFFFD", `<script>"\`, "x\ny", "\u202ertl", strings.Repeat("n", 255)})
		reg := prometheus.NewRegistry()
		m := metrics.New(reg, build)
		for range rapid.IntRange(1, 3).Draw(t, "passes") {
			s := fleet.Snapshot{At: time.Now()}
			for range rapid.IntRange(0, 4).Draw(t, "services") {
				g := fleet.TargetGroupARN(name.Draw(t, "group"))
				svc := &fleet.Service{
					ID:            fleet.ServiceID{Cluster: name.Draw(t, "cluster"), Name: name.Draw(t, "service")},
					LoadBalancers: []fleet.LoadBalancer{{Group: g}, {Group: g, Alternate: true}, {Group: fleet.TargetGroupARN(name.Draw(t, "group"))}},
				}
				s.Services = append(s.Services, svc)
				s.Tasks = append(s.Tasks, &fleet.Task{Service: svc.ID, Health: fleet.HealthStatus(name.Draw(t, "health"))})
				s.TargetGroups = append(s.TargetGroups, &fleet.TargetGroup{ARN: g, Read: fleet.Read{Received: time.Now()}, Targets: []fleet.Target{{State: fleet.TargetState(name.Draw(t, "state"))}}})
				s.Gaps = append(s.Gaps, fleet.Gap{Kind: fleet.GapTags, Ref: name.Draw(t, "ref"), Class: fleet.Invalid})
				m.Timelines.Closed(failure(svc.ID, time.Now()))
				m.Timelines.Exposed(svc.ID, g, time.Second)
				m.AWS.Request(name.Draw(t, "api"), name.Draw(t, "operation"), name.Draw(t, "bucket"), "ok", 0)
			}
			m.Publish(fleet.NewSnapshot(s), []*timeline.Timeline{{Service: fleet.ServiceID{Name: name.Draw(t, "open")}}}, metrics.Posture{})
		}
		if _, err := reg.Gather(); err != nil {
			t.Fatal(err)
		}
	})
}

func scrapeOf(t testing.TB, services, tasks int) (bytes, series int) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	m.Publish(region(time.Now(), services, tasks), nil, metrics.Posture{})
	n, err := testutil.GatherAndCount(reg)
	if err != nil {
		t.Fatal(err)
	}
	return len(scrape(t, reg)), n
}

// Cardinality grows with services, not with tasks.
func TestScrapeDoesNotGrowWithTasks(t *testing.T) {
	bytes, series := scrapeOf(t, 50, 20)
	bytes2, series2 := scrapeOf(t, 50, 40)
	if series != series2 {
		t.Errorf("%d series with 20 tasks a service, %d with 40", series, series2)
	}
	// The numbers have as many digits; only the age may have more or fewer.
	if d := bytes2 - bytes; d < -10 || d > 10 {
		t.Errorf("%d bytes with 20 tasks a service, %d with 40", bytes, bytes2)
	}
	if _, series3 := scrapeOf(t, 100, 20); series3 <= series {
		t.Errorf("%d series with 100 services, %d with 50: the test sees nothing", series3, series)
	}
}

func BenchmarkScrape(b *testing.B) {
	for _, size := range []struct {
		name            string
		services, tasks int
	}{
		{"services=500/tasks=10000", 500, 20},
		{"services=500/tasks=20000", 500, 40},
		{"services=500/tasks=100000", 500, 200},
	} {
		b.Run(size.name, func(b *testing.B) {
			reg := prometheus.NewRegistry()
			m := metrics.New(reg, build)
			m.Publish(region(time.Now(), size.services, size.tasks), nil, metrics.Posture{})
			b.ReportAllocs()
			var bytes int
			for b.Loop() {
				bytes = len(scrape(b, reg))
			}
			b.ReportMetric(float64(bytes), "bytes/scrape")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/scrape")
		})
	}
}

// BenchmarkScrapeActing is a region in which every service may be acted on.
func BenchmarkScrapeActing(b *testing.B) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	s := region(time.Now(), 500, 20)
	p := metrics.Posture{Modes: map[fleet.ServiceID]policy.Mode{}}
	for _, svc := range s.Services {
		p.Modes[svc.ID] = policy.Detaching
		p.Usage = append(p.Usage, policy.Use{Service: svc.ID, Name: "budget"}, policy.Use{Service: svc.ID, Name: "floor"})
	}
	m.Publish(s, nil, p)
	b.ReportAllocs()
	var bytes int
	for b.Loop() {
		bytes = len(scrape(b, reg))
	}
	b.ReportMetric(float64(bytes), "bytes/scrape")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/scrape")
}

func BenchmarkPublish(b *testing.B) {
	m := metrics.New(prometheus.NewRegistry(), build)
	s := region(time.Now(), 500, 20)
	for b.Loop() {
		m.Publish(s, nil, metrics.Posture{})
	}
}
