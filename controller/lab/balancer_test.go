//go:build linux

package lab

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// calm is an agent whose tasks only listen, and whose checks pass.
type calm struct {
	mu        sync.Mutex
	listeners map[string]net.Listener // by address
	t         *testing.T
}

func (c *calm) Start(l sim.Launch) {
	listener, err := (&net.ListenConfig{}).Listen(c.t.Context(), "tcp", net.JoinHostPort(l.Address, strconv.Itoa(frontPort)))
	if err != nil {
		c.t.Error(err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners[l.Address] = listener
	c.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
}

func (c *calm) Stop(fleet.TaskARN) {}

func (c *calm) Check(check sim.Check) { go check.Report(true) }

// startCalm gives a lab that has a network a balancer, and three tasks that are calm.
func startCalm(t *testing.T, l *Lab) *calm {
	t.Helper()
	tasks := &calm{t: t, listeners: map[string]net.Listener{}}
	b := &balancer{idle: time.Minute, seed: 1, forgets: &l.forgets, seen: map[netip.Addr]uint64{}, ports: map[string]*Flow{}, open: map[*connection]string{}}
	b.region = sim.New(sim.Options{Seed: 1, Runtime: &sim.Runtime{Agent: tasks, Nodes: b, Network: l.network.Prefix}})
	l.Region, l.balancer, l.options = b.region, b, Options{Tasks: 3, Speed: 10}
	if err := errors.Join(b.region.AddCluster(Service.Cluster, sim.ClusterOptions{}), b.region.AddService(l.service())); err != nil {
		t.Fatal(err)
	}
	b.group = b.region.ProductionGroups(Service)[0]
	t.Cleanup(b.close)
	if err := b.listen(l.network, frontPort); err != nil {
		t.Fatal(err)
	}
	return tasks
}

// TestBalancer: connections are spread over the targets, stay where they are, and
// end with RST when they are cut or refused.
func TestBalancer(t *testing.T) {
	t.Parallel()
	l := &Lab{network: claimed(t)}
	tasks := startCalm(t, l)
	b := l.balancer
	if len(b.nodes) != 3 {
		t.Fatalf("%d nodes", len(b.nodes))
	}
	byTarget := map[string][]net.Conn{}
	dial := func(n int) (net.Conn, Flow) {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", b.resolve(n))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the balancer knows the connection", func() bool { _, known := b.flow(conn.LocalAddr().String()); return known })
		flow, _ := b.flow(conn.LocalAddr().String())
		return conn, flow
	}
	for n := range 30 {
		conn, flow := dial(n)
		say1(t, conn, conn)
		byTarget[flow.Target] = append(byTarget[flow.Target], conn)
	}
	if len(byTarget) != 3 {
		t.Fatalf("connections went to %d targets", len(byTarget))
	}

	key := b.region.Tasks(Service)[0].Targets[0]
	b.Cut(key)
	for target, conns := range byTarget {
		for _, conn := range conns {
			if target != key.ID {
				say1(t, conn, conn)
				continue
			}
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%v, want a reset", err)
			}
		}
	}
	eventually(t, "cut connections have ended", func() bool {
		n := 0
		for _, f := range b.all() {
			if f.Reset && f.Target == key.ID && !f.Ended.IsZero() {
				n++
			}
		}
		return n == len(byTarget[key.ID])
	})

	checked := make(chan bool, 1)
	check := sim.Check{Target: key, Protocol: "TCP", Port: frontPort, Timeout: 10 * time.Second, Report: func(passed bool) { checked <- passed }}
	if b.Check(check); !<-checked {
		t.Error("a port that accepts failed its check")
	}
	tasks.mu.Lock()
	_ = tasks.listeners[key.ID].Close()
	tasks.mu.Unlock()
	if b.Check(check); <-checked {
		t.Error("a port that refuses passed its check")
	}
	before := len(b.all())
	for n := range 30 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", b.resolve(n))
		if err == nil { // else it was reset at once
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err = conn.Write([]byte("x")); err == nil {
				_, err = io.ReadFull(conn, make([]byte, 1))
			}
			_ = conn.Close()
		}
		eventually(t, "the balancer knows what came of it", func() bool {
			all := b.all()
			return len(all) == before+n+1 && !all[before+n].Ended.IsZero()
		})
		flow := b.all()[before+n]
		if refused := errors.Is(err, syscall.ECONNRESET); refused != (flow.Target == key.ID) || refused != flow.Refused || !refused && err != nil {
			t.Errorf("%v of %+v", err, flow)
		}
	}
}

// TestForget: a lab that goes on to be looked at keeps nothing of what happens.
func TestForget(t *testing.T) {
	t.Parallel()
	l := &Lab{network: claimed(t)}
	l.agent = &agent{forgets: &l.forgets, probes: []Probe{{Task: "task"}}}
	startCalm(t, l)
	l.clients = &clients{balancer: l.balancer, network: l.network, forgets: &l.forgets}
	conn := func() (from string) {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.balancer.resolve(0))
		if err != nil {
			t.Fatal(err)
		}
		from = conn.LocalAddr().String()
		eventually(t, "the balancer knows the connection", func() bool { _, known := l.balancer.flow(from); return known })
		l.clients.note(&line{from: from, client: l.network.address(255, 1)}, time.Now(), 0, codes.OK)
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		return from
	}
	conn()
	if len(l.Flows()) != 1 || len(l.Calls()) != 1 || l.Calls()[0].Target == "" || len(l.Probes("task")) != 1 {
		t.Fatalf("kept are %+v, %+v, %+v", l.Flows(), l.Calls(), l.Probes("task"))
	}
	l.Forget()
	from := conn()
	if len(l.Flows())+len(l.Calls())+len(l.Probes("task")) > 0 {
		t.Errorf("kept are %+v, %+v, %+v", l.Flows(), l.Calls(), l.Probes("task"))
	}
	l.balancer.hungUp(from)
	if _, known := l.balancer.flow(from); known {
		t.Error("a connection that was hung up is known still")
	}
}

// TestBalancerSameSeed: the same clients are sent to the same targets.
func TestBalancerSameSeed(t *testing.T) {
	t.Parallel()
	picks := func(seed uint64, second byte) (all []int) {
		b := &balancer{seed: seed, seen: map[netip.Addr]uint64{}}
		for n := range 100 {
			all = append(all, b.pick(&net.TCPAddr{IP: net.IPv4(127, second, 255, byte(n%7)), Port: n}, 3))
		}
		return all
	}
	same := 0
	one, two, other := picks(1, 41), picks(1, 42), picks(2, 41)
	counts := map[int]int{}
	for i := range one {
		if one[i] != two[i] {
			t.Fatalf("pick %d: %d and %d", i, one[i], two[i])
		}
		if one[i] == other[i] {
			same++
		}
		counts[one[i]]++
	}
	if same > 70 || min(counts[0], counts[1], counts[2]) < 15 {
		t.Errorf("%d of 100 are the same with another seed; %v", same, counts)
	}
}
