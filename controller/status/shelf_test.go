package status

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slowReader takes nothing until it is let.
type slowReader struct {
	*httptest.ResponseRecorder
	let chan struct{}
}

func (s slowReader) Write(b []byte) (int, error) {
	<-s.let
	return s.ResponseRecorder.Write(b)
}

// crowdOf serves one route to as many readers, who are answered when let is
// closed.
func crowdOf(s *server, rt *route, readers int) (answers []*httptest.ResponseRecorder, let chan struct{}) {
	let = make(chan struct{})
	h := s.serve(rt)
	for range readers {
		w := httptest.NewRecorder()
		answers = append(answers, w)
		go h(slowReader{w, let}, httptest.NewRequest(http.MethodGet, "/", nil))
	}
	synctest.Wait()
	return answers, let
}

// finished counts readers that have their answers, by its code.
type finished struct {
	mu    sync.Mutex
	codes map[int]int
}

func (f *finished) add(code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.codes == nil {
		f.codes = map[int]int{}
	}
	f.codes[code]++
}

func (f *finished) count(code int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.codes[code]
}

func codesOf(answers []*httptest.ResponseRecorder) map[int]int {
	n := map[int]int{}
	for _, w := range answers {
		n[w.Code]++
	}
	return n
}

// SAFETY: readers that take large answers slowly hold so much memory and no more;
// those of one answer hold it once, and small ones are never refused.
func TestSlowReadersHoldLittle(t *testing.T) {
	const large = 4 << 20
	for _, tt := range []struct {
		name     string
		size     int
		one      bool // the same answer
		answered int
	}{
		{"large answers", large, false, unsentMost / large},
		{"one large answer", large, true, 100},
		{"small answers", small, false, 100},
		{"one that is larger than all that is allowed", unsentMost + 1, false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := bytes.Repeat([]byte("x"), tt.size)
				v := &View{}
				s := &server{view: func() *View { return v }, shelf: newShelf()}
				rt := &route{takes: []string{"n"}, contentType: textType, answer: func(*View, request) ([]byte, error) { return body, nil }}
				if tt.one {
					rt.lasts = forever
				}
				answers, let := crowdOf(s, rt, 100)
				n := codesOf(answers)
				if n[http.StatusOK] != tt.answered || n[http.StatusOK]+n[http.StatusServiceUnavailable] != 100 {
					t.Errorf("%v, want %d answered", n, tt.answered)
				}
				if s.shelf.unsent > max(unsentMost, tt.size) {
					t.Errorf("%d bytes are held", s.shelf.unsent)
				}
				close(let)
				synctest.Wait()
				if s.shelf.unsent != 0 {
					t.Errorf("%d bytes are held when all have gone", s.shelf.unsent)
				}
				for _, w := range answers {
					if w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") != "5" {
						t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
					}
				}
			})
		})
	}
}

// SAFETY: however many ask, so many answers are made at a time, so many readers
// wait, and none for long.
func TestReadersQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &View{}
		s := &server{view: func() *View { return v }, shelf: newShelf()}
		var making, most atomic.Int64
		gate := make(chan struct{})
		rt := &route{takes: []string{"n"}, contentType: textType, answer: func(*View, request) ([]byte, error) {
			most.Store(max(most.Load(), making.Add(1)))
			<-gate
			making.Add(-1)
			return nil, nil
		}}
		slots := max(1, runtime.GOMAXPROCS(0)/2)
		var done finished
		for range slots + queueMost + 7 {
			go func() {
				w := httptest.NewRecorder()
				s.serve(rt)(w, httptest.NewRequest(http.MethodGet, "/", nil))
				done.add(w.Code)
			}()
		}
		synctest.Wait()
		if n := done.count(http.StatusServiceUnavailable); n != 7 || most.Load() != int64(slots) {
			t.Errorf("%d were refused, %d were made at a time", n, most.Load())
		}
		time.Sleep(queueFor)
		synctest.Wait()
		if n := done.count(http.StatusServiceUnavailable); n != queueMost+7 {
			t.Errorf("%d were refused after %v", n, queueFor)
		}
		close(gate)
		time.Sleep(2 * queueFor) // making took one, and has its rest
		synctest.Wait()
		s.shelf.mu.Lock()
		defer s.shelf.mu.Unlock()
		if s.shelf.waiting != 0 || len(s.shelf.slots) != 0 {
			t.Errorf("%d wait, %d are made", s.shelf.waiting, len(s.shelf.slots))
		}
	})
}

// A reader that goes away while its answer waits to be made takes it from nobody else.
func TestReaderThatLeavesIsMissedByNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &View{}
		s := &server{view: func() *View { return v }, shelf: newShelf()}
		rt := &route{contentType: textType, lasts: forever, answer: func(*View, request) ([]byte, error) { return []byte("told"), nil }}
		for range cap(s.shelf.slots) {
			s.shelf.slots <- struct{}{}
		}
		ctx, leave := context.WithCancel(t.Context())
		go s.serve(rt)(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
		synctest.Wait()
		w := httptest.NewRecorder()
		go s.serve(rt)(w, httptest.NewRequest(http.MethodGet, "/", nil))
		synctest.Wait()
		leave()
		synctest.Wait()
		<-s.shelf.slots
		synctest.Wait()
		if w.Code != http.StatusOK || w.Body.String() != "told" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// An answer that could not be made is made again; one reader's panic is not
// another's empty page; what is kept is bounded.
func TestShelfKeepsWhatIsGood(t *testing.T) {
	v := &View{}
	s := &server{view: func() *View { return v }, shelf: newShelf()}
	var fail error
	body := []byte("x")
	rt := &route{takes: []string{"n"}, contentType: textType, lasts: forever, answer: func(*View, request) ([]byte, error) {
		if fail != nil && fail.Error() == "panic" {
			panic(fail)
		}
		return body, fail
	}}
	code := func(target string) (code int) {
		w := httptest.NewRecorder()
		defer func() {
			if recover() != nil {
				code = -1
			}
		}()
		s.serve(rt)(w, httptest.NewRequest(http.MethodGet, target, nil))
		return w.Code
	}
	for _, want := range []struct {
		err  error
		code int
	}{{errors.New("bad"), 400}, {errors.New("panic"), -1}, {nil, 200}, {errors.New("kept by now"), 200}} {
		if fail = want.err; code("/") != want.code {
			t.Errorf("%v: not %d", want.err, want.code)
		}
	}
	fail, body = nil, make([]byte, shelfMost/3)
	for i := range 10 {
		if code("/?n="+strings.Repeat("x", i+1)) != 200 {
			t.Error("not answered")
		}
	}
	if s.shelf.size > shelfMost || len(s.shelf.kept) != 4 { // the first is small
		t.Errorf("%d answers of %d bytes are kept", len(s.shelf.kept), s.shelf.size)
	}
	v = &View{}
	if code("/"); s.shelf.size != len(body) {
		t.Errorf("%d bytes are kept of a new View", s.shelf.size)
	}
}

// Who waits for an answer that another reader has made, and whose making panics,
// hears that castoff is at fault.
func TestOthersHearOfAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &View{}
		s := &server{view: func() *View { return v }, shelf: newShelf()}
		gate := make(chan struct{})
		rt := &route{contentType: textType, lasts: forever, answer: func(*View, request) ([]byte, error) {
			<-gate
			panic("a bug")
		}}
		var answers []*httptest.ResponseRecorder
		for range 3 {
			w := httptest.NewRecorder()
			answers = append(answers, w)
			go func() {
				defer func() { _ = recover() }() // as the server does
				frank(s.serve(rt)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			}()
		}
		synctest.Wait()
		close(gate)
		synctest.Wait()
		if n := codesOf(answers); n[http.StatusInternalServerError] != 3 {
			t.Errorf("%v", n)
		}
	})
}

// SAFETY: readers have so many answers a second, who asks for life and metrics
// does not wait, and the others come again.
func TestReadersArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &View{Started: time.Now()}
		h := New(Options{View: func() *View { return v }, Metrics: http.NotFoundHandler(), Rate: 100})
		var done finished
		for range 100 + queueMost + 5 {
			go func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/style.css", nil))
				done.add(w.Code)
			}()
		}
		synctest.Wait()
		if got, n := done.count(http.StatusOK), done.count(http.StatusServiceUnavailable); got != 100 || n != 5 {
			t.Errorf("at once %d were answered, %d refused", got, n)
		}
		for path, code := range map[string]int{"/healthz": 200, "/readyz": 503, "/metrics": 404, "/api/v1/events": 503} {
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil)); w.Code != code {
				t.Errorf("%s: %d", path, w.Code)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := done.count(http.StatusOK); got < 199 || got > 201 {
			t.Errorf("%d were answered in a second", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := done.count(http.StatusOK); got != 100+queueMost {
			t.Errorf("%d were answered", got)
		}
	})
}

// SAFETY: making answers takes half of a processor's time at most.
func TestMakingRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &View{}
		s := &server{view: func() *View { return v }, shelf: newShelf()}
		var made atomic.Int64
		rt := &route{contentType: textType, answer: func(*View, request) ([]byte, error) {
			time.Sleep(50 * time.Millisecond)
			made.Add(1)
			return nil, nil
		}}
		for range 200 {
			go s.serve(rt)(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if slots := max(1, runtime.GOMAXPROCS(0)/2); made.Load() != int64(10*slots) {
			t.Errorf("%d were made in a second", made.Load())
		}
		time.Sleep(time.Minute)
	})
}
