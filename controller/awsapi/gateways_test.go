package awsapi

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Which services a gateway sends traffic to is one call an inventory, whatever their
// number. What is known of one stays while castoff may not, or cannot, ask.
func TestGateways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 3, 1)
		arn := func(name string) string { return ecsARN("service/c00/" + name) }
		f.routes = []string{arn("s0001"), arn("s0001"), ecsARN("service/another/s0002")}
		o := observer(t, Options{Config: f.config(), Budgets: unlimited})
		none, yes, unknown, denied := fleet.GatewayNone, fleet.GatewayConnected, fleet.Gateway(""), fleet.GatewayDenied
		for _, step := range []struct {
			name   string
			change func()
			want   []fleet.Gateway
			gaps   []string
			calls  int
		}{
			{"one has", nil, []fleet.Gateway{none, yes, none}, nil, 1},
			{"another gets one", func() { f.routes = append(f.routes, arn("s0002")) }, []fleet.Gateway{none, yes, yes}, nil, 1},
			{"the first loses its own", func() { f.routes = f.routes[2:] }, []fleet.Gateway{none, none, yes}, nil, 1},
			{"throttled", func() { f.failing(fleet.Throttled, "ListGatewayRoutes") }, []fleet.Gateway{none, none, yes}, []string{"gateways throttled eu-central-1"}, 1},
			{"denied", func() { f.failing(fleet.Denied, "ListGatewayRoutes") }, []fleet.Gateway{denied, denied, yes}, nil, 1},
			{"allowed", func() { f.fault = nil }, []fleet.Gateway{none, none, yes}, nil, 1},
			{"no such operation", func() {
				f.fault = func(c fakeCall) *fakeReply {
					if c.op != "ListGatewayRoutes" {
						return nil
					}
					return ecsError("UnknownOperationException")
				}
			}, []fleet.Gateway{denied, denied, yes}, nil, 1},
			{"a new castoff", func() {
				f.failing(fleet.Transient, "ListGatewayRoutes")
				o = observer(t, Options{Config: f.config(), Budgets: unlimited})
			}, []fleet.Gateway{unknown, unknown, unknown}, []string{"gateways transient eu-central-1"}, 1},
		} {
			if step.change != nil {
				step.change()
			}
			f.taken()
			s := pass(t, o, 5*time.Minute)
			var got []fleet.Gateway
			for _, svc := range s.Services {
				got = append(got, svc.Gateway)
			}
			if !slices.Equal(got, step.want) || !slices.Equal(gapsOf(s), step.gaps) {
				t.Errorf("%s: %q, gaps %v; want %q, %v", step.name, got, gapsOf(s), step.want, step.gaps)
			}
			if n := tally(f.taken())["ListGatewayRoutes"]; n < step.calls || n > 3*step.calls { // the SDK tries again
				t.Errorf("%s: %d calls", step.name, n)
			}
		}
	})
}
