package scenario

import (
	"fmt"
	"net/http"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// TestSpeed says how many simulated seconds pass in a second for the whole
// controller with its defaults, the real SDK and a region, in one process: while
// all is calm, and while a task hangs every minute. In a second of CPU time too,
// which says the same on a machine that has other things to do:
//
//	go test ./controller/scenario -run TestSpeed -speed -v
//
// Beside it stands what the bare SDK takes for the same calls, which are answered
// with the replies that they got. A benchmark has no bubble, so this is a test;
// it judges nothing, for machines differ.
func TestSpeed(t *testing.T) {
	if !*speed {
		t.Skip("measures only; -speed runs it")
	}
	for _, size := range []struct {
		services, tasks int
		simulated       time.Duration
	}{{10, 10, 30 * time.Minute}, {1000, 2, 3 * time.Minute}} {
		for _, failing := range []bool{false, true} {
			w := speedWorld{services: size.services, tasks: size.tasks, failing: failing}
			t.Run(fmt.Sprintf("%dx%d/failing=%t", size.services, size.tasks, failing), func(t *testing.T) {
				whole, again := w.run(t, size.simulated)
				bare := measure(t, func() { again.run(t) })
				t.Logf("castoff and the region, %s: %s", size.simulated, whole.in(size.simulated))
				t.Logf("the bare SDK, %d calls: %s", len(again.calls), bare.in(size.simulated))
			})
		}
	}
}

// speedWorld is a fleet of the reference workload.
type speedWorld struct {
	services, tasks int
	failing         bool
}

// run measures a world once castoff knows it, and records the calls of as much
// time again.
func (w speedWorld) run(t *testing.T, simulated time.Duration) (whole spent, calls *recording) {
	calls = &recording{replies: map[string]*http.Response{}, bodies: map[string][]byte{}}
	synctest.Test(t, func(t *testing.T) {
		region := sim.New(sim.Options{Seed: 1, Throttle: true, Latency: 50 * time.Millisecond})
		must(t, region.AddCluster("prod", sim.ClusterOptions{}))
		for i := range w.services {
			spec := sim.ReferenceWorkload("prod", fmt.Sprintf("s%04d", i))
			spec.Desired = w.tasks
			must(t, region.AddService(spec))
		}
		calls.region = sim.Doer{Region: region}
		start(t, region, set{client: calls})
		minutes := 0
		live := func(d time.Duration) {
			for range int(d.Minutes()) {
				if w.failing {
					w.hang(t, region, minutes%w.services)
				}
				minutes++
				time.Sleep(time.Minute)
			}
		}
		live(3 * time.Minute)
		whole = measure(t, func() { live(simulated) })
		calls.set(true)
		live(simulated)
		calls.set(false)
	})
	return whole, calls
}

// hang has a task of a service hang that has nothing wrong with it yet.
func (w speedWorld) hang(t *testing.T, region *sim.Region, service int) {
	for _, task := range region.Tasks(fleet.ServiceID{Cluster: "prod", Name: fmt.Sprintf("s%04d", service)}) {
		if task.Answering && task.Health == fleet.Healthy && task.Desired == fleet.Running {
			must(t, region.Hang(task.ARN))
			return
		}
	}
}

// spent is what something took.
type spent struct {
	wall, cpu     time.Duration
	allocs, bytes uint64
}

func measure(t *testing.T, do func()) spent {
	t.Helper()
	now := func() spent {
		var used syscall.Rusage
		var day syscall.Timeval // the time of a bubble stands still
		must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &used), syscall.Gettimeofday(&day))
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return spent{time.Duration(day.Nano()), time.Duration(used.Utime.Nano() + used.Stime.Nano()), m.Mallocs, m.TotalAlloc}
	}
	runtime.GC()
	from := now()
	do()
	to := now()
	return spent{to.wall - from.wall, to.cpu - from.cpu, to.allocs - from.allocs, to.bytes - from.bytes}
}

// in is the same, for so much simulated time.
func (s spent) in(simulated time.Duration) string {
	seconds := simulated.Seconds()
	return fmt.Sprintf("%.0f × real time, %.0f × CPU time; in a simulated second %.0f µs of CPU, %.0f allocations, %.0f kB",
		seconds/s.wall.Seconds(), seconds/s.cpu.Seconds(), float64(s.cpu.Microseconds())/seconds, float64(s.allocs)/seconds, float64(s.bytes)/seconds/1e3)
}
