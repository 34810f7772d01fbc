package scenario

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// bench is what judges a script: the oracle, and what observing must hold.
type bench struct {
	oracle *oracle
	said   map[string]bool  // violations
	judged map[string]bool  // timelines that have closed, by task and opening
	told   map[string]*told // by castoff
	// What fails in everybody's sight, by ECS's word and by the balancer's, and when
	// something was last in the way of anything.
	sick, unserving sights
	uncalm          time.Time
}

// judge
//
// From here on everything is held to the list of what must never happen, second
// by second: see violations. Castoffs have their journal on disk.
func (s *script) cmdJudge(a *arguments) string {
	if len(s.services)+len(s.daemons) > 0 {
		a.fail("it comes before services and castoffs")
	}
	s.judge = &bench{oracle: newOracle(s.region, nil), said: map[string]bool{}, judged: map[string]bool{}, told: map[string]*told{}, sick: sights{}, unserving: sights{}}
	s.region.Witness(func(w sim.Write) {
		s.tell(w)
		s.judge.oracle.wrote(w)
	})
	return ""
}

// startJudged starts a castoff that is watched.
func (s *script) startJudged(name string, cfg config.Config) {
	c := newCastoff(s.t, name, s.judge.oracle)
	c.config, c.handler, c.book = &cfg, logHandler{to: &s.log, name: "castoff"}, s.book
	c.start(rules{limits: cfg.LimitsOf, fleet: cfg.FleetLimits(), pauses: cfg.Pauses()})
	s.daemons[name] = &scripted{daemon: c.life.daemon, config: cfg, judged: c}
}

// again starts one anew from what it has on disk, as after kill -9.
func (s *script) again(d *scripted, after time.Duration) {
	d.judged.saved()
	d.judged.again(d.judged.life.rules, after)
	d.daemon = d.judged.life.daemon
}

// watch lets time pass under the oracle's eyes, and starts what has ended anew.
func (s *script) watch(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(min(time.Second, time.Until(end)))
		var running *life
		for _, name := range slices.Sorted(maps.Keys(s.daemons)) {
			d := s.daemons[name]
			select {
			case <-d.judged.ended:
				d.judged.again(d.judged.life.rules, 5*time.Second)
				d.daemon = d.judged.life.daemon
			default:
			}
			if running == nil {
				running = d.judged.life
			}
		}
		s.judge.oracle.sample(running)
		s.judge.look()
		for _, name := range slices.Sorted(maps.Keys(s.daemons)) {
			s.weighTold(name, s.daemons[name]) // what is lost in one second may look whole in the next
			s.weighUntold(name, s.daemons[name])
		}
	}
	synctest.Wait()
	s.weigh()
}

// weigh holds each castoff to what observing promises.
func (s *script) weigh() {
	for _, name := range slices.Sorted(maps.Keys(s.daemons)) {
		d := s.daemons[name]
		s.weighTimelines(d)
		s.weighTold(name, d)
		s.weighEnds(d)
		s.weighMetrics(d)
	}
}

// accuse adds a violation, once.
func (s *script) accuse(r rule, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.judge.said[string(r)+text] {
		return
	}
	s.judge.said[string(r)+text] = true
	o := s.judge.oracle
	o.mu.Lock()
	defer o.mu.Unlock()
	o.violate(r, "%s", text)
}

// weighTimelines: each closed timeline tells of something that happened, when it
// happened. Of two failures in a row castoff may have seen the second alone.
func (s *script) weighTimelines(d *scripted) {
	truths := map[fleet.TaskARN][]sim.Truth{}
	for _, truth := range s.region.Truth() {
		truths[truth.Task] = append(truths[truth.Task], truth)
	}
	view := d.View()
	for _, tl := range view.Open {
		s.weighOpen(d.judged, tl, truths[tl.Task])
	}
	for _, tl := range slices.Backward(view.Closed) {
		if id := string(tl.Task) + tl.Opened.String(); !s.judge.judged[id] {
			s.judge.judged[id] = true
			s.weighOpen(d.judged, tl, truths[tl.Task])
			s.weighMilestones(d.judged, tl, timeline.Kinds, truths[tl.Task])
			s.weighActor(d.judged, tl, truths[tl.Task])
		}
	}
}

// weighMilestones: a failure that came again within the recovery window is one
// timeline and several truths. Which new task is whose replacement nobody can
// tell for certain where several end at once: bounds_test.go judges that.
func (s *script) weighMilestones(c *castoff, tl *timeline.Timeline, kinds []timeline.Kind, truths []sim.Truth) {
	for _, k := range kinds {
		m, known := tl.Milestone(k)
		if tl.Outcome == timeline.Recovered && (k == timeline.Detach || k == timeline.Detached) {
			continue // undone once the target is healthy again, which may be later than the timeline's end
		}
		if k == timeline.ReplacementCreated || k == timeline.ReplacementRunning || k == timeline.ReplacementServing {
			continue
		}
		if known && !slices.ContainsFunc(truths, func(t sim.Truth) bool {
			return holds(tl, k, m, t) || (k == timeline.Detach || k == timeline.Detached) && c.rightBefore(m, t)
		}) {
			var all strings.Builder
			for _, t := range truths {
				all.WriteString(narrate(t))
			}
			s.accuse(ruleBounds, "%s is not true of %s%s", k, describe(tl), all.String())
		}
	}
}

// holds reports that a milestone tells of a truth. Where both checks failed, a
// task has recovered for castoff when neither does any more, and for the region
// when its container's passes: there the truth is only the earliest it can be.
//
// Where a container ended by itself, that is the onset that anybody can know of.
func holds(tl *timeline.Timeline, k timeline.Kind, m timeline.Milestone, t sim.Truth) bool {
	at := When(t, k)
	if k == timeline.Onset && tl.Trigger == timeline.Exit && !t.Exited.IsZero() {
		at = t.Exited
	}
	if k == timeline.Onset && tl.Trigger == timeline.TargetCheck && !t.Again.IsZero() && m.Contains(t.Again) {
		return true // the balancer's checks tell of what they have seen
	}
	if k == timeline.Stopping && t.Cause == sim.NeverStarted {
		return true // whether what never ran is ever STOPPING is told nowhere
	}
	if k == timeline.Recovery && !When(t, timeline.LBUnhealthy).IsZero() {
		return !at.IsZero() && !m.NotAfter.Before(at)
	}
	if k == timeline.Detach {
		_, ok := takenOut(t, m)
		return ok
	}
	return !at.IsZero() && m.Contains(at)
}

// weighMetrics: what a scrape counts is what the page shows.
func (s *script) weighMetrics(d *scripted) {
	view := d.View()
	if view.Snapshot == nil {
		return
	}
	families, err := d.registry.Gather()
	if err != nil {
		s.accuse(ruleMetrics, "%v", err)
		return
	}
	sums := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			sums[f.GetName()] += m.GetGauge().GetValue()
		}
	}
	out := 0
	for i := range view.Detachments {
		if view.Detachments[i].Out() {
			out++
		}
	}
	for name, n := range map[string]int{"castoff_timelines_open": len(view.Open), "castoff_detachments_open": out} {
		if sums[name] != float64(n) {
			s.accuse(ruleMetrics, "%s is %v, and the page has %d", name, sums[name], n)
		}
	}
}

// violations
//
// What must never happen, and did; to be judged a script says so.
func (s *script) cmdViolations(a *arguments) string {
	if s.judge == nil {
		a.fail("nobody judges: see judge")
	}
	found := s.judge.oracle.verdict()
	if len(found) == 0 {
		return "none\n"
	}
	var b strings.Builder
	for _, v := range found {
		fmt.Fprintf(&b, "%s\n", strings.TrimSpace(v.String()))
	}
	return b.String()
}

// settle
//
// Waits until all that failed has an end, for at most an hour and a half. What
// has none by then is a violation. Faults, pauses and hung tasks must be gone before.
func (s *script) cmdSettle(a *arguments) string {
	if s.judge == nil {
		a.fail("nobody judges: see judge")
	}
	s.log.quiet = true
	began := time.Now()
	over := func() bool {
		for _, d := range s.daemons {
			if len(d.View().Open) > 0 || d.judged.anyOut() {
				return false
			}
		}
		return true
	}
	s.watch(3 * time.Minute)
	for !over() && time.Since(began) < 90*time.Minute && len(s.judge.oracle.verdict()) == 0 {
		s.watch(time.Minute)
	}
	if len(s.judge.oracle.verdict()) > 0 {
		return ""
	}
	for _, d := range s.daemons {
		for _, det := range d.View().Detachments {
			// A service whose tasks go on failing never is without one.
			if det.Open() && det.Mode == policy.Detaching && time.Since(det.Decided) > 20*time.Minute && !s.sickStill(det.Service, det.Task) {
				s.accuse(ruleUnclosed, "%s of task %s of %s, decided at %s: %s", det.Target.Address(), det.Task.ID(), det.Service, since(s.began, det.Decided), det.Progress)
			}
		}
		for _, tl := range d.View().Open {
			if tl.Opened.Before(began) && !s.sickStill(tl.Service, tl.Task) {
				s.accuse(ruleOpenEnds, "opened %s: %s", since(s.began, tl.Opened), describe(tl))
			}
		}
	}
	return ""
}

// sickStill reports that ECS has left a failing task as it is: castoff cannot
// tell an end that has not come. It does not replace a task that only the balancer
// calls sick while somebody else keeps another one out.
func (s *script) sickStill(id fleet.ServiceID, arn fleet.TaskARN) bool {
	up := slices.ContainsFunc(s.region.Tasks(id), func(t sim.TaskInfo) bool { return t.ARN == arn && isUp(&t) })
	return up && slices.ContainsFunc(s.region.Truth(), func(f sim.Truth) bool { return f.Task == arn && f.Recovery.IsZero() })
}

// panic [NAME]
//
// Castoff's next pass panics. Only a restart has it act again.
func (s *script) cmdPanic(a *arguments) string {
	s.judgedDaemon(a).panic()
	return ""
}

// disk broken|whole [NAME]
//
// Nothing can be written to castoff's journal; or it can again.
func (s *script) cmdDisk(a *arguments) string {
	switch state := a.need("state"); state {
	case "broken":
		c := s.judgedDaemon(a)
		if _, err := os.Stat(c.file()); err != nil {
			a.fail("%v", err)
		}
		c.breakDisk()
	case "whole":
		s.judgedDaemon(a).mend()
	default:
		a.fail("a disk is broken or whole, not %s", state)
	}
	return ""
}

// ends are the steps by the names that scripts give them.
var ends = map[string]step{
	"before-look": beforeLook, "after-look": afterLook, "before-call": beforeCall, "after-call": afterCall,
	"before-put": beforePut, "after-put": afterPut,
}

// end STEP|never [kill] [NAME]
//
// Castoff ends when it next comes to a step of acting: before-look, after-look,
// before-call, after-call, before-put, after-put. It stops as on a signal, or
// with kill as on kill -9, and is started again 5 s later.
func (s *script) cmdEnd(a *arguments) string {
	name := a.need("step")
	at, ok := ends[name]
	if !ok && name != "never" {
		a.fail("there is no step %s", name)
	}
	kill := a.is("kill")
	s.judgedDaemon(a).arm(at, kill)
	return ""
}

func (s *script) judgedDaemon(a *arguments) *castoff {
	if s.judge == nil {
		a.fail("nobody judges: see judge")
	}
	name, _ := a.word()
	d := s.daemons[name]
	if d == nil {
		a.fail("there is no castoff %q", name)
	}
	return d.judged
}

// lose TASK
//
// The container instance that the task runs on is gone, with all that ran there.
// The task's target must be of type instance.
func (s *script) cmdLose(a *arguments) string {
	arn := s.task(a, a.need("task"))
	for _, key := range s.names.targets[arn] {
		s.must(a, s.region.LoseInstance(key.ID))
		return ""
	}
	a.fail("it is on no instance")
	return ""
}
