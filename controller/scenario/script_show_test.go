package scenario

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/expfmt"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/sim"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// scripted is a castoff that a script runs.
type scripted struct {
	*daemon
	config config.Config
	kept   *journal.Journal
	judged *castoff // nil: nobody judges it
}

// castoff [NAME], its configuration as input
//
// Starts castoff with a configuration file like that, and a journal. Several run
// at once under different names.
func (s *script) cmdCastoff(a *arguments) string {
	name, _ := a.word()
	if s.daemons[name] != nil {
		a.fail("it runs already")
	}
	cfg, err := parse(a.d.Input)
	s.must(a, err)
	if s.judge != nil {
		s.startJudged(name, cfg)
		return ""
	}
	s.start(name, cfg, journal.Contents{})
	return ""
}

func (s *script) start(name string, cfg config.Config, past journal.Contents) {
	kept := journal.Memory(journal.Options{Keep: journal.Keep{Count: 1000, Age: 24 * time.Hour}})
	d := start(s.t, s.region, set{config: &cfg, journal: kept, past: past, book: s.book, handler: logHandler{to: &s.log, name: cmp.Or(name, "castoff")}})
	s.daemons[name] = &scripted{daemon: d, config: cfg, kept: kept}
}

// mistakes, a configuration as input
//
// Why castoff does not start with a configuration file like that.
func (s *script) cmdMistakes(a *arguments) string {
	_, err := parse(a.d.Input)
	if err == nil {
		return "none\n"
	}
	return err.Error() + "\n"
}

// restart [NAME] [after=DURATION] [clock=DURATION], another configuration as input
//
// Ends castoff as kill -9 does: what its journal has not got is lost. Starts it
// so much later, without input with the configuration that it had. clock=-10m sets the machine's clock back meanwhile, as far as the
// new castoff can tell: all that its journal has is so much later.
func (s *script) cmdRestart(a *arguments) string {
	after, _ := a.duration("after")
	clock, _ := a.duration("clock")
	name, _ := a.word()
	d := s.daemons[name]
	if d == nil {
		a.fail("there is no castoff %q", name)
	}
	synctest.Wait()
	if s.judge != nil {
		if clock != 0 || a.d.Input != "" {
			a.fail("neither the clock nor the configuration of what is judged can be changed")
		}
		s.again(d, after)
		return ""
	}
	if a.d.Input != "" {
		cfg, err := parse(a.d.Input)
		s.must(a, err)
		d.config = cfg
	}
	past, err := d.kept.Load()
	s.must(a, err, d.Stop(s.t.Context()))
	time.Sleep(after)
	if clock != 0 {
		s.must(a, shift(reflect.ValueOf(&past).Elem(), -clock))
	}
	s.start(name, d.config, past)
	return ""
}

// stamps are AWS's own, by the names of their fields: its clock is not set back.
var stamps = []string{"Created", "Started"}

// shift moves every instant in a value that castoff's own clock has told.
func shift(v reflect.Value, by time.Duration) error {
	if at, ok := v.Addr().Interface().(*time.Time); ok {
		if !at.IsZero() {
			*at = at.Add(by)
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if slices.Contains(stamps, v.Type().Field(i).Name) {
				continue
			}
			if !v.Type().Field(i).IsExported() {
				return fmt.Errorf("%s has what a script cannot reach", v.Type())
			}
			if err := shift(v.Field(i), by); err != nil {
				return err
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := shift(v.Index(i), by); err != nil {
				return err
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			return shift(v.Elem(), by)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(key))
			if err := shift(value, by); err != nil {
				return err
			}
			v.SetMapIndex(key, value)
		}
	case reflect.Interface:
		return fmt.Errorf("%s cannot be shifted", v.Type())
	}
	return nil
}

// wait DURATION [quiet]
//
// Lets time pass, and prints the writes that AWS carried out for anybody and,
// unless quiet, what castoff logged from INFO on.
func (s *script) cmdWait(a *arguments) string {
	s.log.quiet = a.is("quiet")
	d, err := time.ParseDuration(a.need("duration"))
	s.must(a, err)
	if s.judge == nil {
		time.Sleep(d)
	} else {
		s.watch(d)
	}
	synctest.Wait()
	s.names.learn(s.region, s.services)
	return ""
}

// tasks SERVICE
//
// The service's tasks as ECS has them.
func (s *script) cmdTasks(a *arguments) string {
	var b strings.Builder
	id := s.service(a, a.need("service"))
	s.names.learn(s.region, s.services)
	for _, t := range s.region.Tasks(id) {
		fmt.Fprintf(&b, "%s %s, desired %s, %s", t.ARN.ID(), t.Status, t.Desired, t.Health)
		if !t.Answering {
			b.WriteString(", does not answer")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// targets GROUP
//
// The group's rows as ELBv2 has them.
func (s *script) cmdTargets(a *arguments) string {
	var b strings.Builder
	for _, row := range s.region.Rows(s.names.groupARN(a)) {
		fmt.Fprintf(&b, "%s %s %s", row.Key.Address(), row.Zone, row.State)
		if row.Owner == nil {
			b.WriteString(", nobody's")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// truth TASK
//
// What really happened to a task that failed, as often as it did.
func (s *script) cmdTruth(a *arguments) string {
	arn := s.task(a, a.need("task"))
	var b strings.Builder
	for _, truth := range s.region.Truth() {
		if truth.Task != arn {
			continue
		}
		fmt.Fprintf(&b, "%s\n", truth.Cause)
		for _, k := range timeline.Kinds {
			if at := When(truth, k); !at.IsZero() {
				fmt.Fprintf(&b, "  %-20s %s\n", k, since(s.began, at))
			}
		}
		for _, t := range truth.Targets {
			fmt.Fprintf(&b, "  %s exposed %.1f s", t.Key.Address(), t.Exposed.Seconds())
			if !t.LastFlow.IsZero() {
				fmt.Fprintf(&b, ", last new flow %s", since(s.began, t.LastFlow))
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// timeline TASK [castoff=NAME]
//
// The task's timelines, the latest first: each milestone between its bounds, and
// NO behind one that does not hold the truth.
func (s *script) cmdTimeline(a *arguments) string {
	d := s.daemon(a)
	arn := s.task(a, a.need("task"))
	truths := slices.DeleteFunc(s.region.Truth(), func(t sim.Truth) bool { return t.Task != arn })
	view := d.View()
	var b strings.Builder
	of := slices.DeleteFunc(slices.Concat(view.Open, view.Closed), func(tl *timeline.Timeline) bool { return tl.Task != arn })
	for n, tl := range of {
		fmt.Fprintf(&b, "%s, %s", tl.Trigger, cmp.Or(string(tl.Outcome), "open"))
		if tl.Replacement != "" {
			fmt.Fprintf(&b, ", replaced by %s", tl.Replacement.ID())
		}
		b.WriteString("\n")
		for _, m := range tl.Milestones {
			fmt.Fprintf(&b, "  %-20s %s", m.Kind, since(s.began, m.NotBefore))
			if !m.NotAfter.Equal(m.NotBefore) {
				fmt.Fprintf(&b, " … %s", since(s.began, m.NotAfter))
			}
			fmt.Fprintf(&b, "  by %s", m.By)
			if i := len(of) - 1 - n; i < len(truths) && !holds(tl, m.Kind, m, truths[i]) {
				at := "it was undone, or never was"
				if is := When(truths[i], m.Kind); !is.IsZero() {
					at = since(s.began, is)
				}
				fmt.Fprintf(&b, "  NO: %s", at)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// daemon is the one that castoff=NAME names, or that without a name.
func (s *script) daemon(a *arguments) *scripted {
	name, _ := a.value("castoff")
	d := s.daemons[name]
	if d == nil {
		a.fail("there is no castoff %q", name)
	}
	return d
}

// verdict TASK [castoff=NAME]
//
// The last verdict about each of the task's targets, guard by guard.
func (s *script) cmdVerdict(a *arguments) string {
	d := s.daemon(a)
	arn := s.task(a, a.need("task"))
	var b strings.Builder
	for _, v := range d.View().Verdicts {
		if v.Task != arn {
			continue
		}
		fmt.Fprintf(&b, "%s %s: %s, mode %s\n", v.Action, v.Target.Address(), v.Decision, v.Mode)
		for _, f := range v.Findings {
			if !slices.Contains(policy.AllReasons(), f.Reason) {
				a.fail("policy does not list its reason %q, and nobody can ask for it", f.Reason)
			}
			fmt.Fprintf(&b, "  %-10s %-6s %s\n", f.Guard, f.Decision, f.Sentence)
		}
	}
	return b.String()
}

// detachments [why] [castoff=NAME]
//
// What castoff took out, or in mode observe would have: the open ones, then
// those that have ended. why says who put them back, and why the time saved is
// not known.
func (s *script) cmdDetachments(a *arguments) string {
	var b strings.Builder
	why := a.is("why")
	for _, d := range s.daemon(a).View().Detachments {
		fmt.Fprintf(&b, "%s of %s, %s, decided %s, tries %d, ", d.Target.Address(), d.Task.ID(), d.Mode, since(s.began, d.Decided), d.Tries)
		if d.Progress == policy.Closed {
			fmt.Fprintf(&b, "%s %s", d.Outcome, since(s.began, d.Ended))
		} else {
			b.WriteString(string(d.Progress))
		}
		if saved, ok := d.Saved(); ok {
			fmt.Fprintf(&b, ", saved %.1f to %.1f s", saved.Shortest.Seconds(), saved.Longest.Seconds())
		}
		if d.Back != nil && why {
			b.WriteString(", put back by " + d.PutBackBy())
		}
		if unknown := d.Unknown(); unknown != "" && why {
			b.WriteString(", saved " + unknown)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// metrics PREFIX… [castoff=NAME]
//
// The series that begin like that and are not 0.
func (s *script) cmdMetrics(a *arguments) string {
	families, err := s.daemon(a).registry.Gather()
	s.must(a, err)
	var text strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			a.fail("%v", err)
		}
	}
	var b strings.Builder
	for prefix, ok := a.word(); ok; prefix, ok = a.word() {
		for line := range strings.Lines(text.String()) {
			if strings.HasPrefix(line, prefix) && !strings.HasSuffix(line, " 0\n") {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// nameTable knows what scripts call tasks and groups.
type nameTable struct {
	task    map[string]fleet.TaskARN
	of      map[fleet.TaskARN]string
	count   map[fleet.ServiceID]int
	targets map[fleet.TaskARN][]fleet.TargetKey
	group   map[string]fleet.TargetGroupARN
	text    []string // pairs of what is written and what is shown
}

// learn names the tasks and groups that are new.
func (n *nameTable) learn(region *sim.Region, services []fleet.ServiceID) {
	if n.task == nil {
		*n = nameTable{
			task: map[string]fleet.TaskARN{}, of: map[fleet.TaskARN]string{}, count: map[fleet.ServiceID]int{},
			targets: map[fleet.TaskARN][]fleet.TargetKey{}, group: map[string]fleet.TargetGroupARN{},
		}
	}
	for _, id := range services {
		for _, task := range region.Tasks(id) {
			if len(task.Targets) > 0 {
				n.targets[task.ARN] = task.Targets
			}
			for _, key := range task.Targets {
				n.group[key.Group.Name()] = key.Group
			}
			if n.of[task.ARN] != "" {
				continue
			}
			n.count[id]++
			name := fmt.Sprintf("%s/%d", id.Name, n.count[id])
			n.task[name], n.of[task.ARN] = task.ARN, name
			n.text = append(n.text, string(task.ARN), name, task.ARN.ID(), name)
		}
	}
}

func (n *nameTable) groupARN(a *arguments) fleet.TargetGroupARN {
	name := a.need("target group")
	arn, ok := n.group[name]
	if !ok {
		a.fail("there is no target group %s", name)
	}
	return arn
}

// replace puts the names in the place of ARNs and ids.
func (n *nameTable) replace(text string) string {
	pairs := slices.Clone(n.text)
	for name, arn := range n.group {
		pairs = append(pairs, string(arn), name)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// eventLog is what has happened since somebody looked.
type eventLog struct {
	mu     sync.Mutex
	events []event
	quiet  bool // only what AWS did
}

type event struct {
	at        time.Time
	who, what string
}

func (l *eventLog) add(at time.Time, who, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, event{at, who, what})
}

// take empties the log: what happened, in order.
func (l *eventLog) take(began time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.SortStableFunc(l.events, func(a, b event) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.who, b.who)) })
	var b strings.Builder
	for _, e := range l.events {
		if l.quiet && e.who != "AWS" {
			continue
		}
		fmt.Fprintf(&b, "%s  %-8s %s\n", since(began, e.at), e.who, e.what)
	}
	l.events, l.quiet = nil, false
	return b.String()
}

// logHandler writes castoff's log, from INFO on, as scripts show it.
type logHandler struct {
	to   *eventLog
	name string
}

func (h logHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (h logHandler) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h logHandler) WithGroup(string) slog.Handler                { return h }

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	values := map[string]string{}
	var rest []string
	r.Attrs(func(a slog.Attr) bool {
		values[a.Key] = a.Value.String()
		rest = append(rest, a.Key+"="+a.Value.String())
		return true
	})
	text := fmt.Sprintf("%s: %s", r.Message, strings.Join(rest, " "))
	switch r.Message {
	case "pass panicked":
		text = r.Message + ": " + values["panic"] // the stack is of no interest
	case "decided":
		text = fmt.Sprintf("%s %s of %s: %s", values["action"], values["target"], values["task"], values["decision"])
		if values["guard"] != "" {
			text += " by " + values["guard"]
		}
		text += ": " + values["sentence"]
		if values["mode"] != string(policy.Detaching) {
			text += " (mode " + values["mode"] + ")"
		}
	case "timeline opened":
		text = fmt.Sprintf("timeline of %s opened: %s", values["task"], values["trigger"])
	case "timeline closed":
		text = fmt.Sprintf("timeline of %s closed: %s", values["task"], values["outcome"])
	case "targets changed", "targets not changed":
		text = fmt.Sprintf("%s %s in %s: %s %s", values["call"], strings.TrimSuffix(strings.TrimPrefix(values["targets"], "["), "]"), values["target_group"], values["result"], values["error"])
	case "detachment closed":
		text = fmt.Sprintf("detachment of %s closed: %s", values["task"], values["outcome"])
	}
	h.to.add(r.Time, h.name, strings.TrimRight(text, " "))
	return nil
}

// parse reads a script's configuration. Whether the state is kept the harness decides.
func parse(text string) (config.Config, error) {
	return config.Parse("castoff.yaml", []byte(text+"\n"), func(c *config.Config) { c.State = config.NoState })
}
