package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// quick is the shortest configuration that castoff takes.
const quick = `
clusters: [prod]
polling: {interval: 1s, hot_interval: 1s, calm_interval: 1s, discovery_interval: 1s, inventory_interval: 10s, deadline: 1s}
web: {listen: "127.0.0.1:0"}
`

// serving starts castoff and waits until it has seen the whole region.
func serving(t *testing.T, env map[string]string) (p *process, url string) {
	t.Helper()
	env[configEnv] = quick
	p = start(t, env, "run")
	address, _ := p.log.line(t, "castoff is running")["listen"].(string)
	ready(t, p, "http://"+address, http.StatusOK)
	return p, "http://" + address
}

func ready(t *testing.T, p *process, url string, want int) (why string) {
	t.Helper()
	eventually(t, 20*time.Second, func() bool {
		status, body := get(t, url+"/readyz")
		why = body
		return status == want
	}, func() string { return fmt.Sprintf("/readyz is not %d: %s\n%s", want, why, p.log) })
	return why
}

// TestOutage: while AWS fails, castoff lives, says what it cannot see, and goes
// on with the timelines that it has; then all recovers.
func TestOutage(t *testing.T) {
	t.Parallel()
	r, server := region(t)
	p, url := serving(t, awsEnv(t, server.URL))
	tasks := r.Tasks(fleet.ServiceID{Cluster: "prod", Name: "grpc"})
	if err := r.Crash(tasks[0].ARN); err != nil {
		t.Fatal(err)
	}
	p.log.line(t, "timeline opened")

	lift := r.Fault(sim.Fault{Effect: sim.Unavailable})
	if why := ready(t, p, url, http.StatusServiceUnavailable); !strings.Contains(why, "last full pass") || !strings.Contains(why, "transient") {
		t.Errorf("/readyz says %q", why)
	}
	if status, _ := get(t, url+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz is %d", status)
	}
	_, metrics := get(t, url+"/metrics")
	for _, want := range []string{
		`castoff_snapshot_gaps{class="transient",kind="tasks"} 1`,
		`castoff_timelines_open{cluster="prod",service="grpc"} 1`,
		`castoff_passes_total{result="failed"}`,
		`castoff_tasks{cluster="prod",health="unhealthy",service="grpc"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	if got := p.log.line(t, "cannot see"); got["class"] != "transient" || got["level"] != "WARN" {
		t.Errorf("logged %v", got)
	}

	lift()
	ready(t, p, url, http.StatusOK)
	p.log.line(t, "can see again")
	eventually(t, 15*time.Second, func() bool {
		_, metrics = get(t, url+"/metrics")
		return strings.Contains(metrics, `castoff_snapshot_gaps{class="transient",kind="tasks"} 0`) ||
			!strings.Contains(metrics, `castoff_snapshot_gaps{class="transient"`)
	}, func() string { return "gaps go on:\n" + p.log.String() })
	if _, body := get(t, url+"/api/v1/timelines?state=open"); strings.Count(body, `"state":"open"`) != 1 {
		t.Errorf("timelines: %s", body)
	}
	p.signal(t, syscall.SIGTERM)
	if code, _ := p.ended(t, grace); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// TestSignals: the first stops within the grace, with nothing lost to a slow
// client; a second one does not wait for it.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			_, server := region(t)
			p, _ := serving(t, awsEnv(t, server.URL))
			p.signal(t, s)
			code, took := p.ended(t, grace)
			if code != exitOK || took > 3*time.Second {
				t.Errorf("exit code %d after %s:\n%s", code, took, p.log)
			}
			p.log.line(t, "stopping")
		})
	}
	t.Run("second", func(t *testing.T) {
		t.Parallel()
		_, server := region(t)
		p, url := serving(t, awsEnv(t, server.URL))
		// Half a request: the server gives its client some seconds to send the rest.
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost:")); err != nil {
			t.Fatal(err)
		}
		get(t, url+"/healthz") // by now it has been accepted
		p.signal(t, syscall.SIGTERM)
		p.log.line(t, "stopping")
		p.signal(t, syscall.SIGTERM)
		code, took := p.ended(t, grace)
		if code != exitFailed || took > 2*time.Second {
			t.Errorf("exit code %d after %s", code, took)
		}
		if !strings.Contains(p.log.String(), "castoff: stopping the HTTP server: ") || strings.Contains(p.log.String(), "goroutine") {
			t.Errorf("said:\n%s", p.log)
		}
	})
	t.Run("while AWS does not answer", func(t *testing.T) {
		t.Parallel()
		r, server := region(t)
		p, _ := serving(t, awsEnv(t, server.URL))
		r.Fault(sim.Fault{Effect: sim.Stall})
		p.signal(t, syscall.SIGTERM)
		if code, took := p.ended(t, grace); code != exitOK || took > 3*time.Second {
			t.Errorf("exit code %d after %s:\n%s", code, took, p.log)
		}
	})
}

// TestStart: while AWS does not answer castoff lives and is not ready, and
// stopping it then is no failure.
func TestStart(t *testing.T) {
	t.Parallel()
	r, server := region(t)
	r.Fault(sim.Fault{Effect: sim.Stall})
	p := start(t, awsEnv(t, server.URL), "run", "--listen", "127.0.0.1:0", "--log-level", "debug")
	address, _ := p.log.line(t, "castoff is starting")["listen"].(string)
	if status, _ := get(t, "http://"+address+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz is %d", status)
	}
	if status, why := get(t, "http://"+address+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(why, "no full pass yet") {
		t.Errorf("/readyz is %d: %s", status, why)
	}
	p.signal(t, syscall.SIGTERM)
	if code, took := p.ended(t, grace); code != exitOK || took > 3*time.Second {
		t.Errorf("exit code %d after %s", code, took)
	}
	if log := p.log.String(); strings.Contains(log, "castoff is running") || strings.Contains(log, "castoff: ") {
		t.Errorf("said:\n%s", log)
	}
}

// TestNoClusters: to see nothing is no failure, and is said once.
func TestNoClusters(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(sim.New(sim.Options{}))
	t.Cleanup(server.Close)
	p := start(t, awsEnv(t, server.URL), "run", "--listen", "127.0.0.1:0")
	const say = "there is no ECS cluster: is this the right region and account?"
	if line := p.log.line(t, say); line["level"] != "WARN" || line["region"] != sim.RegionName || line["account"] != sim.AccountID {
		t.Errorf("logged %v", line)
	}
	address, _ := p.log.line(t, "castoff is running")["listen"].(string)
	ready(t, p, "http://"+address, http.StatusOK)
	if n := strings.Count(p.log.String(), "cluster: is this"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// TestLog: durations are for people, and a list that means all says so.
func TestLog(t *testing.T) {
	t.Parallel()
	_, server := region(t)
	p := start(t, awsEnv(t, server.URL), "run", "--listen", "127.0.0.1:0")
	if line := p.log.line(t, "castoff is running"); line["clusters"] != "all" || line["region"] != sim.RegionName {
		t.Errorf("logged %v", line)
	}
	p.signal(t, os.Interrupt)
	if line := p.log.line(t, "stopping"); line["grace"] != "10s" {
		t.Errorf("logged %v", line)
	}
	p.ended(t, grace)
}
