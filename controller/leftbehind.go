package controller

import (
	"slices"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// pauses are the configuration's, and one for each cluster that is left behind.
func (c *Controller) pauses() []policy.Pause {
	ps := slices.Clip(c.options.Policy.Pauses) // asked for each decision: mostly there is nothing to add
	for _, arn := range c.leftBehind {
		ps = append(ps, policy.Pause{
			Scope: policy.ScopeCluster, Service: fleet.ServiceID{Cluster: arn.Name()}, Owner: "castoff", From: policy.FromConfig,
			Reason: "the configuration does not name it any more: it is watched until what castoff took out there is back or has ended",
		})
	}
	return ps
}

// leave ends the watch of the clusters left behind in which castoff has nothing to
// follow any more, and their pause with it: the one without the other would take
// targets out where nobody asked for it, or outlive its reason.
func (c *Controller) leave() {
	var left []fleet.ClusterARN
	for _, arn := range c.leftBehind {
		if c.follows(arn) {
			left = append(left, arn)
			continue
		}
		c.options.Leave(arn)
		c.log.Info("a cluster that the configuration does not name is watched no more: castoff follows no detachment there", "cluster", arn.Name())
	}
	c.leftBehind = left
}

// follows reports that a detachment in a cluster is open, or the timeline of a task
// that had one: without that a recovery would end as lost.
func (c *Controller) follows(arn fleet.ClusterARN) bool {
	there := func(d policy.Detachment) bool { return d.Cluster == arn && d.Open() }
	return slices.ContainsFunc(c.acting.detachments, there) || slices.ContainsFunc(c.tracker.Open(), func(tl *timeline.Timeline) bool {
		return slices.ContainsFunc(c.acting.ended, func(d policy.Detachment) bool { return d.Cluster == arn && d.Task == tl.Task })
	})
}
