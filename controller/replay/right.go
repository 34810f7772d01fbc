package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Right is what castoff must say about what is played: in words, and as checks.
type Right struct {
	Prose  string
	Checks []Check
}

type rightJSON struct {
	Prose  string  `json:"prose"`
	Checks []Check `json:"checks"`
}

// UnmarshalJSON reads {"prose": …, "checks": […]}, or the prose alone.
func (r *Right) UnmarshalJSON(text []byte) error {
	*r = Right{}
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, &r.Prose)
	}
	var in rightJSON
	if err := decode(text, &in); err != nil {
		return fmt.Errorf("right: %w", err)
	}
	*r = Right(in)
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (r Right) MarshalJSON() ([]byte, error) { return json.Marshal(rightJSON(r)) }

// Check is one thing that must hold of what castoff says, see [Saying].
//
// Its values are patterns. A text may have * for any text, and null is null. A list
// has the same length, and its items match one by one. An object has at least the
// members named, each of which matches; or it is one of these, or several at once:
//
//	{"not": pattern}              it does not match
//	{"one_of": [pattern, …]}      one of them matches
//	{"at_least": n, "at_most": n} a number
//	{"count": pattern}            the length of a list
//	{"each": pattern}             every item of a list, and there is one
//	{"some": pattern}             an item of a list
//	{"none": pattern}             no item of a list
type Check struct {
	Say string `json:"say"` // what it holds, in words
	// At is when: after the hold of a step, counted from 1; "end", which is the
	// default; "ever", in at least one look; "always", in each. There is a look a
	// second.
	At    any    `json:"at,omitempty"`
	Of    string `json:"of"`              // a member of a Saying
	Where any    `json:"where,omitempty"` // of a list: the items that it is about
	Is    any    `json:"is"`
}

// The instants of a Check that are no number.
const (
	atEnd  = "end"
	ever   = "ever"
	always = "always"
)

// Validate finds what could only be a mistake in the right of a record, which has no
// steps.
func (r Right) Validate() error { return r.validate(0) }

func (r Right) validate(steps int) error {
	var errs []error
	for i := range r.Checks {
		if err := r.Checks[i].validate(steps); err != nil {
			errs = append(errs, fmt.Errorf("right.checks[%d]: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

func (c *Check) validate(steps int) error {
	var errs []error
	if c.Say == "" {
		errs = append(errs, errors.New("say: say in words what it holds"))
	}
	if !slices.Contains(Saying{}.names(), c.Of) {
		errs = append(errs, fmt.Errorf("of: must be one of %s (got %q)", strings.Join(Saying{}.names(), ", "), c.Of))
	}
	switch at := c.At.(type) {
	case nil:
		c.At = atEnd
	case json.Number:
		if n, err := strconv.Atoi(at.String()); err != nil || n < 1 || n > steps {
			errs = append(errs, fmt.Errorf("at: must be a step from 1 to %d (got %s)", steps, at))
		}
	case string:
		if at != atEnd && at != ever && at != always {
			errs = append(errs, fmt.Errorf("at: must be a step, end, ever or always (got %q)", at))
		}
	default:
		errs = append(errs, fmt.Errorf("at: must be a step, end, ever or always (got %v)", at))
	}
	errs = append(errs, wellFormed(c.Where), wellFormed(c.Is))
	return errors.Join(errs...)
}

// operators are the members of an object that is no shape.
var operators = []string{"at_least", "at_most", "count", "each", "none", "not", "one_of", "some"}

// wellFormed finds patterns that could only ever be a mistake.
func wellFormed(pattern any) error {
	var errs []error
	switch p := pattern.(type) {
	case map[string]any:
		names := slices.Sorted(maps.Keys(p))
		n := 0
		for _, name := range names {
			if slices.Contains(operators, name) {
				n++
			}
			errs = append(errs, wellFormed(p[name]))
		}
		if n > 0 && n < len(p) {
			errs = append(errs, fmt.Errorf("%s: operators (%s) and members do not mix", strings.Join(names, ", "), strings.Join(operators, ", ")))
		}
		for _, name := range []string{"at_least", "at_most"} {
			if _, number := p[name].(json.Number); p[name] != nil && !number {
				errs = append(errs, fmt.Errorf("%s: must be a number", name))
			}
		}
		if list, ok := p["one_of"].([]any); p["one_of"] != nil && (!ok || len(list) == 0) {
			errs = append(errs, errors.New("one_of: must be a list"))
		}
	case []any:
		for _, item := range p {
			errs = append(errs, wellFormed(item))
		}
	}
	return errors.Join(errs...)
}

// Saying is what castoff says at an instant: the parts of its API, what it did, and
// the lines of its log from WARN on. Instants are seconds since the first step.
type Saying struct {
	Timelines   []any          `json:"timelines"`
	Verdicts    []any          `json:"verdicts"`
	Detachments []any          `json:"detachments"`
	Services    []any          `json:"services"`
	Tasks       []any          `json:"tasks"`
	Gaps        []any          `json:"gaps"`
	Status      map[string]any `json:"status"`
	Calls       []any          `json:"calls"` // that change something: at, op, group, targets, status
	Reads       map[string]any `json:"reads"` // by operation, how often
	Log         []any          `json:"log"`
}

func (s Saying) members() map[string]any {
	return map[string]any{
		"timelines": s.Timelines, "verdicts": s.Verdicts, "detachments": s.Detachments, "services": s.Services, "tasks": s.Tasks,
		"gaps": s.Gaps, "status": s.Status, "calls": s.Calls, "reads": s.Reads, "log": s.Log,
	}
}

func (s Saying) names() []string { return slices.Sorted(maps.Keys(s.members())) }

// Look is what castoff said at an instant of a play.
type Look struct {
	At     time.Duration // since the first step
	Step   int           // whose hold ended then, counted from 1; 0: none
	Saying Saying
}

// Judge holds what castoff says, look by look, to the checks.
type Judge struct {
	checks []Check
	found  []finding // of each check
	last   *Look
}

type finding struct {
	why     string
	settled bool // whatever comes
}

// Judge begins with nothing seen.
func (r Right) Judge() *Judge { return &Judge{checks: r.Checks, found: make([]finding, len(r.Checks))} }

// Look takes one more look.
func (j *Judge) Look(l *Look) {
	j.last = l
	for i := range j.checks {
		c, f := &j.checks[i], &j.found[i]
		switch at := c.At.(type) {
		case json.Number:
			if strconv.Itoa(l.Step) == at.String() {
				f.why, f.settled = c.holds(l), true
			}
		case string:
			if f.settled || at == atEnd {
				continue
			}
			f.why = c.holds(l)
			f.settled = (at == ever) == (f.why == "")
		}
	}
}

// Wrong answers what was wrong, a line a check.
func (j *Judge) Wrong() []string {
	var wrong []string
	for i := range j.checks {
		c, why := &j.checks[i], j.found[i].why
		_, step := c.At.(json.Number)
		switch {
		case j.last == nil:
			why = "nothing was played"
		case step && !j.found[i].settled:
			why = fmt.Sprintf("there was no step %v", c.At)
		case c.At == ever && why != "":
			why = "never; and in the last look " + why
		case c.At == nil, c.At == atEnd:
			why = c.holds(j.last)
		}
		if why != "" {
			wrong = append(wrong, c.Say+": "+why)
		}
	}
	return wrong
}

// holds answers what is wrong in one look; empty when nothing is.
func (c *Check) holds(l *Look) string {
	value := l.Saying.members()[c.Of]
	if list, ok := value.([]any); ok && c.Where != nil {
		value = slices.DeleteFunc(slices.Clone(list), func(item any) bool { return match(c.Where, item) != "" })
	}
	why := match(c.Is, value)
	if why == "" {
		return ""
	}
	return fmt.Sprintf("after %.1f s, %s%s", l.At.Seconds(), c.Of, why)
}

// match answers why a value does not match a pattern, beginning with where; empty
// when it does.
func match(pattern, value any) string {
	switch p := pattern.(type) {
	case map[string]any:
		for name := range p {
			if slices.Contains(operators, name) {
				return operate(p, value)
			}
		}
		v, ok := value.(map[string]any)
		if !ok {
			return fmt.Sprintf(" is no object: %s", brief(value))
		}
		for _, name := range slices.Sorted(maps.Keys(p)) {
			member, there := v[name]
			if !there {
				return fmt.Sprintf(" has no %q, only %s", name, strings.Join(slices.Sorted(maps.Keys(v)), ", "))
			}
			if why := match(p[name], member); why != "" {
				return "." + name + why
			}
		}
		return ""
	case []any:
		v, ok := value.([]any)
		if !ok || len(v) != len(p) {
			return fmt.Sprintf(" must be a list of %d (it is %s)", len(p), brief(value))
		}
		for i := range p {
			if why := match(p[i], v[i]); why != "" {
				return fmt.Sprintf("[%d]%s", i, why)
			}
		}
		return ""
	case string:
		if v, ok := value.(string); ok && glob(p, v) {
			return ""
		}
	case json.Number:
		want, _ := p.Float64()
		if v, ok := number(value); ok && v == want {
			return ""
		}
	default:
		if pattern == value {
			return ""
		}
	}
	return fmt.Sprintf(" must be %s (it is %s)", brief(pattern), brief(value))
}

// operate holds a value to each of the operators of an object.
func operate(p map[string]any, value any) string {
	for _, op := range slices.Sorted(maps.Keys(p)) {
		if why := operateOne(op, p[op], value); why != "" {
			return why
		}
	}
	return ""
}

func operateOne(op string, operand, value any) string {
	switch op {
	case "not":
		if match(operand, value) == "" {
			return fmt.Sprintf(" must not be %s (it is %s)", brief(operand), brief(value))
		}
		return ""
	case "one_of":
		list, _ := operand.([]any)
		for _, one := range list {
			if match(one, value) == "" {
				return ""
			}
		}
		return fmt.Sprintf(" must be one of %s (it is %s)", brief(operand), brief(value))
	case "at_least", "at_most":
		bound, _ := number(operand)
		v, ok := number(value)
		if !ok || op == "at_least" && v < bound || op == "at_most" && v > bound {
			return fmt.Sprintf(" must be %s %v (it is %s)", strings.ReplaceAll(op, "_", " "), bound, brief(value))
		}
		return ""
	}
	list, ok := value.([]any)
	if !ok {
		return " is no list: " + brief(value)
	}
	if op == "count" {
		if why := match(operand, json.Number(strconv.Itoa(len(list)))); why != "" {
			return fmt.Sprintf(" has %d items, which%s: %s", len(list), why, brief(value))
		}
		return ""
	}
	return quantify(op, operand, list)
}

func quantify(op string, operand any, list []any) string {
	why := ""
	for i, item := range list {
		failed := match(operand, item)
		switch {
		case op == "none" && failed == "":
			return fmt.Sprintf("[%d] must not be %s (it is %s)", i, brief(operand), brief(item))
		case op == "some" && failed == "":
			return ""
		case op == "each" && failed != "":
			return fmt.Sprintf("[%d]%s", i, failed)
		}
		why = failed
	}
	switch {
	case op == "none":
		return ""
	case len(list) == 0:
		return " is empty"
	case op == "some" && len(list) == 1:
		return "[0]" + why
	case op == "some":
		return fmt.Sprintf(" has none that is %s: %s", brief(operand), brief(list))
	default:
		return ""
	}
}

func number(value any) (float64, bool) {
	switch v := value.(type) {
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	case float64:
		return v, true
	default:
		return 0, false
	}
}

// glob reports that a text matches a pattern, in which * is any text.
func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}

// brief is a value for people.
func brief(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	const most = 600
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}
