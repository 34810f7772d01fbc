package journal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// trimAtOnce is how many records that are over the limits go in one pass: a
// limit that was lowered a lot must not make a pass long.
const trimAtOnce = 1000

// frame is what of a timeline.State changes with every pass: all that has no
// bucket of its own, and the times of the readings, each once, with its place
// for each task and group in the order of their buckets.
type frame struct {
	State  timeline.State
	Reads  []fleet.Read
	Tasks  []int    // Read
	Groups [][2]int // Read, Inventory
}

// batch is one transaction in the making.
type batch struct {
	before  view // what the store holds; nil: whatever is put is written
	changes []change
	grown   map[string]int // by how much shelves grow
}

// put writes a value unless it is there already.
func (b *batch) put(bucket, key string, value any) error {
	sealed, err := seal(bucket, key, value)
	if err == nil {
		b.putSealed(bucket, key, sealed)
	}
	return err
}

func (b *batch) putSealed(bucket, key string, sealed []byte) {
	if b.before == nil || !bytes.Equal(b.before.get(bucket, key), sealed) {
		b.changes = append(b.changes, change{bucket: bucket, key: key, sealed: sealed})
	}
}

// seals are the records that the last pass made of values, by key. Most values
// of the next pass are the same, and need not be written down again to find that
// the store has them.
type seals[T any] struct{ last, next map[string]sealedValue[T] }

type sealedValue[T any] struct {
	value  T
	sealed []byte
}

// turn begins a pass: what is not asked for in it is forgotten with the next.
func (s *seals[T]) turn() { s.last, s.next = s.next, make(map[string]sealedValue[T], len(s.next)) }

// put is batch.put of a value of which nothing changes while it is kept.
func (s *seals[T]) put(b *batch, bucket, key string, value T) error {
	v, ok := s.last[key]
	if !ok || !reflect.DeepEqual(&v.value, &value) {
		sealed, err := seal(bucket, key, &value)
		if err != nil {
			return err
		}
		v = sealedValue[T]{value, sealed}
	}
	s.next[key] = v
	b.putSealed(bucket, key, v.sealed)
	return nil
}

// remove takes a record out if it is there.
func (b *batch) remove(bucket, key string) {
	if b.before.get(bucket, key) != nil {
		b.changes = append(b.changes, change{bucket: bucket, key: key})
	}
}

// replace makes a bucket hold these values and no others.
func replace[T any](b *batch, bucket string, values []T, put func(T) (key string, err error)) error {
	keep := make(map[string]bool, len(values))
	for _, v := range values {
		key, err := put(v)
		if err != nil {
			return err
		}
		keep[key] = true
	}
	return b.before.each(bucket, func(key, _ []byte) error {
		if !keep[string(key)] {
			b.changes = append(b.changes, change{bucket: bucket, key: string(key)})
		}
		return nil
	})
}

// draft is all that a pass changes but the frame, compared with the store.
func (j *Journal) draft(p Pass) (*batch, error) {
	b := &batch{grown: map[string]int{}}
	err := j.store.read(func(v view) error {
		b.before = v
		defer func() { b.before = nil }()
		if err := j.state(b, p.Tracker); err != nil {
			return err
		}
		if err := b.put(guards, "state", p.Guards); err != nil {
			return err
		}
		closed, ended, err := b.ends(&j.backlog)
		if err != nil {
			return err
		}
		for _, e := range []struct {
			bucket string
			added  []change
		}{{closedTimelines, closed}, {endedDetachments, ended}} {
			if err := j.ended[e.bucket].turn(b, e.bucket, e.added, j.options.Keep, p.Tracker.At); err != nil {
				return err
			}
		}
		return nil
	})
	return b, unwritable(err)
}

// intent is what Record changes.
func (j *Journal) intent(state policy.State, detachments []policy.Detachment) (*batch, error) {
	b := &batch{}
	err := j.store.read(func(v view) error {
		b.before = v
		defer func() { b.before = nil }()
		if err := b.put(guards, "state", state); err != nil {
			return err
		}
		for i := range detachments {
			if err := b.put(openDetachments, identity(&detachments[i]), &detachments[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return b, unwritable(err)
}

// unwritable marks that what has to be compared cannot be read.
func unwritable(err error) error {
	if errors.Is(err, errPanic) {
		return fmt.Errorf("journal %w: %w", ErrUnwritable, err)
	}
	return err
}

// state is what of the tracker's State is a record each.
func (j *Journal) state(b *batch, s timeline.State) error {
	err := replace(b, failures, s.Failures, func(f timeline.FailureState) (string, error) {
		key := string(f.Timeline.Task)
		return key, b.put(failures, key, f)
	})
	if err != nil {
		return err
	}
	j.tasks.turn()
	j.groups.turn()
	err = replace(b, tasks, s.Tasks, func(t *fleet.Task) (string, error) {
		timeless := *t
		timeless.Read = fleet.Read{}
		return string(t.ARN), j.tasks.put(b, tasks, string(t.ARN), timeless)
	})
	if err != nil {
		return err
	}
	return replace(b, groups, s.Groups, func(g *fleet.TargetGroup) (string, error) {
		timeless := *g
		timeless.Read, timeless.Inventory = fleet.Read{}, fleet.Read{}
		return string(g.ARN), j.groups.put(b, groups, string(g.ARN), timeless)
	})
}

// frame is the rest of it.
func (b *batch) frame(s timeline.State) error {
	f := frame{State: s}
	f.State.Failures, f.State.Tasks, f.State.Groups = nil, nil, nil
	place := map[fleet.Read]int{}
	at := func(r fleet.Read) int {
		i, ok := place[r]
		if !ok {
			i = len(f.Reads)
			place[r], f.Reads = i, append(f.Reads, r)
		}
		return i
	}
	byARN := slices.SortedFunc(slices.Values(s.Tasks), func(a, b *fleet.Task) int { return cmp.Compare(a.ARN, b.ARN) })
	for _, t := range byARN {
		f.Tasks = append(f.Tasks, at(t.Read))
	}
	groupsByARN := slices.SortedFunc(slices.Values(s.Groups), func(a, b *fleet.TargetGroup) int { return cmp.Compare(a.ARN, b.ARN) })
	for _, g := range groupsByARN {
		f.Groups = append(f.Groups, [2]int{at(g.Read), at(g.Inventory)})
	}
	return b.put(tracker, "frame", f)
}

// ends writes the open detachments of the backlog, and lists the records of
// what has ended.
func (b *batch) ends(l *backlog) (closed, ended []change, err error) {
	for _, t := range l.closed {
		sealed, err := seal(closedTimelines, closedKey(t), t)
		if err != nil {
			return nil, nil, err
		}
		closed = append(closed, change{bucket: closedTimelines, key: closedKey(t), sealed: sealed})
	}
	for _, id := range slices.Sorted(maps.Keys(l.detachments)) {
		d := l.detachments[id]
		if d.Open() {
			if err := b.put(openDetachments, id, d); err != nil {
				return nil, nil, err
			}
			continue
		}
		b.remove(openDetachments, id)
		sealed, err := seal(endedDetachments, endedKey(d), d)
		if err != nil {
			return nil, nil, err
		}
		ended = append(ended, change{bucket: endedDetachments, key: endedKey(d), sealed: sealed})
	}
	return closed, ended, nil
}

// shelf knows how many records there are of a kind that is kept for a while
// after it has ended. Counting them in each pass would read all of them.
type shelf struct {
	count   int
	counted bool
}

// turn puts records on the shelf and takes the oldest off that are over the
// limits.
func (s *shelf) turn(b *batch, bucket string, added []change, keep Keep, now time.Time) error {
	if !s.counted {
		s.count = 0
		if err := b.before.each(bucket, func(_, _ []byte) error { s.count++; return nil }); err != nil {
			return err
		}
		s.counted = true
	}
	if keep.Count <= 0 || keep.Age <= 0 {
		keep, added = Keep{}, nil
	}
	limit := instant(now.Add(-keep.Age))
	slices.SortFunc(added, func(a, b change) int { return cmp.Compare(a.key, b.key) })
	var fresh []change
	for _, c := range added {
		switch was := b.before.get(bucket, c.key); {
		case was == nil && c.key >= limit:
			fresh = append(fresh, c)
		case was != nil && !bytes.Equal(was, c.sealed):
			b.changes = append(b.changes, c)
		}
	}
	fresh = slices.CompactFunc(fresh, func(a, b change) bool { return a.key == b.key })
	over, gone := s.count+len(fresh)-keep.Count, 0
	err := b.before.each(bucket, func(key, _ []byte) error {
		for over > 0 && len(fresh) > 0 && fresh[0].key < string(key) {
			fresh, over = fresh[1:], over-1
		}
		if gone == trimAtOnce || over <= 0 && string(key) >= limit {
			return errEnough
		}
		b.changes = append(b.changes, change{bucket: bucket, key: string(key)})
		gone, over = gone+1, over-1
		return nil
	})
	if gone < trimAtOnce {
		fresh = fresh[min(len(fresh), max(0, over)):]
	}
	b.changes = append(b.changes, fresh...)
	b.grown[bucket] = len(fresh) - gone
	return err
}

// backlog is what is passed once and must not be lost when a write fails.
type backlog struct {
	closed      []*timeline.Timeline
	detachments map[string]*policy.Detachment // by identity: the latest word on each
}

// add takes in a pass. A disk that stays full must not fill the memory, too.
func (l *backlog) add(p Pass, keep Keep) {
	l.closed = append(l.closed, p.Closed...)
	l.closed = l.closed[max(0, len(l.closed)-max(0, keep.Count)):]
	if l.detachments == nil {
		l.detachments = make(map[string]*policy.Detachment, len(p.Detachments))
	}
	for _, d := range p.Detachments {
		l.detachments[identity(&d)] = &d
	}
}
