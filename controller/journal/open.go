package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	fileName = "castoff.db"
	asideTag = ".damaged-"
	copyTag  = ".schema-"
)

// Open opens the journal in a directory, which must be there, and makes the file
// if there is none. The file is examined and read once before anything is made
// of it.
//
// Its errors are *HeldError, *DamagedError, *NewerError, and what the system has
// against reading the file or making one. A file that can be read but not
// written, or a disk that is full, is none: then Commit and Record fail until
// that is over.
func Open(dir string, o Options) (*Journal, error) { return current().open(dir, o) }

func (s schema) open(dir string, o Options) (_ *Journal, err error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("state directory %s is no directory", dir)
	}
	held, err := lock(dir, cmp.Or(o.Version, "of no version"))
	if err != nil {
		return nil, err
	}
	f := &file{path: filepath.Join(dir, fileName), noSync: s.noSync, lock: held}
	j := newJournal(o, f)
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	if err := s.create(f.path); err != nil {
		return nil, err
	}
	if err := s.ready(f); err != nil {
		return nil, err
	}
	if err := j.look(); err != nil {
		return nil, f.condemn(err)
	}
	if j.aside, err = asides(dir); err != nil {
		return nil, err
	}
	return j, nil
}

// create makes a file that holds nothing yet, whole or not at all.
func (s schema) create(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	unfinished := path + ".new"
	if err := os.Remove(unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s %w: %w", path, ErrUnwritable, err)
	}
	f := &file{path: unfinished, noSync: s.noSync}
	err := f.open(false)
	if err == nil {
		err = guarded(func() error { return f.db.Update(s.format) })
		err = errors.Join(err, f.close())
	}
	if err == nil {
		err = os.Rename(unfinished, path)
	}
	if err == nil {
		err = syncDir(path)
	}
	if err != nil {
		_ = os.Remove(unfinished)
		return fmt.Errorf("%s %w: %w", path, ErrUnwritable, err)
	}
	return nil
}

// format makes the buckets.
func (s schema) format(tx *bbolt.Tx) error {
	for _, name := range bucketNames {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	return s.stamp(tx)
}

// ready examines the file, opens it and brings it to this schema.
func (s schema) ready(f *file) error {
	damage, err := examine(f.path)
	if err != nil {
		return err
	}
	if damage != nil {
		return f.condemn(damage)
	}
	switch err := f.openOrRead(); {
	case errors.Is(err, berrors.ErrTimeout):
		return &HeldError{Dir: filepath.Dir(f.path)}
	case errors.Is(err, errPanic):
		return f.condemn(err)
	case err != nil:
		return err
	}
	if err := f.check(); err != nil {
		return f.condemn(err)
	}
	version, err := f.schema()
	if err != nil {
		return f.condemn(err)
	}
	if version > s.version {
		return s.newer(f, version)
	}
	if err := guarded(func() error { return f.db.View(balance) }); err != nil {
		return f.condemn(err)
	}
	if version < s.version {
		return s.migrate(f, version)
	}
	return nil
}

// look reads everything once.
func (j *Journal) look() error {
	err := j.store.read(func(v view) (err error) {
		sealed := v.get(about, "castoff")
		if sealed == nil {
			return nil
		}
		j.wrote, err = unseal[string](about, []byte("castoff"), sealed)
		j.stamped = j.wrote == j.options.Version
		return err
	})
	if err == nil {
		_, err = j.load()
	}
	return err
}

// asides are the damaged files beside the journal, oldest first.
func asides(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	var found []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), fileName+asideTag) {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found, nil
}

// condemn closes a file that does not hold what it should and moves it out of
// the way. The name has the time, and a number if that is taken.
func (f *file) condemn(reason error) error {
	damaged := &DamagedError{Path: f.path, Err: reason}
	if err := f.shut(); err != nil {
		damaged.Err = errors.Join(reason, err)
	}
	base := f.path + asideTag + time.Now().UTC().Format("20060102T150405Z")
	aside := base
	for n := 2; ; n++ {
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		}
		aside = fmt.Sprintf("%s-%d", base, n)
	}
	if err := os.Rename(f.path, aside); err != nil {
		damaged.Err = errors.Join(reason, err)
		return damaged
	}
	damaged.Kept = aside
	if f.noSync {
		return damaged
	}
	if err := syncDir(f.path); err != nil {
		damaged.Err = errors.Join(reason, err)
	}
	return damaged
}

// syncDir makes the names in a file's directory survive a power cut.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
