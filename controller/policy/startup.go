package policy

import (
	"fmt"
	"time"
)

// startup: what castoff has seen since it began is not half a picture.
func (q *question) startup() Finding {
	if q.Began.IsZero() {
		return hold(StartupWindow, time.Time{}, "when castoff began is not known")
	}
	end := q.Began.Add(q.limits.Startup)
	up := q.Now.Sub(q.Began)
	value := seconds("watched", up, q.limits.Startup)
	if q.Now.Before(end) {
		return hold(StartupWindow, end, fmt.Sprintf("castoff began %s ago and watches for %s before it acts", brief(up), brief(q.limits.Startup)), value)
	}
	return allow(fmt.Sprintf("castoff has watched for %s, window %s", brief(up), brief(q.limits.Startup)), value)
}
