package awsapi

import (
	"fmt"
	"maps"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

type gapKey struct {
	kind fleet.GapKind
	ref  string
}

// fail notes that something could not be read; since when is kept while it
// lasts.
func (o *Observer) fail(kind fleet.GapKind, ref string, attempted string, err error) {
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

// snapshot is the fleet as it is known now.
func (o *Observer) snapshot() *fleet.Snapshot {
	s := fleet.Snapshot{Definitions: o.definitionValues()}
	gaps := maps.Clone(o.gaps)
	// unread adds a Gap for what is known to be there and was never read, unless
	// a failure says more.
	unread := func(kind fleet.GapKind, ref string, since time.Time, detail string) {
		key := gapKey{kind, ref}
		if _, ok := gaps[key]; !ok {
			gaps[key] = fleet.Gap{Kind: kind, Ref: ref, Class: fleet.Paced, Detail: detail, Since: since.Round(0).UTC()}
		}
	}
	const waiting = "not read yet: it waits for castoff's own call budget"
	if !o.clusterList.complete && len(o.opts.Clusters) == 0 {
		unread(fleet.GapClusters, o.opts.Config.Region, o.started, waiting)
	}
	tasks := 0
	for _, c := range o.clusters {
		tasks += len(c.tasks)
	}
	s.Tasks = make([]*fleet.Task, 0, tasks)
	for _, c := range sorted(o.clusters) {
		if c.value != nil {
			s.Clusters = append(s.Clusters, c.value)
		} else if c.missing == 0 {
			unread(fleet.GapCluster, c.id, c.known, waiting)
		}
		if !c.watched() {
			continue
		}
		if !c.serviceList.complete {
			unread(fleet.GapServices, string(c.arn), c.since, waiting)
		}
		if !c.running.complete || !c.stopped.complete {
			unread(fleet.GapTaskList, string(c.arn), c.since, waiting)
		}
		s.Tasks = o.appendTasks(s.Tasks, c, unread)
	}
	for _, sv := range o.services {
		if sv.value != nil {
			s.Services = append(s.Services, sv.value)
		} else if sv.missing == 0 {
			unread(fleet.GapService, sv.ref(), sv.known, waiting)
		}
	}
	for arn, d := range o.definitions {
		if d.value == nil {
			unread(fleet.GapTaskDefinition, string(arn), d.known, waiting)
		}
	}
	for _, g := range sorted(o.groups) {
		if v := g.current(); v != nil {
			s.TargetGroups = append(s.TargetGroups, v)
		}
		ref := string(g.arn)
		if g.rowsRead.Never() {
			unread(fleet.GapTargetHealth, ref, g.health.known, waiting)
		}
		if !g.attrs.Known {
			unread(fleet.GapAttributes, ref, g.attributes.known, waiting)
		}
		if !g.tagged {
			unread(fleet.GapTags, ref, g.tagging.known, waiting)
		}
	}
	if !o.groupList.complete && len(o.groups) > 0 {
		unread(fleet.GapTargetGroups, o.opts.Config.Region, o.started, waiting)
	}
	for _, g := range gaps {
		s.Gaps = append(s.Gaps, g)
	}
	s.At = time.Now().Round(0).UTC()
	return fleet.NewSnapshot(s)
}

// appendTasks adds the tasks of a cluster that have been read, and says how
// many have not.
func (o *Observer) appendTasks(to []*fleet.Task, c *cluster, unread func(fleet.GapKind, string, time.Time, string)) []*fleet.Task {
	never, since := 0, time.Time{}
	for _, t := range c.tasks {
		if t.value != nil {
			to = append(to, t.value)
			continue
		}
		if never == 0 || t.known.Before(since) {
			since = t.known
		}
		never++
	}
	if never > 0 {
		unread(fleet.GapTasks, string(c.arn), since,
			fmt.Sprintf("%d of %d tasks not read yet: they wait for castoff's own call budget", never, len(c.tasks)))
	}
	return to
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
