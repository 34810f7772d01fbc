//go:build linux

package lab

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// connection is a client's and a target's, tied together. A load balancer that
// passes packets on has one connection there and no state but who it is for; so
// whatever one side does to it reaches the other.
type connection struct {
	client, target *net.TCPConn
	idle           time.Duration
	last           atomic.Int64 // when something last came, in Unix nanoseconds
	cut            atomic.Bool  // by the balancer
}

// carry passes bytes on both ways until the connection has ended, and reports
// whether the balancer ended it.
func (c *connection) carry() bool {
	c.last.Store(time.Now().UnixNano())
	var both sync.WaitGroup
	both.Go(func() { c.copy(c.target, c.client) })
	both.Go(func() { c.copy(c.client, c.target) })
	both.Wait()
	return c.cut.Load()
}

// copy passes on what comes one way. What comes after a silence of the idle
// timeout meets a balancer that does not know the connection any more, which is
// when it says so.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/network/network-load-balancers.html#connection-idle-timeout
func (c *connection) copy(to, from *net.TCPConn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		now := time.Now()
		if n > 0 {
			if before := c.last.Swap(now.UnixNano()); now.UnixNano()-before > int64(c.idle) {
				c.reset()
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				c.end()
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			_ = to.CloseWrite() // it may have ended
			return
		default:
			c.abort() // reset by one side: so it is for the other
			return
		}
	}
}

// reset has the balancer end the connection with RST to both sides.
func (c *connection) reset() {
	c.cut.Store(true)
	c.abort()
}

// abort closes both sides with RST.
func (c *connection) abort() {
	for _, conn := range []*net.TCPConn{c.client, c.target} {
		if conn != nil {
			_ = conn.SetLinger(0) // it may have ended
			_ = conn.Close()
		}
	}
}

// end closes both sides.
func (c *connection) end() {
	for _, conn := range []*net.TCPConn{c.client, c.target} {
		if conn != nil {
			_ = conn.Close() // it may have ended
		}
	}
}
