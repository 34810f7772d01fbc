// Package fleet has the words for what AWS says is there: clusters, services,
// tasks, target groups and targets, as read in one pass.
//
// Everything in a [Snapshot] knows when it was read (its [Read]), because a
// pass does not read everything: what was not due keeps the value and the Read
// of an earlier pass. What could not be read, or has not been read yet, is
// listed as a [Gap]; a Gap is never an empty list.
//
// Values reached from a Snapshot are never changed once it has been handed
// out: a part that was read again is a new value. Readers may therefore keep
// pointers, and an unchanged pointer means that there is no newer evidence.
//
// The package imports the standard library only.
package fleet
