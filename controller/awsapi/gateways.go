package awsapi

import (
	"context"
	"errors"
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/smithy-go"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// routesAPage is how many gateway routes AWS lists at a time.
const routesAPage = 100

// gateways are the services that a gateway of ECS's sends traffic to. DescribeServices
// does not say so, and DescribeServiceRevisions does, for twenty services a call. The
// list of routes of the whole region is one call for a hundred services with one, and
// for all that have none.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListGatewayRoutes.html
type gateways struct {
	list   chain
	routed map[string]int // ARNs of services, and the round of the list that last had them
	denied bool           // castoff may not ask, or ECS has no gateways here
}

// of is what is known of a service.
func (g *gateways) of(arn string) fleet.Gateway {
	round, listed := g.routed[arn]
	switch {
	case listed && round >= g.list.rounds-1:
		return fleet.GatewayConnected
	case g.denied:
		return fleet.GatewayDenied
	case g.list.rounds > 0:
		return fleet.GatewayNone
	}
	return ""
}

func (o *Observer) listRoutes(ctx context.Context, b *bucket) listed {
	return o.list(ctx, &o.gateways.list, b, o.opts.InventoryInterval, "service", func(ctx context.Context, token *string) ([]string, *string, error) {
		out, _, err := ask(ctx, o.ecs.ListGatewayRoutes, &ecs.ListGatewayRoutesInput{MaxResults: aws.Int32(routesAPage), NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		var found []string
		for i := range out.GatewayRoutes {
			found = append(found, value(out.GatewayRoutes[i].ServiceArn))
		}
		return found, out.NextToken, noList(out.GatewayRoutes, "gateway routes")
	})
}

// connect takes in what was read of the list of routes. That castoff may not ask is no
// Gap: the right is optional, and the services say that it is not known.
func (o *Observer) connect(l listed) {
	g, region := &o.gateways, o.opts.Config.Region
	if g.routed == nil {
		g.routed = make(map[string]int)
	}
	round := g.list.rounds
	if l.ended {
		round--
	}
	for _, arn := range l.found {
		g.routed[arn] = round
	}
	if l.ended {
		maps.DeleteFunc(g.routed, func(_ string, last int) bool { return last < round })
	}
	var api smithy.APIError
	switch unknown := errors.As(l.err, &api) && api.ErrorCode() == "UnknownOperationException"; {
	case unknown || Classify(l.err) == fleet.Denied:
		g.denied = true
		o.clear(fleet.GapGateways, region)
	case l.err != nil:
		o.fail(fleet.GapGateways, region, "ListGatewayRoutes in "+region, l.err)
	case l.seen:
		g.denied = false
		o.clear(fleet.GapGateways, region)
	}
	for _, s := range o.services {
		if s.value != nil && s.value.Gateway != g.of(s.arn) {
			v := *s.value
			v.Gateway = g.of(s.arn)
			s.value = &v
		}
	}
}
