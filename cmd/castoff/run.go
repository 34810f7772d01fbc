package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/status"
	"github.com/castoff-ecs/castoff/metrics"
)

// configEnv has a whole configuration, which is how a task definition passes
// one without a file.
const configEnv = "CASTOFF_CONFIG"

// grace is how long stopping may take. ECS's own default stopTimeout is 30 s.
const grace = 10 * time.Second

type runCmd struct {
	Config    *string        `help:"Configuration file. Without it, the YAML in CASTOFF_CONFIG; without that, defaults: every cluster of the region." placeholder:"FILE"`
	Region    *string        `help:"AWS region. Default: as the AWS SDK finds it."`
	Cluster   []string       `sep:"none" help:"Cluster to watch, by name or ARN; may be given several times. Default: all."`
	Listen    *string        `help:"Address of pages, API and metrics (default :9468)." placeholder:"HOST:PORT"`
	WebConfig *string        `name:"web.config.file" help:"Web configuration of the Prometheus exporter-toolkit, for TLS and basic authentication." placeholder:"FILE"`
	Interval  *time.Duration `help:"How often every task is read (default 5s)."`
	Mode      *string        `help:"observe, or detach: take sick targets out of their balancer, within limits (default observe). Of services for which neither the configuration nor a tag says another." placeholder:"MODE"`
	State     *string        `help:"Directory for what must outlive a restart; mode detach needs one. Default: in memory; none says that this is meant, in mode detach too." placeholder:"DIR"`
	Record    *string        `help:"Directory for a record of what AWS answers, which castoff replay plays: the last of it, account ids, names, addresses and texts replaced. Default: none." placeholder:"DIR"`
	KeepNames bool           `name:"record-keep-names" help:"Record account ids, names, addresses and texts as they are. Secrets are never recorded."`
	LogLevel  *string        `help:"debug, info, warn or error (default info)." placeholder:"LEVEL"`
	LogFormat *string        `help:"json or text (default json)." placeholder:"FORMAT"`
}

func (c runCmd) Help() string {
	return "Examples:\n\n" +
		"  castoff run --region eu-central-1 --cluster prod\n" +
		"  CASTOFF_CONFIG='clusters: [prod]' castoff run\n\n" +
		"Exit codes: 0 stopped by SIGTERM or SIGINT; 1 failed, or stopping was cut short; 2 wrong usage; 3 wrong configuration; 4 AWS cannot be used (region, credentials, permission, cluster, endpoint); 5 cannot listen; 6 the state directory cannot be used.\n"
}

// settle reads the configuration and puts the flags over it.
func (c runCmd) settle() (config.Config, error) {
	if err := c.named(); err != nil {
		return config.Config{}, err
	}
	cfg, err := c.base()
	if err != nil {
		return config.Config{}, err
	}
	override(&cfg.Region, c.Region)
	override(&cfg.Web.Listen, c.Listen)
	override(&cfg.Web.ConfigFile, c.WebConfig)
	override(&cfg.State, c.State)
	override(&cfg.Record.Dir, c.Record)
	cfg.Record.KeepNames = cfg.Record.KeepNames || c.KeepNames
	override((*string)(&cfg.Mode), c.Mode)
	override((*string)(&cfg.Log.Level), c.LogLevel)
	override((*string)(&cfg.Log.Format), c.LogFormat)
	if len(c.Cluster) > 0 {
		cfg.Clusters = c.clusters()
	}
	if c.Interval != nil {
		poll(&cfg.Polling, *c.Interval)
	}
	return cfg, blameFlags(c, flagOf, cfg.Validate())
}

func override(setting, flag *string) {
	if flag != nil {
		*setting = *flag
	}
}

// named refuses flags that are given and empty, as by a variable that is not
// set: to watch every cluster, or to serve without TLS, is not what was meant.
func (c runCmd) named() error {
	var lines []string
	for _, f := range []struct {
		flag  string
		value *string
		must  string
	}{
		{"--config", c.Config, "a file"},
		{"--region", c.Region, "an AWS region"},
		{"--listen", c.Listen, "an address, host:port"},
		{"--web.config.file", c.WebConfig, "a file"},
		{"--state", c.State, "a directory"},
		{"--record", c.Record, "a directory"},
	} {
		if f.value != nil && *f.value == "" {
			lines = append(lines, f.flag+" must name "+f.must)
		}
	}
	if slices.Contains(c.clusters(), "") {
		lines = append(lines, "--cluster must name a cluster")
	}
	if len(lines) == 0 {
		return nil
	}
	return usageError(strings.Join(lines, "\n"))
}

// clusters are those of every --cluster, of which each may list several.
func (c runCmd) clusters() []string {
	var clusters []string
	for _, list := range c.Cluster {
		clusters = append(clusters, strings.Split(list, ",")...)
	}
	return clusters
}

// poll sets the interval and what must not be longer, or shorter, than it: one
// flag is to be enough.
func poll(p *config.Polling, interval time.Duration) {
	p.Interval = interval
	p.HotInterval = min(p.HotInterval, max(interval, time.Second))
	p.CalmInterval = max(p.CalmInterval, interval)
	p.DiscoveryInterval = max(p.DiscoveryInterval, interval)
	p.InventoryInterval = max(p.InventoryInterval, interval)
}

// flagOf is the flag that sets a setting.
var flagOf = map[string]string{
	"region": "--region", "clusters": "--cluster", "web.listen": "--listen", "polling.interval": "--interval",
	"log.level": "--log-level", "log.format": "--log-format", "mode": "--mode", "state": "--state",
}

// item is which item of a list a path is about.
var item = regexp.MustCompile(`\[[0-9]+\]`)

// blameFlags names the flags behind the problems of a configuration that flags have
// changed. Where one of them is to blame, what follows from it is not said; what none
// of them has set keeps its name in the configuration.
func blameFlags(command any, flagOf map[string]string, err error) error {
	var wrong *config.ValidationError
	if !errors.As(err, &wrong) {
		return err
	}
	given := givenFlags(command)
	var lines []string
	for _, p := range wrong.Problems {
		if flag := flagOf[item.ReplaceAllString(p.Path, "")]; given[flag] {
			p.Path = flag
			if line := p.String(); !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	if len(lines) == 0 {
		return err
	}
	return usageError(strings.Join(lines, "\n"))
}

// givenFlags are the flags that a command line has, or that have a default: the
// others of a command are nil.
func givenFlags(command any) map[string]bool {
	given := map[string]bool{}
	v := reflect.ValueOf(command)
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("name")
		if name == "" {
			name = strings.ToLower(wordStart.ReplaceAllString(v.Type().Field(i).Name, "$1-$2"))
		}
		given["--"+name] = !slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice}, v.Field(i).Kind()) || !v.Field(i).IsNil()
	}
	return given
}

// wordStart is where a field's name has its next word, which its flag begins with a dash.
var wordStart = regexp.MustCompile(`([a-z])([A-Z])`)

// stateFlag puts --state over a file: whether a mode may be detach depends on it.
func stateFlag(dir *string) func(*config.Config) {
	return func(cfg *config.Config) { override(&cfg.State, dir) }
}

func (c runCmd) base() (config.Config, error) {
	inline := os.Getenv(configEnv)
	switch {
	case inline != "" && c.Config != nil:
		return config.Config{}, usageError("both --config and " + configEnv + " are given; give one")
	case c.Config != nil:
		return readConfig(*c.Config, stateFlag(c.State))
	case inline != "":
		return config.Parse(configEnv, []byte(inline), stateFlag(c.State))
	default:
		return config.Default(), nil
	}
}

func (c runCmd) Run(ctx context.Context, to streams) error {
	cfg, err := c.settle()
	if err != nil {
		return err
	}
	receivers, err := receiversOf(cfg)
	if err != nil {
		return err
	}
	log := newLogger(cfg.Log, to)
	aws, err := awsapi.Load(ctx, awsapi.LoadOptions{
		Region: cfg.Region, AssumeRoleARN: cfg.AWS.AssumeRole.ARN,
		ExternalID: cfg.AWS.AssumeRole.ExternalID.Reveal(), SessionName: cfg.AWS.AssumeRole.SessionName,
	})
	if err != nil {
		return awsError{err}
	}
	reg, m := newMetrics()
	tape, err := newRecorder(cfg, aws.HTTPClient, aws.Region, 1, m, log)
	if err != nil {
		return err
	}
	defer tape.close()
	if tape.Recorder != nil {
		aws.HTTPClient = tape
	}
	notifier, err := newNotifier(cfg, aws.Region, receivers, m.Notifications, log)
	if err != nil {
		return err
	}
	daemon, observer, err := open(cfg, reg, m, controller.Place{
		Options: controller.Options{Logger: log, Notifier: notifier, Seed: tape.seed}, AWS: awsapi.Options{Config: aws},
	})
	if err != nil {
		return err
	}
	// Before AWS is tried, since that may take longer than what looks after
	// castoff waits for a sign of life.
	daemon.Serve()
	log.Debug("castoff is starting", "listen", daemon.Address())
	if err := preflight(ctx, observer, log); err != nil {
		return errors.Join(err, stop(daemon, slog.New(slog.DiscardHandler)))
	}
	if ctx.Err() == nil {
		tape.start()
		daemon.Start()
		log.Info("castoff is running", "version", daemon.View().Version, "region", aws.Region, "listen", daemon.Address(), "clusters", watched(cfg.Clusters), "mode", cfg.Mode)
	}
	return serve(ctx, daemon, log)
}

// watched says in a word what no list of clusters means.
func watched(clusters []string) string {
	if len(clusters) == 0 {
		return "all"
	}
	return strings.Join(clusters, ",")
}

// patience is how long AWS may take to answer a first time: enough for the
// SDK's retries, and for credentials from a metadata service that is slow.
const patience = 15 * time.Second

// preflight tells a mistake that will not mend itself from a bad moment of
// AWS's: being throttled is no reason not to start.
func preflight(ctx context.Context, observer *awsapi.Observer, log *slog.Logger) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := observer.Preflight(limited)
	var none *awsapi.NoClustersError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &none):
		log.Warn("there is no ECS cluster: is this the right region and account?", "region", none.Region, "account", none.Account)
		return nil
	case ctx.Err() != nil:
		return nil // stopped while starting
	case awsapi.Classify(err) == fleet.Throttled:
		log.Warn("AWS throttles castoff from the start", "error", err)
		return nil
	case limited.Err() != nil:
		return awsError{fmt.Errorf("no answer within %s: %w", patience, err)}
	default:
		return awsError{err}
	}
}

// serve waits until ctx is done or the daemon fails, and stops it.
func serve(ctx context.Context, daemon *controller.Controller, log *slog.Logger) error {
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-daemon.Failed():
	}
	return errors.Join(failure, stop(daemon, log))
}

// stop gives the daemon its grace. A signal that comes meanwhile cuts that
// short.
func stop(daemon *controller.Controller, log *slog.Logger) error {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	log.Info("stopping", "grace", grace)
	return daemon.Stop(ctx)
}

func newLogger(cfg config.Log, to streams) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.Level.Slog(), ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().String()) // JSON would have nanoseconds
		}
		return a
	}}
	if cfg.Format == config.Text {
		return slog.New(slog.NewTextHandler(to.err, o))
	}
	return slog.New(slog.NewJSONHandler(to.err, o))
}

// newMetrics makes a registry with castoff's metrics and the runtime's.
func newMetrics() (*prometheus.Registry, *metrics.Metrics) {
	reg := prometheus.NewRegistry()
	// Without go_memstats_*: its gauge go_memstats_alloc_bytes and its counter
	// go_memstats_alloc_bytes_total are one name twice in OpenMetrics.
	runtime := collectors.NewGoCollector(collectors.WithGoCollectorMemStatsMetricsDisabled(), collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsMemory))
	reg.MustRegister(runtime, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	v, revision := build()
	return reg, metrics.New(reg, metrics.Options{Version: v, Revision: revision})
}

// calls answers what castoff asks of AWS, beside what it allows itself.
func calls(m *metrics.AWS) func() status.Calls {
	return func() status.Calls {
		all := status.Calls{At: time.Now()}
		requests := make(map[string]int)
		for _, c := range m.Calls() {
			op := status.Operation{Service: c.Service, Name: c.Operation, Bucket: c.Bucket, Results: c.Results}
			for _, n := range c.Results {
				requests[op.Bucket] += n
			}
			all.Operations = append(all.Operations, op)
		}
		perSecond, waits := m.Budgets(), m.Waits()
		for _, bucket := range awsapi.Buckets {
			all.Budgets = append(all.Budgets, status.Budget{
				Bucket: bucket, PerSecond: perSecond[bucket], Requests: requests[bucket], Waited: waits[bucket],
			})
		}
		return all
	}
}

// scrapesMost is how many may be sent the metrics at a time: two Prometheus servers and
// somebody who looks, twice over. More are answered 503 until one of them is done.
const scrapesMost = 6

func exposition(reg *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true, Registry: reg, MaxRequestsInFlight: scrapesMost})
}

// open makes castoff, with what this program has for it.
func open(cfg config.Config, reg *prometheus.Registry, m *metrics.Metrics, p controller.Place) (*controller.Controller, *awsapi.Observer, error) {
	p.Version, _ = build()
	p.Metrics, p.AWS.Recorder, p.Calls = m, m.AWS, calls(m.AWS)
	p.Exposition = exposition(reg)
	daemon, observer, err := controller.Open(cfg, p)
	var listen *controller.ListenError
	if errors.As(err, &listen) {
		return nil, nil, fmt.Errorf("%w; choose another with --listen", err)
	}
	return daemon, observer, err
}
