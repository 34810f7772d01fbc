//go:build linux

package lab

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// Service is the one that a lab runs.
var Service = fleet.ServiceID{Cluster: "lab", Name: "grpc"}

// Tools are the programs that a lab needs beside this one.
type Tools struct {
	Nginx string
	Probe string // grpc-health-probe
}

// ProbeVersion is the version of grpc-health-probe that the reference workload
// has.
const ProbeVersion = "v0.4.40"

// MissingError says which programs are missing, and how to get them.
type MissingError struct{ Programs []string }

func (e *MissingError) Error() string {
	text := "the lab needs programs that are not here:"
	for _, p := range e.Programs {
		text += "\n  " + p
	}
	return text
}

// Pinned is where `make lab` has the probe of that version, from the top of the
// source on.
const Pinned = ".cache/probe/" + ProbeVersion + "/grpc-health-probe"

// FindTools looks for the programs: the probe at pinned first, each in PATH, and
// nginx where Debian has it beside that.
func FindTools(pinned string) (Tools, error) {
	find := func(names ...string) string {
		for _, name := range names {
			if path, err := exec.LookPath(name); err == nil {
				if path, err = filepath.Abs(path); err == nil {
					return path
				}
			}
		}
		return ""
	}
	t := Tools{Nginx: find("nginx", "/usr/sbin/nginx"), Probe: find(pinned, "grpc-health-probe")}
	var missing []string
	if t.Nginx == "" {
		missing = append(missing, "nginx: apt-get install nginx-light")
	}
	if t.Probe == "" {
		missing = append(missing, "grpc-health-probe: go install github.com/grpc-ecosystem/grpc-health-probe@"+ProbeVersion+
			" with $(go env GOPATH)/bin in PATH, or make "+Pinned)
	}
	if len(missing) > 0 {
		return t, &MissingError{missing}
	}
	return t, nil
}

// ProbeIs is the probe's version as Go has put it in; empty: the probe has none,
// or is no Go program.
func (t Tools) ProbeIs() string {
	info, err := buildinfo.ReadFile(t.Probe)
	if err != nil || info.Main.Version == "(devel)" {
		return ""
	}
	return info.Main.Version
}

// Load is what clients do.
type Load struct {
	Rate float64 // of short calls, a second
	Kept int     // clients of each other habit
}

// Options say what kind of lab it is.
type Options struct {
	Tools Tools
	// Part is the command line by which this program runs [Part]; that part's
	// arguments are appended.
	Part []string
	Seed uint64
	// Speed divides AWS's lags and the waits that are settings; checks keep their
	// times. At least 1.
	Speed float64
	Tasks int
	Load  Load
	// Terminate has connections end with the deregistration delay.
	Terminate bool
	// HTTP has the balancer check the app by HTTP, on a port of its own, and not
	// nginx by TCP.
	HTTP bool
	// Idle is the balancer's idle timeout; 0: NLB's 350 s.
	Idle time.Duration
}

// Lab is one running service.
type Lab struct {
	Region *sim.Region
	Group  fleet.TargetGroupARN

	options  Options
	network  *network
	agent    *agent
	balancer *balancer
	clients  *clients
	cancel   context.CancelFunc // of what goes on by itself
	driven   chan struct{}
	forgets  atomic.Bool
}

// New starts a lab; its tasks come up meanwhile, see [Lab.Ready].
func New(o Options) (l *Lab, err error) {
	if o.Speed < 1 || o.Tasks < 1 {
		return nil, fmt.Errorf("a lab with speed %v and %d tasks", o.Speed, o.Tasks)
	}
	l = &Lab{options: o, driven: make(chan struct{})}
	l.network, err = claim(frontPort, appPort, healthPort)
	if err != nil {
		return nil, err
	}
	processes, err := newProcesses(o.Part)
	if err != nil {
		return nil, errors.Join(err, l.network.release())
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.agent = &agent{processes: processes, dir: processes.dir, tools: o.Tools, ctx: ctx, forgets: &l.forgets, tasks: map[fleet.TaskARN]*group{}}
	l.balancer = &balancer{
		idle: o.Idle, seed: o.Seed, forgets: &l.forgets, seen: map[netip.Addr]uint64{}, ports: map[string]*Flow{}, open: map[*connection]string{},
	}
	if o.Idle == 0 {
		l.balancer.idle = 350 * time.Second
	}
	params := shortened(sim.DefaultParams(), o.Speed)
	l.Region = sim.New(sim.Options{
		Seed: o.Seed, Params: &params, Throttle: false,
		Runtime: &sim.Runtime{Agent: l.agent, Nodes: l.balancer, Network: l.network.Prefix},
	})
	l.agent.region, l.balancer.region = l.Region, l.Region
	go l.drive(ctx)
	if err := l.open(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// open makes the service and opens its balancer.
func (l *Lab) open() error {
	l.clients = &clients{balancer: l.balancer, network: l.network, forgets: &l.forgets}
	if err := errors.Join(l.Region.AddCluster(Service.Cluster, sim.ClusterOptions{}), l.Region.AddService(l.service())); err != nil {
		return err
	}
	l.Group = l.Region.ProductionGroups(Service)[0]
	l.balancer.group = l.Group
	return l.balancer.listen(l.network, frontPort)
}

// service is the reference workload as deploy/cloudformation has it, with its
// waits shortened.
func (l *Lab) service() sim.ServiceSpec {
	spec := sim.ReferenceWorkload(Service.Cluster, Service.Name)
	spec.Desired, spec.CrossZone = l.options.Tasks, true
	for i := range spec.Containers {
		c := &spec.Containers[i]
		c.StopTimeout = max(2*time.Second, shorter(30*time.Second, l.options.Speed)) // no less on Fargate
		if c.Name == back {
			c.Ports = append(c.Ports, healthPort)
		}
	}
	g := &spec.Groups[0]
	g.Check = fleet.TargetCheck{Protocol: "TCP", Interval: 10 * time.Second, HealthyThreshold: 2, UnhealthyThreshold: 2}
	if l.options.HTTP {
		g.Check.Protocol, g.Check.Port = "HTTP", fmt.Sprint(healthPort)
	}
	g.DeregistrationDelay = shorter(300*time.Second, l.options.Speed).Round(time.Second)
	g.Attributes = map[string]string{
		"deregistration_delay.connection_termination.enabled": fmt.Sprint(l.options.Terminate),
		"load_balancing.cross_zone.enabled":                   "true",
	}
	g.Tags = map[string]string{"castoff:managed": "true"}
	return spec
}

func shorter(d time.Duration, speed float64) time.Duration { return time.Duration(float64(d) / speed) }

// shortened divides every duration of AWS's lags and habits.
func shortened(p sim.Params, speed float64) sim.Params {
	v := reflect.ValueOf(&p).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i).Addr().Interface().(type) {
		case *time.Duration:
			*f = shorter(*f, speed)
		case *sim.Range:
			f.Min, f.Median, f.Max = shorter(f.Min, speed), shorter(f.Median, speed), shorter(f.Max, speed)
		}
	}
	return p
}

// drive carries the region forward: what is due happens within a few
// milliseconds.
func (l *Lab) drive(ctx context.Context) {
	defer close(l.driven)
	for {
		pause := 5 * time.Millisecond
		if at, ok := l.Region.NextEvent(); ok {
			pause = min(pause, max(time.Until(at), 0))
		}
		if !wait(ctx, max(pause, time.Millisecond)) {
			return
		}
	}
}

// Well reports that every task answers and has passed its last check: a failure
// that a check has counted already would be found one check too early.
func (l *Lab) Well() bool {
	for _, t := range l.Region.Tasks(Service) {
		if t.Desired == fleet.Running && !l.agent.well(t.ARN) {
			return false
		}
	}
	return true
}

// Ready waits until every task is well, and has clients begin to call. To be called
// once.
func (l *Lab) Ready(ctx context.Context) error {
	for !l.Well() {
		if err := l.Wrong(); err != nil {
			return err
		}
		if !wait(ctx, 10*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
	l.clients.run(l.agent.ctx, l.options.Load)
	return nil
}

// Wrong is what went wrong in the lab itself so far; nil: nothing.
func (l *Lab) Wrong() error {
	l.agent.mu.Lock()
	defer l.agent.mu.Unlock()
	return errors.Join(l.agent.wrong...)
}

// Probes are the runs of a task's health check command, in the order of their
// ends.
func (l *Lab) Probes(task fleet.TaskARN) []Probe {
	l.agent.mu.Lock()
	defer l.agent.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.agent.probes), func(p Probe) bool { return p.Task != task })
}

// Forget has nothing more be kept of what clients, connections and checks come to:
// what there is was asked for, and the lab goes on for people to look at.
func (l *Lab) Forget() {
	l.forgets.Store(true)
	l.clients.forget()
	l.balancer.forget()
	l.agent.forget()
}

// Processes is how many process groups of the lab there are.
func (l *Lab) Processes() int { return l.agent.processes.count() }

// Calls are all calls so far.
func (l *Lab) Calls() []Call { return l.clients.all() }

// Flows are all connections to the balancer so far.
func (l *Lab) Flows() []Flow { return l.balancer.all() }

// Address is a task's; empty: it has yet to be started.
func (l *Lab) Address(task fleet.TaskARN) string {
	if g := l.agent.task(task); g != nil {
		return g.Launch.Address
	}
	return ""
}

// Close ends every client, connection and process.
func (l *Lab) Close() error {
	l.cancel()
	<-l.driven
	l.clients.busy.Wait()
	l.balancer.close()
	return errors.Join(l.agent.close(), l.network.release())
}
