package deploy

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/sim"
)

var costs = flag.Bool("costs", false, "with -castoff: measure what castoff costs at 100, 1,000 and 10,000 tasks; takes seven minutes")

// TestCosts measures a castoff with its defaults against a simulated region in
// real time, AWS's limits enforced: how long to the first good pass, and, once it
// has the whole fleet, its memory, its share of a CPU and its calls. Its output is
// the table of deploy/README.md.
func TestCosts(t *testing.T) {
	if !*costs || *binary == "" {
		t.Skip("no -costs: make costs measures")
	}
	t.Log("| tasks | services | first good pass | whole fleet read | memory, at most | CPU | calls/s: ECS, ELB |")
	for _, size := range []struct{ services, perService int }{{10, 10}, {50, 20}, {500, 20}} {
		t.Run(strconv.Itoa(size.services*size.perService), func(t *testing.T) {
			region := sim.New(sim.Options{Seed: 1, Throttle: true, Latency: 20 * time.Millisecond})
			must(t, region.AddCluster("prod", sim.ClusterOptions{}))
			for n := range size.services {
				spec := sim.ReferenceWorkload("prod", fmt.Sprintf("s%03d", n))
				spec.Desired = size.perService
				must(t, region.AddService(spec))
			}
			aws := httptest.NewServer(region)
			defer aws.Close()
			site := free(t)
			began := time.Now()
			process := daemon(t, *binary, []string{
				"AWS_REGION=" + sim.RegionName, "AWS_ENDPOINT_URL=" + aws.URL, "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=not-a-secret", "AWS_EC2_METADATA_DISABLED=true",
			}, "run", "--listen", site, "--state", t.TempDir())
			eventually(t, 10*time.Minute, func() bool { status, _ := get(t, "http://"+site+"/readyz"); return status == http.StatusOK }, func() string { return "not ready" })
			ready := time.Since(began)
			eventually(t, 10*time.Minute, func() bool {
				text := scrape(t, site)
				return sum(text, `castoff_targets\{.*state="healthy"`) == float64(size.services*size.perService)
			}, func() string { return "not all targets were read" })
			whole := time.Since(began)
			before := scrape(t, site)
			const window = time.Minute
			end := time.NewTimer(window)
			<-end.C
			after := scrape(t, site)
			per := func(series string) float64 { return (sum(after, series) - sum(before, series)) / window.Seconds() }
			t.Logf("| %d | %d | %.1f s | %.0f s | %.0f MiB | %.1f %% | %.1f, %.1f |", size.services*size.perService, size.services, ready.Seconds(), whole.Seconds(),
				peak(t, process), 100*per("process_cpu_seconds_total"), per(`castoff_aws_requests_total\{.*service="ecs"`), per(`castoff_aws_requests_total\{.*service="elbv2"`))
		})
	}
}

func scrape(t *testing.T, site string) string {
	t.Helper()
	_, body := get(t, "http://"+site+"/metrics")
	return string(body)
}

// sum adds up the series of an exposition that begin as the pattern says.
func sum(text, pattern string) (total float64) {
	for _, m := range regexp.MustCompile(`(?m)^`+pattern+`[^\n]* ([0-9.e+-]+)$`).FindAllStringSubmatch(text, -1) {
		v, _ := strconv.ParseFloat(m[1], 64) // as the pattern has it
		total += v
	}
	return total
}

// peak is the most memory that a process ever had resident, in MiB.
func peak(t *testing.T, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib / 1024
}
