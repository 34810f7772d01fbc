package sim

import (
	"cmp"
	"slices"
	"strings"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func (r *Region) describeClusters(q *ecsRequest) (any, *apiError) {
	refs := q.Clusters
	if len(refs) == 0 {
		refs = []string{"default"}
	}
	if err := batch("Clusters", refs, 100); err != nil {
		return nil, err
	}
	out := struct {
		Clusters []clusterJSON `json:"clusters"`
		Failures []failureJSON `json:"failures"`
	}{[]clusterJSON{}, []failureJSON{}}
	for _, ref := range refs {
		c, err := r.clusterNamed(ref)
		if err != nil {
			out.Failures = append(out.Failures, missing(ecsARN("cluster/"+lastSegment(ref))))
			continue
		}
		out.Clusters = append(out.Clusters, c.json(q.withTags()))
	}
	return out, nil
}

func (r *Region) describeServices(q *ecsRequest) (any, *apiError) {
	c, err := r.clusterNamed(q.Cluster)
	if err != nil {
		return nil, err
	}
	if err := batch("Services", q.Services, 10); err != nil {
		return nil, err
	}
	if err := c.ofCluster(q.Services...); err != nil {
		return nil, err
	}
	out := described{name: "services"}
	for _, ref := range q.Services {
		var shown *state[serviceJSON]
		if s := c.serviceNamed(ref); s != nil {
			shown = s.shown(r.asked(q.operation))
		}
		switch {
		case shown == nil:
			out.failures = append(out.failures, missing(ecsARN("service/"+c.name+"/"+lastSegment(ref))))
		case q.withTags():
			out.texts = append(out.texts, shown.text(ecsText))
		default:
			j := shown.value
			j.Tags = []tagJSON{}
			out.texts = append(out.texts, ecsText(j))
		}
	}
	return out, nil
}

func (r *Region) describeTasks(q *ecsRequest) (any, *apiError) {
	c, err := r.clusterNamed(q.Cluster)
	if err != nil {
		return nil, err
	}
	if err := batch("Tasks", q.Tasks, 100); err != nil {
		return nil, err
	}
	if err := c.ofCluster(q.Tasks...); err != nil {
		return nil, err
	}
	out := described{name: "tasks"}
	for _, ref := range q.Tasks {
		var shown *state[taskJSON]
		if t := c.taskNamed(ref); t != nil {
			shown = t.shown(r.asked(q.operation))
		}
		if shown == nil {
			if !strings.HasPrefix(ref, "arn:") {
				ref = ecsARN("task/" + c.name + "/" + ref)
			}
			out.failures = append(out.failures, missing(ref))
			continue
		}
		if len(shown.value.Tags) > 0 && !q.withTags() {
			j := shown.value
			j.Tags = []tagJSON{}
			out.texts = append(out.texts, ecsText(j))
			continue
		}
		out.texts = append(out.texts, shown.text(ecsText))
	}
	return out, nil
}

func (r *Region) describeTaskDefinition(q *ecsRequest) (any, *apiError) {
	if q.TaskDefinition == "" {
		return nil, invalid("ClientException", "TaskDefinition can not be blank.")
	}
	d, err := r.definitionNamed(q.TaskDefinition)
	if err != nil || r.asked(q.operation).Before(d.registered) && !d.settled {
		return nil, invalid("ClientException", "Unable to describe task definition.")
	}
	tags := []tagJSON{}
	if q.withTags() {
		tags = tagsJSON(d.tags)
	}
	return struct {
		Definition definitionJSON `json:"taskDefinition"`
		Tags       []tagJSON      `json:"tags"`
	}{d.json(), tags}, nil
}

type instanceJSON struct {
	ARN         string     `json:"containerInstanceArn"`
	EC2         string     `json:"ec2InstanceId"`
	Version     int        `json:"version"`
	Status      string     `json:"status"`
	Connected   bool       `json:"agentConnected"`
	Running     int        `json:"runningTasksCount"`
	Pending     int        `json:"pendingTasksCount"`
	Attributes  []pairJSON `json:"attributes"`
	Registered  epoch      `json:"registeredAt"`
	Resources   []struct{} `json:"registeredResources"`
	Remaining   []struct{} `json:"remainingResources"`
	Attachments []struct{} `json:"attachments"`
	Tags        []tagJSON  `json:"tags"`
	Agent       struct {
		Version string `json:"agentVersion"`
		Docker  string `json:"dockerVersion"`
	} `json:"versionInfo"`
}

func (r *Region) describeContainerInstances(q *ecsRequest) (any, *apiError) {
	c, err := r.clusterNamed(q.Cluster)
	if err != nil {
		return nil, err
	}
	if err := batch("Container instances", q.ContainerInstances, 100); err != nil {
		return nil, err
	}
	if err := c.ofCluster(q.ContainerInstances...); err != nil {
		return nil, err
	}
	out := struct {
		Instances []instanceJSON `json:"containerInstances"`
		Failures  []failureJSON  `json:"failures"`
	}{[]instanceJSON{}, []failureJSON{}}
	for _, ref := range q.ContainerInstances {
		i := slices.IndexFunc(c.instances, func(h *instance) bool {
			return string(h.arn) == ref || lastSegment(string(h.arn)) == ref
		})
		if i < 0 {
			if !strings.HasPrefix(ref, "arn:") {
				ref = ecsARN("container-instance/" + c.name + "/" + ref)
			}
			out.Failures = append(out.Failures, missing(ref))
			continue
		}
		h := c.instances[i]
		j := instanceJSON{
			ARN: string(h.arn), EC2: h.id, Version: 1, Status: "ACTIVE", Connected: true, Registered: epoch(h.since),
			Attributes: []pairJSON{{"ecs.availability-zone", h.zone}},
			Resources:  []struct{}{}, Remaining: []struct{}{}, Attachments: []struct{}{}, Tags: []tagJSON{},
		}
		if q.withTags() {
			j.Tags = tagsJSON(h.tags)
		}
		j.Agent.Version, j.Agent.Docker = "1.89.2", "DockerVersion: 25.0.8"
		j.Running, j.Pending = count(c.tasks, func(t *task) bool { return t.instance == h })
		out.Instances = append(out.Instances, j)
	}
	return out, nil
}

func (r *Region) describeTaskSets(q *ecsRequest) (any, *apiError) {
	c, err := r.clusterNamed(q.Cluster)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(notBlank("Service", q.Service), c.ofCluster(q.Service)); err != nil {
		return nil, err
	}
	s := c.serviceNamed(q.Service)
	if s == nil {
		return nil, invalid("ServiceNotFoundException", "Service not found.")
	}
	if s.deleted {
		return nil, invalid("ServiceNotActiveException", "Service was not ACTIVE.")
	}
	if s.spec.Controller == fleet.ControllerECS {
		return nil, invalid("InvalidParameterException", "Amazon ECS only supports task sets on services with deployment controller type EXTERNAL or CODE_DEPLOY.")
	}
	out := struct {
		TaskSets []taskSetJSON `json:"taskSets"`
		Failures []failureJSON `json:"failures"`
	}{[]taskSetJSON{}, []failureJSON{}}
	if shown := s.shown(r.asked(q.operation)); shown != nil && shown.value.TaskSets != nil {
		out.TaskSets = shown.value.TaskSets
	}
	if len(q.TaskSets) == 0 {
		return out, nil
	}
	known := out.TaskSets
	out.TaskSets = []taskSetJSON{}
	for _, ref := range q.TaskSets {
		i := slices.IndexFunc(known, func(t taskSetJSON) bool { return t.ID == ref || t.ARN == ref })
		if i < 0 {
			out.Failures = append(out.Failures, missing(ref))
			continue
		}
		out.TaskSets = append(out.TaskSets, known[i])
	}
	return out, nil
}

func (r *Region) describeServiceRevisions(q *ecsRequest) (any, *apiError) {
	if err := batch("Service revision ARNs", q.ServiceRevisions, 20); err != nil {
		return nil, err
	}
	out := struct {
		Revisions []serviceRevisionJSON `json:"serviceRevisions"`
		Failures  []failureJSON         `json:"failures"`
	}{[]serviceRevisionJSON{}, []failureJSON{}}
	for _, ref := range q.ServiceRevisions {
		if !strings.HasPrefix(ref, ecsARN("service-revision/")) {
			return nil, invalid("InvalidParameterException", "Invalid identifier: %s", ref)
		}
		if made := r.serviceRevisions[ref]; made != nil {
			out.Revisions = append(out.Revisions, made())
			continue
		}
		out.Failures = append(out.Failures, missing(ref))
	}
	return out, nil
}
