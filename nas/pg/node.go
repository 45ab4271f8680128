package pg

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/nas"
)

// peer is another node, as the table shows it.
type peer struct {
	name       string
	generation int64
	knows      int64
	alive      bool
}

// nodeLock is the number of the advisory lock under which nodes begin, so that their generations become visible in order.
const nodeLock = 0x656e6c61_6e6f6465

// beginNode enters a node, with a generation that no node had before. first says that this is a new process: what an
// earlier one of the name had claimed is free, for nobody sends its commands any more.
func (s *Store) beginNode(ctx context.Context, name string, patience time.Duration, first bool) (generation int64, err error) {
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, int64(nodeLock)); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `
			insert into node (name, generation, knows, seen_at, patience) values ($1, nextval('node_generation'), 0, clock_timestamp(), $2)
			on conflict (name) do update set generation = excluded.generation, knows = 0, seen_at = excluded.seen_at, patience = excluded.patience
			returning generation`, name, patience).Scan(&generation)
		if err == nil && first {
			_, err = tx.Exec(ctx, `update command_claim set until = clock_timestamp() where node = $1 and until > clock_timestamp()`, name)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("entering the table of nodes: %w", err)
	}
	return generation, nil
}

// beat says that a node is alive and which others it knows, and reads those. ours is false when the node's row is not of
// that generation any more.
func (s *Store) beat(ctx context.Context, name string, generation, knows int64) (others []peer, ours bool, err error) {
	batch := &pgx.Batch{}
	batch.Queue(`update node set seen_at = clock_timestamp(), knows = $3 where name = $1 and generation = $2`, name, generation, knows)
	batch.Queue(`select name, generation, knows, seen_at + patience > clock_timestamp() from node where name <> $1`, name)
	results := s.Pool.SendBatch(ctx, batch)
	defer results.Close()
	tag, err := results.Exec()
	if err != nil {
		return nil, false, fmt.Errorf("telling other nodes of this one: %w", err)
	}
	rows, err := results.Query()
	if err != nil {
		return nil, false, fmt.Errorf("reading which nodes are alive: %w", err)
	}
	others, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p peer, err error) {
		return p, row.Scan(&p.name, &p.generation, &p.knows, &p.alive)
	})
	if err != nil {
		return nil, false, fmt.Errorf("reading which nodes are alive: %w", err)
	}
	return others, tag.RowsAffected() == 1, results.Close()
}

// endNode takes a node out of the table.
func (s *Store) endNode(ctx context.Context, name string, generation int64) error {
	_, err := s.Pool.Exec(ctx, `delete from node where name = $1 and generation = $2`, name, generation)
	if err != nil {
		return fmt.Errorf("leaving the table of nodes: %w", err)
	}
	return nil
}

// trimNodes lets go of nodes that have been gone for a day, and of claims of which nobody needs to hear any more: no node
// has the session open.
func (s *Store) trimNodes(ctx context.Context) error {
	batch := &pgx.Batch{}
	batch.Queue(`delete from node where seen_at < clock_timestamp() - interval '1 day'`)
	batch.Queue(`delete from command_claim c where until < clock_timestamp() - interval '1 hour'
		and not exists (select from session_live l where l.device_id = c.device_id and l.session_id = c.session_id)`)
	if err := s.Pool.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("trimming the table of nodes: %w", err)
	}
	return nil
}

// claim takes sessions that nobody else has, for a time. It returns a grant for each that was taken, by its place.
func (s *Store) claim(ctx context.Context, node string, serial int64, life time.Duration, wanted []nas.Wanted) (map[int]nas.Grant, error) {
	order := make([]int, len(wanted)) // by key, as all who lock several rows do
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return wanted[a].Key.Compare(wanted[b].Key) })
	devices, ids := make([]int64, len(wanted)), make([]string, len(wanted))
	for n, i := range order {
		devices[n], ids[n] = int64(wanted[i].Key.Device), nas.TextOf(wanted[i].Key.ID)
	}
	rows, err := s.Pool.Query(ctx, `
		with asked as (
			select device_id, session_id collate "C" as session_id, n from unnest($1::bigint[], $2::text[]) with ordinality as k (device_id, session_id, n)
		), taken as (
			insert into command_claim as c (device_id, session_id, node, serial, until)
			select device_id, session_id, $3, $4, clock_timestamp() + $5 from asked order by device_id, session_id
			on conflict (device_id, session_id) do update set node = excluded.node, serial = excluded.serial, until = excluded.until, open = true,
				told_by = case when c.open then c.node else c.told_by end,
				started_at = case when c.open then null else c.started_at end,
				applied = case when c.open then 0 else c.applied end,
				ended = c.ended and not c.open
			where c.until <= clock_timestamp()
			returning device_id, session_id, told_by, started_at, applied, ended
		)
		select n, coalesce(told_by, ''), t.started_at, t.applied, ended, l.started_at, coalesce(l.applied, '')
		from asked join taken t using (device_id, session_id) left join session_live l using (device_id, session_id)`,
		devices, ids, node, serial, life)
	if err != nil {
		return nil, fmt.Errorf("claiming sessions: %w", err)
	}
	taken := map[int]nas.Grant{}
	var n, applied int64
	var toldBy, stored string
	var toldStart, storedStart *time.Time
	var ended bool
	_, err = pgx.ForEachRow(rows, []any{&n, &toldBy, &toldStart, &applied, &ended, &storedStart, &stored}, func() error {
		i := order[n-1]
		w := &wanted[i]
		g := nas.Grant{Serial: serial}
		switch {
		case toldBy != "" && toldBy != node:
			g.Told = &nas.Told{Key: w.Key, StartedAt: w.StartedAt, Applied: nas.Digest(applied), Ended: ended}
			if toldStart != nil {
				g.Told.StartedAt = toldStart.UTC()
			}
		case toldBy == "" && storedStart != nil && storedStart.Sub(w.StartedAt).Abs() < time.Minute:
			g.Stored = digestOf(stored)
		}
		taken[i] = g
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claiming sessions: %w", err)
	}
	return taken, nil
}

// giveBack ends claims, with what was told.
func (s *Store) giveBack(ctx context.Context, node string, list []nas.Returned) error {
	slices.SortStableFunc(list, func(a, b nas.Returned) int { return a.Key.Compare(b.Key) })
	n := len(list)
	devices, ids, serials, told := make([]int64, n), make([]string, n), make([]int64, n), make([]bool, n)
	applied, ended, started := make([]int64, n), make([]bool, n), make([]*time.Time, n)
	for i, r := range list {
		devices[i], ids[i], serials[i], told[i] = int64(r.Key.Device), nas.TextOf(r.Key.ID), r.Serial, r.Told != nil
		if r.Told != nil {
			applied[i], ended[i], started[i] = int64(r.Told.Applied), r.Told.Ended, instant(r.Told.StartedAt)
		}
	}
	_, err := s.Pool.Exec(ctx, `
		with k as (
			select device_id, session_id collate "C" as session_id, serial, told, applied, ended, started_at
			from unnest($1::bigint[], $2::text[], $3::bigint[], $4::boolean[], $5::bigint[], $6::boolean[], $7::timestamptz[])
				as k (device_id, session_id, serial, told, applied, ended, started_at)
		), mine as (
			select c.device_id, c.session_id, c.serial from command_claim c join k using (device_id, session_id, serial)
			where c.node = $8 order by c.device_id, c.session_id for update of c
		)
		update command_claim c set until = clock_timestamp(), open = false,
			told_by = case when k.told then $8 else c.told_by end, started_at = case when k.told then k.started_at else c.started_at end,
			applied = case when k.told then k.applied else c.applied end, ended = case when k.told then k.ended else c.ended end
		from mine join k using (device_id, session_id, serial)
		where c.device_id = mine.device_id and c.session_id = mine.session_id`,
		devices, ids, serials, told, applied, ended, started, node)
	if err != nil {
		return fmt.Errorf("giving claims back: %w", err)
	}
	return nil
}

// toldByOthers is what other nodes told sessions last, and the sessions that they may have told something when they ended:
// what those have is unknown.
func (s *Store) toldByOthers(ctx context.Context, node string) ([]nas.Told, error) {
	rows, err := s.Pool.Query(ctx, `
		select c.device_id, c.session_id, coalesce(c.started_at, l.started_at), case when c.open then 0 else c.applied end, c.ended and not c.open
		from command_claim c join session_live l using (device_id, session_id)
		where c.until <= clock_timestamp() and (c.told_by <> $1 or c.open and c.node <> $1)`, node)
	if err != nil {
		return nil, fmt.Errorf("reading what other nodes told: %w", err)
	}
	told, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t nas.Told, err error) {
		var device, applied int64
		var id string
		err = row.Scan(&device, &id, &t.StartedAt, &applied, &t.Ended)
		t.Key, t.Applied, t.StartedAt = nas.SessionKey{Device: nas.DeviceID(device), ID: nas.RawOf(id)}, nas.Digest(applied), t.StartedAt.UTC()
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what other nodes told: %w", err)
	}
	return told, nil
}

// forgetClaims ends all claims: the node that asks for it is alone, and takes none.
func (s *Store) forgetClaims(ctx context.Context) error {
	if _, err := s.Pool.Exec(ctx, `delete from command_claim where until <= clock_timestamp()`); err != nil {
		return fmt.Errorf("forgetting claims: %w", err)
	}
	return nil
}
