package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// banner is what a page has to say to somebody who has five seconds: one word,
// for how long, what that means, and the answers to what they ask next.
type banner struct {
	Level   string // one of levels
	Word    string
	For     clock // no Text: there is nothing to count
	Head    string
	Answers []answer
	Rest    []string // sentences
}

// answer is one line of a banner: what has been done, why no more.
type answer struct {
	Question, Text string
	Link           string // to what it is about; may be empty
	Name           bool   // Text begins with one
}

// levels are what a banner can say, what matters most last: traffic sent to
// dead tasks, then castoff not being what people think it is.
var levels = []string{"calm", "latched", "paused", "failing", "blind", "halted", "exposed"}

// Text is all of it in one line, for where there is no page.
func (b *banner) Text() string {
	said := b.Word
	if b.For.Text != "" {
		said += " for " + b.For.Text
	}
	said += ": " + b.Head
	for _, a := range b.Answers {
		said += " " + a.Question + ": " + strings.TrimSuffix(a.Text, ".") + "."
	}
	return oneLine(strings.Join(append([]string{said}, b.Rest...), " "))
}

// Sentence is the head as it stands alone, without the word before it.
func (b *banner) Sentence() string { return capital(b.Head) }

// Sentence is the answer; what it is about keeps its spelling.
func (a answer) Sentence() string {
	if a.Name {
		return a.Text
	}
	return capital(a.Text)
}

// capital begins with a capital letter.
func capital(said string) string {
	first, size := utf8.DecodeRuneInString(said)
	return string(unicode.ToUpper(first)) + said[size:]
}

// newBanner puts first what costs most: traffic sent to dead tasks, then not
// knowing, then failing without harm.
func newBanner(v *View, now time.Time) *banner {
	if v.Snapshot == nil {
		b := &banner{Level: "blind", Word: "Blind", Head: "no pass has ended yet. There is nothing to show."}
		for _, brake := range brakeBanners(v, now) { // every pass so far may have panicked
			b.Rest = append(b.Rest, oneLine(brake.Word+": "+brake.Head))
		}
		return b
	}
	h := headlines{View: v, records: v.records(), now: now}
	h.exposed()
	h.blind()
	h.brakes()
	h.failing()
	h.calm()
	// Sorted by weight: what matters most has the word, the others a sentence.
	slices.SortStableFunc(h.all, func(a, b *banner) int {
		return cmp.Compare(slices.Index(levels, b.Level), slices.Index(levels, a.Level))
	})
	first := h.all[0]
	for _, b := range h.all[1:] {
		first.Rest = append(first.Rest, oneLine(b.Word+": "+b.Head))
		first.Rest = append(first.Rest, b.Rest...)
	}
	first.Rest = append(first.Rest, h.rest...)
	return first
}

// headlines are all that a banner could say.
type headlines struct {
	*View
	records map[fleet.TaskARN]record
	now     time.Time
	all     []*banner
	rest    []string
}

func (h *headlines) add(b *banner) *banner {
	b.Head = oneLine(b.Head)
	h.all = append(h.all, b)
	return b
}

// exposed is a dead task that is sent traffic: since when, what has been done,
// and why no more.
func (h *headlines) exposed() {
	exposures := notify.Exposures(h.Snapshot, h.Open, h.Watches)
	if len(exposures) == 0 {
		return
	}
	var tasks []fleet.TaskARN
	for _, e := range exposures {
		tasks = append(tasks, e.Task.ARN) // once for each target
	}
	tasks = slices.Compact(slices.Sorted(slices.Values(tasks)))
	its := "the balancer still calls its target healthy"
	if len(exposures) > 1 {
		its = fmt.Sprintf("the balancer still calls %d targets healthy", len(exposures))
	}
	b := h.add(&banner{
		Level: "exposed", Word: "Exposed",
		Head: fmt.Sprintf("clients are sent to %s: ECS calls %s UNHEALTHY, and %s.", count(len(tasks), "failing task", "failing tasks"), themOrIt(len(tasks)), its),
	})
	b.since(exposures, h.now)
	var mine []*timeline.Timeline
	for _, t := range h.Open {
		if _, is := slices.BinarySearch(tasks, t.Task); is {
			mine = append(mine, t)
		}
	}
	b.where(mine)
	b.answer("Done", h.done(tasks, mine))
	b.answer("Why no more", h.why(tasks))
}

// since is when the first of the exposures began, as far as anybody knows.
func (b *banner) since(exposures []notify.Exposure, now time.Time) {
	var first time.Time
	unknown := 0
	for _, e := range exposures {
		switch {
		case e.Since.IsZero():
			unknown++
		case first.IsZero() || e.Since.Before(first):
			first = e.Since
		}
	}
	var said []string
	if !first.IsZero() {
		b.For = clockOf(first, now)
		since := stampOf(first, now).Text + " UTC"
		if len(exposures) > 1 {
			since += ", the first of them"
		}
		said = append(said, since)
	}
	switch {
	case unknown == len(exposures):
		said = append(said, "not known")
	case unknown > 0:
		said = append(said, fmt.Sprintf("not known of %d", unknown))
	}
	b.answer("Since", strings.Join(said, "; "))
}

func (b *banner) answer(question, text string) {
	b.Answers = append(b.Answers, answer{Question: question, Text: oneLine(text)})
}

// shortTask is as much of a task's id as castoff explain needs.
func shortTask(id string) string { return id[:min(len(id), 8)] }

func themOrIt(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

// where is which task the timelines are of, or which services, the first few by
// name.
func (b *banner) where(ts []*timeline.Timeline) {
	const most = 3
	if len(ts) == 1 {
		text := oneLine(ts[0].Service.String() + ", task " + shortTask(ts[0].Task.ID()))
		b.Answers = append(b.Answers, answer{Question: "Where", Text: text, Link: timelineLink(ts[0]), Name: true})
		return
	}
	var names []string
	for _, t := range ts {
		if name := t.Service.String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return
	}
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += " and " + count(more, "more service", "more services")
	}
	b.Answers = append(b.Answers, answer{Question: "Where", Text: oneLine(text), Name: true})
}

// done is what castoff and ECS have done about failing tasks.
func (h *headlines) done(tasks []fleet.TaskARN, ts []*timeline.Timeline) string {
	if len(tasks) == 1 {
		var t *timeline.Timeline
		if len(ts) == 1 {
			t = ts[0]
		}
		return castoffHasDone(h.records[tasks[0]], h.now) + "; " + ecsHasDone(t, h.now)
	}
	called, replaced := 0, 0
	for _, task := range tasks {
		if slices.ContainsFunc(h.records[task].detachments, func(d *policy.Detachment) bool {
			return d.Open() && d.Mode == policy.Detaching && !d.Called.IsZero()
		}) {
			called++
		}
	}
	for _, t := range ts {
		if _, ok := t.Milestone(timeline.ReplacementCreated); ok {
			replaced++
		}
	}
	return fmt.Sprintf("castoff has called for %d of %d; ECS has created %d of %d replacements", called, len(tasks), replaced, len(tasks))
}

// castoffHasDone is about the open detachments of a task.
func castoffHasDone(its record, now time.Time) string {
	for _, d := range its.detachments {
		if !d.Open() {
			continue
		}
		if d.Mode != policy.Detaching {
			return "castoff has done nothing: it would have taken it out at " + stampOf(d.Decided, now).Text + " UTC, in mode detach"
		}
		if d.Called.IsZero() || d.Back != nil || d.Progress == policy.Attaching {
			return "castoff decided to take it out at " + stampOf(d.Decided, now).Text + " UTC: " + standing(d, now)
		}
		said := "castoff took it out at " + stampOf(d.Called, now).Text + " UTC"
		if d.ECS == nil && d.Result == policy.Accepted {
			return said
		}
		return said + ": " + standing(d, now)
	}
	return "castoff has done nothing"
}

// ecsHasDone is how far the replacement is.
func ecsHasDone(t *timeline.Timeline, now time.Time) string {
	if t == nil {
		return "what ECS has done is not known yet"
	}
	ago := func(m timeline.Milestone) string { return wholeAgo(middle(m.Bounds), now) + " ago" }
	if m, ok := t.Milestone(timeline.ReplacementServing); ok {
		return "ECS's replacement has served since " + stampOf(middle(m.Bounds), now).Text + " UTC"
	}
	if m, ok := t.Milestone(timeline.ReplacementRunning); ok {
		return "ECS's replacement started " + ago(m) + " and does not serve yet"
	}
	if m, ok := t.Milestone(timeline.ReplacementCreated); ok {
		return "ECS created a replacement " + ago(m) + ", which does not run yet"
	}
	return "ECS has created no replacement yet"
}

// whyMost is how many different reasons a banner names.
const whyMost = 3

// why is why castoff does not do more about tasks, the most frequent reason
// first.
func (h *headlines) why(tasks []fleet.TaskARN) string {
	type reason struct {
		verdict *policy.Verdict
		n       int
	}
	var reasons []reason
	for _, task := range tasks {
		for _, v := range verdictsFor(h.records[task].verdicts, policy.Detach) {
			i := slices.IndexFunc(reasons, func(r reason) bool {
				return r.verdict.Decision == v.Decision && r.verdict.Guard == v.Guard && r.verdict.Mode == v.Mode
			})
			if i < 0 {
				reasons = append(reasons, reason{verdict: v})
				i = len(reasons) - 1
			}
			reasons[i].n++
		}
	}
	if len(reasons) == 0 {
		return "castoff has not decided about " + themOrIt(len(tasks)) + " yet"
	}
	slices.SortStableFunc(reasons, func(a, b reason) int { return cmp.Compare(b.n, a.n) })
	said := make([]string, 0, whyMost+1)
	for _, r := range reasons[:min(len(reasons), whyMost)] {
		one := whyWords(r.verdict, h.now)
		if len(tasks) > 1 {
			one = fmt.Sprintf("%d of %d: %s", r.n, len(tasks), one)
		}
		said = append(said, one)
	}
	if more := len(reasons) - whyMost; more > 0 {
		said = append(said, count(more, "more reason", "more reasons")+" below")
	}
	return strings.Join(said, "; ")
}

// whyWords is a verdict in words, by the guard that decided.
func whyWords(v *policy.Verdict, now time.Time) string {
	switch {
	case v.Acts():
		return "nothing is in the way: castoff takes it out"
	case v.Decision == policy.Allow:
		return "the service is in mode observe: castoff would take it out, and does not"
	}
	said := v.Sentence + " (" + string(v.Decision) + " by " + string(v.Guard) + ")"
	if !v.Until.IsZero() {
		said += ", until " + stampOf(v.Until, now).Text + " UTC"
	}
	return said
}

// blind is what castoff does not see.
func (h *headlines) blind() {
	ready, why := h.ready(h.now)
	switch n := len(h.gaps()); {
	case !ready:
		b := &banner{Level: "blind", Word: "Blind", Head: why + ". What is below may be old."}
		if !h.LastFull.IsZero() { // its age runs on, and why would not
			b.For = clockOf(h.LastFull, h.now)
			b.Head = "no full pass since " + stampOf(h.LastFull, h.now).Text + " UTC, limit " + span(h.ReadyWithin)
			if n > 0 {
				b.Head += "; " + count(n, "thing", "things") + " could not be read"
			}
			b.Head += ". What is below may be old."
		}
		h.add(b)
	case n > 0:
		h.add(&banner{Level: "blind", Word: "Partly blind", Head: count(n, "thing", "things") + " could not be read."})
	}
}

// brakes are what keeps castoff from acting.
func (h *headlines) brakes() { h.all = append(h.all, brakeBanners(h.View, h.now)...) }

// failing are tasks that are failing and not exposed, and those that have ended.
func (h *headlines) failing() {
	exposed := exposedTasks(h.Snapshot) // in the order of the tasks, which is that of their ARNs
	isExposed := func(task fleet.TaskARN) bool {
		_, is := slices.BinarySearch(exposed, task)
		return is
	}
	var failing []*timeline.Timeline
	settling := 0
	for _, t := range h.Open {
		switch {
		case !stillFails(t):
			settling++
		case !isExposed(t.Task):
			failing = append(failing, t)
		}
	}
	if settling > 0 {
		h.rest = append(h.rest, count(settling, "task has", "tasks have")+" stopped or recovered and is watched until that is sure.")
	}
	if len(failing) == 0 {
		if n := len(h.undocumented()); n > 0 {
			h.add(&banner{Level: "failing", Word: "Failing", Head: count(n, "task", "tasks") + " of which castoff has no timeline: see below."})
		}
		return
	}
	its := "the balancer does not call its target healthy"
	if len(failing) > 1 {
		its = "the balancer calls no target of theirs healthy"
	}
	b := h.add(&banner{Level: "failing", Word: "Failing", Head: count(len(failing), "task", "tasks") + "; " + its + "."})
	routed := 0
	for _, t := range failing {
		if t.Gateway {
			routed++
		}
	}
	if routed > 0 {
		h.rest = append(h.rest, "A gateway of ECS sends traffic to "+count(routed, "failing task", "failing tasks")+" too. castoff does not see whether it still does.")
	}
	since := knownAt(failing[0])
	tasks := make([]fleet.TaskARN, len(failing))
	for i, t := range failing {
		tasks[i] = t.Task
		if known := knownAt(t); known.Before(since) {
			since = known
		}
	}
	b.For = clockOf(since, h.now)
	b.where(failing)
	b.answer("Done", h.done(tasks, failing))
	if len(failing) == 1 {
		if m, ok := failing[0].Milestone(timeline.Detach); ok {
			b.answer("Still", flowsMayGoOn(m, h.now))
		}
	}
}

// flowsMayGoOn is what deregistering does not end at once. AWS does not say for
// how long: see the package sim.
func flowsMayGoOn(m timeline.Milestone, now time.Time) string {
	return "deregistered " + wholeAgo(middle(m.Bounds), now) + " ago: new connections may still reach it for a while, and open ones stay"
}

// calm is said when no task fails.
func (h *headlines) calm() {
	if slices.ContainsFunc(h.all, func(b *banner) bool { return slices.Index(levels, b.Level) > slices.Index(levels, "paused") }) {
		return
	}
	head := fmt.Sprintf("no task is failing in %s.", count(len(h.Snapshot.Services), "service", "services"))
	if len(h.Snapshot.Services) == 0 {
		head = "nothing to watch: there is no ECS service in the clusters that castoff sees. Is this the right region and account?"
	}
	h.add(&banner{Level: "calm", Word: "Calm", Head: head})
}

// stillFails reports that the task has neither stopped nor recovered, as far as
// is known.
func stillFails(t *timeline.Timeline) bool {
	_, well := t.Milestone(timeline.Recovery)
	_, stopped := t.Milestone(timeline.Stopped)
	return !well && !stopped
}
