package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ecsRequest has every member that the operations take and the model minds, by
// its wire name.
type ecsRequest struct {
	ClientToken            string    `json:"clientToken"`
	Cluster                string    `json:"cluster"`
	Clusters               []string  `json:"clusters"`
	ContainerInstance      string    `json:"containerInstance"`
	ContainerInstances     []string  `json:"containerInstances"`
	Count                  *int      `json:"count"`
	DaemonName             string    `json:"daemonName"`
	DesiredCount           *int      `json:"desiredCount"`
	DesiredStatus          string    `json:"desiredStatus"`
	Family                 string    `json:"family"`
	FamilyPrefix           string    `json:"familyPrefix"`
	Filter                 string    `json:"filter"`
	ForceNewDeployment     bool      `json:"forceNewDeployment"`
	Group                  string    `json:"group"`
	Include                []string  `json:"include"`
	LaunchType             string    `json:"launchType"`
	MaxResults             *int      `json:"maxResults"`
	NextToken              string    `json:"nextToken"`
	NetworkConfiguration   *struct{} `json:"networkConfiguration"`
	Reason                 string    `json:"reason"`
	ResourceARN            string    `json:"resourceArn"`
	ResourceManagementType string    `json:"resourceManagementType"`
	SchedulingStrategy     string    `json:"schedulingStrategy"`
	Service                string    `json:"service"`
	ServiceName            string    `json:"serviceName"`
	ServiceRevisions       []string  `json:"serviceRevisionArns"`
	Services               []string  `json:"services"`
	Sort                   string    `json:"sort"`
	StartedBy              string    `json:"startedBy"`
	Status                 string    `json:"status"`
	TagKeys                []string  `json:"tagKeys"`
	Tags                   []tagJSON `json:"tags"`
	Task                   string    `json:"task"`
	TaskDefinition         string    `json:"taskDefinition"`
	TaskSets               []string  `json:"taskSets"`
	Tasks                  []string  `json:"tasks"`

	operation string
	at        time.Time // the instant that a list tells of
}

func (q *ecsRequest) withTags() bool { return slices.Contains(q.Include, "TAGS") }

// ecsOperation is one that the region answers.
type ecsOperation struct {
	members string // of its request: those that do something
	include string // what it can be asked to include
	answer  func(*Region, *ecsRequest) (any, *apiError)
	changes bool   // the region, so that it takes effect on the next whole millisecond
	idle    string // members of its request that the region does not model
}

// ecsOperations are those that castoff calls, and those next to them.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Operations.html
var ecsOperations = map[string]ecsOperation{
	"ListClusters":     {members: "maxResults nextToken", answer: (*Region).listClusters},
	"DescribeClusters": {members: "clusters include", include: "ATTACHMENTS CONFIGURATIONS SETTINGS STATISTICS TAGS", answer: (*Region).describeClusters},
	"ListServices": {
		members: "cluster launchType maxResults nextToken resourceManagementType schedulingStrategy", answer: (*Region).listServices,
	},
	"ListGatewayRoutes": {
		members: "maxResults nextToken", answer: (*Region).listGatewayRoutes,
		idle: "cluster gateway service serviceContainerPortName status",
	},
	"DescribeServices": {members: "cluster include services", include: "TAGS", answer: (*Region).describeServices},
	"UpdateService": {
		members: "cluster desiredCount forceNewDeployment service taskDefinition", answer: (*Region).updateService, changes: true,
		idle: `availabilityZoneRebalancing capacityProviderStrategy deploymentConfiguration deploymentController enableECSManagedTags
			enableExecuteCommand healthCheckGracePeriodSeconds loadBalancers networkConfiguration placementConstraints placementStrategy
			platformVersion propagateTags serviceConnectConfiguration serviceRegistries volumeConfigurations vpcLatticeConfigurations`,
	},
	"ListTasks": {
		members: "cluster containerInstance daemonName desiredStatus family launchType maxResults nextToken serviceName startedBy",
		answer:  (*Region).listTasks,
	},
	"DescribeTasks": {members: "cluster include tasks", include: "TAGS", answer: (*Region).describeTasks},
	"RunTask": {
		members: "clientToken cluster count group launchType networkConfiguration startedBy tags taskDefinition", answer: (*Region).runTask, changes: true,
		idle: `capacityProviderStrategy enableECSManagedTags enableExecuteCommand overrides placementConstraints
			placementStrategy platformVersion propagateTags referenceId volumeConfigurations`,
	},
	"StopTask":               {members: "cluster reason task", answer: (*Region).stopTask, changes: true},
	"ListTaskDefinitions":    {members: "familyPrefix maxResults nextToken sort status", answer: (*Region).listTaskDefinitions},
	"DescribeTaskDefinition": {members: "include taskDefinition", include: "TAGS", answer: (*Region).describeTaskDefinition},
	"DescribeContainerInstances": {
		members: "cluster containerInstances include", include: "CONTAINER_INSTANCE_HEALTH TAGS", answer: (*Region).describeContainerInstances,
	},
	"ListContainerInstances":   {members: "cluster filter maxResults nextToken status", answer: (*Region).listContainerInstances},
	"DescribeTaskSets":         {members: "cluster include service taskSets", include: "TAGS", answer: (*Region).describeTaskSets},
	"DescribeServiceRevisions": {members: "serviceRevisionArns", answer: (*Region).describeServiceRevisions},
	"ListTagsForResource":      {members: "resourceArn", answer: (*Region).listTagsForResource},
	"TagResource":              {members: "resourceArn tags", answer: (*Region).tagResource, changes: true},
	"UntagResource":            {members: "resourceArn tagKeys", answer: (*Region).untagResource, changes: true},
}

// statuses are those of what the operation lists.
func (op ecsOperation) statuses() string {
	if isOneOf("familyPrefix", op.members) {
		return "ACTIVE DELETE_IN_PROGRESS INACTIVE"
	}
	return "ACTIVE DEREGISTERING DRAINING REGISTERING REGISTRATION_FAILED"
}

// ecs answers one request of ECS's JSON protocol.
func (r *Region) ecs(c *call) reply {
	op, known := ecsOperations[c.operation]
	if !known {
		return ecsError(invalid("UnknownOperationException", ""))
	}
	q, err := r.ecsRequest(op, c.body)
	if err != nil {
		return ecsError(err)
	}
	q.operation = c.operation
	var rep reply
	answer := func() error {
		if out, err := op.answer(r, q); err != nil {
			rep = ecsError(err)
		} else {
			rep = ecsReply(out)
		}
		return nil
	}
	if op.changes {
		_ = r.change(answer)
		return rep
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	if strings.HasPrefix(c.operation, "List") {
		q.at = r.asked(c.operation)
	}
	_ = answer()
	return rep
}

// ecsRequest reads a request and finds what is wrong with it by itself.
func (r *Region) ecsRequest(op ecsOperation, body []byte) (*ecsRequest, *apiError) {
	var q ecsRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, invalid("SerializationException", "%s", err)
	}
	if !r.params.IgnoreUnknownMembers {
		names := memberNames(body)
		slices.Sort(names)
		for _, name := range names {
			switch {
			case isOneOf(name, op.members):
			case isOneOf(name, op.idle):
				return nil, invalid("InvalidParameterException", "the simulated region does not model %s", name)
			default:
				return nil, invalid("SerializationException", "unknown member %q", name)
			}
		}
	}
	return &q, q.check(op)
}

// memberNames are the names of the members of a valid JSON object, without those
// of the objects in it.
func memberNames(object []byte) []string {
	var names []string
	for depth, i := 0, 0; i < len(object); i++ {
		switch object[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			from := i
			for i++; object[i] != '"'; i++ {
				if object[i] == '\\' {
					i++
				}
			}
			after := bytes.TrimLeft(object[i+1:], " \t\r\n")
			if depth == 1 && len(after) > 0 && after[0] == ':' {
				var name string
				_ = json.Unmarshal(object[from:i+1], &name) // it is a string
				names = append(names, name)
			}
		}
	}
	return names
}

// check holds what is one of a few words to them.
func (q *ecsRequest) check(op ecsOperation) *apiError {
	for _, what := range q.Include {
		if !isOneOf(what, op.include) {
			return invalid("InvalidParameterException", "Invalid include value: %s.", what)
		}
	}
	for _, m := range []struct{ name, value, allowed string }{
		{"desiredStatus", q.DesiredStatus, "PENDING RUNNING STOPPED"},
		{"launchType", q.LaunchType, "EC2 EXTERNAL FARGATE MANAGED_INSTANCES"},
		{"resourceManagementType", q.ResourceManagementType, "CUSTOMER ECS"},
		{"schedulingStrategy", q.SchedulingStrategy, "DAEMON REPLICA"},
		{"sort", q.Sort, "ASC DESC"},
		{"status", q.Status, op.statuses()},
	} {
		if m.value != "" && !isOneOf(m.value, m.allowed) {
			return invalid("InvalidParameterException", "Invalid %s: %s.", m.name, m.value)
		}
	}
	if q.MaxResults != nil && (*q.MaxResults < 1 || *q.MaxResults > 100) {
		return invalid("InvalidParameterException", "maxResults must be between 1 and 100.")
	}
	return nil
}

func isOneOf(word, words string) bool {
	for w := range strings.FieldsSeq(words) {
		if w == word {
			return true
		}
	}
	return false
}

// described is a reply that lists things which are text already, and those that
// were not found.
type described struct {
	name     string
	texts    [][]byte
	failures []failureJSON
}

// body is the reply as one text.
func (d described) body() []byte {
	failures := []byte("[]")
	if len(d.failures) > 0 {
		failures = ecsText(d.failures)
	}
	size := len(d.name) + len(failures) + 32
	for _, t := range d.texts {
		size += len(t) + 1
	}
	b := append(make([]byte, 0, size), `{"`+d.name+`":[`...)
	for i, t := range d.texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, t...)
	}
	b = append(b, `],"failures":`...)
	b = append(b, failures...)
	return append(b, '}')
}

// ecsText is a value as ECS's JSON has it. None of the region's own has anything
// that JSON cannot say.
func ecsText[T any](v T) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func ecsReply(out any) reply {
	var body []byte
	if d, ok := out.(described); ok {
		body = d.body()
	} else {
		body = ecsText(out)
	}
	return reply{http.StatusOK, "application/x-amz-json-1.1", body}
}

func ecsError(e *apiError) reply {
	rep := ecsReply(map[string]string{"__type": e.code, "message": e.message})
	rep.status = e.status
	return rep
}

// notBlank refuses a request without a member that it must have.
func notBlank(name, value string) *apiError {
	if value == "" {
		return invalid("InvalidParameterException", "%s can not be blank.", name)
	}
	return nil
}

// ofCluster refuses ARNs that name another cluster than the request does.
//
// User: docker/compose-cli#2086, aws-toolkit-vscode#2915.
func (c *cluster) ofCluster(refs ...string) *apiError {
	for _, ref := range refs {
		_, path, isARN := strings.Cut(ref, ":"+AccountID+":")
		parts := strings.Split(path, "/")
		if isARN && len(parts) > 2 && parts[1] != c.name {
			return invalid("InvalidParameterException", "Invalid identifier: Identifier is for cluster %s. Your cluster is %s", parts[1], c.name)
		}
	}
	return nil
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
		size = *q.MaxResults
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
