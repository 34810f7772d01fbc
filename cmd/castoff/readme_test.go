package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/castoff-ecs/castoff/controller/policy"
)

const readmeFile = "../../README.md"

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(readmeFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// between is the part of a text between two markers; ok is false without them.
func between(text, name string) (before, part, after string, ok bool) {
	before, rest, began := strings.Cut(text, "<!-- "+name+":begin -->\n")
	part, after, ended := strings.Cut(rest, "<!-- "+name+":end -->")
	return before, part, after, began && ended
}

// model is the command line as kong shows it.
func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(new(cli), kong.Name("castoff"), kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	parser.Model.Children = slices.DeleteFunc(parser.Model.Children, func(c *kong.Node) bool { return c.Hidden })
	return parser.Model
}

// TestReadmeCommands: README speaks of every command and flag, and of no other.
func TestReadmeCommands(t *testing.T) {
	text := readme(t)
	commands, flags := map[string]bool{}, map[string]bool{"help": true, "update": true, "task-definition": true, "endpoint-url": true}
	for _, c := range model(t).Children {
		commands[c.Name] = true
		if !regexp.MustCompile("castoff " + c.Name + `\b`).MatchString(text) {
			t.Errorf("nothing about castoff %s", c.Name)
		}
		for _, f := range c.Flags {
			flags[f.Name] = true
			if f.Name != "help" && !regexp.MustCompile("`(castoff check )?--"+regexp.QuoteMeta(f.Name)+`\b`).MatchString(text) {
				t.Errorf("nothing about --%s of castoff %s", f.Name, c.Name)
			}
		}
	}
	for _, m := range regexp.MustCompile("(?:`|\\$ |cmd/)castoff ([a-z]+)").FindAllStringSubmatch(text, -1) {
		if !commands[m[1]] {
			t.Errorf("there is no command %q", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`[^-\w<!]--([a-z][a-z.-]*)`).FindAllStringSubmatch(text, -1) {
		if !flags[m[1]] {
			t.Errorf("there is no flag --%s", m[1])
		}
	}
}

// TestReadmeExitCodes: README's table and --help have the codes there are.
func TestReadmeExitCodes(t *testing.T) {
	text := readme(t)
	for code := exitOK; code <= exitState; code++ {
		if !strings.Contains(text, fmt.Sprintf("\n| %d | ", code)) || !regexp.MustCompile(fmt.Sprintf(`[:;] %d [a-zA-Z]`, code)).MatchString(description) {
			t.Errorf("exit code %d is not documented", code)
		}
	}
	if strings.Contains(text, fmt.Sprintf("\n| %d | ", exitState+1)) || strings.Contains(description, fmt.Sprintf("; %d ", exitState+1)) {
		t.Error("an exit code is documented that does not exist")
	}
}

// TestReadmePolicies: README says of each policy in deploy/iam what it allows.
// That the policies are right is awsapi's to test.
func TestReadmePolicies(t *testing.T) {
	text := readme(t)
	for _, file := range []string{"observe.json", "detach.json"} {
		data, err := os.ReadFile("../../deploy/iam/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, m := range regexp.MustCompile(`"([a-z]+:[A-Z][A-Za-z]+)"`).FindAllStringSubmatch(string(data), -1) {
			want = append(want, m[1])
		}
		_, rest, _ := strings.Cut(text, "\n| ["+file+"](deploy/iam/"+file+") |")
		row, _, _ := strings.Cut(rest, "\n")
		var got []string
		for _, m := range regexp.MustCompile("`([a-z]+:[A-Z][A-Za-z]+)`").FindAllStringSubmatch(row, -1) {
			got = append(got, m[1])
		}
		slices.Sort(want)
		slices.Sort(got)
		if len(want) < 2 || !slices.Equal(got, want) {
			t.Errorf("README.md has of %s\n%s\nand it allows\n%s", file, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestReadmeGuards: README has every guard, in the order in which they decide.
func TestReadmeGuards(t *testing.T) {
	_, rest, _ := strings.Cut(readme(t), "\n| guard | it holds")
	table, _, _ := strings.Cut(rest, "\n\n")
	var got []policy.Guard
	for _, m := range regexp.MustCompile("\n\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		got = append(got, policy.Guard(m[1]))
	}
	if !slices.Equal(got, policy.Guards) {
		t.Errorf("README.md has the guards %q, there are %q", got, policy.Guards)
	}
}

// TestReadmeConfiguration: the examples in README are good, given the web
// configuration that one of them names.
func TestReadmeConfiguration(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readme(t), -1)
	if len(blocks) < 2 {
		t.Fatalf("%d configurations in README.md", len(blocks))
	}
	t.Chdir(filepath.Dir(write(t, "web.yaml", "")))
	for _, block := range blocks {
		if got := castoff(t, cleanEnv(t), "check", write(t, "castoff.yaml", block[1])); got.code != exitOK {
			t.Error(got.err)
		}
	}
}

// TestReadmePause: the example of a tag can be read.
func TestReadmePause(t *testing.T) {
	m := regexp.MustCompile(`\n` + policy.PauseTag + ` = (.*)\n`).FindStringSubmatch(readme(t))
	if m == nil {
		t.Fatal("no pause in README.md")
	}
	if p := policy.ParsePause(m[1]); p.Problem != "" || p.Owner == "" || p.Reason == "" || p.Until.IsZero() {
		t.Errorf("%+v", p)
	}
}
