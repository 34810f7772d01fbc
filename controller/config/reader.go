package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// reader puts a YAML tree into a struct, such as a Config. It walks the tree itself because a
// decoder stops at the first mistake, and an operator wants them all.
type reader struct {
	into     reflect.Value                         // a struct
	blank    func(item reflect.Type) reflect.Value // what an item of a list holds before the file says anything of it
	known    []string                              // settings
	problems []Problem
	lines    map[string]int  // of every setting that the file has
	misread  map[string]bool // settings whose value could not be taken
}

func newReader(into *Config) *reader { return newReaderInto(reflect.ValueOf(into).Elem(), into.blank) }

func newReaderInto(into reflect.Value, blank func(reflect.Type) reflect.Value) *reader {
	return &reader{into: into, blank: blank, known: settings(into.Type()), lines: map[string]int{}, misread: map[string]bool{}}
}

// read puts the document over what the struct holds. A nil root is an empty
// document.
func (r *reader) read(root ast.Node) {
	if root != nil {
		r.value(root, r.into, "")
	}
}

// unread reports that the value at a path, or what it is part of, could not be
// taken.
func (r *reader) unread(path string) bool {
	for ; path != ""; path = above(path) {
		if r.misread[path] {
			return true
		}
	}
	return false
}

// line is where the file has a setting, or else what it would be part of; 0
// when it has neither.
func (r *reader) line(path string) int {
	for ; path != ""; path = above(path) {
		if at, ok := r.lines[path]; ok {
			return at
		}
	}
	return 0
}

// above is the path of what a setting is part of: of services[2].mode,
// services[2], and of that, services.
func above(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

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
		r.problem(n, path, ruleNoAnchors, "must be written out: anchors, aliases and merge keys are not read, and text that begins with * or & needs quotes", "")
		return
	case ast.TagType:
		r.problem(n, path, ruleNoTags, "must be without a YAML tag", visible(n.GetToken().Value))
		return
	}
	switch into := into.Addr().Interface().(type) {
	case *time.Duration:
		r.duration(n, into, path)
		return
	case *time.Time:
		r.instant(n, into, path)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		r.mapping(n, into, path)
	case reflect.Slice:
		r.list(n, into, path)
	case reflect.String:
		r.text(n, into, path)
	case reflect.Bool:
		r.truth(n, into, path)
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
	values := make([]ast.Node, len(keys))
	first := map[string]int{}
	for _, entry := range m.Values {
		name, ok := r.key(entry, path)
		if !ok {
			continue
		}
		at := join(path, visible(name))
		if was, seen := first[name]; seen {
			// The first one is read, so it is not misread.
			r.problems = append(r.problems, Problem{Line: line(entry.Key), Path: at, Rule: ruleDuplicateKey, Must: fmt.Sprintf("must be there once: it is on line %d already", was)})
			continue
		}
		first[name] = line(entry.Key)
		known := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
		if known < 0 {
			r.problem(entry.Key, at, ruleUnknownKey, "is no setting"+suggestion(r.known, name, path), "")
			continue
		}
		r.lines[at] = line(entry.Key)
		values[known] = entry.Value
	}
	// In the order of the fields, whatever the file's is: services start from the
	// limits.
	for i, k := range keys {
		if values[i] != nil {
			r.value(values[i], into.Field(k.field), join(path, k.name))
		}
	}
}

// key is the text of a mapping's key, whatever YAML takes it for.
func (r *reader) key(entry *ast.MappingValueNode, path string) (name string, ok bool) {
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
		if _, is := into.Interface().(Patterns); is {
			r.pattern(n, into, path)
			return
		}
		r.problem(n, path, ruleType, "must be a list, such as [a, b]", kind(n))
		return
	}
	items := reflect.MakeSlice(into.Type(), len(s.Values), len(s.Values))
	for i, v := range s.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		r.lines[at] = line(v)
		items.Index(i).Set(r.blank(into.Type().Elem()))
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

// pattern takes a pattern that stands alone for a list of it.
func (r *reader) pattern(n ast.Node, into reflect.Value, path string) {
	switch n := n.(type) {
	case *ast.StringNode:
		into.Set(reflect.ValueOf(Patterns{n.Value}))
	case *ast.LiteralNode:
		into.Set(reflect.ValueOf(Patterns{n.Value.Value}))
	default:
		r.problem(n, path, ruleType, `must be a pattern or a list of them, such as "prod/web-*"`, kind(n))
	}
}

func (r *reader) truth(n ast.Node, into reflect.Value, path string) {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.problem(n, path, ruleType, "must be true or false", shown(n))
		return
	}
	into.SetBool(b.Value)
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

func (r *reader) duration(n ast.Node, into *time.Duration, path string) {
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
		*into = d
	default:
		r.problem(n, path, ruleType, "must be a duration, "+such, kind(n))
	}
}

func (r *reader) instant(n ast.Node, into *time.Time, path string) {
	const must = "must be an instant, such as 2026-11-23T18:00:00Z"
	text, ok := n.(*ast.StringNode)
	if !ok {
		r.problem(n, path, ruleType, must, kind(n))
		return
	}
	t, err := time.Parse(time.RFC3339, text.Value)
	// The first and the last day of the calendar may have no other zone's name.
	if t = t.UTC(); err != nil || t.Year() < 1 || t.Year() > 9999 {
		r.problem(n, path, ruleInstant, must, shown(n))
		return
	}
	*into = t
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
