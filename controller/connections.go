package controller

import (
	"net"
	"net/http"
	"sync"
)

// connectionsAllowed bounds what connections cost: about 20 KiB each, and a file
// descriptor, of which calls to AWS need some too. Half may be streams of events.
const connectionsAllowed = 512

// connections keeps a server's number of connections bounded. For a new one too
// many that which has been idle for longest is closed, so that browsers that keep
// theirs open keep nobody out; when none is idle, the new one.
type connections struct {
	most int

	mu   sync.Mutex
	open int
	idle []net.Conn // the longest first
}

// changed is for [http.Server.ConnState].
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, one := range c.idle {
		if one == conn {
			c.idle = append(c.idle[:i:i], c.idle[i+1:]...)
			break
		}
	}
	switch state {
	case http.StateNew:
		if c.open++; c.open <= c.most {
			return
		}
		surplus := conn
		if len(c.idle) > 0 {
			surplus, c.idle = c.idle[0], c.idle[1:]
		}
		go func() { _ = surplus.Close() }() // TLS says goodbye first, which may take a while
	case http.StateIdle:
		c.idle = append(c.idle, conn)
	case http.StateClosed, http.StateHijacked:
		c.open--
	}
}
