package scenario

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// foreignCall is one call as any SDK makes it: the input by the API's own names.
type foreignCall struct {
	Service   string         `json:"service"`
	Operation string         `json:"operation"`
	Input     map[string]any `json:"input"`
	want      string         // part of what comes out, as JSON without spaces
	refused   bool           // want is part of the error instead
	newer     bool           // than Debian's AWS CLI
}

// foreignCalls are one of every operation, and some refusals.
func foreignCalls(region *sim.Region) []foreignCall {
	task := region.Tasks(fleet.ServiceID{Cluster: "prod", Name: "rolling"})[0]
	key := task.Targets[0]
	group, service := string(key.Group), "arn:aws:ecs:eu-central-1:123456789012:service/prod/rolling"
	type in = map[string]any
	balancer := region.BalancerARN(key.Group)
	network := in{"awsvpcConfiguration": in{"subnets": []string{"subnet-00000000000000000"}}}
	spare := []any{in{"Id": "10.0.250.1", "Port": 80, "AvailabilityZone": "all"}}
	return []foreignCall{
		{sim.ECS, "ListClusters", in{}, `:cluster/prod"`, false, false},
		{sim.ECS, "DescribeClusters", in{"clusters": []string{"prod", "gone"}, "include": []string{"TAGS"}}, `"reason":"MISSING"`, false, false},
		{sim.ECS, "ListServices", in{"cluster": "prod", "maxResults": 100}, service, false, false},
		{sim.ECS, "DescribeServices", in{"cluster": "prod", "services": []string{"rolling"}, "include": []string{"TAGS"}}, `"castoff:mode"`, false, false},
		{sim.ECS, "ListTasks", in{"cluster": "prod", "serviceName": "rolling"}, string(task.ARN), false, false},
		{sim.ECS, "DescribeTasks", in{"cluster": "prod", "tasks": []string{string(task.ARN)}}, `"healthStatus":"HEALTHY"`, false, false},
		{sim.ECS, "DescribeTaskDefinition", in{"taskDefinition": "rolling:1"}, `"retries":2`, false, false},
		{sim.ECS, "ListContainerInstances", in{"cluster": "prod"}, `:container-instance/prod/`, false, false},
		{sim.ECS, "DescribeContainerInstances", in{"cluster": "prod", "containerInstances": []string{"gone"}}, `"MISSING"`, false, false},
		{sim.ECS, "DescribeTaskSets", in{"cluster": "prod", "service": "codedeploy"}, `"taskSetArn"`, false, false},
		{sim.ECS, "DescribeServiceRevisions", in{"serviceRevisionArns": []string{"arn:aws:ecs:eu-central-1:123456789012:service-revision/prod/rolling/1"}}, `"MISSING"`, false, true},
		{sim.ECS, "ListGatewayRoutes", in{"maxResults": 100}, `:service/prod/plain"`, false, true},
		{sim.ECS, "ListTagsForResource", in{"resourceArn": service}, `"castoff:mode"`, false, false},
		{sim.ECS, "StopTask", in{"cluster": "prod", "task": string(task.ARN), "reason": "as a test"}, `"stoppedReason":"as a test"`, false, false},
		{sim.ELBv2, "DescribeLoadBalancers", in{}, `"Type":"network"`, false, false},
		{sim.ELBv2, "DescribeLoadBalancerAttributes", in{"LoadBalancerArn": balancer}, `"load_balancing.cross_zone.enabled"`, false, false},
		{sim.ELBv2, "DescribeTargetGroups", in{"TargetGroupArns": []string{group}}, `"HealthCheckProtocol":"TCP"`, false, false},
		{sim.ELBv2, "DescribeTargetGroupAttributes", in{"TargetGroupArn": group}, `"deregistration_delay.timeout_seconds"`, false, false},
		{sim.ELBv2, "DescribeTags", in{"ResourceArns": []string{group}}, `"castoff:managed"`, false, false},
		{sim.ELBv2, "RegisterTargets", in{"TargetGroupArn": group, "Targets": spare}, ``, false, false},
		{sim.ELBv2, "DescribeTargetHealth", in{"TargetGroupArn": group, "Targets": spare}, `"State":"initial"`, false, false},
		{sim.ELBv2, "DeregisterTargets", in{"TargetGroupArn": group, "Targets": spare}, ``, false, false},
		{sim.ELBv2, "DescribeTargetHealth", in{"TargetGroupArn": group}, `"State":"draining"`, false, false},
		{sim.ECS, "UpdateService", in{"cluster": "prod", "service": "web", "desiredCount": 3}, `"desiredCount":3`, false, false},
		{sim.ECS, "DescribeServices", in{"cluster": "prod", "services": []string{"rolling"}}, `"message":"(servicerolling)hasreachedasteadystate."`, false, false},
		{sim.ECS, "ListTaskDefinitions", in{"familyPrefix": "rolling"}, `:task-definition/rolling:1"`, false, false},
		{sim.ECS, "RunTask", in{"cluster": "prod", "taskDefinition": "job", "networkConfiguration": network}, `"lastStatus":"PROVISIONING"`, false, false},
		{sim.ECS, "TagResource", in{"resourceArn": service, "tags": []any{in{"key": "team", "value": "b"}}}, ``, false, false},
		{sim.ECS, "UntagResource", in{"resourceArn": service, "tagKeys": []string{"team"}}, ``, false, false},
		{sim.ELBv2, "DescribeListeners", in{"LoadBalancerArn": balancer}, `"ForwardConfig"`, false, false},
		{sim.ELBv2, "AddTags", in{"ResourceArns": []string{group}, "Tags": []any{in{"Key": "team", "Value": "b"}}}, ``, false, false},
		{sim.ELBv2, "RemoveTags", in{"ResourceArns": []string{group}, "TagKeys": []string{"team"}}, ``, false, false},
		{
			sim.ELBv2, "ModifyTargetGroupAttributes", in{"TargetGroupArn": group, "Attributes": []any{in{"Key": "stickiness.enabled", "Value": "true"}}},
			`"Key":"stickiness.enabled","Value":"true"`, false, false,
		},
		{
			sim.ELBv2, "ModifyLoadBalancerAttributes", in{"LoadBalancerArn": balancer, "Attributes": []any{in{"Key": "deletion_protection.enabled", "Value": "true"}}},
			`"Key":"deletion_protection.enabled","Value":"true"`, false, false,
		},
		{sim.EC2, "DescribeNetworkInterfaces", in{"Filters": []any{in{"Name": "status", "Values": []string{"in-use"}}}}, `"PrivateIpAddress":"` + key.ID + `"`, false, false},
		{sim.EC2, "DescribeInstances", in{}, `"InstanceType":"m7i.large"`, false, false},
		{sim.EC2, "DescribeNetworkInterfaces", in{"NetworkInterfaceIds": []string{"eni-0"}}, "InvalidNetworkInterfaceID.NotFound", true, false},
		{sim.STS, "GetCallerIdentity", in{}, `"123456789012"`, false, false},
		{sim.STS, "AssumeRole", in{"RoleArn": "arn:aws:iam::123456789012:role/castoff", "RoleSessionName": "castoff"}, `:castoff"`, false, false},
		{sim.ECS, "ListTasks", in{"cluster": "none"}, "ClusterNotFoundException", true, false},
		{sim.ECS, "DescribeServices", in{"cluster": "prod", "services": []string{}}, "InvalidParameterException", true, false},
		{sim.ELBv2, "DescribeTargetHealth", in{"TargetGroupArn": group + "0"}, "TargetGroupNotFound", true, false},
	}
}

// check holds what a client made of a reply to what is wanted.
func (c foreignCall) check(t *testing.T, failed bool, out string) {
	t.Helper()
	out = strings.Join(strings.Fields(out), "")
	if failed != c.refused || !strings.Contains(out, strings.Join(strings.Fields(c.want), "")) {
		t.Errorf("%s %s: failed %v, want %v; no %q in\n%s", c.Service, c.Operation, failed, c.refused, c.want, out)
	}
}

// foreign serves a region on loopback to clients that know nothing of castoff.
// make conformance brings them; without it the test is skipped.
func foreign(t *testing.T) (endpoint string, calls []foreignCall, env []string) {
	t.Helper()
	if os.Getenv("CASTOFF_FOREIGN") == "" {
		t.Skip("NO FOREIGN CLIENT IS RUN AGAINST THE REGION: make conformance does that")
	}
	region := busyRegion(t, 1)
	server := httptest.NewServer(region)
	t.Cleanup(server.Close)
	return server.URL, foreignCalls(region), []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LC_ALL=C.UTF-8", "AWS_ACCESS_KEY_ID=AKIASIMULATED", "AWS_SECRET_ACCESS_KEY=simulated",
		"AWS_DEFAULT_REGION=" + sim.RegionName, "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=", "AWS_CONFIG_FILE=" + os.DevNull,
	}
}

var wordStart = regexp.MustCompile(`([a-z])([A-Z])`)

// The AWS CLI, of Python, reads every operation.
func TestForeignCLI(t *testing.T) {
	endpoint, calls, env := foreign(t)
	names := map[string]string{sim.ECS: "ecs", sim.ELBv2: "elbv2", sim.STS: "sts", sim.EC2: "ec2"}
	for _, c := range calls {
		input, err := json.Marshal(c.Input)
		must(t, err)
		command := strings.ToLower(wordStart.ReplaceAllString(c.Operation, "$1-$2"))
		cmd := exec.CommandContext(t.Context(), "aws", names[c.Service], command, "--endpoint-url", endpoint, "--output", "json", "--cli-input-json", string(input))
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil && c.newer && bytes.Contains(out, []byte("Invalid choice")) {
			t.Logf("%s is too new for this AWS CLI", c.Operation)
			continue
		}
		c.check(t, err != nil, string(out))
	}
}

// The JavaScript SDK reads every operation.
func TestForeignSDK(t *testing.T) {
	endpoint, calls, env := foreign(t)
	modules, err := filepath.Abs(filepath.Join(conformanceCache, "js"))
	must(t, err)
	input, err := json.Marshal(calls)
	must(t, err)
	cmd := exec.CommandContext(t.Context(), "node", "testdata/foreign.mjs", modules, endpoint)
	cmd.Env, cmd.Stdin = env, bytes.NewReader(input)
	var told bytes.Buffer
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, told.Bytes())
	}
	var results []struct {
		Failed bool   `json:"failed"`
		Out    string `json:"out"`
	}
	must(t, json.Unmarshal(out, &results))
	if len(results) != len(calls) {
		t.Fatalf("%d results of %d calls", len(results), len(calls))
	}
	for i, c := range calls {
		if c.newer && strings.Contains(results[i].Out, "is not a constructor") {
			t.Logf("%s is too new for this SDK", c.Operation)
			continue
		}
		c.check(t, results[i].Failed, results[i].Out)
	}
}

// Prometheus's discovery finds the tasks on hosts by what EC2 tells.
func TestForeignDiscovery(t *testing.T) {
	_, _, env := foreign(t)
	// The SDK has calls fail that are answered before it is done with sending them.
	region := sim.New(sim.Options{Latency: 5 * time.Millisecond})
	must(t, region.AddCluster("prod", sim.ClusterOptions{Instances: 3}))
	for _, mode := range []string{fleet.NetworkBridge, fleet.NetworkAWSVPC} {
		spec := sim.ReferenceWorkload("prod", mode)
		spec.LaunchType, spec.NetworkMode, spec.Desired = fleet.EC2, mode, 4
		must(t, region.AddService(spec))
	}
	server := httptest.NewServer(region)
	defer server.Close()
	discovery, err := filepath.Abs(filepath.Join(conformanceCache, "prometheus", "discovery"))
	must(t, err)
	cmd := exec.CommandContext(t.Context(), discovery)
	cmd.Env = slices.Concat(env, []string{"AWS_ENDPOINT_URL=" + server.URL, "AWS_REGION=" + sim.RegionName})
	var told bytes.Buffer
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, told.Bytes())
	}
	var targets []map[string]string
	must(t, json.Unmarshal(out, &targets))
	hosts, modes := map[string]bool{}, map[string]int{}
	for _, labels := range targets {
		modes[labels["__meta_ecs_network_mode"]]++
		if ip := labels["__meta_ecs_ec2_instance_private_ip"]; ip != "" {
			hosts[ip] = true
			if labels["__meta_ecs_ec2_instance_type"] == "" || labels["__meta_ecs_subnet_id"] == "" {
				t.Errorf("%v", labels)
			}
		}
	}
	if len(hosts) != 3 || modes["bridge"] != 4 || modes["awsvpc"] != 4 {
		t.Errorf("%d hosts, %v\n%s", len(hosts), modes, told.Bytes())
	}
}
