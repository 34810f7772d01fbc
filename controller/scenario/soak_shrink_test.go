package scenario

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// shrink makes a script small in which the same rule is still broken: commands
// are left out, the latest first, ever fewer at a time; then lines of input,
// then arguments; then times become shorter.
func shrink(t *testing.T, p *played) *played {
	s := &shrinking{t: t, best: p, rule: p.found[0].rule, until: time.Now().Add(*soakPatience)}
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
	until time.Time
}

// try takes a script for the best one if the rule is broken in it.
func (s *shrinking) try(lines []line) bool {
	if time.Now().After(s.until) {
		return false
	}
	p := play(s.t, func(script *script, p *played) { p.all(script, lines) })
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
			for _, to := range []time.Duration{d / 2, d} {
				if to = to.Round(time.Second); to > 0 && to < d {
					ways = append(ways, line{text: "wait " + to.String()})
				}
			}
		}
		return ways
	})
}
