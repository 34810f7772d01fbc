package replay

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	elbNamespace      = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"
	stsNamespace      = "https://sts.amazonaws.com/doc/2011-06-15/"
	registerTargets   = "RegisterTargets"
	deregisterTargets = "DeregisterTargets"
)

// queryReply is a result as the query protocols write it.
func (w *World) queryReply(q *request, namespace string, result map[string]any) reply {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<%[1]sResponse xmlns="%s"><%[1]sResult>`, q.op, namespace)
	for _, name := range slices.Sorted(maps.Keys(result)) {
		element(&b, name, result[name])
	}
	fmt.Fprintf(&b, `</%[1]sResult><ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%[1]sResponse>`, q.op, w.id())
	return reply{status: http.StatusOK, header: map[string]string{"Content-Type": "text/xml"}, body: b.Bytes()}
}

func (w *World) queryError(code, message string) reply {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<ErrorResponse xmlns="%s"><Error>`, elbNamespace)
	element(&b, "Type", "Sender")
	element(&b, "Code", code)
	element(&b, "Message", message)
	fmt.Fprintf(&b, `</Error><RequestId>%s</RequestId></ErrorResponse>`, w.id())
	return reply{status: http.StatusBadRequest, header: map[string]string{"Content-Type": "text/xml"}, body: b.Bytes()}
}

// element writes a value of JSON as the query protocols write it: the items of a
// list are members.
func element(b *bytes.Buffer, name string, value any) {
	if value == nil {
		return
	}
	fmt.Fprintf(b, "<%s>", name)
	switch v := value.(type) {
	case map[string]any:
		for _, below := range slices.Sorted(maps.Keys(v)) {
			element(b, below, v[below])
		}
	case []any:
		for _, item := range v {
			element(b, "member", item)
		}
	default:
		_ = xml.EscapeText(b, fmt.Append(nil, v)) // a Buffer takes everything
	}
	fmt.Fprintf(b, "</%s>", name)
}

// members are the items of a list in a query.
func members(form url.Values, name string) []string {
	var found []string
	for i := 1; form.Has(fmt.Sprintf("%s.member.%d", name, i)); i++ {
		found = append(found, form.Get(fmt.Sprintf("%s.member.%d", name, i)))
	}
	return found
}

// asked is a target in a query.
type asked struct{ id, port, zone string }

func targetsOf(form url.Values) []asked {
	var found []asked
	for i := 1; form.Has(fmt.Sprintf("Targets.member.%d.Id", i)); i++ {
		at := fmt.Sprintf("Targets.member.%d.", i)
		found = append(found, asked{form.Get(at + "Id"), form.Get(at + "Port"), form.Get(at + "AvailabilityZone")})
	}
	return found
}

// groupName is the name in a target group's ARN: targetgroup/NAME/ID.
func groupName(arn string) string {
	if parts := strings.Split(arn, "/"); len(parts) == 3 {
		return parts[1]
	}
	return arn
}

// elb answers one request of ELBv2's query protocol.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_Operations.html
func (w *World) elb(q *request) reply {
	var result map[string]any
	var refused *reply
	arn := q.form.Get("TargetGroupArn")
	if needs := slices.Contains([]string{"DescribeTargetHealth", "DescribeTargetGroupAttributes", registerTargets, deregisterTargets}, q.op); needs && w.group(arn) == nil {
		return w.queryError("TargetGroupNotFound", "One or more target groups not found")
	}
	switch q.op {
	case "DescribeTargetGroups":
		result, refused = w.targetGroups(q.form)
	case "DescribeTargetHealth":
		result = map[string]any{"TargetHealthDescriptions": w.targetHealth(arn, targetsOf(q.form))}
	case "DescribeTargetGroupAttributes":
		result = map[string]any{"Attributes": pairs(w.attributes(arn))}
	case "DescribeTags":
		result, refused = w.describeTags(members(q.form, "ResourceArns"))
	case "DescribeLoadBalancers":
		result, refused = w.describeBalancers(q.form)
	case "DescribeLoadBalancerAttributes":
		result, refused = w.balancerAttributes(q.form.Get("LoadBalancerArn"))
	case deregisterTargets:
		w.deregister(arn, targetsOf(q.form))
	case registerTargets:
		w.register(arn, targetsOf(q.form))
	default:
		return w.queryError("InvalidAction", "Could not find operation "+q.op+" for version 2015-12-01")
	}
	if refused != nil {
		return *refused
	}
	return w.queryReply(q, elbNamespace, result)
}

func (w *World) group(arn string) map[string]any {
	for _, g := range w.objects("targetGroups") {
		if text(g, "TargetGroupArn") == arn {
			return g
		}
	}
	return nil
}

// about is what a section has for an ARN; nil when it has nothing.
func (w *World) about(section, arn string) any {
	all, _ := w.document[section].(map[string]any)
	return all[arn]
}

// attributes are the document's; of a group that it has nothing about, AWS's defaults.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroupAttribute.html
func (w *World) attributes(group string) any {
	if given := w.about("attributes", group); given != nil {
		return given
	}
	return map[string]any{"deregistration_delay.timeout_seconds": "300", "load_balancing.cross_zone.enabled": "use_load_balancer_configuration"}
}

// pairs are the keys and values of an object as ELBv2 lists them. A list is one already.
func pairs(of any) []any {
	switch of := of.(type) {
	case []any:
		return of
	case map[string]any:
		list := []any{}
		for _, name := range slices.Sorted(maps.Keys(of)) {
			list = append(list, map[string]any{"Key": name, "Value": of[name]})
		}
		return list
	default:
		return []any{}
	}
}

func (w *World) targetGroups(form url.Values) (map[string]any, *reply) {
	arns, names, balancer := members(form, "TargetGroupArns"), members(form, "Names"), form.Get("LoadBalancerArn")
	found := []any{}
	for _, g := range w.objects("targetGroups") {
		balancers, _ := g["LoadBalancerArns"].([]any)
		if len(arns) > 0 && !slices.Contains(arns, text(g, "TargetGroupArn")) || len(names) > 0 && !slices.Contains(names, text(g, "TargetGroupName")) ||
			balancer != "" && !slices.Contains(balancers, any(balancer)) {
			continue
		}
		found = append(found, g)
	}
	if len(found) < max(len(arns), len(names)) {
		refused := w.queryError("TargetGroupNotFound", "One or more target groups not found")
		return nil, &refused
	}
	return map[string]any{"TargetGroups": found}, nil
}

// targetHealth are a group's rows; of those that are asked for, the ones that are not
// registered too.
func (w *World) targetHealth(group string, only []asked) []any {
	rows, _ := w.about("targetHealth", group).([]any)
	if len(only) == 0 {
		return rows
	}
	found := []any{}
	for _, t := range only {
		i := slices.IndexFunc(rows, t.is)
		if i < 0 {
			found = append(found, map[string]any{
				"Target":       map[string]any{"Id": t.id, "Port": t.port},
				"TargetHealth": map[string]any{"State": "unused", "Reason": "Target.NotRegistered", "Description": "Target is not registered to the target group"},
			})
			continue
		}
		found = append(found, rows[i])
	}
	return found
}

// is reports that a row is that of the target. Without a port it is any.
func (t asked) is(row any) bool {
	of, _ := row.(map[string]any)
	target, _ := of["Target"].(map[string]any)
	return text(target, "Id") == t.id && (t.port == "" || fmt.Sprint(target["Port"]) == t.port)
}

// deregister lets rows drain, for as long as the case leaves them. A target that is
// not there is no mistake.
func (w *World) deregister(group string, targets []asked) {
	rows, _ := w.about("targetHealth", group).([]any)
	for _, row := range rows {
		if slices.ContainsFunc(targets, func(t asked) bool { return t.is(row) }) {
			row.(map[string]any)["TargetHealth"] = map[string]any{
				"State": "draining", "Reason": "Target.DeregistrationInProgress", "Description": "Target deregistration is in progress",
			}
		}
	}
}

func (w *World) register(group string, targets []asked) {
	health, _ := w.document["targetHealth"].(map[string]any)
	if health == nil {
		health = map[string]any{}
		w.document["targetHealth"] = health
	}
	rows, _ := health[group].([]any)
	for _, t := range targets {
		initial := map[string]any{"State": "initial", "Reason": "Elb.RegistrationInProgress", "Description": "Target registration is in progress"}
		if i := slices.IndexFunc(rows, t.is); i >= 0 {
			rows[i].(map[string]any)["TargetHealth"] = initial
			continue
		}
		target := map[string]any{"Id": t.id, "Port": t.port}
		if t.zone != "" {
			target["AvailabilityZone"] = t.zone
		}
		rows = append(rows, map[string]any{"Target": target, "HealthCheckPort": t.port, "TargetHealth": initial})
	}
	health[group] = rows
}

func (w *World) describeTags(of []string) (map[string]any, *reply) {
	found := []any{}
	for _, arn := range of {
		if w.group(arn) == nil && !slices.ContainsFunc(w.balancers(), func(b map[string]any) bool { return text(b, "LoadBalancerArn") == arn }) {
			refused := w.queryError("TargetGroupNotFound", "One or more target groups not found")
			return nil, &refused
		}
		found = append(found, map[string]any{"ResourceArn": arn, "Tags": pairs(w.about("tags", arn))})
	}
	return map[string]any{"TagDescriptions": found}, nil
}

// balancers are the document's. Without a section of them they are those that the
// target groups name, of the kind that their ARNs say.
func (w *World) balancers() []map[string]any {
	if _, given := w.document["loadBalancers"]; given {
		return w.objects("loadBalancers")
	}
	var found []map[string]any
	seen := map[string]bool{}
	kinds := map[string]string{"net": "network", "app": "application", "gwy": "gateway"}
	for _, g := range w.objects("targetGroups") {
		named, _ := g["LoadBalancerArns"].([]any)
		for _, arn := range named {
			arn, _ := arn.(string)
			parts := strings.Split(arn, "/") // loadbalancer/net/NAME/ID
			if seen[arn] || len(parts) != 4 {
				continue
			}
			seen[arn] = true
			found = append(found, map[string]any{
				"LoadBalancerArn": arn, "LoadBalancerName": parts[2], "Type": kinds[parts[1]], "Scheme": "internal", "IpAddressType": "ipv4",
				"State": map[string]any{"Code": "active"},
			})
		}
	}
	return found
}

func (w *World) describeBalancers(form url.Values) (map[string]any, *reply) {
	arns, names := members(form, "LoadBalancerArns"), members(form, "Names")
	found := []any{}
	for _, b := range w.balancers() {
		if (len(arns) == 0 || slices.Contains(arns, text(b, "LoadBalancerArn"))) && (len(names) == 0 || slices.Contains(names, text(b, "LoadBalancerName"))) {
			found = append(found, b)
		}
	}
	if len(found) < max(len(arns), len(names)) {
		refused := w.queryError("LoadBalancerNotFound", "One or more load balancers not found")
		return nil, &refused
	}
	return map[string]any{"LoadBalancers": found}, nil
}

// balancerAttributes are the document's; without a section of them AWS's defaults.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html
func (w *World) balancerAttributes(arn string) (map[string]any, *reply) {
	i := slices.IndexFunc(w.balancers(), func(b map[string]any) bool { return text(b, "LoadBalancerArn") == arn })
	if i < 0 {
		refused := w.queryError("LoadBalancerNotFound", "One or more load balancers not found")
		return nil, &refused
	}
	given := w.about("loadBalancerAttributes", arn)
	if _, section := w.document["loadBalancerAttributes"]; !section {
		cross := text(w.balancers()[i], "Type") == "application"
		given = map[string]any{"deletion_protection.enabled": "false", "load_balancing.cross_zone.enabled": fmt.Sprint(cross)}
	}
	return map[string]any{"Attributes": pairs(given)}, nil
}

// sts answers who asks.
func (w *World) sts(q *request) reply {
	if q.op != "GetCallerIdentity" {
		return w.queryError("InvalidAction", "Could not find operation "+q.op+" for version 2011-06-15")
	}
	account := "123456789012"
	for _, c := range w.objects("clusters") {
		if parts := strings.Split(text(c, "clusterArn"), ":"); len(parts) > 4 {
			account = parts[4]
		}
	}
	return w.queryReply(q, stsNamespace, map[string]any{
		"Arn": "arn:aws:sts::" + account + ":assumed-role/castoff/replay", "UserId": "AROAREPLAYED:replay", "Account": account,
	})
}
