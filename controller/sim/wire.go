package sim

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxRequest is more than any request that castoff makes.
const maxRequest = 1 << 20

// Service names as faults and limits know them.
const (
	ECS   = "ecs"
	ELBv2 = "elasticloadbalancing"
	STS   = "sts"
	EC2   = "ec2"
)

// call is one request, read but not carried out.
type call struct {
	service   string
	operation string
	body      []byte     // JSON of ECS
	form      url.Values // of the query protocols
	id        string
	userAgent string
}

// text is what a fault looks for its resource in.
func (c *call) text() string {
	if c.service == ECS {
		return string(c.body)
	}
	var b strings.Builder
	for _, values := range c.form {
		for _, v := range values {
			b.WriteString(v)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// reply is what goes back.
type reply struct {
	status  int
	content string
	body    []byte
}

// apiError is an error as AWS gives it: a code, a sentence and an HTTP status.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// invalid is a 400 of some code.
func invalid(code, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// ServeHTTP answers AWS API requests: ECS's JSON 1.1 and the query protocols of
// ELBv2, EC2 and STS, told apart as AWS's own endpoints are by what is asked.
func (r *Region) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	c, err := r.read(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !sleep(req, r.latency/2) {
		return
	}
	effect, delay, refused := r.admit(c)
	switch effect {
	case LoseRequest:
		panic(http.ErrAbortHandler) // net/http cuts the connection
	case Stall:
		<-req.Context().Done()
		panic(http.ErrAbortHandler)
	case Delay:
		if !sleep(req, delay) {
			return
		}
	}
	var rep reply
	if refused != nil {
		rep = c.fail(refused)
	} else {
		rep = r.answer(c, effect)
	}
	if effect == LoseReply {
		panic(http.ErrAbortHandler)
	}
	rest := r.latency - r.latency/2
	if effect == DelayReply {
		rest += delay
	}
	if !sleep(req, rest) {
		return
	}
	h := w.Header()
	h.Set("Content-Type", rep.content)
	h.Set("X-Amzn-Requestid", c.id)
	h.Set("Content-Length", strconv.Itoa(len(rep.body)))
	w.WriteHeader(rep.status)
	_, _ = w.Write(rep.body) // the client went away: nobody to tell
}

// read takes a request in.
func (r *Region) read(req *http.Request) (*call, error) {
	var b bytes.Buffer
	if n := req.ContentLength; n > 0 && n <= maxRequest {
		b.Grow(int(n) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(http.MaxBytesReader(nil, req.Body, maxRequest)); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	c := &call{service: ECS, body: b.Bytes(), userAgent: req.UserAgent()}
	if target := req.Header.Get("X-Amz-Target"); target != "" {
		c.operation = strings.TrimPrefix(target, "AmazonEC2ContainerServiceV20141113.")
		return c, nil
	}
	var err error
	if c.form, err = url.ParseQuery(b.String()); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	c.operation = c.form.Get("Action")
	switch c.form.Get("Version") {
	case "2015-12-01":
		c.service = ELBv2
	case "2011-06-15":
		c.service = STS
	case "2016-11-15":
		c.service = EC2
	default:
		return nil, fmt.Errorf("neither an ECS request (no X-Amz-Target) nor a query of a known version (%q)", c.form.Get("Version"))
	}
	return c, nil
}

// admit finds the fault that is set for a request, and what it is refused for
// before it is even looked at.
func (r *Region) admit(c *call) (effect Effect, delay time.Duration, refused *apiError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	r.requests++
	c.id = requestID(r.requests)
	effect, delay = r.faults.match(c, r.now, r.replies.rng)
	throttled := r.throttle.refuses(c, r.now)
	switch {
	case effect.refuses():
		refused = effect.refusal(c)
	case throttled:
		refused = Throttle.refusal(c)
	}
	return effect, delay, refused
}

// answer carries a request out, and spoils the reply if it is to be.
func (r *Region) answer(c *call, effect Effect) reply {
	var rep reply
	switch c.service {
	case ECS:
		rep = r.ecs(c)
	case ELBv2:
		rep = r.elb(c)
	case EC2:
		rep = r.ec2(c)
	default:
		rep = r.sts(c)
	}
	switch effect {
	case Garbage:
		rep.body = []byte("<html><body>It works!</body>")
	case Truncate:
		rep.body = rep.body[:len(rep.body)/2]
	}
	return rep
}

// fail makes the error reply of the service's protocol.
func (c *call) fail(e *apiError) reply {
	switch c.service {
	case ECS:
		return ecsError(e)
	case EC2:
		return ec2Error(c, e)
	}
	return queryError(c, e)
}

func requestID(n uint64) string {
	b := append(make([]byte, 0, 40), "00000000-0000-4000-8000-"...)
	for least := uint64(100_000_000_000); n < least && least > 1; least /= 10 {
		b = append(b, '0')
	}
	return string(strconv.AppendUint(b, n, 10))
}

// sleep waits in the bubble's or the real time; false when the client has gone.
func sleep(req *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-req.Context().Done():
		return false
	}
}

// Doer sends requests to a region without a network, as an HTTP client would:
// it fits aws.Config.HTTPClient.
type Doer struct{ Region *Region }

// Do answers a request. Its errors are those of a connection: cancelled, timed
// out, or cut.
func (d Doer) Do(req *http.Request) (rep *http.Response, err error) {
	if err := req.Context().Err(); err != nil {
		return nil, &url.Error{Op: req.Method, URL: req.URL.String(), Err: err}
	}
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	defer func() {
		switch p := recover(); p {
		case nil:
			if cause := req.Context().Err(); cause != nil {
				rep, err = nil, &url.Error{Op: req.Method, URL: req.URL.String(), Err: cause}
			}
		case http.ErrAbortHandler:
			var cause error = syscall.ECONNRESET
			if ctx := req.Context().Err(); ctx != nil {
				cause = ctx
			}
			rep, err = nil, &url.Error{Op: req.Method, URL: req.URL.String(), Err: cause}
		default:
			panic(p)
		}
	}()
	if req.Body == nil {
		req.Body = http.NoBody
	}
	d.Region.ServeHTTP(w, req)
	_ = req.Body.Close() // nothing can fail: it has been read
	return &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.header, Request: req,
		Body: io.NopCloser(bytes.NewReader(w.body)), ContentLength: int64(len(w.body)),
	}, nil
}

// recorder keeps a reply for Doer. Its body is written at once, in [Region.ServeHTTP]
// or by http.Error, by whoever has no more use for it.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (w *recorder) Header() http.Header    { return w.header }
func (w *recorder) WriteHeader(status int) { w.status = status }

func (w *recorder) Write(b []byte) (int, error) {
	if w.body != nil {
		panic("a reply in parts")
	}
	w.body = b
	return len(b), nil
}
