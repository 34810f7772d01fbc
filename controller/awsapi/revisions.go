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

// revisionsACall is how many service revisions AWS describes at a time.
const revisionsACall = 20

// settings are the load balancers of one deployment, or task set, of a service. They
// never change: UpdateService with others starts another deployment. Its tasks stay
// in its target groups to their end, whatever the service names by then.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html
type settings struct {
	lbs []fleet.LoadBalancer
	// known: lbs are the deployment's. Else they are not known, and its tasks may be
	// in any group that anything is known of.
	known bool
	// definition is that of the deployment's tasks, as far as is known.
	definition fleet.TaskDefinitionARN
	since      time.Time // when it was first heard of
	asked      bool      // AWS has answered about its revision
}

// learn takes in what a description of a service says of its deployments: the
// service's load balancers are those of the primary one, and a task set has its own.
func (s *service) learn(v *fleet.Service, in *types.Service) {
	s.revisions = s.revisions[:0]
	for i := range in.CurrentServiceRevisions {
		s.revisions = append(s.revisions, value(in.CurrentServiceRevisions[i].Arn))
	}
	own := appendLoadBalancers(nil, in.LoadBalancers)
	s.primary = ""
	for i := range in.TaskSets {
		ts := &in.TaskSets[i]
		lbs := appendLoadBalancers(nil, ts.LoadBalancers)
		if len(lbs) == 0 {
			lbs = own // CreateService gives them to the first task set
		}
		s.see(value(ts.Id), lbs)
	}
	for _, d := range v.Deployments {
		if len(in.TaskSets) == 0 && d.Status == "PRIMARY" {
			s.primary = d.ID
			s.see(d.ID, own)
		}
		if st := s.settings[d.ID]; st != nil {
			st.definition = d.Definition
		}
	}
}

// see notes the load balancers that a deployment is seen to have. Should it come to
// have others, which AWS does not tell of, its tasks may be in either.
func (s *service) see(id string, lbs []fleet.LoadBalancer) {
	st := s.settings[id]
	switch {
	case id == "":
		return
	case st == nil:
		st = &settings{since: time.Now()}
		s.settings[id] = st
	case st.known && st.asked:
		return // by its revision, which is what counts
	case st.known:
		lbs = append(slices.Clone(st.lbs), lbs...)
	}
	st.lbs, st.known = tidy(lbs), true
}

// tidy sorts load balancers and drops what is there twice.
func tidy(lbs []fleet.LoadBalancer) []fleet.LoadBalancer {
	slices.SortFunc(lbs, compareLoadBalancers)
	return slices.Compact(lbs)
}

// loadBalancers are those that a deployment's tasks may be in, and whether that is
// known.
func (s *service) loadBalancers(id string) (lbs []fleet.LoadBalancer, known bool) {
	if st := s.settings[id]; st != nil && st.known {
		return st.lbs, true
	}
	return s.value.LoadBalancers, false
}

// settle finds out which deployments the tasks of each service are of, and reads the
// revisions of those of which nothing is known. A service whose tasks are all of
// deployments that castoff has seen as the primary one costs no call.
func (o *Observer) settle(ctx context.Context) {
	used := o.deployments()
	var reads []*service
	for _, s := range o.services {
		if s.value == nil {
			continue
		}
		s.sortOut(used[s])
		switch unknown := s.unknown(); {
		case len(unknown) == 0:
			o.clear(fleet.GapServiceRevision, s.ref())
		case s.value.Controller != fleet.ControllerECS:
			o.fail(fleet.GapServiceRevision, s.ref(), "what the tasks of "+s.ref()+" are registered in",
				gapf(fleet.NotFound, "their task set is not there any more"))
		default:
			if slices.ContainsFunc(unknown, func(id string) bool { return !s.settings[id].asked }) {
				s.revising.tried = time.Time{}
			}
			reads = append(reads, s)
		}
	}
	slices.SortFunc(reads, func(a, b *service) int { return a.id.Compare(b.id) })
	o.perform(ctx, o.buckets[ServiceReadBucket],
		batch(o, reads, func(s *service) *clock { return &s.revising }, o.opts.InventoryInterval, 1, o.describeRevisions))
	for _, s := range o.services {
		if s.value != nil {
			o.name(s, used[s])
		}
	}
}

// deployments are the tasks of each service that are not of its primary deployment,
// by what they were started by.
func (o *Observer) deployments() map[*service]map[string][]*task {
	used := make(map[*service]map[string][]*task)
	for _, c := range o.clusters {
		for _, t := range c.tasks {
			if t.value == nil {
				continue
			}
			s := o.services[t.service]
			if s == nil || s.value == nil || s.primary != "" && t.value.StartedBy == s.primary {
				continue
			}
			if used[s] == nil {
				used[s] = make(map[string][]*task)
			}
			used[s][t.value.StartedBy] = append(used[s][t.value.StartedBy], t)
		}
	}
	return used
}

// sortOut takes in which deployments have tasks, and forgets those that nothing is of
// any more. One that the service does not name yet is new: the service is read again.
func (s *service) sortOut(used map[string][]*task) {
	named := func(id string) bool {
		return slices.ContainsFunc(s.value.Deployments, func(d fleet.Deployment) bool { return d.ID == id })
	}
	for id, tasks := range used {
		if s.settings[id] != nil || id == "" {
			continue
		}
		s.settings[id] = &settings{since: time.Now(), definition: tasks[0].value.Definition}
		if !named(id) {
			s.tried = time.Time{}
		}
	}
	maps.DeleteFunc(s.settings, func(id string, _ *settings) bool { return used[id] == nil && !named(id) })
	s.live = s.live[:0]
	for id, tasks := range used {
		if slices.ContainsFunc(tasks, func(t *task) bool { return !t.final() }) {
			s.live = append(s.live, id)
		}
	}
	slices.Sort(s.live)
}

// unknown are the deployments with tasks that have not stopped of which the load
// balancers are not known, although the service has been read since they came up.
func (s *service) unknown() []string {
	return slices.DeleteFunc(slices.Clone(s.live), func(id string) bool {
		st := s.settings[id]
		return st == nil || st.known || !strings.HasPrefix(id, deploymentPrefix) ||
			!s.value.Read.Sent.After(st.since) && !slices.ContainsFunc(s.value.Deployments, func(d fleet.Deployment) bool { return d.ID == id })
	})
}

// name gives the service the target groups of its former deployments too, for as
// long as it has tasks of theirs, so that these groups stay watched.
func (o *Observer) name(s *service, used map[string][]*task) {
	if len(used) == 0 && len(s.former) == 0 {
		return
	}
	s.former = s.former[:0]
	for id, tasks := range used {
		if st := s.settings[id]; st != nil && st.known {
			s.former = append(s.former, st.lbs...)
			continue
		}
		for _, t := range tasks { // nobody knows but the task itself
			for _, key := range t.value.Targets {
				s.former = append(s.former, fleet.LoadBalancer{Group: key.Group, Port: key.Port})
			}
		}
	}
	lbs := s.withFormer(s.current)
	if slices.Equal(lbs, s.value.LoadBalancers) {
		return
	}
	v := *s.value
	v.LoadBalancers = lbs
	s.value, o.moved = &v, true
	for _, lb := range lbs {
		o.addGroup(lb.Group)
	}
}

// withFormer adds to a service's load balancers those of groups that only its former
// deployments are in.
func (s *service) withFormer(current []fleet.LoadBalancer) []fleet.LoadBalancer {
	lbs := slices.Clone(current)
	for _, lb := range s.former {
		if !slices.ContainsFunc(current, func(c fleet.LoadBalancer) bool { return c.Group == lb.Group }) {
			lb.Former = true
			lbs = append(lbs, lb)
		}
	}
	return tidy(lbs)
}

// deploymentPrefix starts the id of a deployment. The service revision that it rolls
// out has the same number.
const deploymentPrefix = "ecs-svc/"

func (o *Observer) describeRevisions(ctx context.Context, services []*service) func() {
	s := services[0]
	unknown := s.unknown()
	var arns []string
	for _, id := range unknown {
		arns = append(arns, s.revision(id))
	}
	for _, arn := range s.revisions {
		if !slices.Contains(arns, arn) {
			arns = append(arns, arn)
		}
	}
	out, _, err := ask(ctx, o.ecs.DescribeServiceRevisions, &ecs.DescribeServiceRevisionsInput{ServiceRevisionArns: arns[:min(len(arns), revisionsACall)]})
	return func() {
		s.revising.failed, s.revising.alone = false, true // what has no answer now will hardly have one soon
		if err != nil {
			s.revising.fail(err, 1)
		} else {
			err = s.revise(unknown, out.ServiceRevisions)
		}
		for _, id := range unknown {
			s.settings[id].asked = true
		}
		o.moved = true
		if err != nil {
			o.fail(fleet.GapServiceRevision, s.ref(), "DescribeServiceRevisions of "+s.ref(), err)
			return
		}
		o.clear(fleet.GapServiceRevision, s.ref())
	}
}

// revision is the ARN of the service revision that a deployment rolls out. Unlike a
// service's it always has the cluster's name.
func (s *service) revision(id string) string {
	account, _, _ := strings.Cut(s.arn, ":service/")
	return account + ":service-revision/" + s.id.String() + "/" + strings.TrimPrefix(id, deploymentPrefix)
}

// revise takes in the revisions of deployments. That a revision has the number of its
// deployment is what AWS shows and not what it promises: one of another task
// definition is not it. Without it the deployment's is one of those with its task
// definition that no other deployment has, and its tasks may be in the groups of any.
func (s *service) revise(unknown []string, revisions []types.ServiceRevision) error {
	var err error
	for _, id := range unknown {
		st := s.settings[id]
		var own, others []*types.ServiceRevision
		for i := range revisions {
			r := &revisions[i]
			number := deploymentPrefix + lastPart(value(r.ServiceRevisionArn))
			switch {
			case st.definition != "" && value(r.TaskDefinition) != string(st.definition):
			case number == id:
				own = append(own, r)
			case s.settings[number] == nil:
				others = append(others, r)
			}
		}
		if len(own) == 0 {
			own = others
		}
		if len(own) == 0 {
			err = gapf(fleet.NotFound, "there is no service revision of deployment %s, whose tasks may be in other target groups than the service names", id)
			continue
		}
		var lbs []fleet.LoadBalancer
		half := false
		for _, r := range own {
			half = half || r.LoadBalancers == nil && len(s.value.LoadBalancers) > 0
			lbs = appendLoadBalancers(lbs, r.LoadBalancers)
		}
		if half {
			err = gapf(fleet.Invalid, "the reply has no list of load balancers")
			continue
		}
		st.lbs, st.known = tidy(lbs), true
	}
	return err
}

func lastPart(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// found are the rows with a task's address in the groups of its service: where a task
// is of which nobody knows the load balancers.
func (o *Observer) found(t *task, s *service) []fleet.TargetKey {
	var keys []fleet.TargetKey
	for _, lb := range s.value.LoadBalancers {
		g := o.groups[lb.Group]
		if g == nil {
			continue
		}
		for i := range g.rows {
			if key := g.rows[i].Key; o.at(t, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// at reports that a row has a task's own address: that of its interface, or a port of
// its instance that is published for it.
func (o *Observer) at(t *task, key fleet.TargetKey) bool {
	switch own := fleet.NewTargetKey(key.Group, t.addr.ipv4, key.Port); {
	case t.addr.ipv4 != "" && own == key, t.addr.ipv6 != "" && fleet.NewTargetKey(key.Group, t.addr.ipv6, key.Port) == key:
		return true
	}
	i := o.instances[t.value.ContainerInstance]
	return i != nil && i.ec2 != "" && i.ec2 == key.ID && slices.ContainsFunc(t.addr.bindings, func(b binding) bool { return b.host == key.Port })
}

// astray are the tasks of a service of which neither the load balancers are known nor
// a row has been found: they may have rows that nobody sees.
func (o *Observer) astray(s *service) *fleet.Scope {
	scope := new(fleet.Scope)
	for _, t := range s.cluster.tasks {
		if t.value == nil || t.final() || t.service != s.id {
			continue
		}
		if _, known := s.loadBalancers(t.value.StartedBy); !known && len(o.found(t, s)) == 0 {
			scope.Tasks = append(scope.Tasks, t.arn)
		}
	}
	return scope
}

// unsettled reports that a task is of a deployment whose load balancers are not known:
// its rows are looked for in what is read of the groups, each time anew.
func (o *Observer) unsettled(t *task) bool {
	s := o.services[t.service]
	if s == nil || s.value == nil || t.value.StartedBy == s.primary {
		return false
	}
	_, known := s.loadBalancers(t.value.StartedBy)
	return !known
}
