package awsapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// codes are the error codes that ECS, ELBv2 and STS answer and that their HTTP
// status alone would not tell apart. Those of throttling are the SDK's own.
//
// Sources: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html,
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/CommonErrors.html
// and the errors of each operation.
var codes = map[string]fleet.Class{
	"AccessDenied":                        fleet.Denied,
	"AccessDeniedException":               fleet.Denied,
	"AuthFailure":                         fleet.Denied,
	"ExpiredToken":                        fleet.Denied,
	"ExpiredTokenException":               fleet.Denied,
	"IncompleteSignature":                 fleet.Denied,
	"IncompleteSignatureException":        fleet.Denied,
	"InvalidClientTokenId":                fleet.Denied,
	"InvalidSignatureException":           fleet.Denied,
	"MissingAuthenticationToken":          fleet.Denied,
	"MissingAuthenticationTokenException": fleet.Denied,
	"NotAuthorized":                       fleet.Denied,
	"OperationNotPermitted":               fleet.Denied,
	"OptInRequired":                       fleet.Denied,
	"RequestExpired":                      fleet.Denied,
	"SignatureDoesNotMatch":               fleet.Denied,
	"UnauthorizedOperation":               fleet.Denied,
	"UnrecognizedClientException":         fleet.Denied,

	"ClusterNotFoundException":     fleet.NotFound,
	"ServiceNotFoundException":     fleet.NotFound,
	"ResourceNotFoundException":    fleet.NotFound,
	"TargetGroupNotFound":          fleet.NotFound,
	"TargetGroupNotFoundException": fleet.NotFound,
	"LoadBalancerNotFound":         fleet.NotFound,

	"HealthUnavailable":           fleet.Transient,
	"InternalError":               fleet.Transient,
	"InternalFailure":             fleet.Transient,
	"RequestTimeout":              fleet.Transient,
	"RequestTimeoutException":     fleet.Transient,
	"ServerException":             fleet.Transient,
	"ServiceUnavailable":          fleet.Transient,
	"ServiceUnavailableException": fleet.Transient,
}

// Classify says what an error of a call means for whoever reads the Snapshot;
// empty for nil. It looks through wrapping.
func Classify(err error) fleet.Class {
	if err == nil {
		return ""
	}
	var gap *gapError
	if errors.As(err, &gap) {
		return gap.class
	}
	status := statusOf(err)
	var foreign *foreignError
	if errors.As(err, &foreign) {
		return classifyStatus(foreign.status)
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return classifyAPI(api, status)
	}
	var creds *credentialsError
	if errors.As(err, &creds) {
		return fleet.Denied
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fleet.Transient
	}
	var network net.Error
	var canceled *smithy.CanceledError
	var send *smithyhttp.RequestSendError
	if errors.As(err, &network) || errors.As(err, &canceled) || errors.As(err, &send) {
		return fleet.Transient
	}
	if garbled(err) {
		return fleet.Invalid
	}
	return classifyStatus(status)
}

// statusOf is the HTTP status that an error came with; 0 for none.
func statusOf(err error) int {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

// garbled reports a reply that is none of AWS's, and no refusal either: it was cut off,
// came from something in between, or lacks what AWS always sends.
func garbled(err error) bool {
	var gap *gapError
	if errors.As(err, &gap) {
		return gap.class == fleet.Invalid
	}
	var garbage *smithy.DeserializationError
	return errors.As(err, &garbage) && statusOf(err) < http.StatusMultipleChoices
}

func classifyAPI(api smithy.APIError, status int) fleet.Class {
	code := api.ErrorCode()
	if _, ok := retry.DefaultThrottleErrorCodes[code]; ok {
		return fleet.Throttled
	}
	if class, ok := codes[code]; ok {
		return class
	}
	if api.ErrorFault() == smithy.FaultServer {
		return fleet.Transient
	}
	return classifyStatus(status)
}

func classifyStatus(status int) fleet.Class {
	switch {
	case status == http.StatusTooManyRequests:
		return fleet.Throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fleet.Denied
	case status == http.StatusRequestTimeout, status >= http.StatusInternalServerError:
		return fleet.Transient
	default:
		return fleet.Invalid
	}
}

// passing reports whether a failure of this class may be over soon, so that
// trying again before the clock says so is worth a call.
func passing(c fleet.Class) bool {
	return c == fleet.Throttled || c == fleet.Transient || c == fleet.Paced
}

// gapError is a failure that AWS did not answer with an error: something
// reported missing, or a reply that makes no sense.
type gapError struct {
	class fleet.Class
	text  string
}

func (e *gapError) Error() string { return e.text }

func gapf(class fleet.Class, format string, args ...any) error {
	return &gapError{class: class, text: fmt.Sprintf(format, args...)}
}

// maxDetail bounds what a Gap quotes of an error.
const maxDetail = 300

// nesting is what the SDK puts around an error of an operation, here in the
// middle of the chain of providers that were tried.
var nesting = regexp.MustCompile(`operation error [^:,]+: [^:,]+, `)

// explain is an error in one line for people: AWS's own code and message where
// it gave them, without the SDK's nesting.
func explain(err error) string {
	text := err.Error()
	var foreign *foreignError
	var api smithy.APIError
	var creds *credentialsError
	var garbage *smithy.DeserializationError
	var send *smithyhttp.RequestSendError
	var operation *smithy.OperationError
	switch {
	case errors.As(err, &foreign):
		text = foreign.Error()
	case errors.As(err, &api):
		text = api.ErrorCode()
		if m := api.ErrorMessage(); m != "" {
			text += ": " + m
		}
	case errors.As(err, &creds):
		text = nesting.ReplaceAllString(creds.Error(), "")
	case errors.As(err, &garbage):
		text = "the reply is none of AWS's: " + garbage.Err.Error()
	case errors.As(err, &send):
		text = send.Err.Error()
	case errors.As(err, &operation):
		text = operation.Err.Error()
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if runes := []rune(text); len(runes) > maxDetail {
		text = string(runes[:maxDetail]) + "…"
	}
	return text
}
