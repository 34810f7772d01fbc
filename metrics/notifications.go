package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/castoff-ecs/castoff/controller/notify"
)

// Notifications are the metrics of what is told to whom. Receivers and events
// are those of the configuration, so their number is bounded.
type Notifications struct {
	total   *prometheus.CounterVec
	queued  *prometheus.GaugeVec
	skipped *prometheus.CounterVec
}

func newNotifications(f promauto.Factory) *Notifications {
	return &Notifications{total: notificationsTotal.counter(f), queued: notificationsQueued.gauge(f), skipped: notificationsSkipped.counter(f)}
}

// Receiver begins the series of a receiver at 0, of the events that it gets.
func (n *Notifications) Receiver(name string, events []notify.Event) {
	n.Queued(name, 0)
	n.Skipped(0)
	for _, e := range events {
		for _, r := range notify.Results {
			n.total.WithLabelValues(label(name), label(string(e)), string(r))
		}
	}
}

// Notified counts a notification that was sent, or will not be.
func (n *Notifications) Notified(receiver string, e notify.Event, r notify.Result) {
	n.total.WithLabelValues(label(receiver), label(string(e)), label(string(r))).Inc()
}

// Queued says how many wait for a receiver.
func (n *Notifications) Queued(receiver string, waiting int) {
	n.queued.WithLabelValues(label(receiver)).Set(float64(waiting))
}

// Skipped counts passes whose own changes nobody is told.
func (n *Notifications) Skipped(passes int) {
	n.skipped.WithLabelValues().Add(float64(passes))
}
