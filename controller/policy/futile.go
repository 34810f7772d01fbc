package policy

import (
	"fmt"
	"time"
)

// futile: what comes after is not as bad. A replacement that failed is a task
// of the same deployment that was created after another one's failure was seen.
func (q *question) futile() Finding {
	if q.task == nil {
		return hold(ReplacementsFail, time.Time{}, "the task is not there")
	}
	l := q.limits.Futile
	failures := q.state.failures(q.task.Service)
	var first time.Time
	for i := range failures {
		if f := &failures[i]; f.StartedBy == q.task.StartedBy && (first.IsZero() || f.Seen.Before(first)) {
			first = f.Seen
		}
	}
	n := 0
	var oldest time.Time
	for i := range failures {
		if f := &failures[i]; f.StartedBy == q.task.StartedBy && !f.Created.Before(first) && q.Now.Sub(f.Seen) <= l.Window {
			if n++; n == 1 || f.Seen.Before(oldest) {
				oldest = f.Seen
			}
		}
	}
	said := fmt.Sprintf("%s failed within %s, limit %d", plural(n, "replacement"), brief(l.Window), l.Replacements)
	if n >= l.Replacements {
		return hold(ReplacementsFail, oldest.Add(l.Window), said, count("replacements_failed", n, l.Replacements))
	}
	return allow(said, count("replacements_failed", n, l.Replacements))
}
