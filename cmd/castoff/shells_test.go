package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// allShells demands that zsh and fish are tested too: make shells sets it, which
// installs them.
const allShells = "CASTOFF_ALL_SHELLS"

// TestCompletionInShells is a person who presses the tab key.
func TestCompletionInShells(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "castoff")); err != nil {
		t.Fatal(err)
	}
	for _, shell := range []struct {
		name string
		args []string
		load string
	}{
		{"bash", []string{"--norc", "--noprofile", "-i"}, "source <(castoff completion bash)"},
		{"zsh", []string{"-f", "-i"}, "autoload -U compinit; compinit -u -D; source <(castoff completion zsh)"},
		{"fish", []string{"--no-config", "--interactive"}, "castoff completion fish | source"},
	} {
		t.Run(shell.name, func(t *testing.T) {
			path, err := exec.LookPath(shell.name)
			if err != nil && os.Getenv(allShells) == "" {
				t.Skip(err)
			} else if err != nil {
				t.Fatal(err)
			}
			env := []string{
				"HOME=" + t.TempDir(), "PATH=" + bin + ":" + os.Getenv("PATH"), "PS1=ready> ", "XDG_CONFIG_HOME=", "XDG_DATA_HOME=", "HISTFILE=",
			}
			x := onATerminal(t, exec.CommandContext(t.Context(), path, shell.args...), 100, 24, env)
			x.types(t, "function fish_prompt; echo 'ready> '; end\r", shell.name == "fish")
			x.shows(t, "ready>")
			x.types(t, shell.load+"; echo lo''aded\r", true)
			x.shows(t, "\nloaded")
			for _, tt := range []struct{ typed, got string }{
				{"castoff expl\t", "castoff explain"},
				{"castoff timelines --trig\t", "castoff timelines --trigger"},
				{"castoff timelines --outcome reti\t", "castoff timelines --outcome retired"},
				{"castoff completion z\t", "castoff completion zsh"},
			} {
				x.types(t, tt.typed, true)
				x.shows(t, tt.got)
				x.types(t, "\x15clear\r", true) // whatever was typed is forgotten
				x.sees(t, "an empty screen", func(lines []string) bool { return !strings.Contains(strings.Join(lines, "\n"), "castoff") })
			}
		})
	}
}
