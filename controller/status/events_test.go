package status_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// listener is a reader of events that takes what it is sent, until it is stuck.
type listener struct {
	mu     sync.Mutex
	code   int
	header http.Header
	body   strings.Builder
	stuck  chan struct{} // nil: it reads on
	done   chan struct{}
	stop   context.CancelFunc
}

func (l *listener) Header() http.Header { return l.header }

func (l *listener) WriteHeader(code int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.code = code
}

func (l *listener) Write(b []byte) (int, error) {
	if l.stuck != nil {
		<-l.stuck
		return 0, errors.New("the deadline has passed")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.body.Write(b)
}

func (l *listener) Flush() {}

func (l *listener) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.body.String()
}

// kinds are the events heard, each with its number.
func (l *listener) kinds() string {
	var all []string
	for _, m := range regexp.MustCompile(`event: (\w+)\n(?:id: \w+-(\d+)\n)?`).FindAllStringSubmatch(l.text(), -1) {
		all = append(all, strings.TrimSpace(m[1]+" "+m[2]))
	}
	return strings.Join(all, ", ")
}

func listen(h http.Handler, lastID string, stuck chan struct{}) *listener {
	ctx, stop := context.WithCancel(context.Background())
	l := &listener{header: http.Header{}, stuck: stuck, done: make(chan struct{}), stop: stop}
	r := httptest.NewRequest(http.MethodGet, "/api/v1/events", nil).WithContext(ctx)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	go func() {
		defer close(l.done)
		h.ServeHTTP(l, r)
	}()
	return l
}

func (l *listener) end() {
	l.stop()
	<-l.done
}

func eventful(now time.Time) (*status.Events, http.Handler) {
	events := status.NewEvents(now, 256)
	return events, status.New(status.Options{View: func() *status.View { return &status.View{} }, Metrics: http.NotFoundHandler(), Events: events})
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events, h := eventful(time.Now())
		l := listen(h, "", nil)
		hear := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := l.kinds(); got != want {
				t.Errorf("heard %s\nwant  %s", got, want)
			}
		}
		hear("")
		v := sample(time.Now())
		events.Publish(v, time.Now())
		heard := "timeline 1, timeline 2, verdict 3, verdict 4, detachment 5, pass 6" // what was closed before is no news
		hear(heard)
		events.Publish(v, time.Now())
		heard += ", pass 7"
		hear(heard)

		// One closes, with its detachment; a verdict becomes another.
		next := *v
		closed := v.Open[1].Clone()
		closed.Closed, closed.Outcome = time.Now(), timeline.Retired
		next.Open, next.Closed = v.Open[:1], append([]*timeline.Timeline{closed}, v.Closed...)
		next.Detachments = append([]policy.Detachment{}, v.Detachments...)
		next.Detachments[0].Progress, next.Detachments[0].Outcome = policy.Closed, policy.Stopped
		next.Verdicts = []policy.Verdict{held(v.Open[0], time.Now())}
		events.Publish(&next, time.Now())
		heard += ", timeline 8, verdict 9, detachment 10, pass 11"
		hear(heard)
		for _, want := range []string{
			`"change":"opened","id":"` + openID, `"change":"closed","id":"` + string(closed.ID),
			`"outcome":"retired"`, `"decision":"allow","acts":true`, `"progress":"closed"`,
			`"exposed_targets":1,"timelines_open":1,"gaps":1,"level":"exposed"`,
		} {
			if !strings.Contains(l.text(), want) {
				t.Errorf("nobody said %s", want)
			}
		}
		time.Sleep(10 * time.Second)
		heard += ", beat"
		hear(heard)
		if l.header.Get("Content-Type") != "text/event-stream; charset=utf-8" || !strings.HasPrefix(l.text(), "retry: 3000\n\n") {
			t.Errorf("%v %.40q", l.header, l.text())
		}
		events.Close()
		<-l.done
		if late := get(h, "/api/v1/events"); late.Code != http.StatusServiceUnavailable {
			t.Errorf("after the end: %d", late.Code)
		}
	})
}

// SAFETY: whoever comes back with the id of the last event it heard misses none,
// hears none twice, and is told when that cannot be.
func TestSafetyEventsResume(outer *testing.T) {
	const kept = 2048
	rapid.Check(outer, func(t *rapid.T) {
		total := rapid.IntRange(1, kept+200).Draw(t, "events")
		heard := rapid.IntRange(0, total+2).Draw(t, "heard")
		var problem string
		synctest.Test(outer, func(*testing.T) {
			began := time.Now()
			events, h := eventful(began)
			epoch := strings.TrimSuffix(lastID(h, events), "-1")
			for range total - 1 {
				events.Publish(&status.View{}, began) // one event each
			}
			l := listen(h, fmt.Sprintf("%s-%d", epoch, heard), nil)
			synctest.Wait()
			var want []string
			from := heard + 1
			if heard > total || heard < total-kept {
				want, from = append(want, fmt.Sprintf("reset %d", total-1)), total
			}
			for n := from; n <= total; n++ {
				want = append(want, fmt.Sprintf("pass %d", n))
			}
			got := l.kinds()
			l.end()
			if got != strings.Join(want, ", ") {
				problem = fmt.Sprintf("%d of %d: heard %.200s\nwant %.200s", heard, total, got, strings.Join(want, ", "))
			}
		})
		if problem != "" {
			t.Fatal(problem)
		}
	})
}

// lastID publishes one event and answers its id.
func lastID(h http.Handler, events *status.Events) string {
	events.Publish(&status.View{}, time.Now())
	l := listen(h, "", nil)
	synctest.Wait()
	defer l.end()
	return regexp.MustCompile(`id: (\S+)`).FindStringSubmatch(l.text())[1]
}

// A reader that takes nothing holds neither a pass nor the others.
func TestSlowReadersHoldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events, h := eventful(time.Now())
		stuck := make(chan struct{})
		slow, quick := listen(h, "", stuck), listen(h, "", nil)
		began := time.Now()
		for range 10_000 {
			events.Publish(&status.View{}, began)
		}
		synctest.Wait()
		if took := time.Since(began); took != 0 {
			t.Errorf("publishing waited for %s", took)
		}
		if !strings.HasSuffix(quick.kinds(), "pass 10000") {
			t.Errorf("the quick one heard ...%.100s", quick.kinds())
		}
		close(stuck)
		<-slow.done
		quick.end()
	})
}

// Streams have a limit, and those over it are told so in words; one that ends
// makes room.
func TestTooManyStreamsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := eventful(time.Now())
		ls := make([]*listener, 256)
		for i := range ls {
			ls[i] = listen(h, "", nil)
		}
		synctest.Wait()
		for range 10_000 {
			w := get(h, "/api/v1/events")
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"code":"too_many_streams"`) {
				t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
			}
		}
		ls[0].end()
		ls[0] = listen(h, "", nil)
		synctest.Wait()
		for _, l := range ls {
			if l.code != http.StatusOK {
				t.Errorf("code %d", l.code)
			}
			l.end()
		}
	})
}

func TestEventsRefuse(t *testing.T) {
	_, h := eventful(time.Now())
	for _, id := range []string{"x", "-1", "a-b", "a--1", "a-99999999999999999999", "<script>-x"} {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/events", nil)
		r.Header.Set("Last-Event-ID", id)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "invalid_last_event_id") {
			t.Errorf("%q: %d %s", id, w.Code, w.Body)
		}
	}
	if w := get(h, "/api/v1/events?x=1"); w.Code != http.StatusBadRequest {
		t.Errorf("a parameter: %d", w.Code)
	}
	if w := ask(h, http.MethodHead, "/api/v1/events"); w.Code != http.StatusOK || w.Body.Len() > 0 {
		t.Errorf("HEAD: %d %s", w.Code, w.Body)
	}
	if w := get(handler(&status.View{}), "/api/v1/events"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "no_events") {
		t.Errorf("without events: %d %s", w.Code, w.Body)
	}
}

func BenchmarkPublish(b *testing.B) {
	now := time.Now()
	v := sample(now)
	big(v, now, 1000, 10_000)
	events := status.NewEvents(now, 256)
	for b.Loop() {
		events.Publish(v, now)
	}
}
