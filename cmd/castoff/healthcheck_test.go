package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/sim"
)

// TestHealthcheck asks a castoff that runs, under every web configuration that
// may stand in the way, and one that has ended. AWS does not answer all the
// while: that is no reason to start castoff again.
func TestHealthcheck(t *testing.T) {
	secured, _ := webConfig(t, "ops", "swordfish")
	text, err := os.ReadFile(secured)
	if err != nil {
		t.Fatal(err)
	}
	web := func(name, config string) string { // beside the certificate
		file := filepath.Join(filepath.Dir(secured), name)
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const tls = "tls_server_config: {cert_file: cert.pem, key_file: key.pem"
	for _, tt := range []struct{ name, web string }{
		{"plain", ""},
		{"TLS", web("tls.yml", tls+"}\n")},
		{"TLS and a user", secured},
		{"a user", web("user.yml", "basic_auth_users:"+strings.SplitN(string(text), "basic_auth_users:", 2)[1])},
		{"a client's certificate", web("mutual.yml", tls+", client_auth_type: RequireAndVerifyClientCert, client_ca_file: cert.pem}\n")},
		{"a client's certificate, TLS 1.2", web("mutual12.yml", tls+", max_version: TLS12, client_auth_type: RequireAnyClientCert}\n")},
		{"a limit that is used up", web("limit.yml", "rate_limit: {burst: 1, interval: 1h}\n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := sim.New(sim.Options{Seed: 1})
			r.Fault(sim.Fault{Effect: sim.Stall})
			server := httptest.NewServer(r)
			t.Cleanup(server.Close)
			env := awsEnv(t, server.URL)
			env["HTTP_PROXY"], env["HTTPS_PROXY"] = "http://192.0.2.1:1", "http://192.0.2.1:1"
			var args []string
			if tt.web != "" {
				args = []string{"--web.config.file", tt.web}
			}
			p := start(t, env, append([]string{"run", "--listen", "127.0.0.1:0", "--log-level", "debug"}, args...)...)
			address, _ := p.log.line(t, "castoff is starting")["listen"].(string)
			ask := append([]string{"healthcheck", "--listen", address}, args...)
			for range 2 {
				if got := castoff(t, env, ask...); got.code != exitOK || got.out+got.err != "" {
					t.Errorf("exit code %d: %s%s", got.code, got.out, got.err)
				}
			}
			p.signal(t, syscall.SIGTERM)
			p.ended(t, grace)
			if got := castoff(t, env, ask...); got.code != exitFailed || !strings.Contains(got.err, "castoff on "+address+" does not answer: ") || strings.Count(got.err, "\n") != 1 {
				t.Errorf("exit code %d of a castoff that has ended: %s", got.code, got.err)
			}
		})
	}
}

// TestHealthcheckSettings: it finds castoff where castoff's own configuration
// puts it, and an address without a host is this machine's.
func TestHealthcheckSettings(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" || r.Method != http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	env := cleanEnv(t)
	env[configEnv] = "web: {listen: ':" + port + "'}\n"
	if got := castoff(t, env, "healthcheck"); got.code != exitOK {
		t.Errorf("by %s: exit code %d: %s", configEnv, got.code, got.err)
	}
	withMode := cleanEnv(t) // castoff runs with --state, which this is not told
	withMode[configEnv] = env[configEnv] + "mode: detach\n"
	if got := castoff(t, withMode, "healthcheck"); got.code != exitOK {
		t.Errorf("with mode detach: exit code %d: %s", got.code, got.err)
	}
	file := write(t, "castoff.yaml", env[configEnv])
	env[configEnv] = ""
	if got := castoff(t, env, "healthcheck", "--config", file); got.code != exitOK {
		t.Errorf("by file: exit code %d: %s", got.code, got.err)
	}
	if got := castoff(t, env, "healthcheck", "--listen", "0.0.0.0:"+port); got.code != exitOK {
		t.Errorf("by flag: exit code %d: %s", got.code, got.err)
	}
}

// TestHealthcheckRefuses: what is no sign of life of a castoff with these
// settings does not pass for one.
func TestHealthcheckRefuses(t *testing.T) {
	answer := func(status int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(server.Close)
		return server.Listener.Addr().String()
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, as nginx does before a hung app
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	secured, _ := webConfig(t, "ops", "swordfish")
	for _, m := range []mistake{
		{name: "asks for a password that nobody has set", args: []string{"--listen", answer(http.StatusUnauthorized)}, code: exitFailed, says: []string{"answers /healthz with 401 Unauthorized"}},
		{name: "too many requests without a limit", args: []string{"--listen", answer(http.StatusTooManyRequests)}, code: exitFailed, says: []string{"429"}},
		{name: "another server", args: []string{"--listen", answer(http.StatusNotFound)}, code: exitFailed, says: []string{"404"}},
		{name: "elsewhere", args: []string{"--listen", answer(http.StatusFound)}, code: exitFailed, says: []string{"302"}},
		{name: "no TLS where there should be", args: []string{"--web.config.file", secured, "--listen", answer(http.StatusOK)}, code: exitFailed, says: []string{"does not answer", "TLS handshake"}},
		{name: "hung", args: []string{"--listen", silent.Addr().String()}, code: exitFailed, says: []string{"does not answer within 4s"}},
		{name: "any port", args: []string{"--listen", "127.0.0.1:0"}, code: exitUsage, says: []string{"--listen"}},
		{name: "no web configuration", args: []string{"--web.config.file", "none.yml"}, code: exitConfig, says: []string{"none.yml"}},
		{name: "no configuration", args: []string{"--config", "none.yaml"}, code: exitConfig, says: []string{"none.yaml"}},
		{name: "nonsense", args: []string{"--listen", "nowhere"}, code: exitUsage, says: []string{"--listen"}},
	} {
		t.Run(m.name, func(t *testing.T) {
			began := time.Now()
			m.args = append([]string{"healthcheck"}, m.args...)
			m.check(t)
			if took := time.Since(began); took > healthWithin+2*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}
