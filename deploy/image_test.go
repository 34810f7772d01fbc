// Package deploy is what runs castoff for real: templates, alerts, dashboards,
// runbooks. It has no code, only tests of all that.
package deploy

import (
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

var imageDir = flag.String("image", "", "a directory that deploy/check/image.sh made: try the image in it")

// sizeLimit is what the image may hold, in bytes.
const sizeLimit = 27_000_000

// TestImage: the image has castoff and what castoff needs, and nothing else.
func TestImage(t *testing.T) {
	if *imageDir == "" {
		t.Skip("no -image: make image builds it and runs this")
	}
	i := openImage(t, *imageDir)
	if want := fmt.Sprintf("%d:%[1]d", nobody); i.config.User != want {
		t.Errorf("user %q, want %s", i.config.User, want)
	}
	for name, pair := range map[string][2][]string{
		"entry point":  {i.config.Entrypoint, {"/castoff"}},
		"command":      {i.config.Cmd, {"run"}},
		"health check": {i.config.Healthcheck.Test, {"CMD", "/castoff", "healthcheck"}},
		"ports":        {slices.Collect(maps.Keys(i.config.ExposedPorts)), {"9468/tcp"}},
		"volumes":      {slices.Collect(maps.Keys(i.config.Volumes)), {"/state"}},
	} {
		if !slices.Equal(pair[0], pair[1]) {
			t.Errorf("%s %q, want %q", name, pair[0], pair[1])
		}
	}
	for label, want := range map[string]string{"title": "^castoff$", "licenses": "^Apache-2.0$", "version": `^\d+\.\d+\.\d+`, "revision": "^[0-9a-f]{40}$", "source": "^https://", "description": " "} {
		if got := i.config.Labels["org.opencontainers.image."+label]; !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("label %s is %q", label, got)
		}
	}
	files := i.files(t)
	var size int64
	for _, f := range files {
		size += f.size
		if f.mode&(os.ModeSetuid|os.ModeSetgid) != 0 || f.mode.Perm()&0o002 != 0 {
			t.Errorf("mode %s", f.mode)
		}
	}
	if got, want := slices.Sorted(maps.Keys(files)), []string{"/castoff", "/etc", "/etc/ssl", "/etc/ssl/certs", "/etc/ssl/certs/ca-certificates.crt", "/state"}; !slices.Equal(got, want) {
		t.Errorf("the image has %q, want %q", got, want)
	}
	t.Logf("linux/%s: %.1f MB", i.arch, float64(size)/1e6)
	if size > sizeLimit {
		t.Errorf("%d bytes, limit %d", size, sizeLimit)
	}
	binary, err := elf.Open(filepath.Join(i.rootfs, "castoff"))
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[i.arch]; binary.Machine != want {
		t.Errorf("a binary for %s in an image for %s", binary.Machine, i.arch)
	}
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary is not static")
		}
	}
}

// TestImageBroken: what is wrong with an image is found.
func TestImageBroken(t *testing.T) {
	if *imageDir == "" {
		t.Skip("no -image: make image builds it and runs this")
	}
	edit := func(find, replace string) func(string) error {
		return func(dir string) error {
			text, err := os.ReadFile(filepath.Join(dir, "inspect.json"))
			if err != nil || !strings.Contains(string(text), find) {
				return fmt.Errorf("no %s: %w", find, err)
			}
			return os.WriteFile(filepath.Join(dir, "inspect.json"), []byte(strings.ReplaceAll(string(text), find, replace)), 0o600)
		}
	}
	for _, b := range []struct {
		what, says string
		breaks     func(dir string) error
	}{
		{"root as user", `user "0:0"`, edit(`"65532:65532"`, `"0:0"`)},
		{"a health check by a shell", "health check", edit(`"CMD",`, `"CMD-SHELL",`)},
		{"no version", "label version", edit(`"org.opencontainers.image.version"`, `"org.opencontainers.image.release"`)},
		{"a shell", "/bin/sh", func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/rootfs/bin", 0o755), os.WriteFile(dir+"/rootfs/bin/sh", nil, 0o755)) //nolint:gosec // it is to be found
		}},
		{"too large", "limit 27000000", func(dir string) error { return os.Truncate(dir+"/rootfs/castoff", sizeLimit) }},
		{"a binary for another platform", "in an image for", edit(`"architecture": "`+openImage(t, *imageDir).arch+`"`, `"architecture": "s390x"`)},
		{"no CA roots", "ca-certificates.crt", func(dir string) error {
			return os.Remove(dir + "/rootfs/etc/ssl/certs/ca-certificates.crt")
		}},
		{"a file that everybody may write", "mode", func(dir string) error { return os.Chmod(dir+"/rootfs/state", 0o777) }}, //nolint:gosec // it is to be found
	} {
		t.Run(b.what, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.CopyFS(dir, os.DirFS(*imageDir)), b.breaks(dir))
			out, err := exec.Command(os.Args[0], "-test.run", "^TestImage$", "-image", dir).CombinedOutput()
			if err == nil || !strings.Contains(string(out), b.says) {
				t.Errorf("not caught: %v, and it does not say %q:\n%s", err, b.says, out)
			}
		})
	}
}

// TestImageRuns runs the image as a task definition would, with a read-only root
// and without root's rights, against a simulated region: castoff observes,
// detaches, lives, hangs and stops. Then it runs it with a root that it may
// write to, to see that it leaves nothing there.
func TestImageRuns(t *testing.T) {
	if *imageDir == "" {
		t.Skip("no -image: make image builds it and runs this")
	}
	i := openImage(t, *imageDir)
	if i.arch != runtime.GOARCH {
		t.Skipf("built for %s: this machine cannot run it", i.arch)
	}
	t.Run("version", func(t *testing.T) {
		r := container{image: i, args: []string{"version"}}.run(t)
		code, label := r.ended(t, 20*time.Second), i.config.Labels
		if want := fmt.Sprintf("castoff %s (revision %s)\n", label["org.opencontainers.image.version"], label["org.opencontainers.image.revision"]); code != 0 || r.log.String() != want {
			t.Errorf("exit code %d, said %q, want %q", code, r.log, want)
		}
	})
	c, check := ofTask(t, i)
	t.Run("as the task definition says", func(t *testing.T) { detaches(t, c, check) })
	t.Run("writable root", func(t *testing.T) {
		c.writable = true
		c.rootfs = filepath.Join(t.TempDir(), "rootfs")
		if err := os.CopyFS(c.rootfs, os.DirFS(i.rootfs)); err != nil {
			t.Fatal(err)
		}
		for name := range i.files(t) {
			if err := os.Chown(c.rootfs+name, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(c.rootfs, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		before := c.files(t)
		detaches(t, c, check)
		if after := c.files(t); !maps.Equal(before, after) {
			t.Errorf("before %v\nafter  %v", before, after)
		}
	})
}

// inContainer is a configuration that leaves the test no long waits. Nothing of
// it makes castoff bolder: one of three targets may go.
const inContainer = `
clusters: [prod]
mode: detach
polling: {interval: 1s, hot_interval: 1s, calm_interval: 1s, discovery_interval: 1s, inventory_interval: 10s, deadline: 1s}
limits: {startup: 10s}
web: {listen: "%s"}
`

// detaches is castoff's life in a container, check its health check.
func detaches(t *testing.T, c container, check []string) {
	t.Helper()
	region := sim.New(sim.Options{Seed: 1, Speed: 5})
	spec := sim.ReferenceWorkload("prod", "grpc")
	spec.Desired = 3
	spec.Groups[0].Attributes = map[string]string{"load_balancing.cross_zone.enabled": "true"} // or a zone's last target stays
	if err := errors.Join(region.AddCluster("prod", sim.ClusterOptions{}), region.AddService(spec)); err != nil {
		t.Fatal(err)
	}
	aws := httptest.NewServer(region)
	t.Cleanup(aws.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	c.state = t.TempDir()
	if err := os.Chown(c.state, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	c.env = map[string]string{
		"CASTOFF_CONFIG": fmt.Sprintf(inContainer, address),
		"AWS_REGION":     sim.RegionName, "AWS_ENDPOINT_URL": aws.URL,
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_EC2_METADATA_DISABLED": "true",
		"TZ": "Asia/Kathmandu", // UTC+05:45: no zone by chance
	}
	began := time.Now()
	r := c.run(t)
	says := func(what string) {
		t.Helper()
		eventually(t, 90*time.Second, func() bool { return strings.Contains(r.log.String(), what) }, func() string { return "no " + what + " in\n" + r.log.String() })
	}
	says("castoff is running")
	t.Logf("running after %s", time.Since(began).Round(time.Millisecond))
	if !strings.Contains(r.log.String(), "+05:45") {
		t.Errorf("the time zone is not known:\n%s", r.log)
	}
	if code, said := r.exec(t, check...); code != 0 {
		t.Errorf("health check: %d %s", code, said)
	}
	metrics := "http://" + address + "/metrics"
	eventually(t, 60*time.Second, func() bool {
		_, text := get(t, metrics)
		return sum(string(text), `castoff_targets\{.*state="healthy"`) == 3
	}, func() string { return "castoff does not see three healthy targets:\n" + r.log.String() })
	process := r.process(t)
	for _, want := range []string{"Uid:\t65532\t65532\t65532\t65532\n", "Gid:\t65532\t65532\t65532\t65532\n", "CapPrm:\t0000000000000000\n", "NoNewPrivs:\t1\n"} {
		if !strings.Contains(process, want) {
			t.Errorf("castoff runs without %q:\n%s", want, process)
		}
	}

	sick := region.Tasks(fleet.ServiceID{Cluster: "prod", Name: "grpc"})[0]
	if err := region.Hang(sick.ARN); err != nil {
		t.Fatal(err)
	}
	eventually(t, 90*time.Second, func() bool {
		truth := region.Truth()
		return len(truth) > 0 && truth[0].Targets[0].By != ""
	}, r.log.String)
	if truth := region.Truth()[0]; truth.Task != sick.ARN || truth.Targets[0].By != sim.ByAPI {
		t.Errorf("%s was deregistered by %s:\n%s", truth.Task.ID(), truth.Targets[0].By, r.log)
	}

	eventually(t, 30*time.Second, func() bool {
		_, text := get(t, metrics)
		return sum(string(text), "castoff_timelines_open") == 1
	}, func() string { return "castoff took a target out and does not time it:\n" + r.log.String() })

	// As when a deployment starts the next one before this one is gone.
	second := c
	second.env = maps.Clone(c.env)
	second.env["CASTOFF_CONFIG"] = fmt.Sprintf(inContainer, "127.0.0.1:0")
	next := second.run(t)
	if code := next.ended(t, 30*time.Second); code != 6 || !strings.Contains(next.log.String(), "pid 1 on ") {
		t.Errorf("a second castoff on the same state: exit code %d:\n%s", code, next.log)
	}

	r.kill(t, "STOP") // as an app that hangs
	if code, said := r.exec(t, check...); code != 1 || !strings.Contains(said, "does not answer within") {
		t.Errorf("health check of a castoff that hangs: %d %s", code, said)
	}
	r.kill(t, "CONT")
	if code, said := r.exec(t, check...); code != 0 {
		t.Errorf("health check after that: %d %s", code, said)
	}
	r.kill(t, "TERM")
	if code := r.ended(t, 10*time.Second); code != 0 {
		t.Errorf("exit code %d:\n%s", code, r.log)
	}
	kept, err := os.ReadDir(c.state)
	if err != nil || len(kept) == 0 {
		t.Errorf("state: %v, %v", kept, err)
	}
}
