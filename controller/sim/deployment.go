package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Rollout states of a deployment.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html
const (
	rolloutInProgress = "IN_PROGRESS"
	rolloutCompleted  = "COMPLETED"
	rolloutFailed     = "FAILED"
)

// deployment is a revision of the service being run: with CODE_DEPLOY and
// EXTERNAL it is shown as a task set.
type deployment struct {
	id        string // ecs-svc/NNN, what its tasks carry in startedBy
	revision  string // ARN of the service revision
	def       *definition
	rollout   string
	why       string
	groups    []serviceGroup // the service's when it began, which it keeps
	alternate bool           // its tasks go into the alternate groups
	percent   float64        // of the service's desired count, where it is kept at its number by itself
	leaving   bool           // its tasks are to go
	failed    int
	proven    bool // a task of it has been healthy: failures no longer count
	completed bool // once
	tasks     int  // that have not reached STOPPED
	created   time.Time
	updated   time.Time

	stable   bool // as a task set
	stableAt time.Time
}

// Revision is what a deployment changes.
type Revision struct {
	// Containers of the new task definition; nil keeps those of the newest one.
	Containers []ContainerSpec
	// Groups are the service's target groups from now on, as UpdateService's
	// loadBalancers; nil keeps them, and an empty list leaves it none. One of a name
	// that is there is that group. Tasks of earlier deployments stay where they are.
	Groups []GroupSpec
	// Fate of every task of the revision that [Region.NextTasks] says nothing
	// about: with StartsHung, NeverStarts or Exits it is a bad revision.
	Fate Fate
}

// Deploy starts a deployment of a new revision like the newest one.
func (r *Region) Deploy(id fleet.ServiceID) error { return r.DeployRevision(id, Revision{}) }

// DeployRevision starts a deployment, by the service's own strategy: task by
// task, or blue/green. For an EXTERNAL service it stands for the third party: a
// task set of 100 % is made, becomes the primary one when it is steady, and the
// one before is deleted.
func (r *Region) DeployRevision(id fleet.ServiceID, rev Revision) error {
	return r.onService("deploy", id, func(s *service) error {
		if err := s.rollOut(rev, nil); err != nil {
			return fmt.Errorf("deploy %s: %w", id, err)
		}
		return nil
	})
}

// rollOut starts a deployment of a revision: of a task definition that is there, or
// of a new one.
func (s *service) rollOut(rev Revision, def *definition) error {
	if err := s.revise(rev); err != nil {
		return err
	}
	if rev.Groups != nil {
		if err := s.regroup(); err != nil {
			return err
		}
	}
	if s.shift != nil {
		s.abandon()
	}
	if def == nil {
		def = s.region.register(s.spec.Name, s.spec, rev.Fate)
	}
	d := s.deploy(def)
	if !s.rolls() {
		s.beginShift(d)
	}
	s.attend()
	return nil
}

// revise gives the service a revision's containers, if they fit it.
func (s *service) revise(rev Revision) error {
	given := s.given
	if rev.Containers != nil {
		given.Containers = rev.Containers
	}
	if rev.Groups != nil {
		given.Groups = rev.Groups
	}
	spec, err := given.withDefaults()
	if err == nil {
		s.given, s.spec = given, spec
	}
	return err
}

// deploy makes a deployment of a task definition the service's newest.
func (s *service) deploy(def *definition) *deployment {
	r := s.region
	d := &deployment{
		id: "ecs-svc/" + r.digits(19), def: def, percent: 100,
		created: r.now, stableAt: r.now, groups: s.groups,
	}
	d.revision = ecsARN("service-revision/" + s.cluster.name + "/" + s.spec.Name + "/" + d.id[len("ecs-svc/"):])
	d.turn(s, rolloutInProgress, "ECS deployment "+d.id+" in progress.")
	switch {
	case s.primary == nil:
		s.lead(d)
	case s.rolls():
		d.alternate = !s.deployments[0].alternate
		s.lead(d)
	default:
		d.alternate = !s.primary.alternate
	}
	s.deployments = slices.Insert(s.deployments, 0, d)
	r.serviceRevisions[d.revision] = func() serviceRevisionJSON { return s.revisionJSON(d) }
	s.failedStarts, s.startAfter = 0, time.Time{} // a new task definition ends the restart throttle
	return d
}

func (d *deployment) turn(s *service, rollout, why string) {
	d.rollout, d.why, d.updated = rollout, why, s.region.now
	s.touch()
}

// desired is how many tasks the deployment has where it is kept at its number
// by itself: a task set's computedDesiredCount.
func (d *deployment) desired(s *service) int {
	if d.leaving {
		return 0
	}
	// Rounded up. Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskSet.html
	share := float64(s.desired) * d.percent / 100
	n := int(share)
	if float64(n) < share {
		n++
	}
	return n
}

// complete ends a deployment well: what was before it is no more.
func (s *service) complete(d *deployment) {
	if d.rollout != rolloutCompleted {
		d.turn(s, rolloutCompleted, "ECS deployment "+d.id+" completed.")
		d.completed = true
		s.tell("(deployment " + d.id + ") deployment completed.")
	}
	if s.rolls() {
		s.deployments = []*deployment{d}
	}
}

// prove notes that a task of the deployment is healthy. From then on its
// failures do not count, unless the service's settings say otherwise.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html
// (failedTasks), API_DeploymentCircuitBreaker.html (resetOnHealthyTask).
func (d *deployment) prove(s *service) {
	if s.spec.Breaker != BreakerNeverResets {
		d.proven, d.failed = true, 0
		s.touch()
	}
}

// countFailure counts a task that has been told to stop before it ever was
// healthy, and trips the circuit breaker when there are too many.
func (s *service) countFailure(t *task) {
	d := t.deployment
	failed := t.stopCode == codeFailedToStart || t.stopCode == codeExited || t.stopCode == codeScheduler && t.sick
	if !failed || t.served || d.proven {
		return
	}
	d.failed++
	s.touch()
	if s.spec.Breaker == BreakerOff || d.rollout != rolloutInProgress || d != s.deployments[0] || d.failed < breakerThreshold(s.desired) {
		return
	}
	d.turn(s, rolloutFailed, "ECS deployment circuit breaker: tasks failed to start.")
	s.tell("(deployment " + d.id + ") deployment failed: tasks failed to start.")
}

// breakerThreshold is the number of failed tasks at which the circuit breaker
// ends a deployment: half of the desired count, at least 3, at most 200.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
func breakerThreshold(desired int) int { return min(max((desired+1)/2, 3), 200) }

// rollBack makes the last deployment that was completed the newest again. When
// there is none, nothing more is started (user: containers-roadmap#1488).
func (s *service) rollBack() {
	if s.shift != nil {
		s.shiftBack()
		return
	}
	d := s.lastCompleted()
	if d == nil {
		return
	}
	s.bringForward(d)
	s.tell("rolling back to deployment " + d.id + ".")
	s.lead(d)
	d.turn(s, rolloutInProgress, "ECS deployment circuit breaker: rolling back to deploymentId "+d.id+".")
	s.failedStarts, s.startAfter = 0, time.Time{}
	s.attend()
}

// lastCompleted is the newest deployment that ended well; nil for none.
func (s *service) lastCompleted() *deployment {
	for _, d := range s.deployments {
		if d.completed {
			return d
		}
	}
	return nil
}

// dropOld ends rolling deployments of which nothing is left. The one that a
// rollback would go to stays.
func (s *service) dropOld() {
	newest, back := s.deployments[0], s.lastCompleted()
	s.deployments = slices.DeleteFunc(s.deployments, func(d *deployment) bool {
		return d != newest && d != back && !slices.ContainsFunc(s.live, func(t *task) bool { return t.deployment == d })
	})
}

// bringForward makes a deployment the newest again.
func (s *service) bringForward(d *deployment) {
	s.deployments = slices.DeleteFunc(s.deployments, func(o *deployment) bool { return o == d })
	s.deployments = slices.Insert(s.deployments, 0, d)
}

// holdOn keeps the service going after its circuit breaker has ended a
// deployment without rolling it back: nothing of the failed revision is started
// any more, the one before is kept up.
func (s *service) holdOn(p pool) {
	if d := s.lastCompleted(); d != nil {
		s.fill(p, d, p.desired-len(s.good(nil)))
	}
	s.trim(p)
}

// RollBack ends a deployment that is in progress, as its circuit breaker, an
// alarm or a person would, and goes back to the one before. Traffic that has
// shifted already shifts back at once.
func (r *Region) RollBack(id fleet.ServiceID) error {
	return r.onService("roll back", id, func(s *service) error {
		under := s.shift != nil && s.shift.stage != shiftingBack
		if s.rolls() {
			under = len(s.deployments) > 1 && s.deployments[0].rollout == rolloutInProgress
		}
		if !under {
			return fmt.Errorf("roll back %s: no deployment is in progress", id)
		}
		d := s.deployments[0]
		d.turn(s, rolloutFailed, "Service deployment rolled back.")
		s.rollBack()
		return nil
	})
}
