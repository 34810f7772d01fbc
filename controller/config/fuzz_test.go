package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/goccy/go-yaml/ast"

	"github.com/castoff-ecs/castoff/controller/policy"
)

func mustDocument(t *testing.T, data []byte) ast.Node {
	t.Helper()
	root, problem := document(data)
	if problem != nil {
		t.Fatal(problem)
	}
	return root
}

// SAFETY: whatever the file is, Parse answers with a Config that holds every
// rule or with a report of single printable lines that lie within the file.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/rules/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(files, "castoff.example.yaml", "testdata/everything-wrong.yaml") {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{
		"a: &a [*a]", "&a a: *a", "? {a: 1}\n: b", "!!binary a: b", "- - - -", "[[[[", "{{{{", "*", "&", "!", "|", "%", "\x00", "clusters: [~, [], {}, 1]",
		"services: [{match: a/*, limits: {floor: {count: 2}}}, ~, {match: [*, 5]}]\nlimits: {stale: ~, floor: []}", "pause: [{scope: all, until: 0001-01-01T00:00:00Z, forever: ~}, {reattach: false}]",
		"polling: {interval}", "polling: {interval: 0x10, deadline: 1e400}", "timelines: {keep: {count: 99999999999999999999}}", "polling: &a {<<: *a}",
	} {
		f.Add([]byte(s))
	}
	names := ruleNames()
	f.Fuzz(func(t *testing.T, data []byte) {
		// The parser takes time that grows with the square of some inputs.
		if len(data) > 4<<10 {
			t.Skip()
		}
		c, err := Parse("f", data)
		if err == nil {
			if err := c.Validate(); err != nil {
				t.Fatalf("Parse let through: %v", err)
			}
			if _, err := Parse("f", []byte(c.String())); err != nil && c.AWS.AssumeRole.ExternalID == "" {
				t.Fatalf("String does not parse: %v", err)
			}
			for i, s := range c.Services {
				s.Limits.Mode = policy.Detaching
				if problems := s.Limits.Validate(); len(problems) > 0 || len(s.Match) == 0 {
					t.Fatalf("Parse let through in services[%d]: %v", i, problems)
				}
			}
			for _, p := range c.Pauses() {
				if p.Until.IsZero() && !strings.Contains(string(data), "forever") || strings.TrimSpace(p.Owner) == "" || strings.TrimSpace(p.Reason) == "" {
					t.Fatalf("Parse let through %+v", p)
				}
			}
			return
		}
		var bad *ValidationError
		if !errors.As(err, &bad) || len(bad.Problems) == 0 {
			t.Fatalf("an error that reports nothing: %v", err)
		}
		lines := 1 + strings.Count(string(data), "\n") + strings.Count(string(data), "\r")
		for _, p := range bad.Problems {
			if !slices.Contains(names, p.Rule) {
				t.Errorf("%s breaks a rule that is not listed: %s", p, p.Rule)
			}
			if p.Line < 0 || p.Line > lines {
				t.Errorf("%s is on line %d of %d", p, p.Line, lines)
			}
			if strings.ContainsFunc(p.String(), func(c rune) bool { return !unicode.IsPrint(c) }) {
				t.Errorf("not a printable line: %q", p)
			}
		}
	})
}
