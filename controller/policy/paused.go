package policy

import (
	"fmt"
)

// paused: a fault of castoff's own comes first, then what a person wants, then
// what AWS allows.
func (q *question) paused() Finding {
	if len(q.Halts) > 0 {
		h := q.Halts[0]
		return refuse(Halted, fmt.Sprintf("castoff has stopped acting (%s): %s", h.Cause, h.Detail))
	}
	if p := pausing(q.pauses, q.of, q.Now); p != nil {
		return p.finding()
	}
	for _, d := range q.Denied {
		if d.Group == q.key.Group && q.Now.Before(d.Until) && q.mode == Detaching {
			return hold(Denied, d.Until, fmt.Sprintf("AWS does not allow castoff to change the targets of %s; it tries again at %s",
				q.key.Group.Name(), clock(d.Until)))
		}
	}
	return allow("nobody has paused castoff here")
}

func (p *Pause) finding() Finding {
	where := "everything"
	switch p.Scope {
	case ScopeCluster:
		where = "cluster " + p.Service.Cluster
	case ScopeService:
		where = "service " + p.Service.String()
	}
	if p.Problem != "" {
		return refuse(PauseUnreadable, fmt.Sprintf("the tag %s of %s cannot be read, and so holds until it is mended or removed: %s", PauseTag, where, p.Problem))
	}
	said := fmt.Sprintf("%s paused %s (%s)", p.Owner, where, p.Reason)
	if p.Until.IsZero() {
		return refuse(PausedNow, said+" with no end")
	}
	return hold(PausedNow, p.Until, said+" until "+clock(p.Until))
}
