package policy

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// world is a scene in which everything may go wrong, and what a judge who never
// read the guards remembers of it.
type world struct {
	*scene
	t        *rapid.T
	hostile  int // per cent: how often each thing goes wrong
	readings map[fleet.TaskARN][]reading
	failures []Failure
	over     map[fleet.ServiceID]time.Duration // lived when too many failed last; zero id: the fleet
	taken    []token
	judged   time.Time     // when the judge last looked
	lived    time.Duration // by a clock that is never set back
}

type reading struct {
	sent, received time.Time
	sick           bool
}

type token struct {
	mode    Mode
	service fleet.ServiceID
	at      time.Duration // lived
}

func newWorld(t *rapid.T) *world {
	w := &world{scene: calm(), t: t, readings: map[fleet.TaskARN][]reading{}, over: map[fleet.ServiceID]time.Duration{}}
	w.hostile = rapid.SampledFrom([]int{0, 1, 3, 9}).Draw(t, "hostile")
	w.scene.services, w.scene.tasks, w.scene.groups = nil, nil, nil
	for i := range rapid.IntRange(1, 3).Draw(t, "services") {
		w.add(string(rune('a'+i)), rapid.IntRange(1, 9).Draw(t, "tasks"))
		g := w.scene.groups[i]
		g.Attributes.CrossZone = rapid.SampledFrom([]string{"true", "true", "false", "use_load_balancer_configuration", ""}).Draw(t, "cross-zone")
		lb := func(kind, cross string) fleet.Balancer { return fleet.Balancer{Kind: kind, CrossZone: cross} }
		g.Balancers = rapid.SampledFrom([][]fleet.Balancer{
			nil, {lb("network", "true")}, {lb("network", "false")}, {lb("network", "")}, {lb("application", "")}, {lb("", "")},
			{lb("network", "true"), lb("application", "")}, {lb("network", "true"), lb("network", "false")},
		}).Draw(t, "balancers")
		for _, what := range []string{"dns_failover", "unhealthy_state_routing"} {
			if w.odd("threshold") {
				g.Attributes.Raw["target_group_health."+what+".minimum_healthy_targets.count"] = fmt.Sprint(rapid.IntRange(1, 5).Draw(t, "count"))
				g.Attributes.Raw["target_group_health."+what+".minimum_healthy_targets.percentage"] = fmt.Sprint(rapid.IntRange(1, 100).Draw(t, "percentage"))
			}
		}
	}
	w.drawLimits()
	if w.odd("observe") {
		w.limits.Mode = Observing
	}
	return w
}

// odd is whether a thing goes wrong.
func (w *world) odd(label string) bool {
	return w.hostile > 0 && w.chance(w.hostile, label)
}

func (w *world) chance(p int, label string) bool {
	return rapid.IntRange(0, 99).Draw(w.t, label) >= 100-p // small numbers are drawn more often, and what shrinks is calm
}

func (w *world) drawLimits() {
	t, l, f := w.t, &w.limits, &w.scene.fleet
	n := func(most int, label string) int { return rapid.IntRange(1, most).Draw(t, label) }
	p := func(label string) float64 { return rapid.Float64Range(1, 100).Draw(t, label) }
	a := func(label string) Allowance {
		least := rapid.IntRange(0, 3).Draw(t, label)
		return Allowance{Least: least, Percent: p(label), Most: max(least, n(4, label))}
	}
	l.Confirm = ConfirmLimits{Reads: n(3, "reads"), For: time.Duration(rapid.IntRange(0, 5).Draw(t, "for")) * time.Second}
	l.Floor = FloorLimits{Count: n(2, "floor"), Percent: rapid.Float64Range(1, 60).Draw(t, "floor")}
	l.Budget = BudgetLimits{Service: a("service budget"), Group: a("group budget")}
	l.Rate = RateLimits{PerMinute: rapid.Float64Range(0.5, 30).Draw(t, "rate"), Burst: n(3, "burst")}
	l.Correlated = CorrelatedLimits{Count: 1 + n(3, "correlated"), Percent: p("correlated"), Cooldown: time.Duration(n(60, "cooldown")) * time.Second}
	l.Contested = ContestedLimits{Tries: n(4, "tries"), Spacing: time.Duration(n(20, "spacing")) * time.Second}
	l.Recovery.Window = time.Duration(n(20, "recovery")) * time.Second
	l.Futile.Replacements = n(4, "futile")
	l.DuringDeployment = w.odd("during deployment")
	f.Budget = a("fleet budget")
	f.Rate = RateLimits{PerMinute: rapid.Float64Range(0.5, 30).Draw(t, "rate"), Burst: n(3, "burst")}
	f.Correlated = CorrelatedLimits{Count: 1 + n(3, "correlated"), Percent: p("correlated"), Cooldown: time.Duration(n(60, "cooldown")) * time.Second}
	if !w.odd("nonsense") {
		return
	}
	for _, broken := range rapid.SliceOfN(rapid.SampledFrom([]func(){
		func() { l.Confirm.Reads = -1 }, func() { l.Floor.Percent = math.NaN() }, func() { l.Floor.Count = 0 },
		func() { l.Budget.Service.Percent = math.NaN() }, func() { l.Budget.Group.Most = 0 }, func() { l.Rate.PerMinute = math.Inf(1) },
		func() { l.Rate.Burst = 0 }, func() { l.Correlated.Percent = math.NaN() }, func() { l.Startup = 0 }, func() { l.Stale.Tasks = -1 },
		func() { l.Futile.Window = 0 }, func() { l.Contested.Spacing = 0 }, func() { l.Mode = "" }, func() { f.Budget = Allowance{} },
		func() { f.Rate.PerMinute = math.NaN() }, func() { f.Correlated.Count = 0 }, func() { l.Recovery.Growth = 0 },
	}), 1, 2).Draw(w.t, "broken") {
		broken()
	}
}

// happen lets time pass and things happen in it, and has castoff read.
func (w *world) happen() {
	t := w.t
	old := map[fleet.TaskARN]fleet.Task{}
	for _, task := range w.scene.tasks {
		was := *task
		was.Containers = slices.Clone(was.Containers)
		old[task.ARN] = was
	}
	w.tick = time.Duration(rapid.SampledFrom([]int{1, 2, 2, 5, 5, 30, 90}).Draw(t, "tick")) * time.Second
	for _, svc := range w.scene.services {
		w.happenTo(svc)
	}
	for _, task := range w.scene.tasks {
		w.happenToTask(task)
	}
	for _, g := range w.scene.groups {
		w.happenToGroup(g)
	}
	w.read()
	if w.odd("clock") {
		// Not by whole seconds: no two readings are of the very same instant.
		w.now = w.now.Add(time.Duration(rapid.IntRange(-100, 100).Draw(t, "step"))*time.Second + time.Millisecond)
	}
	long := fleet.Read{Sent: w.now.Add(-time.Hour), Received: w.now.Add(-time.Hour)}
	for _, g := range w.scene.groups {
		if w.odd("attributes not read") {
			g.Attributes.Read = long
		}
		for i := range g.Balancers {
			if w.odd("balancer not read") {
				g.Balancers[i].Read = long
			}
		}
	}
	if w.odd("cluster not read") {
		w.clusters[0].Read = long
	}
	for _, task := range w.scene.tasks {
		if was, known := old[task.ARN]; known && w.odd("task not read") {
			*task = was
		}
	}
	w.gaps = nil
	if w.odd("gap") {
		refs := []string{"eu-central-1", string(prod), "prod", "prod/a", string(groupARN("a")), string(definitionARN("a"))}
		w.gaps = []fleet.Gap{{Kind: rapid.SampledFrom(fleet.GapKinds).Draw(t, "kind"), Ref: rapid.SampledFrom(refs).Draw(t, "ref"), Class: fleet.Transient}}
	}
	w.pauses, w.halts, w.denied = nil, nil, nil
	if w.odd("pause") {
		w.pauses = []Pause{{Scope: rapid.SampledFrom(Scopes).Draw(t, "scope"), Service: fleet.ServiceID{Cluster: "prod", Name: "a"}, KeepOut: w.chance(50, "keep out"),
			Until: w.now.Add(time.Duration(rapid.IntRange(-10, 10).Draw(t, "until")) * time.Second)}}
	}
	if w.odd("halt") {
		w.halts = []Halt{{Cause: "panic"}}
	}
	if w.odd("denied") {
		w.denied = []Denial{{groupARN("a"), w.now.Add(time.Second)}}
	}
	if w.odd("restart") {
		w.began = w.now.Add(-time.Duration(rapid.IntRange(0, 90).Draw(t, "ago")) * time.Second)
	}
	text, err := json.Marshal(w.state)
	if err != nil {
		t.Fatal(err)
	}
	w.state = State{}
	if err := json.Unmarshal(text, &w.state); err != nil {
		t.Fatal(err)
	}
	w.judgeReads()
}

func (w *world) happenTo(svc *fleet.Service) {
	t := w.t
	svc.Tags = nil
	if w.odd("tag") {
		svc.Tags = map[string]string{ModeTag: rapid.SampledFrom([]string{"observe", "detach", "x"}).Draw(t, "mode")}
	}
	if w.odd("pause tag") {
		svc.Tags = map[string]string{PauseTag: rapid.SampledFrom([]string{"x", "until=2026-11-23T12:01:00Z owner=j reason=r"}).Draw(t, "pause")}
	}
	svc.Deployments[0].Rollout = "COMPLETED"
	if w.odd("deployment") {
		svc.Deployments[0].Rollout = rapid.SampledFrom([]string{"IN_PROGRESS", "FAILED", "WHAT"}).Draw(t, "rollout")
	}
	if w.odd("scale") {
		svc.Desired = rapid.IntRange(0, 12).Draw(t, "desired")
	}
	if w.odd("new task") && len(w.scene.tasks) < 40 {
		task := w.start(svc.ID.Name, 100+len(w.scene.tasks))
		task.Created = w.now
		task.Started = w.now.Add(-time.Duration(rapid.IntRange(0, 60).Draw(t, "age")) * time.Second)
		if w.chance(30, "unchecked") {
			w.unchecked(task)
			unknown(task)
		}
		if len(w.scene.tasks) > 1 && w.odd("address reused") {
			task.Targets = w.scene.tasks[rapid.IntRange(0, len(w.scene.tasks)-2).Draw(t, "of")].Targets
		}
	}
}

func (w *world) happenToTask(task *fleet.Task) {
	t := w.t
	if w.chance(40, "hang") {
		fail(task)
	}
	if task.Failing() && w.chance(30, "recover") {
		heal(task)
	}
	switch {
	case task.Health == fleet.Unknown && w.chance(50, "checked"):
		heal(task)
	case !task.Failing() && w.odd("unknown"):
		unknown(task)
	case !task.Failing() && w.odd("unknown for another"):
		task.Health = fleet.Unknown
	}
	task.Connectivity, task.Missing = fleet.Connected, 0
	if w.odd("away") {
		task.Connectivity = fleet.Disconnected
	}
	if w.odd("missing") {
		task.Missing = 1
	}
	if w.odd("other container") {
		task.Containers[0].Health = fleet.Unknown
	}
	if w.odd("status") {
		task.LastStatus = rapid.SampledFrom([]fleet.TaskStatus{fleet.Running, fleet.Pending, fleet.Deactivating, fleet.Stopped, "X"}).Draw(t, "status")
	}
	if w.odd("desired") {
		task.DesiredStatus = rapid.SampledFrom([]fleet.TaskStatus{fleet.Running, fleet.Stopped}).Draw(t, "desired")
	}
}

func (w *world) happenToGroup(g *fleet.TargetGroup) {
	t := w.t
	for i := range g.Targets {
		row := &g.Targets[i]
		if w.odd("row") {
			row.State = rapid.SampledFrom(append([]fleet.TargetState{"x", fleet.TargetHealthy, fleet.TargetHealthy, fleet.TargetHealthy}, fleet.TargetStates...)).Draw(t, "state")
		}
		row.Override = ""
		if w.odd("override") {
			row.Override = "zonal_shift_active"
		}
	}
	g.Attributes.Known = !w.odd("attributes")
}

// judgeReads notes what the readings show, in the judge's own words.
func (w *world) judgeReads() {
	if !w.judged.IsZero() {
		w.lived += max(0, w.now.Sub(w.judged))
	}
	w.judged = w.now
	for id, at := range w.over {
		c := w.limits.Correlated
		if id == (fleet.ServiceID{}) {
			c = w.scene.fleet.Correlated
		}
		if w.lived >= at+c.Cooldown {
			delete(w.over, id)
		}
	}
	failing, up := map[fleet.ServiceID]int{}, map[fleet.ServiceID]int{}
	for _, t := range w.scene.tasks {
		// It had its time to start: thirty seconds, in every service.
		age := t.Read.Sent.Sub(t.Started)
		starting := age < 30*time.Second && age >= -time.Minute
		if t.LastStatus == fleet.Running && t.DesiredStatus == fleet.Running {
			up[t.Service]++
			if t.Health == fleet.Unhealthy && !starting {
				failing[t.Service]++
			}
		}
		bad := t.Health == fleet.Unhealthy && t.Containers[0].Health == fleet.Unhealthy && t.Definition == definitionARN(t.Service.Name)
		if bad && !starting && t.LastStatus != fleet.Deactivating && t.LastStatus != fleet.Stopped && t.DesiredStatus == fleet.Running &&
			!slices.ContainsFunc(w.failures, func(f Failure) bool { return f.Task == t.ARN }) {
			w.failures = append(w.failures, Failure{Service: t.Service, Task: t.ARN, Created: t.Created, Seen: t.Read.Sent})
		}
		rs := w.readings[t.ARN]
		if len(rs) > 0 && rs[len(rs)-1].sent.After(w.now) {
			rs = nil // the clock was set back
			w.readings[t.ARN] = nil
		}
		if t.LastStatus == fleet.Stopped || len(rs) > 0 && t.Read.Sent.Equal(rs[len(rs)-1].sent) || t.Connectivity == fleet.Disconnected {
			continue
		}
		w.readings[t.ARN] = append(rs, reading{t.Read.Sent, t.Read.Received, bad})
	}
	for id, n := range failing {
		of := up[id]
		if d := w.service(id.Name).Desired; d > 0 && d < of {
			of = d
		}
		if c := w.limits.Correlated; n >= c.Count && float64(n) >= c.Percent*float64(of)/100 {
			w.over[id] = w.lived
		}
	}
	if c := w.scene.fleet.Correlated; len(failing) >= c.Count && float64(len(failing)) >= c.Percent*float64(len(w.scene.services))/100 {
		w.over[fleet.ServiceID{}] = w.lived
	}
}
