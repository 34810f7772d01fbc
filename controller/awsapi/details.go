package awsapi

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// definition is what the Observer keeps of a task definition.
type definition struct {
	clock
	arn   fleet.TaskDefinitionARN
	value *fleet.TaskDefinition
	// doubted: what a task says of its containers cannot be by this definition. None
	// ever changes, so one that was read wrong would stay so.
	doubted bool
}

// instance is what the Observer keeps of a container instance.
type instance struct {
	clock
	arn     fleet.ContainerInstanceARN
	cluster *cluster
	read    bool
	ec2     string // the EC2 instance's id; empty outside EC2
}

func (o *Observer) addDefinition(arn fleet.TaskDefinitionARN) {
	if arn != "" && o.definitions[arn] == nil {
		o.definitions[arn] = &definition{clock: clock{known: time.Now()}, arn: arn}
	}
}

func (o *Observer) addInstance(c *cluster, arn fleet.ContainerInstanceARN) {
	if arn == "" {
		return
	}
	if o.instances[arn] == nil {
		o.instances[arn] = &instance{clock: clock{known: time.Now()}, arn: arn}
	}
	o.instances[arn].cluster = c // a cluster that came back is another one
}

// readDetails reads what tasks refer to and what has not been read yet: their
// definitions and container instances.
func (o *Observer) readDetails(ctx context.Context) {
	// The interval is that of trying again: neither ever changes once read.
	unread := slices.DeleteFunc(sorted(o.definitions), func(d *definition) bool { return d.value != nil && !d.doubted })
	o.perform(ctx, o.buckets[TaskDefinitionReadBucket],
		batch(o, unread, func(d *definition) *clock { return &d.clock }, o.opts.InventoryInterval, 1, o.describeDefinition))

	byCluster := make(map[*cluster][]*instance)
	for _, i := range sorted(o.instances) {
		if !i.read {
			byCluster[i.cluster] = append(byCluster[i.cluster], i)
		}
	}
	var reads []read
	for _, c := range o.watchedClusters() {
		reads = append(reads, batch(o, byCluster[c], func(i *instance) *clock { return &i.clock }, o.opts.InventoryInterval, instancesACall,
			func(ctx context.Context, is []*instance) func() { return o.describeInstances(ctx, c, is) })...)
	}
	o.perform(ctx, o.buckets[ClusterResourceReadBucket], reads)
}

func (o *Observer) describeDefinition(ctx context.Context, ds []*definition) func() {
	d := ds[0]
	out, _, err := ask(ctx, o.ecs.DescribeTaskDefinition, &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String(string(d.arn))})
	switch {
	case err != nil:
	case out.TaskDefinition == nil:
		err = gapf(fleet.Invalid, "the reply has no task definition")
	case len(out.TaskDefinition.ContainerDefinitions) == 0: // and it would be kept for ever
		err = gapf(fleet.Invalid, "the reply has no container definitions")
	default:
		for i := range out.TaskDefinition.ContainerDefinitions {
			if why := halfContainer(&out.TaskDefinition.ContainerDefinitions[i]); why != "" {
				err = gapf(fleet.Invalid, "%s", why)
			}
		}
	}
	return func() {
		d.failed = d.soon(err)
		if err != nil {
			o.fail(fleet.GapTaskDefinition, string(d.arn), "DescribeTaskDefinition of "+d.arn.FamilyRevision(), err)
			return
		}
		o.clear(fleet.GapTaskDefinition, string(d.arn))
		d.value, d.doubted = o.convertDefinition(d.arn, out.TaskDefinition), false
		o.known, o.moved = nil, true
	}
}

// fits reports that a task's containers can be those of its definition: some are, and
// none of them has a health without a check. ECS adds containers of its own.
func fits(t *fleet.Task, d *fleet.TaskDefinition) bool {
	some := false
	for i := range t.Containers {
		c := &t.Containers[i]
		at := slices.IndexFunc(d.Containers, func(d fleet.ContainerDefinition) bool { return d.Name == c.Name })
		if at < 0 {
			continue
		}
		if some = true; c.Health != fleet.Unknown && d.Containers[at].Check == nil {
			return false
		}
	}
	return some || len(t.Containers) == 0
}

func (o *Observer) describeInstances(ctx context.Context, c *cluster, instances []*instance) func() {
	out, _, err := ask(ctx, o.ecs.DescribeContainerInstances, &ecs.DescribeContainerInstancesInput{
		Cluster:            aws.String(string(c.arn)),
		ContainerInstances: texts(instances, func(i *instance) string { return string(i.arn) }),
	})
	return func() {
		missing := ""
		for _, i := range instances {
			if err != nil {
				i.failed = i.soon(err)
				continue
			}
			at := slices.IndexFunc(out.ContainerInstances, func(in types.ContainerInstance) bool {
				return value(in.ContainerInstanceArn) == string(i.arn)
			})
			if i.failed = at < 0; i.failed {
				missing = string(i.arn)
				continue
			}
			i.read = true
			i.ec2 = o.shared(value(out.ContainerInstances[at].Ec2InstanceId))
			o.moved = true
		}
		attempted := "DescribeContainerInstances of " + string(c.arn)
		// The Gap goes when none of the cluster's instances is unread, see dropGaps:
		// this call knows only of its own.
		switch {
		case err != nil:
			o.fail(fleet.GapContainerInstances, string(c.arn), attempted, err)
		case missing != "":
			o.fail(fleet.GapContainerInstances, string(c.arn), attempted, gapf(fleet.NotFound, "%s is not in the reply", missing))
		}
	}
}

func (o *Observer) convertDefinition(arn fleet.TaskDefinitionARN, in *types.TaskDefinition) *fleet.TaskDefinition {
	d := &fleet.TaskDefinition{ARN: arn, NetworkMode: string(in.NetworkMode)}
	if d.NetworkMode == "" {
		d.NetworkMode = fleet.NetworkBridge // ECS's default on EC2; Fargate has none but awsvpc, and says so
	}
	for i := range in.ContainerDefinitions {
		c := &in.ContainerDefinitions[i]
		d.Containers = append(d.Containers, fleet.ContainerDefinition{
			Name:        value(c.Name),
			Essential:   orElse(c.Essential, true),
			Check:       o.convertCheck(c.HealthCheck),
			StopTimeout: o.ofSeconds(int64(orElse(c.StopTimeout, 30))),
		})
	}
	return d
}

// convertCheck fills in ECS's defaults.
func (o *Observer) convertCheck(in *types.HealthCheck) *fleet.HealthCheck {
	if in == nil || in.Command[0] == "NONE" {
		return nil
	}
	return &fleet.HealthCheck{
		Command:     in.Command,
		Interval:    o.ofSeconds(int64(orElse(in.Interval, 30))),
		Timeout:     o.ofSeconds(int64(orElse(in.Timeout, 5))),
		Retries:     count(orElse(in.Retries, 3)),
		StartPeriod: o.ofSeconds(int64(value(in.StartPeriod))),
	}
}
