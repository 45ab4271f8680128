package nastest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2869"
)

// ErrUnanswered says that the server stayed silent through every try.
var ErrUnanswered = errors.New("the RADIUS server does not answer")

// exchanger sends requests from one socket and gives each waiter the replies to its identifier.
type exchanger struct {
	conn    *net.UDPConn
	timeout time.Duration
	tries   int
	path    *path
	free    chan byte // identifiers, the longest unused first
	closed  chan struct{}
	forged  atomic.Int64

	mu      sync.Mutex
	waiting [256]chan []byte
}

func newExchanger(local, server string, timeout time.Duration, tries int, path *path) (*exchanger, error) {
	to, err := net.ResolveUDPAddr("udp", server)
	if err != nil {
		return nil, fmt.Errorf("nastest: the server's address: %w", err)
	}
	var from *net.UDPAddr
	if local != "" {
		if _, _, err := net.SplitHostPort(local); err != nil {
			local = net.JoinHostPort(local, "0")
		}
		if from, err = net.ResolveUDPAddr("udp", local); err != nil {
			return nil, fmt.Errorf("nastest: the local address: %w", err)
		}
	}
	conn, err := net.DialUDP("udp", from, to)
	if err != nil {
		return nil, fmt.Errorf("nastest: opening a socket to %s: %w", server, err)
	}
	_ = conn.SetReadBuffer(1 << 20)
	e := &exchanger{conn: conn, timeout: timeout, tries: tries, path: path, free: make(chan byte, 256), closed: make(chan struct{})}
	for i := range 256 {
		e.free <- byte(i)
	}
	go e.read()
	return e, nil
}

func (e *exchanger) close() {
	select {
	case <-e.closed:
	default:
		close(e.closed)
	}
	e.conn.Close()
}

func (e *exchanger) read() {
	buf := make([]byte, 65536)
	for {
		size, err := e.conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || size < 20 { // a refused port shows as an error of the socket; the waiter's timer decides
			continue
		}
		reply := bytes.Clone(buf[:size])
		e.path.carry(true, func() { e.give(reply) })
	}
}

// give hands a reply to whoever waits for its identifier.
func (e *exchanger) give(reply []byte) {
	e.mu.Lock()
	waiter := e.waiting[reply[1]]
	e.mu.Unlock()
	if waiter != nil {
		select {
		case waiter <- reply:
		default:
		}
	}
}

// exchange sends the packet, the same bytes at each of so many tries, until a reply that verify takes.
func (e *exchanger) exchange(ctx context.Context, p *radius.Packet, signed bool, tries int, verify func(request, reply []byte) (*radius.Packet, error)) (*radius.Packet, error) {
	select {
	case p.Identifier = <-e.free:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-e.closed:
		return nil, net.ErrClosed
	}
	replies := make(chan []byte, 4)
	e.mu.Lock()
	e.waiting[p.Identifier] = replies
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.waiting[p.Identifier] = nil
		e.mu.Unlock()
		e.free <- p.Identifier
	}()

	request, err := encode(p, p.Authenticator, signed)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(e.timeout)
	defer timer.Stop()
	for range tries {
		e.path.carry(false, func() { _, _ = e.conn.Write(request) }) // a lost datagram and a refused one are the same to the waiter
		timer.Reset(e.timeout)
		for waiting := true; waiting; {
			select {
			case reply := <-replies:
				if answer, err := verify(request, reply); err == nil {
					return answer, nil
				}
				e.forged.Add(1)
			case <-timer.C:
				waiting = false
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-e.closed:
				return nil, net.ErrClosed
			}
		}
	}
	return nil, ErrUnanswered
}

// encode writes a packet, with a Message-Authenticator first when signed. authenticator is what the
// Message-Authenticator is computed with: the packet's own in an Access-Request, the request's in a reply, zero in a
// command (RFC 3579, section 3.2, and RFC 5176, section 2.3).
func encode(p *radius.Packet, authenticator [16]byte, signed bool) ([]byte, error) {
	if signed {
		attrs := make(radius.Attributes, 0, len(p.Attributes)+1)
		attrs.Add(rfc2869.MessageAuthenticator_Type, make(radius.Attribute, 16))
		p.Attributes = append(attrs, p.Attributes...)
		own := p.Authenticator
		p.Authenticator = authenticator
		wire, err := p.MarshalBinary()
		p.Authenticator = own
		if err != nil {
			return nil, err
		}
		mac := hmac.New(md5.New, p.Secret)
		mac.Write(wire)
		p.Attributes[0].Attribute = mac.Sum(nil)
	}
	return p.Encode()
}

// signedRight reports whether wire carries a Message-Authenticator, and whether it is right when computed with the
// authenticator given.
func signedRight(wire []byte, authenticator [16]byte, secret []byte) (present, right bool) {
	b := bytes.Clone(wire)
	copy(b[4:20], authenticator[:])
	for i := 20; i+2 <= len(b) && int(b[i+1]) >= 2 && i+int(b[i+1]) <= len(b); i += int(b[i+1]) {
		if b[i] == byte(rfc2869.MessageAuthenticator_Type) && b[i+1] == 18 {
			sent := bytes.Clone(b[i+2 : i+18])
			clear(b[i+2 : i+18])
			mac := hmac.New(md5.New, secret)
			mac.Write(b)
			return true, hmac.Equal(sent, mac.Sum(nil))
		}
	}
	return false, false
}

// trim cuts what follows the packet's own length, which is padding (RFC 2865, section 3).
func trim(b []byte) ([]byte, bool) {
	if len(b) < 20 {
		return nil, false
	}
	size := int(binary.BigEndian.Uint16(b[2:4]))
	if size < 20 || size > len(b) {
		return nil, false
	}
	return b[:size], true
}
