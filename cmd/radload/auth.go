package main

import (
	"crypto/md5" //nolint:gosec // CHAP is defined with MD5 (RFC 1994)
	"fmt"
	"slices"

	"layeh.com/radius/rfc2759"
)

// Ways in which a login proves itself.
const (
	methodPAP      = "pap"
	methodCHAP     = "chap"
	methodMSCHAPv2 = "mschapv2"
)

// authLoad asks for logins. All requests are made beforehand, so that the crowd costs little while it asks.
type authLoad struct {
	codec  *codec
	people *people
	rounds int // each subscriber is asked for so often; 0: without end
	check  bool
	judged uint64
	result *result
	slots  []authSlot // by slot.local
	bytes  []byte     // all requests, one after the other
	ends   []uint32
}

// authSlot is a slot's requests; they are asked in a circle.
type authSlot struct {
	share        share
	first, count int // in ends
}

func newAuthLoad(c crowd, p *people, secret, method string, rounds int, slots []*slot, r *result) *authLoad {
	a := &authLoad{codec: c.codec(secret), people: p, rounds: rounds, check: c.check, result: r, slots: make([]authSlot, len(slots))}
	all := c.sockets * c.window
	buf := make([]byte, 0, maxPacket)
	for _, s := range slots {
		own := &a.slots[s.local]
		own.share, own.first = p.shareOf(s, all), len(a.ends)
		if own.share.size == 0 {
			continue
		}
		// Two different requests for each identifier at least: a server takes the same one again for a retransmission.
		least := 2 * (256 / c.window)
		own.count = own.share.size * ((least + own.share.size - 1) / own.share.size)
		for i := range own.count {
			n := own.share.at(i % own.share.size)
			buf = a.request(buf, s.identifier(c.window), n, uint64(s.number)<<32|uint64(i), method)
			a.bytes = append(a.bytes, buf...)
			a.ends = append(a.ends, uint32(len(a.bytes)))
		}
	}
	a.bytes = slices.Clip(a.bytes)
	return a
}

func (a *authLoad) request(b []byte, identifier byte, n int, nonce uint64, method string) []byte {
	p := a.people
	b = begin(b, codeAccessRequest, identifier)
	p.fill(b[4:headerLen], nonce)
	b = addBytes(b, attrMessageAuthenticator, zeros[:])
	b = addString(b, attrUserName, p.logins[n])
	b = addLine(b, n)
	switch method {
	case methodPAP:
		b = a.codec.addHidden(b, p.passwords[n])
	case methodCHAP:
		ident, challenge := byte(nonce), b[4:headerLen]
		sum := md5.Sum(append(append([]byte{ident}, p.passwords[n]...), challenge...))
		b = addBytes(b, attrCHAPChallenge, challenge)
		b = addBytes(b, attrCHAPPassword, append([]byte{ident}, sum[:]...))
	case methodMSCHAPv2:
		b = addMSCHAPv2(b, p, n, nonce)
	}
	a.codec.sign(b)
	return b
}

// addMSCHAPv2 adds MS-CHAP-Challenge and MS-CHAP2-Response (RFC 2548, sections 2.1.2 and 2.3.2).
func addMSCHAPv2(b []byte, p *people, n int, nonce uint64) []byte {
	var challenge [16]byte
	var response [50]byte // identifier, flags, peer challenge, 8 reserved, NT response
	p.fill(challenge[:], ^nonce)
	p.fill(response[2:18], nonce^1<<63)
	nt, err := rfc2759.GenerateNTResponse(challenge[:], response[2:18], []byte(p.logins[n]), []byte(p.passwords[n]))
	if err != nil {
		panic(fmt.Sprintf("radload: the password pattern is not text: %v", err)) // newPeople made it of text
	}
	copy(response[26:], nt)
	return addMicrosoft(addMicrosoft(b, 11, challenge[:]), 25, response[:])
}

// next implements load.
func (a *authLoad) next(s *slot) bool {
	own := &a.slots[s.local]
	if own.count == 0 || a.rounds > 0 && s.turn >= a.rounds*own.share.size {
		return false
	}
	a.take(s, s.turn)
	s.turn++
	return true
}

// take puts the slot's request of a turn in place and returns whose it is.
func (a *authLoad) take(s *slot, turn int) (subscriber int) {
	own := &a.slots[s.local]
	i := turn % own.count
	at, start := own.first+i, uint32(0)
	if at > 0 {
		start = a.ends[at-1]
	}
	s.request, s.port = a.bytes[start:a.ends[at]], portAuth
	return own.share.at(i % own.share.size)
}

// judge implements load.
func (a *authLoad) judge(s *slot, reply []byte) (verdict, bool) {
	v := a.verdict(s, reply)
	if v == accepted && a.people.classes != nil {
		own := &a.slots[s.local]
		a.people.classes[own.share.at((s.turn-1)%own.share.size)] = classOf(reply)
	}
	return v, false
}

func (a *authLoad) verdict(s *slot, reply []byte) verdict {
	var v verdict
	switch reply[0] {
	case codeAccessAccept:
		v = accepted
	case codeAccessReject:
		v = rejected
	default:
		a.result.blame(fmt.Sprintf("code %d in reply to an Access-Request", reply[0]))
		return wrong
	}
	return verified(a.codec, a.result, s, reply, &a.judged, a.check, v)
}

// verified looks at the authenticators of every reply, or of one in sampleEvery.
func verified(c *codec, r *result, s *slot, reply []byte, judged *uint64, every bool, v verdict) verdict {
	*judged++
	if every || *judged%sampleEvery == 1 {
		if problem := c.replyProblem(s.request, reply); problem != "" {
			r.blame(fmt.Sprintf("a reply of code %d: %s", reply[0], problem))
			return wrong
		}
	}
	return v
}

func (r *result) blame(problem string) {
	if r.problem == "" {
		r.problem = problem
	}
}

// lost implements load.
func (a *authLoad) lost(*slot) {}

func classOf(reply []byte) []byte {
	at := attributeAt(reply, attrClass, 0)
	if at == 0 {
		return nil
	}
	return slices.Clone(reply[at : at+int(reply[at-1])-2])
}
