package nastest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"enlace/contracts"
)

// Session is a subscriber's line: the session it has now, if it is online, and the next ones when it dials again.
type Session struct {
	n               *NAS
	login, password string
	method          Method
	port            uint32
	load            float64

	mu      sync.Mutex
	keep    bool          // dials again whatever ends or refuses a session
	held    bool          // does not dial again
	backoff time.Duration // of the next attempt after a failed one
	logins  int           // sessions so far; tells tasks of an older session from the present one's
	state   state
}

// state is what begins and ends with a session.
type state struct {
	online bool
	id     string
	ip     netip.Addr

	delegated netip.Prefix
	style     NATStyle
	blocks    []Block
	released  []Block // of this record

	class    []radius.Attribute
	applied  applied
	queue    contracts.Profile // of an operator's queue before the session's own; zero: there is none
	started  time.Time
	ahead    time.Duration // Config.Ahead at the start
	interim  time.Duration
	counted  time.Time // traffic is counted up to here
	in, out  uint64    // octets from and to the subscriber
	accepted radius.Attributes
}

// rates are what the first queue lets through.
func (st *state) rates() contracts.Profile {
	if st.queue != (contracts.Profile{}) {
		return st.queue
	}
	return st.applied.rates
}

// Login authenticates a subscriber and, when accepted, begins a session: it is online and its Start has been answered.
// The error is a *Rejected for an Access-Reject and ErrUnanswered for silence; when only the Start met silence, the
// session is returned beside the error.
func (n *NAS) Login(ctx context.Context, login, password string, m Method) (*Session, error) {
	s := n.line(login, password, m, n.cfg.Load)
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	return s, s.account(ctx, rfc2866.AcctStatusType_Value_Start, 0, 0)
}

// Dial keeps a subscriber online from the background: it dials at once, again after a refusal or silence, each time
// waiting longer, and again when a session ends, Config.Redial later (one second when that is zero).
func (n *NAS) Dial(login, password string, m Method) *Session {
	s := n.line(login, password, m, n.cfg.Load)
	s.keep = true
	n.schedule.after(0, s.dial)
	return s
}

func (n *NAS) line(login, password string, m Method, load float64) *Session {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.serial++
	return &Session{n: n, login: login, password: password, method: m, port: uint32(n.serial), load: load}
}

// ID is the session's Acct-Session-Id; of the last session when none is online.
func (s *Session) ID() string { return s.now().id }

// IP is the session's IPv4 address.
func (s *Session) IP() netip.Addr { return s.now().ip }

// Online reports whether the line has a session.
func (s *Session) Online() bool { return s.now().online }

// Rates are those the session is shaped to: of the Access-Accept, of the last command obeyed, or of a queue before it.
func (s *Session) Rates() contracts.Profile {
	st := s.now()
	return st.rates()
}

// Walled reports whether the session is in the walled garden.
func (s *Session) Walled() bool {
	st := s.now()
	return st.applied.walled(s.n.cfg.Dialect, s.n.cfg.Garden)
}

// Logins counts the line's sessions so far.
func (s *Session) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// Login is the subscriber's User-Name.
func (s *Session) Login() string { return s.login }

// Accepted are the attributes of the Access-Accept.
func (s *Session) Accepted() radius.Attributes { return s.now().accepted }

// Counters are the octets from the subscriber and to him.
func (s *Session) Counters() (in, out uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(time.Now())
	return s.state.in, s.state.out
}

// AddTraffic adds octets from the subscriber and to him.
func (s *Session) AddTraffic(in, out uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.in += in
	s.state.out += out
}

func (s *Session) now() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// hold keeps the line from dialling again.
func (s *Session) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = true
}

// portID is the line's NAS-Port-Id, and station its Calling-Station-Id: a MAC address of the locally administered range.
func (s *Session) portID() string { return fmt.Sprintf("pppoe-%d", s.port) }
func (s *Session) station() string {
	return fmt.Sprintf("02:00:%02X:%02X:%02X:%02X", byte(s.port>>24), byte(s.port>>16), byte(s.port>>8), byte(s.port))
}

// begin authenticates and opens the session, without its Start.
func (s *Session) begin(ctx context.Context) error {
	n := s.n
	n.mu.Lock()
	n.serial++
	serial := n.serial
	n.mu.Unlock()
	id := n.cfg.SessionID(serial)
	accept, err := n.authenticate(ctx, s, id)
	if err != nil {
		return err
	}
	now := time.Now()
	st := state{online: true, id: id, started: now, ahead: n.ahead(), counted: now, accepted: accept.Attributes, interim: n.cfg.Interim}
	if st.applied, err = readAccept(n.cfg.Dialect, accept); err != nil {
		return fmt.Errorf("the Access-Accept cannot be applied: %w", err)
	}
	for _, a := range accept.Attributes {
		if a.Type == rfc2865.Class_Type {
			st.class = append(st.class, a.Attribute)
		}
	}
	if st.interim == 0 {
		st.interim = time.Duration(rfc2869.AcctInterimInterval_Get(accept)) * time.Second
	}
	if ip, ok := netip.AddrFromSlice(rfc2865.FramedIPAddress_Get(accept).To4()); ok {
		st.ip = ip
	} else {
		st.ip = addressAfter(n.cfg.FirstIP, serial)
	}
	n.mu.Lock()
	n.byID[id] = s
	n.mu.Unlock()
	s.mu.Lock()
	s.state = st
	s.logins++
	gen := s.logins
	s.mu.Unlock()
	if t := rfc2865.SessionTimeout_Get(accept); t > 0 {
		n.schedule.after(time.Duration(t)*time.Second, func(ctx context.Context) {
			if s.current(gen) {
				_ = s.Stop(ctx, int(rfc2866.AcctTerminateCause_Value_SessionTimeout))
			}
		})
	}
	s.scheduleInterim(gen, st.interim)
	return nil
}

// addressAfter is the address n places after first, within the 22 bits of 100.64.0.0/10.
func addressAfter(first netip.Addr, n uint64) netip.Addr {
	b := first.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += uint32(n % (1<<22 - 2))
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

func (s *Session) current(gen int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.online && s.logins == gen
}

// dial is begin with patience, from the background.
func (s *Session) dial(ctx context.Context) {
	s.mu.Lock()
	idle := !s.state.online && !s.held
	s.mu.Unlock()
	if !idle {
		return
	}
	err := s.begin(ctx)
	s.mu.Lock()
	if err == nil {
		s.backoff = 0
	} else {
		s.backoff = min(max(2*s.backoff, time.Second), time.Minute)
	}
	again := s.backoff
	gen := s.logins
	s.mu.Unlock()
	if err != nil {
		s.n.schedule.after(jitter(again), s.dial)
		return
	}
	s.start(ctx, gen)
}

// start sends the Start until it is answered or the session is over.
func (s *Session) start(ctx context.Context, gen int) {
	if s.current(gen) && s.account(ctx, rfc2866.AcctStatusType_Value_Start, 0, 0) != nil {
		s.n.schedule.after(jitter(time.Second), func(ctx context.Context) { s.start(ctx, gen) })
	}
}

// scheduleInterim lets interims go out, each a little early or late, so that a crowd's do not fall together.
func (s *Session) scheduleInterim(gen int, every time.Duration) {
	if every <= 0 {
		return
	}
	s.n.schedule.after(jitter(every), func(ctx context.Context) {
		if s.current(gen) {
			_ = s.Interim(ctx)
			s.scheduleInterim(gen, every)
		}
	})
}

// Interim sends an Interim-Update and waits for its answer.
func (s *Session) Interim(ctx context.Context) error {
	return s.account(ctx, rfc2866.AcctStatusType_Value_InterimUpdate, 0, 0)
}

// Stop ends the session with an Acct-Terminate-Cause and sends the Stop; unanswered, it is sent again from the
// background as a new packet with its delay, as access servers do.
func (s *Session) Stop(ctx context.Context, cause int) error {
	st, ok := s.end()
	if !ok {
		return nil
	}
	err := s.send(ctx, st, rfc2866.AcctStatusType_Value_Stop, cause, 0)
	if err != nil {
		s.resendStop(st, cause, 1)
	}
	s.redial()
	return err
}

// Leave is Stop for good: the subscriber does not dial again.
func (s *Session) Leave(ctx context.Context, cause int) error {
	s.hold()
	return s.Stop(ctx, cause)
}

// stopTries bounds how often an unanswered Stop is begun again.
const stopTries = 20

func (s *Session) resendStop(st state, cause, tries int) {
	ended := time.Now()
	s.n.schedule.after(jitter(time.Second), func(ctx context.Context) {
		err := s.send(ctx, st, rfc2866.AcctStatusType_Value_Stop, cause, int(time.Since(ended)/time.Second)+tries)
		if err != nil && tries < stopTries {
			s.resendStop(st, cause, tries+1)
		}
	})
}

// drop ends the session as a power cut does.
func (s *Session) drop() {
	if _, ok := s.end(); ok {
		s.redial()
	}
}

// end takes the session off line and returns its last state.
func (s *Session) end() (state, bool) {
	s.mu.Lock()
	if !s.state.online {
		s.mu.Unlock()
		return state{}, false
	}
	s.count(time.Now())
	s.state.online = false
	st := s.state
	s.mu.Unlock()
	s.n.mu.Lock()
	if s.n.byID[st.id] == s {
		delete(s.n.byID, st.id)
	}
	s.n.mu.Unlock()
	return st, true
}

func (s *Session) redial() {
	s.mu.Lock()
	wait := s.n.cfg.Redial
	if wait == 0 && s.keep {
		wait = time.Second
	}
	ok := wait > 0 && !s.held
	s.mu.Unlock()
	if ok {
		s.n.schedule.after(jitter(wait), s.dial)
	}
}

// count adds the traffic since it was last counted: a share of the rates.
func (s *Session) count(now time.Time) {
	st := &s.state
	if !st.online || now.Before(st.counted) {
		return
	}
	seconds := now.Sub(st.counted).Seconds()
	st.in += uint64(seconds * s.load * float64(st.rates().UpBps) / 8)
	st.out += uint64(seconds * s.load * float64(st.rates().DownBps) / 8)
	st.counted = now
}

// account sends an Accounting-Request about the session as it is now.
func (s *Session) account(ctx context.Context, status rfc2866.AcctStatusType, cause, delay int) error {
	s.mu.Lock()
	s.count(time.Now())
	st := s.state
	s.mu.Unlock()
	if !st.online {
		return errors.New("the session is over")
	}
	return s.send(ctx, st, status, cause, delay)
}

func (s *Session) send(ctx context.Context, st state, status rfc2866.AcctStatusType, cause, delay int) error {
	n := s.n
	p := radius.New(radius.CodeAccountingRequest, n.cfg.Secret)
	_ = rfc2866.AcctStatusType_Add(p, status)
	_ = rfc2866.AcctSessionID_AddString(p, st.id)
	_ = rfc2865.UserName_AddString(p, s.login)
	n.describe(p, s)
	_ = rfc2865.FramedIPAddress_Add(p, net.IP(st.ip.AsSlice()))
	if err := st.addresses(p); err != nil {
		return err
	}
	_ = rfc2866.AcctSessionTime_Add(p, rfc2866.AcctSessionTime(max(0, st.counted.Sub(st.started)+n.ahead()-st.ahead)/time.Second))
	if status != rfc2866.AcctStatusType_Value_Start {
		_ = rfc2866.AcctInputOctets_Add(p, rfc2866.AcctInputOctets(uint32(st.in)))
		_ = rfc2866.AcctOutputOctets_Add(p, rfc2866.AcctOutputOctets(uint32(st.out)))
		_ = rfc2869.AcctInputGigawords_Add(p, rfc2869.AcctInputGigawords(st.in>>32))
		_ = rfc2869.AcctOutputGigawords_Add(p, rfc2869.AcctOutputGigawords(st.out>>32))
	}
	if cause != 0 {
		_ = rfc2866.AcctTerminateCause_Add(p, rfc2866.AcctTerminateCause(cause))
	}
	if delay != 0 {
		_ = rfc2866.AcctDelayTime_Add(p, rfc2866.AcctDelayTime(delay))
	}
	for _, c := range st.class {
		p.Add(rfc2865.Class_Type, c)
	}
	return n.sendAccounting(ctx, p)
}

func (n *NAS) ahead() time.Duration {
	if n.cfg.Ahead == nil {
		return 0
	}
	return n.cfg.Ahead()
}

func (n *NAS) accountDevice(ctx context.Context, status rfc2866.AcctStatusType) error {
	p := radius.New(radius.CodeAccountingRequest, n.cfg.Secret)
	_ = rfc2866.AcctStatusType_Add(p, status)
	_ = rfc2866.AcctSessionID_AddString(p, "00000000")
	_ = rfc2865.NASIPAddress_Add(p, net.IP(n.cfg.NASIP.AsSlice()))
	_ = rfc2865.NASIdentifier_AddString(p, n.cfg.NASIdentifier)
	return n.sendAccounting(ctx, p)
}

// sendAccounting is done when an authentic Accounting-Response has come. accel-ppp says no Event-Timestamp.
func (n *NAS) sendAccounting(ctx context.Context, p *radius.Packet) error {
	if n.cfg.Dialect != "accel-ppp" {
		_ = rfc2869.EventTimestamp_Add(p, time.Now())
	}
	answer, err := n.acct.exchange(ctx, p, false, func(request, reply []byte) (*radius.Packet, error) {
		return n.verifyReply(request, reply, Quirks{AcceptUnsigned: true})
	})
	if err != nil {
		if errors.Is(err, ErrUnanswered) {
			n.stats.unanswered.Add(1)
		}
		return err
	}
	if answer.Code != radius.CodeAccountingResponse {
		return fmt.Errorf("the server answered accounting with %s", answer.Code)
	}
	return nil
}
