package awsapi

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

type gapKey struct {
	kind fleet.GapKind
	ref  string
}

func (k gapKey) compare(o gapKey) int {
	return cmp.Or(cmp.Compare(k.kind, o.kind), cmp.Compare(k.ref, o.ref))
}

// fail notes that something could not be read; since when is kept while it
// lasts.
func (o *Observer) fail(kind fleet.GapKind, ref, attempted string, err error) {
	key := gapKey{kind, ref}
	since := time.Now().Round(0).UTC()
	if was, ok := o.gaps[key]; ok {
		since = was.Since
	}
	o.gaps[key] = fleet.Gap{
		Kind: kind, Ref: ref, Class: Classify(err), Detail: attempted + ": " + explain(err), Since: since,
	}
}

// clear notes that it could be read.
func (o *Observer) clear(kind fleet.GapKind, ref string) { delete(o.gaps, gapKey{kind, ref}) }

// fails reports that the last try to read it failed.
func (o *Observer) fails(kind fleet.GapKind, ref string) bool {
	_, failed := o.gaps[gapKey{kind, ref}]
	return failed
}

// dropGaps forgets the failures to read what nobody wants read any more. It
// looks at what is there instead of being told what has gone: a Gap that stays
// for good has the operator look for a failure that is over. Nor does a task that
// has stopped leave one: of it nothing is judged any more.
func (o *Observer) dropGaps() {
	if len(o.gaps) == 0 {
		return
	}
	clusters := make(map[string]*cluster, len(o.clusters))
	lists := make(map[string]bool) // of a service's tasks
	services := make(map[string]bool, len(o.services))
	for _, c := range o.watchedClusters() {
		clusters[string(c.arn)] = c
		for name := range c.hotLists {
			lists[c.serviceRef(name)] = true
		}
		for name := range c.losses {
			lists[c.serviceRef(name)] = true
		}
	}
	for _, s := range o.services {
		services[s.ref()] = true
	}
	definitions := sync.OnceValue(o.needed)
	for key := range o.gaps {
		wanted := true
		switch key.kind {
		case fleet.GapClusters, fleet.GapGateways: // asked for as long as castoff runs, or never
		case fleet.GapCluster:
			c := o.clusters[key.ref]
			wanted = c != nil && (len(o.opts.Clusters) > 0 && !c.besides || !c.gone())
		case fleet.GapServices, fleet.GapTasks:
			wanted = clusters[key.ref] != nil
		case fleet.GapTaskList:
			wanted = clusters[key.ref] != nil || lists[key.ref]
		case fleet.GapService, fleet.GapServiceRevision:
			wanted = services[key.ref]
		case fleet.GapTaskDefinition:
			wanted = definitions()[fleet.TaskDefinitionARN(key.ref)]
		case fleet.GapContainerInstances:
			c := clusters[key.ref]
			wanted = c != nil && slices.ContainsFunc(c.tasks, func(t *task) bool { return !t.final() && o.lacksInstance(t) })
		case fleet.GapTargetGroups:
			wanted = len(o.groups) > 0
		case fleet.GapTargetGroup, fleet.GapTargetHealth, fleet.GapAttributes:
			wanted = o.groups[fleet.TargetGroupARN(key.ref)] != nil
		case fleet.GapTags: // of a group, a cluster or a service
			wanted = o.groups[fleet.TargetGroupARN(key.ref)] != nil || clusters[key.ref] != nil || services[key.ref]
		case fleet.GapBalancer:
			wanted = o.balancers[key.ref] != nil
		}
		if !wanted {
			delete(o.gaps, key)
		}
	}
}

// snapshot is the fleet as it is known now; the gaps are for this one alone.
func (o *Observer) snapshot(also ...fleet.Gap) *fleet.Snapshot {
	s := fleet.Snapshot{Definitions: o.definitionValues()}
	for _, c := range o.clusters {
		if c.value != nil {
			s.Clusters = append(s.Clusters, c.value)
		}
		for _, t := range c.tasks {
			if t.value != nil {
				s.Tasks = append(s.Tasks, t.value)
			}
		}
	}
	for _, sv := range o.services {
		if sv.value != nil {
			s.Services = append(s.Services, sv.value)
		}
	}
	for _, g := range o.groups {
		if v := g.current(); v != nil {
			s.TargetGroups = append(s.TargetGroups, v)
		}
	}
	o.dropGaps()
	gaps := maps.Clone(o.gaps)
	o.addUnread(gaps)
	// In the order of the Snapshot: of a large fleet there are thousands at first.
	for _, key := range slices.SortedFunc(maps.Keys(gaps), gapKey.compare) {
		g := gaps[key]
		g.Hides = o.hides(key)
		s.Gaps = append(s.Gaps, g)
	}
	s.Gaps = append(s.Gaps, also...)
	s.At = time.Now().Round(0).UTC()
	return fleet.NewSnapshot(s)
}

// addUnread adds a Gap for everything that is known to be there and was never
// read, unless a failure says more.
func (o *Observer) addUnread(gaps map[gapKey]fleet.Gap) {
	add := func(unread bool, kind fleet.GapKind, ref string, since time.Time, what string) {
		if !unread {
			return
		}
		g, failed := gaps[gapKey{kind, ref}]
		if !failed {
			g = fleet.Gap{
				Kind: kind, Ref: ref, Class: fleet.Paced, Since: since.Round(0).UTC(),
				Detail: what + "not read yet: castoff's own call budget has not come to it",
			}
		}
		g.Never = true
		gaps[gapKey{kind, ref}] = g
	}
	region := o.opts.Config.Region
	add(!o.clusterList.complete && len(o.opts.Clusters) == 0, fleet.GapClusters, region, o.started, "")
	add(!o.groupList.complete && len(o.groups) > 0, fleet.GapTargetGroups, region, o.started, "")
	for _, c := range o.clusters {
		add(c.value == nil && c.missing == 0, fleet.GapCluster, c.id, c.known, "")
		if !c.watched() {
			continue
		}
		ref := string(c.arn)
		add(!c.serviceList.complete, fleet.GapServices, ref, c.since, "")
		add(!c.running.complete || !c.stopped.complete, fleet.GapTaskList, ref, c.since, "")
		never, since := c.unread()
		add(never > 0, fleet.GapTasks, ref, since, fmt.Sprintf("%d of %d tasks ", never, len(c.tasks)))
	}
	for _, s := range o.services {
		add(s.value == nil && s.missing == 0, fleet.GapService, s.ref(), s.known, "")
		add(s.value != nil && len(s.unknown()) > 0, fleet.GapServiceRevision, s.ref(), s.revising.known, "")
	}
	definitions := sync.OnceValue(o.needed)
	for arn, d := range o.definitions {
		add(d.value == nil && definitions()[arn], fleet.GapTaskDefinition, string(arn), d.known, "")
	}
	for arn, g := range o.groups {
		add(g.rowsRead.Never(), fleet.GapTargetHealth, string(arn), g.health.known, "")
		add(!g.attrs.Known, fleet.GapAttributes, string(arn), g.attributes.known, "")
		add(!g.tagged, fleet.GapTags, string(arn), g.tagging.known, "")
	}
}

// never reports that the task was never read. ECS answering MISSING is a reading, unless
// it goes on to, of a task that its lists have, or is about one that was there before.
func (t *task) never() bool {
	return t.value == nil && (t.missing == 0 || t.awaited || t.missing >= confirmations && !t.gone())
}

// unread counts the tasks that were never read, and says since when the first
// of them waits.
func (c *cluster) unread() (n int, since time.Time) {
	for _, t := range c.tasks {
		if t.never() {
			if n == 0 || t.known.Before(since) {
				since = t.known
			}
			n++
		}
	}
	return n, since
}

// definitionValues are the task definitions read so far.
func (o *Observer) definitionValues() map[fleet.TaskDefinitionARN]*fleet.TaskDefinition {
	if o.known == nil {
		o.known = make(map[fleet.TaskDefinitionARN]*fleet.TaskDefinition, len(o.definitions))
		for arn, d := range o.definitions {
			if d.value != nil {
				o.known[arn] = d.value
			}
		}
	}
	return o.known
}
