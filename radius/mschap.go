package radius

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"unicode/utf16"
	"unicode/utf8"
)

// vendorMicrosoft and its attributes: RFC 2548.
const (
	vendorMicrosoft = 311

	msCHAPResponse     = 1
	msCHAPError        = 2
	msCHAPChange1      = 3 // MS-CHAP-CPW-1
	msCHAPChange2      = 4 // MS-CHAP-CPW-2
	msEncryptionPolicy = 7
	msEncryptionTypes  = 8
	msCHAPChallenge    = 11
	msCHAPMPPEKeys     = 12
	msSendKey          = 16
	msRecvKey          = 17
	msCHAP2Response    = 25
	msCHAP2Success     = 26
	msCHAP2Change      = 27 // MS-CHAP2-CPW
)

// Constants of RFC 2759, section 8.7, and RFC 3079, section 3.4.
var (
	signServer   = []byte("Magic server to client signing constant")
	signPad      = []byte("Pad to make it do more than one iteration")
	mppeMaster   = []byte("This is the MPPE Master Key")
	mppeToServer = []byte("On the client side, this is the send key; on the server side, it is the receive key.")
	mppeToClient = []byte("On the client side, this is the receive key; on the server side, it is the send key.")
	mppePad1     [40]byte
	mppePad2     = [40]byte(bytes.Repeat([]byte{0xf2}, 40))
)

// maxNTPassword is the longest password of MS-CHAP, in UTF-16 units (RFC 2759, section 8.1).
const maxNTPassword = 256

// mschap is what a verified MS-CHAP exchange leaves for the reply. Scratch space of one worker.
type mschap struct {
	version    byte // 1 or 2; 0 when the request is not MS-CHAP
	ident      byte
	hash       [21]byte // NT hash, padded for DES
	hashHash   [16]byte
	challenge  [8]byte
	expect     [24]byte
	success    [42]byte // "S=" and 40 hexadecimal digits
	master     [16]byte
	send, recv [16]byte
	mix        [32]byte
	salts      [4]byte
	wide       [2*maxNTPassword + md4Padding]byte
}

// ntHash fills hash and hashHash from a password in UTF-8. False for a password longer than MS-CHAP can have.
func (m *mschap) ntHash(password []byte) bool {
	n := 0
	for len(password) > 0 {
		r, size := utf8.DecodeRune(password)
		password = password[size:]
		units := [2]rune{r, 0}
		count := 1
		if hi, lo := utf16.EncodeRune(r); hi != utf8.RuneError {
			units, count = [2]rune{hi, lo}, 2
		}
		for _, u := range units[:count] {
			if n == 2*maxNTPassword {
				return false
			}
			m.wide[n], m.wide[n+1] = byte(u), byte(u>>8)
			n += 2
		}
	}
	hash := md4Of(m.wide[:], n)
	copy(m.hash[:], hash[:])
	copy(m.wide[:], hash[:])
	m.hashHash = md4Of(m.wide[:], len(hash))
	return true
}

// desResponse fills expect from challenge and hash (RFC 2759, section 8.5).
func (m *mschap) desResponse() { desThree(&m.expect, &m.hash, &m.challenge) }

// verifyV1 checks an MS-CHAP-Response with an NT response (RFC 2548, section 2.1.3; RFC 2433). The LAN Manager response
// alone is refused.
func (m *mschap) verifyV1(h *hasher, challenge, response, password []byte) bool {
	if len(challenge) != 8 || len(response) != 50 || response[1]&1 == 0 || !m.ntHash(password) {
		return false
	}
	copy(m.challenge[:], challenge)
	m.desResponse()
	return subtle.ConstantTimeCompare(m.expect[:], response[26:50]) == 1
}

// verifyV2 checks an MS-CHAP2-Response and works out the success message and both MPPE keys (RFC 2759, sections 8.1 to
// 8.7; RFC 3079, section 3).
func (m *mschap) verifyV2(h *hasher, challenge, response, user, password []byte) bool {
	if len(challenge) != 16 || len(response) != 50 || !m.ntHash(password) {
		return false
	}
	peer, ntResponse := response[2:18], response[26:50]
	if !m.matchesV2(h, peer, challenge, user, ntResponse) {
		// The user's name is hashed without its domain; some peers hash it with.
		i := bytes.LastIndexByte(user, '\\')
		if i < 0 || !m.matchesV2(h, peer, challenge, user[i+1:], ntResponse) {
			return false
		}
	}
	copy(m.mix[:20], h.sha1Of(m.hashHash[:], ntResponse, signServer, nil))
	copy(m.success[:], "S=")
	for i, c := range h.sha1Of(m.mix[:20], m.challenge[:], signPad, nil) {
		m.success[2+2*i], m.success[3+2*i] = upperHex[c>>4], upperHex[c&15]
	}
	copy(m.master[:], h.sha1Of(m.hashHash[:], ntResponse, mppeMaster, nil))
	copy(m.send[:], h.sha1Of(m.master[:], mppePad1[:], mppeToClient, mppePad2[:]))
	copy(m.recv[:], h.sha1Of(m.master[:], mppePad1[:], mppeToServer, mppePad2[:]))
	return true
}

func (m *mschap) matchesV2(h *hasher, peer, challenge, user, ntResponse []byte) bool {
	copy(m.challenge[:], h.sha1Of(peer, challenge, user, nil))
	m.desResponse()
	return subtle.ConstantTimeCompare(m.expect[:], ntResponse) == 1
}

const upperHex = "0123456789ABCDEF"

// sha1Of hashes the parts one after another. The result is valid until the next call of any method.
func (h *hasher) sha1Of(a, b, c, d []byte) []byte {
	h.text = append(append(append(append(h.text[:0], a...), b...), c...), d...)
	h.sum = sha1.Sum(h.text)
	return h.sum[:]
}

// appendSuccess appends what an Access-Accept carries after MS-CHAP: proof that the server knows the password (version
// 2), and the keys with which PPP may encrypt, allowed and not required (RFC 2548, sections 2.3.3 and 2.4).
func (m *mschap) appendSuccess(dst []byte, h *hasher, s *secret, requestAuthenticator []byte) []byte {
	if m.version == 2 {
		dst = appendVendor(dst, vendorMicrosoft, msCHAP2Success, nil)
		dst[len(dst)-7] += 43 // grow both lengths: the identifier stands before the text
		dst[len(dst)-1] += 43
		dst = append(append(dst, m.ident), m.success[:]...)
		rand.Read(m.salts[:])
		m.salts[1], m.salts[3] = m.salts[1]&^1, m.salts[3]|1 // the two salts of a packet differ
		dst = m.appendKey(dst, h, s, requestAuthenticator, msSendKey, m.salts[:2], m.send[:])
		dst = m.appendKey(dst, h, s, requestAuthenticator, msRecvKey, m.salts[2:], m.recv[:])
	} else {
		dst = m.appendKeysV1(dst, h, s, requestAuthenticator)
	}
	dst = appendVendor(dst, vendorMicrosoft, msEncryptionPolicy, []byte{0, 0, 0, 1})
	return appendVendor(dst, vendorMicrosoft, msEncryptionTypes, []byte{0, 0, 0, 6})
}

// appendKey hides a 16-byte key under a salt of its own (RFC 2548, section 2.4.2).
func (m *mschap) appendKey(dst []byte, h *hasher, s *secret, requestAuthenticator []byte, t byte, salt, key []byte) []byte {
	salt[0] |= 0x80
	dst = appendVendor(dst, vendorMicrosoft, t, salt)
	dst[len(dst)-9] += 32
	dst[len(dst)-3] += 32
	m.mix = [32]byte{0: byte(len(key))}
	copy(m.mix[1:], key)
	xor(m.mix[:16], h.md5Of(s.key, requestAuthenticator, salt))
	xor(m.mix[16:], h.md5Of(s.key, m.mix[:16], nil))
	return append(dst, m.mix[:]...)
}

// appendKeysV1 hides the keys of version 1 like a User-Password (RFC 2548, section 2.4.1). The LAN Manager key is left
// at zero; the NT key is the hash of the hash, as every implementation has it.
func (m *mschap) appendKeysV1(dst []byte, h *hasher, s *secret, requestAuthenticator []byte) []byte {
	m.mix = [32]byte{}
	copy(m.mix[8:], m.hashHash[:])
	xor(m.mix[:16], h.md5Of(s.key, requestAuthenticator, nil))
	xor(m.mix[16:], h.md5Of(s.key, m.mix[:16], nil))
	return appendVendor(dst, vendorMicrosoft, msCHAPMPPEKeys, m.mix[:])
}

// appendError appends MS-CHAP-Error, without a retry (RFC 2759, section 6). The code is that of a failed authentication
// whatever the reason, which is not the subscriber's to read; only one who wants another password is told that he cannot
// have it in this way (ERROR_CHANGING_PASSWORD).
func (m *mschap) appendError(dst []byte, change bool) []byte {
	n := 16
	if m.version == 1 {
		n = 8
	}
	rand.Read(m.mix[:n])
	text := append(make([]byte, 0, 96), m.ident)
	code, message := "E=691 R=0 C=", "Authentication failed"
	if change {
		code, message = "E=709 R=0 C=", "The password cannot be changed here"
	}
	text = append(text, code...)
	for _, c := range m.mix[:n] {
		text = append(text, upperHex[c>>4], upperHex[c&15])
	}
	if m.version == 1 {
		text = append(text, " V=2"...)
	} else {
		text = append(append(text, " V=3 M="...), message...)
	}
	return appendVendor(dst, vendorMicrosoft, msCHAPError, text)
}

func xor(dst, with []byte) { subtle.XORBytes(dst, dst, with) }
