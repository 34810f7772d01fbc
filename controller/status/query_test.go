package status

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// LIVENESS and SAFETY: whoever walks the pages while new timelines arrive and
// open ones close sees every timeline that was there at the start once, newest
// first, and nothing that the filter does not select.
func TestPagesStayStableWhileTimelinesArrive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		serial := 0
		add := func(opened time.Time) *timeline.Timeline {
			serial++
			tl := &timeline.Timeline{
				// Ids are in no order, and several open in one snapshot.
				ID: timeline.ID(fmt.Sprintf("%d-%d", rapid.IntRange(0, 9).Draw(t, "id"), serial)), Opened: opened,
				Service: fleet.ServiceID{Name: rapid.SampledFrom([]string{"api", "web"}).Draw(t, "service")},
			}
			return tl
		}
		v := &View{}
		clock := noon
		arrive := func() {
			clock = clock.Add(time.Duration(rapid.IntRange(1, 3).Draw(t, "later")) * time.Second)
			for range rapid.IntRange(0, 4).Draw(t, "new") {
				v.Open = append(slices.Clone(v.Open), add(clock))
			}
		}
		settle := func() {
			var open []*timeline.Timeline
			for _, tl := range v.Open {
				if rapid.Bool().Draw(t, "closes") {
					closed := tl.Clone()
					closed.Closed = clock
					v.Closed = slices.Insert(slices.Clone(v.Closed), 0, closed)
				} else {
					open = append(open, tl)
				}
			}
			v.Open = open
		}
		for range rapid.IntRange(0, 6).Draw(t, "history") {
			arrive()
			settle()
		}
		service := rapid.SampledFrom([]string{"", "api"}).Draw(t, "filter")
		var old []timeline.ID
		for _, tl := range slices.Concat(v.Open, v.Closed) {
			if service == "" || tl.Service.Name == service {
				old = append(old, tl.ID)
			}
		}
		s := handlerOf(func() *View { return v })
		seen := walk(t, s, service, rapid.IntRange(1, 4).Draw(t, "limit"), func() {
			arrive()
			settle()
		})
		got := slices.DeleteFunc(seen, func(id timeline.ID) bool { return !slices.Contains(old, id) })
		if slices.Sort(got); len(got) != len(old) {
			t.Fatalf("saw %v of %v", got, old)
		}
		slices.Sort(old)
		if !slices.Equal(got, old) {
			t.Fatalf("saw %v, want each once of %v", got, old)
		}
	})
}

func handlerOf(view func() *View) http.Handler {
	return New(Options{View: view, Metrics: http.NotFoundHandler()})
}

// timelineQuery reads a query string.
func timelineQuery(raw string) (query, error) {
	values, err := parseValues(raw, timelineFilters)
	if err != nil {
		return query{}, err
	}
	return parseQuery(values)
}

// walk follows the cursors to the last page, calling between before each next
// one.
func walk(t *rapid.T, s http.Handler, service string, limit int, between func()) (seen []timeline.ID) {
	cursor := ""
	last := "9999"
	for range 1000 {
		w := httptest.NewRecorder()
		query := url.Values{"limit": {fmt.Sprint(limit)}, "service": {service}, "cursor": {cursor}}.Encode()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/timelines?"+query, nil))
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %s", query, w.Body)
		}
		var page wirePage
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		if len(page.Timelines) > limit {
			t.Fatalf("%d timelines on a page of %d", len(page.Timelines), limit)
		}
		if cursor != "" && len(page.Timelines) == 0 {
			t.Fatal("a cursor led to an empty page")
		}
		for _, tl := range page.Timelines {
			if *tl.Opened > last {
				t.Fatalf("%s comes after %s", *tl.Opened, last)
			}
			if service != "" && tl.Service != service {
				t.Fatalf("a timeline of %s on a page of %s", tl.Service, service)
			}
			last = *tl.Opened
			seen = append(seen, tl.ID)
		}
		if page.NextCursor == nil {
			return seen
		}
		cursor = *page.NextCursor
		between()
	}
	t.Fatal("the pages never end")
	return nil
}

func TestFilters(t *testing.T) {
	open := &timeline.Timeline{ID: "open", Service: fleet.ServiceID{Cluster: "c1", Name: "api"}, Trigger: timeline.ContainerCheck, Opened: noon}
	closed := &timeline.Timeline{
		ID: "closed", Service: fleet.ServiceID{Cluster: "c2", Name: "web"}, Trigger: timeline.Exit,
		Outcome: timeline.Retired, Opened: noon.Add(-time.Hour), Closed: noon.Add(-time.Minute),
	}
	v := &View{Open: []*timeline.Timeline{open}, Closed: []*timeline.Timeline{closed}}
	for query, want := range map[string]string{
		"":                                       "open closed",
		"cluster=c1":                             "open",
		"service=web":                            "closed",
		"service=we":                             "",
		"trigger=exit":                           "closed",
		"outcome=retired":                        "closed",
		"state=open":                             "open",
		"state=closed":                           "closed",
		"limit=1":                                "open",
		"cluster=&service":                       "open closed",
		"since=2026-03-01T12:00:00Z":             "open",
		"since=2026-03-01T13:00:00%2B01:00":      "open",
		"until=2026-03-01T12:00:00Z":             "closed",
		"until=2026-03-01T12:00:00.001Z":         "open closed",
		"state=open&trigger=exit":                "",
		"cluster=c2&service=web&outcome=retired": "closed",
	} {
		t.Run(query, func(t *testing.T) {
			q, err := timelineQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			ts, _ := q.page(v)
			var ids []string
			for _, tl := range ts {
				ids = append(ids, string(tl.ID))
			}
			if got := strings.Join(ids, " "); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func FuzzParseQuery(f *testing.F) {
	for _, seed := range []string{
		"", "state=open&limit=5", "limit=-1", "since=2026-03-01T12:00:00Z", "cursor=MTIzfGFiYw", "cursor=%00",
		"a=1;b=2", "%zz", "trigger=exit&trigger=exit", strings.Repeat("x", 100) + "=1", "cluster=\xff",
	} {
		f.Add(seed)
	}
	v := &View{Closed: []*timeline.Timeline{{ID: "a", Opened: noon, Closed: noon}, {ID: "b", Opened: noon, Closed: noon}}}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := timelineQuery(raw)
		if err != nil {
			if n := len(err.Error()); n > 500 {
				t.Errorf("the error repeats its input: %d bytes", n)
			}
			return
		}
		if q.limit < 1 || q.limit > maxLimit {
			t.Errorf("limit %d", q.limit)
		}
		if q.after.id != "" {
			if again, err := parseCursor(q.after.cursor()); err != nil || again.compare(q.after) != 0 {
				t.Errorf("cursor %+v reads back as %+v, %v", q.after, again, err)
			}
		}
		q.page(v)
	})
}

func FuzzParseActingQueries(f *testing.F) {
	for _, seed := range []string{
		"", "decision=hold&limit=5", "mode=detach&since=2026-03-01T12:00:00Z", "reason=ok&action=attach", "of=10.0.0.1", "of=[::1]:80",
		"of=i-1:70000", "of=%00", "of=arn:", "task=\xff", "cursor=MHxhYmM", "until=0001-01-01T00:00:00Z",
	} {
		f.Add(seed)
	}
	key := fleet.NewTargetKey("g", "2001:db8::1", 80)
	v := &View{
		Verdicts:    []policy.Verdict{{Action: policy.Detach, Task: "arn:aws:ecs:x:y:task/c/1", Target: key}, {Target: key}},
		Detachments: []policy.Detachment{{Target: key, Decided: noon}, {Task: "t", Decided: noon}},
	}
	h := handlerOf(func() *View { return v })
	f.Fuzz(func(t *testing.T, raw string) {
		for _, path := range []string{"tasks", "services", "verdicts", "detachments", "explain"} {
			answersWell(t, h, "/api/v1/"+path, raw, http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable)
		}
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		of, err := parseSubject(values.Get("of"))
		if err != nil {
			if len(err.Error()) > 500 {
				t.Errorf("the error repeats its input: %d bytes", len(err.Error()))
			}
			return
		}
		if of.isTask("") || of.isTarget(fleet.TargetKey{}) {
			t.Errorf("%q means what has no name", values.Get("of"))
		}
	})
}

// FuzzRequests asks every address that answers from a View.
func FuzzRequests(f *testing.F) {
	for _, seed := range [][2]string{
		{"a", ""}, {"", "page=1"}, {"a", "page=2"}, {"\x00", "page=99999999999999999999"}, {"a/b", "state=open&limit=5"}, {"..", "cluster=c&service=x"},
		{"a", "service=%ff"}, {"a", "exposed=maybe"}, {"a", "task=arn:"}, {"%", "since=2026-03-01T12:00:00Z&until=2026-03-01T11:00:00Z"}, {"a", "cursor=" + strings.Repeat("A", 9000)},
	} {
		f.Add(seed[0], seed[1])
	}
	id := fleet.ServiceID{Cluster: "c", Name: "s"}
	v := &View{
		Snapshot: fleet.NewSnapshot(fleet.Snapshot{At: noon, Clusters: []*fleet.Cluster{{Name: "c"}}, Services: []*fleet.Service{{ID: id}}}),
		Open:     []*timeline.Timeline{{ID: "a", Task: "arn:aws:ecs:x:y:task/c/1", Service: id, Opened: noon}},
	}
	h := handlerOf(func() *View { return v })
	f.Fuzz(func(t *testing.T, id, raw string) {
		for i := range api {
			path := strings.ReplaceAll(api[i].path, "{id}", url.PathEscape(id))
			answersWell(t, h, path, raw, http.StatusOK, http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusRequestURITooLong)
		}
		for _, rt := range site {
			path := strings.ReplaceAll(strings.ReplaceAll(rt.path, "{$}", ""), "{id}", url.PathEscape(id))
			answersWell(t, h, path, raw, http.StatusOK, http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest, http.StatusNotFound, http.StatusRequestURITooLong)
		}
	})
}

// answersWell asks, and demands one of the codes, valid JSON of the API, and no
// error that repeats what it was asked.
func answersWell(t *testing.T, h http.Handler, path, raw string, codes ...int) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	var err error
	if r.URL, err = url.Parse(path); err != nil {
		t.Skip(err)
	}
	r.URL.RawQuery = raw
	r.RequestURI = path + "?" + raw
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if !slices.Contains(codes, w.Code) {
		t.Errorf("%s?%s: %d %s", path, raw, w.Code, w.Body)
	}
	if strings.HasPrefix(path, "/api/") && w.Code < 300 || w.Code >= 400 && strings.HasPrefix(r.URL.Path, "/api/") {
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s?%s: %s", path, raw, w.Body)
		}
	}
	if w.Code >= 400 && w.Body.Len() > 6000 {
		t.Errorf("%s?%s: the error has %d bytes", path, raw, w.Body.Len())
	}
}

func TestSpan(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0 s": 0, "0.1 s": 51 * time.Millisecond, "1.5 s": 1500 * time.Millisecond, "42 s": 42 * time.Second,
		"1 min 00 s":  59*time.Second + 960*time.Millisecond,
		"4 min 02 s":  4*time.Minute + 2*time.Second,
		"1 h 00 min":  59*time.Minute + 59*time.Second + 600*time.Millisecond,
		"3 h 05 min":  3*time.Hour + 5*time.Minute,
		"1 d 00 h":    24*time.Hour - time.Second,
		"12 d 07 h":   12*24*time.Hour + 7*time.Hour,
		"−1 min 10 s": -70 * time.Second,
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
}
