package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Stop codes.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
const (
	codeFailedToStart = "TaskFailedToStart"
	codeExited        = "EssentialContainerExited"
	codeUser          = "UserInitiated"
	codeScheduler     = "ServiceSchedulerInitiated"
	codeSpot          = "SpotInterruption"
)

// Fate is how a task that has yet to be started will turn out.
type Fate int

// The fates.
const (
	Answers     Fate = iota // starts and answers
	StartsHung              // starts, accepts connections and never answers
	NeverStarts             // its image cannot be pulled: TaskFailedToStart
	Exits                   // starts, answers, and its essential container exits ten seconds later
)

type task struct {
	region     *Region
	cluster    *cluster
	service    *service    // nil: standalone
	deployment *deployment // nil: standalone
	def        *definition
	id         string
	arn        fleet.TaskARN
	seq        int    // place in the order of creation, within the cluster
	number     int    // the same within the service; 0: standalone
	startedBy  string // of a standalone one, as group
	group      string
	tags       map[string]string

	zone       string
	instance   *instance // nil on Fargate
	ipv4, ipv6 string
	eni        string // id of the attachment; empty outside awsvpc

	status     fleet.TaskStatus
	desired    fleet.TaskStatus
	version    int64
	health     fleet.HealthStatus
	containers []*container
	targets    []*registration

	created, connected, pullStarted, pullStopped, started time.Time
	deactivated, stoppingAt, executionStopped, stopped    time.Time
	stopCode, stoppedReason                               string

	mind
	launched bool // the runtime was told to start it
	cut      bool // its agent cannot reach ECS, which keeps the last health that it heard
	stops    int  // raised when the task is told to stop: what was still to come does not
	drainEnd time.Time

	past past[taskJSON]

	scheduling // what the service scheduler thinks of it
	failure    *failure
	servingAt  time.Time // all its targets were healthy for the first time
}

type container struct {
	spec     ContainerSpec
	probe    *probe // nil: no check
	health   fleet.HealthStatus
	reported fleet.HealthStatus
	exit     *int
	ports    map[int]int // container port → host port; none with awsvpc
	six      map[int]int // the same for IPv6, where that has ports of its own
}

// newTask makes a task in its first state and gives it its place and address,
// in a given zone or, when that is empty, in any. It is nil when no container
// instance has room.
func (r *Region) newTask(c *cluster, s *service, d *deployment, def *definition, zone string) *task {
	var host *instance
	if def.launchType == fleet.EC2 {
		if host = c.roomFor(s, def, zone); host == nil {
			return nil
		}
	}
	c.taskSeq++
	subnets := zones[:]
	if s != nil {
		subnets = s.spec.subnets()
	}
	t := &task{
		region: r, cluster: c, service: s, deployment: d, def: def, seq: c.taskSeq, id: r.hex(32),
		status: fleet.Provisioning, desired: fleet.Running, version: 1, health: fleet.Unknown, created: r.now,
		zone: subnets[c.taskSeq%len(subnets)],
	}
	t.arn = fleet.TaskARN(ecsARN("task/" + c.name + "/" + t.id))
	for _, spec := range def.containers {
		t.containers = append(t.containers, &container{spec: spec, health: fleet.Unknown, reported: fleet.Unknown})
	}
	if zone != "" {
		t.zone = zone
	}
	if host != nil {
		t.place(host)
	}
	if def.network == fleet.NetworkAWSVPC {
		t.eni = r.uuid()
		r.giveAddress(t)
	}
	c.tasks = append(c.tasks, t)
	c.taskIDs[t.id] = t
	t.touch()
	if s != nil {
		s.live = append(s.live, t)
		s.numbered++
		t.number = s.numbered
		d.tasks++
		for _, g := range s.groupsOf(d) {
			for _, key := range t.targetKeys(g) {
				t.targets = append(t.targets, &registration{task: t, group: g.group, key: key})
			}
		}
	}
	return t
}

// place puts the task on a container instance and binds the host ports.
func (t *task) place(host *instance) {
	t.instance, t.zone = host, host.zone
	if t.def.network == fleet.NetworkAWSVPC {
		return
	}
	for _, c := range t.containers {
		c.ports, c.six = map[int]int{}, map[int]int{}
		for _, port := range c.spec.Ports {
			if t.def.network == fleet.NetworkBridge && t.service != nil && t.service.spec.IPv6 {
				c.six[port] = t.instance.freePort()
				t.instance.ports[c.six[port]] = t
			}
			host := port
			if t.def.network == fleet.NetworkBridge {
				host = t.instance.freePort()
			}
			c.ports[port] = host
			t.instance.ports[host] = t
		}
	}
}

// targetKeys are the rows that ECS registers in a group: one, and another where the
// container's port is published for IPv6 on a port of its own.
//
// Source: https://github.com/aws/amazon-ecs-agent/issues/2870
func (t *task) targetKeys(g serviceGroup) []fleet.TargetKey {
	keys := []fleet.TargetKey{t.targetKey(g)}
	for _, c := range t.containers {
		if port := c.six[g.port]; c.spec.Name == g.container && port > 0 {
			keys = append(keys, fleet.NewTargetKey(g.group.arn, t.instance.id, port))
		}
	}
	return keys
}

func (t *task) targetKey(g serviceGroup) fleet.TargetKey {
	if t.def.network == fleet.NetworkAWSVPC {
		if g.group.ipType == "ipv6" {
			return fleet.NewTargetKey(g.group.arn, t.ipv6, g.port)
		}
		return fleet.NewTargetKey(g.group.arn, t.ipv4, g.port)
	}
	for _, c := range t.containers {
		if c.spec.Name == g.container {
			return fleet.NewTargetKey(g.group.arn, t.instance.id, c.ports[g.port])
		}
	}
	return fleet.TargetKey{Group: g.group.arn}
}

// giveAddress hands out a free address: the one that has been free for longest,
// where [Params.ReuseAddresses] lets it, else the next that nobody had. They go
// round, so an address is given out again in any case once all others have been
// used.
func (r *Region) giveAddress(t *task) {
	if r.reuseAddress(t) {
		return
	}
	for {
		n := r.addressSeq % (1<<16 - 512)
		r.addressSeq++
		t.ipv4 = fmt.Sprintf("%s.%d.%d", r.subnet, 1+n/254, 1+n%254)
		if n/254 < 255 && r.addresses[t.ipv4] == nil {
			r.addresses[t.ipv4] = t
			if t.service != nil && t.service.spec.IPv6 {
				t.ipv6 = fmt.Sprintf("2001:db8::%x:%x", 1+n/254, 1+n%254)
				r.addresses[t.ipv6] = t
			}
			return
		}
	}
}

// freed is an address that a task has given back.
type freed struct {
	ipv4, ipv6 string
	at         time.Time
}

func (r *Region) freeAddress(t *task) {
	if t.ipv4 == "" {
		return
	}
	delete(r.addresses, t.ipv4)
	delete(r.addresses, t.ipv6)
	if r.params.ReuseAddresses > 0 {
		r.freedAddresses = append(r.freedAddresses, freed{t.ipv4, t.ipv6, r.now})
	}
}

// reuseAddress gives the task an address that another had before.
func (r *Region) reuseAddress(t *task) bool {
	v6 := t.service != nil && t.service.spec.IPv6
	for i, f := range r.freedAddresses {
		if !r.since(f.at, r.params.ReuseAddresses) {
			return false
		}
		if v6 != (f.ipv6 != "") || r.addresses[f.ipv4] != nil {
			continue
		}
		t.ipv4, t.ipv6 = f.ipv4, f.ipv6
		r.addresses[t.ipv4] = t
		if v6 {
			r.addresses[t.ipv6] = t
		}
		r.freedAddresses = slices.Delete(r.freedAddresses, i, i+1)
		return true
	}
	return false
}

func (r *Region) uuid() string {
	h := r.hex(32)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// starter is what the task has for startedBy.
func (t *task) starter() string {
	if t.deployment != nil {
		return t.deployment.id
	}
	return t.startedBy
}

// to moves the task to a status.
func (t *task) to(s fleet.TaskStatus) {
	t.status = s
	t.version++
	t.touch()
	t.truthStatus()
	if t.service != nil {
		t.service.inactive()
	}
}

// then runs the next step of a task's life after a while, unless the task is
// told to stop (or to stop faster) before that.
func (t *task) then(g Range, do func()) {
	stops := t.stops
	t.region.after(t.region.draw(g), func() {
		if t.stops == stops {
			do()
		}
	})
}

// provision begins the task's way to RUNNING.
func (t *task) provision(f Fate) {
	p := &t.region.params
	if t.eni == "" {
		t.status = fleet.Pending
		t.pending(f)
		return
	}
	t.then(p.Provisioning, func() {
		t.to(fleet.Pending)
		t.pending(f)
	})
}

func (t *task) pending(f Fate) {
	p := &t.region.params
	t.connected = t.region.now
	t.then(p.Pending, func() {
		t.pullStarted = t.region.now
		t.touch()
		t.then(p.Pull, func() {
			if f == NeverStarts {
				t.fail(NeverStarted)
				t.stop(codeFailedToStart, "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref")
				return
			}
			t.pullStopped = t.region.now
			t.to(fleet.Activating)
			for _, target := range t.targets {
				target.group.register(target.key, t.zone, t)
				t.service.tell(eventRegistered + "(target-group " + string(target.group.arn) + ")")
			}
			t.then(p.Activating, func() {
				if t.region.runtime != nil {
					t.launch() // and runs when that is reported
					return
				}
				t.run(f)
			})
		})
	})
}

// run is the instant at which the containers have been started.
func (t *task) run(f Fate) {
	r := t.region
	t.to(fleet.Running)
	t.started = r.now
	t.alive = true
	switch {
	case r.runtime != nil:
		t.turnApp(refusing, true) // until it is reported to answer
	case f == StartsHung:
		t.fail(Hang)
		t.turnApp(hung, true)
	default:
		t.turnApp(refusing, true)
		t.booting = true
		t.then(r.params.Boot, func() {
			if t.alive && t.booting {
				t.answer()
			}
		})
	}
	if f == Exits {
		t.then(Exactly(10*time.Second), func() { t.exit() })
	}
	for _, c := range t.containers {
		if check := c.spec.Check; check != nil {
			c.probe = t.containerProbe(c)
			c.probe.start(r.now.Add(c.probe.interval))
		}
	}
	if s := t.service; s != nil {
		s.failedStarts = 0
		t.then(Exactly(s.spec.Grace), func() { s.weigh(t) })
		t.then(Exactly(r.params.SteadyWithoutChecks), func() { s.weigh(t) })
		s.weigh(t)
	}
}

// settledTask makes a task that has been running well for a while.
func (r *Region) settledTask(s *service) {
	d := s.deployments[0]
	t := r.newTask(s.cluster, s, d, d.def, "")
	if t == nil {
		return
	}
	t.status, t.version = fleet.Running, 4
	t.app, t.own, t.front, t.alive, t.sound = answering, answering, true, true, true
	age := func(d time.Duration) time.Time { return r.now.Add(-r.scale(d)) }
	t.created, t.connected = age(time.Hour), age(time.Hour-5*time.Second)
	t.pullStarted, t.pullStopped = age(time.Hour-8*time.Second), age(time.Hour-21*time.Second)
	t.started = age(time.Hour - 23*time.Second)
	for _, c := range t.containers {
		if c.spec.Check != nil {
			c.probe = t.containerProbe(c)
			c.probe.settle(r.phase(c.spec.Check.Interval))
			c.health, c.reported = fleet.Healthy, fleet.Healthy
		}
	}
	t.health = t.judge()
	for _, target := range t.targets {
		target.group.settle(target.key, t.zone, t)
	}
	t.served, t.servingAt = true, r.now
	if r.runtime != nil {
		t.launch()
	}
}
