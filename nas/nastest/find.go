package nastest

import (
	"net"
	"net/netip"
	"slices"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
)

// find is the sessions that a command is about, or an Error-Cause.
func (n *NAS) find(p *radius.Packet) ([]*Session, uint32) {
	if n.vendor.find != nil {
		return n.vendor.find(n, p)
	}
	return n.matchAll(p)
}

// matchAll is the sessions that everything said matches (RFC 5176, section 3).
func (n *NAS) matchAll(p *radius.Packet) ([]*Session, uint32) {
	if id, err := rfc2865.NASIdentifier_LookupString(p); err == nil && id != n.cfg.NASIdentifier {
		return nil, nasMismatch
	}
	if ip, err := rfc2865.NASIPAddress_Lookup(p); err == nil && !ip.Equal(net.IP(n.cfg.NASIP.AsSlice())) {
		return nil, nasMismatch
	}
	id, byID := p.Lookup(rfc2866.AcctSessionID_Type)
	_, byLogin := p.Lookup(rfc2865.UserName_Type)
	_, byIP := p.Lookup(rfc2865.FramedIPAddress_Type)
	if !byID && !byLogin && !byIP {
		return nil, missingAttribute
	}
	if !byID {
		return n.matching(func(s *Session, st state) bool { return matches(p, s, st) })
	}
	n.mu.Lock()
	s := n.byID[string(id)]
	n.mu.Unlock()
	if s == nil {
		return nil, sessionNotFound
	}
	if st := s.now(); !st.online || !matches(p, s, st) {
		return nil, sessionNotFound
	}
	return []*Session{s}, 0
}

// matching is the sessions that is takes.
func (n *NAS) matching(is func(*Session, state) bool) ([]*Session, uint32) {
	found := slices.DeleteFunc(n.Sessions(), func(s *Session) bool {
		st := s.now()
		return !st.online || !is(s, st)
	})
	if len(found) == 0 {
		return nil, sessionNotFound
	}
	return found, 0
}

// matches reports whether nothing that a command says contradicts a session.
func matches(p *radius.Packet, s *Session, st state) bool {
	id, byID := p.Lookup(rfc2866.AcctSessionID_Type)
	return (!byID || slices.Contains(st.ids, string(id))) && !differs(p, rfc2865.UserName_Type, s.login) && !differsIP(p, st.ip) &&
		!differs(p, rfc2865.CallingStationID_Type, s.station()) && !differs(p, rfc2869.NASPortID_Type, s.PortID())
}

func differs(p *radius.Packet, t radius.Type, own string) bool {
	v, ok := p.Lookup(t)
	return ok && string(v) != own
}

func differsIP(p *radius.Packet, own netip.Addr) bool {
	ip, err := rfc2865.FramedIPAddress_Lookup(p)
	return err == nil && !ip.Equal(net.IP(own.AsSlice()))
}
