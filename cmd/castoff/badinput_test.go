package main

import (
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/sim"
)

// mistake is a command that cannot be carried out.
type mistake struct {
	name string
	env  func(t *testing.T) map[string]string // nil: a clean one
	args []string
	code int
	says []string // parts of the one line; of each line in order where there are more
	more int      // lines besides the first
	not  string   // must not be said
}

func (m mistake) check(t *testing.T) {
	t.Helper()
	env := cleanEnv(t)
	if m.env != nil {
		env = m.env(t)
	}
	got := castoff(t, env, m.args...)
	if got.code != m.code {
		t.Errorf("exit code %d, want %d", got.code, m.code)
	}
	m.clear(t, got.err)
	if got.out != "" {
		t.Errorf("on the standard output: %s", got.out)
	}
}

// clear checks that a message is what its reader can use. What was logged on the
// way to it does not count.
func (m mistake) clear(t *testing.T, text string) {
	t.Helper()
	lines := slices.DeleteFunc(strings.Split(strings.TrimSuffix(text, "\n"), "\n"), func(line string) bool {
		return strings.HasPrefix(line, `{"time":`)
	})
	if len(lines) != 1+m.more {
		t.Errorf("%d lines, want %d", len(lines), 1+m.more)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "castoff: ") || len(line) > 420 {
			t.Errorf("not one clear line (%d bytes): %s", len(line), line)
		}
	}
	for _, noise := range []string{"goroutine", "panic", "operation error", "%!", "<nil>", "not-a-secret", "\t", "\x1b", "\x00", "\u009b", "\u202e"} {
		if strings.Contains(text, noise) {
			t.Errorf("has %q", noise)
		}
	}
	if m.not != "" && strings.Contains(text, m.not) {
		t.Errorf("says %q", m.not)
	}
	for _, s := range m.says {
		if !strings.Contains(text, s) {
			t.Errorf("does not say %q", s)
		}
	}
	if t.Failed() {
		t.Logf("said:\n%s", text)
	}
}

func TestCommandLineMistakes(t *testing.T) {
	bad := write(t, "bad.yaml", "polling: {interval: 1ms, pace: 3}\n")
	empty := write(t, "empty.yaml", "")
	clear := write(t, "web.yml", "basic_auth_users: {ops: not-a-secret}\n")
	for _, m := range []mistake{
		{name: "no command", code: exitUsage, says: []string{"no command", "run, replay, demo, region, simulate, ", "--help"}},
		{name: "unknown command", args: []string{"watch"}, code: exitUsage, says: []string{"watch", "castoff --help"}},
		{name: "unknown flag", args: []string{"run", "--bogus"}, code: exitUsage, says: []string{"unknown flag --bogus", "castoff run --help"}},
		{name: "left over", args: []string{"run", "now"}, code: exitUsage, says: []string{"unexpected argument now"}},
		{name: "interval without unit", args: []string{"run", "--interval", "5"}, code: exitUsage, says: []string{"--interval", "5"}},
		{name: "interval of nothing", args: []string{"run", "--interval", "0s"}, code: exitUsage, says: []string{"--interval: must be between 1s and 5m (got 0s)"}},
		{name: "interval below 0", args: []string{"run", "--interval=-5s"}, code: exitUsage, says: []string{"--interval: must be between 1s and 5m (got -5s)"}},
		{name: "interval too long", args: []string{"run", "--interval", "2h"}, code: exitUsage, says: []string{"--interval: must be between 1s and 5m"}},
		{name: "bad listen", args: []string{"run", "--listen", "nowhere"}, code: exitUsage, says: []string{"--listen: must be host:port", "nowhere"}},
		{
			name: "bad log", args: []string{"run", "--log-level", "loud", "--log-format", "xml"}, code: exitUsage, more: 1,
			says: []string{"--log-level: must be one of debug, info, warn, error", "--log-format: must be one of json, text"},
		},
		{name: "bad cluster", args: []string{"run", "--cluster", "a b"}, code: exitUsage, says: []string{"--cluster", "a b"}},
		{name: "bad region", args: []string{"run", "--region", "Frankfurt"}, code: exitUsage, says: []string{"--region", "Frankfurt"}},
		{name: "cluster of nothing", args: []string{"run", "--cluster", ""}, code: exitUsage, says: []string{"--cluster must name a cluster"}},
		{name: "a cluster and nothing", args: []string{"run", "--cluster", "prod,"}, code: exitUsage, says: []string{"--cluster must name a cluster"}},
		{name: "region of nothing", args: []string{"run", "--region="}, code: exitUsage, says: []string{"--region must name an AWS region"}},
		{name: "configuration of nothing", args: []string{"run", "--config", ""}, code: exitUsage, says: []string{"--config must name a file"}},
		{
			name: "addresses of nothing", args: []string{"run", "--listen", "", "--web.config.file", ""}, code: exitUsage, more: 1,
			says: []string{"--listen must name an address", "--web.config.file must name a file"},
		},
		{name: "log level of nothing", args: []string{"run", "--log-level", ""}, code: exitUsage, says: []string{"--log-level: must be one of"}},
		{name: "check nothing", args: []string{"check", ""}, code: exitUsage, says: []string{"FILE must name a file"}},
		{name: "demo too fast", args: []string{"demo", "--speed", "100"}, code: exitUsage, says: []string{"--speed must be between 1 and 60 (got 100)"}},
		{name: "demo not a number", args: []string{"demo", "--speed", "NaN"}, code: exitUsage, says: []string{"--speed"}},
		{name: "demo with bad listen", args: []string{"demo", "--listen", "nowhere"}, code: exitUsage, says: []string{"--listen: must be host:port", "nowhere"}},
		{name: "demo that listens to nothing", args: []string{"demo", "--listen", ""}, code: exitUsage, says: []string{"--listen: must be host:port"}},
		{name: "demo where it cannot listen", args: []string{"demo", "--listen", "192.0.2.1:9468"}, code: exitListen, says: []string{"cannot listen on 192.0.2.1:9468", "--listen"}},
		{name: "nothing to check", args: []string{"check"}, code: exitUsage, says: []string{"<file>", "castoff check --help"}},
		{name: "check nothing there", args: []string{"check", "none.yaml"}, code: exitConfig, says: []string{"none.yaml", "no such file"}},
		{name: "check a folder", args: []string{"check", t.TempDir()}, code: exitConfig, says: []string{"is a directory"}},
		{
			name: "check a bad one", args: []string{"check", bad}, code: exitConfig, more: 2,
			says: []string{bad + ":1: polling.pace: is no setting", bad + ":1: polling.interval: must be between 1s and 5m (got 1ms)"},
		},
		{
			name: "check a good one with a web configuration that is not there", args: []string{"check", write(t, "castoff.yaml", "web: {config_file: none.yml}\n")}, code: exitConfig,
			says: []string{"web configuration none.yml: no such file"},
		},
		{
			name: "check a good one with a password in the clear", args: []string{"check", "--show", write(t, "castoff.yaml", "web: {config_file: "+clear+"}\n")}, code: exitConfig,
			says: []string{"web configuration " + clear, `basic_auth_users: the password of "ops" must be a bcrypt hash`},
		},
		{name: "configuration not there", args: []string{"run", "--config", "none.yaml"}, code: exitConfig, says: []string{"cannot read the configuration", "none.yaml", "no such file", "give a file that castoff may read"}},
		{name: "wrong configuration", args: []string{"run", "--config", bad}, code: exitConfig, more: 2, says: []string{bad + ":1: polling.pace"}},
		{
			name: "wrong configuration in the environment", args: []string{"run"}, code: exitConfig,
			env:  with(cleanEnv, configEnv, "clusters: ["),
			says: []string{"CASTOFF_CONFIG:1: must be YAML"},
		},
		{
			name: "two configurations", args: []string{"run", "--config", empty}, code: exitUsage,
			env:  with(cleanEnv, configEnv, "clusters: [prod]"),
			says: []string{"both --config and CASTOFF_CONFIG", "give one"},
		},
	} {
		t.Run(m.name, m.check)
	}
}

func TestAWSMistakes(t *testing.T) {
	faulty := func(f sim.Fault) func(*testing.T) map[string]string {
		return func(t *testing.T) map[string]string {
			r, server := region(t)
			r.Fault(f)
			return awsEnv(t, server.URL)
		}
	}
	says := func(body string) func(*testing.T) map[string]string {
		return func(t *testing.T) map[string]string {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
			t.Cleanup(server.Close)
			return awsEnv(t, server.URL)
		}
	}
	refuses := func(code, message string) func(*testing.T) map[string]string {
		return func(t *testing.T) map[string]string {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Amz-Target") == "" {
					w.WriteHeader(http.StatusForbidden)
					_, _ = io.WriteString(w, `<ErrorResponse><Error><Code>`+code+`</Code></Error></ErrorResponse>`)
					return
				}
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"__type":"`+code+`","message":"`+message+`"}`)
			}))
			t.Cleanup(server.Close)
			return awsEnv(t, server.URL)
		}
	}
	well := func(t *testing.T) map[string]string { return faulty(sim.Fault{Operation: "None"})(t) }
	here := []string{"run", "--listen", "127.0.0.1:0"}
	for _, m := range []mistake{
		{name: "no region", code: exitAWS, says: []string{"no AWS region", "--region", "AWS_REGION"}},
		{name: "no credentials", env: with(cleanEnv, "AWS_REGION", sim.RegionName), code: exitAWS, says: []string{"no AWS credentials", "task role", "AWS_PROFILE"}},
		{name: "unknown profile", env: with(cleanEnv, "AWS_PROFILE", "nobody"), code: exitAWS, says: []string{"nobody", "AWS_PROFILE"}},
		{name: "no CA bundle", env: with(cleanEnv, "AWS_CA_BUNDLE", "none.pem"), code: exitAWS, says: []string{"none.pem", "AWS_CA_BUNDLE"}},
		{
			name: "nobody listens", code: exitAWS, says: []string{"ecs:ListClusters in eu-central-1", "connection refused", "AWS_ENDPOINT_URL"},
			env: func(t *testing.T) map[string]string { return awsEnv(t, "http://"+freePort(t)) },
		},
		{name: "no endpoint at all", env: func(t *testing.T) map[string]string { return awsEnv(t, ":nonsense") }, code: exitAWS, says: []string{":nonsense", "AWS_ENDPOINT_URL"}},
		{
			name: "no TLS there", code: exitAWS, says: []string{"HTTP response to HTTPS client", "AWS_ENDPOINT_URL"},
			env: func(t *testing.T) map[string]string {
				_, server := region(t)
				return awsEnv(t, strings.Replace(server.URL, "http:", "https:", 1))
			},
		},
		{
			name: "unknown authority", code: exitAWS, says: []string{"certificate", "AWS_ENDPOINT_URL"},
			env: func(t *testing.T) map[string]string { return awsEnv(t, tlsRegion(t).URL) },
		},
		{name: "denied", env: faulty(sim.Fault{Operation: "ListTasks", Effect: sim.Deny}), code: exitAWS, says: []string{"AccessDeniedException", "allow ecs:ListTasks in the IAM policy"}},
		{
			name: "all denied", env: faulty(sim.Fault{Effect: sim.Deny}), code: exitAWS, more: 1,
			says: []string{"allow ecs:ListClusters", "allow elasticloadbalancing:DescribeTargetGroups"},
		},
		{name: "AWS is broken", env: faulty(sim.Fault{Effect: sim.ServerError}), code: exitAWS, says: []string{"ecs:ListClusters in eu-central-1", "ServerException"}},
		{name: "cut off", env: faulty(sim.Fault{Effect: sim.LoseReply}), code: exitAWS, says: []string{"EOF", "check the network"}},
		{
			name: "unknown clusters", env: well, args: []string{"--cluster", "nope", "--cluster", "prod", "--cluster", "nada"}, code: exitAWS,
			says: []string{"no ECS cluster nope, nada in eu-central-1", "check the names"},
		},
		{name: "cluster's service list is garbage", env: faulty(sim.Fault{Operation: "ListServices", Effect: sim.Garbage}), code: exitAWS, says: []string{"ecs:ListServices", "none of AWS's"}},
		{name: "half of JSON", env: faulty(sim.Fault{Operation: "ListClusters", Effect: sim.Truncate}), code: exitAWS, says: []string{"none of AWS's", "AWS_ENDPOINT_URL"}},
		{name: "half of XML", env: faulty(sim.Fault{Operation: "DescribeTargetGroups", Effect: sim.Truncate}), code: exitAWS, says: []string{"elasticloadbalancing:DescribeTargetGroups", "AWS_ENDPOINT_URL"}},
		{name: "HTML", env: says("<html><body>Log in</body></html>"), code: exitAWS, says: []string{"none of AWS's", "AWS_ENDPOINT_URL"}},
		{
			name: "a hostile reply", env: refuses("AccessDeniedException", "\\u001b[2J\\u0000\\u009b\\u202e gone"), code: exitAWS, more: 1,
			says: []string{"AccessDeniedException", "\ufffd[2J\ufffd\ufffd\ufffd gone"},
		},
		{
			name: "expired credentials", env: refuses("ExpiredTokenException", "expired"), code: exitAWS, more: 1,
			says: []string{"ExpiredTokenException: expired; renew the credentials"}, not: "IAM policy",
		},
		{
			name: "unknown credentials", env: refuses("UnrecognizedClientException", "invalid"), code: exitAWS, more: 1,
			says: []string{"UnrecognizedClientException: invalid; renew the credentials"}, not: "IAM policy",
		},
		{
			name: "sent elsewhere", code: exitAWS, says: []string{"127.0.0.1:", "answers: HTTP 302 with an empty body, not an AWS reply", "AWS_ENDPOINT_URL"},
			env: func(t *testing.T) map[string]string {
				server := httptest.NewServer(http.RedirectHandler("https://login.example/", http.StatusFound))
				t.Cleanup(server.Close)
				return awsEnv(t, server.URL)
			},
		},
		{
			name: "an endpoint that is no URL", env: func(t *testing.T) map[string]string { return awsEnv(t, "notaurl") }, code: exitAWS,
			says: []string{`AWS_ENDPOINT_URL is no URL: "notaurl"; give it as https://host`},
		},
		{
			name: "one service's endpoint that is no URL", env: with(well, "AWS_ENDPOINT_URL_ECS", "ecs.example"), code: exitAWS,
			says: []string{"AWS_ENDPOINT_URL_ECS is no URL", "https://host"},
		},
		{name: "nothing", env: says(""), code: exitAWS, says: []string{"HTTP 200 with an empty body", "AWS_ENDPOINT_URL"}},
		{name: "nothing about a cluster", env: says(""), args: []string{"--cluster", "prod"}, code: exitAWS, says: []string{"HTTP 200 with an empty body", "AWS_ENDPOINT_URL"}},
		{name: "some other JSON", env: says(`{"status":"ok"}`), code: exitAWS, says: []string{"no list of clusters"}},
		{
			name: "port in use", args: []string{"--listen", taken(t)}, env: well, code: exitListen,
			says: []string{"cannot listen on 127.0.0.1:", "address already in use", "--listen"},
		},
		{name: "no web configuration", args: []string{"--web.config.file", "none.yml"}, env: well, code: exitConfig, says: []string{"web configuration none.yml", "no such file"}},
		{
			name: "wrong web configuration", args: []string{"--web.config.file", write(t, "web.yml", "tls:\n  cert: x\n")}, env: well, code: exitConfig,
			says: []string{"web configuration", "web.yml", "line 1", "tls"},
		},
	} {
		m.args = append(slices.Clone(here), m.args...)
		t.Run(m.name, m.check)
	}
}

// TestEndpointThatNeverAnswers goes through a process of its own, because
// castoff's patience is real time.
func TestEndpointThatNeverAnswers(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, as far as the kernel goes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	p := start(t, awsEnv(t, "http://"+listener.Addr().String()), "run", "--listen", "127.0.0.1:0")
	code, took := p.ended(t, 2*patience)
	if code != exitAWS || took > patience+5*time.Second {
		t.Errorf("exit code %d after %s", code, took)
	}
	mistake{says: []string{"no answer within 15s: ecs:ListClusters in eu-central-1: no reply; check the network", "AWS_ENDPOINT_URL"}}.clear(t, p.log.String())
}

// TestThrottledStart: a bad moment of AWS's is no reason not to start.
func TestThrottledStart(t *testing.T) {
	t.Parallel()
	r, server := region(t)
	r.Fault(sim.Fault{Effect: sim.Throttle})
	p := start(t, awsEnv(t, server.URL), "run", "--listen", "127.0.0.1:0")
	p.log.line(t, "AWS throttles castoff from the start")
	p.log.line(t, "castoff is running")
	p.signal(t, os.Interrupt)
	if code, _ := p.ended(t, grace); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// TestCABundle: the SDK's own setting for another authority works end to end.
func TestCABundle(t *testing.T) {
	t.Parallel()
	server := tlsRegion(t)
	bundle := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	env := awsEnv(t, server.URL)
	env["AWS_CA_BUNDLE"] = bundle
	p := start(t, env, "run", "--listen", "127.0.0.1:0", "--cluster", "prod")
	address, _ := p.log.line(t, "castoff is running")["listen"].(string)
	eventually(t, 10*time.Second, func() bool {
		status, _ := get(t, "http://"+address+"/readyz")
		return status == http.StatusOK
	}, p.log.String)
	_, body := get(t, "http://"+address+"/metrics")
	if want := `castoff_tasks{cluster="prod",health="healthy",service="grpc"} 2`; !strings.Contains(body, want) {
		t.Errorf("no %s", want)
	}
}

// TestVersion: what is not known is one plain word.
func TestVersion(t *testing.T) {
	if got := castoff(t, cleanEnv(t), "version"); got.code != exitOK || !regexp.MustCompile(`^castoff \S+ \(revision (unknown|[0-9a-f]{40})\)\n$`).MatchString(got.out) {
		t.Errorf("%+v", got)
	}
	if _, revision := build(); strings.Contains(revision, " ") {
		t.Errorf("revision %q", revision)
	}
}

// with is an environment with one more variable.
func with(env func(*testing.T) map[string]string, name, value string) func(*testing.T) map[string]string {
	return func(t *testing.T) map[string]string {
		e := env(t)
		e[name] = value
		return e
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// taken is an address that somebody listens on.
func taken(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// freePort is an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// tlsRegion is a region behind TLS with a certificate that nobody knows.
func tlsRegion(t *testing.T) *httptest.Server {
	r, plain := region(t)
	plain.Close()
	server := httptest.NewUnstartedServer(r)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}
