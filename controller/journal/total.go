package journal

import (
	"errors"
	"fmt"
	"hash/fnv"

	"go.etcd.io/bbolt"
)

// total is the sum of all records but itself, kept with every write. A checksum
// tells that a record is what was written once; the total, that the records were
// written together. A disk that has lost a write leaves an older page, whole and
// with good checksums.
const totalKey = "total"

// weigh is what a record adds to the total; its own checksum stands for what it
// holds.
func weigh(bucket, key string, sealed []byte) uint64 {
	if len(sealed) < checksumSize || bucket == about && key == totalKey {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(bucket + "\x00" + key + "\x00"))
	_, _ = h.Write(sealed[:checksumSize])
	return h.Sum64()
}

// totalOf is what the file says; 0 in one that says nothing yet.
func totalOf(tx *bbolt.Tx) (uint64, error) {
	sealed := boltView{tx}.get(about, totalKey)
	if sealed == nil {
		return 0, nil
	}
	return unseal[uint64](about, []byte(totalKey), sealed)
}

func setTotal(tx *bbolt.Tx, total uint64) error {
	sealed, err := seal(about, totalKey, total)
	if err != nil {
		return err
	}
	return apply(tx, change{bucket: about, key: totalKey, sealed: sealed})
}

// recount is what the total should be.
func recount(tx *bbolt.Tx) (total uint64, err error) {
	err = tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		return b.ForEach(func(key, sealed []byte) error {
			total += weigh(string(name), string(key), sealed)
			return nil
		})
	})
	return total, err
}

// balance checks the total.
func balance(tx *bbolt.Tx) error {
	says, err := totalOf(tx)
	if err != nil {
		return err
	}
	is, err := recount(tx)
	if err != nil {
		return err
	}
	if says != is {
		return &recordError{bucket: about, key: totalKey, err: errors.New("some records are older than others, or missing: the disk has lost a write")}
	}
	return nil
}

// changeAll makes changes and keeps the total.
func changeAll(tx *bbolt.Tx, changes []change) error {
	total, err := totalOf(tx)
	if err != nil {
		return err
	}
	for _, c := range changes {
		total -= weigh(c.bucket, c.key, boltView{tx}.get(c.bucket, c.key))
		total += weigh(c.bucket, c.key, c.sealed)
		if err := apply(tx, c); err != nil {
			return fmt.Errorf("changing %s of %s: %w", printable(c.key), c.bucket, err)
		}
	}
	return setTotal(tx, total)
}
