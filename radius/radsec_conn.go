package radius

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// maxQueue bounds the replies that wait for a peer to read, in bytes: 256 outstanding requests fit many times.
const maxQueue = 256 << 10

// connection is a device's RadSec connection. One goroutine reads packets and hands them to a worker of its own, so
// that duplicates are told by connection (RFC 6613, section 2.6.1); another writes.
type connection struct {
	radsec   *radsec
	worker   *worker
	raw      net.Conn
	tls      *tls.Conn
	from     netip.AddrPort
	peer     peer
	expires  time.Duration // the peer's certificate, on the door's clock
	snapshot *deviceSnapshot
	device   *device // in the snapshot
	frames   *frames
	last     time.Time     // when a packet was last complete
	began    time.Time     // when the packet that is being read began
	abreast  time.Duration // when nothing waited to be read
	logins   int           // since then
	waits    *waiting

	mu       sync.Mutex
	queue    []byte // what is to be written
	reason   string // why it ended, where somebody else ended it
	finished bool   // nothing more is put into the queue
	wake     chan struct{}
	wrote    chan struct{} // closed when the writer has ended
}

// serve is a connection's life.
func (r *radsec) serve(ctx context.Context, h *handshake, from netip.AddrPort) {
	raw := h.raw
	reading := true
	readingEnds := func() {
		if reading {
			reading = false
			r.reading.Done()
		}
	}
	defer readingEnds()
	defer raw.Close()
	c := r.greet(ctx, raw, from)
	r.handshaken(h)
	if c == nil {
		return
	}
	id, name := c.device.ID, c.device.Name
	defer r.leave(c, id)
	r.connections.WithLabelValues("accepted").Inc()
	r.door.log.Info().Str("device", name).Stringer("source", from).Msg("RadSec connection opened")
	go c.write()
	reason := c.read()
	readingEnds()
	if reason == "shutdown" {
		<-r.shut // what was asked may still be answered
	}
	c.finish()
	r.closed.WithLabelValues(name, reason).Inc()
	r.door.log.Info().Str("device", name).Stringer("source", from).Str("reason", reason).Msg("RadSec connection closed")
}

// greet does the handshake; nil when nothing comes of it.
func (r *radsec) greet(ctx context.Context, raw net.Conn, from netip.AddrPort) *connection {
	session := tls.Server(raw, r.credentials.serverConfig())
	shaking, cancel := context.WithTimeout(ctx, r.config.HandshakeTimeout)
	defer cancel()
	if err := session.HandshakeContext(shaking); err != nil {
		result := "handshake"
		switch bad := (*tls.CertificateVerificationError)(nil); {
		case errors.Is(err, errNoDevice):
			result = "no_device"
		case errors.As(err, &bad):
			result = "bad_certificate"
		case strings.Contains(err.Error(), "didn't provide a certificate"):
			result = "no_certificate"
		}
		r.refuse(result, from, err)
		return nil
	}
	p := peerOf(session.ConnectionState().PeerCertificates[0])
	d := r.door
	c := &connection{radsec: r, worker: newWorker(d, portRadSec), raw: raw, tls: session, from: from, peer: p,
		expires: d.clock() + time.Until(p.notAfter), last: time.Now(), wake: make(chan struct{}, 1), wrote: make(chan struct{})}
	c.frames = newFrames(c)
	c.waits = newWaiting(raw)
	if c.current() == nil {
		r.refuse("no_device", from, errNoDevice)
		return nil
	}
	if !r.join(c) {
		r.refuse("limit", from, errors.New("too many connections"))
		return nil
	}
	return c
}

// refuse counts a connection that was not accepted, and says why at most once in ten seconds.
func (r *radsec) refuse(result string, from netip.AddrPort, err error) {
	r.connections.WithLabelValues(result).Inc()
	if r.warnings.allow(r.door.clock()) {
		r.door.log.Warn().Err(err).Stringer("source", from).Str("result", result).Msg("a RadSec connection was refused")
	}
}

// current is the device as it is configured now; nil when the certificate is no longer that device's.
func (c *connection) current() *device {
	if s := c.radsec.door.devices.current.Load(); s != c.snapshot {
		d := s.of(&c.peer)
		if d != nil && c.device != nil && d.ID != c.device.ID {
			d = nil
		}
		if d == nil {
			return nil
		}
		c.snapshot, c.device = s, d
	}
	return c.device
}

// read hands packets over until there is a reason not to, and returns it.
func (c *connection) read() (reason string) {
	d := c.radsec.door
	p := &packet{via: c, from: c.from}
	owed := make([]letter, 1)
	c.abreast = d.clock()
	for {
		b, err := c.frames.next()
		if err != nil {
			return c.why(err)
		}
		c.last, c.began = time.Now(), time.Time{}
		p.now, p.tick = d.now(), d.clock()
		c.standBack(b, p.tick)
		if p.device = c.current(); p.device == nil {
			return "device_gone"
		}
		if p.tick > c.expires {
			return "certificate_expired"
		}
		p.datagram = b
		c.worker.distrusts = false
		if reply := c.worker.handleSafely(p); reply != nil {
			owed[0] = letter{bytes: reply}
			c.send(owed)
			c.worker.observe(c.worker.tick() - p.tick)
		}
		if c.worker.distrusts {
			return "distrusted" // RFC 6613, section 2.6.4: what would be silence over UDP ends the connection
		}
	}
}

// why puts the end of reading into a word.
func (c *connection) why(err error) string {
	c.mu.Lock()
	reason := c.reason
	c.mu.Unlock()
	switch {
	case reason != "":
		return reason
	case c.radsec.stopped():
		return "shutdown"
	case errors.Is(err, ErrLength):
		c.radsec.door.metrics.of(c.device).dropped[dropMalformed].Inc()
		return "malformed"
	case errors.Is(err, os.ErrDeadlineExceeded) && c.frames.partial():
		return "stalled"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "idle"
	case errors.Is(err, io.EOF):
		return "peer"
	}
	return "broken"
}

// Read reads for frames, for no longer than a peer may be idle or a packet may take.
func (c *connection) Read(b []byte) (int, error) {
	now := time.Now()
	deadline := c.last.Add(c.radsec.config.IdleTimeout)
	if c.frames.partial() {
		if c.began.IsZero() {
			c.began = now
		}
		if end := c.began.Add(c.radsec.config.PacketTimeout); end.Before(deadline) {
			deadline = end
		}
	}
	if err := c.tls.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	if c.radsec.stopped() { // its deadline may have come before this one
		return 0, os.ErrDeadlineExceeded
	}
	c.gauge()
	return c.tls.Read(b)
}

// gauge looks whether more waits to be read already. A peer of whom something has always waited for a while sends more
// than can be served, as a socket whose buffer fills does.
func (c *connection) gauge() {
	d := c.radsec.door
	switch tick := d.clock(); {
	case c.waits.bytes() == 0:
		c.abreast, c.logins = tick, 0
	case tick-c.abreast > radsecBehind:
		d.admission.fell(portRadSec, tick)
	}
}

// standBack has logins of a peer that is not waited for pause for accounting on UDP that is behind, as those on UDP do.
func (c *connection) standBack(packet []byte, tick time.Duration) {
	if packet[0] != CodeAccessRequest {
		return
	}
	if c.logins++; c.logins%batchSize == 0 && c.radsec.door.admission.behind(portAcct, tick) {
		time.Sleep(standBack)
	}
}

// send implements carrier: it never waits for the peer. One that lets too much wait is cut off.
func (c *connection) send(letters []letter) {
	c.mu.Lock()
	for i := range letters {
		if c.reason == "" && len(c.queue)+len(letters[i].bytes) > maxQueue {
			c.endLocked("slow_reader")
		}
		if c.reason != "" || c.finished {
			c.radsec.door.metrics.unsent.Inc()
			continue
		}
		c.queue = append(c.queue, letters[i].bytes...)
	}
	c.mu.Unlock()
	c.rouse()
}

func (c *connection) rouse() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// end cuts the connection off.
func (c *connection) end(reason string) {
	c.mu.Lock()
	c.endLocked(reason)
	c.mu.Unlock()
	c.rouse()
}

func (c *connection) endLocked(reason string) {
	if c.reason == "" {
		c.reason = reason
		c.raw.Close()
	}
}

// write sends what is put into the queue, many replies in a record.
func (c *connection) write() {
	defer close(c.wrote)
	var out []byte
	for {
		c.mu.Lock()
		out, c.queue = c.queue, out[:0]
		over := c.finished || c.reason != ""
		c.mu.Unlock()
		if len(out) > 0 {
			limit := c.radsec.config.WriteTimeout
			if c.radsec.stopped() {
				limit = min(limit, time.Second)
			}
			err := c.tls.SetWriteDeadline(time.Now().Add(limit))
			if err == nil {
				_, err = c.tls.Write(out)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.end("slow_reader")
			} else if err != nil {
				c.end("broken")
			}
			continue
		}
		if over {
			return
		}
		<-c.wake
	}
}

// finish sends what waits and closes the connection. The peer is heard out for a moment: closing with something unread
// would reset the connection, and take back what has just been sent.
func (c *connection) finish() {
	c.mu.Lock()
	c.finished = true
	c.mu.Unlock()
	c.rouse()
	<-c.wrote
	c.mu.Lock()
	cut := c.reason != ""
	c.mu.Unlock()
	if tcp, ok := c.raw.(*net.TCPConn); ok && !cut && c.tls.CloseWrite() == nil && tcp.CloseWrite() == nil {
		if tcp.SetReadDeadline(time.Now().Add(hearOut)) == nil {
			_, _ = io.CopyN(io.Discard, tcp, hearOutMost)
		}
	}
	c.tls.Close()
}

const (
	hearOut     = time.Second
	hearOutMost = 4 << 20 // bytes
)
