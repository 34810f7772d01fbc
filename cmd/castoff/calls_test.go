package main

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/status"
)

// Requests are held against budgets by the bucket that both name: the series that
// begin before the first request name the same as those of requests.
func TestRequestsAreHeldAgainstBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		region := sim.New(sim.Options{Seed: 1})
		if err := errors.Join(region.AddCluster("prod", sim.ClusterOptions{}), region.AddService(sim.ReferenceWorkload("prod", "grpc"))); err != nil {
			t.Fatal(err)
		}
		aws := awsapi.Simulated("http://aws.invalid", sim.RegionName)
		aws.HTTPClient = sim.Doer{Region: region}
		cfg := config.Default()
		cfg.AWS.Budgets.ELBWrite = 3
		reg, m := newMetrics()
		observer, err := awsapi.New(controller.ObserverOptions(cfg, awsapi.Options{Config: aws, Recorder: m.AWS, Second: time.Second / 10}))
		if err != nil {
			t.Fatal(err)
		}
		observer.Observe(t.Context(), nil)
		group := fleet.TargetGroupARN("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/none/0123456789abcdef")
		key := fleet.NewTargetKey(group, "10.0.0.1", 10080)
		if observer.Deregister(t.Context(), group, []fleet.TargetKey{key}) == nil || observer.Register(t.Context(), group, []awsapi.Registration{{Key: key}}) == nil {
			t.Fatal("there is no such group, and it was written to")
		}

		shown := calls(m.AWS)()
		budgets := make(map[string]status.Budget)
		for _, b := range shown.Budgets {
			budgets[b.Bucket] = b
		}
		// A tenth of a second is a second here.
		if got := budgets[awsapi.RegistrationBucket]; got.PerSecond != 30 || got.Requests != 2 {
			t.Errorf("%+v", got)
		}
		if got := budgets[awsapi.BalancerReadBucket]; got.PerSecond != 25 || got.Requests == 0 {
			t.Errorf("%+v", got)
		}

		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		of, allowed := make(map[string]string), make(map[string]bool)
		for _, f := range families {
			for _, series := range f.GetMetric() {
				labels := make(map[string]string)
				for _, l := range series.GetLabel() {
					labels[l.GetName()] = l.GetValue()
				}
				switch f.GetName() {
				case "castoff_aws_budget_calls_per_second":
					allowed[labels["bucket"]] = true
				case "castoff_aws_requests_total":
					if was := of[labels["operation"]]; was != "" && was != labels["bucket"] {
						t.Errorf("%s takes from %s and from %s", labels["operation"], was, labels["bucket"])
					}
					of[labels["operation"]] = labels["bucket"]
				}
			}
		}
		for operation, bucket := range of {
			if !allowed[bucket] {
				t.Errorf("%s takes from %q, which has no budget", operation, bucket)
			}
		}
		if len(of) < 10 || len(allowed) != len(awsapi.Buckets) {
			t.Errorf("operations %v, budgets %v", of, allowed)
		}
	})
}
