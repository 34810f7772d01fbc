package fleet

import "time"

// CallLasts is how long a call that changes something may take, whatever it waits for.
const CallLasts = time.Minute

// CallError is a call that was to change something in AWS and was not
// confirmed.
type CallError struct {
	Class Class
	// MayHaveHappened: the request left and no answer came, so the change may
	// have been made.
	MayHaveHappened bool
	Err             error // what was attempted on what, and what AWS said
}

func (e *CallError) Error() string { return e.Err.Error() }

func (e *CallError) Unwrap() error { return e.Err }
