package nas

import (
	"net/netip"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"

	"enlace/contracts"
)

// Dialect is how a family of access servers says a service, bound to what an operator calls things there. Each is one
// file: a function that makes it from a Garden.
type Dialect struct {
	Name  string // "mikrotik", "accel-ppp", "standard"
	Title string // for people
	// CoAPort is where such devices listen for CoA- and Disconnect-Requests unless told otherwise.
	CoAPort uint16
	Can     Abilities
	// Accept gives the attributes of an Access-Accept for a service that is not REJECT, without Class, Session-Timeout,
	// Acct-Interim-Interval and addresses, which are the same for every dialect. It refuses what the dialect's
	// attributes cannot carry (a rate beyond 32 bits).
	Accept func(Service) (radius.Attributes, error)
	// Change gives the CoA-Requests, one after the other, that bring a session of outcome have (0 when unknown) to want,
	// without the attributes that name the session; or ok = false where this dialect needs a Disconnect and a new login.
	// want is not REJECT.
	Change func(have contracts.Outcome, want Service) (steps []radius.Attributes, ok bool, err error)
	// Identify gives the attributes that name a session in a command (RFC 5176, section 3). All of them must match, so
	// what a device may know differently, such as its own address, is left out. nil: IdentifySession.
	Identify func(Session) radius.Attributes
	// OpenIPv6 says that the walled garden does not cover IPv6: while walled, a session gets none.
	OpenIPv6 bool
}

// Abilities are what a dialect's devices change on a live session by CoA.
type Abilities struct {
	Rates bool // to other rates
	Wall  bool // into and out of the walled garden, as it is set up
}

// Given is what a session of outcome is given of an access's own addresses. pooled says that the service brings a
// Framed-Pool: with an address beside it some access servers ignore the pool and others refuse the session, so the
// address is left out.
func (d *Dialect) Given(a contracts.Addresses, outcome contracts.Outcome, pooled bool) contracts.Addresses {
	if outcome == contracts.OutcomeWalled && d.OpenIPv6 {
		a = a.WithoutIPv6()
	}
	if pooled {
		a.IPv4, a.NetmaskBits = netip.Addr{}, 0
	}
	return a
}

// Names gives the attributes that name a session in a command to such a device.
func (d *Dialect) Names(s Session) radius.Attributes {
	if d.Identify == nil {
		return IdentifySession(s)
	}
	return d.Identify(s)
}

// IdentifySession names a session by User-Name, Acct-Session-Id and Framed-IP-Address, which most access servers match.
func IdentifySession(s Session) radius.Attributes {
	p := &radius.Packet{}
	p.Add(rfc2865.UserName_Type, radius.Attribute(s.Login))
	p.Add(rfc2866.AcctSessionID_Type, radius.Attribute(s.Key.ID))
	if ip := s.FramedIP.Unmap(); ip.Is4() {
		p.Add(rfc2865.FramedIPAddress_Type, radius.Attribute(ip.AsSlice()))
	}
	return p.Attributes
}

// Dialects are those that devices may speak, in the order in which they are offered.
type Dialects struct {
	all    []*Dialect
	byName map[string]*Dialect
}

// NewDialects binds every dialect to the walled garden.
func NewDialects(g Garden) *Dialects {
	ds := &Dialects{byName: map[string]*Dialect{}}
	for _, make := range []func(Garden) *Dialect{mikrotikDialect, accelDialect, standardDialect} {
		d := make(g)
		ds.all, ds.byName[d.Name] = append(ds.all, d), d
	}
	return ds
}

// All of them, in the order in which they are offered.
func (ds *Dialects) All() []*Dialect { return ds.all }

// Named is nil for a name that is not known.
func (ds *Dialects) Named(name string) *Dialect { return ds.byName[name] }

// rates are what the dialect is to say: the service's own, or the garden's for a walled service without any. A rate of
// nothing is refused, because access servers take it for no limit, and so is REJECT, which no attributes say.
func rates(s Service, g Garden) (contracts.Profile, error) {
	if s.Outcome < contracts.OutcomeFull || s.Outcome > contracts.OutcomeWalled {
		return contracts.Profile{}, contracts.Invalidf("outcome", "%s is not a service an access server can be given", s.Outcome)
	}
	p := s.Profile
	if s.Outcome == contracts.OutcomeWalled && p == (contracts.Profile{}) {
		p = g.Profile
	}
	if p.DownBps == 0 || p.UpBps == 0 {
		return contracts.Profile{}, contracts.Invalidf("rate", "a service has a rate in both directions")
	}
	return p, nil
}

// inOne is a change that one CoA-Request makes.
func inOne(p *radius.Packet, err error) ([]radius.Attributes, bool, error) {
	if err != nil {
		return nil, false, err
	}
	return []radius.Attributes{p.Attributes}, true, nil
}
