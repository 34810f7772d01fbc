package awsapi

import (
	"context"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// demand is one call that is made now, whether it is due or not.
type demand struct {
	bucket *bucket
	clocks []*clock // of what it reads
	call   func(context.Context) (apply func())
}

// Refresh reads again, now, what a decision about these tasks rests on: each
// task that has not stopped for good, its service, and the rows of the target
// groups. Where one of the tasks fails, so that its target may be taken out, also
// what seldom changes: its cluster's tags, and the groups' settings and attributes,
// and their load balancers'. What may go back must not wait for these. It answers a
// Snapshot of the whole fleet in which these parts are fresh and the others as they
// were. What could not be read is a Gap and keeps its old Read; so is what castoff
// does not know.
//
// Its calls come ahead of all that Observe has due. They may wait for tokens, and
// no longer than ctx lasts. Not to be called while Observe runs.
func (o *Observer) Refresh(ctx context.Context, tasks []fleet.TaskARN, groups []fleet.TargetGroupARN) *fleet.Snapshot {
	demands, unknown, fails := o.demandTasks(tasks)
	for _, arn := range distinct(groups) {
		g := o.groups[arn]
		if g == nil {
			unknown = append(unknown, strange(fleet.GapTargetHealth, string(arn), "no service that castoff watches names the target group"))
			continue
		}
		demands = append(demands, demand{
			bucket: o.buckets[BalancerReadBucket], clocks: []*clock{&g.health},
			call: func(ctx context.Context) func() { return o.describeHealth(ctx, g) },
		})
		if fails {
			demands = append(demands, o.demandSettings(g)...)
		}
	}
	now := time.Now()
	for _, d := range demands {
		d.bucket.served(now, d.clocks...)
	}
	settle(ctx, demands, func(ctx context.Context, d demand) func() { return d.call(patiently(ctx, d.bucket)) })
	o.retarget()
	return o.snapshot(unknown...)
}

// demandSettings are the calls for all of a group but its rows.
func (o *Observer) demandSettings(g *group) []demand {
	b := o.buckets[BalancerReadBucket]
	demands := []demand{
		{bucket: b, call: func(ctx context.Context) func() { return o.describeGroup(ctx, g) }},
		{bucket: b, clocks: []*clock{&g.attributes}, call: func(ctx context.Context) func() { return o.describeAttributes(ctx, []*group{g}) }},
	}
	for _, lb := range g.decidedBy() {
		if lb.value.Denied {
			continue // it will be again
		}
		demands = append(demands, demand{
			bucket: b, clocks: []*clock{&lb.attributes},
			call: func(ctx context.Context) func() { return o.describeBalancer(ctx, []*loadBalancer{lb}) },
		})
	}
	return demands
}

// demandTasks are the calls for tasks and their services and, where a task fails,
// their clusters.
func (o *Observer) demandTasks(arns []fleet.TaskARN) (demands []demand, unknown []fleet.Gap, fails bool) {
	tasks := make(map[*cluster][]*task)
	services := make(map[*cluster][]*service)
	clusters := make(map[*cluster]bool)
	for _, arn := range distinct(arns) {
		c, t := o.task(arn)
		if t == nil {
			unknown = append(unknown, strange(fleet.GapTasks, string(arn), "castoff knows no such task"))
			continue
		}
		if !t.final() {
			tasks[c] = append(tasks[c], t)
		}
		if t.failing() {
			fails = true
			clusters[c] = true
		}
		if s := o.services[t.service]; s != nil && !slices.Contains(services[s.cluster], s) {
			services[s.cluster] = append(services[s.cluster], s)
		}
	}
	for _, c := range sorted(o.clusters) {
		if clusters[c] {
			demands = append(demands, demand{
				bucket: o.buckets[ClusterReadBucket], clocks: []*clock{&c.clock},
				call: func(ctx context.Context) func() { return o.describeClusters(ctx, []*cluster{c}) },
			})
		}
		for part := range slices.Chunk(tasks[c], tasksACall) {
			demands = append(demands, demand{
				bucket: o.buckets[ClusterResourceReadBucket], clocks: clocks(part, func(t *task) *clock { return &t.clock }),
				call: func(ctx context.Context) func() { return o.describeTasks(ctx, c, part) },
			})
		}
		for part := range slices.Chunk(services[c], servicesACall) {
			demands = append(demands, demand{
				bucket: o.buckets[ServiceReadBucket], clocks: clocks(part, func(s *service) *clock { return &s.clock }),
				call: func(ctx context.Context) func() { return o.describeServices(ctx, c, part) },
			})
		}
	}
	return demands, unknown, fails
}

// task finds a task that is known; nil when it is not.
func (o *Observer) task(arn fleet.TaskARN) (*cluster, *task) {
	for _, c := range o.clusters {
		if t := c.byARN[arn]; t != nil {
			return c, t
		}
	}
	return nil, nil
}

// strange is the Gap of something that was asked for and is not known.
func strange(kind fleet.GapKind, ref, why string) fleet.Gap {
	return fleet.Gap{Kind: kind, Ref: ref, Class: fleet.NotFound, Detail: why, Since: time.Now().Round(0).UTC()}
}

func clocks[T any](of []T, clk func(T) *clock) []*clock {
	out := make([]*clock, len(of))
	for i, t := range of {
		out[i] = clk(t)
	}
	return out
}

// distinct is a sorted copy with each element once.
func distinct[S ~string](in []S) []S {
	return slices.Compact(slices.Sorted(slices.Values(in)))
}

type patienceKey struct{}

// patiently has calls wait for their tokens.
func patiently(ctx context.Context, b *bucket) context.Context {
	return context.WithValue(ctx, patienceKey{}, b)
}
