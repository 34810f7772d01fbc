//go:build linux

package lab

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// tied are a client and a target whose connections are tied together.
func tied(t *testing.T, idle time.Duration) (c *connection, client, target *net.TCPConn, ended <-chan bool) {
	t.Helper()
	clientSide, client := pair(t)
	target, targetSide := pair(t)
	c = &connection{idle: idle, client: clientSide, target: targetSide}
	done := make(chan bool, 1)
	go func() {
		done <- c.carry()
		c.end()
	}()
	return c, client, target, done
}

// pair is both ends of a connection.
func pair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	dialled, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	a, b = accepted.(*net.TCPConn), dialled.(*net.TCPConn)
	for _, c := range []*net.TCPConn{a, b} {
		t.Cleanup(func() { _ = c.Close() })
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func say1(t *testing.T, to io.Writer, from io.Reader) {
	t.Helper()
	if _, err := to.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(from, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestConnectionCarries(t *testing.T) {
	t.Parallel()
	_, client, target, ended := tied(t, time.Minute)
	say1(t, client, target)
	say1(t, target, client)
	// A side that has said all still hears the other.
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := target.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%d, %v", n, err)
	}
	say1(t, target, client)
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%d, %v", n, err)
	}
	if <-ended {
		t.Error("it is said that the balancer ended it")
	}
}

// TestConnectionReset: both sides hear of a reset, whoever made it.
func TestConnectionReset(t *testing.T) {
	t.Parallel()
	c, client, target, ended := tied(t, time.Minute)
	say1(t, client, target)
	c.reset()
	for _, side := range []*net.TCPConn{client, target} {
		if _, err := side.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v, want a reset", err)
		}
	}
	if !<-ended {
		t.Error("it is not said that the balancer ended it")
	}

	_, client, target, ended = tied(t, time.Minute)
	say1(t, client, target)
	if err := errors.Join(target.SetLinger(0), target.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want the target's reset", err)
	}
	if <-ended {
		t.Error("it is said that the balancer ended it")
	}
}

// TestConnectionIdle: the balancer says nothing when it forgets a connection; who
// speaks after that is reset.
func TestConnectionIdle(t *testing.T) {
	t.Parallel()
	c, client, target, ended := tied(t, time.Minute)
	say1(t, client, target)
	c.last.Add(-int64(59 * time.Second))
	say1(t, client, target)
	c.last.Add(-int64(61 * time.Second))
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, side := range []*net.TCPConn{client, target} {
		if _, err := side.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v, want a reset", err)
		}
	}
	if !<-ended {
		t.Error("it is not said that the balancer ended it")
	}
}
