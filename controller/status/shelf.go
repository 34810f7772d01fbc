package status

import (
	"context"
	"runtime"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of what readers may cost.
const (
	// shelfMost is how many bytes of answers are kept to be given again.
	shelfMost = 16 << 20
	// unsentMost is how many bytes may be on their way to readers that take them
	// slowly, those of small answers aside.
	unsentMost = 64 << 20
	small      = 64 << 10
	// queueMost is how many readers may wait for an answer to be made, and
	// queueFor is for how long each does.
	queueMost = 256
	queueFor  = 10 * time.Second
)

// shelf makes answers and keeps them while the View that they were made of is
// the latest: however many look at a page after a pass, it costs one. No more
// than half of the processors make answers at a time, each of them half of the
// time, so that readers leave the passes theirs. What readers hold is bounded,
// however slow they are.
type shelf struct {
	slots chan struct{} // one taken by each answer that is being made

	mu      sync.Mutex
	view    *View // that all of kept are of
	kept    map[string]*made
	size    int // of kept, in bytes
	waiting int
	unsent  int // bytes
}

// made is an answer, made or being made.
type made struct {
	done chan struct{} // closed when body, tag and err are there
	at   time.Time     // when it was asked for
	body []byte
	tag  string // strong
	err  error

	// Guarded by the shelf.
	kept    int // bytes that the shelf counts
	readers int // that are being sent it
}

var crowded = &problem{busy, "too many ask at a time: ask again in a few seconds"}

func newShelf() *shelf {
	return &shelf{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), kept: make(map[string]*made)}
}

// take is the answer to a request, that was made before or is made now; whoever
// takes it puts it back.
func (s *shelf) take(ctx context.Context, v *View, key string, rt *route, q request) (*made, error) {
	m, mine := s.find(v, key, rt, q.now)
	if mine {
		s.make(ctx, m, v, key, rt, q)
	} else {
		select {
		case <-m.done:
		case <-ctx.Done():
			return nil, crowded
		}
	}
	if m.err != nil {
		return nil, m.err
	}
	return m, s.borrow(m)
}

// find is what is kept; mine says that it is to be made by the caller.
func (s *shelf) find(v *View, key string, rt *route, now time.Time) (m *made, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != v {
		s.clear()
		s.view = v
	}
	if was := s.kept[key]; was != nil {
		if was.kept == 0 || now.Sub(was.at) < rt.lasts {
			return was, false // kept is 0 while it is being made
		}
		s.size -= was.kept
	}
	m = &made{done: make(chan struct{}), at: now}
	if rt.lasts > 0 {
		s.kept[key] = m
	}
	return m, true
}

func (s *shelf) clear() {
	clear(s.kept)
	s.size = 0
}

// make makes an answer for all who wait for it. One that failed is not kept.
func (s *shelf) make(ctx context.Context, m *made, v *View, key string, rt *route, q request) {
	var body []byte
	var err error = &problem{internal, "castoff has failed to answer this"} // unless it returns
	defer func() {
		m.body, m.err = body, err
		if err == nil && rt.validator == byContent {
			m.tag = contentTag(body)
		}
		close(m.done)
		s.keep(key, m)
	}()
	if rt.lasts > 0 {
		ctx = context.WithoutCancel(ctx) // others may wait for the same by now
	}
	if err = s.slot(ctx); err != nil {
		return
	}
	began := time.Now()
	defer func() { s.rest(time.Since(began)) }()
	err = &problem{internal, "castoff has failed to answer this"}
	body, err = rt.answer(v, q)
}

// rest gives a slot back after as long a rest as the work took.
func (s *shelf) rest(worked time.Duration) {
	if worked <= 0 {
		<-s.slots
		return
	}
	time.AfterFunc(worked, func() { <-s.slots })
}

// keep counts an answer that is to be given again, if there is room.
func (s *shelf) keep(key string, m *made) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[key] != m {
		return
	}
	if m.err != nil || s.size+len(m.body) > shelfMost {
		delete(s.kept, key)
		return
	}
	m.kept = max(1, len(m.body))
	s.size += m.kept
}

// slot waits for its turn to make an answer.
func (s *shelf) slot(ctx context.Context) error {
	select {
	case s.slots <- struct{}{}:
		return nil
	default:
	}
	if !s.queue(1) {
		return crowded
	}
	defer s.queue(-1)
	timer := time.NewTimer(queueFor)
	defer timer.Stop()
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-timer.C:
		return crowded
	case <-ctx.Done():
		return crowded
	}
}

// turn waits for its turn to have an answer at all.
func (s *shelf) turn(ctx context.Context, limiter *rate.Limiter) error {
	if limiter.Allow() {
		return nil
	}
	if !s.queue(1) {
		return crowded
	}
	defer s.queue(-1)
	ctx, cancel := context.WithTimeout(ctx, queueFor)
	defer cancel()
	if limiter.Wait(ctx) != nil {
		return crowded
	}
	return nil
}

func (s *shelf) queue(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > 0 && s.waiting >= queueMost {
		return false
	}
	s.waiting += n
	return true
}

// borrow counts a body as on its way to a reader. One body counts once,
// whoever reads it: there is one of it in memory.
func (s *shelf) borrow(m *made) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.readers == 0 && len(m.body) > small {
		if s.unsent+len(m.body) > unsentMost && s.unsent > 0 {
			return &problem{busy, "too many take large answers slowly: ask again in a few seconds, or for less"}
		}
		s.unsent += len(m.body)
	}
	m.readers++
	return nil
}

// put is called when a reader has been sent what it took.
func (s *shelf) put(m *made) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.readers--; m.readers == 0 && len(m.body) > small {
		s.unsent -= len(m.body)
	}
}
