package status

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// beat is how often a stream says that it is alive: a page that has not heard
	// of castoff for some of them says that it is old, and a reader that is gone
	// is noticed.
	beat = 10 * time.Second
	// patience is for how long a reader may not take what is sent to it.
	patience = 10 * time.Second
	// batch is how many bytes of events are sent at once, and by that deadline, if
	// one event is not longer.
	batch = 64 << 10
)

// reader is one stream's place in the events.
type reader struct {
	events *Events
	after  int // number of the last that was sent
}

// stream answers events as they come, by the rules of
// https://html.spec.whatwg.org/multipage/server-sent-events.html.
func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	if _, err := parseValues(r.URL.RawQuery, nil); err != nil {
		refuse(w, r, err)
		return
	}
	if s.events == nil {
		refuse(w, r, &problem{noEvents, "this castoff has no events"})
		return
	}
	from, err := s.events.reader(r.Header.Get("Last-Event-ID"))
	if err != nil {
		refuse(w, r, &problem{invalidLastEventID, err.Error()})
		return
	}
	if !s.events.enter() {
		refuse(w, r, &problem{tooManyStreams, fmt.Sprintf("%d streams are open, and no more are allowed: ask again in a minute, or read /api/v1/status now and then", s.events.most)})
		return
	}
	defer s.events.leave()
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no") // else nginx holds events back
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	control := http.NewResponseController(w)
	send := func(events [][]byte) bool {
		// The server's own limit is for whole answers, and this one has no end.
		_ = control.SetWriteDeadline(time.Now().Add(patience)) // where it cannot be set, the server's holds
		for _, e := range events {
			if _, err := w.Write(e); err != nil {
				return false
			}
		}
		return control.Flush() == nil
	}
	if !send([][]byte{[]byte("retry: 3000\n\n")}) {
		return
	}
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		events, more, over := from.next()
		switch {
		case len(events) > 0:
			if !send(events) {
				return
			}
			continue
		case over:
			return
		}
		select {
		case <-more:
		case <-ticker.C:
			if !send([][]byte{[]byte("event: beat\ndata: {}\n\n")}) {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// enter counts a stream, if it is allowed.
func (e *Events) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.streams >= e.most {
		return false
	}
	e.streams++
	return true
}

// Open is how many streams there are.
func (e *Events) Open() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.streams
}

func (e *Events) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.streams--
}

// reader begins after an event of which the id is given. Without one it begins
// with the last pass: what was before is in the lists of the API.
func (e *Events) reader(id string) (*reader, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if id == "" {
		return &reader{events: e, after: max(0, e.last-1)}, nil
	}
	epoch, number, found := strings.Cut(id, "-")
	n, err := strconv.Atoi(number)
	if !found || epoch == "" || err != nil || n < 0 {
		return nil, fmt.Errorf("Last-Event-ID: not one that castoff gave (got %q)", clip(id))
	}
	if epoch != e.epoch || n > e.last {
		n = -1 // of another process
	}
	return &reader{events: e, after: n}, nil
}

// next is what there is to send; when it is nothing, more is closed once there
// is, and over says that there never will be. One that missed events is told by a
// reset, and goes on with the last pass. What is sent is in the ring: a reader that
// is slow has no memory of its own, and nothing is copied while others wait.
func (r *reader) next() (events [][]byte, more <-chan struct{}, over bool) {
	e := r.events
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.after == e.last {
		return nil, e.more, e.closed
	}
	if oldest := e.last - len(e.ring); r.after < oldest {
		r.after = max(0, e.last-1)
		events = append(events, fmt.Appendf(nil, "event: reset\nid: %s-%d\ndata: {}\n\n", e.epoch, r.after))
	}
	size := 0
	for _, frame := range e.ring[len(e.ring)-(e.last-r.after):] {
		if size += len(frame); size > batch && len(events) > 0 {
			break
		}
		events = append(events, frame)
		r.after++
	}
	return events, e.more, e.closed
}
