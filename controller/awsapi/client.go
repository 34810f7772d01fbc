package awsapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// inMemory sends request bodies as readers that net/http knows to be in memory.
// The SDK closes a body as soon as the reply is there; net/http, which may still be
// about to read its end, takes that for a failed write and drops the connection under
// the reply: "use of closed network connection", the more often the faster the endpoint
// and the scarcer the processor. A reader that it knows is written before
// the reply is waited for, and closing it means nothing.
//
// Source: net/http, transferWriter.probeRequestBody and isKnownInMemoryReader.
type inMemory struct{ aws.HTTPClient }

// Do makes a request.
func (c inMemory) Do(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return c.HTTPClient.Do(req)
	}
	text, err := io.ReadAll(req.Body)
	if err = errors.Join(err, req.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the request's body: %w", err)
	}
	again := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	sent := *req // the caller's is not ours to change
	sent.Body, _ = again()
	sent.GetBody, sent.ContentLength = again, int64(len(text))
	return c.HTTPClient.Do(&sent)
}
