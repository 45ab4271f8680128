package nas

import (
	"net/netip"

	"layeh.com/radius"

	"enlace/contracts"
)

// Dialect is how a family of access servers says a service. Each is one file and one value.
type Dialect struct {
	Name  string // "mikrotik", "accel-ppp", "standard"
	Title string // for people
	// Accept gives the attributes of an Access-Accept for a service that is not REJECT, without Class, Session-Timeout,
	// Acct-Interim-Interval and addresses, which are the same for every dialect. It refuses what the dialect's
	// attributes cannot carry (a rate beyond 32 bits).
	Accept func(Service, Garden) (radius.Attributes, error)
	// Change gives the attributes of a CoA-Request that brings a session of outcome have (0 when unknown) to want, or
	// ok = false where this dialect needs a Disconnect and a new login. want is not REJECT.
	Change func(have contracts.Outcome, want Service, g Garden) (attrs radius.Attributes, ok bool, err error)
	// OpenIPv6 says that the walled garden does not cover IPv6: while walled, a session gets none.
	OpenIPv6 bool
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

// Dialects are all of them, in the order in which they are offered.
var Dialects = []*Dialect{mikrotikDialect, accelDialect, standardDialect}

// DialectByName is nil for a name that is not known.
func DialectByName(name string) *Dialect {
	for _, d := range Dialects {
		if d.Name == name {
			return d
		}
	}
	return nil
}

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
