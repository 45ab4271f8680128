package radius

import (
	"errors"
	"net"
	"os"
	"time"
)

// socket carries a worker's datagrams in and its replies out.
type socket struct {
	worker *worker
	conn   *net.UDPConn
	info   bool // bound to every address: replies must name the one that was asked
}

// serve reads datagrams and sends what they are owed at once.
func (s *socket) serve() {
	w := s.worker
	datagram := make([]byte, maxPacket) // what lies beyond is padding, or the packet is malformed
	oob := make([]byte, packetInfoSpace)
	p := &packet{via: s}
	owed := make([]letter, 1)
	for {
		var n, oobn int
		var err error
		if s.info {
			n, oobn, _, p.from, err = s.conn.ReadMsgUDPAddrPort(datagram, oob)
		} else {
			n, p.from, err = s.conn.ReadFromUDPAddrPort(datagram)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // an error that repeats at once must not take the processor
			continue
		}
		p.datagram, p.oob = datagram[:n], nil
		if s.info {
			p.oob = replyInfo(oob[:oobn])
		}
		p.now, p.tick = w.door.now(), w.tick()
		if !w.door.identify(p) {
			continue
		}
		if b := w.handleSafely(p); b != nil {
			owed[0] = letter{bytes: b, to: p.from, oob: p.oob}
			s.send(owed)
			w.observe(p.tick)
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

// send implements carrier.
func (s *socket) send(letters []letter) {
	for i := range letters {
		var err error
		if l := &letters[i]; len(l.oob) > 0 {
			_, _, err = s.conn.WriteMsgUDPAddrPort(l.bytes, l.oob, l.to)
		} else {
			_, err = s.conn.WriteToUDPAddrPort(l.bytes, l.to)
		}
		if err != nil {
			s.worker.door.metrics.unsent.Inc()
		}
	}
}
