package control

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3576"
)

// request encodes a command, Message-Authenticator first. Both it and the Request Authenticator are computed over a
// packet whose authenticator is zero, in this order (RFC 5176, section 2.3; RFC 3579, section 3.2).
func request(code radius.Code, identifier byte, attrs radius.Attributes, secret []byte) ([]byte, error) {
	p := &radius.Packet{Code: code, Identifier: identifier, Secret: secret}
	p.Add(rfc2869.MessageAuthenticator_Type, make(radius.Attribute, 16))
	p.Attributes = append(p.Attributes, attrs...)
	wire, err := p.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encoding a %s: %w", code, err)
	}
	mac := hmac.New(md5.New, secret)
	mac.Write(wire)
	mac.Sum(wire[22:22:38])
	h := md5.New()
	h.Write(wire)
	h.Write(secret)
	h.Sum(wire[4:4:20])
	return wire, nil
}

// eventTimestamp is the attribute of that instant (RFC 2869, section 5.3).
func eventTimestamp(at time.Time) *radius.AVP {
	value, _ := radius.NewDate(at) // whose error is an instant before 1970 or after 2106
	return &radius.AVP{Type: rfc2869.EventTimestamp_Type, Attribute: value}
}

// reply reads an answer to the request. It is false for whatever does not prove knowledge of the secret: a wrong
// Response Authenticator, or a Message-Authenticator that is there and wrong. accel-ppp sends none.
func reply(request, b, secret []byte) (answer, bool) {
	if len(b) < 20 {
		return answer{}, false
	}
	size := int(binary.BigEndian.Uint16(b[2:4]))
	if size < 20 || size > len(b) || b[1] != request[1] {
		return answer{}, false
	}
	b = b[:size]
	h := md5.New()
	h.Write(b[:4])
	h.Write(request[4:20])
	h.Write(b[20:])
	h.Write(secret)
	if subtle.ConstantTimeCompare(h.Sum(nil), b[4:20]) != 1 {
		return answer{}, false
	}
	p, err := radius.Parse(b, secret)
	if err != nil || !signedRight(b, request, secret) {
		return answer{}, false
	}
	a := answer{}
	switch asked := radius.Code(request[0]); {
	case asked == radius.CodeCoARequest && p.Code == radius.CodeCoAACK,
		asked == radius.CodeDisconnectRequest && p.Code == radius.CodeDisconnectACK:
		a.ack = true
	case asked == radius.CodeCoARequest && p.Code == radius.CodeCoANAK,
		asked == radius.CodeDisconnectRequest && p.Code == radius.CodeDisconnectNAK:
		a.cause = int(rfc3576.ErrorCause_Get(p))
	default:
		return answer{}, false
	}
	return a, true
}

// signedRight reports whether every Message-Authenticator of a well-formed reply is right.
func signedRight(b, request, secret []byte) bool {
	for i := 20; i < len(b); i += int(b[i+1]) {
		if b[i] != byte(rfc2869.MessageAuthenticator_Type) {
			continue
		}
		if b[i+1] != 18 {
			return false
		}
		mac := hmac.New(md5.New, secret)
		mac.Write(b[:4])
		mac.Write(request[4:20])
		mac.Write(b[20 : i+2])
		mac.Write(make([]byte, 16))
		mac.Write(b[i+18:])
		if !hmac.Equal(mac.Sum(nil), b[i+2:i+18]) {
			return false
		}
	}
	return true
}
