package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// webConfig makes a web configuration with a certificate for 127.0.0.1 and one
// user, and who trusts the certificate.
func webConfig(t *testing.T, user, password string) (file string, trust *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		// Paths in it start from its own directory.
		"web.yml":  fmt.Appendf(nil, "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\nbasic_auth_users: {%s: %s}\n", user, hash),
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	trust = x509.NewCertPool()
	trust.AddCert(cert)
	return filepath.Join(dir, "web.yml"), trust
}

// TestWebConfig: with TLS and a user, every path asks for the credentials, and
// what castoff answers behind them is the same.
func TestWebConfig(t *testing.T) {
	t.Parallel()
	file, trust := webConfig(t, "ops", "swordfish")
	_, server := region(t)
	env := awsEnv(t, server.URL)
	env[configEnv] = quick
	p := start(t, env, "run", "--web.config.file", file)
	address, _ := p.log.line(t, "castoff is running")["listen"].(string)
	client := &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, DisableKeepAlives: true}, Timeout: 10 * time.Second,
	}
	status := func(method, path, password string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "https://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			req.SetBasicAuth("ops", password)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.TLS == nil {
			t.Error("answered in the clear")
		}
		return resp.StatusCode
	}
	eventually(t, 20*time.Second, func() bool { return status(http.MethodGet, "/readyz", "swordfish") == http.StatusOK }, p.log.String)
	for _, path := range []string{"/", "/metrics", "/healthz", "/readyz", "/api/v1/timelines", "/api/v1/services", "/api/v1/status", "/nowhere"} {
		if got := status(http.MethodGet, path, ""); got != http.StatusUnauthorized {
			t.Errorf("%s without credentials is %d", path, got)
		}
		if got := status(http.MethodGet, path, "marlin"); got != http.StatusUnauthorized {
			t.Errorf("%s with a wrong password is %d", path, got)
		}
		want := http.StatusOK
		if path == "/nowhere" {
			want = http.StatusNotFound
		}
		if got := status(http.MethodGet, path, "swordfish"); got != want {
			t.Errorf("%s with credentials is %d", path, got)
		}
		if got := status(http.MethodPost, path, "swordfish"); got != http.StatusMethodNotAllowed {
			t.Errorf("POST %s is %d", path, got)
		}
		if got := status(http.MethodPost, path, ""); got != http.StatusUnauthorized {
			t.Errorf("POST %s without credentials is %d", path, got)
		}
	}
	p.signal(t, syscall.SIGTERM)
	if code, _ := p.ended(t, grace); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if log := p.log.String(); strings.Contains(log, "swordfish") || strings.Contains(log, "$2a$") {
		t.Error("the log has the password or its hash")
	}
}
