package sim

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

const (
	elbNamespace = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
)

// elbOperation is one that the region answers.
type elbOperation struct {
	members string // of its request, all of them; N stands for any number
	answer  func(*Region, url.Values) (any, *apiError)
	changes bool // the region, so that it takes effect on the next whole millisecond
}

// elbOperations are those that castoff calls, and those next to them.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_Operations.html
var elbOperations = map[string]elbOperation{
	"AddTags":                        {"ResourceArns.member.N Tags.member.N.Key Tags.member.N.Value", (*Region).addTags, true},
	"DescribeListeners":              {"ListenerArns.member.N LoadBalancerArn Marker PageSize", (*Region).describeListeners, false},
	"DescribeLoadBalancerAttributes": {"LoadBalancerArn", (*Region).describeBalancerAttributes, false},
	"DescribeLoadBalancers":          {"LoadBalancerArns.member.N Names.member.N Marker PageSize", (*Region).describeLoadBalancers, false},
	"DescribeTags":                   {"ResourceArns.member.N", (*Region).describeTags, false},
	"DescribeTargetGroupAttributes":  {"TargetGroupArn", (*Region).describeAttributes, false},
	"DescribeTargetGroups":           {"LoadBalancerArn TargetGroupArns.member.N Names.member.N Marker PageSize", (*Region).describeTargetGroups, false},
	"DescribeTargetHealth":           {"TargetGroupArn Include.member.N " + elbTargets, (*Region).describeTargetHealth, false},
	deregisterTargets:                {"TargetGroupArn " + elbTargets, (*Region).elbChangeTargets, true},
	"ModifyLoadBalancerAttributes":   {"LoadBalancerArn " + elbAttributes, (*Region).modifyBalancerAttributes, true},
	"ModifyTargetGroupAttributes":    {"TargetGroupArn " + elbAttributes, (*Region).modifyAttributes, true},
	registerTargets:                  {"TargetGroupArn " + elbTargets, (*Region).elbChangeTargets, true},
	"RemoveTags":                     {"ResourceArns.member.N TagKeys.member.N", (*Region).removeTags, true},
}

const (
	elbTargets    = "Targets.member.N.Id Targets.member.N.Port Targets.member.N.AvailabilityZone Targets.member.N.QuicServerId"
	elbAttributes = "Attributes.member.N.Key Attributes.member.N.Value"
)

// unknownMember finds a member that is not among those of a request; empty when all
// are known. An empty list is sent by its name alone.
func unknownMember(members string, form url.Values) string {
	for _, name := range slices.Sorted(maps.Keys(form)) {
		parts := strings.Split(name, ".")
		for i, part := range parts {
			if _, err := strconv.Atoi(part); err == nil {
				parts[i] = "N"
			}
		}
		general := strings.Join(parts, ".")
		switch {
		case name == "Action", name == "Version", isOneOf(general, members):
		case form.Get(name) == "" && strings.Contains(" "+members, " "+general+".member."):
		default:
			return name
		}
	}
	return ""
}

// elb answers one request of ELBv2's query protocol.
func (r *Region) elb(c *call) reply {
	op, known := elbOperations[c.operation]
	if !known {
		return queryError(c, invalid("InvalidAction", "Could not find operation %s for version 2015-12-01", c.operation))
	}
	if name := unknownMember(op.members, c.form); name != "" && !r.params.IgnoreUnknownMembers {
		return queryError(c, invalid("InvalidQueryParameter", "unknown member %q", name))
	}
	var rep reply
	answer := func() error {
		r.userAgent = c.userAgent
		if out, err := op.answer(r, c.form); err != nil {
			rep = queryError(c, err)
		} else {
			rep = queryReply(c, elbNamespace, out)
		}
		return nil
	}
	if op.changes {
		_ = r.change(answer)
		return rep
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	_ = answer()
	return rep
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
	return numbered(form, name+".member")
}

// pairs reads a list argument of keys and values.
func pairs(form url.Values, name string) []attributeXML {
	var list []attributeXML
	for i := 1; ; i++ {
		at := name + ".member." + strconv.Itoa(i)
		key, ok := form[at+".Key"]
		if !ok {
			return list
		}
		list = append(list, attributeXML{key[0], form.Get(at + ".Value")})
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

type matcherXML struct {
	HTTPCode string `xml:"HttpCode,omitempty"`
	GRPCCode string `xml:"GrpcCode,omitempty"`
}

type groupXML struct {
	ARN                string      `xml:"TargetGroupArn"`
	Name               string      `xml:"TargetGroupName"`
	Protocol           string      `xml:",omitempty"`
	ProtocolVersion    string      `xml:",omitempty"`
	Port               int         `xml:",omitempty"`
	VpcID              string      `xml:"VpcId,omitempty"`
	CheckProtocol      string      `xml:"HealthCheckProtocol,omitempty"`
	CheckPort          string      `xml:"HealthCheckPort,omitempty"`
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
	IPAddressType string `xml:"IpAddressType,omitempty"`
}

func (g *targetGroup) xml() groupXML {
	x := groupXML{
		ARN: string(g.arn), Name: g.name, CheckEnabled: true,
		CheckInterval: int(g.check.Interval / time.Second), CheckTimeout: int(g.check.Timeout / time.Second),
		HealthyThreshold: g.check.HealthyThreshold, UnhealthyThreshold: g.check.UnhealthyThreshold,
		TargetType: g.targetType,
	}
	if g.check.Protocol != "TCP" {
		x.CheckPath, x.Matcher = "/", &matcherXML{HTTPCode: "200-399"}
		switch {
		case g.version == "GRPC":
			x.CheckPath, x.Matcher = "/AWS.ALB/healthcheck", &matcherXML{GRPCCode: "12"}
		case g.kind == Application:
			x.Matcher = &matcherXML{HTTPCode: "200"}
		}
	}
	if g.targetType == targetTypeLambda {
		x.CheckEnabled = false
	} else {
		x.Protocol, x.ProtocolVersion, x.Port, x.VpcID = g.protocol, g.version, g.port, vpcID
		x.CheckProtocol, x.CheckPort, x.IPAddressType = g.check.Protocol, g.check.Port, g.ipType
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
		Groups     membersXML[groupXML] `xml:"TargetGroups"`
		NextMarker string               `xml:",omitempty"`
	}{NextMarker: marker(to, len(groups))}
	for _, g := range groups[from:to] {
		out.Groups.Members = append(out.Groups.Members, g.xml())
	}
	return out, nil
}

// membersXML is a list that is there when it is empty too, as ELBv2 writes it.
type membersXML[T any] struct {
	Members []T `xml:"member"`
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
			Created: b.created.Format("2006-01-02T15:04:05.000Z"), VpcID: vpcID, Type: b.kind, IPType: "ipv4",
		}
		x.State.Code = "active"
		for _, z := range b.zones {
			x.Zones = append(x.Zones, zoneXML{z, subnet(z)})
		}
		out.Balancers = append(out.Balancers, x)
	}
	return out, nil
}
