package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
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

// model is the command line as kong sees it.
func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(new(cli), kong.Name("castoff"), kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// TestReadmeCommands: README speaks of every command and flag, and of no other.
func TestReadmeCommands(t *testing.T) {
	text := readme(t)
	commands, flags := map[string]bool{}, map[string]bool{"help": true, "update": true}
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
	for code := exitOK; code <= exitListen; code++ {
		if !strings.Contains(text, fmt.Sprintf("\n| %d | ", code)) || !regexp.MustCompile(fmt.Sprintf(`[:;] %d [a-zA-Z]`, code)).MatchString(description) {
			t.Errorf("exit code %d is not documented", code)
		}
	}
	if strings.Contains(text, fmt.Sprintf("\n| %d | ", exitListen+1)) || strings.Contains(description, fmt.Sprintf("; %d ", exitListen+1)) {
		t.Error("an exit code is documented that does not exist")
	}
}

// TestReadmePolicy: the IAM policy in README allows what awsapi calls and
// nothing else.
func TestReadmePolicy(t *testing.T) {
	_, rest, _ := strings.Cut(readme(t), "```json\n{\n  \"Version\"")
	block, _, _ := strings.Cut(rest, "```")
	var policy struct{ Statement []struct{ Action []string } }
	if err := json.Unmarshal([]byte("{\"Version\""+block), &policy); err != nil || len(policy.Statement) != 1 {
		t.Fatalf("no policy in README.md: %v", err)
	}
	files, err := filepath.Glob("../../controller/awsapi/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\bo\.(ecs|elb)\.([A-Z]\w+)`).FindAllStringSubmatch(string(code), -1) {
			want = append(want, strings.Replace(m[1], "elb", "elasticloadbalancing", 1)+":"+m[2])
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)
	got := slices.Sorted(slices.Values(policy.Statement[0].Action))
	if len(want) < 10 || !slices.Equal(got, want) {
		t.Errorf("README.md allows\n%s\nand awsapi calls\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestReadmeConfiguration: the example in README is good, given the web
// configuration that it names.
func TestReadmeConfiguration(t *testing.T) {
	_, rest, _ := strings.Cut(readme(t), "```yaml\n")
	block, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no configuration in README.md")
	}
	file := write(t, "castoff.yaml", block)
	t.Chdir(filepath.Dir(write(t, "web.yaml", "")))
	if got := castoff(t, cleanEnv(t), "check", file); got.code != exitOK {
		t.Error(got.err)
	}
}
