package pg

import (
	"context"
	"encoding/binary"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"enlace/nas"
	"enlace/radius"
)

// recent is what this store has last written of open sessions, so that their next records need not read it. It holds
// for a device as long as nobody else has written sessions of it (session_writer), and as a whole as long as the node's
// cursor is where the last batch left it and the table is the same file of the same server: a database that was restored
// or rewritten, or a standby that took over before it had heard of that batch, says so. Doubt empties it.
type recent struct {
	writer     string // random: of this store
	cursor     radius.Cursor
	table      string
	young, old map[nas.SessionKey]*kept

	// Of the batch that is being stored: for which devices what is remembered holds, and which sessions it has changed
	// already.
	trusted map[nas.DeviceID]bool
	touched map[nas.SessionKey]bool
}

// recentMost is how many sessions a generation has; there are two. One takes some 800 bytes.
const recentMost = 1 << 16

// kept is an open session as it is stored, and its rows of connection_open when those are known.
type kept struct {
	session     radius.Session
	place       place
	home        home
	connected   bool
	connections []connection
}

// forget empties it.
func (m *recent) forget() { m.young, m.old, m.cursor = nil, nil, radius.Cursor{} }

// trust finds out for which devices of a batch what is remembered holds, and makes this store the devices' last writer.
// Of a device that begins anew in the batch nothing is remembered. The devices are locked.
func (m *recent) trust(ctx context.Context, tx pgx.Tx, b *radius.Batch, devices []nas.DeviceID) error {
	m.trusted, m.touched = make(map[nas.DeviceID]bool, len(devices)), nil
	table, at := m.table, radius.Cursor{}
	err := cursorStatement.run(ctx, tx, [][]byte{[]byte(b.Node)}, func(values [][]byte) {
		at = radius.Cursor{Segment: int8Of(values[0]), Offset: int8Of(values[1])}
		table = string(values[2])
	})
	if err != nil {
		return err
	}
	if at != m.cursor || table != m.table {
		m.forget()
		m.table = table
	}
	list := newArray(pgtype.Int8OID, len(devices), 8)
	for _, d := range devices {
		list.int8(int64(d))
	}
	err = writersStatement.run(ctx, tx, [][]byte{list.bytes()}, func(values [][]byte) {
		m.trusted[nas.DeviceID(int8Of(values[0]))] = string(values[1]) == m.writer
	})
	if err != nil {
		return err
	}
	doubted := map[nas.DeviceID]bool{}
	for _, d := range devices {
		if m.trusted[d] {
			continue
		}
		doubted[d], m.trusted[d] = true, true
		id := binary.BigEndian.AppendUint64(nil, uint64(d))
		if err := claimStatement.run(ctx, tx, [][]byte{id, []byte(m.writer)}, nil); err != nil {
			return err
		}
	}
	for i := range b.Records {
		if r := &b.Records[i]; isBoot(*r) && m.trusted[r.Key.Device] {
			doubted[r.Key.Device], m.trusted[r.Key.Device] = true, false
		}
	}
	m.distrust(doubted)
	return nil
}

var (
	// Looking at the table keeps others from rewriting it until the transaction ends.
	cursorStatement = prepared{"journal_cursor_of", `select segment, position, concat_ws(' ', pg_postmaster_start_time(),
			pg_relation_filenode('session_live'), (select session_id from session_live where device_id = -1 limit 1))
		from journal_cursor where node = $1::text`}
	writersStatement = prepared{"session_writers", `select device_id, writer from session_writer where device_id = any($1::bigint[])`}
	claimStatement   = prepared{"session_writer_put", `insert into session_writer (device_id, writer) values ($1::bigint, $2::text)
		on conflict (device_id) do update set writer = excluded.writer`}
)

// distrust forgets the sessions of devices.
func (m *recent) distrust(devices map[nas.DeviceID]bool) {
	if len(devices) == 0 {
		return
	}
	for _, generation := range []map[nas.SessionKey]*kept{m.young, m.old} {
		for key := range generation {
			if devices[key.Device] {
				delete(generation, key)
			}
		}
	}
}

// touch says that the batch has changed the families' sessions and goes on.
func (m *recent) touch(families []*family) {
	if m.touched == nil {
		m.touched = map[nas.SessionKey]bool{}
	}
	for _, f := range families {
		m.touched[f.key] = true
	}
}

// get is what is remembered of a key's open session; nil when there is nothing that holds.
func (m *recent) get(key nas.SessionKey) *kept {
	if !m.trusted[key.Device] || m.touched[key] {
		return nil
	}
	if k := m.young[key]; k != nil {
		return k
	}
	return m.old[key]
}

// keep takes in what a batch left stored of its families; its transaction has committed.
func (m *recent) keep(to radius.Cursor, families []*family) {
	m.cursor = to
	for _, f := range families {
		n := len(f.lineage)
		if n == 0 || !f.lineage[n-1].Open() || f.place == nowhere || !m.trusted[f.key.Device] {
			delete(m.young, f.key)
			delete(m.old, f.key)
			continue
		}
		k := f.kept
		if k == nil {
			k = new(kept)
		}
		if now := f.lineage[n-1]; k.session.Key.ID == "" || !sameTexts(&k.session, &now) {
			k.session = owned(now)
		} else {
			key := k.session.Key
			k.session = now
			k.session.Key = key
		}
		k.place, k.home = f.place, f.home
		if f.connected {
			k.connected, k.connections = true, f.connections
			for i := range k.connections {
				k.connections[i].own(&k.session)
			}
		}
		m.put(k.session.Key, k)
	}
}

// put makes it one of the young: those that are not seen for two generations are let go.
func (m *recent) put(key nas.SessionKey, k *kept) {
	if m.young[key] == k {
		return
	}
	delete(m.old, key)
	if len(m.young) >= recentMost {
		m.old, m.young = m.young, nil
	}
	if m.young == nil {
		m.young = make(map[nas.SessionKey]*kept)
	}
	m.young[key] = k
}

// owned is a session whose texts are its own: those of a record may share the memory of its whole batch.
func owned(s radius.Session) radius.Session {
	var all strings.Builder
	for _, t := range textsOf(&s) {
		all.WriteString(*t)
	}
	rest := all.String()
	for _, t := range textsOf(&s) {
		*t, rest = rest[:len(*t)], rest[len(*t):]
	}
	return s
}

func sameTexts(a, b *radius.Session) bool {
	of, to := textsOf(a), textsOf(b)
	for i := range of {
		if *of[i] != *to[i] {
			return false
		}
	}
	return true
}

func textsOf(s *radius.Session) [6]*string {
	return [...]*string{&s.Key.ID, &s.Login, &s.CallingStation, &s.NASPort, &s.NASIdentifier, &s.Multi}
}

// own has the connection share the texts of its session.
func (c *connection) own(s *radius.Session) {
	c.key = s.Key
	h := describe(s)
	if h.access = c.holder.access; h == c.holder {
		c.holder = h
	}
}
