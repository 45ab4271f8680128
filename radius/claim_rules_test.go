package radius

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// naming is a record at a second that names addresses (IPv4), prefixes and blocks.
func naming(at int64, names ...any) Record {
	r := said(KindInterim, at)
	for _, n := range names {
		switch n := n.(type) {
		case netip.Addr:
			r.FramedIP = n
		case netip.Prefix:
			r.FramedIPv6 = withPrefix(r.FramedIPv6, n)
		case PortBlock:
			r.Ports = append(r.Ports, n)
		}
	}
	return r
}

// TestRulesOfClaims has a story for each rule by which addresses begin and end; the records come as they are listed.
func TestRulesOfClaims(t *testing.T) {
	a, b := netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("100.64.0.2")
	p, q := netip.MustParsePrefix("2001:db8:0:1::/64"), netip.MustParsePrefix("2001:db8:0:2::/64")
	public := netip.MustParseAddr("203.0.113.1")
	block := func(n int, state PortBlockState) PortBlock {
		return PortBlock{public, uint16(1000 * n), uint16(1000*n + 999), state}
	}
	delegated := naming(300, p)
	delegated.Delegated = []netip.Prefix{p}
	stop := naming(100, a)
	stop.Kind = KindStop
	for name, c := range map[string]struct {
		records []Record
		want    []string
	}{
		"a block that grows is another block": {[]Record{naming(0, PortBlock{public, 1000, 1999, BlockListed}), naming(300, PortBlock{public, 1000, 2999, BlockListed})},
			[]string{"nat 203.0.113.1/32 1000-1999 0..300 change", "nat 203.0.113.1/32 1000-2999 300..open"}},
		"a prefix that is delegated is not the link's": {[]Record{naming(0, p), delegated},
			[]string{"ipv6 2001:db8:0:1::/64 0-65535 0..open", "ipv6_delegated 2001:db8:0:1::/64 0-65535 300..open"}},
		"one IPv6 address is an address": {[]Record{naming(0, netip.MustParsePrefix("2001:db8::7/128"))},
			[]string{"ipv6_address 2001:db8::7/128 0-65535 0..open"}},
		"one of two is missed by the first list without it": {[]Record{naming(0, p, q), naming(300, p), naming(600, p)},
			[]string{"ipv6 2001:db8:0:1::/64 0-65535 0..open", "ipv6 2001:db8:0:2::/64 0-65535 0..300 change"}},
		"and by an earlier one that is late": {[]Record{naming(0, p, q), naming(900, p), naming(300, p)},
			[]string{"ipv6 2001:db8:0:1::/64 0-65535 0..open", "ipv6 2001:db8:0:2::/64 0-65535 0..300 change"}},
		"it comes back and goes again": {[]Record{naming(0, p, q), naming(300, p), naming(600, p, q), naming(900, p)},
			[]string{"ipv6 2001:db8:0:1::/64 0-65535 0..open", "ipv6 2001:db8:0:2::/64 0-65535 0..900 change"}},
		"it is named late, after lists without it": {[]Record{naming(300, p), naming(900, p), naming(0, p, q)},
			[]string{"ipv6 2001:db8:0:1::/64 0-65535 0..open", "ipv6 2001:db8:0:2::/64 0-65535 0..300 change"}},
		"it is named late, between lists without it": {[]Record{naming(0, p), naming(900, p), naming(300, p, q)},
			[]string{"ipv6 2001:db8:0:1::/64 0-65535 0..open", "ipv6 2001:db8:0:2::/64 0-65535 300..900 change"}},
		"a record that names no prefix misses none": {[]Record{naming(0, a, p, q), naming(300, b), naming(600, b, p)},
			[]string{"ipv4 100.64.0.1/32 0-65535 0..300 change", "ipv4 100.64.0.2/32 0-65535 300..open",
				"ipv6 2001:db8:0:1::/64 0-65535 0..open", "ipv6 2001:db8:0:2::/64 0-65535 0..600 change"}},
		"another address misses no prefix": {[]Record{naming(0, a, p, q), naming(900, a, p), naming(600, b), naming(1200, a, p)},
			[]string{"ipv4 100.64.0.1/32 0-65535 0..open", "ipv4 100.64.0.2/32 0-65535 600..900 change",
				"ipv6 2001:db8:0:1::/64 0-65535 0..open", "ipv6 2001:db8:0:2::/64 0-65535 0..900 change"}},
		"a block that is held beside others misses none": {[]Record{naming(0, block(1, BlockListed)), naming(100, block(2, BlockHeld)), naming(600, block(1, BlockListed)),
			naming(200, block(3, BlockHeld)), naming(900, block(1, BlockListed))},
			[]string{"nat 203.0.113.1/32 1000-1999 0..open", "nat 203.0.113.1/32 2000-2999 100..600 change", "nat 203.0.113.1/32 3000-3999 200..600 change"}},
		"a block that was held is listed alone": {[]Record{naming(0, block(1, BlockHeld)), naming(100, block(2, BlockHeld)), naming(300, block(1, BlockListed))},
			[]string{"nat 203.0.113.1/32 1000-1999 0..open", "nat 203.0.113.1/32 2000-2999 100..300 change"}},
		"blocks that are only held end none": {[]Record{naming(0, block(1, BlockHeld)), naming(300, block(2, BlockHeld))},
			[]string{"nat 203.0.113.1/32 1000-1999 0..open", "nat 203.0.113.1/32 2000-2999 300..open"}},
		"a release of what nobody has named": {[]Record{naming(300, block(1, BlockReleased))},
			[]string{"nat 203.0.113.1/32 1000-1999 0..300 release"}},
		"a release before the first naming": {[]Record{naming(300, block(1, BlockHeld)), naming(100, block(1, BlockReleased))},
			[]string{"nat 203.0.113.1/32 1000-1999 0..100 release", "nat 203.0.113.1/32 1000-1999 300..open"}},
		"a release comes late, and it was had again": {[]Record{naming(0, block(1, BlockHeld)), naming(600, block(1, BlockHeld)), naming(300, block(1, BlockReleased))},
			[]string{"nat 203.0.113.1/32 1000-1999 0..300 release", "nat 203.0.113.1/32 1000-1999 600..open"}},
		"two releases, the first of them late": {[]Record{naming(0, block(1, BlockHeld)), naming(300, block(1, BlockReleased)), naming(200, block(1, BlockReleased))},
			[]string{"nat 203.0.113.1/32 1000-1999 0..200 release", "nat 203.0.113.1/32 1000-1999 300..300 release"}},
		"the end of the session is no release's": {[]Record{naming(0, a, block(1, BlockHeld)), naming(50, block(1, BlockReleased)), stop},
			[]string{"ipv4 100.64.0.1/32 0-65535 0..100 stop", "nat 203.0.113.1/32 1000-1999 0..50 release"}},
	} {
		slices.Sort(c.want)
		if got := describeClaims(told(c.records)); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%q, want\n%q", name, got, c.want)
		}
	}
}

// Records that could change nothing are not folded; how long their session was heard of says the same. A late record
// that names what was had before does not end what is had now.
func TestALateRecordDoesNotEndWhatHolds(t *testing.T) {
	a, b := netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("100.64.0.2")
	first, late := naming(0, b), naming(450, a)
	s := Session{LastSeen: first.Event}
	s.StartedAt = first.Event
	c := Claims(nil).Fold(&first, &s, time.Time{})
	s.LastSeen = time.Unix(600, 0).UTC()
	c = c.Fold(&late, &s, s.LastSeen)
	want := []string{"ipv4 100.64.0.1/32 0-65535 450..600 change", "ipv4 100.64.0.2/32 0-65535 0..open"}
	if got := describeClaims(c); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	// What was released is not said to have been seen later, nor a block that no list would have named.
	held := naming(0, PortBlock{netip.MustParseAddr("203.0.113.1"), 1000, 1999, BlockHeld})
	c = Claims(nil).Fold(&held, &s, time.Time{})
	c = c.Fold(&late, &s, s.LastSeen)
	for _, h := range c {
		if h.Kind == AddressNAT && !h.Seen.Equal(held.Event) {
			t.Errorf("a block that is not listed was seen at %v", h.Seen)
		}
	}
}

// An end that was not told is an estimate.
func TestEndsThatAreEstimates(t *testing.T) {
	for by, want := range map[ClosedBy]bool{StillOpen: false, ClosedByStop: false, ClaimReleased: false, ClaimChanged: true, ClosedByOn: true, ClosedByOff: true, ClosedByReuse: true, ClosedByStale: true, ClosedByGone: true} {
		if c := (Claim{ClosedBy: by}); c.Estimated() != want || c.Open() != (by == StillOpen) {
			t.Errorf("ended by %q: an estimate %v, open %v", by, c.Estimated(), c.Open())
		}
	}
}

// TestSameAddresses: what a record may be passed over for.
func TestSameAddresses(t *testing.T) {
	a, b := netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("100.64.0.2")
	p, q := netip.MustParsePrefix("2001:db8:0:1::/64"), netip.MustParsePrefix("2001:db8:0:2::/64")
	twice := naming(600, p, q)
	both := naming(600, p, q)
	both.Delegated = []netip.Prefix{q}
	for name, c := range map[string]struct {
		record Record
		had    []netip.Prefix
		want   bool
	}{
		"nothing named":             {naming(600), []netip.Prefix{p}, true},
		"the same address":          {naming(600, a), nil, true},
		"another address":           {naming(600, b), nil, false},
		"the same prefix":           {naming(600, p), []netip.Prefix{p}, true},
		"another prefix":            {naming(600, q), []netip.Prefix{p}, false},
		"one of two":                {naming(600, p), []netip.Prefix{p, q}, false},
		"two of a kind":             {twice, []netip.Prefix{p, q}, false},
		"two of two kinds":          {both, []netip.Prefix{p, q}, true},
		"older than what was heard": {naming(200, a), nil, false},
		"as old":                    {naming(300, a), nil, true},
		"a block":                   {naming(600, PortBlock{State: BlockHeld}), nil, false},
	} {
		s := Session{LastSeen: time.Unix(300, 0).UTC()}
		s.FramedIP, s.FramedIPv6 = a, c.had
		if got := c.record.SameAddresses(&s); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
