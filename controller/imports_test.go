package controller_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/castoff-ecs/castoff"

// room is a package's place in the house: what it may import of the rest of it.
// Tests may import more, see checkImport.
type room struct {
	imports []string
	why     string
}

// house is the whole of castoff. fleet ← timeline, policy ← notify ← config ←
// controller ← cmd, and fleet ← awsapi, journal, status, sim.
var house = map[string]room{
	"controller/fleet": {nil,
		"fleet is the vocabulary: everything leans on it, so it leans on nothing"},
	"controller/timeline": {[]string{"controller/fleet"},
		"timeline is pure: snapshots in, timelines out, and so it can be tested without a world around it"},
	"controller/policy": {[]string{"controller/fleet"},
		"policy is pure, and says what it needs in its own words: a guard must not depend on how timelines are kept"},
	"controller/notify": {[]string{"controller/fleet", "controller/timeline", "controller/policy"},
		"notify is pure: what castoff knows goes in, what to tell comes out; sending it is another's"},
	"controller/config": {[]string{"controller/fleet", "controller/timeline", "controller/policy", "controller/notify"},
		"config makes values for others to take; it starts nothing"},
	"controller/webhook": {[]string{"controller/notify"},
		"webhook sends what notify has put into words, and knows nothing of what it is about"},
	"controller/awsapi": {[]string{"controller/fleet"},
		"awsapi knows AWS and nothing of what is done with the answers"},
	"controller/journal": {[]string{"controller/fleet", "controller/timeline", "controller/policy"},
		"journal keeps what it is given and decides nothing"},
	"controller/status": {[]string{"controller/fleet", "controller/timeline", "controller/policy", "controller/notify"},
		"status is read-only: without the loop, AWS or the journal in reach it cannot change anything"},
	"controller/sim": {[]string{"controller/fleet"},
		"sim is judged against castoff, so it may share words with it but no reasoning"},
	"controller/replay": {nil,
		"replay plays what AWS answered, and must not learn from castoff what is right about it"},
	"controller/lab": {[]string{"controller/fleet", "controller/sim"},
		"lab is a region's real half: it knows nothing of castoff, which is judged by what its clients felt"},
	"controller/scenario": {[]string{"controller", "controller/awsapi", "controller/config", "controller/fleet", "controller/journal", "controller/notify", "controller/policy", "controller/replay", "controller/sim", "controller/status", "controller/timeline", "controller/webhook", "metrics"},
		"scenario puts the whole controller and the simulated region together, and nothing else does so"},
	"controller": {[]string{"controller/awsapi", "controller/config", "controller/fleet", "controller/journal", "controller/notify", "controller/policy", "controller/status", "controller/timeline", "controller/webhook", "metrics"},
		"the loop that runs in production must not be able to reach the simulated region, nor the command line"},
	"metrics": {[]string{"controller/fleet", "controller/timeline", "controller/policy", "controller/notify"},
		"metrics are readers: they describe the fleet and its timelines and own no control flow"},
	"deploy": {nil,
		"deploy is tests of what is not Go: nothing there can be imported, and nothing can import it"},
	"cmd/castoff": {[]string{"controller", "controller/awsapi", "controller/config", "controller/fleet", "controller/journal", "controller/lab", "controller/notify", "controller/policy", "controller/replay", "controller/scenario", "controller/sim", "controller/status", "controller/timeline", "controller/webhook", "metrics"},
		"cmd wires everything together"},
}

// ban keeps an import, and what is below it, to some packages.
type ban struct {
	path    string
	allowed []string
	inTests bool // allowed in every package's tests
	why     string
}

var bans = []ban{
	{"github.com/aws", []string{"controller/awsapi"}, true,
		"awsapi is the only door to AWS: one place paces calls, classifies errors and can write"},
	{"github.com/goccy/go-yaml", []string{"controller/config"}, true,
		"config is the one place that reads YAML, strictly"},
	{"go.etcd.io/bbolt", []string{"controller/journal"}, true,
		"journal is the only writer of the state file"},
	{"github.com/standard-webhooks", []string{"controller/webhook"}, false,
		"webhook alone signs what castoff tells"},
	{"github.com/alecthomas/kong", []string{"cmd/castoff"}, false,
		"flags belong to the command line; everything else takes values"},
	{"github.com/prometheus", []string{"metrics", "controller", "cmd/castoff"}, true,
		"every metric is declared in the one catalogue"},
	{"os/signal", []string{"cmd/castoff"}, true,
		"only cmd decides when the process ends"},
	{"os/exec", []string{"controller/lab"}, true,
		"castoff starts no processes: its image holds nothing but castoff, and is built without the lab"},
	{"google.golang.org", []string{"controller/lab"}, true,
		"gRPC is what the lab's app and clients speak; castoff does not, and its image is built without it"},
	{"unsafe", nil, false,
		"castoff is not short of nanoseconds"},
	{"C", nil, false,
		"castoff is one static binary"},
}

// pure are the packages that are told everything, the time included, and the
// standard packages that would tell them something behind their caller's back.
var (
	pure   = []string{"controller/fleet", "controller/timeline", "controller/policy", "controller/notify"}
	impure = []string{"bufio", "context", "crypto/rand", "database", "expvar", "io", "log", "math/rand", "net", "os", "runtime", "sync", "syscall", "testing"}
	// harmless are parts of the above that only name or compute things.
	harmless = []string{"net/netip", "net/url"}
)

var (
	roots = []string{"cmd", "controller", "deploy", "docs", "metrics"}
	vague = []string{"base", "common", "helper", "helpers", "internal", "misc", "shared", "types", "util", "utils"}
)

// imported is one import of one file.
type imported struct {
	pkg  string // importing package, relative to the module: controller/fleet
	file string
	path string // as in the import declaration
	test bool
}

// breaks says which rule an import breaks and why the rule is there; empty when
// it breaks none.
func (i imported) breaks() string {
	if own, inside := strings.CutPrefix(i.path, module+"/"); inside {
		return i.breaksHouse(own)
	}
	for _, b := range bans {
		if within(i.path, b.path) && !slices.Contains(b.allowed, i.pkg) && !(i.test && b.inTests) {
			if len(b.allowed) == 0 {
				return fmt.Sprintf("nothing may import %s: %s", b.path, b.why)
			}
			return fmt.Sprintf("only %s may import %s: %s", oneOf(b.allowed), b.path, b.why)
		}
	}
	if i.test || !slices.Contains(pure, i.pkg) {
		return ""
	}
	if first, _, _ := strings.Cut(i.path, "/"); strings.Contains(first, ".") {
		return "pure packages import the standard library only: " + house[i.pkg].why
	}
	if slices.ContainsFunc(impure, func(p string) bool { return within(i.path, p) }) && !slices.Contains(harmless, i.path) {
		return "pure packages have no clock, log, context or I/O: what they answer must follow from what they are given"
	}
	return ""
}

func (i imported) breaksHouse(own string) string {
	home := house[i.pkg]
	switch {
	case i.test && !within(own, "cmd"), own == i.pkg, slices.Contains(home.imports, own):
		return ""
	case i.test:
		return "nothing imports cmd: it is where everything ends"
	default:
		return fmt.Sprintf("%s may import %s of castoff: %s", i.pkg, oneOf(home.imports), home.why)
	}
}

// TestImportsRunOneWay reads the files itself. The go command would list the
// same, but a test's cached result does not notice what another process read.
func TestImportsRunOneWay(t *testing.T) {
	imports := importsBelow(t, "..")
	if len(imports) == 0 {
		t.Fatal("no imports found")
	}
	for _, i := range imports {
		if _, ok := house[i.pkg]; !ok {
			t.Errorf("%s: %s is no package of the house: give it a place in the map above, in CONTRIBUTING.md and in .golangci.yml", i.file, i.pkg)
			continue
		}
		if why := i.breaks(); why != "" {
			t.Errorf("%s imports %s, but %s", i.file, i.path, why)
		}
	}
}

// The map itself must run one way: no package may reach itself.
func TestHouseHasNoCycle(t *testing.T) {
	var visit func(pkg string, way []string)
	visit = func(pkg string, way []string) {
		if slices.Contains(way, pkg) {
			t.Fatalf("the house goes round in a circle: %s", strings.Join(append(way, pkg), " → "))
		}
		for _, next := range house[pkg].imports {
			if _, ok := house[next]; !ok {
				t.Errorf("%s may import %s, which is not in the house", pkg, next)
			}
			visit(next, append(slices.Clone(way), pkg))
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(house)) {
		visit(pkg, nil)
	}
}

func TestBreaks(t *testing.T) {
	tests := []struct {
		pkg, path string
		test      bool
		bad       bool
	}{
		{"controller/timeline", module + "/controller/fleet", false, false},
		{"controller/fleet", module + "/controller/timeline", false, true},
		{"controller/timeline", module + "/controller/policy", false, true},
		{"controller/timeline", module + "/controller/sim", true, false},
		{"controller", module + "/controller/sim", false, true},
		{"controller", module + "/controller/sim", true, false},
		{"controller", module + "/cmd/castoff", true, true},
		{"cmd/castoff", module + "/controller/sim", false, false},
		{"controller/status", module + "/controller/awsapi", false, true},
		{"controller/awsapi", "github.com/aws/aws-sdk-go-v2/service/ecs", false, false},
		{"controller", "github.com/aws/smithy-go", false, true},
		{"controller/sim", "github.com/aws/aws-sdk-go-v2/aws", true, false},
		{"controller/sim", "github.com/aws/aws-sdk-go-v2/aws", false, true},
		{"controller/timeline", "github.com/prometheus/client_golang/prometheus", false, true},
		{"controller/timeline", "golang.org/x/sync/errgroup", false, true},
		{"controller/timeline", "log/slog", false, true},
		{"controller/timeline", "context", false, true},
		{"controller/fleet", "net/netip", false, false},
		{"controller/fleet", "net/http", false, true},
		{"controller/fleet", "os", true, false},
		{"controller", "log/slog", false, false},
		{"controller", "os/signal", false, true},
		{"controller/status", "os/exec", false, true},
	}
	for _, test := range tests {
		i := imported{pkg: test.pkg, path: test.path, test: test.test}
		if why := i.breaks(); (why != "") != test.bad {
			t.Errorf("%s importing %s (test %t): %q, want a reason: %t", test.pkg, test.path, test.test, why, test.bad)
		}
	}
}

func TestFoldersSayWhatIsInThem(t *testing.T) {
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(roots, e.Name()) {
			t.Errorf("%s is a new top-level folder: a newcomer should find everything below %s", e.Name(), oneOf(roots))
		}
	}
	for _, root := range roots {
		if _, err := os.Stat(filepath.Join("..", root)); os.IsNotExist(err) {
			continue
		}
		walk(t, filepath.Join("..", root), func(file string, d fs.DirEntry) {
			if d.IsDir() && slices.Contains(vague, d.Name()) {
				t.Errorf("%s: the name %s says nothing of what is in it", file, d.Name())
			}
		})
	}
}

// A test that sleeps in real time is slow on a good day and fails on a bad one.
// That a sleep is in a bubble is more than the syntax can tell; that the tests
// of its package know of bubbles is not.
func TestSleepsAreInBubbles(t *testing.T) {
	sleeps := map[string]string{} // a file that sleeps, by folder
	bubbles := map[string]bool{}  // folders
	walk(t, "..", func(file string, d fs.DirEntry) {
		if d.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range syntax.Imports {
			if s.Path.Value == `"testing/synctest"` {
				bubbles[filepath.Dir(file)] = true
			}
		}
		ast.Inspect(syntax, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Sleep" {
				if of, ok := s.X.(*ast.Ident); ok && of.Name == "time" {
					sleeps[filepath.Dir(file)] = file
				}
			}
			return true
		})
	})
	for dir, file := range sleeps {
		if !bubbles[dir] {
			t.Errorf("%s sleeps outside of a testing/synctest bubble", file)
		}
	}
}

// A map that lacks a room is worse than none.
func TestContributingHasTheMap(t *testing.T) {
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, i := range importsBelow(t, "..") {
		there[i.pkg] = true
	}
	for _, pkg := range slices.Sorted(maps.Keys(there)) {
		if !strings.Contains(string(text), "\n| `"+pkg+"` |") {
			t.Errorf("the map in CONTRIBUTING.md has no line for %s", pkg)
		}
	}
}

// importsBelow are the imports of every Go file below dir, whatever its build
// constraints.
func importsBelow(t *testing.T, dir string) []imported {
	t.Helper()
	var found []imported
	walk(t, dir, func(file string, d fs.DirEntry) {
		if d.IsDir() || path.Ext(file) != ".go" {
			return
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			t.Fatal(err)
		}
		name = filepath.ToSlash(name)
		for _, spec := range syntax.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, imported{pkg: path.Dir(name), file: name, path: p, test: strings.HasSuffix(name, "_test.go")})
		}
	})
	return found
}

// walk calls visit for everything below dir that the go command would see.
func walk(t *testing.T, dir string, visit func(file string, d fs.DirEntry)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != dir && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_")) {
			return fs.SkipDir
		}
		visit(file, d)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// within reports whether an import path is root or below it.
func within(importPath, root string) bool {
	return importPath == root || strings.HasPrefix(importPath, root+"/")
}

func oneOf(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
