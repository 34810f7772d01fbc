package config

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
)

const signing = "c3BlYWsgZnJpZW5kIGFuZCBlbnRlciwgaHVudGVyMg=="

func TestParseSetsNotifications(t *testing.T) {
	c := mustParse(t, `
notifications:
- name: sre
  kind: slack
  url_env: SLACK_URL
- name: gateway
  kind: webhook
  url: https://user@gateway.example.com:8443/castoff?a=b
  secret: whsec_`+signing+`
  events: [would_detach]
  match: prod/*
  exposed_for: 90s
  text: "{{.Title}}"
  headers: [{name: Authorization, value_file: /run/secrets/token}]
  timeout: 3s
web: {external_url: "https://castoff.example.com/eu/"}
`)
	want := []Receiver{
		{Name: "sre", Kind: notify.Slack, URLEnv: "SLACK_URL", Events: notify.DefaultEvents(), ExposedFor: time.Minute, Timeout: 10 * time.Second},
		{
			Name: "gateway", Kind: notify.Webhook, URL: "https://user@gateway.example.com:8443/castoff?a=b", Secret: "whsec_" + signing,
			Events: []notify.Event{notify.WouldDetach}, Match: Patterns{"prod/*"}, ExposedFor: 90 * time.Second, Text: "{{.Title}}",
			Headers: []Header{{Name: "Authorization", ValueFile: "/run/secrets/token"}}, Timeout: 3 * time.Second,
		},
	}
	if !reflect.DeepEqual(c.Notifications, want) || c.Web.ExternalURL != "https://castoff.example.com/eu/" {
		t.Errorf("read %#v", c)
	}
	shown := c.String()
	for _, secret := range []string{"gateway.example.com", signing} {
		if strings.Contains(shown, secret) {
			t.Errorf("the secret %s is shown:\n%s", secret, shown)
		}
	}
	for _, says := range []string{"url_env: \"SLACK_URL\"", "url: <redacted>", "secret: <redacted>", "value_file: \"/run/secrets/token\""} {
		if !strings.Contains(shown, says) {
			t.Errorf("%s is not shown:\n%s", says, shown)
		}
	}
}

func TestReceiverIsAbout(t *testing.T) {
	n := Receiver{Match: Patterns{"prod/web-*", "test/api"}}
	for id, want := range map[fleet.ServiceID]bool{
		{Cluster: "prod", Name: "web-a"}: true, {Cluster: "prod", Name: "api"}: false, {Cluster: "test", Name: "api"}: true,
		{Cluster: "prod"}: true, {Cluster: "test"}: true, {Cluster: "stage"}: false,
	} {
		if got := n.Rule().About(id); got != want {
			t.Errorf("about %v: %t", id, got)
		}
		if !(Receiver{}).Rule().About(id) {
			t.Errorf("without patterns not about %v", id)
		}
	}
}

func TestResolved(t *testing.T) {
	c := mustParse(t, `
notifications:
- {name: sre, kind: slack, url_env: SLACK_URL}
- {name: gateway, kind: webhook, url_file: url, secret_file: secret, headers: [{name: A, value_env: TOKEN}, {name: B, value: b}]}
`)
	vars := map[string]string{"SLACK_URL": "https://hooks.example.com/hunter", "TOKEN": "Bearer hunter2"}
	files := map[string]string{"url": "https://gateway.example.com/\n", "secret": signing + "\r\n"}
	env := func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
	read := func(file string) ([]byte, error) {
		v, ok := files[file]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: file, Err: fs.ErrNotExist}
		}
		return []byte(v), nil
	}
	got, err := c.Resolved(env, read)
	if err != nil {
		t.Fatal(err)
	}
	a, b := got.Notifications[0], got.Notifications[1]
	if a.URL != "https://hooks.example.com/hunter" || b.URL != "https://gateway.example.com/" || b.Secret != signing || b.Headers[0].Value != "Bearer hunter2" || b.Headers[1].Value != "b" {
		t.Errorf("resolved %q %q %q %q", a.URL.Reveal(), b.URL.Reveal(), b.Secret.Reveal(), b.Headers[0].Value.Reveal())
	}
	if c.Notifications[0].URL != "" || c.Notifications[1].Headers[0].Value != "" {
		t.Error("the configuration itself has changed")
	}

	delete(vars, "SLACK_URL")
	delete(files, "url")
	files["secret"], vars["TOKEN"] = "hunter2", ""
	_, err = c.Resolved(env, read)
	const want = `notifications[0].url_env: must name an environment variable that is set, "SLACK_URL" is not
notifications[1].headers[0].value_env: must have in it one line of printable ASCII
notifications[1].secret_file: must have in it base64 of 24 to 64 bytes, such as openssl rand -base64 32 prints, with whsec_ before it or without
notifications[1].url_file: must name a file that castoff can read: open url: file does not exist`
	var wrong *ValidationError
	if !errors.As(err, &wrong) || err.Error() != want {
		t.Errorf("Resolved: %v\nwant:\n%s", err, want)
	}
}

func TestURLs(t *testing.T) {
	for s, want := range map[string]bool{
		"https://hooks.slack.com/services/T0/B0/x": true, "http://[2001:db8::1]:8080": true, "https://user:pass@example.com/?a=b": true,
		"": false, "hooks.example.com/x": false, "ftp://example.com": false, "https://": false, "https:example.com": false, "https://:80/": false,
		"https://example.com/#part": false, "https://example.com/\n": false, "https://exa mple.com": false,
		"https://example.com/" + strings.Repeat("x", 2048): false,
	} {
		if got := isURL(s); got != want {
			t.Errorf("isURL(%q) = %t", s, got)
		}
	}
}
