package status_test

import (
	"encoding/json"
	"fmt"
	"html"
	"math"
	"net/url"
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

// named is a View in which every string that AWS can choose is s.
func named(now time.Time, s string) *status.View {
	v := sample(now)
	id := fleet.ServiceID{Cluster: s, Name: s}
	snap := *v.Snapshot
	snap.Services = []*fleet.Service{{
		ID: id, Status: s, Scheduling: s, Controller: s,
		LoadBalancers: []fleet.LoadBalancer{{Group: groupARN("g")}, {Group: fleet.TargetGroupARN(s)}},
	}}
	key := fleet.TargetKey{Group: groupARN("g"), ID: s, Port: 1}
	snap.Tasks = []*fleet.Task{{ARN: fleet.TaskARN(s), Service: id, LastStatus: fleet.Running, Health: fleet.Unhealthy, Targets: []fleet.TargetKey{key}, Read: snap.Tasks[0].Read}}
	snap.TargetGroups = []*fleet.TargetGroup{{ARN: groupARN("g"), Name: s, Read: snap.Tasks[0].Read, Targets: []fleet.Target{{Key: key, State: fleet.TargetHealthy, Reason: s}}}}
	snap.Gaps = []fleet.Gap{{Kind: fleet.GapTags, Ref: s, Class: fleet.Denied, Detail: s, Since: now}}
	v.Snapshot = fleet.NewSnapshot(snap)
	for _, list := range [][]*timeline.Timeline{v.Open, v.Closed} {
		for _, t := range list {
			t.Task, t.Service, t.Definition, t.StartedBy, t.Zone = fleet.TaskARN(s), id, fleet.TaskDefinitionARN(s), s, s
			t.Replacement, t.Container, t.StopCode, t.StoppedReason = fleet.TaskARN(s), s, s, s
			t.Check = &fleet.HealthCheck{Command: []string{s}}
			t.Targets = []timeline.Target{{Key: key, Milestones: t.Milestones}}
			for i := range t.Milestones {
				t.Milestones[i].Evidence = s
			}
		}
	}
	v.Open[0].ID = timeline.ID(s)
	for i := range v.Verdicts {
		d := &v.Verdicts[i]
		d.Task, d.Service, d.Target, d.Zone, d.Sentence = fleet.TaskARN(s), id, key, s, s
		for j := range d.Findings {
			d.Findings[j].Sentence = s
			d.Findings[j].Values = []policy.Value{{Name: s, Unit: s, Got: math.NaN(), Limit: math.Inf(1)}}
		}
	}
	attach := v.Verdicts[0]
	attach.Action = policy.Attach
	v.Verdicts = append(v.Verdicts, attach)
	for i := range v.Detachments {
		d := &v.Detachments[i]
		d.Task, d.Service, d.Target, d.Zone, d.Result, d.AttachResult = fleet.TaskARN(s), id, key, s, policy.Result(s), policy.Result(s)
		d.Outcome = policy.Outcome(s)
	}
	v.Pauses = []policy.Pause{{Scope: policy.ScopeService, Service: id, Owner: s, Reason: s, Problem: s}}
	v.Halts = []policy.Halt{{Cause: s, Detail: s}}
	v.Latches = []policy.Latch{{Service: id}}
	v.Receivers = []notify.Standing{{Name: s, Kind: notify.Slack, LastFailure: now, LastError: s}}
	return v
}

var hostile = map[string]string{
	"script":          `<script>alert(1)</script>`,
	"image":           `"><img src=x onerror=alert(1)>`,
	"quotes":          `'"` + "`" + `onmouseover=alert(1) x='`,
	"template":        `{{.}}{{template "x"}}`,
	"right to left":   "\u202eevil\u2066\u200f",
	"255 characters":  strings.Repeat("n", 255),
	"invalid UTF-8":   "a\xff\xfeb",
	"NUL and newline": "a\x00b\r\nX-Injected: 1",
	"entity":          "&lt;b&gt;&#x27;",
	"path":            "a/b?c=d#e%2f",
	"ARN":             `arn:aws:ecs:<b onclick="x">/'1`,
}

// Whatever AWS says is shown as text: the page has the same elements as with
// harmless names, and the names are in it, escaped.
func TestHostileNamesAreText(t *testing.T) {
	tag := regexp.MustCompile(`</?[a-zA-Z!][^\s/>]*`)
	for name, s := range hostile {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, harmless := handler(named(time.Now(), s)), handler(named(time.Now(), "harmless"))
				home := get(h, "/")
				// The first link to a timeline is the open one's whose id is s.
				var detail string
				for _, m := range regexp.MustCompile(`href="(/timelines/[^"]*)"`).FindAllStringSubmatch(home.Body.String(), -1) {
					if link := html.UnescapeString(m[1]); !strings.HasSuffix(link, "Z") {
						detail = link
					}
				}
				if detail == "" {
					t.Fatal("no link to the hostile timeline")
				}
				for path, plain := range map[string]string{
					"/": "/", detail: "/timelines/harmless", "/timelines": "/timelines", "/services": "/services", "/castoff": "/castoff",
				} {
					got, want := get(h, path), get(harmless, plain)
					if got.Code != 200 || want.Code != 200 {
						t.Fatalf("%s: %d; %s: %d", path, got.Code, plain, want.Code)
					}
					g, w := tag.FindAllString(got.Body.String(), -1), tag.FindAllString(want.Body.String(), -1)
					if !slices.Equal(g, w) {
						t.Errorf("%s has other elements than with harmless names", path)
					}
					if text := strings.NewReplacer("\x00", "\uFFFD", "\u202e", "[U+202E]", "\u2066", "[U+2066]").Replace(s); !strings.Contains(html.UnescapeString(got.Body.String()), text) {
						t.Errorf("%s does not show the name", path)
					}
					if strings.ContainsAny(got.Body.String(), "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") {
						t.Errorf("%s lets a name turn the words around it", path)
					}
					for key := range got.Header() {
						if key == "X-Injected" {
							t.Error("a header of its own")
						}
					}
				}
			})
		})
	}
}

func TestHostileNamesSurviveJSON(t *testing.T) {
	for name, s := range hostile {
		t.Run(name, func(t *testing.T) {
			h := handler(named(time.Now(), s))
			var page struct {
				Timelines []struct{ Cluster, Service, Task string }
			}
			if err := json.Unmarshal(get(h, "/api/v1/timelines").Body.Bytes(), &page); err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(s, "\xff\xfe", "\uFFFD\uFFFD")
			if got := page.Timelines[0]; got.Cluster != want || got.Service != want || got.Task != want {
				t.Errorf("got %+q, want %+q", got, want)
			}
			for _, path := range []string{"/api/v1/services", "/api/v1/status", "/api/v1/verdicts", "/api/v1/detachments", "/api/v1/explain?of=" + url.QueryEscape(s)} {
				// What is no ARN is refused by explain, in JSON as well.
				if w := get(h, path); w.Code != 200 && (!strings.Contains(path, "explain") || w.Code != 400 && w.Code != 409) || !json.Valid(w.Body.Bytes()) {
					t.Errorf("%s: %d %s", path, w.Code, w.Body)
				}
			}
		})
	}
}

// The pages stay readable and their size bounded, however much there is.
func TestPagesOfALargeFleetAreBounded(t *testing.T) {
	now := time.Now()
	v := sample(now)
	big(v, now, 1000, 10_000)
	for i := range 500 {
		v.Open = append(v.Open, hung(fmt.Sprintf("%032x", 1_000_000+i), now.Add(-80*time.Second), 80*time.Second))
	}
	gaps := *v.Snapshot
	for i := range 1000 {
		gaps.Gaps = append(gaps.Gaps, fleet.Gap{Kind: fleet.GapTags, Ref: fmt.Sprint(i), Class: fleet.Throttled, Since: now})
	}
	v.Snapshot = fleet.NewSnapshot(gaps)
	h := handler(v)
	for path, want := range map[string]string{
		"/":                "9995 older",
		"/timelines":       "10000 closed timelines of 10000",
		"/services":        "Page 1 of 11",
		"/services?page=7": "Page 7 of 11",
		"/castoff":         "801 more",
	} {
		w := get(h, path)
		if n := w.Body.Len(); n > 512<<10 {
			t.Errorf("%s: %d bytes", path, n)
		}
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s lacks %q", path, want)
		}
	}
	// Trouble comes first: the rows that do not fit are the dull ones.
	services := get(h, "/services").Body.String()
	if i := strings.Index(services, "production/api<"); i < 0 || i > strings.Index(services, "large/service") {
		t.Error("a service in trouble is below a calm one")
	}
}

func big(v *status.View, now time.Time, services, closed int) {
	s := *v.Snapshot
	for i := range services {
		s.Services = append(s.Services, &fleet.Service{ID: fleet.ServiceID{Cluster: "large", Name: fmt.Sprintf("service-%04d", i)}})
	}
	v.Snapshot = fleet.NewSnapshot(s)
	v.Closed = nil
	for i := range closed {
		v.Closed = append(v.Closed, hung(fmt.Sprintf("%032x", i), now.Add(-time.Duration(i+60)*time.Minute), time.Hour))
	}
}
