package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// reader puts a YAML tree into a Config. It walks the tree itself because a
// decoder stops at the first mistake, and an operator wants them all.
type reader struct {
	problems []Problem
	lines    map[string]int  // of every setting that the file has
	misread  map[string]bool // settings whose value could not be taken
}

func newReader() *reader {
	return &reader{lines: map[string]int{}, misread: map[string]bool{}}
}

// read puts the document over what c holds. A nil root is an empty document.
func (r *reader) read(root ast.Node, c *Config) {
	if root != nil {
		r.value(root, reflect.ValueOf(c).Elem(), "")
	}
}

func (r *reader) problem(n ast.Node, path, rule, must, got string) {
	r.problems = append(r.problems, Problem{Line: line(n), Path: path, Rule: rule, Must: must, Got: got})
	r.misread[path] = true
}

// value puts a node into a field. A node without a value leaves the default.
func (r *reader) value(n ast.Node, into reflect.Value, path string) {
	switch n.Type() {
	case ast.NullType:
		return
	case ast.AnchorType, ast.AliasType, ast.MergeKeyType:
		r.problem(n, path, ruleNoAnchors, "must be written out: anchors, aliases and merge keys are not read", "")
		return
	case ast.TagType:
		r.problem(n, path, ruleNoTags, "must be without a YAML tag", visible(n.GetToken().Value))
		return
	}
	if into.Type() == reflect.TypeFor[time.Duration]() {
		r.duration(n, into, path)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		r.mapping(n, into, path)
	case reflect.Slice:
		r.list(n, into, path)
	case reflect.String:
		r.text(n, into, path)
	case reflect.Int:
		r.number(n, into, path)
	case reflect.Float64:
		r.float(n, into, path)
	default:
		panic(fmt.Sprintf("config: %s is of type %s, which reader cannot read", path, into.Type()))
	}
}

func (r *reader) mapping(n ast.Node, into reflect.Value, path string) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		r.problem(n, path, ruleType, "must be a mapping of settings", kind(n))
		return
	}
	keys := keysOf(into.Type())
	first := map[string]int{}
	for _, entry := range m.Values {
		key, ok := r.key(entry, path)
		if !ok {
			continue
		}
		at := join(path, visible(key))
		if was, seen := first[key]; seen {
			r.problem(entry.Key, at, ruleDuplicateKey, fmt.Sprintf("must be there once: it is on line %d already", was), "")
			continue
		}
		first[key] = line(entry.Key)
		field, known := keys[key]
		if !known {
			r.problem(entry.Key, at, ruleUnknownKey, "is no setting"+suggestion(key, path), "")
			continue
		}
		r.lines[at] = line(entry.Key)
		if entry.Value != nil {
			r.value(entry.Value, into.Field(field), at)
		}
	}
}

// key is the text of a mapping's key, whatever YAML takes it for.
func (r *reader) key(entry *ast.MappingValueNode, path string) (key string, ok bool) {
	var n ast.Node = entry.Key
	if explicit, is := n.(*ast.MappingKeyNode); is {
		n = explicit.Value
	}
	switch n.Type() {
	case ast.AnchorType, ast.AliasType, ast.MergeKeyType, ast.TagType:
		r.problem(n, join(path, visible(n.GetToken().Value)), ruleNoAnchors, "must be a plain key: anchors, aliases, merge keys and tags are not read", "")
		return "", false
	case ast.StringType:
		return n.(*ast.StringNode).Value, true
	default:
		return n.GetToken().Value, true
	}
}

func (r *reader) list(n ast.Node, into reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		r.problem(n, path, ruleType, "must be a list, such as [a, b]", kind(n))
		return
	}
	items := reflect.MakeSlice(into.Type(), len(s.Values), len(s.Values))
	for i, v := range s.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		r.lines[at] = line(v)
		if v.Type() == ast.NullType {
			r.problem(v, at, ruleType, "must not be empty", "")
			continue
		}
		r.value(v, items.Index(i), at)
	}
	if len(s.Values) == 0 {
		items = reflect.Zero(into.Type())
	}
	into.Set(items)
}

func (r *reader) text(n ast.Node, into reflect.Value, path string) {
	switch n := n.(type) {
	case *ast.StringNode:
		into.SetString(n.Value)
	case *ast.LiteralNode:
		into.SetString(n.Value.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		// Not taken as it stands: YAML reads 0123 and 1e3 as other numbers.
		got := visible(n.GetToken().Value)
		if into.Type() == reflect.TypeFor[Secret]() {
			got = kind(n)
		}
		r.problem(n, path, ruleType, "must be text: put it in quotes", got)
	default:
		r.problem(n, path, ruleType, "must be text", kind(n))
	}
}

func (r *reader) number(n ast.Node, into reflect.Value, path string) {
	if i, ok := n.(*ast.IntegerNode); ok {
		switch v := i.Value.(type) {
		case int64:
			into.SetInt(v)
			return
		case uint64:
			if v <= math.MaxInt64 {
				into.SetInt(int64(v))
				return
			}
		}
	}
	r.problem(n, path, ruleType, "must be a whole number", shown(n))
}

func (r *reader) float(n ast.Node, into reflect.Value, path string) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		switch v := n.Value.(type) {
		case int64:
			into.SetFloat(float64(v))
		case uint64:
			into.SetFloat(float64(v))
		}
	case *ast.FloatNode:
		into.SetFloat(n.Value)
	default:
		r.problem(n, path, ruleType, "must be a number", shown(n))
	}
}

func (r *reader) duration(n ast.Node, into reflect.Value, path string) {
	const such = "such as 30s, 5m or 168h"
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		r.problem(n, path, ruleDurationUnit, "must have a unit, "+such, shown(n))
	case *ast.StringNode:
		d, err := time.ParseDuration(n.Value)
		if err != nil {
			r.problem(n, path, ruleDuration, "must be a duration, "+such, shown(n))
			return
		}
		into.SetInt(int64(d))
	default:
		r.problem(n, path, ruleType, "must be a duration, "+such, kind(n))
	}
}

// kind says in words what a node is, for where its value must not be shown or
// is too long to be.
func kind(n ast.Node) string {
	switch n.Type() {
	case ast.MappingType, ast.MappingValueType:
		return "a mapping"
	case ast.SequenceType:
		return "a list"
	case ast.StringType, ast.LiteralType:
		return "text"
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		return "a number"
	case ast.BoolType:
		return "true or false"
	default:
		return "something else"
	}
}

// shown is a scalar as the file has it, text in quotes; of anything else its
// kind.
func shown(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return quoted(n.Value)
	case *ast.LiteralNode:
		return quoted(n.Value.Value)
	case ast.ScalarNode:
		return visible(n.GetToken().Value)
	default:
		return kind(n)
	}
}

// maxShown is how much of a value a report shows, in runes.
const maxShown = 80

// quoted is a value for a report: one line, and not too long a one.
func quoted(s string) string { return strconv.Quote(cut(s)) }

// visible is s as it stands where it is plain, else quoted: a report is one
// line a problem, whatever is in the file.
func visible(s string) string {
	plain := s != "" && strings.IndexFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) < 0
	if !plain {
		return quoted(s)
	}
	return cut(s)
}

func cut(s string) string {
	if runes := []rune(s); len(runes) > maxShown {
		return string(runes[:maxShown]) + "…"
	}
	return s
}
