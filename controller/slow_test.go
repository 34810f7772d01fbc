package controller

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// pipes is a listener without sockets, so that readers may be slow in virtual
// time. What one side of a pipe writes waits until the other takes it.
type pipes struct {
	next chan net.Conn
	over chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.next:
		return c, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.over); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// served is castoff's own server with its own settings, in a bubble.
type served struct {
	*Controller
	t     *testing.T
	pipes *pipes
}

func serve(t *testing.T) *served {
	t.Helper()
	o, _ := options(observerFunc(func(context.Context, []fleet.ServiceID) *fleet.Snapshot { return calm(fleet.Healthy) }), io.Discard)
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{Controller: c, t: t, pipes: &pipes{make(chan net.Conn), make(chan struct{})}}
	c.server = c.newServer()
	go func() { _ = c.server.Serve(s.pipes) }()
	t.Cleanup(func() {
		_ = c.server.Close()
		_ = c.Stop(context.Background())
		synctest.Wait()
	})
	s.pass(t.Context())
	return s
}

func (s *served) dial() net.Conn {
	client, server := net.Pipe()
	s.pipes.next <- server
	return client
}

// ask sends a request and answers the first line and the headers.
func ask(conn net.Conn, request string) (string, error) {
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	return head(bufio.NewReader(conn))
}

func head(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == "\r\n" {
			return b.String(), err
		}
		b.WriteString(line)
	}
}

const hello = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

// alive demands that somebody else is answered at once, and that a pass takes no
// time.
func (s *served) alive() {
	s.t.Helper()
	began := time.Now()
	s.pass(s.t.Context())
	conn := s.dial()
	synctest.Wait()
	if answer, err := ask(conn, hello); err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200") {
		s.t.Errorf("%q, %v", answer, err)
	}
	_ = conn.Close()
	if took := time.Since(began); took > 0 {
		s.t.Errorf("a pass and an answer took %v", took)
	}
}

// endedWithin demands that castoff ends the connection, so long after now.
func endedWithin(t *testing.T, conn net.Conn, least, most time.Duration) {
	t.Helper()
	began := time.Now()
	_ = conn.SetReadDeadline(time.Now().Add(time.Hour))
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it goes on: %v", err)
	}
	if took := time.Since(began); took < least || took > most {
		t.Errorf("ended after %v, want %v to %v", took, least, most)
	}
}

// SAFETY: whoever is slow to ask is given up on.
func TestSlowRequestsTimeOut(t *testing.T) {
	for _, tt := range []struct {
		name        string
		say         string
		least, most time.Duration
	}{
		{"says nothing", "", 5 * time.Second, 5 * time.Second},
		{"stops in the headers", "GET / HTTP/1.1\r\nHost: x\r\nX-A: ", 5 * time.Second, 5 * time.Second},
		{"keeps the connection", hello, 2 * time.Minute, 2 * time.Minute},
		{"keeps its body to itself", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nab", 0, 11 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t)
				conn := s.dial()
				if _, err := io.WriteString(conn, tt.say); err != nil {
					t.Fatal(err)
				}
				endedWithin(t, conn, tt.least, tt.most)
				s.alive()
			})
		})
	}
	t.Run("a byte a second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t)
			conn := s.dial()
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			began := time.Now()
			for i := 0; ; i++ {
				if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"[i : i+1])); err != nil {
					break
				}
				time.Sleep(time.Second)
			}
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("ended after %v", took)
			}
			s.alive()
		})
	})
}

// Long headers are refused in words, and what is longer still unread.
func TestLongHeadersAreRefused(t *testing.T) {
	for size, want := range map[int]string{
		10 << 10: "HTTP/1.1 200 OK", 20 << 10: "HTTP/1.1 431 Request Header Fields Too Large", 60 << 10: "HTTP/1.1 431 Request Header Fields Too Large",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t)
			conn := s.dial()
			answered := make(chan string)
			go func() {
				answer, _ := head(bufio.NewReader(conn))
				answered <- answer
			}()
			_, _ = fmt.Fprintf(conn, "GET /api/v1/status HTTP/1.1\r\nHost: x\r\nX-A: %s\r\n\r\n", strings.Repeat("a", size))
			answer := <-answered
			if !strings.HasPrefix(answer, want) || strings.Contains(answer, "application/json") != (size < 32<<10) {
				t.Errorf("%d bytes: %s", size, answer)
			}
			_ = conn.Close()
			s.alive()
		})
	}
}

// SAFETY: readers that take nothing hold neither a pass nor a stream for long; nor
// do those that are gone.
func TestStuckReadersAreGivenUp(t *testing.T) {
	const stream = "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n"
	open := func(s *served, n int) (conns []net.Conn) {
		for range n {
			conn := s.dial()
			if _, err := io.WriteString(conn, stream); err != nil {
				s.t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		synctest.Wait()
		return conns
	}
	answers := func(s *served, want string) {
		s.t.Helper()
		conn := s.dial()
		answer, err := ask(conn, stream)
		if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 "+want) || strings.Contains(answer, "Retry-After: 60") != (want[0] == '5') {
			s.t.Errorf("want %s: %q, %v", want, answer, err)
		}
		_ = conn.Close()
		synctest.Wait()
	}
	t.Run("stuck", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t)
			conns := open(s, 256)
			s.alive()
			answers(s, "503")
			time.Sleep(11 * time.Second) // castoff's patience
			answers(s, "200")
			s.alive()
			for _, conn := range conns {
				endedWithin(t, conn, 0, 0)
			}
		})
	})
	t.Run("gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t)
			conns := open(s, 256)
			for _, conn := range conns {
				go func() { _, _ = io.Copy(io.Discard, conn) }()
			}
			synctest.Wait() // castoff has nothing to send them
			answers(s, "503")
			for _, conn := range conns {
				_ = conn.Close()
			}
			synctest.Wait()
			answers(s, "200")
		})
	})
	t.Run("a large answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t)
			next := *s.View()
			next.Configuration = strings.Repeat("x", 1<<20)
			s.view.Store(&next)
			conn := s.dial()
			if _, err := io.WriteString(conn, "GET /castoff HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			s.alive()
			time.Sleep(31 * time.Second)
			endedWithin(t, conn, 0, 0)
		})
	})
}

// SAFETY: there are so many connections and no more; idle ones keep nobody out.
func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		closed := func(conns []net.Conn) (n int) {
			for _, conn := range conns {
				_ = conn.SetReadDeadline(time.Now())
				if _, err := conn.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
					n++
				}
			}
			return n
		}
		var idle, silent []net.Conn
		for range connectionsAllowed {
			conn := s.dial()
			if _, err := ask(conn, hello); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.ReadFull(conn, make([]byte, 3)) }() // the body
			idle = append(idle, conn)
		}
		synctest.Wait()
		if n := closed(idle); n != 0 {
			t.Errorf("%d were closed", n)
		}
		for range connectionsAllowed + 20 {
			silent = append(silent, s.dial())
			synctest.Wait()
		}
		if n, m := closed(idle), closed(silent); n != connectionsAllowed || m != 20 {
			t.Errorf("%d idle ones made way, %d new ones were closed", n, m)
		}
		time.Sleep(6 * time.Second) // those that say nothing are given up on
		s.alive()
	})
}
