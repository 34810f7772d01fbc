package awsapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// replies is the middleware that reads every reply, before the SDK does: whole, up
// to a limit, and never trusting it. Whatever stands between castoff and AWS, or
// AWS itself, may answer anything at all; what is none of AWS's replies becomes an
// error that says what came instead, and nothing that comes ends the process or
// takes more memory than the largest reply that there can be.
type replies struct {
	buffers sync.Pool
	heavy   sync.Mutex // held by the one large reply that is being taken apart
}

// add puts one half next to the transport and the other around the SDK's reading.
func (m *replies) add(stack *middleware.Stack) error {
	return errors.Join(
		stack.Deserialize.Insert(guard{m}, "OperationDeserializer", middleware.Before),
		stack.Deserialize.Add(m, middleware.After),
	)
}

// ID names the middleware in the SDK's stack.
func (*replies) ID() string { return "castoff.Replies" }

// HandleDeserialize reads a reply and refuses what is none.
func (m *replies) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	reply, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok {
		return out, metadata, err
	}
	operation := awsmiddleware.GetOperationName(ctx)
	good := reply.StatusCode >= 200 && reply.StatusCode < 300
	limit := sizeOf(operation)
	if !good {
		limit.bytes = mostOfAnError
	}
	text, err := m.read(reply, limit.bytes)
	reply.Body = io.NopCloser(bytes.NewReader(text.Bytes()))
	state, _ := ctx.Value(replyKey{}).(*replyState)
	if state != nil {
		state.status, state.head = reply.StatusCode, quoted(text.Bytes())
	}
	switch {
	case !good:
		return out, metadata, nil // the SDK makes an error of it, and guard of what is none of AWS's
	case err != nil:
		return out, metadata, &smithy.DeserializationError{Err: err}
	}
	if err := genuine(text.Bytes(), operation); err != nil {
		return out, metadata, &smithy.DeserializationError{Err: fmt.Errorf("%w, but HTTP %d with %s", err, reply.StatusCode, quoted(text.Bytes()))}
	}
	if kept, wanted := ctx.Value(membersKey{}).(*members); wanted {
		kept.text = text.Bytes()
	}
	if call, wanted := ctx.Value(repeatKey{}).(*repeat); wanted {
		if empty := call.compare(text.Bytes(), operation); call.same {
			reply.Body = io.NopCloser(bytes.NewReader([]byte(empty)))
			text.Reset()
			m.buffers.Put(text)
			return out, metadata, nil
		}
	}
	parts, err := measure(text.Bytes(), limit.parts)
	if err != nil {
		return out, metadata, &smithy.DeserializationError{Err: err}
	}
	if parts > manyParts && state != nil {
		m.heavy.Lock()
		state.release = m.heavy.Unlock
	}
	return out, metadata, nil
}

// read reads a reply and closes it. What is longer than the limit is cut off there.
func (m *replies) read(reply *smithyhttp.Response, limit int64) (*bytes.Buffer, error) {
	text, _ := m.buffers.Get().(*bytes.Buffer)
	if text == nil {
		text = new(bytes.Buffer)
	}
	defer reply.Body.Close()
	if n := reply.ContentLength; n > 0 && n <= presized {
		text.Grow(int(n) + bytes.MinRead)
	}
	switch _, err := text.ReadFrom(io.LimitReader(reply.Body, limit+1)); {
	case err != nil:
		return text, fmt.Errorf("it was cut off: %w", err)
	case int64(text.Len()) > limit:
		text.Truncate(int(limit))
		return text, fmt.Errorf("it is longer than %d kB", limit>>10)
	}
	return text, nil
}

// presized is more than a reply about a hundred tasks has, and little to lose on
// a header that lies.
const presized = 1 << 20

// genuine says what a successful reply is not. The SDK skips what it does not
// know, so it would take an empty body, or a proxy's page with HTTP 200, for a reply
// with nothing in it: a target group without targets.
func genuine(text []byte, operation string) error {
	text = bytes.TrimLeft(text, " \t\r\n")
	switch isJSON := bytes.HasPrefix(text, []byte("{")); {
	case inXML(operation):
	case !isJSON:
		return errors.New("it is not a JSON object")
	default:
		return nil
	}
	root := operation + "Response"
	if !bytes.Contains(text[:min(len(text), headOfReply)], []byte("<"+root)) {
		return fmt.Errorf("it is not a %s", root)
	}
	return nil
}

// inXML says whether an operation is one of ELBv2's or STS's, which answer in XML.
func inXML(operation string) bool {
	bucket := bucketOf[operation]
	return bucket == BalancerReadBucket || bucket == RegistrationBucket || operation == "GetCallerIdentity"
}

// headOfReply is more than comes before the end of an ELBv2 reply's first tag.
const headOfReply = 256

// guard is the middleware around the SDK's reading of a reply.
type guard struct{ *replies }

type replyKey struct{}

// replyState is what is known of one reply while the SDK takes it apart.
type replyState struct {
	status  int
	head    string
	release func() // nil: nothing is held
}

// ID names the middleware in the SDK's stack.
func (guard) ID() string { return "castoff.Guard" }

// HandleDeserialize makes an error of a panic, as the SDK has for some instants
// that are none, and of a reply that is an error but none of AWS's.
func (guard) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	out middleware.DeserializeOutput, metadata middleware.Metadata, err error,
) {
	state := new(replyState)
	defer func() {
		if state.release != nil {
			state.release()
		}
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	out, metadata, err = next.HandleDeserialize(context.WithValue(ctx, replyKey{}, state), in)
	if err != nil && state.status >= http.StatusMultipleChoices {
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() == unknownError {
			err = &foreignError{status: state.status, head: state.head, err: err}
		}
	}
	return out, metadata, err
}

// unknownError is the SDK's code for an error in which AWS's own is missing.
const unknownError = "UnknownError"

// foreignError is an error that something else than AWS answered with: a proxy, a
// page to log in to, a balancer before a VPC endpoint.
type foreignError struct {
	status int
	head   string // of the body
	err    error
}

func (e *foreignError) Error() string {
	return fmt.Sprintf("HTTP %d with %s, not an AWS reply", e.status, e.head)
}
func (e *foreignError) Unwrap() error { return e.err }

// mostOfBody is how many bytes of a foreign reply are quoted.
const mostOfBody = 80

// quoted is the beginning of a body, for people.
func quoted(body []byte) string {
	body = body[:min(len(body), 8*mostOfBody)]
	text := bytes.Join(bytes.Fields(bytes.ToValidUTF8(body, []byte("?"))), []byte(" "))
	switch {
	case len(text) == 0:
		return "an empty body"
	case len(text) > mostOfBody:
		return fmt.Sprintf("%q…", bytes.ToValidUTF8(text[:mostOfBody], nil))
	default:
		return fmt.Sprintf("%q", text)
	}
}
