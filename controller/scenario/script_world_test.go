package scenario

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// region [seed=N] [latency=DURATION] [PARAM=VALUE …]
//
// An AWS region whose replies take so long (50ms). PARAM is a field of
// [sim.Params] in lower case with dashes, VALUE a duration, a range 5s..2m, a
// number, true or false, or ranges of operations: reregister=5s..2m,
// never-reregister=true, reply-ages=(ListTasks:20s,DescribeTasks:0s..10s).
func (s *script) cmdRegion(a *arguments) string {
	o := sim.Options{Seed: 1, Throttle: true, Latency: 50 * time.Millisecond}
	if seed, ok := a.number("seed"); ok {
		o.Seed = uint64(seed)
	}
	if d, ok := a.duration("latency"); ok {
		o.Latency = d
	}
	params := sim.DefaultParams()
	fields := reflect.ValueOf(&params).Elem()
	for i := range fields.NumField() {
		name := dashed(fields.Type().Field(i).Name)
		if text, ok := a.value(name); ok {
			if err := setParam(fields.Field(i), text); err != nil {
				a.fail("%s: %v", name, err)
			}
		}
	}
	o.Params = &params
	s.region = sim.New(o)
	s.region.Witness(s.tell)
	return ""
}

// tell logs a write that AWS carries out.
func (s *script) tell(w sim.Write) {
	for _, key := range w.Keys {
		state := "which is not there"
		if row := w.Row(key); row != nil {
			state = string(row.State)
		}
		s.log.add(w.At, "AWS", fmt.Sprintf("%s %s in %s (%s)", w.Operation, key.Address(), key.Group.Name(), state))
	}
}

// dashed writes a field's name as scripts do: NeverReregister is never-reregister.
func dashed(field string) string {
	return strings.ToLower(regexp.MustCompile("([a-z0-9])([A-Z])").ReplaceAllString(field, "$1-$2"))
}

func setParam(field reflect.Value, text string) error {
	switch p := field.Addr().Interface().(type) {
	case *time.Duration:
		d, err := time.ParseDuration(text)
		*p = d
		return err
	case *sim.Range:
		var err error
		*p, err = span(text)
		return err
	case *map[string]sim.Range:
		*p = map[string]sim.Range{}
		for part := range strings.SplitSeq(text, ",") {
			operation, text, _ := strings.Cut(strings.TrimSpace(part), ":")
			r, err := span(text)
			if err != nil {
				return err
			}
			(*p)[operation] = r
		}
		return nil
	case *bool:
		b, err := strconv.ParseBool(text)
		*p = b
		return err
	case *int:
		n, err := strconv.Atoi(text)
		*p = n
		return err
	default:
		return fmt.Errorf("a %s cannot be set by a script", field.Type())
	}
}

// span is a range 5s..2m, or one duration.
func span(text string) (sim.Range, error) {
	from, to, ok := strings.Cut(text, "..")
	if !ok {
		to = from
	}
	low, err := time.ParseDuration(from)
	if err != nil {
		return sim.Range{}, err
	}
	high, err := time.ParseDuration(to)
	return sim.Range{Min: low, Max: high}, err
}

// cluster NAME [instances=N]
//
// A cluster, with so many EC2 container instances. Those that services name are
// made by themselves.
func (s *script) cmdCluster(a *arguments) string {
	n, _ := a.number("instances")
	s.must(a, s.region.AddCluster(a.need("name"), sim.ClusterOptions{Instances: n}))
	return ""
}

// service CLUSTER/NAME [KIND] [desired=N] [min=PERCENT] [max=PERCENT]
// [grace=DURATION] [delay=DURATION] [cross-zone] [healthy-count=N]
// [healthy-percent=N] [lb-check=tcp|http] [lb-interval=DURATION] [protocol=NAME]
// [bridge|bridge-ipv6|host|daemon|ipv6] [alb] [new] [breaker]
//
// A service that has been calm for a while, or a new one, whose tasks are still to
// start. breaker turns its deployment circuit breaker on, without a rollback. KIND is reference (the default: a
// gRPC app behind nginx, which a container check asks every 5 s and the NLB only by
// TCP), web (one container without a check, which the balancer asks by HTTP),
// worker (a check and no balancer), two-groups (a check and two target groups),
// two-checks (two containers with a check each), app-checked (reference, and the check
// is of the app, which has not the balancer's port), blue-green, or external: its
// tasks are those of task sets that somebody else makes. delay is the
// deregistration delay, healthy-count and healthy-percent the group's
// target_group_health minimum for routing, protocol the group's (TCP). alb puts an
// Application Load Balancer before it, in place of an NLB.
func (s *script) cmdService(a *arguments) string {
	id := s.newService(a)
	kind := "reference"
	for _, k := range []string{"web", "worker", "two-groups", "two-checks", "app-checked", "blue-green", "external"} {
		if a.is(k) {
			kind = k
		}
	}
	check := &fleet.HealthCheck{Command: []string{"CMD", "/check"}, Interval: 10 * time.Second, Timeout: 5 * time.Second, Retries: 3}
	spec := sim.ServiceSpec{Cluster: id.Cluster, Name: id.Name, Settled: true, Containers: []sim.ContainerSpec{{Name: "app", Ports: []int{8080}, Check: check}}}
	group := func(name string) sim.GroupSpec { return sim.GroupSpec{Name: name} }
	switch kind {
	case "reference":
		spec = sim.ReferenceWorkload(id.Cluster, id.Name)
		spec.Groups[0].Name = id.Name
	case "web":
		spec.Containers[0].Check = nil
		spec.Groups = []sim.GroupSpec{{Name: id.Name, Check: fleet.TargetCheck{Protocol: "HTTP", Interval: 10 * time.Second}}}
	case "worker":
	case "two-checks":
		spec.Containers = append(spec.Containers, sim.ContainerSpec{Name: "sidecar", Ports: []int{9090}, Check: &fleet.HealthCheck{Interval: 5 * time.Second, Timeout: 2 * time.Second, Retries: 2}})
		spec.Groups = []sim.GroupSpec{group(id.Name)}
	case "app-checked":
		spec = sim.ReferenceWorkload(id.Cluster, id.Name)
		spec.Groups[0].Name = id.Name
		spec.Containers[0].Check, spec.Containers[1].Check = spec.Containers[1].Check, spec.Containers[0].Check
	case "two-groups":
		spec.Groups = []sim.GroupSpec{group(id.Name + "-inner"), group(id.Name + "-outer")}
	case "blue-green":
		spec.Groups = []sim.GroupSpec{{Name: id.Name, Alternate: true}}
	case "external":
		spec.Controller = fleet.ControllerExternal
		spec.Groups = []sim.GroupSpec{group(id.Name)}
	}
	if a.is("new") {
		spec.Settled = false
	}
	if a.is("breaker") {
		spec.Breaker = sim.BreakerOn
	}
	spec.Desired = 6
	if n, ok := a.number("desired"); ok {
		spec.Desired = n
	}
	if n, ok := a.number("min"); ok {
		spec.MinimumHealthyPercent = n
	}
	if n, ok := a.number("max"); ok {
		spec.MaximumPercent = n
	}
	spec.Grace, _ = a.duration("grace")
	switch {
	case a.is("bridge"):
		spec.LaunchType, spec.NetworkMode = fleet.EC2, fleet.NetworkBridge
	case a.is("bridge-ipv6"): // a host port for IPv4 and one for IPv6
		spec.LaunchType, spec.NetworkMode, spec.IPv6 = fleet.EC2, fleet.NetworkBridge, true
	case a.is("host"):
		spec.LaunchType, spec.NetworkMode = fleet.EC2, fleet.NetworkHost
	case a.is("daemon"):
		spec.LaunchType, spec.Scheduling, spec.Desired = fleet.EC2, fleet.Daemon, 0
	case a.is("ipv6"):
		spec.IPv6 = true
	}
	for i := range spec.Groups {
		spec.Groups[i].Tags = map[string]string{"castoff:managed": "true"}
	}
	s.groupArguments(a, &spec)
	s.must(a, s.region.AddService(spec))
	s.services = append(s.services, id)
	if s.judge != nil {
		s.judge.oracle.know(spec)
	}
	s.names.learn(s.region, s.services)
	return ""
}

// newService reads CLUSTER/NAME and makes the cluster if need be.
func (s *script) newService(a *arguments) fleet.ServiceID {
	cluster, name, ok := strings.Cut(a.need("service"), "/")
	if !ok {
		a.fail("a service is written CLUSTER/NAME")
	}
	id := fleet.ServiceID{Cluster: cluster, Name: name}
	if slices.ContainsFunc(s.services, func(o fleet.ServiceID) bool { return o.Name == name }) {
		a.fail("the name %s is taken", name)
	}
	_ = s.region.AddCluster(cluster, sim.ClusterOptions{Instances: 4}) // it may be there
	return id
}

func (s *script) groupArguments(a *arguments, spec *sim.ServiceSpec) {
	delay, delayed := a.duration("delay")
	count, counted := a.value("healthy-count")
	protocol, checked := a.value("lb-check")
	interval, paced := a.duration("lb-interval")
	percent, parted := a.value("healthy-percent")
	name, named := a.value("protocol")
	crossZone, application := a.is("cross-zone"), a.is("alb")
	spec.CrossZone = a.is("balancer-cross-zone")
	for i := range spec.Groups {
		g := &spec.Groups[i]
		g.Attributes = map[string]string{}
		if delayed {
			g.DeregistrationDelay = delay
		}
		if crossZone {
			g.Attributes["load_balancing.cross_zone.enabled"] = "true"
		}
		if counted {
			g.Attributes["target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"] = count
		}
		if parted {
			g.Attributes["target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage"] = percent
		}
		if named {
			g.Protocol = name
		}
		if application {
			g.Balancer, g.Protocol = sim.Application, "HTTP"
		}
		if checked {
			g.Check.Protocol = strings.ToUpper(protocol)
		}
		if paced {
			g.Check.Interval = interval
		}
		if spec.IPv6 && spec.NetworkMode != fleet.NetworkBridge {
			g.IPAddressType = "ipv6"
		}
	}
}

// hang|crash|kill-front|exit|recover|disconnect|reconnect|interrupt|stop TASK…
//
// What happens to tasks: the app answers nothing, or refuses everything, behind
// a front that accepts; the front is dead; the container ends; all is well again;
// the agent is cut off from ECS, or no longer; Spot takes the capacity; a person
// stops the task. TASK is SERVICE/N, or SERVICE/all for those that run.
func (s *script) cmdTask(a *arguments) string {
	does := sim.TaskWord(a.d.Cmd)
	name := a.need("task")
	for ok := true; ok; name, ok = a.word() {
		service, which, _ := strings.Cut(name, "/")
		if which != "all" {
			s.must(a, does(s.region, s.task(a, name)))
			continue
		}
		for _, task := range s.region.Tasks(s.service(a, service)) {
			if task.Status == fleet.Running && task.Desired == fleet.Running {
				s.must(a, does(s.region, task.ARN))
			}
		}
	}
	return ""
}

// task finds a task by its name.
func (s *script) task(a *arguments, name string) fleet.TaskARN {
	s.names.learn(s.region, s.services)
	arn, ok := s.names.task[name]
	if !ok {
		a.fail("there is no task %s", name)
	}
	return arn
}

// service finds a service by its name, with or without the cluster's.
func (s *script) service(a *arguments, name string) fleet.ServiceID {
	if _, after, ok := strings.Cut(name, "/"); ok {
		name = after
	}
	for _, id := range s.services {
		if id.Name == name {
			return id
		}
	}
	a.fail("there is no service %s", name)
	return fleet.ServiceID{}
}

// shift SERVICE [ZONE]
//
// A zonal shift: the service's traffic leaves the zone, or without one comes back.
func (s *script) cmdShift(a *arguments) string {
	id := s.service(a, a.need("service"))
	zone, _ := a.word()
	s.must(a, s.region.ZonalShift(id, zone))
	return ""
}

// next SERVICE FATE…
//
// How the next tasks that the service starts turn out: answers, hangs, never
// (it never runs) or exits (right after its start).
func (s *script) cmdNext(a *arguments) string {
	id := s.service(a, a.need("service"))
	for word, ok := a.word(); ok; word, ok = a.word() {
		s.must(a, s.region.NextTasks(id, fate(a, word)))
	}
	return ""
}

func fate(a *arguments, word string) sim.Fate {
	f, ok := sim.FateOf(word)
	if !ok {
		a.fail("unknown fate %s", word)
	}
	return f
}

// scale SERVICE N
func (s *script) cmdScale(a *arguments) string {
	id := s.service(a, a.need("service"))
	n, err := strconv.Atoi(a.need("desired count"))
	s.must(a, err, s.region.Scale(id, n))
	if s.judge != nil {
		spec := s.judge.oracle.specs[id]
		spec.Desired = n
		s.judge.oracle.know(spec)
	}
	return ""
}

// deploy SERVICE [FATE] [group=NAME] [container=NAME] [port=N] [no-group]
//
// A deployment of a new revision, by the service's own strategy. FATE, as of
// next, is that of every task of the revision. With group, container
// and port the service has that target group from now on; with no-group none.
func (s *script) cmdDeploy(a *arguments) string {
	id := s.service(a, a.need("service"))
	var r sim.Revision
	if word, ok := a.word(); ok {
		r.Fate = fate(a, word)
	}
	name, named := a.value("group")
	port, moved := a.number("port")
	container, _ := a.value("container")
	switch {
	case a.is("no-group"):
		r.Groups = []sim.GroupSpec{}
	case named || moved:
		if !named {
			name = id.Name
		}
		r.Groups = []sim.GroupSpec{{Name: name, Container: container, Port: port, Tags: map[string]string{"castoff:managed": "true"}}}
	}
	s.must(a, s.region.DeployRevision(id, r))
	return ""
}

// task-set SERVICE PERCENT
//
// One more task set of an external service, of so many per cent of its desired
// count.
func (s *script) cmdTaskSet(a *arguments) string {
	id := s.service(a, a.need("service"))
	percent, err := strconv.ParseFloat(a.need("percentage"), 64)
	s.must(a, err)
	_, err = s.region.CreateTaskSet(id, sim.TaskSetSpec{Percent: percent})
	s.must(a, err)
	return ""
}

// say TASK STATE
//
// The balancer says a state of the task's targets that the model has no reason to,
// such as unavailable, until it has another to tell of.
func (s *script) cmdSay(a *arguments) string {
	arn := s.task(a, a.need("task"))
	state := a.need("state")
	for _, key := range s.names.targets[arn] {
		s.must(a, s.region.Say(key, fleet.TargetState(state), ""))
	}
	return ""
}

// set SERVICE [balancer] [cross-zone=…] [dns-count=N]
//
// Somebody changes attributes of a service's first target group, or of the load
// balancer that it is attached to.
func (s *script) cmdSet(a *arguments) string {
	ofBalancer := a.is("balancer")
	changes := map[string]string{}
	for word, key := range map[string]string{
		"cross-zone": "load_balancing.cross_zone.enabled", "dns-count": "target_group_health.dns_failover.minimum_healthy_targets.count",
	} {
		if val, ok := a.value(word); ok {
			changes[key] = val
		}
	}
	group := s.region.Tasks(s.service(a, a.need("service")))[0].Targets[0].Group
	if ofBalancer {
		s.must(a, s.region.SetBalancerAttributes(s.region.BalancerARN(group), changes))
	} else {
		s.must(a, s.region.SetGroupAttributes(group, changes))
	}
	return ""
}

// tag SERVICE|cluster=NAME KEY, the value as input
//
// Sets a tag of a service or cluster; without input it is taken away.
func (s *script) cmdTag(a *arguments) string {
	id := fleet.ServiceID{}
	if name, ok := a.value("cluster"); ok {
		id.Cluster = name
	} else {
		id = s.service(a, a.need("service"))
	}
	set := s.region.Tag
	if s.judge != nil {
		set = s.judge.oracle.tag
	}
	s.must(a, set(id, a.need("key"), strings.TrimSpace(a.d.Input)))
	return ""
}

// delete service SERVICE | group GROUP | cluster NAME
func (s *script) cmdDelete(a *arguments) string {
	switch what := a.need("kind"); what {
	case "service":
		s.must(a, s.region.DeleteService(s.service(a, a.need("service"))))
	case "group":
		s.must(a, s.region.RemoveGroup(s.names.groupARN(a)))
	case "cluster":
		s.must(a, s.region.RemoveCluster(a.need("name")))
	default:
		a.fail("cannot delete a %s", what)
	}
	return ""
}

// fault EFFECT [OPERATION] [resource=TEXT] [count=N] [delay=FROM..TO]
//
// Requests go wrong until lifted, or so many: those of the operation, that speak
// of the resource (part of an ARN). EFFECT is one of [sim.Effect]'s with dashes;
// delay is for delay and delay-reply.
func (s *script) cmdFault(a *arguments) string {
	effect := a.need("effect")
	operation, _ := a.word()
	resource, _ := a.value("resource")
	count, _ := a.number("count")
	var delay sim.Range
	if text, ok := a.value("delay"); ok {
		var err error
		delay, err = span(text)
		s.must(a, err)
	}
	set := s.region.Fault
	if s.judge != nil {
		set = s.judge.oracle.fault
	}
	s.lifts[effect+operation] = set(sim.Fault{
		Effect: sim.Effect(strings.ReplaceAll(effect, "-", "_")), Operation: operation, Resource: resource, Count: count, Delay: delay,
	})
	return ""
}

// lift EFFECT [OPERATION]
func (s *script) cmdLift(a *arguments) string {
	effect := a.need("effect")
	operation, _ := a.word()
	lift := s.lifts[effect+operation]
	if lift == nil {
		a.fail("there is no such fault")
	}
	lift()
	delete(s.lifts, effect+operation)
	return ""
}

// deregister|register TASK
//
// What somebody else does: a caller of the API takes the task's targets out, or
// puts them in. Where AWS does not let it, it says so, after 10 s at most.
func (s *script) cmdChange(a *arguments) string {
	cfg := awsapi.Simulated("http://aws.invalid", sim.RegionName)
	cfg.HTTPClient = sim.Doer{Region: s.region}
	client := elb.NewFromConfig(cfg)
	arn := s.task(a, a.need("task"))
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	for _, key := range s.names.targets[arn] {
		group := aws.String(string(key.Group))
		targets := []elbtypes.TargetDescription{{Id: aws.String(key.ID), Port: aws.Int32(int32(key.Port))}}
		var err error
		if a.d.Cmd == "deregister" {
			_, err = client.DeregisterTargets(ctx, &elb.DeregisterTargetsInput{TargetGroupArn: group, Targets: targets})
		} else {
			_, err = client.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: group, Targets: targets})
		}
		if err != nil {
			return "it did not get through\n"
		}
	}
	return ""
}
