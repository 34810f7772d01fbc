package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/scenario"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

type demoCmd struct {
	Speed   float64 `default:"15" help:"How much faster than the clock the region and castoff's intervals run (1 to 60)."`
	Seed    uint64  `default:"1" help:"Seed of every random choice in the region."`
	Listen  string  `default:"127.0.0.1:0" help:"Address of castoff's pages, API and metrics." placeholder:"HOST:PORT"`
	Stay    bool    `help:"Go on serving when the timeline is complete, until interrupted."`
	JSON    bool    `name:"json" help:"Print one JSON object instead of tables."`
	Verbose bool    `help:"Show castoff's own log."`
}

func (c demoCmd) Help() string {
	return "Example: castoff demo --speed 30 --stay\n\n" +
		"The region and castoff are the real thing but for time: castoff reads the simulated region over\n" +
		"loopback in AWS's own protocols. Times that are printed are the region's; those in /metrics and on\n" +
		"the page are the clock's, shorter by --speed. Exits with 0 only if castoff's bounds hold the truth.\n"
}

// The demo's region.
const demoCluster = "demo"

var demoService = fleet.ServiceID{Cluster: demoCluster, Name: "grpc"}

// demoPatience bounds the demo, in the region's time: far longer than any
// retirement takes at the published numbers.
const demoPatience = 40 * time.Minute

func (c demoCmd) Run(ctx context.Context, to streams) error {
	if !(c.Speed >= 1 && c.Speed <= 60) {
		return usageError(fmt.Sprintf("--speed must be between 1 and 60 (got %v)", c.Speed))
	}
	cfg := config.Default()
	cfg.Web.Listen = c.Listen
	if err := blameFlags(cfg.Validate()); err != nil {
		return err
	}
	region, err := demoRegion(c)
	if err != nil {
		return err
	}
	endpoint, closeRegion, err := serveRegion(region)
	if err != nil {
		return err
	}
	defer closeRegion()
	log := slog.New(slog.DiscardHandler)
	if c.Verbose {
		log = slog.New(slog.NewTextHandler(to.err, nil))
	}
	daemon, err := c.daemon(endpoint, log)
	if err != nil {
		return err
	}
	daemon.Start()
	watch := &demoWatch{
		demoCmd: c, region: region, daemon: daemon,
		progress: newProgress(to, c),
	}
	err = watch.run(ctx, to.out)
	if ctx.Err() != nil {
		err = errors.New("interrupted before the timeline was complete")
	} else if c.Stay {
		fmt.Fprintf(to.err, "\nStill serving http://%s/ (Ctrl-C ends it).\n", daemon.Address())
		select {
		case <-ctx.Done():
		case failure := <-daemon.Failed():
			err = errors.Join(err, failure)
		}
	}
	return errors.Join(err, stop(daemon, log))
}

// demoRegion is three calm services; the first is the reference workload.
func demoRegion(c demoCmd) (*sim.Region, error) {
	region := sim.New(sim.Options{Seed: c.Seed, Speed: c.Speed, Throttle: true})
	grpc := sim.ReferenceWorkload(demoCluster, demoService.Name)
	grpc.Desired = 3
	return region, errors.Join(
		region.AddCluster(demoCluster, sim.ClusterOptions{}),
		region.AddService(grpc),
		region.AddService(sim.ServiceSpec{
			Cluster: demoCluster, Name: "web", Settled: true,
			Containers: []sim.ContainerSpec{{Name: "web", Ports: []int{8080}}},
			Groups:     []sim.GroupSpec{{Check: fleet.TargetCheck{Protocol: "HTTP"}}},
		}),
		region.AddService(sim.ServiceSpec{
			Cluster: demoCluster, Name: "worker", Desired: 4, Settled: true,
			Containers: []sim.ContainerSpec{{Name: "worker", Check: &fleet.HealthCheck{Command: []string{"CMD", "/worker", "check"}}}},
		}),
	)
}

// serveRegion puts the region on a loopback port of its own.
func serveRegion(region http.Handler) (endpoint string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, &controller.ListenError{Address: "127.0.0.1:0", Err: err}
	}
	server := &http.Server{Handler: region, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close, which is no news
	return "http://" + listener.Addr().String(), func() { _ = server.Close() }, nil
}

// daemon is castoff as `run` makes it, with every duration of its defaults
// shortened like the region's.
func (c demoCmd) daemon(endpoint string, log *slog.Logger) (*controller.Controller, error) {
	cfg := config.Default()
	cfg.Web.Listen = c.Listen
	settings := trackerSettings(cfg.Timelines)
	for _, d := range []*time.Duration{
		&cfg.Polling.Interval, &cfg.Polling.HotInterval, &cfg.Polling.CalmInterval,
		&cfg.Polling.DiscoveryInterval, &cfg.Polling.InventoryInterval,
		&settings.RecoveryWindow, &settings.SettleWindow, &settings.LostAfter, &settings.ReportLag, &settings.ExitLag,
	} {
		*d = c.shorten(*d)
	}
	reg, m := newMetrics()
	observer, err := awsapi.New(observerOptions(cfg, m, awsapi.Options{
		Config: awsapi.Simulated(endpoint, sim.RegionName), Second: c.shorten(time.Second),
	}))
	if err != nil {
		return nil, err
	}
	return newDaemon(cfg, observer, reg, controller.Options{
		Metrics: m, Logger: log, Tracker: settings,
		Notice: fmt.Sprintf("A simulated region, %g times faster than the clock: multiply durations by %[1]g.", c.Speed),
	})
}

// shorten turns the region's durations into the clock's, lengthen the reverse.
func (c demoCmd) shorten(d time.Duration) time.Duration {
	return time.Duration(float64(d) / c.Speed)
}

func (c demoCmd) lengthen(d time.Duration) time.Duration {
	return time.Duration(float64(d) * c.Speed)
}

// demoWatch hangs one app and waits for castoff to have seen all of it.
type demoWatch struct {
	demoCmd
	region   *sim.Region
	daemon   *controller.Controller
	progress *progress
	task     fleet.TaskARN
	onset    time.Time
}

// glance is how often the demo looks at what castoff knows.
const glance = 50 * time.Millisecond

func (w *demoWatch) run(ctx context.Context, out io.Writer) error {
	w.progress.begin(w.daemon.Address())
	defer w.progress.clear()
	ctx, cancel := context.WithTimeoutCause(ctx, w.shorten(demoPatience), errors.New("the timeline was not complete in time"))
	defer cancel()
	ready := func() bool { return !w.daemon.View().LastFull.IsZero() }
	if err := w.until(ctx, ready); err != nil {
		return err
	}
	// A few calm passes first, as in real life: nobody starts castoff as an app hangs.
	calm := time.Now().Add(w.shorten(20 * time.Second))
	if err := w.until(ctx, func() bool { return time.Now().After(calm) }); err != nil {
		return err
	}
	tasks := w.region.Tasks(demoService)
	if len(tasks) == 0 {
		return errors.New("the simulated service has no task")
	}
	w.task = tasks[0].ARN
	if err := w.region.Hang(w.task); err != nil {
		return err
	}
	w.onset = time.Now()
	w.progress.hung(w.task)
	var done *timeline.Timeline
	complete := func() bool {
		for _, tl := range w.daemon.View().Open {
			if tl.Task == w.task {
				w.progress.show(tl, w.since)
			}
		}
		for _, tl := range w.daemon.View().Closed {
			if tl.Task == w.task {
				w.progress.show(tl, w.since)
				done = tl
			}
		}
		w.progress.tick(w.since(time.Now()))
		return done != nil
	}
	if err := w.until(ctx, complete); err != nil {
		return err
	}
	return w.report(out, done)
}

// until looks every so often until done says so.
func (w *demoWatch) until(ctx context.Context, done func() bool) error {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-w.daemon.Failed():
			return err
		case <-ticker.C:
		}
	}
	return nil
}

// since is how long after the hang an instant was, in the region's time.
func (w *demoWatch) since(t time.Time) time.Duration { return w.lengthen(t.Sub(w.onset)) }

// report judges the timeline by the truth and prints both.
func (w *demoWatch) report(out io.Writer, tl *timeline.Timeline) error {
	w.progress.clear()
	for _, truth := range w.region.Truth() {
		if truth.Task != w.task {
			continue
		}
		w.onset = truth.Onset
		r := newReport(w.demoCmd, tl, scenario.Judge(tl, truth), w.since)
		if err := r.print(out, w.JSON); err != nil {
			return err
		}
		if !r.Holds {
			return errors.New("castoff was wrong or blind: see the lines that say NO")
		}
		return nil
	}
	return fmt.Errorf("the region knows of no failure of %s", w.task.ID())
}
