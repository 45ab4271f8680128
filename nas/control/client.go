package control

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"layeh.com/radius"
)

// errTimeout says that a device stayed silent through every attempt: it is away, or the secret is wrong, which looks
// the same (RFC 5176, section 2.3).
var errTimeout = errors.New("the access server does not answer")

// answer is a device's verified reply: an ACK, or a NAK with its Error-Cause (0 when absent).
type answer struct {
	ack   bool
	cause int
	step  int // how many of the command's packets before this one were acknowledged
}

// sending is a command on its way.
type sending struct {
	code    radius.Code
	packets []radius.Attributes // one after the other, each once the one before is acknowledged
	retry   []time.Duration     // how long attempt i+1 is waited for, about
	leave   bool                // its first datagram has leave to be sent
	// late is told an answer that comes after the command was given up, once; last that it is to its last packet.
	late func(a answer, last bool)
}

// peer is the socket to one device. It lives as long as the device's address does, so that the source port is stable
// for firewalls and for the device's own duplicate detection.
type peer struct {
	addr   netip.AddrPort
	conn   *net.UDPConn
	pace   *pace
	stamp  time.Duration // how old an Event-Timestamp is sent
	free   chan byte     // identifiers, the longest unused first
	closed chan struct{}
	// answered is the secret under which the device answered last.
	answered atomic.Pointer[[]byte]

	mu      sync.Mutex
	flights [256]*flight
}

// flight is a packet that was sent, and is waited for until it is over. After that its late answer is still recognised,
// until its identifier is used again.
type flight struct {
	id           byte
	wire, secret []byte
	made         time.Time // its Event-Timestamp
	replies      chan answer
	over         bool
	late         func(answer)
}

func dial(addr netip.AddrPort, pace *pace) (*peer, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("opening a socket to %s: %w", addr, err)
	}
	p := &peer{addr: addr, conn: conn, pace: pace, stamp: timestampFor, free: make(chan byte, 256), closed: make(chan struct{})}
	for i := range 256 {
		p.free <- byte(i)
	}
	go p.read()
	return p, nil
}

// close ends the socket; exchanges under way fail.
func (p *peer) close() {
	close(p.closed)
	p.conn.Close()
}

func (p *peer) read() {
	buf := make([]byte, 65536)
	for {
		size, err := p.conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || size < 20 { // a refused port is an error of the socket: the device may come back
			continue
		}
		p.mu.Lock()
		f := p.flights[buf[1]]
		p.mu.Unlock()
		if f == nil { // answered already, or never asked
			continue
		}
		if a, ok := reply(f.wire, buf[:size], f.secret); ok {
			p.deliver(f, a)
		}
	}
}

// deliver gives a flight its answer, once.
func (p *peer) deliver(f *flight, a answer) {
	p.mu.Lock()
	if p.flights[f.id] != f {
		p.mu.Unlock()
		return
	}
	p.flights[f.id] = nil
	late := f.late
	if !f.over {
		f.replies <- a
		late = nil
	}
	p.mu.Unlock()
	if late != nil {
		late(a)
	}
}

// begin makes a packet with an identifier and an Event-Timestamp of its own.
func (p *peer) begin(ctx context.Context, code radius.Code, attrs radius.Attributes, secret []byte, late func(answer)) (*flight, error) {
	f := &flight{secret: secret, replies: make(chan answer, 1), made: time.Now(), late: late}
	select {
	case f.id = <-p.free:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, net.ErrClosed
	}
	var err error
	// Devices hold Event-Timestamp against their own clocks, which follow the real one.
	if f.wire, err = request(code, f.id, append(slices.Clip(attrs), eventTimestamp(f.made)), secret); err != nil {
		p.free <- f.id
		return nil, err
	}
	p.mu.Lock()
	p.flights[f.id] = f
	p.mu.Unlock()
	return f, nil
}

// end is when a flight is no longer waited for. An answer that came at the last moment counts.
func (p *peer) end(f *flight) (a answer, answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.over = true
	p.free <- f.id
	select {
	case a = <-f.replies:
		return a, true
	default:
		return a, false
	}
}

// timestampFor bounds the age of a packet's Event-Timestamp when it is sent again: devices that hold it against their clocks
// refuse what is older than some minutes (RFC 5176, section 6.3). A packet with a newer one is another packet, with an
// identifier of its own (section 2.3).
const timestampFor = 100 * time.Second

// exchange sends a packet and waits for its verified answer. Retransmissions are the same bytes, with the same Identifier
// and Request Authenticator, so that the device can recognise them (RFC 5176, section 2.3); what each is waited for is up
// to a tenth more or less than s.retry has it, so that what was lost together does not come again together (RFC 5080,
// section 2.2.1). It returns how many datagrams were sent.
func (p *peer) exchange(ctx context.Context, s *sending, step int, secret []byte) (answer, int, error) {
	attempts := 0
	late := func(a answer) {
		if a.step = step; s.late != nil {
			s.late(a, step == len(s.packets)-1)
		}
	}
	var f *flight
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for _, patience := range s.retry {
		if !s.leave {
			if err := p.pace.wait(ctx, false); err != nil {
				return p.cut(f, attempts, err)
			}
		}
		s.leave = false
		if f != nil && time.Since(f.made) > p.stamp {
			if a, answered := p.end(f); answered {
				return a, attempts, nil
			}
			f = nil
		}
		if f == nil {
			var err error
			if f, err = p.begin(ctx, s.code, s.packets[step], secret, late); err != nil {
				return answer{}, attempts, err
			}
		}
		_, _ = p.conn.Write(f.wire) // refused or unroutable now may not be at the next attempt
		attempts++
		timer.Reset(jittered(patience))
		select {
		case a := <-f.replies:
			f.replies <- a
			return p.cut(f, attempts, nil)
		case <-timer.C:
		case <-ctx.Done():
			return p.cut(f, attempts, ctx.Err())
		case <-p.closed:
			return p.cut(f, attempts, net.ErrClosed)
		}
	}
	return p.cut(f, attempts, errTimeout)
}

// cut ends an exchange: by its answer, if there is one, else by err.
func (p *peer) cut(f *flight, attempts int, err error) (answer, int, error) {
	if f != nil {
		if a, answered := p.end(f); answered {
			return a, attempts, nil
		}
	}
	return answer{}, attempts, err
}

func jittered(d time.Duration) time.Duration {
	return d*9/10 + rand.N(d/5+1)
}

// exchangeAll sends the packets one after the other, each once the one before is acknowledged, and returns the answer to the
// last that was sent, and how many datagrams were.
func (p *peer) exchangeAll(ctx context.Context, s *sending, secret []byte) (a answer, sent int, err error) {
	for step := range s.packets {
		var n int
		a, n, err = p.exchange(ctx, s, step, secret)
		a.step = step
		sent += n
		if err != nil || !a.ack {
			return a, sent, err
		}
	}
	return a, sent, nil
}
