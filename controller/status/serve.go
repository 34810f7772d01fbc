package status

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// request is what a route is asked, its parameters known to it and each given
// once.
type request struct {
	id     string            // of the path; empty where it has none
	values map[string]string // an empty value is as good as none
	now    time.Time
}

// given are the values as they were given, those that are empty included.
func (q *request) given() url.Values {
	given := make(url.Values, len(q.values))
	for name, value := range q.values {
		given.Set(name, value)
	}
	return given
}

// route is one address that answers from a View.
type route struct {
	path        string
	takes       []string // parameters
	contentType string
	// lasts is for how long an answer made from a View may be given again while
	// there is no later one: see shelf. Zero: it is made for each reader.
	lasts time.Duration
	// validator says how a reader may ask whether what it has is still true.
	validator validator
	answer    func(*View, request) ([]byte, error)
}

// validator is what the ETag of an answer is made of.
type validator int

const (
	// noValidator is for pages: the times in them run on, so that no two are the
	// same, and a browser that kept one would show an old calm as if it were now.
	noValidator validator = iota
	// byContent is strong: the same bytes.
	byContent
	// byPass is weak, for answers that tell the time and ages: nothing else in
	// them has changed. They change with each pass, with what being ready means,
	// and with pauses that end.
	byPass
)

// forever is until there is a later View.
const forever = 365 * 24 * time.Hour

// problem is an error that the API has a code for.
type problem struct {
	code    problemCode
	message string
}

func (p *problem) Error() string { return p.message }

// problemCode names an error for programs: it stays the same when the message
// gets better.
type problemCode string

// The codes, with the HTTP status of each.
const (
	invalidQuery       problemCode = "invalid_query"
	invalidLastEventID problemCode = "invalid_last_event_id"
	notFound           problemCode = "not_found"
	methodNotAllowed   problemCode = "method_not_allowed"
	ambiguous          problemCode = "ambiguous"
	uriTooLong         problemCode = "uri_too_long"
	headersTooLarge    problemCode = "headers_too_large"
	unknownHost        problemCode = "unknown_host"
	internal           problemCode = "internal"
	noPassYet          problemCode = "no_pass_yet"
	tooManyStreams     problemCode = "too_many_streams"
	noEvents           problemCode = "no_events"
	busy               problemCode = "busy"
)

var statusOf = map[problemCode]int{
	invalidQuery: http.StatusBadRequest, invalidLastEventID: http.StatusBadRequest,
	notFound: http.StatusNotFound, methodNotAllowed: http.StatusMethodNotAllowed, ambiguous: http.StatusConflict,
	uriTooLong: http.StatusRequestURITooLong, headersTooLarge: http.StatusRequestHeaderFieldsTooLarge,
	unknownHost: http.StatusMisdirectedRequest,
	internal:    http.StatusInternalServerError,
	noPassYet:   http.StatusServiceUnavailable, tooManyStreams: http.StatusServiceUnavailable,
	noEvents: http.StatusServiceUnavailable, busy: http.StatusServiceUnavailable,
}

// retryAfter is in seconds, for what passes by itself.
var retryAfter = map[problemCode]int{noPassYet: 5, tooManyStreams: 60, busy: 5}

// serve answers a route.
func (s *server) serve(rt *route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		values, err := parseValues(r.URL.RawQuery, rt.takes)
		if err != nil {
			refuse(w, r, err)
			return
		}
		v, q := s.view(), request{id: r.PathValue("id"), values: values, now: time.Now()}
		tag := ""
		if rt.validator == byPass {
			if tag = v.tag(q.now); matches(r, tag) {
				unchanged(w, tag)
				return
			}
		}
		m, err := s.shelf.take(r.Context(), v, r.URL.Path+"?"+q.given().Encode(), rt, q)
		if err != nil {
			refuse(w, r, err)
			return
		}
		defer s.shelf.put(m)
		if rt.validator == byContent {
			if tag = m.tag; matches(r, tag) {
				unchanged(w, tag)
				return
			}
		}
		validated(w, tag)
		write(w, r, http.StatusOK, rt.contentType, m.body)
	}
}

// tag is the weak validator of what this View answers at an instant. A View is
// immutable, so that the pass says all that is in it; the rest is what the time
// makes of it.
func (v *View) tag(now time.Time) string {
	ready, _ := v.ready(now)
	return fmt.Sprintf(`W/"%s-%d-%t-%d"`, strconv.FormatInt(v.Started.UnixMilli(), 36), v.Pass.Number, ready, len(v.pauses(now)))
}

// contentTag is the strong validator of a body.
func contentTag(body []byte) string {
	sum := sha256.Sum256(body)
	return fmt.Sprintf(`"%x"`, sum[:16])
}

// matches reports that the reader has what the tag stands for, by the weak
// comparison of https://www.rfc-editor.org/rfc/rfc9110#field.if-none-match.
func matches(r *http.Request, tag string) bool {
	if tag == "" {
		return false
	}
	for _, list := range r.Header.Values("If-None-Match") {
		for one := range strings.SplitSeq(list, ",") { // no tag of castoff's has a comma
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(tag, "W/") {
				return true
			}
		}
	}
	return false
}

// validated lets a reader keep the answer, and has it ask each time whether that
// is still true.
func validated(w http.ResponseWriter, tag string) {
	if tag == "" {
		return
	}
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "private, no-cache")
}

func unchanged(w http.ResponseWriter, tag string) {
	validated(w, tag)
	w.WriteHeader(http.StatusNotModified)
}

// refuse answers an error in the form that the path's readers expect. What is
// no problem is a mistake in the query.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := &problem{}
	if !errors.As(err, &p) {
		p = &problem{invalidQuery, err.Error()}
	}
	h, code := w.Header(), statusOf[p.code]
	h.Set("Cache-Control", "no-store")
	if after := retryAfter[p.code]; after > 0 {
		h.Set("Retry-After", strconv.Itoa(after))
	}
	if p.code == methodNotAllowed {
		h.Set("Allow", "GET, HEAD")
	}
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/api/"):
		write(w, r, code, jsonType, encode(wireError{Error: wireProblem{Code: p.code, Message: p.message}}))
	case path == "/metrics", path == "/healthz", path == "/readyz":
		write(w, r, code, textType, []byte(p.message+"\n"))
	default:
		write(w, r, code, pageType, mustRender("problem", problemPage{Title: http.StatusText(code), Message: sentence(p.message)}))
	}
}

// sentence is a message as a page says it: with a capital, unless it begins with
// the name of a parameter, which is as it is in the address.
func sentence(message string) string {
	if first, _, _ := strings.Cut(message, " "); strings.HasSuffix(first, ":") {
		return message
	}
	return capital(message)
}

const (
	jsonType = "application/json"
	textType = "text/plain; charset=utf-8"
	pageType = "text/html; charset=utf-8"
)

// write sends a whole body, so that a failure while making it never leaves
// half a page, and HEAD knows its length.
func write(w http.ResponseWriter, r *http.Request, code int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	if r.Method == http.MethodHead {
		return
	}
	_, _ = bytes.NewReader(body).WriteTo(w) // a reader that went away is no news
}

// encode panics on what cannot be encoded: the wire types hold nothing such, so
// that it is a bug of ours.
func encode(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("encode %T: %w", v, err))
	}
	return append(body, '\n')
}

// How long a request may be. Go's server refuses by itself, in plain text, what
// is longer than it may read at all.
const (
	uriMost     = 8 << 10
	headersMost = 16 << 10
)

// bounded refuses requests that nobody who means well makes, and those that
// could mean a change.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size := 0
		for name, values := range r.Header {
			for _, value := range values {
				size += len(name) + len(value)
			}
		}
		switch {
		case len(r.RequestURI) > uriMost:
			refuse(w, r, &problem{uriTooLong, fmt.Sprintf("the address has %d bytes, and castoff reads up to %d", len(r.RequestURI), uriMost)})
		case size > headersMost:
			refuse(w, r, &problem{headersTooLarge, fmt.Sprintf("the headers have %d bytes, and castoff reads up to %d", size, headersMost)})
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			refuse(w, r, &problem{methodNotAllowed, "castoff's pages and API are read-only: GET and HEAD are allowed"})
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// paced lets readers have so many answers a second, made before or not: also what
// only has to be sent takes time from the passes. Who asks whether castoff lives,
// and metrics, do not wait, and a stream is asked for once.
func paced(next http.Handler, perSecond int, queue *shelf) http.Handler {
	if perSecond <= 0 {
		return next
	}
	limiter := rate.NewLimiter(rate.Limit(perSecond), perSecond)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz", "/readyz", "/metrics", "/api/v1/events":
		default:
			if err := queue.turn(r.Context(), limiter); err != nil {
				refuse(w, r, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// frank says that castoff is at fault when it is. The panic goes on: the server
// logs it, and ends the connection.
func frank(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := &tracked{ResponseWriter: w}
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if !t.begun {
				refuse(w, r, &problem{internal, "castoff has failed to answer this, which is a bug of its own: its log says more"})
				_ = http.NewResponseController(w).Flush()
			}
			panic(p)
		}()
		next.ServeHTTP(t, r)
	})
}

// tracked knows whether an answer has begun.
type tracked struct {
	http.ResponseWriter
	begun bool
}

func (t *tracked) WriteHeader(code int) {
	t.begun = true
	t.ResponseWriter.WriteHeader(code)
}

func (t *tracked) Write(b []byte) (int, error) {
	t.begun = true
	return t.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (t *tracked) Unwrap() http.ResponseWriter { return t.ResponseWriter }
