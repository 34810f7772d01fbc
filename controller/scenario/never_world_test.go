package scenario

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// hostile is a random world that means castoff ill, with an oracle in it.
type hostile struct {
	t        *testing.T
	rng      *rand.Rand
	seed     uint64
	region   *sim.Region
	specs    []sim.ServiceSpec
	oracle   *oracle
	castoffs []*castoff
	rules    rules
	temper   int    // one event in so many is trouble for castoff itself
	theme    string // and half of it of this kind
	deferred []deferred
}

// newHostile draws a world.
func newHostile(t *testing.T, seed uint64, castoffs int) *hostile {
	w := &hostile{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 99))}
	params := w.params()
	w.region = sim.New(sim.Options{Seed: seed, Params: &params, Throttle: true, Latency: time.Duration(w.rng.IntN(250)) * time.Millisecond})
	must(t, w.region.AddCluster("prod", sim.ClusterOptions{}), w.region.AddCluster("edge", sim.ClusterOptions{Instances: 3}))
	w.specs = w.shapes()
	for _, s := range w.specs {
		must(t, w.region.AddService(s))
	}
	w.rules = w.configuration()
	w.temper, w.theme = 3+w.rng.IntN(8), harassments[w.rng.IntN(len(harassments))].name
	if *onlyTheme != "" {
		w.temper, w.theme = 3, *onlyTheme
	}
	w.oracle = newOracle(w.region, w.specs)
	for i := range castoffs {
		w.castoffs = append(w.castoffs, newCastoff(t, string(rune('a'+i)), w.oracle))
	}
	return w
}

// one picks one of some.
func one[T any](w *hostile, of ...T) T { return of[w.rng.IntN(len(of))] }

// about is a duration up to one.
func (w *hostile) about(d time.Duration) time.Duration {
	return time.Duration(w.rng.Int64N(int64(d) + 1))
}

// params draws AWS's lags, the unpublished ones from all that they could be.
func (w *hostile) params() sim.Params {
	p := randomParams(w.rng)
	p.NeverReregister = w.rng.IntN(3) == 0
	p.Reregister = one(w, sim.Exactly(0), sim.Range{Max: 10 * time.Second}, sim.Range{Min: 5 * time.Second, Max: 2 * time.Minute})
	p.DetachCures = w.rng.IntN(2) == 0
	p.ReuseAddresses = one(w, 0, time.Millisecond, 20*time.Second)
	lag := w.about(5 * time.Minute)
	p.RegistrationLag = one(w, sim.Exactly(0), sim.Exactly(lag), p.RegistrationLag)
	p.PropagationDeregister = one(w, sim.Exactly(0), sim.Range{Max: 5 * time.Minute})
	if w.rng.IntN(2) == 0 { // slow enough that tasks recover before
		p.React = sim.Range{Min: time.Minute, Max: 6 * time.Minute}
	}
	return p
}

// shapes are two or three services of different shapes.
func (w *hostile) shapes() []sim.ServiceSpec {
	check := &fleet.HealthCheck{Command: []string{"CMD", "/check"}, Interval: 5 * time.Second, Timeout: 2 * time.Second, Retries: 2}
	app := []sim.ContainerSpec{{Name: "app", Ports: []int{8080}, Check: check}}
	group := func(name string) sim.GroupSpec {
		g := sim.GroupSpec{
			Name: name, DeregistrationDelay: one(w, -1, 30*time.Second, time.Minute, 5*time.Minute),
			Check: fleet.TargetCheck{Interval: 10 * time.Second, HealthyThreshold: 2}, Attributes: map[string]string{},
		}
		if w.rng.IntN(3) > 0 {
			g.Attributes["load_balancing.cross_zone.enabled"] = "true"
		}
		if w.rng.IntN(4) == 0 {
			g.Attributes["target_group_health.dns_failover.minimum_healthy_targets.count"] = fmt.Sprint(1 + w.rng.IntN(4))
		}
		if w.rng.IntN(4) == 0 {
			g.Attributes["target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage"] = fmt.Sprint(10 * (1 + w.rng.IntN(8)))
		}
		return g
	}
	desired := func() int { return one(w, 1, 2, 3, 4, 5, 6, 6, 8, 8, 12) }
	reference := sim.ReferenceWorkload("prod", "reference")
	reference.Groups[0] = group("reference")
	reference.Groups[0].Container, reference.Groups[0].Port = "nginx", 10080
	v6 := group("v6")
	v6.IPAddressType = "ipv6"
	all := []sim.ServiceSpec{
		reference,
		{Cluster: "prod", Name: "two-groups", Containers: app, Groups: []sim.GroupSpec{group("inner"), group("outer")}},
		{Cluster: "prod", Name: "plain", Containers: app, Groups: []sim.GroupSpec{group("plain")}},
		{Cluster: "prod", Name: "stop-first", MinimumHealthyPercent: 50, MaximumPercent: 100, Containers: app, Groups: []sim.GroupSpec{group("stop-first")}},
		{Cluster: "edge", Name: "ipv6", IPv6: true, Containers: app, Groups: []sim.GroupSpec{v6}},
		{Cluster: "edge", Name: "bridge", LaunchType: fleet.EC2, NetworkMode: fleet.NetworkBridge, Containers: app, Groups: []sim.GroupSpec{group("bridge")}},
		{Cluster: "prod", Name: "no-check", Containers: []sim.ContainerSpec{{Name: "app", Ports: []int{8080}}}, Groups: []sim.GroupSpec{group("no-check")}},
	}
	w.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:2+w.rng.IntN(2)]
	for i := range all {
		all[i].Desired, all[i].Settled = desired(), true
		if w.rng.IntN(3) == 0 {
			all[i].Grace = w.about(4 * time.Minute).Truncate(time.Second) // as it is on the wire
		}
	}
	return all
}

// configuration draws limits that make sense, around the defaults and not
// timid, in mode detach but for a few services.
func (w *hostile) configuration() rules {
	limits := map[fleet.ServiceID]policy.Limits{}
	for _, s := range w.specs {
		l := policy.DefaultLimits()
		l.Mode = policy.Detaching
		if w.rng.IntN(8) == 0 {
			l.Mode = policy.Observing
		}
		l.Confirm = policy.ConfirmLimits{Reads: 1 + w.rng.IntN(3), For: one(w, 0, 0, 4*time.Second)}
		l.Floor = policy.FloorLimits{Count: 1 + w.rng.IntN(2), Percent: float64(one(w, 1, 30, 50, 50, 75))}
		l.Budget.Service = policy.Allowance{Least: 1 + w.rng.IntN(2), Percent: one(w, 1.0, 10, 30), Most: 2 + w.rng.IntN(3)}
		l.Budget.Group = policy.Allowance{Least: 1 + w.rng.IntN(2), Percent: one(w, 1.0, 10, 30), Most: 2 + w.rng.IntN(3)}
		l.Rate = policy.RateLimits{PerMinute: one(w, 0.5, 1, 3, 6), Burst: 1 + w.rng.IntN(2)}
		l.Correlated = policy.CorrelatedLimits{Count: 2 + w.rng.IntN(2), Percent: float64(one(w, 40, 50, 80)), Cooldown: one(w, time.Minute, 2*time.Minute)}
		l.Startup = one(w, 15*time.Second, 40*time.Second, time.Minute)
		l.DuringDeployment = w.rng.IntN(4) == 0
		l.Futile = policy.FutileLimits{Replacements: 2 + w.rng.IntN(4), Window: 5 * time.Minute}
		l.Contested = policy.ContestedLimits{Tries: 1 + w.rng.IntN(3), Spacing: one(w, 5*time.Second, 20*time.Second)}
		l.Recovery = policy.RecoveryLimits{Window: one(w, 10*time.Second, 30*time.Second, time.Minute), Growth: float64(1 + w.rng.IntN(2)), Max: 5 * time.Minute}
		if ps := l.Validate(); len(ps) > 0 {
			w.t.Fatal(ps)
		}
		limits[fleet.ServiceID{Cluster: s.Cluster, Name: s.Name}] = l
	}
	in := rules{
		limits: func(id fleet.ServiceID) policy.Limits { return limits[id] },
		fleet: policy.FleetLimits{
			Budget:     policy.Allowance{Least: 2 + w.rng.IntN(4), Percent: 5, Most: 20},
			Rate:       policy.RateLimits{PerMinute: one(w, 3.0, 10), Burst: 1 + w.rng.IntN(4)},
			Correlated: policy.CorrelatedLimits{Count: 3, Percent: 60, Cooldown: time.Minute},
		},
	}
	if w.rng.IntN(3) == 0 {
		p := policy.Pause{Scope: policy.ScopeAll, Until: time.Now().Add(w.about(8 * time.Minute)), Owner: "jane", Reason: "upgrade", KeepOut: w.rng.IntN(3) == 0}
		if w.rng.IntN(2) == 0 {
			p.Scope, p.Service = policy.ScopeService, w.service()
		}
		in.pauses = append(in.pauses, p)
	}
	return in
}

func (w *hostile) service() fleet.ServiceID {
	s := w.specs[w.rng.IntN(len(w.specs))]
	return fleet.ServiceID{Cluster: s.Cluster, Name: s.Name}
}

// run lets things happen for a while, then all trouble for castoff ends, and
// what it has begun must end as well.
func (w *hostile) run(d time.Duration) {
	for _, c := range w.castoffs {
		c.start(w.rules)
		w.wait(w.about(3 * time.Second))
	}
	w.wait(time.Minute + w.about(time.Minute))
	for end := time.Now().Add(d); time.Now().Before(end) && !w.done(); {
		w.happen()
		w.wait(w.about(80 * time.Second))
	}
	w.calm()
	w.wait(3 * time.Minute)
	for end := time.Now().Add(time.Hour); time.Now().Before(end) && !w.done(); {
		w.wait(time.Minute)
		if w.closed() {
			return
		}
	}
	if w.done() {
		return
	}
	for _, c := range w.castoffs {
		w.oracle.unclosed(c)
	}
}

// unclosed finds what a castoff still has open when it had all the time to end.
func (o *oracle) unclosed(c *castoff) {
	for _, d := range c.life.daemon.View().Detachments {
		if d.Open() && d.Mode == policy.Detaching {
			o.mu.Lock()
			o.violate(ruleUnclosed, "%s of task %s of %s, decided at %s: %s, %d tries", d.Target.Address(), d.Task.ID(), d.Service, d.Decided, d.Progress, d.Tries)
			o.mu.Unlock()
		}
	}
}

// done reports that there is something to show.
func (w *hostile) done() bool {
	w.oracle.mu.Lock()
	defer w.oracle.mu.Unlock()
	return len(w.oracle.found) > 0
}

// closed reports that nothing is out.
func (w *hostile) closed() bool {
	return !slices.ContainsFunc(w.castoffs, (*castoff).anyOut)
}

// anyOut reports that it has a target out.
func (c *castoff) anyOut() bool {
	return slices.ContainsFunc(c.life.daemon.View().Detachments, func(d policy.Detachment) bool { return d.Open() && d.Mode == policy.Detaching })
}

// wait lets time pass, second by second, and starts again what has ended.
func (w *hostile) wait(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end) && !w.done(); {
		time.Sleep(min(time.Second, time.Until(end)))
		var running *life
		for _, c := range w.castoffs {
			select {
			case <-c.ended:
				c.again(w.rules, w.about(20*time.Second))
			default:
			}
			if running == nil {
				running = c.life
			}
		}
		w.due(false)
		w.oracle.sample(running)
	}
}

// calm ends all that troubles castoff.
func (w *hostile) calm() {
	w.due(true)
	for _, c := range w.castoffs {
		c.mend()
		c.arm("", false)
		if c.life.halted() {
			c.again(w.rules, 0)
		}
	}
	for id := range w.oracle.specs {
		must(w.t, w.oracle.tag(id, "castoff:pause", ""), w.oracle.tag(id, "castoff:mode", ""))
		for _, t := range w.region.Tasks(id) {
			_ = w.region.Reconnect(t.ARN) // not of one that has stopped
		}
	}
}

// happen is one event.
func (w *hostile) happen() {
	id := w.service()
	if w.rng.IntN(w.temper) == 0 {
		w.harass(id)
		return
	}
	var up, down []fleet.TaskARN
	for _, t := range w.region.Tasks(id) {
		switch {
		case t.Status != fleet.Running || t.Desired != fleet.Running:
		case t.Answering:
			up = append(up, t.ARN)
		default:
			down = append(down, t.ARN)
		}
	}
	if len(down) > 0 && w.rng.IntN(4) == 0 {
		for _, arn := range down {
			_ = w.region.Recover(arn) // it may have ended
		}
		return
	}
	if len(up) == 0 {
		return
	}
	arn := one(w, up...)
	switch w.rng.IntN(20) {
	case 0, 1, 2, 3, 4, 14, 15, 16, 17:
		_ = w.region.Hang(arn)
	case 5:
		_ = w.region.Crash(arn)
	case 6, 7: // and is well again, maybe not for long
		_ = w.region.Hang(arn)
		for i, at := 0, time.Duration(0); i < 1+w.rng.IntN(3); i++ {
			at += 20*time.Second + w.about(80*time.Second)
			time.AfterFunc(at, func() { _ = w.region.Recover(arn) })
			at += 5*time.Second + w.about(60*time.Second)
			if i > 0 {
				time.AfterFunc(at, func() { _ = w.region.Hang(arn) })
			}
		}
	case 8:
		for _, arn := range up {
			_ = w.region.Hang(arn)
		}
	case 9: // half of them, one after the other
		for i, arn := range up[:(len(up)+1)/2] {
			time.AfterFunc(time.Duration(i)*w.about(6*time.Second), func() { _ = w.region.Hang(arn) })
		}
	case 10:
		_ = w.region.Exit(arn)
	case 11:
		_ = w.region.KillFront(arn)
	case 12:
		must(w.t, w.region.Deploy(id))
	case 13, 18, 19:
		_ = w.region.Hang(arn)
		_ = w.region.NextTasks(id, sim.StartsHung, sim.StartsHung)
	}
}

// turn makes of a service's tasks that answer such that do not, or the other way
// round: the worst that can happen while castoff looks away.
func (w *hostile) turn(id fleet.ServiceID) {
	all := w.region.Tasks(id)
	hung := slices.ContainsFunc(all, func(t sim.TaskInfo) bool { return t.Status == fleet.Running && !t.Answering })
	for _, t := range all {
		if hung {
			_ = w.region.Recover(t.ARN)
		} else {
			_ = w.region.Hang(t.ARN)
		}
	}
}

// harassments are the events that trouble castoff itself, by name.
var harassments = []struct {
	name string
	do   func(*hostile, *castoff, fleet.ServiceID)
}{
	{"aws", func(w *hostile, _ *castoff, _ fleet.ServiceID) { w.trouble() }},
	{"unread", func(w *hostile, _ *castoff, _ fleet.ServiceID) { // what is not read again before a call, or not only
		operation := one(w, "ListTasks", "ListServices", "DescribeServices", "DescribeTargetGroups", "DescribeTargetGroupAttributes")
		w.later(time.Minute+w.about(time.Minute), w.oracle.fault(sim.Fault{Operation: operation, Effect: one(w, sim.Deny, sim.ServerError, sim.Truncate)}))
	}},
	{"end", func(w *hostile, c *castoff, _ fleet.ServiceID) { c.arm(one(w, steps...), w.rng.IntN(3) > 0) }},
	{"restart", func(w *hostile, c *castoff, _ fleet.ServiceID) { c.again(w.rules, w.about(90*time.Second)) }},
	{"pause", func(w *hostile, _ *castoff, id fleet.ServiceID) {
		until := time.Now().Add(w.about(4 * time.Minute)).UTC().Format(time.RFC3339)
		must(w.t, w.oracle.tag(id, "castoff:pause", "until="+until+" owner=jane reason=upgrade"+one(w, "", " reattach=no")))
	}},
	{"pause_unread", func(w *hostile, _ *castoff, id fleet.ServiceID) {
		must(w.t, w.oracle.tag(id, "castoff:pause", one(w, "", "", "until=tomorrow")))
	}},
	{"mode", func(w *hostile, _ *castoff, id fleet.ServiceID) {
		must(w.t, w.oracle.tag(id, "castoff:mode", one(w, "observe", "detach", "")))
	}},
	{"disk", func(w *hostile, c *castoff, _ fleet.ServiceID) {
		c.breakDisk()
		w.later(30*time.Second+w.about(2*time.Minute), c.mend)
	}},
	{"panic", func(w *hostile, c *castoff, _ fleet.ServiceID) {
		c.panic()
		w.later(time.Minute+w.about(2*time.Minute), func() { c.again(w.rules, 0) })
	}},
	{"disconnect", func(w *hostile, _ *castoff, id fleet.ServiceID) {
		for _, t := range w.region.Tasks(id) {
			if t.Status == fleet.Running {
				_ = w.region.Disconnect(t.ARN)
				w.later(w.about(time.Minute), func() { _ = w.region.Reconnect(t.ARN) })
				break
			}
		}
	}},
	{"freeze", func(w *hostile, c *castoff, id fleet.ServiceID) {
		c.freeze(one(w, steps...), frost{w.about(15 * time.Second), one(w, nil, func() { w.turn(id) })})
	}},
	{"clock", func(w *hostile, _ *castoff, _ fleet.ServiceID) {
		w.oracle.skew(one[time.Duration](w, -1, 1)*w.about(one(w, 2*time.Second, 10*time.Minute)), w.castoffs)
	}},
}

// harass is one event that troubles castoff itself. Every second one is of the
// world's own kind, since some need others of theirs to do harm.
func (w *hostile) harass(id fleet.ServiceID) {
	h := harassments[w.rng.IntN(len(harassments))]
	for _, own := range harassments {
		if own.name == w.theme && w.rng.IntN(2) == 0 {
			h = own
		}
	}
	h.do(w, w.castoffs[w.rng.IntN(len(w.castoffs))], id)
}

// deferred is something that is done once, at an instant or when all trouble
// ends.
type deferred struct {
	at time.Time
	do func()
}

func (w *hostile) later(d time.Duration, do func()) {
	w.deferred = append(w.deferred, deferred{time.Now().Add(d), do})
}

// due does what is due, or all of it.
func (w *hostile) due(all bool) {
	var now []deferred
	w.deferred = slices.DeleteFunc(w.deferred, func(d deferred) bool {
		due := all || !d.at.After(time.Now())
		if due {
			now = append(now, d)
		}
		return due
	})
	for _, d := range now {
		d.do()
	}
}

// trouble has AWS answer badly.
func (w *hostile) trouble() {
	effect := one(w, sim.Throttle, sim.ServerError, sim.Unavailable, sim.LoseRequest, sim.LoseReply, sim.Truncate, sim.Garbage, sim.Deny, sim.Stall)
	operation := one(w, "", "DescribeTasks", "DescribeTargetHealth", "ListTasks", "DescribeServices", "DeregisterTargets", "DeregisterTargets",
		"RegisterTargets", "DescribeTargetGroups", "DescribeTargetGroupAttributes")
	f := sim.Fault{Operation: operation, Effect: effect, Count: one(w, 0, 0, 1, 2, 5)}
	w.later(5*time.Second+w.about(time.Minute), w.oracle.fault(f))
}
