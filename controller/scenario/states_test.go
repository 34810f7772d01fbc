package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// The tracker's state of one task, as it was before a snapshot.
const (
	stateCalm      = "calm"      // nothing is known against it
	stateSurvivor  = "survivor"  // it has failed and recovered; ECS may still stop it for that
	stateBooting   = "booting"   // only its balancer complains, in its grace period: nobody hears of it
	stateSick      = "sick"      // an open timeline, by its container check
	stateUnserving = "unserving" // an open timeline, by its balancer alone
	stateWell      = "well"      // an open timeline, and no check fails any more
	stateLeaving   = "leaving"   // an open timeline, and ECS takes it down
	stateStopped   = "stopped"   // an open timeline that waits for rows and replacement
	stateTold      = "told"      // stopped and its timeline closed; still in sight
	stateLost      = "lost"      // its timeline was closed without evidence; still in sight
)

var states = []string{stateCalm, stateSurvivor, stateBooting, stateSick, stateUnserving, stateWell, stateLeaving, stateStopped, stateTold, stateLost}

// What a snapshot shows of a task, and of one of its rows.
var events = []string{
	"task not in sight", "task not read again", "task MISSING",
	"task starting", "task HEALTHY", "task UNKNOWN", "task UNHEALTHY", "task disconnected",
	"task leaves, for a failure", "task leaves, for another reason", "task STOPPED, for a failure", "task STOPPED, for another reason",
	"group never read", "group not read again",
	"no row", "row of another task", "row initial", "row healthy", "row unhealthy", "row draining", "row in another state",
}

// stateBook is which of the tracker's states met which events. It has a tracker of
// its own beside the controller's, which gets the same snapshots: the tracker is
// pure, so both are in the same state, and it has to tell nobody of it.
type stateBook struct {
	mu  sync.Mutex
	met map[pair]bool
}

type pair struct{ state, event string }

// watch puts the book between AWS and a controller that starts from a past.
func (b *stateBook) watch(settings timeline.Settings, past timeline.State, o controller.Observer) controller.Observer {
	prev := fleet.NewSnapshot(fleet.Snapshot{At: past.At, Tasks: slices.Clone(past.Tasks), TargetGroups: slices.Clone(past.Groups)})
	return &bookObserver{o, b, timeline.Restore(settings, past), prev}
}

type bookObserver struct {
	controller.Observer
	book    *stateBook
	tracker *timeline.Tracker
	prev    *fleet.Snapshot
}

func (o *bookObserver) Observe(ctx context.Context, hot []fleet.ServiceID) *fleet.Snapshot {
	s := o.Observer.Observe(ctx, hot)
	if !errors.Is(ctx.Err(), context.Canceled) { // else castoff stops, and forgets this one
		o.book.note(o.tracker.State(), o.prev, s)
		o.tracker.Track(s)
		o.prev = s
	}
	return s
}

func (b *stateBook) note(was timeline.State, prev, s *fleet.Snapshot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	failures := make(map[fleet.TaskARN]*timeline.FailureState, len(was.Failures))
	for i := range was.Failures {
		failures[was.Failures[i].Timeline.Task] = &was.Failures[i]
	}
	survivor := func(arn fleet.TaskARN) bool { _, ok := was.Recovered[arn]; return ok }
	tasks := map[fleet.TaskARN]bool{}
	for _, t := range slices.Concat(prev.Tasks, s.Tasks) {
		tasks[t.ARN] = true
	}
	for arn := range failures {
		tasks[arn] = true
	}
	for arn := range tasks {
		state := stateOf(failures[arn], survivor(arn))
		for _, e := range eventsOf(prev, s, arn) {
			b.met[pair{state, e}] = true
		}
	}
}

func stateOf(f *timeline.FailureState, survivor bool) string {
	switch {
	case f == nil && survivor:
		return stateSurvivor
	case f == nil:
		return stateCalm
	case f.Timeline.Outcome == timeline.Lost:
		return stateLost
	case !f.Timeline.Closed.IsZero():
		return stateTold
	case f.Muted:
		return stateBooting
	}
	known := func(k timeline.Kind) bool { _, ok := f.Timeline.Milestone(k); return ok }
	switch {
	case known(timeline.Stopped):
		return stateStopped
	case f.Task.Leaving():
		return stateLeaving
	case known(timeline.Recovery):
		return stateWell
	case f.Timeline.Trigger == timeline.TargetCheck && !known(timeline.Unhealthy):
		return stateUnserving
	default:
		return stateSick
	}
}

// eventsOf are what the snapshot shows of the task and of its rows.
func eventsOf(prev, s *fleet.Snapshot, arn fleet.TaskARN) []string {
	is, was := s.Task(arn), prev.Task(arn)
	all := []string{taskEvent(was, is)}
	if is == nil {
		return all
	}
	for _, key := range is.Targets {
		all = append(all, rowEvent(prev, s, is, key))
	}
	return all
}

func taskEvent(was, is *fleet.Task) string {
	switch {
	case is == nil:
		return "task not in sight"
	case is.Missing > 0:
		return "task MISSING"
	case was != nil && was.Read == is.Read:
		return "task not read again"
	case is.Gone():
		return "task STOPPED, " + reason(is)
	case is.Leaving():
		return "task leaves, " + reason(is)
	case !is.LastStatus.AtLeast(fleet.Running):
		return "task starting"
	case is.Connectivity == fleet.Disconnected:
		return "task disconnected"
	case is.Health == fleet.Healthy, is.Health == fleet.Unhealthy:
		return "task " + string(is.Health)
	default:
		return "task UNKNOWN"
	}
}

func reason(t *fleet.Task) string {
	for _, prefix := range []string{"Task failed ", "Essential container in task exited"} {
		if strings.HasPrefix(t.StoppedReason, prefix) {
			return "for a failure"
		}
	}
	if t.StopCode == "EssentialContainerExited" || t.StopCode == "TaskFailedToStart" {
		return "for a failure"
	}
	return "for another reason"
}

func rowEvent(prev, s *fleet.Snapshot, task *fleet.Task, key fleet.TargetKey) string {
	g, was, row, owner := s.TargetGroup(key.Group), prev.TargetGroup(key.Group), s.Target(key), s.Owner(key)
	switch {
	case g == nil || g.Read.Never():
		return "group never read"
	case was != nil && was.Read == g.Read:
		return "group not read again"
	case row == nil || row.Unused():
		return "no row"
	case owner != nil && owner.ARN != task.ARN:
		return "row of another task"
	case row.Unhealthy():
		return "row unhealthy"
	case row.State == fleet.TargetInitial, row.State == fleet.TargetHealthy, row.State == fleet.TargetDraining:
		return "row " + string(row.State)
	default:
		return "row in another state"
	}
}

const stateTable = "testdata/tracker.table"

// check compares with the table, which has each pair: scripts meet it, or the table
// says why none can ("never"). With -update what is met is written down; why
// something is not is for people to say.
func (b *stateBook) check(t *testing.T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, err := os.ReadFile(stateTable)
	if err != nil && !*update {
		t.Fatal(err)
	}
	said := map[pair]string{}
	var table bytes.Buffer
	for line := range strings.Lines(string(old)) {
		if strings.HasPrefix(line, "#") {
			table.WriteString(line)
		}
		if cells := strings.SplitN(line, "|", 3); len(cells) == 3 {
			said[pair{strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1])}] = strings.TrimSpace(cells[2])
		}
	}
	for _, state := range states {
		table.WriteString("\n")
		for _, event := range events {
			p := pair{state, event}
			says, met := said[p], b.met[p]
			switch {
			case strings.HasPrefix(says, "never: "):
				if met {
					t.Errorf("a script meets what %s says cannot be: %s | %s | %s", stateTable, state, event, says)
				}
			case met:
				says = "met"
			default:
				t.Errorf("no script has the tracker meet this, nor does %s say why it cannot: %s | %s", stateTable, state, event)
				says = "NOT MET"
			}
			fmt.Fprintf(&table, "%-9s | %-32s | %s\n", state, event, says)
		}
	}
	if *update {
		if err := os.WriteFile(stateTable, table.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(old, table.Bytes()) {
		t.Errorf("%s is not as -update writes it", stateTable)
	}
}
