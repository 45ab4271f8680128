package radius

import (
	"encoding/binary"
	"net/netip"
	"time"

	"enlace/contracts"
)

// Attributes that carry addresses.
const (
	attrFramedIPAddress     = 8
	attrFramedIPNetmask     = 9
	attrFramedRoute         = 22
	attrFramedPool          = 88
	attrFramedIPv6Prefix    = 97
	attrFramedIPv6Route     = 99
	attrDelegatedIPv6Prefix = 123
)

// address puts together in given what a login is given now: the access's own addresses, and for what it has none of
// those that the device's pools lend. What is in neither the access server chooses. What the dialect would leave out
// beside the attributes of the service is not lent either: nobody could use it meanwhile. The verdict is about the pools.
func (w *worker) address(d *device, s *Subscriber, outcome contracts.Outcome, service, station []byte, now time.Time) LendVerdict {
	w.given = contracts.Addresses{}
	if s.Line != nil {
		w.given = s.Line.Addresses
	}
	if d.IPv4Pool == 0 && d.DelegatedPool == 0 {
		return Lent
	}
	leases, usable := w.door.leases, d.dialect.Given(anyAddress, outcome, hasAttr(service, attrFramedPool))
	if d.IPv4Pool != 0 && !w.given.IPv4.IsValid() && usable.IPv4.IsValid() {
		lent, verdict := leases.Lend(d.IPv4Pool, s, station, now)
		if verdict != Lent {
			return verdict
		}
		w.given.IPv4 = lent.Addr()
	}
	if d.DelegatedPool != 0 && !w.given.DelegatedIPv6.IsValid() && usable.DelegatedIPv6.IsValid() {
		lent, verdict := leases.Lend(d.DelegatedPool, s, station, now)
		if verdict != Lent {
			return verdict
		}
		w.given.DelegatedIPv6 = lent
	}
	return Lent
}

// anyAddress stands for what a pool could lend.
var anyAddress = contracts.Addresses{IPv4: netip.IPv4Unspecified(), DelegatedIPv6: netip.PrefixFrom(netip.IPv6Unspecified(), 56)}

// appendAddresses appends what address has put together after the attributes of the service, which say whether the
// service brings a pool of its own.
func (w *worker) appendAddresses(b []byte, d *device, outcome contracts.Outcome, service []byte) []byte {
	if w.given.IsZero() {
		return b
	}
	a := d.dialect.Given(w.given, outcome, hasAttr(service, attrFramedPool))
	if a.IPv4.IsValid() {
		b = appendIPv4(b, attrFramedIPAddress, a.IPv4)
		if a.NetmaskBits > 0 {
			b = appendUint32(b, attrFramedIPNetmask, ^uint32(0)<<(32-a.NetmaskBits))
		}
	}
	if a.FramedIPv6.IsValid() {
		b = appendIPv6Prefix(b, attrFramedIPv6Prefix, a.FramedIPv6)
	}
	if a.DelegatedIPv6.IsValid() {
		b = appendIPv6Prefix(b, attrDelegatedIPv6Prefix, a.DelegatedIPv6)
	}
	for _, r := range a.Routes {
		t := byte(attrFramedRoute)
		if r.To.Addr().Is6() {
			t = attrFramedIPv6Route
		}
		at := len(b)
		b, _ = r.AppendText(append(b, t, 0)) // never fails
		b[at+1] = byte(len(b) - at)
	}
	return b
}

func hasAttr(attrs []byte, t byte) bool {
	for rest := attrs; len(rest) > 0; rest = rest[rest[1]:] {
		if rest[0] == t {
			return true
		}
	}
	return false
}

func appendIPv4(b []byte, t byte, a netip.Addr) []byte {
	octets := a.As4()
	return appendUint32(b, t, binary.BigEndian.Uint32(octets[:]))
}

// appendIPv6Prefix writes a reserved byte, the length and only the octets that the length needs (RFC 3162, section 2.3;
// RFC 4818, section 3).
func appendIPv6Prefix(b []byte, t byte, p netip.Prefix) []byte {
	octets := p.Addr().As16()
	n := (p.Bits() + 7) / 8
	b = append(b, t, byte(4+n), 0, byte(p.Bits()))
	return append(b, octets[:n]...)
}
