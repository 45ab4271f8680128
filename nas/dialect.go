package nas

import (
	"net/netip"
	"slices"

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
	// Change gives the CoA-Requests, one after the other, that bring a session from have to want, without the attributes
	// that name the session; or ok = false where this dialect needs a Disconnect and a new login. Of have nothing may be
	// known, or the outcome alone (then its rates are 0). want is not REJECT.
	Change func(have, want Service) (steps []radius.Attributes, ok bool, err error)
	// Identify gives the attributes that name a session in a command (RFC 5176, section 3). All of them must match, so
	// what a device may know differently, such as its own address, is left out. nil: IdentifySession.
	Identify func(Session) radius.Attributes
	// OpenIPv6 says that the walled garden does not cover IPv6: while walled, a session gets none. What it has does not
	// change by CoA, so into and out of the garden such a session is disconnected.
	OpenIPv6 bool
	// ClassAlone says that such devices act on Class alone in a CoA-Request that carries it, and pass over the rest.
	ClassAlone bool
	// Recall is the service that a digest stands for, where that is known; nil: never. Dialects that must name what a
	// session has, to be rid of it, need it.
	Recall func(Digest) (Service, bool)

	says Abilities // what Change has attributes for, where devices are not known to take them; none: Can
	bare bool      // it says nothing but an operator's own attributes
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

// identifyByID names a session by Acct-Session-Id alone, for access servers that refuse what conflicts, or that know
// another User-Name or address of it.
func identifyByID(s Session) radius.Attributes {
	p := &radius.Packet{}
	p.Add(rfc2866.AcctSessionID_Type, radius.Attribute(s.Key.ID))
	return p.Attributes
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

type builtInDialect struct {
	name string
	make func(Garden, Options) (*Dialect, error)
}

// builtIn are the dialects that every set has, in the order in which they are offered.
var builtIn = []builtInDialect{
	{"mikrotik", mikrotikDialect}, {"accel-ppp", accelDialect}, {"vyos", vyosDialect}, {"huawei", huaweiDialect},
	{"cisco", ciscoDialect}, {"cisco-isg", ciscoISGDialect}, {"cisco-xr", ciscoXRDialect}, {"juniper", juniperDialect},
	{"nokia", nokiaDialect}, {"zte", zteDialect}, {"ubiquiti", ubiquitiDialect}, {"pfsense", pfSenseDialect},
	{"roaring-penguin", roaringPenguinDialect}, {"standard", standardDialect},
}

// NewDialects binds the built-in dialects to the walled garden.
func NewDialects(g Garden) *Dialects {
	ds, err := Own{}.Dialects(g)
	if err != nil {
		panic(err) // a mistake in this package
	}
	return ds
}

// add takes a dialect into the set and holds its Change to what it says of itself.
func (ds *Dialects) add(d *Dialect) {
	d.Can.Wall = d.Can.Wall && !d.OpenIPv6
	change := d.Change
	d.Change = func(have, want Service) ([]radius.Attributes, bool, error) {
		can := d.Can.Rates
		if (have.Outcome == contracts.OutcomeWalled) != (want.Outcome == contracts.OutcomeWalled) {
			can = d.Can.Wall
		}
		if !can {
			return nil, false, nil
		}
		return change(have, want)
	}
	if ds.byName[d.Name] == nil {
		ds.all = append(ds.all, d)
	}
	ds.byName[d.Name] = d
}

// RecallBy tells the dialects who knows the services that digests stand for. It is called before they are used.
func (ds *Dialects) RecallBy(recall func(Digest) (Service, bool)) {
	for _, d := range ds.all {
		d.Recall = recall
	}
}

// known is what is known of the service that a digest stands for.
func (d *Dialect) known(have Digest) Service {
	if d.Recall != nil && have.Outcome() != 0 {
		if s, ok := d.Recall(have); ok {
			return s
		}
	}
	return Service{Outcome: have.Outcome()}
}

// All of them, in the order in which they are offered.
func (ds *Dialects) All() []*Dialect { return ds.all }

// Of are those of the names that are known, in the order in which they are offered.
func (ds *Dialects) Of(names []string) []*Dialect {
	var out []*Dialect
	for _, d := range ds.all {
		if slices.Contains(names, d.Name) {
			out = append(out, d)
		}
	}
	return out
}

// Named is nil for a name that is not known.
func (ds *Dialects) Named(name string) *Dialect { return ds.byName[name] }

// rates are what the dialect is to say: the service's own, or the garden's for a walled service without any. A rate of
// nothing is refused, because access servers take it for no limit, and so is REJECT, which no attributes say.
func rates(say *saying, s Service, g Garden) contracts.Profile {
	p := s.Profile
	if s.Outcome == contracts.OutcomeWalled && p.DownBps == 0 && p.UpBps == 0 {
		p = g.Profile
	}
	switch {
	case say.err != nil:
	case s.Outcome < contracts.OutcomeFull || s.Outcome > contracts.OutcomeWalled:
		say.err = contracts.Invalidf("outcome", "%s is not a service an access server can be given", s.Outcome)
	case p.DownBps == 0 || p.UpBps == 0:
		say.err = contracts.Invalidf("rate", "a service has a rate in both directions")
	}
	return p
}
