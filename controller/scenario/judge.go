// Package scenario holds castoff to what truly happened: the whole controller
// and a simulated region together, in virtual time in its tests, and the
// comparison of a timeline with the region's truth for whoever runs the two.
//
// # Simulating a service
//
// [Simulate] tries what castoff would do for a service, in worlds of an hour each
// and by the hundred, for a command, which has no testing/synctest bubble: that
// wants a *testing.T, and with it package testing in the binary. So nothing in
// such a world sleeps and nothing runs by itself. A number is the time; the region
// is told it by sim.Options.Now and the controller by controller.Options.Now; a
// loop sets it forward to the next pass and has the controller make that one with
// controller.Step, as the daemon's own loop does. The tracker, the guards, the
// look again before a call, the journal and the order of all that are the
// daemon's own code, not a copy that could come to differ.
//
// What is left out is the wire: castoff's reading is the region's own Snapshot,
// which a test holds to what package awsapi makes of the wire, and its calls go to
// the region at once. So there is no pacing, no failed, late or contradicting
// reply, and all is read in every pass: with the default budgets that is so for
// a castoff that watches up to some 2,000 tasks; README has what larger fleets
// get. A pass takes its calls' time all the same.
//
// What AWS does not publish is drawn anew for each world from all that has been
// seen or could be, see [Unknowns]. The same seed is the same worlds, so that ECS
// alone, castoff watching and castoff acting meet the same failures.
package scenario

import (
	"time"

	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// Finding compares one milestone with the truth.
type Finding struct {
	Kind timeline.Kind
	// Truth is when it really came; zero: it never did.
	Truth time.Time
	// Milestone is what castoff says; Known is false when it says nothing.
	Milestone timeline.Milestone
	Known     bool
}

// Holds reports that castoff is right: the truth is within the bounds, and
// nothing is said of what never happened. Saying nothing is no mistake here;
// see Missed.
func (f Finding) Holds() bool {
	return !f.Known || !f.Truth.IsZero() && f.Milestone.Contains(f.Truth)
}

// Missed reports that something happened of which castoff says nothing.
func (f Finding) Missed() bool { return !f.Known && !f.Truth.IsZero() }

// Judge compares a timeline with the truth about its task, milestone by
// milestone, in the order of [timeline.Kinds]; what neither knows of is left
// out.
func Judge(tl *timeline.Timeline, truth sim.Truth) []Finding {
	var findings []Finding
	for _, k := range timeline.Kinds {
		f := Finding{Kind: k, Truth: When(truth, k)}
		f.Milestone, f.Known = tl.Milestone(k)
		if f.Known || !f.Truth.IsZero() {
			findings = append(findings, f)
		}
	}
	return findings
}

// When is when a milestone really came; zero: it never did. Milestones about a
// task's targets are about all of them, as in a timeline.
func When(truth sim.Truth, k timeline.Kind) time.Time {
	switch k {
	case timeline.Onset:
		return truth.Onset
	case timeline.Unhealthy:
		return truth.Unhealthy
	case timeline.LBUnhealthy:
		return first(truth.Targets, func(t sim.TargetTruth) time.Time { return t.LBUnhealthy })
	case timeline.Recovery:
		return truth.Recovery
	case timeline.ReplacementCreated:
		return truth.ReplacementCreated
	case timeline.ReplacementRunning:
		return truth.ReplacementRunning
	case timeline.ReplacementServing:
		return truth.ReplacementServing
	case timeline.Detach:
		return last(truth.Targets, func(t sim.TargetTruth) time.Time { return t.Detach })
	case timeline.Detached:
		return last(truth.Targets, func(t sim.TargetTruth) time.Time { return t.Detached })
	case timeline.Stopping:
		return truth.Stopping
	case timeline.Stopped:
		return truth.Stopped
	default:
		return time.Time{}
	}
}

// first is the earliest instant that ever came.
func first(targets []sim.TargetTruth, at func(sim.TargetTruth) time.Time) (t time.Time) {
	for _, target := range targets {
		if x := at(target); !x.IsZero() && (t.IsZero() || x.Before(t)) {
			t = x
		}
	}
	return t
}

// last is the latest instant, once all have come.
func last(targets []sim.TargetTruth, at func(sim.TargetTruth) time.Time) (t time.Time) {
	for _, target := range targets {
		x := at(target)
		if x.IsZero() {
			return time.Time{}
		}
		if x.After(t) {
			t = x
		}
	}
	return t
}
