// Package awsapi is the only importer of the AWS SDK: it reads a
// [fleet.Snapshot] from ECS and ELBv2, takes targets out of their groups and puts
// them back, paces its calls and classifies their errors.
//
// # What a pass reads
//
// Not everything is read in every pass, so each part of a Snapshot has its own
// [fleet.Read]. Five clocks say what is due:
//
//	HotInterval        tasks of hot services, their target groups, new tasks of theirs
//	Interval           all other tasks, 100 a call: the sentinel that shows a failure
//	DiscoveryInterval  the lists of tasks wanted RUNNING, and of those wanted STOPPED
//	                   of services that have just lost a task
//	CalmInterval       target groups of services that are not hot, one a call
//	InventoryInterval  clusters, services, target groups, tags, and the lists of tasks
//	                   wanted STOPPED
//
// A task that leaves is described by ARN until it is STOPPED. The lists of tasks
// wanted STOPPED are for those that nobody knew: on their way out when castoff
// began, or come and gone between two reads. ECS keeps them there for an hour and
// there may be thousands, so these lists come last, and a long one costs at most
// one call an Interval: in 5 minutes, at the defaults and with 0, 1,000 and 5,000
// stopped tasks, 5, 50 and 50 calls.
//
// Target group attributes are read every 15 minutes, task definitions and EC2
// instance ids once. A definition that none of its tasks fits is inventory.
//
// # Pacing
//
// AWS counts the calls of everyone in the account together, per bucket, so the
// [Observer] takes only so much of each ([Budgets]), its retries included. A
// pass never waits for that: what has no token now is left for a later pass
// and keeps its older Read. Turns go to hot reads first, then to what is most
// overdue in proportion to its own clock; one turn in four goes to the others
// while hot reads alone would take them all. What was never read yet is a
// [fleet.Gap] of class [fleet.Paced].
//
// A pass makes one attempt a call, and one more at once when the connection was
// closed under it: the next pass is the retry, so a service that throttles holds
// up nobody but itself. The SDK's retries, with whatever AWS_MAX_ATTEMPTS and
// AWS_RETRY_MODE say, are for [Observer.Preflight], [Observer.Refresh] and writes.
//
// # Acting
//
// [Observer.Refresh] reads again what one decision rests on, ahead of what is due;
// [Observer.Deregister] and [Observer.Register] carry it out. These wait for their
// tokens, but no longer than their context lasts: what comes too late rests on a
// decision that is too old, and the next pass makes a new one. Writes have a
// bucket of their own. After one that failed, [Applied] says whether the fleet may
// have changed all the same. [Observer.Remember] hands on, after a restart, the
// tasks that somebody still has to see to.
//
// # What cannot be read
//
// Observe never fails. Each thing that could not be read is one Gap, classified
// once ([Classify]); what was read of it before stays, with its old Read. It goes
// when the thing has been read, or is not wanted any more. A reply that lacks its
// list, or half of what a task or a service has, is a failed one; so is one that is
// longer than AWS can send, that something else sent, or on which the SDK or castoff
// panics. A failed list
// never empties anything: clusters, services and tasks leave the
// Snapshot only when AWS has said several times that they are not there, or, for
// tasks, some time after they were read STOPPED.
package awsapi
