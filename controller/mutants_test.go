package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	gotoken "go/token"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	mutants     = flag.Duration("mutants", 0, "for so long, change the code of each place in the ways that mutations has, one at a time, and demand that its package's tests tell: see make mutants")
	mutantsOf   = flag.String("mutantsof", "", "only those whose name begins so, as policy/ or journal/bolt.go")
	mutantsSeed = flag.Uint64("mutantsseed", 1, "in what order")
)

// place is code whose mutants its package's own tests are to kill.
type place struct {
	files []string // patterns
	// of are the tests that can tell, by the files that they are in; none: all of the
	// package. What they do not reach others may, but none that takes a minute does.
	of    []string
	share float64 // of its mutants, at least so many are killed; see unlikely for some of them
	rapid bool    // its tests take rapid's flags

	tests string // the names of those of of
	limit time.Duration
	fates map[string]int
}

// places are those where a mistake takes a healthy target out, or keeps one out, or
// says that it was not so.
func places() []*place {
	return []*place{
		{files: []string{"policy/*.go"}, share: 1, rapid: true},
		{files: []string{"timeline/*.go"}, share: 0.9, rapid: true},
		{files: []string{"journal/*.go"}, share: 0.9, rapid: true},
		{files: []string{"act.go", "write.go", "detachments.go"}, share: 0.9},
		{files: []string{"awsapi/write.go"}, of: []string{"awsapi/write_test.go", "awsapi/act_sim_test.go"}, share: 0.9, rapid: true},
	}
}

func (p *place) dir() string { return filepath.Dir(p.files[0]) }

// mutations are what is put in the place of an operator. Public tools leave out
// the conditions of case clauses, which the compiler does not count as covered,
// and half of the guards are written in those.
var mutations = map[gotoken.Token][]gotoken.Token{
	gotoken.EQL: {gotoken.NEQ}, gotoken.NEQ: {gotoken.EQL},
	gotoken.LSS: {gotoken.LEQ, gotoken.GEQ}, gotoken.LEQ: {gotoken.LSS, gotoken.GTR},
	gotoken.GTR: {gotoken.GEQ, gotoken.LEQ}, gotoken.GEQ: {gotoken.GTR, gotoken.LSS},
	gotoken.LAND: {gotoken.LOR}, gotoken.LOR: {gotoken.LAND},
	gotoken.ADD: {gotoken.SUB}, gotoken.SUB: {gotoken.ADD}, gotoken.MUL: {gotoken.QUO}, gotoken.QUO: {gotoken.MUL},
	gotoken.SHL: {gotoken.SHR}, gotoken.INC: {gotoken.DEC}, gotoken.DEC: {gotoken.INC},
	gotoken.ADD_ASSIGN: {gotoken.SUB_ASSIGN}, gotoken.SUB_ASSIGN: {gotoken.ADD_ASSIGN},
}

// mutant is one changed place. Its name says what is changed, and not where: it
// stays what it is when lines above it change.
type mutant struct {
	place      *place
	file, name string
	from, to   int // the bytes that are replaced
	by         string
}

// mutantsIn finds what can be changed in a file.
func mutantsIn(t *testing.T, file string) []mutant {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	set := gotoken.NewFileSet()
	f, err := parser.ParseFile(set, file, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []mutant
	names := map[string]int{}
	offset := func(p gotoken.Pos) int { return set.Position(p).Offset }
	text := func(n ast.Node) string {
		var b bytes.Buffer
		if err := printer.Fprint(&b, set, n); err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(b.String()), " ")
	}
	in := ""
	add := func(n ast.Node, from, to int, by, what string) {
		name := fmt.Sprintf("%s %s: %s: %s", file, in, text(n), what)
		if names[name]++; names[name] > 1 {
			name = fmt.Sprintf("%s (%d)", name, names[name])
		}
		found = append(found, mutant{file: file, name: name, from: from, to: to, by: by})
	}
	operator := func(n ast.Node, at gotoken.Pos, op gotoken.Token) {
		for _, by := range mutations[op] {
			add(n, offset(at), offset(at)+len(op.String()), by.String(), op.String()+" to "+by.String())
		}
	}
	for _, d := range f.Decls {
		in = "top"
		if fn, ok := d.(*ast.FuncDecl); ok {
			in = fn.Name.Name
		}
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				operator(n, n.OpPos, n.Op)
			case *ast.IncDecStmt:
				operator(n, n.TokPos, n.Tok)
			case *ast.UnaryExpr:
				if n.Op == gotoken.NOT {
					add(n, offset(n.OpPos), offset(n.OpPos)+1, "", "without !")
				}
			case *ast.Ident:
				if other := map[string]string{"true": "false", "false": "true"}[n.Name]; other != "" {
					add(n, offset(n.Pos()), offset(n.End()), other, "to "+other)
				}
			case *ast.AssignStmt:
				if operator(n, n.TokPos, n.Tok); n.Tok == gotoken.ASSIGN {
					add(n, offset(n.Pos()), offset(n.End()), "", "left out")
				}
			case *ast.ExprStmt:
				add(n, offset(n.Pos()), offset(n.End()), "", "left out")
			case *ast.BranchStmt:
				add(n, offset(n.Pos()), offset(n.End()), "", "left out")
			}
			return true
		})
	}
	return found
}

// The fates of a mutant.
const (
	notGo    = "does not compile"
	killed   = "killed"
	timedOut = "killed by the time limit"
	survived = "SURVIVED"
)

// judge runs the tests of the package over the changed file.
func (m mutant) judge(ctx context.Context, dir string) (string, error) {
	src, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	return m.place.run(ctx, dir, m.file, slices.Concat(src[:m.from], []byte(m.by), src[m.to:]))
}

// run is what the tests of the package say of a file that holds something else. The
// tree is not touched: the compiler is given another file.
func (p *place) run(ctx context.Context, dir, file string, src []byte) (string, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	changed, overlay, binary := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "tests")
	b, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.WriteFile(changed, src, 0o600), os.WriteFile(overlay, b, 0o600)); err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, ".")
	build.Dir = p.dir()
	if build.Run() != nil {
		return notGo, ctx.Err()
	}
	limited, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	args := []string{"-test.failfast", "-test.run", p.tests}
	if p.rapid {
		args = append(args, "-rapid.seed", "1", "-rapid.shrinktime", "1ms", "-rapid.nofailfile")
	}
	tests := exec.CommandContext(limited, binary, args...)
	tests.Dir = p.dir()
	err = tests.Run()
	switch {
	case limited.Err() != nil:
		return timedOut, ctx.Err()
	case err != nil:
		return killed, nil
	}
	return survived, nil
}

// ready finds the tests of a place, and sees them pass: else all would be killed.
func (p *place) ready(t *testing.T) {
	t.Helper()
	for _, file := range p.of {
		f, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				p.tests += "|^" + fn.Name.Name + "$"
			}
		}
	}
	p.tests = strings.TrimPrefix(p.tests, "|")
	files, err := filepath.Glob(p.files[0])
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	p.limit = 2 * time.Minute
	begun := time.Now()
	if fate, err := p.run(t.Context(), t.TempDir(), files[0], src); fate != survived || err != nil {
		t.Fatalf("%s: unchanged it is %s, %v", p.dir(), fate, err)
	}
	p.limit = max(20*time.Second, 2*time.Since(begun))
}

// equivalents are the mutants that may survive, each with the reason, as
// testdata/mutants.txt lists them.
func equivalents(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "mutants.txt"))
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, why, ok := strings.Cut(line, "\t")
		if !ok || strings.TrimSpace(why) == "" {
			t.Errorf("testdata/mutants.txt: no reason: %s", line)
		}
		list[name] = why
	}
	return list
}

// mutants are all of them, in the order of the seed.
func (p *place) mutants(t *testing.T) (all []mutant) {
	t.Helper()
	for _, pattern := range p.files {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				all = append(all, mutantsIn(t, file)...)
			}
		}
	}
	for i := range all {
		all[i].place = p
	}
	rand.New(rand.NewPCG(*mutantsSeed, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// Operators, negations, assignments and calls are changed, one at a time, and the
// package's own tests must fail. What may survive is in testdata/mutants.txt, with
// the reason; nothing is there that does not exist.
func TestMutants(t *testing.T) {
	may, there := equivalents(t), map[string]bool{}
	all := places()
	var turns [][]mutant // one of each place
	for _, p := range all {
		p.fates = map[string]int{}
		n := 0
		for _, m := range p.mutants(t) {
			if there[m.name] = true; !strings.HasPrefix(m.name, *mutantsOf) {
				continue
			}
			if n == len(turns) {
				turns = append(turns, nil)
			}
			turns[n] = append(turns[n], m)
			n++
		}
	}
	for name := range may {
		if !there[name] {
			t.Errorf("testdata/mutants.txt: there is no such mutant (any more): %s", name)
		}
	}
	if *mutants == 0 {
		t.Skipf("%d mutants take hours; make mutants judges them, and make mutants-check some", len(there))
	}
	t.Logf("seed %d", *mutantsSeed)
	end := time.Now().Add(*mutants)
	todo := slices.Concat(turns...)
	for _, p := range all {
		if slices.ContainsFunc(todo, func(m mutant) bool { return m.place == p }) {
			p.ready(t)
		}
	}
	next := make(chan mutant)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			dir := t.TempDir()
			for m := range next {
				fate, err := m.judge(t.Context(), dir)
				mu.Lock()
				switch why, allowed := may[m.name]; {
				case err != nil:
					t.Errorf("%s: %v", m.name, err)
				case allowed && fate != survived:
					t.Errorf("%s: %s, but testdata/mutants.txt lets it survive: %s", m.name, fate, why)
				case !allowed:
					m.place.fates[fate]++
					if fate != killed {
						t.Logf("%s: %s", fate, m.name)
					}
				}
				mu.Unlock()
			}
		})
	}
	left := len(todo)
	for _, m := range todo {
		if time.Now().After(end) {
			break
		}
		next <- m
		left--
	}
	close(next)
	workers.Wait()
	for _, p := range all {
		dead := p.fates[killed] + p.fates[timedOut]
		of := dead + p.fates[survived]
		if of == 0 {
			continue
		}
		t.Logf("%s: of %d mutants that compile %d are killed (%.1f %%), %d of them by the time limit; %d more do not compile",
			strings.Join(p.files, ", "), of, dead, 100*float64(dead)/float64(of), p.fates[timedOut], p.fates[notGo])
		if left == 0 && float64(dead) < p.share*float64(of) || unlikely(dead, of, min(p.share, 0.95)) {
			t.Errorf("%s: fewer than %.0f %% are killed", strings.Join(p.files, ", "), 100*p.share)
		}
	}
}

// unlikely reports that of some mutants, drawn from many of which a share is killed, so
// few are killed less than once in a hundred draws. Two that survive of fifteen are
// nothing to stop a change for: it is another draw that finds them in every fourth.
func unlikely(dead, of int, share float64) bool {
	var chance float64
	for k := range dead + 1 {
		ways, _ := math.Lgamma(float64(of + 1))
		these, _ := math.Lgamma(float64(k + 1))
		others, _ := math.Lgamma(float64(of - k + 1))
		chance += math.Exp(ways - these - others + float64(k)*math.Log(share) + float64(of-k)*math.Log(1-share))
	}
	return chance < 0.01
}

func TestUnlikely(t *testing.T) {
	for _, tt := range []struct {
		dead, of int
		share    float64
		want     bool
	}{
		{15, 15, 0.9, false}, {13, 15, 0.9, false}, {9, 15, 0.9, true}, {80, 100, 0.9, true}, {84, 100, 0.9, false}, {6, 6, 0.95, false}, {2, 6, 0.95, true},
	} {
		if got := unlikely(tt.dead, tt.of, tt.share); got != tt.want {
			t.Errorf("%d of %d where %.2f are killed: %v, want %v", tt.dead, tt.of, tt.share, got, tt.want)
		}
	}
}
