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
	n, oldest := futile(q.state.failures(q.task.Service), q.task.StartedBy, l.Window, q.Now)
	said := fmt.Sprintf("%s failed within %s, limit %d", plural(n, "replacement"), brief(l.Window), l.Replacements)
	if n >= l.Replacements {
		return hold(ReplacementsFail, oldest.Add(l.Window), said, count("replacements_failed", n, l.Replacements))
	}
	return allow(said, count("replacements_failed", n, l.Replacements))
}

// futile is how many replacements of a deployment failed within a window, and when
// the first of them was seen failing.
func futile(failures []Failure, startedBy string, window time.Duration, now time.Time) (n int, oldest time.Time) {
	var first time.Time
	for i := range failures {
		if f := &failures[i]; f.StartedBy == startedBy && (first.IsZero() || f.Seen.Before(first)) {
			first = f.Seen
		}
	}
	for i := range failures {
		if f := &failures[i]; f.StartedBy == startedBy && !f.Created.Before(first) && now.Sub(f.Seen) <= window {
			if n++; n == 1 || f.Seen.Before(oldest) {
				oldest = f.Seen
			}
		}
	}
	return n, oldest
}
