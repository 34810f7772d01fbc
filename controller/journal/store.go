package journal

import (
	"errors"
	"slices"
)

// store holds records in named buckets, each sorted by key: a file, or memory.
type store interface {
	// read calls fn with the records as they are. What it sees is valid only
	// until it returns.
	read(fn func(view) error) error
	// write makes the changes, all or none, and returns once they would survive a
	// power cut. Its error is ErrUnwritable; some or all may then be there.
	write([]change) error
	close() error
}

// view is what a store holds at one instant.
type view interface {
	// get is nil when there is no such record.
	get(bucket, key string) []byte
	// each goes through a bucket in the order of its keys until fn fails; that it
	// fails with errEnough is no error.
	each(bucket string, fn func(key, sealed []byte) error) error
}

// errEnough ends an each.
var errEnough = errors.New("enough")

// change puts a record in its place; with nil it takes it out.
type change struct {
	bucket, key string
	sealed      []byte
}

// memory is a store that ends with the process.
type memory map[string]*drawer

type drawer struct {
	keys    []string // sorted
	records map[string][]byte
}

func newMemory() memory {
	m := memory{}
	for _, name := range bucketNames {
		m[name] = &drawer{records: map[string][]byte{}}
	}
	return m
}

func (m memory) read(fn func(view) error) error { return fn(m) }

func (m memory) get(bucket, key string) []byte { return m[bucket].records[key] }

func (m memory) each(bucket string, fn func(key, sealed []byte) error) error {
	b := m[bucket]
	for _, key := range b.keys {
		if err := fn([]byte(key), b.records[key]); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (m memory) write(changes []change) error {
	for _, c := range changes {
		b := m[c.bucket]
		i, there := slices.BinarySearch(b.keys, c.key)
		switch {
		case c.sealed == nil && there:
			b.keys = slices.Delete(b.keys, i, i+1)
			delete(b.records, c.key)
		case c.sealed != nil && !there:
			b.keys = slices.Insert(b.keys, i, c.key)
			fallthrough
		case c.sealed != nil:
			b.records[c.key] = c.sealed
		}
	}
	return nil
}

func (m memory) close() error { return nil }
