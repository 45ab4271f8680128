package nastest

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"

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
	ids    []string
	ip     netip.Addr

	delegated netip.Prefix
	style     NATStyle
	blocks    []Block
	released  []Block // of this record

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
func (s *Session) ID() string {
	st := s.now()
	return st.id()
}

// IDs are all that it is accounted under, ID first (Config.SessionIDs).
func (s *Session) IDs() []string { return s.now().ids }

func (st *state) id() string {
	if len(st.ids) == 0 {
		return ""
	}
	return st.ids[0]
}

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
	return s.n.isWalled(&st.applied)
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

// PortID is the line's NAS-Port-Id.
func (s *Session) PortID() string { return fmt.Sprintf("pppoe-%d", s.port) }

// station is the line's Calling-Station-Id: a MAC address of the locally administered range.
func (s *Session) station() string {
	return fmt.Sprintf("02:00:%02X:%02X:%02X:%02X", byte(s.port>>24), byte(s.port>>16), byte(s.port>>8), byte(s.port))
}

// begin authenticates and opens the session, without its Start.
func (s *Session) begin(ctx context.Context) error {
	n := s.n
	serial, ids := n.newIDs()
	accept, err := n.authenticate(ctx, s, ids[0])
	if err != nil {
		return err
	}
	now := time.Now()
	st := state{online: true, ids: ids, started: now, ahead: n.ahead(), counted: now, accepted: accept.Attributes, interim: n.cfg.Interim}
	if st.applied, err = n.accept(accept); err != nil {
		return fmt.Errorf("the Access-Accept cannot be applied: %w", err)
	}
	if st.interim == 0 {
		st.interim = st.applied.interim
	}
	if ip, ok := netip.AddrFromSlice(rfc2865.FramedIPAddress_Get(accept).To4()); ok {
		st.ip = ip
	} else {
		st.ip = addressAfter(n.cfg.FirstIP, serial)
	}
	n.mu.Lock()
	for _, id := range ids {
		n.byID[id] = s
	}
	n.mu.Unlock()
	s.mu.Lock()
	s.state = st
	s.logins++
	gen := s.logins
	s.mu.Unlock()
	s.scheduleTimeout(gen, st)
	s.scheduleInterim(gen, st.interim)
	return nil
}

// newIDs draws a session's serial and the ids that it is accounted under.
func (n *NAS) newIDs() (serial uint64, ids []string) {
	form := n.cfg.SessionID
	if form == nil {
		form = n.vendor.sessionID
	}
	if form == nil {
		form = mikrotikVendor.sessionID
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for range n.cfg.SessionIDs {
		n.serial++
		ids = append(ids, form(n.serial))
	}
	return n.serial, ids
}

// apply has the session as a command said.
func (s *Session) apply(a applied) {
	s.mu.Lock()
	s.count(time.Now())
	before := s.state.applied.timeout
	s.state.applied = a
	st, gen := s.state, s.logins
	s.mu.Unlock()
	if a.timeout != before {
		s.scheduleTimeout(gen, st)
	}
}

// scheduleTimeout ends the session once its Session-Timeout, counted from its start, has passed.
func (s *Session) scheduleTimeout(gen int, st state) {
	if st.applied.timeout <= 0 {
		return
	}
	s.n.schedule.after(time.Until(st.started.Add(st.applied.timeout)), func(ctx context.Context) {
		if s.current(gen) && s.now().applied.timeout == st.applied.timeout {
			_ = s.Stop(ctx, int(rfc2866.AcctTerminateCause_Value_SessionTimeout))
		}
	})
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
	for _, id := range st.ids {
		if s.n.byID[id] == s {
			delete(s.n.byID, id)
		}
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
