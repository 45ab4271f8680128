package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/radius"
	radiuspg "enlace/radius/pg"
)

// usage keeps in memory what contracts have used of their cycles, where their plans ask for it. What is stored comes
// from the database when the feed of changes says that it grew; what this node has seen and nobody has stored yet, as
// with the database away, comes from the sessions. Where the answer to "what may he have" turns, the reconciler is told.
type usage struct {
	read      func(ctx context.Context, of ...radiuspg.Days) (map[contracts.ContractID][]contracts.DayUsage, error)
	directory *radius.Directory
	now       func() time.Time
	changed   func(access contracts.AccessID, login string)
	log       zerolog.Logger
	crossings *prometheus.CounterVec
	moved     chan struct{} // the clock was set

	loading sync.Mutex // from reading until taking in, so that an older answer does not overtake a newer one

	plans atomic.Pointer[map[contracts.PlanID]bool] // those that are not plain

	mu    sync.RWMutex
	of    map[contracts.ContractID]metered
	fresh map[contracts.ContractID]time.Time // real clock: since when they are counted
}

// metered is a contract that is counted.
type metered struct {
	radius.Meter
	accesses []*contracts.Access // number and login
}

func newUsage(directory *radius.Directory, now func() time.Time, log zerolog.Logger, metrics prometheus.Registerer) *usage {
	u := &usage{directory: directory, now: now, log: log, moved: make(chan struct{}, 1), of: map[contracts.ContractID]metered{},
		fresh:   map[contracts.ContractID]time.Time{},
		changed: func(contracts.AccessID, string) {},
		crossings: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "enlace_usage_crossings_total",
			Help: "Contracts whose outcome turned by what they used: beyond their allowance, or within it again."}, []string{"to"}),
	}
	if metrics != nil {
		metrics.MustRegister(u.crossings, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "enlace_usage_contracts",
			Help: "Contracts whose plan has an allowance or hours."}, func() float64 {
			u.mu.Lock()
			defer u.mu.Unlock()
			return float64(len(u.of))
		}))
	}
	return u
}

// profiles are what the door needs of plans.
func (u *usage) profiles(plans []contracts.Plan) map[contracts.PlanID]radius.PlanProfile {
	out, asking := profilesOf(plans)
	u.plans.Store(&asking)
	return out
}

// profilesOf plans, and which of them ask for usage or the time of day.
func profilesOf(plans []contracts.Plan) (out map[contracts.PlanID]radius.PlanProfile, asking map[contracts.PlanID]bool) {
	out, asking = make(map[contracts.PlanID]radius.PlanProfile, len(plans)), map[contracts.PlanID]bool{}
	for i := range plans {
		p := &plans[i]
		profile := radius.PlanProfile{Name: p.Name, Full: p.Full, Reduced: p.ReducedProfile()}
		if !p.Plain() {
			profile.Terms, asking[p.ID] = p, true
		}
		out[p.ID] = profile
	}
	return out, asking
}

// meter of a contract; the zero Meter where none of its plans asks for one.
func (u *usage) meter(l *contractspg.Loaded, spans contracts.Spans) radius.Meter {
	c, plans := &l.Contract, *u.plans.Load()
	if !slices.ContainsFunc(spans, func(s contracts.Span) bool { return plans[s.PlanID] }) {
		u.mu.RLock()
		_, counted := u.of[c.ID]
		u.mu.RUnlock()
		if counted {
			u.mu.Lock()
			delete(u.of, c.ID)
			u.mu.Unlock()
		}
		return radius.Meter{}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.of[c.ID]; !known {
		u.fresh[c.ID] = time.Now()
	}
	m := metered{Meter: radius.NewMeter(c, contracts.TopUps(c, l.Facts), u.of[c.ID].Meter)}
	for _, a := range c.Accesses {
		m.accesses = append(m.accesses, &contracts.Access{ID: a.ID, Login: a.Login})
	}
	u.of[c.ID] = m
	return m.Meter
}

// adopt is the meter of a login that comes from a snapshot: the accesses of a contract share one again.
func (u *usage) adopt(sub *radius.Subscriber) radius.Meter {
	if sub.Meter == (radius.Meter{}) {
		return sub.Meter
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	m, ok := u.of[sub.Contract]
	if !ok {
		m.Meter = sub.Meter
	}
	m.accesses = append(slices.Clone(m.accesses), &contracts.Access{ID: sub.Access, Login: sub.Login})
	u.of[sub.Contract] = m
	return m.Meter
}

// load takes in what is stored of the contracts that are counted; nil: of all of them.
func (u *usage) load(ctx context.Context, ids []contracts.ContractID) error {
	u.mu.Lock()
	if ids == nil {
		ids = slices.Collect(maps.Keys(u.of))
	}
	asked := map[contracts.ContractID]metered{}
	for _, id := range ids {
		if m, ok := u.of[id]; ok {
			asked[id] = m
		}
	}
	u.mu.Unlock()
	ids = slices.Sorted(maps.Keys(asked))
	for part := range slices.Chunk(ids, 2000) {
		if err := u.loadPart(ctx, part, asked); err != nil {
			return err
		}
	}
	return nil
}

func (u *usage) loadPart(ctx context.Context, ids []contracts.ContractID, of map[contracts.ContractID]metered) error {
	u.loading.Lock()
	defer u.loading.Unlock()
	now := u.now()
	var days []radiuspg.Days
	for _, id := range ids {
		from, until := of[id].Cycle(now)
		days = append(days, radiuspg.Days{Contract: id, From: from, Until: until})
	}
	found, err := u.read(ctx, days...)
	if err != nil {
		return fmt.Errorf("loading what contracts have used: %w", err)
	}
	for i, id := range ids {
		var sum contracts.Traffic
		for _, d := range found[id] {
			sum = sum.Plus(d.Total.Minus(d.Free))
		}
		m := of[id]
		u.turn(m.accesses, func() { m.Store(days[i].From, sum) })
	}
	return nil
}

// seen takes in what a session's counters grew by.
func (u *usage) seen(s *radius.Session, at time.Time, grown contracts.Traffic) {
	sub := u.directory.Of(s.Access, s.Login)
	if sub == nil || (sub.Meter == radius.Meter{}) {
		return
	}
	if _, free := u.directory.Terms(s.Access, s.Login, at); free {
		return
	}
	u.mu.RLock()
	accesses := u.of[sub.Contract].accesses
	u.mu.RUnlock()
	u.turn(accesses, func() { sub.Meter.See(grown, at) })
}

// turn does what may change the answer for a contract's accesses, and tells the reconciler when it did.
func (u *usage) turn(accesses []*contracts.Access, do func()) {
	outcome := func() contracts.Outcome {
		if len(accesses) == 0 {
			return 0
		}
		sub := u.directory.Of(accesses[0].ID, accesses[0].Login)
		if sub == nil {
			return 0
		}
		return u.directory.WindowAt(sub, u.now()).Outcome
	}
	before := outcome()
	do()
	after := outcome()
	if before == after {
		return
	}
	to := "within"
	if after > before {
		to = "beyond"
	}
	u.crossings.WithLabelValues(to).Inc()
	for _, a := range accesses {
		u.changed(a.ID, a.Login)
	}
}

// clockMoved tells that the clock was set: another cycle may hold.
func (u *usage) clockMoved() {
	select {
	case u.moved <- struct{}{}:
	default:
	}
}

const (
	settleEvery = 10 * time.Second
	lagging     = 2 * time.Second
	// ripens is when what was stored of a contract without telling, because the storing node did not know yet that it is
	// counted, can be read.
	ripens = 5 * time.Second
)

// keep counts anew when the clock was set and soon after a contract began to be counted, and lets go of what was seen
// beside what is stored, until ctx ends. lag is how far storage is behind, in seconds.
func (u *usage) keep(ctx context.Context, lag func() float64) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
			if ripe := u.ripe(); len(ripe) > 0 {
				if err := u.load(ctx, ripe); err != nil && ctx.Err() == nil {
					u.log.Warn().Err(err).Msg("usage could not be counted anew")
				}
			}
		case <-u.moved:
			if err := u.load(ctx, nil); err != nil && ctx.Err() == nil {
				u.log.Warn().Err(err).Msg("the clock was set, and usage could not be counted anew")
			}
		case <-tick.C:
			if lag() < lagging.Seconds() {
				u.settle()
			}
		}
	}
}

// ripe are the contracts to be counted again because they began to be counted a while ago.
func (u *usage) ripe() (ids []contracts.ContractID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, since := range u.fresh {
		if time.Since(since) >= ripens {
			ids = append(ids, id)
			delete(u.fresh, id)
		}
	}
	return ids
}

func (u *usage) settle() {
	u.mu.Lock()
	all := slices.Collect(maps.Values(u.of))
	u.mu.Unlock()
	for _, m := range all {
		u.turn(m.accesses, func() { m.Settle(settleEvery) })
	}
}
