package sim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

const clusterName = "prod"

var greeter = fleet.ServiceID{Cluster: clusterName, Name: "greeter"}

// world is a region and the SDK's own clients for it.
type world struct {
	t   *testing.T
	r   *sim.Region
	ecs *ecs.Client
	elb *elb.Client
}

// inBubble runs a test in virtual time, in a region with one cluster.
func inBubble(t *testing.T, o sim.Options, instances int, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, o)
		w.must(w.r.AddCluster(clusterName, sim.ClusterOptions{Instances: instances, Tags: map[string]string{"team": "a"}}))
		test(t, w)
	})
}

func newWorld(t *testing.T, o sim.Options) *world {
	r := sim.New(o)
	cfg := config(sim.Doer{Region: r}, "http://sim.invalid")
	return &world{t: t, r: r, ecs: ecs.NewFromConfig(cfg), elb: elb.NewFromConfig(cfg)}
}

// config is made by hand: nothing of the machine's environment gets in.
func config(client aws.HTTPClient, endpoint string) aws.Config {
	return aws.Config{
		Region: sim.RegionName, HTTPClient: client, BaseEndpoint: aws.String(endpoint),
		Credentials: credentials.NewStaticCredentialsProvider("AKIASIMULATED", "simulated", ""),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Second, nil })
			})
		},
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// add makes a service and returns its tasks.
func (w *world) add(spec sim.ServiceSpec) []sim.TaskInfo {
	w.t.Helper()
	w.must(w.r.AddService(spec))
	return w.r.Tasks(fleet.ServiceID{Cluster: spec.Cluster, Name: spec.Name})
}

func (w *world) task(arn fleet.TaskARN) ecstypes.Task {
	w.t.Helper()
	out, err := w.ecs.DescribeTasks(w.t.Context(), &ecs.DescribeTasksInput{Cluster: aws.String(clusterName), Tasks: []string{string(arn)}})
	w.must(err)
	if len(out.Tasks) != 1 {
		w.t.Fatalf("%s: %d tasks, failures %v", arn, len(out.Tasks), out.Failures)
	}
	return out.Tasks[0]
}

// row reads one target by its key; nil when its group has no such row.
func (w *world) row(key fleet.TargetKey) *elbtypes.TargetHealthDescription {
	w.t.Helper()
	for _, d := range w.rows(key.Group) {
		if fleet.NewTargetKey(key.Group, *d.Target.Id, int(*d.Target.Port)) == key {
			return &d
		}
	}
	return nil
}

func (w *world) rows(group fleet.TargetGroupARN) []elbtypes.TargetHealthDescription {
	w.t.Helper()
	out, err := w.elb.DescribeTargetHealth(w.t.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: aws.String(string(group))})
	w.must(err)
	return out.TargetHealthDescriptions
}

// until polls every second until the condition holds.
func (w *world) until(limit time.Duration, what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// truth is the only failure that there is.
func (w *world) truth() sim.Truth {
	w.t.Helper()
	all := w.r.Truth()
	if len(all) != 1 {
		w.t.Fatalf("%d failures, want 1: %+v", len(all), all)
	}
	return all[0]
}
