package awsapi

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Remember makes tasks known that another process knew, before the first pass.
// They are in the Snapshots from the first on, as they were read then, and are
// described by ARN until they are read STOPPED or confirmed MISSING, whatever
// becomes of the lists. Tasks of other regions, of clusters that are not
// watched, and those already known are left alone.
func (o *Observer) Remember(tasks []*fleet.Task) {
	now := time.Now()
	for _, v := range tasks {
		if v == nil {
			continue
		}
		t := o.addKnown(v.Cluster, v.Service, v.ARN)
		if t == nil {
			continue
		}
		t.value, t.remembered = v, true
		if v.Gone() {
			t.stoppedRead, t.stoppedPass = now, o.pass
		}
		for _, key := range v.Targets {
			o.addGroup(key.Group) // whatever its service names by now
		}
	}
}

// Await makes a task known of which another process has left nothing but that it was
// there, before the first pass. It is a Gap until it is read, or confirmed MISSING: that
// no list has it is no proof that it has ended.
func (o *Observer) Await(c fleet.ClusterARN, service fleet.ServiceID, arn fleet.TaskARN) {
	if t := o.addKnown(c, service, arn); t != nil {
		t.awaited = true
	}
}

// addKnown adds a task that another process knew; nil where there is nothing to add.
func (o *Observer) addKnown(of fleet.ClusterARN, service fleet.ServiceID, arn fleet.TaskARN) *task {
	if arn == "" || service.Name == "" || !o.watches(of) {
		return nil
	}
	c := o.clusterOf(of)
	if c.byARN[arn] != nil {
		return nil
	}
	t := &task{clock: clock{known: time.Now()}, arn: arn, service: service}
	c.byARN[arn] = t
	i, _ := slices.BinarySearchFunc(c.tasks, arn, func(t *task, arn fleet.TaskARN) int { return cmp.Compare(t.arn, arn) })
	c.tasks = slices.Insert(c.tasks, i, t)
	return t
}

// Watch has clusters watched besides those that are configured, before the first
// pass, and answers those of them that are. One that is gone is no gap: nobody asks
// for it any more; and one from which castoff is kept for an hour is left. Clusters
// of other regions, and those that are watched already, are left alone.
func (o *Observer) Watch(clusters ...fleet.ClusterARN) []fleet.ClusterARN {
	var taken []fleet.ClusterARN
	for _, arn := range clusters {
		if o.local(arn) && !o.watches(arn) {
			o.addCluster(string(arn)).besides = true
			taken = append(taken, arn)
		}
	}
	return taken
}

// Leave ends what Watch began. What is known of the cluster is forgotten.
func (o *Observer) Leave(arn fleet.ClusterARN) {
	c := o.clusters[string(arn)]
	if c == nil || !c.besides {
		return
	}
	o.dropServices(c)
	delete(o.clusters, c.id)
}

// lockedOut is after how long a cluster that is not configured, and that AWS does
// not let castoff read, is left: its right has been dropped with it.
const lockedOut = time.Hour

// leaveLocked leaves such clusters. What is remembered of their tasks would else
// stay for as long as castoff runs.
func (o *Observer) leaveLocked() {
	for key, g := range o.gaps {
		c := o.clusters[key.ref]
		if c == nil || !c.besides || time.Since(g.Since) < lockedOut {
			continue
		}
		switch {
		case key.kind == fleet.GapCluster && !passing(g.Class), // another account's may be invalid
			key.kind == fleet.GapTasks && g.Class == fleet.Denied,
			key.kind == fleet.GapTaskList && g.Class == fleet.Denied && len(c.tasks) == 0:
			o.Leave(c.arn)
		}
	}
}

// local reports whether a cluster is in the region.
func (o *Observer) local(arn fleet.ClusterARN) bool {
	// arn:aws:ecs:REGION:ACCOUNT:cluster/NAME
	parts := strings.SplitN(string(arn), ":", 6)
	return len(parts) == 6 && parts[3] == o.opts.Config.Region
}

// watches reports whether a cluster is in the region and among those that are
// watched.
func (o *Observer) watches(arn fleet.ClusterARN) bool {
	if !o.local(arn) {
		return false
	}
	return len(o.opts.Clusters) == 0 || o.clusters[string(arn)] != nil || slices.ContainsFunc(o.opts.Clusters, func(id string) bool {
		return id == string(arn) || id == arn.Name()
	})
}

// clusterOf is the cluster of an ARN, under the name by which it is configured.
func (o *Observer) clusterOf(arn fleet.ClusterARN) *cluster {
	id := string(arn)
	if !slices.Contains(o.opts.Clusters, id) && slices.Contains(o.opts.Clusters, arn.Name()) {
		id = arn.Name()
	}
	c := o.addCluster(id)
	if c.arn == "" {
		c.arn = arn
	}
	return c
}

// located reports that enough has been read to say where a remembered task is.
// Until then what is remembered counts: ECS may no longer tell of one that is
// stopping.
func (o *Observer) located(t *task, lbs []fleet.LoadBalancer) bool {
	for _, lb := range lbs {
		if g := o.groups[lb.Group]; g == nil || g.facts == nil {
			return false
		}
	}
	if t.addr.ipv4 != "" || t.addr.ipv6 != "" {
		return true
	}
	i, d := o.instances[t.value.ContainerInstance], o.definitions[t.value.Definition]
	if i == nil || !i.read || d == nil || d.value == nil {
		return false
	}
	return len(t.addr.bindings) > 0 || d.value.NetworkMode == fleet.NetworkHost
}
