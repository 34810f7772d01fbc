package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// driven is castoff in a world whose time the test drives, one pass a second, with all
// that it writes into its log, but for when.
func driven(t *testing.T, w *world, h hand, change func(*Options)) (c *Controller, pass func(n int), log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	o, _ := actor(policy.Detaching, h)
	o.Observer, o.Now = w, time.Now
	o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c, func(n int) {
		for range n {
			c.Step(t.Context())
			time.Sleep(time.Second)
		}
	}, log
}

// without is a fleet whose first target is out; healed, one whose first task is well.
func without(s *fleet.Snapshot) { s.TargetGroups[0].Targets = s.TargetGroups[0].Targets[1:] }

func healed(s *fleet.Snapshot) {
	s.Tasks[0].Health, s.Tasks[0].Containers[0].Health = fleet.Healthy, fleet.Healthy
}

// What castoff does about one target, from the first sight of it to the end, and what
// people, the journal and the metrics hear of it.
func TestTargetGoesOutAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		var j *journal.Journal
		var took, gave []string
		also, reg := actor(policy.Detaching, hand{})
		c, pass, log := driven(t, w, hand{
			deregister: func(context.Context) error { took = append(took, "out"); w.set(without); return nil },
			register:   func(context.Context) error { gave = append(gave, "back"); w.set(healed); return nil },
		}, func(o *Options) {
			j, o.Metrics = kept(o), also.Metrics
			o.Policy.Pauses = []policy.Pause{{Scope: policy.ScopeCluster, Service: fleet.ServiceID{Cluster: "other"}, Owner: "us", Reason: "a test"}}
		})
		defer stop(t, c)
		began := time.Now().Round(0)
		pass(70)
		called := began.Add(time.Minute)
		v := c.View()
		if len(v.Detachments) != 1 || len(v.Pauses) != 1 || v.Modes[shop] != policy.Detaching || !v.Began.Equal(began) {
			t.Errorf("%+v, pauses %+v, modes %v, since %s", v.Detachments, v.Pauses, v.Modes, v.Began)
		}
		if d := v.Detachments[0]; !d.Out() || d.Result != policy.Accepted || d.Tries != 1 || d.Cluster != prodARN || !d.Decided.Equal(called) || !d.Called.Equal(called) {
			t.Errorf("out: %+v", d)
		}
		for _, name := range []string{"budget", "rate"} {
			if !slices.Contains(v.Usage, policy.Use{Service: shop, Name: name, Used: 1, Limit: 1}) {
				t.Errorf("usage %+v", v.Usage)
			}
		}
		if got, err := j.Load(); err != nil || len(got.Detachments) != 1 || got.Detachments[0].Result != policy.Accepted {
			t.Errorf("kept: %+v, %v", got.Detachments, err)
		}
		w.set(func(s *fleet.Snapshot) { without(s); healed(s) })
		pass(70)
		v = c.View()
		if len(v.Detachments) != 1 || v.Detachments[0].Open() || v.Detachments[0].AttachResult != policy.Accepted || v.Detachments[0].Outcome != policy.Recovered {
			t.Errorf("back: %+v", v.Detachments)
		}
		if got, err := j.Load(); err != nil || len(got.Detachments) != 0 || len(got.Ended) != 1 {
			t.Errorf("kept: %+v, ended %+v, %v", got.Detachments, got.Ended, err)
		}
		if len(took) != 1 || len(gave) != 1 {
			t.Errorf("calls: %v %v", took, gave)
		}
		for name, want := range map[string]float64{"castoff_verdicts_total": 3, "castoff_detach_calls_total": 1, "castoff_reattach_calls_total": 1} {
			if n := sum(t, reg, name); n != want {
				t.Errorf("%s is %v, want %v", name, n, want)
			}
		}
		const about = " cluster=prod service=shop task=0 target=10.0.0.1:10080"
		var said []string
		for line := range strings.Lines(log.String()) {
			if !strings.Contains(line, "timeline") {
				said = append(said, strings.TrimSpace(line))
			}
		}
		want := []string{
			`level=INFO msg=decided action=detach decision=hold mode=detach guard=startup reason=startup_window sentence="castoff began 0s ago and watches for 1m0s before it acts"` + about,
			`level=INFO msg="targets changed" call=deregister target_group=shop targets=[10.0.0.1:10080] result=accepted`,
			`level=INFO msg=decided action=detach decision=allow mode=detach guard="" reason=ok sentence="every guard allows taking 10.0.0.1:10080 of task 0 out of shop"` + about,
			`level=INFO msg=decided action=detach decision=refuse mode=detach guard=no_gain reason=already_gone sentence="the target is not in the group"` + about,
			`level=INFO msg=decided action=attach decision=hold mode=detach guard=recovery reason=recovering sentence="healthy for 0s of 1m0s, after 0 flaps"` + about,
			`level=INFO msg="targets changed" call=register target_group=shop targets=[10.0.0.1:10080] result=accepted`,
			`level=INFO msg=decided action=attach decision=allow mode=detach guard="" reason=ok sentence="task 0 is healthy again: 10.0.0.1:10080 goes back into shop"` + about,
			`level=INFO msg="detachment closed"` + about + ` mode=detach outcome=recovered`,
		}
		if !slices.Equal(said, want) {
			t.Errorf("said\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
		}
	})
}

// What came of a call is counted, and said in one line.
func TestWhatCameOfACallIsSaidAndCounted(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		line string
		n    float64
	}{
		{"accepted", nil, `level=INFO msg="targets changed" call=deregister target_group=shop targets=[10.0.0.1:10080] result=accepted`, 1},
		{"refused", &fleet.CallError{Class: fleet.Invalid, Err: errors.New("no")},
			`level=WARN msg="targets not changed" call=deregister target_group=shop targets=[10.0.0.1:10080] result=rejected error=no`, 1},
		{"not answered", &fleet.CallError{Class: fleet.Transient, Err: errors.New("lost"), MayHaveHappened: true},
			`level=WARN msg="targets not changed" call=deregister target_group=shop targets=[10.0.0.1:10080] result=not_answered error=lost`, 1},
		{"not made", &fleet.CallError{Class: fleet.Paced, Err: errors.New("too late")},
			`level=WARN msg="no call was made" call=deregister target_group=shop error="too late"`, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				var n func() float64
				c, pass, log := driven(t, &world{}, hand{deregister: func(context.Context) error {
					if calls++; calls == 1 {
						return tt.err
					}
					return &fleet.CallError{Class: fleet.Paced, Err: errors.New("later")}
				}}, func(o *Options) {
					also, reg := actor(policy.Detaching, hand{})
					o.Metrics = also.Metrics
					n = func() float64 { return sum(t, reg, "castoff_detach_calls_total") }
				})
				defer stop(t, c)
				pass(120)
				if got := strings.Count(log.String(), tt.line+"\n"); got != 1 || n() != tt.n {
					t.Errorf("said %d times, counted %v times\n%s", got, n(), log)
				}
			})
		})
	}
}

// While the journal cannot be written nothing is taken out, which is said once; when it
// can be again, acting goes on.
func TestActingWaitsForTheJournal(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j, err := journal.Open(dir, journal.Options{Version: "test", Keep: journal.Keep{Count: 10, Age: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		names, err := filepath.Glob(filepath.Join(dir, "*.db"))
		if err != nil || len(names) != 1 {
			t.Fatalf("%v, %v", names, err)
		}
		path := names[0]
		w, calls := &world{}, 0
		c, pass, log := driven(t, w, hand{deregister: func(context.Context) error { calls++; w.set(without); return nil }}, func(o *Options) { o.Journal = j })
		defer stop(t, c)
		pass(1)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		if pass(2); len(c.View().Halts) != 1 { // though there is nothing to do yet
			t.Errorf("halts %+v", c.View().Halts)
		}
		pass(118)
		if hs := c.View().Halts; calls != 0 || len(hs) != 1 || hs[0].Cause != haltJournal || !strings.Contains(hs[0].Detail, "cannot be written") {
			t.Errorf("%d calls, halts %+v", calls, hs)
		}
		if n := strings.Count(log.String(), "acting stops"); n != 1 {
			t.Errorf("said %d times", n)
		}
		c.halt(haltPanic, "another thing")
		if len(c.acting.halts) != 2 {
			t.Errorf("halts %+v", c.acting.halts)
		}
		c.acting.halts = c.acting.halts[:1]
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
		pass(60)
		if hs := c.View().Halts; calls != 1 || len(hs) != 0 || strings.Count(log.String(), "the journal can be written again") != 1 {
			t.Errorf("%d calls, halts %+v", calls, hs)
		}
	})
}

// The tasks of the other targets are read again where they may serve and were not just
// read.
func TestOthersAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		change := func(s *fleet.Snapshot, i int, age time.Duration, status, desired fleet.TaskStatus) {
			at := s.At.Add(-age)
			s.Tasks[i].Read, s.Tasks[i].LastStatus, s.Tasks[i].DesiredStatus = fleet.Read{Sent: at, Received: at}, status, desired
		}
		s := hung()
		change(s, 1, policy.Apart, fleet.Running, fleet.Running)
		change(s, 2, policy.Apart+time.Second, fleet.Running, fleet.Running)
		change(s, 3, policy.Apart+time.Second, fleet.Running, fleet.Stopped)
		change(s, 4, policy.Apart+time.Second, fleet.Pending, fleet.Running)
		if got := outdated(s, shopGroup, s.At); !slices.Equal(got, []fleet.TaskARN{shopTask(2)}) {
			t.Errorf("read again %v", got)
		}
		if got := outdated(s, "another", s.At); got != nil {
			t.Errorf("of a group that is not there %v", got)
		}
	})
}

// Without the right to act nothing that is allowed follows, and no verdict says that it does.
func TestVerdictsSayWhetherTheyAreCarriedOut(t *testing.T) {
	for _, acts := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c, pass, _ := driven(t, &world{}, hand{}, func(o *Options) {
				if !acts {
					o.Actor = nil
				}
			})
			defer stop(t, c)
			pass(61)
			if v := c.View().Verdicts[0]; v.Decision != policy.Allow || v.Acts() != acts {
				t.Errorf("acts %t: %s, mode %s", acts, v.Decision, v.Mode)
			}
		})
	}
}

// When the time of a pass is over nothing more is looked at or called.
func TestNoCallAfterThePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		c, pass, _ := driven(t, w, hand{deregister: func(context.Context) error { t.Error("called"); return nil }}, nil)
		defer stop(t, c)
		pass(59)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		time.Sleep(time.Second)
		c.act(over, hung())
		if len(w.looks) != 0 {
			t.Errorf("%d looks", len(w.looks))
		}
	})
}

// A task with two targets is read once, a group with two tasks written once.
func TestGroupsAndTasksOnce(t *testing.T) {
	var vs []policy.Verdict
	for _, group := range []fleet.TargetGroupARN{"a", "a", "b"} {
		vs = append(vs, policy.Verdict{Task: shopTask(0), Target: fleet.TargetKey{Group: group}})
	}
	vs = append(vs, policy.Verdict{Task: shopTask(1), Target: fleet.TargetKey{Group: "c"}})
	all := func(policy.Verdict) bool { return true }
	notC := func(v policy.Verdict) bool { return v.Target.Group != "c" }
	if got := groupsOf(vs, notC); !slices.Equal(got, []fleet.TargetGroupARN{"a", "b"}) {
		t.Errorf("groups %v", got)
	}
	if got := tasksOf(vs, all); !slices.Equal(got, []fleet.TaskARN{shopTask(0), shopTask(1)}) {
		t.Errorf("tasks %v", got)
	}
	if got := tasksOf(vs, notC); !slices.Equal(got, []fleet.TaskARN{shopTask(0)}) {
		t.Errorf("tasks %v", got)
	}
}

// What AWS does not allow is asked for again after a while, and not before.
func TestDeniedCallIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Time
		c, pass, _ := driven(t, &world{}, hand{deregister: func(context.Context) error {
			calls = append(calls, time.Now())
			return &fleet.CallError{Class: fleet.Denied, Err: errors.New("no")}
		}}, nil)
		defer stop(t, c)
		pass(20 * 60)
		if len(calls) < 3 {
			t.Fatalf("called at %v", calls)
		}
		for i := range calls[1:] {
			if wait := calls[i+1].Sub(calls[i]); wait < 5*time.Minute {
				t.Errorf("again after %s", wait)
			}
		}
	})
}

// recorder notes of which group and about which targets a call is.
type recorder struct{ said []string }

func (r *recorder) Deregister(_ context.Context, _ time.Time, group fleet.TargetGroupARN, keys []fleet.TargetKey) error {
	for _, k := range keys {
		r.said = append(r.said, fmt.Sprintf("%s: %s of %s is out", group.Name(), k.Address(), k.Group.Name()))
	}
	return nil
}

func (r *recorder) Register(_ context.Context, _ time.Time, group fleet.TargetGroupARN, targets []fleet.Target) error {
	for _, t := range targets {
		r.said = append(r.said, fmt.Sprintf("%s: %s of %s is back in %s", group.Name(), t.Key.Address(), t.Key.Group.Name(), t.Zone))
	}
	return nil
}

// A task with a target in two groups has a call in each, about the target there.
func TestEachGroupHasACallOfItsOwn(t *testing.T) {
	const other = fleet.TargetGroupARN("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/grpc/0123456789abcdef")
	two := func(s *fleet.Snapshot) {
		g := *s.TargetGroups[0]
		g.ARN, g.Name, g.Targets = other, "grpc", nil
		for i, row := range s.TargetGroups[0].Targets {
			s.TargetGroups[0].Targets[i].Zone = "eu-central-1a"
			row.Key.Group, row.Zone = other, "eu-central-1b"
			g.Targets = append(g.Targets, row)
			s.Tasks[i].Targets = []fleet.TargetKey{row.Key, s.Tasks[i].Targets[0]}
		}
		s.TargetGroups = []*fleet.TargetGroup{&g, s.TargetGroups[0]}
	}
	synctest.Test(t, func(t *testing.T) {
		r, w := &recorder{}, &world{change: two}
		c, pass, _ := driven(t, w, hand{}, func(o *Options) { o.Actor = r })
		defer stop(t, c)
		pass(61)
		w.set(func(s *fleet.Snapshot) {
			two(s)
			healed(s)
			for _, g := range s.TargetGroups {
				g.Targets = g.Targets[1:]
			}
		})
		pass(62)
		want := []string{
			"grpc: 10.0.0.1:10080 of grpc is out", "shop: 10.0.0.1:10080 of shop is out",
			"grpc: 10.0.0.1:10080 of grpc is back in eu-central-1b", "shop: 10.0.0.1:10080 of shop is back in eu-central-1a",
		}
		if !slices.Equal(r.said, want) {
			t.Errorf("said %q, want %q", r.said, want)
		}
	})
}

// What ended long ago is not copied in every pass: readers get the same list while nothing
// in it has changed, and another one once something has.
func TestDetachmentsAreCopiedWhenTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		c, pass, _ := driven(t, w, hand{deregister: func(context.Context) error { w.set(without); return nil }}, func(o *Options) {
			for i := range 3 {
				o.Past.Ended = append(o.Past.Ended, policy.Detachment{Task: shopTask(i + 5), Mode: policy.Detaching, Progress: policy.Closed, Outcome: policy.Stopped})
			}
		})
		defer stop(t, c)
		pass(1)
		was := c.View().Detachments
		pass(1)
		if is := c.View().Detachments; len(is) != 3 || &is[0] != &was[0] {
			t.Errorf("%d of them, copied: %t", len(is), &is[0] != &was[0])
		}
		pass(61)
		if is := c.View().Detachments; len(is) != 4 || !is[0].Out() || len(was) != 3 {
			t.Errorf("after a call: %+v", is)
		}
	})
}

// A cluster that is left behind is watched, and paused, for as long as something of it is
// out.
func TestClusterIsLeftWhenNothingOfItIsOut(t *testing.T) {
	for _, open := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var left []fleet.ClusterARN
			c, pass, log := driven(t, &world{change: without}, hand{deregister: func(context.Context) error { t.Error("called"); return nil }}, func(o *Options) {
				o.LeftBehind, o.Leave = []fleet.ClusterARN{prodARN}, func(arn fleet.ClusterARN) { left = append(left, arn) }
				if open {
					now := time.Now().Round(0)
					o.Past.Detachments = []policy.Detachment{{
						Target: fleet.NewTargetKey(shopGroup, "10.0.0.1", 10080), Task: shopTask(0), Started: longAgo, Service: shop, Cluster: prodARN,
						Mode: policy.Detaching, Decided: now, Called: now, Answered: now, Result: policy.Accepted, Tries: 1, Up: now, Seen: now, Progress: policy.Out,
					}}
				}
			})
			defer stop(t, c)
			pass(70)
			want := []fleet.ClusterARN{prodARN}
			if open {
				want = nil
			}
			if said := strings.Count(log.String(), "is watched no more"); !slices.Equal(left, want) || said != len(want) || (len(c.View().Pauses) == 1) != open {
				t.Errorf("open %t: left %v, said %d times, pauses %+v", open, left, said, c.View().Pauses)
			}
		})
	}
}

// What was looked at again may be acted upon for a while after the last reply.
func TestLookHoldsFromItsLastReply(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	read := func(received int) fleet.Read {
		return fleet.Read{Sent: at, Received: at.Add(time.Duration(received) * time.Second)}
	}
	s := fleet.NewSnapshot(fleet.Snapshot{
		At: at, TargetGroups: []*fleet.TargetGroup{{ARN: shopGroup, Read: read(5)}},
		Tasks: []*fleet.Task{{ARN: shopTask(0), Cluster: prodARN, Read: read(3)}, {ARN: shopTask(1), Read: read(8)}},
	})
	for _, tt := range []struct {
		tasks []fleet.TaskARN
		until int
	}{
		{nil, 7}, {[]fleet.TaskARN{shopTask(0)}, 7}, {[]fleet.TaskARN{shopTask(0), shopTask(1), shopTask(2)}, 10},
	} {
		if got, want := heldUntil(s, shopGroup, tt.tasks), at.Add(time.Duration(tt.until)*time.Second); !got.Equal(want) {
			t.Errorf("%v: until %s, want %s", tt.tasks, got, want)
		}
	}
	if got := heldUntil(s, "another", nil); !got.IsZero() {
		t.Errorf("until %s of a group that is not there", got)
	}
	if cluster(s, shopTask(0)) != prodARN || cluster(s, shopTask(2)) != "" {
		t.Error("a task's cluster is another")
	}
}

// A target that castoff took out and lost sight of is worth a warning: nobody puts it
// back.
func TestLostTargetIsAWarning(t *testing.T) {
	for _, tt := range []struct {
		mode    policy.Mode
		outcome policy.Outcome
		level   string
	}{
		{policy.Detaching, policy.Lost, "WARN"}, {policy.Detaching, policy.Recovered, "INFO"},
		{policy.Observing, policy.Lost, "INFO"}, {policy.Observing, policy.Recovered, "INFO"},
	} {
		c, _, log := driven(t, &world{}, hand{}, nil)
		c.logEnd(policy.Detachment{Task: shopTask(0), Service: shop, Mode: tt.mode, Outcome: tt.outcome})
		if !strings.HasPrefix(log.String(), "level="+tt.level+` msg="detachment closed"`) {
			t.Errorf("%s, %s: %s", tt.mode, tt.outcome, log)
		}
	}
}
