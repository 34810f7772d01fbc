package policy

import (
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// unwatched is after how long without any sign of a task's cluster, nor of a
// reason why it cannot be read, a detachment is given up: castoff has been told
// not to watch it any more.
const unwatched = time.Hour

// Follow says what became of every open detachment, in the order of their
// targets: those that have ended now are among them, Closed. One about which a call
// is under way is as that left it, and followed once its outcome is known.
func (v *Look) Follow() []Detachment {
	ds := slices.DeleteFunc(slices.Clone(v.Detachments), func(d Detachment) bool { return !d.Open() })
	slices.SortFunc(ds, func(a, b Detachment) int { return a.Compare(&b) })
	for i := range ds {
		if !v.UnderWay.has(ds[i].Target) {
			v.follow(&ds[i])
		}
	}
	return ds
}

func (v *Look) follow(d *Detachment) {
	d.catchUp(plain(v.Now))
	task := v.Snapshot.Task(d.Task)
	if task == nil {
		v.followAbsent(d)
		return
	}
	if now := plain(v.Now); now.After(d.Seen) {
		d.Seen = now
	}
	if task.Leaving() {
		d.followStop(task)
	}
	d.followTask(task)
	v.followTarget(d)
	v.followSight(d, task)
	switch {
	case task.Gone():
		d.end(Stopped, v.Now)
	case !v.registered(d):
	case d.Progress == Attaching:
		d.end(Recovered, v.Now)
	default:
		long, flaps, ok := v.well(d.Task)
		if ok && long >= v.recovery(d.Service).window(flaps) {
			d.end(Recovered, v.Now)
		}
	}
}

// catchUp takes what lies ahead, of a clock that was set back since, for now. Else
// no reading would be newer than castoff's own calls until the clock was there
// again: a target that is back would be told to go back again and again, and one
// that somebody put back would be left there. For how long the target was out can
// no longer be told. Decided stays: the journal knows the detachment by it.
func (d *Detachment) catchUp(now time.Time) {
	d.Rewound = d.Rewound || d.Decided.After(now)
	for _, at := range []*time.Time{&d.Called, &d.Answered, &d.Attached, &d.RejectedAt, &d.Away, &d.Idle, &d.Fine, &d.Up} {
		if at.After(now) {
			*at, d.Rewound = now, true
		}
	}
	d.Back, d.Serving, d.Ceased = d.Back.by(now), d.Serving.by(now), d.Ceased.by(now)
}

// followAbsent: a task leaves the snapshots once it has stopped, but after a
// restart of castoff it also takes a while until it is in them.
func (v *Look) followAbsent(d *Detachment) {
	for i := range v.Snapshot.Gaps {
		if v.Snapshot.Gaps[i].MayHide(d.Cluster, d.Service, d.Task) {
			return
		}
	}
	if v.Began.IsZero() || v.Now.Before(v.Began.Add(max(v.service(d.Service).limits.Startup, DefaultLimits().Startup))) {
		return
	}
	watched := slices.ContainsFunc(v.Snapshot.Clusters, func(c *fleet.Cluster) bool { return c.ARN == d.Cluster })
	switch {
	case watched: // how long before it was missed ECS had begun nobody has read
		d.end(Stopped, v.Now)
	case v.Now.Sub(d.Seen) >= unwatched:
		d.end(Lost, v.Now)
	}
}

// followTask bounds the moment at which ECS itself began to take the task down:
// when it became DEACTIVATING. Whether stoppingAt is stamped then or only on
// STOPPING is not known, but it is never before.
func (d *Detachment) followTask(t *fleet.Task) {
	if d.ECS != nil {
		return
	}
	if !t.LastStatus.AtLeast(fleet.Deactivating) {
		if up := plain(t.Read.Earliest()); up.After(d.Up) {
			d.Up = up
		}
		return
	}
	if t.LastStatus == fleet.Deactivating && !t.StoppingAt.IsZero() {
		d.ECS = ordered(plain(t.StoppingAt), plain(t.StoppingAt))
		return
	}
	end := plain(t.Read.Received)
	for _, stamp := range []time.Time{t.StoppingAt, t.StoppedAt} {
		if !stamp.IsZero() && stamp.Before(end) {
			end = plain(stamp)
		}
	}
	d.ECS = ordered(d.Up, end)
}

// lag is how long after castoff's call a reading may not show it yet, beside the age
// of the reply: a call that is not answered is made again, and may have been carried
// out by any of its attempts.
const lag = 20 * time.Second

// proves reports that a reading which has the target in its group shows that
// somebody put it back: it is too young to be from before the call, or has the
// target as it was not then. A healthy target was healthy when it was taken out for
// the first time; one that has been seen initial since may be so again.
func (d *Detachment) proves(row *fleet.Target, r fleet.Read) bool {
	initial := row.State == fleet.TargetInitial || d.Idle.After(d.Called) && d.Idle.After(d.Away)
	return r.Earliest().After(d.settled().Add(lag)) || d.Tries == 1 && initial
}

// followTarget notes when somebody puts the target back, and when it is in
// service again.
func (v *Look) followTarget(d *Detachment) {
	g := v.Snapshot.TargetGroup(d.Target.Group)
	if d.Called.IsZero() || d.ECS != nil || g == nil || !g.Read.Earliest().After(d.settled()) {
		return
	}
	there := v.registered(d)
	row := v.Snapshot.Target(d.Target)
	proven := there && d.proves(row, g.Read) // else it may be from before the call took effect
	if !there || proven {
		since(there, proven, &d.Back, &d.Away, d.Called, g.Read)
	}
	since(there && row.State != fleet.TargetInitial, proven, &d.Serving, &d.Idle, d.Called, g.Read)
}

// since notes from when on something is so: after the latest reading in which it
// was not, or the call. By when it is so is only known once a reading proves it.
func since(so, proven bool, began **Bounds, not *time.Time, called time.Time, r fleet.Read) {
	switch {
	case !so:
		*not, *began = plain(r.Earliest()), nil
	case *began == nil || (*began).NotAfter.IsZero():
		from := called
		if not.After(from) {
			from = *not
		}
		if *began = (&Bounds{NotBefore: from}); proven {
			*began = ordered(from, plain(r.Received))
		}
	}
}

func (d *Detachment) end(o Outcome, now time.Time) {
	d.Progress, d.Outcome, d.Ended = Closed, o, plain(now)
}

// ordered makes bounds of two instants. They can only be in the wrong order
// when a clock was set back in between.
func ordered(a, b time.Time) *Bounds {
	if b.Before(a) {
		a, b = b, a
	}
	return &Bounds{NotBefore: a, NotAfter: b}
}

// by are the bounds cut off at now: what lies ahead was seen before. They are nil
// for nil.
func (b *Bounds) by(now time.Time) *Bounds {
	if b == nil || !b.NotAfter.After(now) {
		return b
	}
	cut := Bounds{NotBefore: b.NotBefore, NotAfter: now}
	if cut.NotBefore.After(now) {
		cut.NotBefore = now
	}
	return &cut
}
