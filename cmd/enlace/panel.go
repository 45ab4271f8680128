package main

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"enlace/admin"
	adminpg "enlace/admin/pg"
	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/nas"
	"enlace/radius"
	radiuspg "enlace/radius/pg"
)

// staffName is the account that is made on the first start.
const staffName = "admin"

// handler is the panel and the API over this node. The first start makes an account.
func (n *node) handler() (http.Handler, error) {
	zone, err := contractspg.Zone(n.cfg.Zone)
	if err != nil {
		return nil, err
	}
	var setClock func(time.Time) error
	if n.clock.settable {
		setClock = n.clock.Set
	}
	var channels []string
	for _, c := range n.channels {
		channels = append(channels, c.Name())
	}
	return admin.New(admin.Config{
		Connections: n.stores.sessions,
		Contracts:   n.stores.contracts, Billing: n.stores.billing, Sessions: sessionsPort{n.stores.sessions, n.sessions}, Usage: usagePort{n.stores.sessions},
		Devices: n.stores.devices, Conformance: n.stores.devices, Dialects: n.dialects, Network: networkPort{n.reconciler, n}, Directory: n.directoryPort(), Refusals: n.door.Refusals(),
		Staff: &adminpg.Store{Pool: n.db.pool}, SignIns: &adminpg.SignIns{Pool: n.db.pool},
		Disconnect: func(_ context.Context, key nas.SessionKey, actor, reason string) error {
			return n.reconciler.Disconnect(key, actor, reason)
		},
		SecretInUse: n.projection.table.SecretInUse, Routers: n.routers,
		Now: n.clock.Now, SetClock: setClock, Zone: zone, NoticeChannels: channels, MaxStaleness: n.cfg.MaxStaleness,
		SecureCookie: n.cfg.HTTPSOnly, Health: n.health, Metrics: promhttp.HandlerFor(n.metrics, promhttp.HandlerOpts{}),
		Registerer: n.metrics, Log: n.log, Version: version,
	})
}

// health asks every part how it is.
func (n *node) health(ctx context.Context) admin.Health {
	h := admin.Health{OK: true, Database: "ok", DirectoryAge: -1, Logins: n.projection.directory.Len(), Sessions: n.sessions.Count(),
		JournalBacklog: n.journal.Backlog()}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	now, age := n.clock.Now(), n.projection.directory.Age(n.clock.Now())
	if age < farAway {
		h.DirectoryAge = age.Seconds()
	}
	state, since := n.db.state()
	if state == "ok" && n.db.pool.Ping(ctx) != nil {
		state, since = "unreachable", time.Now().Add(-min(age, farAway))
	}
	if state != "ok" {
		h.OK, h.Database, h.AwaySince = false, state, now.Add(-time.Since(since)).Truncate(time.Second)
	}
	if n.fromSnapshot() {
		h.Snapshot = now.Add(-age).Truncate(time.Second)
	}
	h.Unreadable = int(n.projection.unread.Load())
	if n.journal.Failed() {
		h.OK, h.JournalFailed = false, true
	}
	return h
}

// The ports below turn the stores' types into the panel's own where Go does not see that they are the same.

type sessionsPort struct {
	*radiuspg.Store
	live *radius.Sessions
}

func (p sessionsPort) OpenSessions(ctx context.Context, f admin.SessionFilter) ([]radius.Session, error) {
	open, err := p.Store.OpenSessions(ctx, radiuspg.Filter(f))
	for i := range open {
		p.live.Attend(&open[i])
	}
	return open, err
}

type usagePort struct{ store *radiuspg.Store }

func (p usagePort) Usage(ctx context.Context, id contracts.ContractID, from, until contracts.Date) ([]contracts.DayUsage, error) {
	found, err := p.store.Usage(ctx, radiuspg.Days{Contract: id, From: from, Until: until})
	return found[id], err
}

// directoryPort answers the panel's questions from the projection that authentication answers from.
type directoryPort struct {
	n       *node
	counts  *seldom[int64, []admin.Count]
	changes *seldom[changesAsked, changesFound]
}

func (n *node) directoryPort() directoryPort {
	return directoryPort{n, &seldom[int64, []admin.Count]{}, &seldom[changesAsked, changesFound]{}}
}

// changesAsked is a question for changes, where from is about now; ahead tells whether the clock was set since.
type changesAsked struct {
	ahead int64
	span  time.Duration
	limit int
}

type changesFound struct {
	list []admin.Change
	all  int
}

func (p directoryPort) Counts(now time.Time) []admin.Count {
	return p.counts.ask(p.n.clock.offset.Load(), func() []admin.Count { return p.count(now) })
}

func (p directoryPort) count(now time.Time) []admin.Count {
	type key struct {
		status  contracts.Status
		outcome contracts.Outcome
	}
	counts := map[key]int{}
	for sub := range p.n.projection.directory.All {
		w := p.n.projection.directory.WindowAt(sub, now)
		k := key{w.StatusName(), w.Outcome}
		if w.Disabled {
			k.outcome = contracts.OutcomeReject
		}
		counts[k]++
	}
	out := make([]admin.Count, 0, len(counts))
	for k, n := range counts {
		out = append(out, admin.Count{Status: k.status, Outcome: k.outcome, N: n})
	}
	slices.SortFunc(out, func(a, b admin.Count) int {
		return cmp.Or(cmp.Compare(slices.Index(contracts.Statuses, a.Status), slices.Index(contracts.Statuses, b.Status)), cmp.Compare(a.Outcome, b.Outcome))
	})
	return out
}

func (p directoryPort) Standing(login string, access contracts.AccessID, now time.Time) (admin.Standing, bool) {
	d, garden := p.n.projection.directory, p.n.cfg.garden()
	sub := d.Of(access, login)
	if sub == nil {
		return admin.Standing{}, false
	}
	w := sub.At(now)
	s := admin.Standing{Contract: sub.Contract, Access: sub.Access, Status: w.StatusName(), Disabled: w.Disabled}
	s.Service, _ = d.ServiceAt(sub, now, garden)
	s.Known = append(d.ServicesOf(w.Plan), nas.Service{Outcome: contracts.OutcomeWalled, Profile: garden.Profile, Plan: s.Service.Plan})
	return s, true
}

func (p directoryPort) Changes(from, until time.Time, limit int) ([]admin.Change, int) {
	found := p.changes.ask(changesAsked{p.n.clock.offset.Load(), until.Sub(from), limit}, func() changesFound { return p.change(from, until, limit) })
	return found.list, found.all
}

func (p directoryPort) change(from, until time.Time, limit int) changesFound {
	var all []admin.Change
	for sub := range p.n.projection.directory.All {
		for i := 0; i+1 < len(sub.Windows); i++ {
			w, next := sub.Windows[i], sub.Windows[i+1]
			at := time.Unix(w.Until, 0).UTC()
			if at.After(until) {
				break
			}
			if at.After(from) && w.Outcome != next.Outcome && !next.Disabled {
				all = append(all, admin.Change{At: at, Login: sub.Login, Contract: sub.Contract, From: w.Outcome, To: next.Outcome, Status: next.StatusName()})
			}
		}
	}
	slices.SortFunc(all, func(a, b admin.Change) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Login, b.Login)) })
	return changesFound{slices.Clone(all[:min(limit, len(all))]), len(all)}
}

func (p directoryPort) Age(now time.Time) time.Duration { return p.n.projection.directory.Age(now) }
