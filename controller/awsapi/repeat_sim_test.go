package awsapi_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// neverTwice makes each reply another text than all before it, which says the same.
type neverTwice struct {
	region sim.Doer
	n      atomic.Int32
}

func (c *neverTwice) Do(req *http.Request) (*http.Response, error) {
	rep, err := c.region.Do(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(rep.Body)
	if err != nil {
		return nil, err
	}
	if at := bytes.IndexAny(body, "{>") + 1; at > 0 {
		body = append(append(bytes.Clone(body[:at]), bytes.Repeat([]byte(" "), int(c.n.Add(1)%2000))...), body[at:]...)
	}
	rep.Body, rep.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return rep, nil
}

// SAFETY: a reply that repeats the one before gives what reading it would have
// given. Two observers look at one region, and one of them never gets a reply
// twice: what they know is the same in every pass, whatever happens.
func TestSafetyRepeatedReplyIsRead(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { repeatWorld(t, seed) })
		})
	}
}

func repeatWorld(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 3))
	specs := make([]sim.ServiceSpec, 3)
	ids := make([]fleet.ServiceID, len(specs))
	for i := range specs {
		specs[i] = sim.ReferenceWorkload("prod", fmt.Sprintf("s%d", i))
		specs[i].Groups[0].DeregistrationDelay = 30 * time.Second
		ids[i] = fleet.ServiceID{Cluster: "prod", Name: specs[i].Name}
	}
	specs[1].LaunchType, specs[1].NetworkMode = fleet.EC2, fleet.NetworkBridge
	specs[2].Groups[0].Alternate = true
	r := region(t, sim.Options{Seed: seed}, "prod", sim.ClusterOptions{Instances: 2}, specs...)
	watch := func(client aws.HTTPClient) *awsapi.Observer {
		cfg := config(r)
		cfg.HTTPClient, cfg.Retryer = client, func() aws.Retryer { return aws.NopRetryer{} } // no time passes between the two
		unlimited := math.Inf(1)
		return newObserver(t, awsapi.Options{Config: cfg, Budgets: awsapi.Budgets{
			ClusterRead: unlimited, ClusterResourceRead: unlimited, ServiceRead: unlimited, TaskDefinitionRead: unlimited, BalancerRead: unlimited,
		}})
	}
	one, two := watch(sim.Doer{Region: r}), watch(&neverTwice{region: sim.Doer{Region: r}})
	for pass := range 400 {
		id := ids[rng.IntN(len(ids))]
		if tasks := r.Tasks(id); len(tasks) > 0 && rng.IntN(6) == 0 {
			repeatDeed(rng, r, id, tasks[rng.IntN(len(tasks))])
		}
		time.Sleep(time.Duration(rng.IntN(6000)) * time.Millisecond)
		a, b := one.Observe(t.Context(), nil), two.Observe(t.Context(), nil)
		if tasks := r.Tasks(id); len(tasks) > 0 && rng.IntN(4) == 0 {
			arns := []fleet.TaskARN{tasks[rng.IntN(len(tasks))].ARN}
			groups := r.ProductionGroups(id)
			a, b = one.Refresh(t.Context(), arns, groups), two.Refresh(t.Context(), arns, groups)
		}
		for _, s := range []*fleet.Snapshot{a, b} {
			for i := range s.Gaps {
				s.Gaps[i].Detail = "" // it says where in the text something was wrong
			}
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("pass %d:\n%s\nand read anew\n%s", pass, told(a), told(b))
		}
	}
}

// repeatDeed does one thing at random; what cannot be done is left.
func repeatDeed(rng *rand.Rand, r *sim.Region, id fleet.ServiceID, task sim.TaskInfo) {
	effects := []sim.Effect{sim.Deny, sim.Throttle, sim.ServerError, sim.LoseReply, sim.Truncate, sim.Garbage}
	deeds := []func() error{
		func() error { return r.Hang(task.ARN) },
		func() error { return r.KillFront(task.ARN) },
		func() error { return r.Recover(task.ARN) },
		func() error { return r.Exit(task.ARN) },
		func() error { return r.StopTask(task.ARN, "") },
		func() error { return r.Disconnect(task.ARN) },
		func() error { return r.Reconnect(task.ARN) },
		func() error { return r.Deploy(id) },
		func() error { return r.Scale(id, 1+rng.IntN(5)) },
		func() error { return r.Deregister(task.Targets[0].Group, task.Targets[:1]) },
		func() error {
			return r.Say(task.Targets[0], []fleet.TargetState{"", "puzzled"}[rng.IntN(2)], "Target.Puzzled")
		},
		func() error {
			operation := []string{"DescribeTasks", "DescribeTargetHealth", ""}[rng.IntN(3)]
			r.Fault(sim.Fault{Operation: operation, Effect: effects[rng.IntN(len(effects))], For: 10 * time.Second})
			return nil
		},
	}
	_ = deeds[rng.IntN(len(deeds))]()
}

// told is a Snapshot in words.
func told(s *fleet.Snapshot) string {
	var b bytes.Buffer
	for _, t := range s.Tasks {
		fmt.Fprintf(&b, "%+v\n", *t)
	}
	for _, g := range s.TargetGroups {
		fmt.Fprintf(&b, "%+v\n", *g)
	}
	fmt.Fprintf(&b, "%+v\n", s.Gaps)
	return b.String()
}
