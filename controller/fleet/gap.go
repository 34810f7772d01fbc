package fleet

import (
	"slices"
	"strings"
	"time"
)

// GapKind says what could not be read.
type GapKind string

// The kinds of things that a Gap can be about.
const (
	GapClusters           GapKind = "clusters" // the list of clusters
	GapCluster            GapKind = "cluster"
	GapServices           GapKind = "services"         // the list of a cluster's services
	GapService            GapKind = "service"          // one service
	GapServiceRevision    GapKind = "service_revision" // of a deployment whose tasks are there
	GapGateways           GapKind = "gateways"         // which services a gateway sends traffic to
	GapTaskList           GapKind = "task_list"        // the list of a cluster's or a service's tasks
	GapTasks              GapKind = "tasks"            // tasks already known
	GapTaskDefinition     GapKind = "task_definition"
	GapContainerInstances GapKind = "container_instances"
	GapTargetGroups       GapKind = "target_groups" // the list of target groups
	GapTargetGroup        GapKind = "target_group"  // one that a service names, and nobody knows
	GapTargetHealth       GapKind = "target_health"
	GapAttributes         GapKind = "target_group_attributes"
	GapBalancer           GapKind = "load_balancer" // its attributes
	GapTags               GapKind = "tags"          // of a cluster, a service or a target group
)

// GapKinds lists every kind, for whoever must know them all beforehand.
var GapKinds = []GapKind{
	GapClusters, GapCluster, GapServices, GapService, GapServiceRevision, GapGateways, GapTaskList, GapTasks, GapTaskDefinition,
	GapContainerInstances, GapTargetGroups, GapTargetGroup, GapTargetHealth, GapAttributes, GapBalancer, GapTags,
}

// Gap is something that castoff cannot see. What it read of it before, if
// anything, stays in the Snapshot with its old Read.
type Gap struct {
	Kind   GapKind
	Ref    string // ARN or name of what could not be read
	Class  Class
	Detail string // one line for people: what was attempted and what AWS said
	// Since is since when it is not seen; of several things that one Gap is about, that
	// which is not seen for longest.
	Since time.Time
	Never bool // of that, something was never read
	// Hides is what the Gap hides, where that is less than all that Ref names; nil:
	// it is all of it. One call reads many things, and a Gap must not reach further
	// than what that call left unread.
	Hides *Scope
}

// Scope is a part of the fleet. Empty, it is nothing.
type Scope struct {
	Services []ServiceID      // with all of their tasks
	Tasks    []TaskARN        // of services that nobody knows yet, or beside Services
	Groups   []TargetGroupARN // with all of their rows
}

// HidesTask reports that what a Snapshot says of a task and of its service may be
// old, or not all of it. Of a cluster that nobody has listed it has no task, and tags
// say nothing of any: see HidesTags.
func (g *Gap) HidesTask(t *Task) bool {
	switch g.Kind {
	case GapClusters, GapGateways, GapTags, GapTargetGroups, GapTargetGroup, GapTargetHealth, GapAttributes, GapBalancer:
		return false
	case GapTaskDefinition:
		return g.Ref == string(t.Definition)
	}
	return !g.known() || g.covers(t.Cluster, t.Service, t.ARN)
}

// HidesTags reports that the tags of a task's service or cluster may be other ones. They
// say what castoff may do.
func (g *Gap) HidesTags(t *Task) bool {
	return g.Kind == GapTags && g.covers(t.Cluster, t.Service, t.ARN)
}

// HidesGroup reports that what a Snapshot says of a target group, other than its
// tags, may be old, or not all of it.
func (g *Gap) HidesGroup(arn TargetGroupARN) bool {
	switch g.Kind {
	case GapTargetGroups: // the list, of the region
		return g.Hides == nil || slices.Contains(g.Hides.Groups, arn)
	case GapTargetGroup, GapTargetHealth, GapAttributes:
		return g.Ref == string(arn)
	}
	return !g.known()
}

// MayHide reports that a task which the Snapshot has not may be there all the same.
// An id without a name is of a service that nobody knows.
func (g *Gap) MayHide(cluster ClusterARN, id ServiceID, task TaskARN) bool {
	switch g.Kind {
	case GapClusters:
		return true
	case GapCluster, GapServices, GapService, GapTaskList, GapTasks:
		return g.covers(cluster, id, task)
	}
	return false
}

// finds reports that tasks may be there which nobody knows.
func (g *Gap) finds() bool {
	switch g.Kind {
	case GapClusters, GapCluster, GapServices, GapService, GapTaskList, GapTasks:
		return true
	}
	return false
}

// covers reports that a Gap about a cluster, or a part of it, is about a service
// or a task of it.
func (g *Gap) covers(cluster ClusterARN, id ServiceID, task TaskARN) bool {
	if s := g.Hides; s != nil {
		return slices.Contains(s.Tasks, task) || slices.ContainsFunc(s.Services, func(of ServiceID) bool {
			return of == id || id.Name == "" && of.Cluster == id.Cluster
		})
	}
	switch {
	case g.Ref == string(cluster), g.Ref == id.Cluster, g.Ref == id.String(), id.Cluster == "":
		return true
	case id.Name == "":
		return strings.HasPrefix(g.Ref, id.Cluster+"/") || strings.Contains(g.Ref, ":service/"+id.Cluster+"/") || strings.HasSuffix(g.Ref, ":cluster/"+id.Cluster)
	}
	return strings.HasSuffix(g.Ref, ":service/"+id.String()) || strings.HasSuffix(g.Ref, ":cluster/"+id.Cluster)
}

// known reports that the kind is one of GapKinds. One that nobody knows may hide
// anything.
func (g *Gap) known() bool { return slices.Contains(GapKinds, g.Kind) }
