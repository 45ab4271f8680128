package pg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"enlace/nas"
	"enlace/radius"
)

// Store implements radius.SessionStore. One per node.
type Store struct {
	pool  *pgxpool.Pool
	boots radius.Boots

	mu     sync.Mutex
	months map[month]bool // partitions known to exist

	// Terms of plans, for the usage of their contracts; nil: no plan looks at usage. Set before the first Store.
	Terms Terms
}

// NewStore keeps sessions in the database of a pool.
func NewStore(pool *pgxpool.Pool) *Store {
	return &Store{pool: pool, months: map[month]bool{}}
}

// Store implements radius.SessionStore.
func (s *Store) Store(ctx context.Context, b radius.Batch) ([]radius.Session, error) {
	if err := s.ensureMonths(ctx, b.Records); err != nil {
		return nil, fmt.Errorf("making partitions: %w", err)
	}
	ended := map[nas.SessionKey]radius.Session{}
	err := s.attempt(ctx, &b, ended, false)
	for tries := 1; errors.Is(err, errOvertaken); tries++ {
		err = s.attempt(ctx, &b, ended, tries == 3)
	}
	if err != nil {
		return nil, refusal(err)
	}
	return slices.Collect(maps.Values(ended)), nil
}

// attempt stores a batch, or fails with errOvertaken unless it is the last attempt.
func (s *Store) attempt(ctx context.Context, b *radius.Batch, ended map[nas.SessionKey]radius.Session, last bool) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		clear(ended)
		for rest := b.Records; len(rest) > 0; {
			n := slices.IndexFunc(rest, isBoot)
			if n == 0 {
				if err := s.boot(ctx, tx, &rest[0]); err != nil {
					return err
				}
				rest = rest[1:]
				continue
			}
			if n < 0 {
				n = len(rest)
			}
			if err := s.merge(ctx, tx, rest[:n], ended, last); err != nil {
				return err
			}
			rest = rest[n:]
		}
		_, err := tx.Exec(ctx, `
			insert into journal_cursor (node, segment, position) values ($1, $2, $3)
			on conflict (node) do update set segment = excluded.segment, position = excluded.position`,
			b.Node, b.To.Segment, b.To.Offset)
		return err
	})
}

func isBoot(r radius.Record) bool { return r.Kind == radius.KindOn || r.Kind == radius.KindOff }

// refusal marks the errors that will come again: those that say that the data is wrong.
func refusal(err error) error {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && len(pgErr.Code) == 5 && (pgErr.Code[:2] == "22" || pgErr.Code[:2] == "23") {
		return fmt.Errorf("storing accounting: %w: %w", radius.ErrRecordRefused, err)
	}
	return fmt.Errorf("storing accounting: %w", err)
}

// family is the sessions of one key in the course of a batch.
type family struct {
	lineage radius.Lineage
	records []*radius.Record
	stored  []stored // as they were
}

type stored struct {
	radius.Session
	live bool // in session_live; otherwise in session_history
}

// merge folds records, none of them a boot, into the sessions stored.
func (s *Store) merge(ctx context.Context, tx pgx.Tx, records []radius.Record, ended map[nas.SessionKey]radius.Session, last bool) error {
	families := map[nas.SessionKey]*family{}
	for i := range records {
		r := &records[i]
		if r.Kind == 0 {
			continue
		}
		f := families[r.Key]
		if f == nil {
			f = &family{}
			families[r.Key] = f
		}
		f.records = append(f.records, r)
	}
	keys := slices.SortedFunc(maps.Keys(families), nas.SessionKey.Compare)
	if err := loadLive(ctx, tx, keys, families); err != nil {
		return err
	}
	if err := loadHistory(ctx, tx, keys, families); err != nil {
		return err
	}
	var w changes
	var used usage
	for _, key := range keys {
		f := families[key]
		for _, r := range f.records {
			var at int
			before := f.lineage.Traffic()
			f.lineage, at, _ = f.lineage.Fold(r, s.boots.Of(r))
			used.note(before, f.lineage, at, r, s.Terms)
		}
		w.compare(f)
		if n := len(f.lineage); n > 0 && !f.lineage[n-1].Open() {
			ended[key] = f.lineage[n-1]
		} else {
			delete(ended, key)
		}
	}
	if err := w.write(ctx, tx); err != nil {
		return err
	}
	return used.write(ctx, tx, w.fresh, last)
}

// loadLive locks and reads the open sessions.
func loadLive(ctx context.Context, tx pgx.Tx, keys []nas.SessionKey, families map[nas.SessionKey]*family) error {
	devices, ids := keyColumns(keys)
	rows, err := tx.Query(ctx, `select `+liveColumns("l")+`
		from session_live l
		join (select unnest($1::bigint[]) as device_id, unnest($2::text[]) as session_id) k using (device_id, session_id)
		order by l.device_id, l.session_id for update of l`, devices, ids)
	if err != nil {
		return err
	}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		session, err := scanLive(row)
		if err == nil {
			f := families[session.Key]
			f.lineage = append(f.lineage, session)
			f.stored = append(f.stored, stored{session, true})
		}
		return struct{}{}, err
	})
	return err
}

// loadHistory reads the ended sessions that records may belong to: of keys without an open session, and of those for
// which a record is older than the open one or of somebody else.
func loadHistory(ctx context.Context, tx pgx.Tx, keys []nas.SessionKey, families map[nas.SessionKey]*family) error {
	var wanted []nas.SessionKey
	var since []time.Time
	for _, key := range keys {
		f := families[key]
		first := f.records[0].Start()
		for _, r := range f.records {
			if start := r.Start(); start.Before(first) {
				first = start
			}
		}
		strange := len(f.lineage) > 0 && slices.ContainsFunc(f.records, func(r *radius.Record) bool { return f.lineage[0].Stranger(r) })
		if len(f.lineage) == 0 || strange || first.Before(f.lineage[0].StartedAt.Add(-time.Minute)) {
			wanted = append(wanted, key)
			since = append(since, first.Add(-lookBack))
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	devices, ids := keyColumns(wanted)
	rows, err := tx.Query(ctx, `select `+historyColumns("h")+`
		from (select unnest($1::bigint[]) as device_id, unnest($2::text[]) as session_id,
			unnest($3::timestamptz[]) as since) k
		cross join lateral (
			select * from session_history h
			where h.device_id = k.device_id and h.session_id = k.session_id and h.started_at >= k.since
			order by h.started_at desc limit 8 for update) h
		order by h.device_id, h.session_id, h.started_at`, devices, ids, since)
	if err != nil {
		return err
	}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		session, err := scanHistory(row)
		if err == nil {
			f := families[session.Key]
			f.stored = append(f.stored, stored{session, false})
			f.lineage = append(f.lineage, session)
			slices.SortFunc(f.lineage, func(a, b radius.Session) int { return a.StartedAt.Compare(b.StartedAt) })
		}
		return struct{}{}, err
	})
	return err
}

// lookBack is how far before a record's own start its session may have been taken to begin.
const lookBack = time.Hour

func keyColumns(keys []nas.SessionKey) (devices []int64, ids []string) {
	for _, k := range keys {
		devices = append(devices, int64(k.Device))
		ids = append(ids, nas.TextOf(k.ID))
	}
	return devices, ids
}

// changes is what a batch does to the tables.
type changes struct {
	unlive    []nas.SessionKey // to leave session_live
	unhistory []radius.Session // to leave session_history
	history   []radius.Session
	live      []radius.Session
	fresh     []radius.Session // those of history and live that were not stored
}

// compare finds what is different from what is stored.
func (w *changes) compare(f *family) {
	for i := range f.lineage {
		now := &f.lineage[i]
		j := slices.IndexFunc(f.stored, func(o stored) bool { return o.StartedAt.Equal(now.StartedAt) })
		known := j >= 0
		live := known && f.stored[j].live
		changed := !known || !now.Same(&f.stored[j].Session)
		if !known {
			w.fresh = append(w.fresh, *now)
		}
		switch {
		case now.Open() && changed:
			w.live = append(w.live, *now)
			if known && !live {
				w.unhistory = append(w.unhistory, f.stored[j].Session)
			}
		case !now.Open() && changed:
			w.history = append(w.history, *now)
			if live {
				w.unlive = append(w.unlive, now.Key)
			}
		}
	}
}

func (w *changes) write(ctx context.Context, tx pgx.Tx) error {
	if len(w.unlive) > 0 {
		devices, ids := keyColumns(w.unlive)
		_, err := tx.Exec(ctx, `delete from session_live l
			using (select unnest($1::bigint[]) as device_id, unnest($2::text[]) as session_id) k
			where l.device_id = k.device_id and l.session_id = k.session_id`, devices, ids)
		if err != nil {
			return err
		}
	}
	if len(w.unhistory) > 0 {
		c := columnsOf(w.unhistory)
		_, err := tx.Exec(ctx, `delete from session_history h
			using (select unnest($1::bigint[]) as device_id, unnest($2::text[]) as session_id,
				unnest($3::timestamptz[]) as started_at) k
			where h.device_id = k.device_id and h.session_id = k.session_id and h.started_at = k.started_at`,
			c.device, c.id, c.started)
		if err != nil {
			return err
		}
	}
	if len(w.history) > 0 {
		c := columnsOf(w.history)
		if _, err := tx.Exec(ctx, upsertHistory, c.history()...); err != nil {
			return err
		}
	}
	if len(w.live) > 0 {
		if _, err := tx.Exec(ctx, upsertLive, columnsOf(w.live).live()...); err != nil {
			return err
		}
	}
	return nil
}

// boot ends the sessions of an access server that began anew. Those that a batch of its own has not stored yet end when
// they come (radius.Boots).
func (s *Store) boot(ctx context.Context, tx pgx.Tx, r *radius.Record) error {
	s.boots.Note(r)
	b := radius.BootOf(r)
	_, err := tx.Exec(ctx, `
		with doomed as (
			select device_id, session_id from session_live
			where device_id = $1 and started_at <= $2 and last_seen_at <= $2 and ($3 = '' or nas_identifier in ('', $3))
			order by device_id, session_id for update
		), gone as (
			delete from session_live l using doomed d
			where l.device_id = d.device_id and l.session_id = d.session_id returning l.*
		)
		insert into session_history (`+historyNames+`)
		select `+liveColumns("gone")+`, $2, $4, $5, $2 from gone
		on conflict (device_id, session_id, started_at) do update set `+growHistory,
		int64(r.Key.Device), b.At, nas.TextOf(r.NASIdentifier), radius.CauseNASReboot, string(b.By))
	return err
}
