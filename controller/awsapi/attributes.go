package awsapi

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// crossZoneAttribute is an attribute of target groups and of load balancers.
const crossZoneAttribute = "load_balancing.cross_zone.enabled"

// toTheBalancer is the value by which a group leaves it to its load balancers.
const toTheBalancer = "use_load_balancer_configuration"

func (o *Observer) describeAttributes(ctx context.Context, groups []*group) func() {
	g := groups[0]
	out, read, err := ask(ctx, o.elb.DescribeTargetGroupAttributes, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: aws.String(string(g.arn))})
	var raw map[string]string
	if err == nil {
		raw, err = attributesOf(out.Attributes, func(a types.TargetGroupAttribute) (key, val *string) { return a.Key, a.Value })
	}
	return func() {
		if err == nil {
			err = halfAttributes(g.attrs.Raw, raw)
		}
		if err != nil {
			g.attributes.fail(err, 1)
			o.fail(fleet.GapAttributes, string(g.arn), "DescribeTargetGroupAttributes of "+g.arn.Name(), err)
			return
		}
		g.attributes.ok()
		o.clear(fleet.GapAttributes, string(g.arn))
		g.attrs, g.value = o.convertAttributes(raw), nil
		g.attrs.Read = read
	}
}

// convertAttributes fills in ELBv2's defaults for what a reply leaves out.
func (o *Observer) convertAttributes(raw map[string]string) fleet.TargetGroupAttributes {
	delay, err := strconv.ParseInt(raw["deregistration_delay.timeout_seconds"], 10, 64)
	if err != nil {
		delay = 300
	}
	return fleet.TargetGroupAttributes{
		Known:                          true,
		DeregistrationDelay:            o.ofSeconds(delay),
		ConnectionTermination:          raw["deregistration_delay.connection_termination.enabled"] == "true",
		UnhealthyConnectionTermination: raw["target_health_state.unhealthy.connection_termination.enabled"] != "false",
		CrossZone:                      cmp.Or(raw[crossZoneAttribute], toTheBalancer),
		Raw:                            raw,
	}
}

// loadBalancer is what the Observer keeps of a load balancer.
type loadBalancer struct {
	attributes clock
	value      fleet.Balancer
}

// kinds of load balancer by what their ARNs say: loadbalancer/net/NAME/ID.
//
// Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html
var kinds = map[string]string{
	"app": fleet.ApplicationBalancer, "net": fleet.NetworkBalancer, "gwy": fleet.GatewayBalancer,
}

// addBalancers finds load balancers, or begins to know them.
func (o *Observer) addBalancers(arns []string) []*loadBalancer {
	balancers := make([]*loadBalancer, len(arns))
	for i, arn := range arns {
		b := o.balancers[arn]
		if b == nil {
			_, path, _ := strings.Cut(arn, ":loadbalancer/")
			short, _, _ := strings.Cut(path, "/")
			b = &loadBalancer{value: fleet.Balancer{ARN: arn, Kind: kinds[short]}}
			o.balancers[arn] = b
		}
		balancers[i] = b
	}
	return balancers
}

// dropBalancers forgets the load balancers of no group.
func (o *Observer) dropBalancers() {
	named := make(map[*loadBalancer]bool, len(o.balancers))
	for _, g := range o.groups {
		for _, b := range g.balancers {
			named[b] = true
		}
	}
	for arn, b := range o.balancers {
		if !named[b] {
			delete(o.balancers, arn)
		}
	}
}

// decidedBy are the load balancers whose attribute says whether a group's zones
// share. An application one always shares: there is nothing to ask.
func (g *group) decidedBy() []*loadBalancer {
	if !g.attrs.Known || g.attrs.CrossZone != toTheBalancer {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(g.balancers), func(b *loadBalancer) bool { return b.value.Kind == fleet.ApplicationBalancer })
}

// balancerReads are the attributes of load balancers that are due.
func (o *Observer) balancerReads(groups []*group, hot map[fleet.TargetGroupARN]bool) []read {
	urgent := make(map[string]bool) // whether a group that is hot waits for it
	for _, g := range groups {
		for _, b := range g.decidedBy() {
			urgent[b.value.ARN] = urgent[b.value.ARN] || hot[g.arn]
		}
	}
	var reads []read
	for _, b := range sorted(o.balancers) {
		hot, asked := urgent[b.value.ARN]
		if !asked {
			continue
		}
		interval := o.ofSeconds(attributesInterval)
		if (hot || b.value.Read.Never() || o.fails(fleet.GapBalancer, b.value.ARN)) && !b.value.Denied {
			interval = o.opts.InventoryInterval
		}
		for _, r := range batch(o, []*loadBalancer{b}, func(b *loadBalancer) *clock { return &b.attributes }, interval, 1, o.describeBalancer) {
			r.hot = hot && !b.attributes.alone
			reads = append(reads, r)
		}
	}
	return reads
}

// describeBalancer reads a load balancer's attributes. That castoff may not is no Gap:
// the right is optional, and without it guards are the more careful.
func (o *Observer) describeBalancer(ctx context.Context, balancers []*loadBalancer) func() {
	b := balancers[0]
	out, read, err := ask(ctx, o.elb.DescribeLoadBalancerAttributes, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: aws.String(b.value.ARN)})
	var raw map[string]string
	if err == nil {
		raw, err = attributesOf(out.Attributes, func(a types.LoadBalancerAttribute) (key, val *string) { return a.Key, a.Value })
	}
	if err == nil && raw[crossZoneAttribute] == "" {
		err = gapf(fleet.Invalid, "the reply has no %s", crossZoneAttribute)
	}
	return func() {
		was := b.value
		b.value.Denied = err != nil && Classify(err) == fleet.Denied
		if err == nil {
			b.attributes.ok()
			b.value.CrossZone, b.value.Read = raw[crossZoneAttribute], read
		} else {
			b.attributes.fail(err, 1)
		}
		if err == nil || b.value.Denied {
			o.clear(fleet.GapBalancer, b.value.ARN)
		} else {
			o.fail(fleet.GapBalancer, b.value.ARN, "DescribeLoadBalancerAttributes of "+b.name(), err)
		}
		if b.value == was {
			return
		}
		for _, g := range o.groups {
			if slices.Contains(g.balancers, b) {
				g.value = nil
			}
		}
	}
}

// name is the load balancer's, the last but one part of its ARN.
func (b *loadBalancer) name() string {
	parts := strings.Split(b.value.ARN, "/")
	return parts[max(0, len(parts)-2)]
}
