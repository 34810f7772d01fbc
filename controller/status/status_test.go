package status_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// open and closed are ids in the sample at the start of a bubble.
const (
	openID   = "1f0c2a57b1c24d6f8e1f6b7a9d3c5e01-19991231T235858Z"
	closedID = "7a0c2a57b1c24d6f8e1f6b7a9d3c5e07-19991231T220018Z"
)

func TestAnswers(t *testing.T) {
	const text, page, js = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"
	for _, tt := range []struct {
		path        string
		code        int
		contentType string
		contains    string
	}{
		{"/healthz", 200, text, "ok\n"},
		{"/readyz", 200, text, "ready\n"},
		{"/metrics", 200, text, "castoff_build_info"},
		{"/", 200, page, "Clients are sent to 1 failing task"},
		{"/style.css", 200, "text/css; charset=utf-8", "prefers-color-scheme"},
		{"/icon.svg", 200, "image/svg+xml", "<svg"},
		{"/timelines/" + openID, 200, page, "Clients are sent to it: ECS calls the task UNHEALTHY"},
		{"/timelines/" + closedID, 200, page, "Task failed container health checks"},
		{"/timelines/a%2Fb", 400, page, "a/b"},
		{"/timelines/", 404, page, "There is nothing at this address"},
		{"/timelines/" + closedID + "/text", 200, text, "container check"},
		{"/timelines", 200, page, closedID},
		{"/timelines?state=open", 200, page, openID},
		{"/timelines?outcome=lost", 200, page, "0 closed timelines of 2"},
		{"/timelines?outcome=won", 400, page, "<bdi>outcome: must be one of retired, recovered, superseded, lost"},
		{"/timelines?colour=red", 400, page, "Unknown parameter &#34;colour&#34;: known are cluster, service"},
		{"/timelines?cursor=x", 400, page, "not one that castoff gave"},
		{"/timelines?limit=1", 200, page, "Older"},
		{"/services", 200, page, "production/worker"},
		{"/services?service=api", 200, page, "1 service, those in trouble first"},
		{"/services?page=9", 400, page, "page: must be 1..1, for there is no more"},
		{"/services?page=1", 200, page, "3 services"},
		{"/services?cluster=prod", 400, page, "known are production"},
		{"/?x=1", 400, page, "none is known here"},
		{"/timelines/" + closedID + "?x=1", 400, page, "none is known here"},
		{"/timelines?service=apu", 400, page, "known are api, web, worker"},
		{"/services?page=0", 400, page, "page: must be a number from 1"},
		{"/services?state=open", 400, page, "known are cluster, service, page"},
		{"/castoff", 200, page, "What castoff shows is up to date."},
		{"/castoff?x=1", 400, page, "none is known here"},
		{"/live.js", 200, "text/javascript; charset=utf-8", "EventSource"},
		{"/nowhere", 404, page, "There is nothing at this address"},
		{"/api/v1/status", 200, js, `"ready":true`},
		{"/api/v1/status?x=1", 400, js, `unknown parameter \"x\"`},
		{"/api/v1/services", 200, js, `"service":"worker"`},
		{"/api/v1/services?service=nope", 400, js, `service: castoff knows none of this name (got \"nope\"): known are api, web, worker`},
		{"/api/v1/services?service=api&cluster=staging", 400, js, `cluster: castoff knows none of this name (got \"staging\"): known are production`},
		{"/api/v1/tasks", 200, js, `"next_cursor":null`},
		{"/api/v1/tasks?exposed=true&service=api", 200, js, `"timeline":"` + openID},
		{"/api/v1/tasks?task=1f0c", 200, js, `"tasks":[]`},
		{"/api/v1/tasks?task=a%20b", 400, js, "must be a task's ARN or its id"},
		{"/api/v1/tasks?exposed=perhaps", 400, js, "must be one of true, false"},
		{"/api/v1/tasks?limit=0", 400, js, "must be 1..1000"},
		{"/api/v1/tasks?state=open", 400, js, "known are cluster, service, task, exposed, limit, cursor"},
		{"/api/v1/tasks?cluster=prod", 400, js, "known are production"},
		{"/api/v1/timelines?since=2026-03-01T12:00:00Z&until=2026-03-01T12:00:00Z", 400, js, "until: must be later than since"},
		{"/api/v1/verdicts?task=%3Cb%3E", 400, js, "must be a task's ARN or its id"},
		{"/api/v1/verdicts?service=nope", 400, js, "castoff knows none of this name"},
		{"/api/v1/detachments?task=10.0.0.1", 400, js, "must be a task's ARN or its id"},
		{"/api/v1/detachments?cluster=nope", 400, js, "castoff knows none of this name"},
		{"/api/v1/openapi.yaml?x=1", 400, js, "none is known here"},
		{"/live.js?x=1", 400, page, "none is known here"},
		{"/api/v1/openapi.yaml", 200, "application/yaml", "openapi: 3.1.0"},
		{"/api/v1/services?name=api", 400, js, "known are cluster, service, limit, cursor"},
		{"/api/v1/timelines", 200, js, `"next_cursor":null`},
		{"/api/v1/timelines?state=open&service=api&cluster=production", 200, js, openID},
		{"/api/v1/timelines?cluster=", 200, js, openID},
		{"/api/v1/timelines?trigger=exit", 200, js, `"timelines":[]`},
		{"/api/v1/timelines?trigger=boredom", 400, js, "must be one of container_check, target_check, exit (got"},
		{"/api/v1/timelines?outcome=won", 400, js, "must be one of retired, recovered, superseded, lost"},
		{"/api/v1/timelines?state=ajar", 400, js, "must be one of open, closed"},
		{"/api/v1/timelines?since=yesterday", 400, js, "must be an RFC 3339 time"},
		{"/api/v1/timelines?until=2026-03-01T12:00:00", 400, js, "must be an RFC 3339 time"},
		{"/api/v1/timelines?limit=0", 400, js, "must be 1..1000"},
		{"/api/v1/timelines?limit=1001", 400, js, "must be 1..1000"},
		{"/api/v1/timelines?cursor=xyz", 400, js, "not one that castoff gave"},
		{"/api/v1/timelines?colour=red", 400, js, "known are cluster, service, trigger, outcome, state, since, until, limit, cursor"},
		{"/api/v1/timelines?state=open&state=closed", 400, js, "given 2 times"},
		{"/api/v1/timelines?state=%zz", 400, js, "invalid URL escape"},
		{"/api/v1/timelines/" + closedID, 200, js, `"outcome":"retired"`},
		{"/api/v1/timelines/" + closedID + "?x=1", 400, js, "none is known here"},
		{"/api/v1/timelines/none", 400, js, "id: must be a timeline's, a task's id and when it was opened, such as"},
		{"/api/v1/timelines/1f0c2a57b1c24d6f8e1f6b7a9d3c5e01-20269999T120000Z", 400, js, `"code":"invalid_query"`},
		{"/api/v1/timelines/%3Cb%3E-20260301T120000Z", 400, js, `"code":"invalid_query"`},
		{"/api/v1/timelines/1f0c2a57b1c24d6f8e1f6b7a9d3c5e01-20260301T120000Z", 404, js, `"code":"not_found"`},
		{"/timelines/none", 400, page, "such as 1f0c2a57b1c24d6f8e1f6b7a9d3c5e01-20260301T120000Z"},
		{"/timelines/none/text", 400, page, "such as 1f0c2a57b1c24d6f8e1f6b7a9d3c5e01-20260301T120000Z"},
		{"/timelines/1f0c2a57b1c24d6f8e1f6b7a9d3c5e01-20260301T120000Z", 404, page, "no longer kept"},
		{"/api/v1/services?limit=1", 200, js, `"next_cursor":"`},
		{"/api/v1/services?limit=0", 400, js, "must be 1..1000"},
		{"/api/v1/services?cursor=x", 400, js, "not one that castoff gave"},
		{"/api/v1/tasks?task=arn:aws:s3:::bucket", 400, js, "must be a task's ARN or its id"},
		{"/api/v1/explain?of=arn:aws:ecs:eu-central-1:123456789012:service/a", 400, js, "is the ARN of no task"},
		{"/api/v1/explain?of=i-%3Cb%3E", 400, js, "is no instance's id"},
		{"/api/v1/verdicts", 200, js, `"next_cursor":null`},
		{"/api/v1/verdicts?cluster=production&service=api&action=detach&reason=below_floor", 200, js, `"sentence":"1 of 3 tasks would stay healthy, floor 2 (50 %)"`},
		{"/api/v1/verdicts?decision=allow", 200, js, `"verdicts":[]`},
		{"/api/v1/verdicts?task=1f0c2a57b1c24d6f8e1f6b7a9d3c5e01", 200, js, `"guard":"floor"`},
		{"/api/v1/verdicts?task=1f0c2a57", 200, js, `"verdicts":[]`},
		{"/api/v1/verdicts?decision=maybe", 400, js, "must be one of allow, hold, refuse (got"},
		{"/api/v1/verdicts?reason=boredom", 400, js, "must be one of ok, invalid_limit, paused"},
		{"/api/v1/verdicts?action=shout", 400, js, "must be one of detach, attach"},
		{"/api/v1/verdicts?limit=x", 400, js, "must be 1..1000"},
		{"/api/v1/verdicts?cursor=x", 400, js, "not one that castoff gave"},
		{"/api/v1/verdicts?state=open", 400, js, "known are cluster, service, task, action, decision, reason, limit, cursor"},
		{"/api/v1/detachments?state=open", 200, js, `"result":"accepted"`},
		{"/api/v1/detachments?mode=observe", 200, js, `"shortest_seconds":-3`},
		{"/api/v1/detachments?outcome=recovered", 200, js, `"detachments":[]`},
		{"/api/v1/detachments?mode=off", 400, js, "must be one of observe, detach"},
		{"/api/v1/detachments?outcome=won", 400, js, "must be one of stopped, recovered, lost"},
		{"/api/v1/detachments?state=ajar", 400, js, "must be one of open, closed"},
		{"/api/v1/detachments?since=now", 400, js, "must be an RFC 3339 time"},
		{"/api/v1/detachments?until=now", 400, js, "must be an RFC 3339 time"},
		{"/api/v1/detachments?limit=0", 400, js, "must be 1..1000"},
		{"/api/v1/detachments?decision=hold", 400, js, "known are cluster, service, task, mode, state, outcome, since, until, limit, cursor"},
		{"/api/v1/explain?of=10.0.17.201", 200, js, `"exposed":true`},
		{"/api/v1/explain?of=10.0.17.201:10080", 200, js, `"exposed":true`},
		{"/api/v1/explain?of=5f0c", 200, js, `"health":"HEALTHY"`},
		{"/api/v1/explain", 400, js, "say which task"},
		{"/api/v1/explain?of=a%20b", 400, js, "is no task"},
		{"/api/v1/explain?of=1&x=1", 400, js, "known are of"},
		{"/api/v1/explain?of=192.0.2.1", 404, js, "castoff watches 5 tasks of 3 services, every one read within the last 3 s, and has 4 timelines; 1 thing could not be read, and it may be among them"},
		{"/api/v1/explain?of=10.0.17.201:443", 404, js, "nothing is known of"},
		{"/api/v2", 404, js, `"code":"not_found"`},
	} {
		t.Run(tt.path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := handler(sample(time.Now()))
				w := get(h, tt.path)
				if w.Code != tt.code {
					t.Errorf("code %d, want %d", w.Code, tt.code)
				}
				if ct := w.Header().Get("Content-Type"); ct != tt.contentType {
					t.Errorf("content type %q, want %q", ct, tt.contentType)
				}
				if !strings.Contains(w.Body.String(), tt.contains) {
					t.Errorf("body lacks %q:\n%s", tt.contains, w.Body)
				}
				for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy"} {
					if w.Header().Get(name) == "" {
						t.Errorf("no %s", name)
					}
				}
				if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") {
					t.Errorf("somebody may frame it: %s", csp)
				}
				checkHead(t, h, tt.path, w.Code, w.Header())
				checkReadOnly(t, h, tt.path, strings.HasPrefix(tt.path, "/api/"))
			})
		})
	}
}

func checkHead(t *testing.T, h http.Handler, path string, code int, header http.Header) {
	t.Helper()
	w := ask(h, http.MethodHead, path)
	if w.Code != code || w.Header().Get("Content-Type") != header.Get("Content-Type") ||
		w.Header().Get("Content-Length") != header.Get("Content-Length") {
		t.Errorf("HEAD answers %d %v, GET %d %v", w.Code, w.Header(), code, header)
	}
	if path != "/metrics" && w.Body.Len() > 0 { // the fake of /metrics knows no HEAD
		t.Error("HEAD has a body")
	}
}

func checkReadOnly(t *testing.T, h http.Handler, path string, api bool) {
	t.Helper()
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "PURGE"} {
		w := ask(h, method, path)
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
		if got := strings.Contains(w.Body.String(), `{"error":{"code":"method_not_allowed"`); got != api {
			t.Errorf("%s: body %s", method, w.Body)
		}
	}
}

func TestJSON(t *testing.T) {
	for name, path := range map[string]string{
		"timelines":   "/api/v1/timelines?limit=3",
		"timeline":    "/api/v1/timelines/" + closedID,
		"services":    "/api/v1/services",
		"status":      "/api/v1/status",
		"verdicts":    "/api/v1/verdicts?decision=hold",
		"detachments": "/api/v1/detachments",
		"tasks":       "/api/v1/tasks",
		"explain":     "/api/v1/explain?of=1f0c2a57b1c2",
		"error":       "/api/v1/timelines?outcome=won",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				goldenJSON(t, name, get(handler(sample(time.Now())), path).Body.Bytes())
			})
		})
	}
	t.Run("start", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			v := &status.View{Version: "0.1.0", Started: time.Now(), ReadyWithin: 30 * time.Second}
			goldenJSON(t, "status_start", get(handler(v), "/api/v1/status").Body.Bytes())
			goldenJSON(t, "services_start", get(handler(v), "/api/v1/services").Body.Bytes())
		})
	})
}

func goldenJSON(t *testing.T, name string, got []byte) {
	t.Helper()
	var v any
	if err := json.Unmarshal(got, &v); err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	pretty, err := json.MarshalIndent(json.RawMessage(got), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	pretty = append(pretty, '\n')
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, pretty, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(pretty) {
		t.Errorf("%s differs (-update rewrites it), got\n%s", path, pretty)
	}
}

// Nothing known, because nothing could be looked at, is not fresh.
func TestBlindHasNoAge(t *testing.T) {
	v := &status.View{Snapshot: fleet.NewSnapshot(fleet.Snapshot{
		At: time.Now(), Gaps: []fleet.Gap{{Kind: fleet.GapClusters, Class: fleet.Transient, Since: time.Now()}},
	})}
	h := status.New(status.Options{View: func() *status.View { return v }, Metrics: http.NotFoundHandler()})
	if body := get(h, "/api/v1/status").Body.String(); !strings.Contains(body, `"age_seconds":null`) {
		t.Errorf("status: %s", body)
	}
	if body := get(h, "/").Body.String(); strings.Contains(body, "was read within") || !strings.Contains(body, "Not known yet.") {
		t.Errorf("page: %s", body)
	}
	if body := get(h, "/api/v1/explain?of=0123456789abcdef").Body.String(); strings.Contains(body, "read within") {
		t.Errorf("explain: %s", body)
	}
}

// Bounds are rounded outwards: what is sent still holds the truth.
func TestBoundsAreRoundedOutwards(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tl := &timeline.Timeline{
		ID: "x", Trigger: timeline.ContainerCheck, Opened: at,
		Milestones: []timeline.Milestone{
			{Kind: timeline.Onset, Bounds: timeline.Bounds{NotAfter: at}},
			{Kind: timeline.Unhealthy, Bounds: timeline.Bounds{NotBefore: at.Add(1900 * time.Microsecond), NotAfter: at.Add(2100 * time.Microsecond)}},
			{Kind: timeline.Stopped, Bounds: timeline.At(at.Add(time.Second + 100*time.Microsecond))},
		},
	}
	body := get(handler(&status.View{Open: []*timeline.Timeline{tl}}), "/api/v1/timelines/x").Body.String()
	for _, want := range []string{
		`"kind":"onset","not_before":null,"not_after":"2026-03-01T12:00:00.000Z"`,
		`"kind":"unhealthy","not_before":"2026-03-01T12:00:00.001Z","not_after":"2026-03-01T12:00:00.003Z"`,
		`"kind":"stopped","not_before":"2026-03-01T12:00:01.000Z","not_after":"2026-03-01T12:00:01.000Z"`, // exact stays exact
		`"phase":"retirement","shortest_seconds":0.998,"longest_seconds":0.999`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("lacks %s in\n%s", want, body)
		}
	}
}

func TestReadyz(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*status.View, time.Time)
		code int
		want string
	}{
		{"a full pass within the limit", func(v *status.View, now time.Time) { v.LastFull = now.Add(-30 * time.Second) }, 200, "ready\ntarget_health "},
		{"a full pass too long ago", func(v *status.View, now time.Time) { v.LastFull = now.Add(-31 * time.Second) }, 503, "not ready: last full pass 31 s ago, limit 30 s, 1 gap\ntarget_health "},
		{"no full pass", func(v *status.View, _ time.Time) { v.LastFull = time.Time{} }, 503, "not ready: no full pass yet, 1 gap\ntarget_health "},
		{"no pass at all", func(v *status.View, _ time.Time) { *v = status.View{} }, 503, "not ready: no full pass yet\n"},
		{"a hostile gap", func(v *status.View, _ time.Time) {
			s := *v.Snapshot
			s.Gaps = []fleet.Gap{{Kind: fleet.GapTags, Ref: "a\nready\x1b[31m\u202e", Class: fleet.Invalid, Detail: "b"}}
			v.Snapshot = &s
		}, 200, "ready\ntags a ready [31m : invalid: b\n"},
		{"many gaps", func(v *status.View, _ time.Time) {
			s := *v.Snapshot
			s.Gaps = make([]fleet.Gap, 1000)
			v.Snapshot = &s
		}, 200, "and 980 more\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := sample(time.Now())
				tt.edit(v, time.Now())
				w := get(handler(v), "/readyz")
				if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.want) {
					t.Errorf("%d %q, want %d %q", w.Code, w.Body, tt.code, tt.want)
				}
			})
		})
	}
}

func TestBanner(t *testing.T) {
	calm := func(v *status.View) {
		s := fleet.Snapshot{At: v.Snapshot.At, Services: v.Snapshot.Services, TargetGroups: v.Snapshot.TargetGroups}
		v.Snapshot, v.Open = fleet.NewSnapshot(s), nil
		v.Verdicts, v.Detachments, v.Pauses, v.Latches, v.Halts = nil, nil, nil, nil, nil
	}
	for _, tt := range []struct {
		name  string
		edit  func(*status.View)
		level string
		text  string
	}{
		{"before the first pass", func(v *status.View) { v.Snapshot = nil }, "blind", "Blind No pass has ended yet. There is nothing to show."},
		{"calm", calm, "calm", "Calm No task is failing in 3 services."},
		{"failing", func(v *status.View) {
			open := v.Open[1:]
			calm(v)
			v.Open = open
		}, "failing", "Failing for 4 min 44 s 1 task; the balancer does not call its target healthy. Where production/api, task 2f0c2a57 Done Castoff has done nothing; ECS's replacement has served since 1999-12-31 23:57:11 UTC Still Deregistered 2 min 46 s ago: new connections may still reach it for a while, and open ones stay"},
		{"failing, taken out", func(v *status.View) {
			open, out := v.Open[1:], v.Detachments
			calm(v)
			v.Open, v.Detachments = open, out
		}, "failing", "Done Castoff took it out at 1999-12-31 23:55:20 UTC; ECS's replacement has served"},
		{"failing, observed", func(v *status.View) {
			open, out := v.Open[1:], v.Detachments
			calm(v)
			v.Open, v.Detachments = open, out
			v.Detachments[0].Mode = policy.Observing
		}, "failing", "Done Castoff has done nothing: it would have taken it out at 1999-12-31 23:55:20 UTC, in mode detach; ECS's"},
		{"failing, without a replacement", func(v *status.View) {
			t := v.Open[1].Clone()
			t.Milestones = t.Milestones[:2]
			calm(v)
			v.Open = []*timeline.Timeline{t}
		}, "failing", "Done Castoff has done nothing; ECS has created no replacement yet"},
		{"settling", func(v *status.View) {
			t := v.Open[1].Clone()
			t.Milestones = append(t.Milestones, timeline.Milestone{Kind: timeline.Stopped, Bounds: timeline.At(t.Opened)})
			calm(v)
			v.Open = []*timeline.Timeline{t}
		}, "calm", "Calm No task is failing in 3 services. 1 task has stopped or recovered and is watched until that is sure."},
		{"nothing to watch", func(v *status.View) {
			v.Snapshot, v.Open = fleet.NewSnapshot(fleet.Snapshot{At: v.Snapshot.At}), nil
			v.Pauses, v.Latches, v.Halts, v.Verdicts = nil, nil, nil, nil
		},
			"calm", "Calm Nothing to watch: there is no ECS service in the clusters that castoff sees. Is this the right region and account?"},
		{"gaps", func(v *status.View) {
			gaps := v.Snapshot.Gaps
			calm(v)
			v.Snapshot.Gaps = gaps
		}, "blind", "Partly blind 1 thing could not be read."},
		{"not ready", func(v *status.View) {
			calm(v)
			v.LastFull = v.LastFull.Add(-time.Minute)
		}, "blind", "Blind for 1 min 07 s No full pass since 1999-12-31 23:58:53 UTC, limit 30 s. What is below may be old."},
		{"exposed", func(v *status.View) {
			s := *v.Snapshot
			s.Gaps = nil
			v.Snapshot = &s
		}, "exposed", "Exposed for 1 min 02 s Clients are sent to 1 failing task: ECS calls it UNHEALTHY, and the balancer still calls its target healthy. " +
			"Since 1999-12-31 23:58:58 UTC Where production/api, task 1f0c2a57 " +
			"Done Castoff has done nothing; ECS's replacement started 22 s ago and does not serve yet " +
			"Why no more 1 of 3 tasks would stay healthy, floor 2 (50 %) (hold by floor)"},
		{"exposed in mode observe", func(v *status.View) {
			v.Verdicts = []policy.Verdict{held(v.Open[0], time.Now())}
			v.Verdicts[0].Mode = policy.Observing
		}, "exposed", "Why no more The service is in mode observe: castoff would take it out, and does not"},
		{"exposed and being taken out", func(v *status.View) { v.Verdicts = []policy.Verdict{held(v.Open[0], time.Now())} }, "exposed", "Why no more Nothing is in the way: castoff takes it out"},
		{"exposed and not decided", func(v *status.View) { v.Verdicts = nil }, "exposed", "Why no more Castoff has not decided about it yet"},
		{"several exposed", func(v *status.View) {
			s := *v.Snapshot
			s.TargetGroups = slices.Clone(s.TargetGroups)
			g := *s.TargetGroups[0]
			g.Targets = slices.Clone(g.Targets)
			g.Targets[1].State = fleet.TargetHealthy
			s.TargetGroups[0] = &g
			v.Snapshot = fleet.NewSnapshot(s)
		}, "exposed", "Exposed for 4 min 42 s Clients are sent to 2 failing tasks: ECS calls them UNHEALTHY, and the balancer still calls 2 targets healthy. " +
			"Since 1999-12-31 23:55:18 UTC, the first of them Where production/api " +
			"Done Castoff has called for 1 of 2; ECS has created 2 of 2 replacements " +
			"Why no more 1 of 2: 1 of 3 tasks would stay healthy, floor 2 (50 %) (hold by floor); 1 of 2: the target is draining already (refuse by no_gain)"},
		{"exposed and blind", func(v *status.View) { v.LastFull = time.Time{} }, "exposed", "(hold by floor) Blind: no full pass yet, 1 gap. What is below may be old."},
		{"paused", func(v *status.View) {
			pauses := v.Pauses
			calm(v)
			v.Pauses = pauses
		}, "paused", "Paused Castoff detaches nothing of production/web until 01:00:00 UTC, by jane@example.com: database upgrade. Calm: no task is failing in 3 services."},
		{"paused for good", func(v *status.View) {
			calm(v)
			v.Pauses = []policy.Pause{{Scope: policy.ScopeAll}}
		}, "paused", "Castoff detaches nothing, until further notice."},
		{"paused by who knows what", func(v *status.View) {
			calm(v)
			v.Pauses = []policy.Pause{{Scope: policy.ScopeCluster, Service: fleet.ServiceID{Cluster: "production"}, Owner: "x", Problem: "owner is missing"}}
		}, "paused", "Castoff detaches nothing of cluster production, by a tag that cannot be read."},
		{"paused in places", func(v *status.View) {
			calm(v)
			v.Pauses = make([]policy.Pause, 2)
		}, "paused", "Castoff detaches nothing in 2 places."},
		{"pauses that are over", func(v *status.View) {
			pauses := v.Pauses[1:]
			calm(v)
			v.Pauses = pauses
		}, "calm", "Calm No task is failing in 3 services."},
		{"latched", func(v *status.View) {
			latches := v.Latches
			calm(v)
			v.Latches = latches
		}, "latched", "Latched for 4 min 00 s Castoff does not act on production/worker until 00:06:00 UTC: 3 of 4 tasks failed at once: suspect the check, or what they depend on."},
		{"all latched", func(v *status.View) {
			calm(v)
			v.Latches = []policy.Latch{{Until: time.Now().Add(time.Minute)}}
		}, "latched", "Castoff does not act at all until 00:01:00 UTC"},
		{"latched in places", func(v *status.View) {
			calm(v)
			v.Latches = make([]policy.Latch, 3)
		}, "latched", "Castoff does not act in 3 places, because too many failed at once."},
		{"halted", func(v *status.View) {
			gaps := v.Snapshot.Gaps
			calm(v)
			v.Snapshot.Gaps = gaps
			v.Halts = []policy.Halt{{Cause: "journal", Detail: "disk full"}}
		}, "halted", "Halted Castoff has stopped acting (journal): disk full. Partly blind: 1 thing could not be read."},
		{"exposed and halted", func(v *status.View) { v.Halts = []policy.Halt{{Cause: "panic", Detail: "a\n\u202eb"}} }, "exposed", "(hold by floor) Halted: castoff has stopped acting (panic): a b."},
		{"failing without a timeline", func(v *status.View) {
			verdicts := v.Verdicts
			calm(v)
			v.Verdicts = verdicts[:1]
		}, "failing", "Failing 1 task of which castoff has no timeline: see below."},
		{"exposed, no timeline yet", func(v *status.View) { v.Open = nil }, "exposed", "Exposed Clients are sent to 1 failing task: ECS calls it UNHEALTHY, and the balancer still calls its target healthy. Since Not known Done Castoff has done nothing; what ECS has done is not known yet Why no more 1 of 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := sample(time.Now())
				tt.edit(v)
				body := get(handler(v), "/").Body.String()
				m := regexp.MustCompile(`(?s)<div class="banner (\w+)">(.*?)\n</div>`).FindStringSubmatch(body)
				if m == nil {
					t.Fatal("no banner")
				}
				m[2] = strings.Join(strings.Fields(html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(strings.ReplaceAll(m[2], "<dd", " <dd"), ""))), " ")
				if m[1] != tt.level || !strings.Contains(m[2], tt.text) {
					t.Errorf("%s: %s\nwant %s: %s", m[1], m[2], tt.level, tt.text)
				}
			})
		})
	}
}

// A task that was well for a while and failed again is exposed since it failed
// again, on the page as in what people are told.
func TestBannerAgreesWithNotification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for name, watches := range map[string][]policy.Watch{
			"once":  nil,
			"flaps": {{Task: sample(now).Open[0].Task, Sick: now.Add(-17 * time.Second), Flaps: 1}},
		} {
			v := sample(now)
			v.Watches = watches
			rule := notify.Rule{Events: []notify.Event{notify.Exposed}}
			told := notify.NewTeller(rule, notify.State{}).Next(notify.State{At: now, Snapshot: v.Snapshot, Open: v.Open, Guards: policy.State{Watches: watches}})
			if len(told) != 1 || len(told[0].Targets) != 1 {
				t.Fatalf("%s: told %+v", name, told)
			}
			since := told[0].Targets[0].Since
			want := "<dt>Since<dd><bdi>" + since.UTC().Format(time.DateTime) + " UTC</bdi>"
			for _, path := range []string{"/", "/timelines/" + string(v.Open[0].ID)} {
				if page := get(handler(v), path).Body.String(); !strings.Contains(page, want) {
					t.Errorf("%s: the notification says since %s, the banner of %s %s", name, since, path,
						regexp.MustCompile(`<dt>Since<dd><bdi>.*?</bdi>`).FindString(page))
				}
			}
			if len(watches) > 0 && !since.Equal(watches[0].Sick) {
				t.Errorf("%s: exposed since %s, it failed again at %s", name, since, watches[0].Sick)
			}
		}
	})
}

// Before the first pass the page claims nothing: not even that nothing fails.
func TestHomeBeforeTheFirstPass(t *testing.T) {
	page := rows(get(handler(&status.View{Started: time.Now()}), "/").Body.String())
	if n := strings.Count(page, "Not known yet."); n != 1 || strings.Contains(page, "Nothing.") || strings.Contains(page, "Failing 0") {
		t.Errorf("got\n%s", page)
	}
}

// A page that was left open reloads, as long as what it shows can change, and
// says what must be known to read it.
func TestPagesReloadAndSayTheNotice(t *testing.T) {
	v := sample(time.Now())
	v.Notice = "A simulated <region>."
	const reload = `<meta http-equiv="refresh"`
	for path, live := range map[string]bool{
		"/":                                    true,
		"/timelines/" + string(v.Open[0].ID):   true,
		"/timelines/" + string(v.Closed[0].ID): false,
	} {
		body := get(handler(v), path).Body.String()
		if strings.Contains(body, reload) != live {
			t.Errorf("%s reloads: %v", path, !live)
		}
		if !strings.Contains(body, "A simulated &lt;region&gt;.") {
			t.Errorf("%s does not have the notice", path)
		}
	}
}

// rows are the cells of a page's table rows, tags and titles aside.
func rows(page string) string {
	page = regexp.MustCompile(`</?(small|code|bdi|span|time|strong)[^>]*>`).ReplaceAllString(page, "")
	page = regexp.MustCompile(`\n<td[^>]*>`).ReplaceAllString(page, " | ")
	return html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, ""))
}

func TestTimelinePage(t *testing.T) {
	at := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // a bubble's first instant
	seen := func(k timeline.Kind, from, to time.Duration) timeline.Milestone {
		return timeline.Milestone{
			Kind: k, Bounds: timeline.Bounds{NotBefore: at.Add(from), NotAfter: at.Add(to)},
			Source: timeline.Observed, By: timeline.ByECS, Evidence: "two reads",
		}
	}
	unbounded := timeline.Milestone{Kind: timeline.Onset, Bounds: timeline.Bounds{NotAfter: at.Add(time.Second)}, Source: timeline.Estimated, By: timeline.ByApp}
	for _, tt := range []struct {
		name       string
		milestones []timeline.Milestone
		want       []string
		title      string
	}{
		{
			"counted from onset", []timeline.Milestone{seen(timeline.Onset, 0, 4*time.Second), seen(timeline.Unhealthy, 90*time.Second, 93*time.Second)},
			[]string{
				"Since onset",
				"unhealthy ECS calls the task UNHEALTHY | 00:01:31.5 | +1 min 30 s | ± 1.5 s00:01:30.0 to 00:01:33.0 | observed | ecs | two reads",
				"detection from onset until it was known | 1 min 30 s ± 3.5 s | 1 min 26 s | 1 min 33 s",
			},
			"2000-01-01T00:01:30.000Z to 2000-01-01T00:01:33.000Z",
		},
		{
			"onset without a lower bound: counted from known", []timeline.Milestone{unbounded, seen(timeline.Unhealthy, 2*time.Second, 4*time.Second)},
			[]string{
				"Since unhealthy",
				"onset the app stopped answering | 00:00:01.0 | −2 s | or earlier | estimated | app | ",
				"None has ended yet.",
			},
			"not after 2000-01-01T00:00:01.000Z",
		},
		{"nothing known yet", nil, []string{"Since opened", "None has ended yet."}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tl := &timeline.Timeline{ID: "x", Opened: at, Trigger: timeline.ContainerCheck, Milestones: tt.milestones}
				page := get(handler(&status.View{Open: []*timeline.Timeline{tl}}), "/timelines/x").Body.String()
				for _, want := range tt.want {
					if !strings.Contains(rows(page), want) {
						t.Errorf("lacks %q in\n%s", want, rows(page))
					}
				}
				if tt.title != "" && !strings.Contains(page, tt.title) {
					t.Errorf("no title %q", tt.title)
				}
			})
		})
	}
}

// castoff's own page says what it runs with, and what its passes cost.
func TestCastoffPage(t *testing.T) {
	v := sample(time.Now())
	v.Configuration, v.State = "region: \"<b>\"\n", "/var/lib/castoff"
	v.Passes = []status.Pass{{Number: 7, At: time.Now(), Duration: 240 * time.Millisecond, Result: "ok"}, {Number: 6, At: time.Now(), Duration: 1300 * time.Millisecond, Result: "partial"}}
	v.Halts = []policy.Halt{{Cause: "journal", Detail: "the disk is full"}}
	page := rows(get(handler(v), "/castoff").Body.String())
	for _, want := range []string{
		"| ok | 240 ms |", "| partial | 1.3 s |", `region: "<b>"`, "in /var/lib/castoff; it cannot be written: the disk is full",
		"1 service in mode detach, 2 in mode observe", "target_health | denied | 1 |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("lacks %q in\n%s", want, page)
		}
	}
}

// What castoff asks of AWS stands beside what it allows itself, and what fails has
// its class.
func TestCastoffPageHasTheCalls(t *testing.T) {
	now := time.Now()
	v := sample(now)
	if page := rows(get(handler(v), "/castoff").Body.String()); strings.Contains(page, "Calls to AWS") {
		t.Error("calls are shown that nobody knows of")
	}
	v.CallsBefore = status.Calls{At: now.Add(-100 * time.Second), Budgets: []status.Budget{{Bucket: "ecs_service_read", PerSecond: 5, Requests: 50}}}
	v.Calls = status.Calls{
		At: now,
		Budgets: []status.Budget{
			{Bucket: "ecs_service_read", PerSecond: 5, Requests: 300, Waited: 1500 * time.Millisecond},
			{Bucket: "elbv2_registration", PerSecond: 1},
		},
		Operations: []status.Operation{
			{Service: "ecs", Name: "DescribeServices", Bucket: "ecs_service_read", Results: map[string]int{"ok": 290, "throttled": 9, "transient": 1}},
			{Service: "sts", Name: "GetCallerIdentity", Results: map[string]int{"ok": 1, "throttled": 1}},
		},
	}
	page := rows(get(handler(v), "/castoff").Body.String())
	for _, want := range []string{
		"Calls to AWS the last 1 min 40 s",
		"ecs_service_read | 2.5 | 5 | 50 % |  | 300 | 1.5 s",
		"elbv2_registration | 0 | 1 | 0 % |  | 0 | 0 s",
		"since the start: 10 throttled, 1 transient",
		"DescribeServices | ecs | ecs_service_read | 300 | 9 throttled, 1 transient",
		"GetCallerIdentity | sts | – | 2 | 1 throttled",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("lacks %q in\n%s", want, page)
		}
	}
}

// The shortcuts keep the filters and lead to what was opened since then.
func TestTimelinesOfTheLastHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := sample(time.Now())
		page := get(handler(v), "/timelines?service=api&until=1999-12-31T00:00:00Z").Body.String()
		for name, n := range map[string]int{"hour": 0, "day": 1, "week": 2} {
			m := regexp.MustCompile(`<a href="([^"]*)">` + name + `</a>`).FindStringSubmatch(page)
			if m == nil {
				t.Fatalf("no shortcut to the last %s in\n%s", name, page)
			}
			link := html.UnescapeString(m[1])
			if got := get(handler(v), link).Body.String(); !strings.Contains(link, "service=api") || !strings.Contains(got, fmt.Sprintf("%d closed timelines of 2", n)) {
				t.Errorf("the last %s: %s\n%s", name, link, rows(got))
			}
		}
	})
}

// When ECS gives a deployment up is said in words.
func TestServicesPageSaysWhenECSGivesUp(t *testing.T) {
	v := sample(time.Now())
	for want, b := range map[string]fleet.CircuitBreaker{
		"ECS gives a deployment up after 3 failed tasks in a row, and rolls back<": {Enabled: true, Rollback: true, Resets: true, Type: fleet.ThresholdBoundedPercent, Value: 50},
		"ECS gives a deployment up after 7 failed tasks in all<":                   {Enabled: true, Type: fleet.ThresholdCount, Value: 7},
		"ECS gives a deployment up after 1 failed task<":                           {Enabled: true, Resets: true, Type: fleet.ThresholdCount, Value: 1},
		"ECS gives a deployment up after too many failed tasks<":                   {Enabled: true, Type: "NEW", Value: 7},
	} {
		v.Snapshot.Services[0].Breaker = b
		if page := get(handler(v), "/services").Body.String(); !strings.Contains(page, want) {
			t.Errorf("lacks %q", want)
		}
	}
	v.Snapshot.Services[0].Breaker = fleet.CircuitBreaker{Type: fleet.ThresholdCount, Value: 7}
	if page := get(handler(v), "/services").Body.String(); strings.Contains(page, "gives a deployment up") {
		t.Error("of a circuit breaker that is off")
	}
}

// What a gateway sends to a service castoff does not see: that is never 0, nor over.
func TestServicesPageSaysThatAGatewayIsNotSeen(t *testing.T) {
	v := sample(time.Now())
	page := func() string { return rows(get(handler(v), "/services").Body.String()) }
	if got := page(); strings.Contains(got, "gateway") {
		t.Errorf("of a gateway: %s", got)
	}
	v.Snapshot.Services[1].Gateway, v.Snapshot.Services[2].Gateway = fleet.GatewayConnected, fleet.GatewayConnected
	v.Snapshot.Services[0].Gateway = fleet.GatewayNone
	got := page()
	for _, want := range []string{"of 1 wanted | a gateway: not seen |  gateway: not known |", "never read web-admina gateway: not seen |  gateway: not known |"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q in\n%s", want, got)
		}
	}
	var answer struct{ Services []struct{ Gateway *bool } }
	for i, want := range []string{"false", "true", "true"} {
		if err := json.Unmarshal(get(handler(v), "/api/v1/services").Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		if g := answer.Services[i].Gateway; g == nil || fmt.Sprint(*g) != want {
			t.Errorf("service %d: %v, want %s", i, g, want)
		}
	}
	v.Open[0].Gateway = true
	if got := rows(get(handler(v), "/timelines/"+string(v.Open[0].ID)).Body.String()); !strings.Contains(got, "sends traffic to the task too") || strings.Contains(got, "exposure as long as") {
		t.Errorf("timeline: %s", got)
	}
}

// Each limit says where it is from: the default, the configuration, a rule of it,
// or a tag.
func TestServicesPageSaysWhereLimitsAreFrom(t *testing.T) {
	v := sample(time.Now())
	v.Base = policy.DefaultLimits()
	v.Base.Startup = 90 * time.Second
	v.LimitsOf = func(id fleet.ServiceID) policy.Limits {
		l := v.Base
		if id.Name == "api" {
			l.Confirm.Reads, l.Mode = 3, policy.Detaching
		}
		return l
	}
	v.RuleOf = func(id fleet.ServiceID) string {
		if id.Name == "api" {
			return "services[2]"
		}
		return "default"
	}
	v.Snapshot.Services[2].Tags = map[string]string{policy.ModeTag: "observe"}
	v.Began = time.Now().Add(-time.Minute)
	for _, name := range []string{"budget", "floor", "rate", "futile", "contested"} {
		v.Usage = append(v.Usage, policy.Use{Service: v.Snapshot.Services[0].ID, Name: name, Used: 1, Limit: 2})
	}
	page := regexp.MustCompile(`\s+`).ReplaceAllString(rows(strings.ReplaceAll(strings.ReplaceAll(get(handler(v), "/services").Body.String(), "<d", " <d"), "<small", " <small")), " ")
	for _, want := range []string{
		"for production/api mode detach configuration, services[2] startup 1 min 30 s configuration now until ",
		"targets 15 s, inventory 5 min 00 s default now tasks 3 s, targets 3 s confirm",
		"the stricter default now 1 healthy, at least 2 correlated", "default now 2 of 3 tasks UNHEALTHY budget of the service",
		"now 1 of 2 out budget of a group", "at once default now 1 of 2 taken, more come back futile", "default now 1 of 2 failed contested",
		"default now 1 of 2 made recovery",
		"confirm 3 reads in a row, for 0 s configuration, services[2] during deployment no default",
		"for production/web mode observe default startup 1 min 30 s configuration now until ",
		"confirm 2 reads in a row, for 0 s default",
		"for production/worker mode observe tag castoff:mode",
		"paused until", "by tag", "latched until", "last retired",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("lacks %q in\n%s", want, page)
		}
	}
}
