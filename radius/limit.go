package radius

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"enlace/contracts"
	"enlace/nas"
)

// LimitAction is what becomes of a login whose access has as many sessions as it may.
type LimitAction string

const (
	ReplaceOlder LimitAction = "replace" // it is accepted, and the oldest session is ended
	RejectNewer  LimitAction = "reject"  // it is refused, and the sessions that stand in its way are asked for
)

// Network tells access servers about sessions. Neither call waits for one.
type Network interface {
	// Disconnect ends a session.
	Disconnect(key nas.SessionKey, actor, reason string) error
	// Probe has the device told again what it applies to a session: one that it does not have it will deny.
	Probe(key nas.SessionKey, reason string) error
}

// LimitConfig is what a Limiter is made of.
type LimitConfig struct {
	Default   int // sessions of an access that has no limit of its own; 0: no limit
	Action    LimitAction
	Sessions  *Sessions
	Directory *Directory
	Network   Network
	Close     func(s *Session, by ClosedBy, at time.Time) bool // Accounting.Close
	Now       func() time.Time
	Log       zerolog.Logger
	Metrics   prometheus.Registerer // nil: not registered
}

// Limiter holds the sessions of each access to a number. What counts is sessions that accounting showed to be open: not
// those that are stale, nor logins that were accepted and did not begin a session. Sessions with the same
// Acct-Multi-Session-Id count as one.
//
// A device that comes back never stands in its own way: the session of the same Calling-Station-Id, or of the same port
// where one of them has no Calling-Station-Id, is replaced without a command, which could hit the new session. With
// ReplaceOlder the limit is looked at when a session begins, so that logins cost nothing and a login whose Start is still
// on its way is not overlooked. Two devices that push each other out are stopped after three times in ten minutes: the
// one that is online stays, and the other is refused for ten minutes.
type Limiter struct {
	cfg   LimitConfig
	wake  chan struct{}
	ended *prometheus.CounterVec // how

	pushing atomic.Int64 // accesses in pushes

	mu     sync.Mutex
	began  []began
	pushes map[contracts.AccessID]push
	probed map[nas.SessionKey]time.Time
	gone   map[nas.SessionKey]time.Time // closed because their device did not know them
}

type began struct {
	key   nas.SessionKey
	again bool // it was taken for closed, and went on
}

// push counts how many sessions of an access were ended for another's sake since first.
type push struct {
	first time.Time
	times int
	ended [pushesMost]nas.SessionKey
}

const (
	pushesMost  = 3
	pushWindow  = 10 * time.Minute
	probeEvery  = 10 * time.Second
	beganMost   = 100_000
	goneForADay = 24 * time.Hour
)

// NewLimiter makes a Limiter that looks at sessions as they begin.
func NewLimiter(c LimitConfig) *Limiter {
	l := &Limiter{cfg: c, wake: make(chan struct{}, 1), pushes: map[contracts.AccessID]push{},
		probed: map[nas.SessionKey]time.Time{}, gone: map[nas.SessionKey]time.Time{},
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "enlace_session_limit_total",
			Help: "What became of sessions beyond the limit of their access."}, []string{"how"})}
	if c.Metrics != nil {
		c.Metrics.MustRegister(l.ended)
	}
	c.Sessions.limiter.Store(l)
	return l
}

// note takes a session that has begun, or has turned out to go on. It does not wait.
func (l *Limiter) note(s *Session, again bool) {
	if !l.cfg.Sessions.several(s) {
		return
	}
	l.mu.Lock()
	if len(l.began) < beganMost {
		l.began = append(l.began, began{s.Key, again})
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (l *Limiter) Run(ctx context.Context) {
	tidy := time.NewTicker(time.Minute)
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tidy.C:
			l.tidy()
		case <-l.wake:
			l.work()
		}
	}
}

func (l *Limiter) work() {
	for {
		l.mu.Lock()
		list := l.began
		l.began = nil
		l.mu.Unlock()
		if len(list) == 0 {
			return
		}
		for _, b := range list {
			if s, ok := l.cfg.Sessions.Get(b.key); ok {
				l.enforce(&s, b.again)
			}
		}
	}
}

func (l *Limiter) tidy() {
	now := l.cfg.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, p := range l.pushes {
		if now.Sub(p.first).Abs() > 2*pushWindow {
			delete(l.pushes, k)
		}
	}
	l.pushing.Store(int64(len(l.pushes)))
	for _, m := range []map[nas.SessionKey]time.Time{l.probed, l.gone} {
		for k, at := range m {
			if now.Sub(at).Abs() > goneForADay {
				delete(m, k)
			}
		}
	}
}

// of is the limit of an access; 0: none.
func (l *Limiter) of(s *Subscriber) int {
	if s == nil || s.Limit == 0 {
		return l.cfg.Default
	}
	return int(s.Limit)
}

// line is a session of an access as the limit sees it: with the others of its Acct-Multi-Session-Id.
type line []Session

func (l line) newest() *Session { return &l[len(l)-1] }

// lines groups the sessions that count, oldest line first, with one that has begun (nil: none). Of an access that has far
// more sessions than it may, it is the first and the last that are looked at: the work for a session that begins does not
// grow with the sessions of its access.
func (l *Limiter) lines(access contracts.AccessID, login string, limit int, begun *Session) []line {
	open := l.cfg.Sessions.appendSome(nil, access, login, limit+linesBeyond)
	if begun != nil && !begun.Stale() && !slices.ContainsFunc(open, func(s Session) bool { return s.Key == begun.Key }) {
		open = append(open, *begun)
	}
	slices.SortFunc(open, func(a, b Session) int {
		if c := a.StartedAt.Compare(b.StartedAt); c != 0 {
			return c
		}
		return a.Key.Compare(b.Key)
	})
	type multi struct {
		device nas.DeviceID
		id     string
	}
	var lines []line
	of := map[multi]int{}
	for _, s := range open {
		if s.Multi == "" {
			lines = append(lines, line{s})
			continue
		}
		m := multi{s.Key.Device, s.Multi}
		if i, known := of[m]; known {
			lines[i] = append(lines[i], s)
			continue
		}
		of[m] = len(lines)
		lines = append(lines, line{s})
	}
	return lines
}

const (
	linesBeyond = 64 // sessions beyond the limit of an access that are looked at, of those known longest
	newestLines = 32 // and of those known last
)

// appendSome appends open sessions of an access that are not stale to dst: most of those known longest, and some of those
// known last. It passes over as many stale ones, and not over any number of them.
func (t *Sessions) appendSome(dst []Session, access contracts.AccessID, login string, most int) []Session {
	for _, o := range [...]owner{{access: access}, {login: strings.TrimSpace(login)}} {
		if o.nobody() {
			continue
		}
		sh := t.ownerShard(o)
		sh.mu.RLock()
		keys, ok := sh.byOwner[o]
		sh.mu.RUnlock()
		if !ok {
			continue
		}
		look := func(i int) bool {
			key := keys.first
			if i > 0 {
				key = keys.more[i-1]
			}
			s, open := t.Get(key)
			if open = open && !s.Stale() && ownerOf(&s) == o && !t.doomed(&s); open {
				dst = append(dst, s)
			}
			return open
		}
		n, i := 1+len(keys.more), 0
		for found := 0; i < min(n, 4*most) && found < most; i++ {
			if look(i) {
				found++
			}
		}
		for i = max(i, n-newestLines); i < n; i++ {
			look(i)
		}
	}
	return dst
}

// sameLine reports whether two sessions are of one subscriber's device, by what it says of itself.
func sameLine(device nas.DeviceID, station, port string, s *Session) bool {
	a, known := contracts.ParseMAC([]byte(station))
	b, also := contracts.ParseMAC([]byte(s.CallingStation))
	switch {
	case known && also:
		return a == b
	case station != "" && s.CallingStation != "":
		return strings.EqualFold(station, s.CallingStation)
	}
	return port != "" && port == s.NASPort && device == s.Key.Device
}

// samePort reports whether two sessions come in at one port of one access server.
func samePort(device nas.DeviceID, port string, s *Session) bool {
	return port != "" && port == s.NASPort && device == s.Key.Device
}

// enforce ends what is too much now that s has begun.
func (l *Limiter) enforce(s *Session, again bool) {
	sub := l.cfg.Directory.Of(s.Access, s.Login)
	limit := l.of(sub)
	if limit == 0 {
		return
	}
	lines := l.lines(s.Access, s.Login, limit, s)
	if len(lines) <= limit {
		return
	}
	mine := slices.IndexFunc(lines, func(o line) bool {
		return slices.ContainsFunc(o, func(x Session) bool { return x.Key == s.Key })
	})
	if mine < 0 {
		return
	}
	others := slices.Delete(slices.Clone(lines), mine, mine+1)
	excess := len(lines) - limit
	for _, o := range others { // its own, which it left behind, go first
		if excess == 0 || !sameLine(s.Key.Device, s.CallingStation, s.NASPort, o.newest()) {
			continue
		}
		excess--
		for i := range o {
			if !again {
				l.leftBehind(&o[i], s)
			}
		}
	}
	if excess <= 0 {
		return
	}
	if l.cfg.Action == RejectNewer || l.held(s.Access) {
		if newest := lines[len(lines)-1]; newest.newest().Key == s.Key || !again {
			l.end(s, fmt.Sprintf("beyond the limit of %d sessions", limit))
		}
		return
	}
	for _, o := range others {
		if excess == 0 {
			break
		}
		if sameLine(s.Key.Device, s.CallingStation, s.NASPort, o.newest()) {
			continue
		}
		excess--
		l.pushed(s.Access, o.newest().Key)
		for i := range o {
			l.end(&o[i], fmt.Sprintf("a later session of the access has begun, and its limit is %d", limit))
		}
	}
}

// leftBehind closes a session that its own device has replaced. On another access server it may still be there.
func (l *Limiter) leftBehind(o, by *Session) {
	if o.Key.Device != by.Key.Device {
		l.end(o, "the subscriber's device is online elsewhere")
		return
	}
	if l.cfg.Close(o, ClosedByReuse, by.StartedAt) {
		l.ended.WithLabelValues("replaced").Inc()
	}
}

func (l *Limiter) end(s *Session, reason string) {
	if err := l.cfg.Network.Disconnect(s.Key, "system", reason); err != nil {
		l.ended.WithLabelValues("left to accounting").Inc()
		l.cfg.Log.Debug().Err(err).Str("login", nas.TextOf(s.Login)).Msg("a session beyond the limit cannot be ended by command")
		return
	}
	l.ended.WithLabelValues("disconnected").Inc()
}

// pushed counts a session that is ended for another's sake; once, for a ghost whose device does not answer pushes nobody
// out.
func (l *Limiter) pushed(a contracts.AccessID, o nas.SessionKey) {
	now := l.cfg.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pushes[a]
	if now.Sub(p.first).Abs() > pushWindow {
		p = push{first: now}
	}
	if slices.Contains(p.ended[:min(p.times, pushesMost)], o) {
		return
	}
	if p.times < pushesMost {
		p.ended[p.times] = o
	}
	p.times++
	if p.times >= pushesMost {
		p.first = now // for ten minutes from the last
	}
	l.pushes[a] = p
	l.pushing.Store(int64(len(l.pushes)))
}

// held reports whether sessions of an access have pushed each other out too often.
func (l *Limiter) held(a contracts.AccessID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.pushes[a]
	return ok && p.times >= pushesMost && l.cfg.Now().Sub(p.first).Abs() <= pushWindow
}

// full reports whether it takes a closer look at a login: its access has as many sessions as it may, and newer ones are
// refused. It costs nothing where older ones are replaced.
func (l *Limiter) full(s *Subscriber) bool {
	if l.cfg.Action != RejectNewer && (l.pushing.Load() == 0 || !l.held(s.Access)) {
		return false
	}
	limit := l.of(s)
	return limit > 0 && l.cfg.Sessions.numberOf(s.Access, s.Login) >= limit
}

// refuse says why a login must not be accepted, "" when it may. station and port are what the request shows.
func (l *Limiter) refuse(s *Subscriber, device nas.DeviceID, station, port []byte) string {
	limit := l.of(s)
	lines := l.lines(s.Access, s.Login, limit, nil)
	var inTheWay []line
	for _, o := range lines {
		if n := o.newest(); !sameLine(device, string(station), string(port), n) && !samePort(device, string(port), n) {
			inTheWay = append(inTheWay, o)
		}
	}
	if len(inTheWay) < limit {
		return ""
	}
	for _, o := range inTheWay {
		l.probe(o.newest())
	}
	n := inTheWay[0].newest()
	return fmt.Sprintf("%d of %d sessions are online: one since %s at %s", len(inTheWay), limit,
		n.StartedAt.Format(time.RFC3339), orNone(nas.TextOf(n.CallingStation)))
}

// probe asks for a session, not more often than every ten seconds.
func (l *Limiter) probe(s *Session) {
	now := l.cfg.Now()
	l.mu.Lock()
	recent := now.Sub(l.probed[s.Key]).Abs() < probeEvery
	if !recent {
		l.probed[s.Key] = now
	}
	l.mu.Unlock()
	if recent {
		return
	}
	if err := l.cfg.Network.Probe(s.Key, "another login of the access: is this session still there?"); err == nil {
		l.ended.WithLabelValues("probed").Inc()
	}
}

// Gone takes a device's word that it has no such session, which began at start. A session that came back after that is
// not closed so again for a day: its device knows it by other names than those it is told.
func (l *Limiter) Gone(key nas.SessionKey, start time.Time) {
	s, ok := l.cfg.Sessions.Get(key)
	if !ok || !s.StartedAt.Equal(start) {
		return
	}
	now := l.cfg.Now()
	l.mu.Lock()
	_, again := l.gone[key]
	l.gone[key] = now
	l.mu.Unlock()
	if again {
		return
	}
	at := now
	if s.LastSeen.After(at) { // by the device's clock
		at = s.LastSeen
	}
	l.cfg.Close(&s, ClosedByGone, at)
}
