package controller

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// BenchmarkReaders is castoff on 1,000 services with 10,000 closed timelines. Every
// task and target is read in each pass, one pass after the other: from an AWS that
// answers at once, where a pass is nothing but work, and from one that takes 20 ms
// for each call. Eight readers of one address ask again as soon as they are
// answered, over loopback, in the same process. Each pass is made in turn alone and
// with them:
//
//	pass-ms/alone  a pass, in milliseconds
//	pass/alone     the time that a pass takes with readers over that
//	pages/s        answered while a pass ran
//	B/page         of one answer
//	first-ms       from asking for the first one after a pass, while nobody else does, to having it
func BenchmarkReaders(b *testing.B) {
	for _, latency := range []time.Duration{0, 20 * time.Millisecond} {
		b.Run(fmt.Sprintf("latency=%v", latency), func(b *testing.B) {
			c := large(b, latency)
			task := c.View().Closed[0].Task.ID()
			for _, path := range []string{
				"/", "/timelines", "/timelines/" + string(c.View().Closed[0].ID), "/services", "/castoff",
				"/api/v1/status", "/api/v1/services", "/api/v1/timelines", "/api/v1/timelines?limit=1000", "/api/v1/tasks",
				"/api/v1/verdicts", "/api/v1/detachments", "/api/v1/explain?of=" + task,
			} {
				name := strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", ".") // a slash has a meaning for -bench
				b.Run("path="+cmp.Or(name, "Now"), func(b *testing.B) { read(b, c, "http://"+c.Address()+path) })
			}
		})
	}
}

// read makes passes with readers of one address and without.
func read(b *testing.B, c *Controller, url string) {
	size := fetch(b, url)
	var gate sync.RWMutex // held while nobody may read
	var pages atomic.Int64
	var over atomic.Bool
	var readers sync.WaitGroup
	gate.Lock()
	for range 8 {
		readers.Go(func() {
			for !over.Load() {
				gate.RLock()
				fetch(b, url)
				pages.Add(1)
				gate.RUnlock()
			}
		})
	}
	var alone, together, first cost
	for b.Loop() {
		alone.add(b, func() { c.pass(b.Context()) })
		first.add(b, func() { fetch(b, url) })
		gate.Unlock()
		together.add(b, func() { c.pass(b.Context()) })
		gate.Lock()
	}
	served := pages.Load()
	over.Store(true)
	gate.Unlock()
	readers.Wait()
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(alone.wall), "pass-ms/alone")
	b.ReportMetric(float64(together.wall)/float64(alone.wall), "pass/alone")
	b.ReportMetric(float64(served)/together.wall.Seconds(), "pages/s")
	b.ReportMetric(float64(size), "B/page")
	b.ReportMetric(ms(first.wall), "first-ms")
}

// fetch answers how many bytes there are.
func fetch(b *testing.B, url string) int64 {
	r, err := http.Get(url) // bounded by the server
	if err != nil {
		b.Error(err)
		return 0
	}
	defer func() { _ = r.Body.Close() }()
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		b.Errorf("%s: %s, %v", url, r.Status, err)
	}
	return n
}

// large is castoff, serving, on a region of 1,000 services of two tasks each, of
// which twenty fail for ever, with the history of a busy month.
func large(b *testing.B, latency time.Duration) *Controller {
	params := sim.DefaultParams()
	params.React = sim.Exactly(24 * time.Hour)
	region := sim.New(sim.Options{Seed: 1, Params: &params, Speed: 60, Latency: latency})
	if err := region.AddCluster("prod", sim.ClusterOptions{}); err != nil {
		b.Fatal(err)
	}
	var past journal.Contents
	for n := range 1000 {
		spec := sim.ReferenceWorkload("prod", fmt.Sprintf("service-%03d", n))
		spec.Desired = 2
		if err := region.AddService(spec); err != nil {
			b.Fatal(err)
		}
	}
	for n := range 10_000 {
		past.Closed = append(past.Closed, ended(n))
	}
	for n := range 20 {
		if err := region.Hang(region.Tasks(fleet.ServiceID{Cluster: "prod", Name: fmt.Sprintf("service-%03d", n*7)})[0].ARN); err != nil {
			b.Fatal(err)
		}
	}
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
	o.Past, o.Exposition, o.Listen = past, http.NotFoundHandler(), "127.0.0.1:0"
	o.Keep = config.Keep{Count: 10_000, Age: 1000 * time.Hour}
	o.Polling.Deadline = time.Minute
	c, err := New(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Stop(context.WithoutCancel(b.Context())) })
	c.Serve()
	for end := time.Now().Add(2 * time.Minute); len(c.View().Open) < 20; c.pass(b.Context()) {
		if time.Now().After(end) {
			b.Fatalf("%d timelines are open", len(c.View().Open))
		}
	}
	return c
}

// ended is a closed timeline, the nth before now.
func ended(n int) *timeline.Timeline {
	opened := time.Now().Add(-time.Duration(n+1) * 4 * time.Minute).Round(0)
	arn := fleet.TaskARN(fmt.Sprintf("arn:aws:ecs:eu-central-1:123456789012:task/prod/%032x", n))
	tl := &timeline.Timeline{
		ID: timeline.ID(fmt.Sprintf("%s-%s", arn.ID(), opened.UTC().Format("20060102T150405Z"))), Task: arn,
		Service: fleet.ServiceID{Cluster: "prod", Name: fmt.Sprintf("service-%03d", n%1000)}, Trigger: timeline.ContainerCheck,
		Opened: opened, Closed: opened.Add(8 * time.Minute), Outcome: timeline.Retired, StoppedReason: "Task failed container health checks",
		Targets: []timeline.Target{{Key: fleet.NewTargetKey("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/grpc/6d0ecf831eec9f09", "10.0.17.201", 10080)}},
	}
	for i, kind := range timeline.Kinds {
		if kind == timeline.Recovery || kind == timeline.LBUnhealthy {
			continue
		}
		at := opened.Add(time.Duration(i*40+n%30) * time.Second)
		tl.Milestones = append(tl.Milestones, timeline.Milestone{
			Kind: kind, Bounds: timeline.Bounds{NotBefore: at, NotAfter: at.Add(2 * time.Second)},
			Source: timeline.Observed, By: timeline.ByECS, Evidence: "healthStatus UNHEALTHY in DescribeTasks",
		})
	}
	return tl
}
