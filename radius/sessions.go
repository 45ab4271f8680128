package radius

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"enlace/contracts"
	"enlace/nas"
)

// Observer hears of open sessions, of each in the order of what happened to it as long as Apply is called from one
// goroutine. It may read the table and call SetApplied, and must not otherwise change it.
type Observer interface {
	// SessionSeen is called when a record showed a session to be open, for the first time or again, with what has been
	// said of it.
	SessionSeen(nas.Session, nas.Report)
	// SessionGone is called when an open session has ended; cause is its Acct-Terminate-Cause.
	SessionGone(key nas.SessionKey, cause int)
}

// Sessions is the open sessions, in memory. Sessions that ended are remembered for a while, so that late records do not
// open them again. All methods are safe for concurrent use.
type Sessions struct {
	seed     maphash.Seed
	shards   [sessionShards]sessionShard
	owners   [sessionShards]ownerShard
	open     atomic.Int64
	devices  sync.Map // nas.DeviceID -> *life
	boots    Boots
	booting  booting
	observer atomic.Pointer[Observer]

	limiter   atomic.Pointer[Limiter]
	listening atomic.Int64 // Unix seconds: silence before is our own
	swept     atomic.Int64 // Unix seconds: the last Sweep

	// Grown, if set before the first Apply, is called when a record that happened at an instant made the counters of a
	// session grow. Of a session that is first seen in its midst it is not known what storage has of it already, such as
	// from another node: that it grew is told from its next record on.
	Grown func(s *Session, at time.Time, by contracts.Traffic)
	odd   func(Oddity) // hears what only the session shows of its record; nil: nobody does
}

const (
	sessionShards = 64
	rememberFor   = 15 * time.Minute // an ended session, by the time of the records that come in
	rememberMost  = 2048             // ended sessions in a shard
)

type sessionShard struct {
	telling sync.Mutex // held from a change until the observer knows of it; taken before mu
	grew    Session    // of the change that is being told

	mu    sync.RWMutex
	byKey map[nas.SessionKey]Lineage
	ended []endedKey // oldest first
}

type endedKey struct {
	key   nas.SessionKey
	until time.Time
}

// NewSessions is an empty table.
func NewSessions() *Sessions {
	t := &Sessions{seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].byKey = map[nas.SessionKey]Lineage{}
		t.owners[i].byOwner = map[owner]owned{}
	}
	return t
}

// Observe tells o of every session that is open, and from then on of every change.
func (t *Sessions) Observe(o Observer) {
	t.observer.Store(&o)
	for i := range t.shards {
		sh := &t.shards[i]
		sh.telling.Lock()
		for _, s := range sh.openOnes(func(*Session) bool { return true }) {
			o.SessionSeen(s.Session, nas.Report{})
		}
		sh.telling.Unlock()
	}
}

// Restore puts back an open session that was stored, without telling the observer.
func (t *Sessions) Restore(s Session) {
	sh := t.shard(s.Key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.Hearsay = s.Hearsay || s.Heard == 0
	s.Heard = cmp.Or(s.Heard, s.LastSeen.Unix())
	sh.byKey[s.Key] = append(sh.byKey[s.Key], s)
	t.count(nil, &s)
}

// Apply merges a record and tells the observer.
func (t *Sessions) Apply(r *Record) Change {
	switch r.Kind {
	case 0:
		return Unchanged
	case KindOn, KindOff:
		return t.boot(r)
	}
	if t.booting.busy.Load() {
		t.bootFirst(r)
	}
	sh := t.shard(r.Key)
	if r.Kind != KindApplied { // of which nobody is told
		sh.telling.Lock()
		defer sh.telling.Unlock()
	}
	booted := t.boots.Of(r)
	alive := t.life(r.Key.Device)
	reported := r.Kind != KindApplied && r.Kind != KindClosed
	if reported {
		alive.hear(r.Received.Unix())
	}
	sh.mu.Lock()
	sh.forget(r.Received)
	lineage := sh.byKey[r.Key]
	known := lineage
	before, wasOpen := lineage.current()
	if in, out := before.leaps(r); (in || out) && wasOpen && t.odd != nil && before.age(r) == 0 {
		t.odd(OddCounter)
	}
	var was, grown contracts.Traffic
	counted := t.Grown != nil && (len(lineage) > 0 || r.Kind == KindStart)
	if counted {
		was = lineage.Traffic()
	}
	lineage, at, change := lineage.Fold(r, booted)
	if reported && at >= 0 {
		lineage[at].hear(r.sent().Unix(), t.listening.Load())
	}
	if counted && at >= 0 {
		if grown = lineage.Traffic().Minus(was); !grown.IsZero() {
			sh.grew = lineage[at]
		}
	}
	after, isOpen := lineage.current()
	if len(lineage) > 0 {
		if len(lineage) != len(known) { // otherwise it was changed in its place
			sh.byKey[r.Key] = lineage
		}
		if change == Closed || wasOpen && isOpen && !before.StartedAt.Equal(after.StartedAt) {
			sh.remember(r.Key, r.Received)
		}
	}
	t.count(pick(&before, wasOpen), pick(&after, isOpen))
	last := at == len(lineage)-1
	cause := lineage.causeOf(before.StartedAt)
	sh.mu.Unlock()
	if !grown.IsZero() {
		t.Grown(&sh.grew, r.Event, grown)
	}

	if l := t.limiter.Load(); l != nil && (change == Opened || change == Reopened) {
		l.note(&after, change == Reopened)
	}
	o := t.observer.Load()
	if o == nil {
		return change
	}
	if wasOpen && (!isOpen || !before.StartedAt.Equal(after.StartedAt)) {
		(*o).SessionGone(r.Key, int(cause))
	}
	if isOpen && last && change != Unchanged && r.Kind != KindApplied {
		(*o).SessionSeen(after.Session, after.report(r.Cookie.Granted))
	}
	return change
}

func pick(s *Session, ok bool) *Session {
	if ok {
		return s
	}
	return nil
}

// current is the open session of a key.
func (l Lineage) current() (Session, bool) {
	if n := len(l); n > 0 && l[n-1].Open() {
		return l[n-1], true
	}
	return Session{}, false
}

func (l Lineage) causeOf(start time.Time) uint32 {
	for i := range l {
		if l[i].StartedAt.Equal(start) {
			return l[i].Cause
		}
	}
	return 0
}

// Settle ends an open session that is the ended one given, when its records so far do not go beyond that: storage has
// remembered an end which this table had forgotten, or which another node heard of.
func (t *Sessions) Settle(ended Session, now time.Time) {
	t.end(ended.Key, now, func(s *Session) bool {
		if s.other(&ended) || s.LastSeen.After(ended.LastSeen) {
			return false
		}
		*s = ended
		return true
	})
}

// end changes the open session of a key so that it is no longer open, and tells the observer.
func (t *Sessions) end(key nas.SessionKey, now time.Time, how func(*Session) bool) bool {
	sh := t.shard(key)
	sh.telling.Lock()
	defer sh.telling.Unlock()
	sh.mu.Lock()
	lineage := sh.byKey[key]
	before, ok := lineage.current()
	if ok {
		ok = how(&lineage[len(lineage)-1])
	}
	if !ok {
		sh.mu.Unlock()
		return false
	}
	cause := lineage[len(lineage)-1].Cause
	sh.remember(key, now)
	t.count(&before, nil)
	sh.mu.Unlock()
	if o := t.observer.Load(); o != nil {
		(*o).SessionGone(key, int(cause))
	}
	return true
}

// SetApplied notes which service an open session was given after its Access-Accept. It is not told to the observer.
func (t *Sessions) SetApplied(key nas.SessionKey, d nas.Digest) bool {
	return t.Apply(&Record{Kind: KindApplied, Key: key, Cookie: nas.Cookie{Granted: d}}) == Updated
}

// Get is the open session of a key.
func (t *Sessions) Get(key nas.SessionKey) (Session, bool) {
	sh := t.shard(key)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.byKey[key].current()
}

// Count is how many sessions are open.
func (t *Sessions) Count() int { return int(t.open.Load()) }

// CountOf is how many sessions are open on a device.
func (t *Sessions) CountOf(d nas.DeviceID) int {
	if l, ok := t.devices.Load(d); ok {
		return int(l.(*life).open.Load())
	}
	return 0
}

// count keeps the numbers and the index of owners when the open session of a key changes; nil is none.
func (t *Sessions) count(before, after *Session) {
	var was, is owner
	if before != nil {
		was = ownerOf(before)
	}
	if after != nil {
		is = ownerOf(after)
	}
	if before == nil || after == nil || before.Quiet != after.Quiet {
		t.tally(before, -1)
		t.tally(after, 1)
	}
	if was == is {
		return
	}
	if !was.nobody() {
		t.ownerShard(was).remove(was, before.Key)
	}
	if !is.nobody() {
		t.ownerShard(is).add(is, after.Key)
	}
}

func (t *Sessions) tally(s *Session, n int64) {
	if s == nil {
		return
	}
	l := t.life(s.Key.Device)
	l.open.Add(n)
	if s.Quiet {
		l.stale.Add(n)
	}
	t.open.Add(n)
}

func (t *Sessions) life(d nas.DeviceID) *life {
	if l, ok := t.devices.Load(d); ok {
		return l.(*life)
	}
	l, _ := t.devices.LoadOrStore(d, new(life))
	return l.(*life)
}

func (t *Sessions) shard(key nas.SessionKey) *sessionShard {
	return &t.shards[(maphash.String(t.seed, key.ID)+uint64(key.Device))%sessionShards]
}

func (sh *sessionShard) openOnes(which func(*Session) bool) []Session {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	var found []Session
	for _, l := range sh.byKey {
		if n := len(l); n > 0 && l[n-1].Open() && which(&l[n-1]) {
			found = append(found, l[n-1])
		}
	}
	return found
}

func (sh *sessionShard) remember(key nas.SessionKey, now time.Time) {
	sh.ended = append(sh.ended, endedKey{key, now.Add(rememberFor)})
}

// forget lets ended sessions go whose time is over.
func (sh *sessionShard) forget(now time.Time) {
	n := 0
	for n < len(sh.ended) && (len(sh.ended)-n > rememberMost || sh.ended[n].until.Before(now)) {
		key := sh.ended[n].key
		if current, ok := sh.byKey[key].current(); ok {
			sh.byKey[key] = Lineage{current}
		} else {
			delete(sh.byKey, key)
		}
		n++
	}
	if n > 0 {
		sh.ended = slices.Delete(sh.ended, 0, n)
	}
}

// Collector exposes how many sessions are open on each device, by the device's name.
func (t *Sessions) Collector(name func(nas.DeviceID) string) prometheus.Collector {
	return sessionCollector{t, name}
}

type sessionCollector struct {
	t    *Sessions
	name func(nas.DeviceID) string
}

var (
	openSessions  = prometheus.NewDesc("enlace_sessions_open", "Open sessions of a device.", []string{"device"}, nil)
	staleSessions = prometheus.NewDesc("enlace_sessions_stale", "Open sessions that their device no longer reports.", []string{"device"}, nil)
)

func (c sessionCollector) Describe(to chan<- *prometheus.Desc) {
	to <- openSessions
	to <- staleSessions
}

func (c sessionCollector) Collect(to chan<- prometheus.Metric) {
	type counts struct{ open, stale int64 }
	of := map[string]counts{} // names of devices that are gone may be equal
	c.t.devices.Range(func(d, l any) bool {
		name := c.name(d.(nas.DeviceID))
		n := of[name]
		of[name] = counts{n.open + l.(*life).open.Load(), n.stale + l.(*life).stale.Load()}
		return true
	})
	for name, n := range of {
		to <- prometheus.MustNewConstMetric(openSessions, prometheus.GaugeValue, float64(n.open), name)
		to <- prometheus.MustNewConstMetric(staleSessions, prometheus.GaugeValue, float64(n.stale), name)
	}
}
