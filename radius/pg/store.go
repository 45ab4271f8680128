package pg

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"enlace/nas"
	"enlace/radius"
)

// Store implements radius.SessionStore. One per node; one batch at a time.
type Store struct {
	pool   *pgxpool.Pool
	boots  radius.Boots
	recent recent

	// Of the batch that is being stored; kept so that the next one need not be given memory again.
	rooms []room
	byKey map[nas.SessionKey]*family

	mu     sync.Mutex
	months map[month]bool // partitions known to exist

	// Terms of plans, for the usage of their contracts; nil: no plan looks at usage. Set before the first Store.
	Terms Terms
}

// NewStore keeps sessions in the database of a pool.
func NewStore(pool *pgxpool.Pool) *Store {
	return &Store{pool: pool, months: map[month]bool{}, recent: recent{writer: rand.Text()}}
}

// Store implements radius.SessionStore.
func (s *Store) Store(ctx context.Context, b radius.Batch) ([]radius.Session, error) {
	if err := s.ensureMonths(ctx, b.Records); err != nil {
		return nil, fmt.Errorf("making partitions: %w", err)
	}
	defer func() {
		clear(s.rooms)
		s.rooms = s.rooms[:0]
		clear(s.byKey)
	}()
	ended, stored, err := s.store(ctx, b, false)
	if isDuplicate(err) {
		ended, stored, err = s.store(ctx, b, true)
	}
	if err != nil {
		return nil, refusal(err)
	}
	s.recent.keep(b.To, stored)
	return slices.Collect(maps.Values(ended)), nil
}

// store is one attempt. careful is for a batch that met a session which should not have been there.
func (s *Store) store(ctx context.Context, b radius.Batch, careful bool) (map[nas.SessionKey]radius.Session, []*family, error) {
	ended := map[nas.SessionKey]radius.Session{}
	var stored []*family
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		clear(ended)
		devices, err := lockDevices(ctx, tx, b.Records)
		if err != nil {
			return err
		}
		if err := s.recent.trust(ctx, tx, &b, devices); err != nil {
			return err
		}
		for rest := b.Records; len(rest) > 0; {
			n := slices.IndexFunc(rest, isBoot)
			if n == 0 {
				if err := s.boot(ctx, tx, &rest[0], careful); err != nil {
					return err
				}
				rest = rest[1:]
				continue
			}
			if n < 0 {
				n = len(rest)
			}
			families, err := s.merge(ctx, tx, rest[:n], ended, careful)
			if err != nil {
				return err
			}
			if stored, rest = append(stored, families...), rest[n:]; len(rest) > 0 {
				s.recent.touch(families)
			}
		}
		_, err = tx.Exec(ctx, `
			insert into journal_cursor (node, segment, position) values ($1, $2, $3)
			on conflict (node) do update set segment = excluded.segment, position = excluded.position`,
			b.Node, b.To.Segment, b.To.Offset)
		return err
	})
	if err != nil {
		s.recent.forget()
	}
	return ended, stored, err
}

// begin has every statement planned once for any number of sessions: planning each batch anew costs as much as storing
// some hundred sessions. What statistics say when that happens must not decide for good, so the statements leave no
// choice but that of a key's index for each row: sequential scans are off and lateral queries fix the order of the joins.
const begin = "begin; set local plan_cache_mode = force_generic_plan; set local enable_seqscan = off"

// lockDevices makes nodes take turns at the sessions of a device until the transaction ends. What was read of them is
// then still so when it is written, and no row needs a lock of its own.
func lockDevices(ctx context.Context, tx pgx.Tx, records []radius.Record) ([]nas.DeviceID, error) {
	seen := map[nas.DeviceID]bool{}
	last := nas.DeviceID(-1)
	for i := range records {
		if d := records[i].Key.Device; d != last && records[i].Kind != 0 {
			seen[d], last = true, d
		}
	}
	devices := slices.Sorted(maps.Keys(seen))
	a := newArray(pgtype.Int8OID, len(seen), 8)
	for _, d := range devices {
		a.int8(sessionLocks + int64(d))
	}
	return devices, lockStatement.run(ctx, tx, [][]byte{a.bytes()}, nil)
}

// sessionLocks is the number of the first advisory lock of a device's sessions.
const sessionLocks = 0x656e6c61_00000000

var lockStatement = prepared{"session_lock", `select pg_advisory_xact_lock(k) from unnest($1::bigint[]) k`}

func isBoot(r radius.Record) bool { return r.Kind == radius.KindOn || r.Kind == radius.KindOff }

func isDuplicate(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "23505"
}

// refusal marks the errors that will come again: those that say that the data is wrong, or that a row comes twice.
func refusal(err error) error {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && len(pgErr.Code) == 5 && (pgErr.Code[:2] == "21" || pgErr.Code[:2] == "22" || pgErr.Code[:2] == "23") {
		return fmt.Errorf("storing accounting: %w: %w", radius.ErrRecordRefused, err)
	}
	return fmt.Errorf("storing accounting: %w", err)
}

// family is the sessions of one key in the course of a batch.
type family struct {
	key     nas.SessionKey
	lineage radius.Lineage
	records []*radius.Record
	stored  []stored // as they were
	kept    *kept    // what is remembered of the open one
	place   place    // of the open one, once the batch is written

	home home // where its traffic is booked, as far as that was looked up

	connections []connection // rows of connection_open, once the batch is written
	connected   bool         // whether they are known

	sightings []sighting // the records, and the sessions they went to
	addresses bool       // one of them may change who had which address
	access    int64      // found by login, where no record told it
}

type stored struct {
	radius.Session
	place place
}

// merge folds records, none of them a boot, into the sessions stored.
func (s *Store) merge(ctx context.Context, tx pgx.Tx, records []radius.Record, ended map[nas.SessionKey]radius.Session,
	careful bool) ([]*family, error) {
	families := s.gather(records)
	if err := s.loadLive(ctx, tx, families); err != nil {
		return nil, err
	}
	if err := loadHistory(ctx, tx, families); err != nil {
		return nil, err
	}
	var changed []change
	var used usage
	var was radius.Lineage
	for _, f := range families {
		for _, r := range f.records {
			var at int
			before := f.lineage.Traffic()
			was = append(was[:0], f.lineage...)
			f.lineage, at, _ = f.lineage.Fold(r, s.boots.Of(r))
			f.sight(was, at, r)
			used.note(f, before, at, r, s.Terms)
		}
		changed = f.compare(changed)
		if n := len(f.lineage); n > 0 && !f.lineage[n-1].Open() {
			ended[f.key] = f.lineage[n-1]
		} else {
			delete(ended, f.key)
		}
	}
	if err := write(ctx, tx, changed, careful); err != nil {
		return nil, err
	}
	if err := connect(ctx, tx, families, careful); err != nil {
		return nil, err
	}
	return families, used.write(ctx, tx)
}

// room is a family with space for what most have.
type room struct {
	family
	record   [1]*radius.Record
	session  [1]radius.Session
	before   [1]stored
	sighting [1]sighting
}

// gather sorts records by key, so that nodes and statements meet rows in the same order, and neighbours together. The
// families' memory is the batch's.
func (s *Store) gather(records []radius.Record) []*family {
	if s.byKey == nil {
		s.byKey = map[nas.SessionKey]*family{}
	}
	clear(s.byKey)
	if cap(s.rooms)-len(s.rooms) < len(records) {
		s.rooms = make([]room, 0, len(records)) // the batch's first families, if any, stay where they are
	}
	families := make([]*family, 0, len(records))
	for i := range records {
		r := &records[i]
		if r.Kind == 0 {
			continue
		}
		f := s.byKey[r.Key]
		if f == nil {
			s.rooms = s.rooms[:len(s.rooms)+1]
			own := &s.rooms[len(s.rooms)-1]
			f = &own.family
			*f = family{key: r.Key, records: own.record[:0], lineage: own.session[:0], stored: own.before[:0], sightings: own.sighting[:0]}
			s.byKey[r.Key] = f
			families = append(families, f)
		}
		f.records = append(f.records, r)
	}
	slices.SortFunc(families, func(a, b *family) int { return a.key.Compare(b.key) })
	return families
}

// keyArrays is the keys of families as two parameters.
func keyArrays(families []*family) [][]byte {
	devices, ids := newArray(pgtype.Int8OID, len(families), 8), newArray(pgtype.TextOID, len(families), 24)
	for _, f := range families {
		devices.int8(int64(f.key.Device))
		ids.text(f.key.ID)
	}
	return [][]byte{devices.bytes(), ids.bytes()}
}

var liveStatement = prepared{"session_live_of", `select k.n, l.*
	from unnest($1::bigint[], $2::text[]) with ordinality as k (device_id, session_id, n)
	cross join lateral (select ctid, ` + listed("", liveColumns) + ` from session_live
		where device_id = k.device_id and session_id = k.session_id offset 0) l`}

// loadLive finds the open sessions: those not remembered it reads.
func (s *Store) loadLive(ctx context.Context, tx pgx.Tx, families []*family) error {
	var unknown []*family
	for _, f := range families {
		if f.kept = s.recent.get(f.key); f.kept == nil {
			unknown = append(unknown, f)
			continue
		}
		f.opened(f.kept.session, f.kept.place)
		f.home = f.kept.home
	}
	if len(unknown) == 0 {
		return nil
	}
	return liveStatement.run(ctx, tx, keyArrays(unknown), func(values [][]byte) {
		f := unknown[int8Of(values[0])-1]
		f.opened(scanned(values[2:], liveColumns, f.records[0]), place(values[1]))
	})
}

// opened takes in the family's open session as it is stored.
func (f *family) opened(s radius.Session, at place) {
	f.lineage = append(f.lineage, s)
	f.stored = append(f.stored, stored{s, at})
	f.place = at
}

var historyStatement = prepared{"session_history_of", `select k.n, h.*
	from unnest($1::bigint[], $2::text[], $3::timestamptz[]) with ordinality as k (device_id, session_id, since, n)
	cross join lateral (select ` + listed("", historyColumns) + ` from session_history
		where device_id = k.device_id and session_id = k.session_id and started_at >= k.since and started_at >= $4::timestamptz
		offset 0) h`}

// loadHistory reads the ended sessions that records may belong to: of keys without an open session, and of those for
// which a record is older than the open one or of somebody else.
func loadHistory(ctx context.Context, tx pgx.Tx, families []*family) error {
	var wanted []*family
	since := newArray(pgtype.TimestamptzOID, len(families), 8)
	var oldest time.Time
	for _, f := range families {
		first := f.records[0].Start()
		for _, r := range f.records {
			if start := r.Start(); start.Before(first) {
				first = start
			}
		}
		strange := len(f.lineage) > 0 && slices.ContainsFunc(f.records, func(r *radius.Record) bool { return f.lineage[0].Stranger(r) })
		if len(f.lineage) == 0 || strange || first.Before(f.lineage[0].StartedAt.Add(-time.Minute)) {
			first = first.Add(-lookBack)
			if len(wanted) == 0 || first.Before(oldest) {
				oldest = first
			}
			wanted = append(wanted, f)
			since.time(first)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	least := binary.BigEndian.AppendUint64(nil, uint64(oldest.UnixMicro()-postgresEpoch))
	err := historyStatement.run(ctx, tx, append(keyArrays(wanted), since.bytes(), least), func(values [][]byte) {
		f := wanted[int8Of(values[0])-1]
		session := scanned(values[1:], historyColumns, f.records[0])
		f.stored = append(f.stored, stored{session, nowhere})
		f.lineage = append(f.lineage, session)
	})
	for _, f := range wanted {
		slices.SortFunc(f.lineage, func(a, b radius.Session) int { return a.StartedAt.Compare(b.StartedAt) })
		f.lineage = f.lineage[max(0, len(f.lineage)-mostPast):]
	}
	return err
}

const (
	lookBack = time.Hour // how far before a record's own start its session may have been taken to begin
	mostPast = 9         // sessions of one key that a record is compared with
)

// compare finds what is different from what is stored.
func (f *family) compare(changed []change) []change {
	for i := range f.lineage {
		now := &f.lineage[i]
		c := change{family: f, after: now}
		if j := slices.IndexFunc(f.stored, func(o stored) bool { return o.StartedAt.Equal(now.StartedAt) }); j >= 0 {
			c.before, c.place = &f.stored[j].Session, f.stored[j].place
		}
		if c.before == nil || !now.Same(c.before) {
			changed = append(changed, c)
		}
	}
	return changed
}

// boot ends the sessions of an access server that began anew, some thousands at a time. Those that a batch of its own
// has not stored yet end when they come (radius.Boots).
func (s *Store) boot(ctx context.Context, tx pgx.Tx, r *radius.Record, careful bool) error {
	if err := s.keepBoot(ctx, tx, r); err != nil {
		return err
	}
	b := radius.BootOf(r)
	at := binary.BigEndian.AppendUint64(nil, uint64(b.At.UnixMicro()-postgresEpoch))
	device := binary.BigEndian.AppendUint64(nil, uint64(r.Key.Device))
	for after := ""; ; {
		found := make([]stored, 0, bootSlice)
		err := bootStatement.run(ctx, tx, [][]byte{device, at, []byte(after)}, func(values [][]byte) {
			found = append(found, stored{scanned(values[1:], liveColumns, &noRecord), place(values[0])})
		})
		if err != nil || len(found) == 0 {
			return err
		}
		after = nas.TextOf(found[len(found)-1].Key.ID)
		var changed []change
		var ended []*family
		for i := range found {
			closed := found[i].Session
			if b.End(r.NASIdentifier, &closed) {
				f := &family{key: closed.Key, lineage: radius.Lineage{closed}, stored: found[i : i+1]}
				changed = append(changed, change{family: f, before: &found[i].Session, place: found[i].place, after: &closed})
				ended = append(ended, f)
			}
		}
		if err := write(ctx, tx, changed, careful); err != nil {
			return err
		}
		if err := connect(ctx, tx, ended, careful); err != nil {
			return err
		}
	}
}

var bootStatement = prepared{"session_live_before", `select ctid, ` + listed("", liveColumns) + ` from session_live
	where device_id = $1::bigint and started_at <= $2::timestamptz and session_id > $3::text
	order by session_id limit ` + fmt.Sprint(bootSlice)}

// bootSlice is how many sessions of a boot are ended at once.
const bootSlice = 5000
