package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// The codes of sentences.
const (
	codeHelps       = "helps"
	codeWouldHelp   = "would_help"
	codeNoCheck     = "no_container_check"
	codeUnseen      = "not_seen"
	codeBalancer    = "balancer_sees"
	codeNoExposure  = "no_exposure"
	codeGuard       = "guard_never_let_go"
	codePropagation = "propagation"
	codeContested   = "contested"
	codeStreams     = "streams"
	codeLittle      = "little"
	codeWorse       = "worse"
	codeUnended     = "unended"
)

// conclude writes the sentences. A world counts against detaching when castoff
// never acted in it; then what stood in the way is the guard that held for
// longest, or else that there was nothing to take out.
func (s *Study) conclude(r *Result, sequels [][]sequel) {
	say := func(code, format string, args ...any) {
		r.Sentences = append(r.Sentences, Sentence{code, fmt.Sprintf(format, args...)})
	}
	at := slices.Index(s.Ways, Detaching)
	if at < 0 {
		at = slices.Index(s.Ways, Observing)
	}
	if at < 0 {
		return
	}
	with, acts := r.Ways[at], s.Ways[at] == Detaching
	r.Helps = 2*with.Acted > r.Runs
	alone := slices.IndexFunc(r.Ways, func(o Outcome) bool { return o.Way == ECSAlone })
	if r.Helps {
		switch {
		case !acts:
			say(codeWouldHelp, "In %d of %d failures castoff would have taken the target out, %.1f s after ECS called the task UNHEALTHY at the median.",
				with.Acted, r.Runs, with.Called.P50)
		case alone >= 0:
			s.compare(r, r.Ways[alone], with, sequels[alone], say)
		}
	}
	s.sayUnseen(r, sequels[at], say)
	for _, h := range with.Guards {
		if h.Never > 0 && h.Guard != policy.NoGain && h.Guard != policy.Trigger {
			say(codeGuard, "%s in %d of %d failures, in which castoff left the target in: guard %s (%s), for instance: %s.%s",
				wouldNot(r), h.Never, r.Runs, h.Guard, h.Reason, h.Sentence, s.remedy(h))
		}
	}
	if i := slices.IndexFunc(with.Guards, func(h Held) bool { return h.Reason == policy.GaveUp }); i >= 0 {
		say(codeContested, "In %d of %d failures ECS put the target back so often that castoff left it alone in the end (guard contested, after %d tries). "+
			"How soon ECS does that is not published.", with.Guards[i].Runs, r.Runs, s.Limits.Contested.Tries)
	}
	if streams := s.streams(); streams > 0 {
		s.sayStreams(streams, say)
	}
	if with.Unended > 0 {
		say(codeUnended, "In %d of %d failures a dead app was still reached %s after it had failed; these count as if it ended then.", with.Unended, r.Runs, horizon)
	}
	slices.SortStableFunc(r.Sentences, func(a, b Sentence) int {
		if r.Helps {
			return 0 // as said
		}
		return weight(a.Code) - weight(b.Code)
	})
}

// weight puts first what explains all the failures.
func weight(code string) int {
	if code == codeNoCheck || code == codeBalancer || code == codeNoExposure || code == codeUnseen {
		return 0
	}
	return 1
}

// compare holds castoff acting to ECS alone.
func (s *Study) compare(r *Result, alone, with Outcome, sequels []sequel, say func(code, format string, args ...any)) {
	seen, after := 0, []float64{}
	for _, f := range sequels {
		if f.balancerSaw && f.ecsSaw {
			seen++
			after = append(after, f.balancer.Seconds())
		}
	}
	worse := with.LastFlow.P50 > 1.05*alone.LastFlow.P50 || with.Flows.P50 > 1.05*alone.Flows.P50
	little := with.LastFlow.P50 > 0.8*alone.LastFlow.P50 && with.Exposure.P50 > 0.8*alone.Exposure.P50
	r.Helps = !worse && !little
	numbers := fmt.Sprintf("at the median the last new flow reaches a dead app after %.1f s, with ECS alone after %.1f s", with.LastFlow.P50, alone.LastFlow.P50)
	switch {
	case !r.Helps && 2*seen > r.Runs:
		say(codeBalancer, "Detaching would not help: %s. In %d of %d failures the balancer's own check (%s) finds the failure by itself, %.1f s after ECS at the median, "+
			"and new flows to a target that the balancer calls unhealthy end sooner than those to one that is deregistered.",
			numbers, seen, r.Runs, s.balancerChecks(), spread(after, func(x float64) (float64, bool) { return x, true }).P50)
	case worse:
		say(codeWorse, "Detaching would make it worse: %s.", numbers)
	case little:
		say(codeLittle, "Detaching would change little: %s.%s", numbers, s.longest(r, with))
	default:
		say(codeHelps, "Detaching helps in %d of %d failures: at the median exposure is %.1f s instead of %.1f s%s, and the last new flow reaches a dead app after %.1f s instead of %.1f s%s.",
			with.Acted, r.Runs, with.Exposure.P50, alone.Exposure.P50, shorter(alone.Exposure.P50, with.Exposure.P50),
			with.LastFlow.P50, alone.LastFlow.P50, shorter(alone.LastFlow.P50, with.LastFlow.P50))
	}
	if r.Helps && alone.LastFlow.P50 < 1.5*with.LastFlow.P50 {
		say(codePropagation, "New flows stop much later than exposure: after DeregisterTargets the balancer's nodes go on sending some for 10 to 300 s, whoever calls it. "+
			"Only a check of the balancer's own that sees the app would be quicker.")
	}
}

// longest names the guard that held for longest where it held.
func (s *Study) longest(r *Result, o Outcome) string {
	if len(o.Guards) == 0 {
		return ""
	}
	h := slices.MaxFunc(o.Guards, func(a, b Held) int { return cmp.Compare(a.Seconds.P50*float64(a.Runs), b.Seconds.P50*float64(b.Runs)) })
	return fmt.Sprintf(" In %d of %d failures castoff was held up by guard %s (%s), for %.1f s at the median, for instance: %s.%s",
		h.Runs, r.Runs, h.Guard, h.Reason, h.Seconds.P50, h.Sentence, s.remedy(h))
}

// shorter is how many times b is shorter than a, where that is worth saying.
func shorter(a, b float64) string {
	if b <= 0 || a < 1.05*b {
		return ""
	}
	return fmt.Sprintf(" (÷ %.1f)", a/b)
}

// sayUnseen says when there was nothing for castoff to take out.
func (s *Study) sayUnseen(r *Result, sequels []sequel, say func(code, format string, args ...any)) {
	if !s.checked() {
		say(codeNoCheck, "Detaching would not help: no essential container has a health check in its task definition, so ECS never calls a task UNHEALTHY, "+
			"and castoff takes nothing out on any other word.")
		return
	}
	var balancer, unseen, quick, first int
	var lead []float64
	for _, f := range sequels {
		switch {
		case f.acted:
		case f.balancerSaw && (!f.ecsSaw || len(f.holdings) == 0 || f.holdings[0].guard == policy.NoGain):
			balancer++
			if f.ecsSaw {
				lead = append(lead, -f.balancer.Seconds())
			} else {
				first++
			}
		case !f.ecsSaw && !f.balancerSaw && s.Failure != Exit:
			unseen++
		case len(f.holdings) == 0 || f.holdings[0].guard == policy.NoGain:
			quick++
		}
	}
	if balancer > 0 {
		when := fmt.Sprintf("before ECS did, by %.1f s at the median", spread(lead, func(x float64) (float64, bool) { return x, true }).P50)
		if first > len(lead) {
			when = "and ECS did not before the task was taken down"
		}
		say(codeBalancer, "%s in %d of %d failures: the balancer's own check (%s) found the failure, %s, and stops new flows by itself; then castoff leaves the target (guard no_gain).",
			wouldNot(r), balancer, r.Runs, s.balancerChecks(), when)
	}
	if unseen > 0 {
		say(codeUnseen, "%s in %d of %d failures: no check of ECS's or the balancer's found them. Have the container's health check ask the app itself.", wouldNot(r), unseen, r.Runs)
	}
	if quick > 0 {
		say(codeNoExposure, "%s in %d of %d failures: no target was exposed for as long as castoff needs to look, since ECS took the task down at once.", wouldNot(r), quick, r.Runs)
	}
}

func wouldNot(r *Result) string {
	if r.Helps {
		return "It does not help"
	}
	return "Detaching would not help"
}

// checked reports that a container check can find a task failing.
func (s *Study) checked() bool {
	return slices.ContainsFunc(s.Service.Containers, func(c sim.ContainerSpec) bool { return c.Check != nil && !c.NotEssential })
}

// balancerChecks says how the balancer looks.
func (s *Study) balancerChecks() string {
	var all []string
	for _, g := range s.Service.Groups {
		text := fmt.Sprintf("%s every %s, %d failures", g.Check.Protocol, g.Check.Interval, g.Check.UnhealthyThreshold)
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return strings.Join(all, "; ")
}

// remedy is what would have a guard let go.
func (s *Study) remedy(h Held) string {
	switch h.Reason {
	case policy.LastHealthy:
		return " The last healthy target always stays: run more tasks."
	case policy.BelowFloor:
		return " Run more tasks, or lower limits.floor."
	case policy.GroupThreshold, policy.ZoneThreshold:
		return " Run more tasks, or lower the group's target_group_health thresholds."
	case policy.LastInZone:
		return " Run at least two tasks in each zone, or turn load_balancing.cross_zone.enabled on in the target group."
	case policy.ManyTasks:
		return " When so many fail at once castoff suspects the check, not the tasks, and stays out of it."
	case policy.ServiceBudget, policy.GroupBudget:
		return " limits.budget says how many may be out at a time."
	case policy.ServiceRate:
		return " limits.rate says how many may go in a minute."
	default:
		return ""
	}
}

func (s *Study) streams() (n int) {
	for _, g := range s.Service.Groups {
		n += g.Traffic.Streams
	}
	return n
}

// sayStreams tells what detaching does not do for connections that are open.
func (s *Study) sayStreams(n int, say func(code, format string, args ...any)) {
	ends := "until the task is stopped, or their clients give up"
	if slices.ContainsFunc(s.Service.Groups, func(g sim.GroupSpec) bool {
		return g.Attributes["deregistration_delay.connection_termination.enabled"] == "true"
	}) {
		ends = "until the deregistration delay is over, when the group's connection termination cuts them: detaching begins it earlier"
	}
	say(codeStreams, "Detaching is about new flows. Of %d long-lived connections those to the dead app stay there %s.", n, ends)
}
