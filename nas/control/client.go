package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// peer is the socket to one device. It lives as long as the device's address does, so that the source port is stable
// for firewalls and for the device's own duplicate detection.
type peer struct {
	addr   netip.AddrPort
	conn   *net.UDPConn
	free   chan byte // identifiers, the longest unused first
	closed chan struct{}
	// answered is the secret under which the device answered last.
	answered atomic.Pointer[[]byte]

	mu      sync.Mutex
	waiting [256]chan []byte
}

func dial(addr netip.AddrPort) (*peer, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("opening a socket to %s: %w", addr, err)
	}
	p := &peer{addr: addr, conn: conn, free: make(chan byte, 256), closed: make(chan struct{})}
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
		waiter := p.waiting[buf[1]]
		p.mu.Unlock()
		if waiter != nil {
			select {
			case waiter <- bytes.Clone(buf[:size]):
			default: // flooded: the retransmission will be answered again
			}
		}
	}
}

// exchange sends a command and waits for its verified answer. Retransmissions are the same bytes, with the same
// Identifier and Request Authenticator, so that the device can recognise them (RFC 5176, section 2.3). retry[i] is how
// long attempt i+1 is waited for. It returns how many datagrams were sent.
func (p *peer) exchange(ctx context.Context, code radius.Code, attrs radius.Attributes, secret []byte, retry []time.Duration) (answer, int, error) {
	var id byte
	select {
	case id = <-p.free:
	case <-ctx.Done():
		return answer{}, 0, ctx.Err()
	case <-p.closed:
		return answer{}, 0, net.ErrClosed
	}
	replies := make(chan []byte, 4)
	p.expect(id, replies)
	defer func() {
		p.expect(id, nil)
		p.free <- id
	}()
	// Devices hold Event-Timestamp against their own clocks, which follow the real one.
	wire, err := request(code, id, append(slices.Clip(attrs), eventTimestamp(time.Now())), secret)
	if err != nil {
		return answer{}, 0, err
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	attempts := 0
	for _, patience := range retry {
		_, _ = p.conn.Write(wire) // refused or unroutable now may not be at the next attempt
		attempts++
		timer.Reset(patience)
		for waiting := true; waiting; {
			select {
			case b := <-replies:
				if a, ok := reply(wire, b, secret); ok {
					return a, attempts, nil
				}
			case <-timer.C:
				waiting = false
			case <-ctx.Done():
				return answer{}, attempts, ctx.Err()
			case <-p.closed:
				return answer{}, attempts, net.ErrClosed
			}
		}
	}
	return answer{}, attempts, errTimeout
}

// exchangeAll sends packets one after the other, each once the one before is acknowledged, and returns the answer to the
// last that was sent, and how many datagrams were.
func (p *peer) exchangeAll(ctx context.Context, code radius.Code, packets []radius.Attributes, secret []byte, retry []time.Duration) (a answer, sent int, err error) {
	for i, attrs := range packets {
		var n int
		a, n, err = p.exchange(ctx, code, attrs, secret, retry)
		a.step = i
		sent += n
		if err != nil || !a.ack {
			return a, sent, err
		}
	}
	return a, sent, nil
}

func (p *peer) expect(id byte, replies chan []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[id] = replies
}
