package awsapi

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// confirmations is how many answers in a row must say that something is not
// there before it is believed: replies lag behind writes.
const confirmations = 3

// missingReason is what failures[] says of something that ECS does not know.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
const missingReason = "MISSING"

// Batch sizes and page sizes that AWS allows at most.
const (
	clustersACall  = 100
	servicesACall  = 10
	servicesAPage  = 100
	tasksACall     = 100
	tasksAPage     = 100
	instancesACall = 100
	groupsAPage    = 400
	tagsACall      = 20
)

// cluster is what the Observer keeps of one.
type cluster struct {
	clock                  // of its description
	id    string           // its ARN, or its name as configured
	arn   fleet.ClusterARN // empty until it is known
	since time.Time        // when the ARN became known
	// besides: it is not among the configured ones; see Observer.Watch.
	besides bool
	value   *fleet.Cluster // nil until described

	missing int // descriptions in a row that said it is not there
	round   int // of the list that last had it

	serviceList chain
	running     chain // tasks wanted RUNNING
	stopped     chain // tasks wanted STOPPED
	// hotLists are the lists of tasks of hot services, by name.
	hotLists map[string]*chain
	losses   map[string]*loss // services that tasks have left lately, by name

	tasks   []*task // sorted by ARN
	byARN   map[fleet.TaskARN]*task
	dropped bool                  // tasks has some that byARN has no more
	closed  map[fleet.TaskARN]int // not to be described again: the round of the lists that last had it
}

// gone reports that AWS has confirmed that there is no such cluster.
func (c *cluster) gone() bool { return c.missing >= confirmations }

// watched reports that the cluster's contents are read.
func (c *cluster) watched() bool { return c.arn != "" && !c.gone() }

// readClusters lists and describes the clusters.
func (o *Observer) readClusters(ctx context.Context) {
	o.leaveLocked()
	b := o.buckets[ClusterReadBucket]
	if len(o.opts.Clusters) == 0 {
		o.listClusters(ctx, b)
	} else if o.pass == 1 {
		for _, id := range o.opts.Clusters {
			o.addCluster(id)
		}
	}
	o.perform(ctx, b, batch(o, sorted(o.clusters), func(c *cluster) *clock { return &c.clock },
		o.opts.InventoryInterval, clustersACall, o.describeClusters))
}

func (o *Observer) listClusters(ctx context.Context, b *bucket) {
	l := o.list(ctx, &o.clusterList, b, o.opts.InventoryInterval, "cluster", func(ctx context.Context, token *string) ([]string, *string, error) {
		out, _, err := ask(ctx, o.ecs.ListClusters, &ecs.ListClustersInput{NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		return out.ClusterArns, out.NextToken, noList(out.ClusterArns, "clusters")
	})
	for _, arn := range l.found {
		if arn != "" {
			o.addCluster(arn).round = o.clusterList.rounds
		}
	}
	region := o.opts.Config.Region
	if l.seen {
		o.clear(fleet.GapClusters, region)
	}
	switch {
	case l.err != nil:
		o.fail(fleet.GapClusters, region, "ListClusters in "+region, l.err)
	case l.ended:
		// Confirmed gone, or never there for all that anybody knows, and no longer listed.
		for id, c := range o.clusters {
			if (c.gone() || c.value == nil && len(c.tasks) == 0) && c.round < o.clusterList.rounds-1 {
				delete(o.clusters, id)
			}
		}
	}
}

func (o *Observer) addCluster(id string) *cluster {
	c := o.clusters[id]
	if c == nil {
		now := time.Now()
		c = &cluster{
			clock: clock{known: now}, id: id, since: now, hotLists: make(map[string]*chain), losses: make(map[string]*loss),
			byARN: make(map[fleet.TaskARN]*task), closed: make(map[fleet.TaskARN]int),
		}
		if strings.HasPrefix(id, "arn:") {
			c.arn = fleet.ClusterARN(id)
		}
		o.clusters[id] = c
	}
	return c
}

func (o *Observer) describeClusters(ctx context.Context, clusters []*cluster) func() {
	said := new(members)
	out, read, err := ask(context.WithValue(ctx, membersKey{}, said), o.ecs.DescribeClusters, &ecs.DescribeClustersInput{
		Clusters: texts(clusters, func(c *cluster) string { return c.id }),
		Include:  []types.ClusterField{types.ClusterFieldTags},
	})
	return func() {
		for _, c := range clusters {
			attempted := "DescribeClusters of " + c.id
			if err != nil {
				c.fail(err, len(clusters))
				o.fail(fleet.GapCluster, c.id, attempted, err)
				continue
			}
			c.ok()
			i := slices.IndexFunc(out.Clusters, func(in types.Cluster) bool { return c.is(value(in.ClusterArn), value(in.ClusterName)) })
			if i >= 0 && value(out.Clusters[i].Status) != "" {
				in := &out.Clusters[i]
				o.applyCluster(c, in, said.of("clusters", "clusterArn", value(in.ClusterArn)), read)
				continue
			}
			reason := "left out of the reply"
			if i >= 0 {
				reason = "the reply has no status"
			}
			for _, f := range out.Failures {
				if c.is(value(f.Arn), fleet.ClusterARN(value(f.Arn)).Name()) {
					reason = value(f.Reason)
				}
			}
			if reason != missingReason {
				o.fail(fleet.GapCluster, c.id, attempted, gapf(fleet.Invalid, "%s", reason))
				continue
			}
			o.missCluster(c, attempted, "there is no such cluster in "+o.opts.Config.Region)
		}
	}
}

// is reports whether an answer is about this cluster. Where it is configured by
// its name that is what counts: an ARN that is remembered may be of another
// account.
func (c *cluster) is(arn, name string) bool {
	if strings.HasPrefix(c.id, "arn:") {
		return arn == c.id
	}
	return c.id == name
}

func (o *Observer) applyCluster(c *cluster, in *types.Cluster, has has, read fleet.Read) {
	arn := fleet.ClusterARN(value(in.ClusterArn))
	if why := strangeARN("cluster", string(arn), mostName); why != "" {
		o.fail(fleet.GapCluster, c.id, "DescribeClusters of "+c.id, gapf(fleet.Invalid, "%s", why))
		return
	}
	for _, other := range o.clusters {
		if other != c && other.arn == arn {
			delete(o.clusters, c.id) // configured both by name and by ARN
			return
		}
	}
	if c.arn != arn {
		c.arn, c.since = arn, time.Now()
		c.tasks, c.byARN = nil, make(map[fleet.TaskARN]*task)
	}
	if value(in.Status) == "INACTIVE" {
		o.missCluster(c, "DescribeClusters of "+c.id, "the cluster is INACTIVE: it has been deleted")
		return
	}
	c.missing = 0
	o.clear(fleet.GapCluster, c.id)
	var known map[string]string
	if c.value != nil {
		known = c.value.Tags
	}
	given, ok := wholeTags(known, in.Tags, has, listsOfCluster)
	if ok {
		o.clear(fleet.GapTags, string(c.arn))
	} else {
		given = known
		o.fail(fleet.GapTags, string(c.arn), "DescribeClusters of "+c.id, errNoTags)
	}
	c.value = &fleet.Cluster{ARN: c.arn, Name: c.arn.Name(), Status: value(in.Status), Tags: given, Read: read}
}

// missCluster notes an answer that the cluster is not there. What is known of
// it stays until that has been confirmed.
func (o *Observer) missCluster(c *cluster, attempted, why string) {
	c.missing++
	configured := len(o.opts.Clusters) > 0 && !c.besides
	if !configured && c.value == nil && len(c.tasks) == 0 {
		c.missing = confirmations // nobody has asked for it, and nothing is lost
	}
	if configured || !c.gone() {
		o.fail(fleet.GapCluster, c.id, attempted, gapf(fleet.NotFound, "%s", why))
	}
	if c.missing != confirmations {
		return
	}
	o.dropServices(c)
	// Should it come back, it is a new one.
	fresh := cluster{
		clock: c.clock, id: c.id, arn: c.arn, since: c.since, besides: c.besides, missing: c.missing, round: c.round,
		hotLists: make(map[string]*chain), losses: make(map[string]*loss), byARN: make(map[fleet.TaskARN]*task), closed: make(map[fleet.TaskARN]int),
	}
	*c = fresh
}

// dropServices forgets the services of a cluster.
func (o *Observer) dropServices(c *cluster) {
	maps.DeleteFunc(o.services, func(_ fleet.ServiceID, s *service) bool { return s.cluster == c })
}

// serviceRef is how Gaps call a service of this cluster.
func (c *cluster) serviceRef(name string) string {
	return fleet.ServiceID{Cluster: c.arn.Name(), Name: name}.String()
}

func ecsTag(t types.Tag) (key, val *string) { return t.Key, t.Value }
