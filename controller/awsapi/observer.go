package awsapi

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/smithy-go/middleware"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Observer reads the fleet, and changes it where it is told to. It keeps between
// passes what it has read, so that each pass reads only what is due. Its methods
// are called one after the other, but for [Observer.Deregister] and
// [Observer.Register]: these may run beside all others and beside each other.
type Observer struct {
	opts    Options
	ecs     *ecs.Client
	elb     *elb.Client
	buckets map[string]*bucket

	pass    int       // number of this pass
	started time.Time // of the first pass
	hot     map[fleet.ServiceID]bool

	clusterList chain
	clusters    map[string]*cluster // by ARN, or by name as configured until the ARN is known
	services    map[fleet.ServiceID]*service
	gateways    gateways
	groupList   chain
	groups      map[fleet.TargetGroupARN]*group // those that services name
	balancers   map[string]*loadBalancer        // those of groups
	definitions map[fleet.TaskDefinitionARN]*definition
	instances   map[fleet.ContainerInstanceARN]*instance
	swept       time.Time // when what nobody refers to any more was last dropped

	// known is the Definitions of the last Snapshot; replaced, never changed.
	known map[fleet.TaskDefinitionARN]*fleet.TaskDefinition
	// moved says that something changed from which the targets of tasks that
	// were not read again follow.
	moved bool
	gaps  map[gapKey]fleet.Gap
	seen  map[string]string // one copy of each string that many tasks share

	written written
}

// New makes an Observer. It makes no call. The error names every setting that
// is wrong.
func New(o Options) (*Observer, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("observe AWS: %w", err)
	}
	o = o.withDefaults()
	cfg := o.Config.Copy()
	if cfg.Credentials != nil && !aws.IsCredentialsProvider(cfg.Credentials, (*aws.AnonymousCredentials)(nil)) {
		cfg.Credentials = credentials{cfg.Credentials}
	}
	o.Config = cfg
	buckets := o.buckets()
	for _, name := range Buckets {
		o.Recorder.Budget(name, buckets[name].perSecond())
	}
	watch := func(service string) func(*middleware.Stack) error {
		return (&attempts{service: service, buckets: buckets, recorder: o.Recorder, behind: o.ReplyAge}).add
	}
	from := new(replies)
	obs := &Observer{
		opts: o,
		ecs: ecs.NewFromConfig(cfg, func(e *ecs.Options) {
			e.HTTPClient = inMemory{e.HTTPClient}
			e.APIOptions = append(e.APIOptions, watch("ecs"), from.add)
		}),
		elb: elb.NewFromConfig(cfg, func(e *elb.Options) {
			e.HTTPClient = inMemory{e.HTTPClient}
			e.APIOptions = append(e.APIOptions, watch("elbv2"), from.add)
		}),
		buckets:     buckets,
		clusters:    make(map[string]*cluster),
		services:    make(map[fleet.ServiceID]*service),
		groups:      make(map[fleet.TargetGroupARN]*group),
		balancers:   make(map[string]*loadBalancer),
		definitions: make(map[fleet.TaskDefinitionARN]*definition),
		instances:   make(map[fleet.ContainerInstanceARN]*instance),
		hot:         make(map[fleet.ServiceID]bool),
		gaps:        make(map[gapKey]fleet.Gap),
		seen:        make(map[string]string),
	}
	return obs, nil
}

// Observe makes one pass: it reads what is due and returns the whole fleet as
// it is known then. The hot services are those that the caller wants read at
// the hot interval; a service of which a task reads UNHEALTHY is hot by itself.
// Observe never fails: what could not be read is a Gap of the Snapshot.
func (o *Observer) Observe(ctx context.Context, hot []fleet.ServiceID) *fleet.Snapshot {
	o.pass++
	if o.pass == 1 {
		o.started = time.Now()
	}
	o.noteWritten()
	o.warm(hot)
	o.readClusters(ctx)
	o.readServices(ctx)
	o.readGroups(ctx)
	o.readDetails(ctx)
	o.readTasks(ctx)
	o.readDetails(ctx) // of tasks that are new
	o.settle(ctx)
	o.retarget()
	o.readBalancers(ctx)
	o.sweep()
	return o.snapshot()
}

// warm finds the services that are hot in this pass.
func (o *Observer) warm(hot []fleet.ServiceID) {
	o.hot = make(map[fleet.ServiceID]bool, len(hot))
	for _, id := range hot {
		o.hot[id] = true
	}
	for _, c := range o.clusters {
		for _, t := range c.tasks {
			if t.failing() {
				o.hot[t.service] = true
			}
		}
	}
}

// every is an interval less half a hot one: a pass that comes a little early
// must not put a read off by a whole turn of the loop.
func (o *Observer) every(interval time.Duration) time.Duration {
	return interval - o.opts.HotInterval/2
}

// due reports whether c is due at an interval.
func (o *Observer) due(c *clock, now time.Time, interval time.Duration) bool {
	return c.due(now, o.every(interval), o.every(o.opts.Interval))
}

// ofSeconds converts AWS's whole seconds.
func (o *Observer) ofSeconds(n int64) time.Duration {
	// More than AWS allows anywhere, and far from overflowing.
	n = min(max(n, 0), 1<<31)
	return time.Duration(n) * o.opts.Second
}

// sorted are the values of a map in the order of their keys.
func sorted[K cmp.Ordered, V any](m map[K]V) []V {
	values := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		values = append(values, m[k])
	}
	return values
}

// maxSeen bounds what is remembered of shared strings.
const maxSeen = 1 << 16

// shared returns the one copy of a string that repeats from task to task.
func (o *Observer) shared(s string) string {
	if s == "" {
		return ""
	}
	if was, ok := o.seen[s]; ok {
		return was
	}
	if len(o.seen) >= maxSeen {
		clear(o.seen)
	}
	o.seen[s] = s
	return s
}

// sweep forgets, once an inventory, what nothing refers to any more.
func (o *Observer) sweep() {
	now := time.Now()
	if !o.swept.IsZero() && now.Sub(o.swept) < o.opts.InventoryInterval {
		return
	}
	o.swept = now
	definitions := make(map[fleet.TaskDefinitionARN]bool, len(o.definitions))
	instances := make(map[fleet.ContainerInstanceARN]bool, len(o.instances))
	for _, s := range o.services {
		if s.value == nil {
			continue
		}
		for _, d := range s.value.Deployments {
			definitions[d.Definition] = true
		}
	}
	for _, c := range o.clusters {
		for _, t := range c.tasks {
			if t.value != nil {
				definitions[t.value.Definition] = true
				instances[t.value.ContainerInstance] = true
			}
		}
	}
	for arn := range o.definitions {
		if !definitions[arn] {
			delete(o.definitions, arn)
			o.known = nil
		}
	}
	for arn := range o.instances {
		if !instances[arn] {
			delete(o.instances, arn)
		}
	}
	o.dropGroups()
}
