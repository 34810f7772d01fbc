package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/castoff-ecs/castoff/controller/timeline"
)

// TestCompletionBash has bash itself complete: every command, and the words of
// flags as timelines has them.
func TestCompletionBash(t *testing.T) {
	script := castoff(t, nil, "completion", "bash")
	if script.code != exitOK {
		t.Fatal(script.err)
	}
	var commands []string
	for _, c := range model(t).Children {
		commands = append(commands, c.Name)
	}
	var triggers, outcomes []string
	for _, w := range timeline.Triggers {
		triggers = append(triggers, string(w))
	}
	for _, w := range timeline.Outcomes {
		outcomes = append(outcomes, string(w))
	}
	for _, tt := range []struct {
		words []string
		want  []string
	}{
		{[]string{"castoff", ""}, append(commands, "--help")},
		{[]string{"castoff", "timelines", "--trigger", ""}, triggers},
		{[]string{"castoff", "timelines", "--outcome", "=", ""}, outcomes},
		{[]string{"castoff", "timelines", "--outcome", "="}, outcomes},
		{[]string{"castoff", "timelines", "--wa"}, []string{"--watch"}},
		{[]string{"castoff", "services", "--cluster", ""}, nil},
		{[]string{"castoff", "completion", "z"}, []string{"zsh"}},
		{[]string{"castoff", "check", "completion_t"}, []string{"completion_test.go"}},
	} {
		line := script.out + "\nCOMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _castoff; printf '%s\\n' \"${COMPREPLY[@]}\""
		out, err := exec.CommandContext(t.Context(), "bash", append([]string{"--norc", "-c", line, "bash"}, tt.words...)...).CombinedOutput()
		got := strings.Fields(string(out))
		slices.Sort(got)
		slices.Sort(tt.want)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%q: %v, %q, want %q", tt.words, err, got, tt.want)
		}
	}
}
