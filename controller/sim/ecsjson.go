package sim

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// epoch is an instant as ECS's JSON has it: seconds since 1970, to the
// millisecond.
type epoch time.Time

func (e epoch) IsZero() bool { return time.Time(e).IsZero() }

func (e epoch) MarshalJSON() ([]byte, error) {
	ms := time.Time(e).UnixMilli()
	b := strconv.AppendInt(nil, ms/1000, 10)
	return append(b, '.', byte('0'+ms/100%10), byte('0'+ms/10%10), byte('0'+ms%10)), nil
}

type tagJSON struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func tagsJSON(tags map[string]string) []tagJSON {
	list := []tagJSON{}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, tagJSON{k, tags[k]})
	}
	return list
}

type pairJSON struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type clusterJSON struct {
	ARN       string    `json:"clusterArn"`
	Name      string    `json:"clusterName"`
	Status    string    `json:"status"`
	Instances int       `json:"registeredContainerInstancesCount"`
	Running   int       `json:"runningTasksCount"`
	Pending   int       `json:"pendingTasksCount"`
	Services  int       `json:"activeServicesCount"`
	Tags      []tagJSON `json:"tags"`
}

func (c *cluster) json(tags bool) clusterJSON {
	j := clusterJSON{
		ARN: string(c.arn), Name: c.name, Status: "ACTIVE", Instances: len(c.instances),
		Services: len(c.services), Tags: []tagJSON{},
	}
	j.Running, j.Pending = count(c.tasks, func(*task) bool { return true })
	if tags {
		j.Tags = tagsJSON(c.tags)
	}
	return j
}

// count is how many of the tasks run, and how many are on their way to.
func count(tasks []*task, of func(*task) bool) (running, pending int) {
	for _, t := range tasks {
		switch {
		case t.desired != fleet.Running || !of(t):
		case t.status == fleet.Running:
			running++
		default:
			pending++
		}
	}
	return running, pending
}

type loadBalancerJSON struct {
	Group     string        `json:"targetGroupArn"`
	Container string        `json:"containerName"`
	Port      int           `json:"containerPort"`
	Advanced  *advancedJSON `json:"advancedConfiguration,omitempty"`
}

type advancedJSON struct {
	Alternate      string `json:"alternateTargetGroupArn"`
	ProductionRule string `json:"productionListenerRule"`
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
				ProductionRule: elbARN("listener/net/" + s.spec.Name + "/0000000000000000/0000000000000000"),
				Role:           "arn:aws:iam::" + AccountID + ":role/ecsInfrastructureRole",
			}
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
	Definition    string             `json:"taskDefinition,omitempty"`
	Configuration struct {
		Maximum int `json:"maximumPercent"`
		Minimum int `json:"minimumHealthyPercent"`
	} `json:"deploymentConfiguration"`
	TaskSets    []taskSetJSON    `json:"taskSets,omitempty"`
	Deployments []deploymentJSON `json:"deployments"`
	Events      []struct{}       `json:"events"`
	Created     epoch            `json:"createdAt"`
	Grace       *int             `json:"healthCheckGracePeriodSeconds,omitempty"`
	Scheduling  string           `json:"schedulingStrategy"`
	Controller  struct {
		Type string `json:"type"`
	} `json:"deploymentController"`
	Tags []tagJSON `json:"tags"`
}

func (s *service) json(tags bool) serviceJSON {
	d := s.deployments[0]
	j := serviceJSON{
		ARN: string(s.arn), Name: s.spec.Name, Cluster: string(s.cluster.arn), Status: "ACTIVE",
		LoadBalancers: []loadBalancerJSON{}, Deployments: []deploymentJSON{}, Events: []struct{}{}, Tags: []tagJSON{},
		Desired: s.desired, LaunchType: s.spec.LaunchType, Created: epoch(s.created), Scheduling: s.spec.Scheduling,
	}
	j.Running, j.Pending = count(s.live, func(*task) bool { return true })
	j.Configuration.Maximum, j.Configuration.Minimum = s.spec.MaximumPercent, s.spec.MinimumHealthyPercent
	j.Controller.Type = s.spec.Controller
	if len(s.groups) > 0 {
		grace := int(s.spec.Grace / time.Second)
		j.Grace = &grace
	}
	if tags {
		j.Tags = tagsJSON(s.spec.Tags)
	}
	if s.spec.Controller != fleet.ControllerECS {
		j.TaskSets = s.taskSetsJSON()
		return j
	}
	j.Definition = string(d.def.arn())
	j.LoadBalancers = s.loadBalancersJSON(s.groups, s.spec.Controller)
	for i, d := range s.deployments {
		dj := deploymentJSON{
			ID: d.id, Status: deploymentStatus(i), Definition: string(d.def.arn()), Desired: s.desired, Failed: d.failed,
			Created: epoch(d.created), Updated: epoch(d.updated), LaunchType: s.spec.LaunchType, Rollout: d.rollout,
			RolloutWhy: "ECS deployment " + d.id + " " + strings.ToLower(strings.ReplaceAll(d.rollout, "_", " ")) + ".",
		}
		dj.Running, dj.Pending = count(s.live, func(t *task) bool { return t.deployment == d })
		j.Deployments = append(j.Deployments, dj)
	}
	return j
}

func deploymentStatus(i int) string {
	if i == 0 {
		return "PRIMARY"
	}
	return "ACTIVE"
}

func (s *service) taskSetsJSON() []taskSetJSON {
	list := []taskSetJSON{}
	for i, d := range s.deployments {
		t := taskSetJSON{
			ID: d.id, Service: string(s.arn), Cluster: string(s.cluster.arn), Status: deploymentStatus(i),
			ARN:        ecsARN("task-set/" + s.cluster.name + "/" + s.spec.Name + "/" + d.id),
			Definition: string(d.def.arn()), Desired: s.desired, Created: epoch(d.created), Updated: epoch(d.updated),
			LaunchType: s.spec.LaunchType, LoadBalancers: s.loadBalancersJSON(s.groupsOf(d), s.spec.Controller),
			Stability: "STEADY_STATE", StabilityAt: epoch(d.updated), Tags: []tagJSON{},
		}
		if d.rollout != rolloutCompleted {
			t.Stability = "STABILIZING"
		}
		if s.spec.Controller == fleet.ControllerCodeDeploy {
			t.StartedBy = "CODE_DEPLOY"
		}
		t.Scale.Value, t.Scale.Unit = 100, "PERCENT"
		t.Running, t.Pending = count(s.live, func(o *task) bool { return o.deployment == d })
		list = append(list, t)
	}
	return list
}
