package control

import (
	"container/heap"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"enlace/contracts"
	"enlace/nas"
)

// Config of a Reconciler. The callbacks are called from several goroutines.
type Config struct {
	// Device of an id, as it is configured now; false when it is not known (retired).
	Device func(nas.DeviceID) (*nas.Device, bool)
	// Desired is the service an access should have now, and the instant at which that answer ends (zero: not
	// foreseen). known = false leaves the session alone: an access that is not known is no reason to cut a line.
	Desired func(login string, access contracts.AccessID, now time.Time) (svc nas.Service, until time.Time, known bool)
	// Announce stores, before it returns, that it is unknown what a session has until SetApplied says it. May be nil.
	Announce func(nas.SessionKey)
	// Granted is the service that a session was given at its login, for one whose device returned no Class; false where
	// that is not known. Such a session would otherwise be told what it has. May be nil.
	Granted func(login string, start, now time.Time) (nas.Digest, bool)
	// SetApplied stores what a session's device acknowledged; 0 when that has become unknown. May be nil.
	SetApplied func(nas.SessionKey, nas.Digest)
	// Record stores a command, when it is requested and again, under the same ID, when more is known. It must not
	// block nor call the Reconciler. May be nil.
	Record func(nas.CommandRecord)

	// Gone is told when a device says that it has no such session (Error-Cause 503); start is the session's StartedAt.
	// It may call the Reconciler. May be nil.
	Gone func(key nas.SessionKey, start time.Time)

	Claims Claims // nil: no other node can be at work
	// API brings a session to a service by the device's own API, the last resort: live, or by ending it so that it logs in
	// anew; a service of REJECT ends it. It is called for devices that have one (nas.API.Known), a few calls at a time each,
	// with a ctx of 30 seconds. nil: no device is told so.
	API func(ctx context.Context, d *nas.Device, s nas.Session, want nas.Service) error
	// ReturnsClass reports whether a device gives back, in accounting, the Class of a CoA-Request: then they carry one, and
	// it is evidence. nil: none does.
	ReturnsClass func(nas.DeviceID) bool

	Dialects *nas.Dialects
	Now      func() time.Time
	Log      zerolog.Logger
	Metrics  prometheus.Registerer // nil: not registered

	Retry []time.Duration // how long each attempt of a command is waited for; default 2, 4, 8 s
	// Evidence is how long after an acknowledged Disconnect accounting for the session means that it was not obeyed;
	// default: the device's interim interval.
	Evidence time.Duration
	Backoff  time.Duration // first pause after giving a session up, doubled each time; default 30 s
	WaveOf   int           // so many sessions that differ at once are a mass change (Waves); default 200
}

// Reconciler closes the differences between desired and applied. It does nothing until Run is called, but may be told of
// sessions before.
type Reconciler struct {
	cfg     Config
	metrics *metrics

	dirtied chan struct{} // something is in urgent or routine
	kicked  chan struct{}

	mu       sync.Mutex
	sessions map[nas.SessionKey]*session
	byOwner  map[owner][]*session
	lanes    map[nas.DeviceID]*lane
	bounds   boundaries
	alarms   alarms
	outcomes outcomes
	urgent   []*session // to be evaluated, before those of routine
	routine  []*session
	start    func(*lane) // starts a lane; nil until Run
	held     []*session  // they were refused by Config.Claims
	life     time.Duration

	pending   map[*session]struct{} // whose difference is to be closed and was not given up
	wave      *wave                 // under way; nil: none
	waveCount int64
	past      []*wave // ended, oldest first
	pauses    []nas.Pause

	latest time.Time // of the instants for which Desired was asked since the clock was last seen going back; of Run's goroutine
}

// New makes a Reconciler.
func New(cfg Config) *Reconciler {
	if len(cfg.Retry) == 0 {
		cfg.Retry = []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second}
	}
	if cfg.Backoff == 0 {
		cfg.Backoff = 30 * time.Second
	}
	if cfg.SetApplied == nil {
		cfg.SetApplied = func(nas.SessionKey, nas.Digest) {}
	}
	if cfg.Gone == nil {
		cfg.Gone = func(nas.SessionKey, time.Time) {}
	}
	if cfg.Granted == nil {
		cfg.Granted = func(string, time.Time, time.Time) (nas.Digest, bool) { return 0, false }
	}
	if cfg.Record == nil {
		cfg.Record = func(nas.CommandRecord) {}
	}
	if cfg.ReturnsClass == nil {
		cfg.ReturnsClass = func(nas.DeviceID) bool { return false }
	}
	if cfg.WaveOf == 0 {
		cfg.WaveOf = 200
	}
	r := &Reconciler{
		cfg: cfg, life: CommandLife(cfg.Retry), metrics: newMetrics(cfg.Metrics),
		dirtied: make(chan struct{}, 1), kicked: make(chan struct{}, 1),
		sessions: map[nas.SessionKey]*session{}, byOwner: map[owner][]*session{}, lanes: map[nas.DeviceID]*lane{},
		pending: map[*session]struct{}{}, outcomes: outcomes{wake: make(chan struct{}, 1)},
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(waveCollector{r})
	}
	return r
}

// SessionSeen tells of a session by its Start or an Interim-Update. It is the evidence that an acknowledged CoA is waited
// for, and that an acknowledged Disconnect did not happen. Applied counts when the session is new to the Reconciler;
// afterwards it knows better itself. It takes about a microsecond and never waits for the network.
func (r *Reconciler) SessionSeen(seen nas.Session, said nas.Report) {
	if u := r.seen(seen, said); u.is {
		r.cfg.SetApplied(u.key, 0)
	}
}

func (r *Reconciler) seen(seen nas.Session, said nas.Report) (u unsure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sessions[seen.Key]
	if s != nil && !s.StartedAt.Equal(seen.StartedAt) {
		r.remove(s) // the id is used again: another session
		s = nil
	}
	if s == nil {
		s = &session{Session: seen, lane: r.laneOf(seen.Key.Device), applied: known(seen.Applied), place: -1, bound: -1}
		r.sessions[seen.Key] = s
		r.index(s)
		r.loggedInAgain(s)
		if _, denied := s.lane.denied[seen.Key.ID]; denied {
			r.namedBadly(s)
		}
	} else {
		if s.Login != seen.Login || s.Access != seen.Access {
			r.unindex(s)
			s.Login, s.Access = seen.Login, seen.Access
			r.index(s)
		}
		again := s.differs || s.stale || !s.known || time.Since(s.askedAt) > askAgain
		s.Session = seen
		u = r.heardOf(s, said)
		if !again {
			return u
		}
	}
	r.dirty(s, false)
	return u
}

// known is 0 for a digest that names no service.
func known(d nas.Digest) nas.Digest {
	if d.Outcome() == 0 {
		return 0
	}
	return d
}

// askAgain is how old an answer of Desired may be when its session is heard of. Changes and boundaries are told or
// foreseen; this finds what was nevertheless missed, at a price that a crowd's interims do not notice.
const askAgain = time.Minute

// SessionGone tells that a session is closed: by its Stop, by Accounting-On or -Off, or because another took its place.
// cause is the Acct-Terminate-Cause, 0 when there is none.
func (r *Reconciler) SessionGone(key nas.SessionKey, cause int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sessions[key]
	if s == nil {
		return
	}
	if s.trial != nil && (s.trial.mayEnd() || cause != 0 && s.trial.fresh()) {
		r.proved(s, nas.EvidenceStop)
	}
	s.goneAt = r.cfg.Now()
	r.remove(s)
	r.cfg.Log.Debug().Str("login", s.Login).Int("cause", cause).Msg("session closed")
}

// Changed tells that what an access with a login should have may have changed: of the sessions whose Class names the
// access, and of those with that User-Name that named none. It must not be called while holding a lock that Config.Desired
// takes.
func (r *Reconciler) Changed(access contracts.AccessID, login string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range [...]owner{{access: access}, {login: strings.TrimSpace(login)}} {
		if o == (owner{}) {
			continue
		}
		for _, s := range r.byOwner[o] {
			r.dirty(s, true)
		}
	}
}

// Kick tells that anything may have changed: the clock was set, the directory was loaded, a device was edited.
func (r *Reconciler) Kick() {
	select {
	case r.kicked <- struct{}{}:
	default:
	}
}

// Disconnect ends a session because a person asked for it. The command goes out from the background, before others.
func (r *Reconciler) Disconnect(key nas.SessionKey, actor, reason string) error {
	return r.ask(key, r.canTell, func(s *session) {
		s.order = &order{actor: actor, reason: reason}
		s.retryAt, s.disconnectedAt = time.Time{}, time.Time{}
	})
}

// Probe has a session's device told again what it should apply, to learn whether it still has that session: Error-Cause
// 503 says that it does not (Config.Gone). Anything else, silence too, changes nothing. The error says why it cannot be
// asked.
func (r *Reconciler) Probe(key nas.SessionKey, reason string) error {
	hears := func(dev *nas.Device) bool { return dev.CoA.IsValid() }
	return r.ask(key, hears, func(s *session) { s.probe = reason })
}

// ask notes on an open session what its device is to be told, and sees to it. The error says why it cannot be.
func (r *Reconciler) ask(key nas.SessionKey, can func(*nas.Device) bool, note func(*session)) error {
	dev, ok := r.cfg.Device(key.Device)
	if !ok {
		return contracts.NotFoundf("the session's access server is not known")
	}
	if !can(dev) {
		return contracts.Conflictf("unreachable", "%s has no address for commands", dev.Name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sessions[key]
	if s == nil {
		return contracts.NotFoundf("the session is not open")
	}
	s.lane.know(dev)
	note(s)
	r.settle(s)
	return nil
}

// Open counts the sessions that the Reconciler watches.
func (r *Reconciler) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sessions)
}

// Differences counts the sessions whose applied service is not the one wanted.
func (r *Reconciler) Differences() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, s := range r.sessions {
		if s.differs || s.dirty != clean {
			n++
		}
	}
	return n
}

// pollEvery bounds how long a boundary or a jump of the clock is noticed late.
const pollEvery = 200 * time.Millisecond

// Run works until ctx ends. Only this goroutine asks Desired, so that no older answer overtakes a newer one.
func (r *Reconciler) Run(ctx context.Context) {
	var lanes, completing sync.WaitGroup
	sent := make(chan struct{})
	completing.Go(func() { r.complete(sent) })
	defer completing.Wait()
	defer close(sent)
	defer lanes.Wait()
	r.mu.Lock()
	r.start = func(l *lane) { lanes.Go(func() { l.run(ctx) }) }
	for _, l := range r.lanes {
		r.start(l)
	}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.start = nil
		r.mu.Unlock()
	}()

	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		r.evaluateDirty(ctx)
		select {
		case <-ctx.Done():
			return
		case <-r.dirtied:
		case <-r.kicked:
			r.dirtyAll(true)
		case <-tick.C:
			r.unhold()
			r.ring()
			now := r.cfg.Now()
			if now.Before(r.latest) {
				r.latest = now
				r.dirtyAll(false) // answers and boundaries are those of a later time
			} else {
				r.dirtyDue(now)
			}
		}
	}
}

// dirt says whether a session is to be evaluated, and in which list it is for that.
type dirt uint8

const (
	clean dirt = iota
	later
	soon
)

// dirty has a session evaluated; urgent ones before the others.
func (r *Reconciler) dirty(s *session, urgent bool) {
	switch {
	case urgent && s.dirty < soon:
		s.dirty = soon
		r.urgent = append(r.urgent, s)
	case s.dirty == clean:
		s.dirty = later
		r.routine = append(r.routine, s)
	}
	select {
	case r.dirtied <- struct{}{}:
	default:
	}
}

// dirtyAll has every session evaluated; fresh also forgets that differences were given up.
func (r *Reconciler) dirtyAll(fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range maps.Values(r.sessions) {
		if fresh {
			s.retryAt, s.backoff = time.Time{}, 0
		}
		r.dirty(s, false)
	}
}

func (r *Reconciler) dirtyDue(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.bounds) > 0 && !r.bounds[0].until.After(now) {
		s := heap.Pop(&r.bounds).(*session)
		r.dirty(s, false)
	}
}

// batch bounds how many sessions are evaluated before the urgent ones are looked at again.
const batch = 128

// evaluateDirty asks what each dirty session should have. Desired and Device are called without the lock.
func (r *Reconciler) evaluateDirty(ctx context.Context) {
	type question struct {
		s         *session
		key       nas.SessionKey
		login     string
		access    contracts.AccessID
		svc       nas.Service
		until     time.Time
		known     bool
		device    *nas.Device
		reachable bool
		start     time.Time // of a session of which it is to be worked out what it was granted
		granted   nas.Digest
	}
	asks := make([]question, 0, batch)
	for ctx.Err() == nil {
		asks = asks[:0]
		r.mu.Lock()
		for len(asks) < batch && len(r.urgent)+len(r.routine) > 0 {
			from := &r.urgent
			if len(r.urgent) == 0 {
				from = &r.routine
			}
			s := (*from)[0]
			(*from)[0] = nil
			*from = (*from)[1:]
			if s.dirty != clean && !s.gone {
				s.dirty = clean
				q := question{s: s, key: s.Key, login: s.Login, access: s.Access}
				if s.untold() {
					q.start = s.StartedAt
				}
				asks = append(asks, q)
			}
		}
		r.mu.Unlock()
		if len(asks) == 0 {
			return
		}
		now, asked := r.cfg.Now(), time.Now()
		if now.After(r.latest) {
			r.latest = now
		}
		for i := range asks {
			a := &asks[i]
			a.svc, a.until, a.known = r.cfg.Desired(a.login, a.access, now)
			a.device, a.reachable = r.cfg.Device(a.key.Device)
			if !a.start.IsZero() {
				if d, ok := r.cfg.Granted(a.login, a.start, now); ok {
					a.granted = d
				}
			}
		}
		r.mu.Lock()
		for i := range asks {
			a := &asks[i]
			if a.s.gone {
				continue
			}
			a.s.lane.know(a.device)
			a.s.askedAt = asked
			r.setBoundary(a.s, a.until)
			a.s.wants(a.svc, a.known)
			if a.granted != 0 && a.s.untold() {
				a.s.applied = a.granted
			} else {
				a.granted = 0
			}
			r.settle(a.s)
		}
		r.mu.Unlock()
		for i := range asks {
			if a := &asks[i]; a.granted != 0 {
				r.cfg.SetApplied(a.key, a.granted)
			}
		}
	}
}

func (r *Reconciler) laneOf(id nas.DeviceID) *lane {
	l := r.lanes[id]
	if l == nil {
		l = newLane(r, id)
		l.paused = r.isPaused(id)
		r.lanes[id] = l
		if r.start != nil {
			r.start(l)
		}
	}
	return l
}

func (r *Reconciler) index(s *session) {
	o := s.owner()
	r.byOwner[o] = append(r.byOwner[o], s)
}

func (r *Reconciler) unindex(s *session) {
	o := s.owner()
	of := r.byOwner[o]
	if i := slices.Index(of, s); i >= 0 {
		of = slices.Delete(of, i, i+1)
	}
	if len(of) == 0 {
		delete(r.byOwner, o)
		return
	}
	r.byOwner[o] = of
}

// remove forgets a session. A command in flight for it is still recorded when it is answered.
func (r *Reconciler) remove(s *session) {
	s.gone = true
	s.lane.drop(s)
	r.setBoundary(s, time.Time{})
	r.setDiffers(s, false)
	r.track(s)
	r.unindex(s)
	delete(r.sessions, s.Key)
	r.unclaim(s)
}

// boundaries is a heap of the sessions whose wanted service ends at a foreseen instant, the next first.
type boundaries []*session

func (b boundaries) Len() int           { return len(b) }
func (b boundaries) Less(i, j int) bool { return b[i].until.Before(b[j].until) }
func (b boundaries) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].bound, b[j].bound = i, j
}
func (b *boundaries) Push(x any) {
	s := x.(*session)
	s.bound = len(*b)
	*b = append(*b, s)
}
func (b *boundaries) Pop() any {
	s := (*b)[len(*b)-1]
	(*b)[len(*b)-1] = nil
	*b = slices.Delete(*b, len(*b)-1, len(*b))
	s.bound = -1
	return s
}

func (r *Reconciler) setBoundary(s *session, until time.Time) {
	s.until = until
	switch {
	case s.bound >= 0 && until.IsZero():
		heap.Remove(&r.bounds, s.bound)
	case s.bound >= 0:
		heap.Fix(&r.bounds, s.bound)
	case !until.IsZero():
		heap.Push(&r.bounds, s)
	}
}
