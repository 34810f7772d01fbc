package controller

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

// connectionsMost bounds what connections cost: about 20 KiB each, and a file
// descriptor.
const connectionsMost = 512

// connectionsAllowed is how many connections the server keeps at most. Calls to AWS and
// the journal need file descriptors too, so readers get half of them.
func connectionsAllowed() int { return min(connectionsMost, descriptorLimit()/2) }

// descriptorLimit is how many file descriptors this process may have open (RLIMIT_NOFILE;
// Go raises it to the most that the process may have).
func descriptorLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<20 {
		return 1 << 20
	}
	return int(limit.Cur)
}

// forLoopback is how many of so many connections are kept for clients on the same
// machine. The container health check is one: ECS stops a castoff that does not answer it.
func forLoopback(most int) int { return min(16, most/4) }

// silence is how long a connection may wait with its request before it makes way for a
// new one ahead of those that have had an answer.
const silence = time.Second

// connections bounds the open connections of a server. When there is one too many, one of
// the same kind (loopback or not) makes way:
//   - the oldest that has sent no whole request head within [silence],
//   - else the one that has been idle for longest, such as a browser's,
//   - else the oldest that has sent no whole request head,
//   - else the new one.
//
// So neither silent clients nor browsers that keep their connections open lock others out.
type connections struct {
	most int

	mu     sync.Mutex
	remote pool
	local  pool // loopback
}

// pool holds the connections of one kind. One in neither list is being answered.
type pool struct {
	open    int
	waiting []waiting  // for the head of their first request; oldest first
	idle    []net.Conn // answered, and waiting for the next request; longest idle first
}

type waiting struct {
	conn  net.Conn
	since time.Time
}

type connectionKey struct{}

// context is for [http.Server.ConnContext], so that handlers know their connection.
func (c *connections) context(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, conn)
}

// asked notes that a request head has arrived.
func (c *connections) asked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, ok := r.Context().Value(connectionKey{}).(net.Conn); ok {
			c.mu.Lock()
			c.poolOf(conn).forget(conn)
			c.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

// changed is for [http.Server.ConnState].
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.poolOf(conn)
	switch state {
	case http.StateNew:
		p.open++
		p.waiting = append(p.waiting, waiting{conn, time.Now()})
		if c.full(p) {
			surplus := p.surplus(conn)
			p.forget(surplus)
			go func() { _ = surplus.Close() }() // TLS says goodbye first, which may take a while
		}
	case http.StateIdle:
		p.forget(conn)
		p.idle = append(p.idle, conn)
	case http.StateClosed, http.StateHijacked:
		p.forget(conn)
		p.open--
	}
}

func (c *connections) poolOf(conn net.Conn) *pool {
	if addr, ok := conn.RemoteAddr().(*net.TCPAddr); ok && addr.IP.IsLoopback() {
		return &c.local
	}
	return &c.remote
}

// full reports that a pool has one connection too many.
func (c *connections) full(p *pool) bool {
	if p == &c.local {
		return c.local.open+c.remote.open > c.most && c.local.open > forLoopback(c.most)
	}
	return c.remote.open > c.most-max(c.local.open, forLoopback(c.most))
}

// surplus is the connection that makes way for a new one.
func (p *pool) surplus(conn net.Conn) net.Conn {
	oldest := p.waiting[0] // the new one is there
	switch {
	case time.Since(oldest.since) > silence:
		return oldest.conn
	case len(p.idle) > 0:
		return p.idle[0]
	case oldest.conn != conn:
		return oldest.conn
	}
	return conn
}

func (p *pool) forget(conn net.Conn) {
	p.idle = slices.DeleteFunc(p.idle, func(one net.Conn) bool { return one == conn })
	p.waiting = slices.DeleteFunc(p.waiting, func(one waiting) bool { return one.conn == conn })
}
