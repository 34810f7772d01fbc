package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// The journal holds what it was given, over closing and opening, on disk and in
// memory, whatever the order of calls: against a journal that keeps it all in
// lists.
func TestSafetyNothingIsLost(t *testing.T) {
	for _, kind := range []string{"memory", "disk"} {
		t.Run(kind, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				o := Options{Version: "1.0.0", Keep: Keep{Count: rapid.IntRange(1, 6).Draw(rt, "count"), Age: time.Duration(rapid.IntRange(1, 120).Draw(rt, "age")) * time.Second}}
				dir := ""
				j := Memory(o)
				if kind == "disk" {
					dir = t.TempDir()
					j = open(t, dir, o)
				}
				defer func() { must(t, j.Close()) }()
				w, m := newWorld(rapid.Uint64().Draw(rt, "seed"), 3), newModel(o.Keep)
				for range rapid.IntRange(1, 25).Draw(rt, "calls") {
					switch rapid.IntRange(0, 9).Draw(rt, "call") {
					case 0:
						if dir != "" {
							must(t, j.Close())
							j = open(t, dir, o)
						}
					case 1, 2:
						s, ds := w.detach()
						must(t, j.Record(s, ds...))
						m.record(s, ds)
					case 3: // the clock is set back
						w.now = w.now.Add(-time.Minute)
					default:
						p := w.pass(time.Duration(rapid.IntRange(0, 40).Draw(rt, "after")) * time.Second)
						must(t, j.Commit(p))
						m.commit(p)
					}
					if got, want := loaded(t, j), m.text(t); got != want {
						rt.Fatal(difference(got, want))
					}
				}
			})
		})
	}
}

// open opens without syncing: only a power cut would tell.
func open(t testing.TB, dir string, o Options) *Journal {
	t.Helper()
	s := current()
	s.noSync = true
	j, err := s.open(dir, o)
	must(t, err)
	return j
}

// In a calm fleet the times of readings are written every Options.Calm and when
// castoff stops, not with every pass.
func TestCalm(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, wide)
	w := newWorld(1, 3)
	commit := func(after time.Duration) { w.now = w.now.Add(after); must(t, j.Commit(Pass{Tracker: w.state()})) }
	at := func() time.Duration {
		c, err := j.Load()
		must(t, err)
		return c.Tracker.At.Sub(epoch)
	}
	for _, step := range []struct {
		after, written time.Duration
		why            string
	}{
		{5 * time.Second, 5 * time.Second, "the first pass is written"},
		{5 * time.Second, 5 * time.Second, "only times have moved"},
		{24 * time.Second, 5 * time.Second, "only times have moved"},
		{time.Second, 35 * time.Second, "30 s have gone by"},
		{-10 * time.Second, 25 * time.Second, "the clock was set back"},
		{5 * time.Second, 25 * time.Second, "only times have moved"},
	} {
		commit(step.after)
		if got := at(); got != step.written {
			t.Errorf("%s after the start %s is written, want %s: %s", w.now.Sub(epoch), got, step.written, step.why)
		}
	}
	w.failing[1] = w.now
	commit(time.Second)
	if got := at(); got != 31*time.Second {
		t.Errorf("a task fails, and %s is written", got)
	}
	clear(w.failing)
	commit(time.Second)
	commit(2 * time.Second)
	must(t, j.Close())
	j = open(t, dir, wide)
	if got := at(); got != 34*time.Second {
		t.Errorf("closed after 34 s, and %s is written", got)
	}
	must(t, j.Close())
}

// A service with a failing task is read every few seconds, and mostly says the
// same again: then no task and no group is written.
func TestSameReadingIsNotWritten(t *testing.T) {
	j := Memory(wide)
	w := newWorld(1, 50)
	w.failing[1] = w.now
	must(t, j.Commit(Pass{Tracker: w.state()}))
	w.now = w.now.Add(2 * time.Second)
	b, err := j.draft(Pass{Tracker: w.state()})
	must(t, err)
	for _, c := range b.changes {
		if c.bucket == tasks || c.bucket == groups {
			t.Errorf("%s of %s would be written", c.key, c.bucket)
		}
	}
}

// An open detachment that a pass does not speak of stays.
func TestSafetySilenceIsNoEnd(t *testing.T) {
	j := Memory(wide)
	w := newWorld(1, 3)
	w.failing[1] = w.now
	s, ds := w.detach()
	must(t, j.Record(s, ds...))
	w.now = w.now.Add(time.Hour)
	must(t, j.Commit(Pass{Tracker: w.state()}))
	c, err := j.Load()
	must(t, err)
	if len(c.Detachments) != 1 || c.Detachments[0].Task != ds[0].Task {
		t.Errorf("detachments %v", c.Detachments)
	}
}

// What was closed in a pass that could not be written is written with the next,
// and a newer word on a detachment is not undone.
func TestBacklog(t *testing.T) {
	disk := &failing{memory: newMemory()}
	j := newJournal(wide, disk)
	w := newWorld(3, 3)
	m := newModel(wide.Keep)
	w.failing[1] = w.now
	s, ds := w.detach()
	must(t, j.Record(s, ds...))
	m.record(s, ds)
	disk.err = ErrUnwritable
	var closed int
	for range 20 {
		p := w.pass(time.Second)
		closed += len(p.Closed)
		if err := j.Commit(p); !errors.Is(err, ErrUnwritable) {
			t.Fatalf("Commit: %v", err)
		}
		m.commit(p)
		if s, ds := w.detach(); len(ds) > 0 {
			if err := j.Record(s, ds...); !errors.Is(err, ErrUnwritable) {
				t.Fatalf("Record: %v", err)
			}
			for n, d := range w.detachments { // it was not done
				if d.Task == ds[0].Task {
					delete(w.detachments, n)
				}
			}
		}
	}
	if closed < 3 {
		t.Fatalf("only %d closed: no test", closed)
	}
	disk.err = nil
	if s, ds := w.detach(); len(ds) > 0 {
		must(t, j.Record(s, ds...))
		m.record(s, ds)
	}
	p := w.pass(time.Second)
	must(t, j.Commit(p))
	m.commit(p)
	if got, want := loaded(t, j), m.text(t); got != want {
		t.Error(difference(got, want))
	}
}

// A word on a detachment that could not be written does not undo a later one.
func TestSafetyBacklogIsOlderThanRecord(t *testing.T) {
	disk := &failing{memory: newMemory()}
	j := newJournal(wide, disk)
	w := newWorld(1, 3)
	w.failing[1] = w.now
	_, ds := w.detach()
	disk.err = ErrUnwritable
	older, newer := ds[0], ds[0].Call(w.now.Add(time.Second), w.now.Add(time.Second), policy.Accepted)
	if err := j.Commit(Pass{Tracker: w.state(), Detachments: []policy.Detachment{older}}); !errors.Is(err, ErrUnwritable) {
		t.Fatalf("Commit: %v", err)
	}
	disk.err = nil
	must(t, j.Record(w.guards(), newer))
	must(t, j.Commit(Pass{Tracker: w.state()}))
	c, err := j.Load()
	must(t, err)
	if len(c.Detachments) != 1 || c.Detachments[0].Tries != 1 {
		t.Errorf("detachments %+v", c.Detachments)
	}
}

// What a pass has closed is not forgotten where not even the store can be read to
// compare it with.
func TestBacklogOfAPassThatCannotBeCompared(t *testing.T) {
	disk := &failing{memory: newMemory()}
	j := newJournal(wide, disk)
	w, m := newWorld(3, 3), newModel(wide.Keep)
	disk.deaf = errPanic
	for range 20 {
		p := w.pass(time.Second)
		if err := j.Commit(p); !errors.Is(err, ErrUnwritable) {
			t.Fatalf("Commit: %v", err)
		}
		m.commit(p)
	}
	disk.deaf = nil
	p := w.pass(time.Second)
	must(t, j.Commit(p))
	m.commit(p)
	if got, want := loaded(t, j), m.text(t); got != want {
		t.Error(difference(got, want))
	}
	if len(m.contents.Closed) < 2 {
		t.Error("none closed: no test")
	}
}

// Of a write that failed all may be there: no more is kept for that than was asked for.
func TestSafetyFailedWriteIsCounted(t *testing.T) {
	disk := &failing{memory: newMemory()}
	j := newJournal(Options{Keep: Keep{Count: 3, Age: time.Hour}}, disk)
	w := newWorld(1, 3)
	commit := func(of ...int) error {
		var closed []*timeline.Timeline
		for _, n := range of {
			tl := w.timeline(n, epoch)
			tl.Closed = epoch.Add(time.Duration(n) * time.Second)
			closed = append(closed, tl)
		}
		return j.Commit(Pass{Tracker: timeline.State{At: epoch}, Closed: closed})
	}
	must(t, commit())
	disk.err, disk.late = ErrUnwritable, true
	if err := commit(1, 2, 3); !errors.Is(err, ErrUnwritable) {
		t.Fatalf("Commit: %v", err)
	}
	disk.err = nil
	must(t, commit(4, 5))
	c, err := j.Load()
	must(t, err)
	if len(c.Closed) != 3 {
		t.Errorf("%d closed timelines are kept, want 3", len(c.Closed))
	}
}

// failing is a memory that can be full.
type failing struct {
	memory
	err  error
	late bool  // err comes after all has been written
	deaf error // of reads
}

func (f *failing) write(cs []change) error {
	if f.err == nil || f.late {
		return errors.Join(f.memory.write(cs), f.err)
	}
	return f.err
}

func (f *failing) read(fn func(view) error) error {
	if f.deaf != nil {
		return f.deaf
	}
	return f.memory.read(fn)
}

// A limit that was lowered is met over several passes, the oldest first.
func TestKeepLess(t *testing.T) {
	j := Memory(Options{Keep: Keep{Count: 5000, Age: time.Hour}})
	var all []*timeline.Timeline
	w := newWorld(1, 3)
	for n := range 2500 {
		tl := w.timeline(n, epoch)
		tl.Closed = epoch.Add(time.Duration(n) * time.Millisecond)
		all = append(all, tl)
	}
	must(t, j.Commit(Pass{Tracker: timeline.State{At: epoch}, Closed: all}))
	j.options.Keep.Count = 100
	last := w.timeline(2500, epoch)
	last.Closed = epoch.Add(2500 * time.Millisecond)
	more := []*timeline.Timeline{last} // what ends meanwhile is kept
	for _, want := range []int{1501, 501, 100, 100} {
		must(t, j.Commit(Pass{Tracker: timeline.State{At: epoch}, Closed: more}))
		more = nil
		c, err := j.Load()
		must(t, err)
		if len(c.Closed) != want {
			t.Fatalf("%d closed timelines, want %d", len(c.Closed), want)
		}
		if c.Closed[0].ID != last.ID {
			t.Errorf("the newest is %s, want %s", c.Closed[0].ID, last.ID)
		}
	}
	j.options.Keep.Count = 200
	must(t, j.Commit(Pass{Tracker: timeline.State{At: epoch.Add(time.Hour + time.Second)}, Closed: all[:1]}))
	if c, err := j.Load(); err != nil || len(c.Closed) != 100 || c.Closed[99].ID == all[0].ID {
		t.Errorf("%d closed timelines after one that is too old, %v", len(c.Closed), err)
	}
	j.options.Keep = Keep{}
	must(t, j.Commit(Pass{Tracker: timeline.State{At: epoch}, Closed: all[:1]}))
	if c, err := j.Load(); err != nil || len(c.Closed) != 0 {
		t.Errorf("%d closed timelines where none are kept, %v", len(c.Closed), err)
	}
}

// What the journal has already is not written again: each write costs two flushes of the
// disk, and a call waits for it.
func TestRecordOfWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, wide)
	image := func() []byte {
		b, err := os.ReadFile(filepath.Join(dir, fileName))
		must(t, err)
		return b
	}
	fresh := image()
	state, ds := newWorld(1, 2).detach()
	must(t, j.Record(state, ds...))
	once := image()
	must(t, j.Record(state, ds...))
	if bytes.Equal(fresh, once) || !bytes.Equal(once, image()) {
		t.Errorf("written the first time: %v, and not the second: %v", !bytes.Equal(fresh, once), bytes.Equal(once, image()))
	}
}

// Calling again does no harm, and a closed journal says that it is.
func TestClosed(t *testing.T) {
	j := open(t, t.TempDir(), wide)
	must(t, j.Close())
	must(t, j.Close())
	_, err := j.Load()
	for _, err := range []error{err, j.Commit(Pass{}), j.Record(policy.State{})} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("closed, and answers %v", err)
		}
	}
}

// Keys sort as what they stand for does.
func TestInstantSorts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		at := func(name string) time.Time {
			return time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(rt, name), rapid.Int64Range(0, 999_999_999).Draw(rt, name+"ns"))
		}
		times := []time.Time{at("a"), at("b"), {}}
		keys := []string{instant(times[0]), instant(times[1]), instant(times[2])}
		slices.SortFunc(times, time.Time.Compare)
		slices.Sort(keys)
		for i := range times {
			if keys[i] != instant(times[i]) {
				rt.Fatalf("%v sorts elsewhere", times[i])
			}
		}
	})
}

// However many end in one pass, the newest are kept.
func TestManyEndInOnePass(t *testing.T) {
	j := Memory(Options{Keep: Keep{Count: 2, Age: time.Hour}})
	w := newWorld(1, 3)
	w.failing[1] = w.now
	_, ds := w.detach()
	var ended []policy.Detachment
	for n := range 5 {
		d := ds[0]
		d.Decided = d.Decided.Add(time.Duration(n) * time.Second)
		d.Progress, d.Outcome, d.Ended = policy.Closed, policy.Recovered, d.Decided.Add(time.Minute)
		ended = append(ended, d)
	}
	must(t, j.Commit(Pass{Tracker: timeline.State{At: w.now}, Detachments: ended}))
	c, err := j.Load()
	must(t, err)
	if len(c.Ended) != 2 || !c.Ended[0].Ended.Equal(ended[4].Ended) || !c.Ended[1].Ended.Equal(ended[3].Ended) {
		t.Errorf("kept %+v", c.Ended)
	}
}

// The castoff that wrote last is known by its first write on.
func TestVersionOfTheFirstWrite(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"1.0.0", "1.1.0"} {
		j := open(t, dir, Options{Version: version, Keep: wide.Keep})
		must(t, j.Record(newWorld(1, 3).guards(), policy.Detachment{Decided: epoch, Task: taskARN(len(version)), Mode: policy.Mode(version)}))
		must(t, j.Close())
		j = open(t, dir, wide)
		if c, err := j.Load(); err != nil || c.Version != version {
			t.Errorf("version %q, want %q, %v", c.Version, version, err)
		}
		must(t, j.Close())
	}
}

// A frame that does not fit what it dates is none.
func TestFrameThatDoesNotFit(t *testing.T) {
	for name, f := range map[string]frame{
		"no times":                {},
		"a task's is missing":     {Reads: make([]fleet.Read, 1), Tasks: []int{0, 0, 1}, Groups: [][2]int{{0, 0}}},
		"a group's is missing":    {Reads: make([]fleet.Read, 1), Tasks: []int{0, 0, 0}, Groups: [][2]int{{0, 1}}},
		"one of before the first": {Reads: make([]fleet.Read, 1), Tasks: []int{0, 0, -1}, Groups: [][2]int{{0, 0}}},
		"those of two groups":     {Reads: make([]fleet.Read, 1), Tasks: []int{0, 0, 0}, Groups: [][2]int{{0, 0}, {0, 0}}},
	} {
		j := Memory(wide)
		w := newWorld(1, 3)
		w.failing[1] = w.now
		must(t, j.Commit(Pass{Tracker: w.state()}))
		if _, err := j.Load(); err != nil {
			t.Fatal(err)
		}
		sealed, err := seal(tracker, "frame", f)
		must(t, err)
		must(t, j.store.write([]change{{tracker, "frame", sealed}}))
		var bad *recordError
		if _, err := j.Load(); !errors.As(err, &bad) || bad.bucket != tracker {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Either limit of none keeps none.
func TestKeepNone(t *testing.T) {
	for _, keep := range []Keep{{Count: 5}, {Age: time.Hour}, {}} {
		j := Memory(Options{Keep: keep})
		w := newWorld(1, 3)
		tl := w.timeline(1, epoch)
		tl.Closed = epoch
		must(t, j.Commit(Pass{Tracker: timeline.State{At: epoch}, Closed: []*timeline.Timeline{tl}}))
		if c, err := j.Load(); err != nil || len(c.Closed) != 0 {
			t.Errorf("%+v: %d are kept, %v", keep, len(c.Closed), err)
		}
	}
}

// All that is about to be done is written down, not the first of it.
func TestSeveralIntentsAreRecorded(t *testing.T) {
	j := Memory(wide)
	w := newWorld(1, 3)
	w.failing[1] = w.now
	_, ds := w.detach()
	second := ds[0]
	second.Task = taskARN(2)
	must(t, j.Record(w.guards(), ds[0], second))
	c, err := j.Load()
	must(t, err)
	if len(c.Detachments) != 2 {
		t.Errorf("recorded %+v", c.Detachments)
	}
}

// What is told twice is one, and takes the place of no other.
func TestToldTwiceIsOne(t *testing.T) {
	j := Memory(Options{Keep: Keep{Count: 3, Age: time.Hour}})
	w := newWorld(1, 3)
	var closed []*timeline.Timeline
	for _, n := range []int{1, 2, 2} {
		tl := w.timeline(n, epoch)
		tl.Closed = epoch.Add(time.Duration(n) * time.Second)
		closed = append(closed, tl)
	}
	must(t, j.Commit(Pass{Tracker: timeline.State{At: epoch}, Closed: closed}))
	j.options.Keep.Count = 2
	must(t, j.Commit(Pass{Tracker: timeline.State{At: epoch.Add(time.Hour / 2)}}))
	if c, err := j.Load(); err != nil || len(c.Closed) != 2 {
		t.Errorf("%d are kept, %v", len(c.Closed), err)
	}
}
