package control

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"enlace/contracts"
	"enlace/nas"
)

// Examiner asks a device what it does with commands, from a socket of its own on this host, so that replies are heard
// wherever they come from. It changes nothing: it names a session that cannot exist, and tells one that does, which it has
// borrowed from the Reconciler, what it has already.
type Examiner struct {
	Dialects *nas.Dialects
	Retry    []time.Duration // how long each attempt is waited for; not empty
	// Ports are tried beside the device's own when that is silent; nil: 3799 (RFC 5176) and 1700, which older RouterOS and
	// Cisco use.
	Ports []uint16
}

// Patient is an open session on which it is tried what its device makes of a CoA-Request that changes nothing.
type Patient struct {
	Session nas.Session
	Has     nas.Service // what is applied
	Alone   bool        // no other session of its device has its login
	Until   time.Time   // real clock: nothing is sent to it after this; zero: no bound
}

// Examine asks the device. heard says that requests of it were verified, with the secret that it has. patient, which is called once
// the device has answered, may be or give nil: then nothing is tried on a session. silent reports that the device does not answer, unsure that a change of several steps was
// left half-way, so that it is no longer known what the session has. The error is ctx's or the system's.
func (e *Examiner) Examine(ctx context.Context, dev *nas.Device, heard bool, patient func() *Patient) (found []nas.Finding, silent, unsure bool, err error) {
	if !dev.CoA.IsValid() {
		return []nas.Finding{finding(nas.CheckReach, nas.Noted, "unset", "")}, true, false, nil
	}
	ghost := e.ghost(dev)
	r, err := e.ask(ctx, dev.CoA, ghost, dev.Secret, e.Retry)
	if err != nil {
		return nil, false, false, err
	}
	if !r.answered {
		reach, err := e.silence(ctx, dev, ghost, heard, r)
		return []nas.Finding{reach}, true, false, err
	}
	found = append(found, finding(nas.CheckReach, nas.Good, "answers", dev.CoA.String()), signs(r), e.unknown(r))
	if from := netip.AddrPortFrom(r.from.Addr().Unmap(), r.from.Port()); from == dev.CoA {
		found = append(found, finding(nas.CheckFrom, nas.Good, "same", ""))
	} else {
		found = append(found, finding(nas.CheckFrom, nas.Bad, "other", from.String()))
	}
	if patient == nil {
		return found, false, false, nil
	}
	p := patient()
	if p == nil {
		return found, false, false, nil
	}
	if !p.Until.IsZero() {
		bounded, cancel := context.WithDeadline(ctx, p.Until)
		defer cancel()
		ctx = bounded
	}
	more, unsure, err := e.trySession(ctx, dev, p, r.ack)
	return append(found, more...), false, unsure, err
}

func finding(check nas.Check, result nas.Result, form nas.Form, value string) nas.Finding {
	return nas.Finding{Check: check, Result: result, Form: form, Facts: []nas.Fact{{Form: form, Value: value}}}
}

// ghost names a session that no device has.
func (e *Examiner) ghost(dev *nas.Device) radius.Attributes {
	var b [8]byte
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	name := "enlace-probe-" + hex.EncodeToString(b[:])
	p := &radius.Packet{}
	p.Add(rfc2865.UserName_Type, radius.Attribute(name))
	p.Add(rfc2866.AcctSessionID_Type, radius.Attribute(name))
	return e.complete(p.Attributes, dev)
}

// complete adds to what names a session what every command says.
func (e *Examiner) complete(attrs radius.Attributes, dev *nas.Device) radius.Attributes {
	p := &radius.Packet{Attributes: slices.Clone(attrs)}
	if dev.NASIdentifier != "" {
		p.Add(rfc2865.NASIdentifier_Type, radius.Attribute(dev.NASIdentifier))
	}
	_ = rfc2869.EventTimestamp_Add(p, time.Now()) // whose error is an instant beyond 2106
	return p.Attributes
}

// silence finds why a device may be silent.
func (e *Examiner) silence(ctx context.Context, dev *nas.Device, ghost radius.Attributes, heard bool, r asked) (nas.Finding, error) {
	once := e.Retry[:1]
	if dev.OlderSecret != nil {
		if r, err := e.ask(ctx, dev.CoA, ghost, dev.OlderSecret, once); err != nil || r.answered {
			return finding(nas.CheckReach, nas.Bad, "older", ""), err
		}
	}
	ports := e.Ports
	if ports == nil {
		ports = []uint16{3799, 1700}
	}
	for _, port := range ports {
		if port == dev.CoA.Port() {
			continue
		}
		if r, err := e.ask(ctx, netip.AddrPortFrom(dev.CoA.Addr(), port), ghost, dev.Secret, once); err != nil || r.answered {
			return finding(nas.CheckReach, nas.Bad, "other_port", strconv.Itoa(int(port))), err
		}
	}
	switch {
	case r.unverified:
		return finding(nas.CheckReach, nas.Bad, "unverified", ""), nil
	case closed(ctx, dev.CoA, once[0]):
		return finding(nas.CheckReach, nas.Bad, "closed", strconv.Itoa(int(dev.CoA.Port()))), nil
	}
	f := finding(nas.CheckReach, nas.Bad, "silent", dev.CoA.String())
	known := nas.Form("requests_none")
	if heard {
		known = "requests_verify"
	}
	f.Facts = append(f.Facts, nas.Fact{Form: known})
	return f, nil
}

func signs(r asked) nas.Finding {
	if r.signed {
		return finding(nas.CheckSigns, nas.Good, "signed", "")
	}
	return finding(nas.CheckSigns, nas.Noted, "unsigned", "")
}

func (e *Examiner) unknown(r asked) nas.Finding {
	switch {
	case r.ack:
		return finding(nas.CheckUnknown, nas.Bad, "acked", "")
	case r.cause == 503:
		return finding(nas.CheckUnknown, nas.Good, "not_found", "")
	}
	return finding(nas.CheckUnknown, nas.Noted, "refused", ErrorCauseName(r.cause))
}

// trySession tells a session's device what the session has, named in every way, and once with Class. Where the device
// acknowledges what does not exist, an ACK says nothing of the name.
func (e *Examiner) trySession(ctx context.Context, dev *nas.Device, p *Patient, acksAll bool) (found []nas.Finding, unsure bool, err error) {
	d := e.Dialects.Named(dev.Dialect)
	if d == nil {
		return nil, false, fmt.Errorf("the dialect %q is not known", dev.Dialect)
	}
	steps, ok, err := d.Change(p.Has, p.Has)
	if err == nil && ok && len(steps) > 1 { // what withdraws the service before it gives it is more than is needed
		if less, also, err := d.Change(nas.Service{}, p.Has); err == nil && also && len(less) < len(steps) {
			steps = less
		}
	}
	if err != nil || !ok || len(steps) == 0 {
		return nil, false, nil // it cannot be told without ending the session
	}
	tell := func(by nas.Identification, steps []radius.Attributes) (asked, error) {
		r, err := e.tell(ctx, dev, by.Names(d, p.Session), steps)
		unsure = !r.ack && len(steps) > 1 || unsure && !r.ack
		return r, err
	}
	names := finding(nas.CheckIdentify, nas.Bad, "none", "")
	names.Facts = nil
	change := nas.Finding{Check: nas.CheckNoChange}
	var best nas.Identification
	for _, by := range nas.Identifications {
		if by == nas.ByLogin && (!p.Alone || p.Session.Login == "") {
			continue // another session would be told as well
		}
		r, err := tell(by, steps)
		if err != nil {
			return nil, unsure, err
		}
		if by == nas.ByDialect || r.ack && change.Result == nas.Bad {
			change = told(nas.CheckNoChange, r, nas.Bad)
		}
		if !r.answered && by == nas.ByDialect {
			return []nas.Finding{change}, unsure, nil // it is silent on what exists: every other name would be waited for
		}
		fact := nas.Fact{Form: nas.Form(by)}
		if !r.ack {
			fact.Value = r.said()
		} else if best == "" {
			best = by
		}
		names.Facts = append(names.Facts, fact)
	}
	found = []nas.Finding{change}
	if acksAll || best == "" && change.Form != "refused" {
		return found, unsure, nil
	}
	switch best {
	case "":
		names.Facts = append([]nas.Fact{{Form: "none"}}, names.Facts...)
	case nas.ByDialect:
		names.Result, names.Form = nas.Good, nas.Form(best)
	default:
		names.Result, names.Form = nas.Noted, nas.Form(best)
	}
	found = append(found, names)
	if best == "" || p.Session.Access == 0 {
		return found, unsure, nil
	}
	if d.ClassAlone {
		return append(found, finding(nas.CheckCoAClass, nas.Noted, "alone", "")), unsure, nil
	}
	with := slices.Clone(steps)
	last := &with[len(with)-1]
	*last = slices.Clone(*last)
	last.Add(rfc2865.Class_Type, nas.Cookie{Access: p.Session.Access, Granted: p.Has.Digest()}.AppendMarked(nil))
	r, err := tell(best, with)
	if err != nil {
		return nil, unsure, err
	}
	class := told(nas.CheckCoAClass, r, nas.Noted)
	class.Result = nas.Noted // an acknowledgement is no proof: what comes back is
	return append(found, class), unsure, nil
}

// told is what came of a CoA-Request; refused says what it is worth when it is not acknowledged.
func told(check nas.Check, r asked, refused nas.Result) nas.Finding {
	switch {
	case r.ack:
		return finding(check, nas.Good, "acked", "")
	case r.answered:
		return finding(check, refused, "refused", ErrorCauseName(r.cause))
	}
	return finding(check, refused, "silent", "")
}

// tell sends the CoA-Requests of a change one after the other, each once the one before is acknowledged.
func (e *Examiner) tell(ctx context.Context, dev *nas.Device, names radius.Attributes, steps []radius.Attributes) (r asked, err error) {
	for _, step := range steps {
		r, err = e.ask(ctx, dev.CoA, append(e.complete(names, dev), step...), dev.Secret, e.Retry)
		if err != nil || !r.ack {
			return r, err
		}
	}
	return r, nil
}

// asked is what came of a request: with answered, a reply that verifies.
type asked struct {
	answer
	answered   bool
	unverified bool // a reply came that does not
	signed     bool // with Message-Authenticator
	from       netip.AddrPort
}

func (r asked) said() string {
	if !r.answered {
		return "timeout"
	}
	return ErrorCauseName(r.cause)
}

// ask sends a CoA-Request, the same bytes at every attempt, and takes its reply from any address.
func (e *Examiner) ask(ctx context.Context, to netip.AddrPort, attrs radius.Attributes, secret []byte, retry []time.Duration) (r asked, err error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return r, fmt.Errorf("opening a socket for a probe: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	wire, err := request(radius.CodeCoARequest, byte(rand.Uint32()), attrs, secret)
	if err != nil {
		return r, err
	}
	buf := make([]byte, 65536)
	for _, patience := range retry {
		_, _ = conn.WriteToUDPAddrPort(wire, to) // unroutable now may not be at the next attempt
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return r, err
		}
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				break
			}
			a, ok := reply(wire, buf[:n], secret)
			if ok {
				return asked{answer: a, answered: true, signed: hasMA(buf[:n]), from: from}, nil
			}
			r.unverified = r.unverified || n >= 20 && buf[1] == wire[1] && from.Addr().Unmap() == to.Addr().Unmap()
		}
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
	}
	return r, nil
}

// hasMA reports whether a well-formed packet has a Message-Authenticator.
func hasMA(b []byte) bool {
	for i := 20; i+1 < len(b) && b[i+1] >= 2; i += int(b[i+1]) {
		if b[i] == byte(rfc2869.MessageAuthenticator_Type) {
			return true
		}
	}
	return false
}

// closed reports whether the address says by ICMP that nothing listens there.
func closed(ctx context.Context, to netip.AddrPort, patience time.Duration) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", to.String())
	if err != nil {
		return false
	}
	defer conn.Close()
	if _, err = conn.Write([]byte{0}); err == nil { // less than a packet: it is dropped where something listens
		_ = conn.SetReadDeadline(time.Now().Add(min(patience, time.Second)))
		_, err = conn.Read(make([]byte, 1))
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// Borrowed is an open session out of the Reconciler's hands: nothing else is told of it meanwhile, here or on another node.
type Borrowed struct {
	Session nas.Session
	Has     nas.Service
	Until   time.Time // real clock: nothing is to be sent to it after this; zero: no bound

	r     *Reconciler
	s     *session
	grant nas.Grant
}

// Borrow takes an open session if it has what it should have. Return must be called, once. ok is false for a session that
// is not open, not settled, or another node's at this moment.
func (r *Reconciler) Borrow(ctx context.Context, key nas.SessionKey) (b *Borrowed, ok bool) {
	r.mu.Lock()
	s := r.sessions[key]
	if s == nil || s.busy || s.differs || s.stale || !s.known || s.order != nil || s.applied == 0 || s.dirty != clean ||
		!s.disconnectedAt.IsZero() || s.want.Outcome == contracts.OutcomeReject {
		r.mu.Unlock()
		return nil, false
	}
	s.lane.drop(s)
	r.unclaim(s)
	s.busy = true
	b = &Borrowed{Session: s.Session, Has: s.want, r: r, s: s}
	applied := s.applied
	r.mu.Unlock()
	if r.cfg.Claims == nil {
		return b, true
	}
	b.grant = r.cfg.Claims.Claim(ctx, []nas.Wanted{{Key: key, StartedAt: b.Session.StartedAt}})[0]
	if b.Until = b.grant.Until; b.Until.IsZero() {
		b.Return(false)
		return nil, false
	}
	if told := b.grant.Told; told != nil && (told.Ended || told.Applied != applied) {
		b.Return(false)
		r.Learn([]nas.Told{*told})
		return nil, false
	}
	return b, true
}

// Return gives the session back; with unsure it is no longer known what it has.
func (b *Borrowed) Return(unsure bool) {
	key := b.Session.Key
	if !b.grant.Until.IsZero() {
		back := nas.Returned{Key: key, Serial: b.grant.Serial}
		if unsure {
			back.Told = &nas.Told{Key: key, StartedAt: b.Session.StartedAt}
		}
		b.r.cfg.Claims.Return(back)
	}
	if unsure {
		b.r.cfg.SetApplied(key, 0)
	}
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	b.s.busy = false
	if unsure {
		b.s.applied = 0
	}
	b.r.settle(b.s)
}
