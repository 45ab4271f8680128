package radius

import (
	"net/netip"
	"slices"
	"testing"
)

// vsa is the value of a Vendor-Specific attribute: pairs of a vendor's type and its value.
func vsa(vendor uint32, pairs ...any) []byte {
	var out []byte
	out = append(out, byte(vendor>>24), byte(vendor>>16), byte(vendor>>8), byte(vendor))
	for i := 0; i < len(pairs); i += 2 {
		var v []byte
		switch x := pairs[i+1].(type) {
		case int:
			v = []byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)}
		case string:
			v = []byte(x)
		case []byte:
			v = x
		}
		out = append(append(out, byte(pairs[i].(int)), byte(len(v)+2)), v...)
	}
	return out
}

// portRange is an IP-Port-Range attribute: pairs of a TLV's type and its value.
func portRange(pairs ...any) []byte {
	return append([]byte{extPortRange}, vsa(0, pairs...)[4:]...)
}

func TestPortBlocks(t *testing.T) {
	public, other := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.8")
	a, b := []byte{203, 0, 113, 7}, []byte{203, 0, 113, 8}
	for name, c := range map[string]struct {
		attrs []any
		want  []PortBlock
		odd   bool
	}{
		"Huawei":                     {[]any{26, vsa(2011, 161, a), 26, vsa(2011, 162, 1024), 26, vsa(2011, 163, 2047)}, []PortBlock{{public, 1024, 2047, BlockHeld}}, false},
		"Huawei in one attribute":    {[]any{26, vsa(2011, 161, a, 162, 1024, 163, 2047, 165, 0)}, []PortBlock{{public, 1024, 2047, BlockHeld}}, false},
		"Huawei, two blocks":         {[]any{26, vsa(2011, 161, a, 162, 1024, 163, 2047, 162, 4096, 163, 5119)}, []PortBlock{{public, 1024, 2047, BlockHeld}, {public, 4096, 5119, BlockHeld}}, false},
		"Huawei, two addresses":      {[]any{26, vsa(2011, 161, a, 161, b, 162, 1, 162, 3, 163, 2, 163, 4)}, []PortBlock{{public, 1, 2, BlockHeld}, {other, 3, 4, BlockHeld}}, false},
		"Huawei, released":           {[]any{26, vsa(2011, 161, a, 162, 1024, 163, 2047, 165, 1)}, []PortBlock{{public, 1024, 2047, BlockReleased}}, false},
		"Huawei, changed":            {[]any{26, vsa(2011, 161, a, 162, 1024, 163, 2047, 165, 3)}, []PortBlock{{public, 1024, 2047, BlockListed}}, false},
		"Huawei, an unknown update":  {[]any{26, vsa(2011, 161, a, 162, 1024, 163, 2047, 165, 9)}, []PortBlock{{public, 1024, 2047, BlockHeld}}, true},
		"Huawei, no ports":           {[]any{26, vsa(2011, 161, a)}, []PortBlock{{public, 0, 65535, BlockHeld}}, false},
		"Huawei, ports of nothing":   {[]any{26, vsa(2011, 162, 1024, 163, 2047)}, nil, true},
		"Huawei, half a block":       {[]any{26, vsa(2011, 161, a, 162, 1024)}, nil, true},
		"Huawei, upside down":        {[]any{26, vsa(2011, 161, a, 162, 2047, 163, 1024)}, nil, true},
		"Huawei, beyond the ports":   {[]any{26, vsa(2011, 161, a, 162, 1024, 163, 70000)}, nil, true},
		"Huawei, a short address":    {[]any{26, vsa(2011, 161, []byte{1, 2}, 162, 1024, 163, 2047)}, nil, true},
		"Huawei, something else":     {[]any{26, vsa(2011, 1, 5)}, nil, false},
		"H3C":                        {[]any{26, vsa(25506, 32, a, 33, 1024, 34, 2047)}, []PortBlock{{public, 1024, 2047, BlockHeld}}, false},
		"netElastic":                 {[]any{26, vsa(54268, 161, a, 162, 1024, 163, 2047)}, []PortBlock{{public, 1024, 2047, BlockHeld}}, false},
		"of another vendor":          {[]any{26, vsa(9999, 161, a, 162, 1024, 163, 2047)}, nil, false},
		"Nokia":                      {[]any{26, vsa(6527, 121, "203.0.113.7 1024-1055,2048-2079 router base")}, []PortBlock{{public, 1024, 1055, BlockListed}, {public, 2048, 2079, BlockListed}}, false},
		"Nokia, two attributes":      {[]any{26, vsa(6527, 121, "203.0.113.7 1024-1055 router base"), 26, vsa(6527, 121, "203.0.113.8 80 vprn1")}, []PortBlock{{public, 1024, 1055, BlockListed}, {other, 80, 80, BlockListed}}, false},
		"Nokia, nonsense":            {[]any{26, vsa(6527, 121, "203.0.113.7 1024-x,5-6")}, []PortBlock{{public, 5, 6, BlockListed}}, true},
		"Nokia, without ports":       {[]any{26, vsa(6527, 121, "203.0.113.7")}, nil, true},
		"Nokia, no address":          {[]any{26, vsa(6527, 121, "here 1-2")}, nil, true},
		"RFC 8045":                   {[]any{241, portRange(8, 1, 3, a, 9, 1024, 10, 2047)}, []PortBlock{{public, 1024, 2047, BlockHeld}}, false},
		"RFC 8045, released":         {[]any{241, portRange(8, 2, 3, a, 9, 1024, 10, 2047)}, []PortBlock{{public, 1024, 2047, BlockReleased}}, false},
		"RFC 8045, two":              {[]any{241, portRange(8, 2, 3, a, 9, 1, 10, 2), 241, portRange(8, 1, 3, b, 9, 3, 10, 4, 11, "local")}, []PortBlock{{public, 1, 2, BlockReleased}, {other, 3, 4, BlockHeld}}, false},
		"RFC 8045, all ports":        {[]any{241, portRange(8, 1, 3, a)}, []PortBlock{{public, 0, 65535, BlockHeld}}, false},
		"RFC 8045, no address":       {[]any{241, portRange(8, 1, 9, 1024, 10, 2047)}, nil, true},
		"RFC 8045, torn":             {[]any{241, append(portRange(8, 1, 3, a), 9, 6, 0)}, nil, true},
		"RFC 8045, unknown event":    {[]any{241, portRange(8, 7, 3, a)}, nil, true},
		"RFC 8045, short":            {[]any{241, portRange(3, "a")}, nil, true},
		"RFC 8045, a limit":          {[]any{241, append([]byte{5}, portRange(2, 100)[1:]...)}, nil, false},
		"the extended space, empty":  {[]any{241, []byte{}}, nil, false},
		"a Vendor-Specific of bytes": {[]any{26, []byte{1, 2}}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, odd := parse(t, append([]any{acctStatusType, 3, acctSessionID, "a"}, c.attrs...)...)
			if !slices.Equal(r.Ports, c.want) {
				t.Errorf("%v, want %v", r.Ports, c.want)
			}
			if (odd == OddPorts) != c.odd || odd&^OddPorts != 0 {
				t.Errorf("oddity %b", odd)
			}
		})
	}
}

func TestPortBlocksAreBounded(t *testing.T) {
	attrs := []any{acctStatusType, 3, acctSessionID, "a"}
	for i := range 100 {
		attrs = append(attrs, 241, portRange(8, 1, 3, []byte{203, 0, 113, byte(i)}))
	}
	if r, odd := parse(t, attrs...); len(r.Ports) != maxPortBlocks || odd != OddPorts {
		t.Errorf("%d blocks, %b", len(r.Ports), odd)
	}
}

// FuzzPortBlocks gives the vendors' attributes any content.
func FuzzPortBlocks(f *testing.F) {
	a := []byte{203, 0, 113, 7}
	f.Add(byte(26), vsa(2011, 161, a, 162, 1024, 163, 2047, 165, 1))
	f.Add(byte(26), vsa(6527, 121, "203.0.113.7 1024-1055,2048-2079 router base"))
	f.Add(byte(241), portRange(8, 2, 3, a, 9, 1024, 10, 2047))
	f.Fuzz(func(t *testing.T, kind byte, value []byte) {
		if len(value) > maxValue {
			value = value[:maxValue]
		}
		v, err := ParseView(accountingRequest(acctStatusType, 3, acctSessionID, "a", acctSessionTime, 300, int(kind), value))
		if err != nil {
			return
		}
		r, _ := ParseRecord(7, v, t0)
		for _, b := range r.Ports {
			if b.From > b.To || !b.Addr.IsValid() {
				t.Fatalf("unsafe: %+v", b)
			}
		}
		if r.Kind == 0 {
			return
		}
		once, twice := told([]Record{r}), told([]Record{r, r})
		if !slices.Equal(describeClaims(once), describeClaims(twice)) {
			t.Fatalf("%q, again %q", describeClaims(once), describeClaims(twice))
		}
	})
}
