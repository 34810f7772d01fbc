// Package journal keeps what must outlive the process: open timelines, what the
// guards remember, detachments, and closed timelines for as long as they are
// wanted. It is one bbolt file, castoff.db, in a directory of its own; [Memory]
// is the same without a file.
//
// # What may be relied on
//
// What [Journal.Commit] or [Journal.Record] has answered nil for is on the disk:
// a kill or a power cut at any instant leaves the file as one of these calls
// left it, all of it or none. What they answered an error for may be there or
// not. One thing is less strict: while nothing but the readings' times move, as
// in a calm fleet, those are written only every [Options.Calm]. After a kill
// castoff then goes on as if it had ended up to so much earlier: the bounds of a
// failure that begins while it is away are that much wider, and still true.
//
// An open detachment leaves the journal only by being recorded as closed, never
// by being left out of a call.
//
// # What goes wrong
//
//	another process has it open    Open answers *HeldError, with who it is
//	torn, truncated, foreign       Open keeps the file aside and answers *DamagedError
//	written by a newer castoff     Open answers *NewerError and touches nothing
//	full, read-only or broken disk Commit and Record answer ErrUnwritable until it is over
//
// After a *DamagedError the operator decides. A start without a file begins with
// no past and says so: [Contents.Fresh] is set and [Contents.Aside] names what
// was kept. What castoff had taken out by then it no longer knows.
//
// # The file
//
// Records are JSON, each with a checksum over its place and its bytes, since
// bbolt has none. Times that move with every pass are kept apart from what they
// are about, so that a reading that says the same again is not written again. A
// record is compared with the file before it is written: there is no memory of
// what was written that could be wrong. Closed timelines and detachments are one
// record each, in the order in which they ended. The file grows to what it once
// needed and does not shrink.
//
// castoff.lock, beside it, is locked for as long as the journal is open and says
// by whom. It stays: deleting it would let two processes lock two files.
package journal
