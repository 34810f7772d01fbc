package sim

import (
	"maps"
	"math/rand/v2"
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
	Delay       Effect = "delay"        // carried out after Fault.Delay, if the client still waits
	DelayReply  Effect = "delay_reply"  // carried out at once, answered after Fault.Delay
)

// Fault makes matching requests go wrong. Empty fields match everything.
type Fault struct {
	Service   string // ECS, ELBv2 or STS
	Operation string // DescribeTasks, …
	Resource  string // part of an ARN or name that the request speaks of
	Effect    Effect
	Count     int           // so many requests; 0: all until it is lifted
	Chance    float64       // 0–1: how likely a request is hit; 0 means 1
	After     time.Duration // from now on until it begins, in AWS's time
	For       time.Duration // from then on until it ends by itself; 0: when it is lifted
	Delay     Range         // real time, as [Options.Latency] is
}

// fault is one that is set.
type fault struct {
	Fault
	from, to time.Time // to: zero for no end
}

type faults struct {
	set      []*fault
	injected map[Effect]int
}

// Fault sets a fault and returns what takes it away again. Of several that match a
// request the one set first has its effect.
func (r *Region) Fault(f Fault) (lift func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	set := &fault{Fault: f, from: r.now.Add(r.scale(f.After))}
	if f.For > 0 {
		set.to = set.from.Add(r.scale(f.For))
	}
	r.faults.set = append(r.faults.set, set)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.faults.clear(set)
	}
}

// Injected is how many requests each effect has hit so far.
func (r *Region) Injected() map[Effect]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.faults.injected)
}

func (fs *faults) clear(f *fault) {
	fs.set = slices.DeleteFunc(fs.set, func(o *fault) bool { return o == f })
}

// match finds the effect for a request, and uses up one count of its fault. The
// delay is for the effects that have one.
func (fs *faults) match(c *call, now time.Time, rng *rand.Rand) (e Effect, delay time.Duration) {
	for _, f := range slices.Clone(fs.set) {
		if !f.to.IsZero() && !now.Before(f.to) {
			fs.clear(f)
			continue
		}
		if now.Before(f.from) || f.Service != "" && f.Service != c.service || f.Operation != "" && f.Operation != c.operation ||
			f.Resource != "" && !strings.Contains(c.text(), f.Resource) ||
			f.Chance > 0 && rng.Float64() >= f.Chance {
			continue
		}
		if f.Count > 0 {
			if f.Count--; f.Count == 0 {
				fs.clear(f)
			}
		}
		if fs.injected == nil {
			fs.injected = map[Effect]int{}
		}
		fs.injected[f.Effect]++
		if f.Effect == Delay || f.Effect == DelayReply {
			delay = drawFrom(rng, f.Delay)
		}
		return f.Effect, delay
	}
	return "", 0
}

func (e Effect) refuses() bool {
	return e == Deny || e == Throttle || e == ServerError || e == Unavailable || e == NotFound
}

// refusal is the error that AWS gives.
func (e Effect) refusal(c *call) *apiError {
	json := c.service == ECS
	switch {
	case c.service != EC2:
	case e == Deny:
		return &apiError{http.StatusForbidden, "UnauthorizedOperation", "You are not authorized to perform this operation."}
	case e == Throttle:
		return &apiError{http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."}
	}
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
