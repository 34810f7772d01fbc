package policy

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
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	mutants    = flag.Bool("mutants", false, "change this package in every way that mutations has, one at a time, and demand that its tests tell: see make mutants")
	mutantsOf  = flag.String("mutantsof", "", "only those of this file")
	mutantsLog = flag.String("mutantslog", "", "file to write a line about each to, as it is judged")
)

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

// judge runs this package's tests over the changed file. The tree is not touched:
// the compiler is given another file.
func (m mutant) judge(t *testing.T, dir string, limit time.Duration) string {
	t.Helper()
	src, err := os.ReadFile(m.file)
	if err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	changed, overlay, binary := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "policy.test")
	b, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(changed, slices.Concat(src[:m.from], []byte(m.by), src[m.to:]), 0o600), os.WriteFile(overlay, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	if exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, ".").Run() != nil {
		return notGo
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err = exec.CommandContext(ctx, binary, "-test.failfast", "-rapid.seed", "1", "-rapid.shrinktime", "1ms", "-rapid.nofailfile").Run()
	switch {
	case t.Context().Err() != nil:
		t.Fatal("interrupted")
	case ctx.Err() != nil:
		return timedOut
	case err != nil:
		return killed
	}
	return survived
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

// Every operator, negation, assignment and call of this package is changed, one
// at a time, and the package's own tests must fail. What may survive is in
// testdata/mutants.txt, with the reason; nothing is there that does not exist.
func TestMutants(t *testing.T) {
	var all []mutant
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			all = append(all, mutantsIn(t, file)...)
		}
	}
	may := equivalents(t)
	for name := range may {
		if !slices.ContainsFunc(all, func(m mutant) bool { return m.name == name }) {
			t.Errorf("testdata/mutants.txt: there is no such mutant (any more): %s", name)
		}
	}
	if !*mutants {
		t.Skipf("%d mutants take an hour; make mutants judges them", len(all))
	}
	fates := make([]string, len(all))
	t.Run("each", func(t *testing.T) {
		for i, m := range all {
			if *mutantsOf != "" && m.file != *mutantsOf {
				continue
			}
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				fates[i] = m.judge(t, t.TempDir(), 2*time.Minute)
				if *mutantsLog != "" {
					logFate(t, *mutantsLog, fates[i]+"\t"+m.name+"\n")
				}
				switch why, allowed := may[m.name]; {
				case fates[i] == survived && !allowed:
					t.Errorf("%s: no test tells", m.name)
				case fates[i] != survived && allowed:
					t.Errorf("%s: %s, but testdata/mutants.txt lets it survive: %s", m.name, fates[i], why)
				}
			})
		}
	})
	count := map[string]int{}
	for _, f := range fates {
		count[f]++
	}
	dead := count[killed] + count[timedOut]
	t.Logf("%d mutants that compile: %d killed (%.1f %%), %d of them by the time limit; %d survived; %d more do not compile",
		dead+count[survived], dead, 100*float64(dead)/float64(max(1, dead+count[survived])), count[timedOut], count[survived], count[notGo])
}

func logFate(t *testing.T, path, line string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(line)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
