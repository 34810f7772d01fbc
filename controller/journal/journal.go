package journal

import (
	"errors"
	"sync"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// DefaultCalm is the default of [Options.Calm].
const DefaultCalm = 30 * time.Second

// Keep limits what has ended, timelines and detachments each: whichever limit
// is met first. Zero keeps none.
type Keep struct {
	Count int
	Age   time.Duration
}

// Options are the settings of a Journal.
type Options struct {
	Version string // of this castoff
	Keep    Keep
	// Calm is how often the times of readings are written while nothing else
	// changes; zero means DefaultCalm.
	Calm time.Duration
}

// Journal keeps what must outlive the process. It is safe for concurrent use.
type Journal struct {
	options Options

	mu       sync.Mutex
	store    store // nil once closed
	aside    []string
	wrote    string // the castoff that wrote last, before this one
	stamped  bool   // with this castoff's version
	tasks    seals[fleet.Task]
	groups   seals[fleet.TargetGroup]
	backlog  backlog
	ended    map[string]*shelf
	reckoned time.Time // State.At of the frame in the store
	// idle is the last State, when only its times were not written.
	idle *timeline.State
}

// Contents are all that a Journal knows.
type Contents struct {
	// Fresh: no pass was ever committed. The past is not known: there may be
	// targets that an earlier castoff took out.
	Fresh bool
	// Aside are damaged files that were kept beside this one, oldest first. They
	// stay until somebody removes them.
	Aside []string
	// Version is the castoff that wrote last; empty when Fresh.
	Version string

	Tracker     timeline.State
	Guards      policy.State
	Detachments []policy.Detachment // open, in the order in which they were decided
	// Ended are closed detachments and Closed closed timelines, newest first.
	Ended  []policy.Detachment
	Closed []*timeline.Timeline
}

// Pass is what one pass has to keep.
type Pass struct {
	Tracker timeline.State
	Guards  policy.State
	// Detachments are those that changed; it does no harm to pass others too.
	Detachments []policy.Detachment
	Closed      []*timeline.Timeline // in this pass
}

// Memory is a Journal without a file: it keeps its contract until the process
// ends, and it never fails. It is Fresh.
func Memory(o Options) *Journal { return newJournal(o, newMemory()) }

func newJournal(o Options, s store) *Journal {
	if o.Calm <= 0 {
		o.Calm = DefaultCalm
	}
	return &Journal{options: o, store: s, ended: map[string]*shelf{closedTimelines: {}, endedDetachments: {}}}
}

// Load reads everything. What it returns shares nothing with the Journal.
func (j *Journal) Load() (Contents, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.store == nil {
		return Contents{}, ErrClosed
	}
	return j.load()
}

// Commit keeps what a pass has found, in one transaction. After an error it
// keeps closed timelines and changed detachments in mind and writes them with
// the next Commit, so each is passed once; of the rest the next Pass has all.
func (j *Journal) Commit(p Pass) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.store == nil {
		return ErrClosed
	}
	j.backlog.add(p, j.options.Keep)
	b, err := j.draft(p)
	if err != nil {
		return err
	}
	if len(b.changes) == 0 && !j.due(p.Tracker.At) {
		j.backlog, j.idle = backlog{}, &p.Tracker
		return nil
	}
	if err := b.frame(p.Tracker); err != nil {
		return err
	}
	if err := j.write(b); err != nil {
		return err
	}
	j.backlog, j.idle, j.reckoned = backlog{}, nil, p.Tracker.At
	return nil
}

// due reports that the times of readings have gone unwritten for long enough.
// A clock that was set back is due at once.
func (j *Journal) due(at time.Time) bool {
	d := at.Sub(j.reckoned)
	return j.reckoned.IsZero() || d < 0 || d >= j.options.Calm
}

// Record keeps what is about to be done, before it is done: the detachments, and
// the State of the guards that has paid for them. Only after nil may the call be
// made.
func (j *Journal) Record(guards policy.State, detachments ...policy.Detachment) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.store == nil {
		return ErrClosed
	}
	b, err := j.intent(guards, detachments)
	if err != nil || len(b.changes) == 0 {
		return err
	}
	if err := j.write(b); err != nil {
		return err
	}
	for i := range detachments {
		delete(j.backlog.detachments, identity(&detachments[i])) // an earlier word on it
	}
	return nil
}

// Close writes what Commit has put off and closes the file. It may be called
// again.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.store == nil {
		return nil
	}
	err := j.settle()
	err = errors.Join(err, j.store.close())
	j.store = nil
	return err
}

// settle writes the times that were put off.
func (j *Journal) settle() error {
	if j.idle == nil {
		return nil
	}
	b := &batch{}
	if err := b.frame(*j.idle); err != nil {
		return err
	}
	return j.write(b)
}

// write makes the changes, all or none.
func (j *Journal) write(b *batch) error {
	if !j.stamped {
		if err := b.put(about, "castoff", j.options.Version); err != nil {
			return err
		}
	}
	if err := j.store.write(b.changes); err != nil {
		for _, s := range j.ended {
			s.counted = false // some of it may be there
		}
		return err
	}
	j.stamped = true
	for name, n := range b.grown {
		j.ended[name].count += n
	}
	return nil
}
