package radius

import (
	"encoding/binary"
	"errors"
)

// Packet codes (RFC 2865, section 3; RFC 2866, section 3; RFC 5997).
const (
	CodeAccessRequest      = 1
	CodeAccessAccept       = 2
	CodeAccessReject       = 3
	CodeAccountingRequest  = 4
	CodeAccountingResponse = 5
	CodeAccessChallenge    = 11
	CodeStatusServer       = 12
)

// Attribute types read or written by the door itself (RFC 2865, 2866, 2869).
const (
	attrUserName             = 1
	attrUserPassword         = 2
	attrCHAPPassword         = 3
	attrClass                = 25
	attrVendorSpecific       = 26
	attrSessionTimeout       = 27
	attrCallingStation       = 31
	attrNASIdentifier        = 32
	attrProxyState           = 33
	attrCHAPChallenge        = 60
	attrEAPMessage           = 79
	attrMessageAuthenticator = 80
	attrAcctInterimInterval  = 85
)

const (
	headerLen = 20
	maxPacket = 4096 // RFC 2865, section 3
	maxValue  = 253
)

// Why a datagram is no RADIUS packet.
var (
	ErrShort     = errors.New("radius: shorter than a packet header")
	ErrLength    = errors.New("radius: length field out of range or beyond the datagram")
	ErrAttribute = errors.New("radius: attributes do not fill the packet exactly")
)

// View reads a packet in place. It is valid as long as the bytes it was made from; so are the slices it returns.
type View struct{ b []byte }

// ParseView checks the framing of a datagram: a length of 20 to 4096, bytes after it ignored as padding, every attribute
// at least two bytes long and the last one ending where the packet ends (RFC 2865, sections 3 and 5). It says nothing
// about authenticity.
func ParseView(datagram []byte) (View, error) {
	if len(datagram) < headerLen {
		return View{}, ErrShort
	}
	n := int(binary.BigEndian.Uint16(datagram[2:4]))
	if n < headerLen || n > maxPacket || n > len(datagram) {
		return View{}, ErrLength
	}
	b := datagram[:n:n]
	for rest := b[headerLen:]; len(rest) > 0; {
		if len(rest) < 2 || rest[1] < 2 || int(rest[1]) > len(rest) {
			return View{}, ErrAttribute
		}
		rest = rest[rest[1]:]
	}
	return View{b}, nil
}

// Code is the packet's code.
func (v View) Code() byte { return v.b[0] }

// Identifier pairs a reply with its request.
func (v View) Identifier() byte { return v.b[1] }

// Authenticator is the 16-byte authenticator field.
func (v View) Authenticator() []byte { return v.b[4:20] }

// Raw is the packet without padding.
func (v View) Raw() []byte { return v.b }

// Get is the value of the first attribute of type t.
func (v View) Get(t byte) ([]byte, bool) {
	for rest := v.b[headerLen:]; len(rest) > 0; rest = rest[rest[1]:] {
		if rest[0] == t {
			return rest[2:rest[1]:rest[1]], true
		}
	}
	return nil, false
}

// Each calls f for every attribute in order until f returns false.
func (v View) Each(f func(t byte, value []byte) bool) {
	for rest := v.b[headerLen:]; len(rest) > 0; rest = rest[rest[1]:] {
		if !f(rest[0], rest[2:rest[1]:rest[1]]) {
			return
		}
	}
}

// Vendor is the value of the first vendor attribute t of a vendor, in the format that RFC 2865, section 5.26 recommends
// (one byte of type, one of length). A malformed Vendor-Specific is passed over.
func (v View) Vendor(vendor uint32, t byte) ([]byte, bool) {
	for rest := v.b[headerLen:]; len(rest) > 0; rest = rest[rest[1]:] {
		if rest[0] != attrVendorSpecific || rest[1] < 2+4+2 || binary.BigEndian.Uint32(rest[2:6]) != vendor {
			continue
		}
		for sub := rest[6:rest[1]]; len(sub) >= 2 && sub[1] >= 2 && int(sub[1]) <= len(sub); sub = sub[sub[1]:] {
			if sub[0] == t {
				return sub[2:sub[1]:sub[1]], true
			}
		}
	}
	return nil, false
}

// beginPacket starts a packet in dst[:0] with an authenticator of zeros and no attributes.
func beginPacket(dst []byte, code, identifier byte) []byte {
	var h [headerLen]byte
	h[0], h[1] = code, identifier
	return append(dst[:0], h[:]...)
}

// appendAttr appends an attribute. A value of more than 253 bytes becomes several attributes of the same type, as
// RFC 3579, section 3.1 has it for EAP-Message.
func appendAttr(dst []byte, t byte, value []byte) []byte {
	for len(value) > maxValue {
		dst = append(append(dst, t, maxValue+2), value[:maxValue]...)
		value = value[maxValue:]
	}
	return append(append(dst, t, byte(len(value)+2)), value...)
}

// appendUint32 appends an attribute of type integer.
func appendUint32(dst []byte, t byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, t, 6), n)
}

// appendVendor appends a Vendor-Specific attribute that holds one vendor attribute of at most 247 bytes.
func appendVendor(dst []byte, vendor uint32, t byte, value []byte) []byte {
	dst = append(dst, attrVendorSpecific, byte(len(value)+8))
	dst = binary.BigEndian.AppendUint32(dst, vendor)
	return append(append(dst, t, byte(len(value)+2)), value...)
}

// appendProxyStates copies the request's Proxy-State attributes, in order and unchanged (RFC 2865, section 5.33).
func appendProxyStates(dst []byte, request View) []byte {
	for rest := request.b[headerLen:]; len(rest) > 0; rest = rest[rest[1]:] {
		if rest[0] == attrProxyState {
			dst = append(dst, rest[:rest[1]]...)
		}
	}
	return dst
}

// endPacket writes the length field; ok is false when the packet has grown beyond what RADIUS can carry.
func endPacket(b []byte) (ok bool) {
	binary.BigEndian.PutUint16(b[2:4], uint16(len(b)))
	return len(b) <= maxPacket
}
