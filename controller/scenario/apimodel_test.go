package scenario

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/sim"
)

// apiModel is one service's API in AWS's own words, as the JavaScript SDK ships
// it as data.
type apiModel struct {
	Metadata struct {
		Protocol     string `json:"protocol"`
		XMLNamespace string `json:"xmlNamespace"`
	} `json:"metadata"`
	Operations map[string]*struct {
		Input  *apiShape `json:"input"`
		Output *apiShape `json:"output"`
	} `json:"operations"`
	Shapes map[string]*apiShape `json:"shapes"`
}

// apiShape is the type of a member; without a Type it is a string.
type apiShape struct {
	Type     string               `json:"type"`
	Shape    string               `json:"shape"` // the name of the one that it is
	Required []string             `json:"required"`
	Members  map[string]*apiShape `json:"members"`
	Member   *apiShape            `json:"member"`
	Value    *apiShape            `json:"value"`

	LocationName string `json:"locationName"` // on the wire, in EC2's protocol
	QueryName    string `json:"queryName"`    // the same in a request, where it differs
}

// modelFiles are where make conformance puts the models, by service.
var modelFiles = map[string]string{
	sim.ECS:   "ecs-2014-11-13.min.json",
	sim.ELBv2: "elasticloadbalancingv2-2015-12-01.min.json",
	sim.STS:   "sts-2011-06-15.min.json",
	sim.EC2:   "ec2-2016-11-15.min.json",
}

const conformanceCache = "../../.cache/conformance"

// readModels reads the models and adds what AWS has documented since. Without
// them it skips the test, but not in CI.
func readModels(t *testing.T) map[string]*apiModel {
	t.Helper()
	models := map[string]*apiModel{}
	for service, file := range modelFiles {
		data, err := os.ReadFile(filepath.Join(conformanceCache, "models", file))
		if errors.Is(err, os.ErrNotExist) {
			const told = "AWS'S API MODELS ARE NOT HERE, SO NOTHING IS COMPARED WITH THEM: make conformance fetches them"
			if os.Getenv("CI") != "" {
				t.Fatal(told)
			}
			t.Skip(told)
		}
		must(t, err)
		m := &apiModel{}
		must(t, json.Unmarshal(data, m))
		models[service] = m
	}
	for _, n := range newer {
		must(t, n.addTo(models[n.service]))
	}
	return models
}

// addTo puts a newer member in its place.
func (n newerMember) addTo(m *apiModel) error {
	shape := &apiShape{}
	if err := json.Unmarshal([]byte(n.shape), shape); err != nil {
		return fmt.Errorf("%s: %w", n.path, err)
	}
	parts := strings.Split(n.path, ".")
	if len(parts) == 1 {
		if m.Operations[n.path] != nil {
			return fmt.Errorf("%s: the model has it by now: take it out of the table", n.path)
		}
		m.Operations[n.path] = &struct {
			Input  *apiShape `json:"input"`
			Output *apiShape `json:"output"`
		}{shape.Members["input"], shape.Members["output"]}
		return nil
	}
	op := m.Operations[parts[0]]
	if op == nil {
		return fmt.Errorf("%s: the model has no such operation", n.path)
	}
	at := op.Output
	if parts[1] == "input" {
		at = op.Input
	}
	for _, name := range parts[2 : len(parts)-1] {
		at = m.follow(at)
		if at.Type == "list" {
			at = m.follow(at.Member)
		}
		if at = m.follow(at.Members[name]); at == nil {
			return fmt.Errorf("%s: the model has no %s", n.path, name)
		}
	}
	if at = m.follow(at); at.Type == "list" {
		at = m.follow(at.Member)
	}
	last := parts[len(parts)-1]
	if at.Members[last] != nil {
		return fmt.Errorf("%s: the model has it by now: take it out of the table", n.path)
	}
	at.Members[last] = shape
	return nil
}

func (m *apiModel) follow(s *apiShape) *apiShape {
	for s != nil && s.Shape != "" {
		s = m.Shapes[s.Shape]
	}
	return s
}

// apiJudge stands between a client and a region and holds every request and
// every reply to the models.
type apiJudge struct {
	region *sim.Region
	models map[string]*apiModel

	mu     sync.Mutex
	seen   map[string]bool // service/operation.input|output.member…
	calls  int
	faults map[string]bool // what does not fit
}

func newAPIJudge(region *sim.Region, models map[string]*apiModel) *apiJudge {
	return &apiJudge{region: region, models: models, seen: map[string]bool{}, faults: map[string]bool{}}
}

// Do carries a request out and judges both sides of it.
func (j *apiJudge) Do(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	rep, err := sim.Doer{Region: j.region}.Do(req)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(rep.Body)
	if err != nil {
		return nil, err
	}
	rep.Body = io.NopCloser(bytes.NewReader(answer))
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls++
	if target := req.Header.Get("X-Amz-Target"); target != "" {
		j.judgeJSON(strings.TrimPrefix(target, "AmazonEC2ContainerServiceV20141113."), body, rep, answer)
	} else {
		j.judgeQuery(body, rep, answer)
	}
	return rep, nil
}

func (j *apiJudge) fault(format string, args ...any) { j.faults[fmt.Sprintf(format, args...)] = true }

func (j *apiJudge) judgeJSON(operation string, body []byte, rep *http.Response, answer []byte) {
	m, name := j.models[sim.ECS], sim.ECS+"/"+operation
	op := m.Operations[operation]
	if op == nil {
		if rep.StatusCode < http.StatusBadRequest {
			j.fault("%s: the region answers an operation that the model does not have", name)
		}
		return
	}
	refused := rep.StatusCode >= http.StatusBadRequest
	if in, err := readJSON(body); err != nil {
		j.fault("%s.input: %v", name, err)
	} else if !refused {
		j.judge(m, name+".input", op.Input, in)
	}
	if got := rep.Header.Get("Content-Type"); got != "application/x-amz-json-1.1" {
		j.fault("%s: Content-Type %q", name, got)
	}
	out, err := readJSON(answer)
	if err != nil {
		j.fault("%s.output: %v", name, err)
		return
	}
	if refused {
		e, _ := out.(map[string]any)
		if code, _ := e["__type"].(string); code == "" {
			j.fault("%s: an error without __type: %s", name, answer)
		}
		return
	}
	j.judge(m, name+".output", op.Output, out)
}

func readJSON(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func (j *apiJudge) judgeQuery(body []byte, rep *http.Response, answer []byte) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		j.fault("query: %v", err)
		return
	}
	service := sim.ELBv2
	switch form.Get("Version") {
	case "2011-06-15":
		service = sim.STS
	case "2016-11-15":
		service = sim.EC2
	}
	m, operation := j.models[service], form.Get("Action")
	name := service + "/" + operation
	op := m.Operations[operation]
	root := &element{}
	if err := xml.Unmarshal(answer, root); err != nil {
		j.fault("%s.output: %v", name, err)
		return
	}
	if m.isEC2() {
		j.judgeEC2(m, name, form, rep, root)
		return
	}
	if root.XMLName.Space != m.Metadata.XMLNamespace {
		j.fault("%s: namespace %q, want %q", name, root.XMLName.Space, m.Metadata.XMLNamespace)
	}
	if rep.StatusCode >= http.StatusBadRequest {
		if e := root.child("Error"); root.XMLName.Local != "ErrorResponse" || e == nil || e.child("Code") == nil || e.child("Message") == nil || root.child("RequestId") == nil {
			j.fault("%s: an error of another form: %s", name, answer)
		}
		return
	}
	if op == nil {
		j.fault("%s: the region answers an operation that the model does not have", name)
		return
	}
	form.Del("Action")
	form.Del("Version")
	j.judge(m, name+".input", op.Input, nest(form))
	result := root.child(operation + "Result")
	if root.XMLName.Local != operation+"Response" || result == nil || root.child("ResponseMetadata") == nil || len(root.Children) != 2 {
		j.fault("%s: a reply of another form: %s", name, answer)
		return
	}
	if op.Output == nil || len(op.Output.Members) == 0 {
		if len(result.Children) > 0 {
			j.fault("%s.output: it has members", name)
		}
		return
	}
	j.judge(m, name+".output", op.Output, result)
}

// nest makes a tree of a form's dotted names.
func nest(form url.Values) any {
	tree := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		at, parts := tree, strings.Split(name, ".")
		for _, part := range parts[:len(parts)-1] {
			next, ok := at[part].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[part] = next
			}
			at = next
		}
		at[parts[len(parts)-1]] = form[name][0]
	}
	return tree
}

// element is any XML.
type element struct {
	XMLName  xml.Name
	Text     string     `xml:",chardata"`
	Children []*element `xml:",any"`
}

func (e *element) child(name string) *element {
	for _, c := range e.Children {
		if c.XMLName.Local == name {
			return c
		}
	}
	return nil
}

// judge holds a value to a shape: JSON as it was read, XML as elements, a form
// as a tree of its names.
func (j *apiJudge) judge(m *apiModel, path string, s *apiShape, v any) {
	s = m.follow(s)
	if s == nil {
		s = &apiShape{Type: "structure"}
		if strings.Count(path, ".") > 1 {
			j.fault("%s: the model does not have it", path)
			return
		}
	}
	j.seen[path] = true
	switch s.Type {
	case "structure":
		j.judgeStructure(m, path, s, v)
	case "list":
		for _, item := range j.items(path, v) {
			j.judge(m, path+"[]", s.Member, item)
		}
	case "map":
		pairs, ok := v.(map[string]any)
		if !ok {
			j.fault("%s: %T for a map", path, v)
		}
		for _, value := range pairs {
			j.judge(m, path+"{}", s.Value, value)
		}
	default:
		j.judgeScalar(path, s.Type, v)
	}
}

func (j *apiJudge) judgeStructure(m *apiModel, path string, s *apiShape, v any) {
	members := map[string]any{}
	switch v := v.(type) {
	case map[string]any:
		members = v
	case *element:
		for _, c := range v.Children {
			if members[c.XMLName.Local] != nil {
				j.fault("%s: %s is there twice", path, c.XMLName.Local)
			}
			members[c.XMLName.Local] = c
		}
	case nil:
	default:
		j.fault("%s: %T for a structure", path, v)
	}
	for _, name := range s.Required {
		if members[name] == nil {
			j.fault("%s: %s is required and is not there", path, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if shape := m.member(s, name, strings.Contains(path, ".input")); shape != nil {
			j.judge(m, path+"."+name, shape, members[name])
		} else {
			j.fault("%s: the model has no %s", path, name)
		}
	}
}

// items are those of a list: in XML and in forms each is a member.
func (j *apiJudge) items(path string, v any) []any {
	switch v := v.(type) {
	case []any:
		return v
	case *element:
		var items []any
		member := "member"
		if isEC2(path) {
			member = "item"
		}
		for _, c := range v.Children {
			if c.XMLName.Local != member {
				j.fault("%s: %s in a list", path, c.XMLName.Local)
			}
			items = append(items, c)
		}
		return items
	case map[string]any:
		numbered, ok := v["member"].(map[string]any)
		if isEC2(path) {
			numbered = v // a list is flat
		} else if !ok || len(v) != 1 {
			j.fault("%s: not a list", path)
		}
		var items []any
		for i := range len(numbered) {
			item := numbered[strconv.Itoa(i+1)]
			if item == nil {
				j.fault("%s: no member.%d", path, i+1)
			}
			items = append(items, item)
		}
		return items
	}
	j.fault("%s: %T for a list", path, v)
	return nil
}

func (j *apiJudge) judgeScalar(path, kind string, v any) {
	ok := false
	switch v := v.(type) {
	case string: // of JSON, or of a form, where everything is one
		ok = kind == "" || kind == "string" || strings.HasPrefix(path, sim.ELBv2) && fits(kind, v) || strings.HasPrefix(path, sim.STS) && fits(kind, v) || isEC2(path) && fits(kind, v)
	case bool:
		ok = kind == "boolean"
	case json.Number:
		_, err := v.Int64()
		ok = kind == "double" || kind == "float" || kind == "timestamp" || (kind == "integer" || kind == "long") && err == nil
	case *element:
		ok = len(v.Children) == 0 && fits(kind, v.Text)
	}
	if !ok {
		j.fault("%s: %T %v for %q", path, v, v, kind)
	}
}

// fits reports that a text is of a kind.
func fits(kind, text string) bool {
	var err error
	switch kind {
	case "boolean":
		return text == "true" || text == "false"
	case "integer", "long":
		_, err = strconv.ParseInt(text, 10, 64)
	case "timestamp":
		_, err = time.Parse(time.RFC3339, text)
	case "", "string":
	default:
		return false
	}
	return err == nil
}
