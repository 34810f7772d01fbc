package status_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/status"
)

// SAFETY: a page of somebody else's that makes a browser ask castoff by a name of its own
// reads nothing; whoever asks by a name or an address of castoff's is answered.
func TestSafetyUnknownHostIsRefused(t *testing.T) {
	configured := []string{"castoff.example.com", "castoff.monitoring.internal", "ip-10-0-1-0.ec2.internal"}
	for _, tt := range []struct {
		names []string
		host  string
		path  string
		want  int
	}{
		{configured, "castoff.example.com", "/", 200},
		{configured, "castoff.example.com:443", "/", 200},
		{configured, "CASTOFF.Example.com.", "/", 200},
		{configured, "castoff.monitoring.internal:9468", "/metrics", 200},
		{configured, "localhost:9468", "/api/v1/status", 200},
		{configured, "127.0.0.1:9468", "/", 200},
		{configured, "[::1]:9468", "/", 200},
		{configured, "10.0.1.7:9468", "/metrics", 200}, // as Prometheus asks
		{configured, "[2001:db8::7]:9468", "/", 200},
		{configured, "rebound.example.org:9468", "/", 421},
		{configured, "rebound.example.org:9468", "/metrics", 421},
		{configured, "rebound.example.org:9468", "/api/v1/status", 421},
		{configured, "castoff.example.com.example.org", "/", 421},
		{configured, "2130706433", "/", 421}, // no address in a URL of a browser
		{configured, "", "/", 421},
		{configured, "rebound.example.org:9468", "/healthz", 200},
		{configured, "rebound.example.org:9468", "/readyz", 200},
		{nil, "anything.example.org", "/", 200},
	} {
		t.Run(tt.host+tt.path, func(t *testing.T) {
			v := sample(time.Now())
			h := status.New(status.Options{View: func() *status.View { return v }, Hosts: tt.names, Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
			r := httptest.NewRequest(http.MethodGet, tt.path, nil)
			r.Host = tt.host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("%d, want %d: %s", w.Code, tt.want, w.Body)
			}
		})
	}
}
