package sim

import (
	"slices"
	"sort"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

type failureJSON struct {
	ARN    string `json:"arn"`
	Reason string `json:"reason"`
}

func missing(arn string) failureJSON { return failureJSON{ARN: arn, Reason: "MISSING"} }

// listJSON has one of the lists, empty or not, as AWS's replies do.
type listJSON struct {
	ClusterARNs    []string `json:"clusterArns,omitzero"`
	ServiceARNs    []string `json:"serviceArns,omitzero"`
	TaskARNs       []string `json:"taskArns,omitzero"`
	InstanceARNs   []string `json:"containerInstanceArns,omitzero"`
	DefinitionARNs []string `json:"taskDefinitionArns,omitzero"`
	NextToken      string   `json:"nextToken,omitempty"`
}

func (r *Region) listClusters(q *ecsRequest) (any, *apiError) {
	from, to, err := q.page(len(r.clusters), 100, same)
	if err != nil {
		return nil, err
	}
	out := listJSON{ClusterARNs: []string{}}
	for _, c := range r.clusters[from:to] {
		out.ClusterARNs = append(out.ClusterARNs, string(c.arn))
	}
	if to < len(r.clusters) {
		out.NextToken = token(to)
	}
	return out, nil
}

func (r *Region) listServices(q *ecsRequest) (any, *apiError) {
	c, err := r.clusterNamed(q.Cluster)
	if err != nil {
		return nil, err
	}
	services := slices.DeleteFunc(slices.Clone(c.services), func(s *service) bool {
		return !s.known(q.at) || q.LaunchType != "" && q.LaunchType != s.spec.LaunchType || q.ResourceManagementType == "ECS" ||
			q.SchedulingStrategy != "" && q.SchedulingStrategy != s.spec.Scheduling
	})
	from, to, err := q.page(len(services), 10, func(seq int) int {
		return sort.Search(len(services), func(i int) bool { return services[i].seq > seq })
	})
	if err != nil {
		return nil, err
	}
	out := listJSON{ServiceARNs: []string{}}
	for _, s := range services[from:to] {
		out.ServiceARNs = append(out.ServiceARNs, string(s.arn))
	}
	if to < len(services) {
		out.NextToken = token(services[to-1].seq)
	}
	return out, nil
}

type routeJSON struct {
	ARN     string `json:"gatewayRouteArn"`
	Gateway string `json:"gatewayArn"`
	Cluster string `json:"clusterArn"`
	Service string `json:"serviceArn"`
	Port    string `json:"serviceContainerPortName"`
	Status  string `json:"status"`
}

// listGatewayRoutes lists those of the whole region, one for each service that has any.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListGatewayRoutes.html
func (r *Region) listGatewayRoutes(q *ecsRequest) (any, *apiError) {
	all := []routeJSON{}
	for _, c := range r.clusters {
		for _, s := range c.services {
			if s.spec.Gateway && s.known(q.at) {
				all = append(all, routeJSON{
					ARN: ecsARN("gateway-route/shared/" + s.spec.Name), Gateway: ecsARN("gateway/shared"),
					Cluster: string(c.arn), Service: string(s.arn), Port: "http", Status: "ACTIVE",
				})
			}
		}
	}
	from, to, err := q.page(len(all), 100, same)
	if err != nil {
		return nil, err
	}
	out := struct {
		Routes    []routeJSON `json:"gatewayRoutes"`
		NextToken string      `json:"nextToken,omitempty"`
	}{Routes: all[from:to]}
	if to < len(all) {
		out.NextToken = token(to)
	}
	return out, nil
}

func (r *Region) listContainerInstances(q *ecsRequest) (any, *apiError) {
	c, err := r.clusterNamed(q.Cluster)
	if err != nil {
		return nil, err
	}
	if q.Filter != "" {
		return nil, invalid("InvalidParameterException", "The filter expression is not one that this region knows.")
	}
	var instances []*instance
	if q.Status == "" || q.Status == "ACTIVE" {
		instances = c.instances
	}
	from, to, err := q.page(len(instances), 100, func(seq int) int {
		return sort.Search(len(instances), func(i int) bool { return instances[i].seq > seq })
	})
	if err != nil {
		return nil, err
	}
	out := listJSON{InstanceARNs: []string{}}
	for _, h := range instances[from:to] {
		out.InstanceARNs = append(out.InstanceARNs, string(h.arn))
	}
	if to < len(instances) {
		out.NextToken = token(instances[to-1].seq)
	}
	return out, nil
}

// serviceNamed finds a service of a cluster by name or ARN.
func (c *cluster) serviceNamed(ref string) *service {
	s := c.serviceNames[lastSegment(ref)]
	if s == nil || ref != s.spec.Name && ref != string(s.arn) {
		return nil
	}
	return s
}

func (r *Region) listTasks(q *ecsRequest) (any, *apiError) {
	c, err := r.clusterNamed(q.Cluster)
	if err != nil {
		return nil, err
	}
	if q.StartedBy != "" && (q.ServiceName != "" || q.Family != "" || q.ContainerInstance != "") {
		return nil, invalid("InvalidParameterException", "Cannot specify startedBy with other filters.")
	}
	if err := c.ofCluster(q.ServiceName, q.ContainerInstance); err != nil {
		return nil, err
	}
	var s *service
	if q.ServiceName != "" {
		if s = c.serviceNamed(q.ServiceName); s == nil {
			return nil, invalid("ServiceNotFoundException", "Service not found.")
		}
	}
	desired := fleet.Running
	if q.DesiredStatus != "" {
		desired = fleet.TaskStatus(q.DesiredStatus) // nothing ever has PENDING
	}
	from, _, err := q.page(len(c.tasks), 100, func(seq int) int {
		return sort.Search(len(c.tasks), func(i int) bool { return c.tasks[i].seq > seq })
	})
	if err != nil {
		return nil, err
	}
	size := 100
	if q.MaxResults != nil {
		size = *q.MaxResults
	}
	out := listJSON{TaskARNs: []string{}}
	last := 0
	for _, t := range c.tasks[from:] {
		if !q.wants(t, s) || !t.listed(desired, q.at) {
			continue
		}
		if len(out.TaskARNs) == size {
			out.NextToken = token(last)
			break
		}
		out.TaskARNs, last = append(out.TaskARNs, string(t.arn)), t.seq
	}
	return out, nil
}

// listed reports whether a list of an instant has the task among those that ECS
// wants in a status.
func (t *task) listed(desired fleet.TaskStatus, at time.Time) bool {
	if !at.Before(t.region.now) {
		return t.desired == desired
	}
	s := t.past.asOf(at)
	return s != nil && s.value.Desired == string(desired)
}

// known reports whether a list of an instant has the service.
func (s *service) known(at time.Time) bool {
	return !at.Before(s.region.now) || s.past.asOf(at) != nil
}

// wants applies the filters of ListTasks.
func (q *ecsRequest) wants(t *task, s *service) bool {
	switch {
	case s != nil && t.service != s,
		q.DaemonName != "", // of managed instances: there are none
		q.LaunchType != "" && q.LaunchType != t.def.launchType,
		q.Family != "" && q.Family != t.def.family,
		q.StartedBy != "" && t.starter() != q.StartedBy,
		q.ContainerInstance != "" && (t.instance == nil || lastSegment(string(t.instance.arn)) != lastSegment(q.ContainerInstance)):
		return false
	}
	return true
}

// taskNamed finds a task of a cluster by id or ARN.
func (c *cluster) taskNamed(ref string) *task {
	t := c.taskIDs[lastSegment(ref)]
	if t == nil || ref != t.id && ref != string(t.arn) {
		return nil
	}
	return t
}
