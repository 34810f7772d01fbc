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
	"github.com/castoff-ecs/castoff/controller/timeline"
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
	mode    policy.Mode // of every service; default observe
	limits  func(*policy.Limits)
	pauses  []policy.Pause
	journal *journal.Journal
	past    journal.Contents
	log     io.Writer
	actor   func(controller.Actor) controller.Actor // stands between castoff and AWS
}

// start runs castoff with its defaults against the region. The SDK is as it
// ships but for its backoff, which is jittered by default and would make no two
// runs alike.
func start(t *testing.T, region *sim.Region, o set) *daemon {
	t.Helper()
	cfg := config.Default()
	limits := policy.DefaultLimits()
	limits.Mode = o.mode
	if o.limits != nil {
		o.limits(&limits)
	}
	log := slog.New(slog.DiscardHandler)
	if o.log != nil {
		log = slog.New(slog.NewTextHandler(o.log, nil))
	}
	aws := awsapi.Simulated("http://aws.invalid", sim.RegionName)
	aws.HTTPClient = sim.Doer{Region: region}
	aws.Retryer = steadyRetries
	registry := prometheus.NewRegistry()
	m := metrics.New(registry, metrics.Options{})
	observer, err := awsapi.New(awsapi.Options{Config: aws, Recorder: m.AWS})
	if err != nil {
		t.Fatal(err)
	}
	observer.Remember(o.past.Tracker.Tasks)
	var actor controller.Actor = awsapi.Actor{Observer: observer}
	if o.actor != nil {
		actor = o.actor(actor)
	}
	c, err := controller.New(controller.Options{
		Observer: observer, Actor: actor, Journal: o.journal, Past: o.past,
		Policy: controller.Policy{
			Limits: func(fleet.ServiceID) policy.Limits { return limits }, Fleet: policy.DefaultFleetLimits(), Pauses: o.pauses,
		},
		Metrics: m, Exposition: http.NotFoundHandler(), Logger: log,
		Polling: cfg.Polling, Tracker: timeline.DefaultSettings(), Keep: cfg.Timelines.Keep, Seed: 1,
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
