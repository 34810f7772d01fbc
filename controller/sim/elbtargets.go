package sim

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// The operations that change a group's targets.
const (
	registerTargets   = "RegisterTargets"
	deregisterTargets = "DeregisterTargets"
)

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

type targetXML struct {
	ID   string `xml:"Id"`
	Port int    `xml:",omitempty"`
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
	reasonTimeout:        "Request timed out",
	reasonCheckDisabled:  "Health checks are disabled for this target",
	reasonIPUnusable:     "The IP address cannot be used as a target",
	reasonInvalidState:   "Target is in the stopped state",
	reasonInternal:       "An internal error occurred",
}

func (g *targetGroup) rowXML(key fleet.TargetKey, zone string, state fleet.TargetState, reason, why string) rowXML {
	x := rowXML{
		Target: targetXML{key.ID, key.Port, zone}, CheckPort: g.check.Port,
		Health: healthXML{string(state), reason, cmp.Or(why, descriptions[reason])},
	}
	switch {
	case g.targetType == targetTypeLambda:
		x.CheckPort = ""
	case g.check.Port == "traffic-port":
		x.CheckPort = strconv.Itoa(key.Port)
	}
	x.Override.State, x.Override.Reason, x.Override.Description = g.override(zone)
	return x
}

// xml is the row as the API has it.
func (w *row) xml(g *targetGroup) rowXML {
	if w.said != nil {
		return g.rowXML(w.key, w.zone, w.said.state, w.said.reason, "")
	}
	return g.rowXML(w.key, w.zone, w.state, w.reason, w.why)
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
	shown := g.shown(r.asked("DescribeTargetHealth"))
	if shown == nil {
		shown = new(state[[]rowXML])
	}
	if len(asked) == 0 {
		var out struct {
			Rows struct {
				Text []byte `xml:",innerxml"`
			} `xml:"TargetHealthDescriptions"`
		}
		out.Rows.Text = shown.text(rowsText)
		return out, nil
	}
	var out struct {
		Rows membersXML[rowXML] `xml:"TargetHealthDescriptions"`
	}
	for _, a := range asked {
		key := g.keyOf(a)
		// Asked for with another zone, a target reads as absent (user:
		// aws-load-balancer-controller PR 4544).
		if i := slices.IndexFunc(shown.value, func(x rowXML) bool {
			return x.Target.ID == key.ID && x.Target.Port == key.Port && (a.zone == "" || a.zone == x.Target.Zone)
		}); i >= 0 {
			out.Rows.Members = append(out.Rows.Members, shown.value[i])
			continue
		}
		out.Rows.Members = append(out.Rows.Members, g.rowXML(key, a.zone, fleet.TargetUnused, reasonNotRegistered, ""))
	}
	return out, nil
}

// rowsText is the list of rows as XML.
func rowsText(rows []rowXML) []byte {
	var b bytes.Buffer
	enc := xml.NewEncoder(&b)
	for _, x := range rows {
		if err := enc.EncodeElement(x, xml.StartElement{Name: xml.Name{Local: "member"}}); err != nil {
			panic(err) // there is nothing in a row that XML cannot say
		}
	}
	return b.Bytes()
}

// keyOf is the row that a request means; without a port, the group's own.
func (g *targetGroup) keyOf(a wanted) fleet.TargetKey {
	if a.port == 0 && g.targetType != targetTypeLambda {
		a.port = g.port
	}
	return fleet.NewTargetKey(g.arn, a.id, a.port)
}

// elbChangeTargets registers or deregisters. Deregistering what is absent succeeds
// and does nothing; so it goes with a target registered on another port than the
// group's when no port is given.
func (r *Region) elbChangeTargets(form url.Values) (any, *apiError) {
	g, err := r.groupNamed(form)
	if err != nil {
		return nil, err
	}
	asked, err := targets(form)
	if err != nil {
		return nil, err
	}
	return struct{}{}, g.changeTargets(form.Get("Action"), asked)
}

// changeTargets carries out RegisterTargets or DeregisterTargets: all of it or,
// with an error, nothing.
func (g *targetGroup) changeTargets(operation string, asked []wanted) *apiError {
	if len(asked) == 0 {
		return invalid("ValidationError", "1 validation error detected: Value null at 'targets' failed to satisfy constraint: Member must not be null")
	}
	for _, a := range asked {
		if err := g.accepts(a, operation == registerTargets); err != nil {
			return err
		}
	}
	if operation == registerTargets {
		if err := g.room(asked); err != nil {
			return err
		}
	}
	r := g.region
	r.tell(operation, g, asked)
	for _, a := range asked {
		key := g.keyOf(a)
		if operation == deregisterTargets {
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
}

// accepts holds a target's id to the group's type. What is to be registered must
// exist as well.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetDescription.html
func (g *targetGroup) accepts(a wanted, register bool) *apiError {
	switch g.targetType {
	case fleet.TargetTypeInstance:
		if register && g.region.hosts[a.id] == nil {
			return invalid("InvalidTarget", "The following targets are not in a running state and cannot be registered: '%s'", a.id)
		}
		return nil
	case fleet.TargetTypeALB:
		return g.acceptsBalancer(a, register)
	case targetTypeLambda:
		return g.acceptsFunction(a, register)
	}
	addr, err := netip.ParseAddr(a.id)
	if err != nil || addr.Is6() != (g.ipType == "ipv6") {
		return invalid("ValidationError", "The IP address '%s' is not a valid %s address", a.id, g.ipType)
	}
	if zone := a.zone; register && zone != "" && zone != "all" && !slices.Contains(zones[:], zone) {
		return invalid("ValidationError", "The Availability Zone '%s' is not valid", zone)
	}
	return nil
}

// acceptsBalancer: a group of type alb has one target, a load balancer that has
// a listener on the group's port.
func (g *targetGroup) acceptsBalancer(a wanted, register bool) *apiError {
	b := g.region.balancerOf(fleet.TargetKey{ID: a.id})
	switch {
	case !strings.Contains(a.id, ":loadbalancer/app/"):
		return invalid("ValidationError", "'%s' is not the ARN of an Application Load Balancer", a.id)
	case !register:
		return nil
	case b == nil:
		return invalid("InvalidTarget", "The load balancer '%s' does not exist", a.id)
	case a.port != 0 && a.port != g.port:
		return invalid("InvalidTarget", "The port of a target group of type 'alb' must be the target's")
	case len(g.rows) > 0 && g.rows[g.keyOf(a)] == nil:
		return invalid("TooManyTargets", "A target group of type 'alb' can have one target only")
	}
	return nil
}

// acceptsFunction: a group of type lambda has one function, which has neither a
// port nor a zone.
func (g *targetGroup) acceptsFunction(a wanted, register bool) *apiError {
	switch {
	case !strings.HasPrefix(a.id, "arn:aws:lambda:"+RegionName+":"):
		return invalid("ValidationError", "'%s' is not the ARN of a Lambda function in %s", a.id, RegionName)
	case a.port != 0:
		return invalid("ValidationError", "A port cannot be specified for a target of type 'lambda'")
	case a.zone != "" && a.zone != "all":
		return invalid("ValidationError", "An Availability Zone cannot be specified for a target of type 'lambda'")
	case register && len(g.rows) > 0 && g.rows[g.keyOf(a)] == nil:
		return invalid("TooManyTargets", "A target group of type 'lambda' can have one target only")
	}
	return nil
}

// maxTargets is how many targets a group can have.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-limits.html
const maxTargets = 1000

// room refuses more new targets than the group can have.
func (g *targetGroup) room(asked []wanted) *apiError {
	fresh := map[fleet.TargetKey]bool{}
	for _, a := range asked {
		if key := g.keyOf(a); g.rows[key] == nil {
			fresh[key] = true
		}
	}
	if len(fresh) > 0 && len(g.rows)+len(fresh) > maxTargets {
		return invalid("TooManyTargets", "The maximum number of targets per target group has been reached")
	}
	return nil
}
