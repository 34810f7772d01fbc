package awsapi

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"
)

// concurrency is how many calls are under way at a time.
const concurrency = 8

// settle makes calls, some at a time, and then does what is to be done with each
// answer, in the order of the calls. A reply on which castoff's own code panics is one
// that could not be read, like any other that makes no sense: the call is told so in
// place of an answer, and makes its Gap of that.
func settle[T any](ctx context.Context, of []T, call func(context.Context, T) (apply func())) {
	attempt := func(t T) (apply func()) {
		if err := caught(func() { apply = call(ctx, t) }); err != nil {
			return call(context.WithValue(ctx, spoiledKey{}, err), t)
		}
		return apply
	}
	for i, apply := range each(of, attempt) {
		if err := caught(apply); err != nil {
			call(context.WithValue(ctx, spoiledKey{}, err), of[i])()
		}
	}
}

// spoiledKey has the error that [ask] answers with at once.
type spoiledKey struct{}

// each calls f for every element, some at a time, and returns the results in
// the order of the elements. A panic is the caller's: it may be caught there, and
// in another goroutine would end the process.
func each[In, Out any](in []In, f func(In) Out) []Out {
	out := make([]Out, len(in))
	panics := make([]any, len(in))
	var group errgroup.Group
	group.SetLimit(concurrency)
	for i := range in {
		group.Go(func() error {
			defer func() { panics[i] = recover() }()
			out[i] = f(in[i])
			return nil
		})
	}
	_ = group.Wait() // no error is ever returned
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
	return out
}

// caught is the error of a panic in f; nil when there was none.
func caught(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	f()
	return nil
}

// panicked makes an error of a panic, in the deferred function that recovers it:
// the reply was none that anybody can read. It says where, for the report.
func panicked(p any) error {
	callers := make([]uintptr, 32)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	where, after := "", false
	for {
		frame, more := frames.Next()
		if after && !strings.HasPrefix(frame.Function, "runtime.") {
			where = fmt.Sprintf(" (%s:%d)", frame.File[strings.LastIndexByte(frame.File, '/')+1:], frame.Line)
			break
		}
		after = after || frame.Function == "runtime.gopanic"
		if !more {
			break
		}
	}
	return &smithy.DeserializationError{Err: fmt.Errorf("reading it panicked: %v%s", p, where)}
}
