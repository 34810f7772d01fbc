// Package policy decides which failing targets may leave their balancer, and
// which of those that castoff took out must go back.
//
// It is pure: [Look.Decide] takes a snapshot, what is remembered, the limits and the
// time, and answers a [Verdict] for every failing target, acting or not. The
// same values give the same verdicts. No clock, no log, no call.
//
// # Guards
//
// A guard is one reason not to act now. Each looks at the state as it would be
// after the action, with what is already detached, draining, failing, pending or
// allowed a moment ago counted in, and answers a [Finding]. All are asked, for
// the record; the first in the order of [Guards] that does not allow decides.
// What a guard cannot see, it holds on: unknown is not healthy, and not failing.
// A limit that is missing or makes no sense allows nothing.
//
// Guards block detaching only. Nothing but doubt about who owns an address, and
// a pause that says reattach=no, keeps a healthy task's target out: see
// [Look.Reattach].
//
// # What counts
//
// Targets leave one by one, but what a task costs its service it costs once: the
// budgets of a service and of the fleet, and the rates, count tasks; the budget
// of a target group counts targets. A service that is only observed is accounted
// apart, so that what would have been done never holds up what is done.
//
// # A pass
//
//	look = NewLook(input)                  the fleet, looked through once
//	open = look.Follow()                   what became of the detachments
//	verdicts = look.Decide()
//	for each allow: read again, NewLook    and Recheck: the same guards on fresh values
//	write Verdict.Detachment and State, then call
//	verdicts = look.Reattach()             the way back; Recheck these too
//
// What Recheck allows has taken its tokens, and the State has it before the call is made:
// a call that is never made, because castoff was killed, has cost its token. That is the
// price of never exceeding a rate.
package policy
