package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/timeline"
)

// Whatever is in the file, castoff starts with what it had written or says what
// is wrong and keeps the file.
func TestDamaged(t *testing.T) {
	good := history(t, 1, 60)[60].image
	page := os.Getpagesize()
	meta := newestMeta(good, page)
	root := int(binary.NativeEndian.Uint64(good[meta+pageHeader+16:]))
	free := int(binary.NativeEndian.Uint64(good[meta+pageHeader+32:]))
	edit := func(at int, with ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], with); return b }
	}
	huge := bytes.Repeat([]byte{0x7f}, 8)
	pages := good[meta+pageHeader+40:][:8]
	// both headers, whole but for what is edited
	headers := func(at int, with ...byte) func([]byte) []byte {
		return func(b []byte) []byte {
			for _, header := range []int{pageHeader, page + pageHeader} {
				copy(b[header+at:], with)
				sum := fnv.New64a()
				sum.Write(b[header : header+56])
				binary.NativeEndian.PutUint64(b[header+56:], sum.Sum64())
			}
			return b
		}
	}
	tests := []struct {
		name string
		file func([]byte) []byte
		says string
	}{
		{"empty", func([]byte) []byte { return nil }, "neither of the two headers of a bbolt file is whole (0 bytes)"},
		{"text", func([]byte) []byte { return []byte("not a database\n") }, "neither of the two headers"},
		{"a page of zeros", func([]byte) []byte { return make([]byte, 4*page) }, "neither of the two headers"},
		{"one header", func(b []byte) []byte { return b[:page] }, "it was cut off"},
		{"cut in the middle", func(b []byte) []byte { return b[:3*page+100] }, "it was cut off"},
		{"cut by a byte", cutByOne(page), "it was cut off"},
		{"both headers", func(b []byte) []byte { return edit(pageHeader+56, huge...)(edit(page+pageHeader+56, huge...)(b)) }, "neither of the two headers"},
		{"headers of another kind of file", headers(0, 1), "neither of the two headers"},
		{"headers of another version of bbolt", headers(4, 3), "neither of the two headers"},
		{"headers of tiny pages", headers(8, 0, 2, 0, 0), "neither of the two headers"},
		{"headers of huge pages", headers(8, 0, 0, 0, 2), "neither of the two headers"},
		{"headers of odd pages", headers(8, 1), "neither of the two headers"},
		{"a root after the last page", headers(16, pages...), fmt.Sprintf("is referred to, and the file has 2 to %d", binary.NativeEndian.Uint64(pages)-1)},
		{"a root that is a header", headers(16, 1, 0, 0, 0, 0, 0, 0, 0), "page 1 is referred to, and the file has 2 to"},
		{"root page of another id", edit(root*page, 0xff), fmt.Sprintf("page %d at byte %d: it says that it is page", root, root*page)},
		{"root page of no kind", edit(root*page+8, 0x40), "it is of no kind that belongs here (0x40)"},
		{"root page without end", edit(root*page+12, huge[:4]...), "pages more, and the file ends at"},
		{"root page that ends after the last", edit(root*page+12, byte(int(binary.NativeEndian.Uint64(pages))-root)), fmt.Sprintf("pages more, and the file ends at %d", binary.NativeEndian.Uint64(pages)-1)},
		{"root page of many entries", edit(root*page+10, 0xff, 0xff), "it cannot have 65535 entries"},
		{"root page of a few entries too many", edit(root*page+10, byte(page/16), byte(page/16>>8)), fmt.Sprintf("it cannot have %d entries", page/16)},
		{"two entries of one name", func(b []byte) []byte {
			copy(b[root*page:], bytes.Replace(b[root*page:][:page], []byte("guards"), []byte("groups"), 1))
			return b
		}, "is out of order"},
		{"a key beyond the page", edit(root*page+pageHeader+4, huge[:4]...), "entry 0 reaches beyond the page"},
		{"free pages of another kind", edit(free*page+8, leafPage), "it should be the list of free pages"},
		{"too many free pages", edit(free*page+10, 0xfe, 0xff), "free pages, and has room for"},
		{"far too many free pages", edit(free*page+10, append([]byte{0xff, 0xff, 0, 0, 0, 0}, huge...)...), "free pages, and has room for"},
		{"a free page that is none", edit(free*page+pageHeader, huge...), "which is no free page"},
		{"a free page that is in use", edit(free*page+pageHeader, binary.NativeEndian.AppendUint64(nil, uint64(root))...), "is used twice"},
		{"a free page after the last", edit(free*page+pageHeader, pages...), "which is no free page"},
		{"records changed", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("UNHEALTHY"), []byte("UNHEALTHX")) }, "its checksum is wrong"},
		{"another bbolt file", func([]byte) []byte { return foreign(t) }, "it is a bbolt file, but not castoff's"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, fileName)
			content := tt.file(bytes.Clone(good))
			must(t, os.WriteFile(path, content, 0o600))
			_, err := Open(dir, wide)
			var damaged *DamagedError
			if !errors.As(err, &damaged) || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("%v, want a DamagedError that says %q", err, tt.says)
			}
			if !strings.HasPrefix(damaged.Kept, path+asideTag) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), filepath.Base(damaged.Kept)) {
				t.Errorf("kept as %q: %v", damaged.Kept, err)
			}
			if kept, err := os.ReadFile(damaged.Kept); err != nil || !bytes.Equal(kept, content) {
				t.Errorf("what was kept is not what was there: %v", err)
			}
			begin(t, dir, damaged.Kept)
		})
	}
}

// begin starts without a past, and knows it.
func begin(t *testing.T, dir string, aside ...string) {
	t.Helper()
	j, err := Open(dir, wide)
	must(t, err)
	c, err := j.Load()
	must(t, err)
	if !c.Fresh || len(c.Aside) != len(aside) || c.Aside[0] != aside[0] {
		t.Errorf("fresh %t, aside %q, want %q", c.Fresh, c.Aside, aside)
	}
	must(t, j.Commit(Pass{Tracker: timeline.State{At: epoch}}))
	must(t, j.Close())
	j, err = Open(dir, wide)
	must(t, err)
	if c, err := j.Load(); err != nil || c.Fresh || len(c.Aside) != len(aside) {
		t.Errorf("then fresh %t, aside %q, %v", c.Fresh, c.Aside, err)
	}
	must(t, j.Close())
}

func newestMeta(image []byte, page int) int {
	txid := func(at int) uint64 { return binary.NativeEndian.Uint64(image[at+pageHeader+48:]) }
	if txid(page) > txid(0) {
		return page
	}
	return 0
}

func cutByOne(page int) func([]byte) []byte {
	return func(b []byte) []byte {
		pages := int(binary.NativeEndian.Uint64(b[newestMeta(b, page)+pageHeader+40:]))
		return b[:pages*page-1]
	}
}

func foreign(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err }))
	must(t, db.Close())
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// Two damaged files in one second do not replace each other.
func TestDamagedTwice(t *testing.T) {
	dir := t.TempDir()
	kept := map[string]bool{}
	for range 3 {
		must(t, os.WriteFile(filepath.Join(dir, fileName), []byte("x"), 0o600))
		_, err := Open(dir, wide)
		var damaged *DamagedError
		if !errors.As(err, &damaged) {
			t.Fatal(err)
		}
		kept[damaged.Kept] = true
	}
	if len(kept) != 3 {
		t.Errorf("kept as %v", kept)
	}
}

// Nothing that is no file is moved away.
func TestNoRegularFile(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, fileName), 0o700))
	_, err := Open(dir, wide)
	if err == nil || !strings.Contains(err.Error(), "is no regular file") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, fileName)); err != nil {
		t.Error(err)
	}
}

// Random damage of every kind, structure and records: castoff never crashes on
// it, and never takes for its own what it did not write.
func TestSafetyRandomDamage(t *testing.T) {
	h := history(t, 5, 60)
	good := h[60]
	page := os.Getpagesize()
	written := map[string]bool{}
	for _, m := range h {
		written[m.holds] = true
	}
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		for range 5 {
			b := bytes.Clone(good.image)
			for range 1 + r.IntN(4) {
				at := r.IntN(len(b))
				switch r.IntN(5) {
				case 0: // a bit
					b[at] ^= 1 << r.IntN(8)
				case 1: // in a page's header or first entries, where it hurts
					b[at/page*page+r.IntN(64)] = byte(r.Uint32())
				case 2: // a sector of zeros
					clear(b[at/sectorSize*sectorSize:][:sectorSize])
				case 3: // a sector of an earlier time
					from := at / sectorSize * sectorSize
					if old := h[r.IntN(len(h))].image; from+sectorSize <= len(old) {
						copy(b[from:from+sectorSize], old[from:])
					}
				case 4: // a page of another place
					copy(b[at/page*page:][:page], b[r.IntN(len(b)/page)*page:])
				}
			}
			if r.IntN(10) == 0 {
				b = b[:r.IntN(len(b))]
			}
			must(t, os.WriteFile(path, b, 0o600))
			s := current()
			s.noSync = true
			j, err := s.open(dir, wide)
			var damaged *DamagedError
			switch {
			case errors.As(err, &damaged):
				must(t, os.Remove(damaged.Kept))
				found++
			case err != nil:
				rt.Fatal(err)
			default:
				got := loaded(t, j)
				must(t, j.Close())
				if !written[got] {
					rt.Fatalf("takes for its own what it never wrote: %s", difference(got, good.holds))
				}
			}
		}
	})
	if found == 0 {
		t.Error("no damage was found: no test")
	}
}

// A file that is taken away while castoff runs is not written to as if it were
// there.
func TestTakenAway(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, wide)
	w := newWorld(1, 3)
	must(t, j.Commit(w.pass(time.Second)))
	path := filepath.Join(dir, fileName)
	must(t, os.Rename(path, path+".away"))
	if err := j.Commit(w.pass(time.Second)); !errors.Is(err, ErrUnwritable) || !strings.Contains(err.Error(), "no longer where it was") {
		t.Errorf("taken away: %v", err)
	}
	must(t, os.Rename(path+".away", path))
	must(t, j.Commit(w.pass(time.Second)))
	// Another file in its place is not the journal, however alike.
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Rename(path, path+".away"))
	must(t, os.WriteFile(path, text, 0o600))
	if err := j.Commit(w.pass(time.Second)); !errors.Is(err, ErrUnwritable) || !strings.Contains(err.Error(), "no longer where it was") {
		t.Errorf("replaced: %v", err)
	}
	must(t, os.Rename(path+".away", path))
	must(t, j.Commit(w.pass(time.Second)))
	must(t, j.Close())
}

// A file that is cut off while castoff runs, or that the disk can no longer
// read, is an error and not the end of the process.
func TestSafetyCutOffWhileRunning(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, wide)
	w := newWorld(1, 30)
	for range 10 {
		must(t, j.Commit(w.pass(time.Second)))
	}
	must(t, os.Truncate(filepath.Join(dir, fileName), int64(headers*os.Getpagesize())))
	if _, err := j.Load(); err == nil {
		t.Error("Load found everything")
	}
	if err := j.Commit(w.pass(time.Second)); !errors.Is(err, ErrUnwritable) {
		t.Errorf("Commit: %v", err)
	}
	if err := j.Record(w.guards()); !errors.Is(err, ErrUnwritable) {
		t.Errorf("Record: %v", err)
	}
	f := j.store.(*file)
	for i, stuck := range []bool{false, true} { // bbolt may hold its own locks from the first on
		err := f.write([]change{{about, "key", []byte("sealed")}})
		if !errors.Is(err, ErrUnwritable) || strings.Contains(err.Error(), "restart castoff") != stuck {
			t.Errorf("write %d: %v", i+1, err)
		}
	}
	must(t, j.Close())
}

// A tree is followed as deep as one may be, and no deeper: pages that refer to one another
// have no end.
func TestDeepest(t *testing.T) {
	x := &examination{}
	// nest is a bucket in so many others, each right in the one around it.
	nest := func(levels int) page {
		data := make([]byte, pageHeader)
		for i := range levels + 1 {
			if i > 0 {
				entry := make([]byte, elementSize)
				binary.NativeEndian.PutUint32(entry, isBucket)
				binary.NativeEndian.PutUint32(entry[4:], elementSize) // where the key is, from here
				binary.NativeEndian.PutUint32(entry[8:], 1)
				binary.NativeEndian.PutUint32(entry[12:], uint32(bucketSize+len(data)))
				data = slices.Concat(make([]byte, pageHeader), entry, []byte("k"), make([]byte, bucketSize), data)
				binary.NativeEndian.PutUint16(data[10:], 1)
			}
			binary.NativeEndian.PutUint16(data[8:], leafPage)
		}
		return page{id: 2, flags: leafPage, count: int(binary.NativeEndian.Uint16(data[10:])), data: data}
	}
	for levels, whole := range map[int]bool{1: true, deepest + 1: true, deepest + 2: false} {
		if err := x.elements(nest(levels), 0); (err == nil) != whole {
			t.Errorf("%d levels: %v", levels, err)
		}
	}
	dir := t.TempDir()
	must(t, open(t, dir, wide).Close())
	for depth, whole := range map[int]bool{deepest: true, deepest + 1: false} {
		f, err := os.Open(filepath.Join(dir, fileName))
		must(t, err)
		info, err := f.Stat()
		must(t, err)
		x := &examination{f: f, size: info.Size(), seen: map[uint64]bool{}}
		must(t, x.findMeta())
		if err := x.bucket(x.meta.root, depth); (err == nil) != whole {
			t.Errorf("%d pages deep: %v", depth, err)
		}
		must(t, f.Close())
	}
}
