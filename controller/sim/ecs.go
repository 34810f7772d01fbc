package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// ecsRequest has every member that the operations take, by its wire name.
type ecsRequest struct {
	Cluster            string   `json:"cluster"`
	Clusters           []string `json:"clusters"`
	ContainerInstance  string   `json:"containerInstance"`
	ContainerInstances []string `json:"containerInstances"`
	DesiredStatus      string   `json:"desiredStatus"`
	Family             string   `json:"family"`
	Include            []string `json:"include"`
	LaunchType         string   `json:"launchType"`
	MaxResults         *int     `json:"maxResults"`
	NextToken          string   `json:"nextToken"`
	Reason             string   `json:"reason"`
	ResourceARN        string   `json:"resourceArn"`
	SchedulingStrategy string   `json:"schedulingStrategy"`
	Service            string   `json:"service"`
	ServiceName        string   `json:"serviceName"`
	Services           []string `json:"services"`
	ServiceRevisions   []string `json:"serviceRevisionArns"`
	StartedBy          string   `json:"startedBy"`
	Task               string   `json:"task"`
	TaskDefinition     string   `json:"taskDefinition"`
	TaskSets           []string `json:"taskSets"`
	Tasks              []string `json:"tasks"`
}

func (q *ecsRequest) includes(what string) bool { return slices.Contains(q.Include, what) }

// ecs answers one request of ECS's JSON protocol.
func (r *Region) ecs(c *call) reply {
	var q ecsRequest
	if err := json.Unmarshal(c.body, &q); err != nil {
		return ecsError(invalid("SerializationException", "the body is not what %s takes", c.operation))
	}
	if c.operation == "StopTask" {
		return r.ecsStopTask(&q)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	var out any
	var err *apiError
	switch c.operation {
	case "ListClusters":
		out, err = r.listClusters(&q)
	case "DescribeClusters":
		out, err = r.describeClusters(&q)
	case "ListServices":
		out, err = r.listServices(&q)
	case "DescribeServices":
		out, err = r.describeServices(&q)
	case "ListTasks":
		out, err = r.listTasks(&q)
	case "DescribeTasks":
		out, err = r.describeTasks(&q)
	case "DescribeTaskDefinition":
		out, err = r.describeTaskDefinition(&q)
	case "DescribeContainerInstances":
		out, err = r.describeContainerInstances(&q)
	case "DescribeTaskSets":
		out, err = r.describeTaskSets(&q)
	case "DescribeServiceRevisions":
		out, err = r.describeServiceRevisions(&q)
	case "ListTagsForResource":
		out, err = r.listTagsForResource(&q)
	default:
		err = invalid("UnknownOperationException", "")
	}
	if err != nil {
		return ecsError(err)
	}
	return ecsReply(out)
}

func ecsReply(out any) reply {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		return ecsError(&apiError{http.StatusInternalServerError, "ServerException", err.Error()})
	}
	return reply{http.StatusOK, "application/x-amz-json-1.1", bytes.TrimSuffix(b.Bytes(), []byte("\n"))}
}

func ecsError(e *apiError) reply {
	rep := ecsReply(map[string]string{"__type": e.code, "message": e.message})
	rep.status = e.status
	return rep
}

// clusterNamed finds a cluster by name or ARN; nothing means "default".
func (r *Region) clusterNamed(ref string) (*cluster, *apiError) {
	name := lastSegment(ref)
	if ref == "" {
		name = "default"
	}
	if c := r.clusterNames[name]; c != nil && (ref == name || ref == "" || ref == string(c.arn)) {
		return c, nil
	}
	return nil, invalid("ClusterNotFoundException", "Cluster not found.")
}

func lastSegment(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// batch holds a list argument to its limit.
func batch(name string, refs []string, limit int) *apiError {
	switch {
	case len(refs) == 0:
		return invalid("InvalidParameterException", "%s cannot be empty.", name)
	case len(refs) > limit:
		return invalid("InvalidParameterException", "%s cannot have more than %d elements.", name, limit)
	}
	return nil
}

// page finds which part of n things, numbered from 0, a list request asks for.
// after turns a token's number into the first index of the page.
func (q *ecsRequest) page(n, standard int, after func(int) int) (from, to int, err *apiError) {
	size := standard
	if q.MaxResults != nil {
		if size = *q.MaxResults; size < 1 || size > 100 {
			return 0, 0, invalid("InvalidParameterException", "maxResults must be between 1 and 100.")
		}
	}
	if q.NextToken != "" {
		raw, bad := base64.StdEncoding.DecodeString(q.NextToken)
		number, worse := strconv.Atoi(strings.TrimPrefix(string(raw), "after-"))
		if bad != nil || worse != nil || number < 0 {
			return 0, 0, invalid("InvalidParameterException", "Invalid token.")
		}
		from = min(after(number), n)
	}
	return from, min(from+size, n), nil
}

func token(n int) string {
	return base64.StdEncoding.EncodeToString([]byte("after-" + strconv.Itoa(n)))
}

func same(n int) int { return n }

type failureJSON struct {
	ARN    string `json:"arn"`
	Reason string `json:"reason"`
}

func missing(arn string) failureJSON { return failureJSON{ARN: arn, Reason: "MISSING"} }

// listJSON has one of the lists, empty or not, as AWS's replies do.
type listJSON struct {
	ClusterARNs []string `json:"clusterArns,omitzero"`
	ServiceARNs []string `json:"serviceArns,omitzero"`
	TaskARNs    []string `json:"taskArns,omitzero"`
	NextToken   string   `json:"nextToken,omitempty"`
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
		out.Clusters = append(out.Clusters, c.json(q.includes("TAGS")))
	}
	return out, nil
}

func (r *Region) listServices(q *ecsRequest) (any, *apiError) {
	c, err := r.clusterNamed(q.Cluster)
	if err != nil {
		return nil, err
	}
	services := slices.DeleteFunc(slices.Clone(c.services), func(s *service) bool {
		return q.LaunchType != "" && q.LaunchType != s.spec.LaunchType ||
			q.SchedulingStrategy != "" && q.SchedulingStrategy != s.spec.Scheduling
	})
	from, to, err := q.page(len(services), 10, same)
	if err != nil {
		return nil, err
	}
	out := listJSON{ServiceARNs: []string{}}
	for _, s := range services[from:to] {
		out.ServiceARNs = append(out.ServiceARNs, string(s.arn))
	}
	if to < len(services) {
		out.NextToken = token(to)
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

func (r *Region) describeServices(q *ecsRequest) (any, *apiError) {
	c, err := r.clusterNamed(q.Cluster)
	if err != nil {
		return nil, err
	}
	if err := batch("Services", q.Services, 10); err != nil {
		return nil, err
	}
	out := struct {
		Services []serviceJSON `json:"services"`
		Failures []failureJSON `json:"failures"`
	}{[]serviceJSON{}, []failureJSON{}}
	for _, ref := range q.Services {
		s := c.serviceNamed(ref)
		if s == nil {
			out.Failures = append(out.Failures, missing(ecsARN("service/"+c.name+"/"+lastSegment(ref))))
			continue
		}
		out.Services = append(out.Services, s.json(q.includes("TAGS")))
	}
	return out, nil
}

func (r *Region) listTasks(q *ecsRequest) (any, *apiError) {
	c, err := r.clusterNamed(q.Cluster)
	if err != nil {
		return nil, err
	}
	if q.StartedBy != "" && (q.ServiceName != "" || q.Family != "" || q.ContainerInstance != "") {
		return nil, invalid("InvalidParameterException", "Cannot specify startedBy with other filters.")
	}
	var s *service
	if q.ServiceName != "" {
		if s = c.serviceNamed(q.ServiceName); s == nil {
			return nil, invalid("ServiceNotFoundException", "Service not found.")
		}
	}
	desired := fleet.Running
	switch q.DesiredStatus {
	case "", "RUNNING":
	case "STOPPED":
		desired = fleet.Stopped
	case "PENDING":
		desired = fleet.Pending // nothing ever has it
	default:
		return nil, invalid("InvalidParameterException", "Invalid desiredStatus.")
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
		if t.desired != desired || !q.wants(t, s) {
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

// wants applies the filters of ListTasks.
func (q *ecsRequest) wants(t *task, s *service) bool {
	switch {
	case s != nil && t.service != s,
		q.LaunchType != "" && q.LaunchType != t.def.launchType,
		q.Family != "" && q.Family != t.def.family,
		q.StartedBy != "" && (t.deployment == nil || t.deployment.id != q.StartedBy),
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

func (r *Region) describeTasks(q *ecsRequest) (any, *apiError) {
	c, err := r.clusterNamed(q.Cluster)
	if err != nil {
		return nil, err
	}
	if err := batch("Tasks", q.Tasks, 100); err != nil {
		return nil, err
	}
	out := struct {
		Tasks    []taskJSON    `json:"tasks"`
		Failures []failureJSON `json:"failures"`
	}{[]taskJSON{}, []failureJSON{}}
	for _, ref := range q.Tasks {
		t := c.taskNamed(ref)
		if t == nil {
			if !strings.HasPrefix(ref, "arn:") {
				ref = ecsARN("task/" + c.name + "/" + ref)
			}
			out.Failures = append(out.Failures, missing(ref))
			continue
		}
		out.Tasks = append(out.Tasks, t.json())
	}
	return out, nil
}

// ecsStopTask changes the region, so it takes effect on the next whole
// millisecond.
func (r *Region) ecsStopTask(q *ecsRequest) reply {
	var rep reply
	_ = r.change(func() error {
		c, err := r.clusterNamed(q.Cluster)
		if err != nil {
			rep = ecsError(err)
			return nil
		}
		t := c.taskNamed(q.Task)
		switch {
		case q.Task == "":
			rep = ecsError(invalid("InvalidParameterException", "Task cannot be empty."))
		case t == nil:
			rep = ecsError(invalid("InvalidParameterException", "The referenced task was not found."))
		case t.status == fleet.Stopped:
			rep = ecsError(invalid("InvalidParameterException", "The referenced task was already stopped."))
		default:
			t.stop(codeUser, userReason(q.Reason))
			rep = ecsReply(map[string]taskJSON{"task": t.json()})
		}
		return nil
	})
	return rep
}
