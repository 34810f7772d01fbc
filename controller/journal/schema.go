package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

// schema is a layout of the file and the ways to it. The record of its version
// stays the same in every schema: a castoff must be able to tell that a file is
// too new for it.
type schema struct {
	version int
	steps   []func(*bbolt.Tx) error // steps[i] makes i+2 of i+1
	noSync  bool                    // a crash may lose what was kept: for measurements
}

// current is what this castoff writes.
func current() schema { return schema{version: 1} }

const schemaKey = "schema"

// stamp ends the making of a file of this schema.
func (s schema) stamp(tx *bbolt.Tx) error {
	sealed, err := seal(about, schemaKey, s.version)
	if err != nil {
		return err
	}
	if err := apply(tx, change{bucket: about, key: schemaKey, sealed: sealed}); err != nil {
		return err
	}
	total, err := recount(tx)
	if err != nil {
		return err
	}
	return setTotal(tx, total)
}

// schema is the version of the file's.
func (f *file) schema() (version int, err error) {
	err = f.read(func(v view) error {
		sealed := v.get(about, schemaKey)
		if sealed == nil {
			return errors.New("it is a bbolt file, but not castoff's: it does not say which schema it has")
		}
		version, err = unseal[int](about, []byte(schemaKey), sealed)
		return err
	})
	if err == nil && version < 1 {
		err = &recordError{bucket: about, key: schemaKey, err: fmt.Errorf("there was no schema %d", version)}
	}
	return version, err
}

// newer is the error for a file that is too new. What else it holds may have
// any form.
func (s schema) newer(f *file, version int) error {
	e := &NewerError{Path: f.path, Schema: version, Knows: s.version, Castoff: "of another version"}
	_ = f.read(func(v view) error {
		if sealed := v.get(about, "castoff"); len(sealed) > checksumSize {
			return json.Unmarshal(sealed[checksumSize:], &e.Castoff)
		}
		return nil
	})
	if name := copyOf(f.path, s.version); exists(name) {
		e.Copy = name
	}
	return e
}

// migrate brings the file from an older version to this one, in one transaction.
// A copy of it stays behind, for the way back.
func (s schema) migrate(f *file, from int) error {
	err := guarded(func() error {
		if err := f.keepCopy(from); err != nil {
			return err
		}
		return f.db.Update(func(tx *bbolt.Tx) error {
			for version := from; version < s.version; version++ {
				if err := s.steps[version-1](tx); err != nil {
					return fmt.Errorf("from schema %d to %d: %w", version, version+1, err)
				}
			}
			return s.stamp(tx)
		})
	})
	if err != nil {
		return fmt.Errorf("bringing %s to schema %d, it is as it was: %w", f.path, s.version, err)
	}
	return nil
}

func copyOf(path string, version int) string { return fmt.Sprintf("%s%s%d", path, copyTag, version) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// keepCopy copies the file, whole or not at all.
func (f *file) keepCopy(version int) error {
	name := copyOf(f.path, version)
	unfinished := name + ".new"
	err := f.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(unfinished, 0o600) })
	if err == nil {
		err = syncFile(unfinished)
	}
	if err == nil {
		err = os.Rename(unfinished, name)
	}
	if err == nil {
		return syncDir(name)
	}
	_ = os.Remove(unfinished)
	return fmt.Errorf("%s %w: copying it first: %w", f.path, ErrUnwritable, err)
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
