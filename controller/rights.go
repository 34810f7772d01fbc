package controller

import (
	"log/slog"
	"slices"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// The tag by which deploy/iam/detach.json lets castoff change a target group.
const (
	managedTag   = "castoff:managed"
	managedValue = "true"
)

// rightsLog tells of target groups that castoff is to change and that have not
// got the tag which deploy/iam/detach.json asks for. ELBv2 cannot be asked whether
// a call would be denied, and nobody wants to learn it from the first failure; but
// another policy may ask for no tag, so that it is a warning and no guard.
type rightsLog struct {
	log     *slog.Logger
	said    map[fleet.TargetGroupARN]bool
	unasked bool // that castoff may not ask load balancers was said
	unseen  bool // that it may not ask for gateways was said
}

// report logs those that were not there the last time.
func (l *rightsLog) report(s *fleet.Snapshot, modes map[fleet.ServiceID]policy.Mode) {
	l.reportBalancers(s)
	l.reportGateways(s)
	unread := make(map[string]bool)
	for _, g := range s.Gaps {
		unread[g.Ref] = unread[g.Ref] || g.Kind == fleet.GapTags
	}
	untagged := make(map[fleet.TargetGroupARN]bool)
	for _, svc := range s.Services {
		if modes[svc.ID] != policy.Detaching {
			continue
		}
		for _, lb := range svc.LoadBalancers {
			g := s.TargetGroup(lb.Group)
			if g == nil || unread[string(lb.Group)] || g.Tags[managedTag] == managedValue {
				continue
			}
			if !l.said[lb.Group] && !untagged[lb.Group] {
				l.log.Warn("castoff will be denied to act, if it has the rights of deploy/iam/detach.json: the target group has not got the tag "+managedTag+"="+managedValue,
					"cluster", svc.ID.Cluster, "service", svc.ID.Name, "target_group", g.Name)
			}
			untagged[lb.Group] = true
		}
	}
	l.said = untagged
}

// reportBalancers tells of an optional right that castoff has not got, once.
func (l *rightsLog) reportBalancers(s *fleet.Snapshot) {
	unasked := slices.ContainsFunc(s.TargetGroups, func(g *fleet.TargetGroup) bool {
		return slices.ContainsFunc(g.Balancers, func(b fleet.Balancer) bool { return b.Denied })
	})
	if unasked && !l.unasked {
		l.log.Warn("castoff may not read whether load balancers send across zones, and so assumes the worse: fewer targets may leave",
			"right", "elasticloadbalancing:DescribeLoadBalancerAttributes")
	}
	l.unasked = unasked
}

// reportGateways tells, once, that castoff may not ask which services have a gateway.
func (l *rightsLog) reportGateways(s *fleet.Snapshot) {
	unseen := slices.ContainsFunc(s.Services, func(svc *fleet.Service) bool { return svc.Gateway == fleet.GatewayDenied })
	if unseen && !l.unseen {
		l.log.Warn("castoff may not read which services a gateway of ECS's sends traffic to, and takes none to have one: it sees nothing of what a gateway sends",
			"right", "ecs:ListGatewayRoutes")
	}
	l.unseen = unseen
}
