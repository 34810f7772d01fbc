package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/notify"
)

// at is a receiver of a real server, that takes no longer than tests have.
func at(address string) Receiver {
	r := hook("ops")
	r.URL = address + "/services/hunter-secret?token=hunter-token"
	r.Headers = http.Header{"Authorization": {"Bearer hunter-bearer"}}
	r.Timeout = 300 * time.Millisecond
	return r
}

// try sends a test message over real connections, and answers the error and what
// was logged.
func try(t *testing.T, transport http.RoundTripper, r Receiver) error {
	t.Helper()
	s, err := New(Options{
		Receivers: []Receiver{r}, Place: notify.Place{Region: "eu-central-1"}, Version: "1.2.3", Transport: transport,
		Recorder: &counts{n: map[string]int{}}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.Try(t.Context(), r.Name)
}

func direct(t *testing.T) *http.Transport {
	transport := Transport(nil, nil)
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// What arrives is signed, and nobody can have made it, changed it or kept it for
// later.
func TestSigned(t *testing.T) {
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	if err := try(t, direct(t), at(server.URL)); err != nil {
		t.Fatal(err)
	}
	if got.Method != http.MethodPost || got.URL.String() != "/services/hunter-secret?token=hunter-token" {
		t.Errorf("%s %s", got.Method, got.URL)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "castoff/1.2.3", "Authorization": "Bearer hunter-bearer", "Content-Length": strconv.Itoa(len(body)),
	} {
		if h := got.Header.Get(name); h != want {
			t.Errorf("%s: %q, want %q", name, h, want)
		}
	}
	if !bytes.Contains(body, []byte(`"type":"test"`)) || !strings.HasPrefix(got.Header.Get("Webhook-Id"), "test-") {
		t.Errorf("id %s, body %s", got.Header.Get("Webhook-Id"), body)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signing, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	if !verify(got.Header, body, key) {
		t.Error("the signature is not right")
	}
	forge := func(name, value string) http.Header {
		h := got.Header.Clone()
		h.Set(name, value)
		return h
	}
	sent, _ := strconv.ParseInt(got.Header.Get("Webhook-Timestamp"), 10, 64)
	for what, bad := range map[string]bool{
		"another body":      verify(got.Header, append(bytes.Clone(body), ' '), key),
		"another key":       verify(got.Header, body, append(bytes.Clone(key), 'x')),
		"another id":        verify(forge("Webhook-Id", "exposed-1"), body, key),
		"another time":      verify(forge("Webhook-Timestamp", strconv.FormatInt(sent+1, 10)), body, key),
		"another signature": verify(forge("Webhook-Signature", "v1,"+strings.Repeat("A", 43)+"="), body, key),
		"no signature":      verify(forge("Webhook-Signature", ""), body, key),
		"no time":           verify(forge("Webhook-Timestamp", ""), body, key),
	} {
		if bad {
			t.Errorf("%s is taken", what)
		}
	}
	if old := forge("Webhook-Timestamp", strconv.FormatInt(sent-600, 10)); verify(old, body, key) {
		t.Error("one of ten minutes ago is taken")
	}
}

// Slack gets a text and no signature.
func TestSlack(t *testing.T) {
	var header http.Header
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, "ok")
	}))
	defer server.Close()
	r := at(server.URL)
	r.Kind, r.Secret = notify.Slack, ""
	if err := try(t, direct(t), r); err != nil {
		t.Fatal(err)
	}
	const want = `{"text":"a test message of castoff (eu-central-1)\nSomebody asked for it. Nothing has happened."}`
	if string(body) != want || header.Get("Webhook-Signature") != "" {
		t.Errorf("%v %s", header, body)
	}
}

// SAFETY: whatever a real receiver does, a request ends in time, follows nobody
// elsewhere, and its error tells no secret.
func TestSafetyBrokenReceivers(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	stop := make(chan struct{})
	defer close(stop)
	raw := func(write func(io.Writer)) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			write(conn)
		}
	}
	onAndOn := func(w io.Writer, part string) {
		for {
			if _, err := io.WriteString(w, part); err != nil {
				return
			}
		}
	}
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		says    string // of the error; empty: it is delivered
	}{
		"hangs for ever": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else it is not told that the client has gone
			select {
			case <-r.Context().Done():
			case <-stop:
			}
		}, "no answer within 300ms"},
		"closes":          {raw(func(io.Writer) {}), "EOF"},
		"no HTTP":         {raw(func(w io.Writer) { _, _ = io.WriteString(w, "220 ESMTP hunter-secret\r\n") }), "malformed HTTP"},
		"endless headers": {raw(func(w io.Writer) { _, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\n"); onAndOn(w, "X: hunter-secret\r\n") }), "headers exceeded"},
		"endless 200": {raw(func(w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			onAndOn(w, "4\r\nbyte\r\n")
		}), ""},
		"endless 500": {raw(func(w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n")
			onAndOn(w, "4\r\nbyte\r\n")
		}), "answered 500 Internal Server Error: bytebyte"},
		"500": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "sorry", http.StatusInternalServerError) }, "answered 500 Internal Server Error: sorry"},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}, "answered 307 Temporary Redirect, and redirects are not followed"},
		"echoes": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "cannot take "+r.RequestURI+" "+r.Header.Get("Authorization")+" \x1b[31m", http.StatusBadRequest)
		}, "answered 400 Bad Request: cannot take [hidden] [hidden] [31m"},
		"echoes half of one": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, strings.Repeat("x", 70)+" hunter-secret", http.StatusBadRequest)
		}, strings.Repeat("x", 70) + " [hidden]"},
		"echoes a parameter": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "no such token: "+r.URL.Query().Get("token"), http.StatusForbidden)
		}, "answered 403 Forbidden: no such token: [hidden]"},
		"a page": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }, "answered 502 Bad Gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			began := time.Now()
			err := try(t, direct(t), at(server.URL))
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
			if tt.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("error %v, want %q", err, tt.says)
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("tells a secret: %v", err)
			}
		})
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
	// Nobody listens, no such name.
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, address := range []string{closed.URL, "http://castoff.invalid"} {
		if err := try(t, direct(t), at(address)); err == nil || strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "Post") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// Certificates are checked, by the roots that are given.
func TestRoots(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	if err := try(t, Transport(nil, roots), at(server.URL)); err != nil {
		t.Error(err)
	}
	if err := try(t, Transport(nil, x509.NewCertPool()), at(server.URL)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the root: %v", err)
	}
}

// Roots count without HTTP/2 too, as GODEBUG=http2client=0 has it: then there is nothing
// about TLS to begin with.
func TestRootsWithoutHTTP2(t *testing.T) {
	was := http.DefaultTransport
	http.DefaultTransport = &http.Transport{TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	defer func() { http.DefaultTransport = was }()
	roots := x509.NewCertPool()
	if c := Transport(nil, roots).TLSClientConfig; c == nil || c.RootCAs != roots {
		t.Errorf("%+v", c)
	}
}

// A proxy is asked, also for what it must not read.
func TestProxy(t *testing.T) {
	asked := make(chan string, 2)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host
		if r.Method == http.MethodConnect {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer proxy.Close()
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := Transport(http.ProxyURL(address), nil)
	defer transport.CloseIdleConnections()
	if err := try(t, transport, at("http://hooks.example.com")); err != nil || <-asked != "POST hooks.example.com" {
		t.Errorf("plain: %v", err)
	}
	if err := try(t, transport, at("https://hooks.example.com")); err == nil || strings.Contains(err.Error(), "hunter") || <-asked != "CONNECT hooks.example.com:443" {
		t.Errorf("TLS: %v", err)
	}
}

// A message that waits is delivered over a real connection once the receiver is
// there again.
func TestDeliversInTheEnd(t *testing.T) {
	var n atomic.Int32
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		close(done)
	}))
	defer server.Close()
	s, c := newSender(t, direct(t), at(server.URL))
	s.Tell(paused(1))
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("never came")
	}
	if err := s.Stop(context.Background()); err != nil || c.of("ops paused sent") != 1 {
		t.Errorf("%v: counted %v", err, c.n)
	}
}

func TestTryUnknown(t *testing.T) {
	s, _ := newSender(t, answer(hangs))
	if err := s.Try(t.Context(), "nobody"); err == nil || s.Stop(t.Context()) != nil {
		t.Error("there is nobody")
	}
}

func TestBadSecret(t *testing.T) {
	r := hook("ops")
	r.Secret = "hunter2!"
	_, err := New(Options{Receivers: []Receiver{r}, Recorder: &counts{}, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}
