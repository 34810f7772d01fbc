package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/webhook"
)

// exposedFleet is a hundred services of ten tasks each, all of which ECS calls
// UNHEALTHY; their targets are in the state.
func exposedFleet(state fleet.TargetState) *fleet.Snapshot {
	now := time.Now().Round(0)
	read := fleet.Read{Sent: now, Received: now}
	s := fleet.Snapshot{At: now, Clusters: []*fleet.Cluster{{ARN: "arn:aws:ecs:eu-central-1:123456789012:cluster/prod", Name: "prod", Read: read}}}
	for n := range 100 {
		id := fleet.ServiceID{Cluster: "prod", Name: fmt.Sprintf("service-%02d", n)}
		g := &fleet.TargetGroup{Read: read, Inventory: read, ARN: fleet.TargetGroupARN(fmt.Sprintf("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/service-%02d/0123456789abcdef", n))}
		for i := range 10 {
			key := fleet.NewTargetKey(g.ARN, fmt.Sprintf("10.0.%d.%d", n, i+1), 10080)
			s.Tasks = append(s.Tasks, &fleet.Task{
				ARN: fleet.TaskARN(fmt.Sprintf("arn:aws:ecs:eu-central-1:123456789012:task/prod/%032x", n*10+i)), Service: id, LastStatus: fleet.Running,
				Health: fleet.Unhealthy, Created: now.Add(-time.Hour), Read: read, Targets: []fleet.TargetKey{key},
			})
			g.Targets = append(g.Targets, fleet.Target{Key: key, State: state})
		}
		s.TargetGroups = append(s.TargetGroups, g)
		s.Services = append(s.Services, &fleet.Service{ID: id, Status: "ACTIVE", Desired: 10, Read: read, LoadBalancers: []fleet.LoadBalancer{{Group: g.ARN, Port: 10080}}})
	}
	return fleet.NewSnapshot(s)
}

// unwilling answers as the receiver's name says: at once, late, or never; the dead
// one is not there.
type unwilling struct{}

func (unwilling) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	wait := map[byte]time.Duration{'s': 9 * time.Second, 'n': time.Hour}[r.URL.Host[0]]
	if r.URL.Host[0] == 'd' {
		return nil, errors.New("connection refused")
	}
	select {
	case <-time.After(wait):
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

type uncounted struct{}

func (uncounted) Receiver(string, []notify.Event)              {}
func (uncounted) Notified(string, notify.Event, notify.Result) {}
func (uncounted) Queued(string, int)                           {}

// BenchmarkNotifiedPass is a pass in which 1,000 exposures end, told to receivers of
// whom a quarter each is slow, never answers, is dead and is quick. It is made in
// turn with one that tells nobody:
//
//	wall/untold   the time that the first takes over that of the second
//	queued/untold the same, until everything is in the receivers' queues
//	cpu/untold    the same for CPU time, what is sent by then included
func BenchmarkNotifiedPass(b *testing.B) {
	for _, n := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("receivers=%d", n), func(b *testing.B) {
			state := fleet.TargetHealthy
			watching := func(s *webhook.Sender) *Controller {
				o, _ := options(observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot { return exposedFleet(state) }), io.Discard)
				o.Notifier = s
				c, err := New(o)
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = c.Stop(context.WithoutCancel(b.Context())) })
				return c
			}
			sender := manyReceivers(b, n)
			with, without := watching(sender), watching(nil)
			var told, queued, untold cost
			news := 0 // of each service, so far: that it began, and that it is over
			heard := func() {
				news += n * 100
				until(b, sender, news)
			}
			for b.Loop() {
				b.StopTimer()
				state = fleet.TargetHealthy
				with.pass(b.Context())
				heard()
				without.pass(b.Context())
				state = fleet.TargetDraining
				untold.add(b, func() { without.pass(b.Context()) })
				b.StartTimer()
				told.add(b, func() { with.pass(b.Context()) })
				b.StopTimer()
				queued.add(b, heard)
				b.StartTimer()
			}
			b.ReportMetric(float64(told.wall)/float64(untold.wall), "wall/untold")
			b.ReportMetric(float64(told.wall+queued.wall)/float64(untold.wall), "queued/untold")
			b.ReportMetric(float64(told.cpu+queued.cpu)/float64(untold.cpu), "cpu/untold")
		})
	}
}

// until waits for so many notifications.
func until(b *testing.B, sender *webhook.Sender, want int) {
	b.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		said := 0
		for _, s := range sender.Standing() {
			said += s.Queued + s.Sent + s.Failed + s.Dropped
		}
		if said == want {
			return
		}
		if said > want || time.Now().After(deadline) {
			b.Fatalf("%d notifications of %d", said, want)
		}
	}
}

func manyReceivers(b *testing.B, n int) *webhook.Sender {
	b.Helper()
	var to []webhook.Receiver
	for i := range n {
		name := fmt.Sprintf("%s-%d", []string{"slow", "never", "dead", "quick"}[i%4], i)
		to = append(to, webhook.Receiver{
			Name: name, Kind: notify.Webhook, URL: "https://" + name + ".example.com/", Secret: "whsec_c3BlYWsgZnJpZW5kIGFuZCBlbnRlciwgaHVudGVyMg==",
			Timeout: 10 * time.Second, Rule: notify.Rule{Events: []notify.Event{notify.Exposed, notify.Unexposed}},
		})
	}
	s, err := webhook.New(webhook.Options{Receivers: to, Version: "test", Transport: unwilling{}, Recorder: uncounted{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	b.Cleanup(func() { _ = s.Stop(context.WithoutCancel(b.Context())) })
	return s
}
