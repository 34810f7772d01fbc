package awsapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// headOfReply is more than comes before the end of an ELBv2 reply's first tag.
const headOfReply = 256

// genuine refuses replies that are no ELBv2 document. The SDK skips what it
// does not know, so it takes an empty body, or a proxy's page with HTTP 200,
// for a reply with nothing in it: a target group without targets.
type genuine struct{}

// ID names the middleware in the SDK's stack.
func (genuine) ID() string { return "castoff.Genuine" }

// add puts the middleware next to the transport, so that it sees the reply
// before the SDK reads it.
func (g genuine) add(stack *middleware.Stack) error {
	return stack.Deserialize.Add(g, middleware.After)
}

// HandleDeserialize looks at the first tag of a successful reply.
func (genuine) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	reply, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || reply.StatusCode < 200 || reply.StatusCode >= 300 {
		return out, metadata, err
	}
	body := bufio.NewReader(reply.Body)
	head, err := body.Peek(headOfReply)
	if err != nil && !errors.Is(err, io.EOF) {
		return out, metadata, err
	}
	root := awsmiddleware.GetOperationName(ctx) + "Response"
	if !bytes.Contains(head, []byte("<"+root)) {
		return out, metadata, &smithy.DeserializationError{Err: fmt.Errorf("it is not a %s", root)}
	}
	reply.Body = struct {
		io.Reader
		io.Closer
	}{body, reply.Body}
	return out, metadata, nil
}
