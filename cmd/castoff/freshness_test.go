package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/metrics"
)

// fleetSize is a fleet and what castoff may spend on it.
type fleetSize struct {
	services, perService int
	budgets              float64 // times the defaults
}

// sizes are the rows of README's table. Only the first few are measured in
// every run of the tests; -update measures all.
var sizes = []fleetSize{
	{services: 10, perService: 10, budgets: 1},
	{services: 50, perService: 20, budgets: 1},
	{services: 250, perService: 20, budgets: 1},
	{services: 250, perService: 20, budgets: 2},
	{services: 500, perService: 20, budgets: 1},
	{services: 500, perService: 20, budgets: 2},
}

const sizesInEveryRun = 1

// ages are the oldest readings that were met.
type ages struct {
	tasks, groups       time.Duration // while nothing fails
	hotTasks, hotGroup  time.Duration // of the service in which a task fails
	otherTasks          time.Duration // of the others meanwhile
	complete            time.Duration // from the start to everything having been read once
	perSecond, elbCalls float64       // calls of DescribeTasks and ListTasks, and of ELBv2, while nothing fails
}

const freshnessHead = `| tasks | services and groups | budgets: task, ELB calls/s | every task | every target group | tasks of a failing service | its target group | other tasks meanwhile | first full picture | calls/s: task, ELB |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
`

// TestReadmeFreshness measures how old castoff's readings get, by its defaults
// against the simulated region in virtual time, each call taking 50 ms.
func TestReadmeFreshness(t *testing.T) {
	measured := sizes[:sizesInEveryRun]
	if *update {
		measured = sizes
	}
	var rows strings.Builder
	for _, size := range measured {
		var a ages
		synctest.Test(t, func(t *testing.T) { a = size.measure(t) })
		b := config.Default().AWS.Budgets
		fmt.Fprintf(&rows, "| %s | %d | %g, %g | %s | %s | %s | %s | %s | %s | %.1f, %.1f |\n",
			thousands(size.services*size.perService), size.services, b.ClusterResourceRead*size.budgets, b.ELBRead*size.budgets,
			whole(a.tasks), whole(a.groups), whole(a.hotTasks), whole(a.hotGroup), whole(a.otherTasks), whole(a.complete), a.perSecond, a.elbCalls)
	}
	text := readme(t)
	before, part, after, ok := between(text, "freshness")
	if !ok {
		t.Fatal("README.md has no markers freshness:begin and freshness:end")
	}
	if *update {
		text = before + "<!-- freshness:begin -->\n" + freshnessHead + rows.String() + "<!-- freshness:end -->" + after
		if err := os.WriteFile(readmeFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	printed, ok := strings.CutPrefix(part, freshnessHead)
	if !ok || strings.Count(printed, "\n") != len(sizes) || !alike(printed, rows.String()) {
		t.Errorf("README.md's table of freshness is not what is measured (-update rewrites it). It has\n%s\nand these rows were measured:\n%s", printed, rows.String())
	}
}

// alike reports that a table has the numbers that were measured, give or take
// what depends on the order in which goroutines run.
func alike(printed, measured string) bool {
	number := regexp.MustCompile(`[0-9][0-9,]*(\.[0-9]+)?`)
	was, is := number.FindAllString(printed, -1), number.FindAllString(measured, -1)
	if len(was) < len(is) {
		return false
	}
	for i := range is {
		a, errA := strconv.ParseFloat(strings.ReplaceAll(was[i], ",", ""), 64)
		b, errB := strconv.ParseFloat(strings.ReplaceAll(is[i], ",", ""), 64)
		if errA != nil || errB != nil || math.Abs(a-b) > max(1, a/10) {
			return false
		}
	}
	return true
}

// whole rounds up, to seconds or, where the digits mean nothing, to more.
func whole(d time.Duration) string {
	s := math.Ceil(d.Seconds())
	if s > 60 {
		s = math.Ceil(s/5) * 5
	}
	return fmt.Sprintf("%.0f s", s)
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

func (f fleetSize) region(t *testing.T) *sim.Region {
	t.Helper()
	r := sim.New(sim.Options{Seed: 1, Throttle: true, Latency: 50 * time.Millisecond})
	if err := r.AddCluster("prod", sim.ClusterOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := range f.services {
		spec := sim.ReferenceWorkload("prod", fmt.Sprintf("s%03d", i))
		spec.Desired = f.perService
		if err := r.AddService(spec); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (f fleetSize) measure(t *testing.T) (a ages) {
	r := f.region(t)
	cfg := config.Default()
	for _, b := range []*float64{
		&cfg.AWS.Budgets.ClusterRead, &cfg.AWS.Budgets.ClusterResourceRead, &cfg.AWS.Budgets.ServiceRead,
		&cfg.AWS.Budgets.TaskDefinitionRead, &cfg.AWS.Budgets.ELBRead,
	} {
		*b *= f.budgets
	}
	m := metrics.New(prometheus.NewRegistry(), metrics.Options{})
	aws := awsapi.Simulated("http://aws.invalid", sim.RegionName)
	doer := &counting{Doer: sim.Doer{Region: r}}
	aws.HTTPClient = doer
	cfg.Web.Listen = ""
	daemon, _, err := controller.Open(cfg, controller.Place{
		Options: controller.Options{Metrics: m, Exposition: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler), Seed: 1},
		AWS:     awsapi.Options{Config: aws, Recorder: m.AWS},
	})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	daemon.Start()
	defer func() { _ = daemon.Stop(context.Background()) }()

	tasks := f.services * f.perService
	for complete := false; !complete; time.Sleep(time.Second) {
		s := daemon.View().Snapshot
		complete = s != nil && len(s.Tasks) == tasks && len(s.TargetGroups) == f.services
		for i := 0; complete && i < f.services; i++ {
			complete = !s.TargetGroups[i].Read.Never()
		}
		a.complete = time.Since(began)
		if a.complete > time.Hour {
			t.Fatalf("of %d tasks no full picture after %s", tasks, a.complete)
		}
	}
	time.Sleep(5 * time.Minute) // to a steady state
	doer.reset()
	const window = 10 * time.Minute
	f.watch(daemon, window, func(_ bool, task, group time.Duration) {
		a.tasks, a.groups = max(a.tasks, task), max(a.groups, group)
	})
	a.perSecond, a.elbCalls = doer.rates(window)

	failing := fleet.ServiceID{Cluster: "prod", Name: "s000"}
	if err := r.Hang(r.Tasks(failing)[0].ARN); err != nil {
		t.Fatal(err)
	}
	for len(daemon.View().Open) == 0 {
		time.Sleep(time.Second)
	}
	time.Sleep(10 * time.Second)
	f.watch(daemon, 90*time.Second, func(hot bool, task, group time.Duration) {
		if hot {
			a.hotTasks, a.hotGroup = max(a.hotTasks, task), max(a.hotGroup, group)
		} else {
			a.otherTasks = max(a.otherTasks, task)
		}
	})
	return a
}

// watch tells of the ages of readings again and again: of the failing service
// (hot) and of all others.
func (f fleetSize) watch(daemon *controller.Controller, window time.Duration, saw func(hot bool, task, group time.Duration)) {
	for end := time.Now().Add(window); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		s, now := daemon.View().Snapshot, time.Now()
		hotGroup := map[fleet.TargetGroupARN]bool{}
		var hotTask, otherTask, hotRows, otherRows time.Duration
		for _, task := range s.Tasks {
			if task.Gone() {
				continue
			}
			age := now.Sub(task.Read.Sent)
			if task.Service.Name != "s000" {
				otherTask = max(otherTask, age)
				continue
			}
			hotTask = max(hotTask, age)
			for _, key := range task.Targets {
				hotGroup[key.Group] = true
			}
		}
		for _, g := range s.TargetGroups {
			if age := now.Sub(g.Read.Sent); hotGroup[g.ARN] {
				hotRows = max(hotRows, age)
			} else {
				otherRows = max(otherRows, age)
			}
		}
		saw(true, hotTask, hotRows)
		saw(false, otherTask, otherRows)
	}
}

// counting counts the requests that share a budget.
type counting struct {
	sim.Doer
	mu    sync.Mutex
	tasks int
	elb   int
}

// Do carries the request out.
func (c *counting) Do(req *http.Request) (*http.Response, error) {
	c.mu.Lock()
	switch target := req.Header.Get("X-Amz-Target"); {
	case target == "":
		c.elb++
	case strings.HasSuffix(target, "Tasks"):
		c.tasks++
	}
	c.mu.Unlock()
	return c.Doer.Do(req)
}

func (c *counting) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tasks, c.elb = 0, 0
}

func (c *counting) rates(over time.Duration) (tasks, elb float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return float64(c.tasks) / over.Seconds(), float64(c.elb) / over.Seconds()
}
