package awsapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// An instant that is none ends nothing: the SDK panics on some of them. What cannot be
// read is a gap, what was known stays, and it is read again when the reply is whole.
func TestInstantsThatAreNone(t *testing.T) {
	for _, in := range []struct {
		value  any
		unread bool // the reply is none; else the instant alone is left out
	}{
		{"NaN", true},
		{"nan", true},
		{json.RawMessage(`"Infinity"`), false},
		{"-Infinity", false},
		{"yesterday", true},
		{map[string]any{}, true},
		{[]any{}, true},
		{true, true},
		{json.RawMessage("1e308"), false},
		{json.RawMessage("-1e308"), false},
		{json.RawMessage("1e999"), true},
		{-5, false},
		{nil, false},
	} {
		t.Run(fmt.Sprint(in.value), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 2)
				c := f.clusters[0]
				rec := newRecorder()
				o := observer(t, Options{Config: f.config(), Budgets: unlimited, Recorder: rec})
				pass(t, o, 0)
				c.tasks[1].extra = map[string]any{"startedAt": in.value}
				c.services[0].extra = map[string]any{"deployments": []any{map[string]any{
					"id": "ecs-svc/1", "status": "PRIMARY", "taskDefinition": ecsARN("task-definition/x:1"), "createdAt": in.value,
				}}}
				var s *fleet.Snapshot
				for range 15 {
					s = pass(t, o, 5*time.Second)
				}
				if len(s.Tasks) != 2 || len(s.Services) != 1 || s.Task(c.taskARN(c.tasks[1].id)).Health != fleet.Healthy {
					t.Errorf("%d tasks, %d services", len(s.Tasks), len(s.Services))
				}
				var want []string
				if in.unread {
					want = []string{"service invalid s0000", "tasks invalid c00"}
				}
				if got := gapsOf(s); !reflect.DeepEqual(got, want) {
					t.Errorf("gaps %v, want %q", s.Gaps, want)
				}
				if in.value == "NaN" && !strings.Contains(fmt.Sprint(s.Gaps), "panicked: NewFloat(NaN)") {
					t.Errorf("gaps %v do not say what happened", s.Gaps)
				}
				if in.unread && rec.requests["ecs DescribeTasks invalid"] == 0 {
					t.Errorf("not counted: %v", rec.requests)
				}
				c.tasks[1].extra, c.services[0].extra = nil, nil
				for range 15 {
					s = pass(t, o, 5*time.Second)
				}
				if len(s.Gaps) > 0 {
					t.Errorf("still %v", s.Gaps)
				}
			})
		})
	}
}

// What does not come from AWS is said to be that, with its status and how it begins.
func TestRepliesThatAreNotAWSs(t *testing.T) {
	page := "<html>\n<head><title>503\tbusy</title></head>" + strings.Repeat("<p>", 100)
	for _, in := range []struct {
		status    int
		body      string
		class     fleet.Class
		json, xml string // the detail, of an operation of ECS and one of ELBv2
	}{
		{status: 503, body: page, class: fleet.Transient,
			json: `HTTP 503 with "<html> <head><title>503 busy</title></head><p><p><p><p><p><p><p><p><p><p><p><p><"…, not an AWS reply`},
		{status: 503, body: "", class: fleet.Transient, json: `HTTP 503 with an empty body, not an AWS reply`},
		{status: 429, body: "slow down", class: fleet.Throttled, json: `HTTP 429 with "slow down", not an AWS reply`},
		{status: 403, body: `{"Message":"not authorized"}`, class: fleet.Denied, json: `HTTP 403 with "{\"Message\":\"not authorized\"}", not an AWS reply`},
		{status: 401, body: "who?", class: fleet.Denied, json: `HTTP 401 with "who?", not an AWS reply`},
		{status: 407, body: "\x00\x1b[31mred\xff", class: fleet.Invalid, json: `HTTP 407 with "\x00\x1b[31mred?", not an AWS reply`},
		{status: 302, body: "", class: fleet.Invalid, json: `HTTP 302 with an empty body, not an AWS reply`},
		{status: 404, body: "[]", class: fleet.Invalid, json: `HTTP 404 with "[]", not an AWS reply`},
		{status: 200, body: "<html>log in</html>", class: fleet.Invalid,
			json: `the reply is none of AWS's: it is not a JSON object, but HTTP 200 with "<html>log in</html>"`,
			xml:  `the reply is none of AWS's: it is not a DescribeTargetHealthResponse, but HTTP 200 with "<html>log in</html>"`},
		{status: 200, body: "", class: fleet.Invalid,
			json: `the reply is none of AWS's: it is not a JSON object, but HTTP 200 with an empty body`,
			xml:  `the reply is none of AWS's: it is not a DescribeTargetHealthResponse, but HTTP 200 with an empty body`},
	} {
		t.Run(fmt.Sprintf("%d %.10q", in.status, in.body), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 1)
				f.fault = func(c fakeCall) *fakeReply {
					if c.op == "DescribeTargetHealth" || c.op == "DescribeTasks" {
						return &fakeReply{status: in.status, body: in.body}
					}
					return nil
				}
				s := observer(t, Options{Config: f.config(), Budgets: unlimited}).Observe(t.Context(), nil)
				if in.xml == "" {
					in.xml = in.json
				}
				for kind, want := range map[fleet.GapKind]string{
					fleet.GapTasks: "DescribeTasks of 1 tasks of c00: " + in.json, fleet.GapTargetHealth: "DescribeTargetHealth of c00-s0000: " + in.xml,
				} {
					g, ok := gapOf(s, kind)
					if !ok || g.Class != in.class || g.Detail != want {
						t.Errorf("gap %+v\nwant class %s, detail %s", g, in.class, want)
					}
				}
			})
		})
	}
}

func gapOf(s *fleet.Snapshot, kind fleet.GapKind) (fleet.Gap, bool) {
	for _, g := range s.Gaps {
		if g.Kind == kind {
			return g, true
		}
	}
	return fleet.Gap{}, false
}

// Before castoff starts the same is said, with who answered and what to look at.
func TestPreflightMeetsAProxy(t *testing.T) {
	for _, reply := range []*fakeReply{
		{status: 503, body: "<html>busy</html>"}, {status: 403, body: "<html>busy</html>"}, {status: 302, body: "<html>busy</html>"}, {status: 200, body: "<html>busy</html>"},
	} {
		f := newFake(1, 1, 1)
		f.fault = func(fakeCall) *fakeReply { return reply }
		err := observer(t, Options{Config: f.config()}).Preflight(t.Context())
		for _, want := range []string{"ecs:ListClusters in eu-central-1: aws.invalid answers: ", fmt.Sprintf("HTTP %d with \"<html>busy</html>\"", reply.status), "HTTPS_PROXY"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v\nhas no %s", err, want)
			}
		}
	}
}

// However large a reply says that it is, or becomes when it is unpacked, castoff reads
// no more than AWS could send, and says so.
func TestSafetyBombs(t *testing.T) {
	fill := func(start, again string, size int) []byte {
		text := bytes.Repeat([]byte(again), size/len(again))
		return append([]byte(start), text...)
	}
	const large = 64 << 20
	for _, in := range []struct {
		name string
		text []byte
		want string
	}{
		{"objects", fill(`{"tasks":[{}`, `,{}`, large), "longer than 4096 kB"},
		{"a string", fill(`{"tasks":[{"group":"`, `service:`, large), "longer than 4096 kB"},
		{"few bytes", fill(`{"tasks":[{}`, `,{}`, 3<<20), "more in it than AWS can have"},
		{"few tasks", fill(`{"tasks":[{"containers":[{}`, `,{}`, 3<<20), "more in it than AWS can have"},
		{"numbers", fill(`{"tasks":[{"x":[1`, `,1`, 4<<20-100), "more in it than AWS can have"},
		{"depth", fill(`{"tasks":`, `[`, 20_000), "nested more than 32 deep"},
	} {
		t.Run(in.name, func(t *testing.T) {
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			_, _ = w.Write(in.text)
			_ = w.Close()
			f := newFake(1, 1, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DescribeTasks") {
					w.Header().Set("Content-Encoding", "gzip")
					_, _ = w.Write(packed.Bytes())
					return
				}
				reply, err := f.Do(r)
				if err != nil {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(reply.StatusCode)
				_, _ = io.Copy(w, reply.Body)
			}))
			defer server.Close()
			cfg := f.config()
			cfg.HTTPClient, cfg.BaseEndpoint = nil, aws.String(server.URL)
			o := observer(t, Options{Config: cfg, Budgets: unlimited})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s := o.Observe(t.Context(), nil)
			runtime.ReadMemStats(&after)
			if g, _ := gapOf(s, fleet.GapTasks); g.Class != fleet.Invalid || !strings.Contains(g.Detail, in.want) {
				t.Errorf("gap %+v, want %q", g, in.want)
			}
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 48 {
				t.Errorf("%d kB took %d MB", packed.Len()>>10, took)
			}
		})
	}
}

func TestMeasure(t *testing.T) {
	for _, in := range []struct {
		text  string
		parts int
		bad   string
	}{
		{`{"a":[{"b":"}]{[,\"","c\\":[]},{}]}`, 5, ""},
		{`{"a":[` + strings.Repeat(`"x",`, mostListed-2) + `"x"]}`, 2, ""},
		{`{"a":[` + strings.Repeat(`"x",`, mostListed) + `"x"]}`, 2, "more in it"},
		{`{"a":[` + strings.Repeat(`"x",`, mostListed-2) + `"x"],"b":[` + strings.Repeat(`"x",`, mostListed-2) + `"x"]}`, 3, ""},
		{strings.Repeat("[", mostDepth) + strings.Repeat("]", mostDepth), mostDepth, ""},
		{strings.Repeat("[", mostDepth+1), mostDepth + 1, "nested"},
		{`{"cut":"of`, 1, ""},
		{`{"cut\`, 1, ""},
		{`<?xml version="1.0"?><a x="y"><b/><c>text</c></a>`, 3, ""},
		{"<a>" + strings.Repeat("<b/>", 1000) + "</a>", 1001, "more in it"},
		{strings.Repeat("<a>", mostDepth+1), mostDepth + 1, "nested"},
		{"<a " + strings.Repeat(`b="" `, 1000) + ">", 0, "a tag"},
		{"<a><b", 1, ""},
	} {
		parts, err := measure([]byte(in.text), 1000)
		if parts != in.parts || (err != nil) != (in.bad != "") || err != nil && !strings.Contains(err.Error(), in.bad) {
			t.Errorf("%.40s: %d parts, %v; want %d, %q", in.text, parts, err, in.parts, in.bad)
		}
	}
}

// A request's body is one that net/http knows to be in memory; the signature, the
// length and what the request says stay what they are.
func TestRequestBodiesAreInMemory(t *testing.T) {
	f := newFake(1, 1, 1)
	client := &bodies{fake: f}
	cfg := f.config()
	cfg.HTTPClient = client
	s := observer(t, Options{Config: cfg}).Observe(t.Context(), nil)
	if len(s.Gaps) > 0 || len(client.wrong) > 0 || client.n == 0 {
		t.Errorf("%d requests, gaps %v, %q", client.n, s.Gaps, client.wrong)
	}
}

type bodies struct {
	*fake
	n     int
	wrong []string
}

func (b *bodies) Do(req *http.Request) (*http.Response, error) {
	b.mu.Lock()
	b.n++
	known := reflect.TypeOf(io.NopCloser(bytes.NewReader(nil)))
	if reflect.TypeOf(req.Body) != known {
		b.wrong = append(b.wrong, fmt.Sprintf("a body of type %T", req.Body))
	}
	again, err := req.GetBody()
	text, err2 := io.ReadAll(again)
	if err = errors.Join(err, err2); err != nil || int64(len(text)) != req.ContentLength || len(text) == 0 || req.Header.Get("Authorization") == "" {
		b.wrong = append(b.wrong, fmt.Sprintf("%d bytes of %d, %v", len(text), req.ContentLength, err))
	}
	b.mu.Unlock()
	return b.fake.Do(req)
}

// A connection that net/http dropped under the request is tried once more at once.
func TestDroppedConnectionIsTriedAgain(t *testing.T) {
	f := newFake(1, 1, 1)
	dropped := map[string]bool{}
	f.fault = func(c fakeCall) *fakeReply {
		if dropped[c.op] {
			return nil
		}
		dropped[c.op] = true
		return &fakeReply{err: &net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed}}
	}
	if s := observer(t, Options{Config: f.config(), Budgets: unlimited}).Observe(t.Context(), nil); len(s.Gaps) > 0 || len(dropped) < 8 {
		t.Errorf("%d operations, gaps %v", len(dropped), s.Gaps)
	}
}

// A reply on which castoff's own code panics, at work on it or taking it in, is one that
// could not be read; what else was read is taken in.
func TestPanicsAreUnreadReplies(t *testing.T) {
	const calls = 20
	var got [calls]string
	all := make([]int, calls)
	for i := range all {
		all[i] = i
	}
	settle(t.Context(), all, func(ctx context.Context, i int) func() {
		_, _, err := ask(ctx, func(context.Context, *int, ...func(*int)) (*int, error) { return nil, nil }, nil)
		if err == nil && i%5 == 1 {
			panic("at work")
		}
		return func() {
			if err != nil {
				got[i] = string(Classify(err)) + " " + explain(err)
				return
			}
			if i%5 == 2 {
				_ = got[i+calls]
			}
			got[i] = "read"
		}
	})
	for i, said := range got {
		want := "read"
		switch i % 5 {
		case 1:
			want = "invalid the reply is none of AWS's: reading it panicked: at work (reply_test.go:"
		case 2:
			want = fmt.Sprintf("invalid the reply is none of AWS's: reading it panicked: runtime error: index out of range [%d] with length 20 (reply_test.go:", i+calls)
		}
		if !strings.HasPrefix(said, want) {
			t.Errorf("call %d: %s", i, said)
		}
	}
}
