package config

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
)

// Receiver is somebody who is told what happens.
//
// What must stay secret may stand in the file, or else in an environment variable
// or a file of its own, which are read when castoff starts: see [Config.Resolved].
type Receiver struct {
	Name string      `yaml:"name"` // in metrics, logs and pages
	Kind notify.Kind `yaml:"kind"`
	// URL is where to send to. It is a secret: who knows that of a Slack channel
	// may write there.
	URL     Secret `yaml:"url"`
	URLEnv  string `yaml:"url_env"`
	URLFile string `yaml:"url_file"`
	// Secret signs what a webhook gets: base64 of 24 to 64 bytes, with whsec_ before
	// it or without.
	Secret     Secret `yaml:"secret"`
	SecretEnv  string `yaml:"secret_env"`
	SecretFile string `yaml:"secret_file"`

	Events []notify.Event `yaml:"events"` // default: all but would_detach
	// Match says which services it is told of; empty: all. What concerns a whole
	// cluster it is told where a pattern may match a service of that, and what
	// concerns everything always.
	Match      Patterns      `yaml:"match"`
	ExposedFor time.Duration `yaml:"exposed_for"` // default 1m
	// Text is a template in the place of castoff's own words.
	Text    string        `yaml:"text"`
	Headers []Header      `yaml:"headers"` // besides castoff's own
	Timeout time.Duration `yaml:"timeout"` // of one try; default 10s
}

// Header is a header of the requests to a receiver. Its value is a secret.
type Header struct {
	Name      string `yaml:"name"`
	Value     Secret `yaml:"value"`
	ValueEnv  string `yaml:"value_env"`
	ValueFile string `yaml:"value_file"`
}

// DefaultReceiver is what a receiver is that sets nothing.
func DefaultReceiver() Receiver {
	return Receiver{Events: notify.DefaultEvents(), ExposedFor: time.Minute, Timeout: 10 * time.Second}
}

// Rule is what the receiver wants to know.
func (n Receiver) Rule() notify.Rule {
	return notify.Rule{Events: n.Events, ExposedFor: n.ExposedFor, About: n.about}
}

// about reports that a service, or a cluster alone, is of interest.
func (n Receiver) about(id fleet.ServiceID) bool {
	if len(n.Match) == 0 {
		return true
	}
	if id.Name != "" {
		return n.Match.Match(id)
	}
	return slices.ContainsFunc(n.Match, func(pattern string) bool {
		cluster, _, _ := strings.Cut(pattern, "/")
		ok, err := path.Match(cluster, id.Cluster)
		return err == nil && ok
	})
}

// kept is a secret with the places it may be in, by their keys.
type kept struct {
	key             string
	value           *Secret
	env, file       string
	must            string                  // what it must be, in words
	good            func(value string) bool // nil: anything
	needed, refused string                  // why it must be there, or must not; empty otherwise
}

// secrets are those of a receiver and of its headers.
func (n *Receiver) secrets() []kept {
	signing := kept{
		key: "secret", value: &n.Secret, env: n.SecretEnv, file: n.SecretFile,
		must: "must be base64 of 24 to 64 bytes, such as openssl rand -base64 32 prints, with whsec_ before it or without", good: isSigningSecret,
	}
	switch n.Kind {
	case notify.Webhook:
		signing.needed = "it signs what a webhook gets"
	case notify.Slack:
		signing.refused = "nothing is signed for Slack"
	}
	all := []kept{
		{key: "url", value: &n.URL, env: n.URLEnv, file: n.URLFile, must: "must be an http or https URL without a fragment", good: isURL, needed: "it says where to send to"},
		signing,
	}
	for i := range n.Headers {
		h := &n.Headers[i]
		all = append(all, kept{
			key: fmt.Sprintf("headers[%d].value", i), value: &h.Value, env: h.ValueEnv, file: h.ValueFile,
			must: "must be one line of printable ASCII", good: isHeaderValue, needed: "a header has a value",
		})
	}
	return all
}

// places are the keys that are set, of the three that a secret may be in.
func (k *kept) places() []string {
	var set []string
	for _, p := range []struct {
		key   string
		value string
	}{{k.key, k.value.Reveal()}, {k.key + "_env", k.env}, {k.key + "_file", k.file}} {
		if p.value != "" {
			set = append(set, p.key)
		}
	}
	return set
}

// Resolved is the Config with the secrets of its notifications in their place,
// wherever they are kept. It asks for environment variables and files by the
// names in it. The error is a *ValidationError.
func (c Config) Resolved(env func(name string) (string, bool), read func(file string) ([]byte, error)) (Config, error) {
	var problems []Problem
	c.Notifications = slices.Clone(c.Notifications)
	for i := range c.Notifications {
		n := &c.Notifications[i]
		n.Headers = slices.Clone(n.Headers)
		for _, k := range n.secrets() {
			var from, value, must string
			switch {
			case k.env != "":
				from = k.key + "_env"
				var there bool
				if value, there = env(k.env); !there {
					must = "must name an environment variable that is set, " + quoted(k.env) + " is not"
				}
			case k.file != "":
				from = k.key + "_file"
				data, err := read(k.file)
				if value = strings.TrimRight(string(data), "\r\n"); err != nil {
					must = "must name a file that castoff can read: " + visible(err.Error())
				}
			default:
				continue
			}
			if must == "" && !k.good(value) {
				must = strings.Replace(k.must, "must be", "must have in it", 1)
			}
			if must != "" {
				problems = append(problems, Problem{Path: receiverPath(i) + "." + from, Rule: "notifications.resolved", Must: must})
			}
			*k.value = Secret(value)
		}
	}
	return c, asError("", problems)
}

func receiverPath(i int) string { return fmt.Sprintf("notifications[%d]", i) }

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= 2048 && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.Opaque == "" && !strings.Contains(s, "#")
}

// isSigningSecret holds a secret to what Standard Webhooks asks for.
//
// Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func isSigningSecret(s string) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "whsec_"))
	return err == nil && len(key) >= 24 && len(key) <= 64
}

func isHeaderValue(s string) bool {
	return s != "" && len(s) <= 4096 && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// ownHeaders are set by castoff, or would change what a request is.
var ownHeaders = []string{
	"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host", "Proxy-Authorization", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "User-Agent", "Webhook-Id", "Webhook-Signature", "Webhook-Timestamp",
}

func isOwnHeader(name string) bool {
	return slices.Contains(ownHeaders, http.CanonicalHeaderKey(name))
}
