package sim

import (
	"math/rand/v2"
	"time"
)

// past is what an object looked like, for as long as a reply may still show it.
type past[T any] struct {
	states []state[T] // the oldest first
	dirty  bool
}

type state[T any] struct {
	at    time.Time
	value T
}

// add notes what the object looks like now, and forgets what no reply can show.
func (p *past[T]) add(at time.Time, value T, horizon time.Duration) {
	if last := len(p.states) - 1; last >= 0 && p.states[last].at.Equal(at) {
		p.states[last].value = value
		return
	}
	p.states = append(p.states, state[T]{at, value})
	old := 0
	for old+1 < len(p.states) && p.states[old+1].at.Before(at.Add(-horizon)) {
		old++
	}
	p.states = p.states[old:]
}

// asOf is what the object looked like at an instant; ok is false when there was
// no such thing yet.
func (p *past[T]) asOf(at time.Time) (value T, ok bool) {
	for i := len(p.states) - 1; i >= 0; i-- {
		if s := p.states[i]; !s.at.After(at) {
			return s.value, true
		}
	}
	return value, false
}

// replies is how old the region's replies are. With all ages 0 it keeps nothing.
//
// AWS says that its API is eventually consistent, not how far behind a reply may
// be: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
type replies struct {
	horizon  time.Duration // the greatest age that there is, the model's; 0: all replies are fresh
	rng      *rand.Rand    // apart from the model's own: who reads does not change the world
	tasks    []*task       // changed by the event that is being carried out
	services []*service
	groups   []*targetGroup
}

func newReplies(r *Region, seed uint64) replies {
	v := replies{rng: rand.New(rand.NewPCG(seed, 0x7265_706c_6965_73))}
	v.horizon = r.scale(r.params.ReplyAge.Max)
	for _, age := range r.params.ReplyAges {
		v.horizon = max(v.horizon, r.scale(age.Max))
	}
	return v
}

// asked is the instant that one reply to an operation, or its part about one
// object, tells of.
func (r *Region) asked(operation string) time.Time {
	if r.replies.horizon == 0 {
		return r.now
	}
	age, ok := r.params.ReplyAges[operation]
	if !ok {
		age = r.params.ReplyAge
	}
	if age.Max <= 0 {
		return r.now
	}
	return r.now.Add(-r.scale(drawFrom(r.replies.rng, age)))
}

// touch notes that replies about the task, and about its service, change.
func (t *task) touch() {
	v := &t.region.replies
	if v.horizon == 0 {
		return
	}
	if !t.past.dirty {
		t.past.dirty = true
		v.tasks = append(v.tasks, t)
	}
	if t.service != nil {
		t.service.touch()
	}
}

func (s *service) touch() {
	v := &s.region.replies
	if v.horizon == 0 || s.past.dirty {
		return
	}
	s.past.dirty = true
	v.services = append(v.services, s)
}

func (g *targetGroup) touch() {
	v := &g.region.replies
	if v.horizon == 0 || g.past.dirty {
		return
	}
	g.past.dirty = true
	v.groups = append(v.groups, g)
}

// remember takes down what the event just carried out has changed.
func (r *Region) remember(at time.Time) {
	v := &r.replies
	for _, t := range v.tasks {
		t.past.dirty = false
		t.past.add(at, t.json(), v.horizon)
	}
	for _, s := range v.services {
		s.past.dirty = false
		s.past.add(at, s.json(), v.horizon)
	}
	for _, g := range v.groups {
		g.past.dirty = false
		g.past.add(at, g.render(), v.horizon)
	}
	v.tasks, v.services, v.groups = v.tasks[:0], v.services[:0], v.groups[:0]
}

// shown is the task as a reply to an operation tells of it; ok is false when the
// reply is older than the task.
func (t *task) shown(at time.Time) (j taskJSON, ok bool) {
	if !at.Before(t.region.now) {
		return t.json(), true
	}
	return t.past.asOf(at)
}

func (s *service) shown(at time.Time) (j serviceJSON, ok bool) {
	if !at.Before(s.region.now) {
		return s.json(), true
	}
	return s.past.asOf(at)
}

// render is the group's rows as the API has them.
func (g *targetGroup) render() []rowXML {
	rows := make([]rowXML, len(g.order))
	for i, w := range g.order {
		rows[i] = w.xml(g)
	}
	return rows
}

// shown is the same as a reply tells of it: of a group that is younger than the
// reply, nothing.
func (g *targetGroup) shown(at time.Time) []rowXML {
	if !at.Before(g.region.now) {
		return g.render()
	}
	rows, _ := g.past.asOf(at)
	return rows
}
