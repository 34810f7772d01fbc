package deploy

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTerraformIsTheTemplate: the module has the parameters of the template, with
// its defaults and what it allows, and sets the same things to the same values
// where a reader could not tell that they differ.
func TestTerraformIsTheTemplate(t *testing.T) {
	text, err := os.ReadFile("terraform/variables.tf")
	if err != nil {
		t.Fatal(err)
	}
	parameters, _ := at(template(t, "castoff.yaml"), "Parameters").(map[string]any)
	want := map[string]string{}
	allowed := map[string]string{}
	for name, p := range parameters {
		value := "none"
		if d := at(p, "Default"); d == "" {
			value = "null"
		} else if d != nil {
			value = fmt.Sprint(d)
		}
		want[snake(name)] = value
		if list := texts(at(p, "AllowedValues")); len(list) > 0 && list[0] != "" {
			allowed[snake(name)] = strings.Join(list, " ")
		}
	}
	got, gotAllowed := map[string]string{}, map[string]string{}
	for _, v := range regexp.MustCompile(`(?s)\nvariable "(\w+)" \{\n(.*?)\n\}\n`).FindAllStringSubmatch(string(text), -1) {
		got[v[1]] = "none"
		if d := regexp.MustCompile(`\n  default     = "?(.*?)"?\n`).FindStringSubmatch(v[2] + "\n"); d != nil {
			got[v[1]] = d[1]
		}
		if c := regexp.MustCompile(`contains\(\[(.*)\]`).FindStringSubmatch(v[2]); c != nil {
			gotAllowed[v[1]] = strings.NewReplacer(`"`, "", ",", "").Replace(c[1])
		}
	}
	if len(want) < 10 || !maps.Equal(got, want) {
		t.Errorf("variables and defaults\n%v\nwant\n%v", got, want)
	}
	if !maps.Equal(gotAllowed, allowed) {
		t.Errorf("allowed values\n%v\nwant\n%v", gotAllowed, allowed)
	}
}

// TestTerraformTask: the task definition and the service are the template's.
func TestTerraformTask(t *testing.T) {
	text, err := os.ReadFile("terraform/main.tf")
	if err != nil {
		t.Fatal(err)
	}
	resources := at(template(t, "castoff.yaml"), "Resources")
	c := at(resources, "TaskDefinition", "Properties", "ContainerDefinitions", 0)
	service := at(resources, "Service", "Properties")
	list := func(value any) string { return `["` + strings.Join(texts(value), `", "`) + `"]` }
	sizes := at(template(t, "castoff.yaml"), "Mappings", "Sizes")
	for name, value := range map[string]any{
		"command": "var.state_file_system_id == null ? " + list(at(c, "Command", 2)) + " : " + list(at(c, "Command", 1)), "user": quote(at(c, "User")), "readonlyRootFilesystem": at(c, "ReadonlyRootFilesystem"), "stopTimeout": at(c, "StopTimeout"),
		"healthCheck": fmt.Sprintf("{ command = %s interval = %v timeout = %v retries = %v startPeriod = %v }", list(at(c, "HealthCheck", "Command")),
			at(c, "HealthCheck", "Interval"), at(c, "HealthCheck", "Timeout"), at(c, "HealthCheck", "Retries"), at(c, "HealthCheck", "StartPeriod")),
		"family": "var.name", "name": "var.name", "execution_role_arn": "aws_iam_role.execution.arn skip_destroy = true",
		"mode": quote(at(c, "LogConfiguration", "Options", "mode")), "max-buffer-size": quote(at(c, "LogConfiguration", "Options", "max-buffer-size")),
		"desired_count": at(service, "DesiredCount"), "availability_zone_rebalancing": quote(at(service, "AvailabilityZoneRebalancing")),
		"deployment_minimum_healthy_percent": at(service, "DeploymentConfiguration", "MinimumHealthyPercent"),
		"deployment_maximum_percent":         at(service, "DeploymentConfiguration", "MaximumPercent"),
		"transit_encryption":                 quote(at(resources, "TaskDefinition", "Properties", "Volumes", 0, "EFSVolumeConfiguration", 1, "TransitEncryption")),
		"iam":                                quote(at(resources, "TaskDefinition", "Properties", "Volumes", 0, "EFSVolumeConfiguration", 1, "AuthorizationConfig", "IAM")),
		"uid":                                at(resources, "StateAccessPoint", "Properties", "PosixUser", "Uid"), "gid": at(resources, "StateAccessPoint", "Properties", "PosixUser", "Gid"),
		"owner_uid":   at(resources, "StateAccessPoint", "Properties", "RootDirectory", "CreationInfo", "OwnerUid"),
		"owner_gid":   at(resources, "StateAccessPoint", "Properties", "RootDirectory", "CreationInfo", "OwnerGid"),
		"permissions": quote(at(resources, "StateAccessPoint", "Properties", "RootDirectory", "CreationInfo", "Permissions")),
		"path":        strings.Replace(quote(at(resources, "StateAccessPoint", "Properties", "RootDirectory", "Path")), "${Name}", "${var.name}", 1),
		"small":       fmt.Sprintf("{ cpu = %v, memory = %v }", at(sizes, "small", "Cpu"), at(sizes, "small", "Memory")),
		"medium":      fmt.Sprintf("{ cpu = %v, memory = %v }", at(sizes, "medium", "Cpu"), at(sizes, "medium", "Memory")),
		"large":       fmt.Sprintf("{ cpu = %v, memory = %v }", at(sizes, "large", "Cpu"), at(sizes, "large", "Memory")),
	} {
		if line := fmt.Sprintf("%s = %v ", name, value); !strings.Contains(strings.Join(strings.Fields(string(text)), " "), line) {
			t.Errorf("main.tf has no %s", line)
		}
	}
}

// TestTerraformRights: beyond deploy/iam, the module gives the actions that the
// template gives.
func TestTerraformRights(t *testing.T) {
	action := regexp.MustCompile(`"?\b((?:ecr|elasticfilesystem|logs|ssm|sts):[A-Z]\w+)(?:"|[\s,\]])`)
	of := func(file string) []string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, m := range action.FindAllStringSubmatch(string(text), -1) {
			if m[1] != "elasticfilesystem:AccessPointArn" {
				found[m[1]] = true
			}
		}
		return slices.Sorted(maps.Keys(found))
	}
	got, want := of("terraform/roles.tf"), of("cloudformation/castoff.yaml")
	if len(want) < 8 || !slices.Equal(got, want) {
		t.Errorf("terraform gives %q, the template %q", got, want)
	}
	text, err := os.ReadFile("terraform/roles.tf")
	if err != nil {
		t.Fatal(err)
	}
	for _, policy := range []string{"observe", "detach"} {
		if !strings.Contains(string(text), `/../iam/`+policy+`.json"), "arn:aws:", "${local.arn}:")`) {
			t.Errorf("policy %s is not that of deploy/iam", policy)
		}
	}
}

func quote(value any) string { return fmt.Sprintf("%q", value) }

// snake is VpcId as vpc_id.
func snake(name string) string {
	return strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(name, "${1}_${2}"))
}
