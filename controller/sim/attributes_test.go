package sim_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

const crossZone = "load_balancing.cross_zone.enabled"

// A group follows its balancer's attribute until it has a word of its own, and
// an application balancer always shares.
func TestAttributesChange(t *testing.T) {
	inBubble(t, sim.Options{}, 0, func(t *testing.T, w *world) {
		spec := sim.ReferenceWorkload(clusterName, "greeter")
		spec.Groups = []sim.GroupSpec{{Name: "net"}, {Name: "web", Balancer: sim.Application}}
		w.must(w.r.AddService(spec))
		keys := w.r.Tasks(greeter)[0].Targets
		net, web := keys[0].Group, keys[1].Group
		said := func(arn string) string {
			t.Helper()
			out, err := w.elb.DescribeLoadBalancerAttributes(t.Context(), &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: aws.String(arn)})
			w.must(err)
			for _, a := range out.Attributes {
				if *a.Key == crossZone {
					return *a.Value
				}
			}
			return ""
		}
		shared := func() string {
			t.Helper()
			out, err := w.elb.DescribeTargetHealth(t.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: aws.String(string(net))})
			w.must(err)
			for _, d := range out.TargetHealthDescriptions {
				if s := d.AdministrativeOverride.State; s != fleet.NoOverride {
					return string(s) // who keeps traffic out of a zone says who shares it
				}
			}
			return ""
		}
		if a, b := said(w.r.BalancerARN(net)), said(w.r.BalancerARN(web)); a != "false" || b != "true" {
			t.Errorf("cross-zone %q of the NLB, %q of the ALB", a, b)
		}
		w.must(w.r.ZonalShift(greeter, w.r.Tasks(greeter)[0].Zone))
		for _, step := range []struct {
			set  func() error
			want string
		}{
			{func() error { return nil }, "zonal_shift_delegated_to_dns"},
			{func() error {
				return w.r.SetBalancerAttributes(w.r.BalancerARN(net), map[string]string{crossZone: "true"})
			}, "zonal_shift_active"},
			{func() error { return w.r.SetGroupAttributes(net, map[string]string{crossZone: "false"}) }, "zonal_shift_delegated_to_dns"},
			{func() error { return w.r.SetGroupAttributes(net, map[string]string{crossZone: "true"}) }, "zonal_shift_active"},
		} {
			w.must(step.set())
			time.Sleep(time.Second)
			if got := shared(); got != step.want {
				t.Errorf("override %q, want %q", got, step.want)
			}
		}
		if said(w.r.BalancerARN(net)) != "true" {
			t.Error("the change does not show")
		}
		for name, err := range map[string]error{
			"an ALB that does not share": w.r.SetBalancerAttributes(w.r.BalancerARN(web), map[string]string{crossZone: "false"}),
			"a balancer's unknown":       w.r.SetBalancerAttributes(w.r.BalancerARN(net), map[string]string{"color": "red"}),
			"no balancer":                w.r.SetBalancerAttributes("none", nil),
			"a group's unknown":          w.r.SetGroupAttributes(net, map[string]string{"color": "red"}),
			"a delay that cannot be":     w.r.SetGroupAttributes(net, map[string]string{"deregistration_delay.timeout_seconds": "9999"}),
			"no group":                   w.r.SetGroupAttributes("none", nil),
			"attributes of no balancer": func() error {
				_, err := w.elb.DescribeLoadBalancerAttributes(t.Context(), &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: aws.String("none")})
				return err
			}(),
		} {
			if err == nil {
				t.Errorf("%s is no error", name)
			}
		}
	})
}
