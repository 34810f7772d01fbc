package sim_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// machine is a runtime of tasks that are only said to run: its containers start
// after a second, end half a second after SIGTERM, and fail their checks when
// they are told to.
type machine struct {
	t      *testing.T
	region *sim.Region

	mu   sync.Mutex
	sick map[string]bool // by address: its app does not answer
	shut map[string]bool // its port does not accept
	records
}

// records are what the region has asked of a machine.
type records struct {
	launches map[fleet.TaskARN]sim.Launch
	checks   map[string]int // made of containers, by address
	stopped  []fleet.TaskARN
	cut      []fleet.TargetKey
}

func (m *machine) asked() records {
	m.mu.Lock()
	defer m.mu.Unlock()
	return records{maps.Clone(m.launches), maps.Clone(m.checks), slices.Clone(m.stopped), slices.Clone(m.cut)}
}

func (m *machine) Start(l sim.Launch) {
	m.mu.Lock()
	m.launches[l.Task] = l
	m.mu.Unlock()
	m.later(time.Second, func() error { return m.region.Started(l.Task) })
}

func (m *machine) Stop(arn fleet.TaskARN) {
	m.mu.Lock()
	m.stopped = append(m.stopped, arn)
	l := m.launches[arn]
	m.mu.Unlock()
	for _, c := range l.Containers {
		m.later(500*time.Millisecond, func() error { return m.region.Exited(arn, c.Name, 143) })
	}
}

func (m *machine) Check(c sim.Check) {
	m.mu.Lock()
	defer m.mu.Unlock()
	address, passed := m.launches[c.Task].Address, true
	switch {
	case c.Target.ID != "":
		address = c.Target.ID
		passed = !m.shut[address]
		if c.Protocol != "TCP" || c.Port != 10080 || c.Timeout != 10*time.Second {
			m.t.Errorf("a check of a target: %+v", c)
		}
	case c.Container != "nginx" || !strings.Contains(strings.Join(c.Command, " "), "grpc-health-probe") || c.Timeout != 3*time.Second:
		m.t.Errorf("a check of a container: %+v", c)
	default:
		m.checks[address]++
		passed = !m.sick[address] && !m.shut[address]
	}
	took := 20 * time.Millisecond
	if !passed {
		took = 2 * time.Second
	}
	m.later(took, func() error { c.Report(passed); return nil })
}

func (m *machine) Cut(key fleet.TargetKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut = append(m.cut, key)
}

func (m *machine) later(d time.Duration, do func() error) {
	go func() {
		time.Sleep(d)
		if err := do(); err != nil {
			m.t.Error(err)
		}
	}()
}

func (m *machine) set(what map[string]bool, address string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	what[address] = true
}

// onMachine gives a test the reference workload on a machine, carried forward.
func onMachine(t *testing.T, change func(*sim.ServiceSpec), test func(*machine, fleet.ServiceID)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &machine{t: t, sick: map[string]bool{}, shut: map[string]bool{}, records: records{launches: map[fleet.TaskARN]sim.Launch{}, checks: map[string]int{}}}
		m.region = sim.New(sim.Options{Seed: 1, Runtime: &sim.Runtime{Agent: m, Nodes: m, Network: netip.MustParsePrefix("127.7.0.0/16")}})
		spec := sim.ReferenceWorkload("prod", "grpc")
		spec.CrossZone, spec.Desired = true, 3
		change(&spec)
		if err := m.region.AddCluster("prod", sim.ClusterOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := m.region.AddService(spec); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		defer synctest.Wait()
		defer close(done)
		go func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(10 * time.Millisecond):
					m.region.NextEvent()
				}
			}
		}()
		time.Sleep(time.Minute)
		test(m, fleet.ServiceID{Cluster: "prod", Name: "grpc"})
		time.Sleep(5 * time.Second) // for what is on its way to be reported
	})
}

// TestRuntime: what a real agent finds has the same consequences as what a
// modelled one does.
func TestRuntime(t *testing.T) {
	t.Parallel()
	onMachine(t, func(s *sim.ServiceSpec) {
		s.Groups[0].Attributes = map[string]string{"deregistration_delay.connection_termination.enabled": "true"}
	}, func(m *machine, id fleet.ServiceID) {
		group := m.region.ProductionGroups(id)[0]
		tasks := m.region.Tasks(id)
		for _, task := range tasks {
			if l := m.asked().launches[task.ARN]; l.Address != task.Targets[0].ID || !strings.HasPrefix(l.Address, "127.7.") || len(l.Containers) != 2 || l.Service != id {
				t.Errorf("launched %+v for %+v", l, task)
			}
			// Every 5 s from the end of one check to the start of the next.
			if n := m.asked().checks[task.Targets[0].ID]; n < 11 || n > 13 || task.Health != fleet.Healthy {
				t.Errorf("%d checks in a minute, %s", n, task.Health)
			}
		}
		sick := tasks[0]
		m.set(m.sick, sick.Targets[0].ID)
		if err := m.region.Hang(sick.ARN); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second) // 2 × (5 + 2) s at worst, and 1 s until it is reported
		if got := m.region.Tasks(id)[0].Health; got != fleet.Unhealthy {
			t.Fatalf("the task is %s", got)
		}
		time.Sleep(15 * time.Minute)
		truth := m.region.Truth()
		if len(truth) != 1 || truth[0].Unhealthy.IsZero() || truth[0].ReplacementServing.IsZero() || truth[0].Stopped.IsZero() ||
			!truth[0].Targets[0].LBUnhealthy.IsZero() || truth[0].Targets[0].By != sim.ByECS {
			t.Fatalf("truth %+v", truth)
		}
		if d := truth[0].ExecutionStopped.Sub(truth[0].Stopping); d < 500*time.Millisecond || d > 510*time.Millisecond {
			t.Errorf("it took %v to stop", d)
		}
		asked := m.asked()
		if asked.launches[truth[0].Replacement].Address == "" || !slices.Equal(asked.stopped, []fleet.TaskARN{sick.ARN}) {
			t.Errorf("stopped %v, replaced by %s", asked.stopped, truth[0].Replacement)
		}
		if !slices.Equal(asked.cut, sick.Targets) {
			t.Errorf("connections cut to %v, want to %v", asked.cut, sick.Targets)
		}
		for _, route := range m.region.Routes(group) {
			if !route.InDNS || len(route.Targets) != 3 || slices.Contains(route.Targets, sick.Targets[0]) {
				t.Errorf("route %+v", route)
			}
		}
	})
}

// TestRuntimeFrontDead: the nodes' real checks turn a target unhealthy, and its
// connections are reset once they have heard.
func TestRuntimeFrontDead(t *testing.T) {
	t.Parallel()
	onMachine(t, func(s *sim.ServiceSpec) {}, func(m *machine, id fleet.ServiceID) {
		task := m.region.Tasks(id)[0]
		m.set(m.shut, task.Targets[0].ID)
		if err := m.region.KillFront(task.ARN); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if truth := m.region.Truth(); len(truth) != 1 || truth[0].Targets[0].LBUnhealthy.IsZero() || truth[0].Unhealthy.IsZero() {
			t.Fatalf("truth %+v", truth)
		}
		cut := m.asked().cut
		if len(cut) == 0 || slices.ContainsFunc(cut, func(k fleet.TargetKey) bool { return k != task.Targets[0] }) {
			t.Errorf("cut %v", cut)
		}
	})
}

// TestRuntimePutBack: a target that is registered again before its deregistration
// delay is over keeps its connections.
func TestRuntimePutBack(t *testing.T) {
	t.Parallel()
	onMachine(t, func(s *sim.ServiceSpec) {
		s.Groups[0].Attributes = map[string]string{"deregistration_delay.connection_termination.enabled": "true"}
	}, func(m *machine, id fleet.ServiceID) {
		target := m.region.Tasks(id)[0].Targets[0]
		if err := m.region.Deregister(target.Group, []fleet.TargetKey{target}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute) // ECS puts it back
		rows := m.region.Rows(target.Group)
		if len(rows) != 3 || slices.ContainsFunc(rows, func(r sim.RowInfo) bool { return r.State != fleet.TargetHealthy }) {
			t.Fatalf("rows %+v", rows)
		}
		if cut := m.asked().cut; len(cut) > 0 {
			t.Errorf("cut %v", cut)
		}
	})
}

// TestRuntimeExit: an essential container that ends takes the other one with it.
func TestRuntimeExit(t *testing.T) {
	t.Parallel()
	onMachine(t, func(s *sim.ServiceSpec) {}, func(m *machine, id fleet.ServiceID) {
		task := m.region.Tasks(id)[0]
		if err := m.region.Exited(task.ARN, "app", 137); err != nil {
			t.Fatal(err)
		}
		if err := m.region.Exited(task.ARN, "sidecar", 1); err == nil {
			t.Error("a container that there is not has ended")
		}
		time.Sleep(time.Minute)
		truth := m.region.Truth()
		if len(truth) != 1 || truth[0].Cause != sim.Exit || truth[0].StopCode != "EssentialContainerExited" || truth[0].Stopped.IsZero() {
			t.Fatalf("truth %+v", truth)
		}
		if stopped := m.asked().stopped; !slices.Equal(stopped, []fleet.TaskARN{task.ARN}) {
			t.Errorf("stopped %v", stopped)
		}
	})
}

// TestRuntimeNeverStarted: a container that ends before its task runs is a task
// that failed to start.
func TestRuntimeNeverStarted(t *testing.T) {
	t.Parallel()
	onMachine(t, func(s *sim.ServiceSpec) {}, func(m *machine, id fleet.ServiceID) {
		if err := m.region.Scale(id, 4); err != nil {
			t.Fatal(err)
		}
		var fourth sim.TaskInfo
		for fourth.Status != fleet.Activating || m.asked().launches[fourth.ARN].Address == "" {
			time.Sleep(10 * time.Millisecond)
			tasks := m.region.Tasks(id)
			fourth = tasks[len(tasks)-1]
		}
		if err := m.region.Exited(fourth.ARN, "nginx", 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		tasks := m.region.Tasks(id)
		if len(tasks) != 5 || tasks[3].Status != fleet.Stopped || tasks[4].Status != fleet.Running {
			t.Errorf("tasks %+v", tasks)
		}
	})
}

func TestRuntimeRefuses(t *testing.T) {
	t.Parallel()
	m := &machine{}
	for what, runtime := range map[string]sim.Runtime{
		"no agent":  {Nodes: m, Network: netip.MustParsePrefix("127.7.0.0/16")},
		"no nodes":  {Agent: m, Network: netip.MustParsePrefix("127.7.0.0/16")},
		"small net": {Agent: m, Nodes: m, Network: netip.MustParsePrefix("127.7.0.0/24")},
		"EC2":       {Agent: m, Nodes: m, Network: netip.MustParsePrefix("127.7.0.0/16")},
	} {
		r := sim.New(sim.Options{Runtime: &runtime})
		if err := r.AddCluster("prod", sim.ClusterOptions{Instances: 1}); err != nil {
			t.Fatal(err)
		}
		spec := sim.ReferenceWorkload("prod", "grpc")
		if what == "EC2" {
			spec.LaunchType = fleet.EC2
		}
		if err := r.AddService(spec); err == nil || !strings.Contains(fmt.Sprint(err), "runtime") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
