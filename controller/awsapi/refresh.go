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
// groups. It answers a Snapshot of the whole fleet in which these parts are
// fresh and the others as they were. What could not be read is a Gap and keeps
// its old Read; so is what castoff does not know.
//
// Its calls come ahead of all that Observe has due. They may wait for tokens, and
// no longer than ctx lasts. Not to be called while Observe runs.
func (o *Observer) Refresh(ctx context.Context, tasks []fleet.TaskARN, groups []fleet.TargetGroupARN) *fleet.Snapshot {
	demands, unknown := o.demandTasks(tasks)
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
	}
	now := time.Now()
	for _, d := range demands {
		d.bucket.served(now, d.clocks...)
	}
	settle(ctx, demands, func(ctx context.Context, d demand) func() { return d.call(patiently(ctx, d.bucket)) })
	o.retarget()
	return o.snapshot(unknown...)
}

// demandTasks are the calls for tasks and their services.
func (o *Observer) demandTasks(arns []fleet.TaskARN) (demands []demand, unknown []fleet.Gap) {
	tasks := make(map[*cluster][]*task)
	services := make(map[*cluster][]*service)
	for _, arn := range distinct(arns) {
		c, t := o.task(arn)
		if t == nil {
			unknown = append(unknown, strange(fleet.GapTasks, string(arn), "castoff knows no such task"))
			continue
		}
		if !t.final() {
			tasks[c] = append(tasks[c], t)
		}
		if s := o.services[t.service]; s != nil && !slices.Contains(services[s.cluster], s) {
			services[s.cluster] = append(services[s.cluster], s)
		}
	}
	for _, c := range sorted(o.clusters) {
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
	return demands, unknown
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
