package scenario

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/metrics"
)

// simulated is one world of a Study: a region, castoff beside it unless ECS is
// alone, and the time, which only this changes.
type simulated struct {
	*Study
	way     Way
	id      fleet.ServiceID
	now     time.Time
	region  *sim.Region
	castoff *controller.Controller // nil: ECS alone
	next    time.Time              // castoff's next pass
	latency time.Duration          // of the calls of a pass
	groups  []fleet.TargetGroupARN

	victims []int     // of the failure, by their place in the order of creation
	due     time.Time // when it comes
	onset   time.Time // zero until it has
	failed  []fleet.TaskARN
	looked  time.Time // when streams were last counted
	held    map[cause]*holding
	sequel  sequel
	broken  error // of castoff's own
}

// sequel is what came of one world.
type sequel struct {
	exposed  time.Duration // of the target that was exposed for longest
	lastFlow time.Duration // from the failure to the last new flow at a dead app
	flows    float64       // new flows that a dead app got
	streams  float64       // seconds for which clients' long-lived connections led to a dead app, added up
	ended    bool          // within the horizon
	// balancer is how long after ECS the balancer's own check found the failure,
	// negative when it was first; balancerSaw when it did at all. ecsSaw: ECS did.
	balancer    time.Duration
	balancerSaw bool
	ecsSaw      bool
	// called is from UNHEALTHY to castoff's first call, or to when it would have
	// made one; acted when there was one.
	called   time.Duration
	acted    bool
	calls    int
	least    int // healthy targets that answered, in the group with the fewest
	serving  int // targets that the balancer called healthy
	holdings []holding
}

// cause is a guard and why it did not let go.
type cause struct {
	guard  policy.Guard
	reason policy.Reason
}

// holding is for how long one did, while castoff would have had something to take out.
type holding struct {
	cause
	time     time.Duration
	sentence string // of the first time
}

// dawn is when every world begins: no simulation depends on the day.
var dawn = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// sample is how often the region is looked at for its truth.
const sample = time.Second

// live is one world from its beginning to the end of its failure.
func (s *Study) live(ctx context.Context, way Way, seed uint64) (sequel, error) {
	rng := rand.New(rand.NewPCG(seed, 0x7369_6d75_6c61_7465))
	params := drawParams(rng)
	w := &simulated{
		Study: s, way: way, now: dawn, held: map[cause]*holding{},
		id:      fleet.ServiceID{Cluster: s.Service.Cluster, Name: s.Service.Name},
		latency: 50*time.Millisecond + upTo(rng, 350*time.Millisecond),
	}
	w.region = sim.New(sim.Options{Seed: seed, Params: &params, Now: func() time.Time { return w.now }})
	spec := s.Service
	spec.Settled = true
	if err := w.region.AddCluster(spec.Cluster, sim.ClusterOptions{Instances: s.Instances}); err != nil {
		return sequel{}, fmt.Errorf("simulate: %w", err)
	}
	if err := w.region.AddService(spec); err != nil {
		return sequel{}, fmt.Errorf("simulate: %w", err)
	}
	// As in real life, castoff has been there for a while.
	w.due = dawn.Add(s.Limits.Startup + 20*time.Second + upTo(rng, time.Minute))
	w.victims = rng.Perm(spec.Desired)[:s.Failing]
	if way != ECSAlone {
		if err := w.join(seed); err != nil {
			return sequel{}, err
		}
		defer func() { _ = w.castoff.Stop(context.Background()) }() // nothing runs and nothing is on disk
	}
	err := w.run(ctx)
	w.conclude()
	return w.sequel, err
}

// join starts castoff.
func (w *simulated) join(seed uint64) error {
	limits := w.Limits
	limits.Mode = policy.Observing
	if w.way == Detaching {
		limits.Mode = policy.Detaching
	}
	cfg := config.Default()
	cfg.Web.Listen, cfg.State, cfg.Polling, cfg.Timelines.Keep = "", config.NoState, w.Polling, keepAll
	cfg.Polling.Deadline = time.Hour // it is the clock's, and the machine may be busy
	var err error
	w.castoff, _, err = controller.Open(cfg, controller.Place{
		Options: controller.Options{
			Metrics: metrics.New(nil, metrics.Options{}), Exposition: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler),
			Policy: controller.Policy{Limits: func(fleet.ServiceID) policy.Limits { return limits }, Fleet: w.Fleet},
			Seed:   max(1, seed), Now: func() time.Time { return w.now },
		},
		AWS:     awsapi.Options{Config: awsapi.Simulated("http://aws.invalid", sim.RegionName)},
		Between: func(controller.Observer, controller.Actor) (controller.Observer, controller.Actor) { return w, w },
	})
	w.next = w.now
	return err
}

// run lets time pass until the failure is over: to castoff's next pass, and for
// no longer than a sample at a time.
func (w *simulated) run(ctx context.Context) error {
	for !w.over() {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := w.now.Truncate(sample).Add(sample)
		if w.castoff == nil || w.next.After(to) {
			w.pass(to)
			w.look()
			continue
		}
		w.pass(w.next)
		w.next = w.castoff.Step(ctx).Truncate(time.Millisecond)
		if w.next.Before(w.now) {
			w.next = w.now // the pass took longer than the interval
		}
		w.look()
		w.hear()
		if v := w.castoff.View(); w.broken == nil && len(v.Halts) > 0 {
			w.broken = fmt.Errorf("simulate: castoff halted: %s", v.Halts[0].Detail)
		}
	}
	return w.broken
}

// pass sets the time forward. Whatever castoff is at then, the failure comes at
// its instant, which is the same in every way.
func (w *simulated) pass(to time.Time) {
	if w.onset.IsZero() && !to.Before(w.due) {
		w.now = w.due
		w.broken = errors.Join(w.broken, w.fail())
	}
	if to.After(w.now) {
		w.now = to
	}
}

// fail has the tasks fail.
func (w *simulated) fail() error {
	tasks := w.region.Tasks(w.id)
	do := map[Failure]func(fleet.TaskARN) error{Hang: w.region.Hang, Crash: w.region.Crash, Refuse: w.region.KillFront, Exit: w.region.Exit}[w.Failure]
	if do == nil {
		return fmt.Errorf("simulate: no failure %q", w.Failure)
	}
	w.onset, w.looked = w.now, w.now
	for _, key := range tasks[0].Targets {
		w.groups = append(w.groups, key.Group)
	}
	w.sequel.least, w.sequel.serving = len(tasks), len(tasks)
	for _, i := range w.victims {
		w.failed = append(w.failed, tasks[i].ARN)
		if err := do(tasks[i].ARN); err != nil {
			return fmt.Errorf("simulate: %w", err)
		}
	}
	return nil
}

// truths are those of the tasks that failed.
func (w *simulated) truths() []sim.Truth {
	return slices.DeleteFunc(w.region.Truth(), func(t sim.Truth) bool { return !slices.Contains(w.failed, t.Task) })
}

// over reports that nothing more can come of the failure: ECS has begun to take
// each of the tasks down, and no new flow reaches it any more. Streams may stay
// to the task's end.
func (w *simulated) over() bool {
	if w.broken != nil {
		return true
	}
	if w.onset.IsZero() {
		return false
	}
	if w.now.Sub(w.onset) >= horizon {
		return true
	}
	for _, t := range w.truths() {
		if !t.Stopped.IsZero() {
			continue
		}
		if t.Deactivating.IsZero() && t.Stopping.IsZero() {
			return false
		}
		for _, target := range t.Targets {
			if target.LastFlow.IsZero() || target.LastFlow.After(w.now) || target.Streams > 0 {
				return false
			}
		}
	}
	w.sequel.ended = true
	return true
}

// look samples what no event of the region tells.
func (w *simulated) look() {
	if w.onset.IsZero() {
		return
	}
	for _, group := range w.groups {
		good, serving := 0, 0
		for _, row := range w.region.Rows(group) {
			if row.State != fleet.TargetHealthy {
				continue
			}
			serving++
			if row.Owner != nil && row.Owner.Answering {
				good++
			}
		}
		w.sequel.least, w.sequel.serving = min(w.sequel.least, good), min(w.sequel.serving, serving)
	}
	if !slices.ContainsFunc(w.Service.Groups, func(g sim.GroupSpec) bool { return g.Traffic.Streams > 0 }) {
		return
	}
	since := w.now.Sub(w.looked).Seconds()
	w.looked = w.now
	for _, t := range w.truths() {
		for _, target := range t.Targets {
			if t.Stopped.IsZero() {
				w.sequel.streams += target.Streams * since
			}
		}
	}
}

// hear notes what castoff says about the failing tasks after a pass.
func (w *simulated) hear() {
	if w.onset.IsZero() {
		return
	}
	view := w.castoff.View()
	done := map[fleet.TaskARN]bool{} // ECS has begun by itself: guards hold nothing up any more
	unhealthy := map[fleet.TaskARN]time.Time{}
	for _, t := range w.truths() {
		done[t.Task] = !t.Deactivating.IsZero() || !t.Stopping.IsZero() || !t.Stopped.IsZero()
		unhealthy[t.Task] = t.Unhealthy
	}
	for _, d := range view.Detachments {
		if w.way == Observing && !w.sequel.acted && slices.Contains(w.failed, d.Task) {
			w.sequel.acted, w.sequel.called = true, d.Decided.Sub(unhealthy[d.Task])
		}
	}
	for _, v := range view.Verdicts {
		_, failing := unhealthy[v.Task]
		if v.Action != policy.Detach || v.Decision == policy.Allow || !failing || done[v.Task] {
			continue
		}
		if row := view.Snapshot.Target(v.Target); row == nil || row.Draining() || v.Reason == policy.AlreadyOut {
			continue // it is out, or would be
		}
		c := cause{v.Guard, v.Reason}
		if w.held[c] == nil {
			w.held[c] = &holding{cause: c, sentence: v.Sentence}
		}
		w.held[c].time += w.next.Sub(w.now)
	}
}

// conclude reads the truth.
func (w *simulated) conclude() {
	f := &w.sequel
	for _, t := range w.truths() {
		f.ecsSaw = f.ecsSaw || !t.Unhealthy.IsZero()
		for _, target := range t.Targets {
			f.exposed = max(f.exposed, target.Exposed)
			f.flows += target.Flows
			last := target.LastFlow
			if last.IsZero() && t.Stopped.IsZero() {
				last = w.now // it goes on
			}
			f.lastFlow = max(f.lastFlow, last.Sub(w.onset))
			if at := target.LBUnhealthy; !at.IsZero() && !f.balancerSaw {
				f.balancerSaw = true
				if !t.Unhealthy.IsZero() {
					f.balancer = at.Sub(t.Unhealthy)
				}
			}
		}
	}
	for _, h := range w.held {
		f.holdings = append(f.holdings, *h)
	}
	slices.SortFunc(f.holdings, compareHoldings)
}
