package radius

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
)

// ask is what an Access-Request says, gathered in one pass. Its slices point into the datagram.
type ask struct {
	login          []byte
	callingStation []byte
	eap            []byte // first EAP-Message
	papPassword    []byte
	chapPassword   []byte
	chapChallenge  []byte
	msChallenge    []byte
	msResponse     []byte // version 1
	ms2Response    []byte
	msChange       []byte // wants another password, by version 1
	ms2Change      []byte // by version 2
}

func readAsk(v View) (a ask) {
	for rest := v.b[headerLen:]; len(rest) > 0; rest = rest[rest[1]:] {
		value := rest[2:rest[1]]
		switch rest[0] {
		case attrUserName:
			first(&a.login, value)
		case attrUserPassword:
			first(&a.papPassword, value)
		case attrCHAPPassword:
			first(&a.chapPassword, value)
		case attrCHAPChallenge:
			first(&a.chapChallenge, value)
		case attrCallingStation:
			first(&a.callingStation, value)
		case attrEAPMessage:
			first(&a.eap, value)
		case attrVendorSpecific:
			if len(value) >= 4 && binary.BigEndian.Uint32(value) == vendorMicrosoft {
				a.readMicrosoft(value[4:])
			}
		}
	}
	a.login = bytes.TrimSpace(a.login)
	return a
}

func (a *ask) readMicrosoft(sub []byte) {
	for len(sub) >= 2 && sub[1] >= 2 && int(sub[1]) <= len(sub) {
		switch value := sub[2:sub[1]]; sub[0] {
		case msCHAPChallenge:
			first(&a.msChallenge, value)
		case msCHAPResponse:
			first(&a.msResponse, value)
		case msCHAP2Response:
			first(&a.ms2Response, value)
		case msCHAPChange1, msCHAPChange2:
			first(&a.msChange, value)
		case msCHAP2Change:
			first(&a.ms2Change, value)
		}
		sub = sub[sub[1]:]
	}
}

// first keeps the first of several attributes of a type. An empty value is present, so it is not nil.
func first(field *[]byte, value []byte) {
	if *field == nil {
		*field = value
	}
}

// method names the way in which a login proves itself.
type method uint8

const (
	methodNone method = iota
	methodPAP
	methodCHAP
	methodMSCHAP
	methodMSCHAPv2
)

var methodNames = [...]string{"no password", "PAP", "CHAP", "MS-CHAP", "MS-CHAPv2"}

func (m method) String() string { return methodNames[m] }

// method is what the request proves itself with; a challenge-response before a password.
func (a *ask) method() method {
	switch {
	case a.ms2Response != nil && a.msChallenge != nil:
		return methodMSCHAPv2
	case a.msResponse != nil && a.msChallenge != nil:
		return methodMSCHAP
	case a.chapPassword != nil:
		return methodCHAP
	case a.papPassword != nil:
		return methodPAP
	}
	return methodNone
}

// verify checks the request's proof against a password in clear. An empty password proves nothing.
func (w *worker) verify(d *device, v View, a *ask, m method, password []byte) bool {
	if len(password) == 0 {
		return false
	}
	switch m {
	case methodPAP:
		return w.verifyPAP(d, v, a.papPassword, password)
	case methodCHAP:
		challenge := a.chapChallenge
		if challenge == nil {
			challenge = v.Authenticator()
		}
		return w.hash.verifyCHAP(challenge, a.chapPassword, password)
	case methodMSCHAP:
		return w.ms.verifyV1(w.hash, a.msChallenge, a.msResponse, password)
	case methodMSCHAPv2:
		return w.ms.verifyV2(w.hash, a.msChallenge, a.ms2Response, a.login, password)
	}
	return false
}

// verifyPAP compares a hidden User-Password (RFC 2865, section 5.2) in a time that depends on its length only.
func (h *hasher) verifyPAP(s *secret, authenticator, hidden, password []byte) bool {
	if !h.unhide(s, authenticator, hidden) || len(password) > len(h.block) {
		return false
	}
	copy(h.wanted[:], password)
	clear(h.wanted[len(password):])
	return subtle.ConstantTimeCompare(h.block[:], h.wanted[:]) == 1
}

// unhide puts the clear User-Password, padded with zeros, into block. False when its length cannot be.
func (h *hasher) unhide(s *secret, authenticator, hidden []byte) bool {
	if len(hidden) == 0 || len(hidden)%16 != 0 || len(hidden) > len(h.block) {
		return false
	}
	previous := authenticator
	for i := 0; i < len(hidden); i += 16 {
		subtle.XORBytes(h.block[i:i+16], hidden[i:i+16], h.md5Of(s.key, previous, nil))
		previous = hidden[i : i+16]
	}
	clear(h.block[len(hidden):])
	return true
}

// unprintable reports whether the password last unhidden looks like noise: the mark of a wrong shared secret.
func (h *hasher) unprintable() bool {
	for _, c := range bytes.TrimRight(h.block[:], "\x00") {
		if c < ' ' || c == 0x7f {
			return true
		}
	}
	return false
}

// verifyCHAP checks a CHAP-Password: one byte of identifier, then MD5 over it, the password and the challenge
// (RFC 2865, section 5.3; RFC 1994, section 4.1).
func (h *hasher) verifyCHAP(challenge, response, password []byte) bool {
	return len(response) == 17 && len(challenge) > 0 &&
		subtle.ConstantTimeCompare(h.md5Of(response[:1], password, challenge), response[1:]) == 1
}
