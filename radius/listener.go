package radius

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// receiveBuffer is asked of the kernel for every socket. Without the capability CAP_NET_ADMIN it grants what
// net.core.rmem_max allows.
const receiveBuffer = 4 << 20

// bind opens n sockets on one address, steered by Identifier. An address without a host (":1812") stands for every IPv4
// and, where the machine has it, every IPv6 address: two lists of sockets.
func bind(address string, n int) ([][]*net.UDPConn, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("radius: listening on %q: %w", address, err)
	}
	if host != "" {
		a, err := net.ResolveUDPAddr("udp", address)
		if err != nil {
			return nil, fmt.Errorf("radius: listening on %q: %w", address, err)
		}
		conns, err := bindOne(netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port)), n)
		return [][]*net.UDPConn{conns}, err
	}
	number, err := net.LookupPort("udp", service)
	if err != nil {
		return nil, fmt.Errorf("radius: listening on %q: %w", address, err)
	}
	v4, err := bindOne(netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(number)), n)
	if err != nil {
		return nil, err
	}
	v6, err := bindOne(netip.AddrPortFrom(netip.IPv6Unspecified(), localAddr(v4[0]).Port()), n)
	if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		return [][]*net.UDPConn{v4}, nil
	}
	if err != nil {
		closeAll(v4)
		return nil, err
	}
	return [][]*net.UDPConn{v4, v6}, nil
}

func bindOne(a netip.AddrPort, n int) (conns []*net.UDPConn, err error) {
	defer func() {
		if err != nil {
			closeAll(conns)
			conns = nil
		}
	}()
	// The first socket is bound alone, so that a port in use is an error even where the other process shares it
	// (SO_REUSEPORT lets any process of the same user in). Only then does it admit its siblings.
	for i := range n {
		c, err := open(a, i > 0)
		if errors.Is(err, syscall.EADDRINUSE) {
			return conns, fmt.Errorf("radius: UDP port %d of %s is taken by another program: %w", a.Port(), a.Addr(), err)
		}
		if err != nil {
			return conns, fmt.Errorf("radius: listening on %s: %w", a, err)
		}
		conns = append(conns, c)
		a = netip.AddrPortFrom(a.Addr(), localAddr(c).Port())
		if i == 0 && n > 1 {
			raw, err := c.SyscallConn()
			if err == nil {
				err = reusePort(raw)
			}
			if err != nil {
				return conns, fmt.Errorf("radius: sharing %s between workers: %w", a, err)
			}
		}
	}
	if n > 1 {
		if err := steer(conns[0], n); err != nil {
			return conns, fmt.Errorf("radius: %s: %w", a, err)
		}
	}
	return conns, nil
}

func open(a netip.AddrPort, share bool) (*net.UDPConn, error) {
	v6 := !a.Addr().Is4()
	network := "udp4"
	if v6 {
		network = "udp6"
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if share {
			if err := reusePort(c); err != nil {
				return err
			}
		}
		if a.Addr().IsUnspecified() {
			return wantPacketInfo(c, v6)
		}
		return nil
	}}
	pc, err := config.ListenPacket(context.Background(), network, a.String())
	if err != nil {
		return nil, err
	}
	c := pc.(*net.UDPConn)
	widen(c, receiveBuffer)
	return c, nil
}

func localAddr(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

func closeAll(conns []*net.UDPConn) {
	for _, c := range conns {
		c.Close()
	}
}
