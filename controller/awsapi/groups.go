package awsapi

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// attributesInterval is how many of AWS's seconds the attributes of a target
// group or load balancer are good for while nothing fails: a call each, and people
// change them by hand. Those of hot groups are inventory, since guards rest on them.
const attributesInterval = 15 * 60

// group is what the Observer keeps of a target group that a service names.
type group struct {
	arn fleet.TargetGroupARN

	// facts is the inventory, with no rows in it; nil until listed.
	facts *fleet.TargetGroup
	round int // of the list that last had it
	// balancers are those of the facts, in their order.
	balancers []*loadBalancer

	health   clock
	refused  bool // the last try was denied, or there is no such group
	changed  bool // castoff has changed the rows since they were last asked for
	rows     []fleet.Target
	rowsRead fleet.Read
	family   string  // the IP address type of the rows, where they are addresses: a group has but one
	said     *digest // of the reply that has the rows; nil when they are not from it alone

	attributes clock
	attrs      fleet.TargetGroupAttributes

	tagging clock
	tags    map[string]string
	tagged  bool

	value *fleet.TargetGroup // as last handed out; nil when a part of it is newer
}

// current puts the parts together; nil while nothing has been read.
func (g *group) current() *fleet.TargetGroup {
	if g.value == nil && (g.facts != nil || !g.rowsRead.Never()) {
		v := fleet.TargetGroup{ARN: g.arn, Name: g.arn.Name()}
		if g.facts != nil {
			v = *g.facts
		}
		v.Attributes, v.Tags, v.Targets, v.Read = g.attrs, g.tags, g.rows, g.rowsRead
		for _, b := range g.balancers {
			v.Balancers = append(v.Balancers, b.value)
		}
		g.value = &v
	}
	return g.value
}

func (o *Observer) addGroup(arn fleet.TargetGroupARN) {
	if o.groups[arn] == nil {
		now := clock{known: time.Now()}
		o.groups[arn] = &group{arn: arn, round: o.groupList.rounds, health: now, attributes: now, tagging: now}
	}
}

// dropGroups forgets the groups that no service names any more, nor any task has a
// row in.
func (o *Observer) dropGroups() {
	named := make(map[fleet.TargetGroupARN]bool, len(o.groups))
	for _, s := range o.services {
		if s.value != nil {
			for _, lb := range s.value.LoadBalancers {
				named[lb.Group] = true
			}
		}
	}
	for _, c := range o.clusters {
		for _, t := range c.tasks {
			if t.value != nil {
				for _, key := range t.value.Targets {
					named[key.Group] = true
				}
			}
		}
	}
	for arn := range o.groups {
		if !named[arn] {
			delete(o.groups, arn)
		}
	}
	o.dropBalancers()
}

// readGroups lists the region's target groups and keeps those that services
// name.
func (o *Observer) readGroups(ctx context.Context) {
	if len(o.groups) == 0 {
		return
	}
	type page struct {
		groups []types.TargetGroup
		read   fleet.Read
	}
	var pages []page
	region := o.opts.Config.Region
	ended, err := o.groupList.walk(ctx, o, o.buckets[BalancerReadBucket], o.opts.InventoryInterval, func(token *string) (*string, error) {
		out, read, err := ask(ctx, o.elb.DescribeTargetGroups, &elb.DescribeTargetGroupsInput{
			PageSize: aws.Int32(groupsAPage), Marker: token,
		})
		if err != nil {
			return nil, err
		}
		pages = append(pages, page{out.TargetGroups, read})
		return out.NextMarker, noList(out.TargetGroups, "target groups")
	})
	for _, p := range pages {
		for i := range p.groups {
			err = cmp.Or(err, caught(func() { o.applyGroup(&p.groups[i], p.read) }))
		}
	}
	if ended || o.groupList.mended {
		o.clear(fleet.GapTargetGroups, region)
	}
	switch {
	case err != nil:
		o.fail(fleet.GapTargetGroups, region, "DescribeTargetGroups in "+region, err)
	case ended:
		for arn, g := range o.groups {
			// One that was named only after the list began is in the next.
			if g.round < o.groupList.rounds-1 {
				o.fail(fleet.GapTargetGroup, string(arn), "DescribeTargetGroups in "+region,
					gapf(fleet.NotFound, "a service names the target group, and the region has none of that ARN"))
			}
		}
	}
}

// describeGroup reads what the list says of one group.
func (o *Observer) describeGroup(ctx context.Context, g *group) func() {
	out, read, err := ask(ctx, o.elb.DescribeTargetGroups, &elb.DescribeTargetGroupsInput{TargetGroupArns: []string{string(g.arn)}})
	if err == nil && !slices.ContainsFunc(out.TargetGroups, func(in types.TargetGroup) bool { return value(in.TargetGroupArn) == string(g.arn) }) {
		err = gapf(fleet.Invalid, "left out of the reply")
	}
	return func() {
		if err != nil {
			o.fail(fleet.GapTargetGroup, string(g.arn), "DescribeTargetGroups of "+g.arn.Name(), err)
			return
		}
		for i := range out.TargetGroups {
			o.applyGroup(&out.TargetGroups[i], read)
		}
	}
}

func (o *Observer) applyGroup(in *types.TargetGroup, read fleet.Read) {
	g := o.groups[fleet.TargetGroupARN(value(in.TargetGroupArn))]
	if g == nil {
		return
	}
	if why := cmp.Or(strangeName("target group name", value(in.TargetGroupName), mostGroupName), halfGroup(in)); why != "" {
		g.round = o.groupList.rounds
		o.fail(fleet.GapTargetGroup, string(g.arn), "DescribeTargetGroups in "+o.opts.Config.Region, gapf(fleet.Invalid, "%s", why))
		return
	}
	v := &fleet.TargetGroup{
		ARN:           g.arn,
		Name:          cmp.Or(value(in.TargetGroupName), g.arn.Name()),
		Protocol:      string(in.Protocol),
		Port:          count(value(in.Port)),
		TargetType:    string(in.TargetType),
		IPAddressType: cmp.Or(string(in.IpAddressType), string(types.TargetGroupIpAddressTypeEnumIpv4)),
		LoadBalancers: slices.Sorted(slices.Values(in.LoadBalancerArns)),
		Check: fleet.TargetCheck{
			Protocol:           string(in.HealthCheckProtocol),
			Port:               value(in.HealthCheckPort),
			Interval:           o.ofSeconds(int64(value(in.HealthCheckIntervalSeconds))),
			Timeout:            o.ofSeconds(int64(value(in.HealthCheckTimeoutSeconds))),
			HealthyThreshold:   count(value(in.HealthyThresholdCount)),
			UnhealthyThreshold: count(value(in.UnhealthyThresholdCount)),
		},
		Inventory: read,
	}
	if g.facts == nil || g.facts.TargetType != v.TargetType || g.facts.IPAddressType != v.IPAddressType || g.facts.Protocol != v.Protocol {
		o.moved = true
	}
	g.facts, g.value, g.round = v, nil, o.groupList.rounds
	g.balancers = o.addBalancers(v.LoadBalancers)
	o.clear(fleet.GapTargetGroup, string(g.arn))
}

// readBalancers reads the rows of target groups, hot ones first, and their
// attributes and tags, which share a bucket with them.
func (o *Observer) readBalancers(ctx context.Context) {
	hot := make(map[fleet.TargetGroupARN]bool)
	for id := range o.hot {
		if s := o.services[id]; s != nil && s.value != nil {
			for _, lb := range s.value.LoadBalancers {
				hot[lb.Group] = true
			}
		}
	}
	now := time.Now()
	groups := sorted(o.groups)
	var reads []read
	for _, g := range groups {
		// One that is refused gets no better by asking faster.
		urgent := (hot[g.arn] || g.changed) && !g.refused
		interval := o.opts.CalmInterval
		if urgent {
			interval = o.opts.HotInterval
		}
		if !g.changed && !o.due(&g.health, now, interval) {
			continue
		}
		reads = append(reads, read{
			turn:   turn{hot: urgent || g.health.again, late: g.health.late(now, interval)},
			clocks: []*clock{&g.health}, due: 1,
			call: func(ctx context.Context) func() { return o.describeHealth(ctx, g) },
		})
	}
	reads = append(reads, o.attributeReads(groups, hot)...)
	tagging := func(g *group) *clock { return &g.tagging }
	tagged, untagged := split(groups, func(g *group) bool { return g.tagged })
	reads = append(reads, batch(o, untagged, tagging, o.opts.InventoryInterval, tagsACall, o.describeTags)...)
	reads = append(reads, batch(o, tagged, tagging, o.opts.InventoryInterval, tagsACall, o.describeTags)...)
	o.perform(ctx, o.buckets[BalancerReadBucket], reads)
}

// attributeReads are those of groups and of the load balancers that they leave
// their zones to.
func (o *Observer) attributeReads(groups []*group, hot map[fleet.TargetGroupARN]bool) []read {
	attributes := func(g *group) *clock { return &g.attributes }
	var reads []read
	known, unknown := split(groups, func(g *group) bool { return g.attrs.Known && !o.fails(fleet.GapAttributes, string(g.arn)) })
	for _, g := range unknown { // until they have been read, or again after a failure, they are inventory
		for _, r := range batch(o, []*group{g}, attributes, o.opts.InventoryInterval, 1, o.describeAttributes) {
			r.hot = r.hot || hot[g.arn] && !g.attributes.alone
			reads = append(reads, r)
		}
	}
	urgent, calm := split(known, func(g *group) bool { return hot[g.arn] })
	for _, r := range batch(o, urgent, attributes, o.opts.InventoryInterval, 1, o.describeAttributes) {
		r.hot = true
		reads = append(reads, r)
	}
	reads = append(reads, batch(o, calm, attributes, o.ofSeconds(attributesInterval), 1, o.describeAttributes)...)
	return append(reads, o.balancerReads(groups, hot)...)
}

func (o *Observer) describeHealth(ctx context.Context, g *group) func() {
	again := &repeat{was: g.said}
	out, read, err := ask(context.WithValue(ctx, repeatKey{}, again), o.elb.DescribeTargetHealth,
		&elb.DescribeTargetHealthInput{TargetGroupArn: aws.String(string(g.arn))})
	rows := g.rows
	if err == nil && !again.same {
		if err = noList(out.TargetHealthDescriptions, "targets"); err == nil {
			rows, err = convertRows(g, out.TargetHealthDescriptions)
		}
	}
	return func() {
		g.changed = false
		if err != nil {
			g.health.failed = g.health.soon(err)
			g.refused = !g.health.failed
			o.fail(fleet.GapTargetHealth, string(g.arn), "DescribeTargetHealth of "+g.arn.Name(), err)
			return
		}
		g.health.failed, g.refused = false, false
		o.clear(fleet.GapTargetHealth, string(g.arn))
		if g.family == "" && len(rows) > 0 {
			g.family, o.moved = family(rows[0].Key.ID), true
		}
		g.rows, g.rowsRead, g.value, g.said = rows, read, nil, &again.is
		if slices.ContainsFunc(out.TargetHealthDescriptions, func(d types.TargetHealthDescription) bool { return value(d.Target.Port) == 0 }) {
			g.said = nil // their ports are the group's, and may change with it
		}
	}
}

// family is the IP address type of a target.
func family(id string) string {
	if strings.Contains(id, ":") {
		return string(types.TargetGroupIpAddressTypeEnumIpv6)
	}
	return string(types.TargetGroupIpAddressTypeEnumIpv4)
}

// convertRows makes the rows of a group. A row that names nothing may be any of
// those that would seem to have gone, so it spoils them all.
func convertRows(g *group, in []types.TargetHealthDescription) ([]fleet.Target, error) {
	if lacks := halfRows(in); lacks != "" {
		return nil, gapf(fleet.Invalid, "%s", lacks)
	}
	rows := make([]fleet.Target, 0, len(in))
	for i := range in {
		d := &in[i]
		if d.Target == nil || value(d.Target.Id) == "" {
			return nil, gapf(fleet.Invalid, "the reply has a target without an id")
		}
		if why := strangeText("target id", *d.Target.Id, mostARN); why != "" { // an ALB's is its ARN
			return nil, gapf(fleet.Invalid, "%s", why)
		}
		port := count(value(d.Target.Port))
		if port == 0 && g.facts != nil {
			port = g.facts.Port
		}
		row := fleet.Target{
			Key:   fleet.NewTargetKey(g.arn, *d.Target.Id, port),
			State: fleet.TargetUnknown,
			Zone:  value(d.Target.AvailabilityZone),
		}
		if h := d.TargetHealth; h != nil {
			row.State, row.Reason = cmp.Or(fleet.TargetState(h.State), fleet.TargetUnknown), string(h.Reason)
		}
		if a := d.AdministrativeOverride; a != nil {
			row.Override = string(a.State)
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b fleet.Target) int { return a.Key.Compare(b.Key) })
	rows = slices.CompactFunc(rows, func(a, b fleet.Target) bool { return a.Key == b.Key })
	if slices.Equal(rows, g.rows) {
		return g.rows, nil // the same, and already in memory
	}
	return rows, nil
}

func (o *Observer) describeTags(ctx context.Context, groups []*group) func() {
	out, _, err := ask(ctx, o.elb.DescribeTags, &elb.DescribeTagsInput{
		ResourceArns: texts(groups, func(g *group) string { return string(g.arn) }),
	})
	return func() {
		for _, g := range groups {
			ref := string(g.arn)
			if err != nil {
				g.tagging.fail(err, len(groups))
				o.fail(fleet.GapTags, ref, "DescribeTags of "+g.arn.Name(), err)
				continue
			}
			g.tagging.ok()
			at := slices.IndexFunc(out.TagDescriptions, func(d types.TagDescription) bool { return value(d.ResourceArn) == ref })
			if at < 0 || out.TagDescriptions[at].Tags == nil || keyless(out.TagDescriptions[at].Tags, elbTag) {
				o.fail(fleet.GapTags, ref, "DescribeTags of "+g.arn.Name(), gapf(fleet.Invalid, "left out of the reply, or a part of them"))
				continue
			}
			o.clear(fleet.GapTags, ref)
			g.tags, g.tagged, g.value = tags(out.TagDescriptions[at].Tags, elbTag), true, nil
		}
	}
}

func elbTag(t types.Tag) (key, val *string) { return t.Key, t.Value }
