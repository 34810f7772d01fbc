package sim

import (
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Deployment strategies of a service whose controller is ECS.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
const (
	Rolling   = "ROLLING"
	BlueGreen = "BLUE_GREEN"
)

// stage is how far a blue/green deployment has come.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/blue-green-deployment-how-it-works.html
type stage int

const (
	scalingUp    stage = iota // until all tasks of the new revision are healthy
	shiftingTest              // the test listener's traffic goes to them
	shiftingAll               // the production listener's does
	baking                    // both revisions run
	cleaningUp                // the old one's tasks are stopped
	shiftingBack              // the new one's are: it has been rolled back
)

// shift is a blue/green deployment under way.
type shift struct {
	from, to *deployment
	stage    stage
	since    time.Time
}

// rolls reports whether a deployment replaces the service's tasks one by one,
// all revisions together making up its desired count.
func (s *service) rolls() bool {
	return s.spec.Controller == fleet.ControllerECS && s.spec.Strategy == Rolling
}

// beginShift has traffic go over to a new deployment, once its tasks are up. One
// that is the only one has it at once.
func (s *service) beginShift(to *deployment) {
	if s.primary == to {
		return
	}
	s.shift = &shift{from: s.primary, to: to, since: s.region.now}
}

// abandon ends a shift for the sake of another deployment: of its two sides the
// one without production traffic goes.
func (s *service) abandon() {
	for _, d := range []*deployment{s.shift.from, s.shift.to} {
		if d != s.primary {
			s.retire(d)
		}
	}
	if s.primary == s.shift.to {
		s.complete(s.primary)
	}
	s.shift = nil
}

// retire stops the tasks of a deployment. It is no more once they are gone.
func (s *service) retire(d *deployment) {
	d.leaving = true
	for _, t := range slices.Clone(s.live) {
		if t.deployment == d {
			s.scaleIn(t, d)
		}
	}
	s.attend()
}

// retired drops deployments that were told to go and whose tasks are gone. A
// task set goes when its last task has STOPPED; a blue/green revision when its
// tasks are on the way there.
func (s *service) retired() {
	s.deployments = slices.DeleteFunc(s.deployments, func(d *deployment) bool {
		if s.spec.Controller != fleet.ControllerECS {
			return d.leaving && d.tasks == 0
		}
		return d.leaving && !slices.ContainsFunc(s.live, func(t *task) bool { return t.deployment == d })
	})
}

// moveTraffic takes a blue/green deployment a stage further, when it is time.
func (s *service) moveTraffic() {
	if s.rolls() {
		return
	}
	if sh := s.shift; sh != nil {
		for sh == s.shift && (sh.to.rollout != rolloutFailed || sh.stage == shiftingBack) && s.stageOver(sh) {
			s.nextStage(sh)
		}
	}
	s.retired()
	for _, d := range s.deployments {
		p := s.poolOf(d)
		members := s.members(p)
		if stable := len(members) == p.desired && len(s.serving(members)) == p.desired; stable != d.stable {
			d.stable, d.stableAt = stable, s.region.now
		}
	}
	if len(s.deployments) == 1 && s.deployments[0].stable && s.shift == nil {
		s.complete(s.deployments[0])
	}
}

func (s *service) stageOver(sh *shift) bool {
	r := s.region
	switch sh.stage {
	case scalingUp:
		p := s.poolOf(sh.to)
		return len(s.serving(s.members(p))) >= p.desired
	case shiftingTest:
		return !s.spec.TestListener || r.since(sh.since, s.shiftTakes())
	case shiftingAll:
		return r.since(sh.since, s.shiftTakes())
	case baking:
		return r.since(sh.since, s.spec.BakeTime)
	default:
		gone := sh.from
		if sh.stage == shiftingBack {
			gone = sh.to
		}
		return !slices.ContainsFunc(s.live, func(t *task) bool { return t.deployment == gone })
	}
}

// shiftTakes is how long ECS waits for a listener's new weights to be in force.
// CodeDeploy and third parties have no such wait.
func (s *service) shiftTakes() time.Duration {
	if s.spec.Controller != fleet.ControllerECS || len(s.groups) == 0 {
		return 0
	}
	return s.region.params.TrafficShift
}

func (s *service) nextStage(sh *shift) {
	switch sh.stage {
	case cleaningUp:
		s.complete(sh.to)
		s.shift = nil
		return
	case shiftingBack:
		s.complete(sh.from)
		s.shift = nil
		return
	}
	sh.stage++
	sh.since = s.region.now
	switch sh.stage {
	case shiftingAll:
		s.lead(sh.to)
		sh.to.updated = sh.since
	case cleaningUp:
		s.retire(sh.from)
	}
}

// shiftBack undoes a shift: production traffic goes to the old revision, and the
// new one's tasks are stopped.
func (s *service) shiftBack() {
	sh := s.shift
	s.lead(sh.from)
	sh.from.leaving = false
	s.bringForward(sh.from)
	sh.stage, sh.since = shiftingBack, s.region.now
	s.retire(sh.to)
}

// lead gives a deployment the production traffic; nil: none has it.
func (s *service) lead(d *deployment) {
	s.primary = d
	if d == nil {
		return
	}
	for _, g := range s.groupsOf(d) {
		if g.alternate != nil {
			g.alternate.handOver(g.group)
		}
	}
}

// ProductionGroups are the target groups that the service's production
// listeners send traffic to, in the service's order: of a blue/green pair one,
// whichever revision's turn it is.
func (r *Region) ProductionGroups(id fleet.ServiceID) []fleet.TargetGroupARN {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	c := r.clusterNames[id.Cluster]
	if c == nil || c.serviceNames[id.Name] == nil {
		return nil
	}
	s := c.serviceNames[id.Name]
	if s.primary == nil {
		return nil // no task set has it
	}
	var groups []fleet.TargetGroupARN
	for _, g := range s.groupsOf(s.primary) {
		groups = append(groups, g.group.arn)
	}
	return groups
}
