package scenario

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// castoff is one castoff over all its restarts: what it has on disk, and how it
// is to end.
type castoff struct {
	name   string
	t      *testing.T
	oracle *oracle
	region *sim.Region
	tap    *tap
	dir    string // of the journal
	life   *life  // nil while it does not run
	log    tail
	// config and handler are a script's: what it is started with, and who reads
	// its log instead.
	config  *config.Config
	handler slog.Handler
	book    *stateBook
	lies    *liar // between it and the tap; nil: nobody lies

	mu sync.Mutex
	// ending is how it ends at a step of acting, once; empty: it does not.
	ending step
	kill   bool // rather than stop
	ended  chan struct{}
	// frozen is how long it stands still at a step, as a machine does that is
	// moved: the world goes on, and castoff does not know.
	frozen map[step]frost
	panics bool      // in the next pass
	broken time.Time // since when its disk is; zero: it is not
	// forgets: its disk was broken once, so that a restart may not know everything.
	forgets        bool
	mended, ceased time.Time // when the disk was last whole again, and when the last life ended
}

// frost is for how long it stands still, and what happens first.
type frost struct {
	d     time.Duration
	first func() // nil: nothing
}

// step is a step of acting.
type step string

// The steps at which a castoff can be ended.
const (
	beforeLook step = "before the look again"
	afterLook  step = "after the look again"
	beforeCall step = "after the journal was written, before the call"
	afterCall  step = "after the call, before its outcome was kept"
	beforePut  step = "before the call that puts back"
	afterPut   step = "after the call that puts back"
)

var steps = []step{beforeLook, afterLook, beforeCall, afterCall, beforePut, afterPut}

// life is one run of a castoff.
type life struct {
	of      *castoff
	daemon  *daemon
	journal *journal.Journal
	rules   rules
	began   time.Time
	over    time.Time // zero: it is not

	mu       sync.Mutex
	panicked time.Time                          // zero: no pass has
	decided  time.Time                          // not before this: when the last pass had read what it could
	looked   map[fleet.TaskARN]time.Time        // when it had looked again, at each
	groups   map[fleet.TargetGroupARN]time.Time // likewise
	dead     bool

	killed atomic.Bool // whatever it comes to next ends the goroutine that does
}

// handler is who reads its log; nil: its castoff's.
func (l *life) handler() slog.Handler {
	if l.of.handler == nil {
		return nil
	}
	return mortal{l.of.handler, l}
}

// mortal logs nothing once its life was killed, whatever its goroutines still do.
type mortal struct {
	slog.Handler
	l *life
}

func (h mortal) Enabled(ctx context.Context, level slog.Level) bool {
	return !h.l.killed.Load() && h.Handler.Enabled(ctx, level)
}

// alive ends the goroutine of a life that was killed in another one.
func (l *life) alive() {
	if l.killed.Load() {
		runtime.Goexit()
	}
}

func newCastoff(t *testing.T, name string, o *oracle) *castoff {
	c := &castoff{
		name: name, t: t, oracle: o, region: o.region, dir: scratch(t), ended: make(chan struct{}, 1), frozen: map[step]frost{},
		tap: &tap{region: sim.Doer{Region: o.region}, agent: name, asks: map[string]asked{}, reads: map[string][]reading{}},
	}
	o.join(c)
	return c
}

// scratch is a directory in memory where there is one: a journal is synced in
// every pass, which on a disk takes more time than the pass.
func scratch(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "castoff-") //nolint:usetesting // t.TempDir is on the disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// start begins a life with what the journal has.
func (c *castoff) start(in rules) {
	c.t.Helper()
	j, err := journal.Open(c.dir, journal.Options{Version: "test", Keep: journal.Keep{Count: 1000, Age: 24 * time.Hour}})
	must(c.t, err)
	past, err := j.Load()
	must(c.t, err)
	l := &life{of: c, journal: j, rules: in, began: time.Now(), looked: map[fleet.TaskARN]time.Time{}, groups: map[fleet.TargetGroupARN]time.Time{}}
	c.oracle.disturbed(settling)
	if !c.mended.IsZero() && c.ceased.Sub(c.mended) < settling {
		c.oracle.forgotten()
	}
	c.life = l
	var client aws.HTTPClient = c.tap
	if c.lies != nil {
		client = c.lies
	}
	l.daemon = start(c.t, c.region, set{
		config: c.config, rules: in, journal: j, past: past, log: &c.log, handler: l.handler(), client: client, book: c.book,
		actor:    func(a controller.Actor) controller.Actor { return &watchedActor{a, l} },
		observer: func(o controller.Observer) controller.Observer { return &watchedObserver{o, l} },
	})
}

// stop ends a life as a signal does.
func (c *castoff) stop() {
	if l := c.life; l != nil {
		c.life, c.ceased, l.over = nil, time.Now(), time.Now()
		c.oracle.disturbed(settling)
		_ = l.daemon.Stop(context.Background()) // a journal that cannot be written says so
	}
}

// again stops it and starts it again after a while.
func (c *castoff) again(in rules, d time.Duration) {
	c.mend() // without its file it would begin anew
	c.stop()
	time.Sleep(d)
	select { // both at once
	case <-c.ended:
	default:
	}
	c.start(in)
}

// arm has it end at a step, or with none not any more.
func (c *castoff) arm(at step, kill bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending, c.kill = at, kill
	clear(c.frozen)
}

// freeze has it stand still at a step, once.
func (c *castoff) freeze(at step, f frost) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen[at] = f
}

// panic has its next pass panic.
func (c *castoff) panic() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.panics = true
}

// breakDisk has the journal find its file gone, as it finds a disk that is full:
// nothing can be written.
func (c *castoff) breakDisk() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken.IsZero() {
		must(c.t, os.Rename(c.file(), c.file()+".gone"))
		c.broken, c.forgets = time.Now(), true
	}
}

func (c *castoff) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.broken.IsZero() {
		must(c.t, os.Rename(c.file()+".gone", c.file()))
		c.broken, c.mended = time.Time{}, time.Now()
		c.oracle.disturbed(settling)
	}
}

func (c *castoff) diskBroken() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// saved has the next life begin from what is on disk now, whatever this one
// still does.
func (c *castoff) saved() {
	c.t.Helper()
	c.mend()
	b, err := os.ReadFile(c.file())
	must(c.t, err)
	c.dir = scratch(c.t)
	must(c.t, os.WriteFile(c.file(), b, 0o600))
}

func (c *castoff) file() string { return filepath.Join(c.dir, "castoff.db") }

// reach ends the life when this is the step at which it is to end. A kill does
// not return: it takes the goroutine with it, and that of the passes at its next look.
func (l *life) reach(ctx context.Context, s step) {
	c := l.of
	c.mu.Lock()
	now, kill := c.ending == s, c.kill
	if now {
		c.ending = ""
	}
	f := c.frozen[s]
	delete(c.frozen, s)
	c.mu.Unlock()
	if f.first != nil {
		f.first()
	}
	time.Sleep(f.d)
	if !now {
		return
	}
	l.mu.Lock()
	l.dead = true
	l.mu.Unlock()
	if kill {
		l.killed.Store(true)
		c.saved()
		c.ended <- struct{}{}
		runtime.Goexit()
	}
	c.ended <- struct{}{}
	<-ctx.Done() // the stop
}

// halted reports that only a restart gets it to act again.
func (l *life) halted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.panicked.IsZero()
}

// watchedObserver begins a pass, and panics in it when it is told to.
type watchedObserver struct {
	controller.Observer
	l *life
}

func (o *watchedObserver) Observe(ctx context.Context, hot []fleet.ServiceID) *fleet.Snapshot {
	l := o.l
	l.alive()
	s := o.Observer.Observe(ctx, hot)
	l.mu.Lock()
	l.decided = time.Now()
	l.mu.Unlock()
	l.of.mu.Lock()
	now := l.of.panics
	l.of.panics = false
	l.of.mu.Unlock()
	if now {
		l.mu.Lock()
		l.panicked = time.Now()
		l.mu.Unlock()
		panic("told to")
	}
	return s
}

func (o *watchedObserver) Refresh(ctx context.Context, tasks []fleet.TaskARN, groups []fleet.TargetGroupARN) *fleet.Snapshot {
	o.l.alive()
	o.l.reach(ctx, beforeLook)
	s := o.Observer.Refresh(ctx, tasks, groups)
	o.l.mu.Lock()
	for _, t := range tasks {
		o.l.looked[t] = time.Now()
	}
	for _, g := range groups {
		o.l.groups[g] = time.Now()
	}
	o.l.mu.Unlock()
	o.l.reach(ctx, afterLook)
	return s
}

// watchedActor shows the oracle each call before it is made.
type watchedActor struct {
	controller.Actor
	l *life
}

func (a *watchedActor) Deregister(ctx context.Context, until time.Time, group fleet.TargetGroupARN, targets []fleet.TargetKey) error {
	over := a.l.of.oracle.about(a.l, "DeregisterTargets", group, targets)
	defer over()
	a.l.reach(ctx, beforeCall)
	err := a.Actor.Deregister(ctx, until, group, targets)
	a.l.reach(ctx, afterCall)
	return err
}

func (a *watchedActor) Register(ctx context.Context, until time.Time, group fleet.TargetGroupARN, targets []fleet.Target) error {
	keys := make([]fleet.TargetKey, len(targets))
	for i, t := range targets {
		keys[i] = t.Key
	}
	over := a.l.of.oracle.about(a.l, "RegisterTargets", group, keys)
	defer over()
	a.l.reach(ctx, beforePut)
	err := a.Actor.Register(ctx, until, group, targets)
	a.l.reach(ctx, afterPut)
	return err
}

// open are the detachments that the life's journal has open.
func (l *life) open() ([]policy.Detachment, error) {
	contents, err := l.journal.Load()
	return slices.DeleteFunc(contents.Detachments, func(d policy.Detachment) bool {
		return !d.Open() || d.Mode != policy.Detaching
	}), err
}

// tail keeps the end of a log.
type tail struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines.Len() > 1<<20 {
		t.lines.Next(1 << 19)
	}
	return t.lines.Write(b)
}

// about is what the log says of a word, the last lines of it.
func (t *tail) about(word string, n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found [][]byte
	for line := range bytes.Lines(t.lines.Bytes()) {
		if bytes.Contains(line, []byte(word)) {
			found = append(found, line)
		}
	}
	return string(bytes.Join(found[max(0, len(found)-n):], nil))
}
