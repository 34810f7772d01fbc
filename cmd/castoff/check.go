package main

import (
	"context"
	"fmt"
	"os"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/config"
)

type checkCmd struct {
	File  string  `arg:"" help:"Configuration file, for instance castoff.yaml."`
	Show  bool    `help:"Print the configuration in force, defaults filled in and secrets hidden."`
	State *string `help:"Directory of the state, where castoff run is given it by its own --state." placeholder:"DIR"`
	Send  bool    `name:"send-test" help:"Also send a test message to every receiver of the notifications, and say whether it was taken."`
}

func (c checkCmd) Help() string {
	return "Examples:\n\n" +
		"  castoff check --show castoff.yaml\n" +
		"  castoff check --send-test castoff.yaml\n\n" +
		"The web configuration that the file names is checked too, as castoff run would find it from here.\n\n" +
		"Exit codes: 0 the configuration is good; 1 a receiver has not taken the test message; 2 wrong usage; 3 the configuration, a secret that it names or the web configuration is unreadable or wrong.\n"
}

func (c checkCmd) Run(ctx context.Context, to streams) error {
	if c.File == "" {
		return usageError("FILE must name a file")
	}
	cfg, err := readConfig(c.File, stateFlag(c.State))
	if err != nil {
		return err
	}
	if err := controller.CheckWebConfig(cfg.Web.ConfigFile); err != nil {
		return err
	}
	if c.Show {
		_, err = fmt.Fprint(to.out, cfg)
	} else {
		_, err = fmt.Fprintf(to.out, "%s is good\n", c.File)
	}
	if err == nil && c.Send {
		err = sendTest(ctx, cfg, to.out)
	}
	return err
}

// fileError is a file that cannot be read.
type fileError struct {
	err error
	// simulated: it describes a service for castoff simulate; else it is castoff's
	// configuration.
	simulated bool
}

func (e *fileError) Error() string {
	if e.simulated {
		return fmt.Sprintf("cannot read the service's settings: %v", e.err)
	}
	return fmt.Sprintf("cannot read the configuration: %v; give a file that castoff may read, or leave it out to watch every cluster of the region", e.err)
}

func (e *fileError) Unwrap() error { return e.err }

func readConfig(file string, flags ...func(*config.Config)) (config.Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return config.Config{}, &fileError{err: err}
	}
	return config.Parse(file, data, flags...)
}
