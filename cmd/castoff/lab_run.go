//go:build linux && !nolab

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/lab"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// labRun is one lab with castoff beside it.
type labRun struct {
	labCmd
	mode        policy.Mode
	lab         *lab.Lab
	closeRegion func()
	daemon      *hurried
	log         *slog.Logger
	task        fleet.TaskARN
	done        *timeline.Timeline
	detached    *policy.Detachment // castoff's own, or what would have been one
}

// start starts a lab and castoff on its region.
func (c labCmd) start(mode policy.Mode, o lab.Options, log *slog.Logger) (r *labRun, err error) {
	r = &labRun{labCmd: c, mode: mode, log: log.With("run", string(mode)), closeRegion: func() {}}
	if r.lab, err = lab.New(o); err != nil {
		return nil, err
	}
	endpoint, closeRegion, err := serveRegion(r.lab.Region, anyPort)
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.closeRegion = closeRegion
	listen := "127.0.0.1:0" // --listen is the other's
	if mode == policy.Detaching {
		listen = c.Listen
	}
	h := hurried{
		speed: c.Speed, second: time.Second, mode: mode, listen: listen, log: r.log,
		notice: fmt.Sprintf("The lab, mode %s: real processes, on the clock. AWS's lags, waits and castoff's intervals are %g times shorter; checks are not.", mode, c.Speed),
	}
	if err := h.open(endpoint); err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.daemon = &h
	r.daemon.start()
	return r, nil
}

func (r *labRun) close() error {
	var err error
	if r.daemon != nil {
		err = r.daemon.stop()
	}
	r.closeRegion()
	return errors.Join(err, r.lab.Close())
}

// calm waits until everything has been well for as long as castoff refuses to act
// after its start, and clients have settled.
func (r *labRun) calm(ctx context.Context) error {
	if err := r.lab.Ready(ctx); err != nil {
		return err
	}
	end := time.Now().Add(max(5*time.Second, shorten(policy.DefaultLimits().Startup+20*time.Second, r.Speed)))
	return r.until(ctx, func() bool { return time.Now().After(end) && !r.daemon.View().LastFull.IsZero() && r.lab.Well() })
}

// watch has the scenario befall a task and waits for castoff to have seen all of
// it.
func (r *labRun) watch(ctx context.Context, scenario lab.Scenario) error {
	r.task = r.lab.Victim()
	over, err := r.lab.Befall(ctx, scenario, r.task)
	if err != nil {
		return err
	}
	err = r.until(ctx, func() bool {
		view := r.daemon.View()
		for _, d := range view.Detachments {
			if d.Task == r.task {
				r.detached = &d
			}
		}
		for _, tl := range view.Open {
			if tl.Task == r.task {
				return false
			}
		}
		for _, tl := range view.Closed {
			if tl.Task == r.task {
				r.done = tl
			}
		}
		select {
		case <-over:
			return r.done != nil
		default:
			return false
		}
	})
	if err != nil {
		return err
	}
	// A client whose connection has just ended is answered by another task in the
	// next second or two.
	end := time.Now().Add(2 * time.Second)
	return r.until(ctx, func() bool { return time.Now().After(end) })
}

// until looks every so often until done says so.
func (r *labRun) until(ctx context.Context, done func() bool) error {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for !done() {
		if err := r.lab.Wrong(); err != nil {
			return err
		}
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

// truth is that of castoff's timeline; nil: there is none. A task that fails again
// before it has been well for a while has one timeline, and a truth for each time.
func (r *labRun) truth() (truth *sim.Truth) {
	for _, t := range r.lab.Region.Truth() {
		switch {
		case t.Task != r.task || t.Onset.After(r.done.Closed):
		case truth == nil || !t.Onset.After(r.done.Opened):
			truth = &t
		default:
			if !t.Unhealthy.IsZero() { // else it was over before ECS saw it
				truth.Recovery = t.Recovery
			}
			truth.Stopping, truth.Stopped = t.Stopping, t.Stopped
			for i := range truth.Targets {
				was, is := &truth.Targets[i], t.Targets[i]
				was.Detached, was.Exposed = is.Detached, was.Exposed+is.Exposed
				if was.Detach.IsZero() {
					was.Detach, was.By = is.Detach, is.By
				}
			}
		}
	}
	return truth
}

// side is what came of the run.
func (r *labRun) side() (labSide, error) {
	truth := r.truth()
	if truth == nil {
		return labSide{}, fmt.Errorf("the region knows of no failure of %s", r.task.ID())
	}
	since := func(t time.Time) time.Duration { return t.Sub(truth.Onset) }
	s := labSide{
		Mode: r.mode, Castoff: newReport(demoCmd{Speed: 1, Seed: r.Seed}, r.done, *truth, r.detached, since), Felt: r.lab.Feel(*truth),
	}
	if r.done.Outcome != timeline.Retired {
		s.Castoff.onlySaid()
	}
	for _, p := range r.lab.Probes(r.task) {
		if p.Told.Before(truth.Onset) {
			continue
		}
		s.Probes = append(s.Probes, labProbe{
			Due: millis(since(p.Due)), Began: millis(since(p.Began)), Took: millis(p.Took), Told: millis(since(p.Told)),
			Code: p.Code, TimedOut: p.TimedOut, Said: p.Said,
		})
	}
	return s, nil
}
