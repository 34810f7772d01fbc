package scenario

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// shrink makes a script small in which the same rule is still broken: commands
// are left out, the latest first, ever fewer at a time; then lines of input,
// then arguments; then times become shorter.
func shrink(t *testing.T, p *played, also func(*script), patience time.Duration) *played {
	s := &shrinking{t: t, best: p, rule: p.found[0].rule, also: also, until: time.Now().Add(patience)}
	for size := -1; size != len(s.best.lines) && time.Now().Before(s.until); {
		size = len(s.best.lines)
		s.commands()
	}
	s.inputs()
	s.words()
	s.commands()
	s.shorten()
	return s.best
}

type shrinking struct {
	t     *testing.T
	best  *played
	rule  rule
	also  func(*script)
	until time.Time
}

// try takes a script for the best one if the rule is broken in it.
func (s *shrinking) try(lines []line) bool {
	if time.Now().After(s.until) {
		return false
	}
	p := play(s.t, s.also, func(script *script, p *played) { p.all(script, lines) })
	if !slices.ContainsFunc(p.found, func(v violation) bool { return v.rule == s.rule }) {
		return false
	}
	if p.dropped > 0 { // what could not be carried out may have done half of it
		return s.try(p.lines)
	}
	s.best = p
	return true
}

// commands leaves out runs of commands, of half of them and ever fewer.
func (s *shrinking) commands() {
	for n := max(1, len(s.best.lines)/2); ; n /= 2 {
		for at := len(s.best.lines) - n; at > -n; {
			from := max(0, at)
			at -= n
			if to := min(from+n, len(s.best.lines)); from < to {
				s.try(slices.Concat(s.best.lines[:from], s.best.lines[to:]))
			}
		}
		if n == 1 {
			return
		}
	}
}

// change tries a script in which one command is another.
func (s *shrinking) change(i int, to line) bool {
	lines := slices.Clone(s.best.lines)
	lines[i] = to
	return s.try(lines)
}

// each tries what ways there are to change each command, the last one first. A
// change may cost other commands as well, if they then cannot be carried out.
func (s *shrinking) each(ways func(l line) []line) {
	for i := len(s.best.lines) - 1; i >= 0; i-- {
		for n := 0; i < len(s.best.lines); n++ {
			if all := ways(s.best.lines[i]); n >= len(all) {
				break
			} else if s.change(i, all[n]) {
				n = -1
			}
		}
	}
}

// inputs leaves out lines of input.
func (s *shrinking) inputs() {
	s.each(func(l line) (ways []line) {
		for j := len(l.input) - 1; j >= 0; j-- {
			ways = append(ways, line{l.text, slices.Delete(slices.Clone(l.input), j, j+1)})
		}
		return ways
	})
}

// words leaves out arguments.
func (s *shrinking) words() {
	s.each(func(l line) (ways []line) {
		words := strings.Fields(l.text)
		for j := len(words) - 1; j > 0; j-- {
			ways = append(ways, line{strings.Join(slices.Delete(slices.Clone(words), j, j+1), " "), l.input})
		}
		return ways
	})
}

// shorten makes waits shorter, and of whole seconds.
func (s *shrinking) shorten() {
	s.each(func(l line) (ways []line) {
		text, ok := strings.CutPrefix(l.text, "wait ")
		if d, err := time.ParseDuration(text); ok && err == nil {
			for _, to := range []time.Duration{d / 2, d * 3 / 4, d} {
				if to = to.Truncate(time.Second); to > 0 && to < d {
					ways = append(ways, line{text: "wait " + to.String()})
				}
			}
		}
		return ways
	})
}

// TestShrink: what the soak hands over is small, breaks the same rule, and is a
// script that TestScripts runs to the same end. The rule is one that castoff has to
// break: nothing is ever taken out.
func TestShrink(t *testing.T) {
	if *soakTime == 0 && *soakWorlds < 0 {
		t.Skip("a part of make soak-check")
	}
	const never rule = "never_out"
	also := func(s *script) {
		if s.judge.oracle.acted() {
			s.accuse(never, "a target was taken out")
		}
	}
	var p *played
	for seed := uint64(1); p == nil || len(p.found) == 0 || len(p.lines) < 20; seed++ {
		p = play(t, also, func(s *script, p *played) { p.draw(s, seed) })
	}
	small := shrink(t, p, also, 2*time.Minute)
	if small.found[0].rule != never || len(small.lines) > 8 {
		t.Errorf("%d commands of %d are left, and break %s:\n%s", len(small.lines), len(p.lines), small.found[0].rule, small.script("Too long."))
	}
	text := small.script("Made small.")
	file := filepath.Join(t.TempDir(), "small.txt")
	must(t, os.WriteFile(file, []byte(text[:strings.Index(text, "\nviolations\n")+1]), 0o600))
	runScript(t, file, nil)
	t.Logf("%d commands of %d:\n%s", len(small.lines), len(p.lines), text)
}

// acted reports that castoff took something out.
func (o *oracle) acted() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.effects > 0
}
