package main

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// relay passes datagrams on to a target that may change, and the answers back. Each client has a socket of its own
// towards the target, so that who is who stays visible there.
type relay struct {
	front  *net.UDPConn
	source net.IP // of what is passed on; nil: any
	target atomic.Pointer[netip.AddrPort]
	// seen is told of every datagram, before it goes on: towards the target (there) or back to a client.
	seen func(there bool, client netip.AddrPort, datagram []byte)

	mu      sync.Mutex
	backs   map[netip.AddrPort]*net.UDPConn
	running sync.WaitGroup
}

// newRelay relays to an address; source is where what is passed on comes from, "" any.
func newRelay(t *testing.T, to, source string, seen func(there bool, client netip.AddrPort, datagram []byte)) *relay {
	t.Helper()
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = front.SetReadBuffer(1 << 20)
	r := &relay{front: front, source: net.ParseIP(source), seen: seen, backs: map[netip.AddrPort]*net.UDPConn{}}
	r.aim(to)
	r.running.Go(r.there)
	t.Cleanup(func() {
		front.Close()
		r.mu.Lock()
		for _, c := range r.backs {
			c.Close()
		}
		r.mu.Unlock()
		r.running.Wait()
	})
	return r
}

// aim changes the target.
func (r *relay) aim(to string) {
	target := netip.MustParseAddrPort(to)
	r.target.Store(&target)
}

func (r *relay) addr() string { return r.front.LocalAddr().String() }

func (r *relay) there() {
	buf := make([]byte, 65536)
	for {
		n, client, err := r.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if r.seen != nil {
			r.seen(true, client, buf[:n])
		}
		if back := r.backOf(client); back != nil {
			_, _ = back.WriteToUDPAddrPort(buf[:n], *r.target.Load())
		}
	}
}

func (r *relay) backOf(client netip.AddrPort) *net.UDPConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.backs[client]; c != nil {
		return c
	}
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: r.source})
	if err != nil {
		return nil
	}
	r.backs[client] = c
	r.running.Go(func() {
		buf := make([]byte, 65536)
		for {
			n, _, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if r.seen != nil {
				r.seen(false, client, buf[:n])
			}
			_, _ = r.front.WriteToUDPAddrPort(buf[:n], client)
		}
	})
	return c
}
