package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// explainable is what a castoff has seen and done: of service api one task that
// is sick and held by the floor, one that was taken out, put back and is out
// again, one that is well, and one of last week; and of service web, which is
// only observed, one that would be out.
func explainable() *status.View {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	api, web := fleet.ServiceID{Cluster: "prod", Name: "api"}, fleet.ServiceID{Cluster: "prod", Name: "web"}
	group := fleet.TargetGroupARN("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/api-grpc/0123456789abcdef")
	now := time.Now()
	read := fleet.Read{Sent: now.Add(-3 * time.Second), Received: now}
	g := &fleet.TargetGroup{ARN: group, Read: read}
	s := fleet.Snapshot{At: now, Services: []*fleet.Service{{ID: api}, {ID: web}}, TargetGroups: []*fleet.TargetGroup{g}}
	v := &status.View{Modes: map[fleet.ServiceID]policy.Mode{api: policy.Detaching}, Started: at}
	arn := func(id string) fleet.TaskARN {
		return fleet.TaskARN("arn:aws:ecs:eu-central-1:123456789012:task/prod/" + id + strings.Repeat("0", 28))
	}
	task := func(id, ip string, svc fleet.ServiceID, health fleet.HealthStatus, state fleet.TargetState) fleet.TargetKey {
		key := fleet.NewTargetKey(group, ip, 10080)
		s.Tasks = append(s.Tasks, &fleet.Task{ARN: arn(id), Service: svc, LastStatus: fleet.Running, Health: health, Targets: []fleet.TargetKey{key}, Read: read})
		if state != "" {
			g.Targets = append(g.Targets, fleet.Target{Key: key, State: state})
		}
		return key
	}
	fails := func(id string, svc fleet.ServiceID) *timeline.Timeline {
		tl := &timeline.Timeline{ID: timeline.ID(id), Task: arn(id), Service: svc, Trigger: timeline.ContainerCheck, Opened: at}
		v.Open = append(v.Open, tl)
		return tl
	}
	decided := func(id string, svc fleet.ServiceID, key fleet.TargetKey, mode policy.Mode, not ...policy.Finding) {
		d := policy.Verdict{Action: policy.Detach, Task: arn(id), Service: svc, Target: key, Mode: mode, At: at.Add(2 * time.Second), Decision: policy.Allow, Reason: policy.OK, Sentence: "every guard allows it"}
		d.Findings = append([]policy.Finding{{Guard: policy.Paused, Decision: policy.Allow, Reason: policy.OK, Sentence: "nobody has paused castoff here"}}, not...)
		if len(not) > 0 {
			f := not[0]
			d.Decision, d.Guard, d.Reason, d.Sentence, d.Until = f.Decision, f.Guard, f.Reason, f.Sentence, f.Until
		}
		v.Verdicts = append(v.Verdicts, d)
	}

	sick := task("a1f0", "10.0.17.201", api, fleet.Unhealthy, fleet.TargetHealthy)
	fails("a1f0", api)
	decided("a1f0", api, sick, policy.Detaching,
		policy.Finding{Guard: policy.Floor, Decision: policy.Hold, Reason: policy.BelowFloor, Sentence: "1 of 3 tasks would stay healthy, floor 2 (50 %)"},
		policy.Finding{Guard: policy.Rate, Decision: policy.Hold, Reason: policy.ServiceRate, Sentence: "the next at a quarter past", Until: at.Add(time.Minute)})

	out := task("a2f0", "2001:db8::17", api, fleet.Unhealthy, fleet.TargetDraining)
	fails("a2f0", api)
	decided("a2f0", api, out, policy.Detaching, policy.Finding{Guard: policy.Contested, Decision: policy.Hold, Reason: policy.Spaced, Sentence: "somebody put it back", Until: at.Add(30 * time.Second)})
	v.Detachments = append(v.Detachments, policy.Detachment{
		Task: arn("a2f0"), Service: api, Target: out, Mode: policy.Detaching, Decided: at.Add(2 * time.Second), Called: at.Add(3 * time.Second), Result: policy.NotAnswered, Tries: 2,
		Back: &policy.Bounds{NotBefore: at.Add(5 * time.Second), NotAfter: at.Add(7 * time.Second)}, Progress: policy.Out,
		Attached: at.Add(9 * time.Second), AttachResult: policy.Rejected,
	})

	task("a3f0", "10.0.17.203", api, fleet.Healthy, fleet.TargetHealthy)

	old := &timeline.Timeline{
		ID: "old", Task: arn("b1f0"), Service: api, Trigger: timeline.TargetCheck, Outcome: timeline.Retired, Opened: at.Add(-time.Hour), Closed: at.Add(-50 * time.Minute),
		Milestones: []timeline.Milestone{{Kind: timeline.Unhealthy, Bounds: timeline.At(at.Add(-time.Hour))}, {Kind: timeline.Stopped, Bounds: timeline.At(at.Add(-51 * time.Minute))}},
		Targets:    []timeline.Target{{Key: sick, Good: []timeline.Span{{To: timeline.Bounds{NotBefore: at.Add(-59 * time.Minute), NotAfter: at.Add(-59*time.Minute + 2*time.Second)}}}}},
	}
	v.Closed = append(v.Closed, old)
	v.Detachments = append(v.Detachments, policy.Detachment{
		Task: old.Task, Service: api, Target: sick, Mode: policy.Observing, Decided: at.Add(-time.Hour), Progress: policy.Closed, Outcome: policy.Stopped, Ended: old.Closed,
		ECS: &policy.Bounds{NotBefore: at.Add(-59 * time.Minute), NotAfter: at.Add(-59*time.Minute + 2*time.Second)},
	})

	would := task("c1f0", "10.0.17.99", web, fleet.Unhealthy, fleet.TargetHealthy)
	fails("c1f0", web)
	decided("c1f0", web, would, policy.Observing)

	task("d1f0", "10.0.17.100", web, fleet.Unhealthy, "")
	fails("d1f0", web)
	g.Targets = append(g.Targets, fleet.Target{Key: fleet.NewTargetKey(group, "10.0.17.250", 10080), State: fleet.TargetUnhealthy})
	v.Snapshot = fleet.NewSnapshot(s)
	return v
}

func explaining(t *testing.T, edit func(*status.View)) string {
	t.Helper()
	v := explainable()
	if edit != nil {
		edit(v)
	}
	server := httptest.NewServer(status.New(status.Options{View: func() *status.View { return v }, Metrics: http.NotFoundHandler()}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		name, subject string
		edit          func(*status.View)
	}{
		{"held", "a1f0", nil},
		{"contested", "[2001:db8::17]:10080", nil},
		{"well", "10.0.17.203", nil},
		{"address", "10.0.17.201", nil},
		{"observed", "c1", nil},
		{"nothing_there", "d1", nil},
		{"healthy_again", "d1", func(v *status.View) { v.Snapshot.Task(v.Open[3].Task).Health = fleet.Healthy }},
		{"no_target", "d1", func(v *status.View) { v.Snapshot.Task(v.Open[3].Task).Targets = nil }},
		{"not_seen", "e1", func(v *status.View) {
			tl := *v.Open[3]
			tl.Task = "arn:aws:ecs:eu-central-1:123456789012:task/prod/e1f0"
			v.Open = append(v.Open, &tl)
		}},
		{"way_back", "a2f0", func(v *status.View) {
			goes := v.Verdicts[1]
			goes.Action, goes.Decision, goes.Reason, goes.Guard, goes.Sentence, goes.Until = policy.Attach, policy.Allow, policy.OK, "", "healthy again", time.Time{}
			stays := v.Verdicts[1]
			stays.Action, stays.Reason, stays.Guard, stays.Sentence = policy.Attach, policy.Recovering, policy.Recovery, "healthy for 12s of 1m0s"
			v.Verdicts = []policy.Verdict{goes, stays}
			d := v.Detachments[0]
			d.Called, d.Result, d.Attached, d.Back = time.Time{}, policy.Rejected, time.Time{}, nil
			v.Detachments[0] = d
		}},
		{"unowned", "10.0.17.250", func(v *status.View) {
			v.Snapshot.Gaps = []fleet.Gap{{Kind: fleet.GapTags}}
			v.Halts = []policy.Halt{{Cause: "journal", Detail: "the disk is full"}}
		}},
		{"hostile", "a1f0", func(v *status.View) {
			evil := "\x1b[2J\ttab\nline\u202e"
			v.Verdicts[0].Sentence = evil
			for i := range v.Verdicts[0].Findings {
				v.Verdicts[0].Findings[i].Sentence = evil
			}
			v.Snapshot.Tasks[0].StoppedReason = evil
			v.Snapshot.Tasks[0].LastStatus = fleet.TaskStatus(evil)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := castoff(t, nil, "explain", "--server", explaining(t, tt.edit), tt.subject)
			if got.code != exitOK || got.err != "" {
				t.Fatalf("code %d, %s", got.code, got.err)
			}
			golden(t, "explain_"+tt.name+".txt", regexp.MustCompile(`read [\d.]+ s ago`).ReplaceAllString(got.out, "read N s ago"))
			if strings.ContainsAny(got.out, "\x1b\u202e\t") {
				t.Errorf("the terminal is not safe: %q", got.out)
			}
		})
	}
}

func TestExplainAllThatHadAnAddress(t *testing.T) {
	url := explaining(t, func(v *status.View) {
		for i := range 30 {
			d := v.Detachments[1]
			d.Task = fleet.TaskARN(fmt.Sprintf("arn:aws:ecs:eu-central-1:123456789012:task/prod/%032d", i))
			v.Detachments = append(v.Detachments, d)
		}
	})
	got := castoff(t, nil, "explain", "--server", url, "10.0.17.201:10080")
	if n := strings.Count(got.out, "\ntask "); got.code != exitOK || n != 19 || !strings.Contains(got.out, "\nand 12 older tasks: ask for one by its id\n") {
		t.Errorf("code %d, %d more tasks\n%s", got.code, n, got.out)
	}
}

func TestExplainJSON(t *testing.T) {
	url := explaining(t, nil)
	got := castoff(t, map[string]string{"CASTOFF_SERVER": url}, "explain", "--json", "a3f0")
	var answer struct{ Tasks []struct{ Task string } }
	if err := json.Unmarshal([]byte(got.out), &answer); err != nil || got.code != exitOK || len(answer.Tasks) != 1 {
		t.Fatalf("code %d, %v, %s%s", got.code, err, got.out, got.err)
	}
	if _, want := get(t, url+"/api/v1/explain?of=a3f0"); len(want) == 0 || !strings.HasPrefix(got.out, want[:20]) {
		t.Errorf("not as the API has it: %s", got.out)
	}
}

func TestExplainMistakes(t *testing.T) {
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
	real := func(edit func(*status.View)) func(*testing.T) string {
		return func(t *testing.T) string { return explaining(t, edit) }
	}
	is := func(url string) func(*testing.T) string { return func(*testing.T) string { return url } }
	for _, tt := range []struct {
		name   string
		server func(*testing.T) string
		of     string
		code   int
		want   string
	}{
		{"nothing known", real(nil), "192.0.2.1", exitFailed, `castoff: nothing is known of "192.0.2.1": castoff watches 5 tasks of 2 services`},
		{"ambiguous", real(nil), "a", exitFailed, `castoff: 3 tasks have an id that begins with "a": `},
		{"makes no sense", real(nil), "prod/api", exitUsage, `castoff: of: "prod/api" is no task`},
		{"too early", real(func(v *status.View) { v.Snapshot = nil }), "a1f0", exitFailed, "castoff: castoff has just started"},
		{"nobody there", func(t *testing.T) string { return "http://" + freePort(t) }, "a", exitFailed, "connection refused: say with --server or CASTOFF_SERVER where it is"},
		{"no URL", is("http://[:x"), "a", exitUsage, "castoff: --server is no URL"},
		{"a secret in what is no URL", is("http://u:s3cret@[:x"), "a", exitUsage, "castoff: --server is no URL"},
		{"no scheme", is("127.0.0.1:9468"), "a", exitUsage, "castoff: --server is no URL"},
		{"another scheme", is("ftp://u:s3cret@example.com"), "a", exitUsage, "castoff: --server must be a URL such as http://127.0.0.1:9468 (got ftp://u:xxxxx@example.com)"},
		{"wants a password", answers(401, "text/plain", "no"), "a", exitFailed, "wants a user and a password"},
		{"something else", answers(200, "text/html", "<p>hello"), "a", exitFailed, "is not castoff: it sends no JSON"},
		{"something else's error", answers(502, "text/html", "<p>hello"), "a", exitFailed, "is not castoff, or is too old: 502 Bad Gateway"},
		{"an older castoff", answers(404, "application/json", `{"error":{"code":"not_found","message":"there is nothing at this address"}}`), "a", exitFailed, "castoff: there is nothing at this address"},
		{"half an answer", answers(200, "application/json", `{"tasks":[`), "a", exitFailed, "answers what this castoff does not understand"},
		{"another answer", answers(200, "application/json", `{"tasks":5}`), "a", exitFailed, "answers what this castoff does not understand"},
		{"an escape sequence", answers(404, "application/json", `{"error":{"message":"\u001b[2J"}}`), "a", exitFailed, "castoff: \uFFFD[2J\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := castoff(t, nil, "explain", "--server", tt.server(t), tt.of)
			if got.code != tt.code || got.out != "" || !strings.Contains(got.err, tt.want) {
				t.Errorf("code %d, want %d; %q lacks %q; printed %q", got.code, tt.code, got.err, tt.want, got.out)
			}
			if strings.Contains(got.err, "s3cret") {
				t.Errorf("the password is shown: %s", got.err)
			}
		})
	}
	if got := castoff(t, nil, "explain"); got.code != exitUsage || !strings.Contains(got.err, "see castoff explain --help") {
		t.Errorf("without a subject: %d %s", got.code, got.err)
	}
}

// TestExplainDaemon asks a daemon that watches a region.
func TestExplainDaemon(t *testing.T) {
	r, server := region(t)
	p, url := serving(t, awsEnv(t, server.URL))
	tasks := r.Tasks(fleet.ServiceID{Cluster: "prod", Name: "grpc"})
	if got := castoff(t, nil, "explain", "--server", url, string(tasks[0].ARN)); got.code != exitOK || !strings.Contains(got.out, "Nothing fails here") {
		t.Fatalf("code %d: %s%s\n%s", got.code, got.out, got.err, p.log)
	}
}
