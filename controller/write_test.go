package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// world is a fleet that a test changes while castoff watches it.
type world struct {
	mu      sync.Mutex
	change  func(*fleet.Snapshot) // of what is read; nil: nothing
	glanced func(*fleet.Snapshot) // of what Observe reads alone
	passes  []time.Time
	looks   [][]fleet.TaskARN // second ones, at which tasks
}

func (w *world) set(change func(*fleet.Snapshot)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.change = change
}

func (w *world) snapshot(also func(*fleet.Snapshot)) *fleet.Snapshot {
	s := *hung()
	for _, change := range []func(*fleet.Snapshot){w.change, also} {
		if change != nil {
			change(&s)
		}
	}
	return fleet.NewSnapshot(s)
}

func (w *world) Observe(context.Context, []fleet.ServiceID) *fleet.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passes = append(w.passes, time.Now())
	return w.snapshot(w.glanced)
}

func (w *world) Refresh(_ context.Context, tasks []fleet.TaskARN, _ []fleet.TargetGroupARN) *fleet.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks = append(w.looks, tasks)
	return w.snapshot(nil)
}

// looking starts castoff in a world.
func looking(t *testing.T, mode policy.Mode, h hand, w *world, change func(*Options)) *Controller {
	t.Helper()
	o, _ := actor(mode, h)
	o.Observer = w
	if change != nil {
		change(&o)
	}
	return start(t, o)
}

// kept is a journal in memory, as if it were on disk.
func kept(o *Options) *journal.Journal {
	o.Journal = journal.Memory(journal.Options{Keep: journal.Keep{Count: 10, Age: time.Hour}})
	return o.Journal
}

// A balancer that dawdles for 45 s in DeregisterTargets holds up no pass, and is not
// told a second time meanwhile. What comes of the call is told at once.
func TestSlowWriteHoldsUpNoPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow = 45 * time.Second
		var mu sync.Mutex
		var calls []time.Time
		called := func() []time.Time {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(calls)
		}
		w := &world{}
		var polling time.Duration
		c := looking(t, policy.Detaching, hand{deregister: func(context.Context) error {
			mu.Lock()
			calls = append(calls, time.Now())
			mu.Unlock()
			time.Sleep(slow)
			return nil
		}}, w, func(o *Options) { polling = o.Polling.HotInterval })
		for len(called()) == 0 {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		sent := called()
		for time.Sleep(3 * time.Second); time.Since(sent[0]) < slow-time.Second; time.Sleep(time.Second) {
			synctest.Wait()
			v := c.View()
			if ds := v.Detachments; len(ds) != 1 || !ds[0].Out() || ds[0].Result != policy.NotAnswered || !ds[0].Answered.IsZero() {
				t.Fatalf("under way: %+v", ds)
			}
			if got := v.Verdicts[0]; got.Reason != policy.Unanswered || !strings.Contains(got.Sentence, "has not answered yet") {
				t.Fatalf("%s: %s", got.Reason, got.Sentence)
			}
		}
		time.Sleep(3 * time.Second)
		stop(t, c)
		if sent = called(); len(sent) != 1 {
			t.Fatalf("called at %v", sent)
		}
		over := sent[0].Add(slow)
		if ds := c.View().Detachments; len(ds) != 1 || ds[0].Result != policy.Accepted || ds[0].Tries != 1 || !ds[0].Answered.Equal(over) {
			t.Errorf("%+v", ds)
		}
		during := 0
		for i := 1; i < len(w.passes); i++ {
			if gap := w.passes[i].Sub(w.passes[i-1]); w.passes[i].After(sent[0]) && gap > polling*11/10 {
				t.Errorf("a pass at %v, %s after the one before", w.passes[i], gap)
			}
			if w.passes[i].After(sent[0]) && w.passes[i].Before(over) {
				during++
			}
		}
		if least := int(slow / polling); during < least {
			t.Errorf("%d passes during the call, want %d at least", during, least)
		}
		if !slices.ContainsFunc(w.passes, over.Equal) {
			t.Error("no pass came as the call was over")
		}
	})
}

// The calls of different groups run beside each other, and a target has one at a time.
func TestCallsRunBesideEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running, most := 0, 0
		var mu sync.Mutex
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			running += n
			most = max(most, running)
		}
		o, _ := actor(policy.Detaching, hand{deregister: func(context.Context) error {
			count(1)
			defer count(-1)
			time.Sleep(10 * time.Second)
			return nil
		}})
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer stop(t, c)
		c.writes.patience = quick
		began := time.Now()
		for i := range 3 {
			group := fleet.TargetGroupARN(fmt.Sprintf("%s%d", shopGroup, i))
			c.begin(t.Context(), write{action: policy.Detach, group: group, until: time.Now().Add(holds), detachments: []policy.Detachment{{
				Target: fleet.NewTargetKey(group, "10.0.0.1", 10080), Task: shopTask(0), Started: longAgo, Service: shop, Mode: policy.Detaching,
				Decided: time.Now(), Progress: policy.Out,
			}}})
		}
		synctest.Wait()
		mu.Lock()
		beside := most
		mu.Unlock()
		if took := time.Since(began); beside != 3 || took != quick || len(c.writes.underWay) != 3 {
			t.Errorf("%d beside each other, begun within %s; under way: %v", beside, took, c.writes.underWay)
		}
		time.Sleep(11 * time.Second)
		if !c.settle() || c.settle() || len(c.writes.underWay) != 0 {
			t.Errorf("under way: %v", c.writes.underWay)
		}
		for _, d := range c.acting.detachments {
			if d.Result != policy.Accepted || d.Answered.Sub(d.Called) != 10*time.Second {
				t.Errorf("%+v", d)
			}
		}
	})
}

// A panic in a call, quick or slow, stops all acting as one in a pass does. Nobody
// knows what came of the call.
func TestPanicInAWriteHaltsActing(t *testing.T) {
	for _, after := range []time.Duration{0, 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			w := &world{}
			c := looking(t, policy.Detaching, hand{deregister: func(context.Context) error {
				calls++
				time.Sleep(after)
				panic("oh")
			}}, w, nil)
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			v := c.View()
			if calls != 1 || len(v.Halts) != 1 || v.Halts[0].Cause != haltPanic || v.Detachments[0].Result != policy.NotAnswered {
				t.Errorf("%d calls, halts %+v, %+v", calls, v.Halts, v.Detachments)
			}
			if v.Pass.Result != "ok" || time.Since(v.Pass.At) > 5*time.Second {
				t.Errorf("the last pass: %+v", v.Pass)
			}
		})
	}
}

// Stop sees calls through for a while and keeps what came of them. Of those that take
// longer the journal goes on saying that nobody knows.
func TestStopSeesCallsThrough(t *testing.T) {
	for _, c := range []struct {
		name    string
		call    func(context.Context) error
		result  policy.Result
		longest time.Duration
	}{
		{"over soon", func(context.Context) error { time.Sleep(3 * time.Second); return nil }, policy.Accepted, 3 * time.Second},
		{"refused soon", func(context.Context) error {
			time.Sleep(3 * time.Second)
			return &fleet.CallError{Class: fleet.Denied, Err: errors.New("no")}
		}, policy.Rejected, 3 * time.Second},
		{"hangs", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, policy.NotAnswered, farewell},
		{"deaf", func(context.Context) error { time.Sleep(45 * time.Second); return nil }, policy.NotAnswered, farewell + quick},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := make(chan struct{})
				o, _ := actor(policy.Detaching, hand{deregister: func(ctx context.Context) error { close(began); return c.call(ctx) }})
				j := kept(&o)
				daemon, err := New(o)
				if err != nil {
					t.Fatal(err)
				}
				daemon.Start()
				<-began
				time.Sleep(quick)
				stopping := time.Now()
				daemon.cleanups = slices.DeleteFunc(daemon.cleanups, func(c cleanup) bool { return c.name == "journal" }) // to look into it
				stop(t, daemon)
				if took := time.Since(stopping); took > c.longest || took < c.longest-2*quick {
					t.Errorf("stopping took %s, want %s at most", took, c.longest)
				}
				got, err := j.Load()
				if err != nil || len(got.Detachments) != 1 || got.Detachments[0].Result != c.result {
					t.Errorf("%+v, %v", got.Detachments, err)
				}
				time.Sleep(time.Minute) // for the deaf one to end
			})
		})
	}
}

// A call that AWS refuses took nothing out: what leaves at the same time leaves by
// somebody else's hand, though the call was slow and for a while nobody knew.
func TestRefusedCallTookNothingOut(t *testing.T) {
	for _, slow := range []time.Duration{0, 10 * time.Second} {
		for name, want := range map[string]timeline.Actor{"refused": timeline.ByOther, "not made": timeline.ByOther, "accepted": timeline.ByCastoff} {
			t.Run(fmt.Sprint(name, slow), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := &world{}
					c := looking(t, policy.Detaching, hand{deregister: func(context.Context) error {
						time.Sleep(slow / 2)
						w.set(func(s *fleet.Snapshot) { s.TargetGroups[0].Targets[0].State = fleet.TargetDraining })
						time.Sleep(slow / 2)
						switch name {
						case "refused":
							return &fleet.CallError{Class: fleet.Denied, Err: errors.New("no")}
						case "not made":
							return &fleet.CallError{Class: fleet.Paced, Err: errors.New("too late")}
						}
						return nil
					}}, w, nil)
					time.Sleep(2 * time.Minute)
					synctest.Wait()
					open := c.View().Open
					if len(open) != 1 {
						t.Fatalf("%d timelines", len(open))
					}
					if m, _ := open[0].Milestone(timeline.Detach); m.By != want || m.By == timeline.ByCastoff && slow == 0 && !m.Exact() {
						t.Errorf("taken out by %q, want %q: %+v", m.By, want, m)
					}
				})
			})
		}
	}
}

// Out of a group into which AWS does not let castoff put a target back, none is taken.
func TestDeniedWayBackKeepsOthersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outs, backs := 0, 0
		w := &world{}
		gone := func(s *fleet.Snapshot) { s.TargetGroups[0].Targets = s.TargetGroups[0].Targets[1:] }
		turn := func(s *fleet.Snapshot, i int, is fleet.HealthStatus) {
			s.Tasks[i].Health, s.Tasks[i].Containers[0].Health = is, is
		}
		c := looking(t, policy.Detaching, hand{
			deregister: func(context.Context) error { outs++; w.set(gone); return nil },
			register: func(context.Context) error {
				backs++
				w.set(func(s *fleet.Snapshot) { gone(s); turn(s, 0, fleet.Healthy); turn(s, 1, fleet.Unhealthy) })
				return &fleet.CallError{Class: fleet.Denied, Err: errors.New("no")}
			},
		}, w, nil)
		time.Sleep(90 * time.Second)
		w.set(func(s *fleet.Snapshot) { gone(s); turn(s, 0, fleet.Healthy) })
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		held := slices.ContainsFunc(c.View().Verdicts, func(v policy.Verdict) bool {
			return v.Task == shopTask(1) && v.Action == policy.Detach && v.Guard == policy.Paused && v.Reason == policy.Denied
		})
		if outs != 1 || backs < 1 || !held {
			t.Errorf("%d taken out, %d times refused, held: %t", outs, backs, held)
		}
	})
}

// Who drives the time has each call over within its Step.
func TestDrivenWritesAreOverWithinTheStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		o, _ := actor(policy.Detaching, hand{deregister: func(context.Context) error {
			calls++
			time.Sleep(45 * time.Second)
			return nil
		}})
		o.Now = time.Now
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer stop(t, c)
		for calls == 0 {
			time.Sleep(time.Second)
			c.Step(t.Context())
		}
		if ds := c.View().Detachments; len(ds) != 1 || ds[0].Result != policy.Accepted || len(c.writes.underWay) != 0 {
			t.Errorf("%+v", ds)
		}
	})
}

// What would be done has the second look of what is done: a roll-out that the pass had
// not read yet holds both. It is one look a would-be detachment, and no more.
func TestObservingLooksAgain(t *testing.T) {
	rolling := func(s *fleet.Snapshot) {
		svc := *s.Services[0]
		svc.Deployments = []fleet.Deployment{{ID: "2", Status: "PRIMARY", Rollout: "IN_PROGRESS"}, {ID: "1", Status: "ACTIVE", Rollout: "COMPLETED"}}
		s.Services = []*fleet.Service{&svc}
	}
	calm := func(s *fleet.Snapshot) { s.Services = hung().Services }
	for _, tt := range []struct {
		name   string
		actor  bool
		rolls  bool
		opened int
	}{{"all is as it was", true, false, 1}, {"it rolls out", true, true, 0}, {"all is as it was, without rights", false, false, 1}, {"it rolls out, without rights", false, true, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{}
				if tt.rolls {
					w.change, w.glanced = rolling, calm
				}
				c := looking(t, policy.Observing, hand{}, w, func(o *Options) {
					if !tt.actor {
						o.Actor = nil
					}
				})
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				v := c.View()
				if len(v.Detachments) != tt.opened {
					t.Errorf("%+v", v.Detachments)
				}
				if tt.opened > 0 && len(w.looks) != tt.opened {
					t.Errorf("%d looks for %d detachments", len(w.looks), tt.opened)
				}
				if tt.rolls && (v.Verdicts[0].Guard != policy.Deployment || v.Verdicts[0].Decision != policy.Hold) {
					t.Errorf("%s by %s: %s", v.Verdicts[0].Decision, v.Verdicts[0].Guard, v.Verdicts[0].Sentence)
				}
			})
		})
	}
}

// A castoff that keeps no state puts back, before it ends, what is well by then; what
// is not it names. With state the next one does that, after the recovery window.
func TestStopPutsBackWhatItWouldForget(t *testing.T) {
	for _, tt := range []struct {
		name           string
		recovers, keep bool
		backs          int
		leftOut        bool
	}{
		{"well, and forgotten", true, false, 1, false},
		{"sick, and forgotten", false, false, 0, true},
		{"well, and kept", true, true, 0, false},
		{"sick, and kept", false, true, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				backs := 0
				w := &world{}
				gone := func(s *fleet.Snapshot) { s.TargetGroups[0].Targets = s.TargetGroups[0].Targets[1:] }
				c := looking(t, policy.Detaching, hand{
					deregister: func(context.Context) error { w.set(gone); return nil },
					register:   func(context.Context) error { backs++; return nil },
				}, w, func(o *Options) {
					o.Logger = slog.New(slog.NewTextHandler(&log, nil))
					if tt.keep {
						kept(o)
					}
				})
				time.Sleep(90 * time.Second)
				synctest.Wait()
				if ds := c.View().Detachments; len(ds) != 1 || ds[0].Result != policy.Accepted {
					t.Fatalf("%+v", ds)
				}
				if tt.recovers {
					w.set(func(s *fleet.Snapshot) {
						gone(s)
						s.Tasks[0].Health, s.Tasks[0].Containers[0].Health = fleet.Healthy, fleet.Healthy
					})
				}
				began := time.Now()
				stop(t, c)
				if took := time.Since(began); backs != tt.backs || took > farewell {
					t.Errorf("%d put back within %s, want %d", backs, took, tt.backs)
				}
				if said := strings.Contains(log.String(), "a target stays out"); said != tt.leftOut {
					t.Errorf("said that it stays out: %t\n%s", said, log.String())
				}
			})
		})
	}
}

// What ends castoff may not be held up by what it wants to put back.
func TestStopPutsBackInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		gone := func(s *fleet.Snapshot) { s.TargetGroups[0].Targets = s.TargetGroups[0].Targets[1:] }
		c := looking(t, policy.Detaching, hand{
			deregister: func(context.Context) error { w.set(gone); return nil },
			register:   func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		}, w, nil)
		time.Sleep(90 * time.Second)
		w.set(func(s *fleet.Snapshot) {
			gone(s)
			s.Tasks[0].Health, s.Tasks[0].Containers[0].Health = fleet.Healthy, fleet.Healthy
		})
		began := time.Now()
		if stop(t, c); time.Since(began) != farewell {
			t.Errorf("stopping took %s", time.Since(began))
		}
	})
}

// A fault in putting back at the end takes nothing else with it: castoff names what stays
// out, and ends as it should.
func TestStopSurvivesAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := &world{}
		gone := func(s *fleet.Snapshot) { s.TargetGroups[0].Targets = s.TargetGroups[0].Targets[1:] }
		c := looking(t, policy.Detaching, hand{deregister: func(context.Context) error { w.set(gone); return nil }}, w, func(o *Options) {
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		time.Sleep(90 * time.Second)
		synctest.Wait()
		w.set(func(*fleet.Snapshot) { panic("no fleet") })
		stop(t, c)
		for _, said := range []string{`in="putting targets back"`, "no fleet", "a target stays out"} {
			if !strings.Contains(log.String(), said) {
				t.Errorf("not said: %s\n%s", said, log.String())
			}
		}
	})
}

// fragile panics at a message.
type fragile struct {
	slog.Handler
	at string
}

func (f fragile) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == f.at {
		panic("no " + f.at)
	}
	return f.Handler.Handle(ctx, r)
}

// Nor does a fault in what comes after that.
func TestStopSurvivesEachPanic(t *testing.T) {
	for _, at := range []string{"targets changed", "a target stays out, and castoff keeps no state: register it by hand if its task recovers"} {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				calls := make(chan struct{}, 1)
				c := looking(t, policy.Detaching, hand{deregister: func(context.Context) error {
					calls <- struct{}{}
					time.Sleep(time.Second)
					return nil
				}}, &world{}, func(o *Options) {
					o.Logger = slog.New(fragile{slog.NewTextHandler(&log, nil), at})
				})
				<-calls
				time.Sleep(quick)
				stop(t, c)
				kept, err := c.options.Journal.Load()
				if !errors.Is(err, journal.ErrClosed) {
					t.Errorf("the journal is open: %+v, %v", kept, err)
				}
				stays := strings.Contains(log.String(), `msg="a target stays out`)
				if !strings.Contains(log.String(), `panic="no `+at) || stays != (at == "targets changed") {
					t.Errorf("said:\n%s", log.String())
				}
			})
		})
	}
}

// The journal knows the task of each target that is out, and where it was: also when the
// task is well, its timeline over, and the target still waits for its way back.
func TestJournalKnowsTheTasksOfWhatIsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		gone := func(s *fleet.Snapshot) { s.TargetGroups[0].Targets = s.TargetGroups[0].Targets[1:] }
		var j *journal.Journal
		backs := 0
		c := looking(t, policy.Detaching, hand{
			deregister: func(context.Context) error { w.set(gone); return nil },
			register:   func(context.Context) error { backs++; return nil },
		}, w, func(o *Options) {
			j = kept(o)
			limits := o.Policy.Limits(shop)
			limits.Recovery.Window = limits.Recovery.Max
			o.Policy.Limits = func(fleet.ServiceID) policy.Limits { return limits }
		})
		time.Sleep(90 * time.Second)
		w.set(func(s *fleet.Snapshot) {
			gone(s)
			s.Tasks[0].Health, s.Tasks[0].Containers[0].Health = fleet.Healthy, fleet.Healthy
		})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if v := c.View(); len(v.Open) != 0 || len(v.Detachments) != 1 || !v.Detachments[0].Out() || backs != 0 {
			t.Fatalf("%d timelines are open, %d calls to put back; %+v", len(v.Open), backs, v.Detachments)
		}
		got, err := j.Load()
		if err != nil {
			t.Fatal(err)
		}
		tasks, want := got.Tracker.Tasks, hung().Tasks[0]
		if len(tasks) != 1 || tasks[0].ARN != want.ARN || !slices.Equal(tasks[0].Targets, want.Targets) {
			t.Errorf("the journal knows the tasks %+v", tasks)
		}
	})
}
