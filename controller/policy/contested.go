package policy

import (
	"fmt"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Calls are those to change a target that are under way, by when they were sent.
type Calls map[fleet.TargetKey]time.Time

func (c Calls) has(key fleet.TargetKey) bool {
	_, ok := c[key]
	return ok
}

// underWay holds a target about which a call is under way: of two, nobody knows which
// AWS carries out last.
func (q *question) underWay() (Finding, bool) {
	if !q.UnderWay.has(q.key) {
		return Finding{}, false
	}
	return hold(Unanswered, time.Time{}, "AWS has not answered yet what castoff asked for at "+clock(q.UnderWay[q.key])), true
}

// contested: a target that castoff took out and somebody put back, as ECS does,
// is taken out again only so often, ever more spaced. Nor is a call that AWS
// refuses made again at once.
func (q *question) contested() Finding {
	if f, ok := q.underWay(); ok {
		return f
	}
	d := q.detachment
	if d == nil || q.mode != Detaching {
		return allow("nobody has put it back")
	}
	if next := d.retry(q.Now); q.Now.Before(next) {
		return hold(Spaced, next, d.refused(next))
	}
	if d.due() {
		return allow("nobody has put it back")
	}
	l := q.limits.Contested
	value := count("tries", d.Tries, l.Tries)
	if q.group == nil || !q.group.Read.Earliest().After(d.settled()) {
		return hold(Unanswered, time.Time{}, "its group has not been read since castoff took it out at "+clock(d.Called), value)
	}
	switch {
	case !q.registered(d) && d.Tries > 1:
		return allow(fmt.Sprintf("nobody has put it back since castoff took it out at %s, try %d of %d", clock(d.Called), d.Tries, l.Tries), value)
	case !q.registered(d):
		return allow("nobody has put it back", value)
	case !d.proves(q.row, q.group.Read):
		return hold(Unanswered, d.settled().Add(lag+q.group.Read.Behind), "it is in its group by a reading that may be older than castoff's call at "+clock(d.Called), value)
	}
	if d.Tries >= l.Tries {
		return refuse(GaveUp, fmt.Sprintf("castoff took it out %s and somebody put it back: left alone, limit %d", times(d.Tries), l.Tries), value)
	}
	next := d.Called.Add(l.Spacing << max(0, d.Tries-1))
	if q.Now.Before(next) {
		return hold(Spaced, next, fmt.Sprintf("somebody put it back after castoff took it out at %s: again at %s", clock(d.Called), clock(next)), value)
	}
	return allow(fmt.Sprintf("somebody put it back; try %d of %d", d.Tries+1, l.Tries), value)
}
