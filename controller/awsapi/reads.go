package awsapi

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// read is one call that is due.
type read struct {
	turn
	clocks []*clock // of what it reads
	due    int      // how many of these are due; the rest only fill the batch
	// call makes the call and returns what is to be done with the answer. Calls
	// run concurrently and must change nothing; what they return runs in order.
	call func(context.Context) (apply func())
}

// perform gives out the tokens that there are and makes the calls that got one.
// Once the pass has no time left it makes none: tokens are for calls that can
// be answered, and what is due stays due.
func (o *Observer) perform(ctx context.Context, b *bucket, reads []read) {
	if ctx.Err() != nil {
		return
	}
	turns := make([]turn, len(reads))
	for i := range reads {
		turns[i] = reads[i].turn
	}
	o.run(ctx, b, reads, b.share(turns))
}

// run makes the calls that are granted; the others note that they wait.
func (o *Observer) run(ctx context.Context, b *bucket, reads []read, granted []bool) {
	now := time.Now()
	paid := make([]read, 0, len(reads))
	for i, r := range reads {
		if !granted[i] {
			for _, c := range r.clocks[:r.due] {
				c.wait(now)
			}
			continue
		}
		b.served(now, r.clocks...)
		paid = append(paid, r)
	}
	settle(ctx, paid, func(ctx context.Context, r read) func() { return r.call(ctx) })
}

// batch makes reads of at most size elements each: what is due, the longest
// overdue first, and in the last one, for nothing, what will be due next.
func batch[T any](o *Observer, items []T, clk func(T) *clock, interval time.Duration, size int,
	call func(context.Context, []T) (apply func()),
) []read {
	now := time.Now()
	items = slices.Clone(items)
	isDue := func(t T) bool { return o.due(clk(t), now, interval) }
	slices.SortStableFunc(items, func(a, b T) int {
		return cmp.Or(
			first(isDue(a), isDue(b)), first(clk(a).alone, clk(b).alone),
			clk(a).tried.Compare(clk(b).tried),
		)
	})
	due := 0
	for due < len(items) && isDue(items[due]) {
		due++
	}
	var reads []read
	for from := 0; from < due; {
		n := 1
		if !clk(items[from]).alone {
			for n < size && from+n < len(items) && !clk(items[from+n]).alone {
				n++
			}
		}
		part := items[from : from+n]
		r := read{
			due:  min(n, due-from),
			call: func(ctx context.Context) func() { return call(ctx, part) },
		}
		from += n
		for _, t := range part {
			c := clk(t)
			r.clocks = append(r.clocks, c)
			r.late, r.hot = max(r.late, c.late(now, interval)), r.hot || c.again
		}
		reads = append(reads, r)
	}
	return reads
}

// split parts what is so from what is not.
func split[T any](items []T, is func(T) bool) (yes, no []T) {
	for _, t := range items {
		if is(t) {
			yes = append(yes, t)
		} else {
			no = append(no, t)
		}
	}
	return yes, no
}

// first orders what is so before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// texts are the names or ARNs that a batch call asks for.
func texts[T any](items []T, text func(T) string) []string {
	out := make([]string, len(items))
	for i, t := range items {
		out[i] = text(t)
	}
	return out
}

// tags are a thing's tags, of either service's type; nil for none.
func tags[T any](in []T, pair func(T) (key, val *string)) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]string, len(in))
	for _, t := range in {
		key, val := pair(t)
		out[value(key)] = value(val)
	}
	return out
}

// orElse is the value pointed to, or the other where there is none.
func orElse[T any](p *T, or T) T {
	if p == nil {
		return or
	}
	return *p
}

// value is the value pointed to, or zero where AWS gave none.
func value[T any](p *T) T {
	var zero T
	return orElse(p, zero)
}
