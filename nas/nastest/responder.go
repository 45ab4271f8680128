package nastest

import (
	"errors"
	"net"
	"net/netip"
	"sync"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
)

// Responder is the least RADIUS server: tests of this package and of the reconciler put it where the real one goes. It
// checks passwords by PAP alone and answers one request at a time.
type Responder struct {
	Secret []byte
	// Password of a login; false rejects.
	Password func(login string) (string, bool)
	// Accept gives the attributes of an Access-Accept.
	Accept func(login string) radius.Attributes
	// Account is told of every authentic Accounting-Request before it is answered; may be nil. The answer is kept back
	// when it returns false.
	Account func(status rfc2866.AcctStatusType, p *radius.Packet) bool

	conn    *net.UDPConn
	running sync.WaitGroup
}

// Listen opens a port on the loopback address; 127.0.0.1:0 takes any.
func (r *Responder) Listen(addr string) error {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return err
	}
	if r.conn, err = net.ListenUDP("udp", to); err != nil {
		return err
	}
	r.running.Go(r.serve)
	return nil
}

// Addr is where it listens, for authentication and accounting alike.
func (r *Responder) Addr() netip.AddrPort { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Close ends it.
func (r *Responder) Close() {
	r.conn.Close()
	r.running.Wait()
}

func (r *Responder) serve() {
	buf := make([]byte, 65536)
	for {
		size, from, err := r.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if reply, ok := r.answer(buf[:size]); ok {
			_, _ = r.conn.WriteToUDPAddrPort(reply, from)
		}
	}
}

func (r *Responder) answer(b []byte) ([]byte, bool) {
	wire, ok := trim(b)
	if !ok || !radius.IsAuthenticRequest(wire, r.Secret) {
		return nil, false
	}
	p, err := radius.Parse(wire, r.Secret)
	if err != nil {
		return nil, false
	}
	var reply *radius.Packet
	signed := false
	switch p.Code {
	case radius.CodeAccountingRequest:
		if r.Account != nil && !r.Account(rfc2866.AcctStatusType_Get(p), p) {
			return nil, false
		}
		reply = p.Response(radius.CodeAccountingResponse)
	case radius.CodeAccessRequest:
		if present, right := signedRight(wire, p.Authenticator, r.Secret); present && !right {
			return nil, false
		}
		login := rfc2865.UserName_GetString(p)
		signed = true
		if password, ok := r.Password(login); !ok || rfc2865.UserPassword_GetString(p) != password {
			reply = p.Response(radius.CodeAccessReject)
		} else {
			reply = p.Response(radius.CodeAccessAccept)
			reply.Attributes = r.Accept(login)
		}
	default:
		return nil, false
	}
	out, err := encode(reply, p.Authenticator, signed)
	return out, err == nil
}
