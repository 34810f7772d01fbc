package sim

import (
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

type loadBalancerJSON struct {
	Group     string        `json:"targetGroupArn"`
	Container string        `json:"containerName"`
	Port      int           `json:"containerPort"`
	Advanced  *advancedJSON `json:"advancedConfiguration,omitempty"`
}

type advancedJSON struct {
	Alternate      string `json:"alternateTargetGroupArn"`
	ProductionRule string `json:"productionListenerRule"`
	TestRule       string `json:"testListenerRule,omitempty"`
	Role           string `json:"roleArn"`
}

// loadBalancersJSON are the groups as the service's settings name them: in a
// blue/green service always the same way round, whichever is live.
func (s *service) loadBalancersJSON(groups []serviceGroup, controller string) []loadBalancerJSON {
	list := []loadBalancerJSON{}
	for _, g := range groups {
		lb := loadBalancerJSON{Group: string(g.group.arn), Container: g.container, Port: g.port}
		if g.alternate != nil && controller == fleet.ControllerECS {
			lb.Advanced = &advancedJSON{
				Alternate:      string(g.alternate.arn),
				ProductionRule: g.listener,
				Role:           "arn:aws:iam::" + AccountID + ":role/ecsInfrastructureRole",
			}
			lb.Advanced.TestRule = g.test
		}
		list = append(list, lb)
	}
	return list
}

type deploymentJSON struct {
	ID         string `json:"id"`
	Status     string `json:"status"`
	Definition string `json:"taskDefinition"`
	Desired    int    `json:"desiredCount"`
	Pending    int    `json:"pendingCount"`
	Running    int    `json:"runningCount"`
	Failed     int    `json:"failedTasks"`
	Created    epoch  `json:"createdAt"`
	Updated    epoch  `json:"updatedAt"`
	LaunchType string `json:"launchType"`
	Rollout    string `json:"rolloutState"`
	RolloutWhy string `json:"rolloutStateReason"`
}

type taskSetJSON struct {
	ID            string             `json:"id"`
	ARN           string             `json:"taskSetArn"`
	Service       string             `json:"serviceArn"`
	Cluster       string             `json:"clusterArn"`
	StartedBy     string             `json:"startedBy,omitempty"`
	Status        string             `json:"status"`
	Definition    string             `json:"taskDefinition"`
	Desired       int                `json:"computedDesiredCount"`
	Pending       int                `json:"pendingCount"`
	Running       int                `json:"runningCount"`
	Created       epoch              `json:"createdAt"`
	Updated       epoch              `json:"updatedAt"`
	LaunchType    string             `json:"launchType"`
	LoadBalancers []loadBalancerJSON `json:"loadBalancers"`
	Scale         struct {
		Value float64 `json:"value"`
		Unit  string  `json:"unit"`
	} `json:"scale"`
	Stability   string    `json:"stabilityStatus"`
	StabilityAt epoch     `json:"stabilityStatusAt"`
	Tags        []tagJSON `json:"tags"`
}

type serviceJSON struct {
	ARN           string             `json:"serviceArn"`
	Name          string             `json:"serviceName"`
	Cluster       string             `json:"clusterArn"`
	LoadBalancers []loadBalancerJSON `json:"loadBalancers"`
	Status        string             `json:"status"`
	Desired       int                `json:"desiredCount"`
	Running       int                `json:"runningCount"`
	Pending       int                `json:"pendingCount"`
	LaunchType    string             `json:"launchType"`
	Platform      string             `json:"platformVersion,omitempty"`
	Family        string             `json:"platformFamily,omitempty"`
	Network       *networkJSON       `json:"networkConfiguration,omitempty"`
	Registries    []struct{}         `json:"serviceRegistries"`
	Constraints   []struct{}         `json:"placementConstraints"`
	Placement     []struct{}         `json:"placementStrategy"`
	ManagedTags   bool               `json:"enableECSManagedTags"`
	Exec          bool               `json:"enableExecuteCommand"`
	PropagateTags string             `json:"propagateTags"`
	Definition    string             `json:"taskDefinition,omitempty"`
	Configuration struct {
		Breaker  *breakerJSON `json:"deploymentCircuitBreaker,omitempty"`
		Maximum  int          `json:"maximumPercent"`
		Minimum  int          `json:"minimumHealthyPercent"`
		Strategy string       `json:"strategy,omitempty"`
		Bake     *int         `json:"bakeTimeInMinutes,omitempty"`
	} `json:"deploymentConfiguration"`
	TaskSets    []taskSetJSON     `json:"taskSets,omitempty"`
	Deployments []deploymentJSON  `json:"deployments"`
	Revisions   []revisionNowJSON `json:"currentServiceRevisions,omitempty"`
	Rebalancing string            `json:"availabilityZoneRebalancing,omitempty"`
	Events      []eventJSON       `json:"events"`
	Created     epoch             `json:"createdAt"`
	Grace       *int              `json:"healthCheckGracePeriodSeconds,omitempty"`
	Scheduling  string            `json:"schedulingStrategy"`
	Controller  struct {
		Type string `json:"type"`
	} `json:"deploymentController"`
	Tags []tagJSON `json:"tags"`
}

type networkJSON struct {
	VPC struct {
		Subnets []string `json:"subnets"`
		Groups  []string `json:"securityGroups"`
		Public  string   `json:"assignPublicIp"`
	} `json:"awsvpcConfiguration"`
}

type breakerJSON struct {
	Enable   bool  `json:"enable"`
	Rollback bool  `json:"rollback"`
	Resets   *bool `json:"resetOnHealthyTask,omitempty"`
}

// revisionNowJSON is how many tasks run a service revision.
type revisionNowJSON struct {
	ARN       string `json:"arn"`
	Requested int    `json:"requestedTaskCount"`
	Running   int    `json:"runningTaskCount"`
	Pending   int    `json:"pendingTaskCount"`
}

// json is the service with its tags.
func (s *service) json() serviceJSON {
	j := serviceJSON{
		ARN: string(s.arn), Name: s.spec.Name, Cluster: string(s.cluster.arn), Status: s.status(),
		LoadBalancers: []loadBalancerJSON{}, Deployments: []deploymentJSON{}, Events: s.eventsJSON(), Tags: tagsJSON(s.spec.Tags),
		Desired: s.desired, LaunchType: s.spec.LaunchType, Created: epoch(s.created), Scheduling: s.spec.Scheduling,
	}
	j.Registries, j.Constraints, j.Placement = []struct{}{}, []struct{}{}, []struct{}{}
	j.PropagateTags = "NONE"
	if s.spec.LaunchType == fleet.Fargate {
		j.Platform, j.Family = "1.4.0", "Linux"
	}
	if s.spec.NetworkMode == fleet.NetworkAWSVPC {
		j.Network = &networkJSON{}
		for _, z := range s.spec.subnets() {
			j.Network.VPC.Subnets = append(j.Network.VPC.Subnets, subnet(z))
		}
		j.Network.VPC.Groups, j.Network.VPC.Public = []string{"sg-00000000000000000"}, "DISABLED"
	}
	j.Running, j.Pending = count(s.live, func(*task) bool { return true })
	j.Configuration.Maximum, j.Configuration.Minimum = s.spec.MaximumPercent, s.spec.MinimumHealthyPercent
	j.Controller.Type = s.spec.Controller
	if len(s.groups) > 0 {
		grace := int(s.spec.Grace / time.Second)
		j.Grace = &grace
	}
	if s.spec.Controller != fleet.ControllerECS {
		j.TaskSets = s.taskSetsJSON()
		return j
	}
	s.deploymentsJSON(&j)
	return j
}

// deploymentsJSON adds what only services with the ECS controller have.
func (s *service) deploymentsJSON(j *serviceJSON) {
	newest := s.deployments[0]
	j.Definition = string(newest.def.arn())
	j.LoadBalancers = s.loadBalancersJSON(s.groups, s.spec.Controller)
	j.Configuration.Strategy = s.spec.Strategy
	j.Configuration.Breaker = &breakerJSON{Enable: s.spec.Breaker != BreakerOff, Rollback: s.spec.Rollback}
	if s.spec.Breaker == BreakerNeverResets {
		j.Configuration.Breaker.Resets = new(bool)
	}
	if s.spec.Strategy == BlueGreen {
		minutes := int(s.spec.BakeTime / time.Minute)
		j.Configuration.Bake = &minutes
	}
	j.Rebalancing = "DISABLED"
	if s.spec.Rebalance {
		j.Rebalancing = "ENABLED"
	}
	if j.Status == serviceInactive {
		return
	}
	for i, d := range s.deployments {
		dj := deploymentJSON{
			ID: d.id, Status: "ACTIVE", Definition: string(d.def.arn()), Desired: s.poolOf(d).desired, Failed: d.failed,
			Created: epoch(d.created), Updated: epoch(d.updated), LaunchType: s.spec.LaunchType, Rollout: d.rollout,
			RolloutWhy: d.why,
		}
		if i == 0 {
			dj.Status = "PRIMARY"
		}
		dj.Running, dj.Pending = count(s.live, func(t *task) bool { return t.deployment == d })
		j.Deployments = append(j.Deployments, dj)
		j.Revisions = append(j.Revisions, revisionNowJSON{d.revision, dj.Desired, dj.Running, dj.Pending})
	}
}

func (s *service) taskSetsJSON() []taskSetJSON {
	list := []taskSetJSON{}
	for _, d := range s.deployments {
		t := taskSetJSON{
			ID: d.id, Service: string(s.arn), Cluster: string(s.cluster.arn), Status: s.taskSetStatus(d),
			ARN:        ecsARN("task-set/" + s.cluster.name + "/" + s.spec.Name + "/" + d.id),
			Definition: string(d.def.arn()), Desired: d.desired(s), Created: epoch(d.created), Updated: epoch(d.updated),
			LaunchType: s.spec.LaunchType, LoadBalancers: s.loadBalancersJSON(s.groupsOf(d), s.spec.Controller),
			Stability: "STEADY_STATE", StabilityAt: epoch(d.stableAt), Tags: []tagJSON{},
		}
		if !d.stable {
			t.Stability = "STABILIZING"
		}
		if s.spec.Controller == fleet.ControllerCodeDeploy {
			t.StartedBy = "CODE_DEPLOY"
		}
		t.Scale.Value, t.Scale.Unit = d.percent, "PERCENT"
		t.Running, t.Pending = count(s.live, func(o *task) bool { return o.deployment == d })
		list = append(list, t)
	}
	return list
}

// taskSetStatus is whether a task set has production traffic.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskSet.html
func (s *service) taskSetStatus(d *deployment) string {
	switch {
	case d.leaving:
		return "DRAINING"
	case d == s.primary:
		return "PRIMARY"
	}
	return "ACTIVE"
}

// serviceRevisionJSON is a service revision, which never changes.
type serviceRevisionJSON struct {
	ARN           string             `json:"serviceRevisionArn"`
	Service       string             `json:"serviceArn"`
	Cluster       string             `json:"clusterArn"`
	Definition    string             `json:"taskDefinition"`
	LaunchType    string             `json:"launchType"`
	Platform      string             `json:"platformVersion,omitempty"`
	LoadBalancers []loadBalancerJSON `json:"loadBalancers"`
	Images        []imageJSON        `json:"containerImages"`
	GuardDuty     bool               `json:"guardDutyEnabled"`
	Created       epoch              `json:"createdAt"`
	Resolved      resolvedJSON       `json:"resolvedConfiguration"`
}

type imageJSON struct {
	Container string `json:"containerName"`
	Image     string `json:"image"`
}

type resolvedJSON struct {
	LoadBalancers []resolvedGroupJSON `json:"loadBalancers"`
}

// resolvedGroupJSON is the group that the revision's tasks are really in.
type resolvedGroupJSON struct {
	Group          string `json:"targetGroupArn"`
	ProductionRule string `json:"productionListenerRule,omitempty"`
}

func (s *service) revisionJSON(d *deployment) serviceRevisionJSON {
	j := serviceRevisionJSON{
		ARN: d.revision, Service: string(s.arn), Cluster: string(s.cluster.arn), Definition: string(d.def.arn()),
		LaunchType: s.spec.LaunchType, LoadBalancers: s.loadBalancersJSON(d.groups, s.spec.Controller), Images: []imageJSON{},
		Created: epoch(d.created), Resolved: resolvedJSON{[]resolvedGroupJSON{}},
	}
	if s.spec.LaunchType == fleet.Fargate {
		j.Platform = "1.4.0"
	}
	for _, c := range d.def.containers {
		j.Images = append(j.Images, imageJSON{c.Name, d.def.image(c)})
	}
	for _, g := range s.groupsOf(d) {
		resolved := resolvedGroupJSON{Group: string(g.group.arn)}
		if g.alternate != nil {
			resolved.ProductionRule = g.listener
		}
		j.Resolved.LoadBalancers = append(j.Resolved.LoadBalancers, resolved)
	}
	return j
}
