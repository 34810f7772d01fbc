package scenario

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// newerMember is what AWS has added since the models were published: the last
// ones are of 2024.
type newerMember struct {
	service string
	path    string // operation, or operation.input|output.member…
	shape   string // as in the models
	source  string
}

const ecsReference = "https://docs.aws.amazon.com/AmazonECS/latest/APIReference/"

var newer = []newerMember{
	{sim.ECS, "DescribeServices.output.services.availabilityZoneRebalancing", `{}`, ecsReference + "API_Service.html"},
	{
		sim.ECS, "DescribeServices.output.services.currentServiceRevisions",
		`{"type":"list","member":{"type":"structure","members":{"arn":{},"requestedTaskCount":{"type":"integer"},
			"runningTaskCount":{"type":"integer"},"pendingTaskCount":{"type":"integer"}}}}`,
		ecsReference + "API_ServiceCurrentRevisionSummary.html",
	},
	{
		sim.ECS, "DescribeServices.output.services.loadBalancers.advancedConfiguration",
		`{"type":"structure","members":{"alternateTargetGroupArn":{},"productionListenerRule":{},"testListenerRule":{},"roleArn":{}}}`,
		ecsReference + "API_AdvancedConfiguration.html",
	},
	{sim.ECS, "DescribeServices.output.services.deploymentConfiguration.strategy", `{}`, ecsReference + "API_DeploymentConfiguration.html"},
	{
		sim.ECS, "DescribeServices.output.services.deploymentConfiguration.bakeTimeInMinutes", `{"type":"integer"}`,
		ecsReference + "API_DeploymentConfiguration.html",
	},
	{
		sim.ECS, "DescribeServiceRevisions",
		`{"members":{
			"input":{"type":"structure","required":["serviceRevisionArns"],"members":{"serviceRevisionArns":{"type":"list","member":{}}}},
			"output":{"type":"structure","members":{
				"failures":{"type":"list","member":{"type":"structure","members":{"arn":{},"reason":{},"detail":{}}}},
				"serviceRevisions":{"type":"list","member":{"type":"structure","members":{
					"serviceRevisionArn":{},"serviceArn":{},"clusterArn":{},"taskDefinition":{},"launchType":{},"platformVersion":{},
					"platformFamily":{},"createdAt":{"type":"timestamp"},"guardDutyEnabled":{"type":"boolean"},
					"loadBalancers":{"type":"list","member":{"type":"structure","members":{
						"targetGroupArn":{},"loadBalancerName":{},"containerName":{},"containerPort":{"type":"integer"},
						"advancedConfiguration":{"type":"structure","members":{
							"alternateTargetGroupArn":{},"productionListenerRule":{},"testListenerRule":{},"roleArn":{}}}}}},
					"networkConfiguration":{"type":"structure","members":{"awsvpcConfiguration":{"type":"structure","members":{
						"subnets":{"type":"list","member":{}},"securityGroups":{"type":"list","member":{}},"assignPublicIp":{}}}}},
					"containerImages":{"type":"list","member":{"type":"structure","members":{"containerName":{},"image":{},"imageDigest":{}}}},
					"resolvedConfiguration":{"type":"structure","members":{"loadBalancers":{"type":"list","member":{"type":"structure",
						"members":{"targetGroupArn":{},"productionListenerRule":{}}}}}}
				}}}
			}}
		}}`,
		ecsReference + "API_DescribeServiceRevisions.html",
	},
	{
		sim.ECS, "ListGatewayRoutes",
		`{"members":{
			"input":{"type":"structure","members":{"cluster":{},"gateway":{},"maxResults":{"type":"integer"},"nextToken":{},"service":{},
				"serviceContainerPortName":{},"status":{"type":"list","member":{}}}},
			"output":{"type":"structure","members":{
				"gatewayRoutes":{"type":"list","member":{"type":"structure","members":{"clusterArn":{},"gatewayArn":{},"gatewayRouteArn":{},
					"serviceArn":{},"serviceContainerPortName":{},"status":{}}}},
				"nextToken":{}
			}}
		}}`,
		ecsReference + "API_ListGatewayRoutes.html",
	},
	{
		sim.ELBv2, "DescribeTargetHealth.output.TargetHealthDescriptions.AdministrativeOverride",
		`{"type":"structure","members":{"State":{},"Reason":{},"Description":{}}}`,
		"https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_AdministrativeOverride.html",
	},
}

// everyOperation are those that the region answers.
var everyOperation = []string{
	"ecs/DescribeClusters", "ecs/DescribeContainerInstances", "ecs/DescribeServiceRevisions", "ecs/DescribeServices", "ecs/DescribeTaskDefinition",
	"ecs/DescribeTaskSets", "ecs/DescribeTasks", "ecs/ListClusters", "ecs/ListContainerInstances", "ecs/ListGatewayRoutes", "ecs/ListServices", "ecs/ListTagsForResource",
	"ecs/ListTaskDefinitions", "ecs/ListTasks", "ecs/RunTask", "ecs/StopTask", "ecs/TagResource", "ecs/UntagResource", "ecs/UpdateService",
	"ec2/DescribeInstances", "ec2/DescribeNetworkInterfaces",
	"elasticloadbalancing/AddTags", "elasticloadbalancing/DeregisterTargets", "elasticloadbalancing/DescribeListeners", "elasticloadbalancing/DescribeLoadBalancerAttributes", "elasticloadbalancing/DescribeLoadBalancers",
	"elasticloadbalancing/DescribeTags",
	"elasticloadbalancing/DescribeTargetGroupAttributes", "elasticloadbalancing/DescribeTargetGroups", "elasticloadbalancing/DescribeTargetHealth",
	"elasticloadbalancing/ModifyLoadBalancerAttributes", "elasticloadbalancing/ModifyTargetGroupAttributes",
	"elasticloadbalancing/RegisterTargets", "elasticloadbalancing/RemoveTags",
	"sts/AssumeRole", "sts/GetCallerIdentity",
}

// Every reply of a busy region is what AWS's own models say, and so is every
// request, castoff's own included.
func TestConformance(t *testing.T) {
	models := readModels(t)
	seen, faults, calls := map[string]bool{}, map[string]bool{}, 0
	for seed := range uint64(2) {
		synctest.Test(t, func(t *testing.T) {
			region := busyRegion(t, seed)
			judge := newAPIJudge(region, models)
			d := start(t, region, set{mode: policy.Detaching, client: judge})
			client := newJudgedClient(t, judge)
			for step := range 30 {
				disturb(t, region, int(seed)*7+step)
				time.Sleep(45 * time.Second)
				if step%3 == 0 {
					client.askEverything(t)
				}
			}
			must(t, d.Stop(t.Context()))
			maps.Copy(seen, judge.seen)
			maps.Copy(faults, judge.faults)
			calls += judge.calls
		})
	}
	for _, f := range slices.Sorted(maps.Keys(faults)) {
		t.Error(f)
	}
	operations := map[string]int{}
	for path := range seen {
		op, _, _ := strings.Cut(path, ".")
		operations[op]++
	}
	for _, op := range everyOperation {
		if operations[op] == 0 {
			t.Errorf("%s was not asked", op)
		}
	}
	for op := range operations {
		if !slices.Contains(everyOperation, op) {
			t.Errorf("%s is not in the list", op)
		}
	}
	t.Logf("%d calls of %d operations; %d members compared with AWS's models, %d of them newer; %d mismatches",
		calls, len(operations), len(seen), len(newer), len(faults))
}

// The region knows every member that AWS's models have for a request, and
// refuses one that they have not.
func TestConformanceOfRequests(t *testing.T) {
	models := readModels(t)
	region := busyRegion(t, 1)
	for _, name := range everyOperation {
		service, operation, _ := strings.Cut(name, "/")
		m := models[service]
		input := m.follow(m.Operations[operation].Input)
		if service == sim.STS || input == nil {
			continue // no client of castoff's choosing asks STS
		}
		members := append(slices.Sorted(maps.Keys(input.Members)), "Invented")
		for _, member := range members {
			req := requestOf(t, m, service, operation, member)
			rep, err := sim.Doer{Region: region}.Do(req)
			must(t, err)
			body, err := io.ReadAll(rep.Body)
			must(t, err)
			if unknown := bytes.Contains(body, []byte("unknown member")); unknown != (member == "Invented") {
				t.Errorf("%s with %s: unknown %v: %s", name, member, unknown, body)
			}
		}
	}
}

// requestOf is a request with one member in it, whose value does not matter.
func requestOf(t *testing.T, m *apiModel, service, operation, member string) *http.Request {
	t.Helper()
	body := `{"` + member + `":null}`
	switch service {
	case sim.EC2:
		name := member
		if s := m.Operations[operation].Input.Members[member]; s != nil {
			if name = wireName(member, s, true); m.follow(s).Type == "list" {
				name += ".1"
				if len(m.follow(m.follow(s).Member).Members) > 0 {
					name += ".Name"
				}
			}
		}
		body = "Action=" + operation + "&Version=2016-11-15&" + name + "=1"
	case sim.ELBv2:
		name := member
		if s := m.follow(m.Operations[operation].Input.Members[member]); s != nil && s.Type == "list" {
			name += ".member.1"
			if parts := slices.Sorted(maps.Keys(m.follow(s.Member).Members)); len(parts) > 0 {
				name += "." + parts[0]
			}
		}
		body = "Action=" + operation + "&Version=2015-12-01&" + name + "=1"
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://aws.invalid/", strings.NewReader(body))
	must(t, err)
	if service == sim.ECS {
		req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+operation)
	}
	return req
}

// busyRegion has one of everything.
func busyRegion(t *testing.T, seed uint64) *sim.Region {
	t.Helper()
	region := sim.New(sim.Options{Seed: seed})
	must(t, region.AddCluster("prod", sim.ClusterOptions{Instances: 3, Tags: map[string]string{"team": "a"}}))
	service := func(name string, change func(*sim.ServiceSpec)) {
		spec := sim.ReferenceWorkload("prod", name)
		spec.Tags = map[string]string{"castoff:mode": "detach"}
		spec.Groups[0].Tags = map[string]string{"castoff:managed": "true"}
		change(&spec)
		must(t, region.AddService(spec))
	}
	service("rolling", func(s *sim.ServiceSpec) { s.Desired, s.Grace = 3, 10*time.Second })
	service("bridge", func(s *sim.ServiceSpec) { s.LaunchType, s.NetworkMode = fleet.EC2, fleet.NetworkBridge })
	service("daemon", func(s *sim.ServiceSpec) {
		s.LaunchType, s.NetworkMode, s.Scheduling = fleet.EC2, fleet.NetworkHost, fleet.Daemon
	})
	service("bluegreen", func(s *sim.ServiceSpec) { s.Groups[0].Alternate = true })
	service("codedeploy", func(s *sim.ServiceSpec) { s.Controller = fleet.ControllerCodeDeploy })
	service("external", func(s *sim.ServiceSpec) { s.Controller = fleet.ControllerExternal })
	service("six", func(s *sim.ServiceSpec) { s.IPv6, s.Groups[0].IPAddressType = true, "ipv6" })
	service("web", func(s *sim.ServiceSpec) {
		s.Groups = []sim.GroupSpec{{Balancer: sim.Application}, {Balancer: sim.Application, Name: "grpc", ProtocolVersion: "GRPC"}, {Name: "spare", Unattached: true}}
	})
	service("plain", func(s *sim.ServiceSpec) { s.Groups, s.Containers, s.Settled, s.Gateway = nil, nil, false, true })
	for kind, spec := range map[string]sim.GroupSpec{
		fleet.TargetTypeALB: {Name: "front", Port: 80, Check: fleet.TargetCheck{Protocol: "HTTP"}},
		"lambda":            {Name: "function", Balancer: sim.Application},
	} {
		_, err := region.AddTargetGroup(kind, spec)
		must(t, err)
	}
	_, err := region.RunTask("prod", "job")
	must(t, err)
	return region
}

// disturb does one thing after the other to one service after the other; that
// some of it cannot be done there does not matter.
func disturb(t *testing.T, region *sim.Region, step int) {
	t.Helper()
	names := []string{"rolling", "bridge", "bluegreen", "codedeploy", "external", "six", "web", "plain", "daemon"}
	id := fleet.ServiceID{Cluster: "prod", Name: names[step%len(names)]}
	tasks := slices.DeleteFunc(region.Tasks(id), func(t sim.TaskInfo) bool { return t.Status != fleet.Running })
	if len(tasks) == 0 {
		return
	}
	task := tasks[step%len(tasks)]
	var errs []error
	switch step / 2 % 10 {
	case 0:
		errs = append(errs, region.Hang(task.ARN))
	case 1:
		errs = append(errs, region.NextTasks(id, sim.NeverStarts, sim.Exits), region.KillFront(task.ARN))
	case 2:
		errs = append(errs, region.Exit(task.ARN))
	case 3:
		_ = region.Deploy(id)
	case 4:
		errs = append(errs, region.Disconnect(task.ARN))
	case 5:
		_ = region.SpotInterrupt(task.ARN)
	case 6:
		_ = region.Scale(id, 3)
	case 7:
		_ = region.ZonalShift(id, task.Zone)
	case 8:
		errs = append(errs, region.StopTask(task.ARN, ""))
	case 9:
		errs = append(errs, region.Crash(task.ARN))
	}
	must(t, errs...)
}

// judgedClient asks for all that there is, as the SDK does.
type judgedClient struct {
	ecs   *ecs.Client
	elb   *elb.Client
	sts   *sts.Client
	judge *apiJudge
}

func newJudgedClient(t *testing.T, judge *apiJudge) *judgedClient {
	t.Helper()
	cfg := awsapi.Simulated("http://aws.invalid", sim.RegionName)
	cfg.HTTPClient, cfg.Retryer = judge, steadyRetries
	return &judgedClient{ecs.NewFromConfig(cfg), elb.NewFromConfig(cfg), sts.NewFromConfig(cfg), judge}
}

// ask returns what a call gave, or ends the test.
func ask[In, Out, Opt any](t *testing.T, call func(ctx context.Context, in *In, options ...func(*Opt)) (*Out, error), in *In) *Out {
	t.Helper()
	out, err := call(t.Context(), in)
	must(t, err)
	return out
}

func (c *judgedClient) askEverything(t *testing.T) {
	t.Helper()
	c.askECS(t)
	c.changeECS(t)
	c.askELB(t)
	c.changeELB(t)
	c.askEC2(t)
	ask(t, c.sts.GetCallerIdentity, &sts.GetCallerIdentityInput{})
	ask(t, c.sts.AssumeRole, &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::123456789012:role/castoff"), RoleSessionName: aws.String("castoff"),
	})
}

func (c *judgedClient) askECS(t *testing.T) {
	t.Helper()
	cluster := aws.String("prod")
	ask(t, c.ecs.ListClusters, &ecs.ListClustersInput{MaxResults: aws.Int32(1)})
	ask(t, c.ecs.DescribeClusters, &ecs.DescribeClustersInput{Clusters: []string{"prod", "gone"}, Include: []ecstypes.ClusterField{
		ecstypes.ClusterFieldTags, ecstypes.ClusterFieldSettings, ecstypes.ClusterFieldStatistics,
	}})
	hosts := ask(t, c.ecs.ListContainerInstances, &ecs.ListContainerInstancesInput{Cluster: cluster, MaxResults: aws.Int32(2)})
	ask(t, c.ecs.DescribeContainerInstances, &ecs.DescribeContainerInstancesInput{
		Cluster: cluster, ContainerInstances: append(hosts.ContainerInstanceArns, "gone"), Include: []ecstypes.ContainerInstanceField{"TAGS"},
	})
	list := ask(t, c.ecs.ListServices, &ecs.ListServicesInput{Cluster: cluster, MaxResults: aws.Int32(9), LaunchType: ecstypes.LaunchTypeFargate})
	services := ask(t, c.ecs.DescribeServices, &ecs.DescribeServicesInput{
		Cluster: cluster, Services: append(list.ServiceArns, "gone"), Include: []ecstypes.ServiceField{ecstypes.ServiceFieldTags},
	})
	ask(t, c.ecs.DescribeServices, &ecs.DescribeServicesInput{Cluster: cluster, Services: []string{"bridge", "daemon", "external", "codedeploy"}})
	for _, s := range services.Services {
		if s.TaskDefinition != nil {
			ask(t, c.ecs.DescribeTaskDefinition, &ecs.DescribeTaskDefinitionInput{
				TaskDefinition: s.TaskDefinition, Include: []ecstypes.TaskDefinitionField{ecstypes.TaskDefinitionFieldTags},
			})
		}
		ask(t, c.ecs.ListTagsForResource, &ecs.ListTagsForResourceInput{ResourceArn: s.ServiceArn})
		if s.CurrentServiceRevisions != nil {
			ask(t, c.ecs.DescribeServiceRevisions, &ecs.DescribeServiceRevisionsInput{
				ServiceRevisionArns: []string{*s.CurrentServiceRevisions[0].Arn, *s.CurrentServiceRevisions[0].Arn + "0"},
			})
		}
	}
	for _, name := range []string{"codedeploy", "external"} {
		ask(t, c.ecs.DescribeTaskSets, &ecs.DescribeTaskSetsInput{
			Cluster: cluster, Service: aws.String(name), Include: []ecstypes.TaskSetField{ecstypes.TaskSetFieldTags},
		})
	}
	for _, desired := range []ecstypes.DesiredStatus{ecstypes.DesiredStatusRunning, ecstypes.DesiredStatusStopped} {
		tasks := ask(t, c.ecs.ListTasks, &ecs.ListTasksInput{Cluster: cluster, DesiredStatus: desired, MaxResults: aws.Int32(50)})
		ask(t, c.ecs.DescribeTasks, &ecs.DescribeTasksInput{
			Cluster: cluster, Tasks: append(tasks.TaskArns, "gone"), Include: []ecstypes.TaskField{ecstypes.TaskFieldTags},
		})
		if desired == ecstypes.DesiredStatusRunning && len(tasks.TaskArns) > 25 {
			ask(t, c.ecs.StopTask, &ecs.StopTaskInput{Cluster: cluster, Task: &tasks.TaskArns[0], Reason: aws.String("as a test")})
		}
	}
}

func (c *judgedClient) changeECS(t *testing.T) {
	t.Helper()
	cluster, service := aws.String("prod"), aws.String("rolling")
	definitions := ask(t, c.ecs.ListTaskDefinitions, &ecs.ListTaskDefinitionsInput{FamilyPrefix: service, MaxResults: aws.Int32(1)}).TaskDefinitionArns
	s := ask(t, c.ecs.UpdateService, &ecs.UpdateServiceInput{
		Cluster: cluster, Service: service, DesiredCount: aws.Int32(3), TaskDefinition: &definitions[0], ForceNewDeployment: true,
	}).Service
	tags := []ecstypes.Tag{{Key: aws.String("team"), Value: aws.String("b")}}
	ask(t, c.ecs.TagResource, &ecs.TagResourceInput{ResourceArn: s.ServiceArn, Tags: tags})
	ask(t, c.ecs.UntagResource, &ecs.UntagResourceInput{ResourceArn: s.ServiceArn, TagKeys: []string{"team"}})
	ask(t, c.ecs.RunTask, &ecs.RunTaskInput{
		Cluster: cluster, TaskDefinition: aws.String("job"), Count: aws.Int32(2), StartedBy: aws.String("a test"), Tags: tags,
		NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{Subnets: []string{"subnet-00000000000000000"}}},
	})
	ask(t, c.ecs.RunTask, &ecs.RunTaskInput{Cluster: cluster, TaskDefinition: aws.String("daemon")}) // there is no port for it
}

func (c *judgedClient) changeELB(t *testing.T) {
	t.Helper()
	b := ask(t, c.elb.DescribeLoadBalancers, &elb.DescribeLoadBalancersInput{PageSize: aws.Int32(1)}).LoadBalancers[0].LoadBalancerArn
	listeners := ask(t, c.elb.DescribeListeners, &elb.DescribeListenersInput{LoadBalancerArn: b, PageSize: aws.Int32(1)}).Listeners
	group := listeners[0].DefaultActions[0].TargetGroupArn
	tagged := []string{*b, *group, *listeners[0].ListenerArn}
	ask(t, c.elb.AddTags, &elb.AddTagsInput{ResourceArns: tagged, Tags: []elbtypes.Tag{{Key: aws.String("team"), Value: aws.String("b")}}})
	ask(t, c.elb.DescribeTags, &elb.DescribeTagsInput{ResourceArns: tagged})
	ask(t, c.elb.RemoveTags, &elb.RemoveTagsInput{ResourceArns: tagged, TagKeys: []string{"team"}})
	ask(t, c.elb.ModifyTargetGroupAttributes, &elb.ModifyTargetGroupAttributesInput{
		TargetGroupArn: group, Attributes: []elbtypes.TargetGroupAttribute{{Key: aws.String("deregistration_delay.timeout_seconds"), Value: aws.String("30")}},
	})
	ask(t, c.elb.ModifyLoadBalancerAttributes, &elb.ModifyLoadBalancerAttributesInput{
		LoadBalancerArn: b, Attributes: []elbtypes.LoadBalancerAttribute{{Key: aws.String("deletion_protection.enabled"), Value: aws.String("true")}},
	})
}

// askEC2 asks without an SDK: castoff has none for EC2.
func (c *judgedClient) askEC2(t *testing.T) {
	t.Helper()
	for _, form := range []string{
		"Action=DescribeNetworkInterfaces&MaxResults=5",
		"Action=DescribeNetworkInterfaces&Filter.1.Name=status&Filter.1.Value.1=in-use",
		"Action=DescribeNetworkInterfaces&NetworkInterfaceId.1=eni-0",
		"Action=DescribeInstances&Filter.1.Name=instance-state-name&Filter.1.Value.1=running&Filter.1.Value.2=stopped",
		"Action=DescribeInstances&InstanceId.1=i-0",
		"Action=DescribeVpcs",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://aws.invalid/", strings.NewReader(form+"&Version=2016-11-15"))
		must(t, err)
		_, err = c.judge.Do(req)
		must(t, err)
	}
}

func (c *judgedClient) askELB(t *testing.T) {
	t.Helper()
	for _, b := range ask(t, c.elb.DescribeLoadBalancers, &elb.DescribeLoadBalancersInput{PageSize: aws.Int32(3)}).LoadBalancers {
		ask(t, c.elb.DescribeLoadBalancerAttributes, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: b.LoadBalancerArn})
	}
	ask(t, c.elb.DescribeTargetGroups, &elb.DescribeTargetGroupsInput{PageSize: aws.Int32(3)})
	groups := ask(t, c.elb.DescribeTargetGroups, &elb.DescribeTargetGroupsInput{}).TargetGroups
	for i, g := range groups {
		ask(t, c.elb.DescribeTargetGroupAttributes, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: g.TargetGroupArn})
		ask(t, c.elb.DescribeTags, &elb.DescribeTagsInput{ResourceArns: []string{*g.TargetGroupArn}})
		health := ask(t, c.elb.DescribeTargetHealth, &elb.DescribeTargetHealthInput{TargetGroupArn: g.TargetGroupArn}).TargetHealthDescriptions
		if len(health) == 0 || i != 0 {
			continue
		}
		target := elbtypes.TargetDescription{Id: health[0].Target.Id, Port: health[0].Target.Port}
		ask(t, c.elb.DescribeTargetHealth, &elb.DescribeTargetHealthInput{TargetGroupArn: g.TargetGroupArn, Targets: []elbtypes.TargetDescription{target}})
		if g.TargetType != elbtypes.TargetTypeEnumIp {
			continue
		}
		spare := elbtypes.TargetDescription{Id: aws.String("10.0.250.1"), Port: aws.Int32(80), AvailabilityZone: aws.String("all")}
		if g.IpAddressType == elbtypes.TargetGroupIpAddressTypeEnumIpv6 {
			spare.Id = aws.String("2001:db8:250::1")
		}
		ask(t, c.elb.RegisterTargets, &elb.RegisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: []elbtypes.TargetDescription{spare}})
		ask(t, c.elb.DeregisterTargets, &elb.DeregisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: []elbtypes.TargetDescription{spare, target}})
	}
}
