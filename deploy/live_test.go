package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

var binary = flag.String("castoff", "", "castoff's binary: have a real Prometheus and Alertmanager watch it")

// quicker is how much shorter the durations of the rules are here, so that a day
// is a bit more than an hour and an alert after 5 minutes one after 15 s.
const quicker = 20

// shortened is a rules file with every duration quicker times shorter.
func shortened(text string) string {
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	return regexp.MustCompile(`(\[|for: |interval: |offset )(\d+)([smhd])\b`).ReplaceAllStringFunc(text, func(m string) string {
		part := regexp.MustCompile(`^(\[|for: |interval: |offset )(\d+)([smhd])$`).FindStringSubmatch(m)
		n, _ := strconv.Atoi(part[2]) // digits
		return fmt.Sprintf("%s%ds", part[1], max(1, int((time.Duration(n)*unit[part[3]]/quicker).Seconds())))
	})
}

func TestShortened(t *testing.T) {
	const text = "    interval: 5m\n  expr: rate(x[1h]) > 5m_of_nothing and x offset 15m\n  for: 1d\n"
	if got, want := shortened(text), "    interval: 15s\n  expr: rate(x[180s]) > 5m_of_nothing and x offset 45s\n  for: 4320s\n"; got != want {
		t.Errorf("got\n%s", got)
	}
}

// TestLive runs what an operator runs: castoff, Prometheus with the rules and
// alerts of deploy/prometheus, and Alertmanager, against a simulated region in
// which one app hangs and is taken out, and another hangs and cannot be replaced.
// Every panel of both dashboards must have data, and the alert about the target
// that stays exposed must reach its receiver, and end.
func TestLive(t *testing.T) {
	if *binary == "" {
		t.Skip("no -castoff: make live builds it and runs this")
	}
	region := sim.New(sim.Options{Seed: 1, Speed: 10})
	acting, stuck := fleet.ServiceID{Cluster: "prod", Name: "acting"}, fleet.ServiceID{Cluster: "prod", Name: "stuck"}
	must(t, region.AddCluster("prod", sim.ClusterOptions{}))
	for _, id := range []fleet.ServiceID{acting, stuck} {
		spec := sim.ReferenceWorkload(id.Cluster, id.Name)
		spec.Desired = 4
		spec.Groups[0].Attributes = map[string]string{"load_balancing.cross_zone.enabled": "true"}
		must(t, region.AddService(spec))
	}
	aws := httptest.NewServer(region)
	t.Cleanup(aws.Close)
	received := receiver(t)
	site := free(t)
	config := fmt.Sprintf(liveConfig, site, told(t))
	daemon(t, *binary, []string{
		"AWS_REGION=" + sim.RegionName, "AWS_ENDPOINT_URL=" + aws.URL, "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=not-a-secret", "AWS_EC2_METADATA_DISABLED=true",
		"CASTOFF_CONFIG=" + config,
	}, "run")
	answers(t, "http://"+site+"/readyz")
	server := prometheus(t, site, alertmanager(t, received.url))

	must(t, region.NextTasks(stuck, slices.Repeat([]sim.Fate{sim.NeverStarts}, 200)...))
	sick := region.Tasks(stuck)[0].ARN
	eventually(t, 60*time.Second, func() bool { return len(query(t, server, `castoff_passes_total{result="ok"} > 20`)) > 0 }, func() string { return "castoff does not pass" })
	must(t, region.Hang(sick), region.Hang(region.Tasks(acting)[0].ARN))

	const alert = "CastoffTargetExposed prod/stuck "
	received.until(t, alert+"firing", 90*time.Second)
	pagesWork(t, site, config, sick)
	eventually(t, 3*time.Minute, func() bool { return len(query(t, server, `castoff_timelines_total{service="acting"} > 0`)) > 0 }, func() string { return "no timeline was closed" })
	must(t, region.Recover(sick))
	received.until(t, alert+"resolved", 90*time.Second)
	for _, got := range received.all() {
		if strings.HasPrefix(got, "CastoffTargetExposed prod/acting") {
			t.Errorf("%s, though castoff took it out at once", got)
		}
	}

	for _, r := range rules(t, "prometheus/rules.yml") {
		eventually(t, 30*time.Second, func() bool { return len(query(t, server, r.Record)) > 0 }, func() string { return r.Record + " has no series" })
	}
	// The first that is counted of a service that is only observed.
	hasData(t, server, `increase(castoff_verdicts_total{service="stuck",verdict="hold",reason="unconfirmed"}[10m]) > 0`)
	if found := query(t, server, "castoff_no_such_metric"); len(found) > 0 {
		t.Errorf("a metric that there is not has %q: nothing below is worth anything", found)
	}
	for title, panels := range dashboards(t) {
		for _, p := range panels {
			for _, target := range p.Targets {
				found := hasData(t, server, asked(target.Expr, "5m", "10m"))
				t.Logf("%s | %s | %d series | %s", title, p.Title, len(found), strings.Join(found[:min(len(found), 3)], "; "))
			}
		}
	}
}

// hasData waits until there is something to show: a service's first counts come
// some time after its series, and the slow rules after both.
func hasData(t *testing.T, server, expr string) (found []string) {
	t.Helper()
	eventually(t, 2*time.Minute, func() bool {
		found = query(t, server, expr)
		return len(found) > 0
	}, func() string { return "no data: " + expr })
	return found
}

// pagesWork carries out what the runbooks would have castoff asked.
func pagesWork(t *testing.T, site, config string, sick fleet.TaskARN) {
	t.Helper()
	pages, err := filepath.Glob("runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "castoff.yaml")
	must(t, os.WriteFile(file, []byte(config), 0o600))
	done := map[string]bool{}
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\$ ((?:curl|castoff) .*)$`).FindAllStringSubmatch(string(data), -1) {
			line := regexp.MustCompile(`\bCLUSTER\b`).ReplaceAllString(m[1], "prod")
			line = regexp.MustCompile(`\bSERVICE\b`).ReplaceAllString(line, "stuck")
			line = regexp.MustCompile(`\bTASK\b`).ReplaceAllString(line, sick.ID())
			line = regexp.MustCompile(`^castoff `).ReplaceAllString(line, *binary+" ")
			line = strings.Replace(line, " castoff.yaml", " "+file, 1)
			if done[line] {
				continue
			}
			done[line] = true
			cmd := exec.Command("bash", "-o", "pipefail", "-c", line)
			cmd.Env = append(os.Environ(), "CASTOFF_SERVER=http://"+site)
			// A field that is not there is null to jq, and so is what is not known yet.
			unknown := regexp.MustCompile(`"(outcome|result|saved)": null`)
			out, err := cmd.CombinedOutput()
			if err != nil || len(out) == 0 || strings.Contains(line, "| {") && bytes.Contains(unknown.ReplaceAll(out, nil), []byte("null")) {
				t.Errorf("%s: %s: %v\n%s", page, line, err, out)
			}
		}
	}
	if len(done) < 5 {
		t.Errorf("the pages have %d commands", len(done))
	}
}

// liveConfig is quick, and acts on one of two services.
const liveConfig = `
clusters: [prod]
polling: {interval: 1s, hot_interval: 1s, calm_interval: 1s, discovery_interval: 1s, inventory_interval: 10s, deadline: 2s}
timelines: {recovery_window: 5s, settle_window: 5s}
limits: {startup: 5s}
services: [{match: prod/acting, mode: detach}]
state: none
web: {listen: "%s"}
notifications: [{name: sre, kind: webhook, url: "%s", secret: YW4gZXhhbXBsZSwgbm90IGEgc2VjcmV0IG9mIHlvdXJz}]
`

// told takes castoff's own notifications.
func told(t *testing.T) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(server.Close)
	return server.URL
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// daemon runs a program until the test ends. What it says is shown if the test
// fails.
func daemon(t *testing.T, program string, env []string, args ...string) (pid int) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	cmd, log := exec.Command(path, args...), new(tail)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "AWS_") || strings.HasPrefix(e, "CASTOFF_") }), env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			text := log.String()
			t.Logf("%s said:\n%s", filepath.Base(program), text[max(0, len(text)-2000):])
		}
	})
	return cmd.Process.Pid
}

// answers waits until something is served with 200.
func answers(t *testing.T, at string) {
	t.Helper()
	eventually(t, 60*time.Second, func() bool {
		status, _ := get(t, at)
		return status == http.StatusOK
	}, func() string { return at })
}

// get is one answer; status 0: none.
func get(t *testing.T, at string) (status int, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		return 0, nil
	}
	return response.StatusCode, body
}

// prometheus runs with the files of deploy/prometheus, but for the addresses and
// the durations.
func prometheus(t *testing.T, site, alertmanager string) (address string) {
	t.Helper()
	dir := t.TempDir()
	address = free(t)
	for _, name := range []string{"rules.yml", "alerts.yml"} {
		text, err := os.ReadFile("prometheus/" + name)
		if err != nil {
			t.Fatal(err)
		}
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(shortened(string(text))), 0o600))
	}
	config, err := os.ReadFile("prometheus/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(config), "_interval: 15s", "_interval: 1s")
	text = strings.Replace(text, "alertmanager.monitoring.internal:9093", alertmanager, 1)
	text = regexp.MustCompile(`(?s)    dns_sd_configs:.*?refresh_interval: 1s\n`).ReplaceAllString(text, "    static_configs: [{targets: [\""+site+"\"]}]\n")
	if strings.Contains(text, "internal") {
		t.Fatalf("not all of prometheus.yml was found:\n%s", text)
	}
	must(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(text), 0o600))
	daemon(t, "prometheus", nil, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	answers(t, "http://"+address+"/-/ready")
	return address
}

// query is what Prometheus answers: values by their labels, without those that
// are no numbers.
func query(t *testing.T, server, expr string) []string {
	t.Helper()
	status, body := get(t, "http://"+server+"/api/v1/query?"+url.Values{"query": {expr}}.Encode())
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %v %s", expr, status, err, answer.Error)
	}
	var found []string
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(value) {
			continue
		}
		labels := ""
		for _, name := range []string{"cluster", "service", "operation", "result", "outcome", "trigger", "phase", "mode", "verdict", "reason", "kind", "class", "health", "state", "bucket", "le"} {
			if v := r.Metric[name]; v != "" {
				labels += v + " "
			}
		}
		found = append(found, fmt.Sprintf("%s%.4g", labels, value))
	}
	return found
}

// alertmanager sends everything to one receiver, at once.
func alertmanager(t *testing.T, to string) (address string) {
	t.Helper()
	dir := t.TempDir()
	address = free(t)
	config := "route: {receiver: here, group_by: [alertname, cluster, service], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}\n" +
		"receivers: [{name: here, webhook_configs: [{url: \"" + to + "\"}]}]\n"
	must(t, os.WriteFile(filepath.Join(dir, "alertmanager.yml"), []byte(config), 0o600))
	daemon(t, "prometheus-alertmanager", nil, "--config.file="+filepath.Join(dir, "alertmanager.yml"), "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--cluster.listen-address=")
	answers(t, "http://"+address+"/-/ready")
	return address
}

// inbox is what a receiver of alerts has got: "NAME CLUSTER/SERVICE status".
type inbox struct {
	url string
	mu  sync.Mutex
	got []string
}

func receiver(t *testing.T) *inbox {
	t.Helper()
	i := new(inbox)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct {
			Alerts []struct {
				Status string
				Labels map[string]string
			}
		}
		if json.NewDecoder(r.Body).Decode(&message) != nil {
			return
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		for _, a := range message.Alerts {
			i.got = append(i.got, fmt.Sprintf("%s %s/%s %s", a.Labels["alertname"], a.Labels["cluster"], a.Labels["service"], a.Status))
		}
	}))
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

func (i *inbox) all() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.got)
}

func (i *inbox) until(t *testing.T, want string, within time.Duration) {
	t.Helper()
	eventually(t, within, func() bool { return slices.Contains(i.all(), want) }, func() string { return fmt.Sprintf("no %q, got %q", want, i.all()) })
}
