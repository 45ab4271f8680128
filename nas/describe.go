package nas

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"unicode/utf8"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

// Describe writes attributes as people read them and as an operator's own dialects write them: Name = "value". What is
// not known by name appears by number.
func Describe(attrs radius.Attributes) []string {
	var out []string
	for _, avp := range attrs {
		value := []byte(avp.Attribute)
		a := attributeAt(0, byte(avp.Type), octets)
		if avp.Type == rfc2865.VendorSpecific_Type && len(value) > 6 {
			a = attributeAt(binary.BigEndian.Uint32(value), value[4], octets)
			value = value[6:]
		}
		out = append(out, describe(a, value))
	}
	return out
}

func describe(a attribute, value []byte) string {
	switch {
	case a.Kind == number && len(value) == 4:
		return fmt.Sprintf("%s = %d", a.Name, binary.BigEndian.Uint32(value))
	case a.Kind == number64 && len(value) == 8:
		return fmt.Sprintf("%s = %d", a.Name, binary.BigEndian.Uint64(value))
	case a.Kind == address && len(value) == 4:
		return fmt.Sprintf("%s = %s", a.Name, netip.AddrFrom4([4]byte(value)))
	case a.Kind == tagged && len(value) > 1 && value[0] <= maxTag && utf8.Valid(value[1:]):
		return fmt.Sprintf("%s:%d = %q", a.Name, value[0], value[1:])
	case (a.Kind == textual || a.Kind == octets) && utf8.Valid(value):
		return fmt.Sprintf("%s = %q", a.Name, value)
	}
	return fmt.Sprintf("%s = 0x%x", a.Name, value)
}

// maxTag is the largest tag (RFC 2868, section 3.1).
const maxTag = 31
