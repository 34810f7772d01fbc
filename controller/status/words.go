package status

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// stamp is an instant as the page shows it.
type stamp struct {
	Text string // UTC; with the date when it is not today's
	ISO  string // for machines, and to hover over
}

func stampOf(t, now time.Time) stamp { return stampAs("15:04:05", t, now) }

// fineStampOf shows tenths of a second, where bounds may be that narrow.
func fineStampOf(t, now time.Time) stamp { return stampAs("15:04:05.0", t, now) }

func stampAs(layout string, t, now time.Time) stamp {
	t, now = t.UTC(), now.UTC()
	if t.YearDay() != now.YearDay() || t.Year() != now.Year() {
		layout = "2006-01-02 " + layout
	}
	return stamp{Text: t.Format(layout), ISO: t.Format(wireTime)}
}

// clock is an age that a script lets run on.
type clock struct {
	Text  string
	Since string // for machines; empty when it stands still
}

func clockOf(t, now time.Time) clock {
	return clock{Text: wholeAgo(t, now), Since: t.UTC().Format(wireTime)}
}

// spaced is a name of the API as people write it.
func spaced(name string) string { return strings.ReplaceAll(name, "_", " ") }

// middle is the instant halfway between the bounds, which with half their
// width as its error says the same as both. Without a lower bound there is
// only the upper one.
func middle(b timeline.Bounds) time.Time {
	if b.Open() {
		return b.NotAfter
	}
	return b.NotBefore.Add(b.Width() / 2)
}

// plusMinus is the error of an instant that is shown by its middle.
func plusMinus(b timeline.Bounds) string {
	switch {
	case b.Open():
		return "or earlier"
	case b.Exact():
		return "exact"
	}
	return "± " + span(b.Width()/2)
}

// length is a phase by its middle and its error.
func length(p timeline.Phase) string {
	if p.Error() == 0 {
		return span(p.Shortest)
	}
	return span(p.Shortest+p.Error()/2) + " ± " + span(p.Error()/2)
}

// span is a duration to about three figures: 0.4 s, 42.1 s, 4 min 12 s,
// 3 h 05 min, 2 d 03 h.
func span(d time.Duration) string {
	if d < 0 {
		return "−" + span(-d)
	}
	switch tenths := d.Round(100 * time.Millisecond); {
	case tenths < time.Minute:
		return strconv.FormatFloat(tenths.Seconds(), 'f', -1, 64) + " s"
	case d.Round(time.Second) < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%d min %02d s", d/time.Minute, d%time.Minute/time.Second)
	case d.Round(time.Minute) < 24*time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%d h %02d min", d/time.Hour, d%time.Hour/time.Minute)
	default:
		d = d.Round(time.Hour)
		return fmt.Sprintf("%d d %02d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}

// wholeAgo is an age in whole seconds; never below 0, as it may seem after a
// step of the clock.
func wholeAgo(t, now time.Time) string { return span(max(0, now.Sub(t)).Round(time.Second)) }

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// tallied is "9 healthy, 1 draining": what there is none of is left out.
func tallied(parts ...tallyPart) string {
	var words []string
	for _, p := range parts {
		if p.n > 0 {
			words = append(words, strconv.Itoa(p.n)+" "+p.word)
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

type tallyPart struct {
	n    int
	word string
}

func triggerWords(t timeline.Trigger) string {
	switch t {
	case timeline.ContainerCheck:
		return "container check"
	case timeline.TargetCheck:
		return "target check"
	case timeline.Exit:
		return "exit"
	default:
		return string(t)
	}
}

// milestoneWords explains a milestone to people who do not know castoff's name
// for it.
func milestoneWords(k timeline.Kind) string {
	switch k {
	case timeline.Onset:
		return "the app stopped answering"
	case timeline.Unhealthy:
		return "ECS calls the task UNHEALTHY"
	case timeline.LBUnhealthy:
		return "the balancer calls a target unhealthy"
	case timeline.Recovery:
		return "the task is healthy again"
	case timeline.ReplacementCreated:
		return "ECS created a task in its place"
	case timeline.ReplacementRunning:
		return "that task runs"
	case timeline.ReplacementServing:
		return "all targets of that task are healthy"
	case timeline.Detach:
		return "deregistration began"
	case timeline.Detached:
		return "out of the balancer"
	case timeline.Stopping:
		return "the containers are told to stop"
	case timeline.Stopped:
		return "nothing of the task runs"
	default:
		return ""
	}
}

func phaseWords(p timeline.PhaseName) string {
	switch p {
	case timeline.Detection:
		return "from onset until it was known"
	case timeline.Reaction:
		return "from known until deregistration began"
	case timeline.Drain:
		return "from deregistration until out of the balancer"
	case timeline.Exposure:
		return "called good by the balancer although ECS knew better"
	case timeline.Replacement:
		return "from known until the replacement served"
	case timeline.Retirement:
		return "from known until stopped"
	default:
		return ""
	}
}

func checkWords(container string, c *fleet.HealthCheck) string {
	var b strings.Builder
	if container != "" {
		b.WriteString("container " + container)
	}
	if c == nil {
		return b.String()
	}
	fmt.Fprintf(&b, ": %s; every %s, timeout %s, %s", strings.Join(c.Command, " "),
		span(c.Interval), span(c.Timeout), count(c.Retries, "retry", "retries"))
	if c.StartPeriod > 0 {
		b.WriteString(", start period " + span(c.StartPeriod))
	}
	return strings.TrimPrefix(b.String(), ": ")
}
