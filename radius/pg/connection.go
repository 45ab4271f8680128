package pg

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

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

func (c connection) open() bool { return c.claim.Open() }

// connect brings the connections of the families' sessions up to what their records say.
func connect(ctx context.Context, tx pgx.Tx, families []*family, careful bool) error {
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
		f.connected, f.connections = true, w.compare(f, known[f.key], f.connectionsOf(known[f.key]))
	}
	if err := ensureLengths(ctx, tx, w.open, w.ended); err != nil {
		return err
	}
	return w.write(ctx, tx, careful)
}

// connectionsOf is what the family's sessions have and had, given what is stored of them.
func (f *family) connectionsOf(known []connection) []connection {
	claims := make([]radius.Claims, len(f.lineage))
	var strays []connection
	for _, k := range known {
		if i := f.nearest(k.startedAt); i >= 0 && !k.strange(&f.lineage[i]) {
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
			if c.Open() && slices.ContainsFunc(all, func(o connection) bool { return o.open() && o.claim.Same(&c) }) {
				continue // one id holds an address once
			}
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

// strange reports whether a row cannot be of a session that began when its own did: strangers may share an id.
func (c *connection) strange(s *radius.Session) bool {
	h := describe(s)
	if c.holder.access != 0 && h.access != 0 {
		return c.holder.access != h.access
	}
	return c.holder.login != "" && h.login != "" && !strings.EqualFold(strings.TrimSpace(c.holder.login), strings.TrimSpace(h.login))
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
	released        []*family    // to leave connection_open with all their rows
	rows            int          // of released
	unopen, unended []connection // to leave connection_open and connection_record
	open, ended     []connection
}

// compare notes what is to be done, and gives the rows of connection_open as they will be.
func (w *connectionChanges) compare(f *family, known, want []connection) (open []connection) {
	release := !slices.ContainsFunc(want, connection.open)
	held := 0
	for i := range known {
		k := &known[i]
		if release && k.open() {
			held++
			continue
		}
		if slices.ContainsFunc(want, func(c connection) bool { return c.same(k) }) {
			continue
		}
		if k.claim.Open() {
			w.unopen = append(w.unopen, *k)
		} else {
			w.unended = append(w.unended, *k)
		}
	}
	if held > 0 {
		w.released, w.rows = append(w.released, f), w.rows+held
	}
	for i := range want {
		c := &want[i]
		if k := slices.IndexFunc(known, func(k connection) bool { return k.same(c) }); k >= 0 {
			if c.claim.Open() {
				open = append(open, known[k])
			}
			continue
		}
		if c.claim.Open() {
			w.open, open = append(w.open, *c), append(open, *c)
		} else {
			w.ended = append(w.ended, *c)
		}
	}
	return open
}

var (
	leaveAll = prepared{"connection_open_leave_all", `delete from connection_open o using unnest($1::bigint[], $2::text[]) k (device_id, session_id)
		where o.device_id = k.device_id and o.session_id = k.session_id`}
	leaveOpen = prepared{"connection_open_leave", "delete from connection_open o using " + unnestedConnections(openKey) + `
		where o.device_id = k.device_id and o.session_id = k.session_id and o.kind = k.kind and o.address = k.address
			and o.port_from = k.port_from and o.port_to = k.port_to`}
	putOpen = prepared{"connection_open_put", "insert into connection_open (" + namesOf("", openColumns) + ") select " +
		namesOf("k.", openColumns) + " from " + unnestedConnections(openColumns) + `
		on conflict (device_id, session_id, kind, address, port_from, port_to) do update set
			started_at = excluded.started_at, login = excluded.login, access_id = excluded.access_id,
			calling_station = excluded.calling_station, nas_port = excluded.nas_port, listed = excluded.listed,
			from_at = excluded.from_at, said_at = excluded.said_at, seen_at = excluded.seen_at, others = excluded.others`}

	leaveEnded = prepared{"connection_record_leave", "delete from connection_record r using " + unnestedConnections(endedKey) + `
		where r.device_id = k.device_id and r.session_id = k.session_id and r.kind = k.kind and r.address = k.address
			and r.port_from = k.port_from and r.port_to = k.port_to and r.from_at = k.from_at and r.until_at = k.until_at`}
)

// write stores the changes. Rows are copied where none of their key can be; careful merges them all the same.
func (w *connectionChanges) write(ctx context.Context, tx pgx.Tx, careful bool) error {
	if err := leaveAll.affect(ctx, tx, keyArrays(w.released), w.rows); err != nil {
		return err
	}
	if len(w.unopen) > 0 {
		if err := leaveOpen.affect(ctx, tx, connectionArrays(w.unopen, openKey), len(w.unopen)); err != nil {
			return err
		}
	}
	if len(w.unended) > 0 {
		if err := leaveEnded.run(ctx, tx, connectionArrays(w.unended, endedKey), nil); err != nil {
			return err
		}
	}
	if careful {
		if err := putOpen.affect(ctx, tx, connectionArrays(w.open, openColumns), len(w.open)); err != nil {
			return err
		}
	} else if err := copyConnections(ctx, tx, "connection_open", w.open, openColumns); err != nil {
		return err
	}
	return copyConnections(ctx, tx, "connection_record", w.ended, copiedColumns)
}

func copyConnections(ctx context.Context, tx pgx.Tx, table string, list []connection, columns []connectionColumn) error {
	rows := newCopy(table, namesOf("", columns), len(columns), len(list))
	for i := range list {
		row := rows.next()
		for _, c := range columns {
			c.put(row, &list[i])
		}
	}
	return rows.write(ctx, tx)
}

var (
	openStatement = prepared{"connection_open_of", `select k.n, o.*
		from unnest($1::bigint[], $2::text[]) with ordinality as k (device_id, session_id, n)
		cross join lateral (select ` + namesOf("", openColumns) + ` from connection_open
			where device_id = k.device_id and session_id = k.session_id offset 0) o`}
	endedStatement = prepared{"connection_record_of", `select k.n, r.*
		from unnest($1::bigint[], $2::text[], $3::timestamptz[]) with ordinality as k (device_id, session_id, since, n)
		cross join lateral (select ` + strings.NewReplacer("said_at", "coalesce(said_at, from_at)", "seen_at", "coalesce(seen_at, until_at)").
		Replace(namesOf("", endedColumns)) + ` from connection_record
			where device_id = k.device_id and session_id = k.session_id and until_at >= k.since offset 0) r`}
)

// loadConnections reads what is stored of the sessions: what they hold, which only open sessions do, and what they held
// where there is some.
func loadConnections(ctx context.Context, tx pgx.Tx, families []*family) (map[nas.SessionKey][]connection, error) {
	known := map[nas.SessionKey][]connection{}
	var open, wanted []*family
	more := map[nas.SessionKey]bool{}
	for _, f := range families {
		switch {
		case f.kept != nil && f.kept.connected:
			known[f.key] = slices.Clone(f.kept.connections)
			more[f.key] = slices.ContainsFunc(f.kept.connections, func(c connection) bool { return c.others })
		case slices.ContainsFunc(f.stored, func(o stored) bool { return o.place != nowhere }):
			open = append(open, f)
		}
	}
	if len(open) > 0 {
		err := openStatement.run(ctx, tx, keyArrays(open), func(values [][]byte) {
			c := connectionOf(values[1:], openColumns, open[int8Of(values[0])-1])
			known[c.key] = append(known[c.key], c)
			more[c.key] = more[c.key] || c.others
		})
		if err != nil {
			return nil, err
		}
	}
	since := newArray(pgtype.TimestamptzOID, 0, 8)
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
		since.time(first.Add(-lookBack))
	}
	if len(wanted) == 0 {
		return known, nil
	}
	err := endedStatement.run(ctx, tx, append(keyArrays(wanted), since.bytes()), func(values [][]byte) {
		c := connectionOf(values[1:], endedColumns, wanted[int8Of(values[0])-1])
		known[c.key] = append(known[c.key], c)
	})
	return known, err
}
