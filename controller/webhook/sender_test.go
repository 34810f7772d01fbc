package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// counts are a Recorder that remembers.
type counts struct {
	mu     sync.Mutex
	n      map[string]int
	queued int // the most
}

func (c *counts) Receiver(string, []notify.Event) {}

func (c *counts) Notified(receiver string, e notify.Event, r notify.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[fmt.Sprint(receiver, " ", e, " ", r)]++
}

func (c *counts) Queued(_ string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queued = max(c.queued, n)
}

func (c *counts) of(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[what]
}

// answer is what a receiver in the process says to a request.
type answer func(*http.Request) (*http.Response, error)

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func says(status int, header ...string) (*http.Response, error) {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("no_service"))}, nil
}

func hangs(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

const signing = "whsec_c3BlYWsgZnJpZW5kIGFuZCBlbnRlciwgaHVudGVyMg=="

func hook(name string) Receiver {
	return Receiver{
		Name: name, Kind: notify.Webhook, URL: "https://" + name + ".example.com/hunter2", Secret: signing, Timeout: 10 * time.Second,
		Rule: notify.Rule{Events: notify.Events, ExposedFor: time.Minute},
	}
}

func newSender(t *testing.T, transport http.RoundTripper, to ...Receiver) (*Sender, *counts) {
	t.Helper()
	c := &counts{n: map[string]int{}}
	s, err := New(Options{Receivers: to, Version: "test", Transport: transport, Recorder: c, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	return s, c
}

// paused is a State that differs from others by its owner: one notification each.
func paused(n int) notify.State {
	return notify.State{At: time.Now(), Pauses: []policy.Pause{{Scope: policy.ScopeAll, Owner: fmt.Sprint("number ", n), Reason: "test"}}}
}

// tries are when requests were made, since the first.
type tries struct {
	mu sync.Mutex
	at []time.Duration
	t0 time.Time
}

func (ts *tries) note() int {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.at == nil {
		ts.t0 = time.Now()
	}
	ts.at = append(ts.at, time.Since(ts.t0))
	return len(ts.at)
}

// What is not taken is sent again, ever later, with the same id, until it is too
// old.
func TestTriesAgain(t *testing.T) {
	for name, answer := range map[string]answer{
		"500":                  func(*http.Request) (*http.Response, error) { return says(500) },
		"429":                  func(*http.Request) (*http.Response, error) { return says(429) },
		"408":                  func(*http.Request) (*http.Response, error) { return says(408) },
		"hangs":                hangs,
		"closes":               func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"a Retry-After of sin": func(*http.Request) (*http.Response, error) { return says(503, "Retry-After", "soon") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var at tries
				ids := map[string]bool{}
				s, c := newSender(t, asked(func(r *http.Request) { at.note(); ids[r.Header.Get("webhook-id")] = true }, answer), hook("ops"))
				began := time.Now()
				s.Tell(paused(1))
				time.Sleep(time.Hour)
				synctest.Wait()
				if len(ids) != 1 {
					t.Errorf("ids %v", ids)
				}
				if c.of("ops paused failed") != 1 || s.Standing()[0].LastError == "" || s.Standing()[0].Queued != 0 {
					t.Errorf("counted %v, standing %+v", c.n, s.Standing())
				}
				if n := len(at.at); n < 12 || n > 60 {
					t.Errorf("%d tries: %v", n, at.at)
				}
				for i, pause := range pauses(at.at) {
					least, most := time.Duration(1<<min(i, 6))*time.Second/2, time.Duration(1<<min(i, 6))*time.Second*3/2
					least, most = min(least, mostPause/2), min(most, mostPause*3/2)+10*time.Second // and the try itself
					if pause < least || pause > most {
						t.Errorf("pause %d is %s, want %s to %s", i, pause, least, most)
					}
				}
				if gaveUp := s.Standing()[0].LastFailure.Sub(began); gaveUp > patience+10*time.Second || gaveUp < patience-2*mostPause {
					t.Errorf("gave up after %s", gaveUp)
				}
				_ = s.Stop(t.Context())
			})
		})
	}
}

// asked lets a test see requests before they are answered.
func asked(see func(*http.Request), answer answer) answer {
	return func(r *http.Request) (*http.Response, error) {
		see(r)
		return answer(r)
	}
}

func pauses(at []time.Duration) []time.Duration {
	var ps []time.Duration
	for i := 1; i < len(at); i++ {
		ps = append(ps, at[i]-at[i-1])
	}
	return ps
}

// What makes no sense to send again is not, and does not hold up the next.
func TestFinalAnswers(t *testing.T) {
	for _, status := range []int{300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 410, 413, 422, 451} {
		synctest.Test(t, func(t *testing.T) {
			var at tries
			s, c := newSender(t, asked(func(*http.Request) { at.note() }, func(*http.Request) (*http.Response, error) {
				return says(status, "Location", "https://elsewhere.example.com/", "Retry-After", "10")
			}), hook("ops"))
			s.Tell(paused(1))
			s.Tell(paused(2)) // and that the first is over
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(at.at) != 3 || at.at[2] != 0 || c.of("ops paused failed") != 2 || c.of("ops unpaused failed") != 1 {
				t.Errorf("%d: tries %v, counted %v", status, at.at, c.n)
			}
			if e := s.Standing()[0].LastError; !strings.Contains(e, fmt.Sprint("answered ", status)) || !strings.Contains(e, "no_service") {
				t.Errorf("%d: last error %q", status, e)
			}
			_ = s.Stop(t.Context())
		})
	}
}

// Who asks to be left alone for a while is, by what comes after, too.
func TestRetryAfter(t *testing.T) {
	for name, header := range map[string]func() string{
		"seconds": func() string { return "90" },
		"date":    func() string { return time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var at tries
				s, c := newSender(t, answer(func(*http.Request) (*http.Response, error) {
					if at.note() == 1 {
						return says(429, "Retry-After", header())
					}
					return says(204)
				}), hook("ops"))
				s.Tell(paused(1))
				s.Tell(paused(2))
				time.Sleep(time.Hour)
				synctest.Wait()
				if len(at.at) != 4 || at.at[1] < 89*time.Second || at.at[1] > 91*time.Second || c.of("ops paused sent") != 2 || c.of("ops unpaused sent") != 1 {
					t.Errorf("tries %v, counted %v", at.at, c.n)
				}
				_ = s.Stop(t.Context())
			})
		})
	}
	t.Run("longer than the news lasts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var at tries
			s, c := newSender(t, asked(func(*http.Request) { at.note() }, func(*http.Request) (*http.Response, error) {
				return says(503, "Retry-After", "2147483647")
			}), hook("ops"))
			s.Tell(paused(1))
			time.Sleep(time.Hour)
			synctest.Wait()
			if len(at.at) != 1 || c.of("ops paused failed") != 1 {
				t.Errorf("tries %v, counted %v", at.at, c.n)
			}
			s.Tell(paused(1)) // nothing is new
			s.Tell(paused(2))
			synctest.Wait()
			if len(at.at) != 2 {
				t.Errorf("is silent for ever: tries %v", at.at)
			}
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	})
}

// SAFETY: nothing waits for a receiver, whatever it does: a pass takes no time to
// tell, another receiver gets everything at once and in order, and what waits is
// bounded.
func TestSafetyNobodyWaitsForAReceiver(t *testing.T) {
	endless := &endlessBody{}
	for name, does := range map[string]answer{
		"hangs for ever": hangs,
		"is slow": func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(9 * time.Second):
				return says(200)
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		},
		"answers 500": func(*http.Request) (*http.Response, error) { return says(500) },
		"closes":      func(*http.Request) (*http.Response, error) { return nil, io.EOF },
		"sends on and on": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusInternalServerError, Body: endless}, nil
		},
		"drips": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: &drip{r.Context()}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var got []string
				s, c := newSender(t, answer(func(r *http.Request) (*http.Response, error) {
					if r.URL.Host == "bad.example.com" {
						return does(r)
					}
					body, _ := io.ReadAll(r.Body)
					mu.Lock()
					defer mu.Unlock()
					got = append(got, string(body))
					return says(200)
				}), hook("bad"), hook("good"))
				const told = 3 * queueLength
				for i := range told {
					before := time.Now()
					s.Tell(paused(i))
					if took := time.Since(before); took != 0 {
						t.Fatalf("a pass waited %s", took)
					}
					time.Sleep(time.Second / 10)
					synctest.Wait()
					if len(got) != 2*i+1 || !strings.Contains(got[len(got)-1], `"type":"unpaused"`) && i > 0 {
						t.Fatalf("after %d the other receiver has %d: %s", i, len(got), got[len(got)-1])
					}
				}
				if c.queued > queueLength {
					t.Errorf("%d waited", c.queued)
				}
				st := s.Standing()[0]
				if st.Queued+st.Sent+st.Failed+st.Dropped != 2*told-1 || st.Dropped == 0 {
					t.Errorf("standing %+v", st)
				}
				before := time.Now()
				if err := s.Stop(t.Context()); err != nil || time.Since(before) > flushing {
					t.Errorf("stopping took %s: %v", time.Since(before), err)
				}
				st = s.Standing()[0]
				if st.Queued != 0 || st.Sent+st.Failed+st.Dropped != 2*told-1 {
					t.Errorf("after the stop: %+v", st)
				}
			})
		})
	}
	if endless.read == 0 || endless.read > endless.opened*maxAnswer {
		t.Errorf("read %d bytes of %d endless answers", endless.read, endless.opened)
	}
}

// endlessBody counts what is read of it.
type endlessBody struct{ read, opened int }

func (b *endlessBody) Read(p []byte) (int, error) {
	b.read += len(p)
	return len(p), nil
}

func (b *endlessBody) Close() error {
	b.opened++
	return nil
}

// drip is a body of which a byte comes a second.
type drip struct{ ctx context.Context }

func (d *drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return copy(p, "x"), nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (*drip) Close() error { return nil }

// When castoff stops, what is queued is tried once more, for a while.
func TestStop(t *testing.T) {
	t.Run("delivers what is queued", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			down := true
			var sent []string
			s, c := newSender(t, answer(func(r *http.Request) (*http.Response, error) {
				if down {
					return says(503, "Retry-After", "60")
				}
				body, _ := io.ReadAll(r.Body)
				sent = append(sent, string(body))
				return says(200)
			}), hook("ops"))
			for i := range 3 {
				s.Tell(paused(i))
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			down = false
			before := time.Now()
			if err := s.Stop(t.Context()); err != nil || time.Since(before) != 0 {
				t.Errorf("took %s: %v", time.Since(before), err)
			}
			if len(sent) != 5 || c.of("ops paused sent") != 3 || c.of("ops unpaused sent") != 2 {
				t.Errorf("sent %d, counted %v", len(sent), c.n)
			}
		})
	})
	t.Run("is bounded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, c := newSender(t, answer(hangs), hook("ops"))
			for i := range 3 {
				s.Tell(paused(i))
			}
			time.Sleep(time.Second)
			before := time.Now()
			if err := s.Stop(t.Context()); err != nil || time.Since(before) != flushing {
				t.Errorf("took %s: %v", time.Since(before), err)
			}
			if c.of("ops paused dropped") != 3 || c.of("ops unpaused dropped") != 2 {
				t.Errorf("counted %v", c.n)
			}
		})
	})
	t.Run("is cut short", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, _ := newSender(t, answer(hangs), hook("ops"))
			s.Tell(paused(1))
			time.Sleep(time.Second)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			before := time.Now()
			if err := s.Stop(ctx); err != nil || time.Since(before) != 0 {
				t.Errorf("took %s: %v", time.Since(before), err)
			}
		})
	})
	t.Run("counts what comes later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, c := newSender(t, answer(func(*http.Request) (*http.Response, error) { return says(200) }), hook("ops"))
			s.Tell(paused(0))
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			s.Tell(paused(1)) // by a pass that did not end in time
			if c.of("ops paused sent") != 1 || c.of("ops paused dropped") != 1 || c.of("ops unpaused dropped") != 1 {
				t.Errorf("counted %v", c.n)
			}
			if at := s.Standing()[0]; at.Dropped != 2 || at.Queued != 0 {
				t.Errorf("stands %+v", at)
			}
		})
	})
	t.Run("without having started", func(t *testing.T) {
		s, err := New(Options{Receivers: []Receiver{hook("ops")}, Recorder: &counts{n: map[string]int{}}, Logger: slog.New(slog.DiscardHandler)})
		if err := errors.Join(err, s.Stop(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// The oldest go when there is no room, and never the one that is being sent.
func TestOldestIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []string
		s, c := newSender(t, answer(func(r *http.Request) (*http.Response, error) {
			if len(sent) == 0 {
				time.Sleep(8 * time.Second)
			}
			body, _ := io.ReadAll(r.Body)
			_, what, _ := strings.Cut(string(body), "number ")
			what, _, _ = strings.Cut(what, ":")
			sent = append(sent, what)
			return says(200)
		}), func() Receiver {
			r := hook("ops")
			r.Rule.Events = []notify.Event{notify.Halted, notify.Paused}
			return r
		}())
		s.Tell(notify.State{At: time.Now(), Halts: []policy.Halt{{Cause: "panic", Detail: "number 0: told to"}}})
		synctest.Wait()
		for i := range 149 {
			s.Tell(paused(i + 1))
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []string{"0"}
		for i := 51; i < 150; i++ {
			want = append(want, fmt.Sprint(i))
		}
		if !slices.Equal(sent, want) {
			t.Errorf("sent %v", sent)
		}
		if c.of("ops halted sent") != 1 || c.of("ops halted dropped") != 0 || c.of("ops paused sent") != 99 || c.of("ops paused dropped") != 50 {
			t.Errorf("counted %v", c.n)
		}
		_ = s.Stop(t.Context())
	})
}
