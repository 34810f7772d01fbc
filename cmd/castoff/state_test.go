package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A castoff that may detach and would forget what it took out does not start, whoever
// says so: a file, a rule in it, a flag. Where the command line has the directory, the
// file need not.
func TestDetachingWantsState(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	detach := file("detach.yaml", "mode: detach\n")
	rule := file("rule.yaml", "services: [{match: prod/api, mode: detach}]\n")
	meant := file("meant.yaml", "mode: detach\nstate: none\n")
	observe := file("observe.yaml", "mode: observe\n")
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"check", []string{"check", detach}, 3, "1: state: must be a directory"},
		{"check, by a rule", []string{"check", rule}, 3, "1: state: must be a directory"},
		{"check, meant", []string{"check", meant}, 0, "is good"},
		{"check, observing", []string{"check", observe}, 0, "is good"},
		{"check, with run's directory", []string{"check", "--state", "/state", detach}, 0, "is good"},
		{"run", []string{"run", "--config", detach}, 3, "state: must be a directory"},
		{"run, by a flag", []string{"run", "--mode", "detach"}, 3, "state: must be a directory"},
		{"run, by a flag over a file", []string{"run", "--config", observe, "--mode", "detach"}, 3, "state: must be a directory"},
		{"run, with its directory", []string{"run", "--config", detach, "--state", dir}, 4, "no AWS region"},
		{"run, meant", []string{"run", "--mode", "detach", "--state", "none"}, 4, "no AWS region"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := castoff(t, cleanEnv(t), c.args...)
			if said := got.out + got.err; got.code != c.code || !strings.Contains(said, c.says) {
				t.Errorf("exit code %d, want %d: %s", got.code, c.code, said)
			}
		})
	}
	if _, err := os.Stat("none"); err == nil {
		t.Error("there is a directory none")
	}
}
