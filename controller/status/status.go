// Package status serves what people and machines read of castoff: pages, JSON,
// metrics and health. It never changes anything: every method but GET and HEAD
// is refused.
//
// Everything shown comes from one [View], made by the controller after each
// pass; a request reads it once, so that no answer mixes two passes.
package status

import (
	"embed"
	"net/http"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// View is what castoff knows after a pass. It is immutable: the controller
// makes a new one after each pass.
type View struct {
	Version string
	Started time.Time // of the daemon
	// Notice is a sentence that belongs above everything shown, such as that the
	// region is simulated; usually empty.
	Notice string
	// Snapshot is nil before the first pass has ended.
	Snapshot *fleet.Snapshot
	Open     []*timeline.Timeline
	Closed   []*timeline.Timeline // newest first

	// Verdicts has the last one about every failing target, and about every
	// target that castoff took out and whose task is healthy.
	Verdicts []policy.Verdict
	// Detachments are the open ones, then those that ended, newest first.
	Detachments []policy.Detachment
	// Modes are those of the Snapshot's services, by [policy.ModeOf]; one that
	// is not there observes.
	Modes map[fleet.ServiceID]policy.Mode
	// Pauses are the configuration's and those of tags; those that have ended
	// are not shown.
	Pauses  []policy.Pause
	Halts   []policy.Halt
	Latches []policy.Latch
	// Watches are what the guards have counted of each task, for since when it
	// fails.
	Watches []policy.Watch

	// LimitsOf answers the limits in force for a service, and RuleOf which part
	// of the configuration gave them: the path of a rule, or default. Either may be
	// nil: then nothing is said of limits.
	LimitsOf func(fleet.ServiceID) policy.Limits
	RuleOf   func(fleet.ServiceID) string
	// Base are the limits of the configuration for a service that no rule names.
	Base policy.Limits
	// Usage is how near the limits are.
	Usage []policy.Use
	// Began is when the startup window began; zero before the first pass.
	Began time.Time
	// Configuration is what is in force, for people, without secrets; empty when
	// it is not known.
	Configuration string
	// State is where the journal is; empty when it is in memory.
	State string

	// Receivers are those who are told what happens.
	Receivers []notify.Standing

	// Calls are castoff's calls to AWS until the pass, and CallsBefore until an
	// earlier one, a few minutes ago, for how many there are now.
	Calls, CallsBefore Calls
	// Flow has how the verdicts about each task's targets changed, oldest first:
	// those that differ from the one before, of their findings those that do not
	// allow and those that have just begun to. Of an allow it has all.
	Flow map[fleet.TaskARN][]policy.Verdict

	Pass Pass
	// Passes are the last ones, Pass included, newest first.
	Passes []Pass
	// LastFull is when a full pass last succeeded; zero when none has.
	LastFull time.Time
	// ReadyWithin is how old LastFull may be for castoff to call itself ready.
	ReadyWithin time.Duration
}

// Pass is the last turn of the loop.
type Pass struct {
	Number   int
	At       time.Time // its end
	Duration time.Duration
	Result   string // ok, partial, failed or panic; empty before the first
}

// Calls are castoff's calls to AWS since it started.
type Calls struct {
	At         time.Time // zero: not known
	Budgets    []Budget
	Operations []Operation
}

// Budget is what castoff allows itself of one of AWS's token buckets.
type Budget struct {
	Bucket    string
	PerSecond float64       // calls that castoff allows itself
	Requests  int           // since the start
	Waited    time.Duration // reads that were due, for this budget
}

// Operation is one of AWS's, with its requests by result: ok or a [fleet.Class].
type Operation struct {
	Service, Name, Bucket string
	Results               map[string]int
}

// Options are what the handler needs.
type Options struct {
	// View answers the latest View. It is called once a request, concurrently,
	// and never answers nil.
	View func() *View
	// Metrics serves /metrics.
	Metrics http.Handler
	// Events are for /api/v1/events; nil has none, and pages then ask every ten
	// seconds.
	Events *Events
	// Rate is how many answers readers may have in a second, and at once after a
	// rest; 0 does not limit them.
	Rate int
	// Hosts are the names by which castoff is reached; requests for others get 421.
	// IP addresses and localhost always work. Empty: every name works.
	Hosts []string
}

type server struct {
	view   func() *View
	events *Events
	shelf  *shelf
}

// New makes the handler of everything that castoff serves.
func New(o Options) http.Handler {
	s := &server{view: o.View, events: o.Events, shelf: newShelf()}
	mux := http.NewServeMux()
	mux.Handle("/metrics", o.Metrics)
	mux.HandleFunc("/healthz", s.healthz)
	mux.HandleFunc("/readyz", s.readyz)
	for i := range api {
		mux.HandleFunc(api[i].path, s.serve(api[i].route()))
	}
	mux.HandleFunc("/api/v1/events", s.stream)
	mux.HandleFunc("/api/v1/openapi.yaml", asset(description, "openapi.yaml", "application/yaml", "private, no-cache"))
	for _, rt := range site {
		mux.HandleFunc(rt.path, s.serve(rt))
	}
	for name, contentType := range map[string]string{"live.js": "text/javascript; charset=utf-8", "style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"} {
		// Long enough to spare a request a page, short enough that nobody sees an
		// old look after an upgrade for long.
		mux.HandleFunc("/"+name, asset(pageFiles, "page/"+name, contentType, "max-age=300"))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, &problem{notFound, "there is nothing at this address"})
	})
	return secure(frank(ownHost(bounded(paced(mux, o.Rate, s.shelf)), o.Hosts)))
}

// description is of the API, for programs and for those who write them.
//
//go:embed openapi.yaml
var description embed.FS

// secure lets a browser load castoff's own stylesheet, icon and script, ask
// castoff and nobody else, and nothing more, wherever a hostile name may end up.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; "+
			"base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
