package main

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // RADIUS is defined with MD5 (RFC 2865, section 3)
	"crypto/subtle"
	"encoding/binary"
	"hash"
)

// Packet codes and attribute types (RFC 2865, 2866, 2869).
const (
	codeAccessRequest      = 1
	codeAccessAccept       = 2
	codeAccessReject       = 3
	codeAccountingRequest  = 4
	codeAccountingResponse = 5
	codeStatusServer       = 12

	attrUserName             = 1
	attrUserPassword         = 2
	attrCHAPPassword         = 3
	attrNASIPAddress         = 4
	attrNASPort              = 5
	attrServiceType          = 6
	attrFramedProtocol       = 7
	attrFramedIPAddress      = 8
	attrClass                = 25
	attrVendorSpecific       = 26
	attrCalledStation        = 30
	attrCallingStation       = 31
	attrNASIdentifier        = 32
	attrAcctStatusType       = 40
	attrAcctDelayTime        = 41
	attrAcctInputOctets      = 42
	attrAcctOutputOctets     = 43
	attrAcctSessionID        = 44
	attrAcctAuthentic        = 45
	attrAcctSessionTime      = 46
	attrAcctTerminateCause   = 49
	attrAcctInputGigawords   = 52
	attrAcctOutputGigawords  = 53
	attrEventTimestamp       = 55
	attrCHAPChallenge        = 60
	attrNASPortType          = 61
	attrMessageAuthenticator = 80
	attrNASPortID            = 87

	vendorMicrosoft = 311

	headerLen = 20
	maxPacket = 4096
	maHeld    = headerLen + 2 // where the value of a Message-Authenticator lies that is the first attribute
)

var zeros [16]byte

// codec builds requests and verifies replies under one shared secret. Not for concurrent use.
type codec struct {
	secret []byte
	bare   bool // replies to an Access-Request need no Message-Authenticator
	md5    hash.Hash
	mac    hash.Hash
	sum    [md5.Size]byte
}

func newCodec(secret []byte) *codec {
	return &codec{secret: secret, md5: md5.New(), mac: hmac.New(md5.New, secret)}
}

func begin(dst []byte, code, identifier byte) []byte {
	var h [headerLen]byte
	h[0], h[1] = code, identifier
	return append(dst[:0], h[:]...)
}

func addBytes(dst []byte, t byte, value []byte) []byte {
	return append(append(dst, t, byte(len(value)+2)), value...)
}

func addString(dst []byte, t byte, value string) []byte {
	return append(append(dst, t, byte(len(value)+2)), value...)
}

func addUint32(dst []byte, t byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, t, 6), n)
}

// addMicrosoft adds a vendor attribute of Microsoft's (RFC 2548).
func addMicrosoft(dst []byte, t byte, value []byte) []byte {
	dst = append(dst, attrVendorSpecific, byte(len(value)+8))
	dst = binary.BigEndian.AppendUint32(dst, vendorMicrosoft)
	return addBytes(dst, t, value)
}

// addHidden adds a User-Password hidden under the packet's authenticator (RFC 2865, section 5.2).
func (c *codec) addHidden(dst []byte, password string) []byte {
	n := max(16, (len(password)+15)&^15)
	dst = append(dst, attrUserPassword, byte(n+2))
	at := len(dst)
	dst = append(dst, password...)
	for len(dst) < at+n {
		dst = append(dst, 0)
	}
	previous := dst[4:headerLen]
	for i := at; i < at+n; i += 16 {
		c.md5.Reset()
		c.md5.Write(c.secret)
		c.md5.Write(previous)
		subtle.XORBytes(dst[i:i+16], dst[i:i+16], c.md5.Sum(c.sum[:0]))
		previous = dst[i : i+16]
	}
	return dst
}

// sign finishes a request whose first attribute is a Message-Authenticator of zeros (RFC 3579, section 3.2).
func (c *codec) sign(b []byte) {
	binary.BigEndian.PutUint16(b[2:4], uint16(len(b)))
	c.mac.Reset()
	c.mac.Write(b)
	c.mac.Sum(b[maHeld:maHeld])
}

// signAccounting finishes an Accounting-Request (RFC 2866, section 3).
func (c *codec) signAccounting(b []byte) {
	binary.BigEndian.PutUint16(b[2:4], uint16(len(b)))
	clear(b[4:headerLen])
	c.md5.Reset()
	c.md5.Write(b)
	c.md5.Write(c.secret)
	c.md5.Sum(b[4:4])
}

// replyProblem says what is wrong with the authenticators of a reply to a request; "" for nothing. Replies to an
// Access-Request must have a Message-Authenticator unless the codec is bare.
func (c *codec) replyProblem(request, reply []byte) string {
	if len(reply) < headerLen || int(binary.BigEndian.Uint16(reply[2:4])) != len(reply) {
		return "its length is wrong"
	}
	c.md5.Reset()
	c.md5.Write(reply[:4])
	c.md5.Write(request[4:headerLen])
	c.md5.Write(reply[headerLen:])
	c.md5.Write(c.secret)
	if subtle.ConstantTimeCompare(c.md5.Sum(c.sum[:0]), reply[4:headerLen]) != 1 {
		return "its response authenticator does not verify"
	}
	at := attributeAt(reply, attrMessageAuthenticator, 18)
	if at == 0 {
		if c.bare || request[0] == codeAccountingRequest {
			return ""
		}
		return "it has no Message-Authenticator"
	}
	c.mac.Reset()
	c.mac.Write(reply[:4])
	c.mac.Write(request[4:headerLen])
	c.mac.Write(reply[headerLen:at])
	c.mac.Write(zeros[:])
	c.mac.Write(reply[at+16:])
	if !hmac.Equal(c.mac.Sum(c.sum[:0]), reply[at:at+16]) {
		return "its Message-Authenticator does not verify"
	}
	return ""
}

// attributeAt is where the value of the first attribute of a type lies, which must have the whole length given unless
// that is 0; 0 when there is none, or before what is malformed.
func attributeAt(b []byte, t, length byte) int {
	for i := headerLen; i+2 <= len(b) && b[i+1] >= 2 && i+int(b[i+1]) <= len(b); i += int(b[i+1]) {
		if b[i] == t && (length == 0 || b[i+1] == length) {
			return i + 2
		}
	}
	return 0
}
