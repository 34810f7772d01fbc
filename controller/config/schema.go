package config

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/policy"
)

// key is one key of a section.
type key struct {
	name  string
	field int // its index in the section's struct
}

// keysOf are a section's keys, in the order of its fields. Limits have no yaml
// tags, since policy knows nothing of files: their keys are the fields' names in
// the file's spelling.
func keysOf(section reflect.Type) []key {
	var keys []key
	for i := range section.NumField() {
		field := section.Field(i)
		if section == reflect.TypeFor[policy.Limits]() && field.Name == "Mode" {
			continue // is beside the limits in a file, not among them
		}
		keys = append(keys, key{cmp.Or(field.Tag.Get("yaml"), bare(field.Name)), i})
	}
	return keys
}

// isSection reports that a type is a mapping in the file, with keys of its own.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]()
}

// settings are the paths of every key there is, sections included, sorted. An
// item of a list has no number in them: services[].match.
func settings(of reflect.Type) []string {
	var paths []string
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		if t.Kind() == reflect.Slice {
			t, path = t.Elem(), path+"[]"
		}
		if !isSection(t) {
			return
		}
		for _, k := range keysOf(t) {
			paths = append(paths, join(path, k.name))
			walk(t.Field(k.field).Type, join(path, k.name))
		}
	}
	walk(of, "")
	slices.Sort(paths)
	return paths
}

// blank is what an item of a list holds before the file says anything of it.
func (c *Config) blank(item reflect.Type) reflect.Value {
	switch item {
	case reflect.TypeFor[Service]():
		return reflect.ValueOf(Service{Limits: c.Limits})
	case reflect.TypeFor[Receiver]():
		return reflect.ValueOf(DefaultReceiver())
	case reflect.TypeFor[Pause]():
		return reflect.ValueOf(Pause{Reattach: true})
	default:
		return reflect.Zero(item)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

var index = regexp.MustCompile(`\[[0-9]+\]`)

// unnumbered is a path in the way of settings.
func unnumbered(path string) string { return index.ReplaceAllString(path, "[]") }

// suggestion says which of the known settings was probably meant by an unknown
// key in a section: the one of that section that is spelled most like it, else
// the one of that name in another section, else that there are others.
func suggestion(known []string, unknown, section string) string {
	var own []string       // names of the section's keys
	var elsewhere []string // paths of settings of that name
	for _, path := range known {
		parent, name := "", path
		if i := strings.LastIndexByte(path, '.'); i >= 0 {
			parent, name = path[:i], path[i+1:]
		}
		switch {
		case parent == unnumbered(section):
			own = append(own, name)
		case name == bare(unknown):
			elsewhere = append(elsewhere, path)
		}
	}
	if name, ok := nearest(unknown, own); ok {
		return fmt.Sprintf("; did you mean %s?", join(section, name))
	}
	if len(elsewhere) > 0 {
		return fmt.Sprintf("; did you mean %s?", closest(elsewhere, section))
	}
	return "; there are: " + strings.Join(own, ", ")
}

// closest are the paths that are the least way from a section, of those equally
// far all. Where a path begins as the section does, it has the section's own
// numbers: it is about the same item.
func closest(paths []string, section string) string {
	parts := strings.Split(section, ".")
	least := -1
	var found []string
	for _, path := range paths {
		to := strings.Split(path, ".")
		shared := 0
		for shared < len(parts) && shared < len(to) && unnumbered(parts[shared]) == to[shared] {
			shared++
		}
		copy(to, parts[:shared])
		steps := len(parts) + len(to) - 2*shared
		if least < 0 || steps < least {
			least, found = steps, nil
		}
		if steps == least {
			found = append(found, strings.Join(to, "."))
		}
	}
	return strings.Join(found, " or ")
}

// nearest is the name that is at most a third of its letters away from a key.
func nearest(key string, names []string) (name string, ok bool) {
	if len(key) > maxShown || len(names) == 0 {
		return "", false
	}
	away := func(name string) int { return distance(bare(key), name) }
	best := slices.MinFunc(names, func(a, b string) int { return cmp.Compare(away(a), away(b)) })
	return best, away(best) <= max(1, len(best)/3)
}

// bare writes a key the way that settings are: hotInterval, Hot-Interval and
// hot interval are all hot_interval.
func bare(key string) string {
	var b strings.Builder
	for i, c := range key {
		switch {
		case c == '-' || c == ' ':
			b.WriteByte('_')
		case c >= 'A' && c <= 'Z':
			if i > 0 && key[i-1] >= 'a' && key[i-1] <= 'z' {
				b.WriteByte('_')
			}
			b.WriteRune(c - 'A' + 'a')
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// distance is the least number of letters to insert, drop or change that makes
// a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
