package scenario

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var broken = flag.Bool("broken", false, "break castoff on purpose, one guard or step after the other, and demand that it shows: see make broken")

// mistake is one way to break castoff, and the rules that must then be broken.
type mistake struct {
	name  string
	edits []edit
	shows []rule
	// by is the test that must fail, default TestSafetyNever; after a colon what
	// its worlds are troubled by most. After TestScripts$/^ it is a judged script.
	by string
}

// edit replaces a text that is once in a file.
type edit struct{ file, was, is string }

// mistakes are one for each guard whose absence does harm, and for each step of
// acting that keeps harm away. Where a second guard covers for the first, both
// are broken.
var mistakes = []mistake{
	{"a pause counts for nothing", []edit{{"policy/paused.go", "p := pausing(q.pauses, q.of, q.Now); p != nil", "p := pausing(q.pauses, q.of, q.Now); p != nil && false"}}, []rule{rulePaused}, ":pause"},
	{"halts count for nothing", []edit{{"policy/paused.go", "if len(q.Halts) > 0 {", "if len(q.Halts) > 9 {"}}, []rule{rulePanic}, ":panic"},
	{"a panic does not halt", []edit{{"pass.go", "c.halt(haltPanic, ", "c.log.Error(haltPanic, \"detail\", "}}, []rule{rulePanic}, ":panic"},
	{"observe mode acts", []edit{{"policy/limits.go", "if mode == Detaching {", "if mode != \"\" {"}}, []rule{ruleMode}, ":mode"},
	{"gaps count for nothing", []edit{{"policy/stale.go", "if f, ok := q.gap(); ok {", "if f, ok := q.gap(); ok && false {"}}, []rule{ruleEvidence}, ":unread"},
	{"no startup window", []edit{{"policy/startup.go", "if q.Now.Before(end) {", "if q.Now.Before(end) && false {"}}, []rule{ruleStartup}, ":restart"},
	{"a task that is leaving is no reason", []edit{
		{"policy/identity.go", "case t.Leaving():", "case t.Leaving() && false:"},
		{"policy/identity.go", "case t.LastStatus != fleet.Running:", "case t.LastStatus != fleet.Running && false:"},
	}, []rule{ruleIdentity}, ""},
	{"confirmed at once", []edit{{"policy/confirm.go", "case w.Reads < c.Reads:", "case w.Reads < c.Reads && false:"}}, []rule{ruleConfirm}, ""},
	{"no grace", []edit{{"policy/grace.go", "if q.Now.Before(end) {", "if q.Now.Before(end) && false {"}}, []rule{ruleGrace}, ""},
	{"no floor", []edit{{"policy/floor.go", "if own.left < least {", "if own.left < least && false {"}}, []rule{ruleFloor}, ""},
	{"the last one of a group may go", []edit{
		{"policy/floor.go", "if group.left < 1 {", "if group.left < 0 {"},
		{"policy/floor.go", "if own.left < least {", "if own.left < least && false {"},
		{"policy/floor.go", "q.sharing() != separate && group.left < need", "false && group.left < need"},
		{"policy/zone.go", "switch q.sharing() {", "switch shared {"},
	}, []rule{ruleLast}, ""},
	{"zones count for nothing", []edit{{"policy/zone.go", "switch q.sharing() {", "switch shared {"}}, []rule{ruleZone, ruleThreshold}, ""},
	{"target_group_health counts for nothing", []edit{{"policy/floor.go", "return max(h.count, ceil(h.percent, rows))", "return min(1, rows)"}}, []rule{ruleThreshold}, ""},
	{"sick tasks count as healthy targets", []edit{{"policy/floor.go", "t.Healthy() && v.serves(owner)", "t.Healthy()"}}, []rule{ruleFloor, ruleLast, ruleZone, ruleThreshold}, ""},
	{"what was not checked yet counts as healthy", []edit{{"policy/floor.go", "return passing(t, def)", "return true"}}, []rule{ruleFloor, ruleLast}, ""},
	{"the second look does not read settings", []edit{
		{"awsapi/refresh.go", "if fails {", "if fails && false {"},
		{"policy/stale.go", "case q.again != nil && p.read.Sent.Before(q.again.At):", "case q.again != nil && false:"},
	}, []rule{ruleThreshold}, "TestScripts$/^settings_changed_between_decision_and_call"},
	{"any number may fail at once", []edit{
		{"policy/correlated.go", "l := q.state.latch(q.of); l != nil", "l := q.state.latch(q.of); l != nil && false"},
		{"policy/correlated.go", "l := q.state.latch(fleet.ServiceID{}); l != nil", "l := q.state.latch(fleet.ServiceID{}); l != nil && false"},
	}, []rule{ruleCorrelated}, ""},
	{"deployments count for nothing", []edit{{"policy/deployment.go", "case why == \"\":", "case true:"}}, []rule{ruleDeployment}, ""},
	{"no budget", []edit{{"policy/budget.go", "p.used > may && over.Reason == \"\"", "p.used > may && over.Reason != \"\""}}, []rule{ruleBudget}, ""},
	{"no rate", []edit{{"policy/rate.go", "next.After(q.Now)", "next.After(q.Now.AddDate(0, 0, 1))"}}, []rule{ruleRate}, ""},
	{"what is put back may be taken out for ever", []edit{{"policy/contested.go", "if d.Tries >= l.Tries {", "if d.Tries >= 100 {"}}, []rule{ruleContested}, ""},
	{"and at once", []edit{{"policy/contested.go", "if q.Now.Before(next) {", "if q.Now.Before(next) && false {"}}, []rule{ruleContested}, ""},
	{"no second decision", []edit{{"act.go", "verdicts[i] = look.Recheck(was)", "verdicts[i] = was"}}, []rule{ruleEvidence, ruleHealthy, ruleIdentity, rulePaused, ruleMode}, "TestSafetyMachineStoodStill"},
	{"no second look", []edit{
		{"act.go", "s := c.options.Observer.Refresh(ctx, slices.Concat(tasks, others), []fleet.TargetGroupARN{group})", "s := c.acting.look.Snapshot\n_, _ = tasks, others"},
		{"act.go", "w.until = heldUntil(s, group, tasks)", "w.until = c.now().Add(holds)"},
		{"act.go", "verdicts[i] = look.Recheck(was)", "verdicts[i] = was"},
	}, []rule{ruleLook}, "TestSafetyEndedAtEachStep"},
	{"the call is not written down", []edit{{"write.go", "if err := c.options.Journal.Record(c.acting.guards, calling...); err != nil {", "if err := error(nil); err != nil {"}}, []rule{ruleJournal}, "TestSafetyEndedAtEachStep"},
	{"a decision holds for ever", []edit{{"act.go", "const holds = 2 * time.Second", "const holds = 20 * time.Second"}}, []rule{ruleEvidence, ruleHealthy}, "TestSafetyMachineStoodStill"},
	{"others are not read again", []edit{
		{"act.go", "well(t) && t.Read.Age(at) > policy.Apart", "t.Read.Age(at) > time.Hour"},
		{"policy/floor.go", "return r.read.Age(began) > Apart", "return r.read.Age(began) > time.Hour"},
	}, []rule{ruleFloor}, "TestSafetyMachineStoodStill"},
	{"a restart forgets the guards' state", []edit{{"resume.go", "guards: past.Guards, ", ""}}, []rule{ruleRate, ruleCorrelated}, "TestScripts$/^restart_and_the_rate"},
	{"a restart forgets what is out", []edit{{"resume.go", "detachments: past.Detachments, ", ""}}, []rule{ruleLeftOut, ruleBudget, ruleContested, ruleUnclosed}, "TestSafetyEndedAtEachStep"},
	{"a restart has no startup window", []edit{{"pass.go", "c.acting.began = began.Round(0)", "c.acting.began = began.Round(0).Add(-time.Hour)"}}, []rule{ruleStartup}, ":restart"},
	{"nothing goes back", []edit{{"policy/reattach.go", "if !d.Open() || d.Mode != Detaching ||", "if true || !d.Open() || d.Mode != Detaching ||"}}, []rule{ruleLeftOut}, "TestSafetyEndedAtEachStep"},
	{"a pause that keeps out does not", []edit{{"policy/reattach.go", "p := pausing(keep, q.of, q.Now); p != nil", "p := pausing(keep, q.of, q.Now); p != nil && false"}}, []rule{ruleKeptOut}, "TestSafetyPauseAndTheWayBack"},
	{"any pause keeps out", []edit{{"policy/reattach.go", "func(p Pause) bool { return !p.KeepOut }", "func(p Pause) bool { return false }"}}, []rule{ruleLeftOut}, "TestSafetyPauseAndTheWayBack"},
	{"what is sick goes back", []edit{
		{"policy/reattach.go", "t == nil || t.Gone() || t.Failing() ||", "t == nil || t.Gone() ||"},
		{"policy/reattach.go", "if !ok {\n\t\treturn hold(StillFailing", "if !ok && false {\n\t\treturn hold(StillFailing"},
		{"policy/reattach.go", "if long < window && !q.Parting {", "if false {"},
	}, []rule{ruleEvidence}, ""},
	{"nothing is ever confirmed", []edit{{"policy/remember.go", "if w.Reads++; w.Reads == 1 {", "if w.Reads = 1; w.Reads == 1 {"}}, []rule{ruleLeftIn}, ""},
	{"an end is not seen", []edit{
		{"policy/follow.go", "case task.Gone():", "case task.Gone() && false:"},
		{"policy/follow.go", "case watched:", "case watched && false:"},
	}, []rule{ruleUnclosed}, ""},

	// Of observing.
	{"a restart forgets timelines", []edit{{"resume.go", "c.tracked = past.Tracker", ""}}, []rule{ruleLost}, "TestScripts$/^ended_after_the_call"},
	{"a restart forgets closed timelines", []edit{{"history.go", "slices.Clone(closed[:min(len(closed), h.keep.Count)])", "slices.Clone(closed[:0])"}}, []rule{ruleLost}, "TestScripts$/^restart_after_it_has_ended"},
	{"a failure is told of at each reading", []edit{{"timeline/tracker.go", "if f := t.failure(is.ARN); f != nil {", "if f := t.failure(is.ARN); f != nil && false {"}}, []rule{ruleTwice}, "TestScripts$/^put_back_before_it_fails"},
	{"what cannot be read is gone", []edit{{"awsapi/tasks.go", "t.failed = t.soon(err)\n\t\t\t\tt.lost()\n", "t.failed = t.soon(err)\n\t\t\t\tt.lost()\n\t\t\t\to.closeTask(c, t)\n"}}, []rule{ruleGap}, "TestScripts$/^replies_are_garbled"},
	{"a check takes no time", []edit{{"timeline/onset.go", "-n*(c.interval+c.timeout) - c.timeout - lag", "-(n - 1) * c.interval"}}, []rule{ruleBounds}, "TestScripts$/^put_back_before_it_fails"},
	{"a failure is as old as its reading", []edit{{"timeline/failure.go", "Milestone{Kind: Unhealthy, Bounds: changed, Source: Observed", "Milestone{Kind: Unhealthy, Bounds: At(is.Read.Received), Source: Observed"}}, []rule{ruleBounds}, "TestScripts$/^put_back_before_it_fails"},
	{"a stop is as old as its reading", []edit{{"timeline/failure.go", "At(is.StoppedAt), AWS, \"stoppedAt\"", "At(is.Read.Received), AWS, \"stoppedAt\""}}, []rule{ruleBounds}, "TestScripts$/^put_back_before_it_fails"},
	{"a phase ends before it begins", []edit{{"timeline/phase.go", "Longest: max(0, to.NotAfter.Sub(from.NotBefore))", "Longest: max(0, from.NotBefore.Sub(to.NotAfter))"}}, []rule{ruleBounds}, "TestScripts$/^put_back_before_it_fails"},
	{"what AWS keeps back hides what fails", []edit{{"timeline/tracker.go", "\tt.openFromTasks(s)\n", "\tif len(s.Gaps) == 0 {\n\t\tt.openFromTasks(s)\n\t}\n"}}, []rule{ruleUntold}, "TestScripts$/^told_whatever_else_cannot_be_read"},
	{"the balancer's word counts for nothing", []edit{{"timeline/tracker.go", "\tt.openFromTargets(s)\n", ""}}, []rule{ruleUntold}, "TestScripts$/^told_whatever_else_cannot_be_read"},
	{"what ends by itself has not failed", []edit{{"timeline/open.go", "\tif !ok {\n", "\tif !ok || trigger == Exit {\n"}}, []rule{ruleUntold}, "TestScripts$/^told_whatever_else_cannot_be_read"},
	{"nobody but ECS takes anything out", []edit{{"timeline/actor.go", "m.By = ByOther", "m.By = ByECS"}}, []rule{ruleActor}, "TestScripts$/^told_whatever_else_cannot_be_read"},
	{"a call whose outcome was not kept is forgotten", []edit{{"resume.go", "\tc.recall()\n", ""}}, []rule{ruleActor}, "TestScripts$/^ended_after_the_call"},
	{"what nobody looked at has stayed as it was", []edit{
		{"timeline/rows.go", "if f.upSince(ft.read.Earliest()) {", "if false {"},
		{"timeline/actor.go", "if m.NotAfter.Sub(call.NotBefore) > back {", "if m.NotAfter.Sub(call.NotBefore) > back && false {"},
	}, []rule{ruleBounds}, "TestScripts$/^put_back_for_a_while_unseen"},
}

// rounds of worlds, so many a round, until a mistake shows.
const (
	brokenRounds = 10
	aRound       = 4
)

// Each guard, and each step of acting that keeps harm away, is broken on
// purpose, and the properties of this package must find the harm that it keeps
// away, by its name. The tree is not touched: the compiler is given other files.
func TestBroken(t *testing.T) {
	top, err := filepath.Abs("..")
	must(t, err)
	for _, m := range mistakes {
		m.write(t, top, t.TempDir()) // so that a change of the code that a mistake must follow shows at once
	}
	if !*broken {
		t.Skip("takes minutes; make broken runs it")
	}
	var table strings.Builder
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			began := time.Now()
			binary := m.build(t, top)
			var found []string
			worlds := 0
			for round := range brokenRounds {
				found = m.show(t, binary, round*aRound+1)
				worlds += aRound
				if slices.ContainsFunc(m.shows, func(r rule) bool { return slices.Contains(found, string(r)) }) {
					line := fmt.Sprintf("%-45s %-40s %3d worlds %4.0fs", m.name, strings.Join(found, " "), worlds, time.Since(began).Seconds())
					t.Log(line)
					table.WriteString(line + "\n")
					return
				}
				if m.by != "" && m.by[0] != ':' {
					break // its worlds are always the same
				}
			}
			fmt.Fprintf(&table, "%-45s NOT SHOWN, but %v in %d worlds\n", m.name, found, worlds)
			t.Errorf("%s: shown by %v, want one of %v", m.name, found, m.shows)
		})
	}
	t.Logf("\n%s", table.String())
}

// write writes the broken files and answers what the compiler is to replace.
func (m mistake) write(t *testing.T, top, dir string) (replace map[string]string) {
	t.Helper()
	replace = map[string]string{}
	for _, e := range m.edits {
		path := filepath.Join(top, filepath.FromSlash(e.file))
		from := path
		if other, again := replace[path]; again {
			from = other
		}
		b, err := os.ReadFile(from)
		must(t, err)
		if n := strings.Count(string(b), e.was); n != 1 {
			t.Fatalf("%s: %s has %q %d times: the code has changed, and this mistake must follow", m.name, e.file, e.was, n)
		}
		replace[path] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if from != path {
			replace[path] = from
		}
		must(t, os.WriteFile(replace[path], []byte(strings.Replace(string(b), e.was, e.is, 1)), 0o600))
	}
	return replace
}

// build compiles the tests of this package over a broken castoff.
func (m mistake) build(t *testing.T, top string) (binary string) {
	t.Helper()
	dir := t.TempDir()
	overlay := filepath.Join(dir, "overlay.json")
	b, err := json.Marshal(map[string]any{"Replace": m.write(t, top, dir)})
	must(t, err, os.WriteFile(overlay, b, 0o600))
	binary = filepath.Join(dir, "broken.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// saidBroken is a violation as a test reports it.
var saidBroken = regexp.MustCompile(`(?m)_test\.go:\d+: (?:seed \d+: )?([a-z_]+) at \d\d:\d\d:`)

// show runs the test and answers the rules that it found broken.
func (m mistake) show(t *testing.T, binary string, seed int) []string {
	t.Helper()
	test, theme, _ := strings.Cut(m.by, ":")
	test = cmp.Or(test, "TestSafetyNever")
	cmd := exec.CommandContext(t.Context(), binary, "-test.run", "^"+test+"$", "-never", fmt.Sprint(aRound), "-seed", fmt.Sprint(seed), "-theme", theme)
	out, _ := cmd.CombinedOutput() // it is to fail
	var rules []string
	for _, found := range saidBroken.FindAllSubmatch(out, -1) {
		if r := string(found[1]); !slices.Contains(rules, r) {
			rules = append(rules, r)
		}
	}
	return rules
}
