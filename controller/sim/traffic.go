package sim

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Traffic is what clients do to a target group through its load balancer. It is
// reckoned, not drawn: flows are spread as the nodes spread them, so that counts
// are what is to be expected, and an hour of it costs nothing. The zero value
// is no traffic.
type Traffic struct {
	// Rate is how many new flows clients open, a second of AWS's.
	Rate float64
	// Streams is how many clients keep one long-lived connection each, as with
	// gRPC. It is pinned to its target until it is cut; then the client opens
	// another at once.
	Streams int
	// StreamLife is how long a client keeps a connection that nobody cuts, on
	// average; 0: for ever.
	StreamLife time.Duration
	// Patience is how long a client waits for an answer; 0: for as long as the app
	// takes.
	Patience time.Duration
}

// GroupFlows is what became of the flows to a group since clients began to open
// them.
type GroupFlows struct {
	Opened     float64 // new flows
	Unanswered float64 // those of them that got no answer: of a sick app, from an address where nobody was, or Nowhere
	Nowhere    float64 // those of them that reached a node without a target
	Gone       float64 // those of them sent to targets that are not told of any more
	Waiting    float64 // clients that have no target to keep their stream to
	FailOpen   bool    // somewhere so few targets are healthy that new flows go to all
	Zones      []string
	Targets    []TargetFlows // in the order of registration; also those that nodes have yet to forget
}

// TargetFlows is a target's part.
type TargetFlows struct {
	Key        fleet.TargetKey
	Task       fleet.TaskARN // who gets the flows now; empty: nobody
	Share      float64       // of the group's new flows, now
	Flows      float64       // new flows sent to it
	Unanswered float64       // those of them that got no answer
	Streams    float64       // pinned to it now
}

// SetTraffic has clients send traffic to a group from now on; what was counted
// before stays.
func (r *Region) SetTraffic(group fleet.TargetGroupARN, traffic Traffic) error {
	return r.change(func() error {
		g := r.groupARNs[group]
		if g == nil {
			return fmt.Errorf("set traffic of %s: no such target group", group)
		}
		if err := traffic.validate(); err != nil {
			return fmt.Errorf("set traffic of %s: %w", group, err)
		}
		g.send(traffic)
		return nil
	})
}

func (t Traffic) validate() error {
	if !(t.Rate >= 0) || math.IsInf(t.Rate, 0) || t.Streams < 0 || t.StreamLife < 0 || t.Patience < 0 {
		return fmt.Errorf("traffic %+v: nothing in it can be negative or endless", t)
	}
	return nil
}

// Flows tells what became of a group's flows so far.
func (r *Region) Flows(group fleet.TargetGroupARN) (GroupFlows, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	g := r.groupARNs[group]
	if g == nil {
		return GroupFlows{}, fmt.Errorf("flows of %s: no such target group", group)
	}
	g.settleFlows()
	if g.balancer != nil {
		for _, o := range g.balancer.groups { // their streams may come over
			o.settleFlows()
		}
	}
	f := g.flows
	f.Waiting = g.waiting
	for _, p := range g.reaches {
		f.FailOpen = f.FailOpen || p.failOpen && p.to > 0
	}
	if b := g.balancer; b != nil {
		for i, zone := range b.zones {
			if b.clients[i] {
				f.Zones = append(f.Zones, zone)
			}
		}
	}
	for _, l := range g.ways {
		t := TargetFlows{Key: l.key, Share: l.share, Flows: l.flows, Unanswered: l.unanswered, Streams: l.streams}
		if l.to != nil {
			t.Task = l.to.arn
		}
		f.Targets = append(f.Targets, t)
	}
	return f, nil
}

// send changes the group's traffic. Clients that are to keep a stream and have
// none open one; what are too many end theirs everywhere alike.
func (g *targetGroup) send(t Traffic) {
	g.settleFlows()
	more := float64(t.Streams - g.traffic.Streams)
	if was := float64(g.traffic.Streams); more < 0 && was > 0 {
		keep := float64(t.Streams) / was
		g.waiting *= keep
		for _, l := range g.ways {
			l.streams *= keep
		}
	} else {
		g.waiting += more
	}
	g.traffic = t
	for _, l := range g.ways {
		l.changed = true
	}
	g.route()
}

// handOver moves production traffic to another group, as a listener does that
// changes its default action: new flows at once, each stream when it ends.
func (g *targetGroup) handOver(to *targetGroup) {
	if g.traffic == (Traffic{}) || g.onward == to {
		return
	}
	g.settleFlows()
	to.settleFlows()
	to.traffic, g.traffic.Rate = g.traffic, 0
	for _, l := range to.ways {
		l.changed = true
	}
	g.onward, to.onward = to, nil
	g.reroute()
	to.reroute()
}

// detach takes a deleted group off its balancer: nothing is sent to it any more.
func (g *targetGroup) detach() {
	b := g.balancer
	if b == nil {
		return
	}
	g.settleFlows()
	for _, l := range g.ways {
		l.cut()
	}
	b.groups = slices.DeleteFunc(b.groups, func(o *targetGroup) bool { return o == g })
	b.listeners = slices.DeleteFunc(b.listeners, func(l *listener) bool { return l.forward() == g })
	g.balancer = nil
	g.reroute()
	for _, o := range b.groups {
		o.reroute()
	}
}

// settleFlows counts the flows up to now, which went where they did since the
// last time that they were routed.
func (g *targetGroup) settleFlows() {
	now := g.region.now
	passed := now.Sub(g.settled).Seconds() * g.region.speed
	g.settled = now
	if passed <= 0 {
		return
	}
	if n := g.traffic.Rate * passed; n > 0 && g.balancer != nil {
		g.flows.Opened += n
		g.flows.Nowhere += n * g.nowhere
		g.flows.Unanswered += n * g.nowhere
		for _, l := range g.ways {
			l.count(n * l.share)
		}
	}
	if g.traffic.Streams > 0 && g.traffic.StreamLife > 0 {
		g.renewStreams(1 - math.Exp(-passed/g.traffic.StreamLife.Seconds()))
	}
}

// count adds flows to a way, and to the record of the failing task that got
// them.
func (l *lane) count(n float64) {
	l.flows += n
	if l.answered || n == 0 {
		return
	}
	l.unanswered += n
	l.group.flows.Unanswered += n
	if f, i := l.failing(); f != nil {
		f.Targets[i].Flows += n
	}
}

// renewStreams ends a part of the streams; their clients connect again.
func (g *targetGroup) renewStreams(part float64) {
	for _, l := range g.ways {
		ended := l.streams * part
		l.streams -= ended
		g.waiting += ended
	}
	g.connectStreams()
}

// reset is cut by the balancer's nodes, which end every connection.
func (l *lane) reset() {
	l.cut()
	if r := l.group.region; r.runtime != nil {
		r.runtime.Nodes.Cut(l.key)
	}
}

// cut ends a way's streams all at once.
func (l *lane) cut() {
	l.group.waiting += l.streams
	l.streams = 0
}

// connectStreams has waiting clients connect wherever new flows go and a
// connection comes about.
func (g *targetGroup) connectStreams() {
	if to := g.onward; to != nil && g.waiting > 0 {
		to.settleFlows()
		to.waiting += g.waiting
		g.waiting = 0
		to.connectStreams()
		return
	}
	open := 0.0
	for _, l := range g.ways {
		if l.accepts {
			open += l.share
		}
	}
	if g.waiting == 0 || open == 0 {
		return
	}
	for _, l := range g.ways {
		if l.accepts {
			l.streams += g.waiting * l.share / open
		}
	}
	g.waiting = 0
}
