//go:build linux

package lab

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/sim"
)

// TestReferenceWorkload: the lab's nginx and probe are the reference workload's.
func TestReferenceWorkload(t *testing.T) {
	t.Parallel()
	read := func(file string) string {
		text, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if read("deploy/cloudformation/reference-workload/nginx.conf") != nginxConf {
		t.Error("nginx.conf is not the reference workload's: copy it here")
	}
	for file, version := range map[string]string{
		"deploy/cloudformation/reference-workload/Dockerfile": `grpc-health-probe:(v\S+)`,
		"Makefile":  `(?m)^PROBE_VERSION := (v\S+)`,
		"README.md": `grpc-health-probe@(v\S+)`,
	} {
		if m := regexp.MustCompile(version).FindStringSubmatch(read(file)); len(m) != 2 || m[1] != ProbeVersion {
			t.Errorf("%s: grpc-health-probe %v, here %s", file, m, ProbeVersion)
		}
	}
	if want := "\nPROBE := " + strings.Replace(Pinned, ProbeVersion, "$(PROBE_VERSION)", 1) + "\n"; !strings.Contains(read("Makefile"), want) {
		t.Errorf("the Makefile does not say%s", want)
	}
	template := read("deploy/cloudformation/reference-workload.yaml")
	command := sim.ReferenceWorkload("lab", "grpc").Containers[0].Check.Command
	if want := `[CMD-SHELL, "` + command[1] + `"]`; !strings.Contains(template, want) {
		t.Errorf("the template's health check is not %s", want)
	}
}

// TestConfigure: only addresses, paths and the number of workers are other ones.
func TestConfigure(t *testing.T) {
	t.Parallel()
	got := configure(nginxConf, "127.41.1.9", "/var/lab")
	back := strings.NewReplacer("listen 127.41.1.9:10080", "listen 10080", "server 127.41.1.9:8080", "server 127.0.0.1:8080", "/var/lab/", "/tmp/",
		"access_log /dev/null", "access_log /dev/stdout", "worker_processes 2", "worker_processes auto").Replace(got)
	if back != nginxConf {
		t.Errorf("more is different than addresses, paths and the number of workers:\n%s", got)
	}
	for _, left := range []string{"/tmp/", "127.0.0.1", "listen 10080", "/dev/stdout", "auto"} {
		if strings.Contains(got, left) {
			t.Errorf("%s is still there", left)
		}
	}
}

func TestShortened(t *testing.T) {
	t.Parallel()
	was := sim.DefaultParams()
	is := shortened(was, 10)
	if is.PropagationDeregister != (sim.Range{Min: 10 * time.Second, Median: 12 * time.Second, Max: 14 * time.Second}) ||
		is.Tick != time.Second || is.InitialPassesALB != was.InitialPassesALB || is.DetachCures != was.DetachCures {
		t.Errorf("%+v", is)
	}
	if was.Tick != 10*time.Second {
		t.Error("the defaults have changed as well")
	}
}

func TestFindTools(t *testing.T) {
	path, pinned := t.TempDir(), t.TempDir()+"/probe"
	t.Setenv("PATH", path)
	_, err := FindTools(pinned)
	if err == nil || !strings.Contains(err.Error(), "go install github.com/grpc-ecosystem/grpc-health-probe@"+ProbeVersion) {
		t.Errorf("%v", err)
	}
	program := func(path string) {
		if err := os.WriteFile(path, nil, 0o755); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	program(path + "/nginx")
	program(path + "/grpc-health-probe")
	tools, err := FindTools(pinned)
	if err != nil || tools.Probe != path+"/grpc-health-probe" || tools.Nginx != path+"/nginx" {
		t.Errorf("%+v, %v", tools, err)
	}
	program(pinned)
	if tools, err = FindTools(pinned); err != nil || tools.Probe != pinned {
		t.Errorf("%+v, %v: the pinned one is not preferred", tools, err)
	}
	if got := tools.ProbeIs(); got != "" {
		t.Errorf("an empty file is version %s", got)
	}
}
