package nas

import (
	"encoding/binary"
	"net/netip"

	"enlace/contracts"
)

// PoolID numbers an address pool; 0 is none.
type PoolID int64

// Pool is addresses that are lent to subscribers: IPv4 addresses one by one, or IPv6 prefixes of one length.
type Pool struct {
	ID   PoolID
	Name string
	// Ranges are what it hands out of, in the order in which that began. More may be added; none leaves, because the
	// places of a pool are numbered through them.
	Ranges []netip.Prefix
	Bits   int // length of what is handed out: 32 for IPv4, 48 to 64 for delegated IPv6 prefixes
}

// MaxPoolPlaces bounds a pool: a number of a place has 32 bits, and nobody has more subscribers.
const MaxPoolPlaces = 1 << 24

// Validate names the first field that cannot be accepted.
func (p *Pool) Validate() error {
	switch {
	case p.Name == "" || len(p.Name) > 100:
		return contracts.Invalidf("name", "a pool has a name of 1 to 100 bytes")
	case len(p.Ranges) == 0 || len(p.Ranges) > 64:
		return contracts.Invalidf("ranges", "a pool has 1 to 64 networks to hand out of")
	}
	v4 := p.Ranges[0].Addr().Is4()
	for i, r := range p.Ranges {
		switch {
		case !r.IsValid() || r.Addr().Is4In6() || r.Addr().Zone() != "" || r.Addr().IsMulticast() || r.Addr().IsLoopback() || r.Addr().IsUnspecified():
			return contracts.Invalidf("ranges", "%s cannot be lent to subscribers", r)
		case r != r.Masked():
			return contracts.Invalidf("ranges", "%s has bits set beyond its length; did you mean %s?", r, r.Masked())
		case r.Addr().Is4() != v4:
			return contracts.Invalidf("ranges", "a pool is either of IPv4 addresses or of IPv6 prefixes")
		case r.Bits() > p.Bits:
			return contracts.Invalidf("ranges", "%s is smaller than the /%d that is handed out", r, p.Bits)
		}
		for _, o := range p.Ranges[:i] {
			if o.Overlaps(r) {
				return contracts.Invalidf("ranges", "%s and %s overlap", o, r)
			}
		}
	}
	switch {
	case v4 && p.Bits != 32:
		return contracts.Invalidf("bits", "IPv4 addresses are handed out one by one: the length is 32")
	case !v4 && (p.Bits < 48 || p.Bits > 64):
		return contracts.Invalidf("bits", "delegated prefixes are /48 to /64")
	case p.Places() > MaxPoolPlaces:
		return contracts.Invalidf("ranges", "a pool has at most %d places", MaxPoolPlaces)
	}
	return nil
}

// IPv4 reports whether it hands out IPv4 addresses.
func (p *Pool) IPv4() bool { return p.Bits == 32 }

// Places is how many addresses or prefixes there are; beyond MaxPoolPlaces it may be less than the truth.
func (p *Pool) Places() uint64 {
	n := uint64(0)
	for _, r := range p.Ranges {
		n += placesOf(r, p.Bits)
	}
	return n
}

func placesOf(r netip.Prefix, bits int) uint64 { return 1 << min(bits-r.Bits(), 40) }

// At is the address or prefix with a number, from 0; the zero value beyond the last.
func (p *Pool) At(place uint32) netip.Prefix {
	n := uint64(place)
	for _, r := range p.Ranges {
		if size := placesOf(r, p.Bits); n >= size {
			n -= size
			continue
		}
		if r.Addr().Is4() {
			b := r.Addr().As4()
			binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n))
			return netip.PrefixFrom(netip.AddrFrom4(b), 32)
		}
		b := r.Addr().As16()
		high := binary.BigEndian.Uint64(b[:8]) + n<<(64-p.Bits) // Bits is 64 at most: the low half stays 0
		binary.BigEndian.PutUint64(b[:8], high)
		return netip.PrefixFrom(netip.AddrFrom16(b), p.Bits)
	}
	return netip.Prefix{}
}

// PlaceOf is the number of an address or prefix; false when it is not one of the pool's.
func (p *Pool) PlaceOf(what netip.Prefix) (uint32, bool) {
	if what.Bits() != p.Bits || what != what.Masked() {
		return 0, false
	}
	before := uint64(0)
	for _, r := range p.Ranges {
		if !r.Contains(what.Addr()) {
			before += placesOf(r, p.Bits)
			continue
		}
		if r.Addr().Is4() {
			base, at := r.Addr().As4(), what.Addr().As4()
			return uint32(before) + binary.BigEndian.Uint32(at[:]) - binary.BigEndian.Uint32(base[:]), true
		}
		base, at := r.Addr().As16(), what.Addr().As16()
		return uint32(before + (binary.BigEndian.Uint64(at[:8])-binary.BigEndian.Uint64(base[:8]))>>(64-p.Bits)), true
	}
	return 0, false
}

// PoolUse is a pool with how much of it is in use.
type PoolUse struct {
	Pool
	Leased   uint64 // an access's
	Reserved uint64 // held ready by nodes
}
