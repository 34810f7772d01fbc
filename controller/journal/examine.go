package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
)

// bbolt believes its file. It follows page numbers beyond the end of it, which
// ends the process and cannot be recovered from in bbolt's own goroutines, and
// makes as much memory of a length as that says. So the file is walked first,
// by its documented layout, and every number in it is held to the file's size.
//
// Source: https://github.com/etcd-io/bbolt/blob/v1.5.0/internal/common/page.go, meta.go, inode.go, bucket.go

const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader  = 16
	metaSize    = 64
	elementSize = 16
	bucketSize  = 16 // a bucket's root and sequence, before an inline page

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	isBucket     = 0x01

	noFreelist   = ^uint64(0)
	countFollows = 0xFFFF // the freelist's length is its first entry

	smallestPage, largestPage = 1 << 10, 1 << 24
	// deepest is far deeper than a tree of any size gets.
	deepest = 64
)

// examine says what is wrong with a file, or that it cannot be read.
func examine(path string) (damage, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := flock(f); errors.Is(err, errHeld) { // somebody has deleted the lock file
		return nil, &HeldError{Dir: filepath.Dir(path)}
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	x := &examination{f: f, size: info.Size(), seen: map[uint64]bool{0: true, 1: true}}
	err = x.run()
	if errors.Is(err, errDisk) {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return err, nil
}

// errDisk marks that a page is where it should be and cannot be read.
var errDisk = errors.New("the disk")

// examination is one walk through a file.
type examination struct {
	f    io.ReaderAt
	size int64
	meta boltMeta
	seen map[uint64]bool // pages that something refers to
}

type boltMeta struct {
	pageSize                    uint64
	root, freelist, pages, txid uint64
}

func (x *examination) run() error {
	if err := x.findMeta(); err != nil {
		return err
	}
	if have := uint64(x.size) / x.meta.pageSize; x.meta.pages > have {
		return fmt.Errorf("it ends at byte %d, after %d pages, and should have %d: it was cut off", x.size, have, x.meta.pages)
	}
	if x.meta.freelist != noFreelist {
		if err := x.freelist(); err != nil {
			return err
		}
	}
	return x.bucket(x.meta.root, 0)
}

// findMeta finds the newer of the two meta pages that is whole, as bbolt does.
func (x *examination) findMeta() error {
	first, err := x.readMeta(0)
	if err != nil {
		return err
	}
	candidates := []boltMeta{first}
	for at := int64(smallestPage); at <= largestPage && at < x.size; at *= 2 {
		m, err := x.readMeta(at)
		if err != nil {
			return err
		}
		if m.pageSize == uint64(at) {
			candidates = append(candidates, m)
		}
	}
	for _, m := range candidates {
		newer := x.meta.pageSize == 0 || m.txid > x.meta.txid
		if m.pageSize != 0 && newer && (first.pageSize == 0 || m.pageSize == first.pageSize) {
			x.meta = m
		}
	}
	if x.meta.pageSize == 0 {
		return fmt.Errorf("neither of the two headers of a bbolt file is whole (%d bytes)", x.size)
	}
	return nil
}

// readMeta reads a meta page; its page size is 0 when there is none.
func (x *examination) readMeta(at int64) (boltMeta, error) {
	raw := make([]byte, pageHeader+metaSize)
	if _, err := x.f.ReadAt(raw, at); errors.Is(err, io.EOF) {
		return boltMeta{}, nil
	} else if err != nil {
		return boltMeta{}, fmt.Errorf("%w: %w", errDisk, err)
	}
	raw = raw[pageHeader:]
	word := func(i int) uint64 { return binary.NativeEndian.Uint64(raw[i:]) }
	sum := fnv.New64a()
	sum.Write(raw[:56])
	size := uint64(binary.NativeEndian.Uint32(raw[8:]))
	if binary.NativeEndian.Uint32(raw) != boltMagic || binary.NativeEndian.Uint32(raw[4:]) != boltVersion ||
		word(56) != sum.Sum64() || size < smallestPage || size > largestPage || size&(size-1) != 0 {
		return boltMeta{}, nil
	}
	return boltMeta{pageSize: size, root: word(16), freelist: word(32), pages: word(40), txid: word(48)}, nil
}

// page is a page and its overflow.
type page struct {
	id    uint64
	flags uint16
	count int
	data  []byte // header included
}

func (x *examination) wrong(id uint64, format string, args ...any) error {
	return fmt.Errorf("page %d at byte %d: %s", id, id*x.meta.pageSize, fmt.Sprintf(format, args...))
}

// claim reads a page that nothing else has referred to.
func (x *examination) claim(id uint64) (page, error) {
	if id < 2 || id >= x.meta.pages {
		return page{}, fmt.Errorf("page %d is referred to, and the file has 2 to %d", id, x.meta.pages-1)
	}
	header := make([]byte, pageHeader)
	if err := x.bytes(header, id); err != nil {
		return page{}, err
	}
	if has := binary.NativeEndian.Uint64(header); has != id {
		return page{}, x.wrong(id, "it says that it is page %d", has)
	}
	overflow := uint64(binary.NativeEndian.Uint32(header[12:]))
	if id+overflow >= x.meta.pages {
		return page{}, x.wrong(id, "it says that it has %d pages more, and the file ends at %d", overflow, x.meta.pages-1)
	}
	for i := id; i <= id+overflow; i++ {
		if x.seen[i] {
			return page{}, x.wrong(id, "page %d is used twice", i)
		}
		x.seen[i] = true
	}
	p := page{
		id: id, flags: binary.NativeEndian.Uint16(header[8:]), count: int(binary.NativeEndian.Uint16(header[10:])),
		data: make([]byte, (overflow+1)*x.meta.pageSize),
	}
	return p, x.bytes(p.data, id)
}

func (x *examination) bytes(into []byte, id uint64) error {
	if _, err := x.f.ReadAt(into, int64(id*x.meta.pageSize)); err != nil {
		return fmt.Errorf("%w: page %d: %w", errDisk, id, err)
	}
	return nil
}

// freelist examines the list of free pages.
func (x *examination) freelist() error {
	p, err := x.claim(x.meta.freelist)
	if err != nil {
		return err
	}
	if p.flags != freelistPage {
		return x.wrong(p.id, "it should be the list of free pages (kind %#x)", p.flags)
	}
	entries, count := p.data[pageHeader:], uint64(p.count)
	if count == countFollows {
		count, entries = binary.NativeEndian.Uint64(entries), entries[8:]
	}
	if count > uint64(len(entries)/8) {
		return x.wrong(p.id, "it lists %d free pages, and has room for %d", count, len(entries)/8)
	}
	for i := range count {
		free := binary.NativeEndian.Uint64(entries[8*i:])
		if free < 2 || free >= x.meta.pages || x.seen[free] {
			return x.wrong(p.id, "it lists page %d, which is no free page", free)
		}
		x.seen[free] = true
	}
	return nil
}

// bucket examines the tree below a page, and the buckets in it.
func (x *examination) bucket(root uint64, depth int) error {
	if depth > deepest {
		return fmt.Errorf("page %d is %d pages deep", root, depth)
	}
	p, err := x.claim(root)
	if err != nil {
		return err
	}
	return x.elements(p, depth)
}

// elements examines what is on a page, which may be one inside another.
func (x *examination) elements(p page, depth int) error {
	if p.flags != branchPage && p.flags != leafPage {
		return x.wrong(p.id, "it is of no kind that belongs here (%#x)", p.flags)
	}
	if pageHeader+p.count*elementSize > len(p.data) || p.flags == branchPage && p.count == 0 {
		return x.wrong(p.id, "it cannot have %d entries", p.count)
	}
	var last []byte
	for i := range p.count {
		at := pageHeader + i*elementSize
		e := element{raw: p.data[at:], leaf: p.flags == leafPage}
		key, value, ok := e.parts()
		if !ok {
			return x.wrong(p.id, "entry %d reaches beyond the page", i)
		}
		if i > 0 && bytes.Compare(last, key) >= 0 {
			return x.wrong(p.id, "entry %d is out of order", i)
		}
		last = key
		var err error
		switch {
		case !e.leaf:
			err = x.bucket(e.child(), depth+1)
		case e.flags() == isBucket:
			err = x.nested(p, i, value, depth)
		case e.flags() != 0:
			err = x.wrong(p.id, "entry %d is of no known kind (%#x)", i, e.flags())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// nested examines a bucket in another: one of its own pages, or a small one
// right there.
func (x *examination) nested(p page, i int, value []byte, depth int) error {
	if len(value) < bucketSize {
		return x.wrong(p.id, "entry %d is too short for a bucket", i)
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return x.bucket(root, depth+1)
	}
	inline := value[bucketSize:]
	if len(inline) < pageHeader || depth > deepest {
		return x.wrong(p.id, "entry %d is too short for a bucket", i)
	}
	q := page{
		id: p.id, flags: binary.NativeEndian.Uint16(inline[8:]), count: int(binary.NativeEndian.Uint16(inline[10:])), data: inline,
	}
	if q.flags != leafPage {
		return x.wrong(p.id, "entry %d is a bucket of no kind that belongs there (%#x)", i, q.flags)
	}
	return x.elements(q, depth+1)
}

// element is an entry of a page; raw goes on to the page's end.
type element struct {
	raw  []byte
	leaf bool
}

func (e element) word(i int) uint64 { return uint64(binary.NativeEndian.Uint32(e.raw[4*i:])) }

func (e element) flags() uint64 { return e.word(0) }                             // of a leaf's
func (e element) child() uint64 { return binary.NativeEndian.Uint64(e.raw[8:]) } // of a branch's

// parts are the key and, in a leaf, the value.
func (e element) parts() (key, value []byte, ok bool) {
	at, keySize, valueSize := e.word(0), e.word(1), uint64(0)
	if e.leaf {
		at, keySize, valueSize = e.word(1), e.word(2), e.word(3)
	}
	if at+keySize+valueSize > uint64(len(e.raw)) {
		return nil, nil, false
	}
	return e.raw[at : at+keySize], e.raw[at+keySize : at+keySize+valueSize], true
}
