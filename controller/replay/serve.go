package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// latency is how long a reply takes: long enough that a reading has two bounds.
const latency = time.Millisecond

// maxRequest is more than any request that castoff makes.
const maxRequest = 1 << 20

// reply is what goes back.
type reply struct {
	status int
	header map[string]string
	body   []byte
}

// request is one of AWS's, whichever its protocol.
type request struct {
	op   string
	ecs  ecsRequest // of JSON
	form url.Values // of the query protocols; nil for ECS
	text string     // the body
}

// readRequest finds the operation of an AWS request, and its body.
func readRequest(req *http.Request) (request, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(req.Body, maxRequest)); err != nil {
			return request{}, err
		}
		_ = req.Body.Close() // it has been read
	}
	q := request{text: string(body)}
	if _, op, ok := strings.Cut(req.Header.Get("X-Amz-Target"), "."); ok {
		q.op = op
		return q, nil
	}
	form, err := url.ParseQuery(q.text)
	if err != nil || form.Get("Action") == "" {
		return request{}, fmt.Errorf("%s %s is no request of ECS (no X-Amz-Target) nor of a query protocol (no Action)", req.Method, req.URL)
	}
	q.op, q.form = form.Get("Action"), form
	return q, nil
}

// Do answers a request, as an HTTP client would: it fits aws.Config.HTTPClient.
func (w *World) Do(req *http.Request) (*http.Response, error) {
	q, err := readRequest(req)
	if err != nil {
		return nil, err
	}
	if err := pause(req, latency/2); err != nil {
		return nil, err
	}
	rep := w.answer(&q)
	if err := pause(req, latency-latency/2); err != nil {
		return nil, err
	}
	return rep.response(req), nil
}

// pause waits, unless nobody waits for the reply any more.
func pause(req *http.Request, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-req.Context().Done():
		return &url.Error{Op: req.Method, URL: req.URL.String(), Err: req.Context().Err()}
	}
}

func (r reply) response(req *http.Request) *http.Response {
	header := http.Header{}
	for name, value := range r.header {
		header.Set(name, value)
	}
	return &http.Response{
		Status: strconv.Itoa(r.status) + " " + http.StatusText(r.status), StatusCode: r.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Request: req,
		Body: io.NopCloser(bytes.NewReader(r.body)), ContentLength: int64(len(r.body)),
	}
}

// answer carries a request out.
func (w *World) answer(q *request) reply {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	rep, refused := w.refusal(q)
	if !refused {
		switch {
		case q.form == nil:
			rep = w.ecs(q)
		case q.form.Get("Version") == "2011-06-15":
			rep = w.sts(q)
		default:
			rep = w.elb(q)
		}
	}
	if rep.header["X-Amzn-Requestid"] == "" {
		rep.header = maps.Clone(rep.header)
		rep.header["X-Amzn-Requestid"] = w.id()
	}
	if q.op == registerTargets || q.op == deregisterTargets {
		call := Call{At: time.Now(), Op: q.op, Group: groupName(q.form.Get("TargetGroupArn")), Status: rep.status}
		for _, t := range targetsOf(q.form) {
			call.Targets = append(call.Targets, t.id+":"+t.port)
		}
		slices.Sort(call.Targets)
		w.calls = append(w.calls, call)
	} else {
		w.reads[q.op]++
	}
	return rep
}

func (w *World) id() string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", w.requests) }

// refusal is what the document says under errors about the operation: a status,
// headers and a body; of those that have a text under where, for requests with that
// text in them.
func (w *World) refusal(q *request) (reply, bool) {
	all, _ := w.document["errors"].([]any)
	for _, e := range all {
		e, _ := e.(map[string]any)
		if where, _ := e["where"].(string); e["op"] != q.op || !strings.Contains(q.text, where) {
			continue
		}
		status, err := strconv.Atoi(fmt.Sprint(e["status"]))
		if err != nil {
			status = http.StatusInternalServerError
		}
		rep := reply{status: status, header: map[string]string{}}
		headers, _ := e["headers"].(map[string]any)
		for name, value := range headers {
			rep.header[name] = fmt.Sprint(value)
		}
		switch body := e["body"].(type) {
		case string:
			rep.body = []byte(body)
		case nil:
		default:
			rep.body, _ = json.Marshal(body) // it came from JSON
		}
		return rep, true
	}
	return reply{}, false
}

// objects are the objects of a list of the document.
func (w *World) objects(section string) []map[string]any {
	all, _ := w.document[section].([]any)
	var found []map[string]any
	for _, o := range all {
		if o, ok := o.(map[string]any); ok {
			found = append(found, o)
		}
	}
	return found
}

// text is a member of an object that is a text; empty when it is not.
func text(object map[string]any, name string) string {
	s, _ := object[name].(string)
	return s
}

func lastSegment(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
