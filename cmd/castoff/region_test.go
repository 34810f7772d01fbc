package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rehearsed is a castoff region that runs.
type rehearsed struct {
	*process
	endpoint string
	env      map[string]string // that it prints
	in       io.Writer
}

// rehearse starts castoff region and takes its environment from what it prints, as a
// shell would.
func rehearse(t *testing.T, args ...string) *rehearsed {
	t.Helper()
	in, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out := new(tail)
	r := &rehearsed{process: startWith(t, in, out, nil, append([]string{"region"}, args...)...), env: cleanEnv(t), in: typed}
	t.Cleanup(func() { _, _ = in.Close(), typed.Close() })
	eventually(t, 10*time.Second, func() bool { return strings.Contains(out.String(), "/control\n") }, r.log.String)
	for line := range strings.Lines(out.String()) {
		set := regexp.MustCompile(`^export ([A-Za-z0-9_]+)=([^\s'"]+)\n$`).FindStringSubmatch(line)
		if set != nil {
			r.env[set[1]] = set[2]
		} else if !strings.HasPrefix(line, "# ") && line != "unset AWS_PROFILE AWS_SESSION_TOKEN AWS_CA_BUNDLE\n" {
			t.Errorf("no shell takes %q", line)
		}
	}
	r.endpoint = r.env["AWS_ENDPOINT_URL"]
	return r
}

// control has the region do something.
func (r *rehearsed) control(t *testing.T, lines string) (status int, said string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.endpoint+"/control", strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	rep, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rep.Body.Close()
	text, err := io.ReadAll(rep.Body)
	if err != nil {
		t.Fatal(err)
	}
	return rep.StatusCode, string(text)
}

// TestRegion: castoff run works in the environment that castoff region prints, and sees
// what is done to the region by its words.
func TestRegion(t *testing.T) {
	t.Parallel()
	r := rehearse(t, "--cluster", "prod", "--speed", "10", "--tasks", "2")
	p, url := serving(t, r.env)
	if status, said := r.control(t, "crash grpc/2\ntasks grpc\n"); status != http.StatusOK || !strings.Contains(said, "\ngrpc/2  RUNNING") || strings.Contains(said, "worker") {
		t.Errorf("%d %s", status, said)
	}
	p.log.line(t, "timeline opened")
	if status, body := get(t, url+"/api/v1/services"); status != http.StatusOK || !strings.Contains(body, `"prod/worker"`) && !strings.Contains(body, `"worker"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, said := r.control(t, "recover grpc/2\nhang grpc/9\nhang grpc/1\n"); status != http.StatusBadRequest || !strings.Contains(said, `no task "grpc/9"`) {
		t.Errorf("%d %s", status, said)
	}
	if _, err := io.WriteString(r.in, "fault unavailable\nsay what\nservices\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() bool {
		log := r.log.String()
		return strings.Contains(log, "castoff: no command \"say\"") && strings.Contains(log, "grpc     2 ")
	}, r.log.String)
	ready(t, p, url, http.StatusServiceUnavailable)
	if status, _ := r.control(t, "lift"); status != http.StatusOK {
		t.Error(status)
	}
	ready(t, p, url, http.StatusOK)
	r.signal(t, syscall.SIGINT)
	if code, took := r.ended(t, 5*time.Second); code != exitOK || took > 2*time.Second {
		t.Errorf("exit code %d after %s", code, took)
	}
}

// TestRegionJSON: the same for a program.
func TestRegionJSON(t *testing.T) {
	t.Parallel()
	out := new(tail)
	p := startWith(t, nil, out, nil, "region", "--json", "--services", "5", "--tasks", "1", "--seed", "7")
	var said announced
	eventually(t, 10*time.Second, func() bool { return json.Unmarshal([]byte(out.String()), &said) == nil }, p.log.String)
	if said.Environment["AWS_ENDPOINT_URL_EC2"] != said.Endpoint || said.Environment["AWS_REGION"] != said.Region || said.Seed != 7 || len(said.Services) != 5 ||
		said.Services[4] != (announcedService{"web-2", 1}) {
		t.Errorf("%+v", said)
	}
	if status, help := get(t, said.Control); status != http.StatusOK || !strings.Contains(help, "hang TASK…") {
		t.Errorf("%d %s", status, help)
	}
	for header, value := range map[string]string{"Host": "rebound.example.org:4599", "Origin": "https://example.org", "Sec-Fetch-Site": "cross-site"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, said.Control, strings.NewReader("tasks grpc"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(header, value)
		if header == "Host" {
			req.Host = value
		}
		rep, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = rep.Body.Close()
		if rep.StatusCode < 400 {
			t.Errorf("a page elsewhere may change the region: %d with %s %s", rep.StatusCode, header, value)
		}
	}
	p.signal(t, syscall.SIGTERM) // its standard input ended long ago
	if code, _ := p.ended(t, 5*time.Second); code != exitOK {
		t.Error(code)
	}
}

func TestRegionMistakes(t *testing.T) {
	for _, row := range []struct {
		args []string
		code int
		said string
	}{
		{[]string{"--services", "0"}, exitUsage, "--services must be between 1 and 200 (got 0)"},
		{[]string{"--tasks", "1001"}, exitUsage, "--tasks must be between 1 and 1000 (got 1001)"},
		{[]string{"--services", "101", "--tasks", "200"}, exitUsage, "--services times --tasks must be 20000 at most (got 20200)"},
		{[]string{"--speed", "0.5"}, exitUsage, "--speed must be between 1 and 60 (got 0.5)"},
		{[]string{"--cluster", ""}, exitUsage, "--cluster must name a cluster"},
		{[]string{"--listen", ":4599"}, exitUsage, "--listen must be an address of this machine alone"},
		{[]string{"--listen", "192.0.2.1:80"}, exitUsage, "--listen must be an address of this machine alone"},
		{[]string{"--listen", "localhost"}, exitUsage, "--listen must be an address of this machine alone"},
		{[]string{"--listen", taken(t)}, exitListen, "address already in use"},
	} {
		if got := castoff(t, cleanEnv(t), append([]string{"region"}, row.args...)...); got.code != row.code || !strings.Contains(got.err, row.said) || got.out != "" {
			t.Errorf("%v: %+v", row.args, got)
		}
	}
}
