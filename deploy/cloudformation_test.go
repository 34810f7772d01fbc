package deploy

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// template reads a CloudFormation template. Its functions are read as their
// arguments: !Ref X is "X", !If [C, A, B] a list.
func template(t *testing.T, name string) map[string]any {
	t.Helper()
	data, err := os.ReadFile("cloudformation/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var parsed map[string]any
	if err := yaml.Unmarshal(data, &parsed); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return parsed
}

// at follows keys and, in lists, indexes; nil where there is nothing.
func at(value any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := value.(map[string]any)
			value = m[step]
		case int:
			l, _ := value.([]any)
			if step >= len(l) {
				return nil
			}
			value = l[step]
		}
	}
	return value
}

func texts(value any) []string {
	var all []string
	list, _ := value.([]any)
	for _, v := range list {
		s, _ := v.(string)
		all = append(all, s)
	}
	return all
}

// TestTemplateRights: the role that the template gives castoff has the
// statements of deploy/iam, no more and no less; to detach only under its
// condition.
func TestTemplateRights(t *testing.T) {
	policies, _ := at(template(t, "castoff.yaml"), "Resources", "TaskRole", "Properties", "Policies").([]any)
	documents := map[string]any{}
	conditions := map[string]string{}
	for _, p := range policies {
		condition := ""
		if list, ok := p.([]any); ok { // !If
			condition, _ = list[0].(string)
			p = list[1]
		}
		name, _ := at(p, "PolicyName").(string)
		documents[name], conditions[name] = at(p, "PolicyDocument"), condition
	}
	for name, condition := range map[string]string{"observe": "", "detach": "MayDetach"} {
		data, err := os.ReadFile("iam/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var want any
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		// Through JSON, for the same types, and in the partition that deploy/iam is for.
		text, err := json.Marshal(documents[name])
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if err := json.Unmarshal([]byte(strings.ReplaceAll(string(text), "${AWS::Partition}", "aws")), &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("policy %s is\n%v\ndeploy/iam has\n%v", name, got, want)
		}
		if conditions[name] != condition {
			t.Errorf("policy %s is given under %q, want %q", name, conditions[name], condition)
		}
	}
	if len(documents) != 4 {
		t.Errorf("%d policies, want observe, detach, other-account and state", len(documents))
	}
}

// TestTemplateContainer: the task definition runs the image as the image is
// tested: the same user, the same health check, nothing to write to but the
// state; and there is never a second castoff.
func TestTemplateContainer(t *testing.T) {
	resources := at(template(t, "castoff.yaml"), "Resources")
	c := at(resources, "TaskDefinition", "Properties", "ContainerDefinitions", 0)
	for what, pair := range map[string][2]any{
		"user":            {at(c, "User"), "65532:65532"},
		"read-only root":  {at(c, "ReadonlyRootFilesystem"), true},
		"dropped":         {at(c, "LinuxParameters", "Capabilities", "Drop", 0), "ALL"},
		"state":           {at(c, "MountPoints", 0, "ContainerPath"), "/state"},
		"log":             {at(c, "LogConfiguration", "Options", "mode"), "non-blocking"},
		"maximum percent": {at(resources, "Service", "Properties", "DeploymentConfiguration", "MaximumPercent"), uint64(100)},
		"minimum percent": {at(resources, "Service", "Properties", "DeploymentConfiguration", "MinimumHealthyPercent"), uint64(0)},
		"name":            {at(resources, "Service", "Properties", "ServiceName"), "Name"},
		"family":          {at(resources, "TaskDefinition", "Properties", "Family"), "Name"},
		"desired count":   {at(resources, "Service", "Properties", "DesiredCount"), uint64(1)},
		"rebalancing":     {at(resources, "Service", "Properties", "AvailabilityZoneRebalancing"), "DISABLED"},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s %v, want %v", what, pair[0], pair[1])
		}
	}
	if got := texts(at(c, "HealthCheck", "Command")); !slices.Equal(got, []string{"CMD", "/castoff", "healthcheck"}) {
		t.Errorf("health check %q", got)
	}
	with, without := texts(at(c, "Command", 1)), texts(at(c, "Command", 2))
	if at(c, "Command", 0) != "KeepsState" || !slices.Equal(with, []string{"run", "--state", "/state"}) || !slices.Equal(without, []string{"run"}) {
		t.Errorf("command %v, with a file system %q, without one %q", at(c, "Command", 0), with, without)
	}
	// castoff takes 10 s at most to stop, and ECS kills it after this.
	if stop, _ := at(c, "StopTimeout").(uint64); stop < 15 || stop > 120 {
		t.Errorf("stopTimeout %d s", stop)
	}
}

// TestTemplateState: with a file system, state is in a directory of castoff's own,
// as the image's user, encrypted on the way, and with castoff's own rights.
func TestTemplateState(t *testing.T) {
	resources := at(template(t, "castoff.yaml"), "Resources")
	point := at(resources, "StateAccessPoint", "Properties")
	volume := at(resources, "TaskDefinition", "Properties", "Volumes", 0)
	efs := at(volume, "EFSVolumeConfiguration", 1) // after the condition of !If
	for what, pair := range map[string][2]any{
		"uid": {at(point, "PosixUser", "Uid"), "65532"}, "gid": {at(point, "PosixUser", "Gid"), "65532"},
		"owner": {at(point, "RootDirectory", "CreationInfo", "OwnerUid"), "65532"}, "group": {at(point, "RootDirectory", "CreationInfo", "OwnerGid"), "65532"},
		"permissions": {at(point, "RootDirectory", "CreationInfo", "Permissions"), "0700"}, "directory": {at(point, "RootDirectory", "Path"), "/${Name}"},
		"access point is made when": {at(resources, "StateAccessPoint", "Condition"), "KeepsState"}, "volume is EFS when": {at(volume, "EFSVolumeConfiguration", 0), "KeepsState"},
		"encrypted on the way": {at(efs, "TransitEncryption"), "ENABLED"}, "rights": {at(efs, "AuthorizationConfig", "IAM"), "ENABLED"},
		"access point": {at(efs, "AuthorizationConfig", "AccessPointId"), "StateAccessPoint"},
		"mounted":      {at(resources, "TaskDefinition", "Properties", "ContainerDefinitions", 0, "MountPoints", 0, "SourceVolume"), at(volume, "Name")},
	} {
		if pair[0] != pair[1] || pair[1] == nil {
			t.Errorf("%s %v, want %v", what, pair[0], pair[1])
		}
	}
}

// TestTemplateReference: the reference workload is the one that castoff was made
// for.
func TestTemplateReference(t *testing.T) {
	resources := at(template(t, "reference-workload.yaml"), "Resources")
	c := at(resources, "TaskDefinition", "Properties", "ContainerDefinitions", 0)
	if got := texts(at(c, "HealthCheck", "Command")); !slices.Equal(got, []string{"CMD-SHELL", "grpc-health-probe -addr=localhost:10080 -rpc-timeout 2s"}) {
		t.Errorf("health check %q", got)
	}
	for name, want := range map[string]uint64{"Interval": 5, "Retries": 2, "StartPeriod": 10, "Timeout": 3} {
		if got := at(c, "HealthCheck", name); got != want {
			t.Errorf("%s %v, want %d", name, got, want)
		}
	}
	for what, pair := range map[string][2]any{
		"container": {at(c, "Name"), "nginx"}, "port": {at(c, "PortMappings", 0, "ContainerPort"), uint64(10080)},
		"target type": {at(resources, "TargetGroup", "Properties", "TargetType"), "ip"},
		"protocol":    {at(resources, "TargetGroup", "Properties", "Protocol"), "TCP"},
		"listener":    {at(resources, "Listener", "Properties", "Protocol"), "TCP"},
		"balancer":    {at(resources, "Balancer", "Properties", "Type"), "network"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s %v, want %v", what, pair[0], pair[1])
		}
	}
}

// TestReadmeParameters: the commands of README.md give parameters that there are,
// and those that make a stack all that have no default; so does the module's
// example. What else it says of parameters and outputs is there.
func TestReadmeParameters(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, module, _ := strings.Cut(string(text), "```hcl")
	module, _, _ = strings.Cut(module, "```")
	known := map[string]bool{}
	outputs, _ := at(template(t, "castoff.yaml"), "Outputs").(map[string]any)
	for name := range outputs {
		known[name] = true
	}
	made := map[string]bool{}
	for _, command := range regexp.MustCompile(`(?s)--template-file deploy/cloudformation/(\S+) --.*?--parameter-overrides (.*?)(?:\n\$|\n\x60)`).FindAllStringSubmatch(string(text), -1) {
		file := command[1]
		parameters, _ := at(template(t, file), "Parameters").(map[string]any)
		given := map[string]bool{}
		for _, m := range regexp.MustCompile(`(?:^|\s)([A-Z]\w+)=`).FindAllStringSubmatch(command[2], -1) {
			given[m[1]] = true
			if parameters[m[1]] == nil {
				t.Errorf("%s: there is no parameter %s", file, m[1])
			}
			if file == "castoff.yaml" && !made[file] && !regexp.MustCompile(`\n  `+snake(m[1])+` +=`).MatchString(module) {
				t.Errorf("the module is not given %s", snake(m[1]))
			}
		}
		for name, p := range parameters {
			known[name] = true
			if !made[file] && at(p, "Default") == nil && !given[name] {
				t.Errorf("%s: %s has no default and is not given", file, name)
			}
		}
		made[file] = true
	}
	if len(made) != 2 {
		t.Errorf("README.md makes stacks of %v", made)
	}
	for _, m := range regexp.MustCompile("`([A-Z][a-z]+(?:[A-Z][a-z]+)*)(?:=\\w+)?`").FindAllStringSubmatch(string(text), -1) {
		if !known[m[1]] {
			t.Errorf("README.md speaks of %s, which is no parameter and no output", m[1])
		}
	}
}
