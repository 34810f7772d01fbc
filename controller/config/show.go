package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// String is the whole configuration as YAML that Parse reads, secrets redacted.
// The items of services and pause show what they change, as a file does.
func (c Config) String() string { return text(tree(reflect.ValueOf(c), reflect.Value{}, c.blank)) }

// text is a tree as YAML.
func text(tree any) string {
	text, err := yaml.MarshalWithOptions(tree,
		yaml.CustomMarshaler(func(d time.Duration) ([]byte, error) { return []byte(brief(d)), nil }),
		yaml.CustomMarshaler(func(t time.Time) ([]byte, error) { return []byte(strconv.Quote(t.Format(time.RFC3339Nano))), nil }),
		// The encoder's own quoting loses white space.
		yaml.CustomMarshaler(func(s string) ([]byte, error) { return json.Marshal(s) }),
	)
	if err != nil {
		return fmt.Sprintf("# the configuration cannot be shown: %v\n", err)
	}
	return string(text)
}

// tree is a value as the encoder takes it: a section as its keys in order,
// without those that are as they are in blank, unless that is not valid.
func tree(v, blank reflect.Value, blankOf func(reflect.Type) reflect.Value) any {
	switch {
	case isSection(v.Type()):
		section := yaml.MapSlice{}
		for _, k := range keysOf(v.Type()) {
			var was reflect.Value
			if blank.IsValid() {
				was = blank.Field(k.field)
				if reflect.DeepEqual(v.Field(k.field).Interface(), was.Interface()) {
					continue
				}
			}
			section = append(section, yaml.MapItem{Key: k.name, Value: tree(v.Field(k.field), was, blankOf)})
		}
		return section
	case v.Kind() == reflect.Slice:
		items := make([]any, v.Len())
		for i := range items {
			items[i] = tree(v.Index(i), blankOf(v.Type().Elem()), blankOf)
		}
		return items
	default:
		return v.Interface()
	}
}

// brief writes a duration as people do: 5m, not 5m0s.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
