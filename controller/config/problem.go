package config

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a configuration.
type Problem struct {
	Line int    // in the file, from 1; 0 when no line of it is to blame
	Path string // of the setting, such as clusters[2]; empty for the file as a whole
	Rule string // the name of the rule that is broken, such as polling.interval.range
	Must string // what the rule asks, in words
	Got  string // what was there instead; empty where it says nothing or is secret
}

// String is one line without the file's name and the problem's line.
func (p Problem) String() string {
	s := p.Must
	if p.Path != "" {
		s = p.Path + ": " + s
	}
	if p.Got != "" {
		s += " (got " + p.Got + ")"
	}
	return s
}

// ValidationError is every mistake that was found in a configuration.
type ValidationError struct {
	File     string    // as given to Parse; empty from Validate
	Problems []Problem // at least one, sorted by line and path
}

// reportLimit keeps a file that is no configuration at all from filling the
// log. Problems has them all.
const reportLimit = 50

// Error is one line a problem: castoff.yaml:12: polling.interval: must be
// between 1s and 5m (got 0s).
func (e *ValidationError) Error() string {
	var lines []string
	for _, p := range e.Problems[:min(len(e.Problems), reportLimit)] {
		where := e.File
		if where != "" && p.Line > 0 {
			where = fmt.Sprintf("%s:%d", where, p.Line)
		}
		if where != "" {
			where += ": "
		}
		lines = append(lines, where+p.String())
	}
	if more := len(e.Problems) - reportLimit; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// asError makes an error of the problems; nil when there are none.
func asError(file string, problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return strings.Compare(a.Path, b.Path)
	})
	return &ValidationError{File: file, Problems: problems}
}
