package scenario

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/webhook"
	"github.com/castoff-ecs/castoff/metrics"
)

// inbox is a receiver in the process: what it got, in order.
type inbox struct {
	mu     sync.Mutex
	events []string
	texts  []string
	bodies [][]byte
	ids    map[string]int
	// hangs has it never answer.
	hangs bool
}

func (b *inbox) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var message struct {
		Type string
		Data struct{ ID, Text string }
	}
	if err := json.Unmarshal(body, &message); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ids == nil {
		b.ids = map[string]int{}
	}
	b.ids[message.Data.ID]++
	b.events, b.texts, b.bodies = append(b.events, message.Type), append(b.texts, message.Data.Text), append(b.bodies, body)
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
}

// story are the events, each told once.
func (b *inbox) story(t *testing.T) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, n := range b.ids {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
	return strings.Join(b.events, " ")
}

func (b *inbox) notifier(t *testing.T, exposedFor time.Duration, events ...notify.Event) *webhook.Sender {
	t.Helper()
	if events == nil {
		events = notify.DefaultEvents()
	}
	s, err := webhook.New(webhook.Options{
		Receivers: []webhook.Receiver{{
			Name: "ops", Kind: notify.Webhook, URL: "https://ops.example.com/", Secret: "c3BlYWsgZnJpZW5kIGFuZCBlbnRlciwgaHVudGVyMg==",
			Timeout: 10 * time.Second, Rule: notify.Rule{Events: events, ExposedFor: exposedFor},
		}},
		Place: notify.Place{Region: sim.RegionName, URL: "https://castoff.example.com"}, Version: "test",
		Transport: b, Recorder: metrics.New(nil, metrics.Options{}).Notifications, Logger: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	return s
}

// What people are told of a hung task that castoff takes out, in order: ECS puts
// it back again and again, which is no news until castoff gives up.
func TestToldOfAHungTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b inbox
		region := referenceRegion(t, 1, nil, 4)
		start(t, region, set{mode: policy.Detaching, notifier: b.notifier(t, time.Second)})
		time.Sleep(3 * time.Minute)
		must(t, region.Hang(region.Tasks(reference)[0].ARN))
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		if got, want := b.story(t), "exposed detached unexposed stopped"; got != want {
			t.Errorf("told %s, want %s\n%s", got, want, strings.Join(b.texts, "\n\n"))
		}
	})
}

// In mode observe nobody is told that anything was done.
func TestToldWhileObserving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b, all inbox
		region := referenceRegion(t, 1, nil, 4)
		start(t, region, set{mode: policy.Observing, notifier: b.notifier(t, time.Minute)})
		start(t, region, set{mode: policy.Observing, notifier: all.notifier(t, time.Minute, notify.Events...)})
		time.Sleep(3 * time.Minute)
		must(t, region.Hang(region.Tasks(reference)[0].ARN))
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		if got := b.story(t); got != "exposed unexposed" {
			t.Errorf("told %s", got)
		}
		if got := all.story(t); got != "would_detach exposed unexposed" {
			t.Errorf("who asks for all is told %s", got)
		}
		if text := b.texts[0]; !strings.Contains(text, "castoff only watches here (mode observe)") {
			t.Errorf("told %s", text)
		}
	})
}

// A task that is well again goes back, and a pause is told of.
func TestToldOfARecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b inbox
		params := sim.DefaultParams()
		params.NeverReregister = true
		params.React = sim.Exactly(20 * time.Minute)
		region := referenceRegion(t, 1, &params, 4)
		pause := policy.Pause{Scope: policy.ScopeAll, Until: time.Now().Add(2 * time.Minute), Owner: "jane@example.com", Reason: "audit", From: policy.FromConfig}
		start(t, region, set{mode: policy.Detaching, pauses: []policy.Pause{pause}, notifier: b.notifier(t, time.Second)})
		time.Sleep(3 * time.Minute)
		sick := region.Tasks(reference)[0]
		must(t, region.Hang(sick.ARN))
		time.Sleep(time.Minute)
		must(t, region.Recover(sick.ARN))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got, want := b.story(t), "paused unpaused exposed detached unexposed attached"; got != want {
			t.Errorf("told %s, want %s\n%s", got, want, strings.Join(b.texts, "\n\n"))
		}
	})
}

func TestToldOfALatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b inbox
		region := referenceRegion(t, 1, nil, 4)
		start(t, region, set{mode: policy.Detaching, notifier: b.notifier(t, time.Minute)})
		time.Sleep(3 * time.Minute)
		for _, task := range region.Tasks(reference) {
			must(t, region.Hang(task.ARN))
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		if !slices.Contains(b.events, "latched") || !slices.Contains(b.events, "exposed") || slices.Contains(b.events, "detached") {
			t.Errorf("told %v", b.events)
		}
	})
}

// A restart in the middle tells nothing twice and leaves nothing out.
func TestToldOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b inbox
		params := sim.DefaultParams()
		params.NeverReregister = true
		region := referenceRegion(t, 1, &params, 4)
		kept := journal.Memory(journal.Options{Keep: journal.Keep{Count: 100, Age: time.Hour}})
		d := start(t, region, set{mode: policy.Detaching, journal: kept, notifier: b.notifier(t, time.Second)})
		time.Sleep(3 * time.Minute)
		must(t, region.Hang(region.Tasks(reference)[0].ARN))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		past, err := kept.Load()
		must(t, err, d.Stop(t.Context()))
		if got := b.story(t); !strings.HasPrefix(got, "exposed detached") {
			t.Fatalf("told %s", got)
		}
		start(t, region, set{mode: policy.Detaching, past: past, notifier: b.notifier(t, time.Second)})
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		if got, want := b.story(t), "exposed detached unexposed stopped"; got != want {
			t.Errorf("told %s, want %s\n%s", got, want, strings.Join(b.texts, "\n\n"))
		}
	})
}

// SAFETY: a receiver that never answers changes nothing of what castoff does, nor
// when, and a stop ends in time.
func TestSafetyReceiverThatHangs(t *testing.T) {
	passes := func(notifier func(*testing.T) *webhook.Sender) (n int, decided time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			region := referenceRegion(t, 1, nil, 4)
			o := set{mode: policy.Detaching}
			if notifier != nil {
				o.notifier = notifier(t)
			}
			d := start(t, region, o)
			time.Sleep(3 * time.Minute)
			must(t, region.Hang(region.Tasks(reference)[0].ARN))
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			n = d.View().Pass.Number
			if ds := d.View().Detachments; len(ds) == 1 {
				decided = ds[0].Decided.Sub(began)
			}
			stopping := time.Now()
			if err := d.Stop(t.Context()); err != nil || time.Since(stopping) > 10*time.Second {
				t.Errorf("stopping took %s: %v", time.Since(stopping), err)
			}
		})
		return n, decided
	}
	n, decided := passes(nil)
	hung := inbox{hangs: true}
	n2, decided2 := passes(func(t *testing.T) *webhook.Sender { return hung.notifier(t, time.Second) })
	if n != n2 || decided != decided2 || decided == 0 {
		t.Errorf("%d passes and a decision after %s, with a receiver that hangs %d and %s", n, decided, n2, decided2)
	}
}

// README shows a notification that was really sent.
func TestReadmeShowsANotification(t *testing.T) {
	var b inbox
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC))) // a bubble begins in 2000
		region := referenceRegion(t, 1, nil, 4)
		start(t, region, set{mode: policy.Detaching, notifier: b.notifier(t, time.Second)})
		time.Sleep(3 * time.Minute)
		must(t, region.Hang(region.Tasks(reference)[0].ARN))
		time.Sleep(time.Minute)
		synctest.Wait()
	})
	i := slices.Index(b.events, "detached")
	if i < 0 {
		t.Fatalf("told %v", b.events)
	}
	var pretty map[string]any
	must(t, json.Unmarshal(b.bodies[i], &pretty))
	body, err := json.MarshalIndent(pretty, "", "  ")
	must(t, err)
	readme, err := os.ReadFile("../../README.md")
	must(t, err)
	between := regexp.MustCompile("(?s)(<!-- notification:begin -->\n```json\n)(.*)(\n```\n<!-- notification:end -->)")
	m := between.FindSubmatchIndex(readme)
	if m == nil {
		t.Fatal("README.md has no lines <!-- notification:begin --> and <!-- notification:end -->")
	}
	if string(readme[m[4]:m[5]]) == string(body) {
		return
	}
	if !*update {
		t.Fatalf("README.md shows another notification: go test ./controller/scenario -run ReadmeShows -update\n%s", body)
	}
	must(t, os.WriteFile("../../README.md", slices.Concat(readme[:m[4]], body, readme[m[5]:]), 0o644))
}

// AWS denies the call, again every few minutes: told once, until it is allowed.
func TestToldOfADenial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b inbox
		params := sim.DefaultParams()
		params.NeverReregister = true
		params.React = sim.Exactly(30 * time.Minute) // ECS does nothing meanwhile
		region := referenceRegion(t, 1, &params, 4)
		lift := region.Fault(sim.Fault{Operation: "DeregisterTargets", Effect: sim.Deny})
		start(t, region, set{mode: policy.Detaching, notifier: b.notifier(t, 5*time.Minute)})
		time.Sleep(3 * time.Minute)
		must(t, region.Hang(region.Tasks(reference)[0].ARN))
		time.Sleep(18 * time.Minute)
		synctest.Wait()
		if got := b.story(t); got != "denied exposed" {
			t.Errorf("told %s\n%s", got, strings.Join(b.texts, "\n\n"))
		}
		if text := b.texts[0]; !strings.Contains(text, "AWS denied DeregisterTargets on reference-10080") {
			t.Errorf("told %s", text)
		}
		lift()
		time.Sleep(7 * time.Minute)
		synctest.Wait()
		if got := b.story(t); got != "denied exposed detached unexposed" {
			t.Errorf("once it was allowed told %s", got)
		}
	})
}

// ECS puts the target back at once, each time: told once, when castoff gives up.
func TestToldOfAContest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b inbox
		params := sim.DefaultParams()
		params.React = sim.Exactly(30 * time.Minute)
		params.Reregister = sim.Exactly(5 * time.Second)
		region := referenceRegion(t, 1, &params, 4)
		d := start(t, region, set{mode: policy.Detaching, notifier: b.notifier(t, time.Second, notify.Detached, notify.Contested)})
		time.Sleep(3 * time.Minute)
		must(t, region.Hang(region.Tasks(reference)[0].ARN))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := b.story(t); got != "detached contested" {
			t.Errorf("told %s\n%s", got, strings.Join(b.texts, "\n\n"))
		}
		if ds := d.View().Detachments; len(ds) != 1 || ds[0].Tries != policy.DefaultLimits().Contested.Tries {
			t.Errorf("detachments: %+v", ds)
		}
	})
}
