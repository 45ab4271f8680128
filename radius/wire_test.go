package radius

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"testing"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"pgregory.net/rapid"
)

func TestParseViewRefuses(t *testing.T) {
	head := func(length uint16, rest ...byte) []byte {
		b := make([]byte, 20, 64)
		b[0] = CodeAccessRequest
		binary.BigEndian.PutUint16(b[2:], length)
		return append(b, rest...)
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":                         {nil, ErrShort},
		"19 bytes":                        {make([]byte, 19), ErrShort},
		"length below the header":         {head(19), ErrLength},
		"length beyond the datagram":      {head(21), ErrLength},
		"length above 4096":               {append(head(4097), make([]byte, 4096)...), ErrLength},
		"attribute of length 0":           {head(22, 1, 0), ErrAttribute},
		"attribute of length 1":           {head(22, 1, 1), ErrAttribute},
		"one byte left over":              {head(21, 1), ErrAttribute},
		"attribute beyond the end":        {head(22, 1, 3), ErrAttribute},
		"attribute ends in the padding":   {head(22, 1, 3, 'x'), ErrAttribute},
		"no attributes":                   {head(20), nil},
		"empty attribute":                 {head(22, 1, 2), nil},
		"padding":                         {head(20, 1, 0, 9), nil},
		"the longest packet and a byte":   {append(full(head(4096)), 7), nil},
		"a second attribute without room": {head(25, 1, 3, 'x', 2, 9), ErrAttribute},
	} {
		if _, err := ParseView(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// full fills a packet up to 4096 bytes.
func full(b []byte) []byte {
	for len(b) < 4096 {
		n := min(255, 4096-len(b))
		if 4096-len(b)-n == 1 {
			n--
		}
		b = append(append(b, 200, byte(n)), make([]byte, n-2)...)
	}
	return b
}

// agrees reports how View and layeh's parser see a datagram differently.
func agrees(t testing.TB, datagram []byte) {
	t.Helper()
	v, err := ParseView(datagram)
	p, theirs := layeh.Parse(datagram, []byte("s"))
	if (err == nil) != (theirs == nil) {
		t.Fatalf("we say %v, layeh says %v: %x", err, theirs, datagram)
	}
	if err != nil {
		return
	}
	if v.Code() != byte(p.Code) || v.Identifier() != p.Identifier || !bytes.Equal(v.Authenticator(), p.Authenticator[:]) {
		t.Fatalf("headers differ: %x", datagram)
	}
	i := 0
	v.Each(func(kind byte, value []byte) bool {
		if i >= len(p.Attributes) || kind != byte(p.Attributes[i].Type) || !bytes.Equal(value, p.Attributes[i].Attribute) {
			t.Fatalf("attribute %d differs: %x", i, datagram)
		}
		i++
		return true
	})
	if i != len(p.Attributes) {
		t.Fatalf("%d attributes, layeh has %d: %x", i, len(p.Attributes), datagram)
	}
	kinds := map[int]bool{0: true, 80: true, 255: true}
	for _, a := range p.Attributes {
		kinds[int(a.Type)] = true
	}
	for kind := range kinds {
		ours, ok := v.Get(byte(kind))
		want, found := p.Lookup(layeh.Type(kind))
		if ok != found || !bytes.Equal(ours, want) {
			t.Fatalf("Get(%d) differs: %x", kind, datagram)
		}
	}
}

func FuzzViewAgainstLayeh(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.datagram)
	}
	f.Fuzz(func(t *testing.T, b []byte) { agrees(t, b) })
}

func TestViewAgainstLayeh(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := make([]byte, 20)
		for range rapid.IntRange(0, 12).Draw(rt, "attributes") {
			b = appendAttr(b, rapid.Byte().Draw(rt, "type"), rapid.SliceOfN(rapid.Byte(), 0, 253).Draw(rt, "value"))
		}
		endPacket(b)
		b = append(b, rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(rt, "padding")...)
		if rapid.Bool().Draw(rt, "damage") {
			b[rapid.IntRange(0, len(b)-1).Draw(rt, "at")] = rapid.Byte().Draw(rt, "byte")
		}
		agrees(t, b)
	})
}

func TestVendor(t *testing.T) {
	b := beginPacket(nil, CodeAccessRequest, 1)
	b = append(b, 26, 7, 0, 0, 1, 55, 1)             // no room for a vendor attribute
	b = append(b, 26, 8, 0, 0, 1, 55, 11, 9)         // its inner length goes beyond
	b = append(b, 26, 8, 0, 0, 1, 55, 11, 0)         // its inner length is nothing
	b = appendVendor(b, 9, 11, []byte("other"))      // another vendor
	b = append(b, 26, 13, 0, 0, 1, 55, 1, 3, 'a')    // two in one
	b = append(b, 11, 4, 'b', 'c')                   //
	b = appendVendor(b, 311, 11, []byte("a second")) // not the first
	endPacket(b)
	v, err := ParseView(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		vendor uint32
		kind   byte
		want   string
		ok     bool
	}{{311, 11, "bc", true}, {311, 1, "a", true}, {9, 11, "other", true}, {9, 1, "", false}, {311, 25, "", false}, {10, 11, "", false}} {
		if got, ok := v.Vendor(c.vendor, c.kind); string(got) != c.want || ok != c.ok {
			t.Errorf("vendor %d attribute %d: %q, %v", c.vendor, c.kind, got, ok)
		}
	}
}

func TestAppendAttrSplits(t *testing.T) {
	b := appendAttr(nil, 79, bytes.Repeat([]byte{7}, 300))
	if len(b) != 300+4 || b[1] != 255 || b[255] != 79 || b[256] != 49 {
		t.Errorf("300 bytes became %d: %x", len(b), b)
	}
}

// Sealing and verifying agree with the standard library's HMAC and with layeh, for secrets of every length.
func TestSealAgainstOthers(t *testing.T) {
	h := newHasher()
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 1, 130).Draw(rt, "secret")
		s := newSecret(key)
		auth := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "authenticator")
		value := rapid.SliceOfN(rapid.Byte(), 0, 253).Draw(rt, "value")

		b := appendAttr(appendMA(beginPacket(nil, CodeAccessAccept, 7)), 18, value)
		if !h.seal(&s, b, auth) {
			rt.Fatal("not sealed")
		}
		question := append([]byte{1, 7, 0, 20}, auth...)
		if !layeh.IsAuthenticResponse(b, question, key) {
			rt.Fatal("layeh does not accept the response authenticator")
		}
		plain := bytes.Clone(b)
		copy(plain[4:20], auth)
		clear(plain[22:38])
		mac := hmac.New(md5.New, key)
		mac.Write(plain)
		if !bytes.Equal(mac.Sum(nil), b[22:38]) {
			rt.Fatal("Message-Authenticator differs from crypto/hmac")
		}

		p := &layeh.Packet{Code: layeh.CodeAccountingRequest, Secret: key}
		p.Add(18, value)
		q, err := p.Encode()
		if err != nil {
			rt.Fatal(err)
		}
		v, err := ParseView(q)
		if err != nil || !h.checkAccounting(&s, v) {
			rt.Fatalf("layeh's Accounting-Request does not verify (%v)", err)
		}
		q[rapid.IntRange(20, len(q)-1).Draw(rt, "byte")] ^= 1
		if v, err := ParseView(q); err == nil && h.checkAccounting(&s, v) {
			rt.Fatal("an altered Accounting-Request verifies")
		}
	})
}

func TestPAPAgainstLayeh(t *testing.T) {
	h := newHasher()
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(rt, "secret")
		s := newSecret(key)
		password := rapid.SliceOfN(rapid.ByteRange(1, 255), 1, 128).Draw(rt, "password")
		p := layeh.New(layeh.CodeAccessRequest, key)
		if err := rfc2865.UserPassword_Add(p, password); err != nil {
			rt.Fatal(err)
		}
		hidden := p.Get(attrUserPassword)
		if !h.verifyPAP(&s, p.Authenticator[:], hidden, password) {
			rt.Fatal("the password does not verify")
		}
		for _, wrong := range [][]byte{password[:len(password)-1], append(bytes.Clone(password), 'x'), {}} {
			if h.verifyPAP(&s, p.Authenticator[:], hidden, wrong) {
				rt.Fatalf("%q verifies as %q", wrong, password)
			}
		}
		for _, n := range []int{0, 1, 15, len(hidden) - 1} {
			if h.verifyPAP(&s, p.Authenticator[:], hidden[:n], password) {
				rt.Fatalf("a User-Password of %d bytes verifies", n)
			}
		}
		if h.verifyPAP(&s, p.Authenticator[:], make([]byte, 144), password) {
			rt.Fatal("a User-Password of 144 bytes verifies")
		}
	})
}
