package awsapi_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"golang.org/x/sync/errgroup"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// canned answers with what the region once answered, so that what the region
// itself costs is not measured.
type canned struct {
	region  sim.Doer
	mu      sync.Mutex
	replies map[string]*http.Response
	bodies  map[string][]byte
	calls   int
	anew    bool // each reply is another text than the one before
}

func (c *canned) Do(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	key := req.Header.Get("X-Amz-Target") + string(body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if c.replies[key] == nil {
		req.Body = io.NopCloser(bytes.NewReader(body))
		resp, err := c.region.Do(req)
		if err != nil {
			return nil, err
		}
		if c.bodies[key], err = io.ReadAll(resp.Body); err != nil {
			return nil, err
		}
		c.replies[key] = resp
	}
	resp := *c.replies[key]
	text := c.bodies[key]
	if c.anew {
		at := bytes.IndexAny(text, "{>") + 1
		text = append(append(append(make([]byte, 0, len(text)+8), text[:at]...), "        "[:c.calls%8]...), text[at:]...)
	}
	resp.Body, resp.ContentLength, resp.Request = io.NopCloser(bytes.NewReader(text)), int64(len(text)), req
	return &resp, nil
}

// BenchmarkPass is a pass over 10,000 tasks in 500 services with 500 target
// groups, in which every task and every group is due:
//
// Calm, when each reply says what the one before said, and with a word of each
// changed:
//
//	calls/floor   AWS calls over ⌈tasks/100⌉ + groups
//	cpu/bare      CPU over that of the bare SDK making the same calls
//	heap-B/task   live heap of the Observer and its last Snapshot
func BenchmarkPass(b *testing.B) {
	b.Run("calm", func(b *testing.B) { benchmarkPass(b, false) })
	b.Run("changed", func(b *testing.B) { benchmarkPass(b, true) })
}

func benchmarkPass(b *testing.B, anew bool) {
	const services, perService = 500, 20
	region := sim.New(sim.Options{Seed: 1})
	if err := region.AddCluster("prod", sim.ClusterOptions{}); err != nil {
		b.Fatal(err)
	}
	for i := range services {
		spec := sim.ReferenceWorkload("prod", fmt.Sprintf("service-%03d", i))
		spec.Desired = perService
		if err := region.AddService(spec); err != nil {
			b.Fatal(err)
		}
	}
	http := &canned{region: sim.Doer{Region: region}, replies: make(map[string]*http.Response), bodies: make(map[string][]byte)}
	cfg := config(region)
	cfg.HTTPClient = http
	opts := awsapi.Options{
		Config: cfg, Interval: 1, HotInterval: 1, CalmInterval: 1, DiscoveryInterval: time.Hour, InventoryInterval: time.Hour,
	}
	for _, budget := range []*float64{
		&opts.Budgets.ClusterRead, &opts.Budgets.ClusterResourceRead, &opts.Budgets.ServiceRead, &opts.Budgets.TaskDefinitionRead, &opts.Budgets.BalancerRead,
	} {
		*budget = math.Inf(1)
	}
	observer, err := awsapi.New(opts)
	if err != nil {
		b.Fatal(err)
	}
	var snapshot *fleet.Snapshot
	for range 2 { // the second has recorded what later ones ask for
		snapshot = observer.Observe(b.Context(), nil)
	}
	if len(snapshot.Gaps) != 0 || len(snapshot.Tasks) != services*perService || len(snapshot.TargetGroups) != services {
		b.Fatalf("%d tasks, %d groups, gaps %.500v", len(snapshot.Tasks), len(snapshot.TargetGroups), snapshot.Gaps)
	}
	bare := newBare(cfg, snapshot)
	http.anew = anew

	var pass, sdk time.Duration
	http.calls = 0
	passes := 0
	for b.Loop() {
		runtime.GC()
		begun := cpu(b)
		snapshot = observer.Observe(b.Context(), nil)
		pass += cpu(b) - begun
		passes++
		b.StopTimer()
		runtime.GC()
		begun, calls := cpu(b), http.calls
		bare.run(b)
		sdk += cpu(b) - begun
		http.calls = calls
		b.StartTimer()
	}
	floor := float64((services*perService+99)/100 + services)
	b.ReportMetric(float64(http.calls)/float64(passes)/floor, "calls/floor")
	b.ReportMetric(float64(pass)/float64(sdk), "cpu/bare")
	b.ReportMetric(float64(pass.Nanoseconds())/float64(passes), "cpu-ns/pass")
	with := heap()
	runtime.KeepAlive(observer) // and no longer
	runtime.KeepAlive(snapshot)
	b.ReportMetric(float64(with-heap())/(services*perService), "heap-B/task")
	runtime.KeepAlive(http)
	runtime.KeepAlive(bare)
}

// bareSDK makes the calls of a pass and drops the answers.
type bareSDK struct {
	ecs     *ecs.Client
	elb     *elb.Client
	batches [][]string
	groups  []string
}

func newBare(cfg aws.Config, s *fleet.Snapshot) *bareSDK {
	sdk := &bareSDK{ecs: ecs.NewFromConfig(cfg), elb: elb.NewFromConfig(cfg)}
	var batch []string
	for _, t := range s.Tasks {
		if batch = append(batch, strings.Clone(string(t.ARN))); len(batch) == 100 {
			sdk.batches, batch = append(sdk.batches, batch), nil
		}
	}
	for _, g := range s.TargetGroups {
		sdk.groups = append(sdk.groups, strings.Clone(string(g.ARN)))
	}
	return sdk
}

func (sdk *bareSDK) run(b *testing.B) {
	var group errgroup.Group
	group.SetLimit(8)
	for _, batch := range sdk.batches {
		group.Go(func() error {
			_, err := sdk.ecs.DescribeTasks(b.Context(), &ecs.DescribeTasksInput{
				Cluster: aws.String("arn:aws:ecs:eu-central-1:123456789012:cluster/prod"), Tasks: batch,
			})
			return err
		})
	}
	for _, arn := range sdk.groups {
		group.Go(func() error {
			_, err := sdk.elb.DescribeTargetHealth(b.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: &arn})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
}

// cpu is what the process has used so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
