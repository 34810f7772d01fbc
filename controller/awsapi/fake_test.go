package awsapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

const (
	fakeRegion  = "eu-central-1"
	fakeAccount = "123456789012"
)

// fake answers as ECS and ELBv2 do, in process and from a fixed fleet that
// tests change between passes.
type fake struct {
	mu       sync.Mutex
	clusters []*fakeCluster
	groups   []*fakeGroup
	calls    []fakeCall
	// networkMode is that of every task definition; empty for awsvpc.
	networkMode string
	// revisions are the load balancers of service revisions, by ARN, and their task
	// definitions.
	revisions map[string]fakeRevision
	routes    []string // ARNs of services that a gateway sends traffic to
	// fault answers a call instead of the fake when it returns a reply.
	fault func(c fakeCall) *fakeReply
}

type fakeCall struct {
	at      time.Time
	op      string
	cluster string   // name of the cluster, where there is one
	refs    []string // what is asked for
	desired string
	service string
	token   string
	targets []fakeTarget // of a write; state is the zone
}

type fakeReply struct {
	status int
	body   string
	err    error
}

type fakeCluster struct {
	name     string
	born     time.Time // when its tasks were created
	services []*fakeService
	tasks    []*fakeTask
	gone     bool
}

type fakeService struct {
	name   string
	groups []string // names
	extra  map[string]any
	status string
	// without is a member that its description lacks.
	without string
}

type fakeTask struct {
	id      string
	service string // empty: standalone
	ip      string
	health  string
	status  string
	desired string
	version int
	extra   map[string]any
	garble  func(map[string]any) // spoils its description
	hidden  bool                 // DescribeTasks answers MISSING
}

type fakeGroup struct {
	name    string
	kind    string // target type
	targets []fakeTarget
	absent  bool
	ipv6    bool
}

type fakeRevision struct {
	definition string
	lbs        []any // nil: left out
}

type fakeTarget struct {
	id    string
	port  int
	state string
}

func (c *fakeCluster) arn() string { return ecsARN("cluster/" + c.name) }

func ecsARN(rest string) string {
	return "arn:aws:ecs:" + fakeRegion + ":" + fakeAccount + ":" + rest
}

func groupARN(name string) string {
	return "arn:aws:elasticloadbalancing:" + fakeRegion + ":" + fakeAccount + ":targetgroup/" + name + "/0123456789abcdef"
}

func (c *fakeCluster) taskARN(id string) fleet.TaskARN {
	return fleet.TaskARN(ecsARN("task/" + c.name + "/" + id))
}

// newFake makes clusters of services, each with so many healthy tasks and a
// target group of its own.
func newFake(clusters, services, tasks int) *fake {
	f := new(fake)
	for c := range clusters {
		fc := &fakeCluster{name: fmt.Sprintf("c%02d", c), born: time.Now().Add(-time.Hour)}
		for s := range services {
			name := fmt.Sprintf("s%04d", s)
			group := &fakeGroup{name: fc.name + "-" + name, kind: "ip"}
			fc.services = append(fc.services, &fakeService{name: name, groups: []string{group.name}})
			for range tasks {
				n := len(fc.tasks)
				ip := fmt.Sprintf("10.%d.%d.%d", c, n/250, n%250+1)
				fc.tasks = append(fc.tasks, &fakeTask{
					id: fmt.Sprintf("%032x", n), service: name, ip: ip, health: "HEALTHY", status: "RUNNING", desired: "RUNNING", version: 3,
				})
				group.targets = append(group.targets, fakeTarget{id: ip, port: 10080, state: "healthy"})
			}
			f.groups = append(f.groups, group)
		}
		f.clusters = append(f.clusters, fc)
	}
	return f
}

// config is an SDK configuration that reaches the fake and nothing else.
func (f *fake) config() aws.Config {
	return aws.Config{
		Region:       fakeRegion,
		Credentials:  awscredentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
		HTTPClient:   f,
		BaseEndpoint: aws.String("https://aws.invalid"),
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// retrying is config with the SDK's standard retries, without jitter.
func (f *fake) retrying(attempts int) aws.Config {
	cfg := f.config()
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = attempts
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 100 * time.Millisecond, nil })
		})
	}
	return cfg
}

// Do answers a request.
func (f *fake) Do(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var reply *fakeReply
	if target := req.Header.Get("X-Amz-Target"); target != "" {
		reply = f.ecs(target[strings.LastIndexByte(target, '.')+1:], body)
	} else {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, err
		}
		reply = f.elb(form)
	}
	if reply.err != nil {
		return nil, reply.err
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: reply.status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
		Body: io.NopCloser(strings.NewReader(reply.body)), ContentLength: int64(len(reply.body)), Request: req,
	}, nil
}

// note counts a call and lets the fault answer it.
func (f *fake) note(c fakeCall) *fakeReply {
	c.at = time.Now()
	f.calls = append(f.calls, c)
	if f.fault != nil {
		return f.fault(c)
	}
	return nil
}

func ecsError(code string) *fakeReply {
	return &fakeReply{status: 400, body: `{"__type":"` + code + `","message":"it says so"}`}
}

func elbError(status int, code string) *fakeReply {
	return &fakeReply{status: status, body: `<ErrorResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><Error><Type>Sender</Type><Code>` +
		code + `</Code><Message>it says so</Message></Error><RequestId>r</RequestId></ErrorResponse>`}
}

func (f *fake) ecs(op string, body []byte) *fakeReply {
	var in struct {
		Cluster, NextToken, ServiceName, DesiredStatus, TaskDefinition string
		Clusters, Services, Tasks, ContainerInstances                  []string
		ServiceRevisionArns                                            []string
		MaxResults                                                     int
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&in); err != nil {
		panic(err)
	}
	call := fakeCall{op: op, cluster: lastSegment(in.Cluster), desired: in.DesiredStatus, service: in.ServiceName, token: in.NextToken}
	for _, refs := range [][]string{in.Clusters, in.Services, in.Tasks, in.ContainerInstances, in.ServiceRevisionArns} {
		call.refs = append(call.refs, refs...)
	}
	if in.TaskDefinition != "" {
		call.refs = []string{in.TaskDefinition}
	}
	if r := f.note(call); r != nil {
		return r
	}
	var cluster *fakeCluster
	for _, c := range f.clusters {
		if c.name == call.cluster && !c.gone {
			cluster = c
		}
	}
	if in.Cluster != "" && cluster == nil {
		return ecsError("ClusterNotFoundException")
	}
	var out any
	switch op {
	case "ListClusters":
		out = f.listClusters(in.NextToken)
	case "DescribeClusters":
		out = f.describeClusters(in.Clusters)
	case "ListServices":
		var all []string
		for _, s := range cluster.services {
			all = append(all, ecsARN("service/"+cluster.name+"/"+s.name))
		}
		out = page("serviceArns", all, in.NextToken, in.MaxResults)
	case "DescribeServices":
		out = cluster.describeServices(in.Services)
	case "ListTasks":
		var all []string
		for _, t := range cluster.tasks {
			if t.desired == in.DesiredStatus && (in.ServiceName == "" || t.service == in.ServiceName) {
				all = append(all, string(cluster.taskARN(t.id)))
			}
		}
		out = page("taskArns", all, in.NextToken, in.MaxResults)
	case "DescribeTasks":
		out = cluster.describeTasks(in.Tasks)
	case "ListGatewayRoutes":
		routes := []any{}
		for _, arn := range f.routes {
			routes = append(routes, map[string]any{"serviceArn": arn, "status": "ACTIVE"})
		}
		out = map[string]any{"gatewayRoutes": routes}
	case "DescribeServiceRevisions":
		found, failures := []any{}, []any{}
		for _, arn := range in.ServiceRevisionArns {
			r, ok := f.revisions[arn]
			if !ok {
				failures = append(failures, map[string]any{"arn": arn, "reason": "MISSING"})
				continue
			}
			one := map[string]any{"serviceRevisionArn": arn, "taskDefinition": r.definition}
			if r.lbs != nil {
				one["loadBalancers"] = r.lbs
			}
			found = append(found, one)
		}
		out = map[string]any{"serviceRevisions": found, "failures": failures}
	case "DescribeTaskDefinition":
		mode := f.networkMode
		if mode == "" {
			mode = fleet.NetworkAWSVPC
		}
		out = map[string]any{"taskDefinition": map[string]any{
			"taskDefinitionArn": in.TaskDefinition, "networkMode": mode,
			"containerDefinitions": []any{
				map[string]any{"name": "nginx", "essential": true, "healthCheck": map[string]any{"command": []string{"CMD", "true"}}},
				map[string]any{"name": "app"},
			},
		}}
	case "DescribeContainerInstances":
		var is []any
		for _, arn := range in.ContainerInstances {
			is = append(is, map[string]any{"containerInstanceArn": arn, "ec2InstanceId": "i-" + lastSegment(arn)})
		}
		out = map[string]any{"containerInstances": is}
	default:
		return ecsError("UnknownOperationException")
	}
	text, err := json.Marshal(out)
	if err != nil {
		panic(err)
	}
	return &fakeReply{status: 200, body: string(text)}
}

func page(name string, all []string, token string, size int) map[string]any {
	if size == 0 {
		size = 100
	}
	from, _ := strconv.Atoi(token)
	to := min(from+size, len(all))
	out := map[string]any{name: append([]string{}, all[min(from, to):to]...)} // AWS says [], not null
	if to < len(all) {
		out["nextToken"] = strconv.Itoa(to)
	}
	return out
}

func (f *fake) listClusters(token string) any {
	var all []string
	for _, c := range f.clusters {
		if !c.gone {
			all = append(all, c.arn())
		}
	}
	return page("clusterArns", all, token, 100)
}

func (f *fake) describeClusters(ids []string) any {
	found, failures := []any{}, []any{}
	for _, id := range ids {
		i := slices.IndexFunc(f.clusters, func(c *fakeCluster) bool { return c.name == lastSegment(id) && !c.gone })
		if i < 0 {
			failures = append(failures, map[string]any{"arn": ecsARN("cluster/" + lastSegment(id)), "reason": "MISSING"})
			continue
		}
		found = append(found, map[string]any{
			"clusterArn": f.clusters[i].arn(), "clusterName": f.clusters[i].name, "status": "ACTIVE",
			"tags": []any{map[string]any{"key": "team", "value": "edge"}},
		})
	}
	return map[string]any{"clusters": found, "failures": failures}
}

func (c *fakeCluster) describeServices(arns []string) any {
	found, failures := []any{}, []any{}
	for _, arn := range arns {
		i := slices.IndexFunc(c.services, func(s *fakeService) bool { return s.name == lastSegment(arn) })
		if i < 0 {
			failures = append(failures, map[string]any{"arn": arn, "reason": "MISSING"})
			continue
		}
		s := c.services[i]
		lbs := []any{} // AWS says [], not null
		for _, g := range s.groups {
			lbs = append(lbs, map[string]any{"targetGroupArn": groupARN(g), "containerName": "nginx", "containerPort": 10080})
		}
		status := s.status
		if status == "" {
			status = "ACTIVE"
		}
		out := map[string]any{
			"serviceArn": arn, "serviceName": s.name, "clusterArn": c.arn(), "status": status, "desiredCount": 2, "runningCount": 2,
			"loadBalancers": lbs, "schedulingStrategy": "REPLICA", "healthCheckGracePeriodSeconds": 60,
			"deployments": []any{map[string]any{
				"id": "ecs-svc/" + s.name, "status": "PRIMARY", "rolloutState": "COMPLETED", "taskDefinition": ecsARN("task-definition/" + s.name + ":1"),
			}},
		}
		for k, v := range s.extra {
			out[k] = v
		}
		delete(out, s.without)
		found = append(found, out)
	}
	return map[string]any{"services": found, "failures": failures}
}

func (c *fakeCluster) describeTasks(arns []string) any {
	byID := make(map[string]*fakeTask, len(c.tasks))
	for _, t := range c.tasks {
		byID[t.id] = t
	}
	found, failures := []any{}, []any{}
	for _, arn := range arns {
		t := byID[lastSegment(arn)]
		if t == nil || t.hidden {
			failures = append(failures, map[string]any{"arn": arn, "reason": "MISSING"})
			continue
		}
		found = append(found, t.describe(c, arn))
	}
	return map[string]any{"tasks": found, "failures": failures}
}

// lastSegment is what an ARN ends with: a name or an id.
func lastSegment(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// epoch is an instant as ECS writes it.
func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (t *fakeTask) describe(c *fakeCluster, arn string) any {
	group := "family:batch"
	if t.service != "" {
		group = "service:" + t.service
	}
	out := map[string]any{
		"taskArn": arn, "clusterArn": c.arn(), "group": group, "startedBy": "ecs-svc/" + t.service, "launchType": "FARGATE",
		"taskDefinitionArn": ecsARN("task-definition/" + t.service + ":1"), "version": t.version, "lastStatus": t.status,
		"desiredStatus": t.desired, "healthStatus": t.health, "connectivity": "CONNECTED", "availabilityZone": "eu-central-1a",
		"createdAt": epoch(c.born), "startedAt": epoch(c.born.Add(30 * time.Second)),
		"containers": []any{
			map[string]any{"name": "nginx", "healthStatus": t.health, "lastStatus": "RUNNING", "runtimeId": t.id + "-1"},
			map[string]any{"name": "app", "healthStatus": "UNKNOWN", "lastStatus": "RUNNING", "runtimeId": t.id + "-2"},
		},
	}
	if t.ip != "" {
		out["attachments"] = []any{map[string]any{"type": "ElasticNetworkInterface", "status": "ATTACHED", "details": []any{
			map[string]any{"name": "subnetId", "value": "subnet-1"}, map[string]any{"name": "privateIPv4Address", "value": t.ip},
		}}}
	}
	for k, v := range t.extra {
		out[k] = v
	}
	if t.garble != nil {
		t.garble(out)
	}
	return out
}

func (f *fake) elb(form url.Values) *fakeReply {
	op := form.Get("Action")
	call := fakeCall{op: op, token: form.Get("Marker")}
	if g := form.Get("TargetGroupArn"); g != "" {
		call.refs = []string{g}
	}
	for i := 1; form.Has(fmt.Sprintf("ResourceArns.member.%d", i)); i++ {
		call.refs = append(call.refs, form.Get(fmt.Sprintf("ResourceArns.member.%d", i)))
	}
	for i := 1; form.Has(fmt.Sprintf("Targets.member.%d.Id", i)); i++ {
		member := fmt.Sprintf("Targets.member.%d.", i)
		port, _ := strconv.Atoi(form.Get(member + "Port"))
		call.targets = append(call.targets, fakeTarget{id: form.Get(member + "Id"), port: port, state: form.Get(member + "AvailabilityZone")})
	}
	if r := f.note(call); r != nil {
		return r
	}
	var b strings.Builder
	there := func(arn string) *fakeGroup {
		i := slices.IndexFunc(f.groups, func(g *fakeGroup) bool { return groupARN(g.name) == arn && !g.absent })
		if i < 0 {
			return nil
		}
		return f.groups[i]
	}
	for _, ref := range call.refs {
		if there(ref) == nil {
			return elbError(400, "TargetGroupNotFound")
		}
	}
	switch op {
	case "DescribeTargetGroups":
		size, _ := strconv.Atoi(form.Get("PageSize"))
		from, _ := strconv.Atoi(call.token)
		to := min(from+size, len(f.groups))
		one := form.Get("TargetGroupArns.member.1")
		if one != "" {
			to = len(f.groups)
		}
		b.WriteString("<TargetGroups>")
		for _, g := range f.groups[from:to] {
			if g.absent || one != "" && groupARN(g.name) != one {
				continue
			}
			family := "ipv4"
			if g.ipv6 {
				family = "ipv6"
			}
			fmt.Fprintf(&b, "<member><TargetGroupArn>%s</TargetGroupArn><TargetGroupName>%s</TargetGroupName><Protocol>TCP</Protocol><Port>10080</Port>"+
				"<TargetType>%s</TargetType><IpAddressType>%s</IpAddressType><HealthCheckProtocol>TCP</HealthCheckProtocol>"+
				"<HealthCheckIntervalSeconds>10</HealthCheckIntervalSeconds></member>", groupARN(g.name), g.name, g.kind, family)
		}
		b.WriteString("</TargetGroups>")
		if to < len(f.groups) {
			fmt.Fprintf(&b, "<NextMarker>%d</NextMarker>", to)
		}
	case "DescribeTargetHealth":
		b.WriteString("<TargetHealthDescriptions>")
		for _, t := range there(call.refs[0]).targets {
			fmt.Fprintf(&b, "<member><Target><Id>%s</Id><Port>%d</Port><AvailabilityZone>eu-central-1a</AvailabilityZone></Target>"+
				"<HealthCheckPort>%d</HealthCheckPort><TargetHealth><State>%s</State></TargetHealth>"+
				"<AdministrativeOverride><State>no_override</State></AdministrativeOverride></member>", t.id, t.port, t.port, t.state)
		}
		b.WriteString("</TargetHealthDescriptions>")
	case "DescribeTargetGroupAttributes":
		b.WriteString("<Attributes><member><Key>deregistration_delay.timeout_seconds</Key><Value>120</Value></member></Attributes>")
	case "DeregisterTargets":
		there(call.refs[0]).deregister(call.targets)
	case "RegisterTargets":
		g := there(call.refs[0])
		for _, t := range call.targets {
			g.targets = append(g.targets, fakeTarget{id: t.id, port: t.port, state: "initial"})
		}
	case "DescribeTags":
		b.WriteString("<TagDescriptions>")
		for _, ref := range call.refs {
			fmt.Fprintf(&b, "<member><ResourceArn>%s</ResourceArn><Tags><member><Key>castoff:managed</Key><Value>yes</Value></member></Tags></member>", ref)
		}
		b.WriteString("</TagDescriptions>")
	default:
		return elbError(400, "InvalidAction")
	}
	return &fakeReply{status: 200, body: fmt.Sprintf(
		`<%[1]sResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><%[1]sResult>%[2]s</%[1]sResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></%[1]sResponse>`,
		op, b.String())}
}

// deregister has rows drain; what is not there is no mistake.
func (g *fakeGroup) deregister(targets []fakeTarget) {
	for _, t := range targets {
		for i := range g.targets {
			if g.targets[i].id == t.id && g.targets[i].port == t.port {
				g.targets[i].state = "draining"
			}
		}
	}
}

// taken returns the calls since it was last called.
func (f *fake) taken() []fakeCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

// tally counts calls by operation.
func tally(calls []fakeCall) map[string]int {
	n := make(map[string]int)
	for _, c := range calls {
		n[c.op]++
	}
	return n
}

// recorder counts what the Observer reports.
type recorder struct {
	mu       sync.Mutex
	requests map[string]int
	waits    map[string]time.Duration
	budgets  map[string]float64
}

func newRecorder() *recorder {
	return &recorder{requests: make(map[string]int), waits: make(map[string]time.Duration), budgets: make(map[string]float64)}
}

func (r *recorder) Budget(bucket string, perSecond float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.budgets[bucket] = perSecond
}

func (r *recorder) Request(service, operation, _, result string, _ time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests[service+" "+operation+" "+result]++
}

func (r *recorder) PacingWait(bucket string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waits[bucket] += d
}

// observer makes one for the fake, or fails the test.
func observer(t testing.TB, o Options) *Observer {
	t.Helper()
	obs, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return obs
}

// unlimited is for tests that are not about pacing.
var unlimited = Budgets{
	ClusterRead: math.Inf(1), ClusterResourceRead: math.Inf(1), ServiceRead: math.Inf(1), TaskDefinitionRead: math.Inf(1), BalancerRead: math.Inf(1),
	Registration: math.Inf(1),
}

// hanging never answers DescribeTasks of one cluster.
type hanging struct {
	*fake
	cluster string
}

func (h hanging) Do(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.Header.Get("X-Amz-Target"), ".DescribeTasks") {
		body, _ := io.ReadAll(req.Body)
		if bytes.Contains(body, []byte("cluster/"+h.cluster)) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	return h.fake.Do(req)
}
