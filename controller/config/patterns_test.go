package config

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// slowMatch is a glob by its definition.
func slowMatch(pattern, s string) bool {
	if pattern == "" {
		return s == ""
	}
	one := s != "" && s[0] != '/'
	switch pattern[0] {
	case '*':
		return slowMatch(pattern[1:], s) || one && slowMatch(pattern, s[1:])
	case '?':
		return one && slowMatch(pattern[1:], s[1:])
	default:
		return s != "" && s[0] == pattern[0] && slowMatch(pattern[1:], s[1:])
	}
}

// Few letters, so that patterns and names meet.
var (
	drawPattern = rapid.StringMatching(`[ab_*?-]{1,5}/[ab_*?-]{1,5}`)
	drawID      = rapid.Custom(func(t *rapid.T) fleet.ServiceID {
		name := rapid.StringMatching(`[ab_-]{1,5}`)
		return fleet.ServiceID{Cluster: name.Draw(t, "cluster"), Name: name.Draw(t, "name")}
	})
)

// likely is a name that a pattern matches, by chance with a letter of its own.
func likely(t *rapid.T, pattern string) fleet.ServiceID {
	var b strings.Builder
	for _, c := range pattern {
		switch c {
		case '*':
			b.WriteString(rapid.StringMatching(`[ab]{0,2}`).Draw(t, "run"))
		case '?':
			b.WriteString(rapid.StringMatching(`[ab]`).Draw(t, "one"))
		default:
			b.WriteRune(c)
		}
	}
	cluster, name, _ := strings.Cut(b.String(), "/")
	return fleet.ServiceID{Cluster: cluster, Name: name + rapid.SampledFrom([]string{"", "", "", "a"}).Draw(t, "more")}
}

// SAFETY: a pattern matches what a glob matches, and no wildcard is a slash.
func TestSafetyPatternsAreGlobs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := drawPattern.Draw(t, "pattern")
		id := rapid.OneOf(drawID, rapid.Custom(func(t *rapid.T) fleet.ServiceID { return likely(t, pattern) })).Draw(t, "id")
		if got, want := (Patterns{pattern}).Match(id), slowMatch(pattern, id.String()); got != want {
			t.Fatalf("%s matches %s: %t, want %t", pattern, id, got, want)
		}
	})
}

// SAFETY: a pattern that is said to be covered matches nothing else.
func TestSafetyCoveredPatternsAreNeverReached(t *testing.T) {
	covered := 0
	rapid.Check(t, func(t *rapid.T) {
		// A short earlier one, with wildcards enough to cover the other now and then.
		earlier := rapid.OneOf(drawPattern, rapid.StringMatching(`[a*?]{1,3}/[a*?]{1,3}`)).Draw(t, "earlier")
		later := rapid.OneOf(drawPattern, rapid.StringMatching(`[a*?]{1,3}/[a*?]{1,3}`)).Draw(t, "later")
		if !covers(earlier, later) {
			return
		}
		covered++
		for range 20 {
			id := likely(t, later).String()
			if slowMatch(later, id) && !slowMatch(earlier, id) {
				t.Fatalf("%s is said to cover %s, but not %s", earlier, later, id)
			}
		}
	})
	if covered == 0 {
		t.Error("no pattern ever covered another")
	}
}

func TestCovers(t *testing.T) {
	tests := []struct {
		earlier, later string
		want           bool
	}{
		{"a/b", "a/b", true},
		{"a?/b*", "a?/b*", true},
		{"a/*", "a/b", true},
		{"a/*", "a/b?c*", true},
		{"*/*", "a/*", true},
		{"a/?", "a/b", true},
		{"a/??", "a/b?", true},
		{"a/?", "a/?", true},
		{"a/b", "a/*", false},
		{"a/?", "a/*", false}, // which may be empty, or longer
		{"a/??", "a/b*", false},
		{"a*/b", "b/b", false},
		{"a/*", "a*/b", false},
	}
	for _, test := range tests {
		if got := covers(test.earlier, test.later); got != test.want {
			t.Errorf("covers(%s, %s) = %t, want %t", test.earlier, test.later, got, test.want)
		}
	}
}
