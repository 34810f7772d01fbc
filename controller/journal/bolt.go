package journal

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
)

// file is a store on disk.
type file struct {
	path   string
	noSync bool
	lock   *os.File // nil: none
	db     *bbolt.DB
	inode  os.FileInfo // of what db has open
	// stale: the last write failed, and bbolt's picture of the file may no longer
	// be the disk's. It is opened anew before the next write.
	stale bool
	// broken: bbolt panicked in a write and may hold its own locks for ever.
	broken error
}

// openOrRead opens a file that is known to be sound, only to read it if it cannot
// be written.
func (f *file) openOrRead() error {
	err := f.open(false)
	if err != nil && !errors.Is(err, errPanic) && f.open(true) == nil {
		return nil
	}
	return err
}

func (f *file) open(readOnly bool) error {
	return guarded(func() error {
		db, err := bbolt.Open(f.path, 0o600, &bbolt.Options{
			// castoff.lock has kept others out: whoever holds the file is a mistake.
			Timeout:      time.Millisecond,
			FreelistType: bbolt.FreelistMapType,
			NoStatistics: true,
			NoSync:       f.noSync,
			ReadOnly:     readOnly,
		})
		if err != nil {
			return fmt.Errorf("opening %s: %w", f.path, err)
		}
		f.db, f.stale = db, false
		f.inode, err = os.Stat(f.path)
		return err
	})
}

// guarded turns a panic into an error. bbolt panics on what it did not expect in
// its file, and since it maps the file into memory, so does a disk that fails.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return fn()
}

var errPanic = errors.New("bbolt gave up")

func (f *file) read(fn func(view) error) error {
	if f.db == nil { // a write has failed badly
		if err := f.reopen(); err != nil {
			return fmt.Errorf("%s %w: %w", f.path, ErrUnwritable, err)
		}
	}
	return guarded(func() error {
		return f.db.View(func(tx *bbolt.Tx) error { return fn(boltView{tx}) })
	})
}

func (f *file) write(changes []change) error {
	if err := f.update(changes); err != nil {
		return fmt.Errorf("%s %w: %w", f.path, ErrUnwritable, err)
	}
	return nil
}

func (f *file) update(changes []change) error {
	if f.broken != nil {
		return fmt.Errorf("restart castoff to try again: %w", f.broken)
	}
	if err := f.reopen(); err != nil {
		return err
	}
	err := guarded(func() error {
		return f.db.Update(func(tx *bbolt.Tx) error { return changeAll(tx, changes) })
	})
	f.stale = err != nil
	if errors.Is(err, errPanic) {
		f.broken = err
	}
	return err
}

// reopen makes the file ready to be written: opened anew, if need be.
func (f *file) reopen() error {
	if is, err := os.Stat(f.path); err != nil || !os.SameFile(is, f.inode) {
		return errors.Join(errors.New("it is no longer where it was: put it back, or restart castoff"), err)
	}
	if f.db != nil && !f.stale && !f.db.IsReadOnly() {
		return nil
	}
	if err := f.shut(); err != nil {
		return err
	}
	if err := f.open(false); err != nil {
		return errors.Join(err, f.open(true))
	}
	return nil
}

// check is bbolt's own examination. It must come after castoff's: it runs in a
// goroutine of its own, where a fault in the mapped file ends the process.
func (f *file) check() error {
	return guarded(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			var first error
			for err := range tx.Check() {
				first = cmp.Or(first, err)
			}
			return first
		})
	})
}

// stuck reports that closing might wait for ever. The end of the process releases
// everything.
func (f *file) stuck() bool { return f.broken != nil }

// shut closes bbolt's file, and leaves the lock.
func (f *file) shut() error {
	if f.db == nil || f.stuck() {
		return nil
	}
	if err := guarded(f.db.Close); err != nil {
		return fmt.Errorf("closing %s: %w", f.path, err)
	}
	f.db = nil
	return nil
}

func (f *file) close() error {
	err := f.shut()
	if f.lock != nil {
		err = errors.Join(err, f.lock.Close())
		f.lock = nil
	}
	return err
}

func apply(tx *bbolt.Tx, c change) error {
	b := tx.Bucket([]byte(c.bucket))
	if b == nil {
		return fmt.Errorf("it has no bucket %s", c.bucket)
	}
	if c.sealed == nil {
		return b.Delete([]byte(c.key))
	}
	return b.Put([]byte(c.key), c.sealed)
}

type boltView struct{ tx *bbolt.Tx }

func (v boltView) get(bucket, key string) []byte {
	b := v.tx.Bucket([]byte(bucket))
	if b == nil {
		return nil
	}
	return b.Get([]byte(key))
}

func (v boltView) each(bucket string, fn func(key, sealed []byte) error) error {
	b := v.tx.Bucket([]byte(bucket))
	if b == nil {
		return &recordError{bucket: bucket, err: errors.New("the bucket is missing")}
	}
	c := b.Cursor()
	for key, sealed := c.First(); key != nil; key, sealed = c.Next() {
		if err := fn(key, sealed); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}
