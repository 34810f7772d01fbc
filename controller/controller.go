// Package controller is castoff's loop and its life: observe, track, record,
// and serve what was seen.
package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/controller/timeline"
	"github.com/castoff-ecs/castoff/controller/webhook"
	"github.com/castoff-ecs/castoff/metrics"
)

// Observer reads the fleet. Its calls are made one after the other; an Actor's may run
// beside them.
type Observer interface {
	// Observe reads what is due, with hot services ahead, and never fails: what
	// could not be read is a Gap.
	Observe(ctx context.Context, hot []fleet.ServiceID) *fleet.Snapshot
	// Refresh reads again, now, the tasks with their services and the rows of the
	// target groups, and answers the whole fleet with that in it.
	Refresh(ctx context.Context, tasks []fleet.TaskARN, groups []fleet.TargetGroupARN) *fleet.Snapshot
}

// Options are what a Controller is made of; see [Open]. All are required but those that
// say what they mean when they are left out.
type Options struct {
	Observer Observer
	// Actor carries out what is decided; without one castoff only observes.
	Actor  Actor
	Policy Policy
	// LeftBehind are clusters that the Observer watches for the sake of what castoff
	// took out there alone. Nothing more is taken out there; and once all of it is
	// back, or has ended, Leave has them watched no more.
	LeftBehind []fleet.ClusterARN
	Leave      func(fleet.ClusterARN)
	// Journal keeps what must outlive the process, and Past is what it had when
	// it was opened. Forgets says that nothing will outlive it: then what may go back
	// into its target group does so before the end. So it is without a Journal.
	Journal *journal.Journal
	Past    journal.Contents
	Forgets bool
	// Notifier tells people what happens; without one nobody is told. The
	// Controller starts and stops it.
	Notifier *webhook.Sender
	Metrics  *metrics.Metrics
	// Exposition serves /metrics.
	Exposition http.Handler
	Logger     *slog.Logger
	Version    string
	// Calls answers castoff's calls to AWS so far, to be shown; nil when nobody
	// knows.
	Calls func() status.Calls
	// Notice is a sentence to show above everything; usually empty.
	Notice string
	// Configuration is what is in force and State the journal's directory, both to
	// be shown to people. Empty: not known, and in memory.
	Configuration, State string

	Polling config.Polling
	Tracker timeline.Settings
	Keep    config.Keep // of closed timelines

	// Listen is host:port; empty serves nothing, and :0 any free port.
	Listen string
	// Hosts are the names by which castoff is reached. Requests for any other name are
	// refused; see [status.Options].
	Hosts []string
	// WebConfigFile is exporter-toolkit's, for TLS and basic authentication.
	WebConfigFile string
	// Seed fixes the jitter of the intervals, so that a run can be repeated; 0
	// means a random one.
	Seed uint64
	// Now tells the time to a Controller that is driven by Step; nil is time.Now.
	// It is no clock to wait by: what waits, as the deadline of a pass and the
	// server do, waits by the clock.
	Now func() time.Time
}

func (o Options) validate() error {
	var errs []error
	for _, part := range []struct {
		name    string
		missing bool
	}{
		{"observer", o.Observer == nil}, {"metrics", o.Metrics == nil}, {"exposition", o.Exposition == nil}, {"way to leave a cluster that is left behind", len(o.LeftBehind) > 0 && o.Leave == nil}, {"logger", o.Logger == nil},
		{"polling interval", o.Polling.Interval <= 0}, {"hot interval", o.Polling.HotInterval <= 0}, {"deadline", o.Polling.Deadline <= 0},
	} {
		if part.missing {
			errs = append(errs, fmt.Errorf("controller: no %s", part.name))
		}
	}
	return errors.Join(errs...)
}

// Controller is the daemon without its command line.
type Controller struct {
	options Options
	now     func() time.Time
	log     *slog.Logger
	tracker *timeline.Tracker
	tracked timeline.State // after the last pass that ended well
	history history
	acting  acting
	writes  *writes
	flow    flow
	calls   []status.Calls // of the last passes, newest first
	view    atomic.Pointer[status.View]
	events  *status.Events
	gaps    gapLog
	rights  rightsLog
	jitter  *rand.Rand // used by the loop alone
	due     time.Time  // of the next pass
	// leftBehind are those of Options.LeftBehind that are still watched.
	leftBehind []fleet.ClusterARN

	listener net.Listener
	server   *http.Server
	cleanups cleanups
	passes   sync.WaitGroup
	failed   chan error
	life     sync.Mutex // of what follows, which may be called in any order
	serving  bool
	started  bool
	stopped  bool
	stopErr  error
}

// readyPasses is how many intervals may go by without a full pass before
// castoff no longer calls itself ready.
const readyPasses = 3

// answersPerSecond is how many pages and answers of the API are sent in a second. 256
// pages that are left open ask for about 50, after passes every five seconds; 200 of
// 370 kB that are made already take 0.04 of a processor, with a reader on the same
// machine.
const answersPerSecond = 200

// New binds the listener, so that a port in use is known before anything runs.
// A Controller that was made must be stopped, started or not.
func New(o Options) (*Controller, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Journal == nil {
		o.Journal, o.Forgets = journal.Memory(journal.Options{Version: o.Version}), true
	}
	if o.Policy.Limits == nil {
		o.Policy.Limits = func(fleet.ServiceID) policy.Limits { return policy.Limits{} }
	}
	driven := o.Now != nil
	if !driven {
		o.Now = time.Now
	}
	c := &Controller{
		options: o, now: o.Now, log: o.Logger, history: history{keep: o.Keep},
		leftBehind: o.LeftBehind,
		writes:     newWrites(driven),
		gaps:       gapLog{log: o.Logger}, rights: rightsLog{log: o.Logger}, jitter: rand.New(rand.NewPCG(cmp.Or(o.Seed, rand.Uint64()), 0)), failed: make(chan error, 1),
	}
	c.resume(o.Past)
	c.view.Store(&status.View{
		Version: o.Version, Started: c.now(), Notice: o.Notice,
		LimitsOf: o.Policy.Limits, RuleOf: o.Policy.Rule, Base: o.Policy.Base, Configuration: o.Configuration, State: o.State,
		Closed:      c.history.restore(o.Past.Closed),
		ReadyWithin: readyPasses*o.Polling.Interval + o.Polling.Deadline,
		Receivers:   o.Notifier.Standing(),
	})
	c.events = status.NewEvents(c.view.Load().Started, connectionsAllowed()/2)
	c.cleanups.add("journal", func(context.Context) error { return o.Journal.Close() })
	if err := c.bind(); err != nil {
		return nil, errors.Join(err, c.cleanups.run(context.Background()))
	}
	return c, nil
}

// bind listens and makes the server, if one is wanted.
func (c *Controller) bind() error {
	o := c.options
	if o.Listen == "" {
		return nil
	}
	if err := CheckWebConfig(o.WebConfigFile); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return &ListenError{Address: o.Listen, Err: err}
	}
	c.listener = listener
	c.cleanups.add("listener", func(context.Context) error {
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	c.server = c.newServer()
	c.server.RegisterOnShutdown(c.events.Close) // it waits for streams, which have no end
	c.cleanups.add("HTTP server", func(ctx context.Context) error {
		if err := c.server.Shutdown(ctx); err != nil {
			return errors.Join(err, c.server.Close())
		}
		return nil
	})
	return nil
}

// newServer makes the server, which gives up on readers that take too long, and has
// so many connections and no more.
func (c *Controller) newServer() *http.Server {
	o, open := c.options, &connections{most: connectionsAllowed()}
	pages := status.New(status.Options{View: c.view.Load, Metrics: o.Exposition, Events: c.events, Rate: answersPerSecond, Hosts: o.Hosts})
	return &http.Server{
		Handler:           open.asked(pages),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10, // more than status allows: it answers in the form that its readers expect
		ConnState:         open.changed,
		ConnContext:       open.context,
		// Handlers that panicked are in it.
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
	}
}

// ListenError is an address that cannot be listened on.
type ListenError struct {
	Address string
	Err     error
}

func (e *ListenError) Error() string {
	reason := e.Err
	var op *net.OpError // says the address again
	if errors.As(reason, &op) {
		reason = op.Err
	}
	var call *os.SyscallError
	if errors.As(reason, &call) {
		reason = call.Err
	}
	return fmt.Sprintf("cannot listen on %s: %v", e.Address, reason)
}

func (e *ListenError) Unwrap() error { return e.Err }

// Address is where the controller listens; empty when it does not.
func (c *Controller) Address() string {
	if c.listener == nil {
		return ""
	}
	return c.listener.Addr().String()
}

// View is what is known after the latest pass.
func (c *Controller) View() *status.View { return c.view.Load() }

// Serve begins to answer requests. Before Start there is nothing to tell: castoff
// lives, and is not ready. Calling it again, or after Stop, does nothing.
func (c *Controller) Serve() {
	c.life.Lock()
	defer c.life.Unlock()
	c.serve()
}

func (c *Controller) serve() {
	if c.server == nil || c.serving || c.stopped {
		return
	}
	c.serving = true
	go func() {
		file := c.options.WebConfigFile
		flags := &web.FlagConfig{WebListenAddresses: &[]string{c.Address()}, WebSystemdSocket: new(bool), WebConfigFile: &file}
		if err := web.Serve(c.listener, c.server, flags, slog.New(warnings{c.log.Handler()})); !errors.Is(err, http.ErrServerClosed) {
			c.failed <- fmt.Errorf("serving on %s: %w", c.Address(), err)
		}
	}()
}

// warnings leave out what exporter-toolkit says when all is well: whoever runs
// castoff says where it listens, and a start that fails is to be one clear line.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

// Start begins to pass, and to serve if Serve has not been called; the first
// pass begins at once. Calling it again, or after Stop, does nothing.
func (c *Controller) Start() {
	c.life.Lock()
	defer c.life.Unlock()
	if c.started || c.stopped {
		return
	}
	c.started = true
	if c.options.Notifier != nil {
		c.options.Notifier.Start()
		c.cleanups.add("notifications", c.options.Notifier.Stop) // after the last pass, before the server may take its time
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cleanups.add("passes", func(ctx context.Context) error {
		cancel()
		defer c.writes.end()
		if err := waitFor(ctx, &c.passes); err != nil {
			return err
		}
		c.part(ctx)
		return nil
	})
	c.passes.Go(func() { c.loop(ctx) })
	c.serve()
}

// Failed yields the error that makes going on pointless, if there ever is one.
func (c *Controller) Failed() <-chan error { return c.failed }

// Stop ends the running pass and the server, in the reverse order of their
// start, and returns when they have ended or ctx is done. It may be called
// again, and then answers the same.
func (c *Controller) Stop(ctx context.Context) error {
	c.life.Lock()
	defer c.life.Unlock()
	if !c.stopped {
		c.stopped, c.stopErr = true, c.cleanups.run(ctx)
	}
	return c.stopErr
}

// cleanups are what there is to undo, named for their errors.
type cleanups []cleanup

type cleanup struct {
	name string
	undo func(context.Context) error
}

func (cs *cleanups) add(name string, undo func(context.Context) error) {
	*cs = append(*cs, cleanup{name: name, undo: undo})
}

// run undoes the last first, all of them whatever fails.
func (cs *cleanups) run(ctx context.Context) error {
	var errs []error
	for i := len(*cs) - 1; i >= 0; i-- {
		if err := (*cs)[i].undo(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stopping the %s: %w", (*cs)[i].name, err))
		}
	}
	*cs = nil
	return errors.Join(errs...)
}

func waitFor(ctx context.Context, wg *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
