package replay

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sections are the members of a document: lists of ECS's shapes, ELBv2's shapes by
// the ARN of what they are about, and errors.
var sections = []string{
	"attributes", "clusters", "containerInstances", "errors", "gatewayRoutes", "loadBalancerAttributes", "loadBalancers", "serviceDeployments",
	"serviceRevisions", "services", "tags", "targetGroups", "targetHealth", "taskDefinitions", "tasks",
}

// World is a case being played: AWS, as far as castoff asks it.
type World struct {
	mu       sync.Mutex
	of       *Case
	began    time.Time
	document map[string]any
	calls    []Call
	reads    map[string]int
	requests int
}

// Call is one that changes something.
type Call struct {
	At      time.Time
	Op      string
	Group   string   // name of the target group
	Targets []string // id:port
	Status  int      // of the reply
}

// World is the case at the start, as of now.
func (c *Case) World(now time.Time) *World {
	start, _ := resolve(c.Start, now, "").(map[string]any)
	if start == nil {
		start = map[string]any{}
	}
	return &World{of: c, began: now, document: start, reads: make(map[string]int)}
}

// Step makes the changes of step i, counted from 0. Its times are before now.
func (w *World) Step(i int, now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, change := range w.of.Steps[i].Set {
		parts := strings.Split(change.Pointer[1:], "/")
		for j := range parts {
			parts[j] = strings.NewReplacer("~1", "/", "~0", "~").Replace(parts[j])
		}
		if !slices.Contains(sections, parts[0]) {
			return fmt.Errorf("step %d: %s is in none of %s", i+1, change.Pointer, strings.Join(sections, ", "))
		}
		changed, err := set(w.document, parts, resolve(change.Value, now, parts[0]), change.Remove)
		if err != nil {
			return fmt.Errorf("step %d: %s: %w", i+1, change.Pointer, err)
		}
		w.document = changed.(map[string]any)
	}
	return nil
}

// Calls are the calls so far that change something, in their order.
func (w *World) Calls() []Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// Reads are how often each other operation was called so far.
func (w *World) Reads() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.reads)
}

// set changes what is at a path below at, and answers what is there then.
func set(at any, path []string, value any, remove bool) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	name, last := path[0], len(path) == 1
	switch at := at.(type) {
	case nil: // a section, or a member of one, that was not there
		if last && remove {
			return nil, fmt.Errorf("there is nothing to remove at %q", name)
		}
		if name == "-" {
			return set([]any{}, path, value, remove)
		}
		return set(map[string]any{}, path, value, remove)
	case map[string]any:
		if last && remove {
			if _, there := at[name]; !there {
				return nil, fmt.Errorf("there is no %q to remove", name)
			}
			delete(at, name)
			return at, nil
		}
		below, err := set(at[name], path[1:], value, remove)
		if err != nil {
			return nil, err
		}
		at[name] = below
		return at, nil
	case []any:
		if name == "-" && last && !remove {
			return append(at, value), nil
		}
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= len(at) {
			return nil, fmt.Errorf("a list of %d has no %q", len(at), name)
		}
		if last && remove {
			return slices.Delete(at, i, i+1), nil
		}
		at[i], err = set(at[i], path[1:], value, remove)
		return at, err
	default:
		return nil, fmt.Errorf("%q is below a value that has no members", name)
	}
}

// ago is a time before, or after, that of a step: @-90 is 90 seconds before it.
var ago = regexp.MustCompile(`^@(-?[0-9]+(?:\.[0-9]+)?)$`)

// resolve copies a value and puts times in, as ECS writes them or in ELBv2's
// sections as ELBv2 does.
func resolve(value any, now time.Time, section string) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, below := range v {
			if in := section; in == "" {
				out[name] = resolve(below, now, name)
			} else {
				out[name] = resolve(below, now, in)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = resolve(v[i], now, section)
		}
		return out
	case string:
		found := ago.FindStringSubmatch(v)
		if found == nil || section == "errors" {
			return v
		}
		seconds, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			return v
		}
		at := now.Add(time.Duration(seconds * float64(time.Second)))
		if section == "loadBalancers" {
			return at.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		return json.Number(strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64))
	default:
		return value
	}
}
