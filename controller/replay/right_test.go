package replay

import (
	"strings"
	"testing"
	"time"
)

func parse[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := decode([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMatch(t *testing.T) {
	value := `{"n": 3, "s": "task/ab12", "void": null, "yes": true, "list": [{"k": "a", "v": 1}, {"k": "b", "v": 2}], "empty": []}`
	for _, test := range []struct {
		pattern string
		why     string // part of why it does not match; empty: it does
	}{
		{`{}`, ""},
		{`{"n": 3}`, ""},
		{`{"n": 3.0}`, ""},
		{`{"n": 4}`, ".n must be 4 (it is 3)"},
		{`{"n": "3"}`, `.n must be "3"`},
		{`{"m": 3}`, ` has no "m"`},
		{`{"s": "task/ab12"}`, ""},
		{`{"s": "*ab*"}`, ""},
		{`{"s": "t*/*2"}`, ""},
		{`{"s": "ab*"}`, ".s must be"},
		{`{"s": "*ab"}`, ".s must be"},
		{`{"s": "*b*b*"}`, ".s must be"},
		{`{"void": null}`, ""},
		{`{"void": false}`, ".void must be"},
		{`{"yes": true}`, ""},
		{`{"yes": null}`, ".yes must be"},
		{`{"n": {"not": 3}}`, ".n must not be"},
		{`{"n": {"not": 4}}`, ""},
		{`{"n": {"one_of": [1, 3]}}`, ""},
		{`{"n": {"one_of": [1, 2]}}`, ".n must be one of"},
		{`{"n": {"at_least": 3, "at_most": 3}}`, ""},
		{`{"n": {"at_least": 3.1}}`, ".n must be at least 3.1"},
		{`{"n": {"at_most": 2}}`, ".n must be at most 2"},
		{`{"void": {"at_least": 0}}`, ".void must be at least 0"},
		{`{"list": {"count": 2}}`, ""},
		{`{"list": {"count": {"at_least": 3}}}`, ".list has 2 items"},
		{`{"list": [{"k": "a"}, {"k": "b"}]}`, ""},
		{`{"list": [{"k": "b"}, {"k": "a"}]}`, ".list[0].k must be"},
		{`{"list": [{"k": "a"}]}`, ".list must be a list of 1"},
		{`{"list": {"each": {"v": {"at_least": 1}}}}`, ""},
		{`{"list": {"each": {"v": 1}}}`, ".list[1].v must be 1"},
		{`{"list": {"some": {"k": "b", "v": 2}}}`, ""},
		{`{"list": {"some": {"k": "b", "v": 1}}}`, ".list has none that is"},
		{`{"list": {"none": {"k": "c"}}}`, ""},
		{`{"list": {"none": {"k": "a"}}}`, ".list[0] must not be"},
		{`{"empty": {"each": {}}}`, ".empty is empty"},
		{`{"empty": {"some": {}}}`, ".empty is empty"},
		{`{"empty": {"none": {}}}`, ""},
		{`{"empty": []}`, ""},
		{`{"n": {"each": 3}}`, ".n is no list"},
		{`{"n": {"k": 3}}`, ".n is no object"},
	} {
		why := match(parse[any](t, test.pattern), parse[any](t, value))
		if (why == "") != (test.why == "") || !strings.Contains(why, test.why) {
			t.Errorf("%s: %q, want %q", test.pattern, why, test.why)
		}
	}
}

func TestJudge(t *testing.T) {
	var looks []Look
	for i, n := range []int{1, 5, 2} {
		calls := make([]any, n)
		for j := range calls {
			calls[j] = map[string]any{"op": []string{"RegisterTargets", "DeregisterTargets"}[j%2]}
		}
		looks = append(looks, Look{At: time.Duration(i) * time.Second, Step: i, Saying: Saying{Calls: calls}})
	}
	for _, test := range []struct {
		check string
		wrong bool
	}{
		{`{"say": "x", "of": "calls", "is": {"count": 2}}`, false},
		{`{"say": "x", "of": "calls", "is": {"count": 5}}`, true},
		{`{"say": "x", "of": "calls", "at": 1, "is": {"count": 5}}`, false},
		{`{"say": "x", "of": "calls", "at": 2, "is": {"count": 5}}`, true},
		{`{"say": "x", "of": "calls", "at": "ever", "is": {"count": 5}}`, false},
		{`{"say": "x", "of": "calls", "at": "ever", "is": {"count": 6}}`, true},
		{`{"say": "x", "of": "calls", "at": "always", "is": {"count": {"at_most": 5}}}`, false},
		{`{"say": "x", "of": "calls", "at": "always", "is": {"count": {"at_most": 4}}}`, true},
		{`{"say": "x", "of": "calls", "where": {"op": "De*"}, "is": {"count": 1}}`, false},
		{`{"say": "x", "of": "calls", "where": {"op": "De*"}, "is": {"count": 2}}`, true},
	} {
		r := parse[Right](t, `{"prose": "", "checks": [`+test.check+`]}`)
		if err := r.Checks[0].validate(2); err != nil {
			t.Errorf("%s: %v", test.check, err)
		}
		j := r.Judge()
		for i := range looks {
			j.Look(&looks[i])
		}
		if wrong := j.Wrong(); (len(wrong) > 0) != test.wrong {
			t.Errorf("%s: %q", test.check, wrong)
		}
	}
	if wrong := parse[Right](t, `{"prose": "", "checks": [{"say": "x", "of": "calls", "is": {"count": 0}}]}`).Judge().Wrong(); len(wrong) != 1 {
		t.Error("what was not played is right")
	}
}

// A case with a mistake in it must not pass for one that castoff is right about.
func TestStrict(t *testing.T) {
	good := `{"name": "n", "source": "s", "mode": "observe", "config": {}, "right": {"prose": "p", "checks": [{"say": "x", "of": "calls", "is": []}]},
		"start": {"tasks": [{"a": 1}]}, "steps": [{"hold": 1, "set": [["/tasks/0/a", 2], ["/tasks/-", {}], ["/tasks/1"], ["/tags/x~1y/z", 1]]}]}`
	if _, err := ParseCase([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ old, with, says string }{
		{`"name": "n"`, `"nom": "n"`, "nom"},
		{`"name": "n"`, `"name": ""`, "no name"},
		{`"observe"`, `"obsrve"`, "mode"},
		{`"tasks": [`, `"task": [`, `start has "task"`},
		{`"hold": 1`, `"hold": 0`, "must hold"},
		{`"hold": 1`, `"hlod": 1`, "hlod"},
		{`"/tasks/0/a"`, `"/tasks/3/a"`, `a list of 1 has no "3"`},
		{`"/tasks/0/a"`, `"/task/0/a"`, "is in none of"},
		{`"/tasks/0/a"`, `"tasks/0/a"`, "pointer"},
		{`["/tasks/0/a", 2]`, `["/tasks/0/b"]`, `no "b" to remove`},
		{`["/tasks/0/a", 2]`, `["/tasks/0/a/b", 2]`, "no members"},
		{`["/tasks/0/a", 2]`, `["/tasks/0/a", 2, 3]`, "3 values"},
		{`"of": "calls"`, `"of": "call"`, "of: must be one of"},
		{`"say": "x"`, `"say": ""`, "in words"},
		{`"say": "x"`, `"say": "x", "at": 2`, "a step from 1 to 1"},
		{`"say": "x"`, `"say": "x", "at": "evre"`, "evre"},
		{`"say": "x"`, `"say": "x", "att": 1`, "att"},
		{`"is": []`, `"is": {"count": 1, "op": 2}`, "do not mix"},
		{`"is": []`, `"is": {"at_least": "1"}`, "must be a number"},
		{`"is": []`, `"is": {"one_of": 1}`, "must be a list"},
	} {
		bad := strings.Replace(good, test.old, test.with, 1)
		if _, err := ParseCase([]byte(bad)); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", test.with, err, test.says)
		}
	}
	prose := strings.Replace(good, `{"prose": "p", "checks": [{"say": "x", "of": "calls", "is": []}]}`, `"words alone"`, 1)
	if c, err := ParseCase([]byte(prose)); err != nil || c.Right.Prose != "words alone" {
		t.Errorf("%+v, %v", c, err)
	}
}
