package radius

import (
	"crypto/hmac"
	"crypto/md5" // RADIUS is defined with it (RFC 2865, section 3)
	"crypto/sha1"
	"crypto/subtle"
	"encoding"
	"hash"
)

var zeros [16]byte

// secret is a device's shared secret, with the two halves of HMAC-MD5 already begun (RFC 2104, section 4): a packet then
// costs two MD5 blocks less.
type secret struct {
	key          []byte
	inner, outer []byte // marshalled MD5 states after key xor ipad, key xor opad
}

func newSecret(key []byte) secret {
	block := make([]byte, md5.BlockSize)
	if len(key) > md5.BlockSize {
		sum := md5.Sum(key)
		copy(block, sum[:])
	} else {
		copy(block, key)
	}
	begun := func(pad byte) []byte {
		h := md5.New()
		for _, b := range block {
			h.Write([]byte{b ^ pad})
		}
		state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			panic(err) // crypto/md5 documents that it marshals
		}
		return state
	}
	return secret{key: append([]byte(nil), key...), inner: begun(0x36), outer: begun(0x5c)}
}

// hasher is one worker's hash functions and scratch space. Not for concurrent use.
type hasher struct {
	md5   hash.Hash
	state encoding.BinaryUnmarshaler // md5, seen as what can resume
	text  []byte                     // what is hashed at once
	sum   [sha1.Size]byte
	block [128]byte // User-Password in clear, padded with zeros

	wanted [128]byte // what it should be
}

func newHasher() *hasher {
	h := &hasher{md5: md5.New()}
	h.state = h.md5.(encoding.BinaryUnmarshaler)
	return h
}

// md5Of hashes the parts one after another. The result is valid until the next call of any method.
func (h *hasher) md5Of(a, b, c []byte) []byte {
	h.text = append(append(append(h.text[:0], a...), b...), c...)
	sum := md5.Sum(h.text)
	return append(h.sum[:0], sum[:]...)
}

func (h *hasher) resume(state []byte) {
	if err := h.state.UnmarshalBinary(state); err != nil {
		panic(err) // the state is one that this program marshalled
	}
}

// messageAuthenticator is HMAC-MD5 over the packet with an authenticator in its place and zeros where the attribute's
// value at offset `at` is (RFC 3579, section 3.2).
func (h *hasher) messageAuthenticator(s *secret, packet, authenticator []byte, at int) []byte {
	h.resume(s.inner)
	h.md5.Write(packet[:4])
	h.md5.Write(authenticator)
	h.md5.Write(packet[headerLen:at])
	h.md5.Write(zeros[:])
	h.md5.Write(packet[at+16:])
	inner := h.md5.Sum(h.sum[:0])
	h.resume(s.outer)
	h.md5.Write(inner)
	return h.md5.Sum(h.sum[:0])
}

// maState is what a request's Message-Authenticator says about it.
type maState uint8

const (
	maAbsent maState = iota
	maValid
	maWrong // does not verify, is malformed or occurs twice
)

// checkMA verifies a request's Message-Authenticator. The authenticator is the packet's own for Access-Request and
// Status-Server, zeros for Accounting-Request.
func (h *hasher) checkMA(s *secret, v View, authenticator []byte) maState {
	at := 0
	for i := headerLen; i < len(v.b); i += int(v.b[i+1]) {
		if v.b[i] != attrMessageAuthenticator {
			continue
		}
		if at != 0 || v.b[i+1] != 18 {
			return maWrong
		}
		at = i + 2
	}
	if at == 0 {
		return maAbsent
	}
	if !hmac.Equal(h.messageAuthenticator(s, v.b, authenticator, at), v.b[at:at+16]) {
		return maWrong
	}
	return maValid
}

// checkAccounting verifies the authenticator of an Accounting-Request (RFC 2866, section 3).
func (h *hasher) checkAccounting(s *secret, v View) bool {
	h.md5.Reset()
	h.md5.Write(v.b[:4])
	h.md5.Write(zeros[:])
	h.md5.Write(v.b[headerLen:])
	h.md5.Write(s.key)
	return subtle.ConstantTimeCompare(h.md5.Sum(h.sum[:0]), v.Authenticator()) == 1
}

// appendMA appends a Message-Authenticator that seal fills in. First in a reply, it keeps whoever can alter the reply
// from choosing a prefix of what is hashed (CVE-2024-3596).
func appendMA(dst []byte) []byte {
	return append(append(dst, attrMessageAuthenticator, 18), zeros[:]...)
}

// seal finishes a reply to a request with the given authenticator: length, Message-Authenticator when it is the first
// attribute, response authenticator (RFC 2865, section 3). ok is false when the reply is too long to exist.
func (h *hasher) seal(s *secret, b, requestAuthenticator []byte) (ok bool) {
	if !endPacket(b) {
		return false
	}
	copy(b[4:headerLen], requestAuthenticator)
	if len(b) >= headerLen+18 && b[headerLen] == attrMessageAuthenticator {
		at := headerLen + 2
		copy(b[at:at+16], h.messageAuthenticator(s, b, b[4:headerLen], at))
	}
	copy(b[4:headerLen], h.md5Of(b, s.key, nil))
	return true
}
