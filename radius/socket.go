package radius

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// socket carries a worker's datagrams in and its replies out.
type socket struct {
	worker *worker
	conn   *net.UDPConn
	raw    syscall.RawConn
	info   bool        // bound to every address: replies must name the one that was asked
	cuts   atomic.Bool // the system cuts messages into datagrams
	unsent func(to netip.AddrPort, errno syscall.Errno)
	memory *socketMemory
}

func newSocket(w *worker, conn *net.UDPConn) (*socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("radius: the socket of %s: %w", conn.LocalAddr(), err)
	}
	s := &socket{worker: w, conn: conn, raw: raw, info: localAddr(conn).Addr().IsUnspecified(), memory: newSocketMemory()}
	s.unsent = s.refused
	s.cuts.Store(cuts(raw))
	return s, nil
}

// serve takes the datagrams that wait, handles one after the other and sends what they are owed at once. When only one
// waits, only one is waited for.
func (s *socket) serve() {
	w := s.worker
	in, out := newInbox(s.info), newOutbox()
	var replies []byte // those in the outbox, one after the other
	p := &packet{via: s}
	for {
		if err := in.fill(s.raw); err != nil {
			return // the deadline that ends the reading, or the socket is closed
		}
		if in.errno != 0 {
			time.Sleep(time.Millisecond) // an error that repeats at once must not take the processor
			continue
		}
		p.now, p.tick = w.door.now(), w.tick()
		if in.n == batchSize {
			s.gauge(p.tick)
		}
		for i := range in.n {
			p.datagram, p.from, p.oob = in.datagram(i), in.from(i), in.replyInfo(i)
			if !w.door.identify(p) {
				continue
			}
			if b := w.handleSafely(p); b != nil {
				at := len(replies)
				replies = append(replies, b...)
				out.put(letter{bytes: replies[at:], to: p.from, oob: p.oob})
			}
		}
		if owed := out.n; owed > 0 {
			s.flush(out)
			replies = replies[:0]
			for now := w.tick(); owed > 0; owed-- {
				w.observe(now - p.tick)
			}
		}
	}
}

// identify finds the device that sends from a datagram's source address; false, counted and met with silence, when none
// does.
func (d *Door) identify(p *packet) bool {
	p.device = d.devices.lookup(p.from.Addr().Unmap())
	if p.device == nil {
		d.metrics.stranger(dropUnknownDevice)
		d.warn(p.tick, "packet from an address that is no device", "", p.from.Addr())
	}
	return p.device != nil
}

var outboxes = sync.Pool{New: func() any { return newOutbox() }}

// send implements carrier.
func (s *socket) send(letters []letter) {
	out := outboxes.Get().(*outbox)
	for _, l := range letters {
		if out.full() {
			s.flush(out)
		}
		out.put(l)
	}
	s.flush(out)
	outboxes.Put(out)
}

// flush sends what is in the outbox and counts what could not be sent. A system that turns out not to cut messages (an
// IPsec tunnel does not) is not asked again.
func (s *socket) flush(out *outbox) {
	_ = out.flush(s.raw, s.cuts.Load(), s.unsent) // an end, of which refused has heard
	if out.uncut {
		s.cuts.Store(false)
	}
}

// refused counts a reply that the system did not take. The access server asks again, and gets it from the cache.
func (s *socket) refused(to netip.AddrPort, errno syscall.Errno) {
	d := s.worker.door
	d.metrics.unsent.Inc()
	if tick := d.clock(); d.warnings.allow(tick) {
		d.log.Warn().Stringer("to", to).Err(errno).Msg("the system did not send a reply")
	}
}
