package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/sim"
)

type regionCmd struct {
	Services int     `default:"3" help:"Number of services, of three kinds in turn: grpc, behind nginx and an NLB; web, which the NLB asks by HTTP; worker, without a balancer (1 to 200)."`
	Tasks    int     `default:"6" help:"Tasks of each service (1 to 1000)."`
	Cluster  string  `default:"demo" help:"Name of the cluster."`
	Seed     uint64  `default:"1" help:"Seed of every random choice in the region."`
	Speed    float64 `default:"1" help:"How much faster than the clock the region runs (1 to 60). Checks, drains and lags are shorter by it; castoff run knows nothing of that."`
	Listen   string  `default:"127.0.0.1:0" help:"Address of the region, on this machine alone." placeholder:"HOST:PORT"`
	JSON     bool    `name:"json" help:"Print one JSON object instead of lines for a shell."`
}

func (c regionCmd) Help() string {
	return "Examples:\n\n" +
		"  castoff region --listen 127.0.0.1:4599 > region.env &\n" +
		"  . ./region.env; castoff run --config castoff.yaml\n" +
		"  curl -d 'hang grpc/1' http://127.0.0.1:4599/control\n\n" +
		"Serves the simulated region by itself, for castoff run, the AWS CLI, Prometheus and whatever else speaks to\n" +
		"AWS: ECS, Elastic Load Balancing, STS and the network interfaces of EC2. The lines that it prints set the\n" +
		"environment for a shell; everything that is then asked of AWS stays on this machine.\n\n" +
		"Things are made to fail by words, on the standard input or by POST to /control:\n\n" +
		"  hang grpc/1             the first task of grpc stops answering, and nginx goes on accepting\n" +
		"  recover grpc/all        all of them answer again\n" +
		"  deploy grpc never       a new revision, of which no task ever runs\n" +
		"  fault deny DeregisterTargets\n" +
		"  lift                    nothing is refused any more\n" +
		"  help                    all the words\n\n" +
		"Exit codes: 0 stopped by SIGTERM or SIGINT; 1 failed; 2 wrong usage; 5 cannot listen.\n"
}

// regionLatency is how long a call takes. AWS's take longer; and the SDK for Go fails
// calls that are answered before it is done with sending them.
const regionLatency = 5 * time.Millisecond

// What one region may have: more takes a machine of its own.
const (
	mostServices = 200
	mostTasks    = 1000
	mostAll      = 20_000
)

func (c regionCmd) validate() error {
	for _, flag := range []struct {
		name        string
		value       float64
		least, most float64
	}{
		{"--services", float64(c.Services), 1, mostServices}, {"--tasks", float64(c.Tasks), 1, mostTasks}, {"--speed", c.Speed, 1, 60},
	} {
		if !(flag.value >= flag.least && flag.value <= flag.most) {
			return usageError(fmt.Sprintf("%s must be between %g and %g (got %v)", flag.name, flag.least, flag.most, flag.value))
		}
	}
	if n := c.Services * c.Tasks; n > mostAll {
		return usageError(fmt.Sprintf("--services times --tasks must be %d at most (got %d)", mostAll, n))
	}
	if c.Cluster == "" {
		return usageError("--cluster must name a cluster")
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return usageError(fmt.Sprintf("--listen must be an address of this machine alone, such as 127.0.0.1:4599 (got %q)", c.Listen))
	}
	return nil
}

func (c regionCmd) Run(ctx context.Context, to streams) error {
	if err := c.validate(); err != nil {
		return err
	}
	region := sim.New(sim.Options{Seed: c.Seed, Speed: c.Speed, Throttle: true, Latency: regionLatency})
	err := region.AddCluster(c.Cluster, sim.ClusterOptions{})
	for _, spec := range c.fleet() {
		err = errors.Join(err, region.AddService(spec))
	}
	if err != nil {
		return err
	}
	console := sim.NewConsole(region)
	endpoint, stop, err := serveRegion(withControl(region, console), c.Listen)
	if err != nil {
		return err
	}
	defer stop()
	if err := c.announce(to.out, endpoint); err != nil {
		return err
	}
	lines := lines(ctx, to.in)
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, more := <-lines:
			if !more {
				lines = nil // in the background, say: it goes on
				continue
			}
			text, err := console.Do(line)
			if err != nil {
				fmt.Fprintf(to.err, "castoff: %s\n", printable(err.Error()))
			}
			fmt.Fprint(to.err, text) // the standard output is for who sets the environment
		}
	}
}

// fleet are the services: the demo's three kinds in turn.
func (c regionCmd) fleet() []sim.ServiceSpec {
	var fleet []sim.ServiceSpec
	for i := range c.Services {
		spec := demoKinds[i%len(demoKinds)](c.Cluster)
		if n := i / len(demoKinds); n > 0 {
			spec.Name = fmt.Sprintf("%s-%d", spec.Name, n+1)
		}
		spec.Desired = c.Tasks
		fleet = append(fleet, spec)
	}
	return fleet
}

// lines gives what is typed, line by line.
func lines(ctx context.Context, in io.Reader) <-chan string {
	typed := make(chan string)
	go func() {
		defer close(typed)
		if in == nil {
			return
		}
		for scanner := bufio.NewScanner(in); scanner.Scan(); {
			select {
			case typed <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return typed
}

// mostControl is how long the commands of one request may be.
const mostControl = 1 << 16

// withControl puts the console beside the region: no AWS API has that path.
func withControl(region http.Handler, console *sim.Console) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", region)
	mux.HandleFunc("GET /control", func(w http.ResponseWriter, _ *http.Request) {
		help, _ := console.Do("help") // it is one that it knows
		_, _ = io.WriteString(w, help)
	})
	// A page of somebody else's may have a browser of this machine ask.
	post := http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local(r.Host) {
			http.Error(w, "use the address 127.0.0.1 or the name localhost", http.StatusMisdirectedRequest)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostControl))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var said strings.Builder
		for line := range strings.Lines(string(body)) {
			text, err := console.Do(line)
			if err != nil {
				http.Error(w, said.String()+err.Error(), http.StatusBadRequest)
				return
			}
			said.WriteString(text)
		}
		_, _ = io.WriteString(w, said.String())
	}))
	mux.Handle("POST /control", post)
	return mux
}

// local reports that a Host is an address or the name of this machine: no page can have
// a browser take that for its own name (DNS rebinding).
func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || host == "localhost"
}

// announced is the region for a program.
type announced struct {
	Endpoint    string             `json:"endpoint"`
	Control     string             `json:"control"`
	Account     string             `json:"account"`
	Region      string             `json:"region"`
	Cluster     string             `json:"cluster"`
	Services    []announcedService `json:"services"`
	Seed        uint64             `json:"seed"`
	Speed       float64            `json:"speed"`
	Environment map[string]string  `json:"environment"`
}

type announcedService struct {
	Name  string `json:"name"`
	Tasks int    `json:"tasks"`
}

// regionEnvironment is what has the SDKs of AWS use a region at an endpoint, and
// nothing else: an endpoint of one service that is set already would go before the
// general one.
func regionEnvironment(endpoint string) [][2]string {
	return [][2]string{
		{"AWS_ENDPOINT_URL", endpoint},
		{"AWS_ENDPOINT_URL_ECS", endpoint}, {"AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", endpoint},
		{"AWS_ENDPOINT_URL_EC2", endpoint}, {"AWS_ENDPOINT_URL_STS", endpoint}, {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false"},
		{"AWS_REGION", sim.RegionName}, {"AWS_DEFAULT_REGION", sim.RegionName},
		{"AWS_ACCESS_KEY_ID", "AKIASIMULATED"}, {"AWS_SECRET_ACCESS_KEY", "simulated"}, {"AWS_EC2_METADATA_DISABLED", "true"},
		{"NO_PROXY", "127.0.0.1,localhost,::1"}, {"no_proxy", "127.0.0.1,localhost,::1"}, // nobody else's way leads here
	}
}

// announce says where the region is, for a shell or a program.
func (c regionCmd) announce(w io.Writer, endpoint string) error {
	env := regionEnvironment(endpoint)
	if c.JSON {
		a := announced{
			Endpoint: endpoint, Control: endpoint + "/control", Account: sim.AccountID, Region: sim.RegionName, Cluster: c.Cluster,
			Seed: c.Seed, Speed: c.Speed, Environment: map[string]string{},
		}
		for _, spec := range c.fleet() {
			a.Services = append(a.Services, announcedService{spec.Name, spec.Desired})
		}
		for _, pair := range env {
			a.Environment[pair[0]] = pair[1]
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(a)
	}
	var names []string
	for _, spec := range c.fleet() {
		names = append(names, spec.Name)
	}
	if len(names) > 6 {
		names = slices.Concat(names[:5], []string{fmt.Sprintf("%d more", len(names)-5)})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# A simulated AWS region at %s: cluster %s with %s, %d tasks each.\n", endpoint, c.Cluster, strings.Join(names, ", "), c.Tasks)
	fmt.Fprintf(&b, "# For castoff run and other tools. It ends with this command.\n")
	fmt.Fprintf(&b, "unset AWS_PROFILE AWS_SESSION_TOKEN AWS_CA_BUNDLE\n")
	for _, pair := range env {
		fmt.Fprintf(&b, "export %s=%s\n", pair[0], pair[1])
	}
	fmt.Fprintf(&b, "# To make something fail, type here, or: curl -d 'hang grpc/1' %s/control\n", endpoint)
	_, err := io.WriteString(w, b.String())
	return err
}
