package awsapi

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
)

// digest stands for all that a reply says.
type digest [sha256.Size]byte

// said is a reply about these tasks, in this order, that was taken in as it was:
// each of them had a reading in it, and nothing was wrong with any.
type said struct {
	digest digest
	tasks  []*task
}

// lastSaid is the reply from which all that is known of the tasks is; nil when
// they were not read together in this order, or one has been read since.
func lastSaid(tasks []*task) *said {
	last := tasks[0].said
	if last == nil || !slices.Equal(last.tasks, tasks) || slices.ContainsFunc(tasks, func(t *task) bool { return t.said != last }) {
		return nil
	}
	return last
}

// repeat is a call whose reply may be, word for word, the one before. To take
// such a reply apart gives what is known already, for most of what a pass of a
// calm fleet costs: of it only that it was said again is new, and when.
type repeat struct {
	was  *digest // of the reply before; nil: there is none
	is   digest  // of this one
	same bool    // they are equal
}

type repeatKey struct{}

// compare notes whether a reply is a repeat. The SDK gets an empty one in place of it.
func (r *repeat) compare(body []byte, operation string) (empty string) {
	text, empty, whole := content(body, operation)
	r.is = sha256.Sum256(text)
	r.same = whole && r.was != nil && r.is == *r.was
	return empty
}

// content is what a body says, without the request's id that ELBv2 puts at its
// end, and a body that says nothing. Whole is false when the end is not there: the
// SDK will say so.
func content(body []byte, operation string) (text []byte, empty string, whole bool) {
	if !bytes.HasPrefix(body, []byte("<")) {
		return body, "{}", true
	}
	at := bytes.LastIndex(body, []byte("<ResponseMetadata>"))
	if at < 0 {
		at = len(body)
	}
	whole = bytes.HasSuffix(bytes.TrimSpace(body), []byte("</"+operation+"Response>"))
	return body[:at], fmt.Sprintf("<%[1]sResponse><%[1]sResult></%[1]sResult></%[1]sResponse>", operation), whole
}
