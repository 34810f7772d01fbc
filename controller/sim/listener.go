package sim

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// listener is where a load balancer takes flows for a group: one for each group, and
// for a blue/green pair one of which the group changes.
type listener struct {
	arn      string
	balancer *balancer
	port     int
	forward  func() *targetGroup // where it leads now
	tags     map[string]string
}

// listen gives the balancer one more listener, on the group's port or the next free one.
func (b *balancer) listen(g *targetGroup, forward func() *targetGroup) *listener {
	l := &listener{
		arn:      strings.Replace(b.arn, ":loadbalancer/", ":listener/", 1) + fmt.Sprintf("/%016x", len(b.listeners)),
		balancer: b, port: g.port, forward: forward,
	}
	for slices.ContainsFunc(b.listeners, func(o *listener) bool { return o.port == l.port }) {
		l.port++
	}
	b.listeners = append(b.listeners, l)
	return l
}

// listenFor makes the listeners of a service's group: a blue/green pair has one that
// follows the production traffic and, where the service asks for it, one for tests.
func (s *service) listenFor(i int) {
	g := &s.groups[i]
	b := g.group.balancer
	if b == nil {
		return
	}
	blue, green := g.group, g.alternate
	of := func(d *deployment) *targetGroup {
		if d != nil && d.alternate && green != nil {
			return green
		}
		return blue
	}
	live := func() *targetGroup { return of(s.primary) }
	g.listener = b.listen(g.group, live).arn
	if g.alternate != nil && s.spec.TestListener {
		g.test = b.listen(g.alternate, func() *targetGroup { return of(s.deployments[0]) }).arn
	}
}

type weightedXML struct {
	Group  string `xml:"TargetGroupArn"`
	Weight *int   `xml:",omitempty"`
}

type actionXML struct {
	Type    string
	Group   string        `xml:"TargetGroupArn"`
	Forward []weightedXML `xml:"ForwardConfig>TargetGroups>member"`
}

type listenerXML struct {
	ARN      string `xml:"ListenerArn"`
	Balancer string `xml:"LoadBalancerArn"`
	Port     int
	Protocol string
	Actions  []actionXML `xml:"DefaultActions>member"`
}

func (l *listener) xml() listenerXML {
	to := l.forward()
	w := weightedXML{Group: string(to.arn)}
	if to.kind == Application {
		one := 1
		w.Weight = &one
	}
	return listenerXML{
		ARN: l.arn, Balancer: l.balancer.arn, Port: l.port, Protocol: to.protocol,
		Actions: []actionXML{{Type: "forward", Group: w.Group, Forward: []weightedXML{w}}},
	}
}

func (r *Region) describeListeners(form url.Values) (any, *apiError) {
	arns, of := members(form, "ListenerArns"), form.Get("LoadBalancerArn")
	if (len(arns) > 0) == (of != "") {
		return nil, invalid("ValidationError", "You must specify either listener ARNs or a load balancer ARN")
	}
	if of != "" {
		if _, err := r.balancerNamed(form); err != nil {
			return nil, err
		}
	}
	var list []*listener
	for _, b := range r.balancers {
		for _, l := range b.listeners {
			if b.arn == of || slices.Contains(arns, l.arn) {
				list = append(list, l)
			}
		}
	}
	if len(list) < len(arns) {
		return nil, invalid("ListenerNotFound", "One or more listeners not found")
	}
	from, to, err := elbPage(form, len(list))
	if err != nil {
		return nil, err
	}
	out := struct {
		Listeners  membersXML[listenerXML]
		NextMarker string `xml:",omitempty"`
	}{NextMarker: marker(to, len(list))}
	for _, l := range list[from:to] {
		out.Listeners.Members = append(out.Listeners.Members, l.xml())
	}
	return out, nil
}
