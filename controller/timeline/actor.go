package timeline

import (
	"strings"
	"time"
)

// attribute says who began a deregistration, and tightens its bounds by that.
// castoff knows its own calls. ECS does it in DEACTIVATING and not before, so a
// row that began to leave while its task was still up was taken out by somebody
// else.
//
// lag is by how much a call's effect may come to be read later than it was made. back
// is how soon after a call the row may be in service again and taken out once more;
// what is read no sooner says nothing of the call's time. A call that is pending may yet
// turn out to have changed nothing, so that it bounds nothing.
func (f *failure) attribute(m Milestone, call Bounds, pending bool, lag, back time.Duration) Milestone {
	up := f.deactivating.NotAfter.IsZero()
	ecsFirst := !up && f.deactivating.NotAfter.Before(call.NotBefore)
	// It was sent, or was about to be, and may be what the last look in service had yet to show.
	maybe := !call.NotBefore.IsZero() && !call.NotBefore.After(m.NotAfter)
	ours := maybe && !ecsFirst
	if call.NotAfter.IsZero() {
		maybe = maybe && !m.NotBefore.After(call.settled().Add(lag))
		ours = ours && maybe && (up || f.deactivating.NotBefore.After(m.NotAfter))
	} else {
		maybe = maybe && !call.NotAfter.Before(m.NotBefore)
		ours = ours && maybe
	}
	m.Evidence = attributions.Replace(m.Evidence) // what the last look made of it
	switch {
	case ours:
		m.By = ByCastoff
		m.Evidence += byCall
		if m.NotAfter.Sub(call.NotBefore) > back {
			call.NotAfter = time.Time{}
			m.Evidence += maybeAgain
		}
		if pending {
			break
		}
		// ECS may have begun before it, as far as the task was read: the row is out by its
		// end in any case. What is narrowed here stays so whoever it is put down to later.
		began := f.deactivating.NotBefore
		if up {
			began = f.task.Read.Earliest()
		}
		if began.Before(call.NotBefore) {
			call.NotBefore = began
		}
		if !call.NotAfter.IsZero() || !up || f.task.Read.Earliest().After(m.NotAfter) {
			m.Bounds = within(m.Bounds, call)
		}
	case !up && f.deactivating.NotBefore.After(m.NotAfter),
		up && f.task.Read.Earliest().After(m.NotAfter) && !f.task.Leaving():
		m.By = ByOther
	case !m.NotBefore.After(f.task.Created) && m.NotAfter.Sub(f.deactivating.NotBefore) < glance:
		// The task was up a moment ago: ECS may have begun since, or somebody else long before.
		m.By = ByECS
		m.Evidence += unseenWho
	default:
		m.By = ByECS // which is far more likely than anybody else
		from := f.deactivating.NotBefore
		switch { // who puts it down to ECS because that came next must have looked soon
		case up && !f.task.Leaving():
			m.Evidence += unreadSince
		case f.deactivating.NotAfter.Sub(m.NotAfter) > glance:
			m.Evidence += unreadLong
			from = time.Time{}
		case from.Sub(m.NotBefore) > watched:
			m.Evidence += unreadRow
			from = time.Time{}
		}
		if maybe {
			m.Evidence += maybeOurs
			if call.NotBefore.Before(from) {
				from = call.NotBefore
			}
		}
		m.Bounds = within(m.Bounds, Bounds{NotBefore: from})
	}
	return m
}

// watched is how long a row may go unread, while nothing is wrong, and still be taken
// for one that was in service until ECS began.
const watched = time.Minute

// What a milestone's evidence says of who did it, after what was seen.
const (
	byCall = "; castoff's DeregisterTargets"
	// unseenWho is for a row that was out when castoff first looked.
	unseenWho = "; when it was taken out, and by whom, is unseen"
	// maybeOurs is for when ECS began and castoff called, and which of the two did it is
	// unseen: nobody answered the call, castoff was killed in it, or ECS, which need not
	// deregister as it begins, had just begun.
	maybeOurs = "; or by castoff, which called at about that time"
	// unreadSince is for a task that was not read after its row was.
	unreadSince = "; or by somebody else: its task has not been read since"
	// unreadRow is for a row that may have been out for long when its task began to leave.
	unreadRow = "; or by somebody else: its row was not read for a while"
	// unreadLong is for one that was read so late that it had time to leave for
	// something else.
	unreadLong = "; or by somebody else: its task was not read for a while"
)

var attributions = strings.NewReplacer(byCall, "", maybeAgain, "", unseenWho, "", maybeOurs, "", unreadSince, "", unreadLong, "", unreadRow, "")
