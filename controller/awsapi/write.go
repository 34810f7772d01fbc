package awsapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// targetsACall is how many targets one call changes. AWS documents no limit;
// other controllers do well with this one.
const targetsACall = 200

// everyZone is the zone of a target outside the balancer's VPC that gets
// traffic from all of them.
const everyZone = "all"

// Registration is a target to be put back.
type Registration struct {
	Key fleet.TargetKey
	// Zone is that of the target's last row, or empty.
	Zone string
}

// Deregister takes targets out of one target group, by id and port, 200 a call.
// Taking out what is not there succeeds.
//
// It waits for tokens of castoff's own budget, and for the SDK's retries, no
// longer than ctx lasts: bound it by how long the decision holds. [Classify]
// works on the error, which names what was to be done on what, and [Applied]
// says whether AWS may have done it all the same. The group's rows are due in the
// next pass, whatever their clock says. It may run beside Observe, Refresh and
// other writes; of two about the same target AWS may carry out either last.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeregisterTargets.html
func (o *Observer) Deregister(ctx context.Context, group fleet.TargetGroupARN, targets []fleet.TargetKey) error {
	rows := make([]Registration, len(targets))
	for i, key := range targets {
		rows[i].Key = key
	}
	w := &write{operation: "DeregisterTargets", group: group, targets: rows}
	return o.change(ctx, w, func(ctx context.Context, part []types.TargetDescription) error {
		_, err := o.elb.DeregisterTargets(ctx, &elb.DeregisterTargetsInput{TargetGroupArn: aws.String(string(group)), Targets: part})
		return err
	})
}

// Register puts targets back into one target group, with the id and port that
// they had. It waits, fails and may be called as [Observer.Deregister].
//
// A zone is given only where AWS needs it. Inside the VPC it finds the zone
// itself, and refuses any for targets of type instance or alb; outside the VPC
// it must be told: "all", or one zone. So "all" is given at once, and the zone
// of the last row when AWS asks for one: nothing else tells the two cases apart
// without reading the VPC.
//
// Sources: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RegisterTargets.html
// and https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetDescription.html
func (o *Observer) Register(ctx context.Context, group fleet.TargetGroupARN, targets []Registration) error {
	w := &write{operation: "RegisterTargets", group: group, targets: slices.Clone(targets)}
	return o.change(ctx, w, func(ctx context.Context, part []types.TargetDescription) error {
		_, err := o.elb.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: aws.String(string(group)), Targets: part})
		return err
	})
}

// Applied reports whether a write may have taken effect, given its error: after
// a lost or garbled reply, or where some calls of several went through. It is
// false only where AWS said no, or was never asked.
func Applied(err error) (maybe bool) {
	var failed *writeError
	if errors.As(err, &failed) {
		return failed.maybe
	}
	return true
}

// write is one change to one group.
type write struct {
	operation string
	group     fleet.TargetGroupARN
	targets   []Registration
	done      int  // so many of them for certain
	maybe     bool // some of them, or the rest, perhaps
}

// change makes the calls of a write, one after the other, up to the first that
// fails: the rest would fare no better, and a later pass tries again.
func (o *Observer) change(ctx context.Context, w *write, call func(context.Context, []types.TargetDescription) error) error {
	if err := w.check(); err != nil {
		return w.fail(err)
	}
	defer func() {
		if w.done > 0 || w.maybe {
			o.written.add(w.group)
		}
	}()
	for part := range slices.Chunk(w.targets, targetsACall) {
		err := o.send(ctx, w, part, false, call)
		if wantsZone(err) && slices.ContainsFunc(part, func(t Registration) bool { return t.Zone != "" && t.Zone != everyZone }) {
			err = o.send(ctx, w, part, true, call)
		}
		if err != nil {
			return w.fail(err)
		}
		w.done += len(part)
	}
	return nil
}

// written are the groups that writes have changed and that nobody has heard of yet.
// It is all that a write shares with what runs beside it, but for buckets and clients.
type written struct {
	mu     sync.Mutex
	groups []fleet.TargetGroupARN
}

func (w *written) add(group fleet.TargetGroupARN) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.groups = append(w.groups, group)
}

// noteWritten has the rows of the groups that were changed since the last pass read
// in this one. Of a write that ends while a pass reads them, the next one hears.
func (o *Observer) noteWritten() {
	o.written.mu.Lock()
	defer o.written.mu.Unlock()
	for _, arn := range o.written.groups {
		if g := o.groups[arn]; g != nil {
			g.changed = true
		}
	}
	o.written.groups = nil
}

// check refuses what must not reach AWS: without its port, AWS would answer that
// all is well and leave the target where it is.
func (w *write) check() error {
	for _, t := range w.targets {
		if t.Key.Group != w.group || t.Key.ID == "" || t.Key.Port < 1 || t.Key.Port > 65535 {
			return gapf(fleet.Invalid, "%s of %s is no target of it", t.Key.Address(), t.Key.Group)
		}
	}
	slices.SortStableFunc(w.targets, func(a, b Registration) int { return a.Key.Compare(b.Key) })
	w.targets = slices.CompactFunc(w.targets, func(a, b Registration) bool { return a.Key == b.Key })
	return nil
}

// send makes one call with the SDK's retries.
func (o *Observer) send(ctx context.Context, w *write, part []Registration, zones bool,
	do func(context.Context, []types.TargetDescription) error,
) error {
	c := &call{paid: true, sent: time.Now()}
	if err := o.buckets[RegistrationBucket].wait(ctx); err != nil {
		return err
	}
	err := do(context.WithValue(ctx, callKey{}, c), describe(part, zones))
	// An attempt that the SDK made again may have gone through, whatever became
	// of the last one.
	w.maybe = w.maybe || err != nil && c.unsure
	return err
}

// describe names targets as AWS wants them.
func describe(targets []Registration, zones bool) []types.TargetDescription {
	out := make([]types.TargetDescription, len(targets))
	for i, t := range targets {
		out[i] = types.TargetDescription{Id: aws.String(t.Key.ID), Port: aws.Int32(int32(t.Key.Port))}
		if t.Zone == everyZone || zones && t.Zone != "" {
			out[i].AvailabilityZone = aws.String(t.Zone)
		}
	}
	return out
}

// wantsZone reports that AWS refused a target outside the VPC for want of a
// zone. It has no code of its own for that.
func wantsZone(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "ValidationError" && strings.Contains(api.ErrorMessage(), "Availability Zone")
}

// unsure reports that a request may have been carried out although its attempt
// failed: neither was it refused, nor did it never leave.
func unsure(err error) bool {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return false
	}
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) {
		return true
	}
	status := response.HTTPStatusCode()
	return status < http.StatusBadRequest || status >= http.StatusInternalServerError || status == http.StatusRequestTimeout
}

// fail makes the error of a write.
func (w *write) fail(err error) error {
	what := fmt.Sprintf("%d targets", len(w.targets))
	if len(w.targets) == 1 {
		what = w.targets[0].Key.Address()
	}
	text := fmt.Sprintf("%s of %s in target group %s: %s", w.operation, what, w.group.Name(), strings.TrimRight(explain(err), ". "))
	if Classify(err) == fleet.Denied {
		text += "; allow elasticloadbalancing:" + w.operation + " as deploy/iam/detach.json does, tag the target group castoff:managed=true, or check the credentials"
	}
	if w.done > 0 {
		text += fmt.Sprintf("; %d of them had been done before", w.done)
	}
	if w.maybe {
		text += "; AWS may have done it all the same"
	}
	return &writeError{text: text, err: err, maybe: w.maybe || w.done > 0}
}

// writeError is a failed write: a text for an operator, and the cause for
// Classify.
type writeError struct {
	text  string
	err   error
	maybe bool
}

func (e *writeError) Error() string { return e.text }
func (e *writeError) Unwrap() error { return e.err }
