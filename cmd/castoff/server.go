package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// answerWithin is how long a daemon may take to answer, and answerMost how much
// of an answer is read.
const (
	answerWithin = 15 * time.Second
	answerMost   = 32 << 20
)

// serverHelp ends the help of each command that asks a running castoff.
const serverHelp = "For TLS with a CA of your own set SSL_CERT_FILE; for basic authentication give https://USER:PASSWORD@HOST as the URL, in CASTOFF_SERVER so that it is in no process list.\n\n" +
	"Exit codes: 0 answered; 1 no castoff answers, or it has nothing to say yet; 2 wrong usage, of a filter too.\n"

// serverFlag says which castoff a command asks.
type serverFlag struct {
	Server string `env:"CASTOFF_SERVER" default:"http://127.0.0.1:9468" help:"URL of the castoff to ask (default ${default})." placeholder:"URL"`
}

// reader asks a running castoff.
type reader struct {
	base   *url.URL
	client *http.Client
}

func (f serverFlag) reader() (*reader, error) {
	base, err := url.Parse(f.Server)
	if err != nil {
		// The URL may have a password in it: its text is not repeated.
		return nil, usageError("--server is no URL: give one such as http://127.0.0.1:9468")
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, usageError(fmt.Sprintf("--server must be a URL such as http://127.0.0.1:9468 (got %s)", base.Redacted()))
	}
	return &reader{base: base, client: &http.Client{}}, nil
}

func (r *reader) close() { r.client.CloseIdleConnections() }

// name is the castoff that is asked, without its password.
func (r *reader) name() string { return r.base.Redacted() }

// get is the body of a good answer. Values that are empty are not sent.
func (r *reader) get(ctx context.Context, path string, values url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	at := r.base.JoinPath(path)
	at.RawQuery = values.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking castoff at %s: %w", r.name(), err)
	}
	response, err := r.client.Do(request)
	if err != nil {
		var failed *url.Error // says the whole URL again
		if errors.As(err, &failed) {
			err = failed.Err
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("castoff at %s does not answer within %s: %w", r.name(), answerWithin, err)
		}
		return nil, fmt.Errorf("cannot ask castoff at %s: %w: say with --server or CASTOFF_SERVER where it is", r.name(), err)
	}
	defer func() { _ = response.Body.Close() }() // only read
	body, err := io.ReadAll(io.LimitReader(response.Body, answerMost+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer of castoff at %s: %w", r.name(), err)
	case len(body) > answerMost:
		return nil, fmt.Errorf("castoff at %s answers more than %d MiB", r.name(), answerMost>>20)
	case response.StatusCode == http.StatusUnauthorized:
		return nil, fmt.Errorf("castoff at %s wants a user and a password: give them in CASTOFF_SERVER, as in https://USER:PASSWORD@HOST", r.name())
	case response.StatusCode != http.StatusOK:
		return nil, r.refused(response, body)
	case !strings.HasPrefix(response.Header.Get("Content-Type"), "application/json"):
		return nil, fmt.Errorf("what answers at %s is not castoff: it sends no JSON", r.name())
	}
	return body, nil
}

// refused is castoff's own word for why it has no answer, or that it is not
// castoff that answers.
func (r *reader) refused(response *http.Response, body []byte) error {
	var problem struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(body, &problem); err != nil || problem.Error.Message == "" {
		return fmt.Errorf("what answers at %s is not castoff, or is too old: %s", r.name(), response.Status)
	}
	if response.StatusCode == http.StatusBadRequest {
		return usageError(problem.Error.Message)
	}
	return errors.New(problem.Error.Message)
}

// decode reads an answer into what a command knows of it.
func (r *reader) decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return r.garbled(err)
	}
	return nil
}

func (r *reader) garbled(err error) error {
	return fmt.Errorf("castoff at %s answers what this castoff does not understand: %w", r.name(), err)
}

// ask gets an answer and reads it.
func (r *reader) ask(ctx context.Context, path string, values url.Values, into any) error {
	body, err := r.get(ctx, path, values)
	if err != nil {
		return err
	}
	return r.decode(body, into)
}

// copyJSON writes an answer as it came, but for characters that could have a
// terminal show something else: they are escaped, which means the same.
func (r *reader) copyJSON(w io.Writer, body []byte) error {
	if !json.Valid(body) {
		return r.garbled(errors.New("no JSON, or half of it"))
	}
	_, err := w.Write(escaped(body))
	return err
}

// escaped is the same JSON without a character that cannot be seen. Outside of
// strings JSON has none but space.
func escaped(body []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(body))
	for _, c := range string(body) {
		switch {
		case c == '\n' || c < utf8.RuneSelf && unicode.IsPrint(c):
			b.WriteRune(c)
		case c == '\t' || c == '\r': // never in a string
			b.WriteByte(' ')
		case unicode.IsPrint(c):
			b.WriteRune(c)
		case c > 0xffff:
			high, low := utf16.EncodeRune(c)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.Bytes()
}

// values are filters as the API takes them, from name, value, name, value ….
func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}
