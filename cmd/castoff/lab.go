//go:build linux && !nolab

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/castoff-ecs/castoff/controller/lab"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// labCommands are the lab's own.
type labCommands struct {
	Lab     labCmd     `cmd:"" help:"Hang a real gRPC app behind a real nginx on this machine, and time it. Needs no AWS account, but nginx and grpc-health-probe."`
	LabPart labPartCmd `cmd:"" hidden:"" help:"One of the lab's own processes."`
}

type labCmd struct {
	Scenario    []lab.Scenario `default:"hang" enum:"hang,crash,slow,nginx-dead,flapping,all-hang" help:"What befalls a task: hang, crash, slow, nginx-dead, flapping or all-hang; several are run one after the other." placeholder:"NAME"`
	Runs        int            `default:"1" help:"How often each scenario is run; more than once gives a table of medians and ranges."`
	Speed       float64        `default:"10" help:"How much shorter AWS's lags, the deregistration delay, stopTimeout and castoff's intervals are than in AWS (1 to 30). Checks keep their times: the probe's and the balancer's."`
	Seed        uint64         `default:"1" help:"Seed of the region's random choices; each further run has the next one."`
	Tasks       int            `default:"3" help:"Number of tasks (2 to 8)."`
	Rate        float64        `default:"10" help:"Short calls a second, each on a new connection (at most 100)."`
	Kept        int            `default:"6" help:"Clients of each kind that keep their connection (at most 50)."`
	Terminate   bool           `help:"Have the balancer end connections with the deregistration delay."`
	TargetCheck string         `default:"tcp" enum:"tcp,http" help:"What the balancer checks: tcp, that nginx accepts; http, that the app answers, on a port of its own." placeholder:"KIND"`
	Listen      string         `default:"127.0.0.1:0" help:"Address of the pages, API and metrics of the castoff that acts." placeholder:"HOST:PORT"`
	Stay        bool           `help:"Go on when the timelines are complete, until interrupted."`
	Read        []string       `help:"Run nothing: print medians and ranges of what earlier runs have printed with --json." placeholder:"FILE"`
	JSON        bool           `name:"json" help:"Print one JSON object instead of tables."`
	Verbose     bool           `help:"Show castoff's own log."`
}

func (c labCmd) Help() string {
	return "Example: castoff lab --scenario hang,crash --runs 5\n\n" +
		"Real: nginx, the gRPC app, grpc-health-probe, TCP, the clients, the failure (SIGSTOP for a hang).\n" +
		"Simulated: ECS's scheduler, the NLB's lags and state machine, both APIs. Each failure happens twice at once:\n" +
		"to a service that castoff only watches, and to one whose sick target it takes out. All traffic stays on\n" +
		"127.0.0.0/8. deploy/lab.md has the whole set-up and what came of it.\n\n" +
		"Needs Linux.\n\n" +
		"Exit codes: 0 castoff's bounds hold the truth; 1 they do not, nginx or grpc-health-probe is missing, or the lab was interrupted; 2 wrong usage; 5 cannot listen.\n"
}

// labPatience bounds a run beyond its lags: checks, processes, clients.
const labPatience = 3 * time.Minute

func (c labCmd) validate() error {
	for _, flag := range []struct {
		name        string
		value       float64
		least, most float64
	}{
		{"--speed", c.Speed, 1, 30}, {"--tasks", float64(c.Tasks), 2, 8}, {"--rate", c.Rate, 0, 100},
		{"--kept", float64(c.Kept), 0, 50}, {"--runs", float64(c.Runs), 1, 100},
	} {
		if !(flag.value >= flag.least && flag.value <= flag.most) {
			return usageError(fmt.Sprintf("%s must be between %g and %g (got %v)", flag.name, flag.least, flag.most, flag.value))
		}
	}
	if len(c.Read) > 0 && (c.JSON || c.Stay) {
		return usageError("--read is for tables of runs that have been")
	}
	if c.Stay && (c.Runs > 1 || len(c.Scenario) > 1) {
		return usageError("--stay is for one run of one scenario")
	}
	return nil
}

func (c labCmd) Run(ctx context.Context, to streams) error {
	if err := c.validate(); err != nil {
		return err
	}
	if len(c.Read) > 0 {
		results, err := readLabResults(c.Read)
		if err != nil {
			return err
		}
		return errors.Join(writeLabSummary(to.out, results), labVerdict(results))
	}
	tools, err := lab.FindTools(lab.Pinned)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	tell := to.out
	if c.JSON {
		tell = to.err
	}
	p := labPair{labCmd: c, tell: tell, log: slog.New(slog.DiscardHandler), options: lab.Options{
		Tools: tools, Part: []string{self, "lab-part"}, Speed: c.Speed, Tasks: c.Tasks,
		Load: lab.Load{Rate: c.Rate, Kept: c.Kept}, Terminate: c.Terminate, HTTP: c.TargetCheck == "http",
	}}
	if c.Verbose {
		p.log = slog.New(slog.NewTextHandler(to.err, nil))
	}
	c.announce(tell, tools)
	var results []labResult
	for run := range c.Runs {
		for _, scenario := range c.Scenario {
			err := p.run(ctx, scenario, c.Seed+uint64(run), func(r labResult) error {
				results = append(results, r)
				if !c.Stay {
					return nil
				}
				return c.write(to.out, results)
			})
			if err != nil {
				return err
			}
		}
	}
	if c.Stay {
		return labVerdict(results)
	}
	return errors.Join(c.write(to.out, results), labVerdict(results))
}

func (c labCmd) announce(w io.Writer, tools lab.Tools) {
	version := tools.ProbeIs()
	switch version {
	case lab.ProbeVersion:
	case "":
		version = "of unknown version, the reference workload has " + lab.ProbeVersion
	default:
		version += ", the reference workload has " + lab.ProbeVersion
	}
	lags := fmt.Sprintf("are %g times shorter than in AWS; checks are not.", c.Speed)
	if c.Speed == 1 {
		lags = "are as long as in AWS."
	}
	fmt.Fprintf(w, `The original system on this machine: %d tasks of nginx (%s) and a gRPC app,
checked by grpc-health-probe %s (%s),
behind a TCP balancer, twice: castoff watches one and acts on the other.
AWS's lags, the waits that are settings and castoff's intervals
%s

`, c.Tasks, tools.Nginx, version, tools.Probe, lags)
}

// labPair runs scenarios twice at once: watched, and acted upon.
type labPair struct {
	labCmd
	options lab.Options
	tell    io.Writer
	log     *slog.Logger
}

// run runs one scenario; done is given what came of it, while everything still
// runs and with --stay goes on.
func (p labPair) run(ctx context.Context, scenario lab.Scenario, seed uint64, done func(labResult) error) (err error) {
	within, cancel := context.WithTimeoutCause(ctx, labPatience+shorten(demoPatience, p.Speed), errors.New("the timeline was not complete in time"))
	defer cancel()
	var runs []*labRun
	defer func() {
		for _, r := range runs {
			err = errors.Join(err, r.close())
		}
	}()
	for _, mode := range policy.Modes {
		o := p.options
		o.Seed = seed
		r, err := p.start(mode, o, p.log)
		if err != nil {
			return err
		}
		runs = append(runs, r)
		fmt.Fprintf(p.tell, "Watch castoff, mode %s, at http://%s/\n", mode, r.daemon.Address())
	}
	if err := inEach(within, runs, (*labRun).calm); err != nil {
		return interrupted(ctx, err)
	}
	fmt.Fprintf(p.tell, "%s, seed %d: all is well, with %d processes. Now it happens.\n", scenario, seed, runs[0].lab.Processes()+runs[1].lab.Processes())
	if err := inEach(within, runs, func(r *labRun, ctx context.Context) error { return r.watch(ctx, scenario) }); err != nil {
		return interrupted(ctx, err)
	}
	result := labResult{Scenario: scenario, Seed: seed, Speed: p.Speed}
	for _, r := range runs {
		side, err := r.side()
		if err != nil {
			return err
		}
		result.Sides = append(result.Sides, side)
	}
	if err := done(result); err != nil || !p.Stay {
		return err
	}
	fmt.Fprintln(p.tell, "\nThe timelines are complete. Still running; Ctrl-C ends it.")
	return goOn(ctx, runs)
}

// goOn waits until it is interrupted, or something goes wrong.
func goOn(ctx context.Context, runs []*labRun) error {
	for _, r := range runs {
		r.lab.Forget()
	}
	err := inEach(ctx, runs, func(r *labRun, ctx context.Context) error {
		return r.until(ctx, func() bool { return false })
	})
	if ctx.Err() == nil {
		return err
	}
	return nil // interrupted, as is the way to end it
}

// interrupted says so when it was.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted before the timeline was complete")
	}
	return err
}

// inEach does the same in every run at once.
func inEach(ctx context.Context, runs []*labRun, do func(*labRun, context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range runs {
		group.Go(func() error { return do(r, ctx) })
	}
	return group.Wait()
}

// labPartCmd is one of the lab's own processes.
type labPartCmd struct {
	Args []string `arg:"" passthrough:"" help:"See package lab."`
}

func (c labPartCmd) Run(ctx context.Context, to streams) error {
	return lab.Part(ctx, c.Args, to.in, to.out)
}
