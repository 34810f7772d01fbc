package sim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Effect is what a fault does to a request.
type Effect string

// The effects. All but LoseReply, Garbage and Truncate leave the request undone.
const (
	Deny        Effect = "deny"         // no permission
	Throttle    Effect = "throttle"     // rate exceeded
	ServerError Effect = "server_error" // HTTP 500
	Unavailable Effect = "unavailable"  // HTTP 503
	NotFound    Effect = "not_found"    // the cluster, service or group that is asked about is not there
	Stall       Effect = "stall"        // no reply until the client gives up
	LoseRequest Effect = "lose_request" // the connection is cut before the request is carried out
	LoseReply   Effect = "lose_reply"   // the connection is cut after the request has been carried out
	Garbage     Effect = "garbage"      // HTTP 200 and a body of something else
	Truncate    Effect = "truncate"     // half a body
)

// Fault makes matching requests go wrong. Empty fields match everything.
type Fault struct {
	Service   string // ECS, ELBv2 or STS
	Operation string // DescribeTasks, …
	Resource  string // part of an ARN or name that the request speaks of
	Effect    Effect
	Count     int // so many requests; 0: all until it is lifted
}

type faults struct{ set []*Fault }

// Fault sets a fault and returns what takes it away again. Of several that match a
// request the one set first has its effect.
func (r *Region) Fault(f Fault) (lift func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	set := &f
	r.faults.set = append(r.faults.set, set)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.faults.clear(set)
	}
}

func (fs *faults) clear(f *Fault) {
	fs.set = slices.DeleteFunc(fs.set, func(o *Fault) bool { return o == f })
}

// match finds the effect for a request, and uses up one count of its fault.
func (fs *faults) match(c *call) Effect {
	for _, f := range fs.set {
		if f.Service != "" && f.Service != c.service || f.Operation != "" && f.Operation != c.operation ||
			f.Resource != "" && !strings.Contains(c.text(), f.Resource) {
			continue
		}
		if f.Count > 0 {
			if f.Count--; f.Count == 0 {
				fs.clear(f)
			}
		}
		return f.Effect
	}
	return ""
}

func (e Effect) refuses() bool {
	return e == Deny || e == Throttle || e == ServerError || e == Unavailable || e == NotFound
}

// refusal is the error that AWS gives.
func (e Effect) refusal(c *call) *apiError {
	json := c.service == ECS
	switch e {
	case Deny:
		message := "User: arn:aws:sts::" + AccountID + ":assumed-role/castoff/castoff is not authorized to perform: " +
			c.service + ":" + c.operation + " because no identity-based policy allows the " + c.service + ":" + c.operation + " action"
		if json {
			return &apiError{http.StatusBadRequest, "AccessDeniedException", message}
		}
		return &apiError{http.StatusForbidden, "AccessDenied", message}
	case Throttle:
		if json {
			return invalid("ThrottlingException", "Rate exceeded")
		}
		return invalid("Throttling", "Rate exceeded")
	case Unavailable:
		return &apiError{http.StatusServiceUnavailable, "ServiceUnavailable", "Service Unavailable"}
	case NotFound:
		if json {
			return invalid("ClusterNotFoundException", "Cluster not found.")
		}
		return invalid("TargetGroupNotFound", "One or more target groups not found")
	default:
		if json {
			return &apiError{http.StatusInternalServerError, "ServerException", "Service Unavailable. Please try again later."}
		}
		return &apiError{http.StatusInternalServerError, "InternalFailure", "An internal error occurred"}
	}
}

// bucket is one of AWS's token buckets: published burst and rate per second.
//
// Sources: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html,
// https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-throttling.html
type bucket struct {
	burst, rate float64
	tokens      float64
	at          time.Time
}

// throttle is AWS's request limits, of one account in one region.
type throttle struct {
	speed      float64
	operations map[string]*bucket // by service/operation; ELBv2's Describe* share one
	describe   *bucket
}

func newThrottle(speed float64) *throttle {
	t := &throttle{speed: speed, operations: map[string]*bucket{}}
	add := func(service string, burst, rate float64, operations ...string) *bucket {
		b := &bucket{burst: burst, rate: rate, tokens: burst}
		for _, op := range operations {
			t.operations[service+"/"+op] = b
		}
		return b
	}
	add(ECS, 100, 20, "ListTasks", "DescribeTasks", "DescribeContainerInstances")
	add(ECS, 100, 20, "ListServices", "DescribeServices")
	add(ECS, 50, 20, "DescribeTaskDefinition")
	add(ECS, 50, 20, "ListClusters", "DescribeClusters")
	add(ECS, 50, 20, "ListTagsForResource")
	add(ECS, 100, 40, "StopTask")
	add(ELBv2, 20, 4, "RegisterTargets", "DeregisterTargets")
	t.describe = add(ELBv2, 40, 10)
	return t
}

// refuses takes a token for the request, or says that there is none. A region
// without limits is a nil throttle.
func (t *throttle) refuses(c *call, now time.Time) bool {
	if t == nil {
		return false
	}
	b := t.operations[c.service+"/"+c.operation]
	if b == nil && c.service == ELBv2 && strings.HasPrefix(c.operation, "Describe") {
		b = t.describe
	}
	if b == nil {
		return false
	}
	if !b.at.IsZero() {
		b.tokens = min(b.burst, b.tokens+now.Sub(b.at).Seconds()*b.rate*t.speed)
	}
	b.at = now
	if b.tokens < 1 {
		return true
	}
	b.tokens--
	return false
}
