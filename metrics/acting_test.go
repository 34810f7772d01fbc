package metrics_test

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/metrics"
)

var api = fleet.ServiceID{Cluster: "production", Name: "service-0000"}

// value is that of the one series with these labels and no others; ok is false
// without one.
func value(t rapid.TB, reg *prometheus.Registry, name string, labels map[string]string) (v float64, ok bool) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			matches := 0
			for _, l := range m.GetLabel() {
				if labels[l.GetName()] == l.GetValue() {
					matches++
				}
			}
			if matches == len(m.GetLabel()) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue(), true
			}
		}
	}
	return 0, false
}

// shown publishes for so long that what waits is counted.
func shown(m *metrics.Metrics) {
	now := time.Now()
	for _, after := range []time.Duration{0, 90 * time.Second} {
		m.Publish(region(now.Add(after), 1, 1), nil, metrics.Posture{})
	}
}

// Prometheus sees an increase only between two scrapes of a series: the first
// thing that is counted of a service that is observed must not come with its
// series, nor before every scraper has seen that.
func TestTheFirstIncreaseIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		m := metrics.New(reg, build)
		vs := []policy.Verdict{verdict(api, 1, policy.Hold, policy.Unconfirmed), verdict(api, 2, policy.Hold, policy.Unconfirmed)}
		d := ended(detachment(api, 1, time.Now()), 40*time.Second, 42*time.Second)
		d.Mode = policy.Observing
		service := map[string]string{"cluster": api.Cluster, "service": api.Name, "verdict": "hold", "reason": "unconfirmed", "mode": "observe", "result": "not_made"}
		want := map[string]float64{"castoff_verdicts_total": 2, "castoff_detach_calls_total": 1, "castoff_saved_seconds_total": 40, "castoff_saved_error_seconds_total": 2}
		last, increase := map[string]float64{}, map[string]float64{}
		for second := 0; second < 300; second += 5 { // a pass every 5 s, a scrape every minute
			if second >= 30 {
				m.Acting.Verdicts(vs)
			}
			if second == 35 {
				m.Acting.Called(d, "")
				m.Acting.Ended(d)
			}
			m.Publish(region(time.Now(), 1, 1), nil, metrics.Posture{})
			for name := range want {
				v, ok := value(t, reg, name, service)
				if was, known := last[name]; second%60 == 25 && known {
					increase[name] += v - was
				}
				if second%60 == 25 && ok {
					last[name] = v
				}
			}
			time.Sleep(5 * time.Second)
		}
		if !maps.Equal(increase, want) {
			t.Errorf("increases %v, want %v", increase, want)
		}
	})
}

// A clock that was set back has nothing wait for longer.
func TestWhatWaitsSurvivesTheClock(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	m.Acting.Verdicts([]policy.Verdict{verdict(api, 1, policy.Allow, policy.OK)})
	now := time.Now()
	for _, at := range []time.Duration{0, -time.Hour, 90*time.Second - time.Hour} {
		m.Publish(region(now.Add(at), 1, 1), nil, metrics.Posture{})
	}
	if got := verdicts(t, reg, policy.Allow, policy.OK); got != 1 {
		t.Errorf("counted %v", got)
	}
}

func verdicts(t testing.TB, reg *prometheus.Registry, d policy.Decision, r policy.Reason) float64 {
	t.Helper()
	v, _ := value(t, reg, "castoff_verdicts_total", map[string]string{
		"cluster": api.Cluster, "service": api.Name, "verdict": string(d), "reason": string(r),
	})
	return v
}

// A decision that stands for a hundred passes is one decision.
func TestVerdictsAreCountedWhenTheyChange(t *testing.T) {
	hold := verdict(api, 1, policy.Hold, policy.BelowFloor)
	later := hold
	later.At, later.Sentence, later.Until = time.Now(), "2 of 4", time.Now()
	otherTarget, otherReason, otherDecision := verdict(api, 2, policy.Hold, policy.BelowFloor), hold, hold
	otherReason.Reason = policy.LastHealthy
	otherDecision.Decision = policy.Refuse
	restarted, attach := hold, hold
	restarted.Started = hold.Started.Add(time.Second)
	attach.Action, attach.Target = policy.Attach, otherTarget.Target
	for _, tt := range []struct {
		name   string
		passes [][]policy.Verdict
		want   float64 // of hold, below_floor
	}{
		{"one pass", [][]policy.Verdict{{hold}}, 1},
		{"the same again", [][]policy.Verdict{{hold}, {hold}, {later}}, 1},
		{"another target", [][]policy.Verdict{{hold}, {hold, otherTarget}, {otherTarget}}, 2},
		{"another reason in between", [][]policy.Verdict{{hold}, {otherReason}, {hold}}, 2},
		{"another decision in between", [][]policy.Verdict{{hold}, {otherDecision}, {hold}}, 2},
		{"away in between", [][]policy.Verdict{{hold}, nil, {hold}}, 2},
		{"the task restarted", [][]policy.Verdict{{hold}, {restarted}}, 2},
		{"about attaching", [][]policy.Verdict{{attach}, {hold, attach}, {attach}}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			m := metrics.New(reg, build)
			for _, vs := range tt.passes {
				m.Acting.Verdicts(vs)
			}
			shown(m)
			if got := verdicts(t, reg, policy.Hold, policy.BelowFloor); got != tt.want {
				t.Errorf("counted %v, want %v", got, tt.want)
			}
		})
	}
}

// A target is contested once, whichever guard is the first to refuse it.
func TestContestedIsCountedOnce(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	v := verdict(api, 1, policy.Hold, policy.FleetBudget)
	spaced := policy.Finding{Guard: policy.Contested, Decision: policy.Hold, Reason: policy.Spaced}
	gaveUp := policy.Finding{Guard: policy.Contested, Decision: policy.Refuse, Reason: policy.GaveUp}
	for i, f := range []policy.Finding{spaced, gaveUp, gaveUp, spaced} {
		v.Findings = []policy.Finding{f}
		m.Acting.Verdicts([]policy.Verdict{v})
		shown(m)
		got, ok := value(t, reg, "castoff_contested_total", map[string]string{"cluster": api.Cluster, "service": api.Name})
		if want := float64(min(i, 1)); !ok || got != want {
			t.Errorf("after pass %d: %v, want %v", i+1, got, want)
		}
	}
}

func TestCallsAreCountedByModeAndResult(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	d := detachment(api, 1, time.Now())
	would := d
	would.Mode = policy.Observing
	m.Acting.Called(d, policy.NotAnswered)
	m.Acting.Called(d, policy.Accepted)
	m.Acting.Called(would, "")
	m.Acting.Called(would, policy.Accepted) // no call was made, whatever is said
	m.Acting.Attached(d, policy.Accepted)
	shown(m)
	for _, tt := range []struct {
		name, mode, result string
		want               float64
	}{
		{"castoff_detach_calls_total", "detach", "accepted", 1},
		{"castoff_detach_calls_total", "detach", "not_answered", 1},
		{"castoff_detach_calls_total", "detach", "rejected", 0},
		{"castoff_detach_calls_total", "observe", "not_made", 2},
		{"castoff_reattach_calls_total", "", "accepted", 1},
		{"castoff_reattach_calls_total", "", "rejected", 0},
		{"castoff_reattach_calls_total", "", "not_answered", 0},
	} {
		got, ok := value(t, reg, tt.name, map[string]string{"cluster": api.Cluster, "service": api.Name, "mode": tt.mode, "result": tt.result})
		if !ok || got != tt.want {
			t.Errorf("%s %s %s: %v, want %v", tt.name, tt.mode, tt.result, got, tt.want)
		}
	}
}

// SAFETY: the true sum of saved time is never outside of what the three counters
// say, and none of them ever runs backwards.
func TestSavedTimeAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reg := prometheus.NewRegistry()
		m := metrics.New(reg, build)
		seconds := rapid.Float64Range(-100, 300)
		mode := rapid.SampledFrom(policy.Modes)
		truth := map[policy.Mode]float64{}
		var last [3]float64
		for range rapid.IntRange(0, 10).Draw(t, "detachments") {
			d := detachment(api, 1, time.Now())
			d.Mode = mode.Draw(t, "mode")
			from, width := seconds.Draw(t, "from"), rapid.Float64Range(0, 30).Draw(t, "width")
			if rapid.Bool().Draw(t, "recovers") {
				d.Progress, d.Outcome = policy.Closed, policy.Recovered // nothing to be known
			} else {
				d = ended(d, time.Duration(from*1e9), time.Duration((from+width)*1e9))
				truth[d.Mode] += from + rapid.Float64Range(0, width).Draw(t, "truth")
			}
			m.Acting.Ended(d)
			shown(m)
			var sum [3]float64
			for _, m := range policy.Modes {
				labels := map[string]string{"cluster": api.Cluster, "service": api.Name, "mode": string(m)}
				var is [3]float64
				for i, name := range []string{"castoff_saved_seconds_total", "castoff_lost_seconds_total", "castoff_saved_error_seconds_total"} {
					is[i], _ = value(t, reg, name, labels)
					sum[i] += is[i]
				}
				if low, high := is[0]-is[1], is[0]-is[1]+is[2]; truth[m] < low-1e-6 || truth[m] > high+1e-6 {
					t.Fatalf("%s: %v saved is outside of %v..%v", m, truth[m], low, high)
				}
			}
			for i := range sum {
				if sum[i] < last[i] {
					t.Fatalf("counter %d ran back from %v to %v", i, last[i], sum[i])
				}
			}
			last = sum
		}
	})
}

func TestPauseEndsBetweenPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		m := metrics.New(reg, build)
		m.Publish(region(time.Now(), 1, 1), nil, metrics.Posture{Pauses: []policy.Pause{
			{Scope: policy.ScopeCluster, Until: time.Now().Add(time.Minute)},
			{Scope: "planet"}, // unknown: it covers all
		}})
		for _, want := range []float64{1, 0} {
			if got, _ := value(t, reg, "castoff_paused", map[string]string{"scope": "cluster"}); got != want {
				t.Errorf("%v, want %v", got, want)
			}
			if got, _ := value(t, reg, "castoff_paused", map[string]string{"scope": "all"}); got != 1 {
				t.Errorf("an unknown scope is not all: %v", got)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestPosture(t *testing.T) {
	synctest.Test(t, testPosture)
}

func testPosture(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	now := time.Now()
	gone := fleet.ServiceID{Cluster: "production", Name: "gone"} // its detachment is still open
	other := fleet.ServiceID{Cluster: "production", Name: "service-0001"}
	would := detachment(api, 1, now)
	would.Mode = ""                                      // an unknown mode observes
	rejected := detachment(gone, 3, now.Add(-time.Hour)) // by AWS: it is not out
	rejected.Called, rejected.Result = time.Time{}, policy.Rejected
	m.Publish(region(now, 2, 1), nil, metrics.Posture{
		Modes: map[fleet.ServiceID]policy.Mode{other: policy.Detaching},
		Detachments: []policy.Detachment{
			detachment(gone, 1, now.Add(-40*time.Second)), detachment(gone, 2, now.Add(-10*time.Second)), rejected, would,
		},
		Latches: []policy.Latch{{}, {Service: api}, {Service: api}},
		Halts:   []policy.Halt{{Cause: "panic"}, {Cause: "panic"}, {Cause: "clock"}},
	})
	for series, want := range map[string]bool{
		`castoff_detachments_open{cluster="production",mode="detach",service="gone"} 2`:           true,
		`castoff_detachments_open{cluster="production",mode="detach",service="service-0000"} 0`:   true,
		`castoff_detachments_open{cluster="production",mode="observe",service="service-0000"} 1`:  true,
		`castoff_oldest_detachment_age_seconds{cluster="production",service="gone"} 40`:           true,
		`castoff_oldest_detachment_age_seconds{cluster="production",service="service-0001"} 0`:    true,
		`castoff_oldest_detachment_age_seconds{cluster="production",service="service-0000"}`:      false, // in mode observe nothing is out
		`castoff_guard_latched{cluster="",guard="correlated",service=""} 1`:                       true,
		`castoff_guard_latched{cluster="production",guard="correlated",service="service-0000"} 1`: true,
		`castoff_guard_latched{cluster="production",guard="correlated",service="service-0001"} 0`: true,
		`castoff_acting_halted{cause="panic"} 1`:                                                  true,
		`castoff_acting_halted{cause="journal"} 0`:                                                true,
		`castoff_acting_halted{cause="clock"} 1`:                                                  true,
		`castoff_limit{`:                                                                          false,
	} {
		if has(t, reg, series) != want {
			t.Errorf("%s: want %t", series, want)
		}
	}
}

// Before the first pass castoff does not claim to be free to act.
func TestNoPostureBeforeTheFirstPass(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	m.Acting.Verdicts(nil)
	for _, series := range []string{"castoff_paused", "castoff_acting_halted", "castoff_guard_latched", "castoff_detachments_open", "castoff_limit"} {
		if has(t, reg, series) {
			t.Errorf("%s before the first pass", series)
		}
	}
}

func TestSeriesOfActingBeginAndEndWithTheirService(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	other := fleet.ServiceID{Cluster: "production", Name: "service-0001"}
	posture := metrics.Posture{Modes: map[fleet.ServiceID]policy.Mode{api: policy.Detaching, other: policy.Observing}}
	series := func(svc string) []string {
		return []string{
			`castoff_verdicts_total{cluster="production",reason="ok",service="` + svc + `",verdict="allow"} `,
			`castoff_verdicts_total{cluster="production",reason="below_floor",service="` + svc + `",verdict="hold"} `,
			`castoff_detach_calls_total{cluster="production",mode="detach",result="rejected",service="` + svc + `"} `,
			`castoff_reattach_calls_total{cluster="production",result="accepted",service="` + svc + `"} `,
			`castoff_contested_total{cluster="production",service="` + svc + `"} `,
			`castoff_saved_seconds_total{cluster="production",mode="observe",service="` + svc + `"} `,
			`castoff_lost_seconds_total{cluster="production",mode="detach",service="` + svc + `"} `,
			`castoff_saved_error_seconds_total{cluster="production",mode="detach",service="` + svc + `"} `,
		}
	}
	check := func(when, svc, want string) {
		t.Helper()
		for _, s := range series(svc) {
			if has(t, reg, s+want) != (want != "") && has(t, reg, s) {
				t.Errorf("%s %s: want %q", when, s, want)
			}
			if want != "" && !has(t, reg, s+want) {
				t.Errorf("%s: no %s%s", when, s, want)
			}
		}
	}
	m.Publish(region(now, 2, 1), nil, posture)
	check("of a service that may be acted on", "service-0000", "0\n")
	check("of one that is observed", "service-0001", "")
	m.Acting.Ended(detachment(other, 1, now))
	check("of one that something happened to", "service-0001", "0\n")
	m.Publish(region(now.Add(time.Hour), 1, 1), nil, posture)
	check("an hour after it was last seen", "service-0001", "0\n")
	m.Publish(region(now.Add(2*time.Hour), 1, 1), nil, posture)
	check("an hour later", "service-0001", "0\n")
	m.Publish(region(now.Add(2*time.Hour+time.Second), 1, 1), nil, posture)
	check("long after it was last seen", "service-0001", "")
	m.Acting.Ended(detachment(other, 1, now))
	check("of one that is back", "service-0001", "0\n")
	check("of one that stayed", "service-0000", "0\n")
	m.Publish(region(now.Add(4*time.Hour), 1, 1), nil, metrics.Posture{})
	check("of one that is no longer acted on, and there", "service-0000", "0\n")

	never := fleet.ServiceID{Cluster: "production", Name: "never-seen"}
	m.Acting.Verdicts([]policy.Verdict{verdict(never, 1, policy.Allow, policy.OK)})
	m.Publish(region(now.Add(5*time.Hour), 1, 1), nil, posture)
	m.Publish(region(now.Add(5*time.Hour+90*time.Second), 1, 1), nil, posture)
	if !has(t, reg, series("never-seen")[0]+"1") {
		t.Error("what was decided about a service that was gone in the same pass is lost")
	}
	m.Publish(region(now.Add(7*time.Hour), 1, 1), nil, posture)
	check("of one that was never seen", "never-seen", "")
}

// Every verdict that policy can give has a series that begins at 0: otherwise
// its first increase would be none to Prometheus.
func TestEveryVerdictBeginsAtZero(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, build)
	m.Publish(region(time.Now(), 1, 1), nil, metrics.Posture{Modes: map[fleet.ServiceID]policy.Mode{api: policy.Detaching}})
	there, all := scrape(t, reg), 0
	for _, d := range policy.Decisions {
		for _, r := range policy.Reasons(policy.Detach, d) {
			all++
			if !strings.Contains(there, fmt.Sprintf(`castoff_verdicts_total{cluster="production",reason=%q,service="service-0000",verdict=%q} 0`, r, d)) {
				t.Errorf("%s with reason %s does not begin at 0", d, r)
			}
		}
	}
	if n := strings.Count(there, "castoff_verdicts_total{"); n != all || n > 60 {
		t.Errorf("%d series of verdicts a service", n)
	}
}

// Cardinality grows with services that are acted on, not with what fails in them.
func TestSeriesOfActingDoNotGrowWithFailures(t *testing.T) {
	series := func(failing int) (n int) {
		reg := prometheus.NewRegistry()
		m := metrics.New(reg, build)
		p := posture(api, time.Now())
		var vs []policy.Verdict
		for i := range failing {
			for _, r := range policy.AllReasons() {
				vs = append(vs, verdict(api, i, policy.Hold, r))
			}
			d := detachment(api, i, time.Now())
			p.Detachments = append(p.Detachments, d)
			m.Acting.Called(d, policy.Accepted)
			m.Acting.Attached(d, policy.Accepted)
			m.Acting.Ended(ended(d, time.Second, 2*time.Second))
		}
		m.Acting.Verdicts(vs)
		m.Publish(region(time.Now(), 1, 1), nil, p)
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			n += len(f.GetMetric())
		}
		return n
	}
	if one, many := series(1), series(100); one != many {
		t.Errorf("%d series when one fails, %d when a hundred do", one, many)
	}
}

// SAFETY: whatever castoff is told to count, a scrape succeeds.
func TestScrapeNeverFailsWhileActing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"", "a", "a\xff", "a\xfe", "a\uFFFD", `"\`, "x\ny", strings.Repeat("n", 255)})
		reg := prometheus.NewRegistry()
		m := metrics.New(reg, build)
		for range rapid.IntRange(1, 3).Draw(t, "passes") {
			s := region(time.Now(), 1, 1)
			p := metrics.Posture{Modes: map[fleet.ServiceID]policy.Mode{api: policy.Detaching}}
			var vs []policy.Verdict
			for range rapid.IntRange(0, 4).Draw(t, "things") {
				svc := fleet.ServiceID{Cluster: name.Draw(t, "cluster"), Name: name.Draw(t, "service")}
				d := detachment(svc, 1, time.Now())
				d.Mode = policy.Mode(name.Draw(t, "mode"))
				p.Modes[svc] = d.Mode
				p.Detachments = append(p.Detachments, d)
				p.Latches = append(p.Latches, policy.Latch{Service: svc})
				p.Usage = append(p.Usage, policy.Use{Service: svc, Name: name.Draw(t, "limit"), Used: -1, Limit: math.MaxInt})
				p.Pauses = append(p.Pauses, policy.Pause{Scope: policy.Scope(name.Draw(t, "scope"))})
				p.Halts = append(p.Halts, policy.Halt{Cause: name.Draw(t, "cause")})
				v := verdict(svc, 1, policy.Decision(name.Draw(t, "decision")), policy.Reason(name.Draw(t, "reason")))
				vs = append(vs, v)
				m.Acting.Called(d, policy.Result(name.Draw(t, "result")))
				m.Acting.Attached(d, policy.Result(name.Draw(t, "result")))
				m.Acting.Ended(ended(d, -time.Second, time.Second))
			}
			m.Acting.Verdicts(vs)
			m.Publish(s, nil, p)
		}
		if _, err := reg.Gather(); err != nil {
			t.Fatal(err)
		}
	})
}
