package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// likePatience is how long reading a service may take: a cluster with thousands
// of services is listed at castoff's own pace.
const likePatience = 2 * time.Minute

// likeAWS reads a service's settings and puts them over p, as castoff run reads
// them: with its budgets, and nothing but reads. The notes say what is simulated
// otherwise than it is.
func likeAWS(ctx context.Context, cfg config.Config, id fleet.ServiceID, p parameters) (parameters, []string, error) {
	cfg.Clusters = []string{id.Cluster}
	aws, err := awsapi.Load(ctx, awsapi.LoadOptions{
		Region: cfg.Region, AssumeRoleARN: cfg.AWS.AssumeRole.ARN,
		ExternalID: cfg.AWS.AssumeRole.ExternalID.Reveal(), SessionName: cfg.AWS.AssumeRole.SessionName,
	})
	if err != nil {
		return p, nil, awsError{err}
	}
	_, m := newMetrics()
	observer, err := awsapi.New(controller.ObserverOptions(cfg, awsapi.Options{Config: aws, Recorder: m.AWS}))
	if err != nil {
		return p, nil, awsError{err}
	}
	if err := preflight(ctx, observer, slog.New(slog.DiscardHandler)); err != nil {
		return p, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, likePatience)
	defer cancel()
	for {
		s := observer.Observe(ctx, []fleet.ServiceID{id})
		missing, hopeless := unread(s, id)
		switch {
		case missing == "":
			return parametersOf(s, s.Service(id), p)
		case hopeless || ctx.Err() != nil:
			return p, nil, awsError{errors.New(missing)}
		}
		wait := time.NewTimer(time.Second)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
		}
	}
}

// unread says what of a service is still to be read, with castoff's reason;
// hopeless when another pass will not do it. Empty: all is there.
func unread(s *fleet.Snapshot, id fleet.ServiceID) (missing string, hopeless bool) {
	why := func(kind fleet.GapKind, ref, what string) (string, bool) {
		for _, g := range s.Gaps {
			if g.Kind == kind && (ref == "" || g.Ref == ref) {
				return what + ": " + g.Detail, g.Class == fleet.Denied || g.Class == fleet.NotFound || g.Class == fleet.Invalid
			}
		}
		return what + " has not been read", false
	}
	svc := s.Service(id)
	if svc == nil {
		for _, kind := range []fleet.GapKind{fleet.GapCluster, fleet.GapServices, fleet.GapService} {
			for _, g := range s.Gaps {
				if g.Kind == kind {
					return why(kind, g.Ref, "service "+id.String())
				}
			}
		}
		return fmt.Sprintf("no ECS service %s: check the names, the region and the account", id), true
	}
	for _, d := range svc.Deployments {
		if s.Definitions[d.Definition] == nil {
			return why(fleet.GapTaskDefinition, string(d.Definition), "task definition "+d.Definition.FamilyRevision())
		}
	}
	for _, lb := range svc.LoadBalancers {
		if lb.Former {
			continue
		}
		g := s.TargetGroup(lb.Group)
		if g == nil || g.TargetType == "" {
			if text, hopeless := why(fleet.GapTargetGroup, string(lb.Group), "target group "+lb.Group.Name()); hopeless {
				return text, true
			}
			return why(fleet.GapTargetGroups, "", "target group "+lb.Group.Name())
		}
		if !g.Attributes.Known {
			return why(fleet.GapAttributes, string(lb.Group), "attributes of target group "+lb.Group.Name())
		}
		if g.Read.Never() {
			return why(fleet.GapTargetHealth, string(lb.Group), "targets of target group "+lb.Group.Name())
		}
	}
	for _, g := range s.Gaps {
		if g.Kind == fleet.GapTaskList || g.Kind == fleet.GapTasks {
			return why(g.Kind, g.Ref, "tasks of "+id.String())
		}
	}
	return "", false
}

// parametersOf makes parameters of what was read.
func parametersOf(s *fleet.Snapshot, svc *fleet.Service, p parameters) (parameters, []string, error) {
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	switch {
	case svc.Desired == 0:
		return p, nil, awsError{fmt.Errorf("service %s wants no tasks: there is nothing to simulate", svc.ID)}
	case len(svc.LoadBalancers) == 0:
		return p, nil, awsError{fmt.Errorf("service %s has no target group: there is nothing to take its tasks out of", svc.ID)}
	}
	p.Desired, p.MinimumHealthyPercent, p.MaximumPercent, p.Grace = svc.Desired, svc.MinimumHealthyPercent, max(100, svc.MaximumPercent), svc.Grace
	if p.Desired > most {
		note("%d tasks are simulated as %d", p.Desired, most)
		p.Desired = most
	}
	if svc.Scheduling == fleet.Daemon {
		note("a DAEMON service is simulated as REPLICA")
	}
	if svc.Controller != fleet.ControllerECS {
		note("the deployment controller %s is simulated as ECS's", svc.Controller)
	}
	zones := map[string]bool{}
	for _, t := range s.Tasks {
		if t.Service == svc.ID && !t.Leaving() {
			zones[t.Zone] = true
			p.LaunchType = fleet.Fargate
			if t.LaunchType == fleet.EC2 {
				p.LaunchType = fleet.EC2
			}
		}
	}
	if p.Zones = min(max(1, len(zones)), len(simZones)); len(zones) > len(simZones) {
		note("%d zones are simulated as %d", len(zones), len(simZones))
	}
	if p.LaunchType == fleet.EC2 && p.Zones != len(simZones) {
		note("tasks on EC2 in %d zones are simulated in %d", p.Zones, len(simZones))
		p.Zones = len(simZones)
	}
	checkOf(s, svc, &p, note)
	p.TargetGroups = nil
	for _, lb := range inUse(s, svc) {
		p.TargetGroups = append(p.TargetGroups, groupLike(s.TargetGroup(lb.Group), note))
	}
	return p, notes, nil
}

// checkOf takes over the container check: of the container that the targets are
// of, else of the first essential one that has one.
func checkOf(s *fleet.Snapshot, svc *fleet.Service, p *parameters, note func(string, ...any)) {
	def := s.Definitions[newest(svc).Definition]
	var checked []fleet.ContainerDefinition
	stop := time.Duration(0)
	for _, c := range def.Containers {
		stop = max(stop, c.StopTimeout)
		if c.Essential && c.Check != nil {
			checked = append(checked, c)
		}
	}
	p.StopTimeout = max(2*time.Second, stop)
	p.ContainerCheck.Enabled = len(checked) > 0
	if len(checked) == 0 {
		return
	}
	at := max(0, slices.IndexFunc(checked, func(c fleet.ContainerDefinition) bool { return c.Name == svc.LoadBalancers[0].Container }))
	c := checked[at]
	if len(checked) > 1 {
		note("%d containers have health checks: that of %s is simulated", len(checked), c.Name)
	}
	p.ContainerCheck = containerCheck{Enabled: true, Interval: c.Check.Interval, Timeout: c.Check.Timeout, Retries: c.Check.Retries, StartPeriod: c.Check.StartPeriod}
}

// newest is the deployment that the service is on its way to.
func newest(svc *fleet.Service) fleet.Deployment {
	for _, d := range svc.Deployments {
		if d.Status == "PRIMARY" {
			return d
		}
	}
	return svc.Deployments[0]
}

// inUse are the load balancers without the half of each blue/green pair in which
// the service has no targets now.
func inUse(s *fleet.Snapshot, svc *fleet.Service) []fleet.LoadBalancer {
	has := func(lb fleet.LoadBalancer) bool {
		return slices.ContainsFunc(s.TargetGroup(lb.Group).Targets, func(t fleet.Target) bool {
			owner := s.Owner(t.Key)
			return owner != nil && owner.Service == svc.ID
		})
	}
	var used []fleet.LoadBalancer
	for _, lb := range svc.LoadBalancers {
		if has(lb) {
			used = append(used, lb)
		}
	}
	if len(used) == 0 {
		used = slices.DeleteFunc(slices.Clone(svc.LoadBalancers), func(lb fleet.LoadBalancer) bool { return lb.Alternate })
	}
	return used[:min(len(used), 5)]
}

func groupLike(g *fleet.TargetGroup, note func(string, ...any)) targetGroup {
	p := defaultGroup()
	if slices.ContainsFunc(g.LoadBalancers, func(arn string) bool { return strings.Contains(arn, ":loadbalancer/app/") }) {
		p.Balancer = sim.Application
	}
	if len(g.LoadBalancers) == 0 {
		note("target group %s has no load balancer and is simulated with a Network Load Balancer", g.Name)
	}
	c := g.Check
	p.Check = targetCheck{Protocol: c.Protocol, SeesApp: true, Interval: c.Interval, Timeout: c.Timeout, HealthyThreshold: c.HealthyThreshold, UnhealthyThreshold: c.UnhealthyThreshold}
	if c.Protocol != "TCP" {
		note("target group %s: its %s check is taken to ask the app; if what stands before the app answers it, set check.sees_app: false", g.Name, c.Protocol)
	} else if c.Port != "" && c.Port != "traffic-port" && c.Port != strconv.Itoa(g.Port) {
		note("target group %s: its TCP check of port %s is simulated on the traffic port", g.Name, c.Port)
	}
	a := g.Attributes
	p.DeregistrationDelay, p.ConnectionTermination, p.UnhealthyConnectionTermination = a.DeregistrationDelay, a.ConnectionTermination, a.UnhealthyConnectionTermination
	p.CrossZone = a.CrossZone == "true"
	if p.Balancer == sim.Application && a.CrossZone != "false" {
		p.CrossZone = true // an Application Load Balancer's default
	} else if a.CrossZone == "use_load_balancer_configuration" {
		note("target group %s leaves cross-zone balancing to its load balancer, whose setting castoff does not read: simulated as off", g.Name)
	}
	p.DNSFailover, p.UnhealthyRouting = thresholdOf(a.Raw, "dns_failover"), thresholdOf(a.Raw, "unhealthy_state_routing")
	return p
}

// thresholdOf reads one of target_group_health, with AWS's defaults.
func thresholdOf(raw map[string]string, action string) threshold {
	prefix := "target_group_health." + action + ".minimum_healthy_targets."
	number := func(text string, otherwise int) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			return otherwise
		}
		return max(otherwise, n)
	}
	return threshold{Count: number(raw[prefix+"count"], 1), Percentage: number(raw[prefix+"percentage"], 0)}
}
