package notify

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// Kind is the form in which a receiver gets notifications.
type Kind string

// The kinds.
const (
	Webhook Kind = "webhook" // JSON, signed
	Slack   Kind = "slack"   // a text in the JSON that Slack's incoming webhooks take, and others after them
)

// Kinds lists every kind.
var Kinds = []Kind{Webhook, Slack}

// Place is where the castoff is that tells.
type Place struct {
	Region string
	// URL is castoff's own, as its readers have it, without a slash at the end;
	// empty: there are no links.
	URL string
}

// Bounds of a message.
const (
	targetsListed = 20 // the rest is a number
	targetsTold   = 5  // in words
	maxText       = 8 << 10
)

// Message is a notification in words, as a template sees it. Times are UTC.
// Whatever in it comes from AWS is one line without control characters and, for
// Slack, escaped.
type Message struct {
	ID    string
	Event string
	// Title says in one line what happened, Lines the rest.
	Title string
	Lines []string

	At      string // 2026-11-23 08:02:51Z
	Region  string
	Cluster string // empty: it concerns every cluster
	Service string // empty: it concerns the whole cluster
	Link    string // empty without web.external_url
	Since   string // of a pause, a latch, a halt; may be empty
	Until   string
	// Targets are the first that it is about, More is how many others there are.
	Targets []MessageTarget
	More    int
}

// MessageTarget is a target in words.
type MessageTarget struct {
	Task    string // its id
	Address string // 10.0.17.201:10080
	Group   string // the target group's name
	Zone    string
	Mode    string // observe or detach; empty: not known
	Failing string // since when ECS calls it UNHEALTHY; empty: not known
	Since   string // exposed, or out, since
	For     string // and for how long; empty where that is not told
	// Decision, Guard, Reason and Why are the last verdict about taking it out;
	// empty when there is none.
	Decision, Guard, Reason, Why string
	Done                         string // what castoff did about it, or what ended it
	Link                         string // to its timeline
}

// message puts a notification into words.
func (n *Notification) message(at Place, escape func(string) string) *Message {
	m := &Message{
		ID: n.ID, Event: string(n.Event), Title: n.title(), At: clock(n.At), Region: at.Region,
		Cluster: n.Service.Cluster, Service: n.Service.Name, Link: n.link(at), Since: clock(n.Since), Until: clock(n.Until),
	}
	if n.Sentence != "" {
		m.Lines = append(m.Lines, n.Sentence)
	}
	for i := range n.Targets {
		t := &n.Targets[i]
		w := MessageTarget{
			Task: t.Task.ID(), Address: t.Key.Address(), Group: t.Key.Group.Name(), Zone: t.Zone, Mode: string(t.Mode),
			Failing: clock(t.Failing), Since: clock(t.Since), For: lasted(t.For), Done: t.Sentence, Link: t.link(at),
			Decision: string(t.Verdict.Decision), Guard: string(t.Verdict.Guard), Reason: string(t.Verdict.Reason), Why: t.Verdict.Sentence,
		}
		m.Targets = append(m.Targets, w)
		if i < targetsTold {
			m.Lines = append(m.Lines, t.lines(n.Event)...)
		}
	}
	m.More = n.Count - len(m.Targets)
	if untold := n.Count - targetsTold; untold > 0 {
		m.Lines = append(m.Lines, fmt.Sprintf("and %d more", untold))
	}
	if m.Link != "" {
		m.Lines = append(m.Lines, m.Link)
	}
	if at.Region != "" {
		m.Title += " (" + at.Region + ")"
	}
	eachText(reflect.ValueOf(m).Elem(), func(s string) string { return escape(plain(s)) })
	return m
}

// eachText changes every text in a value.
func eachText(v reflect.Value, change func(string) string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(change(v.String()))
	case reflect.Slice:
		for i := range v.Len() {
			eachText(v.Index(i), change)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			eachText(v.Field(i), change)
		}
	}
}

// plain is one line that shows as what it is: control characters and those that
// turn the direction of writing around are replaced.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		default:
			return unicode.ReplacementChar
		}
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// slackEscape is what Slack asks for in a text.
//
// Source: https://docs.slack.dev/messaging/formatting-message-text#escaping
var slackEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// link is the page to look at.
func (n *Notification) link(at Place) string {
	if len(n.Targets) > 0 {
		first := n.Targets[0].link(at)
		same := true
		for i := range n.Targets {
			same = same && n.Targets[i].link(at) == first
		}
		if same {
			return first
		}
	}
	return page(at, "/")
}

func (t *Target) link(at Place) string {
	if t.Timeline == "" {
		return page(at, "/")
	}
	return page(at, "/timelines/"+string(t.Timeline))
}

func page(at Place, path string) string {
	if at.URL == "" {
		return ""
	}
	return at.URL + path
}

// Payload is the body in which a receiver of a kind gets a notification. It is
// bounded. A template that fails is no reason to say nothing: castoff's own words
// are sent then, and the error says so.
func (n *Notification) Payload(k Kind, t *Text, at Place) ([]byte, error) {
	escape := func(s string) string { return s }
	if k == Slack {
		escape = slackEscape.Replace
	}
	text, err := t.write(n.message(at, escape))
	if k == Slack {
		return encode(struct {
			Text string `json:"text"`
		}{text}), err
	}
	return encode(n.wire(text, at)), err
}

func encode(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("encode %T: %w", v, err)) // there is nothing in it that cannot be: a bug of ours
	}
	return body
}

// The wire form of a webhook's body. As in castoff's API instants are UTC with
// milliseconds, durations seconds, and what is not known null.

type wire struct {
	Type      Event    `json:"type"`
	Timestamp *string  `json:"timestamp"`
	Data      wireData `json:"data"`
}

type wireData struct {
	ID       string       `json:"id"`
	Region   *string      `json:"region"`
	Cluster  *string      `json:"cluster"`
	Service  *string      `json:"service"`
	Text     string       `json:"text"`
	Link     *string      `json:"link"`
	Since    *string      `json:"since"`
	Until    *string      `json:"until"`
	Sentence *string      `json:"sentence"`
	Targets  []wireTarget `json:"targets"`
	LeftOut  int          `json:"targets_left_out"`
}

type wireTarget struct {
	ID       string        `json:"id"`
	Task     fleet.TaskARN `json:"task"`
	Target   wireKey       `json:"target"`
	Zone     *string       `json:"zone"`
	Mode     *string       `json:"mode"`
	Failing  *string       `json:"unhealthy_since"`
	Since    *string       `json:"since"`
	For      *float64      `json:"for_seconds"`
	Timeline *string       `json:"timeline"`
	Link     *string       `json:"link"`
	Verdict  *wireVerdict  `json:"verdict"`
	Sentence *string       `json:"sentence"`
}

type wireKey struct {
	Group string               `json:"target_group"`
	ARN   fleet.TargetGroupARN `json:"target_group_arn"`
	ID    string               `json:"id"`
	Port  int                  `json:"port"`
}

type wireVerdict struct {
	Decision policy.Decision `json:"decision"`
	Guard    *string         `json:"guard"`
	Reason   policy.Reason   `json:"reason"`
	Sentence string          `json:"sentence"`
}

func (n *Notification) wire(text string, at Place) wire {
	w := wire{Type: n.Event, Timestamp: instant(n.At), Data: wireData{
		ID: n.ID, Region: optional(at.Region), Cluster: optional(n.Service.Cluster), Service: optional(n.Service.Name),
		Text: text, Link: optional(n.link(at)), Since: instant(n.Since), Until: instant(n.Until), Sentence: optional(n.Sentence),
		Targets: []wireTarget{}, LeftOut: n.Count - len(n.Targets),
	}}
	for i := range n.Targets {
		t := &n.Targets[i]
		wt := wireTarget{
			ID: t.ID, Task: t.Task, Target: wireKey{t.Key.Group.Name(), t.Key.Group, t.Key.ID, t.Key.Port},
			Zone: optional(t.Zone), Mode: optional(string(t.Mode)), Failing: instant(t.Failing), Since: instant(t.Since),
			For: seconds(t.For), Timeline: optional(string(t.Timeline)), Link: optional(t.link(at)), Sentence: optional(t.Sentence),
		}
		if v := &t.Verdict; v.Decision != "" {
			wt.Verdict = &wireVerdict{v.Decision, optional(string(v.Guard)), v.Reason, v.Sentence}
		}
		w.Data.Targets = append(w.Data.Targets, wt)
	}
	return w
}

// seconds is null for what has not lasted yet.
func seconds(d time.Duration) *float64 {
	if d == 0 {
		return nil
	}
	s := d.Round(time.Millisecond).Seconds()
	return &s
}

func lasted(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return span(d)
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func instant(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return &s
}
