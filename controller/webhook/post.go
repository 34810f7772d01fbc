package webhook

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// maxAnswer is how much of an answer is read. Nothing in it matters but to
// people, when it is no.
const maxAnswer = 4 << 10

// refusal is an answer that is not 2xx.
type refusal struct {
	status int
	says   string        // the beginning of its body, for people; may be empty
	after  time.Duration // Retry-After
}

func (e *refusal) Error() string {
	text := fmt.Sprintf("answered %d %s", e.status, http.StatusText(e.status))
	if e.status/100 == 3 {
		text += ", and redirects are not followed"
	}
	if e.says != "" {
		text += ": " + e.says
	}
	return text
}

// retry is how long to wait at least before a request that failed so is made
// again; not ok when that makes no sense.
func retry(err error) (after time.Duration, ok bool) {
	var r *refusal
	if !errors.As(err, &r) {
		return 0, true // nothing was answered
	}
	switch {
	case r.status == http.StatusRequestTimeout, r.status == http.StatusTooManyRequests, r.status >= 500:
		return r.after, true
	default:
		return 0, false
	}
}

// post makes one request. Its error does not tell the URL, nor anything else that
// is secret.
func (r *receiver) post(ctx context.Context, id string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("its URL cannot be used")
	}
	for name, values := range r.Headers {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", r.agent)
	if r.key != nil {
		now := time.Now()
		signature, err := r.key.Sign(id, now, body)
		if err != nil {
			return fmt.Errorf("signing it: %w", err)
		}
		req.Header.Set(standardwebhooks.HeaderWebhookID, id)
		req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
		req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		if ctx.Err() == context.DeadlineExceeded {
			return fmt.Errorf("no answer within %s", r.Timeout)
		}
		var of *url.Error // has the URL
		if errors.As(err, &of) {
			err = of.Err
		}
		return errors.New(r.hide(err.Error()))
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // the status is what counts
	if resp.StatusCode/100 == 2 {
		return nil
	}
	return &refusal{status: resp.StatusCode, says: short(r.hide(firstLine(answer))), after: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
}

// retryAfter reads the header, in either of its forms; 0 when it says nothing.
//
// Source: https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// firstLine is what an answer begins with: Slack says there in a word what is
// wrong. A page for browsers says nothing.
func firstLine(answer []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(strings.ToValidUTF8(string(answer), "")), "\n")
	line = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return -1
	}, line)
	if strings.HasPrefix(line, "<") {
		return ""
	}
	return line
}

// short cuts a text, after what is secret is out of it: half of a secret is not
// found.
func short(text string) string {
	if runes := []rune(text); len(runes) > 80 {
		return string(runes[:80]) + "…"
	}
	return text
}

// hide takes what is secret out of a text that others wrote.
func (r *receiver) hide(text string) string {
	secrets := []string{r.URL, r.Secret}
	if u, err := url.Parse(r.URL); err == nil {
		password, _ := u.User.Password()
		secrets = append(secrets, u.RequestURI(), u.Path, u.RawQuery, password, u.User.Username())
		secrets = append(secrets, strings.Split(u.Path, "/")...)
		secrets = append(secrets, strings.Split(u.EscapedPath(), "/")...)
		for _, pair := range strings.Split(u.RawQuery, "&") {
			_, value, _ := strings.Cut(pair, "=")
			secrets = append(secrets, value)
		}
		for _, values := range u.Query() {
			secrets = append(secrets, values...)
		}
	}
	for _, values := range r.Headers {
		for _, value := range values {
			secrets = append(secrets, value)
			secrets = append(secrets, strings.Fields(value)...)
		}
	}
	// The longest first: of one that has another in it the rest would stay.
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, secret := range secrets {
		if len(secret) >= 6 { // what is shorter is in many words
			text = strings.ReplaceAll(text, secret, "[hidden]")
		}
	}
	return text
}
