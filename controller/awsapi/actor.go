package awsapi

import (
	"context"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Actor is an Observer whose writes speak the fleet's words. What they rest on is
// good until an instant: no request of theirs leaves after it, and a write of which
// none has left fails with class Paced.
type Actor struct{ *Observer }

// Deregister is [Observer.Deregister]; its error is a *fleet.CallError.
func (a Actor) Deregister(ctx context.Context, until time.Time, group fleet.TargetGroupARN, targets []fleet.TargetKey) error {
	return inWords(a.Observer.Deregister(context.WithValue(ctx, untilKey{}, until), group, targets))
}

// Register is [Observer.Register]; its error is a *fleet.CallError.
func (a Actor) Register(ctx context.Context, until time.Time, group fleet.TargetGroupARN, targets []fleet.Target) error {
	rs := make([]Registration, len(targets))
	for i, t := range targets {
		rs[i] = Registration{Key: t.Key, Zone: t.Zone}
	}
	return inWords(a.Observer.Register(context.WithValue(ctx, untilKey{}, until), group, rs))
}

func inWords(err error) error {
	if err == nil {
		return nil
	}
	return &fleet.CallError{Class: Classify(err), MayHaveHappened: Applied(err), Err: err}
}
