package status_test

import (
	"encoding/json"
	"flag"
	"fmt"
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
)

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
	v.LimitsOf = func(fleet.ServiceID) policy.Limits { return policy.DefaultLimits() }
	v.RuleOf = func(id fleet.ServiceID) string {
		if id.Name == "api" {
			return "services[2]"
		}
		return "default"
	}
	v.Usage = []policy.Use{{Name: "budget", Used: 1, Limit: 10}}
	for _, svc := range v.Snapshot.Services {
		v.Usage = append(v.Usage, policy.Use{Service: svc.ID, Name: "budget", Limit: 1}, policy.Use{Service: svc.ID, Name: "floor", Used: 1, Limit: 2})
	}
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
// then passes.
func advancing(t *testing.T, now time.Time) http.Handler {
	t.Helper()
	var at atomic.Pointer[status.View]
	calm := calmView(now)
	at.Store(calm)
	events := status.NewEvents(now)
	events.Publish(calm, now)
	t.Cleanup(events.Close)
	h := status.New(status.Options{View: at.Load, Metrics: http.NotFoundHandler(), Events: events})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/test/advance" {
			h.ServeHTTP(w, r)
			return
		}
		next := busy(time.Now().UTC())
		at.Store(next)
		events.Publish(next, time.Now())
		fmt.Fprintln(w, time.Now().UnixMilli())
	})
}
