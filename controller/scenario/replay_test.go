package scenario

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/castoff-ecs/castoff/controller/replay"
)

// Each case is what castoff once got wrong on an input that people really have. One
// that is pending must still be wrong: who mends it takes the mark away.
func TestReplays(t *testing.T) {
	files, err := filepath.Glob("testdata/replay/*.json")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("there are no cases")
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			c, err := replay.ReadCase(file)
			must(t, err)
			switch {
			case c.Name != name:
				t.Fatalf("the case's name is %q, and that of its file %q", c.Name, name)
			case len(c.Right.Checks) == 0 || c.Right.Prose == "" || c.Source == "":
				t.Fatal("a case in the tree has a source, and checks and prose of what is right")
			case c.Got != "":
				t.Fatal("what castoff once said belongs in the commit")
			}
			wrong := playInBubble(t, c)
			switch {
			case c.Pending == "" && len(wrong) > 0:
				t.Errorf("%s\nright: %s\n\n%s", c.Source, c.Right.Prose, strings.Join(wrong, "\n"))
			case c.Pending != "" && len(wrong) == 0:
				t.Errorf("it is right, but pending because %q: take the mark out of %s", c.Pending, file)
			case c.Pending != "":
				t.Logf("pending: %s\n%s", c.Pending, strings.Join(wrong, "\n"))
			}
		})
	}
}

// playInBubble plays a case, and answers what is wrong about it. REPLAY_SAYS names a
// file for all that castoff said in the end.
func playInBubble(t *testing.T, c *replay.Case) (wrong []string) {
	synctest.Test(t, func(t *testing.T) {
		said, err := PlayCase(t.Context(), c)
		must(t, err)
		if file := os.Getenv("REPLAY_SAYS"); file != "" {
			text, err := json.MarshalIndent(said.Last, "", " ")
			must(t, err, os.WriteFile(file, text, 0o600))
		}
		wrong = said.Wrong
	})
	return wrong
}
