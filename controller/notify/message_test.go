package notify_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
)

var update = flag.Bool("update", false, "rewrite the expected messages")

var place = notify.Place{Region: "eu-central-1", URL: "https://castoff.example.com"}

// body is a notification's payload, decoded.
func body(t *testing.T, n *notify.Notification, k notify.Kind, text *notify.Text) map[string]any {
	t.Helper()
	data, err := n.Payload(k, text, place)
	if err != nil {
		t.Fatal(err)
	}
	var decoded map[string]any
	if err := json.Unmarshal(data, &decoded); err != nil {
		t.Fatal(err)
	}
	return decoded
}

func textOf(t *testing.T, n *notify.Notification) string {
	t.Helper()
	text, _ := body(t, n, notify.Webhook, nil)["data"].(map[string]any)["text"].(string)
	return text
}

// Every message as it is told, and one of each kind as it is sent.
func TestMessages(t *testing.T) {
	var b strings.Builder
	for _, n := range notify.Samples() {
		fmt.Fprintf(&b, "== %s\n%s\n\n", n.Event, textOf(t, &n))
	}
	shown := map[notify.Event]bool{}
	for _, n := range notify.Samples() {
		if shown[n.Event] || n.Event != notify.Exposed && n.Event != notify.Paused {
			continue
		}
		shown[n.Event] = true
		payload, err := json.MarshalIndent(body(t, &n, notify.Webhook, nil), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		slack, err := n.Payload(notify.Slack, nil, place)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "== webhook: %s\n%s\n\n== slack: %s\n%s\n\n", n.Event, payload, n.Event, slack)
	}
	if *update {
		if err := os.WriteFile("testdata/messages.txt", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/messages.txt")
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the messages are not those of testdata/messages.txt; run with -update and read the difference:\n%s", b.String())
	}
}

// hostile is a notification in which everything that others have written tries to
// be something else.
func hostile() notify.Notification {
	bad := "<!channel> & <https://192.0.2.1|look>\n\x1b[31m\u202e" + strings.Repeat("é", 300)
	n := notify.Samples()[1]
	n.Service = fleet.ServiceID{Cluster: bad, Name: bad}
	target := n.Targets[0]
	target.Zone, target.Sentence = bad, bad
	target.Task = fleet.TaskARN(bad)
	target.Key = fleet.TargetKey{Group: fleet.TargetGroupARN(bad), ID: bad, Port: 1}
	target.Verdict = notify.Verdict{Decision: policy.Hold, Guard: policy.Guard(bad), Reason: policy.Reason(bad), Sentence: bad}
	n.Targets = []notify.Target{target}
	return n
}

func TestHostileNames(t *testing.T) {
	everything, err := notify.ParseText(`*own words* {{.}}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]*notify.Text{"default": nil, "every field": everything} {
		n := hostile()
		slack, _ := body(t, &n, notify.Slack, text)["text"].(string)
		if strings.ContainsAny(slack, "<>") || strings.Contains(strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(slack, "&amp;", ""), "&lt;", ""), "&gt;", ""), "&") {
			t.Errorf("%s: Slack would obey: %s", name, slack)
		}
		if !strings.Contains(slack, "&lt;!channel&gt; &amp;") {
			t.Errorf("%s: the name is not shown: %s", name, slack)
		}
		if strings.ContainsAny(slack, "\x1b\u202e") {
			t.Errorf("%s: a terminal would obey: %q", name, slack)
		}
	}
	// What an operator writes is theirs.
	own, err := notify.ParseText(`<!here> *{{.Event}}*`)
	if err != nil {
		t.Fatal(err)
	}
	n := hostile()
	if got := body(t, &n, notify.Slack, own)["text"]; got != "<!here> *exposed*" {
		t.Errorf("text %q", got)
	}
}

func TestTemplates(t *testing.T) {
	for _, tt := range []struct{ text, says string }{
		{"{{.Title", "unclosed action"},
		{"{{.Titel}}", "line 1:2: there is no .Titel; there are .ID, .Event, .Title,"},
		{"{{range .Targets}}{{.Nope}}{{end}}", "there is no .Nope; there are .Task, .Address,"},
		{`{{if eq .Event "paused"}}{{.Nope}}{{else}}x{{end}}`, "there is no .Nope"},
		{"{{shout .Title}}", `function "shout" not defined`},
		{"{{index .Lines 7}}", "out of range"},
		{`{{template "other"}}`, "other"},
		{`{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`, "exceeded maximum template depth"},
		{`{{if eq .Event "paused"}}x{{end}}`, "says nothing of"},
		{" \n", "says nothing of"},
	} {
		if _, err := notify.ParseText(tt.text); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.text, err, tt.says)
		}
	}
	own, err := notify.ParseText(`{{.Event}} {{.Cluster}}/{{.Service}}{{range .Targets}} {{.Address}} {{.For}} {{.Why}}{{end}}`)
	if err != nil {
		t.Fatal(err)
	}
	n := notify.Samples()[1]
	if got := body(t, &n, notify.Slack, own)["text"]; got != "exposed prod/api 192.0.2.10:10080 1 min 0 s 1 of 3 tasks would stay healthy, floor 2 (50 %)" {
		t.Errorf("text %q", got)
	}
}

// A template that goes wrong on what no sample has does not keep people from
// being told.
func TestTemplateFailsLater(t *testing.T) {
	own, err := notify.ParseText(`{{if eq .Cluster "odd"}}{{index .Lines 99}}{{else}}fine{{end}}`)
	if err != nil {
		t.Fatal(err)
	}
	n := notify.Samples()[1]
	n.Service.Cluster = "odd"
	payload, err := n.Payload(notify.Slack, own, place)
	if err == nil || !strings.Contains(string(payload), "odd/api: the balancer sends traffic to a task") {
		t.Errorf("%v: %s", err, payload)
	}
}

// Whatever a template does and however long names are, a message has an end.
func TestMessagesAreBounded(t *testing.T) {
	own, err := notify.ParseText(`{{range .Targets}}{{range $.Targets}}{{printf "%9999d" 1}}é{{end}}{{end}}x`)
	if err != nil {
		t.Fatal(err)
	}
	many := hostile()
	for range 19 {
		many.Targets = append(many.Targets, many.Targets[0])
	}
	many.Count = 5000
	most := 0
	for _, k := range notify.Kinds {
		for _, text := range []*notify.Text{nil, own} {
			payload, err := many.Payload(k, text, place)
			if err != nil || !utf8.Valid(payload) {
				t.Errorf("%s: %v", k, err)
			}
			most = max(most, len(payload))
		}
	}
	if most > 256<<10 {
		t.Errorf("%d bytes", most)
	}
}
