package awsapi

import (
	"cmp"
	"context"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// maxPages bounds a list, of which a page has 100 or more: AWS's largest has 5,000
// services, and castoff is made for fleets of 10,000 tasks.
const maxPages = 500

// chain is a list that AWS gives page by page. Each page has a clock of its
// own: a list that the budget breaks off goes on where it was, and a long one
// comes round evenly instead of all at once.
type chain struct {
	token    *string
	pages    []clock
	page     int  // the next one
	complete bool // it has been to its end once
	failing  bool // the last try failed
	mended   bool // by the last walk: the page that had failed was read
	rounds   int  // how often
	granted  int  // tokens taken beforehand
}

// walk reads pages as long as they are due and there are tokens. It reports
// whether it came to the end of the list.
func (c *chain) walk(ctx context.Context, o *Observer, b *bucket, interval time.Duration, read func(token *string) (next *string, err error)) (ended bool, err error) {
	defer func() { c.granted = 0 }()
	c.mended = false
	for {
		now := time.Now()
		clk := c.next(now)
		if ctx.Err() != nil || !o.due(clk, now, interval) {
			return false, nil
		}
		if c.granted > 0 {
			c.granted--
		} else if !b.take() {
			clk.wait(now)
			return false, nil
		}
		b.served(now, clk)
		next, err := read(c.token)
		if err == nil && next != nil && *next != "" && (c.page >= maxPages || c.token != nil && *next == *c.token) {
			err = gapf(fleet.Invalid, "the list never ends (page %d)", c.page+1)
		}
		c.mended = err == nil && (c.mended || clk.failed)
		clk.failed, c.failing = clk.soon(err), err != nil
		switch {
		case err != nil && !clk.failed:
			// A token that AWS no longer takes would fail for ever.
			c.page, c.token = 0, nil
			c.pages = c.pages[:1]
			c.pages[0].tried = now
			return false, err
		case err != nil:
			return false, err
		case next == nil || *next == "":
			c.pages = c.pages[:c.page+1]
			c.page, c.token = 0, nil
			c.complete = true
			c.rounds++
			return true, nil
		}
		c.page, c.token = c.page+1, next
	}
}

// begun is when its first page was last tried.
func (c *chain) begun() time.Time {
	if len(c.pages) == 0 {
		return time.Time{}
	}
	return c.pages[0].tried
}

// next is the clock of the next page. One that is new has been waiting since
// the list began.
func (c *chain) next(now time.Time) *clock {
	if c.page == len(c.pages) {
		if len(c.pages) > 0 {
			now = c.pages[0].known
		}
		c.pages = append(c.pages, clock{known: now})
	}
	return &c.pages[c.page]
}

// pagesAhead is how many pages are planned for in a list whose length is not
// known yet, once it has shown that it has more than one. If there are fewer,
// their tokens are lost, once.
const pagesAhead = 10

// turns are the pages that are due, as far as can be told beforehand.
func (c *chain) turns(o *Observer, now time.Time, interval time.Duration, hot bool) []turn {
	clk := c.next(now)
	var turns []turn
	for i := c.page; i < len(c.pages) && o.due(&c.pages[i], now, interval); i++ {
		turns = append(turns, turn{hot: hot || c.pages[i].again, late: c.pages[i].late(now, interval)})
	}
	if c.page > 0 && c.page == len(c.pages)-1 {
		for range pagesAhead - 1 {
			turns = append(turns, turn{hot: hot, late: clk.late(now, interval)})
		}
	}
	return turns
}

// noList refuses a reply that lacks its list. One that is empty is there and has
// nothing in it, in JSON as in XML; none at all is some other document, or part
// of one, which the SDK takes for a reply that says nothing.
func noList[T any](list []T, of string) error {
	if list == nil {
		return gapf(fleet.Invalid, "the reply has no list of %s", of)
	}
	return nil
}

// listed is one list's worth of results.
type listed struct {
	found []string
	ended bool
	seen  bool // it is no longer missed: it ended, or what had failed of it was read
	err   error
}

// list walks a chain whose pages hold ARNs.
func (o *Observer) list(ctx context.Context, c *chain, b *bucket, interval time.Duration, what string,
	page func(ctx context.Context, token *string) (found []string, next *string, err error),
) listed {
	var l listed
	strange := ""
	l.ended, l.err = c.walk(ctx, o, b, interval, func(token *string) (*string, error) {
		found, next, err := page(ctx, token)
		found, why := lawful(found, what)
		strange = cmp.Or(strange, why)
		l.found = append(l.found, found...)
		return next, err
	})
	l.seen = l.ended || c.mended
	if l.err == nil && strange != "" { // of the others it is good
		l.seen, l.err = false, gapf(fleet.Invalid, "%s", strange)
	}
	return l
}
