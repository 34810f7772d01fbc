package awsapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/time/rate"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// bucketOf says which of AWS's token buckets an operation takes from.
// Operations of ELBv2 other than these would go to buckets of their own.
var bucketOf = map[string]string{
	"ListClusters":                   ClusterReadBucket,
	"DescribeClusters":               ClusterReadBucket,
	"ListTasks":                      ClusterResourceReadBucket,
	"DescribeTasks":                  ClusterResourceReadBucket,
	"DescribeContainerInstances":     ClusterResourceReadBucket,
	"ListServices":                   ServiceReadBucket,
	"DescribeServices":               ServiceReadBucket,
	"DescribeServiceRevisions":       ServiceReadBucket,
	"ListGatewayRoutes":              ServiceReadBucket, // AWS publishes no limit of its own
	"DescribeTaskDefinition":         TaskDefinitionReadBucket,
	"DescribeTargetGroups":           BalancerReadBucket,
	"DescribeTargetGroupAttributes":  BalancerReadBucket,
	"DescribeLoadBalancerAttributes": BalancerReadBucket,
	"DescribeTargetHealth":           BalancerReadBucket,
	"DescribeTags":                   BalancerReadBucket,
	"RegisterTargets":                RegistrationBucket,
	"DeregisterTargets":              RegistrationBucket,
}

// call is what the attempts of one call share.
type call struct {
	hasty  bool          // further attempts do not wait for their tokens
	paid   bool          // the token of the next attempt has been taken
	sent   time.Time     // when the last attempt left
	behind time.Duration // how much older its reply may be
	err    error         // what it failed with
	unsure bool          // an attempt failed that may have been carried out
}

type callKey struct{}

// untilKey is when the last request of a write may leave.
type untilKey struct{}

// late fails what would leave too late. What AWS said before is the better news.
func (c *call) late(ctx context.Context) error {
	until, ok := ctx.Value(untilKey{}).(time.Time)
	if !ok || !time.Now().After(until) {
		return nil
	}
	if c.err != nil {
		return c.err
	}
	return gapf(fleet.Paced, "no request could leave before what it rests on was too old")
}

// tooLate is the error of an attempt that has no token in time; nor would a later one.
type tooLate struct{ error }

func (e tooLate) Unwrap() error { return e.error }

// RetryableError tells the SDK not to try again.
func (tooLate) RetryableError() bool { return false }

// ask makes one call. In a pass its token has been taken, and it is tried once:
// the pass that comes next is its retry, and backing off here would hold up what
// others answer well. Where ctx has the patience it waits for a token and has the
// SDK's retries. The Read is that of the attempt that was answered. A call gets
// at most half of the time that is left: one that hangs must leave some to the
// others.
func ask[In, Out, Opt any](ctx context.Context, op func(context.Context, *In, ...func(*Opt)) (*Out, error), in *In) (*Out, fleet.Read, error) {
	if err, spoiled := ctx.Value(spoiledKey{}).(error); spoiled {
		return nil, fleet.Read{}, err
	}
	b, patient := ctx.Value(patienceKey{}).(*bucket)
	var options []func(*Opt)
	if patient {
		if err := b.wait(ctx); err != nil {
			return nil, fleet.Read{}, err
		}
	} else {
		options = append(options, tryOnce[Opt])
	}
	c := &call{paid: true, sent: time.Now(), hasty: !patient}
	ctx = context.WithValue(ctx, callKey{}, c)
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	out, err := op(ctx, in, options...)
	// Without monotonic readings: these instants are compared with AWS's own.
	read := fleet.Read{Sent: c.sent.Round(0).UTC(), Received: time.Now().Round(0).UTC(), Behind: c.behind}
	return out, read, err
}

// tryOnce sets the retries of one call of either service.
func tryOnce[Opt any](options *Opt) {
	switch o := any(options).(type) {
	case *ecs.Options:
		o.Retryer = once{}
	case *elb.Options:
		o.Retryer = once{}
	}
}

// once retries nothing but a connection that was closed under the request, and
// that at once: servers close idle ones, and a new one is there in no time.
type once struct{ aws.NopRetryer }

// MaxAttempts is the first one and that one.
func (once) MaxAttempts() int { return 2 }

// IsErrorRetryable reports a closed connection.
func (once) IsErrorRetryable(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF)
}

// RetryDelay is none.
func (once) RetryDelay(int, error) (time.Duration, error) { return 0, nil }

// attempts is the middleware that sees every attempt of a call: it takes the
// tokens of retries and counts.
type attempts struct {
	service  string
	buckets  map[string]*bucket
	recorder Recorder
	behind   time.Duration
}

// ID names the middleware in the SDK's stack.
func (*attempts) ID() string { return "castoff.Attempts" }

// add puts the middleware last before the request leaves, inside the SDK's
// retry loop.
func (a *attempts) add(stack *middleware.Stack) error {
	return stack.Finalize.Add(a, middleware.After)
}

// HandleFinalize makes one attempt.
func (a *attempts) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	middleware.FinalizeOutput, middleware.Metadata, error,
) {
	operation := awsmiddleware.GetOperationName(ctx)
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		c = new(call)
	}
	if b := a.buckets[bucketOf[operation]]; b != nil && !c.paid {
		if err := c.pay(ctx, b); err != nil {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, err
		}
	}
	c.paid = false
	if err := c.late(ctx); err != nil {
		return middleware.FinalizeOutput{}, middleware.Metadata{}, err
	}
	c.sent, c.behind = time.Now(), a.behind
	out, metadata, err := next.HandleFinalize(ctx, in)
	c.err = err
	c.unsure = c.unsure || err != nil && unsure(err)
	result := "ok"
	if err != nil {
		result = string(Classify(err))
	}
	a.recorder.Request(a.service, operation, bucketOf[operation], result, time.Since(c.sent))
	return out, metadata, err
}

// pay takes the token of a further attempt. The earlier failure is what counts
// when there is none.
func (c *call) pay(ctx context.Context, b *bucket) error {
	if !c.hasty {
		return b.retry(ctx, c.err)
	}
	if !b.take() {
		return c.err
	}
	return nil
}

// token waits for a token, and no longer than ctx lasts. A write whose token would
// come when it may not leave any more takes none: else where budgets are small it
// would take each token too late, and never be made.
func (b *bucket) token(ctx context.Context) error {
	if until, ok := ctx.Value(untilKey{}).(time.Time); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until.Add(time.Nanosecond)) // at until it still may
		defer cancel()
	}
	return b.limiter.Wait(ctx)
}

// wait waits for the token of a call's first attempt.
func (b *bucket) wait(ctx context.Context) error {
	start := time.Now()
	if err := b.token(ctx); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("wait for a token of %s: %w", b.name, ctx.Err())
		}
		return gapf(fleet.Paced, "castoff's own call budget %s has no token in time", b.name)
	}
	if waited := time.Since(start); waited > 0 {
		b.recorder.PacingWait(b.name, waited)
	}
	return nil
}

// retry waits for the token of an attempt that nobody has paid for yet. The earlier
// failure is what counts when it cannot.
func (b *bucket) retry(ctx context.Context, earlier error) error {
	start := time.Now()
	if err := b.token(ctx); err != nil {
		if earlier == nil {
			earlier = context.DeadlineExceeded
		}
		return tooLate{fmt.Errorf("no time left for a token of %s: %w", b.name, earlier)}
	}
	if b.limiter.Limit() != rate.Inf {
		b.recorder.PacingWait(b.name, time.Since(start))
	}
	return nil
}

// credentials marks the errors of a provider, so that Classify knows them: the
// SDK gives them no type of their own.
type credentials struct{ aws.CredentialsProvider }

// Retrieve asks the provider.
func (c credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return creds, &credentialsError{err}
	}
	return creds, nil
}

type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "no AWS credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }
