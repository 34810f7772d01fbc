package scenario

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/webhook"
	"github.com/castoff-ecs/castoff/metrics"
)

// daemon is the whole controller on a simulated region, in process. It lives in
// the bubble of the test that starts it.
type daemon struct {
	*controller.Controller
	region   *sim.Region
	registry *prometheus.Registry
	polling  config.Polling
}

// set is what a test sets differently.
type set struct {
	config  *config.Config // as from a file; then mode, limits and pauses are not used
	mode    policy.Mode    // of every service; default observe
	limits  func(*policy.Limits)
	rules   rules // in place of mode, limits and pauses, when it has limits
	pauses  []policy.Pause
	journal *journal.Journal
	past    journal.Contents
	log     io.Writer
	handler slog.Handler   // in place of log
	client  aws.HTTPClient // default: the region itself
	// notifier tells people; nil: nobody is told.
	notifier *webhook.Sender
	book     *stateBook // nil: nobody notes what the tracker meets
	// actor and observer may put something between the controller and AWS.
	actor    func(controller.Actor) controller.Actor
	observer func(controller.Observer) controller.Observer
}

// rules are the configuration in force as far as it is about acting.
type rules struct {
	limits func(fleet.ServiceID) policy.Limits
	fleet  policy.FleetLimits
	pauses []policy.Pause
}

// inForce are the rules that a set asks for.
func (o set) inForce() rules {
	if o.rules.limits != nil {
		return o.rules
	}
	if cfg := o.config; cfg != nil {
		return rules{limits: cfg.LimitsOf, fleet: cfg.FleetLimits(), pauses: cfg.Pauses()}
	}
	limits := policy.DefaultLimits()
	limits.Mode = o.mode
	if o.limits != nil {
		o.limits(&limits)
	}
	return rules{limits: func(fleet.ServiceID) policy.Limits { return limits }, fleet: policy.DefaultFleetLimits(), pauses: o.pauses}
}

// start runs castoff with its defaults against the region. The SDK is as it
// ships but for its backoff, which is jittered by default and would make no two
// runs alike.
func start(t *testing.T, region *sim.Region, o set) *daemon {
	t.Helper()
	cfg := config.Default()
	if o.config != nil {
		cfg = *o.config
	}
	log := slog.New(slog.DiscardHandler)
	switch {
	case o.handler != nil:
		log = slog.New(o.handler)
	case o.log != nil:
		log = slog.New(slog.NewTextHandler(o.log, nil))
	}
	aws := awsapi.Simulated("http://aws.invalid", sim.RegionName)
	aws.HTTPClient = o.client
	if o.client == nil {
		aws.HTTPClient = sim.Doer{Region: region}
	}
	aws.Retryer = steadyRetries
	kept := o.journal
	if kept == nil {
		kept = journal.Memory(journal.Options{})
	}
	cfg.Web.Listen = ""
	registry := prometheus.NewRegistry()
	m := metrics.New(registry, metrics.Options{})
	in := o.inForce()
	c, _, err := controller.Open(cfg, controller.Place{
		Options: controller.Options{
			Journal: kept, Past: o.past, Forgets: o.journal == nil,
			Policy: controller.Policy{Limits: in.limits, Fleet: in.fleet, Pauses: in.pauses}, Notifier: o.notifier,
			Metrics: m, Exposition: http.NotFoundHandler(), Logger: log, Seed: 1,
		},
		AWS: awsapi.Options{Config: aws, Recorder: m.AWS},
		Between: func(observer controller.Observer, actor controller.Actor) (controller.Observer, controller.Actor) {
			if o.observer != nil {
				observer = o.observer(observer)
			}
			if o.book != nil {
				observer = o.book.watch(controller.TrackerSettings(cfg.Timelines), o.past.Tracker, observer)
			}
			if o.actor != nil {
				actor = o.actor(actor)
			}
			return observer, actor
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Start()
	t.Cleanup(func() { _ = c.Stop(context.Background()) })
	return &daemon{Controller: c, region: region, registry: registry, polling: cfg.Polling}
}

func steadyRetries() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 200 * time.Millisecond, nil })
	})
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
