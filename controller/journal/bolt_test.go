package journal

import (
	"bytes"
	"testing"
)

// After a write that failed, bbolt's picture of the file may no longer be the disk's:
// the next write opens it anew, once.
func TestFileIsOpenedAnewAfterAFailedWrite(t *testing.T) {
	j, err := Open(t.TempDir(), Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	f := j.store.(*file)
	good := []change{{about, "key", []byte("sealed")}}
	if err := f.write(good); err != nil {
		t.Fatal(err)
	}
	before := f.db
	if err := f.write([]change{{"no such bucket", "key", []byte("sealed")}}); err == nil {
		t.Fatal("a write into no bucket has not failed")
	}
	if err := f.write(good); err != nil {
		t.Fatal(err)
	}
	after := f.db
	if after == before {
		t.Error("it was not opened anew")
	}
	if err := f.write(good); err != nil || f.db != after {
		t.Errorf("it was opened anew for nothing, or %v", err)
	}
	if err := f.shut(); err != nil {
		t.Fatal(err)
	}
	var read []byte
	err = f.read(func(v view) error { read = bytes.Clone(v.get(about, "key")); return nil })
	if err != nil || string(read) != "sealed" {
		t.Errorf("read %q, %v", read, err)
	}
}
