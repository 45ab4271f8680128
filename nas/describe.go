package nas

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// vendorAttribute names an attribute of a vendor that a dialect of ours may send.
type vendorAttribute struct {
	vendor uint32
	kind   byte
}

var vendorNames = map[vendorAttribute]string{
	{14988, 8}: "Mikrotik-Rate-Limit", {14988, 19}: "Mikrotik-Address-List",
	{14122, 4}: "WISPr-Redirection-URL", {14122, 7}: "WISPr-Bandwidth-Max-Up", {14122, 8}: "WISPr-Bandwidth-Max-Down",
}

var numbers = map[string]bool{"WISPr-Bandwidth-Max-Up": true, "WISPr-Bandwidth-Max-Down": true}

var standardNames = map[radius.Type]string{
	rfc2865.FilterID_Type: "Filter-Id", rfc2869.FramedPool_Type: "Framed-Pool",
}

// Describe writes attributes as people read them: Name = "value". What it does not know appears by number.
func Describe(attrs radius.Attributes) []string {
	var out []string
	for _, avp := range attrs {
		name, value := standardNames[avp.Type], []byte(avp.Attribute)
		if avp.Type == rfc2865.VendorSpecific_Type && len(value) > 6 {
			v := vendorAttribute{binary.BigEndian.Uint32(value), value[4]}
			if name = vendorNames[v]; name == "" {
				name = fmt.Sprintf("Vendor-%d-Attr-%d", v.vendor, v.kind)
			}
			value = value[6:]
		}
		if name == "" {
			name = fmt.Sprintf("Attr-%d", avp.Type)
		}
		switch {
		case numbers[name] && len(value) == 4:
			out = append(out, fmt.Sprintf("%s = %d", name, binary.BigEndian.Uint32(value)))
		case utf8.Valid(value):
			out = append(out, fmt.Sprintf("%s = %q", name, value))
		default:
			out = append(out, fmt.Sprintf("%s = 0x%x", name, value))
		}
	}
	return out
}
