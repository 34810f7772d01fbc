package sim

import (
	"math/rand/v2"
	"time"
)

// past is what replies tell of an object: what it looked like, for as long as a
// reply may still show it, and what it looks like now, made once for all replies
// until it changes.
type past[T any] struct {
	states []*state[T] // the oldest first
	dirty  bool        // the event that is being carried out has changed it
}

// state is what an object looked like from an instant on.
type state[T any] struct {
	at    time.Time
	value T
	wire  []byte // the value as text, once a reply had it; nobody changes it
}

// text is the state as it goes onto the wire.
func (s *state[T]) text(encode func(T) []byte) []byte {
	if s.wire == nil {
		s.wire = encode(s.value)
	}
	return s.wire
}

// add notes what the object looks like now, and forgets what no reply can show.
func (p *past[T]) add(at time.Time, value T, horizon time.Duration) {
	if last := len(p.states) - 1; last >= 0 && p.states[last].at.Equal(at) {
		p.states[last] = &state[T]{at: at, value: value}
		return
	}
	p.states = append(p.states, &state[T]{at: at, value: value})
	old := 0
	for old+1 < len(p.states) && p.states[old+1].at.Before(at.Add(-horizon)) {
		old++
	}
	p.states = p.states[old:]
}

// asOf is what the object looked like at an instant; nil when there was no such
// thing yet.
func (p *past[T]) asOf(at time.Time) *state[T] {
	for i := len(p.states) - 1; i >= 0; i-- {
		if s := p.states[i]; !s.at.After(at) {
			return s
		}
	}
	return nil
}

// changed follows an event that has changed the object.
func (p *past[T]) changed(at time.Time, value func() T, horizon time.Duration) {
	p.dirty = false
	if horizon == 0 {
		p.states = p.states[:0] // nobody may ask before it changes again
		return
	}
	p.add(at, value(), horizon)
}

// shown is what a reply of an instant tells of the object; nil when the reply is
// older than it.
func (p *past[T]) shown(at, now time.Time, value func() T, horizon time.Duration) *state[T] {
	switch {
	case at.Before(now):
		return p.asOf(at)
	case p.dirty || horizon > 0 && len(p.states) == 0:
		return &state[T]{at: now, value: value()} // it goes on changing, or has no past to be kept with
	case len(p.states) == 0:
		p.states = append(p.states, &state[T]{at: now, value: value()})
	}
	return p.states[len(p.states)-1]
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
	if !t.past.dirty {
		t.past.dirty = true
		v := &t.region.replies
		v.tasks = append(v.tasks, t)
	}
	if t.service != nil {
		t.service.touch()
	}
}

func (s *service) touch() {
	if !s.past.dirty {
		s.past.dirty = true
		v := &s.region.replies
		v.services = append(v.services, s)
	}
}

func (g *targetGroup) touch() {
	if !g.past.dirty {
		g.past.dirty = true
		v := &g.region.replies
		v.groups = append(v.groups, g)
	}
}

// remember takes down what the event just carried out has changed.
func (r *Region) remember(at time.Time) {
	v := &r.replies
	for _, t := range v.tasks {
		t.past.changed(at, t.json, v.horizon)
	}
	for _, s := range v.services {
		s.past.changed(at, s.json, v.horizon)
	}
	for _, g := range v.groups {
		g.past.changed(at, g.render, v.horizon)
	}
	v.tasks, v.services, v.groups = v.tasks[:0], v.services[:0], v.groups[:0]
}

// shown is the task as a reply to an operation tells of it; nil when the reply is
// older than the task.
func (t *task) shown(at time.Time) *state[taskJSON] {
	return t.past.shown(at, t.region.now, t.json, t.region.replies.horizon)
}

func (s *service) shown(at time.Time) *state[serviceJSON] {
	return s.past.shown(at, s.region.now, s.json, s.region.replies.horizon)
}

// shown is the group's rows as a reply tells of them; nil when the group is
// younger than the reply.
func (g *targetGroup) shown(at time.Time) *state[[]rowXML] {
	return g.past.shown(at, g.region.now, g.render, g.region.replies.horizon)
}

// render is the group's rows as the API has them.
func (g *targetGroup) render() []rowXML {
	rows := make([]rowXML, len(g.order))
	for i, w := range g.order {
		rows[i] = w.xml(g)
	}
	return rows
}
