package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const lockName = "castoff.lock"

// lock locks a directory against other processes until the file is closed. On a
// disk that cannot be written it does what can be done without.
//
// bbolt's own lock would be too late: the file is examined, and if need be moved
// away, before bbolt opens it.
func lock(dir, version string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		f, err = os.Open(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // nobody can write here
	}
	if err != nil {
		return nil, err
	}
	err = flock(f)
	if errors.Is(err, errHeld) {
		said, _ := io.ReadAll(io.LimitReader(f, 200))
		return nil, errors.Join(&HeldError{Dir: dir, Holder: strings.TrimSpace(string(said))}, f.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
	}
	say(f, version)
	return f, nil
}

var errHeld = errors.New("locked by another process")

func flock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errHeld
	}
	return err
}

// say writes who holds the lock, for whoever finds it held. It is worth no
// error.
func say(f *os.File, version string) {
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	text := fmt.Sprintf("castoff %s, pid %d on %s, since %s\n", version, os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(text), 0)
	}
}
