package awsapi

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/time/rate"
)

// Options are the settings of an [Observer]. Zero values stand for defaults.
type Options struct {
	// Config is a ready SDK configuration, see [Load]. Its region must be set.
	Config aws.Config
	// Clusters are names or ARNs; none means every cluster of the region.
	Clusters []string

	Interval          time.Duration // tasks; default 5 s
	HotInterval       time.Duration // tasks and target groups of hot services; default 2 s
	CalmInterval      time.Duration // other target groups; default 30 s
	DiscoveryInterval time.Duration // lists of tasks; default 15 s
	InventoryInterval time.Duration // clusters, services, target groups; default 60 s

	// ReplyAge is by how much a reply may be older than its request; every
	// [fleet.Read] says so. Zero: by nothing.
	ReplyAge time.Duration

	Budgets Budgets
	// Second is how long AWS's second lasts: [time.Second], or less against a
	// simulated region that runs faster than the clock. Whatever AWS gives in
	// whole seconds, and castoff's own fixed times and budgets, are scaled by it.
	Second time.Duration
	// Recorder may be nil.
	Recorder Recorder
}

// Recorder counts calls. Its methods are called from several goroutines.
type Recorder interface {
	// Budget is called by [New] for each of [Buckets], with the calls of a second of
	// the clock for which it gives tokens; [math.Inf] for no limit.
	Budget(bucket string, perSecond float64)
	// Request is called after each attempt of a call, retries included. The
	// service is ecs or elbv2, the bucket that of the operation, the result ok or a
	// [fleet.Class].
	Request(service, operation, bucket, result string, d time.Duration)
	// PacingWait is called when a call is made that had to wait for its bucket,
	// with the time for which it had been due.
	PacingWait(bucket string, d time.Duration)
}

// Budgets are calls per second, for each of AWS's token buckets that castoff
// takes from. AWS shares them among everyone in the account and region. Zero
// stands for the default, a quarter of the published sustained rate;
// [math.Inf] for no limit. The bursts are what the rate gives from one pass to
// the next, so that none of it is lost, but at least a quarter of the published
// ones and at most half of them, or one second's worth if that is more.
//
// Sources: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
// and https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-throttling.html
type Budgets struct {
	ClusterRead         float64 // ListClusters, DescribeClusters; default 5
	ClusterResourceRead float64 // ListTasks, DescribeTasks, DescribeContainerInstances; default 5
	ServiceRead         float64 // ListServices, DescribeServices, DescribeServiceRevisions, ListGatewayRoutes; default 5
	TaskDefinitionRead  float64 // DescribeTaskDefinition; default 5
	BalancerRead        float64 // every Describe call of ELBv2; default 2.5
	Registration        float64 // RegisterTargets, DeregisterTargets; default 1
}

// Names of the buckets, as a [Recorder] gets them.
const (
	ClusterReadBucket         = "ecs_cluster_read"
	ClusterResourceReadBucket = "ecs_cluster_resource_read"
	ServiceReadBucket         = "ecs_service_read"
	TaskDefinitionReadBucket  = "ecs_task_definition_read"
	BalancerReadBucket        = "elbv2_describe"
	RegistrationBucket        = "elbv2_registration"
)

// Buckets lists every bucket, for whoever must know them all beforehand.
var Buckets = []string{
	ClusterReadBucket, ClusterResourceReadBucket, ServiceReadBucket, TaskDefinitionReadBucket, BalancerReadBucket, RegistrationBucket,
}

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&o.Second, time.Second},
		{&o.Interval, 5 * time.Second},
		{&o.HotInterval, 2 * time.Second},
		{&o.CalmInterval, 30 * time.Second},
		{&o.DiscoveryInterval, 15 * time.Second},
		{&o.InventoryInterval, 60 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	for _, b := range []struct {
		value *float64
		or    float64
	}{
		{&o.Budgets.ClusterRead, 5},
		{&o.Budgets.ClusterResourceRead, 5},
		{&o.Budgets.ServiceRead, 5},
		{&o.Budgets.TaskDefinitionRead, 5},
		{&o.Budgets.BalancerRead, 2.5},
		{&o.Budgets.Registration, 1},
	} {
		if *b.value == 0 {
			*b.value = b.or
		}
	}
	if o.Recorder == nil {
		o.Recorder = noRecorder{}
	}
	return o
}

// validate names every mistake.
func (o Options) validate() error {
	var errs []error
	if o.Config.Region == "" {
		errs = append(errs, errors.New("the SDK configuration has no region"))
	}
	for i, c := range o.Clusters {
		if c == "" {
			errs = append(errs, fmt.Errorf("clusters[%d] is empty", i))
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"interval", o.Interval},
		{"hot interval", o.HotInterval},
		{"calm interval", o.CalmInterval},
		{"discovery interval", o.DiscoveryInterval},
		{"inventory interval", o.InventoryInterval},
		{"second", o.Second},
		{"reply age", o.ReplyAge},
	} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("%s must be above 0 (got %s)", d.name, d.value))
		}
	}
	for _, b := range []struct {
		name  string
		value float64
	}{
		{"cluster read", o.Budgets.ClusterRead},
		{"cluster resource read", o.Budgets.ClusterResourceRead},
		{"service read", o.Budgets.ServiceRead},
		{"task definition read", o.Budgets.TaskDefinitionRead},
		{"balancer read", o.Budgets.BalancerRead},
		{"registration", o.Budgets.Registration},
	} {
		if b.value < 0 || math.IsNaN(b.value) {
			errs = append(errs, fmt.Errorf("budget of %s must be above 0 calls a second (got %v)", b.name, b.value))
		}
	}
	return errors.Join(errs...)
}

// buckets makes the limiters.
func (o Options) buckets() map[string]*bucket {
	all := make(map[string]*bucket, len(Buckets))
	for _, b := range []struct {
		name      string
		rate      float64
		published int // burst
	}{
		{ClusterReadBucket, o.Budgets.ClusterRead, 50},
		{ClusterResourceReadBucket, o.Budgets.ClusterResourceRead, 100},
		{ServiceReadBucket, o.Budgets.ServiceRead, 100},
		{TaskDefinitionReadBucket, o.Budgets.TaskDefinitionRead, 50},
		{BalancerReadBucket, o.Budgets.BalancerRead, 40},
		{RegistrationBucket, o.Budgets.Registration, 20},
	} {
		limit, burst := rate.Inf, b.published/4
		if !math.IsInf(b.rate, 1) {
			limit = rate.Limit(b.rate * float64(time.Second) / float64(o.Second))
			perPass := float64(limit) * o.Interval.Seconds() * 1.2 // a pass may come late
			burst = max(burst, int(min(math.Ceil(perPass), float64(b.published/2))), int(math.Ceil(min(b.rate, 1e6))))
		}
		all[b.name] = &bucket{name: b.name, limiter: rate.NewLimiter(limit, burst), recorder: o.Recorder}
	}
	return all
}

type noRecorder struct{}

func (noRecorder) Budget(string, float64)                                {}
func (noRecorder) Request(string, string, string, string, time.Duration) {}
func (noRecorder) PacingWait(string, time.Duration)                      {}
