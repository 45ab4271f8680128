package pg

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/nas"
	"enlace/radius"
)

// sighting is a record of a family and the session that it was folded into.
type sighting struct {
	record    *radius.Record
	startedAt time.Time
	lastSeen  time.Time // of the session, before the record; zero when it was not known
}

// sight remembers what a record may say of addresses: was is the family's sessions before it, at the one it changed.
func (f *family) sight(was radius.Lineage, at int, r *radius.Record) {
	if at < 0 || r.Kind == radius.KindApplied || r.Kind == radius.KindClosed {
		return
	}
	s := sighting{record: r, startedAt: f.lineage[at].StartedAt}
	if i := slices.IndexFunc(was, func(o radius.Session) bool { return o.StartedAt.Equal(s.startedAt) }); i >= 0 {
		s.lastSeen = was[i].LastSeen
		f.addresses = f.addresses || !r.SameAddresses(&was[i])
	} else {
		f.addresses = true
	}
	f.sightings = append(f.sightings, s)
}

// touched reports whether the family's connections may differ from those stored.
func (f *family) touched() bool {
	if f.addresses || len(f.lineage) != len(f.stored) {
		return true
	}
	for i := range f.lineage {
		now := &f.lineage[i]
		j := slices.IndexFunc(f.stored, func(o stored) bool { return o.StartedAt.Equal(now.StartedAt) })
		if j < 0 {
			return true
		}
		was := &f.stored[j].Session
		if now.ClosedBy != was.ClosedBy || !now.Stopped.Equal(was.Stopped) || describe(now) != describe(was) {
			return true
		}
	}
	return false
}

// holder is what a connection repeats of its session.
type holder struct {
	login, calling, port string
	access               int64
}

func describe(s *radius.Session) holder {
	return holder{nas.TextOf(s.Login), nas.TextOf(s.CallingStation), nas.TextOf(s.NASPort), int64(s.Access)}
}

// connection is a row of connection_open or connection_record.
type connection struct {
	key       nas.SessionKey
	startedAt time.Time
	holder    holder
	claim     radius.Claim
	others    bool
}

// same reports whether two rows are equal, but for how far an open one was seen.
func (c *connection) same(o *connection) bool {
	a, b := c.claim, o.claim
	return c.startedAt.Equal(o.startedAt) && c.holder == o.holder && c.others == o.others && a.Kind == b.Kind && a.Prefix == b.Prefix &&
		a.PortFrom == b.PortFrom && a.PortTo == b.PortTo && a.Listed == b.Listed && a.From.Equal(b.From) && a.Said.Equal(b.Said) &&
		a.ClosedBy == b.ClosedBy && (a.Open() || a.Until.Equal(b.Until) && a.Seen.Equal(b.Seen))
}

// connect brings the connections of the families' sessions up to what their records say.
func connect(ctx context.Context, tx pgx.Tx, families []*family) error {
	var touched []*family
	for _, f := range families {
		if f.touched() {
			touched = append(touched, f)
		}
	}
	if len(touched) == 0 {
		return nil
	}
	known, err := loadConnections(ctx, tx, touched)
	if err != nil {
		return err
	}
	if err := findAccesses(ctx, tx, touched); err != nil {
		return err
	}
	var w connectionChanges
	for _, f := range touched {
		w.compare(known[f.key], f.connections(known[f.key]))
	}
	if err := ensureLengths(ctx, tx, w.open, w.ended); err != nil {
		return err
	}
	return w.write(ctx, tx)
}

// connections is what the family's sessions have and had, given what is stored of them.
func (f *family) connections(known []connection) []connection {
	claims := make([]radius.Claims, len(f.lineage))
	var strays []connection
	for _, k := range known {
		if i := f.nearest(k.startedAt); i >= 0 {
			claims[i] = append(claims[i], k.claim)
		} else {
			strays = append(strays, k)
		}
	}
	for _, s := range f.sightings {
		if i := f.nearest(s.startedAt); i >= 0 {
			claims[i] = claims[i].Fold(s.record, &f.lineage[i], s.lastSeen)
		}
	}
	all := strays
	for i := range f.lineage {
		claims[i].Settle(&f.lineage[i])
		some := slices.ContainsFunc(claims[i], func(c radius.Claim) bool { return !c.Open() })
		for _, c := range claims[i] {
			h := describe(&f.lineage[i])
			if h.access == 0 {
				h.access = f.access
			}
			all = append(all, connection{key: f.key, startedAt: f.lineage[i].StartedAt, holder: h, claim: c, others: some && c.Open()})
		}
	}
	return all
}

// nearest is the session of the family that began at an instant, give or take what two nodes may have made of it.
func (f *family) nearest(startedAt time.Time) int {
	at, least := -1, 10*time.Minute
	for i := range f.lineage {
		if d := f.lineage[i].StartedAt.Sub(startedAt).Abs(); d < least {
			at, least = i, d
		}
	}
	return at
}

// findAccesses looks up by login what sessions without our Class belong to.
func findAccesses(ctx context.Context, tx pgx.Tx, families []*family) error {
	byLogin := map[string][]*family{}
	for _, f := range families {
		for i := range f.lineage {
			if s := &f.lineage[i]; s.Access == 0 && s.Login != "" {
				login := nas.TextOf(s.Login)
				byLogin[login] = append(byLogin[login], f)
			}
		}
	}
	if len(byLogin) == 0 {
		return nil
	}
	logins := make([]string, 0, len(byLogin))
	for l := range byLogin {
		logins = append(logins, l)
	}
	rows, err := tx.Query(ctx, `select id, login from access where login = any($1)`, logins)
	if err != nil {
		return err
	}
	var id int64
	var login string
	_, err = pgx.ForEachRow(rows, []any{&id, &login}, func() error {
		for _, f := range byLogin[login] {
			f.access = id
		}
		return nil
	})
	return err
}

// ensureLengths makes prefix lengths known before rows that have them are.
func ensureLengths(ctx context.Context, tx pgx.Tx, lists ...[]connection) error {
	fresh := map[int32]bool{}
	for _, list := range lists {
		for i := range list {
			switch bits := list[i].claim.Prefix.Bits(); bits {
			case 32, 56, 64, 128: // the migration's
			default:
				fresh[int32(bits)] = true
			}
		}
	}
	for bits := range fresh {
		// Looking first: a conflict would wait for other transactions.
		_, err := tx.Exec(ctx, `insert into connection_prefix_length (bits) select $1::int
			where not exists (select from connection_prefix_length where bits = $1) on conflict do nothing`, bits)
		if err != nil {
			return err
		}
	}
	return nil
}

// connectionChanges is what a batch does to connections.
type connectionChanges struct {
	unopen, unended []connection // to leave connection_open and connection_record
	open, ended     []connection
}

func (w *connectionChanges) compare(known, want []connection) {
	for i := range known {
		k := &known[i]
		if slices.ContainsFunc(want, func(c connection) bool { return c.same(k) }) {
			continue
		}
		if k.claim.Open() {
			w.unopen = append(w.unopen, *k)
		} else {
			w.unended = append(w.unended, *k)
		}
	}
	for i := range want {
		c := &want[i]
		if slices.ContainsFunc(known, func(k connection) bool { return k.same(c) }) {
			continue
		}
		if c.claim.Open() {
			w.open = append(w.open, *c)
		} else {
			w.ended = append(w.ended, *c)
		}
	}
}

func (w *connectionChanges) write(ctx context.Context, tx pgx.Tx) error {
	if len(w.unopen) > 0 {
		c := connectionColumnsOf(w.unopen)
		_, err := tx.Exec(ctx, `delete from connection_open o
			using (select unnest($1::bigint[]) as device_id, unnest($2::text[]) as session_id, unnest($3::text[]) as kind,
				unnest($4::text[])::inet as address, unnest($5::int[]) as port_from, unnest($6::int[]) as port_to) k
			where o.device_id = k.device_id and o.session_id = k.session_id and o.kind = k.kind and o.address = k.address
				and o.port_from = k.port_from and o.port_to = k.port_to`,
			c.device, c.id, c.kind, c.address, c.portFrom, c.portTo)
		if err != nil {
			return err
		}
	}
	if len(w.unended) > 0 {
		c := connectionColumnsOf(w.unended)
		_, err := tx.Exec(ctx, `delete from connection_record r
			using (select unnest($1::bigint[]) as device_id, unnest($2::text[]) as session_id, unnest($3::text[]) as kind,
				unnest($4::text[])::inet as address, unnest($5::int[]) as port_from, unnest($6::int[]) as port_to,
				unnest($7::timestamptz[]) as from_at, unnest($8::timestamptz[]) as until_at) k
			where r.device_id = k.device_id and r.session_id = k.session_id and r.kind = k.kind and r.address = k.address
				and r.port_from = k.port_from and r.port_to = k.port_to and r.from_at = k.from_at and r.until_at = k.until_at`,
			c.device, c.id, c.kind, c.address, c.portFrom, c.portTo, c.from, c.until)
		if err != nil {
			return err
		}
	}
	if len(w.open) > 0 {
		c := connectionColumnsOf(w.open)
		_, err := tx.Exec(ctx, `insert into connection_open as o (`+connectionNames+`, said_at, seen_at, others)
			select `+unnestConnections+`, unnest($14::timestamptz[]), unnest($15::timestamptz[]), unnest($16::boolean[])
			on conflict (device_id, session_id, kind, address, port_from, port_to) do update set
				started_at = excluded.started_at, login = excluded.login, access_id = excluded.access_id,
				calling_station = excluded.calling_station, nas_port = excluded.nas_port, listed = excluded.listed,
				from_at = excluded.from_at, said_at = excluded.said_at, seen_at = excluded.seen_at, others = excluded.others`,
			append(c.common(), c.said, c.seen, c.others)...)
		if err != nil {
			return err
		}
	}
	if len(w.ended) > 0 {
		c := connectionColumnsOf(w.ended)
		_, err := tx.Exec(ctx, `insert into connection_record (`+connectionNames+`, said_at, seen_at, until_at, closed_by)
			select `+unnestConnections+`, nullif(unnest($14::timestamptz[]), unnest($13::timestamptz[])),
				nullif(unnest($15::timestamptz[]), unnest($16::timestamptz[])), unnest($16::timestamptz[]), unnest($17::text[])`,
			append(c.common(), c.said, c.seen, c.until, c.closedBy)...)
		if err != nil {
			return err
		}
	}
	return nil
}

const connectionNames = `device_id, session_id, kind, address, port_from, port_to, started_at, login, access_id,
	calling_station, nas_port, listed, from_at`

const unnestConnections = `unnest($1::bigint[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[])::inet,
	unnest($5::int[]), unnest($6::int[]), unnest($7::timestamptz[]), unnest($8::text[]), unnest($9::bigint[]),
	unnest($10::text[]), unnest($11::text[]), unnest($12::boolean[]), unnest($13::timestamptz[])`

// connectionColumns is connections turned into arrays, a column each.
type connectionColumns struct {
	device, access                                       []int64
	id, kind, address, login, calling, nasPort, closedBy []string
	portFrom, portTo                                     []int32
	started, from, said, seen, until                     []time.Time
	listed, others                                       []bool
}

func connectionColumnsOf(list []connection) *connectionColumns {
	c := &connectionColumns{}
	for i := range list {
		n, h := &list[i], &list[i].claim
		c.device = append(c.device, int64(n.key.Device))
		c.id = append(c.id, nas.TextOf(n.key.ID))
		c.kind = append(c.kind, string(h.Kind))
		c.address = append(c.address, h.Prefix.String())
		c.portFrom = append(c.portFrom, int32(h.PortFrom))
		c.portTo = append(c.portTo, int32(h.PortTo))
		c.started = append(c.started, n.startedAt)
		c.login = append(c.login, n.holder.login)
		c.access = append(c.access, n.holder.access)
		c.calling = append(c.calling, n.holder.calling)
		c.nasPort = append(c.nasPort, n.holder.port)
		c.listed = append(c.listed, h.Listed)
		c.from = append(c.from, h.From)
		c.said = append(c.said, h.Said)
		c.seen = append(c.seen, h.Seen)
		c.until = append(c.until, h.Until)
		c.closedBy = append(c.closedBy, string(h.ClosedBy))
		c.others = append(c.others, n.others)
	}
	return c
}

// common is the arguments of unnestConnections.
func (c *connectionColumns) common() []any {
	return []any{c.device, c.id, c.kind, c.address, c.portFrom, c.portTo, c.started, c.login, c.access, c.calling, c.nasPort,
		c.listed, c.from}
}

// loadConnections reads what is stored of the sessions: always what they hold, and what they held where there is some.
func loadConnections(ctx context.Context, tx pgx.Tx, families []*family) (map[nas.SessionKey][]connection, error) {
	known := map[nas.SessionKey][]connection{}
	devices, ids := keysOf(families)
	rows, err := tx.Query(ctx, `select `+connectionRow("o", "null::timestamptz", "''")+`, o.others
		from (select unnest($1::bigint[]) as device_id, unnest($2::text[]) as session_id) k
		join connection_open o using (device_id, session_id)`, devices, ids)
	if err != nil {
		return nil, err
	}
	more := map[nas.SessionKey]bool{}
	if err := eachConnection(rows, func(c connection) {
		known[c.key] = append(known[c.key], c)
		more[c.key] = more[c.key] || c.others
	}); err != nil {
		return nil, err
	}
	var wanted []*family
	var since []time.Time
	for _, f := range families {
		if len(f.stored) == 0 || len(known[f.key]) > 0 && !more[f.key] {
			continue
		}
		first := f.stored[0].StartedAt
		for _, o := range f.stored {
			if o.StartedAt.Before(first) {
				first = o.StartedAt
			}
		}
		wanted = append(wanted, f)
		since = append(since, first.Add(-lookBack))
	}
	if len(wanted) == 0 {
		return known, nil
	}
	devices, ids = keysOf(wanted)
	rows, err = tx.Query(ctx, `select `+connectionRow("r", "r.until_at", "r.closed_by")+`, false
		from (select unnest($1::bigint[]) as device_id, unnest($2::text[]) as session_id, unnest($3::timestamptz[]) as since) k
		cross join lateral (
			select * from connection_record r
			where r.device_id = k.device_id and r.session_id = k.session_id and r.until_at >= k.since) r`, devices, ids, since)
	if err != nil {
		return nil, err
	}
	err = eachConnection(rows, func(c connection) { known[c.key] = append(known[c.key], c) })
	return known, err
}

func keysOf(families []*family) (devices []int64, ids []string) {
	for _, f := range families {
		devices = append(devices, int64(f.key.Device))
		ids = append(ids, nas.TextOf(f.key.ID))
	}
	return devices, ids
}

// connectionRow lists the columns of eachConnection, but for others.
func connectionRow(alias, until, closedBy string) string {
	names := ""
	for _, n := range []string{"device_id", "session_id", "kind", "address", "port_from", "port_to", "started_at", "login",
		"access_id", "calling_station", "nas_port", "listed", "from_at"} {
		names += alias + "." + n + ", "
	}
	return names + "coalesce(" + alias + ".said_at, " + alias + ".from_at), coalesce(" + alias + ".seen_at, " + until + "), " +
		"coalesce(" + until + ", 'epoch'), " + closedBy
}

func eachConnection(rows pgx.Rows, f func(connection)) error {
	var device int64
	var id, kind, closedBy string
	var portFrom, portTo int32
	var address netip.Prefix
	var c connection
	targets := []any{&device, &id, &kind, &address, &portFrom, &portTo, &c.startedAt, &c.holder.login, &c.holder.access,
		&c.holder.calling, &c.holder.port, &c.claim.Listed, &c.claim.From, &c.claim.Said, &c.claim.Seen, &c.claim.Until, &closedBy, &c.others}
	_, err := pgx.ForEachRow(rows, targets, func() error {
		n := c
		n.key = nas.SessionKey{Device: nas.DeviceID(device), ID: nas.RawOf(id)}
		n.startedAt = c.startedAt.UTC()
		h := &n.claim
		h.Kind, h.Prefix, h.PortFrom, h.PortTo = radius.AddressKind(kind), address, uint16(portFrom), uint16(portTo)
		h.From, h.Said, h.Seen, h.Until = h.From.UTC(), h.Said.UTC(), h.Seen.UTC(), h.Until.UTC()
		if h.ClosedBy = radius.ClosedBy(closedBy); h.Open() {
			h.Until = time.Time{}
		} else if h.ClosedBy == radius.ClaimChanged {
			h.Missed = h.Until
		}
		f(n)
		return nil
	})
	return err
}
