package radius

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enlace/nas"
)

// told is what one session's claims come to when its records arrive one after the other.
func told(records []Record) Claims {
	var l Lineage
	var c Claims
	for i := range records {
		var seen time.Time
		if len(l) > 0 {
			seen = l[0].LastSeen
		}
		l, _, _ = l.Fold(&records[i], Boot{})
		c = c.Fold(&records[i], &l[0], seen)
	}
	if len(l) > 0 {
		c.Settle(&l[0])
	}
	return c
}

func describeClaims(c Claims) []string {
	var out []string
	for _, h := range c {
		until := "open"
		if !h.Open() {
			until = fmt.Sprint(h.Until.Unix(), " ", h.ClosedBy)
		}
		out = append(out, fmt.Sprintf("%s %s %d-%d %d..%s", h.Kind, h.Prefix, h.PortFrom, h.PortTo, h.From.Unix(), until))
	}
	slices.Sort(out)
	return out
}

func said(kind Kind, at int64) Record {
	t := time.Unix(at, 0).UTC()
	return Record{Kind: kind, Key: nas.SessionKey{Device: 1, ID: "s"}, Received: t, Event: t, Seconds: at, TimeKnown: kind != KindStart, Login: "l"}
}

// TestClaimsInAnyOrder lives a session in which addresses come, change and go, and wants of each that it began with the
// record that first names it and ended with the one that does not: whatever the order of the records, and if some
// come again.
func TestClaimsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "records")
		nokia := rapid.Bool().Draw(t, "blocks are listed in full")
		var ip, wan, pd, block int // which one it has; 0: none
		next := func(have *int, what string, always bool) {
			if rapid.IntRange(0, 2).Draw(t, what) == 0 || always && *have == 0 {
				*have++
			}
		}
		var records []Record
		want := map[string]*Claim{}
		hold := func(now map[string]Claim, at time.Time, i int) {
			for k, c := range want {
				if _, still := now[k]; !still && c.Open() {
					c.Until, c.ClosedBy = at, ClaimChanged
					if c.Kind == AddressNAT && !nokia {
						c.ClosedBy = ClaimReleased
					}
				}
			}
			for k, c := range now {
				if want[k] == nil {
					if c.From = at; i == 0 {
						c.From = time.Unix(0, 0).UTC()
					}
					want[k] = &c
				}
			}
		}
		twinned, gone := false, false
		held := 0 // the block that the last record of an incremental reporter said
		for i := range n {
			kind := KindInterim
			if i == 0 {
				kind = rapid.SampledFrom([]Kind{KindStart, KindInterim}).Draw(t, "first") // a Start may be lost
			}
			at := int64(300 * i)
			if kind == KindInterim && i == 0 {
				at = 100
			}
			next(&ip, "another address", true)
			next(&wan, "another prefix", false)
			next(&pd, "another delegation", false)
			next(&block, "another block", false)
			r := said(kind, at)
			now := map[string]Claim{}
			have := func(c Claim) { now[fmt.Sprint(c.Kind, c.Prefix, c.PortFrom)] = c }
			r.FramedIP = netip.AddrFrom4([4]byte{100, 64, 0, byte(ip)})
			have(Claim{Kind: AddressIPv4, Prefix: netip.PrefixFrom(r.FramedIP, 32), PortTo: maxPort})
			if wan > 0 {
				p := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(wan)}), 64)
				r.FramedIPv6 = withPrefix(r.FramedIPv6, p)
				have(Claim{Kind: AddressPrefix, Prefix: p, PortTo: maxPort})
			}
			if pd > 0 {
				p := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, byte(pd)}), 56)
				r.FramedIPv6, r.Delegated = withPrefix(r.FramedIPv6, p), []netip.Prefix{p}
				have(Claim{Kind: AddressDelegated, Prefix: p, PortTo: maxPort})
			}
			if twin := rapid.IntRange(0, 2).Draw(t, "a second prefix") > 0 && !gone; twin && wan > 0 {
				p := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 2}), 64)
				r.FramedIPv6 = withPrefix(r.FramedIPv6, p)
				have(Claim{Kind: AddressPrefix, Prefix: p, PortTo: maxPort})
				twinned = true
			} else if twinned {
				gone = true
			}
			public := netip.MustParseAddr("203.0.113.1")
			portsOf := func(b int) PortBlock { return PortBlock{public, uint16(1000 * b), uint16(1000*b + 999), BlockHeld} }
			if block > 0 {
				b := portsOf(block)
				if nokia {
					b.State = BlockListed
				} else if held > 0 && held != block {
					gone := portsOf(held)
					gone.State = BlockReleased
					r.Ports = append(r.Ports, gone)
				}
				r.Ports = append(r.Ports, b)
				held = block
				have(Claim{Kind: AddressNAT, Prefix: netip.PrefixFrom(public, 32), PortFrom: b.From, PortTo: b.To})
			}
			if i == n-1 && n > 1 && rapid.Bool().Draw(t, "it ends") {
				r.Kind = KindStop
			}
			hold(now, r.Event, i)
			if r.Kind == KindStop {
				for _, c := range want {
					if c.Open() {
						c.Until, c.ClosedBy = r.Event, ClosedByStop
					}
				}
			}
			records = append(records, r)
		}
		var truth Claims
		for _, c := range want {
			truth = append(truth, *c)
		}
		inOrder := describeClaims(told(records))
		if !slices.Equal(inOrder, describeClaims(truth)) {
			t.Fatalf("in order\n%q, want\n%q", inOrder, describeClaims(truth))
		}
		again := append(slices.Clone(records), records[:rapid.IntRange(0, n).Draw(t, "repeated")]...)
		shuffled := again
		if !twinned { // of one of two prefixes the end depends on what is late
			shuffled = rapid.Permutation(again).Draw(t, "order")
		}
		if got := describeClaims(told(shuffled)); !slices.Equal(got, inOrder) {
			t.Fatalf("shuffled\n%q, in order\n%q", got, inOrder)
		}
	})
}

func TestAnAddressThatComesBack(t *testing.T) {
	a, b := netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("100.64.0.2")
	at := func(t int64, ip netip.Addr) Record {
		r := said(KindInterim, t)
		r.FramedIP = ip
		return r
	}
	got := describeClaims(told([]Record{at(100, a), at(200, b), at(300, a), at(400, a)}))
	// Its first time and its second are one, so that neither is lost.
	want := []string{"ipv4 100.64.0.1/32 0-65535 0..open", "ipv4 100.64.0.2/32 0-65535 200..300 change"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestABlockTakenAgain(t *testing.T) {
	block := func(t int64, state PortBlockState) Record {
		r := said(KindInterim, t)
		r.Ports = []PortBlock{{netip.MustParseAddr("203.0.113.1"), 1024, 2047, state}}
		return r
	}
	records := []Record{block(100, BlockHeld), block(200, BlockReleased), block(300, BlockHeld), block(400, BlockHeld), block(500, BlockReleased)}
	want := []string{"nat 203.0.113.1/32 1024-2047 0..200 release", "nat 203.0.113.1/32 1024-2047 300..500 release"}
	for _, order := range [][]int{{0, 1, 2, 3, 4}, {0, 1, 2, 3, 4, 0, 1, 2, 3, 4}, {4, 2, 3, 1, 0}, {1, 4, 0, 3, 2}, {0, 1, 3, 2, 4}} {
		var list []Record
		for _, i := range order {
			list = append(list, records[i])
		}
		if got := describeClaims(told(list)); !slices.Equal(got, want) {
			t.Errorf("%v: %q", order, got)
		}
	}
}
