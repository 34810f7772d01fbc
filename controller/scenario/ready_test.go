package scenario

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// flaky loses one reply in so many, behind a proxy's page.
type flaky struct {
	sim.Doer
	one int

	mu          sync.Mutex
	rng         *rand.Rand
	calls, lost int
}

func (f *flaky) Do(req *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.calls++
	lose := f.rng.IntN(f.one) == 0
	if lose {
		f.lost++
	}
	f.mu.Unlock()
	if lose {
		return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}, Body: io.NopCloser(bytes.NewBufferString("<html>busy</html>")), Request: req}, nil
	}
	return f.Doer.Do(req)
}

// LIVENESS: castoff that watches 10,000 tasks and loses one call in a hundred is ready.
// What is lost is read again ahead of the queue, for which its budgets leave a large
// fleet to wait; and what was read a moment ago is known.
func TestLivenessReadyWhileCallsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		region := sim.New(sim.Options{Seed: 1, Throttle: true})
		must(t, region.AddCluster("prod", sim.ClusterOptions{}))
		check := &fleet.HealthCheck{Command: []string{"CMD", "/check"}}
		for i := range 25 {
			must(t, region.AddService(sim.ServiceSpec{
				Cluster: "prod", Name: fmt.Sprintf("s%02d", i), Desired: 400, Settled: true,
				Containers: []sim.ContainerSpec{{Name: "app", Ports: []int{8080}, Check: check}}, Groups: []sim.GroupSpec{{Name: fmt.Sprintf("g%02d", i)}},
			}))
		}
		client := &flaky{Doer: sim.Doer{Region: region}, one: 100, rng: rand.New(rand.NewPCG(1, 1))}
		d := start(t, region, set{client: client})
		for range 120 {
			time.Sleep(time.Second)
			if !d.View().LastFull.IsZero() {
				break
			}
		}
		samples, ready, gaps := 0, 0, 0
		for range 600 {
			time.Sleep(time.Second)
			synctest.Wait()
			v := d.View()
			samples++
			if !v.LastFull.IsZero() && time.Since(v.LastFull) <= v.ReadyWithin {
				ready++
			}
			gaps += len(v.Snapshot.Gaps)
		}
		t.Logf("%d tasks, %d of %d calls lost, %d gaps in %d samples: ready in %d", len(d.View().Snapshot.Tasks), client.lost, client.calls, gaps, samples, ready)
		if ready*100 < samples*99 || client.lost*150 < client.calls || gaps == 0 {
			t.Errorf("ready in %d of %d samples", ready, samples)
		}
	})
}
