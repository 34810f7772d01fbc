package journal

import (
	"errors"
	"fmt"
	"slices"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// load reads all records. Its error is a recordError, or the store's.
func (j *Journal) load() (Contents, error) {
	c := Contents{Aside: slices.Clone(j.aside), Version: j.wrote}
	err := j.store.read(func(v view) error {
		if err := loadTracker(v, &c); err != nil {
			return err
		}
		if err := loadDetachments(v, &c); err != nil {
			return err
		}
		closed, err := all[*timeline.Timeline](v, closedTimelines)
		slices.Reverse(closed)
		c.Closed = closed
		return err
	})
	return c, err
}

func loadTracker(v view, c *Contents) (err error) {
	s := &c.Tracker
	if s.Failures, err = all[timeline.FailureState](v, failures); err != nil {
		return err
	}
	for _, f := range s.Failures {
		if f.Timeline == nil {
			return &recordError{bucket: failures, err: errors.New("a failure without a timeline")}
		}
	}
	if s.Tasks, err = all[*fleet.Task](v, tasks); err != nil {
		return err
	}
	if s.Groups, err = all[*fleet.TargetGroup](v, groups); err != nil {
		return err
	}
	sealed := v.get(tracker, "frame")
	if sealed == nil {
		c.Fresh = true
		return nil
	}
	f, err := unseal[frame](tracker, []byte("frame"), sealed)
	if err != nil {
		return err
	}
	f.State.Failures, f.State.Tasks, f.State.Groups = s.Failures, s.Tasks, s.Groups
	*s = f.State
	if err := f.date(s); err != nil {
		return &recordError{bucket: tracker, key: "frame", err: err}
	}
	return nil
}

// date gives tasks and groups the times of their readings back.
func (f *frame) date(s *timeline.State) error {
	if len(f.Tasks) != len(s.Tasks) || len(f.Groups) != len(s.Groups) {
		return fmt.Errorf("it has the times of %d tasks and %d groups, and there are %d and %d",
			len(f.Tasks), len(f.Groups), len(s.Tasks), len(s.Groups))
	}
	bad := false
	at := func(i int) fleet.Read {
		if i < 0 || i >= len(f.Reads) {
			bad = true
			return fleet.Read{}
		}
		return f.Reads[i]
	}
	for i, t := range s.Tasks {
		t.Read = at(f.Tasks[i])
	}
	for i, g := range s.Groups {
		g.Read, g.Inventory = at(f.Groups[i][0]), at(f.Groups[i][1])
	}
	if bad {
		return errors.New("it lacks the time of a reading")
	}
	return nil
}

func loadDetachments(v view, c *Contents) (err error) {
	if sealed := v.get(guards, "state"); sealed != nil {
		if c.Guards, err = unseal[policy.State](guards, []byte("state"), sealed); err != nil {
			return err
		}
	}
	if c.Detachments, err = all[policy.Detachment](v, openDetachments); err != nil {
		return err
	}
	c.Ended, err = all[policy.Detachment](v, endedDetachments)
	slices.Reverse(c.Ended)
	return err
}

// all are the values of a bucket in the order of their keys.
func all[T any](v view, bucket string) (values []T, err error) {
	err = v.each(bucket, func(key, sealed []byte) error {
		value, err := unseal[T](bucket, key, sealed)
		values = append(values, value)
		return err
	})
	return values, err
}
