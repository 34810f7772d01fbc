package controller

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// Each target group that castoff would be denied is told of once, until that
// changes; not where castoff only observes, nor while the tags were not read.
func TestUntaggedGroupsAreToldOfBeforeTheFirstCall(t *testing.T) {
	var out bytes.Buffer
	l := rightsLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	for _, step := range []struct {
		name string
		mode policy.Mode
		tags map[string]string
		gap  fleet.GapKind
		told int
	}{
		{"only observed", policy.Observing, nil, "", 0},
		{"not read yet", policy.Detaching, nil, fleet.GapTags, 0},
		{"without it", policy.Detaching, nil, "", 1},
		{"still", policy.Detaching, map[string]string{managedTag: "yes"}, fleet.GapTargetHealth, 0},
		{"tagged", policy.Detaching, map[string]string{managedTag: managedValue}, "", 0},
		{"no more", policy.Detaching, nil, "", 1},
	} {
		s := hung()
		other := *s.Services[0]
		other.ID.Name += "-canary"
		other.LoadBalancers = []fleet.LoadBalancer{{Group: shopGroup}}
		s.Services = append(s.Services, &other) // of the same group
		s.Services[0].LoadBalancers = []fleet.LoadBalancer{{Group: shopGroup}, {Group: "gone"}}
		s.TargetGroups[0].Tags = step.tags
		if step.gap != "" {
			s.Gaps = []fleet.Gap{{Kind: step.gap, Ref: string(shopGroup)}}
		}
		out.Reset()
		l.report(s, map[fleet.ServiceID]policy.Mode{shop: step.mode, other.ID: step.mode})
		if n := strings.Count(out.String(), "target_group=shop"); n != step.told {
			t.Errorf("%s: told %d times, want %d:\n%s", step.name, n, step.told, &out)
		}
	}
}

// That the optional right is missing is said once, until it is there.
func TestBalancersThatMayNotBeAskedAreToldOf(t *testing.T) {
	var out bytes.Buffer
	l := rightsLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	for i, denied := range []bool{false, true, true, false, true} {
		s := hung()
		s.TargetGroups[0].Balancers = []fleet.Balancer{{Kind: fleet.NetworkBalancer}, {Kind: fleet.NetworkBalancer, Denied: denied}}
		out.Reset()
		l.report(s, nil)
		if told, want := strings.Contains(out.String(), "elasticloadbalancing:DescribeLoadBalancerAttributes"), i == 1 || i == 4; told != want {
			t.Errorf("step %d: told %v, want %v: %s", i, told, want, &out)
		}
	}
}

// That castoff may not ask for gateways is said once too.
func TestGatewaysThatMayNotBeAskedForAreToldOf(t *testing.T) {
	var out bytes.Buffer
	l := rightsLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	for i, g := range []fleet.Gateway{"", fleet.GatewayDenied, fleet.GatewayDenied, fleet.GatewayNone, fleet.GatewayDenied} {
		s := hung()
		s.Services[0].Gateway = g
		out.Reset()
		l.report(s, nil)
		if told, want := strings.Contains(out.String(), "ecs:ListGatewayRoutes"), i == 1 || i == 4; told != want {
			t.Errorf("step %d: told %v, want %v: %s", i, told, want, &out)
		}
	}
}
