package notify

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// title is a notification in one line: what it is about, and what happened.
func (n *Notification) title() string {
	one := n.Count == 1
	a, the := "a task", "the task"
	if !one {
		a = strconv.Itoa(n.Count) + " targets"
		the = a
	}
	what := ""
	switch n.Event {
	case Exposed:
		what = fmt.Sprintf("the balancer sends traffic to %s that ECS calls UNHEALTHY", a)
		if one {
			what += ", for " + span(n.Targets[0].For) + " now"
		}
	case Unexposed:
		what = fmt.Sprintf("the balancer no longer sends traffic to %s that ECS called UNHEALTHY", the)
		if one {
			what += ", after " + span(n.Targets[0].For)
		}
	case Detached:
		what = fmt.Sprintf("castoff took %s that ECS calls UNHEALTHY out of the balancer", a)
	case Stopped:
		what = "the task that castoff took out of the balancer has stopped"
		if !one {
			what = fmt.Sprintf("the tasks of %s that castoff took out of the balancer have stopped", a)
		}
	case Attached:
		what = "the task that castoff took out of the balancer is healthy and back in it"
		if !one {
			what = a + " that castoff took out of the balancer are back in it, and their tasks healthy"
		}
	case Lost:
		what = fmt.Sprintf("castoff has lost sight of %s that it took out of the balancer: nobody will put back what recovers", a)
	case Contested:
		what = fmt.Sprintf("castoff leaves %s alone that ECS calls UNHEALTHY: somebody keeps putting it back", a)
	case Denied:
		what = fmt.Sprintf("AWS does not let castoff change the target group of %s that ECS calls UNHEALTHY", a)
	case Latched:
		what = "too many fail at once, so castoff takes nothing out"
	case Unlatched:
		what = "no longer do too many fail at once; castoff may take out again what fails"
	case Paused:
		what = "castoff is paused: it takes nothing out"
	case Unpaused:
		what = "a pause of castoff is over"
	case Halted:
		what = "castoff has stopped acting because of a fault of its own; it goes on observing"
	case Unhalted:
		what = "castoff acts again: the fault is over"
	case WouldDetach:
		what = fmt.Sprintf("castoff would have taken %s that ECS calls UNHEALTHY out of the balancer, and has done nothing (mode observe)", a)
	case Test:
		what = "a test message of castoff"
	}
	return n.about() + what
}

// about is what a notification concerns, to begin a title with.
func (n *Notification) about() string {
	switch {
	case n.Service == fleet.ServiceID{}:
		return ""
	case n.Service.Name == "":
		return "cluster " + n.Service.Cluster + ": "
	default:
		return n.Service.String() + ": "
	}
}

// lines are what there is to say of one target below the title.
func (t *Target) lines(e Event) []string {
	where := "in " + t.Key.Group.Name()
	if t.Zone != "" {
		where += ", " + t.Zone
	}
	lines := []string{fmt.Sprintf("task %s, target %s %s", t.Task.ID(), t.Key.Address(), where)}
	since := ""
	if !t.Failing.IsZero() {
		since = "UNHEALTHY since " + clock(t.Failing)
	}
	switch e {
	case Exposed:
		since = join(since, t.exposedSince())
	case Unexposed:
		since = t.exposedSince() + ", for " + span(t.For)
		if t.Since.IsZero() {
			since += " at least"
		}
	case Detached:
		since = join(since, "taken out at "+clock(t.Since))
	case WouldDetach:
		since = join(since, "decided at "+clock(t.Since))
	case Stopped, Attached, Lost:
		since = "taken out at " + clock(t.Since) + ", " + span(t.For) + " before"
	}
	if since != "" {
		lines = append(lines, since)
	}
	if t.Sentence != "" {
		lines = append(lines, t.Sentence)
	}
	if e == Exposed {
		lines = append(lines, t.why())
	}
	return lines
}

func (t *Target) exposedSince() string {
	if t.Since.IsZero() {
		return "exposed, nobody knows since when"
	}
	return "exposed since " + clock(t.Since)
}

// why says what castoff does about an exposed target, or why it does nothing.
func (t *Target) why() string {
	v := &t.Verdict
	switch {
	case v.Decision == "":
		return "castoff has not decided about it yet"
	case v.Decision == policy.Allow && v.Mode == policy.Detaching:
		return "castoff takes it out: " + v.Sentence
	case v.Decision == policy.Allow:
		return "castoff only watches here (mode observe); it would have taken it out: " + v.Sentence
	case v.Mode != policy.Detaching:
		return fmt.Sprintf("castoff only watches here (mode observe); guard %s says %s: %s", v.Guard, v.Decision, v.Sentence)
	default:
		return fmt.Sprintf("castoff does not take it out: guard %s says %s: %s", v.Guard, v.Decision, v.Sentence)
	}
}

func calledSentence(d *policy.Detachment) string {
	if d.Result == policy.NotAnswered {
		return "AWS did not answer the call, so it may have taken effect or not; castoff looks again"
	}
	return "AWS accepted the call"
}

func contestedSentence(d *policy.Detachment) string {
	return fmt.Sprintf("castoff took it out %s and somebody, as ECS does, put it back each time", times(d.Tries))
}

func deniedSentence(d *policy.Detachment) string {
	call := "DeregisterTargets"
	if d.AttachResult == policy.Rejected {
		call = "RegisterTargets"
	}
	return fmt.Sprintf("AWS denied %s on %s at %s. Does its role have detach.json, and the target group the tag castoff:managed = true? castoff asks again every few minutes",
		call, d.Target.Group.Name(), clock(d.RejectedAt))
}

// endSentence says how a detachment ended, and what it was good for.
func endSentence(d *policy.Detachment) string {
	switch d.Outcome {
	case policy.Recovered:
		if d.Attached.IsZero() {
			return "its task is healthy; somebody else registered the target again"
		}
		return "its task is healthy; castoff registered the target again at " + clock(d.Attached)
	case policy.Lost:
		return "castoff no longer watches its cluster, and does not know whether the target is out"
	}
	s, ok := d.Saved()
	switch {
	case !ok:
		return "how much time that saved is " + d.Unknown()
	case s.Shortest >= 0:
		return fmt.Sprintf("ECS itself began %s to %s later: that is what castoff saved", span(s.Shortest), span(s.Longest))
	default:
		return fmt.Sprintf("castoff saved between %s and %s: ECS may have begun first", span(s.Shortest), span(s.Longest))
	}
}

// unexposedSentence says what ended an exposure, as far as the State tells.
func (l *lookup) unexposedSentence(task fleet.TaskARN, key fleet.TargetKey) string {
	if l.Snapshot == nil {
		return ""
	}
	t, row := l.Snapshot.Task(task), l.Snapshot.Target(key)
	switch {
	case t == nil || t.Gone():
		return "its task has stopped"
	case !t.Failing():
		return "ECS no longer calls its task UNHEALTHY"
	case row == nil:
		return "its target is gone from the group"
	case row.Shifted():
		return "a zonal shift keeps traffic from its target"
	default:
		return "the balancer now calls its target " + string(row.State)
	}
}

func latchSentence(l policy.Latch) string {
	of := "tasks"
	if l.Service == (fleet.ServiceID{}) {
		of = "services have failing tasks"
	} else {
		of += " failed at once"
	}
	return fmt.Sprintf("%d of %d %s: suspect the check, or what they depend on, not the tasks. Shut until %s at least", l.Failing, l.Of, of, clock(l.Until))
}

func pauseSentence(p *policy.Pause) string {
	if p.Problem != "" {
		return fmt.Sprintf("the tag %s cannot be read, and so holds until it is mended: %s", policy.PauseTag, p.Problem)
	}
	by := p.Owner
	if by == "" {
		by = "somebody"
	}
	said := "by " + by
	if p.Reason != "" {
		said += ": " + p.Reason
	}
	if p.Until.IsZero() {
		return said + "; with no end"
	}
	return said + "; until " + clock(p.Until)
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}

// clock is an instant as people read it, empty for none.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// span is a duration to the second; to the tenth below ten seconds.
func span(d time.Duration) string {
	if d > -10*time.Second && d < 10*time.Second {
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	}
	s := d.Round(time.Second).String()
	for _, unit := range []string{"h", "m"} {
		s = strings.Replace(s, unit, unit+" ", 1)
	}
	return strings.TrimSpace(strings.NewReplacer("h ", " h ", "m ", " min ", "s", " s").Replace(s))
}
