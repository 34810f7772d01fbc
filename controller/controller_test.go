package controller

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/timeline"
	"github.com/castoff-ecs/castoff/metrics"
)

// observerFunc is a fleet made up on the spot.
type observerFunc func(ctx context.Context, hot []fleet.ServiceID) *fleet.Snapshot

func (f observerFunc) Observe(ctx context.Context, hot []fleet.ServiceID) *fleet.Snapshot {
	return f(ctx, hot)
}

func (f observerFunc) Refresh(ctx context.Context, _ []fleet.TaskARN, _ []fleet.TargetGroupARN) *fleet.Snapshot {
	return f(ctx, nil)
}

var shop = fleet.ServiceID{Cluster: "prod", Name: "shop"}

// calm is a fleet of one task, read now.
func calm(health fleet.HealthStatus) *fleet.Snapshot {
	now := time.Now().Round(0)
	read := fleet.Read{Sent: now, Received: now}
	return fleet.NewSnapshot(fleet.Snapshot{
		At:       now,
		Clusters: []*fleet.Cluster{{ARN: "arn:aws:ecs:eu-central-1:123456789012:cluster/prod", Name: "prod", Read: read}},
		Services: []*fleet.Service{{ID: shop, Status: "ACTIVE", Desired: 1, Read: read}},
		Tasks: []*fleet.Task{{
			ARN: "arn:aws:ecs:eu-central-1:123456789012:task/prod/a", Service: shop, LastStatus: fleet.Running,
			Health: health, Created: now.Add(-time.Hour), Read: read,
		}},
	})
}

func options(o Observer, log io.Writer) (Options, *prometheus.Registry) {
	reg := prometheus.NewRegistry()
	d := config.Default()
	return Options{
		Observer: o, Metrics: metrics.New(reg, metrics.Options{}), Exposition: http.NotFoundHandler(),
		Logger: slog.New(slog.NewTextHandler(log, nil)), Polling: d.Polling, Tracker: timeline.DefaultSettings(), Keep: d.Timelines.Keep,
	}, reg
}

func start(t *testing.T, o Options) *Controller {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.Start()
	t.Cleanup(func() { _ = c.Stop(context.Background()) })
	return c
}

func stop(t *testing.T, c *Controller) {
	t.Helper()
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPassesKeepTheirPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var noted []time.Time
		passes := func() []time.Time {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(noted)
		}
		var sick atomic.Bool
		began := time.Now()
		o, _ := options(observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot {
			mu.Lock()
			noted = append(noted, time.Now())
			mu.Unlock()
			if sick.Load() {
				return calm(fleet.Unhealthy)
			}
			return calm(fleet.Healthy)
		}), io.Discard)
		c := start(t, o)
		synctest.Wait()
		if at := passes(); len(at) != 1 || !at[0].Equal(began) {
			t.Errorf("first pass at %v, want at once", at)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		sick.Store(true)
		turn := len(passes())
		time.Sleep(time.Minute)
		stop(t, c)
		at := passes()
		for i := 1; i < len(at); i++ {
			limit := o.Polling.Interval
			if i > turn {
				limit = o.Polling.HotInterval
			}
			if gap := at[i].Sub(at[i-1]); gap > limit || gap < limit-limit/10 {
				t.Errorf("pass %d came %s after the one before, want %s less a tenth at most", i, gap, limit)
			}
		}
	})
}

func TestPassesDoNotOverlapAndHaveADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running, passes := 0, 0
		o, _ := options(observerFunc(func(ctx context.Context, _ []fleet.ServiceID) *fleet.Snapshot {
			running++
			passes++
			if running > 1 {
				t.Error("two passes at once")
			}
			began := time.Now()
			<-ctx.Done() // AWS hangs
			if d := time.Since(began); d > 15*time.Second {
				t.Errorf("the pass went on for %s", d)
			}
			running--
			return calm(fleet.Healthy)
		}), io.Discard)
		c := start(t, o)
		time.Sleep(time.Minute)
		stop(t, c)
		if passes < 4 {
			t.Errorf("%d passes in a minute", passes)
		}
	})
}

func TestStopEndsARunningPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := options(observerFunc(func(ctx context.Context, _ []fleet.ServiceID) *fleet.Snapshot {
			<-ctx.Done()
			return fleet.NewSnapshot(fleet.Snapshot{At: time.Now(), Gaps: []fleet.Gap{{Kind: fleet.GapTasks, Ref: "x", Class: fleet.Transient}}})
		}), io.Discard)
		var log bytes.Buffer
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c := start(t, o)
		synctest.Wait()
		began := time.Now()
		stop(t, c)
		stop(t, c) // again
		if d := time.Since(began); d > 0 {
			t.Errorf("stopping took %s", d)
		}
		if strings.Contains(log.String(), "cannot see") {
			t.Errorf("blames AWS for the stop: %s", log.String())
		}
	})
}

func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		o, _ := options(observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot {
			<-release // deaf
			return calm(fleet.Healthy)
		}), io.Discard)
		c := start(t, o)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		err := c.Stop(ctx)
		if d := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || d != 3*time.Second {
			t.Errorf("stopped after %s with %v", d, err)
		}
		close(release)
	})
}

const haltedByPanic = `# HELP castoff_acting_halted 1 while castoff does not act because of a fault of its own: panic (until it is restarted), journal (cannot be written). It goes on observing.
# TYPE castoff_acting_halted gauge
castoff_acting_halted{cause="journal"} 0
castoff_acting_halted{cause="panic"} 1
`

// Before any pass has ended well there is nothing to publish but that.
func TestPanicOfTheFirstPassIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, reg := options(observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot {
			panic("a nil where none should be")
		}), io.Discard)
		c := start(t, o)
		synctest.Wait()
		if err := testutil.GatherAndCompare(reg, strings.NewReader(haltedByPanic), "castoff_acting_halted"); err != nil {
			t.Error(err)
		}
		if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
			t.Errorf("%v %v", problems, err)
		}
		stop(t, c)
	})
}

func TestPanicIsCountedAndSurvived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		passes := 0
		o, reg := options(observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot {
			if passes++; passes == 2 {
				panic("a nil where none should be")
			}
			return calm(fleet.Healthy)
		}), &log)
		c := start(t, o)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if v := c.View(); v.Pass.Result != "panic" || v.Snapshot == nil {
			t.Errorf("after the panic: %+v", v.Pass)
		}
		if v := c.View(); len(v.Halts) != 1 || v.Halts[0].Cause != haltPanic {
			t.Errorf("after the panic nobody is shown that castoff acts no more: %+v", v.Halts)
		}
		if err := testutil.GatherAndCompare(reg, strings.NewReader(haltedByPanic), "castoff_acting_halted"); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		stop(t, c)
		if v := c.View(); v.Pass.Result != "ok" || v.Pass.Number != 3 {
			t.Errorf("after the pass that followed: %+v", v.Pass)
		}
		const want = "# HELP castoff_passes_total"
		if n, err := testutil.GatherAndCount(reg, "castoff_passes_total"); err != nil || n == 0 {
			t.Errorf("%s: %d %v", want, n, err)
		}
		if !strings.Contains(log.String(), "a nil where none should be") {
			t.Error("not logged")
		}
	})
}

func TestTimelineFromOpenToClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var sick atomic.Bool
		var asked [][]fleet.ServiceID
		o, reg := options(observerFunc(func(_ context.Context, hot []fleet.ServiceID) *fleet.Snapshot {
			asked = append(asked, hot)
			if sick.Load() {
				return calm(fleet.Unhealthy)
			}
			return calm(fleet.Healthy)
		}), &log)
		c := start(t, o)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		sick.Store(true)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if v := c.View(); len(v.Open) != 1 || v.Open[0].Trigger != timeline.ContainerCheck {
			t.Fatalf("open: %v", v.Open)
		}
		sick.Store(false)
		time.Sleep(4 * time.Minute)
		stop(t, c)
		if !slices.ContainsFunc(asked, func(hot []fleet.ServiceID) bool { return slices.Equal(hot, []fleet.ServiceID{shop}) }) {
			t.Errorf("hot: %v", asked)
		}
		if v := c.View(); len(v.Open) != 0 || len(v.Closed) != 1 || v.Closed[0].Outcome != timeline.Recovered {
			t.Fatalf("open %v, closed %v", v.Open, v.Closed)
		}
		expected := `
			# HELP castoff_timelines_open Timelines not yet closed: of tasks that fail, and of tasks that stopped or recovered and are watched until that is sure.
			# TYPE castoff_timelines_open gauge
			castoff_timelines_open{cluster="prod",service="shop"} 0
		`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(expected), "castoff_timelines_open"); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "timeline opened"); n != 1 {
			t.Errorf("opened %d times in the log", n)
		}
		if !strings.Contains(log.String(), "outcome=recovered") {
			t.Error(log.String())
		}
	})
}

func TestOutageTurnsReadinessRedAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var outage atomic.Bool
		var since time.Time
		o, _ := options(observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot {
			s := calm(fleet.Healthy)
			if outage.Load() {
				old := *s
				old.Tasks, old.Services, old.Clusters = nil, nil, nil
				old.Gaps = []fleet.Gap{{Kind: fleet.GapClusters, Ref: "eu-central-1", Class: fleet.Transient, Since: since}}
				s = fleet.NewSnapshot(old)
			}
			return s
		}), &log)
		c := start(t, o)
		time.Sleep(time.Minute)
		synctest.Wait()
		ready := func() bool {
			v := c.View()
			return !v.LastFull.IsZero() && time.Since(v.LastFull) <= v.ReadyWithin
		}
		if !ready() {
			t.Error("not ready when all is well")
		}
		since = time.Now()
		outage.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if ready() || c.View().Pass.Result != "failed" {
			t.Errorf("ready a minute into an outage; pass %s", c.View().Pass.Result)
		}
		outage.Store(false)
		time.Sleep(6 * time.Second)
		stop(t, c)
		if !ready() {
			t.Error("not ready after the outage")
		}
		if n := strings.Count(log.String(), "cannot see"); n != 1 {
			t.Errorf("the gap is logged %d times", n)
		}
		if n := strings.Count(log.String(), "can see again"); n != 1 {
			t.Errorf("its end is logged %d times", n)
		}
	})
}

// noon is of tests that need no bubble.
var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestFull(t *testing.T) {
	clusters := []*fleet.Cluster{{ARN: "arn:1/a", Name: "a"}, {ARN: "arn:1/b", Name: "b"}}
	gap := func(kind fleet.GapKind, class fleet.Class, ref string) fleet.Gap {
		return fleet.Gap{Kind: kind, Class: class, Ref: ref, Since: noon.Add(-7 * time.Second)}
	}
	never := gap(fleet.GapTargetHealth, fleet.Transient, "arn:h")
	never.Never = true
	longer := gap(fleet.GapService, fleet.Transient, "a/x")
	longer.Since = noon.Add(-time.Minute)
	const no = -1
	tests := []struct {
		name     string
		clusters []*fleet.Cluster
		gaps     []fleet.Gap
		ago      time.Duration // until when all was seen, before the Snapshot
	}{
		{"no gap", clusters, nil, 0},
		{"nothing there", nil, nil, 0},
		{"one group denied", clusters, []fleet.Gap{gap(fleet.GapTargetHealth, fleet.Denied, "arn:g")}, 0},
		{"one group throttled", clusters, []fleet.Gap{gap(fleet.GapTargetHealth, fleet.Throttled, "arn:g")}, 7 * time.Second},
		{"one cluster denied", clusters, []fleet.Gap{gap(fleet.GapTaskList, fleet.Denied, "arn:1/a")}, 0},
		{"every cluster denied", clusters, []fleet.Gap{gap(fleet.GapTaskList, fleet.Denied, "arn:1/a"), gap(fleet.GapTasks, fleet.Denied, "b")}, no},
		{"the list of clusters denied", nil, []fleet.Gap{gap(fleet.GapClusters, fleet.Denied, "")}, no},
		{"the only cluster not there", nil, []fleet.Gap{gap(fleet.GapCluster, fleet.NotFound, "a")}, no},
		{"services not read yet", clusters, []fleet.Gap{gap(fleet.GapService, fleet.Paced, "a/x")}, no},
		{"attributes not read yet", clusters, []fleet.Gap{gap(fleet.GapAttributes, fleet.Paced, "arn:g")}, 0},
		{"garbage", clusters, []fleet.Gap{gap(fleet.GapTasks, fleet.Invalid, "arn:1/a")}, 7 * time.Second},
		{"two that fail", clusters, []fleet.Gap{gap(fleet.GapTasks, fleet.Transient, "arn:1/a"), longer}, time.Minute},
		{"one that was never read", clusters, []fleet.Gap{never}, no},
	}
	for _, tt := range tests {
		var want time.Time
		if tt.ago != no {
			want = noon.Add(-tt.ago)
		}
		if got := full(&fleet.Snapshot{At: noon, Clusters: tt.clusters, Gaps: tt.gaps}); !got.Equal(want) {
			t.Errorf("%s: full until %v, want %v", tt.name, got, want)
		}
	}
}

func TestServes(t *testing.T) {
	o, _ := options(observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot { return calm(fleet.Healthy) }), io.Discard)
	o.Listen = "127.0.0.1:0"
	c := start(t, o)
	resp, err := http.Get("http://" + c.Address() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("/healthz answers %s", resp.Status)
	}
	second := o
	second.Listen = c.Address()
	_, err = New(second)
	var busy *ListenError
	if !errors.As(err, &busy) || busy.Address != c.Address() {
		t.Errorf("a port in use: %v", err)
	}
	stop(t, c)
	if conn, err := net.Dial("tcp", c.Address()); err == nil {
		_ = conn.Close()
		t.Error("still listening after Stop")
	}
}

// A page that is left open hears of each pass, and does not keep castoff from
// stopping.
func TestEventsOfPasses(t *testing.T) {
	o, _ := options(observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot { return calm(fleet.Healthy) }), io.Discard)
	o.Listen = "127.0.0.1:0"
	c := start(t, o)
	resp, err := http.Get("http://" + c.Address() + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && lines.Text() != "event: pass" {
	}
	if lines.Err() != nil || lines.Text() != "event: pass" {
		t.Fatalf("no pass was told of: %v", lines.Err())
	}
	began := time.Now()
	stop(t, c)
	for lines.Scan() {
	}
	if lines.Err() != nil {
		t.Errorf("the stream was cut: %v", lines.Err())
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("stopping took %s", took)
	}
}

func TestStopBeforeStart(t *testing.T) {
	o, _ := options(observerFunc(nil), io.Discard)
	o.Listen = "127.0.0.1:0"
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	stop(t, c)
	if conn, err := net.Dial("tcp", c.Address()); err == nil {
		_ = conn.Close()
		t.Error("still listening after Stop")
	}
}

// Start and Stop may be called in any order, and twice: there is one loop at the most, and
// none after the end.
func TestStartAndStopInAnyOrder(t *testing.T) {
	for name, tt := range map[string]struct {
		calls  func(*testing.T, *Controller)
		passes bool
	}{
		"started twice":               {func(_ *testing.T, c *Controller) { c.Start(); c.Start() }, true},
		"served, started, served":     {func(_ *testing.T, c *Controller) { c.Serve(); c.Start(); c.Serve() }, true},
		"started after its end":       {func(t *testing.T, c *Controller) { stop(t, c); c.Start(); c.Serve() }, false},
		"started again after its end": {func(t *testing.T, c *Controller) { c.Start(); stop(t, c); c.Start() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var passes atomic.Int64
				o, _ := options(observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot {
					passes.Add(1)
					return fleet.NewSnapshot(fleet.Snapshot{At: time.Now()})
				}), io.Discard)
				c, err := New(o)
				if err != nil {
					t.Fatal(err)
				}
				tt.calls(t, c)
				synctest.Wait()
				passes.Store(0)
				time.Sleep(10 * o.Polling.Interval)
				synctest.Wait()
				if n := passes.Load(); tt.passes && (n < 10 || n > 12) || !tt.passes && n > 0 {
					t.Errorf("%d passes in ten intervals", n)
				}
				stop(t, c)
				stop(t, c)
			})
		})
	}
}

func TestWebConfigFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(file, []byte("basic_auth_users: {sre: '$2y$10$XXXXnotabcrypthash'}\nbogus: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, _ := options(observerFunc(nil), io.Discard)
	o.Listen, o.WebConfigFile = "127.0.0.1:0", file
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a wrong web configuration: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("no options are no error")
	}
}

func TestHistory(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	h := history{keep: config.Keep{Count: 3, Age: time.Hour}}
	ids := func(tls []*timeline.Timeline) string {
		var b strings.Builder
		for _, tl := range tls {
			b.WriteString(string(tl.ID))
		}
		return b.String()
	}
	add := func(at time.Time, names ...string) []*timeline.Timeline {
		var tls []*timeline.Timeline
		for _, n := range names {
			tls = append(tls, &timeline.Timeline{ID: timeline.ID(n), Closed: at})
		}
		return h.add(tls, at)
	}
	first := add(now, "a", "b")
	second := add(now.Add(time.Minute), "c", "d")
	if got := ids(first) + " " + ids(second); got != "ba dcb" {
		t.Errorf("got %s", got)
	}
	if got := ids(add(now.Add(61 * time.Minute))); got != "dc" {
		t.Errorf("after an hour: %s", got)
	}
	if got := ids(add(now.Add(62*time.Minute), "e", "f", "g", "h")); got != "hgf" {
		t.Errorf("more than may be kept: %s", got)
	}
	if got := ids(first) + " " + ids(second); got != "ba dcb" {
		t.Errorf("what was handed out has changed: %s", got)
	}
	var many []string
	for i := range 5 {
		many = append(many, fmt.Sprint(i))
	}
	h.keep.Count = 0
	if got := ids(add(now.Add(63*time.Minute), many...)); got != "" {
		t.Errorf("kept %s of none", got)
	}
}

// TestStepIsAPassInATimeThatIsTold: who drives the time gets the passes of the
// loop, and nothing else runs.
func TestStepIsAPassInATimeThatIsTold(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	began := now
	o, _ := options(observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot {
		now = now.Add(time.Second) // the reading takes that long
		return fleet.NewSnapshot(fleet.Snapshot{At: now})
	}), io.Discard)
	o.Now = func() time.Time { return now }
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop(context.Background()) })
	next := c.Step(t.Context())
	if wait := next.Sub(began); wait < o.Polling.Interval*9/10 || wait > o.Polling.Interval {
		t.Errorf("the next pass %s after this one began", wait)
	}
	if v := c.View(); v.Pass.Number != 1 || !v.Pass.At.Equal(began.Add(time.Second)) || v.Pass.Duration != time.Second || !v.Started.Equal(began) {
		t.Errorf("%+v, started %s", v.Pass, v.Started)
	}
	if !c.acting.began.Equal(began) {
		t.Errorf("the startup window began at %s", c.acting.began)
	}
	now = next
	if c.Step(t.Context()); !c.acting.began.Equal(began) || c.View().Pass.Number != 2 {
		t.Errorf("the startup window began at %s in pass %d", c.acting.began, c.View().Pass.Number)
	}
}

// A machine that wakes late puts off the pass at hand and none after it; a pass that took
// long is not followed by others in a hurry.
func TestALatePassPutsOffNoOther(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	o, _ := options(observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot {
		return fleet.NewSnapshot(fleet.Snapshot{At: now})
	}), io.Discard)
	o.Now = func() time.Time { return now }
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop(context.Background()) })
	interval := o.Polling.Interval
	due := c.Step(t.Context())
	for range 10 {
		now = due.Add(interval / 5)
		next := c.Step(t.Context())
		if every := next.Sub(due); every > interval || every < interval*9/10 {
			t.Fatalf("the next is due %s after this one", every)
		}
		due = next
	}
	now = due.Add(interval)
	if wait := c.Step(t.Context()).Sub(now); wait < interval*9/10 || wait > interval {
		t.Errorf("after a long one, the next is due in %s", wait)
	}
}

// A pass that takes a little longer than the interval is followed by the next at once,
// and by no others in a hurry once passes are quick again.
func TestALongPassIsFollowedByNoHurry(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	o, _ := options(nil, io.Discard)
	takes := o.Polling.Interval * 11 / 10
	o.Observer = observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot {
		now = now.Add(takes)
		return fleet.NewSnapshot(fleet.Snapshot{At: now})
	})
	o.Now = func() time.Time { return now }
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop(context.Background()) })
	c.Step(t.Context())
	takes = 0
	if wait := c.Step(t.Context()).Sub(now); wait < o.Polling.Interval*9/10 {
		t.Errorf("the next is due in %s", wait)
	}
}
