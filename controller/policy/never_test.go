package policy

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// worlds sets how many random worlds a property is held to, unless the command
// line says.
func worlds(t *testing.T, n string) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if f.Value.String() != f.DefValue {
		return
	}
	if err := flag.Set(f.Name, n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := flag.Set(f.Name, f.DefValue); err != nil {
			t.Error(err)
		}
	})
}

// The list of what must never happen, over random worlds. The judge knows the
// world and the rules, not the guards: it counts everything anew, slowly.
func TestSafetyNeverWhateverHappens(t *testing.T) {
	worlds(t, "3000")
	allows, acts := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(4, 12).Draw(t, "passes") {
			w.happen()
			w.detachments = NewLook(w.input()).Follow()
			verdicts := w.decide()
			w.judgeComplete(verdicts)
			w.judge(verdicts)
			for _, v := range verdicts {
				if v.Decision == Allow {
					if allows++; v.Acts() {
						acts++
					}
					w.carryOut(v)
				}
			}
		}
	})
	if !t.Failed() && (allows < 200 || acts < 150) {
		t.Errorf("the judge saw %d allows and %d acts: the worlds are too hostile to show anything", allows, acts)
	}
	t.Logf("%d allows, %d acts", allows, acts)
}

// carryOut does what a verdict says, most times.
func (w *world) carryOut(v Verdict) {
	look := NewLook(w.input())
	look.question(v.Task, v.Target, nil).pay()
	w.state = look.State()
	d := v.Detachment(prod, w.detachments)
	known := slices.IndexFunc(w.detachments, func(o Detachment) bool { return o.Open() && o.Compare(&d) == 0 })
	if v.Mode == Detaching && !w.odd("no call") {
		result := Accepted
		if w.odd("call fails") {
			result = rapid.SampledFrom(Results).Draw(w.t, "result")
		}
		if d = d.Call(w.now, w.now, result); result == Accepted {
			for _, g := range w.scene.groups {
				for i := range g.Targets {
					if g.Targets[i].Key == v.Target {
						g.Targets[i].State = fleet.TargetDraining
					}
				}
			}
		}
	}
	if known >= 0 {
		w.detachments[known] = d
	} else {
		w.detachments = append(w.detachments, d)
	}
}

// judgeComplete: every failing target has one verdict, with every guard's word.
func (w *world) judgeComplete(verdicts []Verdict) {
	got := map[string]int{}
	for _, v := range verdicts {
		got[string(v.Task)+v.Target.Address()]++
		if len(v.Findings) != len(Guards) || v.Sentence == "" || v.Reason == "" {
			w.t.Fatalf("a verdict without its reasons: %+v", v)
		}
	}
	for _, task := range w.scene.tasks {
		for _, key := range task.Targets {
			row := w.rowOf(key)
			if task.LastStatus == fleet.Stopped || task.Health != fleet.Unhealthy || row == nil {
				continue
			}
			if n := got[string(task.ARN)+key.Address()]; n != 1 {
				w.t.Fatalf("%s of failing task %s has %d verdicts", key.Address(), task.ARN.ID(), n)
			}
		}
	}
}

// wasOut reports that castoff has taken the target out before: whoever put it
// back, it is about to get flows.
func (w *world) wasOut(v Verdict) bool {
	return slices.ContainsFunc(w.detachments, func(d Detachment) bool {
		return d.Open() && d.Mode == Detaching && d.Target == v.Target && d.Task == v.Task && d.Tries > 0
	})
}

func (w *world) rowOf(key fleet.TargetKey) *fleet.Target {
	for _, g := range w.scene.groups {
		for i := range g.Targets {
			if g.Targets[i].Key == key {
				return &g.Targets[i]
			}
		}
	}
	return nil
}

func (w *world) judge(verdicts []Verdict) {
	// What is out after all of it is done. For what would be done in observe mode
	// what is done later in the same call does not count: it had precedence.
	out := func(at int) map[fleet.TargetKey]fleet.TaskARN {
		keys := map[fleet.TargetKey]fleet.TaskARN{}
		weighs := func(m Mode) bool { return m == Detaching || verdicts[at].Mode == Observing }
		for _, d := range w.detachments {
			rejected := d.Mode == Detaching && d.Called.IsZero() && d.Result == Rejected // it is where it was
			if d.Open() && weighs(d.Mode) && !rejected {
				keys[d.Target] = d.Task
			}
		}
		for i, v := range verdicts {
			if v.Decision == Allow && weighs(v.Mode) && (i <= at || verdicts[at].Mode == Detaching) {
				keys[v.Target] = v.Task
			}
		}
		return keys
	}
	for i, v := range verdicts {
		if v.Decision != Allow {
			continue
		}
		if ps := append(w.limits.Validate(), w.scene.fleet.Validate()...); len(ps) > 0 {
			w.t.Fatalf("allowed by limits that make no sense: %v", ps)
		}
		for _, err := range []error{w.judgeWhether(v), w.judgeTask(v), w.judgeEvidence(v), w.judgeFloor(v, out(i)), w.judgeBudget(v, out(i)), w.judgeHistory(v)} {
			if err != nil {
				w.t.Fatalf("%s of task %s: %v\n%+v", v.Target.Address(), v.Task.ID(), err, v)
			}
		}
	}
}

// judgeWhether: nobody said that castoff should not.
func (w *world) judgeWhether(v Verdict) error {
	svc := w.service(v.Service.Name)
	mode := w.limits.Mode
	if tag, ok := svc.Tags[ModeTag]; ok {
		mode = Mode(tag)
	}
	switch _, tagged := svc.Tags[PauseTag]; {
	case v.Acts() && mode != Detaching:
		return fmt.Errorf("it acts in mode %q", mode)
	case len(w.halts) > 0:
		return fmt.Errorf("castoff has stopped acting")
	case w.now.Before(w.began.Add(w.limits.Startup)):
		return fmt.Errorf("castoff began only at %v", w.began)
	case tagged && (svc.Tags[PauseTag] == "x" || w.now.Before(noon.Add(time.Minute))):
		return fmt.Errorf("paused by tag")
	}
	for _, p := range w.pauses {
		if w.now.Before(p.Until) && (p.Scope != ScopeService || v.Service.Name == "a") {
			return fmt.Errorf("paused: %+v", p)
		}
	}
	if len(w.denied) > 0 && v.Acts() && v.Target.Group == groupARN("a") {
		return fmt.Errorf("AWS said no")
	}
	if r := svc.Deployments[0].Rollout; r != "COMPLETED" && !w.limits.DuringDeployment {
		return fmt.Errorf("a deployment is %s", r)
	}
	return nil
}

// judgeTask: the task hangs, runs, and owns the address; its balancer does not
// know it.
func (w *world) judgeTask(v Verdict) error {
	var task *fleet.Task
	for _, t := range w.scene.tasks {
		if t.ARN == v.Task {
			task = t
		} else if t.LastStatus != fleet.Stopped && slices.Contains(t.Targets, v.Target) {
			return fmt.Errorf("%s claims the address as well", t.ARN.ID())
		}
	}
	row := w.rowOf(v.Target)
	switch {
	case task.Health != fleet.Unhealthy || task.Containers[0].Health != fleet.Unhealthy:
		return fmt.Errorf("its check does not fail")
	case task.Connectivity != fleet.Connected:
		return fmt.Errorf("its agent is away")
	case task.LastStatus != fleet.Running || task.DesiredStatus != fleet.Running || task.Missing > 0:
		return fmt.Errorf("it does not run")
	case !slices.Contains(task.Targets, v.Target) || !task.Started.Equal(v.Started):
		return fmt.Errorf("the target is not its own")
	case row == nil || row.Override != "" || row.State != fleet.TargetHealthy && !(row.State == fleet.TargetInitial && w.wasOut(v)):
		return fmt.Errorf("it gets no flows")
	case w.now.Before(task.Started.Add(30 * time.Second)):
		return fmt.Errorf("it is in its grace period")
	}
	sick := 0
	var first time.Time
	rs := w.readings[v.Task]
	for i := len(rs) - 1; i >= 0 && rs[i].sick; i-- {
		sick++
		first = rs[i].received
	}
	if sick < w.limits.Confirm.Reads || w.now.Sub(first) < w.limits.Confirm.For {
		return fmt.Errorf("read sick %d times since %v", sick, first)
	}
	return nil
}

// judgeEvidence: nothing that counts is missing or old.
func (w *world) judgeEvidence(v Verdict) error {
	for _, g := range w.gaps {
		about := g.Ref == "eu-central-1" && g.Kind == fleet.GapTargetGroups
		switch g.Kind {
		case fleet.GapTargetGroup, fleet.GapTargetHealth, fleet.GapAttributes:
			about = g.Ref == string(v.Target.Group)
		case fleet.GapTaskDefinition:
			about = g.Ref == string(definitionARN(v.Service.Name))
		case fleet.GapTags, fleet.GapCluster, fleet.GapServices, fleet.GapService, fleet.GapServiceRevision, fleet.GapTaskList, fleet.GapTasks, fleet.GapContainerInstances:
			about = g.Ref == "prod" || g.Ref == string(prod) || g.Ref == v.Service.String()
		}
		if about {
			return fmt.Errorf("%+v", g)
		}
	}
	for _, t := range w.scene.tasks {
		if t.ARN == v.Task && !w.fresh(t.Read, w.limits.Stale.Tasks) {
			return fmt.Errorf("the task was read at %+v", t.Read)
		}
	}
	for _, g := range w.scene.groups {
		if g.ARN == v.Target.Group && (!w.fresh(g.Read, w.limits.Stale.Targets) || !g.Attributes.Known || !w.fresh(g.Attributes.Read, w.limits.Stale.Inventory)) {
			return fmt.Errorf("the group was read at %+v, attributes %v", g.Read, g.Attributes.Known)
		}
	}
	if !w.fresh(w.clusters[0].Read, w.limits.Stale.Inventory) {
		return fmt.Errorf("the cluster was read at %+v", w.clusters[0].Read)
	}
	return nil
}

func (w *world) fresh(r fleet.Read, limit time.Duration) bool {
	return !r.Received.IsZero() && !r.Received.After(w.now) && w.now.Sub(r.Sent) <= limit
}

// works: ECS says so, or has nothing to check. The containers' own words count where
// one without a check keeps the task UNKNOWN.
func (w *world) works(t *fleet.Task) bool {
	if t.Health != fleet.Unknown {
		return t.Health == fleet.Healthy
	}
	d := w.definitions[t.Definition]
	return d != nil && (d.Containers[0].Check == nil || t.Containers[0].Health == fleet.Healthy)
}

// judgeFloor counts what is left when everything that was allowed is done.
func (w *world) judgeFloor(v Verdict, out map[fleet.TargetKey]fleet.TaskARN) error {
	g := w.group(v.Service.Name)
	zoneOf := func(key fleet.TargetKey) string { return w.rowOf(key).Zone }
	var own, all, zone, zoneRows int
	for i := range g.Targets {
		row := &g.Targets[i]
		var owner *fleet.Task
		for _, t := range w.scene.tasks {
			if slices.Contains(t.Targets, row.Key) && t.LastStatus != fleet.Stopped && (owner == nil || t.Created.After(owner.Created)) {
				owner = t
			}
		}
		sameZone := row.Zone == zoneOf(v.Target)
		if sameZone {
			zoneRows++
		}
		if _, gone := out[row.Key]; gone || owner == nil || row.State != fleet.TargetHealthy || row.Override != "" ||
			!w.works(owner) || owner.LastStatus != fleet.Running || owner.DesiredStatus != fleet.Running ||
			owner.Missing > 0 || owner.Connectivity != fleet.Connected || w.now.Sub(owner.Read.Sent) > w.limits.Stale.Tasks {
			continue
		}
		all++
		if owner.Service == v.Service {
			own++
		}
		if sameZone {
			zone++
		}
	}
	desired := w.service(v.Service.Name).Desired
	if own < w.limits.Floor.Count || float64(own) < w.limits.Floor.Percent*float64(desired)/100 {
		return fmt.Errorf("%d healthy left, floor %+v of %d", own, w.limits.Floor, desired)
	}
	if all < 1 {
		return fmt.Errorf("the group's last healthy target")
	}
	apart, together := w.mayBeApart(g)
	if apart && zone < 1 {
		return fmt.Errorf("the zone's last healthy target")
	}
	var errs []error
	if apart {
		errs = append(errs, heldTo(g, zone, zoneRows))
	}
	if together {
		errs = append(errs, heldTo(g, all, len(g.Targets)))
	}
	return errors.Join(errs...)
}

// mayBeApart is whether each zone may have its targets to itself, and whether all may
// share them, by what was read lately.
func (w *world) mayBeApart(g *fleet.TargetGroup) (apart, together bool) {
	if g.Attributes.CrossZone != "use_load_balancer_configuration" {
		return g.Attributes.CrossZone != "true", g.Attributes.CrossZone != "false"
	}
	words := map[string]bool{}
	for _, b := range g.Balancers {
		switch {
		case b.Kind == "application":
			words["true"] = true
		case w.fresh(b.Read, w.limits.Stale.Inventory):
			words[b.CrossZone] = true
		default:
			words[""] = true
		}
	}
	all := func(word string) bool { return len(words) == 1 && words[word] }
	return !all("true"), !all("false")
}

// heldTo: what is left meets the thresholds of the group's own.
func heldTo(g *fleet.TargetGroup, left, rows int) error {
	for _, what := range []string{"dns_failover", "unhealthy_state_routing"} {
		name := "target_group_health." + what + ".minimum_healthy_targets."
		if n, err := strconv.Atoi(g.Attributes.Raw[name+"count"]); err == nil && left < n {
			return fmt.Errorf("%d left, %s asks for %d", left, what, n)
		}
		// Whether what drains still counts as registered is not known.
		for _, registered := range []int{rows, rows - 1} {
			if p, err := strconv.Atoi(g.Attributes.Raw[name+"percentage"]); err == nil && left*100 < p*registered {
				return fmt.Errorf("%d of %d left, %s asks for %d %%", left, registered, what, p)
			}
		}
	}
	return nil
}

func (w *world) judgeBudget(v Verdict, out map[fleet.TargetKey]fleet.TaskARN) error {
	service, all, group := map[fleet.TaskARN]bool{}, map[fleet.TaskARN]bool{}, 0
	for key, task := range out {
		if all[task] = true; key.Group == v.Target.Group {
			group++
			service[task] = true // one group a service
		}
	}
	running := 0
	for _, t := range w.scene.tasks {
		if t.LastStatus == fleet.Running && t.DesiredStatus == fleet.Running {
			running++
		}
	}
	for _, c := range []struct {
		what     string
		n, total int
		a        Allowance
	}{
		{"service", len(service), w.service(v.Service.Name).Desired, w.limits.Budget.Service},
		{"group", group, len(w.group(v.Service.Name).Targets), w.limits.Budget.Group},
		{"fleet", len(all), running, w.scene.fleet.Budget},
	} {
		may := min(float64(c.a.Most), max(float64(c.a.Least), math.Floor(c.a.Percent*float64(c.total)/100)))
		if float64(c.n) > may {
			return fmt.Errorf("%d out of the %s, allowed %+v of %d", c.n, c.what, c.a, c.total)
		}
	}
	return nil
}

// judgeHistory: what happened before does not speak against it.
func (w *world) judgeHistory(v Verdict) error {
	for id, c := range map[fleet.ServiceID]CorrelatedLimits{v.Service: w.limits.Correlated, {}: w.scene.fleet.Correlated} {
		if at, ok := w.over[id]; ok && w.lived < at+c.Cooldown {
			return fmt.Errorf("too many failed %v ago", w.lived-at)
		}
	}
	var own *Detachment
	for i := range w.detachments {
		if d := &w.detachments[i]; d.Open() && d.Mode == v.Mode && d.Target == v.Target && d.Task == v.Task {
			own = d
		}
	}
	if own != nil && v.Mode == Observing {
		return fmt.Errorf("it would have been out")
	}
	again := own != nil && v.Mode == Detaching // for which it has its token
	if again {
		if !own.Called.IsZero() {
			wait := w.limits.Contested.Spacing
			for range own.Tries - 1 {
				wait *= 2
			}
			if own.Tries >= w.limits.Contested.Tries || w.now.Before(own.Called.Add(wait)) {
				return fmt.Errorf("put back after try %d at %v", own.Tries, own.Called)
			}
		}
	}
	if n := w.futile(v); n >= w.limits.Futile.Replacements {
		return fmt.Errorf("%d replacements failed: %+v, known %+v", n, w.failures, w.state.Failures)
	}
	if again {
		return nil
	}
	w.taken = append(w.taken, token{v.Mode, v.Service, w.lived})
	if err := w.judgeRate(v.Mode, func(id fleet.ServiceID) bool { return id == v.Service }, w.limits.Rate); err != nil {
		return err
	}
	return w.judgeRate(v.Mode, func(fleet.ServiceID) bool { return true }, w.scene.fleet.Rate)
}

func (w *world) futile(v Verdict) int {
	n := 0
	for _, f := range w.failures {
		if f.Service != v.Service || w.now.Sub(f.Seen) > w.limits.Futile.Window {
			continue
		}
		if slices.ContainsFunc(w.failures, func(e Failure) bool {
			return e.Service == f.Service && e.Task != f.Task && !e.Seen.After(f.Created) && w.now.Sub(e.Seen) <= w.limits.Futile.Window
		}) {
			n++
		}
	}
	return n
}

// judgeRate: in no time were there more than the burst and what came back in it.
// A clock that is set back takes no time, nor gives any.
func (w *world) judgeRate(mode Mode, about func(fleet.ServiceID) bool, r RateLimits) error {
	n := 0
	for i := len(w.taken) - 1; i >= 0; i-- {
		k := w.taken[i]
		if k.mode != mode || !about(k.service) {
			continue
		}
		n++
		window := w.lived - k.at
		if most := float64(r.Burst) + r.PerMinute*window.Minutes(); float64(n) > most+1e-6 {
			return fmt.Errorf("%d within %v, allowed %+v", n, window, r)
		}
	}
	return nil
}
