package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// demoRun is one region with castoff beside it.
type demoRun struct {
	demoCmd
	mode        policy.Mode
	region      *sim.Region
	closeRegion func()
	daemon      *hurried
	log         *slog.Logger
	tell        teller
	task        fleet.TaskARN
	onset       time.Time
}

// start makes the region and starts castoff on it.
func (c demoCmd) start(mode policy.Mode, log *slog.Logger, tell *progress) (*demoRun, error) {
	region, err := demoRegion(c)
	if err != nil {
		return nil, err
	}
	endpoint, closeRegion, err := serveRegion(region, anyPort)
	if err != nil {
		return nil, err
	}
	r := &demoRun{demoCmd: c, mode: mode, region: region, closeRegion: closeRegion, log: log.With("run", string(mode))}
	if r.daemon, err = c.daemon(mode, endpoint, r.log); err != nil {
		closeRegion()
		return nil, err
	}
	r.tell = tell.of(r)
	r.daemon.start()
	return r, nil
}

func (r *demoRun) close() error {
	defer r.closeRegion()
	return r.daemon.stop()
}

// name is what the user reads of the run.
func (r *demoRun) name() string {
	if r.mode == policy.Detaching {
		return "with castoff"
	}
	return "ECS alone"
}

// glance is how often the demo looks at what castoff knows.
const glance = 50 * time.Millisecond

// watch hangs one app and waits for castoff to have seen all of it.
func (r *demoRun) watch(ctx context.Context) (report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.shorten(demoPatience), errors.New("the timeline was not complete in time"))
	defer cancel()
	ready := func() bool { return !r.daemon.View().LastFull.IsZero() }
	if err := r.until(ctx, ready); err != nil {
		return report{}, err
	}
	// As in real life, castoff has been there for a while when an app hangs: for
	// longer than it refuses to act after its start.
	calm := time.Now().Add(r.shorten(policy.DefaultLimits().Startup + 20*time.Second))
	if err := r.until(ctx, func() bool { return time.Now().After(calm) }); err != nil {
		return report{}, err
	}
	tasks := r.region.Tasks(demoService)
	if len(tasks) == 0 {
		return report{}, errors.New("the simulated service has no task")
	}
	r.task = tasks[0].ARN
	if err := r.region.Hang(r.task); err != nil {
		return report{}, err
	}
	r.onset = time.Now()
	r.tell.hung(r.task)
	var done *timeline.Timeline
	complete := func() bool {
		view := r.daemon.View()
		for _, tl := range view.Open {
			if tl.Task == r.task {
				r.tell.show(tl, r.since)
			}
		}
		r.tell.again(r.detachment(), r.since)
		for _, tl := range view.Closed {
			if tl.Task == r.task {
				r.tell.show(tl, r.since)
				done = tl
			}
		}
		r.tell.tick(r.since(time.Now()))
		return done != nil
	}
	if err := r.until(ctx, complete); err != nil {
		return report{}, err
	}
	if r.Record != "" { // a play may see the end a reading later
		end := time.Now().Add(2 * r.shorten(config.Default().Polling.Interval))
		if err := r.until(ctx, func() bool { return time.Now().After(end) }); err != nil {
			return report{}, err
		}
	}
	return r.report(done)
}

// until looks every so often until done says so.
func (r *demoRun) until(ctx context.Context, done func() bool) error {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-r.daemon.Failed():
			return err
		case <-ticker.C:
		}
	}
	return nil
}

// since is how long after the hang an instant was, in the region's time.
func (r *demoRun) since(t time.Time) time.Duration { return r.lengthen(t.Sub(r.onset)) }

// detachment is castoff's own of the sick target, or what it would have been;
// nil while there is none.
func (r *demoRun) detachment() *policy.Detachment {
	for _, d := range r.daemon.View().Detachments {
		if d.Task == r.task {
			return &d
		}
	}
	return nil
}

// report judges the timeline by the truth.
func (r *demoRun) report(tl *timeline.Timeline) (report, error) {
	for _, truth := range r.region.Truth() {
		if truth.Task == r.task {
			r.onset = truth.Onset
			return newReport(r.demoCmd, tl, truth, r.detachment(), r.since), nil
		}
	}
	return report{}, fmt.Errorf("the region knows of no failure of %s", r.task.ID())
}
