// Package replay plays what AWS answered to a castoff that does not know: cases,
// which are small fleets in AWS's own shapes that change in steps, each with what is
// right about it.
//
// It knows AWS's wire protocols and nothing of castoff: what is played is judged by
// what castoff says through its API.
package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// Case is a fleet that changes in steps, as people reported it, and what is right to
// say about it.
type Case struct {
	Name   string `json:"name"`
	Source string `json:"source"` // the public report or document behind it
	// Mode is observe or detach, and Config the rest of the configuration, over the
	// one of a play: see the package that runs castoff on it.
	Mode   string         `json:"mode"`
	Config map[string]any `json:"config"`
	Right  Right          `json:"right"`
	// Got is what castoff once said, for people.
	Got string `json:"got,omitempty"`
	// Pending says why castoff is not right about it yet; empty when it is.
	Pending string         `json:"pending,omitempty"`
	Start   map[string]any `json:"start"` // the document before the first step, see [World]
	Steps   []Step         `json:"steps"`
}

// Step is a change of the document, and how long it stays so.
type Step struct {
	Hold float64  `json:"hold"` // seconds until the next step, or the end
	Note string   `json:"note,omitempty"`
	Set  []Change `json:"set"`
}

// For is how long the step lasts.
func (s Step) For() time.Duration { return time.Duration(s.Hold * float64(time.Second)) }

// Change is of one place in the document: [pointer, value] sets it, and [pointer]
// removes it. The pointer is that of RFC 6901; /- at its end appends to a list.
type Change struct {
	Pointer string
	Value   any
	Remove  bool
}

// UnmarshalJSON reads [pointer] or [pointer, value].
func (c *Change) UnmarshalJSON(text []byte) error {
	var parts []any
	if err := decode(text, &parts); err != nil {
		return err
	}
	if len(parts) != 1 && len(parts) != 2 {
		return fmt.Errorf("a change is [pointer] or [pointer, value], not %d values", len(parts))
	}
	pointer, ok := parts[0].(string)
	if !ok || !strings.HasPrefix(pointer, "/") {
		return fmt.Errorf("a change begins with a pointer such as /tasks/0 (got %v)", parts[0])
	}
	c.Pointer, c.Remove = pointer, len(parts) == 1
	if !c.Remove {
		c.Value = parts[1]
	}
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (c Change) MarshalJSON() ([]byte, error) {
	if c.Remove {
		return json.Marshal([]any{c.Pointer})
	}
	return json.Marshal([]any{c.Pointer, c.Value})
}

// ReadCase reads a case from a file. A key that it does not know is an error.
func ReadCase(file string) (*Case, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c, err := ParseCase(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// ParseCase is ReadCase of a text.
func ParseCase(text []byte) (*Case, error) {
	var c Case
	if err := decode(text, &c); err != nil {
		return nil, err
	}
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("the case has no name"))
	}
	if c.Mode != "observe" && c.Mode != "detach" {
		errs = append(errs, fmt.Errorf("mode must be observe or detach (got %q)", c.Mode))
	}
	for _, section := range slices.Sorted(maps.Keys(c.Start)) {
		if !slices.Contains(sections, section) {
			errs = append(errs, fmt.Errorf("start has %q, which is none of %s", section, strings.Join(sections, ", ")))
		}
	}
	for i, s := range c.Steps {
		if s.Hold <= 0 {
			errs = append(errs, fmt.Errorf("step %d must hold for more than 0 s", i+1))
		}
	}
	errs = append(errs, c.Right.validate(len(c.Steps)))
	if errors.Join(errs...) == nil { // are the changes possible?
		w := c.World(time.Unix(1<<30, 0))
		for i := range c.Steps {
			if err := w.Step(i, time.Unix(1<<30, 0)); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return &c, errors.Join(errs...)
}

// ReadRight reads what is right about a record from a file.
func ReadRight(file string) (Right, error) {
	var r Right
	text, err := os.ReadFile(file)
	if err != nil {
		return r, err
	}
	if err := decode(text, &r); err != nil {
		return r, fmt.Errorf("%s: %w", file, err)
	}
	if err := r.Validate(); err != nil {
		return r, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// decode reads one JSON value strictly, with numbers as they are written.
func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the JSON value")
	}
	return nil
}
