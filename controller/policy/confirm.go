package policy

import (
	"fmt"
	"time"
)

// confirm: the task was read failing so often in a row, and for so long.
func (q *question) confirm() Finding {
	c := q.limits.Confirm
	w := q.state.watch(q.id)
	if w == nil || w.Reads == 0 {
		return hold(Unconfirmed, time.Time{}, fmt.Sprintf("no reading has shown its container check failing, of %d in a row", c.Reads), count("reads", 0, c.Reads))
	}
	long := q.Now.Sub(w.Sick)
	values := []Value{count("reads", w.Reads, c.Reads), seconds("failing", long, c.For)}
	said := fmt.Sprintf("%s in a row of it failing, %d needed", plural(w.Reads, "reading"), c.Reads)
	if c.For > 0 {
		said += fmt.Sprintf(", for %s, %s needed", brief(max(0, long)), brief(c.For))
	}
	switch {
	case w.Reads < c.Reads:
		return hold(Unconfirmed, time.Time{}, said, values...)
	case long < c.For:
		return hold(Unconfirmed, w.Sick.Add(c.For), said, values...)
	}
	return allow(said, values...)
}
