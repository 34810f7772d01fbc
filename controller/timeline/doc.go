// Package timeline turns snapshots into timelines: the record of every task
// that fails, from the onset of the failure to the task's retirement.
//
// It is pure: [Tracker.Track] takes a snapshot and nothing else, no clock, no
// log, no call. The same snapshots give the same timelines.
//
// # Bounds
//
// A read shows what was true at some instant between its earliest, which is as long
// before sending the request as a reply may be old ([fleet.Read]), and receiving the
// reply. So a change between two reads happened not before the earliest of the one and
// not after the other was received: those are the bounds of an observed milestone. Where
// two readings of a row contradict one another and may be of either order, the later one
// says nothing; of a task, its version tells. A read that failed leaves no trace but wider
// bounds. AWS's own timestamps make both bounds equal. Estimates are reasoned
// from settings; see onset.go. All of them hold for replies that are no older than
// [fleet.Read.Behind] says, and for health that ECS was told of within
// Settings.ReportLag: of both AWS publishes no figure, and who knows better sets them.
//
// # Who took a target out
//
// castoff knows its own calls. ECS deregisters in DEACTIVATING and no sooner, so a
// row that leaves while its task is up was taken out by somebody else, and one that
// leaves as the task goes by ECS, not before the task was last read as up. Who
// deregisters in the very moment between such a read and ECS's own begin is not told
// from ECS. Where the task was not read soon after, or the row not for a minute
// before, the evidence says that it may have been somebody else, and the bounds hold
// for that. Of a group that cannot be read only ECS's own order is
// known: its row left between DEACTIVATING and STOPPING, unless somebody had taken it
// out before.
//
// # Opening and closing
//
// A timeline opens when ECS calls a task UNHEALTHY or a balancer its target unhealthy,
// once the grace period of the task is over (a booting task is not a failing one, nor
// a replacement that failed; one that goes on failing has its timeline from when it
// began to), or when an essential container ends by itself. A task that is already being taken down for another reason does not
// open one by failing on its way out. Where a row is read and its task is not, one
// that is unhealthy is held back until the task is read: it may be the next one's.
// Where the failure was too short to be seen but ECS names it as the reason for
// the stop, the timeline is opened in retrospect, with the wide bounds that this
// deserves.
//
// It closes when the task has stopped, its rows have left their groups and its
// replacement serves, or when the settle window after the stop is over; when
// the task has been healthy for the recovery window; or when the evidence has
// run out. Only closed timelines are final.
//
// # Pairing a failing task with its replacement
//
// ECS does not say which task replaces which. In one service and one deployment
// (startedBy), failures that wait for a replacement, the one known first ahead,
// are matched with tasks created since the failure, the one created first
// ahead; each task replaces at most one, and not one that stopped long before. In a
// DAEMON service only a task on the same instance is one. Tasks of another deployment are never
// matched, so a roll-out at the same time does not confuse it; tasks started by
// a simultaneous scale-out of the same deployment cannot be told apart. A task that ECS
// started to balance zones replaces none; ECS names it in the service's events, which
// are read once an inventory, so that it may be matched until then. Until a
// replacement serves, the match may change: one that fails or leaves before is
// given up for the next, and as long as the original failure waits, it does not get a replacement
// of its own: ECS counts tasks, and two sick tasks in one place want one new
// one.
package timeline
