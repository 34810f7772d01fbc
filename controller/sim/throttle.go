package sim

import (
	"strings"
	"time"
)

// bucket is one of AWS's token buckets: published burst and rate per second.
//
// Sources: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html,
// https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-throttling.html,
// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
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
	add(ECS, 100, 20, "ListTasks", "DescribeTasks", "DescribeContainerInstances", "ListContainerInstances")
	// DescribeTaskSets and ListGatewayRoutes are in no published bucket: open.
	add(ECS, 100, 20, "ListServices", "DescribeServices", "DescribeTaskSets", "ListGatewayRoutes")
	add(ECS, 50, 20, "DescribeServiceRevisions")
	add(ECS, 50, 20, "DescribeTaskDefinition", "ListTaskDefinitions")
	add(ECS, 50, 20, "ListClusters", "DescribeClusters")
	add(ECS, 50, 20, "ListTagsForResource")
	add(ECS, 20, 10, "TagResource", "UntagResource")
	add(ECS, 50, 5, "UpdateService")
	add(ECS, 100, 40, "StopTask", "RunTask")
	add(EC2, 100, 20, "DescribeInstances", "DescribeNetworkInterfaces")
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
