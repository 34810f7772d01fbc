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

// from is a connection from an address.
type from struct {
	net.Conn
	addr net.TCPAddr
}

func (f *from) RemoteAddr() net.Addr { return &f.addr }

// dialFrom connects from another machine, or from this one.
func (s *served) dialFrom(ip string) net.Conn {
	client, server := net.Pipe()
	s.pipes.next <- &from{server, net.TCPAddr{IP: net.ParseIP(ip)}}
	return client
}

// countClosed counts the connections that castoff has closed.
func countClosed(conns []net.Conn) (n int) {
	for _, conn := range conns {
		_ = conn.SetReadDeadline(time.Now())
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
			n++
		}
	}
	return n
}

// idle connects, is answered and stays.
func (s *served) idle(t *testing.T, ip string) net.Conn {
	t.Helper()
	conn := s.dialFrom(ip)
	if _, err := ask(conn, hello); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.ReadFull(conn, make([]byte, 3)) }() // the body
	synctest.Wait()
	return conn
}

const (
	elsewhere = "192.0.2.7"
	here      = "127.0.0.1"
)

// SAFETY: there are so many connections and no more; neither idle nor silent ones keep
// anybody out.
func TestSafetyConnectionsMakeWay(t *testing.T) {
	most := connectionsAllowed()
	remote := most - forLoopback(most)
	fill := func(one func() net.Conn) (conns []net.Conn) {
		for range remote {
			conns = append(conns, one())
		}
		return conns
	}
	for _, tt := range []struct {
		name string
		open func(s *served) net.Conn
		wait time.Duration // before more come
	}{
		{"idle", func(s *served) net.Conn { return s.idle(t, elsewhere) }, 0},
		{"silent for long", func(s *served) net.Conn { return s.dialFrom(elsewhere) }, 3 * time.Second},
		{"half a request", func(s *served) net.Conn {
			conn := s.dialFrom(elsewhere)
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost:"); err != nil {
				t.Fatal(err)
			}
			return conn
		}, 3 * time.Second},
		{"half of the second request", func(s *served) net.Conn {
			conn := s.idle(t, elsewhere)
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost:"); err != nil {
				t.Fatal(err)
			}
			return conn
		}, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t)
				old := fill(func() net.Conn { return tt.open(s) })
				synctest.Wait()
				if n := countClosed(old); n != 0 {
					t.Fatalf("%d were closed before there were too many", n)
				}
				time.Sleep(tt.wait)
				for i := range 40 {
					s.idle(t, elsewhere)
					if n := countClosed(old[:i+1]); n != i+1 {
						t.Fatalf("after %d more %d of the oldest have made way", i+1, n)
					}
				}
				if n := countClosed(old); n != 40 {
					t.Errorf("%d made way for 40", n)
				}
			})
		})
	}
	t.Run("idle ones before what has just come", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t)
			old := fill(func() net.Conn { return s.idle(t, elsewhere) })
			time.Sleep(3 * time.Second)
			silent := []net.Conn{s.dialFrom(elsewhere), s.dialFrom(elsewhere)}
			synctest.Wait()
			if n, m := countClosed(old), countClosed(silent); n != 2 || m != 0 {
				t.Errorf("%d idle and %d new ones were closed", n, m)
			}
		})
	})
	t.Run("a flood", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t)
			for range 700 {
				s.dialFrom(elsewhere)
			}
			for range 50 {
				s.idle(t, elsewhere)
				s.alive()
			}
		})
	})
	t.Run("what is being answered stays", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t)
			var streams []net.Conn
			for range most / 2 {
				conn := s.dialFrom(elsewhere)
				if _, err := ask(conn, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				go func() { _, _ = io.Copy(io.Discard, conn) }()
				streams = append(streams, conn)
			}
			if first, err := ask(s.dialFrom(elsewhere), "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil || !strings.Contains(first, " 503 ") {
				t.Errorf("one stream more than half of the connections: %q, %v", first, err)
			}
			for range 700 {
				s.dialFrom(elsewhere)
			}
			synctest.Wait()
			if n := s.events.Open(); n != len(streams) {
				t.Errorf("%d of %d streams are left", n, len(streams))
			}
		})
	})
}

// LIVENESS: the container health check, which comes from the same machine, is answered
// whatever comes from elsewhere; and it does not lock others out.
func TestLivenessLoopbackHasConnectionsOfItsOwn(t *testing.T) {
	most := connectionsAllowed()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		for range most {
			s.dialFrom(elsewhere)
		}
		var local []net.Conn
		for range forLoopback(most) {
			local = append(local, s.idle(t, here))
		}
		for range most {
			s.dialFrom(elsewhere)
		}
		synctest.Wait()
		if n := countClosed(local); n != 0 {
			t.Errorf("%d from the same machine made way for others", n)
		}
		for range 2 * most {
			s.dialFrom(here)
		}
		synctest.Wait()
		s.idle(t, elsewhere)
		s.idle(t, here)
	})
}

// The connections follow the file descriptors that the process may have.
func TestConnectionsFollowTheDescriptors(t *testing.T) {
	if n, want := connectionsAllowed(), min(connectionsMost, descriptorLimit()/2); n != want || n == 0 {
		t.Errorf("%d connections of %d descriptors", n, descriptorLimit())
	}
	for most, want := range map[int]int{32: 8, 64: 16, 512: 16} {
		if n := forLoopback(most); n != want {
			t.Errorf("of %d connections %d are for loopback, want %d", most, n, want)
		}
	}
}
