package nastest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3576"
)

// Error-Causes given (RFC 5176, section 3.5).
const (
	unsupportedAttribute = 401
	missingAttribute     = 402
	nasMismatch          = 403
	invalidRequest       = 404
	unsupportedService   = 405
	sessionNotFound      = 503
)

// eventWindow is how far an Event-Timestamp may lie from the clock (RFC 5176, section 6.3).
const eventWindow = 300 * time.Second

// answered is a command already answered: the same bytes from the same place get the same answer.
type answered struct {
	from    netip.AddrPort
	request [20]byte // header: code, identifier, length, authenticator
	reply   []byte
}

// obey answers commands until the socket closes.
func (n *NAS) obey() {
	buf := make([]byte, 65536)
	var recent replies
	for {
		size, from, err := n.coa.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			datagram := bytes.Clone(buf[:size])
			n.path.carry(true, func() { n.take(datagram, from, &recent) })
		}
	}
}

// replies are those to the last commands.
type replies struct {
	mu   sync.Mutex
	last [512]answered
	next int
}

// take answers one datagram, one at a time.
func (n *NAS) take(datagram []byte, from netip.AddrPort, recent *replies) {
	recent.mu.Lock()
	defer recent.mu.Unlock()
	q := n.quirksNow()
	if q.Deaf || n.vendor.deaf {
		n.stats.dropped.Add(1)
		return
	}
	wire, ok := trim(datagram)
	if !ok {
		n.stats.dropped.Add(1)
		return
	}
	send := func(reply []byte) {
		n.path.carry(false, func() { _, _ = n.coa.WriteToUDPAddrPort(reply, from) })
	}
	header := [20]byte(wire[:20])
	if i := slices.IndexFunc(recent.last[:], func(a answered) bool { return a.request == header && a.from == from }); i >= 0 {
		n.stats.duplicates.Add(1)
		send(recent.last[i].reply)
		return
	}
	reply, ok := n.answer(wire, q)
	if !ok {
		n.stats.dropped.Add(1)
		return
	}
	recent.last[recent.next%len(recent.last)] = answered{from, header, reply}
	recent.next++
	send(reply)
	if q.AnswerTwice {
		send(reply)
	}
}

// answer is the reply to a command, or false for silence.
func (n *NAS) answer(wire []byte, q Quirks) ([]byte, bool) {
	if !radius.IsAuthenticRequest(wire, n.cfg.Secret) {
		return nil, false
	}
	if present, right := signedRight(wire, [16]byte{}, n.cfg.Secret); present && !right {
		return nil, false
	}
	p, err := radius.Parse(wire, n.cfg.Secret)
	if err != nil {
		return nil, false
	}
	if at, err := rfc2869.EventTimestamp_Lookup(p); err == nil && time.Since(at).Abs() > eventWindow {
		return nil, false
	}
	if n.rebootNow() {
		return nil, false
	}
	var ack, nak radius.Code
	var cause uint32
	var ended []*Session
	switch p.Code {
	case radius.CodeCoARequest:
		ack, nak = radius.CodeCoAACK, radius.CodeCoANAK
		ended, cause = n.obeyChange(p, q)
		if cause == sessionNotFound && q.AckUnknown {
			cause = 0
		}
		n.stats.coas.Add(1)
	case radius.CodeDisconnectRequest:
		ack, nak = radius.CodeDisconnectACK, radius.CodeDisconnectNAK
		ended, cause = n.disconnect(p, q)
		n.stats.disconnects.Add(1)
	default:
		return nil, false
	}
	code := ack
	if cause != 0 {
		code = nak
		n.stats.naks.Add(1)
	} else {
		n.stats.acks.Add(1)
	}
	n.remember(p, code, cause)
	for _, s := range ended {
		n.schedule.after(0, func(ctx context.Context) {
			_ = s.Stop(ctx, int(rfc2866.AcctTerminateCause_Value_AdminReset))
		})
	}
	reply := p.Response(code)
	if cause != 0 {
		_ = rfc3576.ErrorCause_Add(reply, rfc3576.ErrorCause(cause))
	}
	out, err := encode(reply, p.Authenticator, !n.vendor.unsigned)
	return out, err == nil
}

func (n *NAS) remember(p *radius.Packet, code radius.Code, cause uint32) {
	c := Command{
		At: time.Now(), Code: p.Code, Login: rfc2865.UserName_GetString(p), SessionID: rfc2866.AcctSessionID_GetString(p),
		Attributes: p.Attributes, Answer: code, ErrorCause: cause,
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.commands) == keptCommands {
		n.commands = slices.Delete(n.commands, 0, keptCommands/2)
	}
	n.commands = append(n.commands, c)
}

// obeyChange obeys a CoA-Request, wholly or not at all; the result is the sessions that end over it, and an Error-Cause,
// 0 for done.
func (n *NAS) obeyChange(p *radius.Packet, q Quirks) ([]*Session, uint32) {
	v := n.vendor
	switch {
	case q.RefuseCoA != 0:
		return nil, q.RefuseCoA
	case v.noCoA != 0:
		return nil, v.noCoA
	}
	found, cause := n.find(p)
	if cause != 0 || q.NoEffect {
		return nil, cause
	}
	news := make([]applied, len(found))
	var ended []*Session
	for i, s := range found {
		st := s.now()
		news[i] = st.applied
		cause, offline := n.change(&news[i], p, q)
		if cause == 0 && v.shorterRefused && news[i].timeout != st.applied.timeout && news[i].timeout < time.Since(st.started) {
			cause = invalidRequest
		}
		if cause != 0 {
			return nil, cause
		}
		if offline {
			ended = append(ended, s)
		}
	}
	for i, s := range found {
		if !slices.Contains(ended, s) {
			s.apply(news[i])
		}
	}
	return ended, 0
}

// disconnect finds what a Disconnect-Request ends. It may carry nothing but identification (RFC 5176, section 3).
func (n *NAS) disconnect(p *radius.Packet, q Quirks) ([]*Session, uint32) {
	if q.RefuseDisconnect != 0 {
		return nil, q.RefuseDisconnect
	}
	attrs, err := flatten(p.Attributes)
	if err != nil {
		return nil, invalidRequest
	}
	named := false
	for _, attr := range attrs {
		named = named || attr.standard(rfc2866.AcctSessionID_Type)
		if !n.vendor.identifies(attr) && !attr.standard(rfc2866.AcctTerminateCause_Type) {
			return nil, unsupportedAttribute
		}
	}
	if n.vendor.needsSessionID && !named {
		return nil, missingAttribute
	}
	found, cause := n.find(p)
	if q.KeepSession {
		return nil, cause
	}
	return found, cause
}
