package radius

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"enlace/contracts"
	"enlace/nas"
)

// LeaseStore keeps pools and leases where every node sees them. now is the program's clock.
type LeaseStore interface {
	Pools(ctx context.Context) ([]nas.Pool, error)
	// LeasesSince calls f for every lease that was changed after a mark; the empty mark is the beginning. It returns the
	// mark to go on from; a lease may be told twice.
	LeasesSince(ctx context.Context, mark time.Time, f func(Lease)) (time.Time, error)
	// Reserve claims up to n places of a pool for a node until an instant, and returns those that are now its own: never
	// used ones first, then those whose lease ended before now, and, with lapsed, those that other nodes held in reserve
	// and did not renew in time. No place is claimed that an open session has.
	Reserve(ctx context.Context, node string, p *nas.Pool, n int, lapsed bool, now, until time.Time) ([]netip.Prefix, error)
	// KeepReserve renews what a node holds in reserve, and returns what of it is still its own.
	KeepReserve(ctx context.Context, node string, held []netip.Prefix, until time.Time) ([]netip.Prefix, error)
	// KeepLeases records leases, and returns those that could not be: taken, because the place is another access's or
	// another node's, and filled, because the access has another place in that slot.
	KeepLeases(ctx context.Context, node string, now time.Time, leases []Lease) (taken, filled []Lease, err error)
	// LeasesOf calls f for every lease of an access in a pool.
	LeasesOf(ctx context.Context, pool nas.PoolID, access contracts.AccessID, f func(Lease)) error
	// EndReserve ends what a node's earlier run held in reserve: that run is over, and whatever it lent is seen by now
	// or will be soon.
	EndReserve(ctx context.Context, node string, now time.Time) error
	// ReleaseReserve gives back what a node holds in reserve.
	ReleaseReserve(ctx context.Context, node string, now time.Time) error
}

// LeaseKeeper is the work beside the hot path: it keeps the leases of memory and of storage in step.
type LeaseKeeper struct {
	*Leases
	store   LeaseStore
	node    string
	reserve time.Duration
	now     func() time.Time
	log     zerolog.Logger

	mark                     time.Time // of the storage
	reached                  time.Time // since when the storage has answered every round; zero: it does not
	ended                    bool      // what an earlier run held in reserve is ended
	listened, swept, renewed time.Time // by the machine's clock
	complained               time.Time
	strange                  map[strangeLease]time.Time // when it was last tried to record
	news                     int                        // of strange, since it was last said
}

// strangeLease is what a session has though it is lent to somebody else, or held by another node.
type strangeLease struct {
	what   netip.Prefix
	access contracts.AccessID
}

const (
	listenEvery   = 5 * time.Second  // for what other nodes did
	sweepEvery    = 60 * time.Second // renewing the leases of open sessions
	strangeEvery  = 5 * time.Minute  // trying again to record what was somebody else's
	askEvery      = time.Second      // for an unknown pool, and for places of an exhausted one
	keepBatch     = 5000
	complainEvery = time.Minute

	// returnGrace is how long the storage must have been there before the reserve of a node that did not renew it counts
	// as that of a dead one: after an outage all nodes need a moment to record what they lent meanwhile.
	returnGrace = 2 * time.Minute

	// LeastReserveHold is the least that NewLeaseKeeper can work with.
	LeastReserveHold = 10 * time.Minute
)

// NewLeaseKeeper keeps leases in a storage on behalf of a node. now is the clock by which leases end. reserve is how long
// the places that the node holds in reserve are its own when it cannot renew that: so long it lends out of it without the
// storage, and so long nobody else does after it has died.
func NewLeaseKeeper(l *Leases, store LeaseStore, node string, reserve time.Duration, now func() time.Time, log zerolog.Logger) *LeaseKeeper {
	return &LeaseKeeper{Leases: l, store: store, node: node, reserve: max(reserve, LeastReserveHold), now: now, log: log,
		strange: map[strangeLease]time.Time{}}
}

// renewEvery is how often the reserve is renewed.
func (w *LeaseKeeper) renewEvery() time.Duration { return min(w.reserve/6, 20*time.Minute) }

// Run keeps until ctx ends, and then gives the reserve back. With the storage away what is at hand is lent, and recorded
// when it returns.
func (w *LeaseKeeper) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := w.Round(ctx, false); err != nil && ctx.Err() == nil && time.Since(w.complained) > complainEvery {
			w.complained = time.Now()
			w.log.Error().Err(err).Msg("keeping the address pools failed; it is tried again")
		}
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
			defer cancel()
			if err := w.Release(last); err != nil {
				w.log.Warn().Err(err).Msg("the address pools could not be put in order; what was held in reserve lapses by itself")
			}
			return
		case <-tick.C:
		case <-w.wake:
			time.Sleep(5 * time.Millisecond) // for what comes with it
		}
	}
}

// Release gives the reserve back, after what was lent out of it last is recorded: otherwise another node could lend that.
func (w *LeaseKeeper) Release(ctx context.Context) error {
	for _, p := range *w.pools.Load() {
		p.withhold()
	}
	if err := w.record(ctx); err != nil {
		return err
	}
	return w.store.ReleaseReserve(ctx, w.node, w.now())
}

// Round does what is due; with all, everything.
func (w *LeaseKeeper) Round(ctx context.Context, all bool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if now := w.now(); w.reached.IsZero() || now.Before(w.reached) {
		w.reached = now
	}
	err := w.round(ctx, all)
	if err != nil {
		w.reached = time.Time{}
	}
	return err
}

func (w *LeaseKeeper) round(ctx context.Context, all bool) error {
	due, first := all || time.Since(w.swept) >= sweepEvery, w.swept.IsZero()
	if due && !first { // before the storage is asked: with it away open sessions keep what they have
		w.sweep()
		w.swept = time.Now()
	}
	if err := w.record(ctx); err != nil {
		return err
	}
	if since := time.Since(w.listened); all || since >= listenEvery || since >= askEvery && w.unknown.Swap(false) {
		if err := w.listen(ctx); err != nil {
			return err
		}
		w.listened = time.Now()
	}
	// Before anything is reserved, what sessions have is renewed: after a long absence their leases may have ended. The
	// first time that takes the pools and leases that were just read.
	if first {
		w.sweep()
		if err := w.record(ctx); err != nil {
			return err
		}
		w.swept = time.Now()
	}
	if due {
		for _, p := range *w.pools.Load() {
			p.forget(w.now())
		}
	}
	if !w.ended {
		if err := w.store.EndReserve(ctx, w.node, w.now()); err != nil {
			return err
		}
		w.ended = true
	}
	renew := all || time.Since(w.renewed) >= w.renewEvery()
	if err := w.refill(ctx, renew); err != nil {
		return err
	}
	if renew {
		w.renewed = time.Now()
	}
	return nil
}

// listen hears of pools, and of leases of other nodes.
func (w *LeaseKeeper) listen(ctx context.Context) error {
	pools, err := w.store.Pools(ctx)
	if err != nil {
		return err
	}
	if !samePools(pools, w.Pools()) {
		w.SetPools(pools)
		w.mark = time.Time{} // leases of a pool that was not known were passed over
	}
	if w.mark, err = w.store.LeasesSince(ctx, w.mark, w.put); err != nil {
		return err
	}
	return nil
}

func samePools(a, b []nas.Pool) bool {
	if len(a) != len(b) {
		return false
	}
	ranges := map[nas.PoolID]int{}
	for _, p := range a {
		ranges[p.ID] = len(p.Ranges)
	}
	for _, p := range b {
		if n, ok := ranges[p.ID]; !ok || n != len(p.Ranges) {
			return false
		}
	}
	return true
}

// record writes what was lent.
func (w *LeaseKeeper) record(ctx context.Context) error {
	for _, p := range *w.pools.Load() {
		for {
			batch := p.dirtyBatch()
			if len(batch) == 0 {
				break
			}
			taken, filled, err := w.store.KeepLeases(ctx, w.node, w.now(), batch)
			if err != nil {
				p.again(batch)
				return err
			}
			for _, s := range taken {
				w.taken(p, s)
			}
			for i, s := range filled {
				if err := w.filled(ctx, p, s); err != nil {
					p.again(filled[i:])
					return err
				}
			}
		}
	}
	w.tellStrange()
	return nil
}

func (p *leasePool) dirtyBatch() (batch []Lease) {
	p.mu.Lock()
	keys := make([]leaseKey, 0, min(len(p.dirty), keepBatch))
	for key := range p.dirty {
		if len(keys) == keepBatch {
			break
		}
		keys = append(keys, key)
		delete(p.dirty, key)
	}
	p.mu.Unlock()
	for _, key := range keys {
		sh := p.shard(key.access)
		sh.mu.Lock()
		if have, ok := sh.by[key]; ok {
			batch = append(batch, p.lease(key, have))
		}
		sh.mu.Unlock()
	}
	return batch
}

func (p *leasePool) again(batch []Lease) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range batch {
		p.dirty[leaseKey{s.Access, s.Slot}] = struct{}{}
	}
}

// remove forgets a lease, unless the access has another place in its slot by now.
func (p *leasePool) remove(s Lease) (was lease, ok bool) {
	sh := p.shard(s.Access)
	place, _ := p.PlaceOf(s.Prefix)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	key := leaseKey{s.Access, s.Slot}
	was, ok = sh.by[key]
	if !ok || was.place != place {
		return was, false
	}
	delete(sh.by, key)
	p.leased.Add(-1)
	return was, true
}

// taken forgets a lease whose place is somebody else's.
func (w *LeaseKeeper) taken(p *leasePool, s Lease) {
	if _, ok := p.remove(s); ok {
		w.stranger(s)
	}
}

// stranger notes that an access has a place that it does not hold. While its session is open it is tried again now and
// then to have it be its own: the node that held it may be dead.
func (w *LeaseKeeper) stranger(s Lease) {
	key := strangeLease{s.Prefix, s.Access}
	if _, known := w.strange[key]; !known {
		w.conflicts.Inc()
		w.news++
	}
	w.strange[key] = w.now()
}

// filled moves a lease whose slot another node has filled to one that is free there and here.
func (w *LeaseKeeper) filled(ctx context.Context, p *leasePool, s Lease) error {
	var there []Lease
	if err := w.store.LeasesOf(ctx, s.Pool, s.Access, func(l Lease) { there = append(there, l) }); err != nil {
		return err
	}
	was, ok := p.remove(s)
	if !ok {
		return nil
	}
	for _, l := range there {
		w.put(l)
	}
	sh := p.shard(s.Access)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for slot := range uint8(maxSlots) {
		key := leaseKey{s.Access, slot}
		if _, used := sh.by[key]; !used {
			sh.by[key] = was
			p.leased.Add(1)
			w.note(p, key)
			return nil
		}
	}
	w.stranger(s)
	return nil
}

// tellStrange says once of each address, in one line for all, what is in use without being lent.
func (w *LeaseKeeper) tellStrange() {
	if w.news == 0 || time.Since(w.complained) < complainEvery {
		return
	}
	for key := range w.strange {
		w.complained = time.Now()
		w.log.Warn().Int("addresses", w.news).Stringer("one", key.what).Int64("its_access", int64(key.access)).
			Msg("addresses of pools are in use that are lent to others or held by another node; the next login gets another")
		break
	}
	w.news = 0
}

// sweep renews the leases of open sessions, and takes in what sessions have though it was not lent to them.
func (w *LeaseKeeper) sweep() {
	pools := *w.pools.Load()
	if len(pools) == 0 {
		return
	}
	for key, tried := range w.strange { // those whose sessions have ended
		if w.now().Sub(tried).Abs() > 3*strangeEvery {
			delete(w.strange, key)
		}
	}
	for s := range w.sessions.Open {
		if s.Access == 0 {
			continue
		}
		for _, p := range pools {
			if p.IPv4() {
				if s.FramedIP.IsValid() {
					w.renew(p, &s, netip.PrefixFrom(s.FramedIP, 32))
				}
				continue
			}
			for _, prefix := range s.FramedIPv6 {
				w.renew(p, &s, prefix)
			}
		}
	}
}

func (w *LeaseKeeper) renew(p *leasePool, s *Session, what netip.Prefix) {
	place, ok := p.PlaceOf(what)
	if !ok {
		return
	}
	now := w.now()
	sh := p.shard(s.Access)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	free := -1
	for slot := range uint8(maxSlots) {
		key := leaseKey{s.Access, slot}
		have, taken := sh.by[key]
		if !taken && free < 0 {
			free = int(slot)
		}
		if taken && have.place == place {
			if have.until-now.Unix() < int64(w.hold/2/time.Second) {
				have.until = now.Add(w.hold).Unix()
				sh.by[key] = have
				w.note(p, key)
			}
			return
		}
	}
	if tried, strange := w.strange[strangeLease{what, s.Access}]; strange && w.now().Sub(tried).Abs() < strangeEvery || free < 0 {
		return
	}
	p.mu.Lock()
	if i := slices.Index(p.reserve, place); i >= 0 {
		p.reserve = slices.Delete(p.reserve, i, i+1)
	}
	p.mu.Unlock()
	key := leaseKey{s.Access, uint8(free)}
	sh.by[key] = lease{place: place, until: now.Add(w.hold).Unix()}
	p.leased.Add(1)
	w.note(p, key)
}

// refill claims places where the reserve is low, and keeps those that are held.
func (w *LeaseKeeper) refill(ctx context.Context, renew bool) error {
	for _, p := range *w.pools.Load() {
		p.mu.Lock()
		held, missing, until := slices.Clone(p.reserve), p.target()-len(p.reserve), p.reserveUntil
		p.mu.Unlock()
		now := w.now()
		if lapsed := until.Sub(now) < reserveMargin; lapsed && len(held) > 0 { // a long absence, or the clock was moved
			p.mu.Lock()
			p.reserve = nil
			p.mu.Unlock()
			held, missing = nil, p.target()
		}
		next := now.Add(w.reserve)
		if renew && len(held) > 0 {
			kept, err := w.store.KeepReserve(ctx, w.node, prefixesOf(p, held), next)
			if err != nil {
				return err
			}
			if len(kept) < len(held) {
				p.drop(held, kept)
			}
		} else if len(held) > 0 {
			next = until
		}
		if (missing > p.target()/2 || len(held) == 0) && now.Sub(p.asked).Abs() >= askEvery {
			got, err := w.store.Reserve(ctx, w.node, &p.Pool, missing, now.Sub(w.reached) >= returnGrace, now, now.Add(w.reserve))
			if err != nil {
				return err
			}
			p.mu.Lock()
			for _, prefix := range got {
				if place, ok := p.PlaceOf(prefix); ok {
					p.reserve = append(p.reserve, place)
				}
			}
			if p.exhausted = len(got) == 0; p.exhausted {
				p.asked = now
			}
			p.mu.Unlock()
		}
		p.mu.Lock()
		p.reserveUntil = next
		p.mu.Unlock()
	}
	return nil
}

// drop takes out of the reserve what was held and is not kept; some of it may have been lent meanwhile.
func (p *leasePool) drop(held []uint32, kept []netip.Prefix) {
	gone := make(map[uint32]bool, len(held))
	for _, place := range held {
		gone[place] = true
	}
	for _, prefix := range kept {
		if place, ok := p.PlaceOf(prefix); ok {
			delete(gone, place)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reserve = slices.DeleteFunc(p.reserve, func(place uint32) bool { return gone[place] })
}

func prefixesOf(p *leasePool, places []uint32) []netip.Prefix {
	list := make([]netip.Prefix, len(places))
	for i, place := range places {
		list[i] = p.At(place)
	}
	return list
}
