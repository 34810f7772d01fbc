package status_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

var browserCastoff = flag.String("castoff", "", "a castoff, whose demo -browser opens as well")

var browserModules = flag.String("browser", "", "run the browser's tests, with playwright-core and axe-core from this node_modules")

// TestBrowser opens every view in Chromium: see browser/check.mjs. It runs by
// make browser.
func TestBrowser(t *testing.T) {
	if *browserModules == "" {
		t.Skip("needs -browser; make browser has it")
	}
	now := time.Now().UTC()
	sites := map[string]string{}
	large := busy(now)
	big(large, now, 1000, 10_000)
	views := states(now)
	views["busy"], views["large"] = busy(now), large
	views["hostile"] = named(now, hostile["script"]+hostile["quotes"]+hostile["right to left"]+hostile["255 characters"])
	for name, v := range views {
		server := httptest.NewServer(handler(v))
		t.Cleanup(server.Close)
		sites[name] = server.URL
	}
	live := httptest.NewServer(advancing(t, now))
	t.Cleanup(live.CloseClientConnections)
	sites["live"] = live.URL
	if *browserCastoff != "" {
		sites["demo"] = demo(t)
	}
	given, err := json.Marshal(sites)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "browser/check.mjs", *browserModules, string(given))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
}

// demo runs castoff demo, which waits with its app hung until the failure is over
// and then stays, and is its address.
func demo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close() // for the demo to have
	cmd := exec.CommandContext(t.Context(), *browserCastoff, "demo", "--stay", "--listen", address)
	cmd.Stdout, cmd.Stderr = io.Discard, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return "http://" + address
}

// busy is a sample with limits, passes and a longer history.
func busy(now time.Time) *status.View {
	v := sample(now)
	v.Notice = "A simulated region."
	v.LastFull = now.Add(time.Hour) // it stays ready for as long as the tests take
	for i := range 120 {
		tl := hung(fmt.Sprintf("%032x", 0xa000+i), now.Add(-time.Duration(i)*37*time.Minute-3*time.Hour), time.Hour)
		tl.Service.Name = []string{"api", "checkout", "search"}[i%3]
		v.Closed = append(v.Closed, tl)
	}
	v.LimitsOf = func(id fleet.ServiceID) policy.Limits {
		l := v.Base
		if id.Name == "api" {
			l.Mode, l.Floor.Count = policy.Detaching, 2
		}
		return l
	}
	v.RuleOf = func(id fleet.ServiceID) string {
		if id.Name == "api" {
			return "services[2]"
		}
		return "default"
	}
	v.Usage = []policy.Use{{Name: "budget", Used: 1, Limit: 10}}
	for _, svc := range v.Snapshot.Services {
		v.Usage = append(v.Usage, policy.Use{Service: svc.ID, Name: "budget", Limit: 1}, policy.Use{Service: svc.ID, Name: "floor", Used: 1, Limit: 2},
			policy.Use{Service: svc.ID, Name: "rate", Used: 1, Limit: 2}, policy.Use{Service: svc.ID, Name: "futile", Used: 1, Limit: 3}, policy.Use{Service: svc.ID, Name: "contested", Limit: 3})
	}
	v.Base = policy.DefaultLimits()
	v.Base.Startup = 90 * time.Second
	v.Calls, v.CallsBefore = sampleCalls(now, 1), sampleCalls(now.Add(-5*time.Minute), 0.9)
	v.Flow = map[fleet.TaskARN][]policy.Verdict{v.Open[0].Task: sampleFlow(v.Open[0]), v.Closed[0].Task: sampleFlow(v.Closed[0])}
	v.Configuration = "region: eu-central-1\nclusters: []\naws:\n  assume_role:\n    external_id: \"<redacted>\"\n"
	v.State = "/var/lib/castoff"
	for i := range 60 {
		p := status.Pass{Number: v.Pass.Number - i, At: v.Pass.At.Add(-time.Duration(i) * 5 * time.Second), Duration: time.Duration(200+i*37%400) * time.Millisecond, Result: "ok"}
		if i%7 == 0 {
			p.Result = "partial"
		}
		v.Passes = append(v.Passes, p)
	}
	return v
}

// sampleCalls are calls until an instant, a share of those until another.
func sampleCalls(at time.Time, share float64) status.Calls {
	n := func(all int) int { return int(share * float64(all)) }
	return status.Calls{
		At: at,
		Budgets: []status.Budget{
			{Bucket: "ecs_cluster_resource_read", PerSecond: 5, Requests: n(9400)}, {Bucket: "elbv2_describe", PerSecond: 2.5, Requests: n(8100), Waited: 41 * time.Second},
			{Bucket: "elbv2_registration", PerSecond: 1, Requests: n(2)},
		},
		Operations: []status.Operation{
			{Service: "ecs", Name: "DescribeTasks", Bucket: "ecs_cluster_resource_read", Results: map[string]int{"ok": n(9388), "throttled": 11, "transient": 1}},
			{Service: "elbv2", Name: "DescribeTargetHealth", Bucket: "elbv2_describe", Results: map[string]int{"ok": n(8098), "denied": 2}},
			{Service: "elbv2", Name: "DeregisterTargets", Bucket: "elbv2_registration", Results: map[string]int{"ok": n(2)}},
		},
	}
}

// sampleFlow is how the verdict on a timeline's target came about.
func sampleFlow(t *timeline.Timeline) []policy.Verdict {
	confirm := policy.Finding{Guard: policy.Confirm, Decision: policy.Hold, Reason: policy.Unconfirmed, Sentence: "seen failing in 1 reading, 2 are asked for", Values: []policy.Value{{Name: "reads", Got: 1, Limit: 2}}}
	floor := policy.Finding{Guard: policy.Floor, Decision: policy.Hold, Reason: policy.BelowFloor, Sentence: "1 of 3 tasks would stay healthy, floor 2 (50 %)", Values: []policy.Value{{Name: "healthy_left", Got: 1, Limit: 2}}}
	at := func(s time.Duration, not ...policy.Finding) policy.Verdict {
		v := held(t, t.Opened.Add(s*time.Second), not...)
		v.Findings = not
		return v
	}
	return []policy.Verdict{at(0, confirm, floor), at(2, floor), held(t, t.Opened.Add(40*time.Second))}
}

func calmView(now time.Time) *status.View {
	v := busy(now)
	v.Snapshot = fleet.NewSnapshot(fleet.Snapshot{At: now, Clusters: v.Snapshot.Clusters, Services: v.Snapshot.Services, TargetGroups: v.Snapshot.TargetGroups[:1]})
	v.Open, v.Verdicts, v.Detachments, v.Pauses, v.Latches, v.Closed = nil, nil, nil, nil, nil, nil
	v.Notice = ""
	return v
}

// states are a View for each word that the banner of the first page can say.
func states(now time.Time) map[string]*status.View {
	all := map[string]*status.View{"start": {Version: "0.1.0", Started: now, ReadyWithin: 30 * time.Second}}
	with := func(name string, edit func(v, busy *status.View)) {
		v := calmView(now)
		edit(v, busy(now))
		all[name] = v
	}
	with("calm", func(*status.View, *status.View) {})
	with("latched", func(v, busy *status.View) { v.Latches = busy.Latches })
	with("paused", func(v, busy *status.View) { v.Pauses = busy.Pauses })
	with("failing", func(v, busy *status.View) {
		v.Open, v.Verdicts, v.Detachments = busy.Open[1:], busy.Verdicts[:1], busy.Detachments[:1]
	})
	with("blind", func(v, _ *status.View) { v.LastFull = now.Add(-4 * time.Minute) })
	with("partly-blind", func(v, busy *status.View) { v.Snapshot.Gaps = busy.Snapshot.Gaps })
	with("halted", func(v, _ *status.View) {
		v.Halts = []policy.Halt{{Cause: "journal", Detail: "the journal cannot be written, so nothing may be detached: no space left on device"}}
	})
	with("exposed", func(v, busy *status.View) {
		s := *busy.Snapshot
		s.Gaps = nil
		v.Snapshot, v.Open, v.Verdicts = fleet.NewSnapshot(s), busy.Open[:1], busy.Verdicts[1:]
	})
	return all
}

// advancing is a site that is calm until something asks for /test/advance, and
// passes each time: to what the parameter to says, exposed or calm.
func advancing(t *testing.T, now time.Time) http.Handler {
	t.Helper()
	var at atomic.Pointer[status.View]
	calm := calmView(now)
	at.Store(calm)
	events := status.NewEvents(now, 256)
	events.Publish(calm, now)
	t.Cleanup(events.Close)
	h := status.New(status.Options{View: at.Load, Metrics: http.NotFoundHandler(), Events: events})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/test/advance" {
			h.ServeHTTP(w, r)
			return
		}
		next := busy(time.Now().UTC())
		if r.FormValue("to") == "calm" {
			next = calmView(time.Now().UTC())
		}
		at.Store(next)
		events.Publish(next, time.Now())
		fmt.Fprintln(w, time.Now().UnixMilli())
	})
}
