package radius

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"enlace/contracts"
	"enlace/nas"
)

// Lease is an address or prefix of a pool that is an access's until an instant. An access that is used from two routers
// at once has two, by slot.
type Lease struct {
	Pool   nas.PoolID
	Prefix netip.Prefix
	Access contracts.AccessID
	Slot   uint8
	Until  time.Time
}

const (
	// leaseMargin is how long before its end a lease is no longer relied upon: clocks differ, and what this node does
	// reaches the database later.
	leaseMargin = 15 * time.Minute
	// reserveMargin is how long before its end nothing is given out of a reserve any more, for the same reasons; what was
	// given just before it is recorded by then.
	reserveMargin = 2 * time.Minute
	// grantedFor is how long a place counts as used by whoever was given it, although no session has been seen yet.
	grantedFor = time.Minute

	maxSlots    = 8
	leaseShards = 64
)

// Leases lends addresses of pools to accesses, from memory. A lease is sticky: an access that logs in again before its
// lease ends gets the same one, and the lease starts anew. What is lent first comes out of a reserve that this node has
// claimed in the database beforehand, so that a login waits for no database and no two nodes lend the same. All methods are
// safe for concurrent use.
type Leases struct {
	limit     int           // of sessions of an access that has none of its own; 0 = none
	hold      time.Duration // how long a lease lasts without a login or a session
	sessions  *Sessions
	seed      maphash.Seed
	pools     atomic.Pointer[map[nas.PoolID]*leasePool]
	wake      chan struct{}
	unknown   atomic.Bool // a pool was asked for that is not known
	conflicts prometheus.Counter
}

// leasePool is a pool with what is known of its places.
type leasePool struct {
	nas.Pool
	shards [leaseShards]leaseShard
	leased atomic.Int64

	mu           sync.Mutex
	reserve      []uint32
	reserveUntil time.Time
	exhausted    bool // the database had no place left when it was last asked
	dirty        map[leaseKey]struct{}
	asked        time.Time // when that was; of the refilling goroutine only
}

type leaseShard struct {
	mu sync.Mutex
	by map[leaseKey]lease
}

type leaseKey struct {
	access contracts.AccessID
	slot   uint8
}

type lease struct {
	place   uint32
	until   int64 // Unix seconds
	granted int64 // the last Access-Accept with it
	station uint64
}

// NewLeases lends for a time that begins anew with every login and goes on while a session is open; limit is how many
// sessions an access may have that has no limit of its own, 0 for any number, and sessions say what
// is in use.
func NewLeases(hold time.Duration, limit int, sessions *Sessions) *Leases {
	l := &Leases{hold: hold, limit: limit, sessions: sessions, seed: maphash.MakeSeed(), wake: make(chan struct{}, 1), conflicts: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "enlace_pool_conflicts_total", Help: "Addresses of pools that sessions have and that are lent to somebody else, or to nobody who is known."})}
	l.pools.Store(&map[nas.PoolID]*leasePool{})
	return l
}

// SetPools replaces what the pools are. What is lent stays.
func (l *Leases) SetPools(pools []nas.Pool) {
	old := *l.pools.Load()
	next := make(map[nas.PoolID]*leasePool, len(pools))
	for _, p := range pools {
		known := old[p.ID]
		if known == nil {
			known = &leasePool{Pool: p, dirty: map[leaseKey]struct{}{}}
			for i := range known.shards {
				known.shards[i].by = map[leaseKey]lease{}
			}
		} else if len(known.Ranges) != len(p.Ranges) {
			known = known.grown(p)
		}
		next[p.ID] = known
	}
	l.pools.Store(&next)
	l.kick()
}

// grown is the pool with more ranges; places keep their numbers. Whoever still lends from the old one is told to ask
// again: nothing is lent while what there is moves.
func (p *leasePool) grown(with nas.Pool) *leasePool {
	g := &leasePool{Pool: with}
	for i := range p.shards {
		p.shards[i].mu.Lock()
	}
	p.mu.Lock()
	g.reserve, g.reserveUntil, g.dirty = p.reserve, p.reserveUntil, p.dirty
	p.reserve, p.dirty, p.exhausted = nil, map[leaseKey]struct{}{}, false
	p.mu.Unlock()
	for i := range p.shards {
		g.shards[i].by, p.shards[i].by = p.shards[i].by, map[leaseKey]lease{}
	}
	g.leased.Store(p.leased.Load())
	for i := range p.shards {
		p.shards[i].mu.Unlock()
	}
	return g
}

// withhold lends nothing new any more. What was lent is noted when it returns.
func (p *leasePool) withhold() {
	for i := range p.shards {
		p.shards[i].mu.Lock()
	}
	p.mu.Lock()
	p.reserve = nil
	p.mu.Unlock()
	for i := range p.shards {
		p.shards[i].mu.Unlock()
	}
}

// forget lets go of leases that have ended.
func (p *leasePool) forget(now time.Time) {
	for i := range p.shards {
		sh := &p.shards[i]
		sh.mu.Lock()
		for key, have := range sh.by {
			if have.until < now.Unix() {
				delete(sh.by, key)
				p.leased.Add(-1)
			}
		}
		sh.mu.Unlock()
	}
}

func (l *Leases) pool(id nas.PoolID) *leasePool { return (*l.pools.Load())[id] }

func (l *Leases) kick() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// LendVerdict is what became of asking for a place.
type LendVerdict uint8

const (
	Lent          LendVerdict = iota
	LendLater                 // none is at hand just now: the access server is to ask again
	PoolExhausted             // there is none
)

// Lend gives an access its place in a pool, for the router that asks from station: the one it has, unless a session from
// another router is using that.
func (l *Leases) Lend(id nas.PoolID, s *Subscriber, station []byte, now time.Time) (netip.Prefix, LendVerdict) {
	p := l.pool(id)
	if p == nil { // the device knows of it before this node does
		l.unknown.Store(true)
		l.kick()
		return netip.Prefix{}, LendLater
	}
	from := maphash.Bytes(l.seed, station)
	sh := p.shard(s.Access)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	spare, idle := leaseKey{}, int64(-1) // of those that no session has, the one that was given longest ago
	for slot := range l.slots(s) {
		key := leaseKey{s.Access, slot}
		have, ok := sh.by[key]
		if ok && have.until-now.Unix() < int64(leaseMargin/time.Second) {
			delete(sh.by, key)
			p.leased.Add(-1)
			ok = false
		}
		if ok {
			if have.station != from && l.busy(s, p.At(have.place), station) {
				continue
			}
			if since := now.Unix() - have.granted; have.station != from && since < int64(grantedFor/time.Second) {
				if since > idle {
					spare, idle = key, since
				}
				continue
			}
			return l.again(p, sh, key, from, now), Lent
		}
		place, verdict := l.pop(p, now)
		if verdict != Lent {
			return netip.Prefix{}, verdict
		}
		sh.by[key] = lease{place: place, until: now.Add(l.hold).Unix(), granted: now.Unix(), station: from}
		p.leased.Add(1)
		l.note(p, key)
		return p.At(place), Lent
	}
	if idle >= 0 {
		return l.again(p, sh, spare, from, now), Lent
	}
	return netip.Prefix{}, PoolExhausted
}

// again gives an access a place that it has, to the router that asks.
func (l *Leases) again(p *leasePool, sh *leaseShard, key leaseKey, station uint64, now time.Time) netip.Prefix {
	have := sh.by[key]
	have.station, have.granted = station, now.Unix()
	if have.until-now.Unix() < int64(l.hold/2/time.Second) {
		have.until = now.Add(l.hold).Unix()
		l.note(p, key)
	}
	sh.by[key] = have
	return p.At(have.place)
}

// slots is how many places an access may have: one for each session that it may have and one for the session that takes
// the place of another, lest whoever changes routers, or their MAC addresses, drain a pool.
func (l *Leases) slots(s *Subscriber) uint8 {
	limit := int(s.Limit)
	if limit == 0 {
		limit = l.limit
	}
	if limit == 0 {
		return maxSlots
	}
	return uint8(min(limit+1, maxSlots))
}

// busy reports whether a session of an access from another router has an address or prefix.
func (l *Leases) busy(of *Subscriber, what netip.Prefix, station []byte) bool {
	for _, s := range l.sessions.AppendOf(nil, of.Access, of.Login) {
		if s.CallingStation != string(station) && (s.FramedIP == what.Addr() || slices.Contains(s.FramedIPv6, what)) {
			return true
		}
	}
	return false
}

func (p *leasePool) shard(access contracts.AccessID) *leaseShard {
	return &p.shards[uint64(access)%leaseShards]
}

// pop takes a place out of the reserve.
func (l *Leases) pop(p *leasePool, now time.Time) (uint32, LendVerdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.reserve)
	if n <= p.target()/2 {
		l.kick()
	}
	switch {
	case n > 0 && p.reserveUntil.Sub(now) > reserveMargin:
		place := p.reserve[n-1]
		p.reserve = p.reserve[:n-1]
		return place, Lent
	case p.exhausted:
		return 0, PoolExhausted
	}
	return 0, LendLater
}

// target is how many places a node holds in reserve: a small part of a pool, for there are other nodes.
func (p *leasePool) target() int { return int(min(max(p.Places()/16, 4), 2048)) }

// note has a lease written.
func (l *Leases) note(p *leasePool, key leaseKey) {
	p.mu.Lock()
	p.dirty[key] = struct{}{}
	p.mu.Unlock()
	l.kick()
}

// put takes in a lease from the database or a snapshot; one that this node knows to last longer stays.
func (l *Leases) put(s Lease) {
	p := l.pool(s.Pool)
	if p == nil {
		return
	}
	place, ok := p.PlaceOf(s.Prefix)
	if !ok {
		return
	}
	key := leaseKey{s.Access, s.Slot}
	sh := p.shard(s.Access)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	have, known := sh.by[key]
	switch {
	case !known:
		p.leased.Add(1)
		sh.by[key] = lease{place: place, until: s.Until.Unix()}
	case have.place == place:
		have.until = max(have.until, s.Until.Unix())
		sh.by[key] = have
	case have.until < s.Until.Unix():
		sh.by[key] = lease{place: place, until: s.Until.Unix()}
	}
}

// Restore takes in leases that were kept elsewhere.
func (l *Leases) Restore(pools []nas.Pool, leases []Lease) {
	l.SetPools(pools)
	for _, s := range leases {
		l.put(s)
	}
}

// Pools lists what the pools are.
func (l *Leases) Pools() (list []nas.Pool) {
	for _, p := range *l.pools.Load() {
		list = append(list, p.Pool)
	}
	return list
}

// All yields every lease.
func (l *Leases) All(yield func(Lease) bool) {
	for _, p := range *l.pools.Load() {
		for i := range p.shards {
			for _, s := range p.list(&p.shards[i]) {
				if !yield(s) {
					return
				}
			}
		}
	}
}

func (p *leasePool) list(sh *leaseShard) (list []Lease) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for key, have := range sh.by {
		list = append(list, p.lease(key, have))
	}
	return list
}

func (p *leasePool) lease(key leaseKey, have lease) Lease {
	return Lease{Pool: p.ID, Prefix: p.At(have.place), Access: key.access, Slot: key.slot, Until: time.Unix(have.until, 0).UTC()}
}

var (
	poolPlaces  = prometheus.NewDesc("enlace_pool_places", "Addresses or prefixes of a pool.", []string{"pool"}, nil)
	poolLeased  = prometheus.NewDesc("enlace_pool_leased", "Of a pool, those that are an access's.", []string{"pool"}, nil)
	poolReserve = prometheus.NewDesc("enlace_pool_reserve", "Of a pool, those that this node holds ready.", []string{"pool"}, nil)
	poolEmpty   = prometheus.NewDesc("enlace_pool_exhausted", "1 when a pool had no place left for this node.", []string{"pool"}, nil)
)

// Describe implements prometheus.Collector.
func (l *Leases) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolPlaces, poolLeased, poolReserve, poolEmpty} {
		to <- d
	}
	l.conflicts.Describe(to)
}

// Collect implements prometheus.Collector.
func (l *Leases) Collect(to chan<- prometheus.Metric) {
	for _, p := range *l.pools.Load() {
		p.mu.Lock()
		reserve, exhausted := len(p.reserve), p.exhausted
		p.mu.Unlock()
		empty := 0.0
		if exhausted && reserve == 0 {
			empty = 1
		}
		for d, v := range map[*prometheus.Desc]float64{poolPlaces: float64(p.Places()), poolLeased: float64(p.leased.Load()), poolReserve: float64(reserve), poolEmpty: empty} {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, p.Name)
		}
	}
	l.conflicts.Collect(to)
}
