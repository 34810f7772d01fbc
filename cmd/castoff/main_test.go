package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/sim"
)

var update = flag.Bool("update", false, "rewrite the golden files and the tables of README.md that are measured")

// asCastoff has the test binary be castoff itself: signals, exit codes and
// traces of a real process need one.
const asCastoff = "CASTOFF_TEST_BINARY_IS_CASTOFF"

func TestMain(m *testing.M) {
	if os.Getenv(asCastoff) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// cleanEnv is an environment with nothing of this machine's AWS settings in it,
// and nothing that would make the SDK look beyond this machine.
func cleanEnv(t *testing.T) map[string]string {
	env := map[string]string{configEnv: ""}
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "ECS_") {
			env[name] = ""
		}
	}
	nowhere := filepath.Join(t.TempDir(), "none")
	env["AWS_CONFIG_FILE"], env["AWS_SHARED_CREDENTIALS_FILE"] = nowhere, nowhere
	env["AWS_EC2_METADATA_DISABLED"] = "true"
	return env
}

// awsEnv lets castoff use AWS at an endpoint. One attempt a call: retries only
// take time here.
func awsEnv(t *testing.T, endpoint string) map[string]string {
	env := cleanEnv(t)
	env["AWS_REGION"], env["AWS_ENDPOINT_URL"] = sim.RegionName, endpoint
	env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = "AKIDEXAMPLE", "not-a-secret"
	env["AWS_MAX_ATTEMPTS"] = "1"
	return env
}

// region serves a calm region with the reference workload in cluster prod.
func region(t *testing.T) (*sim.Region, *httptest.Server) {
	r := sim.New(sim.Options{Seed: 1})
	if err := errors.Join(r.AddCluster("prod", sim.ClusterOptions{}), r.AddService(sim.ReferenceWorkload("prod", "grpc"))); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, server
}

// outcome is what a command did.
type outcome struct {
	code     int
	out, err string
}

// castoff runs a command in this process.
func castoff(t *testing.T, env map[string]string, args ...string) outcome {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value)
	}
	var out, err bytes.Buffer
	code := run(t.Context(), args, streams{out: &out, err: &err})
	return outcome{code, out.String(), err.String()}
}

// process is a running castoff.
type process struct {
	*exec.Cmd
	log  *tail
	done chan struct{} // closed when it has ended
}

func start(t *testing.T, env map[string]string, args ...string) *process {
	t.Helper()
	return startWith(t, nil, nil, env, args...)
}

func startWith(t *testing.T, in io.Reader, out io.Writer, env map[string]string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.CommandContext(t.Context(), self, args...), log: new(tail), done: make(chan struct{})}
	p.Stdin, p.Stdout, p.Stderr = in, out, p.log
	p.Env = append(os.Environ(), asCastoff+"=1")
	for name, value := range env {
		p.Env = append(p.Env, name+"="+value)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.Wait() // its exit code is read from ProcessState
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.done
	})
	return p
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// ended waits for the end and is the exit code and how long it took.
func (p *process) ended(t *testing.T, within time.Duration) (int, time.Duration) {
	t.Helper()
	began := time.Now()
	select {
	case <-p.done:
		return p.ProcessState.ExitCode(), time.Since(began)
	case <-time.After(within):
		t.Fatalf("still running after %s:\n%s", within, p.log)
		return 0, 0
	}
}

// tail is a log that is being written.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// line waits for a line of the log by its message.
func (l *tail) line(t *testing.T, msg string) map[string]any {
	t.Helper()
	var found map[string]any
	eventually(t, 20*time.Second, func() bool {
		for text := range strings.Lines(l.String()) {
			var fields map[string]any
			if json.Unmarshal([]byte(text), &fields) == nil && fields["msg"] == msg {
				found = fields
				return true
			}
		}
		return false
	}, func() string { return "no line " + msg + " in\n" + l.String() })
	return found
}

// eventually waits until something is so.
func eventually(t *testing.T, within time.Duration, so func() bool, otherwise func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", within, otherwise())
		case <-ticker.C:
		}
	}
}

// get is one answer of castoff's own server.
func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// golden compares with a file of testdata, or rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", file, got)
	}
}

// One flag is enough: what must not be shorter than the interval follows it, and what
// must not be longer.
func TestIntervalBringsTheOthersAlong(t *testing.T) {
	t.Setenv(configEnv, "")
	for _, interval := range []time.Duration{time.Second, 4 * time.Minute} {
		cfg, err := runCmd{Interval: &interval}.settle()
		if err != nil {
			t.Fatalf("%s: %v", interval, err)
		}
		p := cfg.Polling
		if p.Interval != interval || p.HotInterval > interval || p.CalmInterval < interval || p.DiscoveryInterval < interval || p.InventoryInterval < interval {
			t.Errorf("%s: %+v", interval, p)
		}
	}
}
