package radius

import (
	"bytes"

	"enlace/contracts"
)

// identify finds the access that a request is for and checks what it proves itself with; nil with the reason of a
// refusal. User-Name is looked up first, byte for byte. Where it names no login, the line that the request comes from
// may belong to an access without a password (Directory.recognise).
func (w *worker) identify(d *device, v View, a *ask, m method) (s *Subscriber, why Reason, detail string) {
	s = w.door.directory.Lookup(a.login)
	if s == nil && w.door.directory.marked.Load() > 0 {
		w.bearing.read(v, a.login)
		s = w.door.directory.recognise(&w.bearing, d.ID)
	} else if s != nil && s.Line != nil {
		w.bearing.read(v, a.login)
	}
	if s != nil && s.Line != nil && s.Line.NoPassword {
		if !w.wellKnown(d, v, a, m, s) {
			return nil, BadPassword, "the access needs no password, and what was sent is none of those that are let pass: " +
				"nothing, User-Name, the MAC address, the access's own or the shared one"
		}
		return s, 0, ""
	}
	switch {
	case m == methodNone:
		return nil, NoCredentials, "the request has neither a password nor a CHAP response" + w.noLine(s)
	case s == nil:
		return nil, UserUnknown, "no access has this login" + w.noLine(s)
	case !w.verify(d, v, a, m, s.Password):
		return nil, BadPassword, w.whyBadPassword(m, s)
	}
	return s, 0, ""
}

// noLine ends a sentence where the line that a request comes from was looked up in vain.
func (w *worker) noLine(s *Subscriber) string {
	if s == nil && w.door.directory.marked.Load() > 0 {
		return ", and no access without a password belongs to the line it comes from"
	}
	return ""
}

// wellKnown lets pass what access servers send for subscribers who have no password: nothing, an empty password,
// User-Name, the MAC address in any notation, the provider's shared one. An access may also have a password of its own.
func (w *worker) wellKnown(d *device, v View, a *ask, m method, s *Subscriber) bool {
	shared := w.door.sharedPassword
	switch {
	case m == methodNone || m == methodPAP && len(a.papPassword) == 0:
		return true
	case w.verify(d, v, a, m, s.Password) || w.verify(d, v, a, m, shared) || w.verify(d, v, a, m, a.login):
		return true
	case m == methodCHAP:
		challenge := a.chapChallenge
		if challenge == nil {
			challenge = v.Authenticator()
		}
		return w.hash.verifyCHAP(challenge, a.chapPassword, nil)
	case m == methodPAP:
		if !w.hash.unhide(&d.secret, v.Authenticator(), a.papPassword) {
			return false
		}
		clear := bytes.TrimRight(w.hash.block[:], "\x00")
		mac, ok := contracts.ParseMAC(clear)
		return len(clear) == 0 || ok && mac == w.bearing.device(true)
	}
	return false
}

// learn gives an access's bindings the values of this login, its first; it says what does not match when another login
// was first.
func (w *worker) learn(d *device, s *Subscriber, p *packet) (mismatch string) {
	line := w.door.directory.learning.learn(s, contracts.Learned{At: p.now, MAC: w.bearing.device(s.Line.NoPassword),
		Device: int64(d.ID), Port: contracts.Octets(w.bearing.port)})
	return w.bearing.mismatch(line, d.ID)
}
