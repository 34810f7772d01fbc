package sim

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// BenchmarkRegion is a region in which a task hangs every ten seconds, read
// every five by a watcher that decodes nothing: all services, tasks and targets.
// It reports how many simulated seconds pass in a real one. A benchmark has no
// bubble, so it moves the region's clock by itself, ahead of the time of day.
func BenchmarkRegion(b *testing.B) {
	for _, size := range []struct{ services, tasks int }{{10, 10}, {1000, 10}} {
		b.Run(fmt.Sprintf("%dx%d", size.services, size.tasks), func(b *testing.B) {
			r := New(Options{Seed: 1})
			if err := r.AddCluster("prod", ClusterOptions{}); err != nil {
				b.Fatal(err)
			}
			for i := range size.services {
				spec := ReferenceWorkload("prod", fmt.Sprintf("s%04d", i))
				spec.Desired = size.tasks
				if err := r.AddService(spec); err != nil {
					b.Fatal(err)
				}
			}
			from, turn := r.now, 0
			for b.Loop() {
				r.mu.Lock()
				r.advanceTo(r.now.Add(5 * time.Second))
				if s := r.clusters[0].services[turn%size.services]; turn%2 == 0 && len(s.live) > 0 && s.live[0].alive {
					s.live[0].fail(Hang)
					s.live[0].turnApp(hung, true)
				}
				r.mu.Unlock()
				watch(b, r)
				turn++
			}
			b.ReportMetric(r.now.Sub(from).Seconds()/b.Elapsed().Seconds(), "sim-s/s")
		})
	}
}

// watch reads everything once.
func watch(b *testing.B, r *Region) {
	b.Helper()
	c := r.clusters[0]
	var services, tasks []string
	for _, s := range c.services {
		services = append(services, `"`+s.spec.Name+`"`)
	}
	for _, t := range c.tasks {
		if t.desired == fleet.Running {
			tasks = append(tasks, `"`+t.id+`"`)
		}
	}
	send(b, r, "ListTasks", `{"cluster":"prod"}`)
	for part := range slices.Chunk(services, 10) {
		send(b, r, "DescribeServices", `{"cluster":"prod","services":[`+strings.Join(part, ",")+`]}`)
	}
	for part := range slices.Chunk(tasks, 100) {
		send(b, r, "DescribeTasks", `{"cluster":"prod","tasks":[`+strings.Join(part, ",")+`]}`)
	}
	for _, g := range r.groups {
		form := url.Values{"Action": {"DescribeTargetHealth"}, "Version": {"2015-12-01"}, "TargetGroupArn": {string(g.arn)}}
		send(b, r, "", form.Encode())
	}
}

func send(b *testing.B, r *Region, operation, body string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://sim.invalid/", strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	if operation != "" {
		req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+operation)
	}
	rep, err := Doer{Region: r}.Do(req)
	if err != nil || rep.StatusCode != http.StatusOK {
		b.Fatalf("%s: %v %v", operation, rep, err)
	}
	if _, err := io.Copy(io.Discard, rep.Body); err != nil {
		b.Fatal(err)
	}
}
