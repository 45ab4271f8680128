package nas

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"enlace/contracts"
)

// kind is how the value of an attribute is written (RFC 8044, section 3).
type kind uint8

const (
	textual  kind = iota // text
	number               // 32 bits
	number64             // 64 bits
	address              // an IPv4 address
	octets               // any bytes
	tagged               // text after a byte that groups attributes (RFC 2868, section 3.1)
)

// attribute is what the dialects and an operator's own attributes know of an attribute.
type attribute struct {
	Name   string // as FreeRADIUS's dictionaries have it
	Vendor uint32 // SMI enterprise number; 0: of the RFCs
	Number byte
	Kind   kind
}

// Enterprise numbers of the vendors whose attributes are known.
const (
	vendorCisco          = 9
	vendorAscend         = 529
	vendorHuawei         = 2011
	vendorZTE            = 3902
	vendorERX            = 4874
	vendorNokia          = 6527
	vendorRoaringPenguin = 10055
	vendorPfSense        = 13644
	vendorWISPr          = 14122
	vendorMikrotik       = 14988
	vendorUbiquiti       = 41112
)

// dictionary is every attribute that is known by name.
var dictionary = []attribute{
	{"User-Name", 0, 1, textual},
	{"Service-Type", 0, 6, number},
	{"Framed-Protocol", 0, 7, number},
	{"Framed-IP-Address", 0, 8, address},
	{"Framed-IP-Netmask", 0, 9, address},
	{"Filter-Id", 0, 11, textual},
	{"Framed-MTU", 0, 12, number},
	{"Framed-Compression", 0, 13, number},
	{"Reply-Message", 0, 18, textual},
	{"Framed-Route", 0, 22, textual},
	{"Class", 0, 25, octets},
	{"Session-Timeout", 0, 27, number},
	{"Idle-Timeout", 0, 28, number},
	{"Termination-Action", 0, 29, number},
	{"Calling-Station-Id", 0, 31, textual},
	{"NAS-Identifier", 0, 32, textual},
	{"Acct-Session-Id", 0, 44, textual},
	{"Port-Limit", 0, 62, number},
	{"Acct-Interim-Interval", 0, 85, number},
	{"NAS-Port-Id", 0, 87, textual},
	{"Framed-Pool", 0, 88, textual},
	{"Framed-IPv6-Route", 0, 99, textual},
	{"Framed-IPv6-Pool", 0, 100, textual},
	{"Delegated-IPv6-Prefix-Pool", 0, 171, textual},
	{"Stateful-IPv6-Address-Pool", 0, 172, textual},

	{"Cisco-AVPair", vendorCisco, 1, textual},
	{"Cisco-Policy-Up", vendorCisco, 37, textual},
	{"Cisco-Policy-Down", vendorCisco, 38, textual},
	{"Cisco-Account-Info", vendorCisco, 250, textual},
	{"Cisco-Service-Info", vendorCisco, 251, textual},
	{"Cisco-Command-Code", vendorCisco, 252, textual},

	{"Ascend-Data-Rate", vendorAscend, 197, number},
	{"Ascend-Xmit-Rate", vendorAscend, 255, number},

	{"Huawei-Input-Burst-Size", vendorHuawei, 1, number},
	{"Huawei-Input-Average-Rate", vendorHuawei, 2, number},
	{"Huawei-Input-Peak-Rate", vendorHuawei, 3, number},
	{"Huawei-Output-Burst-Size", vendorHuawei, 4, number},
	{"Huawei-Output-Average-Rate", vendorHuawei, 5, number},
	{"Huawei-Output-Peak-Rate", vendorHuawei, 6, number},
	{"Huawei-PortalURL", vendorHuawei, 27, textual},
	{"Huawei-Qos-Profile-Name", vendorHuawei, 31, textual},
	{"Huawei-Up-Priority", vendorHuawei, 61, number},
	{"Huawei-Down-Priority", vendorHuawei, 62, number},
	{"Huawei-Data-Filter", vendorHuawei, 82, textual},
	{"Huawei-Framed-Pool", vendorHuawei, 88, textual},
	{"Huawei-VPN-Instance", vendorHuawei, 94, textual},
	{"Huawei-Policy-Name", vendorHuawei, 95, textual},
	{"Huawei-Primary-DNS", vendorHuawei, 135, address},
	{"Huawei-Secondary-DNS", vendorHuawei, 136, address},
	{"Huawei-Domain-Name", vendorHuawei, 138, textual},
	{"Huawei-HTTP-Redirect-URL", vendorHuawei, 140, textual},
	{"Huawei-Framed-Pool-Group", vendorHuawei, 157, textual},
	{"Huawei-Down-QOS-Profile-Name", vendorHuawei, 182, textual},
	{"Huawei-AVpair", vendorHuawei, 188, textual},
	{"Huawei-Delegated-IPv6-Prefix-Pool", vendorHuawei, 191, textual},

	{"ZTE-QoS-Type", vendorZTE, 81, number},
	{"ZTE-QoS-Profile-Down", vendorZTE, 82, textual},
	{"ZTE-Rate-Ctrl-SCR-Down", vendorZTE, 83, number},
	{"ZTE-Rate-Ctrl-Burst-Down", vendorZTE, 84, number},
	{"ZTE-Rate-Ctrl-SCR-Up", vendorZTE, 89, number},
	{"ZTE-Rate-Ctrl-Burst-Up", vendorZTE, 91, number},
	{"ZTE-QOS-Profile-Up", vendorZTE, 94, textual},
	{"ZTE-Access-Domain", vendorZTE, 151, textual},
	{"ZTE-Rate-Ctrl-SCR-Up-v6", vendorZTE, 228, number},
	{"ZTE-QoS-Profile-Up-v6", vendorZTE, 232, textual},
	{"ZTE-Rate-Ctrl-SCR-Down-v6", vendorZTE, 233, number},
	{"ZTE-QoS-Profile-Down-v6", vendorZTE, 237, textual},

	{"ERX-Virtual-Router-Name", vendorERX, 1, textual},
	{"ERX-Address-Pool-Name", vendorERX, 2, textual},
	{"ERX-Primary-Dns", vendorERX, 4, address},
	{"ERX-Secondary-Dns", vendorERX, 5, address},
	{"ERX-Ingress-Policy-Name", vendorERX, 10, textual},
	{"ERX-Egress-Policy-Name", vendorERX, 11, textual},
	{"ERX-Qos-Profile-Name", vendorERX, 26, textual},
	{"ERX-Service-Activate", vendorERX, 65, tagged},
	{"ERX-Service-Deactivate", vendorERX, 66, textual},
	{"ERX-IPv6-Ingress-Policy-Name", vendorERX, 106, textual},
	{"ERX-IPv6-Egress-Policy-Name", vendorERX, 107, textual},
	{"ERX-CoS-Shaping-Pmt-Type", vendorERX, 108, textual},
	{"ERX-IPv6-NdRa-Pool-Name", vendorERX, 157, textual},
	{"ERX-IPv6-Delegated-Pool-Name", vendorERX, 161, textual},
	{"ERX-Client-Profile-Name", vendorERX, 174, textual},

	{"Alc-Primary-Dns", vendorNokia, 9, address},
	{"Alc-Secondary-Dns", vendorNokia, 10, address},
	{"Alc-Subsc-ID-Str", vendorNokia, 11, textual},
	{"Alc-Subsc-Prof-Str", vendorNokia, 12, textual},
	{"Alc-SLA-Prof-Str", vendorNokia, 13, textual},
	{"Alc-Retail-Serv-Id", vendorNokia, 17, number},
	{"Alc-MSAP-Serv-Id", vendorNokia, 31, number},
	{"Alc-MSAP-Policy", vendorNokia, 32, textual},
	{"Alc-MSAP-Interface", vendorNokia, 33, textual},
	{"Alc-App-Prof-Str", vendorNokia, 45, textual},
	{"Alc-Subscriber-QoS-Override", vendorNokia, 126, textual},
	{"Alc-Delegated-IPv6-Pool", vendorNokia, 131, textual},
	{"Alc-Subscriber-Filter", vendorNokia, 134, textual},
	{"Alc-Onetime-Http-Redirection-Filter-Id", vendorNokia, 136, textual},
	{"Alc-SLAAC-IPv6-Pool", vendorNokia, 181, textual},

	{"RP-Upstream-Speed-Limit", vendorRoaringPenguin, 1, number},
	{"RP-Downstream-Speed-Limit", vendorRoaringPenguin, 2, number},

	{"pfSense-Bandwidth-Max-Up", vendorPfSense, 1, number},
	{"pfSense-Bandwidth-Max-Down", vendorPfSense, 2, number},
	{"pfSense-Max-Total-Octets", vendorPfSense, 3, number},

	{"WISPr-Redirection-URL", vendorWISPr, 4, textual},
	{"WISPr-Bandwidth-Min-Up", vendorWISPr, 5, number},
	{"WISPr-Bandwidth-Min-Down", vendorWISPr, 6, number},
	{"WISPr-Bandwidth-Max-Up", vendorWISPr, 7, number},
	{"WISPr-Bandwidth-Max-Down", vendorWISPr, 8, number},

	{"Mikrotik-Recv-Limit", vendorMikrotik, 1, number},
	{"Mikrotik-Xmit-Limit", vendorMikrotik, 2, number},
	{"Mikrotik-Group", vendorMikrotik, 3, textual},
	{"Mikrotik-Rate-Limit", vendorMikrotik, 8, textual},
	{"Mikrotik-Realm", vendorMikrotik, 9, textual},
	{"Mikrotik-Mark-Id", vendorMikrotik, 11, textual},
	{"Mikrotik-Advertise-URL", vendorMikrotik, 12, textual},
	{"Mikrotik-Advertise-Interval", vendorMikrotik, 13, number},
	{"Mikrotik-Recv-Limit-Gigawords", vendorMikrotik, 14, number},
	{"Mikrotik-Xmit-Limit-Gigawords", vendorMikrotik, 15, number},
	{"Mikrotik-Total-Limit", vendorMikrotik, 17, number},
	{"Mikrotik-Total-Limit-Gigawords", vendorMikrotik, 18, number},
	{"Mikrotik-Address-List", vendorMikrotik, 19, textual},
	{"Mikrotik-Delegated-IPv6-Pool", vendorMikrotik, 22, textual},
	{"Mikrotik-DHCP-Option-Set", vendorMikrotik, 23, textual},

	{"UBNT-Data-Rate-DL", vendorUbiquiti, 1, number64},
	{"UBNT-Data-Rate-UL", vendorUbiquiti, 3, number64},
}

// place is where an attribute is on the wire.
type place struct {
	vendor uint32
	number byte
}

var (
	attributesByName  = make(map[string]*attribute, len(dictionary))
	attributesByPlace = make(map[place]*attribute, len(dictionary))
)

func init() {
	for i := range dictionary {
		a := &dictionary[i]
		attributesByName[a.Name], attributesByPlace[place{a.Vendor, a.Number}] = a, a
	}
}

// attributeAt is the attribute of a vendor and a number, by the name Vendor-V-Attr-N or Attr-N where it has no other.
func attributeAt(vendor uint32, n byte, k kind) attribute {
	if a := attributesByPlace[place{vendor, n}]; a != nil {
		return *a
	}
	name := fmt.Sprintf("Attr-%d", n)
	if vendor != 0 {
		name = fmt.Sprintf("Vendor-%d-Attr-%d", vendor, n)
	}
	return attribute{name, vendor, n, k}
}

// The longest values: an attribute has 255 bytes with its type and length (RFC 2865, section 5), of which a vendor's
// takes six more (section 5.26).
const (
	longestValue       = 253
	longestVendorValue = 247
)

// saying puts attributes together; the first that cannot be said ends it.
type saying struct {
	attrs radius.Attributes
	err   error
}

// done is what was said, or why it could not be.
func (s *saying) done() (radius.Attributes, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.attrs, nil
}

// inOne is a change that one CoA-Request makes.
func (s *saying) inOne() ([]radius.Attributes, bool, error) {
	if s.err != nil {
		return nil, false, s.err
	}
	return []radius.Attributes{s.attrs}, true, nil
}

func (s *saying) named(name string) (a attribute) {
	if known := attributesByName[name]; known != nil {
		return *known
	}
	if s.err == nil {
		s.err = fmt.Errorf("there is no attribute %s", name)
	}
	return a
}

// text says an attribute whose value is text; of a tagged one, with tag 1.
func (s *saying) text(name, value string) {
	a := s.named(name)
	if a.Kind == tagged {
		value = "\x01" + value
	}
	s.value(a, []byte(value))
}

// number says a rate, or another count that was worked out. instead is what an operator may do about one that is too
// large, as a part of a sentence.
func (s *saying) number(name string, v uint64, instead string) {
	a := s.named(name)
	switch {
	case s.err != nil:
	case a.Kind == number64:
		s.value(a, binary.BigEndian.AppendUint64(nil, v))
	case v > math.MaxUint32:
		s.err = contracts.Invalidf("rate", "%d does not fit %s, which ends at %d: %s", v, a.Name, uint32(math.MaxUint32), instead)
	default:
		s.value(a, binary.BigEndian.AppendUint32(nil, uint32(v)))
	}
}

// value says an attribute's bytes.
func (s *saying) value(a attribute, v []byte) {
	longest := longestValue
	if a.Vendor != 0 {
		longest = longestVendorValue
	}
	shortest := 1
	if a.Kind == tagged {
		shortest = 2
	}
	switch {
	case s.err != nil:
		return
	case len(v) < shortest:
		s.err = fmt.Errorf("%s would be empty", a.Name)
		return
	case len(v) > longest:
		s.err = fmt.Errorf("%s would be %d bytes long, of at most %d", a.Name, len(v), longest)
		return
	}
	kind := radius.Type(a.Number)
	if a.Vendor != 0 {
		kind = rfc2865.VendorSpecific_Type
		head := append(binary.BigEndian.AppendUint32(nil, a.Vendor), a.Number, byte(len(v)+2))
		v = append(head, v...)
	}
	s.attrs.Add(kind, v)
}

// addressOf reads an IPv4 address in text.
func addressOf(text string) ([]byte, error) {
	ip, err := netip.ParseAddr(text)
	if err != nil || !ip.Is4() {
		return nil, fmt.Errorf("%q is not an IPv4 address", text)
	}
	return ip.AsSlice(), nil
}
