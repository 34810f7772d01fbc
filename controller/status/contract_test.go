package status_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/status"
)

// contract is the description, held to the letter: an object has the members that
// are described, and no other. It notes what was answered.
type contract struct {
	doc  *openapi3.T
	seen map[string]bool // path, status and code
	n    int
}

func newContract(t *testing.T) *contract {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(get(handler(&status.View{}), "/api/v1/openapi.yaml").Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, schema := range doc.Components.Schemas {
		closed(schema, map[*openapi3.Schema]bool{})
	}
	return &contract{doc: doc, seen: map[string]bool{}}
}

// closed makes a schema and those below it allow no member that they do not have.
func closed(ref *openapi3.SchemaRef, seen map[*openapi3.Schema]bool) {
	if ref == nil || seen[ref.Value] {
		return
	}
	schema, none := ref.Value, false
	seen[schema] = true
	if schema.Type.Is("object") {
		schema.AdditionalProperties.Has = &none
	}
	closed(schema.Items, seen)
	for _, one := range schema.AnyOf {
		closed(one, seen)
	}
	for _, one := range schema.Properties {
		closed(one, seen)
	}
}

// check holds an answer to what is described of a path.
func (c *contract) check(t *testing.T, path string, w *httptest.ResponseRecorder) {
	t.Helper()
	c.n++
	op := c.doc.Paths.Find(path).Get
	described := op.Responses.Value(fmt.Sprint(w.Code))
	if described == nil {
		t.Errorf("%s: %d is not described: %s", path, w.Code, w.Body)
		return
	}
	code := ""
	if w.Code >= 400 {
		var answer struct{ Error struct{ Code string } }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Errorf("%s: %d: %v: %s", path, w.Code, err, w.Body)
		}
		if code = answer.Error.Code; !slices.Contains(codes(described.Value), code) {
			t.Errorf("%s: %d %s is not described", path, w.Code, code)
		}
	}
	c.seen[fmt.Sprintln(path, w.Code, code)] = true
	if waits := code == "busy" || code == "no_pass_yet" || code == "too_many_streams"; waits != (w.Header().Get("Retry-After") != "") {
		t.Errorf("%s: %s with Retry-After %q", path, code, w.Header().Get("Retry-After"))
	}
	for name, header := range described.Value.Headers {
		value := w.Header().Get(name)
		if want := header.Value.Schema.Value.Const; value == "" && header.Value.Required || want != nil && value != want {
			t.Errorf("%s: %d: %s: %q", path, w.Code, name, value)
		}
	}
	contentType, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	switch content := described.Value.Content.Get(contentType); {
	case w.Code == http.StatusNotModified:
		if w.Body.Len() > 0 || contentType != "" {
			t.Errorf("%s: 304 with a body", path)
		}
	case content == nil:
		t.Errorf("%s: %d: %q is not described", path, w.Code, contentType)
	case contentType == "application/json":
		for _, fault := range faults(content.Schema.Value, w.Body.Bytes()) {
			t.Errorf("%s: %d: %s\n%s", path, w.Code, fault, w.Body)
		}
	}
}

// codes are what an error's description says its codes are.
func codes(r *openapi3.Response) (all []string) {
	list, _ := r.Extensions["x-codes"].([]any)
	for _, one := range list {
		all = append(all, one.(string))
	}
	return all
}

// faults are what is wrong with JSON by a schema and by the rules that hold
// everywhere.
func faults(schema *openapi3.Schema, body []byte) []string {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return []string{err.Error()}
	}
	all := rules("", v)
	if err := schema.VisitJSON(v, openapi3.EnableJSONSchema2020(), openapi3.EnableFormatValidation()); err != nil {
		all = append(all, err.Error())
	}
	return all
}

var (
	anyTime  = regexp.MustCompile(`^\d{4}-\d\d-\d\d[T ]\d\d:\d\d`)
	wireTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
)

// rules are those that every answer follows: instants in UTC with milliseconds,
// durations in seconds to the millisecond, and both bounds or none.
func rules(at string, v any) (broken []string) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			broken = append(broken, rules(at+"[]", one)...)
		}
	case string:
		if anyTime.MatchString(v) && !wireTime.MatchString(v) {
			broken = append(broken, fmt.Sprintf("%s: the time %s", at, v))
		}
	case map[string]any:
		for _, together := range [][]string{{"not_before", "not_after"}, {"shortest_seconds", "longest_seconds", "error_seconds"}} {
			n := 0
			for _, name := range together {
				if _, has := v[name]; has {
					n++
				}
			}
			if n != 0 && n != len(together) {
				broken = append(broken, fmt.Sprintf("%s has %d of %v", at, n, together))
			}
		}
		broken = append(broken, boundRules(at, v)...)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if n, is := v[name].(float64); strings.HasSuffix(name, "_seconds") && is && n != math.Round(n*1000)/1000 {
				broken = append(broken, fmt.Sprintf("%s.%s: %v", at, name, n))
			}
			broken = append(broken, rules(at+"."+name, v[name])...)
		}
	}
	return broken
}

// boundRules: the one bound is not after the other, and the error is the width.
func boundRules(at string, v map[string]any) (broken []string) {
	if from, to := v["not_before"], v["not_after"]; from != nil && to != nil && from.(string) > to.(string) {
		broken = append(broken, fmt.Sprintf("%s: from %s to %s", at, from, to))
	}
	if _, is := v["error_seconds"].(float64); is {
		s, l, e := v["shortest_seconds"].(float64), v["longest_seconds"].(float64), v["error_seconds"].(float64)
		if s > l || math.Abs(l-s-e) > 1e-6 {
			broken = append(broken, fmt.Sprintf("%s: %v to %v, error %v", at, s, l, e))
		}
	}
	return broken
}

// asked are questions to every address, by its path in the description.
func asked(v *status.View) map[string][]string {
	all := map[string][]string{ // small ones, for validating is not quick
		"/api/v1/timelines":    {"?limit=4", "?state=open", "?state=closed&limit=1", "?outcome=won", "?service=nope"},
		"/api/v1/tasks":        {"", "?exposed=true", "?exposed=false&limit=1", "?exposed=perhaps"},
		"/api/v1/verdicts":     {"", "?decision=hold&limit=1", "?decision=maybe"},
		"/api/v1/detachments":  {"", "?mode=observe", "?state=ajar"},
		"/api/v1/explain":      {"?of=10.0.17.201", "?of=" + v.Open[0].Task.ID(), "?of=192.0.2.1", "?of="},
		"/api/v1/services":     {"", "?service=api", "?limit=1", "?x=1"},
		"/api/v1/status":       {"", "?x=1"},
		"/api/v1/openapi.yaml": {"", "?x=1"},
	}
	open, closed := string(v.Open[0].ID), string(v.Closed[0].ID)
	all["/api/v1/timelines/{id}"] = []string{"none", "none-20260301T120000Z", open, closed, closed + "?x=1"}
	return all
}

// address is where a path of the description is asked.
func address(path, question string) string {
	if base, found := strings.CutSuffix(path, "{id}"); found {
		return base + question
	}
	return path + question
}

// Whatever a View holds, the answers are as they are described.
func TestAnswersAreAsDescribed(t *testing.T) {
	c := newContract(t)
	for name, view := range map[string]func(time.Time) *status.View{
		"sample": sample, "busy": busy, "calm": func(now time.Time) *status.View {
			v := calmView(now)
			v.Open, v.Closed = sample(now).Open[:1], sample(now).Closed
			return v
		},
		"start": func(now time.Time) *status.View {
			return &status.View{Version: "0.1.0", Started: now, ReadyWithin: 30 * time.Second, Open: sample(now).Open[:1], Closed: sample(now).Closed[:1]}
		},
		"hostile": func(now time.Time) *status.View {
			v := named(now, hostile["right to left"]+hostile["invalid UTF-8"]+hostile["quotes"])
			for i := range v.Detachments { // words of castoff's own
				v.Detachments[i].Result, v.Detachments[i].AttachResult, v.Detachments[i].Outcome = "accepted", "rejected", "lost"
			}
			v.Pauses, v.Closed[0].ID = sample(now).Pauses, "hostile"
			v.Open[0].ID = "open"
			v.Open[0].Task = v.Closed[0].Task
			return v
		},
		"blind": func(now time.Time) *status.View {
			v := sample(now)
			v.Snapshot = fleet.NewSnapshot(fleet.Snapshot{At: now, Gaps: []fleet.Gap{{Kind: fleet.GapClusters, Class: fleet.Transient, Since: now}}})
			return v
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := view(time.Now())
				h := handler(v)
				questions := asked(v)
				if name == "hostile" {
					questions["/api/v1/explain"] = nil
				}
				for path, list := range questions {
					for _, question := range list {
						at := address(path, question)
						c.check(t, path, get(h, at))
						c.check(t, path, ask(h, http.MethodPost, at))
					}
				}
			})
		})
	}
	if c.n < 200 {
		t.Errorf("%d answers were checked", c.n)
	}
}

// Every error that is described can happen.
func TestEveryErrorHappens(t *testing.T) {
	c := newContract(t)
	synctest.Test(t, func(t *testing.T) {
		v := sample(time.Now())
		questions := asked(v)
		questions["/api/v1/explain"] = append(questions["/api/v1/explain"], "?of=1f0c2a57b1c24d6f8e1f6b7a9d3c5e0")
		v.Verdicts[0].Task = taskARN("1f0c2a57b1c24d6f8e1f6b7a9d3c5e09") // so that it is ambiguous
		for path, list := range questions {
			for _, question := range list {
				at := address(path, question)
				w := get(handler(v), at)
				c.check(t, path, w)
				c.check(t, path, ask(handler(v), http.MethodDelete, at))
				c.check(t, path, with(handler(v), at, "If-None-Match", w.Header().Get("ETag")))
				c.check(t, path, with(handler(v), at, "X-Large", strings.Repeat("x", 17<<10)))
				c.check(t, path, get(handler(v), at+strings.Repeat("?", 9<<10)))
				c.check(t, path, broken(at))
				c.check(t, path, get(elsewhere(v), at))
			}
		}
		c.check(t, "/api/v1/explain", get(handler(&status.View{}), "/api/v1/explain?of=10.0.0.1"))
		crowd(t, c, questions)
		events, h := eventful(time.Now())
		stream := "/api/v1/events"
		c.check(t, stream, get(handler(v), stream))
		c.check(t, stream, ask(h, http.MethodHead, stream))
		c.check(t, stream, get(h, stream+"?x=1"))
		c.check(t, stream, with(h, stream, "Last-Event-ID", "?"))
		c.check(t, stream, with(h, stream, "X-Large", strings.Repeat("x", 17<<10)))
		c.check(t, stream, get(h, stream+strings.Repeat("?", 9<<10)))
		c.check(t, stream, ask(h, http.MethodPost, stream))
		c.check(t, stream, get(elsewhere(v), stream))
		var streams []*listener
		for range 256 {
			streams = append(streams, listen(h, "", nil))
		}
		synctest.Wait()
		c.check(t, stream, get(h, stream))
		events.Close()
		for _, l := range streams {
			l.end()
		}
	})
	for path, item := range c.doc.Paths.Map() {
		for code, response := range item.Get.Responses.Map() {
			list := codes(response.Value)
			if len(list) == 0 {
				list = []string{""}
			}
			for _, word := range list {
				if key := fmt.Sprintln(path, code, word); !c.seen[key] {
					t.Errorf("never seen: %s", key)
				}
			}
		}
	}
}

// with asks with a header.
func with(h http.Handler, target, name, value string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header.Set(name, value)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// elsewhere is a castoff that is known by a name which nobody here asks by.
func elsewhere(v *status.View) http.Handler {
	return status.New(status.Options{View: func() *status.View { return v }, Metrics: http.NotFoundHandler(), Hosts: []string{"castoff.example.net"}})
}

// broken is the answer of a castoff with a bug.
func broken(target string) (w *httptest.ResponseRecorder) {
	w = httptest.NewRecorder()
	defer func() { _ = recover() }() // as the server does
	status.New(status.Options{View: func() *status.View { panic("a bug") }, Metrics: http.NotFoundHandler()}).
		ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w
}

// crowd asks while as many answers are being made as may be, for longer than
// anybody waits.
func crowd(t *testing.T, c *contract, questions map[string][]string) {
	t.Helper()
	v := sample(time.Now())
	gate := make(chan struct{})
	v.RuleOf = func(fleet.ServiceID) string {
		<-gate
		return "default"
	}
	h := handler(v)
	for range 64 {
		go get(h, "/api/v1/services")
	}
	synctest.Wait()
	for path, list := range questions {
		if path != "/api/v1/openapi.yaml" {
			c.check(t, path, get(h, address(path, list[0])))
		}
	}
	close(gate)
	synctest.Wait()
}

// The description is held to the letter: any answer with one member less, or with
// one that is not described, is found out.
func TestEveryMemberIsNeeded(t *testing.T) {
	c := newContract(t)
	synctest.Test(t, func(t *testing.T) {
		v := sample(time.Now())
		v.Usage = busy(time.Now()).Usage
		h, tried := handler(v), map[string]bool{}
		for path, list := range asked(v) {
			for _, question := range list {
				w := get(h, address(path, question))
				if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
					continue
				}
				schema := c.doc.Paths.Find(path).Get.Responses.Value("200").Value.Content.Get("application/json").Schema.Value
				var root any
				if err := json.Unmarshal(w.Body.Bytes(), &root); err != nil {
					t.Fatal(err)
				}
				eachObject(path, root, func(at string, object map[string]any) {
					for _, name := range append(slices.Sorted(maps.Keys(object)), "") {
						parts := strings.Split(at, ".") // what is below is the same wherever it is
						key := strings.Join(append(parts[max(0, len(parts)-2):], name), ".")
						if tried[key] {
							continue
						}
						tried[key] = true
						was, has := object[name]
						if delete(object, name); !has {
							object["unheard_of"] = 1
						}
						if err := schema.VisitJSON(root, openapi3.EnableJSONSchema2020()); err == nil {
							t.Errorf("%s: nobody notices that %q is gone, or, without a name, that there is another", at, name)
						}
						if delete(object, "unheard_of"); has {
							object[name] = was
						}
					}
				})
			}
		}
		if len(tried) < 250 {
			t.Errorf("%d members were tried", len(tried))
		}
	})
}

// eachObject calls for every object below a value, at its path without indices.
func eachObject(at string, v any, do func(at string, object map[string]any)) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			eachObject(at+"[]", one, do)
		}
	case map[string]any:
		do(at, v)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			eachObject(at+"."+name, v[name], do)
		}
	}
}

// What streams say is as it is described, too.
func TestEventsAreAsDescribed(t *testing.T) {
	c := newContract(t)
	schemas := map[string]string{"timeline": "TimelineEvent", "verdict": "Decided", "detachment": "Detachment", "pass": "PassEvent", "reset": "Empty", "beat": "Empty"}
	synctest.Test(t, func(t *testing.T) {
		events, h := eventful(time.Now())
		lost, l := listen(h, "old-1", nil), listen(h, "", nil)
		synctest.Wait()
		events.Publish(sample(time.Now()), time.Now())
		synctest.Wait()
		time.Sleep(11 * time.Second)
		heard := map[string]bool{}
		for _, m := range regexp.MustCompile(`event: (\w+)\n(?:id: (.*)\n)?data: (.*)\n\n`).FindAllStringSubmatch(lost.text()+l.text(), -1) {
			heard[m[1]] = true
			if schemas[m[1]] == "" {
				t.Errorf("%s is not described", m[1])
				continue
			}
			if !strings.Contains(c.doc.Paths.Find("/api/v1/events").Get.Description, "| `"+m[1]+"` | "+schemas[m[1]]+" |") {
				t.Errorf("%s is not described as a %s", m[1], schemas[m[1]])
			}
			for _, fault := range faults(c.doc.Components.Schemas[schemas[m[1]]].Value, []byte(m[3])) {
				t.Errorf("%s: %s\n%s", m[1], fault, m[3])
			}
		}
		for name := range schemas {
			if !heard[name] {
				t.Errorf("no %s was heard", name)
			}
		}
		lost.end()
		l.end()
	})
}

// An answer is the same until something changes, and says so.
func TestConditionalRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := sample(time.Now())
		v.Pauses = nil
		h := status.New(status.Options{View: func() *status.View { return v }, Metrics: http.NotFoundHandler()})
		pass := func(change func(*status.View)) {
			next := *v
			next.Pass.Number++
			change(&next)
			v = &next
		}
		strong := []string{"/api/v1/timelines", "/api/v1/timelines/" + closedID, "/api/v1/verdicts", "/api/v1/detachments", "/api/v1/openapi.yaml", "/style.css"}
		timed := []string{"/api/v1/status", "/api/v1/services", "/api/v1/tasks", "/api/v1/explain?of=10.0.17.201"}
		tags := map[string]string{}
		same := func(when string, want bool, paths ...string) {
			t.Helper()
			for _, path := range paths {
				w := with(h, path, "If-None-Match", `"other", `+tags[path])
				if tags[path] != "" && (w.Code == http.StatusNotModified) != want {
					t.Errorf("%s: %s with %s: %d", when, path, tags[path], w.Code)
				}
				head := ask(h, http.MethodHead, path)
				if tags[path] = w.Header().Get("ETag"); tags[path] == "" || head.Header().Get("ETag") != tags[path] {
					t.Errorf("%s: GET has the tag %q, HEAD %q", path, tags[path], head.Header().Get("ETag"))
				}
				if weak := strings.HasPrefix(tags[path], "W/"); weak != slices.Contains(timed, path) {
					t.Errorf("%s: %s", path, tags[path])
				}
				if with(h, path, "If-None-Match", "*").Code != http.StatusNotModified || with(h, path, "If-None-Match", `"x", y`).Code != http.StatusOK {
					t.Errorf("%s: * or another", path)
				}
			}
		}
		everything := slices.Concat(strong, timed)
		same("at first", false, everything...)
		same("again", true, everything...)
		time.Sleep(5 * time.Second)
		same("later", true, everything...)
		pass(func(*status.View) {})
		same("a pass without change", true, strong...)
		same("a pass without change", false, timed...)
		time.Sleep(time.Minute)
		same("no longer ready", false, timed...)
		same("no longer ready", true, timed...)
		pass(func(v *status.View) { v.Pauses = sample(time.Now()).Pauses })
		same("paused", false, timed...)
		time.Sleep(2 * time.Hour)
		same("the pause has ended", false, timed...)
		pass(func(v *status.View) {
			v.Closed = slices.Clone(v.Closed)
			closed := v.Closed[0].Clone()
			closed.Flaps++
			v.Closed[0] = closed
		})
		same("a timeline changed", false, "/api/v1/timelines", "/api/v1/timelines/"+closedID)
		same("a timeline changed", true, "/api/v1/verdicts", "/api/v1/openapi.yaml")
		for _, path := range []string{"/", "/services", "/timelines/" + closedID, "/healthz", "/api/v1/status?x=1", "/nowhere"} {
			if w := get(h, path); w.Header().Get("ETag") != "" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %v", path, w.Header())
			}
		}
	})
}

// Whoever looks at a page in one second sees the same one, and no old pass.
func TestPagesAreMadeOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := sample(time.Now())
		made := 0
		v.RuleOf = func(fleet.ServiceID) string { made++; return "default" }
		h := status.New(status.Options{View: func() *status.View { return v }, Metrics: http.NotFoundHandler()})
		once := len(v.Snapshot.Services)
		look := func(want int) []byte {
			t.Helper()
			body := get(h, "/services").Body.Bytes()
			if made != want*once {
				t.Errorf("made %d times, want %d", made/once, want)
			}
			return body
		}
		first := look(1)
		time.Sleep(900 * time.Millisecond)
		if !bytes.Equal(look(1), first) {
			t.Error("another page in the same second")
		}
		next := *v
		v = &next
		look(2)
		time.Sleep(time.Second)
		if bytes.Equal(look(3), first) {
			t.Error("the same page a second later")
		}
	})
}
