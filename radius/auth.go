package radius

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// authenticate decides on an Access-Request whose device is known and whose datagram is new. It returns the reply to
// send now, or nil.
func (w *worker) authenticate(d *device, v View, p *packet, digest uint64) []byte {
	series := w.door.metrics.of(d)
	a := readAsk(v)
	if !w.trusted(d, v, &a, p, series) {
		return nil
	}
	if limit := w.door.maxStaleness; limit > 0 && w.door.directory.Age(p.now) > limit {
		series.dropped[dropBackend].Inc()
		return nil
	}
	m := a.method()
	w.ms.version = 0
	if m == methodMSCHAP {
		w.ms.version, w.ms.ident = 1, at(a.msResponse, 0)
	} else if m == methodMSCHAPv2 {
		w.ms.version, w.ms.ident = 2, at(a.ms2Response, 0)
	}
	changing := m == methodNone && (a.msChange != nil || a.ms2Change != nil)
	if changing && a.ms2Change != nil {
		w.ms.version, w.ms.ident = 2, at(a.ms2Change, 1)
	} else if changing {
		w.ms.version, w.ms.ident = 1, at(a.msChange, 1)
	}

	switch {
	case a.eap != nil:
		return w.refuse(d, v, &a, p, digest, EAPUnsupported, "the device asks for EAP; set it to PAP, CHAP or MS-CHAPv2")
	case len(a.login) == 0:
		return w.refuse(d, v, &a, p, digest, NoCredentials, "the request has no User-Name")
	case changing:
		return w.refuse(d, v, &a, p, digest, PasswordChange, "the subscriber's device asks for another password; it is changed in the contract")
	}
	if reply, again := w.redialed(d, v, &a, p, digest); again {
		return reply
	}
	s, why, detail := w.identify(d, v, &a, m)
	if s == nil {
		return w.refuse(d, v, &a, p, digest, why, detail)
	}
	window, g := w.door.directory.decide(s, p.now)
	switch status := window.StatusName(); {
	case status == contracts.Pending || status == contracts.Terminated || len(s.Windows) == 0:
		return w.refuseContract(d, v, &a, p, digest, s, window, ContractState, fmt.Sprintf("contract %d is %s", s.Contract, status))
	case window.Disabled:
		return w.refuseContract(d, v, &a, p, digest, s, window, LoginDisabled, fmt.Sprintf("the login is switched off on contract %d", s.Contract))
	}
	if s.Line != nil {
		if detail := w.bearing.mismatch(w.door.directory.learning.of(s), d.ID); detail != "" {
			return w.refuse(d, v, &a, p, digest, BindingMismatch, detail)
		}
	}
	if window.Outcome == contracts.OutcomeReject {
		return w.refuseContract(d, v, &a, p, digest, s, window, Blocked, fmt.Sprintf("contract %d is %s, and the policy refuses instead of walling", s.Contract, window.StatusName()))
	}
	if l := w.door.limiter.Load(); l != nil && l.full(s) {
		w.bearing.read(v, a.login)
		if detail := l.refuse(s, d.ID, a.callingStation, w.bearing.port); detail != "" {
			return w.refuse(d, v, &a, p, digest, Simultaneous, detail)
		}
	}
	if window.Outcome == contracts.OutcomeWalled {
		g = w.door.walled
	}
	if g == nil {
		return w.refuse(d, v, &a, p, digest, ServiceUnencodable, fmt.Sprintf("plan %d of contract %d is not in memory", window.Plan, s.Contract))
	}
	attrs, problem := w.encoded(d.dialect, g)
	if problem != "" {
		return w.refuse(d, v, &a, p, digest, ServiceUnencodable, problem)
	}
	if s.Line != nil && w.door.directory.learning.of(s).Learns() {
		if detail := w.learn(d, s, p); detail != "" {
			return w.refuse(d, v, &a, p, digest, BindingMismatch, detail)
		}
	}
	switch w.address(d, s, g.service.Outcome, attrs, a.callingStation, p.now) {
	case LendLater: // the reserve is filled within moments, and the access server asks again
		series.dropped[dropPool].Inc()
		return nil
	case PoolExhausted:
		return w.refuse(d, v, &a, p, digest, NoAddress, "the device's address pool has no place left")
	}
	return w.accept(d, v, &a, p, digest, s, window, g, attrs)
}

// trusted applies the device's policies on Message-Authenticator and Proxy-State (CVE-2024-3596). EAP always needs a
// Message-Authenticator (RFC 3579, section 3.2).
func (w *worker) trusted(d *device, v View, a *ask, p *packet, series *deviceSeries) bool {
	switch w.checkMA(d, v, v.Authenticator()) {
	case maWrong:
		w.distrust(series, dropMA)
		w.door.warn(p.tick, "Message-Authenticator does not verify: is the shared secret right?", d.Name, netip.Addr{})
		return false
	case maValid:
		d.watch.sawSigned()
		return true
	}
	_, proxied := v.Get(attrProxyState)
	learning := proxied && d.learningProxyState()
	d.watch.sawUnsigned(proxied, p.now)
	if a.eap != nil || d.MessageAuthenticator == nas.RequireMA || d.MessageAuthenticator == nas.LearnMA && d.watch.signs.Load() {
		w.distrust(series, dropMissingMA)
		w.door.warn(p.tick, "Access-Request without the Message-Authenticator that is required of this device", d.Name, netip.Addr{})
		return false
	}
	if learning {
		d.watch.proxiesBare.Store(true)
	}
	if proxied && (d.LimitProxyState == nas.ForbidProxyState || d.LimitProxyState == nas.LearnProxyState && !d.watch.proxiesBare.Load()) {
		series.dropped[dropProxyState].Inc()
		w.door.warn(p.tick, "Access-Request with Proxy-State and no Message-Authenticator, which is not allowed to this device", d.Name, netip.Addr{})
		return false
	}
	return true
}

// learningProxyState reports whether a request now decides if the device is a proxy that does not sign.
func (d *device) learningProxyState() bool {
	if d.LimitProxyState != nas.LearnProxyState {
		return false
	}
	seen := d.watch.all()
	return seen.Learning()
}

func (w *worker) whyBadPassword(m method, s *Subscriber) string {
	switch {
	case len(s.Password) == 0:
		return "the access has no password"
	case m == methodPAP && w.hash.unprintable():
		return "the PAP password decodes to unprintable bytes: the device's shared secret is probably another"
	}
	return "the " + m.String() + " password does not match"
}

// accept builds the Access-Accept: Message-Authenticator, the dialect's attributes, the access's addresses, User-Name
// where the request's is not the login, Class, Acct-Interim-Interval, Session-Timeout, MS-CHAP, Proxy-State.
func (w *worker) accept(d *device, v View, a *ask, p *packet, digest uint64, s *Subscriber, window Window, g *grant, attrs []byte) []byte {
	b := appendMA(beginPacket(w.out, CodeAccessAccept, v.Identifier()))
	b = append(b, attrs...)
	b = w.appendAddresses(b, d, g.service.Outcome, attrs)
	if string(a.login) != s.Login {
		b = append(append(b, attrUserName, byte(len(s.Login)+2)), s.Login...)
	}
	w.cookie = nas.Cookie{Access: s.Access, Granted: g.digest}.Append(w.cookie[:0])
	b = appendAttr(b, attrClass, w.cookie)
	if d.InterimSeconds > 0 {
		b = appendUint32(b, attrAcctInterimInterval, interim(d.InterimSeconds, s.Login))
	}
	if t := w.door.sessionTimeout(d, window, p.now); t > 0 {
		b = appendUint32(b, attrSessionTimeout, t)
	}
	if w.ms.version != 0 {
		b = w.ms.appendSuccess(b, w.hash, w.secret, v.Authenticator())
	}
	b = appendProxyStates(b, v)
	w.out = b
	series := w.door.metrics.of(d)
	if !w.hash.seal(w.secret, b, v.Authenticator()) {
		series.dropped[dropTooLong].Inc()
		return nil
	}
	series.accepted[g.service.Outcome].Inc()
	return w.remember(p, digest, b)
}

// sessionTimeout is Session-Timeout in seconds, 0 for none: the garden's, so that a lost CoA heals by itself, and the
// rest of the window where the device cannot be told that it has ended.
func (d *Door) sessionTimeout(dev *device, window Window, now time.Time) uint32 {
	t := int64(math.MaxUint32)
	if window.Outcome == contracts.OutcomeWalled && d.garden.Timeout > 0 {
		t = int64(d.garden.Timeout)
	}
	if !dev.CoA.IsValid() && window.Until != NoEnd {
		t = min(t, max(1, window.Until-now.Unix()))
	}
	if t == math.MaxUint32 {
		return 0
	}
	return uint32(t)
}

// interim is the device's interval plus up to a tenth, the same for a login every time: after a mass reconnection the
// interims spread out.
func interim(seconds int, login string) uint32 {
	h := uint32(2166136261)
	for i := 0; i < len(login); i++ {
		h = (h ^ uint32(login[i])) * 16777619
	}
	return uint32(seconds) + h%(uint32(seconds)/10+1)
}

// encoded is a service in the attributes of a dialect, worked out once; problem says in plain words why it cannot be.
func (w *worker) encoded(dialect *nas.Dialect, g *grant) (attrs []byte, problem string) {
	key := acceptKey{dialect, g.digest}
	e, ok := w.accepts[key]
	if !ok {
		e = encode(dialect, g.service)
		if len(w.accepts) >= maxAccepts {
			clear(w.accepts)
		}
		w.accepts[key] = e
	}
	return e.attrs, e.problem
}

// maxAccepts bounds the services remembered by a worker; there are as many as plans, times two, times dialects.
const maxAccepts = 10000

type acceptKey struct {
	dialect *nas.Dialect
	digest  nas.Digest
}

type acceptBytes struct {
	attrs   []byte
	problem string
}

func encode(dialect *nas.Dialect, s nas.Service) (e acceptBytes) {
	if dialect == nil {
		return acceptBytes{problem: "the device's dialect is not known"}
	}
	attrs, err := dialect.Accept(s)
	if err != nil {
		return acceptBytes{problem: fmt.Sprintf("the dialect %s cannot say %s: %v", dialect.Name, s, err)}
	}
	for _, a := range attrs {
		if a.Type < 1 || a.Type > 255 || len(a.Attribute) > maxValue {
			return acceptBytes{problem: fmt.Sprintf("the dialect %s says %s in an attribute that does not fit", dialect.Name, s)}
		}
		e.attrs = appendAttr(e.attrs, byte(a.Type), a.Attribute)
	}
	return e
}

// refuse remembers why and builds the Access-Reject, which does not say why. A wrong password and an unknown login wait
// for the delay that slows guessing down.
func (w *worker) refuse(d *device, v View, a *ask, p *packet, digest uint64, why Reason, detail string) []byte {
	w.recordRefusal(d, a, p, why, detail)
	return w.reject(d, v, a, p, digest, why, why == BadPassword || why == UserUnknown)
}

// reject builds the Access-Reject. A slow one waits for the delay.
func (w *worker) reject(d *device, v View, a *ask, p *packet, digest uint64, why Reason, slow bool) []byte {
	b := appendMA(beginPacket(w.out, CodeAccessReject, v.Identifier()))
	if why == EAPUnsupported {
		b = appendAttr(b, attrEAPMessage, []byte{4, at(a.eap, 1), 0, 4}) // EAP-Failure (RFC 3579, section 2.6.1)
	}
	if w.ms.version != 0 {
		b = w.ms.appendError(b, why == PasswordChange)
	}
	b = appendProxyStates(b, v)
	w.out = b
	series := w.door.metrics.of(d)
	if !w.hash.seal(w.secret, b, v.Authenticator()) {
		series.dropped[dropTooLong].Inc()
		return nil
	}
	series.refused[why].Inc()
	if slow && w.door.delay.after > 0 {
		r := w.pend(p, digest, b, series)
		r.delayed = true
		if w.door.delay.push(r) {
			return nil
		}
		r.state.Store(replyGiven) // too many wait already: at once is better than never
		return b
	}
	return w.remember(p, digest, b)
}

func (w *worker) recordRefusal(d *device, a *ask, p *packet, why Reason, detail string) {
	e, news := w.door.refusals.add(p.now, a.login, d.Name, a.callingStation, why, detail)
	if !news || !w.door.refusalLines.allow(p.tick) {
		return
	}
	w.door.log.Info().Str("login", e.Login).Str("device", e.Device).Str("calling_station", e.CallingStation).
		Stringer("reason", e.Reason).Int("count", e.Count).Str("detail", e.Detail).Msg("login refused")
}

// at is b[i], or 0 beyond its end.
func at(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}
