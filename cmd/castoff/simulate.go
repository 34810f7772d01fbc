package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/scenario"
)

type simulateCmd struct {
	File   *string     `help:"The service's settings as YAML; --show prints all there are." placeholder:"FILE"`
	Like   *string     `help:"Read the settings of a service from AWS; nothing is written there." placeholder:"CLUSTER/SERVICE"`
	Region *string     `help:"AWS region of --like. Default: as the AWS SDK finds it."`
	Config *string     `help:"castoff's own configuration, whose limits and intervals are tried. Default: castoff's defaults." placeholder:"FILE"`
	Mode   policy.Mode `default:"detach" enum:"observe,detach" help:"detach: ECS alone, castoff watching, and castoff acting. observe: without the last." placeholder:"MODE"`
	Runs   int         `default:"100" help:"How many failures are simulated, each in every mode (1 to 10000)."`
	Seed   uint64      `default:"1" help:"Seed of the first of them."`
	JSON   bool        `name:"json" help:"Print one JSON object instead of tables."`
	Show   bool        `help:"Print the settings that would be simulated, as --file takes them, and end."`

	Desired             *int              `help:"Tasks (default 6)."`
	Zones               *int              `help:"Availability zones of tasks and load balancer, 1 to 3 (default 3)."`
	CrossZone           *bool             `help:"Balance across zones (default off)."`
	Failure             *scenario.Failure `help:"hang, crash (behind a front that accepts connections), refuse (connections are refused) or exit (default hang)." placeholder:"FAILURE"`
	Failing             *int              `help:"Tasks that fail at once (default 1)."`
	TargetCheck         *string           `help:"The load balancer's own check: TCP, HTTP or HTTPS (default TCP)." placeholder:"PROTOCOL"`
	DeregistrationDelay *time.Duration    `help:"Of the target groups (default 300s)."`
	Flows               *float64          `help:"New flows a second from clients (default 60)." placeholder:"RATE"`
	Streams             *int              `help:"Long-lived connections that clients keep (default 0)."`
}

func (c simulateCmd) Help() string {
	return "Examples:\n\n" +
		"  castoff simulate --desired 4 --zones 2\n" +
		"  castoff simulate --like prod/api\n" +
		"  castoff simulate --like prod/api --show > api.yaml; castoff simulate --file api.yaml --failing 2\n\n" +
		"What AWS does not publish is drawn anew for each failure from what is known of it. Castoff decides by the\n" +
		"very code that castoff run has; a table says what it came to, and a sentence whether detaching would help.\n\n" +
		"Exit codes: 0 it is worked out, whatever came of it; 1 failed or interrupted; 2 wrong usage; 3 the file or castoff's configuration is unreadable or wrong; 4 with --like, AWS cannot be used.\n"
}

// simulatedService is what the service is called, where nobody names it.
var simulatedService = fleet.ServiceID{Cluster: "simulated", Name: "service"}

func (c simulateCmd) Run(ctx context.Context, to streams) error {
	if c.Runs < 1 || c.Runs > 10_000 {
		return usageError(fmt.Sprintf("--runs must be between 1 and 10000 (got %d)", c.Runs))
	}
	if c.Region != nil && c.Like == nil {
		return usageError("--region is of --like: without it nothing is read from AWS")
	}
	cfg := config.Default()
	if c.Config != nil {
		var err error
		if cfg, err = readConfig(*c.Config); err != nil {
			return err
		}
	}
	p, id, notes, err := c.settle(ctx, cfg)
	if err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintf(to.err, "castoff: %s\n", printable(note))
	}
	if c.Show {
		_, err := fmt.Fprint(to.out, config.YAML(p))
		return err
	}
	// What a world leaves behind is soon of no use: to collect it less often saves
	// a quarter of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	result, err := scenario.Simulate(ctx, c.study(p, id, cfg))
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case err != nil:
		return err
	}
	out := simulation{Service: id.String(), Failure: p.Failure, Failing: p.Failing, Of: p.Desired, Notes: notes, Result: result}
	if c.JSON {
		enc := json.NewEncoder(to.out)
		enc.SetIndent("", "  ")
		return enc.Encode(out)
	}
	return out.write(to.out)
}

// settle puts the settings together.
func (c simulateCmd) settle(ctx context.Context, cfg config.Config) (p parameters, id fleet.ServiceID, notes []string, err error) {
	p, id = defaultParameters(), simulatedService
	if c.Like != nil {
		cluster, name, ok := strings.Cut(*c.Like, "/")
		if !ok || cluster == "" || name == "" || strings.Contains(name, "/") {
			return p, id, nil, usageError("--like must be CLUSTER/SERVICE, by their names")
		}
		id = fleet.ServiceID{Cluster: cluster, Name: name}
		override(&cfg.Region, c.Region)
		if p, notes, err = likeAWS(ctx, cfg, id, p); err != nil {
			return p, id, nil, err
		}
	}
	if c.File != nil {
		data, err := os.ReadFile(*c.File)
		if err != nil {
			return p, id, nil, &fileError{err: err, simulated: true}
		}
		if err := p.read(*c.File, data); err != nil {
			return p, id, nil, err
		}
	}
	c.apply(&p)
	var from []string // what flags are put over
	for _, f := range []*string{c.Like, c.File} {
		if f != nil {
			from = append(from, *f)
		}
	}
	err = blameFlags(c, parameterFlags, config.Strict(strings.Join(from, " with "), nil, &p, nil, p.check))
	return p, id, notes, err
}

// apply puts the flags over the parameters; those of a target group are for all.
func (c simulateCmd) apply(p *parameters) {
	set(&p.Desired, c.Desired)
	set(&p.Zones, c.Zones)
	set(&p.Failure, c.Failure)
	set(&p.Failing, c.Failing)
	set(&p.Clients.FlowsPerSecond, c.Flows)
	set(&p.Clients.Streams, c.Streams)
	for i := range p.TargetGroups {
		g := &p.TargetGroups[i]
		set(&g.CrossZone, c.CrossZone)
		set(&g.Check.Protocol, c.TargetCheck)
		set(&g.DeregistrationDelay, c.DeregistrationDelay)
	}
}

func set[T any](setting, flag *T) {
	if flag != nil {
		*setting = *flag
	}
}

// parameterFlags are the flags that set parameters.
var parameterFlags = map[string]string{
	"desired": "--desired", "zones": "--zones", "failure": "--failure", "failing": "--failing",
	"clients.flows_per_second": "--flows", "clients.streams": "--streams",
	"target_groups.check.protocol": "--target-check", "target_groups.deregistration_delay": "--deregistration-delay",
}

// study is the question that the settings ask.
func (c simulateCmd) study(p parameters, id fleet.ServiceID, cfg config.Config) scenario.Study {
	s := scenario.Study{
		Service: p.spec(id), Failure: p.Failure, Failing: p.Failing, Limits: cfg.LimitsOf(id), Fleet: cfg.FleetLimits(), Polling: cfg.Polling,
		Ways: []scenario.Way{scenario.ECSAlone, scenario.Observing}, Runs: c.Runs, Seed: c.Seed,
	}
	if p.LaunchType == fleet.EC2 {
		s.Instances = max(len(simZones), p.Desired)
	}
	if c.Mode == policy.Detaching {
		s.Ways = append(s.Ways, scenario.Detaching)
	}
	return s
}
