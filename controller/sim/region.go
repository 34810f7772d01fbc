package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// The simulated account. Both are made up.
const (
	AccountID  = "123456789012"
	RegionName = "eu-central-1"
)

// resolution is that of AWS's timestamps: everything in the region happens on
// a whole millisecond, so that what AWS stamps is exact.
const resolution = time.Millisecond

// Options say what kind of region it is. The zero value is good.
type Options struct {
	// Seed fixes every random choice: the same seed and the same calls at the
	// same instants give the same region.
	Seed uint64
	// Speed divides every duration of the model; 0 means 1. Settings on the wire
	// that count seconds (a check's interval, a delay) keep their published
	// number, timestamps are the instants at which things really happened.
	Speed float64
	// Params are AWS's lags and habits; nil means [DefaultParams].
	Params *Params
	// Throttle turns on AWS's published request limits.
	Throttle bool
	// Latency is how long a request takes, half of it before it is carried out.
	// It is real time: Speed does not shorten it.
	Latency time.Duration
	// Now tells the region its time, for who drives one faster than the clock and
	// has no bubble to do it in; nil is time.Now. It may stand still between calls,
	// and goes by whole milliseconds: a fraction is dropped. Latency and whatever
	// else waits still waits by the clock.
	Now func() time.Time
	// Runtime makes what is inside tasks, and the wire to them, real; nil: both are
	// modelled. With one, Speed should be 1, and services be on Fargate.
	Runtime *Runtime
}

// Region is a simulated AWS region with ECS and ELBv2 in it. It is an
// http.Handler that speaks both services' wire protocols, and has methods for
// what no API can do: making apps fail and telling what truly happened.
//
// It runs no goroutine. Whoever calls it first carries it forward to
// time.Now(), event by event, so in a testing/synctest bubble it lives in the
// bubble's time; [Options.Now] gives it another. All methods are safe for concurrent use.
type Region struct {
	speed   float64
	params  Params
	latency time.Duration
	clock   func() time.Time // nil: time.Now
	runtime *Runtime         // nil: all is modelled
	subnet  string           // of tasks' addresses: the first two bytes

	mu     sync.Mutex
	rng    *rand.Rand
	now    time.Time // the model's: whole milliseconds, never back
	events eventQueue
	seq    uint64

	clusters         []*cluster
	clusterNames     map[string]*cluster
	definitions      map[string]*definition // by family:revision
	revisions        map[string]int
	serviceRevisions map[string]func() serviceRevisionJSON // by ARN
	groups           []*targetGroup
	groupARNs        map[fleet.TargetGroupARN]*targetGroup
	balancers        []*balancer
	hosts            map[string]*instance // by EC2 instance id
	addresses        map[string]*task     // by IP address, while a task has it
	addressSeq       int
	hostSeq          int
	routed           map[string][]*targetGroup // by IP address, instance id or ARN: the groups with a way to it
	outages          []*Outage
	freedAddresses   []freed    // the one that has been free for longest first
	truths           []*failure // in the order of their onsets, as noticed

	replies   replies
	throttle  *throttle
	faults    faults
	requests  uint64
	witness   func(Write) // nil: none
	userAgent string      // of the request that is being answered
}

// New makes an empty region.
func New(o Options) *Region {
	r := &Region{
		speed:            o.Speed,
		params:           DefaultParams(),
		latency:          o.Latency,
		clock:            o.Now,
		runtime:          o.Runtime,
		subnet:           "10.0",
		rng:              rand.New(rand.NewPCG(o.Seed, 0x6361_7374_6f66_66)),
		clusterNames:     map[string]*cluster{},
		definitions:      map[string]*definition{},
		revisions:        map[string]int{},
		serviceRevisions: map[string]func() serviceRevisionJSON{},
		groupARNs:        map[fleet.TargetGroupARN]*targetGroup{},
		hosts:            map[string]*instance{},
		addresses:        map[string]*task{},
		routed:           map[string][]*targetGroup{},
	}
	r.now = r.wall().Truncate(resolution)
	if r.speed <= 0 {
		r.speed = 1
	}
	if o.Params != nil {
		r.params = *o.Params
	}
	if o.Runtime != nil {
		first := o.Runtime.Network.Addr().As4()
		r.subnet = fmt.Sprintf("%d.%d", first[0], first[1])
	}
	r.replies = newReplies(r, o.Seed)
	if o.Throttle {
		r.throttle = newThrottle(r.speed)
	}
	return r
}

// Params are those that the region was made with.
func (r *Region) Params() Params { return r.params }

// NextEvent tells when something will next happen by itself, so that a driver
// can sleep until then; ok is false when nothing will.
func (r *Region) NextEvent() (at time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	if len(r.events) == 0 {
		return time.Time{}, false
	}
	return r.events[0].at, true
}

// wall is the time of day alone: instants of the model go onto the wire, where
// a monotonic reading means nothing.
func (r *Region) wall() time.Time {
	if r.clock != nil {
		// Nothing waits for the rest of a millisecond in a time that others drive.
		return r.clock().Round(0).UTC().Truncate(resolution)
	}
	return time.Now().Round(0).UTC()
}

type event struct {
	at  time.Time
	seq uint64 // first come, first served within a millisecond
	do  func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(e any)   { *q = append(*q, e.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}

// at has do run at an instant; the past means now.
func (r *Region) at(t time.Time, do func()) {
	if t.Before(r.now) {
		t = r.now
	}
	r.seq++
	heap.Push(&r.events, event{at: t, seq: r.seq, do: do})
}

// after has do run when a model duration has passed.
func (r *Region) after(d time.Duration, do func()) { r.at(r.now.Add(r.scale(d)), do) }

// advance carries the region forward to the present. The caller holds the lock.
func (r *Region) advance() { r.advanceTo(r.wall().Truncate(resolution)) }

func (r *Region) advanceTo(present time.Time) {
	for len(r.events) > 0 && !r.events[0].at.After(present) {
		e := heap.Pop(&r.events).(event)
		r.now = e.at
		e.do()
		r.remember(r.now)
	}
	if present.After(r.now) {
		r.now = present
	}
}

// change carries out a change at the next whole millisecond and returns after
// it. Were it done at once, a reply of the same millisecond that does not show
// it yet could carry a later time than the change itself.
func (r *Region) change(do func() error) error {
	var err error
	r.mu.Lock()
	r.advance()
	at := r.wall()
	if whole := at.Truncate(resolution); whole.Before(at) {
		at = whole.Add(resolution)
	}
	if at.Before(r.now) {
		at = r.now // the clock was set back
	}
	r.at(at, func() { err = do() })
	r.advance()
	r.mu.Unlock()
	for {
		wait := at.Sub(r.wall())
		if wait <= 0 {
			break
		}
		<-time.After(wait) // a millisecond at most
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	return err
}

// scale turns a duration of AWS's into one of the model.
func (r *Region) scale(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return max(resolution, time.Duration(float64(d)/r.speed).Round(resolution))
}

// draw picks a duration of AWS's from a range. It always draws, so that a range
// of one value does not shift what is drawn after it.
func (r *Region) draw(g Range) time.Duration { return drawFrom(r.rng, g) }

func drawFrom(rng *rand.Rand, g Range) time.Duration {
	x := rng.Float64()
	if g.Max <= g.Min {
		return g.Min
	}
	if g.Median == 0 {
		return g.Min + time.Duration(x*float64(g.Max-g.Min))
	}
	if x < 0.5 {
		return g.Min + time.Duration(2*x*float64(g.Median-g.Min))
	}
	return g.Median + time.Duration((2*x-1)*float64(g.Max-g.Median))
}

const hexDigits = "0123456789abcdef"

// hex makes an identifier of n hexadecimal digits.
func (r *Region) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = hexDigits[r.rng.IntN(16)]
	}
	return string(b)
}

// digits makes an identifier of n decimal digits.
func (r *Region) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = hexDigits[r.rng.IntN(10)]
	}
	b[0] = hexDigits[1+r.rng.IntN(9)]
	return string(b)
}

// since reports whether a model duration has passed at least.
func (r *Region) since(t time.Time, d time.Duration) bool {
	return !r.now.Before(t.Add(r.scale(d)))
}
