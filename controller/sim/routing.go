package sim

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// lane is the way of new flows to one target: what the balancer's nodes do,
// which comes later than what its API says, and so may outlive the target's row.
// Whoever has the address gets the flows.
type lane struct {
	group *targetGroup
	key   fleet.TargetKey
	zone  string
	row   *row // the target's; nil once it is gone

	goodUntil  time.Time // nodes go on taking it for healthy, after it no longer is
	thereUntil time.Time // nodes go on taking it for registered, after it no longer is

	changed bool // whoever has the address may be another, or do something else
	index   int  // of the group among those of the task that has the address; -1: it is not

	// As of the last time that the group's flows were routed:
	share    float64   // of the group's new flows
	had      float64   // the same the time before
	to       *task     // who gets them; nil: nobody
	accepts  bool      // a connection comes about
	answered bool      // and requests on it are answered
	until    time.Time // see ends

	flows      float64 // new flows that it was the way of
	unanswered float64 // those of them that found an app that does not answer, or nobody
	streams    float64 // long-lived ones pinned to it
}

func (l *lane) good(now time.Time) bool {
	return l.row != nil && l.row.state == fleet.TargetHealthy || now.Before(l.goodUntil)
}

func (l *lane) there(now time.Time) bool {
	return l.row != nil && !l.row.draining() && l.row.state != fleet.TargetUnused || now.Before(l.thereUntil)
}

// reach is the targets that a node chooses from: those of its zone, or with
// cross-zone load balancing those of all zones.
type reach struct {
	zone       string // empty: all
	healthy    int
	registered int
	failOpen   bool // so few are healthy that new flows go to all
	outOfDNS   bool // so few that DNS stops giving the zone's address
	to         int  // targets that flows go to
}

// lane is the target's, new or as the nodes still have it from before.
func (g *targetGroup) lane(w *row) *lane {
	l := g.lanes[w.key]
	if l == nil {
		l = &lane{group: g, key: w.key}
		g.lanes[w.key] = l
		g.ways = append(g.ways, l)
		r := g.region
		if list := r.routed[w.key.ID]; !slices.Contains(list, g) {
			r.routed[w.key.ID] = append(list, g)
		}
	}
	l.row, l.zone, l.changed = w, w.zone, true
	return l
}

// closeLane forgets a way that leads nowhere any more.
func (g *targetGroup) closeLane(l *lane) {
	r := g.region
	g.flows.Gone += l.flows
	delete(g.lanes, l.key)
	g.ways = slices.DeleteFunc(g.ways, func(o *lane) bool { return o == l })
	if slices.ContainsFunc(g.ways, func(o *lane) bool { return o.key.ID == l.key.ID }) {
		return
	}
	if r.routed[l.key.ID] = slices.DeleteFunc(r.routed[l.key.ID], func(o *targetGroup) bool { return o == g }); len(r.routed[l.key.ID]) == 0 {
		delete(r.routed, l.key.ID)
	}
}

// unwell has the nodes hear, after a while, that a target has failed its checks.
// To be called before its row says so.
func (l *lane) unwell(lag time.Duration) {
	if r := l.group.region; l.good(r.now) {
		l.goodUntil = r.now.Add(lag)
		r.at(l.goodUntil, l.group.reroute)
	}
}

// leaves has the nodes hear, after a while, that a target is deregistered: one
// that gets no flows gets none in that time either. To be called before its row
// says so.
func (l *lane) leaves(lag time.Duration) {
	r := l.group.region
	heard := r.now.Add(lag)
	switch {
	case l.row.state == fleet.TargetInitial: // what flows to it come from an earlier registration, as does their end
	case l.row.state == fleet.TargetHealthy || l.goodUntil.After(heard):
		l.goodUntil = heard
	}
	if (l.share > 0 || l.good(r.now)) && !r.now.Before(l.thereUntil) { // else they will have heard it before already
		l.thereUntil = heard
		r.at(heard, l.group.reroute)
	}
}

// ends is when the flows on a way that has some will end, if nothing happens
// before; zero when they will not.
func (l *lane) ends() time.Time {
	now := l.group.region.now
	switch p := l.group.reachOf(l.zone); {
	case l.row != nil && l.row.state == fleet.TargetHealthy:
		return time.Time{}
	case !p.failOpen && l.good(now):
		return l.goodUntil
	case l.row != nil && !l.row.draining():
		return time.Time{}
	}
	return l.thereUntil
}

// reroute has new flows go where they are to go from now on. To be called after
// any change of a row, of what the nodes know, or of a task that flows may reach.
// It is done once for all changes of an instant: a thousand targets of one group
// may fail together.
func (g *targetGroup) reroute() {
	if g.rerouting {
		return
	}
	g.rerouting = true
	g.region.at(g.region.now, func() {
		g.rerouting = false
		g.route()
	})
}

// route works out where new flows go.
func (g *targetGroup) route() {
	g.settleFlows()
	g.fillReaches()
	b, now := g.balancer, g.region.now
	for _, l := range g.ways {
		l.had, l.share = l.share, 0
	}
	g.nowhere = 0
	if b != nil {
		zones := 0
		for _, in := range b.clients {
			zones += int(oneIf(in))
		}
		for i, zone := range b.zones {
			if !b.clients[i] {
				continue
			}
			part := 1 / float64(zones)
			p := g.reachOf(zone)
			if p.to == 0 {
				g.nowhere += part
				continue
			}
			for _, l := range g.ways {
				if g.takes(l, p, now) {
					l.share += part / float64(p.to)
				}
			}
		}
	}
	for _, l := range slices.Clone(g.ways) {
		l.arrive()
		if l.row == nil && l.share == 0 && l.streams == 0 && !now.Before(l.thereUntil) {
			g.closeLane(l)
		}
	}
	g.connectStreams()
	g.weighLoad()
	if b == nil {
		return
	}
	b.follow()
	for _, front := range slices.Clone(g.region.routed[b.arn]) { // a Network Load Balancer's, whose target this one is
		front.poke([]string{b.arn})
		front.reroute()
	}
}

func oneIf(so bool) float64 {
	if so {
		return 1
	}
	return 0
}

// fillReaches counts who is healthy, as far as the nodes know, and what follows.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-target-groups.html#target-group-health
func (g *targetGroup) fillReaches() {
	now := g.region.now
	g.reaches = g.reaches[:0]
	if g.balancer == nil {
		return
	}
	if g.crossZone() {
		g.reaches = append(g.reaches, reach{})
	} else {
		for _, zone := range g.balancer.zones {
			g.reaches = append(g.reaches, reach{zone: zone})
		}
	}
	for i := range g.reaches {
		p := &g.reaches[i]
		for _, l := range g.ways {
			if !p.has(l) || !l.there(now) && !l.good(now) && !(g.region.params.DrainingCounts && l.row != nil && l.row.draining()) {
				continue
			}
			if l.row != nil && (!l.row.draining() || g.region.params.DrainingCounts) {
				p.registered++
			}
			if l.good(now) && !g.shiftedAway(l) {
				p.healthy++
			}
		}
		p.failOpen = p.healthy == 0 || g.below("unhealthy_state_routing", p)
		p.outOfDNS = g.below("dns_failover", p)
		for _, l := range g.ways {
			p.to += int(oneIf(g.takes(l, p, now)))
		}
	}
}

func (p *reach) has(l *lane) bool {
	return p.zone == "" || l.zone == p.zone || l.zone == "" || l.zone == "all"
}

// shiftedAway reports that a zonal shift keeps new flows from a target. Without
// cross-zone load balancing it leaves that to DNS.
func (g *targetGroup) shiftedAway(l *lane) bool {
	return g.balancer.shifted != "" && g.balancer.shifted == l.zone && g.crossZone()
}

// takes reports that a node sends flows to a target of its reach.
func (g *targetGroup) takes(l *lane, p *reach, now time.Time) bool {
	if !p.has(l) || g.shiftedAway(l) {
		return false
	}
	if p.failOpen {
		return l.there(now) || l.good(now)
	}
	return l.good(now)
}

func (g *targetGroup) reachOf(zone string) *reach {
	if len(g.reaches) == 1 && g.reaches[0].zone == "" {
		return &g.reaches[0]
	}
	for i := range g.reaches {
		if g.reaches[i].zone == zone {
			return &g.reaches[i]
		}
	}
	return &reach{zone: zone, outOfDNS: true, failOpen: true}
}

// below holds a reach's healthy targets to one of the group's thresholds: by
// count or by percentage of what is registered, whichever is not met.
func (g *targetGroup) below(which string, p *reach) bool {
	prefix := "target_group_health." + which + ".minimum_healthy_targets."
	if n, err := strconv.Atoi(g.attributes[prefix+"count"]); err == nil && p.healthy < n {
		return true
	}
	percent, err := strconv.Atoi(g.attributes[prefix+"percentage"])
	return err == nil && p.healthy*100 < percent*p.registered
}

// arrive finds who gets the flows of a way, and cuts the streams that cannot
// last.
func (l *lane) arrive() {
	g := l.group
	was, answered, until := l.to, l.answered, l.ends()
	if behind := g.region.balancerOf(l.key); behind != nil {
		l.accepts, l.answered = true, behind.answers()
		return
	}
	if l.changed {
		l.look()
	}
	switch {
	case l.resets():
		l.reset()
	case !l.accepts || was != nil && was != l.to:
		l.cut()
	}
	if was == l.to && answered == l.answered && (l.had > 0) == (l.share > 0) && until.Equal(l.until) {
		return // nothing that a record would tell
	}
	l.until = until
	for _, t := range []*task{was, l.to} {
		if t != nil {
			t.measure()
		}
	}
}

// look finds who has the address and what they do with a flow.
func (l *lane) look() {
	g := l.group
	l.changed, l.index = false, -1
	l.to = g.region.arrival(l.key)
	l.accepts = l.to != nil && l.to.front
	l.answered = l.accepts && l.to.app == answering && (g.traffic.Patience <= 0 || l.to.delay < g.region.scale(g.traffic.Patience))
	if l.to != nil {
		l.index = slices.IndexFunc(l.to.targets, func(t *registration) bool { return t.key == l.key })
	}
}

// resets reports that the nodes, which know the target to be unhealthy, answer
// its connections with RST: not while the group fails open.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/network/edit-target-group-attributes.html#unhealthy-target-connection-termination
func (l *lane) resets() bool {
	return l.row != nil && l.row.state == fleet.TargetUnhealthy && l.share == 0 && l.group.terminatesUnhealthy()
}

// arrival is the task that flows to a target reach.
func (r *Region) arrival(key fleet.TargetKey) *task {
	if t := r.occupant(key); t != nil && t.alive {
		return t
	}
	return nil
}

// waysTo lists the groups that have a way to one of the task's addresses.
func (r *Region) waysTo(t *task) []*targetGroup {
	var groups []*targetGroup
	for _, id := range t.addresses() {
		groups = append(groups, r.routed[id]...)
	}
	return groups
}

func (t *task) addresses() []string {
	var ids []string
	if t.ipv4 != "" {
		ids = append(ids, t.ipv4)
	}
	if t.ipv6 != "" {
		ids = append(ids, t.ipv6)
	}
	if t.instance != nil {
		ids = append(ids, t.instance.id)
	}
	return ids
}

// weighLoad finds the tasks that more new flows reach than they can bear, and
// those that can bear them again.
func (g *targetGroup) weighLoad() {
	if g.traffic.Rate <= 0 {
		return
	}
	for _, l := range g.ways {
		t := l.to
		if t == nil || t.service == nil || t.service.spec.Capacity <= 0 || t.overloaded == (t.load() > t.service.spec.Capacity) {
			continue
		}
		g.region.at(g.region.now, func() {
			if over := t.alive && t.load() > t.service.spec.Capacity; over != t.overloaded {
				t.overloaded = over
				t.reconsider()
			}
		})
	}
}

// load is how many new flows reach the task, a second of AWS's.
func (t *task) load() float64 {
	sum := 0.0
	for _, target := range t.targets {
		if l := target.group.lanes[target.key]; l != nil && l.to == t {
			sum += l.share * target.group.traffic.Rate
		}
	}
	return math.Round(sum*1e9) / 1e9
}
