package awsapi

import (
	"cmp"
	"math"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// hotShare is how many turns in a row hot reads get while others wait, so that
// an incident never stops the reads that would show the next one.
const hotShare = 3

// bucket is castoff's part of one of AWS's token buckets.
type bucket struct {
	name     string
	limiter  *rate.Limiter
	recorder Recorder
	streak   int // hot turns given since another one had its turn
}

// perSecond is for how many calls a second of the clock it gives tokens.
func (b *bucket) perSecond() float64 {
	if limit := b.limiter.Limit(); limit != rate.Inf {
		return float64(limit)
	}
	return math.Inf(1) // rate's is a very large number
}

// take takes a token if there is one now.
func (b *bucket) take() bool { return b.limiter.AllowN(time.Now(), 1) }

// turn is one call that waits for a token.
type turn struct {
	hot  bool    // ahead of those that are not
	late float64 // how long it has been waiting, in units of its own interval
}

// share gives tokens to the turns that are to be taken now, and says which.
func (b *bucket) share(turns []turn) []bool {
	granted := make([]bool, len(turns))
	for _, i := range inTurn(turns, b.streak) {
		if !b.take() {
			break
		}
		granted[i] = true
		if turns[i].hot {
			b.streak++
		} else {
			b.streak = 0
		}
	}
	return granted
}

// inTurn is the order in which turns are taken: hot ones first, the most
// overdue first among equals, and after hotShare hot ones, of which streak have
// been taken already, one that is not hot.
func inTurn(turns []turn, streak int) []int {
	var hot, rest []int
	for i, t := range turns {
		if t.hot {
			hot = append(hot, i)
		} else {
			rest = append(rest, i)
		}
	}
	byLate := func(a, b int) int { return cmp.Compare(turns[b].late, turns[a].late) }
	slices.SortStableFunc(hot, byLate)
	slices.SortStableFunc(rest, byLate)
	order := make([]int, 0, len(turns))
	for len(hot) > 0 && len(rest) > 0 {
		if streak < hotShare {
			order, hot = append(order, hot[0]), hot[1:]
			streak++
		} else {
			order, rest = append(order, rest[0]), rest[1:]
			streak = 0
		}
	}
	return append(append(order, hot...), rest...)
}

// clock says when something is due to be read. Its times keep their monotonic
// readings, so that a step of the wall clock neither stalls nor floods.
type clock struct {
	known  time.Time // since when there is something to read
	tried  time.Time // when it was last tried; zero: never
	waits  time.Time // since when it has been due without getting a token; zero: it has not
	failed bool      // the last try failed and is worth another one soon
	again  bool      // and the one before it did not: ahead of all others, once
	alone  bool      // it was in a batch that was refused as a whole: ask for it alone
}

// aloneFactor stretches the interval of what is refused alone as well: a call
// each, and no sign that it will get better.
const aloneFactor = 5

// fail notes that a call for n things failed. Unless that is passing, each is tried
// by itself next: one that is denied, or that spoils the reply, must not hide the rest.
func (c *clock) fail(err error, n int) {
	c.failed = c.soon(err) || n > 1
	c.alone = !passing(Classify(err)) && (n > 1 || !garbled(err))
}

// soon reports whether what has just failed is worth another try before the clock says
// so: the failure is passing, or the reply was none, and the one before it was. The first
// failure is worth one in the next pass, ahead of all that waits: in a large fleet one
// lost call would else go unread for a whole round.
func (c *clock) soon(err error) bool {
	soon := passing(Classify(err)) || garbled(err) && !c.failed
	c.again = soon && !c.failed
	return soon
}

// ok notes that the thing was read.
func (c *clock) ok() { c.failed, c.alone = false, false }

// due reports whether a try is due that comes every so often, or again after
// the shorter time when the last one failed and that may have passed.
func (c *clock) due(now time.Time, every, again time.Duration) bool {
	switch {
	case c.again:
		return true
	case c.failed:
		every = min(every, again)
	case c.alone:
		every *= aloneFactor
	}
	return c.tried.IsZero() || now.Sub(c.tried) >= every
}

// late is how long ago it was last tried in units of its interval.
func (c *clock) late(now time.Time, every time.Duration) float64 {
	if c.again {
		return math.Inf(1)
	}
	since := c.tried
	if since.IsZero() {
		since = c.known
	}
	return float64(now.Sub(since)) / float64(max(every, 1))
}

// wait notes that a read was due and got no token.
func (c *clock) wait(now time.Time) {
	if c.waits.IsZero() {
		c.waits = now
	}
}

// start notes a try and returns since when it had waited for a token; zero when
// it had not.
func (c *clock) start(now time.Time) (waited time.Time) {
	waited, c.waits = c.waits, time.Time{}
	c.tried, c.again = now, false
	return waited
}

// served counts what the longest waiting of the things that one call reads had
// to wait for it.
func (b *bucket) served(now time.Time, clocks ...*clock) {
	var first time.Time
	for _, c := range clocks {
		if w := c.start(now); !w.IsZero() && (first.IsZero() || w.Before(first)) {
			first = w
		}
	}
	if !first.IsZero() {
		b.recorder.PacingWait(b.name, now.Sub(first))
	}
}
