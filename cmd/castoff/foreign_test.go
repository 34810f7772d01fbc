package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Clients that know nothing of castoff work on castoff region. make conformance brings
// them; without it these tests are skipped.
func foreign(t *testing.T, args ...string) *rehearsed {
	t.Helper()
	if os.Getenv("CASTOFF_FOREIGN") == "" {
		t.Skip("NO FOREIGN CLIENT IS RUN AGAINST castoff region: make conformance does that")
	}
	r := rehearse(t, append([]string{"--speed", "60"}, args...)...)
	r.env["HOME"] = t.TempDir()
	return r
}

// ask runs a client in the region's environment.
func (r *rehearsed) ask(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); r.env[name] == "" && !strings.HasPrefix(name, "AWS_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	for name, value := range r.env {
		if value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	var told strings.Builder
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s\n%s", name, args, err, told.String(), r.log)
	}
	return string(out)
}

// The AWS CLI scales a service, waits for it, and reads what it did.
func TestForeignRegionCLI(t *testing.T) {
	r := foreign(t)
	aws := func(line string) string {
		t.Helper()
		// Debian's is older than AWS_ENDPOINT_URL.
		return strings.TrimSpace(r.ask(t, "aws", append(strings.Fields(line), "--endpoint-url", r.endpoint, "--output", "text")...))
	}
	t.Log(strings.TrimSpace(r.ask(t, "aws", "--version")))
	arn := aws("ecs update-service --cluster demo --service grpc --desired-count 7 --query service.serviceArn")
	aws("ecs wait services-stable --cluster demo --services grpc web worker")
	group := aws("ecs describe-services --cluster demo --services grpc --query services[0].loadBalancers[0].targetGroupArn")
	aws("elbv2 wait target-in-service --target-group-arn " + group)
	aws("ecs tag-resource --resource-arn " + arn + " --tags key=castoff:mode,value=detach")
	for line, want := range map[string]string{
		"ecs describe-services --cluster demo --services grpc --query services[0].[desiredCount,runningCount]":                      `^7\s+7$`,
		"ecs describe-services --cluster demo --services grpc --query services[0].events[?contains(message,'started')]|[0].message": `^\(service grpc\) has started 1 tasks: \(task [0-9a-f]{32}\)\.$`,
		"ecs list-tags-for-resource --resource-arn " + arn + " --query tags[0].value":                                               `^detach$`,
		"elbv2 describe-target-health --target-group-arn " + group + " --query length(TargetHealthDescriptions)":                    `^7$`,
	} {
		if got := aws(line); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: %q, want %s", line, got, want)
		}
	}
}

// boto3's waiters end when they should.
func TestForeignRegionBoto3(t *testing.T) {
	r := foreign(t, "--tasks", "3")
	python := ""
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), name, "-c", "import boto3").Run() == nil {
			python = name
			break
		}
	}
	if python == "" {
		t.Fatal("no python3 has boto3: on Debian, apt-get install python3-boto3")
	}
	r.env["AWS_ENDPOINT_URL"] = "" // what Debian's is too old for is given as an argument
	var got struct {
		Boto3           string
		Account, Newest string
		Tasks, Kept     int
		Addresses       int
	}
	if err := json.Unmarshal([]byte(r.ask(t, python, "testdata/foreign.py", r.endpoint)), &got); err != nil {
		t.Fatal(err)
	}
	t.Logf("boto3 %s", got.Boto3)
	// Four tasks of grpc, three of web and of worker; those of the old deployment may be on their way out.
	if got.Account != "123456789012" || got.Tasks != 4 || got.Kept != 0 || got.Addresses < 10 || !strings.HasPrefix(got.Newest, "(service grpc) ") {
		t.Errorf("%+v", got)
	}
}

// Prometheus finds every task by the region's environment alone.
func TestForeignRegionPrometheus(t *testing.T) {
	r := foreign(t)
	discovery, err := filepath.Abs("../../.cache/conformance/prometheus/discovery")
	if err != nil {
		t.Fatal(err)
	}
	var targets []map[string]string
	if err := json.Unmarshal([]byte(r.ask(t, discovery)), &targets); err != nil {
		t.Fatal(err)
	}
	services := map[string]int{}
	for _, labels := range targets {
		if labels["__address__"] != labels["__meta_ecs_ip_address"]+":9468" || labels["__meta_ecs_cluster"] != "demo" || labels["__meta_ecs_network_mode"] != "awsvpc" || labels["__meta_ecs_health_status"] == "" {
			t.Errorf("%v", labels)
		}
		services[labels["__meta_ecs_service"]]++
	}
	if got := fmt.Sprint(services); got != "map[grpc:6 web:6 worker:6]" {
		t.Error(got)
	}
}
