package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

const (
	prodARN   = fleet.ClusterARN("arn:aws:ecs:eu-central-1:123456789012:cluster/prod")
	shopARN   = fleet.TaskDefinitionARN("arn:aws:ecs:eu-central-1:123456789012:task-definition/shop:1")
	shopGroup = fleet.TargetGroupARN("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/shop/0123456789abcdef")
)

func shopTask(i int) fleet.TaskARN {
	return fleet.TaskARN(fmt.Sprintf("arn:aws:ecs:eu-central-1:123456789012:task/prod/%d", i))
}

// hung is a fleet of five tasks behind one group, read now, of which the first
// hangs and the balancer has not noticed.
func hung() *fleet.Snapshot {
	now := time.Now().Round(0)
	read := fleet.Read{Sent: now, Received: now}
	s := fleet.Snapshot{
		At:       now,
		Clusters: []*fleet.Cluster{{ARN: prodARN, Name: "prod", Read: read}},
		Services: []*fleet.Service{{ID: shop, Status: "ACTIVE", Desired: 5, Read: read, Deployments: []fleet.Deployment{{ID: "1", Status: "PRIMARY", Rollout: "COMPLETED"}}}},
		Definitions: map[fleet.TaskDefinitionARN]*fleet.TaskDefinition{shopARN: {ARN: shopARN, Containers: []fleet.ContainerDefinition{
			{Name: "nginx", Essential: true, Check: &fleet.HealthCheck{Interval: 5 * time.Second, Timeout: 3 * time.Second, Retries: 2}},
		}}},
	}
	g := &fleet.TargetGroup{ARN: shopGroup, Name: "shop", Protocol: "TCP", TargetType: fleet.TargetTypeIP, Read: read, Inventory: read,
		Attributes: fleet.TargetGroupAttributes{Known: true, CrossZone: "true", Read: read}}
	for i := range 5 {
		health := fleet.Healthy
		if i == 0 {
			health = fleet.Unhealthy
		}
		key := fleet.NewTargetKey(shopGroup, fmt.Sprintf("10.0.0.%d", i+1), 10080)
		g.Targets = append(g.Targets, fleet.Target{Key: key, State: fleet.TargetHealthy})
		s.Tasks = append(s.Tasks, &fleet.Task{
			ARN: shopTask(i), Cluster: prodARN, Service: shop, Definition: shopARN, LastStatus: fleet.Running, DesiredStatus: fleet.Running,
			Connectivity: fleet.Connected, Health: health, Created: longAgo, Started: longAgo, Read: read,
			Containers: []fleet.Container{{Name: "nginx", Health: health}}, Targets: []fleet.TargetKey{key},
		})
	}
	s.TargetGroups = []*fleet.TargetGroup{g}
	return fleet.NewSnapshot(s)
}

// longAgo is before any bubble begins.
var longAgo = time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)

// hand is an Actor whose calls are the test's; one that is nil succeeds.
type hand struct {
	deregister, register func(context.Context) error
}

func (h hand) Deregister(ctx context.Context, _ time.Time, _ fleet.TargetGroupARN, _ []fleet.TargetKey) error {
	return call(ctx, h.deregister)
}

func (h hand) Register(ctx context.Context, _ time.Time, _ fleet.TargetGroupARN, _ []fleet.Target) error {
	return call(ctx, h.register)
}

func call(ctx context.Context, f func(context.Context) error) error {
	if f == nil {
		return nil
	}
	return f(ctx)
}

// actor are options for a castoff in a mode that sees the hung fleet.
func actor(mode policy.Mode, h hand) (Options, *prometheus.Registry) {
	o, reg := options(observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot { return hung() }), io.Discard)
	limits := policy.DefaultLimits()
	limits.Mode = mode
	o.Actor, o.Policy = h, Policy{Limits: func(fleet.ServiceID) policy.Limits { return limits }, Fleet: policy.DefaultFleetLimits()}
	return o, reg
}

// What would have been called is counted once, and nothing is called.
func TestObservingCountsTheCallThatIsNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		called := func(context.Context) error { t.Error("called"); return nil }
		o, reg := actor(policy.Observing, hand{deregister: called, register: called})
		c := start(t, o)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if ds := c.View().Detachments; len(ds) != 1 || ds[0].Mode != policy.Observing {
			t.Fatalf("detachments: %+v", ds)
		}
		if n := sum(t, reg, "castoff_detach_calls_total"); n != 1 {
			t.Errorf("%v calls counted, want 1", n)
		}
	})
}

// sum is a counter over all its series.
func sum(t *testing.T, reg *prometheus.Registry, name string) (total float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				total += m.GetCounter().GetValue()
			}
		}
	}
	return total
}

// A call that no request left for is none: it is asked for again in the next
// pass, and until then uses up nobody's budget.
func TestCallThatCouldNotLeaveCountsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		o, reg := actor(policy.Detaching, hand{deregister: func(context.Context) error {
			calls++
			return &fleet.CallError{Class: fleet.Paced, Err: errors.New("too late")}
		}})
		c := start(t, o)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		ds := c.View().Detachments
		if calls < 2 || len(ds) != 1 || ds[0].Out() || ds[0].Rejected != 0 || sum(t, reg, "castoff_detach_calls_total") != 0 {
			t.Errorf("%d calls, %+v", calls, ds)
		}
	})
}

// A target that is back and is taken out again in the same pass is two
// detachments: the end of the first must reach the journal, or it is open there
// for ever.
func TestDetachmentThatEndsAsTheNextBegins(t *testing.T) {
	o, _ := actor(policy.Detaching, hand{})
	kept := journal.Memory(journal.Options{Keep: journal.Keep{Count: 10, Age: time.Hour}})
	o.Journal = kept
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	first := policy.Detachment{Target: fleet.NewTargetKey(shopGroup, "10.0.0.1", 10080), Task: shopTask(0), Started: longAgo, Service: shop,
		Mode: policy.Detaching, Decided: now, Progress: policy.Attaching}
	c.keep(first)
	c.commit(nil)
	next := first
	next.Decided, next.Progress = now.Add(time.Minute), policy.Out
	first.Progress, first.Outcome, first.Ended = policy.Closed, policy.Recovered, now.Add(time.Minute)
	c.keep(first)
	c.keep(next)
	c.tracker.Track(fleet.NewSnapshot(fleet.Snapshot{At: now.Add(time.Minute)}))
	c.commit(nil)
	got, err := kept.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Detachments) != 1 || !got.Detachments[0].Decided.Equal(next.Decided) || len(got.Ended) != 1 {
		t.Errorf("open %+v\nended %+v", got.Detachments, got.Ended)
	}
}

// A clock that is set back makes castoff watch for its startup window again, not
// until the clock is where it was.
func TestClockSetBackBeginsTheStartupWindowAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		o, _ := actor(policy.Detaching, hand{deregister: func(context.Context) error { calls++; return nil }})
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer stop(t, c)
		c.acting.began = time.Now().Round(0).Add(24 * time.Hour)
		for range 60 {
			c.act(t.Context(), hung())
			if time.Sleep(time.Second); calls > 0 {
				t.Fatal("called within the window")
			}
		}
		c.act(t.Context(), hung())
		if calls != 1 {
			t.Errorf("%d calls after the window", calls)
		}
	})
}

// A task that the look again shows healthy has not failed so often in a row: an old
// reply may show it failing once more in the next pass.
func TestLookAgainThatShowsItHealthyBeginsTheCountAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := actor(policy.Detaching, hand{deregister: func(context.Context) error { t.Error("called"); return nil }})
		looks := 0
		o.Observer = observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot {
			looks++ // in the very instant of the pass
			s := hung()
			s.Tasks[0].Health, s.Tasks[0].Containers[0].Health = fleet.Healthy, fleet.Healthy
			return s
		})
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer stop(t, c)
		c.acting.began = time.Now().Round(0).Add(-time.Hour)
		for range 3 { // two readings are wanted
			c.act(t.Context(), hung())
			time.Sleep(time.Second)
		}
		if v := c.acting.verdicts[0]; looks != 1 || v.Guard != policy.Confirm {
			t.Errorf("%d looks again, then %s by %s: %s", looks, v.Decision, v.Guard, v.Sentence)
		}
	})
}

// A castoff that was killed between a call and the end of its pass has written down
// only that it would call: what it took out is its own doing all the same.
func TestCallOfBeforeARestartIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Round(0)
		o, _ := actor(policy.Detaching, hand{})
		o.Observer = observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot {
			s := *hung()
			s.TargetGroups[0].Targets[0].State = fleet.TargetDraining
			return fleet.NewSnapshot(s)
		})
		o.Past.Detachments = []policy.Detachment{{
			Target: fleet.NewTargetKey(shopGroup, "10.0.0.1", 10080), Task: shopTask(0), Started: longAgo, Service: shop, Cluster: prodARN,
			Mode: policy.Detaching, Decided: now.Add(-time.Minute), Called: now.Add(-time.Minute), Result: policy.NotAnswered, Tries: 1,
			Up: now.Add(-time.Minute), Seen: now.Add(-time.Minute), Progress: policy.Out,
		}}
		c := start(t, o)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		open := c.View().Open
		if len(open) != 1 {
			t.Fatalf("%d timelines", len(open))
		}
		if m, _ := open[0].Milestone(timeline.Detach); m.By != timeline.ByCastoff || !m.Contains(now.Add(-time.Minute)) {
			t.Errorf("taken out by %q: %+v", m.By, m)
		}
	})
}

// A task that cannot be read any more, of another service in the same target group, is
// not counted on. It holds up nothing that goes without it, and what does not says so.
func TestNeighbourThatCannotBeReadHoldsUpNothing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		count int // of healthy targets that the group itself asks for
		calls int
	}{{"enough without it", 4, 1}, {"not enough without it", 5, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, unread := 0, time.Now().Round(0)
				w := &world{change: func(s *fleet.Snapshot) {
					g := s.TargetGroups[0]
					g.Attributes.Raw = map[string]string{"target_group_health.dns_failover.minimum_healthy_targets.count": fmt.Sprint(tt.count)}
					other := *s.Tasks[1]
					key := fleet.NewTargetKey(shopGroup, "10.0.1.1", 10080)
					other.ARN, other.Service.Name, other.Targets = shopTask(9), "other", []fleet.TargetKey{key}
					if since := time.Since(unread); since > time.Minute { // until then it is well
						other.Read = fleet.Read{Sent: s.At.Add(-5 * time.Second), Received: s.At.Add(-5 * time.Second)}
					} else {
						s.Tasks[0].Health, s.Tasks[0].Containers[0].Health = fleet.Healthy, fleet.Healthy
					}
					s.Tasks, g.Targets = append(s.Tasks, &other), append(g.Targets, fleet.Target{Key: key, State: fleet.TargetHealthy})
				}}
				c := looking(t, policy.Detaching, hand{deregister: func(context.Context) error { calls++; return nil }}, w, nil)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if calls == 0 != (tt.calls == 0) {
					t.Errorf("%d calls, want %d", calls, tt.calls)
				}
				if v := c.View().Verdicts[0]; tt.calls == 0 && (v.Decision != policy.Hold || v.Guard != policy.Floor) {
					t.Errorf("%s by %s: %s", v.Decision, v.Guard, v.Sentence)
				}
			})
		})
	}
}
