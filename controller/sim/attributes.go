package sim

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// crossZoneAttribute is an attribute of target groups and of load balancers.
const crossZoneAttribute = "load_balancing.cross_zone.enabled"

// balancerAttributes are those of a new load balancer. Cross-zone load balancing
// is always on for an application one.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html
func balancerAttributes(kind string, crossZone bool) map[string]string {
	all := map[string]string{
		"deletion_protection.enabled":      "false",
		"access_logs.s3.enabled":           "false",
		"access_logs.s3.bucket":            "",
		"access_logs.s3.prefix":            "",
		"ipv6.deny_all_igw_traffic":        "false",
		"zonal_shift.config.enabled":       "true",
		crossZoneAttribute:                 strconv.FormatBool(crossZone || kind == Application),
		"dns_record.client_routing_policy": "any_availability_zone",
	}
	if kind == Application {
		delete(all, "dns_record.client_routing_policy")
		maps.Copy(all, map[string]string{
			"idle_timeout.timeout_seconds":                             "60",
			"client_keep_alive.seconds":                                "3600",
			"routing.http2.enabled":                                    "true",
			"routing.http.desync_mitigation_mode":                      "defensive",
			"routing.http.drop_invalid_header_fields.enabled":          "false",
			"routing.http.preserve_host_header.enabled":                "false",
			"routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
			"routing.http.xff_client_port.enabled":                     "false",
			"routing.http.xff_header_processing.mode":                  "append",
			"waf.fail_open.enabled":                                    "false",
			"connection_logs.s3.enabled":                               "false",
			"connection_logs.s3.bucket":                                "",
			"connection_logs.s3.prefix":                                "",
		})
	}
	return all
}

// SetGroupAttributes changes attributes of a target group, as a person does.
// Where new flows go follows at once.
func (r *Region) SetGroupAttributes(arn fleet.TargetGroupARN, changes map[string]string) error {
	return r.change(func() error {
		g := r.groupARNs[arn]
		if g == nil {
			return fmt.Errorf("set attributes of target group %s: there is none", arn)
		}
		return g.setAttributes(changes)
	})
}

func (g *targetGroup) setAttributes(changes map[string]string) error {
	was := g.attributes
	g.attributes = maps.Clone(was)
	maps.Copy(g.attributes, changes)
	err := g.readAttributes()
	for key, value := range changes {
		if old, known := was[key]; !known || isBool(old) && !isBool(value) {
			err = fmt.Errorf("attribute %q cannot be %q", key, value)
		}
	}
	if err != nil {
		g.attributes = was
		_ = g.readAttributes() // they were good
		return fmt.Errorf("set attributes of target group %s: %w", g.name, err)
	}
	g.touch()
	g.reroute()
	return nil
}

// isBool: attributes that are one thing or the other, and cross-zone's third word.
func isBool(value string) bool { return isOneOf(value, "true false use_load_balancer_configuration") }

// SetBalancerAttributes changes attributes of a load balancer, as a person does.
// An application one shares its zones whatever anybody sets.
func (r *Region) SetBalancerAttributes(arn string, changes map[string]string) error {
	return r.change(func() error {
		at := slices.IndexFunc(r.balancers, func(b *balancer) bool { return b.arn == arn })
		if at < 0 {
			return fmt.Errorf("set attributes of load balancer %s: there is none", arn)
		}
		return r.balancers[at].setAttributes(changes)
	})
}

func (b *balancer) setAttributes(changes map[string]string) error {
	for key, value := range changes {
		if old, known := b.attributes[key]; !known || isBool(old) && !isBool(value) || key == crossZoneAttribute && b.kind == Application && value != "true" {
			return fmt.Errorf("set attributes of load balancer %s: %s cannot be %q", b.name, key, value)
		}
	}
	maps.Copy(b.attributes, changes)
	for _, g := range b.groups {
		g.touch()
		g.reroute()
	}
	return nil
}

type attributesXML struct {
	Attributes membersXML[attributeXML]
}

// attributesOf writes attributes in a fixed order.
func attributesOf(attributes map[string]string) attributesXML {
	var x attributesXML
	for _, t := range tagsJSON(attributes) {
		x.Attributes.Members = append(x.Attributes.Members, attributeXML(t))
	}
	return x
}

func (r *Region) describeAttributes(form url.Values) (any, *apiError) {
	g, err := r.groupNamed(form)
	if err != nil {
		return nil, err
	}
	return attributesOf(g.attributes), nil
}

// changed are the attributes that a request sets.
func changed(form url.Values) map[string]string {
	changes := map[string]string{}
	for _, p := range pairs(form, "Attributes") {
		changes[p.Key] = p.Value
	}
	return changes
}

func (r *Region) modifyAttributes(form url.Values) (any, *apiError) {
	g, err := r.groupNamed(form)
	if err != nil {
		return nil, err
	}
	if err := g.setAttributes(changed(form)); err != nil {
		return nil, invalid("ValidationError", "%s", err)
	}
	return attributesOf(g.attributes), nil
}

func (r *Region) balancerNamed(form url.Values) (*balancer, *apiError) {
	arn := form.Get("LoadBalancerArn")
	if arn == "" {
		return nil, invalid("ValidationError", "1 validation error detected: Value null at 'loadBalancerArn' failed to satisfy constraint: Member must not be null")
	}
	for _, b := range r.balancers {
		if b.arn == arn {
			return b, nil
		}
	}
	return nil, invalid("LoadBalancerNotFound", "One or more load balancers not found")
}

func (r *Region) describeBalancerAttributes(form url.Values) (any, *apiError) {
	b, err := r.balancerNamed(form)
	if err != nil {
		return nil, err
	}
	return attributesOf(b.attributes), nil
}

func (r *Region) modifyBalancerAttributes(form url.Values) (any, *apiError) {
	b, err := r.balancerNamed(form)
	if err != nil {
		return nil, err
	}
	if err := b.setAttributes(changed(form)); err != nil {
		return nil, invalid("ValidationError", "%s", err)
	}
	return attributesOf(b.attributes), nil
}
