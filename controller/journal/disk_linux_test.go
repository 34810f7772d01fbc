package journal

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// devFull puts /dev/full, or a file that cannot be written, in the place of the
// file that bbolt has open, and answers how to undo it. That is a disk that is
// full, or has been made read-only, as the process sees it.
func devFull(t *testing.T, dir, instead string, flag int) (undo func()) {
	t.Helper()
	path, err := filepath.EvalSymlinks(filepath.Join(dir, fileName))
	must(t, err)
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || to != path {
			continue
		}
		var fd int
		for _, digit := range e.Name() {
			fd = 10*fd + int(digit-'0')
		}
		was, err := syscall.Dup(fd)
		must(t, err)
		full, err := os.OpenFile(instead, flag, 0)
		must(t, err)
		must(t, syscall.Dup3(int(full.Fd()), fd, syscall.O_CLOEXEC))
		must(t, full.Close())
		return func() {
			must(t, syscall.Dup3(was, fd, syscall.O_CLOEXEC))
			must(t, syscall.Close(was))
		}
	}
	t.Fatalf("nothing has %s open", path)
	return nil
}

// A disk that is full or cannot be written: Commit and Record say so, what was
// written can be read, and when it is over all goes on with nothing lost.
func TestDiskFails(t *testing.T) {
	tests := []struct {
		name    string
		instead string
		flag    int
		is      error
	}{
		{"full", "/dev/full", os.O_WRONLY, syscall.ENOSPC},
		{"read-only", "", os.O_RDONLY, syscall.EBADF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, dir, wide)
			w, m := newWorld(7, 4), newModel(wide.Keep)
			commit := func(want error) {
				t.Helper()
				p := w.pass(time.Second)
				err := j.Commit(p)
				if !errors.Is(err, want) || want != nil && !errors.Is(err, ErrUnwritable) {
					t.Fatalf("Commit: %v, want %v", err, want)
				}
				m.commit(p)
			}
			// Often enough that there are free pages: then the file need not grow.
			for range 8 {
				commit(nil)
			}
			for range 3 {
				before := loaded(t, j)
				instead := tt.instead
				if instead == "" {
					instead = filepath.Join(dir, fileName)
				}
				undo := devFull(t, dir, instead, tt.flag)
				s, ds := w.detach()
				if err := j.Record(s, ds...); !errors.Is(err, tt.is) || !errors.Is(err, ErrUnwritable) {
					t.Fatalf("Record: %v, want %v", err, tt.is)
				}
				clear(w.detachments) // it was not done
				if got := loaded(t, j); got != before {
					t.Fatal(difference(got, before))
				}
				undo()
				commit(nil)
				if got, want := loaded(t, j), m.text(t); got != want {
					t.Fatal(difference(got, want))
				}
			}
			must(t, j.Close())
			j = open(t, dir, wide)
			if got, want := loaded(t, j), m.text(t); got != want {
				t.Error(difference(got, want))
			}
			must(t, j.Close())
		})
	}
}

// The same on a disk of 1 MB, where root may mount one: full while castoff runs
// and when it starts, then read-only.
func TestSmallDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	j, err := Open(dir, wide)
	must(t, err)
	w, m := newWorld(8, 4), newModel(wide.Keep)
	commit := func() error {
		p := w.pass(time.Second)
		m.commit(p)
		return j.Commit(p)
	}
	check := func() {
		t.Helper()
		if got, want := loaded(t, j), m.text(t); got != want {
			t.Fatal(difference(got, want))
		}
	}
	must(t, commit())
	check()

	// full
	filler := filepath.Join(dir, "filler")
	for size := 1 << 20; size > 0; size /= 2 {
		b, _ := os.ReadFile(filler)
		_ = os.WriteFile(filler, append(b, make([]byte, size)...), 0o600)
	}
	var full int
	for range 100 { // at first it fits in what the file has already
		if err := commit(); errors.Is(err, ErrUnwritable) && errors.Is(err, syscall.ENOSPC) {
			full++
		} else {
			must(t, err)
		}
	}
	if full < 10 {
		t.Fatalf("full %d times: no test", full)
	}
	was := loaded(t, j)
	if err := j.Close(); err != nil && !errors.Is(err, ErrUnwritable) {
		t.Fatal(err)
	}
	j, err = Open(dir, wide)
	must(t, err)
	if got := loaded(t, j); got != was {
		t.Fatal(difference(got, was))
	}
	// What closed while the disk was full died with the process; what goes on
	// does not.
	must(t, os.Remove(filler))
	c, err := j.Load()
	must(t, err)
	m.contents = c
	must(t, commit())
	check()

	// read-only
	must(t, j.Close())
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=1m"))
	j, err = Open(dir, wide)
	must(t, err)
	check()
	for range 3 {
		if err := commit(); !errors.Is(err, ErrUnwritable) || !errors.Is(err, syscall.EROFS) {
			t.Fatalf("read-only: %v", err)
		}
	}
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=1m"))
	must(t, commit())
	check()
	must(t, j.Close())
}

// Without the right to write, a file can be read; a first start says what is
// missing. Root's rights are put aside for it.
func TestNoRights(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, wide)
	w, m := newWorld(9, 4), newModel(wide.Keep)
	p := w.pass(time.Second)
	must(t, j.Commit(p))
	m.commit(p)
	must(t, j.Close())
	empty := filepath.Join(dir, "empty")
	must(t, os.Mkdir(empty, 0o700))
	for _, path := range []string{filepath.Dir(dir), dir, empty} {
		must(t, os.Chmod(path, 0o555))
	}
	t.Cleanup(func() { must(t, os.Chmod(dir, 0o700)) })
	for _, name := range []string{fileName, lockName} {
		must(t, os.Chmod(filepath.Join(dir, name), 0o444))
	}
	if os.Geteuid() == 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		must(t, syscall.Setfsuid(65534))
		defer func() { must(t, syscall.Setfsuid(0)) }()
	}
	j, err := Open(dir, wide)
	must(t, err)
	if got, want := loaded(t, j), m.text(t); got != want {
		t.Error(difference(got, want))
	}
	if err := j.Commit(w.pass(time.Second)); !errors.Is(err, ErrUnwritable) || !errors.Is(err, os.ErrPermission) {
		t.Errorf("Commit: %v", err)
	}
	must(t, j.Close())
	if _, err := Open(empty, wide); !errors.Is(err, ErrUnwritable) || !strings.Contains(err.Error(), filepath.Join(empty, fileName)) {
		t.Errorf("first start: %v", err)
	}
}
