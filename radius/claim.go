package radius

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// AddressKind says what an address is to a session.
type AddressKind string

const (
	AddressIPv4      AddressKind = "ipv4"           // Framed-IP-Address
	AddressPrefix    AddressKind = "ipv6"           // Framed-IPv6-Prefix
	AddressDelegated AddressKind = "ipv6_delegated" // Delegated-IPv6-Prefix
	AddressIPv6      AddressKind = "ipv6_address"   // Framed-IPv6-Address
	AddressNAT       AddressKind = "nat"            // public address and ports of carrier-grade NAT
)

// Ends of claims that are not the session's own; otherwise it is its ClosedBy.
const (
	ClaimChanged  ClosedBy = "change"  // inferred: the records name another in its place
	ClaimReleased ClosedBy = "release" // the access server said so
)

// Claim is an address or prefix that a session had, from an instant to another.
type Claim struct {
	Kind             AddressKind
	Prefix           netip.Prefix
	PortFrom, PortTo uint16 // both inclusive; 0 to 65535 where all of the address is the session's
	// Listed is said of claims whose kind a record lists in full: one that is left out has ended.
	Listed bool
	Said   time.Time // the first record that names it
	Seen   time.Time // the last record that names it; of one that holds, as far as it was noted
	Missed time.Time // the first record after Seen that lists its kind without it; zero when none is known

	From     time.Time // when it began: the session's start for what the first record to name any address names
	Until    time.Time // zero: it holds
	ClosedBy ClosedBy
}

// Open reports whether the session is not known to have lost the address.
func (c *Claim) Open() bool { return c.ClosedBy == StillOpen }

// Estimated reports whether the end was inferred and not told by the access server.
func (c *Claim) Estimated() bool {
	return !c.Open() && c.ClosedBy != ClosedByStop && c.ClosedBy != ClaimReleased
}

// Same reports whether two claims are of the same thing.
func (c *Claim) Same(o *Claim) bool {
	return c.Kind == o.Kind && c.Prefix == o.Prefix && c.PortFrom == o.PortFrom && c.PortTo == o.PortTo
}

// Claims is what one session had. Folding the session's records gives the same in any order and however often each
// comes, with two exceptions that show only in estimated ends: an address that comes back after another took its place,
// and one of several that were had together, when the record that names it last is late. Then it ends later, not earlier.
type Claims []Claim

// Fold takes what a record says. s is the session after the record, and seen when it had been heard of last before it,
// zero when it had not: what holds of a listed kind is taken to have been named until then.
func (c Claims) Fold(r *Record, s *Session, seen time.Time) Claims {
	for i := range c {
		if c[i].Open() && c[i].Listed && seen.After(c[i].Seen) {
			c[i].Seen = seen
		}
	}
	before := slices.Clone(c)
	named := r.named()
	for _, n := range named {
		if n.ClosedBy == ClaimReleased {
			c = c.release(n, r.Event)
		} else {
			c = c.name(n, r.Event)
		}
	}
	c.miss(before, named, r.Event)
	c.Settle(s)
	return c
}

// miss notes of what is not in a list when it was missed first: by the record, which lists what was named, or by the
// first that named another, as far as that was known before the record.
func (c Claims) miss(before Claims, named []Claim, t time.Time) {
	for i := range c {
		h := &c[i]
		if !h.Missed.After(h.Seen) {
			h.Missed = time.Time{}
		}
		missed := func(at time.Time) {
			if at.After(h.Seen) && (h.Missed.IsZero() || at.Before(h.Missed)) {
				h.Missed = at
			}
		}
		for j := range before {
			if d := &before[j]; d.Kind == h.Kind && d.Listed && !d.Same(h) {
				missed(d.Said)
				missed(d.Seen)
			}
		}
		if slices.ContainsFunc(named, func(n Claim) bool { return n.Kind == h.Kind && n.Listed }) &&
			!slices.ContainsFunc(named, func(n Claim) bool { return n.Same(h) }) {
			missed(t)
		}
	}
}

// named is what a record names, without instants.
func (r *Record) named() []Claim {
	var list []Claim
	if r.FramedIP.IsValid() {
		list = append(list, Claim{Kind: AddressIPv4, Prefix: netip.PrefixFrom(r.FramedIP, r.FramedIP.BitLen()), PortTo: maxPort, Listed: true})
	}
	for _, p := range r.FramedIPv6 {
		list = append(list, Claim{Kind: r.kindOf(p), Prefix: p, PortTo: maxPort, Listed: true})
	}
	for _, b := range r.Ports {
		c := Claim{Kind: AddressNAT, Prefix: netip.PrefixFrom(b.Addr, b.Addr.BitLen()), PortFrom: b.From, PortTo: b.To, Listed: b.State == BlockListed}
		if b.State == BlockReleased {
			c.ClosedBy = ClaimReleased
		}
		list = append(list, c)
	}
	return list
}

func (r *Record) kindOf(p netip.Prefix) AddressKind {
	switch {
	case slices.Contains(r.Delegated, p):
		return AddressDelegated
	case p.Bits() == 128:
		return AddressIPv6
	}
	return AddressPrefix
}

// SameAddresses reports whether the record, of a session that is open and not heard of later, cannot change its claims.
func (r *Record) SameAddresses(s *Session) bool {
	if len(r.Ports) > 0 || r.Event.Before(s.LastSeen) || r.FramedIP.IsValid() && r.FramedIP != s.FramedIP {
		return false
	}
	for i, p := range r.FramedIPv6 {
		for _, q := range r.FramedIPv6[:i] {
			if r.kindOf(p) == r.kindOf(q) { // of several of a kind one may go and come back
				return false
			}
		}
	}
	return len(r.FramedIPv6) == 0 || slices.Equal(r.FramedIPv6, s.FramedIPv6)
}

// holding is the claim that says what was had at t. A release divides what follows from what was before.
func (c Claims) holding(named Claim, t time.Time) int {
	at := -1
	for i := range c {
		switch {
		case !c[i].Same(&named), c[i].ClosedBy == ClaimReleased && t.After(c[i].Until):
		case at < 0, c[i].ClosedBy == ClaimReleased && (c[at].ClosedBy != ClaimReleased || c[i].Until.Before(c[at].Until)):
			at = i
		}
	}
	return at
}

func (c Claims) name(named Claim, t time.Time) Claims {
	i := c.holding(named, t)
	if i < 0 {
		named.Said, named.Seen = t, t
		return append(c, named)
	}
	h := &c[i]
	h.Listed = h.Listed || named.Listed
	if t.Before(h.Said) {
		h.Said = t
	}
	if t.After(h.Seen) {
		h.Seen = t
	}
	return c
}

func (c Claims) release(named Claim, t time.Time) Claims {
	i := c.holding(named, t)
	before := named
	before.Said, before.Seen, before.Until = t, t, t
	if i < 0 {
		return append(c, before)
	}
	h := &c[i]
	switch {
	case h.ClosedBy == ClaimReleased && h.Until.Equal(t):
	case t.Before(h.Said):
		return append(c, before)
	case !h.Seen.After(t) && h.ClosedBy != ClaimReleased:
		h.Until, h.ClosedBy = t, ClaimReleased
	default: // it was had again afterwards
		before.Said, before.Listed = h.Said, h.Listed
		if h.Said = h.Seen; !h.Seen.After(t) {
			h.Said, h.Seen = h.Until, h.Until
		}
		return append(c, before)
	}
	return c
}

// Settle works out when each began and ended.
func (c Claims) Settle(s *Session) {
	if len(c) == 0 {
		return
	}
	first := slices.MinFunc(c, func(a, b Claim) int { return a.Said.Compare(b.Said) }).Said
	for i := range c {
		h := &c[i]
		if h.From = h.Said; h.Said.Equal(first) && s.StartedAt.Before(h.Said) {
			h.From = s.StartedAt
		}
		if h.ClosedBy == ClaimReleased {
			continue
		}
		h.Until, h.ClosedBy = time.Time{}, StillOpen
		for j := range c {
			d := &c[j]
			if i == j || d.Kind != h.Kind || !d.Listed || !d.Seen.After(h.Seen) {
				continue
			}
			at := latest(d.Said, h.Seen)
			if at.Equal(h.Seen) && h.Missed.After(h.Seen) { // they were had together
				at = h.Missed
			}
			if h.Open() || at.Before(h.Until) {
				h.Until, h.ClosedBy = at, ClaimChanged
			}
		}
		if h.Open() && !s.Open() {
			h.Until, h.ClosedBy = latest(s.Stopped, h.From), s.ClosedBy
		}
	}
	slices.SortFunc(c, compareClaims)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func compareClaims(a, b Claim) int {
	return cmp.Or(a.Said.Compare(b.Said), strings.Compare(string(a.Kind), string(b.Kind)), a.Prefix.Compare(b.Prefix),
		cmp.Compare(a.PortFrom, b.PortFrom), cmp.Compare(a.PortTo, b.PortTo), a.Until.Compare(b.Until))
}
