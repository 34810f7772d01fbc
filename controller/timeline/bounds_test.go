package timeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// truth is when each milestone of a life really came; zero: never.
func (w *world) truth(l *life) map[Kind]time.Time {
	last := max(0, len(w.groups)-1)
	m := map[Kind]time.Time{
		Onset: l.onset, Unhealthy: l.unhealthy, LBUnhealthy: l.lbUnhealthy,
		Detach: l.in(last, l.draining), Detached: l.in(last, l.gone), Stopping: l.stopping, Stopped: l.stopped,
	}
	if l.recovered.After(l.lbRecovered) {
		m[Recovery] = l.recovered
	} else {
		m[Recovery] = l.in(last, l.lbRecovered)
	}
	if r := l.replacement; r != nil {
		m[ReplacementCreated], m[ReplacementRunning], m[ReplacementServing] = r.created, r.started, r.in(last, r.serving)
	}
	return m
}

// randomWorld has a few failures of every kind at random instants, each with a
// replacement, after a calm start.
func randomWorld(t *rapid.T) *world {
	w := newWorld(rapid.IntRange(0, 2).Draw(t, "groups"))
	w.stampOnDeactivating = rapid.Bool().Draw(t, "stampOnDeactivating")
	if rapid.Bool().Draw(t, "grace") {
		w.service.Grace = 30 * time.Second
	}
	n := rapid.IntRange(1, 3).Draw(t, "failures")
	w.service.Desired = n
	gap := func(label string, lo, hi int) time.Duration {
		return time.Duration(rapid.IntRange(lo*1000, hi*1000).Draw(t, label)) * time.Millisecond
	}
	known := sec(602) // more than the settle window after they were created: none is taken for another's replacement
	for i := range n {
		l := w.add(&life{id: fmt.Sprintf("%c1", 'a'+i), created: sec(float64(i)), started: sec(30 + float64(i)), registered: sec(20 + float64(i)), serving: sec(100)})
		known = known.Add(gap("next", 1, 90)) // failures become known in this order
		l.skew = gap("skew", 0, 9)
		kind := rapid.SampledFrom([]string{"hang", "hang", "hang", "target", "target recovers", "exit", "recover", "supersede"}).Draw(t, "kind")
		if len(w.groups) == 0 {
			kind = strings.Replace(kind, "target", "hang", 1)
		}
		l.stopCode, l.reason = "ServiceSchedulerInitiated", "Task failed container health checks"
		end := known.Add(gap("reaction", 40, 200))
		switch kind {
		case "hang", "supersede":
			l.unhealthy = known
			l.onset = known.Add(-gap("detection", 5, 24))
			if rapid.Bool().Draw(t, "cut off") { // the verdict falls while it is, and comes to ECS with the agent
				l.back = known.Add(-gap("report", 0, 15))
				l.cutOff = l.back.Add(-gap("dark", 1, 150))
				l.onset = l.onset.Add(-gap("verdict", 0, int(l.back.Sub(l.cutOff)/time.Second)))
			}
			if kind == "supersede" {
				l.reason = "Scaling activity initiated by (deployment ecs-svc/1)"
			}
		case "target":
			l.lbUnhealthy = known
			l.onset = known.Add(-gap("detection", 0, 30))
			l.reason = "Task failed ELB health checks in (target-group " + string(w.groups[0].ARN) + ")"
		case "exit":
			l.onset, l.stopCode, l.reason = known, "EssentialContainerExited", "Essential container in task exited"
			l.stopping = known.Add(gap("noticed", 0, 2))
			l.stopped = l.stopping.Add(gap("stop", 1, 30))
			l.draining = l.stopping.Add(gap("deregister", 0, 10))
			l.gone = l.draining.Add(gap("drain", 10, 300))
		case "target recovers":
			l.lbUnhealthy = known
			l.onset = known.Add(-gap("detection", 0, 30))
			l.lbRecovered = known.Add(gap("sick", 10, 60))
		case "recover", "hang recovers":
			l.unhealthy = known
			l.onset = known.Add(-gap("detection", 5, 24))
			l.recovered = known.Add(gap("sick", 10, 60))
		}
		if kind == "hang" || kind == "supersede" || kind == "target" {
			l.deactivating = end
			l.draining = end.Add(gap("deregister", 0, 10))
			l.gone = l.draining.Add(gap("drain", 10, 300))
			l.stopping = l.in(1, l.gone).Add(gap("notice", 0, 5))
			l.ended = l.stopping.Add(gap("end", 1, 20))
			l.stopped = l.ended.Add(gap("stop", 1, 20))
		}
		if l.recovered.IsZero() && l.lbRecovered.IsZero() {
			r := &life{id: fmt.Sprintf("%c2", 'a'+i), created: known.Add(gap("replace", 3, 39)), addr: fmt.Sprintf("10.0.1.%d", i+10)}
			r.started = r.created.Add(gap("start", 5, 30))
			r.registered = r.started
			r.serving = r.registered.Add(gap("serve", 20, 180))
			r.skew = gap("skew", 0, 9)
			l.replacement = w.add(r)
		}
	}
	return w
}

// SAFETY: the truth is within the bounds of every milestone of every timeline,
// whatever fails, however irregular the reads are, whether or not some of them
// fail, and however often castoff is restarted.
func TestSafetyTruthWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := randomWorld(t)
		every := time.Duration(rapid.IntRange(1000, 8000).Draw(t, "every")) * time.Millisecond
		jitter := rapid.IntRange(0, 800).Draw(t, "latency")
		failing := rapid.IntRange(0, 40).Draw(t, "percent of reads that fail")
		seed := rapid.Uint64().Draw(t, "seed")
		next := func(n int) int { // cheap draws: rapid would drown in them
			seed = seed*6364136223846793005 + 1442695040888963407
			return int(seed>>33) % max(1, n)
		}
		c := &camera{w: w,
			within: func() (time.Duration, time.Duration) {
				return time.Duration(next(jitter+1)) * time.Millisecond, time.Duration(next(jitter+1)) * time.Millisecond
			},
			skip:   func(string) bool { return next(100) < failing },
			behind: time.Duration(rapid.SampledFrom([]int{0, 0, 1000, 10_000}).Draw(t, "behind")) * time.Millisecond,
		}
		c.age = func() time.Duration {
			return time.Duration(next(int(c.behind)/int(time.Millisecond)+1)) * time.Millisecond
		}
		restarts := rapid.SampledFrom([]int{0, 0, 0, 1, 3, 10}).Draw(t, "restarts")
		tracker := NewTracker(DefaultSettings())
		var closed []*Timeline
		now, end := sec(590).Add(-c.behind), sec(2200)
		for range restarts {
			stop := now.Add(time.Duration(next(1600/restarts)) * time.Second)
			closed = append(closed, c.film(tracker, now, stop, every)...)
			now = stop.Add(time.Duration(next(60)) * time.Second)
			var err error
			if tracker, err = c.restart(tracker, now); err != nil {
				t.Fatal(err)
			}
		}
		if now.After(end) {
			end = now
		}
		closed = append(closed, c.film(tracker, now, end.Add(15*time.Minute), every)...)
		if open := tracker.Open(); len(open) > 0 {
			t.Fatalf("LIVENESS: %d timelines open long after the end: %s", len(open), describe(open[0]))
		}
		if len(c.opened) != len(closed) {
			t.Fatalf("%d opened, %d closed", len(c.opened), len(closed))
		}
		pass := 2 * time.Duration(jitter) * time.Millisecond
		tight := max(every, pass+time.Millisecond) + pass + c.behind
		byTask := map[string]*Timeline{}
		for _, tl := range closed {
			if byTask[tl.Task.ID()] != nil {
				t.Fatalf("two timelines of one failure: %s and %s", describe(byTask[tl.Task.ID()]), describe(tl))
			}
			byTask[tl.Task.ID()] = tl
		}
		pairingCertain := distinctReplacements(w) && disjoint(w, byTask)
		for _, l := range w.tasks {
			tl := byTask[l.id]
			if l.onset.IsZero() {
				if tl != nil {
					t.Fatalf("a timeline of a task that never failed: %s", describe(tl))
				}
				continue
			}
			if tl == nil {
				if w.outcome(l) == Recovered || failing > 0 || restarts > 0 || l.reason == "Scaling activity initiated by (deployment ecs-svc/1)" {
					continue // may have passed between two reads
				}
				t.Fatalf("no timeline of %s", l.id)
			}
			checkBounds(t, w, l, tl, pairingCertain)
			if failing == 0 && restarts == 0 {
				checkWidths(t, tl, tight, c.behind)
			}
		}
	})
}

// distinctReplacements reports that replacements come in the order of the
// failures: only then does the truth say the same as the rule of pairing.
func distinctReplacements(w *world) bool {
	var last time.Time
	for _, l := range w.tasks {
		if l.replacement == nil {
			if w.outcome(l) == Recovered {
				return false // a failure that waits in vain takes the next one's
			}
			continue
		}
		if l.replacement.created.Before(last) {
			return false
		}
		last = l.replacement.created
	}
	return true
}

// disjoint reports that castoff could tell the order of the failures.
func disjoint(w *world, byTask map[string]*Timeline) bool {
	var last time.Time
	for _, l := range w.tasks {
		if l.onset.IsZero() {
			continue
		}
		tl := byTask[l.id]
		if tl == nil {
			return false // never seen to fail: its replacement looks like another's
		}
		known, _ := tl.Known()
		if !known.NotBefore.After(last) {
			return false
		}
		last = known.NotAfter
	}
	return true
}

func checkBounds(t *rapid.T, w *world, l *life, tl *Timeline, pairingCertain bool) {
	truth := w.truth(l)
	for _, m := range tl.Milestones {
		replacement := strings.HasPrefix(string(m.Kind), "replacement")
		if replacement && !pairingCertain {
			continue
		}
		at := truth[m.Kind]
		if at.IsZero() {
			t.Fatalf("%s never came, but is in %s", m.Kind, describe(tl))
		}
		holds := m.Contains(at)
		if m.Kind == LBUnhealthy && !allSeen(tl, len(w.groups)) {
			// The first that was seen, when one that was first may not have been.
			for i := range w.groups {
				holds = holds || m.Contains(l.in(i, l.lbUnhealthy))
			}
		}
		if m.Bounds.NotAfter.Before(m.Bounds.NotBefore) || !holds {
			t.Fatalf("%s was at %s, outside the bounds in %s", m.Kind, at.Format("15:04:05.000"), describe(tl))
		}
	}
	for _, p := range tl.Phases() {
		if p.Shortest < 0 || p.Longest < p.Shortest {
			t.Fatalf("phase %s is %s to %s in %s", p.Name, p.Shortest, p.Longest, describe(tl))
		}
	}
	want := w.outcome(l)
	if tl.Outcome != want {
		t.Fatalf("outcome %s, want %s: %s", tl.Outcome, want, describe(tl))
	}
	if want == Retired && pairingCertain && tl.Replacement != l.replacement.arn() {
		t.Fatalf("replacement %q, want %s: %s", tl.Replacement.ID(), l.replacement.id, describe(tl))
	}
}

// allSeen reports that the unhealthy row of every group was seen.
func allSeen(tl *Timeline, groups int) bool {
	seen := 0
	for _, target := range tl.Targets {
		if _, ok := find(target.Milestones, LBUnhealthy); ok {
			seen++
		}
	}
	return seen == groups
}

func (w *world) outcome(l *life) Outcome {
	switch {
	case !l.recovered.IsZero(), !l.lbRecovered.IsZero():
		return Recovered
	case strings.HasPrefix(l.reason, "Scaling"):
		return Superseded
	default:
		return Retired
	}
}

// checkWidths holds the promise of the polling interval: when every read
// succeeds, what is observed is known to within one of them.
func checkWidths(t *rapid.T, tl *Timeline, tight, behind time.Duration) {
	for _, m := range tl.Milestones {
		limit := tight
		switch {
		case m.Source == Estimated, m.Evidence == "not seen; ECS gave it as the reason for the stop":
			continue
		case tight > glance && strings.HasSuffix(m.Evidence, maybeAgain): // nobody can have watched closely
			continue
		case m.Kind == Onset:
			limit += DefaultSettings().ExitLag
		case m.Kind == Recovery && behind > 0: // it takes a reading that is certainly of after the last sick one
			limit += tight
		case m.Source == AWS:
			limit = 0
		}
		if m.Width() > limit {
			t.Fatalf("%s is %s wide, more than %s: %s", m.Kind, m.Width(), limit, describe(tl))
		}
		if m.Kind == Detach && m.By != ByECS {
			t.Fatalf("detached by %s: %s", m.By, describe(tl))
		}
	}
}

func describe(tl *Timeline) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s, %q, flaps %d, replacement %s)\n", tl.Task.ID(), tl.Trigger, tl.Outcome, tl.Flaps, tl.Replacement.ID())
	for _, m := range tl.Milestones {
		fmt.Fprintf(&b, "  %-20s %s … %s  %s by %s: %s\n", m.Kind, m.NotBefore.Format("15:04:05.000"), m.NotAfter.Format("15:04:05.000"), m.Source, m.By, m.Evidence)
	}
	return b.String()
}
