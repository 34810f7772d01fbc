package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

var update = flag.Bool("update", false, "rewrite testdata: only where a schema has not been released yet")

// golden makes a file of the current schema with something of everything in it.
func golden(t *testing.T, dir string) string {
	t.Helper()
	j := open(t, dir, Options{Version: "0.2.0", Keep: wide.Keep})
	w := newWorld(42, 2)
	var last Pass
	for range 8 {
		s, ds := w.detach()
		must(t, j.Record(s, ds...))
		last = w.pass(time.Second)
		must(t, j.Commit(last))
	}
	s, ds := w.detach()
	must(t, j.Record(s, ds...))
	c, err := j.Load()
	must(t, err)
	if len(c.Tracker.Failures)*len(c.Detachments)*len(c.Ended)*len(c.Closed)*len(c.Guards.Watches) == 0 {
		t.Fatal("something is missing in it")
	}
	must(t, j.Close())
	return filepath.Join(dir, fileName)
}

// A file that castoff wrote with schema 1 is read by every later castoff, with
// nothing lost: it may know more by then, but nothing less. The file is bbolt's
// own, schema1.txt what is in it, for people, and schema1.json what Load made of
// it.
func TestGoldenSchema1(t *testing.T) {
	file := filepath.Join("testdata", "schema1.db")
	dir := t.TempDir()
	if *update {
		b, err := os.ReadFile(golden(t, t.TempDir()))
		must(t, err)
		must(t, os.WriteFile(file, b, 0o600))
	}
	b, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, fileName), b, 0o600))
	compare(t, filepath.Join("testdata", "schema1.txt"), dump(t, filepath.Join(dir, fileName)))
	j := open(t, dir, wide)
	c, err := j.Load()
	must(t, err)
	if c.Version != "0.2.0" || c.Fresh {
		t.Errorf("written by %q, fresh %t", c.Version, c.Fresh)
	}
	must(t, j.Close())

	was := filepath.Join("testdata", "schema1.json")
	if *update {
		must(t, os.WriteFile(was, []byte(text(t, c)), 0o600))
	}
	b, err = os.ReadFile(was)
	must(t, err)
	var want, got any
	must(t, json.Unmarshal(b, &want))
	must(t, json.Unmarshal([]byte(text(t, c)), &got))
	lost(t, "contents", want, got)
}

// lost reports what was there and is not, or is something else now.
func lost(t *testing.T, at string, was, is any) {
	switch was := was.(type) {
	case map[string]any:
		is, _ := is.(map[string]any)
		for name := range was {
			lost(t, at+"."+name, was[name], is[name])
		}
	case []any:
		is, _ := is.([]any)
		if len(is) != len(was) {
			t.Errorf("%s had %d elements and has %d", at, len(was), len(is))
			return
		}
		for i := range was {
			lost(t, fmt.Sprintf("%s[%d]", at, i), was[i], is[i])
		}
	default:
		if was != is {
			t.Errorf("%s was %v and is %v: this needs a new schema, and a step to it", at, was, is)
		}
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		must(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if got != string(want) {
		t.Errorf("%s: %s", file, difference(got, string(want)))
	}
}

// dump is every record of a file.
func dump(t *testing.T, path string) string {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	must(t, err)
	defer db.Close()
	var b strings.Builder
	must(t, db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
			return bucket.ForEach(func(key, sealed []byte) error {
				_, err := fmt.Fprintf(&b, "%s %q %x\n\t%s\n", name, key, sealed[:checksumSize], sealed[checksumSize:])
				return err
			})
		})
	}))
	return b.String()
}

// What is kept as JSON must come back from it: no field may be left out.
func TestEverythingIsKept(t *testing.T) {
	for _, v := range []any{timeline.State{}, policy.State{}, policy.Detachment{}, timeline.Timeline{}} {
		private(t, reflect.TypeOf(v), map[reflect.Type]bool{})
	}
}

func private(t *testing.T, typ reflect.Type, seen map[reflect.Type]bool) {
	if seen[typ] || typ == reflect.TypeFor[time.Time]() {
		return
	}
	seen[typ] = true
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		private(t, typ.Elem(), seen)
	case reflect.Struct:
		for f := range typ.Fields() {
			if !f.IsExported() || f.Tag.Get("json") == "-" {
				t.Errorf("%s.%s would be lost", typ, f.Name)
			}
			private(t, f.Type, seen)
		}
	case reflect.Interface, reflect.Func, reflect.Chan:
		t.Errorf("%s cannot come back from JSON", typ)
	}
}

// made is a made-up history of schemas: each step leaves a mark, and that from 3
// to 4 fails halfway.
func made(version int) schema {
	return schema{version: version, noSync: true, steps: []func(*bbolt.Tx) error{
		func(tx *bbolt.Tx) error { return apply(tx, record(guards, "from1", "2")) },
		func(tx *bbolt.Tx) error {
			if (boltView{tx}).get(guards, "from1") == nil {
				return errors.New("step 1 was left out")
			}
			return apply(tx, record(guards, "from2", "3"))
		},
		func(tx *bbolt.Tx) error {
			return errors.Join(apply(tx, record(guards, "half", "done")), errors.New("no way from 3"))
		},
	}}
}

func record(bucket, key, value string) change {
	sealed, err := seal(bucket, key, value)
	if err != nil {
		panic(err)
	}
	return change{bucket: bucket, key: key, sealed: sealed}
}

// old is a directory with a file of schema 1, and what is in it.
func old(t *testing.T) (dir, holds string) {
	t.Helper()
	dir = t.TempDir()
	j, err := made(1).open(dir, wide)
	must(t, err)
	w, m := newWorld(1, 3), newModel(wide.Keep)
	for range 5 {
		p := w.pass(time.Second)
		must(t, j.Commit(p))
		m.commit(p)
	}
	must(t, j.Close())
	return dir, m.text(t)
}

func has(j *Journal, key string) bool {
	found := false
	_ = j.store.read(func(v view) error { found = v.get(guards, key) != nil; return nil })
	return found
}

// A file of an old schema is brought to this one step by step, and once; a copy
// stays for the way back.
func TestMigration(t *testing.T) {
	dir, holds := old(t)
	for range 2 {
		j, err := made(3).open(dir, wide)
		must(t, err)
		if !has(j, "from1") || !has(j, "from2") || has(j, "half") {
			t.Error("not every step was taken, or one too many")
		}
		if got := loaded(t, j); got != holds {
			t.Error(difference(got, holds))
		}
		must(t, j.Close())
	}
	j, err := made(1).open(dir, wide)
	var newer *NewerError
	if !errors.As(err, &newer) || newer.Schema != 3 || newer.Knows != 1 || newer.Copy != filepath.Join(dir, fileName+".schema-1") {
		t.Fatalf("%v %v, want a NewerError with the copy", j, err)
	}
	must(t, os.Rename(newer.Copy, filepath.Join(dir, fileName)))
	j, err = made(1).open(dir, wide)
	must(t, err)
	if got := loaded(t, j); got != holds || has(j, "from1") {
		t.Error("the copy is not what was there")
	}
	must(t, j.Close())
}

// A migration that fails leaves the file as it was.
func TestSafetyMigrationFails(t *testing.T) {
	dir, holds := old(t)
	_, err := made(4).open(dir, wide)
	if err == nil || !strings.Contains(err.Error(), "from schema 3 to 4: no way from 3") || !strings.Contains(err.Error(), "it is as it was") {
		t.Fatalf("%v", err)
	}
	j, err := made(1).open(dir, wide)
	must(t, err)
	if got := loaded(t, j); got != holds {
		t.Error(difference(got, holds))
	}
	if has(j, "from1") || has(j, "half") {
		t.Error("half of it was done")
	}
	must(t, j.Close())
}

// Without the copy there is no migration, and no half of a copy stays.
func TestMigrationWithoutACopy(t *testing.T) {
	dir, _ := old(t)
	must(t, os.MkdirAll(filepath.Join(dir, fileName+".schema-1", "in the way"), 0o700))
	if _, err := made(3).open(dir, wide); !errors.Is(err, ErrUnwritable) || !strings.Contains(err.Error(), "copying it first") {
		t.Errorf("%v", err)
	}
	if exists(filepath.Join(dir, fileName+".schema-1.new")) {
		t.Error("half a copy is left")
	}
}

// A file of a newer schema is not touched, whatever else it has.
func TestSafetyNewerSchema(t *testing.T) {
	dir, _ := old(t)
	path := filepath.Join(dir, fileName)
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		sealed, err := seal(about, schemaKey, 9)
		must(t, err)
		must(t, tx.DeleteBucket([]byte(closedTimelines)))
		must(t, tx.Bucket([]byte(about)).Put([]byte("castoff"), append(make([]byte, checksumSize), `"9.1.0"`...)))
		return tx.Bucket([]byte(about)).Put([]byte(schemaKey), sealed)
	}))
	must(t, db.Close())
	was, err := os.ReadFile(path)
	must(t, err)
	_, err = Open(dir, wide)
	var newer *NewerError
	if !errors.As(err, &newer) || newer.Schema != 9 || !strings.Contains(err.Error(), "castoff 9.1.0") {
		t.Errorf("%v, want a NewerError that names castoff 9.1.0", err)
	}
	is, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(is, was) {
		t.Error("it was touched")
	}
}
