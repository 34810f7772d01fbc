package scenario

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/castoff-ecs/castoff/controller/sim"
)

// EC2's query protocol is one of its own: members have other names on the wire than
// in the model, lists in requests are flat, and a reply has no result element.

func (m *apiModel) isEC2() bool { return m.Metadata.Protocol == "ec2" }

func isEC2(path string) bool { return strings.HasPrefix(path, sim.EC2+"/") }

// member finds a member of a structure by its name on the wire; nil: there is none.
func (m *apiModel) member(s *apiShape, name string, request bool) *apiShape {
	if !m.isEC2() {
		return s.Members[name]
	}
	for member, shape := range s.Members {
		if wireName(member, shape, request) == name {
			return shape
		}
	}
	return nil
}

// wireName is what EC2's protocol calls a member.
//
// Source: https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html
func wireName(member string, shape *apiShape, request bool) string {
	switch {
	case request && shape.QueryName != "":
		return shape.QueryName
	case shape.LocationName == "":
		return member
	case request:
		return strings.ToUpper(shape.LocationName[:1]) + shape.LocationName[1:]
	}
	return shape.LocationName
}

// judgeEC2 holds a request and its reply to EC2's model.
func (j *apiJudge) judgeEC2(m *apiModel, name string, form url.Values, rep *http.Response, root *element) {
	operation := form.Get("Action")
	if rep.StatusCode >= http.StatusBadRequest {
		errors := root.child("Errors")
		if root.XMLName.Local != "Response" || root.child("RequestID") == nil || errors == nil || errors.child("Error") == nil ||
			errors.child("Error").child("Code") == nil || errors.child("Error").child("Message") == nil {
			j.fault("%s: an error of another form", name)
		}
		return
	}
	op := m.Operations[operation]
	if op == nil {
		j.fault("%s: the region answers an operation that the model does not have", name)
		return
	}
	form.Del("Action")
	form.Del("Version")
	j.judge(m, name+".input", op.Input, nest(form))
	if got := strings.TrimSuffix(root.XMLName.Space, "/"); got != m.Metadata.XMLNamespace {
		j.fault("%s: namespace %q, want %q", name, got, m.Metadata.XMLNamespace)
	}
	if root.XMLName.Local != operation+"Response" || root.child("requestId") == nil {
		j.fault("%s: a reply of another form", name)
	}
	root.remove("requestId")
	j.judge(m, name+".output", op.Output, root)
}

func (e *element) remove(name string) {
	for i, c := range e.Children {
		if c.XMLName.Local == name {
			e.Children = append(e.Children[:i:i], e.Children[i+1:]...)
			return
		}
	}
}
