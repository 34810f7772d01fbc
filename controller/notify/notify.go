package notify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// State is what castoff knows after a pass. The zero one is that of a castoff
// that knows of nothing.
type State struct {
	At       time.Time
	Snapshot *fleet.Snapshot // may be nil
	Open     []*timeline.Timeline
	Verdicts []policy.Verdict
	// Detachments are the open ones, and then those that ended, newest first.
	Detachments []policy.Detachment
	Guards      policy.State
	Pauses      []policy.Pause
	Halts       []policy.Halt
	Denied      []policy.Denial
	Limits      func(fleet.ServiceID) policy.Limits // nil: there are none

	looked *lookup // see Looked
}

// Looked is the same State, looked through: what every Teller has to find in it is
// found once.
func (s State) Looked() State {
	if s.looked == nil {
		s.looked = s.look()
	}
	return s
}

// Rule is what one receiver wants to know.
type Rule struct {
	Events []Event
	// About reports that a service is of interest. It is asked with a cluster
	// alone about what concerns a whole cluster, and not about what concerns all.
	// Nil: everything is.
	About func(fleet.ServiceID) bool
	// ExposedFor is how long a target must have been exposed to be told of.
	ExposedFor time.Duration
}

// Notification is one thing to tell: one event of one service, or cluster, or of
// everything.
type Notification struct {
	// ID follows from what it is about alone.
	ID    string
	Event Event
	At    time.Time // when castoff knew
	// Service is zero for what concerns everything, and a cluster alone for what
	// concerns that.
	Service fleet.ServiceID
	// Targets are the first of those that it is about, Count is how many there are;
	// none for what stops castoff.
	Targets []Target
	Count   int
	// Since and Until are of what stops castoff; zero when not known. Sentence is
	// what there is to say about it.
	Since, Until time.Time
	Sentence     string
}

// Target is a target that a notification is about.
type Target struct {
	ID       string // as if the notification were about it alone
	Key      fleet.TargetKey
	Task     fleet.TaskARN
	Zone     string      // may be empty
	Timeline timeline.ID // empty: there is none
	Mode     policy.Mode
	Failing  time.Time // since when ECS is known to call its task UNHEALTHY; zero: not known
	// Since is when it began to be so: exposed, out; zero: not known. For is how
	// long that lasted, or has, as far as is known.
	Since time.Time
	For   time.Duration
	// Verdict is the last one about taking it out; zero when there is none.
	Verdict Verdict
	// Sentence is what was done about it, or what ended it.
	Sentence string
}

// Verdict is as much of a policy.Verdict as is told.
type Verdict struct {
	Mode     policy.Mode
	Decision policy.Decision
	Guard    policy.Guard
	Reason   policy.Reason
	Sentence string
}

// Result is what became of a notification.
type Result string

// The results.
const (
	Sent    Result = "sent"
	Failed  Result = "failed"  // refused, or not taken in time
	Dropped Result = "dropped" // not tried: the queue was full, or castoff stopped
)

// Results lists every result.
var Results = []Result{Sent, Failed, Dropped}

// Standing is how it stands with one receiver, without anything secret.
type Standing struct {
	Name string
	Kind Kind
	// Queued wait, the one that is being sent included. The others are counted
	// since castoff started.
	Queued, Sent, Failed, Dropped int
	LastSuccess, LastFailure      time.Time
	LastError                     string // of LastFailure
}

// Teller knows what one receiver has been told. It is for one goroutine.
type Teller struct {
	rule Rule
	held map[string]fact
	seen map[string]time.Time // exposures of which nobody knows since when: see lookup.unknown
}

// NewTeller makes the Teller of a receiver that has been told what held in the
// past: the State of an earlier castoff, as far as its journal has it.
func NewTeller(r Rule, past State) *Teller {
	t := &Teller{rule: r}
	t.held = t.facts(past.Looked())
	return t
}

// Next is what is to be told after a pass, in the order of Events, then of
// services.
func (t *Teller) Next(s State) []Notification {
	s = s.Looked()
	now := t.facts(s)
	var news []fact
	for _, place := range slices.Sorted(maps.Keys(now)) {
		if _, old := t.held[place]; !old {
			news = append(news, now[place])
		}
	}
	for _, place := range slices.Sorted(maps.Keys(t.held)) {
		if _, goesOn := now[place]; goesOn {
			continue
		}
		was := t.held[place]
		if was.unseen(s) {
			now[place] = was
		} else if over, ok := was.over(s); ok {
			news = append(news, over)
		}
	}
	t.held = now
	news = slices.DeleteFunc(news, func(f fact) bool { return !t.wants(f) })
	return group(news, s.At)
}

func (t *Teller) wants(f fact) bool {
	return slices.Contains(t.rule.Events, f.event) &&
		(t.rule.About == nil || f.service == fleet.ServiceID{} || t.rule.About(f.service))
}

// group makes one notification of all that is of one event and one service: when
// a hundred tasks fail at once nobody reads a hundred messages.
func group(news []fact, at time.Time) []Notification {
	slices.SortStableFunc(news, func(a, b fact) int {
		return cmp.Or(cmp.Compare(slices.Index(Events, a.event), slices.Index(Events, b.event)), a.service.Compare(b.service))
	})
	var ns []Notification
	var ids [][]string // of each one's targets, in the order of what they are about
	for _, f := range news {
		id := identity(f.event, f.mark)
		if f.target == nil {
			ns = append(ns, Notification{ID: id, Event: f.event, At: at, Service: f.service, Since: f.since, Until: f.until, Sentence: f.sentence})
			ids = append(ids, nil)
			continue
		}
		if last := len(ns) - 1; last < 0 || ns[last].Event != f.event || ns[last].Service != f.service {
			ns = append(ns, Notification{ID: id, Event: f.event, At: at, Service: f.service})
			ids = append(ids, nil)
		}
		n := &ns[len(ns)-1]
		ids[len(ns)-1] = append(ids[len(ns)-1], id)
		if n.Count++; n.Count <= targetsListed {
			target := *f.target
			target.ID = id
			n.Targets = append(n.Targets, target)
		}
	}
	for i := range ns {
		if ns[i].Count > 1 {
			ns[i].ID = identity(ns[i].Event, strings.Join(ids[i], " "))
		}
	}
	return ns
}

// identity is the id of what is said to be told apart by a mark.
func identity(e Event, mark string) string {
	sum := sha256.Sum256([]byte(string(e) + "\x00" + mark))
	return string(e) + "-" + hex.EncodeToString(sum[:12])
}

// Trial is what is sent to see whether a receiver is reached.
func Trial(now time.Time) Notification {
	return Notification{
		ID: identity(Test, now.UTC().Format(time.RFC3339Nano)), Event: Test, At: now,
		Sentence: "Somebody asked for it. Nothing has happened.",
	}
}
