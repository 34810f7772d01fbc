package sim_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

func (w *world) register(key fleet.TargetKey) error {
	_, err := w.elb.RegisterTargets(w.t.Context(), &elb.RegisterTargetsInput{
		TargetGroupArn: aws.String(string(key.Group)), Targets: []elbtypes.TargetDescription{{Id: &key.ID, Port: aws.Int32(int32(key.Port))}},
	})
	return err
}

func (w *world) group(arn fleet.TargetGroupARN) elbtypes.TargetGroup {
	w.t.Helper()
	out, err := w.elb.DescribeTargetGroups(w.t.Context(), &elb.DescribeTargetGroupsInput{TargetGroupArns: []string{string(arn)}})
	w.must(err)
	return out.TargetGroups[0]
}

func TestApplicationLoadBalancer(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Settled = false
		spec.Groups = []sim.GroupSpec{{Balancer: sim.Application}, {Balancer: sim.Application, Name: "grpc", ProtocolVersion: "GRPC"}, {Name: "net"}}
		w.must(w.r.AddService(spec))
		out, err := w.elb.DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{})
		w.must(err)
		if len(out.LoadBalancers) != 2 || out.LoadBalancers[0].Type != "application" || out.LoadBalancers[1].Type != "network" {
			t.Fatalf("balancers %+v", out.LoadBalancers)
		}
		time.Sleep(15 * time.Second)
		keys := w.r.Tasks(greeter)[0].Targets
		g := w.group(keys[0].Group)
		if g.Protocol != "HTTP" || *g.ProtocolVersion != "HTTP1" || *g.HealthCheckTimeoutSeconds != 5 || *g.Matcher.HttpCode != "200" {
			t.Errorf("group %+v", g)
		}
		if g := w.group(keys[1].Group); *g.ProtocolVersion != "GRPC" || *g.Matcher.GrpcCode != "12" || g.Matcher.HttpCode != nil {
			t.Errorf("group %+v", g)
		}
		// One check passed is enough for an ALB.
		w.until(2*time.Minute, "healthy in the ALB", func() bool {
			row := w.row(keys[0])
			return row != nil && row.TargetHealth.State == "healthy"
		})
		if row := w.row(keys[2]); row.TargetHealth.State != "initial" {
			t.Errorf("the NLB has it %s", row.TargetHealth.State)
		}
	})
}

func TestTargetTypes(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := visible(2, true)
		spec.Groups[0].Balancer = sim.Application
		tasks := w.add(spec)
		alb := w.r.BalancerARN(tasks[0].Targets[0].Group)
		instances, err := w.r.AddInstances(clusterName, 1)
		w.must(err)
		instance := instances[0]
		group := func(kind string, spec sim.GroupSpec) fleet.TargetGroupARN {
			arn, err := w.r.AddTargetGroup(kind, spec)
			w.must(err)
			return arn
		}
		groups := map[string]fleet.TargetGroupARN{
			"ip":       group("ip", sim.GroupSpec{Name: "ip", Port: 80}),
			"instance": group("instance", sim.GroupSpec{Name: "instance", Port: 80}),
			"alb":      group("alb", sim.GroupSpec{Name: "alb", Port: 80, Check: fast("HTTP", "")}),
			"lambda":   group("lambda", sim.GroupSpec{Name: "lambda", Balancer: sim.Application}),
		}
		const function = "arn:aws:lambda:eu-central-1:123456789012:function:greet"
		for _, row := range []struct {
			kind, id string
			port     int32
			zone     string
			code     string
		}{
			{"ip", "10.0.9.9", 80, "", ""},
			{"ip", "10.0.9.9", 0, "all", ""},
			{"ip", "10.0.9.9", 80, "mars", "ValidationError"},
			{"ip", instance, 80, "", "ValidationError"},
			{"ip", "2001:db8::1", 80, "", "ValidationError"},
			{"instance", instance, 8080, "", ""},
			{"instance", "i-00000000000000000", 80, "", "InvalidTarget"},
			{"alb", "10.0.9.9", 80, "", "ValidationError"},
			{"alb", alb, 81, "", "InvalidTarget"},
			{"alb", alb + "0", 80, "", "InvalidTarget"},
			{"alb", alb, 80, "", ""},
			{"lambda", "10.0.9.9", 0, "", "ValidationError"},
			{"lambda", function, 80, "", "ValidationError"},
			{"lambda", function, 0, sim.RegionName + "a", "ValidationError"},
			{"lambda", function, 0, "", ""},
			{"lambda", function + "2", 0, "", "TooManyTargets"},
		} {
			target := elbtypes.TargetDescription{Id: aws.String(row.id)}
			if row.port != 0 {
				target.Port = aws.Int32(row.port)
			}
			if row.zone != "" {
				target.AvailabilityZone = aws.String(row.zone)
			}
			_, err := w.elb.RegisterTargets(t.Context(), &elb.RegisterTargetsInput{
				TargetGroupArn: aws.String(string(groups[row.kind])), Targets: []elbtypes.TargetDescription{target},
			})
			if got := code(err); got != row.code || (err == nil) != (row.code == "") {
				t.Errorf("%s %s:%d %s: %q, want %q: %v", row.kind, row.id, row.port, row.zone, got, row.code, err)
			}
		}
		if row := w.rows(groups["lambda"])[0]; row.TargetHealth.Reason != "Target.HealthCheckDisabled" || row.Target.Port != nil {
			t.Errorf("lambda %+v", row)
		}
		if g := w.group(groups["lambda"]); g.Port != nil || g.Protocol != "" || *g.HealthCheckEnabled {
			t.Errorf("lambda %+v", g)
		}
		// An ALB is as well as what is behind it.
		behind := func() string { return string(w.rows(groups["alb"])[0].TargetHealth.State) }
		w.until(3*time.Minute, "the ALB is healthy", func() bool { return behind() == "healthy" })
		end := w.r.Outage(sim.Outage{Service: greeter})
		w.until(time.Minute, "the ALB is unhealthy", func() bool { return behind() == "unhealthy" })
		end()
		w.until(time.Minute, "the ALB is healthy again", func() bool { return behind() == "healthy" })
	})
}

func TestTooManyTargets(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		group, err := w.r.AddTargetGroup("ip", sim.GroupSpec{Name: "ip", Port: 80})
		w.must(err)
		register := func(from, to int) error {
			in := &elb.RegisterTargetsInput{TargetGroupArn: aws.String(string(group))}
			for i := from; i < to; i++ {
				in.Targets = append(in.Targets, elbtypes.TargetDescription{Id: aws.String(fmt.Sprintf("10.0.%d.%d", i/250, i%250))})
			}
			_, err := w.elb.RegisterTargets(t.Context(), in)
			return err
		}
		w.must(register(0, 1000))
		w.must(register(0, 1)) // there already
		if err := register(1000, 1001); code(err) != "TooManyTargets" {
			t.Error(err)
		}
	})
}

func TestUnusedTargets(t *testing.T) {
	for name, change := range map[string]func(*sim.ServiceSpec){
		"no balancer":     func(s *sim.ServiceSpec) { s.Groups[0].Unattached = true },
		"not in the zone": func(s *sim.ServiceSpec) { s.Zones = []string{sim.RegionName + "a"} },
	} {
		inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
			spec := visible(3, true)
			change(&spec)
			unused := 0
			for _, row := range w.rows(w.add(spec)[0].Targets[0].Group) {
				if row.TargetHealth.State == "unused" && row.TargetHealth.Reason == "Target.NotInUse" {
					unused++
				}
			}
			if want := map[string]int{"no balancer": 3, "not in the zone": 2}[name]; unused != want {
				t.Errorf("%s: %d unused, want %d", name, unused, want)
			}
		})
	}
}

// Whatever AWS may yet invent can be said, and changes nothing.
func TestSay(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		task := w.add(visible(2, true))[0]
		key := task.Targets[0]
		for _, said := range [][2]string{{"unavailable", "Elb.InternalError"}, {"resting", "Target.Resting"}} {
			w.must(w.r.Say(key, fleet.TargetState(said[0]), said[1]))
			if got := w.row(key).TargetHealth; string(got.State) != said[0] || string(got.Reason) != said[1] {
				t.Errorf("%s %s, want %v", got.State, got.Reason, said)
			}
		}
		time.Sleep(time.Minute)
		w.wantShares("it still serves", []sim.TaskInfo{task}, .5)
		w.must(w.r.Say(key, "", ""))
		if got := w.row(key).TargetHealth; got.State != "healthy" {
			t.Errorf("the truth is %s", got.State)
		}
		key.Port++
		if err := w.r.Say(key, "healthy", ""); err == nil {
			t.Error("of no target")
		}
	})
}

// unhealthy.draining: only without connection termination, and for as long as
// the group says.
func TestUnhealthyDraining(t *testing.T) {
	inBubble(t, sim.Options{Params: steady()}, 0, func(t *testing.T, w *world) {
		spec := visible(2, true)
		spec.Groups[0].Attributes = map[string]string{
			"target_health_state.unhealthy.connection_termination.enabled": "false",
			"target_health_state.unhealthy.draining_interval_seconds":      "60",
		}
		spec.Groups[0].Traffic.Streams = 10
		task := w.add(spec)[0]
		w.must(w.r.Hang(task.ARN))
		state := func() string { return string(w.row(task.Targets[0]).TargetHealth.State) }
		w.until(13*time.Second, "unhealthy.draining", func() bool { return state() == "unhealthy.draining" })
		time.Sleep(58 * time.Second)
		if got := state(); got != "unhealthy.draining" {
			t.Error(got)
		}
		time.Sleep(2 * time.Second)
		if got := state(); got != "unhealthy" {
			t.Error(got)
		}
		if got := w.truth().Targets[0].Streams; got != 5 {
			t.Errorf("%v streams left", got)
		}
		w.must(w.r.Recover(task.ARN))
		w.until(13*time.Second, "healthy", func() bool { return state() == "healthy" })
	})
}

// With connection termination there is no unhealthy.draining.
func TestNoUnhealthyDrainingWithTermination(t *testing.T) {
	inBubble(t, sim.Options{Params: steady()}, 0, func(t *testing.T, w *world) {
		spec := visible(2, true)
		spec.Groups[0].Attributes = map[string]string{"target_health_state.unhealthy.draining_interval_seconds": "60"}
		task := w.add(spec)[0]
		w.must(w.r.Hang(task.ARN))
		time.Sleep(13 * time.Second)
		if got := w.row(task.Targets[0]).TargetHealth.State; got != "unhealthy" {
			t.Error(got)
		}
	})
}

func TestGroupMistakes(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		attribute := func(name, value string) sim.GroupSpec {
			return sim.GroupSpec{Name: "x", Port: 80, Attributes: map[string]string{name: value}}
		}
		for name, row := range map[string]struct {
			kind string
			spec sim.GroupSpec
		}{
			"target type":         {"pod", sim.GroupSpec{Name: "x", Port: 80}},
			"HTTP on an NLB":      {"ip", sim.GroupSpec{Name: "x", Port: 80, Protocol: "HTTP"}},
			"TCP on an ALB":       {"ip", sim.GroupSpec{Name: "x", Port: 80, Balancer: sim.Application, Protocol: "TCP"}},
			"TCP check by an ALB": {"ip", sim.GroupSpec{Name: "x", Port: 80, Balancer: sim.Application, Check: fleet.TargetCheck{Protocol: "TCP"}}},
			"UDP check":           {"ip", sim.GroupSpec{Name: "x", Port: 80, Check: fleet.TargetCheck{Protocol: "UDP"}}},
			"check port":          {"ip", sim.GroupSpec{Name: "x", Port: 80, Check: fleet.TargetCheck{Port: "http"}}},
			"GRPC on an NLB":      {"ip", sim.GroupSpec{Name: "x", Port: 80, ProtocolVersion: "GRPC"}},
			"GWLB":                {"ip", sim.GroupSpec{Name: "x", Port: 80, Balancer: "gateway"}},
			"ALB checked by TCP":  {"alb", sim.GroupSpec{Name: "x", Port: 80}},
			"function on an NLB":  {"lambda", sim.GroupSpec{Name: "x", Port: 80}},
			"traffic":             {"ip", sim.GroupSpec{Name: "x", Port: 80, Traffic: sim.Traffic{Rate: -1}}},
			"delay":               {"ip", attribute("deregistration_delay.timeout_seconds", "3601")},
			"interval":            {"ip", attribute("target_health_state.unhealthy.draining_interval_seconds", "x")},
			"routing off":         {"ip", attribute("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "off")},
			"percentage":          {"ip", attribute("target_group_health.dns_failover.minimum_healthy_targets.percentage", "101")},
		} {
			if _, err := w.r.AddTargetGroup(row.kind, row.spec); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	})
}

// ELBv2 knows its members by their whole names; an empty list is one by its own.
func TestUnknownMembersOfELB(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		params := sim.DefaultParams()
		params.IgnoreUnknownMembers = ignore
		inBubble(t, sim.Options{Params: &params}, 0, func(t *testing.T, w *world) {
			for query, known := range map[string]bool{
				"DescribeTargetGroups&PageSize=2&Names.member.1=x":        true,
				"DescribeTargetGroups&Names=":                             true,
				"DescribeTargetGroups&pageSize=2":                         false,
				"DescribeTargetGroups&Names.1=x":                          false,
				"RegisterTargets&Targets.member.1.Zone=x":                 false,
				"DescribeTargetHealth&TargetGroupArn=x&Targets.member.1=": false,
			} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sim.invalid/", strings.NewReader("Version=2015-12-01&Action="+query))
				w.must(err)
				rep, err := sim.Doer{Region: w.r}.Do(req)
				w.must(err)
				body, err := io.ReadAll(rep.Body)
				w.must(err)
				if refused := bytes.Contains(body, []byte("InvalidQueryParameter")); refused != (!known && !ignore) {
					t.Errorf("%s: refused %v", query, refused)
				}
			}
		})
	}
}
