package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// progress tells what castoff learns while it learns it. The runs of a demo
// share it.
type progress struct {
	mu   sync.Mutex
	w    io.Writer
	live bool // a running clock can be shown
	demo demoCmd
}

// newProgress writes beside the tables, or, when those are JSON, beside it.
func newProgress(to streams, c demoCmd) *progress {
	w := to.out
	if c.JSON {
		w = to.err
	}
	return &progress{w: w, live: isTerminal(w), demo: c}
}

func (p *progress) begin(runs []*demoRun) {
	fmt.Fprintf(p.w, `A simulated AWS region at %g times the speed of the clock (seed %d).
Cluster %s has three services. One is a gRPC app behind nginx behind an NLB:
the NLB's TCP check sees only that nginx accepts, ECS's container check sees
the app. castoff reads all that over loopback in AWS's own protocols, every 5 s,
and every 2 s while something fails (the region's seconds). After 80 calm ones
an app hangs.
`, p.demo.Speed, p.demo.Seed, demoCluster)
	if len(runs) > 1 {
		fmt.Fprint(p.w, `That happens twice at once, in two regions of the same seed: in one castoff only
watches how ECS retires the task, in the other it takes the target out.
`)
	}
	for _, r := range runs {
		fmt.Fprintf(p.w, "Watch %s at http://%s/\n", r.name(), r.daemon.Address())
	}
	fmt.Fprintln(p.w)
}

func (p *progress) line(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	fmt.Fprintln(p.w, text)
}

// tick shows that time goes by, where the line can be written over.
func (p *progress) tick(at time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live {
		fmt.Fprintf(p.w, "\r%s  …", clock(at))
	}
}

func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

func (p *progress) erase() {
	if p.live {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// teller tells of one run.
type teller struct {
	*progress
	name  string // before each line; empty for a run that is alone
	shown map[told]bool
	tries int
	back  bool // put back since the last try
}

// told is what has been told: a target may be deregistered by castoff, put back,
// and deregistered by ECS.
type told struct {
	kind timeline.Kind
	by   timeline.Actor
}

func (p *progress) of(r *demoRun) teller {
	t := teller{progress: p, shown: map[told]bool{}}
	if p.demo.Mode == policy.Detaching {
		t.name = fmt.Sprintf("%-14s", r.name())
	}
	return t
}

func (t *teller) say(at time.Duration, text string) { t.line(clock(at) + "  " + t.name + text) }

func (t *teller) hung(task fleet.TaskARN) {
	t.say(0, fmt.Sprintf("the app of task %.8s hangs; nginx goes on accepting", task.ID()))
}

// words say each milestone in a sentence.
var words = map[timeline.Kind]string{
	timeline.Unhealthy:          "ECS calls the task UNHEALTHY; the NLB, its target healthy",
	timeline.LBUnhealthy:        "the NLB calls the target unhealthy",
	timeline.Recovery:           "the task is healthy again",
	timeline.ReplacementCreated: "ECS has created a replacement",
	timeline.ReplacementRunning: "the replacement runs",
	timeline.ReplacementServing: "the replacement's target is healthy",
	timeline.Detach:             "%s deregisters the sick target: draining",
	timeline.Detached:           "the sick target is gone from its group",
	timeline.Stopping:           "ECS stops the task's containers",
	timeline.Stopped:            "the task is STOPPED",
}

// show writes a line for each milestone that castoff has learned of, the
// earliest first of those that it learned of together.
func (t *teller) show(tl *timeline.Timeline, since func(time.Time) time.Duration) {
	var news []timeline.Milestone
	for _, m := range tl.Milestones {
		if this := (told{m.Kind, m.By}); words[m.Kind] != "" && !t.shown[this] {
			t.shown[this] = true
			news = append(news, m)
		}
	}
	slices.SortStableFunc(news, func(a, b timeline.Milestone) int { return a.NotAfter.Compare(b.NotAfter) })
	for _, m := range news {
		text := words[m.Kind]
		if m.Kind == timeline.Detach {
			who := "ECS"
			if m.By == timeline.ByCastoff {
				who = "castoff"
			}
			text = fmt.Sprintf(text, who)
		}
		t.say(since(m.NotAfter), text)
	}
}

// again tells of a target that is put back, and taken out again.
func (t *teller) again(d *policy.Detachment, since func(time.Time) time.Duration) {
	if d == nil || d.Mode != policy.Detaching {
		return
	}
	if d.Tries > t.tries {
		if t.tries > 0 {
			if !t.back {
				t.say(since(d.Called), "ECS has registered the target again")
			}
			t.say(since(d.Called), "castoff deregisters it again, before its first checks pass")
		}
		t.tries, t.back = d.Tries, false
	}
	if d.Back != nil && !t.back {
		t.back = true
		t.say(since(d.Back.NotAfter), "ECS has registered the target again: initial")
	}
}

// isTerminal reports that w is a screen that can be written over.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// clock is minutes and seconds since the hang.
func clock(d time.Duration) string {
	d = d.Round(100 * time.Millisecond) // first, or 59.96 s would read 60.0
	return fmt.Sprintf("+%02d:%04.1f", int(d.Minutes()), (d % time.Minute).Seconds())
}
