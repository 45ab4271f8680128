package radius

import (
	"context"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
)

// Echo sends every datagram that comes to an address back until ctx ends: a Door's sockets and its ways with them, without
// its work. It is what a measurement of a Door is held against. ready is told the address that was bound.
func Echo(ctx context.Context, address string, ready func(netip.AddrPort)) error {
	families, err := bind(address, runtime.GOMAXPROCS(0))
	if err != nil {
		return err
	}
	var serving sync.WaitGroup
	for _, conns := range families {
		defer closeAll(conns)
		for _, c := range conns {
			raw, err := c.SyscallConn()
			if err != nil {
				return err
			}
			info := localAddr(c).Addr().IsUnspecified()
			serving.Go(func() { echo(raw, info) })
		}
	}
	ready(localAddr(families[0][0]))
	<-ctx.Done()
	for _, conns := range families {
		closeAll(conns)
	}
	serving.Wait()
	return nil
}

func echo(c syscall.RawConn, info bool) {
	in, out, cut := newInbox(info), newOutbox(), cuts(c)
	for in.fill(c) == nil {
		for i := range in.n {
			out.put(letter{bytes: in.datagram(i), to: in.from(i), oob: in.replyInfo(i)})
		}
		_ = out.flush(c, cut, func(netip.AddrPort, syscall.Errno) {}) // what is not sent back is seen by who sent it
	}
}
