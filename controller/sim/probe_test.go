package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// turned is a verdict and when it came.
type turned struct {
	after   time.Duration
	verdict verdict
}

func (t turned) String() string { return fmt.Sprint(t.after, t.verdict) }

// stateAt is what the app does after a while, by a script of its changes.
type change struct {
	after time.Duration
	app   appState
	delay time.Duration // of each answer
}

func stateAt(script []change, after time.Duration) change {
	state := change{app: answering}
	for _, c := range script {
		if c.after <= after {
			state = c
		}
	}
	return state
}

// everyCheck is the slow, obvious way: it makes every single check.
func everyCheck(p probe, first time.Duration, settled bool, leniency, end time.Duration, script []change) []turned {
	var turns []turned
	state, passed, failed, ever := undecided, 0, 0, settled
	if settled {
		state = passing
	}
	for start := first; start <= end; {
		app := stateAt(script, start)
		took := p.took + app.delay
		if app.app == hung || app.delay > 0 && took >= p.timeout {
			took, app.app = p.timeout, hung
		}
		done := start + took
		if app.app == answering {
			passed, failed, ever = passed+1, 0, true
		} else if ever || done > leniency {
			passed, failed = 0, failed+1
		}
		now := state
		if passed >= p.passes {
			now = passing
		} else if failed >= p.fails {
			now = failing
		}
		if now != state && done <= end {
			turns = append(turns, turned{done, now})
		}
		state = now
		if p.fromEnd {
			start = done + p.interval
		} else {
			start = max(start+p.interval, done)
		}
	}
	return turns
}

// SAFETY: a probe that skips the checks which cannot change anything says the
// same, at the same instants, as one that makes them all.
func TestProbeSkipsOnlyWhatDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := func(lo, hi int, name string) time.Duration {
			return time.Duration(rapid.IntRange(lo, hi).Draw(t, name)) * time.Millisecond
		}
		r := New(Options{})
		start, end := r.now, 3*time.Minute
		p := probe{
			region: r, interval: ms(50, 10000, "interval"), timeout: ms(20, 12000, "timeout"), took: ms(1, 100, "took"),
			fromEnd: rapid.Bool().Draw(t, "fromEnd"), passes: rapid.IntRange(1, 3).Draw(t, "passes"), fails: rapid.IntRange(1, 3).Draw(t, "fails"),
		}
		leniency := ms(0, 20000, "leniency")
		p.leniency = start.Add(leniency)
		script := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) change {
			return change{
				time.Duration(rapid.IntRange(1, 180000).Draw(t, "after")) * time.Millisecond,
				rapid.SampledFrom([]appState{answering, refusing, hung}).Draw(t, "app"),
				time.Duration(rapid.SampledFrom([]int{0, 0, 1, 700, 5000}).Draw(t, "delay")) * time.Millisecond,
			}
		}), 0, 12).Draw(t, "script")
		slices.SortStableFunc(script, func(a, b change) int { return int(a.after - b.after) })
		settled := rapid.Bool().Draw(t, "settled")
		first := ms(0, 10000, "first")

		app, delay := answering, time.Duration(0)
		var got []turned
		p.try = func() finding { return finding{ok: app == answering, silent: app == hung, delay: delay} }
		p.turns = func(v verdict, _ finding) { got = append(got, turned{r.now.Sub(start), v}) }
		for _, c := range script {
			r.at(start.Add(c.after), func() { app, delay = c.app, c.delay; p.poke() })
		}
		if settled {
			p.settle(start.Add(first))
		} else {
			p.start(start.Add(first))
		}
		r.advanceTo(start.Add(end))
		if want := everyCheck(p, first, settled, leniency, end, script); !slices.Equal(got, want) {
			t.Fatalf("script %v\n got %v\nwant %v", script, got, want)
		}
	})
}

// A settled region is quiet: nothing is scheduled for what cannot change.
func TestSettledRegionIsQuiet(t *testing.T) {
	r := New(Options{})
	if err := r.AddCluster("prod", ClusterOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		spec := ReferenceWorkload("prod", fmt.Sprintf("s%d", i))
		spec.Desired = 20
		if err := r.AddService(spec); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.events); n != 0 {
		t.Errorf("%d events", n)
	}
}
