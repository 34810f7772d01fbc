//go:build linux

package lab

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// claimed is a network that no lab or other test has.
func claimed(t *testing.T) *network {
	t.Helper()
	n, err := claim(frontPort, appPort, healthPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.release(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// TestClaim: a network that somebody has is passed by, and a port that is taken in
// all of them is named.
func TestClaim(t *testing.T) {
	t.Parallel()
	listen := func(address string) net.Listener {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err != nil {
			return nil // then it is taken already
		}
		t.Cleanup(func() { _ = listener.Close() })
		return listener
	}
	free := func() uint16 { return uint16(listen("127.0.0.1:0").Addr().(*net.TCPAddr).Port) } //nolint:gosec // a port
	spare, port := free(), free()

	first, err := claim(spare, port)
	if err != nil {
		t.Fatal(err)
	}
	second, err := claim(port)
	if err != nil || second.Prefix == first.Prefix {
		t.Fatalf("%+v, %v; somebody has %s", second, err, first.Prefix)
	}
	for _, n := range []*network{first, second} {
		if err := n.release(); err != nil {
			t.Fatal(err)
		}
	}

	for i := 41; i < 250; i++ { // as one on every address does
		listen(fmt.Sprintf("127.%d.0.0:%d", i, port))
	}
	_, err = claim(spare, port)
	if want := fmt.Sprintf("port %d is taken on every address", port); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fmt.Sprintf("*:%d", port)) {
		t.Errorf("%v, want %s", err, want)
	}
	if again := listen(fmt.Sprintf("127.41.0.0:%d", spare)); again == nil {
		t.Error("a port of a network that could not be had is held on to")
	}
}
