package contracts

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// MAC is an IEEE 802 MAC-48 address; the zero value is none.
type MAC [6]byte

// ParseMAC reads a MAC address in the notations that access servers use: aa:bb:cc:dd:ee:ff, AA-BB-CC-DD-EE-FF,
// aabb.ccdd.eeff, aabb-ccdd-eeff, aabbcc-ddeeff and aabbccddeeff; leading zeros of two-digit groups may be missing. A
// DHCP client identifier of hardware type 1 (RFC 2132, section 9.14), such as RouterOS sends in Calling-Station-Id, is
// the MAC address with 1: or 01 before it. It does not allocate.
func ParseMAC[T string | []byte](text T) (m MAC, ok bool) {
	var digits [14]byte
	var groups, values [7]byte // digits of each group, and its value where it has at most two
	var separator byte
	n, g := 0, 0
	for i := range len(text) {
		c := text[i]
		if d, isHex := nibble(c); isHex {
			if n == len(digits) {
				return MAC{}, false
			}
			digits[n], values[g] = d, values[g]<<4|d
			n, groups[g] = n+1, groups[g]+1
			continue
		}
		if c != ':' && c != '-' && c != '.' || separator != 0 && c != separator || groups[g] == 0 || g == len(groups)-1 {
			return MAC{}, false
		}
		separator = c
		g++
	}
	if groups[g] == 0 {
		return MAC{}, false
	}
	first := 0 // digit with which the address begins
	switch groups {
	case [7]byte{12}, [7]byte{6, 6}, [7]byte{4, 4, 4}:
	case [7]byte{14}, [7]byte{4, 4, 4, 2}:
		if digits[0] != 0 || digits[1] != 1 {
			return MAC{}, false
		}
		first = 2
	default:
		return macOfGroups(groups, values, g+1)
	}
	for i := range m {
		m[i] = digits[first+2*i]<<4 | digits[first+2*i+1]
	}
	return m, m != MAC{}
}

// macOfGroups reads six groups of one or two digits, or seven of which the first is the hardware type.
func macOfGroups(groups, values [7]byte, n int) (m MAC, ok bool) {
	if n < 6 || n == 7 && values[0] != 1 {
		return MAC{}, false
	}
	for _, digits := range groups[:n] {
		if digits > 2 {
			return MAC{}, false
		}
	}
	copy(m[:], values[n-6:n])
	return m, m != MAC{}
}

func nibble(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// String is aa:bb:cc:dd:ee:ff, or nothing for none.
func (m MAC) String() string {
	if m == (MAC{}) {
		return ""
	}
	b := make([]byte, 0, 17)
	for i, octet := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = hex.AppendEncode(b, []byte{octet})
	}
	return string(b)
}

// Unicast reports whether the address is one device's and not a group's (IEEE 802, section 8.2).
func (m MAC) Unicast() bool { return m != MAC{} && m[0]&1 == 0 }

// Octets are bytes as an access server sends them; any may occur, as in an Option 82 circuit id. As text, printable ASCII
// stands for itself and anything else is "0x" with hexadecimal digits.
type Octets string

// maxOctets is what one vendor attribute carries (RFC 2865, section 5.26).
const maxOctets = 247

// ParseOctets reads what people write and what String wrote.
func ParseOctets(text string) (Octets, error) {
	if digits, ok := strings.CutPrefix(text, "0x"); ok {
		raw, err := hex.DecodeString(digits)
		if err != nil {
			return "", Invalidf("octets", "after 0x come hexadecimal digits, two for each byte")
		}
		return Octets(raw), nil
	}
	return Octets(text), nil
}

// String is text from which ParseOctets gives back the same bytes.
func (o Octets) String() string {
	s := string(o)
	if strings.HasPrefix(s, "0x") || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) || strings.TrimSpace(s) != s {
		return "0x" + hex.EncodeToString([]byte(s))
	}
	return s
}

// VLAN is the pair of tags that a line has on the access server: the outer one (S-VLAN, 0 for none) and the inner one
// (C-VLAN). The zero value is no VLAN.
type VLAN struct{ Outer, Inner uint16 }

// ParseVLAN reads "200" or "100:200" (also with a point or a hyphen), the outer tag first; nothing is no VLAN.
func ParseVLAN(text string) (VLAN, error) {
	if text == "" {
		return VLAN{}, nil
	}
	outer, inner, two := "", text, false
	if i := strings.IndexAny(text, ":.-"); i >= 0 {
		outer, inner, two = text[:i], text[i+1:], true
	}
	v := VLAN{}
	in, err := strconv.ParseUint(inner, 10, 16)
	v.Inner = uint16(in)
	if two && err == nil {
		var out uint64
		out, err = strconv.ParseUint(outer, 10, 16)
		v.Outer = uint16(out)
	}
	if err != nil || !v.valid() || v.Inner == 0 || two && v.Outer == 0 {
		return VLAN{}, Invalidf("vlan", "a VLAN is 1 to 4094, written as 200 or, with the outer tag first, as 100:200")
	}
	return v, nil
}

// String is "100:200", "200" or nothing.
func (v VLAN) String() string {
	switch {
	case v == VLAN{}:
		return ""
	case v.Outer == 0:
		return strconv.Itoa(int(v.Inner))
	}
	return strconv.Itoa(int(v.Outer)) + ":" + strconv.Itoa(int(v.Inner))
}

func (v VLAN) valid() bool { return v.Outer < 4095 && v.Inner < 4095 && (v.Inner > 0 || v.Outer == 0) }

// VLANOf reads the tags out of a NAS-Port-Id, in the forms in which access servers put them there: Nokia SR OS and the
// "eth 1/2/3:100.200" of Chinese BRASes (port:outer.inner, perhaps with text before and after), Juniper
// (interface.unit:outer-inner), Linux and accel-ppp (eth1.100.200), Cisco (0/0/1/100.200), Huawei and H3C with one tag
// (slot=1;subslot=0;port=2;vlanid=200). The zero value means that it shows none. It does not allocate.
func VLANOf[T string | []byte](port T) VLAN {
	if v, ok := namedVLAN(port); ok {
		return v
	}
	for end := len(port); end > 0; {
		begin := end
		for begin > 0 && port[begin-1] != ' ' && port[begin-1] != '#' {
			begin--
		}
		if v := tailVLAN(port[begin:end]); v != (VLAN{}) {
			return v
		}
		end = max(0, begin-1)
	}
	return VLAN{}
}

// namedVLAN reads vlanid=200. With a second one beside it (vlanid2) vendors differ in which is the outer, so then there
// is none: bind the port itself.
func namedVLAN[T string | []byte](port T) (v VLAN, ok bool) {
	const name = "vlanid"
	for i := 0; i+len(name) < len(port); i++ {
		j := 0
		for j < len(name) && port[i+j]|0x20 == name[j] {
			j++
		}
		if j < len(name) {
			continue
		}
		if port[i+j] != '=' {
			return VLAN{}, true
		}
		n, after := 0, i+j+1
		for after < len(port) && '0' <= port[after] && port[after] <= '9' && n < 5000 {
			n, after = n*10+int(port[after]-'0'), after+1
		}
		if n < 4095 {
			v.Inner, ok = uint16(n), true
		}
	}
	return v, ok
}

// tailVLAN reads the tags at the end of a word.
func tailVLAN[T string | []byte](word T) VLAN {
	inner, before := tagBefore(word, len(word))
	if inner == 0 || before == 0 {
		return VLAN{}
	}
	separator := word[before-1]
	if separator != '.' && separator != '-' && separator != ':' {
		return VLAN{}
	}
	outer, first := tagBefore(word, before-1)
	if outer != 0 && first > 0 {
		switch left := word[first-1]; {
		case left == ':' && separator != ':', left == '.' && separator == '.', left == '/' && separator == '.' && physical(word):
			return VLAN{outer, inner}
		}
	}
	if separator == '-' {
		return VLAN{}
	}
	return VLAN{0, inner}
}

// physical reports whether a word counts its places from the first one: slot/subslot/port/outer.inner.
func physical[T string | []byte](word T) bool {
	slashes := 0
	for i := range len(word) {
		if word[i] == '/' {
			slashes++
		}
	}
	return slashes >= 3 && '0' <= word[0] && word[0] <= '9'
}

// tagBefore is the tag whose digits end before end, and where they begin; 0 where there is none from 1 to 4094.
func tagBefore[T string | []byte](word T, end int) (tag uint16, begin int) {
	n, scale := 0, 1
	begin = end
	for begin > 0 && '0' <= word[begin-1] && word[begin-1] <= '9' {
		begin--
		if n < 5000 && scale < 100000 {
			n, scale = n+int(word[begin]-'0')*scale, scale*10
		} else {
			n = 5000
		}
	}
	if n < 1 || n > 4094 {
		return 0, begin
	}
	return uint16(n), begin
}
