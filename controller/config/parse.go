package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxSize is the size of a whole ECS task definition, which is the most that an
// environment variable can bring. The YAML parser takes time that grows with
// the square of some inputs, so there has to be a limit.
const maxSize = 64 << 10

// Names of the rules that hold for every setting. The rules of single settings
// are in the table in rules.go.
const (
	ruleSize         = "yaml.size"
	ruleEncoding     = "yaml.encoding"
	ruleSyntax       = "yaml.syntax"
	ruleOneDocument  = "yaml.one_document"
	ruleNoAnchors    = "yaml.no_anchors"
	ruleNoTags       = "yaml.no_tags"
	ruleUnknownKey   = "yaml.unknown_key"
	ruleDuplicateKey = "yaml.duplicate_key"
	ruleType         = "yaml.type"
	ruleDuration     = "yaml.duration"
	ruleDurationUnit = "yaml.duration_unit"
	ruleInstant      = "yaml.instant"
)

// Parse reads a configuration over the defaults. An empty one is the defaults,
// and so is a setting that is there without a value. The name is only used in
// reports: a file's path, or the environment variable that the data came from. What
// the command line says is put over it by flags, before its rules are asked.
//
// The error is a *ValidationError with every mistake; the Config is then the
// zero one, which is not fit for use.
func Parse(name string, data []byte, flags ...func(*Config)) (Config, error) {
	root, problem := document(data)
	if problem != nil {
		return Config{}, asError(name, []Problem{*problem})
	}
	c := Default()
	r := newReader(&c)
	r.read(root)
	for _, put := range flags {
		put(&c)
	}
	if err := asError(name, slices.Concat(r.problems, broken(&c, r), senseless(&c, r))); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Validate holds the rules against a Config that did not come from a file
// alone: one that flags have changed, say. The error is a *ValidationError
// without lines.
func (c Config) Validate() error {
	r := newReader(&c)
	return asError("", slices.Concat(broken(&c, r), senseless(&c, r)))
}

// document is the one document in data; nil when there is none.
func document(data []byte) (root ast.Node, problem *Problem) {
	if len(data) > maxSize {
		return nil, &Problem{
			Rule: ruleSize,
			Must: fmt.Sprintf("must be at most %d bytes", maxSize),
			Got:  fmt.Sprintf("%d bytes", len(data)),
		}
	}
	if !utf8.Valid(data) {
		return nil, &Problem{Line: firstInvalid(data), Rule: ruleEncoding, Must: "must be UTF-8 text"}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))

	// The parser is not ours and its input is anybody's.
	defer func() {
		if p := recover(); p != nil {
			root, problem = nil, &Problem{Rule: ruleSyntax, Must: "must be YAML: the parser gave up on it"}
		}
	}()
	// Duplicate keys are reported with everything else, not by the parser, which
	// would stop there.
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxProblem(err)
	}
	for _, d := range file.Docs {
		if d.Body == nil || d.Body.Type() == ast.DirectiveType {
			continue
		}
		if root != nil {
			return nil, &Problem{Line: line(d.Body), Rule: ruleOneDocument, Must: "must be one YAML document: another begins here"}
		}
		root = d.Body
	}
	return root, nil
}

// syntaxProblem takes the parser's message without the excerpt that its Error
// method adds: lines of the file may hold secrets.
func syntaxProblem(err error) *Problem {
	p := &Problem{Rule: ruleSyntax, Must: "must be YAML"}
	var at yaml.Error
	if errors.As(err, &at) {
		p.Must += ": " + visible(at.GetMessage())
		if t := at.GetToken(); t != nil && t.Position != nil {
			p.Line = t.Position.Line
		}
	}
	return p
}

// firstInvalid is the line of the first byte that is not UTF-8.
func firstInvalid(data []byte) int {
	n := 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			break
		}
		if r == '\n' {
			n++
		}
		data = data[size:]
	}
	return n
}

// line is where a node begins, from 1; 0 when the parser does not say.
func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}
