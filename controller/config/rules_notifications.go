package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/notify"
)

// receiverRule is a rule about every receiver by itself. It blames keys of the
// receiver.
func receiverRule(name string, check func(n *Receiver, blame blame)) rule {
	return rule{"notifications." + name, []string{"notifications"}, func(c *Config, say blame) {
		for i := range c.Notifications {
			check(&c.Notifications[i], func(key, must, got string) { say(receiverPath(i)+"."+key, must, got) })
		}
	}}
}

var (
	receiverName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)
	// https://www.rfc-editor.org/rfc/rfc9110#name-tokens
	headerName = regexp.MustCompile("^[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,128}$")
	// https://pubs.opengroup.org/onlinepubs/9799919799/basedefs/V1_chap08.html
	variableName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,254}$`)
)

// maxReceivers bounds what they cost: each has a queue, and series.
const maxReceivers = 20

// notificationRules are the rules of who is told what.
func notificationRules() []rule {
	return []rule{
		{"notifications.count", []string{"notifications"}, func(c *Config, blame blame) {
			if n := len(c.Notifications); n > maxReceivers {
				blame("notifications", fmt.Sprintf("must be at most %d receivers", maxReceivers), strconv.Itoa(n))
			}
		}},
		receiverRule("name.format", func(n *Receiver, blame blame) {
			if !receiverName.MatchString(n.Name) {
				blame("name", "must be 1 to 64 letters, digits or any of _.-: it names the receiver in metrics, logs and pages", quoted(n.Name))
			}
		}),
		{"notifications.name.unique", []string{"notifications"}, uniqueNames},
		receiverRule("kind.choice", func(n *Receiver, blame blame) {
			if !slices.Contains(notify.Kinds, n.Kind) {
				blame("kind", "must be one of "+listed(notify.Kinds), quoted(string(n.Kind)))
			}
		}),
		receiverRule("secrets.place", secretPlaces),
		receiverRule("secrets.variable", func(n *Receiver, blame blame) {
			for _, k := range n.secrets() {
				if k.env != "" && !variableName.MatchString(k.env) {
					blame(k.key+"_env", "must be the name of an environment variable", "") // it may be the secret itself
				}
			}
		}),
		receiverRule("secrets.format", func(n *Receiver, blame blame) {
			for _, k := range n.secrets() {
				if v := k.value.Reveal(); v != "" && !k.good(v) {
					blame(k.key, k.must, "")
				}
			}
		}),
		receiverRule("events.choice", eventChoice),
		receiverRule("match.format", func(n *Receiver, blame blame) {
			for i, pattern := range n.Match {
				if !isPattern.MatchString(pattern) {
					blame(fmt.Sprintf("match[%d]", i), patternMust, quoted(pattern))
				}
			}
		}),
		receiverWithin("exposed_for", func(n *Receiver) time.Duration { return n.ExposedFor }, time.Second, 24*time.Hour),
		receiverWithin("timeout", func(n *Receiver) time.Duration { return n.Timeout }, time.Second, time.Minute),
		receiverRule("text.template", func(n *Receiver, blame blame) {
			if _, err := notify.ParseText(n.Text); err != nil {
				for line := range strings.Lines(err.Error()) {
					blame("text", "must be a Go template that every event can be told with: "+strings.TrimSpace(line), "")
				}
			}
		}),
		receiverRule("headers.name", headerNames),
	}
}

func uniqueNames(c *Config, blame blame) {
	first := map[string]string{}
	for i := range c.Notifications {
		name, path := c.Notifications[i].Name, receiverPath(i)+".name"
		if was, seen := first[name]; seen && name != "" {
			blame(path, "must be another name than "+was, quoted(name))
			continue
		}
		first[name] = path
	}
}

func secretPlaces(n *Receiver, blame blame) {
	for _, k := range n.secrets() {
		places := k.places()
		three := fmt.Sprintf("%s, %[1]s_env or %[1]s_file", k.key[strings.LastIndex(k.key, ".")+1:])
		switch {
		case len(places) > 1:
			blame(places[1], "must not be beside "+places[0]+": give one of "+three, "")
		case len(places) == 0 && k.needed != "":
			blame(k.key, "must be there, as one of "+three+": "+k.needed, "")
		case len(places) == 1 && k.refused != "":
			blame(places[0], "must be left out: "+k.refused, "")
		}
	}
}

func eventChoice(n *Receiver, blame blame) {
	if len(n.Events) == 0 {
		blame("events", "must name an event, or be left out: "+listed(notify.Events), "")
	}
	for i, e := range n.Events {
		if !slices.Contains(notify.Events, e) {
			blame(fmt.Sprintf("events[%d]", i), "must be one of "+listed(notify.Events), quoted(string(e)))
		}
	}
}

func headerNames(n *Receiver, blame blame) {
	for i, h := range n.Headers {
		path := fmt.Sprintf("headers[%d].name", i)
		switch {
		case !headerName.MatchString(h.Name):
			blame(path, "must be the name of an HTTP header", quoted(h.Name))
		case isOwnHeader(h.Name):
			blame(path, "must be another header: this one is castoff's to set", quoted(h.Name))
		case slices.ContainsFunc(n.Headers[:i], func(o Header) bool { return strings.EqualFold(o.Name, h.Name) }):
			blame(path, "must be another header than one above", quoted(h.Name))
		}
	}
}

func receiverWithin(key string, value func(*Receiver) time.Duration, least, most time.Duration) rule {
	return receiverRule(key+".range", func(n *Receiver, blame blame) {
		if v := value(n); v < least || v > most {
			blame(key, fmt.Sprintf("must be between %s and %s", brief(least), brief(most)), brief(v))
		}
	})
}

var externalURL = rule{"web.external_url.format", []string{"web.external_url"}, func(c *Config, blame blame) {
	if u := c.Web.ExternalURL; u != "" && (!isURL(u) || strings.ContainsAny(u, "?@")) {
		got := quoted(u)
		if strings.Contains(u, "@") {
			got = "one with an @ in it, not shown: a password may be before that"
		}
		blame("web.external_url", "must be the http or https URL at which people reach castoff, such as https://castoff.example.com", got)
	}
}}
