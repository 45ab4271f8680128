package nastest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
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
	var recent [512]answered
	next := 0
	for {
		size, from, err := n.coa.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		q := n.quirksNow()
		if q.Deaf {
			n.stats.dropped.Add(1)
			continue
		}
		wire, ok := trim(buf[:size])
		if !ok {
			n.stats.dropped.Add(1)
			continue
		}
		header := [20]byte(wire[:20])
		if i := slices.IndexFunc(recent[:], func(a answered) bool { return a.request == header && a.from == from }); i >= 0 {
			n.stats.duplicates.Add(1)
			_, _ = n.coa.WriteToUDPAddrPort(recent[i].reply, from)
			continue
		}
		reply, ok := n.answer(wire, q)
		if !ok {
			n.stats.dropped.Add(1)
			continue
		}
		recent[next%len(recent)] = answered{from, header, reply}
		next++
		_, _ = n.coa.WriteToUDPAddrPort(reply, from)
		if q.AnswerTwice {
			_, _ = n.coa.WriteToUDPAddrPort(reply, from)
		}
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
	var ack, nak radius.Code
	var cause uint32
	var ended []*Session
	switch p.Code {
	case radius.CodeCoARequest:
		ack, nak = radius.CodeCoAACK, radius.CodeCoANAK
		cause = n.change(p, q)
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
	// accel-ppp does not sign what it answers.
	out, err := encode(reply, p.Authenticator, n.cfg.Dialect != "accel-ppp")
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

// change obeys a CoA-Request, wholly or not at all; the result is an Error-Cause, 0 for done.
func (n *NAS) change(p *radius.Packet, q Quirks) uint32 {
	if q.RefuseCoA != 0 {
		return q.RefuseCoA
	}
	if n.cfg.Dialect == "mikrotik" {
		if cause := mikrotikRefuses(p); cause != 0 {
			return cause
		}
	}
	found, cause := n.find(p)
	if cause != 0 {
		return cause
	}
	news := make([]applied, len(found))
	for i, s := range found {
		news[i] = s.now().applied
		if err := news[i].read(n.cfg.Dialect, p); err != nil {
			return invalidRequest
		}
	}
	for i, s := range found {
		s.mu.Lock()
		s.count(time.Now())
		s.state.applied = news[i]
		s.mu.Unlock()
	}
	return 0
}

// mikrotikRefuses holds RouterOS's list of what a CoA may change; neither addresses nor the address list are on it.
func mikrotikRefuses(p *radius.Packet) uint32 {
	for _, a := range p.Attributes {
		var err error
		switch a.Type {
		case rfc2865.UserName_Type, rfc2866.AcctSessionID_Type, rfc2865.FramedIPAddress_Type, rfc2865.NASIdentifier_Type,
			rfc2865.NASIPAddress_Type, rfc2865.CallingStationID_Type, rfc2869.NASPortID_Type, rfc2869.EventTimestamp_Type,
			rfc2869.MessageAuthenticator_Type, rfc2865.FilterID_Type, rfc2865.SessionTimeout_Type, rfc2865.IdleTimeout_Type:
		case rfc2865.VendorSpecific_Type:
			err = eachVendorAttribute(a.Attribute, func(vendor uint32, number byte, _ []byte) error {
				if vendor != vendorMikrotik || !slices.Contains([]byte{1, 2, 3, 8, 11, 12, 13, 14, 15}, number) {
					return errors.New("unsupported")
				}
				return nil
			})
		default:
			return unsupportedAttribute
		}
		if err != nil {
			return unsupportedAttribute
		}
	}
	return 0
}

// disconnect finds what a Disconnect-Request ends. It may carry nothing but identification (RFC 5176, section 3).
func (n *NAS) disconnect(p *radius.Packet, q Quirks) ([]*Session, uint32) {
	if q.RefuseDisconnect != 0 {
		return nil, q.RefuseDisconnect
	}
	for _, a := range p.Attributes {
		switch a.Type {
		case rfc2865.UserName_Type, rfc2866.AcctSessionID_Type, rfc2865.FramedIPAddress_Type, rfc2865.NASIdentifier_Type,
			rfc2865.NASIPAddress_Type, rfc2865.CallingStationID_Type, rfc2869.NASPortID_Type, rfc2865.NASPort_Type,
			rfc2869.EventTimestamp_Type, rfc2869.MessageAuthenticator_Type, rfc2866.AcctTerminateCause_Type:
		default:
			return nil, unsupportedAttribute
		}
	}
	found, cause := n.find(p)
	if q.KeepSession {
		return nil, cause
	}
	return found, cause
}

// find is the sessions that every identification attribute matches.
func (n *NAS) find(p *radius.Packet) ([]*Session, uint32) {
	if id, err := rfc2865.NASIdentifier_LookupString(p); err == nil && id != n.cfg.NASIdentifier {
		return nil, nasMismatch
	}
	if ip, err := rfc2865.NASIPAddress_Lookup(p); err == nil && !ip.Equal(net.IP(n.cfg.NASIP.AsSlice())) {
		return nil, nasMismatch
	}
	sid, errSID := rfc2866.AcctSessionID_LookupString(p)
	login, errLogin := rfc2865.UserName_LookupString(p)
	ip, errIP := rfc2865.FramedIPAddress_Lookup(p)
	if errSID != nil && errLogin != nil && errIP != nil {
		return nil, missingAttribute
	}
	var candidates []*Session
	if errSID == nil {
		n.mu.Lock()
		if s := n.byID[sid]; s != nil {
			candidates = append(candidates, s)
		}
		n.mu.Unlock()
	} else {
		candidates = n.Sessions()
	}
	found := slices.DeleteFunc(candidates, func(s *Session) bool {
		st := s.now()
		return !st.online || (errLogin == nil && login != s.login) || (errIP == nil && !ip.Equal(net.IP(st.ip.AsSlice()))) ||
			differs(p, rfc2865.CallingStationID_Type, s.station()) || differs(p, rfc2869.NASPortID_Type, s.portID())
	})
	if len(found) == 0 {
		return nil, sessionNotFound
	}
	return found, 0
}

func differs(p *radius.Packet, t radius.Type, own string) bool {
	v, ok := p.Lookup(t)
	return ok && string(v) != own
}
