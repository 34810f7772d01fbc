package webhook

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/castoff-ecs/castoff/controller/notify"
)

// handoverLength is how many passes may wait for what they changed to be worked
// out. That takes less time than a pass, so that one is rare; each keeps its
// Snapshot in memory.
const handoverLength = 4

// handover is where passes leave what they know.
type handover struct {
	wake chan struct{} // something was left

	mu     sync.Mutex
	states []notify.State // oldest first
	closed bool           // nobody takes any more
}

// put leaves a State, without waiting. When there is no room the oldest goes: the
// next one has all of it that still holds. Where nobody takes any more it is not
// taken either.
func (h *handover) put(s notify.State) (skipped int, taken bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return 0, false
	}
	if skipped = len(h.states) + 1 - handoverLength; skipped > 0 {
		h.states = append([]notify.State(nil), h.states[skipped:]...) // so that it can go
	}
	h.states = append(h.states, s)
	select {
	case h.wake <- struct{}{}:
	default:
	}
	return max(0, skipped), true
}

// next is the oldest; not ok when there is none, and when it is the last time that
// anybody asks there will be none.
func (h *handover) next(last bool) (s notify.State, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.states) == 0 {
		h.closed = last
		return s, false
	}
	s = h.states[0]
	h.states = append([]notify.State(nil), h.states[1:]...) // so that it can go
	return s, true
}

// close has nobody take any more, and says how many were left.
func (h *handover) close() (left int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	left = len(h.states)
	h.states, h.closed = nil, true
	return left
}

// work works out what passes changed until ending is done and nothing is left, or
// hard is.
func (s *Sender) work(ending, hard context.Context) {
	for hard.Err() == nil {
		ended := ending.Err() != nil
		state, ok := s.handover.next(ended)
		if ok {
			s.tell(state)
			continue
		}
		if ended {
			return
		}
		select {
		case <-s.handover.wake:
		case <-ending.Done():
		}
	}
	if left := s.handover.close(); left > 0 {
		s.log.Warn("nobody is told what the last passes changed: castoff stops", "passes", left)
	}
}

// tell queues what is news to each receiver. A fault in it must not end the
// daemon.
func (s *Sender) tell(state notify.State) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("notifying panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	state = state.Looked() // for all of them
	for _, r := range s.receivers {
		for _, n := range r.teller.Next(state) {
			r.put(n)
		}
	}
}
