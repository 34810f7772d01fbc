//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// balancer is the nodes of a load balancer, one a zone, that send each new
// connection to a target of the region's choice and keep it there.
type balancer struct {
	region *sim.Region
	group  fleet.TargetGroupARN
	idle   time.Duration // after it a silent connection is forgotten

	nodes   []*node
	busy    sync.WaitGroup
	forgets *atomic.Bool // see [Lab.Forget]

	mu    sync.Mutex
	seed  uint64
	seen  map[netip.Addr]uint64  // how many connections came from a client's address
	flows []*Flow                // all that ever were, in the order of their beginning
	ports map[string]*Flow       // the last of each client's address and port, until it is hung up
	open  map[*connection]string // to which target, by its address
	over  bool
}

// node is the load balancer's part in one zone.
type node struct {
	zone     string
	address  netip.Addr
	listener net.Listener
}

// Flow is one connection of a client.
type Flow struct {
	Client string // its address and port
	Target string // the target's address; empty: there was none to be sent to
	Began  time.Time
	Ended  time.Time // zero: not yet
	// Refused says that the target did not accept it, Reset that the balancer ended
	// it: because of the target's state, or of silence.
	Refused bool
	Reset   bool
}

// listen opens the nodes' listeners: all on the same port, each on an address of
// its own.
func (b *balancer) listen(network *network, port uint16) error {
	for i, route := range b.region.Routes(b.group) {
		n := &node{zone: route.Zone, address: network.address(0, byte(i+1))}
		var err error
		n.listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", netip.AddrPortFrom(n.address, port).String())
		if err != nil {
			return fmt.Errorf("the balancer's node in %s: %w", route.Zone, err)
		}
		b.nodes = append(b.nodes, n)
		b.busy.Go(func() { b.accept(n) })
	}
	if len(b.nodes) == 0 {
		return errors.New("the target group has no balancer")
	}
	return nil
}

// resolve is the address of one of the nodes that DNS gives, for the nth connection
// of a client.
func (b *balancer) resolve(n int) string {
	var in []string
	for _, route := range b.region.Routes(b.group) {
		i := slices.IndexFunc(b.nodes, func(n *node) bool { return n.zone == route.Zone })
		if route.InDNS && i >= 0 {
			in = append(in, b.nodes[i].listener.Addr().String())
		}
	}
	return in[n%len(in)] // DNS gives all zones rather than none
}

// pick stands for the hash of a flow's addresses and ports. It follows from who
// connects for which time, so that in two labs of the same seed the same clients
// are sent to the same targets.
func (b *balancer) pick(from net.Addr, n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	client := netip.MustParseAddrPort(from.String()).Addr()
	b.seen[client]++
	address := client.As4()
	hash := rand.NewPCG(b.seed, uint64(255-address[2])<<56|b.seen[client]<<8|uint64(address[3]))
	return int(hash.Uint64() % uint64(n)) //nolint:gosec // less than n
}

func (b *balancer) accept(n *node) {
	for {
		client, err := n.listener.Accept()
		if err != nil {
			return // closed
		}
		b.busy.Go(func() { b.pass(n, client.(*net.TCPConn)) })
	}
}

// pass sends a connection to a target and carries it until either side ends it,
// or the balancer does.
func (b *balancer) pass(n *node, client *net.TCPConn) {
	flow := &Flow{Client: client.RemoteAddr().String(), Began: time.Now()}
	c := &connection{idle: b.idle, client: client}
	defer c.end()
	var to fleet.TargetKey
	for _, route := range b.region.Routes(b.group) {
		if route.Zone == n.zone && len(route.Targets) > 0 {
			to = route.Targets[b.pick(client.RemoteAddr(), len(route.Targets))]
		}
	}
	flow.Target = to.ID
	b.note(func() {
		b.ports[flow.Client] = flow
		if !b.forgets.Load() {
			b.flows = append(b.flows, flow)
		}
	})
	if to.ID == "" {
		b.note(func() { flow.Refused = true })
		c.reset()
		return
	}
	dialer := net.Dialer{Timeout: 3 * time.Second, LocalAddr: &net.TCPAddr{IP: n.address.AsSlice()}}
	target, err := dialer.DialContext(context.Background(), "tcp", net.JoinHostPort(to.ID, strconv.Itoa(to.Port)))
	if err != nil {
		b.note(func() { flow.Refused, flow.Ended = true, time.Now() })
		c.reset()
		return
	}
	c.target = target.(*net.TCPConn)
	b.note(func() {
		b.open[c] = to.ID
		if b.over {
			c.reset()
		}
	})
	reset := c.carry()
	b.note(func() {
		delete(b.open, c)
		flow.Ended, flow.Reset = time.Now(), reset
	})
}

// note changes a flow, or what is known of it.
func (b *balancer) note(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// flow is the last one of a client's address and port.
func (b *balancer) flow(client string) (Flow, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.ports[client]; f != nil {
		return *f, true
	}
	return Flow{}, false
}

// hungUp is called by a client that does not ask for that flow any more. One that
// the balancer has yet to accept stays until its port is used again.
func (b *balancer) hungUp(client string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.ports, client)
}

func (b *balancer) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flows = nil
}

// all is every flow so far.
func (b *balancer) all() []Flow {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Flow, 0, len(b.flows))
	for _, f := range b.flows {
		all = append(all, *f)
	}
	return all
}

// Cut resets every connection to a target.
func (b *balancer) Cut(key fleet.TargetKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c, to := range b.open {
		if to == key.ID {
			c.reset()
		}
	}
}

// Check looks once whether a target's port accepts, or whether it answers HTTP
// well.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/network/target-group-health-checks.html
func (b *balancer) Check(c sim.Check) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	b.busy.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
		defer cancel()
		at := net.JoinHostPort(c.Target.ID, strconv.Itoa(c.Port))
		if c.Protocol == "TCP" {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
			if err == nil {
				_ = conn.Close() // it was accepted
			}
			c.Report(err == nil)
			return
		}
		c.Report(answersHTTP(ctx, at))
	})
}

func answersHTTP(ctx context.Context, at string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/", http.NoBody)
	if err != nil {
		return false
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close() // its status says it
	return response.StatusCode >= 200 && response.StatusCode < 400
}

// close ends every connection and waits for what goes on.
func (b *balancer) close() {
	for _, n := range b.nodes {
		_ = n.listener.Close() // nothing to be lost
	}
	b.mu.Lock()
	b.over = true
	for c := range b.open {
		c.reset()
	}
	b.mu.Unlock()
	b.busy.Wait()
}
