package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// failures is a castoff that has one timeline of each kind that reads in its own
// way, as of now.
func failures() *status.View {
	now := time.Now()
	api, web := fleet.ServiceID{Cluster: "prod", Name: "api"}, fleet.ServiceID{Cluster: "prod", Name: "web"}
	group := fleet.TargetGroupARN("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/api-grpc/0123456789abcdef")
	read := fleet.Read{Sent: now.Add(-3 * time.Second), Received: now}
	key := fleet.NewTargetKey(group, "10.0.17.201", 10080)
	v := &status.View{Version: "0.1.0", Started: now.Add(-time.Hour), LastFull: now, ReadyWithin: time.Minute, Modes: map[fleet.ServiceID]policy.Mode{api: policy.Detaching}}
	arn := func(id string) fleet.TaskARN {
		return fleet.TaskARN("arn:aws:ecs:eu-central-1:123456789012:task/prod/" + id + strings.Repeat("0", 28))
	}
	was := func(kind timeline.Kind, by timeline.Actor, from, to int) timeline.Milestone {
		return timeline.Milestone{Kind: kind, By: by, Bounds: agoBetween(now, from, to)}
	}
	add := func(id string, svc fleet.ServiceID, opened int, good []timeline.Span, ms ...timeline.Milestone) *timeline.Timeline {
		tl := &timeline.Timeline{ID: timeline.ID(id), Task: arn(id), Service: svc, Trigger: timeline.ContainerCheck, Opened: now.Add(-time.Duration(opened) * time.Second), Milestones: ms}
		if good != nil {
			tl.Targets = []timeline.Target{{Key: key, Good: good}}
		}
		v.Open = append(v.Open, tl)
		return tl
	}
	add("a1f0", api, 64, []timeline.Span{{}}, was(timeline.Onset, timeline.ByApp, 90, 75), was(timeline.Unhealthy, timeline.ByECS, 64, 60), was(timeline.ReplacementCreated, timeline.ByECS, 40, 40))
	add("a2f0", api, 200, []timeline.Span{{To: agoBetween(now, 196, 194)}},
		was(timeline.Onset, timeline.ByApp, 220, 210), was(timeline.Unhealthy, timeline.ByECS, 204, 200), was(timeline.ReplacementServing, timeline.ByELB, 60, 55), was(timeline.Detach, timeline.ByCastoff, 196, 194))
	add("a3f0", web, 30, []timeline.Span{{}}, timeline.Milestone{Kind: timeline.Unhealthy, By: timeline.ByECS, Bounds: timeline.Bounds{NotAfter: now.Add(-30 * time.Second)}})
	settles := add("a4f0", web, 20, nil, was(timeline.Onset, timeline.ByApp, 22, 20), was(timeline.Stopped, timeline.ByECS, 19, 19))
	settles.Trigger = timeline.Exit

	closed := add("b1f0", api, 4000, []timeline.Span{{To: agoBetween(now, 3881, 3879)}},
		was(timeline.Onset, timeline.ByApp, 4020, 4010), was(timeline.Unhealthy, timeline.ByECS, 4004, 4000), was(timeline.Detach, timeline.ByECS, 3881, 3879),
		was(timeline.Detached, timeline.ByELB, 3581, 3579), was(timeline.Stopping, timeline.ByECS, 3580, 3580), was(timeline.Stopped, timeline.ByECS, 3550, 3550))
	closed.Closed, closed.Outcome = now.Add(-3545*time.Second), timeline.Retired
	v.Open, v.Closed = v.Open[:4], v.Open[4:]
	v.Detachments = []policy.Detachment{{
		Task: closed.Task, Service: api, Target: key, Mode: policy.Observing, Decided: now.Add(-3998 * time.Second), Progress: policy.Closed, Outcome: policy.Stopped, Ended: closed.Closed,
		ECS: &policy.Bounds{NotBefore: now.Add(-3881 * time.Second), NotAfter: now.Add(-3879 * time.Second)},
	}}

	g := &fleet.TargetGroup{ARN: group, Read: read, Targets: []fleet.Target{{Key: key, State: fleet.TargetHealthy}, {Key: fleet.NewTargetKey(group, "10.0.17.202", 10080), State: fleet.TargetDraining}}}
	never := fleet.TargetGroupARN("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/api-admin/0123456789abcdef")
	v.Snapshot = fleet.NewSnapshot(fleet.Snapshot{
		At: now, TargetGroups: []*fleet.TargetGroup{g, {ARN: never}},
		Services: []*fleet.Service{{ID: api, Desired: 2, Running: 2, LoadBalancers: []fleet.LoadBalancer{{Group: group}, {Group: never}}}, {ID: web, Desired: 1}},
		Tasks:    []*fleet.Task{{ARN: arn("a1f0"), Service: api, LastStatus: fleet.Running, Health: fleet.Unhealthy, Targets: []fleet.TargetKey{key}, Read: read}},
	})
	return v
}

// agoBetween is so many seconds ago, within bounds.
func agoBetween(now time.Time, from, to int) timeline.Bounds {
	return timeline.Bounds{NotBefore: now.Add(-time.Duration(from) * time.Second), NotAfter: now.Add(-time.Duration(to) * time.Second)}
}

// transport answers requests within the process: a bubble has no sockets.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// inProcess is a reader of a handler.
func inProcess(h http.Handler) *reader {
	return &reader{base: &url.URL{Scheme: "http", Host: "castoff"}, client: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result(), nil
	})}}
}

func showing(v *status.View) *reader {
	return inProcess(status.New(status.Options{View: func() *status.View { return v }, Metrics: http.NotFoundHandler()}))
}

// paper is a screen that is none.
func paper(w io.Writer) screen {
	return screen{w: w, blocks: true, size: func() (int, int, bool) { return 0, 0, false }}
}

const evil = "\x1b[2J\ttab\nline\u202e\u009b31m"

// unsafe is the first character that a terminal could obey, lines' ends aside.
func unsafe(printed string) (rune, bool) {
	for _, c := range printed {
		if c != '\n' && !unicode.IsPrint(c) {
			return c, true
		}
	}
	return 0, false
}

func TestTimelinesTable(t *testing.T) {
	for _, tt := range []struct {
		name string
		cmd  timelinesCmd
		edit func(*status.View)
	}{
		{"all", timelinesCmd{}, nil},
		{"closed", timelinesCmd{State: "closed", Since: "2h"}, nil},
		{"none", timelinesCmd{Since: "1s"}, nil},
		{"paged", timelinesCmd{Limit: new(2)}, nil},
		{"blind", timelinesCmd{State: "open", Trigger: "target_check"}, func(v *status.View) {
			v.LastFull = time.Time{}
			v.Snapshot.Gaps = []fleet.Gap{{Kind: fleet.GapTags}}
			v.Halts = []policy.Halt{{Cause: "journal", Detail: "the disk is full" + evil}}
		}},
		{"hostile", timelinesCmd{State: "open", Cluster: evil}, func(v *status.View) {
			for _, tl := range v.Open {
				tl.Service = fleet.ServiceID{Cluster: evil, Name: evil}
				tl.Task, tl.Trigger = evil, evil
				for i := range tl.Milestones {
					tl.Milestones[i].By = evil
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := failures()
				if tt.edit != nil {
					tt.edit(v)
				}
				var out bytes.Buffer
				if err := tt.cmd.print(t.Context(), showing(v), paper(&out)); err != nil {
					t.Fatal(err)
				}
				golden(t, "timelines_"+tt.name+".txt", out.String())
				if c, found := unsafe(out.String()); found {
					t.Errorf("the terminal is not safe from %q", c)
				}
			})
		})
	}
}

func TestServicesTable(t *testing.T) {
	for _, tt := range []struct {
		name string
		cmd  servicesCmd
		edit func(*status.View)
	}{
		{"all", servicesCmd{}, nil},
		{"one", servicesCmd{Cluster: "prod", Service: "web"}, nil},
		{"none", servicesCmd{Cluster: "staging"}, func(v *status.View) { // it may be there
			v.Snapshot.Gaps = []fleet.Gap{{Kind: fleet.GapClusters, Class: fleet.Transient}}
		}},
		{"hostile", servicesCmd{}, func(v *status.View) {
			v.Snapshot.Services[0].ID = fleet.ServiceID{Cluster: evil, Name: evil}
			v.Snapshot.Services[0].LoadBalancers = []fleet.LoadBalancer{{Group: evil}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := failures()
				if tt.edit != nil {
					tt.edit(v)
				}
				var out bytes.Buffer
				if err := tt.cmd.print(t.Context(), showing(v), paper(&out)); err != nil {
					t.Fatal(err)
				}
				golden(t, "services_"+tt.name+".txt", out.String())
				if c, found := unsafe(out.String()); found {
					t.Errorf("the terminal is not safe from %q", c)
				}
			})
		})
	}
}

// Before the first pass an empty list means nothing.
func TestServicesTooEarly(t *testing.T) {
	var out bytes.Buffer
	err := servicesCmd{}.print(t.Context(), showing(&status.View{}), paper(&out))
	if err == nil || !strings.Contains(err.Error(), "no pass has ended yet") || out.Len() > 0 {
		t.Errorf("%v, printed %q", err, out.String())
	}
}

// TestReadersMistakes: every command that asks says the same of a castoff that
// cannot be asked, and prints nothing.
func TestReadersMistakes(t *testing.T) {
	answers := func(code int, contentType, body string) func(*testing.T) string {
		return func(t *testing.T) string {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", contentType)
				w.WriteHeader(code)
				_, _ = io.WriteString(w, body)
			}))
			t.Cleanup(server.Close)
			return server.URL
		}
	}
	const js = "application/json"
	for _, tt := range []struct {
		name   string
		server func(*testing.T) string
		code   int
		want   string
	}{
		{"nobody there", func(t *testing.T) string { return "http://u:s3cret@" + freePort(t) }, exitFailed, "connection refused: say with --server or CASTOFF_SERVER where it is"},
		{"no URL", func(*testing.T) string { return "http://u:s3cret@[:x" }, exitUsage, "castoff: --server is no URL"},
		{"wants a password", answers(401, "text/plain", "no"), exitFailed, "wants a user and a password"},
		{"something else", answers(200, "text/html", "<p>hello"), exitFailed, "is not castoff: it sends no JSON"},
		{"half an answer", answers(200, js, `{"timelines":[`), exitFailed, "answers what this castoff does not understand"},
		{"another answer", answers(200, js, `{"timelines":5,"services":5,"tasks":5}`), exitFailed, "answers what this castoff does not understand"},
		{"garbage", answers(200, js, "\x1b]0;x\a{"), exitFailed, "answers what this castoff does not understand"},
		{"a filter that it refuses", answers(400, js, `{"error":{"code":"invalid_query","message":"state: must be one of open, closed \u001b[2J"}}`), exitUsage, "castoff: state: must be one of open, closed \uFFFD[2J"},
		{"an endless answer", func(t *testing.T) string {
			return answers(200, js, strings.Repeat(" ", answerMost+1))(t)
		}, exitFailed, "answers more than 32 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := tt.server(t)
			for _, args := range [][]string{{"timelines"}, {"timelines", "--json"}, {"services"}, {"services", "--json"}, {"explain", "a"}, {"explain", "--json", "a"}} {
				if tt.name == "another answer" && slices.Contains(args, "--json") {
					continue // it is passed on as it is
				}
				got := castoff(t, map[string]string{"CASTOFF_SERVER": url}, args...)
				if got.code != tt.code || got.out != "" || !strings.Contains(got.err, tt.want) || strings.Contains(got.err, "s3cret") {
					t.Errorf("%q: code %d, want %d; %q lacks %q; printed %q", args, got.code, tt.code, got.err, tt.want, got.out)
				}
				if c, found := unsafe(got.err); found {
					t.Errorf("%q: the terminal is not safe from %q", args, c)
				}
			}
		})
	}
}

// TestReadersSlow: neither a castoff that says nothing nor one that does not end
// holds a command for longer than it says.
func TestReadersSlow(t *testing.T) {
	for name, answer := range map[string]transport{
		"says nothing": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"does not end": func(r *http.Request) (*http.Response, error) {
			body, w := io.Pipe()
			context.AfterFunc(r.Context(), func() { _ = w.CloseWithError(r.Context().Err()) })
			return &http.Response{StatusCode: http.StatusOK, Body: body, Header: http.Header{"Content-Type": {"application/json"}}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from := &reader{base: &url.URL{Scheme: "http", Host: "castoff"}, client: &http.Client{Transport: answer}}
				began := time.Now()
				err := timelinesCmd{}.print(t.Context(), from, paper(io.Discard))
				if took := time.Since(began); err == nil || took != answerWithin || !strings.Contains(err.Error(), "castoff at http://castoff") {
					t.Errorf("after %s: %v", took, err)
				}
			})
		})
	}
}

func TestTimelinesUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--watch"}, "--watch needs a terminal"},
		{[]string{"--watch", "--json"}, "--watch draws and --json does not"},
		{[]string{"--watch", "--cursor", "x"}, "it takes no --cursor"},
		{[]string{"--since=-2h"}, "--since: how long ago must not be negative"},
		{[]string{"--until=-1s"}, "--until: how long ago must not be negative"},
		{[]string{"--limit", "many"}, "see castoff timelines --help"},
		{[]string{"--limit", "0"}, "limit: must be 1..1000"},
		{[]string{"--state", "ajar"}, `state: must be one of open, closed (got "ajar")`},
		{[]string{"--since", "yesterday"}, "since: must be an RFC 3339 time"},
	} {
		got := castoff(t, nil, append([]string{"timelines", "--server", explaining(t, nil)}, tt.args...)...)
		if got.code != exitUsage || got.out != "" || !strings.Contains(got.err, tt.want) {
			t.Errorf("%q: code %d, %q lacks %q; printed %q", tt.args, got.code, got.err, tt.want, got.out)
		}
	}
}

// TestReadersFilters: each flag is the parameter of its name.
func TestReadersFilters(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+"?"+r.URL.RawQuery)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}\n")
	}))
	defer server.Close()
	for _, tt := range []struct{ args, want string }{
		{"timelines --cluster=a&b --service=c --trigger=d --outcome=e --state=f --since=g --until=h --limit=7 --cursor=i --json", "/api/v1/timelines?cluster=a%26b&cursor=i&limit=7&outcome=e&service=c&since=g&state=f&trigger=d&until=h"},
		{"services --cluster=a --service=b --json", "/api/v1/services?cluster=a&limit=1000&service=b"},
		{"services --json", "/api/v1/services?limit=1000"},
	} {
		asked = nil
		got := castoff(t, map[string]string{"CASTOFF_SERVER": server.URL}, strings.Fields(tt.args)...)
		if got.code != exitOK || got.out != "{}\n" || !slices.Equal(asked, []string{tt.want}) {
			t.Errorf("%s: code %d, %q %q, asked %q", tt.args, got.code, got.out, got.err, asked)
		}
	}
}

// TestReadersJSON: what is printed is what the API answers.
func TestReadersJSON(t *testing.T) {
	url := explaining(t, nil)
	for command, path := range map[string]string{"timelines": "/api/v1/timelines", "services": "/api/v1/services"} {
		got := castoff(t, nil, command, "--server", url, "--json")
		_, want := get(t, url+path)
		if command == "services" { // ages differ by the time that it takes to ask
			got.out, want = got.out[:30], want[:30]
		}
		if got.code != exitOK || got.out != want {
			t.Errorf("%s: code %d\n%s\nwant\n%s", command, got.code, got.out, want)
		}
	}
}

// TestSafetyEscapedJSON: whatever a castoff says, what is printed means the same
// and has nothing that a terminal obeys.
func TestSafetyEscapedJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune{'\u009b', '\u202e', '\U000e0001', '\t', '"', '\\', 'é', '\x7f'}))).Draw(t, "text")
		var body bytes.Buffer
		enc := json.NewEncoder(&body)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "\t")
		if err := enc.Encode(map[string]any{text: []string{text}}); err != nil {
			t.Fatal(err)
		}
		var want, got any
		printed := escaped(body.Bytes())
		if err := json.Unmarshal(body.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(printed, &got); err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Fatalf("%v: %q is not %q", err, got, want)
		}
		if c, found := unsafe(string(printed)); found {
			t.Fatalf("%q has %q", printed, c)
		}
	})
}

// TestReadersDaemon asks a daemon that watches a region.
func TestReadersDaemon(t *testing.T) {
	_, server := region(t)
	p, url := serving(t, awsEnv(t, server.URL))
	if got := castoff(t, nil, "services", "--server", url); got.code != exitOK || !strings.Contains(got.out, "prod/grpc  observe") {
		t.Errorf("code %d: %s%s\n%s", got.code, got.out, got.err, p.log)
	}
	if got := castoff(t, nil, "timelines", "--server", url); got.code != exitOK || got.out != "No such timeline.\n" {
		t.Errorf("code %d: %s%s\n%s", got.code, got.out, got.err, p.log)
	}
}

// TestHelp: the help of every command has an example, and says its own exit codes,
// of those that there are.
func TestHelp(t *testing.T) {
	for _, c := range model(t).Children {
		got := castoff(t, nil, c.Name, "--help")
		if got.code != exitOK || !strings.Contains(got.out, "Example") && !strings.Contains(got.out, "In an ECS task definition:") {
			t.Errorf("castoff %s --help: code %d\n%s%s", c.Name, got.code, got.out, got.err)
		}
		said := regexp.MustCompile(`Exit codes: 0 [^;]+(; [1-6] [^;]+)+`).FindString(strings.Join(strings.Fields(got.out), " "))
		if !strings.Contains(said, "; 2 ") {
			t.Errorf("castoff %s --help does not say its exit codes:\n%s", c.Name, got.out)
		}
	}
}

// Who detached a target is still told once it is back.
func TestDetachedByOfATargetThatIsBack(t *testing.T) {
	called := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for want, ds := range map[string][]explainedDetachment{"-": {{Mode: "observe"}}, "castoff": {{Mode: "detach", Called: &called}}} {
		tl := shownTimeline{Detachments: ds}
		if got := tl.row(called)[6].said; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
