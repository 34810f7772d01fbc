package journal

import (
	"fmt"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// What a pass over 10,000 tasks in 1,000 services costs: calm, with the times of readings due or
// not; with one of 100 tasks of a service failing; and with a service of 5,000
// in which 500 fail at once.
func BenchmarkCommit(b *testing.B) {
	for _, of := range []struct {
		name         string
		hot, failing int
		every        time.Duration
	}{
		{"calm", 0, 0, 0},
		{"calm-due", 0, 0, DefaultCalm},
		{"busy", 100, 1, 2 * time.Second},
		{"storm", 5000, 500, 2 * time.Second},
	} {
		for _, sync := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/fsync=%t", of.name, sync), func(b *testing.B) {
				s := current()
				s.noSync = !sync
				j, err := s.open(b.TempDir(), wide)
				must(b, err)
				w := newWorld(1, of.hot)
				for n := range of.failing {
					w.failing[n] = epoch
				}
				newest := make([]timeline.Newest, 1000)
				for n := range newest {
					newest[n] = timeline.Newest{Service: fleet.ServiceID{Cluster: "prod", Name: fmt.Sprintf("service-%d", n)}, Created: epoch}
				}
				pass := func() Pass {
					p := Pass{Tracker: w.state(), Guards: w.guards()}
					p.Tracker.Calm.Newest = newest
					return p
				}
				must(b, j.Commit(pass()))
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					w.now = w.now.Add(of.every)
					p := pass()
					b.StartTimer()
					must(b, j.Commit(p))
				}
				b.StopTimer()
				must(b, j.Close())
			})
		}
	}
}

// What a start costs with as much in the file as is kept by default.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	o := Options{Keep: Keep{Count: 10_000, Age: 1000 * time.Hour}}
	j := open(b, dir, o)
	w := newWorld(1, 3)
	var p Pass
	for n := range 10_000 {
		tl := w.timeline(n, epoch)
		tl.Closed = epoch.Add(time.Duration(n) * time.Second)
		p.Closed = append(p.Closed, tl)
	}
	p.Tracker.At = epoch.Add(10_000 * time.Second)
	must(b, j.Commit(p))
	must(b, j.Close())
	for b.Loop() {
		j := open(b, dir, o)
		_, err := j.Load()
		must(b, err)
		must(b, j.Close())
	}
}
