package config

import (
	"reflect"
)

// Strict reads YAML over what into, a pointer to a struct, holds, as strictly as
// Parse reads a Config: an unknown key is a mistake, and every mistake is
// reported, in a *ValidationError. The keys are the yaml tags of the fields, which
// may be text, numbers, truth, durations, instants, structs and slices of them.
//
// Items are what an item of a slice begins as, one a type of item; without one it
// begins as the zero value. Then check is asked, unless it is nil, what is wrong
// with the values; what it says of settings that could not be read is not
// reported. After an error what into points to is not fit for use.
func Strict(name string, data []byte, into any, items []any, check func(blame func(path, must, got string))) error {
	root, problem := document(data)
	if problem != nil {
		return asError(name, []Problem{*problem})
	}
	r := newReaderInto(reflect.ValueOf(into).Elem(), func(item reflect.Type) reflect.Value {
		for _, i := range items {
			if reflect.TypeOf(i) == item {
				return reflect.ValueOf(i)
			}
		}
		return reflect.Zero(item)
	})
	r.read(root)
	if check != nil {
		check(func(path, must, got string) {
			if r.unread(path) {
				return
			}
			r.problems = append(r.problems, Problem{Line: r.line(path), Path: path, Must: must, Got: got})
		})
	}
	return asError(name, r.problems)
}

// YAML is a struct as YAML that Strict reads into another of its type.
func YAML(of any) string {
	return text(tree(reflect.ValueOf(of), reflect.Value{}, func(reflect.Type) reflect.Value { return reflect.Value{} }))
}
