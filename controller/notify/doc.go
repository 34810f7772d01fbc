// Package notify decides what people are to be told of, and in which words. It
// is pure: what castoff knows after a pass goes in, notifications come out; the
// package webhook sends them.
//
// It works by what holds. After each pass a [Teller] lists the facts that are
// worth telling, such as that a target has been exposed for longer than a limit,
// and compares them with those of the pass before: a fact that is new is told,
// and so is the end of one that was told, where somebody wants to know. A fact
// that goes on is not told twice. After a restart the facts of what the journal
// has stand in for the pass before.
//
// Each notification has an id that follows from what it is about alone, so that
// the same one sent twice, by a retry or by a castoff that was killed before it
// had written down what it did, is known as one by whoever gets it.
package notify
