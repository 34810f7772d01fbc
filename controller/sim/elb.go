package sim

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

const (
	elbNamespace = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
)

// elb answers one request of ELBv2's query protocol.
func (r *Region) elb(c *call) reply {
	switch c.operation {
	case "RegisterTargets", "DeregisterTargets":
		return r.elbChangeTargets(c)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	var out any
	var err *apiError
	switch c.operation {
	case "DescribeTargetGroups":
		out, err = r.describeTargetGroups(c.form)
	case "DescribeTargetHealth":
		out, err = r.describeTargetHealth(c.form)
	case "DescribeTargetGroupAttributes":
		out, err = r.describeAttributes(c.form)
	case "DescribeTags":
		out, err = r.describeTags(c.form)
	case "DescribeLoadBalancers":
		out, err = r.describeLoadBalancers(c.form)
	default:
		err = invalid("InvalidAction", "Could not find operation %s for version 2015-12-01", c.operation)
	}
	if err != nil {
		return queryError(c, err)
	}
	return queryReply(c, elbNamespace, out)
}

// queryReply wraps a result as the query protocols do.
func queryReply(c *call, namespace string, out any) reply {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<%sResponse xmlns="%s">`, c.operation, namespace)
	result := xml.StartElement{Name: xml.Name{Local: c.operation + "Result"}}
	enc := xml.NewEncoder(&b)
	if err := enc.EncodeElement(out, result); err != nil {
		return queryError(c, &apiError{http.StatusInternalServerError, "InternalFailure", err.Error()})
	}
	fmt.Fprintf(&b, `<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>`, c.id, c.operation)
	return reply{http.StatusOK, "text/xml", b.Bytes()}
}

func queryError(c *call, e *apiError) reply {
	namespace, who := elbNamespace, "Sender"
	if c.service == STS {
		namespace = stsNamespace
	}
	if e.status >= http.StatusInternalServerError {
		who = "Receiver"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<ErrorResponse xmlns="%s"><Error><Type>%s</Type><Code>%s</Code><Message>`, namespace, who, e.code)
	_ = xml.EscapeText(&b, []byte(e.message)) // a Buffer takes everything
	fmt.Fprintf(&b, `</Message></Error><RequestId>%s</RequestId></ErrorResponse>`, c.id)
	return reply{e.status, "text/xml", b.Bytes()}
}

// members reads a list argument: NAME.member.1, NAME.member.2, …
func members(form url.Values, name string) []string {
	var list []string
	for i := 1; ; i++ {
		v, ok := form[name+".member."+strconv.Itoa(i)]
		if !ok {
			return list
		}
		list = append(list, v[0])
	}
}

// wanted is one Targets.member.N of a request.
type wanted struct {
	id   string
	port int // 0: not given
	zone string
}

func targets(form url.Values) ([]wanted, *apiError) {
	var list []wanted
	for i := 1; ; i++ {
		prefix := "Targets.member." + strconv.Itoa(i) + "."
		w := wanted{id: form.Get(prefix + "Id"), zone: form.Get(prefix + "AvailabilityZone")}
		port := form.Get(prefix + "Port")
		if w.id == "" && port == "" && w.zone == "" {
			return list, nil
		}
		if w.id == "" {
			return nil, invalid("ValidationError", "1 validation error detected: Value null at 'targets.%d.member.id' failed to satisfy constraint: Member must not be null", i)
		}
		if port != "" {
			var err error
			if w.port, err = strconv.Atoi(port); err != nil || w.port < 1 || w.port > 65535 {
				return nil, invalid("ValidationError", "The port '%s' is not valid", port)
			}
		}
		list = append(list, w)
	}
}

func (r *Region) groupNamed(form url.Values) (*targetGroup, *apiError) {
	arn := form.Get("TargetGroupArn")
	if arn == "" {
		return nil, invalid("ValidationError", "1 validation error detected: Value null at 'targetGroupArn' failed to satisfy constraint: Member must not be null")
	}
	g := r.groupARNs[fleet.TargetGroupARN(arn)]
	if g == nil {
		return nil, invalid("TargetGroupNotFound", "One or more target groups not found")
	}
	return g, nil
}

type attributeXML struct {
	Key   string
	Value string
}

func (r *Region) describeAttributes(form url.Values) (any, *apiError) {
	g, err := r.groupNamed(form)
	if err != nil {
		return nil, err
	}
	out := struct {
		Attributes []attributeXML `xml:"Attributes>member"`
	}{}
	for _, t := range tagsJSON(g.attributes) {
		out.Attributes = append(out.Attributes, attributeXML{t.Key, t.Value})
	}
	return out, nil
}

type matcherXML struct {
	HTTPCode string `xml:"HttpCode"`
}

type groupXML struct {
	ARN                string `xml:"TargetGroupArn"`
	Name               string `xml:"TargetGroupName"`
	Protocol           string
	Port               int
	VpcID              string      `xml:"VpcId"`
	CheckProtocol      string      `xml:"HealthCheckProtocol"`
	CheckPort          string      `xml:"HealthCheckPort"`
	CheckEnabled       bool        `xml:"HealthCheckEnabled"`
	CheckInterval      int         `xml:"HealthCheckIntervalSeconds"`
	CheckTimeout       int         `xml:"HealthCheckTimeoutSeconds"`
	HealthyThreshold   int         `xml:"HealthyThresholdCount"`
	UnhealthyThreshold int         `xml:"UnhealthyThresholdCount"`
	CheckPath          string      `xml:"HealthCheckPath,omitempty"`
	Matcher            *matcherXML `xml:",omitempty"`
	LoadBalancers      struct {
		ARNs []string `xml:"member"`
	} `xml:"LoadBalancerArns"`
	TargetType    string
	IPAddressType string `xml:"IpAddressType"`
}

func (g *targetGroup) xml() groupXML {
	x := groupXML{
		ARN: string(g.arn), Name: g.name, Protocol: g.protocol, Port: g.port, VpcID: "vpc-00000000000000000",
		CheckProtocol: g.check.Protocol, CheckPort: g.check.Port, CheckEnabled: true,
		CheckInterval: int(g.check.Interval / time.Second), CheckTimeout: int(g.check.Timeout / time.Second),
		HealthyThreshold: g.check.HealthyThreshold, UnhealthyThreshold: g.check.UnhealthyThreshold,
		TargetType: g.targetType, IPAddressType: g.ipType,
	}
	if g.check.Protocol != "TCP" {
		x.CheckPath, x.Matcher = "/", &matcherXML{"200-399"}
	}
	if g.balancer != nil {
		x.LoadBalancers.ARNs = []string{g.balancer.arn}
	}
	return x
}

// elbPage finds the part of n things that a request with Marker and PageSize
// asks for.
func elbPage(form url.Values, n int) (from, to int, err *apiError) {
	size := 400
	if s := form.Get("PageSize"); s != "" {
		var bad error
		if size, bad = strconv.Atoi(s); bad != nil || size < 1 || size > 400 {
			return 0, 0, invalid("ValidationError", "PageSize must be between 1 and 400")
		}
	}
	if m := form.Get("Marker"); m != "" {
		var bad error
		if from, bad = strconv.Atoi(m); bad != nil || from < 0 {
			return 0, 0, invalid("ValidationError", "Invalid marker")
		}
	}
	from = min(from, n)
	return from, min(from+size, n), nil
}

func marker(to, n int) string {
	if to < n {
		return strconv.Itoa(to)
	}
	return ""
}

func (r *Region) describeTargetGroups(form url.Values) (any, *apiError) {
	arns, names, balancer := members(form, "TargetGroupArns"), members(form, "Names"), form.Get("LoadBalancerArn")
	groups := slices.DeleteFunc(slices.Clone(r.groups), func(g *targetGroup) bool {
		return len(arns) > 0 && !slices.Contains(arns, string(g.arn)) || len(names) > 0 && !slices.Contains(names, g.name) ||
			balancer != "" && (g.balancer == nil || g.balancer.arn != balancer)
	})
	for _, list := range [][]string{arns, names} {
		if len(list) > len(groups) {
			return nil, invalid("TargetGroupNotFound", "One or more target groups not found")
		}
	}
	from, to, err := elbPage(form, len(groups))
	if err != nil {
		return nil, err
	}
	out := struct {
		Groups     []groupXML `xml:"TargetGroups>member"`
		NextMarker string     `xml:",omitempty"`
	}{NextMarker: marker(to, len(groups))}
	for _, g := range groups[from:to] {
		out.Groups = append(out.Groups, g.xml())
	}
	return out, nil
}

type targetXML struct {
	ID   string `xml:"Id"`
	Port int
	Zone string `xml:"AvailabilityZone,omitempty"`
}

type healthXML struct {
	State       string
	Reason      string `xml:",omitempty"`
	Description string `xml:",omitempty"`
}

type rowXML struct {
	Target    targetXML
	CheckPort string    `xml:"HealthCheckPort,omitempty"`
	Health    healthXML `xml:"TargetHealth"`
	Override  struct {
		State       string
		Reason      string
		Description string
	} `xml:"AdministrativeOverride"`
}

var descriptions = map[string]string{
	reasonRegistering:    "Target registration is in progress",
	reasonInitialChecks:  "Initial health checks in progress",
	reasonFailedChecks:   "Health checks failed",
	reasonNotRegistered:  "Target is not registered to the target group",
	reasonNotInUse:       "Target group is not configured to receive traffic from the load balancer",
	reasonDeregistration: "Target deregistration is in progress",
}

func (g *targetGroup) rowXML(key fleet.TargetKey, zone string, state fleet.TargetState, reason string) rowXML {
	x := rowXML{
		Target: targetXML{key.ID, key.Port, zone}, CheckPort: g.check.Port,
		Health: healthXML{string(state), reason, descriptions[reason]},
	}
	if g.check.Port == "traffic-port" {
		x.CheckPort = strconv.Itoa(key.Port)
	}
	x.Override.State, x.Override.Reason = fleet.NoOverride, "AdministrativeOverride.NoOverride"
	x.Override.Description = "No override is currently active on target"
	return x
}

func (r *Region) describeTargetHealth(form url.Values) (any, *apiError) {
	g, err := r.groupNamed(form)
	if err != nil {
		return nil, err
	}
	asked, err := targets(form)
	if err != nil {
		return nil, err
	}
	out := struct {
		Rows []rowXML `xml:"TargetHealthDescriptions>member"`
	}{}
	if len(asked) == 0 {
		for _, w := range g.order {
			out.Rows = append(out.Rows, g.rowXML(w.key, w.zone, w.state, w.reason))
		}
		return out, nil
	}
	for _, a := range asked {
		key := g.keyOf(a)
		// Asked for with another zone, a target reads as absent (user:
		// aws-load-balancer-controller PR 4544).
		if w := g.rows[key]; w != nil && (a.zone == "" || a.zone == w.zone) {
			out.Rows = append(out.Rows, g.rowXML(w.key, w.zone, w.state, w.reason))
			continue
		}
		out.Rows = append(out.Rows, g.rowXML(key, a.zone, fleet.TargetUnused, reasonNotRegistered))
	}
	return out, nil
}

// keyOf is the row that a request means; without a port, the group's own.
func (g *targetGroup) keyOf(a wanted) fleet.TargetKey {
	if a.port == 0 {
		a.port = g.port
	}
	return fleet.NewTargetKey(g.arn, a.id, a.port)
}

// elbChangeTargets registers or deregisters, at the next whole millisecond.
// Deregistering what is absent succeeds and does nothing; so it goes with a
// target registered on another port than the group's when no port is given.
func (r *Region) elbChangeTargets(c *call) reply {
	rep := queryReply(c, elbNamespace, struct{}{})
	_ = r.change(func() error {
		g, err := r.groupNamed(c.form)
		if err != nil {
			rep = queryError(c, err)
			return nil
		}
		asked, err := targets(c.form)
		if err == nil && len(asked) == 0 {
			err = invalid("ValidationError", "1 validation error detected: Value null at 'targets' failed to satisfy constraint: Member must not be null")
		}
		for i := 0; err == nil && i < len(asked); i++ {
			err = g.accepts(asked[i])
		}
		if err != nil {
			rep = queryError(c, err)
			return nil
		}
		for _, a := range asked {
			key := g.keyOf(a)
			if c.operation == "DeregisterTargets" {
				g.deregister(key, ByAPI)
				continue
			}
			zone, t := a.zone, r.claimant(key)
			if t != nil {
				zone = t.zone
			}
			g.register(key, zone, t)
		}
		return nil
	})
	return rep
}

// accepts holds a target's id to the group's type.
func (g *targetGroup) accepts(a wanted) *apiError {
	if g.targetType == fleet.TargetTypeInstance {
		if g.region.hosts[a.id] == nil {
			return invalid("InvalidTarget", "The following targets are not in a running state and cannot be registered: '%s'", a.id)
		}
		return nil
	}
	addr, err := netip.ParseAddr(a.id)
	if err != nil || addr.Is6() != (g.ipType == "ipv6") {
		return invalid("ValidationError", "The IP address '%s' is not a valid %s address", a.id, g.ipType)
	}
	return nil
}

type tagsXML struct {
	ARN  string         `xml:"ResourceArn"`
	Tags []attributeXML `xml:"Tags>member"`
}

func (r *Region) describeTags(form url.Values) (any, *apiError) {
	arns := members(form, "ResourceArns")
	if len(arns) == 0 || len(arns) > 20 {
		return nil, invalid("ValidationError", "1 to 20 resource ARNs can be described at a time")
	}
	out := struct {
		Descriptions []tagsXML `xml:"TagDescriptions>member"`
	}{}
	for _, arn := range arns {
		x := tagsXML{ARN: arn}
		if g := r.groupARNs[fleet.TargetGroupARN(arn)]; g != nil {
			for _, t := range tagsJSON(g.tags) {
				x.Tags = append(x.Tags, attributeXML{t.Key, t.Value})
			}
		} else if !slices.ContainsFunc(r.balancers, func(b *balancer) bool { return b.arn == arn }) {
			return nil, invalid("TargetGroupNotFound", "One or more target groups not found")
		}
		out.Descriptions = append(out.Descriptions, x)
	}
	return out, nil
}

type balancerXML struct {
	ARN     string `xml:"LoadBalancerArn"`
	DNSName string
	Created string `xml:"CreatedTime"`
	Name    string `xml:"LoadBalancerName"`
	Scheme  string
	VpcID   string `xml:"VpcId"`
	State   struct{ Code string }
	Type    string
	Zones   []zoneXML `xml:"AvailabilityZones>member"`
	IPType  string    `xml:"IpAddressType"`
}

type zoneXML struct {
	ZoneName string
	SubnetID string `xml:"SubnetId"`
}

func (r *Region) describeLoadBalancers(form url.Values) (any, *apiError) {
	arns, names := members(form, "LoadBalancerArns"), members(form, "Names")
	list := slices.DeleteFunc(slices.Clone(r.balancers), func(b *balancer) bool {
		return len(arns) > 0 && !slices.Contains(arns, b.arn) || len(names) > 0 && !slices.Contains(names, b.name)
	})
	if len(arns) > len(list) || len(names) > len(list) {
		return nil, invalid("LoadBalancerNotFound", "One or more load balancers not found")
	}
	from, to, err := elbPage(form, len(list))
	if err != nil {
		return nil, err
	}
	out := struct {
		Balancers  []balancerXML `xml:"LoadBalancers>member"`
		NextMarker string        `xml:",omitempty"`
	}{NextMarker: marker(to, len(list))}
	for _, b := range list[from:to] {
		x := balancerXML{
			ARN: b.arn, DNSName: b.name + ".elb." + RegionName + ".amazonaws.com", Name: b.name, Scheme: "internal",
			Created: b.created.Format("2006-01-02T15:04:05.000Z"), VpcID: "vpc-00000000000000000", Type: "network", IPType: "ipv4",
		}
		x.State.Code = "active"
		for _, z := range zones {
			x.Zones = append(x.Zones, zoneXML{z, subnet(z)})
		}
		out.Balancers = append(out.Balancers, x)
	}
	return out, nil
}
