package awsapi

import (
	"context"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Actor is an Observer whose writes speak the fleet's words.
type Actor struct{ *Observer }

// Deregister is [Observer.Deregister]; its error is a *fleet.CallError.
func (a Actor) Deregister(ctx context.Context, group fleet.TargetGroupARN, targets []fleet.TargetKey) error {
	return inWords(a.Observer.Deregister(ctx, group, targets))
}

// Register is [Observer.Register]; its error is a *fleet.CallError.
func (a Actor) Register(ctx context.Context, group fleet.TargetGroupARN, targets []fleet.Target) error {
	rs := make([]Registration, len(targets))
	for i, t := range targets {
		rs[i] = Registration{Key: t.Key, Zone: t.Zone}
	}
	return inWords(a.Observer.Register(ctx, group, rs))
}

func inWords(err error) error {
	if err == nil {
		return nil
	}
	return &fleet.CallError{Class: Classify(err), MayHaveHappened: Applied(err), Err: err}
}
