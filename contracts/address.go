package contracts

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Addresses are what an access is always given. The zero value is none.
type Addresses struct {
	IPv4          netip.Addr   // Framed-IP-Address (RFC 2865, section 5.8)
	NetmaskBits   int          // Framed-IP-Netmask (section 5.9) as a length; 0 = not sent
	FramedIPv6    netip.Prefix // Framed-IPv6-Prefix (RFC 3162, section 2.3): the line itself
	DelegatedIPv6 netip.Prefix // Delegated-IPv6-Prefix (RFC 4818): the network behind the subscriber's router
	Routes        []Route      // Framed-Route and Framed-IPv6-Route, by their family
}

// Route is a network reached through the subscriber (RFC 2865, section 5.22; RFC 3162, section 2.5).
type Route struct {
	To      netip.Prefix
	Gateway netip.Addr // the zero value is the subscriber's own address
	Metric  int        // 0 is written as 1
}

const maxRoutes = 16

// ParseRoute reads "203.0.113.0/29", "203.0.113.0/29 192.0.2.9" or "203.0.113.0/29 192.0.2.9 5".
func ParseRoute(text string) (r Route, err error) {
	words := strings.Fields(text)
	wrong := Invalidf("routes", "a route is a network, perhaps with gateway and metric: 203.0.113.0/29 0.0.0.0 1")
	if len(words) < 1 || len(words) > 3 {
		return r, wrong
	}
	if r.To, err = netip.ParsePrefix(words[0]); err != nil {
		return r, wrong
	}
	if len(words) > 1 {
		if r.Gateway, err = netip.ParseAddr(words[1]); err != nil {
			return r, wrong
		}
		if r.Gateway.IsUnspecified() {
			r.Gateway = netip.Addr{}
		}
	}
	if len(words) > 2 {
		if r.Metric, err = strconv.Atoi(words[2]); err != nil {
			return r, wrong
		}
	}
	return r, r.validate()
}

// AppendText writes the route as Framed-Route has it: network, gateway (the unspecified address stands for the
// subscriber's own) and metric.
func (r Route) AppendText(dst []byte) ([]byte, error) {
	dst = append(r.To.AppendTo(dst), ' ')
	switch {
	case r.Gateway.IsValid():
		dst = r.Gateway.AppendTo(dst)
	case r.To.Addr().Is4():
		dst = append(dst, "0.0.0.0"...)
	default:
		dst = append(dst, "::"...)
	}
	return strconv.AppendInt(append(dst, ' '), int64(max(r.Metric, 1)), 10), nil
}

// String is AppendText's.
func (r Route) String() string {
	b, _ := r.AppendText(nil) // never fails
	return string(b)
}

func (r Route) validate() error {
	switch {
	case !r.To.IsValid() || r.To.Bits() == 0 || !usable(r.To.Addr()) || r.To.Addr().Zone() != "":
		return Invalidf("routes", "a route leads to a network of unicast addresses")
	case r.To != r.To.Masked():
		return Invalidf("routes", "the network of a route has no bits beyond its length")
	case r.Gateway.IsValid() && (r.Gateway.Is4() != r.To.Addr().Is4() || r.Gateway.Zone() != "" || r.Gateway.IsMulticast()):
		return Invalidf("routes", "a gateway is an address of the route's own family")
	case r.Metric < 0 || r.Metric > 255:
		return Invalidf("routes", "a metric is 1 to 255")
	}
	return nil
}

// usable reports whether an address can be a subscriber's. Access servers take 127.0.0.0/8, 224.0.0.0/3 and the two
// special values of RFC 2865, section 5.8 for an order to choose an address themselves.
func usable(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && !a.Is4In6() &&
		(!a.Is4() || a.As4()[0] < 224 && a.As4()[0] > 0)
}

// IsZero reports whether there are none.
func (a *Addresses) IsZero() bool {
	return !a.IPv4.IsValid() && !a.FramedIPv6.IsValid() && !a.DelegatedIPv6.IsValid() && len(a.Routes) == 0
}

// Validate names the first field that cannot be accepted.
func (a *Addresses) Validate() error {
	switch {
	case a.IPv4.IsValid() && (!a.IPv4.Is4() || !usable(a.IPv4)):
		return Invalidf("ipv4", "a fixed address is a unicast IPv4 address, such as 203.0.113.9")
	case a.NetmaskBits != 0 && (a.NetmaskBits < 8 || a.NetmaskBits > 32):
		return Invalidf("netmask_bits", "a netmask has 8 to 32 bits")
	case a.NetmaskBits != 0 && !a.IPv4.IsValid():
		return Invalidf("netmask_bits", "a netmask belongs to a fixed address")
	case len(a.Routes) > maxRoutes:
		return Invalidf("routes", "an access has at most 16 routes")
	}
	if err := validIPv6("framed_ipv6", a.FramedIPv6, 48, 128); err != nil {
		return err
	}
	if err := validIPv6("delegated_ipv6", a.DelegatedIPv6, 32, 64); err != nil {
		return err
	}
	if a.FramedIPv6.IsValid() && a.DelegatedIPv6.IsValid() && a.FramedIPv6.Overlaps(a.DelegatedIPv6) {
		return Invalidf("delegated_ipv6", "the line's prefix and the delegated one do not overlap")
	}
	for i, r := range a.Routes {
		if err := r.validate(); err != nil {
			return err
		}
		if slices.ContainsFunc(a.Routes[:i], func(o Route) bool { return o.To == r.To }) {
			return Invalidf("routes", "a network has one route")
		}
	}
	return nil
}

func validIPv6(field string, p netip.Prefix, shortest, longest int) error {
	switch a := p.Addr(); {
	case p == netip.Prefix{}:
	case !p.IsValid() || !a.Is6() || !usable(a) || a.Zone() != "":
		return Invalidf(field, "a prefix is of unicast IPv6 addresses, such as 2001:db8:1:2::/64")
	case p != p.Masked():
		return Invalidf(field, "a prefix has no bits beyond its length")
	case p.Bits() < shortest || p.Bits() > longest:
		if field == "delegated_ipv6" {
			return Invalidf(field, "a delegated prefix is /32 to /64")
		}
		return Invalidf(field, "a line's prefix is /48 to /128")
	}
	return nil
}

// WithoutIPv6 is what of them is IPv4.
func (a Addresses) WithoutIPv6() Addresses {
	a.FramedIPv6, a.DelegatedIPv6 = netip.Prefix{}, netip.Prefix{}
	a.Routes = slices.DeleteFunc(slices.Clone(a.Routes), func(r Route) bool { return r.To.Addr().Is6() })
	return a
}
