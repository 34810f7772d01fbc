package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/scenario"
	"github.com/castoff-ecs/castoff/controller/sim"
)

type demoCmd struct {
	Mode    policy.Mode `default:"detach" enum:"observe,detach" help:"observe: watch a task that ECS retires by itself. detach: the same again with castoff taking its target out, side by side." placeholder:"MODE"`
	Speed   float64     `default:"15" help:"How much faster than the clock the region and castoff's intervals run (1 to 60)."`
	Seed    uint64      `default:"1" help:"Seed of every random choice in the region."`
	Listen  string      `default:"127.0.0.1:0" help:"Address of castoff's pages, API and metrics." placeholder:"HOST:PORT"`
	Stay    bool        `help:"Go on serving when the timeline is complete, until interrupted."`
	JSON    bool        `name:"json" help:"Print one JSON object instead of tables."`
	Record  string      `help:"Directory for a record of what the region answered, which castoff replay plays: of each mode in a directory of its own." placeholder:"DIR"`
	Verbose bool        `help:"Show castoff's own log."`
}

func (c demoCmd) Help() string {
	return "Example: castoff demo --speed 30 --stay\n\n" +
		"The region and castoff are the real thing but for time: castoff reads the simulated region over\n" +
		"loopback in AWS's own protocols. Times that are printed are the region's; those in /metrics and on\n" +
		"the page are the clock's, shorter by --speed.\n\n" +
		"Exit codes: 0 castoff's bounds hold the truth and, in mode detach, it took the sick target out; 1 they do not, or it did not, or the demo was interrupted; 2 wrong usage; 5 cannot listen; 6 nothing can be recorded in DIR.\n"
}

// The demo's region.
const demoCluster = "demo"

var demoService = fleet.ServiceID{Cluster: demoCluster, Name: "grpc"}

// demoFlows is how many new flows a second the demo's clients open to the
// service, in the region's time.
const demoFlows = 60

// demoPatience bounds the demo, in the region's time: far longer than any
// retirement takes at the published numbers.
const demoPatience = 40 * time.Minute

func (c demoCmd) Run(ctx context.Context, to streams) (err error) {
	if !(c.Speed >= 1 && c.Speed <= 60) {
		return usageError(fmt.Sprintf("--speed must be between 1 and 60 (got %v)", c.Speed))
	}
	cfg := config.Default()
	cfg.Web.Listen = c.Listen
	if err := blameFlags(c, flagOf, cfg.Validate()); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if c.Verbose {
		log = slog.New(slog.NewTextHandler(to.err, nil))
	}
	tell := newProgress(to, c)
	defer tell.clear()
	// Two regions of the same seed, so that the same task hangs in the same way.
	var runs []*demoRun
	defer func() {
		for _, r := range runs {
			err = errors.Join(err, r.close())
		}
	}()
	for _, mode := range c.modes() {
		r, err := c.start(mode, log, tell)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	tell.begin(runs)
	err = c.watch(ctx, runs, tell, to.out)
	if ctx.Err() != nil {
		err = errors.New("interrupted before the timeline was complete")
	} else if c.Stay {
		err = errors.Join(err, stay(ctx, runs, to.err))
	}
	return err
}

// modes are those that are run side by side.
func (c demoCmd) modes() []policy.Mode {
	if c.Mode == policy.Detaching {
		return policy.Modes
	}
	return []policy.Mode{c.Mode}
}

// watch waits for the end of every run and prints what came of them.
func (c demoCmd) watch(ctx context.Context, runs []*demoRun, tell *progress, out io.Writer) error {
	reports := make([]report, len(runs))
	group, ctx := errgroup.WithContext(ctx)
	for i, r := range runs {
		group.Go(func() (err error) {
			reports[i], err = r.watch(ctx)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	tell.clear()
	if len(reports) == 1 {
		return errors.Join(reports[0].write(out, c.JSON), reports[0].verdict())
	}
	both := comparison{Alone: reports[0], With: reports[1]}
	return errors.Join(both.write(out, c.JSON), both.verdict())
}

// stay goes on serving until the user has seen enough.
func stay(ctx context.Context, runs []*demoRun, errs io.Writer) error {
	failed := make(chan error, len(runs))
	for _, r := range runs {
		fmt.Fprintf(errs, "\nStill serving http://%s/ (%s; Ctrl-C ends it).\n", r.daemon.Address(), r.name())
		go func() {
			select {
			case <-ctx.Done():
			case err := <-r.daemon.Failed():
				failed <- err
			}
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// demoKinds are three calm services; the first is the reference workload. castoff may
// change their target groups.
var demoKinds = []func(cluster string) sim.ServiceSpec{
	func(cluster string) sim.ServiceSpec {
		spec := sim.ReferenceWorkload(cluster, demoService.Name)
		spec.Groups[0].Tags = map[string]string{"castoff:managed": "true"}
		return spec
	},
	func(cluster string) sim.ServiceSpec {
		return sim.ServiceSpec{
			Cluster: cluster, Name: "web", Settled: true,
			Containers: []sim.ContainerSpec{{Name: "web", Ports: []int{8080}}},
			Groups:     []sim.GroupSpec{{Check: fleet.TargetCheck{Protocol: "HTTP"}, Tags: map[string]string{"castoff:managed": "true"}}},
		}
	},
	func(cluster string) sim.ServiceSpec {
		return sim.ServiceSpec{
			Cluster: cluster, Name: "worker", Desired: 4, Settled: true,
			Containers: []sim.ContainerSpec{{Name: "worker", Check: &fleet.HealthCheck{Command: []string{"CMD", "/worker", "check"}}}},
		}
	},
}

// demoRegion has a service of each kind.
func demoRegion(c demoCmd) (*sim.Region, error) {
	region := sim.New(sim.Options{Seed: c.Seed, Speed: c.Speed, Throttle: true})
	err := region.AddCluster(demoCluster, sim.ClusterOptions{})
	for _, kind := range demoKinds {
		spec := kind(demoCluster)
		if spec.Name == demoService.Name {
			spec.Desired = 6 // two a zone: the last of a zone would stay
			spec.Groups[0].Traffic = sim.Traffic{Rate: demoFlows}
		}
		err = errors.Join(err, region.AddService(spec))
	}
	return region, err
}

// anyPort of this machine alone.
const anyPort = "127.0.0.1:0"

// serveRegion puts the region on a loopback port of its own.
func serveRegion(region http.Handler, address string) (endpoint string, stop func(), err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", nil, &controller.ListenError{Address: address, Err: err}
	}
	server := &http.Server{Handler: region, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close, which is no news
	return "http://" + listener.Addr().String(), func() { _ = server.Close() }, nil
}

// daemon is castoff with its durations shortened like the region's.
func (c demoCmd) daemon(mode policy.Mode, endpoint string, log *slog.Logger) (*hurried, error) {
	listen := c.Listen
	if mode != c.Mode {
		listen = anyPort // --listen is the other's
	}
	h := hurried{
		speed: c.Speed, second: c.shorten(time.Second), mode: mode, listen: listen, log: log,
		notice: fmt.Sprintf("A simulated region, mode %s, %g times faster than the clock: multiply durations by %[2]g.", mode, c.Speed),
	}
	if c.Record != "" {
		h.record = filepath.Join(c.Record, string(mode))
	}
	return &h, h.open(endpoint)
}

// hurried is castoff as `run` makes it, with every duration of its defaults divided by
// speed, beside a region whose own are. What counts seconds on the wire (a check's
// interval, a delay) lasts second each there.
type hurried struct {
	*controller.Controller
	speed          float64
	second         time.Duration
	mode           policy.Mode
	listen, notice string
	record         string // directory; empty: none
	log            *slog.Logger
	tape           recorder
}

func (h *hurried) open(endpoint string) (err error) {
	cfg := config.Default()
	cfg.Web.Listen, cfg.Mode, cfg.State, cfg.Record.Dir, cfg.Record.KeepNames = h.listen, h.mode, config.NoState, h.record, true // they are nobody's
	aws := awsapi.Simulated(endpoint, sim.RegionName)
	reg, m := newMetrics()
	if h.tape, err = newRecorder(cfg, aws.HTTPClient, aws.Region, h.speed, m, h.log); err != nil {
		return err
	}
	if h.tape.Recorder != nil {
		aws.HTTPClient = h.tape
	}
	settings := scenario.Hurry(&cfg, h.speed)
	h.Controller, _, err = open(cfg, reg, m, controller.Place{
		Options: controller.Options{Logger: h.log, Tracker: settings, Notice: h.notice, Seed: h.tape.seed},
		AWS:     awsapi.Options{Config: aws, Second: h.second},
	})
	if err != nil {
		h.tape.close()
	}
	return err
}

func (h *hurried) start() {
	h.tape.start()
	h.Start()
}

func (h *hurried) stop() error {
	defer h.tape.close()
	return stop(h.Controller, h.log)
}

// shorten turns AWS's durations into those of a region that is so much faster.
func shorten(d time.Duration, speed float64) time.Duration { return scenario.Shorten(d, speed) }

// shorten turns the region's durations into the clock's, lengthen the reverse.
func (c demoCmd) shorten(d time.Duration) time.Duration { return shorten(d, c.Speed) }

func (c demoCmd) lengthen(d time.Duration) time.Duration {
	return time.Duration(float64(d) * c.Speed)
}
