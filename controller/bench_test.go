package controller

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// BenchmarkPass is a pass over 1,000 tasks in 100 services, all of them read
// each time with the real SDK: calm, and with one task in a hundred failing for
// ever. It is made in turn with a journal on disk, synced, and with one in memory:
//
//	wall/memory  the time that the first takes over that of the second
//	cpu/memory   the same for CPU time
func BenchmarkPass(b *testing.B) {
	for _, failing := range []int{0, 10} {
		b.Run(fmt.Sprintf("failing=%d", failing), func(b *testing.B) {
			region := hundredServices(b)
			disk, err := journal.Open(b.TempDir(), journal.Options{})
			if err != nil {
				b.Fatal(err)
			}
			with, without := benched(b, region, disk), benched(b, region, nil)
			for n := range failing {
				id := fleet.ServiceID{Cluster: "prod", Name: fmt.Sprintf("service-%02d", n*7)}
				if err := region.Hang(region.Tasks(id)[0].ARN); err != nil {
					b.Fatal(err)
				}
			}
			for end := time.Now().Add(time.Minute); len(with.View().Open) < failing || len(without.View().Open) < failing; {
				with.pass(b.Context())
				without.pass(b.Context())
				if time.Now().After(end) {
					b.Fatalf("%d of %d timelines", len(with.View().Open), failing)
				}
			}
			var spent, spentWithout cost
			for b.Loop() {
				spent.add(b, func() { with.pass(b.Context()) })
				b.StopTimer()
				spentWithout.add(b, func() { without.pass(b.Context()) })
				b.StartTimer()
			}
			if got := len(with.View().Snapshot.Tasks); got != 1000 || len(with.View().Snapshot.Gaps) != 0 {
				b.Fatalf("%d tasks, gaps %v", got, with.View().Snapshot.Gaps)
			}
			b.ReportMetric(float64(spent.wall)/float64(spentWithout.wall), "wall/memory")
			b.ReportMetric(float64(spent.cpu)/float64(spentWithout.cpu), "cpu/memory")
		})
	}
}

// hundredServices is a region in which ECS does nothing about a failing task for
// a day, sixty times as fast as the clock.
func hundredServices(b *testing.B) *sim.Region {
	params := sim.DefaultParams()
	params.React = sim.Exactly(24 * time.Hour)
	region := sim.New(sim.Options{Seed: 1, Params: &params, Speed: 60})
	if err := region.AddCluster("prod", sim.ClusterOptions{}); err != nil {
		b.Fatal(err)
	}
	for n := range 100 {
		spec := sim.ReferenceWorkload("prod", fmt.Sprintf("service-%02d", n))
		spec.Desired = 10
		if err := region.AddService(spec); err != nil {
			b.Fatal(err)
		}
	}
	return region
}

// benched is castoff on a region, every task due in each pass.
func benched(b *testing.B, region *sim.Region, kept *journal.Journal) *Controller {
	cfg := awsapi.Simulated("http://aws.invalid", sim.RegionName)
	cfg.HTTPClient = sim.Doer{Region: region}
	const rate = 1e6 // the budgets are not what is measured
	observer, err := awsapi.New(awsapi.Options{
		Config: cfg, Interval: 1, HotInterval: 1, CalmInterval: 1, DiscoveryInterval: time.Hour, InventoryInterval: time.Hour,
		Budgets: awsapi.Budgets{ClusterRead: rate, ClusterResourceRead: rate, ServiceRead: rate, TaskDefinitionRead: rate, BalancerRead: rate},
	})
	if err != nil {
		b.Fatal(err)
	}
	o, _ := options(observer, io.Discard)
	o.Journal, o.Exposition = kept, http.NotFoundHandler()
	o.Polling.Deadline = time.Minute
	c, err := New(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Stop(context.WithoutCancel(b.Context())) })
	return c
}

type cost struct{ wall, cpu time.Duration }

func (c *cost) add(b *testing.B, do func()) {
	begun, used := time.Now(), cpuTime(b)
	do()
	c.wall += time.Since(begun)
	c.cpu += cpuTime(b) - used
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
