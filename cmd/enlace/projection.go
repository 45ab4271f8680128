package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/nas"
	naspg "enlace/nas/pg"
	"enlace/postgres"
	"enlace/radius"
)

// projection keeps in memory what answering needs: a timeline for every login, the plans and the devices. It is loaded
// once and then follows the feed of changes.
type projection struct {
	contracts *contractspg.Store
	devices   *naspg.Store
	directory *radius.Directory
	table     *radius.DeviceTable
	sessions  *radius.Sessions // may be nil
	byID      atomic.Pointer[map[nas.DeviceID]*nas.Device]
	plans     atomic.Pointer[[]contracts.Plan]
	planned   atomic.Int64 // when a plan was last changed, in Unix seconds; 0: not since the start
	paused    atomic.Pointer[[]nas.Pause]
	rules     []contracts.Rules             // read and written by the loader and the feed's handler only, one after the other
	feed      atomic.Pointer[postgres.Feed] // nil until the database was there for the first time
	start     postgres.Snapshot             // where the feed goes on after the first load
	usage     *usage
	now       func() time.Time
	keepPast  bool                                          // the clock may be set back: windows that are over are kept
	changed   func(access contracts.AccessID, login string) // called after a login's timeline was rebuilt
	probes    func()                                        // called after a probe was asked for
	kick      func()                                        // called after everything, or a device, was read anew; may be nil
	pauses    func([]nas.Pause)                             // called when what is paused was read anew; may be nil
	stumbled  map[string]int                                // how often in a row something could not be read although the database answers
	unread    atomic.Int64                                  // contracts that the last load passed over
	built     atomic.Int64                                  // contracts whose timelines were built
	shared    windowTable
	log       zerolog.Logger
}

// load reads everything in one snapshot and returns the position from which the feed goes on. What was in the directory
// and is not in the database any more leaves it. A contract that cannot be read is passed over: what is in memory of it
// stays in force.
func (p *projection) load(ctx context.Context) (postgres.Snapshot, error) {
	var at postgres.Snapshot
	began := time.Now()
	var loaded accessSet
	unread := map[contracts.ContractID]bool{}
	var mu sync.Mutex // of both
	defer roomToLoad(p.directory.Len() == 0)()
	err := pgx.BeginTxFunc(ctx, p.contracts.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var err error
		if at, err = postgres.SnapshotOf(ctx, tx); err != nil {
			return err
		}
		if err := p.loadShared(ctx); err != nil {
			return err
		}
		return p.contracts.LoadAll(ctx, tx, func(l *contractspg.Loaded) error {
			mu.Lock()
			for i := range l.Contract.Accesses {
				loaded.add(l.Contract.Accesses[i].ID)
			}
			mu.Unlock()
			p.put(l)
			return nil
		}, func(id contracts.ContractID, err error) {
			mu.Lock()
			unread[id] = true
			mu.Unlock()
			p.log.Error().Err(err).Int64("contract", int64(id)).Msg("a contract cannot be read and is passed over")
		})
	})
	if err != nil {
		return at, fmt.Errorf("loading the directory: %w", err)
	}
	p.directory.Retain(func(s *radius.Subscriber) bool { return loaded.has(s.Access) || unread[s.Contract] })
	p.unread.Store(int64(len(unread)))
	if err := p.usage.load(ctx, nil); err != nil {
		return at, err
	}
	p.directory.SetFresh(p.now())
	p.log.Info().Int("logins", p.directory.Len()).Dur("took_ms", time.Since(began)).Msg("the directory is loaded")
	return at, nil
}

// accessSet is a set of accesses, small where their numbers lie close together.
type accessSet map[contracts.AccessID]uint64

func (s *accessSet) add(id contracts.AccessID) {
	if *s == nil {
		*s = accessSet{}
	}
	(*s)[id>>6] |= 1 << (id & 63)
}

func (s accessSet) has(id contracts.AccessID) bool { return s[id>>6]&(1<<(id&63)) != 0 }

// restore takes what a snapshot holds for what is known, as old as the snapshot is.
func (p *projection) restore(s *snapshot) {
	p.setPauses(s.Pauses)
	p.setPlans(s.Plans)
	p.setDevices(s.Devices)
	for _, sub := range s.subscribers {
		sub.Windows, sub.Meter = p.shared.same(sub.Windows), p.usage.adopt(sub)
		p.directory.Put(sub)
	}
	p.directory.SetFresh(s.Taken)
}

// loadShared reads what is common to all contracts: rules, plans, devices. It may be newer than the snapshot, never
// older; the feed then tells of the same change once more.
func (p *projection) loadShared(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	rules, err := p.contracts.Rules(ctx)
	if err != nil {
		return err
	}
	p.rules = rules
	if err := p.loadPlans(ctx); err != nil {
		return err
	}
	if err := p.loadPauses(ctx); err != nil {
		return err
	}
	return p.loadDevices(ctx)
}

// loadPauses comes before sessions are known, so that nothing is told what is held back.
func (p *projection) loadPauses(ctx context.Context) error {
	if p.pauses == nil {
		return nil
	}
	pauses, err := p.devices.Pauses(ctx)
	if err != nil {
		return err
	}
	p.setPauses(pauses)
	return nil
}

func (p *projection) setPauses(pauses []nas.Pause) {
	p.paused.Store(&pauses)
	if p.pauses != nil {
		p.pauses(pauses)
	}
}

func (p *projection) pausedNow() []nas.Pause {
	if paused := p.paused.Load(); paused != nil {
		return *paused
	}
	return nil
}

func (p *projection) loadPlans(ctx context.Context) error {
	plans, err := p.contracts.Plans(ctx, p.now())
	if err != nil {
		return err
	}
	p.setPlans(plans)
	return nil
}

func (p *projection) setPlans(plans []contracts.Plan) {
	p.plans.Store(&plans)
	p.directory.SetPlans(p.usage.profiles(plans))
}

// plansNow and devicesNow are what is in force, with what has been seen of the devices by now.
func (p *projection) plansNow() []contracts.Plan {
	if plans := p.plans.Load(); plans != nil {
		return *plans
	}
	return nil
}

func (p *projection) devicesNow() []nas.Device {
	var list []nas.Device
	if known := p.byID.Load(); known != nil {
		for id, d := range *known {
			now := *d
			if o, ok := p.table.Observation(id); ok {
				now.Observed = o
			}
			list = append(list, now)
		}
	}
	return list
}

// loadDevices keeps what is known of a device that cannot be read.
func (p *projection) loadDevices(ctx context.Context) error {
	var kept []nas.Device
	list, err := p.devices.ReadableDevices(ctx, func(id nas.DeviceID, err error) {
		p.log.Error().Err(err).Int64("device", int64(id)).Msg("a device cannot be read and is passed over; what is in memory of it stays in force")
		if d, ok := p.device(id); ok {
			kept = append(kept, *d)
		}
	})
	if err != nil {
		return err
	}
	p.setDevices(append(list, kept...))
	return nil
}

func (p *projection) setDevices(list []nas.Device) {
	p.table.Set(list)
	byID := make(map[nas.DeviceID]*nas.Device, len(list))
	for i := range list {
		byID[list[i].ID] = &list[i]
	}
	p.byID.Store(&byID)
}

// device by number, as it is configured now. Secret is the one that it uses now, as far as is known; OlderSecret, while two
// are accepted, the other.
func (p *projection) device(id nas.DeviceID) (*nas.Device, bool) {
	known := p.byID.Load()
	if known == nil {
		return nil, false
	}
	d, ok := (*known)[id]
	if ok && p.table.SecretInUse(id) == radius.OlderProof {
		older := *d
		older.Secret, older.OlderSecret = d.OlderSecret, d.Secret
		return &older, true
	}
	return d, ok
}

// deviceName is how metrics call a device.
func (p *projection) deviceName(id nas.DeviceID) string {
	if d, ok := p.device(id); ok {
		return d.Name
	}
	return strconv.FormatInt(int64(id), 10)
}

// follow applies changes until ctx ends. A feed that fell behind is answered with a new load.
func (p *projection) follow(ctx context.Context, start postgres.Snapshot) error {
	go p.keepFresh(ctx)
	for {
		err := p.feed.Load().Run(ctx, start, p.apply)
		if !errors.Is(err, postgres.ErrBehind) {
			return err
		}
		p.log.Warn().Msg("the feed of changes fell behind; loading everything anew")
		for {
			if start, err = p.load(ctx); err == nil {
				p.kicked()
				break
			}
			p.log.Error().Err(err).Msg("loading the directory failed")
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(5 * time.Second):
			}
		}
	}
}

// keepFresh carries the feed's position in time into the directory, in the program's clock.
func (p *projection) keepFresh(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.markFresh()
		}
	}
}

// markFresh is also called when the clock was moved: the directory did not age by that.
func (p *projection) markFresh() {
	feed := p.feed.Load()
	if feed == nil {
		return
	}
	if asOf := feed.Status().AsOf; !asOf.IsZero() {
		p.directory.SetFresh(p.now().Add(-time.Since(asOf)))
	}
}

// apply takes in changes: it reads the rows anew, so that doing it twice does no harm.
func (p *projection) apply(ctx context.Context, changes []postgres.Change) error {
	var ids []int64
	var used []contracts.ContractID
	plans, devices, rules, pauses := false, false, false, false
	for _, c := range changes {
		switch c.Tbl {
		case "contract":
			ids = append(ids, c.Key)
		case "usage":
			used = append(used, contracts.ContractID(c.Key))
		case "plan":
			plans = true
		case "device":
			devices = true
		case "pause":
			pauses = true
		case "probe":
			p.probes()
		case "rules":
			rules = true
		}
	}
	soon, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	if plans {
		if err := p.loadPlans(soon); err != nil {
			return err
		}
		p.planned.Store(p.now().Unix())
	}
	if devices {
		if err := p.passOver(soon, "the devices", p.loadDevices(soon)); err != nil {
			return err
		}
		p.kicked()
	}
	if pauses {
		if err := p.passOver(soon, "the pauses", p.loadPauses(soon)); err != nil {
			return err
		}
	}
	if rules || plans {
		err := p.reloadAll(ctx)
		if err == nil || ctx.Err() != nil || p.contracts.Pool.Ping(ctx) != nil {
			return err
		}
		for sub := range p.directory.All { // one by one it is found what cannot be read
			ids = append(ids, int64(sub.Contract))
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for part := range slices.Chunk(ids, 2000) {
		if err := p.rebuild(ctx, part); err != nil {
			return err
		}
	}
	if rules || plans { // contracts that were not counted before may be now
		return p.usage.load(ctx, nil)
	}
	for _, id := range ids {
		used = append(used, contracts.ContractID(id))
	}
	if len(used) == 0 {
		return nil
	}
	return p.usage.load(ctx, used)
}

// rebuild reads contracts and their timelines anew. One that cannot be read must not keep the others from their changes:
// it is found by halving, and passed over.
func (p *projection) rebuild(ctx context.Context, ids []int64) error {
	loaded, err := p.contracts.Load(ctx, ids)
	if err == nil {
		for i := range loaded {
			p.put(&loaded[i])
			p.tell(&loaded[i])
			delete(p.stumbled, contractName(int64(loaded[i].Contract.ID)))
		}
		return nil
	}
	if len(ids) == 1 {
		return p.passOver(ctx, contractName(ids[0]), err)
	}
	if ctx.Err() != nil || p.contracts.Pool.Ping(ctx) != nil {
		return err
	}
	half := len(ids) / 2
	return errors.Join(p.rebuild(ctx, ids[:half]), p.rebuild(ctx, ids[half:]))
}

func contractName(id int64) string { return "contract " + strconv.FormatInt(id, 10) }

// readPatience bounds the reading of what is common to all; pages of contracts have a bound of their own.
const readPatience = time.Minute

// stumbles is how often something may fail in a row, with the database answering, before the feed goes on without it.
const stumbles = 3

// passOver turns the error of reading something into none when it came again and again although the database answers:
// the fault then lies in what is stored, and what is in memory stays in force until it is changed again.
func (p *projection) passOver(ctx context.Context, what string, err error) error {
	if err == nil {
		delete(p.stumbled, what)
		return nil
	}
	if ctx.Err() != nil || p.contracts.Pool.Ping(ctx) != nil {
		return err
	}
	if p.stumbled == nil {
		p.stumbled = map[string]int{}
	}
	if p.stumbled[what]++; p.stumbled[what] < stumbles {
		return err
	}
	delete(p.stumbled, what)
	p.log.Error().Err(err).Str("what", what).Msg("a change cannot be read and is passed over; what is in memory stays in force")
	return nil
}

// reloadAll rebuilds every timeline, after a change of the rules or of a plan.
func (p *projection) reloadAll(ctx context.Context) error {
	soon, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	rules, err := p.contracts.Rules(soon)
	if err = p.passOver(ctx, "the rules", err); err != nil {
		return err
	}
	if rules != nil {
		p.rules = rules
	}
	defer roomToLoad(p.directory.Len() == 0)()
	return pgx.BeginTxFunc(ctx, p.contracts.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return p.contracts.LoadAll(ctx, tx, func(l *contractspg.Loaded) error {
			p.put(l)
			p.tell(l)
			return nil
		}, func(id contracts.ContractID, err error) {
			p.log.Error().Err(err).Int64("contract", int64(id)).Msg("a contract cannot be read and is passed over; what is in memory stays in force")
		})
	})
}

func (p *projection) kicked() {
	if p.kick != nil {
		p.kick()
	}
}

func (p *projection) tell(l *contractspg.Loaded) {
	for i := range l.Contract.Accesses {
		p.changed(l.Contract.Accesses[i].ID, l.Contract.Accesses[i].Login)
	}
}

// put builds the subscribers of a contract and places them in the directory. It may be called from several goroutines.
func (p *projection) put(l *contractspg.Loaded) {
	p.built.Add(1)
	c := &l.Contract
	spans := contracts.Timeline(c, l.Facts, p.rules, contracts.Options{}).Spans
	now := p.now()
	first := 0
	for !p.keepPast && first < len(spans)-1 && !spans[first].Until.After(now) {
		first++
	}
	var since uint32
	if first < len(spans) && spans[first].From.Unix() > 0 {
		since = uint32(spans[first].From.Unix())
	}
	var room [8]radius.Window
	meter := p.usage.meter(l, spans[first:])
	for i, a := range c.Accesses {
		windows := room[:0]
		for j := range spans[first:] {
			windows = append(windows, window(&spans[first+j], a.ID))
		}
		p.directory.Put(&radius.Subscriber{Access: a.ID, Contract: c.ID, Login: a.Login, Password: l.Passwords[i], Windows: p.shared.same(windows), Meter: meter,
			Line: lineOf(&a), Limit: uint16(a.SessionLimit), Since: since})
	}
}

// lineOf is what an access has beside its login and password, nil for most.
func lineOf(a *contracts.Access) *contracts.Line {
	if a.Line.IsZero() {
		return nil
	}
	line := a.Line
	return &line
}

// window is a span as one login sees it.
func window(s *contracts.Span, access contracts.AccessID) radius.Window {
	w := radius.Window{Until: radius.NoEnd, Plan: s.PlanID, Outcome: s.Outcome,
		Status: uint8(slices.Index(contracts.Statuses, s.Status)), Disabled: slices.Contains(s.Disabled, access)}
	if !s.Until.IsZero() {
		w.Until = s.Until.Unix()
	}
	return w
}

// granted is the service that a session without Class was given when it began, where that is certain enough: it has just
// begun, and nothing changed shortly before.
func (p *projection) granted(garden nas.Garden) func(string, time.Time, time.Time) (nas.Digest, bool) {
	return func(login string, start, now time.Time) (nas.Digest, bool) {
		if age := now.Sub(start); age < 0 || age > justBegun {
			return 0, false
		}
		if planned := time.Unix(p.planned.Load(), 0); start.Before(planned.Add(radius.LoginTakes)) {
			return 0, false // it may have been given the rates of before
		}
		sub := p.directory.Of(0, login)
		if sub == nil {
			return 0, false
		}
		service, ok := p.directory.GrantedAt(sub, start, garden)
		return service.Digest(), ok
	}
}

// justBegun bounds how long after its Start it is worked out what a session was granted: later the plan may have changed.
const justBegun = 2 * time.Minute

// desired is what the reconciler asks: the service a login should have, and until when.
func (p *projection) desired(garden nas.Garden) func(string, contracts.AccessID, time.Time) (nas.Service, time.Time, bool) {
	return func(login string, access contracts.AccessID, now time.Time) (nas.Service, time.Time, bool) {
		sub := p.directory.Of(access, login)
		if sub == nil {
			return nas.Service{}, time.Time{}, false
		}
		service, ok := p.directory.ServiceAt(sub, now, garden)
		var until time.Time
		if w := p.directory.WindowAt(sub, now); w.Until != radius.NoEnd {
			until = time.Unix(w.Until, 0).UTC()
		}
		return service, until, ok
	}
}
