package scenario

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

var update = flag.Bool("update", false, "rewrite what the scripts in testdata expect, and the notification that README.md shows")

// TestScripts runs the scripts in testdata: named situations, the whole
// controller and a region in virtual time. A script is comments, commands and
// what each of them prints after ----. Times are minutes and seconds since it
// began; tasks are named SERVICE/N in the order in which ECS created them.
// Every command is described above its function.
func TestScripts(t *testing.T) {
	if *update {
		if err := flag.Set("rewrite", "true"); err != nil { // datadriven's own flag
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	book := &stateBook{met: map[pair]bool{}}
	var ran atomic.Int32
	t.Cleanup(func() {
		if int(ran.Load()) == len(files) { // else -run has chosen some
			book.check(t)
		}
	})
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			runScript(t, file, book)
			ran.Add(1)
		})
	}
}

// runScript runs a script in a bubble and compares what it prints. datadriven
// itself stays outside: a clock of its own runs beside each command.
func runScript(t *testing.T, file string, book *stateBook) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []datadriven.TestData
	datadriven.RunTestFromString(t, string(text), func(_ *testing.T, d *datadriven.TestData) string {
		line := *d
		line.CmdArgs = slices.Clone(d.CmdArgs)
		lines = append(lines, line)
		return d.Expected
	})
	var printed []string
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, began: time.Now(), daemons: map[string]*scripted{}, lifts: map[string]func(){}, book: book}
		for i := range lines {
			printed = append(printed, s.run(&lines[i]))
		}
		if s.judge != nil { // to be seen where a script fails before it comes to its violations
			for _, v := range s.judge.oracle.verdict() {
				t.Log(v)
			}
		}
	})
	datadriven.RunTest(t, file, func(*testing.T, *datadriven.TestData) string {
		first := printed[0]
		printed = printed[1:]
		return first
	})
}

// script is a script that runs.
type script struct {
	t        *testing.T
	began    time.Time
	region   *sim.Region
	services []fleet.ServiceID // as the script made them
	daemons  map[string]*scripted
	lifts    map[string]func() // of faults, by operation and effect
	names    nameTable
	log      eventLog
	book     *stateBook    // who notes what the tracker meets; nil: nobody
	judge    *bench        // who holds it to the rules; nil: nobody
	lenient  bool          // a command that cannot be carried out panics with a mistaken
	also     func(*script) // holds it to one rule more, after each command; nil: none
}

// commands are all that a script can say.
var commands = map[string]func(*script, *arguments) string{
	"region": (*script).cmdRegion, "cluster": (*script).cmdCluster, "service": (*script).cmdService,
	"hang": (*script).cmdTask, "crash": (*script).cmdTask, "kill-front": (*script).cmdTask, "exit": (*script).cmdTask,
	"recover": (*script).cmdTask, "disconnect": (*script).cmdTask, "reconnect": (*script).cmdTask,
	"interrupt": (*script).cmdTask, "stop": (*script).cmdTask,
	"next": (*script).cmdNext, "scale": (*script).cmdScale, "deploy": (*script).cmdDeploy, "task-set": (*script).cmdTaskSet, "say": (*script).cmdSay, "tag": (*script).cmdTag, "set": (*script).cmdSet,
	"delete": (*script).cmdDelete, "fault": (*script).cmdFault, "lift": (*script).cmdLift,
	"deregister": (*script).cmdChange, "register": (*script).cmdChange,
	"mistakes": (*script).cmdMistakes, "castoff": (*script).cmdCastoff, "restart": (*script).cmdRestart, "wait": (*script).cmdWait,
	"tasks": (*script).cmdTasks, "targets": (*script).cmdTargets, "truth": (*script).cmdTruth,
	"timeline": (*script).cmdTimeline, "verdict": (*script).cmdVerdict, "detachments": (*script).cmdDetachments,
	"metrics": (*script).cmdMetrics,
	"judge":   (*script).cmdJudge, "violations": (*script).cmdViolations, "settle": (*script).cmdSettle,
	"panic": (*script).cmdPanic, "disk": (*script).cmdDisk, "end": (*script).cmdEnd, "lose": (*script).cmdLose, "shift": (*script).cmdShift,
}

// run carries one command out. What is wrong with it ends the script.
func (s *script) run(d *datadriven.TestData) string {
	s.t.Helper()
	command := commands[d.Cmd]
	if command == nil {
		s.t.Fatalf("%s: unknown command %s; there are %s", d.Pos, d.Cmd, strings.Join(slices.Sorted(maps.Keys(commands)), ", "))
	}
	if s.region == nil && d.Cmd != "region" {
		s.t.Fatalf("%s: a script begins with a region", d.Pos)
	}
	a := &arguments{d: d, t: s.t, used: make([]bool, len(d.CmdArgs)), lenient: s.lenient}
	printed := command(s, a)
	a.finish()
	synctest.Wait()
	if s.also != nil && s.judge != nil {
		s.also(s)
	}
	return s.names.replace(s.log.take(s.began) + printed)
}

func (s *script) must(a *arguments, errs ...error) {
	s.t.Helper()
	for _, err := range errs {
		if err != nil {
			a.fail("%v", err)
		}
	}
}

// since is how scripts write an instant.
func since(began, at time.Time) string {
	d := at.Sub(began).Round(100 * time.Millisecond)
	sign := ""
	if d < 0 {
		d, sign = -d, "-"
	}
	if d >= time.Hour {
		return fmt.Sprintf("%s%d:%02d:%04.1f", sign, int(d.Hours()), int(d.Minutes())%60, (d % time.Minute).Seconds())
	}
	return fmt.Sprintf("%s%02d:%04.1f", sign, int(d.Minutes()), (d % time.Minute).Seconds())
}

// arguments are those of one command. Each must be asked for.
type arguments struct {
	d    *datadriven.TestData
	t    *testing.T
	used []bool

	lenient bool
}

// mistaken is why a command cannot be carried out.
type mistaken struct{ error }

func (a *arguments) fail(format string, values ...any) {
	a.t.Helper()
	if a.lenient {
		panic(mistaken{fmt.Errorf("%s: "+format, append([]any{a.d.Cmd}, values...)...)})
	}
	a.t.Fatalf("%s: %s: %s", a.d.Pos, a.d.Cmd, fmt.Sprintf(format, values...))
}

// word is the next argument without a value; ok is false when there is none.
func (a *arguments) word() (text string, ok bool) {
	for i, arg := range a.d.CmdArgs {
		if !a.used[i] && len(arg.Vals) == 0 {
			a.used[i] = true
			return arg.Key, true
		}
	}
	return "", false
}

// need is the next argument without a value, which must be there.
func (a *arguments) need(what string) string {
	a.t.Helper()
	text, ok := a.word()
	if !ok {
		a.fail("no %s given", what)
	}
	return text
}

// value is what an argument key=value has; ok is false when it is not given.
func (a *arguments) value(key string) (text string, ok bool) {
	for i, arg := range a.d.CmdArgs {
		if arg.Key == key && len(arg.Vals) > 0 {
			a.used[i] = true
			return strings.Join(arg.Vals, ","), true
		}
	}
	return "", false
}

// is reports that the word was given.
func (a *arguments) is(word string) bool {
	for i, arg := range a.d.CmdArgs {
		if arg.Key == word && len(arg.Vals) == 0 {
			a.used[i] = true
			return true
		}
	}
	return false
}

func (a *arguments) duration(key string) (time.Duration, bool) {
	a.t.Helper()
	text, ok := a.value(key)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		a.fail("%s: %v", key, err)
	}
	return d, true
}

func (a *arguments) number(key string) (int, bool) {
	a.t.Helper()
	text, ok := a.value(key)
	if !ok {
		return 0, false
	}
	var n int
	if _, err := fmt.Sscan(text, &n); err != nil {
		a.fail("%s=%s is no number", key, text)
	}
	return n, true
}

// finish fails on what nobody asked for.
func (a *arguments) finish() {
	a.t.Helper()
	for i, arg := range a.d.CmdArgs {
		if !a.used[i] {
			a.fail("left over: %s", arg.String())
		}
	}
}
