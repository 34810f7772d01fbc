package controller

import (
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// history keeps closed timelines in memory, newest first, as many and as long
// as it is told to.
type history struct {
	keep   config.Keep
	closed []*timeline.Timeline
}

// restore takes in what was kept of an earlier process, newest first.
func (h *history) restore(closed []*timeline.Timeline) []*timeline.Timeline {
	h.closed = slices.Clone(closed[:min(len(closed), h.keep.Count)])
	return h.closed
}

// add takes in timelines and drops those that are over the limits. The slice
// that it answers is never changed afterwards: readers may hold on to it.
func (h *history) add(closed []*timeline.Timeline, now time.Time) []*timeline.Timeline {
	limit := now.Add(-h.keep.Age)
	keep := min(len(h.closed), max(0, h.keep.Count-len(closed)))
	for keep > 0 && h.closed[keep-1].Closed.Before(limit) {
		keep--
	}
	if len(closed) == 0 {
		if keep < len(h.closed) {
			h.closed = slices.Clone(h.closed[:keep]) // so that the others can go
		}
		return h.closed
	}
	next := make([]*timeline.Timeline, 0, len(closed)+keep)
	next = append(next, closed...)
	slices.Reverse(next)
	next = append(next, h.closed[:keep]...)
	h.closed = next[:min(len(next), h.keep.Count)]
	return h.closed
}
