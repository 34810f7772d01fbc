package sim

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

func (r *Region) stopTask(q *ecsRequest) (any, *apiError) {
	c, err := r.clusterNamed(q.Cluster)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(notBlank("Task", q.Task), c.ofCluster(q.Task)); err != nil {
		return nil, err
	}
	t := c.taskNamed(q.Task)
	switch {
	case t == nil:
		return nil, invalid("InvalidParameterException", "The referenced task was not found.")
	case t.status == fleet.Stopped:
		return nil, invalid("InvalidParameterException", "The referenced task was already stopped.")
	}
	t.stop(codeUser, userReason(q.Reason))
	return map[string]taskJSON{"task": t.json()}, nil
}

// updateService sets the desired count, and begins a deployment of another task
// definition, or of the same one anew.
func (r *Region) updateService(q *ecsRequest) (any, *apiError) {
	c, err := r.clusterNamed(q.Cluster)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(notBlank("Service", q.Service), c.ofCluster(q.Service)); err != nil {
		return nil, err
	}
	s := c.serviceNamed(q.Service)
	switch {
	case s == nil:
		return nil, invalid("ServiceNotFoundException", "Service not found.")
	case s.deleted:
		return nil, invalid("ServiceNotActiveException", "Service was not ACTIVE.")
	}
	def, err := r.revisionFor(s, q)
	if err != nil {
		return nil, err
	}
	if q.DesiredCount != nil {
		if err := s.scale(*q.DesiredCount); err != nil {
			return nil, invalid("InvalidParameterException", "%s", err)
		}
	}
	if def != nil {
		if err := s.rollOut(Revision{Containers: def.containers}, def); err != nil {
			return nil, invalid("InvalidParameterException", "%s", err)
		}
	}
	return map[string]serviceJSON{"service": s.json()}, nil
}

// revisionFor is the task definition that a request has a service deploy; nil for
// none: it has it already.
func (r *Region) revisionFor(s *service, q *ecsRequest) (*definition, *apiError) {
	if q.TaskDefinition == "" && !q.ForceNewDeployment {
		return nil, nil
	}
	if s.spec.Controller != fleet.ControllerECS {
		return nil, invalid("InvalidParameterException", "Unable to update task definition on services with a %s deployment controller.", s.spec.Controller)
	}
	newest := s.deployments[0].def
	if q.TaskDefinition == "" {
		return newest, nil
	}
	d, err := r.definitionNamed(q.TaskDefinition)
	switch {
	case err != nil:
		return nil, err
	case d == newest && !q.ForceNewDeployment:
		return nil, nil
	case d.network != newest.network || d.launchType != newest.launchType:
		return nil, invalid("InvalidParameterException", "Task definition does not support the service's launch type and network mode.")
	}
	return d, nil
}

// definitionNamed finds a task definition by family, family:revision or ARN.
func (r *Region) definitionNamed(ref string) (*definition, *apiError) {
	name := lastSegment(ref)
	if !strings.Contains(name, ":") {
		name += ":" + strconv.Itoa(r.revisions[name]) // the family's newest
	}
	if d := r.definitions[name]; d != nil && (name == ref || !strings.Contains(ref, ":task-definition/") || ref == string(d.arn())) {
		return d, nil
	}
	return nil, invalid("ClientException", "TaskDefinition not found.")
}

// maxRun is how many tasks one RunTask starts.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
const maxRun = 10

// runTask starts tasks of no service.
func (r *Region) runTask(q *ecsRequest) (any, *apiError) {
	c, err := r.clusterNamed(q.Cluster)
	if err != nil {
		return nil, err
	}
	if q.TaskDefinition == "" {
		return nil, invalid("ClientException", "TaskDefinition can not be blank.")
	}
	d, err := r.definitionNamed(q.TaskDefinition)
	if err != nil {
		return nil, err
	}
	count := 1
	if q.Count != nil {
		count = *q.Count
	}
	switch {
	case count < 1 || count > maxRun:
		return nil, invalid("InvalidParameterException", "count should be greater than 0 and less than or equal to %d.", maxRun)
	case q.LaunchType != "" && q.LaunchType != d.launchType:
		return nil, invalid("InvalidParameterException", "No capacity of launch type %s runs this task definition.", q.LaunchType)
	case d.network == fleet.NetworkAWSVPC && q.NetworkConfiguration == nil:
		return nil, invalid("InvalidParameterException", "Network Configuration must be provided when networkMode 'awsvpc' is specified.")
	}
	tags, err := tagsOf(q.Tags)
	if err != nil {
		return nil, err
	}
	out := struct {
		Tasks    []taskJSON    `json:"tasks"`
		Failures []failureJSON `json:"failures"`
	}{[]taskJSON{}, []failureJSON{}}
	if ran := c.ran[q.ClientToken]; ran != nil {
		for _, t := range ran {
			out.Tasks = append(out.Tasks, t.json())
		}
		return out, nil // asked for once already
	}
	for range count {
		t := r.newTask(c, nil, nil, d, "")
		if t == nil {
			out.Failures = append(out.Failures, failureJSON{Reason: "RESOURCE:PORTS"})
			continue
		}
		t.startedBy, t.group, t.tags = q.StartedBy, q.Group, tags
		t.provision(d.fate)
		out.Tasks = append(out.Tasks, t.json())
		if q.ClientToken != "" {
			c.ran[q.ClientToken] = append(c.ran[q.ClientToken], t)
		}
	}
	return out, nil
}

func (r *Region) listTaskDefinitions(q *ecsRequest) (any, *apiError) {
	var list []*definition
	for _, d := range r.definitions {
		if (q.FamilyPrefix == "" || d.family == q.FamilyPrefix) && (q.Status == "" || q.Status == "ACTIVE") && (d.settled || !q.at.Before(d.registered)) {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b *definition) int {
		return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(a.revision, b.revision))
	})
	if q.Sort == "DESC" {
		slices.Reverse(list)
	}
	from, to, err := q.page(len(list), 100, same)
	if err != nil {
		return nil, err
	}
	out := listJSON{DefinitionARNs: []string{}}
	for _, d := range list[from:to] {
		out.DefinitionARNs = append(out.DefinitionARNs, string(d.arn()))
	}
	if to < len(list) {
		out.NextToken = token(to)
	}
	return out, nil
}
