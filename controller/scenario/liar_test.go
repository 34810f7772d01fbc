package scenario

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// lie is one change to one member of the replies of one operation, wherever it is in
// them.
type lie struct {
	operation string
	member    string // as path has it
	change    change
	left      int // bytes that what is huge may still have in this reply
}

func (l lie) String() string { return l.operation + " " + l.member + " " + string(l.change) }

// change is what becomes of a member.
type change string

// The changes. Doubled is a list twice over, a text twice, a number twice as large;
// huge is what no AWS sends, in the member's own type.
const (
	leftOut   change = "left out"
	null      change = "null"
	doubled   change = "doubled"
	otherType change = "of another type"
	huge      change = "huge"
	notANum   change = "NaN"
	negative  change = "negative"
)

var changes = []change{leftOut, null, doubled, otherType, huge, notANum, negative}

// hugeText and hugeList are how much a huge member has.
const (
	hugeText  = 100_000
	hugeList  = 20_000
	hugeBytes = 8 << 20 // castoff is to be measured, not who lies to it
)

// liar sits before one castoff and tells it one lie while it is set to.
type liar struct {
	next aws.HTTPClient

	mu   sync.Mutex
	lie  *lie
	told int
	// heard are the largest honest replies so far, by operation.
	heard map[string][]byte
}

// set has it tell a lie from now on, or none.
func (l *liar) set(lie *lie) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lie = lie
}

// Do passes a request on and changes the reply.
func (l *liar) Do(req *http.Request) (*http.Response, error) {
	asked, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req.Body = io.NopCloser(bytes.NewReader(asked))
	rep, err := l.next.Do(req)
	if err != nil || rep.StatusCode != http.StatusOK {
		return rep, err
	}
	told, err := io.ReadAll(rep.Body)
	if err != nil {
		return nil, err
	}
	target := req.Header.Get("X-Amz-Target")
	operation := target[strings.LastIndexByte(target, '.')+1:]
	if operation == "" {
		form, _ := url.ParseQuery(string(asked))
		operation = form.Get("Action")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heard != nil && len(told) > len(l.heard[operation]) {
		l.heard[operation] = told
	}
	if l.lie != nil && l.lie.operation == operation {
		told = l.lie.tell(told)
		l.told++
	}
	rep.Body, rep.ContentLength = io.NopCloser(bytes.NewReader(told)), int64(len(told))
	rep.Header.Set("Content-Length", strconv.Itoa(len(told)))
	return rep, nil
}

// tell is a reply with the lie in it.
func (l *lie) tell(text []byte) []byte {
	l.left = hugeBytes
	if bytes.HasPrefix(text, []byte("<")) {
		return l.tellXML(text)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var doc any
	if err := d.Decode(&doc); err != nil {
		return text
	}
	doc, _ = l.inJSON(doc, strings.Split(l.member, "/"))
	out, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return bytes.ReplaceAll(out, []byte(`"`+duplicated), []byte(`"`))
}

// duplicated marks a member that is to be there a second time under the same name.
const duplicated = "twice-"

// inJSON changes a part of a reply; keep is false where it goes.
func (l *lie) inJSON(doc any, path []string) (out any, keep bool) {
	if len(path) == 0 {
		return l.jsonMember(doc)
	}
	switch doc := doc.(type) {
	case map[string]any:
		v, ok := doc[path[0]]
		if !ok {
			return doc, true
		}
		if v, keep := l.inJSON(v, path[1:]); keep {
			doc[path[0]] = v
		} else {
			delete(doc, path[0])
		}
	case []any:
		if path[0] != "[]" {
			return doc, true
		}
		var kept []any
		for _, v := range doc {
			if v, keep := l.inJSON(v, path[1:]); keep {
				kept = append(kept, v)
			}
		}
		return append([]any{}, kept...), true
	}
	return doc, true
}

// jsonMember changes one member.
func (l *lie) jsonMember(v any) (out any, keep bool) {
	switch l.change {
	case leftOut:
		return nil, false
	case null:
		return nil, true
	case notANum:
		return "NaN", true
	}
	switch v := v.(type) {
	case map[string]any:
		switch l.change {
		case doubled:
			for key := range maps.Clone(v) {
				v[duplicated+key] = v[key]
			}
			return v, true
		case huge:
			var deep any = v
			for range 1000 {
				deep = map[string]any{"x": deep}
			}
			v["x"] = deep.(map[string]any)["x"]
			return map[string]any{"x": v}, true
		}
		return []any{v}, true
	case []any:
		switch l.change {
		case doubled:
			return slices.Concat(v, v), true
		case huge:
			text, _ := json.Marshal(v)
			return slices.Repeat(v, l.copies(len(text))), true
		}
		return map[string]any{"x": v}, true
	case string:
		switch l.change {
		case doubled:
			return v + v, true
		case huge:
			return v + strings.Repeat("x", hugeText), true
		}
		return 7, true
	case json.Number:
		switch l.change {
		case doubled:
			n, _ := v.Float64()
			return 2 * n, true
		case huge:
			return json.RawMessage("1e308"), true
		case negative:
			return -5, true
		}
		return "many", true
	case bool:
		if l.change == otherType {
			return "perhaps", true
		}
		return 7, true
	}
	return v, true
}

// copies is how often a list of so many bytes is there in a huge one. Where a reply has
// several the first takes all that the reply may have.
func (l *lie) copies(size int) int {
	n := max(2, min(hugeList, l.left/max(size, 1)))
	l.left -= n * size
	return n
}

// node is an element of an XML reply.
type node struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Text    string     `xml:",chardata"`
	Nodes   []*node    `xml:",any"`
}

func (l *lie) tellXML(text []byte) []byte {
	var root node
	if err := xml.Unmarshal(text, &root); err != nil {
		return text
	}
	l.inXML(&root, strings.Split(l.member, "/"))
	var out bytes.Buffer
	root.write(&out)
	return out.Bytes()
}

func (l *lie) inXML(n *node, path []string) {
	var kept []*node
	for _, child := range n.Nodes {
		switch {
		case child.XMLName.Local != path[0]:
			kept = append(kept, child)
		case len(path) > 1:
			l.inXML(child, path[1:])
			kept = append(kept, child)
		default:
			kept = append(kept, l.xmlMember(child)...)
		}
	}
	n.Nodes = kept
}

// xmlMember is what takes the place of one element.
func (l *lie) xmlMember(n *node) []*node {
	leaf := len(n.Nodes) == 0
	switch l.change {
	case leftOut:
		return nil
	case null:
		return []*node{{XMLName: n.XMLName}}
	case doubled:
		return []*node{n, n}
	case huge:
		if !leaf {
			var text bytes.Buffer
			n.write(&text)
			return slices.Repeat([]*node{n}, l.copies(text.Len()))
		}
		if _, err := strconv.Atoi(n.Text); err == nil {
			return []*node{{XMLName: n.XMLName, Text: "1e308"}}
		}
		return []*node{{XMLName: n.XMLName, Text: n.Text + strings.Repeat("x", hugeText)}}
	case notANum:
		return []*node{{XMLName: n.XMLName, Text: "NaN"}}
	case negative:
		return []*node{{XMLName: n.XMLName, Text: "-5"}}
	}
	if leaf {
		return []*node{{XMLName: n.XMLName, Nodes: []*node{n}}}
	}
	return []*node{{XMLName: n.XMLName, Text: "many"}}
}

func (n *node) write(to *bytes.Buffer) {
	to.WriteByte('<')
	to.WriteString(n.XMLName.Local)
	for _, a := range n.Attrs {
		to.WriteString(" " + a.Name.Local + `="` + a.Value + `"`)
	}
	to.WriteByte('>')
	if len(n.Nodes) == 0 {
		_ = xml.EscapeText(to, []byte(n.Text))
	}
	for _, child := range n.Nodes {
		child.write(to)
	}
	to.WriteString("</" + n.XMLName.Local + ">")
}

// liesOf are all that can be told of an honest reply.
func liesOf(operation string, text []byte) []lie {
	members := map[string][]change{}
	if bytes.HasPrefix(text, []byte("<")) {
		var root node
		if xml.Unmarshal(text, &root) == nil {
			xmlMembers(&root, "", members)
		}
	} else {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var doc any
		if d.Decode(&doc) == nil {
			jsonMembers(doc, "", members)
		}
	}
	var lies []lie
	for _, member := range slices.Sorted(maps.Keys(members)) {
		for _, c := range changes {
			if slices.Contains(members[member], c) {
				lies = append(lies, lie{operation: operation, member: member, change: c})
			}
		}
	}
	return lies
}

// jsonMembers finds the members of a reply and what can be changed in each.
func jsonMembers(doc any, path string, into map[string][]change) {
	can := []change{leftOut, null, otherType}
	switch doc := doc.(type) {
	case map[string]any:
		for key, v := range doc {
			jsonMembers(v, strings.TrimPrefix(path+"/"+key, "/"), into)
		}
		can = append(can, doubled, huge)
	case []any:
		for _, v := range doc {
			jsonMembers(v, path+"/[]", into)
		}
		can = append(can, doubled, huge)
	case string:
		can = append(can, doubled, huge)
	case json.Number:
		can = append(can, doubled, huge, notANum, negative)
	}
	if path != "" {
		into[path] = append(into[path], can...)
	}
}

func xmlMembers(n *node, path string, into map[string][]change) {
	for _, child := range n.Nodes {
		if child.XMLName.Local == "ResponseMetadata" {
			continue
		}
		at := strings.TrimPrefix(path+"/"+child.XMLName.Local, "/")
		into[at] = append(into[at], leftOut, null, doubled, otherType, huge)
		if _, err := strconv.Atoi(child.Text); err == nil && len(child.Nodes) == 0 {
			into[at] = append(into[at], notANum, negative)
		}
		xmlMembers(child, at, into)
	}
}
