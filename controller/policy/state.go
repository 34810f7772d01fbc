package policy

import (
	"cmp"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// State is what the guards remember from call to call and over restarts. It is
// plain data: its JSON holds all of it, and equal States encode equally. The
// zero State remembers nothing.
//
// When this process started, and whether a pass has panicked, is no part of it:
// a restart begins the startup window anew.
type State struct {
	Watches  []Watch   `json:"watches,omitempty"`  // sorted by task
	Failures []Failure `json:"failures,omitempty"` // sorted by service, then task
	Latches  []Latch   `json:"latches,omitempty"`  // sorted by service; the fleet's first
	Buckets  []Bucket  `json:"buckets,omitempty"`  // sorted by mode, then service
}

// Watch is what the readings of one task add up to.
type Watch struct {
	Task    fleet.TaskARN   `json:"task"`
	Service fleet.ServiceID `json:"service"`
	// Read is the newest reading that has been counted, by its earliest instant.
	Read time.Time `json:"read"`
	// Sick is when the first of the latest readings in a row that show a
	// container check failing was received, Reads how many they are; zero when
	// the newest does not.
	Sick  time.Time `json:"sick,omitzero"`
	Reads int       `json:"reads,omitempty"`
	// Well is when the first of the latest readings in a row that show every
	// check passing was received; zero when the newest does not.
	Well time.Time `json:"well,omitzero"`
	// Flaps counts how often the task was well and failed again.
	Flaps int `json:"flaps,omitempty"`
}

// Failure is a task that failed, kept to tell whether replacements do better.
type Failure struct {
	Service   fleet.ServiceID `json:"service"`
	Task      fleet.TaskARN   `json:"task"`
	StartedBy string          `json:"started_by,omitempty"`
	Created   time.Time       `json:"created"`
	Seen      time.Time       `json:"seen"` // when the reading that first showed it was sent
}

// Latch keeps all acting on a service, or on the fleet, shut after too many
// failed at once.
type Latch struct {
	Service fleet.ServiceID `json:"service,omitzero"` // zero: the fleet
	Since   time.Time       `json:"since"`
	Until   time.Time       `json:"until"` // moves on for as long as it lasts
	Failing int             `json:"failing"`
	Of      int             `json:"of"`
}

// Bucket is a token bucket in one instant: the one from which on it is full.
type Bucket struct {
	Mode    Mode            `json:"mode"`
	Service fleet.ServiceID `json:"service,omitzero"` // zero: the fleet
	Full    time.Time       `json:"full"`
}

// clone copies the State so that neither copy's changes show in the other.
func (s State) clone() State {
	return State{
		Watches:  slices.Clone(s.Watches),
		Failures: slices.Clone(s.Failures),
		Latches:  slices.Clone(s.Latches),
		Buckets:  slices.Clone(s.Buckets),
	}
}

// watch finds a task's; nil when there is none.
func (s *State) watch(task fleet.TaskARN) *Watch {
	i, ok := slices.BinarySearchFunc(s.Watches, task, func(w Watch, t fleet.TaskARN) int { return cmp.Compare(w.Task, t) })
	if !ok {
		return nil
	}
	return &s.Watches[i]
}

// latch finds a service's, or with the zero id the fleet's; nil when it is open.
func (s *State) latch(id fleet.ServiceID) *Latch {
	i, ok := slices.BinarySearchFunc(s.Latches, id, func(l Latch, id fleet.ServiceID) int { return l.Service.Compare(id) })
	if !ok {
		return nil
	}
	return &s.Latches[i]
}

// failures are a service's.
func (s *State) failures(id fleet.ServiceID) []Failure {
	from, _ := slices.BinarySearchFunc(s.Failures, id, func(f Failure, id fleet.ServiceID) int { return f.Service.Compare(id) })
	to := from
	for to < len(s.Failures) && s.Failures[to].Service == id {
		to++
	}
	return s.Failures[from:to]
}

// full is when a bucket will be, now when it is. A clock that was set
// back must not empty it for longer than it takes to fill.
func (s *State) full(mode Mode, id fleet.ServiceID, r RateLimits, now time.Time) time.Time {
	i, ok := slices.BinarySearchFunc(s.Buckets, Bucket{Mode: mode, Service: id}, Bucket.compare)
	if !ok {
		return now
	}
	at := s.Buckets[i].Full
	if at.Before(now) {
		return now
	}
	if latest := now.Add(time.Duration(r.Burst) * r.every()); at.After(latest) {
		return latest
	}
	return at
}

// taken is how many tokens of a bucket are not there now.
func (s *State) taken(mode Mode, id fleet.ServiceID, r RateLimits, now time.Time) int {
	every := r.every()
	if every <= 0 {
		return 0 // it makes no sense
	}
	return int((s.full(mode, id, r, now).Sub(now) + every - 1) / every)
}

// take takes a token.
func (s *State) take(mode Mode, id fleet.ServiceID, r RateLimits, now time.Time) {
	b := Bucket{Mode: mode, Service: id, Full: s.full(mode, id, r, now).Add(r.every())}
	i, ok := slices.BinarySearchFunc(s.Buckets, b, Bucket.compare)
	if !ok {
		s.Buckets = slices.Insert(s.Buckets, i, b)
	}
	s.Buckets[i] = b
}

// next is when there is a token again; not after now when there is one.
func (s *State) next(mode Mode, id fleet.ServiceID, r RateLimits, now time.Time) time.Time {
	return s.full(mode, id, r, now).Add(-time.Duration(r.Burst-1) * r.every())
}

func (b Bucket) compare(other Bucket) int {
	return cmp.Or(cmp.Compare(b.Mode, other.Mode), b.Service.Compare(other.Service))
}

func (f Failure) compare(other Failure) int {
	return cmp.Or(f.Service.Compare(other.Service), cmp.Compare(f.Task, other.Task))
}
