package journal

import (
	"errors"
	"fmt"
	"path/filepath"
)

// ErrUnwritable is what a failed write is: the disk is full, read-only or
// broken. Nothing that was written before is lost, reading goes on, and each
// further call tries again. Until one succeeds nothing may be done that must be
// known after a restart.
var ErrUnwritable = errors.New("cannot be written")

// ErrClosed is what a closed Journal answers.
var ErrClosed = errors.New("journal is closed")

// HeldError is a directory that another process has open.
type HeldError struct {
	Dir string
	// Holder is what that process has written about itself; empty when that
	// cannot be read.
	Holder string
}

func (e *HeldError) Error() string {
	holder := e.Holder
	if holder == "" {
		holder = "another process"
	}
	return fmt.Sprintf("state directory %s is in use by %s; one castoff at a time may use it: stop that one, or give this one a directory of its own", e.Dir, holder)
}

// DamagedError is a file that does not hold what castoff wrote.
type DamagedError struct {
	Path string
	// Kept is where the file is now; empty when it could not be moved, and then it
	// is where it was.
	Kept string
	Err  error // what is wrong, and where in the file
}

func (e *DamagedError) Error() string {
	if e.Kept == "" {
		return fmt.Sprintf("%s is damaged, or is no journal of castoff's: %v; it could not be moved out of the way: move it or put a good copy in its place", e.Path, e.Err)
	}
	return fmt.Sprintf("%s is damaged, or is no journal of castoff's: %v; it is kept as %s. "+
		"To go on, put a good copy in its place, or start without one: castoff then does not know what failed before, "+
		"nor which targets it took out, so look whether a healthy task is missing from its target group", e.Path, e.Err, filepath.Base(e.Kept))
}

func (e *DamagedError) Unwrap() error { return e.Err }

// NewerError is a file that a newer castoff wrote. It was not touched.
type NewerError struct {
	Path    string
	Schema  int    // of the file
	Knows   int    // the newest that this castoff knows
	Castoff string // the version that wrote last
	Copy    string // of the file from before it was changed; empty when there is none
}

func (e *NewerError) Error() string {
	msg := fmt.Sprintf("%s was written by castoff %s with schema %d, and this castoff knows schemas up to %d; it is untouched: run that castoff again, or a newer one",
		e.Path, e.Castoff, e.Schema, e.Knows)
	if e.Copy != "" {
		msg += fmt.Sprintf(", or put %s, which is from before the change, in its place", filepath.Base(e.Copy))
	}
	return msg
}
