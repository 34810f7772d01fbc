package main

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// inbox is a receiver on this machine.
type inbox struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []string // paths, each with the event
}

func newInbox(t *testing.T) *inbox {
	b := &inbox{status: http.StatusOK}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var message struct{ Type, Text string }
		_ = json.Unmarshal(body, &message) // Slack's has no type
		b.mu.Lock()
		defer b.mu.Unlock()
		b.got = append(b.got, r.URL.Path+" "+message.Type+message.Text)
		w.WriteHeader(b.status)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *inbox) all() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.got, "\n")
}

const receivers = `
notifications:
- {name: sre, kind: slack, url_env: SLACK_URL}
- {name: gateway, kind: webhook, url_env: HOOK_URL, secret_env: HOOK_SECRET, exposed_for: 1s, headers: [{name: Authorization, value_env: HOOK_TOKEN}]}
`

// secrets are where those receivers are, and what they trust.
func secrets(env map[string]string, b *inbox) map[string]string {
	env["SLACK_URL"], env["HOOK_URL"] = b.URL+"/slack/hunter-path", b.URL+"/hook?key=hunter-key"
	env["HOOK_SECRET"], env["HOOK_TOKEN"] = "aHVudGVyLXNlY3JldC1odW50ZXItc2VjcmV0", "Bearer hunter-token"
	env["HTTP_PROXY"], env["HTTPS_PROXY"], env["NO_PROXY"] = "", "", ""
	return env
}

// TestNotifies: the real daemon tells of a task that hangs, and nowhere of a
// secret.
func TestNotifies(t *testing.T) {
	t.Parallel()
	r := sim.New(sim.Options{Seed: 1, Speed: 10})
	if err := errors.Join(r.AddCluster("prod", sim.ClusterOptions{}), r.AddService(sim.ReferenceWorkload("prod", "grpc"))); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	b := newInbox(t)
	env := secrets(awsEnv(t, server.URL), b)
	env[configEnv] = quick + receivers
	p := start(t, env, "run", "--log-level", "debug")
	address, _ := p.log.line(t, "castoff is running")["listen"].(string)
	url := "http://" + address
	ready(t, p, url, http.StatusOK)
	if err := r.Hang(r.Tasks(fleet.ServiceID{Cluster: "prod", Name: "grpc"})[0].ARN); err != nil {
		t.Fatal(err)
	}
	eventually(t, 60*time.Second, func() bool { return strings.Contains(b.all(), "/hook exposed") },
		func() string { return "told: " + b.all() + "\n" + p.log.String() })
	eventually(t, 5*time.Second, func() bool {
		_, body := get(t, url+"/metrics")
		return strings.Contains(body, `castoff_notifications_total{event="exposed",receiver="gateway",result="sent"} 1`)
	}, func() string { _, body := get(t, url+"/metrics"); return body })
	var seen strings.Builder
	for _, path := range []string{"/castoff", "/api/v1/status", "/metrics"} {
		_, body := get(t, url+path)
		seen.WriteString(body)
	}
	p.signal(t, syscall.SIGTERM)
	if code, _ := p.ended(t, grace); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	seen.WriteString(p.log.String())
	for _, secret := range []string{"hunter", env["HOOK_SECRET"]} {
		if strings.Contains(seen.String(), secret) {
			t.Errorf("%s is told:\n%s", secret, seen.String())
		}
	}
	if !strings.Contains(seen.String(), "gateway") {
		t.Error("the page does not have the receivers")
	}
}

// TestNotifiesWithoutSecrets: what a receiver needs and is not there ends castoff
// at once, with its place.
func TestNotifiesWithoutSecrets(t *testing.T) {
	env := cleanEnv(t)
	env[configEnv], env["SLACK_URL"] = receivers, "hunter"
	got := castoff(t, env, "run")
	for _, want := range []string{
		"castoff: notifications[0].url_env: must have in it an http or https URL without a fragment\n",
		"castoff: notifications[1].secret_env: must name an environment variable that is set, \"HOOK_SECRET\" is not\n",
	} {
		if !strings.Contains(got.err, want) {
			t.Errorf("said %s, want %s", got.err, want)
		}
	}
	if got.code != exitConfig || strings.Contains(got.err, "hunter") {
		t.Errorf("exit code %d: %s", got.code, got.err)
	}
}

func TestCheckSendsATest(t *testing.T) {
	b := newInbox(t)
	env := secrets(cleanEnv(t), b)
	file := write(t, "castoff.yaml", "region: eu-central-1\n"+receivers)
	if got := castoff(t, env, "check", file); got.code != exitOK || b.all() != "" {
		t.Errorf("sent unasked: %+v, %s", got, b.all())
	}
	got := castoff(t, env, "check", "--send-test", file)
	if want := file + " is good\nreceiver sre has taken the test message\nreceiver gateway has taken the test message\n"; got.code != exitOK || got.out != want {
		t.Errorf("exit code %d: %s%s", got.code, got.out, got.err)
	}
	if want := "/slack/hunter-path a test message of castoff (eu-central-1)\nSomebody asked for it. Nothing has happened.\n/hook test"; b.all() != want {
		t.Errorf("sent %s", b.all())
	}
	b.status = http.StatusForbidden
	got = castoff(t, env, "check", "--send-test", file)
	const want = "castoff: receiver sre has not taken the test message: answered 403 Forbidden\ncastoff: receiver gateway has not taken the test message: answered 403 Forbidden\n"
	if got.code != exitFailed || got.err != want {
		t.Errorf("exit code %d: %s", got.code, got.err)
	}
	if got := castoff(t, env, "check", "--send-test", write(t, "none.yaml", "")); got.code != exitFailed || !strings.Contains(got.err, "no notifications") {
		t.Errorf("with nobody to send to: %+v", got)
	}
}

// TestNotifiesThroughAProxy: the environment's proxies are asked, and the
// certificates of AWS_CA_BUNDLE trusted. Go remembers the proxies of the first
// look, so that it takes a process.
func TestNotifiesThroughAProxy(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.String() }))
	defer proxy.Close()
	env := cleanEnv(t)
	env["HTTP_PROXY"], env["NO_PROXY"] = proxy.URL, ""
	file := write(t, "castoff.yaml", "notifications: [{name: sre, kind: slack, url: 'http://hooks.example.com/hunter'}]\n")
	p := start(t, env, "check", "--send-test", file)
	if code, _ := p.ended(t, 20*time.Second); code != exitOK {
		t.Fatalf("exit code %d: %s", code, p.log)
	}
	if got := <-asked; got != "http://hooks.example.com/hunter" {
		t.Errorf("the proxy was asked for %s", got)
	}
}

func TestNotifiesTrustsTheBundle(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	env := cleanEnv(t)
	env["HTTPS_PROXY"] = ""
	file := write(t, "castoff.yaml", fmt.Sprintf("notifications: [{name: sre, kind: slack, url: '%s/hunter'}]\n", server.URL))
	if got := castoff(t, env, "check", "--send-test", file); got.code != exitFailed || !strings.Contains(got.err, "certificate") || strings.Contains(got.err, "hunter") {
		t.Errorf("without the bundle: %+v", got)
	}
	env["AWS_CA_BUNDLE"] = write(t, "bundle.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	if got := castoff(t, env, "check", "--send-test", file); got.code != exitOK {
		t.Errorf("with the bundle: %+v", got)
	}
	env["AWS_CA_BUNDLE"] = write(t, "bundle.pem", "hunter")
	if got := castoff(t, env, "check", "--send-test", file); got.code != exitFailed || !strings.Contains(got.err, "AWS_CA_BUNDLE: there is no certificate in") {
		t.Errorf("with a bundle that is none: %+v", got)
	}
}
