package radius

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"enlace/nas"
)

// LeaseStore keeps pools and leases where every node sees them. now is the program's clock.
type LeaseStore interface {
	Pools(ctx context.Context) ([]nas.Pool, error)
	// LeasesSince calls f for every lease that was changed after a mark; the empty mark is the beginning. It returns the
	// mark to go on from; a lease may be told twice.
	LeasesSince(ctx context.Context, mark time.Time, f func(Lease)) (time.Time, error)
	// Reserve claims up to n places of a pool for a node until an instant, and returns those that are now its own: never
	// used ones first, then those whose lease ended before now.
	Reserve(ctx context.Context, node string, p *nas.Pool, n int, now, until time.Time) ([]netip.Prefix, error)
	// KeepReserve renews what a node holds in reserve.
	KeepReserve(ctx context.Context, node string, held []netip.Prefix, until time.Time) error
	// KeepLeases records leases, and returns those that could not be: the place is somebody else's, or the access has
	// another place in that slot.
	KeepLeases(ctx context.Context, node string, now time.Time, leases []Lease) (lost []Lease, err error)
	// ReleaseReserve gives back what a node holds in reserve.
	ReleaseReserve(ctx context.Context, node string, now time.Time) error
}

// LeaseKeeper is the work beside the hot path: it keeps the leases of memory and of storage in step.
type LeaseKeeper struct {
	*Leases
	store LeaseStore
	node  string
	now   func() time.Time
	log   zerolog.Logger

	mark                     time.Time // of the storage
	listened, swept, renewed time.Time // by the machine's clock
	complained               time.Time
}

const (
	listenEvery   = 5 * time.Second  // for what other nodes did
	sweepEvery    = 60 * time.Second // renewing the leases of open sessions
	renewEvery    = 20 * time.Minute // renewing the reserve
	askEvery      = time.Second      // for an unknown pool, and for places of an exhausted one
	keepBatch     = 5000
	complainEvery = time.Minute
)

// NewLeaseKeeper keeps leases in a storage on behalf of a node. now is the clock by which leases end.
func NewLeaseKeeper(l *Leases, store LeaseStore, node string, now func() time.Time, log zerolog.Logger) *LeaseKeeper {
	return &LeaseKeeper{Leases: l, store: store, node: node, now: now, log: log}
}

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
	renew := all || time.Since(w.renewed) >= renewEvery
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
			lost, err := w.store.KeepLeases(ctx, w.node, w.now(), batch)
			if err != nil {
				p.again(batch)
				return err
			}
			for _, s := range lost {
				w.lost(p, s)
			}
		}
	}
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

// lost moves a lease whose slot another node has filled to the next one; a place that is somebody else's is forgotten.
func (w *LeaseKeeper) lost(p *leasePool, s Lease) {
	sh := p.shard(s.Access)
	place, _ := p.PlaceOf(s.Prefix)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	key := leaseKey{s.Access, s.Slot}
	have, ok := sh.by[key]
	if !ok || have.place != place {
		return
	}
	delete(sh.by, key)
	p.leased.Add(-1)
	for slot := s.Slot + 1; slot < maxSlots; slot++ {
		next := leaseKey{s.Access, slot}
		if _, taken := sh.by[next]; !taken {
			sh.by[next] = have
			p.leased.Add(1)
			w.note(p, next)
			return
		}
	}
	w.conflicts.Inc()
	w.log.Warn().Int64("access", int64(s.Access)).Stringer("address", s.Prefix).Msg("an address of a pool was given that is not free; the next login gets another")
}

// sweep renews the leases of open sessions, and takes in what sessions have though it was not lent to them.
func (w *LeaseKeeper) sweep() {
	pools := *w.pools.Load()
	if len(pools) == 0 {
		return
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
	if free < 0 {
		w.conflicts.Inc()
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
		if lapsed := until.Sub(now) < leaseMargin; lapsed && len(held) > 0 { // a long absence, or the clock was moved
			p.mu.Lock()
			p.reserve = nil
			p.mu.Unlock()
			held, missing = nil, p.target()
		}
		next := now.Add(reserveFor)
		if renew && len(held) > 0 {
			if err := w.store.KeepReserve(ctx, w.node, prefixesOf(p, held), next); err != nil {
				return err
			}
		} else if len(held) > 0 {
			next = until
		}
		if (missing > p.target()/2 || len(held) == 0) && time.Since(p.asked) >= askEvery {
			got, err := w.store.Reserve(ctx, w.node, &p.Pool, missing, now, now.Add(reserveFor))
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
				p.asked = time.Now()
			}
			p.mu.Unlock()
		}
		p.mu.Lock()
		p.reserveUntil = next
		p.mu.Unlock()
	}
	return nil
}

func prefixesOf(p *leasePool, places []uint32) []netip.Prefix {
	list := make([]netip.Prefix, len(places))
	for i, place := range places {
		list[i] = p.At(place)
	}
	return list
}
