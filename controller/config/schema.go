package config

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// keysOf are a section's keys, each with the number of its field.
func keysOf(t reflect.Type) map[string]int {
	keys := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		keys[t.Field(i).Tag.Get("yaml")] = i
	}
	return keys
}

// settings are the paths of every key there is, sections included, sorted.
func settings() []string {
	var paths []string
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		if t.Kind() != reflect.Struct {
			return
		}
		for key, field := range keysOf(t) {
			paths = append(paths, join(path, key))
			walk(t.Field(field).Type, join(path, key))
		}
	}
	walk(reflect.TypeFor[Config](), "")
	slices.Sort(paths)
	return paths
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// suggestion says which setting was probably meant by an unknown key in a
// section: the one of that section that is spelled most like it, else the one
// of that name in another section. Empty when there is none.
func suggestion(key, section string) string {
	own := map[string]string{}   // key → path
	other := map[string]string{} // the same of other sections
	for _, path := range settings() {
		parent, name := "", path
		if i := strings.LastIndexByte(path, '.'); i >= 0 {
			parent, name = path[:i], path[i+1:]
		}
		if parent == section {
			own[name] = path
		} else {
			other[name] = path
		}
	}
	if path, ok := nearest(key, own); ok {
		return fmt.Sprintf("; did you mean %s?", path)
	}
	if path, ok := other[bare(key)]; ok {
		return fmt.Sprintf("; did you mean %s?", path)
	}
	return "; there are: " + strings.Join(slices.Sorted(maps.Keys(own)), ", ")
}

// nearest is the path of the key that is at most a third of its letters away.
func nearest(key string, paths map[string]string) (path string, ok bool) {
	if len(key) > maxShown {
		return "", false
	}
	names := slices.Sorted(maps.Keys(paths))
	if len(names) == 0 {
		return "", false
	}
	away := func(name string) int { return distance(bare(key), name) }
	best := slices.MinFunc(names, func(a, b string) int { return cmp.Compare(away(a), away(b)) })
	return paths[best], away(best) <= max(1, len(best)/3)
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
