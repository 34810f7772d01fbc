package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

const (
	account = "arn:aws:ecs:eu-central-1:123456789012:"
	prod    = fleet.ClusterARN(account + "cluster/prod")
)

var (
	noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	web  = fleet.ServiceID{Cluster: "prod", Name: "web"}
)

// scene is a fleet that a test can change: one service of four tasks in two
// zones behind one group, all well, unless it is told otherwise.
type scene struct {
	behind      time.Duration // how old replies may be
	now         time.Time
	began       time.Time
	tick        time.Duration // from one reading to the next
	clusters    []*fleet.Cluster
	services    []*fleet.Service
	tasks       []*fleet.Task
	groups      []*fleet.TargetGroup
	definitions map[fleet.TaskDefinitionARN]*fleet.TaskDefinition
	gaps        []fleet.Gap
	limits      Limits
	fleet       FleetLimits
	pauses      []Pause
	halts       []Halt
	denied      []Denial
	underWay    Calls
	state       State
	detachments []Detachment
}

func calm() *scene {
	l := DefaultLimits()
	l.Mode = Detaching
	s := &scene{now: noon, began: noon.Add(-time.Hour), tick: 2 * time.Second, limits: l, fleet: DefaultFleetLimits(),
		definitions: make(map[fleet.TaskDefinitionARN]*fleet.TaskDefinition)}
	s.clusters = []*fleet.Cluster{{ARN: prod, Name: "prod", Status: "ACTIVE"}}
	s.add("web", 4)
	// A second one, so that web is not the whole fleet.
	s.add("api", 20)
	return s
}

func groupARN(name string) fleet.TargetGroupARN {
	return fleet.TargetGroupARN("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/" + name + "/0123456789abcdef")
}

func definitionARN(name string) fleet.TaskDefinitionARN {
	return fleet.TaskDefinitionARN(account + "task-definition/" + name + ":1")
}

// add adds a service of n healthy tasks behind a group of its name.
func (s *scene) add(name string, n int) {
	check := &fleet.HealthCheck{Interval: 5 * time.Second, Timeout: 3 * time.Second, Retries: 2, StartPeriod: 10 * time.Second}
	s.definitions[definitionARN(name)] = &fleet.TaskDefinition{ARN: definitionARN(name), NetworkMode: fleet.NetworkAWSVPC, Containers: []fleet.ContainerDefinition{
		{Name: "nginx", Essential: true, Check: check}, {Name: "app", Essential: true}, {Name: "side", Check: check},
	}}
	id := fleet.ServiceID{Cluster: "prod", Name: name}
	s.services = append(s.services, &fleet.Service{
		ID: id, ARN: fleet.ServiceARN(account + "service/prod/" + name), Cluster: prod, Status: "ACTIVE", Scheduling: fleet.Replica,
		Controller: fleet.ControllerECS, Desired: n, Running: n, Grace: 30 * time.Second,
		Deployments:   []fleet.Deployment{{ID: "ecs-svc/1", Status: "PRIMARY", Rollout: "COMPLETED", Definition: definitionARN(name), Desired: n, Running: n}},
		LoadBalancers: []fleet.LoadBalancer{{Group: groupARN(name), Container: "nginx", Port: 10080}},
	})
	s.groups = append(s.groups, &fleet.TargetGroup{ARN: groupARN(name), Name: name, Protocol: "TCP", TargetType: fleet.TargetTypeIP,
		Attributes: fleet.TargetGroupAttributes{Known: true, CrossZone: "true", Raw: map[string]string{}}})
	for i := range n {
		s.start(name, i)
	}
}

// start adds a task of a service, an hour old, and its healthy target.
func (s *scene) start(service string, i int) *fleet.Task {
	n := slices.IndexFunc(s.services, func(svc *fleet.Service) bool { return svc.ID.Name == service })
	zone := []string{"eu-central-1a", "eu-central-1b"}[i%2]
	key := fleet.NewTargetKey(groupARN(service), fmt.Sprintf("10.0.%d.%d", n, i+1), 10080)
	t := &fleet.Task{
		ARN: taskARN(service, i), Cluster: prod, Service: fleet.ServiceID{Cluster: "prod", Name: service}, Definition: definitionARN(service),
		StartedBy: "ecs-svc/1", LaunchType: fleet.Fargate, Zone: zone, LastStatus: fleet.Running, DesiredStatus: fleet.Running,
		Health: fleet.Unknown, Connectivity: fleet.Connected, Created: noon.Add(-time.Hour), Started: noon.Add(-time.Hour),
		Containers: []fleet.Container{{Name: "nginx"}, {Name: "app", Health: fleet.Unknown}, {Name: "side", Health: fleet.Healthy}},
		Targets:    []fleet.TargetKey{key},
	}
	heal(t)
	s.tasks = append(s.tasks, t)
	g := s.group(service)
	g.Targets = append(g.Targets, fleet.Target{Key: key, State: fleet.TargetHealthy, Zone: zone})
	return t
}

func taskARN(service string, i int) fleet.TaskARN {
	return fleet.TaskARN(fmt.Sprintf("%stask/prod/%s-%04d", account, service, i))
}

func fail(t *fleet.Task) { t.Health, t.Containers[0].Health = fleet.Unhealthy, fleet.Unhealthy }
func heal(t *fleet.Task) { t.Health, t.Containers[0].Health = fleet.Healthy, fleet.Healthy }

// unknown is a task whose checks have not been passed or failed yet.
func unknown(t *fleet.Task) { t.Health, t.Containers[0].Health = fleet.Unknown, fleet.Unknown }

// unchecked gives a task a definition in which no essential container has a check.
func (s *scene) unchecked(t *fleet.Task) {
	def := *s.definitions[t.Definition]
	def.ARN += "0"
	def.Containers = slices.Clone(def.Containers)
	for i := range def.Containers {
		if def.Containers[i].Essential {
			def.Containers[i].Check = nil
		}
	}
	s.definitions[def.ARN], t.Definition = &def, def.ARN
}

// task is one of a service's, in the order in which they were added.
func (s *scene) task(service string, i int) *fleet.Task {
	at := slices.IndexFunc(s.tasks, func(t *fleet.Task) bool { return t.ARN == taskARN(service, i) })
	return s.tasks[at]
}

func (s *scene) service(name string) *fleet.Service {
	return s.services[slices.IndexFunc(s.services, func(svc *fleet.Service) bool { return svc.ID.Name == name })]
}

func (s *scene) group(name string) *fleet.TargetGroup {
	return s.groups[slices.IndexFunc(s.groups, func(g *fleet.TargetGroup) bool { return g.ARN == groupARN(name) })]
}

// row is a task's first target; nil when it has none.
func (s *scene) row(service string, i int) *fleet.Target {
	key := s.task(service, i).Targets[0]
	for _, g := range s.groups {
		for j := range g.Targets {
			if g.Targets[j].Key == key {
				return &g.Targets[j]
			}
		}
	}
	return nil
}

// read lets time pass and reads everything again.
func (s *scene) read() {
	s.now = s.now.Add(s.tick)
	r := fleet.Read{Sent: s.now.Add(-200 * time.Millisecond), Received: s.now.Add(-100 * time.Millisecond), Behind: s.behind}
	for _, t := range s.tasks {
		t.Read = r
	}
	for _, g := range s.groups {
		g.Read, g.Inventory, g.Attributes.Read = r, r, r
		for i := range g.Balancers {
			g.Balancers[i].Read = r
		}
	}
	for _, svc := range s.services {
		svc.Read = r
	}
	for _, c := range s.clusters {
		c.Read = r
	}
}

func copies[T any](from []*T) []*T {
	to := make([]*T, len(from))
	for i, p := range from {
		v := *p
		to[i] = &v
	}
	return to
}

func (s *scene) input() Input {
	groups := copies(s.groups)
	for _, g := range groups {
		g.Targets, g.Balancers = slices.Clone(g.Targets), slices.Clone(g.Balancers)
		g.Attributes.Raw = maps.Clone(g.Attributes.Raw)
	}
	tasks := copies(s.tasks)
	for _, t := range tasks {
		t.Containers, t.Targets = slices.Clone(t.Containers), slices.Clone(t.Targets)
	}
	limits := s.limits
	return Input{
		Now: s.now, State: s.state, Detachments: s.detachments,
		Snapshot: fleet.NewSnapshot(fleet.Snapshot{
			At: s.now, Clusters: copies(s.clusters), Services: copies(s.services), Tasks: tasks, TargetGroups: groups,
			Definitions: maps.Clone(s.definitions), Gaps: slices.Clone(s.gaps),
		}),
		Limits: func(fleet.ServiceID) Limits { return limits },
		Fleet:  s.fleet, Pauses: s.pauses, Began: s.began, Halts: s.halts, Denied: s.denied, UnderWay: s.underWay,
	}
}

// decide is one decision, remembered.
func (s *scene) decide() []Verdict {
	verdicts, state := decide(s.input())
	s.state = state
	return verdicts
}

// verdict is the one of a task; it must have one.
func verdict(t testing.TB, verdicts []Verdict, task fleet.TaskARN) Verdict {
	t.Helper()
	for _, v := range listed(verdicts) {
		if v.Task == task {
			return v
		}
	}
	t.Fatalf("no verdict for %s", task.ID())
	return Verdict{}
}

// guardCase changes one thing of a fleet in which one task of web hangs and was
// read so twice: without the change it is allowed.
type guardCase struct {
	name   string
	change func(*scene)
	want   Decision
	reason Reason
	says   string        // part of the sentence; after "= " all of it
	until  time.Duration // from now; 0: not known
}

func testGuard(t *testing.T, g Guard, cases []guardCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := calm()
			fail(s.task("web", 0))
			s.read()
			s.decide()
			s.read()
			if c.change != nil {
				c.change(s)
			}
			verdict := verdict(t, s.decide(), taskARN("web", 0))
			f, ok := verdict.Finding(g)
			if !ok {
				t.Fatalf("the guard %s was not asked", g)
			}
			if f.Decision != c.want || f.Reason != c.reason || !says(f.Sentence, c.says) {
				t.Errorf("%s %s: %q, want %s %s: …%q…", f.Decision, f.Reason, f.Sentence, c.want, c.reason, c.says)
			}
			var until time.Duration
			if !f.Until.IsZero() {
				until = f.Until.Sub(s.now)
			}
			if until != c.until {
				t.Errorf("until %v from now, want %v", until, c.until)
			}
			if (f.Decision == Allow) == (verdict.Decision != Allow) && c.want != Allow {
				t.Errorf("the guard says %s and the verdict is %s", f.Decision, verdict.Decision)
			}
		})
	}
}

// says reports that a sentence has a part in it, or, after "= ", that it is all of it.
func says(sentence, part string) bool {
	if whole, ok := strings.CutPrefix(part, "= "); ok {
		return sentence == whole
	}
	return strings.Contains(sentence, part)
}

func TestWithoutAReasonItIsAllowed(t *testing.T) {
	s := calm()
	fail(s.task("web", 0))
	s.read()
	if v := verdict(t, s.decide(), taskARN("web", 0)); v.Decision != Hold || v.Guard != Confirm {
		t.Errorf("at first sight: %s %s %s", v.Decision, v.Guard, v.Sentence)
	}
	s.read()
	v := verdict(t, s.decide(), taskARN("web", 0))
	if !v.Acts() || v.Guard != "" || v.Reason != OK {
		t.Errorf("at second sight: %s %s %s", v.Decision, v.Guard, v.Sentence)
	}
	if v.Target != s.task("web", 0).Targets[0] || v.Service != web || v.Zone != "eu-central-1a" || !v.Started.Equal(s.task("web", 0).Started) || !v.At.Equal(s.now) || v.Action != Detach {
		t.Errorf("it is about something else: %+v", v)
	}
	for i, g := range Guards {
		if v.Findings[i].Guard != g || v.Findings[i].Sentence == "" {
			t.Errorf("finding %d: %+v, want that of %s", i, v.Findings[i], g)
		}
	}
	if len(v.Findings) != len(Guards) {
		t.Errorf("%d findings", len(v.Findings))
	}
}

func TestFirstGuardThatDoesNotAllowDecides(t *testing.T) {
	s := calm()
	fail(s.task("web", 0))
	s.read()
	s.halts = []Halt{{Cause: "panic", Detail: "restart it"}}
	s.gaps = []fleet.Gap{{Kind: fleet.GapTargetHealth, Ref: string(groupARN("web")), Class: fleet.Throttled}}
	v := verdict(t, s.decide(), taskARN("web", 0))
	if v.Guard != Paused || v.Reason != Halted || len(v.Findings) != len(Guards) {
		t.Errorf("%+v", v)
	}
	if f, _ := v.Finding(Stale); f.Reason != Gap {
		t.Errorf("the second reason is not on record: %+v", f)
	}
	s.halts = nil
	if v := verdict(t, s.decide(), taskARN("web", 0)); v.Guard != Stale {
		t.Errorf("%+v", v)
	}
}

func decide(in Input) ([]Verdict, State) {
	look := NewLook(in)
	return listed(look.Decide()), look.State()
}

// listed holds verdicts to the tables of guards: nobody could ask for, or count from 0,
// a reason that is missing there.
func listed(verdicts []Verdict) []Verdict {
	for i := range verdicts {
		for _, f := range verdicts[i].Findings {
			guards := detaching
			if verdicts[i].Action == Attach {
				guards = attaching
			}
			if g := guards[slices.IndexFunc(guards, func(g guard) bool { return g.name == f.Guard })]; !slices.Contains(g.reasons(f.Decision), f.Reason) {
				panic(fmt.Sprintf("guard %s: its table has no %s with reason %s (%s)", f.Guard, f.Decision, f.Reason, f.Sentence))
			}
		}
	}
	return verdicts
}
