package webhook

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/castoff-ecs/castoff/controller/notify"
)

// receiver is one with its queue.
type receiver struct {
	Receiver
	place    notify.Place
	agent    string
	client   *http.Client
	key      *standardwebhooks.Webhook // nil: nothing is signed
	recorder Recorder
	log      *slog.Logger
	teller   *notify.Teller // of the Sender's work; once that is over, of whoever calls Tell

	wake chan struct{} // something was put into the queue

	mu       sync.Mutex
	queue    []notify.Notification // oldest first; the first may be being sent
	busy     bool                  // it is
	full     bool                  // something was dropped since the queue was last empty
	closed   bool                  // nobody sends any more
	standing notify.Standing

	// notBefore is when the receiver may be asked again. It is the worker's.
	notBefore time.Time
}

// put queues a notification. When there is no room the oldest that waits goes:
// what is newer says more of what is now.
func (r *receiver) put(n notify.Notification) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed { // as of a pass that outlasts the patience of a stop
		r.count(n, notify.Dropped)
		r.log.Warn("notification dropped: castoff stops", "event", n.Event, "id", n.ID, "tries", 0)
		return
	}
	if len(r.queue) >= queueLength {
		oldest := 0
		if r.busy {
			oldest = 1
		}
		dropped := r.queue[oldest]
		r.queue = append(r.queue[:oldest:oldest], r.queue[oldest+1:]...)
		r.count(dropped, notify.Dropped)
		if !r.full { // said once, not for each: it goes on
			r.log.Warn("the queue of a receiver is full, so the oldest notifications are dropped", "length", queueLength, "event", dropped.Event, "id", dropped.ID)
		}
		r.full = true
	}
	r.queue = append(r.queue, n)
	r.queued()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// next is the oldest; not ok when there is none, and when it is the last time that
// anybody asks there will be none.
func (r *receiver) next(last bool) (n notify.Notification, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		r.full, r.closed = false, last
		return n, false
	}
	r.busy = true
	return r.queue[0], true
}

// done takes the oldest out.
func (r *receiver) done(n notify.Notification, result notify.Result, err error) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = false
	r.queue = append([]notify.Notification(nil), r.queue[1:]...) // so that it can go
	r.count(n, result)
	r.queued()
	switch result {
	case notify.Sent:
		r.standing.LastSuccess = now
	case notify.Failed:
		r.standing.LastFailure, r.standing.LastError = now, err.Error()
	}
}

// failing notes a try that failed and is made again.
func (r *receiver) failing(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.standing.LastFailure, r.standing.LastError = time.Now(), err.Error()
}

func (r *receiver) count(n notify.Notification, result notify.Result) {
	switch result {
	case notify.Sent:
		r.standing.Sent++
	case notify.Failed:
		r.standing.Failed++
	case notify.Dropped:
		r.standing.Dropped++
	}
	r.recorder.Notified(r.Name, n.Event, result)
}

func (r *receiver) queued() {
	r.standing.Queued = len(r.queue)
	r.recorder.Queued(r.Name, len(r.queue))
}

// run sends what is queued until soft is done and the queue is empty.
func (r *receiver) run(soft, hard context.Context) {
	for {
		ended := soft.Err() != nil
		n, ok := r.next(ended)
		if ok {
			r.deliver(soft, hard, n)
			continue
		}
		if ended {
			return
		}
		select {
		case <-r.wake:
		case <-soft.Done():
		}
	}
}

// deliver sends one notification, as often as it takes. Once soft is done it is
// tried a last time; once hard is done it is dropped.
func (r *receiver) deliver(soft, hard context.Context, n notify.Notification) {
	log := r.log.With("event", n.Event, "id", n.ID)
	body, err := n.Payload(r.Kind, r.Text, r.place)
	if err != nil {
		log.Warn("the text's template failed, so castoff's own words are sent", "error", err)
	}
	deadline := n.At.Add(patience)
	for tries := 1; ; tries++ {
		wait(soft, r.notBefore) // where it asked to be left alone, after the one before too
		if hard.Err() != nil {
			log.Warn("notification dropped: castoff stops", "tries", tries-1)
			r.done(n, notify.Dropped, nil)
			return
		}
		last := soft.Err() != nil
		err := r.post(hard, n.ID, body)
		if err == nil {
			r.notBefore = time.Time{}
			log.Debug("notification sent", "tries", tries)
			r.done(n, notify.Sent, nil)
			return
		}
		again, ok := retry(err)
		r.notBefore = time.Now().Add(max(pauseAfter(tries), again))
		if !ok || last || r.notBefore.After(deadline) {
			if !ok {
				r.notBefore = time.Time{}
			}
			if most := time.Now().Add(patience); r.notBefore.After(most) {
				r.notBefore = most // or one answer would silence castoff for years
			}
			log.Warn("notification not delivered", "tries", tries, "error", err)
			r.done(n, notify.Failed, err)
			return
		}
		log.Debug("notification not taken, to be sent again", "tries", tries, "error", err, "at", r.notBefore)
		r.failing(err)
	}
}

// pauseAfter is how long to wait after so many tries: twice as long each time, by up to a
// half more or less at random, so that many castoffs do not come back together.
func pauseAfter(tries int) time.Duration {
	d := min(firstPause<<min(tries-1, 20), mostPause)
	return d/2 + rand.N(d)
}

// wait waits until an instant, or until ctx is done.
func wait(ctx context.Context, until time.Time) {
	d := time.Until(until)
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
