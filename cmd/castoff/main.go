// Command castoff times how ECS tasks behind Network Load Balancers fail and
// are retired.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"unicode"

	"github.com/alecthomas/kong"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/config"
)

// Exit codes. They are documented in --help and in the README: scripts and task
// definitions may rest on them.
const (
	exitOK      = 0
	exitFailed  = 1 // something else went wrong; demo: castoff was not right
	exitUsage   = 2 // the command line makes no sense
	exitConfig  = 3 // the configuration is unreadable or wrong
	exitAWS     = 4 // no region, no credentials, endpoint unreachable, denied, unknown cluster
	exitListen  = 5 // the address to listen on cannot be had
	exitState   = 6 // the state directory cannot be used
	description = `castoff watches ECS tasks behind Network Load Balancers and times every failure, from its onset to the task's retirement.

Exit codes: 0 all is well; 1 failed; 2 wrong usage; 3 wrong configuration; 4 AWS cannot be used (region, credentials, permission, cluster, endpoint); 5 cannot listen; 6 the state directory cannot be used.`
)

// version and revision are set by the linker; without it what the go command
// knows is used.
var version, revision string

// streams are where a command reads and writes.
type streams struct {
	in  io.Reader // nil: nothing
	out io.Writer // what was asked for
	err io.Writer // logs, progress, errors
}

// cli is the command line. Each command has a Run method in a file of its own.
type cli struct {
	Run      runCmd      `cmd:"" help:"Watch AWS and serve what is seen."`
	Replay   replayCmd   `cmd:"" help:"Run castoff on a record of what AWS answered, or on a case, and say what it said."`
	Demo     demoCmd     `cmd:"" help:"Time a hung gRPC task in a simulated region on this machine. Needs no AWS account."`
	Region   regionCmd   `cmd:"" help:"Serve the simulated region by itself, to rehearse configuration, alerts and notifications on it. Needs no AWS account."`
	Simulate simulateCmd `cmd:"" help:"Say what castoff would do for a service, from many simulated failures. Needs no AWS account."`
	labCommands
	Check       checkCmd       `cmd:"" help:"Say whether a configuration file is good, and every mistake in it."`
	Explain     explainCmd     `cmd:"" help:"Ask a running castoff why a target was, or was not, taken out."`
	Timelines   timelinesCmd   `cmd:"" help:"Ask a running castoff for the failures that it has timed, or watch them."`
	Services    servicesCmd    `cmd:"" help:"Ask a running castoff for the services that it watches."`
	Healthcheck healthcheckCmd `cmd:"" help:"Say whether the castoff of this machine lives: for the health check of a container."`
	Completion  completionCmd  `cmd:"" help:"Print the script by which a shell completes castoff's commands and flags."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
}

func main() {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	release()
	os.Exit(code)
}

// run is main without the process: it carries out the command line until it is
// done or ctx is, and answers the exit code.
func run(ctx context.Context, args []string, to streams) int {
	var commands cli
	exited, code := false, exitOK
	parser, err := kong.New(&commands,
		kong.Name("castoff"), kong.Description(description), kong.Writers(to.out, to.err),
		kong.Exit(func(c int) { exited, code = true, c }), // of --help
		kong.Bind(to), kong.BindTo(ctx, (*context.Context)(nil)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return explain(to.err, err)
	}
	if len(args) == 0 {
		fmt.Fprintf(to.err, "castoff: no command: give one of %s; see castoff --help\n", strings.Join(commandNames(parser.Model), ", "))
		return exitUsage
	}
	command, err := parser.Parse(args)
	if exited {
		return code
	}
	if err != nil {
		return explain(to.err, misread(err))
	}
	return explain(to.err, command.Run())
}

// commandNames are those of the commands that people give.
func commandNames(app *kong.Application) (names []string) {
	for _, node := range app.Children {
		if !node.Hidden {
			names = append(names, node.Name)
		}
	}
	return names
}

// misread says which help to read about a command line that cannot be parsed.
func misread(err error) error {
	help := "castoff --help"
	var parsing *kong.ParseError
	if errors.As(err, &parsing) && parsing.Context.Selected() != nil {
		help = "castoff " + parsing.Context.Selected().Name + " --help"
	}
	return usageError(fmt.Sprintf("%v; see %s", err, help))
}

// awsError is a failure to use AWS at all; its text says what to do.
type awsError struct{ error }

func (e awsError) Unwrap() error { return e.error }

// stateError is a directory that cannot be written; its text says what to do.
type stateError struct{ error }

func (e stateError) Unwrap() error { return e.error }

// usageError is a command line that parses and makes no sense all the same.
type usageError string

func (e usageError) Error() string { return string(e) }

// explain writes one line, or one a mistake, and answers the exit code.
func explain(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "castoff: %s\n", printable(strings.TrimSuffix(line, "\n")))
	}
	var (
		aws    awsError
		usage  usageError
		wrong  *config.ValidationError
		file   *fileError
		web    *controller.WebConfigError
		listen *controller.ListenError
		state  stateError
		kept   *controller.JournalError
		denied *controller.ObserverError
		play   replayError
	)
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &wrong), errors.As(err, &file), errors.As(err, &web), errors.As(err, &play):
		return exitConfig
	case errors.As(err, &aws), errors.As(err, &denied):
		return exitAWS
	case errors.As(err, &listen):
		return exitListen
	case errors.As(err, &state), errors.As(err, &kept):
		return exitState
	default:
		return exitFailed
	}
}

// printable is a line of text for a terminal. Errors quote what AWS, proxies and
// files say, and an escape sequence in it could have a terminal show something
// else.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		default:
			return unicode.ReplacementChar
		}
	}, line)
}

type versionCmd struct{}

func (versionCmd) Help() string {
	return "Example: castoff version\n\nExit codes: 0 printed; 2 wrong usage.\n"
}

func (versionCmd) Run(to streams) error {
	v, rev := build()
	_, err := fmt.Fprintf(to.out, "castoff %s (revision %s)\n", v, rev)
	return err
}

// build says what this program was made of, as far as it knows.
func build() (v, rev string) {
	v, rev = version, revision
	if info, ok := debug.ReadBuildInfo(); ok {
		v = cmp.Or(v, strings.Trim(info.Main.Version, "()"))
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				rev = cmp.Or(rev, s.Value)
			}
		}
	}
	return cmp.Or(v, "devel"), cmp.Or(rev, "unknown")
}
