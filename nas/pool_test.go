package nas

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, t := range texts {
		list = append(list, netip.MustParsePrefix(t))
	}
	return list
}

func TestPoolPlaces(t *testing.T) {
	v4 := Pool{Name: "pop", Bits: 32, Ranges: prefixes("100.64.0.0/30", "198.51.100.128/31")}
	v6 := Pool{Name: "pd", Bits: 56, Ranges: prefixes("2001:db8::/54", "2001:db8:ff00::/56")}
	for _, c := range []struct {
		pool  *Pool
		place uint32
		want  string
	}{
		{&v4, 0, "100.64.0.0/32"}, {&v4, 3, "100.64.0.3/32"}, {&v4, 4, "198.51.100.128/32"}, {&v4, 5, "198.51.100.129/32"},
		{&v6, 0, "2001:db8::/56"}, {&v6, 1, "2001:db8:0:100::/56"}, {&v6, 3, "2001:db8:0:300::/56"}, {&v6, 4, "2001:db8:ff00::/56"},
	} {
		if got := c.pool.At(c.place); got.String() != c.want {
			t.Errorf("place %d of %s is %s, want %s", c.place, c.pool.Name, got, c.want)
		}
	}
	if v4.Places() != 6 || v6.Places() != 5 || v4.At(6).IsValid() || v6.At(5).IsValid() {
		t.Errorf("%d and %d places; beyond them %s and %s", v4.Places(), v6.Places(), v4.At(6), v6.At(5))
	}
	for _, outside := range prefixes("100.64.0.4/32", "100.64.0.0/31", "2001:db8::/56") {
		if n, ok := v4.PlaceOf(outside); ok {
			t.Errorf("%s is place %d", outside, n)
		}
	}
}

func TestPoolValidate(t *testing.T) {
	for name, p := range map[string]Pool{
		"ranges: nothing":          {Name: "p", Bits: 32},
		"ranges: overlap":          {Name: "p", Bits: 32, Ranges: prefixes("10.0.0.0/8", "10.1.0.0/16")},
		"ranges: mixed":            {Name: "p", Bits: 32, Ranges: prefixes("10.0.0.0/24", "2001:db8::/32")},
		"ranges: beyond length":    {Name: "p", Bits: 32, Ranges: prefixes("10.0.0.1/24")},
		"ranges: multicast":        {Name: "p", Bits: 32, Ranges: prefixes("239.0.0.0/24")},
		"ranges: too many":         {Name: "p", Bits: 32, Ranges: prefixes("10.0.0.0/7")},
		"ranges: smaller":          {Name: "p", Bits: 56, Ranges: prefixes("2001:db8::/60")},
		"bits: IPv4":               {Name: "p", Bits: 40, Ranges: prefixes("10.0.0.0/24")},
		"bits: IPv6":               {Name: "p", Bits: 72, Ranges: prefixes("2001:db8::/64")},
		"name: none":               {Bits: 32, Ranges: prefixes("10.0.0.0/24")},
		"ranges: IPv6, far beyond": {Name: "p", Bits: 64, Ranges: prefixes("2001::/16")},
	} {
		if p.Validate() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for _, p := range []Pool{
		{Name: "p", Bits: 32, Ranges: prefixes("100.64.0.0/10")},
		{Name: "p", Bits: 56, Ranges: prefixes("2001:db8::/40", "2001:db8:8000::/40")},
	} {
		if err := p.Validate(); err != nil {
			t.Errorf("%v: %v", p.Ranges, err)
		}
	}
}

func TestPlacesAreNumberedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Pool{Name: "p", Bits: 32, Ranges: prefixes("10.0.0.0/20", "192.0.2.0/24", "198.51.100.7/32")}
		if rapid.Bool().Draw(t, "v6") {
			p = Pool{Name: "p", Bits: rapid.IntRange(48, 64).Draw(t, "bits"), Ranges: prefixes("2001:db8::/44", "2001:db8:4000::/47")}
		}
		place := uint32(rapid.Uint64Range(0, p.Places()-1).Draw(t, "place"))
		if got, ok := p.PlaceOf(p.At(place)); !ok || got != place {
			t.Fatalf("place %d is %s, which is place %d, %v", place, p.At(place), got, ok)
		}
	})
}
