package config

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"
)

type strictItem struct {
	Name string        `yaml:"name"`
	Wait time.Duration `yaml:"wait"`
}

type strictFile struct {
	Number int          `yaml:"number"`
	Share  float64      `yaml:"share"`
	On     bool         `yaml:"on"`
	Part   strictItem   `yaml:"part"`
	Items  []strictItem `yaml:"items"`
}

func TestStrictReadsWhatYAMLShows(t *testing.T) {
	want := strictFile{Number: 3, Share: 1.5, On: true, Part: strictItem{Name: "a: b", Wait: 90 * time.Second}, Items: []strictItem{{"x", time.Hour}, {"", 0}}}
	var got strictFile
	if err := Strict("", []byte(YAML(want)), &got, nil, nil); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v of\n%s", got, err, YAML(want))
	}
}

func TestStrictReportsEveryMistake(t *testing.T) {
	file := "number: 9\nshare: much\nof: 1\npart: {nam: a}\nitems: [{name: 1}, {wait: 5s}]\n"
	got := strictFile{Number: 1, Part: strictItem{Name: "kept"}}
	err := Strict("f.yaml", []byte(file), &got, []any{strictItem{Name: "item", Wait: time.Second}}, func(blame func(path, must, got string)) {
		blame("number", "must be less", "9")
		blame("share", "must not be heard of", "it was not read")
		blame("items[1].name", "must differ", got.Items[1].Name)
		blame("on", "must be on", "")
	})
	var wrong *ValidationError
	if !errors.As(err, &wrong) {
		t.Fatal(err)
	}
	want := `on: must be on
f.yaml:1: number: must be less (got 9)
f.yaml:2: share: must be a number (got "much")
f.yaml:3: of: is no setting; did you mean on?
f.yaml:4: part.nam: is no setting; did you mean part.name?
f.yaml:5: items[0].name: must be text: put it in quotes (got 1)
f.yaml:5: items[1].name: must differ (got item)`
	if text := wrong.Error(); text != "f.yaml: "+want {
		t.Errorf("got\n%s", text)
	}
	if got.Part.Name != "kept" || !slices.Equal(got.Items, []strictItem{{"item", time.Second}, {"item", 5 * time.Second}}) {
		t.Errorf("%+v", got)
	}
}

func TestStrictRefusesWhatIsNoYAML(t *testing.T) {
	for _, file := range []string{"a: [", "\xff", "- 1", "number: &a 1"} {
		if err := Strict("f", []byte(file), &strictFile{}, nil, nil); err == nil {
			t.Errorf("%q is taken", file)
		}
	}
	if err := Strict("f", nil, &strictFile{}, nil, nil); err != nil {
		t.Error(err)
	}
}
