package awsapi

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// service is what the Observer keeps of one.
type service struct {
	clock
	id      fleet.ServiceID
	arn     string // as listed
	cluster *cluster
	value   *fleet.Service // nil until described
	missing int            // descriptions in a row that said it is not there

	primary   string               // the deployment that the service's own settings are of; empty with task sets
	settings  map[string]*settings // by what the tasks of each deployment were started by
	current   []fleet.LoadBalancer // those that the service names now
	former    []fleet.LoadBalancer // those of other deployments that have tasks
	live      []string             // deployments other than the primary one with tasks that have not stopped
	revisions []string             // ARNs of the current service revisions
	revising  clock
}

// ref is how Gaps call the service.
func (s *service) ref() string { return s.id.String() }

// readServices lists and describes the services of every cluster.
func (o *Observer) readServices(ctx context.Context) {
	b := o.buckets[ServiceReadBucket]
	clusters := o.watchedClusters()
	walks := make([]func() listed, 0, len(clusters)+1)
	for _, c := range clusters {
		walks = append(walks, func() listed { return o.listServices(ctx, c, b) })
	}
	if len(clusters) > 0 {
		walks = append(walks, func() listed { return o.listRoutes(ctx, b) })
	}
	lists := each(walks, func(walk func() listed) listed { return walk() })
	for i, c := range clusters {
		for _, arn := range lists[i].found {
			o.addService(c, arn)
		}
		switch l := lists[i]; {
		case l.err != nil:
			o.fail(fleet.GapServices, string(c.arn), "ListServices of "+string(c.arn), l.err)
		case l.seen:
			o.clear(fleet.GapServices, string(c.arn))
		}
	}
	byCluster := make(map[*cluster][]*service, len(clusters))
	for _, s := range o.services {
		byCluster[s.cluster] = append(byCluster[s.cluster], s)
	}
	var reads []read
	for _, c := range clusters {
		services := byCluster[c]
		slices.SortFunc(services, func(a, b *service) int { return a.id.Compare(b.id) })
		reads = append(reads, batch(o, services, func(s *service) *clock { return &s.clock },
			o.opts.InventoryInterval, servicesACall,
			func(ctx context.Context, s []*service) func() { return o.describeServices(ctx, c, s) })...)
	}
	o.perform(ctx, b, reads)
	for _, routes := range lists[len(clusters):] {
		o.connect(routes)
	}
}

func (o *Observer) listServices(ctx context.Context, c *cluster, b *bucket) listed {
	return o.list(ctx, &c.serviceList, b, o.opts.InventoryInterval, "service", func(ctx context.Context, token *string) ([]string, *string, error) {
		out, _, err := ask(ctx, o.ecs.ListServices, &ecs.ListServicesInput{
			Cluster: aws.String(string(c.arn)), MaxResults: aws.Int32(servicesAPage), NextToken: token,
		})
		if err != nil {
			return nil, nil, err
		}
		return out.ServiceArns, out.NextToken, noList(out.ServiceArns, "services")
	})
}

// watchedClusters are the clusters whose contents are read, in a fixed order.
func (o *Observer) watchedClusters() []*cluster {
	return slices.DeleteFunc(sorted(o.clusters), func(c *cluster) bool { return !c.watched() })
}

func (o *Observer) addService(c *cluster, arn string) {
	id := fleet.ServiceID{Cluster: c.arn.Name(), Name: fleet.ServiceARN(arn).Name()}
	if id.Name == "" || o.services[id] != nil {
		return
	}
	now := clock{known: time.Now()}
	o.services[id] = &service{clock: now, id: id, arn: arn, cluster: c, settings: make(map[string]*settings), revising: now}
}

func (o *Observer) describeServices(ctx context.Context, c *cluster, services []*service) func() {
	said := new(members)
	out, read, err := ask(context.WithValue(ctx, membersKey{}, said), o.ecs.DescribeServices, &ecs.DescribeServicesInput{
		Cluster:  aws.String(string(c.arn)),
		Services: texts(services, func(s *service) string { return s.arn }),
		Include:  []types.ServiceField{types.ServiceFieldTags},
	})
	return func() {
		for _, s := range services {
			attempted := "DescribeServices of " + s.id.String()
			if err != nil {
				s.fail(err, len(services))
				o.fail(fleet.GapService, s.ref(), attempted, err)
				continue
			}
			s.ok()
			i := slices.IndexFunc(out.Services, func(in types.Service) bool { return fleet.ServiceARN(value(in.ServiceArn)).Name() == s.id.Name })
			reason := "left out of the reply"
			if i >= 0 {
				in := &out.Services[i]
				has := said.of("services", "serviceArn", value(in.ServiceArn))
				if reason = cmp.Or(halfService(s.value, in, has), strangeService(in)); reason == "" {
					o.applyService(s, in, has, read)
					continue
				}
			}
			for _, f := range out.Failures {
				if fleet.ServiceARN(value(f.Arn)).Name() == s.id.Name {
					reason = value(f.Reason)
				}
			}
			if reason != missingReason {
				o.fail(fleet.GapService, s.ref(), attempted, gapf(fleet.Invalid, "%s", reason))
				continue
			}
			o.fail(fleet.GapService, s.ref(), attempted, gapf(fleet.NotFound, "there is no such service"))
			o.missService(s)
		}
	}
}

func (o *Observer) applyService(s *service, in *types.Service, has has, read fleet.Read) {
	v := o.convertService(s, in, read)
	v.Gateway = o.gateways.of(s.arn)
	s.learn(v, in)
	s.current = v.LoadBalancers
	v.LoadBalancers = s.withFormer(s.current)
	if s.value == nil {
		v.TagsUnknown = true
	} else {
		v.Tags, v.TagsUnknown = s.value.Tags, s.value.TagsUnknown
		keepRollouts(s.value, v)
	}
	if given, ok := wholeTags(v.Tags, in.Tags, has, listsOfService); ok {
		v.Tags, v.TagsUnknown = given, false
		o.clear(fleet.GapTags, s.ref())
	} else {
		o.fail(fleet.GapTags, s.ref(), "DescribeServices of "+s.id.String(), errNoTags)
	}
	if s.value == nil || !slices.Equal(s.value.LoadBalancers, v.LoadBalancers) {
		o.moved = true
	}
	if s.value != nil && showsLoss(s.value, v) {
		s.cluster.lose(s.id.Name)
	}
	s.value = v
	o.clear(fleet.GapService, s.ref())
	for _, lb := range v.LoadBalancers {
		o.addGroup(lb.Group)
	}
	for _, d := range v.Deployments {
		o.addDefinition(d.Definition)
	}
	if v.Status == "INACTIVE" {
		o.missService(s)
		return
	}
	s.missing = 0
}

// showsLoss reports whether a service's own numbers say that it lost a task.
func showsLoss(was, is *fleet.Service) bool {
	return is.Running < was.Running || slices.ContainsFunc(is.Deployments, func(d fleet.Deployment) bool {
		failed := 0
		if i := slices.IndexFunc(was.Deployments, func(w fleet.Deployment) bool { return w.ID == d.ID }); i >= 0 {
			failed = was.Deployments[i].Failed
		}
		return d.Failed > failed
	})
}

// missService notes an answer that the service is no more, and drops it when
// that has been confirmed. Its tasks have lives of their own.
func (o *Observer) missService(s *service) {
	if s.missing++; s.missing >= confirmations {
		delete(o.services, s.id)
		delete(s.cluster.hotLists, s.id.Name)
		delete(s.cluster.losses, s.id.Name)
	}
}

func (o *Observer) convertService(s *service, in *types.Service, read fleet.Read) *fleet.Service {
	v := &fleet.Service{
		ID:         s.id,
		ARN:        fleet.ServiceARN(s.arn),
		Cluster:    s.cluster.arn,
		Status:     value(in.Status),
		Scheduling: cmp.Or(string(in.SchedulingStrategy), fleet.Replica),
		Controller: fleet.ControllerECS,
		Desired:    count(in.DesiredCount),
		Running:    count(in.RunningCount),
		Pending:    count(in.PendingCount),
		Grace:      o.ofSeconds(int64(value(in.HealthCheckGracePeriodSeconds))),
		Read:       read,
	}
	if in.DeploymentController != nil && in.DeploymentController.Type != "" {
		v.Controller = string(in.DeploymentController.Type)
	}
	// AWS's defaults: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
	v.MinimumHealthyPercent, v.MaximumPercent = 100, 200
	if v.Scheduling == fleet.Daemon {
		v.MinimumHealthyPercent, v.MaximumPercent = 0, 100
	}
	if d := in.DeploymentConfiguration; d != nil {
		v.MinimumHealthyPercent = count(orElse(d.MinimumHealthyPercent, int32(v.MinimumHealthyPercent)))
		v.MaximumPercent = count(orElse(d.MaximumPercent, int32(v.MaximumPercent)))
		v.EarlySuccess = d.EarlySuccessCriteria != nil && d.EarlySuccessCriteria.Enable
		v.Breaker = convertBreaker(d.DeploymentCircuitBreaker)
	}
	v.Moved = moved(in)
	v.LoadBalancers = appendLoadBalancers(nil, in.LoadBalancers)
	for i := range in.Deployments {
		v.Deployments = append(v.Deployments, convertDeployment(&in.Deployments[i], read.Received))
	}
	for i := range in.TaskSets {
		v.Deployments = append(v.Deployments, convertTaskSet(&in.TaskSets[i], read.Received))
		v.LoadBalancers = appendLoadBalancers(v.LoadBalancers, in.TaskSets[i].LoadBalancers)
	}
	slices.SortFunc(v.LoadBalancers, compareLoadBalancers)
	v.LoadBalancers = slices.Compact(v.LoadBalancers)
	return v
}

// taskID is the id of a task in a sentence of ECS's.
var taskID = regexp.MustCompile(`\b[0-9a-f]{32}\b`)

// mostMoved bounds what is kept of tasks that were started to balance zones.
const mostMoved = 500

// moved are the tasks that ECS says it started to balance zones. Nothing in a task
// says so: "(service-name) has started (number) tasks in (zone) to AZ Rebalance: (ids)".
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/track-service-rebalancing.html
func moved(in *types.Service) (ids []string) {
	if in.AvailabilityZoneRebalancing != types.AvailabilityZoneRebalancingEnabled {
		return nil
	}
	for i := range in.Events {
		if m := value(in.Events[i].Message); len(ids) < mostMoved && strings.Contains(m, "has started") && strings.Contains(m, "to AZ Rebalance") {
			ids = append(ids, taskID.FindAllString(m, mostMoved)...)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// convertBreaker fills in ECS's defaults: 50 % of the desired tasks, within bounds, and
// a healthy task ends the count.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentCircuitBreaker.html
func convertBreaker(in *types.DeploymentCircuitBreaker) fleet.CircuitBreaker {
	if in == nil || !in.Enable {
		return fleet.CircuitBreaker{}
	}
	b := fleet.CircuitBreaker{
		Enabled: true, Rollback: in.Rollback, Resets: orElse(in.ResetOnHealthyTask, true),
		Type: fleet.ThresholdBoundedPercent, Value: 50,
	}
	if t := in.ThresholdConfiguration; t != nil {
		b.Type, b.Value = string(t.Type), count(t.Value)
	}
	return b
}

func convertDeployment(in *types.Deployment, at time.Time) fleet.Deployment {
	return fleet.Deployment{
		ID:         value(in.Id),
		Status:     value(in.Status),
		Rollout:    string(in.RolloutState),
		Definition: fleet.TaskDefinitionARN(value(in.TaskDefinition)),
		Desired:    count(in.DesiredCount),
		Pending:    count(in.PendingCount),
		Running:    count(in.RunningCount),
		Failed:     count(in.FailedTasks),
		Created:    instant(in.CreatedAt, at),
		Updated:    instant(in.UpdatedAt, at),
	}
}

func convertTaskSet(in *types.TaskSet, at time.Time) fleet.Deployment {
	return fleet.Deployment{
		ID:         value(in.Id),
		Status:     value(in.Status),
		Rollout:    string(in.StabilityStatus),
		Definition: fleet.TaskDefinitionARN(value(in.TaskDefinition)),
		Desired:    count(in.ComputedDesiredCount),
		Pending:    count(in.PendingCount),
		Running:    count(in.RunningCount),
		Created:    instant(in.CreatedAt, at),
		Updated:    instant(in.UpdatedAt, at),
	}
}

// appendLoadBalancers adds the target groups that AWS names, a blue/green
// service's alternate ones included. Classic load balancers have none.
func appendLoadBalancers(to []fleet.LoadBalancer, in []types.LoadBalancer) []fleet.LoadBalancer {
	for i := range in {
		lb := fleet.LoadBalancer{
			Group:     fleet.TargetGroupARN(value(in[i].TargetGroupArn)),
			Container: value(in[i].ContainerName),
			Port:      count(value(in[i].ContainerPort)),
		}
		if lb.Group != "" {
			to = append(to, lb)
		}
		if a := in[i].AdvancedConfiguration; a != nil && value(a.AlternateTargetGroupArn) != "" {
			lb.Group, lb.Alternate = fleet.TargetGroupARN(*a.AlternateTargetGroupArn), true
			to = append(to, lb)
		}
	}
	return to
}

func compareLoadBalancers(a, b fleet.LoadBalancer) int {
	return cmp.Or(
		cmp.Compare(a.Group, b.Group), cmp.Compare(a.Container, b.Container),
		cmp.Compare(a.Port, b.Port), first(b.Alternate, a.Alternate),
	)
}

// count is a number that cannot be below 0.
func count(n int32) int { return int(max(n, 0)) }

// Instants further from the reading than these are no instants: ECS is younger
// than the one and tells no future, and a year beyond 9999 has no JSON.
const (
	longAgo = 20 * 365 * 24 * time.Hour
	yetToBe = 24 * time.Hour
)

// instant is a timestamp of AWS's in a reply received at an instant; zero where
// it gave none, or none that can be.
func instant(t *time.Time, received time.Time) time.Time {
	if t == nil || t.Before(received.Add(-longAgo)) || t.After(received.Add(yetToBe)) {
		return time.Time{}
	}
	return t.UTC()
}
