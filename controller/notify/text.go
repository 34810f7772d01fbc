package notify

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// DefaultText is the template of receivers that have none of their own.
const DefaultText = `{{.Title}}{{range .Lines}}
{{.}}{{end}}`

// Text is a template for the text of notifications: a Go text/template over a
// [Message]. Nil is the default.
type Text struct{ own *template.Template }

var defaultText = template.Must(template.New("text").Parse(DefaultText))

// ParseText reads a template and tries it on a message of each event; the error
// says what is wrong with it in one line. An empty one is the default.
func ParseText(text string) (*Text, error) {
	if text == "" {
		return nil, nil
	}
	own, err := template.New("text").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, mistake(err)
	}
	t := &Text{own: own}
	var errs []error
	seen := map[string]int{}
	for _, n := range Samples() {
		if _, err := n.Payload(Webhook, t, Place{Region: "eu-central-1", URL: "https://castoff.example.com"}); err != nil {
			if seen[err.Error()]++; seen[err.Error()] == 1 {
				errs = append(errs, err)
			} else if seen[err.Error()] == 3 {
				break // so it is everywhere; one that goes round and round takes its time
			}
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return t, nil
}

// mistake is a template's error for whoever wrote the template: one line with the
// place, and what there is where something is missing.
func mistake(err error) error {
	text := strings.TrimPrefix(plain(err.Error()), "template: text:")
	if m := missing.FindStringSubmatch(text); m != nil {
		of := reflect.TypeFor[Message]()
		if strings.HasSuffix(m[3], "MessageTarget") {
			of = reflect.TypeFor[MessageTarget]()
		}
		var fields []string
		for i := range of.NumField() {
			fields = append(fields, "."+of.Field(i).Name)
		}
		text = fmt.Sprintf("%s: there is no .%s; there are %s", m[1], m[2], strings.Join(fields, ", "))
	}
	return errors.New("line " + text)
}

var missing = regexp.MustCompile(`^([0-9:]+): executing .* at <.*>: can't evaluate field (\w+) in type (\S+)$`)

// write makes the text. It is never longer than maxText.
func (t *Text) write(m *Message) (string, error) {
	if t == nil {
		return execute(defaultText, m)
	}
	text, err := execute(t.own, m)
	if err == nil && strings.TrimSpace(text) == "" {
		err = fmt.Errorf("it says nothing of %s", m.Event)
	}
	if err != nil {
		words, _ := execute(defaultText, m)
		return words, err
	}
	return text, nil
}

// execute cuts a text that is too long: a template may go round and round.
func execute(t *template.Template, m *Message) (string, error) {
	var b bounded
	if err := t.Execute(&b, m); err != nil && !errors.Is(err, errFull) {
		return "", mistake(err)
	}
	text := string(b)
	if len(text) <= maxText {
		return text, nil
	}
	text = text[:maxText]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + "…", nil
}

// bounded takes a little more than the longest text.
type bounded []byte

var errFull = errors.New("too long")

func (b *bounded) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), maxText+1-len(*b))]...)
	if len(*b) > maxText {
		return 0, errFull
	}
	return len(p), nil
}

// sampleSentences are what is said in samples of what castoff did, or what ended
// something.
var sampleSentences = map[Event]string{
	Unexposed:   "the balancer now calls its target draining",
	Detached:    "AWS accepted the call",
	Stopped:     "ECS itself began 3 min 55 s to 3 min 58 s later: that is what castoff saved",
	Attached:    "its task is healthy; castoff registered the target again at 2026-11-23 08:04:58Z",
	Lost:        "castoff no longer watches its cluster, and does not know whether the target is out",
	Contested:   "castoff took it out 4 times and somebody, as ECS does, put it back each time",
	WouldDetach: "Nothing was done: the service's mode is observe.",
}

// Samples are a notification of each event, as an example and to try templates
// on; of events about targets also one with many.
func Samples() []Notification {
	at := time.Date(2026, 11, 23, 8, 5, 0, 0, time.UTC)
	of := fleet.ServiceID{Cluster: "prod", Name: "api"}
	verdict := Verdict{
		Mode: policy.Detaching, Decision: policy.Hold, Guard: policy.Floor, Reason: policy.BelowFloor,
		Sentence: "1 of 3 tasks would stay healthy, floor 2 (50 %)",
	}
	group := fleet.TargetGroupARN("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/api-grpc/0123456789abcdef")
	target := func(i int) Target {
		return Target{
			Key:  fleet.NewTargetKey(group, fmt.Sprintf("192.0.2.%d", 10+i), 10080),
			Task: fleet.TaskARN(fmt.Sprintf("arn:aws:ecs:eu-central-1:123456789012:task/prod/%032x", 10+i)), Zone: "eu-central-1a",
			Timeline: "0a-1764403200", Mode: policy.Detaching, Failing: at.Add(-2 * time.Minute), Since: at.Add(-time.Minute), For: time.Minute,
			Verdict: verdict,
		}
	}
	samples := []Notification{Trial(at)}
	for _, e := range Events {
		n := Notification{ID: identity(e, "sample"), Event: e, At: at, Service: of}
		switch e {
		case Latched, Unlatched, Paused, Unpaused, Halted, Unhalted:
			n.Since, n.Until, n.Sentence = at.Add(-time.Minute), at.Add(time.Hour), "by jane@example.com: database upgrade"
			everything := n
			everything.Service = fleet.ServiceID{}
			samples = append(samples, n, everything)
			continue
		}
		n.Targets, n.Count = []Target{target(0)}, 1
		n.Targets[0].Sentence = sampleSentences[e]
		bare := n
		bare.Targets = []Target{target(0)}
		bare.Targets[0].Verdict, bare.Targets[0].Timeline, bare.Targets[0].Failing = Verdict{}, "", time.Time{}
		many := n
		many.Targets, many.Count = nil, targetsListed+3
		for i := range targetsListed {
			many.Targets = append(many.Targets, target(i))
		}
		samples = append(samples, n, bare, many)
	}
	return samples
}
