//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// network is a /16 of 127.0.0.0/8 that no other lab has for as long as its first
// address, which is nobody's, is listened on.
type network struct {
	netip.Prefix
	held []net.Listener
}

// claim takes the first network that is free on all ports. A program that listens
// on such a port of every address, as most do, leaves none: it is better found
// here than by the first task.
func claim(ports ...uint16) (*network, error) {
	var err error
	var taken uint16
	for second := byte(41); second < 250; second++ {
		n := &network{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{127, second, 0, 0}), 16)}
		if taken, err = n.hold(ports); err == nil {
			return n, nil
		}
	}
	return nil, fmt.Errorf("port %d is taken on every address that a lab could have, from 127.41.0.0 to 127.249.0.0: "+
		"a program listens on *:%d, which `ss -ltnp sport = :%d` names: end it (%w)", taken, taken, taken, err)
}

// hold listens on every port of the network's first address, or says which one is
// taken.
func (n *network) hold(ports []uint16) (taken uint16, err error) {
	for _, port := range ports {
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", netip.AddrPortFrom(n.Addr(), port).String())
		if err != nil {
			return port, errors.Join(err, n.release())
		}
		n.held = append(n.held, listener)
	}
	return 0, nil
}

func (n *network) release() error {
	var err error
	for _, listener := range n.held {
		err = errors.Join(err, listener.Close())
	}
	return err
}

// address is one of the network's.
func (n *network) address(third, last byte) netip.Addr {
	first := n.Addr().As4()
	return netip.AddrFrom4([4]byte{first[0], first[1], third, last})
}
