package status

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// described is the description as it is served.
func described(t *testing.T) *openapi3.T {
	t.Helper()
	w := httptest.NewRecorder()
	handlerOf(func() *View { return &View{} }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/openapi.yaml", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	doc, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// The description has every address of the API, and no other; each with the
// parameters that it takes, and no other.
func TestDescriptionHasEveryRoute(t *testing.T) {
	doc := described(t)
	takes := map[string][]string{"/api/v1/events": nil, "/api/v1/openapi.yaml": nil}
	for _, a := range api {
		takes[a.path] = a.takes
	}
	if got, want := slices.Sorted(maps.Keys(doc.Paths.Map())), slices.Sorted(maps.Keys(takes)); !slices.Equal(got, want) {
		t.Errorf("describes %v\nserved are %v", got, want)
	}
	for path, item := range doc.Paths.Map() {
		if ops := slices.Collect(maps.Keys(item.Operations())); !slices.Equal(ops, []string{http.MethodGet}) {
			t.Errorf("%s: %v", path, ops)
			continue
		}
		var query, inPath []string
		for _, p := range item.Get.Parameters {
			switch p.Value.In {
			case openapi3.ParameterInQuery:
				query = append(query, p.Value.Name)
			case openapi3.ParameterInPath:
				inPath = append(inPath, p.Value.Name)
			}
			if p.Value.Description == "" {
				t.Errorf("%s: %s is not described", path, p.Value.Name)
			}
		}
		if !slices.Equal(query, takes[path]) {
			t.Errorf("%s: describes the parameters %v, takes %v", path, query, takes[path])
		}
		if strings.Contains(path, "{id}") != slices.Equal(inPath, []string{"id"}) {
			t.Errorf("%s: describes %v in the path", path, inPath)
		}
	}
}

// What the description says of a parameter's values is what is allowed: each of
// them is, another is refused with all of them said.
func TestDescriptionHasEveryValue(t *testing.T) {
	doc := described(t)
	h := handlerOf(func() *View { return &View{} })
	code := func(path, name, value string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+"?"+name+"="+value, nil))
		return w.Code, w.Body.String()
	}
	oneOf, checked := regexp.MustCompile(`must be one of (.*) \(got`), 0
	for path, item := range doc.Paths.Map() {
		for _, p := range item.Get.Parameters {
			if p.Value.In != openapi3.ParameterInQuery || path == "/api/v1/explain" {
				continue
			}
			name, schema := p.Value.Name, p.Value.Schema.Value
			var allowed []string
			for _, one := range schema.Enum {
				allowed = append(allowed, one.(string))
				if c, body := code(path, name, one.(string)); c != http.StatusOK {
					t.Errorf("%s?%s=%s: %d %s", path, name, one, c, body)
				}
			}
			c, body := code(path, name, "%3F")
			strict := len(allowed) > 0 || schema.Format != "" || schema.Pattern != "" || schema.Min != nil || name == "cursor"
			if strict != (c == http.StatusBadRequest) {
				t.Errorf("%s?%s=?: %d %s", path, name, c, body)
			}
			if m := oneOf.FindStringSubmatch(body); m != nil || len(allowed) > 0 {
				checked++
				if len(m) != 2 || m[1] != strings.Join(allowed, ", ") {
					t.Errorf("%s?%s: described are %v, allowed are %v", path, name, allowed, m)
				}
			}
			if schema.Min != nil {
				for value, want := range map[string]int{"0": 400, "1": 200, "1000": 200, "1001": 400} {
					if c, _ := code(path, name, value); c != want {
						t.Errorf("%s?%s=%s: %d", path, name, value, c)
					}
				}
				if *schema.Min != 1 || *schema.Max != maxLimit || schema.Default != float64(defaultLimit) {
					t.Errorf("%s: %s is described as %v..%v, %v", path, name, *schema.Min, *schema.Max, schema.Default)
				}
			}
		}
	}
	if checked < 9 {
		t.Errorf("%d parameters have a list of values", checked)
	}
}

// answers are what each address answers with.
var answers = map[string]any{
	"/api/v1/timelines": wirePage{}, "/api/v1/timelines/{id}": wireTimeline{}, "/api/v1/tasks": wireFailurePage{},
	"/api/v1/verdicts": wireVerdictPage{}, "/api/v1/detachments": wireDetachmentPage{}, "/api/v1/explain": wireExplanation{},
	"/api/v1/services": wireServicePage{}, "/api/v1/status": wireStatus{},
}

// The description has every member of every answer, with its type and whether it
// may be null; and no other.
func TestDescriptionHasEveryMember(t *testing.T) {
	doc := described(t)
	v := &View{
		Snapshot: fleet.NewSnapshot(fleet.Snapshot{At: noon, Tasks: []*fleet.Task{{ARN: "arn:aws:ecs:x:y:task/c/1"}}}),
		Open:     []*timeline.Timeline{{ID: "a", Opened: noon}},
	}
	for _, a := range api {
		got, err := a.answer(v, request{id: "a", values: map[string]string{"of": "1"}, now: noon})
		if err != nil || reflect.TypeOf(got) != reflect.TypeOf(answers[a.path]) {
			t.Errorf("%s answers a %T (%v), the test has %T", a.path, got, err, answers[a.path])
		}
		schema := doc.Paths.Find(a.path).Get.Responses.Value("200").Value.Content.Get("application/json").Schema
		(&comparison{t: t}).compare(a.path, schema.Value, reflect.TypeOf(answers[a.path]))
	}
	for name, event := range map[string]any{"PassEvent": wirePassEvent{}, "TimelineEvent": wireTimelineEvent{}, "Decided": wireVerdictEvent{}, "Detachment": wireDetachment{}, "Error": wireError{}} {
		(&comparison{t: t}).compare(name, doc.Components.Schemas[name].Value, reflect.TypeOf(event))
	}
	for _, words := range []struct { // that have no type of their own
		of, member string
		want       []string
	}{
		{"PassEvent", "level", levels}, {"TimelineEvent", "change", []string{"opened", "changed", "closed"}},
		{"Timeline", "state", []string{"open", "closed"}}, {"Detachment", "state", []string{"open", "closed"}},
		{"Pass", "result", []string{"ok", "partial", "failed", "panic"}}, {"PassEvent", "result", []string{"ok", "partial", "failed", "panic"}},
		{"Use", "name", []string{"budget", "floor", "rate", "futile", "contested"}},
	} {
		var got []string
		for _, one := range doc.Components.Schemas[words.of].Value.Properties[words.member].Value.Enum {
			got = append(got, one.(string))
		}
		if !slices.Equal(got, words.want) {
			t.Errorf("%s.%s is described as one of %v, and is one of %v", words.of, words.member, got, words.want)
		}
	}
}

// enums are the types that have so many values and no more.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[policy.Action]():        {string(policy.Detach), string(policy.Attach)},
	reflect.TypeFor[policy.Decision]():      names(policy.Decisions),
	reflect.TypeFor[policy.Guard]():         names(append(slices.Clone(policy.Guards), policy.Recovery)),
	reflect.TypeFor[policy.Reason]():        names(policy.AllReasons()),
	reflect.TypeFor[policy.Mode]():          names(policy.Modes),
	reflect.TypeFor[notify.Kind]():          names(notify.Kinds),
	reflect.TypeFor[policy.Scope]():         names(policy.Scopes),
	reflect.TypeFor[policy.From]():          {string(policy.FromConfig), string(policy.FromTag)},
	reflect.TypeFor[policy.Progress]():      {string(policy.Out), string(policy.Attaching), string(policy.Closed)},
	reflect.TypeFor[timeline.Trigger]():     names(timeline.Triggers),
	reflect.TypeFor[timeline.Kind]():        names(timeline.Kinds),
	reflect.TypeFor[timeline.Source]():      {string(timeline.AWS), string(timeline.Observed), string(timeline.Estimated)},
	reflect.TypeFor[timeline.Actor]():       {string(timeline.ByApp), string(timeline.ByECS), string(timeline.ByELB), string(timeline.ByCastoff), string(timeline.ByOther), ""},
	reflect.TypeFor[timeline.PhaseName]():   names(timeline.PhaseNames),
	reflect.TypeFor[fleet.GapKind]():        names(fleet.GapKinds),
	reflect.TypeFor[fleet.Class]():          names(fleet.Classes),
	reflect.TypeFor[problemCode]():          names(slices.Collect(maps.Keys(statusOf))),
	reflect.TypeFor[timeline.ID]():          nil, // these have no list
	reflect.TypeFor[fleet.TaskARN]():        nil,
	reflect.TypeFor[fleet.TargetGroupARN](): nil,
	reflect.TypeFor[fleet.TargetState]():    nil,
	reflect.TypeFor[fleet.TaskStatus]():     nil,
	reflect.TypeFor[fleet.HealthStatus]():   nil,
	reflect.TypeFor[string]():               nil,
}

// comparison is of the wire types with the schemas.
type comparison struct{ t *testing.T }

// compare compares a schema with what is sent for it. A pointer, and a map, may be
// null.
func (c *comparison) compare(at string, schema *openapi3.Schema, typ reflect.Type) {
	nullable := false
	if len(schema.AnyOf) == 2 && schema.AnyOf[1].Value.Type.Is("null") {
		nullable, schema = true, schema.AnyOf[0].Value
	}
	var kinds []string
	for _, kind := range schema.Type.Slice() {
		if kind == "null" {
			nullable = true
			continue
		}
		kinds = append(kinds, kind)
	}
	if typ.Kind() == reflect.Pointer {
		if !nullable {
			c.t.Errorf("%s may be null, and is not described so", at)
		}
		typ = typ.Elem()
	} else if nullable && typ.Kind() != reflect.Map {
		c.t.Errorf("%s is never null, and is described so", at)
	}
	want := map[reflect.Kind]string{
		reflect.String: "string", reflect.Int: "integer", reflect.Float64: "number", reflect.Bool: "boolean",
		reflect.Slice: "array", reflect.Struct: "object", reflect.Map: "object",
	}[typ.Kind()]
	if !slices.Equal(kinds, []string{want}) {
		c.t.Errorf("%s is described as %v, and is a %s (%s)", at, kinds, want, typ)
		return
	}
	switch typ.Kind() {
	case reflect.Slice:
		c.compare(at+"[]", schema.Items.Value, typ.Elem())
	case reflect.Struct:
		c.members(at, schema, typ)
	case reflect.String:
		c.values(at, schema, typ)
	}
}

// members compares those of an object.
func (c *comparison) members(at string, schema *openapi3.Schema, typ reflect.Type) {
	var sent []string
	for _, f := range reflect.VisibleFields(typ) {
		if f.Anonymous {
			continue
		}
		name := f.Tag.Get("json")
		sent = append(sent, name)
		p := schema.Properties[name]
		if p == nil {
			c.t.Errorf("%s.%s is not described", at, name)
			continue
		}
		if p.Value.Description == "" {
			c.t.Errorf("%s.%s has no description", at, name)
		}
		if strings.HasSuffix(name, "_seconds") != strings.Contains(p.Value.Description, "in seconds") {
			c.t.Errorf("%s.%s: %q", at, name, p.Value.Description)
		}
		c.compare(at+"."+name, p.Value, f.Type)
	}
	slices.Sort(sent)
	if got := slices.Sorted(maps.Keys(schema.Properties)); !slices.Equal(got, sent) {
		c.t.Errorf("%s describes %v, has %v", at, got, sent)
	}
	if got := slices.Sorted(slices.Values(schema.Required)); !slices.Equal(got, sent) {
		c.t.Errorf("%s requires %v, has %v", at, got, sent)
	}
}

// values compares those that a word may have.
func (c *comparison) values(at string, schema *openapi3.Schema, typ reflect.Type) {
	want, known := enums[typ]
	if !known {
		c.t.Errorf("%s is a %s, of which the test knows no list", at, typ)
	}
	if typ == reflect.TypeFor[string]() {
		return
	}
	var got []string
	for _, one := range schema.Enum {
		got = append(got, one.(string))
	}
	slices.Sort(got)
	if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		c.t.Errorf("%s is described as one of %v, and is one of %v", at, got, want)
	}
}
